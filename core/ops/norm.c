/* Normalization: BatchNormalization, InstanceNormalization, LayerNormalization, RMSNormalization,
 * GroupNormalization and LRN. The arithmetic is in kernels/norm.c; here is how each lays its input out as rows.
 *
 * BatchNormalization. In a net that trains, and in the modes that say so (net.h), it normalises with the statistics of the whole batch,
 * differentiates through them, and moves the running ones, which are buffers in the parameter slab; else it takes the running ones
 * as constants. Models are exported with training_mode 0, so the mode decides and not the attribute. Every shard finds mean and
 * squared deviations of its rows, all meet once, and each merges the parts in the same order: the result depends on the number of
 * shards by rounding alone. Backward meets once more, for the two sums over the batch. Running statistics that are not
 * initializers (Constant nodes) cannot move; such a node always takes them as they are.
 *   Only in a net without gradients does training_mode 1 mean what ONNX says: statistics of the batch that runs. Rows meet in it,
 * which the ties say, so such a net runs as one shard. Its running averages are outputs without a gradient.
 *
 * State (kept for backward) holds mean and 1 / deviation per row; a net without gradients has them in scratch. */
#include <math.h>
#include <string.h>

#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/norm.h"
#include "core/ops/kernels/norm_last.h"
#include "core/ops/ops_priv.h"

struct norm_args {
	float epsilon, momentum, alpha, beta, bias;
	int64_t axis, num_groups, size, spatial, training_mode, stash_type;
	struct pare_ints axes;
	/* filled by infer */
	bool rows_meet; /* shards cannot: the training form where there is no training */
	struct pare_norm norm; /* but for what depends on the batch */
	/* BatchNormalization: what was absorbed, in this order */
	bool added, clamp;
	float lo, hi;
};
#define ADD_IN (5 + PARE_STEP_ADD_AT) /* the operand that the step brings along */

static enum pare_code check_vector(const struct pare_infer *c, int k, int64_t n, const char *name, struct pare_err *err)
{
	const struct pare_shape *s = &c->in[k];
	char text[PARE_SHAPE_TEXT];

	if (!pare_infer_has(c, k) || (s->n_dims == 1 && s->dims[0] == n && s->batch == 0))
		return PARE_OK;
	return pare_err_set(err, PARE_E_SHAPE, c->where, "%s of shape %s; it must be [%lld]", name, pare_shape_text(s, text), (long long)n);
}

/* [N, C, ...] with only N depending on the batch. */
static enum pare_code check_channels(const struct pare_infer *c, int min_dims, struct pare_err *err)
{
	const struct pare_shape *x = &c->in[0];
	char text[PARE_SHAPE_TEXT];

	if (x->n_dims < min_dims)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "input of shape %s; it must have %d dimensions or more, batch and channels first",
		    pare_shape_text(x, text), min_dims);
	if ((x->batch & ~PARE_BIT(0)) != 0)
		return pare_err_set(err, PARE_E_UNSUPPORTED, c->where, "input of shape %s: only the first dimension may depend on the batch", pare_shape_text(x, text));
	if (pare_shape_product(x, 1, x->n_dims) < 1)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "input of shape %s has no elements", pare_shape_text(x, text));
	c->out[0] = *x;
	return PARE_OK;
}

static float *mean_of(const struct pare_run *r)
{
	return r->state != NULL ? r->state : r->scratch;
}

/* --- rows of statistics that follow each other in memory: instance, layer, group */

/* The layout for the rows that run now. */
static struct pare_norm layout(const struct pare_run *r)
{
	const struct norm_args *a = r->args;
	struct pare_norm d = a->norm;

	d.epsilon = a->epsilon;
	d.rows = (int64_t)pare_shape_elems(r->in_shape[0]) / (d.segments * d.len);
	return d;
}

static size_t rows_state(const struct pare_run *r)
{
	return 2 * (size_t)layout(r).rows;
}

static size_t rows_scratch(const struct pare_run *r)
{
	struct pare_norm d = layout(r);
	size_t work = 2 * (size_t)(d.segments * d.len), statistics = 2 * (size_t)d.rows;

	return work > statistics ? work : statistics;
}

