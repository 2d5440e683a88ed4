/* Pooling, tap by tap: each window position is one pass over the plane's output lines, which the compiler turns into
 * vector code, instead of a window at a time, which it cannot. Bounds are worked out once per tap. The greatest element's
 * place is kept as an integer in a float's room beside it, so backward is one scatter. Two shapes have loops of their own:
 * windows of 2 x 2 side by side, and one window that is the plane. */
#include "core/ops/kernels/pool.h"

#include <math.h>
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/elementwise.h"

/* The first output element of (z, y) that a tap touches. */
static inline int64_t out_start(const struct pare_window *w, const struct pare_tap *p, int64_t z, int64_t y)
{
	return (z * w->out[1] + y) * w->out[2] + p->lo[2];
}

/* Outputs 0 to n of a line against inputs that stand at x[start], x[start + step], ... */
static inline void max_pass(int64_t n, const float *x, int64_t start, int64_t step, float *y, int32_t *at)
{
	for (int64_t o = 0; o < n; o++) {
		int32_t i = (int32_t)(start + o * step);
		float v = x[i];
		bool more = v > y[o] || at[o] < 0 || v != v;

		y[o] = more ? v : y[o];
		at[o] = more ? i : at[o];
	}
}

static inline void max_value_pass(int64_t n, const float *x, int64_t step, float *y)
{
	for (int64_t o = 0; o < n; o++) {
		float v = x[o * step];

		y[o] = v > y[o] || v != v ? v : y[o];
	}
}

PARE_MULTIARCH static void plane_max(const struct pare_window *w, const float *x, float *y, int32_t *at)
{
	int64_t taps = pare_window_product(w->kernel);
	struct pare_tap p;

	for (int64_t t = 0; t < taps; t++) {
		pare_window_range(w, t, &p);
		for (int64_t i = p.lo[0]; i < p.hi[0]; i++)
			for (int64_t j = p.lo[1]; j < p.hi[1]; j++) {
				int64_t start = pare_tap_start(w, &p, i, j), o = out_start(w, &p, i, j);

				if (at != NULL)
					max_pass(p.hi[2] - p.lo[2], x, start, w->stride[2], y + o, at + o);
				else
					max_value_pass(p.hi[2] - p.lo[2], x + start, w->stride[2], y + o);
			}
	}
}

/* Windows of 2 x 2 side by side, which nearly every small network has: four outputs at a time, nothing in memory between,
 * lines too short for what the compiler makes of a loop. */
static bool is_halving(const struct pare_window *w)
{
	return w->kernel[0] == 1 && w->kernel[1] == 2 && w->kernel[2] == 2 && w->stride[0] == 1 && w->stride[1] == 2 && w->stride[2] == 2 &&
	    w->dilation[1] == 1 && w->dilation[2] == 1 && w->pad[0] == 0 && w->pad[1] == 0 && w->pad[2] == 0 && w->in[0] == w->out[0] &&
	    2 * w->out[1] <= w->in[1] && 2 * w->out[2] <= w->in[2];
}

typedef float four_floats __attribute__((vector_size(16)));
typedef int32_t four_ints __attribute__((vector_size(16)));

/* mask is all ones where b is taken, else all zeros. */
static inline void take(four_ints mask, const four_ints *b, four_ints *a)
{
	*a = (mask & *b) | (~mask & *a);
}

/* The greater of value and other, NaN counting as greater, and its place. */
static inline void greater(const four_floats *other, const four_ints *other_at, four_floats *value, four_ints *at)
{
	four_ints mask = (*other > *value) | (*other != *other), bits, other_bits;

	memcpy(&bits, value, sizeof bits);
	memcpy(&other_bits, other, sizeof other_bits);
	take(mask, &other_bits, &bits);
	take(mask, other_at, at);
	memcpy(value, &bits, sizeof bits);
}

