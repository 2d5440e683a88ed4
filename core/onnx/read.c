/* ModelProto to struct pare_model.
 *
 * Three walks. The first (schema.c) checks the whole file, submessages to any depth, and allocates nothing. The second
 * counts what the main graph holds; the third fills arrays of exactly those sizes. Counting first is what bounds memory:
 * two bytes of file can ask for a node of eighty, so the sum is compared with the cap (16 times the file and 1 MiB) before
 * anything is allocated, and a file of ten million empty nodes costs nothing but the walk.
 *
 * Model-local functions are inlined (functions.c). Subgraphs (If, Loop, Scan), training information and sparse initializers are
 * checked for form and carried;
 * only the main graph becomes nodes and values. Its nodes must stand in topological order, which also rules out cycles. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/num.h"
#include "core/onnx/onnx.h"
#include "core/onnx/read_priv.h"

#define CAP_FACTOR 16
#define CAP_EXTRA ((size_t)1 << 20)
#define ARENA_ROUNDING 15 /* what the arena may add, so that its own cap never answers first */
#define MAX_OPSETS 256

void *pare_onnx_take(struct pare_onnx_reader *r, struct pare_arena *a, size_t n, size_t size)
{
	size_t n_bytes = 0, used;
	void *p = NULL;

	if (!pare_mul_size(n, size, &n_bytes) || !pare_add_size(n_bytes, ARENA_ROUNDING, &n_bytes) ||
	    !pare_add_size(r->m->arena.used_bytes + r->scratch.used_bytes, n_bytes, &used) || used > r->m->arena.cap_bytes) {
		(void)pare_err_set(r->err, PARE_E_LIMIT, NULL,
		    "the file describes more nodes, tensors and names than %zu bytes of memory hold (%d times the file and 1 MiB)",
		    r->m->arena.cap_bytes, CAP_FACTOR);
		return NULL;
	}
	p = pare_arena_alloc(a, n * size);
	if (p == NULL)
		(void)pare_err_nomem(r->err, n_bytes);
	return p;
}

const char *pare_onnx_text(struct pare_onnx_reader *r, struct pare_span s)
{
	char *start = r->text;

	if (s.len == 0)
		return "";
	memcpy(start, s.data, s.len);
	start[s.len] = '\0';
	r->text += s.len + 1;
	return start;
}

const char *pare_onnx_shown(struct pare_span s, char out[PARE_NAME_SHOWN])
{
	char text[2 * PARE_NAME_SHOWN];
	size_t n = s.len < sizeof text ? s.len : sizeof text - 1;

	if (n != 0)
		memcpy(text, s.data, n);
	text[n] = '\0';
	return pare_name_shown(text, out);
}

enum pare_code pare_onnx_bad(struct pare_onnx_reader *r, const char *kind, const char *name, const char *fmt, ...)
{
	char text[PARE_ERR_MESSAGE_MAX], shown[PARE_NAME_SHOWN];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)pare_err_set(r->err, PARE_E_MODEL, NULL, "%s", text);
	return pare_err_at(r->err, "%s \"%s\"", kind, pare_name_shown(name, shown));
}

static enum pare_code model_text(struct pare_onnx_reader *r, struct pare_span s, const char **out)
{
	char *p = pare_onnx_take(r, &r->m->arena, s.len + 1, 1);

	if (p == NULL)
		return r->err->code;
	if (s.len != 0)
		memcpy(p, s.data, s.len);
	*out = p;
	return PARE_OK;
}

static enum pare_code add_opset(struct pare_onnx_reader *r, struct pare_span span)
{
	struct pare_model *m = r->m;
	struct pare_opset *o = &m->opsets[m->n_opsets];
	enum pare_code code = model_text(r, pare_wire_find(r->m->file.data, span, OPSET_DOMAIN), &o->domain);
	struct pare_field f;
	struct pare_wire w;