static const float *input(const struct pare_run *r, int k)
{
	return r->n_in > k ? r->in[k] : NULL;
}

static void rows_forward(const struct pare_run *r)
{
	struct pare_norm d = layout(r);
	float *mean = mean_of(r), *inv = mean + d.rows;

	pare_norm_stats(&d, r->in[0], mean, inv);
	if (r->out[0] != NULL)
		pare_norm_forward(&d, r->in[0], mean, inv, input(r, 1), input(r, 2), r->out[0]);
	if (r->n_out > 1 && r->out[1] != NULL)
		memcpy(r->out[1], mean, (size_t)d.rows * sizeof *mean);
	if (r->n_out > 2 && r->out[2] != NULL)
		memcpy(r->out[2], inv, (size_t)d.rows * sizeof *inv);
}

static void grads_of(const struct pare_run *r, struct pare_norm_grads *g)
{
	*g = (struct pare_norm_grads){.dx = r->grad_in[0], .acc_x = r->accumulate[0]};
	if (r->n_in > 1) {
		g->dscale = r->grad_in[1];
		g->acc_scale = r->accumulate[1];
	}
	if (r->n_in > 2) {
		g->dbias = r->grad_in[2];
		g->acc_bias = r->accumulate[2];
	}
}

static void rows_backward(const struct pare_run *r)
{
	struct pare_norm d = layout(r);
	const float *mean = r->state, *inv = mean + d.rows;
	struct pare_norm_grads g;

	grads_of(r, &g);
	g.dmean = r->n_out > 1 ? r->grad_out[1] : NULL;
	g.dinv = r->n_out > 2 ? r->grad_out[2] : NULL;
	pare_norm_backward(&d, r->in[0], mean, inv, input(r, 1), r->grad_out[0], &g, r->scratch);
}

static void tie(struct pare_ties *t, enum pare_tie_kind kind, int a, int a_axis, int b, int b_axis)
{
	pare_tie_add(t, (struct pare_tie){.kind = kind, .a = a, .a_axis = a_axis, .b = b, .b_axis = b_axis});
}

static enum pare_code instance_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct norm_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	enum pare_code code = check_channels(c, 3, err);

	if (code == PARE_OK)
		code = check_vector(c, 1, x->dims[1], "scale", err);
	if (code == PARE_OK)
		code = check_vector(c, 2, x->dims[1], "bias", err);
	if (code == PARE_OK)
		a->norm = (struct pare_norm){.cycle = x->dims[1], .segments = 1, .len = pare_shape_product(x, 2, x->n_dims)};
	return code;
}

/* Channel by channel: scale and bias go with their channel, positions mix. */
static void channels_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct norm_args *a = v->args;

	tie(t, a->rows_meet ? PARE_TIE_MIX : PARE_TIE_SAME, 0, 0, PARE_OUT(0), 0);
	tie(t, PARE_TIE_SAME, 0, 1, PARE_OUT(0), 1);
	for (int k = 1; k < v->n_in && k < ADD_IN; k++)
		if (v->in[k] != NULL)
			tie(t, PARE_TIE_SAME, k, 0, PARE_OUT(0), 1);
	for (int i = 0; v->n_in > ADD_IN && v->in[ADD_IN] != NULL && i < v->in[ADD_IN]->n_dims; i++)
		tie(t, PARE_TIE_SAME, ADD_IN, i, PARE_OUT(0), i);
	for (int i = 2; i < v->in[0]->n_dims; i++)
		tie(t, PARE_TIE_MIX, 0, i, PARE_OUT(0), i);
}

/* Has s the shape of x's axes from `axis` on (or of these after ones)? */
static bool covers(const struct pare_shape *s, const struct pare_shape *x, int axis)
{
	if (s->n_dims > x->n_dims || s->n_dims < x->n_dims - axis || s->batch != 0)
		return false;
	for (int i = 0; i < s->n_dims; i++) {
		int at = x->n_dims - s->n_dims + i;

		if (s->dims[i] != (at >= axis ? x->dims[at] : 1))
			return false;
	}
	return true;
}

