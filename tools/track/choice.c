/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scanning or write-protection: which costs the target less, by what was measured here.
 *
 * A scan stops the target for as long as it takes to read all that is resident. Write-protection
 * costs it one fault per page that it writes. Such a fault costs a busy program more than the time
 * it takes in a loop that does nothing else: its cache and TLB suffer, and it meets the tracker,
 * which reads at the same time. Redis at full speed takes 0.4 to 0.6 more CPU per SET, which is
 * about three times the faults by themselves (bench/track-cost). Both are predicted for the next
 * window from the last one; the way is changed when the other one's cost is below 70 %, so that it
 * does not flutter.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/units.h"
#include "kernel.h"
#include "session.h"

enum {
	TRIAL_PAGES = 256,
	TRIAL_BYTES = TRIAL_PAGES * KONA_PAGE_BYTES,
	FAULT_WEIGHT = 3,
};

static const uint64_t SCAN_NS_PER_GIB = 150000000; /* until the first scan has told */
static const uint64_t FAULT_NS = 20000;		   /* where it cannot be measured */

/* Write-protects pages of our own and writes them. */
static uint64_t measure_fault(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_WP};
	struct kona_regions list = {0};
	KONA_CLOSE int watch = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	KONA_CLOSE int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	char *pages = mmap(NULL, TRIAL_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint64_t cost = FAULT_NS;

	if (pages == MAP_FAILED)
		return cost;
	range.range.start = (uintptr_t)pages;
	range.range.len = TRIAL_BYTES;
	if (watch >= 0 && pagemap >= 0 && !ioctl(watch, UFFDIO_API, &api) &&
	    !ioctl(watch, UFFDIO_REGISTER, &range) &&
	    !kona_regions_scan(pagemap, range.range.start, range.range.start + TRIAL_BYTES,
			       KONA_REGIONS_PROTECT, &list)) {
		uint64_t start = kona_now_ns();

		for (size_t i = 0; i < TRIAL_PAGES; i++)
			*(volatile char *)(pages + i * KONA_PAGE_BYTES) = 1;
		cost = (kona_now_ns() - start) / TRIAL_PAGES * FAULT_WEIGHT;
	}
	kona_regions_free(&list);
	munmap(pages, TRIAL_BYTES);
	return cost;
}

void kona_choice_calibrate(struct kona_session *session)
{
	session->fault_ns = measure_fault();
	session->scan_ns_per_gib = SCAN_NS_PER_GIB;
}

static const char *why_not(int err)
{
	switch (err) {
	case -ENOSYS:
	case -ENOTTY:
		return "it needs Linux 6.7";
	case -EACCES:
		return "the process has a seccomp filter, which might end it for the system call";
	case -EPERM:
		return "not allowed";
	case -EOPNOTSUPP:
		return "not a 64-bit program";
	case -EBUSY:
		return "no thread is in a state to make the system call now";
	default:
		return strerror(-err);
	}
}

/* Makes sure of the userfaultfd; says once per target why there is none. */
static bool have_watch(struct kona_session *session, struct kona_target *target)
{
	int err;

	if (target->watch >= 0)
		return true;
	if (target->watch_refused)
		return false;
	err = kona_watch_open(target);
	if (!err) {
		session->attach_ns += target->watch_stopped_ns;
		return true;
	}
	if (err == -EBUSY && ++target->watch_tries < 5)
		return false;
	target->watch_refused = true;
	if (err != -ESRCH)
		kona_info("%s (pid %d) cannot be watched by write-protection, so it is scanned: %s",
			  target->name, target->pid, why_not(err));
	return false;
}

enum kona_finding kona_choice_next(struct kona_session *session, struct kona_target *target)
{
	switch (session->options.mode) {
	case KONA_MODE_SCAN:
		return KONA_FIND_SCAN;
	case KONA_MODE_PAGES:
		return have_watch(session, target) ? KONA_FIND_PAGES : KONA_FIND_SCAN;
	case KONA_MODE_ASYNC:
		return have_watch(session, target) ? KONA_FIND_ASYNC : KONA_FIND_SCAN;
	case KONA_MODE_AUTO:
		if (!have_watch(session, target))
			return KONA_FIND_SCAN;
		break;
	}
	return target->preferred;
}

void kona_choice_learn(struct kona_session *session, struct kona_target *target,
		       enum kona_finding finding, bool first)
{
	uint64_t written_pages, scan_ns, async_ns;

	if (finding == KONA_FIND_SCAN && target->scanned_bytes >= 16 * KONA_MIB)
		session->scan_ns_per_gib =
			(uint64_t)((double)target->scan_ns / (double)target->scanned_bytes *
				   (double)KONA_GIB);
	target->preferred = finding;
	if (first)
		return;
	written_pages = finding == KONA_FIND_SCAN ? target->dirty.count
						  : target->scanned_bytes / KONA_PAGE_BYTES;
	scan_ns = (uint64_t)((double)target->resident_bytes / (double)KONA_GIB *
			     (double)session->scan_ns_per_gib);
	async_ns = written_pages * session->fault_ns;
	if (target->preferred == KONA_FIND_SCAN && async_ns < scan_ns / 10 * 7)
		target->preferred = KONA_FIND_ASYNC;
	else if (target->preferred == KONA_FIND_ASYNC && scan_ns < async_ns / 10 * 7)
		target->preferred = KONA_FIND_SCAN;
}
