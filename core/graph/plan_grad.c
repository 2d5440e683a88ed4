/* Backward, planned: reverse-mode differentiation over the list of nodes, from last to first.
 *
 * A gradient exists only where a parameter hangs below (dL/d(input) is never computed). When a value has several
 * consumers their contributions add up in falling node order: the first writes, the rest accumulate, which is decided here
 * and costs no clearing pass. A view shares its origin's gradient. An element-wise operator writes its input's gradient
 * over its output's.
 *
 * The caller's gradient of an output is the gradient itself where nothing else can add to it (the usual last layer);
 * otherwise it is copied first, so that what the caller wrote is never changed, and an output that nobody fills stays 0. */
#include <string.h>

#include "core/graph/net_priv.h"

/* While planning, per value that is a grad_root. */
struct grad {
	bool has;     /* a contribution exists so far */
	bool seed;    /* is the caller's buffer itself */
	int32_t slot; /* -1: none */
};

static void mark_needs(struct pare_net *net)
{
	for (int i = 0; i < net->n_params; i++)
		net->values[net->params[i].value].needs_grad = !net->params[i].buffer;
	for (int i = 0; i < net->n_nodes; i++) {
		const struct pare_net_node *n = &net->nodes[i];

		for (int k = 0; k < n->node->n_in; k++)
			if (pare_net_has_grad(net, n, k) && net->values[n->node->in[k]].needs_grad)
				for (int j = 0; j < n->node->n_out; j++)
					if (n->node->out[j] >= 0)
						net->values[n->node->out[j]].needs_grad |= net->values[n->node->out[j]].smooth;
	}
}

/* By gradient group, who gives gradients to it: outputs of the graph, and nodes other than views that read a value of it. */
static int *count_uses(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;
	int *uses = pare_arena_array(&net->arena, (size_t)net->n_values + 1, sizeof *uses);

	for (int i = 0; i < g->n_outputs && uses != NULL; i++)
		uses[net->values[net->outputs[i]].grad_root]++;
	for (int i = 0; i < net->n_nodes && uses != NULL; i++)
		for (int k = 0; !net->nodes[i].view && k < net->nodes[i].node->n_in; k++)
			if (pare_net_has_grad(net, &net->nodes[i], k))
				uses[net->values[net->nodes[i].node->in[k]].grad_root]++;
	return uses;
}

static enum pare_code place_seeds(struct pare_net *net, struct grad *grads, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;
	const int *uses = count_uses(net);

	net->seeds = pare_arena_array(&net->arena, (size_t)g->n_outputs + 1, sizeof *net->seeds);
	if (net->seeds == NULL || uses == NULL)
		return pare_err_nomem(err, 0);
	for (int i = 0; i < g->n_outputs; i++) {
		struct pare_net_value *v = &net->values[net->outputs[i]];
		struct grad *gr = &grads[v->grad_root];
		struct pare_net_seed *s = &net->seeds[i];
		bool shared = v->param >= 0 || uses[v->grad_root] > 1;

		s->offset = net->shard_len;
		net->shard_len += pare_net_align(pare_net_value_elems(net, net->outputs[i], net->shard_rows));
		if (!v->needs_grad)
			continue;
		shared |= net->values[v->grad_root].param >= 0;
		s->copy = shared;
		s->first = !gr->has;
		gr->has = true;
		gr->seed = !shared;
		if (!shared)
			net->values[v->grad_root].grad_offset = s->offset;
	}
	return PARE_OK;
}

struct planner {
	struct grad *grads;
	struct pare_slot *slots;
	int32_t n_slots;
};

/* The slot of a gradient that lives in shard memory; made on its first contribution. */
static void touch(struct planner *p, const struct pare_net *net, int32_t root, int32_t time)
{
	struct grad *g = &p->grads[root];

	if (net->values[root].param >= 0 || g->seed)
		return;
	if (g->slot < 0) {
		g->slot = p->n_slots++;
		p->slots[g->slot] = (struct pare_slot){.n_floats = pare_net_value_elems(net, root, net->shard_rows), .first = time, .last = time};
	}
	if (p->slots[g->slot].last < time)
		p->slots[g->slot].last = time;
}

