/* Rows of channels, one after the other: every statistic is a vector as long as a row, so loops go along the row. Short rows
 * are taken several at a time, with the channels' numbers repeated, because a loop of sixteen steps costs as much to begin
 * and end as to run. Sums are floats for a few rows, then doubles. */
#include "core/ops/kernels/norm_last.h"

#include <string.h>

#include "core/base/multiarch.h"

#define WIDE 64   /* floats of a line to aim at */
#define MOST 1024 /* channels at a time */
#define FEW 64    /* lines that are added up in float */

/* Channels [first, first + n) of all rows, as lines of `width` floats: several rows each where n is all there is. */
struct lines {
	int64_t first, n, times, width, step, count, rest; /* rest: floats of a last, shorter line */
};

static bool next_lines(int64_t rows, int64_t channels, struct lines *l)
{
	l->first += l->n;
	if (l->first >= channels || rows == 0)
		return false;
	l->n = channels - l->first < MOST ? channels - l->first : MOST;
	l->times = channels < WIDE ? WIDE / channels : 1;
	l->width = l->n * l->times;
	l->step = channels * l->times;
	l->count = rows / l->times;
	l->rest = rows % l->times * channels;
	return true;
}

static void repeat(const struct lines *l, const float *from, float *to)
{
	for (int64_t i = 0; i < l->width; i++)
		to[i] = from[l->first + i % l->n];
}

/* What a line needs of each of its places. */
struct numbers {
	float mean[MOST], inv[MOST], k[MOST], bias[MOST];
};

static void numbers_of(const struct pare_norm_last *d, const struct lines *l, struct numbers *v)
{
	repeat(l, d->mean, v->mean);
	repeat(l, d->inv, v->inv);
	repeat(l, d->bias, v->bias);
	repeat(l, d->scale, v->k);
	for (int64_t i = 0; i < l->width; i++)
		v->k[i] *= v->inv[i];
}

static inline void line_forward(int64_t n, const struct numbers *v, bool has_add, bool clamp, float lo, float hi, const float *x, const float *add, float *y)
{
	for (int64_t i = 0; i < n; i++) {
		float f = (x[i] - v->mean[i]) * v->k[i] + v->bias[i];

		f = has_add ? f + add[i] : f; /* cppcheck-suppress nullPointer ; add is NULL only where has_add is false */
		f = clamp && f < lo ? lo : f;
		y[i] = clamp && f > hi ? hi : f;
	}
}

PARE_MULTIARCH static void lines_forward(const struct pare_norm_last *d, const struct numbers *v, int64_t count, int64_t step, int64_t n, const float *x,
    const float *add, float *y)
{
	for (int64_t r = 0; r < count; r++) {
		if (add != NULL && d->clamp)
			line_forward(n, v, true, true, d->lo, d->hi, x + r * step, add + r * step, y + r * step);
		else if (add != NULL)
			line_forward(n, v, true, false, 0, 0, x + r * step, add + r * step, y + r * step);
		else if (d->clamp)
			line_forward(n, v, false, true, d->lo, d->hi, x + r * step, NULL, y + r * step);
		else
			line_forward(n, v, false, false, 0, 0, x + r * step, NULL, y + r * step);
	}
}

void pare_norm_last_forward(const struct pare_norm_last *d, const float *x, const float *add, float *y)
{
	struct numbers v;

	for (struct lines l = {0}; next_lines(d->rows, d->channels, &l);) {
		int64_t end = l.first + l.count * l.step;

		numbers_of(d, &l, &v);
		lines_forward(d, &v, l.count, l.step, l.width, x + l.first, add != NULL ? add + l.first : NULL, y + l.first);
		lines_forward(d, &v, l.rest > 0, 0, l.rest, x + end, add != NULL ? add + end : NULL, y + end);
	}
}

/* Two sums by channel. */
struct sums {
	float a[MOST], b[MOST];
	double all_a[MOST], all_b[MOST];
};

