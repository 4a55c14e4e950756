/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guard path on the real engine with a store of its own, in a process per test, with far more
 * data than frames.
 *
 * Catches: a guarded write lost or a stale line read back after any number of evictions; a frame
 * reused under a translation; pages that are lost on their way between frame and address; dirty
 * lines missed where guarded and unguarded code write the same page; guards that do not wake, or
 * wake too soon; memory beyond the budget; a trend that prefetch does not find, and one that it
 * finds in random accesses; a change of protection that guards do not feel, or behind which a store
 * of an old translation is lost, or the program ends or hangs; a thread that waits at a gate that
 * it closed itself.
 */
#include "engine.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <kona/guard.h>

#include "base/atomic.h"
#include "base/huge.h"
#include "runtime/discard.h"
#include "runtime/guard.h"
#include "runtime/hazard.h"
#include "runtime/inplace.h"
#include "runtime/os.h"
#include "runtime/prefetch.h"

enum { ROUNDS = 200000 };

/* While memory was never short, the guards sleep. */
static uint64_t *make_sleeping_data(enum kona_dirty_mode mode, uint64_t pages)
{
	make_space(mode, &shm);
	kona_guard_attach(&space);
	kona_hazard_enter(&space);
	return take_data(pages);
}

static void wake_guards(void)
{
	sigset_t signals;

	kona_space_lock(&space, &signals);
	kona_hazard_wake(&space);
	kona_space_unlock(&space, &signals);
}

static uint64_t *make_data(enum kona_dirty_mode mode, uint64_t pages)
{
	uint64_t *data = make_sleeping_data(mode, pages);

	wake_guards();
	return data;
}

static uint64_t get(const uint64_t *p)
{
	return *(const uint64_t *)kona_guard_load(p, 0);
}

static void put(uint64_t *p, uint64_t value)
{
	*(uint64_t *)kona_guard_store(p, 1) = value;
}

/* Each thread owns one word of every line, so that lines are shared and words are not. */
struct worker {
	uint64_t *data;
	uint64_t number;
	uint64_t *model;
	uint32_t unguarded; /* of 256 accesses */
};

static uint64_t *word_of(const struct worker *worker, uint64_t line)
{
	return worker->data + line * 8 + worker->number;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	uint64_t random = (worker->number + 1) * UINT64_C(88172645463325252),
		 lines = DATA_PAGES * 64;

	kona_hazard_enter(&space);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t line = next_random(&random) % lines;
		uint64_t *word = word_of(worker, line);
		bool unguarded = (random >> 32 & 255) < worker->unguarded;

		CHECK((unguarded ? *word : get(word)) == worker->model[line]);
		if (random >> 50 & 1)
			continue;
		worker->model[line] = random >> 60 ? random : 0;
		if (unguarded)
			*word = worker->model[line];
		else
			put(word, worker->model[line]);
	}
	for (uint64_t line = 0; line < lines; line++)
		CHECK(get(word_of(worker, line)) == worker->model[line]);
	kona_hazard_leave();
	return NULL;
}

static void many_threads_on(uint64_t *data, uint32_t unguarded)
{
	static uint64_t models[THREADS][DATA_PAGES * 64];
	struct worker workers[THREADS];
	pthread_t threads[THREADS];

	for (uint64_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){data, i, models[i], unguarded};
		CHECK(!pthread_create(&threads[i], NULL, work, &workers[i]));
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(stats.guard_misses > ROUNDS / 4);
	CHECK(stats.evicted_pages > DATA_PAGES);
	CHECK(stats.local_pages_peak <= space.frames.count);
}

static void many_threads(enum kona_dirty_mode mode, uint32_t unguarded)
{
	many_threads_on(make_data(mode, DATA_PAGES), unguarded);
}

static void woken_under_way(void)
{
	many_threads_on(make_sleeping_data(KONA_DIRTY_LINES, DATA_PAGES), 0);
	CHECK(kona_hazard_awake());
	CHECK(stats.faults_missing < DATA_PAGES); /* not for long without guards */
}

