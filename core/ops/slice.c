/* Slice and Pad: a box of one tensor is a box of the other (movement.c does the moving).
 *
 * Slice   y[i] = x[start + i step] per axis. The batch axis can only be taken whole, because nobody knows its length yet.
 * Pad     constant: x stands in a filled y (a negative pad cuts x). reflect, edge and wrap: per axis up to three runs of y
 *         (before, middle, after), each of which is a run of x with its own stride (-1, 1, 0); every combination over the
 *         axes is one move, so the gradient adds up in x without further code. */
#include <string.h>

#include "core/ops/movement.h"
#include "core/ops/ops_priv.h"

struct slice_args {
	struct pare_movement move;
	struct pare_ints starts, ends, axes;
	int64_t start[PARE_MAX_DIMS], step[PARE_MAX_DIMS];
	int axis[PARE_MAX_DIMS]; /* of each start */
	unsigned end_batch;      /* ends that depend on the batch */
	bool by_input;
};

static bool slice_plan(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct slice_args *a = r->args;
	const struct pare_shape *y = r->out_shape[0];
	int64_t from[PARE_MAX_DIMS], to[PARE_MAX_DIMS];

	(void)in, (void)out;
	pare_strides(r->in_shape[0], from);
	pare_strides(y, to);
	for (int k = 0; k < y->n_dims; k++) {
		m->src_at += a->start[k] * from[k];
		pare_move_axis(m, y->dims[k], a->step[k] * from[k], to[k]);
	}
	return i == 0;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

/* One axis of n elements; returns the length of the result. */
static int64_t slice_axis(int64_t n, int64_t start, int64_t end, int64_t step, int64_t *first)
{
	start = clamp(start, -n - 1, n);
	end = clamp(end, -n - 1, n);
	start += start < 0 ? n : 0;
	end += end < 0 ? n : 0;
	if (step > 0) {
		*first = clamp(start, 0, n);
		end = clamp(end, 0, n);
		return end > *first ? (end - *first - 1) / step + 1 : 0;
	}
	*first = clamp(start, 0, n - 1);
	end = clamp(end, -1, n - 1);
	return *first > end && n > 0 ? (*first - end - 1) / -step + 1 : 0;
}

#define ALL_ROWS 1000000000 /* what TensorFlow's exporter writes for "to the end"; no batch is that long */

/* Does start:end:step take all of a batch axis of d rows each? */
static bool takes_all(int64_t d, int64_t start, int64_t end, bool end_batch, int64_t step)
{
	return start == 0 && step == 1 && (end_batch ? end >= d : end >= ALL_ROWS);
}

static enum pare_code slice_box(const struct pare_infer *c, struct pare_ints steps, const bool *end_batch, struct pare_err *err)
{
	struct slice_args *a = c->args;
	struct pare_shape *y = &c->out[0];
	int axis[PARE_MAX_DIMS] = {0, 1, 2, 3, 4, 5, 6, 7};
	enum pare_code code = a->axes.v != NULL ? pare_axes(c, a->axes, y->n_dims, axis, err) : PARE_OK;

	if (code != PARE_OK)
		return code;
	if (a->starts.n != a->ends.n || a->starts.n > (size_t)y->n_dims || (a->axes.v != NULL && a->axes.n != a->starts.n) ||
	    (steps.v != NULL && steps.n != a->starts.n))
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%zu starts, %zu ends, %zu axes, %zu steps for %d dimensions; they must be as many",
		    a->starts.n, a->ends.n, a->axes.n, steps.n, y->n_dims);
	for (size_t i = 0; i < a->starts.n; i++) {
		int k = axis[i];
		int64_t step = steps.v != NULL ? steps.v[i] : 1;
		bool batch = end_batch != NULL && end_batch[i];

		if (step == 0 || step < -INT32_MAX || step > INT32_MAX)
			step = step > 0 ? INT32_MAX : -INT32_MAX;
		if (steps.v != NULL && steps.v[i] == 0)
			return pare_err_set(err, PARE_E_INVALID, c->where, "a step of 0");
		if (y->batch & PARE_BIT(k) ? !takes_all(y->dims[k], a->starts.v[i], a->ends.v[i], batch, step) : batch)
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator Slice is not supported for execution with a part of the batch");
		a->step[k] = step;
		a->axis[i] = k;
		a->end_batch |= batch ? PARE_BIT(i) : 0;
		if (!(y->batch & PARE_BIT(k)))
			y->dims[k] = slice_axis(y->dims[k], a->starts.v[i], a->ends.v[i], step, &a->start[k]);
	}
	return PARE_OK;
}

