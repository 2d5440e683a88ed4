/* ONNX names eleven activation functions for its recurrent cells. Sigmoid and tanh, which nearly every net has, are the
 * vector loops of elementwise.c; the rest are loops of one line, behind one switch per row.
 *
 * A clip needs no record of what it held: the functions are monotonic, so an argument was at an end of the clip where
 * the value is at or beyond the function's value there. */
#include "core/ops/kernels/gates.h"

#include <math.h>
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/float_math.h"

#define EACH(expression)                 \
	for (size_t i = 0; i < n; i++) { \
		float v = x[i];          \
                                         \
		y[i] = (expression);     \
	}

PARE_MULTIARCH static void others(const struct pare_gate *g, size_t n, const float *x, float *y)
{
	float a = g->alpha, b = g->beta;

	switch (g->kind) {
	case PARE_GATE_AFFINE:
		EACH(a * v + b)
		break;
	case PARE_GATE_LEAKY_RELU:
		EACH(v < 0.0f ? a * v : v)
		break;
	case PARE_GATE_THRESHOLDED_RELU:
		EACH(v > a ? v : 0.0f)
		break;
	case PARE_GATE_SCALED_TANH:
		EACH(a * tanh1(b * v))
		break;
	case PARE_GATE_HARD_SIGMOID:
		EACH(fminf(fmaxf(a * v + b, 0.0f), 1.0f))
		break;
	case PARE_GATE_ELU:
		EACH(v < 0.0f ? a * (exp1(v) - 1.0f) : v)
		break;
	case PARE_GATE_SOFTSIGN:
		EACH(v / (1.0f + fabsf(v)))
		break;
	default: /* SOFTPLUS */
		EACH(fmaxf(v, 0.0f) + log1pf(exp1(-fabsf(v))))
		break;
	}
}

PARE_MULTIARCH static void clip(size_t n, float limit, const float *x, float *y)
{
	for (size_t i = 0; i < n; i++) {
		float v = x[i] < -limit ? -limit : x[i];

		y[i] = v > limit ? limit : v;
	}
}

void pare_gate_apply(const struct pare_gate *g, size_t n, const float *x, float *y)
{
	if (g->clip > 0.0f) {
		clip(n, g->clip, x, y);
		x = y;
	}
	switch (g->kind) {
	case PARE_GATE_SIGMOID:
		pare_k_sigmoid(n, x, y);
		break;
	case PARE_GATE_TANH:
		pare_k_tanh(n, x, y);
		break;
	case PARE_GATE_RELU:
		pare_k_relu(n, x, y);
		break;
	default:
		others(g, n, x, y);
		break;
	}
}

void pare_gate_prepare(struct pare_gate *g)
{
	float ends[2] = {-g->clip, g->clip};

	pare_gate_apply(g, 2, ends, ends);
	g->low = fminf(ends[0], ends[1]);
	g->high = fmaxf(ends[0], ends[1]);
}

#define EACH_GRAD(expression)              \
	for (size_t i = 0; i < n; i++) {   \
		float v = y[i];            \
                                           \
		dx[i] = dy[i] * (expression); \
	}

PARE_MULTIARCH static void other_grads(const struct pare_gate *g, size_t n, const float *y, const float *dy, float *dx)
{
	float a = g->alpha, b = g->beta;

	switch (g->kind) {
	case PARE_GATE_AFFINE:
		EACH_GRAD(a + 0.0f * v)
		break;
	case PARE_GATE_LEAKY_RELU:
		EACH_GRAD(v < 0.0f ? a : 1.0f)
		break;
	case PARE_GATE_THRESHOLDED_RELU:
		EACH_GRAD(v != 0.0f ? 1.0f : 0.0f)
		break;
	case PARE_GATE_SCALED_TANH:
		EACH_GRAD(a != 0.0f ? b * (a - v * v / a) : 0.0f)
		break;
	case PARE_GATE_HARD_SIGMOID:
		EACH_GRAD(v > 0.0f && v < 1.0f ? a : 0.0f)
		break;
	case PARE_GATE_ELU:
		EACH_GRAD(v < 0.0f ? v + a : 1.0f)
		break;
	case PARE_GATE_SOFTSIGN:
		EACH_GRAD((1.0f - fabsf(v)) * (1.0f - fabsf(v)))
		break;
	default: /* SOFTPLUS */
		EACH_GRAD(1.0f - exp1(-v))
		break;
	}
}

PARE_MULTIARCH static void drop_clipped(const struct pare_gate *g, size_t n, const float *y, const float *dy, float *dx)
{
	for (size_t i = 0; i < n; i++)
		dx[i] = y[i] <= g->low || y[i] >= g->high ? 0.0f : dy[i];
}

void pare_gate_grad(const struct pare_gate *g, size_t n, const float *y, const float *dy, float *dx)
{
	float kept[256];

	if (g->clip > 0.0f) { /* in pieces, because dx may be y */
		for (size_t at = 0; at < n; at += 256) {
			struct pare_gate open = *g;
			size_t part = n - at < 256 ? n - at : 256;

			open.clip = 0.0f;
			drop_clipped(g, part, y + at, dy + at, kept);
			pare_gate_grad(&open, part, y + at, kept, dx + at);
		}
		return;
	}
	switch (g->kind) {
	case PARE_GATE_SIGMOID:
		pare_k_sigmoid_grad(n, y, dy, false, dx);
		break;
	case PARE_GATE_TANH:
		pare_k_tanh_grad(n, y, dy, false, dx);
		break;
	case PARE_GATE_RELU:
		pare_k_relu_grad(n, y, dy, false, dx);
		break;
	default:
		other_grads(g, n, y, dy, dx);
		break;
	}
}
