/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guarded and unguarded code at random, in many threads, on an engine with very few frames; and
 * guarded code alone on one with so many that pages cool for some batches, and one barrier serves
 * these.
 *
 * Each thread owns some words of every line, and its signal handler others; it remembers what it
 * wrote and checks it at each access and at the end. All words carry the number of their page, so
 * that a reader who does not own one still sees when it is of another page. On pages of its own a
 * thread also moves ranges and discards. Translations are held while much else happens. Now and
 * then all pages go to their own addresses, as for a fork; and pages are brought in ahead, by
 * flights where the store has them. In one kind of run threads make their pages read-only for a
 * while, and go on to store to one of them by a translation from long before.
 *
 * Catches: a lost write; a guard that does not feel a protection; a stale read; a frame used by two
 * pages; a page lost between its two addresses; a slot lost around a signal; a page used before it
 * came; threads that wait for one another for ever.
 *
 * usage: guard-stress [--seconds N] [--seed N] [--mutation NAME]
 *        The last: a known mistake is made, which must be found: "caught" and status 0 when it is.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kona/guard.h>

#include "base/atomic.h"
#include "base/units.h"
#include "runtime/discard.h"
#include "runtime/fatal.h"
#include "runtime/fetch-frame.h"
#include "runtime/guard.h"
#include "runtime/hazard.h"
#include "runtime/inplace.h"
#include "runtime/mutate.h"
#include "runtime/space.h"

#define MORE_NS UINT64_C(30000000000)

enum {
	SLAB_BYTES = 4 << 20,
	SPACE_BYTES = 64 << 20,
	OWN_PAGES = 128, /* of each thread */
	THREADS = 4,
	LINE_WORDS = KONA_LINE_BYTES / sizeof(uint64_t),
	PAGE_WORDS = KONA_PAGE_BYTES / sizeof(uint64_t),
	HELD_SLOT = 2,
	WATCH_SLOT = 4,
	OWN_SLOT = 5,
	INCONCLUSIVE = 3,      /* status of a run that tried too little */
	DEADLINE_SECONDS = 60, /* beyond --seconds: then threads wait for ever */
};

struct kind {
	enum kona_dirty_mode mode;
	struct kona_transport *store;
	uint64_t shared_pages;
	uint64_t local_bytes;
	bool guarded; /* there is no other code */
	bool protects;
};

static struct kona_transport shm, delayed; /* the second one: shm with flights */

static const struct kind kinds[] = {
	/* some 650 frames; both ways of finding what unguarded code wrote */
	{KONA_DIRTY_LINES, &shm, 1500, 3 << 20, false, false},
	{KONA_DIRTY_STORE, &shm, 1500, 3 << 20, false, false},
	{KONA_DIRTY_LINES, &delayed, 1500, 3 << 20, false, false},
	{KONA_DIRTY_LINES, &shm, 1500, 3 << 20, false, true},
	/* some 2800 */
	{KONA_DIRTY_STORE, &shm, 6000, 11 << 20, true, false},
};
/* A page is claimed soon after it cooled, and no unguarded code makes a barrier needed. */
static const struct kind few_guarded = {KONA_DIRTY_STORE, &shm, 1500, 3 << 20, true, false};

static struct kind kind; /* Immutable once there are two threads */

static uint64_t all_pages(void)
{
	return kind.shared_pages + THREADS * OWN_PAGES;
}

static uint64_t all_lines(void)
{
	return kind.shared_pages * KONA_PAGE_LINES;
}

enum role { PROGRAM, HANDLER, NESTED, ROLES };

/* The mistakes that guarded code itself can make; the rest is in runtime/mutate.h. */
static enum kona_mutation mutation;
static bool is_lazy; /* slots' stores stay in a buffer. Immutable once there are two threads */

