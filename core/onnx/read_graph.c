/* GraphProto to struct pare_graph.
 *
 * Names become indices in this order: every definition (input, initializer, node output) is listed; names.c sorts the list,
 * refuses duplicates and numbers the values; then the inputs of nodes are looked up. A node may stand before the producer
 * of its input in the file only by mistake: that is found last, by comparing node numbers, and covers cycles too.
 *
 * An initializer may share its name with a graph input (before IR 4 it had to); they are one value then, and it is not
 * something that a caller must feed. */
#include <stdio.h>
#include <string.h>

#include "core/onnx/read_priv.h"

#define MAX_ATTRS 128 /* of one node; ONNX's own operators have at most 14 */

static void enter(const struct pare_onnx_reader *r, struct pare_wire *w, struct pare_span span)
{
	pare_wire_init(w, r->m->file.data, span);
}

/* Everything of pass two but the values, whose number is known once names are joined. */
static bool allocate(struct pare_onnx_reader *r)
{
	struct pare_arena *a = &r->m->arena;
	size_t n_defs = r->n.inputs + r->n.inits + r->n.sparse + r->n.out; /* each at least two bytes of the file */

	if (r->n.nodes > INT32_MAX || n_defs > INT32_MAX || r->n.in > INT32_MAX || r->n.outputs > INT32_MAX) {
		(void)pare_err_set(r->err, PARE_E_LIMIT, NULL, "the graph has more than %d nodes or values", INT32_MAX);
		return false;
	}
	r->names.defs = pare_onnx_take(r, &r->scratch, n_defs, sizeof *r->names.defs);
	if (r->names.defs == NULL)
		return false;
	r->text = pare_onnx_take(r, a, r->n.text, 1);
	if (r->text == NULL)
		return false;
	r->refs = pare_onnx_take(r, a, r->n.in + r->n.out + r->n.inputs + r->n.outputs + r->n.inits, sizeof *r->refs);
	if (r->refs == NULL)
		return false;
	r->attrs = pare_onnx_take(r, a, r->n.attrs, sizeof *r->attrs);
	if (r->attrs == NULL)
		return false;
	r->tensors = pare_onnx_take(r, a, r->n.tensors + r->n.inits + r->n.sparse, sizeof *r->tensors);
	if (r->tensors == NULL)
		return false;
	r->ints = pare_onnx_take(r, a, r->n.ints, sizeof *r->ints);
	if (r->ints == NULL)
		return false;
	r->floats = pare_onnx_take(r, a, r->n.floats, sizeof *r->floats);
	if (r->floats == NULL)
		return false;
	r->strings = pare_onnx_take(r, a, r->n.strings, sizeof *r->strings);
	return r->strings != NULL;
}

static enum pare_code define(struct pare_onnx_reader *r, const char *name, bool is_input, bool is_init)
{
	if (name[0] == '\0')
		return pare_onnx_bad(r, is_input ? "graph input" : "initializer", name, "it has no name");
	r->names.defs[r->names.n++] = (struct pare_onnx_def){.name = name, .is_input = is_input, .is_init = is_init};
	return PARE_OK;
}

/* A sparse initializer defines a name, with the dense shape, and no values that we read. */
static enum pare_code read_sparse(struct pare_onnx_reader *r, struct pare_span span, struct pare_tensor *t)
{
	struct pare_span values = pare_wire_find(r->m->file.data, span, SPARSE_VALUES);

	if (values.data == NULL)
		return pare_onnx_bad(r, "sparse initializer", "", "it has no values");
	return pare_onnx_tensor(r, values, t);
}

/* Inputs and initializers become definitions in file order, before any node. */
static enum pare_code define_constants(struct pare_onnx_reader *r, struct pare_tensor *inits)
{
	enum pare_code code = PARE_OK;
	struct pare_tensor *t = inits;
	struct pare_field f;
	struct pare_wire w;

