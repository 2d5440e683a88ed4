/* Running a plan. All pointers of every node on every shard are set once (bind); a pass is a loop over nodes. Shapes are
 * resolved again only when the number of rows changes, which is once an epoch.
 *
 * Where shards meet in the middle of a pass (batch statistics), one that has no rows runs just the nodes that meet. */
#include <string.h>

#include "core/base/num.h"
#include "core/graph/net_priv.h"
#include "core/ops/kernels/elementwise.h"

static float *joint_at(const struct pare_net *net, int s, int32_t root, size_t joint)
{
	return net->joint + joint + (size_t)s * pare_net_value_elems(net, root, net->shard_rows);
}

float *pare_net_data_at(const struct pare_net *net, int s, int32_t value)
{
	const struct pare_net_value *v = value >= 0 ? &net->values[value] : NULL;

	if (v == NULL)
		return NULL;
	switch (v->place) {
	case PARE_PLACE_PARAM:
		return net->slab + v->offset;
	case PARE_PLACE_CONST:
		return v->fixed;
	case PARE_PLACE_SHARD:
		if (net->values[v->root].joint != PARE_JOINT_NONE)
			return joint_at(net, s, v->root, net->values[v->root].joint) + (v->offset - net->values[v->root].offset);
		return net->shards[s].mem + v->offset;
	case PARE_PLACE_NONE:
		break;
	}
	return NULL;
}

float *pare_net_grad_at(const struct pare_net *net, int s, int32_t value)
{
	const struct pare_net_value *v = value >= 0 ? &net->values[value] : NULL;
	const struct pare_net_shard *sh = &net->shards[s];

	if (v == NULL || v->grad_offset == PARE_GRAD_NONE)
		return NULL;
	if (net->values[v->grad_root].grad_joint != PARE_JOINT_NONE)
		return joint_at(net, s, v->grad_root, net->values[v->grad_root].grad_joint);
	return (net->values[v->grad_root].param >= 0 ? sh->grads : sh->mem) + v->grad_offset;
}

float *pare_net_seed_at(const struct pare_net *net, int s, int i)
{
	const struct pare_net_seed *seed = &net->seeds[i];
	float *own = seed->copy ? NULL : pare_net_grad_at(net, s, net->outputs[i]);

	return own != NULL ? own : net->shards[s].mem + seed->offset;
}

/* Where a node that trains moves its running statistics. */
static enum pare_code bind_buffers(struct pare_net *net, const struct pare_net_node *n, struct pare_run *r, struct pare_err *err)
{
	float **buffer;

	if (!net->opt.training || n->op->buffer_in == 0)
		return PARE_OK;
	r->buffer = buffer = pare_arena_array(&net->arena, (size_t)n->node->n_in, sizeof *buffer);
	if (buffer == NULL)
		return pare_err_nomem(err, 0);
	for (int k = 0; k < n->node->n_in; k++) {
		const struct pare_net_value *v = n->node->in[k] >= 0 ? &net->values[n->node->in[k]] : NULL;

		if (v != NULL && v->place == PARE_PLACE_PARAM && pare_op_has(n->op->buffer_in, k) && net->params[net->values[v->root].param].buffer)
			buffer[k] = net->slab + v->offset;
	}
	return PARE_OK;
}

static enum pare_code bind_node(struct pare_net *net, int s, struct pare_net_node *n, struct pare_run *r, struct pare_err *err)
{
	struct pare_net_shard *sh = &net->shards[s];
	size_t n_in = (size_t)n->node->n_in, n_out = (size_t)n->node->n_out;
	const float **in = pare_arena_array(&net->arena, 2 * (n_in + n_out) + 1, sizeof *in);
	float **out = pare_arena_array(&net->arena, n_in + n_out + 1, sizeof *out);
	const struct pare_shape **shapes = pare_arena_array(&net->arena, n_in + n_out + 1, sizeof *shapes);

