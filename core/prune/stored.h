/* The tensors of a model's files as something to prune (struct pare_tensors): read where they stand, masked in one bit per weight. The
 * files are not written to; whoever writes the model anew asks what is kept. */
#ifndef PARE_PRUNE_STORED_H
#define PARE_PRUNE_STORED_H

#include "core/graph/weights.h"
#include "core/prune/prune.h"

struct pare_stored {
	struct pare_tensors tensors; /* first: what the functions get is a pointer to it */
	const struct pare_inventory *v;
	uint64_t *kept; /* bit i of the row: offset + element i is kept */
};
/* Everything is kept. The inventory must live as long. PARE_E_NOMEM. */
PARE_MUST_USE enum pare_code pare_stored_init(struct pare_stored *s, const struct pare_inventory *v, struct pare_err *err);
void pare_stored_done(struct pare_stored *s);
/* Which of the n weights of tensor p from first on are kept, in room; NULL: all are. first is a multiple of 64. */
const uint8_t *pare_stored_keep(const struct pare_stored *s, int p, size_t first, size_t n, uint8_t *room);

#endif
