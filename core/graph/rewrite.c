/* Edits are lists in the order they were made, chained by the node that they are about: the last one of an attribute is the one that holds.
 * Of inputs only the last name is kept. New names are found by an index, which is made when the first is asked for: most models are only
 * looked at. A base that was numbered before goes on from its last number. */
#include "core/graph/rewrite.h"

#include <stdio.h>
#include <string.h>

#include "core/graph/graph_priv.h"

#define ARENA_CAP ((size_t)1 << 40) /* the data of shrunk initializers: no more than the model has */

static const char input_gone[] = "gone"; /* known by its address */

enum pare_code pare_rewrite_init(struct pare_rewrite *rw, const struct pare_model *m, struct pare_err *err)
{
	size_t n_values = (size_t)m->graph.n_values + 1, n_nodes = (size_t)m->graph.n_nodes + 1;

	*rw = (struct pare_rewrite){.n_nodes = m->graph.n_nodes, .n_values = m->graph.n_values};
	pare_arena_init(&rw->arena, ARENA_CAP);
	rw->drop_node = pare_arena_array(&rw->arena, n_nodes, sizeof *rw->drop_node);
	rw->drop_init = pare_arena_array(&rw->arena, n_values, sizeof *rw->drop_init);
	rw->resized = pare_arena_array(&rw->arena, n_values, sizeof *rw->resized);
	rw->shapes = pare_arena_array(&rw->arena, n_values, sizeof *rw->shapes);
	rw->by_node = pare_arena_array(&rw->arena, n_nodes, sizeof *rw->by_node);
	if (rw->drop_node != NULL && rw->drop_init != NULL && rw->resized != NULL && rw->shapes != NULL && rw->by_node != NULL)
		return PARE_OK;
	pare_rewrite_done(rw);
	return pare_err_nomem(err, n_values * sizeof *rw->resized);
}

