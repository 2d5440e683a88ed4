/* One run of a sweep: which it is, and what came of it. Each begins anew from the uploaded weights, so that its figures follow from the job's text and its
 * inputs alone: whoever runs it, whenever and beside whatever else, finds the same ones. They travel with all their digits: a sweep that is told of
 * runs made elsewhere reports the same bytes as one that made them all itself. */
#ifndef PARE_RECIPE_TRIAL_H
#define PARE_RECIPE_TRIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/recipe/recipe.h"

#define PARE_TRIAL_ERROR_MAX 152
struct pare_trial {
	int variant, rung, repeat; /* from 0: of the sweep's variants, of halving, of the seeds */
	int fold;                  /* from 1; 0 in a sweep without folds */
	bool failed;               /* then error says why, and there are no figures */
	double loss, value, sparsity, weights; /* of the rows that it was judged on; NaN where the data have none */
	char error[PARE_TRIAL_ERROR_MAX];
};

/* By variant, rung, repeat and fold: < 0, 0 or > 0. */
int pare_trial_compare(const struct pare_trial *a, const struct pare_trial *b);
/* As one JSON object: {"variant", "rung", "repeat", "fold"}; with its outcome also {"loss", "value", "sparsity", "n_weights"}, or {"error"} in their place. */
void pare_trial_write(struct pare_buf *b, const struct pare_trial *t, bool outcome);
/* PARE_E_SYNTAX for anything else. */
PARE_MUST_USE enum pare_code pare_trial_read(const char *text, size_t len, bool outcome, struct pare_trial *out, struct pare_err *err);
/* The result of a job that is one run, {"trial": {…with its outcome…}}; and back. */
void pare_trial_result_write(struct pare_buf *b, const struct pare_trial *t);
PARE_MUST_USE enum pare_code pare_trial_result_read(const char *text, size_t len, struct pare_trial *out, struct pare_err *err);

/* The loops of a job's sweep. In rung k of n_rungs what is left runs with eta^(k + 1 - n_rungs) of its epochs, and one of eta goes on. */
#define PARE_SWEEP_RUNS_MAX 4096 /* variants x seeds x folds */
#define PARE_SWEEP_ALL_MAX (3 * PARE_SWEEP_RUNS_MAX) /* the same over all rungs, each of which has about half of the one before */
#define PARE_SWEEP_RUNGS_MAX 5
struct pare_sweep_shape {
	int n_variants, n_seeds, n_folds, eta, n_rungs; /* n_folds 0: none; eta 1: no halving */
};
void pare_sweep_shape(const struct pare_job *job, struct pare_sweep_shape *out); /* of a job that has a sweep */
/* How many variants run in a rung; the share of their epochs that they have. */
int pare_sweep_alive(const struct pare_sweep_shape *s, int rung);
double pare_sweep_share(const struct pare_sweep_shape *s, int rung);
/* Runs of all rungs together. */
int pare_sweep_runs(const struct pare_sweep_shape *s);
/* Has the sweep such a run? */
bool pare_sweep_has(const struct pare_sweep_shape *s, const struct pare_trial *t);

/* A job that is one run of its own sweep: its field "trial". False: it is none. */
bool pare_job_trial(const struct pare_job *job, struct pare_trial *out);
/* The canonical text of the job that is run t of this one's sweep. pare_free. */
PARE_MUST_USE enum pare_code pare_job_trial_text(const struct pare_job *job, const struct pare_trial *t, char **out, struct pare_err *err);

#endif
