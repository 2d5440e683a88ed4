/* ai.onnx.ml: what scikit-learn's exporters put in front of a network. Of that domain only operators that map tensors of numbers to
 * tensors of numbers are run; its trees, linear models and encoders keep what they know in attributes, where there is nothing to
 * train or prune, and what follows a network's outputs (ZipMap, ArrayFeatureExtractor) is carried. */
#include "core/ops/kernels/elementwise.h"
#include "core/ops/ops_priv.h"

#define ML_OPSET_MAX 5

/* y[..., i] = (x[..., i] - offset[i]) scale[i]; one offset or scale may serve for all i. */
struct scaler_args {
	struct pare_floats offset, scale;
};

static enum pare_code scaler_check(const struct pare_infer *c, const struct pare_floats *f, const char *name, int64_t n, struct pare_err *err)
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
	code = scaler_check(c, &a->offset, "offset", x->dims[x->n_dims - 1], err);
	if (code == PARE_OK)
		code = scaler_check(c, &a->scale, "scale", x->dims[x->n_dims - 1], err);
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
static void scaler_couple(const struct pare_node_view *v, struct pare_ties *t)
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

const struct pare_op pare_op_ml_table[] = {
    {.domain = "ai.onnx.ml", .name = "Scaler", .since = 1, .until = ML_OPSET_MAX, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
     .any_dtype_in = PARE_BIT(0), .args_size = sizeof(struct scaler_args), .args = scaler_arg_table, .infer = scaler_infer, .forward = scaler_forward,
     .backward = scaler_backward, .couple = scaler_couple},
    {.name = NULL},
};
