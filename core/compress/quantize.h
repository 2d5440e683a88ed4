/* Weights of fewer bits in a model's file. What is quantized are layers: Gemm, MatMul and Conv nodes whose weight is a float initializer.
 *
 *   int8          w ~ q s, s = max |w| / 127 for each output channel (or one for all); zero stays zero. In the file: q, s and a DequantizeLinear.
 *                 With activations: x goes through QuantizeLinear and DequantizeLinear, 8 bits with a zero point, its range found on data;
 *                 biases become 32-bit integers of the scale s_x s. Runtimes with integer kernels fuse that form (QDQ).
 *                 Dynamic, of Gemm and MatMul: DynamicQuantizeLinear finds the range of x as the model runs, over all rows that come together; then
 *                 MatMulInteger, and a product with s_x s. Nothing is looked at beforehand; Conv stays in floats.
 *   float16, bfloat16: the weight in half the bytes, and a Cast.
 *
 * Source: Jacob et al. 2018, arXiv:1712.05877; Nagel et al. 2021, arXiv:2106.08295; the ONNX operators' own definitions. */
#ifndef PARE_COMPRESS_QUANTIZE_H
#define PARE_COMPRESS_QUANTIZE_H

#include "core/graph/graph.h"
#include "core/graph/rewrite.h"
#include "core/prune/prune.h"

enum pare_weight_form { PARE_FORM_INT8, PARE_FORM_FLOAT16, PARE_FORM_BFLOAT16 };

struct pare_quantize_options {
	enum pare_weight_form form;
	bool activations;  /* int8: those, too, by ranges that the caller found */
	bool dynamic;      /* int8: the same, by ranges found as the model runs; not both */
	bool per_channel;
	bool reduce_range; /* weights within +-63: for processors whose 8-bit products saturate at 16 bits */
	struct pare_prune_options names; /* exclude, n_exclude: initializers or nodes that stay as they are */
};

/* A layer that will be quantized: indices into the graph. */
struct pare_quant_layer {
	int32_t node, x, weight, bias; /* bias -1: none, or one that stays as it is */
	int axis;                      /* of the weight: output channels */
	float low, high;               /* of x: filled in by the caller when activations are quantized; low <= 0 <= high */
};

/* Lists the layers in order; *out is pare_free'd by the caller. PARE_E_INVALID when there are none, PARE_E_UNSUPPORTED when the model's opset lacks the
 * operators (10 for one scale, 11 for dynamic ranges, 13 for one scale per channel and for bfloat16). */
PARE_MUST_USE enum pare_code pare_quantize_find(const struct pare_model *m, const struct pare_quantize_options *opt, struct pare_quant_layer **out, int *out_n,
    struct pare_err *err);
/* The changed graph; *out is pare_rewrite_done by the caller in any case. PARE_E_NONFINITE names a weight with NaN or infinity. */
PARE_MUST_USE enum pare_code pare_quantize(const struct pare_model *m, const struct pare_quantize_options *opt, const struct pare_quant_layer *layers, int n,
    struct pare_rewrite *out, struct pare_err *err);

/* What is seen of one tensor: extremes, then (after pare_observed_bins) a histogram between them. */
#define PARE_OBSERVED_BINS 2048
struct pare_observed {
	float low, high; /* 0 is always within */
	uint32_t bins[PARE_OBSERVED_BINS];
};
void pare_observed_extremes(struct pare_observed *o, const float *x, size_t n);
void pare_observed_bins(struct pare_observed *o, const float *x, size_t n);
/* The range to quantize to. share < 1: so much of what was seen lies within (percentile), the rest is clipped; mse: the range with the least
 * expected square of the error; neither: the extremes. */
void pare_observed_range(const struct pare_observed *o, double share, bool mse, float *low, float *high);

#endif
