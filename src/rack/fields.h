/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the fields of a request body, which anybody may have written.
 *
 * A reader that finds fault says so in `why` and returns -EINVAL; so a caller reads field after
 * field and stops at the first failure.
 */
#ifndef KONA_RACK_FIELDS_H
#define KONA_RACK_FIELDS_H

#include <jansson.h>
#include <stdint.h>

#include "rack/orders.h"

/* An integer of least..most. */
KONA_MUST_CHECK int kona_field_integer(const json_t *object, const char *name, int64_t least,
				       int64_t most, int64_t *ret_value, char *why);

/* A name of 1 to 63 letters, digits, '.', '_' and '-'. Belongs to the object. */
KONA_MUST_CHECK int kona_field_name(const json_t *object, const char *name, const char **ret_value,
				    char *why);

/* A text of 0 to 63 bytes without control characters. Belongs to the object. */
KONA_MUST_CHECK int kona_field_text(const json_t *object, const char *name, const char **ret_value,
				    char *why);

/* A list of identifiers; an absent one is empty. Free it, also after a failure. */
KONA_MUST_CHECK int kona_field_ids(const json_t *object, const char *name, struct kona_ids *ret_ids,
				   char *why);

/* pid, uid, program, limit_bytes, replicas (absent: most) of a lease. */
KONA_MUST_CHECK int kona_field_tenant(const json_t *object, int64_t most_replicas,
				      struct kona_rack_claim *ret_claim, char *why);

/*
 * A whole registration. Free with kona_field_registration_free(), also after a failure; its texts
 * belong to the object.
 */
KONA_MUST_CHECK int kona_field_registration(const json_t *object, int64_t replicas,
					    struct kona_rack_registration *ret_registration,
					    char *why);
void kona_field_registration_free(struct kona_rack_registration *registration);

/* What a heartbeat reports; the same rules. */
KONA_MUST_CHECK int kona_field_reports(const json_t *object, struct kona_rack_reports *ret_reports,
				       char *why);
void kona_field_reports_free(struct kona_rack_reports *reports);

#endif
