/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sealed memfds. Stateless.
 */
#include "memnode/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

int kona_memory_make(uint64_t size_bytes, struct kona_memory *ret_memory)
{
	int fd = memfd_create("kona-slabs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size_bytes) || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	ret_memory->descriptor = fd;
	ret_memory->bytes = size_bytes;
	return 0;
}

bool kona_memory_shrink(struct kona_memory *memory, uint64_t step_bytes)
{
	memory->bytes -= memory->bytes < step_bytes ? memory->bytes : step_bytes;
	/* Refused (EINVAL, EPERM) only where the tenant has shrunk it further already. */
	if (!ftruncate(memory->descriptor, (off_t)memory->bytes) && memory->bytes)
		return false;
	if (memory->bytes)
		return false;
	close(memory->descriptor);
	memory->descriptor = -1;
	return true;
}
