/* Where everything lives: the second half of planning.
 *
 * Parameters stand in one slab. Each shard has one block of memory: inputs, activations, states, gradients, scratch.
 * Views share their origin's memory; an element-wise operator writes over its input when nobody reads that any more.
 * Activations share memory by lifetime (slots placed largest first at the lowest free offset, which for chains is two
 * buffers). In training one lives until the last backward that reads it, and gradients take the place of what is dead by
 * then; in a plain net all of forward's data are kept.
 *
 * Whether a batch may be cut into shards is worked out in plan_shards.c. */
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/graph_priv.h"
#include "core/graph/net_priv.h"

#define PASS_FLOATS ((size_t)1 << 18) /* of the largest value of a pass: 1 MiB */
#define PASS_MIN 2

/* NULL for what the graph computes, and for values that planning itself has added behind the graph's own (layout.c). */
static const struct pare_tensor *init_of(const struct pare_net *net, int32_t value)
{
	return value < net->model->graph.n_values ? net->model->graph.values[value].init : NULL;
}

static void add_param(struct pare_net *net, int32_t value, int32_t node)
{
	const struct pare_tensor *init = init_of(net, value);
	struct pare_net_value *nv = &net->values[value];
	struct pare_param_info *p;

	if (init == NULL || nv->constant || nv->param >= 0)
		return;
	nv->param = net->n_params++;
	nv->place = PARE_PLACE_PARAM;
	nv->offset = net->slab_len;
	p = &net->params[nv->param];
	*p = (struct pare_param_info){.value = value, .node = node, .name = init->name, .node_name = node >= 0 ? net->model->graph.nodes[node].name : "", .offset = net->slab_len, .n_elems = init->n_elems,
	    .n_dims = init->n_dims, .out_axis = -1};
	memcpy(p->dims, init->dims, sizeof p->dims);
	net->slab_len += pare_net_align(p->n_elems);
}

/* The last output axis that an axis of input k is tied to says which axis holds the output channels. */
static int tied_axis(const struct pare_net *net, const struct pare_net_node *n, int k)
{
	struct pare_ties t;
	int axis = -1, best = -1;

	pare_net_ties(net, n, &t);
	for (int i = 0; i < t.n; i++)
		if (t.tie[i].kind == PARE_TIE_SAME && t.tie[i].a == k && t.tie[i].b == PARE_OUT(0) && t.tie[i].b_axis > best) {
			best = t.tie[i].b_axis;
			axis = t.tie[i].a_axis;
		}
	return axis;
}

/* The parameter that a value holds, and the Transpose that it has gone through. */
struct holds {
	int32_t param; /* -1: none */
	int32_t turned; /* node; TURN_NONE, or TURN_LOST: one among views */
};
enum { TURN_NONE = -1, TURN_LOST = -2 };

/* Does a node hand input 0 on, whoever then computes with it? */
static bool hands_on(const struct pare_net_node *n)
{
	return n->view || strcmp(n->op->name, "Transpose") == 0;
}

static struct holds handed_on(const struct pare_net *net, int i, struct holds in)
{
	const struct pare_net_node *n = &net->nodes[i];
	bool first = in.param >= 0 && n->node->in[0] == net->params[in.param].value;

	if (in.param >= 0 && (!n->view || in.turned != TURN_NONE))
		in.turned = !n->view && first ? i : TURN_LOST;
	return in;
}

/* The axis of outputs of a parameter that input k of a node holds: of that input, and back through a transposition. */
static int axis_of_param(const struct pare_net *net, const struct pare_net_node *n, int k, const struct holds *h)
{
	const struct pare_shape *whole = &net->values[net->params[h->param].value].shape;
	struct pare_ties t;
	int axis;

	if (h->turned == TURN_LOST || (h->turned == TURN_NONE && !pare_shape_same(&net->values[n->node->in[k]].shape, whole)))
		return -1;
	axis = tied_axis(net, n, k);
	if (h->turned == TURN_NONE || axis < 0)
		return axis;
	pare_net_ties(net, &net->nodes[h->turned], &t);
	for (int i = 0; i < t.n; i++)
		if (t.tie[i].b_axis == axis)
			return t.tie[i].a_axis;
	return -1;
}

