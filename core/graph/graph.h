/* The model in memory: a typed graph over bytes that stay where they are.
 *
 * A struct pare_model is made by core/onnx/read.c over the bytes of one ONNX file, which the caller keeps alive and
 * unchanged for the model's whole life (they are usually a read-only mapping). Names, tensors and subgraphs point into
 * those bytes or into the model's arena. The graph is a flat list of nodes in topological order (ONNX demands that, the
 * reader checks it) and a flat list of values; both refer to each other by index, never by pointer or name.
 *
 * What changes is recorded, not overwritten: pare_model_set_* mark an initializer as replaced, and core/onnx/write.c
 * copies every byte of the file that was not marked. An untouched model therefore leaves exactly as it came. */
#ifndef PARE_GRAPH_GRAPH_H
#define PARE_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/mem.h"

#define PARE_MAX_DIMS 8
#define PARE_DIM_UNKNOWN ((int64_t)-1) /* a symbolic (dim_param) or absent dimension */

/* Element types carry ONNX's own numbers (TensorProto.DataType). */
enum pare_dtype {
	PARE_DT_UNDEFINED = 0,
	PARE_DT_FLOAT = 1,
	PARE_DT_UINT8 = 2,
	PARE_DT_INT8 = 3,
	PARE_DT_UINT16 = 4,
	PARE_DT_INT16 = 5,
	PARE_DT_INT32 = 6,
	PARE_DT_INT64 = 7,
	PARE_DT_STRING = 8,
	PARE_DT_BOOL = 9,
	PARE_DT_FLOAT16 = 10,
	PARE_DT_DOUBLE = 11,
	PARE_DT_UINT32 = 12,
	PARE_DT_UINT64 = 13,
	PARE_DT_COMPLEX64 = 14,
	PARE_DT_COMPLEX128 = 15,
	PARE_DT_BFLOAT16 = 16,
	/* 17 to 26: float8, int4, float4, int2 families; carried, never computed with */
	PARE_DT_MAX = 26
};

/* A float16 by its bits. */
float pare_half_to_float(uint16_t h);
/* "float", "int64" …; "unknown" for others. Size of one element in bits (sub-byte types exist); 0 for strings. */
const char *pare_dtype_name(int dtype);
int pare_dtype_bits(int dtype);
/* Integers, bools and floats of 16 to 64 bits. */
bool pare_dtype_is_number(int dtype);
/* What the engine computes with: PARE_DT_FLOAT for floats of any of those widths, else the type itself. */
int pare_dtype_computed(int dtype);

struct pare_span {
	const uint8_t *data; /* NULL when absent */
	size_t len;
};

/* A constant tensor as the file holds it: initializer or attribute. */
struct pare_tensor {
	const char *name; /* "" when unnamed */
	int dtype;        /* enum pare_dtype, or a newer number that we only carry */
	int n_dims;
	int64_t dims[PARE_MAX_DIMS];
	size_t n_elems;
	bool external;         /* data_location EXTERNAL: the values are not in this file */
	bool beside;           /* raw stands in another file (pare_onnx_attach) */
	struct pare_span raw;  /* raw_data (little-endian values of dtype), data NULL if typed fields are used */
	struct pare_span wire; /* the whole TensorProto, where it stands in the file */
};

enum pare_attr_type {
	PARE_ATTR_FLOAT = 1,
	PARE_ATTR_INT = 2,
	PARE_ATTR_STRING = 3,
	PARE_ATTR_TENSOR = 4,
	PARE_ATTR_GRAPH = 5,
	PARE_ATTR_FLOATS = 6,
	PARE_ATTR_INTS = 7,
	PARE_ATTR_STRINGS = 8,
	PARE_ATTR_OTHER = 9 /* tensors, graphs, sparse and type protos: carried */
};

struct pare_attr {
	const char *name;
	enum pare_attr_type type;
	int64_t i;
	float f;
	struct pare_span s; /* STRING: the text; GRAPH: the GraphProto */
	size_t n;           /* of ints, floats or strings */
	const int64_t *ints;
	const float *floats;
	const struct pare_span *strings;
	const struct pare_tensor *t;
};

struct pare_node {
	const char *name; /* "" when unnamed */
	const char *op_type;
	const char *domain; /* "" is the default ONNX domain ("ai.onnx" is read as "") */
	int n_in, n_out, n_attrs;
	const int32_t *in;  /* value indices; -1: an optional input left out */
	const int32_t *out; /* value indices; -1: an output not wanted */
	const struct pare_attr *attrs;
	struct pare_span wire;
	/* of a node that stands in a model-local function and was inlined where that is called */
	bool inlined;
	bool repeated; /* there is an earlier copy of it */
	int64_t opset; /* the version of its domain that the function imports; 0: the model's */
};

struct pare_value {
	const char *name;
	int dtype;  /* PARE_DT_UNDEFINED while unknown */
	int n_dims; /* -1 while unknown */
	int64_t dims[PARE_MAX_DIMS];
	int32_t producer;         /* node index; -1 for graph inputs and initializers */
	struct pare_tensor *init; /* NULL unless an initializer */
	bool is_input;            /* named in graph.input (an initializer may be, before IR 4) */
	bool is_output;
};

