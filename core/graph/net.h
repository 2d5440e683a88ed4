/* A model made ready to run: shapes, memory and kernels are fixed here, once; then batches run without allocating.
 *
 * Work is cut into n_shards shards of a batch's rows (one thread each, all the same size but the last), fixed by the
 * options and the batch size, never by timing. Each shard has its own activations, scratch and gradient slab; parameters
 * are one slab shared by all. A step is written by the caller in two parallel phases (core/train/loop.c):
 *   1. every shard: fill its inputs, pare_net_shard_forward, write the output gradients, pare_net_shard_backward;
 *   2. every thread: its slice of the slab: pare_net_reduce_grads (sum over shards in shard order), optimizer update.
 * Layers whose weight is larger than their data are divided by output units instead, where the shards of a net that trains run together: each
 * does its units for the rows of all (plan_split.c).
 * Kernels underneath are single-threaded. Same model, same options, same data: the same bits. (Another number of shards
 * may differ in the last bits: BLAS rounds a row by how many rows it is given at once.)
 *
 * A graph in which rows of the batch meet (softmax over the batch, a reshape that folds it away) cannot be cut: its net
 * has one shard and one thread whatever the options say, so ask pare_net_n_shards, not the options. */
#ifndef PARE_GRAPH_NET_H
#define PARE_GRAPH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/graph/graph.h"

struct pare_net;

struct pare_net_options {
	int n_threads;      /* = number of shards (but see above), 1 to 64 */
	int64_t max_batch;  /* rows of the largest batch that will be run */
	bool training;      /* reserve memory for gradients */
	size_t most_bytes;  /* for max_batch rows: activations and, in training, their gradients, of all shards. More is PARE_E_LIMIT, before it is reserved; 0: no bound */
	uint64_t seed;      /* for Dropout */
	bool plain;         /* every value row-major, every node by itself, nothing prepared: slower, what tests compare with */
};

/* One trainable tensor: a float initializer of rank >= 1 that execution reaches. The slab holds all of them one after the other, each
 * starting at a multiple of 16 floats (gaps are zero and stay zero), the same in every net of a model with the same input shapes. */
struct pare_param_info {
	int32_t value;      /* index into model->graph.values */
	int32_t node;       /* first node that reads it; where it is transposed first, that reads that */
	const char *name;   /* the initializer's */
	const char *node_name; /* that node's, "" when it has none */
	size_t offset;      /* into the slab, in floats */
	size_t n_elems;
	int n_dims;
	int64_t dims[PARE_MAX_DIMS];
	int out_axis;       /* the axis of output units/channels (Gemm transB=1: 0, MatMul: last), -1 if there is none */
	bool prunable;      /* a weight: multiplied with activations (rank >= 2); biases and scales are not */
	bool buffer;        /* running statistics of a BatchNormalization: moved by forward (PARE_MODE_TRAIN), not by gradients, which stay 0 */
};

/* Plans and allocates. Outputs that need an operator we do not have are left out (their shape has no dimensions), unless all do.
 * The model must outlive the net. PARE_E_UNSUPPORTED_OP names node and operator; PARE_E_SHAPE names
 * node and shapes, or an input and the shape it was given. The first dimension of a graph input is the batch, or the second where that alone is open ([T, N, F]), or where both are and a recurrent layer reads the input by steps: callers see rows first in any case.
 * Sizes that the file leaves open besides are those of pare_model_set_rows. */
PARE_MUST_USE enum pare_code pare_net_new(const struct pare_model *m, const struct pare_net_options *opt, struct pare_net **out, struct pare_err *err);
void pare_net_free(struct pare_net *net);
/* What the file says of one row of graph input i, whose batch is found as above: PARE_DIM_UNKNOWN where it leaves a size open. Does it leave one open? */
bool pare_graph_row(const struct pare_graph *g, int i, struct pare_row_shape *out);
/* Gives all sizes that the file leaves open this one (pare_model_set_rows). False: it leaves none open, or there is no memory. */
bool pare_model_open_rows(struct pare_model *m, int64_t size, struct pare_err *err);

