/* The file is rewritten rather than the graph patched in memory: an initializer has one meaning for the whole engine, and what
 * leaves is the ordinary form of the model, which other tools can train and prune, too. The alternative, parameters that
 * live in a node's attribute, would have every reader of initializers ask twice.
 *
 * A Constant is lifted by how it is used, not by how it looks: [3, 1, 1] may be the mean of an image or the slope of a norm. */
#include "core/graph/lift_priv.h"

#include <string.h>

#include "core/graph/graph_priv.h"
#include "core/ops/op.h"

/* The tensor of a Constant that may hold weights, or NULL. */
static const struct pare_tensor *constant_tensor(const struct pare_node *n)
{
	const struct pare_attr *a = pare_node_attr(n, "value");
	int dtype = a != NULL && a->type == PARE_ATTR_TENSOR ? a->t->dtype : PARE_DT_UNDEFINED;

	if (strcmp(n->op_type, "Constant") != 0 || n->domain[0] != '\0' || n->n_out != 1 || n->out[0] < 0 || n->n_attrs != 1)
		return NULL;
	if (pare_dtype_computed(dtype) != PARE_DT_FLOAT || a->t->external)
		return NULL;
	return a->t->n_elems > 1 ? a->t : NULL;
}

static void mark_weights(const struct pare_model *m, const struct pare_node *n, bool *weight)
{
	const struct pare_op *op = pare_op_find(n->domain, n->op_type, pare_model_opset(m, n->domain));

	if (op == NULL || (op->weight_in | op->buffer_in) == 0)
		return;
	for (int k = 0; k < n->n_in; k++)
		if (n->in[k] >= 0 && (k > 0 || pare_op_has(op->weight_in, k)))
			weight[n->in[k]] = true;
}

static enum pare_code lift(const struct pare_graph *g, int32_t node, const struct pare_tensor *t, struct pare_rewrite *rw, struct pare_err *err)
{
	struct pare_new_init init = {.name = g->values[g->nodes[node].out[0]].name, .dtype = t->dtype, .n_dims = t->n_dims,
	    .n_bytes = t->n_elems * (size_t)pare_dtype_bits(t->dtype) / 8};
	uint8_t *bytes = pare_arena_array(&rw->arena, t->n_elems, (size_t)pare_dtype_bits(t->dtype) / 8);
	enum pare_code code = bytes != NULL ? pare_tensor_read_bytes(t, bytes, err) : pare_err_nomem(err, init.n_bytes);

	if (code != PARE_OK)
		return code;
	memcpy(init.dims, t->dims, sizeof init.dims);
	init.bytes = bytes;
	rw->drop_node[node] = true;
	return pare_rewrite_add_init(rw, &init, err);
}

const struct pare_node *pare_lift_made_by(const struct pare_graph *g, int32_t v, const char *op)
{
	const struct pare_node *n = v >= 0 && g->values[v].producer >= 0 ? &g->nodes[g->values[v].producer] : NULL;

	return n != NULL && n->domain[0] == '\0' && strcmp(n->op_type, op) == 0 && n->n_in > 0 ? n : NULL;
}

const struct pare_tensor *pare_lift_tensor(const struct pare_graph *g, int32_t v)
{
	const struct pare_node *n = v >= 0 && g->values[v].producer >= 0 ? &g->nodes[g->values[v].producer] : NULL;
	const struct pare_attr *a = n != NULL && strcmp(n->op_type, "Constant") == 0 && n->domain[0] == '\0' ? pare_node_attr(n, "value") : NULL;
	const struct pare_tensor *t = v < 0 ? NULL : g->values[v].init != NULL ? g->values[v].init : a != NULL && a->type == PARE_ATTR_TENSOR ? a->t : NULL;

	return t == NULL || g->values[v].is_input || t->external ? NULL : t;
}

size_t pare_lift_integers(const struct pare_graph *g, int32_t v, int64_t *out, size_t max)
{
	const struct pare_tensor *t = pare_lift_tensor(g, v);
	struct pare_err err;

	if (t == NULL || t->dtype != PARE_DT_INT64 || t->n_elems > max || t->n_dims > 1)
		return 0;
	return pare_tensor_read_i64(t, out, &err) == PARE_OK ? t->n_elems : 0;
}

const char *pare_lift_put(struct pare_lift_writer *w, struct pare_new_node n, bool last)
{
	const char *result = w->g->values[w->g->nodes[w->node].out[0]].name;

	n.before = w->node;
	n.instead = true;
	n.out = last ? result : pare_rewrite_name(w->rw, w->g, result);
	if (w->code == PARE_OK)
		w->code = n.out != NULL ? pare_rewrite_add_node(w->rw, &n, w->err) : pare_err_nomem(w->err, 0);
	return n.out;
}

const char *pare_lift_init(struct pare_lift_writer *w, struct pare_new_init init)
{
	void *own = pare_arena_alloc(&w->rw->arena, init.n_bytes);

	init.name = pare_rewrite_name(w->rw, w->g, w->g->values[w->g->nodes[w->node].out[0]].name);
	if (own == NULL || init.name == NULL)
		w->code = pare_err_nomem(w->err, init.n_bytes);
	else
		memcpy(own, init.bytes, init.n_bytes);
	init.bytes = own;
	if (w->code == PARE_OK)
		w->code = pare_rewrite_add_init(w->rw, &init, w->err);
	return init.name;
}

const char *pare_lift_ints(struct pare_lift_writer *w, const int64_t *v, int64_t n)
{
	return pare_lift_init(w, (struct pare_new_init){.dtype = PARE_DT_INT64, .n_dims = 1, .dims = {n}, .bytes = v, .n_bytes = (size_t)n * sizeof *v});
}

enum pare_code pare_lift_weights(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	const struct pare_graph *g = &m->graph;
	bool *weight = pare_calloc((size_t)g->n_values + 1, sizeof *weight);
	enum pare_code code = weight != NULL ? pare_lift_computed(m, rw, n, err) : pare_err_nomem(err, (size_t)g->n_values);

	if (code == PARE_OK)
		code = pare_lift_turned(m, rw, n, err);
	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK; i++)
		mark_weights(m, &g->nodes[i], weight);
	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK; i++) {
		const struct pare_tensor *t = constant_tensor(&g->nodes[i]);

		if (t == NULL || rw->drop_node[i] || !weight[g->nodes[i].out[0]] || g->values[g->nodes[i].out[0]].is_output)
			continue;
		code = lift(g, i, t, rw, err);
		*n += code == PARE_OK;
	}
	pare_free(weight);
	if (code == PARE_OK)
		code = pare_lift_linear(m, rw, n, err);
	if (code == PARE_OK)
		code = pare_lift_columns(m, rw, n, err);
	if (code == PARE_OK)
		code = pare_lift_assign(m, rw, n, err);
	if (code == PARE_OK)
		code = pare_lift_forms(m, rw, n, err);
	if (code == PARE_OK)
		code = pare_lift_constants(m, rw, n, err);
	return code == PARE_OK ? pare_lift_attention(m, rw, n, err) : code;
}
