/* How much to take from each layer so that all of them together come down to a given size at the least harm. */
#ifndef PARE_PRUNE_ALLOCATE_H
#define PARE_PRUNE_ALLOCATE_H

#include "core/base/err.h"

/* What it harms to prune one layer alone. */
#define PARE_CURVE_MAX 16
struct pare_curve {
	double cost; /* of the whole layer, in the unit of the size: its weights, its multiply-accumulates; > 0 */
	int n;
	double left[PARE_CURVE_MAX]; /* shares of the layer that are left, falling from 1 */
	double harm[PARE_CURVE_MAX]; /* the loss then, above that of the whole layer; [0] is 0; noise is smoothed away */
};

/* out_left[i]: the share that stays of layer i, such that sum cost * left = share * sum cost and the sum of harms is least; harm is
 * taken for convex, and for straight between the points. Where share asks for less than all last points together, every layer is
 * brought below its own by the same factor. A smaller share leaves no layer more than a larger one does. 0 < share <= 1. */
PARE_MUST_USE enum pare_code pare_allocate(const struct pare_curve *curves, int n, double share, double *out_left, struct pare_err *err);

/* Erdos-Renyi kernel: layers of sizes[i] weights whose dimensions add up to sums[i] keep shares in proportion to sums / sizes, none more than
 * all, and `sparsity` of the weights of all together goes (Mocanu et al. 2018; Evci et al. 2020). out_sparsity[i]: of each layer. */
void pare_erk(const double *sizes, const double *sums, int n, double sparsity, double *out_sparsity);

#endif
