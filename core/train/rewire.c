/* An exchange costs one pass of selection by counting over each layer, a hundredth of the updates at most, so it runs on one thread.
 *
 * What just went may come back at once: it competes by its gradient like any other weight. Left out, the weights of a layer that
 * is nearly whole could not be exchanged at all. */
#include "core/train/rewire.h"

#include <math.h>

#include "core/ops/kernels/elementwise.h"

#define PI 3.141592653589793

double pare_rewire_share(const struct pare_rewire *r, int64_t step, int64_t n_steps)
{
	double end = r->until * (double)n_steps;

	if (step == 0 || step % r->every != 0 || (double)step >= end)
		return 0;
	return r->share / 2 * (1 + cos(PI * (double)step / end));
}

/* One tensor; keep is that of the moment before. */
struct exchange {
	const float *w, *g;
	uint8_t *keep;
	size_t n;
	float *scratch;
};

/* Marks, for 2, the first k of those with the k least |w| that are kept. */
static void let_go(const struct exchange *x, size_t k)
{
	size_t n = 0, below = 0;
	float limit;

	for (size_t i = 0; i < x->n; i++)
		if (x->keep[i])
			x->scratch[n++] = fabsf(x->w[i]);
	limit = pare_select_kth(x->scratch, n, k - 1);
	for (size_t i = 0; i < n; i++)
		below += x->scratch[i] < limit;
	for (size_t i = 0, ties = k - below; i < x->n; i++) {
		float w = fabsf(x->w[i]);

		if (!x->keep[i] || w > limit || (w == limit && ties == 0))
			continue;
		ties -= w == limit;
		x->keep[i] = 2;
	}
}

/* Marks, with 4 added, k of all that are not kept by the greatest |g|. */
static void let_come(const struct exchange *x, size_t k)
{
	size_t n = 0, above = 0;
	float limit;

	for (size_t i = 0; i < x->n; i++)
		if (x->keep[i] != 1)
			x->scratch[n++] = fabsf(x->g[i]);
	limit = pare_select_kth(x->scratch, n, n - k);
	for (size_t i = 0; i < n; i++)
		above += x->scratch[i] > limit;
	for (size_t i = 0, ties = k - above; i < x->n; i++) {
		float g = fabsf(x->g[i]);

		if (x->keep[i] == 1 || g < limit || (g == limit && ties == 0))
			continue;
		ties -= g == limit;
		x->keep[i] |= 4;
	}
}

/* kept, went and came back; went; came */
enum { STAYS = 1, BACK = 6, WENT = 2, CAME = 4 };

static void settle(const struct exchange *x, size_t offset, float *const state[2])
{
	for (size_t i = 0; i < x->n; i++) {
		uint8_t mark = x->keep[i];

		x->keep[i] = mark == STAYS || mark == BACK || mark == CAME;
		for (int s = 0; s < 2 && (mark == WENT || mark == CAME); s++)
			if (state[s] != NULL)
				state[s][offset + i] = 0;
	}
}

bool pare_rewire(struct pare_net *net, struct pare_mask *mask, double share, const float *grad, float *const state[2], float *scratch)
{
	float *slab = pare_net_slab(net);

	for (int p = 0; p < pare_net_n_params(net); p++) {
		const struct pare_param_info *info = pare_net_param(net, p);
		struct exchange x = {slab + info->offset, grad + info->offset, mask->keep + info->offset, info->n_elems, scratch};
		size_t n_kept = 0, k;

		if (!info->prunable)
			continue;
		for (size_t i = 0; i < x.n; i++)
			n_kept += x.keep[i];
		k = (size_t)(share * (double)n_kept);
		if (n_kept == x.n || k == 0)
			continue;
		if (!pare_k_finite(x.n, x.g))
			return false;
		let_go(&x, k);
		let_come(&x, k);
		settle(&x, info->offset, state);
		pare_mask_apply(mask, slab, info->offset, info->offset + info->n_elems);
	}
	return true;
}
