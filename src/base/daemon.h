/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemons have in common with respect to whoever started them: they say when they are
 * ready, and a private one ends with its owner.
 */
#ifndef KONA_BASE_DAEMON_H
#define KONA_BASE_DAEMON_H

#include <pthread.h>
#include <sys/types.h>

#include "base/compiler.h"

/*
 * Opens /dev/null, close-on-exec, for each of the three standard descriptors that is closed: else
 * the next file or socket would take its number, and a message would be written into it. Call
 * first.
 */
void kona_daemon_guard_standard_fds(void);

/* Lets this process have as many descriptors as it may. */
void kona_daemon_raise_descriptor_limit(void);

/*
 * Tells that the daemon is ready: "READY=1" to $NOTIFY_SOCKET, where the service manager set it,
 * and the line "ready" to ready_fd, where that is not -1. Failures are not worth ending for.
 */
void kona_daemon_ready(int ready_fd);

/* Writes a line to ready_fd, where that is not -1. */
void kona_daemon_say(int ready_fd, const char *line);

/*
 * Makes an inherited descriptor, named on the command line, close-on-exec and non-blocking.
 * Returns 0; -EBADF when it is not open.
 */
KONA_MUST_CHECK int kona_daemon_adopt_fd(int fd);

/*
 * The value of an option: an inherited descriptor (which is adopted), or the rights of a socket. In
 * an argp parser; a bad value ends the program with argp's usage line.
 */
struct argp_state;
int kona_daemon_option_fd(const char *text, struct argp_state *state);
mode_t kona_daemon_option_mode(const char *text, struct argp_state *state);

/* What an administrator does about an address (HOST:PORT), or a socket's path, that is refused. */
const char *kona_daemon_bad_address(int error);
const char *kona_daemon_bad_path(int error);

enum kona_daemon_owner {
	KONA_OWNER_LIVES,
	KONA_OWNER_LEFT, /* it wrote a byte and closed: let go of us, all is well */
	KONA_OWNER_DIED, /* the pipe ended without a byte */
};

/*
 * Reads the owner pipe without blocking. *left remembers a byte that was seen; start with 0.
 */
enum kona_daemon_owner kona_daemon_owner_state(int owner_fd, int *left);

/* Starts a thread that no signal comes to: those are the main loop's. -errno. */
KONA_MUST_CHECK int kona_daemon_thread(pthread_t *ret_thread, void *(*run)(void *), void *argument);

/*
 * Lets go of standard error, on which whoever started us may wait for an end.
 */
void kona_daemon_hush(void);

/* Removes the files that a private rack keeps in its folder, and the folder when it is empty. */
void kona_daemon_remove_private(const char *folder);

/* The names of those files. */
#define KONA_PRIVATE_RACK_SOCKET "rack.sock"
#define KONA_PRIVATE_MEMD_SOCKET "memd.sock"

#endif