static enum pare_code rms_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct norm_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	int axis = pare_axis(a->axis, x->n_dims, false);
	char text[PARE_SHAPE_TEXT];
	int64_t n;

	if (axis < 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "axis %lld is out of range for shape %s", (long long)a->axis, pare_shape_text(x, text));
	if (x->batch >> axis != 0)
		return pare_err_set(err, PARE_E_UNSUPPORTED, c->where, "normalization of shape %s from axis %d would take statistics over the batch",
		    pare_shape_text(x, text), axis);
	n = pare_shape_product(x, axis, x->n_dims);
	for (int k = 1; k < 3 && pare_infer_has(c, k); k++)
		if (!covers(&c->in[k], x, axis))
			return pare_infer_mismatch(c, 0, k, "scale and bias must have the shape of the normalized axes", err);
	if (n < 1)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "input of shape %s has no elements", pare_shape_text(x, text));
	a->axis = axis;
	a->norm = (struct pare_norm){.cycle = 1, .segments = n, .len = 1, .by_zero = true};
	c->out[0] = *x;
	return PARE_OK;
}

static enum pare_code layer_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct norm_args *a = c->args;
	struct pare_shape statistics = c->in[0];
	enum pare_code code = rms_infer(c, err);

	if (code != PARE_OK)
		return code;
	a->norm.by_zero = false;
	for (int64_t i = a->axis; i < statistics.n_dims; i++)
		statistics.dims[i] = 1;
	c->out[1] = c->out[2] = statistics;
	return PARE_OK;
}

static void layer_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct norm_args *a = v->args;
	int n = v->in[0]->n_dims;

	for (int i = 0; i < n; i++)
		tie(t, i < a->axis ? PARE_TIE_SAME : PARE_TIE_MIX, 0, i, PARE_OUT(0), i);
	for (int k = 1; k < v->n_in; k++)
		for (int i = 0; v->in[k] != NULL && i < v->in[k]->n_dims; i++)
			tie(t, PARE_TIE_MIX, k, i, PARE_OUT(0), n - v->in[k]->n_dims + i);
}

/* per_group: opset 18 to 20 have one scale and bias a group, later ones one a channel. */
static enum pare_code group_infer(const struct pare_infer *c, bool per_group, struct pare_err *err)
{
	struct norm_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	enum pare_code code = check_channels(c, 3, err);
	int64_t n, len;

	if (code != PARE_OK)
		return code;
	if (x->dims[1] % a->num_groups != 0)
		return pare_err_set(err, PARE_E_SHAPE, c->where, "%lld channels do not divide into num_groups %lld", (long long)x->dims[1], (long long)a->num_groups);
	n = per_group ? a->num_groups : x->dims[1];
	len = pare_shape_product(x, 2, x->n_dims) * (per_group ? x->dims[1] / a->num_groups : 1);
	a->norm = (struct pare_norm){.cycle = a->num_groups, .segments = n / a->num_groups, .len = len};
	code = check_vector(c, 1, n, "scale", err);
	return code == PARE_OK ? check_vector(c, 2, n, "bias", err) : code;
}

static enum pare_code group_by_group_infer(const struct pare_infer *c, struct pare_err *err)
{
	return group_infer(c, true, err);
}

static enum pare_code group_by_channel_infer(const struct pare_infer *c, struct pare_err *err)
{
	return group_infer(c, false, err);
}

/* The channels of a group share statistics, so they go together, with what scale and bias have for them. */
static void group_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct norm_args *a = v->args;
	int64_t channels = v->in[0]->dims[1];

	tie(t, PARE_TIE_SAME, 0, 0, PARE_OUT(0), 0);
	tie(t, PARE_TIE_SAME, 0, 1, PARE_OUT(0), 1);
	for (int i = 2; i < v->in[0]->n_dims; i++)
		tie(t, PARE_TIE_MIX, 0, i, PARE_OUT(0), i);
	for (int k = 0; k < v->n_in; k++)
		pare_tie_add(t, (struct pare_tie){.kind = PARE_TIE_BLOCKS, .a = k, .a_axis = k == 0 ? 1 : 0, .b = PARE_OUT(0), .b_axis = 1, .n = a->num_groups,
		    .a_inner = (k == 0 ? channels : v->in[k]->dims[0]) / a->num_groups, .b_inner = channels / a->num_groups});
}

