/* Operators that know where along an axis an element stands.
 *
 *   CumSum            y_i = sum over j <= i of x_j (exclusive: j < i; reverse: from the end)
 *                     dx_j = sum over i >= j of dy_i: the same, run the other way
 *   Trilu             y = x on one side of a diagonal, 0 on the other                      dx = dy there
 *   ReverseSequence   the first len[b] elements of each sequence in reverse                dx = the same of dy
 *   OneHot            y[..., k, ...] = on where k is the index, else off
 */
#include <math.h>
#include <string.h>

#include "core/ops/movement.h"
#include "core/ops/ops_priv.h"

struct axis_size {
	size_t outer, n, inner;
};

static struct axis_size axis_size(const struct pare_shape *s, int axis)
{
	return (struct axis_size){.outer = (size_t)pare_shape_product(s, 0, axis), .n = (size_t)s->dims[axis],
	    .inner = (size_t)pare_shape_product(s, axis + 1, s->n_dims)};
}

static enum pare_code free_axis(const struct pare_infer *c, int64_t axis_arg, int *axis, struct pare_err *err)
{
	const struct pare_shape *x = &c->in[0];

	*axis = pare_axis(axis_arg, x->n_dims, false);
	if (*axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for %d dimensions", (long long)axis_arg, x->n_dims);
	if (x->batch & PARE_BIT(*axis))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution along the batch", c->node->op_type);
	return PARE_OK;
}

/* A constant input of one integer. */
static enum pare_code known_int(const struct pare_infer *c, int k, int64_t *out, struct pare_err *err)
{
	const struct pare_known *known = &c->in_known[k];

	if (known->n != 1)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "input %d has %zu elements; it must be a scalar", k, known->n);
	if (known->i64 == NULL && !(fabsf(known->f32[0]) < 16777216.0f))
		return pare_err_set(err, PARE_E_INVALID, c->where, "input %d is %g; it must be an integer", k, (double)known->f32[0]);
	*out = known->i64 != NULL ? known->i64[0] : (int64_t)known->f32[0];
	return PARE_OK;
}

struct cumsum_args {
	int64_t exclusive, reverse;
	int axis;
};

static enum pare_code cumsum_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct cumsum_args *a = c->args;
	int64_t axis = 0;
	enum pare_code code = known_int(c, 1, &axis, err);

	if (code == PARE_OK)
		code = free_axis(c, axis, &a->axis, err);
	return code == PARE_OK ? pare_infer_same(c, err) : code;
}

static void cumsum(const struct cumsum_args *a, bool reverse, const struct pare_shape *s, const float *x, bool acc, float *y)
{
	struct axis_size z = axis_size(s, a->axis);

	for (size_t o = 0; o < z.outer; o++)
		for (size_t k = 0; k < z.inner; k++) {
			double sum = 0;

			for (size_t i = 0; i < z.n; i++) {
				size_t at = (o * z.n + (reverse ? z.n - 1 - i : i)) * z.inner + k;
				double before = sum;

				sum += (double)x[at];
				y[at] = (acc ? y[at] : 0.0f) + (float)(a->exclusive != 0 ? before : sum);
			}
		}
}

static void cumsum_forward(const struct pare_run *r)
{
	const struct cumsum_args *a = r->args;

	cumsum(a, a->reverse != 0, r->in_shape[0], r->in[0], false, r->out[0]);
}

static void cumsum_backward(const struct pare_run *r)
{
	const struct cumsum_args *a = r->args;

	cumsum(a, a->reverse == 0, r->in_shape[0], r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

static void tie(struct pare_ties *t, enum pare_tie_kind kind, int a, int a_axis, int b, int b_axis)
{
	pare_tie_add(t, (struct pare_tie){.kind = kind, .a = a, .a_axis = a_axis, .b = b, .b_axis = b_axis});
}

static void cumsum_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct cumsum_args *a = v->args;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		tie(t, i == a->axis ? PARE_TIE_MIX : PARE_TIE_SAME, 0, i, PARE_OUT(0), i);
}

struct trilu_args {
	int64_t upper, k;
};

static enum pare_code trilu_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct trilu_args *a = c->args;
	int row, column;
	enum pare_code code = free_axis(c, -2, &row, err);

	if (code == PARE_OK)
		code = free_axis(c, -1, &column, err);
	if (code == PARE_OK && pare_infer_has(c, 1))
		code = known_int(c, 1, &a->k, err);
	a->k = a->k > INT32_MAX ? INT32_MAX : a->k < -INT32_MAX ? -INT32_MAX : a->k;
	return code == PARE_OK ? pare_infer_same(c, err) : code;
}

