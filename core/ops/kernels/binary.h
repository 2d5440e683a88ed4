/* The loops of binary.def by operator name, and those of Max and Min. */
#ifndef PARE_KERNELS_BINARY_H
#define PARE_KERNELS_BINARY_H

#include <stdbool.h>
#include <stddef.h>

struct pare_binary_kernel {
	const char *name;
	/* y = f(a, b) over n elements; an operand with its flag off is one number. y may be an operand that moves. */
	void (*f)(size_t n, bool whole, const float *a, bool a_moves, const float *b, bool b_moves, float *y);
	/* out = dy df/da, dy df/db */
	void (*da)(size_t n, bool whole, const float *a, bool a_moves, const float *b, bool b_moves, const float *dy, float *out);
	void (*db)(size_t n, bool whole, const float *a, bool a_moves, const float *b, bool b_moves, const float *dy, float *out);
};
/* NULL if there is none. */
const struct pare_binary_kernel *pare_binary_kernel(const char *name);

#endif
