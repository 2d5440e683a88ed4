/* QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: what quantized models (QDQ format) are made of.
 *
 *   quantize     y = clamp(round(x / scale) + zero)      dequantize     y = (x - zero) scale
 *
 * Scale and zero point are one number, one per index of an axis, or (opset 21) one per block of an axis. Integers are carried
 * as floats like everywhere (op.h), so 8 and 16 bits are exact.
 *
 * Rounding has no derivative that is of use. A pair of quantize and dequantize trains straight through: the gradient
 * passes as if it were not there, except where the clamp held the value, and the scale gets the gradient of learned step
 * size quantization (Esser et al. 2020), which is what falls out of treating round(v) as v. So the integers between the pair
 * carry a gradient, too; the row says so by `smooth_out`. */
#include <math.h>
#include <string.h>

#include "core/ops/kernels/quantize.h"
#include "core/ops/ops_priv.h"

struct quantize_args {
	int64_t axis, block_size, output_dtype, saturate, precision;
	/* found by infer */
	int scale_axis; /* -1: one scale for all */
	float low, high;
};

/* The types that quantize to; int32 is dequantized only. */
static bool range_of(int dtype, float *low, float *high)
{
	switch (dtype) {
	case PARE_DT_UINT8:
		*low = 0;
		*high = 255;
		return true;
	case PARE_DT_INT8:
		*low = -128;
		*high = 127;
		return true;
	case PARE_DT_UINT16:
		*low = 0;
		*high = 65535;
		return true;
	case PARE_DT_INT16:
		*low = -32768;
		*high = 32767;
		return true;
	default:
		return false;
	}
}

static enum pare_code find_axis(const struct pare_infer *c, struct quantize_args *a, struct pare_err *err)
{
	const struct pare_shape *x = &c->in[0], *s = &c->in[1];
	struct pare_shape want = *x;
	char text[PARE_SHAPE_TEXT], wanted[PARE_SHAPE_TEXT];
	int axis = pare_axis(a->axis, x->n_dims, false);

	a->scale_axis = -1;
	if (a->block_size == 0 && s->batch == 0 && pare_shape_elems(s) == 1 && s->n_dims <= 1)
		return PARE_OK;
	if (axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for shape %s", (long long)a->axis, pare_shape_text(x, text));
	if ((x->batch & PARE_BIT(axis)) != 0)
		return pare_err_set(err, PARE_E_UNSUPPORTED, c->where, "a scale for each row of the batch (axis %d of shape %s)", axis, pare_shape_text(x, text));
	if (a->block_size > 0)
		want.dims[axis] = (x->dims[axis] + a->block_size - 1) / a->block_size;
	else
		want = (struct pare_shape){.n_dims = 1, .dims = {x->dims[axis]}};
	if (!pare_shape_same(s, &want))
		return pare_err_set(err, PARE_E_SHAPE, c->where, "the scale has shape %s, it must be %s or one number", pare_shape_text(s, text),
		    pare_shape_text(&want, wanted));
	a->scale_axis = axis;
	return PARE_OK;
}

static enum pare_code common_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct quantize_args *a = c->args;

	if (pare_infer_has(c, 2) && !pare_shape_same(&c->in[2], &c->in[1]))
		return pare_infer_mismatch(c, 1, 2, "the zero point needs the shape of the scale", err);
	c->out[0] = c->in[0];
	return find_axis(c, a, err);
}

static enum pare_code quantize_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct quantize_args *a = c->args;
	int dtype = pare_infer_has(c, 2) ? c->in_dtype[2] : a->output_dtype != 0 ? (int)a->output_dtype : PARE_DT_UINT8;

	if (!range_of(dtype, &a->low, &a->high))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator QuantizeLinear is not supported for execution with %s; 8 and 16 bit integers are",
		    pare_dtype_name(dtype));
	if (pare_infer_has(c, 2) && a->output_dtype != 0 && a->output_dtype != dtype)
		return pare_err_set(err, PARE_E_MODEL, c->where, "attribute \"output_dtype\" is %s, but the zero point is %s",
		    pare_dtype_name((int)a->output_dtype), pare_dtype_name(dtype));
	c->out_dtype[0] = dtype;
	return common_infer(c, err);
}

static enum pare_code dequantize_infer(const struct pare_infer *c, struct pare_err *err)
{
	float low, high;