struct pare_graph {
	const char *name;
	int32_t n_nodes, n_values, n_inputs, n_outputs, n_inits;
	int32_t n_watched; /* the last of the outputs: inner values, in memory only (pare_model_watch) */
	struct pare_node *nodes;
	struct pare_value *values;
	const int32_t *inputs;  /* value indices of graph.input without initializers, in order */
	const int32_t *outputs;
	const int32_t *inits;   /* in file order */
};

struct pare_opset {
	const char *domain;
	int64_t version;
};

/* The shape of one row of an input, for files that leave more open than the batch (image sizes, sequence lengths). */
struct pare_row_shape {
	const char *name; /* the graph input's */
	int n_dims;       /* without the batch */
	int64_t dims[PARE_MAX_DIMS];
};

struct pare_init_patch; /* private to core/onnx and graph.c */

struct pare_model {
	struct pare_arena arena;
	struct pare_span file;
	int64_t ir_version;
	const char *producer_name, *producer_version;
	int n_opsets;
	struct pare_opset *opsets;
	struct pare_graph graph;
	struct pare_init_patch **patches; /* by value index; NULL until the first change */
	const struct pare_row_shape *rows; /* what nets of the model are made for; a file that is written leaves open what it left open */
	int n_rows;
};

/* Releases all that the model owns, not the file's bytes. NULL is fine. */
void pare_model_free(struct pare_model *m);

/* The imported opset version of a domain ("" for default); 0 if not imported. */
int64_t pare_model_opset(const struct pare_model *m, const char *domain);
/* A node as errors and reports name it: its name, else "Gemm_3" (operator and index). Writes at most n bytes with NUL. */
void pare_node_label(const struct pare_graph *g, int32_t node, char *out, size_t n);
/* Says what nets made from now on take for the rows of these inputs (copied): those with open dimensions need it, others may not be contradicted. */
PARE_MUST_USE enum pare_code pare_model_set_rows(struct pare_model *m, const struct pare_row_shape *rows, int n, struct pare_err *err);
/* The attribute of that name, or NULL. */
const struct pare_attr *pare_node_attr(const struct pare_node *node, const char *name);
/* The integer of that name, or what stands for it where there is none. */
int64_t pare_node_int(const struct pare_node *node, const char *name, int64_t otherwise);
/* Value index by name, or -1. Linear; for set-up and tests. */
int32_t pare_graph_find_value(const struct pare_graph *g, const char *name);

/* Makes an inner value an output of the graph in memory, for nets made from now on: they keep it, and take a gradient for it. The file
 * that is written stays as it was. PARE_E_INVALID when there is no value of that name. */
PARE_MUST_USE enum pare_code pare_model_watch(struct pare_model *m, const char *name, struct pare_err *err);

/* Copies a constant's values as float32 (float, float16, bfloat16, double, and integers converted) into out[n_elems].
 * PARE_E_UNSUPPORTED for strings, complex, sub-byte and external; PARE_E_MODEL when the stored data are not n_elems long. */
PARE_MUST_USE enum pare_code pare_tensor_read_f32(const struct pare_tensor *t, float *out, struct pare_err *err);
/* The same for integer and bool tensors as int64. */
PARE_MUST_USE enum pare_code pare_tensor_read_i64(const struct pare_tensor *t, int64_t *out, struct pare_err *err);
/* The values as raw_data would hold them (little-endian, of the tensor's own dtype), n_elems * bits / 8 bytes. */
PARE_MUST_USE enum pare_code pare_tensor_read_bytes(const struct pare_tensor *t, uint8_t *out, struct pare_err *err);
/* Replaces an initializer's values: n_elems floats, copied and converted to the tensor's own dtype at once (float, float16,
 * bfloat16 or double, else PARE_E_UNSUPPORTED; round to nearest even, PARE_E_NONFINITE if a finite value would become
 * infinite). Name, shape and dtype stay; every later read, count and write sees the new values. External values that are
 * replaced are in the file from then on. Not thread safe. */
PARE_MUST_USE enum pare_code pare_model_set_init_f32(struct pare_model *m, int32_t value, const float *data, struct pare_err *err);
/* The values of one that stand beside the model's file are in the file from then on, as they are. */
PARE_MUST_USE enum pare_code pare_model_take_init(struct pare_model *m, int32_t value, struct pare_err *err);

/* Size figures that need no execution. PARE_E_UNSUPPORTED, naming the tensor, when floating-point values are external. */
struct pare_model_counts {
	int64_t n_params;  /* elements of floating-point initializers and Constant node tensors */
	int64_t n_nonzero; /* of those */
	int64_t n_weights; /* elements of the floating-point initializers of rank >= 2 */
	int64_t n_weights_nonzero;
};
PARE_MUST_USE enum pare_code pare_model_count(const struct pare_model *m, struct pare_model_counts *out, struct pare_err *err);

#endif