/* Follows parameters through views and transpositions to the nodes that compute with them. The first one tells the output axis, unless a view
 * has given the parameter another shape by then. It is a buffer if it is nothing else to anybody. */
static enum pare_code describe_params(struct pare_net *net, struct pare_err *err)
{
	struct holds *holds = pare_calloc((size_t)net->n_values + 1, sizeof *holds);
	bool *found = pare_calloc((size_t)net->n_params + 1, sizeof *found);
	enum pare_code code = holds != NULL && found != NULL ? PARE_OK : pare_err_nomem(err, (size_t)net->n_values * sizeof *holds);

	for (int32_t v = 0; v < net->n_values && code == PARE_OK; v++)
		holds[v] = (struct holds){net->values[v].param, TURN_NONE};
	for (int i = 0; i < net->n_nodes && code == PARE_OK; i++) {
		const struct pare_net_node *n = &net->nodes[i];

		for (int k = 0; k < n->node->n_in; k++) {
			int32_t v = n->node->in[k];
			const struct holds *h = &holds[v < 0 ? 0 : v];
			struct pare_param_info *p = &net->params[v < 0 || h->param < 0 ? 0 : h->param];

			if (v < 0 || h->param < 0 || !pare_net_is_data(net, n, k))
				continue;
			if (hands_on(n)) {
				if (k == 0 && n->node->out[0] >= 0)
					holds[n->node->out[0]] = handed_on(net, i, *h);
				continue;
			}
			p->prunable |= p->n_dims >= 2 && pare_op_has(n->op->weight_in, k);
			p->buffer = pare_op_has(n->op->buffer_in, k) && (p->buffer || !found[h->param]);
			if (!found[h->param])
				p->out_axis = axis_of_param(net, n, k, h);
			if (!found[h->param] && h->turned != TURN_NONE) {
				p->node = n->index;
				p->node_name = n->node->name;
			}
			found[h->param] = true;
		}
	}
	pare_free(holds);
	pare_free(found);
	return code;
}

/* In the order of the model's nodes, so that every net of a model has the same slab, whatever was fused. */
static enum pare_code plan_params(struct pare_net *net, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;

	net->params = pare_arena_array(&net->arena, (size_t)g->n_inits + 1, sizeof *net->params);
	if (net->params == NULL)
		return pare_err_nomem(err, 0);
	for (int i = 0; i < net->n_steps; i++)
		for (int k = 0; k < net->steps[i].node->n_in; k++)
			if (pare_net_is_data(net, &net->steps[i], k))
				add_param(net, net->steps[i].node->in[k], net->steps[i].index);
	for (int i = 0; i < g->n_outputs; i++)
		if (net->values[net->outputs[i]].dtype == PARE_DT_FLOAT)
			add_param(net, net->outputs[i], -1);
	return PARE_OK;
}

static void join_readers(struct pare_net_value *to, int32_t last_read, int32_t first_kept)
{
	to->last_read = last_read > to->last_read ? last_read : to->last_read;
	to->first_kept = first_kept < to->first_kept ? first_kept : to->first_kept;
}

static void note_readers(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;

	for (int32_t i = 0; i < net->n_values; i++) {
		net->values[i].last_read = -1;
		net->values[i].first_kept = INT32_MAX;
	}
	for (int i = 0; i < net->n_nodes; i++) {
		const struct pare_net_node *n = &net->nodes[i];

		for (int k = 0; k < n->node->n_in; k++)
			if (n->node->in[k] >= 0)
				join_readers(&net->values[n->node->in[k]], i, net->opt.training && pare_op_has(n->op->grad_uses_in, k) ? i : INT32_MAX);
		for (int k = 0; k < n->node->n_out; k++)
			if (n->node->out[k] >= 0 && net->opt.training && pare_op_has(n->op->grad_uses_out, k))
				join_readers(&net->values[n->node->out[k]], -1, i);
	}
	for (int i = 0; i < g->n_outputs; i++)
		join_readers(&net->values[net->outputs[i]], net->n_nodes, INT32_MAX);
}

