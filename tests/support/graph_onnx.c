#include "tests/support/graph_onnx.h"

#include <string.h>

#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

static void put_value(const struct pare_value *v, uint32_t field, struct pare_buf *b)
{
	size_t info = pare_wire_begin(b, field), type, tensor, shape;

	pare_wire_put_str(b, VALUE_NAME, v->name);
	type = pare_wire_begin(b, VALUE_TYPE);
	tensor = pare_wire_begin(b, TYPE_TENSOR);
	pare_wire_put_int(b, TENSOR_TYPE_ELEM, v->dtype == PARE_DT_UNDEFINED ? PARE_DT_FLOAT : v->dtype);
	if (v->n_dims >= 0) {
		shape = pare_wire_begin(b, TENSOR_TYPE_SHAPE);
		for (int i = 0; i < v->n_dims; i++) {
			size_t dim = pare_wire_begin(b, SHAPE_DIM);

			if (v->dims[i] >= 0)
				pare_wire_put_int(b, DIM_VALUE, v->dims[i]);
			else
				pare_wire_put_str(b, DIM_PARAM, "N");
			pare_wire_end(b, dim);
		}
		pare_wire_end(b, shape);
	}
	pare_wire_end(b, tensor);
	pare_wire_end(b, type);
	pare_wire_end(b, info);
}

static void put_tensor(const struct pare_tensor *t, uint32_t field, struct pare_buf *b)
{
	size_t mark = pare_wire_begin(b, field);

	for (int i = 0; i < t->n_dims; i++)
		pare_wire_put_int(b, TENSOR_DIMS, t->dims[i]);
	pare_wire_put_int(b, TENSOR_DATA_TYPE, t->dtype);
	pare_wire_put_str(b, TENSOR_NAME, t->name);
	pare_wire_put_bytes(b, TENSOR_RAW_DATA, t->raw.data, t->raw.len);
	pare_wire_end(b, mark);
}

static void put_attr(const struct pare_attr *a, struct pare_buf *b)
{
	size_t mark = pare_wire_begin(b, NODE_ATTRIBUTE);

	pare_wire_put_str(b, ATTR_NAME, a->name);
	pare_wire_put_int(b, ATTR_TYPE, a->type);
	switch (a->type) {
	case PARE_ATTR_INT:
		pare_wire_put_int(b, ATTR_I, a->i);
		break;
	case PARE_ATTR_FLOAT:
		pare_wire_put_float(b, ATTR_F, a->f);
		break;
	case PARE_ATTR_STRING:
		pare_wire_put_bytes(b, ATTR_S, a->s.data, a->s.len);
		break;
	case PARE_ATTR_TENSOR:
		put_tensor(a->t, ATTR_T, b);
		break;
	default:
		for (size_t i = 0; i < a->n && a->type == PARE_ATTR_INTS; i++)
			pare_wire_put_int(b, ATTR_INTS, a->ints[i]);
		for (size_t i = 0; i < a->n && a->type == PARE_ATTR_FLOATS; i++)
			pare_wire_put_float(b, ATTR_FLOATS, a->floats[i]);
	}
	pare_wire_end(b, mark);
}

static void put_node(const struct pare_graph *g, const struct pare_node *n, struct pare_buf *b)
{
	size_t mark = pare_wire_begin(b, GRAPH_NODE);

	for (int k = 0; k < n->n_in; k++)
		pare_wire_put_str(b, NODE_INPUT, n->in[k] >= 0 ? g->values[n->in[k]].name : "");
	for (int k = 0; k < n->n_out; k++)
		pare_wire_put_str(b, NODE_OUTPUT, n->out[k] >= 0 ? g->values[n->out[k]].name : "");
	pare_wire_put_str(b, NODE_NAME, n->name);
	pare_wire_put_str(b, NODE_OP_TYPE, n->op_type);
	for (int k = 0; k < n->n_attrs; k++)
		put_attr(&n->attrs[k], b);
	if (n->domain[0] != '\0')
		pare_wire_put_str(b, NODE_DOMAIN, n->domain);
	pare_wire_end(b, mark);
}

void graph_onnx(const struct pare_model *m, struct pare_buf *out)
{
	const struct pare_graph *g = &m->graph;
	size_t graph, opset;

	pare_wire_put_int(out, MODEL_IR_VERSION, 8);
	graph = pare_wire_begin(out, MODEL_GRAPH);
	for (int32_t i = 0; i < g->n_nodes; i++)
		put_node(g, &g->nodes[i], out);
	pare_wire_put_str(out, GRAPH_NAME, "test");
	for (int32_t i = 0; i < g->n_inits; i++)
		put_tensor(g->values[g->inits[i]].init, GRAPH_INITIALIZER, out);
	for (int32_t i = 0; i < g->n_inputs; i++)
		put_value(&g->values[g->inputs[i]], GRAPH_INPUT, out);
	for (int32_t i = 0; i < g->n_outputs; i++)
		put_value(&g->values[g->outputs[i]], GRAPH_OUTPUT, out);
	for (int32_t i = 0; i < g->n_values; i++)
		if ((g->values[i].producer >= 0 || g->values[i].init != NULL) && g->values[i].n_dims >= 0 && !g->values[i].is_output && !g->values[i].is_input)
			put_value(&g->values[i], GRAPH_VALUE_INFO, out);
	pare_wire_end(out, graph);
	for (int i = 0; i < m->n_opsets; i++) {
		opset = pare_wire_begin(out, MODEL_OPSET_IMPORT);
		pare_wire_put_str(out, OPSET_DOMAIN, m->opsets[i].domain);
		pare_wire_put_int(out, OPSET_VERSION, m->opsets[i].version);
		pare_wire_end(out, opset);
	}
}

static int64_t dim_at(const struct pare_model *m, struct pare_span shape, int k)
{
	struct pare_field f, d;
	struct pare_wire dims, dim;

	pare_wire_init(&dims, m->file.data, shape);
	while (pare_wire_next(&dims, &f)) {
		if (f.number != SHAPE_DIM || k-- > 0)
			continue;
		pare_wire_init(&dim, m->file.data, f.span);
		while (pare_wire_next(&dim, &d))
			if (d.number == DIM_VALUE)
				return (int64_t)d.bits;
	}
	return -1;
}

int graph_onnx_stale_infos(const struct pare_model *m)
{
	struct pare_span graph = pare_wire_find(m->file.data, m->file, MODEL_GRAPH);
	struct pare_field f;
	struct pare_wire w;
	int n = 0;

	pare_wire_init(&w, m->file.data, graph);
	while (pare_wire_next(&w, &f)) {
		struct pare_span span = f.span, name = pare_wire_find(m->file.data, f.span, VALUE_NAME);

		for (int32_t i = 0; i < m->graph.n_inits && f.number == GRAPH_VALUE_INFO; i++) {
			const struct pare_tensor *t = m->graph.values[m->graph.inits[i]].init;

			if (strlen(t->name) != name.len || memcmp(t->name, name.data, name.len) != 0)
				continue;
			for (const uint32_t *step = (const uint32_t[]){VALUE_TYPE, TYPE_TENSOR, TENSOR_TYPE_SHAPE, 0}; *step != 0; step++)
				span = pare_wire_find(m->file.data, span, *step);
			for (int k = 0; k < t->n_dims; k++)
				n += dim_at(m, span, k) != t->dims[k];
		}
	}
	return n;
}
