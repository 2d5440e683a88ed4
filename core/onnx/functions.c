/* Model-local functions, inlined while a model is read: what reading lists as nodes is every node of the main graph that calls
 * no function, and in the place of each call the nodes of the function, by then with other names. Nothing else in the program
 * knows functions, and the file's bytes are not touched, so writing gives them back as they came.
 *
 * A name inside a function is either one of its formal inputs and outputs, and then stands for what the call site gives, or its
 * own, and then gets the number of the call behind it ("x (call 3)"). An attribute may refer to one of the call's
 * (ref_attr_name), which may itself refer to the caller's; a default stands in the function; without either it is absent.
 *
 * Uploads are hostile: calls may double at each level, and each name is compared with formal ones. So depth, the number of nodes
 * and calls, and the number of comparisons are capped, and a function that is already being inlined is refused by name. */
#include <stdio.h>
#include <string.h>

#include "core/onnx/read_priv.h"

#define MAX_DEPTH 32
#define MAX_ITEMS ((size_t)1 << 18) /* nodes and calls, once inlined */
#define MAX_COMPARISONS ((size_t)1 << 26)

/* "ai.onnx" is another way to write the default domain. */
static struct pare_span domain_of(const struct pare_onnx_reader *r, struct pare_span message, uint32_t field)
{
	struct pare_span s = pare_wire_find(r->m->file.data, message, field);

	return s.len == 7 && memcmp(s.data, "ai.onnx", 7) == 0 ? (struct pare_span){s.data, 0} : s;
}

enum pare_code pare_onnx_inline_check(struct pare_onnx_reader *r)
{
	if (r->comparisons > MAX_COMPARISONS)
		return pare_err_set(r->err, PARE_E_LIMIT, NULL, "the model's functions have too many nodes and parameters to be inlined");
	return PARE_OK;
}

static enum pare_code spend(struct pare_onnx_reader *r, size_t comparisons)
{
	r->comparisons += comparisons;
	return pare_onnx_inline_check(r);
}

static enum pare_code list_functions(struct pare_onnx_reader *r)
{
	struct pare_field f;
	struct pare_wire w;
	size_t n = 0;

	pare_wire_init(&w, r->m->file.data, r->m->file);
	while (pare_wire_next(&w, &f))
		n += f.number == MODEL_FUNCTIONS;
	r->functions = pare_onnx_take(r, &r->scratch, n, sizeof *r->functions);
	if (r->functions == NULL)
		return r->err->code;
	pare_wire_init(&w, r->m->file.data, r->m->file);
	while (pare_wire_next(&w, &f)) {
		struct pare_onnx_function *fn = &r->functions[r->n_functions];

		if (f.number != MODEL_FUNCTIONS)
			continue;
		*fn = (struct pare_onnx_function){.wire = f.span, .name = pare_wire_find(r->m->file.data, f.span, FUNCTION_NAME),
		    .domain = domain_of(r, f.span, FUNCTION_DOMAIN), .overload = pare_wire_find(r->m->file.data, f.span, FUNCTION_OVERLOAD)};
		r->n_functions++;
	}
	return PARE_OK;
}

/* The function that a node calls; NULL in *out if it is an operator. */
static enum pare_code find_function(struct pare_onnx_reader *r, struct pare_span node, struct pare_onnx_function **out)
{
	struct pare_span name, domain, overload;

	*out = NULL;
	if (r->n_functions == 0)
		return PARE_OK;
	name = pare_wire_find(r->m->file.data, node, NODE_OP_TYPE);
	domain = domain_of(r, node, NODE_DOMAIN);
	overload = pare_wire_find(r->m->file.data, node, NODE_OVERLOAD);
	for (size_t i = 0; i < r->n_functions && *out == NULL; i++)
		if (pare_wire_same(r->functions[i].name, name) && pare_wire_same(r->functions[i].domain, domain) && pare_wire_same(r->functions[i].overload, overload))
			*out = &r->functions[i];
	return spend(r, r->n_functions);
}

static enum pare_code bad_call(struct pare_onnx_reader *r, struct pare_span node, enum pare_code code)
{
	char name[PARE_NAME_SHOWN], op[PARE_NAME_SHOWN];

	(void)pare_err_at(r->err, "node \"%s\" (%s)", pare_onnx_shown(pare_wire_find(r->m->file.data, node, NODE_NAME), name),
	    pare_onnx_shown(pare_wire_find(r->m->file.data, node, NODE_OP_TYPE), op));
	return code;
}