	if (n->states == NULL)
		n->states = pare_arena_array(&net->arena, (size_t)net->n_shards, sizeof *n->states);
	if (in == NULL || out == NULL || shapes == NULL || n->states == NULL)
		return pare_err_nomem(err, 0);
	if (net->opt.training && n->op->state != NULL)
		n->states[s] = sh->mem + n->state_offset;
	for (size_t k = 0; k < n_in; k++) {
		int32_t v = n->node->in[k];

		in[k] = pare_net_data_at(net, s, v);
		if (n->backward && v >= 0 && pare_net_has_grad(net, n, (int)k))
			out[n_out + k] = pare_net_grad_at(net, s, v);
		shapes[k] = v >= 0 ? &sh->shapes[v] : NULL;
	}
	for (size_t k = 0; k < n_out; k++) {
		int32_t v = n->node->out[k];

		out[k] = pare_net_data_at(net, s, v);
		in[n_in + k] = pare_net_grad_at(net, s, v);
		shapes[n_in + k] = v >= 0 ? &sh->shapes[v] : NULL;
	}
	*r = (struct pare_run){.args = n->args, .n_in = n->node->n_in, .n_out = n->node->n_out, .in = in, .out = out, .in_shape = shapes,
	    .out_shape = shapes + n_in, .grad_in = out + n_out, .grad_out = in + n_in, .accumulate = n->accumulate,
	    .scratch = sh->mem + net->scratch_offset, .state = n->states[s], .states = n->states, .team = net->pool, .shard = s,
	    .n_shards = net->n_shards, .seed = net->opt.seed, .node = n->index, .last = n->last,
	    .prepared = n->n_prepared > 0 ? net->prepared + n->prepared_offset : NULL};
	return bind_buffers(net, n, r, err);
}

/* Who reads an input where it stands. One that is an output as well has to be there afterwards, and what trains is read again on the way back. */
static enum pare_code find_readers(struct pare_net *net, int input, struct pare_err *err)
{
	int32_t v = net->inputs[input];
	struct pare_reader *list;
	int n = 0;

	for (int i = 0; i < net->model->graph.n_outputs; i++)
		if (net->values[net->outputs[i]].root == v)
			return PARE_OK;
	for (int i = 0; i < net->n_nodes; i++)
		n += net->nodes[i].node->n_in;
	list = pare_arena_array(&net->arena, (size_t)n + 1, sizeof *list);
	if (list == NULL)
		return pare_err_nomem(err, (size_t)n * sizeof *list);
	n = 0;
	for (int i = 0; i < net->n_nodes; i++)
		for (int k = 0; k < net->nodes[i].node->n_in; k++) {
			int32_t in = net->nodes[i].node->in[k];

			if (in >= 0 && net->values[in].place == PARE_PLACE_SHARD && net->values[in].root == v)
				list[n++] = (struct pare_reader){i, k, net->values[in].offset - net->values[v].offset};
		}
	net->readers[input] = list;
	net->n_readers[input] = n;
	return PARE_OK;
}

static enum pare_code bind_lending(struct pare_net *net, struct pare_err *err)
{
	size_t n = (size_t)net->model->graph.n_inputs;
	enum pare_code code = PARE_OK;

	net->readers = pare_arena_array(&net->arena, n + 1, sizeof *net->readers);
	net->n_readers = pare_arena_array(&net->arena, n + 1, sizeof *net->n_readers);
	if (net->readers == NULL || net->n_readers == NULL)
		return pare_err_nomem(err, n * sizeof *net->readers);
	for (size_t i = 0; i < n && code == PARE_OK && !net->opt.training; i++)
		if (net->values[net->inputs[i]].place == PARE_PLACE_SHARD)
			code = find_readers(net, (int)i, err);
	return code;
}

static void resolve_shapes(const struct pare_net *net, struct pare_net_shard *sh, int64_t count)
{
	for (int32_t i = 0; i < net->n_values; i++)
		pare_net_resolve(net, i, count, &sh->shapes[i]);
	sh->count = count;
}

static enum pare_code bind_shard(struct pare_net *net, int s, struct pare_err *err)
{
	struct pare_net_shard *sh = &net->shards[s];
	size_t n_bytes;

	if (!pare_mul_size(net->shard_len, sizeof(float), &n_bytes))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the net is too large");
	sh->mem = pare_alloc_aligned(n_bytes);
	if (sh->mem == NULL)
		return pare_err_nomem(err, n_bytes);
	if (net->opt.training) {
		sh->grads = pare_alloc_aligned(net->slab_len * sizeof(float));
		if (sh->grads == NULL)
			return pare_err_nomem(err, net->slab_len * sizeof(float));
	}
	sh->shapes = pare_arena_array(&net->arena, (size_t)net->n_values + 1, sizeof *sh->shapes);
	sh->runs = pare_arena_array(&net->arena, (size_t)net->n_nodes + 1, sizeof *sh->runs);
	sh->lent = pare_arena_array(&net->arena, (size_t)net->model->graph.n_inputs + 1, sizeof *sh->lent);
	if (sh->shapes == NULL || sh->runs == NULL || sh->lent == NULL)
		return pare_err_nomem(err, 0);
	for (int i = 0; i < net->n_nodes; i++) {
		enum pare_code code = bind_node(net, s, &net->nodes[i], &sh->runs[i], err);

		if (code != PARE_OK)
			return code;
	}
	resolve_shapes(net, sh, net->pass_rows);
	return PARE_OK;
}

