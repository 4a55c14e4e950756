/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page: head and style, then what the caller adds, in order.
 *
 * State: the stream, on a temporary file beside the page, and the place within the current table
 * row. What can fail is writing: the stream remembers it, and close returns it and removes the
 * file.
 */
#include "report/html.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

struct kona_html {
	FILE *out;
	char *path, *temporary;
	size_t columns, column; /* of the table being written */
};

/* Series colours keep their order and are told apart by readers who do not see all colours. */
static const char head[] =
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
static const char style[] =
	"</title>\n<style>\n"
	":root{--paper:#fcfcfb;--card:#fff;--ink:#0b0b0b;--soft:#52514e;--grid:#e4e3df;"
	"--base:#a3a29c;--bar:#d6e6f9;--c0:#2a78d6;--c1:#1baf7a;--c2:#eda100;--c3:#008300;"
	"--c4:#4a3aa7;--c5:#e34948;--c6:#e87ba4;--c7:#eb6834}\n"
	"@media(prefers-color-scheme:dark){:root{--paper:#1a1a19;--card:#232322;--ink:#fff;"
	"--soft:#c3c2b7;--grid:#3a3937;--base:#7d7c76;--bar:#173a61;--c0:#3987e5;--c1:#199e70;"
	"--c2:#c98500;--c3:#0ca30c;--c4:#9085e9;--c5:#e66767;--c6:#d55181;--c7:#d95926}}\n"
	"body{margin:0 auto;padding:24px;max-width:1000px;background:var(--paper);"
	"color:var(--ink);font:15px/1.5 system-ui,sans-serif}\n"
	"h1{font-size:24px;margin:0}h2{font-size:18px;margin:36px 0 8px}h3{font-size:15px;"
	"margin:0}p{margin:6px 0;max-width:75ch}.soft,summary{color:var(--soft)}"
	".sub{color:var(--soft);font-family:ui-monospace,monospace;overflow-wrap:anywhere}\n"
	".facts{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0}.facts div{flex:1 1 150px;"
	"background:var(--card);border:1px solid var(--grid);border-radius:8px;padding:10px 14px}"
	".facts b{display:block;font-size:21px;font-weight:600}.facts span{color:var(--soft);"
	"font-size:13px}\n"
	"figure{margin:16px 0;padding:14px 16px;background:var(--card);border:1px solid "
	"var(--grid);border-radius:8px}svg{width:100%;height:auto;margin-top:8px}\n"
	"svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg .name{fill:var(--ink)}\n"
	".grid{stroke:var(--grid)}.base{stroke:var(--base)}.mark{stroke:var(--soft);"
	"stroke-dasharray:5 4}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
	".point{stroke:var(--card)}.hidden{opacity:0}.hidden:hover,.point:hover{opacity:1;"
	"stroke:var(--ink);stroke-width:2}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;margin:8px 0;font-size:13px;"
	"font-variant-numeric:tabular-nums}caption{text-align:left;color:var(--soft)}"
	"th{text-align:right;color:var(--soft);font-weight:500}"
	"td{text-align:right;white-space:nowrap}"
	"th,td{padding:3px 10px;border-bottom:1px solid var(--grid)}td.text,th:first-child{"
	"text-align:left;white-space:normal}details{font-size:13px}\n";

int kona_html_open(const char *path, const char *title, const char *subtitle,
		   struct kona_html **ret_page)
{
	struct kona_html *page = calloc(1, sizeof(*page));
	int err = 0;

	if (!page)
		return -ENOMEM;
	page->path = strdup(path);
	if (!page->path || asprintf(&page->temporary, "%s.part", path) < 0) {
		page->temporary = NULL;
		err = -ENOMEM;
		goto out;
	}
	page->out = fopen(page->temporary, "we");
	if (!page->out) {
		err = -errno;
		goto out;
	}
	fputs(head, page->out);
	kona_svg_text(page->out, title);
	fputs(style, page->out);
	for (int i = 0; i < KONA_PLOT_SERIES_MAX; i++)
		fprintf(page->out, ".c%d{stroke:var(--c%d)}.f%d{fill:var(--c%d)}", i, i, i, i);
	fputs("\n</style></head><body>\n<h1>", page->out);
	kona_svg_text(page->out, title);
	fputs("</h1>\n<p class=\"sub\">", page->out);
	kona_svg_text(page->out, subtitle);
	fputs("</p>\n", page->out);
	*ret_page = page;
	return 0;
out:
	free(page->path);
	free(page->temporary);
	free(page);
	return err;
}

int kona_html_close(struct kona_html *page)
{
	int err = 0;

	fputs("</body></html>\n", page->out);
	if (fflush(page->out) || ferror(page->out))
		err = -(errno ? errno : EIO);
	fclose(page->out);
	if (!err && rename(page->temporary, page->path))
		err = -errno;
	if (err)
		unlink(page->temporary);
	free(page->path);
	free(page->temporary);
	free(page);
	return err;
}