static size_t count_fields(const struct pare_onnx_reader *r, struct pare_span message, uint32_t number)
{
	struct pare_field f;
	struct pare_wire w;
	size_t n = 0;

	pare_wire_init(&w, r->m->file.data, message);
	while (pare_wire_next(&w, &f))
		n += f.number == number;
	return n;
}

/* The formal names of one kind, with what the call gives for them; an output that it does not want stays the function's own. */
static enum pare_code bind(struct pare_onnx_reader *r, struct pare_onnx_call *c, uint32_t formal, uint32_t actual)
{
	size_t n_formal = count_fields(r, c->function->wire, formal), n_actual = count_fields(r, c->node, actual);
	struct pare_field f, a;
	struct pare_wire fw, aw;

	if (n_actual > n_formal)
		return bad_call(r, c->node, pare_err_set(r->err, PARE_E_MODEL, NULL, "the call has %zu %s, but the function has %zu", n_actual,
		    formal == FUNCTION_INPUT ? "inputs" : "outputs", n_formal));
	pare_wire_init(&fw, r->m->file.data, c->function->wire);
	pare_wire_init(&aw, r->m->file.data, c->node);
	while (pare_wire_next(&fw, &f)) {
		struct pare_span given = {0};
		const char *name = "";

		if (f.number != formal)
			continue;
		while (n_actual > 0 && given.data == NULL && pare_wire_next(&aw, &a))
			if (a.number == actual) {
				given = a.span;
				n_actual--;
			}
		if (given.len != 0) {
			name = pare_onnx_scoped(r, c->parent, given);
			if (name == NULL)
				return r->err->code;
		}
		if (given.len == 0 && formal == FUNCTION_OUTPUT)
			continue;
		c->names[c->n_names++] = (struct pare_onnx_bound){.formal = f.span, .actual = name};
	}
	return PARE_OK;
}

static enum pare_code bind_call(struct pare_onnx_reader *r, struct pare_onnx_call *c)
{
	size_t n = count_fields(r, c->function->wire, FUNCTION_INPUT) + count_fields(r, c->function->wire, FUNCTION_OUTPUT);
	enum pare_code code;

	c->names = pare_onnx_take(r, &r->scratch, n, sizeof *c->names);
	if (c->names == NULL)
		return r->err->code;
	code = bind(r, c, FUNCTION_INPUT, NODE_INPUT);
	return code == PARE_OK ? bind(r, c, FUNCTION_OUTPUT, NODE_OUTPUT) : code;
}

/* Adds a body's nodes to the list, or counts them while the list has no memory yet. */
static enum pare_code expand(struct pare_onnx_reader *r, struct pare_span body, uint32_t field, int32_t call, int depth)
{
	enum pare_code code = PARE_OK;
	struct pare_field f;
	struct pare_wire w;

	pare_wire_init(&w, r->m->file.data, body);
	while (code == PARE_OK && pare_wire_next(&w, &f)) {
		struct pare_onnx_function *fn;
		char shown[PARE_NAME_SHOWN];
		int32_t inner = (int32_t)r->n_calls;

		if (f.number != field)
			continue;
		code = find_function(r, f.span, &fn);
		if (code != PARE_OK)
			return code;
		if (call >= 0 && r->n_items + r->n_calls >= MAX_ITEMS)
			return bad_call(r, f.span, pare_err_set(r->err, PARE_E_LIMIT, NULL, "the model's functions are more than %zu nodes when they are inlined", MAX_ITEMS));
		if (fn == NULL) {
			if (r->items != NULL)
				r->items[r->n_items] = (struct pare_onnx_item){.node = f.span, .call = call};
			r->n_items++;
			continue;
		}
		if (fn->active)
			return bad_call(r, f.span, pare_err_set(r->err, PARE_E_MODEL, NULL, "function \"%s\" calls itself", pare_onnx_shown(fn->name, shown)));
		if (depth == MAX_DEPTH)
			return bad_call(r, f.span, pare_err_set(r->err, PARE_E_LIMIT, NULL, "functions call each other more than %d deep", MAX_DEPTH));
		if (r->calls != NULL) {
			r->calls[inner] = (struct pare_onnx_call){.node = f.span, .parent = call, .function = fn, .repeated = fn->inlined || (call >= 0 && r->calls[call].repeated)};
			fn->inlined = true;
			code = bind_call(r, &r->calls[inner]);
		}
		r->n_calls++;
		fn->active = true;
		if (code == PARE_OK)
			code = expand(r, fn->wire, FUNCTION_NODE, inner, depth + 1);
		fn->active = false;
	}
	return code;
}

