/* Convolution: Conv and ConvTranspose, 1-D to 3-D.
 *
 *   Conv           y = x * w + b
 *   ConvTranspose  y = the gradient of a Conv by its input, with x in the place of the gradient, + b
 *
 * So the transposed form needs no kernels of its own: forward is grad_input of the Conv that maps y to x, the gradient
 * of its x is that Conv's forward, and the gradient of w is the same function with the operands exchanged. Both store w
 * with the channels of the Conv's output (ConvTranspose: its own input) first.
 *
 * One- and two-dimensional windows without groups, and depthwise ones, run with the channels last (kernels/conv_last.h) where
 * the machine has vectors for it; others row-major, as columns and products. In the first form, and in nets that do not train, a
 * norm by fixed statistics goes into the weights, and a sum and a clamp are done before a result is written.
 *
 * Ties. Without groups the input channels contract and the output channels are w's other axis. Groups must stay equally
 * large, which leaves two ways: whole groups go, or the same channel of every group. Spatial axes mix. */
#include <math.h>
#include <string.h>

#include "core/ops/conv_window.h"
#include "core/ops/kernels/conv.h"
#include "core/ops/kernels/conv_last.h"
#include "core/ops/ops_priv.h"

struct conv_args {
	struct pare_window_args window;
	int64_t group;
	struct pare_ints output_padding, output_shape;
	struct pare_conv conv; /* filled by infer; of ConvTranspose: the Conv from y to x */
	/* what was absorbed, in this order; channels last only */
	bool normed, added;
	float epsilon;
	struct pare_conv_finish finish; /* but for what lies in memory */
};
/* Operands that steps bring along. */
#define NORM_IN (3 + PARE_STEP_NORM_AT)
#define ADD_IN (3 + PARE_STEP_ADD_AT)

static enum pare_code check_weights(const struct pare_infer *c, const struct conv_args *a, int channel_axis, int64_t channels, struct pare_err *err)
{
	const struct pare_shape *x = &c->in[0], *w = &c->in[1];
	char text[PARE_SHAPE_TEXT];

	if (w->n_dims != x->n_dims || w->batch != 0)
		return pare_infer_mismatch(c, 0, 1, "the weights must have the input's rank", err);
	if (pare_shape_product(w, 0, w->n_dims) < 1)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "weights of shape %s have no elements", pare_shape_text(w, text));
	if (w->dims[channel_axis] != channels || x->dims[1] % a->group != 0 || w->dims[0] % a->group != 0)
		return pare_infer_mismatch(c, 0, 1, "input channels, weights and the number of groups disagree", err);
	for (size_t i = 0; a->window.kernel_shape.v != NULL && i < a->window.kernel_shape.n && i + 2 < (size_t)w->n_dims; i++)
		if (a->window.kernel_shape.v[i] != w->dims[i + 2])
			return pare_err_set(err, PARE_E_SHAPE, c->where, "kernel_shape does not match the weights' shape %s", pare_shape_text(w, text));
	return PARE_OK;
}

static enum pare_code check_bias(const struct pare_infer *c, int64_t channels, struct pare_err *err)
{
	const struct pare_shape *b = &c->in[2];
	char text[PARE_SHAPE_TEXT];

	if (!pare_infer_has(c, 2) || (b->n_dims == 1 && b->dims[0] == channels && b->batch == 0))
		return PARE_OK;
	return pare_err_set(err, PARE_E_SHAPE, c->where, "bias of shape %s; it must be [%lld]", pare_shape_text(b, text), (long long)channels);
}

static enum pare_code conv_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct conv_args *a = c->args;
	const struct pare_shape *x = &c->in[0], *w = &c->in[1];
	struct pare_shape y = *x;
	enum pare_code code;
	int n;

	code = pare_window_spatial(c, &n, err);
	if (code == PARE_OK)
		code = check_weights(c, a, 1, x->dims[1] / a->group, err);
	if (code == PARE_OK)
		code = check_bias(c, w->dims[0], err);
	if (code == PARE_OK)
		code = pare_window_infer(c, &a->window, w->dims + 2, false, &a->conv.w, NULL, &y, err);
	if (code != PARE_OK)
		return code;
	a->conv.groups = a->group;
	a->conv.most = c->max_batch;
	a->conv.in_channels = x->dims[1];
	a->conv.out_channels = w->dims[0];
	y.dims[1] = w->dims[0];
	c->out[0] = y;
	return PARE_OK;
}

