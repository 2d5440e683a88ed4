/* Pooling with the channels last: x[images, positions in, channels] to y[images, positions out, channels]. The same results
 * as kernels/pool.h; `at` holds the window position (not the place) of each maximum, as a float, -1 for a window without any. */
#ifndef PARE_KERNELS_POOL_LAST_H
#define PARE_KERNELS_POOL_LAST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ops/kernels/conv_window.h"

/* at NULL: not wanted */
void pare_pool_last_max(const struct pare_window *w, int64_t images, int64_t channels, const float *x, float *y, float *at);
void pare_pool_last_max_grad(const struct pare_window *w, int64_t images, int64_t channels, float *at, const float *dy, bool acc, float *dx);
/* y = weight of the position times the sum over the window */
void pare_pool_last_sum(const struct pare_window *w, int64_t images, int64_t channels, const float *x, const float *weight, float *y);
void pare_pool_last_sum_grad(const struct pare_window *w, int64_t images, int64_t channels, const float *dy, const float *weight, bool acc, float *dx);

#endif
