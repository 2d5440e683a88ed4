/* Two operands, element by element, with broadcasting.
 *
 * The gradient of an operand is dy times a slope, summed over the axes along which it was broadcast. Addition and
 * multiplication, which training is full of, have loops of their own (broadcast.c); the others are rows of
 * kernels/binary.def and share everything. Integers are divided and raised as integers: what is carried in floats is
 * rounded towards zero. */
#include <math.h>
#include <string.h>

#include "core/ops/broadcast.h"
#include "core/ops/kernels/binary.h"
#include "core/ops/ops_priv.h"

static enum pare_code broadcast_infer(const struct pare_infer *c, struct pare_err *err)
{
	if (!pare_shape_broadcast(&c->in[0], &c->in[1], &c->out[0]))
		return pare_infer_mismatch(c, 0, 1, "they cannot be broadcast together", err);
	c->out_dtype[0] = c->in_dtype[0];
	return PARE_OK;
}

static enum pare_code binary_infer(const struct pare_infer *c, struct pare_err *err)
{
	if ((c->in_dtype[0] == PARE_DT_FLOAT) != (c->in_dtype[1] == PARE_DT_FLOAT))
		return pare_err_set(err, PARE_E_MODEL, c->where, "the operands are %s and %s; they must be of one type", pare_dtype_name(c->in_dtype[0]),
		    pare_dtype_name(c->in_dtype[1]));
	return broadcast_infer(c, err);
}

struct binary_args {
	const struct pare_binary_kernel *kernel;
	bool whole;
	int64_t fmod;
	struct pare_span direction;
	float modulus; /* BitShift: what its type wraps at */
	bool is_signed;
};

static void set_kernel(const struct pare_infer *c)
{
	struct binary_args *a = c->args;

	a->kernel = pare_binary_kernel(c->node->op_type);
	a->whole = c->in_dtype[0] != PARE_DT_FLOAT;
}

static enum pare_code table_infer(const struct pare_infer *c, struct pare_err *err)
{
	set_kernel(c);
	return binary_infer(c, err);
}

/* The one operator whose operands may be of different types. */
static enum pare_code power_infer(const struct pare_infer *c, struct pare_err *err)
{
	set_kernel(c);
	return broadcast_infer(c, err);
}

static enum pare_code mod_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct binary_args *a = c->args;
	enum pare_code code = table_infer(c, err);

	a->whole = a->fmod == 0;
	return code;
}

static enum pare_code shift_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct binary_args *a = c->args;
	int type = c->in_dtype[0];
	bool is_unsigned = type == PARE_DT_UINT8 || type == PARE_DT_UINT16 || type == PARE_DT_UINT32 || type == PARE_DT_UINT64;

	a->is_signed = type == PARE_DT_INT8 || type == PARE_DT_INT16 || type == PARE_DT_INT32 || type == PARE_DT_INT64;
	if (!is_unsigned && !a->is_signed)
		return pare_err_set(err, PARE_E_MODEL, c->where, "BitShift is for integers, not %s", pare_dtype_name(type));
	set_kernel(c);
	a->whole = a->direction.len == 4 && memcmp(a->direction.data, "LEFT", 4) == 0;
	a->modulus = ldexpf(1.0f, pare_dtype_bits(type));
	if (!a->whole && !(a->direction.len == 5 && memcmp(a->direction.data, "RIGHT", 5) == 0))
		return pare_err_set(err, PARE_E_INVALID, c->where, "attribute \"direction\" must be LEFT or RIGHT");
	return binary_infer(c, err);
}

static enum pare_code test_infer(const struct pare_infer *c, struct pare_err *err)
{
	enum pare_code code = table_infer(c, err);

	c->out_dtype[0] = PARE_DT_BOOL;
	return code;
}

static enum pare_code oneway_infer(const struct pare_infer *c, struct pare_err *err)
{
	enum pare_code code = table_infer(c, err);

	if (code == PARE_OK && !pare_shape_same(&c->out[0], &c->in[0]))
		return pare_infer_mismatch(c, 0, 1, "the second cannot be broadcast to the first", err);
	return code;
}

static void table_forward(const struct pare_run *r)
{
	const struct binary_args *a = r->args;

	pare_broadcast_apply(a->kernel, a->whole, r->in_shape[0], r->in[0], r->in_shape[1], r->in[1], r->out_shape[0], r->out[0]);
}

