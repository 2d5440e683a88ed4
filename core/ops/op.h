/* Operators: one row each, collected by table.c from the family files beside it.
 *
 * A row says what an operator accepts and holds its functions. The net (core/graph/net.h) parses a node's attributes
 * once, at plan time, into the row's own argument struct, infers shapes, and from then on calls forward and backward
 * with pointers that never change. Functions of a row keep no state, allocate nothing after infer and fail only in
 * infer: what infer accepted, forward and backward can run for every batch size.
 *
 * All computing is float32, row-major. Integers and bools are carried in float arrays, too (exact up to 2^24; a bool is 0
 * or 1), with their type kept beside them; double, float16 and bfloat16 are computed as float. What a row must read at plan
 * time (shapes, axes, ratios) it lists in const_in. A node whose inputs are all known is folded at plan time by running its
 * forward (core/graph/fold.c), so rows need no code of their own for that. */
#ifndef PARE_OPS_OP_H
#define PARE_OPS_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/graph/graph.h"
#include "core/graph/product.h"
#include "core/graph/net.h"
#include "core/graph/pool.h"
#include "core/graph/shape.h"

#define PARE_OPSET_MIN 7
#define PARE_OPSET_MAX 28

/* What is known of a value before anything runs; i64 and f32 NULL for what is computed. Lives in the plan's arena. */
struct pare_known {
	const int64_t *i64; /* integer and bool constants */
	const float *f32;
	size_t n;
	const bool *batch; /* element i is that many times the batch size; NULL: no element depends on it */
};

/* Attributes: parsed into the member of the row's argument struct at offset, by type. */
enum pare_attr_kind {
	PARE_ARG_INT,    /* int64_t */
	PARE_ARG_FLOAT,  /* float */
	PARE_ARG_INTS,   /* struct pare_ints */
	PARE_ARG_FLOATS, /* struct pare_floats */
	PARE_ARG_TENSOR, /* const struct pare_tensor *, NULL when absent */
	PARE_ARG_STRING, /* struct pare_span, data NULL when absent; not terminated */
	PARE_ARG_STRINGS /* struct pare_strings */
};
struct pare_ints {
	const int64_t *v; /* NULL when absent */
	size_t n;
};
struct pare_floats {
	const float *v;
	size_t n;
};
struct pare_strings {
	const struct pare_span *v; /* NULL when absent; not terminated */
	size_t n;
};
struct pare_arg_spec {
	const char *name; /* NULL ends the list */
	enum pare_attr_kind kind;
	size_t offset;
	bool required;
	double def;      /* of INT and FLOAT */
	double min, max; /* inclusive, of INT and FLOAT; both 0: no bounds */
};

/* Shape inference of one node. */
struct pare_infer {
	const struct pare_node *node;
	const char *where; /* for errors: node "fc1" (Gemm) */
	void *args;        /* parsed attributes; infer may fill further members */
	struct pare_arena *arena;
	int64_t fixed_batch; /* the batch size that the file states, PARE_DIM_UNKNOWN if it states none */
	bool training;     /* of a net that trains */
	int64_t max_batch; /* rows at a time that the net is planned for */
	int n_in, n_out;
	/* by position; in[i].n_dims is -1 for an input that is left out */
	const struct pare_shape *in;
	const int *in_dtype;
	const struct pare_known *in_known;
	/* to be filled; an output that is not wanted has a place, too */
	struct pare_shape *out;
	int *out_dtype; /* PARE_DT_FLOAT unless infer says otherwise */
	struct pare_known *out_known;
};
static inline bool pare_infer_has(const struct pare_infer *c, int i)
{
	return i < c->n_in && c->in[i].n_dims >= 0;
}

