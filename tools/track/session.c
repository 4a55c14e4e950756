/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The windows of a session: wait (for the window's end, signals, events of watched targets, ends of
 * processes), then end the window for each target, one after the other, and hand it over.
 */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/units.h"
#include "crew.h"

static const uint64_t LOOK_NS = 20000000; /* for children, between edges */

static void reaped(void *context, pid_t pid, int status)
{
	struct kona_session *session = context;

	if (pid != session->command_pid)
		return;
	session->command_status = status;
	session->command_ended = true;
}

static int open_signals(struct kona_session *session)
{
	static const int wanted[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGUSR1};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < KONA_ARRAY_LEN(wanted); i++)
		sigaddset(&set, wanted[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_DFL); /* who inherits it ignored gets no child's status */
	session->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return session->signals < 0 ? -errno : 0;
}

static void read_signals(struct kona_session *session)
{
	struct signalfd_siginfo info;

	while (read(session->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			session->edge_now = true;
		else if (info.ssi_signo != SIGCHLD)
			session->interrupted = true;
	}
	kona_stop_reap(&session->stopper);
}

/* Ends the target's window, or begins with it. */
static int edge(struct kona_session *session, struct kona_target *target, uint64_t *ret_paused_ns,
		enum kona_finding *ret_finding)
{
	bool first = target->fresh;
	int err;

	*ret_finding = kona_choice_next(session, target);
	err = kona_target_edge(target, *ret_finding, &session->stopper, ret_paused_ns);
	if (err == -ESRCH && !kona_session_renew(session, target)) {
		*ret_finding = kona_choice_next(session, target);
		err = kona_target_edge(target, *ret_finding, &session->stopper, ret_paused_ns);
	}
	if (!err)
		kona_choice_learn(session, target, *ret_finding, first);
	return err;
}

/* What was kept at first costs the target a pause that belongs to no window. */
static int keep_first(struct kona_session *session, struct kona_target *target)
{
	enum kona_finding finding;
	uint64_t paused_ns = 0;
	int err = edge(session, target, &paused_ns, &finding);

	session->attach_ns += paused_ns;
	return err;
}

static int keep_new(struct kona_session *session)
{
	int err = kona_session_look(session);

	for (size_t i = 0; !err && i < session->target_count; i++)
		if (session->target[i]->fresh)
			err = keep_first(session, session->target[i]);
	/* Whoever vanished meanwhile is left at the next look. */
	return err == -ESRCH ? 0 : err;
}

int kona_session_open(struct kona_session *session, const struct kona_session_options *options,
		      const struct kona_sink *sink)
{
	int err;

	*session = (struct kona_session){.options = *options, .sink = sink, .signals = -1};
	session->stopper.reaped = reaped;
	session->stopper.reaped_context = session;
	session->lines = kona_lines_find(options->lines);
	if (!session->lines)
		return -EOPNOTSUPP;
	err = kona_lines_draw_key(session->key);
	if (!err)
		err = open_signals(session);
	if (!err)
		err = kona_crew_new(&session->crew);
	if (err)
		return err;
	kona_choice_calibrate(session);
	if (!options->pid) {
		err = kona_session_spawn(session);
		if (!err)
			err = kona_session_add(session, session->command_pid, true);
		/* It may be over already. */
		err = err == -ESRCH ? 0 : err;
	} else {
		err = kona_session_add(session, options->pid, false);
		if (!err)
			err = keep_first(session, session->target[0]);
	}
	if (!err)
		err = keep_new(session);
	session->begin_ns = session->window_begin_ns = kona_now_ns();
	return err;
}

/* Waits for something to do, at most until deadline. */
static int wait_some(struct kona_session *session, uint64_t deadline_ns)
{
	size_t room = 1 + 2 * session->target_count;
	KONA_FREE struct pollfd *wait = calloc(room, sizeof(*wait));
	uint64_t now = kona_now_ns();
	uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
	struct timespec limit;
	size_t count = 1;

	if (!wait)
		return -ENOMEM;
	if (session->options.children && left > LOOK_NS)
		left = LOOK_NS;
	limit = (struct timespec){(time_t)(left / 1000000000), (long)(left % 1000000000)};
	wait[0] = (struct pollfd){session->signals, POLLIN, 0};
	for (size_t i = 0; i < session->target_count; i++) {
		wait[count++] = (struct pollfd){session->target[i]->pidfd, POLLIN, 0};
		wait[count++] = (struct pollfd){session->target[i]->watch, POLLIN, 0};
	}
	if (ppoll(wait, count, &limit, NULL) < 0 && errno != EINTR)
		return -errno;
	for (size_t i = 0; i < session->target_count; i++)
		kona_watch_drain(session->target[i]);
	read_signals(session);
	return session->options.children ? keep_new(session) : kona_session_look(session);
}

static void found_by(struct kona_window *window, enum kona_finding finding)
{
	static const char *const names[] = {"scan", "wp-async", "wp"};

	if (!window->found_by)
		window->found_by = names[finding];
	else if (strcmp(window->found_by, names[finding]) != 0)
		window->found_by = "mixed";
}

static int count_target(struct kona_session *session, struct kona_target *target,
			enum kona_finding finding, uint64_t paused_ns)
{
	struct kona_window *window = &session->window;
	struct kona_counts *counts = &window->counts;
	int err;

	kona_counts_add(counts, &target->dirty);
	counts->changed_bytes += target->changed_bytes;
	counts->paused_ns += paused_ns;
	counts->resident_bytes += target->resident_bytes;
	counts->kept_bytes += kona_store_bytes(&target->store);
	counts->unreadable_pages += target->unreadable_pages;
	window->faults += target->trapped_pages;
	window->processes++;
	found_by(window, finding);
	err = kona_target_places(target, &window->places);
	if (!err && session->sink->pages)
		err = session->sink->pages(session->sink->context, window->index, target);
	return err;
}

static uint64_t own_bytes(void)
{
	long kib = kona_status_number(getpid(), "VmRSS:");

	return kib > 0 ? (uint64_t)kib * KONA_KIB : 0;
}

static int hand_over(struct kona_session *session)
{
	struct kona_window *window = &session->window;
	uint64_t now = kona_now_ns();
	uint64_t lasted_ns = (now - session->window_begin_ns) * window->processes;
	int err;

	window->end_ns = now - session->begin_ns;
	window->fault_ns = window->faults * session->fault_ns;
	window->counts.run_ns =
		lasted_ns > window->counts.paused_ns ? lasted_ns - window->counts.paused_ns : 0;
	window->counts.tracker_bytes = own_bytes();
	kona_places_sort(&window->places);
	kona_counts_merge(&session->total, &window->counts);
	session->total_faults += window->faults;
	session->total_fault_ns += window->fault_ns;
	session->window_count++;
	session->window_begin_ns = now;
	err = kona_places_merge(&session->total_places, &window->places);
	if (!err)
		err = session->sink->window(session->sink->context, session, window);
	kona_places_clear(&window->places);
	return err;
}

static int end_window(struct kona_session *session)
{
	int err;

	session->window = (struct kona_window){.index = session->window_count + 1};
	err = kona_session_look(session);
	for (size_t i = 0; !err && i < session->target_count; i++) {
		struct kona_target *target = session->target[i];
		enum kona_finding finding;
		uint64_t paused_ns = 0;

		err = edge(session, target, &paused_ns, &finding);
		if (!err)
			err = count_target(session, target, finding, paused_ns);
		else if (err == -ESRCH || (err == -EPERM && session->target_count > 1))
			err = 0; /* it ended meanwhile, or is no longer ours to track */
	}
	if (err || !session->window.processes)
		return err;
	return hand_over(session);
}

static bool over(const struct kona_session *session)
{
	const struct kona_session_options *o = &session->options;

	return session->interrupted || !session->target_count ||
	       (o->windows && session->window_count >= o->windows) ||
	       (o->duration_ns && kona_now_ns() - session->begin_ns >= o->duration_ns);
}

/* The command has no memory any more, but a status only when the kernel has closed its files. */
static bool is_ending(const struct kona_session *session)
{
	return !session->options.pid && !session->command_ended &&
	       !kona_memory_held(session->command_pid);
}

int kona_session_run(struct kona_session *session)
{
	const struct kona_session_options *o = &session->options;
	int err = 0;

	while (!err && !over(session)) {
		uint64_t deadline = session->window_begin_ns + o->interval_ns;

		if (o->duration_ns && session->begin_ns + o->duration_ns < deadline)
			deadline = session->begin_ns + o->duration_ns;
		session->edge_now = false;
		while (!err && session->target_count && !session->interrupted &&
		       !session->edge_now && kona_now_ns() < deadline)
			err = wait_some(session, deadline);
		if (!err && session->target_count)
			err = end_window(session);
	}
	/* The command may have ended a moment ago, or be about to. */
	kona_stop_reap(&session->stopper);
	while (!err && !session->interrupted && is_ending(session))
		err = wait_some(session, kona_now_ns() + LOOK_NS);
	return err;
}

void kona_session_close(struct kona_session *session)
{
	for (size_t i = 0; i < session->target_count; i++) {
		kona_target_close(session->target[i]);
		free(session->target[i]);
	}
	free(session->target);
	session->target = NULL;
	session->target_count = 0;
	kona_places_clear(&session->window.places);
	kona_places_clear(&session->total_places);
	kona_crew_free(session->crew);
	session->crew = NULL;
	if (session->signals >= 0)
		close(session->signals);
	session->signals = -1;
}
