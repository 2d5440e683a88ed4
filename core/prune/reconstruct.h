/* Layer-wise reconstruction: after weights have gone, what is left of a layer is refitted so that its outputs on data stay as they
 * were. Needs no labels and no back-propagation.
 *
 *   min over w with the support of keep, for every output:  |X w0 - X' w|^2 / N + lambda |w|^2
 *
 * X: the layer's inputs in the dense model, X': in the pruned one, N rows; w0 the dense weights. The problem of one output is
 * quadratic with the matrix G = X'^T X' / N, the same for all outputs, restricted to the support of that output.
 * Sources: Hoerl and Kennard 1970 (ridge); Hestenes and Stiefel 1952 (conjugate directions); Dong et al. 2017, arXiv:1705.07565 (layer-wise
 * optimal brain surgeon); Meng et al. 2024, arXiv:2406.07831 (ALPS: PCG on the support). */
#ifndef PARE_PRUNE_RECONSTRUCT_H
#define PARE_PRUNE_RECONSTRUCT_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct pare_refit {
	int64_t n_in, n_out;
	const float *gram;   /* [n_in, n_in]: X'^T X' / N, symmetric */
	const float *rhs;    /* [n_out, n_in]: row o is X'^T X w0_o / N */
	const uint8_t *keep; /* [n_out, n_in]: 1 or 0 */
	float *w;            /* [n_out, n_in]: where to start; the result. Entries with keep 0 become 0 */
	double lambda;       /* >= 0; in units of the mean of gram's diagonal, so that it does not depend on the scale of the data */
	int max_iterations;
	double tolerance; /* of the residual's norm against that of the right side, by output */
};
struct pare_refit_result {
	int iterations;
	double residual; /* the largest of all outputs, relative to its right side */
};

/* Preconditioned (Jacobi) conjugate gradients, all outputs at once: one matrix product an iteration. An output that has converged rests.
 * PARE_E_NOMEM; PARE_E_NONFINITE when gram or rhs hold NaN or infinity (w is then as it was). */
PARE_MUST_USE enum pare_code pare_reconstruct(const struct pare_refit *p, struct pare_refit_result *out, struct pare_err *err);

/* The diagonal of (gram + damping * mean(diag) I)^-1, [n], by Cholesky in double: what removing a weight costs in the optimal brain
 * surgeon is w^2 / (2 diag). gram [n, n]. PARE_E_NONFINITE when the damped matrix is not positive definite. */
PARE_MUST_USE enum pare_code pare_inverse_diagonal(int64_t n, const float *gram, double damping, float *out, struct pare_err *err);

#endif
