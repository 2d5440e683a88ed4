/* Writing by index, and reading by tuples of indices.
 *
 *   GatherND                 y[b, i, k] = x[b, index[b, i, :], k]
 *   ScatterElements          y = x, then y[i with the axis' coordinate replaced by index[i]] (op)= u[i]
 *   ScatterND                y = x, then y[index[i, :], k] (op)= u[i, k]
 *
 * All three first write down where each element of the update (or of GatherND's output) stands in x; from there on they are
 * one loop over places. What is written to one place several times is combined by the attribute reduction:
 *
 *   none      the last one stays        dx = dy where nothing was written, du = dy where u was the last
 *   add       x + sum u                 dx = dy, du = dy
 *   mul       x prod u                  each gets dy times the product of the others (zeros are counted for that)
 *   max, min                            dy in equal parts to those that equal y
 *
 * Constant indices are checked at plan time; computed ones cannot fail when they run, so they are brought into range. They may
 * run along the batch (exporters write an assignment to a part of each row so); the graph is not cut into shards then. */
#include <string.h>

#include "core/ops/kernels/elementwise.h"
#include "core/ops/ops_priv.h"
#include "core/ops/strided.h"

enum reduction { NONE, ADD, MUL, MAX, MIN };

struct scatter_args {
	int64_t axis_arg, batch_arg;
	struct pare_span reduction_arg;
	enum reduction reduction;
	int axis;  /* ScatterElements */
	int batch; /* leading axes that indices and x share; GatherND */
	int depth; /* axes of x that a tuple of indices names */
};

static enum pare_code check_integers(const struct pare_infer *c, struct pare_err *err)
{
	if (c->in_dtype[1] == PARE_DT_FLOAT)
		return pare_err_set(err, PARE_E_MODEL, c->where, "the indices are float; they must be integers");
	if (c->n_in > 2 && c->in_dtype[0] != c->in_dtype[2])
		return pare_err_set(err, PARE_E_MODEL, c->where, "the updates are %s, what they are written into is %s; they must be of one type",
		    pare_dtype_name(c->in_dtype[2]), pare_dtype_name(c->in_dtype[0]));
	return PARE_OK;
}

/* Constant indices, of which every `period` in a row name the axes from `first` on. */
static enum pare_code check_range(const struct pare_infer *c, int first, int period, struct pare_err *err)
{
	const struct pare_known *known = &c->in_known[1];

	for (int k = first; k < first + period; k++) {
		if ((c->in[0].batch & PARE_BIT(k)) && known->i64 != NULL)
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution with constant indices along the batch",
			    c->node->op_type);
		if (c->in[0].dims[k] == 0 && pare_shape_elems(&c->in[1]) > 0)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "an axis without elements has no place to index");
	}
	for (size_t i = 0; known->i64 != NULL && i < known->n && period > 0; i++) {
		int64_t n = c->in[0].dims[first + (int)(i % (size_t)period)];

		if (known->i64[i] < -n || known->i64[i] >= n || (known->batch != NULL && known->batch[i]))
			return pare_err_set(err, PARE_E_SHAPE, c->where, "index %lld is out of range for an axis of %lld elements", (long long)known->i64[i],
			    (long long)n);
	}
	return PARE_OK;
}

static enum pare_code set_reduction(const struct pare_infer *c, struct pare_err *err)
{
	static const char *const name_table[] = {[NONE] = "none", [ADD] = "add", [MUL] = "mul", [MAX] = "max", [MIN] = "min"};
	struct scatter_args *a = c->args;

	for (int i = NONE; i <= MIN && a->reduction_arg.data != NULL; i++)
		if (a->reduction_arg.len == strlen(name_table[i]) && memcmp(a->reduction_arg.data, name_table[i], a->reduction_arg.len) == 0) {
			a->reduction = (enum reduction)i;
			return PARE_OK;
		}
	if (a->reduction_arg.data != NULL)
		return pare_err_set(err, PARE_E_INVALID, c->where, "attribute \"reduction\" must be none, add, mul, max or min");
	return PARE_OK;
}

