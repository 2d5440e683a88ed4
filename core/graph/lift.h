/* Weights that a file holds elsewhere, made initializers, which is where training, pruning and counting look: in Constant nodes (Paddle's exporter
 * writes all of them so), in what nodes compute of initializers alone (lift_computed.c: weight_norm), transposed before they are read (lift_turned.c),
 * and in attributes of scikit-learn's linear models, which become products (lift_linear.c; columns that its pipelines pick are gathered: lift_columns.c). And assignments to parts, made
 * slices (lift_assign.c), what is in the form of training, made that of inference (lift_forms.c), numbers of formulas, made Constants (lift_constants.c), and operators of ONNX that are functions of others, made those (lift_attention.c). */
#ifndef PARE_GRAPH_LIFT_H
#define PARE_GRAPH_LIFT_H

#include "core/graph/rewrite.h"

/* Adds to a rewrite, and to *n for each: an initializer of the same name in the place of every Constant node whose tensor of floats, of more than one
 * element, is a weight: an operand that the operator's row calls one (the filter of a Conv, a factor of a MatMul), or one of
 * its further parameters (a bias, the scale and statistics of a BatchNormalization). Factors of plain arithmetic stay constants.
 * Not for files of IR version 3, where initializers are graph inputs as well, and those with model-local functions. */
PARE_MUST_USE enum pare_code pare_lift_weights(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

/* Adds to a rewrite, and to *n for each, an initializer for every parameter but one of those that share a tensor only because it is one number throughout
 * (lift_shared.c). External values must be attached. What the copies take of a file is at most room bytes; what has none stays shared. */
PARE_MUST_USE enum pare_code pare_lift_shared(const struct pare_model *m, size_t room, struct pare_rewrite *rw, size_t *n, struct pare_err *err);

/* Is a single value of the graph the same number whatever rows come, however many and of whatever sizes that inputs leave open? *out is that number, NAN if it is not, or
 * if nobody can tell. *work counts nodes that were looked at. */
PARE_MUST_USE enum pare_code pare_graph_decide(const struct pare_model *m, int32_t value, double *out, size_t *work, struct pare_err *err);

#endif
