/* Dead units: channels and neurons that pruning of single weights has left without a purpose (Han et al. 2015, arXiv:1506.02626, 3.5).
 *
 * unread    every weight that reads the unit is zero: whatever it says, nobody hears it.
 * constant  every weight that leads into it is zero, and what its readers get of it is one number on every row. If that is 0 it goes; else it goes where
 *           that number, times the weights that read it, can be added to a bias of its own: of a Gemm, of a Conv without padding (at a
 *           border zeros would be read in its place), or of an Add behind a MatMul. */
#ifndef PARE_PRUNE_DEAD_H
#define PARE_PRUNE_DEAD_H

#include "core/prune/structures.h"

struct pare_dead_count {
	int unread, constant;
};
/* Groups one of whose weights, or the node that reads it, is named by a pattern keep their dead units. */
struct pare_dead_options {
	const char *const *exclude;
	size_t n_exclude;
};
/* Cuts the dead units (of granularity channel), folds what constant ones say into biases of the slab, masks both. What goes may leave others without
 * purpose: call again, with new activations, until nothing is found. seen: core/train/activations.h, of the present weights. */
PARE_MUST_USE enum pare_code pare_remove_dead(struct pare_net *net, const struct pare_structures *g, const struct pare_activation_stats *seen, const struct pare_dead_options *opt,
    struct pare_cut *cut, struct pare_mask *mask, struct pare_dead_count *out, struct pare_err *err);

#endif
