/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sealed memfds, unnamed files, ranges.
 *
 * State: the store's. No locks: the kernel's, on ranges, keep threads and processes apart. What can
 * fail: descriptors, space; a file that its owner shrinks.
 */
#include "memnode/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/units.h"

/* --- opening -----------------------------------------------------------------------------------*/

static int open_folder(struct kona_store *store, const char **ret_why)
{
	int fd = open(store->path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), rc = 0;
	struct statvfs space;

	if (fd < 0) {
		*ret_why = errno == EOPNOTSUPP ? "its file system has no unnamed files (O_TMPFILE)"
					       : "no file can be made in it";
		return -errno;
	}
	store->kind = KONA_STORE_FOLDER;
	if (fstatvfs(fd, &space)) {
		*ret_why = "its file system does not tell its size";
		rc = -errno;
	} else {
		store->bytes = (uint64_t)space.f_bavail * space.f_frsize;
		/* hugetlbfs has no smaller pages. */
		store->align_bytes =
			space.f_bsize > KONA_PAGE_BYTES ? space.f_bsize : KONA_PAGE_BYTES;
	}
	close(fd);
	return rc;
}

/* A number that the kernel tells of a device. 0: none. */
static uint64_t device_number(dev_t device, const char *name)
{
	unsigned long long value = 0;
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/%s", major(device), minor(device), name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

static int open_device(struct kona_store *store, int fd, dev_t device, const char **ret_why)
{
	void *mapped;

	store->kind = KONA_STORE_DEVICE;
	store->bytes = device_number(device, "size");
	store->align_bytes = device_number(device, "align");
	if (!store->bytes)
		store->bytes = device_number(device, "device/size");
	if (!store->bytes || !store->align_bytes) {
		*ret_why = "no DAX device: the kernel tells neither its size nor its alignment";
		return -ENODEV;
	}
	mapped = mmap(NULL, store->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED) {
		*ret_why = "it cannot be mapped";
		return -errno;
	}
	store->mapped = mapped;
	return 0;
}

static int open_node(struct kona_store *store, const struct stat *status, const char **ret_why)
{
	int fd, rc = 0;

	if (status->st_mode & (S_IRWXG | S_IRWXO)) {
		*ret_why = "others than its owner can open it, and see what programs keep there: "
			   "chmod 600";
		return -EPERM;
	}
	fd = open(store->path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		*ret_why = "it cannot be opened for reading and writing";
		return -errno;
	}
	store->owner = status->st_uid;
	if (S_ISCHR(status->st_mode)) {
		rc = open_device(store, fd, status->st_rdev, ret_why);
	} else {
		store->kind = KONA_STORE_FILE;
		store->bytes = (uint64_t)status->st_size;
	}
	close(fd);
	return rc;
}

int kona_store_open(struct kona_store *store, const char *path, const char **ret_why)
{
	struct stat status;

	*store = (struct kona_store){.kind = KONA_STORE_MEMFD,
				     .path = path,
				     .bytes = UINT64_MAX,
				     .align_bytes = KONA_PAGE_BYTES};
	if (!path)
		return 0;
	if (stat(path, &status)) {
		*ret_why = "it is not there";
		return -errno;
	}
	if (S_ISDIR(status.st_mode))
		return open_folder(store, ret_why);
	if (S_ISREG(status.st_mode) || S_ISCHR(status.st_mode))
		return open_node(store, &status, ret_why);
	*ret_why = "neither a folder, a file nor a DAX device";
	return -EINVAL;
}

void kona_store_close(struct kona_store *store)
{
	if (store->mapped)
		munmap(store->mapped, store->bytes);
	store->mapped = NULL;
}

bool kona_store_serves(const struct kona_store *store, uid_t user)
{
	return store->kind < KONA_STORE_FILE || user == store->owner;
}

/* --- making ------------------------------------------------------------------------------------*/

static int fail(int fd)
{
	int rc = -errno;

	close(fd);
	return rc;
}

static int make_memfd(uint64_t size_bytes)
{
	int fd = memfd_create("kona-slabs", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size_bytes) || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL))
		return fail(fd);
	return fd;
}