void pare_rewrite_done(struct pare_rewrite *rw)
{
	pare_free(rw->inits);
	pare_free(rw->edits);
	pare_free(rw->nodes);
	pare_names_done(&rw->names);
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

/* --- names */

/* Something new has that name; node: which of the new nodes gives it, or -1. */
static bool take_name(struct pare_rewrite *rw, const char *name, int32_t node)
{
	struct pare_name *s = pare_names_put(&rw->names, pare_text_span(name));

	if (s != NULL && s->node < 0)
		s->node = node;
	return s != NULL;
}

static bool take_outputs(struct pare_rewrite *rw, int32_t node)
{
	const struct pare_new_node *n = &rw->nodes[node];
	bool ok = n->out == NULL || take_name(rw, n->out, node);

	for (size_t k = 0; k < n->n_copy_out && ok; k++)
		ok = n->copy_out[k][0] == '\0' || take_name(rw, n->copy_out[k], node);
	for (int k = 0; k < PARE_NEW_MORE && n->more[k] != NULL && ok; k++)
		ok = take_name(rw, n->more[k], node);
	return ok;
}

static bool index_names(struct pare_rewrite *rw, const struct pare_graph *g)
{
	bool ok;

	if (rw->names.n_slots > 0)
		return true;
	ok = pare_names_init(&rw->names, g, NULL) == PARE_OK;
	for (size_t i = 0; i < rw->n_inits && ok; i++)
		ok = take_name(rw, rw->inits[i].name, -1);
	for (size_t i = 0; i < rw->n_new_nodes && ok; i++)
		ok = take_outputs(rw, (int32_t)i);
	if (!ok)
		pare_names_done(&rw->names);
	return ok;
}

const char *pare_rewrite_name(struct pare_rewrite *rw, const struct pare_graph *g, const char *base)
{
	size_t size = strlen(base) + 24;
	char *name = pare_arena_alloc(&rw->arena, size);
	struct pare_name *s;
	unsigned n;

	if (name == NULL || !index_names(rw, g))
		return NULL;
	(void)snprintf(name, size, "%s", base);
	s = pare_names_get(&rw->names, pare_text_span(base));
	if (s == NULL)
		return name;
	for (n = s->tried; pare_names_get(&rw->names, pare_text_span(name)) != NULL;)
		(void)snprintf(name, size, "%s_%u", base, ++n);
	s->tried = n - 1;
	return name;
}

/* --- changes */

enum pare_code pare_rewrite_add_init(struct pare_rewrite *rw, const struct pare_new_init *init, struct pare_err *err)
{
	void *list = rw->inits;

	if (!room(&list, rw->n_inits, &rw->max_inits, sizeof *init))
		return pare_err_nomem(err, 0);
	rw->inits = list;
	rw->inits[rw->n_inits++] = *init;
	return rw->names.n_slots == 0 || take_name(rw, init->name, -1) ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code name_input(struct pare_rewrite *rw, struct pare_rewrite_node *n, int k, const char *name, struct pare_err *err)
{
	if (k >= n->max_inputs) {
		int max = 2 * k + 4;
		const char **more = pare_arena_array(&rw->arena, (size_t)max, sizeof *more);

		if (more == NULL)
			return pare_err_nomem(err, 0);
		if (n->n_inputs > 0)
			memcpy(more, n->inputs, (size_t)n->n_inputs * sizeof *more);
		n->inputs = more;
		n->max_inputs = max;
	}
	n->n_inputs = k < n->n_inputs ? n->n_inputs : k + 1;
	n->inputs[k] = name != NULL ? name : input_gone;
	return PARE_OK;
}

enum pare_code pare_rewrite_add_edit(struct pare_rewrite *rw, const struct pare_node_edit *edit, struct pare_err *err)
{
	struct pare_rewrite_node *n = &rw->by_node[edit->node];
	void *list = rw->edits;
	int64_t *v;

	if (edit->attr == NULL && edit->op == NULL)
		return name_input(rw, n, edit->input, edit->name, err);
	v = pare_arena_array(&rw->arena, edit->n + 1, sizeof *v);
	if (v == NULL || !room(&list, rw->n_edits, &rw->max_edits, sizeof *edit))
		return pare_err_nomem(err, 0);
	if (edit->n > 0)
		memcpy(v, edit->v, edit->n * sizeof *v);
	rw->edits = list;
	rw->edits[rw->n_edits] = *edit;
	rw->edits[rw->n_edits].v = v;
	rw->edits[rw->n_edits++].next = 0;
	if (n->last_edit > 0)
		rw->edits[n->last_edit - 1].next = rw->n_edits;
	else
		n->first_edit = rw->n_edits;
	n->last_edit = rw->n_edits;
	return PARE_OK;
}

enum pare_code pare_rewrite_add_node(struct pare_rewrite *rw, const struct pare_new_node *node, struct pare_err *err)
{
	struct pare_rewrite_node *n = &rw->by_node[node->before];
	void *list = rw->nodes;

	if (!room(&list, rw->n_new_nodes, &rw->max_new_nodes, sizeof *node))
		return pare_err_nomem(err, 0);
	rw->nodes = list;
	rw->nodes[rw->n_new_nodes] = *node;
	rw->nodes[rw->n_new_nodes++].next = 0;
	if (n->last_new > 0)
		rw->nodes[n->last_new - 1].next = rw->n_new_nodes;
	else
		n->first_new = rw->n_new_nodes;
	n->last_new = rw->n_new_nodes;
	return rw->names.n_slots == 0 || take_outputs(rw, (int32_t)rw->n_new_nodes - 1) ? PARE_OK : pare_err_nomem(err, 0);
}

/* --- what they come to */

const struct pare_node_edit *pare_rewrite_op(const struct pare_rewrite *rw, int32_t node)
{
	const struct pare_node_edit *last = NULL;

	for (size_t i = rw->by_node[node].first_edit; i > 0; i = rw->edits[i - 1].next)
		last = rw->edits[i - 1].op != NULL ? &rw->edits[i - 1] : last;
	return last;
}

const struct pare_node_edit *pare_rewrite_attr(const struct pare_rewrite *rw, int32_t node, struct pare_span name)
{
	const struct pare_node_edit *last = NULL;

	for (size_t i = rw->by_node[node].first_edit; i > 0; i = rw->edits[i - 1].next) {
		const struct pare_node_edit *e = &rw->edits[i - 1];

		if (e->attr != NULL && strlen(e->attr) == name.len && memcmp(e->attr, name.data, name.len) == 0)
			last = e;
	}
	return last;
}

/* The name that input k was given; NULL: none. */
static const char *new_input(const struct pare_rewrite *rw, int32_t node, int k)
{
	return k < rw->by_node[node].n_inputs ? rw->by_node[node].inputs[k] : NULL;
}

const char *pare_rewrite_input(const struct pare_rewrite *rw, const struct pare_graph *g, int32_t node, int k)
{
	const struct pare_node *n = &g->nodes[node];
	const char *name = new_input(rw, node, k);

	if (name != NULL)
		return name == input_gone ? NULL : name;
	return k < n->n_in && n->in[k] >= 0 ? g->values[n->in[k]].name : "";
}

int pare_rewrite_n_inputs(const struct pare_rewrite *rw, const struct pare_graph *g, int32_t node)
{
	const struct pare_node_edit *op = pare_rewrite_op(rw, node);
	int n = op != NULL ? op->input : g->nodes[node].n_in;

	return n > rw->by_node[node].n_inputs ? n : rw->by_node[node].n_inputs;
}

/* --- what nobody needs */

struct needs {
	const struct pare_rewrite *rw;
	const struct pare_graph *g;
	bool *value;   /* by value */
	bool *node;    /* by new node: met */
	int32_t *open; /* of these, whose inputs are still to be looked at */
	int32_t n_open;
};

static void need_name(struct needs *n, const char *name)
{
	const struct pare_name *s = pare_names_get(&n->rw->names, pare_text_span(name));

	if (s != NULL && s->value >= 0)
		n->value[s->value] = true;
	else if (s != NULL && s->node >= 0 && !n->node[s->node]) {
		n->node[s->node] = true;
		n->open[n->n_open++] = s->node;
	}
}

/* What an unedited input names is known by index; only edited ones are looked up. */
static void need_inputs(struct needs *n, int32_t i)
{
	const struct pare_node *node = &n->g->nodes[i];
	int n_in = pare_rewrite_n_inputs(n->rw, n->g, i);

	for (int k = 0; k < n_in; k++) {
		const char *name = new_input(n->rw, i, k);

		if (name == input_gone)
			continue;
		if (name != NULL)
			need_name(n, name);
		else if (k < node->n_in && node->in[k] >= 0)
			n->value[node->in[k]] = true;
	}
	while (n->n_open > 0) {
		const struct pare_new_node *new = &n->rw->nodes[n->open[--n->n_open]];

		for (int k = 0; k < PARE_NEW_INPUTS && new->in[k] != NULL; k++)
			need_name(n, new->in[k]);
	}
}

static void drop_dead(struct pare_rewrite *rw, const struct pare_graph *g, struct needs *n)
{
	for (int i = 0; i < g->n_outputs; i++)
		n->value[g->outputs[i]] = true;
	for (int32_t i = g->n_nodes - 1; i >= 0; i--) {
		const struct pare_node *node = &g->nodes[i];
		bool live = false;

		for (int k = 0; k < node->n_out; k++)
			live |= node->out[k] >= 0 && n->value[node->out[k]];
		rw->drop_node[i] = !live;
		if (live)
			need_inputs(n, i);
	}
	for (int32_t i = 0; i < g->n_inits; i++)
		rw->drop_init[g->inits[i]] = !n->value[g->inits[i]] && !g->values[g->inits[i]].is_input;
}

enum pare_code pare_rewrite_drop_dead(struct pare_rewrite *rw, const struct pare_graph *g, struct pare_err *err)
{
	struct needs n = {.rw = rw, .g = g, .value = pare_calloc((size_t)g->n_values + 1, sizeof *n.value),
	    .node = pare_calloc(rw->n_new_nodes + 1, sizeof *n.node), .open = pare_calloc(rw->n_new_nodes + 1, sizeof *n.open)};
	bool ok = n.value != NULL && n.node != NULL && n.open != NULL && index_names(rw, g);

	if (ok)
		drop_dead(rw, g, &n);
	pare_free(n.value);
	pare_free(n.node);
	pare_free(n.open);
	return ok ? PARE_OK : pare_err_nomem(err, (size_t)g->n_values);
}