	enter(r, &w, r->graph);
	while (code == PARE_OK && pare_wire_next(&w, &f))
		if (f.number == GRAPH_INPUT)
			code = define(r, pare_onnx_text(r, pare_wire_find(r->m->file.data, f.span, VALUE_NAME)), true, false);
	for (uint32_t kind = GRAPH_INITIALIZER; code == PARE_OK; kind = GRAPH_SPARSE_INITIALIZER) {
		enter(r, &w, r->graph);
		while (code == PARE_OK && pare_wire_next(&w, &f)) {
			if (f.number != kind)
				continue;
			code = kind == GRAPH_INITIALIZER ? pare_onnx_tensor(r, f.span, t) : read_sparse(r, f.span, t);
			if (code == PARE_OK)
				code = define(r, t->name, false, true);
			t++;
		}
		if (kind == GRAPH_SPARSE_INITIALIZER)
			break;
	}
	return code;
}

static enum pare_code bad_node(struct pare_onnx_reader *r, int32_t node, enum pare_code code)
{
	const struct pare_node *nd = &r->m->graph.nodes[node];
	char label[PARE_NAME_SHOWN + 16], op[PARE_NAME_SHOWN];

	pare_node_label(&r->m->graph, node, label, sizeof label);
	(void)pare_err_at(r->err, "node \"%s\" (%s)", label, pare_name_shown(nd->op_type, op));
	return code;
}

static enum pare_code add_attr(struct pare_onnx_reader *r, struct pare_node *nd, int32_t call, struct pare_span span)
{
	struct pare_span value = call >= 0 ? pare_onnx_attr_value(r, call, span) : span;
	struct pare_attr *a = r->attrs;
	enum pare_code code;

	if (value.data == NULL)
		return PARE_OK;
	r->attrs++;
	code = pare_onnx_attr(r, value, a);
	if (code != PARE_OK)
		return code;
	if (value.data != span.data)
		a->name = pare_onnx_text(r, pare_wire_find(r->m->file.data, span, ATTR_NAME));
	if (nd->n_attrs == MAX_ATTRS) {
		(void)pare_onnx_bad(r, "attribute", a->name, "a node may have at most %d attributes", MAX_ATTRS);
		return r->err->code = PARE_E_LIMIT;
	}
	if (pare_node_attr(nd, a->name) != NULL)
		return pare_onnx_bad(r, "attribute", a->name, "the node has it twice");
	nd->n_attrs++;
	return PARE_OK;
}

/* A value as a node names it. */
static const char *node_name(struct pare_onnx_reader *r, int32_t call, struct pare_span name)
{
	return call < 0 ? pare_onnx_text(r, name) : pare_onnx_scoped(r, call, name);
}

/* The texts of a node, and its outputs as definitions. Inputs wait until every name is known. */
static enum pare_code read_node(struct pare_onnx_reader *r, int32_t index)
{
	struct pare_node *nd = &r->m->graph.nodes[index];
	struct pare_span span = r->items[index].node;
	int32_t call = r->items[index].call;
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire w;
	const char *name;

	nd->wire = span;
	nd->inlined = call >= 0;
	nd->repeated = call >= 0 && r->calls[call].repeated;
	nd->opset = call >= 0 ? pare_onnx_function_opset(r, call, span) : 0;
	nd->attrs = r->attrs;
	nd->name = pare_onnx_text(r, pare_wire_find(r->m->file.data, span, NODE_NAME));
	nd->op_type = pare_onnx_text(r, pare_wire_find(r->m->file.data, span, NODE_OP_TYPE));
	nd->domain = pare_onnx_text(r, pare_wire_find(r->m->file.data, span, NODE_DOMAIN));
	if (strcmp(nd->domain, "ai.onnx") == 0)
		nd->domain = "";
	if (nd->op_type[0] == '\0')
		return bad_node(r, index, pare_err_set(r->err, PARE_E_MODEL, NULL, "the node names no operator (op_type is empty)"));
	enter(r, &w, span);
	while (code == PARE_OK && pare_wire_next(&w, &f)) {
		switch (f.number) {
		case NODE_INPUT:
			nd->n_in++;
			break;
		case NODE_OUTPUT:
			nd->n_out++;
			name = node_name(r, call, f.span);
			code = name == NULL ? r->err->code : name[0] != '\0' ? define(r, name, false, false) : PARE_OK;
			break;
		case NODE_ATTRIBUTE:
			code = add_attr(r, nd, call, f.span);
			break;
		default:
			break;
		}
	}
	if (code == PARE_OK)
		code = pare_onnx_inline_check(r);
	return code == PARE_OK ? PARE_OK : bad_node(r, index, code);
}