int pare_net_n_inputs(const struct pare_net *net);
int pare_net_n_outputs(const struct pare_net *net); /* of the file; watched values (pare_model_watch) have the numbers after them */
int pare_net_n_watched(const struct pare_net *net);
int pare_net_find_output(const struct pare_net *net, const char *name); /* outputs and watched values; -1: none */
/* Dimensions with dims[0] = PARE_DIM_UNKNOWN for the batch; returns elements per row. An output that does not depend on the
 * batch has no such dimension, and all its elements are counted. An output that cannot be computed beside others that can (a label as a text) has no elements. */
size_t pare_net_input_shape(const struct pare_net *net, int i, int *n_dims, int64_t dims[PARE_MAX_DIMS]);
size_t pare_net_output_shape(const struct pare_net *net, int i, int *n_dims, int64_t dims[PARE_MAX_DIMS]);
const char *pare_net_input_name(const struct pare_net *net, int i);
const char *pare_net_output_name(const struct pare_net *net, int i);
/* As computed: PARE_DT_FLOAT for floats of any width. */
int pare_net_input_dtype(const struct pare_net *net, int i);
int pare_net_output_dtype(const struct pare_net *net, int i);
/* If output i is produced by Softmax or LogSoftmax over the last axis, or by Sigmoid, what the loss must know. */
enum pare_output_kind { PARE_OUTPUT_RAW, PARE_OUTPUT_PROBABILITY, PARE_OUTPUT_LOG_PROBABILITY, PARE_OUTPUT_SIGMOID };
enum pare_output_kind pare_net_output_kind(const struct pare_net *net, int i);
/* The same over another axis; -1 is the last. */
enum pare_output_kind pare_net_output_kind_along(const struct pare_net *net, int i, int axis);

int pare_net_n_params(const struct pare_net *net); /* tensors */
const struct pare_param_info *pare_net_param(const struct pare_net *net, int i);
size_t pare_net_slab_len(const struct pare_net *net); /* floats, gaps included */
/* A net that does not train keeps what it has made of parameters (packed weights) until this is called again: whoever changes
 * them there asks for the slab anew. */
float *pare_net_slab(struct pare_net *net);
/* Promises that the slab is 0 wherever keep (as long as the slab) is, until the next call of one of these. Products with a weight
 * of which little is left then skip the rest wherever that pays, with the same results up to rounding; its gradient is computed
 * where keep is set and is 0 elsewhere. After an error there is no promise. */
PARE_MUST_USE enum pare_code pare_net_promise_zeros(struct pare_net *net, const uint8_t *keep, struct pare_err *err);
void pare_net_promise_nothing(struct pare_net *net);
int pare_net_n_sparse(const struct pare_net *net); /* tensors for which it pays at present */
/* Where parameter p, a matrix, may be other than 0 until the next promise; everywhere else its gradient is 0. NULL: anywhere. */
const struct pare_sparse *pare_net_structure(const struct pare_net *net, int p);
/* Copies the slab's tensors back into the model (pare_model_set_init_f32 for each that changed). */
PARE_MUST_USE enum pare_code pare_net_store(const struct pare_net *net, struct pare_model *m, struct pare_err *err);
/* The same, and back: parameters that the file holds in 16 bits are rounded to what it can hold, so that the net computes what the file does. */
PARE_MUST_USE enum pare_code pare_net_settle(struct pare_net *net, struct pare_model *m, struct pare_err *err);

/* Multiply-accumulates of one row, over the whole net and for one node (0 for nodes without). */
int64_t pare_net_macs(const struct pare_net *net);
int64_t pare_net_node_macs(const struct pare_net *net, int32_t node);

int pare_net_n_shards(const struct pare_net *net);
/* Rows [*first, *first + *count) of a batch of n rows, at most max_batch, belong to shard s; count may be 0. */
void pare_net_shard_rows(const struct pare_net *net, int64_t n, int s, int64_t *first, int64_t *count);
/* The shard's own buffers, row-major, valid for the count given to shard_forward. Inputs of integers (token numbers) and bools
 * are written as floats, too, and such outputs are read as floats: exact up to 2^24. */
