/* exp and tanh of one float, to be inlined into loops.
 *
 * exp is our own because a call of libm's expf cannot be vectorised without -ffast-math. It is the scheme of Cephes:
 * x = n ln2 + r, |r| <= ln2 / 2, e^x = 2^n (1 + r + r^2 P(r)), with n found by adding and subtracting 1.5 * 2^23 and 2^n
 * put together from bits in two factors, so that results down to the denormals and up to infinity come out without a
 * branch. A test compares it with double exp. */
#ifndef PARE_KERNELS_FLOAT_MATH_H
#define PARE_KERNELS_FLOAT_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float bits_float(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

static inline uint32_t float_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

static inline float exp1(float x)
{
	const float magic = 12582912.0f; /* 1.5 * 2^23: its last bit counts ones */
	float c = x > 89.0f ? 89.0f : x;
	float t, n, r, p;
	int32_t i, half;

	c = c < -104.0f ? -104.0f : c;
	t = c * 1.44269504088896341f + magic;
	n = t - magic;
	r = c - n * 0.693359375f;
	r = r - n * -2.12194440e-4f;
	p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * (r * r) + r + 1.0f;
	i = (int32_t)(float_bits(t) - float_bits(magic));
	half = i >> 1;
	return p * bits_float((uint32_t)(half + 127) << 23) * bits_float((uint32_t)(i - half + 127) << 23);
}

static inline float tanh1(float x)
{
	float a = fabsf(x), z = x * x;
	float big = 1.0f - 2.0f / (exp1(2.0f * a) + 1.0f);
	float p = -5.70498872745e-3f;

	p = p * z + 2.06390887954e-2f;
	p = p * z - 5.37397155531e-2f;
	p = p * z + 1.33314422036e-1f;
	p = p * z - 3.33332819422e-1f;
	p = p * z * x + x;
	return a < 0.625f ? p : x < 0 ? -big : big;
}

#endif
