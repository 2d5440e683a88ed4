/* Which floating-point tensors a model's files hold, and which of them are weights.
 *
 * Two walks over everything in the file that can hold a graph: the main graph, the graphs in attributes of nodes, to any depth, and
 * model-local functions. The first lists tensors by scope; the second lists who reads what: a name is looked up in the scope where it is
 * read and then outwards, as ONNX says. Walks number scopes in one order, so that a number names the same scope in both.
 *
 * What a data file holds must be inside it and in nobody else's way: two tensors may share all of their bytes (then they are one),
 * but not some. A location is the bare name of a file that came with the model; it is compared with names and never opened.
 *
 * Memory is bounded as in the reader: by the file's size, not by what it asks for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/onnx/onnx.h"
#include "core/onnx/read_priv.h"

#define CAP_FACTOR 16
#define CAP_EXTRA ((size_t)1 << 20)

struct slot { /* of a hash table with open addressing: a tensor by scope and name, in any of the shapes that it is given */
	struct pare_span name;
	int32_t scope;
	int32_t weight; /* -1: the slot is free */
};

struct walker {
	const struct pare_model *model; /* the opsets */
	const uint8_t *file;
	const struct pare_side_file *files;
	int n_files;
	struct pare_inventory *v;
	struct pare_onnx_reader reader; /* of single tensors */
	struct pare_model holder;       /* its model */
	struct pare_arena scratch;
	struct slot *slots;
	size_t n_slots; /* a power of two, more than twice what comes in */
	int32_t *parent; /* by scope; -1: none */
	size_t n_found, n_passed, n_scopes; /* tensors, nodes that only give a tensor another shape, graphs */
	struct pare_err *err;
};

typedef enum pare_code tensor_fn(struct walker *w, struct pare_span tensor, struct pare_span name, int32_t scope, int depth);
typedef enum pare_code node_fn(struct walker *w, struct pare_span node, int32_t scope);

struct visit {
	tensor_fn *tensor; /* may be NULL */
	node_fn *node;     /* may be NULL */
};

static enum pare_code too_large(struct walker *w)
{
	return pare_err_set(w->err, PARE_E_LIMIT, NULL, "the file describes more tensors than %zu bytes of memory hold (%d times the file and 1 MiB)",
	    w->v->arena.cap_bytes, CAP_FACTOR);
}

static bool text_is(struct pare_span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* --- the walk */

static enum pare_code walk_graph(struct walker *w, const struct visit *v, struct pare_span graph, uint32_t node_field, int32_t parent, int depth);

/* The nth string of a field; len 0 if there is none. */
static struct pare_span nth_string(const struct walker *w, struct pare_span message, uint32_t number, int nth)
{
	struct pare_field f;
	struct pare_wire c;

	pare_wire_init(&c, w->file, message);
	while (pare_wire_next(&c, &f))
		if (f.number == number && nth-- == 0)
			return f.span;
	return (struct pare_span){NULL, 0};
}

/* What a name means where it is read. */
static struct slot *slot_of(const struct walker *w, int32_t scope, struct pare_span name)
{
	uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)(uint32_t)scope;
	size_t i;

	for (size_t k = 0; k < name.len; k++)
		h = (h ^ name.data[k]) * 0x100000001b3u;
	for (i = (size_t)(h ^ h >> 32) & (w->n_slots - 1); w->slots[i].weight >= 0; i = (i + 1) & (w->n_slots - 1))
		if (w->slots[i].scope == scope && w->slots[i].name.len == name.len && memcmp(w->slots[i].name.data, name.data, name.len) == 0)
			break;
	return &w->slots[i];
}

static void put(struct walker *w, int32_t scope, struct pare_span name, int32_t weight)
{
	struct slot *s = slot_of(w, scope, name);

	if (name.len > 0 && s->weight < 0)
		*s = (struct slot){name, scope, weight};
}

/* The tensor of that name in the scope or one around it; NULL: another value. */
static struct pare_weight *look_up(const struct walker *w, int32_t scope, struct pare_span name)
{
	for (; scope >= 0 && name.len > 0; scope = w->parent[scope]) {
		const struct slot *s = slot_of(w, scope, name);

		if (s->weight >= 0)
			return &w->v->weights[s->weight];
	}
	return NULL;
}

