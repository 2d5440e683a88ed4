/* What the files of the reader share. The file has passed pare_onnx_check, so cursors meet no fault in it. */
#ifndef PARE_ONNX_READ_PRIV_H
#define PARE_ONNX_READ_PRIV_H

#include "core/graph/graph.h"
#include "core/graph/graph_priv.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

/* What pass one counts, so that pass two allocates each kind once. */
struct pare_onnx_counts {
	size_t nodes, inits, sparse, inputs, outputs;
	size_t in, out, attrs; /* of all nodes */
	size_t tensors, ints, floats, strings; /* of all attributes */
	size_t text;                  /* bytes of names with their NULs */
};

/* A name that the graph defines: an input, an initializer, a node's output. */
struct pare_onnx_def {
	const char *name;
	int32_t value; /* index of its value, once it has one */
	bool is_init;
	bool is_input;
};

struct pare_onnx_key {
	uint32_t hash;
	int32_t def;
};

struct pare_onnx_names {
	struct pare_onnx_def *defs; /* in file order */
	struct pare_onnx_key *keys; /* sorted by hash, then name, then order */
	int32_t n;
};

/* A model-local function, a place where one is called, and a node to be read: functions.c. */
struct pare_onnx_function {
	struct pare_span wire, name, domain, overload;
	bool active;  /* being inlined now: a call of it would be recursion */
	bool inlined; /* at least once */
};
struct pare_onnx_bound {
	struct pare_span formal;
	const char *actual; /* "": left out */
};
struct pare_onnx_call {
	struct pare_span node;
	int32_t parent; /* the call that this one stands in; -1: the main graph */
	const struct pare_onnx_function *function;
	struct pare_onnx_bound *names;
	size_t n_names;
	bool repeated; /* not the first copy of this body */
};
struct pare_onnx_item {
	struct pare_span node;
	int32_t call; /* -1: the main graph */
};

struct pare_onnx_reader {
	struct pare_model *m;
	struct pare_arena scratch; /* freed when reading ends */
	struct pare_span graph;
	struct pare_onnx_function *functions; /* of scratch, as the two below */
	struct pare_onnx_call *calls;
	struct pare_onnx_item *items;
	size_t n_functions, n_calls, n_items, comparisons;
	struct pare_onnx_counts n;
	/* pools of pass two: where the next of each kind goes */
	char *text;
	int32_t *refs;
	struct pare_attr *attrs;
	struct pare_tensor *tensors;
	int64_t *ints;
	float *floats;
	struct pare_span *strings;
	struct pare_onnx_names names;
	struct pare_err *err;
};

/* n * size cleared bytes from a, or NULL with err set: PARE_E_LIMIT past the cap, else PARE_E_NOMEM. */
void *pare_onnx_take(struct pare_onnx_reader *r, struct pare_arena *a, size_t n, size_t size);
/* A name copied into the text pool, and a name as messages show it. */
const char *pare_onnx_shown(struct pare_span s, char out[PARE_NAME_SHOWN]);
const char *pare_onnx_text(struct pare_onnx_reader *r, struct pare_span s);
/* Fills err; the code comes back for "return". */
enum pare_code pare_onnx_bad(struct pare_onnx_reader *r, const char *kind, const char *name, const char *fmt, ...)
    PARE_PRINTF(4, 5);

/* A TensorProto: shape, type, and that its values are there in the right number. */
PARE_MUST_USE enum pare_code pare_onnx_tensor(struct pare_onnx_reader *r, struct pare_span wire, struct pare_tensor *out);
/* An AttributeProto; attr->name is set even when it fails. */
PARE_MUST_USE enum pare_code pare_onnx_attr(struct pare_onnx_reader *r, struct pare_span wire, struct pare_attr *out);
/* A ValueInfoProto's type and shape into out (left alone if it is no tensor). Its name is the caller's business. */
PARE_MUST_USE enum pare_code pare_onnx_value_type(struct pare_onnx_reader *r, struct pare_span wire, struct pare_value *out);

/* Sorts the definitions, refuses a name defined twice, and makes the two definitions of an initializer that is also a
 * graph input one. Fills .value of every definition; *out_n_values is how many values that makes. */
PARE_MUST_USE enum pare_code pare_onnx_names_index(struct pare_onnx_reader *r, int32_t *out_n_values);
/* The value of that name, or -1. */
int32_t pare_onnx_names_find(const struct pare_onnx_names *names, struct pare_span name);

/* Fills r->items: the nodes of the main graph with every call of a function replaced by its nodes; allocates the graph's. PARE_E_MODEL
 * for recursion, PARE_E_LIMIT. */
PARE_MUST_USE enum pare_code pare_onnx_inline(struct pare_onnx_reader *r);
/* PARE_E_LIMIT when names of functions have been compared more often than an honest file needs. */
PARE_MUST_USE enum pare_code pare_onnx_inline_check(struct pare_onnx_reader *r);
/* What a name means in the scope of a call (-1: the main graph); "" for an input that is left out, NULL with err set. */
#define PARE_ONNX_SCOPE 20 /* what it may be longer than the name, NUL included */
const char *pare_onnx_scoped(struct pare_onnx_reader *r, int32_t call, struct pare_span name);
/* The AttributeProto with the value of attr: itself, or what it refers to. data NULL: it is absent. */
struct pare_span pare_onnx_attr_value(struct pare_onnx_reader *r, int32_t call, struct pare_span attr);
/* The version of the node's domain that the called function imports; 0 if it imports none. */
int64_t pare_onnx_function_opset(struct pare_onnx_reader *r, int32_t call, struct pare_span node);

/* Pass one: fills r->n. Pass two: r->m->graph. */
void pare_onnx_count(struct pare_onnx_reader *r);
PARE_MUST_USE enum pare_code pare_onnx_read_graph(struct pare_onnx_reader *r);

#endif
