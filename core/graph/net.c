/* The life of a net, and what others may know of it. The work is in shape_infer.c, plan.c, plan_grad.c and exec.c. */
#include "core/graph/net.h"

#include <assert.h>
#include <string.h>

#include "core/base/cpu.h"
#include "core/base/num.h"
#include "core/graph/graph_priv.h"
#include "core/graph/net_priv.h"
#include "core/ops/kernels/gemm.h"

#define ARENA_CAP ((size_t)1 << 30) /* the plan itself, not the tensors: some KiB per node and shard */

static enum pare_code load_params(struct pare_net *net, struct pare_err *err)
{
	size_t n_bytes;

	if (!pare_mul_size(net->slab_len, sizeof(float), &n_bytes))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the parameters are too large");
	net->slab = pare_alloc_aligned(n_bytes);
	if (net->slab == NULL)
		return pare_err_nomem(err, n_bytes);
	for (int i = 0; i < net->n_params; i++) {
		const struct pare_param_info *p = &net->params[i];
		char shown[PARE_NAME_SHOWN];
		enum pare_code code = pare_tensor_read_f32(net->model->graph.values[p->value].init, net->slab + p->offset, err);

		if (code != PARE_OK)
			return pare_err_at(err, "initializer \"%s\"", pare_name_shown(p->name, shown));
	}
	return PARE_OK;
}

static enum pare_code keep_steps(struct pare_net *net, struct pare_err *err)
{
	net->n_steps = net->n_nodes;
	net->steps = pare_arena_array(&net->arena, (size_t)net->n_nodes + 1, sizeof *net->steps);
	if (net->steps == NULL)
		return pare_err_nomem(err, 0);
	memcpy(net->steps, net->nodes, (size_t)net->n_nodes * sizeof *net->steps);
	return PARE_OK;
}

static void note_inputs(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;

	for (int32_t i = 0; i < net->n_values; i++)
		net->values[i].input = i < g->n_values && g->values[i].is_input && g->values[i].init != NULL;
	for (int i = 0; i < g->n_inputs; i++)
		net->values[net->inputs[i]].input = true;
}

static enum pare_code note_macs(struct pare_net *net, struct pare_err *err)
{
	net->macs = pare_arena_array(&net->arena, (size_t)net->model->graph.n_nodes + 1, sizeof *net->macs);
	if (net->macs == NULL)
		return pare_err_nomem(err, 0);
	for (int i = net->n_nodes; i-- > 0;)
		if (net->nodes[i].index >= 0)
			net->macs[net->nodes[i].index] = net->nodes[i].macs;
	return PARE_OK;
}

static enum pare_code check_bytes(const struct pare_net *net, struct pare_err *err)
{
	size_t most = net->opt.most_bytes / sizeof(float), n_shards = (size_t)net->n_shards;

	if (most == 0 || (net->shard_len <= most / n_shards && net->joint_len <= most - n_shards * net->shard_len))
		return PARE_OK;
	return pare_err_set(err, PARE_E_LIMIT, NULL, "a batch of %lld rows takes more than %zu bytes", (long long)net->opt.max_batch, net->opt.most_bytes);
}

static enum pare_code build(struct pare_net *net, struct pare_err *err)
{
	enum pare_code code = pare_net_infer_shapes(net, err);

	if (code == PARE_OK)
		code = keep_steps(net, err);
	if (code == PARE_OK)
		code = pare_net_turn_ends(net, err);
	if (code == PARE_OK)
		note_inputs(net);
	if (code == PARE_OK && !net->opt.plain)
		code = pare_net_join(net, err);
	if (code == PARE_OK && !net->opt.plain)
		code = pare_net_choose_layouts(net, err);
	if (code == PARE_OK)
		code = pare_net_plan(net, err);
	if (code == PARE_OK)
		code = check_bytes(net, err);
	if (code == PARE_OK)
		code = note_macs(net, err);
	if (code == PARE_OK)
		code = load_params(net, err);
	if (code == PARE_OK)
		code = pare_pool_new(net->n_shards, &net->pool, err);
	return code == PARE_OK ? pare_net_bind(net, err) : code;
}