static bool is_onnx(const struct walker *w, struct pare_span node)
{
	struct pare_span domain = pare_wire_find(w->file, node, NODE_DOMAIN);

	return domain.len == 0 || text_is(domain, "ai.onnx");
}

static bool is_constant(const struct walker *w, struct pare_span node)
{
	return text_is(pare_wire_find(w->file, node, NODE_OP_TYPE), "Constant") && is_onnx(w, node);
}

static enum pare_code walk_attribute(struct walker *w, const struct visit *v, struct pare_span node, struct pare_span attr, int32_t scope, int depth)
{
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire c;

	pare_wire_init(&c, w->file, attr);
	while (code == PARE_OK && pare_wire_next(&c, &f)) {
		if (f.number == ATTR_G || f.number == ATTR_GRAPHS)
			code = walk_graph(w, v, f.span, GRAPH_NODE, scope, depth + 1);
		else if (f.number == ATTR_T && v->tensor != NULL && is_constant(w, node) && text_is(pare_wire_find(w->file, attr, ATTR_NAME), "value"))
			code = v->tensor(w, f.span, nth_string(w, node, NODE_OUTPUT, 0), scope, depth);
	}
	return code;
}

static enum pare_code walk_node(struct walker *w, const struct visit *v, struct pare_span node, int32_t scope, int depth)
{
	enum pare_code code = v->node != NULL ? v->node(w, node, scope) : PARE_OK;
	struct pare_field f;
	struct pare_wire c;

	pare_wire_init(&c, w->file, node);
	while (code == PARE_OK && pare_wire_next(&c, &f))
		if (f.number == NODE_ATTRIBUTE)
			code = walk_attribute(w, v, node, f.span, scope, depth);
	return code;
}

/* A graph, or (node_field FUNCTION_NODE) the body of a function. Messages nest at most 64 deep (pare_onnx_check). */
static enum pare_code walk_graph(struct walker *w, const struct visit *v, struct pare_span graph, uint32_t node_field, int32_t parent, int depth)
{
	int32_t scope = (int32_t)w->n_scopes++;
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire c;

	if (w->parent != NULL)
		w->parent[scope] = parent;
	pare_wire_init(&c, w->file, graph);
	while (code == PARE_OK && pare_wire_next(&c, &f)) {
		if (f.number == node_field)
			code = walk_node(w, v, f.span, scope, depth);
		else if (f.number == GRAPH_INITIALIZER && node_field == GRAPH_NODE && v->tensor != NULL)
			code = v->tensor(w, f.span, pare_wire_find(w->file, f.span, TENSOR_NAME), scope, depth);
	}
	return code;
}

static enum pare_code walk_model(struct walker *w, const struct visit *v)
{
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire c;

	w->n_found = w->n_passed = w->n_scopes = 0;
	pare_wire_init(&c, w->file, w->model->file);
	while (code == PARE_OK && pare_wire_next(&c, &f)) {
		if (f.number == MODEL_GRAPH)
			code = walk_graph(w, v, f.span, GRAPH_NODE, -1, 0);
		else if (f.number == MODEL_FUNCTIONS)
			code = walk_graph(w, v, f.span, FUNCTION_NODE, -1, 1);
	}
	return code;
}

/* --- tensors */

static bool is_counted(const struct walker *w, struct pare_span tensor)
{
	struct pare_field f;
	struct pare_wire c;
	int dtype = 0;

	pare_wire_init(&c, w->file, tensor);
	while (pare_wire_next(&c, &f))
		if (f.number == TENSOR_DATA_TYPE)
			dtype = (int)(int32_t)f.bits;
	return pare_dtype_computed(dtype) == PARE_DT_FLOAT;
}

static enum pare_code count_tensor(struct walker *w, struct pare_span tensor, struct pare_span name, int32_t scope, int depth)
{
	(void)name;
	(void)scope;
	(void)depth;
	w->n_found += is_counted(w, tensor);
	return PARE_OK;
}

