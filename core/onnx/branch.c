/* An If whose condition follows from shapes is no choice: PyTorch's exporter writes one for every squeeze of an axis whose size it does not know while it traces
 * (squeeze, LocalResponseNorm, the end of an attention), though the file's own shapes tell. The nodes of the branch that is taken go where the If stood.
 *
 * They are copied as they came, but for names: what the branch gives gets the names of what the If gave; what is its own keeps its name unless the graph has that one,
 * too (two branches may); the rest are values of the graph. Its initializers become Constant nodes, of which lifting makes
 * initializers again where they are weights. A branch whose nodes hold graphs themselves would need names changed in those; it stays.
 *
 * A condition behind another If is known once that one has gone, so this is done until nothing comes of it. */
#include <math.h>
#include <string.h>

#include "core/graph/lift.h"
#include "core/onnx/loop_priv.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

#define MAX_OWN 256                  /* names of a branch */
#define MAX_WORK ((size_t)1 << 24)   /* nodes looked at: some seconds */

struct own {
	struct pare_span name;
	const char *now;
};

struct inliner {
	const struct pare_model *m;
	struct pare_rewrite *rw;
	const struct pare_node *node;
	int32_t index;
	struct pare_span branch;
	struct own own[MAX_OWN];
	int n_own;
	bool given[MAX_OWN]; /* by output of the If: a node of the branch has its name */
	struct pare_err *err;
};

static struct own *find(struct inliner *f, struct pare_span name)
{
	for (int i = 0; i < f->n_own; i++)
		if (pare_wire_same(f->own[i].name, name))
			return &f->own[i];
	return NULL;
}

/* The next field of that number. */
static bool next(struct pare_wire *w, uint32_t number, struct pare_field *out)
{
	while (pare_wire_next(w, out))
		if (out->number == number)
			return true;
	return false;
}

static struct pare_wire begin(const struct inliner *f, struct pare_span message)
{
	struct pare_wire w;

	pare_wire_init(&w, f->m->file.data, message);
	return w;
}

static bool has_field(const struct inliner *f, struct pare_span message, uint32_t number)
{
	struct pare_wire w = begin(f, message);
	struct pare_field in;

	return next(&w, number, &in);
}

/* --- may it be taken over? */

static bool is_plain_node(const struct inliner *f, struct pare_span node)
{
	struct pare_wire w = begin(f, node);
	struct pare_field in;

	while (next(&w, NODE_ATTRIBUTE, &in))
		if (has_field(f, in.span, ATTR_G) || has_field(f, in.span, ATTR_GRAPHS))
			return false;
	return true;
}

static bool is_plain(const struct inliner *f)
{
	struct pare_wire w = begin(f, f->branch);
	struct pare_field in;
	int n_out = 0;

	while (pare_wire_next(&w, &in)) {
		if (in.number == GRAPH_INPUT || in.number == GRAPH_SPARSE_INITIALIZER)
			return false;
		if (in.number == GRAPH_NODE && !is_plain_node(f, in.span))
			return false;
		if (in.number == GRAPH_INITIALIZER && has_field(f, in.span, TENSOR_DATA_LOCATION))
			return false;
		n_out += in.number == GRAPH_OUTPUT;
	}
	return n_out == f->node->n_out && n_out <= MAX_OWN;
}

/* --- names */

/* The first output of the branch with that name that the If gives to somebody; -1: none. */
static int output_of(const struct inliner *f, struct pare_span name)
{
	struct pare_wire w = begin(f, f->branch);
	struct pare_field in;

	for (int k = 0; next(&w, GRAPH_OUTPUT, &in); k++)
		if (f->node->out[k] >= 0 && pare_wire_same(pare_wire_find(f->m->file.data, in.span, VALUE_NAME), name))
			return k;
	return -1;
}

static const char *text_of(struct inliner *f, struct pare_span name)
{
	return name.len > 0 ? pare_arena_strndup(&f->rw->arena, (const char *)name.data, name.len) : "";
}

/* False when the branch defines it twice or has too many names, or without memory, which err says. */
static bool define(struct inliner *f, struct pare_span name)
{
	int k = output_of(f, name);
	const char *now;

	if (name.len == 0)
		return true;
	if (f->n_own == MAX_OWN || find(f, name) != NULL)
		return false;
	now = k >= 0 ? f->m->graph.values[f->node->out[k]].name : text_of(f, name);
	if (now != NULL && k < 0) {
		now = pare_rewrite_name(f->rw, &f->m->graph, now);
		if (now != NULL && pare_names_put(&f->rw->names, pare_text_span(now)) == NULL)
			now = NULL;
	}
	if (now == NULL) {
		(void)pare_err_nomem(f->err, name.len);
		return false;
	}
	if (k >= 0)
		f->given[k] = true;
	f->own[f->n_own++] = (struct own){.name = name, .now = now};
	return true;
}

static bool define_all(struct inliner *f)
{
	struct pare_wire w = begin(f, f->branch);
	struct pare_field in, out;
	bool ok = true;

	while (ok && pare_wire_next(&w, &in)) {
		struct pare_wire n = begin(f, in.span);

		if (in.number == GRAPH_INITIALIZER)
			ok = define(f, pare_wire_find(f->m->file.data, in.span, TENSOR_NAME));
		while (in.number == GRAPH_NODE && ok && next(&n, NODE_OUTPUT, &out))
			ok = define(f, out.span);
	}
	return ok;
}

