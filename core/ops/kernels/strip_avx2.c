/* Six rows of two vectors are the twelve sums that sixteen registers leave room for. The loop over c is written as it should be
 * compiled: one pointer per row and one index that all of them share. Unrolled by hand, or with the rows' distances as further
 * registers, gcc spills sums. It reaches 97 % of the peak from the first cache (bench/kernels.c); OpenBLAS 0.3.21 and the tiles of
 * convolution 87 %. */
#include "core/ops/kernels/strip.h"

#if defined(__x86_64__)
#define PARE_SIMD 256
#include "core/ops/kernels/simd.h"

#define ROWS 6
#define UNROLL _Pragma("GCC unroll 16")

/* whole: all lanes are columns, and the mask is not looked at. */
SIMD_INLINE vec lane_load(bool whole, const float *p, vmask m)
{
	return whole ? vload(p) : vload_part(p, m);
}

/* What stands in y, bias and add are added, then the clamp is applied. */
SIMD_INLINE void finish(const int P, const int V, bool whole, const struct pare_strip *s, vec sum[ROWS][2], float *y, const float *add)
{
	vmask m = vmask_first(s->tail);
	bool clamp = s->finish != NULL && s->finish->clamp, biased = s->finish != NULL && s->finish->bias != NULL;
	vec lo = vset(clamp ? s->finish->lo : 0.0f), hi = vset(clamp ? s->finish->hi : 0.0f);

	UNROLL
	for (int v = 0; v < V; v++) {
		bool full = whole || v + 1 < V;
		vec bias = biased ? lane_load(full, s->finish->bias + v * SIMD_WIDTH, m) : vset(0.0f);

		UNROLL
		for (int p = 0; p < P; p++) {
			int64_t at = p * s->ys + v * SIMD_WIDTH;
			vec r = sum[p][v];

			if (s->acc)
				r = vadd(r, lane_load(full, y + at, m));
			if (biased)
				r = vadd(r, bias);
			if (add != NULL)
				r = vadd(r, lane_load(full, add + at, m));
			if (clamp)
				r = vclamp(r, lo, hi);
			if (full)
				vstore(y + at, r);
			else
				vstore_part(y + at, m, r);
		}
	}
}

SIMD_INLINE void tile(const int P, const int V, const struct pare_strip *s, int64_t k, const float *a, const float *panel, float *y, const float *add)
{
	const float *row[ROWS];
	vec sum[ROWS][2];

	UNROLL
	for (int p = 0; p < P; p++) {
		row[p] = a + p * s->row;
		UNROLL
		for (int v = 0; v < V; v++)
			sum[p][v] = vset(0.0f);
	}
	for (int64_t c = 0, at = 0, step = s->step; c < k; c++, at += step, panel += V * SIMD_WIDTH) {
		vec b[2];

		UNROLL
		for (int v = 0; v < V; v++)
			b[v] = vload(panel + v * SIMD_WIDTH);
		UNROLL
		for (int p = 0; p < P; p++) {
			vec x = vset(row[p][at]);

			UNROLL
			for (int v = 0; v < V; v++)
				sum[p][v] = vfma(x, b[v], sum[p][v]);
		}
	}
	if (s->tail == SIMD_WIDTH)
		finish(P, V, true, s, sum, y, add);
	else
		finish(P, V, false, s, sum, y, add);
}

#define TILE_CASE(P) \
	case P: \
		if (s->vectors == 2) \
			tile(P, 2, s, k, a, panel, y, add); \
		else \
			tile(P, 1, s, k, a, panel, y, add); \
		break;

SIMD_TARGET static void tile_of(int64_t rows, const struct pare_strip *s, int64_t k, const float *a, const float *panel, float *y, const float *add)
{
	switch (rows) {
		TILE_CASE(1)
		TILE_CASE(2)
		TILE_CASE(3)
		TILE_CASE(4)
		TILE_CASE(5)
		TILE_CASE(6)
	}
}

