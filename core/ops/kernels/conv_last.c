/* Direct convolution with the channels last.
 *
 * All three directions are sums over taps of small matrix products whose operands lie in memory as they are needed: a
 * position's channels are contiguous, and so are those of the taps beside it. So there are no columns to copy (im2col) and
 * no block of channels to fill up: the tiles of conv_tile.h walk the image itself, and a first layer of one or three
 * channels runs like any other, since a line of taps with its channels is one run.
 *
 *   forward      y at o   = sum over taps t    x at o stride + t dilation - pad    times w(t)
 *   grad_input   dx at i  = sum over taps t    dy at (i + pad - t dilation) / stride, where that is whole, times w(t)^T
 *   grad_weight  dw(t)    = sum over o         x at o stride + t dilation - pad    times dy at o
 *
 * grad_input with a stride falls apart into stride^2 phases, the positions of equal remainder, each of which sees every
 * output with the same taps: a convolution of stride 1. A phase is described by its taps alone, and forward is the case of
 * one phase.
 *
 * Padding: images that need it are copied into frames with a margin of zeros, as many at a time as stay in the second
 * cache; the copy brings them there, so it costs little more than reading them. Packed weights stand as blocks of one or
 * two vectors of output channels, each with all its steps k = (tap, input channel); long sums are cut so that a block's
 * part stays in the second cache while the images pass by.
 *
 * Of 3x3 windows in steps of 1 and channels enough, conv_winograd.c makes other products; of windows that shrink the image, conv_scatter.c.
 *
 * Rejected: channels in blocks of 16 (nChw16c). It fills a register whatever the channel count, but Concat, Split and
 * narrow layers then pay for padding channels, every other operator needs a form for it, and the tiles are as fast here
 * (both at the limit of the multipliers, bench/README.md). */
#include "core/ops/kernels/conv_last.h"

#include <string.h>

#include "core/base/multiarch.h"

#define FRAME_FLOATS ((int64_t)1 << 16)   /* of a group of images: 256 KiB */
#define BAND_FLOATS ((int64_t)1 << 18)    /* of one image; a larger one goes in bands of lines: 1 MiB */
#define BLOCK_FLOATS ((int64_t)48 * 1024) /* of a block's weights at a time: 192 KiB */
#define MAX_TAPS 128
#define MAX_STRIDE 4
#define STRETCH 16
#define MIN_POSITIONS 96 /* of a group, for each time that all weights are read */
#define POSITIONS 192 /* of grad_weight, between two sums in memory: a block's dy of them stays in the first cache */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool depthwise(const struct pare_conv *c)
{
	return c->groups > 1 && c->in_channels == c->groups && c->out_channels == c->groups;
}

bool pare_conv_last_serves(const struct pare_conv *c)
{
	const struct pare_window *w = &c->w;

	return w->in[0] == 1 && w->out[0] == 1 && w->kernel[0] == 1 && w->pad[0] == 0 && w->kernel[1] * w->kernel[2] <= MAX_TAPS &&
	    w->stride[1] <= MAX_STRIDE && w->stride[2] <= MAX_STRIDE && (c->groups == 1 || depthwise(c));
}

struct plane {
	int64_t rows, cols, channels;
};

/* A source image, in a frame or where it stands: position (0, 0) of the frame is (-top, -left) of the image. */
struct frame {
	struct plane from;
	int64_t top, left, rows, cols;
	bool copy;
};

struct tap {
	int64_t row, col; /* in the frame, for position (0, 0) of the phase */
	int64_t t;
};

/* Positions (row + i step_r, col + j step_c) of the result, i < rows, j < cols. */
struct phase {
	int64_t row, col, rows, cols;
	int64_t n_taps;
	struct tap taps[MAX_TAPS];
};

/* One direction: source to result. */
struct pass {
	struct frame frame;
	struct plane to;
	int64_t source_step[2]; /* of the frame, per position of a phase */
	int64_t result_step[2]; /* of the result */
	int64_t in;             /* channels of a tap's product */
	int64_t band, n_band;   /* the lines of a phase that this frame holds */
	int64_t stride[2];      /* phases */
};

static int64_t image_floats(const struct plane *p)
{
	return p->rows * p->cols * p->channels;
}

