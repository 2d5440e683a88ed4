/* Training: gradient descent over a net's parameter slab, under a mask.
 *
 * Update order per step, in one pass over the slab: gradient (mean over the batch), clipped -> regularizers' gradients and decays ->
 * optimizer -> proximal steps -> mask. Shards and slices as in core/graph/net.h. Nothing is allocated after the first batch; batches are
 * drawn by (seed, epoch), so the run is a function of its options. */
#ifndef PARE_TRAIN_TRAIN_H
#define PARE_TRAIN_TRAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/env.h"
#include "core/base/err.h"
#include "core/data/data.h"
#include "core/eval/eval.h"
#include "core/eval/fit.h"
#include "core/graph/net.h"
#include "core/prune/prune.h"
#include "core/train/augment.h"
#include "core/train/distill.h"
#include "core/train/regularize.h"
#include "core/train/share.h"
#include "core/train/noise.h"
#include "core/train/rewire.h"

/* Tables by name, rows match the catalog: optimizers (optimizers.c), learning-rate schedules (lr.c), regularizers (regularize.h). */
struct pare_optimizer_args {
	double lr, momentum, beta1, beta2, epsilon, alpha;
	double weight_decay; /* adamw: decoupled, on prunable tensors */
	bool nesterov;
};
struct pare_update { /* one slice of one step */
	const struct pare_optimizer_args *args;
	double lr;       /* of this step, after the schedule */
	int64_t step;    /* 1-based, for bias correction */
	float coef[8];   /* what prepare made of the above */
	float *w;        /* slabs, indexed from begin to end */
	const float *g;
	float *state[2]; /* of the optimizer, zero at the start */
	size_t begin, end;
	bool decays; /* the slice is of prunable tensors: weight_decay applies */
};
struct pare_optimizer {
	const char *name;
	int (*n_state)(const struct pare_optimizer_args *args); /* slabs needed, 0 to 2 */
	void (*prepare)(struct pare_update *u);                 /* once a step: fills coef from args, lr and step */
	void (*update)(const struct pare_update *u);            /* w[begin..end) and its state, element by element */
};
extern const struct pare_optimizer pare_optimizer_table[]; /* ends with name NULL */
const struct pare_optimizer *pare_optimizer_find(const char *name);

struct pare_lr_args { /* parameters of the schedules; each uses its own */
	double gamma;   /* step, exponential */
	int every;      /* step: epochs */
	double floor;   /* cosine: fraction of lr at the end */
	double peak, div, final_div; /* one_cycle: where lr is reached, what it is divided by at the start, and again at the end */
};
struct pare_lr_point { /* position in the run, without the warm-up */
	double epoch;          /* with fraction */
	int64_t step, n_steps; /* step < n_steps */
};
struct pare_lr_schedule {
	const char *name;
	double (*factor)(const struct pare_lr_args *a, const struct pare_lr_point *p); /* on lr */
};
extern const struct pare_lr_schedule pare_lr_table[]; /* ends with name NULL */
const struct pare_lr_schedule *pare_lr_find(const char *name);

#define PARE_MAX_PENALTIES 8

/* What shall be gone at the end of a run: after every update its weights, and no others, take a proximal step of (lambda / 2) w^2, w /= 1 + lr lambda,
 * with lambda rising from 0, evenly over the updates, to that here (GReg: Wang et al. 2021, arXiv:2012.09243). An implicit step is stable for every lr lambda
 * and, unlike a gradient, not scaled away by an optimizer. */
struct pare_fade {
	const uint8_t *marks; /* slab_len: 1 for what fades */
	double lambda;
};

#define PARE_TRAIN_STATES 5
/* A run at the end of an epoch, besides weights and mask: all else that later epochs depend on. Slabs are as long as the net's. */
struct pare_train_state {
	int epoch; /* done so far, at least 1 */
	int n_state;
	const float *state[PARE_TRAIN_STATES]; /* of the optimizer, then, with noise, the measures and what the optimizer knows of them */
	const float *best;     /* keep_best: the weights of the best epoch; NULL: none yet */
	double best_accuracy, best_loss;
	double stop_loss; /* the least validation loss so far, for patience; INFINITY: none yet */
	int since;        /* epochs since then */
};

struct pare_train_report { /* after each epoch */
	int epoch, epochs; /* 1-based */
	double train_loss, validation_loss, validation_accuracy; /* validation NaN when there is no such split; accuracy: pare_metrics_headline */
	double lr, seconds, sparsity;
};

