/* Picking by index.
 *
 *   Gather           y[o, i, k] = x[o, index[i], k]
 *   GatherElements   y[i] = x[i with the axis' coordinate replaced by index[i]]
 *
 * The gradient adds dy to where it was read. Indices are carried as floats like all integers. Constant ones are checked at
 * plan time; computed ones cannot fail any more when they run, so they are brought into range. Gather may run along the batch by indices that are
 * computed for each row (exporters write x[rows, index] so, over all rows laid flat); core/graph/plan_shards.c tells whether it stays in its row. */
#include <string.h>

#include "core/ops/kernels/elementwise.h"
#include "core/ops/ops_priv.h"
#include "core/ops/strided.h"

struct gather_args {
	int64_t axis_arg;
	int axis;
};

static enum pare_code check_indices(const struct pare_infer *c, int64_t n, struct pare_err *err)
{
	const struct pare_known *known = &c->in_known[1];

	if (n == 0 && pare_shape_elems(&c->in[1]) > 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "an axis without elements has nothing to pick from");
	for (size_t i = 0; known->i64 != NULL && i < known->n; i++)
		if (known->i64[i] < -n || known->i64[i] >= n || (known->batch != NULL && known->batch[i]))
			return pare_err_set(err, PARE_E_SHAPE, c->where, "index %lld is out of range for an axis of %lld elements", (long long)known->i64[i],
			    (long long)n);
	return PARE_OK;
}

/* rows_by_row: may the axis hold the batch? */
static enum pare_code gather_axis(const struct pare_infer *c, bool rows_by_row, struct pare_err *err)
{
	struct gather_args *a = c->args;
	const struct pare_shape *x = &c->in[0];

	if (c->in_dtype[1] == PARE_DT_FLOAT)
		return pare_err_set(err, PARE_E_MODEL, c->where, "the indices are float; they must be integers");
	a->axis = pare_axis(a->axis_arg, x->n_dims, false);
	if (a->axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for %d dimensions", (long long)a->axis_arg, x->n_dims);
	if ((x->batch & PARE_BIT(a->axis)) && (!rows_by_row || c->in[1].batch == 0))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution along the batch", c->node->op_type);
	c->out_dtype[0] = c->in_dtype[0];
	return check_indices(c, x->dims[a->axis], err);
}

static enum pare_code gather_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct gather_args *a = c->args;
	const struct pare_shape *x = &c->in[0], *index = &c->in[1];
	struct pare_shape *y = &c->out[0];
	enum pare_code code = gather_axis(c, true, err);

	if (code != PARE_OK)
		return code;
	if (x->n_dims + index->n_dims - 1 > PARE_MAX_DIMS)
		return pare_err_set(err, PARE_E_LIMIT, c->where, "%d dimensions; at most %d are supported", x->n_dims + index->n_dims - 1, PARE_MAX_DIMS);
	for (int i = 0; i < x->n_dims; i++) {
		int from = i == a->axis ? 0 : i, n = i == a->axis ? index->n_dims : 1;
		const struct pare_shape *s = i == a->axis ? index : x;

		for (int k = 0; k < n; k++) {
			y->dims[y->n_dims] = s->dims[from + k];
			y->batch |= s->batch & PARE_BIT(from + k) ? PARE_BIT(y->n_dims) : 0;
			y->n_dims++;
		}
	}
	return PARE_OK;
}

struct gather_size {
	size_t outer, n, inner, n_index;
};

static struct gather_size gather_size(const struct pare_run *r)
{
	const struct gather_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0];

	return (struct gather_size){.outer = (size_t)pare_shape_product(x, 0, a->axis), .n = (size_t)x->dims[a->axis],
	    .inner = (size_t)pare_shape_product(x, a->axis + 1, x->n_dims), .n_index = pare_shape_elems(r->in_shape[1])};
}

static void gather_forward(const struct pare_run *r)
{
	struct gather_size z = gather_size(r);
	float *y = r->out[0];

	for (size_t o = 0; o < z.outer && z.n > 0; o++)
		for (size_t i = 0; i < z.n_index; i++, y += z.inner)
			memcpy(y, r->in[0] + (o * z.n + (size_t)pare_pick_index(r->in[1][i], (int64_t)z.n)) * z.inner, z.inner * sizeof *y);
}

static void clear(const struct pare_run *r)
{
	if (!r->accumulate[0])
		memset(r->grad_in[0], 0, pare_shape_elems(r->in_shape[0]) * sizeof(float));
}

