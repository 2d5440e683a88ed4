/* Operators that only change the shape: the output is a view of the input, so nothing runs in either direction. All
 * their work is inference and, for structured pruning, saying where each channel went.
 *
 * Reshape and a fixed batch. Exporters write the batch that they traced with into the target shape ([1, 784]). Where the
 * file's own batch size stands first in the target and the input carries the batch on its first axis, it is read as
 * "the batch", so that the model runs for any number of rows; if that does not fit, it is read literally. */
#include "core/ops/movement.h"
#include "core/ops/ops_priv.h"

static int popcount(unsigned bits)
{
	return __builtin_popcount(bits);
}

struct flatten_args {
	int64_t axis;
};

static enum pare_code flatten_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct flatten_args *f = c->args;
	const struct pare_shape *x = &c->in[0];
	int axis = pare_axis(f->axis, x->n_dims, true);
	struct pare_shape y = {.n_dims = 2};
	char text[PARE_SHAPE_TEXT];

	if (axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for shape %s", (long long)f->axis, pare_shape_text(x, text));
	y.dims[0] = pare_shape_product(x, 0, axis);
	y.dims[1] = pare_shape_product(x, axis, x->n_dims);
	if (popcount(x->batch & (PARE_BIT(axis) - 1)) > 1 || popcount(x->batch >> axis) > 1)
		return pare_err_set(err, PARE_E_UNSUPPORTED, c->where, "shape %s has the batch in more than one dimension", pare_shape_text(x, text));
	y.batch = ((x->batch & (PARE_BIT(axis) - 1)) != 0 ? PARE_BIT(0) : 0) | (x->batch >> axis != 0 ? PARE_BIT(1) : 0);
	c->out[0] = y;
	c->out_dtype[0] = c->in_dtype[0];
	c->out_known[0] = c->in_known[0];
	return PARE_OK;
}

struct reshape_args {
	int64_t allow_zero;
	const struct pare_known *target; /* of infer */
	bool first_is_batch;
};

/* Reads the target literally, but for its first entry when it stands for the batch. False when the sizes do not match. */
static bool reshape_try(const struct pare_shape *x, const struct pare_known *t, bool allow_zero, bool first_is_batch, struct pare_shape *y)
{
	int64_t total = pare_shape_product(x, 0, x->n_dims), rest = 1;
	int open = -1, batches = popcount(x->batch);

	*y = (struct pare_shape){.n_dims = (int)t->n};
	for (int i = 0; i < y->n_dims; i++) {
		bool copy = (t->i64[i] == 0 && !allow_zero) || (i == 0 && first_is_batch);
		bool batch = t->batch != NULL && t->batch[i];

		if (t->i64[i] < -1 || (copy && i >= x->n_dims) || (t->i64[i] == -1 && open >= 0))
			return false;
		if (t->i64[i] == -1) {
			open = i;
			continue;
		}
		y->dims[i] = copy ? x->dims[i] : t->i64[i];
		y->batch |= copy ? x->batch & PARE_BIT(i) : batch ? PARE_BIT(i) : 0;
		if (__builtin_mul_overflow(rest, y->dims[i], &rest))
			return false;
	}
	batches -= popcount(y->batch);
	if (open < 0)
		return rest == total && batches == 0;
	if (rest == 0 || total % rest != 0 || batches < 0 || batches > 1)
		return false;
	y->dims[open] = total / rest;
	y->batch |= batches == 1 ? PARE_BIT(open) : 0;
	return true;
}

static bool is_batch(const struct pare_shape *s, int i)
{
	return (s->batch & PARE_BIT(i)) != 0;
}

static enum pare_code reshape_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct reshape_args *r = c->args;
	const struct pare_shape *x = &c->in[0];
	const struct pare_known *t = &c->in_known[1];
	struct pare_shape target = {.n_dims = (int)t->n};
	bool symbolic = t->batch != NULL;
	char text[PARE_SHAPE_TEXT], want[PARE_SHAPE_TEXT];

	if (t->i64 == NULL)
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "Reshape needs a shape of int64 constants");
	if (t->n > PARE_MAX_DIMS)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "a target of %zu dimensions; at most %d are supported", t->n, PARE_MAX_DIMS);
	c->out_dtype[0] = c->in_dtype[0];
	c->out_known[0] = c->in_known[0];
	r->target = t;
	r->first_is_batch = !symbolic && t->n > 0 && x->n_dims > 0 && x->batch == PARE_BIT(0) && t->i64[0] == c->fixed_batch;
	if (r->first_is_batch && reshape_try(x, t, r->allow_zero != 0, true, &c->out[0]))
		return PARE_OK;
	r->first_is_batch = false;
	if (reshape_try(x, t, r->allow_zero != 0, false, &c->out[0]))
		return PARE_OK;
	for (size_t i = 0; i < t->n; i++)
		target.dims[i] = t->i64[i];
	return pare_err_set(err, PARE_E_SHAPE, c->where, "shape %s cannot be reshaped to %s", pare_shape_text(x, text), pare_shape_text(&target, want));
}