struct worker {
	uint64_t number;
	uint64_t random[ROLES];
	uint64_t *model[ROLES]; /* what the owned words of shared lines hold; NESTED owns none */
	uint64_t *own;		/* what the thread's own pages hold */
	uint64_t count;
	uint64_t *held; /* a translation, or NULL */
	uint64_t held_line;
	uint64_t own_at; /* a word of its own pages, and its translation, or NULL */
	uint64_t *own_local;
	const uint64_t *watched; /* a word of anybody, and its translation */
	const uint64_t *watched_local;
	uint32_t handlers; /* within one another. Thread-local */
	pthread_t thread;
};

#ifdef KONA_MUTATE
enum kona_mutation kona_mutation_now;
#endif

static struct kona_stats stats;
static struct kona_space space;
static uint64_t *data;
static struct worker workers[THREADS];
static __thread struct worker *self;
static uint32_t over; /* Atomic, no edge: the workers' end */

KONA_NORETURN KONA_PRINTF(1, 2) static void found(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	_exit(1);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

/* --- guards, right and wrong -------------------------------------------------------------------*/

static void dawdle(uint64_t *random)
{
	uint64_t draw = next_random(random);

	if (draw % 64 == 0)
		usleep(draw >> 8 & 63);
	else if (draw % 4 == 0)
		for (uint64_t i = draw >> 8 & 255; i; i--)
			__builtin_ia32_pause();
}

/* As kona_guard_delta(), but the entry is looked at before the slot is published. */
static uintptr_t mistaken_delta(const void *p, unsigned slot, uint64_t *random)
{
	uintptr_t page = ((uintptr_t)p + kona_guard_self.bias) >> KONA_PAGE_SHIFT;
	uint64_t entry = __atomic_load_n(&kona_guard_self.table[page], __ATOMIC_ACQUIRE);

	if (next_random(random) % 256 == 0) /* long enough for the page to leave */
		usleep(3000);
	__atomic_store_n(&kona_guard_self.slots[slot], page, __ATOMIC_RELAXED);
	while (!(entry & KONA_GUARD_RESIDENT)) {
		kona_guard_miss(p);
		entry = __atomic_load_n(&kona_guard_self.table[page], __ATOMIC_ACQUIRE);
	}
	return entry & KONA_GUARD_DELTA;
}

#ifdef KONA_MUTATE
/*
 * A slot's store that stays in the buffer, as far as the CPU would let it and much longer, until a
 * barrier comes: to the evictor, the slot holds its old value meanwhile.
 */
static struct kona_guard *lazy_guards[THREADS];
/* Of a page, its number + 1; 0: nothing is in the buffer. Atomic */
static uintptr_t lazy_slots[THREADS][KONA_GUARD_SLOTS];

void kona_mutant_barrier(void)
{
	for (int i = 0; i < THREADS; i++) {
		struct kona_guard *guard = __atomic_load_n(&lazy_guards[i], __ATOMIC_ACQUIRE);

		for (int k = 0; guard && k < KONA_GUARD_SLOTS; k++) {
			uintptr_t seen = __atomic_load_n(&guard->slots[k], __ATOMIC_ACQUIRE);
			uintptr_t lazy = __atomic_load_n(&lazy_slots[i][k], __ATOMIC_ACQUIRE);

			/* Its thread may have been faster. */
			if (lazy && lazy - 1 != seen)
				__atomic_compare_exchange_n(&guard->slots[k], &seen, lazy - 1,
							    false, __ATOMIC_ACQ_REL,
							    __ATOMIC_ACQUIRE);
		}
	}
}

static void drain_slots(const struct worker *worker)
{
	for (int k = 0; k < KONA_GUARD_SLOTS; k++)
		if (lazy_slots[worker->number][k]) {
			__atomic_store_n(&kona_guard_self.slots[k],
					 lazy_slots[worker->number][k] - 1, __ATOMIC_RELEASE);
			__atomic_store_n(&lazy_slots[worker->number][k], 0, __ATOMIC_RELEASE);
		}
}

static uintptr_t lazy_delta(const void *p, unsigned slot, uint64_t *random)
{
	uintptr_t page = ((uintptr_t)p + kona_guard_self.bias) >> KONA_PAGE_SHIFT;
	uint64_t entry;

	__atomic_store_n(&lazy_slots[self->number][slot], page + 1, __ATOMIC_RELAXED);
	if (next_random(random) % 16 == 0)
		drain_slots(self);
	while (!((entry = __atomic_load_n(&kona_guard_self.table[page], __ATOMIC_ACQUIRE)) &
		 KONA_GUARD_RESIDENT)) {
		drain_slots(self); /* there are locked instructions on the way */
		kona_guard_miss(p);
	}
	return entry & KONA_GUARD_DELTA;
}
#else
static void drain_slots(const struct worker *worker)
{
}

static uintptr_t lazy_delta(const void *p, unsigned slot, uint64_t *random)
{
	return kona_guard_delta(p, slot);
}
#endif

static uintptr_t delta(const void *p, unsigned slot, uint64_t *random)
{
	if (mutation == KONA_MUTATION_LOAD_FIRST)
		return mistaken_delta(p, slot, random);
	return self && is_lazy ? lazy_delta(p, slot, random) : kona_guard_delta(p, slot);
}

static const uint64_t *reading(const uint64_t *p, unsigned slot, uint64_t *random)
{
	return (const uint64_t *)((uintptr_t)p + delta(p, slot, random));
}

static uint64_t *writing(uint64_t *p, unsigned slot, uint64_t *random)
{
	uint64_t *local = (uint64_t *)((uintptr_t)p + delta(p, slot, random));

	if (mutation != KONA_MUTATION_NO_MARK)
		kona_guard_mark(local);
	return local;
}

/* --- accesses ----------------------------------------------------------------------------------*/

/* The first four words of a line are the programs', the rest their handlers'. */
static uint64_t *word_of(uint64_t line, uint64_t number, enum role role)
{
	return data + line * LINE_WORDS + role * THREADS + number;
}

static uint64_t tagged(const uint64_t *word, uint64_t value)
{
	return (uint64_t)(word - data) / PAGE_WORDS << 40 | (value & 0xffffffffff);
}

static void check_page(const uint64_t *word, uint64_t value)
{
	if (value && value >> 40 != (uint64_t)(word - data) / PAGE_WORDS)
		found("page %zu: a word of page %" PRIu64, (size_t)(word - data) / PAGE_WORDS,
		      value >> 40);
}

static void check(const uint64_t *word, uint64_t value, uint64_t expected)
{
	check_page(word, value);
	if (value != expected)
		found("page %zu, word %zu: %#" PRIx64 " instead of %#" PRIx64,
		      (size_t)(word - data) / PAGE_WORDS, (size_t)(word - data) % PAGE_WORDS, value,
		      expected);
}

/* A quarter of the accesses go to a few pages, so that threads meet. */
static uint64_t draw_line(uint64_t *random)
{
	uint64_t draw = next_random(random);

	return draw >> 20 & 3 ? draw % all_lines() : draw % (8 * KONA_PAGE_LINES);
}

static void access_shared(struct worker *worker, enum role role)
{
	uint64_t *random = &worker->random[role], line = draw_line(random);
	uint64_t draw = next_random(random);
	uint64_t *word = word_of(line, worker->number, role);
	uint64_t *model = &worker->model[role][line];
	bool unguarded = !kind.guarded && draw % 256 == 0;

	check(word, unguarded ? *word : *reading(word, 0, random), *model);
	if (draw >> 8 & 1)
		return;
	*model = draw >> 9 & 7 ? tagged(word, ++worker->count) : 0;
	if (unguarded)
		*word = *model;
	else
		*writing(word, 1, random) = *model;
}

/* A store through a translation made long ago. */
static void hold(struct worker *worker)
{
	uint64_t *random = &worker->random[PROGRAM];

	if (worker->held) {
		uint64_t *word = word_of(worker->held_line, worker->number, PROGRAM);

		worker->model[PROGRAM][worker->held_line] = tagged(word, ++worker->count);
		/* and it is at its own address now */
		if (!kind.guarded && next_random(random) % 8 == 0)
			check_page(word, *word);
		*worker->held = worker->model[PROGRAM][worker->held_line];
		if (next_random(random) % 4)
			return;
	}
	worker->held_line = draw_line(random);
	worker->held =
		writing(word_of(worker->held_line, worker->number, PROGRAM), HELD_SLOT, random);
}

/* Whatever is there, it is of this page. */
static void peep(struct worker *worker, enum role role, unsigned slot)
{
	uint64_t *random = &worker->random[role];
	const uint64_t *word = data + next_random(random) % (all_pages() * PAGE_WORDS);

	check_page(word, *reading(word, slot, random));
}

/* The same through a translation made long ago; its page may be discarded meanwhile. */
static void stare(struct worker *worker)
{
	uint64_t *random = &worker->random[PROGRAM];

	if (worker->watched_local)
		check_page(worker->watched, kona_load_relaxed(worker->watched_local));
	if (worker->watched_local && next_random(random) % 8)
		return;
	worker->watched = data + next_random(random) % (all_pages() * PAGE_WORDS);
	worker->watched_local = reading(worker->watched, WATCH_SLOT, random);
}

static uint64_t *own_words(const struct worker *worker)
{
	return data + (kind.shared_pages + worker->number * OWN_PAGES) * PAGE_WORDS;
}

static void move_range(struct worker *worker, bool unguarded)
{
	uint64_t *random = &worker->random[PROGRAM], buffer[600];
	uint64_t count = 1 + next_random(random) % KONA_ARRAY_LEN(buffer);
	uint64_t first = next_random(random) % (OWN_PAGES * PAGE_WORDS - count);
	uint64_t *far = own_words(worker) + first;

	if (unguarded)
		memcpy(buffer, far, count * sizeof(uint64_t));
	else
		kona_guard_read(buffer, far, count * sizeof(uint64_t));
	for (uint64_t i = 0; i < count; i++) {
		check(far + i, buffer[i], worker->own[first + i]);
		worker->own[first + i] = buffer[i] = tagged(far + i, ++worker->count);
	}
	if (unguarded)
		memcpy(far, buffer, count * sizeof(uint64_t));
	else
		kona_guard_write(far, buffer, count * sizeof(uint64_t));
}

static void discard_range(struct worker *worker)
{
	uint64_t *random = &worker->random[PROGRAM];
	uint64_t count = 1 + next_random(random) % 8;
	uint64_t first = next_random(random) % (OWN_PAGES - count);

	memset(worker->own + first * PAGE_WORDS, 0, count * KONA_PAGE_BYTES);
	kona_discard(&space, (uint64_t)(own_words(worker) - data) / PAGE_WORDS + first, count);
}

/* A store behind a discard, through a translation from before. */
static void hold_own(struct worker *worker)
{
	uint64_t *random = &worker->random[PROGRAM];

	if (worker->own_local) {
		uint64_t *word = own_words(worker) + worker->own_at;

		if (next_random(random) % 16 == 0) {
			uint64_t page = worker->own_at / PAGE_WORDS;

			memset(worker->own + page * PAGE_WORDS, 0, KONA_PAGE_BYTES);
			kona_discard(&space, (uint64_t)(word - data) / PAGE_WORDS, 1);
		}
		worker->own[worker->own_at] = *worker->own_local = tagged(word, ++worker->count);
		if (kind.protects || next_random(random) % 8)
			return;
	}
	worker->own_at = next_random(random) % (OWN_PAGES * PAGE_WORDS);
	worker->own_local = writing(own_words(worker) + worker->own_at, OWN_SLOT, random);
}

static void protect(const struct worker *worker, uint64_t first, uint64_t count, int protection)
{
	uint64_t page = (uint64_t)(own_words(worker) - data) / PAGE_WORDS + first;
	int rc = kona_region_protect(&space, kona_space_page(&space, data) + page, count,
				     protection);

	if (rc)
		found("protection: %s", strerror(-rc));
}

/* What a translation into a frame does counts as done before; new ones are at the page's own
 * address. */
static void protect_range(struct worker *worker)
{
	uint64_t *random = &worker->random[PROGRAM];
	uint64_t page = worker->own_at / PAGE_WORDS, count = 1 + next_random(random) % 4;
	uint64_t *word = own_words(worker) + worker->own_at;

	if (!worker->own_local || worker->own_local == word)
		return;
	if (page + count > OWN_PAGES)
		count = OWN_PAGES - page;
	protect(worker, page, count, PROT_READ);
	for (uint64_t i = next_random(random) % 8; i; i--) {
		worker->own[worker->own_at] = *worker->own_local = tagged(word, ++worker->count);
		if (next_random(random) % 2)
			check(word, *word, worker->own[worker->own_at]);
	}
	for (uint64_t i = 0; i < count; i++)
		if (reading(own_words(worker) + (page + i) * PAGE_WORDS, 0, random) !=
		    own_words(worker) + (page + i) * PAGE_WORDS)
			found("page %" PRIu64 " is in a frame, where nothing protects it",
			      page + i);
	check(word, *reading(word, 0, random), worker->own[worker->own_at]);
	protect(worker, page, count, PROT_READ | PROT_WRITE);
}

/* As the wrapper that the runtime puts around handlers; only that in a miss it puts them off. */
static void handle(int signal)
{
	int saved = errno;

	if (!self)
		return;
	/* relaxed: the thread's own */
	if (kona_load_relaxed(&kona_hazard_self()->missing) &&
	    mutation != KONA_MUTATION_SIGNAL_IN_MISS)
		return;
	drain_slots(self); /* an interrupt does */
	kona_hazard_save(kona_hazard_self(), (uintptr_t)__builtin_frame_address(0), false);
	self->handlers++;
	for (int i = 0; i < 4; i++) {
		enum role role = self->handlers == 1 ? HANDLER : NESTED;

		if (role == HANDLER)
			access_shared(self, role);
		peep(self, role, HELD_SLOT);
	}
	self->handlers--;
	drain_slots(self);
	kona_hazard_restore(kona_hazard_self());
	errno = saved;
}

/* Pages that nobody has asked for yet; others touch them meanwhile. */
static void fly(struct worker *worker)
{
	uint64_t draw = next_random(&worker->random[PROGRAM]);

	kona_hazard_begin_miss(kona_hazard_self());
	kona_fetch_ahead(&space, draw % (kind.shared_pages - 16), 1 + (draw >> 20) % 16);
	kona_hazard_end_miss(kona_hazard_self());
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	uint64_t *random = &worker->random[PROGRAM];

	kona_hazard_enter(&space);
#ifdef KONA_MUTATE
	__atomic_store_n(&lazy_guards[worker->number], &kona_guard_self, __ATOMIC_RELEASE);
#endif
	self = worker;
	while (!kona_load_relaxed(&over)) { /* relaxed: only the end */
		uint64_t draw = next_random(random) % 256;

		if (draw < 200)
			access_shared(worker, PROGRAM);
		else if (draw < 216)
			hold(worker);
		else if (draw < 224)
			hold_own(worker);
		else if (draw < 232)
			peep(worker, PROGRAM, 3);
		else if (draw < 240)
			stare(worker);
		else if (draw < 248)
			move_range(worker, !kind.guarded && draw == 240);
		else if (draw == 253 && kind.protects)
			protect_range(worker);
		else if (draw < 254)
			fly(worker);
		else if (draw == 254)
			discard_range(worker);
		else
			dawdle(random);
	}
	drain_slots(self);
	self = NULL;
	for (uint64_t line = 0; line < all_lines(); line++)
		for (enum role role = PROGRAM; role < NESTED; role++) {
			const uint64_t *word = word_of(line, worker->number, role);

			check(word, *reading(word, 0, random), worker->model[role][line]);
		}
	for (uint64_t i = 0; i < OWN_PAGES * PAGE_WORDS; i++)
		check(own_words(worker) + i, *reading(own_words(worker) + i, 0, random),
		      worker->own[i]);
#ifdef KONA_MUTATE
	__atomic_store_n(&lazy_guards[worker->number], NULL, __ATOMIC_RELEASE);
#endif
	kona_hazard_leave();
	return NULL;
}

/* --- the run -----------------------------------------------------------------------------------*/

static int grow(void *context, uint64_t first, uint64_t count, bool patient)
{
	int descriptor = memfd_create("grant", MFD_CLOEXEC);

	if (descriptor < 0 || ftruncate(descriptor, (off_t)(count * SLAB_BYTES)))
		return -errno;
	kona_transport_shm_attach(&shm, first, count, descriptor);
	return 0;
}

static void make_space(void)
{
	struct kona_space_options options = {
		.size_bytes = SPACE_BYTES,
		.slab_bytes = SLAB_BYTES,
		.local_bytes = kind.local_bytes,
		.dirty_mode = kind.mode,
		.store = kind.store,
		.stats = &stats,
		.grower = {grow, NULL, 4},
	};

	kona_fatal_init();
	if (kona_transport_shm_init(&shm, SLAB_BYTES, SPACE_BYTES / SLAB_BYTES) ||
	    kona_space_init(&space, &options))
		found("no space: %s", strerror(errno));
	kona_transport_delay_init(&delayed, &shm, 3000, UINT64_C(10000000000));
	kona_guard_attach(&space);
	data = kona_region_alloc(&space, all_pages(), 1, PROT_READ | PROT_WRITE);
	if (!data)
		found("no memory");
}

static void start(uint64_t seed)
{
	struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	for (uint64_t i = 0; i < THREADS; i++) {
		struct worker *worker = &workers[i];

		worker->number = i;
		worker->own = calloc(OWN_PAGES, KONA_PAGE_BYTES);
		for (enum role role = PROGRAM; role < ROLES; role++) {
			worker->random[role] = (seed * THREADS + i) * ROLES + role + 1;
			for (int k = 0; k < 20; k++)
				next_random(&worker->random[role]);
			worker->model[role] = calloc(all_lines(), sizeof(uint64_t));
			if (!worker->model[role] || !worker->own)
				found("no memory");
		}
		if (pthread_create(&worker->thread, NULL, work, worker))
			found("no thread");
	}
}

/* What a fork needs: all at its own address, and no guard that brings anything back to a frame. */
static void gather_in_place(void)
{
	sigset_t signals, blocked;

	kona_hazard_close_gate(&signals);
	pthread_mutex_lock(&space.region.lock);
	kona_space_lock(&space, &blocked);
	kona_fault_round_trip(&space);
	kona_inplace_enter_range(&space, 0, all_pages());
	for (uint64_t page = 0; page < all_pages(); page++)
		if (kona_pt_framed(kona_pt_load(&space.pt, page)))
			found("page %" PRIu64 " is in a frame behind the gate", page);
	kona_space_unlock(&space, &blocked);
	pthread_mutex_unlock(&space.region.lock);
	kona_hazard_open_gate(&signals);
}

/* A batch evicts KONA_EVICT_BATCH pages at most. relaxed: figures, all */
static bool tried_enough(void)
{
	if (kind.guarded)
		return kona_load_relaxed(&space.evict.barriers) <
		       kona_load_relaxed(&stats.evicted_pages) / KONA_EVICT_BATCH;
	return kona_load_relaxed(&stats.held_pages) && kona_load_relaxed(&stats.moved_in_place) &&
	       kona_load_relaxed(&stats.moved_to_frame) &&
	       (kind.store != &delayed || kona_load_relaxed(&space.flights.slots[1].begun_ns));
}

/* One run, in a process of its own. */
static void run(uint64_t seed, unsigned seconds)
{
	uint64_t random = seed + 1, end_ns;

	alarm(seconds + (mutation == KONA_MUTATION_SIGNAL_IN_MISS ? 3 : DEADLINE_SECONDS));
	make_space();
	start(seed);
	end_ns = kona_now_ns() + seconds * UINT64_C(1000000000);
	/* On a loaded machine the time may pass before all has begun. */
	while (kona_now_ns() < end_ns ||
	       (!mutation && !tried_enough() && kona_now_ns() < end_ns + MORE_NS)) {
		const struct worker *worker = &workers[next_random(&random) % THREADS];

		pthread_kill(worker->thread, random & 1 ? SIGUSR1 : SIGUSR2);
		usleep(random >> 20 & 127);
		if (!kind.guarded && next_random(&random) % 256 == 0)
			gather_in_place();
	}
	kona_store_relaxed(&over, 1); /* relaxed: see work() */
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	printf("%" PRIu64 " misses, %" PRIu64 " pages evicted, %" PRIu64 " held, %" PRIu64
	       " moved in place, %" PRIu64 " back, %" PRIu64 " discarded, %" PRIu32 " barriers\n",
	       stats.guard_misses, stats.evicted_pages, stats.held_pages, stats.moved_in_place,
	       stats.moved_to_frame, stats.discarded_pages, space.evict.barriers);
	if (!tried_enough())
		exit(INCONCLUSIVE);
}

static int run_apart(uint64_t seed, unsigned seconds, const struct kind *which)
{
	int status;
	pid_t child = fork();

	if (!child) {
		kind = *which;
		run(seed, seconds);
		exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		found("no process");
	if (WIFEXITED(status) && WEXITSTATUS(status) == INCONCLUSIVE)
		found("this run tried too little");
	return status;
}

static const char *const names[] = {KONA_MUTATION_NAMES};

/* Where it is found soonest. */
static const struct kind *kind_for_mutation(void)
{
	if (mutation == KONA_MUTATION_OLD_BARRIER)
		return &few_guarded;
	if (mutation >= KONA_MUTATION_LAND_BLIND)
		return &kinds[2];
	return mutation >= KONA_MUTATION_SHIELD_IN_SIGHT ? &kinds[3] : &kinds[0];
}

static enum kona_mutation find_mutation(const char *name)
{
	for (size_t i = 0; i < KONA_ARRAY_LEN(names); i++)
		if (!strcmp(names[i], name))
			return (enum kona_mutation)i;
	found("no such mutation: %s", name);
}

int main(int count, char **arguments)
{
	uint64_t seed = (uint64_t)getpid() ^ kona_now_ns();
	unsigned seconds = 10;
	int status;

	for (int i = 1; i + 1 < count; i += 2) {
		if (!strcmp(arguments[i], "--seconds"))
			seconds = (unsigned)strtoul(arguments[i + 1], NULL, 10);
		else if (!strcmp(arguments[i], "--seed"))
			seed = strtoull(arguments[i + 1], NULL, 10);
		else if (!strcmp(arguments[i], "--mutation"))
			mutation = find_mutation(arguments[i + 1]);
		else
			found("usage: guard-stress [--seconds N] [--seed N] [--mutation NAME]");
	}
	seed &= 0xffffffff;
	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);
#ifdef KONA_MUTATE
	kona_mutation_now = mutation;
	is_lazy = mutation == KONA_MUTATION_NONE || mutation == KONA_MUTATION_NO_BARRIER ||
		  mutation == KONA_MUTATION_OLD_BARRIER;
#else
	if (mutation)
		found("this build makes no mistakes");
#endif
	for (size_t i = 0; i < KONA_ARRAY_LEN(kinds) && !mutation; i++)
		if (run_apart(seed, (seconds + 4) / 5, &kinds[i]))
			return 1;
	if (!mutation)
		return 0;
	status = run_apart(seed, seconds, kind_for_mutation());
	printf("%s: %s\n", names[mutation], status ? "caught" : "NOT caught");
	return status ? 0 : 1;
}