static void group_resize(const struct pare_resize *r)
{
	const struct norm_args *a = r->was->args;
	int64_t groups = a->num_groups * r->out[0]->dims[1] / r->was->out[0]->dims[1];

	r->set_attr(r, "num_groups", &groups, 1);
}

/* --- batch */

/* The variance as it is in the file, where that is small enough to be known; nothing in a job makes it negative later. */
static enum pare_code check_variance(const struct pare_infer *c, struct pare_err *err)
{
	const struct norm_args *a = c->args;
	const struct pare_known *var = &c->in_known[4];

	for (size_t i = 0; var->f32 != NULL && i < var->n; i++)
		if (!(var->f32[i] + a->epsilon > 0.0f))
			return pare_err_set(err, PARE_E_INVALID, c->where, "variance %g of channel %zu plus epsilon is not positive", (double)var->f32[i], i);
	return PARE_OK;
}

static enum pare_code batch_infer(const struct pare_infer *c, struct pare_err *err)
{
	static const char *const names[] = {NULL, "scale", "bias", "mean", "variance"};
	struct norm_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	enum pare_code code = check_channels(c, 2, err);

	for (int k = 1; k < 5 && code == PARE_OK; k++)
		code = check_vector(c, k, x->dims[1], names[k], err);
	if (code == PARE_OK)
		code = check_variance(c, err);
	if (code != PARE_OK)
		return code;
	for (int k = 1; k < c->n_out && !a->training_mode; k++)
		if (c->node->out[k] >= 0)
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator BatchNormalization has statistics as outputs in training mode only");
	a->norm = (struct pare_norm){.rows = x->dims[1], .cycle = x->dims[1], .segments = 1, .len = pare_shape_product(x, 2, x->n_dims)};
	a->rows_meet = a->training_mode && !c->training;
	for (int k = 1; k < 3 && a->training_mode; k++)
		c->out[k] = (struct pare_shape){.n_dims = 1, .dims = {x->dims[1]}};
	return PARE_OK;
}

/* What a shard keeps of a pass, and what the others read of it when they meet. */
struct batch {
	int64_t images, channels, len;
	double *count, *mean, *m2;      /* of the shard's own values: how many a channel, and of each channel mean and sum of squared deviations */
	double *dy, *dyh;               /* backward: sums of each channel */
	float *use_mean, *use_inv;      /* what this pass normalises with: of the batch, or the running statistics */
};

static struct batch batch_of(const struct pare_run *r, float *memory)
{
	const struct norm_args *a = r->args;
	size_t c = (size_t)a->norm.rows;
	struct batch b = {.images = r->in_shape[0]->dims[0], .channels = a->norm.rows, .len = a->norm.len};

	if (r->last) { /* every position is a row of channels */
		b.images *= b.len;
		b.len = 1;
	}
	b.count = (double *)(void *)memory;
	b.mean = b.count + 1;
	b.m2 = b.mean + c;
	b.dy = b.m2 + c;
	b.dyh = b.dy + c;
	b.use_mean = (float *)(void *)(b.dyh + c);
	b.use_inv = b.use_mean + c;
	return b;
}

static size_t batch_state(const struct pare_run *r)
{
	const struct norm_args *a = r->args;

	return 2 + 10 * (size_t)a->norm.rows;
}

/* In place of the state; or dy without what was clamped. */
static size_t batch_scratch(const struct pare_run *r)
{
	const struct norm_args *a = r->args;
	size_t all = a->clamp && !r->last ? pare_shape_elems(r->in_shape[0]) : 0;

	return all > batch_state(r) ? all : batch_state(r);
}

/* By the statistics of the batch, or the running ones? A net that trains treats both forms of the node alike. */
static bool by_batch(const struct pare_run *r)
{
	const struct norm_args *a = r->args;

	if (r->buffer == NULL)
		return a->training_mode != 0;
	return (r->mode == PARE_MODE_TRAIN || r->mode == PARE_MODE_ESTIMATE) && r->buffer[3] != NULL && r->buffer[4] != NULL;
}