static enum pare_code bad_tensor(struct walker *w, const struct pare_tensor *t, enum pare_code code)
{
	char shown[PARE_NAME_SHOWN];

	(void)pare_err_at(w->err, "tensor \"%s\"", pare_name_shown(t->name, shown));
	return code;
}

/* Decimal digits and nothing else. */
static bool number_of(struct pare_span s, size_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] < '0' || s.data[i] > '9' || !pare_mul_size(n, 10, &n) || !pare_add_size(n, (size_t)(s.data[i] - '0'), &n))
			return false;
	*out = n;
	return s.len > 0;
}

struct external {
	struct pare_span location;
	size_t offset, length;
	bool has_length;
};

static enum pare_code read_external(struct walker *w, const struct pare_tensor *t, struct external *out)
{
	struct pare_field f;
	struct pare_wire c;

	*out = (struct external){.offset = 0};
	pare_wire_init(&c, w->file, t->wire);
	while (pare_wire_next(&c, &f)) {
		struct pare_span key, value;
		bool ok = true;

		if (f.number != TENSOR_EXTERNAL_DATA)
			continue;
		key = pare_wire_find(w->file, f.span, ENTRY_KEY);
		value = pare_wire_find(w->file, f.span, ENTRY_VALUE);
		if (text_is(key, "location"))
			out->location = value;
		else if (text_is(key, "offset"))
			ok = number_of(value, &out->offset);
		else if (text_is(key, "length"))
			ok = out->has_length = number_of(value, &out->length);
		if (!ok)
			return bad_tensor(w, t, pare_err_set(w->err, PARE_E_MODEL, NULL, "offset and length of external data must be decimal numbers"));
	}
	return PARE_OK;
}

static enum pare_code find_file(struct walker *w, const struct pare_tensor *t, const struct external *x, int *out)
{
	char shown[PARE_NAME_SHOWN];

	if (x->location.len == 0)
		return bad_tensor(w, t, pare_err_set(w->err, PARE_E_MODEL, NULL, "its values are external, but no location is given"));
	if (memchr(x->location.data, '/', x->location.len) != NULL || memchr(x->location.data, '\\', x->location.len) != NULL ||
	    memchr(x->location.data, '\0', x->location.len) != NULL || x->location.data[0] == '.')
		return bad_tensor(w, t, pare_err_set(w->err, PARE_E_MODEL, NULL,
		    "its values are said to be in \"%s\"; a location must be the bare name of a file beside the model, without directories", pare_onnx_shown(x->location, shown)));
	for (int i = 0; i < w->n_files; i++)
		if (text_is(x->location, w->files[i].name)) {
			*out = i;
			return PARE_OK;
		}
	return bad_tensor(w, t, pare_err_set(w->err, PARE_E_MODEL, NULL, "its values are in the external file \"%s\", which did not come with the model",
	    pare_onnx_shown(x->location, shown)));
}

static enum pare_code place_external(struct walker *w, const struct pare_tensor *t, size_t n_bytes, struct pare_weight *out)
{
	struct external x;
	int file = 0;
	size_t end;
	enum pare_code code = read_external(w, t, &x);

	if (code == PARE_OK)
		code = find_file(w, t, &x, &file);
	if (code != PARE_OK)
		return code;
	if (x.has_length && x.length != n_bytes)
		return bad_tensor(w, t, pare_err_set(w->err, PARE_E_MODEL, NULL, "its external data are said to have %zu bytes; %zu elements of %s need %zu", x.length, t->n_elems,
		    pare_dtype_name(t->dtype), n_bytes));
	if (!pare_add_size(x.offset, n_bytes, &end) || end > w->files[file].bytes.len)
		return bad_tensor(w, t, pare_err_set(w->err, PARE_E_MODEL, NULL, "%zu bytes from %zu on are past the end of the external file \"%s\", which has %zu", n_bytes, x.offset,
		    w->files[file].name, w->files[file].bytes.len));
	out->file = 1 + file;
	out->at = (struct pare_span){w->files[file].bytes.data + x.offset, n_bytes};
	out->values = out->at.data;
	return PARE_OK;
}

