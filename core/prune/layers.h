/* Layers that can be left out: the branch y = f(x) of a residual x + f(x) or of a concatenation [x, f(x)], where nothing else reads what
 * happens in f, and f ends in something that is zero when its parameters are. Without f the sum is x, and its readers can read x itself; the
 * concatenation is narrower, and those who read it have no weights for y.
 *
 * Source: Huang et al. 2016, arXiv:1603.09382 (nets bear the loss of whole branches); Elkerdawy et al. 2020, arXiv:2007.02491 (criteria for layers). */
#ifndef PARE_PRUNE_LAYERS_H
#define PARE_PRUNE_LAYERS_H

#include "core/prune/groups.h"

struct pare_branch {
	int32_t end;          /* value: what the branch makes */
	int32_t sum, kept;    /* values: the sum, and the one that takes its place; -1: all who read end are Concats, which do without it */
	int axis;             /* along which these join */
	const int32_t *nodes; /* of the branch, and the Add, ascending */
	const int *params;   /* of which the branch alone makes use, ascending */
	int n_nodes, n_params;
};
struct pare_branches {
	struct pare_branch *list; /* in the order of the graph */
	int n;
};
/* Everything is in the arena, which must be initialised. PARE_E_CANCELED soon after cancel is set (NULL: never). */
PARE_MUST_USE enum pare_code pare_branches_find(const struct pare_net *net, struct pare_arena *arena, const atomic_bool *cancel, struct pare_branches *out, struct pare_err *err);
/* Is every index of the branch's parameters gone? */
bool pare_branch_gone(const struct pare_branch *b, const struct pare_net *net, const struct pare_cut *cut);

#endif
