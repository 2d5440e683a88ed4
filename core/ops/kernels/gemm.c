/* OpenBLAS behind one function. Its own threads stay off: two pools on the same cores collapse (measured: down to a
 * tenth of the speed), and its split of a product among threads would make the result depend on their number.
 *
 * A product with one row (inference of a single example) goes to the matrix-vector routine, which does not pack the
 * matrix first. The rule looks at the shape only, so the same job takes the same kernel on every run. */
#include "core/ops/kernels/gemm.h"

#include <cblas.h>
#include <string.h>

void pare_gemm_init(void)
{
	openblas_set_num_threads(1);
}

static void scale(float beta, float *c, int64_t m, int64_t n, int64_t ldc)
{
	for (int64_t i = 0; i < m; i++, c += ldc)
		if (beta == 0.0f)
			memset(c, 0, (size_t)n * sizeof *c);
		else if (beta != 1.0f)
			cblas_sscal((int)n, beta, c, 1);
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
