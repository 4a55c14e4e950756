/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KTracker: tracking processes window by window. One thread; everything happens in
 * kona_session_run(), which hands each finished window to the sink.
 */
#ifndef KONA_TRACK_SESSION_H
#define KONA_TRACK_SESSION_H

#include "counts.h"
#include "target.h"

enum kona_mode {
	KONA_MODE_SCAN,
	KONA_MODE_ASYNC,
	KONA_MODE_AUTO,	 /* whichever of the two costs the target less */
	KONA_MODE_PAGES, /* --wp */
};

struct kona_session;

struct kona_window {
	uint64_t index;	      /* from 1 */
	uint64_t end_ns;      /* since the session began */
	const char *found_by; /* "scan", "wp-async", "mixed", "wp" */
	uint64_t faults;      /* pages whose first write trapped, in all targets */
	uint64_t fault_ns;    /* estimate of what that cost them */
	size_t processes;
	struct kona_counts counts;
	struct kona_places places; /* sorted */
};

/* Where windows go. Each function returns 0 or -errno, which ends the session. */
struct kona_sink {
	int (*window)(void *context, const struct kona_session *session,
		      const struct kona_window *window);
	/* The dirty pages of one process, before its window is complete; NULL: not wanted. */
	int (*pages)(void *context, uint64_t window, const struct kona_target *target);
	void *context;
};

struct kona_session_options {
	pid_t pid;	/* 0: run command */
	char **command; /* ended by NULL */
	uint64_t interval_ns;
	uint64_t windows;     /* 0: no limit */
	uint64_t duration_ns; /* 0: no limit */
	bool children;
	enum kona_mode mode;
	enum kona_kept kept;
	const char *lines; /* implementation of the comparison; NULL: the best */
};

struct kona_session {
	struct kona_session_options options;
	const struct kona_sink *sink;
	const struct kona_lines *lines;
	uint8_t key[KONA_LINES_KEY_BYTES] __attribute__((aligned(64)));
	struct kona_crew *crew;
	struct kona_target **target;
	size_t target_count, target_room;
	struct kona_stopper stopper;
	int signals; /* signalfd */
	pid_t command_pid;
	int command_status; /* wait status, once command_ended */
	bool command_ended, interrupted, edge_now;
	uint64_t begin_ns, window_begin_ns;
	uint64_t scan_ns_per_gib, fault_ns; /* measured */
	uint64_t attach_ns;		    /* for how long attaching stopped the targets */
	struct kona_window window;	    /* the one that runs */
	struct kona_counts total;
	struct kona_places total_places;
	uint64_t total_faults, total_fault_ns, window_count;
};

/*
 * Attaches to, or starts, what the options say. Returns 0; -EPERM: not allowed; -ESRCH: no such
 * process; -ENOEXEC and the like: the command cannot be run; -errno.
 */
KONA_MUST_CHECK int kona_session_open(struct kona_session *session,
				      const struct kona_session_options *options,
				      const struct kona_sink *sink);

/*
 * Runs windows until a limit, SIGINT, SIGTERM or SIGHUP, or until no target is left. SIGUSR1 ends
 * the running window at once. Returns 0 or -errno.
 */
KONA_MUST_CHECK int kona_session_run(struct kona_session *session);

/* Lets go of all targets. */
void kona_session_close(struct kona_session *session);

/* --- how targets are found and left (members.c) --- */

KONA_MUST_CHECK int kona_session_add(struct kona_session *session, pid_t pid, bool from_start);
/* Starts the command; its first instruction is yet to come when this returns. */
KONA_MUST_CHECK int kona_session_spawn(struct kona_session *session);
/* Takes in new children of the targets, and leaves targets that have ended. */
KONA_MUST_CHECK int kona_session_look(struct kona_session *session);
/* The target has replaced its memory: starts anew with it. */
KONA_MUST_CHECK int kona_session_renew(struct kona_session *session, struct kona_target *target);

/* --- which way to find written pages (choice.c) --- */

/* Measures what a write fault costs here. */
void kona_choice_calibrate(struct kona_session *session);
/* For the next edge of this target. */
enum kona_finding kona_choice_next(struct kona_session *session, struct kona_target *target);
/* Learns from the edge just gone. first: it only began with the target. */
void kona_choice_learn(struct kona_session *session, struct kona_target *target,
		       enum kona_finding finding, bool first);

#endif
