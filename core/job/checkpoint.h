/* A checkpoint: the whole state of a running job between two of its steps, as one file.
 *
 * Numbers say where in the recipe it stands and what the report has seen; blocks hold slabs (as long as the net's), masks and cuts. What the job's
 * inputs say is not stored: a checkpoint names them by checksums and fits no others. The file is read as any upload is: every size is checked
 * against the file, every number against its bounds, and the whole against its checksum, before anything is taken from it. */
#ifndef PARE_JOB_CHECKPOINT_H
#define PARE_JOB_CHECKPOINT_H

#include <stdint.h>

#include "core/base/err.h"
#include "core/graph/graph.h"

#define PARE_CHECKPOINT_VERSION 6
#define PARE_CHECKPOINT_RECORD 8 /* doubles: step, round, folds, sparsity, accuracy, loss, low, high */
#define PARE_CHECKPOINT_POINT 16 /* doubles of a model that a search has tried (search_keep.c) */
#define PARE_CHECKPOINT_TRIAL 9 /* doubles of a run of a sweep: variant, rung, repeat, fold, failed, loss, value, sparsity, weights */
#define PARE_CHECKPOINT_HISTORY 5 /* columns: epochs, train loss, loss, accuracy, sparsity */

struct pare_checkpoint_trial {
	double numbers[PARE_CHECKPOINT_TRIAL];
	char error[152]; /* why it failed */
};

#define PARE_CHECKPOINT_STATES 5 /* of a training run: PARE_TRAIN_STATES */
struct pare_checkpoint {
	/* whose it is */
	int64_t job, model, teacher, data; /* CRC-32 of the job's text and of the files by role */
	int64_t threads;
	int64_t program_len;
	/* the place in the recipe: everything before `step` is done; then, if not 0, the fold of that step, the step within the fold, the round of
	 * pruning, whose weights are masked already, and the epochs done of a training run */
	int64_t step, fold, inner, round, epoch, stage;
	double from;                    /* of a pruning step: the share that it began with */
	double units_before, units_step; /* of work */
	int64_t elapsed_ns;
	int64_t slab_len, n_slices;
	int64_t source_len, source_slices, has_source_dense; /* of the net that was factorized; 0: none was, nothing of it was cut, there is no such slab */
	int64_t has_dense, has_before, mask_any, cut_any, has_early, has_moved;
	/* in a fold or a search: what to go back to; in a fold, the figures of the folds so far */
	int64_t aside, has_fold_dense, kept_mask_any, kept_cut_any, kept_stage, has_kept_early, has_kept_moved;
	/* in a search: the models tried so far, and the weights of those that keep theirs */
	int64_t n_points, n_states, states_len, states_slices; /* n_states times slab_len and n_slices */
	/* of a job's sweep: the runs that were made, and whether others are still to come, before which the job has no state */
	int64_t n_trials, in_sweep;
	/* within one run of a sweep: which one; the place is then one of its variant's recipe, and fold is 0 */
	int64_t in_trial, variant, rung, repeat, trial_fold;
	/* in a training run */
	int64_t n_state, has_best, since;
	double best_accuracy, best_loss, stop_loss;
	/* for the report */
	int64_t n_records, history_n, history_stride, history_skipped;
	double history_done;

	/* blocks, borrowed; of those that the numbers do not ask for, NULL */
	const char *program; /* the program's version */
	const float *source, *source_dense; /* source_len */
	const uint8_t *source_cut; /* 1 or 0, source_slices */
	const float *slab, *dense, *kept, *fold_dense, *state[PARE_CHECKPOINT_STATES], *best;
	const float *early, *moved, *kept_early, *kept_moved; /* what training left behind; kept: outside of the fold */
	const uint8_t *mask, *before, *kept_mask; /* 1 or 0, slab_len; before: what a pruning step regrows to */
	const uint8_t *cut, *kept_cut;   /* 1 or 0, n_slices */
	const double *fold_record;       /* PARE_CHECKPOINT_RECORD */
	const double *points;            /* n_points of them */
	const float *states;             /* state after state, as are the next two */
	const uint8_t *state_masks, *state_cuts; /* 1 or 0 */
	const double *records;           /* n_records of them */
	const struct pare_checkpoint_trial *trials; /* n_trials of them */
	const double *history[PARE_CHECKPOINT_HISTORY];
};

/* Writes it to a descriptor, from its present position. PARE_E_IO, PARE_E_STORE_FULL, PARE_E_LIMIT. */
PARE_MUST_USE enum pare_code pare_checkpoint_write(const struct pare_checkpoint *c, int fd, int64_t *out_bytes, struct pare_err *err);
/* Blocks point into the file, which is aligned to 64 bytes (mapped) and outlives them. PARE_E_CHECKPOINT says what is wrong and where. */
PARE_MUST_USE enum pare_code pare_checkpoint_read(struct pare_span file, struct pare_checkpoint *out, struct pare_err *err);

#endif
