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

static void count_node(struct pare_onnx_reader *r, struct pare_span span)
{
	struct pare_field f;
	struct pare_wire w;

	r->n.nodes++;
	enter(r, &w, span);
	while (pare_wire_next(&w, &f)) {
		switch (f.number) {
		case NODE_INPUT:
			r->n.in++;
			break;
		case NODE_ATTRIBUTE:
			count_attr(r, f.span);
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

	enter(r, &w, r->graph);
	while (pare_wire_next(&w, &f)) {
		switch (f.number) {
		case GRAPH_NODE:
			count_node(r, f.span);
			break;
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
