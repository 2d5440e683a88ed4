/* Operators that only move elements: Transpose, Concat, Split, Expand, Tile, DepthToSpace, SpaceToDepth here, Slice and Pad
 * in slice.c. Each says, for shapes that are known, which strided moves it consists of; forward runs them, backward runs
 * them turned around and adds. So an operator here is a plan, and its gradient is right when its forward is. */
#include "core/ops/movement.h"

#include <string.h>

#include "core/ops/broadcast.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/ops_priv.h"

static bool next_move(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct pare_movement *v = r->args;

	memset(m, 0, sizeof *m);
	*in = *out = 0;
	return v->plan(r, i, m, in, out);
}

void pare_movement_forward(const struct pare_run *r)
{
	const struct pare_movement *v = r->args;
	struct pare_move m;
	int in, out;

	if (v->fills)
		pare_k_fill(pare_shape_elems(r->out_shape[0]), v->fill, r->out[0]);
	for (int i = 0; next_move(r, i, &m, &in, &out); i++)
		if (r->out[out] != NULL)
			pare_move_run(&m, r->in[in], r->out[out], false);
}

void pare_movement_backward(const struct pare_run *r)
{
	struct pare_move m;
	int in, out;

	for (int k = 0; k < r->n_in; k++)
		if (r->grad_in[k] != NULL && !r->accumulate[k])
			memset(r->grad_in[k], 0, pare_shape_elems(r->in_shape[k]) * sizeof(float));
	for (int i = 0; next_move(r, i, &m, &in, &out); i++) {
		struct pare_move back = pare_move_turned(&m);

		if (r->grad_in[in] != NULL && r->grad_out[out] != NULL)
			pare_move_run(&back, r->grad_out[out], r->grad_in[in], true);
	}
}

enum pare_code pare_known_ints(const struct pare_infer *c, int k, struct pare_ints *out, struct pare_err *err)
{
	*out = (struct pare_ints){0};
	if (!pare_infer_has(c, k))
		return PARE_OK;
	if (c->in_known[k].i64 == NULL || c->in[k].n_dims > 1)
		return pare_err_set(err, PARE_E_MODEL, c->where, "input %d must be a vector of integers", k);
	*out = (struct pare_ints){.v = c->in_known[k].i64, .n = c->in_known[k].n};
	return PARE_OK;
}

enum pare_code pare_known_shape(const struct pare_infer *c, int k, struct pare_shape *out, struct pare_err *err)
{
	const struct pare_known *known = &c->in_known[k];

	*out = (struct pare_shape){.n_dims = (int)known->n};
	if (known->i64 == NULL || known->n > PARE_MAX_DIMS)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "input %d must be a vector of at most %d integers", k, PARE_MAX_DIMS);
	for (int i = 0; i < out->n_dims; i++) {
		if (known->i64[i] < 0)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "element %d of input %d is %lld; a size must not be negative", i, k, (long long)known->i64[i]);
		out->dims[i] = known->i64[i];
		out->batch |= known->batch != NULL && known->batch[i] ? PARE_BIT(i) : 0;
	}
	return PARE_OK;
}

enum pare_code pare_axes(const struct pare_infer *c, struct pare_ints axes, int n_dims, int out[PARE_MAX_DIMS], struct pare_err *err)
{
	unsigned seen = 0;

	if (axes.n > (size_t)n_dims)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%zu axes of a tensor of %d dimensions", axes.n, n_dims);
	for (size_t i = 0; i < axes.n; i++) {
		out[i] = pare_axis(axes.v[i], n_dims, false);
		if (out[i] < 0)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for %d dimensions", (long long)axes.v[i], n_dims);
		if (seen & PARE_BIT(out[i]))
			return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %d is named twice", out[i]);
		seen |= PARE_BIT(out[i]);
	}
	return PARE_OK;
}

static void tie(struct pare_ties *t, enum pare_tie_kind kind, int a, int a_axis, int b, int b_axis)
{
	pare_tie_add(t, (struct pare_tie){.kind = kind, .a = a, .a_axis = a_axis, .b = b, .b_axis = b_axis});
}

struct transpose_args {
	struct pare_movement move;
	struct pare_ints perm;
	int axis[PARE_MAX_DIMS];
};

