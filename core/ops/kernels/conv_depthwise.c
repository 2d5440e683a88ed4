/* Depthwise convolution, directly: with one input channel per group a matrix product has a single row or a few, and
 * gathering columns for it costs more than the sums themselves (measured: a tenth of the speed).
 *
 * A plane is copied once into a frame of zeros, so that no output needs bounds: output o and tap t read the frame at
 * o stride + t dilation. Eight outputs at a time stay in a register over all taps. The gradient of x is the same
 * correlation over a frame of dy, spread out by the stride, with the taps read backwards; the gradient of w is one sum per
 * tap over frame and dy. A chunk of eight may reach past the end of a line: it reads what stands there (frames have room at
 * the end) and stores only what belongs to the line.
 *
 * Sums run over taps in kernel order, and for dw in 8 lanes along lines, then over images: they depend on shapes only. */
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/conv.h"

#define CHUNK 8
#define MAX_MULTIPLIER 4                 /* output channels per input channel up to which this beats a product */
#define MAX_FRAME ((int64_t)1 << 24)     /* floats; larger planes take the other path */

/* A plane of `from` elements placed at `first`, every `spread`th, in a frame of `size`. */
struct frame {
	int64_t size[PARE_WINDOW_AXES], from[PARE_WINDOW_AXES], first[PARE_WINDOW_AXES], spread[PARE_WINDOW_AXES];
};

static int64_t extent(const struct pare_window *w, int axis)
{
	return (w->kernel[axis] - 1) * w->dilation[axis] + 1;
}

static struct frame input_frame(const struct pare_window *w)
{
	struct frame f;

	for (int i = 0; i < PARE_WINDOW_AXES; i++) {
		f.size[i] = (w->out[i] - 1) * w->stride[i] + extent(w, i);
		f.from[i] = w->in[i];
		f.first[i] = w->pad[i];
		f.spread[i] = 1;
	}
	return f;
}

static struct frame output_frame(const struct pare_window *w)
{
	struct frame f;

	for (int i = 0; i < PARE_WINDOW_AXES; i++) {
		f.size[i] = w->in[i] + extent(w, i) - 1;
		f.from[i] = w->out[i];
		f.first[i] = extent(w, i) - 1 - w->pad[i];
		f.spread[i] = w->stride[i];
	}
	return f;
}

static bool fits(const struct frame *f)
{
	int64_t n = 1;

	for (int i = 0; i < PARE_WINDOW_AXES; i++)
		if (__builtin_mul_overflow(n, f->size[i], &n) || n > MAX_FRAME)
			return false;
	return true;
}

bool pare_conv_is_depthwise(const struct pare_conv *c)
{
	struct frame in = input_frame(&c->w), out = output_frame(&c->w);

	return c->groups > 1 && c->in_channels == c->groups && c->out_channels <= MAX_MULTIPLIER * c->groups && fits(&in) && fits(&out) &&
	    c->w.stride[2] <= CHUNK;
}

/* Floats of a frame with room for a chunk to reach past the end. */
static int64_t frame_floats(const struct frame *f)
{
	return pare_window_product(f->size) + CHUNK * CHUNK;
}

/* dy's lines, each rounded up to whole chunks. */
static int64_t lines_floats(const struct pare_window *w)
{
	return w->out[0] * w->out[1] * ((w->out[2] + CHUNK - 1) / CHUNK * CHUNK);
}

size_t pare_conv_depthwise_scratch(const struct pare_conv *c)
{
	struct frame in = input_frame(&c->w), out = output_frame(&c->w);
	int64_t a = frame_floats(&in) + lines_floats(&c->w), b = frame_floats(&out);

	return (size_t)(a > b ? a : b);
}

/* The elements of one axis that land inside the frame. */
static void inside(const struct frame *f, int axis, int64_t *lo, int64_t *hi)
{
	int64_t s = f->spread[axis], room = f->size[axis] - 1 - f->first[axis];

	*lo = f->first[axis] < 0 ? (-f->first[axis] + s - 1) / s : 0;
	*hi = room < 0 ? 0 : room / s + 1;
	*hi = *hi < f->from[axis] ? *hi : f->from[axis];
}

static inline void put_line(int64_t n, const float *from, int64_t spread, float *to)
{
	int64_t i = 0;

	for (; spread == 1 && i + CHUNK <= n; i += CHUNK)
		memcpy(to + i, from + i, CHUNK * sizeof *to);
	for (; i < n; i++)
		to[i * spread] = from[i];
}