/* Entries of a typed field: one packed run of fixed size is as good as raw_data, anything else is decoded into memory. */
static enum pare_code place_typed(struct walker *w, const struct pare_tensor *t, size_t n_bytes, struct pare_weight *out)
{
	struct pare_field f;
	struct pare_wire c;
	uint8_t *copy;

	pare_wire_init(&c, w->file, t->wire);
	while (pare_wire_next(&c, &f))
		if ((f.number == TENSOR_FLOAT_DATA || f.number == TENSOR_DOUBLE_DATA) && f.type == PARE_WIRE_LEN && f.span.len == n_bytes) {
			out->at = f.span;
			out->values = f.span.data;
			return PARE_OK;
		}
	copy = pare_arena_alloc(&w->v->arena, n_bytes);
	if (copy == NULL)
		return too_large(w);
	out->spread = true;
	out->at = t->wire;
	out->values = copy;
	return pare_tensor_read_bytes(t, copy, w->err);
}

static enum pare_code add_tensor(struct walker *w, struct pare_span tensor, struct pare_span name, int32_t scope, int depth)
{
	struct pare_weight *out = &w->v->weights[w->n_found];
	struct pare_tensor t = {.name = ""};
	enum pare_code code;
	size_t n_bytes;
	char *text;

	if (!is_counted(w, tensor))
		return PARE_OK;
	text = pare_arena_strndup(&w->v->arena, (const char *)name.data, name.len);
	w->reader.text = pare_arena_alloc(&w->scratch, pare_wire_find(w->file, tensor, TENSOR_NAME).len + 1);
	if (text == NULL || w->reader.text == NULL)
		return too_large(w);
	code = pare_onnx_tensor(&w->reader, tensor, &t);
	if (code != PARE_OK)
		return code;
	t.name = text;
	n_bytes = t.n_elems * ((size_t)pare_dtype_bits(t.dtype) / 8); /* n_elems * 16 does not overflow */
	*out = (struct pare_weight){.dtype = t.dtype, .op = "", .depth = depth, .at = t.raw, .values = t.raw.data};
	out->info = (struct pare_param_info){.value = -1, .node = -1, .name = text, .node_name = "", .n_elems = t.n_elems, .n_dims = t.n_dims, .out_axis = -1};
	memcpy(out->info.dims, t.dims, sizeof t.dims);
	if (t.external)
		code = place_external(w, &t, n_bytes, out);
	else if (t.raw.data == NULL && n_bytes > 0)
		code = place_typed(w, &t, n_bytes, out);
	put(w, scope, name, (int32_t)w->n_found++);
	return code;
}

/* --- readers */

static bool is_among(struct pare_span op, const char *const *list)
{
	while (*list != NULL && !text_is(op, *list))
		list++;
	return *list != NULL;
}

/* Does the node hand input 0 on under another shape or type? Then who reads its output reads the tensor. */
static bool is_passed(const struct walker *w, struct pare_span node)
{
	static const char *const shapes[] = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", NULL};

	return is_onnx(w, node) && is_among(pare_wire_find(w->file, node, NODE_OP_TYPE), shapes);
}

static enum pare_code count_passed(struct walker *w, struct pare_span node, int32_t scope)
{
	(void)scope;
	w->n_passed += is_passed(w, node);
	return PARE_OK;
}

/* What control flow reads, its bodies read under other names or not at all: it is a condition, a count or a first state. */
static bool is_control(const struct walker *w, struct pare_span node)
{
	static const char *const control[] = {"If", "Loop", "Scan", NULL};

	return is_onnx(w, node) && is_among(pare_wire_find(w->file, node, NODE_OP_TYPE), control);
}

static bool has_flag(const struct walker *w, struct pare_span node, const char *name)
{
	bool set = false;
	struct pare_field f, a;
	struct pare_wire c, in;

	pare_wire_init(&c, w->file, node);
	while (pare_wire_next(&c, &f)) {
		if (f.number != NODE_ATTRIBUTE || !text_is(pare_wire_find(w->file, f.span, ATTR_NAME), name))
			continue;
		pare_wire_init(&in, w->file, f.span);
		while (pare_wire_next(&in, &a))
			if (a.number == ATTR_I)
				set = a.bits != 0;
	}
	return set;
}

