/* An assignment to a part of a tensor, x[:, 2:, :-1] = u, as PyTorch's exporter writes it: every place that is written, spelt out of sizes.
 *
 *   ScatterND(x, Concat(Unsqueeze(Expand(r_0)), Unsqueeze(Expand(r_1)), ...), u)    with r_i, along axis i of as many as there are parts,
 *       Range(0, Shape(x)[i], 1)          all of the axis
 *       Slice(Range(...), from, to)       a part of it
 *       [k]                               one place
 *
 * It becomes what it says: x before and behind the part, along one axis after the other, with u between them; u alone where all is written. So
 * channels and heads are followed through it like through any Concat, and a batch is cut into shards, which a list of places that counts rows forbids.
 * Steps other than 1, and anything else that is not exactly so, stay. */
#include <string.h>

#include "core/graph/lift_priv.h"
#include "core/graph/shape.h"

/* What is written along an axis. */
struct part {
	bool whole;
	int64_t from, to; /* negative: counted from the end; INT64_MAX: to the end */
};

/* The node that computes v, if it is that operator; NULL. */
static const struct pare_node *made_by(const struct pare_graph *g, int32_t v, const char *op)
{
	const struct pare_node *n = v >= 0 && g->values[v].producer >= 0 ? &g->nodes[g->values[v].producer] : NULL;

	return n != NULL && n->domain[0] == '\0' && strcmp(n->op_type, op) == 0 && n->n_in > 0 ? n : NULL;
}

/* The integers of an initializer or a Constant, up to max; how many there are, 0 for anything else. */
static size_t integers(const struct pare_graph *g, int32_t v, int64_t *out, size_t max)
{
	const struct pare_node *n = v >= 0 && g->values[v].producer >= 0 ? &g->nodes[g->values[v].producer] : NULL;
	const struct pare_attr *a = n != NULL && strcmp(n->op_type, "Constant") == 0 && n->domain[0] == '\0' ? pare_node_attr(n, "value") : NULL;
	const struct pare_tensor *t = v < 0 ? NULL : g->values[v].init != NULL ? g->values[v].init : a != NULL && a->type == PARE_ATTR_TENSOR ? a->t : NULL;
	struct pare_err err;

	if (t == NULL || g->values[v].is_input || t->external || t->dtype != PARE_DT_INT64 || t->n_elems > max || t->n_dims > 1)
		return 0;
	return pare_tensor_read_i64(t, out, &err) == PARE_OK ? t->n_elems : 0;
}

static bool is_integer(const struct pare_graph *g, int32_t v, int64_t want)
{
	int64_t is;

	return integers(g, v, &is, 1) == 1 && is == want;
}

/* Range(0, Shape(x)[axis], 1) */
static bool is_whole(const struct pare_graph *g, int32_t v, int32_t x, int axis)
{
	const struct pare_node *range = made_by(g, v, "Range"), *n;

	if (range == NULL || range->n_in != 3 || !is_integer(g, range->in[0], 0) || !is_integer(g, range->in[2], 1))
		return false;
	n = made_by(g, range->in[1], "Cast");
	n = made_by(g, n != NULL ? n->in[0] : range->in[1], "Gather");
	if (n == NULL || n->n_in != 2 || pare_node_int(n, "axis", 0) != 0 || !is_integer(g, n->in[1], axis))
		return false;
	n = made_by(g, n->in[0], "Shape");
	return n != NULL && n->in[0] == x && n->n_attrs == 0;
}

/* Certainly no place: what stands before it and behind it would overlap. */
static bool is_empty(const struct part *p)
{
	return (p->from < 0) == (p->to < 0) && p->from >= p->to;
}

static bool read_part(const struct pare_graph *g, int32_t v, int32_t x, int axis, struct part *out)
{
	const struct pare_node *n = made_by(g, v, "Slice");
	int64_t k;

	*out = (struct part){.whole = n == NULL && is_whole(g, v, x, axis)};
	if (out->whole)
		return true;
	if (n != NULL)
		return n->n_in == 5 && is_whole(g, n->in[0], x, axis) && integers(g, n->in[1], &out->from, 1) == 1 && integers(g, n->in[2], &out->to, 1) == 1 &&
		    is_integer(g, n->in[3], 0) && is_integer(g, n->in[4], 1) && out->to != 0 && !is_empty(out);
	if (integers(g, v, &k, 1) != 1)
		return false;
	out->from = k;
	out->to = k == -1 ? INT64_MAX : k + 1;
	return true;
}

/* One component of the places: r along that axis of n, as wide as the others. */
static bool read_component(const struct pare_graph *g, int32_t v, int32_t x, int axis, int n, struct part *out)
{
	const struct pare_node *unsqueeze = made_by(g, v, "Unsqueeze"), *expand, *reshape;
	const struct pare_attr *axes = unsqueeze != NULL ? pare_node_attr(unsqueeze, "axes") : NULL;
	int64_t shape[PARE_MAX_DIMS];

	if (unsqueeze == NULL || !(unsqueeze->n_in == 2 ? is_integer(g, unsqueeze->in[1], -1) : axes != NULL && axes->type == PARE_ATTR_INTS && axes->n == 1 && axes->ints[0] == -1))
		return false;
	expand = made_by(g, unsqueeze->in[0], "Expand");
	if (expand == NULL)
		return false;
	if (axis == n - 1)
		return read_part(g, expand->in[0], x, axis, out);
	reshape = made_by(g, expand->in[0], "Reshape");
	if (reshape == NULL || reshape->n_in != 2 || integers(g, reshape->in[1], shape, PARE_MAX_DIMS) != (size_t)(n - axis) || shape[0] != -1)
		return false;
	for (int i = 1; i < n - axis; i++)
		if (shape[i] != 1)
			return false;
	return read_part(g, reshape->in[0], x, axis, out);
}

