/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A queue of jobs under one lock. A job takes a quarter of a millisecond, so that the lock is no
 * matter. Lock: crew->lock, alone.
 */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

struct kona_crew {
	pthread_mutex_t lock;
	pthread_cond_t queued, finished;
	struct kona_job *first, *last; /* Guarded by lock. */
	bool ending;		       /* Guarded by lock. */
	unsigned int count;	       /* Immutable after kona_crew_new(). */
	struct worker {
		struct kona_crew *crew;
		unsigned int index;
		pthread_t thread;
	} worker[KONA_CREW_MAX];
};

/* Takes the first job, does it without the lock, and marks it. */
static void do_first_locked(struct kona_crew *crew, unsigned int worker)
{
	struct kona_job *job = crew->first;

	crew->first = job->next;
	if (!crew->first)
		crew->last = NULL;
	pthread_mutex_unlock(&crew->lock);
	job->work(job, worker);
	pthread_mutex_lock(&crew->lock);
	job->done = true;
	pthread_cond_broadcast(&crew->finished);
}

static void *run_worker(void *argument)
{
	struct worker *self = argument;
	struct kona_crew *crew = self->crew;

	kona_crew_hurry(true);
	pthread_mutex_lock(&crew->lock);
	while (!crew->ending) {
		if (crew->first)
			do_first_locked(crew, self->index);
		else
			pthread_cond_wait(&crew->queued, &crew->lock);
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

void kona_crew_hurry(bool hurry)
{
	const struct sched_param turn = {.sched_priority = sched_get_priority_min(SCHED_RR)};
	static __thread struct sched_param usual;
	static __thread int usual_policy;

	/* Without the privilege it takes as long as it takes. */
	if (!hurry) {
		(void)sched_setscheduler(0, usual_policy, &usual);
		return;
	}
	usual_policy = sched_getscheduler(0);
	if (usual_policy >= 0 && !sched_getparam(0, &usual))
		(void)sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &turn);
}

int kona_crew_new(struct kona_crew **ret_crew)
{
	struct kona_crew *crew = calloc(1, sizeof(*crew));
	unsigned int wanted;
	sigset_t all, before;
	cpu_set_t set;

	if (!crew)
		return -ENOMEM;
	wanted = sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned int)CPU_COUNT(&set);
	if (wanted > KONA_CREW_MAX)
		wanted = KONA_CREW_MAX;
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->queued, NULL);
	pthread_cond_init(&crew->finished, NULL);
	/* Signals are for the owner. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	for (unsigned int i = 1; i < wanted; i++) {
		crew->worker[i] = (struct worker){.crew = crew, .index = i};
		/* Fewer will do, too. */
		if (pthread_create(&crew->worker[i].thread, NULL, run_worker, &crew->worker[i]))
			break;
		crew->count = i;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	*ret_crew = crew;
	return 0;
}

void kona_crew_free(struct kona_crew *crew)
{
	if (!crew)
		return;
	pthread_mutex_lock(&crew->lock);
	crew->ending = true;
	pthread_cond_broadcast(&crew->queued);
	pthread_mutex_unlock(&crew->lock);
	for (unsigned int i = 1; i <= crew->count; i++)
		pthread_join(crew->worker[i].thread, NULL);
	pthread_mutex_destroy(&crew->lock);
	pthread_cond_destroy(&crew->queued);
	pthread_cond_destroy(&crew->finished);
	free(crew);
}

void kona_crew_submit(struct kona_crew *crew, struct kona_job *job)
{
	pthread_mutex_lock(&crew->lock);
	job->next = NULL;
	job->done = false;
	if (crew->last)
		crew->last->next = job;
	else
		crew->first = job;
	crew->last = job;
	pthread_cond_signal(&crew->queued);
	pthread_mutex_unlock(&crew->lock);
}

void kona_crew_wait(struct kona_crew *crew, struct kona_job *job)
{
	pthread_mutex_lock(&crew->lock);
	while (!job->done) {
		if (crew->first)
			do_first_locked(crew, 0);
		else
			pthread_cond_wait(&crew->finished, &crew->lock);
	}
	pthread_mutex_unlock(&crew->lock);
}
