/* Pictures of a report: SVG with the page's own colours. Ticks stand at 1, 2 or 5 times a power of ten, about five to an
 * axis. A curve of more points than the picture has columns is drawn as its least and greatest value per column, so that an
 * outlier is seen however long the run was. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/job/doc.h"

#define WIDTH 640.0
#define HEIGHT 276.0
#define LEFT 64.0
#define RIGHT 12.0
#define TOP 28.0 /* the legend stands there */
#define BOTTOM 44.0
#define TICKS 5
#define BAR_HEIGHT 16.0
#define BAR_LEFT 200.0
#define MAX_BARS 60
#define LABEL_CHARS 30

struct axis {
	double lo, hi, step;
};

static bool is_shown(const struct job_series *s, int i)
{
	return isfinite(s->x[i]) && isfinite(s->y[i]);
}

static double nice_step(double span)
{
	double raw = span / TICKS, power = pow(10, floor(log10(raw))), f = raw / power;

	return power * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10);
}

/* The range of all points, widened to whole steps. False when there are none. */
static bool range_of(const struct job_plot *p, bool of_y, struct axis *a)
{
	*a = (struct axis){.lo = INFINITY, .hi = -INFINITY};
	for (int k = 0; k < p->n_series; k++)
		for (int i = 0; i < p->series[k].n; i++) {
			if (!is_shown(&p->series[k], i))
				continue;
			a->lo = fmin(a->lo, of_y ? p->series[k].y[i] : p->series[k].x[i]);
			a->hi = fmax(a->hi, of_y ? p->series[k].y[i] : p->series[k].x[i]);
		}
	if (a->lo > a->hi)
		return false;
	if (!(a->hi - a->lo > 1e-9 * fmax(fabs(a->lo), fabs(a->hi)))) {
		double pad = fmax(fabs(a->hi) * 0.1, 1e-6);

		a->lo -= pad;
		a->hi += pad;
	}
	a->step = nice_step(a->hi - a->lo);
	if (of_y) {
		a->lo = floor(a->lo / a->step) * a->step;
		a->hi = ceil(a->hi / a->step) * a->step;
	}
	return true;
}

static double x_at(const struct axis *a, double v)
{
	return LEFT + (v - a->lo) / (a->hi - a->lo) * (WIDTH - LEFT - RIGHT);
}

static double y_at(const struct axis *a, double v)
{
	return TOP + (a->hi - v) / (a->hi - a->lo) * (HEIGHT - TOP - BOTTOM);
}