static void sums_flush(struct sums *s, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		s->all_a[i] += (double)s->a[i];
		s->all_b[i] += (double)s->b[i];
		s->a[i] = s->b[i] = 0;
	}
}

static void sums_take(const struct lines *l, const struct sums *s, double *a, double *b)
{
	for (int64_t c = 0; c < l->n; c++) {
		a[l->first + c] = b[l->first + c] = 0;
		for (int64_t t = 0; t < l->times; t++) {
			a[l->first + c] += s->all_a[t * l->n + c];
			b[l->first + c] += s->all_b[t * l->n + c];
		}
	}
}

PARE_MULTIARCH static void lines_deviate(int64_t count, int64_t step, int64_t n, const float *x, const float *pivot, float *restrict a, float *restrict b)
{
	for (int64_t r = 0; r < count; r++)
		for (int64_t i = 0; i < n; i++) {
			float v = x[r * step + i] - pivot[i];

			a[i] += v;
			b[i] += v * v;
		}
}

/* Deviations from a first guess, the mean of the first rows: squares of those neither overflow nor cancel. */
static void find_pivot(int64_t rows, int64_t channels, const float *x, const struct lines *l, float *pivot)
{
	int64_t n = rows < FEW ? rows : FEW;

	memset(pivot, 0, (size_t)l->n * sizeof *pivot);
	for (int64_t r = 0; r < n; r++)
		for (int64_t c = 0; c < l->n; c++)
			pivot[c] += x[r * channels + l->first + c];
	for (int64_t c = 0; c < l->n; c++)
		pivot[c] /= (float)n;
	for (int64_t i = l->n; i < l->width; i++)
		pivot[i] = pivot[i - l->n];
}

void pare_norm_last_part(int64_t rows, int64_t channels, const float *x, double *mean, double *m2)
{
	float pivot[MOST];

	memset(mean, 0, (size_t)channels * sizeof *mean);
	memset(m2, 0, (size_t)channels * sizeof *m2);
	for (struct lines l = {0}; next_lines(rows, channels, &l);) {
		struct sums s = {{0}, {0}, {0}, {0}};

		find_pivot(rows, channels, x, &l, pivot);
		for (int64_t r = 0; r < l.count; r += FEW) {
			lines_deviate(l.count - r < FEW ? l.count - r : FEW, l.step, l.width, x + l.first + r * l.step, pivot, s.a, s.b);
			sums_flush(&s, l.width);
		}
		lines_deviate(l.rest > 0, 0, l.rest, x + l.first + l.count * l.step, pivot, s.a, s.b);
		sums_flush(&s, l.width);
		sums_take(&l, &s, mean, m2);
		for (int64_t c = l.first; c < l.first + l.n; c++) {
			double sum = mean[c], off = sum / (double)rows;

			mean[c] = (double)pivot[c - l.first] + off;
			m2[c] = m2[c] > sum * off ? m2[c] - sum * off : 0;
		}
	}
}

PARE_MULTIARCH static void lines_sums(const struct pare_norm_last *d, const struct numbers *v, int64_t count, int64_t step, int64_t n, const float *x,
    const float *y, const float *dy, float *restrict a, float *restrict b)
{
	for (int64_t r = 0; r < count; r++)
		for (int64_t i = 0; i < n; i++) {
			bool through = !d->clamp || ((y[r * step + i] > d->lo) & (y[r * step + i] < d->hi));
			float g = through ? dy[r * step + i] : 0.0f;

			a[i] += g;
			b[i] += g * ((x[r * step + i] - v->mean[i]) * v->inv[i]);
		}
}

