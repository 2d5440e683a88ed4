/* What the steps that change layers in a model's file ask of its graph. */
#ifndef PARE_COMPRESS_LAYERS_H
#define PARE_COMPRESS_LAYERS_H

#include "core/graph/graph.h"

/* The initializer, if it is one of floats that the file holds and that is no input or output of the graph; else NULL. value may be -1. */
const struct pare_tensor *pare_layer_floats(const struct pare_model *m, int32_t value);
int64_t pare_layer_int(const struct pare_node *n, const char *attr, int64_t absent);
/* Inputs of nodes that are that value. */
int pare_layer_readers(const struct pare_graph *g, int32_t value);

#endif