/* Adds up what the shards found, in their order, into total (Chan, Golub and LeVeque 1983). Returns how many values a channel has. */
static double merge_parts(const struct pare_run *r, const struct batch *own, int64_t c, double *mean, double *m2)
{
	double n = 0;

	*mean = *m2 = 0;
	for (int s = 0; s < r->n_shards; s++) {
		struct batch b = r->states != NULL && r->states[s] != NULL ? batch_of(r, r->states[s]) : *own;
		double delta = b.mean[c] - *mean, all = n + *b.count;

		if (!(*b.count > 0))
			continue;
		*mean += delta * (*b.count / all);
		*m2 += b.m2[c] + delta * delta * (n * *b.count / all);
		n = all;
	}
	return n;
}

/* Moves running statistics: keep of the old, the rest of the new. The variance that is kept is the unbiased one, as PyTorch keeps it (ONNX
 * says nothing for nodes in inference form, and its training form, below, has the biased one); a batch of one value has none. */
static void move_running(const struct pare_run *r, int64_t c, double n, double mean, double m2)
{
	const struct norm_args *a = r->args;
	double keep = r->mode == PARE_MODE_ESTIMATE ? (double)r->step / ((double)r->step + 1) : (double)a->momentum;

	if (r->buffer == NULL || r->shard != 0 || n < 2)
		return;
	r->buffer[3][c] = (float)(keep * (double)r->buffer[3][c] + (1 - keep) * mean);
	r->buffer[4][c] = (float)(keep * (double)r->buffer[4][c] + (1 - keep) * (m2 / (n - 1)));
}

/* The outputs of the training form, as ONNX defines them: by the biased variance. old: of mean and variance. */
static void write_running(const struct pare_run *r, int64_t c, const float *const *old, double mean, double var)
{
	const struct norm_args *a = r->args;
	double now[] = {mean, var};

	for (int k = 1; k < 3 && k < r->n_out; k++)
		if (r->out[k] != NULL)
			r->out[k][c] = (float)((double)a->momentum * (double)old[k - 1][c] + (1 - (double)a->momentum) * now[k - 1]);
}

static void batch_statistics(const struct pare_run *r, struct batch *b)
{
	const struct norm_args *a = r->args;
	const float *const old[] = {b->use_mean, b->use_inv};

	if (r->n_out > 1) { /* shard 0 moves the running statistics when all have met: the outputs are made of what they were */
		memcpy(b->use_mean, r->in[3], (size_t)b->channels * sizeof *b->use_mean);
		memcpy(b->use_inv, r->in[4], (size_t)b->channels * sizeof *b->use_inv);
	}
	*b->count = (double)b->images * (double)b->len;
	if (b->len == 1)
		pare_norm_last_part(b->images, b->channels, r->in[0], b->mean, b->m2);
	else
		pare_norm_part(b->images, b->channels, b->len, r->in[0], b->mean, b->m2);
	if (r->n_shards > 1)
		pare_pool_meet(r->team);
	for (int64_t c = 0; c < b->channels; c++) {
		double mean, m2, n = merge_parts(r, b, c, &mean, &m2);

		write_running(r, c, old, mean, m2 / n);
		b->use_mean[c] = (float)mean;
		b->use_inv[c] = (float)(1 / sqrt(m2 / n + (double)a->epsilon));
		move_running(r, c, n, mean, m2);
	}
}

static void running_statistics(const struct pare_run *r, struct batch *b)
{
	const struct norm_args *a = r->args;

	for (int64_t c = 0; c < b->channels; c++) {
		b->use_mean[c] = r->in[3][c];
		b->use_inv[c] = 1.0f / sqrtf(r->in[4][c] + a->epsilon);
	}
	for (int k = 1; k < 3 && k < r->n_out; k++)
		if (r->out[k] != NULL)
			memcpy(r->out[k], r->in[k + 2], (size_t)b->channels * sizeof(float));
}

/* The operand of an absorbed sum. */
static const float *added(const struct pare_run *r)
{
	const struct norm_args *a = r->args;

	return a->added ? r->in[ADD_IN] : NULL;
}

static struct pare_norm_last last_of(const struct pare_run *r, const struct batch *b)
{
	const struct norm_args *a = r->args;

