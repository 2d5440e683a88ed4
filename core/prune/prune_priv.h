/* Shared by the files of core/prune. */
#ifndef PARE_PRUNE_PRUNE_PRIV_H
#define PARE_PRUNE_PRUNE_PRIV_H

#include "core/prune/prune.h"

/* Selection by counting, fed in pieces: twice the same scores, in any cut and order. See select.c. Zero-initialise. */
#define PARE_RADIX_BUCKETS 65536u
struct pare_radix {
	uint64_t count[PARE_RADIX_BUCKETS];
	size_t k, rank; /* asked for; left within the bucket */
	uint32_t high;
};
void pare_radix_first(struct pare_radix *r, const float *scores, size_t n);
/* Between the passes: rank k (0-based, less than the number of scores fed) is the one that is wanted. */
void pare_radix_turn(struct pare_radix *r, size_t k);
void pare_radix_second(struct pare_radix *r, const float *scores, size_t n);
/* The score of rank k, and how many of all scores are less than it. */
float pare_radix_value(struct pare_radix *r, size_t *out_below);

#endif
