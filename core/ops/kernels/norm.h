/* Normalization of rows, row-major. A row is `segments` runs of `len` elements, n = segments * len in all; run s of row r
 * is scaled by scale[i] and moved by bias[i] with i = (r % cycle) * segments + s. That is
 *
 *   layer     cycle 1, len 1: a scale for each element       instance  a row is a channel's plane, cycle = channels
 *   group     a row is a group of channels, cycle = groups   batch     a row is a channel over the whole batch
 *
 * scale and bias may be NULL for 1 and 0. Sums run in 16 float lanes that are added up in double (elementwise.h). */
#ifndef PARE_KERNELS_NORM_H
#define PARE_KERNELS_NORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pare_norm {
	int64_t rows, cycle, segments, len;
	float epsilon;
	bool by_zero; /* root mean square: x is scaled, not centred; mean is 0 */
};

/* mean[rows] and inv[rows] = 1 / sqrt(variance + epsilon); the variance is divided by n, in two passes. */
void pare_norm_stats(const struct pare_norm *d, const float *x, float *mean, float *inv);
/* y = (x - mean) inv scale + bias */
void pare_norm_forward(const struct pare_norm *d, const float *x, const float *mean, const float *inv, const float *scale, const float *bias, float *y);

struct pare_norm_grads { /* each may be NULL; acc_*: add to what is there */
	float *dx, *dscale, *dbias;
	bool acc_x, acc_scale, acc_bias;
	const float *dmean, *dinv; /* what arrived for the statistics themselves: inputs, one per row */
};
/* dy may be NULL for 0. scratch: 2 n floats */
void pare_norm_backward(const struct pare_norm *d, const float *x, const float *mean, const float *inv, const float *scale, const float *dy,
    const struct pare_norm_grads *g, float *scratch);

/* The same with constant statistics of each of `channels`: x[images, channels, len]. This and the following are for planes that
 * stand one after the other; norm_last.h has the channels last. */
void pare_norm_fixed_forward(int64_t images, int64_t channels, int64_t len, const float *x, const float *mean, const float *inv, const float *scale,
    const float *bias, float *y);
void pare_norm_fixed_backward(int64_t images, int64_t channels, int64_t len, const float *x, const float *mean, const float *inv, const float *scale,
    const float *dy, const struct pare_norm_grads *g);

/* Statistics of a batch, in parts: of x[images, channels, len] by channel, mean and sum of squared deviations from it (0 for no images). */
void pare_norm_part(int64_t images, int64_t channels, int64_t len, const float *x, double *mean, double *m2);
/* Sums by channel of dy and of dy h, with h = (x - mean) inv. */
void pare_norm_part_backward(int64_t images, int64_t channels, int64_t len, const float *x, const float *mean, const float *inv, const float *dy,
    double *sum_dy, double *sum_dyh);
/* dx (+)= scale inv (dy - avg_dy - h avg_dyh) */
void pare_norm_batch_dx(int64_t images, int64_t channels, int64_t len, const float *x, const float *mean, const float *inv, const float *scale,
    const float *dy, const double *avg_dy, const double *avg_dyh, bool acc, float *dx);

/* Local response normalization of x[images, channels, len] over `size` neighbouring channels:
 *   base = bias + alpha / size * sum of x^2 over channels c - (size - 1) / 2 to c + size / 2,   y = x / base^beta */
struct pare_lrn {
	int64_t images, channels, len, size;
	float alpha, beta, bias;
};
void pare_lrn_forward(const struct pare_lrn *d, const float *x, float *base, float *y);
/* dx (+)=; scratch: channels * len floats */
void pare_lrn_backward(const struct pare_lrn *d, const float *x, const float *base, const float *dy, bool acc, float *dx, float *scratch);

#endif