/* The greater of each pair in x[8], which stands at place `start`. */
static inline void pairs(const float *x, int32_t start, four_floats *value, four_ints *at)
{
	four_floats lo, hi, odd;
	four_ints odd_at;

	memcpy(&lo, x, sizeof lo);
	memcpy(&hi, x + 4, sizeof hi);
	*value = __builtin_shufflevector(lo, hi, 0, 2, 4, 6);
	odd = __builtin_shufflevector(lo, hi, 1, 3, 5, 7);
	*at = (four_ints){start, start + 2, start + 4, start + 6};
	odd_at = *at + 1;
	greater(&odd, &odd_at, value, at);
}

static inline void halve_one(const float *x, int64_t in, int32_t start, float *y, int32_t *at)
{
	const int32_t place[4] = {0, 1, (int32_t)in, (int32_t)in + 1};

	int best = 0;

	for (int i = 1; i < 4; i++)
		if (x[place[i]] > x[place[best]] || x[place[i]] != x[place[i]])
			best = i;
	*y = x[place[best]];
	if (at != NULL)
		*at = start + place[best];
}

static inline void halve_line(int64_t n, const float *x, int64_t in, int32_t start, float *y, int32_t *at)
{
	int64_t o = 0;

	for (; o + 4 <= n; o += 4) {
		four_floats value, below;
		four_ints place, below_at;

		pairs(x + 2 * o, start + (int32_t)(2 * o), &value, &place);
		pairs(x + in + 2 * o, start + (int32_t)(in + 2 * o), &below, &below_at);
		greater(&below, &below_at, &value, &place);
		memcpy(y + o, &value, sizeof value);
		if (at != NULL)
			memcpy(at + o, &place, sizeof place);
	}
	for (; o < n; o++)
		halve_one(x + 2 * o, in, start + (int32_t)(2 * o), y + o, at != NULL ? at + o : NULL);
}

PARE_MULTIARCH static void halve(const struct pare_window *w, const float *x, float *y, int32_t *at)
{
	for (int64_t l = 0; l < w->out[0] * w->out[1]; l++) {
		int64_t start = (l / w->out[1] * w->in[1] + l % w->out[1] * 2) * w->in[2];

		halve_line(w->out[2], x + start, w->in[2], (int32_t)start, y + l * w->out[2], at != NULL ? at + l * w->out[2] : NULL);
	}
}

void pare_pool_max(const struct pare_window *w, int64_t planes, const float *x, float *y, int32_t *at)
{
	int64_t in = pare_window_product(w->in), out = pare_window_product(w->out);
	bool halving = is_halving(w);

	for (int64_t i = 0; i < planes; i++, x += in, y += out, at = at != NULL ? at + out : NULL) {
		if (halving) {
			halve(w, x, y, at);
			continue;
		}
		pare_k_fill((size_t)out, -INFINITY, y);
		if (at != NULL)
			memset(at, -1, (size_t)out * sizeof *at);
		plane_max(w, x, y, at);
	}
}

void pare_pool_max_grad(const struct pare_window *w, int64_t planes, const int32_t *at, const float *dy, bool acc, float *dx)
{
	int64_t in = pare_window_product(w->in), out = pare_window_product(w->out);

	if (!acc)
		memset(dx, 0, (size_t)(planes * in) * sizeof *dx);
	for (int64_t i = 0; i < planes; i++, dx += in)
		for (int64_t o = 0; o < out; o++, at++, dy++)
			if (*at >= 0)
				dx[*at] += *dy;
}

/* Window positions of an axis that stand before input position `end`, the first of them at `start`. */
static int64_t before(const struct pare_window *w, int axis, int64_t start, int64_t end)
{
	int64_t d = w->dilation[axis], n = end > start ? (end - start + d - 1) / d : 0;

	return n < w->kernel[axis] ? n : w->kernel[axis];
}

/* Positions of output o's window on one axis that count. */
static int64_t counted(const struct pare_window *w, int axis, int64_t o, bool count_pad, int64_t pad_end)
{
	int64_t start = o * w->stride[axis] - w->pad[axis];

	if (count_pad)
		return before(w, axis, start, w->in[axis] + pad_end);
	return before(w, axis, start, w->in[axis]) - before(w, axis, start, 0);
}