static bool transpose_plan(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct transpose_args *a = r->args;
	int64_t from[PARE_MAX_DIMS], to[PARE_MAX_DIMS];

	(void)in, (void)out;
	pare_strides(r->in_shape[0], from);
	pare_strides(r->out_shape[0], to);
	for (int k = 0; k < r->out_shape[0]->n_dims; k++)
		pare_move_axis(m, r->out_shape[0]->dims[k], from[a->axis[k]], to[k]);
	return i == 0;
}

static enum pare_code transpose_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct transpose_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	int n = x->n_dims;

	a->move.plan = transpose_plan;
	if (a->perm.v != NULL && a->perm.n != (size_t)n)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "perm has %zu axes, the input has %d", a->perm.n, n);
	for (int k = 0; k < n; k++)
		a->axis[k] = n - 1 - k;
	if (a->perm.v != NULL) {
		enum pare_code code = pare_axes(c, a->perm, n, a->axis, err);

		if (code != PARE_OK)
			return code;
	}
	c->out[0].n_dims = n;
	c->out_dtype[0] = c->in_dtype[0];
	for (int k = 0; k < n; k++) {
		c->out[0].dims[k] = x->dims[a->axis[k]];
		c->out[0].batch |= x->batch & PARE_BIT(a->axis[k]) ? PARE_BIT(k) : 0;
	}
	return PARE_OK;
}

static void transpose_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct transpose_args *a = v->args;

	for (int k = 0; k < v->in[0]->n_dims; k++)
		tie(t, PARE_TIE_SAME, 0, a->axis[k], PARE_OUT(0), k);
}

struct concat_args {
	struct pare_movement move;
	int64_t axis_arg;
	int axis;
	struct pare_ints split; /* of Split */
	int64_t n_outputs;
	bool sizes_given;
};

/* The part of the whole that starts at `before` along the axis; whole and part are resolved. */
static void part_move(const struct pare_shape *whole, const struct pare_shape *part, int axis, int64_t before, bool to_whole, struct pare_move *m)
{
	int64_t w[PARE_MAX_DIMS], p[PARE_MAX_DIMS];

	pare_strides(whole, w);
	pare_strides(part, p);
	for (int k = 0; k < part->n_dims; k++)
		pare_move_axis(m, part->dims[k], to_whole ? p[k] : w[k], to_whole ? w[k] : p[k]);
	*(to_whole ? &m->dst_at : &m->src_at) = before * w[axis];
}

static bool concat_plan(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct concat_args *a = r->args;
	int axis = pare_run_axis(r, a->axis, r->out_shape[0]->n_dims);
	int64_t before = 0;

	(void)out;
	if (i >= r->n_in)
		return false;
	for (int k = 0; k < i; k++)
		before += r->in_shape[k]->dims[axis];
	*in = i;
	part_move(r->out_shape[0], r->in_shape[i], axis, before, true, m);
	return true;
}

static enum pare_code concat_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct concat_args *a = c->args;
	struct pare_shape *y = &c->out[0];
	char text[PARE_SHAPE_TEXT], shown[PARE_SHAPE_TEXT];

	a->move.plan = concat_plan;
	a->axis = pare_axis(a->axis_arg, c->in[0].n_dims, false);
	if (a->axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for %d dimensions", (long long)a->axis_arg, c->in[0].n_dims);
	*y = c->in[0];
	c->out_dtype[0] = c->in_dtype[0];
	for (int k = 1; k < c->n_in; k++) {
		struct pare_shape other;

		if (!pare_infer_has(c, k))
			return pare_err_set(err, PARE_E_MODEL, c->where, "input %d is left out", k);
		other = c->in[k];
		if (other.n_dims == y->n_dims)
			other.dims[a->axis] = y->dims[a->axis];
		if (other.n_dims == y->n_dims && ((other.batch ^ y->batch) & PARE_BIT(a->axis)))
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator Concat is not supported for execution of rows of the batch with what is none: shapes %s and %s",
			    pare_shape_text(&c->in[0], text), pare_shape_text(&c->in[k], shown));
		if (!pare_shape_same(&other, y))
			return pare_infer_mismatch(c, 0, k, "they may differ in the axis of concatenation only", err);
		if (__builtin_add_overflow(y->dims[a->axis], c->in[k].dims[a->axis], &y->dims[a->axis]))
			return pare_err_set(err, PARE_E_LIMIT, c->where, "the output is too large");
	}
	return PARE_OK;
}

