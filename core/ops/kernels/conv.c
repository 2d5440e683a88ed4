/* Convolution as a matrix product: for the shapes that conv_last.c does not serve, and for machines without wide vectors.
 * A block of output positions becomes a matrix of columns (im2col):
 *
 *   col[K, B]   K = in_channels * kernel, one row per channel and tap; B positions
 *   forward     y[M, B] = w[M, K] col             grad_weight   dw[M, K] += dy[M, B] col^T
 *   grad_input  col = w^T[K, M] dy[M, B], then every column is added back to where it came from (col2im)
 *
 * with the channels of a group for K and M where there are groups. What a block is depends on shapes only: several small
 * images together, because a product of 64 columns wastes most of what BLAS packs and dw would be read and written once
 * per image; lines of one image where its columns would not stay in the second cache. y of a block of several images or
 * of a part of one is gathered or scattered through a buffer, which costs M of the K M steps of the product. A 1x1
 * convolution of stride 1 needs no columns: the image is the matrix.
 *
 * Rejected: keeping forward's columns for backward (K/C times the activations, out of cache by then; recomputing them is
 * cheaper), and Winograd, which pays with the channels last (conv_winograd.c). */
#include "core/ops/kernels/conv.h"

#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/gemm.h"

#define WIDE 512                     /* columns to aim at */
#define COL_FLOATS ((int64_t)1 << 18) /* of a block: 1 MiB */
#define CHUNK 8

struct tiling {
	int64_t taps, k, p, n_lines; /* kernel elements; rows of col; positions and lines of an image */
	int64_t images, lines;       /* of a block; lines == n_lines unless images == 1 */
	bool pointwise;
};

