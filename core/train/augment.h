/* Image augmentation: every training row is moved and mirrored anew in each epoch, after it was filled and normalised. What a row
 * gets is drawn from (seed, stage, epoch, row number), so it depends neither on threads nor on batches. */
#ifndef PARE_TRAIN_AUGMENT_H
#define PARE_TRAIN_AUGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/eval/fit.h"
#include "core/graph/net.h"

struct pare_augment {
	int crop;  /* pad by so many zeros on every side and cut a window of the old size anywhere */
	int shift; /* move by up to so many pixels along both axes; edge pixels are repeated */
	bool flip; /* mirror left and right, every other time */
	bool channels_last; /* rows are [H, W, C], not [C, H, W] */
};

/* PARE_E_INVALID when no input of the net is of images, or labels are maps that would have to move along. */
PARE_MUST_USE enum pare_code pare_augment_check(const struct pare_augment *a, const struct pare_net *net, const struct pare_fit *fit, struct pare_err *err);
/* n rows of input i of a net, in place; rows that are not images stay. row_ids: their numbers in the data set. seed: of the epoch.
 * scratch: pare_augment_scratch floats. */
void pare_augment_rows(const struct pare_augment *a, const struct pare_net *net, int i, uint64_t seed, const uint32_t *row_ids, size_t n, float *x, float *scratch);
size_t pare_augment_scratch(const struct pare_net *net);
uint64_t pare_augment_seed(uint64_t seed, int stage, int epoch);

#endif