enum pare_code pare_net_new(const struct pare_model *m, const struct pare_net_options *opt, struct pare_net **out, struct pare_err *err)
{
	struct pare_net *net;
	enum pare_code code;

	if (opt->n_threads < 1 || opt->n_threads > PARE_THREADS_MAX)
		return pare_err_set(err, PARE_E_INVALID, NULL, "%d threads; 1 to %d are possible", opt->n_threads, PARE_THREADS_MAX);
	if (opt->max_batch < 1 || opt->max_batch > INT32_MAX)
		return pare_err_set(err, PARE_E_INVALID, NULL, "a batch of %lld rows; it must be at least 1", (long long)opt->max_batch);
	pare_gemm_init();
	net = pare_calloc(1, sizeof *net);
	if (net == NULL)
		return pare_err_nomem(err, sizeof *net);
	net->model = m;
	net->opt = *opt;
	net->fixed_batch = PARE_DIM_UNKNOWN;
	pthread_mutex_init(&net->lock, NULL);
	pare_arena_init(&net->arena, ARENA_CAP);
	code = build(net, err);
	if (code == PARE_OK)
		*out = net;
	else
		pare_net_free(net);
	return code;
}

void pare_net_free(struct pare_net *net)
{
	if (net == NULL)
		return;
	pare_pool_free(net->pool);
	for (int s = 0; net->shards != NULL && s < net->n_shards; s++) {
		pare_free(net->shards[s].mem);
		pare_free(net->shards[s].grads);
	}
	pare_net_drop_structures(net);
	pare_free(net->slab);
	pare_free(net->prepared);
	pare_free(net->joint);
	pthread_mutex_destroy(&net->lock);
	pare_arena_done(&net->arena);
	pare_free(net);
}

int pare_net_n_inputs(const struct pare_net *net)
{
	return net->model->graph.n_inputs;
}

int pare_net_n_outputs(const struct pare_net *net)
{
	return net->model->graph.n_outputs - net->model->graph.n_watched;
}

int pare_net_n_watched(const struct pare_net *net)
{
	return net->model->graph.n_watched;
}

int pare_net_find_output(const struct pare_net *net, const char *name)
{
	const struct pare_graph *g = &net->model->graph;

	for (int i = 0; i < g->n_outputs; i++)
		if (strcmp(g->values[g->outputs[i]].name, name) == 0)
			return i;
	return -1;
}

static size_t row_shape(const struct pare_shape *s, int *n_dims, int64_t dims[PARE_MAX_DIMS])
{
	*n_dims = s->n_dims;
	for (int i = 0; i < s->n_dims; i++)
		dims[i] = s->batch & PARE_BIT(i) ? PARE_DIM_UNKNOWN : s->dims[i];
	return pare_shape_elems(s);
}

size_t pare_net_input_shape(const struct pare_net *net, int i, int *n_dims, int64_t dims[PARE_MAX_DIMS])
{
	return row_shape(&net->values[net->inputs[i]].shape, n_dims, dims);
}

size_t pare_net_output_shape(const struct pare_net *net, int i, int *n_dims, int64_t dims[PARE_MAX_DIMS])
{
	size_t n = row_shape(&net->values[net->outputs[i]].shape, n_dims, dims);

	return net->values[net->outputs[i]].wanted ? n : 0;
}

const char *pare_net_input_name(const struct pare_net *net, int i)
{
	return net->model->graph.values[net->model->graph.inputs[i]].name;
}

const char *pare_net_output_name(const struct pare_net *net, int i)
{
	return net->model->graph.values[net->model->graph.outputs[i]].name;
}

int pare_net_input_dtype(const struct pare_net *net, int i)
{
	return net->values[net->inputs[i]].dtype;
}

int pare_net_output_dtype(const struct pare_net *net, int i)
{
	return net->values[net->outputs[i]].dtype;
}

static const struct pare_net_node *producer(const struct pare_net *net, int32_t value)
{
	for (int i = 0; i < net->n_nodes; i++)
		for (int k = 0; k < net->nodes[i].node->n_out; k++)
			if (net->nodes[i].node->out[k] == value)
				return &net->nodes[i];
	return NULL;
}