static bool is_pointwise(const struct pare_window *w)
{
	for (int i = 0; i < PARE_WINDOW_AXES; i++)
		if (w->kernel[i] != 1 || w->stride[i] != 1 || w->pad[i] != 0 || w->in[i] != w->out[i])
			return false;
	return true;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

static struct tiling tile(const struct pare_conv *c, int64_t n)
{
	struct tiling t = {.taps = pare_window_product(c->w.kernel), .p = pare_window_product(c->w.out), .n_lines = c->w.out[0] * c->w.out[1],
	    .images = 1, .pointwise = is_pointwise(&c->w)};
	int64_t most;

	t.k = c->in_channels * t.taps;
	t.lines = t.n_lines;
	most = COL_FLOATS / t.k;
	if (t.pointwise)
		return t;
	if (t.p > most)
		t.lines = clamp(most / c->w.out[2], 1, t.n_lines);
	else
		t.images = clamp((most < WIDE ? most : WIDE) / t.p, 1, n);
	return t;
}

size_t pare_conv_scratch(const struct pare_conv *c, int64_t n)
{
	struct tiling t = tile(c, n);
	int64_t cols = t.images * t.lines * c->w.out[2];

	if (pare_conv_is_depthwise(c))
		return pare_conv_depthwise_scratch(c);
	return t.pointwise ? 0 : (size_t)((t.k + c->out_channels) * cols);
}

/* A block in work: lines [l, l + lines) of images [b, b + images). */
struct block {
	int64_t b, l, images, lines, cols;
	bool whole; /* exactly one image: its channels are the rows of the matrix y as they stand */
};

static bool block_at(const struct pare_conv *c, const struct tiling *t, int64_t n, struct block *k)
{
	if (k->b >= n)
		return false;
	k->images = clamp(t->images, 1, n - k->b);
	k->lines = clamp(t->lines, 1, t->n_lines - k->l);
	k->cols = k->images * k->lines * c->w.out[2];
	k->whole = k->images == 1 && k->lines == t->n_lines;
	return true;
}

static void block_next(const struct tiling *t, struct block *k)
{
	k->l += k->lines;
	if (k->l == t->n_lines) {
		k->l = 0;
		k->b += k->images;
	}
}

/* Lines are often 8 to 32 floats: fixed-size chunks, because a call of memcpy costs as much as copying them. */
static inline void copy_line(int64_t n, const float *from, int64_t step, float *to)
{
	int64_t i = 0;

	for (; step == 1 && i + CHUNK <= n; i += CHUNK)
		memcpy(to + i, from + i, CHUNK * sizeof *to);
	for (; i < n; i++)
		to[i] = from[i * step];
}

static inline void add_line(int64_t n, const float *from, float *to, int64_t step)
{
	int64_t i = 0;

	for (; step == 1 && i + CHUNK <= n; i += CHUNK)
		for (int64_t j = 0; j < CHUNK; j++)
			to[i + j] += from[i + j];
	for (; i < n; i++)
		to[i * step] += from[i];
}

static inline void zero_line(int64_t n, float *to)
{
	for (int64_t i = 0; i < n; i++)
		to[i] = 0;
}

/* One row of col for lines [l, l + lines) of one channel's plane x. */
static inline void row_from_plane(const struct pare_window *w, const float *x, const int64_t tap[PARE_WINDOW_AXES], int64_t l, int64_t lines, float *row)
{
	int64_t lo, hi, from = tap[2] * w->dilation[2] - w->pad[2];

	pare_window_valid(w, 2, tap[2], &lo, &hi);
	for (int64_t i = 0; i < lines; i++, row += w->out[2]) {
		int64_t line = pare_window_line(w, l + i, tap);

		if (line < 0) {
			zero_line(w->out[2], row);
			continue;
		}
		zero_line(lo, row);
		copy_line(hi - lo, x + line + from + lo * w->stride[2], w->stride[2], row + lo);
		zero_line(w->out[2] - hi, row + hi);
	}
}

static inline void row_to_plane(const struct pare_window *w, const float *row, const int64_t tap[PARE_WINDOW_AXES], int64_t l, int64_t lines, float *dx)
{
	int64_t lo, hi, from = tap[2] * w->dilation[2] - w->pad[2];

	pare_window_valid(w, 2, tap[2], &lo, &hi);
	for (int64_t i = 0; i < lines; i++, row += w->out[2]) {
		int64_t line = pare_window_line(w, l + i, tap);

		if (line >= 0)
			add_line(hi - lo, row + lo, dx + line + from + lo * w->stride[2], w->stride[2]);
	}
}

PARE_MULTIARCH static void im2col(const struct pare_conv *c, const struct tiling *t, const struct block *k, const float *x, float *col)
{
	int64_t in = pare_window_product(c->w.in), part = k->lines * c->w.out[2];

	for (int64_t r = 0; r < t->k; r++) {
		int64_t tap[PARE_WINDOW_AXES];

		pare_window_tap(&c->w, r % t->taps, tap);
		for (int64_t i = 0; i < k->images; i++)
			row_from_plane(&c->w, x + ((k->b + i) * c->in_channels + r / t->taps) * in, tap, k->l, k->lines, col + r * k->cols + i * part);
	}
}

PARE_MULTIARCH static void col2im(const struct pare_conv *c, const struct tiling *t, const struct block *k, const float *col, float *dx)
{
	int64_t in = pare_window_product(c->w.in), part = k->lines * c->w.out[2];

	for (int64_t r = 0; r < t->k; r++) {
		int64_t tap[PARE_WINDOW_AXES];

		pare_window_tap(&c->w, r % t->taps, tap);
		for (int64_t i = 0; i < k->images; i++)
			row_to_plane(&c->w, col + r * k->cols + i * part, tap, k->l, k->lines, dx + ((k->b + i) * c->in_channels + r / t->taps) * in);
	}
}

/* The block's rows of y[n, M, p] to or from a matrix [M, cols]. */
static void gather(const struct pare_conv *c, const struct tiling *t, const struct block *k, const float *y, float *matrix)
{
	int64_t part = k->lines * c->w.out[2];

	for (int64_t m = 0; m < c->out_channels; m++)
		for (int64_t i = 0; i < k->images; i++)
			memcpy(matrix + m * k->cols + i * part, y + ((k->b + i) * c->out_channels + m) * t->p + k->l * c->w.out[2], (size_t)part * sizeof *y);
}

static void scatter(const struct pare_conv *c, const struct tiling *t, const struct block *k, const float *matrix, bool acc, float *y)
{
	int64_t part = k->lines * c->w.out[2];

	for (int64_t m = 0; m < c->out_channels; m++)
		for (int64_t i = 0; i < k->images; i++) {
			const float *from = matrix + m * k->cols + i * part;
			float *to = y + ((k->b + i) * c->out_channels + m) * t->p + k->l * c->w.out[2];

			if (acc)
				pare_k_acc((size_t)part, from, to);
			else
				memcpy(to, from, (size_t)part * sizeof *to);
		}
}

void pare_conv_forward(const struct pare_conv *c, int64_t n, const float *x, const float *w, bool acc, float *y, float *scratch)
{
	struct tiling t = tile(c, n);
	int64_t mg = c->out_channels / c->groups, kg = t.k / c->groups;

	if (pare_conv_is_depthwise(c)) {
		pare_conv_depthwise_forward(c, n, x, w, acc, y, scratch);
		return;
	}
	for (struct block k = {0}; block_at(c, &t, n, &k); block_next(&t, &k)) {
		const float *col = t.pointwise ? x + k.b * t.k * t.p : scratch;
		float *to = k.whole ? y + k.b * c->out_channels * t.p : scratch + t.k * k.cols;

		if (!t.pointwise)
			im2col(c, &t, &k, x, scratch);
		for (int64_t g = 0; g < c->groups; g++)
			pare_gemm(false, false, mg, k.cols, kg, 1.0f, w + g * mg * kg, col + g * kg * k.cols, k.whole && acc ? 1.0f : 0.0f, to + g * mg * k.cols);
		if (!k.whole)
			scatter(c, &t, &k, to, acc, y);
	}
}

void pare_conv_grad_input(const struct pare_conv *c, int64_t n, const float *w, const float *dy, bool acc, float *dx, float *scratch)
{
	struct tiling t = tile(c, n);
	int64_t mg = c->out_channels / c->groups, kg = t.k / c->groups;

	if (pare_conv_is_depthwise(c)) {
		pare_conv_depthwise_grad_input(c, n, w, dy, acc, dx, scratch);
		return;
	}
	if (!acc && !t.pointwise)
		memset(dx, 0, (size_t)(n * c->in_channels * pare_window_product(c->w.in)) * sizeof *dx);
	for (struct block k = {0}; block_at(c, &t, n, &k); block_next(&t, &k)) {
		const float *from = k.whole ? dy + k.b * c->out_channels * t.p : scratch + t.k * k.cols;
		float *col = t.pointwise ? dx + k.b * t.k * t.p : scratch;

		if (!k.whole)
			gather(c, &t, &k, dy, scratch + t.k * k.cols);
		for (int64_t g = 0; g < c->groups; g++)
			pare_gemm(true, false, kg, k.cols, mg, 1.0f, w + g * mg * kg, from + g * mg * k.cols, t.pointwise && acc ? 1.0f : 0.0f, col + g * kg * k.cols);
		if (!t.pointwise)
			col2im(c, &t, &k, col, dx);
	}
}

void pare_conv_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch)
{
	struct tiling t = tile(c, n);
	int64_t mg = c->out_channels / c->groups, kg = t.k / c->groups;

	if (pare_conv_is_depthwise(c)) {
		pare_conv_depthwise_grad_weight(c, n, x, dy, acc, dw, scratch);
		return;
	}
	for (struct block k = {0}; block_at(c, &t, n, &k); block_next(&t, &k), acc = true) {
		const float *from = k.whole ? dy + k.b * c->out_channels * t.p : scratch + t.k * k.cols;
		const float *col = t.pointwise ? x + k.b * t.k * t.p : scratch;

		if (!k.whole)
			gather(c, &t, &k, dy, scratch + t.k * k.cols);
		if (!t.pointwise)
			im2col(c, &t, &k, x, scratch);
		for (int64_t g = 0; g < c->groups; g++)
			pare_gemm(false, true, mg, kg, k.cols, 1.0f, from + g * mg * k.cols, col + g * kg * k.cols, acc ? 1.0f : 0.0f, dw + g * mg * kg);
	}
}

void pare_conv_fill_bias(int64_t n, int64_t channels, int64_t len, const float *bias, float *y)
{
	for (int64_t i = 0; i < n * channels; i++)
		pare_k_fill((size_t)len, bias[i % channels], y + i * len);
}

void pare_conv_grad_bias(int64_t n, int64_t channels, int64_t len, const float *dy, bool acc, float *db)
{
	for (int64_t c = 0; c < channels; c++) {
		double sum = acc ? (double)db[c] : 0;

		for (int64_t i = 0; i < n; i++)
			sum += (double)pare_k_sum((size_t)len, dy + (i * channels + c) * len);
		db[c] = (float)sum;
	}
}
