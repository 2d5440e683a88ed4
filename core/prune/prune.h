/* Pruning: what to remove (criteria), how much when (schedules), and that it stays removed (masks).
 *
 * A mask covers the whole parameter slab of a net: keep[i] is 1 or 0 per float. Only prunable tensors have zeros in it. The
 * training loop applies it after every update, so a pruned weight is exactly 0 (never -0, never a denormal) through
 * momentum, weight decay and Adam, until a schedule gives it back.
 *
 * What is pruned is a set of tensors (struct pare_tensors): those of a net, or those that stand in a model's files (stored.h). */
#ifndef PARE_PRUNE_PRUNE_H
#define PARE_PRUNE_PRUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/graph/net.h"

struct pare_mask {
	size_t len;    /* = pare_net_slab_len */
	uint8_t *keep; /* 1 or 0 */
	bool any;      /* false: nothing is pruned, loops may skip the mask */
};
PARE_MUST_USE enum pare_code pare_mask_init(struct pare_mask *m, const struct pare_net *net, struct pare_err *err); /* all ones */
void pare_mask_done(struct pare_mask *m);
/* slab[i] = keep[i] ? slab[i] : 0 over [begin, end). */
void pare_mask_apply(const struct pare_mask *m, float *slab, size_t begin, size_t end);
/* The same of n floats that are masked as keep says. */
void pare_mask_select(const uint8_t *restrict keep, float *restrict w, size_t n);

/* A set of tensors, wherever their weights are. Offsets of info are places in one row of numbers that has len of them: scores and masks
 * use it. first is a multiple of PARE_SCORE_BLOCK. */
struct pare_tensors {
	int n;
	size_t len;
	bool any; /* something is masked */
	const struct pare_param_info *(*info)(const struct pare_tensors *t, int p);
	/* Weights [first, first + n) of tensor p, masked ones 0, and which are kept (1 or 0): in room, or where they live. */
	const float *(*weights)(const struct pare_tensors *t, int p, size_t first, size_t n, float *room);
	const uint8_t *(*keep)(const struct pare_tensors *t, int p, size_t first, size_t n, uint8_t *room);
	/* From now on these are kept; the others are 0. */
	void (*mask)(struct pare_tensors *t, int p, size_t first, size_t n, const uint8_t *keep);
	/* fn(ctx, i) for i in [0, n_threads), all at once; blocks are then asked for, and masked, at the same time. NULL: one after the other. */
	void (*parallel)(struct pare_tensors *t, void (*fn)(void *ctx, int i), void *ctx);
	int n_threads;
};

enum pare_scope {
	PARE_SCOPE_GLOBAL, /* one ranking */
	PARE_SCOPE_LAYER,  /* the same share of every tensor */
	PARE_SCOPE_ERK     /* a share of each by its size (allocate.h: pare_erk), together the sparsity asked for; not with a threshold or patterns */
};

/* What goes together (pattern.c). A tensor is seen as outputs x inputs x rest (the taps of a kernel): the axis of output channels, the
 * first other axis, and what is left. */
enum pare_unit {
	PARE_UNIT_WEIGHT,  /* single weights */
	PARE_UNIT_PATTERN, /* N:M: of every M consecutive inputs of an output the M - N lowest scores go */
	PARE_UNIT_BLOCK    /* blocks of outputs x inputs, ranked by their mean score */
};

/* What a criterion has to know besides the weights, as one number per weight (slab layout): who calls pare_prune finds it out on
 * training rows first (core/train/observe.h, core/train/calibrate.h). */
enum pare_stat {
	PARE_STAT_NONE,
	PARE_STAT_GRAD,        /* mean over batches of the loss's gradient g */
	PARE_STAT_GRAD_ABS,    /* of |g| */
	PARE_STAT_GRAD_SQUARE, /* of g^2: the diagonal of the empirical Fisher matrix */
	PARE_STAT_INPUT_NORM,  /* root mean square of the input that the weight multiplies */
	PARE_STAT_INVERSE,     /* its place on the diagonal of the inverse of the layer's damped second moments */
	PARE_STAT_CURVATURE,   /* an estimate of its place on the diagonal of the loss's Hessian matrix */
	PARE_STAT_MOVED,       /* -sum w g over the updates of training so far (moved of struct pare_train_options); not for pare_observe */
	PARE_N_STATS
};

/* One row per criterion (criteria.c); names match the catalog. A score is larger for what should stay; scores are
 * comparable across tensors where the criterion says so. */
