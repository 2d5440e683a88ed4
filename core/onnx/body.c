/* A subgraph read by the reader of whole files: a model is written around it that imports what the file imports and declares as inputs the
 * outer values that it reads. The alternative, a reader that knows scopes, would touch every place where a name is looked up. */
#include <string.h>

#include "core/base/num.h"
#include "core/onnx/loop_priv.h"
#include "core/onnx/onnx.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

#define MAX_NAMES 1024
#define MAX_BODY_BYTES ((size_t)1 << 28)

struct names {
	struct pare_span v[MAX_NAMES];
	int n;
	bool full;
};

static bool has(const struct names *l, struct pare_span name)
{
	for (int i = 0; i < l->n; i++)
		if (l->v[i].len == name.len && memcmp(l->v[i].data, name.data, name.len) == 0)
			return true;
	return false;
}

static void add(struct names *l, struct pare_span name)
{
	if (name.len == 0 || has(l, name))
		return;
	if (l->n == MAX_NAMES)
		l->full = true;
	else
		l->v[l->n++] = name;
}

/* What a body defines, and what its nodes read. Returns how many nodes it has. */
static int list_names(const uint8_t *file, struct pare_span graph, struct names *defined, struct names *read, int *n_inputs)
{
	struct pare_field f, n;
	struct pare_wire w, in;
	int n_nodes = 0;

	pare_wire_init(&w, file, graph);
	while (n_nodes <= PARE_LOOP_MAX_BODY && !defined->full && !read->full && pare_wire_next(&w, &f)) {
		*n_inputs += f.number == GRAPH_INPUT;
		if (f.number == GRAPH_INPUT)
			add(defined, pare_wire_find(file, f.span, VALUE_NAME));
		if (f.number == GRAPH_INITIALIZER)
			add(defined, pare_wire_find(file, f.span, TENSOR_NAME));
		if (f.number != GRAPH_NODE)
			continue;
		n_nodes++;
		pare_wire_init(&in, file, f.span);
		while (pare_wire_next(&in, &n))
			if (n.number == NODE_INPUT || n.number == NODE_OUTPUT)
				add(n.number == NODE_INPUT ? read : defined, n.span);
	}
	return n_nodes;
}

static void put_model(const struct pare_model *m, struct pare_span graph, const struct names *defined, const struct names *read, struct pare_buf *own)
{
	size_t mark;

	pare_wire_put_int(own, MODEL_IR_VERSION, m->ir_version);
	for (int i = 0; i < m->n_opsets; i++) {
		mark = pare_wire_begin(own, MODEL_OPSET_IMPORT);
		pare_wire_put_str(own, OPSET_DOMAIN, m->opsets[i].domain);
		pare_wire_put_int(own, OPSET_VERSION, m->opsets[i].version);
		pare_wire_end(own, mark);
	}
	mark = pare_wire_begin(own, MODEL_GRAPH);
	(void)pare_buf_add(own, graph.data, graph.len);
	for (int i = 0; i < read->n; i++)
		if (!has(defined, read->v[i])) {
			size_t input = pare_wire_begin(own, GRAPH_INPUT);

			pare_wire_put_bytes(own, VALUE_NAME, read->v[i].data, read->v[i].len);
			pare_wire_end(own, input);
		}
	pare_wire_end(own, mark);
}

enum pare_code pare_onnx_body(const struct pare_model *m, struct pare_span graph, struct pare_buf *own, struct pare_model **out, int *n_own, struct pare_err *err)
{
	struct names *names = pare_calloc(2, sizeof *names);
	enum pare_code code = PARE_OK;
	int n_nodes;

	*out = NULL;
	*n_own = 0;
	pare_buf_init(own, MAX_BODY_BYTES);
	if (names == NULL)
		return pare_err_nomem(err, 2 * sizeof *names);
	n_nodes = list_names(m->file.data, graph, &names[0], &names[1], n_own);
	if (n_nodes <= PARE_LOOP_MAX_BODY && !names[0].full && !names[1].full && graph.len < MAX_BODY_BYTES / 2) {
		struct pare_err unread = {.code = PARE_OK};

		put_model(m, graph, &names[0], &names[1], own);
		code = pare_buf_status(own, err);
		if (code == PARE_OK && pare_onnx_read((struct pare_span){(const uint8_t *)own->data, own->len}, out, &unread) == PARE_E_NOMEM)
			code = pare_err_nomem(err, own->len);
	}
	pare_free(names);
	return code;
}