/* Softmax over that axis only: its one MIX tie. */
static bool mixes_axis(const struct pare_net *net, const struct pare_net_node *n, int axis)
{
	int wanted = axis >= 0 ? axis : net->values[n->node->out[0]].shape.n_dims + axis, n_mix = 0;
	struct pare_ties t;
	bool on_it = false;

	pare_net_ties(net, n, &t);
	for (int i = 0; i < t.n; i++)
		if (t.tie[i].kind == PARE_TIE_MIX) {
			n_mix++;
			on_it |= t.tie[i].a_axis == wanted;
		}
	return n_mix == 1 && on_it;
}

enum pare_output_kind pare_net_output_kind(const struct pare_net *net, int i)
{
	return pare_net_output_kind_along(net, i, -1);
}

enum pare_output_kind pare_net_output_kind_along(const struct pare_net *net, int i, int axis)
{
	static const enum pare_output_kind kind_table[] = {
	    [PARE_HINT_NONE] = PARE_OUTPUT_RAW,
	    [PARE_HINT_PROBABILITY] = PARE_OUTPUT_PROBABILITY,
	    [PARE_HINT_LOG_PROBABILITY] = PARE_OUTPUT_LOG_PROBABILITY,
	    [PARE_HINT_SIGMOID] = PARE_OUTPUT_SIGMOID,
	};
	int32_t value = net->outputs[i];
	const struct pare_net_node *n = producer(net, value);

	while (n != NULL && (n->index < 0 || (n->view && pare_shape_same(&net->values[n->node->in[0]].shape, &net->values[value].shape)))) {
		value = n->node->in[0];
		n = producer(net, value);
	}
	if (n == NULL || n->op->output_hint == PARE_HINT_NONE)
		return PARE_OUTPUT_RAW;
	return n->op->output_hint == PARE_HINT_SIGMOID || mixes_axis(net, n, axis) ? kind_table[n->op->output_hint] : PARE_OUTPUT_RAW;
}

int pare_net_n_params(const struct pare_net *net)
{
	return net->n_params;
}

const struct pare_param_info *pare_net_param(const struct pare_net *net, int i)
{
	return &net->params[i];
}

size_t pare_net_slab_len(const struct pare_net *net)
{
	return net->slab_len;
}

float *pare_net_slab(struct pare_net *net)
{
	pthread_mutex_lock(&net->lock);
	net->stale = true;
	pthread_mutex_unlock(&net->lock);
	return net->slab;
}

enum pare_code pare_net_store(const struct pare_net *net, struct pare_model *m, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	float *before = NULL;
	size_t most = 0;

	for (int i = 0; i < net->n_params; i++)
		most = net->params[i].n_elems > most ? net->params[i].n_elems : most;
	before = pare_calloc(most, sizeof *before);
	if (before == NULL)
		return pare_err_nomem(err, most * sizeof *before);
	for (int i = 0; i < net->n_params && code == PARE_OK; i++) {
		const struct pare_param_info *p = &net->params[i];
		const float *now = net->slab + p->offset;

		code = pare_tensor_read_f32(m->graph.values[p->value].init, before, err);
		if (code == PARE_OK && memcmp(before, now, p->n_elems * sizeof *now) != 0)
			code = pare_model_set_init_f32(m, p->value, now, err);
	}
	pare_free(before);
	return code;
}

enum pare_code pare_net_settle(struct pare_net *net, struct pare_model *m, struct pare_err *err)
{
	enum pare_code code = pare_net_store(net, m, err);

	for (int i = 0; i < net->n_params && code == PARE_OK; i++) {
		const struct pare_tensor *t = m->graph.values[net->params[i].value].init;

		if (pare_dtype_bits(t->dtype) == 16)
			code = pare_tensor_read_f32(t, net->slab + net->params[i].offset, err);
	}
	return code;
}

int64_t pare_net_macs(const struct pare_net *net)
{
	int64_t sum = 0;

	for (int i = 0; i < net->n_nodes; i++)
		sum += net->nodes[i].macs;
	return sum;
}

int64_t pare_net_node_macs(const struct pare_net *net, int32_t node)
{
	return node >= 0 ? net->macs[node] : 0;
}

int pare_net_n_shards(const struct pare_net *net)
{
	return net->n_shards;
}

