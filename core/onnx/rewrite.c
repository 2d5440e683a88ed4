/* The file again, with changes: like write.c it walks the fields and copies, and where something was changed it copies all
 * of the message but that. Unlike there, nested messages are written with their length put in afterwards, which moves the
 * bytes once: a changed graph is small next to the work that led to it, and the code stays one pass. */
#include <string.h>

#include "core/graph/graph_priv.h"
#include "core/onnx/onnx.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"
#include "core/onnx/write_priv.h"

#define TYPE_INT 2
#define TYPE_INTS 7
#define TYPE_STRINGS 8
#define TYPE_ONE_TENSOR 4

struct writer {
	const struct pare_model *m;
	const struct pare_rewrite *rw;
	struct pare_names names; /* of the graph */
	struct pare_buf *out;
	int32_t n_nodes, n_inits; /* met so far */
};

static void copy(struct writer *w, const struct pare_field *f, const struct pare_wire *c)
{
	(void)pare_buf_add(w->out, f->at, (size_t)(c->p - f->at));
}

/* --- initializers */

static void put_new_init(struct writer *w, const struct pare_new_init *t)
{
	size_t mark = pare_wire_begin(w->out, GRAPH_INITIALIZER);

	for (int i = 0; i < t->n_dims; i++)
		pare_wire_put_int(w->out, TENSOR_DIMS, t->dims[i]);
	pare_wire_put_int(w->out, TENSOR_DATA_TYPE, t->dtype);
	pare_wire_put_str(w->out, TENSOR_NAME, t->name);
	if (t->texts == NULL)
		pare_wire_put_bytes(w->out, TENSOR_RAW_DATA, t->bytes, t->n_bytes);
	for (int64_t i = 0; t->texts != NULL && i < t->dims[0]; i++)
		pare_wire_put_bytes(w->out, TENSOR_STRING_DATA, t->texts[i].data, t->texts[i].len);
	pare_wire_end(w->out, mark);
}

/* Dimensions and data anew, whatever else the message holds as it is. */
static void put_resized(struct writer *w, const struct pare_field *f, const struct pare_new_init *t)
{
	size_t mark = pare_wire_begin(w->out, GRAPH_INITIALIZER);
	struct pare_field in;
	struct pare_wire c;

	for (int i = 0; i < t->n_dims; i++)
		pare_wire_put_int(w->out, TENSOR_DIMS, t->dims[i]);
	pare_wire_init(&c, w->m->file.data, f->span);
	while (pare_wire_next(&c, &in))
		if (in.number != TENSOR_DIMS && !pare_onnx_holds_values(in.number))
			copy(w, &in, &c);
	pare_wire_put_bytes(w->out, TENSOR_RAW_DATA, t->bytes, t->n_bytes);
	pare_wire_end(w->out, mark);
}

static void put_init(struct writer *w, const struct pare_field *f, const struct pare_wire *c)
{
	int32_t v = w->m->graph.inits[w->n_inits++];
	const struct pare_init_patch *patch = w->m->patches != NULL ? w->m->patches[v] : NULL;

	if (w->rw->drop_init[v])
		return;
	if (w->rw->resized[v] != NULL)
		put_resized(w, f, w->rw->resized[v]);
	else if (patch != NULL)
		pare_onnx_put_patched(w->out, w->m->file.data, f, patch);
	else
		copy(w, f, c);
}

/* --- nodes */

static void put_attr(struct writer *w, const struct pare_node_edit *e)
{
	size_t mark;

	if (e->n == 0)
		return;
	mark = pare_wire_begin(w->out, NODE_ATTRIBUTE);
	pare_wire_put_str(w->out, ATTR_NAME, e->attr);
	for (size_t i = 0; i < e->n; i++)
		pare_wire_put_int(w->out, e->is_list ? ATTR_INTS : ATTR_I, e->v[i]);
	pare_wire_put_int(w->out, ATTR_TYPE, e->is_list ? TYPE_INTS : TYPE_INT);
	pare_wire_end(w->out, mark);
}

static void put_new_attrs(struct writer *w, int32_t node)
{
	for (size_t i = w->rw->by_node[node].first_edit; i > 0; i = w->rw->edits[i - 1].next) {
		const struct pare_node_edit *e = &w->rw->edits[i - 1];

		if (e->attr != NULL && pare_rewrite_attr(w->rw, node, pare_text_span(e->attr)) == e && pare_node_attr(&w->m->graph.nodes[node], e->attr) == NULL)
			put_attr(w, e);
	}
}