/* Does the new shape have that axis as the input has it? */
static bool is_copied(const struct pare_resize *r, int i)
{
	const struct pare_shape *x = r->in[0], *y = r->out[0];

	return i < x->n_dims && ((x->batch ^ y->batch) & PARE_BIT(i)) == 0 && x->dims[i] == y->dims[i];
}

/* Rows times heads, of which some are gone, though the graph multiplies with as many as ever: the axis where that is so, which only what remains can
 * say; -1. */
static int outdated_rows(const struct pare_resize *r)
{
	const struct reshape_args *a = r->was->args;
	const struct pare_shape *y = r->out[0];
	const struct pare_known *now = r->computed(r, 1);

	for (int i = 0; a->target->batch != NULL && i < y->n_dims && (size_t)i < a->target->n; i++)
		if (a->target->batch[i] && is_batch(y, i) && !is_copied(r, i) &&
		    (now == NULL || (size_t)i >= now->n || now->batch == NULL || !now->batch[i] || now->i64[i] != y->dims[i]))
			return i;
	return -1;
}

/* A target that is what it was, and still leads to the new shape, stays. Else every size is written out but for those that are copied from the
 * input's axis (0) or are what remains (-1): the ones that were so, and those that depend on the batch. */
static void reshape_resize(const struct pare_resize *r)
{
	const struct reshape_args *a = r->was->args;
	const struct pare_shape *x = r->in[0], *y = r->out[0];
	struct pare_shape now;
	int64_t v[PARE_MAX_DIMS];
	unsigned keep = 0;
	int outdated;
	bool open; /* is there a -1? */

	if ((r->moved & PARE_BIT(1)) == 0 && reshape_try(x, a->target, a->allow_zero != 0, a->first_is_batch, &now) && pare_shape_same(&now, y))
		return;
	outdated = outdated_rows(r);
	open = outdated >= 0;
	for (size_t i = 0; i < a->target->n; i++)
		open |= a->target->i64[i] == -1 && (a->target->batch == NULL || !a->target->batch[i]);
	for (int i = 0; i < y->n_dims; i++) {
		bool same = is_copied(r, i);
		int64_t was = (size_t)i < a->target->n && (a->target->batch == NULL || !a->target->batch[i]) ? a->target->i64[i] : 1;

		if ((a->first_is_batch && i == 0) || (was == -1 && (outdated < 0 || is_batch(y, i))) || (was == 0 && same && a->allow_zero == 0)) {
			v[i] = was;
			continue;
		}
		v[i] = !is_batch(y, i) ? y->dims[i] : same && a->allow_zero == 0 ? 0 : -1;
		keep |= v[i] == -1 && open && i != outdated ? PARE_BIT(i) : 0;
		open |= v[i] == -1;
	}
	r->set_input(r, 1, v, (size_t)y->n_dims, keep);
}

static enum pare_code identity_infer(const struct pare_infer *c, struct pare_err *err)
{
	c->out_known[0] = c->in_known[0];
	return pare_infer_same(c, err);
}

struct squeeze_args {
	struct pare_ints axes;
};

/* Axes come as an attribute up to opset 12, as an input from 13. */
static enum pare_code squeeze_axes(const struct pare_infer *c, int n_dims, unsigned *mask, struct pare_err *err)
{
	struct squeeze_args *a = c->args;
	int axis[PARE_MAX_DIMS];
	enum pare_code code = c->n_in > 1 ? pare_known_ints(c, 1, &a->axes, err) : PARE_OK;

	*mask = 0;
	if (code == PARE_OK && n_dims > PARE_MAX_DIMS)
		code = pare_err_set(err, PARE_E_LIMIT, c->where, "%d dimensions; at most %d are supported", n_dims, PARE_MAX_DIMS);
	if (code == PARE_OK)
		code = pare_axes(c, a->axes, n_dims, axis, err);
	for (size_t i = 0; i < a->axes.n && code == PARE_OK; i++)
		*mask |= PARE_BIT(axis[i]);
	return code;
}

