/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Repair: every slab comes to have as many full replicas as it wants, on nodes that are up and
 * stay, in as many domains.
 *
 * Whatever may change what a slab needs puts it in line (`work`); a tick looks at a share of them
 * and takes for each the next step, of which the client and the nodes hear with their heartbeats
 * (orders.c). A slab for which there is no place waits apart (`starved`) until room comes. So a
 * death costs no request more than a share's time, and nothing is forgotten by a restart: what is
 * in the state says what the next step is.
 *
 * What can never be repaired is a slab of which no full replica is on a node that is up: it is left
 * alone, since the node may come back with its memory.
 */
#include <errno.h>

#include "base/units.h"
#include "rack/rack.h"

enum {
	SHARE = 64, /* slabs of one commit */
	TICK_MS = 250,
};

#define SECOND UINT64_C(1000000000)

void kona_rack_unqueue(struct kona_rack *rack, struct kona_rack_slab *slab)
{
	if (!slab->queued)
		return;
	if (slab->starved)
		TAILQ_REMOVE(&rack->starved, slab, work);
	else
		TAILQ_REMOVE(&rack->work, slab, work);
	slab->queued = slab->starved = false;
}

void kona_rack_queue(struct kona_rack *rack, struct kona_rack_slab *slab)
{
	kona_rack_unqueue(rack, slab);
	TAILQ_INSERT_TAIL(&rack->work, slab, work);
	slab->queued = true;
}

void kona_rack_queue_node(struct kona_rack *rack, struct kona_rack_node *node)
{
	for (size_t i = 0; i < node->slab_count; i++)
		kona_rack_queue(rack, node->slabs[i]);
}

int kona_rack_tell(struct kona_rack *rack, struct kona_rack_slab *slab)
{
	slab->version++;
	if (slab->told)
		return 0;
	if (kona_ids_add(&slab->lease->node->tells, slab->id))
		return -ENOMEM;
	slab->told = true;
	return 0;
}

int kona_rack_drop(struct kona_rack *rack, struct kona_rack_slab *slab, size_t index, bool gone)
{
	struct kona_rack_node *node = slab->replicas[index].node;

	if (!gone && kona_ids_add(&node->drops, slab->id))
		return -ENOMEM;
	kona_model_replica_remove(slab, index);
	rack->room_changed = true;
	return 0;
}

struct view {
	bool readable; /* a full one on a node that is up */
	size_t good, coming;
};

static struct view look(const struct kona_rack *rack, const struct kona_rack_slab *slab)
{
	struct view view = {0};

	for (size_t i = 0; i < slab->count; i++) {
		const struct kona_rack_replica *r = &slab->replicas[i];
		bool up = kona_rack_is_up(rack, r->node);

		view.readable |= up && kona_rack_is_full(r);
		view.good += up && !r->node->draining && r->state == KONA_RACK_FULL;
		view.coming += r->state == KONA_RACK_JOINING || r->state == KONA_RACK_COPYING;
	}
	return view;
}

/* Replicas on nodes that are down, and those that come to where none should come. */
static bool give_up_dead(const struct kona_rack *rack, struct kona_rack_slab *slab)
{
	bool changed = false;

	for (size_t i = 0; i < slab->count; i++) {
		struct kona_rack_replica *r = &slab->replicas[i];
		bool up = kona_rack_is_up(rack, r->node);

		if (r->state == KONA_RACK_LEAVING || (up && kona_rack_is_full(r)) ||
		    (up && !r->node->draining))
			continue;
		r->state = KONA_RACK_LEAVING;
		changed = true;
	}
	return changed;
}

static int add_missing(struct kona_rack *rack, struct kona_rack_slab *slab, struct view view,
		       bool *changed, bool *starved)
{
	bool moves = false;

	for (size_t i = 0; i < slab->count; i++)
		moves |= slab->replicas[i].state == KONA_RACK_MOVING;
	while (view.good + view.coming < slab->wanted) {
		struct kona_rack_node *node = NULL;

		if (slab->count < KONA_RACK_PLACES)
			node = kona_rack_place(rack, slab, moves);
		*starved = !node && slab->count < KONA_RACK_PLACES;
		if (!node)
			return 0;
		if (kona_model_replica_add(slab, node, KONA_RACK_JOINING))
			return -ENOMEM;
		view.coming++;
		*changed = true;
	}
	return 0;
}

