/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations as transactions on the store.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rack/rack.h"

#define LEADS_NS UINT64_C(1000000000)

void kona_rack_lead(struct kona_rack *rack)
{
	bool led = rack->leads;

	rack->leads = rack->store->ops->tick(rack->store, rack->now_ns) == 1;
	rack->led_ns = rack->now_ns;
	if (!led)
		rack->stale = true;
}

static int state_failed(struct kona_rack *rack, int rc)
{
	rack->state_errors++;
	snprintf(rack->why, sizeof(rack->why), "%s",
		 rc == -ENOMEM ? "the controller is out of memory" : rack->store->why);
	return rc;
}

int kona_rack_begin_reading(struct kona_rack *rack)
{
	/* After a pause of ours, another one may lead: not even orders may come from us then. */
	if (rack->leads && rack->now_ns - rack->led_ns > LEADS_NS)
		kona_rack_lead(rack);
	if (!rack->leads)
		return kona_rack_refuse(rack, -EAGAIN, "%s",
					rack->store->why[0] ? rack->store->why
							    : "another controller leads");
	/* What others of this group did must fail as a whole before it is forgotten. */
	if (rack->stale && rack->groups && rack->batch.count)
		return kona_rack_refuse(rack, -ENOMEM, "the controller is out of memory");
	return rack->stale ? kona_rack_load(rack) : 0;
}

int kona_rack_begin(struct kona_rack *rack)
{
	int rc = kona_rack_begin_reading(rack);

	if (rc || !rack->failing)
		return rc;
	if (rack->store->ops->probe(rack->store))
		return state_failed(rack, -EIO);
	rack->failing = false;
	return 0;
}

void kona_rack_touch(struct kona_rack *rack, enum kona_record_kind kind, int64_t id)
{
	struct kona_rack_batch *batch = &rack->batch;

	if (batch->count == batch->room) {
		size_t room = batch->room ? batch->room * 2 : 64;
		struct kona_record *grown = reallocarray(batch->entries, room, sizeof(*grown));

		if (!grown) {
			batch->incomplete = true;
			return;
		}
		batch->entries = grown;
		batch->room = room;
	}
	batch->entries[batch->count++] = (struct kona_record){kind, id, NULL};
}

void kona_rack_weigh(struct kona_rack *rack, struct kona_rack_slab *slab)
{
	size_t full = 0, reachable = 0;
	enum kona_rack_health health = KONA_RACK_HEALTHY;

	for (size_t i = 0; i < slab->count; i++) {
		full += kona_rack_is_full(&slab->replicas[i]);
		reachable += kona_rack_is_full(&slab->replicas[i]) &&
			     kona_rack_is_up(rack, slab->replicas[i].node);
	}
	if (!reachable)
		health = KONA_RACK_LOST;
	else if (full < slab->wanted)
		health = KONA_RACK_DEGRADED;
	rack->model.healths[slab->health]--;
	rack->model.healths[health]++;
	slab->health = health;
}

void kona_rack_touch_slab(struct kona_rack *rack, struct kona_rack_slab *slab)
{
	kona_rack_weigh(rack, slab);
	kona_rack_touch(rack, KONA_RECORD_SLAB, slab->id);
}

