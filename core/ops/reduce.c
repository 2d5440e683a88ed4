/* The Reduce family: over a set of axes, with or without keeping them as 1.
 *
 *   Sum, Mean       dx = dy (/ n)                 LogSum      y = log sum x      dx = dy e^-y
 *   L1              dx = dy sign x                LogSumExp   y = log sum e^x    dx = dy e^(x - y)
 *   L2              dx = dy x / y                 Prod        dx = dy times the product of the others
 *   SumSquare       dx = 2 dy x                   Max, Min    dy in equal parts to those that equal y
 *
 * All are one walk: x in order, the output with stride 0 along the reduced axes (broadcast.h). What differs is what is added
 * up and how it ends. An accumulator is a float per output; along a reduced innermost axis sums run in lanes. */
#include <math.h>
#include <string.h>

#include "core/ops/broadcast.h"
#include "core/ops/kernels/float_math.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/movement.h"
#include "core/ops/ops_priv.h"

enum kind { SUM, MEAN, L1, L2, SUM_SQUARE, LOG_SUM, LOG_SUM_EXP, PROD, MAX, MIN };

struct reduce_args {
	struct pare_ints axes;
	int64_t keep_dims, noop;
	unsigned mask;
	enum kind kind;
	bool truth; /* of bools: nothing has a largest that is false */
};

static enum pare_code reduce_shape(const struct pare_infer *c, struct pare_err *err)
{
	struct reduce_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	int axis[PARE_MAX_DIMS];
	enum pare_code code = c->n_in > 1 ? pare_known_ints(c, 1, &a->axes, err) : PARE_OK;

	if (code == PARE_OK)
		code = pare_axes(c, a->axes, x->n_dims, axis, err);
	if (code != PARE_OK)
		return code;
	a->mask = a->axes.n == 0 && a->noop == 0 ? PARE_BIT(x->n_dims) - 1 : 0;
	for (size_t i = 0; i < a->axes.n; i++)
		a->mask |= PARE_BIT(axis[i]);
	c->out_dtype[0] = c->in_dtype[0];
	for (int i = 0; i < x->n_dims; i++) {
		bool reduced = (a->mask & PARE_BIT(i)) != 0;
		struct pare_shape *y = &c->out[0];

		if (reduced && a->keep_dims == 0)
			continue;
		y->dims[y->n_dims] = reduced ? 1 : x->dims[i];
		y->batch |= !reduced && (x->batch & PARE_BIT(i)) ? PARE_BIT(y->n_dims) : 0;
		y->n_dims++;
	}
	return PARE_OK;
}

static enum pare_code reduce_infer(const struct pare_infer *c, struct pare_err *err)
{
	static const struct {
		const char *name;
		enum kind kind;
	} kind_table[] = {
	    {"ReduceSum", SUM},        {"ReduceMean", MEAN},   {"ReduceL1", L1},
	    {"ReduceL2", L2},          {"ReduceSumSquare", SUM_SQUARE}, {"ReduceLogSum", LOG_SUM},
	    {"ReduceLogSumExp", LOG_SUM_EXP}, {"ReduceProd", PROD}, {"ReduceMax", MAX}, {"ReduceMin", MIN},
	};

	for (size_t i = 0; i < sizeof kind_table / sizeof kind_table[0]; i++)
		if (strcmp(kind_table[i].name, c->node->op_type) == 0)
			((struct reduce_args *)c->args)->kind = kind_table[i].kind;
	((struct reduce_args *)c->args)->truth = c->in_dtype[0] == PARE_DT_BOOL;
	return reduce_shape(c, err);
}

/* x's shape with 1 at the reduced axes: what the output is, whether it keeps them or not. */
static void kept_shape(const struct pare_run *r, struct pare_shape *kept)
{
	const struct reduce_args *a = r->args;

	*kept = *r->in_shape[0];
	for (int i = 0; i < kept->n_dims; i++)
		if (a->mask & PARE_BIT(i))
			kept->dims[i] = 1;
}

/* One run of x into an accumulator that moves with it, or does not. shift: LogSumExp's largest x, else NULL. */
static void add_run(enum kind kind, size_t n, const float *x, const float *shift, bool moves, float *acc)
{
	size_t step = moves ? 1 : 0;

	switch (kind) {
	case SUM:
	case MEAN:
	case LOG_SUM:
		if (moves)
			pare_k_acc(n, x, acc);
		else
			*acc += pare_k_sum(n, x);
		break;
	case L1:
		for (size_t i = 0; i < n; i++)
			acc[i * step] += fabsf(x[i]);
		break;
	case L2:
	case SUM_SQUARE:
		if (moves)
			pare_k_acc_mul(n, x, x, acc);
		else
			*acc += pare_k_dot(n, x, x);
		break;
	case LOG_SUM_EXP:
		for (size_t i = 0; i < n; i++)
			acc[i * step] += exp1(x[i] - shift[i * step]);
		break;
	case PROD:
		for (size_t i = 0; i < n; i++)
			acc[i * step] *= x[i];
		break;
	case MAX:
		for (size_t i = 0; i < n; i++)
			acc[i * step] = x[i] > acc[i * step] || x[i] != x[i] ? x[i] : acc[i * step];
		break;
	case MIN:
		for (size_t i = 0; i < n; i++)
			acc[i * step] = x[i] < acc[i * step] || x[i] != x[i] ? x[i] : acc[i * step];
		break;
	}
}