static void put_edited(struct writer *w, const struct pare_field *f, int32_t node)
{
	size_t mark = pare_wire_begin(w->out, GRAPH_NODE);
	const struct pare_graph *g = &w->m->graph;
	const struct pare_node_edit *op = pare_rewrite_op(w->rw, node);
	int n_in = pare_rewrite_n_inputs(w->rw, g, node);
	struct pare_field in;
	struct pare_wire c;

	for (int k = 0; k < n_in; k++)
		if (pare_rewrite_input(w->rw, g, node, k) != NULL)
			pare_wire_put_str(w->out, NODE_INPUT, pare_rewrite_input(w->rw, g, node, k));
	pare_wire_init(&c, w->m->file.data, f->span);
	while (pare_wire_next(&c, &in)) {
		const struct pare_node_edit *e = NULL;

		if (in.number == NODE_INPUT || (op != NULL && (in.number == NODE_OP_TYPE || in.number == NODE_ATTRIBUTE)))
			continue;
		if (in.number == NODE_ATTRIBUTE)
			e = pare_rewrite_attr(w->rw, node, pare_wire_find(w->m->file.data, in.span, ATTR_NAME));
		if (e != NULL)
			put_attr(w, e);
		else
			copy(w, &in, &c);
	}
	put_new_attrs(w, node);
	if (op != NULL)
		pare_wire_put_str(w->out, NODE_OP_TYPE, op->op);
	pare_wire_end(w->out, mark);
}

static bool has_name(const struct writer *w, const struct pare_field *attr, const char *name)
{
	struct pare_span is = pare_wire_find(w->m->file.data, attr->span, ATTR_NAME), want = pare_text_span(name);

	return is.len == want.len && memcmp(is.data, want.data, is.len) == 0;
}

static void copy_attrs(struct writer *w, const struct pare_node *from, const char *without)
{
	struct pare_field in;
	struct pare_wire c;

	pare_wire_init(&c, w->m->file.data, from->wire);
	while (pare_wire_next(&c, &in))
		if (in.number == NODE_ATTRIBUTE && (without == NULL || !has_name(w, &in, without)))
			copy(w, &in, &c);
}

static void put_new_attr(struct writer *w, const struct pare_new_attr *a)
{
	size_t mark;

	if (a->text[0] == NULL) {
		put_attr(w, &(struct pare_node_edit){.attr = a->name, .is_list = a->n_ints > 0, .v = a->n_ints > 0 ? a->ints : &a->value, .n = a->n_ints > 0 ? a->n_ints : 1});
		return;
	}
	mark = pare_wire_begin(w->out, NODE_ATTRIBUTE);
	pare_wire_put_str(w->out, ATTR_NAME, a->name);
	for (int i = 0; i < PARE_NEW_TEXTS && a->text[i] != NULL; i++)
		pare_wire_put_str(w->out, ATTR_STRINGS, a->text[i]);
	pare_wire_put_int(w->out, ATTR_TYPE, TYPE_STRINGS);
	pare_wire_end(w->out, mark);
}

static void put_constant(struct writer *w, const struct pare_tensor *t)
{
	size_t mark = pare_wire_begin(w->out, NODE_ATTRIBUTE);

	pare_wire_put_str(w->out, ATTR_NAME, "value");
	pare_wire_put_bytes(w->out, ATTR_T, t->wire.data, t->wire.len);
	pare_wire_put_int(w->out, ATTR_TYPE, TYPE_ONE_TENSOR);
	pare_wire_end(w->out, mark);
}

static void put_copied(struct writer *w, const struct pare_new_node *n)
{
	size_t mark = pare_wire_begin(w->out, GRAPH_NODE);
	struct pare_field in;
	struct pare_wire c;

	for (size_t k = 0; k < n->n_copy_in; k++)
		pare_wire_put_str(w->out, NODE_INPUT, n->copy_in[k]);
	for (size_t k = 0; k < n->n_copy_out; k++)
		pare_wire_put_str(w->out, NODE_OUTPUT, n->copy_out[k]);
	pare_wire_init(&c, w->m->file.data, n->copy);
	while (pare_wire_next(&c, &in))
		if (in.number != NODE_INPUT && in.number != NODE_OUTPUT)
			copy(w, &in, &c);
	pare_wire_end(w->out, mark);
}

static void put_new_node(struct writer *w, const struct pare_new_node *n)
{
	size_t mark;

	if (n->copy.data != NULL) {
		put_copied(w, n);
		return;
	}
	mark = pare_wire_begin(w->out, GRAPH_NODE);
	for (int k = 0; k < PARE_NEW_INPUTS && n->in[k] != NULL; k++)
		pare_wire_put_str(w->out, NODE_INPUT, n->in[k]);
	pare_wire_put_str(w->out, NODE_OUTPUT, n->out);
	for (int k = 0; k < PARE_NEW_MORE && n->more[k] != NULL; k++)
		pare_wire_put_str(w->out, NODE_OUTPUT, n->more[k]);
	pare_wire_put_str(w->out, NODE_NAME, n->out);
	pare_wire_put_str(w->out, NODE_OP_TYPE, n->op);
	for (int k = 0; k < PARE_NEW_ATTRS && n->attr[k].name != NULL; k++)
		put_new_attr(w, &n->attr[k]);
	if (n->like != NULL)
		copy_attrs(w, n->like, n->without);
	if (n->constant != NULL)
		put_constant(w, n->constant);
	pare_wire_end(w->out, mark);
}

