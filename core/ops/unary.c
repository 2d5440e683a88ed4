/* Operators that map each number on its own. Functions and derivatives are rows of kernels/unary.def; here is what they
 * share: attributes, types, ties, one forward and one backward.
 *
 * Clip is one of them although its bounds became inputs in opset 11: they must be constants then, and stand where
 * attributes would. */
#include <math.h>
#include <string.h>

#include "core/ops/kernels/unary.h"
#include "core/ops/ops_priv.h"

struct unary_args {
	float a, b;
	const struct pare_unary_kernel *kernel;
	struct pare_span text;
	int64_t positive, negative;
};

static enum pare_code unary_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct unary_args *u = c->args;

	u->kernel = pare_unary_kernel(c->node->op_type);
	return pare_infer_same(c, err);
}

static enum pare_code test_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct unary_args *u = c->args;
	enum pare_code code = unary_infer(c, err);

	c->out_dtype[0] = PARE_DT_BOOL;
	u->a = u->positive != 0 ? 1.0f : 0.0f;
	u->b = u->negative != 0 ? 1.0f : 0.0f;
	return code;
}

static enum pare_code gelu_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct unary_args *u = c->args;
	bool is_tanh = u->text.len == 4 && memcmp(u->text.data, "tanh", 4) == 0;

	if (u->text.data != NULL && !is_tanh && !(u->text.len == 4 && memcmp(u->text.data, "none", 4) == 0))
		return pare_err_set(err, PARE_E_INVALID, c->where, "attribute \"approximate\" must be \"none\" or \"tanh\"");
	u->a = is_tanh ? 1.0f : 0.0f;
	return unary_infer(c, err);
}

static enum pare_code clip_attr_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct unary_args *u = c->args;

	u->kernel = &pare_k_clip;
	return pare_infer_same(c, err);
}

static enum pare_code clip_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct unary_args *u = c->args;

	u->a = -INFINITY;
	u->b = INFINITY;
	for (int k = 1; k < 3; k++) {
		const struct pare_known *known = &c->in_known[k];
		float *bound = k == 1 ? &u->a : &u->b;

		if (!pare_infer_has(c, k))
			continue;
		if (known->n != 1)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "a bound of %zu elements; it must be a scalar", known->n);
		*bound = known->i64 != NULL ? (float)known->i64[0] : known->f32[0];
	}
	return clip_attr_infer(c, err);
}

static bool clip_step(const struct pare_node_view *v, int operand, struct pare_step *out)
{
	const struct unary_args *u = v->args;

	*out = (struct pare_step){.kind = PARE_STEP_CLAMP, .lo = u->a, .hi = u->b};
	return operand == 0 && u->a <= u->b;
}

static void unary_forward(const struct pare_run *r)
{
	const struct unary_args *u = r->args;

	u->kernel->f(pare_shape_elems(r->in_shape[0]), u->a, u->b, r->in[0], r->out[0]);
}

static void unary_backward(const struct pare_run *r)
{
	const struct unary_args *u = r->args;

	u->kernel->df(pare_shape_elems(r->in_shape[0]), u->a, u->b, r->in[0], r->out[0], r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

#define A(text, value) {.name = text, .kind = PARE_ARG_FLOAT, .offset = offsetof(struct unary_args, a), .def = value}
#define B(text, value) {.name = text, .kind = PARE_ARG_FLOAT, .offset = offsetof(struct unary_args, b), .def = value}
static const struct pare_arg_spec arg_table_NONE[] = {{.name = NULL}};
static const struct pare_arg_spec arg_table_ALPHA[] = {A("alpha", 1), {.name = NULL}};
static const struct pare_arg_spec arg_table_LEAKY[] = {A("alpha", 0.01), {.name = NULL}};
static const struct pare_arg_spec arg_table_SELU[] = {A("alpha", 1.67326319217681884765625), B("gamma", 1.05070102214813232421875), {.name = NULL}};
static const struct pare_arg_spec arg_table_HARD[] = {A("alpha", 0.2), B("beta", 0.5), {.name = NULL}};
static const struct pare_arg_spec arg_table_SHRINK[] = {A("lambd", 0.5), B("bias", 0), {.name = NULL}};
static const struct pare_arg_spec arg_table_CLIP[] = {A("min", -3.4028234663852886e38), B("max", 3.4028234663852886e38), {.name = NULL}};
static const struct pare_arg_spec arg_table_GELU[] = {
    {.name = "approximate", .kind = PARE_ARG_STRING, .offset = offsetof(struct unary_args, text)},
    {.name = NULL},
};
static const struct pare_arg_spec arg_table_INF[] = {
    {.name = "detect_positive", .kind = PARE_ARG_INT, .offset = offsetof(struct unary_args, positive), .def = 1, .max = 1},
    {.name = "detect_negative", .kind = PARE_ARG_INT, .offset = offsetof(struct unary_args, negative), .def = 1, .max = 1},
    {.name = NULL},
};

#define TYPES_FLOAT .infer = unary_infer, .backward = unary_backward
#define TYPES_ANY .any_dtype_in = PARE_BIT(0), .infer = unary_infer, .backward = unary_backward
#define TYPES_APPROX .infer = gelu_infer, .backward = unary_backward
#define TYPES_BOOLEAN .any_dtype_in = PARE_BIT(0), .infer = unary_infer, .no_gradient = "its output is true or false"
#define TYPES_TEST .infer = test_infer, .no_gradient = "its output is true or false"
#define USES_NEITHER .grad_uses_in = 0
#define USES_IN .grad_uses_in = PARE_BIT(0)
#define USES_OUT .grad_uses_out = PARE_BIT(0)

#define ROW .domain = "", .min_in = 1, .min_out = 1, .max_out = 1, .args_size = sizeof(struct unary_args), .inplace = true, \
	.forward = unary_forward, .couple = pare_couple_same, .layout = pare_layout_elementwise
#define CLIP ROW, .name = "Clip", .any_dtype_in = PARE_BIT(0), .grad_uses_in = PARE_BIT(0), .backward = unary_backward, .step = clip_step

const struct pare_op pare_op_unary_table[] = {
#define UNARY(text, first, attrs, types, uses, value, slope) \
	{ROW, .name = #text, .since = first, .until = PARE_OPSET_MAX, .max_in = 1, .args = arg_table_##attrs, TYPES_##types, USES_##uses},
#include "core/ops/kernels/unary.def"
#undef UNARY
    {CLIP, .since = PARE_OPSET_MIN, .until = 10, .max_in = 1, .args = arg_table_CLIP, .infer = clip_attr_infer},
    {CLIP, .since = 11, .until = PARE_OPSET_MAX, .max_in = 3, .const_in = PARE_BIT(1) | PARE_BIT(2), .infer = clip_infer},
    {.name = NULL},
};
