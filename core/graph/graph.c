/* Look-ups are linear on purpose: a node has a handful of attributes, a model a handful of domains, and names are only
 * looked up while a run is set up. What the hot paths follow are indices. The one place where names meet in great numbers
 * is reading, and core/onnx/names.c has an index of its own for that. */
#include "core/graph/graph.h"

#include <stdio.h>
#include <string.h>

#include "core/graph/graph_priv.h"

void pare_model_free(struct pare_model *m)
{
	if (m == NULL)
		return;
	for (int32_t i = 0; m->patches != NULL && i < m->graph.n_values; i++)
		pare_free(m->patches[i]);
	pare_free(m->patches);
	pare_arena_done(&m->arena);
	pare_free(m);
}

int64_t pare_model_opset(const struct pare_model *m, const char *domain)
{
	for (int i = 0; i < m->n_opsets; i++)
		if (strcmp(m->opsets[i].domain, domain) == 0)
			return m->opsets[i].version;
	return 0;
}

const char *pare_name_shown(const char *name, char out[PARE_NAME_SHOWN])
{
	size_t n = strlen(name), max = PARE_NAME_SHOWN - 4;
	bool is_cut = n > max;

	if (is_cut)
		for (n = max; n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80;)
			n--;
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)name[i] < 0x20 || name[i] == 0x7f ? '?' : name[i];
	memcpy(out + n, is_cut ? "..." : "", is_cut ? 4 : 1);
	return out;
}

void pare_node_label(const struct pare_graph *g, int32_t node, char *out, size_t n)
{
	const struct pare_node *nd = &g->nodes[node];
	char shown[PARE_NAME_SHOWN];

	if (nd->name[0] != '\0')
		(void)snprintf(out, n, "%s", pare_name_shown(nd->name, shown));
	else
		(void)snprintf(out, n, "%s_%d", pare_name_shown(nd->op_type, shown), (int)node);
}

const struct pare_attr *pare_node_attr(const struct pare_node *node, const char *name)
{
	for (int i = 0; i < node->n_attrs; i++)
		if (strcmp(node->attrs[i].name, name) == 0)
			return &node->attrs[i];
	return NULL;
}

int64_t pare_node_int(const struct pare_node *node, const char *name, int64_t otherwise)
{
	const struct pare_attr *a = pare_node_attr(node, name);

	return a != NULL ? a->i : otherwise;
}

int32_t pare_graph_find_value(const struct pare_graph *g, const char *name)
{
	for (int32_t i = 0; i < g->n_values; i++)
		if (strcmp(g->values[i].name, name) == 0)
			return i;
	return -1;
}

enum pare_code pare_model_set_rows(struct pare_model *m, const struct pare_row_shape *rows, int n, struct pare_err *err)
{
	struct pare_row_shape *copy = pare_arena_array(&m->arena, (size_t)n + 1, sizeof *copy);

	for (int i = 0; i < n && copy != NULL; i++) {
		copy[i] = rows[i];
		copy[i].name = pare_arena_strndup(&m->arena, rows[i].name, strlen(rows[i].name));
		if (copy[i].name == NULL)
			copy = NULL;
	}
	if (copy == NULL)
		return pare_err_nomem(err, (size_t)n * sizeof *copy);
	m->rows = copy;
	m->n_rows = n;
	return PARE_OK;
}

enum pare_code pare_model_watch(struct pare_model *m, const char *name, struct pare_err *err)
{
	struct pare_graph *g = &m->graph;
	int32_t v = pare_graph_find_value(g, name), *outputs;
	char shown[PARE_NAME_SHOWN];

	if (v < 0)
		return pare_err_set(err, PARE_E_INVALID, NULL, "the model has no tensor \"%s\"", pare_name_shown(name, shown));
	for (int32_t i = 0; i < g->n_outputs; i++)
		if (g->outputs[i] == v)
			return PARE_OK;
	outputs = pare_arena_array(&m->arena, (size_t)g->n_outputs + 1, sizeof *outputs);
	if (outputs == NULL)
		return pare_err_nomem(err, 0);
	memcpy(outputs, g->outputs, (size_t)g->n_outputs * sizeof *outputs);
	outputs[g->n_outputs++] = v;
	g->outputs = outputs;
	g->n_watched++;
	return PARE_OK;
}
