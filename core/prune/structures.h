/* Which structures to remove: a score for each unit of core/prune/groups.h, a choice, and the cut and mask that follow.
 *
 * Structure criteria are rows of a table of their own. Every criterion for weights serves structures, too: a unit's score is then the
 * mean over its weights where the score says how large they are, their sum where it estimates a change of the loss. */
#ifndef PARE_PRUNE_STRUCTURES_H
#define PARE_PRUNE_STRUCTURES_H

#include "core/prune/groups.h"
#include "core/prune/prune.h"

/* Of every slice of the values that weights read, over rows of data (core/train/activations.h): by slice number. */
struct pare_activation_stats {
	double *sum;   /* of |a| */
	double *total, *squares; /* of a, of a^2 */
	double *zeros; /* how many are exactly zero */
	double *count; /* of elements; 0: not looked at */
	double *rank, *maps; /* of channels of 4-dimensional values [N, C, H, W]: ranks of the H x W maps, summed, and how many; NULL unless asked for */
	double *entropy; /* -sum p ln p of the elements in bins (core/train/activations.h); NULL unless asked for */
};

/* What a structure criterion has to know of data. */
enum pare_structure_stat {
	PARE_STRUCTURE_STAT_NONE,
	PARE_STRUCTURE_STAT_ACTIVATIONS,
	PARE_STRUCTURE_STAT_ENTROPY, /* the activations' entropy as well: a second pass */
	PARE_STRUCTURE_STAT_RANK,    /* the activations' ranks as well */
	PARE_STRUCTURE_STAT_ABLATION /* the loss without each unit (core/train/ablate.h) */
};

struct pare_structure_input {
	const struct pare_net *net;
	const struct pare_structures *groups;
	const struct pare_group *group;
	const struct pare_activation_stats *activations; /* where the criterion asks for them */
	const double *ablation;                          /* by unit, likewise: how much the loss rises without it */
	bool centered, weighted;                         /* as in the options */
	uint64_t seed;
	int index; /* of the group */
};
struct pare_structure_criterion {
	const char *name; /* matches the catalog */
	enum pare_structure_stat stat;
	bool relative;    /* scores of two groups compare only after division by their means */
	/* out[group->n]: larger for what should stay; NAN for a unit that the criterion says nothing of, which stays. */
	PARE_MUST_USE enum pare_code (*score)(const struct pare_structure_input *in, float *out, struct pare_err *err);
};
extern const struct pare_structure_criterion pare_structure_criterion_table[]; /* ends with name NULL */
const struct pare_structure_criterion *pare_structure_criterion_find(const char *name);

enum pare_structure_scope {
	PARE_STRUCTURE_GLOBAL,    /* one ranking */
	PARE_STRUCTURE_LAYER,     /* the same share of every group */
	PARE_STRUCTURE_ISOMORPHIC /* one ranking for all groups that are coupled alike (Fang et al. 2024, arXiv:2407.04616) */
};

/* What scores are divided by: what goes with a structure, of what is left. Of negative ones (the loss falls) those that save more go first likewise.
 * Source: Shen et al. 2022, arXiv:2110.10811 (importance against what is saved); Molchanov et al. 2017, arXiv:1611.06440 (section 2.2, by operations). */
enum pare_structure_per { PARE_PER_STRUCTURE, PARE_PER_WEIGHTS, PARE_PER_MACS };

struct pare_structure_ratio {
	const char *layer; /* a pattern as in exclude */
	double sparsity;
};

struct pare_structure_options {
	const struct pare_structure_criterion *criterion; /* or, NULL: */
	const struct pare_criterion *weights;
	const float *stat; /* of the weight criterion, as in struct pare_prune_options */
	const struct pare_activation_stats *activations;
	const double *ablation;
	bool centered; /* mean_activation: the root mean square of what differs from the mean */
	bool weighted; /* mean_activation, entropy: times the norm of the weights that read the unit */
	enum pare_structure_scope scope;
	enum pare_structure_per per; /* not looked at by a threshold */
	bool by_threshold;
	double sparsity;  /* share of the units that is gone afterwards, [0, 1) */
	double threshold; /* score < threshold goes */
	uint64_t seed;
	const char *const *exclude; /* a group one of whose tensors, or the node that reads it, is named stays whole */
	size_t n_exclude;
	const struct pare_structure_ratio *ratios; /* in the place of sparsity for the groups that they name; the first that fits counts */
	size_t n_ratios;
	int64_t min_width; /* each group keeps at least so many indices of its axis, 1 or more */
	int64_t round_to;  /* and a multiple of this, or all; no more than the share goes; 1: any */
};

/* What a round did. */
struct pare_structure_count {
	int64_t n_units, n_gone; /* of the groups that are not excluded */
};

/* Scores all units that are left and removes the lowest until the share asked for is gone: into cut, mask and slab. What is gone stays gone.
 * Less may go than asked where minimum widths, rounding or an axis that would be left empty forbid it. Ties are broken by position.
 * PARE_E_INVALID when there is no unit to remove at all, or the criterion says nothing of any; PARE_E_NONFINITE names a tensor. */
PARE_MUST_USE enum pare_code pare_prune_structures(struct pare_net *net, const struct pare_structures *g, const struct pare_structure_options *opt,
    struct pare_cut *cut, struct pare_mask *mask, struct pare_structure_count *out, struct pare_err *err);
/* Does one of the patterns name a weight of the group, or the node that reads it? */
bool pare_group_is_named(const struct pare_net *net, const struct pare_structures *g, const struct pare_group *gr, const char *const *patterns, size_t n);
/* Units of the groups that are not excluded, and how many are gone. */
void pare_structures_count(const struct pare_net *net, const struct pare_structures *g, const struct pare_structure_options *opt, const struct pare_cut *cut,
    struct pare_structure_count *out);

#endif
