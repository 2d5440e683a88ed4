/* Pooling: MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool.
 *
 *   MaxPool      y = max over the window                    dx = dy where the (first) maximum stood
 *   AveragePool  y = sum over the window / n                dx = sum over windows of dy / n
 *
 * n is the number of the window's elements inside the input, or inside input and padding (count_include_pad); never what
 * ceil_mode lets a window reach beyond the padding. The global forms are the same with one window that is the plane.
 * Channels stay what they are. MaxPool's second output says where the maxima stood, counted through the whole tensor, rows
 * of the batch included: a graph that asks for it is not cut into shards. */
#include <string.h>

#include "core/ops/conv_window.h"
#include "core/ops/kernels/pool.h"
#include "core/ops/kernels/pool_last.h"
#include "core/ops/ops_priv.h"

struct pool_args {
	struct pare_window_args window;
	int64_t ceil_mode, count_include_pad, storage_order;
	struct pare_window w; /* filled by infer */
	const float *weight;  /* AveragePool: of each output position */
};

static enum pare_code average_weights(const struct pare_infer *c, struct pool_args *a, const int64_t end[PARE_WINDOW_AXES], struct pare_err *err)
{
	float *weight = pare_arena_array(c->arena, (size_t)pare_window_product(a->w.out), sizeof *weight);

	if (weight == NULL)
		return pare_err_nomem(err, 0);
	pare_pool_weights(&a->w, a->count_include_pad != 0, end, weight);
	a->weight = weight;
	return PARE_OK;
}

static enum pare_code window(const struct pare_infer *c, const struct pare_ints *kernel, int64_t end[PARE_WINDOW_AXES], struct pare_err *err)
{
	struct pool_args *a = c->args;
	struct pare_shape y = c->in[0];
	enum pare_code code;
	int n;

	code = pare_window_spatial(c, &n, err);
	if (code == PARE_OK && kernel->n != (size_t)n)
		code = pare_err_set(err, PARE_E_MODEL, c->where, "attribute \"kernel_shape\" has %zu numbers, the input has %d spatial axes", kernel->n, n);
	if (code == PARE_OK)
		code = pare_window_infer(c, &a->window, kernel->v, a->ceil_mode != 0, &a->w, end, &y, err);
	c->out[0] = y;
	return code;
}

static enum pare_code max_infer(const struct pare_infer *c, struct pare_err *err)
{
	const struct pool_args *a = c->args;

	enum pare_code code = window(c, &a->window.kernel_shape, NULL, err);

	c->out[1] = c->out[0];
	c->out_dtype[0] = c->in_dtype[0];
	c->out_dtype[1] = PARE_DT_INT64;
	return code;
}

static enum pare_code average_infer(const struct pare_infer *c, struct pare_err *err)
{
	struct pool_args *a = c->args;
	int64_t end[PARE_WINDOW_AXES];
	enum pare_code code = window(c, &a->window.kernel_shape, end, err);

	return code == PARE_OK ? average_weights(c, a, end, err) : code;
}

/* The window is the plane. */
static enum pare_code global_window(const struct pare_infer *c, struct pare_err *err)
{
	const struct pare_ints all = {.v = c->in[0].dims + 2, .n = c->in[0].n_dims > 2 ? (size_t)c->in[0].n_dims - 2 : 0};

	return window(c, &all, NULL, err);
}

static enum pare_code global_average_infer(const struct pare_infer *c, struct pare_err *err)
{
	static const int64_t none[PARE_WINDOW_AXES];
	enum pare_code code = global_window(c, err);

	return code == PARE_OK ? average_weights(c, c->args, none, err) : code;
}

static int64_t planes(const struct pare_run *r)
{
	return r->in_shape[0]->dims[0] * r->in_shape[0]->dims[1];
}

static size_t max_state(const struct pare_run *r)
{
	return pare_shape_elems(r->out_shape[0]);
}

/* Of channels last. */
static int64_t images(const struct pare_run *r)
{
	return r->in_shape[0]->dims[0];
}

static int64_t channels(const struct pare_run *r)
{
	return r->in_shape[0]->dims[r->in_shape[0]->n_dims - 1];
}

static int32_t *places(const struct pare_run *r)
{
	_Static_assert(sizeof(int32_t) == sizeof(float), "the state holds one place per output");
	return (int32_t *)(void *)r->state;
}

static bool wants_indices(int n_out, const void *second)
{
	return n_out > 1 && second != NULL;
}

/* Places for the indices, where no state keeps them. */
static size_t max_scratch(const struct pare_run *r)
{
	return wants_indices(r->n_out, r->out_shape[1]) ? pare_shape_elems(r->out_shape[0]) : 0;
}

/* A place in the plane, counted by columns: the first spatial axis fastest. */
static int64_t by_columns(const struct pare_window *w, int64_t at)
{
	int64_t z = at / (w->in[1] * w->in[2]), y = at / w->in[2] % w->in[1], x = at % w->in[2];

	return z + w->in[0] * (y + w->in[1] * x);
}