static void walk_sum(const struct pare_run *r, enum kind kind, const float *shift, float *acc)
{
	const bool truth = ((const struct reduce_args *)r->args)->truth;
	const float start = kind == PROD ? 1.0f : kind == MAX ? (truth ? 0.0f : -INFINITY) : kind == MIN ? (truth ? 1.0f : INFINITY) : 0.0f;
	struct pare_shape kept;
	struct pare_broadcast_walk w;
	bool moves, other;
	size_t len;

	kept_shape(r, &kept);
	pare_k_fill(pare_shape_elems(&kept), start, acc);
	pare_broadcast_start(&w, r->in_shape[0], &kept, &kept);
	len = pare_broadcast_take_inner(&w, &moves, &other);
	for (size_t i = 0; i < w.n; i++, pare_broadcast_next(&w))
		add_run(kind, len, r->in[0] + i * len, shift != NULL ? shift + w.a : NULL, moves, acc + w.a);
}

/* One float per output: LogSumExp's largest x; backward, one or two more (see slope). */
static size_t reduce_scratch(const struct pare_run *r)
{
	return 2 * pare_shape_elems(r->out_shape[0]);
}

static void reduce_forward(const struct pare_run *r)
{
	const struct reduce_args *a = r->args;
	size_t n = pare_shape_elems(r->out_shape[0]), n_x = pare_shape_elems(r->in_shape[0]);
	float *y = r->out[0], *largest = r->scratch;

	if (a->kind == LOG_SUM_EXP) {
		walk_sum(r, MAX, NULL, largest);
		for (size_t i = 0; i < n; i++)
			largest[i] = isfinite(largest[i]) ? largest[i] : 0.0f;
	}
	walk_sum(r, a->kind, largest, y);
	for (size_t i = 0; i < n; i++)
		switch (a->kind) {
		case MEAN:
			y[i] /= (float)(n_x / n);
			break;
		case L2:
			y[i] = sqrtf(y[i]);
			break;
		case LOG_SUM:
			y[i] = logf(y[i]);
			break;
		case LOG_SUM_EXP:
			y[i] = logf(y[i]) + largest[i];
			break;
		default:
			return;
		}
}

/* dy/dx of one element. aux, zeros: of its output (count_extremes, count_zeros). */
static float slope(enum kind kind, float x, float y, float aux, float zeros, float per_output)
{
	switch (kind) {
	case SUM:
		return 1.0f;
	case MEAN:
		return 1.0f / per_output;
	case L1:
		return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f;
	case L2:
		return y > 0.0f ? x / y : 0.0f;
	case SUM_SQUARE:
		return 2.0f * x;
	case LOG_SUM:
		return exp1(-y);
	case LOG_SUM_EXP:
		return exp1(x - y);
	case PROD:
		return x != 0.0f ? (zeros > 0.0f ? 0.0f : y / x) : zeros == 1.0f ? aux : 0.0f;
	case MAX:
	case MIN:
		return x == y ? 1.0f / aux : 0.0f;
	}
	return 0.0f;
}

/* What slope needs per output: how many equal the extreme; or the product without zeros, and how many zeros. */
static void count(const struct pare_run *r, enum kind kind, float *aux, float *zeros)
{
	struct pare_shape kept;
	struct pare_broadcast_walk w;
	size_t n;

	kept_shape(r, &kept);
	n = pare_shape_elems(&kept);
	pare_k_fill(n, kind == PROD ? 1.0f : 0.0f, aux);
	pare_k_fill(n, 0.0f, zeros);
	if (kind != PROD && kind != MAX && kind != MIN)
		return;
	pare_broadcast_start(&w, r->in_shape[0], &kept, &kept);
	for (size_t i = 0; i < w.n; i++, pare_broadcast_next(&w)) {
		float x = r->in[0][i];

		if (kind != PROD)
			aux[w.a] += x == r->out[0][w.a] ? 1.0f : 0.0f;
		else if (x == 0.0f)
			zeros[w.a] += 1.0f;
		else
			aux[w.a] *= x;
	}
}