static void keep_axis(const struct pare_shape *x, int i, struct pare_shape *y)
{
	y->dims[y->n_dims] = x->dims[i];
	y->batch |= is_batch(x, i) ? PARE_BIT(y->n_dims) : 0;
	y->n_dims++;
}

static enum pare_code squeeze_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct squeeze_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	char text[PARE_SHAPE_TEXT];
	unsigned mask;
	enum pare_code code = squeeze_axes(c, x->n_dims, &mask, err);

	if (code != PARE_OK)
		return code;
	for (int i = 0; i < x->n_dims; i++) {
		bool one = x->dims[i] == 1 && !is_batch(x, i), named = (mask & PARE_BIT(i)) != 0;

		if (named && !one)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %d of shape %s is not 1", i, pare_shape_text(x, text));
		if (!(a->axes.v != NULL ? named : one))
			keep_axis(x, i, &c->out[0]);
	}
	c->out_dtype[0] = c->in_dtype[0];
	c->out_known[0] = c->in_known[0];
	return PARE_OK;
}

static enum pare_code unsqueeze_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct squeeze_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	size_t added = c->n_in > 1 ? c->in_known[1].n : a->axes.n;
	int n = x->n_dims + (added < PARE_MAX_DIMS ? (int)added : PARE_MAX_DIMS), from = 0;
	unsigned mask;
	enum pare_code code = squeeze_axes(c, n, &mask, err);

	if (code != PARE_OK)
		return code;
	for (int i = 0; i < n; i++)
		if (mask & PARE_BIT(i))
			c->out[0].dims[c->out[0].n_dims++] = 1;
		else
			keep_axis(x, from++, &c->out[0]);
	c->out_dtype[0] = c->in_dtype[0];
	c->out_known[0] = c->in_known[0];
	return PARE_OK;
}

/* A run of axes of x and one of y that hold the same elements. */
struct group {
	int x0, x1, y0, y1;
};

/* Grows the group by one axis on the side that is behind, until both sides hold equally many elements. */
static bool group_next(const struct pare_shape *x, const struct pare_shape *y, struct group *g)
{
	int64_t px = 1, py = 1;
	int nx = 0, ny = 0;

	g->x0 = g->x1;
	g->y0 = g->y1;
	do {
		bool more_x = nx != ny ? nx < ny : px != py ? px < py : g->x1 < x->n_dims;

		if (more_x ? g->x1 == x->n_dims : g->y1 == y->n_dims)
			return false;
		if (more_x) {
			nx += is_batch(x, g->x1);
			px *= x->dims[g->x1++];
		} else {
			ny += is_batch(y, g->y1);
			py *= y->dims[g->y1++];
		}
	} while (px != py || nx != ny);
	return true;
}

/* The many axes of s that became, or came from, the one axis of the other side. */
static void group_spread(const struct pare_shape *s, int first, int last, int a, int b, int b_axis, struct pare_ties *t)
{
	for (int i = first; i < last; i++) {
		struct pare_tie tie = {.kind = PARE_TIE_SPREAD, .a = a, .a_axis = i, .b = b, .b_axis = b_axis,
		    .outer = pare_shape_product(s, first, i), .inner = pare_shape_product(s, i + 1, last)};

		if (s->dims[i] == 1 && !is_batch(s, i))
			continue;
		if (tie.outer == 1 && tie.inner == 1)
			tie = (struct pare_tie){.kind = PARE_TIE_SAME, .a = a, .a_axis = i, .b = b, .b_axis = b_axis};
		else
			tie.one_of = 1 + b_axis + (b == PARE_OUT(0) ? PARE_MAX_DIMS : 0);
		pare_tie_add(t, tie);
	}
}

static void pin_axes(int operand, int first, int last, struct pare_ties *t)
{
	for (int i = first; i < last; i++)
		pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_OPAQUE, .a = operand, .a_axis = i, .b = operand, .b_axis = i});
}

static void group_opaque(const struct group *g, struct pare_ties *t)
{
	for (int i = g->x0; i < g->x1; i++)
		for (int j = g->y0; j < g->y1; j++)
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_OPAQUE, .a = 0, .a_axis = i, .b = PARE_OUT(0), .b_axis = j});
}

