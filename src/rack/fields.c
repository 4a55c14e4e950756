/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Field readers. Stateless. Unknown fields are ignored, so that a newer node can say more.
 */
#include "rack/fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/rack.h"

#define MOST_ID (KONA_RACK_MOST_VALUE - 1)

int kona_field_integer(const json_t *object, const char *name, int64_t least, int64_t most,
		       int64_t *ret_value, char *why)
{
	const json_t *field = json_object_get(object, name);
	int64_t value = json_integer_value(field);

	if (!json_is_integer(field) || value < least || value > most) {
		snprintf(why, KONA_RACK_WHY_BYTES, "\"%s\" must be an integer of %lld to %lld",
			 name, (long long)least, (long long)most);
		return -EINVAL;
	}
	*ret_value = value;
	return 0;
}

int kona_field_text(const json_t *object, const char *name, const char **ret_value, char *why)
{
	const json_t *field = json_object_get(object, name);
	const char *text = json_string_value(field);
	size_t length = json_string_length(field);

	if (!text || length >= KONA_RACK_NAME_BYTES)
		goto bad;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			goto bad;
	*ret_value = text;
	return 0;
bad:
	snprintf(why, KONA_RACK_WHY_BYTES,
		 "\"%s\" must be a text of at most %d bytes without control characters", name,
		 KONA_RACK_NAME_BYTES - 1);
	return -EINVAL;
}

int kona_field_name(const json_t *object, const char *name, const char **ret_value, char *why)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	const char *text = json_string_value(json_object_get(object, name));
	size_t length = text ? strlen(text) : 0;

	/* A NUL inside the text makes the two lengths differ. */
	if (!length || length >= KONA_RACK_NAME_BYTES || strspn(text, allowed) != length ||
	    length != json_string_length(json_object_get(object, name))) {
		snprintf(why, KONA_RACK_WHY_BYTES,
			 "\"%s\" must be 1 to %d letters, digits, '.', '_' and '-'", name,
			 KONA_RACK_NAME_BYTES - 1);
		return -EINVAL;
	}
	*ret_value = text;
	return 0;
}

int kona_field_ids(const json_t *object, const char *name, struct kona_ids *ret_ids, char *why)
{
	const json_t *list = json_object_get(object, name);
	size_t count = json_array_size(list);

	if (list && !json_is_array(list)) {
		snprintf(why, KONA_RACK_WHY_BYTES, "\"%s\" must be a list", name);
		return -EINVAL;
	}
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(list, i);
		int64_t id = json_integer_value(item);

		if (!json_is_integer(item) || id < 1 || id > MOST_ID) {
			snprintf(why, KONA_RACK_WHY_BYTES, "\"%s\" must hold identifiers", name);
			return -EINVAL;
		}
		if (kona_ids_add(ret_ids, id))
			return -ENOMEM;
	}
	return 0;
}

int kona_field_tenant(const json_t *object, int64_t most_replicas,
		      struct kona_rack_claim *ret_claim, char *why)
{
	int rc = kona_field_integer(object, "pid", 1, INT32_MAX, &ret_claim->pid, why);

	ret_claim->replicas = most_replicas;
	if (!rc)
		rc = kona_field_integer(object, "uid", 0, UINT32_MAX, &ret_claim->uid, why);
	if (!rc)
		rc = kona_field_integer(object, "limit_bytes", 0, MOST_ID, &ret_claim->limit_bytes,
					why);
	if (!rc && json_object_get(object, "replicas"))
		rc = kona_field_integer(object, "replicas", 1, KONA_RACK_MOST_REPLICAS,
					&ret_claim->replicas, why);
	if (!rc)
		rc = kona_field_text(object, "program", &ret_claim->program, why);
	return rc;
}

static int read_claim(const json_t *object, int64_t replicas, struct kona_rack_claim *claim,
		      char *why)
{
	int rc = kona_field_integer(object, "lease", 1, MOST_ID, &claim->lease, why);

	if (!rc)
		rc = kona_field_integer(object, "request", 0, MOST_ID, &claim->request, why);
	if (!rc)
		rc = kona_field_tenant(object, replicas, claim, why);
	if (!rc && !json_is_array(json_object_get(object, "slabs"))) {
		snprintf(why, KONA_RACK_WHY_BYTES, "\"slabs\" must be a list");
		rc = -EINVAL;
	}
	if (!rc)
		rc = kona_field_ids(object, "slabs", &claim->slabs, why);
	if (!rc)
		rc = kona_field_ids(object, "remote", &claim->remote, why);
	return rc;
}

/* "HOST:PORT", as a client connects to it. */
static int read_endpoint(const json_t *object, const char **ret_endpoint, char *why)
{
	const json_t *field = json_object_get(object, "endpoint");
	const char *text = json_string_value(field);
	size_t length = json_string_length(field);

	if (!field)
		return 0;
	if (!text || length >= KONA_RACK_ENDPOINT_BYTES || strlen(text) != length ||
	    !strchr(text, ':') ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789._-:[]%") != length) {
		snprintf(why, KONA_RACK_WHY_BYTES, "\"endpoint\" must be HOST:PORT");
		return -EINVAL;
	}
	*ret_endpoint = text;
	return 0;
}

static int read_secret(const json_t *object, const char **ret_secret, char *why)
{
	const json_t *field = json_object_get(object, "secret");
	const char *text = json_string_value(field);

	if (!field)
		return 0;
	if (!text || json_string_length(field) != 2 * KONA_RACK_SECRET_BYTES ||
	    strspn(text, "0123456789abcdef") != 2 * KONA_RACK_SECRET_BYTES) {
		snprintf(why, KONA_RACK_WHY_BYTES, "\"secret\" must be %d hex digits",
			 2 * KONA_RACK_SECRET_BYTES);
		return -EINVAL;
	}
	*ret_secret = text;
	return 0;
}