static int64_t frame_floats(const struct frame *f)
{
	return f->rows * f->cols * f->from.channels;
}

static struct plane input_plane(const struct pare_conv *c)
{
	return (struct plane){c->w.in[1], c->w.in[2], c->in_channels};
}

static struct plane output_plane(const struct pare_conv *c)
{
	return (struct plane){c->w.out[1], c->w.out[2], c->out_channels};
}

/* What forward and grad_weight read of x. */
static struct frame input_frame(const struct pare_conv *c)
{
	const struct pare_window *w = &c->w;
	struct frame f = {.from = input_plane(c), .top = w->pad[1], .left = w->pad[2]};

	f.rows = (w->out[1] - 1) * w->stride[1] + (w->kernel[1] - 1) * w->dilation[1] + 1;
	f.cols = (w->out[2] - 1) * w->stride[2] + (w->kernel[2] - 1) * w->dilation[2] + 1;
	f.copy = f.top > 0 || f.left > 0 || f.rows > f.from.rows || f.cols > f.from.cols;
	if (!f.copy) {
		f.rows = f.from.rows;
		f.cols = f.from.cols;
	}
	return f;
}

/* The whole quotient of what stands between a phase's position and a tap. */
static bool reach(const struct pare_window *w, int axis, int64_t remainder, int64_t t, int64_t *out)
{
	int64_t d = remainder + w->pad[axis] - t * w->dilation[axis];

	*out = d / w->stride[axis];
	return d % w->stride[axis] == 0;
}

/* Margins of dy on one axis, for all phases: how far taps reach before it, and the length with what they reach beyond. */
static void gradient_reach(const struct pare_window *w, int axis, int64_t *before, int64_t *length)
{
	int64_t lo = 0, hi = w->out[axis];

	for (int64_t r = 0; r < least(w->stride[axis], w->in[axis]); r++)
		for (int64_t t = 0; t < w->kernel[axis]; t++) {
			int64_t e, positions = (w->in[axis] - r + w->stride[axis] - 1) / w->stride[axis];

			if (!reach(w, axis, r, t, &e))
				continue;
			lo = least(lo, e);
			hi = most(hi, positions + e);
		}
	*before = -lo;
	*length = hi - lo;
}

static struct frame gradient_frame(const struct pare_conv *c)
{
	struct frame f = {.from = output_plane(c)};

	gradient_reach(&c->w, 1, &f.top, &f.rows);
	gradient_reach(&c->w, 2, &f.left, &f.cols);
	f.copy = f.rows != f.from.rows || f.cols != f.from.cols;
	return f;
}

static struct pass forward_pass(const struct pare_conv *c)
{
	return (struct pass){.frame = input_frame(c), .to = output_plane(c), .source_step = {c->w.stride[1], c->w.stride[2]}, .result_step = {1, 1},
	    .in = c->in_channels, .stride = {1, 1}};
}

static struct pass gradient_pass(const struct pare_conv *c)
{
	return (struct pass){.frame = gradient_frame(c), .to = input_plane(c), .source_step = {1, 1},
	    .result_step = {c->w.stride[1], c->w.stride[2]}, .in = c->out_channels,
	    .stride = {least(c->w.stride[1], c->w.in[1]), least(c->w.stride[2], c->w.in[2])}};
}

static void forward_phase(const struct pare_conv *c, struct phase *p)
{
	const struct pare_window *w = &c->w;

	*p = (struct phase){.rows = w->out[1], .cols = w->out[2]};
	for (int64_t i = 0; i < w->kernel[1]; i++)
		for (int64_t j = 0; j < w->kernel[2]; j++)
			p->taps[p->n_taps++] = (struct tap){i * w->dilation[1], j * w->dilation[2], i * w->kernel[2] + j};
}

