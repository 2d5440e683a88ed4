/* Second moments of what layers multiply, on training rows: what layer-wise methods need and all they need (no labels, no
 * gradients). Layers are the nodes with an operator's product view (struct pare_product), group by group; numbered in the
 * order in which they run. */
#ifndef PARE_TRAIN_CALIBRATE_H
#define PARE_TRAIN_CALIBRATE_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/data/data.h"
#include "core/eval/fit.h"
#include "core/graph/net.h"
#include "core/graph/product.h"

struct pare_calibrate_options {
	uint32_t n_rows; /* of the training split, drawn by seed; more than there are: all */
	int batch_size;
	int n_threads;
	const struct pare_fit *fit;
	uint64_t seed;
	const atomic_bool *cancel; /* may be NULL */
};

struct pare_calibrator;
/* Nets of its own over the model: one that holds the weights of `dense` (slab layout of `net`), one those of the net. */
PARE_MUST_USE enum pare_code pare_calibrator_new(const struct pare_net *net, const float *dense, const struct pare_dataset *data,
    const struct pare_calibrate_options *opt, struct pare_calibrator **out, struct pare_err *err);
void pare_calibrator_free(struct pare_calibrator *c);
/* The net's weights have changed: take them over. */
void pare_calibrator_update(struct pare_calibrator *c, const float *slab);

struct pare_layer {
	const char *where; /* node "fc1" (Gemm) */
	int weight, bias;  /* parameters; bias -1: none */
	int64_t group;
	struct pare_product product; /* n_rows: of one row of the data */
};
int pare_calibrator_n_layers(const struct pare_calibrator *c);
const struct pare_layer *pare_calibrator_layer(const struct pare_calibrator *c, int i);

/* Over all rows, with x' the layer's inputs in the net and x those in the dense one, each with a last input 1 where there is a bias
 * (n = n_in + 1, else n_in):
 *   gram[n, n] = mean x' x'^T         cross[n_out, n]: row o = mean x' (x^T w0_o), w0 the dense weights (and bias)
 * Either may be NULL. The sums have one order, by thread count. */
PARE_MUST_USE enum pare_code pare_calibrate_layer(struct pare_calibrator *c, int i, float *gram, float *cross, struct pare_err *err);
/* Root mean square of each input of all layers at once: out by layer, pare_layer.product.n_in floats each, one after the other. */
PARE_MUST_USE enum pare_code pare_calibrate_norms(struct pare_calibrator *c, float *out, struct pare_err *err);

#endif
