/* Control flow that is none once a model is opened. Shared by body.c, cell.c and loop.c: a Loop whose body is a recurrent cell; branch.c: an If whose condition is known. */
#ifndef PARE_ONNX_LOOP_PRIV_H
#define PARE_ONNX_LOOP_PRIV_H

#include "core/base/buf.h"
#include "core/graph/graph.h"
#include "core/graph/rewrite.h"

#define PARE_LOOP_MAX_BODY 256 /* nodes; Keras' longest cell has 30 */

/* The body of a node as a model of its own, whose further inputs, behind the n_own that the file lists, are the values of the graph around that
 * it reads. It stands over own, pare_buf_done by the caller. *out stays NULL for a body that is too long or that contradicts itself. */
PARE_MUST_USE enum pare_code pare_onnx_body(const struct pare_model *m, struct pare_span graph, struct pare_buf *own, struct pare_model **out, int *n_own, struct pare_err *err);

struct pare_loop {
	const struct pare_graph *g, *body;
	const struct pare_node *node;
	int32_t index;
	int n_carried;
	int32_t state;          /* the body's input that is the hidden state */
	int32_t x;              /* of the graph: the sequence, by steps; -1 until it is met */
	int64_t n_hidden;
};

/* A value of the body, or of the graph around it. */
struct pare_loop_ref {
	const struct pare_graph *in;
	int32_t v;
};

/* The same value where it comes from: through Identity, out of the body where the Loop hands it in unchanged. */
struct pare_loop_ref pare_loop_look(const struct pare_loop *l, struct pare_loop_ref r);
const struct pare_node *pare_loop_node(struct pare_loop_ref r, const char *op); /* its producer, if it is that operator of ONNX's own; else NULL */
struct pare_loop_ref pare_loop_in(struct pare_loop_ref of, const struct pare_node *n, int k);
const struct pare_tensor *pare_loop_constant(struct pare_loop_ref r);
bool pare_loop_scalar(struct pare_loop_ref r, double *out);
bool pare_loop_is_step(const struct pare_loop *l, struct pare_loop_ref r); /* the number of the step, from 0 */

/* A part of a constant: n_hidden columns from col on, of all rows or (a bias) of one. */
struct pare_cell_part {
	const struct pare_tensor *t; /* NULL: none */
	int64_t row, col;
};
#define PARE_CELL_BIASES 3
struct pare_cell_gate {
	struct pare_cell_part w, r, bias[PARE_CELL_BIASES], hidden_bias[PARE_CELL_BIASES];
	int n_bias, n_hidden_bias;
};
/* h' = act(gate 0), or a GRU: z = sigmoid(gate 0), r = sigmoid(gate 1), h' = z h + (1 - z) act(gate 2). */
struct pare_cell {
	int n_gates;     /* 1 or 3 */
	bool after;      /* r multiplies the product, not the state */
	const char *act;
	struct pare_cell_gate gate[3];
};

/* Reads the next state as a formula; false when it is none of the two. */
bool pare_cell_read(struct pare_loop *l, struct pare_loop_ref next, struct pare_cell *out);

/* Adds to a rewrite, and to *n for each, the recurrent layers that Loops are (loop.c). */
PARE_MUST_USE enum pare_code pare_lift_loops(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

bool pare_has_branches(const struct pare_model *m);
/* Puts into a rewrite, and counts in *n, the nodes of the branch that is taken in the place of each If whose condition follows from shapes and constants (branch.c).
 * *work is what was spent on finding out, over all calls for a file: with too much of it no more are looked at. */
PARE_MUST_USE enum pare_code pare_lift_branches(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, size_t *work, struct pare_err *err);

#endif
