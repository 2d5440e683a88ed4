/* The ONNX messages as tables, and the one walk that checks a whole file against them. Private to core/onnx. */
#ifndef PARE_ONNX_SCHEMA_H
#define PARE_ONNX_SCHEMA_H

#include "core/base/err.h"
#include "core/graph/graph.h"

/* Field numbers, by message. */
enum {
	MODEL_IR_VERSION = 1,
	MODEL_PRODUCER_NAME = 2,
	MODEL_PRODUCER_VERSION = 3,
	MODEL_GRAPH = 7,
	MODEL_OPSET_IMPORT = 8,
	MODEL_FUNCTIONS = 25,
	FUNCTION_NAME = 1,
	FUNCTION_INPUT = 4,
	FUNCTION_OUTPUT = 5,
	FUNCTION_NODE = 7,
	FUNCTION_OPSET_IMPORT = 9,
	FUNCTION_DOMAIN = 10,
	FUNCTION_ATTRIBUTE_PROTO = 11,
	FUNCTION_OVERLOAD = 13,
	MODEL_METADATA = 14,
	ENTRY_KEY = 1,
	ENTRY_VALUE = 2,
	OPSET_DOMAIN = 1,
	OPSET_VERSION = 2,
	GRAPH_NODE = 1,
	GRAPH_NAME = 2,
	GRAPH_INITIALIZER = 5,
	GRAPH_INPUT = 11,
	GRAPH_OUTPUT = 12,
	GRAPH_VALUE_INFO = 13,
	GRAPH_SPARSE_INITIALIZER = 15,
	NODE_INPUT = 1,
	NODE_OUTPUT = 2,
	NODE_NAME = 3,
	NODE_OP_TYPE = 4,
	NODE_ATTRIBUTE = 5,
	NODE_DOMAIN = 7,
	NODE_OVERLOAD = 8,
	ATTR_NAME = 1,
	ATTR_F = 2,
	ATTR_I = 3,
	ATTR_S = 4,
	ATTR_T = 5,
	ATTR_G = 6,
	ATTR_FLOATS = 7,
	ATTR_INTS = 8,
	ATTR_STRINGS = 9,
	ATTR_TENSORS = 10,
	ATTR_GRAPHS = 11,
	ATTR_TP = 14,
	ATTR_TYPE_PROTOS = 15,
	ATTR_TYPE = 20,
	ATTR_REF_NAME = 21,
	ATTR_SPARSE_TENSOR = 22,
	ATTR_SPARSE_TENSORS = 23,
	TENSOR_DIMS = 1,
	TENSOR_DATA_TYPE = 2,
	TENSOR_FLOAT_DATA = 4,
	TENSOR_INT32_DATA = 5,
	TENSOR_STRING_DATA = 6,
	TENSOR_INT64_DATA = 7,
	TENSOR_NAME = 8,
	TENSOR_RAW_DATA = 9,
	TENSOR_DOUBLE_DATA = 10,
	TENSOR_UINT64_DATA = 11,
	TENSOR_EXTERNAL_DATA = 13,
	TENSOR_DATA_LOCATION = 14,
	SPARSE_VALUES = 1,
	SPARSE_DIMS = 3,
	VALUE_NAME = 1,
	VALUE_TYPE = 2,
	TYPE_TENSOR = 1,
	TENSOR_TYPE_ELEM = 1,
	TENSOR_TYPE_SHAPE = 2,
	SHAPE_DIM = 1,
	DIM_VALUE = 1,
	DIM_PARAM = 2
};

/* Every message of the file is well formed, every known field has its wire type, names are UTF-8 without NUL, no single
 * submessage comes twice, and nothing nests deeper than PARE_WIRE_MAX_DEPTH. PARE_E_SYNTAX with the byte, PARE_E_LIMIT.
 * After it has passed, cursors over any known field of the file meet no fault. */
PARE_MUST_USE enum pare_code pare_onnx_check(struct pare_span file, struct pare_err *err);

/* Where the values of a dtype go when they are not in raw_data (a TENSOR_*_DATA field; 0 for a dtype we do not know), and
 * how many entries n_elems values make there. false when the count overflows. */
uint32_t pare_onnx_data_field(int dtype);
bool pare_onnx_data_count(int dtype, size_t n_elems, size_t *out);

#endif
