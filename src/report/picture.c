/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pictures: cards below one another, each with a heading and a plot (svg.c). Stateless but for the
 * file that is being written.
 */
#include "report/picture.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
	PANEL_WIDTH = 860,
	PANEL_HEIGHT = 474, /* heading, and a plot of 720 x 360 made to fit */
	MARGIN = 24,
	HEAD_HEIGHT = 84,
	FOOT_HEIGHT = 54,
	WIDTH = PANEL_WIDTH + 2 * MARGIN,
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
	".c4{stroke:#2f9e64}.f4{fill:#2f9e64}.c5{stroke:#c9a227}.f5{fill:#c9a227}"
	"</style>\n";

static int panels_end(const struct kona_picture *picture)
{
	return HEAD_HEIGHT + picture->panels * (PANEL_HEIGHT + MARGIN);
}

static void draw_text(FILE *out, const char *class, int x, int y, const char *text)
{
	fprintf(out, "<text class=\"%s\" x=\"%d\" y=\"%d\">", class, x, y);
	kona_svg_text(out, text);
	fputs("</text>\n", out);
}

int kona_picture_open(const char *path, const char *title, const char *subtitle, int panels,
		      struct kona_picture *ret_picture)
{
	struct kona_picture picture = {.path = path, .panels = panels};
	int height = panels_end(&picture) + FOOT_HEIGHT;

	if (snprintf(picture.temporary, sizeof(picture.temporary), "%s.part", path) >=
	    (int)sizeof(picture.temporary))
		return -ENAMETOOLONG;
	picture.out = fopen(picture.temporary, "we");
	if (!picture.out)
		return -errno;
	fprintf(picture.out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\">\n%s<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n",
		WIDTH, height, WIDTH, height, style, WIDTH, height);
	draw_text(picture.out, "title", MARGIN, 44, title);
	draw_text(picture.out, "sub", MARGIN, 68, subtitle);
	*ret_picture = picture;
	return 0;
}

void kona_picture_panel(struct kona_picture *picture, const struct kona_plot *plot)
{
	int top = HEAD_HEIGHT + picture->drawn++ * (PANEL_HEIGHT + MARGIN);
	FILE *out = picture->out;

	fprintf(out,
		"<rect class=\"card\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n",
		MARGIN, top, PANEL_WIDTH, PANEL_HEIGHT);
	draw_text(out, "heading", MARGIN + 18, top + 28, plot->title);
	draw_text(out, "sub", MARGIN + 18, top + 48, plot->note);
	fprintf(out, "<svg x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\">\n", MARGIN + 14, top + 60,
		PANEL_WIDTH - 28, PANEL_HEIGHT - 66);
	kona_svg_plot(out, plot);
	fputs("</svg>\n", out);
}

void kona_picture_foot(struct kona_picture *picture, const char *line)
{
	int y = panels_end(picture) + 10 + 20 * picture->feet++;

	draw_text(picture->out, "foot", MARGIN, y, line);
}

int kona_picture_close(struct kona_picture *picture)
{
	int err = 0;

	fputs("</svg>\n", picture->out);
	if (fflush(picture->out) || ferror(picture->out))
		err = -(errno ? errno : EIO);
	fclose(picture->out);
	if (!err && rename(picture->temporary, picture->path))
		err = -errno;
	if (err)
		unlink(picture->temporary);
	return err;
}
