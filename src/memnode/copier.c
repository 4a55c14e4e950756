/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying: read a piece from the source, store what logs have not brought meanwhile. The client of
 * the slab writes to source and copy; whatever it wrote before it joined, the source has.
 *
 * State: the queue. Locks: its own; the server's for each piece. What can fail: the source, which
 * ends the copy: the controller orders it anew.
 */
#include "memnode/copier.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/daemon.h"
#include "base/log.h"
#include "memnode/dial.h"
#include "transport/link.h"

enum {
	PIECE_BYTES = 64 * KONA_PAGE_BYTES,
	CALL_MS = 3000,
};

static uint64_t deadline_ns(void)
{
	return kona_now_ns() + CALL_MS * UINT64_C(1000000);
}

/* The slab that is to be filled, with a user more; NULL: not, or not any more. */
static struct kona_slab *take_slab(struct kona_copier *copier, const struct kona_copy *copy)
{
	struct kona_slab *slab;

	pthread_mutex_lock(&copier->server->lock);
	slab = kona_slab_find(&copier->server->slabs, copy->slab);
	if (slab && slab->generation == copy->generation && slab->newer)
		slab->users++;
	else
		slab = NULL;
	pthread_mutex_unlock(&copier->server->lock);
	return slab;
}

static void leave_slab(struct kona_copier *copier, struct kona_slab *slab)
{
	pthread_mutex_lock(&copier->server->lock);
	kona_slab_close(slab);
	pthread_mutex_unlock(&copier->server->lock);
}

static int store_piece(struct kona_copier *copier, struct kona_slab *slab, uint64_t offset_bytes,
		       const char *bytes)
{
	bool dead;

	pthread_mutex_lock(&copier->server->lock);
	dead = slab->dead;
	for (uint64_t at = 0; !dead && at < PIECE_BYTES && offset_bytes + at < slab->bytes;
	     at += KONA_PAGE_BYTES)
		kona_slab_fill(slab, (offset_bytes + at) / KONA_PAGE_BYTES, bytes + at);
	if (!dead && offset_bytes + PIECE_BYTES >= slab->bytes)
		kona_slab_filled(slab);
	pthread_mutex_unlock(&copier->server->lock);
	return dead ? -ESTALE : 0;
}

static int copy_over(struct kona_copier *copier, const struct kona_copy *copy,
		     struct kona_slab *slab, struct kona_link *link)
{
	static char bytes[PIECE_BYTES]; /* the thread's own */
	struct kona_data_open open = {
		.slab = copy->slab, .generation = copy->generation, .slab_bytes = slab->bytes};
	int rc;

	memcpy(open.capability, copy->capability, sizeof(open.capability));
	rc = kona_link_open(link, &open, deadline_ns());
	for (uint64_t at = 0; !rc && at < slab->bytes; at += PIECE_BYTES) {
		struct kona_link_piece piece = {
			.size_bytes = PIECE_BYTES, .offset_bytes = at, .buffer = bytes};

		if (slab->bytes - at < PIECE_BYTES)
			piece.size_bytes = (uint32_t)(slab->bytes - at);
		rc = kona_link_read(link, &piece, 1, deadline_ns());
		if (!rc)
			rc = store_piece(copier, slab, at, bytes);
	}
	return rc == -EREMOTEIO ? link->status : rc;
}

static int copy_slab(struct kona_copier *copier, const struct kona_copy *copy)
{
	struct kona_slab *slab = take_slab(copier, copy);
	struct kona_link link;
	uint64_t opened = 0;
	int socket, rc;

	if (!slab)
		return -ESTALE;
	socket = kona_dial_wait(copy->from);
	rc = socket < 0 ? socket : 0;
	if (!rc) {
		kona_link_init(&link, socket, &opened);
		rc = copy_over(copier, copy, slab, &link);
		kona_link_destroy(&link);
		close(socket);
	}
	leave_slab(copier, slab);
	return rc;
}

static void finish(struct kona_copier *copier, uint64_t slab)
{
	uint64_t one = 1;

	if (copier->finished_count == KONA_COPIER_MOST)
		return;
	copier->finished[copier->finished_count++] = slab;
	if (write(copier->done, &one, sizeof(one)) < 0) {
		/* It is readable already. */
	}
}

