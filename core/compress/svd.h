/* The singular value decomposition a = sum_k s_k u_k v_k' of a matrix of weights, for factors of low rank.
 *
 * One-sided Jacobi: rows of the shorter side are turned in pairs until all are orthogonal; their lengths are then the singular values. In double
 * precision, in a fixed order, so that the same matrix gives the same bits. Source: Hestenes 1958; Demmel and Veselic 1992. */
#ifndef PARE_COMPRESS_SVD_H
#define PARE_COMPRESS_SVD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

struct pare_svd {
	size_t rows, cols;
	size_t n;       /* min(rows, cols) */
	size_t n_rank;  /* singular values that stand above the rounding of float32 */
	double energy;  /* sum of all squares */
	double *s;      /* n, descending */
	double *v;      /* n unit vectors of max(rows, cols): right singular vectors if cols >= rows, else left ones; zeros past n_rank */
};

/* a: rows x cols, row-major, finite. n^2 max(rows, cols) operations, some ten times over. PARE_E_CANCELED. *out is pare_svd_done's, also after an error. */
PARE_MUST_USE enum pare_code pare_svd_init(struct pare_svd *out, const float *a, size_t rows, size_t cols, const atomic_bool *cancel, struct pare_err *err);
void pare_svd_done(struct pare_svd *d);
/* The least rank whose squares make up that share of all; at most n_rank. */
size_t pare_svd_rank(const struct pare_svd *d, double share);
/* The share of all squares that so many singular values make up; 1 of a matrix of zeros. */
double pare_svd_share(const struct pare_svd *d, size_t rank);
/* a ~ left right, rows x rank and rank x cols, both as large as each other (each has the root of s): no matrix of that rank is nearer. rank <= n_rank. */
void pare_svd_factors(const struct pare_svd *d, const float *a, size_t rank, float *left, float *right);

#endif
