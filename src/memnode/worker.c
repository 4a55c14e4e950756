/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calling thread. One lock guards `busy`, which says whose the call's fields are; the eventfd
 * wakes the loop.
 */
#include "memnode/worker.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/daemon.h"

static void *run(void *with)
{
	struct kona_worker *worker = with;
	uint64_t one = 1;

	pthread_mutex_lock(&worker->lock);
	for (;;) {
		while (!worker->busy && !worker->stop)
			pthread_cond_wait(&worker->wake, &worker->lock);
		if (!worker->busy)
			break;
		pthread_mutex_unlock(&worker->lock);
		worker->reply = NULL;
		worker->rc =
			kona_rack_call(worker->peer, worker->method, worker->path, worker->body,
				       worker->timeout_ms, &worker->reply, worker->text);
		pthread_mutex_lock(&worker->lock);
		worker->busy = false;
		if (write(worker->answered, &one, sizeof(one)) < 0) {
			/* Cannot fail: the counter is far from its end. */
		}
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int kona_worker_start(struct kona_worker *worker, struct kona_rack_peer *peer)
{
	int rc;

	memset(worker, 0, sizeof(*worker));
	worker->answered = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->answered < 0)
		return -errno;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->wake, NULL);
	worker->peer = peer;
	rc = kona_daemon_thread(&worker->thread, run, worker);
	if (rc)
		close(worker->answered);
	return rc;
}

void kona_worker_call(struct kona_worker *worker, const char *method, const char *path,
		      json_t *body, unsigned int timeout_ms)
{
	pthread_mutex_lock(&worker->lock);
	worker->method = method;
	worker->path = path;
	worker->body = body;
	worker->timeout_ms = timeout_ms;
	worker->busy = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
}

bool kona_worker_finished(struct kona_worker *worker)
{
	uint64_t count;
	bool finished;

	if (read(worker->answered, &count, sizeof(count)) < 0)
		return false;
	pthread_mutex_lock(&worker->lock);
	finished = !worker->busy;
	pthread_mutex_unlock(&worker->lock);
	return finished;
}

struct kona_rack_peer *kona_worker_stop(struct kona_worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->stop = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	pthread_mutex_destroy(&worker->lock);
	pthread_cond_destroy(&worker->wake);
	close(worker->answered);
	return worker->peer;
}
