/* Shared by lift.c, lift_computed.c, lift_turned.c, lift_linear.c, lift_columns.c, lift_assign.c and lift_attention.c. */
#ifndef PARE_GRAPH_LIFT_PRIV_H
#define PARE_GRAPH_LIFT_PRIV_H

#include "core/graph/graph.h"
#include "core/graph/lift.h"

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

/* The same for Attention and RotaryEmbedding, which become what they stand for. */
PARE_MUST_USE enum pare_code pare_lift_attention(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

#endif