static void guards_sleep(void)
{
	uint64_t *data = make_sleeping_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t few = space.frames.count / 2;

	for (uint64_t i = 0; i < few; i++)
		put(&data[i * WORDS], i + 1);
	for (uint64_t i = 0; i < few; i++)
		CHECK(kona_guard_load(&data[i * WORDS], 0) == &data[i * WORDS]);
	CHECK(!kona_hazard_awake() && !stats.guard_misses && !stats.evicted_pages);
	CHECK(stats.faults_missing <= few / 8); /* fresh memory comes in runs */
	for (uint64_t i = few; i < DATA_PAGES; i++)
		put(&data[i * WORDS], i + 1);
	CHECK(kona_hazard_awake() && stats.guard_misses);
	for (uint64_t round = 0; round < 2; round++)
		for (uint64_t i = 0; i < DATA_PAGES; i++)
			CHECK(get(&data[i * WORDS]) == i + 1);
}

/* A pin finds its page where all others find it. */
static void pinned_asleep(void)
{
	uint64_t *data = make_sleeping_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t page = kona_space_page(&space, data);

	CHECK(!kona_guard_delta(data, 2));
	CHECK(kona_pt_state(kona_pt_load(&space.pt, page)) == KONA_PT_INPLACE);
	CHECK(stats.guard_misses == 0);
}

/* The guards of handlers that are too deep within one another see nothing, and the thread learns of
 * a wake that came meanwhile when they are left. */
static void woken_within_handlers(void)
{
	uint64_t *data = make_sleeping_data(KONA_DIRTY_LINES, DATA_PAGES);
	struct kona_hazard *hazard = kona_hazard_self();
	char stack[KONA_HAZARD_DEPTH + 1];

	for (int i = KONA_HAZARD_DEPTH; i >= 0; i--) /* the stack grows downwards */
		kona_hazard_save(hazard, (uintptr_t)&stack[i], false);
	wake_guards();
	for (int i = 0; i <= KONA_HAZARD_DEPTH; i++)
		kona_hazard_restore(hazard);
	CHECK(kona_guard_is_far(data));
	put(data, 5);
	CHECK(get(data) == 5 && stats.guard_misses);
}

static bool over; /* Atomic */
static uint64_t left_threads;

static void *come_and_go(void *argument)
{
	while (!kona_load_acquire(&over)) {
		kona_hazard_enter(&space);
		kona_hazard_leave();
		CHECK(!kona_guard_self.size_bytes);
		kona_add_acq_rel(&left_threads, 1);
	}
	return NULL;
}

