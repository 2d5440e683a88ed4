/* Operators whose output does not depend on values of tensors that are computed: Shape, Size and EyeLike look at a shape only,
 * ConstantOfShape, Range and NonZero at constants. Nearly always they are folded at plan time; where the batch size takes part, they
 * run like any other. */
#include <math.h>

#include "core/ops/kernels/elementwise.h"
#include "core/ops/movement.h"
#include "core/ops/ops_priv.h"

struct shape_args {
	int64_t start, end;
	int first, last;
};

static int bounded(int64_t v, int n)
{
	v += v < 0 ? n : 0;
	return v < 0 ? 0 : v > n ? n : (int)v;
}

static enum pare_code shape_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct shape_args *a = c->args;
	int n = c->in[0].n_dims;

	(void)err;
	a->first = bounded(a->start, n);
	a->last = bounded(pare_node_attr(c->node, "end") != NULL ? a->end : n, n);
	c->out[0] = (struct pare_shape){.n_dims = 1, .dims = {a->last > a->first ? a->last - a->first : 0}};
	c->out_dtype[0] = PARE_DT_INT64;
	return PARE_OK;
}

static void shape_forward(const struct pare_run *r)
{
	const struct shape_args *a = r->args;

	for (int i = a->first; i < a->last; i++)
		r->out[0][i - a->first] = (float)r->in_shape[0]->dims[i];
}

static enum pare_code size_infer(const struct pare_infer *c, struct pare_err *err)
{
	(void)err;
	c->out[0] = (struct pare_shape){.n_dims = 0};
	c->out_dtype[0] = PARE_DT_INT64;
	return PARE_OK;
}

static void size_forward(const struct pare_run *r)
{
	r->out[0][0] = (float)pare_shape_elems(r->in_shape[0]);
}

struct fill_args {
	const struct pare_tensor *value;
	float fill;
};

static enum pare_code fill_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct fill_args *a = c->args;
	enum pare_code code = pare_known_shape(c, 0, &c->out[0], err);

	if (code != PARE_OK || a->value == NULL)
		return code;
	if (a->value->n_elems != 1)
		return pare_err_set(err, PARE_E_MODEL, c->where, "a value of %zu elements; it must be one", a->value->n_elems);
	c->out_dtype[0] = pare_dtype_computed(a->value->dtype);
	code = pare_tensor_read_f32(a->value, &a->fill, err);
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "%s", c->where);
}

static void fill_forward(const struct pare_run *r)
{
	pare_k_fill(pare_shape_elems(r->out_shape[0]), ((const struct fill_args *)r->args)->fill, r->out[0]);
}

struct range_args {
	double start, delta;
	int64_t stash_type; /* how exactly at least: it is double here */
};

static double scalar(const struct pare_known *k)
{
	return k->i64 != NULL ? (double)k->i64[0] : (double)k->f32[0];
}

/* From 0 to a multiple of the batch size. */
static enum pare_code range_of_rows(const struct pare_infer *c, struct pare_err *err)
{
	const struct range_args *a = c->args;
	double n = scalar(&c->in_known[1]) / a->delta;

	if (a->start != 0 || !(n > 0 && n <= INT32_MAX) || n != floor(n))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where,
		    "operator Range is not supported for execution up to the batch size, but from 0 and in whole steps");
	c->out[0] = (struct pare_shape){.n_dims = 1, .dims = {(int64_t)n}, .batch = PARE_BIT(0)};
	return PARE_OK;
}

static enum pare_code range_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct range_args *a = c->args;
	double n;

	for (int k = 0; k < 3; k++)
		if (c->in_known[k].n != 1)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "input %d has %zu elements; it must be a scalar", k, c->in_known[k].n);
	a->start = scalar(&c->in_known[0]);
	a->delta = scalar(&c->in_known[2]);
	c->out_dtype[0] = c->in_dtype[0];
	if (c->in_known[1].batch != NULL && c->in_known[1].batch[0])
		return range_of_rows(c, err);
	n = (scalar(&c->in_known[1]) - a->start) / a->delta;
	if (!(n <= INT32_MAX))
		return pare_err_set(err, PARE_E_LIMIT, c->where, "a range of %g elements", n);
	c->out[0] = (struct pare_shape){.n_dims = 1, .dims = {n > 0 ? (int64_t)n + ((double)(int64_t)n < n ? 1 : 0) : 0}};
	return PARE_OK;
}

static void range_forward(const struct pare_run *r)
{
	const struct range_args *a = r->args;

	for (int64_t i = 0; i < r->out_shape[0]->dims[0]; i++)
		r->out[0][i] = (float)(a->start + (double)i * a->delta);
}

