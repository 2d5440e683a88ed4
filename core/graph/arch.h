/* A model born from a description: what "architecture" in the API means, as plain data (core/job parses the JSON).
 * The result is the bytes of an ordinary ONNX file (IR 8, opset 17, symbolic batch dimension "N"), which is then read
 * like any upload, so nothing downstream knows that a model was born here. */
#ifndef PARE_GRAPH_ARCH_H
#define PARE_GRAPH_ARCH_H

#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

enum pare_activation { PARE_ACT_NONE, PARE_ACT_RELU, PARE_ACT_SIGMOID, PARE_ACT_TANH, PARE_ACT_SOFTMAX, PARE_ACT_LOG_SOFTMAX };

struct pare_arch_layer {
	int64_t units;
	enum pare_activation activation;
	float dropout; /* after the activation; 0: none */
};

/* A multilayer perceptron: [N, input dims...] -> Flatten if the input has more than one dimension -> (Gemm -> activation
 * -> Dropout)*. Weights are stored [out, in] with transB=1, as PyTorch exports them; nodes are named fc1, relu1, …,
 * initializers fc1.weight, fc1.bias. */
struct pare_arch {
	int n_input_dims; /* 1 to 4, without the batch dimension */
	int64_t input_dims[4];
	int n_layers;
	const struct pare_arch_layer *layers;
	uint64_t seed;
	/* Weights: He normal before Relu, Glorot uniform otherwise; biases 0. */
};

/* Appends the ONNX file to out. PARE_E_LIMIT when the parameters would exceed out's cap. */
PARE_MUST_USE enum pare_code pare_arch_build(const struct pare_arch *arch, struct pare_buf *out, struct pare_err *err);

#endif