static void plan_input(struct planner *p, struct pare_net *net, struct pare_net_node *n, int k, int32_t out_root, int32_t time)
{
	int32_t root = net->values[n->node->in[k]].grad_root;
	struct grad *g = &p->grads[root], *out = &p->grads[out_root];
	bool fits = pare_net_value_elems(net, root, net->shard_rows) == pare_net_value_elems(net, out_root, net->shard_rows);

	n->accumulate[k] = g->has;
	if (k == 0 && n->op->inplace && !g->has && out->slot >= 0 && net->values[root].param < 0 && fits)
		g->slot = out->slot;
	g->has = true;
	touch(p, net, root, time);
}

static enum pare_code plan_node(struct planner *p, struct pare_net *net, struct pare_net_node *n, int32_t time, struct pare_err *err)
{
	int32_t out_root = -1;
	bool wanted = false;

	for (int k = 0; k < n->node->n_out; k++) {
		const struct pare_net_value *v = n->node->out[k] >= 0 ? &net->values[n->node->out[k]] : NULL;

		if (v == NULL || !v->needs_grad || !p->grads[v->grad_root].has)
			continue;
		out_root = out_root < 0 ? v->grad_root : out_root;
		touch(p, net, v->grad_root, time);
	}
	for (int k = 0; k < n->node->n_in; k++)
		if (pare_net_is_data(net, n, k) && pare_op_has(n->op->buffer_in, k) && net->values[n->node->in[k]].needs_grad)
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, n->where,
			    "operator %s is not supported for training with input %d computed, or trained elsewhere: running statistics have no gradient",
			    n->op->name, k);
	for (int k = 0; k < n->node->n_in; k++)
		wanted |= pare_net_has_grad(net, n, k) && net->values[n->node->in[k]].needs_grad;
	if (n->view || n->constant || out_root < 0 || !wanted)
		return PARE_OK;
	if (n->op->backward == NULL)
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, n->where, "operator %s is not supported for training: %s", n->op->name,
		    n->op->no_gradient);
	n->backward = true;
	for (int k = 0; k < n->node->n_in; k++)
		if (pare_net_has_grad(net, n, k) && net->values[n->node->in[k]].needs_grad)
			plan_input(p, net, n, k, out_root, time);
	return PARE_OK;
}

static void set_offsets(struct pare_net *net, const struct planner *p)
{
	for (int32_t i = 0; i < net->n_values; i++) {
		struct pare_net_value *v = &net->values[i];
		const struct grad *g = &p->grads[v->grad_root];

		v->grad_slot = -1;
		if (!v->needs_grad || !g->has)
			continue;
		if (net->values[v->grad_root].param >= 0) {
			v->grad_offset = net->values[v->grad_root].offset;
		} else if (g->seed) {
			v->grad_offset = net->values[v->grad_root].grad_offset;
		} else {
			v->grad_slot = g->slot;
			v->grad_offset = p->slots[g->slot].offset;
		}
	}
}

enum pare_code pare_net_plan_grads(struct pare_net *net, struct pare_err *err)
{
	size_t n_values = (size_t)net->n_values + 1;
	struct planner p = {.grads = pare_arena_array(&net->arena, n_values, sizeof *p.grads),
	    .slots = pare_arena_array(&net->arena, n_values, sizeof *p.slots)};
	enum pare_code code;

	if (p.grads == NULL || p.slots == NULL)
		return pare_err_nomem(err, 0);
	for (size_t i = 0; i < n_values; i++)
		p.grads[i].slot = -1;
	mark_needs(net);
	code = place_seeds(net, p.grads, err);
	for (int32_t i = 0; i < net->n_values; i++)
		if (p.grads[i].has)
			touch(&p, net, i, pare_net_backward_time(net, net->n_nodes));
	for (int i = net->n_nodes - 1; i >= 0 && code == PARE_OK; i--)
		code = plan_node(&p, net, &net->nodes[i], pare_net_backward_time(net, i), err);
	if (code == PARE_OK)
		code = pare_net_place(net, p.slots, p.n_slots, err);
	if (code == PARE_OK)
		set_offsets(net, &p);
	return code;
}
