/* Normalization: BatchNormalization, InstanceNormalization, LayerNormalization, GroupNormalization and
 * LRN. The arithmetic is in kernels/norm.c; here is how each lays its input out as rows.
 *
 * BatchNormalization. With training_mode 0, which is how models are exported, mean and variance are constants of the model
 * in both directions: fine-tuning moves scale and bias and leaves the statistics as they are ("frozen" batch norm). The net has no
 * persistent state that is neither a parameter nor a constant, so statistics cannot follow new data yet. With
 * training_mode 1 the statistics are those of the batch that runs, with their full gradient; rows meet then, which the ties
 * say, so such a net runs as one shard. Its running averages are outputs without a gradient.
 *
 * State (kept for backward) holds mean and 1 / deviation per row; a net without gradients has them in scratch. */
#include <math.h>
#include <string.h>

#include "core/ops/kernels/norm.h"
#include "core/ops/ops_priv.h"

struct norm_args {
	float epsilon, momentum, alpha, beta, bias;
	int64_t axis, num_groups, size, spatial, training_mode, stash_type;
	struct pare_ints axes;
	/* filled by infer */
	struct pare_norm norm; /* but for what depends on the batch */
	const float *mean, *inv, *var; /* BatchNormalization: of each channel */
};

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

	tie(t, a->training_mode ? PARE_TIE_MIX : PARE_TIE_SAME, 0, 0, PARE_OUT(0), 0);
	tie(t, PARE_TIE_SAME, 0, 1, PARE_OUT(0), 1);
	for (int k = 1; k < v->n_in; k++)
		tie(t, PARE_TIE_SAME, k, 0, PARE_OUT(0), 1);
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

static enum pare_code layer_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct norm_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	int axis = pare_axis(a->axis, x->n_dims, false);
	struct pare_shape statistics = *x;
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
	for (int i = axis; i < x->n_dims; i++)
		statistics.dims[i] = 1;
	a->axis = axis;
	a->norm = (struct pare_norm){.cycle = 1, .segments = n, .len = 1};
	c->out[0] = *x;
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

/* The channels of a group share statistics, so none can go. */
static void group_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	tie(t, PARE_TIE_SAME, 0, 0, PARE_OUT(0), 0);
	for (int i = 1; i < v->in[0]->n_dims; i++)
		tie(t, PARE_TIE_MIX, 0, i, PARE_OUT(0), i);
	for (int k = 1; k < v->n_in; k++)
		tie(t, v->in[k]->dims[0] == v->in[0]->dims[1] ? PARE_TIE_MIX : PARE_TIE_OPAQUE, k, 0, PARE_OUT(0), 1);
}

/* --- batch */

static enum pare_code batch_constants(const struct pare_infer *c, struct pare_err *err)
{
	struct norm_args *a = c->args;
	const float *mean = c->in_known[3].f32, *var = c->in_known[4].f32;
	size_t n = (size_t)c->in[0].dims[1];
	float *inv = pare_arena_array(c->arena, n, sizeof *inv);

	if (mean == NULL || var == NULL || c->in_known[3].n != n || c->in_known[4].n != n)
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "BatchNormalization needs mean and variance as float constants of %zu channels", n);
	if (inv == NULL)
		return pare_err_nomem(err, 0);
	for (size_t i = 0; i < n; i++) {
		if (!(var[i] + a->epsilon > 0.0f))
			return pare_err_set(err, PARE_E_INVALID, c->where, "variance %g of channel %zu plus epsilon is not positive", (double)var[i], i);
		inv[i] = 1.0f / sqrtf(var[i] + a->epsilon);
	}
	a->mean = mean;
	a->var = var;
	a->inv = inv;
	return PARE_OK;
}

static enum pare_code batch_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct norm_args *a = c->args;
	const struct pare_shape *x = &c->in[0];
	enum pare_code code = check_channels(c, 2, err);

	if (code == PARE_OK)
		code = check_vector(c, 1, x->dims[1], "scale", err);
	if (code == PARE_OK)
		code = check_vector(c, 2, x->dims[1], "bias", err);
	if (code == PARE_OK)
		code = batch_constants(c, err);
	if (code != PARE_OK)
		return code;
	for (int k = 1; k < c->n_out && !a->training_mode; k++)
		if (c->node->out[k] >= 0)
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator BatchNormalization has statistics as outputs in training mode only");
	a->norm = (struct pare_norm){.rows = x->dims[1], .cycle = x->dims[1], .segments = 1, .len = pare_shape_product(x, 2, x->n_dims)};
	for (int k = 1; k < 3 && a->training_mode; k++)
		c->out[k] = (struct pare_shape){.n_dims = 1, .dims = {x->dims[1]}};
	return PARE_OK;
}

/* A row for each channel, over all images. */
static struct pare_norm batch_layout(const struct pare_run *r)
{
	const struct norm_args *a = r->args;
	struct pare_norm d = a->norm;

	d.epsilon = a->epsilon;
	d.len *= r->in_shape[0]->dims[0];
	return d;
}

static size_t batch_state(const struct pare_run *r)
{
	const struct norm_args *a = r->args;

	return a->training_mode ? 2 * (size_t)a->norm.rows : 0;
}

