/* Choosing and converting.
 *
 *   Where      y = c ? a : b           da = dy [c], db = dy [not c], summed over the axes of broadcasting
 *   Cast       y = x in another type   dx = dy between floating types; to integers towards zero, to bool x != 0
 *
 * Values are floats whatever their type (op.h), so Cast has work only where the new type holds less: integers, bool and
 * the 16-bit floats. */
#include <math.h>

#include "core/graph/graph_priv.h"
#include "core/ops/broadcast.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/ops_priv.h"

static enum pare_code where_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct pare_shape s;

	if (c->in_dtype[0] == PARE_DT_FLOAT || (c->in_dtype[1] == PARE_DT_FLOAT) != (c->in_dtype[2] == PARE_DT_FLOAT))
		return pare_err_set(err, PARE_E_MODEL, c->where, "the inputs are %s, %s and %s; they must be bool and two of one type",
		    pare_dtype_name(c->in_dtype[0]), pare_dtype_name(c->in_dtype[1]), pare_dtype_name(c->in_dtype[2]));
	if (!pare_shape_broadcast(&c->in[1], &c->in[2], &s))
		return pare_infer_mismatch(c, 1, 2, "they cannot be broadcast together", err);
	if (!pare_shape_broadcast(&c->in[0], &s, &c->out[0]))
		return pare_infer_mismatch(c, 0, 1, "they cannot be broadcast together", err);
	c->out_dtype[0] = c->in_dtype[1];
	return PARE_OK;
}

static void where_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	for (int k = 0; k < 3; k++)
		pare_broadcast_ties(v, k, t);
}

/* The condition as 0 and 1; condition and second choice as large as the output. */
static size_t where_scratch(const struct pare_run *r)
{
	return pare_shape_elems(r->in_shape[0]) + 2 * pare_shape_elems(r->out_shape[0]);
}

static float *where_chosen(const struct pare_run *r, bool yes)
{
	size_t n = pare_shape_elems(r->in_shape[0]);

	for (size_t i = 0; i < n; i++)
		r->scratch[i] = (r->in[0][i] != 0.0f) == yes ? 1.0f : 0.0f;
	return r->scratch;
}

/* Not a sum of products with 0 and 1: that would let an infinity which is not chosen through as NaN. */
static void where_forward(const struct pare_run *r)
{
	const struct pare_shape *sy = r->out_shape[0];
	size_t n = pare_shape_elems(sy);
	float *yes = r->scratch + pare_shape_elems(r->in_shape[0]), *other = yes + n;

	pare_broadcast_scaled(r->in_shape[0], where_chosen(r, true), 1.0f, sy, yes);
	pare_broadcast_scaled(r->in_shape[1], r->in[1], 1.0f, sy, r->out[0]);
	pare_broadcast_scaled(r->in_shape[2], r->in[2], 1.0f, sy, other);
	for (size_t i = 0; i < n; i++)
		r->out[0][i] = yes[i] != 0.0f ? r->out[0][i] : other[i];
}

static void where_backward(const struct pare_run *r)
{
	for (int k = 1; k < 3; k++)
		if (r->grad_in[k] != NULL)
			pare_broadcast_reduce(r->out_shape[0], r->grad_out[0], r->in_shape[0], where_chosen(r, k == 1), 1.0f, r->in_shape[k],
			    r->accumulate[k], r->grad_in[k]);
}

struct cast_args {
	int64_t to;
	int64_t saturate; /* speaks of float8, which is not computed with */
	struct pare_span round_mode; /* so does it */
};

static enum pare_code cast_to(const struct pare_infer *c, int64_t to, struct pare_err *err)
{
	bool known = to >= 0 && to <= PARE_DT_MAX && pare_dtype_is_number((int)to);

	if (!known || c->in_dtype[0] == PARE_DT_STRING)
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution from %s to %s (type %lld)",
		    c->node->op_type, pare_dtype_name(c->in_dtype[0]), known ? pare_dtype_name((int)to) : "such a type", (long long)to);
	((struct cast_args *)c->args)->to = to;
	c->out[0] = c->in[0];
	c->out_dtype[0] = pare_dtype_computed((int)to);
	return PARE_OK;
}

static enum pare_code cast_infer(const struct pare_infer *c, struct pare_err *err)
{
	return cast_to(c, ((const struct cast_args *)c->args)->to, err);
}

static enum pare_code cast_like_infer(const struct pare_infer *c, struct pare_err *err)
{
	return cast_to(c, c->in_dtype[1], err);
}

static float cast1(float x, int64_t to)
{
	bool lost = false;

	switch (to) {
	case PARE_DT_FLOAT:
	case PARE_DT_DOUBLE:
		return x;
	case PARE_DT_FLOAT16:
		return pare_half_to_float(pare_half_from_float(x, &lost));
	case PARE_DT_BFLOAT16:
		return pare_bfloat_to_float(pare_bfloat_from_float(x, &lost));
	case PARE_DT_BOOL:
		return x != 0.0f ? 1.0f : 0.0f;
	default:
		return truncf(x);
	}
}

static void cast_forward(const struct pare_run *r)
{
	const struct cast_args *a = r->args;
	size_t n = pare_shape_elems(r->in_shape[0]);

	for (size_t i = 0; i < n; i++)
		r->out[0][i] = cast1(r->in[0][i], a->to);
}

static void cast_backward(const struct pare_run *r)
{
	size_t n = pare_shape_elems(r->in_shape[0]);

	if (r->accumulate[0])
		pare_k_acc(n, r->grad_out[0], r->grad_in[0]);
	else
		pare_k_scale(n, r->grad_out[0], 1.0f, r->grad_in[0]);
}

#define SATURATE {.name = "saturate", .kind = PARE_ARG_INT, .offset = offsetof(struct cast_args, saturate), .def = 1, .max = 1}, \
	{.name = "round_mode", .kind = PARE_ARG_STRING, .offset = offsetof(struct cast_args, round_mode)}
static const struct pare_arg_spec cast_arg_table[] = {
    {.name = "to", .kind = PARE_ARG_INT, .offset = offsetof(struct cast_args, to), .required = true},
    SATURATE,
    {.name = NULL},
};
static const struct pare_arg_spec cast_like_arg_table[] = {SATURATE, {.name = NULL}};

#define CAST .domain = "", .until = PARE_OPSET_MAX, .min_out = 1, .max_out = 1, .args_size = sizeof(struct cast_args), .moves_in = PARE_BIT(0), .any_dtype_in = PARE_BIT(0), \
	.inplace = true, .forward = cast_forward, .backward = cast_backward, .couple = pare_couple_same

const struct pare_op pare_op_select_table[] = {
    {.domain = "", .name = "Where", .since = 9, .until = PARE_OPSET_MAX, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1, .any_dtype_in = ~0u,
     .grad_uses_in = PARE_BIT(0), .infer = where_infer, .scratch = where_scratch, .forward = where_forward, .backward = where_backward,
     .couple = where_couple},
    {CAST, .name = "Cast", .since = PARE_OPSET_MIN, .min_in = 1, .max_in = 1, .args = cast_arg_table, .infer = cast_infer},
    {CAST, .name = "CastLike", .since = 15, .min_in = 2, .max_in = 2, .shape_in = PARE_BIT(1), .args = cast_like_arg_table, .infer = cast_like_infer},
    {.name = NULL},
};
