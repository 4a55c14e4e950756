/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linear regression over points that are read in order, in the manner of Phoenix and Metis: data
 * parallel, streaming, a few passes. Far memory sees long runs and no reuse within a pass.
 * usage: linear-regression [MIB [PASSES]]
 */
#include <stdio.h>
#include <stdlib.h>

struct point {
	float x, y;
};

int main(int argc, char **argv)
{
	size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 64) << 20;
	int passes = argc > 2 ? atoi(argv[2]) : 3;
	size_t count = bytes / sizeof(struct point);
	struct point *points = malloc(bytes);
	double a = 0, b = 0;

	if (!points)
		return 1;
	for (size_t i = 0; i < count; i++)
		points[i] = (struct point){(float)i, 3.0f * (float)i + (float)(i * 7919 % 101)};
	for (int pass = 0; pass < passes; pass++) {
		double sx = 0, sy = 0, sxx = 0, sxy = 0, n = (double)count;

		for (size_t i = 0; i < count; i++) {
			sx += points[i].x;
			sy += points[i].y;
			sxx += (double)points[i].x * points[i].x;
			sxy += (double)points[i].x * points[i].y;
		}
		a = (n * sxy - sx * sy) / (n * sxx - sx * sx);
		b = (sy - a * sx) / n;
	}
	printf("y = %.3f x + %.1f\n", a, b);
	free(points);
	return 0;
}