/* May node n write its output over the memory of root r? Everybody who reads that must be through. */
static bool may_overwrite(const struct pare_net *net, const struct pare_net_node *n, int32_t r)
{
	const struct pare_net_value *v = &net->values[r];
	int32_t i = (int32_t)(n - net->nodes);

	if (v->place != PARE_PLACE_SHARD || v->input || (net->opt.training && (n->op->grad_uses_in & PARE_BIT(0))))
		return false;
	return v->last_read <= i && v->first_kept >= i;
}

static void share_memory(struct pare_net *net, const struct pare_net_node *n, int k, struct pare_net_value *out)
{
	int32_t in = k == 0 && n->node->n_in > 0 ? n->node->in[0] : -1;
	int32_t r = in >= 0 ? net->values[in].root : -1;

	if (r < 0)
		return;
	if (n->view)
		out->grad_root = net->values[in].grad_root;
	else if (!n->op->inplace || !pare_shape_same(&net->values[in].shape, &out->shape) || !may_overwrite(net, n, r))
		return;
	out->root = r;
	join_readers(&net->values[r], out->last_read, out->first_kept);
}

/* Integers that are computed with, as floats. */
static enum pare_code carry_integers(const char *name, const int64_t *v, size_t n, float *out, struct pare_err *err)
{
	char shown[PARE_NAME_SHOWN];

	for (size_t i = 0; i < n; i++) {
		out[i] = (float)v[i];
		if ((double)out[i] != (double)v[i])
			return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "element %zu of \"%s\" is %lld; integers are computed up to 2^24", i,
			    pare_name_shown(name, shown), (long long)v[i]);
	}
	return PARE_OK;
}

static enum pare_code read_integers(const struct pare_tensor *t, float *out, struct pare_err *err)
{
	int64_t *v = pare_calloc(t->n_elems + 1, sizeof *v);
	enum pare_code code = v != NULL ? pare_tensor_read_i64(t, v, err) : pare_err_nomem(err, t->n_elems * sizeof *v);

	if (code == PARE_OK)
		code = carry_integers(t->name, v, t->n_elems, out, err);
	pare_free(v);
	return code;
}

/* Where constants stand: what infer knows already, or memory for what the constant nodes will compute. */
static enum pare_code place_constant(struct pare_net *net, int32_t value, struct pare_err *err)
{
	struct pare_net_value *v = &net->values[value];
	const struct pare_tensor *t = init_of(net, value);
	size_t n = pare_shape_elems(&v->shape);

	v->place = PARE_PLACE_CONST;
	v->fixed = pare_arena_array(&net->arena, n + 1, sizeof *v->fixed);
	if (v->fixed == NULL)
		return pare_err_nomem(err, n * sizeof *v->fixed);
	if (v->known.f32 != NULL)
		memcpy(v->fixed, v->known.f32, n * sizeof *v->fixed);
	else if (v->known.i64 != NULL)
		return carry_integers(net->model->graph.values[value].name, v->known.i64, n, v->fixed, err);
	else if (t != NULL)
		return v->smooth ? pare_tensor_read_f32(t, v->fixed, err) : read_integers(t, v->fixed, err);
	return PARE_OK;
}

/* What a node writes: over its input's memory where it may, or memory of its own. */
static enum pare_code place_output(struct pare_net *net, const struct pare_net_node *n, int k, struct pare_err *err)
{
	struct pare_net_value *v = n->node->out[k] >= 0 ? &net->values[n->node->out[k]] : NULL;