struct pare_train_moment { /* within an epoch */
	int epoch, epochs;           /* 1-based */
	uint32_t step, steps;        /* of the epoch: done, of all */
	double steps_per_second;     /* since the last moment */
};

struct pare_train_options {
	int epochs, batch_size;
	const struct pare_optimizer *optimizer;
	struct pare_optimizer_args optimizer_args;
	const struct pare_lr_schedule *lr_schedule;
	struct pare_lr_args lr_args;
	double warmup; /* epochs in which lr rises from 0 to where the schedule starts */
	const struct pare_fit *fit; /* which fields go where, and the losses; NULL: pare_fit_make without options */
	const struct pare_distill *distill; /* NULL: labels only */
	const struct pare_augment *augment; /* NULL: rows as they are */
	struct pare_penalty penalties[PARE_MAX_PENALTIES];
	int n_penalties;
	const struct pare_sharing *sharing; /* weights that go on as one; NULL: each by itself */
	double clip_norm;    /* > 0: the gradient of all parameters together is scaled down to this length when it is longer (masked weights do not count) */
	double clip_value;   /* > 0: every element of the gradient is clipped to this, after clip_norm */
	const struct pare_fade *fade;     /* NULL: none */
	const struct pare_rewire *rewire; /* its mask is the run's; NULL: the mask stays as it is. Not with keep_best */
	const struct pare_noise *noise;   /* NULL: none. Not with keep_best or rewire, whose weights would be those of other measures */
	float *moved; /* slab_len; -w g of every update is added, g as clipped; masked weights add 0. NULL: not asked for */
	double clip_weights; /* > 0: |w| is clipped to this after the update, on prunable tensors */
	bool freeze_statistics; /* BatchNormalization by its running statistics, which stay as they are, instead of by those of each batch */
	bool as_inferred; /* gradients of the model as it infers: no Dropout, statistics frozen */
	bool keep_best; /* end with the weights of the best validation epoch (accuracy, then loss); nothing without a validation split */
	int patience;   /* > 0: stop after this many epochs without a better validation loss */
	uint64_t seed;  /* with `stage`, names the shuffling streams */
	int stage;      /* how many training runs came before in this job */
	const struct pare_env *env; /* for seconds */
	const atomic_bool *cancel;  /* looked at before every step; true ends the run with PARE_E_CANCELED. May be NULL. */
	/* Returns false to stop: PARE_E_CANCELED. May be NULL. */
	bool (*report)(void *ctx, const struct pare_train_report *r);
	void *report_ctx;
	/* Looks at the figures of the validation rows after every epoch; true ends the run, and that is well. Same ctx. May be NULL. */
	bool (*enough)(void *ctx, const struct pare_metrics *validation);
	/* After report, with what a checkpoint has to hold; borrowed until it returns. Returns false to stop: PARE_E_CANCELED. May be NULL. Same ctx. */
	bool (*keep)(void *ctx, const struct pare_train_state *s);
	const struct pare_train_state *resume; /* go on from there; the net holds the weights of that moment. NULL: begin */
	/* Between steps, at most twice a second when env is given. May be NULL. Same ctx and meaning. */
	bool (*moment)(void *ctx, const struct pare_train_moment *m);
};

/* The learning rate of a step (0-based over the run) of a run with that many steps an epoch. */
double pare_lr_at(const struct pare_train_options *opt, int64_t step, int64_t epoch_steps);

/* Trains in place; the net was made for training and batches of batch_size. mask NULL: nothing is masked. PARE_E_DIVERGED (where: "epoch 3, step 17") as
 * soon as the loss is not finite, or a weight at the end of an epoch; PARE_E_DATASET when there are no rows, or neither labels nor a teacher; PARE_E_CANCELED when cancel, report or keep says so; PARE_E_CHECKPOINT when resume is no state of such a run;
 * the net then holds the weights of that moment. */
PARE_MUST_USE enum pare_code pare_train(struct pare_net *net, const struct pare_dataset *data, const struct pare_train_options *opt, const struct pare_mask *mask, struct pare_err *err);

/* Makes the running statistics of a net (BatchNormalization) those of its present weights: the mean over batches of up to most_rows
 * training rows (0: all). The net holds batches of batch_size. Nothing else changes; a net without such statistics stays as it is. */
PARE_MUST_USE enum pare_code pare_estimate(struct pare_net *net, const struct pare_dataset *data, const struct pare_fit *fit, int batch_size, uint32_t most_rows,
    uint64_t seed, const atomic_bool *cancel, struct pare_err *err);

#endif
