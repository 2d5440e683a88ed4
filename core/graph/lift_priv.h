/* Shared by lift.c, lift_computed.c, lift_turned.c, lift_linear.c, lift_columns.c, lift_assign.c, lift_forms.c, lift_constants.c and lift_attention.c. */
#ifndef PARE_GRAPH_LIFT_PRIV_H
#define PARE_GRAPH_LIFT_PRIV_H

#include "core/graph/graph.h"
#include "core/graph/lift.h"

/* The node that computes v, if it is that operator of ONNX's own; NULL. */
const struct pare_node *pare_lift_made_by(const struct pare_graph *g, int32_t v, const char *op);
/* The tensor of an initializer that callers cannot replace, or of a Constant; NULL for anything else. */
const struct pare_tensor *pare_lift_tensor(const struct pare_graph *g, int32_t v);
/* The integers of such a scalar or vector, up to max; how many there are, 0 for anything else. */
size_t pare_lift_integers(const struct pare_graph *g, int32_t v, int64_t *out, size_t max);

/* Puts nodes in the place of one. Errors stick; what is put after one is nothing. */
struct pare_lift_writer {
	const struct pare_graph *g;
	struct pare_rewrite *rw;
	int32_t node;
	enum pare_code code;
	struct pare_err *err;
};
/* A node more, under a new name, which is returned; the last one has that of the node's first output. */
const char *pare_lift_put(struct pare_lift_writer *w, struct pare_new_node n, bool last);
/* A new initializer with a copy of these bytes; a vector of integers. */
const char *pare_lift_init(struct pare_lift_writer *w, struct pare_new_init init);
const char *pare_lift_ints(struct pare_lift_writer *w, const int64_t *v, int64_t n);

/* Adds to a rewrite, and to *n for each, initializers in the place of weights that are computed from initializers alone. Nodes that only went into them are dropped. */
PARE_MUST_USE enum pare_code pare_lift_computed(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

/* The same for matrices that are transposed before a layer reads them: stored as it does. */
PARE_MUST_USE enum pare_code pare_lift_turned(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

/* Adds what linear models become to a rewrite, and their number to *n. */
PARE_MUST_USE enum pare_code pare_lift_linear(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

/* The same for columns that are picked, which become a Gather. */
PARE_MUST_USE enum pare_code pare_lift_columns(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

/* The same for assignments to parts, which become slices and what stands between them. */
PARE_MUST_USE enum pare_code pare_lift_assign(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

/* The same for nodes in the form in which a model trains, which get that in which it is served; what is dropped at random becomes Dropout. */
PARE_MUST_USE enum pare_code pare_lift_forms(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

/* The same for numbers of formulas among the initializers, which become Constants. */
PARE_MUST_USE enum pare_code pare_lift_constants(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

/* The same for Attention and RotaryEmbedding, which become what they stand for. */
PARE_MUST_USE enum pare_code pare_lift_attention(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

#endif