static void reduce_backward(const struct pare_run *r)
{
	const struct reduce_args *a = r->args;
	size_t n = pare_shape_elems(r->out_shape[0]);
	float per_output = n > 0 ? (float)(pare_shape_elems(r->in_shape[0]) / n) : 1.0f;
	float *aux = r->scratch, *zeros = aux + n, *dx = r->grad_in[0];
	struct pare_shape kept;
	struct pare_broadcast_walk w;
	bool moves, other;
	size_t len;

	count(r, a->kind, aux, zeros);
	kept_shape(r, &kept);
	pare_broadcast_start(&w, r->in_shape[0], &kept, &kept);
	len = pare_broadcast_take_inner(&w, &moves, &other);
	for (size_t i = 0; i < w.n; i++, pare_broadcast_next(&w))
		for (size_t j = 0; j < len; j++) {
			size_t o = w.a + (moves ? j : 0), k = i * len + j;

			dx[k] = (r->accumulate[0] ? dx[k] : 0.0f) +
			    r->grad_out[0][o] * slope(a->kind, r->in[0][k], r->out[0][o], aux[o], zeros[o], per_output);
		}
}

/* To which zeros add nothing. */
static bool is_sum(enum kind kind)
{
	return kind == SUM || kind == L1 || kind == L2 || kind == SUM_SQUARE || kind == LOG_SUM;
}

/* Kept axes are the same; over reduced ones all indices meet, and any of them may go only if it adds nothing (sum of
 * zeros), which a mean, a maximum or a product does not grant. */
static void reduce_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct reduce_args *a = v->args;
	int out = 0;

	for (int i = 0; i < v->in[0]->n_dims; i++) {
		bool reduced = (a->mask & PARE_BIT(i)) != 0;

		if (reduced)
			pare_tie_add(t, (struct pare_tie){.kind = is_sum(a->kind) ? PARE_TIE_CONTRACT : PARE_TIE_OPAQUE, .a = 0, .a_axis = i, .b = 0, .b_axis = i});
		else
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = 0, .a_axis = i, .b = PARE_OUT(0), .b_axis = out});
		out += !reduced || a->keep_dims != 0;
	}
}

#define KEEP {.name = "keepdims", .kind = PARE_ARG_INT, .offset = offsetof(struct reduce_args, keep_dims), .def = 1, .max = 1}
static const struct pare_arg_spec attr_arg_table[] = {
    {.name = "axes", .kind = PARE_ARG_INTS, .offset = offsetof(struct reduce_args, axes)},
    KEEP,
    {.name = NULL},
};
static const struct pare_arg_spec input_arg_table[] = {
    KEEP,
    {.name = "noop_with_empty_axes", .kind = PARE_ARG_INT, .offset = offsetof(struct reduce_args, noop), .max = 1},
    {.name = NULL},
};

#define ROW .domain = "", .min_in = 1, .min_out = 1, .max_out = 1, .args_size = sizeof(struct reduce_args), .any_dtype_in = PARE_BIT(0), \
	.infer = reduce_infer, .scratch = reduce_scratch, .forward = reduce_forward, .backward = reduce_backward, .couple = reduce_couple
#define ATTR(text, last, in, out) {ROW, .name = text, .since = PARE_OPSET_MIN, .until = last, .max_in = 1, .args = attr_arg_table, \
	.grad_uses_in = in, .grad_uses_out = out}
#define INPUT(text, first, in, out) {ROW, .name = text, .since = first, .until = PARE_OPSET_MAX, .max_in = 2, .const_in = PARE_BIT(1), \
	.args = input_arg_table, .grad_uses_in = in, .grad_uses_out = out}
#define PAIR(text, first, in, out) ATTR(text, first - 1, in, out), INPUT(text, first, in, out)

const struct pare_op pare_op_reduce_table[] = {
    PAIR("ReduceSum", 13, 0, 0),
    PAIR("ReduceMean", 18, 0, 0),
    PAIR("ReduceL1", 18, PARE_BIT(0), 0),
    PAIR("ReduceL2", 18, PARE_BIT(0), PARE_BIT(0)),
    PAIR("ReduceSumSquare", 18, PARE_BIT(0), 0),
    PAIR("ReduceLogSum", 18, 0, PARE_BIT(0)),
    PAIR("ReduceLogSumExp", 18, PARE_BIT(0), PARE_BIT(0)),
    PAIR("ReduceProd", 18, PARE_BIT(0), PARE_BIT(0)),
    PAIR("ReduceMax", 18, PARE_BIT(0), PARE_BIT(0)),
    PAIR("ReduceMin", 18, PARE_BIT(0), PARE_BIT(0)),
    {.name = NULL},
};