static int compare(const void *left, const void *right)
{
	const struct kona_record *a = left, *b = right;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

/* Sorts the batch, keeps one entry of each record, and fills in the values. */
static int encode(struct kona_rack *rack)
{
	struct kona_rack_batch *batch = &rack->batch;
	const struct kona_rack_model *model = &rack->model;
	size_t kept = 0;

	qsort(batch->entries, batch->count, sizeof(*batch->entries), compare);
	for (size_t i = 0; i < batch->count; i++)
		if (!kept || compare(&batch->entries[kept - 1], &batch->entries[i]))
			batch->entries[kept++] = batch->entries[i];
	batch->count = kept;
	for (size_t i = 0; i < kept; i++) {
		struct kona_record *e = &batch->entries[i];
		bool exists = e->kind == KONA_RECORD_META ||
			      kona_table_find(e->kind == KONA_RECORD_NODE    ? &model->nodes
					      : e->kind == KONA_RECORD_LEASE ? &model->leases
									     : &model->slabs,
					      e->id);

		if (!exists)
			continue;
		e->value = kona_record_encode(model, e);
		if (!e->value)
			return -ENOMEM;
	}
	return 0;
}

int kona_rack_commit(struct kona_rack *rack)
{
	return rack->groups && !rack->batch.incomplete ? 0 : kona_rack_flush(rack);
}

int kona_rack_flush(struct kona_rack *rack)
{
	struct kona_rack_batch *batch = &rack->batch;
	int rc = batch->incomplete ? -ENOMEM : 0;

	if (!batch->count && !rc)
		return 0;
	if (!rc && rack->stale)
		/* An operation has failed half-way: what it and its group did is thrown away. */
		rc = -ENOMEM;
	if (!rc)
		rc = encode(rack);
	if (!rc)
		rc = rack->store->ops->commit(rack->store, batch->entries, batch->count);
	for (size_t i = 0; i < batch->count; i++)
		free(batch->entries[i].value);
	batch->count = 0;
	batch->incomplete = false;
	if (!rc)
		return 0;
	rack->failing |= !rack->stale;
	rack->stale = true;
	if (rc == -EAGAIN)
		rack->leads = false;
	return state_failed(rack, rc);
}

/* What a crash left behind of something that has ended is deleted. */
static int take(void *with, enum kona_record_kind kind, int64_t id, const char *value)
{
	struct kona_rack *rack = with;
	int rc = kona_record_decode(&rack->model, kind, id, value);

	if (!rc && ((kind == KONA_RECORD_SLAB && !kona_table_find(&rack->model.slabs, id)) ||
		    (kind == KONA_RECORD_LEASE && !kona_table_find(&rack->model.leases, id))))
		kona_rack_touch(rack, kind, id);
	return rc;
}

/* The lists that are not in the store, because they follow from what is. */
static int prepare_slab(struct kona_rack *rack, struct kona_rack_slab *slab)
{
	bool settled = slab->version == slab->taken;
	size_t full = 0;

	rack->model.healths[slab->health]--;
	for (size_t i = 0; i < slab->count; i++) {
		struct kona_rack_replica *replica = &slab->replicas[i];

		full += kona_rack_is_full(replica);
		if (replica->state != KONA_RACK_FULL)
			settled = false;
		if (replica->state == KONA_RACK_COPYING &&
		    kona_ids_add(&replica->node->copies, slab->id))
			return -ENOMEM;
	}
	slab->health = full >= slab->wanted ? KONA_RACK_HEALTHY : KONA_RACK_DEGRADED;
	rack->model.healths[slab->health]++;
	if (!slab->wanted)
		return 0;
	if (!settled || full != slab->wanted)
		kona_rack_queue(rack, slab);
	if (slab->version == slab->taken)
		return 0;
	slab->told = true;
	return kona_ids_add(&slab->lease->node->tells, slab->id);
}

static int prepare(struct kona_rack *rack)
{
	struct kona_rack_slab *slab;
	size_t cursor = 0;
	int rc = 0;

	while (!rc && (slab = kona_table_next(&rack->model.slabs, &cursor)))
		rc = prepare_slab(rack, slab);
	for (size_t i = 0; i < rack->model.nodes.count; i++)
		rack->model.order[i]->was_up = true;
	return rc;
}

/* Numbers start at a random point: see wire/rack.h. */
static void begin_anew(struct kona_rack *rack)
{
	struct kona_rack_model *model = &rack->model;
	int64_t start = (int64_t)(kona_rack_random(rack) & 0x3fffffff) << 20;

	model->slab_bytes =
		rack->wished_slab_bytes ? rack->wished_slab_bytes : KONA_RACK_DEFAULT_SLAB_BYTES;
	model->last_lease = model->last_slab = start;
	for (int64_t id = 1; id <= 4; id++)
		kona_rack_touch(rack, KONA_RECORD_META, id);
}

int kona_rack_load(struct kona_rack *rack)
{
	int rc;

	rack->batch.count = 0;
	rack->batch.incomplete = false;
	TAILQ_INIT(&rack->work);
	TAILQ_INIT(&rack->starved);
	kona_model_clear(&rack->model);
	rack->stale = true;
	rc = rack->store->ops->load(rack->store, take, rack);
	if (rc == -EINVAL)
		return kona_rack_refuse(rack, -EIO, "the controller's state makes no sense");
	if (!rc && !rack->model.slab_bytes)
		begin_anew(rack);
	if (!rc && rack->wished_slab_bytes && rack->wished_slab_bytes != rack->model.slab_bytes)
		return kona_rack_refuse(rack, -EINVAL,
					"it has slabs of %lld bytes, which --slab cannot change",
					(long long)rack->model.slab_bytes);
	if (!rc)
		rc = prepare(rack);
	if (rc)
		return state_failed(rack, rc);
	rack->epoch = (int64_t)(kona_rack_random(rack) % (uint64_t)KONA_RACK_MOST_VALUE);
	rack->since_ns = rack->now_ns;
	rack->stale = false;
	return kona_rack_commit(rack);
}
