/* Depthwise convolution with the channels last: every channel is by itself, so a vector of channels is a vector of results,
 * and a sum has as many steps as the kernel has taps. That is memory traffic more than arithmetic: no frames with margins are
 * copied. Instead a line of results is cut into spans whose positions meet the same taps: the middle, where all columns of
 * the kernel are inside, and a position or two at either end.
 *
 * As in conv_last.c, grad_input is a number of phases, each a convolution of stride 1 in dy. */
#include <string.h>

#include "core/ops/kernels/conv_last.h"

#define MAX_TAPS 128
#define POSITIONS 128 /* of grad_weight at a time: they stay in the first cache while the taps pass by */

struct tap {
	int64_t row, col; /* of the source, for position (0, 0) */
	int64_t t;
};

/* Results (row + i row_step, col + j col_step), i < rows, j < cols; source of (i, j) under a tap: (tap.row + i step_r, tap.col + j step_c). */
struct phase {
	int64_t row, col, rows, cols;
	int64_t n_taps;
	struct tap taps[MAX_TAPS];
};

struct pass {
	const struct pare_conv *c;
	int64_t in_rows, in_cols, out_rows, out_cols;
	int64_t in_step[2], out_step[2];
	struct phase phase;
};

/* Positions [j, j + n) of a line and the taps that are inside for all of them; offsets from the source of (i, 0) under (0, 0). */
struct span {
	int64_t j, n, n_taps;
	int64_t off[MAX_TAPS], w_off[MAX_TAPS];
};

static bool row_inside(const struct pass *p, int64_t i, const struct tap *t)
{
	int64_t r = t->row + i * p->in_step[0];

	return r >= 0 && r < p->in_rows;
}

static bool col_inside(const struct pass *p, int64_t j, const struct tap *t)
{
	int64_t c = t->col + j * p->in_step[1];

	return c >= 0 && c < p->in_cols;
}

/* Do positions j and k of a line meet the same columns of taps? */
static bool alike(const struct pass *p, int64_t j, int64_t k)
{
	for (int64_t t = 0; t < p->phase.n_taps; t++)
		if (col_inside(p, j, &p->phase.taps[t]) != col_inside(p, k, &p->phase.taps[t]))
			return false;
	return true;
}

/* The span of line i that begins at j. */
static void find_span(const struct pass *p, int64_t i, int64_t j, struct span *s)
{
	s->j = j;
	s->n = 1;
	s->n_taps = 0;
	while (j + s->n < p->phase.cols && alike(p, j, j + s->n))
		s->n++;
	for (int64_t t = 0; t < p->phase.n_taps; t++) {
		const struct tap *tap = &p->phase.taps[t];

		if (!row_inside(p, i, tap) || !col_inside(p, j, tap))
			continue;
		s->off[s->n_taps] = (tap->row * p->in_cols + tap->col) * p->c->groups;
		s->w_off[s->n_taps++] = tap->t * p->c->groups;
	}
}

/* Lines from i on that meet the same rows of taps. */
static int64_t like_lines(const struct pass *p, int64_t i)
{
	int64_t n = 1;

	for (; i + n < p->phase.rows; n++)
		for (int64_t t = 0; t < p->phase.n_taps; t++)
			if (row_inside(p, i, &p->phase.taps[t]) != row_inside(p, i + n, &p->phase.taps[t]))
				return n;
	return n;
}

static int64_t source_at(const struct pass *p, int64_t image, int64_t i, int64_t j)
{
	return ((image * p->in_rows + i * p->in_step[0]) * p->in_cols + j * p->in_step[1]) * p->c->groups;
}

static int64_t result_at(const struct pass *p, int64_t image, int64_t i, int64_t j)
{
	const struct phase *f = &p->phase;

	return ((image * p->out_rows + f->row + i * p->out_step[0]) * p->out_cols + f->col + j * p->out_step[1]) * p->c->groups;
}

typedef void (*span_fn)(void *ctx, const struct pass *p, const struct span *s, int64_t lines, int64_t source, int64_t result);

/* Every span, image by image, lines that are alike together. */
static void walk(const struct pass *p, int64_t n, span_fn fn, void *ctx)
{
	struct span s;

	for (int64_t b = 0; b < n; b++)
		for (int64_t i = 0, lines; i < p->phase.rows; i += lines) {
			lines = like_lines(p, i);
			for (int64_t j = 0; j < p->phase.cols; j += s.n) {
				find_span(p, i, j, &s);
				fn(ctx, p, &s, lines, source_at(p, b, i, j), result_at(p, b, i, j));
			}
		}
}

struct sums {
	const float *from, *w, *add;
	float *to;
	bool acc;
	const struct pare_conv_finish *finish;
};

static struct pare_lanes lanes_of(const struct pass *p, const struct span *s)
{
	int64_t channels = p->c->groups;

	return (struct pare_lanes){.n_taps = s->n_taps, .off = s->off, .w_off = s->w_off, .channels = channels, .xs = p->in_step[1] * channels,
	    .ys = p->out_step[1] * channels, .x_row = p->in_step[0] * p->in_cols * channels, .y_row = p->out_step[0] * p->out_cols * channels};
}

