/* The ONNX file of a model that a test has built in memory. */
#ifndef TESTS_SUPPORT_GRAPH_ONNX_H
#define TESTS_SUPPORT_GRAPH_ONNX_H

#include "core/base/buf.h"
#include "core/graph/graph.h"

/* Appends to out (whose errors stick): IR 8, float data raw, outputs without a shape. Every computed value whose shape is known
 * to the model gets a value_info. */
void graph_onnx(const struct pare_model *m, struct pare_buf *out);

#endif
