/* One walk for every operator that only moves elements (movement.c). Axes that both sides walk without a gap are merged, so
 * a plain copy is one memcpy and a Concat one per row; the innermost axis has loops of its own for the strides that matter.
 * Rejected: a loop nest per operator, which is ten times the code and ten gradients to get right. */
#include "core/ops/strided.h"

#include <string.h>

#include "core/ops/kernels/elementwise.h"

void pare_move_axis(struct pare_move *m, int64_t dim, int64_t src, int64_t dst)
{
	int last = m->n - 1;

	if (dim == 1)
		return;
	if (last >= 0 && m->src[last] == src * dim && m->dst[last] == dst * dim) {
		m->dim[last] *= dim;
		m->src[last] = src;
		m->dst[last] = dst;
		return;
	}
	m->dim[m->n] = dim;
	m->src[m->n] = src;
	m->dst[m->n] = dst;
	m->n++;
}

static void inner(int64_t n, const float *src, int64_t s, float *dst, int64_t d, bool add)
{
	if (s == 1 && d == 1 && !add)
		memcpy(dst, src, (size_t)n * sizeof *dst);
	else if (s == 1 && d == 1)
		pare_k_acc((size_t)n, src, dst);
	else if (s == 0 && d == 1 && !add)
		pare_k_fill((size_t)n, *src, dst);
	else if (s == 1 && d == 0 && add)
		*dst += pare_k_sum((size_t)n, src);
	else
		for (int64_t i = 0; i < n; i++)
			dst[i * d] = (add ? dst[i * d] : 0.0f) + src[i * s];
}

void pare_move_run(const struct pare_move *m, const float *src, float *dst, bool add)
{
	int last = m->n - 1;
	int64_t at[PARE_MOVE_DIMS] = {0}, s = m->src_at, d = m->dst_at;

	for (int i = 0; i < m->n; i++)
		if (m->dim[i] == 0)
			return;
	for (;;) {
		int i = last - 1;

		if (last < 0)
			inner(1, src + s, 1, dst + d, 1, add);
		else
			inner(m->dim[last], src + s, m->src[last], dst + d, m->dst[last], add);
		for (; i >= 0; i--) {
			s += m->src[i];
			d += m->dst[i];
			if (++at[i] < m->dim[i])
				break;
			s -= m->src[i] * m->dim[i];
			d -= m->dst[i] * m->dim[i];
			at[i] = 0;
		}
		if (i < 0)
			return;
	}
}

struct pare_move pare_move_turned(const struct pare_move *m)
{
	struct pare_move t = *m;

	memcpy(t.src, m->dst, sizeof t.src);
	memcpy(t.dst, m->src, sizeof t.dst);
	t.src_at = m->dst_at;
	t.dst_at = m->src_at;
	return t;
}

void pare_strides(const struct pare_shape *s, int64_t stride[PARE_MAX_DIMS])
{
	int64_t step = 1;

	for (int i = s->n_dims - 1; i >= 0; i--) {
		stride[i] = step;
		step *= s->dims[i];
	}
}