	if (!range_of(c->in_dtype[0], &low, &high) && c->in_dtype[0] != PARE_DT_INT32)
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator DequantizeLinear is not supported for execution with %s; 8, 16 and 32 bit integers are",
		    pare_dtype_name(c->in_dtype[0]));
	return common_infer(c, err);
}

/* The tensor as runs of elements that have one scale, or one each: called once per run. */
struct runs {
	size_t outer, axis, inner, block, n_scales;
	bool blocked;
};

static struct runs runs_of(const struct pare_run *r)
{
	const struct quantize_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0];
	struct runs s = {.outer = 1, .axis = 1, .inner = pare_shape_elems(x), .block = 1, .n_scales = 1};

	if (a->scale_axis < 0)
		return s;
	s.outer = (size_t)pare_shape_product(x, 0, a->scale_axis);
	s.axis = (size_t)x->dims[a->scale_axis];
	s.inner = (size_t)pare_shape_product(x, a->scale_axis + 1, x->n_dims);
	s.n_scales = s.axis;
	s.blocked = a->block_size > 0;
	if (s.blocked) {
		s.block = (size_t)a->block_size;
		s.n_scales = (s.axis + s.block - 1) / s.block;
	}
	return s;
}

/* Where the scale of run (o, k) stands. */
static size_t scale_at(const struct runs *s, size_t o, size_t k)
{
	return s->blocked ? (o * s->n_scales + k / s->block) * s->inner : s->n_scales > 1 ? k : 0;
}

static struct pare_quantizer quantizer_at(const struct pare_run *r, const struct runs *s, size_t at)
{
	const struct quantize_args *a = r->args;

	return (struct pare_quantizer){.scale = r->in[1] + at, .zero = r->n_in > 2 && r->in[2] != NULL ? r->in[2] + at : NULL, .step = s->blocked ? 1 : 0,
	    .low = a->low, .high = a->high};
}

static void apply(const struct pare_run *r, void (*kernel)(const struct pare_quantizer *, size_t, const float *, float *))
{
	struct runs s = runs_of(r);

	for (size_t o = 0; o < s.outer; o++)
		for (size_t k = 0; k < s.axis; k++) {
			struct pare_quantizer q = quantizer_at(r, &s, scale_at(&s, o, k));
			size_t at = (o * s.axis + k) * s.inner;

			kernel(&q, s.inner, r->in[0] + at, r->out[0] + at);
		}
}

static void apply_grad(const struct pare_run *r,
    void (*kernel)(const struct pare_quantizer *, size_t, const float *, const float *, bool, float *, float *))
{
	struct runs s = runs_of(r);

	if (r->grad_in[1] != NULL && !r->accumulate[1])
		memset(r->grad_in[1], 0, pare_shape_elems(r->in_shape[1]) * sizeof(float));
	for (size_t o = 0; o < s.outer; o++)
		for (size_t k = 0; k < s.axis; k++) {
			size_t scale = scale_at(&s, o, k), at = (o * s.axis + k) * s.inner;
			struct pare_quantizer q = quantizer_at(r, &s, scale);

			kernel(&q, s.inner, r->in[0] + at, r->grad_out[0] + at, r->accumulate[0], r->grad_in[0] != NULL ? r->grad_in[0] + at : NULL,
			    r->grad_in[1] != NULL ? r->grad_in[1] + scale : NULL);
		}
}

static void quantize_forward(const struct pare_run *r)
{
	apply(r, pare_k_quantize);
}

static void quantize_backward(const struct pare_run *r)
{
	apply_grad(r, pare_k_quantize_grad);
}

static void dequantize_forward(const struct pare_run *r)
{
	apply(r, pare_k_dequantize);
}

static void dequantize_backward(const struct pare_run *r)
{
	apply_grad(r, pare_k_dequantize_grad);
}

static void quantize_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct quantize_args *a = v->args;

	pare_couple_same(v, t);
	for (int k = 1; k < v->n_in && k < 3 && a->scale_axis >= 0; k++) {
		if (v->in[k] == NULL)
			continue;
		if (a->block_size == 0)
			pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = k, .a_axis = 0, .b = PARE_OUT(0), .b_axis = a->scale_axis});
		for (int i = 0; i < v->in[k]->n_dims && a->block_size > 0; i++)
			pare_tie_add(t, (struct pare_tie){.kind = i == a->scale_axis ? PARE_TIE_OPAQUE : PARE_TIE_SAME, .a = k, .a_axis = i, .b = PARE_OUT(0),
			    .b_axis = i});
	}
}