static void trilu(const struct pare_run *r, const float *x, bool acc, float *y)
{
	const struct trilu_args *a = r->args;
	const struct pare_shape *s = r->in_shape[0];
	struct axis_size z = axis_size(s, s->n_dims - 2);

	for (size_t l = 0; l < z.outer * z.n; l++)
		for (size_t j = 0; j < z.inner; j++) {
			int64_t off = (int64_t)j - (int64_t)(l % z.n) - a->k;
			size_t at = l * z.inner + j;

			y[at] = (acc ? y[at] : 0.0f) + ((a->upper != 0 ? off >= 0 : off <= 0) ? x[at] : 0.0f);
		}
}

static void trilu_forward(const struct pare_run *r)
{
	trilu(r, r->in[0], false, r->out[0]);
}

static void trilu_backward(const struct pare_run *r)
{
	trilu(r, r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

/* Where the diagonal runs depends on every index of the last two axes. */
static void trilu_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	int n = v->in[0]->n_dims;

	for (int i = 0; i < n; i++)
		tie(t, i < n - 2 ? PARE_TIE_SAME : PARE_TIE_OPAQUE, 0, i, PARE_OUT(0), i);
}

struct reverse_args {
	int64_t batch_axis, time_axis;
};

static enum pare_code reverse_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct reverse_args *a = c->args;
	const struct pare_shape *x = &c->in[0], *len = &c->in[1];
	int b = (int)a->batch_axis;

	if (a->batch_axis == a->time_axis || x->n_dims < 2)
		return pare_err_set(err, PARE_E_INVALID, c->where, "batch_axis and time_axis must be 0 and 1, and the input of at least 2 dimensions");
	if (x->batch & PARE_BIT(1 - b))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator ReverseSequence is not supported for execution along the batch");
	if (len->n_dims != 1 || len->dims[0] != x->dims[b] || !(len->batch & 1) != !(x->batch & PARE_BIT(b)))
		return pare_infer_mismatch(c, 0, 1, "there must be a length for every sequence", err);
	return pare_infer_same(c, err);
}

static void reverse(const struct pare_run *r, const float *x, bool acc, float *y)
{
	const struct reverse_args *a = r->args;
	const struct pare_shape *s = r->in_shape[0];
	size_t n_batch = (size_t)s->dims[a->batch_axis], n_time = (size_t)s->dims[a->time_axis], inner = (size_t)pare_shape_product(s, 2, s->n_dims);
	size_t per_time = a->time_axis == 0 ? n_batch : 1, per_batch = a->time_axis == 0 ? 1 : n_time;

	for (size_t b = 0; b < n_batch; b++) {
		float stated = r->in[1][b];
		size_t len = !(stated > 0.0f) ? 0 : stated < (float)n_time ? (size_t)stated : n_time;

		for (size_t i = 0; i < n_time; i++) {
			const float *from = x + (b * per_batch + (i < len ? len - 1 - i : i) * per_time) * inner;
			float *to = y + (b * per_batch + i * per_time) * inner;

			for (size_t k = 0; k < inner; k++)
				to[k] = (acc ? to[k] : 0.0f) + from[k];
		}
	}
}

static void reverse_forward(const struct pare_run *r)
{
	reverse(r, r->in[0], false, r->out[0]);
}

