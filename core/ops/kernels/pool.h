/* Pooling of planes (an image's channel), row-major: x[planes, in], y[planes, out]. Sums have one fixed order. */
#ifndef PARE_KERNELS_POOL_H
#define PARE_KERNELS_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/ops/kernels/conv_window.h"

/* The first of the greatest elements of each window (NaN wins); -infinity for a window that is all padding. at: where it
 * stands in its plane, -1 for none; may be NULL. */
void pare_pool_max(const struct pare_window *w, int64_t planes, const float *x, float *y, int32_t *at);
/* dx (+)= dy, where the maxima stood */
void pare_pool_max_grad(const struct pare_window *w, int64_t planes, const int32_t *at, const float *dy, bool acc, float *dx);

/* weight[out]: 1 / the number of elements that a window averages over. With the padding counted, that at the end is
 * pad_end long; what lies beyond never counts. 0 where nothing counts. */
void pare_pool_weights(const struct pare_window *w, bool count_pad, const int64_t pad_end[PARE_WINDOW_AXES], float *weight);
/* y = weight * sum of the window */
void pare_pool_sum(const struct pare_window *w, int64_t planes, const float *x, const float *weight, float *y);
/* dx (+)= weight * dy over each window. scratch: floats for one plane of outputs */
void pare_pool_sum_grad(const struct pare_window *w, int64_t planes, const float *dy, const float *weight, bool acc, float *dx, float *scratch);

#endif
