/* The workers: one thread per slot, each with at most one engine process. A slot claims the oldest queued job, runs it, and
 * writes down how it ended; the store's lease and fencing token make that exactly once. */
#ifndef SERVER_POOL_H
#define SERVER_POOL_H

#include <stdint.h>

#include "api/api.h"
#include "core/base/err.h"
#include "storage/blob.h"
#include "server/look.h"
#include "storage/store.h"

struct srv_pool;
struct srv_pool_options {
	struct store *store;
	struct blob_store *blobs;
	const char *core; /* the engine's path; copied */
	struct srv_look *look; /* borrowed: looks at a result that becomes a model */
	int workers;
	int64_t memory_bytes, max_runtime_seconds, max_artifact_bytes;
	int64_t full_ms; /* how long a job that finds no room for its results is tried again */
	int64_t checkpoint_ms; /* between two checkpoints of a job; 0: none */
	void (*events_added)(void *ctx, const char *job); /* any thread; wakes event streams */
	void *ctx;
};
/* Makes the pool and starts its threads. */
PARE_MUST_USE enum pare_code srv_pool_new(const struct srv_pool_options *opt, struct srv_pool **out, struct pare_err *err);
void srv_pool_wake(struct srv_pool *p);                   /* a job was added */
void srv_pool_pause(struct srv_pool *p, bool on);        /* while on, no job is claimed; running ones go on */
/* The store has been told: if the job runs here it is to end (CANCELING), to make room with its state kept (PAUSING), or to go on after all (RUNNING). */
void srv_pool_ask(struct srv_pool *p, const char *id, enum store_job_status asked);
int srv_pool_list(struct srv_pool *p, struct api_worker *out, int cap); /* the slots as they are now; returns how many */
void srv_pool_count(struct srv_pool *p, int *out_alive, int *out_busy);
/* Stops claiming, kills the engines, gives their jobs back to the queue and joins the threads. */
void srv_pool_stop(struct srv_pool *p);
void srv_pool_free(struct srv_pool *p); /* stops first; NULL is fine */

#endif
