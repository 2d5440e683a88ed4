/* From hashes of 64 bits to small numbers. */
#ifndef PARE_PRUNE_INDEX_H
#define PARE_PRUNE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pare_index {
	uint64_t *keys;
	int *values; /* -1: free */
	size_t n_slots;
};

/* Room for n keys; false without memory. pare_index_done in either case. */
bool pare_index_init(struct pare_index *x, size_t n);
void pare_index_done(struct pare_index *x);
/* Where the number of that key stands; -1 until it has been given one, which must follow. */
int *pare_index_at(struct pare_index *x, uint64_t key);

#endif