static int read_node(const json_t *object, struct kona_rack_registration *r, char *why)
{
	int rc = kona_field_name(object, "name", &r->name, why);

	r->domain = r->name;
	r->endpoint = r->secret = "";
	if (!rc)
		rc = kona_field_name(object, "instance", &r->instance, why);
	if (!rc)
		rc = kona_field_integer(object, "capacity_bytes", 0, MOST_ID, &r->capacity_bytes,
					why);
	if (!rc && json_object_get(object, "domain"))
		rc = kona_field_name(object, "domain", &r->domain, why);
	if (!rc)
		rc = read_endpoint(object, &r->endpoint, why);
	if (!rc)
		rc = read_secret(object, &r->secret, why);
	if (!rc && r->endpoint[0] && !r->secret[0]) {
		snprintf(why, KONA_RACK_WHY_BYTES,
			 "a node with an \"endpoint\" needs a \"secret\"");
		rc = -EINVAL;
	}
	if (!rc)
		rc = kona_field_ids(object, "hosted", &r->hosted, why);
	return rc;
}

int kona_field_registration(const json_t *object, int64_t replicas,
			    struct kona_rack_registration *ret_registration, char *why)
{
	struct kona_rack_registration *r = ret_registration;
	const json_t *leases = json_object_get(object, "leases");
	size_t count = json_array_size(leases);
	int rc;

	memset(r, 0, sizeof(*r));
	rc = read_node(object, r, why);
	if (!rc && !json_is_array(leases)) {
		snprintf(why, KONA_RACK_WHY_BYTES, "\"leases\" must be a list");
		rc = -EINVAL;
	}
	if (rc)
		return rc;
	r->claims = calloc(count ? count : 1, sizeof(*r->claims));
	if (!r->claims)
		return -ENOMEM;
	r->claim_count = count;
	for (size_t i = 0; i < count && !rc; i++)
		rc = read_claim(json_array_get(leases, i), replicas, &r->claims[i], why);
	return rc;
}

void kona_field_registration_free(struct kona_rack_registration *registration)
{
	for (size_t i = 0; i < registration->claim_count; i++) {
		kona_ids_free(&registration->claims[i].slabs);
		kona_ids_free(&registration->claims[i].remote);
	}
	free(registration->claims);
	kona_ids_free(&registration->hosted);
}

/* The length of a list of objects that may be absent. */
static int count_objects(const json_t *object, const char *name, size_t *ret_count, char *why)
{
	const json_t *list = json_object_get(object, name);

	if (list && !json_is_array(list)) {
		snprintf(why, KONA_RACK_WHY_BYTES, "\"%s\" must be a list", name);
		return -EINVAL;
	}
	*ret_count = json_array_size(list);
	return 0;
}

static int read_taken(const json_t *object, struct kona_rack_reports *r, char *why)
{
	const json_t *list = json_object_get(object, "taken");
	size_t count;
	int rc = count_objects(object, "taken", &count, why);

	if (rc || !count)
		return rc;
	r->taken = calloc(count, sizeof(*r->taken));
	if (!r->taken)
		return -ENOMEM;
	r->taken_count = count;
	for (size_t i = 0; i < count && !rc; i++) {
		const json_t *item = json_array_get(list, i);

		rc = kona_field_integer(item, "lease", 1, MOST_ID, &r->taken[i].lease, why);
		if (!rc)
			rc = kona_field_integer(item, "slab", 1, MOST_ID, &r->taken[i].slab, why);
		if (!rc)
			rc = kona_field_integer(item, "version", 1, MOST_ID, &r->taken[i].version,
						why);
	}
	return rc;
}

static int read_lost(const json_t *object, struct kona_rack_reports *r, char *why)
{
	const json_t *list = json_object_get(object, "lost");
	size_t count;
	int rc = count_objects(object, "lost", &count, why);

	if (rc || !count)
		return rc;
	r->lost = calloc(count, sizeof(*r->lost));
	if (!r->lost)
		return -ENOMEM;
	r->lost_count = count;
	for (size_t i = 0; i < count && !rc; i++) {
		const json_t *item = json_array_get(list, i);

		rc = kona_field_integer(item, "lease", 1, MOST_ID, &r->lost[i].lease, why);
		if (!rc)
			rc = kona_field_integer(item, "node", 1, MOST_ID, &r->lost[i].node, why);
		if (!rc)
			rc = kona_field_integer(item, "slab", 0, MOST_ID, &r->lost[i].slab, why);
	}
	return rc;
}

int kona_field_reports(const json_t *object, struct kona_rack_reports *ret_reports, char *why)
{
	int rc;

	memset(ret_reports, 0, sizeof(*ret_reports));
	rc = kona_field_ids(object, "dropped", &ret_reports->dropped, why);
	if (!rc)
		rc = kona_field_ids(object, "copied", &ret_reports->copied, why);
	if (!rc)
		rc = read_taken(object, ret_reports, why);
	if (!rc)
		rc = read_lost(object, ret_reports, why);
	return rc;
}

void kona_field_reports_free(struct kona_rack_reports *reports)
{
	kona_ids_free(&reports->dropped);
	kona_ids_free(&reports->copied);
	free(reports->taken);
	free(reports->lost);
}