static bool has_batch(const struct pare_shape *s, int first, int last)
{
	for (int i = first; i < last; i++)
		if (is_batch(s, i))
			return true;
	return false;
}

/* Axes of two operands at one end of what both hold in the same order: an index of the shorter is a block of the longer, of neighbours
 * where it is the outer end, of every so manieth where it is the inner one. Are they so? */
static bool end_tie(const struct pare_shape *x, int x_axis, const struct pare_shape *y, int y_axis, bool outer, struct pare_ties *t)
{
	int64_t nx = x->dims[x_axis], ny = y->dims[y_axis], low = nx < ny ? nx : ny, high = nx < ny ? ny : nx;
	struct pare_tie tie = {.kind = PARE_TIE_SPREAD, .a = nx < ny ? 0 : PARE_OUT(0), .a_axis = nx < ny ? x_axis : y_axis, .b = nx < ny ? PARE_OUT(0) : 0,
	    .b_axis = nx < ny ? y_axis : x_axis, .ends = true};

	if (low == 0 || high % low != 0)
		return false;
	tie.outer = outer ? 1 : high / low;
	tie.inner = outer ? high / low : 1;
	pare_tie_add(t, tie);
	return true;
}

/* Many axes that became many others: only the ends can be followed. A norm over groups of channels is so ([C, H, W] to [G, C / G * H * W]),
 * and so are neighbours in time that are put side by side ([T, C] to [T / 2, 2 * C]), and channels that go to the rows with a part of the height
 * (MobileViT: [N, C, H, W] to [N * C * H / 2, 2, W / 2, 2]). */
static void group_ends(const struct pare_shape *x, const struct pare_shape *y, const struct group *g, struct pare_ties *t)
{
	bool outer, inner;

	if (has_batch(x, g->x0 + 1, g->x1) || has_batch(y, g->y0 + 1, g->y1)) {
		group_opaque(g, t);
		return;
	}
	outer = end_tie(x, g->x0, y, g->y0, true, t);
	inner = end_tie(x, g->x1 - 1, y, g->y1 - 1, false, t);
	pin_axes(0, g->x0 + outer, g->x1 - inner, t);
	pin_axes(PARE_OUT(0), g->y0 + outer, g->y1 - inner, t);
}

/* Axes of 1 at the ends say nothing. */
static void trim(const struct pare_shape *s, int *first, int *last)
{
	while (*last - *first > 1 && s->dims[*first] == 1 && !is_batch(s, *first))
		(*first)++;
	while (*last - *first > 1 && s->dims[*last - 1] == 1 && !is_batch(s, *last - 1))
		(*last)--;
}

/* The axis of the rows, if there is one; -1. */
static int rows_axis(const struct pare_shape *s, int first, int last)
{
	for (int i = first; i < last; i++)
		if (is_batch(s, i))
			return has_batch(s, i + 1, last) ? -1 : i;
	return -1;
}

/* Where rows stand before all else of a group, it is the same group in each of them, and what is said of one holds. */
static void couple_group(const struct pare_shape *x, const struct pare_shape *y, struct group g, struct pare_ties *t)
{
	g.x0 += g.x1 - g.x0 > 1 && is_batch(x, g.x0) && x->dims[g.x0] == 1;
	g.y0 += g.y1 - g.y0 > 1 && is_batch(y, g.y0) && y->dims[g.y0] == 1;
	trim(x, &g.x0, &g.x1);
	trim(y, &g.y0, &g.y1);
	if (g.y1 - g.y0 == 1)
		group_spread(x, g.x0, g.x1, 0, PARE_OUT(0), g.y0, t);
	else if (g.x1 - g.x0 == 1)
		group_spread(y, g.y0, g.y1, PARE_OUT(0), 0, g.x0, t);
	else
		group_ends(x, y, &g, t);
}

/* PyTorch's attention takes its heads to the rows ([N, H, T, D] to [N * H, T, D], or [T, N, H * D] to [T, N * H, D]) and back. With time before the rows
 * ([T, N * H, D] to [T * N, H * D]), what follows the rows on one side is what follows their axis on the other, and can be told by its size. */