/* A thread that has left stays asleep: nobody looks at its slots any more. */
static void woken_on_leaving(void)
{
	pthread_t threads[2 * THREADS];

	(void)make_sleeping_data(KONA_DIRTY_LINES, DATA_PAGES);
	for (int i = 0; i < 2 * THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, come_and_go, NULL));
	while (kona_load_acquire(&left_threads) < 1000)
		usleep(100);
	wake_guards();
	kona_store_release(&over, true);
	for (int i = 0; i < 2 * THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* Of frames that were hollow while guards slept. */
static uint64_t huge_bytes(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	unsigned long kib = 0;
	char line[200];

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			break;
	CHECK(!fclose(file));
	return kib * KONA_KIB;
}

/* The kernel has a huge page for us. */
static bool can_collapse(void)
{
	char *memory = mmap(NULL, 2 * KONA_HUGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	memory += -(uintptr_t)memory % KONA_HUGE_BYTES;
	return !madvise(memory, KONA_HUGE_BYTES, MADV_POPULATE_WRITE) &&
	       !madvise(memory, KONA_HUGE_BYTES, MADV_COLLAPSE);
}

/* Every frame is taken, and given back. */
static void take_all(enum kona_frame_kind kind)
{
	static uint32_t taken[LOCAL_BYTES / KONA_PAGE_BYTES];
	uint64_t system_calls;
	uint32_t count = 0;

	while (kona_frame_take(&space.frames, 0, kind, KONA_FREEMAP_ANY, &taken[count],
			       &system_calls))
		count++;
	kona_frames_give(&space.frames, taken, count);
}

static void frames_become_huge(void)
{
	uint64_t before;

	make_sleeping_data(KONA_DIRTY_LINES, DATA_PAGES);
	take_all(KONA_FRAME_WANT_HOLLOW);
	take_all(KONA_FRAME_WANT_SOLID);
	before = huge_bytes();
	kona_frames_mend(&space.frames);
	CHECK(huge_bytes() >= before + KONA_HUGE_BYTES || !can_collapse());
}

/* What a fault would bring in ends where the mapping does. */
static void fresh_memory_ends(void)
{
	uint64_t *data;

	make_space(KONA_DIRTY_LINES, &shm);
	data = kona_region_alloc(&space, 64, 1, PROT_NONE);
	CHECK(data && !kona_region_protect(&space, kona_space_page(&space, data), 8,
					   PROT_READ | PROT_WRITE));
	for (uint64_t i = 3; i < 8; i++)
		data[i * WORDS] = i;
	for (uint64_t i = 0; i < 8; i++)
		CHECK(data[i * WORDS] == (i < 3 ? 0 : i));
}

static void guarded(void)
{
	many_threads(KONA_DIRTY_LINES, 0);
	CHECK(stats.faults_missing == 0);
	CHECK(stats.moved_in_place == 0);
	/* One word changes at a time: far fewer bytes leave than pages. */
	CHECK(stats.written_back_bytes < stats.evicted_pages * KONA_PAGE_BYTES / 4);
}

static void mixed_lines(void)
{
	many_threads(KONA_DIRTY_LINES, 2);
	CHECK(stats.moved_in_place > 0);
	CHECK(stats.faults_missing > 0);
}

static void mixed_store(void)
{
	many_threads(KONA_DIRTY_STORE, 2);
	CHECK(stats.moved_in_place > 0);
}

static void mixed_twin(void)
{
	many_threads(KONA_DIRTY_TWIN, 2);
}

static void mixed_wp(void)
{
	many_threads(KONA_DIRTY_WP, 2);
}

/* A translation is held while its page is thrown at every occasion out of its frame. */
static void translation_outlives_moves(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t *held = kona_guard_store(data, 2);

	for (uint64_t i = 0; i < 2 * DATA_PAGES; i++) {
		*held = i;	       /* in its frame, or by a fault */
		CHECK(get(data) == i); /* in sight, wherever it is */
		if (i % 16 == 0)
			CHECK(*data == i);			   /* unguarded: goes in place */
		put(&data[(i % (DATA_PAGES - 1) + 1) * WORDS], i); /* pushes it out */
		held = kona_guard_store(data, 2);
	}
	CHECK(stats.moved_in_place > 0);
}

/* The old translation itself is used after the page went in place, and finds it in its frame. */
static void stale_translation_brings_it_back(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t *held = kona_guard_store(data, 2);

	for (uint64_t i = 0; i < 100; i++) {
		*held = i;	   /* faults at the frame */
		CHECK(*data == i); /* faults at the page */
	}
	CHECK(stats.moved_in_place >= 99 && stats.moved_to_frame >= 99);
	for (uint64_t i = 1; i < DATA_PAGES; i++)
		put(&data[i * WORDS], i);
	CHECK(get(data) == 99);
}

/* Pages that unguarded code uses all the time beside guards that miss leave a few times, and then
 * stay; nobody tells the clock hand, so it learns. */
static void used_pages_stay(void)
{
	enum { USED = 64 };
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES), random = 1;

	for (uint64_t i = 0; i < DATA_PAGES; i++)
		put(&data[i * WORDS], i + 1);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t used = round * 7 % USED;
		uint64_t page = USED + next_random(&random) % (DATA_PAGES - USED);

		CHECK(data[used * WORDS] == used + 1);
		CHECK(get(&data[page * WORDS]) == page + 1);
	}
	CHECK(stats.guard_misses > ROUNDS / 2); /* each turn of the hand is 650 pages */
	CHECK(stats.faults_missing < 8 * USED);
}

/* When all that is local is in place, and wanted, pages still leave by many at a time. */
static void wanted_pages_leave_together(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES), pages = space.frames.count + 10;

	put(data, 1); /* there are guards */
	for (uint64_t i = 0; i < 60 * pages; i++)
		data[i * 7 % pages * WORDS] = i;
	CHECK(stats.evicted_pages > 10 * pages);
	CHECK(space.evict.barriers < stats.evicted_pages / 32); /* one for each batch */
}

