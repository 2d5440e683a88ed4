/* Pass one over the main graph: how many of everything pass two will store. It mirrors read_graph.c field by field; where a
 * scalar comes more than once, all occurrences are counted although one will be stored, so a count is an upper bound. */
#include "core/onnx/read_priv.h"

static void enter(const struct pare_onnx_reader *r, struct pare_wire *w, struct pare_span span)
{
	pare_wire_init(w, r->m->file.data, span);
}

static void count_tensor(struct pare_onnx_reader *r, struct pare_span span)
{
	struct pare_field f;
	struct pare_wire w;

	enter(r, &w, span);
	while (pare_wire_next(&w, &f))
		if (f.number == TENSOR_NAME)
			r->n.text += f.span.len + 1;
}

static void count_attr(struct pare_onnx_reader *r, struct pare_span span)
{
	struct pare_field f;
	struct pare_wire w;

	r->n.attrs++;
	enter(r, &w, span);
	while (pare_wire_next(&w, &f)) {
		if (f.number == ATTR_NAME)
			r->n.text += f.span.len + 1;
		if (f.number == ATTR_FLOATS)
			r->n.floats += pare_wire_packed_len(&f, 4);
		if (f.number == ATTR_INTS)
			r->n.ints += pare_wire_packed_len(&f, 0);
		r->n.strings += f.number == ATTR_STRINGS;
		if (f.number == ATTR_T) {
			r->n.tensors++;
			count_tensor(r, f.span);
		}
	}
}

/* An attribute of a function's node that refers to another has that one's value and its own name. */
static void count_node_attr(struct pare_onnx_reader *r, const struct pare_onnx_item *item, struct pare_span span)
{
	struct pare_span value = item->call >= 0 ? pare_onnx_attr_value(r, item->call, span) : span;

	if (value.data != NULL)
		count_attr(r, value);
	if (value.data != span.data)
		r->n.text += pare_wire_find(r->m->file.data, span, ATTR_NAME).len + 1;
}

static void count_node(struct pare_onnx_reader *r, const struct pare_onnx_item *item)
{
	struct pare_field f;
	struct pare_wire w;

	r->n.nodes++;
	enter(r, &w, item->node);
	while (pare_wire_next(&w, &f)) {
		switch (f.number) {
		case NODE_INPUT:
			r->n.in++;
			break;
		case NODE_ATTRIBUTE:
			count_node_attr(r, item, f.span);
			break;
		case NODE_OUTPUT:
			r->n.out++;
			r->n.text += f.span.len + 1;
			break;
		case NODE_NAME:
		case NODE_OP_TYPE:
		case NODE_DOMAIN:
			r->n.text += f.span.len + 1;
			break;
		default:
			break;
		}
	}
}

void pare_onnx_count(struct pare_onnx_reader *r)
{
	struct pare_field f;
	struct pare_wire w;

	for (size_t i = 0; i < r->n_items; i++)
		count_node(r, &r->items[i]);
	enter(r, &w, r->graph);
	while (pare_wire_next(&w, &f)) {
		switch (f.number) {
		case GRAPH_NAME:
			r->n.text += f.span.len + 1;
			break;
		case GRAPH_INITIALIZER:
			r->n.inits++;
			count_tensor(r, f.span);
			break;
		case GRAPH_SPARSE_INITIALIZER:
			r->n.sparse++;
			count_tensor(r, pare_wire_find(r->m->file.data, f.span, SPARSE_VALUES));
			break;
		case GRAPH_INPUT:
			r->n.inputs++;
			r->n.text += pare_wire_find(r->m->file.data, f.span, VALUE_NAME).len + 1;
			break;
		case GRAPH_OUTPUT:
			r->n.outputs++;
			break;
		default:
			break;
		}
	}
}
