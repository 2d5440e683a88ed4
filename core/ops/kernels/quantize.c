/* Plain loops. Rounding is rintf, which is to even in the default mode and one instruction in vector code. */
#include "core/ops/kernels/quantize.h"

#include <math.h>

#include "core/base/multiarch.h"

static inline float zero_at(const struct pare_quantizer *q, size_t i)
{
	return q->zero != NULL ? q->zero[i * q->step] : 0.0f;
}

PARE_MULTIARCH void pare_k_quantize(const struct pare_quantizer *q, size_t n, const float *x, float *y)
{
	for (size_t i = 0; i < n; i++) {
		float v = rintf(x[i] / q->scale[i * q->step]) + zero_at(q, i);

		v = v < q->low ? q->low : v;
		y[i] = v > q->high ? q->high : v;
	}
}

PARE_MULTIARCH void pare_k_dequantize(const struct pare_quantizer *q, size_t n, const float *x, float *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = (x[i] - zero_at(q, i)) * q->scale[i * q->step];
}

static inline bool is_inside(const struct pare_quantizer *q, size_t i, float x)
{
	float v = rintf(x / q->scale[i * q->step]) + zero_at(q, i);

	return v >= q->low && v <= q->high;
}

void pare_k_quantize_grad(const struct pare_quantizer *q, size_t n, const float *x, const float *dy, bool acc, float *dx, float *dscale)
{
	for (size_t i = 0; i < n; i++) {
		float s = q->scale[i * q->step], d = is_inside(q, i, x[i]) ? dy[i] / s : 0.0f;

		if (dx != NULL)
			dx[i] = (acc ? dx[i] : 0.0f) + d;
		if (dscale != NULL)
			dscale[i * q->step] -= d * x[i] / s;
	}
}

void pare_k_dequantize_grad(const struct pare_quantizer *q, size_t n, const float *x, const float *dy, bool acc, float *dx, float *dscale)
{
	for (size_t i = 0; i < n; i++) {
		if (dx != NULL)
			dx[i] = (acc ? dx[i] : 0.0f) + dy[i] * q->scale[i * q->step];
		if (dscale != NULL)
			dscale[i * q->step] += dy[i] * (x[i] - zero_at(q, i));
	}
}