static void discarded(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t page = kona_space_page(&space, data), *held;

	for (uint64_t i = 0; i < DATA_PAGES; i++)
		put(&data[i * WORDS], i + 1);
	held = kona_guard_store(&data[5 * WORDS], 2);
	kona_discard(&space, page, DATA_PAGES / 2);
	*held = 7; /* meant for page 5, and lands there */
	for (uint64_t i = 0; i < DATA_PAGES / 2; i++)
		CHECK(get(&data[i * WORDS]) == (i == 5 ? 7 : 0));
	for (uint64_t i = DATA_PAGES / 2; i < DATA_PAGES; i++)
		CHECK(get(&data[i * WORDS]) == i + 1);
	CHECK(get(&data[5 * WORDS]) == 7);
}

/* The same, for a page whose translation was made before it went in place. */
static void discarded_in_place(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t page = kona_space_page(&space, data), *held;

	put(&data[5 * WORDS], 6);
	held = kona_guard_store(&data[5 * WORDS], 2);
	CHECK(data[5 * WORDS] == 6); /* in place */
	kona_discard(&space, page, 16);
	CHECK(*held == 0);
	*held = 7;
	CHECK(data[5 * WORDS] == 7);
	kona_discard(&space, page, 16);
	CHECK(data[5 * WORDS] == 0);
	*held = 8;
	for (uint64_t i = 6; i < DATA_PAGES; i++) /* whoever has which frame */
		put(&data[i * WORDS], i);
	CHECK(get(&data[5 * WORDS]) == 8);
}

static void protection_is_felt(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t page = kona_space_page(&space, data);

	for (uint64_t i = 0; i < DATA_PAGES; i++)
		put(&data[i * WORDS], i + 1);
	CHECK(!kona_region_protect(&space, page + 512, 512, PROT_READ));
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		CHECK(get(&data[i * WORDS]) == i + 1);
	/* To its own address, where the kernel's protection is. */
	CHECK(kona_guard_store(&data[600 * WORDS], 1) == &data[600 * WORDS]);
}

/* --- signals and the gate ----------------------------------------------------------------------*/

static uint64_t *theirs; /* what the handler looks at */
static volatile sig_atomic_t handled;

static void look(int signal)
{
	handled = get(theirs) == 1 ? 1 : -1;
}

/* A handler on the thread that closed the gate would wait at it for ever. */
static void handlers_wait_for_the_gate(void)
{
	struct sigaction action = {.sa_handler = look};
	sigset_t signals;

	theirs = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		put(&theirs[i * WORDS], i + 1);
	CHECK(!sigaction(SIGUSR1, &action, NULL));
	kona_hazard_close_gate(&signals);
	CHECK(!raise(SIGUSR1) && !handled);
	kona_hazard_open_gate(&signals);
	CHECK(handled == 1);
}

static sigjmp_buf refused;

static void leave(int signal)
{
	siglongjmp(refused, 1);
}

/* The handler of an access that the kernel refuses may never come back: that is no miss. */
static void refused_access_is_no_miss(void)
{
	struct sigaction action = {.sa_handler = leave};
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t page = kona_space_page(&space, data);
	volatile bool tried = false;

	for (uint64_t i = 0; i < DATA_PAGES; i++)
		put(&data[i * WORDS], i + 1);
	CHECK(!kona_region_protect(&space, page, 16, PROT_NONE));
	CHECK(!sigaction(SIGSEGV, &action, NULL));
	if (!sigsetjmp(refused, 1)) {
		tried = true;
		get(data);
		CHECK(false);
	}
	CHECK(tried && !kona_hazard_self()->missing);
}

/* --- translations that a change of protection overtakes ----------------------------------------*/

enum { PROTECTED_PAGES = 16 };

static uint64_t *frame_of(uint64_t *p)
{
	uint64_t entry = kona_pt_load(&space.pt, kona_space_page(&space, p));

	return (uint64_t *)(void *)kona_frame_address(&space.frames, kona_pt_payload(entry));
}

