/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A userfaultfd of another process: the descriptor through which its pages can be write-protected
 * from outside.
 *
 * Only the process itself can make one, so one of its threads is led through userfaultfd(2), the
 * descriptor is taken out, and the thread is led through close(2). All its threads are stopped
 * meanwhile (a fork in between would leak the descriptor into a child), about a millisecond. A
 * helper process of its own session does this: a signal that kills the tracker at that moment
 * cannot leave a thread with foreign registers.
 */
#ifndef KONA_TRACK_INJECT_H
#define KONA_TRACK_INJECT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

/*
 * Returns 0, the descriptor and the time for which pid was stopped. -EPERM: not allowed; -ENOSYS:
 * no pidfd_getfd(2) or userfaultfd(2); -EACCES: pid has a seccomp filter, which might end it;
 * -EBUSY: no thread in a state to be led; -EOPNOTSUPP: not a 64-bit program; -ESRCH; -errno.
 */
KONA_MUST_CHECK int kona_inject_userfaultfd(pid_t pid, int *ret_fd, uint64_t *ret_stopped_ns);

#endif
