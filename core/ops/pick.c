/* The best along an axis: ArgMax, ArgMin, TopK.
 *
 * Indices are integers, carried as floats, and have no gradient. TopK's values are x at those indices, so its gradient adds
 * dy there. TopK keeps the best k seen so far in order: k n comparisons at worst, which for the k in use (1 to 10) beats
 * sorting; equal elements stand in the order of their indices, as ONNX wants. */
#include <string.h>

#include "core/ops/movement.h"
#include "core/ops/ops_priv.h"

struct pick_args {
	int64_t axis_arg, keep_dims, select_last, k, largest, sorted;
	int axis;
	bool want_max;
};

static enum pare_code pick_axis(const struct pare_infer *c, struct pare_err *err)
{
	struct pick_args *a = c->args;
	const struct pare_shape *x = &c->in[0];

	a->axis = pare_axis(a->axis_arg, x->n_dims, false);
	if (a->axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for %d dimensions", (long long)a->axis_arg, x->n_dims);
	if (x->batch & PARE_BIT(a->axis))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution along the batch", c->node->op_type);
	if (x->dims[a->axis] == 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %d has no elements", a->axis);
	return PARE_OK;
}

static enum pare_code arg_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct pick_args *a = c->args;
	enum pare_code code = pick_axis(c, err);
	struct pare_shape *y = &c->out[0];

	if (code != PARE_OK)
		return code;
	a->want_max = strcmp(c->node->op_type, "ArgMax") == 0;
	c->out_dtype[0] = PARE_DT_INT64;
	for (int i = 0; i < c->in[0].n_dims; i++) {
		if (i == a->axis && a->keep_dims == 0)
			continue;
		y->dims[y->n_dims] = i == a->axis ? 1 : c->in[0].dims[i];
		y->batch |= c->in[0].batch & PARE_BIT(i) ? PARE_BIT(y->n_dims) : 0;
		y->n_dims++;
	}
	return PARE_OK;
}

struct pick_size {
	size_t outer, n, inner;
};

static struct pick_size pick_size(const struct pare_run *r)
{
	const struct pick_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0];

	return (struct pick_size){.outer = (size_t)pare_shape_product(x, 0, a->axis), .n = (size_t)x->dims[a->axis],
	    .inner = (size_t)pare_shape_product(x, a->axis + 1, x->n_dims)};
}

static void arg_forward(const struct pare_run *r)
{
	const struct pick_args *a = r->args;
	struct pick_size z = pick_size(r);

	for (size_t o = 0; o < z.outer; o++)
		for (size_t i = 0; i < z.inner; i++) {
			const float *x = r->in[0] + o * z.n * z.inner + i;
			size_t best = 0;

			for (size_t j = 1; j < z.n; j++) {
				float v = x[j * z.inner], b = x[best * z.inner];

				if ((a->want_max ? v > b : v < b) || (a->select_last != 0 && v == b))
					best = j;
			}
			r->out[0][o * z.inner + i] = (float)best;
		}
}

/* All indices of the axis compete. */
static void pick_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct pick_args *a = v->args;
	int out = 0;

	for (int i = 0; i < v->in[0]->n_dims; i++) {
		if (i == a->axis)
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_OPAQUE, .a = 0, .a_axis = i, .b = 0, .b_axis = i});
		for (int k = 0; i != a->axis && k < v->n_out; k++)
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = 0, .a_axis = i, .b = PARE_OUT(k), .b_axis = out});
		out += i != a->axis || a->keep_dims != 0;
	}
}

static enum pare_code top_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct pick_args *a = c->args;
	struct pare_ints k;
	enum pare_code code = pick_axis(c, err);

	a->keep_dims = 1;
	if (code == PARE_OK && c->n_in > 1) {
		code = pare_known_ints(c, 1, &k, err);
		a->k = code == PARE_OK && k.n == 1 ? k.v[0] : -1;
	}
	if (code != PARE_OK)
		return code;
	if (a->k < 0 || a->k > c->in[0].dims[a->axis])
		return pare_err_set(err, PARE_E_SHAPE, c->where, "the best %lld of %lld elements", (long long)a->k, (long long)c->in[0].dims[a->axis]);
	c->out[0] = c->in[0];
	c->out[0].dims[a->axis] = a->k;
	c->out[1] = c->out[0];
	c->out_dtype[0] = c->in_dtype[0];
	c->out_dtype[1] = PARE_DT_INT64;
	return PARE_OK;
}

