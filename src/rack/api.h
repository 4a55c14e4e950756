/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The API as a function of method, path and body: see wire/rack.h. Knows nothing of HTTP servers.
 */
#ifndef KONA_RACK_API_H
#define KONA_RACK_API_H

#include "rack/rack.h"

struct kona_rack_answer {
	unsigned int status; /* HTTP */
	const char *content_type;
	const char *allow; /* for 405; else NULL */
	char *body;	   /* malloc'd; NULL: out of memory */
};

/* Who calls. Without TLS anybody may do everything: the socket's rights keep others out. */
enum kona_rack_role {
	KONA_RACK_LOCAL,
	KONA_RACK_NODE,	 /* for itself only */
	KONA_RACK_ADMIN, /* what `kona rack` does */
};

struct kona_rack_caller {
	enum kona_rack_role role;
	char name[KONA_RACK_NAME_BYTES]; /* of its certificate */
};

/* `body` has body_bytes bytes. Never fails: what goes wrong is in the answer. */
void kona_rack_api(struct kona_rack *rack, const struct kona_rack_caller *caller,
		   const char *method, const char *path, const char *body, size_t body_bytes,
		   struct kona_rack_answer *ret_answer);

/* An answer {error, code} for -error. */
void kona_rack_answer_error(struct kona_rack_answer *ret_answer, int error, const char *why);

/* report.c: malloc'd, NULL without memory. */
char *kona_rack_report_nodes(const struct kona_rack *rack);
char *kona_rack_report_status(const struct kona_rack *rack);
char *kona_rack_report_slabs(const struct kona_rack *rack);
char *kona_rack_report_metrics(const struct kona_rack *rack);

#endif
