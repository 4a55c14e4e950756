/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows and totals for people.
 */
#include <inttypes.h>

#include "show.h"

enum {
	HEADING_EVERY = 20,
	TOP_PLACES = 10,
};

const char *kona_show_kept(const struct kona_session *session)
{
	return session->options.kept == KONA_KEPT_COPY ? "copy" : "hash";
}

const char *kona_show_mode(const struct kona_session *session)
{
	static const char *const names[] = {"scan", "wp-async", "auto", "wp"};

	return names[session->options.mode];
}

static double share(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

void kona_table_window(FILE *stream, const struct kona_session *session,
		       const struct kona_window *window)
{
	const struct kona_counts *c = &window->counts;
	char resident[16];

	if (window->index % HEADING_EVERY == 1)
		fprintf(stream, "%6s %10s %9s %7s %8s %9s %10s %9s %9s %8s  %s\n", "window",
			"lines", "4K pages", "2M", "amp 4K", "amp 2M", "tracked", "ran ms",
			"paused ms", "faults", "found by");
	fprintf(stream, "%6" PRIu64, window->index);
	if (session->options.mode == KONA_MODE_PAGES)
		fprintf(stream, " %10s %9" PRIu64 " %7" PRIu64 " %8s %9s", "-", c->pages_4k,
			c->pages_2m, "-", "-");
	else
		fprintf(stream, " %10" PRIu64 " %9" PRIu64 " %7" PRIu64 " %8.2f %9.1f", c->lines,
			c->pages_4k, c->pages_2m,
			kona_counts_amplification(c, c->pages_4k, KONA_PAGE_BYTES),
			kona_counts_amplification(c, c->pages_2m, 2 * KONA_MIB));
	fprintf(stream, " %10s %9.1f %9.2f %8" PRIu64 "  %s\n",
		kona_size_format(c->resident_bytes, resident, sizeof(resident)),
		(double)c->run_ns / 1e6, (double)c->paused_ns / 1e6, window->faults,
		window->found_by);
	fflush(stream);
}

static void print_distribution(FILE *stream, const char *title, const uint64_t *counts, size_t last,
			       const char *beyond)
{
	static const unsigned int edges[] = {1, 2, 4, 8, 16, 32, 63, 64};
	uint64_t sum = 0;
	size_t from = 1;

	for (size_t i = 1; i <= last; i++)
		sum += counts[i];
	if (!sum)
		return;
	fprintf(stream, "%s:", title);
	for (size_t e = 0; e < KONA_ARRAY_LEN(edges); e++) {
		uint64_t part = 0;
		size_t first = from;

		for (; from <= edges[e]; from++)
			part += counts[from];
		if (first == edges[e])
			fprintf(stream, "  %zu: %.1f%%", first, share(part, sum));
		else
			fprintf(stream, "  %zu-%u: %.1f%%", first, edges[e], share(part, sum));
	}
	if (beyond)
		fprintf(stream, "  %s: %.1f%%", beyond, share(counts[last], sum));
	fputc('\n', stream);
}

static void print_amplification(FILE *stream, const struct kona_counts *c)
{
	fprintf(stream, "amplification over dirty lines: %.2fx at 4 KiB, %.1fx at 2 MiB\n",
		kona_counts_amplification(c, c->pages_4k, KONA_PAGE_BYTES),
		kona_counts_amplification(c, c->pages_2m, 2 * KONA_MIB));
	if (c->changed_bytes)
		fprintf(stream,
			"amplification over changed bytes: %.2fx at 64 B, %.2fx at 4 KiB, %.1fx at "
			"2 MiB\n",
			(double)c->lines * KONA_LINE_BYTES / (double)c->changed_bytes,
			(double)c->pages_4k * KONA_PAGE_BYTES / (double)c->changed_bytes,
			(double)c->pages_2m * 2 * (double)KONA_MIB / (double)c->changed_bytes);
}

void kona_table_total(FILE *stream, const struct kona_session *session)
{
	const struct kona_counts *c = &session->total;
	char tracked[16], kept[16];

	fprintf(stream, "\n%" PRIu64 " windows", session->window_count);
	if (session->options.mode != KONA_MODE_PAGES)
		fprintf(stream, ", %" PRIu64 " dirty lines", c->lines);
	fprintf(stream, ", %" PRIu64 " 4 KiB pages, %" PRIu64 " 2 MiB pages\n", c->pages_4k,
		c->pages_2m);
	if (session->options.mode != KONA_MODE_PAGES) {
		print_amplification(stream, c);
		print_distribution(stream, "dirty lines per page", c->by_page, KONA_PAGE_LINES,
				   NULL);
		print_distribution(stream, "lines per run", c->by_run, KONA_PAGE_LINES + 1,
				   "longer");
	}
	fprintf(stream,
		"the program ran %.3f s and was paused %.3f s (%.2f%%), besides %.3f s to attach\n",
		(double)c->run_ns / 1e9, (double)c->paused_ns / 1e9,
		share(c->paused_ns, c->run_ns + c->paused_ns), (double)session->attach_ns / 1e9);
	if (session->total_faults)
		fprintf(stream,
			"write faults: %" PRIu64 ", which cost it about %.3f s (%" PRIu64
			" ns each, estimated)\n",
			session->total_faults, (double)session->total_fault_ns / 1e9,
			session->fault_ns);
	fprintf(stream, "tracked at most %s; the tracker itself took %s\n",
		kona_size_format(c->resident_bytes, tracked, sizeof(tracked)),
		kona_size_format(c->tracker_bytes, kept, sizeof(kept)));
	if (c->unreadable_pages)
		fprintf(stream, "up to %" PRIu64 " pages could not be read\n", c->unreadable_pages);
	for (size_t i = 0; i < session->total_places.count && i < TOP_PLACES; i++) {
		const struct kona_place *p = &session->total_places.v[i];

		if (!i)
			fputs("where:\n", stream);
		if (session->options.mode != KONA_MODE_PAGES)
			fprintf(stream, "%12" PRIu64 " lines", p->lines);
		fprintf(stream, "  %9" PRIu64 " pages  %s\n", p->pages, p->name);
	}
	if (session->options.mode != KONA_MODE_PAGES)
		fprintf(stream, "note: %s\n", KONA_SHOW_LIMIT);
}
