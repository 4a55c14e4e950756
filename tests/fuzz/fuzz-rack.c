/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any lines as requests of the rack controller ("METHOD PATH BODY"), and as records of its store
 * ("#KIND ID VALUE"): each request gets an answer that is JSON or metrics, each record is taken or
 * refused, and what was taken can be written again.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "rack/api.h"

enum { MOST_LINES = 64, STEP_MS = 700 };

bool fuzz_accepted;

static void decode(struct kona_rack_model *model, const char *line)
{
	struct kona_record record = {.kind = (enum kona_record_kind)(line[0] & 3)};
	char *end;
	char *again;

	record.id = strtoll(line + 1, &end, 10);
	if (kona_record_decode(model, record.kind, record.id, end))
		return;
	if ((record.kind == KONA_RECORD_SLAB && !kona_table_find(&model->slabs, record.id)) ||
	    (record.kind == KONA_RECORD_LEASE && !kona_table_find(&model->leases, record.id)))
		return;
	fuzz_accepted = true;
	again = kona_record_encode(model, &record);
	if (!again)
		abort();
	free(again);
}

static void request(struct kona_rack *rack, char *line)
{
	const struct kona_rack_caller caller = {KONA_RACK_LOCAL, ""};
	struct kona_rack_answer answer;
	char *path = strchr(line, ' '), *body = path ? strchr(path + 1, ' ') : NULL;
	json_t *object;

	if (!body)
		return;
	*path++ = 0;
	*body++ = 0;
	kona_rack_api(rack, &caller, line, path, body, strlen(body), &answer);
	if (!answer.body || answer.status < 200 || answer.status > 599)
		abort();
	fuzz_accepted |= answer.status < 300;
	if (!strcmp(answer.content_type, "application/json")) {
		object = json_loads(answer.body, 0, NULL);
		if (!json_is_object(object))
			abort();
		json_decref(object);
	}
	free(answer.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[KONA_STORE_TEXT_BYTES];
	struct kona_rack_model model = {.slab_bytes = 65536};
	struct kona_rack rack;

	kona_rack_init(&rack, UINT64_C(1000000000), 7);
	rack.wished_slab_bytes = 65536;
	if (kona_rack_store_open(":memory:", "", NULL, &rack.store, why))
		abort();
	kona_rack_tick(&rack);
	for (int i = 0; i < MOST_LINES && size; i++) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t length = end ? (size_t)(end - data) : size;
		char *line = strndup((const char *)data, length);

		if (line[0] == '#' && line[1])
			decode(&model, line + 1);
		else
			request(&rack, line);
		rack.now_ns += STEP_MS * UINT64_C(1000000);
		kona_rack_tick(&rack);
		free(line);
		length += end != NULL;
		data += length;
		size -= length;
	}
	kona_model_clear(&model);
	kona_rack_free(&rack);
	return 0;
}