void kona_html_facts(struct kona_html *page, const struct kona_html_fact *facts, size_t count)
{
	fputs("<div class=\"facts\">", page->out);
	for (size_t i = 0; i < count; i++) {
		fputs("<div><b>", page->out);
		kona_svg_text(page->out, facts[i].value);
		fputs("</b><span>", page->out);
		kona_svg_text(page->out, facts[i].name);
		fputs("</span></div>", page->out);
	}
	fputs("</div>\n", page->out);
}

void kona_html_section(struct kona_html *page, const char *heading)
{
	fputs("<h2>", page->out);
	kona_svg_text(page->out, heading);
	fputs("</h2>\n", page->out);
}

void kona_html_paragraph(struct kona_html *page, const char *format, ...)
{
	char text[2048];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fputs("<p>", page->out);
	kona_svg_text(page->out, text);
	fputs("</p>\n", page->out);
}

/* One row per x of the first series; the others are matched by place where their x agree. */
static void write_figures(struct kona_html *page, const struct kona_plot *plot)
{
	const struct kona_plot_series *first = plot->series;
	const char *headings[KONA_PLOT_SERIES_MAX + 1] = {plot->x.label};

	for (size_t s = 0; s < plot->series_count; s++) {
		headings[s + 1] = plot->series[s].name;
		if (plot->series[s].count != first->count)
			return;
	}
	fputs("<details><summary>Figures</summary>", page->out);
	kona_html_table_begin(page, NULL, headings, plot->series_count + 1);
	for (size_t i = 0; i < first->count; i++) {
		kona_html_cell(page, plot->x.unit, first->x[i]);
		for (size_t s = 0; s < plot->series_count; s++)
			kona_html_cell(page, plot->y.unit, plot->series[s].y[i]);
	}
	kona_html_table_end(page);
	fputs("</details>", page->out);
}

void kona_html_plot(struct kona_html *page, const struct kona_plot *plot)
{
	fputs("<figure><h3>", page->out);
	kona_svg_text(page->out, plot->title);
	fputs("</h3>", page->out);
	if (plot->note) {
		fputs("<p class=\"soft\">", page->out);
		kona_svg_text(page->out, plot->note);
		fputs("</p>", page->out);
	}
	kona_svg_plot(page->out, plot);
	if (plot->series_count && plot->series_count <= KONA_PLOT_SERIES_MAX)
		write_figures(page, plot);
	fputs("</figure>\n", page->out);
}

void kona_html_table_begin(struct kona_html *page, const char *caption, const char *const *headings,
			   size_t count)
{
	page->columns = count;
	page->column = 0;
	fputs("<div class=\"wide\"><table>", page->out);
	if (caption) {
		fputs("<caption>", page->out);
		kona_svg_text(page->out, caption);
		fputs("</caption>", page->out);
	}
	fputs("<tr>", page->out);
	for (size_t i = 0; i < count; i++) {
		fputs("<th>", page->out);
		kona_svg_text(page->out, headings[i]);
		fputs("</th>", page->out);
	}
	fputs("</tr>\n", page->out);
}

static void begin_cell(struct kona_html *page, const char *tag)
{
	if (page->column == 0)
		fputs("<tr>", page->out);
	fputs(tag, page->out);
}

static void end_cell(struct kona_html *page)
{
	fputs("</td>", page->out);
	if (++page->column == page->columns) {
		page->column = 0;
		fputs("</tr>\n", page->out);
	}
}

void kona_html_cell_text(struct kona_html *page, const char *text)
{
	begin_cell(page, "<td class=\"text\">");
	kona_svg_text(page->out, text);
	end_cell(page);
}

static void write_value(struct kona_html *page, enum kona_unit unit, double value)
{
	char text[KONA_AXIS_TEXT_BYTES];

	fputs(isfinite(value) ? kona_axis_format(unit, value, text) : "-", page->out);
}

void kona_html_cell(struct kona_html *page, enum kona_unit unit, double value)
{
	begin_cell(page, "<td>");
	write_value(page, unit, value);
	end_cell(page);
}

void kona_html_cell_bar(struct kona_html *page, enum kona_unit unit, double value, double share)
{
	double percent = isfinite(share) && share > 0 ? fmin(share, 1) * 100 : 0;

	begin_cell(page, "");
	fprintf(page->out,
		"<td style=\"background:linear-gradient(90deg,var(--bar) %.1f%%,"
		"transparent %.1f%%)\">",
		percent, percent);
	write_value(page, unit, value);
	end_cell(page);
}

void kona_html_table_end(struct kona_html *page)
{
	fputs("</table></div>\n", page->out);
}
