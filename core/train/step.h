/* The two parallel phases of a training step (core/graph/net.h), planned once for a run. */
#ifndef PARE_TRAIN_STEP_H
#define PARE_TRAIN_STEP_H

#include "core/base/mem.h"
#include "core/eval/fit.h"
#include "core/train/prefetch.h"
#include "core/train/train.h"

struct pare_segment { /* a piece of the slab inside one thread's slice, of one parameter */
	int param;
	size_t begin, end;
	bool prunable; /* penalties, weight decay and clip_weights apply */
};

struct pare_worker { /* one thread: its shard of a batch, its slice of the slab */
	_Alignas(PARE_ALIGN) double loss[PARE_DATA_FIELDS]; /* by output of the fit: of the shard's labels in this step, summed */
	double label_weight[PARE_DATA_FIELDS]; /* of its labels, where classes are weighted */
	void *labels[PARE_DATA_FIELDS]; /* int32_t classes or float targets of the shard's rows */
	float *scratch;                 /* of pare_augment_rows, pare_fit_loss, pare_distill_shard, one after the other */
	double distill;                 /* loss of the shard's rows against the teacher, summed */
	double squares;                   /* of the slice's gradient, summed, when it is clipped by norm */
	struct pare_segment *segments;
	int n_segments;
};

struct pare_run {
	struct pare_net *net;
	const struct pare_dataset *data;
	const struct pare_train_options *opt;
	const struct pare_mask *mask;   /* NULL when nothing is masked */
	const struct pare_fit *fit;
	int n_threads;
	struct pare_worker *workers;
	void *memory; /* what the workers point into */
	float *state[2];
	float *rewire_scratch; /* NULL unless weights are exchanged */
	struct pare_noise_run *noise; /* NULL: none */

	uint32_t n_rows, n_steps; /* of an epoch */
	uint32_t *order;          /* the rows of the training split in this epoch's order */
	uint32_t *scratch;        /* as many, for shuffling; afterwards the numbers 0, 1, 2 … of a batch that was read ahead */
	struct pare_prefetch *prefetch; /* NULL unless the data stream */
	int epoch;                /* 0-based, of the epoch under way */
	double epoch_loss;        /* weighted sum over outputs of the mean over labels */
	uint32_t failed_step;     /* 1-based within the epoch; 0: the loss has been finite */
	bool canceled;            /* the epoch was not finished */
	bool no_memory;           /* likewise */

	/* of the step under way, read by all threads */
	int64_t step;           /* 0-based over the run */
	const uint32_t *batch;  /* its rows */
	uint64_t augment_seed;  /* of the epoch */
	const struct pare_dataset *source; /* where its values are, and as which rows: the data set, or a copy that was read ahead */
	const uint32_t *source_rows;
	uint32_t n_batch;
	int64_t n_labels[PARE_DATA_FIELDS]; /* of the batch, by output of the fit */
	struct pare_update update; /* prepared; begin, end and decays are each thread's own */
	float grad_scale;          /* of clip_norm */
	float noise_scale;         /* of its complexity */
	float fade;                /* what fading weights are multiplied by */
	double share;              /* of weights that this step exchanges instead of an update; 0: none */
};

/* Plans and allocates all that steps need. The run's net, data, opt, fit, mask are set by the caller, the rest is zero. */
PARE_MUST_USE enum pare_code pare_run_init(struct pare_run *run, struct pare_err *err);
void pare_run_done(struct pare_run *run);
/* One pass over the rows in run->order on all threads, or less: see failed_step and canceled. Allocates nothing. */
void pare_run_epoch(struct pare_run *run);

#endif