/* Taps from the last to the first, so that what they read rises in memory. */
static void gradient_phase(const struct pare_conv *c, const struct pass *pass, int64_t r, int64_t s, struct phase *p)
{
	const struct pare_window *w = &c->w;

	*p = (struct phase){.row = r, .col = s, .rows = (w->in[1] - r + w->stride[1] - 1) / w->stride[1],
	    .cols = (w->in[2] - s + w->stride[2] - 1) / w->stride[2]};
	for (int64_t i = w->kernel[1] - 1; i >= 0; i--)
		for (int64_t j = w->kernel[2] - 1; j >= 0; j--) {
			int64_t row, col;

			if (reach(w, 1, r, i, &row) && reach(w, 2, s, j, &col))
				p->taps[p->n_taps++] = (struct tap){row + pass->frame.top, col + pass->frame.left, i * w->kernel[2] + j};
		}
}

/* --- packed weights: for each phase, block of output channels, tap and input channel: the block's vectors */

static int64_t padded(int64_t channels)
{
	int64_t width = pare_tile()->width;

	return (channels + width - 1) / width * width;
}

/* Channels of the block at `first`: two vectors where there are so many. */
static int64_t block_width(int64_t channels, int64_t first)
{
	return least(2 * pare_tile()->width, padded(channels - first));
}

size_t pare_conv_last_packed(const struct pare_conv *c)
{
	int64_t taps = pare_window_product(c->w.kernel), in = c->in_channels / c->groups, out = c->out_channels / c->groups;

	if (depthwise(c))
		return (size_t)(taps * c->groups);
	if (pare_conv_winograd(c))
		return pare_conv_winograd_packed(c);
	return (size_t)(taps * most(in * padded(out), out * padded(in)));
}

struct source {
	const float *w, *scale;
	int64_t of_out, of_in; /* steps of w */
};

static inline void pack_one(const struct source *s, const struct phase *p, int64_t in, int64_t width, int64_t o, int64_t lane, int64_t i, float *to)
{
	const float *w = s->w + o * s->of_out + i * s->of_in;
	float scale = s->scale != NULL ? s->scale[o] : 1.0f;

	for (int64_t t = 0; t < p->n_taps; t++)
		to[(t * in + i) * width + lane] = w[p->taps[t].t] * scale;
}

/* Input channels in short stretches, whose part of `to` stays in the first cache; along the smaller step of w within them. */
static void pack_block(const struct source *s, const struct phase *p, int64_t in, int64_t width, int64_t first, int64_t n, float *to)
{
	memset(to, 0, (size_t)(p->n_taps * in * width) * sizeof *to);
	for (int64_t i = 0; i < in; i += STRETCH) {
		int64_t end = least(i + STRETCH, in);

		for (int64_t lane = 0; s->of_out > s->of_in && lane < n; lane++)
			for (int64_t k = i; k < end; k++)
				pack_one(s, p, in, width, first + lane, lane, k, to);
		for (int64_t k = i; s->of_out <= s->of_in && k < end; k++)
			for (int64_t lane = 0; lane < n; lane++)
				pack_one(s, p, in, width, first + lane, lane, k, to);
	}
}

static float *pack_phase(const struct source *s, const struct phase *p, int64_t in, int64_t out, float *to)
{
	for (int64_t first = 0; first < out;) {
		int64_t width = block_width(out, first);

		pack_block(s, p, in, width, first, least(width, out - first), to);
		to += p->n_taps * in * width;
		first += width;
	}
	return to;
}

void pare_conv_last_pack(const struct pare_conv *c, const float *w, const float *scale, float *packed)
{
	int64_t taps = pare_window_product(c->w.kernel), in = c->in_channels / c->groups;
	struct source s = {.w = w, .scale = scale, .of_out = in * taps, .of_in = taps};
	struct phase p;

	if (depthwise(c)) {
		pare_conv_lanes_pack(c, w, scale, packed);
		return;
	}
	if (pare_conv_winograd(c)) {
		pare_conv_winograd_pack(c, w, scale, packed);
		return;
	}
	forward_phase(c, &p);
	pack_phase(&s, &p, in, c->out_channels, packed);
}

