/* The ONNX file of a model that a test has built in memory. */
#ifndef TESTS_SUPPORT_GRAPH_ONNX_H
#define TESTS_SUPPORT_GRAPH_ONNX_H

#include "core/base/buf.h"
#include "core/graph/graph.h"

/* Appends to out (whose errors stick): IR 8, float data raw, outputs without a shape. Every initializer, and every computed value whose
 * shape is known to the model, gets a value_info. */
void graph_onnx(const struct pare_model *m, struct pare_buf *out);
/* Dimensions that a value_info of the model's file says of an initializer and that are others. */
int graph_onnx_stale_infos(const struct pare_model *m);

#endif
