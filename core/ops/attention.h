/* Attention as one node, which planning makes of the products and the softmax that files spell out (core/graph/attend.c). A model
 * cannot name it, so it is not in the table.
 *
 *   y[n, h] = softmax(scale q[n, h] k[n, h]^T + mask[n, h]) v[n, h]      n: row of the batch, h: head
 *
 * Queries, keys, values and result stand anywhere in the node's operands, with the floats of one position side by side: what splits,
 * transposes and joins heads in the file is the place of an operand here. */
#ifndef PARE_OPS_ATTENTION_H
#define PARE_OPS_ATTENTION_H

#include "core/ops/op.h"

/* Element i of position t of head h in row n: offset + n row + h head + t step + i. */
struct pare_attention_place {
	int operand; /* an input of the node; of the result nothing */
	int64_t offset, row, head, step;
};

#define PARE_ATTENTION_MAX_IN 4 /* the operands that hold queries, keys and values, each once, then the mask */
struct pare_attention {
	int64_t heads, queries, keys, width, depth; /* depth: floats of a value, width: of a query and a key */
	float scale;
	struct pare_attention_place q, k, v, y;
	bool covered[PARE_ATTENTION_MAX_IN]; /* queries, keys and values are all that the operand holds, each in a place of its own */
	int mask;                            /* the last input, -1: none */
	int64_t mask_row, mask_head, mask_query, mask_key; /* strides; 0 where it is broadcast */
};

extern const struct pare_op pare_op_attention;

#endif
