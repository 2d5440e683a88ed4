/* Metrics from outputs, apart from the net that made them, so that they can be tested against hand-made numbers. */
#ifndef PARE_EVAL_EVAL_PRIV_H
#define PARE_EVAL_EVAL_PRIV_H

#include <stdint.h>

#include "core/eval/eval.h"
#include "core/eval/fit.h"

struct eval_sums {
	float middle; /* multilabel: what an output must exceed to say yes: a probability 0.5, a logit 0 */
	struct pare_fit_output o;
	int64_t n, n_labels; /* rows and labels so far */
	double loss_sum, squares, absolutes;
	/* all but regression */
	int64_t correct;
	int64_t *hits, *actual, *guessed; /* by class, or by label */
	int64_t *confusion;               /* NULL beyond PARE_CONFUSION_MAX classes */
	int32_t *predicted;               /* of classification */
	/* regression, by target: residual squares, running mean and squares about it (Welford) */
	double *residual, *mean, *about;
	float *scratch;
};

/* Zero, ready for n_rows rows. */
PARE_MUST_USE enum pare_code eval_sums_init(struct eval_sums *s, const struct pare_fit_output *o, int64_t n_rows, struct pare_err *err);
/* out: rows of the output; their classes, or targets. In row order. */
void eval_sums_add(struct eval_sums *s, const float *out, int64_t count, const int32_t *classes, const float *targets);
/* Hands over what the metrics own. */
void eval_sums_finish(struct eval_sums *s, struct pare_metrics *m);
void eval_sums_done(struct eval_sums *s);

/* Two-sided exact McNemar test of b against c discordant rows. */
double eval_mcnemar(int64_t b, int64_t c);
/* 95 % interval of p_before - p_after for a paired 2 x 2 table: both right, only before, only after, both wrong. */
void eval_newcombe(int64_t both, int64_t only_before, int64_t only_after, int64_t neither, double *low, double *high);

#endif