static bool is_at_home(uint64_t *p, unsigned slot)
{
	return kona_guard_load(p, slot) == p;
}

/* Stores and loads of an old translation come as if before the change, and are lost nowhere; new
 * ones meet the kernel's protection. */
static void old_translation_outlives_protection(int protection)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES), *held;
	uint64_t page = kona_space_page(&space, data);
	bool readable = protection & PROT_READ;

	for (uint64_t i = 0; i < PROTECTED_PAGES; i++)
		put(&data[i * WORDS], i + 1);
	held = kona_guard_store(data, 2);
	CHECK(held == frame_of(data));
	for (uint64_t i = 1; i < 100; i++) {
		CHECK(!kona_region_protect(&space, page, PROTECTED_PAGES, protection));
		CHECK(*held == i);
		*held = i + 1;
		CHECK(!readable || (is_at_home(data, 0) && *data == i + 1));
		*held = i + 2;
		CHECK(!readable || *data == i + 2);
		CHECK(*held == i + 2);
		/* What the old translation left in the frame is not lost with the next change. */
		CHECK(!kona_region_protect(&space, page, PROTECTED_PAGES, PROT_READ));
		CHECK(is_at_home(data, 0) && get(data) == i + 2);
		CHECK(!kona_region_protect(&space, page, PROTECTED_PAGES, PROT_READ | PROT_WRITE));
		CHECK(is_at_home(data, 0) && *held == i + 2);
		*held = i + 1;
		CHECK(get(data) == i + 1);
	}
	*held = 1000;
	CHECK(!kona_region_protect(&space, page, PROTECTED_PAGES, protection));
	for (uint64_t i = 1024; i < DATA_PAGES; i++) /* all leave, but for the page in the slot */
		put(&data[i * WORDS], i);
	CHECK(*held == 1000);
	for (unsigned slot = 0; slot < 3; slot++)
		CHECK(!is_at_home(&data[1024 * WORDS], slot));
	for (uint64_t i = 1024; i < DATA_PAGES; i++) /* and now that one, too */
		put(&data[i * WORDS], i);
	CHECK(kona_pt_state(kona_pt_load(&space.pt, page)) == KONA_PT_REMOTE);
	CHECK(!kona_region_protect(&space, page, PROTECTED_PAGES, PROT_READ));
	CHECK(get(data) == 1000);
	for (uint64_t i = 1; i < PROTECTED_PAGES; i++)
		CHECK(is_at_home(&data[i * WORDS], 0) && get(&data[i * WORDS]) == i + 1);
}

static void read_only_meets_old_translation(void)
{
	old_translation_outlives_protection(PROT_READ);
}

static void closed_meets_old_translation(void)
{
	old_translation_outlives_protection(PROT_NONE);
}

/* An old translation uses its frame; nobody who comes later may, or protection would not be felt
 * by the time it changes. */
static void frames_of_shielded_pages_are_out_of_sight(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES), *held;
	uint64_t page = kona_space_page(&space, data);

	put(data, 1);
	held = kona_guard_store(data, 2);
	CHECK(!kona_region_protect(&space, page + 8, 8, PROT_READ)); /* its neighbour */
	CHECK(*data == 1);					     /* in place */
	for (uint64_t i = 2; i < 100; i++) {
		*held = i;
		CHECK(is_at_home(data, 0) && get(data) == i);
		*held = i + 1; /* it stays in the frame, and in the slot, while others leave */
		for (uint64_t k = 0; k < DATA_PAGES / 4; k++)
			put(&data[(1024 + k) * WORDS], k);
		CHECK(is_at_home(data, 0) && get(data) == i + 1);
	}
	*held = 100;
	kona_discard(&space, page, 1);
	CHECK(is_at_home(data, 0) && get(data) == 0);
	*held = 101;
	kona_discard(&space, page, 1);
	CHECK(*held == 0);
	CHECK(is_at_home(data, 0) && get(data) == 0);
}