/* Tiles of nearly equal size: a short last one would leave registers empty. */
static void mul(const struct pare_strip *s, int64_t m, int64_t k, const float *a, const float *panel, float *y, const float *add)
{
	int64_t tiles = (m + ROWS - 1) / ROWS;

	for (int64_t i = 0, at = 0; i < tiles; i++) {
		int64_t end = m * (i + 1) / tiles;

		tile_of(end - at, s, k, a + at * s->row, panel, y + at * s->ys, add != NULL ? add + at * s->ys : NULL);
		at = end;
	}
}

SIMD_TARGET static void four(const struct pare_strip *s, int64_t k, const float *a, const float *panels, int64_t apart, float *y, const float *add)
{
	const float *panel[4];
	vec sum[4][ROWS][2];

	UNROLL
	for (int i = 0; i < 4; i++) {
		panel[i] = panels + i * apart;
		sum[i][0][0] = sum[i][0][1] = vset(0.0f);
	}
	for (int64_t c = 0, at = 0; c < k; c++, at += PARE_STRIP_WIDTH) {
		vec x = vset(a[c * s->step]);

		UNROLL
		for (int i = 0; i < 4; i++) {
			sum[i][0][0] = vfma(x, vload(panel[i] + at), sum[i][0][0]);
			sum[i][0][1] = vfma(x, vload(panel[i] + at + SIMD_WIDTH), sum[i][0][1]);
		}
	}
	UNROLL
	for (int i = 0; i < 4; i++) {
		int64_t first = i * PARE_STRIP_WIDTH;
		struct pare_conv_finish there = s->finish != NULL ? *s->finish : (struct pare_conv_finish){0};
		struct pare_strip part = {.acc = s->acc, .finish = s->finish != NULL ? &there : NULL, .tail = SIMD_WIDTH};

		there.bias = there.bias != NULL ? there.bias + first : NULL;
		finish(1, 2, true, &part, sum[i], y + first, add != NULL ? add + first : NULL);
	}
}

/* Eight rows of b, which are columns of the panel, by eight steps. */
SIMD_TARGET static inline void transpose_eight(const float *b, int64_t column, __m256 factor, float *panel, int64_t width)
{
	__m256 r[8], t[8];

	UNROLL
	for (int i = 0; i < 8; i++)
		r[i] = _mm256_mul_ps(_mm256_loadu_ps(b + i * column), factor);
	UNROLL
	for (int i = 0; i < 8; i += 2) {
		t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
		t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
	}
	UNROLL
	for (int i = 0; i < 8; i += 4) {
		r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
		r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
		r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
		r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
	}
	UNROLL
	for (int i = 0; i < 4; i++) {
		_mm256_storeu_ps(panel + i * width, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
		_mm256_storeu_ps(panel + (i + 4) * width, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
	}
}

/* Eight columns of the panel. */
SIMD_TARGET static void pack_eight(int64_t k, int64_t filled, int64_t width, const float *b, int64_t step, int64_t column, float factor, float *panel)
{
	__m256 f = vset(factor);
	vmask m = vmask_first(filled);
	int64_t c = 0;

	if (column == 1) {
		for (; c < k; c++)
			vstore(panel + c * width, _mm256_mul_ps(f, filled == 8 ? vload(b + c * step) : vload_part(b + c * step, m)));
		return;
	}
	for (; filled == 8 && step == 1 && c + 8 <= k; c += 8)
		transpose_eight(b + c, column, f, panel + c * width, width);
	for (; c < k; c++)
		for (int64_t j = 0; j < 8; j++)
			panel[c * width + j] = j < filled ? factor * b[c * step + j * column] : 0.0f;
}

static void pack(int64_t k, int64_t filled, int64_t width, const float *b, int64_t step, int64_t column, float factor, float *panel)
{
	for (int64_t j = 0; j < width; j += 8)
		pack_eight(k, filled - j < 8 ? filled - j : 8, width, b + j * column, step, column, factor, panel + j);
}

static const struct pare_strip_kernels kernels = {.mul = mul, .four = four, .pack = pack};

const struct pare_strip_kernels *pare_strip(void)
{
	return pare_tile() == &pare_tile_avx2 ? &kernels : NULL;
}
#else
#include <stddef.h>

const struct pare_strip_kernels *pare_strip(void)
{
	return NULL;
}
#endif
