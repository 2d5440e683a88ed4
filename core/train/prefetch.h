/* The next batch is read from its files by a thread of its own while the present one is computed. What it makes is a copy of the
 * rows' bytes, so a run with it gives the same bits as one without. */
#ifndef PARE_TRAIN_PREFETCH_H
#define PARE_TRAIN_PREFETCH_H

#include "core/data/data.h"

struct pare_prefetch;

/* For batches of at most n_rows. data's normalisation and layout must stand. */
PARE_MUST_USE enum pare_code pare_prefetch_new(const struct pare_dataset *data, size_t n_rows, struct pare_prefetch **out, struct pare_err *err);
void pare_prefetch_free(struct pare_prefetch *p); /* waits for what is being read */
/* Starts on a batch; every start is answered by one take before the next start but one. rows stay unchanged until then. */
void pare_prefetch_start(struct pare_prefetch *p, const uint32_t *rows, size_t n);
/* The batch that was started first: row i of it is row number i of the data set returned, until the next take but one. */
const struct pare_dataset *pare_prefetch_take(struct pare_prefetch *p);

#endif