void pare_conv_last_pack_transposed(const struct pare_conv *c, const float *w, const float *scale, float *packed)
{
	int64_t taps = pare_window_product(c->w.kernel), in = c->in_channels / c->groups;
	struct source s = {.w = w, .scale = scale, .of_out = taps, .of_in = in * taps};
	struct pass pass = gradient_pass(c);
	struct phase p;

	if (depthwise(c)) {
		pare_conv_lanes_pack(c, w, scale, packed);
		return;
	}
	if (pare_conv_winograd(c)) {
		pare_conv_winograd_pack_transposed(c, w, scale, packed);
		return;
	}
	if (pare_conv_scatters(c)) {
		pare_conv_scatter_pack(c, w, scale, packed);
		return;
	}
	for (int64_t r = 0; r < pass.stride[0] * pass.stride[1]; r++) {
		gradient_phase(c, &pass, r / pass.stride[1], r % pass.stride[1], &p);
		packed = pack_phase(&s, &p, c->out_channels, in, packed);
	}
}

/* --- images */

static void fill_frame(const struct frame *f, const float *x, float *to)
{
	size_t line = (size_t)(f->cols * f->from.channels);
	int64_t left = least(f->left, f->cols), skip = left * f->from.channels, copied = least(f->from.cols, f->cols - left) * f->from.channels;

	for (int64_t r = 0; r < f->rows; r++, to += line) {
		int64_t from = r - f->top;

		if (from < 0 || from >= f->from.rows) {
			memset(to, 0, line * sizeof *to);
			continue;
		}
		memset(to, 0, (size_t)skip * sizeof *to);
		memcpy(to + skip, x + from * f->from.cols * f->from.channels, (size_t)copied * sizeof *to);
		memset(to + skip + copied, 0, (line - (size_t)(skip + copied)) * sizeof *to);
	}
}

/* Where the group's images are read: the frames, filled now, or the images themselves. */
static const float *enter(const struct frame *f, int64_t images, const float *x, float *scratch)
{
	for (int64_t i = 0; f->copy && i < images; i++)
		fill_frame(f, x + i * image_floats(&f->from), scratch + i * frame_floats(f));
	return f->copy ? scratch : x;
}

/* Lines of results, and of what they are made of, that go together; `lines` in all, a step of the frame each. */
static int64_t band_lines(const struct frame *f, int64_t lines, int64_t step)
{
	int64_t extent = f->rows - (lines - 1) * step, line = f->cols * f->from.channels;

	if (!f->copy || frame_floats(f) <= BAND_FLOATS)
		return lines;
	return least(most((BAND_FLOATS / line - extent) / step + 1, 1), lines);
}

/* The part of a frame that lines [first, first + n) of all `lines` need. */
static struct frame band_frame(const struct frame *f, int64_t first, int64_t n, int64_t lines, int64_t step)
{
	struct frame b = *f;

	if (n == lines || !f->copy)
		return b;
	b.top -= first * step;
	b.rows -= (lines - n) * step;
	return b;
}

/* Images that go together, of `positions` of which a group has at least `enough`. */
static int64_t group_images(const struct frame *f, int64_t positions, int64_t enough, int64_t n)
{
	return least(most(FRAME_FLOATS / frame_floats(f), (enough + positions - 1) / most(positions, 1)), n);
}

static int64_t pass_images(const struct pass *p, int64_t n)
{
	return group_images(&p->frame, (p->to.rows * p->to.cols) / (p->stride[0] * p->stride[1]), MIN_POSITIONS, n);
}

static int64_t weight_images(const struct pare_conv *c, const struct frame *x, int64_t n)
{
	return group_images(x, c->w.out[1] * c->w.out[2], POSITIONS, n);
}

/* Part of a sum: at most BLOCK_FLOATS of a block's weights. A cursor through the phase's steps. */
struct part {
	struct pare_segment_run segments[MAX_TAPS];
	int64_t n_segments;
	int64_t tap, channel; /* where the next part begins */
};

static int64_t tap_offset(const struct pass *pass, const struct tap *t)
{
	return (t->row * pass->frame.cols + t->col) * pass->frame.from.channels;
}

