/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk is told in crew.h. Whoever has nothing to do takes the first of these that can be done:
 * the next buffer through L2 and L3, the next one through L1, the next one into the patterns, the
 * next batch of the part that is furthest behind. When there is no empty batch, whoever fills them
 * does the other things meanwhile: so one thread is enough. Who is not of the crew only waits.
 *
 * Waking a thread costs more than a buffer's way through the lock: so each is woken for what it
 * waits for, and producers when a quarter of the queue is empty.
 *
 * State: the queues, under the lock; the engine, a piece at a time of whoever has taken that piece.
 * The lock is a leaf. What can fail is memory: at the start, or for a producer, who then goes
 * without.
 */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "engine/packed.h"
#include "engine/parts.h"

enum {
	BUFFERS = 16, /* that may wait */
	BATCHES = 3,  /* one to be filled, and two under way, so that parts need not keep step */
	THREADS_MAX = 8,
};

/* Of buffers. */
enum stage { L1, BELOW_L1, NOTES, STAGES };

/* Guarded by lock, but for what is told otherwise. */
static struct crew {
	struct kona_hosted *hosted;	/* Immutable after start. */
	struct kona_crew_buffer *spare; /* empty ones */
	struct kona_crew_buffer *queue[BUFFERS];
	uint64_t given;	       /* buffers so far */
	uint64_t used[STAGES]; /* by each; n stands in queue[n % BUFFERS] */
	bool busy[STAGES];
	struct kona_sim_batch *batch[BATCHES]; /* n stands in batch[n % BATCHES] */
	uint64_t handed_over;
	uint64_t done[KONA_SIM_PARTS_MAX]; /* batches */
	bool running[KONA_SIM_PARTS_MAX];
	uint32_t parts;				       /* Immutable after start. */
	struct kona_sim_scratch *scratch[THREADS_MAX]; /* Immutable after start. */
} crew;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_is_there = PTHREAD_COND_INITIALIZER; /* for those who are idle */
static pthread_cond_t room_is_there = PTHREAD_COND_INITIALIZER; /* for producers */
static pthread_cond_t work_is_done = PTHREAD_COND_INITIALIZER;	/* for whoever waits for that */

/* Whose scratch to use. 0: it is not of the crew, and has none. */
static __thread uint32_t my_number;

static bool work_locked(void);

static uint64_t least_done_locked(void)
{
	uint64_t least = crew.handed_over;

	for (uint32_t part = 0; part < crew.parts; part++)
		least = crew.done[part] < least ? crew.done[part] : least;
	return least;
}

/* Runs the next batch of a part, if there is one to run. */
static bool run_part_locked(void)
{
	uint32_t part = crew.parts;
	const struct kona_sim_batch *batch;

	for (uint32_t i = 0; i < crew.parts; i++)
		if (!crew.running[i] && crew.done[i] < crew.handed_over &&
		    (part == crew.parts || crew.done[i] < crew.done[part]))
			part = i;
	if (part == crew.parts)
		return false;
	crew.running[part] = true;
	batch = crew.batch[crew.done[part] % BATCHES];
	pthread_mutex_unlock(&lock);
	kona_sim_run_part(crew.hosted->sim, part, batch, crew.scratch[my_number - 1]);
	pthread_mutex_lock(&lock);
	crew.running[part] = false;
	crew.done[part]++;
	/* Among the idle ones may be who waits for an empty batch. */
	pthread_cond_broadcast(&work_is_there);
	pthread_cond_broadcast(&work_is_done);
	return true;
}

/* The crew's threads wait for work, others until some is done. */
static void wait_locked(void)
{
	pthread_cond_wait(my_number ? &work_is_there : &work_is_done, &lock);
}

/* Before the first one there is none to hand over. */
static struct kona_sim_batch *first_batch(void)
{
	for (int i = 0; i < BATCHES; i++) {
		crew.batch[i] = kona_hosted_map(kona_sim_batch_bytes());
		if (!crew.batch[i])
			return NULL;
	}
	return crew.batch[0];
}

static struct kona_sim_batch *hand_over(struct kona_sim_batch *batch)
{
	if (!batch)
		return first_batch();
	pthread_mutex_lock(&lock);
	crew.handed_over++;
	pthread_cond_broadcast(&work_is_there);
	while (crew.handed_over - least_done_locked() >= BATCHES)
		if (!my_number || !work_locked())
			wait_locked();
	batch = crew.batch[crew.handed_over % BATCHES];
	pthread_mutex_unlock(&lock);
	kona_sim_batch_clear(batch);
	return batch;
}

static void settle_parts(void)
{
	pthread_mutex_lock(&lock);
	while (least_done_locked() < crew.handed_over)
		wait_locked();
	pthread_mutex_unlock(&lock);
}

static void walk_l1(struct kona_crew_buffer *buffer)
{
	uint64_t *below = buffer->below;

	for (uint32_t i = 0, at = 0; at < buffer->count; i++, at += KONA_SIM_LIST) {
		uint32_t left = buffer->count - at;

		buffer->below_count[i] =
			kona_sim_walk_l1(crew.hosted->sim, buffer->core, buffer->record + 1 + at,
					 left < KONA_SIM_LIST ? left : KONA_SIM_LIST, below);
		below += buffer->below_count[i];
	}
}