/* Packed weights, then a bias and a factor for each channel of the result. */
static size_t conv_prepared(const struct pare_run *r)
{
	const struct conv_args *a = r->args;

	return r->last ? pare_conv_last_packed(&a->conv) + 2 * (size_t)(a->conv.in_channels + a->conv.out_channels) : 0;
}

static size_t conv_scratch(const struct pare_run *r)
{
	const struct conv_args *a = r->args;
	int64_t n = r->in_shape[0]->dims[0];

	return r->last ? conv_prepared(r) + pare_conv_last_scratch(&a->conv, n) : pare_conv_scratch(&a->conv, n);
}

/* Channels last where the direct kernels serve the shape and the machine has vectors for them. */
static enum pare_layout conv_layout(const struct pare_node_view *v)
{
	const struct conv_args *a = v->args;

	return pare_tile() != &pare_tile_plain && pare_conv_last_serves(&a->conv) ? PARE_LAYOUT_LAST : PARE_LAYOUT_PLAIN;
}

/* Writes the bias where there is one; says whether the product must be added to it. */
static bool put_bias(const struct pare_run *r)
{
	const struct pare_shape *y = r->out_shape[0];

	if (r->n_in < 3 || r->in[2] == NULL)
		return false;
	pare_conv_fill_bias(y->dims[0], y->dims[1], pare_shape_product(y, 2, y->n_dims), r->in[2], r->out[0]);
	return true;
}

static void bias_backward(const struct pare_run *r)
{
	const struct pare_shape *y = r->out_shape[0];

	if (r->n_in > 2 && r->grad_in[2] != NULL && r->last)
		pare_conv_last_grad_bias(pare_shape_product(y, 0, y->n_dims - 1), y->dims[y->n_dims - 1], r->grad_out[0], r->accumulate[2], r->grad_in[2]);
	else if (r->n_in > 2 && r->grad_in[2] != NULL)
		pare_conv_grad_bias(y->dims[0], y->dims[1], pare_shape_product(y, 2, y->n_dims), r->grad_out[0], r->accumulate[2], r->grad_in[2]);
}

static const float *bias_of(const struct pare_run *r)
{
	return r->n_in > 2 ? r->in[2] : NULL;
}

/* A norm by fixed statistics is a factor, which goes into the weights, and a bias: returns the factors. */
static const float *fold_norm(const struct pare_run *r, int64_t channels, float *bias, float *factor)
{
	const struct conv_args *a = r->args;
	const float *const *norm = r->in + NORM_IN, *own = bias_of(r);

	for (int64_t c = 0; c < channels; c++) {
		factor[c] = a->normed ? norm[0][c] / sqrtf(norm[3][c] + a->epsilon) : 1.0f;
		bias[c] = (own != NULL ? own[c] : 0.0f) * factor[c] + (a->normed ? norm[1][c] - norm[2][c] * factor[c] : 0.0f);
	}
	return a->normed ? factor : NULL;
}

static void conv_prepare(const struct pare_run *r, float *to)
{
	const struct conv_args *a = r->args;
	float *bias = to + pare_conv_last_packed(&a->conv);

	pare_conv_last_pack(&a->conv, r->in[1], fold_norm(r, a->conv.out_channels, bias, bias + a->conv.out_channels), to);
}

static void transpose_prepare(const struct pare_run *r, float *to)
{
	const struct conv_args *a = r->args;
	float *bias = to + pare_conv_last_packed(&a->conv);

	pare_conv_last_pack_transposed(&a->conv, r->in[1], fold_norm(r, a->conv.in_channels, bias, bias + a->conv.in_channels), to);
}

