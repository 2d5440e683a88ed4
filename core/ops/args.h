/* Parsing of a node's attributes by the specification in its operator's row. */
#ifndef PARE_OPS_ARGS_H
#define PARE_OPS_ARGS_H

#include "core/ops/op.h"

/* Fills args (op->args_size bytes, zeroed). Lists and tensors point into the model. PARE_E_UNSUPPORTED_OP for an attribute
 * that the row does not know, PARE_E_MODEL for a wrong type or a missing one, PARE_E_INVALID out of bounds. */
PARE_MUST_USE enum pare_code pare_op_parse_args(const struct pare_op *op, const struct pare_node *node, const char *where, void *args, struct pare_err *err);

#endif
