/* The loss without each structure, one at a time: the exact form of what gradients estimate. */
#ifndef PARE_TRAIN_ABLATE_H
#define PARE_TRAIN_ABLATE_H

#include "core/prune/groups.h"
#include "core/train/observe.h"

/* out[groups->n_units]: the mean loss over opt->n_rows training rows (drawn as pare_observe draws them; stat is not looked at) with all
 * parameters of the unit at zero, minus the loss of the net as it is; 0 for units that cut says are gone. The net's weights
 * are put back. One pass over the rows a unit. */
PARE_MUST_USE enum pare_code pare_ablate(struct pare_net *net, const struct pare_structures *groups, const struct pare_cut *cut, const struct pare_dataset *data,
    const struct pare_observe_options *opt, double *out, struct pare_err *err);

#endif