/* One node on one shard. Pointers are fixed for the net's life, shapes for the rows that run now. */
struct pare_run {
	const void *args;
	int n_in, n_out;
	const float *const *in; /* NULL: left out, or read at plan time */
	float *const *out;      /* NULL: not wanted */
	const struct pare_shape *const *in_shape; /* NULL: left out */
	const struct pare_shape *const *out_shape;
	float *const *grad_in;        /* NULL: nobody needs it */
	const float *const *grad_out; /* NULL: none arrived */
	const bool *accumulate;       /* grad_in[i]: add to what stands there, else overwrite it */
	const struct pare_sparse *sparse; /* where the row's sparse_in may be other than 0 (kernels/sparse.h); NULL: anywhere */
	float *scratch;               /* row->scratch floats, contents undefined */
	float *state;                 /* row->state floats, kept from forward to backward; NULL in a net without gradients */
	float *const *buffer;         /* of the row's buffer_in: where shard 0 writes the new value (the input's own memory), NULL: it is constant; the
	                                 array is NULL in a net without gradients */
	/* Rows with `meets`: the shards of a batch. A node adds up what it needs of all of them so: write into the own state, pare_pool_meet(team),
	 * read everybody's. What one meeting reads may not be written before the next step, so each has its own part of the state. */
	struct pare_pool *team;
	int shard, n_shards;
	float *const *states; /* by shard */
	/* Rows with `splits`: this node's run on every shard, where shards divide the units of the weight among them (pare_run_part) and each does its
	 * part for the rows of all. NULL: all units, own rows. */
	const struct pare_run *const *peers;
	const float *prepared;        /* NULL: nothing is */
	bool last;                    /* images stand as [N, ..., C], and so do the dimensions of their shapes */
	/* of this pass */
	enum pare_mode mode;
	bool training; /* Dropout is on */
	uint64_t seed, step;
	int32_t node;
	int64_t first_row;
};

/* Of n units [*first, *first + *count) are part s of n_parts: whole cache lines of floats, but for the last. */
static inline void pare_part(int64_t n, int s, int n_parts, int64_t *first, int64_t *count)
{
	int64_t lines = (n + 15) / 16, end = 16 * (lines * (s + 1) / n_parts);

	*first = 16 * (lines * s / n_parts);
	*count = (end < n ? end : n) - *first;
}
static inline void pare_run_part(const struct pare_run *r, int64_t n, int64_t *first, int64_t *count)
{
	pare_part(n, r->shard, r->n_shards, first, count);
}

/* Where an axis of [N, C, ...] stands in the shapes that r holds. */
static inline int pare_run_axis(const struct pare_run *r, int axis, int n_dims)
{
	if (!r->last || axis == 0)
		return axis;
	return axis == 1 ? n_dims - 1 : axis - 1;
}

/* Which channels are tied: what removing index i of one operand's axis does to another's. Operands are numbered: input k
 * is k, output k is PARE_OUT(k). An axis that no tie mentions is not tied to anything (it was broadcast).
 *   SAME      index i of a is index i of b; each stands alone, so both can go together
 *   CONTRACT  a and b (both inputs, or one and the same) are multiplied and summed over this axis; both can go together, the outputs stay
 *   MIX       index i of a is index i of b, but every index of the axis takes part in each (softmax): nothing can go
 *   SPREAD    index i of a is the indices (o * len_a + i) * inner + j of b, for o in [0, outer), j in [0, inner)
 *             (flatten, reshape): they can go together. With one_of not 0, a is one of several axes that b folds: of the
 *             node's ties of that number exactly one can hold, the other axes stay whole
 *   PART      index i of a is index offset + i of b; what else b has is not tied by it (concat, slice)
 *   BLOCKS    index i of a and index j of b go together when i / a_inner % n = j / b_inner % n (groups); a may be b
 *   OPAQUE    some reordering that no tie describes: nothing of a and b can go
 * Ties with way 1 and those with way 2 are two ways to take something out of the node, of which one holds: whichever leaves more to go.
 * Axes count from 0. */
enum pare_tie_kind { PARE_TIE_SAME, PARE_TIE_CONTRACT, PARE_TIE_MIX, PARE_TIE_SPREAD, PARE_TIE_OPAQUE, PARE_TIE_PART, PARE_TIE_BLOCKS };
#define PARE_OUT(k) (64 + (k))
struct pare_tie {
	enum pare_tie_kind kind;
	int a, a_axis;
	int b, b_axis;
	int64_t outer, inner; /* SPREAD */
	int one_of; /* SPREAD */
	int way;
	bool ends;  /* SPREAD: what a and b have besides are other axes, so it holds only as long as a and b are as long as they are */
	int64_t offset;              /* PART */
	int64_t n, a_inner, b_inner; /* BLOCKS */
};
#define PARE_MAX_TIES 576 /* the widest Concat */
struct pare_ties {
	int n;
	bool full; /* more than PARE_MAX_TIES: treat all as OPAQUE */
	struct pare_tie tie[PARE_MAX_TIES];
};
void pare_tie_add(struct pare_ties *t, struct pare_tie tie);

/* What couple, layout and macs look at: shapes are unresolved, of one row for macs. Of macs' outputs only the first is there.
 * A row with min_out 0 must do without any of them, all others have output 0 (couple is not asked where it is left out). */