enum pare_code pare_onnx_inline(struct pare_onnx_reader *r)
{
	enum pare_code code = list_functions(r);

	if (code == PARE_OK)
		code = expand(r, r->graph, GRAPH_NODE, -1, 0);
	if (code != PARE_OK)
		return code;
	r->m->graph.nodes = pare_onnx_take(r, &r->m->arena, r->n_items, sizeof *r->m->graph.nodes); /* the larger one first: it may be refused */
	if (r->m->graph.nodes == NULL)
		return r->err->code;
	r->items = pare_onnx_take(r, &r->scratch, r->n_items, sizeof *r->items);
	if (r->items == NULL)
		return r->err->code;
	r->calls = pare_onnx_take(r, &r->scratch, r->n_calls, sizeof *r->calls);
	if (r->calls == NULL)
		return r->err->code;
	r->n_items = r->n_calls = 0;
	return expand(r, r->graph, GRAPH_NODE, -1, 0);
}

const char *pare_onnx_scoped(struct pare_onnx_reader *r, int32_t call, struct pare_span name)
{
	const struct pare_onnx_call *c = call >= 0 ? &r->calls[call] : NULL;
	size_t size = name.len + (c != NULL ? PARE_ONNX_SCOPE : 1);
	char *text;

	for (size_t i = 0; c != NULL && i < c->n_names; i++)
		if (pare_wire_same(c->names[i].formal, name))
			return spend(r, i) == PARE_OK ? c->names[i].actual : NULL;
	if (c != NULL && spend(r, c->n_names) != PARE_OK)
		return NULL;
	text = pare_onnx_take(r, &r->m->arena, size, 1);
	if (text == NULL)
		return NULL;
	if (name.len != 0)
		memcpy(text, name.data, name.len);
	if (c != NULL && name.len != 0)
		(void)snprintf(text + name.len, PARE_ONNX_SCOPE, " (call %d)", (int)call);
	return text;
}

/* The attribute of that name that a call gives, or that its function has as default. */
static struct pare_span given_attr(struct pare_onnx_reader *r, int32_t call, struct pare_span name)
{
	const struct pare_onnx_call *c = &r->calls[call];
	const struct {
		struct pare_span message;
		uint32_t field;
	} place_table[] = {{c->node, NODE_ATTRIBUTE}, {c->function->wire, FUNCTION_ATTRIBUTE_PROTO}};
	struct pare_field f;
	struct pare_wire w;

	for (size_t i = 0; i < 2; i++) {
		pare_wire_init(&w, r->m->file.data, place_table[i].message);
		while (pare_wire_next(&w, &f)) {
			r->comparisons++;
			if (f.number == place_table[i].field && pare_wire_same(pare_wire_find(r->m->file.data, f.span, ATTR_NAME), name))
				return f.span;
		}
	}
	return (struct pare_span){0};
}

struct pare_span pare_onnx_attr_value(struct pare_onnx_reader *r, int32_t call, struct pare_span attr)
{
	struct pare_span ref = pare_wire_find(r->m->file.data, attr, ATTR_REF_NAME);

	while (call >= 0 && ref.len != 0 && attr.data != NULL) {
		attr = given_attr(r, call, ref);
		call = r->calls[call].parent;
		if (attr.data != NULL)
			ref = pare_wire_find(r->m->file.data, attr, ATTR_REF_NAME);
	}
	return attr;
}

int64_t pare_onnx_function_opset(struct pare_onnx_reader *r, int32_t call, struct pare_span node)
{
	struct pare_span domain = domain_of(r, node, NODE_DOMAIN);
	struct pare_field f, v;
	struct pare_wire w, o;

	pare_wire_init(&w, r->m->file.data, r->calls[call].function->wire);
	while (pare_wire_next(&w, &f)) {
		r->comparisons++;
		if (f.number != FUNCTION_OPSET_IMPORT || !pare_wire_same(domain_of(r, f.span, OPSET_DOMAIN), domain))
			continue;
		pare_wire_init(&o, r->m->file.data, f.span);
		while (pare_wire_next(&o, &v))
			if (v.number == OPSET_VERSION)
				return (int64_t)v.bits;
	}
	return 0;
}