#define PARE_SCORE_BLOCK ((size_t)4096)
struct pare_score_input {
	const struct pare_param_info *param;
	const float *w;    /* n, from element first on */
	const float *stat; /* param->n_elems, where the criterion has one */
	uint64_t seed;
	int param_index;
	size_t first, n; /* which elements: first is a multiple of PARE_SCORE_BLOCK, n at most that */
};
struct pare_criterion {
	const char *name;
	enum pare_stat stat;
	bool thresholds; /* a threshold on the score means something to a user (|w| < t); random has none */
	bool size;       /* the score is |w|, and need not be written down to be compared */
	void (*score)(const struct pare_score_input *in, float *out); /* out[n] */
	/* Instead of score, where a weight's score depends on its whole tensor: out[param->n_elems] at once, first is 0. Such scores are kept while the round runs, four bytes a weight. */
	PARE_MUST_USE enum pare_code (*score_tensor)(const struct pare_score_input *in, float *out, struct pare_err *err);
};
extern const struct pare_criterion pare_criterion_table[]; /* ends with name NULL */
const struct pare_criterion *pare_criterion_find(const char *name);

struct pare_prune_options {
	const struct pare_criterion *criterion;
	enum pare_scope scope;
	const float *stat; /* pare_net_slab_len, of criterion->stat; NULL when it has none */
	bool by_threshold;
	double sparsity;  /* fraction of the prunable weights that shall be zero afterwards, [0, 1) */
	const double *by_layer; /* of each tensor of the net, in the place of sparsity and scope; NULL: none */
	double threshold; /* score < threshold goes */
	uint64_t seed;
	const char *const *exclude; /* initializer or node names that stay whole: exact, or with one trailing * */
	size_t n_exclude;
	enum pare_unit unit;
	int pattern_keep, pattern_of; /* N and M: 1 <= N <= M <= PARE_PATTERN_MAX; sparsity, threshold and scope do not count */
	int64_t block[2];             /* outputs, inputs; each at least 1. Blocks at the edge are smaller and count as one */
};
#define PARE_PATTERN_MAX 64
/* Is the tensor prunable and not excluded? */
bool pare_prune_is_target(const struct pare_prune_options *opt, const struct pare_param_info *info);

/* Does opt->exclude name the tensor, or the node that it belongs to? */
bool pare_prune_is_excluded(const struct pare_prune_options *opt, const struct pare_param_info *info);
/* Recomputes the mask from the net's present weights and applies it to the slab. N counts the prunable weights that are not
 * excluded: of all tensors together (global) or of each (layer). Exactly round(sparsity * N) of them are masked afterwards, or
 * as many as were before if that is more: a weight that is already masked is not brought back (its score counts as lowest).
 * Ties are broken by position, the first in the slab goes first, so the result does not depend on the thread count. A layer may end up empty.
 * Takes half a megabyte of memory, whatever the size of the model (more for criteria with score_tensor, for patterns and blocks).
 * Blocks: the same of blocks. N:M: exactly N of each M stay (of a last, shorter run of inputs the same share, rounded up).
 * PARE_E_INVALID: sparsity outside [0, 1), a threshold that is not finite or that the criterion does not have, or nothing
 * left to prune; PARE_E_NONFINITE names a tensor with NaN or infinity; the mask is unchanged after an error. */
PARE_MUST_USE enum pare_code pare_prune(struct pare_net *net, const struct pare_prune_options *opt, struct pare_mask *mask, struct pare_err *err);
/* The same of any set of tensors. */
PARE_MUST_USE enum pare_code pare_prune_tensors(struct pare_tensors *t, const struct pare_prune_options *opt, struct pare_err *err);

/* The k-th smallest of n finite scores (0-based), by a two-pass radix histogram over the float bits: O(n), no copy,
 * 512 KiB of stack. Public for the test. */
float pare_select_kth(const float *scores, size_t n, size_t k);

/* Sparsity after round i of n (1-based), from s0 to s1, by schedule name (schedules.c): one_shot, linear, cubic
 * (Zhu and Gupta 2017: s1 + (s0 - s1)(1 - i/n)^3), exponential. */
struct pare_sparsity_schedule {
	const char *name;
	double (*at)(double s0, double s1, int i, int n);
};
extern const struct pare_sparsity_schedule pare_schedule_table[];
const struct pare_sparsity_schedule *pare_schedule_find(const char *name);

struct pare_sparsity_count {
	int64_t n_weights, n_zero; /* of prunable tensors */
};
void pare_prune_count(const struct pare_net *net, struct pare_sparsity_count *out);

#endif
