/* Structures: what can be taken out of a net as a whole, with everything that is coupled to it.
 *
 * A slice is one index of one axis of one tensor: output channel 3 of conv1's weight, channel 3 of its output, input channel 3
 * of the next weight. The operators' ties (core/ops/op.h) say which slices must go together; a unit is one class of that
 * equivalence, and removing it leaves a graph whose shapes fit. Units that touch the same axes are a group: the channels of a
 * layer, the heads of an attention block, the hidden units of a recurrent layer.
 *
 * What cannot change (the graph's own inputs and outputs, axes over which a softmax or a layer norm runs) pins every slice
 * that is coupled to it, and is kept with the reason. Everything here is a function of the plan, not of the weights. */
#ifndef PARE_PRUNE_GROUPS_H
#define PARE_PRUNE_GROUPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/graph/net.h"

/* Numbers for all slices of all tensors that execution refers to; axes that hold the batch have none. */
#define PARE_NO_SLICE UINT32_MAX
struct pare_slices {
	int32_t n_values;
	uint32_t *base; /* [value * PARE_MAX_DIMS + axis]: the number of index 0, or PARE_NO_SLICE */
	uint32_t *len;
	uint32_t *order; /* the axes that have slices, by base */
	uint32_t n, n_axes;
};

/* Where an axis folds several that could each lose indices (the flat [heads * width] of an attention block), one has to be
 * chosen: channel takes the innermost (every head gets narrower), head the outermost (whole heads go). With head, only units
 * of such a choice are offered, and of axes along which computed values are multiplied apart. layer: the branches of core/prune/layers.h, each a unit and a group: every index of every parameter of its
 * own, and outside of it what is coupled to that which it gives to concatenations. */
enum pare_granularity { PARE_GRANULARITY_CHANNEL, PARE_GRANULARITY_HEAD, PARE_GRANULARITY_LAYER, PARE_N_GRANULARITIES };

struct pare_structure {
	uint32_t first, n; /* of groups->member, ascending; of a layer its own first */
};
struct pare_group {
	const char *name; /* of its first weight */
	int param, axis;  /* that weight, and which axis of it */
	int first, n;     /* units */
	int64_t width;    /* indices of that axis that the units hold together */
	uint64_t kind;    /* the same for groups that are coupled by the same operators in the same way */
};
/* A weight's axis of which some indices cannot go. */
struct pare_pinned {
	int param, axis;
	int64_t n; /* indices */
	const char *why;
};

struct pare_structures {
	struct pare_slices slices;
	uint32_t *member; /* slices of all units, unit after unit */
	struct pare_structure *units;
	struct pare_group *groups;
	struct pare_pinned *pinned;
	int n_units, n_groups, n_pinned;
	bool whole; /* units are whole tensors: cutting them leaves axes without any index */
	int *within; /* of whole ones, by unit: the next larger that takes it along, -1; NULL else */
	struct pare_arena arena;
};

/* The net must outlive the groups. PARE_E_LIMIT for nets of more than 2^27 slices; PARE_E_CANCELED soon after cancel is set (NULL: never). */
PARE_MUST_USE enum pare_code pare_structures_new(const struct pare_net *net, enum pare_granularity granularity, const atomic_bool *cancel, struct pare_structures **out,
    struct pare_err *err);
void pare_structures_free(struct pare_structures *g);

/* Which value and axis a slice belongs to; returns its index there. */
int64_t pare_slice_find(const struct pare_slices *s, uint32_t slice, int32_t *value, int *axis);
/* Does a parameter count as a weight of structures? What is prunable does, and any other matrix, such as one that is
 * transposed before it is multiplied with; biases, scales and running statistics do not. */
bool pare_structure_weight(const struct pare_net *net, int param);
/* The parameters of a unit, as runs of n floats at `at` of the slab; slice by slice, in order. Where a unit has slices of two
 * axes of one tensor, these meet: what is common is met twice. */
struct pare_unit_run {
	int param, axis;
	size_t at, n;
	bool starts; /* the first run of a slice */
};
void pare_unit_walk(const struct pare_structures *g, const struct pare_net *net, int unit, void (*visit)(void *ctx, const struct pare_unit_run *r), void *ctx);

/* What has been removed so far, by slice; starts empty. Valid for the groups of every granularity of the same net. */
struct pare_cut {
	struct pare_slices slices;
	uint8_t *gone;  /* 1 or 0 */
	uint32_t *left; /* by axis, as slices.base */
	bool *whole;    /* likewise: of a parameter, which may go as a whole, with its layer */
	bool any;
};
PARE_MUST_USE enum pare_code pare_cut_init(struct pare_cut *c, const struct pare_net *net, struct pare_err *err);
void pare_cut_done(struct pare_cut *c);
void pare_cut_clear(struct pare_cut *c);
void pare_cut_copy(struct pare_cut *to, const struct pare_cut *from); /* both of the same net */
/* Makes it what another cut of the same net was, given its gone[slices.n]; false, and it is clear, if an axis that is no parameter's would be left without any index. */
PARE_MUST_USE bool pare_cut_set(struct pare_cut *c, const uint8_t *gone);
/* False, and nothing is done, if an axis would be left without any index, unless units are whole tensors and it is a parameter's. */
bool pare_cut_unit(struct pare_cut *c, const struct pare_structures *g, int unit);
/* Is all of it gone already? */
bool pare_cut_has(const struct pare_cut *c, const struct pare_structures *g, int unit);
/* By index along the axis; NULL: nothing of it is gone. */
const uint8_t *pare_cut_axis(const struct pare_cut *c, int32_t value, int axis);

#endif