static bool same_axis(const struct pare_shape *a, int i, const struct pare_shape *b, int j)
{
	return a->dims[i] == b->dims[j] && ((a->batch >> i ^ b->batch >> j) & 1) == 0;
}

static enum pare_code elements_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct scatter_args *a = c->args;
	const struct pare_shape *x = &c->in[0], *index = &c->in[1];
	enum pare_code code = check_integers(c, err);

	if (code == PARE_OK)
		code = set_reduction(c, err);
	if (code != PARE_OK)
		return code;
	a->axis = pare_axis(a->axis_arg, x->n_dims, false);
	if (a->axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for %d dimensions", (long long)a->axis_arg, x->n_dims);
	if (!pare_shape_same(index, &c->in[2]))
		return pare_infer_mismatch(c, 1, 2, "there must be an update for every index", err);
	if (x->n_dims != index->n_dims)
		return pare_infer_mismatch(c, 0, 1, "they must have equally many dimensions", err);
	for (int k = 0; k < x->n_dims; k++)
		if (k != a->axis && (index->dims[k] > x->dims[k] || ((index->batch ^ x->batch) & PARE_BIT(k)) != 0))
			return pare_infer_mismatch(c, 0, 1, "the second must not be larger outside the axis", err);
	c->out[0] = *x;
	c->out_dtype[0] = c->in_dtype[0];
	return check_range(c, a->axis, 1, err);
}

/* The shape of what a tensor of index tuples picks from x: the index's axes but the last, then what the tuples leave. */
static enum pare_code tuple_shape(const struct pare_infer *c, int batch, struct pare_shape *y, struct pare_err *err)
{
	struct scatter_args *a = c->args;
	const struct pare_shape *x = &c->in[0], *index = &c->in[1];
	int last = index->n_dims - 1;

	*y = (struct pare_shape){0};
	if (last < 0 || x->n_dims < 1 || (index->batch & PARE_BIT(last)))
		return pare_infer_mismatch(c, 0, 1, "the second must be tuples of indices along its last axis", err);
	if (batch < 0 || batch > last || batch > x->n_dims || index->dims[last] > x->n_dims - batch)
		return pare_infer_mismatch(c, 0, 1, "the tuples are longer than the first has dimensions", err);
	for (int i = 0; i < batch; i++)
		if (!same_axis(x, i, index, i))
			return pare_infer_mismatch(c, 0, 1, "their leading batch_dims dimensions differ", err);
	a->batch = batch;
	a->depth = (int)index->dims[last];
	if (last + x->n_dims - batch - a->depth > PARE_MAX_DIMS)
		return pare_err_set(err, PARE_E_LIMIT, c->where, "%d dimensions; at most %d are supported", last + x->n_dims - batch - a->depth, PARE_MAX_DIMS);
	for (int i = 0; i < last + x->n_dims - batch - a->depth; i++) {
		const struct pare_shape *from = i < last ? index : x;
		int k = i < last ? i : batch + a->depth + i - last;

		y->dims[y->n_dims] = from->dims[k];
		y->batch |= from->batch & PARE_BIT(k) ? PARE_BIT(y->n_dims) : 0;
		y->n_dims++;
	}
	return check_range(c, batch, a->depth, err);
}

static enum pare_code scatter_nd_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct pare_shape updates;
	enum pare_code code = check_integers(c, err);

	if (code == PARE_OK)
		code = set_reduction(c, err);
	if (code == PARE_OK)
		code = tuple_shape(c, 0, &updates, err);
	if (code == PARE_OK && !pare_shape_same(&updates, &c->in[2]))
		return pare_infer_mismatch(c, 1, 2, "there must be an update for every tuple of indices", err);
	c->out[0] = c->in[0];
	c->out_dtype[0] = c->in_dtype[0];
	return code;
}

static enum pare_code gather_nd_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct scatter_args *a = c->args;
	enum pare_code code = check_integers(c, err);

	if (code == PARE_OK && (a->batch_arg < 0 || a->batch_arg > PARE_MAX_DIMS))
		return pare_err_set(err, PARE_E_INVALID, c->where, "attribute \"batch_dims\" is %lld", (long long)a->batch_arg);
	c->out_dtype[0] = c->in_dtype[0];
	return code == PARE_OK ? tuple_shape(c, (int)a->batch_arg, &c->out[0], err) : code;
}