/* The steps of the next part, at most `room`; returns how many. */
static int64_t next_part(const struct pass *pass, const struct phase *p, int64_t room, struct part *part)
{
	int64_t taken = 0;

	part->n_segments = 0;
	while (part->tap < p->n_taps && taken < room) {
		int64_t off = tap_offset(pass, &p->taps[part->tap]) + part->channel, len = least(pass->in - part->channel, room - taken);
		struct pare_segment_run *last = part->n_segments > 0 ? &part->segments[part->n_segments - 1] : NULL;

		if (last != NULL && last->off + last->len == off)
			last->len += len;
		else
			part->segments[part->n_segments++] = (struct pare_segment_run){off, len};
		taken += len;
		part->channel += len;
		if (part->channel == pass->in) {
			part->channel = 0;
			part->tap++;
		}
	}
	return taken;
}

/* Of the longest phase. */
static int64_t phase_lines(const struct pass *p)
{
	return (p->to.rows + p->result_step[0] - 1) / p->result_step[0];
}

struct job {
	const struct pass *pass;
	const struct phase *phase;
	int64_t images;
	const float *from;
	float *to;
	const float *add; /* as `to` */
};

static int64_t result_at(const struct job *j, int64_t image, int64_t row)
{
	const struct plane *to = &j->pass->to;

	return image * image_floats(to) + ((j->phase->row + (j->pass->band + row) * j->pass->result_step[0]) * to->cols + j->phase->col) * to->channels;
}

static const float *source_at(const struct job *j, int64_t image, int64_t row)
{
	const struct frame *f = &j->pass->frame;

	return j->from + image * frame_floats(f) + row * j->pass->source_step[0] * f->cols * f->from.channels;
}

static void run_part(const struct job *j, const struct pare_dot *d, const float *w, int64_t first)
{
	const struct pare_tile_kernels *k = pare_tile();

	for (int64_t i = 0; i < j->images; i++)
		for (int64_t r = 0; r < least(j->phase->rows - j->pass->band, j->pass->n_band); r++) {
			int64_t at = result_at(j, i, r) + first;

			k->dot(d, j->phase->cols, source_at(j, i, r), w, j->to + at, j->add != NULL ? j->add + at : NULL);
		}
}

/* All blocks of a phase; returns where the next phase's weights begin. */
static const float *run_phase(const struct job *j, const float *w, bool acc, const struct pare_conv_finish *finish)
{
	const struct pass *pass = j->pass;
	int64_t steps = j->phase->n_taps * pass->in, channels = pass->to.channels;
	struct pare_conv_finish f = finish != NULL ? *finish : (struct pare_conv_finish){0};
	struct part part;

	for (int64_t first = 0, width; first < channels; first += width) {
		struct pare_dot d = {.segments = part.segments, .xs = pass->source_step[1] * pass->frame.from.channels,
		    .ys = pass->result_step[1] * channels, .acc = acc};
		int64_t done = 0;

		width = block_width(channels, first);
		d.vectors = (int)(width / pare_tile()->width);
		d.tail = least(width, channels - first) - width + pare_tile()->width;
		f.bias = finish != NULL && finish->bias != NULL ? finish->bias + first : NULL;
		part.tap = part.channel = 0;
		do {
			done += next_part(pass, j->phase, BLOCK_FLOATS / width, &part);
			d.n_segments = part.n_segments;
			d.finish = finish != NULL && done == steps ? &f : NULL;
			run_part(j, &d, w, first);
			for (int64_t s = 0; s < part.n_segments; s++)
				w += part.segments[s].len * width;
			d.acc = true;
		} while (done < steps);
	}
	return w;
}

/* One group of images, phase by phase. */
static void run_group(const struct pare_conv *c, const struct pass *pass, bool forward, int64_t images, const float *from, const float *packed, bool acc,
    const struct pare_conv_finish *finish, const float *add, float *to)
{
	for (int64_t r = 0; r < pass->stride[0] * pass->stride[1]; r++) {
		struct phase p;
		struct job j = {.pass = pass, .phase = &p, .images = images, .from = from, .to = to, .add = add};

		if (forward)
			forward_phase(c, &p);
		else
			gradient_phase(c, pass, r / pass->stride[1], r % pass->stride[1], &p);
		packed = run_phase(&j, packed, acc, finish);
	}
}

