/* What the operators that only move elements share: movement.c runs any plan of moves, forward and backward. */
#ifndef PARE_OPS_MOVEMENT_H
#define PARE_OPS_MOVEMENT_H

#include "core/ops/op.h"
#include "core/ops/strided.h"

/* First member of the argument struct of every such row; infer sets plan. */
struct pare_movement {
	/* Move i of this node, from input *in to output *out (both 0 on entry); false when there is none. m is zeroed. */
	bool (*plan)(const struct pare_run *r, int i, struct pare_move *m, int *in, int *out);
	bool fills; /* the moves do not reach all of output 0: the rest is this */
	float fill;
};
void pare_movement_forward(const struct pare_run *r);
void pare_movement_backward(const struct pare_run *r);

#define PARE_MAX_PARTS 64 /* of Concat and Split */

/* A constant input as a vector of integers; v NULL when it is left out. */
PARE_MUST_USE enum pare_code pare_known_ints(const struct pare_infer *c, int k, struct pare_ints *out, struct pare_err *err);
/* A constant input as a shape; sizes that are multiples of the batch size are marked. */
PARE_MUST_USE enum pare_code pare_known_shape(const struct pare_infer *c, int k, struct pare_shape *out, struct pare_err *err);
/* axes normalized into out; an error where one is out of range or named twice. */
PARE_MUST_USE enum pare_code pare_axes(const struct pare_infer *c, struct pare_ints axes, int n_dims, int out[PARE_MAX_DIMS], struct pare_err *err);

#endif