/* x, dy and the result by channel, and the kernel's own. */
static size_t batch_scratch(const struct pare_run *r)
{
	const struct norm_args *a = r->args;
	struct pare_norm d = batch_layout(r);

	return a->training_mode ? 2 * (size_t)d.rows + 3 * pare_shape_elems(r->in_shape[0]) + 2 * (size_t)d.len : 0;
}

static void running(const struct pare_run *r, int k, const float *old, const float *now)
{
	const struct norm_args *a = r->args;

	if (r->n_out <= k || r->out[k] == NULL)
		return;
	for (int64_t i = 0; i < a->norm.rows; i++)
		r->out[k][i] = a->momentum * old[i] + (1.0f - a->momentum) * now[i];
}

static void batch_train_forward(const struct pare_run *r)
{
	const struct norm_args *a = r->args;
	struct pare_norm d = batch_layout(r);
	int64_t images = r->in_shape[0]->dims[0];
	float *mean = mean_of(r), *inv = mean + d.rows, *x = r->scratch + 2 * d.rows, *y = x + pare_shape_elems(r->in_shape[0]);

	pare_norm_swap(images, d.rows, a->norm.len, r->in[0], x);
	pare_norm_stats(&d, x, mean, inv);
	pare_norm_forward(&d, x, mean, inv, r->in[1], r->in[2], y);
	if (r->out[0] != NULL)
		pare_norm_swap(d.rows, images, a->norm.len, y, r->out[0]);
	running(r, 1, a->mean, mean);
	for (int64_t i = 0; i < d.rows; i++)
		x[i] = 1.0f / (inv[i] * inv[i]) - d.epsilon;
	running(r, 2, a->var, x);
}

static void batch_train_backward(const struct pare_run *r)
{
	const struct norm_args *a = r->args;
	struct pare_norm d = batch_layout(r);
	int64_t images = r->in_shape[0]->dims[0], n = (int64_t)pare_shape_elems(r->in_shape[0]);
	float *x = r->scratch + 2 * d.rows, *dy = x + n, *dx = dy + n;
	struct pare_norm_grads g;

	grads_of(r, &g);
	pare_norm_swap(images, d.rows, a->norm.len, r->in[0], x);
	if (r->grad_out[0] != NULL)
		pare_norm_swap(images, d.rows, a->norm.len, r->grad_out[0], dy);
	else
		memset(dy, 0, (size_t)n * sizeof *dy);
	if (g.dx != NULL && g.acc_x)
		pare_norm_swap(images, d.rows, a->norm.len, r->grad_in[0], dx);
	g.dx = g.dx != NULL ? dx : NULL;
	pare_norm_backward(&d, x, r->state, r->state + d.rows, r->in[1], dy, &g, dx + n);
	if (g.dx != NULL)
		pare_norm_swap(d.rows, images, a->norm.len, dx, r->grad_in[0]);
}

static void batch_forward(const struct pare_run *r)
{
	const struct norm_args *a = r->args;

	if (a->training_mode)
		batch_train_forward(r);
	else
		pare_norm_fixed_forward(r->in_shape[0]->dims[0], a->norm.rows, a->norm.len, r->in[0], a->mean, a->inv, r->in[1], r->in[2], r->out[0]);
}

static void batch_backward(const struct pare_run *r)
{
	const struct norm_args *a = r->args;
	struct pare_norm_grads g;

	if (a->training_mode) {
		batch_train_backward(r);
		return;
	}
	grads_of(r, &g);
	pare_norm_fixed_backward(r->in_shape[0]->dims[0], a->norm.rows, a->norm.len, r->in[0], a->mean, a->inv, r->in[1], r->grad_out[0], &g);
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
#define BATCH NORM, .name = "BatchNormalization", .min_in = 5, .max_in = 5, .const_in = PARE_BIT(3) | PARE_BIT(4), \
	.grad_uses_in = PARE_BIT(0) | PARE_BIT(1), .infer = batch_infer, .scratch = batch_scratch, .state = batch_state, .forward = batch_forward, \
	.backward = batch_backward, .couple = channels_couple
#define GROUP ROWS, .name = "GroupNormalization", .min_in = 3, .max_in = 3, .max_out = 1, .args = group_arg_table, .couple = group_couple

const struct pare_op pare_op_norm_table[] = {
    {BATCH, .since = PARE_OPSET_MIN, .until = 13, .max_out = 5, .args = batch_old_arg_table},
    {BATCH, .since = 14, .until = PARE_OPSET_MAX, .max_out = 3, .args = batch_arg_table},
    {ROWS, .name = "InstanceNormalization", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 3, .max_in = 3, .max_out = 1,
     .args = instance_arg_table, .infer = instance_infer, .couple = channels_couple},
    {ROWS, .name = "LayerNormalization", .since = 17, .until = PARE_OPSET_MAX, .min_in = 2, .max_in = 3, .max_out = 3, .args = layer_arg_table,
     .infer = layer_infer, .couple = layer_couple},
    {GROUP, .since = 18, .until = 20, .infer = group_by_group_infer},
    {GROUP, .since = 21, .until = PARE_OPSET_MAX, .infer = group_by_channel_infer},
    {NORM, .name = "LRN", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = 1, .max_out = 1, .args = lrn_arg_table,
     .grad_uses_in = PARE_BIT(0), .infer = lrn_infer, .scratch = lrn_floats, .state = lrn_floats, .forward = lrn_forward, .backward = lrn_backward,
     .couple = lrn_couple},
    {.name = NULL},
};
