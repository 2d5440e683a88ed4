/* Regularization that is part of the graph: Dropout.
 *
 *   training   y = x m / (1 - p), m drawn per element with P(m = 0) = p     dx = dy m / (1 - p)
 *   inference  y = x (a view in a net that does not train)
 *
 * Whether a pass trains is the caller's word (net.h), not the file's: opset 12's training_mode says how the exporter
 * had the model, and a model that is exported for inference can be fine-tuned here. m / (1 - p) is kept in the node's
 * state from forward to backward. Each row draws from a stream of its own, named by (seed, step, node, row of the
 * batch), so the mask does not depend on how the batch is cut into shards. */
#include <string.h>

#include "core/base/rng.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/ops_priv.h"

struct dropout_args {
	float ratio;
	int64_t seed; /* the file's; accepted, not used: one seed names the whole job */
	/* found by infer: which axis holds the rows of the batch, and how many entries of it each row has; 0: they are the same for all rows */
	int row_axis;
	int64_t per_row;
};

static enum pare_code dropout_shapes(const struct pare_infer *c, struct pare_err *err)
{
	struct dropout_args *d = c->args;

	d->row_axis = c->in[0].batch != 0 ? __builtin_ctz(c->in[0].batch) : 0;
	d->per_row = c->in[0].batch != 0 ? c->in[0].dims[d->row_axis] : 0;
	if (!(d->ratio >= 0.0f && d->ratio < 1.0f))
		return pare_err_set(err, PARE_E_INVALID, c->where, "dropout ratio %g is not in [0, 1)", (double)d->ratio);
	c->out[0] = c->out[1] = c->in[0];
	c->out_dtype[1] = PARE_DT_BOOL;
	return PARE_OK;
}

static enum pare_code dropout_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct dropout_args *d = c->args;

	d->ratio = 0.5f;
	if (pare_infer_has(c, 1)) {
		if (c->in_known[1].f32 == NULL || c->in_known[1].n != 1)
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "Dropout needs a constant scalar as ratio");
		d->ratio = c->in_known[1].f32[0];
	}
	return dropout_shapes(c, err);
}

static size_t dropout_state(const struct pare_run *r)
{
	return pare_shape_elems(r->in_shape[0]);
}

static void draw_row(struct pare_rng *rng, uint32_t threshold, float kept, size_t n, float *m)
{
	for (size_t i = 0; i < n; i += 2) {
		uint64_t u = pare_rng_u64(rng);

		m[i] = (uint32_t)u < threshold ? 0.0f : kept;
		if (i + 1 < n)
			m[i + 1] = (uint32_t)(u >> 32) < threshold ? 0.0f : kept;
	}
}

static void draw(const struct pare_run *r, const struct dropout_args *d, float *m)
{
	const struct pare_shape *x = r->in_shape[0];
	bool scalar = x->n_dims == 0;
	size_t rows = scalar ? 1 : (size_t)x->dims[d->row_axis], n = scalar ? 1 : (size_t)pare_shape_product(x, d->row_axis + 1, x->n_dims),
	    blocks = (size_t)pare_shape_product(x, 0, scalar ? 0 : d->row_axis);
	uint32_t threshold = (uint32_t)((double)d->ratio * 4294967296.0);
	struct pare_rng rng;
	uint64_t seed;

	pare_rng_init(&rng, r->seed, "dropout", r->step);
	seed = pare_rng_u64(&rng) + (uint64_t)r->node;
	for (size_t i = 0; i < rows; i++) {
		pare_rng_init(&rng, seed, "dropout row", (uint64_t)(r->first_row * d->per_row) + i);
		for (size_t k = 0; k < blocks; k++)
			draw_row(&rng, threshold, 1.0f / (1.0f - d->ratio), n, m + (k * rows + i) * n);
	}
}

static void dropout_forward(const struct pare_run *r)
{
	const struct dropout_args *d = r->args;
	size_t n = pare_shape_elems(r->in_shape[0]);
	float *mask = r->n_out > 1 ? r->out[1] : NULL;

	if (r->training)
		draw(r, d, r->state);
	else if (r->state != NULL)
		pare_k_fill(n, 1.0f, r->state);
	if (r->training && r->out[0] != NULL)
		pare_k_mul(n, r->in[0], r->state, r->out[0]);
	else if (r->out[0] != NULL && r->out[0] != r->in[0])
		memcpy(r->out[0], r->in[0], n * sizeof(float));
	for (size_t i = 0; mask != NULL && i < n; i++)
		mask[i] = !r->training || r->state[i] != 0.0f ? 1.0f : 0.0f;
}

static void dropout_backward(const struct pare_run *r)
{
	size_t n = pare_shape_elems(r->in_shape[0]);

	if (r->accumulate[0])
		pare_k_acc_mul(n, r->grad_out[0], r->state, r->grad_in[0]);
	else
		pare_k_mul(n, r->grad_out[0], r->state, r->grad_in[0]);
}

static const struct pare_arg_spec dropout_attr_arg_table[] = {
    {.name = "ratio", .kind = PARE_ARG_FLOAT, .offset = offsetof(struct dropout_args, ratio), .def = 0.5},
    {.name = NULL},
};
static const struct pare_arg_spec dropout_arg_table[] = {
    {.name = "seed", .kind = PARE_ARG_INT, .offset = offsetof(struct dropout_args, seed)},
    {.name = NULL},
};

#define DROPOUT .domain = "", .name = "Dropout", .min_in = 1, .min_out = 1, .max_out = 2, .args_size = sizeof(struct dropout_args), \
	.draws = true, .inplace = true, .view_in_inference = true, .state = dropout_state, .forward = dropout_forward, .backward = dropout_backward, \
	.couple = pare_couple_same

const struct pare_op pare_op_regular_table[] = {
    {DROPOUT, .since = PARE_OPSET_MIN, .until = 11, .max_in = 1, .args = dropout_attr_arg_table, .infer = dropout_shapes},
    {DROPOUT, .since = 12, .until = PARE_OPSET_MAX, .max_in = 3, .args = dropout_arg_table, .const_in = PARE_BIT(1) | PARE_BIT(2), .infer = dropout_infer},
    {.name = NULL},
};
