/* An embedding in front of a layer that can pick its rows itself (pare_op.picking): Gather, and the transposition behind it that exporters put in front
 * of recurrent layers, are left to the layer, which then knows what rows are the same. Who else reads the rows still gets them. */
#include <string.h>

#include "core/graph/net_priv.h"

/* The node that computes a value, if it is of that operator. */
static const struct pare_net_node *computed_by(const struct pare_net *net, int32_t value, const char *name)
{
	int i = value >= 0 ? pare_net_producer(net, value) : -1;

	return i >= 0 && strcmp(net->nodes[i].op->name, name) == 0 && !net->nodes[i].constant ? &net->nodes[i] : NULL;
}

/* Swaps the first two of three axes. */
static bool is_turn(const struct pare_node *n)
{
	const struct pare_attr *perm = pare_node_attr(n, "perm");

	return perm != NULL && perm->n == 3 && perm->ints[0] == 1 && perm->ints[1] == 0;
}

/* Rows of a matrix of floats by an index of two axes. */
static bool is_embedding(const struct pare_net *net, const struct pare_node *n)
{
	const struct pare_net_value *table = &net->values[n->in[0]], *index = &net->values[n->in[1]];

	return pare_node_int(n, "axis", 0) == 0 && table->shape.n_dims == 2 && table->shape.batch == 0 && table->dtype == PARE_DT_FLOAT &&
	       table->shape.dims[0] > 0 && index->shape.n_dims == 2;
}

static enum pare_code take_over(struct pare_net *net, int i, const struct pare_node *gather, bool turned, struct pare_err *err)
{
	struct pare_net_node n = net->nodes[i];
	const struct pare_node *was = n.node;
	size_t most = (size_t)n.op->pick_table + 1;
	struct pare_node *node = pare_arena_alloc(&net->arena, sizeof *node);
	int32_t *in = pare_arena_array(&net->arena, most, sizeof *in);
	bool *accumulate = pare_arena_array(&net->arena, most, sizeof *accumulate);
	void *args = pare_arena_alloc(&net->arena, n.op->args_size); /* its own: what net_view.h shows keeps the other */

	if (node == NULL || in == NULL || accumulate == NULL || args == NULL)
		return pare_err_nomem(err, 0);
	for (size_t k = 0; k < most; k++)
		in[k] = k < (size_t)was->n_in ? was->in[k] : -1;
	in[0] = gather->in[1];
	in[n.op->pick_table] = gather->in[0];
	*node = *was;
	node->in = in;
	node->n_in = (int)most;
	memcpy(args, n.args, n.op->args_size);
	n.op->pick(args, turned);
	n.args = args;
	n.op = n.op->picking;
	n.node = node;
	n.accumulate = accumulate;
	pare_net_put(net, i, &n);
	pare_net_drop_unread(net, was);
	return PARE_OK;
}

enum pare_code pare_net_join_picks(struct pare_net *net, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < net->n_nodes && code == PARE_OK; i++) {
		const struct pare_net_node *n = &net->nodes[i], *turn, *gather;

		if (n->node == NULL || n->op->picking == NULL || n->constant)
			continue;
		turn = computed_by(net, n->node->in[0], "Transpose");
		if (turn != NULL && !is_turn(turn->node))
			continue;
		gather = computed_by(net, turn != NULL ? turn->node->in[0] : n->node->in[0], "Gather");
		if (gather != NULL && is_embedding(net, gather->node))
			code = take_over(net, i, gather->node, turn != NULL, err);
	}
	return code;
}
