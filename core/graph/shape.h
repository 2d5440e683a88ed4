/* Shapes with one unknown: every dimension is a number, or a number times the batch size (shape.c says why that is
 * enough). */
#ifndef PARE_GRAPH_SHAPE_H
#define PARE_GRAPH_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/graph/graph.h"

#define PARE_BIT(i) (1u << (i))

/* A shape. Bit i of batch: dimension i is dims[i] times the number of rows that run, which is not known yet.
 * Resolved shapes (those that forward and backward see) have batch 0. */
struct pare_shape {
	int n_dims;
	int64_t dims[PARE_MAX_DIMS];
	unsigned batch;
};

/* Elements of a resolved shape; of an unresolved one, elements per row. The net has checked that it fits an int32. */
size_t pare_shape_elems(const struct pare_shape *s);
/* The product of dims[first..last). */
int64_t pare_shape_product(const struct pare_shape *s, int first, int last);
void pare_shape_resolve(const struct pare_shape *s, int64_t rows, struct pare_shape *out);
bool pare_shape_same(const struct pare_shape *a, const struct pare_shape *b);
/* "[N, 3, 224]"; 2N for a dimension that is twice the batch. Returns out. */
#define PARE_SHAPE_TEXT 160
const char *pare_shape_text(const struct pare_shape *s, char out[PARE_SHAPE_TEXT]);
/* The shape that a and b broadcast to by the rules of ONNX (numpy's); false if they do not. */
bool pare_shape_broadcast(const struct pare_shape *a, const struct pare_shape *b, struct pare_shape *out);

#endif
