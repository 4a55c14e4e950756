/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Adding and removing; every list and count that depends on it.
 */
#include "rack/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kona_model_text_set(char **text, const char *value)
{
	char *copy;

	if (*text && !strcmp(*text, value))
		return 0;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

static void free_node(struct kona_rack_node *node)
{
	free(node->name);
	free(node->domain);
	free(node->endpoint);
	free(node->instance);
	free(node->secret);
	free(node->slabs);
	kona_ids_free(&node->drops);
	kona_ids_free(&node->copies);
	kona_ids_free(&node->tells);
	free(node);
}

struct kona_rack_node *kona_model_node_add(struct kona_rack_model *model, int64_t id,
					   const char *name)
{
	struct kona_rack_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->id = id;
	TAILQ_INIT(&node->leases);
	if (kona_model_text_set(&node->name, name) || kona_model_text_set(&node->domain, name) ||
	    kona_model_text_set(&node->endpoint, "") || kona_model_text_set(&node->secret, "") ||
	    kona_model_text_set(&node->instance, ""))
		goto out;
	node->index = model->nodes.count;
	if (node->index == model->order_room) {
		size_t room = model->order_room ? model->order_room * 2 : 16;
		struct kona_rack_node **grown =
			reallocarray(model->order, room, sizeof(*model->order));

		if (!grown)
			goto out;
		model->order = grown;
		model->order_room = room;
	}
	if (kona_table_add(&model->nodes, node))
		goto out;
	model->order[node->index] = node;
	return node;
out:
	free_node(node);
	return NULL;
}

void kona_model_node_remove(struct kona_rack_model *model, struct kona_rack_node *node)
{
	struct kona_rack_node *last = model->order[model->nodes.count - 1];

	model->order[node->index] = last;
	last->index = node->index;
	kona_table_remove(&model->nodes, node->id);
	free_node(node);
}

struct kona_rack_node *kona_model_node_named(const struct kona_rack_model *model, const char *name)
{
	for (size_t i = 0; i < model->nodes.count; i++)
		if (!strcmp(model->order[i]->name, name))
			return model->order[i];
	return NULL;
}

struct kona_rack_lease *kona_model_lease_add(struct kona_rack_model *model, int64_t id,
					     struct kona_rack_node *node, const char *program)
{
	struct kona_rack_lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return NULL;
	lease->id = id;
	lease->node = node;
	lease->program = strdup(program);
	TAILQ_INIT(&lease->slabs);
	if (!lease->program || kona_table_add(&model->leases, lease)) {
		free(lease->program);
		free(lease);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&node->leases, lease, link);
	node->lease_count++;
	return lease;
}

void kona_model_lease_remove(struct kona_rack_model *model, struct kona_rack_lease *lease)
{
	TAILQ_REMOVE(&lease->node->leases, lease, link);
	lease->node->lease_count--;
	kona_table_remove(&model->leases, lease->id);
	free(lease->program);
	free(lease);
}

struct kona_rack_slab *kona_model_slab_add(struct kona_rack_model *model, int64_t id,
					   struct kona_rack_lease *lease)
{
	struct kona_rack_slab *slab = calloc(1, sizeof(*slab));

	if (!slab)
		return NULL;
	slab->id = id;
	slab->lease = lease;
	slab->version = slab->taken = 1;
	if (kona_table_add(&model->slabs, slab)) {
		free(slab);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&lease->slabs, slab, of_lease);
	lease->slab_count++;
	lease->node->leased_slabs++;
	model->healths[slab->health]++;
	return slab;
}

void kona_model_slab_remove(struct kona_rack_model *model, struct kona_rack_slab *slab)
{
	while (slab->count)
		kona_model_replica_remove(slab, slab->count - 1u);
	model->healths[slab->health]--;
	TAILQ_REMOVE(&slab->lease->slabs, slab, of_lease);
	slab->lease->slab_count--;
	slab->lease->node->leased_slabs--;
	kona_table_remove(&model->slabs, slab->id);
	free(slab);
}

int kona_model_replica_add(struct kona_rack_slab *slab, struct kona_rack_node *node,
			   enum kona_rack_state state)
{
	if (node->slab_count == node->slab_room) {
		size_t room = node->slab_room ? node->slab_room + node->slab_room / 2 : 8;
		struct kona_rack_slab **grown =
			reallocarray(node->slabs, room, sizeof(*node->slabs));

		if (!grown)
			return -ENOMEM;
		node->slabs = grown;
		node->slab_room = room;
	}
	slab->replicas[slab->count++] =
		(struct kona_rack_replica){node, (uint32_t)node->slab_count, (uint8_t)state};
	node->slabs[node->slab_count++] = slab;
	return 0;
}

struct kona_rack_replica *kona_model_replica_on(struct kona_rack_slab *slab,
						const struct kona_rack_node *node)
{
	for (size_t i = 0; i < slab->count; i++)
		if (slab->replicas[i].node == node)
			return &slab->replicas[i];
	return NULL;
}

void kona_model_replica_remove(struct kona_rack_slab *slab, size_t index)
{
	struct kona_rack_replica *gone = &slab->replicas[index];
	struct kona_rack_node *node = gone->node;
	struct kona_rack_slab *last = node->slabs[--node->slab_count];

	node->slabs[gone->place] = last;
	kona_model_replica_on(last, node)->place = gone->place;
	slab->count--;
	for (size_t i = index; i < slab->count; i++)
		slab->replicas[i] = slab->replicas[i + 1];
}

int64_t kona_model_free_slabs(const struct kona_rack_model *model,
			      const struct kona_rack_node *node)
{
	int64_t all = node->capacity_bytes / model->slab_bytes;
	int64_t used = (int64_t)(node->slab_count + node->drops.count);

	return all > used ? all - used : 0;
}

void kona_model_clear(struct kona_rack_model *model)
{
	size_t cursor = 0;
	struct kona_rack_lease *lease;
	struct kona_rack_slab *slab;

	while ((slab = kona_table_next(&model->slabs, &cursor)))
		free(slab);
	for (cursor = 0; (lease = kona_table_next(&model->leases, &cursor));) {
		free(lease->program);
		free(lease);
	}
	for (size_t i = 0; i < model->nodes.count; i++)
		free_node(model->order[i]);
	kona_table_free(&model->slabs);
	kona_table_free(&model->leases);
	kona_table_free(&model->nodes);
	free(model->order);
	memset(model, 0, sizeof(*model));
}