/* What forward multiplies with, and what follows the sum; prepared now in the scratch if it is not yet. */
static const float *last_operands(const struct pare_run *r, void (*prepare)(const struct pare_run *r, float *to), struct pare_conv_finish *finish)
{
	const struct conv_args *a = r->args;
	const float *packed = r->prepared;

	if (packed == NULL) {
		prepare(r, r->scratch);
		packed = r->scratch;
	}
	*finish = a->finish;
	finish->bias = bias_of(r) != NULL || a->normed ? packed + pare_conv_last_packed(&a->conv) : NULL;
	finish->add = a->added ? r->in[ADD_IN] : NULL;
	return packed;
}

static bool conv_absorb(void *args, const struct pare_step *step, bool training)
{
	struct conv_args *a = args;
	bool fresh = !a->normed && !a->added && !a->finish.clamp;

	if (training || pare_tile() == &pare_tile_plain || !pare_conv_last_serves(&a->conv))
		return false;
	if (step->kind == PARE_STEP_NORM && fresh) {
		a->normed = true;
		a->epsilon = step->epsilon;
	} else if (step->kind == PARE_STEP_ADD && !a->added && !a->finish.clamp) {
		a->added = true;
	} else if (step->kind == PARE_STEP_CLAMP && !a->finish.clamp) {
		a->finish = (struct pare_conv_finish){.clamp = true, .lo = step->lo, .hi = step->hi};
	} else {
		return false;
	}
	return true;
}

static void conv_forward(const struct pare_run *r)
{
	const struct conv_args *a = r->args;

	if (r->last) {
		struct pare_conv_finish finish;
		const float *packed = last_operands(r, conv_prepare, &finish);

		pare_conv_last_forward(&a->conv, r->in_shape[0]->dims[0], r->in[0], packed, false, &finish, r->out[0], r->scratch + conv_prepared(r));
		return;
	}
	pare_conv_forward(&a->conv, r->in_shape[0]->dims[0], r->in[0], r->in[1], put_bias(r), r->out[0], r->scratch);
}

static void conv_backward(const struct pare_run *r)
{
	const struct conv_args *a = r->args;
	int64_t n = r->in_shape[0]->dims[0];

	bias_backward(r);
	if (r->grad_in[1] != NULL && r->last)
		pare_conv_last_grad_weight(&a->conv, n, r->in[0], r->grad_out[0], r->accumulate[1], r->grad_in[1], r->scratch);
	else if (r->grad_in[1] != NULL)
		pare_conv_grad_weight(&a->conv, n, r->in[0], r->grad_out[0], r->accumulate[1], r->grad_in[1], r->scratch);
	if (r->grad_in[0] != NULL && r->last) {
		pare_conv_last_pack_transposed(&a->conv, r->in[1], NULL, r->scratch);
		pare_conv_last_grad_input(&a->conv, n, r->scratch, r->grad_out[0], r->accumulate[0], NULL, r->grad_in[0], r->scratch + conv_prepared(r));
	} else if (r->grad_in[0] != NULL)
		pare_conv_grad_input(&a->conv, n, r->in[1], r->grad_out[0], r->accumulate[0], r->grad_in[0], r->scratch);
}

static void tie(struct pare_ties *t, enum pare_tie_kind kind, int a, int a_axis, int b, int b_axis)
{
	pare_tie_add(t, (struct pare_tie){.kind = kind, .a = a, .a_axis = a_axis, .b = b, .b_axis = b_axis});
}

/* The axis of w that counts across groups goes with the operand it counts for, channel by channel; the other one counts
 * within a group. Groups of one channel ("depthwise") have only one way. */
static void group_ties(const struct pare_node_view *v, struct pare_ties *t, int in_axis, int out_axis)
{
	const struct pare_conv *c = &((const struct conv_args *)v->args)->conv;
	int64_t x_len = v->in[0]->dims[1] / c->groups, y_len = v->out[0]->dims[1] / c->groups;
	bool forward = out_axis == 0, depthwise = x_len == 1 && y_len == 1;
	int within = forward ? in_axis : out_axis, counted = forward ? 0 : PARE_OUT(0), across = forward ? PARE_OUT(0) : 0;

	tie(t, PARE_TIE_SAME, 1, 0, across, 1);
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_BLOCKS, .a = 0, .a_axis = 1, .b = PARE_OUT(0), .b_axis = 1, .n = c->groups, .a_inner = x_len, .b_inner = y_len,
	    .way = depthwise ? 0 : 1});
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_OPAQUE, .a = 1, .a_axis = within, .b = 1, .b_axis = within, .way = depthwise ? 0 : 1});
	if (depthwise)
		return;
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SPREAD, .a = 1, .a_axis = within, .b = counted, .b_axis = 1, .outer = c->groups, .inner = 1, .way = 2});
	pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_BLOCKS, .a = across, .a_axis = 1, .b = across, .b_axis = 1, .n = forward ? y_len : x_len, .a_inner = 1, .b_inner = 1, .way = 2});
}

