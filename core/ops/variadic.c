/* Any number of operands, broadcast together: Sum, Mean, Max, Min. Forward folds them one by one into the output.
 *
 *   Sum, Mean   dx_i = dy (/ n), summed over the axes in which x_i was broadcast
 *   Max, Min    dy goes to the operands that equal y, in equal parts where several do (as PyTorch has it for two) */
#include <string.h>

#include "core/ops/broadcast.h"
#include "core/ops/kernels/binary.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/ops_priv.h"

#define MAX_OPERANDS 64

static enum pare_code variadic_infer(const struct pare_infer *c, struct pare_err *err)
{
	c->out[0] = c->in[0];
	c->out_dtype[0] = c->in_dtype[0];
	for (int k = 1; k < c->n_in; k++) {
		struct pare_shape sum = c->out[0];

		if (!pare_infer_has(c, k))
			return pare_err_set(err, PARE_E_MODEL, c->where, "input %d is left out", k);
		if (!pare_shape_broadcast(&sum, &c->in[k], &c->out[0]))
			return pare_infer_mismatch(c, 0, k, "they cannot be broadcast together", err);
	}
	return PARE_OK;
}

static void variadic_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	for (int k = 0; k < v->n_in; k++)
		pare_broadcast_ties(v, k, t);
}

static void sum_forward(const struct pare_run *r)
{
	pare_broadcast_scaled(r->in_shape[0], r->in[0], 1.0f, r->out_shape[0], r->out[0]);
	for (int k = 1; k < r->n_in; k++)
		pare_broadcast_binary(PARE_BINARY_ADD, r->out_shape[0], r->out[0], r->in_shape[k], r->in[k], r->out_shape[0], r->out[0]);
}

static void mean_forward(const struct pare_run *r)
{
	sum_forward(r);
	pare_k_scale(pare_shape_elems(r->out_shape[0]), r->out[0], 1.0f / (float)r->n_in, r->out[0]);
}

static void spread_grad(const struct pare_run *r, float scale)
{
	for (int k = 0; k < r->n_in; k++)
		if (r->grad_in[k] != NULL)
			pare_broadcast_reduce(r->out_shape[0], r->grad_out[0], NULL, NULL, scale, r->in_shape[k], r->accumulate[k], r->grad_in[k]);
}

static void sum_backward(const struct pare_run *r)
{
	spread_grad(r, 1.0f);
}

static void mean_backward(const struct pare_run *r)
{
	spread_grad(r, 1.0f / (float)r->n_in);
}

static void extreme_forward(const struct pare_run *r, const char *name)
{
	const struct pare_binary_kernel *kernel = pare_binary_kernel(name);

	pare_broadcast_scaled(r->in_shape[0], r->in[0], 1.0f, r->out_shape[0], r->out[0]);
	for (int k = 1; k < r->n_in; k++)
		pare_broadcast_apply(kernel, false, r->out_shape[0], r->out[0], r->in_shape[k], r->in[k], r->out_shape[0], r->out[0]);
}

static void max_forward(const struct pare_run *r)
{
	extreme_forward(r, "Max");
}

static void min_forward(const struct pare_run *r)
{
	extreme_forward(r, "Min");
}

/* Where operand k equals the output, and how many operands do. */
static size_t extreme_scratch(const struct pare_run *r)
{
	return 2 * pare_shape_elems(r->out_shape[0]);
}

static void extreme_backward(const struct pare_run *r)
{
	const struct pare_binary_kernel *equal = pare_binary_kernel("Equal");
	const struct pare_shape *sy = r->out_shape[0];
	size_t n = pare_shape_elems(sy);
	float *hit = r->scratch, *share = hit + n;

	memset(share, 0, n * sizeof *share);
	for (int k = 0; k < r->n_in; k++) {
		pare_broadcast_apply(equal, false, sy, r->out[0], r->in_shape[k], r->in[k], sy, hit);
		pare_k_acc(n, hit, share);
	}
	for (size_t i = 0; i < n; i++)
		share[i] = share[i] > 0.0f ? r->grad_out[0][i] / share[i] : 0.0f;
	for (int k = 0; k < r->n_in; k++) {
		if (r->grad_in[k] == NULL)
			continue;
		pare_broadcast_apply(equal, false, sy, r->out[0], r->in_shape[k], r->in[k], sy, hit);
		pare_broadcast_reduce(sy, share, sy, hit, 1.0f, r->in_shape[k], r->accumulate[k], r->grad_in[k]);
	}
}

#define ROW .domain = "", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = MAX_OPERANDS, .min_out = 1, .max_out = 1, \
	.any_dtype_in = ~0u, .infer = variadic_infer, .couple = variadic_couple, .layout = pare_layout_elementwise
#define EXTREME ROW, .grad_uses_in = ~0u, .grad_uses_out = PARE_BIT(0), .scratch = extreme_scratch, .backward = extreme_backward

const struct pare_op pare_op_variadic_table[] = {
    {ROW, .name = "Sum", .forward = sum_forward, .backward = sum_backward},
    {ROW, .name = "Mean", .forward = mean_forward, .backward = mean_backward},
    {EXTREME, .name = "Max", .forward = max_forward},
    {EXTREME, .name = "Min", .forward = min_forward},
    {.name = NULL},
};
