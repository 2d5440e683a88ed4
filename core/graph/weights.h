/* The floating-point tensors that a model's files hold, wherever they stand: initializers of the main graph and of subgraphs (If, Loop,
 * Scan), values of Constant nodes, those of model-local functions, in the model's file or in data files beside it. No plan is made and
 * nothing has to be executable; what a weight is follows from who reads it. core/onnx/inventory.c finds them. */
#ifndef PARE_GRAPH_WEIGHTS_H
#define PARE_GRAPH_WEIGHTS_H

#include "core/base/mem.h"
#include "core/graph/graph.h"
#include "core/graph/net.h"

struct pare_weight {
	struct pare_param_info info; /* value and node are -1; offsets count prunable tensors only, each at a multiple of 64 */
	int dtype;                   /* float, float16, bfloat16 or double */
	const char *op;              /* operator of the node that info.node_name names, the first that reads the tensor; "": none does */
	bool guessed;                /* prunable because an operator that we do not know reads it, as a tensor of rank 2 or more */
	int depth;                   /* 0: main graph; else how many subgraphs or functions it stands in */
	int file;                    /* 0: the model's, else 1 + number of the data file */
	struct pare_span at;         /* what holds the values in that file: the values themselves, or (spread) a whole TensorProto */
	bool spread;                 /* the values are entries of a typed field, with tags or of various lengths */
	const uint8_t *values;       /* n_elems of dtype, little-endian, not aligned */
};

/* A file beside the model. */
struct pare_side_file {
	const char *name;
	struct pare_span bytes;
};

/* All of them, by place: file, then position. Names and values live as long as the inventory and the files. */
struct pare_inventory {
	struct pare_arena arena;
	int n;
	struct pare_weight *weights;
	size_t len;           /* past the last offset */
	int n_guessed, n_inner; /* prunable tensors that are guessed; tensors with a depth */
	int64_t n_params;     /* elements of all */
	int64_t n_weights;    /* of the prunable ones */
};
void pare_inventory_done(struct pare_inventory *v);

/* Values [first, first + n) as floats: exact, but for double, which is rounded. */
void pare_weight_read(const struct pare_weight *w, size_t first, size_t n, float *out);
/* The same in the tensor's own type, zero where keep is not set; keep NULL: all are kept. */
void pare_weight_blend(const struct pare_weight *w, size_t first, size_t n, const uint8_t *keep, uint8_t *out);
/* How many of the values that are kept are not zero. */
size_t pare_weight_nonzero(const struct pare_weight *w, size_t first, size_t n, const uint8_t *keep);

/* What reads a tensor: input k of a node. trans: the node's attribute transA or transB for it. */
struct pare_weight_use {
	const char *domain, *op;
	int64_t opset;
	int k, n_dims;
	bool trans;
};
enum pare_weight_kind { PARE_WEIGHT_NO, PARE_WEIGHT_YES, PARE_WEIGHT_UNKNOWN };
/* By the operator's row; UNKNOWN when it has none. *out_axis: of output units, -1 if that cannot be told without shapes. */
enum pare_weight_kind pare_weight_kind_of(const struct pare_weight_use *u, int *out_axis);

#endif
