/* A branch is found from its sum backwards: steps all of whose results are read within it, in one sweep, because steps are in
 * topological order. What ends the sweep at x is that the sum reads x, too. */
#include "core/prune/layers.h"

#include <string.h>

#include "core/base/nearest.h"
#include "core/graph/net_view.h"
#include "core/ops/op.h"

struct finder {
	const struct pare_net *net;
	const struct pare_graph *g;
	struct pare_arena *arena;
	const atomic_bool *cancel; /* may be NULL */
	int *uses;   /* by value: inputs of steps that it is, and outputs of the graph */
	int *inside; /* by value: of these, within the branch */
	int *maker;  /* by value: the step, -1 */
	bool *in;    /* by step: in the branch */
};

static bool own_param(const struct finder *f, const struct pare_node *n, int k)
{
	int32_t v = k < n->n_in ? n->in[k] : -1;

	return v >= 0 && pare_net_param_of(f->net, v) >= 0 && f->inside[v] == f->uses[v];
}

/* All parameters that the node reads are the branch's own, and there is one. */
static bool own_params(const struct finder *f, const struct pare_node *n)
{
	bool any = false;

	for (int k = 0; k < n->n_in; k++) {
		if (n->in[k] < 0 || pare_net_param_of(f->net, n->in[k]) < 0)
			continue;
		if (!own_param(f, n, k))
			return false;
		any = true;
	}
	return any;
}

