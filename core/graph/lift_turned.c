/* A weight that the graph transposes before a layer multiplies with it, MatMul(x, Transpose(W)), is stored as the layer reads it, under its name.
 * Magnitudes could be taken of it as it stood, but what a layer's weight has to do with the layer's inputs (norms of activations, Hessians,
 * factors) is told by the layer, which reads another value. A matrix that somebody else reads, too, stays: it is tied to that (an embedding and the
 * layer that undoes it). */
#include <string.h>

#include "core/graph/lift_priv.h"
#include "core/ops/op.h"

#define MOST 4096

/* The matrix that a node transposes; -1: that is not what it does. */
static int32_t turned(const struct pare_graph *g, const struct pare_node *n)
{
	const struct pare_attr *perm = pare_node_attr(n, "perm");
	int32_t v = n->n_in == 1 && n->n_out == 1 && n->out[0] >= 0 ? n->in[0] : -1;
	const struct pare_tensor *t = v >= 0 ? g->values[v].init : NULL;

	if (strcmp(n->op_type, "Transpose") != 0 || n->domain[0] != '\0' || t == NULL || t->n_dims != 2 || t->external || t->n_elems <= 1)
		return -1;
	if (pare_dtype_computed(t->dtype) != PARE_DT_FLOAT || g->values[v].is_input || g->values[v].is_output || g->values[n->out[0]].is_output)
		return -1;
	if (perm != NULL && (perm->type != PARE_ATTR_INTS || perm->n != 2 || perm->ints[0] != 1 || perm->ints[1] != 0))
		return -1;
	return v;
}

static enum pare_code turn(const struct pare_tensor *t, int32_t value, struct pare_rewrite *rw, struct pare_err *err)
{
	size_t rows = (size_t)t->dims[0], cols = (size_t)t->dims[1], size = (size_t)pare_dtype_bits(t->dtype) / 8;
	uint8_t *bytes = pare_arena_array(&rw->arena, t->n_elems, size), *was = pare_calloc(t->n_elems, size);
	struct pare_new_init *init = pare_arena_alloc(&rw->arena, sizeof *init);
	enum pare_code code = bytes != NULL && was != NULL && init != NULL ? pare_tensor_read_bytes(t, was, err) : pare_err_nomem(err, t->n_elems * size);

	for (size_t i = 0; i < rows && code == PARE_OK; i++)
		for (size_t j = 0; j < cols; j++)
			memcpy(bytes + (j * rows + i) * size, was + (i * cols + j) * size, size);
	pare_free(was);
	if (code != PARE_OK)
		return code;
	*init = (struct pare_new_init){.name = t->name, .dtype = t->dtype, .n_dims = 2, .dims = {t->dims[1], t->dims[0]}, .bytes = bytes, .n_bytes = t->n_elems * size};
	rw->resized[value] = init;
	return PARE_OK;
}

/* False where the file holds bodies, which may name any value. */
static bool look_at_readers(const struct pare_model *m, int32_t *n_readers, bool *weight)
{
	const struct pare_graph *g = &m->graph;

	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *n = &g->nodes[i];
		const struct pare_op *op = pare_op_find(n->domain, n->op_type, pare_model_opset(m, n->domain));

		for (int k = 0; k < n->n_attrs; k++)
			if (n->attrs[k].type == PARE_ATTR_GRAPH || n->attrs[k].type == PARE_ATTR_OTHER)
				return false;
		for (int k = 0; k < n->n_in; k++) {
			if (n->in[k] < 0)
				continue;
			n_readers[n->in[k]]++;
			weight[n->in[k]] |= op != NULL && pare_op_has(op->weight_in, k);
		}
	}
	return true;
}

static enum pare_code lift(const struct pare_graph *g, const int32_t *n_readers, const bool *weight, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	const char **instead = pare_calloc((size_t)g->n_values + 1, sizeof *instead);
	enum pare_code code = instead != NULL ? PARE_OK : pare_err_nomem(err, (size_t)g->n_values * sizeof *instead);
	int left = MOST;

	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK && left > 0; i++) {
		int32_t v = rw->drop_node[i] ? -1 : turned(g, &g->nodes[i]);

		if (v < 0 || n_readers[v] != 1 || !weight[g->nodes[i].out[0]])
			continue;
		code = turn(g->values[v].init, v, rw, err);
		instead[g->nodes[i].out[0]] = g->values[v].name;
		rw->drop_node[i] = true;
		*n += 1;
		left--;
	}
	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK && left < MOST; i++)
		for (int k = 0; k < g->nodes[i].n_in && code == PARE_OK; k++)
			if (g->nodes[i].in[k] >= 0 && instead[g->nodes[i].in[k]] != NULL)
				code = pare_rewrite_add_edit(rw, &(struct pare_node_edit){.node = i, .input = k, .name = instead[g->nodes[i].in[k]]}, err);
	pare_free(instead);
	return code;
}

enum pare_code pare_lift_turned(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	size_t n_values = (size_t)m->graph.n_values + 1;
	int32_t *n_readers = pare_calloc(n_values, sizeof *n_readers);
	bool *weight = pare_calloc(n_values, sizeof *weight);
	enum pare_code code = n_readers != NULL && weight != NULL ? PARE_OK : pare_err_nomem(err, n_values * sizeof *n_readers);

	if (code == PARE_OK && look_at_readers(m, n_readers, weight))
		code = lift(&m->graph, n_readers, weight, rw, n, err);
	pare_free(n_readers);
	pare_free(weight);
	return code;
}
