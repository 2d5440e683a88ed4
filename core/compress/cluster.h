/* Weight sharing: the weights of a tensor become a few values, the centroids of one-dimensional k-means (Han et al. 2016, arXiv:1510.00149).
 * Zeros stay zeros and are no cluster: what was pruned stays pruned. Training under the constraint is core/train/share.h. */
#ifndef PARE_COMPRESS_CLUSTER_H
#define PARE_COMPRESS_CLUSTER_H

#include "core/graph/net.h"
#include "core/prune/prune.h"

#define PARE_CLUSTER_MAX_BITS 11

enum pare_cluster_init {
	PARE_CLUSTER_LINEAR, /* evenly between the extremes: large weights, which matter most, keep centroids of their own */
	PARE_CLUSTER_DENSITY /* evenly over the sorted weights */
};

struct pare_cluster_options {
	int bits, conv_bits; /* 2^bits values in a matrix, 2^conv_bits in a tensor of more axes; 1 to PARE_CLUSTER_MAX_BITS */
	enum pare_cluster_init init;
	int iterations; /* at most */
	struct pare_prune_options names; /* exclude, n_exclude: initializers or nodes that stay as they are */
};

/* Replaces the weights of all prunable tensors that are not excluded. PARE_E_NONFINITE names a tensor with NaN or infinity, PARE_E_INVALID: all are
 * excluded. */
PARE_MUST_USE enum pare_code pare_cluster(struct pare_net *net, const struct pare_cluster_options *opt, struct pare_err *err);

/* Different values that are not 0, and the entropy of all values, zeros included, in bits a weight. Sorts w. */
void pare_count_values(float *w, size_t n, size_t *n_values, double *bits);

#endif