static enum pare_code read_nodes(struct pare_onnx_reader *r)
{
	struct pare_graph *g = &r->m->graph;
	struct pare_field f;
	struct pare_wire w;

	enter(r, &w, r->graph);
	while (pare_wire_next(&w, &f))
		if (f.number == GRAPH_NAME)
			g->name = pare_onnx_text(r, f.span);
	while ((size_t)g->n_nodes < r->n_items) {
		enum pare_code code = read_node(r, g->n_nodes);

		if (code != PARE_OK)
			return code;
		g->n_nodes++;
	}
	return PARE_OK;
}

/* The value that a node names; -1 if it is left out or nothing has that name. False with err set. */
static bool find_value(struct pare_onnx_reader *r, int32_t index, struct pare_span name, int32_t *out)
{
	int32_t call = r->items[index].call;
	const char *text;

	*out = -1;
	if (call >= 0) {
		text = pare_onnx_scoped(r, call, name);
		if (text == NULL)
			return false;
		name = (struct pare_span){(const uint8_t *)text, strlen(text)};
	}
	if (name.len != 0)
		*out = pare_onnx_names_find(&r->names, name);
	return true;
}

/* An input of the function around that its call leaves out. */
static bool is_left_out(const struct pare_onnx_reader *r, int32_t index, struct pare_span name)
{
	const struct pare_onnx_call *c = r->items[index].call >= 0 ? &r->calls[r->items[index].call] : NULL;

	for (size_t i = 0; c != NULL && i < c->n_names; i++)
		if (c->names[i].formal.len == name.len && memcmp(c->names[i].formal.data, name.data, name.len) == 0)
			return c->names[i].actual[0] == '\0';
	return false;
}

static enum pare_code resolve_node(struct pare_onnx_reader *r, int32_t index)
{
	struct pare_graph *g = &r->m->graph;
	struct pare_node *nd = &g->nodes[index];
	int32_t *in = r->refs, *out = in + nd->n_in;
	char shown[PARE_NAME_SHOWN];
	struct pare_field f;
	struct pare_wire w;

	nd->in = in;
	nd->out = out;
	r->refs += nd->n_in + nd->n_out;
	enter(r, &w, nd->wire);
	while (pare_wire_next(&w, &f)) {
		int32_t v = -1;

		if (f.number != NODE_INPUT && f.number != NODE_OUTPUT)
			continue;
		if (!find_value(r, index, f.span, &v))
			return bad_node(r, index, r->err->code);
		if (f.number == NODE_OUTPUT) {
			*out++ = v;
			if (v >= 0)
				g->values[v].producer = index;
			continue;
		}
		*in++ = v;
		if (f.span.len != 0 && v < 0 && !is_left_out(r, index, f.span))
			return bad_node(r, index, pare_err_set(r->err, PARE_E_MODEL, NULL,
			    "its input \"%s\" is no graph input, no initializer and no output of any node", pare_onnx_shown(f.span, shown)));
	}
	return PARE_OK;
}

/* Producers are known only after all nodes are resolved; then order is a comparison of indices. */
static enum pare_code check_order(struct pare_onnx_reader *r)
{
	struct pare_graph *g = &r->m->graph;
	char shown[PARE_NAME_SHOWN];

	for (int32_t i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_in; k++) {
			int32_t v = g->nodes[i].in[k];

			if (v >= 0 && g->values[v].producer >= i)
				return bad_node(r, i, pare_err_set(r->err, PARE_E_MODEL, NULL,
				    "its input \"%s\" is computed by a later node or by itself; nodes must stand in topological order, without cycles",
				    pare_name_shown(g->values[v].name, shown)));
		}
	return PARE_OK;
}

