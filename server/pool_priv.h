/* Shared by pool.c (threads, claiming) and pool_job.c (the run of one job). */
#ifndef SERVER_POOL_PRIV_H
#define SERVER_POOL_PRIV_H

#include <pthread.h>
#include <stdbool.h>

#include "server/pool.h"

#define SRV_LEASE_MS ((int64_t)30000)
#define SRV_RENEW_MS ((int64_t)5000)

struct srv_slot {
	struct srv_pool *pool;
	int index;
	pthread_t thread;
	bool started;
	int wake; /* eventfd: something is asked, or the pool stops */
	/* under pool->lock: */
	struct api_worker now; /* job "" when idle */
	enum store_job_status asked; /* RUNNING: nothing; PAUSING, CANCELING */
	char parent[PARE_ID_MAX];    /* of its job */
};

struct srv_pool {
	struct srv_pool_options opt;
	char *core;
	pthread_mutex_t lock;
	pthread_cond_t added;
	uint64_t n_added;
	bool stopping;
	bool paused;
	int64_t expired_at_ms; /* when leases were last looked through */
	int n_slots;
	struct srv_slot *slots;
};

/* Runs a claimed job to its end, whatever that is, and tells the store. False: it could not be begun, or others ended it, and the next one would fare no better just now. */
bool srv_pool_run_job(struct srv_slot *slot, const struct store_job *job);
/* What a slot was asked meanwhile; clears its wake-up. */
void srv_pool_asked(struct srv_slot *slot, bool *out_stop, enum store_job_status *out_asked);
/* For the list of workers: the engine of this slot's job, and that its lease was just renewed. */
void srv_pool_note_engine(struct srv_slot *slot, int pid);
void srv_pool_note_lease(struct srv_slot *slot, int64_t lease_ms);
/* Puts jobs whose lease ran out back into the queue, if nobody has for SRV_RENEW_MS. */
void srv_pool_expire(struct srv_pool *p);

#endif
