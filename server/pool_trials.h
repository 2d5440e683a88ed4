/* Sweeps under the daemon: the runs of a sweep are jobs of their own. */
#ifndef SERVER_POOL_TRIALS_H
#define SERVER_POOL_TRIALS_H

#include "core/recipe/protocol.h"
#include "core/recipe/recipe.h"
#include "storage/store.h"

/* What one attempt at a job knows of the runs of its sweep. */
struct srv_trials {
	struct pare_trial *known; /* NULL: the job has no sweep, or is itself one run of it */
	int n_known, n_room;
	struct pare_trial wanted[PARE_MAX_TRIALS]; /* by the engine, to be made jobs of */
	int n_wanted, n_ahead, n_all;
	struct pare_sweep_shape shape;
};

/* Reads what came of the job's children, and of those of the ended jobs that it does again. */
PARE_MUST_USE enum pare_code srv_trials_know(struct srv_trials *t, struct store *s, const struct store_job *job, const struct pare_job *parsed, struct pare_err *err);
/* Takes what the engine asks for. PARE_E_WORKER_CRASHED when it asks for what there is not, what is known, or for one run twice. */
PARE_MUST_USE enum pare_code srv_trials_take(struct srv_trials *t, const struct pare_msg *m, struct pare_err *err);
/* Makes jobs of what was taken, for which the job then waits (store_job_fork). */
PARE_MUST_USE enum pare_code srv_trials_fork(const struct srv_trials *t, struct store *s, const struct store_job *job, struct pare_err *err);
void srv_trials_done(struct srv_trials *t);

#endif