/* The runs of a node whose units shards divide. */
static enum pare_code bind_peers(struct pare_net *net, struct pare_err *err)
{
	for (int i = 0; i < net->n_nodes; i++) {
		struct pare_net_node *n = &net->nodes[i];

		if (!n->split)
			continue;
		n->peers = pare_arena_array(&net->arena, (size_t)net->n_shards, sizeof *n->peers);
		if (n->peers == NULL)
			return pare_err_nomem(err, 0);
		for (int s = 0; s < net->n_shards; s++)
			n->peers[s] = &net->shards[s].runs[i];
	}
	return PARE_OK;
}

enum pare_code pare_net_bind(struct pare_net *net, struct pare_err *err)
{
	enum pare_code code;

	net->shards = pare_arena_array(&net->arena, (size_t)net->n_shards, sizeof *net->shards);
	if (net->shards == NULL)
		return pare_err_nomem(err, 0);
	net->prepared = net->n_prepared > 0 ? pare_alloc_aligned(net->n_prepared * sizeof *net->prepared) : NULL;
	if (net->n_prepared > 0 && net->prepared == NULL)
		return pare_err_nomem(err, net->n_prepared * sizeof *net->prepared);
	net->joint = net->joint_len > 0 ? pare_alloc_aligned(net->joint_len * sizeof *net->joint) : NULL;
	if (net->joint_len > 0 && net->joint == NULL)
		return pare_err_nomem(err, net->joint_len * sizeof *net->joint);
	net->stale = true;
	code = bind_lending(net, err);
	for (int s = 0; s < net->n_shards && code == PARE_OK; s++)
		code = bind_shard(net, s, err);
	if (code == PARE_OK)
		code = bind_peers(net, err);
	if (code != PARE_OK)
		return code;
	for (int i = 0; i < net->n_nodes; i++)
		if (net->nodes[i].constant && net->nodes[i].op->forward != NULL)
			net->nodes[i].op->forward(&net->shards[0].runs[i]);
	return PARE_OK;
}

bool pare_net_has_statistics(const struct pare_net *net)
{
	for (int i = 0; i < net->n_params; i++)
		if (net->params[i].buffer)
			return true;
	return false;
}

/* What nodes keep of parameters, if those may have changed. */
static void prepare(struct pare_net *net)
{
	if (net->n_prepared == 0)
		return;
	pthread_mutex_lock(&net->lock);
	for (int i = 0; net->stale && i < net->n_nodes; i++)
		if (net->nodes[i].n_prepared > 0)
			net->nodes[i].op->prepare(&net->shards[0].runs[i], net->prepared + net->nodes[i].prepared_offset);
	net->stale = false;
	pthread_mutex_unlock(&net->lock);
}

/* Does the node run on this shard in this pass, with rows or without? */
static bool takes_part(const struct pare_net_shard *sh, const struct pare_net_node *n, const struct pare_run *r)
{
	return sh->count > 0 || (sh->met && (n->op->meets || r->peers != NULL));
}

static void run_forward(struct pare_net *net, struct pare_net_shard *sh, int64_t count, enum pare_mode mode, uint64_t step, int64_t first_row)
{
	if (count != sh->count)
		resolve_shapes(net, sh, count);
	for (int i = 0; i < net->n_nodes; i++) {
		const struct pare_net_node *n = &net->nodes[i];
		struct pare_run *r = &sh->runs[i];

		r->peers = sh->met && r->sparse == NULL ? n->peers : NULL;
		if (n->view || n->constant || !takes_part(sh, n, r))
			continue;
		r->mode = mode;
		r->training = mode == PARE_MODE_TRAIN || mode == PARE_MODE_FROZEN;
		r->step = step;
		r->first_row = first_row;
		n->op->forward(r);
	}
}

/* Rows [at, at + count) between where the caller has them and where the pass has them. */
static void copy_stages(struct pare_net *net, int s, int64_t at, int64_t count, bool outputs)
{
	const struct pare_net_shard *sh = &net->shards[s];
	const struct pare_graph *g = &net->model->graph;

	for (int i = outputs ? g->n_inputs : 0; i < g->n_inputs + (outputs ? g->n_outputs : 0); i++) {
		int32_t v = i < g->n_inputs ? net->inputs[i] : net->outputs[i - g->n_inputs];
		size_t row = pare_net_value_elems(net, v, 1);
		float *stage = sh->mem + net->stages[i] + (size_t)at * row, *pass = pare_net_data_at(net, s, v);

		if (pass != NULL && (i >= g->n_inputs || sh->lent[i] == NULL))
			memcpy(outputs ? stage : pass, outputs ? pass : stage, (size_t)count * row * sizeof(float));
	}
}

