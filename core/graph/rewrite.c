/* Changes are few next to the graph (a number per resized node), so they are lists in the order they were made, looked
 * through from the end: the last edit of an input or attribute is the one that holds. */
#include "core/graph/rewrite.h"

#include <stdio.h>
#include <string.h>

#include "core/graph/graph_priv.h"

#define ARENA_CAP ((size_t)1 << 40) /* the data of shrunk initializers: no more than the model has */

enum pare_code pare_rewrite_init(struct pare_rewrite *rw, const struct pare_model *m, struct pare_err *err)
{
	size_t n_values = (size_t)m->graph.n_values + 1;

	*rw = (struct pare_rewrite){.n_nodes = m->graph.n_nodes, .n_values = m->graph.n_values};
	pare_arena_init(&rw->arena, ARENA_CAP);
	rw->drop_node = pare_arena_array(&rw->arena, (size_t)m->graph.n_nodes + 1, sizeof *rw->drop_node);
	rw->drop_init = pare_arena_array(&rw->arena, n_values, sizeof *rw->drop_init);
	rw->resized = pare_arena_array(&rw->arena, n_values, sizeof *rw->resized);
	rw->shapes = pare_arena_array(&rw->arena, n_values, sizeof *rw->shapes);
	if (rw->drop_node != NULL && rw->drop_init != NULL && rw->resized != NULL && rw->shapes != NULL)
		return PARE_OK;
	pare_rewrite_done(rw);
	return pare_err_nomem(err, n_values * sizeof *rw->resized);
}

void pare_rewrite_done(struct pare_rewrite *rw)
{
	pare_free(rw->inits);
	pare_free(rw->edits);
	pare_free(rw->nodes);
	pare_arena_done(&rw->arena);
	memset(rw, 0, sizeof *rw);
}

/* Room for one more in a list; false without memory. */
static bool room(void **list, size_t n, size_t *max, size_t size)
{
	void *more;

	if (n < *max)
		return true;
	more = pare_realloc(*list, (*max * 2 + 16) * size);
	if (more == NULL)
		return false;
	*list = more;
	*max = *max * 2 + 16;
	return true;
}

enum pare_code pare_rewrite_add_init(struct pare_rewrite *rw, const struct pare_new_init *init, struct pare_err *err)
{
	void *list = rw->inits;

	if (!room(&list, rw->n_inits, &rw->max_inits, sizeof *init))
		return pare_err_nomem(err, 0);
	rw->inits = list;
	rw->inits[rw->n_inits++] = *init;
	return PARE_OK;
}

enum pare_code pare_rewrite_add_edit(struct pare_rewrite *rw, const struct pare_node_edit *edit, struct pare_err *err)
{
	void *list = rw->edits;
	int64_t *v = pare_arena_array(&rw->arena, edit->n + 1, sizeof *v);

	if (v == NULL || !room(&list, rw->n_edits, &rw->max_edits, sizeof *edit))
		return pare_err_nomem(err, 0);
	if (edit->n > 0)
		memcpy(v, edit->v, edit->n * sizeof *v);
	rw->edits = list;
	rw->edits[rw->n_edits] = *edit;
	rw->edits[rw->n_edits++].v = v;
	return PARE_OK;
}

enum pare_code pare_rewrite_add_node(struct pare_rewrite *rw, const struct pare_new_node *node, struct pare_err *err)
{
	void *list = rw->nodes;

	if (!room(&list, rw->n_new_nodes, &rw->max_new_nodes, sizeof *node))
		return pare_err_nomem(err, 0);
	rw->nodes = list;
	rw->nodes[rw->n_new_nodes++] = *node;
	return PARE_OK;
}

const struct pare_node_edit *pare_rewrite_op(const struct pare_rewrite *rw, int32_t node)
{
	for (size_t i = rw->n_edits; i-- > 0;)
		if (rw->edits[i].node == node && rw->edits[i].op != NULL)
			return &rw->edits[i];
	return NULL;
}

static bool names_input(const struct pare_node_edit *e, int32_t node)
{
	return e->node == node && e->attr == NULL && e->op == NULL;
}

const char *pare_rewrite_input(const struct pare_rewrite *rw, const struct pare_graph *g, int32_t node, int k)
{
	const struct pare_node *n = &g->nodes[node];

	for (size_t i = rw->n_edits; i-- > 0;)
		if (names_input(&rw->edits[i], node) && rw->edits[i].input == k)
			return rw->edits[i].name;
	return k < n->n_in && n->in[k] >= 0 ? g->values[n->in[k]].name : "";
}

