/* Open addressing; keys are hashes already. */
#include "core/prune/index.h"

#include <string.h>

#include "core/base/mem.h"

bool pare_index_init(struct pare_index *x, size_t n)
{
	*x = (struct pare_index){.n_slots = 16};
	while (x->n_slots < 2 * n)
		x->n_slots *= 2;
	x->keys = pare_calloc(x->n_slots, sizeof *x->keys);
	x->values = pare_calloc(x->n_slots, sizeof *x->values);
	if (x->keys == NULL || x->values == NULL)
		return false;
	memset(x->values, -1, x->n_slots * sizeof *x->values);
	return true;
}

void pare_index_done(struct pare_index *x)
{
	pare_free(x->keys);
	pare_free(x->values);
}

int *pare_index_at(struct pare_index *x, uint64_t key)
{
	size_t i = (size_t)(key ^ key >> 32) & (x->n_slots - 1);

	while (x->values[i] >= 0 && x->keys[i] != key)
		i = (i + 1) & (x->n_slots - 1);
	x->keys[i] = key;
	return &x->values[i];
}
