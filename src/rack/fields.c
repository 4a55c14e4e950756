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

int kona_field_tenant(const json_t *object, struct kona_rack_lease *ret_lease, char *why)
{
	int rc = kona_field_integer(object, "pid", 1, INT32_MAX, &ret_lease->pid, why);

	if (!rc)
		rc = kona_field_integer(object, "uid", 0, UINT32_MAX, &ret_lease->uid, why);
	if (!rc)
		rc = kona_field_integer(object, "limit_bytes", 0, MOST_ID, &ret_lease->limit_bytes,
					why);
	if (!rc)
		rc = kona_field_text(object, "program", &ret_lease->program, why);
	return rc;
}

static int read_slabs(const json_t *list, struct kona_rack_lease *lease, char *why)
{
	size_t count = json_array_size(list);

	if (!json_is_array(list)) {
		snprintf(why, KONA_RACK_WHY_BYTES, "\"slabs\" must be a list");
		return -EINVAL;
	}
	lease->slabs = calloc(count ? count : 1, sizeof(*lease->slabs));
	if (!lease->slabs)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const json_t *slab = json_array_get(list, i);
		int64_t id = json_integer_value(slab);

		if (!json_is_integer(slab) || id < 1 || id > MOST_ID) {
			snprintf(why, KONA_RACK_WHY_BYTES, "\"slabs\" must hold identifiers");
			return -EINVAL;
		}
		lease->slabs[i] = id;
	}
	lease->slab_count = count;
	return 0;
}

static int read_lease(const json_t *object, struct kona_rack_lease *lease, char *why)
{
	int rc = kona_field_integer(object, "lease", 1, MOST_ID, &lease->lease, why);

	if (!rc)
		rc = kona_field_integer(object, "request", 0, MOST_ID, &lease->request, why);
	if (!rc)
		rc = kona_field_tenant(object, lease, why);
	if (!rc)
		rc = read_slabs(json_object_get(object, "slabs"), lease, why);
	return rc;
}

int kona_field_registration(const json_t *object, struct kona_rack_registration *ret_registration,
			    char *why)
{
	struct kona_rack_registration *r = ret_registration;
	const json_t *leases = json_object_get(object, "leases");
	size_t count = json_array_size(leases);
	int rc;

	memset(r, 0, sizeof(*r));
	rc = kona_field_name(object, "name", &r->name, why);
	if (!rc)
		rc = kona_field_name(object, "instance", &r->instance, why);
	if (!rc)
		rc = kona_field_integer(object, "capacity_bytes", 0, MOST_ID, &r->capacity_bytes,
					why);
	if (!rc && !json_is_array(leases)) {
		snprintf(why, KONA_RACK_WHY_BYTES, "\"leases\" must be a list");
		rc = -EINVAL;
	}
	if (rc)
		return rc;
	r->leases = calloc(count ? count : 1, sizeof(*r->leases));
	if (!r->leases)
		return -ENOMEM;
	r->lease_count = count;
	for (size_t i = 0; i < count && !rc; i++)
		rc = read_lease(json_array_get(leases, i), &r->leases[i], why);
	return rc;
}

void kona_field_registration_free(struct kona_rack_registration *registration)
{
	for (size_t i = 0; i < registration->lease_count; i++)
		free(registration->leases[i].slabs);
	free(registration->leases);
}
