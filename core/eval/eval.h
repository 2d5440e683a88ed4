/* What a model is worth: metrics over a split of a data set. */
#ifndef PARE_EVAL_EVAL_H
#define PARE_EVAL_EVAL_H

#include <stdint.h>

#include "core/base/err.h"
#include "core/data/data.h"
#include "core/graph/net.h"

#define PARE_CONFUSION_MAX 1000 /* classes; beyond that confusion is NULL: it grows with their square, in memory and in a report */

/* Figures of one output against its labels; those of further outputs hang on the first. */
struct pare_metrics {
	enum pare_task task;
	const char *output;   /* its name, which lives as long as the model */
	int64_t n, n_labels;  /* rows; labels: positions that have one (sequence), else n */
	double loss;          /* mean over labels; of the first output: the weighted sum over all outputs */
	double own_loss;      /* of this output alone */
	/* all but regression: share of labels that are right; of multilabel: of rows with every label right */
	double accuracy, macro_f1;
	double micro_f1;      /* multilabel; of the others it would be the accuracy */
	double mean_iou;      /* sequence: intersection over union, mean over the classes that occur in either */
	int n_classes;        /* the model's outputs, which may be more than the classes of the data; multilabel: labels */
	/* n_classes each: labels of the class, how many of them are right, how often it was predicted; owned */
	int64_t *class_rows, *class_hits, *class_guesses;
	int64_t *confusion;   /* [actual][predicted], n_classes each, or NULL; owned */
	int32_t *predicted;   /* classify: n class indices in row order, else NULL; owned */
	/* regression */
	double mse, mae, r2;
	int n_others;
	struct pare_metrics *others; /* owned */
};
void pare_metrics_done(struct pare_metrics *m);
/* The one figure that stands for the others: accuracy, of multilabel micro F1, of regression R2. */
double pare_metrics_headline(const struct pare_metrics *m);
const char *pare_metrics_headline_name(enum pare_task task);
/* F1 and intersection over union of class c; NAN when it occurs in neither. */
double pare_metrics_f1(const struct pare_metrics *m, int c);
double pare_metrics_iou(const struct pare_metrics *m, int c);

struct pare_fit; /* core/eval/fit.h */
/* Runs the split through the net in inference mode, all threads, fixed order. fit NULL: pare_fit_make without options. PARE_E_DATASET when the data have no labels. */
PARE_MUST_USE enum pare_code pare_eval(struct pare_net *net, const struct pare_dataset *d, enum pare_split split,
    const struct pare_fit *fit, struct pare_metrics *out, struct pare_err *err);

/* Statistics of a pair of results on the same rows (methods: exact McNemar test; Newcombe 1998 paired interval). */
struct pare_paired {
	int64_t n, only_before, only_after; /* rows that just one of the two models has right */
	double drop;                        /* accuracy before - after */
	double drop_low, drop_high;         /* 95 % interval */
	double mcnemar_p;
	double churn; /* share of rows on which the predictions differ */
};
/* Of the first output, whose labels are field y; but for classification only n is set (and p = 1). */
void pare_eval_paired(const struct pare_dataset *d, int y, enum pare_split split, const struct pare_metrics *before,
    const struct pare_metrics *after, struct pare_paired *out);

#endif
