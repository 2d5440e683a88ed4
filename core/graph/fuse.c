/* Chains that run as one node: what follows a convolution, a product or a norm element by element (a norm by fixed statistics, the
 * sum with a shortcut or a row, Relu, Clip) costs a pass over memory each, and nearly nothing while the result is in a register.
 *
 * Rows tell what they would do to one operand as a step (pare_op.step), or what steps they can take over (pare_op.absorb);
 * nothing here knows an operator. A node absorbs its consumer if that is the only one to read its output and nobody outside
 * sees it. It then stands where the consumer stood, so that other operands are there already, and has the step's operands
 * behind its own: PARE_STEP_OPERANDS places from the row's max_in on. */
#include <string.h>

#include "core/graph/net_priv.h"

/* Does nothing but output 0 of n exist? */
static bool has_one_output(const struct pare_net_node *n)
{
	for (int k = 1; k < n->node->n_out; k++)
		if (n->node->out[k] >= 0)
			return false;
	return n->node->n_out > 0 && n->node->out[0] >= 0;
}

static bool step_of(const struct pare_net *net, const struct pare_net_node *n, int operand, struct pare_step *step)
{
	const struct pare_shape *in[PARE_STEP_MAX_IN] = {NULL}, *out = &net->values[n->node->out[0]].shape;
	struct pare_node_view view = {.args = n->args, .n_in = n->node->n_in, .n_out = 1, .in = in, .out = &out};

	if (n->op->step == NULL || n->constant || n->node->n_in > PARE_STEP_MAX_IN || !has_one_output(n))
		return false;
	for (int k = 0; k < n->node->n_in; k++)
		in[k] = n->node->in[k] >= 0 ? &net->values[n->node->in[k]].shape : NULL;
	*step = (struct pare_step){.kind = PARE_STEP_NONE};
	return n->op->step(&view, operand, step);
}

/* Operands of n, with room for those of steps; absent ones are -1. */
static enum pare_code widen(struct pare_net *net, struct pare_net_node *n, int32_t **in, struct pare_err *err)
{
	size_t most = (size_t)n->op->max_in + PARE_STEP_OPERANDS;
	struct pare_node *node = pare_arena_alloc(&net->arena, sizeof *node);
	int32_t *all = pare_arena_array(&net->arena, most, sizeof *all);
	bool *accumulate = pare_arena_array(&net->arena, most, sizeof *accumulate);

	if (node == NULL || all == NULL || accumulate == NULL)
		return pare_err_nomem(err, 0);
	for (size_t k = 0; k < most; k++)
		all[k] = k < (size_t)n->node->n_in ? n->node->in[k] : -1;
	*node = *n->node;
	node->in = *in = all;
	node->n_in = (int)most;
	n->node = node;
	n->accumulate = accumulate;
	return PARE_OK;
}

/* Node i takes over node j, which becomes the one that runs. */
static enum pare_code merge(struct pare_net *net, int i, int j, const struct pare_step *step, struct pare_err *err)
{
	struct pare_net_node n = net->nodes[i];
	const struct pare_node *then = net->nodes[j].node;
	struct pare_node *node;
	int32_t *in = NULL;
	enum pare_code code = widen(net, &n, &in, err);

	if (code != PARE_OK)
		return code;
	for (int k = 0; k < step->n_operands; k++)
		in[n.op->max_in + step->place + k] = then->in[step->first_operand + k];
	node = (struct pare_node *)n.node;
	node->out = then->out;
	node->n_out = 1;
	pare_net_remove(net, i);
	pare_net_put(net, j, &n);
	return PARE_OK;
}

enum pare_code pare_net_fuse(struct pare_net *net, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < net->n_nodes && code == PARE_OK; i++) {
		const struct pare_net_node *n = &net->nodes[i];
		struct pare_step step;
		int operand = 0, j;

		if (n->node == NULL || n->op->absorb == NULL || n->constant || n->view || !has_one_output(n) || (n->op->layout != NULL && !pare_net_could_be_last(net, n)))
			continue;
		j = pare_net_only_reader(net, n->node->out[0], &operand);
		if (j < 0 || !step_of(net, &net->nodes[j], operand, &step) || !n->op->absorb(n->args, &step, net->opt.training))
			continue;
		code = merge(net, i, j, &step, err);
	}
	return code;
}
