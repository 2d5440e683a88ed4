/* An assignment to a part of a tensor, x[:, 2:, :-1] = u, as PyTorch's exporter writes it: every place that is written, spelt out of sizes.
 *
 *   ScatterND(x, Concat(Unsqueeze(Expand(r_0)), Unsqueeze(Expand(r_1)), ...), u)    with r_i, along axis i of as many as there are parts,
 *       Range(0, Shape(x)[i], 1)          all of the axis
 *       Slice(Range(...), from, to)       a part of it
 *       [k]                               one place
 *       Slice(Range(...), from, to, step), [j, k, ...]   places by number
 *
 * It becomes what it says: x before and behind the part, along one axis after the other, with u between them; u alone where all is written. So
 * channels and heads are followed through it like through any Concat, and a batch is cut into shards, which a list of places that counts rows forbids.
 * Of ends with different signs the part may be empty, which only the length tells; what stands behind is then taken from behind the beginning of the part, so that
 * nothing comes twice. Where places go by number, x and u stand one behind the other, and the places pick: [0, 1, 2, 3] with u in the place of 1 and 3 is 0, 4, 2, 5.
 * What picks follows from sizes and is constant; that axis stays as long as it is.
 * Anything else that is not exactly so, and rows by number, stay. */
#include <string.h>

#include "core/graph/lift_priv.h"
#include "core/graph/shape.h"

#define MAX_PLACES 256

/* What is written along an axis. */
struct part {
	bool whole;
	int64_t from, to; /* negative: counted from the end; INT64_MAX: to the end */
	const char *places; /* by number, in the order of u: an integer vector of the graph; NULL: from and to hold */
};

static bool is_integer(const struct pare_graph *g, int32_t v, int64_t want)
{
	int64_t is;

	return pare_lift_integers(g, v, &is, 1) == 1 && is == want;
}

/* Range(0, Shape(x)[axis], 1) */
static bool is_whole(const struct pare_graph *g, int32_t v, int32_t x, int axis)
{
	const struct pare_node *range = pare_lift_made_by(g, v, "Range"), *n;

	if (range == NULL || range->n_in != 3 || !is_integer(g, range->in[0], 0) || !is_integer(g, range->in[2], 1))
		return false;
	n = pare_lift_made_by(g, range->in[1], "Cast");
	n = pare_lift_made_by(g, n != NULL ? n->in[0] : range->in[1], "Gather");
	if (n == NULL || n->n_in != 2 || pare_node_int(n, "axis", 0) != 0 || !is_integer(g, n->in[1], axis))
		return false;
	n = pare_lift_made_by(g, n->in[0], "Shape");
	return n != NULL && n->in[0] == x && n->n_attrs == 0;
}

/* Certainly no place: what stands before it and behind it would overlap. */
static bool is_empty(const struct part *p)
{
	return (p->from < 0) == (p->to < 0) && p->from >= p->to;
}

static bool read_part(const struct pare_graph *g, int32_t v, int32_t x, int axis, struct part *out)
{
	const struct pare_node *n = pare_lift_made_by(g, v, "Slice");
	int64_t k, list[MAX_PLACES];

	*out = (struct part){.whole = n == NULL && is_whole(g, v, x, axis)};
	if (out->whole)
		return true;
	if (n != NULL && n->n_in == 5 && is_whole(g, n->in[0], x, axis) && pare_lift_integers(g, n->in[1], &out->from, 1) == 1 &&
	    pare_lift_integers(g, n->in[2], &out->to, 1) == 1 && is_integer(g, n->in[3], 0) && pare_lift_integers(g, n->in[4], &k, 1) == 1) {
		out->places = k != 1 ? g->values[v].name : NULL;
		return k != 1 ? axis > 0 : out->to != 0 && !is_empty(out);
	}
	if (n != NULL)
		return false;
	if (pare_lift_integers(g, v, list, MAX_PLACES) > 1 && axis > 0) {
		out->places = g->values[v].name;
		return true;
	}
	if (pare_lift_integers(g, v, &k, 1) != 1)
		return false;
	out->from = k;
	out->to = k == -1 ? INT64_MAX : k + 1;
	return true;
}

/* One component of the places: r along that axis of n, as wide as the others. */
static bool read_component(const struct pare_graph *g, int32_t v, int32_t x, int axis, int n, struct part *out)
{
	const struct pare_node *unsqueeze = pare_lift_made_by(g, v, "Unsqueeze"), *expand, *reshape;
	const struct pare_attr *axes = unsqueeze != NULL ? pare_node_attr(unsqueeze, "axes") : NULL;
	int64_t shape[PARE_MAX_DIMS];

	if (unsqueeze == NULL || !(unsqueeze->n_in == 2 ? is_integer(g, unsqueeze->in[1], -1) : axes != NULL && axes->type == PARE_ATTR_INTS && axes->n == 1 && axes->ints[0] == -1))
		return false;
	expand = pare_lift_made_by(g, unsqueeze->in[0], "Expand");
	if (expand == NULL)
		return false;
	if (axis == n - 1)
		return read_part(g, expand->in[0], x, axis, out);
	reshape = pare_lift_made_by(g, expand->in[0], "Reshape");
	if (reshape == NULL || reshape->n_in != 2 || pare_lift_integers(g, reshape->in[1], shape, PARE_MAX_DIMS) != (size_t)(n - axis) || shape[0] != -1)
		return false;
	for (int i = 1; i < n - axis; i++)
		if (shape[i] != 1)
			return false;
	return read_part(g, reshape->in[0], x, axis, out);
}