static void indices(const struct pool_args *a, int64_t n_planes, const int32_t *at, float *out)
{
	int64_t n = pare_window_product(a->w.out), n_in = pare_window_product(a->w.in);

	for (int64_t i = 0; i < n_planes * n; i++)
		out[i] = (float)(i / n * n_in + (a->storage_order != 0 && at[i] >= 0 ? by_columns(&a->w, at[i]) : at[i]));
}

static void max_forward(const struct pare_run *r)
{
	const struct pool_args *a = r->args;
	bool wanted = r->n_out > 1 && r->out[1] != NULL;
	int32_t *at = r->state != NULL || !wanted ? places(r) : (int32_t *)(void *)r->scratch;

	if (r->last) {
		pare_pool_last_max(&a->w, images(r), channels(r), r->in[0], r->out[0], r->state);
		return;
	}
	pare_pool_max(&a->w, planes(r), r->in[0], r->out[0], at);
	if (wanted)
		indices(a, planes(r), at, r->out[1]);
}

static void max_backward(const struct pare_run *r)
{
	const struct pool_args *a = r->args;

	if (r->last)
		pare_pool_last_max_grad(&a->w, images(r), channels(r), r->state, r->grad_out[0], r->accumulate[0], r->grad_in[0]);
	else
		pare_pool_max_grad(&a->w, planes(r), places(r), r->grad_out[0], r->accumulate[0], r->grad_in[0]);
}

static size_t average_scratch(const struct pare_run *r)
{
	const struct pool_args *a = r->args;

	return (size_t)pare_window_product(a->w.out);
}

static void average_forward(const struct pare_run *r)
{
	const struct pool_args *a = r->args;

	if (r->last)
		pare_pool_last_sum(&a->w, images(r), channels(r), r->in[0], a->weight, r->out[0]);
	else
		pare_pool_sum(&a->w, planes(r), r->in[0], a->weight, r->out[0]);
}

static void average_backward(const struct pare_run *r)
{
	const struct pool_args *a = r->args;

	if (r->last)
		pare_pool_last_sum_grad(&a->w, images(r), channels(r), r->grad_out[0], a->weight, r->accumulate[0], r->grad_in[0]);
	else
		pare_pool_sum_grad(&a->w, planes(r), r->grad_out[0], a->weight, r->accumulate[0], r->grad_in[0], r->scratch);
}

static void couple_axes(const struct pare_node_view *v, enum pare_tie_kind batch, struct pare_ties *t)
{
	for (int i = 0; i < v->in[0]->n_dims; i++)
		pare_tie_add(t, (struct pare_tie){.kind = i == 0 ? batch : i == 1 ? PARE_TIE_SAME : PARE_TIE_MIX, .a = 0, .a_axis = i, .b = PARE_OUT(0), .b_axis = i});
}

static void pool_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	couple_axes(v, PARE_TIE_SAME, t);
}

/* Indices count through the tensor row by row. */
static enum pare_layout max_layout(const struct pare_node_view *v)
{
	return wants_indices(v->n_out, v->out[1]) ? PARE_LAYOUT_PLAIN : PARE_LAYOUT_EITHER;
}

static void max_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	couple_axes(v, wants_indices(v->n_out, v->out[1]) ? PARE_TIE_MIX : PARE_TIE_SAME, t);
}

#define FLAG_ROW(text, member) {.name = text, .kind = PARE_ARG_INT, .offset = offsetof(struct pool_args, member), .min = 0, .max = 1}
static const struct pare_arg_spec max_arg_table[] = {
    PARE_WINDOW_ARG_ROWS(struct pool_args, window, true), FLAG_ROW("ceil_mode", ceil_mode), FLAG_ROW("storage_order", storage_order), {.name = NULL}};
static const struct pare_arg_spec average_arg_table[] = {
    PARE_WINDOW_ARG_ROWS(struct pool_args, window, true), FLAG_ROW("ceil_mode", ceil_mode), FLAG_ROW("count_include_pad", count_include_pad), {.name = NULL}};

#define POOL .domain = "", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 1, .max_in = 1, .min_out = 1, \
	.args_size = sizeof(struct pool_args)
#define MAX_POOL POOL, .state = max_state, .scratch = max_scratch, .forward = max_forward, .backward = max_backward, .couple = max_couple
#define AVERAGE_POOL POOL, .max_out = 1, .couple = pool_couple, .layout = pare_layout_either, .scratch = average_scratch, .forward = average_forward, .backward = average_backward

const struct pare_op pare_op_pool_table[] = {
    {MAX_POOL, .name = "MaxPool", .max_out = 2, .any_dtype_in = PARE_BIT(0), .args = max_arg_table, .infer = max_infer, .layout = max_layout},
    {MAX_POOL, .name = "GlobalMaxPool", .max_out = 1, .infer = global_window, .layout = pare_layout_either},
    {AVERAGE_POOL, .name = "AveragePool", .args = average_arg_table, .infer = average_infer},
    {AVERAGE_POOL, .name = "GlobalAveragePool", .infer = global_average_infer},
    {.name = NULL},
};