/* in_axis, out_axis: of w, for the operator's input and output channels where there are no groups. */
static void couple(const struct pare_node_view *v, struct pare_ties *t, int in_axis, int out_axis)
{
	const struct conv_args *a = v->args;
	const struct pare_conv *c = &a->conv;

	tie(t, PARE_TIE_SAME, 0, 0, PARE_OUT(0), 0);
	if (c->groups == 1) {
		tie(t, PARE_TIE_CONTRACT, 0, 1, 1, in_axis);
		tie(t, PARE_TIE_SAME, 1, out_axis, PARE_OUT(0), 1);
	} else {
		group_ties(v, t, in_axis, out_axis);
	}
	for (int k = 2; k < v->n_in && k < ADD_IN; k++)
		if (v->in[k] != NULL)
			tie(t, PARE_TIE_SAME, k, 0, PARE_OUT(0), 1);
	for (int i = 0; v->n_in > ADD_IN && v->in[ADD_IN] != NULL && i < v->in[ADD_IN]->n_dims; i++)
		tie(t, PARE_TIE_SAME, ADD_IN, i, PARE_OUT(0), i);
	for (int i = 2; i < v->in[0]->n_dims; i++) {
		tie(t, PARE_TIE_MIX, 0, i, PARE_OUT(0), i);
		tie(t, PARE_TIE_OPAQUE, 1, i, PARE_OUT(0), i);
	}
}

static void conv_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	couple(v, t, 1, 0);
}

static void conv_resize(const struct pare_resize *r)
{
	const struct conv_args *a = r->was->args;
	int64_t groups = r->in[0]->dims[1] / r->in[1]->dims[1];

	if (a->group > 1)
		r->set_attr(r, "group", &groups, 1);
}

static int64_t conv_macs(const struct pare_node_view *v)
{
	const struct pare_shape *w = v->in[1];

	return (int64_t)pare_shape_elems(v->out[0]) * pare_shape_product(w, 1, w->n_dims);
}

static bool conv_product(const struct pare_run *r, struct pare_product *out)
{
	const struct conv_args *a = r->args;
	const struct pare_conv *c = &a->conv;
	int64_t n_in = c->in_channels / c->groups * pare_window_product(c->w.kernel), n_out = c->out_channels / c->groups;
	bool bias = r->n_in > 2 && r->in_shape[2] != NULL;

	*out = (struct pare_product){.weight_in = 1, .bias_in = bias ? 2 : -1, .groups = c->groups,
	    .n_rows = r->out_shape[0]->dims[0] * pare_window_product(c->w.out), .n_out = n_out, .n_in = n_in, .w_group = n_out * n_in, .w_out = n_in, .w_in = 1};
	return true;
}

/* Row i is position i % positions of image i / positions. */
static void conv_unfold(const struct pare_run *r, int64_t g, int64_t first, int64_t n, float *x)
{
	const struct conv_args *a = r->args;
	const struct pare_conv *c = &a->conv;
	int64_t positions = pare_window_product(c->w.out), plane = pare_window_product(c->w.in), taps = pare_window_product(c->w.kernel);
	int64_t channels = c->in_channels / c->groups, of_channel = r->last ? 1 : plane, of_place = r->last ? c->in_channels : 1;

	for (int64_t i = first; i < first + n; i++) {
		const float *image = r->in[0] + i / positions * c->in_channels * plane + g * channels * of_channel;
		int64_t o[PARE_WINDOW_AXES] = {i % positions / (c->w.out[1] * c->w.out[2]), i % positions / c->w.out[2] % c->w.out[1], i % c->w.out[2]};

		for (int64_t t = 0; t < taps; t++) {
			int64_t tap[PARE_WINDOW_AXES], at = 0;
			bool inside = true;

			pare_window_tap(&c->w, t, tap);
			for (int k = 0; k < PARE_WINDOW_AXES; k++) {
				int64_t p = pare_window_at(&c->w, k, o[k], tap[k]);

				inside = inside && p >= 0;
				at = at * c->w.in[k] + p;
			}
			for (int64_t k = 0; k < channels; k++)
				x[k * taps + t] = inside ? image[k * of_channel + at * of_place] : 0.0f;
		}
		x += channels * taps;
	}
}