	return (struct pare_norm_last){.rows = b->images, .channels = b->channels, .mean = b->use_mean, .inv = b->use_inv, .scale = r->in[1], .bias = r->in[2],
	    .clamp = a->clamp, .lo = a->lo, .hi = a->hi};
}

static void batch_forward(const struct pare_run *r)
{
	const struct norm_args *a = r->args;
	struct batch b = batch_of(r, r->state != NULL ? r->state : r->scratch);

	if (by_batch(r))
		batch_statistics(r, &b);
	else
		running_statistics(r, &b);
	if (r->out[0] == NULL)
		return;
	if (b.len == 1) {
		struct pare_norm_last d = last_of(r, &b);

		pare_norm_last_forward(&d, r->in[0], added(r), r->out[0]);
		return;
	}
	pare_norm_fixed_forward(b.images, b.channels, b.len, r->in[0], b.use_mean, b.use_inv, r->in[1], r->in[2], r->out[0]);
	if (added(r) != NULL)
		pare_k_acc(pare_shape_elems(r->out_shape[0]), added(r), r->out[0]);
	if (a->clamp)
		pare_k_clamp(pare_shape_elems(r->out_shape[0]), a->lo, a->hi, r->out[0], r->out[0]);
}

static bool batch_step(const struct pare_node_view *v, int operand, struct pare_step *out)
{
	const struct norm_args *a = v->args;

	*out = (struct pare_step){.kind = PARE_STEP_NORM, .first_operand = 1, .n_operands = 4, .place = PARE_STEP_NORM_AT, .epsilon = a->epsilon};
	return operand == 0 && !a->training_mode && !a->added && !a->clamp;
}

static bool batch_absorb(void *args, const struct pare_step *step, bool training)
{
	struct norm_args *a = args;

	(void)training;
	if (a->clamp || (step->kind != PARE_STEP_CLAMP && (step->kind != PARE_STEP_ADD || a->added)))
		return false;
	a->added |= step->kind == PARE_STEP_ADD;
	if (step->kind == PARE_STEP_CLAMP) {
		a->clamp = true;
		a->lo = step->lo;
		a->hi = step->hi;
	}
	return true;
}

/* What reaches the sum, where planes stand one after the other: dy without what was clamped; also the operand's gradient. */
static const float *through(const struct pare_run *r, float *g)
{
	const struct norm_args *a = r->args;
	size_t n = pare_shape_elems(r->out_shape[0]);

	if (a->clamp)
		pare_k_clamp_grad(n, a->lo, a->hi, r->out[0], r->grad_out[0], g);
	if (a->added && r->grad_in[ADD_IN] != NULL && r->accumulate[ADD_IN])
		pare_k_acc(n, a->clamp ? g : r->grad_out[0], r->grad_in[ADD_IN]);
	else if (a->added && r->grad_in[ADD_IN] != NULL)
		memcpy(r->grad_in[ADD_IN], a->clamp ? g : r->grad_out[0], n * sizeof *g);
	return a->clamp ? g : r->grad_out[0];
}

/* Of the training form, when only its running averages are used. */
static void no_gradient(const struct batch *b, const struct pare_norm_grads *g)
{
	if (g->dx != NULL && !g->acc_x)
		memset(g->dx, 0, (size_t)(b->images * b->channels * b->len) * sizeof *g->dx);
	if (g->dscale != NULL && !g->acc_scale)
		memset(g->dscale, 0, (size_t)b->channels * sizeof *g->dscale);
	if (g->dbias != NULL && !g->acc_bias)
		memset(g->dbias, 0, (size_t)b->channels * sizeof *g->dbias);
}

/* What reaches scale and bias is the shard's own share. */
static void batch_param_grads(const struct batch *b, const struct pare_norm_grads *g)
{
	for (int64_t c = 0; c < b->channels; c++) {
		if (g->dbias != NULL)
			g->dbias[c] = (g->acc_bias ? g->dbias[c] : 0.0f) + (float)b->dy[c];
		if (g->dscale != NULL)
			g->dscale[c] = (g->acc_scale ? g->dscale[c] : 0.0f) + (float)b->dyh[c];
	}
}