struct pare_node_view {
	const void *args;
	int n_in, n_out;
	const struct pare_shape *const *in; /* NULL: left out */
	const struct pare_shape *const *out;
};

/* What a node has to say otherwise once its operands have become smaller (core/prune/shrink.h): attributes and constant
 * inputs that name sizes. What it does not set stays as it is. Operands are numbered as in ties. */
struct pare_resize {
	const struct pare_node_view *was;
	const struct pare_shape *const *in, *const *out; /* as they are now; NULL: left out */
	unsigned moved; /* those of symbolic_in that the graph computes from shapes which are others now: what they were says nothing of what they are */
	/* What the graph makes of constant input k now, where it computes it; NULL: not known. */
	const struct pare_known *(*computed)(const struct pare_resize *r, int k);
	/* By index along an operand's axis: 1 for what went; NULL: all of it stays. */
	const uint8_t *(*gone)(const struct pare_resize *r, int operand, int axis);
	void (*set_attr)(const struct pare_resize *r, const char *name, const int64_t *v, size_t n); /* n = 0: without the attribute */
	/* Integers in the place of constant input k. Elements in `batch` keep what stands there now (they depend on the batch). */
	void (*set_input)(const struct pare_resize *r, int k, const int64_t *v, size_t n, unsigned batch);
	void *ctx;
};
/* Of the n indices from first on along an axis, how many stay. */
int64_t pare_resize_left(const struct pare_resize *r, int operand, int axis, int64_t first, int64_t n);
/* resize of a node whose constant input k is the shape of output 0. */
void pare_resize_target(const struct pare_resize *r, int k);

/* In which order of axes a node can run where the channels may stand last (core/graph/layout.c). */
enum pare_layout {
	PARE_LAYOUT_PLAIN,  /* row-major only */
	PARE_LAYOUT_EITHER, /* as its inputs stand */
	PARE_LAYOUT_LAST    /* channels last, whatever its inputs are */
};
/* For rows that do the same whatever the order of axes, as long as it is one for all operands: EITHER if these are images of
 * one rank (or single elements). */
enum pare_layout pare_layout_elementwise(const struct pare_node_view *v);
/* For rows that look at run->last. */
enum pare_layout pare_layout_either(const struct pare_node_view *v);
/* What planning inserts to change the order of [N, C, ...]; not in the table. */
extern const struct pare_op pare_op_to_last, pare_op_to_first;

/* What a node does to one of its operands, element by element, for a row that can do it while it writes its result
 * (core/graph/fuse.c). Operands [first_operand, first_operand + n_operands) of the node come along, to places max_in + place
 * and on of the absorbing node's. */
enum pare_step_kind {
	PARE_STEP_NONE,
	PARE_STEP_NORM,  /* (x - mean[c]) / sqrt(var[c] + epsilon) * scale[c] + bias[c]; operands scale, bias, mean, var */
	PARE_STEP_ADD,   /* x + operand, of x's shape */
	PARE_STEP_BIAS,  /* x + operand, one row along x's last axis */
	PARE_STEP_CLAMP  /* to [lo, hi] */
};
#define PARE_STEP_MAX_IN 5 /* of a node that is a step */
#define PARE_STEP_NORM_AT 0
#define PARE_STEP_ADD_AT 4
#define PARE_STEP_BIAS_AT 5
#define PARE_STEP_OPERANDS 6
struct pare_step {
	enum pare_step_kind kind;
	int first_operand, n_operands, place;
	float lo, hi, epsilon;
};