/* One axis of y from x's length. How much is cut off (pads) follows from output_shape where that is given. */
static int64_t transpose_axis(struct pare_window *w, int i, int64_t x, int64_t extra, int64_t want, int64_t end, enum pare_auto_pad how)
{
	int64_t all = w->stride[i] * (x - 1) + extra + pare_window_extent(w, i), total;

	if (want == 0 && (how == PARE_AUTO_SAME_UPPER || how == PARE_AUTO_SAME_LOWER))
		want = x * w->stride[i];
	if (want == 0)
		return all - w->pad[i] - end;
	total = all > want ? all - want : 0;
	w->pad[i] = how == PARE_AUTO_SAME_UPPER ? total / 2 : total - total / 2;
	return want;
}

static enum pare_code transpose_window(const struct pare_infer *c, struct conv_args *a, int n, struct pare_shape *y, struct pare_err *err)
{
	struct pare_window *w = &a->conv.w;
	int64_t extra[PARE_WINDOW_AXES] = {0}, want[PARE_WINDOW_AXES] = {0}, end[PARE_WINDOW_AXES] = {0};
	int first = PARE_WINDOW_AXES - n;
	enum pare_auto_pad how = PARE_AUTO_NOTSET;
	char text[PARE_SHAPE_TEXT];
	enum pare_code code = pare_window_steps(c, &a->window, n, c->in[1].dims + 2, w, err);

	if (code == PARE_OK)
		code = pare_window_auto_pad(c, &a->window, &how, err);
	if (code == PARE_OK)
		code = pare_window_list(c, "output_padding", &a->output_padding, n, 0, 0, extra + first, err);
	if (code == PARE_OK && a->output_shape.v != NULL)
		code = pare_window_list(c, "output_shape", &a->output_shape, n, 1, 1, want + first, err);
	if (code == PARE_OK && how == PARE_AUTO_NOTSET && a->output_shape.v == NULL)
		code = pare_window_pads(c, &a->window, n, w->pad + first, end + first, err);
	if (code != PARE_OK)
		return code;
	for (int i = first; i < PARE_WINDOW_AXES; i++) {
		w->out[i] = c->in[0].dims[2 + i - first];
		w->in[i] = transpose_axis(w, i, w->out[i], extra[i], want[i], end[i], how);
		if (w->in[i] < 1)
			return pare_err_set(err, PARE_E_SHAPE, c->where, "nothing is left of input %s by pads %lld and %lld on spatial axis %d",
			    pare_shape_text(&c->in[0], text), (long long)w->pad[i], (long long)end[i], i - first);
		y->dims[2 + i - first] = w->in[i];
	}
	return pare_window_fits(c, w->in, err);
}

static enum pare_code transpose_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct conv_args *a = c->args;
	const struct pare_shape *x = &c->in[0], *w = &c->in[1];
	struct pare_shape y = *x;
	enum pare_code code;
	int n;

	code = pare_window_spatial(c, &n, err);
	if (code == PARE_OK)
		code = check_weights(c, a, 0, x->dims[1], err);
	if (code == PARE_OK)
		code = check_bias(c, w->dims[1] * a->group, err);
	if (code == PARE_OK)
		code = transpose_window(c, a, n, &y, err);
	if (code != PARE_OK)
		return code;
	a->conv.groups = a->group;
	a->conv.most = c->max_batch;
	a->conv.in_channels = w->dims[1] * a->group;
	a->conv.out_channels = x->dims[1];
	y.dims[1] = a->conv.in_channels;
	c->out[0] = y;
	return PARE_OK;
}

