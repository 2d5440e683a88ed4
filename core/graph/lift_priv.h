/* Shared by lift.c and lift_linear.c. */
#ifndef PARE_GRAPH_LIFT_PRIV_H
#define PARE_GRAPH_LIFT_PRIV_H

#include "core/graph/graph.h"
#include "core/graph/lift.h"

/* Adds what linear models become to a rewrite, and their number to *n. */
PARE_MUST_USE enum pare_code pare_lift_linear(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

#endif