void pare_pool_weights(const struct pare_window *w, bool count_pad, const int64_t pad_end[PARE_WINDOW_AXES], float *weight)
{
	for (int64_t z = 0; z < w->out[0]; z++)
		for (int64_t y = 0; y < w->out[1]; y++) {
			int64_t rows = counted(w, 0, z, count_pad, pad_end[0]) * counted(w, 1, y, count_pad, pad_end[1]);

			for (int64_t x = 0; x < w->out[2]; x++) {
				int64_t n = rows * counted(w, 2, x, count_pad, pad_end[2]);

				*weight++ = n > 0 ? 1.0f / (float)n : 0.0f;
			}
		}
}

/* One window that is the plane: the global average, whose passes would be one element long. */
static bool is_plane(const struct pare_window *w)
{
	for (int i = 0; i < PARE_WINDOW_AXES; i++)
		if (w->kernel[i] != w->in[i] || w->out[i] != 1 || w->pad[i] != 0 || w->dilation[i] != 1)
			return false;
	return true;
}

static void plane_sums(int64_t planes, size_t n, const float *x, float weight, float *y)
{
	for (int64_t i = 0; i < planes; i++)
		y[i] = weight * pare_k_sum(n, x + (size_t)i * n);
}

static void plane_sums_grad(int64_t planes, size_t n, const float *dy, float weight, bool acc, float *dx)
{
	for (int64_t i = 0; i < planes; i++, dx += n)
		if (acc)
			pare_k_add_scalar(n, dx, weight * dy[i], dx);
		else
			pare_k_fill(n, weight * dy[i], dx);
}

PARE_MULTIARCH static void plane_sum(const struct pare_window *w, const float *x, float *y)
{
	int64_t taps = pare_window_product(w->kernel), step = w->stride[2];
	struct pare_tap p;

	for (int64_t t = 0; t < taps; t++) {
		pare_window_range(w, t, &p);
		for (int64_t i = p.lo[0]; i < p.hi[0]; i++)
			for (int64_t j = p.lo[1]; j < p.hi[1]; j++) {
				const float *from = x + pare_tap_start(w, &p, i, j);
				float *to = y + out_start(w, &p, i, j);

				for (int64_t o = 0; o < p.hi[2] - p.lo[2]; o++)
					to[o] += from[o * step];
			}
	}
}

PARE_MULTIARCH static void plane_spread(const struct pare_window *w, const float *g, float *dx)
{
	int64_t taps = pare_window_product(w->kernel), step = w->stride[2];
	struct pare_tap p;

	for (int64_t t = 0; t < taps; t++) {
		pare_window_range(w, t, &p);
		for (int64_t i = p.lo[0]; i < p.hi[0]; i++)
			for (int64_t j = p.lo[1]; j < p.hi[1]; j++) {
				const float *from = g + out_start(w, &p, i, j);
				float *to = dx + pare_tap_start(w, &p, i, j);

				for (int64_t o = 0; o < p.hi[2] - p.lo[2]; o++)
					to[o * step] += from[o];
			}
	}
}

void pare_pool_sum(const struct pare_window *w, int64_t planes, const float *x, const float *weight, float *y)
{
	int64_t in = pare_window_product(w->in), out = pare_window_product(w->out);

	if (is_plane(w)) {
		plane_sums(planes, (size_t)in, x, weight[0], y);
		return;
	}
	memset(y, 0, (size_t)(planes * out) * sizeof *y);
	for (int64_t i = 0; i < planes; i++, x += in, y += out) {
		plane_sum(w, x, y);
		pare_k_mul((size_t)out, y, weight, y);
	}
}

void pare_pool_sum_grad(const struct pare_window *w, int64_t planes, const float *dy, const float *weight, bool acc, float *dx, float *scratch)
{
	int64_t in = pare_window_product(w->in), out = pare_window_product(w->out);

	if (is_plane(w)) {
		plane_sums_grad(planes, (size_t)in, dy, weight[0], acc, dx);
		return;
	}
	if (!acc)
		memset(dx, 0, (size_t)(planes * in) * sizeof *dx);
	for (int64_t i = 0; i < planes; i++, dy += out, dx += in) {
		pare_k_mul((size_t)out, dy, weight, scratch);
		plane_spread(w, scratch, dx);
	}
}
