/* OpenBLAS behind one function, and on machines with AVX2 or AVX-512 strips of our own (strip.h) for all but large products: OpenBLAS packs
 * both sides and clears the result in a pass of its own, which with the 64 rows of a batch, or of a head, is up to a third of its time.
 * Its own threads stay off: two pools on the same cores collapse (measured: down to a tenth of the speed), and its split of a
 * product among threads would make the result depend on their number.
 *
 * A product with one row (inference of a single example) goes to the matrix-vector routine, which does not pack the
 * matrix first. The rules look at the shape only, so the same job takes the same kernel on every run of one machine. */
#include "core/ops/kernels/gemm.h"

#include <cblas.h>
#include <string.h>

#include "core/ops/kernels/strip.h"

#define K_PART 384      /* of a strip's panel, which stays in the first cache: 24 KiB, or 48 KiB with AVX-512 */
#define WIDEST 32       /* columns of a panel */
#define A_PART 65536    /* floats of a that stay in the second: 256 KiB */
#define DIRECT_ROWS 256 /* that meet a panel of b as it stands; with more of them, moving it first costs nothing */

void pare_gemm_init(void)
{
	openblas_set_num_threads(1);
}

const char *pare_gemm_core(void)
{
	return openblas_get_corename();
}

static void scale(float beta, float *c, int64_t m, int64_t n, int64_t ldc)
{
	for (int64_t i = 0; i < m; i++, c += ldc)
		if (beta == 0.0f)
			memset(c, 0, (size_t)n * sizeof *c);
		else if (beta != 1.0f)
			cblas_sscal((int)n, beta, c, 1);
}

/* Parts of nearly equal size, none above `most`: where part i of n ends. */
static int64_t part_end(int64_t n, int64_t most, int64_t i)
{
	return n * (i + 1) / ((n + most - 1) / most);
}

/* c[m, n] of one part of a and of k. */
static void strips(struct pare_strip *s, int64_t m, int64_t n, int64_t k, float alpha, const float *a, const float *b, int64_t b_step, int64_t b_column,
    float *c)
{
	_Alignas(64) float panel[K_PART * WIDEST];
	int64_t most = pare_strip()->width;
	bool direct = b_column == 1 && alpha == 1.0f && m <= DIRECT_ROWS;

	for (int64_t at = 0, width; at < n; at += width) {
		int64_t filled = n - at < most ? n - at : most;
		bool stands = direct && filled % (most / 2) == 0;

		s->vectors = filled > most / 2 ? 2 : 1;
		width = most / 2 * s->vectors;
		s->tail = filled - width + most / 2;
		s->apart = stands ? b_step : width;
		if (!stands)
			pare_strip()->pack(k, filled, width, b + at * b_column, b_step, b_column, alpha, panel);
		pare_strip()->mul(s, m, k, a, stands ? b + at : panel, c + at, NULL);
	}
}

static void by_strips(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
    float beta, float *c, int64_t ldc)
{
	struct pare_strip s = {.row = ta ? 1 : lda, .step = ta ? lda : 1, .ys = ldc, .acc = beta != 0.0f};
	int64_t b_step = tb ? 1 : ldb, b_column = tb ? ldb : 1;

	if (s.acc && beta != 1.0f)
		scale(beta, c, m, n, ldc);

	for (int64_t i = 0, from = 0, to; from < k; from = to) {
		to = part_end(k, K_PART, i++);
		for (int64_t j = 0, top = 0, bottom; top < m; top = bottom) {
			bottom = part_end(m, A_PART / (to - from), j++);
			strips(&s, bottom - top, n, to - from, alpha, a + top * s.row + from * s.step, b + from * b_step, b_step, b_column, c + top * ldc);
		}
		s.acc = true;
	}
}

/* Strips read a as it stands and move b, if at all, once for every part of a: that is less than BLAS does unless both are large. */
static bool strips_pay(int64_t m, int64_t k)
{
	return pare_strip() != NULL && (k <= K_PART || (m <= 384 && k <= 1024));
}

void pare_gemm_part(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
    float beta, float *c, int64_t ldc)
{
	if (m == 0 || n == 0)
		return;
	if (k == 0)
		scale(beta, c, m, n, ldc);
	else if (m == 1 && tb)
		cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)n, (int)k, alpha, b, (int)ldb, a, ta ? (int)lda : 1, beta, c, 1);
	else if (m == 1)
		cblas_sgemv(CblasRowMajor, CblasTrans, (int)k, (int)n, alpha, b, (int)ldb, a, ta ? (int)lda : 1, beta, c, 1);
	else if (strips_pay(m, k))
		by_strips(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
	else
		cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, alpha,
		    a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void pare_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, const float *b, float beta, float *c)
{
	pare_gemm_part(ta, tb, m, n, k, alpha, a, ta ? m : k, b, tb ? k : n, beta, c, n);
}

void pare_gemm_ref(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, const float *b, float beta, float *c)
{
	for (int64_t i = 0; i < m; i++)
		for (int64_t j = 0; j < n; j++) {
			double sum = 0;

			for (int64_t l = 0; l < k; l++)
				sum += (double)a[ta ? l * m + i : i * k + l] * (double)b[tb ? j * k + l : l * n + j];
			sum *= (double)alpha;
			if (beta != 0.0f)
				sum += (double)beta * (double)c[i * n + j];
			c[i * n + j] = (float)sum;
		}
}
