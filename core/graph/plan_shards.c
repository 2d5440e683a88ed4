/* May a batch be cut into shards? Only if every row goes its own way through every node.
 *
 * Most of it is read off the ties that operators declare for structured pruning: batch axis in, SAME batch axis out. Which
 * axis that is may change on the way (recurrent layers and attention want it second), and an axis may hold more than the
 * batch: its index is (o * rows + row) * inner + i, for o in [0, outer). What must agree among the operands of a node is
 * outer: two axes of 4 N elements, one with the rows slowest and one with them fastest, look the same and are not.
 *
 * A view keeps the row-major order, so what is slower than the batch before is slower than it after: the product of outer
 * and of the dimensions before the axis stays what it was. That covers the reshapes of attention, [T, N, E] to [T, N H, d]
 * to [T N, E], which no tie describes. Outputs of the graph must have the batch first, row by row. A graph where rows meet
 * (softmax over the batch, a reshape that folds it away, x^T x) runs as one shard, whatever the options say. */
#include "core/graph/net_priv.h"

static bool has_batch(const struct pare_net *net, int32_t value)
{
	return value >= 0 && net->values[value].shape.batch != 0;
}

static int batch_axis(const struct pare_net_value *v)
{
	return __builtin_ctz(v->shape.batch);
}

/* An output's batch axis holds the rows with that outer; false if that cannot be, or contradicts what is known. */
static bool set_outer(struct pare_net_value *v, int64_t outer)
{
	bool possible = outer > 0 && (v->shape.batch & (v->shape.batch - 1)) == 0 && v->shape.dims[batch_axis(v)] % outer == 0;

	if (!possible || (v->outer != 0 && v->outer != outer))
		return false;
	v->outer = outer;
	return true;
}

static bool view_apart(struct pare_net *net, const struct pare_net_node *n)
{
	const struct pare_net_value *x = &net->values[n->node->in[0]];
	struct pare_net_value *y = &net->values[n->node->out[0]];
	int64_t slower, before;

	if (!has_batch(net, n->node->in[0]))
		return true;
	if (y->shape.batch == 0)
		return false;
	slower = x->outer * pare_shape_product(&x->shape, 0, batch_axis(x));
	before = pare_shape_product(&y->shape, 0, batch_axis(y));
	return before > 0 && slower % before == 0 && set_outer(y, slower / before);
}

/* How rows of the batch, which is that axis of input k, reach the outputs by one tie. */
enum rows { ROWS_UNTOUCHED, ROWS_APART, ROWS_MEET };

static enum rows rows_by_tie(struct pare_net *net, const struct pare_net_node *n, const struct pare_tie *e, int k, int axis)
{
	bool is_a = e->a == k && e->a_axis == axis, is_b = e->b == k && e->b_axis == axis;
	int other = (is_a ? e->b : e->a) - PARE_OUT(0), other_axis = is_a ? e->b_axis : e->a_axis;
	int64_t outer = net->values[n->node->in[k]].outer;
	struct pare_net_value *y;

	if (!is_a && !is_b)
		return ROWS_UNTOUCHED;
	if (other < 0)
		return ROWS_MEET;
	y = other < n->node->n_out && n->node->out[other] >= 0 ? &net->values[n->node->out[other]] : NULL;
	if (y != NULL && y->shape.batch != PARE_BIT(other_axis))
		return e->kind == PARE_TIE_OPAQUE ? ROWS_UNTOUCHED : ROWS_MEET;
	if (e->kind == PARE_TIE_SPREAD)
		outer = is_a ? outer * e->outer : outer % e->outer == 0 ? outer / e->outer : 0;
	else if (e->kind != PARE_TIE_SAME)
		return ROWS_MEET;
	return y == NULL || set_outer(y, outer) ? ROWS_APART : ROWS_MEET; /* an output that nobody wants does no harm */
}

/* Every batched input by its ties. */
static bool ties_apart(struct pare_net *net, const struct pare_net_node *n)
{
	struct pare_ties t;

	pare_net_ties(net, n, &t);
	if (t.full)
		return false;
	for (int k = 0; k < n->node->n_in; k++) {
		bool apart = false;

		if (!has_batch(net, n->node->in[k]))
			continue;
		for (int i = 0; i < t.n; i++) {
			enum rows rows = rows_by_tie(net, n, &t.tie[i], k, batch_axis(&net->values[n->node->in[k]]));

			if (rows == ROWS_MEET)
				return false;
			apart |= rows == ROWS_APART;
		}
		if (!apart)
			return false;
	}
	return true;
}

static bool node_apart(struct pare_net *net, const struct pare_net_node *n)
{
	if (n->op->counts_rows && has_batch(net, n->node->out[0]))
		return false;
	if (!(n->op->view ? view_apart(net, n) : ties_apart(net, n)))
		return false;
	/* batch axes that no input has are filled with the same for every row */
	for (int k = 0; k < n->node->n_out; k++)
		if (has_batch(net, n->node->out[k]) && net->values[n->node->out[k]].outer == 0 && !set_outer(&net->values[n->node->out[k]], 1))
			return false;
	return true;
}

bool pare_net_shardable(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;

	for (int i = 0; i < g->n_inputs; i++)
		net->values[net->inputs[i]].outer = 1;
	for (int i = 0; i < net->n_nodes; i++)
		if (!node_apart(net, &net->nodes[i]))
			return false;
	for (int i = 0; i < g->n_outputs; i++) {
		const struct pare_net_value *v = &net->values[net->outputs[i]];

		if (v->shape.batch != 0 && (v->shape.batch != PARE_BIT(0) || v->outer > 1))
			return false;
	}
	return true;
}
