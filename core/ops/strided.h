/* Moving elements between two arrays that are walked with a stride per axis. */
#ifndef PARE_OPS_STRIDED_H
#define PARE_OPS_STRIDED_H

#include "core/graph/shape.h"

#define PARE_MOVE_DIMS (2 * PARE_MAX_DIMS)

/* dst[dst_at + sum i_k dst_k] = src[src_at + sum i_k src_k] for all i_k in [0, dim_k). Strides may be 0 or negative. */
struct pare_move {
	int n;
	int64_t dim[PARE_MOVE_DIMS], src[PARE_MOVE_DIMS], dst[PARE_MOVE_DIMS];
	int64_t src_at, dst_at;
};
void pare_move_axis(struct pare_move *m, int64_t dim, int64_t src, int64_t dst);
/* add: to what stands in dst, once for every i (so that dst strides of 0 sum up). src and dst do not overlap. */
void pare_move_run(const struct pare_move *m, const float *src, float *dst, bool add);
/* The same the other way round. */
struct pare_move pare_move_turned(const struct pare_move *m);
/* Row-major strides of a resolved shape. */
void pare_strides(const struct pare_shape *s, int64_t stride[PARE_MAX_DIMS]);

#endif
