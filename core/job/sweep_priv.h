/* What a sweep has tried; shared by sweep.c and its report. */
#ifndef PARE_JOB_SWEEP_PRIV_H
#define PARE_JOB_SWEEP_PRIV_H

#include "core/job/job_priv.h"
#include "core/recipe/trial.h"

struct job_trial {
	struct pare_job *job;
	int runs, failed; /* with other seeds and folds; those that diverged */
	double mean, low, high, loss, sparsity, weights; /* of the validation rows or held-out folds, over the runs that did not fail */
	double epochs; /* the share of its epochs that it had when last run */
	char error[160];
};

struct job_sweep {
	const struct pare_args *args;
	struct pare_sweep_shape shape;
	int n_trials; /* variants */
	struct job_trial *trials;
	int *alive, n_alive;
	int chosen;
	enum pare_task task;
	bool ask; /* for runs that are not known, instead of making them */
	struct pare_trial *known; /* room for all runs of all rungs: those that came with the job, by place; behind them those made here */
	int n_came, n_known, n_used; /* used: by the loops so far */
	struct pare_trial *wanted; /* PARE_MAX_TRIALS */
	int n_wanted;
	bool has_own; /* the job is one run of the sweep */
	struct pare_trial own, present; /* present: the run under way */
};

#endif