/* Writes the elements of a plane; what lies between and around them is zero already. */
static void fill(const struct frame *f, const float *plane, float *frame)
{
	int64_t lo[PARE_WINDOW_AXES], hi[PARE_WINDOW_AXES];

	for (int i = 0; i < PARE_WINDOW_AXES; i++)
		inside(f, i, &lo[i], &hi[i]);
	for (int64_t z = lo[0]; z < hi[0]; z++)
		for (int64_t y = lo[1]; y < hi[1]; y++) {
			int64_t to = ((z * f->spread[0] + f->first[0]) * f->size[1] + y * f->spread[1] + f->first[1]) * f->size[2];

			put_line(hi[2] - lo[2], plane + (z * f->from[1] + y) * f->from[2] + lo[2], f->spread[2], frame + to + lo[2] * f->spread[2] + f->first[2]);
		}
}

static void clear(const struct frame *f, float *frame)
{
	memset(frame, 0, (size_t)frame_floats(f) * sizeof *frame);
}

/* Where tap t reads relative to an output's own place in the frame; backwards: from the far end. */
static inline int64_t reach(const struct pare_window *w, const struct frame *f, int64_t t, bool backwards)
{
	int64_t tap[PARE_WINDOW_AXES];

	pare_window_tap(w, t, tap);
	for (int i = 0; i < PARE_WINDOW_AXES; i++)
		tap[i] = (backwards ? w->kernel[i] - 1 - tap[i] : tap[i]) * w->dilation[i];
	return (tap[0] * f->size[1] + tap[1]) * f->size[2] + tap[2];
}

struct taps {
	int64_t n;
	const float *k;
	int32_t offset[64]; /* of as many taps as one pass takes */
};

/* Eight floats as one value: what the compiler does with arrays of eight depends on its version. */
typedef float chunk_floats __attribute__((vector_size(CHUNK * sizeof(float))));

static inline void load(const float *x, int64_t step, chunk_floats *out)
{
	chunk_floats a, b;

	memcpy(&a, x, sizeof a);
	if (step == 2) {
		memcpy(&b, x + CHUNK, sizeof b);
		a = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
	}
	for (int64_t j = 0; step > 2 && j < CHUNK; j++)
		a[j] = x[j * step];
	*out = a;
}

static inline void correlate_line(const struct taps *t, const float *x, int64_t step, int64_t n, float *y)
{
	for (int64_t o = 0; o < n; o += CHUNK) {
		chunk_floats sum = {0}, v;
		int64_t rest = n - o < CHUNK ? n - o : CHUNK;

		for (int64_t i = 0; i < t->n; i++) {
			load(x + o * step + t->offset[i], step, &v);
			sum += t->k[i] * v;
		}
		if (rest == CHUNK) {
			memcpy(&v, y + o, sizeof v);
			v += sum;
			memcpy(y + o, &v, sizeof v);
		}
		for (int64_t j = 0; rest < CHUNK && j < rest; j++)
			y[o + j] += sum[j];
	}
}

/* y[n] += the sum over these taps; a step that is known at compile time makes vector loads of it. */
PARE_MULTIARCH static void correlate(const struct frame *f, const struct taps *t, const float *frame, const int64_t step[PARE_WINDOW_AXES],
    const int64_t n[PARE_WINDOW_AXES], float *y)
{
	for (int64_t l = 0; l < n[0] * n[1]; l++, y += n[2]) {
		const float *x = frame + (l / n[1] * step[0] * f->size[1] + l % n[1] * step[1]) * f->size[2];

		if (step[2] == 1)
			correlate_line(t, x, 1, n[2], y);
		else if (step[2] == 2)
			correlate_line(t, x, 2, n[2], y);
		else
			correlate_line(t, x, step[2], n[2], y);
	}
}

/* All taps, in passes of as many as struct taps holds. */
static void correlate_all(const struct pare_window *w, const struct frame *f, const float *k, bool backwards, const float *frame,
    const int64_t step[PARE_WINDOW_AXES], const int64_t n[PARE_WINDOW_AXES], float *y)
{
	int64_t most = (int64_t)(sizeof(((struct taps *)0)->offset) / sizeof(int32_t)), all = pare_window_product(w->kernel);

	for (int64_t first = 0; first < all; first += most) {
		struct taps t = {.n = all - first < most ? all - first : most, .k = k + first};

		for (int64_t i = 0; i < t.n; i++)
			t.offset[i] = (int32_t)reach(w, f, first + i, backwards);
		correlate(f, &t, frame, step, n, y);
	}
}

