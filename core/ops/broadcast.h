/* Broadcasting over resolved shapes, shared by the operator families. */
#ifndef PARE_OPS_BROADCAST_H
#define PARE_OPS_BROADCAST_H

#include "core/ops/op.h"

/* A walk over the n elements of y in row-major order that says where in a and b (broadcast to y) each comes from. */
struct pare_broadcast_walk {
	size_t n, a, b; /* number of elements; index into a and b of the present one */
	int n_dims;
	int64_t dim[PARE_MAX_DIMS], at[PARE_MAX_DIMS], stride_a[PARE_MAX_DIMS], stride_b[PARE_MAX_DIMS];
};
void pare_broadcast_start(struct pare_broadcast_walk *w, const struct pare_shape *y, const struct pare_shape *a, const struct pare_shape *b);
void pare_broadcast_next(struct pare_broadcast_walk *w);
/* Takes the innermost axis off the walk, for a loop of its own: its length, and whether a and b advance in it. */
size_t pare_broadcast_take_inner(struct pare_broadcast_walk *w, bool *moves_a, bool *moves_b);

/* y = a op b for the two operators that exist; a and b broadcast to y. */
enum pare_binary { PARE_BINARY_ADD, PARE_BINARY_MUL };
void pare_broadcast_binary(enum pare_binary op, const struct pare_shape *sa, const float *a, const struct pare_shape *sb, const float *b,
    const struct pare_shape *sy, float *y);
/* y = s * a, a broadcast to y */
void pare_broadcast_scaled(const struct pare_shape *sa, const float *a, float s, const struct pare_shape *sy, float *y);
/* dx[x's shape] (+)= s * sum over the axes in which x was broadcast to y of dy * other; other (broadcast to y, too) may be
 * NULL for 1. dx may be dy when x has y's shape. */
void pare_broadcast_reduce(const struct pare_shape *sy, const float *dy, const struct pare_shape *s_other, const float *other, float s,
    const struct pare_shape *sx, bool acc, float *dx);
/* y = f(a, b) of binary.def, a and b broadcast to y. */
struct pare_binary_kernel;
void pare_broadcast_apply(const struct pare_binary_kernel *k, bool whole, const struct pare_shape *sa, const float *a, const struct pare_shape *sb,
    const float *b, const struct pare_shape *sy, float *y);
/* dx (+)= dy df/dx summed over the axes in which x was broadcast; x is a, or b where of_b. */
void pare_broadcast_apply_grad(const struct pare_binary_kernel *k, bool whole, const struct pare_shape *sa, const float *a,
    const struct pare_shape *sb, const float *b, const struct pare_shape *sy, const float *dy, bool of_b, bool acc, float *dx);
/* Adds SAME ties for every axis of input k that is not broadcast in output 0. */
void pare_broadcast_ties(const struct pare_node_view *v, int k, struct pare_ties *t);

#endif
