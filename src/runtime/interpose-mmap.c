/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mmap family, as the program sees it (interpose -> region, discard). Large anonymous private
 * mappings are placed in VFMem; calls on ranges of VFMem keep their documented meaning or fail with
 * a documented errno. Everything else goes to the kernel as it came.
 *
 * Stays local: what is executable, a stack, huge pages, locked, at a fixed address, shared, a file.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/alloc.h"
#include "runtime/discard.h"
#include "runtime/fatal.h"
#include "runtime/heir.h"
#include "runtime/os.h"
#include "runtime/process.h"
#include "runtime/space.h"

enum { LEAST_BYTES = 128 << 10 };

/* A range of whole pages, as far as it lies in VFMem. */
struct part {
	uint64_t first;
	uint64_t pages;
};

static int fail_with(int error)
{
	errno = error;
	return -1;
}

/* The space that new memory comes from, unless the caller is the runtime itself. */
static struct kona_space *space_for_program(void)
{
	if (kona_alloc_route == KONA_ROUTE_LOCAL)
		return NULL;
	return kona_process_prepare() == KONA_PROCESS_FAR ? kona_process_space() : NULL;
}

static bool page_aligned(const void *address)
{
	return !((uintptr_t)address % KONA_PAGE_BYTES);
}

/* The part of [address, address + size) that lies in VFMem. False: none. */
static bool find_part(const struct kona_space *space, const void *address, size_t size,
		      struct part *part)
{
	uintptr_t base, end, from = (uintptr_t)address, to;

	if (!space || !size)
		return false;
	base = (uintptr_t)space->base;
	end = base + space->pages * KONA_PAGE_BYTES;
	to = from + kona_round_up(size, KONA_PAGE_BYTES);
	if (to < from || from >= end || to <= base)
		return false;
	from = from < base ? base : from;
	to = to > end ? end : to;
	part->first = (from - base) / KONA_PAGE_BYTES;
	part->pages = (to - from) / KONA_PAGE_BYTES;
	return true;
}

/* True when the whole range lies in VFMem. */
static bool find_whole(const struct kona_space *space, const void *address, size_t size,
		       struct part *part)
{
	return find_part(space, address, size, part) &&
	       part->pages == kona_round_up(size, KONA_PAGE_BYTES) / KONA_PAGE_BYTES;
}

static bool touches_inherited(const void *address, size_t size)
{
	const struct kona_heir *heir = kona_process_heir();
	uintptr_t from = (uintptr_t)address, base;

	if (!heir)
		return false;
	base = (uintptr_t)heir->executor.base;
	return from < base + heir->size_bytes && from + size > base;
}

/* --- mmap --------------------------------------------------------------------------------------*/

static bool is_anonymous_private(int flags)
{
	return (flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) == MAP_PRIVATE;
}

static bool belongs_far(size_t size, int protection, int flags)
{
	const int local = MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN | MAP_HUGETLB |
			  MAP_STACK | MAP_LOCKED | MAP_32BIT;

	return size >= LEAST_BYTES && size <= SIZE_MAX / 2 && is_anonymous_private(flags) &&
	       !(flags & local) && !(protection & PROT_EXEC);
}