static void shift_forward(const struct pare_run *r)
{
	const struct binary_args *a = r->args;
	size_t n = pare_shape_elems(r->out_shape[0]);

	table_forward(r);
	for (size_t i = 0; i < n; i++) {
		float y = fmodf(r->out[0][i], a->modulus);

		if (a->is_signed && (y >= a->modulus / 2 || y < -a->modulus / 2))
			y -= copysignf(a->modulus, y);
		r->out[0][i] = y;
	}
}

static void table_backward(const struct pare_run *r)
{
	const struct binary_args *a = r->args;

	for (int i = 0; i < 2; i++)
		if (r->grad_in[i] != NULL)
			pare_broadcast_apply_grad(a->kernel, a->whole, r->in_shape[0], r->in[0], r->in_shape[1], r->in[1], r->out_shape[0],
			    r->grad_out[0], i == 1, r->accumulate[i], r->grad_in[i]);
}

static void binary_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	pare_broadcast_ties(v, 0, t);
	pare_broadcast_ties(v, 1, t);
}

/* Is s one row along y's last axis? */
static bool is_row_of(const struct pare_shape *s, const struct pare_shape *y)
{
	int last = y->n_dims - 1;

	return s->batch == 0 && s->n_dims > 0 && s->n_dims <= y->n_dims && !(y->batch & PARE_BIT(last)) &&
	       s->dims[s->n_dims - 1] == y->dims[last] && pare_shape_elems(s) == (size_t)y->dims[last];
}

static bool add_step(const struct pare_node_view *v, int operand, struct pare_step *out)
{
	bool same = pare_shape_same(v->in[0], v->in[1]);

	*out = (struct pare_step){.kind = same ? PARE_STEP_ADD : PARE_STEP_BIAS, .first_operand = 1 - operand, .n_operands = 1,
	    .place = same ? PARE_STEP_ADD_AT : PARE_STEP_BIAS_AT};
	return same || is_row_of(v->in[1 - operand], v->in[operand]);
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

static const struct pare_arg_spec arg_table_NONE[] = {{.name = NULL}};
static const struct pare_arg_spec arg_table_MOD[] = {
    {.name = "fmod", .kind = PARE_ARG_INT, .offset = offsetof(struct binary_args, fmod), .max = 1},
    {.name = NULL},
};
static const struct pare_arg_spec arg_table_SHIFT[] = {
    {.name = "direction", .kind = PARE_ARG_STRING, .offset = offsetof(struct binary_args, direction), .required = true},
    {.name = NULL},
};

#define BOTH (PARE_BIT(0) | PARE_BIT(1))
#define TYPES_SAME .forward = table_forward, .grad_uses_in = BOTH, .infer = table_infer, .backward = table_backward
#define TYPES_MIXED .forward = table_forward, .grad_uses_in = BOTH, .infer = power_infer, .backward = table_backward
#define TYPES_FIXED .forward = table_forward, .grad_uses_in = BOTH, .infer = mod_infer, .backward = table_backward
#define TYPES_ONEWAY .forward = table_forward, .grad_uses_in = BOTH, .infer = oneway_infer, .backward = table_backward
#define TYPES_SHIFT .forward = shift_forward, .infer = shift_infer, .no_gradient = "its output is an integer"
#define TYPES_TEST .forward = table_forward, .infer = test_infer, .no_gradient = "its output is true or false"
#define ROW .domain = "", .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .any_dtype_in = BOTH, .couple = binary_couple, \
	.layout = pare_layout_elementwise

const struct pare_op pare_op_elementwise_table[] = {
    {ROW, .name = "Add", .since = PARE_OPSET_MIN, .infer = binary_infer, .forward = add_forward, .backward = add_backward, .step = add_step},
    {ROW, .name = "Mul", .since = PARE_OPSET_MIN, .grad_uses_in = BOTH, .infer = binary_infer, .forward = mul_forward, .backward = mul_backward},
#define BINARY(text, first, attrs, types, value, slope_a, slope_b) \
	{ROW, .name = #text, .since = first, .args_size = sizeof(struct binary_args), .args = arg_table_##attrs, TYPES_##types},
#include "core/ops/kernels/binary.def"
#undef BINARY
    {.name = NULL},
};