static void group_of_rows(const struct pare_shape *x, const struct pare_shape *y, const struct group *g, struct pare_ties *t)
{
	int i = rows_axis(x, g->x0, g->x1), j = rows_axis(y, g->y0, g->y1);
	struct group behind = *g;

	if (i == g->x0 && j == g->y0) {
		couple_group(x, y, *g, t);
		return;
	}
	behind.x0 = i;
	behind.y0 = j;
	if (i >= 0 && j >= 0 && pare_shape_product(x, i, g->x1) == pare_shape_product(y, j + 1, g->y1))
		behind.y0++;
	else if (i >= 0 && j >= 0 && pare_shape_product(x, i + 1, g->x1) == pare_shape_product(y, j, g->y1))
		behind.x0++;
	if (i < 0 || j < 0 || behind.x0 == g->x1 || behind.y0 == g->y1 || (behind.x0 == i && behind.y0 == j)) {
		group_opaque(g, t);
		return;
	}
	pin_axes(0, g->x0, behind.x0, t);
	pin_axes(PARE_OUT(0), g->y0, behind.y0, t);
	couple_group(x, y, behind, t);
}

static void reshape_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct pare_shape *x = v->in[0], *y = v->out[0];
	struct group g = {0}, all;

	while (g.x1 < x->n_dims || g.y1 < y->n_dims) {
		if (!group_next(x, y, &g)) {
			g.x1 = x->n_dims;
			g.y1 = y->n_dims;
			group_opaque(&g, t);
			return;
		}
		all = g;
		trim(x, &g.x0, &g.x1);
		trim(y, &g.y0, &g.y1);
		if (has_batch(x, g.x0, g.x1) || has_batch(y, g.y0, g.y1))
			group_of_rows(x, y, &g, t);
		else
			couple_group(x, y, g, t);
		g = all;
	}
}

static const struct pare_arg_spec flatten_arg_table[] = {
    {.name = "axis", .kind = PARE_ARG_INT, .offset = offsetof(struct flatten_args, axis), .def = 1},
    {.name = NULL},
};
static const struct pare_arg_spec reshape_arg_table[] = {
    {.name = "allowzero", .kind = PARE_ARG_INT, .offset = offsetof(struct reshape_args, allow_zero), .min = 0, .max = 1},
    {.name = NULL},
};

static const struct pare_arg_spec squeeze_arg_table[] = {
    {.name = "axes", .kind = PARE_ARG_INTS, .offset = offsetof(struct squeeze_args, axes)},
    {.name = NULL},
};
static const struct pare_arg_spec unsqueeze_arg_table[] = {
    {.name = "axes", .kind = PARE_ARG_INTS, .offset = offsetof(struct squeeze_args, axes), .required = true},
    {.name = NULL},
};

#define VIEW .domain = "", .min_out = 1, .max_out = 1, .view = true, .moves_in = PARE_BIT(0), .any_dtype_in = PARE_BIT(0)

#define ALWAYS .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX
#define SQUEEZE VIEW, .args_size = sizeof(struct squeeze_args), .couple = reshape_couple

const struct pare_op pare_op_shape_table[] = {
    {VIEW, ALWAYS, .name = "Flatten", .min_in = 1, .max_in = 1, .args_size = sizeof(struct flatten_args), .args = flatten_arg_table, .infer = flatten_infer,
     .couple = reshape_couple},
    {VIEW, ALWAYS, .name = "Identity", .min_in = 1, .max_in = 1, .infer = identity_infer, .couple = pare_couple_same, .layout = pare_layout_elementwise},
    {VIEW, ALWAYS, .name = "Reshape", .min_in = 2, .max_in = 2, .args_size = sizeof(struct reshape_args), .args = reshape_arg_table,
     .const_in = PARE_BIT(1), .symbolic_in = PARE_BIT(1), .infer = reshape_infer, .couple = reshape_couple, .resize = reshape_resize},
    {SQUEEZE, .name = "Squeeze", .since = PARE_OPSET_MIN, .until = 12, .min_in = 1, .max_in = 1, .args = squeeze_arg_table, .infer = squeeze_infer},
    {SQUEEZE, .name = "Squeeze", .since = 13, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = 2, .const_in = PARE_BIT(1), .infer = squeeze_infer},
    {SQUEEZE, .name = "Unsqueeze", .since = PARE_OPSET_MIN, .until = 12, .min_in = 1, .max_in = 1, .args = unsqueeze_arg_table,
     .infer = unsqueeze_infer},
    {SQUEEZE, .name = "Unsqueeze", .since = 13, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 2, .const_in = PARE_BIT(1),
     .infer = unsqueeze_infer},
    {.name = NULL},
};
