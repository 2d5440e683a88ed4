/* Pruned weights that change places while a run trains, at a constant number (RigL; Evci et al. 2020, arXiv:1911.11134). */
#ifndef PARE_TRAIN_REWIRE_H
#define PARE_TRAIN_REWIRE_H

#include "core/prune/prune.h"

struct pare_rewire {
	struct pare_mask *mask; /* of the run; moves */
	int64_t every;          /* updates between two exchanges */
	double share;           /* of each layer's weights that the first one takes; falls along half a cosine */
	double until;           /* share of the run's updates after which there are none */
};

/* Is update `step` (0-based) of a run of n_steps an exchange, and of which share? 0: it is none. */
double pare_rewire_share(const struct pare_rewire *r, int64_t step, int64_t n_steps);

/* In every tensor of which something is masked: the given share of the weights goes, the smallest first; as many others, those that just went among
 * them, come where |gradient| is largest. What comes begins at 0 and, with what goes, has no optimizer state (state[i] may be NULL); what
 * goes and comes at once stays as it was. Ties are broken by position, the first goes or comes. scratch: floats, as many as the largest
 * tensor has. False, and nothing has changed in the tensors from there on, when a gradient is not finite. */
bool pare_rewire(struct pare_net *net, struct pare_mask *mask, double share, const float *grad, float *const state[2], float *scratch);

#endif