/* The axis of piece stands in that of whole, from offset on. */
static void part(struct pare_ties *t, int piece, int whole, int axis, int64_t offset)
{
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_PART, .a = piece, .a_axis = axis, .b = whole, .b_axis = axis, .offset = offset});
}

static void concat_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct concat_args *a = v->args;

	int64_t before = 0;

	for (int k = 0; k < v->n_in; k++) {
		for (int i = 0; i < v->out[0]->n_dims; i++)
			if (i != a->axis)
				tie(t, PARE_TIE_SAME, k, i, PARE_OUT(0), i);
		part(t, k, PARE_OUT(0), a->axis, before);
		before += v->in[k]->dims[a->axis];
	}
}

static bool split_plan(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct concat_args *a = r->args;
	int64_t before = 0;

	(void)in;
	if (i >= r->n_out)
		return false;
	for (int k = 0; k < i; k++)
		before += a->split.v[k];
	*out = i;
	if (r->out_shape[i] != NULL)
		part_move(r->in_shape[0], r->out_shape[i], pare_run_axis(r, a->axis, r->in_shape[0]->n_dims), before, false, m);
	return true;
}

/* Without sizes: equal parts, the last one smaller. */
static enum pare_code split_sizes(const struct pare_infer *c, int64_t len, struct pare_err *err)
{
	struct concat_args *a = c->args;
	int64_t *v, part = (len + c->n_out - 1) / c->n_out, sum = 0;

	if (a->split.v == NULL) {
		v = pare_arena_array(c->arena, (size_t)c->n_out, sizeof *v);
		if (v == NULL)
			return pare_err_nomem(err, 0);
		for (int k = 0; k < c->n_out; k++) {
			v[k] = part < len - sum ? part : len - sum;
			sum += v[k];
		}
		a->split = (struct pare_ints){.v = v, .n = (size_t)c->n_out};
	}
	sum = 0;
	for (size_t k = 0; k < a->split.n; k++)
		if (a->split.v[k] < 0 || __builtin_add_overflow(sum, a->split.v[k], &sum))
			return pare_err_set(err, PARE_E_SHAPE, c->where, "a part of %lld elements", (long long)a->split.v[k]);
	if (sum != len || a->split.n != (size_t)c->n_out)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%zu parts of %lld elements together; the node has %d outputs and the axis %lld elements",
		    a->split.n, (long long)sum, c->n_out, (long long)len);
	return PARE_OK;
}

static enum pare_code split_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct concat_args *a = c->args;
	enum pare_code code;

	a->move.plan = split_plan;
	a->axis = pare_axis(a->axis_arg, c->in[0].n_dims, false);
	if (a->axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for %d dimensions", (long long)a->axis_arg, c->in[0].n_dims);
	if (c->in[0].batch & PARE_BIT(a->axis))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator Split is not supported for execution along the batch");
	if (pare_infer_has(c, 1)) {
		code = pare_known_ints(c, 1, &a->split, err);
		if (code != PARE_OK)
			return code;
	}
	a->sizes_given = a->split.v != NULL;
	code = split_sizes(c, c->in[0].dims[a->axis], err);
	for (int k = 0; k < c->n_out && code == PARE_OK; k++) {
		c->out[k] = c->in[0];
		c->out[k].dims[a->axis] = a->split.v[k];
		c->out_dtype[k] = c->in_dtype[0];
	}
	return code;
}

static void split_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct concat_args *a = v->args;

	int64_t before = 0;

	for (int k = 0; k < v->n_out; k++) {
		for (int i = 0; v->out[k] != NULL && i < v->in[0]->n_dims; i++)
			if (i != a->axis)
				tie(t, PARE_TIE_SAME, 0, i, PARE_OUT(k), i);
		if (v->out[k] != NULL)
			part(t, PARE_OUT(k), 0, a->axis, before);
		before += a->split.v[k];
	}
}

/* What is left of each part; false if nobody has to write it down, because the parts are equal and were never written. */
static bool split_left(const struct pare_resize *r, int64_t size[PARE_MAX_PARTS])
{
	const struct concat_args *a = r->was->args;
	int64_t before = 0;
	bool equal = true;

	for (int k = 0; k < r->was->n_out; k++) {
		size[k] = pare_resize_left(r, 0, a->axis, before, a->split.v[k]);
		before += a->split.v[k];
		equal &= size[k] == size[0];
	}
	return a->sizes_given || !equal;
}

