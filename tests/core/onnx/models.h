/* Small models for tests, written with the wire writer, and reading a file. Everything is inline: a test program is one
 * file. */
#ifndef TESTS_CORE_ONNX_MODELS_H
#define TESTS_CORE_ONNX_MODELS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/onnx/onnx.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

#define MODEL_CAP ((size_t)64 << 20)

struct built {
	struct pare_buf b;
	size_t graph;
};

static inline void model_begin(struct built *m)
{
	pare_buf_init(&m->b, MODEL_CAP);
	pare_wire_put_int(&m->b, MODEL_IR_VERSION, 8);
	m->graph = pare_wire_begin(&m->b, MODEL_GRAPH);
}

static inline void model_end(struct built *m)
{
	size_t opset;

	pare_wire_end(&m->b, m->graph);
	opset = pare_wire_begin(&m->b, MODEL_OPSET_IMPORT);
	pare_wire_put_int(&m->b, OPSET_VERSION, 17);
	pare_wire_end(&m->b, opset);
	ck_assert(!m->b.failed);
}

/* A node with up to two inputs and one output; NULL leaves one out. */
static inline void model_node(struct built *m, const char *op, const char *a, const char *b, const char *out)
{
	size_t mark = pare_wire_begin(&m->b, GRAPH_NODE);

	if (a != NULL)
		pare_wire_put_str(&m->b, NODE_INPUT, a);
	if (b != NULL)
		pare_wire_put_str(&m->b, NODE_INPUT, b);
	if (out != NULL)
		pare_wire_put_str(&m->b, NODE_OUTPUT, out);
	pare_wire_put_str(&m->b, NODE_OP_TYPE, op);
	pare_wire_end(&m->b, mark);
}

static inline void model_value(struct built *m, uint32_t field, const char *name)
{
	size_t mark = pare_wire_begin(&m->b, field);

	pare_wire_put_str(&m->b, VALUE_NAME, name);
	pare_wire_end(&m->b, mark);
}

static inline size_t model_tensor_begin(struct built *m, const char *name, int dtype, int n_dims, const int64_t *dims)
{
	size_t mark = pare_wire_begin(&m->b, GRAPH_INITIALIZER);

	for (int i = 0; i < n_dims; i++)
		pare_wire_put_int(&m->b, TENSOR_DIMS, dims[i]);
	pare_wire_put_int(&m->b, TENSOR_DATA_TYPE, dtype);
	pare_wire_put_str(&m->b, TENSOR_NAME, name);
	return mark;
}

static inline struct pare_span model_span(const struct built *m)
{
	return (struct pare_span){(const uint8_t *)m->b.data, m->b.len};
}

/* Reads it and expects this code; the model is freed. */
static inline void expect(struct built *m, enum pare_code want, const char *where, const char *message)
{
	struct pare_model *model = NULL;
	struct pare_err err = {0};
	enum pare_code code = pare_onnx_read(model_span(m), &model, &err);

	ck_assert_msg(code == want, "expected %s, got %s: %s (%s)", pare_code_string(want), pare_code_string(code), err.message, err.where);
	if (where != NULL)
		ck_assert_msg(strstr(err.where, where) != NULL, "where is \"%s\" (%s)", err.where, err.message);
	if (message != NULL)
		ck_assert_msg(strstr(err.message, message) != NULL, "message is \"%s\"", err.message);
	if (code == PARE_OK)
		pare_model_free(model);
	else
		ck_assert_ptr_null(model);
	pare_buf_done(&m->b);
}

/* The bytes of a file, or data NULL. free() them. */
static inline struct pare_span file_bytes(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct pare_span s = {NULL, 0};
	uint8_t *p = NULL;
	long n = 0;

	if (f == NULL)
		return s;
	if (fseek(f, 0, SEEK_END) == 0)
		n = ftell(f);
	rewind(f);
	p = malloc(n > 0 ? (size_t)n : 1);
	if (p != NULL && n >= 0 && fread(p, 1, (size_t)n, f) == (size_t)n)
		s = (struct pare_span){p, (size_t)n};
	else
		free(p);
	(void)fclose(f);
	return s;
}

#endif