/* Averages over the whole batch. The shard's own sums are read by the others until the step ends: they go where forward's are through. */
static void batch_averages(const struct pare_run *r, struct batch *b)
{
	for (int64_t c = 0; c < b->channels; c++) {
		double n = 0, dy = 0, dyh = 0;

		for (int s = 0; s < r->n_shards; s++) {
			struct batch part = batch_of(r, r->states[s]);

			n += *part.count;
			dy += part.dy[c];
			dyh += part.dyh[c];
		}
		b->mean[c] = dy / n;
		b->m2[c] = dyh / n;
	}
}

/* dx = scale inv (dy - avg(dy) - h avg(dy h)), without the averages where the statistics are constants */
static void last_backward(const struct pare_run *r, struct batch *b, const struct pare_norm_grads *g)
{
	struct pare_norm_last d = last_of(r, b);
	struct pare_norm_last_grads to = {.dx = g->dx, .acc_x = g->acc_x};

	pare_norm_last_sums(&d, r->in[0], r->out[0], r->grad_out[0], b->dy, b->dyh);
	batch_param_grads(b, g);
	if (by_batch(r)) {
		if (r->n_shards > 1)
			pare_pool_meet(r->team);
		batch_averages(r, b);
		to.avg_g = b->mean;
		to.avg_gh = b->m2;
	}
	if (added(r) != NULL) {
		to.dadd = r->grad_in[ADD_IN];
		to.acc_add = r->accumulate[ADD_IN];
	}
	pare_norm_last_backward(&d, r->in[0], r->out[0], r->grad_out[0], &to);
}

static void batch_backward(const struct pare_run *r)
{
	struct batch b = batch_of(r, r->state);
	struct pare_norm_grads g;
	const float *dy;

	grads_of(r, &g);
	if (r->grad_out[0] == NULL) {
		no_gradient(&b, &g);
		return;
	}
	if (b.len == 1) {
		last_backward(r, &b, &g);
		return;
	}
	dy = through(r, r->scratch);
	if (!by_batch(r)) {
		pare_norm_fixed_backward(b.images, b.channels, b.len, r->in[0], b.use_mean, b.use_inv, r->in[1], dy, &g);
		return;
	}
	pare_norm_part_backward(b.images, b.channels, b.len, r->in[0], b.use_mean, b.use_inv, dy, b.dy, b.dyh);
	batch_param_grads(&b, &g);
	if (r->n_shards > 1)
		pare_pool_meet(r->team);
	if (g.dx == NULL || b.images == 0)
		return;
	batch_averages(r, &b);
	pare_norm_batch_dx(b.images, b.channels, b.len, r->in[0], b.use_mean, b.use_inv, r->in[1], dy, b.mean, b.m2, g.acc_x, g.dx);
}

/* --- LRN */

static enum pare_code lrn_infer(const struct pare_infer *c, struct pare_err *err)
{
	return check_channels(c, 3, err);
}

static struct pare_lrn lrn_layout(const struct pare_run *r)
{
	const struct norm_args *a = r->args;
	const struct pare_shape *x = r->in_shape[0];

	return (struct pare_lrn){.images = x->dims[0], .channels = x->dims[1], .len = pare_shape_product(x, 2, x->n_dims), .size = a->size, .alpha = a->alpha,
	    .beta = a->beta, .bias = a->bias};
}

static size_t lrn_floats(const struct pare_run *r)
{
	return pare_shape_elems(r->in_shape[0]);
}

static void lrn_forward(const struct pare_run *r)
{
	struct pare_lrn d = lrn_layout(r);

	pare_lrn_forward(&d, r->in[0], mean_of(r), r->out[0]);
}

static void lrn_backward(const struct pare_run *r)
{
	struct pare_lrn d = lrn_layout(r);

	pare_lrn_backward(&d, r->in[0], r->state, r->grad_out[0], r->accumulate[0], r->grad_in[0], r->scratch);
}

/* Channels meet in their neighbours' sums. */
static void lrn_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	for (int i = 0; i < v->in[0]->n_dims; i++)
		tie(t, i == 1 ? PARE_TIE_MIX : PARE_TIE_SAME, 0, i, PARE_OUT(0), i);
}

