/* Columns that are picked from a table, as scikit-learn's exporter writes it for a ColumnTransformer or a selection of features (ai.onnx.ml: ArrayFeatureExtractor):
 *
 *   ArrayFeatureExtractor(x [..., n], columns [k], [1, k] or one)    Gather(x, columns, axis = -1)
 *
 * Columns must be initializers. Where they are computed it is labels that are picked, behind all that is trained; that is carried. */
#include <string.h>

#include "core/graph/lift_priv.h"

/* The name of the columns as a list; *name stays NULL for what has another form. */
static enum pare_code list_columns(const struct pare_graph *g, int32_t v, struct pare_rewrite *rw, const char **name, struct pare_err *err)
{
	const struct pare_tensor *t = g->values[v].init;
	struct pare_new_init init = {.dtype = PARE_DT_INT64, .n_dims = 1};
	enum pare_code code;
	uint8_t *bytes;

	*name = NULL;
	if (t == NULL || g->values[v].is_input || t->external || t->dtype != PARE_DT_INT64 || t->n_elems == 0 || (t->n_dims > 0 && (size_t)t->dims[t->n_dims - 1] != t->n_elems))
		return PARE_OK;
	if (t->n_dims == 1) {
		*name = g->values[v].name;
		return PARE_OK;
	}
	init.n_bytes = t->n_elems * sizeof(int64_t);
	init.dims[0] = (int64_t)t->n_elems;
	init.name = pare_rewrite_name(rw, g, g->values[v].name);
	bytes = pare_arena_array(&rw->arena, t->n_elems, sizeof(int64_t));
	init.bytes = bytes;
	if (init.name == NULL || bytes == NULL)
		return pare_err_nomem(err, init.n_bytes);
	code = pare_tensor_read_bytes(t, bytes, err);
	if (code == PARE_OK)
		code = pare_rewrite_add_init(rw, &init, err);
	*name = init.name;
	return code;
}

enum pare_code pare_lift_columns(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	const struct pare_graph *g = &m->graph;
	enum pare_code code = PARE_OK;

	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK && pare_model_opset(m, "") > 0; i++) {
		const struct pare_node *node = &g->nodes[i];
		const char *columns = NULL;

		if (strcmp(node->domain, "ai.onnx.ml") != 0 || strcmp(node->op_type, "ArrayFeatureExtractor") != 0 || node->n_in != 2 || node->n_out != 1 || node->in[0] < 0 ||
		    node->in[1] < 0 || node->out[0] < 0 || g->values[node->in[0]].init != NULL || g->values[node->in[0]].n_dims == 1)
			continue;
		code = list_columns(g, node->in[1], rw, &columns, err);
		if (code != PARE_OK || columns == NULL)
			continue;
		code = pare_rewrite_add_node(rw, &(struct pare_new_node){.before = i, .instead = true, .op = "Gather", .in = {g->values[node->in[0]].name, columns},
		    .out = g->values[node->out[0]].name, .attr = {{.name = "axis", .value = -1}}}, err);
		rw->drop_node[i] = true;
		*n += code == PARE_OK;
	}
	return code;
}
