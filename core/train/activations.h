/* What the values that weights read look like on data: the other half of what core/train/observe.h knows of gradients. */
#ifndef PARE_TRAIN_ACTIVATIONS_H
#define PARE_TRAIN_ACTIVATIONS_H

#include "core/prune/structures.h"
#include "core/train/observe.h"

/* Runs opt->n_rows rows (drawn as pare_observe draws them; stat is not looked at) through the net as it infers and fills the stats for every
 * slice of the values that a weight is multiplied with. groups says how slices are numbered. Release with pare_activations_done. what: ENTROPY and RANK find these, too.
 * Entropy is that of opt->bins equal bins between a slice's least and greatest element; of 2 bins, that of being on: more than 0, or, where nothing is
 * below or at 0 (Sigmoid), more than the middle. */
PARE_MUST_USE enum pare_code pare_activations(const struct pare_net *net, const struct pare_structures *groups, const struct pare_dataset *data,
    const struct pare_observe_options *opt, enum pare_structure_stat what, struct pare_activation_stats *out, struct pare_err *err);
void pare_activations_done(struct pare_activation_stats *s);

#endif
