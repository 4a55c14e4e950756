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

/* `body` has body_bytes bytes. Never fails: what goes wrong is in the answer. */
void kona_rack_api(struct kona_rack *rack, const char *method, const char *path, const char *body,
		   size_t body_bytes, struct kona_rack_answer *ret_answer);

/* An answer {error, code} for -error. */
void kona_rack_answer_error(struct kona_rack_answer *ret_answer, int error, const char *why);

/* report.c: both malloc'd, NULL without memory; -EIO as *ret_error when the state file fails. */
char *kona_rack_report_status(struct kona_rack *rack, int *ret_error);
char *kona_rack_report_metrics(struct kona_rack *rack, int *ret_error);

#endif
