/* Penalties on weights, with lr the step's learning rate:
 *
 *   l1           lambda sum |w|                          w = sign(w) max(|w| - lr lambda, 0) after the update
 *   l2           lambda / 2 sum w^2                      g += lambda w
 *   elastic_net  lambda sum (r |w| + (1 - r) / 2 w^2)    both, each with its share
 *   group_lasso  lambda sum sqrt(|G|) ||w_G||            w_G *= max(0, 1 - lr lambda sqrt(|G|) / ||w_G||) after the update
 *   decay        none: w *= 1 - lr lambda before the update, so that an optimizer's scaling of g does not touch it (Loshchilov, Hutter)
 *
 * The soft threshold is written as w - clamp(w, -t, t): no branch, and where |w| <= t the difference w - w is +0 for
 * either sign, so a weight that l1 removes is the same bits as a weight that a mask removes. l1 as a subgradient
 * (w -= lr * l1 * sign(w)) was rejected: weights then jitter around zero and none is ever exactly zero, which is what
 * l1 is asked for (Daubechies et al. 2004, iterative shrinkage). The same holds for whole groups (Yuan and Lin 2006; the root of
 * the group's size makes layers of different width comparable). */
#include "core/train/regularize.h"

#include <math.h>
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/elementwise.h"

PARE_MULTIARCH
static void soft_loop(size_t n, float t, float *restrict w)
{
	for (size_t i = 0; i < n; i++) {
		float c = w[i] > t ? t : w[i];

		w[i] -= c < -t ? -t : c;
	}
}

PARE_MULTIARCH
static void clip_loop(size_t n, float bound, float *restrict w)
{
	for (size_t i = 0; i < n; i++) {
		float c = w[i] > bound ? bound : w[i];

		w[i] = c < -bound ? -bound : c;
	}
}

void pare_clip(size_t n, float bound, float *w)
{
	clip_loop(n, bound, w);
}

static void l1_shrink(const struct pare_penalty_args *a, double lr, size_t n, float *w)
{
	soft_loop(n, (float)(lr * a->lambda), w);
}

static void l2_gradient(const struct pare_penalty_args *a, size_t n, const float *w, float *g)
{
	pare_k_acc_scaled(n, w, (float)a->lambda, g);
}

static void elastic_gradient(const struct pare_penalty_args *a, size_t n, const float *w, float *g)
{
	pare_k_acc_scaled(n, w, (float)(a->lambda * (1 - a->l1_ratio)), g);
}

static void elastic_shrink(const struct pare_penalty_args *a, double lr, size_t n, float *w)
{
	soft_loop(n, (float)(lr * a->lambda * a->l1_ratio), w);
}

static void decay_weights(const struct pare_penalty_args *a, double lr, size_t n, float *w)
{
	pare_k_scale(n, w, (float)(1 - lr * a->lambda), w);
}

/* A NaN norm keeps the group as it is: NaN must stay visible. */
static void group_shrink(const struct pare_penalty_args *a, double lr, const struct pare_groups *g, int64_t first, int64_t end)
{
	size_t inner = (size_t)g->inner, size = (size_t)g->outer * inner;
	double t = lr * a->lambda * sqrt((double)size);

	for (int64_t i = first; i < end; i++) {
		double squares = 0, factor;

		for (int64_t o = 0; o < g->outer; o++) {
			const float *w = g->w + (o * g->n + i) * g->inner;

			squares += (double)pare_k_dot(inner, w, w);
		}
		factor = 1 - t / sqrt(squares);
		for (int64_t o = 0; o < g->outer; o++) {
			float *w = g->w + (o * g->n + i) * g->inner;

			if (factor > 0)
				pare_k_scale(inner, w, (float)factor, w);
			else if (squares <= t * t)
				memset(w, 0, inner * sizeof *w);
		}
	}
}

const struct pare_regularizer pare_regularizer_table[] = {
    {.name = "l1", .shrink = l1_shrink},
    {.name = "l2", .gradient = l2_gradient},
    {.name = "elastic_net", .gradient = elastic_gradient, .shrink = elastic_shrink},
    {.name = "group_lasso", .groups = group_shrink},
    {.name = "decay", .decay = decay_weights},
    {.name = NULL},
};

const struct pare_regularizer *pare_regularizer_find(const char *name)
{
	for (const struct pare_regularizer *r = pare_regularizer_table; r->name != NULL; r++)
		if (strcmp(r->name, name) == 0)
			return r;
	return NULL;
}
