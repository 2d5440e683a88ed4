/* Two operands, element by element, with broadcasting: y = a + b, y = a * b.
 *
 * The gradient of an operand is dy (times the other operand), summed over the axes along which it was broadcast. */
#include "core/ops/broadcast.h"
#include "core/ops/ops_priv.h"

static enum pare_code binary_infer(const struct pare_infer *c, struct pare_err *err)
{
	if (!pare_shape_broadcast(&c->in[0], &c->in[1], &c->out[0]))
		return pare_infer_mismatch(c, 0, 1, "they cannot be broadcast together", err);
	return PARE_OK;
}

static void binary_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	pare_broadcast_ties(v, 0, t);
	pare_broadcast_ties(v, 1, t);
}

static void add_forward(const struct pare_run *r)
{
	pare_broadcast_binary(PARE_BINARY_ADD, r->in_shape[0], r->in[0], r->in_shape[1], r->in[1], r->out_shape[0], r->out[0]);
}

static void add_backward(const struct pare_run *r)
{
	for (int i = 0; i < 2; i++)
		if (r->grad_in[i] != NULL)
			pare_broadcast_reduce(r->out_shape[0], r->grad_out[0], NULL, NULL, 1.0f, r->in_shape[i], r->accumulate[i], r->grad_in[i]);
}

static void mul_forward(const struct pare_run *r)
{
	pare_broadcast_binary(PARE_BINARY_MUL, r->in_shape[0], r->in[0], r->in_shape[1], r->in[1], r->out_shape[0], r->out[0]);
}

static void mul_backward(const struct pare_run *r)
{
	for (int i = 0; i < 2; i++)
		if (r->grad_in[i] != NULL)
			pare_broadcast_reduce(r->out_shape[0], r->grad_out[0], r->in_shape[1 - i], r->in[1 - i], 1.0f, r->in_shape[i],
			    r->accumulate[i], r->grad_in[i]);
}

const struct pare_op pare_op_elementwise_table[] = {
    {.domain = "", .name = "Add", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
     .infer = binary_infer, .forward = add_forward, .backward = add_backward, .couple = binary_couple},
    {.domain = "", .name = "Mul", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
     .grad_uses_in = PARE_BIT(0) | PARE_BIT(1), .infer = binary_infer, .forward = mul_forward, .backward = mul_backward,
     .couple = binary_couple},
    {.name = NULL},
};
