/* Activations. All gradients are written in terms of the output, so the input's memory can be overwritten:
 *
 *   Relu        y = max(x, 0)            dx = dy [y > 0]
 *   Sigmoid     y = 1 / (1 + e^-x)       dx = dy y (1 - y)
 *   Tanh                                 dx = dy (1 - y^2)
 *   Softmax     y_i = e^x_i / sum e^x_j  dx = y (dy - sum_j dy_j y_j)
 *   LogSoftmax  y_i = x_i - log sum e^x  dx = dy - e^y sum_j dy_j
 *
 * Hardmax is Softmax's limit: 1 at the first maximum of a row, 0 elsewhere, and no slope.
 *
 * Softmax over axis k means two things: up to opset 12 the tensor is flattened to a matrix at k and a row is everything
 * from k on; from 13 a row runs along k alone. Two table rows, one implementation over (outer, n, inner); rows that are
 * not contiguous (inner > 1) go through the node's scratch one at a time. */
#include <math.h>

#include "core/ops/kernels/elementwise.h"
#include "core/ops/ops_priv.h"

static void relu_forward(const struct pare_run *r)
{
	pare_k_relu(pare_shape_elems(r->in_shape[0]), r->in[0], r->out[0]);
}

static void relu_backward(const struct pare_run *r)
{
	pare_k_relu_grad(pare_shape_elems(r->in_shape[0]), r->out[0], r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

static void sigmoid_forward(const struct pare_run *r)
{
	pare_k_sigmoid(pare_shape_elems(r->in_shape[0]), r->in[0], r->out[0]);
}

static void sigmoid_backward(const struct pare_run *r)
{
	pare_k_sigmoid_grad(pare_shape_elems(r->in_shape[0]), r->out[0], r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

static void tanh_forward(const struct pare_run *r)
{
	pare_k_tanh(pare_shape_elems(r->in_shape[0]), r->in[0], r->out[0]);
}

static void tanh_backward(const struct pare_run *r)
{
	pare_k_tanh_grad(pare_shape_elems(r->in_shape[0]), r->out[0], r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

struct softmax_args {
	int64_t axis;
	int first, last; /* a row runs over the dimensions [first, last) */
};

static enum pare_code softmax_axis(const struct pare_infer *c, bool flatten, struct pare_err *err)
{
	struct softmax_args *s = c->args;
	int n = c->in[0].n_dims, axis = pare_axis(s->axis, n, false);
	char text[PARE_SHAPE_TEXT];

	if (axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for shape %s", (long long)s->axis,
		    pare_shape_text(&c->in[0], text));
	s->first = axis;
	s->last = flatten ? n : axis + 1;
	c->out[0] = c->in[0];
	return PARE_OK;
}

static enum pare_code softmax_infer_flat(const struct pare_infer *c, struct pare_err *err)
{
	return softmax_axis(c, true, err);
}

static enum pare_code softmax_infer(const struct pare_infer *c, struct pare_err *err)
{
	return softmax_axis(c, false, err);
}

static void softmax_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct softmax_args *s = v->args;

	for (int i = 0; i < v->in[0]->n_dims; i++)
		pare_tie_add(t, (struct pare_tie){.kind = i >= s->first && i < s->last ? PARE_TIE_MIX : PARE_TIE_SAME,
		    .a = 0, .a_axis = i, .b = PARE_OUT(0), .b_axis = i});
}

struct softmax_size {
	size_t outer, n, inner;
};

static struct softmax_size softmax_size(const struct pare_run *r)
{
	const struct softmax_args *s = r->args;
	const struct pare_shape *x = r->in_shape[0];

	return (struct softmax_size){.outer = (size_t)pare_shape_product(x, 0, s->first),
	    .n = (size_t)pare_shape_product(x, s->first, s->last), .inner = (size_t)pare_shape_product(x, s->last, x->n_dims)};
}

/* Three rows: two gathered operands and the result. */
static size_t softmax_scratch(const struct pare_run *r)
{
	struct softmax_size z = softmax_size(r);

	return z.inner > 1 ? 3 * z.n : 0;
}

static void gather(const float *from, size_t n, size_t inner, float *to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = from[i * inner];
}

static void softmax_rows(const struct pare_run *r, void (*rows)(size_t, size_t, const float *, float *))
{
	struct softmax_size z = softmax_size(r);
	float *row = r->scratch;

	if (z.inner == 1) {
		rows(z.outer, z.n, r->in[0], r->out[0]);
		return;
	}
	for (size_t i = 0; i < z.outer * z.inner; i++) {
		size_t at = i / z.inner * z.n * z.inner + i % z.inner;

		gather(r->in[0] + at, z.n, z.inner, row);
		rows(1, z.n, row, row);
		for (size_t j = 0; j < z.n; j++)
			r->out[0][at + j * z.inner] = row[j];
	}
}

static void softmax_rows_grad(const struct pare_run *r, void (*rows)(size_t, size_t, const float *, const float *, bool, float *))
{
	struct softmax_size z = softmax_size(r);
	float *y = r->scratch, *dy = y + z.n, *dx = dy + z.n;

	if (z.inner == 1) {
		rows(z.outer, z.n, r->out[0], r->grad_out[0], r->accumulate[0], r->grad_in[0]);
		return;
	}
	for (size_t i = 0; i < z.outer * z.inner; i++) {
		size_t at = i / z.inner * z.n * z.inner + i % z.inner;

		gather(r->out[0] + at, z.n, z.inner, y);
		gather(r->grad_out[0] + at, z.n, z.inner, dy);
		gather(r->grad_in[0] + at, z.n, z.inner, dx);
		rows(1, z.n, y, dy, r->accumulate[0], dx);
		for (size_t j = 0; j < z.n; j++)
			r->grad_in[0][at + j * z.inner] = dx[j];
	}
}

static void softmax_forward(const struct pare_run *r)
{
	softmax_rows(r, pare_k_softmax);
}

static void softmax_backward(const struct pare_run *r)
{
	softmax_rows_grad(r, pare_k_softmax_grad);
}

static void log_softmax_forward(const struct pare_run *r)
{
	softmax_rows(r, pare_k_log_softmax);
}

static void log_softmax_backward(const struct pare_run *r)
{
	softmax_rows_grad(r, pare_k_log_softmax_grad);
}

/* One where the first maximum of a row stands. */
static void hardmax_forward(const struct pare_run *r)
{
	struct softmax_size z = softmax_size(r);

	pare_k_fill(z.outer * z.n * z.inner, 0.0f, r->out[0]);
	for (size_t i = 0; i < z.outer * z.inner && z.n > 0; i++) {
		size_t at = i / z.inner * z.n * z.inner + i % z.inner, best = at;

		for (size_t j = 1; j < z.n; j++)
			if (r->in[0][at + j * z.inner] > r->in[0][best])
				best = at + j * z.inner;
		r->out[0][best] = 1.0f;
	}
}

static bool relu_step(const struct pare_node_view *v, int operand, struct pare_step *out)
{
	(void)v, (void)operand;
	*out = (struct pare_step){.kind = PARE_STEP_CLAMP, .lo = 0, .hi = INFINITY};
	return true;
}

static const struct pare_arg_spec softmax_flat_arg_table[] = {
    {.name = "axis", .kind = PARE_ARG_INT, .offset = offsetof(struct softmax_args, axis), .def = 1},
    {.name = NULL},
};
static const struct pare_arg_spec softmax_arg_table[] = {
    {.name = "axis", .kind = PARE_ARG_INT, .offset = offsetof(struct softmax_args, axis), .def = -1},
    {.name = NULL},
};

#define UNARY .domain = "", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .grad_uses_out = PARE_BIT(0), .inplace = true
#define ALWAYS .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX
#define SOFTMAX_ROW UNARY, .args_size = sizeof(struct softmax_args), .scratch = softmax_scratch, .couple = softmax_couple
#define HARDMAX_ROW .domain = "", .name = "Hardmax", .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .args_size = sizeof(struct softmax_args), \
	.forward = hardmax_forward, .backward = pare_backward_zero, .couple = softmax_couple

const struct pare_op pare_op_activation_table[] = {
    {UNARY, ALWAYS, .name = "Relu", .infer = pare_infer_same, .forward = relu_forward, .backward = relu_backward,
     .step = relu_step, .couple = pare_couple_same, .layout = pare_layout_elementwise},
    {UNARY, ALWAYS, .name = "Sigmoid", .output_hint = PARE_HINT_SIGMOID, .infer = pare_infer_same, .forward = sigmoid_forward, .backward = sigmoid_backward,
     .couple = pare_couple_same, .layout = pare_layout_elementwise},
    {UNARY, ALWAYS, .name = "Tanh", .infer = pare_infer_same, .forward = tanh_forward, .backward = tanh_backward,
     .couple = pare_couple_same, .layout = pare_layout_elementwise},
    {SOFTMAX_ROW, .name = "Softmax", .since = PARE_OPSET_MIN, .until = 12, .args = softmax_flat_arg_table, .infer = softmax_infer_flat,
     .forward = softmax_forward, .backward = softmax_backward, .output_hint = PARE_HINT_PROBABILITY},
    {SOFTMAX_ROW, .name = "Softmax", .since = 13, .until = PARE_OPSET_MAX, .args = softmax_arg_table, .infer = softmax_infer,
     .forward = softmax_forward, .backward = softmax_backward, .output_hint = PARE_HINT_PROBABILITY},
    {SOFTMAX_ROW, .name = "LogSoftmax", .since = PARE_OPSET_MIN, .until = 12, .args = softmax_flat_arg_table, .infer = softmax_infer_flat,
     .forward = log_softmax_forward, .backward = log_softmax_backward, .output_hint = PARE_HINT_LOG_PROBABILITY},
    {SOFTMAX_ROW, .name = "LogSoftmax", .since = 13, .until = PARE_OPSET_MAX, .args = softmax_arg_table, .infer = softmax_infer,
     .forward = log_softmax_forward, .backward = log_softmax_backward, .output_hint = PARE_HINT_LOG_PROBABILITY},
    {HARDMAX_ROW, .since = PARE_OPSET_MIN, .until = 12, .args = softmax_flat_arg_table, .infer = softmax_infer_flat},
    {HARDMAX_ROW, .since = 13, .until = PARE_OPSET_MAX, .args = softmax_arg_table, .infer = softmax_infer},
    {.name = NULL},
};
