/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The picture of `make demo`: `draw-demo DEMO.JSON PICTURE.SVG`.
 *
 * Walk: reads the figures, puts them into series, draws two plots into one picture
 * (report/picture.h). What can fail: the files; figures that are not what bench/demo writes.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "draw.h"
#include "report/picture.h"

enum {
	MOST_POINTS = 8,
	MOST_SYSTEMS = 4,
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

static void draw_throughput(struct kona_picture *picture, const struct figures *f)
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
	kona_picture_panel(picture, &plot);
}

static void draw_amplification(struct kona_picture *picture, const struct figures *f)
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
	kona_picture_panel(picture, &plot);
}

static int draw(const char *path, json_t *root)
{
	char keys[KONA_AXIS_TEXT_BYTES], line[256];
	struct figures figures;
	const struct figures *f = &figures;
	struct kona_picture picture;
	int err = read_figures(root, &figures);

	if (err)
		return err;
	snprintf(line, sizeof(line),
		 "%s keys with values of %d bytes, a data set of %.0f MiB; %d clients, %d commands "
		 "in flight each",
		 kona_axis_format(KONA_UNIT_NUMBER, f->keys, keys), f->value_bytes,
		 f->data_bytes / (1 << 20), f->clients, f->pipeline);
	err = kona_picture_open(path, "Redis with part of its data in remote memory", line, 2,
				&picture);
	if (err)
		return err;
	draw_throughput(&picture, f);
	draw_amplification(&picture, f);
	snprintf(line, sizeof(line), "%s, Linux %s%s.", f->cpu, f->kernel,
		 f->own_cpus
			 ? ". The server and its runtime share one CPU, the clients have another"
			 : "");
	kona_picture_foot(&picture, line);
	kona_picture_foot(&picture,
			  "Remote memory is that of another process on the same host. Local memory "
			  "includes the runtime's metadata; at 100 % all fits.");
	return kona_picture_close(&picture);
}

int main(int argc, char **argv)
{
	return kona_draw_main(argc, argv, "draw-demo", "bench/demo", draw);
}
