/* exp, tanh and erf of one float, to be inlined into loops.
 *
 * exp is our own because a call of libm's expf cannot be vectorised without -ffast-math. It is the scheme of Cephes:
 * x = n ln2 + r, |r| <= ln2 / 2, e^x = 2^n (1 + r + r^2 P(r)), with n found by adding and subtracting 1.5 * 2^23 and 2^n
 * put together from bits in two factors, so that results down to the denormals and up to infinity come out without a
 * branch.
 *
 * erf is x P(x^2) below 0.9 and 1 - e^Q(x) above, where ln erfc is nearly a parabola; beyond 4 it is 1 in float. P and Q are
 * least-maximum fits of our own (relative error of P 1.2e-8, absolute error of e^Q 1.6e-9). Both are computed, one is
 * selected: a branch would keep the loop from being vectorised. The normal distribution needs no P: beside 1, or 0.5, an absolute
 * error is a relative one, so ln erfc is fitted from 0 on. Tests compare all with double. Their terms are added in pairs (Estrin): with one after the other, a
 * processor that looks 256 instructions ahead waits for sums more than it adds. */
#ifndef PARE_KERNELS_FLOAT_MATH_H
#define PARE_KERNELS_FLOAT_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* a b + c: in one rounding where a file has chosen an instruction set that has it (simd.h), else in two, so that what every set
 * compiles rounds alike. */
#if defined(PARE_SIMD) && PARE_SIMD >= 256
#define MUL_ADD(a, b, c) __builtin_fmaf(a, b, c)
#else
#define MUL_ADD(a, b, c) ((a) * (b) + (c))
#endif

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

/* e^r for |r| <= ln2 / 2. */
static inline float exp_near(float r)
{
	float z = r * r, p = MUL_ADD(MUL_ADD(1.9875691500e-4f, r, 1.3981999507e-3f), z, MUL_ADD(8.3334519073e-3f, r, 4.1665795894e-2f));

	p = MUL_ADD(p, z, MUL_ADD(1.6666665459e-1f, r, 5.0000001201e-1f));
	return MUL_ADD(p, z, r) + 1.0f;
}

static inline float exp1(float x)
{
	const float magic = 12582912.0f; /* 1.5 * 2^23: its last bit counts ones */
	float c = x > 89.0f ? 89.0f : x;
	float t, n, r, p;
	int32_t i, half;

	c = c < -104.0f ? -104.0f : c;
	t = MUL_ADD(c, 1.44269504088896341f, magic);
	n = t - magic;
	r = MUL_ADD(-n, 0.693359375f, c);
	r = MUL_ADD(n, 2.12194440e-4f, r);
	p = exp_near(r);
	i = (int32_t)(float_bits(t) - float_bits(magic));
	half = i >> 1;
	return p * bits_float((uint32_t)(half + 127) << 23) * bits_float((uint32_t)(i - half + 127) << 23);
}

/* The same for |x| <= 80, where neither end is near: half the work. */
static inline float exp_mid(float x)
{
	const float magic = 12582912.0f;
	float t = MUL_ADD(x, 1.44269504088896341f, magic), n = t - magic, r = MUL_ADD(-n, 0.693359375f, x);

	r = MUL_ADD(n, 2.12194440e-4f, r);
	return exp_near(r) * bits_float((float_bits(t) - float_bits(magic) + 127) << 23);
}

static inline float tanh1(float x)
{
	float a = fabsf(x), z = x * x;
	float big = 1.0f - 2.0f / (exp_mid(a > 20.0f ? 40.0f : 2.0f * a) + 1.0f);
	float p = -5.70498872745e-3f;

	p = MUL_ADD(p, z, 2.06390887954e-2f);
	p = MUL_ADD(p, z, -5.37397155531e-2f);
	p = MUL_ADD(p, z, 1.33314422036e-1f);
	p = MUL_ADD(p, z, -3.33332819422e-1f);
	p = MUL_ADD(p * z, x, x);
	return a < 0.625f ? p : x < 0 ? -big : big;
}

static inline float erf1(float x)
{
	float a = fabsf(x), z = x * x, zz = z * z, p, q, big, a2, a4;

	p = MUL_ADD(MUL_ADD(-6.0901363e-4f, z, 5.01196311e-3f), zz, MUL_ADD(-2.67789085e-2f, z, 1.12821405e-1f));
	p = MUL_ADD(p, zz, MUL_ADD(-3.76125238e-1f, z, 1.12837916e+0f));
	a = a > 4.0f ? 4.0f : a;
	a2 = a * a;
	a4 = a2 * a2;
	q = MUL_ADD(MUL_ADD(1.97180987e-4f, a2, MUL_ADD(-3.05560685e-3f, a, 2.22770844e-2f)), a4,
	    MUL_ADD(MUL_ADD(-1.04037356e-1f, a, -6.37059760e-1f), a2, MUL_ADD(-1.12774956e+0f, a, -1.77495496e-4f)));
	big = 1.0f - exp_mid(q);
	return a < 0.9f ? p * x : x != x ? x : x < 0.0f ? -big : big;
}

/* The share of the normal distribution below x, to 3e-8: erfc is wanted where it is small, and erf nowhere else, so one curve does. */
static inline float normal1(float x)
{
	float a = 0.70710678f * fabsf(x), a2, a4, q, h;

	a = a > 4.0f ? 4.0f : a;
	a2 = a * a;
	a4 = a2 * a2;
	q = MUL_ADD(MUL_ADD(3.02877481e-4f, a, -1.01229013e-3f), a2, MUL_ADD(-5.71917219e-4f, a, 1.96173396e-2f));
	q = MUL_ADD(MUL_ADD(-3.07445516e-5f, a4, q), a4, MUL_ADD(MUL_ADD(-1.02936953e-1f, a, -6.36593163e-1f), a2, MUL_ADD(-1.12838078e+0f, a, 1.50518282e-8f)));
	h = a < 4.0f ? 0.5f * exp_mid(q) : 0.0f;
	return x < 0.0f ? h : 1.0f - h;
}

#endif