static void run(const struct pare_conv *c, const struct pass *whole, bool forward, int64_t n, const float *x, const float *packed, bool acc,
    const struct pare_conv_finish *finish, float *y, float *scratch)
{
	int64_t images = pass_images(whole, n), from = image_floats(&whole->frame.from), to = image_floats(&whole->to);
	int64_t lines = phase_lines(whole), band = band_lines(&whole->frame, lines, whole->source_step[0]);
	struct pass pass = *whole;

	for (int64_t b = 0; b < n; b += images)
		for (pass.band = 0; pass.band < lines; pass.band += band) {
			int64_t k = least(images, n - b);
			const float *add = finish != NULL && finish->add != NULL ? finish->add + b * to : NULL, *group;

			pass.n_band = least(band, lines - pass.band);
			pass.frame = band_frame(&whole->frame, pass.band, pass.n_band, lines, whole->source_step[0]);
			group = enter(&pass.frame, k, x + b * from, scratch);
			run_group(c, &pass, forward, k, group, packed, acc, finish, add, y + b * to);
		}
}

/* A 1x1 convolution of stride 1 does not care where a line or an image ends: long lines, as many as fit the cache. */
static bool pointwise(const struct pare_conv *c)
{
	const struct pare_window *w = &c->w;

	return c->groups == 1 && w->kernel[1] == 1 && w->kernel[2] == 1 && w->stride[1] == 1 && w->stride[2] == 1 && w->in[1] == w->out[1] &&
	    w->in[2] == w->out[2] && w->pad[1] == 0 && w->pad[2] == 0;
}

static struct pare_conv flat(const struct pare_conv *c, int64_t *n)
{
	struct pare_conv f = *c;
	int64_t all = *n * c->w.in[1] * c->w.in[2], line = least(all, most(FRAME_FLOATS / most(c->in_channels, c->out_channels), MIN_POSITIONS));

	f.w.in[1] = f.w.out[1] = 1;
	f.w.in[2] = f.w.out[2] = line;
	*n = all / line;
	return f;
}

/* Calls of a flat convolution: n lines, then what is left over. */
static struct pare_conv rest_of(const struct pare_conv *c, const struct pare_conv *f, int64_t n_images, int64_t lines)
{
	struct pare_conv r = *f;

	r.w.in[2] = r.w.out[2] = n_images * c->w.in[1] * c->w.in[2] - lines * f->w.in[2];
	return r;
}

size_t pare_conv_last_scratch(const struct pare_conv *c, int64_t n)
{
	struct frame x = input_frame(c), dy = gradient_frame(c);
	struct pass back = gradient_pass(c);
	struct frame x_band = band_frame(&x, 0, band_lines(&x, c->w.out[1], c->w.stride[1]), c->w.out[1], c->w.stride[1]);
	struct frame dy_band = band_frame(&dy, 0, band_lines(&dy, phase_lines(&back), 1), phase_lines(&back), 1);
	int64_t frames = most(weight_images(c, &x, n) * frame_floats(&x_band) + POSITIONS * 2 * pare_tile()->width, pass_images(&back, n) * frame_floats(&dy_band));

	if (depthwise(c))
		return (size_t)(pare_window_product(c->w.kernel) * c->groups);
	if (pare_conv_winograd(c))
		return pare_conv_winograd_scratch(c, n);
	if (pare_conv_scatters(c))
		frames = most(frames, (int64_t)pare_conv_scatter_scratch(c, n));
	return (size_t)(frames + pare_window_product(c->w.kernel) * c->in_channels * padded(c->out_channels));
}

void pare_conv_last_forward(const struct pare_conv *c, int64_t n, const float *x, const float *packed, bool acc,
    const struct pare_conv_finish *finish, float *y, float *scratch)
{
	int64_t lines = n;
	struct pare_conv f = pointwise(c) ? flat(c, &lines) : *c, rest = rest_of(c, &f, n, lines);
	struct pass pass = forward_pass(&f);
	struct pare_conv_finish last = finish != NULL ? *finish : (struct pare_conv_finish){0};

	if (depthwise(c)) {
		pare_conv_lanes_forward(c, n, x, packed, acc, finish, y);
		return;
	}
	if (pare_conv_winograd(c)) {
		pare_conv_winograd_forward(c, n, x, packed, acc, finish, y, scratch);
		return;
	}
	run(&f, &pass, true, lines, x, packed, acc, finish, y, scratch);
	if (!pointwise(c) || rest.w.in[2] == 0)
		return;
	pass = forward_pass(&rest);
	last.add = last.add != NULL ? last.add + lines * f.w.out[2] * c->out_channels : NULL;
	run(&rest, &pass, true, 1, x + lines * f.w.in[2] * c->in_channels, packed, acc, finish != NULL ? &last : NULL,
	    y + lines * f.w.out[2] * c->out_channels, scratch);
}