/* However it got there: by a change of protection that the runtime was not asked for. */
static void framed_page_enters_read_only_mapping(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t page = kona_space_page(&space, data);
	sigset_t signals;

	for (uint64_t i = 0; i < PROTECTED_PAGES; i++)
		put(&data[i * WORDS], i + 1);
	CHECK(!kona_os_mprotect(data, PROTECTED_PAGES * KONA_PAGE_BYTES, PROT_READ));
	CHECK(data[0] == 1); /* by the fault handler */
	kona_space_lock(&space, &signals);
	kona_inplace_enter_range(&space, page, PROTECTED_PAGES);
	kona_space_unlock(&space, &signals);
	for (uint64_t i = 0; i < PROTECTED_PAGES; i++)
		CHECK(is_at_home(&data[i * WORDS], 0) && data[i * WORDS] == i + 1);
}

/* A page in place that lost its memory is zeros, in a mapping that is not writable, too. */
static void dropped_page_leaves_read_only_mapping(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES), *held;
	uint64_t page = kona_space_page(&space, data);

	put(data, 1);
	held = kona_guard_store(data, 2);
	CHECK(!kona_region_protect(&space, page, PROTECTED_PAGES, PROT_READ));
	kona_discard(&space, page, PROTECTED_PAGES);
	CHECK(*held == 0);
	*held = 2;
	CHECK(*data == 2 && is_at_home(data, 0));
}

/* --- a store that meets a page on its way ------------------------------------------------------*/

static struct kona_transport_ops between; /* shm's, but for one */
static const struct kona_transport_ops *shm_ops;
static uint64_t *wanted; /* Atomic: a word of the page that leaves */
static pthread_t wanting;

static void *miss(void *argument)
{
	kona_hazard_enter(&space);
	CHECK(get(argument) == 1);
	CHECK(is_at_home(argument, 0));
	kona_hazard_leave();
	return NULL;
}

/* A guard wants the page while its dirty lines are on their way. */
static int write_lines_of_wanted(struct kona_transport *transport,
				 const struct kona_dirty_page *pages, size_t count,
				 uint64_t *wire_bytes, uint64_t *system_calls)
{
	uint64_t *word = kona_load_acquire(&wanted), page;

	for (size_t i = 0; word && i < count; i++) {
		page = kona_space_page(&space, word);
		if (pages[i].offset_bytes != page * KONA_PAGE_BYTES)
			continue;
		kona_store_release(&wanted, NULL);
		CHECK(!pthread_create(&wanting, NULL, miss, word));
		while (!kona_pt_wanted(&space.pt, page))
			usleep(100);
	}
	return shm_ops->write_lines(transport, pages, count, wire_bytes, system_calls);
}

static void wanted_shielded_page_stays_in_place(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t page = kona_space_page(&space, data);

	between = *shm.ops;
	shm_ops = shm.ops;
	between.write_lines = write_lines_of_wanted;
	shm.ops = &between;
	CHECK(!kona_region_protect(&space, page + 8, 8, PROT_READ));
	put(data, 1);
	CHECK(is_at_home(data, 0));
	CHECK(kona_guard_load(&data[1024 * WORDS], 0) && kona_guard_load(&data[1024 * WORDS], 1));
	kona_store_release(&wanted, data);
	for (uint64_t i = 1024; kona_load_acquire(&wanted); i = i + 1 < DATA_PAGES ? i + 1 : 1024)
		put(&data[i * WORDS], i);
	CHECK(!pthread_join(wanting, NULL));
	CHECK(get(data) == 1 && is_at_home(data, 0));
}

/* A miss that began before the change of protection ends behind it. */
enum { PATIENCE_US = 300000 };

static bool fetching, protected; /* Atomic */

static void dawdle_before_claim(struct kona_transport *transport, uint64_t offset_bytes)
{
	uint64_t page = offset_bytes / KONA_PAGE_BYTES;

	if (kona_exchange_acq_rel(&fetching, true))
		return;
	while (!kona_space_shielded(&space, page))
		usleep(100);
	for (int us = 0; us < PATIENCE_US && !kona_load_acquire(&protected); us += 100)
		usleep(100);
}

static void *miss_early(void *argument)
{
	kona_hazard_enter(&space);
	CHECK(get(argument) == 1);
	kona_hazard_leave();
	return NULL;
}