/* What else was to come from there would only wait in vain; the controller will name another. */
static void forget_source(struct kona_copier *copier, const char *from)
{
	size_t kept = 0;

	for (size_t i = 0; i < copier->waiting_count; i++)
		if (strcmp(copier->waiting[i].from, from) != 0)
			copier->waiting[kept++] = copier->waiting[i];
	copier->waiting_count = kept;
}

static void *run(void *with)
{
	struct kona_copier *copier = with;

	pthread_mutex_lock(&copier->lock);
	while (!copier->stop) {
		struct kona_copy copy;
		int rc;

		if (!copier->waiting_count) {
			pthread_cond_wait(&copier->wake, &copier->lock);
			continue;
		}
		copy = copier->waiting[0];
		memmove(copier->waiting, copier->waiting + 1,
			--copier->waiting_count * sizeof(copy));
		copier->current = copy.slab;
		pthread_mutex_unlock(&copier->lock);
		rc = copy_slab(copier, &copy);
		if (rc && rc != -ESTALE)
			kona_error("slab %llu cannot be copied from %s: %s",
				   (unsigned long long)copy.slab, copy.from, strerror(-rc));
		pthread_mutex_lock(&copier->lock);
		copier->current = 0;
		if (rc)
			forget_source(copier, copy.from);
		if (!rc)
			finish(copier, copy.slab);
	}
	pthread_mutex_unlock(&copier->lock);
	return NULL;
}

int kona_copier_start(struct kona_copier *copier, struct kona_data_server *server)
{
	int rc;

	memset(copier, 0, sizeof(*copier));
	copier->server = server;
	copier->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (copier->done < 0)
		return -errno;
	pthread_mutex_init(&copier->lock, NULL);
	pthread_cond_init(&copier->wake, NULL);
	rc = kona_daemon_thread(&copier->thread, run, copier);
	if (rc)
		close(copier->done);
	return rc;
}

void kona_copier_stop(struct kona_copier *copier)
{
	pthread_mutex_lock(&copier->lock);
	copier->stop = true;
	pthread_cond_signal(&copier->wake);
	pthread_mutex_unlock(&copier->lock);
	pthread_join(copier->thread, NULL);
	close(copier->done);
	pthread_cond_destroy(&copier->wake);
	pthread_mutex_destroy(&copier->lock);
}

/* Is the slab here, and whole? */
static bool is_whole(struct kona_copier *copier, const struct kona_copy *copy)
{
	const struct kona_slab *slab;
	bool whole;

	pthread_mutex_lock(&copier->server->lock);
	slab = kona_slab_find(&copier->server->slabs, copy->slab);
	whole = slab && slab->generation == copy->generation && slab->memory && !slab->newer;
	pthread_mutex_unlock(&copier->server->lock);
	return whole;
}

static bool is_known(const struct kona_copier *copier, uint64_t slab)
{
	bool known = copier->current == slab;

	for (size_t i = 0; i < copier->waiting_count; i++)
		known |= copier->waiting[i].slab == slab;
	for (size_t i = 0; i < copier->finished_count; i++)
		known |= copier->finished[i] == slab;
	return known;
}

void kona_copier_order(struct kona_copier *copier, const struct kona_copy *copy)
{
	struct kona_slab *slab = NULL;

	pthread_mutex_lock(&copier->lock);
	if (is_known(copier, copy->slab)) {
		/* under way */
	} else if (is_whole(copier, copy)) {
		finish(copier, copy->slab);
	} else {
		slab = take_slab(copier, copy);
		if (slab && copier->waiting_count < KONA_COPIER_MOST) {
			copier->waiting[copier->waiting_count++] = *copy;
			pthread_cond_signal(&copier->wake);
		}
	}
	pthread_mutex_unlock(&copier->lock);
	if (slab)
		leave_slab(copier, slab);
}

bool kona_copier_finished(struct kona_copier *copier, uint64_t *ret_slab)
{
	bool some;

	pthread_mutex_lock(&copier->lock);
	some = copier->finished_count > 0;
	if (some)
		*ret_slab = copier->finished[--copier->finished_count];
	pthread_mutex_unlock(&copier->lock);
	return some;
}
