/* Pixels move as runs: an image is `planes` planes of h rows of w pixels, a pixel being one float (channels first) or all of its
 * channels (channels last), and moving it by (dy, dx) is a copy of each row of pixels with its ends filled. Zero is what fills after a
 * crop: black where 8-bit data are divided by 255, the mean where data are standardised. */
#include "core/train/augment.h"

#include <string.h>

#include "core/base/rng.h"

struct image {
	size_t planes, h, w, c; /* c floats a pixel */
};

static bool image_of(const struct pare_augment *a, const struct pare_net *net, int i, struct image *out)
{
	int64_t d[PARE_MAX_DIMS];
	int n;

	(void)pare_net_input_shape(net, i, &n, d);
	if (n != 4)
		return false;
	if (a->channels_last)
		*out = (struct image){1, (size_t)d[1], (size_t)d[2], (size_t)d[3]};
	else
		*out = (struct image){(size_t)d[1], (size_t)d[2], (size_t)d[3], 1};
	return out->h > 0 && out->w > 0;
}

enum pare_code pare_augment_check(const struct pare_augment *a, const struct pare_net *net, const struct pare_fit *fit, struct pare_err *err)
{
	struct image im;
	bool any = false;

	for (int i = 0; i < pare_net_n_inputs(net); i++)
		any |= image_of(a, net, i, &im);
	if (!any)
		return pare_err_set(err, PARE_E_INVALID, NULL, "augmentation is for images: no input of the model has the shape [N, %s]", a->channels_last ? "H, W, C" : "C, H, W");
	for (int i = 0; i < fit->n_outputs; i++)
		if (fit->outputs[i].task == PARE_TASK_SEQUENCE)
			return pare_err_set(err, PARE_E_INVALID, NULL, "augmentation moves images, and the labels of output \"%s\" would have to move along", fit->outputs[i].name);
	return PARE_OK;
}

uint64_t pare_augment_seed(uint64_t seed, int stage, int epoch)
{
	struct pare_rng rng;

	pare_rng_init(&rng, seed, "augment", (uint64_t)(uint32_t)stage << 32 | (uint32_t)epoch);
	return pare_rng_u64(&rng);
}

/* Pixel (y, x) of the plane becomes what was at (y + dy, x + dx). */
static void move_plane(const struct image *im, int dy, int dx, bool edges, float *plane, float *old)
{
	long h = (long)im->h, w = (long)im->w, from = dx > 0 ? dx : 0, to = dx > 0 ? 0 : -dx, keep = w - (dx > 0 ? dx : -dx);

	memcpy(old, plane, im->h * im->w * im->c * sizeof *old);
	for (long y = 0; y < h; y++) {
		long sy = y + dy < 0 ? 0 : y + dy >= h ? h - 1 : y + dy;
		float *row = plane + (size_t)(y * w) * im->c;
		const float *src = old + (size_t)(sy * w) * im->c;

		if (!edges)
			memset(row, 0, im->w * im->c * sizeof *row);
		if (!edges && sy != y + dy)
			continue;
		if (keep > 0)
			memcpy(row + (size_t)to * im->c, src + (size_t)from * im->c, (size_t)keep * im->c * sizeof *row);
		for (long x = 0; edges && x < w; x++)
			if (x + dx < 0 || x + dx >= w)
				memcpy(row + (size_t)x * im->c, src + (x + dx < 0 ? 0 : (size_t)(w - 1) * im->c), im->c * sizeof *row);
	}
}

static void flip_plane(const struct image *im, float *plane, float *pixel)
{
	for (size_t y = 0; y < im->h; y++)
		for (size_t x = 0; x < im->w / 2; x++) {
			float *a = plane + (y * im->w + x) * im->c, *b = plane + (y * im->w + im->w - 1 - x) * im->c;

			memcpy(pixel, a, im->c * sizeof *pixel);
			memcpy(a, b, im->c * sizeof *pixel);
			memcpy(b, pixel, im->c * sizeof *pixel);
		}
}

static int draw_step(struct pare_rng *rng, int most)
{
	return (int)(pare_rng_u64(rng) % (2 * (uint64_t)most + 1)) - most;
}

void pare_augment_rows(const struct pare_augment *a, const struct pare_net *net, int i, uint64_t seed, const uint32_t *row_ids, size_t n, float *x, float *scratch)
{
	struct image im;
	size_t plane;

	if (!image_of(a, net, i, &im))
		return;
	plane = im.h * im.w * im.c;
	for (size_t k = 0; k < n; k++, x += im.planes * plane) {
		int cy, cx, sy, sx;
		struct pare_rng rng;
		bool flip;

		/* all are drawn whether wanted or not: one option does not change what another draws */
		pare_rng_init(&rng, seed, "augment row", row_ids[k]);
		flip = (pare_rng_u64(&rng) & 1) != 0;
		cy = draw_step(&rng, a->crop);
		cx = draw_step(&rng, a->crop);
		sy = draw_step(&rng, a->shift);
		sx = draw_step(&rng, a->shift);
		for (size_t p = 0; p < im.planes; p++) {
			if (cy != 0 || cx != 0)
				move_plane(&im, cy, cx, false, x + p * plane, scratch);
			if (sy != 0 || sx != 0)
				move_plane(&im, sy, sx, true, x + p * plane, scratch);
			if (a->flip && flip)
				flip_plane(&im, x + p * plane, scratch);
		}
	}
}

size_t pare_augment_scratch(const struct pare_net *net)
{
	int64_t d[PARE_MAX_DIMS];
	size_t most = 0, n;
	int n_dims;

	for (int i = 0; i < pare_net_n_inputs(net); i++) {
		n = pare_net_input_shape(net, i, &n_dims, d);
		most = n > most ? n : most;
	}
	return most;
}
