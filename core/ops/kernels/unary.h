/* The loops of unary.def by operator name. */
#ifndef PARE_KERNELS_UNARY_H
#define PARE_KERNELS_UNARY_H

#include <stdbool.h>
#include <stddef.h>

struct pare_unary_kernel {
	const char *name;
	/* y = f(x); y may be x */
	void (*f)(size_t n, float a, float b, const float *x, float *y);
	/* dx (+)= dy f'(x); dx may be dy; x or y is not read where unary.def does not say so */
	void (*df)(size_t n, float a, float b, const float *x, const float *y, const float *dy, bool acc, float *dx);
};
/* NULL if there is none. */
const struct pare_unary_kernel *pare_unary_kernel(const char *name);
/* Clip, whose bounds come as attributes or as inputs: a <= b does not have to hold (then b wins). */
extern const struct pare_unary_kernel pare_k_clip;

#endif
