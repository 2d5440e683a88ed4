/* Quantization of floats to integers (carried as floats) and back, row by row: n elements with one scale and zero point each
 * (step 1) or one for all (step 0). */
#ifndef PARE_KERNELS_QUANTIZE_H
#define PARE_KERNELS_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>

struct pare_quantizer {
	const float *scale, *zero; /* zero NULL: 0 */
	size_t step;
	float low, high; /* of the integer type */
};

/* y = clamp(round(x / scale) + zero), halves to even */
void pare_k_quantize(const struct pare_quantizer *q, size_t n, const float *x, float *y);
/* y = (x - zero) * scale */
void pare_k_dequantize(const struct pare_quantizer *q, size_t n, const float *x, float *y);
/* Straight through: dx (+)= dy / scale where the clamp did not hold x, else 0; dscale (of the same step; NULL: not wanted) -=
 * dy x / scale^2 there. */
void pare_k_quantize_grad(const struct pare_quantizer *q, size_t n, const float *x, const float *dy, bool acc, float *dx, float *dscale);
/* dx (+)= dy * scale; dscale += dy (x - zero). Each may be NULL. */
void pare_k_dequantize_grad(const struct pare_quantizer *q, size_t n, const float *x, const float *dy, bool acc, float *dx, float *dscale);

#endif
