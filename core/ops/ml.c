/* ai.onnx.ml: what scikit-learn's exporters put in front of a network. Of that domain only operators that map tensors of numbers to
 * tensors of numbers are run; its trees and encoders keep what they know in attributes, where there is nothing to
 * train or prune (linear models become products, and columns that are picked a Gather: core/graph/lift_linear.c, lift_columns.c), and what follows a network's outputs (ZipMap,
 * ArrayFeatureExtractor of labels) is carried. */
#include <math.h>
#include <string.h>

#include "core/ops/kernels/elementwise.h"
#include "core/ops/ops_priv.h"

#define ML_OPSET_MAX 5

/* y[..., i] = (x[..., i] - offset[i]) scale[i]; one offset or scale may serve for all i. */
struct scaler_args {
	struct pare_floats offset, scale;
};

static enum pare_code features_check(const struct pare_infer *c, const struct pare_floats *f, const char *name, int64_t n, struct pare_err *err)
{
	if (f->v == NULL || (f->n != 1 && f->n != (size_t)n))
		return pare_err_set(err, PARE_E_SHAPE, c->where, "attribute \"%s\" has %zu numbers; it must have 1 or %lld, as the last axis", name, f->n, (long long)n);
	return PARE_OK;
}

static enum pare_code scaler_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct scaler_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	char text[PARE_SHAPE_TEXT];
	enum pare_code code;

	if (x->n_dims < 1 || (x->batch & PARE_BIT(x->n_dims - 1)) != 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "input of shape %s; it must be [features] or [batch, features]", pare_shape_text(x, text));
	code = features_check(c, &a->offset, "offset", x->dims[x->n_dims - 1], err);
	if (code == PARE_OK)
		code = features_check(c, &a->scale, "scale", x->dims[x->n_dims - 1], err);
	c->out[0] = *x;
	return code;
}

static float at(const struct pare_floats *f, size_t i)
{
	return f->v[f->n == 1 ? 0 : i];
}

static void scaler_forward(const struct pare_run *r)
{
	const struct scaler_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0];
	size_t n = (size_t)x->dims[x->n_dims - 1], all = pare_shape_elems(x);

	for (size_t i = 0; i < all; i += n)
		for (size_t k = 0; k < n; k++)
			r->out[0][i + k] = (r->in[0][i + k] - at(&a->offset, k)) * at(&a->scale, k);
}

static void scaler_backward(const struct pare_run *r)
{
	const struct scaler_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0];
	size_t n = (size_t)x->dims[x->n_dims - 1], all = pare_shape_elems(x);

	for (size_t i = 0; i < all; i += n)
		for (size_t k = 0; k < n; k++) {
			float *dx = &r->grad_in[0][i + k];

			*dx = (r->accumulate[0] ? *dx : 0.0f) + r->grad_out[0][i + k] * at(&a->scale, k);
		}
}

/* The attributes know features by their places, so none can go. */
static void features_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	int n = v->in[0]->n_dims;

	for (int i = 0; i < n; i++)
		pare_tie_add(t, (struct pare_tie){.kind = i < n - 1 ? PARE_TIE_SAME : PARE_TIE_MIX, .a = 0, .a_axis = i, .b = PARE_OUT(0), .b_axis = i});
}

static const struct pare_arg_spec scaler_arg_table[] = {
    {.name = "offset", .kind = PARE_ARG_FLOATS, .offset = offsetof(struct scaler_args, offset)},
    {.name = "scale", .kind = PARE_ARG_FLOATS, .offset = offsetof(struct scaler_args, scale)},
    {.name = NULL},
};

/* y = x / |x| along the last axis, by the sum of magnitudes or by the root of the sum of squares; rows of zeros stay. */
struct normalizer_args {
	struct pare_span norm; /* as the file says it */
	bool squares;
};

static bool is_norm(const struct normalizer_args *a, const char *name)
{
	return a->norm.data != NULL && a->norm.len == strlen(name) && memcmp(a->norm.data, name, a->norm.len) == 0;
}

static enum pare_code normalizer_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct normalizer_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	char text[PARE_SHAPE_TEXT];

	a->squares = is_norm(a, "L2");
	if (!a->squares && !is_norm(a, "L1"))
		return pare_err_set(err, PARE_E_UNSUPPORTED, c->where, "attribute \"norm\" is neither L1 nor L2 (the largest, MAX, is what it means when it is left out)");
	if (x->n_dims < 1 || x->n_dims > 2 || (x->batch & PARE_BIT(x->n_dims - 1)) != 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "input of shape %s; it must be [features] or [batch, features]", pare_shape_text(x, text));
	c->out[0] = *x;
	return PARE_OK;
}

static float length(const float *x, size_t n, bool squares)
{
	float sum = 0;

	for (size_t k = 0; k < n; k++)
		sum += squares ? x[k] * x[k] : fabsf(x[k]);
	return squares ? sqrtf(sum) : sum;
}