/* Where a constant is not zero: one row of indices per dimension. How many depends on the values, so they must be known. */
static enum pare_code nonzero_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct pare_known *x = &c->in_known[0];
	int n_dims = c->in[0].n_dims > 0 ? c->in[0].n_dims : 1;
	int64_t *out = pare_arena_array(c->arena, (size_t)n_dims * x->n + 1, sizeof *out);
	size_t n = 0, at = 0;

	if (out == NULL)
		return pare_err_nomem(err, (size_t)n_dims * x->n * sizeof *out);
	for (size_t i = 0; i < x->n; i++)
		n += x->i64 != NULL ? x->i64[i] != 0 : x->f32[i] != 0.0f;
	for (size_t i = 0; i < x->n; i++) {
		if (x->i64 != NULL ? x->i64[i] == 0 : x->f32[i] == 0.0f)
			continue;
		for (int k = n_dims - 1, rest = (int)i; k >= 0; k--) {
			int len = c->in[0].n_dims > 0 ? (int)c->in[0].dims[k] : 1;

			out[(size_t)k * n + at] = rest % len;
			rest /= len;
		}
		at++;
	}
	c->out[0] = (struct pare_shape){.n_dims = 2, .dims = {n_dims, (int64_t)n}};
	c->out_dtype[0] = PARE_DT_INT64;
	c->out_known[0] = (struct pare_known){.i64 = out, .n = (size_t)n_dims * n};
	return PARE_OK;
}

struct eye_args {
	int64_t dtype, k;
};

static enum pare_code eye_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct eye_args *a = c->args;
	int64_t type = a->dtype != PARE_DT_UNDEFINED ? a->dtype : c->in_dtype[0];

	if (c->in[0].n_dims != 2)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%d dimensions; EyeLike makes matrices", c->in[0].n_dims);
	if (!pare_dtype_is_number((int)type))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator EyeLike is not supported for execution with %s", pare_dtype_name((int)type));
	c->out[0] = c->in[0];
	c->out_dtype[0] = pare_dtype_computed((int)type);
	return PARE_OK;
}

static void eye_forward(const struct pare_run *r)
{
	const struct eye_args *a = r->args;
	int64_t columns = r->out_shape[0]->dims[1];

	for (int64_t i = 0, n = (int64_t)pare_shape_elems(r->out_shape[0]); i < n; i++)
		r->out[0][i] = i % columns - i / columns == a->k ? 1.0f : 0.0f;
}

static void fill_resize(const struct pare_resize *r)
{
	pare_resize_target(r, 0);
}

static void no_ties(const struct pare_node_view *v, struct pare_ties *t)
{
	(void)v;
	(void)t;
}

static const struct pare_arg_spec shape_arg_table[] = {
    {.name = "start", .kind = PARE_ARG_INT, .offset = offsetof(struct shape_args, start)},
    {.name = "end", .kind = PARE_ARG_INT, .offset = offsetof(struct shape_args, end)},
    {.name = NULL},
};
static const struct pare_arg_spec fill_arg_table[] = {
    {.name = "value", .kind = PARE_ARG_TENSOR, .offset = offsetof(struct fill_args, value)},
    {.name = NULL},
};
static const struct pare_arg_spec range_arg_table[] = {
    {.name = "stash_type", .kind = PARE_ARG_INT, .offset = offsetof(struct range_args, stash_type), .def = 1},
    {.name = NULL},
};
static const struct pare_arg_spec eye_arg_table[] = {
    {.name = "dtype", .kind = PARE_ARG_INT, .offset = offsetof(struct eye_args, dtype), .max = PARE_DT_MAX},
    {.name = "k", .kind = PARE_ARG_INT, .offset = offsetof(struct eye_args, k)},
    {.name = NULL},
};

#define ROW .domain = "", .until = PARE_OPSET_MAX, .min_out = 1, .max_out = 1, .couple = no_ties, .no_gradient = "it passes no values on"

const struct pare_op pare_op_generate_table[] = {
    {ROW, .name = "Shape", .since = PARE_OPSET_MIN, .min_in = 1, .max_in = 1, .shape_in = PARE_BIT(0), .args_size = sizeof(struct shape_args),
     .args = shape_arg_table, .infer = shape_infer, .forward = shape_forward},
    {ROW, .name = "Size", .since = PARE_OPSET_MIN, .min_in = 1, .max_in = 1, .shape_in = PARE_BIT(0), .infer = size_infer, .forward = size_forward},
    {ROW, .name = "ConstantOfShape", .since = 9, .min_in = 1, .max_in = 1, .const_in = PARE_BIT(0), .symbolic_in = PARE_BIT(0),
     .args_size = sizeof(struct fill_args), .args = fill_arg_table, .infer = fill_infer, .forward = fill_forward, .resize = fill_resize},
    {ROW, .name = "NonZero", .since = 9, .min_in = 1, .max_in = 1, .const_in = PARE_BIT(0), .infer = nonzero_infer},
    {ROW, .name = "Range", .since = 11, .min_in = 3, .max_in = 3, .const_in = PARE_BIT(0) | PARE_BIT(1) | PARE_BIT(2), .symbolic_in = PARE_BIT(1),
     .counts_rows = true, .args_size = sizeof(struct range_args), .args = range_arg_table, .infer = range_infer, .forward = range_forward},
    {ROW, .name = "EyeLike", .since = 9, .min_in = 1, .max_in = 1, .shape_in = PARE_BIT(0), .args_size = sizeof(struct eye_args), .args = eye_arg_table,
     .infer = eye_infer, .forward = eye_forward},
    {.name = NULL},
};