static void split_attr_resize(const struct pare_resize *r)
{
	int64_t size[PARE_MAX_PARTS];

	if (split_left(r, size))
		r->set_attr(r, "split", size, (size_t)r->was->n_out);
}

static void split_input_resize(const struct pare_resize *r)
{
	int64_t size[PARE_MAX_PARTS];

	if (!split_left(r, size))
		return;
	r->set_input(r, 1, size, (size_t)r->was->n_out, 0);
	r->set_attr(r, "num_outputs", NULL, 0);
}

struct expand_args {
	struct pare_movement move;
};

static bool expand_plan(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct pare_shape *x = r->in_shape[0], *y = r->out_shape[0];
	int64_t from[PARE_MAX_DIMS], to[PARE_MAX_DIMS];

	(void)in, (void)out;
	pare_strides(x, from);
	pare_strides(y, to);
	for (int k = 0; k < y->n_dims; k++) {
		int j = k - (y->n_dims - x->n_dims);

		pare_move_axis(m, y->dims[k], j < 0 || x->dims[j] == 1 ? 0 : from[j], to[k]);
	}
	return i == 0;
}

static enum pare_code expand_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct pare_shape target;
	enum pare_code code = pare_known_shape(c, 1, &target, err);
	char a[PARE_SHAPE_TEXT], b[PARE_SHAPE_TEXT];

	((struct expand_args *)c->args)->move.plan = expand_plan;
	c->out_dtype[0] = c->in_dtype[0];
	if (code == PARE_OK && !pare_shape_broadcast(&c->in[0], &target, &c->out[0]))
		code = pare_err_set(err, PARE_E_SHAPE, c->where, "shape %s cannot be expanded to %s", pare_shape_text(&c->in[0], a), pare_shape_text(&target, b));
	return code;
}

/* One leaves a size as the input has it; only what the node itself spreads has to be said. */
static void expand_resize(const struct pare_resize *r)
{
	const struct pare_shape *x = r->in[0], *y = r->out[0];
	int64_t v[PARE_MAX_DIMS];
	unsigned keep = 0;

	for (int i = 0; i < y->n_dims; i++) {
		int k = i - (y->n_dims - x->n_dims);
		bool same = k >= 0 && x->dims[k] == y->dims[i] && (x->batch >> k & 1) == (y->batch >> i & 1);

		v[i] = same ? 1 : y->dims[i];
		keep |= !same && (y->batch & PARE_BIT(i)) ? PARE_BIT(i) : 0;
	}
	r->set_input(r, 1, v, (size_t)y->n_dims, keep);
}

static void expand_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	pare_broadcast_ties(v, 0, t);
}

static bool tile_plan(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct pare_shape *x = r->in_shape[0], *y = r->out_shape[0];
	int64_t from[PARE_MAX_DIMS], to[PARE_MAX_DIMS];

	(void)in, (void)out;
	pare_strides(x, from);
	pare_strides(y, to);
	for (int k = 0; k < y->n_dims; k++) {
		pare_move_axis(m, x->dims[k] != 0 ? y->dims[k] / x->dims[k] : 0, 0, to[k] * x->dims[k]);
		pare_move_axis(m, x->dims[k], from[k], to[k]);
	}
	return i == 0;
}

static enum pare_code tile_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct pare_shape times, *y = &c->out[0];
	enum pare_code code = pare_known_shape(c, 1, &times, err);

	((struct expand_args *)c->args)->move.plan = tile_plan;
	if (code != PARE_OK)
		return code;
	if (times.n_dims != c->in[0].n_dims)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%d repeats for %d dimensions", times.n_dims, c->in[0].n_dims);
	*y = c->in[0];
	c->out_dtype[0] = c->in_dtype[0];
	for (int k = 0; k < y->n_dims; k++) {
		if ((y->batch & times.batch) & PARE_BIT(k))
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator Tile is not supported for execution with the batch repeated by its size");
		y->batch |= times.batch & PARE_BIT(k);
		if (__builtin_mul_overflow(y->dims[k], times.dims[k], &y->dims[k]))
			return pare_err_set(err, PARE_E_LIMIT, c->where, "the output is too large");
	}
	return PARE_OK;
}