	if (code != PARE_OK)
		return code;
	if (strcmp(o->domain, "ai.onnx") == 0)
		o->domain = "";
	pare_wire_init(&w, r->m->file.data, span);
	while (pare_wire_next(&w, &f))
		if (f.number == OPSET_VERSION)
			o->version = (int64_t)f.bits;
	for (int i = 0; i < m->n_opsets; i++)
		if (strcmp(m->opsets[i].domain, o->domain) == 0) /* some exporters say it twice */
			return m->opsets[i].version == o->version ? PARE_OK : pare_onnx_bad(r, "opset_import", o->domain, "the domain is imported in two versions");
	m->n_opsets++;
	return PARE_OK;
}

static enum pare_code read_opsets(struct pare_onnx_reader *r)
{
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire w;
	size_t n = 0;

	pare_wire_init(&w, r->m->file.data, r->m->file);
	while (pare_wire_next(&w, &f))
		n += f.number == MODEL_OPSET_IMPORT;
	if (n > MAX_OPSETS)
		return pare_err_set(r->err, PARE_E_LIMIT, "opset_import", "%zu operator sets are imported; at most %d may be", n, MAX_OPSETS);
	r->m->opsets = pare_onnx_take(r, &r->m->arena, n, sizeof *r->m->opsets);
	if (r->m->opsets == NULL)
		return r->err->code;
	pare_wire_init(&w, r->m->file.data, r->m->file);
	while (code == PARE_OK && pare_wire_next(&w, &f))
		if (f.number == MODEL_OPSET_IMPORT)
			code = add_opset(r, f.span);
	return code;
}

static enum pare_code read_model(struct pare_onnx_reader *r)
{
	struct pare_model *m = r->m;
	enum pare_code code;
	struct pare_field f;
	struct pare_wire w;

	pare_wire_init(&w, r->m->file.data, m->file);
	while (pare_wire_next(&w, &f)) {
		if (f.number == MODEL_GRAPH)
			r->graph = f.span;
		if (f.number == MODEL_IR_VERSION)
			m->ir_version = (int64_t)f.bits;
	}
	if (r->graph.data == NULL)
		return pare_err_set(r->err, PARE_E_MODEL, NULL, "the file holds no graph; an ONNX ModelProto has one in field %d", MODEL_GRAPH);
	if (m->ir_version < 1)
		return pare_err_set(r->err, PARE_E_MODEL, NULL, "the file states no IR version; an ONNX ModelProto has it in field %d", MODEL_IR_VERSION);
	code = model_text(r, pare_wire_find(r->m->file.data, m->file, MODEL_PRODUCER_NAME), &m->producer_name);
	if (code == PARE_OK)
		code = model_text(r, pare_wire_find(r->m->file.data, m->file, MODEL_PRODUCER_VERSION), &m->producer_version);
	if (code == PARE_OK)
		code = read_opsets(r);
	return code == PARE_OK ? pare_onnx_read_graph(r) : code;
}

enum pare_code pare_onnx_read(struct pare_span file, struct pare_model **out, struct pare_err *err)
{
	struct pare_err unwanted = {.code = PARE_OK};
	struct pare_onnx_reader r = {.err = err != NULL ? err : &unwanted};
	enum pare_code code;
	size_t cap;

	if (file.data == NULL || file.len == 0)
		return pare_err_set(err, PARE_E_SYNTAX, "byte 0", "the file is empty; an ONNX model was expected");
	if (!pare_mul_size(file.len, CAP_FACTOR, &cap) || !pare_add_size(cap, CAP_EXTRA, &cap))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the file is too large");
	code = pare_onnx_check(file, err);
	if (code != PARE_OK)
		return code;
	r.m = pare_calloc(1, sizeof *r.m);
	if (r.m == NULL)
		return pare_err_nomem(err, sizeof *r.m);
	r.m->file = file;
	pare_arena_init(&r.m->arena, cap);
	pare_arena_init(&r.scratch, cap);
	code = read_model(&r);
	pare_arena_done(&r.scratch);
	if (code != PARE_OK) {
		pare_model_free(r.m);
		return code;
	}
	*out = r.m;
	return PARE_OK;
}
