/* Between groups.c, which joins slices, and units.c, which makes units and groups of the classes. */
#ifndef PARE_PRUNE_GROUPS_PRIV_H
#define PARE_PRUNE_GROUPS_PRIV_H

#include "core/graph/net_view.h"
#include "core/ops/op.h"
#include "core/prune/groups.h"

enum pare_pin { PARE_PIN_NONE, PARE_PIN_INPUT, PARE_PIN_OUTPUT, PARE_PIN_CARRIED, PARE_PIN_MIX, PARE_PIN_OPAQUE, PARE_PIN_ADDS, PARE_PIN_CHOICE, PARE_PIN_WHOLE };

/* One way to read a flat axis; those of one step and one_of stand together. */
struct pare_fold {
	int32_t step;
	struct pare_tie tie;
	size_t first;  /* the first way to read the same axis */
	size_t next[2]; /* the next that reads the same axis of several, or the same flat one: 2 * fold + flat + 1; 0: none */
	bool settled;
	bool changed;  /* of the first: what could go of its axes has changed since they were looked at */
};

/* A class while ways are tried. */
struct pare_trial {
	uint32_t parent; /* a root of the joiner's: the class that it would go with */
	uint32_t n;
	bool pinned;
};

struct pare_joiner {
	const struct pare_net *net;
	const struct pare_slices *slices;
	const atomic_bool *cancel; /* looked at between steps; may be NULL */
	bool *open; /* by value: what pare_net_find_open says */
	uint8_t *open_axes; /* likewise */
	float *masked; /* what pare_masked_values says */
	uint32_t *parent;
	/* of roots: */
	uint8_t *why;    /* enum pare_pin */
	int32_t *by;     /* step of MIX, OPAQUE, ADDS and CHOICE, value of INPUT and OUTPUT */
	uint8_t *chosen; /* by granularity */
	struct pare_fold *folds;
	size_t n_folds, max_folds;
	/* While folds are settled: */
	uint32_t *next;     /* by slice: the others of its class, in a ring; NULL before */
	size_t *fold_of;    /* by axis of slices: the first that reads it, as in next of folds */
	struct pare_trial *trial; /* by root, while ways are tried */
	size_t n_changed, low; /* first folds that have changed, and where the foremost of them may be */
};

PARE_MUST_USE enum pare_code pare_slices_init(struct pare_slices *s, const struct pare_net *net, const struct pare_graph *g, struct pare_err *err);
void pare_slices_done(struct pare_slices *s);
/* Of j only cancel is read. Fills it even when it fails (pare_joiner_done). */
PARE_MUST_USE enum pare_code pare_join(struct pare_joiner *j, const struct pare_net *net, const struct pare_graph *g, const struct pare_slices *slices,
    enum pare_granularity granularity, struct pare_err *err);
void pare_joiner_done(struct pare_joiner *j);
/* masked[value * PARE_MAX_DIMS + axis]: what is at an index of that axis once all weights of its class are zero; NAN: not one number (core/prune/masked.c). */
PARE_MUST_USE enum pare_code pare_masked_values(const struct pare_net *net, const struct pare_graph *g, const atomic_bool *cancel, float *masked, struct pare_err *err);
uint32_t pare_ties_find(struct pare_joiner *j, uint32_t a);

#endif