static void gather_backward(const struct pare_run *r)
{
	struct gather_size z = gather_size(r);
	const float *dy = r->grad_out[0];

	clear(r);
	for (size_t o = 0; o < z.outer && z.n > 0; o++)
		for (size_t i = 0; i < z.n_index; i++, dy += z.inner)
			pare_k_acc(z.inner, dy, r->grad_in[0] + (o * z.n + (size_t)pare_pick_index(r->in[1][i], (int64_t)z.n)) * z.inner);
}

static void gather_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct gather_args *a = v->args;
	int n_index = v->in[1]->n_dims;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		if (i != a->axis)
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = 0, .a_axis = i, .b = PARE_OUT(0), .b_axis = i < a->axis ? i : i + n_index - 1});
	for (int i = 0; i < n_index; i++)
		pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = 1, .a_axis = i, .b = PARE_OUT(0), .b_axis = a->axis + i});
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_OPAQUE, .a = 0, .a_axis = a->axis, .b = 0, .b_axis = a->axis});
	if (n_index > 0)
		pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_OPAQUE, .a = 0, .a_axis = a->axis, .b = PARE_OUT(0), .b_axis = a->axis});
}

static enum pare_code elements_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct gather_args *a = c->args;
	const struct pare_shape *x = &c->in[0], *index = &c->in[1];
	enum pare_code code = gather_axis(c, false, err);

	if (code != PARE_OK)
		return code;
	if (x->n_dims != index->n_dims)
		return pare_infer_mismatch(c, 0, 1, "they must have equally many dimensions", err);
	for (int k = 0; k < x->n_dims; k++)
		if (k != a->axis && (index->dims[k] > x->dims[k] || ((index->batch ^ x->batch) & PARE_BIT(k)) != 0))
			return pare_infer_mismatch(c, 0, 1, "the second must not be larger outside the axis", err);
	c->out[0] = *index;
	return PARE_OK;
}

/* Calls for each element of the index, in order, with where it points in x. */
static void elements_each(const struct pare_run *r, const float *from, float *to, bool back)
{
	const struct gather_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0], *y = r->in_shape[1];
	int64_t stride[PARE_MAX_DIMS], at[PARE_MAX_DIMS] = {0};
	size_t n = pare_shape_elems(y), len = (size_t)x->dims[a->axis];

	pare_strides(x, stride);
	for (size_t i = 0; i < n && len > 0; i++) {
		size_t p = (size_t)(pare_pick_index(r->in[1][i], (int64_t)len) * stride[a->axis]);

		for (int k = 0; k < y->n_dims; k++)
			p += k != a->axis ? (size_t)(at[k] * stride[k]) : 0;
		if (back)
			to[p] += from[i];
		else
			to[i] = from[p];
		for (int k = y->n_dims - 1; k >= 0 && ++at[k] == y->dims[k]; k--)
			at[k] = 0;
	}
}

static void elements_forward(const struct pare_run *r)
{
	elements_each(r, r->in[0], r->out[0], false);
}

static void elements_backward(const struct pare_run *r)
{
	clear(r);
	elements_each(r, r->grad_out[0], r->grad_in[0], true);
}

static void elements_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct gather_args *a = v->args;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		for (int k = 0; k < 2; k++) {
			bool same = i != a->axis && v->in[0]->dims[i] == v->in[1]->dims[i];

			pare_tie_add(t, (struct pare_tie){.kind = same ? PARE_TIE_SAME : PARE_TIE_OPAQUE, .a = k, .a_axis = i, .b = PARE_OUT(0), .b_axis = i});
		}
}

static const struct pare_arg_spec gather_arg_table[] = {
    {.name = "axis", .kind = PARE_ARG_INT, .offset = offsetof(struct gather_args, axis_arg)},
    {.name = NULL},
};

#define ROW .domain = "", .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .moves_in = PARE_BIT(0), .any_dtype_in = ~0u, \
	.args_size = sizeof(struct gather_args), .args = gather_arg_table, .grad_uses_in = PARE_BIT(1)

const struct pare_op pare_op_gather_table[] = {
    {ROW, .name = "Gather", .since = PARE_OPSET_MIN, .infer = gather_infer, .forward = gather_forward, .backward = gather_backward,
     .couple = gather_couple},
    {ROW, .name = "GatherElements", .since = 11, .infer = elements_infer, .forward = elements_forward, .backward = elements_backward,
     .couple = elements_couple},
    {.name = NULL},
};