struct pare_op {
	const char *domain, *name;
	int since, until; /* opset versions of the model, inclusive */
	int min_in, max_in, min_out, max_out;
	size_t args_size;
	const struct pare_arg_spec *args; /* NULL: no attributes */
	unsigned const_in;  /* inputs that are read at plan time: must be constant, are never trained */
	unsigned weight_in; /* inputs that are multiplied with the others and summed: prunable if a parameter of rank >= 2 */
	unsigned sparse_in; /* the one of weight_in of whose zeros forward and backward can make use: a matrix */
	unsigned symbolic_in; /* those of const_in whose elements may be multiples of the batch size (known.batch) */
	unsigned scale_in;    /* inputs by which a norm multiplies each channel */
	unsigned shape_in;    /* inputs of which only the shape and type count: not read, not differentiated */
	unsigned moves_in;    /* inputs of whose elements, as they are, the outputs are made: each of them shows by itself where it comes from */
	unsigned any_dtype_in; /* inputs that may be integers or bools, carried as floats */
	unsigned buffer_in;    /* inputs that the operator itself moves while training (running statistics): they have no gradient */
	bool meets; /* shards wait for each other in it (see pare_run.team): it runs for shards without rows, too */
	unsigned grad_uses_in; /* what backward reads of forward's data: decides what may be overwritten */
	unsigned grad_uses_out;
	bool counts_rows; /* tells rows of the batch apart though no input has the batch (a range of them): never cut into shards */
	bool draws; /* while it trains what comes out is random: never constant then */
	bool inplace; /* output 0 may be written over input 0, and its gradient over the output's */
	bool view;    /* output 0 is input 0's elements under another shape: nothing to run, either way */
	bool smooth_out;        /* output 0 passes a gradient on although it is integers (quantization) */
	bool view_in_inference; /* the same, in nets that do not train (Dropout) */
	enum pare_output_kind_hint { PARE_HINT_NONE, PARE_HINT_PROBABILITY, PARE_HINT_LOG_PROBABILITY, PARE_HINT_SIGMOID } output_hint;
	const char *no_gradient; /* why backward is NULL, or is not the function's derivative */

	enum pare_code (*infer)(const struct pare_infer *c, struct pare_err *err);
	size_t (*scratch)(const struct pare_run *r); /* NULL: 0; asked with the largest shapes, before pointers are set */
	size_t (*state)(const struct pare_run *r);
	void (*forward)(const struct pare_run *r); /* NULL: a view, or all outputs known */
	void (*backward)(const struct pare_run *r);
	void (*couple)(const struct pare_node_view *v, struct pare_ties *out);
	void (*resize)(const struct pare_resize *r); /* NULL: nothing in the node names a size that could change */
	int64_t (*macs)(const struct pare_node_view *v); /* multiply-accumulates; NULL: none */
	/* False where the operands do not have that form. Shapes and the presence of operands only: data are not looked at. */
	bool (*product)(const struct pare_run *r, struct pare_product *out);
	/* x[n, n_in]: the data that rows [first, first + n) of group g multiply, after forward. */
	void (*unfold)(const struct pare_run *r, int64_t g, int64_t first, int64_t n, float *x);
	/* Where product holds: do forward and backward know run.peers? NULL: no. */
	bool (*splits)(const struct pare_run *r);
	enum pare_layout (*layout)(const struct pare_node_view *v); /* NULL: PLAIN; shapes as for couple */
	bool (*step)(const struct pare_node_view *v, int operand, struct pare_step *out); /* NULL: the row is no step */
	/* Notes in args that the row does the step, too, after those before; false if it cannot. Rows with `layout` are asked only if channels
	 * can stand last. */
	bool (*absorb)(void *args, const struct pare_step *step, bool training);
	/* Gather(table, index) along axis 0, of a matrix and an index of two axes, can be left to a row that reads it as operand 0: the row `picking`
	 * has index there and the table as operand pick_table, once pick has noted in args that index stands with its axes turned round, or not. */
	const struct pare_op *picking;
	int pick_table;
	void (*pick)(void *args, bool turned);
	/* In a net that does not train: floats that prepare fills from parameters once they stand (run->prepared). */
	unsigned prepare_in; /* the inputs it reads; nothing is prepared where one of them is computed */
	size_t (*prepared)(const struct pare_run *r);
	void (*prepare)(const struct pare_run *r, float *prepared);
};

/* Is input or output k in one of a row's masks? Bit 31 stands for all from there on. */
static inline bool pare_op_has(unsigned mask, int k)
{
	return (mask & PARE_BIT(k < 31 ? k : 31)) != 0;
}

/* The row for an operator of a domain ("" is ONNX's own) in a model of that opset; NULL if it cannot be executed. */
const struct pare_op *pare_op_find(const char *domain, const char *name, int64_t opset);
/* Row i in a fixed order, NULL past the last: for listings and for tests that walk the table. */
const struct pare_op *pare_op_at(size_t i);

/* The shape error of a node with two operands: names both. */
PARE_MUST_USE enum pare_code pare_infer_mismatch(const struct pare_infer *c, int a, int b, const char *why, struct pare_err *err);
/* Axis attribute to [0, n) (negative counts from the end; n itself is legal where one_past); -1 if out of range. */
int pare_axis(int64_t axis, int n_dims, bool one_past);

#endif