/* All copies of an index go together. */
static void repeat(struct pare_ties *t, int axis, int64_t times)
{
	pare_tie_add(t, (struct pare_tie){.kind = times > 0 ? PARE_TIE_SPREAD : PARE_TIE_OPAQUE, .a = 0, .a_axis = axis, .b = PARE_OUT(0), .b_axis = axis,
	    .outer = times, .inner = 1});
}

static void tile_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct pare_shape *x = v->in[0], *y = v->out[0];

	for (int k = 0; k < x->n_dims; k++)
		if (x->dims[k] == y->dims[k] && ((x->batch ^ y->batch) & PARE_BIT(k)) == 0)
			tie(t, PARE_TIE_SAME, 0, k, PARE_OUT(0), k);
		else if (x->dims[k] != 1 || (x->batch & PARE_BIT(k)) != 0)
			repeat(t, k, (x->batch | y->batch) & PARE_BIT(k) ? 0 : y->dims[k] / x->dims[k]);
}

struct depth_args {
	struct pare_movement move;
	int64_t block;
	struct pare_span mode;
	bool column_first; /* CRD */
};

/* The deep side [n, c b b, h, w] is [n, b, b, c, h, w] (DCR) or [n, c, b, b, h, w] (CRD); the wide side is
 * [n, c, h, b, w, b]. One set of axes serves both directions. */
static void depth_move(const struct pare_shape *wide, int64_t b, bool column_first, bool from_deep, struct pare_move *m)
{
	int64_t c = wide->dims[1], h = wide->dims[2] / b, w = wide->dims[3] / b, plane = h * w;
	const int64_t dim[6] = {wide->dims[0], c, h, b, w, b};
	const int64_t wide_stride[6] = {c * plane * b * b, plane * b * b, b * w * b, w * b, b, 1};
	int64_t block = column_first ? plane : c * plane;
	const int64_t deep_stride[6] = {c * plane * b * b, column_first ? plane * b * b : plane, w, block * b, 1, block};

	for (int k = 0; k < 6; k++)
		pare_move_axis(m, dim[k], from_deep ? deep_stride[k] : wide_stride[k], from_deep ? wide_stride[k] : deep_stride[k]);
}

static bool to_space_plan(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct depth_args *a = r->args;

	(void)in, (void)out;
	depth_move(r->out_shape[0], a->block, a->column_first, true, m);
	return i == 0;
}

static bool to_depth_plan(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct depth_args *a = r->args;

	(void)in, (void)out;
	depth_move(r->in_shape[0], a->block, a->column_first, false, m);
	return i == 0;
}

static enum pare_code depth_check(const struct pare_infer *c, struct pare_err *err)
{
	struct depth_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	char text[PARE_SHAPE_TEXT];

	if (x->n_dims != 4 || (x->batch & ~PARE_BIT(0)) != 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "shape %s; it must be [batch, channels, height, width]", pare_shape_text(x, text));
	a->column_first = a->mode.len == 3 && memcmp(a->mode.data, "CRD", 3) == 0;
	if (a->mode.data != NULL && !a->column_first && !(a->mode.len == 3 && memcmp(a->mode.data, "DCR", 3) == 0))
		return pare_err_set(err, PARE_E_INVALID, c->where, "attribute \"mode\" must be \"DCR\" or \"CRD\"");
	c->out[0] = *x;
	c->out_dtype[0] = c->in_dtype[0];
	return PARE_OK;
}

static enum pare_code to_space_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct depth_args *a = c->args;
	int64_t b = a->block, *d = c->out[0].dims;
	enum pare_code code = depth_check(c, err);

	if (code != PARE_OK)
		return code;
	a->move.plan = to_space_plan;
	if (d[1] % (b * b) != 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%lld channels cannot be divided by %lld", (long long)d[1], (long long)(b * b));
	d[1] /= b * b;
	d[2] *= b;
	d[3] *= b;
	return PARE_OK;
}

static enum pare_code to_depth_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct depth_args *a = c->args;
	int64_t b = a->block, *d = c->out[0].dims;
	enum pare_code code = depth_check(c, err);

	if (code != PARE_OK)
		return code;
	a->move.plan = to_depth_plan;
	if (d[2] % b != 0 || d[3] % b != 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%lld x %lld cannot be divided by %lld", (long long)d[2], (long long)d[3], (long long)b);
	d[1] *= b * b;
	d[2] /= b;
	d[3] /= b;
	return PARE_OK;
}