static void misses_end_before_protection(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t page = kona_space_page(&space, data);
	pthread_t thread;

	for (uint64_t i = 0; i < DATA_PAGES; i++)
		put(&data[i * WORDS], i + 1);
	CHECK(kona_pt_state(kona_pt_load(&space.pt, page)) == KONA_PT_REMOTE);
	between = *shm.ops;
	between.expect_read = dawdle_before_claim;
	shm.ops = &between;
	CHECK(!pthread_create(&thread, NULL, miss_early, data));
	while (!kona_load_acquire(&fetching))
		usleep(100);
	CHECK(!kona_region_protect(&space, page, PROTECTED_PAGES, PROT_READ));
	kona_store_release(&protected, true);
	CHECK(!pthread_join(thread, NULL));
	CHECK(is_at_home(data, 0) && get(data) == 1);
}

/* The program maps something of its own over pages that stand in slots, again and again. */
static void lent_pages_give_their_frames_back(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	uint64_t page = kona_space_page(&space, data), before;

	put(&data[2048 * WORDS], 1);
	before = stats.local_pages;
	for (int i = 0; i < 50; i++) {
		put(data, 1);
		if (i % 2)
			CHECK(*data == 1); /* in place */
		CHECK(!kona_region_occupy(&space, page, 1, PROT_NONE, true));
		kona_region_lend(&space, page, 1);
		if (i % 3)
			put(&data[2048 * WORDS], 1); /* out of the slot */
		CHECK(!kona_region_occupy(&space, page, 1, PROT_READ | PROT_WRITE, true));
		CHECK(get(data) == 0);
	}
	CHECK(!is_at_home(&data[2048 * WORDS], 0) && !is_at_home(&data[2048 * WORDS], 1));
	kona_discard(&space, page, 1);
	CHECK(stats.local_pages == before);
}

static void copies_cross_pages(void)
{
	static char bytes[40000], back[40000];
	uint64_t random = 1;
	char *data = (char *)make_data(KONA_DIRTY_LINES, DATA_PAGES);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)next_random(&random);
	for (int i = 0; i < 400; i++) {
		size_t at = next_random(&random) % (DATA_PAGES * (size_t)KONA_PAGE_BYTES - 40000);
		size_t size = next_random(&random) % sizeof(bytes);

		kona_guard_write(data + at, bytes, size);
		kona_guard_read(back, data + at, size);
		CHECK(!memcmp(bytes, back, size));
	}
	for (int i = 0; i < 300; i++) { /* whatever is evicted meanwhile */
		size_t at = (size_t)i * 50001;

		kona_guard_write(data + at, bytes + i, 30000);
	}
	for (int i = 0; i < 300; i++) {
		kona_guard_read(back, data + (size_t)i * 50001, 30000);
		CHECK(!memcmp(bytes + i, back, 30000));
	}
}

/* Two arrays that grow in turn: the pages of each lie in a row, though they came in turns. */
static void neighbours_are_neighbours(void)
{
	enum { EACH = 256 };
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES);
	int in_a_row = 0;

	for (uint64_t i = 0; i < EACH; i++) {
		put(&data[i * WORDS], i);
		put(&data[(2 * EACH + i) * WORDS], i);
	}
	for (uint64_t i = 0; i + 1 < EACH; i++)
		in_a_row += (const char *)kona_guard_load(&data[(i + 1) * WORDS], 0) -
				    (const char *)kona_guard_load(&data[i * WORDS], 0) ==
			    KONA_PAGE_BYTES;
	CHECK(in_a_row >= EACH - 1 - EACH / 64 * 2);
}

