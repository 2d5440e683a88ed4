/* Products with a weight matrix of which few elements are other than 0: y = x W^T, dx = dy W, dW where W may be non-zero.
 *
 * The work is done with the rows of the batch as vector lanes: operands are transposed in blocks of at most
 * PARE_SPARSE_ROWS rows, and each weight then is one multiply-add of a row of them. That costs two transpositions, which
 * do not depend on how many weights there are; below the densities of pare_sparse_pays the rest is saved several times over.
 * Sums run over the weights of a row in rising order, so the same structure gives the same bits. */
#ifndef PARE_KERNELS_SPARSE_H
#define PARE_KERNELS_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARE_SPARSE_ROWS 64

/* Where a matrix [rows, cols] may be non-zero. The values stay in the dense matrix. */
struct pare_sparse {
	int64_t rows, cols;
	size_t n;
	/* row r has the columns row_col[row_start[r] .. row_start[r + 1]), column c the rows col_row[col_start[c] ..) */
	uint32_t *row_start, *row_col;
	uint32_t *col_start, *col_row;
};

/* Floats that the functions below need for a product of at most m rows; 0 where they never pay. */
size_t pare_sparse_scratch(int64_t m, int64_t rows, int64_t cols);

/* Is a product of m rows with this many of rows * cols weights faster than the dense one? A rule that was measured
 * (bench/sparse.c), the same on every machine. */
bool pare_sparse_pays(int64_t m, int64_t rows, int64_t cols, size_t n);

/* W[rows, cols] is w with s its structure. by_row: x[m, cols], y[m, rows]: y = x W^T; else x[m, rows], y[m, cols]: y = x W.
 * bias (one per column of y) may be NULL; scale multiplies it. acc: add to y instead. */
void pare_sparse_product(const struct pare_sparse *s, const float *w, bool by_row, int64_t m, const float *x, const float *bias, float scale, bool acc,
    float *y, float *scratch);
/* dw (+)= a^T b where s may be non-zero, nothing elsewhere: a[m, rows], b[m, cols]. */
void pare_sparse_grad(const struct pare_sparse *s, int64_t m, const float *a, const float *b, bool acc, float *dw, float *scratch);

/* One instruction set's loops (sparse.inc); lanes is a multiple of 16. */
struct pare_sparse_kernels {
	/* y[r][lanes] = init[r] * scale + sum over k of w[r * outer + index[k] * inner] x[index[k]][lanes], for all n rows */
	void (*sum)(int64_t n, const uint32_t *start, const uint32_t *index, const float *w, int64_t outer, int64_t inner, int64_t lanes, const float *x,
	    const float *init, float scale, float *y);
	/* dw[r * cols + index[k]] (+)= a[r] . b[index[k]] */
	void (*dot)(int64_t n, const uint32_t *start, const uint32_t *index, int64_t cols, int64_t lanes, const float *a, const float *b, bool acc, float *dw);
	/* y[c][r] = x[r][c]; rows of x are xs long, of y ys */
	void (*turn)(int64_t rows, int64_t cols, const float *x, int64_t xs, float *y, int64_t ys);
};
extern const struct pare_sparse_kernels pare_sparse_avx512, pare_sparse_avx2, pare_sparse_plain;

#endif