static void normalizer_forward(const struct pare_run *r)
{
	const struct normalizer_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0];
	size_t n = (size_t)x->dims[x->n_dims - 1], all = pare_shape_elems(x);

	for (size_t i = 0; i < all; i += n) {
		float s = length(r->in[0] + i, n, a->squares);

		for (size_t k = 0; k < n; k++)
			r->out[0][i + k] = s > 0 ? r->in[0][i + k] / s : r->in[0][i + k];
	}
}

/* dx = (dy - u sum dy y) / |x|, u the gradient of the norm: sign x, or y. */
static void normalizer_backward(const struct pare_run *r)
{
	const struct normalizer_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0];
	size_t n = (size_t)x->dims[x->n_dims - 1], all = pare_shape_elems(x);

	for (size_t i = 0; i < all; i += n) {
		const float *v = r->in[0] + i, *dy = r->grad_out[0] + i;
		float s = length(v, n, a->squares), along = 0;

		for (size_t k = 0; k < n && s > 0; k++)
			along += dy[k] * v[k] / s;
		for (size_t k = 0; k < n; k++) {
			float u = a->squares ? (s > 0 ? v[k] / s : 0) : v[k] > 0 ? 1.0f : v[k] < 0 ? -1.0f : 0.0f, *dx = &r->grad_in[0][i + k];

			*dx = (r->accumulate[0] ? *dx : 0.0f) + (s > 0 ? (dy[k] - u * along) / s : dy[k]);
		}
	}
}

static const struct pare_arg_spec normalizer_arg_table[] = {
    {.name = "norm", .kind = PARE_ARG_STRING, .offset = offsetof(struct normalizer_args, norm)},
    {.name = NULL},
};

/* y[..., i] = x[..., i], or value[i] where that is what is to be replaced (NaN: what is missing). */
struct imputer_args {
	struct pare_floats value;
	float replaced;
};

static enum pare_code imputer_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct imputer_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	char text[PARE_SHAPE_TEXT];

	if (x->n_dims < 1 || x->n_dims > 2 || (x->batch & PARE_BIT(x->n_dims - 1)) != 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "input of shape %s; it must be [features] or [batch, features]", pare_shape_text(x, text));
	c->out[0] = *x;
	return features_check(c, &a->value, "imputed_value_floats", x->dims[x->n_dims - 1], err);
}

static bool is_replaced(const struct imputer_args *a, float x)
{
	return isnan(a->replaced) ? isnan(x) : x == a->replaced;
}

static void imputer_forward(const struct pare_run *r)
{
	const struct imputer_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0];
	size_t n = (size_t)x->dims[x->n_dims - 1], all = pare_shape_elems(x);

	for (size_t i = 0; i < all; i += n)
		for (size_t k = 0; k < n; k++)
			r->out[0][i + k] = is_replaced(a, r->in[0][i + k]) ? at(&a->value, k) : r->in[0][i + k];
}

static void imputer_backward(const struct pare_run *r)
{
	const struct imputer_args *a = r->args;
	size_t all = pare_shape_elems(r->in_shape[0]);

	for (size_t i = 0; i < all; i++)
		r->grad_in[0][i] = (r->accumulate[0] ? r->grad_in[0][i] : 0.0f) + (is_replaced(a, r->in[0][i]) ? 0.0f : r->grad_out[0][i]);
}

static const struct pare_arg_spec imputer_arg_table[] = {
    {.name = "imputed_value_floats", .kind = PARE_ARG_FLOATS, .offset = offsetof(struct imputer_args, value)},
    {.name = "replaced_value_float", .kind = PARE_ARG_FLOAT, .offset = offsetof(struct imputer_args, replaced)},
    {.name = NULL},
};

const struct pare_op pare_op_ml_table[] = {
    {.domain = "ai.onnx.ml", .name = "Imputer", .since = 1, .until = ML_OPSET_MAX, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .grad_uses_in = PARE_BIT(0),
     .args_size = sizeof(struct imputer_args), .args = imputer_arg_table, .infer = imputer_infer, .forward = imputer_forward, .backward = imputer_backward,
     .couple = features_couple},
    {.domain = "ai.onnx.ml", .name = "Normalizer", .since = 1, .until = ML_OPSET_MAX, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .grad_uses_in = PARE_BIT(0),
     .args_size = sizeof(struct normalizer_args), .args = normalizer_arg_table, .infer = normalizer_infer, .forward = normalizer_forward,
     .backward = normalizer_backward, .couple = features_couple},
    {.domain = "ai.onnx.ml", .name = "Scaler", .since = 1, .until = ML_OPSET_MAX, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
     .any_dtype_in = PARE_BIT(0), .args_size = sizeof(struct scaler_args), .args = scaler_arg_table, .infer = scaler_infer, .forward = scaler_forward,
     .backward = scaler_backward, .couple = features_couple},
    {.name = NULL},
};
