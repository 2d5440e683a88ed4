/* A number for every index of every axis of every tensor, in the order in which they are met: what groups.c joins, and what a cut marks as gone.
 *
 * Axes of the batch have none where they are of one row, nor has what is empty. Which axis a number is of is looked up in the list of axes, which is
 * ascending by itself. */
#include <string.h>

#include "core/graph/graph_priv.h"
#include "core/graph/net_view.h"
#include "core/prune/groups_priv.h"

#define MAX_SLICES ((uint32_t)1 << 27)

static enum pare_code number_value(const struct pare_net *net, struct pare_slices *s, int32_t value, struct pare_err *err)
{
	const struct pare_shape *shape = pare_net_shape_of(net, value);

	if (shape == NULL)
		return PARE_OK;
	for (int i = 0; i < shape->n_dims; i++) {
		size_t at = (size_t)value * PARE_MAX_DIMS + (size_t)i;

		if (((shape->batch & PARE_BIT(i)) && shape->dims[i] == 1) || shape->dims[i] == 0 || s->base[at] != PARE_NO_SLICE)
			continue;
		if (shape->dims[i] > MAX_SLICES - s->n)
			return pare_err_set(err, PARE_E_LIMIT, NULL, "the tensors have more than %u indices along all axes together", (unsigned)MAX_SLICES);
		s->base[at] = s->n;
		s->order[s->n_axes++] = (uint32_t)at;
		s->len[at] = (uint32_t)shape->dims[i];
		s->n += (uint32_t)shape->dims[i];
	}
	return PARE_OK;
}

enum pare_code pare_slices_init(struct pare_slices *s, const struct pare_net *net, const struct pare_graph *g, struct pare_err *err)
{
	size_t n = (size_t)g->n_values * PARE_MAX_DIMS;
	enum pare_code code = PARE_OK;

	*s = (struct pare_slices){.n_values = g->n_values, .base = pare_calloc(n + 1, sizeof *s->base), .len = pare_calloc(n + 1, sizeof *s->len),
	    .order = pare_calloc(n + 1, sizeof *s->order)};
	if (s->base == NULL || s->len == NULL || s->order == NULL)
		return pare_err_nomem(err, n * sizeof *s->base);
	memset(s->base, 0xff, n * sizeof *s->base);
	for (int i = 0; i < g->n_inputs && code == PARE_OK; i++)
		code = number_value(net, s, g->inputs[i], err);
	for (int i = 0; i < pare_net_n_steps(net); i++) {
		struct pare_net_step step;

		pare_net_step_at(net, i, &step);
		for (int k = 0; k < step.node->n_in + step.node->n_out && code == PARE_OK; k++)
			code = number_value(net, s, k < step.node->n_in ? step.node->in[k] : step.node->out[k - step.node->n_in], err);
	}
	for (int i = 0; i < g->n_outputs && code == PARE_OK; i++)
		code = number_value(net, s, g->outputs[i], err);
	return code;
}

void pare_slices_done(struct pare_slices *s)
{
	pare_free(s->base);
	pare_free(s->len);
	pare_free(s->order);
	s->base = s->len = s->order = NULL;
}

int64_t pare_slice_find(const struct pare_slices *s, uint32_t slice, int32_t *value, int *axis)
{
	uint32_t low = 0, high = s->n_axes;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (s->base[s->order[mid]] <= slice)
			low = mid;
		else
			high = mid;
	}
	*value = (int32_t)(s->order[low] / PARE_MAX_DIMS);
	*axis = (int)(s->order[low] % PARE_MAX_DIMS);
	return (int64_t)(slice - s->base[s->order[low]]);
}
