/* The functions of one number that nets spend their time in, compiled once per instruction set (curves.inc): with multiply-add in one
 * instruction they take half the time of what PARE_MULTIARCH makes of them. y may be x, dx may be dy or x. */
#ifndef PARE_KERNELS_CURVES_H
#define PARE_KERNELS_CURVES_H

#include <stdbool.h>
#include <stddef.h>

struct pare_curves {
	void (*exp)(size_t n, const float *x, float shift, float *y); /* e^(x - shift) */
	void (*sigmoid)(size_t n, const float *x, float *y);
	void (*tanh)(size_t n, const float *x, float *y);
	void (*erf)(size_t n, const float *x, float *y);
	void (*gelu)(size_t n, const float *x, float *y); /* x / 2 (1 + erf(x / sqrt 2)) */
	void (*softmax)(size_t rows, size_t n, const float *x, float *y); /* of each row */
	void (*gelu_grad)(size_t n, const float *x, const float *dy, bool acc, float *dx);
};
extern const struct pare_curves pare_curves_avx512, pare_curves_avx2, pare_curves_plain;

/* The best of them that this machine has; always the same on one machine. */
const struct pare_curves *pare_curves(void);

#endif
