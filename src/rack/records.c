/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is in the store, as text. Nodes and leases are JSON; slabs, of which there may be a million:
 *
 *   LEASE VERSION TAKEN WANTED NODE:STATE NODE:STATE ...
 *
 * The store hands them back by kind, so what a record refers to is there before it; one whose lease
 * is not was cut off by a crash while the lease ended, and is skipped.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rack/rack.h"

static int64_t *meta_of(struct kona_rack_model *model, int64_t id)
{
	switch (id) {
	case 1:
		return &model->slab_bytes;
	case 2:
		return &model->last_node;
	case 3:
		return &model->last_lease;
	case 4:
		return &model->last_slab;
	default:
		return NULL;
	}
}

static char *encode_node(const struct kona_rack_node *node)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b}", "name", node->name,
				   "domain", node->domain, "endpoint", node->endpoint, "instance",
				   node->instance, "secret", node->secret, "capacity_bytes",
				   (json_int_t)node->capacity_bytes, "quota_bytes",
				   (json_int_t)node->quota_bytes, "draining", (int)node->draining);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

static char *encode_lease(const struct kona_rack_lease *lease)
{
	json_t *object = json_pack(
		"{s:I, s:I, s:I, s:s, s:I, s:I, s:I}", "node", (json_int_t)lease->node->id, "pid",
		(json_int_t)lease->pid, "uid", (json_int_t)lease->uid, "program", lease->program,
		"limit_bytes", (json_int_t)lease->limit_bytes, "request",
		(json_int_t)lease->request, "replicas", (json_int_t)lease->replicas);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

static char *encode_slab(const struct kona_rack_slab *slab)
{
	char text[64 + KONA_RACK_PLACES * 24];
	int used = snprintf(text, sizeof(text), "%" PRId64 " %u %u %u", slab->lease->id,
			    slab->version, slab->taken, slab->wanted);

	for (size_t i = 0; i < slab->count; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, " %" PRId64 ":%c",
				 slab->replicas[i].node->id, slab->replicas[i].state);
	return strdup(text);
}

char *kona_record_encode(const struct kona_rack_model *model, const struct kona_record *record)
{
	char *text = NULL;

	switch (record->kind) {
	case KONA_RECORD_META:
		if (asprintf(&text, "%" PRId64,
			     *meta_of((struct kona_rack_model *)model, record->id)) < 0)
			return NULL;
		return text;
	case KONA_RECORD_NODE:
		return encode_node(kona_table_find(&model->nodes, record->id));
	case KONA_RECORD_LEASE:
		return encode_lease(kona_table_find(&model->leases, record->id));
	case KONA_RECORD_SLAB:
		return encode_slab(kona_table_find(&model->slabs, record->id));
	}
	return NULL;
}

static int64_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* A field that an older format did not have leaves the text as it is. */
static int text(const json_t *object, const char *name, char **into)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value ? kona_model_text_set(into, value) : 0;
}

static int decode_node(struct kona_rack_model *model, int64_t id, const json_t *object)
{
	const char *name = json_string_value(json_object_get(object, "name"));
	struct kona_rack_node *node;

	if (!name || kona_model_node_named(model, name))
		return -EINVAL;
	node = kona_model_node_add(model, id, name);
	if (!node || text(object, "domain", &node->domain) ||
	    text(object, "endpoint", &node->endpoint) ||
	    text(object, "instance", &node->instance) || text(object, "secret", &node->secret))
		return -ENOMEM;
	node->capacity_bytes = number(object, "capacity_bytes");
	node->quota_bytes = number(object, "quota_bytes");
	node->draining = json_is_true(json_object_get(object, "draining"));
	return 0;
}

static int decode_lease(struct kona_rack_model *model, int64_t id, const json_t *object)
{
	struct kona_rack_node *node = kona_table_find(&model->nodes, number(object, "node"));
	const char *program = json_string_value(json_object_get(object, "program"));
	struct kona_rack_lease *lease;

	if (!node)
		return 0;
	if (!program)
		return -EINVAL;
	lease = kona_model_lease_add(model, id, node, program);
	if (!lease)
		return -ENOMEM;
	lease->pid = number(object, "pid");
	lease->uid = number(object, "uid");
	lease->limit_bytes = number(object, "limit_bytes");
	lease->request = number(object, "request");
	/* Format 1 had one copy of everything. */
	lease->replicas = number(object, "replicas");
	if (!lease->replicas)
		lease->replicas = 1;
	return 0;
}

static int decode_replicas(struct kona_rack_model *model, struct kona_rack_slab *slab,
			   const char *value)
{
	while (*value) {
		char *end;
		struct kona_rack_node *node =
			kona_table_find(&model->nodes, strtoll(value, &end, 10));

		if (end == value || end[0] != ':' || !end[1] || !strchr("fmjcl", end[1]))
			return -EINVAL;
		if (node && (kona_model_replica_on(slab, node) || slab->count == KONA_RACK_PLACES))
			return -EINVAL;
		if (node && kona_model_replica_add(slab, node, (enum kona_rack_state)end[1]))
			return -ENOMEM;
		value = end + 2;
		value += *value == ' ';
	}
	return 0;
}

static int decode_slab(struct kona_rack_model *model, int64_t id, const char *value)
{
	struct kona_rack_lease *lease;
	struct kona_rack_slab *slab;
	int64_t numbers[4];

	for (size_t i = 0; i < KONA_ARRAY_LEN(numbers); i++) {
		char *end;

		numbers[i] = strtoll(value, &end, 10);
		if (end == value || (*end && *end != ' ') || numbers[i] < 0)
			return -EINVAL;
		value = end + (*end == ' ');
	}
	lease = kona_table_find(&model->leases, numbers[0]);
	if (!lease)
		return 0;
	slab = kona_model_slab_add(model, id, lease);
	if (!slab)
		return -ENOMEM;
	slab->version = (uint32_t)numbers[1];
	slab->taken = (uint32_t)numbers[2];
	slab->wanted = (uint8_t)numbers[3];
	return decode_replicas(model, slab, value);
}

int kona_record_decode(struct kona_rack_model *model, enum kona_record_kind kind, int64_t id,
		       const char *value)
{
	json_t *object;
	int rc;

	if (id <= 0)
		return -EINVAL;
	if (kind == KONA_RECORD_META) {
		int64_t *meta = meta_of(model, id);

		if (meta)
			*meta = strtoll(value, NULL, 10);
		return meta ? 0 : -EINVAL;
	}
	if (kind == KONA_RECORD_SLAB)
		return kona_table_find(&model->slabs, id) ? -EINVAL : decode_slab(model, id, value);
	object = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(object))
		rc = -EINVAL;
	else if (kind == KONA_RECORD_NODE)
		rc = decode_node(model, id, object);
	else
		rc = decode_lease(model, id, object);
	json_decref(object);
	return rc;
}
