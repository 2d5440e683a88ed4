/* The soft threshold is written as w - clamp(w, -t, t): no branch, and where |w| <= t the difference w - w is +0 for
 * either sign, so a weight that l1 removes is the same bits as a weight that a mask removes. l1 as a subgradient
 * (w -= lr * l1 * sign(w)) was rejected: weights then jitter around zero and none is ever exactly zero, which is what
 * l1 is asked for (Daubechies et al. 2004, iterative shrinkage). */
#include "core/train/regularize.h"

#include "core/base/multiarch.h"

PARE_MULTIARCH
static void decay_loop(size_t n, float l2, const float *restrict w, float *restrict g)
{
	for (size_t i = 0; i < n; i++)
		g[i] += l2 * w[i];
}

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

void pare_add_decay(size_t n, float l2, const float *w, float *g)
{
	decay_loop(n, l2, w, g);
}

void pare_soft_threshold(size_t n, float t, float *w)
{
	soft_loop(n, t, w);
}

void pare_clip(size_t n, float bound, float *w)
{
	clip_loop(n, bound, w);
}