static enum pare_code slice_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct slice_args *a = c->args;
	struct pare_ints steps = {0};
	enum pare_code code = PARE_OK;
	const bool *end_batch = c->n_in > 2 ? c->in_known[2].batch : NULL;

	a->move.plan = slice_plan;
	for (int k = 0; k < PARE_MAX_DIMS; k++)
		a->step[k] = 1;
	a->by_input = c->n_in > 1;
	if (c->n_in > 1) {
		code = pare_known_ints(c, 1, &a->starts, err);
		if (code == PARE_OK)
			code = pare_known_ints(c, 2, &a->ends, err);
		if (code == PARE_OK)
			code = pare_known_ints(c, 3, &a->axes, err);
		if (code == PARE_OK)
			code = pare_known_ints(c, 4, &steps, err);
	}
	if (code != PARE_OK)
		return code;
	c->out[0] = c->in[0];
	c->out_dtype[0] = c->in_dtype[0];
	return slice_box(c, steps, end_batch, err);
}

/* A piece without gaps. With gaps it would have to stay as it is: what is left between two indices taken need not be equally many. */
static void slice_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct slice_args *a = v->args;

	for (int k = 0; k < v->in[0]->n_dims; k++) {
		bool whole = v->in[0]->dims[k] == v->out[0]->dims[k];
		enum pare_tie_kind kind = a->step[k] != 1 ? PARE_TIE_OPAQUE : whole ? PARE_TIE_SAME : PARE_TIE_PART;

		pare_tie_add(t, kind == PARE_TIE_SAME ? (struct pare_tie){.kind = kind, .a = 0, .a_axis = k, .b = PARE_OUT(0), .b_axis = k} :
		    (struct pare_tie){.kind = kind, .a = PARE_OUT(0), .a_axis = k, .b = 0, .b_axis = k, .offset = a->start[k]});
	}
}

/* Bounds of an axis that got shorter: what is left of the piece, from what is left before it. */
static void slice_resize(const struct pare_resize *r)
{
	const struct slice_args *a = r->was->args;
	const struct pare_shape *x = r->was->in[0], *y = r->was->out[0];
	int64_t start[PARE_MAX_DIMS], end[PARE_MAX_DIMS];
	bool changed = false;

	for (size_t i = 0; i < a->starts.n; i++) {
		int k = a->axis[i];

		start[i] = a->starts.v[i];
		end[i] = a->ends.v[i];
		if (r->gone(r, 0, k) == NULL || (x->batch & PARE_BIT(k)))
			continue;
		start[i] = pare_resize_left(r, 0, k, 0, a->start[k]);
		end[i] = start[i] + pare_resize_left(r, PARE_OUT(0), k, 0, y->dims[k]);
		changed = true;
	}
	if (!changed)
		return;
	if (a->by_input) {
		r->set_input(r, 1, start, a->starts.n, 0);
		r->set_input(r, 2, end, a->starts.n, a->end_batch);
	} else {
		r->set_attr(r, "starts", start, a->starts.n);
		r->set_attr(r, "ends", end, a->starts.n);
	}
}

enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

struct pad_args {
	struct pare_movement move;
	struct pare_span mode_arg;
	struct pare_ints pads;
	float value;
	enum pad_mode mode;
	int64_t before[PARE_MAX_DIMS], after[PARE_MAX_DIMS];
	int axis[PARE_MAX_DIMS]; /* of each pair of pads */
	bool by_input;
};

/* A run of y along one axis: n elements from y0, read from x0 with a step. */
struct pad_run {
	int64_t n, y0, x0, step;
};

/* Run i of three along an axis of len elements. */
static struct pad_run pad_run(enum pad_mode mode, int64_t len, int64_t before, int64_t after, int i)
{
	int64_t low = before < 0 ? -before : 0, high = after < 0 ? len + after : len;
	struct pad_run r = {.n = high - low, .y0 = before > 0 ? before : 0, .x0 = low, .step = 1};

	if (i == 1)
		return r;
	r.n = i == 0 ? before : after;
	r.y0 = i == 0 ? 0 : before + len;
	if (r.n <= 0 || mode == PAD_CONSTANT)
		return (struct pad_run){0};
	switch (mode) {
	case PAD_REFLECT:
		r.x0 = i == 0 ? before : len - 2;
		r.step = -1;
		break;
	case PAD_EDGE:
		r.x0 = i == 0 ? 0 : len - 1;
		r.step = 0;
		break;
	default:
		r.x0 = i == 0 ? len - before : 0;
		break;
	}
	return r;
}