/* A mapping at a fixed address within VFMem. */
static void *map_fixed(struct kona_space *space, const struct part *part, void *address,
		       size_t size, int protection, int flags, int descriptor, off_t offset)
{
	bool over = !(flags & MAP_FIXED_NOREPLACE);
	bool stays = is_anonymous_private(flags) && !(flags & (MAP_HUGETLB | MAP_GROWSDOWN));
	int rc = kona_region_occupy(space, part->first, part->pages, stays ? protection : PROT_NONE,
				    over);

	if (rc) {
		errno = -rc;
		return MAP_FAILED;
	}
	if (stays)
		return address;
	kona_region_lend(space, part->first, part->pages);
	return kona_os_mmap(address, size, protection, (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED,
			    descriptor, offset);
}

KONA_PUBLIC void *mmap(void *address, size_t size, int protection, int flags, int descriptor,
		       off_t offset)
{
	struct kona_space *space = space_for_program();
	struct part part;
	void *memory;

	if ((flags & MAP_FIXED) && touches_inherited(address, size))
		return kona_heir_mmap(kona_process_heir(), address, size, protection, flags,
				      descriptor, offset);
	if (!space || offset % KONA_PAGE_BYTES)
		return kona_os_mmap(address, size, protection, flags, descriptor, offset);
	if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && page_aligned(address) &&
	    find_whole(space, address, size, &part))
		return map_fixed(space, &part, address, size, protection, flags, descriptor,
				 offset);
	if (!belongs_far(size, protection, flags))
		return kona_os_mmap(address, size, protection, flags, descriptor, offset);
	memory = kona_region_alloc(space, kona_round_up(size, KONA_PAGE_BYTES) / KONA_PAGE_BYTES, 1,
				   protection);
	if (memory)
		return memory;
	if (protection == PROT_NONE) /* a reservation larger than VFMem */
		return kona_os_mmap(address, size, protection, flags, descriptor, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

KONA_PUBLIC void *mmap64(void *address, size_t size, int protection, int flags, int descriptor,
			 off_t offset) __attribute__((alias("mmap")));

/* --- munmap, mprotect --------------------------------------------------------------------------*/

KONA_PUBLIC int munmap(void *address, size_t size)
{
	struct kona_space *space = kona_process_space();
	uintptr_t start = (uintptr_t)address, end = start + kona_round_up(size, KONA_PAGE_BYTES);
	struct part part;
	uintptr_t far_start, far_end;

	if (touches_inherited(address, size))
		return kona_heir_munmap(kona_process_heir(), address, size);
	if (!page_aligned(address) || !find_part(space, address, size, &part))
		return kona_os_munmap(address, size);
	far_start = (uintptr_t)kona_space_address(space, part.first);
	far_end = far_start + part.pages * KONA_PAGE_BYTES;
	if (far_start > start && kona_os_munmap(address, far_start - start))
		return -1;
	if (end > far_end && kona_os_munmap((void *)far_end, end - far_end))
		return -1;
	kona_region_free(space, part.first, part.pages);
	return 0;
}

KONA_PUBLIC int mprotect(void *address, size_t size, int protection)
{
	struct kona_space *space = kona_process_space();
	struct part part;
	int rc;

	if (!page_aligned(address) || !find_whole(space, address, size, &part))
		return kona_os_mprotect(address, size, protection);
	if (!kona_region_in_use(space, part.first, part.pages))
		return fail_with(ENOMEM);
	rc = kona_region_protect(space, part.first, part.pages, protection);
	return rc ? fail_with(-rc) : 0;
}

/* --- madvise -----------------------------------------------------------------------------------*/

/* What the kernel would do to VFMem's mapping or its pages must not happen, but for these. */
static int advise_far(struct kona_space *space, const struct part *part, int advice)
{
	if (!kona_region_in_use(space, part->first, part->pages))
		return fail_with(ENOMEM);
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
		kona_discard(space, part->first, part->pages);
		return 0;
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return kona_os_madvise(kona_space_address(space, part->first),
				       part->pages * KONA_PAGE_BYTES, advice);
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_DODUMP:
	case MADV_DONTDUMP:
	case MADV_DOFORK:
	case MADV_KEEPONFORK:
		return 0; /* on paging, huge pages, merging, dumps: it has no meaning here */
	default:
		return fail_with(EINVAL);
	}
}

/* In a child, discarded memory becomes fresh memory: the parent's store is not the child's. */
static int renew_inherited(void *address, size_t size)
{
	int protection = kona_os_protection(address);
	void *fresh;

	if (protection < 0)
		return fail_with(ENOMEM);
	fresh = kona_heir_mmap(kona_process_heir(), address, size, protection,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	return fresh == MAP_FAILED ? -1 : 0;
}

KONA_PUBLIC int madvise(void *address, size_t size, int advice)
{
	struct kona_space *space = kona_process_space();
	struct part part;

	if (!page_aligned(address))
		return kona_os_madvise(address, size, advice);
	if (find_whole(space, address, size, &part))
		return advise_far(space, &part, advice);
	if (kona_process_inherited(address) && (advice == MADV_DONTNEED || advice == MADV_FREE))
		return renew_inherited(address, size);
	return kona_os_madvise(address, size, advice);
}

KONA_PUBLIC int posix_madvise(void *address, size_t size, int advice)
{
	/* POSIX's DONTNEED loses nothing. */
	return advice == POSIX_MADV_DONTNEED || !madvise(address, size, advice) ? 0 : errno;
}

/* --- mremap ------------------------------------------------------------------------------------*/

/*
 * Moves the contents through the caller's own accesses: sequential, so fault-around carries them.
 * The new place gets the protection of the old one.
 */
static void *move_range(void *from, size_t old_size, void *to, size_t new_size, int protection)
{
	if (!(protection & PROT_READ))
		mprotect(from, old_size, PROT_READ);
	memcpy(to, from, old_size < new_size ? old_size : new_size);
	if (protection != (PROT_READ | PROT_WRITE))
		mprotect(to, new_size, protection);
	munmap(from, old_size);
	return to;
}

static void *move_to(void *old, size_t old_size, void *wanted, size_t new_size, int fixed)
{
	int protection = kona_os_protection(old);
	void *moved;

	if (protection < 0) {
		errno = EFAULT;
		return MAP_FAILED;
	}
	moved = mmap(wanted, new_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed,
		     -1, 0);
	return moved == MAP_FAILED ? moved : move_range(old, old_size, moved, new_size, protection);
}

/* mremap(2)'s own checks. */
static bool valid_remap(const void *old, size_t old_size, size_t new_size, int flags,
			const void *wanted)
{
	uintptr_t from = (uintptr_t)old, to = (uintptr_t)wanted;

	if (!old_size || !new_size || !page_aligned(old) || (flags & MREMAP_DONTUNMAP))
		return false;
	if (!(flags & MREMAP_FIXED))
		return true;
	return (flags & MREMAP_MAYMOVE) && page_aligned(wanted) &&
	       (to >= from + old_size || from >= to + new_size);
}

static void *remap_far(struct kona_space *space, const struct part *part, void *old,
		       size_t old_size, size_t new_size, int flags)
{
	uint64_t pages = kona_round_up(new_size, KONA_PAGE_BYTES) / KONA_PAGE_BYTES;
	int protection;

	if (pages < part->pages)
		kona_region_free(space, part->first + pages, part->pages - pages);
	if (pages <= part->pages)
		return old;
	protection = kona_os_protection(old);
	if (protection >= 0 && !kona_region_occupy(space, part->first + part->pages,
						   pages - part->pages, protection, false))
		return old;
	if (flags & MREMAP_MAYMOVE)
		return move_to(old, old_size, NULL, new_size, 0);
	errno = ENOMEM;
	return MAP_FAILED;
}

static void *remap_inherited(void *old, size_t old_size, size_t new_size, int flags)
{
	if (flags & MREMAP_MAYMOVE)
		return move_to(old, old_size, NULL, new_size, 0);
	if (new_size <= old_size)
		return munmap((char *)old + new_size, old_size - new_size) ? MAP_FAILED : old;
	errno = ENOMEM;
	return MAP_FAILED;
}

KONA_PUBLIC void *mremap(void *old, size_t old_size, size_t new_size, int flags, ...)
{
	struct kona_space *space = kona_process_space();
	bool far, inherited = kona_process_inherited(old);
	struct part part, target;
	void *wanted = NULL;
	va_list args;

	if (flags & MREMAP_FIXED) {
		va_start(args, flags);
		wanted = va_arg(args, void *);
		va_end(args);
	}
	far = find_whole(space, old, old_size ? old_size : 1, &part);
	if (!far && !inherited && !(wanted && find_part(space, wanted, new_size, &target)))
		return (void *)syscall(SYS_mremap, old, old_size, new_size, flags, wanted);
	if (!valid_remap(old, old_size, new_size, flags, wanted)) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	if (far && !kona_region_in_use(space, part.first, part.pages)) {
		errno = EFAULT;
		return MAP_FAILED;
	}
	if (flags & MREMAP_FIXED)
		return move_to(old, old_size, wanted, new_size, MAP_FIXED);
	if (far)
		return remap_far(space, &part, old, old_size, new_size, flags);
	return remap_inherited(old, old_size, new_size, flags);
}

/* --- mlock -------------------------------------------------------------------------------------*/

static int refuse_lock(void)
{
	static int said; /* Atomic, no edge */

	if (!kona_exchange_acq_rel(&said, 1))
		kona_warn("mlock: remote memory cannot be locked; refused with EPERM");
	return fail_with(EPERM);
}

KONA_PUBLIC int mlock(const void *address, size_t size)
{
	struct part part;

	if (find_part(kona_process_space(), address, size, &part))
		return refuse_lock();
	return (int)syscall(SYS_mlock, address, size);
}

KONA_PUBLIC int mlock2(const void *address, size_t size, unsigned flags)
{
	struct part part;

	if (find_part(kona_process_space(), address, size, &part))
		return refuse_lock();
	return (int)syscall(SYS_mlock2, address, size, flags);
}

KONA_PUBLIC int mlockall(int flags)
{
	return kona_process_space() ? refuse_lock() : (int)syscall(SYS_mlockall, flags);
}