/* Where each element of the index of ScatterElements stands in x. */
static void element_places(const struct pare_run *r, int32_t *at)
{
	const struct scatter_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0], *index = r->in_shape[1];
	int64_t stride[PARE_MAX_DIMS], pos[PARE_MAX_DIMS] = {0};
	size_t n = pare_shape_elems(index);

	pare_strides(x, stride);
	for (size_t i = 0; i < n; i++) {
		int64_t p = pare_pick_index(r->in[1][i], x->dims[a->axis]) * stride[a->axis];

		for (int k = 0; k < index->n_dims; k++)
			p += k != a->axis ? pos[k] * stride[k] : 0;
		at[i] = (int32_t)p;
		for (int k = index->n_dims - 1; k >= 0 && ++pos[k] == index->dims[k]; k--)
			pos[k] = 0;
	}
}

/* Where each element that the tuples of indices name stands in x; n of them. */
static void tuple_places(const struct pare_run *r, size_t n, int32_t *at)
{
	const struct scatter_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0], *index = r->in_shape[1];
	int64_t stride[PARE_MAX_DIMS], inner = pare_shape_product(x, a->batch + a->depth, x->n_dims);
	int64_t block = pare_shape_product(x, a->batch, x->n_dims), per_block = pare_shape_product(index, a->batch, index->n_dims - 1);

	pare_strides(x, stride);
	for (int64_t i = 0; i < (int64_t)n / (inner > 0 ? inner : 1); i++) {
		int64_t p = i / per_block * block;

		for (int k = 0; k < a->depth; k++)
			p += pare_pick_index(r->in[1][i * a->depth + k], x->dims[a->batch + k]) * stride[a->batch + k];
		for (int64_t k = 0; k < inner; k++)
			at[i * inner + k] = (int32_t)(p + k);
	}
}

/* Scratch: a place per update, then two floats per element of x. */
static int32_t *places(const struct pare_run *r)
{
	_Static_assert(sizeof(int32_t) == sizeof(float), "scratch holds one place per update");
	return (int32_t *)(void *)r->scratch;
}

static size_t n_updates(const struct pare_run *r)
{
	return pare_shape_elems(r->in_shape[2]);
}

static size_t scatter_scratch(const struct pare_run *r)
{
	return n_updates(r) + 2 * pare_shape_elems(r->in_shape[0]);
}

static void scatter_forward(const struct pare_run *r)
{
	const struct scatter_args *a = r->args;
	const float *u = r->in[2];
	const int32_t *at = places(r);
	float *y = r->out[0];

	memcpy(y, r->in[0], pare_shape_elems(r->in_shape[0]) * sizeof *y);
	for (size_t i = 0, n = n_updates(r); i < n; i++) {
		float *to = y + at[i];

		switch (a->reduction) {
		case NONE:
			*to = u[i];
			break;
		case ADD:
			*to += u[i];
			break;
		case MUL:
			*to *= u[i];
			break;
		case MAX:
			*to = u[i] > *to ? u[i] : *to;
			break;
		case MIN:
			*to = u[i] < *to ? u[i] : *to;
			break;
		}
	}
}

/* What the gradient of one contribution v to place p needs. */
struct combined {
	enum reduction reduction;
	const float *y, *dy;
	float *aux, *zeros; /* by place: MUL: the product of what is not zero, and how many are; MAX, MIN: how many equal y */
};

static void count_one(const struct combined *c, size_t p, float v)
{
	if (c->reduction == MUL && v == 0.0f)
		c->zeros[p] += 1.0f;
	else if (c->reduction == MUL)
		c->aux[p] *= v;
	else
		c->aux[p] += v == c->y[p] ? 1.0f : 0.0f;
}

static float slope(const struct combined *c, size_t p, float v)
{
	if (c->reduction == ADD)
		return c->dy[p];
	if (c->reduction != MUL)
		return v == c->y[p] ? c->dy[p] / c->aux[p] : 0.0f;
	if (v != 0.0f)
		return c->zeros[p] > 0.0f ? 0.0f : c->dy[p] * c->aux[p] / v;
	return c->zeros[p] == 1.0f ? c->dy[p] * c->aux[p] : 0.0f;
}

