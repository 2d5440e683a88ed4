/* What a graph computes of sizes, computed again for other sizes, in a net of its own that shares nothing with the real one but the model. Either
 * values get the shapes that they will have, and the nodes whose results are known at plan time, or of which only the shape is asked for, are planned
 * once more over them; or the rows get
 * other sizes where the file leaves them open, and all shapes are inferred again. */
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/graph/net_view.h"

/* Is all that the node makes known at plan time, or constant? */
static bool is_planned(const struct pare_net *net, const struct pare_node *n)
{
	for (int k = 0; k < n->n_out; k++) {
		const struct pare_net_value *v = n->out[k] >= 0 ? &net->values[n->out[k]] : NULL;

		if (v != NULL && !v->constant && !pare_net_is_known(&v->known))
			return false;
	}
	return true;
}

/* Does it read the elements of a constant of which some are gone? What those come to the graph does not say. */
static bool reads_less(const struct pare_net *net, const struct pare_net *again, const struct pare_node *n, const struct pare_op *op)
{
	for (int k = 0; k < n->n_in; k++) {
		int32_t v = n->in[k];

		if (v >= 0 && !pare_op_has(op->shape_in, k) && net->model->graph.values[v].init != NULL && !pare_shape_same(&net->values[v].shape, &again->values[v].shape))
			return true;
	}
	return false;
}

static void forget(struct pare_net *again, const struct pare_node *node)
{
	for (int k = 0; k < node->n_out; k++)
		if (node->out[k] >= 0)
			memset(&again->values[node->out[k]].known, 0, sizeof again->values[0].known);
}

static void plan_again(const struct pare_net *net, struct pare_net *again, int32_t i)
{
	const struct pare_node *node = &net->model->graph.nodes[i];
	const struct pare_op *op = pare_op_find(node->domain, node->op_type, node->opset > 0 ? node->opset : pare_model_opset(net->model, node->domain));
	struct pare_net_node n = {.index = i, .node = node};
	struct pare_err why;

	forget(again, node);
	if (op != NULL && !reads_less(net, again, node, op) && pare_net_plan_node(again, &n, &why) != PARE_OK)
		forget(again, node);
}

/* Is only the shape of what it makes asked for, which may be another now, as that of something that it reads is? */
static bool is_idle(const struct pare_net *net, const struct pare_net *again, const bool *runs, int32_t i)
{
	const struct pare_node *n = &net->model->graph.nodes[i];
	bool moved = false;

	for (int k = 0; k < n->n_in; k++)
		moved |= n->in[k] >= 0 && !pare_shape_same(&net->values[n->in[k]].shape, &again->values[n->in[k]].shape);
	return moved && !runs[i] && n->n_out == 1 && n->out[0] >= 0 && net->values[n->out[0]].dtype != PARE_DT_UNDEFINED; /* that: it was planned */
}

enum pare_code pare_net_refold(const struct pare_net *net, struct pare_shape *shapes, struct pare_arena *arena, struct pare_known *out, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;
	struct pare_net again = {.model = net->model, .opt = net->opt, .fixed_batch = net->fixed_batch, .n_values = g->n_values};
	bool *runs = pare_arena_array(arena, (size_t)g->n_nodes + 1, sizeof *runs);

	again.values = pare_arena_array(arena, (size_t)g->n_values + 1, sizeof *again.values);
	if (again.values == NULL || runs == NULL)
		return pare_err_nomem(err, 0);
	for (int i = 0; i < net->n_steps; i++)
		runs[net->steps[i].index] = true;
	memcpy(again.values, net->values, (size_t)g->n_values * sizeof *again.values);
	for (int32_t v = 0; v < g->n_values; v++)
		again.values[v].shape = shapes[v];
	again.arena = *arena; /* lent: results stay there */
	for (int32_t i = 0; i < g->n_nodes; i++)
		if (is_planned(net, &g->nodes[i])) {
			plan_again(net, &again, i);
		} else if (is_idle(net, &again, runs, i)) {
			plan_again(net, &again, i);
			shapes[g->nodes[i].out[0]] = again.values[g->nodes[i].out[0]].shape;
		}
	*arena = again.arena;
	for (int32_t v = 0; v < g->n_values; v++)
		out[v] = again.values[v].known;
	return PARE_OK;
}

