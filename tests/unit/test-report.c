/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports. It would catch axes whose marks lie outside them or are no round values, values without
 * a place that reach the drawing (a path with "nan" makes browsers drop the whole line), text that
 * escapes into markup, and a page that appears half written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/html.h"

static void test_format(void **state)
{
	static const struct {
		enum kona_unit unit;
		double value;
		const char *text;
	} cases[] = {
		{KONA_UNIT_BYTES, 64, "64 B"},	      {KONA_UNIT_BYTES, 65536, "64 KiB"},
		{KONA_UNIT_BYTES, 1.5e9, "1.40 GiB"}, {KONA_UNIT_NS, 2420, "2.42 us"},
		{KONA_UNIT_NS, 82, "82 ns"},	      {KONA_UNIT_PERCENT, 0.25, "25 %"},
		{KONA_UNIT_TIMES, 1.7, "1.70x"},      {KONA_UNIT_NUMBER, 1200000, "1.20 M"},
		{KONA_UNIT_PERCENT, 0.1 * 3, "30 %"},
	};
	char text[KONA_AXIS_TEXT_BYTES];

	for (size_t i = 0; i < KONA_ARRAY_LEN(cases); i++)
		assert_string_equal(kona_axis_format(cases[i].unit, cases[i].value, text),
				    cases[i].text);
}

static void test_axes(void **state)
{
	double ticks[KONA_AXIS_TICKS_MAX];

	for (int log = 0; log < 2; log++) {
		for (double span = 1e-3; span < 1e12; span *= 3.7) {
			for (enum kona_unit unit = 0; unit <= KONA_UNIT_TIMES; unit++) {
				struct kona_axis axis = {.unit = unit, .log = log};
				size_t count;

				kona_axis_fit(&axis, span / 100, span);
				count = kona_axis_ticks(&axis, 7, ticks);
				assert_in_range(count, 2, 7);
				assert_true(axis.max >= span * 0.9999);
				for (size_t i = 0; i < count; i++) {
					double place = kona_axis_place(&axis, ticks[i]);

					assert_true(place > -1e-6 && place < 1 + 1e-6);
					assert_true(!i || ticks[i] > ticks[i - 1]);
				}
			}
		}
	}
}

static void test_degenerate_axes(void **state)
{
	struct kona_axis flat = {.log = false}, nothing = {.log = true}, reversed;
	struct kona_axis windows = {.whole = true};
	double ticks[KONA_AXIS_TICKS_MAX];

	kona_axis_fit(&flat, 0, 0);
	assert_true(kona_axis_place(&flat, 0) == 0);
	kona_axis_fit(&nothing, INFINITY, -INFINITY);
	assert_true(isnan(kona_axis_place(&nothing, 0)));
	assert_true(isnan(kona_axis_place(&nothing, NAN)));
	reversed = (struct kona_axis){.reversed = true, .min = 0, .max = 10};
	assert_true(kona_axis_place(&reversed, 10) == 0);
	kona_axis_fit(&windows, 1, 3);
	assert_int_equal(kona_axis_ticks(&windows, 9, ticks), 4);
	assert_true(ticks[1] == 1 && ticks[3] == 3);
}

static char *read_all(const char *path)
{
	static char text[1 << 17];
	FILE *file = fopen(path, "re");
	size_t bytes;

	assert_non_null(file);
	bytes = fread(text, 1, sizeof(text) - 1, file);
	text[bytes] = 0;
	fclose(file);
	return text;
}

static void test_page(void **state)
{
	static const double x[] = {64, 256, 1024, 4096}, y[] = {3, NAN, 0, 400};
	static const struct kona_plot_series series[] = {{"a<b", x, y, 4}, {"other", x, x, 4}};
	static const struct kona_plot_mark mark = {"limit", 100};
	static const char *const headings[] = {"site", "misses"};
	char path[] = "/tmp/test-report-XXXXXX";
	struct kona_plot plot = {.title = "A \"title\"",
				 .note = "x & y",
				 .x = {.label = "block", .unit = KONA_UNIT_BYTES, .log = true},
				 .y = {.label = "time", .unit = KONA_UNIT_NS, .log = true},
				 .series_count = 2,
				 .series = series,
				 .mark_count = 1,
				 .marks = &mark};
	struct kona_html *page;
	char *text;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(kona_html_open(path, "Report", "sort <big>", &page), 0);
	assert_string_equal(read_all(path), "");
	for (plot.kind = KONA_PLOT_LINES; plot.kind <= KONA_PLOT_BARS; plot.kind++)
		kona_html_plot(page, &plot);
	kona_html_table_begin(page, NULL, headings, 2);
	kona_html_cell_text(page, "f.c:3");
	kona_html_cell_bar(page, KONA_UNIT_NUMBER, 12, 0.5);
	kona_html_table_end(page);
	assert_int_equal(kona_html_close(page), 0);
	text = read_all(path);
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf"));
	assert_null(strstr(text, "<big>"));
	assert_null(strstr(text, "a<b"));
	assert_non_null(strstr(text, "</html>"));
	unlink(path);
}

static void test_no_place(void **state)
{
	struct kona_html *page = NULL;

	assert_int_equal(kona_html_open("/nonexistent/page.html", "t", "s", &page), -ENOENT);
	assert_null(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),		cmocka_unit_test(test_axes),
		cmocka_unit_test(test_degenerate_axes), cmocka_unit_test(test_page),
		cmocka_unit_test(test_no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