void pare_conv_last_grad_input(const struct pare_conv *c, int64_t n, const float *packed, const float *dy, bool acc,
    const struct pare_conv_finish *finish, float *dx, float *scratch)
{
	struct pare_conv t = *c;
	struct pass pass = gradient_pass(c);

	if (depthwise(c)) {
		pare_conv_lanes_grad_input(c, n, packed, dy, acc, finish, dx);
		return;
	}
	if (pare_conv_winograd(c)) {
		pare_conv_winograd_grad_input(c, n, packed, dy, acc, finish, dx, scratch);
		return;
	}
	if (pare_conv_scatters(c)) {
		pare_conv_scatter_grad_input(c, n, packed, dy, acc, finish, dx, scratch);
		return;
	}
	if (pointwise(c)) {
		t.in_channels = c->out_channels;
		t.out_channels = c->in_channels;
		pare_conv_last_forward(&t, n, dy, packed, acc, finish, dx, scratch);
		return;
	}
	run(c, &pass, false, n, dy, packed, acc, finish, dx, scratch);
}

/* --- weights */

/* Where positions [first, first + n) of a group stand, counted through its images and their `lines`. */
static void locate(const struct pare_conv *c, const struct frame *f, int64_t lines, int64_t first, int64_t n, int64_t *x, int64_t *dy)
{
	const struct pare_window *w = &c->w;
	int64_t col = first % w->out[2], row = first / w->out[2] % lines, image = first / w->out[2] / lines;

	for (int64_t i = 0; i < n; i++) {
		x[i] = image * frame_floats(f) + (row * w->stride[1] * f->cols + col * w->stride[2]) * c->in_channels;
		dy[i] = ((image * w->out[1] + row) * w->out[2] + col) * c->out_channels;
		if (++col < w->out[2])
			continue;
		col = 0;
		image += ++row == lines;
		row = row == lines ? 0 : row;
	}
}

/* All rows k = (tap, input channel) of a block's sums. Taps of a line that are neighbours in memory are one run. */
static void outer_block(const struct pare_conv *c, const struct frame *f, const struct pare_outer *o, const float *x, const float *dy, float *dw)
{
	const struct pare_tile_kernels *k = pare_tile();
	const struct pare_window *w = &c->w;
	bool joined = w->dilation[2] == 1;
	int64_t in = c->in_channels, run = joined ? w->kernel[2] * in : in, cols = joined ? 1 : w->kernel[2];

	for (int64_t i = 0; i < w->kernel[1] * cols; i++, dw += run * o->vectors * k->width)
		k->outer(o, run, x + (i / cols * w->dilation[1] * f->cols + i % cols * w->dilation[2]) * in, dy, dw);
}

/* dw as blocks of output channels, each [k][width], of some lines of one group of images. block: room for dy of POSITIONS. */
static void outer_group(const struct pare_conv *c, const struct frame *f, int64_t images, int64_t lines, const float *x, const float *dy, float *dw, float *block)
{
	const struct pare_tile_kernels *k = pare_tile();
	int64_t rows = pare_window_product(c->w.kernel) * c->in_channels, out = c->out_channels, all = images * lines * c->w.out[2];
	int64_t parts = (all + POSITIONS - 1) / POSITIONS;
	int64_t x_at[POSITIONS], dy_at[POSITIONS];

	for (int64_t i = 0; i < parts; i++) {
		int64_t begin = all * i / parts;
		struct pare_outer o = {.n = all * (i + 1) / parts - begin, .off = x_at};

		locate(c, f, lines, begin, o.n, x_at, dy_at);
		for (int64_t first = 0, width; first < out; first += width) {
			width = block_width(out, first);
			o.vectors = (int)(width / k->width);
			k->gather(o.n, dy_at, o.vectors, least(width, out - first) - width + k->width, dy + first, block);
			outer_block(c, f, &o, x, block, dw + rows * first);
		}
	}
}

