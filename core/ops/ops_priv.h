/* Shared within core/ops: the family tables. Each ends with a row whose name is NULL. */
#ifndef PARE_OPS_PRIV_H
#define PARE_OPS_PRIV_H

#include "core/ops/op.h"

extern const struct pare_op pare_op_linear_table[];
extern const struct pare_op pare_op_elementwise_table[];
extern const struct pare_op pare_op_unary_table[];
extern const struct pare_op pare_op_variadic_table[];
extern const struct pare_op pare_op_select_table[];
extern const struct pare_op pare_op_movement_table[];
extern const struct pare_op pare_op_slice_table[];
extern const struct pare_op pare_op_gather_table[];
extern const struct pare_op pare_op_einsum_table[];
extern const struct pare_op pare_op_resize_table[];
extern const struct pare_op pare_op_scatter_table[];
extern const struct pare_op pare_op_axis_table[];
extern const struct pare_op pare_op_moments_table[];
extern const struct pare_op pare_op_ml_table[];
extern const struct pare_op pare_op_generate_table[];
extern const struct pare_op pare_op_reduce_table[];
extern const struct pare_op pare_op_pick_table[];
extern const struct pare_op pare_op_activation_table[];
extern const struct pare_op pare_op_shape_table[];
extern const struct pare_op pare_op_regular_table[];
extern const struct pare_op pare_op_constant_table[];
extern const struct pare_op pare_op_conv_table[];
extern const struct pare_op pare_op_pool_table[];
extern const struct pare_op pare_op_norm_table[];
extern const struct pare_op pare_op_recurrent_table[];
extern const struct pare_op pare_op_quantize_table[];
extern const struct pare_op pare_op_integer_table[];

/* Ties of an operator that changes every element on its own: all axes of input 0 are those of output 0. */
void pare_couple_same(const struct pare_node_view *v, struct pare_ties *out);
/* infer of the same: output 0 has input 0's shape. */
enum pare_code pare_infer_same(const struct pare_infer *c, struct pare_err *err);
/* What MatMul does with in[0] and in[1]. */
void pare_matmul(const struct pare_run *r);
/* backward of what is constant between its steps (Hardmax): no gradient for anybody. */
void pare_backward_zero(const struct pare_run *r);

/* The one of n that an index picks; negative ones count from the end. NaN and what is out of range come to an end, too. */
static inline int64_t pare_pick_index(float index, int64_t n)
{
	float i = index < 0.0f ? index + (float)n : index;

	if (!(i > 0.0f))
		return 0;
	return i < (float)n ? (int64_t)i : n - 1;
}

#endif