	if (v == NULL || v->place == PARE_PLACE_CONST)
		return PARE_OK;
	if (n->constant && !n->view)
		return place_constant(net, n->node->out[k], err);
	v->place = PARE_PLACE_SHARD;
	share_memory(net, n, k, v);
	return PARE_OK;
}

static enum pare_code place_values(struct pare_net *net, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;
	enum pare_code code = PARE_OK;

	for (int i = 0; i < g->n_inputs; i++)
		net->values[net->inputs[i]].place = PARE_PLACE_SHARD;
	note_readers(net);
	for (int32_t i = 0; i < g->n_values && code == PARE_OK; i++) {
		const struct pare_net_value *v = &net->values[i];

		if (v->live && v->constant && (g->values[i].init != NULL || pare_net_is_known(&v->known)))
			code = place_constant(net, i, err);
	}
	for (int i = 0; i < net->n_nodes; i++)
		for (int k = 0; k < net->nodes[i].node->n_out && code == PARE_OK; k++)
			code = place_output(net, &net->nodes[i], k, err);
	return code;
}

static void live_at(struct pare_slot *s, int32_t time)
{
	s->first = s->first > time ? time : s->first;
	s->last = s->last < time ? time : s->last;
}

/* By the clock of pare_net_backward_time. */
static void slot_lifetimes(const struct pare_net *net, const int32_t *slot_of, struct pare_slot *slots)
{
	const struct pare_graph *g = &net->model->graph;

	for (int i = 0; i < net->n_nodes; i++) {
		const struct pare_node *node = net->nodes[i].node;

		for (int k = 0; k < node->n_in + node->n_out; k++) {
			int32_t v = k < node->n_in ? node->in[k] : node->out[k - node->n_in];
			int32_t s = v >= 0 ? slot_of[net->values[v].root] : -1;

			if (s < 0)
				continue;
			live_at(&slots[s], i);
			if (pare_net_backward_reads(&net->nodes[i], k))
				live_at(&slots[s], pare_net_backward_time(net, i));
		}
	}
	for (int i = 0; i < g->n_outputs; i++)
		if (slot_of[net->values[net->outputs[i]].root] >= 0)
			live_at(&slots[slot_of[net->values[net->outputs[i]].root]], pare_net_backward_time(net, -1));
	for (int32_t i = 0; i < net->n_values; i++)
		if (slot_of[i] >= 0 && (net->values[i].input || (net->opt.training && net->opt.plain))) {
			live_at(&slots[slot_of[i]], -1);
			live_at(&slots[slot_of[i]], pare_net_backward_time(net, -1));
		}
}

enum pare_code pare_net_place(struct pare_net *net, struct pare_slot *grads, int32_t n_grads, struct pare_err *err)
{
	size_t n_values = (size_t)net->n_values, n_slots = n_values + (size_t)n_grads;
	int32_t *slot_of = pare_arena_array(&net->arena, n_values + 1, sizeof *slot_of);
	int32_t *order = pare_arena_array(&net->arena, 2 * n_slots + 1, sizeof *order);
	struct pare_slot *slots = pare_arena_array(&net->arena, 2 * n_slots + 1, sizeof *slots);
	size_t total;
	int32_t n = 0;

	if (slot_of == NULL || order == NULL || slots == NULL)
		return pare_err_nomem(err, 0);
	for (int32_t i = 0; i < net->n_values; i++) {
		slot_of[i] = -1;
		if (net->values[i].place != PARE_PLACE_SHARD || net->values[i].root != i)
			continue;
		slots[n] = (struct pare_slot){.n_floats = pare_net_value_elems(net, i, net->pass_rows), .first = INT32_MAX, .last = -1};
		slot_of[i] = n++;
	}
	slot_lifetimes(net, slot_of, slots);
	for (int32_t i = 0; i < n_grads; i++)
		slots[n + i] = grads[i];
	total = pare_slots_place(slots, n + n_grads, order, slots + n + n_grads);
	for (int32_t i = 0; i < n_grads; i++)
		grads[i].offset = net->shard_len + slots[n + i].offset;
	for (int32_t i = 0; i < net->n_values; i++) {
		struct pare_net_value *v = &net->values[i];

		if (v->place != PARE_PLACE_SHARD)
			continue;
		if (slot_of[v->root] >= 0)
			v->offset = net->shard_len + slots[slot_of[v->root]].offset;
		else
			v->place = PARE_PLACE_NONE;
	}
	net->shard_len += total;
	return PARE_OK;
}