/* A text of the node as a C string that lives as long as the inventory; "" without memory. */
static const char *keep_text(struct walker *w, struct pare_span s)
{
	const char *text = s.len > 0 ? pare_arena_strndup(&w->v->arena, (const char *)s.data, s.len) : "";

	return text != NULL ? text : "";
}

static enum pare_code note_reader(struct walker *w, struct pare_span node, int k, struct pare_weight *out)
{
	struct pare_span op = pare_wire_find(w->file, node, NODE_OP_TYPE), domain = pare_wire_find(w->file, node, NODE_DOMAIN);
	char name[PARE_NAME_SHOWN + 1], in[PARE_NAME_SHOWN + 1];
	struct pare_weight_use use = {.domain = in, .op = name, .k = k, .n_dims = out->info.n_dims, .trans = has_flag(w, node, k == 0 ? "transA" : "transB")};
	bool fits = op.len < sizeof name && domain.len < sizeof in;
	enum pare_weight_kind kind = PARE_WEIGHT_UNKNOWN;
	int axis = -1;

	if (out->op[0] == '\0') {
		out->op = keep_text(w, op);
		out->info.node_name = keep_text(w, pare_wire_find(w->file, node, NODE_NAME));
	}
	if (fits) {
		(void)snprintf(name, sizeof name, "%.*s", (int)op.len, (const char *)op.data);
		(void)snprintf(in, sizeof in, "%.*s", is_onnx(w, node) ? 0 : (int)domain.len, domain.len > 0 ? (const char *)domain.data : "");
		use.opset = pare_model_opset(w->model, in);
		kind = is_control(w, node) ? PARE_WEIGHT_NO : pare_weight_kind_of(&use, &axis);
	}
	if (kind == PARE_WEIGHT_NO || out->info.n_dims < 2)
		return PARE_OK;
	if (!out->info.prunable)
		out->info.out_axis = axis;
	out->guessed = kind == PARE_WEIGHT_UNKNOWN && (out->guessed || !out->info.prunable);
	out->info.prunable = true;
	return PARE_OK;
}

static enum pare_code read_node(struct walker *w, struct pare_span node, int32_t scope)
{
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire c;
	int k = 0;

	pare_wire_init(&c, w->file, node);
	while (code == PARE_OK && pare_wire_next(&c, &f)) {
		struct pare_weight *t = f.number == NODE_INPUT ? look_up(w, scope, f.span) : NULL;

		if (t != NULL && k == 0 && is_passed(w, node))
			put(w, scope, nth_string(w, node, NODE_OUTPUT, 0), (int32_t)(t - w->v->weights));
		else if (t != NULL)
			code = note_reader(w, node, k, t);
		k += f.number == NODE_INPUT;
	}
	return code;
}

/* --- places */

static int by_place(const void *a, const void *b)
{
	const struct pare_weight *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->at.data != y->at.data)
		return x->at.data < y->at.data ? -1 : 1;
	return (x->at.len > y->at.len) - (x->at.len < y->at.len);
}

/* Tensors that share all their bytes become one. */
static enum pare_code arrange(struct walker *w)
{
	struct pare_inventory *v = w->v;
	int n = 0, found = v->n;

	qsort(v->weights, (size_t)found, sizeof *v->weights, by_place);
	for (int i = 0; i < found; i++) {
		struct pare_weight *last = n > 0 ? &v->weights[n - 1] : NULL, *t = &v->weights[i];
		char shown[PARE_NAME_SHOWN], other[PARE_NAME_SHOWN];

		if (t->info.n_elems == 0)
			continue;
		if (last == NULL || last->file != t->file || last->at.data + last->at.len <= t->at.data) {
			v->weights[n++] = *t;
			continue;
		}
		if (last->at.data != t->at.data || last->at.len != t->at.len || last->dtype != t->dtype)
			return pare_err_set(w->err, PARE_E_MODEL, NULL, "the tensors \"%s\" and \"%s\" share some, not all of their bytes in an external file",
			    pare_name_shown(last->info.name, shown), pare_name_shown(t->info.name, other));
		last->guessed = last->info.prunable && t->info.prunable ? last->guessed && t->guessed : last->guessed || t->guessed;
		if (!last->info.prunable)
			last->info.out_axis = t->info.out_axis;
		last->info.prunable |= t->info.prunable;
	}
	v->n = n;
	for (int i = 0; i < n; i++) {
		struct pare_weight *t = &v->weights[i];

		v->n_params += (int64_t)t->info.n_elems;
		v->n_inner += t->depth > 0;
		if (!t->info.prunable)
			continue;
		t->info.offset = v->len;
		v->len += (t->info.n_elems + 63) / 64 * 64;
		v->n_weights += (int64_t)t->info.n_elems;
		v->n_guessed += t->guessed;
	}
	return PARE_OK;
}

