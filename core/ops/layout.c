/* The two operators that only planning inserts (core/graph/layout.c): images from [N, C, ...] to [N, ..., C] and back. A
 * model cannot name them, so they are not in the table. */
#include "core/ops/kernels/transpose.h"
#include "core/ops/ops_priv.h"

enum pare_layout pare_layout_elementwise(const struct pare_node_view *v)
{
	const struct pare_shape *y = v->out[0];

	for (int k = 0; y != NULL && k < v->n_in; k++)
		if (v->in[k] != NULL && (v->in[k]->n_dims != y->n_dims || v->in[k]->batch == 0) && pare_shape_product(v->in[k], 0, v->in[k]->n_dims) != 1)
			return PARE_LAYOUT_PLAIN;
	return y != NULL && y->batch != 0 ? PARE_LAYOUT_EITHER : PARE_LAYOUT_PLAIN;
}

enum pare_layout pare_layout_either(const struct pare_node_view *v)
{
	(void)v;
	return PARE_LAYOUT_EITHER;
}

/* channels: of the side that has them first. */
static void move(const struct pare_shape *s, int64_t channels, bool to_last, const float *from, bool acc, float *to)
{
	int64_t image = pare_shape_product(s, 1, s->n_dims), len = channels > 0 ? image / channels : 0;

	for (int64_t i = 0; i < s->dims[0]; i++, from += image, to += image)
		pare_k_transpose(to_last ? channels : len, to_last ? len : channels, from, acc, to);
}

static void to_last_forward(const struct pare_run *r)
{
	move(r->in_shape[0], r->in_shape[0]->dims[1], true, r->in[0], false, r->out[0]);
}

static void to_last_backward(const struct pare_run *r)
{
	move(r->in_shape[0], r->in_shape[0]->dims[1], false, r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

static void to_first_forward(const struct pare_run *r)
{
	move(r->out_shape[0], r->out_shape[0]->dims[1], false, r->in[0], false, r->out[0]);
}

static void to_first_backward(const struct pare_run *r)
{
	move(r->out_shape[0], r->out_shape[0]->dims[1], true, r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

#define ROW .domain = "", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .infer = pare_infer_same, .couple = pare_couple_same
const struct pare_op pare_op_to_last = {ROW, .name = "ChannelsLast", .forward = to_last_forward, .backward = to_last_backward};
const struct pare_op pare_op_to_first = {ROW, .name = "ChannelsFirst", .forward = to_first_forward, .backward = to_first_backward};
