/* Only what stands in the file as float32 can be replaced there by what is computed from it; an initializer that is a graph input may be given another value
 * by whoever runs the model. */
#include "core/compress/layers.h"

const struct pare_tensor *pare_layer_floats(const struct pare_model *m, int32_t value)
{
	const struct pare_value *v = value >= 0 ? &m->graph.values[value] : NULL;

	return v != NULL && v->init != NULL && !v->is_input && !v->is_output && v->init->dtype == PARE_DT_FLOAT && !v->init->external ? v->init : NULL;
}

int64_t pare_layer_int(const struct pare_node *n, const char *attr, int64_t absent)
{
	const struct pare_attr *a = pare_node_attr(n, attr);

	return a != NULL && a->type == PARE_ATTR_INT ? a->i : absent;
}

int pare_layer_readers(const struct pare_graph *g, int32_t value)
{
	int n = 0;

	for (int32_t i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_in; k++)
			n += g->nodes[i].in[k] == value;
	return n;
}
