/* Pruning: what to remove (criteria), how much when (schedules), and that it stays removed (masks).
 *
 * A mask covers the whole parameter slab of a net: keep[i] is 1 or 0 per float. Only prunable tensors have zeros in it. The
 * training loop multiplies by it after every update, so a pruned weight is exactly 0 (never -0, never a denormal) through
 * momentum, weight decay and Adam, until a schedule gives it back. */
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

enum pare_scope { PARE_SCOPE_GLOBAL, PARE_SCOPE_LAYER };

/* One row per criterion (criteria.c); names match the catalog. A score is larger for what should stay; scores are
 * comparable across tensors where the criterion says so. */
struct pare_score_input {
	const struct pare_net *net;
	const struct pare_param_info *param;
	const float *weights; /* param->n_elems */
	uint64_t seed;
	int param_index;
};
struct pare_criterion {
	const char *name;
	bool thresholds; /* a threshold on the score means something to a user (|w| < t); random has none */
	void (*score)(const struct pare_score_input *in, float *out);
};
extern const struct pare_criterion pare_criterion_table[]; /* ends with name NULL */
const struct pare_criterion *pare_criterion_find(const char *name);

struct pare_prune_options {
	const struct pare_criterion *criterion;
	enum pare_scope scope;
	bool by_threshold;
	double sparsity;  /* fraction of the prunable weights that shall be zero afterwards, [0, 1) */
	double threshold; /* score < threshold goes */
	uint64_t seed;
	const char *const *exclude; /* initializer or node names that stay whole: exact, or with one trailing * */
	size_t n_exclude;
};

/* Recomputes the mask from the net's present weights and applies it to the slab. A weight that is already masked is not brought back (its score counts as lowest). Exactly
 * round(sparsity * N) weights go (per scope: of all, or of each tensor), ties broken by position, so the result does not depend on the
 * thread count. */
PARE_MUST_USE enum pare_code pare_prune(struct pare_net *net, const struct pare_prune_options *opt, struct pare_mask *mask, struct pare_err *err);

/* The k-th smallest of n finite scores (0-based), by a two-pass radix histogram over the float bits: O(n), no copy. Public for the test and the bench. */
float pare_select_kth(const float *scores, size_t n, size_t k);

/* Sparsity after round i of n (1-based), from s0 to s1, by schedule name (schedules.c): one_shot, linear, cubic
 * (Zhu and Gupta 2017: s1 + (s0 - s1)(1 - i/n)^3). */
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
