/* One axis of a separable resampling: every output is a weighted sum of a few inputs along that axis. */
#ifndef PARE_KERNELS_RESAMPLE_H
#define PARE_KERNELS_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

struct pare_resample {
	size_t n_in, n_out, taps;
	const int32_t *at;   /* [n_out, taps]: which input */
	const float *weight; /* [n_out, taps] */
};
/* x[outer, n_in, inner] to y[outer, n_out, inner] */
void pare_k_resample(const struct pare_resample *s, size_t outer, size_t inner, const float *x, float *y);
/* dx[outer, n_in, inner] += its share of dy[outer, n_out, inner] */
void pare_k_resample_grad(const struct pare_resample *s, size_t outer, size_t inner, const float *dy, float *dx);

#endif
