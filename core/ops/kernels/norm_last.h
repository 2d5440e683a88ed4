/* Normalization by channel where the channels stand last, x[rows, channels], together with what follows it element by
 * element:
 *
 *   y = clamp((x - mean) inv scale + bias + add)
 *
 * and its gradient. Sums have one fixed order. */
#ifndef PARE_KERNELS_NORM_LAST_H
#define PARE_KERNELS_NORM_LAST_H

#include <stdbool.h>
#include <stdint.h>

struct pare_norm_last {
	int64_t rows, channels;
	const float *mean, *inv, *scale, *bias; /* of each channel */
	bool clamp;
	float lo, hi;
};

/* Of x by channel: mean, and the sum of squared deviations from it; 0 without rows. */
void pare_norm_last_part(int64_t rows, int64_t channels, const float *x, double *mean, double *m2);
/* add NULL: 0. y may be x. */
void pare_norm_last_forward(const struct pare_norm_last *d, const float *x, const float *add, float *y);

/* The gradient of y: 0 where the clamp held. With h = (x - mean) inv: sums by channel of g and of g h. */
void pare_norm_last_sums(const struct pare_norm_last *d, const float *x, const float *y, const float *dy, double *sum_g, double *sum_gh);
struct pare_norm_last_grads {
	const double *avg_g, *avg_gh; /* NULL: mean and inv are constants */
	float *dx, *dadd;             /* NULL: not wanted; dadd (+)= g */
	bool acc_x, acc_add;
};
/* dx (+)= scale inv (g - avg_g - h avg_gh) */
void pare_norm_last_backward(const struct pare_norm_last *d, const float *x, const float *y, const float *dy, const struct pare_norm_last_grads *to);

#endif
