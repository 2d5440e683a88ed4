/* Models whose inputs have time first and the batch behind it, [T, N, F], as PyTorch's recurrent layers are exported by default. Callers
 * give and take rows that lie together, so between them and the graph stand transpositions that the file does not have: one in front of
 * each such input, and one behind each output that does not have the batch first. Within the graph the batch may stand anywhere, as everywhere else. Rejected: rows at a stride,
 * which every reader and writer of inputs would have to know of; and a rewritten file, which would have to be written back.
 *
 * Which axis is the batch is told by the one size that is open, or by a recurrent layer (shape_infer.c). */
#include <string.h>

#include "core/graph/net_priv.h"

/* The batch is one bit of it, and not the first. */
static int batch_axis(const struct pare_shape *s)
{
	for (int i = 1; i < s->n_dims; i++)
		if (s->batch == PARE_BIT(i))
			return i;
	return 0;
}

/* A value like another with its batch first; for a node that turns one into the other. */
static int32_t new_end(struct pare_net *net, int32_t like)
{
	int32_t v = net->n_values++;
	struct pare_net_value *nv = &net->values[v];
	const struct pare_shape *s = &net->values[like].shape;
	int axis = batch_axis(s);

	*nv = net->values[like];
	nv->root = nv->grad_root = v;
	for (int i = 0; i < axis; i++)
		nv->shape.dims[i + 1] = s->dims[i];
	nv->shape.dims[0] = s->dims[axis];
	nv->shape.batch = PARE_BIT(0);
	return v;
}

/* perm of a transposition that takes axis 0 to `axis`, or back. */
static void set_perm(int64_t *perm, int n, int axis, bool back)
{
	for (int i = 0; i < n; i++)
		perm[i] = i;
	for (int i = 0; i <= axis; i++)
		perm[i] = back ? (i == 0 ? axis : i - 1) : (i == axis ? 0 : i + 1);
}

static enum pare_code turn(struct pare_net *net, struct pare_net_node *n, int32_t from, int32_t to, struct pare_err *err)
{
	int32_t *ends = pare_arena_array(&net->arena, 2, sizeof *ends);
	struct pare_node *node = pare_arena_alloc(&net->arena, sizeof *node);
	struct pare_attr *attr = pare_arena_alloc(&net->arena, sizeof *attr);
	int n_dims = net->values[from].shape.n_dims, axis = batch_axis(&net->values[from].shape);
	bool back = axis > 0;
	int64_t *perm = pare_arena_array(&net->arena, (size_t)n_dims, sizeof *perm);

	if (ends == NULL || node == NULL || attr == NULL || perm == NULL)
		return pare_err_nomem(err, 0);
	*n = (struct pare_net_node){.index = -1, .node = node, .where = "a batch that is not first"};
	ends[0] = from;
	ends[1] = to;
	set_perm(perm, n_dims, back ? axis : batch_axis(&net->values[to].shape), back);
	*attr = (struct pare_attr){.name = "perm", .type = PARE_ATTR_INTS, .n = (size_t)n_dims, .ints = perm};
	*node = (struct pare_node){.name = "", .op_type = "Transpose", .domain = "", .n_in = 1, .n_out = 1, .n_attrs = 1, .in = ends, .out = ends + 1, .attrs = attr};
	return pare_net_plan_node(net, n, err);
}

static bool any_turned(const struct pare_net *net)
{
	for (int i = 0; i < net->model->graph.n_inputs; i++)
		if (batch_axis(&net->values[net->inputs[i]].shape) > 0)
			return true;
	return false;
}

enum pare_code pare_net_turn_ends(struct pare_net *net, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;
	size_t n_ends = (size_t)(g->n_inputs + g->n_outputs), n_values = (size_t)net->n_values;
	struct pare_net_value *values;
	struct pare_net_node *nodes;
	enum pare_code code = PARE_OK;
	int n = 0;

	if (!any_turned(net))
		return PARE_OK;
	values = pare_arena_array(&net->arena, n_values + n_ends + 1, sizeof *values);
	nodes = pare_arena_array(&net->arena, (size_t)net->n_nodes + n_ends + 1, sizeof *nodes);
	if (values == NULL || nodes == NULL)
		return pare_err_nomem(err, 0);
	memcpy(values, net->values, n_values * sizeof *values);
	net->values = values;
	for (int i = 0; i < g->n_inputs && code == PARE_OK; i++) {
		int32_t inner = net->inputs[i];

		if (batch_axis(&values[inner].shape) == 0)
			continue;
		net->inputs[i] = new_end(net, inner);
		code = turn(net, &nodes[n++], net->inputs[i], inner, err);
	}
	memcpy(nodes + n, net->nodes, (size_t)net->n_nodes * sizeof *nodes);
	n += net->n_nodes;
	for (int i = 0; i < g->n_outputs && code == PARE_OK; i++) {
		int32_t inner = net->outputs[i];

		if (!values[inner].wanted || batch_axis(&values[inner].shape) == 0)
			continue;
		net->outputs[i] = new_end(net, inner);
		code = turn(net, &nodes[n++], inner, net->outputs[i], err);
	}
	net->nodes = nodes;
	net->n_nodes = n;
	return code;
}