/* --- open sizes */

#define N_WAYS 4

static int64_t other_size(int64_t size, int way)
{
	return way == 0 ? 2 * size : way == 1 && size % 2 == 0 ? size / 2 : way == 2 ? size + 1 : size - 1;
}

/* Rows as they are, but for the sizes that the file leaves open. */
static enum pare_code other_rows(int way, struct pare_model *m, struct pare_arena *arena, struct pare_err *err)
{
	struct pare_row_shape *rows = pare_arena_array(arena, (size_t)m->n_rows, sizeof *rows);

	if (rows == NULL)
		return pare_err_nomem(err, 0);
	memcpy(rows, m->rows, (size_t)m->n_rows * sizeof *rows);
	for (int i = 0; i < m->graph.n_inputs; i++) {
		struct pare_row_shape said;

		if (!pare_graph_row(&m->graph, i, &said))
			continue;
		for (int r = 0; r < m->n_rows; r++)
			for (int k = 0; k < said.n_dims && strcmp(rows[r].name, said.name) == 0; k++)
				if (said.dims[k] < 0)
					rows[r].dims[k] = other_size(rows[r].dims[k], way);
	}
	m->rows = rows;
	return PARE_OK;
}

static void compare_axes(const struct pare_net *net, const struct pare_net *again, uint8_t *axes)
{
	for (int32_t v = 0; v < net->model->graph.n_values; v++) {
		const struct pare_shape *is = &net->values[v].shape, *would = &again->values[v].shape;

		for (int i = 0; i < is->n_dims; i++)
			if (i >= would->n_dims || is->dims[i] != would->dims[i] || ((is->batch ^ would->batch) & PARE_BIT(i)))
				axes[v] = (uint8_t)(axes[v] | PARE_BIT(i));
	}
}

/* Marks what is known at plan time, or constant, and not the same for rows of other sizes. Where the graph cannot be computed with those: all behind the node
 * that refuses, or with whole nothing. */
static enum pare_code try_rows(const struct pare_net *net, int way, bool whole, bool *out, uint8_t *axes, struct pare_err *err)
{
	size_t n = (size_t)net->model->graph.n_values; /* the net has values besides */
	struct pare_model m = *net->model;
	struct pare_net again = {.model = &m, .opt = net->opt, .fixed_batch = PARE_DIM_UNKNOWN};
	struct pare_err why;
	enum pare_code code;
	uint8_t *tells;
	bool *steady;

	pare_arena_init(&again.arena, net->arena.cap_bytes);
	tells = pare_arena_alloc(&again.arena, n + 1);
	steady = pare_arena_array(&again.arena, n + 1, sizeof *steady);
	code = tells == NULL || steady == NULL ? pare_err_nomem(err, n) : other_rows(way, &m, &again.arena, err);
	if (code == PARE_OK)
		code = pare_net_infer_shapes(&again, &why);
	if (again.values != NULL && code != PARE_E_NOMEM && (code == PARE_OK || !whole)) {
		pare_net_find_steady(net, &again, tells, steady);
		for (size_t v = 0; v < n; v++)
			out[v] |= !steady[v] && (pare_net_is_known(&net->values[v].known) || net->values[v].constant);
		if (axes != NULL)
			compare_axes(net, &again, axes);
	}
	pare_arena_done(&again.arena);
	return code;
}

enum pare_code pare_net_find_open(const struct pare_net *net, bool *out, uint8_t *axes, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	int n_sizes = 0;

	memset(out, 0, (size_t)net->model->graph.n_values * sizeof *out);
	if (axes != NULL)
		memset(axes, 0, (size_t)net->model->graph.n_values);
	if (net->model->n_rows == 0)
		return PARE_OK;
	for (int way = 0; way < N_WAYS && n_sizes < 2 && code != PARE_E_NOMEM; way++) {
		code = try_rows(net, way, true, out, axes, err);
		n_sizes += code == PARE_OK;
	}
	if (n_sizes == 0 && code != PARE_E_NOMEM) /* the model takes no other size */
		code = try_rows(net, 0, false, out, axes, err);
	return code == PARE_E_NOMEM ? code : PARE_OK;
}