#define ARG(text, what, member, ...) {.name = text, .kind = PARE_ARG_##what, .offset = offsetof(struct norm_args, member), __VA_ARGS__}
#define EPSILON ARG("epsilon", FLOAT, epsilon, .def = 1e-5, .min = 0, .max = 1)
static const struct pare_arg_spec batch_old_arg_table[] = {
    EPSILON, ARG("momentum", FLOAT, momentum, .def = 0.9), ARG("spatial", INT, spatial, .def = 1, .min = 1, .max = 1), {.name = NULL}};
static const struct pare_arg_spec batch_arg_table[] = {
    EPSILON, ARG("momentum", FLOAT, momentum, .def = 0.9), ARG("training_mode", INT, training_mode, .min = 0, .max = 1), {.name = NULL}};
static const struct pare_arg_spec instance_arg_table[] = {EPSILON, {.name = NULL}};
static const struct pare_arg_spec layer_arg_table[] = {
    EPSILON, ARG("axis", INT, axis, .def = -1), ARG("stash_type", INT, stash_type, .def = 1, .min = 1, .max = 1), {.name = NULL}};
static const struct pare_arg_spec group_arg_table[] = {EPSILON, ARG("num_groups", INT, num_groups, .required = true, .min = 1, .max = INT32_MAX),
    ARG("stash_type", INT, stash_type, .def = 1, .min = 1, .max = 1), {.name = NULL}};
static const struct pare_arg_spec lrn_arg_table[] = {ARG("alpha", FLOAT, alpha, .def = 1e-4), ARG("beta", FLOAT, beta, .def = 0.75),
    ARG("bias", FLOAT, bias, .def = 1), ARG("size", INT, size, .required = true, .min = 1, .max = INT32_MAX), {.name = NULL}};

#define NORM .domain = "", .min_out = 1, .args_size = sizeof(struct norm_args)
#define ROWS NORM, .grad_uses_in = PARE_BIT(0) | PARE_BIT(1), .scratch = rows_scratch, .state = rows_state, .forward = rows_forward, .backward = rows_backward
#define BATCH NORM, .name = "BatchNormalization", .min_in = 5, .max_in = 5, .buffer_in = PARE_BIT(3) | PARE_BIT(4), .scale_in = PARE_BIT(1), .meets = true, \
	.grad_uses_in = PARE_BIT(0) | PARE_BIT(1), .infer = batch_infer, .grad_uses_out = PARE_BIT(0), .scratch = batch_scratch, .state = batch_state, .forward = batch_forward, \
	.backward = batch_backward, .couple = channels_couple, .layout = pare_layout_either, .step = batch_step, .absorb = batch_absorb
#define GROUP ROWS, .name = "GroupNormalization", .scale_in = PARE_BIT(1), .min_in = 3, .max_in = 3, .max_out = 1, .args = group_arg_table, .couple = group_couple, .resize = group_resize

const struct pare_op pare_op_norm_table[] = {
    {BATCH, .since = PARE_OPSET_MIN, .until = 13, .max_out = 5, .args = batch_old_arg_table},
    {BATCH, .since = 14, .until = PARE_OPSET_MAX, .max_out = 3, .args = batch_arg_table},
    {ROWS, .name = "InstanceNormalization", .scale_in = PARE_BIT(1), .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 3, .max_in = 3, .max_out = 1,
     .args = instance_arg_table, .infer = instance_infer, .couple = channels_couple},
    {ROWS, .name = "LayerNormalization", .since = 17, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 3, .max_out = 3, .args = layer_arg_table,
     .infer = layer_infer, .couple = layer_couple},
    {ROWS, .name = "RMSNormalization", .since = 23, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 2, .max_out = 1, .args = layer_arg_table,
     .infer = rms_infer, .couple = layer_couple},
    {GROUP, .since = 18, .until = 20, .infer = group_by_group_infer},
    {GROUP, .since = 21, .until = PARE_OPSET_MAX, .infer = group_by_channel_infer},
    {NORM, .name = "LRN", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = 1, .max_out = 1, .args = lrn_arg_table,
     .grad_uses_in = PARE_BIT(0), .infer = lrn_infer, .scratch = lrn_floats, .state = lrn_floats, .forward = lrn_forward, .backward = lrn_backward,
     .couple = lrn_couple},
    {.name = NULL},
};