/* Move i is the combination whose run along axis k is digit k of i in base 3; constant pads have only the middle. */
static bool pad_plan(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out)
{
	const struct pad_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0], *y = r->out_shape[0];
	int64_t from[PARE_MAX_DIMS], to[PARE_MAX_DIMS];
	int last = 1;

	(void)in, (void)out;
	for (int k = 0; k < x->n_dims && a->mode != PAD_CONSTANT; k++)
		last *= 3;
	if (i >= last)
		return false;
	pare_strides(x, from);
	pare_strides(y, to);
	for (int k = 0; k < x->n_dims; k++) {
		struct pad_run run = pad_run(a->mode, x->dims[k], a->before[k], a->after[k], a->mode == PAD_CONSTANT ? 1 : i % 3);

		i /= 3;
		m->src_at += run.x0 * from[k];
		m->dst_at += run.y0 * to[k];
		pare_move_axis(m, run.n > 0 ? run.n : 0, run.step * from[k], to[k]);
	}
	return true;
}

static enum pare_code pad_mode(const struct pare_infer *c, struct pad_args *a, struct pare_err *err)
{
	static const char *const name_table[] = {"constant", "reflect", "edge", "wrap"};

	for (size_t i = 0; a->mode_arg.data != NULL && i < sizeof name_table / sizeof name_table[0]; i++)
		if (a->mode_arg.len == strlen(name_table[i]) && memcmp(a->mode_arg.data, name_table[i], a->mode_arg.len) == 0) {
			a->mode = (enum pad_mode)i;
			return PARE_OK;
		}
	if (a->mode_arg.data != NULL)
		return pare_err_set(err, PARE_E_INVALID, c->where, "attribute \"mode\" must be constant, reflect, edge or wrap");
	return PARE_OK;
}

/* How far a pad may reach: reflection and wrapping repeat x at most once. */
static bool pad_fits(enum pad_mode mode, int64_t len, int64_t before, int64_t after)
{
	int64_t most = mode == PAD_REFLECT ? len - 1 : len;

	if (before < -len || after < -len || before > INT32_MAX || after > INT32_MAX || len + before + after < 0)
		return false;
	if (mode == PAD_CONSTANT)
		return true;
	if (before < 0 || after < 0)
		return false;
	return mode == PAD_EDGE ? len > 0 || before + after == 0 : before <= most && after <= most;
}

static enum pare_code pad_box(const struct pare_infer *c, struct pare_ints axes, struct pare_err *err)
{
	struct pad_args *a = c->args;
	struct pare_shape *y = &c->out[0];
	int axis[PARE_MAX_DIMS] = {0, 1, 2, 3, 4, 5, 6, 7};
	size_t n = axes.v != NULL ? axes.n : (size_t)y->n_dims;
	enum pare_code code = axes.v != NULL ? pare_axes(c, axes, y->n_dims, axis, err) : PARE_OK;

	if (code != PARE_OK)
		return code;
	if (a->pads.n != 2 * n)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%zu pads for %zu axes; there must be two for each", a->pads.n, n);
	for (size_t i = 0; i < n; i++) {
		int k = axis[i];
		int64_t before = a->pads.v[i], after = a->pads.v[n + i];

		if ((y->batch & PARE_BIT(k)) && (before != 0 || after != 0))
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator Pad is not supported for execution along the batch");
		if (!pad_fits(a->mode, y->dims[k], before, after))
			return pare_err_set(err, PARE_E_SHAPE, c->where, "pads of %lld and %lld do not fit %lld elements", (long long)before, (long long)after,
			    (long long)y->dims[k]);
		a->axis[i] = k;
		a->before[k] = before;
		a->after[k] = after;
		y->dims[k] += before + after;
	}
	return PARE_OK;
}

static enum pare_code pad_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct pad_args *a = c->args;
	struct pare_ints axes = {0};
	enum pare_code code = pad_mode(c, a, err);

	a->move = (struct pare_movement){.plan = pad_plan, .fills = a->mode == PAD_CONSTANT, .fill = a->value};
	a->by_input = c->n_in > 1;
	if (code == PARE_OK && c->n_in > 1)
		code = pare_known_ints(c, 1, &a->pads, err);
	if (code == PARE_OK)
		code = pare_known_ints(c, 3, &axes, err);
	if (code != PARE_OK)
		return code;
	if (pare_infer_has(c, 2)) {
		const struct pare_known *v = &c->in_known[2];

		if (v->n != 1)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "a fill value of %zu elements; it must be a scalar", v->n);
		a->move.fill = v->f32 != NULL ? v->f32[0] : (float)v->i64[0];
	}
	c->out[0] = c->in[0];
	c->out_dtype[0] = c->in_dtype[0];
	return pad_box(c, axes, err);
}