static void streams_are_prefetched(void)
{
	uint64_t *data = make_data(KONA_DIRTY_LINES, DATA_PAGES), random = 1, ahead;

	for (uint64_t i = 0; i < DATA_PAGES; i++)
		put(&data[i * WORDS], i);
	for (uint64_t i = 0; i < DATA_PAGES; i++)
		CHECK(get(&data[i * WORDS]) == i);
	for (uint64_t i = 0; i < DATA_PAGES; i += 3)
		CHECK(get(&data[i * WORDS]) == i);
	CHECK(stats.prefetched_pages > DATA_PAGES);
	CHECK(stats.prefetch_used_pages > stats.prefetched_pages * 9 / 10);
	/* A trend is followed until the history holds none of it: how many runs that takes depends
	 * on how many frames happened to be free. At least half of these accesses miss. */
	for (uint64_t i = 0; i < 4 * KONA_PREFETCH_HISTORY; i++)
		get(&data[next_random(&random) % DATA_PAGES * WORDS]);
	ahead = stats.prefetched_pages;
	for (uint64_t i = 0; i < 2 * DATA_PAGES; i++)
		get(&data[next_random(&random) % DATA_PAGES * WORDS]);
	CHECK(stats.prefetched_pages - ahead < DATA_PAGES / 50);
}

/* --- each in a process of its own --------------------------------------------------------------*/

APART(guards_sleep)
APART(pinned_asleep)
APART(woken_within_handlers)
APART(woken_under_way)
/* The moment is short. */
static void woken_on_leaving_apart(void **state)
{
	for (int i = 0; i < 20; i++)
		assert_int_equal(run_apart(woken_on_leaving), 0);
}

APART(frames_become_huge)
APART(fresh_memory_ends)
APART(guarded)
APART(mixed_lines)
APART(mixed_store)
APART(mixed_twin)
APART(mixed_wp)
APART(translation_outlives_moves)
APART(stale_translation_brings_it_back)
APART(used_pages_stay)
APART(wanted_pages_leave_together)
APART(discarded)
APART(discarded_in_place)
APART(protection_is_felt)
APART(handlers_wait_for_the_gate)
APART(refused_access_is_no_miss)
APART(read_only_meets_old_translation)
APART(closed_meets_old_translation)
APART(frames_of_shielded_pages_are_out_of_sight)
APART(framed_page_enters_read_only_mapping)
APART(dropped_page_leaves_read_only_mapping)
APART(wanted_shielded_page_stays_in_place)
APART(misses_end_before_protection)
APART(lent_pages_give_their_frames_back)
APART(copies_cross_pages)
APART(neighbours_are_neighbours)
APART(streams_are_prefetched)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guards_sleep_apart),
		cmocka_unit_test(pinned_asleep_apart),
		cmocka_unit_test(woken_within_handlers_apart),
		cmocka_unit_test(woken_under_way_apart),
		cmocka_unit_test(woken_on_leaving_apart),
		cmocka_unit_test(frames_become_huge_apart),
		cmocka_unit_test(fresh_memory_ends_apart),
		cmocka_unit_test(guarded_apart),
		cmocka_unit_test(mixed_lines_apart),
		cmocka_unit_test(mixed_store_apart),
		cmocka_unit_test(mixed_twin_apart),
		cmocka_unit_test(mixed_wp_apart),
		cmocka_unit_test(translation_outlives_moves_apart),
		cmocka_unit_test(stale_translation_brings_it_back_apart),
		cmocka_unit_test(used_pages_stay_apart),
		cmocka_unit_test(wanted_pages_leave_together_apart),
		cmocka_unit_test(discarded_apart),
		cmocka_unit_test(discarded_in_place_apart),
		cmocka_unit_test(protection_is_felt_apart),
		cmocka_unit_test(handlers_wait_for_the_gate_apart),
		cmocka_unit_test(refused_access_is_no_miss_apart),
		cmocka_unit_test(read_only_meets_old_translation_apart),
		cmocka_unit_test(closed_meets_old_translation_apart),
		cmocka_unit_test(frames_of_shielded_pages_are_out_of_sight_apart),
		cmocka_unit_test(framed_page_enters_read_only_mapping_apart),
		cmocka_unit_test(dropped_page_leaves_read_only_mapping_apart),
		cmocka_unit_test(wanted_shielded_page_stays_in_place_apart),
		cmocka_unit_test(misses_end_before_protection_apart),
		cmocka_unit_test(lent_pages_give_their_frames_back_apart),
		cmocka_unit_test(copies_cross_pages_apart),
		cmocka_unit_test(neighbours_are_neighbours_apart),
		cmocka_unit_test(streams_are_prefetched_apart),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
