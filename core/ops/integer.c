/* Matrix products of quantized numbers: MatMulInteger and QLinearMatMul, by MatMul's own row over copies from which the zero
 * points are taken.
 *
 *   integer   y = (a - za) (b - zb)             qlinear   y = clamp(round((a - za) (b - zb) sa sb / sy) + zy)
 *
 * Sums are float, so they are exact up to 2^24: any product of 8-bit numbers over 258 terms, and of usual ones over
 * thousands. Zero points and scales are one number, or one for each row of a and each column of b. */
#include <math.h>

#include "core/ops/ops_priv.h"

/* Where the operands stand among the inputs; -1: not there. */
struct operands {
	int a, a_zero, a_scale, b, b_zero, b_scale;
};
static const struct operands integer_operands = {0, 2, -1, 1, 3, -1}, qlinear_operands = {0, 2, 1, 3, 5, 4};
enum { Q_Y_SCALE = 6, Q_Y_ZERO = 7 };

struct qlinear_args {
	float low, high; /* of y's type; found by infer */
};

static const struct pare_op *matmul(void)
{
	return pare_op_find("", "MatMul", PARE_OPSET_MAX);
}

static bool is_8_bit(int dtype)
{
	return dtype == PARE_DT_UINT8 || dtype == PARE_DT_INT8;
}

/* One number, or one for each of the n rows or columns; a trailing or leading 1 of the shape is allowed. */
static enum pare_code check_each(const struct pare_infer *c, int k, int64_t n, bool batch, struct pare_err *err)
{
	char text[PARE_SHAPE_TEXT];
	size_t elems;

	if (k < 0 || !pare_infer_has(c, k))
		return PARE_OK;
	elems = pare_shape_elems(&c->in[k]);
	if (c->in[k].batch != 0 || (elems != 1 && (batch || elems != (size_t)n)))
		return pare_err_set(err, PARE_E_SHAPE, c->where, "input %d has shape %s; it must be one number, or %lld", k, pare_shape_text(&c->in[k], text), (long long)n);
	return PARE_OK;
}

static enum pare_code product_infer(const struct pare_infer *c, const struct operands *o, struct pare_err *err)
{
	const struct pare_shape in[2] = {c->in[o->a], c->in[o->b]};
	const struct pare_shape *a = &in[0], *b = &in[1];
	struct pare_infer p = *c;
	enum pare_code code;
	bool row_batch = a->n_dims > 1 && (a->batch & PARE_BIT(a->n_dims - 2)) != 0;

	p.in = in;
	p.n_in = 2;
	if (!is_8_bit(c->in_dtype[o->a]) || !is_8_bit(c->in_dtype[o->b]))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution with %s and %s; 8 bit integers are",
		    c->node->op_type, pare_dtype_name(c->in_dtype[o->a]), pare_dtype_name(c->in_dtype[o->b]));
	code = matmul()->infer(&p, err);
	for (int i = 0; i < 2 && code == PARE_OK; i++)
		code = check_each(c, i == 0 ? o->a_zero : o->a_scale, a->n_dims > 1 ? a->dims[a->n_dims - 2] : 1, row_batch, err);
	for (int i = 0; i < 2 && code == PARE_OK; i++)
		code = check_each(c, i == 0 ? o->b_zero : o->b_scale, b->n_dims > 1 ? b->dims[b->n_dims - 1] : 1, false, err);
	return code;
}

static enum pare_code integer_infer(const struct pare_infer *c, struct pare_err *err)
{
	c->out_dtype[0] = PARE_DT_INT32;
	return product_infer(c, &integer_operands, err);
}

static enum pare_code qlinear_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct qlinear_args *a = c->args;
	enum pare_code code = check_each(c, Q_Y_SCALE, 1, false, err);

	a->low = c->in_dtype[Q_Y_ZERO] == PARE_DT_INT8 ? -128 : 0;
	a->high = c->in_dtype[Q_Y_ZERO] == PARE_DT_INT8 ? 127 : 255;
	c->out_dtype[0] = c->in_dtype[Q_Y_ZERO];
	if (code == PARE_OK)
		code = check_each(c, Q_Y_ZERO, 1, false, err);
	return code == PARE_OK ? product_infer(c, &qlinear_operands, err) : code;
}

static size_t product_floats(const struct pare_run *r, const struct operands *o)
{
	return pare_shape_elems(r->in_shape[o->a]) + pare_shape_elems(r->in_shape[o->b]);
}

static size_t integer_scratch(const struct pare_run *r)
{
	return product_floats(r, &integer_operands);
}

static size_t qlinear_scratch(const struct pare_run *r)
{
	return product_floats(r, &qlinear_operands) + pare_shape_elems(r->out_shape[0]);
}

/* Element i of the operand belongs to number each(i) of k, or to its only one. */
static float each(const struct pare_run *r, int k, size_t index)
{
	return pare_shape_elems(r->in_shape[k]) == 1 ? r->in[k][0] : r->in[k][index];
}

static bool given(const struct pare_run *r, int k)
{
	return k >= 0 && k < r->n_in && r->in[k] != NULL;
}

