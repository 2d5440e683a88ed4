/* MeanVarianceNormalization: no parameters, any set of axes, the batch among them by default (its rows meet then).
 *
 *   y = (x - m) / s,  m = mean x,  s = sqrt(mean (x - m)^2) + 1e-9, over the axes
 *   dx = (dy - mean dy - y mean(dy y) s / sqrt(var)) / s
 *
 * The other normalizations have parameters and stand in norm.c; this one is a reduction that keeps its input's shape. */
#include <math.h>
#include <string.h>

#include "core/ops/broadcast.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/movement.h"
#include "core/ops/ops_priv.h"

#define EPSILON 1e-9f

struct moments_args {
	struct pare_ints axes;
	unsigned mask;
};

static enum pare_code moments_infer(const struct pare_infer *c, struct pare_err *err)
{
	static const int64_t usual[] = {0, 2, 3};
	struct moments_args *a = c->args;
	int axis[PARE_MAX_DIMS];
	enum pare_code code;

	if (a->axes.v == NULL)
		a->axes = (struct pare_ints){.v = usual, .n = 3};
	code = pare_axes(c, a->axes, c->in[0].n_dims, axis, err);
	if (code != PARE_OK)
		return code;
	for (size_t i = 0; i < a->axes.n; i++)
		a->mask |= PARE_BIT(axis[i]);
	return pare_infer_same(c, err);
}

/* x's shape with 1 at the axes. */
static size_t kept_shape(const struct pare_run *r, struct pare_shape *kept)
{
	const struct moments_args *a = r->args;

	*kept = *r->in_shape[0];
	for (int i = 0; i < kept->n_dims; i++)
		if (a->mask & PARE_BIT(i))
			kept->dims[i] = 1;
	return pare_shape_elems(kept);
}

/* Four numbers per group: mean, deviation, and two sums of the backward pass. */
static size_t moments_scratch(const struct pare_run *r)
{
	struct pare_shape kept;

	return 4 * kept_shape(r, &kept);
}

static void statistics(const struct pare_run *r, const struct pare_shape *kept, size_t n_groups, float *mean, float *deviation)
{
	size_t n = pare_shape_elems(r->in_shape[0]);
	float per_group = n_groups > 0 ? (float)(n / n_groups) : 1.0f;
	struct pare_broadcast_walk w;

	pare_broadcast_reduce(r->in_shape[0], r->in[0], NULL, NULL, 1.0f / per_group, kept, false, mean);
	pare_k_fill(n_groups, 0.0f, deviation);
	pare_broadcast_start(&w, r->in_shape[0], kept, kept);
	for (size_t i = 0; i < n; i++, pare_broadcast_next(&w))
		deviation[w.a] += (r->in[0][i] - mean[w.a]) * (r->in[0][i] - mean[w.a]);
	for (size_t g = 0; g < n_groups; g++)
		deviation[g] = sqrtf(deviation[g] / per_group);
}

static void moments_forward(const struct pare_run *r)
{
	struct pare_shape kept;
	size_t n_groups = kept_shape(r, &kept), n = pare_shape_elems(r->in_shape[0]);
	float *mean = r->scratch, *deviation = mean + n_groups;
	struct pare_broadcast_walk w;

	statistics(r, &kept, n_groups, mean, deviation);
	pare_broadcast_start(&w, r->in_shape[0], &kept, &kept);
	for (size_t i = 0; i < n; i++, pare_broadcast_next(&w))
		r->out[0][i] = (r->in[0][i] - mean[w.a]) / (deviation[w.a] + EPSILON);
}

static void moments_backward(const struct pare_run *r)
{
	struct pare_shape kept;
	size_t n_groups = kept_shape(r, &kept), n = pare_shape_elems(r->in_shape[0]);
	float per_group = n_groups > 0 ? (float)(n / n_groups) : 1.0f;
	float *mean = r->scratch, *deviation = mean + n_groups, *mean_dy = deviation + n_groups, *mean_dy_y = mean_dy + n_groups;
	struct pare_broadcast_walk w;

	statistics(r, &kept, n_groups, mean, deviation);
	pare_broadcast_reduce(r->in_shape[0], r->grad_out[0], NULL, NULL, 1.0f / per_group, &kept, false, mean_dy);
	pare_broadcast_reduce(r->in_shape[0], r->grad_out[0], r->in_shape[0], r->out[0], 1.0f / per_group, &kept, false, mean_dy_y);
	pare_broadcast_start(&w, r->in_shape[0], &kept, &kept);
	for (size_t i = 0; i < n; i++, pare_broadcast_next(&w)) {
		float s = deviation[w.a] + EPSILON, bend = deviation[w.a] > 0.0f ? s / deviation[w.a] : 0.0f;
		float d = (r->grad_out[0][i] - mean_dy[w.a] - r->out[0][i] * mean_dy_y[w.a] * bend) / s;

		r->grad_in[0][i] = (r->accumulate[0] ? r->grad_in[0][i] : 0.0f) + d;
	}
}

static void moments_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct moments_args *a = v->args;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		pare_tie_add(t, (struct pare_tie){.kind = a->mask & PARE_BIT(i) ? PARE_TIE_MIX : PARE_TIE_SAME, .a = 0, .a_axis = i, .b = PARE_OUT(0), .b_axis = i});
}

static const struct pare_arg_spec moments_arg_table[] = {
    {.name = "axes", .kind = PARE_ARG_INTS, .offset = offsetof(struct moments_args, axes)},
    {.name = NULL},
};

const struct pare_op pare_op_moments_table[] = {
    {.domain = "", .name = "MeanVarianceNormalization", .since = 9, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
     .args_size = sizeof(struct moments_args), .args = moments_arg_table, .grad_uses_in = PARE_BIT(0), .grad_uses_out = PARE_BIT(0),
     .infer = moments_infer, .scratch = moments_scratch, .forward = moments_forward, .backward = moments_backward, .couple = moments_couple},
    {.name = NULL},
};
