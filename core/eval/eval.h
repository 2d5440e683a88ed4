/* What a model is worth: metrics over a split of a data set. */
#ifndef PARE_EVAL_EVAL_H
#define PARE_EVAL_EVAL_H

#include <stdint.h>

#include "core/base/err.h"
#include "core/data/data.h"
#include "core/graph/net.h"

enum pare_loss { PARE_LOSS_CROSS_ENTROPY, PARE_LOSS_MSE };

/* MSE is the mean over a row's k outputs, so its mean over rows is what other tools call MSE.
 * Loss of count rows and, when grad is not NULL, its gradient times scale (usually 1 / batch size) by output 0. Cross entropy takes raw logits,
 * probabilities or log-probabilities as pare_net_output_kind says (for the latter two the gradient is by that output).
 * out: [count, k]. classes for cross entropy (and for MSE on classes: one-hot), targets [count, k] for regression.
 * Returns the sum over rows. */
double pare_loss_rows(enum pare_loss loss, enum pare_output_kind kind, const float *out, int64_t count, int64_t k,
    const int32_t *classes, const float *targets, float scale, float *grad);

#define PARE_CONFUSION_MAX 1000 /* classes; beyond that confusion is NULL: it grows with their square, in memory and in a report */

struct pare_metrics {
	enum pare_task task;
	int64_t n;
	double loss; /* mean over rows */
	/* classification */
	double accuracy, macro_f1;
	int n_classes;      /* the model's outputs, which may be more than the classes of the data */
	int64_t *class_rows, *class_hits; /* n_classes each: rows of the class, and how many of them are right; owned, freed by pare_metrics_done */
	int64_t *confusion; /* [actual][predicted], n_classes each, or NULL; owned */
	int32_t *predicted; /* n class indices in row order; owned */
	/* regression */
	double mse, mae, r2;
};
void pare_metrics_done(struct pare_metrics *m);

/* Runs the split through the net in inference mode, all threads, fixed order. PARE_E_SHAPE when rows do not fit the net's input (both
 * shapes in the message), PARE_E_LABEL when classes exceed outputs (the class and the output width in the message). */
PARE_MUST_USE enum pare_code pare_eval(struct pare_net *net, const struct pare_dataset *d, enum pare_split split,
    enum pare_loss loss, struct pare_metrics *out, struct pare_err *err);
/* The shape and label checks of pare_eval alone: to be done before training. */
PARE_MUST_USE enum pare_code pare_eval_check(const struct pare_net *net, const struct pare_dataset *d, enum pare_loss loss,
    struct pare_err *err);

/* Statistics of a pair of results on the same rows (methods: exact McNemar test; Newcombe 1998 paired interval). */
struct pare_paired {
	int64_t n, only_before, only_after; /* rows that just one of the two models has right */
	double drop;                        /* accuracy before - after */
	double drop_low, drop_high;         /* 95 % interval */
	double mcnemar_p;
	double churn; /* share of rows on which the predictions differ */
};
/* For regression only n is set (and p = 1). */
void pare_eval_paired(const struct pare_dataset *d, enum pare_split split, const struct pare_metrics *before,
    const struct pare_metrics *after, struct pare_paired *out);

#endif
