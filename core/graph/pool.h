/* A fixed team of threads that runs one function at a time, everybody together: the fork and join of a training step. */
#ifndef PARE_GRAPH_POOL_H
#define PARE_GRAPH_POOL_H

#include "core/base/err.h"

struct pare_pool;

/* n_threads counts the caller: 1 starts none. PARE_E_NOMEM, or PARE_E_LIMIT when the system gives no more threads. */
PARE_MUST_USE enum pare_code pare_pool_new(int n_threads, struct pare_pool **out, struct pare_err *err);
void pare_pool_free(struct pare_pool *p);
/* Runs fn(ctx, t) for t in [0, n_threads), t = 0 on the caller; returns when all have returned. From one thread at a
 * time, not from within fn. */
void pare_pool_run(struct pare_pool *p, void (*fn)(void *ctx, int t), void *ctx);
/* From within fn, by all n_threads alike: returns when all have called it. What one wrote before, the others see afterwards. */
void pare_pool_meet(struct pare_pool *p);

#endif
