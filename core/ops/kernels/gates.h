/* The activation functions of recurrent cells, by row. All their derivatives are functions of their value, so that
 * backward needs nothing but what forward left in place. */
#ifndef PARE_KERNELS_GATES_H
#define PARE_KERNELS_GATES_H

#include <stdbool.h>
#include <stddef.h>

enum pare_gate_kind {
	PARE_GATE_SIGMOID,
	PARE_GATE_TANH,
	PARE_GATE_RELU,
	PARE_GATE_AFFINE,
	PARE_GATE_LEAKY_RELU,
	PARE_GATE_THRESHOLDED_RELU,
	PARE_GATE_SCALED_TANH,
	PARE_GATE_HARD_SIGMOID,
	PARE_GATE_ELU,
	PARE_GATE_SOFTSIGN,
	PARE_GATE_SOFTPLUS
};

struct pare_gate {
	enum pare_gate_kind kind;
	float alpha, beta;
	float clip;      /* of the argument, to [-clip, clip]; 0: none */
	float low, high; /* the function's values at the ends of the clip, in rising order */
};

/* Fills low and high. alpha must not be negative, but for AFFINE and HARD_SIGMOID. */
void pare_gate_prepare(struct pare_gate *g);
/* y = f(x); y may be x. */
void pare_gate_apply(const struct pare_gate *g, size_t n, const float *x, float *y);
/* dx = dy * f'(x), by y = f(x); dx may be dy or y. Where the clip held x, 0. */
void pare_gate_grad(const struct pare_gate *g, size_t n, const float *y, const float *dy, float *dx);

#endif