/* Each definition's part in its value. inits points at the tensors, first the dense, then the sparse ones. */
static bool make_values(struct pare_onnx_reader *r, struct pare_tensor *inits, int32_t n_values)
{
	struct pare_graph *g = &r->m->graph;
	int32_t first_init = (int32_t)r->n.inputs, first_sparse = first_init + (int32_t)r->n.inits, first_out = first_sparse + (int32_t)r->n.sparse;

	g->values = pare_onnx_take(r, &r->m->arena, (size_t)n_values, sizeof *g->values);
	if (g->values == NULL)
		return false;
	g->n_values = n_values;
	for (int32_t i = 0; i < n_values; i++) {
		g->values[i].producer = -1;
		g->values[i].n_dims = -1;
	}
	g->inits = r->refs;
	for (int32_t d = 0; d < r->names.n; d++) {
		struct pare_value *v = &g->values[r->names.defs[d].value];

		v->name = r->names.defs[d].name;
		v->is_input |= r->names.defs[d].is_input;
		if (d >= first_init && d < first_sparse) {
			v->init = &inits[d - first_init];
			v->dtype = v->init->dtype;
			v->n_dims = v->init->n_dims;
			memcpy(v->dims, v->init->dims, sizeof v->dims);
			*r->refs++ = r->names.defs[d].value;
			g->n_inits++;
		}
		if (d >= first_sparse && d < first_out)
			v->dtype = inits[d - first_init].dtype;
	}
	return true;
}

static enum pare_code add_output(struct pare_onnx_reader *r, struct pare_span span, int32_t *v)
{
	struct pare_span name = pare_wire_find(r->m->file.data, span, VALUE_NAME);
	char shown[PARE_NAME_SHOWN];

	*v = name.len != 0 ? pare_onnx_names_find(&r->names, name) : -1;
	if (*v < 0)
		return pare_err_set(r->err, PARE_E_MODEL, "graph output", "the output \"%s\" is no graph input, no initializer and no output of any node",
		    pare_onnx_shown(name, shown));
	r->m->graph.values[*v].is_output = true;
	*r->refs++ = *v;
	r->m->graph.n_outputs++;
	return PARE_OK;
}

/* graph.input, graph.output and graph.value_info give types and shapes to values that have none of their own. */
static enum pare_code read_value_infos(struct pare_onnx_reader *r, uint32_t kind)
{
	struct pare_graph *g = &r->m->graph;
	struct pare_field f;
	struct pare_wire w;

	enter(r, &w, r->graph);
	while (pare_wire_next(&w, &f)) {
		enum pare_code code = PARE_OK;
		int32_t v = -1;

		if (f.number != kind)
			continue;
		if (kind == GRAPH_OUTPUT)
			code = add_output(r, f.span, &v);
		else if (pare_wire_find(r->m->file.data, f.span, VALUE_NAME).len != 0)
			v = pare_onnx_names_find(&r->names, pare_wire_find(r->m->file.data, f.span, VALUE_NAME));
		if (code != PARE_OK)
			return code;
		if (v < 0) /* value_info for what a subgraph computes */
			continue;
		if (kind == GRAPH_INPUT && g->values[v].init == NULL) {
			*r->refs++ = v;
			g->n_inputs++;
		}
		if (g->values[v].init == NULL && g->values[v].n_dims < 0)
			code = pare_onnx_value_type(r, f.span, &g->values[v]);
		if (code != PARE_OK)
			return code;
	}
	return PARE_OK;
}

enum pare_code pare_onnx_read_graph(struct pare_onnx_reader *r)
{
	struct pare_graph *g = &r->m->graph;
	struct pare_tensor *inits;
	enum pare_code code;
	int32_t n_values;

	g->name = "";
	code = pare_onnx_inline(r);
	if (code != PARE_OK)
		return code;
	pare_onnx_count(r);
	if (!allocate(r))
		return r->err->code;
	inits = r->tensors;
	r->tensors += r->n.inits + r->n.sparse;
	code = define_constants(r, inits);
	if (code == PARE_OK)
		code = read_nodes(r);
	if (code == PARE_OK)
		code = pare_onnx_names_index(r, &n_values);
	if (code != PARE_OK)
		return code;
	if (!make_values(r, inits, n_values))
		return r->err->code;
	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK; i++)
		code = resolve_node(r, i);
	if (code == PARE_OK)
		code = check_order(r);
	g->inputs = r->refs;
	if (code == PARE_OK)
		code = read_value_infos(r, GRAPH_INPUT);
	g->outputs = r->refs;
	if (code == PARE_OK)
		code = read_value_infos(r, GRAPH_OUTPUT);
	return code == PARE_OK ? read_value_infos(r, GRAPH_VALUE_INFO) : code;
}
