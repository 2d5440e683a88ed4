/* What a sweep has tried; shared by sweep.c and its report. */
#ifndef PARE_JOB_SWEEP_PRIV_H
#define PARE_JOB_SWEEP_PRIV_H

#include "core/job/job_priv.h"

struct job_trial {
	struct pare_job *job;
	int runs, failed; /* with other seeds and folds; those that diverged */
	double mean, low, high, loss, sparsity, weights; /* of the validation rows or held-out folds, over the runs that did not fail */
	double epochs; /* the share of its epochs that it had when last run */
	char error[160];
};

struct job_sweep {
	const struct pare_args *args;
	int n_trials, n_seeds, n_folds, eta;
	struct job_trial *trials;
	int *alive, n_alive;
	int chosen;
	enum pare_task task;
};

#endif