void pare_conv_depthwise_forward(const struct pare_conv *c, int64_t n, const float *x, const float *w, bool acc, float *y, float *scratch)
{
	int64_t in = pare_window_product(c->w.in), out = pare_window_product(c->w.out), taps = pare_window_product(c->w.kernel);
	int64_t mg = c->out_channels / c->groups;
	struct frame f = input_frame(&c->w);

	if (!acc)
		memset(y, 0, (size_t)(n * c->out_channels * out) * sizeof *y);
	clear(&f, scratch);
	for (int64_t i = 0; i < n * c->out_channels; i++) {
		if (i % mg == 0)
			fill(&f, x + i / mg * in, scratch);
		correlate_all(&c->w, &f, w + i % c->out_channels * taps, false, scratch, c->w.stride, c->w.out, y + i * out);
	}
}

void pare_conv_depthwise_grad_input(const struct pare_conv *c, int64_t n, const float *w, const float *dy, bool acc, float *dx, float *scratch)
{
	static const int64_t one[PARE_WINDOW_AXES] = {1, 1, 1};
	int64_t in = pare_window_product(c->w.in), out = pare_window_product(c->w.out), taps = pare_window_product(c->w.kernel);
	int64_t mg = c->out_channels / c->groups;
	struct frame f = output_frame(&c->w);

	if (!acc)
		memset(dx, 0, (size_t)(n * c->in_channels * in) * sizeof *dx);
	clear(&f, scratch);
	for (int64_t i = 0; i < n * c->out_channels; i++) {
		fill(&f, dy + i * out, scratch);
		correlate_all(&c->w, &f, w + i % c->out_channels * taps, true, scratch, one, c->w.in, dx + i / mg * in);
	}
}

static inline void dot_line(const float *x, int64_t step, int64_t n, const float *dy, chunk_floats *sum)
{
	for (int64_t o = 0; o < n; o += CHUNK) {
		chunk_floats a, b;

		load(x + o * step, step, &a);
		load(dy + o, 1, &b);
		*sum += a * b;
	}
}

/* dk[t] += the sum over one plane; lines: dy with its lines rounded up to chunks by zeros */
PARE_MULTIARCH static void plane_grad_weight(const struct pare_window *w, const struct frame *f, const float *frame, const float *lines, float *dk)
{
	int64_t taps = pare_window_product(w->kernel), step = w->stride[2], n = (w->out[2] + CHUNK - 1) / CHUNK * CHUNK;

	for (int64_t t = 0; t < taps; t++) {
		const float *x = frame + reach(w, f, t, false);
		chunk_floats lane = {0};
		double sum = 0;

		for (int64_t l = 0; l < w->out[0] * w->out[1]; l++) {
			const float *line = x + (l / w->out[1] * w->stride[0] * f->size[1] + l % w->out[1] * w->stride[1]) * f->size[2];

			if (step == 1)
				dot_line(line, 1, n, lines + l * n, &lane);
			else if (step == 2)
				dot_line(line, 2, n, lines + l * n, &lane);
			else
				dot_line(line, step, n, lines + l * n, &lane);
		}
		for (int j = 0; j < CHUNK; j++)
			sum += (double)lane[j];
		dk[t] += (float)sum;
	}
}

void pare_conv_depthwise_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch)
{
	int64_t in = pare_window_product(c->w.in), out = pare_window_product(c->w.out), taps = pare_window_product(c->w.kernel);
	int64_t mg = c->out_channels / c->groups, line = c->w.out[2], wide = (line + CHUNK - 1) / CHUNK * CHUNK;
	struct frame f = input_frame(&c->w);
	float *lines = scratch + frame_floats(&f);

	if (!acc)
		memset(dw, 0, (size_t)(c->out_channels * taps) * sizeof *dw);
	clear(&f, scratch);
	memset(lines, 0, (size_t)lines_floats(&c->w) * sizeof *lines);
	for (int64_t i = 0; i < n * c->out_channels; i++) {
		if (i % mg == 0)
			fill(&f, x + i / mg * in, scratch);
		for (int64_t l = 0; l < out / line; l++)
			memcpy(lines + l * wide, dy + i * out + l * line, (size_t)line * sizeof *lines);
		plane_grad_weight(&c->w, &f, scratch, lines, dw + i % c->out_channels * taps);
	}
}