/* How many axes the places name; 0: they are no part of x. */
static int read_places(const struct pare_graph *g, const struct pare_node *scatter, struct part *parts)
{
	const struct pare_node *concat = made_by(g, scatter->in[1], "Concat");

	if (concat == NULL || concat->n_in > PARE_MAX_DIMS || pare_node_int(concat, "axis", 0) != -1)
		return 0;
	for (int i = 0; i < concat->n_in; i++)
		if (!read_component(g, concat->in[i], scatter->in[0], i, concat->n_in, &parts[i]))
			return 0;
	return concat->n_in;
}

struct writer {
	const struct pare_graph *g;
	struct pare_rewrite *rw;
	int32_t node;
	enum pare_code code;
	struct pare_err *err;
};

/* A node in the place of the scatter; its output's name is taken from base, or new. */
static const char *put(struct writer *w, struct pare_new_node n, bool last)
{
	const char *result = w->g->values[w->g->nodes[w->node].out[0]].name;

	n.before = w->node;
	n.instead = true;
	n.out = last ? result : pare_rewrite_name(w->rw, w->g, result);
	if (w->code == PARE_OK)
		w->code = n.out != NULL ? pare_rewrite_add_node(w->rw, &n, w->err) : pare_err_nomem(w->err, 0);
	return n.out;
}

static const char *number(struct writer *w, int64_t v)
{
	int64_t *bytes = pare_arena_array(&w->rw->arena, 1, sizeof *bytes);
	struct pare_new_init init = {.name = pare_rewrite_name(w->rw, w->g, w->g->values[w->g->nodes[w->node].out[0]].name), .dtype = PARE_DT_INT64, .n_dims = 1, .dims = {1},
	    .bytes = bytes, .n_bytes = sizeof *bytes};

	if (bytes == NULL || init.name == NULL)
		w->code = pare_err_nomem(w->err, sizeof *bytes);
	else
		*bytes = v;
	if (w->code == PARE_OK)
		w->code = pare_rewrite_add_init(w->rw, &init, w->err);
	return init.name;
}

static const char *slice(struct writer *w, const char *x, int64_t from, int64_t to, int axis)
{
	return put(w, (struct pare_new_node){.op = "Slice", .in = {x, number(w, from), number(w, to), number(w, axis)}}, false);
}

/* x with u in the place of that part of it; parts of further axes are those of what is sliced. */
static void write_parts(struct writer *w, const char *x, const char *u, const struct part *parts, int n)
{
	const char *of[PARE_MAX_DIMS + 1] = {x}, *is = u;
	int axes[PARE_MAX_DIMS], k = 0;

	for (int i = 0; i < n && w->code == PARE_OK; i++) {
		if (parts[i].whole)
			continue;
		axes[k++] = i;
		of[k] = i < n - 1 ? slice(w, of[k - 1], parts[i].from, parts[i].to, i) : NULL;
	}
	if (k == 0)
		(void)put(w, (struct pare_new_node){.op = "Identity", .in = {u}}, true);
	for (int i = k - 1; i >= 0 && w->code == PARE_OK; i--) {
		const struct part *p = &parts[axes[i]];
		struct pare_new_node concat = {.op = "Concat", .attr = {{.name = "axis", .value = axes[i]}}};
		int m = 0;

		if (p->from != 0)
			concat.in[m++] = slice(w, of[i], 0, p->from, axes[i]);
		concat.in[m++] = is;
		if (p->to != INT64_MAX)
			concat.in[m++] = slice(w, of[i], p->to, INT64_MAX, axes[i]);
		is = put(w, concat, i == 0);
	}
}

enum pare_code pare_lift_assign(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	const struct pare_graph *g = &m->graph;
	struct writer w = {.g = g, .rw = rw, .err = err};

	for (int32_t i = 0; i < g->n_nodes && w.code == PARE_OK; i++) {
		const struct pare_node *node = &g->nodes[i];
		struct part parts[PARE_MAX_DIMS];
		int n_axes;

		if (strcmp(node->op_type, "ScatterND") != 0 || node->domain[0] != '\0' || node->n_in != 3 || node->n_out != 1 || node->out[0] < 0 || node->n_attrs > 0 ||
		    node->in[0] < 0 || node->in[2] < 0 || rw->drop_node[i])
			continue;
		n_axes = read_places(g, node, parts);
		if (n_axes == 0)
			continue;
		w.node = i;
		write_parts(&w, pare_rewrite_input(rw, g, i, 0), pare_rewrite_input(rw, g, i, 2), parts, n_axes);
		rw->drop_node[i] = true;
		*n += 1;
	}
	return w.code;
}
