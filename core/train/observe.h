/* What the data say of the weights as they stand, nothing is changed: what criteria that look at data rank by (enum pare_stat). */
#ifndef PARE_TRAIN_OBSERVE_H
#define PARE_TRAIN_OBSERVE_H

#include "core/train/train.h"

struct pare_observe_options {
	enum pare_stat stat;        /* not NONE */
	uint32_t n_rows;            /* of the training split, drawn by (seed, stage); more than there are: all */
	int batch_size;             /* rows of one gradient: the mean over them; of layers' inputs: only how many run at once */
	int bins;                   /* of the entropy of activations (core/train/activations.h), at least 2 */
	int probes;                 /* CURVATURE: random directions, at least 1 */
	double damping;             /* INVERSE: added to the diagonal, in units of its mean */
	const struct pare_fit *fit; /* NULL: pare_fit_make without options */
	uint64_t seed;
	int stage;
	const atomic_bool *cancel; /* may be NULL */
};

/* out[slab_len], in the net's layout. The model as it infers: no Dropout, running statistics of batch norms; masked weights have gradients
 * like any other. Weights that no layer multiplies in the plain way (struct pare_product) have 1 as their input's norm and place.
 * CURVATURE: the mean over probes of v (g(w + e v) - g(w - e v)) / 2e with v = +-1 at random on weights that are not 0; its expectation is the Hessian's
 * diagonal, whatever the rest of the matrix. Elsewhere it is 0. The weights are put back to the bit.
 * PARE_E_DATASET, PARE_E_NONFINITE when a loss is not finite, PARE_E_CANCELED. */
PARE_MUST_USE enum pare_code pare_observe(struct pare_net *net, const struct pare_dataset *data, const struct pare_observe_options *opt, float *out,
    struct pare_err *err);

#endif