static void put_node(struct writer *w, const struct pare_field *f, const struct pare_wire *c)
{
	int32_t node = w->n_nodes++;
	const struct pare_rewrite_node *n = &w->rw->by_node[node];

	for (size_t i = n->first_new; i > 0; i = w->rw->nodes[i - 1].next)
		if (!w->rw->drop_node[node] || w->rw->nodes[i - 1].instead)
			put_new_node(w, &w->rw->nodes[i - 1]);
	if (w->rw->drop_node[node])
		return;
	if (n->first_edit > 0 || n->n_inputs > 0)
		put_edited(w, f, node);
	else
		copy(w, f, c);
}

/* --- shapes that are written down */

/* A size that is open in the file stays so: nobody knows what it will be. */
static bool has_size(const struct writer *w, struct pare_span dim)
{
	struct pare_field f;
	struct pare_wire c;

	pare_wire_init(&c, w->m->file.data, dim);
	while (pare_wire_next(&c, &f))
		if (f.number == DIM_VALUE)
			return true;
	return false;
}

/* ValueInfoProto -> type -> tensor_type -> shape -> dim: all fields copied but for those on the way. */
static void put_type(struct writer *w, struct pare_span span, int level, const struct pare_shape *shape)
{
	static const uint32_t way[] = {VALUE_TYPE, TYPE_TENSOR, TENSOR_TYPE_SHAPE, SHAPE_DIM};
	struct pare_field f;
	struct pare_wire c;
	int dim = 0;

	pare_wire_init(&c, w->m->file.data, span);
	while (pare_wire_next(&c, &f)) {
		size_t mark;

		if (f.number != way[level]) {
			copy(w, &f, &c);
			continue;
		}
		if (level == 3 && (dim >= shape->n_dims || (shape->batch & PARE_BIT(dim)) || !has_size(w, f.span))) {
			copy(w, &f, &c);
			dim++;
			continue;
		}
		mark = pare_wire_begin(w->out, f.number);
		if (level == 3)
			pare_wire_put_int(w->out, DIM_VALUE, shape->dims[dim++]);
		else
			put_type(w, f.span, level + 1, shape);
		pare_wire_end(w->out, mark);
	}
}

static void put_value(struct writer *w, const struct pare_field *f, const struct pare_wire *c)
{
	int32_t v = pare_names_value(&w->names, pare_wire_find(w->m->file.data, f->span, VALUE_NAME));
	int32_t producer = v >= 0 ? w->m->graph.values[v].producer : -1;
	size_t mark;

	/* an initializer says its shape itself */
	if (f->number == GRAPH_VALUE_INFO && v >= 0 && ((producer >= 0 && w->rw->drop_node[producer]) || w->rw->drop_init[v] || w->rw->resized[v] != NULL))
		return;
	if (v < 0 || w->rw->shapes[v] == NULL) {
		copy(w, f, c);
		return;
	}
	mark = pare_wire_begin(w->out, f->number);
	put_type(w, f->span, 0, w->rw->shapes[v]);
	pare_wire_end(w->out, mark);
}

static void put_graph(struct writer *w, struct pare_span graph)
{
	struct pare_field f;
	struct pare_wire c;

	pare_wire_init(&c, w->m->file.data, graph);
	while (pare_wire_next(&c, &f)) {
		switch (f.number) {
		case GRAPH_NODE:
			put_node(w, &f, &c);
			break;
		case GRAPH_INITIALIZER:
			put_init(w, &f, &c);
			break;
		case GRAPH_INPUT:
		case GRAPH_VALUE_INFO:
			put_value(w, &f, &c);
			break;
		default:
			copy(w, &f, &c);
		}
	}
	for (size_t i = 0; i < w->rw->n_inits; i++)
		put_new_init(w, &w->rw->inits[i]);
}

enum pare_code pare_onnx_rewrite(const struct pare_model *m, const struct pare_rewrite *rw, struct pare_buf *out, struct pare_err *err)
{
	struct writer w = {.m = m, .rw = rw, .out = out};
	struct pare_field f;
	struct pare_wire c;
	enum pare_code code = pare_names_init(&w.names, &m->graph, err);

	if (code != PARE_OK) {
		pare_names_done(&w.names);
		return code;
	}
	pare_wire_init(&c, m->file.data, m->file);
	while (pare_wire_next(&c, &f)) {
		size_t mark;

		if (f.number != MODEL_GRAPH) {
			copy(&w, &f, &c);
			continue;
		}
		mark = pare_wire_begin(out, MODEL_GRAPH);
		put_graph(&w, f.span);
		pare_wire_end(out, mark);
	}
	pare_names_done(&w.names);
	return pare_buf_status(out, err);
}