static void give(const struct pare_run *r, int k, size_t i, float v)
{
	if (r->grad_in[k] != NULL)
		r->grad_in[k][i] = (r->accumulate[k] ? r->grad_in[k][i] : 0.0f) + v;
}

/* The last update of each place takes it all. */
static void replaced_backward(const struct pare_run *r)
{
	size_t n = pare_shape_elems(r->in_shape[0]), n_u = n_updates(r);
	const int32_t *at = places(r);
	int32_t *last = places(r) + n_u;

	for (size_t p = 0; p < n; p++)
		last[p] = -1;
	for (size_t i = 0; i < n_u; i++)
		last[at[i]] = (int32_t)i;
	for (size_t p = 0; p < n; p++)
		give(r, 0, p, last[p] < 0 ? r->grad_out[0][p] : 0.0f);
	for (size_t i = 0; i < n_u; i++)
		give(r, 2, i, last[at[i]] == (int32_t)i ? r->grad_out[0][at[i]] : 0.0f);
}

static void combined_backward(const struct pare_run *r)
{
	const struct scatter_args *a = r->args;
	size_t n = pare_shape_elems(r->in_shape[0]), n_u = n_updates(r);
	const int32_t *at = places(r);
	const struct combined c = {.reduction = a->reduction, .y = r->out[0], .dy = r->grad_out[0], .aux = r->scratch + n_u, .zeros = r->scratch + n_u + n};

	pare_k_fill(n, a->reduction == MUL ? 1.0f : 0.0f, c.aux);
	pare_k_fill(n, 0.0f, c.zeros);
	for (size_t p = 0; p < n && a->reduction != ADD; p++)
		count_one(&c, p, r->in[0][p]);
	for (size_t i = 0; i < n_u && a->reduction != ADD; i++)
		count_one(&c, (size_t)at[i], r->in[2][i]);
	for (size_t p = 0; p < n; p++)
		give(r, 0, p, slope(&c, p, r->in[0][p]));
	for (size_t i = 0; i < n_u; i++)
		give(r, 2, i, slope(&c, (size_t)at[i], r->in[2][i]));
}

static void scatter_backward(const struct pare_run *r)
{
	if (((const struct scatter_args *)r->args)->reduction == NONE)
		replaced_backward(r);
	else
		combined_backward(r);
}

static void elements_forward(const struct pare_run *r)
{
	element_places(r, places(r));
	scatter_forward(r);
}

static void elements_backward(const struct pare_run *r)
{
	element_places(r, places(r));
	scatter_backward(r);
}

static void scatter_nd_forward(const struct pare_run *r)
{
	tuple_places(r, n_updates(r), places(r));
	scatter_forward(r);
}

static void scatter_nd_backward(const struct pare_run *r)
{
	tuple_places(r, n_updates(r), places(r));
	scatter_backward(r);
}

static size_t gather_scratch(const struct pare_run *r)
{
	return pare_shape_elems(r->out_shape[0]);
}

static void gather_nd_forward(const struct pare_run *r)
{
	size_t n = pare_shape_elems(r->out_shape[0]);
	int32_t *at = places(r);

	tuple_places(r, n, at);
	for (size_t i = 0; i < n; i++)
		r->out[0][i] = r->in[0][at[i]];
}

static void gather_nd_backward(const struct pare_run *r)
{
	size_t n = pare_shape_elems(r->out_shape[0]);
	int32_t *at = places(r);

	tuple_places(r, n, at);
	if (!r->accumulate[0])
		memset(r->grad_in[0], 0, pare_shape_elems(r->in_shape[0]) * sizeof(float));
	for (size_t i = 0; i < n; i++)
		r->grad_in[0][at[i]] += r->grad_out[0][i];
}

static void tie(struct pare_ties *t, enum pare_tie_kind kind, int a, int a_axis, int b, int b_axis)
{
	pare_tie_add(t, (struct pare_tie){.kind = kind, .a = a, .a_axis = a_axis, .b = b, .b_axis = b_axis});
}

