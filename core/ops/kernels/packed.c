/* A panel of a packed matrix is two vectors of columns wide, which is what the tiles of conv_tile.h read, or what the strips of strip.h
 * take. BLAS packs its right side on every call: with the few rows of a batch that meet R at a step this costs as much as a
 * third of the product. A part of a panel stays in the first cache while the rows go by, and as many rows go by as stay in
 * the second until the last panel has met them. */
#include "core/ops/kernels/packed.h"

#include "core/ops/kernels/strip.h"

#define PACKED_ONCE 262144 /* 1 MiB */
#define BLOCK_FLOATS 32768 /* of a: 128 KiB */
#define BLOCK_ROWS 28      /* at least: fewer would read panels too often */

static int64_t padded(int64_t n)
{
	int64_t width = pare_tile()->width;

	return (n + width - 1) / width * width;
}

int64_t pare_panel_width(int64_t n, int64_t first)
{
	int64_t most = 2 * pare_tile()->width, left = padded(n - first);

	if (pare_strip() != NULL)
		return pare_strip_panel(pare_strip(), n - first);
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

		width = pare_panel_width(n, first);
		filled = n - first < width ? n - first : width;
		if (pare_strip() != NULL) {
			pare_strip()->pack(k, filled, width, b + first * n_step, k_step, n_step, 1.0f, out);
			out += k * width;
			continue;
		}
		for (int64_t i = 0; i < k; i++, out += width)
			for (int64_t j = 0; j < width; j++)
				out[j] = j < filled ? b[i * k_step + (first + j) * n_step] : 0.0f;
	}
}

/* Parts of nearly equal size, none above `most`: where part i of n ends. */
static int64_t part_end(int64_t n, int64_t most, int64_t i)
{
	return n * (i + 1) / ((n + most - 1) / most);
}

/* One panel, in parts of k that stay in the first cache. */
static void panel_dot(struct pare_dot *d, int64_t m, int64_t k, int64_t width, const float *a, const float *panel, const struct pare_conv_finish *finish,
    float *c)
{
	struct pare_segment_run run = {.off = 0};

	/* cppcheck-suppress autoVariables ; d is of this call alone: who owns it does not look at its segments */
	d->segments = &run;
	d->n_segments = 1;
	for (int64_t i = 0, at = 0; at < k; at += run.len) {
		run.len = part_end(k, pare_strip_rows(width), i++) - at;
		d->finish = at + run.len == k ? finish : NULL;
		pare_tile()->dot(d, m, a + at, panel + at * width, c, finish != NULL ? finish->add : NULL);
		d->acc = true;
	}
}

/* The same by strips: of one panel, or of one row and four whole ones. */
static void panel_strip(struct pare_strip *s, int64_t m, int64_t k, int64_t width, bool four, const float *a, const float *panel,
    const struct pare_conv_finish *finish, float *c)
{
	for (int64_t i = 0, at = 0, end; at < k; at = end) {
		end = part_end(k, pare_strip_rows(width), i++);
		s->finish = end == k ? finish : NULL;
		if (four)
			pare_strip()->four(s, end - at, a + at, panel + at * width, k * width, c, s->finish != NULL ? finish->add : NULL);
		else
			pare_strip()->mul(s, m, end - at, a + at, panel + at * width, c, s->finish != NULL ? finish->add : NULL);
		s->acc = true;
	}
}

/* Rows that stay in the second cache. */
static void block_mul(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *packed, const struct pare_conv_finish *finish, float *c,
    int64_t ldc, bool acc)
{
	int64_t vector = pare_tile()->width;

	for (int64_t first = 0, width; first < n; first += width) {
		struct pare_conv_finish part = finish != NULL ? *finish : (struct pare_conv_finish){0};
		const struct pare_conv_finish *then = finish != NULL ? &part : NULL;
		int vectors;
		int64_t tail;

		part.bias = part.bias != NULL ? part.bias + first : NULL;
		part.add = part.add != NULL ? part.add + first : NULL;
		width = pare_panel_width(n, first);
		vectors = (int)(width / vector);
		tail = (n - first < width ? n - first : width) - width + vector;
		if (pare_strip() != NULL) {
			struct pare_strip s = {.row = lda, .step = 1, .apart = width, .ys = ldc, .vectors = vectors, .tail = tail, .acc = acc};
			int64_t whole = pare_strip()->width;
			bool four = m == 1 && width == whole && n - first >= 4 * whole && pare_panel_width(n, first + 3 * whole) == whole;

			panel_strip(&s, m, k, width, four, a, packed, then, c + first);
			width *= four ? 4 : 1;
		} else {
			struct pare_dot d = {.xs = lda, .ys = ldc, .vectors = vectors, .tail = tail, .acc = acc};

			panel_dot(&d, m, k, width, a, packed, then, c + first);
		}
		packed += k * width;
	}
}

void pare_packed_mul(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *packed, const struct pare_conv_finish *finish, float *c,
    int64_t ldc, bool acc)
{
	int64_t most = k * BLOCK_ROWS < BLOCK_FLOATS ? BLOCK_FLOATS / (k > 0 ? k : 1) : BLOCK_ROWS;
	struct pare_conv_finish part = finish != NULL ? *finish : (struct pare_conv_finish){0};

	for (int64_t at = 0; at < m; at += most) {
		part.add = finish != NULL && finish->add != NULL ? finish->add + at * ldc : NULL;
		block_mul(m - at < most ? m - at : most, n, k, a + at * lda, lda, packed, finish != NULL ? &part : NULL, c + at * ldc, ldc, acc);
	}
}

/* Not where much of a panel is filling, nor for many long rows, of which too few stay in the second cache. */
bool pare_packed_pays(int64_t m, int64_t n, int64_t k)
{
	return pare_tile() != &pare_tile_plain && k > 0 && 3 * padded(n) <= 4 * n && (k < 1024 || m < 128);
}

/* With rows enough that pare_gemm would pack, or clear, several times. */
bool pare_packing_pays(int64_t m, int64_t n, int64_t k)
{
	return pare_strip() != NULL && m >= 512 && n >= 64 && k >= 64 && n * k <= PACKED_ONCE;
}
