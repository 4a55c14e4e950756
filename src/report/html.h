/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A report: one self-contained HTML page (no script, nothing fetched) with text, tables and plots.
 *
 *   kona_html_open(path, title, subtitle, &page);
 *   kona_html_facts(page, ...), kona_html_section(page, ...), kona_html_plot(page, &plot), tables
 *   err = kona_html_close(page);
 *
 * The page appears under its name only when it is whole. What goes wrong in between is remembered
 * and told by close.
 */
#ifndef KONA_REPORT_HTML_H
#define KONA_REPORT_HTML_H

#include "base/compiler.h"
#include "report/svg.h"

struct kona_html;

/* Returns 0 and *ret_page, which kona_html_close() frees; or -errno. */
KONA_MUST_CHECK int kona_html_open(const char *path, const char *title, const char *subtitle,
				   struct kona_html **ret_page);

/* Ends the page and puts it in place. Returns 0, or -errno of the first thing that failed. */
KONA_MUST_CHECK int kona_html_close(struct kona_html *page);

/* The figures that matter, large, in a row: NAME and VALUE each. */
struct kona_html_fact {
	const char *name;
	char value[64];
};
void kona_html_facts(struct kona_html *page, const struct kona_html_fact *facts, size_t count);

void kona_html_section(struct kona_html *page, const char *heading);
void kona_html_paragraph(struct kona_html *page, const char *format, ...) KONA_PRINTF(2, 3);

/* The plot, and below it, folded, its figures as a table. */
void kona_html_plot(struct kona_html *page, const struct kona_plot *plot);

/* Between begin and end: `count` cells a row, numbers set right. A caption may be NULL. */
void kona_html_table_begin(struct kona_html *page, const char *caption, const char *const *headings,
			   size_t count);
void kona_html_cell_text(struct kona_html *page, const char *text);
void kona_html_cell(struct kona_html *page, enum kona_unit unit, double value);
/* A cell with a bar of that share (0 to 1) behind its value. */
void kona_html_cell_bar(struct kona_html *page, enum kona_unit unit, double value, double share);
void kona_html_table_end(struct kona_html *page);

#endif
