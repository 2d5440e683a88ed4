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
	int64_t units; /* outputs, or channels */
	int64_t kernel, pad; /* kernel > 0: a convolution of kernel x kernel with stride 1 and this padding, over [C, H, W] */
	int64_t pool;        /* > 1: max pooling over windows of that size and stride, after the activation of a convolution */
	enum pare_activation activation;
	float dropout; /* after the activation (and pool); 0: none */
};

/* Layers one after the other: convolutions (Conv -> activation -> MaxPool -> Dropout)*, then fully connected ones, before the first of
 * which what is not flat is flattened: (Gemm -> activation -> Dropout)*. Weights are stored [out, in] with transB=1, as
 * PyTorch exports them; nodes are named conv1, relu1, pool1, fc2 …, initializers conv1.weight, conv1.bias. */
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