/* With its space, so that it does not run out while somebody writes there. */
static int make_file(const struct kona_store *store, uint64_t size_bytes)
{
	int fd = open(store->path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	return fallocate(fd, 0, 0, (off_t)size_bytes) ? fail(fd) : fd;
}

static int set_lock(int fd, short type, uint64_t start_bytes, uint64_t size_bytes)
{
	struct flock lock = {.l_type = type,
			     .l_whence = SEEK_SET,
			     .l_start = (off_t)start_bytes,
			     .l_len = (off_t)size_bytes};

	return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

/* Locks a range that nobody has. Returns where it begins; -ENOSPC. */
static int64_t lock_range(struct kona_store *store, int fd, uint64_t slab_bytes,
			  uint64_t size_bytes)
{
	uint64_t slabs = store->bytes / slab_bytes, first, tries;

	/* relaxed: only a hint */
	first = kona_load_relaxed(&store->next_bytes) / slab_bytes;
	for (tries = 0; tries < slabs; tries++) {
		uint64_t start_bytes = (first + tries) % slabs * slab_bytes;
		int rc;

		if (size_bytes > slabs * slab_bytes - start_bytes)
			continue;
		rc = set_lock(fd, F_WRLCK, start_bytes, size_bytes);
		if (!rc) {
			kona_store_relaxed(&store->next_bytes, start_bytes + size_bytes);
			return (int64_t)start_bytes;
		}
		if (rc != -EAGAIN && rc != -EACCES)
			return rc;
	}
	return -ENOSPC;
}

static int clear_range(struct kona_store *store, int fd, uint64_t start_bytes, uint64_t size_bytes)
{
	struct stat status;

	if (store->mapped) {
		memset(store->mapped + start_bytes, 0, size_bytes);
		return 0;
	}
	if (fstat(fd, &status))
		return -errno;
	if ((uint64_t)status.st_size < start_bytes + size_bytes)
		return -EIO;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start_bytes,
		      (off_t)size_bytes) ||
	    fallocate(fd, 0, (off_t)start_bytes, (off_t)size_bytes))
		return -errno;
	return 0;
}

static int make_range(struct kona_store *store, uint64_t slab_bytes, uint64_t size_bytes,
		      uint64_t *ret_base_bytes)
{
	int fd = open(store->path, O_RDWR | O_CLOEXEC), rc;
	int64_t start_bytes;

	if (fd < 0)
		return -errno;
	start_bytes = lock_range(store, fd, slab_bytes, size_bytes);
	rc = start_bytes < 0 ? (int)start_bytes
			     : clear_range(store, fd, (uint64_t)start_bytes, size_bytes);
	if (rc) {
		close(fd);
		return rc;
	}
	*ret_base_bytes = (uint64_t)start_bytes;
	return fd;
}

int kona_memory_make(struct kona_store *store, uint64_t slab_bytes, uint64_t count,
		     struct kona_memory *ret_memory)
{
	uint64_t size_bytes = slab_bytes * count, base_bytes = 0;
	int fd;

	if (slab_bytes % store->align_bytes)
		return -EINVAL;
	if (store->kind == KONA_STORE_MEMFD)
		fd = make_memfd(size_bytes);
	else if (store->kind == KONA_STORE_FOLDER)
		fd = make_file(store, size_bytes);
	else
		fd = make_range(store, slab_bytes, size_bytes, &base_bytes);
	if (fd < 0)
		return fd;
	*ret_memory = (struct kona_memory){.descriptor = fd,
					   .bytes = size_bytes,
					   .base_bytes = base_bytes,
					   .is_range = store->kind >= KONA_STORE_FILE};
	return 0;
}

/* --- giving back -------------------------------------------------------------------------------*/

static void resize(struct kona_memory *memory, uint64_t bytes)
{
	memory->bytes = bytes;
	if (ftruncate(memory->descriptor, (off_t)bytes)) {
		/* Refused (EINVAL, EPERM) only where the tenant has shrunk it further already. */
	}
}

void kona_memory_drop(struct kona_memory *memory)
{
	close(memory->descriptor);
	*memory = (struct kona_memory){.descriptor = -1};
}

void kona_memory_cut(struct kona_memory *memory, uint64_t bytes)
{
	uint64_t cut_bytes = memory->bytes - bytes;

	if (!bytes) {
		kona_memory_drop(memory);
	} else if (!memory->is_range) {
		resize(memory, bytes);
	} else if (cut_bytes) {
		memory->bytes = bytes;
		if (set_lock(memory->descriptor, F_UNLCK, memory->base_bytes + bytes, cut_bytes)) {
			/* Then it is free with the rest. */
		}
	}
}

bool kona_memory_shrink(struct kona_memory *memory, uint64_t step_bytes)
{
	if (!memory->is_range)
		resize(memory, memory->bytes < step_bytes ? 0 : memory->bytes - step_bytes);
	if (memory->bytes && !memory->is_range)
		return false;
	kona_memory_drop(memory);
	return true;
}

char *kona_memory_window(const struct kona_store *store, const struct kona_memory *memory)
{
	return store->mapped ? store->mapped + memory->base_bytes : NULL;
}
