/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeps the program from closing the runtime's descriptors: daemons close all that they find. To
 * the program those are closed: EBADF, or passed over in ranges. (A program that closes them by
 * system calls of its own ends with a clear line when next the runtime has something to do; see
 * keeper.h.)
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"
#include "runtime/os.h"

KONA_PUBLIC void closefrom(int first);
KONA_PUBLIC int close_range(unsigned first, unsigned last, int flags);

static int refuse(int error)
{
	errno = error;
	return -1;
}

KONA_PUBLIC int close(int descriptor)
{
	if (kona_os_guards(descriptor))
		return refuse(EBADF);
	return (int)syscall(SYS_close, descriptor);
}

KONA_PUBLIC int close_range(unsigned first, unsigned last, int flags)
{
	return first > last ? refuse(EINVAL) : kona_os_close_range(first, last, flags);
}

KONA_PUBLIC void closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned)first, ~0U, 0);
}

KONA_PUBLIC int dup2(int old, int new)
{
	return kona_os_guards(new) ? refuse(EBADF) : (int)syscall(SYS_dup2, old, new);
}

KONA_PUBLIC int dup3(int old, int new, int flags)
{
	return kona_os_guards(new) ? refuse(EBADF) : (int)syscall(SYS_dup3, old, new, flags);
}