/* How many axes the places name; 0: they are no part of x. */
static int read_places(const struct pare_graph *g, const struct pare_node *scatter, struct part *parts)
{
	const struct pare_node *concat = pare_lift_made_by(g, scatter->in[1], "Concat");

	if (concat == NULL || concat->n_in > PARE_MAX_DIMS || pare_node_int(concat, "axis", 0) != -1)
		return 0;
	for (int i = 0; i < concat->n_in; i++)
		if (!read_component(g, concat->in[i], scatter->in[0], i, concat->n_in, &parts[i]))
			return 0;
	return concat->n_in;
}

static const char *slice(struct pare_lift_writer *w, const char *x, int64_t from, int64_t to, int axis)
{
	const int64_t along = axis;

	return pare_lift_put(w, (struct pare_new_node){.op = "Slice", .in = {x, pare_lift_ints(w, &from, 1), pare_lift_ints(w, &to, 1), pare_lift_ints(w, &along, 1)}}, false);
}

static const char *along(struct pare_lift_writer *w, const char *op, const char *x, const char *y, int axis, bool last)
{
	return pare_lift_put(w, (struct pare_new_node){.op = op, .in = {x, y}, .attr = {{.name = "axis", .value = axis}}}, last);
}

static const char *part_of(struct pare_lift_writer *w, const char *x, const struct part *p, int axis)
{
	return p->places != NULL ? along(w, "Gather", x, p->places, axis, false) : slice(w, x, p->from, p->to, axis);
}

static const char *number(struct pare_lift_writer *w, int64_t v)
{
	return pare_lift_init(w, (struct pare_new_init){.dtype = PARE_DT_INT64, .bytes = &v, .n_bytes = sizeof v});
}

/* x with u in the place of that part of one axis: u between what stands before and behind it. */
static const char *write_between(struct pare_lift_writer *w, const char *x, const char *u, const struct part *p, int axis, bool last)
{
	struct pare_new_node concat = {.op = "Concat", .attr = {{.name = "axis", .value = axis}}};
	bool may_be_empty = (p->from < 0) != (p->to < 0) && p->from != 0 && p->to != INT64_MAX;
	int m = 0;

	if (p->from != 0)
		concat.in[m++] = slice(w, x, 0, p->from, axis);
	concat.in[m++] = u;
	if (may_be_empty)
		x = slice(w, x, p->from < 0 ? p->to : p->from, INT64_MAX, axis);
	if (p->to != INT64_MAX)
		concat.in[m++] = slice(w, x, may_be_empty && p->from < 0 ? p->from : p->to, INT64_MAX, axis);
	return pare_lift_put(w, concat, last);
}

/* The same of places by number. */
static const char *write_picked(struct pare_lift_writer *w, const char *x, const char *u, const struct part *p, int axis, bool last)
{
	const char *none = number(w, 0), *one = number(w, 1);
	const char *shape = pare_lift_put(w, (struct pare_new_node){.op = "Shape", .in = {x}}, false), *n = along(w, "Gather", shape, number(w, axis), 0, false);
	const char *shapes = pare_lift_put(w, (struct pare_new_node){.op = "Shape", .in = {p->places}}, false), *k = along(w, "Gather", shapes, none, 0, false);
	const char *end = pare_lift_put(w, (struct pare_new_node){.op = "Add", .in = {n, k}}, false);
	const char *own = pare_lift_put(w, (struct pare_new_node){.op = "Range", .in = {none, n, one}}, false);
	const char *new = pare_lift_put(w, (struct pare_new_node){.op = "Range", .in = {n, end, one}}, false);
	const char *order = pare_lift_put(w, (struct pare_new_node){.op = "ScatterElements", .in = {own, p->places, new}}, false);

	return along(w, "Gather", along(w, "Concat", x, u, axis, false), order, axis, last);
}

/* x with u in the place of that part of it; parts of further axes are those of what is taken. */
static void write_parts(struct pare_lift_writer *w, const char *x, const char *u, const struct part *parts, int n)
{
	const char *of[PARE_MAX_DIMS + 1] = {x}, *is = u;
	int axes[PARE_MAX_DIMS], k = 0;

	for (int i = 0; i < n && w->code == PARE_OK; i++) {
		if (parts[i].whole)
			continue;
		axes[k++] = i;
		of[k] = i < n - 1 ? part_of(w, of[k - 1], &parts[i], i) : NULL;
	}
	if (k == 0)
		(void)pare_lift_put(w, (struct pare_new_node){.op = "Identity", .in = {u}}, true);
	for (int i = k - 1; i >= 0 && w->code == PARE_OK; i--)
		is = (parts[axes[i]].places != NULL ? write_picked : write_between)(w, of[i], is, &parts[axes[i]], axes[i], i == 0);
}

enum pare_code pare_lift_assign(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	const struct pare_graph *g = &m->graph;
	struct pare_lift_writer w = {.g = g, .rw = rw, .err = err};

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
