/* Lines of `inner` numbers that stand together are added with one weight each, which the compiler vectorises; along the last
 * axis (inner 1) the taps of one output are added up instead. */
#include "core/ops/kernels/resample.h"

#include <string.h>

#include "core/base/multiarch.h"

PARE_MULTIARCH static void scaled_add(size_t n, float w, const float *x, float *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] += w * x[i];
}

PARE_MULTIARCH static void scaled(size_t n, float w, const float *x, float *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = w * x[i];
}

static void resample_last(const struct pare_resample *s, size_t outer, const float *x, float *y)
{
	for (size_t o = 0; o < outer; o++, x += s->n_in, y += s->n_out)
		for (size_t j = 0; j < s->n_out; j++) {
			const int32_t *at = s->at + j * s->taps;
			const float *w = s->weight + j * s->taps;
			float sum = w[0] * x[at[0]];

			for (size_t t = 1; t < s->taps; t++)
				sum += w[t] * x[at[t]];
			y[j] = sum;
		}
}

void pare_k_resample(const struct pare_resample *s, size_t outer, size_t inner, const float *x, float *y)
{
	if (inner == 1) {
		resample_last(s, outer, x, y);
		return;
	}
	for (size_t o = 0; o < outer; o++)
		for (size_t j = 0; j < s->n_out; j++) {
			const int32_t *at = s->at + j * s->taps;
			const float *w = s->weight + j * s->taps, *from = x + o * s->n_in * inner;
			float *to = y + (o * s->n_out + j) * inner;

			if (w[0] == 1.0f)
				memcpy(to, from + (size_t)at[0] * inner, inner * sizeof *to);
			else
				scaled(inner, w[0], from + (size_t)at[0] * inner, to);
			for (size_t t = 1; t < s->taps; t++)
				if (w[t] != 0.0f)
					scaled_add(inner, w[t], from + (size_t)at[t] * inner, to);
		}
}

void pare_k_resample_grad(const struct pare_resample *s, size_t outer, size_t inner, const float *dy, float *dx)
{
	for (size_t o = 0; o < outer; o++)
		for (size_t j = 0; j < s->n_out; j++)
			for (size_t t = 0; t < s->taps; t++) {
				size_t at = (size_t)s->at[j * s->taps + t];
				float w = s->weight[j * s->taps + t];

				if (inner == 1)
					dx[o * s->n_in + at] += w * dy[o * s->n_out + j];
				else if (w != 0.0f)
					scaled_add(inner, w, dy + (o * s->n_out + j) * inner, dx + (o * s->n_in + at) * inner);
			}
}