static void run_span(void *ctx, const struct pass *p, const struct span *s, int64_t lines, int64_t source, int64_t result)
{
	const struct sums *m = ctx;
	struct pare_lanes l = lanes_of(p, s);

	l.acc = m->acc;
	l.finish = m->finish;
	for (int64_t i = 0; i < lines; i++, source += l.x_row, result += l.y_row)
		pare_tile()->lanes(&l, s->n, m->from + source, m->w, m->to + result, m->add != NULL ? m->add + result : NULL);
}

static void grad_span(void *ctx, const struct pass *p, const struct span *s, int64_t lines, int64_t source, int64_t result)
{
	const struct sums *m = ctx;
	struct pare_lanes l = lanes_of(p, s);
	int64_t most = (POSITIONS + s->n - 1) / s->n;

	for (int64_t i = 0; i < lines; i += most)
		pare_tile()->lanes_grad(&l, lines - i < most ? lines - i : most, s->n, m->from + source + i * l.x_row, m->add + result + i * l.y_row, m->to);
}

static struct pass forward_pass(const struct pare_conv *c)
{
	const struct pare_window *w = &c->w;
	struct pass p = {.c = c, .in_rows = w->in[1], .in_cols = w->in[2], .out_rows = w->out[1], .out_cols = w->out[2],
	    .in_step = {w->stride[1], w->stride[2]}, .out_step = {1, 1}, .phase = {.rows = w->out[1], .cols = w->out[2]}};

	for (int64_t t = 0; t < w->kernel[1] * w->kernel[2]; t++)
		p.phase.taps[p.phase.n_taps++] = (struct tap){t / w->kernel[2] * w->dilation[1] - w->pad[1], t % w->kernel[2] * w->dilation[2] - w->pad[2], t};
	return p;
}

/* Positions of dx whose remainders by the stride are r and s. */
static struct pass gradient_pass(const struct pare_conv *c, int64_t r, int64_t s)
{
	const struct pare_window *w = &c->w;
	struct pass p = {.c = c, .in_rows = w->out[1], .in_cols = w->out[2], .out_rows = w->in[1], .out_cols = w->in[2], .in_step = {1, 1},
	    .out_step = {w->stride[1], w->stride[2]}, .phase = {.row = r, .col = s, .rows = (w->in[1] - r + w->stride[1] - 1) / w->stride[1],
		.cols = (w->in[2] - s + w->stride[2] - 1) / w->stride[2]}};

	for (int64_t t = 0; t < w->kernel[1] * w->kernel[2]; t++) {
		int64_t row = r + w->pad[1] - t / w->kernel[2] * w->dilation[1], col = s + w->pad[2] - t % w->kernel[2] * w->dilation[2];

		if (row % w->stride[1] == 0 && col % w->stride[2] == 0)
			p.phase.taps[p.phase.n_taps++] = (struct tap){row / w->stride[1], col / w->stride[2], t};
	}
	return p;
}

void pare_conv_lanes_pack(const struct pare_conv *c, const float *w, const float *scale, float *packed)
{
	int64_t taps = pare_window_product(c->w.kernel);

	for (int64_t t = 0; t < taps; t++)
		for (int64_t m = 0; m < c->groups; m++)
			packed[t * c->groups + m] = w[m * taps + t] * (scale != NULL ? scale[m] : 1.0f);
}

void pare_conv_lanes_forward(const struct pare_conv *c, int64_t n, const float *x, const float *packed, bool acc, const struct pare_conv_finish *finish,
    float *y)
{
	struct sums m = {.from = x, .w = packed, .to = y, .acc = acc, .finish = finish, .add = finish != NULL ? finish->add : NULL};
	struct pass p = forward_pass(c);

	walk(&p, n, run_span, &m);
}

void pare_conv_lanes_grad_input(const struct pare_conv *c, int64_t n, const float *packed, const float *dy, bool acc,
    const struct pare_conv_finish *finish, float *dx)
{
	struct sums m = {.from = dy, .w = packed, .to = dx, .acc = acc, .finish = finish, .add = finish != NULL ? finish->add : NULL};

	for (int64_t r = 0; r < c->w.stride[1] && r < c->w.in[1]; r++)
		for (int64_t s = 0; s < c->w.stride[2] && s < c->w.in[2]; s++) {
			struct pass p = gradient_pass(c, r, s);

			walk(&p, n, run_span, &m);
		}
}

void pare_conv_lanes_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch)
{
	int64_t taps = pare_window_product(c->w.kernel);
	struct sums m = {.from = x, .add = dy, .to = scratch};
	struct pass p = forward_pass(c);

	memset(scratch, 0, (size_t)(taps * c->groups) * sizeof *scratch);
	walk(&p, n, grad_span, &m);
	for (int64_t i = 0; i < taps * c->groups; i++)
		dw[i] = (acc ? dw[i] : 0.0f) + scratch[i % taps * c->groups + i / taps];
}