/* Is the value zero when the branch's own parameters are? */
static bool vanishes(const struct finder *f, int32_t value)
{
	static const char *const passes[] = {"Dropout", "Identity", "Relu", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", NULL};
	static const char *const multiplies[] = {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", NULL};

	for (int at; value >= 0 && (at = f->maker[value]) >= 0 && f->in[at];) {
		struct pare_net_step s;

		pare_net_step_at(f->net, at, &s);
		if (pare_is_among(s.node->op_type, multiplies))
			return own_param(f, s.node, 1) && own_params(f, s.node);
		if (strcmp(s.node->op_type, "Mul") == 0)
			return own_param(f, s.node, 0) || own_param(f, s.node, 1);
		if (pare_is_among(s.node->op_type, passes))
			value = s.node->in[0];
		else if (strcmp(s.node->op_type, "Add") == 0 && (own_param(f, s.node, 0) || own_param(f, s.node, 1)))
			value = s.node->in[own_param(f, s.node, 0) ? 1 : 0];
		else
			return false;
	}
	return false;
}

static void sweep(struct finder *f, int sum, int32_t end)
{
	memset(f->inside, 0, ((size_t)f->g->n_values + 1) * sizeof *f->inside);
	memset(f->in, 0, (size_t)pare_net_n_steps(f->net) + 1);
	f->inside[end] = 1;
	for (int i = sum - 1; i >= 0; i--) {
		struct pare_net_step s;
		bool any = false, all = true;

		pare_net_step_at(f->net, i, &s);
		for (int k = 0; k < s.node->n_out; k++) {
			int32_t v = s.node->out[k];

			any |= v >= 0 && f->inside[v] > 0;
			all &= v < 0 || f->inside[v] == f->uses[v];
		}
		f->in[i] = any && all;
		for (int k = 0; k < s.node->n_in && f->in[i]; k++)
			f->inside[s.node->in[k] >= 0 ? s.node->in[k] : f->g->n_values]++;
	}
}

static bool weighs_anything(const struct finder *f)
{
	for (int p = 0; p < pare_net_n_params(f->net); p++) {
		const struct pare_param_info *info = pare_net_param(f->net, p);

		if (info->prunable && f->inside[info->value] > 0 && f->inside[info->value] == f->uses[info->value])
			return true;
	}
	return false;
}

static enum pare_code add(struct finder *f, const struct pare_net_step *sum, int at, int32_t kept, struct pare_branches *out, struct pare_err *err)
{
	struct pare_branch *b = &out->list[out->n];
	int32_t *nodes = pare_arena_array(f->arena, (size_t)at + 1, sizeof *nodes);
	int *params = pare_arena_array(f->arena, (size_t)pare_net_n_params(f->net) + 1, sizeof *params);

	if (nodes == NULL || params == NULL)
		return pare_err_nomem(err, 0);
	*b = (struct pare_branch){.sum = sum->node->out[0], .kept = kept, .nodes = nodes, .params = params};
	for (int i = 0; i < at; i++) {
		struct pare_net_step s;

		pare_net_step_at(f->net, i, &s);
		if (f->in[i])
			nodes[b->n_nodes++] = s.index;
	}
	nodes[b->n_nodes++] = sum->index;
	for (int p = 0; p < pare_net_n_params(f->net); p++) {
		int32_t v = pare_net_param(f->net, p)->value;

		if (f->inside[v] > 0 && f->inside[v] == f->uses[v] && pare_net_param(f->net, p)->n_dims > 0)
			params[b->n_params++] = p;
	}
	out->n++;
	return PARE_OK;
}

static bool plain_value(const struct finder *f, int32_t v, int32_t like)
{
	return v >= 0 && pare_net_param_of(f->net, v) < 0 && !pare_net_is_constant(f->net, v) && pare_shape_same(pare_net_shape_of(f->net, v), pare_net_shape_of(f->net, like));
}

/* One of the two sides is the other's beginning, or neither. */
static enum pare_code try_sum(struct finder *f, int at, struct pare_branches *out, struct pare_err *err)
{
	struct pare_net_step s;

	pare_net_step_at(f->net, at, &s);
	if (strcmp(s.node->op_type, "Add") != 0 || f->g->values[s.node->out[0]].is_output)
		return PARE_OK;
	for (int side = 0; side < 2; side++) {
		int32_t end = s.node->in[side], kept = s.node->in[1 - side];

		if (!plain_value(f, end, s.node->out[0]) || !plain_value(f, kept, s.node->out[0]) || f->uses[end] != 1)
			continue;
		sweep(f, at, end);
		if (f->inside[kept] > 0 && vanishes(f, end) && weighs_anything(f))
			return add(f, &s, at, kept, out, err);
	}
	return PARE_OK;
}

static enum pare_code find(struct finder *f, struct pare_branches *out, struct pare_err *err)
{
	size_t n = (size_t)f->g->n_values + 1, n_steps = (size_t)pare_net_n_steps(f->net) + 1;
	enum pare_code code = PARE_OK;

	f->uses = pare_calloc(n, sizeof *f->uses);
	f->inside = pare_calloc(n, sizeof *f->inside);
	f->maker = pare_calloc(n, sizeof *f->maker);
	f->in = pare_calloc(n_steps, sizeof *f->in);
	out->list = pare_arena_array(f->arena, n_steps, sizeof *out->list);
	if (f->uses == NULL || f->inside == NULL || f->maker == NULL || f->in == NULL || out->list == NULL)
		return pare_err_nomem(err, n * sizeof *f->uses);
	memset(f->maker, -1, n * sizeof *f->maker);
	for (int i = 0; i < f->g->n_outputs; i++)
		f->uses[f->g->outputs[i]]++;
	for (int i = 0; i < (int)n_steps - 1; i++) {
		struct pare_net_step s;

		pare_net_step_at(f->net, i, &s);
		for (int k = 0; k < s.node->n_in; k++)
			f->uses[s.node->in[k] >= 0 ? s.node->in[k] : f->g->n_values]++;
		for (int k = 0; k < s.node->n_out; k++)
			f->maker[s.node->out[k] >= 0 ? s.node->out[k] : f->g->n_values] = i;
	}
	for (int i = 0; i < (int)n_steps - 1 && code == PARE_OK; i++) {
		code = pare_err_canceled(err, f->cancel);
		if (code == PARE_OK)
			code = try_sum(f, i, out, err);
	}
	return code;
}

enum pare_code pare_branches_find(const struct pare_net *net, struct pare_arena *arena, const atomic_bool *cancel, struct pare_branches *out, struct pare_err *err)
{
	struct finder f = {.net = net, .g = &pare_net_model(net)->graph, .arena = arena, .cancel = cancel};
	enum pare_code code;

	*out = (struct pare_branches){.n = 0};
	code = find(&f, out, err);
	pare_free(f.uses);
	pare_free(f.inside);
	pare_free(f.maker);
	pare_free(f.in);
	return code;
}

bool pare_branch_gone(const struct pare_branch *b, const struct pare_net *net, const struct pare_cut *cut)
{
	for (int i = 0; i < b->n_params; i++) {
		const struct pare_param_info *p = pare_net_param(net, b->params[i]);
		const uint8_t *gone = pare_cut_axis(cut, p->value, 0);

		if (gone == NULL || memchr(gone, 0, (size_t)p->dims[0]) != NULL)
			return false;
	}
	return b->n_params > 0;
}