static void walk_below_l1(struct kona_crew_buffer *buffer)
{
	const uint64_t *below = buffer->below;

	for (uint32_t i = 0; i * KONA_SIM_LIST < buffer->count; i++) {
		kona_sim_walk_below_l1(crew.hosted->sim, buffer->core, below,
				       buffer->below_count[i]);
		below += buffer->below_count[i];
	}
}

static void note(struct kona_crew_buffer *buffer)
{
	struct kona_hosted *hosted = crew.hosted;

	for (uint32_t i = 1; i <= buffer->count; i++) {
		uint64_t address = kona_sim_packed_address(buffer->record[i]);
		uint32_t bytes = kona_sim_packed_bytes(buffer->record[i]);
		enum kona_sim_kind kind = kona_sim_packed_kind(buffer->record[i]);

		if (hosted->bytes && kind != KONA_SIM_READ)
			kona_pattern_note_bytes(hosted->pattern, address, bytes);
		kona_pattern_note(hosted->pattern, address, bytes, kind != KONA_SIM_WRITE,
				  kind != KONA_SIM_READ);
	}
	if (buffer->window_end)
		kona_hosted_end_window(hosted, buffer->window_end);
}

static void (*const use[STAGES])(struct kona_crew_buffer *buffer) = {
	[L1] = walk_l1, [BELOW_L1] = walk_below_l1, [NOTES] = note};

/* Without patterns there is nobody who would be behind. */
static uint64_t finished_locked(void)
{
	uint64_t walked = crew.used[BELOW_L1];

	return crew.hosted->pattern && crew.used[NOTES] < walked ? crew.used[NOTES] : walked;
}

static void finish_buffer_locked(struct kona_crew_buffer *buffer)
{
	uint64_t queued = crew.given - finished_locked();

	buffer->next = crew.spare;
	crew.spare = buffer;
	if (queued <= BUFFERS * 3 / 4)
		pthread_cond_broadcast(&room_is_there);
	if (!queued)
		pthread_cond_broadcast(&work_is_done);
}

/* Takes the stage's next buffer, of those that have come so far; whoever is last to leave it makes
 * it spare. */
static bool use_buffer_locked(enum stage stage, uint64_t come)
{
	struct kona_crew_buffer *buffer;
	uint64_t finished;

	if (crew.busy[stage] || crew.used[stage] == come)
		return false;
	buffer = crew.queue[crew.used[stage] % BUFFERS];
	crew.busy[stage] = true;
	pthread_mutex_unlock(&lock);
	use[stage](buffer);
	pthread_mutex_lock(&lock);
	crew.busy[stage] = false;
	finished = finished_locked();
	crew.used[stage]++;
	if (finished_locked() != finished)
		finish_buffer_locked(buffer);
	pthread_cond_signal(&work_is_there);
	return true;
}

static bool work_locked(void)
{
	return use_buffer_locked(BELOW_L1, crew.used[L1]) || use_buffer_locked(L1, crew.given) ||
	       (crew.hosted->pattern && use_buffer_locked(NOTES, crew.given)) || run_part_locked();
}

static void *work(void *argument)
{
	my_number = (uint32_t)(uintptr_t)argument;
	pthread_mutex_lock(&lock);
	for (;;)
		if (!work_locked())
			wait_locked();
	return NULL;
}

struct kona_crew_buffer *kona_crew_take(void)
{
	struct kona_crew_buffer *buffer;

	pthread_mutex_lock(&lock);
	buffer = crew.spare;
	if (buffer)
		crew.spare = buffer->next;
	pthread_mutex_unlock(&lock);
	if (buffer)
		return buffer;
	return kona_hosted_map(sizeof(*buffer));
}

void kona_crew_give(struct kona_crew_buffer *buffer)
{
	pthread_mutex_lock(&lock);
	while (crew.given - finished_locked() == BUFFERS)
		pthread_cond_wait(&room_is_there, &lock);
	crew.queue[crew.given++ % BUFFERS] = buffer;
	pthread_cond_signal(&work_is_there);
	pthread_mutex_unlock(&lock);
}

void kona_crew_settle(void)
{
	pthread_mutex_lock(&lock);
	while (finished_locked() < crew.given)
		pthread_cond_wait(&work_is_done, &lock);
	pthread_mutex_unlock(&lock);
}

static uint32_t processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (uint32_t)(CPU_COUNT(&set) < THREADS_MAX ? CPU_COUNT(&set) : THREADS_MAX);
}

/* Signals are the program's. */
static int start_threads(uint32_t count)
{
	sigset_t all, before;
	pthread_t thread;
	int err = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (uint32_t i = 1; !err && i <= count; i++) {
		err = -pthread_create(&thread, NULL, work, (void *)(uintptr_t)i);
		if (!err)
			pthread_detach(thread);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

int kona_crew_start(struct kona_hosted *hosted, const char *const *arguments, size_t count)
{
	static const struct kona_sim_host host = {kona_hosted_map, hand_over, settle_parts};
	uint32_t threads = processors();
	int err = kona_hosted_start(hosted, arguments, count, &host);

	if (err)
		return err;
	crew.hosted = hosted;
	crew.parts = kona_sim_parts(hosted->sim);
	for (uint32_t i = 0; i < threads; i++) {
		crew.scratch[i] = kona_hosted_map(kona_sim_scratch_bytes());
		if (!crew.scratch[i])
			return -ENOMEM;
	}
	return start_threads(threads);
}