/* The sizes of the last two dimensions; a vector is a row on the left and a column on the right. */
static void sizes(const struct pare_run *r, const struct operands *o, size_t *rows, size_t *inner, size_t *cols)
{
	const struct pare_shape *a = r->in_shape[o->a], *b = r->in_shape[o->b];

	*rows = a->n_dims > 1 ? (size_t)a->dims[a->n_dims - 2] : 1;
	*inner = (size_t)a->dims[a->n_dims - 1];
	*cols = b->n_dims > 1 ? (size_t)b->dims[b->n_dims - 1] : 1;
}

static void product(const struct pare_run *r, const struct operands *o, float *scratch, float *y)
{
	size_t n_a = pare_shape_elems(r->in_shape[o->a]), n_b = pare_shape_elems(r->in_shape[o->b]), rows, inner, cols;
	float *a = scratch, *b = scratch + n_a;
	const float *in[2] = {a, b};
	float *out[1] = {y};
	const struct pare_shape *shapes[2] = {r->in_shape[o->a], r->in_shape[o->b]};
	struct pare_run p = {.n_in = 2, .n_out = 1, .in = in, .out = out, .in_shape = shapes, .out_shape = r->out_shape};

	sizes(r, o, &rows, &inner, &cols);
	for (size_t i = 0; i < n_a; i++)
		a[i] = r->in[o->a][i] - (given(r, o->a_zero) ? each(r, o->a_zero, i / inner % rows) : 0.0f);
	for (size_t i = 0; i < n_b; i++)
		b[i] = r->in[o->b][i] - (given(r, o->b_zero) ? each(r, o->b_zero, i % cols) : 0.0f);
	pare_matmul(&p);
}

static void integer_forward(const struct pare_run *r)
{
	product(r, &integer_operands, r->scratch, r->out[0]);
}

static void qlinear_forward(const struct pare_run *r)
{
	const struct qlinear_args *q = r->args;
	const struct operands *o = &qlinear_operands;
	size_t n = pare_shape_elems(r->out_shape[0]), rows, inner, cols;
	float *sum = r->scratch + product_floats(r, o);

	product(r, o, r->scratch, sum);
	sizes(r, o, &rows, &inner, &cols);
	for (size_t i = 0; i < n; i++) {
		float s = each(r, o->a_scale, i / cols % rows) * each(r, o->b_scale, i % cols) / r->in[Q_Y_SCALE][0];
		float v = rintf(sum[i] * s) + r->in[Q_Y_ZERO][0];

		r->out[0][i] = fminf(fmaxf(v, q->low), q->high);
	}
}

/* MatMul's ties, for its operands where they stand here; what there is one of for each row or column goes with it. */
static void product_couple(const struct pare_node_view *v, const struct operands *o, struct pare_ties *t)
{
	const struct pare_shape *in[2] = {v->in[o->a], v->in[o->b]};
	const struct pare_node_view p = {.n_in = 2, .n_out = v->n_out, .in = in, .out = v->out};
	const int by_row[2] = {o->a_zero, o->a_scale}, by_col[2] = {o->b_zero, o->b_scale};
	int last = v->out[0]->n_dims - 1, first = t->n;

	matmul()->couple(&p, t);
	for (int i = first; i < t->n; i++) {
		t->tie[i].a = t->tie[i].a == 0 ? o->a : o->b;
		t->tie[i].b = t->tie[i].b == 1 ? o->b : t->tie[i].b;
	}
	for (int i = 0; i < 2; i++) {
		if (by_row[i] >= 0 && by_row[i] < v->n_in && v->in[by_row[i]] != NULL && pare_shape_elems(v->in[by_row[i]]) > 1)
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = by_row[i], .a_axis = 0, .b = PARE_OUT(0), .b_axis = last - 1});
		if (by_col[i] >= 0 && by_col[i] < v->n_in && v->in[by_col[i]] != NULL && pare_shape_elems(v->in[by_col[i]]) > 1)
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = by_col[i], .a_axis = v->in[by_col[i]]->n_dims - 1, .b = PARE_OUT(0), .b_axis = last});
	}
}

static void integer_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	product_couple(v, &integer_operands, t);
}

static void qlinear_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	product_couple(v, &qlinear_operands, t);
}

static int64_t product_macs(const struct pare_node_view *v)
{
	return (int64_t)pare_shape_elems(v->out[0]) * v->in[0]->dims[v->in[0]->n_dims - 1];
}

#define ROW .domain = "", .since = 10, .until = PARE_OPSET_MAX, .min_out = 1, .max_out = 1, .macs = product_macs, \
	.no_gradient = "integers have none; a pair of QuantizeLinear and DequantizeLinear around MatMul trains"

const struct pare_op pare_op_integer_table[] = {
    {ROW, .name = "MatMulInteger", .min_in = 2, .max_in = 4, .any_dtype_in = PARE_BIT(0) | PARE_BIT(1) | PARE_BIT(2) | PARE_BIT(3), .infer = integer_infer,
     .scratch = integer_scratch, .forward = integer_forward, .couple = integer_couple},
    {ROW, .name = "QLinearMatMul", .min_in = 8, .max_in = 8, .args_size = sizeof(struct qlinear_args),
     .any_dtype_in = PARE_BIT(0) | PARE_BIT(2) | PARE_BIT(3) | PARE_BIT(5) | PARE_BIT(Q_Y_ZERO), .infer = qlinear_infer, .scratch = qlinear_scratch,
     .forward = qlinear_forward, .couple = qlinear_couple},
    {.name = NULL},
};