bool pare_net_shard_lend(struct pare_net *net, int s, int i, const float *x)
{
	if (net->readers[i] == NULL || (uintptr_t)x % PARE_ALIGN != 0)
		return false;
	net->shards[s].lent[i] = x;
	return true;
}

/* Lent inputs are read from row `at` on, or (at < 0) in their own memory again. */
static void point_inputs(const struct pare_net *net, int s, int64_t at)
{
	struct pare_net_shard *sh = &net->shards[s];

	for (int i = 0; i < net->model->graph.n_inputs; i++) {
		const float *x = sh->lent[i];

		if (x == NULL)
			continue;
		if (at < 0)
			sh->lent[i] = NULL;
		x = at < 0 ? pare_net_data_at(net, s, net->inputs[i]) : x + (size_t)at * pare_net_value_elems(net, net->inputs[i], 1);
		for (int k = 0; k < net->n_readers[i]; k++) {
			const struct pare_reader *r = &net->readers[i][k];

			((const float **)(uintptr_t)sh->runs[r->node].in)[r->operand] = x + r->at; /* an array of ours: bind_node */
		}
	}
}

void pare_net_shard_forward(struct pare_net *net, int s, int64_t count, enum pare_mode mode, uint64_t step, int64_t first_row)
{
	struct pare_net_shard *sh = &net->shards[s];

	if (!net->opt.training)
		mode = PARE_MODE_INFER;
	sh->met = mode == PARE_MODE_TRAIN || mode == PARE_MODE_ESTIMATE;
	prepare(net);
	if (net->stages == NULL) {
		point_inputs(net, s, 0);
		run_forward(net, sh, count, mode, step, first_row);
	}
	for (int64_t at = 0; at < count && net->stages != NULL; at += net->pass_rows) {
		int64_t n = count - at < net->pass_rows ? count - at : net->pass_rows;

		point_inputs(net, s, at);
		copy_stages(net, s, at, n, false);
		run_forward(net, sh, n, mode, step, first_row + at);
		copy_stages(net, s, at, n, true);
	}
	point_inputs(net, s, -1);
}

static void copy_seeds(struct pare_net *net, int s)
{
	const struct pare_graph *g = &net->model->graph;

	for (int i = 0; i < g->n_outputs; i++) {
		size_t n = pare_shape_elems(&net->shards[s].shapes[net->outputs[i]]);
		float *to = net->seeds[i].copy ? pare_net_grad_at(net, s, net->outputs[i]) : NULL;

		if (to != NULL && net->seeds[i].first)
			memcpy(to, pare_net_seed_at(net, s, i), n * sizeof(float));
		else if (to != NULL)
			pare_k_acc(n, pare_net_seed_at(net, s, i), to);
	}
}

void pare_net_shard_backward(struct pare_net *net, int s)
{
	struct pare_net_shard *sh = &net->shards[s];

	if (sh->count == 0)
		memset(sh->grads, 0, net->slab_len * sizeof(float));
	else
		copy_seeds(net, s);
	if (s == 0)
		pare_net_note_splits(net);
	for (int i = net->n_nodes - 1; i >= 0; i--)
		if (net->nodes[i].backward && takes_part(sh, &net->nodes[i], &sh->runs[i]))
			net->nodes[i].op->backward(&sh->runs[i]);
}

/* Where the first gradient of all shards in [begin, end) begins and ends; both are end if there is none. */
static void find_summed(const struct pare_net *net, size_t begin, size_t end, size_t *first, size_t *last)
{
	*first = *last = end;
	for (int i = 0; i < net->n_splits; i++) {
		const struct pare_param_info *p = &net->params[net->splits[i].param];

		if (!net->splits[i].summed || p->offset >= end || p->offset + p->n_elems <= begin)
			continue;
		*first = p->offset > begin ? p->offset : begin;
		*last = p->offset + p->n_elems < end ? p->offset + p->n_elems : end;
		return;
	}
}

void pare_net_reduce_grads(const struct pare_net *net, size_t begin, size_t end, float *out)
{
	if (out != net->shards[0].grads)
		memcpy(out + begin, net->shards[0].grads + begin, (end - begin) * sizeof(float));
	for (size_t at = begin, first, last; at < end; at = last) {
		find_summed(net, at, end, &first, &last);
		for (int s = 1; s < net->n_shards; s++)
			pare_k_acc(first - at, net->shards[s].grads + at, out + at);
	}
}