/* Constant pads stand around the input; other modes copy what is inside. */
static void pad_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct pad_args *a = v->args;

	for (int k = 0; k < v->in[0]->n_dims; k++) {
		bool whole = a->before[k] == 0 && a->after[k] == 0, part = a->mode == PAD_CONSTANT && a->before[k] >= 0 && a->after[k] >= 0;

		pare_tie_add(t, (struct pare_tie){.kind = whole ? PARE_TIE_SAME : part ? PARE_TIE_PART : PARE_TIE_OPAQUE, .a = 0, .a_axis = k, .b = PARE_OUT(0), .b_axis = k,
		    .offset = a->before[k]});
	}
}

static void pad_resize(const struct pare_resize *r)
{
	const struct pad_args *a = r->was->args;
	size_t n = a->pads.n / 2;
	int64_t pads[2 * PARE_MAX_DIMS];
	bool changed = false;

	for (size_t i = 0; i < n; i++) {
		int k = a->axis[i];
		int64_t len = r->was->in[0]->dims[k];

		pads[i] = a->pads.v[i];
		pads[n + i] = a->pads.v[n + i];
		if (r->gone(r, PARE_OUT(0), k) == NULL || (pads[i] == 0 && pads[n + i] == 0))
			continue;
		pads[i] = pare_resize_left(r, PARE_OUT(0), k, 0, a->before[k]);
		pads[n + i] = pare_resize_left(r, PARE_OUT(0), k, a->before[k] + len, a->after[k]);
		changed = true;
	}
	if (changed && a->by_input)
		r->set_input(r, 1, pads, 2 * n, 0);
	else if (changed)
		r->set_attr(r, "pads", pads, 2 * n);
}

static const struct pare_arg_spec slice_arg_table[] = {
    {.name = "starts", .kind = PARE_ARG_INTS, .offset = offsetof(struct slice_args, starts), .required = true},
    {.name = "ends", .kind = PARE_ARG_INTS, .offset = offsetof(struct slice_args, ends), .required = true},
    {.name = "axes", .kind = PARE_ARG_INTS, .offset = offsetof(struct slice_args, axes)},
    {.name = NULL},
};
static const struct pare_arg_spec pad_attr_arg_table[] = {
    {.name = "mode", .kind = PARE_ARG_STRING, .offset = offsetof(struct pad_args, mode_arg)},
    {.name = "pads", .kind = PARE_ARG_INTS, .offset = offsetof(struct pad_args, pads), .required = true},
    {.name = "value", .kind = PARE_ARG_FLOAT, .offset = offsetof(struct pad_args, value)},
    {.name = NULL},
};
static const struct pare_arg_spec pad_arg_table[] = {
    {.name = "mode", .kind = PARE_ARG_STRING, .offset = offsetof(struct pad_args, mode_arg)},
    {.name = NULL},
};

#define ROW .domain = "", .min_out = 1, .max_out = 1, .moves_in = PARE_BIT(0), .any_dtype_in = ~0u, .forward = pare_movement_forward, .backward = pare_movement_backward
#define SLICE ROW, .name = "Slice", .args_size = sizeof(struct slice_args), .infer = slice_infer, .couple = slice_couple, .resize = slice_resize
#define PAD ROW, .name = "Pad", .args_size = sizeof(struct pad_args), .infer = pad_infer, .couple = pad_couple, .resize = pad_resize

const struct pare_op pare_op_slice_table[] = {
    {SLICE, .since = PARE_OPSET_MIN, .until = 9, .min_in = 1, .max_in = 1, .args = slice_arg_table},
    {SLICE, .since = 10, .until = PARE_OPSET_MAX, .min_in = 3, .max_in = 5, .const_in = PARE_BIT(1) | PARE_BIT(2) | PARE_BIT(3) | PARE_BIT(4),
     .symbolic_in = PARE_BIT(2)},
    {PAD, .since = PARE_OPSET_MIN, .until = 10, .min_in = 1, .max_in = 1, .args = pad_attr_arg_table},
    {PAD, .since = 11, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 4, .const_in = PARE_BIT(1) | PARE_BIT(2) | PARE_BIT(3), .args = pad_arg_table},
    {.name = NULL},
};