static inline void unpack_channel(int64_t taps, int64_t step, const float *from, bool acc, float *dw)
{
	for (int64_t t = 0; t < taps; t++)
		dw[t] = acc ? dw[t] + from[t * step] : from[t * step];
}

/* Blocks of dw to ONNX's order, in squares of channels that the first cache holds on both sides. */
static void unpack(const struct pare_conv *c, const float *from, bool acc, float *dw)
{
	int64_t taps = pare_window_product(c->w.kernel), in = c->in_channels, out = c->out_channels;

	for (int64_t first = 0, width; first < out; first += width) {
		const float *block = from + first * taps * in;

		width = block_width(out, first);
		for (int64_t i = 0; i < in; i += STRETCH)
			for (int64_t k = first; k < least(first + width, out); k++)
				for (int64_t j = i; j < least(i + STRETCH, in); j++)
					unpack_channel(taps, in * width, block + j * width + k - first, acc, dw + (k * in + j) * taps);
	}
}

static void weight_groups(const struct pare_conv *c, int64_t n, const float *x, const float *dy, float *sums, float *block)
{
	struct frame f = input_frame(c);
	float *frames = block + POSITIONS * 2 * pare_tile()->width;
	int64_t images = weight_images(c, &f, n);
	int64_t lines = c->w.out[1], band = band_lines(&f, lines, c->w.stride[1]);
	struct plane in = input_plane(c), out = output_plane(c);

	for (int64_t b = 0; b < n; b += images)
		for (int64_t first = 0; first < lines; first += band) {
			int64_t k = least(images, n - b), count = least(band, lines - first);
			struct frame part = band_frame(&f, first, count, lines, c->w.stride[1]);
			const float *from = enter(&part, k, x + b * image_floats(&in), frames);

			outer_group(c, &part, k, count, from, dy + b * image_floats(&out) + first * out.cols * out.channels, sums, block);
		}
}

void pare_conv_last_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch)
{
	int64_t lines = n, taps = pare_window_product(c->w.kernel);
	int64_t n_sums = taps * c->in_channels * padded(c->out_channels);
	struct pare_conv f = pointwise(c) ? flat(c, &lines) : *c, rest = rest_of(c, &f, n, lines);

	if (depthwise(c)) {
		pare_conv_lanes_grad_weight(c, n, x, dy, acc, dw, scratch);
		return;
	}
	if (pare_conv_winograd(c)) {
		pare_conv_winograd_grad_weight(c, n, x, dy, acc, dw, scratch);
		return;
	}
	memset(scratch, 0, (size_t)n_sums * sizeof *scratch);
	weight_groups(&f, lines, x, dy, scratch, scratch + n_sums);
	if (pointwise(c) && rest.w.in[2] > 0)
		weight_groups(&rest, 1, x + lines * f.w.in[2] * c->in_channels, dy + lines * f.w.out[2] * c->out_channels, scratch, scratch + n_sums);
	unpack(c, scratch, acc, dw);
}

#define LANES 64

PARE_MULTIARCH static void add_rows(int64_t rows, int64_t channels, int64_t n, const float *dy, float *restrict lane)
{
	memset(lane, 0, LANES * sizeof *lane);
	for (int64_t r = 0; r < rows; r++)
		for (int64_t j = 0; j < n; j++)
			lane[j] += dy[r * channels + j];
}

void pare_conv_last_grad_bias(int64_t rows, int64_t channels, const float *dy, bool acc, float *db)
{
	for (int64_t c = 0; c < channels; c += LANES) {
		int64_t n = least(LANES, channels - c);
		double sum[LANES] = {0};
		float lane[LANES];

		for (int64_t r = 0; r < rows; r += 256) {
			add_rows(least(256, rows - r), channels, n, dy + r * channels + c, lane);
			for (int64_t j = 0; j < n; j++)
				sum[j] += (double)lane[j];
		}
		for (int64_t j = 0; j < n; j++)
			db[c + j] = (acc ? db[c + j] : 0.0f) + (float)sum[j];
	}
}