/* Indices, also where output 1 is not wanted: backward needs them. */
static size_t top_scratch(const struct pare_run *r)
{
	return pare_shape_elems(r->out_shape[0]);
}

static void top_row(const struct pick_args *a, const float *x, size_t n, size_t inner, float *index)
{
	size_t k = (size_t)a->k, have = 0;

	for (size_t j = 0; j < n && k > 0; j++) {
		float v = x[j * inner];
		size_t at = have;

		while (at > 0) {
			float worse = x[(size_t)index[(at - 1) * inner] * inner];

			if (!(a->largest != 0 ? v > worse : v < worse))
				break;
			at--;
		}
		if (at == k)
			continue;
		have += have < k ? 1 : 0;
		for (size_t m = have - 1; m > at; m--)
			index[m * inner] = index[(m - 1) * inner];
		index[at * inner] = (float)j;
	}
}

static void top_indices(const struct pare_run *r, float *index)
{
	const struct pick_args *a = r->args;
	struct pick_size z = pick_size(r);

	for (size_t o = 0; o < z.outer; o++)
		for (size_t i = 0; i < z.inner; i++)
			top_row(a, r->in[0] + o * z.n * z.inner + i, z.n, z.inner, index + o * (size_t)a->k * z.inner + i);
}

static void top_forward(const struct pare_run *r)
{
	struct pick_size z = pick_size(r);
	size_t k = (size_t)((const struct pick_args *)r->args)->k, n = pare_shape_elems(r->out_shape[0]);

	top_indices(r, r->scratch);
	for (size_t i = 0; i < n; i++) {
		size_t o = i / (k * z.inner), in = i % z.inner;

		if (r->out[0] != NULL)
			r->out[0][i] = r->in[0][(o * z.n + (size_t)r->scratch[i]) * z.inner + in];
		if (r->n_out > 1 && r->out[1] != NULL)
			r->out[1][i] = r->scratch[i];
	}
}

static void top_backward(const struct pare_run *r)
{
	struct pick_size z = pick_size(r);
	size_t k = (size_t)((const struct pick_args *)r->args)->k, n = pare_shape_elems(r->out_shape[0]);

	if (!r->accumulate[0])
		memset(r->grad_in[0], 0, pare_shape_elems(r->in_shape[0]) * sizeof(float));
	top_indices(r, r->scratch);
	for (size_t i = 0; i < n; i++)
		r->grad_in[0][(i / (k * z.inner) * z.n + (size_t)r->scratch[i]) * z.inner + i % z.inner] += r->grad_out[0][i];
}

#define INT(text, member, ...) {.name = text, .kind = PARE_ARG_INT, .offset = offsetof(struct pick_args, member), __VA_ARGS__}
static const struct pare_arg_spec arg_arg_table[] = {
    INT("axis", axis_arg, .def = 0),
    INT("keepdims", keep_dims, .def = 1, .max = 1),
    INT("select_last_index", select_last, .max = 1),
    {.name = NULL},
};
static const struct pare_arg_spec top_attr_arg_table[] = {
    INT("axis", axis_arg, .def = -1),
    INT("k", k, .required = true),
    INT("largest", largest, .def = 1, .max = 1),
    {.name = NULL},
};
static const struct pare_arg_spec top_arg_table[] = {
    INT("axis", axis_arg, .def = -1),
    INT("largest", largest, .def = 1, .max = 1),
    INT("sorted", sorted, .def = 1, .max = 1),
    {.name = NULL},
};

#define ROW .domain = "", .min_out = 1, .args_size = sizeof(struct pick_args), .any_dtype_in = PARE_BIT(0), .couple = pick_couple
#define ARG ROW, .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = 1, .max_out = 1, .args = arg_arg_table, .infer = arg_infer, \
	.forward = arg_forward, .no_gradient = "its output is an index"
#define TOP ROW, .name = "TopK", .max_out = 2, .grad_uses_in = PARE_BIT(0), .infer = top_infer, .scratch = top_scratch, .forward = top_forward, \
	.backward = top_backward

const struct pare_op pare_op_pick_table[] = {
    {ARG, .name = "ArgMax"},
    {ARG, .name = "ArgMin"},
    {TOP, .since = PARE_OPSET_MIN, .until = 9, .min_in = 1, .max_in = 1, .args = top_attr_arg_table},
    {TOP, .since = 10, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 2, .const_in = PARE_BIT(1), .args = top_arg_table},
    {.name = NULL},
};
