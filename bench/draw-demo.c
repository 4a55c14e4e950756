/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The picture of `make demo`: `draw-demo DEMO.JSON PICTURE.SVG`.
 *
 * Walk: reads the figures, puts them into series, draws two plots (report/svg.h) one above the
 * other into one stand-alone SVG with a head and a foot. The picture appears under its name only
 * when it is whole. What can fail: the files; figures that are not what bench/demo writes.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "report/svg.h"

enum {
	MOST_POINTS = 8,
	MOST_SYSTEMS = 4,
	PANEL_WIDTH = 860,
	PANEL_HEIGHT = 474, /* heading, and a plot of 720 x 360 made to fit */
	MARGIN = 24,
	HEAD_HEIGHT = 84,
	FOOT_HEIGHT = 54,
	WIDTH = PANEL_WIDTH + 2 * MARGIN,
	HEIGHT = HEAD_HEIGHT + 2 * (PANEL_HEIGHT + MARGIN) + FOOT_HEIGHT,
};

/* One system's curve, in the order of the file. */
struct curve {
	char name[64];
	size_t count;
	double local[MOST_POINTS], rate[MOST_POINTS];
	/* Only where something was written back. */
	size_t amplified_count;
	double amplified_local[MOST_POINTS], amplification[MOST_POINTS];
};

struct figures {
	struct curve curves[MOST_SYSTEMS];
	size_t count;
	double plain_rate;
	const char *cpu, *kernel;
	double data_bytes;
	bool own_cpus; /* the server one, the clients another */
	int keys, value_bytes, clients, pipeline;
};

static const char style[] =
	"<style>"
	"text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;"
	"font-size:12px;fill:#52514e}"
	".title{font-size:24px;font-weight:600;fill:#0b0b0b}.heading{font-size:16px;"
	"font-weight:600;fill:#0b0b0b}.sub{font-size:13.5px}.foot{font-size:11.5px}"
	".name{fill:#0b0b0b}.paper{fill:#fcfcfb}.card{fill:#fff;stroke:#e4e3df}"
	".grid{stroke:#e4e3df}.base{stroke:#a3a29c}.mark{stroke:#52514e;stroke-dasharray:5 4}"
	".line{fill:none;stroke-width:2.5;stroke-linejoin:round}.point{stroke:#fff}"
	".c0{stroke:#2a78d6}.f0{fill:#2a78d6}.c1{stroke:#eb6834}.f1{fill:#eb6834}"
	".c2{stroke:#7d7c76}.f2{fill:#7d7c76}.c3{stroke:#4a3aa7}.f3{fill:#4a3aa7}"
	"</style>\n";

static int read_curve(json_t *system, struct curve *ret_curve)
{
	struct curve curve = {.count = 0};
	const char *name;
	json_t *points, *point;
	size_t i;

	if (json_unpack(system, "{s:s, s:o}", "name", &name, "points", &points))
		return -EINVAL;
	snprintf(curve.name, sizeof(curve.name), "%s", name);
	json_array_foreach (points, i, point) {
		json_t *amplification = json_object_get(point, "amplification");
		double local, rate;

		if (curve.count == MOST_POINTS || json_unpack(point, "{s:F, s:F}", "local", &local,
							      "operations_per_second", &rate))
			return -EINVAL;
		curve.local[curve.count] = local;
		curve.rate[curve.count++] = rate;
		if (!json_is_real(amplification))
			continue;
		curve.amplified_local[curve.amplified_count] = local;
		curve.amplification[curve.amplified_count++] = json_real_value(amplification);
	}
	if (!curve.count)
		return -EINVAL;
	*ret_curve = curve;
	return 0;
}

static int read_figures(json_t *root, struct figures *ret_figures)
{
	struct figures f = {.count = 0};
	json_t *systems, *system, *server_cpus;
	size_t i;

	if (json_unpack(root, "{s:{s:F}, s:o, s:{s:s, s:s}, s:{s:F, s:i, s:i, s:i, s:i, s:o}}",
			"plain", "operations_per_second", &f.plain_rate, "systems", &systems,
			"machine", "cpu", &f.cpu, "kernel", &f.kernel, "load", "data_bytes",
			&f.data_bytes, "keys", &f.keys, "value_bytes", &f.value_bytes, "clients",
			&f.clients, "pipeline", &f.pipeline, "server_cpus", &server_cpus))
		return -EINVAL;
	f.own_cpus = json_array_size(server_cpus) > 0;
	json_array_foreach (systems, i, system) {
		if (f.count == MOST_SYSTEMS || read_curve(system, &f.curves[f.count]))
			return -EINVAL;
		f.count++;
	}
	if (!f.count)
		return -EINVAL;
	*ret_figures = f;
	return 0;
}

/* A card with a heading; `top` is where it begins. */
static void draw_panel(FILE *out, double top, const struct kona_plot *plot)
{
	fprintf(out,
		"<rect class=\"card\" x=\"%d\" y=\"%.0f\" width=\"%d\" height=\"%d\" rx=\"8\"/>"
		"<text class=\"heading\" x=\"%d\" y=\"%.0f\">",
		MARGIN, top, PANEL_WIDTH, PANEL_HEIGHT, MARGIN + 18, top + 28);
	kona_svg_text(out, plot->title);
	fprintf(out, "</text><text class=\"sub\" x=\"%d\" y=\"%.0f\">", MARGIN + 18, top + 48);
	kona_svg_text(out, plot->note);
	fprintf(out, "</text>\n<svg x=\"%d\" y=\"%.0f\" width=\"%d\" height=\"%d\">\n", MARGIN + 14,
		top + 60, PANEL_WIDTH - 28, PANEL_HEIGHT - 66);
	kona_svg_plot(out, plot);
	fputs("</svg>\n", out);
}