/* Views of parameters and constants stand where those do. */
static void follow_roots(struct pare_net *net)
{
	for (int32_t i = 0; i < net->n_values; i++) {
		struct pare_net_value *v = &net->values[i];
		const struct pare_net_value *r = &net->values[v->root];

		if (v->root != i && r->place != PARE_PLACE_SHARD) {
			v->place = r->place;
			v->offset = r->offset;
			v->fixed = r->fixed;
		}
	}
}

/* Only what stands before the first pass, and stays, can be prepared. */
static bool can_prepare(const struct pare_net *net, const struct pare_net_node *n)
{
	if (net->opt.training || net->opt.plain || n->op->prepared == NULL)
		return false;
	for (int k = 0; k < n->node->n_in; k++)
		if (n->node->in[k] >= 0 && pare_op_has(n->op->prepare_in, k) && net->values[n->node->in[k]].place == PARE_PLACE_SHARD)
			return false;
	return true;
}

enum pare_code pare_net_run_shapes(struct pare_net *net, const struct pare_net_node *n, struct pare_run *out, struct pare_err *err)
{
	size_t n_in = (size_t)n->node->n_in, n_out = (size_t)n->node->n_out;
	const struct pare_shape **view = pare_arena_array(&net->arena, n_in + n_out + 1, sizeof *view);
	struct pare_shape *shapes = pare_arena_array(&net->arena, n_in + n_out + 1, sizeof *shapes);

	if (view == NULL || shapes == NULL)
		return pare_err_nomem(err, 0);
	for (size_t k = 0; k < n_in + n_out; k++) {
		int32_t v = k < n_in ? n->node->in[k] : n->node->out[k - n_in];

		if (v < 0)
			continue;
		pare_net_resolve(net, v, net->pass_rows, &shapes[k]);
		view[k] = &shapes[k];
	}
	*out = (struct pare_run){.args = n->args, .n_in = n->node->n_in, .n_out = n->node->n_out, .in_shape = view, .out_shape = view + n_in, .last = n->last};
	return PARE_OK;
}

/* Scratch is shared by all nodes of a shard, state is each node's own. */
static enum pare_code place_work_memory(struct pare_net *net, struct pare_err *err)
{
	size_t scratch = 0;

	for (int i = 0; i < net->n_nodes; i++) {
		struct pare_net_node *n = &net->nodes[i];
		struct pare_run r;
		enum pare_code code = pare_net_run_shapes(net, n, &r, err);
		size_t size;

		if (code != PARE_OK)
			return code;
		size = n->op->scratch != NULL ? n->op->scratch(&r) : 0;
		scratch = size > scratch ? size : scratch;
		if (can_prepare(net, n)) {
			n->prepared_offset = net->n_prepared;
			n->n_prepared = pare_net_align(n->op->prepared(&r));
			net->n_prepared += n->n_prepared;
		}
		n->state_offset = net->shard_len;
		if (net->opt.training && n->op->state != NULL)
			net->shard_len += pare_net_align(n->op->state(&r));
	}
	net->scratch_offset = net->shard_len;
	net->shard_len += pare_net_align(scratch);
	return PARE_OK;
}