void pare_norm_last_sums(const struct pare_norm_last *d, const float *x, const float *y, const float *dy, double *sum_g, double *sum_gh)
{
	struct numbers v;

	memset(sum_g, 0, (size_t)d->channels * sizeof *sum_g);
	memset(sum_gh, 0, (size_t)d->channels * sizeof *sum_gh);
	for (struct lines l = {0}; next_lines(d->rows, d->channels, &l);) {
		struct sums s = {{0}, {0}, {0}, {0}};
		int64_t end = l.first + l.count * l.step;

		numbers_of(d, &l, &v);
		for (int64_t r = 0; r < l.count; r += FEW) {
			int64_t at = l.first + r * l.step;

			lines_sums(d, &v, l.count - r < FEW ? l.count - r : FEW, l.step, l.width, x + at, y + at, dy + at, s.a, s.b);
			sums_flush(&s, l.width);
		}
		lines_sums(d, &v, l.rest > 0, 0, l.rest, x + end, y + end, dy + end, s.a, s.b);
		sums_flush(&s, l.width);
		sums_take(&l, &s, sum_g, sum_gh);
	}
}

struct averages {
	float g[MOST], gh[MOST];
};

static void averages_of(const struct pare_norm_last_grads *to, const struct lines *l, struct averages *a)
{
	for (int64_t i = 0; i < l->width; i++) {
		a->g[i] = to->avg_g != NULL ? (float)to->avg_g[l->first + i % l->n] : 0.0f;
		a->gh[i] = to->avg_gh != NULL ? (float)to->avg_gh[l->first + i % l->n] : 0.0f;
	}
}

static inline void line_dx(int64_t n, const struct numbers *v, const struct averages *m, bool clamp, float lo, float hi, bool acc, const float *x, const float *y,
    const float *dy, float *dx)
{
	for (int64_t i = 0; i < n; i++) {
		bool through = !clamp || ((y[i] > lo) & (y[i] < hi));
		float g = through ? dy[i] : 0.0f, h = (x[i] - v->mean[i]) * v->inv[i], f = v->k[i] * (g - m->g[i] - h * m->gh[i]);

		dx[i] = acc ? dx[i] + f : f;
	}
}

PARE_MULTIARCH static void lines_dx(const struct pare_norm_last *d, const struct numbers *v, const struct averages *m, int64_t count, int64_t step, int64_t n,
    const float *x, const float *y, const float *dy, bool acc, float *dx)
{
	for (int64_t r = 0; r < count; r++, x += step, y += step, dy += step, dx += step) {
		if (d->clamp && acc)
			line_dx(n, v, m, true, d->lo, d->hi, true, x, y, dy, dx);
		else if (d->clamp)
			line_dx(n, v, m, true, d->lo, d->hi, false, x, y, dy, dx);
		else
			line_dx(n, v, m, false, 0, 0, acc, x, y, dy, dx);
	}
}

PARE_MULTIARCH static void through(const struct pare_norm_last *d, int64_t n, const float *y, const float *dy, bool acc, float *g)
{
	for (int64_t i = 0; i < n; i++) {
		bool open = !d->clamp || ((y[i] > d->lo) & (y[i] < d->hi));
		float v = open ? dy[i] : 0.0f;

		g[i] = acc ? g[i] + v : v;
	}
}

void pare_norm_last_backward(const struct pare_norm_last *d, const float *x, const float *y, const float *dy, const struct pare_norm_last_grads *to)
{
	struct numbers v;
	struct averages m;

	for (struct lines l = {0}; to->dx != NULL && next_lines(d->rows, d->channels, &l);) {
		int64_t end = l.first + l.count * l.step;

		numbers_of(d, &l, &v);
		averages_of(to, &l, &m);
		lines_dx(d, &v, &m, l.count, l.step, l.width, x + l.first, y + l.first, dy + l.first, to->acc_x, to->dx + l.first);
		lines_dx(d, &v, &m, l.rest > 0, 0, l.rest, x + end, y + end, dy + end, to->acc_x, to->dx + end);
	}
	if (to->dadd != NULL)
		through(d, d->rows * d->channels, y, dy, to->acc_add, to->dadd);
}