static void draw_throughput(FILE *out, const struct figures *f, double top)
{
	struct kona_plot_series series[MOST_SYSTEMS];
	struct kona_plot_mark mark = {"plain Redis", f->plain_rate};
	struct kona_plot plot = {
		.title = "Throughput",
		.note = "GETs and SETs of random keys, half and half. Higher is better; the axis "
			"is "
			"logarithmic.",
		.kind = KONA_PLOT_LINES,
		.x = {.label = "share of the data set that may be local",
		      .unit = KONA_UNIT_PERCENT,
		      .reversed = true,
		      .ticks = f->curves[0].local,
		      .tick_count = f->curves[0].count},
		.y = {.label = "operations per second", .log = true},
		.series = series,
		.series_count = f->count,
		.marks = &mark,
		.mark_count = 1,
	};

	for (size_t i = 0; i < f->count; i++)
		series[i] = (struct kona_plot_series){f->curves[i].name, f->curves[i].local,
						      f->curves[i].rate, f->curves[i].count};
	draw_panel(out, top, &plot);
}

static void draw_amplification(FILE *out, const struct figures *f, double top)
{
	struct kona_plot_series series[MOST_SYSTEMS];
	struct kona_plot plot = {
		.title = "Write-back amplification",
		.note = "Bytes sent back to remote memory for each byte that Redis changed, by "
			"64-byte "
			"lines. Lower is better, 1 is the least.",
		.kind = KONA_PLOT_BARS,
		.x = {.label = "share of the data set that may be local",
		      .unit = KONA_UNIT_PERCENT,
		      .reversed = true},
		.y = {.label = "bytes written back / bytes changed", .unit = KONA_UNIT_TIMES},
		.series = series,
	};

	for (size_t i = 0; i < f->count; i++) {
		const struct curve *curve = &f->curves[i];

		if (!curve->amplified_count)
			continue;
		series[plot.series_count++] =
			(struct kona_plot_series){curve->name, curve->amplified_local,
						  curve->amplification, curve->amplified_count};
		plot.x.ticks = curve->amplified_local;
		plot.x.tick_count = curve->amplified_count;
	}
	draw_panel(out, top, &plot);
}

static void draw(FILE *out, const struct figures *f)
{
	char keys[KONA_AXIS_TEXT_BYTES];

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\">\n%s<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n"
		"<text class=\"title\" x=\"%d\" y=\"44\">Redis with part of its data in remote "
		"memory</text>\n<text class=\"sub\" x=\"%d\" y=\"68\">%s keys with values of %d "
		"bytes, a data set of %.0f MiB; %d clients, %d commands in flight each</text>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT, style, WIDTH, HEIGHT, MARGIN, MARGIN,
		kona_axis_format(KONA_UNIT_NUMBER, f->keys, keys), f->value_bytes,
		f->data_bytes / (1 << 20), f->clients, f->pipeline);
	draw_throughput(out, f, HEAD_HEIGHT);
	draw_amplification(out, f, HEAD_HEIGHT + PANEL_HEIGHT + MARGIN);
	fprintf(out, "<text class=\"foot\" x=\"%d\" y=\"%d\">", MARGIN, HEIGHT - 44);
	kona_svg_text(out, f->cpu);
	fputs(", Linux ", out);
	kona_svg_text(out, f->kernel);
	if (f->own_cpus)
		fputs(". The server and its runtime share one CPU, the clients have another", out);
	fprintf(out,
		".</text>\n"
		"<text class=\"foot\" x=\"%d\" y=\"%d\">Remote memory is that of another process "
		"on the same host. Local memory includes the runtime's metadata; at 100 %% all "
		"fits.</text>\n</svg>\n",
		MARGIN, HEIGHT - 24);
}

static int write_picture(const char *path, const struct figures *f)
{
	char temporary[PATH_MAX];
	FILE *out;
	int err = 0;

	if (snprintf(temporary, sizeof(temporary), "%s.part", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	out = fopen(temporary, "we");
	if (!out)
		return -errno;
	draw(out, f);
	if (fflush(out) || ferror(out))
		err = -(errno ? errno : EIO);
	fclose(out);
	if (!err && rename(temporary, path))
		err = -errno;
	if (err)
		unlink(temporary);
	return err;
}

int main(int argc, char **argv)
{
	struct figures figures;
	json_error_t error;
	json_t *root;
	int err;

	kona_log_name("draw-demo");
	if (argc != 3) {
		kona_error("give the figures (JSON) and the picture (SVG)");
		return 2;
	}
	root = json_load_file(argv[1], 0, &error);
	if (!root) {
		kona_error("%s:%d: %s", argv[1], error.line, error.text);
		return 1;
	}
	err = read_figures(root, &figures);
	if (err) {
		kona_error("%s: not what bench/demo writes", argv[1]);
	} else {
		err = write_picture(argv[2], &figures);
		if (err)
			kona_error("%s: %s", argv[2], strerror(-err));
	}
	json_decref(root);
	return err ? 1 : 0;
}