static void transpose_forward(const struct pare_run *r)
{
	const struct conv_args *a = r->args;

	if (r->last) {
		struct pare_conv_finish finish;
		const float *packed = last_operands(r, transpose_prepare, &finish);

		pare_conv_last_grad_input(&a->conv, r->in_shape[0]->dims[0], packed, r->in[0], false, &finish, r->out[0], r->scratch + conv_prepared(r));
		return;
	}
	pare_conv_grad_input(&a->conv, r->in_shape[0]->dims[0], r->in[1], r->in[0], put_bias(r), r->out[0], r->scratch);
}

static void transpose_backward(const struct pare_run *r)
{
	const struct conv_args *a = r->args;
	int64_t n = r->in_shape[0]->dims[0];

	bias_backward(r);
	if (r->grad_in[1] != NULL && r->last)
		pare_conv_last_grad_weight(&a->conv, n, r->grad_out[0], r->in[0], r->accumulate[1], r->grad_in[1], r->scratch);
	else if (r->grad_in[1] != NULL)
		pare_conv_grad_weight(&a->conv, n, r->grad_out[0], r->in[0], r->accumulate[1], r->grad_in[1], r->scratch);
	if (r->grad_in[0] != NULL && r->last) {
		pare_conv_last_pack(&a->conv, r->in[1], NULL, r->scratch);
		pare_conv_last_forward(&a->conv, n, r->grad_out[0], r->scratch, r->accumulate[0], NULL, r->grad_in[0], r->scratch + conv_prepared(r));
	} else if (r->grad_in[0] != NULL)
		pare_conv_forward(&a->conv, n, r->grad_out[0], r->in[1], r->accumulate[0], r->grad_in[0], r->scratch);
}

static void transpose_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	couple(v, t, 0, 1);
}

static void transpose_resize(const struct pare_resize *r)
{
	const struct conv_args *a = r->was->args;
	int64_t groups = r->out[0]->dims[1] / r->in[1]->dims[1];

	if (a->group > 1)
		r->set_attr(r, "group", &groups, 1);
}

static int64_t transpose_macs(const struct pare_node_view *v)
{
	const struct pare_shape *w = v->in[1];

	return (int64_t)pare_shape_elems(v->in[0]) * pare_shape_product(w, 1, w->n_dims);
}

#define GROUP_ROW {.name = "group", .kind = PARE_ARG_INT, .offset = offsetof(struct conv_args, group), .def = 1, .min = 1, .max = INT32_MAX}
static const struct pare_arg_spec conv_arg_table[] = {
    PARE_WINDOW_ARG_ROWS(struct conv_args, window, false),
    GROUP_ROW,
    {.name = NULL},
};
static const struct pare_arg_spec transpose_arg_table[] = {
    PARE_WINDOW_ARG_ROWS(struct conv_args, window, false),
    GROUP_ROW,
    {.name = "output_padding", .kind = PARE_ARG_INTS, .offset = offsetof(struct conv_args, output_padding)},
    {.name = "output_shape", .kind = PARE_ARG_INTS, .offset = offsetof(struct conv_args, output_shape)},
    {.name = NULL},
};

#define CONV .domain = "", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1, \
	.args_size = sizeof(struct conv_args), .weight_in = PARE_BIT(1), .grad_uses_in = PARE_BIT(0) | PARE_BIT(1), .scratch = conv_scratch, .layout = conv_layout, \
	.absorb = conv_absorb, .prepared = conv_prepared, .prepare_in = ~(PARE_BIT(0) | PARE_BIT(ADD_IN))

const struct pare_op pare_op_conv_table[] = {
    {CONV, .name = "Conv", .args = conv_arg_table, .infer = conv_infer, .prepare = conv_prepare, .forward = conv_forward, .backward = conv_backward, .couple = conv_couple, .resize = conv_resize,
     .macs = conv_macs, .product = conv_product, .unfold = conv_unfold},
    {CONV, .name = "ConvTranspose", .args = transpose_arg_table, .infer = transpose_infer, .prepare = transpose_prepare, .forward = transpose_forward, .backward = transpose_backward,
     .couple = transpose_couple, .resize = transpose_resize, .macs = transpose_macs},
    {.name = NULL},
};