void pare_net_shard_rows(const struct pare_net *net, int64_t n, int s, int64_t *first, int64_t *count)
{
	int64_t rows = (n + net->n_shards - 1) / net->n_shards, begin = rows * s;

	assert(n <= net->opt.max_batch);
	begin = begin < n ? begin : n;
	*first = begin;
	*count = rows < n - begin ? rows : n - begin;
}

float *pare_net_shard_input(struct pare_net *net, int s, int i)
{
	return net->stages != NULL ? net->shards[s].mem + net->stages[i] : pare_net_data_at(net, s, net->inputs[i]);
}

const float *pare_net_shard_output(const struct pare_net *net, int s, int i)
{
	return net->stages != NULL ? net->shards[s].mem + net->stages[net->model->graph.n_inputs + i] : pare_net_data_at(net, s, net->outputs[i]);
}

float *pare_net_shard_output_grad(struct pare_net *net, int s, int i)
{
	return net->opt.training ? pare_net_seed_at(net, s, i) : NULL;
}

const float *pare_net_shard_grads(const struct pare_net *net, int s)
{
	return net->shards[s].grads;
}

void pare_net_parallel(struct pare_net *net, void (*fn)(void *ctx, int t), void *ctx)
{
	pare_pool_run(net->pool, fn, ctx);
}

void pare_net_meet(struct pare_net *net)
{
	pare_pool_meet(net->pool);
}

struct infer_pass {
	struct pare_net *net;
	const float *const *x;
	float *const *out;
	int n_out;     /* of out */
	int64_t at, n; /* the rows of this batch */
};

static void infer_shard(void *ctx, int t)
{
	const struct infer_pass *p = ctx;
	struct pare_net *net = p->net;
	const struct pare_graph *g = &net->model->graph;
	int64_t first, count;

	pare_net_shard_rows(net, p->n, t, &first, &count);
	if (count == 0)
		return;
	for (int i = 0; i < g->n_inputs; i++) {
		size_t k = pare_shape_elems(&net->values[g->inputs[i]].shape);
		const float *x = p->x[i] + (size_t)(p->at + first) * k;

		if (!pare_net_shard_lend(net, t, i, x))
			memcpy(pare_net_shard_input(net, t, i), x, (size_t)count * k * sizeof(float));
	}
	pare_net_shard_forward(net, t, count, PARE_MODE_INFER, 0, first);
	for (int i = 0; i < p->n_out; i++) {
		size_t k = pare_shape_elems(&net->values[net->outputs[i]].shape);

		if (p->out[i] != NULL)
			memcpy(p->out[i] + (size_t)(p->at + first) * k, pare_net_shard_output(net, t, i), (size_t)count * k * sizeof(float));
	}
}

static enum pare_code infer(struct infer_pass *p, int64_t n, struct pare_err *err)
{
	struct pare_net *net = p->net;
	const struct pare_graph *g = &net->model->graph;
	char shown[PARE_NAME_SHOWN];

	for (int i = 0; i < p->n_out; i++)
		if (p->out[i] != NULL && net->values[net->outputs[i]].shape.batch != PARE_BIT(0))
			return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "the first dimension of output \"%s\" is not the batch",
			    pare_name_shown(g->values[net->outputs[i]].name, shown));
	for (p->at = 0; p->at < n; p->at += net->opt.max_batch) {
		p->n = n - p->at < net->opt.max_batch ? n - p->at : net->opt.max_batch;
		pare_net_parallel(net, infer_shard, p);
	}
	return PARE_OK;
}

enum pare_code pare_net_infer_all(struct pare_net *net, const float *const *x, int64_t n, float *const *out, struct pare_err *err)
{
	struct infer_pass p = {.net = net, .x = x, .out = out, .n_out = pare_net_n_outputs(net)};

	return infer(&p, n, err);
}

enum pare_code pare_net_infer(struct pare_net *net, const float *x, int64_t n, float *out, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;
	struct infer_pass p = {.net = net, .x = &x, .out = &out, .n_out = 1};

	if (g->n_inputs != 1 || g->n_outputs < 1)
		return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "the model has %d inputs and %d outputs; inference needs one input and an output",
		    g->n_inputs, g->n_outputs);
	return infer(&p, n, err);
}