/* --- nodes */

static const char *now_named(struct inliner *f, struct pare_span name)
{
	const struct own *o = name.len > 0 ? find(f, name) : NULL;

	return o != NULL ? o->now : text_of(f, name);
}

static enum pare_code list_names(struct inliner *f, struct pare_span node, uint32_t number, const char *const **out, size_t *n)
{
	struct pare_wire w = begin(f, node);
	struct pare_field in;
	const char **list;

	*n = 0;
	while (next(&w, number, &in))
		++*n;
	list = pare_arena_array(&f->rw->arena, *n + 1, sizeof *list);
	if (list == NULL)
		return pare_err_nomem(f->err, *n);
	w = begin(f, node);
	for (size_t k = 0; next(&w, number, &in); k++) {
		list[k] = now_named(f, in.span);
		if (list[k] == NULL)
			return pare_err_nomem(f->err, in.span.len);
	}
	*out = list;
	return PARE_OK;
}

static enum pare_code add_node(struct inliner *f, struct pare_span node)
{
	struct pare_new_node n = {.before = f->index, .instead = true, .copy = node};
	enum pare_code code = list_names(f, node, NODE_INPUT, &n.copy_in, &n.n_copy_in);

	if (code == PARE_OK)
		code = list_names(f, node, NODE_OUTPUT, &n.copy_out, &n.n_copy_out);
	return code == PARE_OK ? pare_rewrite_add_node(f->rw, &n, f->err) : code;
}

static enum pare_code add_constant(struct inliner *f, struct pare_span tensor)
{
	struct pare_tensor *t = pare_arena_alloc(&f->rw->arena, sizeof *t);
	const char *name = now_named(f, pare_wire_find(f->m->file.data, tensor, TENSOR_NAME));

	if (t == NULL || name == NULL)
		return pare_err_nomem(f->err, sizeof *t);
	t->wire = tensor;
	return pare_rewrite_add_node(f->rw, &(struct pare_new_node){.before = f->index, .instead = true, .op = "Constant", .out = name, .constant = t}, f->err);
}

/* What the branch hands on, or gives twice. */
static enum pare_code add_rest(struct inliner *f)
{
	struct pare_wire w = begin(f, f->branch);
	struct pare_field in;
	enum pare_code code = PARE_OK;

	for (int k = 0; code == PARE_OK && next(&w, GRAPH_OUTPUT, &in); k++) {
		const char *name = now_named(f, pare_wire_find(f->m->file.data, in.span, VALUE_NAME));

		if (name == NULL)
			return pare_err_nomem(f->err, 0);
		if (f->node->out[k] >= 0 && !f->given[k])
			code = pare_rewrite_add_node(f->rw, &(struct pare_new_node){.before = f->index, .instead = true, .op = "Identity", .in = {name},
			    .out = f->m->graph.values[f->node->out[k]].name}, f->err);
	}
	return code;
}

static enum pare_code take(struct inliner *f, size_t *n)
{
	enum pare_code code = PARE_OK;
	struct pare_wire w = begin(f, f->branch);
	struct pare_field in;

	f->err->code = PARE_OK;
	if (!is_plain(f))
		return PARE_OK;
	if (!define_all(f))
		return f->err->code;
	while (code == PARE_OK && pare_wire_next(&w, &in))
		if (in.number == GRAPH_INITIALIZER)
			code = add_constant(f, in.span);
	w = begin(f, f->branch);
	while (code == PARE_OK && next(&w, GRAPH_NODE, &in))
		code = add_node(f, in.span);
	if (code == PARE_OK)
		code = add_rest(f);
	f->rw->drop_node[f->index] = true;
	*n += code == PARE_OK;
	return code;
}

static bool is_if(const struct pare_node *n)
{
	return n->domain[0] == '\0' && strcmp(n->op_type, "If") == 0 && n->n_in == 1 && n->in[0] >= 0;
}

bool pare_has_branches(const struct pare_model *m)
{
	for (int32_t i = 0; i < m->graph.n_nodes; i++)
		if (is_if(&m->graph.nodes[i]))
			return true;
	return false;
}

enum pare_code pare_lift_branches(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, size_t *work, struct pare_err *err)
{
	struct inliner *f = NULL;
	enum pare_code code = PARE_OK;

	for (int32_t i = 0; i < m->graph.n_nodes && code == PARE_OK && *work < MAX_WORK; i++) {
		const struct pare_node *node = &m->graph.nodes[i];
		const struct pare_attr *branch;
		double v;

		if (!is_if(node))
			continue;
		code = pare_graph_decide(m, node->in[0], &v, work, err);
		branch = pare_node_attr(node, v != 0 ? "then_branch" : "else_branch");
		if (code != PARE_OK || isnan(v) || branch == NULL || branch->type != PARE_ATTR_GRAPH)
			continue;
		if (f == NULL)
			f = pare_alloc(sizeof *f);
		if (f == NULL)
			return pare_err_nomem(err, sizeof *f);
		*f = (struct inliner){.m = m, .rw = rw, .node = node, .index = i, .branch = branch->s, .err = err};
		code = take(f, n);
	}
	pare_free(f);
	return code;
}
