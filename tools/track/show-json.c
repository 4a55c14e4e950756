/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows as JSON lines. Memory that json_object_set_new() lacks shows as a line that lacks a
 * field; a stream that fails shows in the return value.
 */
#include <errno.h>
#include <jansson.h>

#include "show.h"

enum { TOP_PLACES = 10 };

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_ratio(json_t *object, const char *key, double above, double below)
{
	json_object_set_new(object, key, below > 0 ? json_real(above / below) : json_null());
}

static int put(FILE *stream, json_t *object)
{
	int err = json_dumpf(object, stream, JSON_COMPACT | JSON_PRESERVE_ORDER) ? -EIO : 0;

	json_decref(object);
	if (fputc('\n', stream) == EOF || fflush(stream))
		err = -errno;
	return err;
}

/* [pages with 1 dirty line, with 2, ...] */
static json_t *distribution(const uint64_t *counts, size_t last)
{
	json_t *list = json_array();

	for (size_t i = 1; i <= last; i++)
		json_array_append_new(list, json_integer((json_int_t)counts[i]));
	return list;
}

/* With --wp, lines are not known. */
static void set_dirty_lines(json_t *o, const struct kona_session *session, uint64_t lines)
{
	if (session->options.mode == KONA_MODE_PAGES)
		json_object_set_new(o, "dirty_lines", json_null());
	else
		set(o, "dirty_lines", lines);
}

static json_t *top(const struct kona_session *session, const struct kona_places *places)
{
	json_t *list = json_array();

	for (size_t i = 0; i < places->count && i < TOP_PLACES; i++) {
		json_t *one = json_object();

		json_object_set_new(one, "name", json_string(places->v[i].name));
		set_dirty_lines(one, session, places->v[i].lines);
		set(one, "dirty_pages_4k", places->v[i].pages);
		json_array_append_new(list, one);
	}
	return list;
}

static void set_lines(json_t *o, const struct kona_session *session, const struct kona_counts *c)
{
	double lines = (double)c->lines * KONA_LINE_BYTES;
	double changed = (double)c->changed_bytes;
	double small = (double)c->pages_4k * KONA_PAGE_BYTES;
	double huge = (double)c->pages_2m * 2 * (double)KONA_MIB;

	set_dirty_lines(o, session, c->lines);
	if (session->options.mode == KONA_MODE_PAGES)
		lines = changed = 0;
	set(o, "dirty_pages_4k", c->pages_4k);
	set(o, "dirty_pages_2m", c->pages_2m);
	set_ratio(o, "amplification_4k", small, lines);
	set_ratio(o, "amplification_2m", huge, lines);
	if (session->options.kept == KONA_KEPT_COPY && session->options.mode != KONA_MODE_PAGES) {
		set(o, "changed_bytes", c->changed_bytes);
		set_ratio(o, "amplification_64b_of_bytes", lines, changed);
		set_ratio(o, "amplification_4k_of_bytes", small, changed);
		set_ratio(o, "amplification_2m_of_bytes", huge, changed);
	}
}

static void set_counts(json_t *o, const struct kona_session *session, const struct kona_counts *c,
		       const struct kona_places *places)
{
	set_lines(o, session, c);
	set(o, "paused_ns", c->paused_ns);
	set(o, "run_ns", c->run_ns);
	set(o, "resident_bytes", c->resident_bytes);
	set(o, "kept_bytes", c->kept_bytes);
	set(o, "tracker_bytes", c->tracker_bytes);
	set(o, "unreadable_pages", c->unreadable_pages);
	if (session->options.mode != KONA_MODE_PAGES) {
		json_object_set_new(o, "pages_by_dirty_lines",
				    distribution(c->by_page, KONA_PAGE_LINES));
		json_object_set_new(o, "runs_by_lines",
				    distribution(c->by_run, KONA_PAGE_LINES + 1));
	}
	json_object_set_new(o, "mappings", top(session, places));
}

int kona_json_start(FILE *stream, const struct kona_session *session)
{
	json_t *o = json_object();

	json_object_set_new(o, "type", json_string("start"));
	json_object_set_new(o, "format", json_string("kona-track 1"));
	set(o, "pid",
	    (uint64_t)(session->options.pid ? session->options.pid : session->command_pid));
	json_object_set_new(o, "mode", json_string(kona_show_mode(session)));
	json_object_set_new(o, "kept", json_string(kona_show_kept(session)));
	json_object_set_new(o, "compare", json_string(session->lines->name));
	set(o, "interval_ns", session->options.interval_ns);
	set(o, "attach_ns", session->attach_ns);
	set(o, "write_fault_ns", session->fault_ns);
	json_object_set_new(o, "note", json_string(KONA_SHOW_LIMIT));
	return put(stream, o);
}

int kona_json_window(FILE *stream, const struct kona_session *session,
		     const struct kona_window *window)
{
	json_t *o = json_object();

	json_object_set_new(o, "type", json_string("window"));
	set(o, "window", window->index);
	set(o, "end_ns", window->end_ns);
	json_object_set_new(o, "found_by", json_string(window->found_by));
	set(o, "processes", window->processes);
	set(o, "write_faults", window->faults);
	set(o, "write_faults_ns", window->fault_ns);
	set_counts(o, session, &window->counts, &window->places);
	return put(stream, o);
}

int kona_json_total(FILE *stream, const struct kona_session *session)
{
	json_t *o = json_object();

	json_object_set_new(o, "type", json_string("total"));
	set(o, "windows", session->window_count);
	set(o, "write_faults", session->total_faults);
	set(o, "write_faults_ns", session->total_fault_ns);
	set_counts(o, session, &session->total, &session->total_places);
	return put(stream, o);
}