static void count_macs(struct pare_net *net)
{
	for (int i = 0; i < net->n_nodes; i++) {
		struct pare_net_node *n = &net->nodes[i];
		struct pare_shape in[4], out;
		const struct pare_shape *pin[4] = {NULL}, *pout = &out;
		struct pare_node_view view = {.args = n->args, .n_in = n->node->n_in < 4 ? n->node->n_in : 4, .n_out = 1, .in = pin, .out = &pout};

		if (n->op->macs == NULL)
			continue;
		for (int k = 0; k < view.n_in; k++)
			if (n->node->in[k] >= 0) {
				pare_shape_resolve(&net->values[n->node->in[k]].shape, 1, &in[k]);
				pin[k] = &in[k];
			}
		if (n->node->out[0] >= 0)
			pare_shape_resolve(&net->values[n->node->out[0]].shape, 1, &out);
		else
			pout = NULL;
		n->macs = n->op->macs(&view);
	}
}

/* One number of elements per row, and nothing that is not computed for these rows. */
static bool goes_by_rows(const struct pare_net *net, int32_t value)
{
	const struct pare_net_value *v = &net->values[value];

	return v->shape.batch == PARE_BIT(0) && v->shape.dims[0] == 1 && (v->place == PARE_PLACE_SHARD || v->input);
}

/* In inference a few images at a time go through all of a convolutional net, so that what one node writes is still in the
 * cache when the next one reads it; a batch of 64 does not fit. It also takes so much less memory. */
static enum pare_code plan_passes(struct pare_net *net, bool rows_apart, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;
	size_t most = 1, n_ends = (size_t)(g->n_inputs + g->n_outputs);
	int64_t rows;
	bool images = false;

	net->pass_rows = net->shard_rows;
	for (int i = 0; i < net->n_nodes; i++)
		images |= net->nodes[i].last;
	for (size_t i = 0; i < n_ends; i++)
		images &= goes_by_rows(net, i < (size_t)g->n_inputs ? net->inputs[i] : net->outputs[i - (size_t)g->n_inputs]);
	for (int32_t i = 0; i < net->n_values; i++)
		if (net->values[i].place == PARE_PLACE_SHARD && pare_net_value_elems(net, i, 1) > most)
			most = pare_net_value_elems(net, i, 1);
	rows = (int64_t)(PASS_FLOATS / most);
	rows = rows > PASS_MIN ? rows : PASS_MIN;
	if (net->opt.training || !images || !rows_apart || rows >= net->shard_rows)
		return PARE_OK;
	net->pass_rows = rows;
	net->stages = pare_arena_array(&net->arena, n_ends + 1, sizeof *net->stages);
	return net->stages != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static void place_stages(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;

	for (int i = 0; i < g->n_inputs + g->n_outputs; i++) {
		net->stages[i] = net->shard_len;
		net->shard_len += pare_net_align(pare_net_value_elems(net, i < g->n_inputs ? net->inputs[i] : net->outputs[i - g->n_inputs], net->shard_rows));
	}
}

enum pare_code pare_net_plan(struct pare_net *net, struct pare_err *err)
{
	enum pare_code code = plan_params(net, err);
	bool rows_apart;

	if (code == PARE_OK)
		code = place_values(net, err);
	if (code != PARE_OK)
		return code;
	follow_roots(net);
	code = describe_params(net, err);
	if (code != PARE_OK)
		return code;
	count_macs(net);
	rows_apart = pare_net_shardable(net);
	net->n_shards = rows_apart ? net->opt.n_threads : 1;
	net->shard_rows = (net->opt.max_batch + net->n_shards - 1) / net->n_shards;
	code = plan_passes(net, rows_apart, err);
	if (code == PARE_OK && net->opt.training)
		code = pare_net_plan_grads(net, err);
	else if (code == PARE_OK)
		code = pare_net_place(net, NULL, 0, err);
	if (code == PARE_OK)
		code = pare_net_plan_splits(net, err);
	if (code == PARE_OK)
		code = place_work_memory(net, err);
	if (code == PARE_OK && net->stages != NULL)
		place_stages(net);
	return code;
}
