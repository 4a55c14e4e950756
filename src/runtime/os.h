/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime's one seam to the kernel.
 *
 * Everything here goes past the interposed libc functions, straight to the kernel: what it maps is
 * ordinary local memory (CMem), never VFMem. Functions return 0 or -errno, except those of the
 * first group, which keep libc's contract because jemalloc and the interposers stand in for libc.
 */
#ifndef KONA_RUNTIME_OS_H
#define KONA_RUNTIME_OS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

/* As their libc namesakes: MAP_FAILED or -1, and errno. */
void *kona_os_mmap(void *address, size_t size, int protection, int flags, int descriptor,
		   off_t offset);
int kona_os_munmap(void *address, size_t size);
int kona_os_madvise(void *address, size_t size, int advice);
int kona_os_mprotect(void *address, size_t size, int protection);

/* Zeroed local memory, populated on touch; NULL: -ENOMEM. */
void *kona_os_alloc(size_t size_bytes);

/*
 * Makes a descriptor the runtime's: moves it out of the low numbers (daemons close all that they
 * find there, shells redirect them), close-on-exec, and guards it. Takes over the old one. Returns
 * the new one, or the old one when the table has no room above; a negative one passes through.
 */
int kona_os_raise(int descriptor);
void kona_os_close(int descriptor);

/* Descriptors from here on are never guarded. */
enum { KONA_OS_MOST_GUARDED = 1 << 16 };

/* True for descriptors that the program must not close (interpose-fd.c). */
bool kona_os_guards(int descriptor);

/* As close_range(), but passes over the guarded ones. */
int kona_os_close_range(unsigned first, unsigned last, int flags);

/* The protection (PROT_*) of the mapping at `address`; -errno when nothing is mapped there. */
int kona_os_protection(const void *address);

/* No handler runs on this thread until *ret_signals is its mask again. */
void kona_os_block_signals(sigset_t *ret_signals);

/*
 * Starts a thread of the runtime: all signals blocked, named, detached. With `own_table` it has a
 * descriptor table of its own, with copies of the guarded ones in it and nothing else: whatever the
 * program closes, by whatever call, they stay open to this thread. Returns when that is done.
 */
KONA_MUST_CHECK int kona_os_thread(const char *name, void (*run)(void *), void *argument,
				   bool own_table, pid_t *ret_tid);

/* A descriptor that polls readable when thread `tid` of this process is gone; -errno. */
int kona_os_thread_pidfd(pid_t tid);

/* --- userfaultfd ------------------------------------------------------------------------------ */

/* Opens one with all that the runtime needs. -EPERM, -ENOSYS (kernel older than 6.8), ... */
KONA_MUST_CHECK int kona_uffd_open(int *ret_descriptor);
KONA_MUST_CHECK int kona_uffd_register(int uffd, void *start, size_t size_bytes,
				       bool write_protect);
void kona_uffd_wake(int uffd, void *start, size_t size_bytes);

/*
 * The three below may stop half-way; *ret_done_bytes says how far they came (a multiple of a page),
 * also on failure. -EAGAIN: a fork waits for its event to be read. -EEXIST: the next page is
 * already there. -ENOENT: no such page, or the range is not registered any more. -ESRCH: the
 * process is gone.
 */
KONA_MUST_CHECK int kona_uffd_copy(int uffd, void *to, const void *from, size_t size_bytes,
				   bool write_protect, size_t *ret_done_bytes);
/* -EBUSY: the next page is pinned, or shared with a child. -EINVAL: the range is not writable. */
KONA_MUST_CHECK int kona_uffd_move(int uffd, void *to, void *from, size_t size_bytes,
				   size_t *ret_done_bytes);
/* Lets writers of the range go on. */
KONA_MUST_CHECK int kona_uffd_unprotect(int uffd, void *start, size_t size_bytes);

#endif
