/* grad_input the other way round: every output's share of dx is computed at once, a row of taps with their channels, and
 * added to where it belongs.
 *
 *   share[o][t, c] = sum over m   dy[o][m] w[m][c][t]        dx[o stride + t dilation] += share[o][t]
 *
 * With the channels last a line of taps is one contiguous run on both sides. The gathering form (conv_last.c) computes as
 * many positions as dx has and multiplies zeros beyond the borders of dy, which costs nothing where the two are of one size;
 * a 5x5 kernel without padding on 12x12 makes it 144 positions instead of 64. */
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/conv_last.h"

#define POSITIONS 64 /* of outputs at a time, at least */

static int64_t shares(const struct pare_conv *c)
{
	return pare_window_product(c->w.kernel) * c->in_channels;
}

static int64_t block_width(int64_t all, int64_t first)
{
	int64_t width = pare_tile()->width, left = (all - first + width - 1) / width * width;

	return left < 2 * width ? left : 2 * width;
}

/* Where dx has a quarter more positions than dy has, and no share falls outside. */
bool pare_conv_scatters(const struct pare_conv *c)
{
	const struct pare_window *w = &c->w;

	return c->groups == 1 && w->pad[1] == 0 && w->pad[2] == 0 && w->stride[1] == 1 && w->stride[2] == 1 && w->dilation[2] == 1 &&
	    4 * w->in[1] * w->in[2] > 5 * w->out[1] * w->out[2] && (w->out[1] - 1) + (w->kernel[1] - 1) * w->dilation[1] < w->in[1] &&
	    (w->out[2] - 1) + (w->kernel[2] - 1) < w->in[2];
}

static int64_t group_images(const struct pare_conv *c, int64_t n)
{
	int64_t g = (POSITIONS + c->w.out[1] * c->w.out[2] - 1) / (c->w.out[1] * c->w.out[2]);

	return g < n ? g : n;
}

size_t pare_conv_scatter_scratch(const struct pare_conv *c, int64_t n)
{
	return (size_t)(group_images(c, n) * c->w.out[1] * c->w.out[2] * shares(c));
}

void pare_conv_scatter_pack(const struct pare_conv *c, const float *w, const float *scale, float *packed)
{
	int64_t taps = pare_window_product(c->w.kernel), all = shares(c);

	for (int64_t first = 0, width; first < all; first += width) {
		width = block_width(all, first);
		for (int64_t m = 0; m < c->out_channels; m++)
			for (int64_t i = 0; i < width; i++) {
				int64_t k = first + i;

				*packed = k < all ? w[(m * c->in_channels + k % c->in_channels) * taps + k / c->in_channels] : 0.0f;
				*packed++ *= scale != NULL ? scale[k % c->in_channels] : 1.0f;
			}
	}
}

PARE_MULTIARCH static void add_shares(const struct pare_conv *c, const float *share, float *dx)
{
	const struct pare_window *w = &c->w;
	int64_t run = w->kernel[2] * c->in_channels;

	for (int64_t o = 0; o < w->out[1] * w->out[2]; o++)
		for (int64_t t = 0; t < w->kernel[1]; t++, share += run) {
			float *to = dx + ((o / w->out[2] + t * w->dilation[1]) * w->in[2] + o % w->out[2]) * c->in_channels;

			for (int64_t i = 0; i < run; i++)
				to[i] += share[i];
		}
}

static void finish_rows(int64_t rows, int64_t channels, const struct pare_conv_finish *f, const float *add, float *y)
{
	for (int64_t i = 0; i < rows * channels; i++) {
		float v = y[i] + (f->bias != NULL ? f->bias[i % channels] : 0.0f) + (add != NULL ? add[i] : 0.0f);

		v = f->clamp && v < f->lo ? f->lo : v;
		y[i] = f->clamp && v > f->hi ? f->hi : v;
	}
}

void pare_conv_scatter_grad_input(const struct pare_conv *c, int64_t n, const float *packed, const float *dy, bool acc,
    const struct pare_conv_finish *finish, float *dx, float *scratch)
{
	const struct pare_tile_kernels *k = pare_tile();
	int64_t out = c->w.out[1] * c->w.out[2], in = c->w.in[1] * c->w.in[2] * c->in_channels, all = shares(c), images = group_images(c, n);
	const struct pare_segment_run whole = {.len = c->out_channels};
	struct pare_dot d = {.segments = &whole, .n_segments = 1, .xs = c->out_channels, .ys = all};

	if (!acc)
		memset(dx, 0, (size_t)(n * in) * sizeof *dx);
	for (int64_t b = 0; b < n; b += images) {
		int64_t count = n - b < images ? n - b : images;
		const float *w = packed;

		for (int64_t first = 0, width; first < all; first += width, w += c->out_channels * width) {
			width = block_width(all, first);
			d.vectors = (int)(width / k->width);
			d.tail = (first + width > all ? all - first : width) - width + k->width;
			k->dot(&d, count * out, dy + b * out * c->out_channels, w, scratch + first, NULL);
		}
		for (int64_t i = 0; i < count; i++)
			add_shares(c, scratch + i * out * all, dx + (b + i) * in);
	}
	if (finish != NULL)
		finish_rows(n * c->w.in[1] * c->w.in[2], c->in_channels, finish, finish->add, dx);
}
