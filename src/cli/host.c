/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host must have, and where kona's own files are.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "cli/run.h"

/* Linux 6.8; Debian 12's headers are older. */
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif

static int tell_not_permitted(int error)
{
	if (error == ENOSYS)
		kona_error("this kernel has no userfaultfd (CONFIG_USERFAULTFD)");
	else if (error == EPERM)
		kona_error("userfaultfd is not permitted: as root, `sysctl "
			   "vm.unprivileged_userfaultfd=1`, or give the program CAP_SYS_PTRACE "
			   "(in a container, the seccomp profile must allow it, too)");
	else
		kona_error("userfaultfd: %s", strerror(error));
	return KONA_EXIT_OURS;
}

int kona_host_check(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct utsname name;
	KONA_CLOSE int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return tell_not_permitted(errno);
	/* The kernel answers with all that it can. */
	if (ioctl(fd, UFFDIO_API, &api) || !(api.features & UFFD_FEATURE_MOVE)) {
		uname(&name);
		kona_error("this kernel, Linux %s, is too old: UFFDIO_MOVE came with 6.8",
			   name.release);
		return KONA_EXIT_OURS;
	}
	return 0;
}

uint64_t kona_host_memory_bytes(void)
{
	struct sysinfo info;

	return sysinfo(&info) ? 0 : (uint64_t)info.totalram * info.mem_unit;
}

int kona_find_beside(const char *name, const char *installed, char ret_path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (length > 0) {
		self[length] = 0;
		slash = strrchr(self, '/');
		if (slash) {
			*slash = 0;
			if (snprintf(ret_path, PATH_MAX, "%s/%s", self, name) < PATH_MAX &&
			    !access(ret_path, R_OK))
				return 0;
		}
	}
	if (snprintf(ret_path, PATH_MAX, "%s/%s", installed, name) < PATH_MAX &&
	    !access(ret_path, R_OK))
		return 0;
	return -ENOENT;
}