static enum pare_code take_memory(struct walker *w)
{
	size_t n = w->n_found, expected = n + w->n_passed;

	for (w->n_slots = 16; w->n_slots < 2 * expected + 2;)
		w->n_slots *= 2;
	w->v->weights = pare_arena_array(&w->v->arena, n + 1, sizeof *w->v->weights);
	w->slots = pare_arena_array(&w->scratch, w->n_slots, sizeof *w->slots);
	w->parent = pare_arena_array(&w->scratch, w->n_scopes + 1, sizeof *w->parent);
	if (w->n_scopes > INT32_MAX || w->v->weights == NULL || w->slots == NULL || w->parent == NULL)
		return too_large(w);
	for (size_t i = 0; i < w->n_slots; i++)
		w->slots[i].weight = -1;
	return PARE_OK;
}

static enum pare_code take(struct walker *w)
{
	static const struct visit count = {count_tensor, count_passed}, list = {add_tensor, NULL}, readers = {NULL, read_node};
	enum pare_code code = walk_model(w, &count);

	if (code == PARE_OK)
		code = take_memory(w);
	if (code == PARE_OK)
		code = walk_model(w, &list);
	w->v->n = (int)w->n_found;
	if (code == PARE_OK)
		code = walk_model(w, &readers);
	return code == PARE_OK ? arrange(w) : code;
}

enum pare_code pare_onnx_inventory(const struct pare_model *m, const struct pare_side_file *files, int n_files, struct pare_inventory *out, struct pare_err *err)
{
	struct pare_err unwanted = {.code = PARE_OK};
	struct walker w = {.model = m, .file = m->file.data, .files = files, .n_files = n_files, .v = out, .err = err != NULL ? err : &unwanted};
	enum pare_code code;
	size_t cap;

	*out = (struct pare_inventory){.n = 0};
	if (!pare_mul_size(m->file.len, CAP_FACTOR, &cap) || !pare_add_size(cap, CAP_EXTRA, &cap))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the file is too large");
	pare_arena_init(&out->arena, cap);
	pare_arena_init(&w.scratch, cap);
	w.holder.file = m->file;
	w.reader = (struct pare_onnx_reader){.m = &w.holder, .err = w.err};
	code = take(&w);
	pare_arena_done(&w.scratch);
	if (code != PARE_OK)
		pare_inventory_done(out);
	return code;
}

enum pare_code pare_onnx_attach(struct pare_model *m, const struct pare_side_file *files, int n_files, struct pare_err *err)
{
	struct pare_err unwanted = {.code = PARE_OK};
	struct walker w = {.model = m, .file = m->file.data, .files = files, .n_files = n_files, .err = err != NULL ? err : &unwanted};
	enum pare_code code = PARE_OK;

	for (int32_t i = 0; i < m->graph.n_inits && code == PARE_OK; i++) {
		struct pare_tensor *t = m->graph.values[m->graph.inits[i]].init;
		size_t n_bytes = t->n_elems * ((size_t)pare_dtype_bits(t->dtype) / 8);
		struct pare_weight place = {.dtype = t->dtype};

		if (!t->external || pare_dtype_bits(t->dtype) < 8)
			continue;
		code = place_external(&w, t, n_bytes, &place);
		if (code != PARE_OK)
			break;
		t->raw = place.at;
		t->external = false;
		t->beside = true;
	}
	return code;
}