float *pare_net_shard_input(struct pare_net *net, int s, int i);
const float *pare_net_shard_output(const struct pare_net *net, int s, int i);
/* Instead of filling input i: the next forward of this shard reads its rows at x, and only that one. false: not in this net, or x is not aligned
 * to PARE_ALIGN; fill the input then. */
bool pare_net_shard_lend(struct pare_net *net, int s, int i, const float *x);
/* dL/d(output i), to be filled before backward, which does not change it; zeros until somebody does. NULL in a net that does
 * not train. */
float *pare_net_shard_output_grad(struct pare_net *net, int s, int i);
/* How a pass runs. In a net that was not made for training every pass is INFER. */
enum pare_mode {
	PARE_MODE_INFER,    /* BatchNormalization by its running statistics, no Dropout */
	PARE_MODE_TRAIN,    /* BatchNormalization by the statistics of the whole batch, which also move the running ones; Dropout */
	PARE_MODE_FROZEN,   /* BatchNormalization as in INFER, so nothing but gradients moves anything; Dropout */
	PARE_MODE_ESTIMATE  /* as TRAIN without Dropout; running statistics become the mean over the passes of steps 0, 1, 2 … */
};
/* Runs count rows. Dropout is drawn from (seed, step, first row). In TRAIN and ESTIMATE, and in the backward pass after TRAIN, shards
 * wait for each other: all of them must run at the same time, under pare_net_parallel, those without rows too. */
void pare_net_shard_forward(struct pare_net *net, int s, int64_t count, enum pare_mode mode, uint64_t step, int64_t first_row);
/* Does a node move running statistics in TRAIN? If none does, FROZEN is TRAIN, and ESTIMATE does nothing. */
bool pare_net_has_statistics(const struct pare_net *net);
/* Overwrites the shard's gradient slab with dL/d(params) of the last forward (zeros where count was 0; of layers divided by units shard 0's has
 * the sum over all): pare_net_reduce_grads knows. Once after each forward, whose
 * data it writes over where it is through with them; inputs and outputs stay. */
void pare_net_shard_backward(struct pare_net *net, int s);
const float *pare_net_shard_grads(const struct pare_net *net, int s);
/* Of parameter p, and the gap behind it, floats [*begin, *end) of the slab are those that shard s should update: the parts of all shards
 * are all of it, and begin and end with cache lines. Shards that had their parts of a gradient to themselves have them in their caches. */
void pare_net_param_part(const struct pare_net *net, int p, int s, size_t *begin, size_t *end);
/* out[begin..end) = sum over shards, in shard order; out may be shard 0's own slab. */
void pare_net_reduce_grads(const struct pare_net *net, size_t begin, size_t end, float *out);

/* Runs fn(ctx, t) for t in [0, pare_net_n_shards), t = 0 on the caller; returns when all have returned. */
void pare_net_parallel(struct pare_net *net, void (*fn)(void *ctx, int t), void *ctx);
/* From within fn, by all: returns when all have called it, and what each wrote before is there for all. */
void pare_net_meet(struct pare_net *net);

/* n rows of all inputs (any n; cut into batches of max_batch) into the outputs for which out[i] is not NULL. PARE_E_UNSUPPORTED when
 * the first dimension of such an output is not the batch. */
PARE_MUST_USE enum pare_code pare_net_infer_all(struct pare_net *net, const float *const *x, int64_t n, float *const *out, struct pare_err *err);
/* The same for nets of one input: n rows of input 0 (any n; cut into batches of max_batch), output 0 into out. PARE_E_UNSUPPORTED for
 * a model of several inputs, or whose output 0 does not have the batch first. */
PARE_MUST_USE enum pare_code pare_net_infer(struct pare_net *net, const float *x, int64_t n, float *out, struct pare_err *err);

#endif
