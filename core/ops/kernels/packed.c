/* A panel of a packed matrix is two vectors of columns wide and lies row after row, which is what the tiles of conv_tile.h
 * read. BLAS packs its right side on every call: with the few rows of a batch that meet R at a step this costs as much as a
 * third of the product. A part of a panel stays in the first cache while the rows go by. */
#include "core/ops/kernels/packed.h"

#include "core/ops/kernels/conv_tile.h"

#define CACHED_FLOATS 6144 /* of a panel: 24 KiB */

static int64_t padded(int64_t n)
{
	int64_t width = pare_tile()->width;

	return (n + width - 1) / width * width;
}

static int64_t panel_width(int64_t n, int64_t first)
{
	int64_t most = 2 * pare_tile()->width, left = padded(n - first);

	return left < most ? left : most;
}

size_t pare_packed_floats(int64_t k, int64_t n)
{
	return (size_t)(k * padded(n));
}

void pare_pack(bool tb, int64_t k, int64_t n, const float *b, float *out)
{
	int64_t k_step = tb ? 1 : n, n_step = tb ? k : 1;

	for (int64_t first = 0, width; first < n; first += width) {
		int64_t filled;

		width = panel_width(n, first);
		filled = n - first < width ? n - first : width;
		for (int64_t i = 0; i < k; i++, out += width)
			for (int64_t j = 0; j < width; j++)
				out[j] = j < filled ? b[i * k_step + (first + j) * n_step] : 0.0f;
	}
}

/* One panel, in parts of k that stay in the first cache. */
static void panel_mul(struct pare_dot *d, int64_t m, int64_t k, int64_t width, const float *a, const float *panel, const struct pare_conv_finish *finish,
    float *c)
{
	int64_t part = CACHED_FLOATS / width;
	struct pare_segment_run run = {.off = 0};

	d->segments = &run;
	d->n_segments = 1;
	for (int64_t at = 0; at < k; at += part) {
		run.len = k - at < part ? k - at : part;
		d->finish = at + run.len == k ? finish : NULL;
		pare_tile()->dot(d, m, a + at, panel + at * width, c, NULL);
		d->acc = true;
	}
}

void pare_packed_mul(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *packed, const float *bias, float *c, int64_t ldc, bool acc)
{
	int64_t vector = pare_tile()->width;

	for (int64_t first = 0, width; first < n; first += width) {
		struct pare_conv_finish finish = {.bias = bias != NULL ? bias + first : NULL};
		struct pare_dot d = {.xs = lda, .ys = ldc, .acc = acc};

		width = panel_width(n, first);
		d.vectors = (int)(width / vector);
		d.tail = (n - first < width ? n - first : width) - width + vector;
		panel_mul(&d, m, k, width, a, packed, bias != NULL ? &finish : NULL, c + first);
		packed += k * width;
	}
}
