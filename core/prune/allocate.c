/* Sizes by layer from sensitivities by layer.
 *
 * Minimise sum_i h_i(x_i) subject to sum_i c_i x_i = budget, 0 <= x_i <= 1. With every h_i convex and piecewise linear the
 * best solution is greedy and exact: the pieces of all layers, sorted by harm for each unit of size that they give back, are taken
 * from the cheapest on until enough is saved; the last one in part. Within a layer pieces come in order, since they get dearer.
 *
 * Measured curves are neither monotone nor convex: pruning a little can even help. They are first made to rise as less is left, then
 * replaced by their lower convex hull, walked from the whole layer on.
 *
 * Rejected: a bisection on the Lagrange multiplier, which finds the same solution to a tolerance instead of exactly; dynamic
 * programming over steps of size, which needs no convexity but grows with their number. */
#include "core/prune/allocate.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

struct piece {
	int layer;
	double to, saves, price; /* what is left after it; size given back; harm for each unit of that */
};

static int by_price(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->price < y->price || x->price > y->price)
		return x->price < y->price ? -1 : 1;
	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return x->to > y->to ? -1 : x->to < y->to;
}

/* The hull's pieces of one layer: from each corner to the point that the flattest line reaches, the farthest of equals. */
static int hull(const struct pare_curve *c, int layer, struct piece *out)
{
	double harm[PARE_CURVE_MAX];
	int n = 0;

	harm[0] = 0;
	for (int i = 1; i < c->n; i++)
		harm[i] = fmax(harm[i - 1], c->harm[i]);
	for (int at = 0, next; at < c->n - 1; at = next) {
		double best = INFINITY;

		next = at + 1;
		for (int i = at + 1; i < c->n; i++) {
			double price = (harm[i] - harm[at]) / (c->cost * (c->left[at] - c->left[i]));

			if (price <= best) {
				best = price;
				next = i;
			}
		}
		out[n++] = (struct piece){layer, c->left[next], c->cost * (c->left[at] - c->left[next]), best};
	}
	return n;
}

enum pare_code pare_allocate(const struct pare_curve *curves, int n, double share, double *out_left, struct pare_err *err)
{
	struct piece *pieces = pare_calloc((size_t)n * PARE_CURVE_MAX + 1, sizeof *pieces);
	double total = 0, need;
	int n_pieces = 0, i;

	if (pieces == NULL)
		return pare_err_nomem(err, (size_t)n * PARE_CURVE_MAX * sizeof *pieces);
	for (i = 0; i < n; i++) {
		total += curves[i].cost;
		out_left[i] = 1;
		n_pieces += hull(&curves[i], i, pieces + n_pieces);
	}
	qsort(pieces, (size_t)n_pieces, sizeof *pieces, by_price);
	need = total * (1 - share);
	for (i = 0; i < n_pieces && need > 0; i++) {
		const struct piece *p = &pieces[i];

		out_left[p->layer] = p->saves <= need ? p->to : p->to + (p->saves - need) / curves[p->layer].cost;
		need -= p->saves;
	}
	for (i = 0; need > 0 && i < n; i++) {
		/* all pieces are taken: total * (1 - share) - need is what they saved */
		double least = total * share + need;

		out_left[i] *= least > 0 ? total * share / least : 1;
	}
	pare_free(pieces);
	return PARE_OK;
}

void pare_erk(const double *sizes, const double *sums, int n, double sparsity, double *out_sparsity)
{
	bool more = true;

	for (int i = 0; i < n; i++)
		out_sparsity[i] = 1;
	while (more) {
		double left = 0, parts = 0;

		/* what is whole (0) stays so; the others share what is left of the weights that may stay */
		for (int i = 0; i < n; i++) {
			left += sizes[i] * (1 - sparsity) - (out_sparsity[i] > 0 ? 0 : sizes[i]);
			parts += out_sparsity[i] > 0 ? sums[i] : 0;
		}
		more = false;
		for (int i = 0; i < n; i++) {
			if (out_sparsity[i] <= 0)
				continue;
			out_sparsity[i] = fmax(0, 1 - left / parts * sums[i] / sizes[i]);
			more |= out_sparsity[i] <= 0;
		}
	}
}