static void reverse_backward(const struct pare_run *r)
{
	reverse(r, r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

static void reverse_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct reverse_args *a = v->args;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		tie(t, i == a->time_axis ? PARE_TIE_OPAQUE : PARE_TIE_SAME, 0, i, PARE_OUT(0), i);
	tie(t, PARE_TIE_SAME, 1, 0, PARE_OUT(0), (int)a->batch_axis);
}

struct one_hot_args {
	int64_t axis_arg;
	int axis;
	float off, on;
};

static enum pare_code one_hot_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct one_hot_args *a = c->args;
	const struct pare_known *values = &c->in_known[2];
	struct pare_shape *y = &c->out[0];
	int n = c->in[0].n_dims;
	int64_t depth = 0;
	enum pare_code code = known_int(c, 1, &depth, err);

	if (code != PARE_OK)
		return code;
	a->axis = pare_axis(a->axis_arg, n + 1, false);
	if (a->axis < 0 || n == PARE_MAX_DIMS)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for %d dimensions and the new one", (long long)a->axis_arg, n);
	if (depth < 1 || depth > INT32_MAX)
		return pare_err_set(err, PARE_E_INVALID, c->where, "a depth of %lld", (long long)depth);
	if (values->n != 2)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%zu values; there must be two, off and on", values->n);
	a->off = values->f32 != NULL ? values->f32[0] : (float)values->i64[0];
	a->on = values->f32 != NULL ? values->f32[1] : (float)values->i64[1];
	*y = (struct pare_shape){.n_dims = n + 1};
	for (int i = 0; i <= n; i++) {
		int from = i < a->axis ? i : i - 1;

		y->dims[i] = i == a->axis ? depth : c->in[0].dims[from];
		y->batch |= i != a->axis && (c->in[0].batch & PARE_BIT(from)) ? PARE_BIT(i) : 0;
	}
	c->out_dtype[0] = c->in_dtype[2];
	return PARE_OK;
}

static void one_hot_forward(const struct pare_run *r)
{
	const struct one_hot_args *a = r->args;
	struct axis_size z = axis_size(r->out_shape[0], a->axis);

	for (size_t o = 0; o < z.outer; o++)
		for (size_t i = 0; i < z.inner; i++) {
			float index = r->in[0][o * z.inner + i];

			index += index < 0.0f ? (float)z.n : 0.0f;
			for (size_t k = 0; k < z.n; k++)
				r->out[0][(o * z.n + k) * z.inner + i] = (float)k == index ? a->on : a->off;
		}
}

static void one_hot_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct one_hot_args *a = v->args;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		tie(t, PARE_TIE_SAME, 0, i, PARE_OUT(0), i < a->axis ? i : i + 1);
}

#define FLAG(text, type, member, preset) {.name = text, .kind = PARE_ARG_INT, .offset = offsetof(type, member), .def = preset, .max = 1}
static const struct pare_arg_spec cumsum_arg_table[] = {
    FLAG("exclusive", struct cumsum_args, exclusive, 0),
    FLAG("reverse", struct cumsum_args, reverse, 0),
    {.name = NULL},
};
static const struct pare_arg_spec trilu_arg_table[] = {FLAG("upper", struct trilu_args, upper, 1), {.name = NULL}};
static const struct pare_arg_spec reverse_arg_table[] = {
    FLAG("batch_axis", struct reverse_args, batch_axis, 1),
    FLAG("time_axis", struct reverse_args, time_axis, 0),
    {.name = NULL},
};
static const struct pare_arg_spec one_hot_arg_table[] = {
    {.name = "axis", .kind = PARE_ARG_INT, .offset = offsetof(struct one_hot_args, axis_arg), .def = -1},
    {.name = NULL},
};

#define ROW .domain = "", .until = PARE_OPSET_MAX, .min_out = 1, .max_out = 1, .any_dtype_in = ~0u

const struct pare_op pare_op_axis_table[] = {
    {ROW, .name = "CumSum", .since = 11, .min_in = 2, .max_in = 2, .const_in = PARE_BIT(1), .args_size = sizeof(struct cumsum_args), .args = cumsum_arg_table,
     .infer = cumsum_infer, .forward = cumsum_forward, .backward = cumsum_backward, .couple = cumsum_couple},
    {ROW, .name = "Trilu", .since = 14, .min_in = 1, .max_in = 2, .const_in = PARE_BIT(1), .args_size = sizeof(struct trilu_args), .args = trilu_arg_table,
     .infer = trilu_infer, .forward = trilu_forward, .backward = trilu_backward, .couple = trilu_couple},
    {ROW, .name = "ReverseSequence", .since = 10, .min_in = 2, .max_in = 2, .args_size = sizeof(struct reverse_args), .args = reverse_arg_table,
     .grad_uses_in = PARE_BIT(1), .infer = reverse_infer, .forward = reverse_forward, .backward = reverse_backward, .couple = reverse_couple},
    {ROW, .name = "OneHot", .since = 9, .min_in = 3, .max_in = 3, .const_in = PARE_BIT(1) | PARE_BIT(2), .args_size = sizeof(struct one_hot_args),
     .args = one_hot_arg_table, .infer = one_hot_infer, .forward = one_hot_forward, .backward = pare_backward_zero,
     .couple = one_hot_couple},
    {.name = NULL},
};