int pare_rewrite_n_inputs(const struct pare_rewrite *rw, const struct pare_graph *g, int32_t node)
{
	const struct pare_node_edit *op = pare_rewrite_op(rw, node);
	int n = op != NULL ? op->input : g->nodes[node].n_in;

	for (size_t i = 0; i < rw->n_edits; i++)
		if (names_input(&rw->edits[i], node) && rw->edits[i].input >= n)
			n = rw->edits[i].input + 1;
	return n;
}

static bool gives(const struct pare_new_node *n, const char *name)
{
	bool found = strcmp(n->out, name) == 0;

	for (int k = 0; k < PARE_NEW_MORE && n->more[k] != NULL; k++)
		found |= strcmp(n->more[k], name) == 0;
	return found;
}

static bool name_taken(const struct pare_rewrite *rw, const struct pare_graph *g, const char *name)
{
	if (pare_graph_find_value(g, name) >= 0)
		return true;
	for (size_t i = 0; i < rw->n_inits; i++)
		if (strcmp(rw->inits[i].name, name) == 0)
			return true;
	for (size_t i = 0; i < rw->n_new_nodes; i++)
		if (gives(&rw->nodes[i], name))
			return true;
	return false;
}

const char *pare_rewrite_name(struct pare_rewrite *rw, const struct pare_graph *g, const char *base)
{
	size_t size = strlen(base) + 24;
	char *name = pare_arena_alloc(&rw->arena, size);

	if (name == NULL)
		return NULL;
	(void)snprintf(name, size, "%s", base);
	for (unsigned n = 1; name_taken(rw, g, name); n++)
		(void)snprintf(name, size, "%s_%u", base, n);
	return name;
}

static bool reads_value(const struct pare_rewrite *rw, const struct pare_graph *g, int32_t node, int k, int32_t value)
{
	return strcmp(pare_rewrite_input(rw, g, node, k), g->values[value].name) == 0;
}

static void need_name(const struct pare_rewrite *rw, const struct pare_graph *g, const char *name, bool *needed)
{
	int32_t v = pare_graph_find_value(g, name);

	if (v >= 0)
		needed[v] = true;
	for (size_t i = 0; v < 0 && i < rw->n_new_nodes; i++)
		for (int k = 0; k < PARE_NEW_INPUTS && rw->nodes[i].in[k] != NULL && gives(&rw->nodes[i], name); k++)
			need_name(rw, g, rw->nodes[i].in[k], needed);
}

/* What an unedited input names is known by index; only edited ones are looked up. */
static void need_inputs(const struct pare_rewrite *rw, const struct pare_graph *g, int32_t i, bool *needed)
{
	const struct pare_node *n = &g->nodes[i];
	int n_in = pare_rewrite_n_inputs(rw, g, i);

	for (int k = 0; k < n->n_in && k < n_in; k++)
		if (n->in[k] >= 0 && reads_value(rw, g, i, k, n->in[k]))
			needed[n->in[k]] = true;
	for (size_t e = 0; e < rw->n_edits; e++)
		if (names_input(&rw->edits[e], i))
			need_name(rw, g, rw->edits[e].name, needed);
}

enum pare_code pare_rewrite_drop_dead(struct pare_rewrite *rw, const struct pare_graph *g, struct pare_err *err)
{
	bool *needed = pare_calloc((size_t)g->n_values + 1, sizeof *needed);

	if (needed == NULL)
		return pare_err_nomem(err, (size_t)g->n_values);
	for (int i = 0; i < g->n_outputs; i++)
		needed[g->outputs[i]] = true;
	for (int32_t i = g->n_nodes - 1; i >= 0; i--) {
		const struct pare_node *n = &g->nodes[i];
		bool live = false;

		for (int k = 0; k < n->n_out; k++)
			live |= n->out[k] >= 0 && needed[n->out[k]];
		rw->drop_node[i] = !live;
		if (live)
			need_inputs(rw, g, i, needed);
	}
	for (int32_t i = 0; i < g->n_inits; i++)
		rw->drop_init[g->inits[i]] = !needed[g->inits[i]] && !g->values[g->inits[i]].is_input;
	pare_free(needed);
	return PARE_OK;
}
