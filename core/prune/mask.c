/* Masks: one byte per float of the slab. A bit per float would be an eighth of the memory, but the byte widens to a
 * vector lane with one instruction, and the update of a step is limited by the floats it moves (16 bytes or more per
 * weight) anyway.
 *
 * A masked float is selected away, not multiplied: w * 0 is -0 for negative w and NaN for infinite w. */
#include "core/prune/prune.h"

#include <assert.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/multiarch.h"
#include "core/ops/kernels/elementwise.h"

enum pare_code pare_mask_init(struct pare_mask *m, const struct pare_net *net, struct pare_err *err)
{
	size_t len = pare_net_slab_len(net);
	uint8_t *keep = pare_alloc_aligned(len);

	if (keep == NULL)
		return pare_err_nomem(err, len);
	memset(keep, 1, len);
	m->len = len;
	m->keep = keep;
	m->any = false;
	return PARE_OK;
}

void pare_mask_done(struct pare_mask *m)
{
	pare_free(m->keep);
	m->keep = NULL;
	m->len = 0;
	m->any = false;
}

PARE_MULTIARCH
void pare_mask_select(const uint8_t *restrict keep, float *restrict w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		w[i] = keep[i] != 0 ? w[i] : 0.0f;
}

void pare_mask_apply(const struct pare_mask *m, float *slab, size_t begin, size_t end)
{
	assert(begin <= end && end <= m->len);
	if (m->any)
		pare_mask_select(m->keep + begin, slab + begin, end - begin);
}

void pare_prune_count(const struct pare_net *net, struct pare_sparsity_count *out)
{
	const float *slab = pare_net_slab((struct pare_net *)net);
	int n_params = pare_net_n_params(net);

	out->n_weights = 0;
	out->n_zero = 0;
	for (int p = 0; p < n_params; p++) {
		const struct pare_param_info *info = pare_net_param(net, p);

		if (!info->prunable)
			continue;
		out->n_weights += (int64_t)info->n_elems;
		out->n_zero += (int64_t)pare_k_count_zeros(info->n_elems, slab + info->offset);
	}
}
