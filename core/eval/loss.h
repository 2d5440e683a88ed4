/* Losses: one row each (loss.c), found by name; names match the catalog.
 *
 * A label is a class, or a list of targets as long as the output. A loss over classes takes targets too, as probabilities of the
 * classes (soft targets); a loss over numbers takes a class as its one-hot row. What the output holds (logits, probabilities …) says
 * pare_net_output_kind, and the gradient is by that output. */
#ifndef PARE_EVAL_LOSS_H
#define PARE_EVAL_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/graph/net.h"

struct pare_loss;

/* A loss with its parameters; each loss uses its own, and zero is the plain form. */
struct pare_objective {
	const struct pare_loss *loss;
	double smoothing;            /* share of every label that is spread evenly: over all classes, or over yes and no */
	double delta;                /* huber: where squares become straight */
	const double *class_weights; /* of each class, or of each output of binary cross entropy; NULL: 1. Lives elsewhere */
	size_t n_class_weights;      /* those past the end weigh 1 */
};

enum pare_loss_labels { PARE_LABELS_ANY, PARE_LABELS_DISTRIBUTION }; /* distribution: a class, or targets that are probabilities of two classes or more */

struct pare_loss {
	const char *name;
	enum pare_loss_labels labels;
	bool by_weight; /* a mean over classes divides by the weights of the labels, not by their number (as PyTorch's) */
	/* One row of k outputs: class c, or targets t when that is not NULL. grad[k], when not NULL, is overwritten with scale times the gradient. */
	double (*row)(const struct pare_objective *a, enum pare_output_kind kind, const float *o, int64_t k, int32_t c, const float *t, float scale, float *grad);
};
extern const struct pare_loss pare_loss_table[]; /* ends with name NULL */
const struct pare_loss *pare_loss_find(const char *name);
/* The plain form of a loss that exists (asserted). */
struct pare_objective pare_objective(const char *name);

/* Of count rows out[count, k] with classes, or targets [count, k]: the sum, and its gradient times scale (usually 1 / batch size)
 * when grad is not NULL. Losses over k numbers are the mean over them, so their mean over rows is what other tools print. */
double pare_loss_rows(const struct pare_objective *a, enum pare_output_kind kind, const float *out, int64_t count, int64_t k, const int32_t *classes,
    const float *targets, float scale, float *grad);
/* What a mean over these labels divides by; classes below 0 are none. */
double pare_loss_weight(const struct pare_objective *a, const int32_t *classes, int64_t n);

#endif