static enum pare_code dynamic_infer(const struct pare_infer *c, struct pare_err *err)
{
	(void)err;
	c->out[0] = c->in[0];
	c->out[1] = c->out[2] = (struct pare_shape){.n_dims = 0};
	c->out_dtype[0] = c->out_dtype[2] = PARE_DT_UINT8;
	return PARE_OK;
}

/* Range and zero point from the tensor's own extremes, with 0 among them, in ONNX's order of rounding. */
static void dynamic_range(const struct pare_run *r, float *scale, float *zero)
{
	size_t n = pare_shape_elems(r->in_shape[0]);
	float low = 0, high = 0;

	for (size_t i = 0; i < n; i++) {
		low = fminf(low, r->in[0][i]);
		high = fmaxf(high, r->in[0][i]);
	}
	*scale = (high - low) / 255.0f;
	*zero = *scale > 0.0f ? rintf(fminf(fmaxf(-low / *scale, 0.0f), 255.0f)) : 0.0f;
	if (*scale <= 0.0f)
		*scale = 1.0f; /* all zeros */
}

static void dynamic_forward(const struct pare_run *r)
{
	float scale, zero;
	const struct pare_quantizer q = {.scale = &scale, .zero = &zero, .low = 0, .high = 255};

	dynamic_range(r, &scale, &zero);
	if (r->out[0] != NULL)
		pare_k_quantize(&q, pare_shape_elems(r->in_shape[0]), r->in[0], r->out[0]);
	if (r->n_out > 1 && r->out[1] != NULL)
		r->out[1][0] = scale;
	if (r->n_out > 2 && r->out[2] != NULL)
		r->out[2][0] = zero;
}

/* Straight through, with the range taken as given. */
static void dynamic_backward(const struct pare_run *r)
{
	size_t n = pare_shape_elems(r->in_shape[0]);
	float scale, zero;
	const struct pare_quantizer q = {.scale = &scale, .zero = &zero, .low = 0, .high = 255};

	dynamic_range(r, &scale, &zero);
	if (r->grad_out[0] != NULL)
		pare_k_quantize_grad(&q, n, r->in[0], r->grad_out[0], r->accumulate[0], r->grad_in[0], NULL);
	else if (!r->accumulate[0])
		memset(r->grad_in[0], 0, n * sizeof(float));
}

static void dynamic_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	for (int i = 0; i < v->in[0]->n_dims; i++)
		pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_MIX, .a = 0, .a_axis = i, .b = PARE_OUT(0), .b_axis = i});
}

#define ARG(name_, member) {.name = name_, .kind = PARE_ARG_INT, .offset = offsetof(struct quantize_args, member)}

static const struct pare_arg_spec quantize_arg_table[] = {
    {.name = "axis", .kind = PARE_ARG_INT, .offset = offsetof(struct quantize_args, axis), .def = 1},
    {.name = "block_size", .kind = PARE_ARG_INT, .offset = offsetof(struct quantize_args, block_size), .max = 16777216},
    ARG("output_dtype", output_dtype),
    ARG("saturate", saturate), /* of float8 only */
    ARG("precision", precision), /* of the division: never less than float32 here */
    {.name = NULL},
};

#define ROW .domain = "", .until = PARE_OPSET_MAX, .max_out = 1, .min_out = 1, .min_in = 2, .max_in = 3, .args_size = sizeof(struct quantize_args), \
	.args = quantize_arg_table, .any_dtype_in = PARE_BIT(0) | PARE_BIT(2), .grad_uses_in = PARE_BIT(0) | PARE_BIT(1) | PARE_BIT(2), \
	.couple = quantize_couple

const struct pare_op pare_op_quantize_table[] = {
    {ROW, .name = "QuantizeLinear", .since = 10, .infer = quantize_infer, .smooth_out = true, .forward = quantize_forward, .backward = quantize_backward,
     .no_gradient = "rounding has none; what backward computes passes straight through"},
    {ROW, .name = "DequantizeLinear", .since = 10, .infer = dequantize_infer, .forward = dequantize_forward, .backward = dequantize_backward},
    {.domain = "", .name = "DynamicQuantizeLinear", .since = 11, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 3,
     .grad_uses_in = PARE_BIT(0), .smooth_out = true, .infer = dynamic_infer, .forward = dynamic_forward, .backward = dynamic_backward,
     .couple = dynamic_couple, .no_gradient = "rounding has none; what backward computes passes straight through"},
    {.name = NULL},
};