/* With enough good ones, those that were to be replaced go, and what is too much. */
static bool remove_surplus(const struct kona_rack *rack, struct kona_rack_slab *slab,
			   struct view view)
{
	size_t keep = slab->wanted;
	bool changed = false;

	if (view.good < keep)
		return false;
	for (size_t i = 0; i < slab->count; i++) {
		struct kona_rack_replica *r = &slab->replicas[i];
		bool stays = r->state == KONA_RACK_FULL && !r->node->draining && keep;

		if (stays)
			keep--;
		if (r->state == KONA_RACK_LEAVING || stays)
			continue;
		r->state = KONA_RACK_LEAVING;
		changed = true;
	}
	return changed;
}

/* The slab's next step. */
static int review(struct kona_rack *rack, struct kona_rack_slab *slab)
{
	bool changed = false, starved = false;
	struct view view;
	int rc = 0;

	kona_rack_unqueue(rack, slab);
	if (!slab->wanted || !look(rack, slab).readable) {
		kona_rack_weigh(rack, slab);
		return 0;
	}
	changed = give_up_dead(rack, slab);
	view = look(rack, slab);
	rc = add_missing(rack, slab, view, &changed, &starved);
	if (!rc)
		changed |= remove_surplus(rack, slab, look(rack, slab));
	if (!rc && changed)
		rc = kona_rack_tell(rack, slab);
	if (rc)
		return rc;
	if (starved) {
		TAILQ_INSERT_TAIL(&rack->starved, slab, work);
		slab->queued = slab->starved = true;
	}
	if (changed)
		kona_rack_touch_slab(rack, slab);
	else
		kona_rack_weigh(rack, slab);
	return 0;
}

static void feed_starved(struct kona_rack *rack)
{
	struct kona_rack_slab *slab;

	if (!rack->room_changed)
		return;
	rack->room_changed = false;
	while ((slab = TAILQ_FIRST(&rack->starved)))
		kona_rack_queue(rack, slab);
}

/* A node that was up and is not, or the other way round. */
static void notice(struct kona_rack *rack)
{
	for (size_t i = 0; i < rack->model.nodes.count; i++) {
		struct kona_rack_node *node = rack->model.order[i];
		bool up = kona_rack_is_up(rack, node);

		if (up == node->was_up)
			continue;
		node->was_up = up;
		rack->room_changed |= up;
		kona_rack_queue_node(rack, node);
	}
}

/*
 * A lease of a node that has been silent for too long. The node must register before it goes on.
 * Returns 1 when there was one.
 */
static int end_lease(struct kona_rack *rack)
{
	for (size_t i = 0; i < rack->model.nodes.count; i++) {
		struct kona_rack_node *node = rack->model.order[i];
		uint64_t since_ns =
			node->heard_ns > rack->since_ns ? node->heard_ns : rack->since_ns;

		if (TAILQ_EMPTY(&node->leases) || rack->now_ns - since_ns < rack->lease_ns)
			continue;
		node->registered = false;
		return kona_rack_free_lease(rack, TAILQ_FIRST(&node->leases)) ? -ENOMEM : 1;
	}
	return 0;
}

static int work(struct kona_rack *rack, bool *more)
{
	struct kona_rack_slab *slab;
	int rc = end_lease(rack);

	*more = rc == 1;
	for (int i = 0; i < SHARE && rc >= 0 && (slab = TAILQ_FIRST(&rack->work)); i++)
		rc = review(rack, slab);
	if (rc < 0) {
		rack->stale = true;
		return rc;
	}
	*more |= !TAILQ_EMPTY(&rack->work);
	return kona_rack_commit(rack);
}

int kona_rack_tick(struct kona_rack *rack)
{
	bool more;

	/* Whoever was paused for so long has heard nobody, however loud they were. */
	if (rack->now_ns - rack->ticked_ns > SECOND)
		rack->since_ns = rack->now_ns;
	rack->ticked_ns = rack->now_ns;
	kona_rack_lead(rack);
	if (!rack->leads || kona_rack_begin(rack))
		return TICK_MS;
	notice(rack);
	feed_starved(rack);
	return work(rack, &more) || !more ? TICK_MS : 0;
}
