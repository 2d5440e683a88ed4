/* Training under weight sharing: weights of a tensor that have one value go on as one. The gradient of the shared value is the sum of the
 * gradients of its weights (Han et al. 2016, arXiv:1510.00149); every weight gets that sum, and since update rules work element by
 * element the weights stay equal to the last bit. Weights that are 0 stay 0.
 *
 * Which weights share follows from the weights themselves, so there is nothing to remember between training runs, or in a checkpoint. */
#ifndef PARE_TRAIN_SHARE_H
#define PARE_TRAIN_SHARE_H

#include "core/graph/net.h"

struct pare_sharing {
	size_t len;       /* of the slab */
	uint32_t *number; /* by element: PARE_SHARED_ALONE, PARE_SHARED_ZERO, or whose value it has */
	size_t n;         /* shared values */
	double *sum;      /* of each; room for the below */
	uint32_t *count;
};
#define PARE_SHARED_ALONE UINT32_MAX
#define PARE_SHARED_ZERO (UINT32_MAX - 1)

/* Of the net's weights as they are; shared: by parameter, which tensors. */
PARE_MUST_USE enum pare_code pare_sharing_init(struct pare_sharing *s, struct pare_net *net, const bool *shared, struct pare_err *err);
void pare_sharing_done(struct pare_sharing *s);
/* To every element the sum over those of its value; to zeros 0. */
void pare_sharing_sum(const struct pare_sharing *s, float *g);
/* The mean, for what does not work element by element. */
void pare_sharing_average(const struct pare_sharing *s, float *w);

#endif