static void depth_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct depth_args *a = v->args;
	bool deep_in = v->in[0]->dims[1] > v->out[0]->dims[1];
	int64_t square = a->block * a->block;

	tie(t, PARE_TIE_SAME, 0, 0, PARE_OUT(0), 0);
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SPREAD, .a = deep_in ? PARE_OUT(0) : 0, .a_axis = 1, .b = deep_in ? 0 : PARE_OUT(0), .b_axis = 1,
	    .outer = a->column_first ? 1 : square, .inner = a->column_first ? square : 1});
	for (int k = 2; k < 4; k++)
		tie(t, PARE_TIE_OPAQUE, 0, k, PARE_OUT(0), k);
}

static const struct pare_arg_spec transpose_arg_table[] = {
    {.name = "perm", .kind = PARE_ARG_INTS, .offset = offsetof(struct transpose_args, perm)},
    {.name = NULL},
};
static const struct pare_arg_spec concat_arg_table[] = {
    {.name = "axis", .kind = PARE_ARG_INT, .offset = offsetof(struct concat_args, axis_arg), .required = true},
    {.name = NULL},
};
static const struct pare_arg_spec split_arg_table[] = {
    {.name = "axis", .kind = PARE_ARG_INT, .offset = offsetof(struct concat_args, axis_arg)},
    {.name = "split", .kind = PARE_ARG_INTS, .offset = offsetof(struct concat_args, split)},
    {.name = "num_outputs", .kind = PARE_ARG_INT, .offset = offsetof(struct concat_args, n_outputs)},
    {.name = NULL},
};
static const struct pare_arg_spec depth_arg_table[] = {
    {.name = "blocksize", .kind = PARE_ARG_INT, .offset = offsetof(struct depth_args, block), .required = true, .min = 1, .max = 4096},
    {.name = "mode", .kind = PARE_ARG_STRING, .offset = offsetof(struct depth_args, mode)},
    {.name = NULL},
};

#define ROW .domain = "", .min_out = 1, .any_dtype_in = ~0u, .forward = pare_movement_forward, .backward = pare_movement_backward
#define ALWAYS .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX
#define ONE .min_in = 1, .max_in = 1, .max_out = 1, .moves_in = PARE_BIT(0)
#define TARGET .min_in = 2, .max_in = 2, .max_out = 1, .moves_in = PARE_BIT(0), .const_in = PARE_BIT(1), .symbolic_in = PARE_BIT(1), .args_size = sizeof(struct expand_args)
#define SPLIT ROW, .name = "Split", .min_in = 1, .max_out = PARE_MAX_PARTS, .moves_in = PARE_BIT(0), .args_size = sizeof(struct concat_args), .args = split_arg_table, \
	.infer = split_infer, .couple = split_couple, .layout = pare_layout_elementwise

const struct pare_op pare_op_movement_table[] = {
    {ROW, ALWAYS, ONE, .name = "Transpose", .args_size = sizeof(struct transpose_args), .args = transpose_arg_table, .infer = transpose_infer,
     .couple = transpose_couple},
    {ROW, ALWAYS, .name = "Concat", .moves_in = ~0u, .min_in = 1, .max_in = PARE_MAX_PARTS, .max_out = 1, .args_size = sizeof(struct concat_args),
     .args = concat_arg_table, .infer = concat_infer, .couple = concat_couple, .layout = pare_layout_elementwise},
    {SPLIT, .since = PARE_OPSET_MIN, .until = 12, .max_in = 1, .resize = split_attr_resize},
    {SPLIT, .since = 13, .until = PARE_OPSET_MAX, .max_in = 2, .const_in = PARE_BIT(1), .resize = split_input_resize},
    {ROW, TARGET, .name = "Expand", .since = 8, .until = PARE_OPSET_MAX, .infer = expand_infer, .couple = expand_couple, .resize = expand_resize},
    {ROW, TARGET, ALWAYS, .name = "Tile", .infer = tile_infer, .couple = tile_couple},
    {ROW, ALWAYS, ONE, .name = "DepthToSpace", .args_size = sizeof(struct depth_args), .args = depth_arg_table, .infer = to_space_infer,
     .couple = depth_couple},
    {ROW, ALWAYS, ONE, .name = "SpaceToDepth", .args_size = sizeof(struct depth_args), .args = depth_arg_table, .infer = to_depth_infer,
     .couple = depth_couple},
    {.name = NULL},
};