static void elements_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct scatter_args *a = v->args;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		for (int k = 0; k < 3; k++)
			tie(t, i != a->axis && same_axis(v->in[0], i, v->in[k], i) ? PARE_TIE_SAME : PARE_TIE_OPAQUE, k, i, PARE_OUT(0), i);
}

/* x's axes stay; those that the tuples name, and the list of tuples, can lose nothing. */
static void scatter_nd_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct scatter_args *a = v->args;
	int last = v->in[1]->n_dims - 1;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		tie(t, i < a->depth ? PARE_TIE_OPAQUE : PARE_TIE_SAME, 0, i, PARE_OUT(0), i);
	for (int i = a->depth; i < v->in[0]->n_dims; i++)
		tie(t, PARE_TIE_SAME, 2, last + i - a->depth, PARE_OUT(0), i);
	for (int i = 0; i <= last; i++)
		tie(t, PARE_TIE_OPAQUE, 1, i, 1, i);
	for (int i = 0; i < last; i++)
		tie(t, PARE_TIE_OPAQUE, 2, i, 2, i);
}

static void gather_nd_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct scatter_args *a = v->args;
	int last = v->in[1]->n_dims - 1;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		if (i < a->batch)
			tie(t, PARE_TIE_SAME, 0, i, PARE_OUT(0), i);
		else if (i < a->batch + a->depth)
			tie(t, PARE_TIE_OPAQUE, 0, i, 0, i);
		else
			tie(t, PARE_TIE_SAME, 0, i, PARE_OUT(0), last + i - a->batch - a->depth);
	for (int i = 0; i < last; i++)
		tie(t, PARE_TIE_SAME, 1, i, PARE_OUT(0), i);
	tie(t, PARE_TIE_OPAQUE, 1, last, 1, last);
}

#define AXIS {.name = "axis", .kind = PARE_ARG_INT, .offset = offsetof(struct scatter_args, axis_arg)}
#define REDUCTION {.name = "reduction", .kind = PARE_ARG_STRING, .offset = offsetof(struct scatter_args, reduction_arg)}
static const struct pare_arg_spec scatter_arg_table[] = {AXIS, {.name = NULL}};
static const struct pare_arg_spec elements_arg_table[] = {AXIS, REDUCTION, {.name = NULL}};
static const struct pare_arg_spec scatter_nd_arg_table[] = {REDUCTION, {.name = NULL}};
static const struct pare_arg_spec gather_nd_arg_table[] = {
    {.name = "batch_dims", .kind = PARE_ARG_INT, .offset = offsetof(struct scatter_args, batch_arg)},
    {.name = NULL},
};

#define ROW .domain = "", .min_out = 1, .max_out = 1, .any_dtype_in = ~0u, .args_size = sizeof(struct scatter_args)
#define SCATTER ROW, .min_in = 3, .max_in = 3, .grad_uses_in = ~0u, .grad_uses_out = PARE_BIT(0), .scratch = scatter_scratch
#define ELEMENTS SCATTER, .infer = elements_infer, .forward = elements_forward, .backward = elements_backward, .couple = elements_couple

const struct pare_op pare_op_scatter_table[] = {
    {ROW, .name = "GatherND", .since = 11, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 2, .args = gather_nd_arg_table, .grad_uses_in = PARE_BIT(1),
     .infer = gather_nd_infer, .scratch = gather_scratch, .forward = gather_nd_forward, .backward = gather_nd_backward, .couple = gather_nd_couple},
    {ELEMENTS, .name = "Scatter", .since = 9, .until = 10, .args = scatter_arg_table},
    {ELEMENTS, .name = "ScatterElements", .since = 11, .until = PARE_OPSET_MAX, .args = elements_arg_table},
    {SCATTER, .name = "ScatterND", .since = 11, .until = PARE_OPSET_MAX, .args = scatter_nd_arg_table, .infer = scatter_nd_infer,
     .forward = scatter_nd_forward, .backward = scatter_nd_backward, .couple = scatter_nd_couple},
    {.name = NULL},
};
