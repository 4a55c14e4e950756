/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ways a session's windows are shown: a table for people, JSON lines for machines, an HTML
 * report, and the dirty pages themselves.
 */
#ifndef KONA_TRACK_SHOW_H
#define KONA_TRACK_SHOW_H

#include <stdio.h>

#include "session.h"

/* What comparing cannot see: said by each output. */
#define KONA_SHOW_LIMIT                                                                        \
	"lines are found by comparison: a value that was rewritten unchanged, or changed and " \
	"changed back within one window, does not count"

/* "copy", "hash"; "scan", "wp-async", "auto", "wp". */
const char *kona_show_kept(const struct kona_session *session);
const char *kona_show_mode(const struct kona_session *session);

/* Table: a line per window, headings now and then; and the totals. */
void kona_table_window(FILE *stream, const struct kona_session *session,
		       const struct kona_window *window);
void kona_table_total(FILE *stream, const struct kona_session *session);

/* JSON: one object per line, each with "type": "start", "window", "total". 0 or -errno. */
KONA_MUST_CHECK int kona_json_start(FILE *stream, const struct kona_session *session);
KONA_MUST_CHECK int kona_json_window(FILE *stream, const struct kona_session *session,
				     const struct kona_window *window);
KONA_MUST_CHECK int kona_json_total(FILE *stream, const struct kona_session *session);

/* The report keeps what it needs of each window, and is written at the end. */
struct kona_track_report;

KONA_MUST_CHECK int kona_track_report_new(struct kona_track_report **ret_report);
KONA_MUST_CHECK int kona_track_report_window(struct kona_track_report *report,
					     const struct kona_window *window);
KONA_MUST_CHECK int kona_track_report_write(const struct kona_track_report *report,
					    const struct kona_session *session, const char *path);
void kona_track_report_free(struct kona_track_report *report);

/* Trace: the format is told in kona-track(1). */
KONA_MUST_CHECK int kona_trace_start(FILE *stream);
KONA_MUST_CHECK int kona_trace_pages(FILE *stream, uint64_t window,
				     const struct kona_target *target);

#endif