static void draw_axes(struct pare_buf *b, const struct job_plot *p, const struct axis *x, const struct axis *y)
{
	double bottom = HEIGHT - BOTTOM;

	for (double v = ceil(y->lo / y->step - 1e-9) * y->step; v <= y->hi + 1e-9 * y->step; v += y->step) {
		pare_buf_printf(b, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>", LEFT, y_at(y, v), WIDTH - RIGHT);
		pare_buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", LEFT - 6, y_at(y, v) + 4, fabs(v) < 1e-9 * y->step ? 0.0 : v);
	}
	for (double v = ceil(x->lo / x->step - 1e-9) * x->step; v <= x->hi + 1e-9 * x->step; v += x->step) {
		pare_buf_printf(b, "<path class=\"axis\" d=\"M%.1f %.1fv4\"/>", x_at(x, v), bottom);
		pare_buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.4g</text>", x_at(x, v), bottom + 17, fabs(v) < 1e-9 * x->step ? 0.0 : v);
	}
	pare_buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
	job_doc_escape(b, p->x_label);
	pare_buf_printf(b, "</text><text transform=\"translate(14 %.1f) rotate(-90)\" text-anchor=\"middle\">", (TOP + bottom) / 2);
	job_doc_escape(b, p->y_label);
	pare_buf_str(b, "</text>");
}

/* The points of one column of the picture, folded into their range. */
struct column {
	double x, first, lo, hi, last;
	int n;
};

static void put_column(struct pare_buf *b, const struct column *c, const struct axis *y, bool *started)
{
	const double v[4] = {c->first, c->lo, c->hi, c->last};
	int n = c->n > 2 ? 4 : c->n;

	for (int i = 0; i < n; i++) {
		pare_buf_printf(b, "%c%.1f %.1f", *started ? 'L' : 'M', c->x, y_at(y, c->n == 2 && i == 1 ? c->last : v[i]));
		*started = true;
	}
}

static void draw_curve(struct pare_buf *b, const struct job_series *s, int k, const struct axis *x, const struct axis *y)
{
	struct column c = {.n = 0};
	bool started = false;

	pare_buf_printf(b, "<path class=\"curve s%d\" d=\"", k);
	for (int i = 0; i < s->n; i++) {
		double at;

		if (!is_shown(s, i))
			continue;
		at = x_at(x, s->x[i]);
		if (c.n > 0 && fabs(at - c.x) >= 0.5) {
			put_column(b, &c, y, &started);
			c.n = 0;
		}
		if (c.n++ == 0)
			c = (struct column){at, s->y[i], s->y[i], s->y[i], s->y[i], 1};
		c.lo = fmin(c.lo, s->y[i]);
		c.hi = fmax(c.hi, s->y[i]);
		c.last = s->y[i];
	}
	if (c.n > 0)
		put_column(b, &c, y, &started);
	pare_buf_str(b, "\"/>");
}

static void draw_dots(struct pare_buf *b, const struct job_series *s, int k, const struct axis *x, const struct axis *y)
{
	for (int i = 0; i < s->n; i++)
		if (is_shown(s, i))
			pare_buf_printf(b, "<circle class=\"dot s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", k, x_at(x, s->x[i]), y_at(y, s->y[i]));
}

static void draw_legend(struct pare_buf *b, const struct job_plot *p)
{
	double at = LEFT + 8;

	for (int k = 0; p->n_series > 1 && k < p->n_series; k++) {
		pare_buf_printf(b, "<path class=\"curve s%d\" d=\"M%.1f %.1fh18\"/><text x=\"%.1f\" y=\"%.1f\">", k, at, 10.0, at + 22, 14.0);
		job_doc_escape(b, p->series[k].label);
		pare_buf_str(b, "</text>");
		at += 40 + 6.5 * (double)strlen(p->series[k].label);
	}
}

static void begin_figure(struct pare_buf *b, const char *title, double height)
{
	pare_buf_str(b, "<figure><figcaption>");
	job_doc_escape(b, title);
	pare_buf_printf(b, "</figcaption><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", WIDTH, height);
	job_doc_escape(b, title);
	pare_buf_str(b, "\">");
}

void job_doc_plot(struct job_doc *d, const struct job_plot *p)
{
	struct axis x, y;

	if (d->kind != JOB_DOC_HTML || !range_of(p, false, &x) || !range_of(p, true, &y))
		return;
	begin_figure(d->b, p->title, HEIGHT);
	draw_axes(d->b, p, &x, &y);
	for (int k = 0; k < p->n_series; k++)
		(p->series[k].dots ? draw_dots : draw_curve)(d->b, &p->series[k], k, &x, &y);
	draw_legend(d->b, p);
	pare_buf_str(d->b, "</svg></figure>\n");
}

/* Bytes of a label that fit, not cutting a UTF-8 sequence. */
static int shown_bytes(const char *s)
{
	size_t n = strlen(s);

	if (n <= LABEL_CHARS)
		return (int)n;
	for (n = LABEL_CHARS; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80; n--)
		;
	return (int)n;
}

void job_doc_bars(struct job_doc *d, const struct job_bars *bars)
{
	int n = bars->n < MAX_BARS ? bars->n : MAX_BARS;
	double full = WIDTH - BAR_LEFT - 60;

	if (d->kind != JOB_DOC_HTML || n == 0)
		return;
	begin_figure(d->b, bars->title, BAR_HEIGHT * n + 8);
	for (int i = 0; i < n; i++) {
		double share = isfinite(bars->shares[i]) ? fmin(fmax(bars->shares[i], 0), 1) : 0, top = BAR_HEIGHT * i + 4;
		char label[LABEL_CHARS + 1];

		(void)snprintf(label, sizeof label, "%.*s", shown_bytes(bars->labels[i]), bars->labels[i]);
		pare_buf_printf(d->b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", BAR_LEFT - 6, top + 11);
		job_doc_escape(d->b, label);
		pare_buf_printf(d->b, "</text><rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", BAR_LEFT, top + 2, full * share, BAR_HEIGHT - 5);
		pare_buf_printf(d->b, "<text x=\"%.1f\" y=\"%.1f\">%.1f %%</text>", BAR_LEFT + full * share + 6, top + 11, 100 * share);
	}
	pare_buf_str(d->b, "</svg></figure>\n");
}
