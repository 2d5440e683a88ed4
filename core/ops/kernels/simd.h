/* Vectors for kernels that are written once and compiled once per instruction set: a .c file chooses the set with
 * PARE_SIMD (512, 256 or 0), includes this, then the kernels' body. Multiply-add is one rounding where the set has it, so
 * two sets differ in the last bits; which one runs depends on the machine alone. Functions must carry SIMD_TARGET,
 * inline ones SIMD_INLINE.
 *
 * vec           SIMD_WIDTH floats
 * vmask         the first n floats of a vector, for the last one of a row of channels
 * vchoice       which of two vectors' elements to take
 * vtop, vsum    the greatest of a vector's elements, and their sum, of which the last additions are in double
 * quad          4 floats, of which a vector's sum is left by vfold */
#ifndef PARE_KERNELS_SIMD_H
#define PARE_KERNELS_SIMD_H

#include <stdint.h>
#include <string.h>

typedef float quad __attribute__((vector_size(16)));

#if PARE_SIMD == 512

#include <immintrin.h>
#define SIMD_TARGET __attribute__((target("avx512f")))
#define SIMD_WIDTH 16
#define SIMD_REGISTERS 32
#define SIMD_INLINE static inline __attribute__((always_inline)) SIMD_TARGET
typedef __m512 vec;
typedef __mmask16 vmask;
typedef __mmask16 vchoice;

SIMD_INLINE vmask vmask_first(int64_t n)
{
	return (vmask)((1u << n) - 1);
}
SIMD_INLINE vec vload(const float *p)
{
	return _mm512_loadu_ps(p);
}
SIMD_INLINE vec vload_part(const float *p, vmask m)
{
	return _mm512_maskz_loadu_ps(m, p);
}
SIMD_INLINE void vstore(float *p, vec v)
{
	_mm512_storeu_ps(p, v);
}
SIMD_INLINE void vstore_part(float *p, vmask m, vec v)
{
	_mm512_mask_storeu_ps(p, m, v);
}
SIMD_INLINE vec vset(float f)
{
	return _mm512_set1_ps(f);
}
SIMD_INLINE vec vfma(vec a, vec b, vec c)
{
	return _mm512_fmadd_ps(a, b, c);
}
SIMD_INLINE vec vadd(vec a, vec b)
{
	return _mm512_add_ps(a, b);
}
SIMD_INLINE quad vfold(vec v)
{
	return (quad)_mm512_extractf32x4_ps(v, 0) + (quad)_mm512_extractf32x4_ps(v, 1) + ((quad)_mm512_extractf32x4_ps(v, 2) + (quad)_mm512_extractf32x4_ps(v, 3));
}
/* One of two that is NaN is lost. */
SIMD_INLINE vec vgreatest(vec a, vec b)
{
	return _mm512_max_ps(a, b);
}
SIMD_INLINE float vtop(vec v)
{
	return _mm512_reduce_max_ps(v);
}
/* NaN stays NaN: it is the second operand that is returned for it. */
SIMD_INLINE vec vclamp(vec v, vec lo, vec hi)
{
	return _mm512_min_ps(hi, _mm512_max_ps(lo, v));
}
/* Where v is greater than `than`, or NaN; and v there, the other elsewhere. */
SIMD_INLINE vchoice vgreater(vec v, vec than)
{
	return _mm512_cmp_ps_mask(v, than, _CMP_GT_OQ) | _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
}
SIMD_INLINE vec vchoose(vchoice c, vec v, vec other)
{
	return _mm512_mask_blend_ps(c, other, v);
}

#elif PARE_SIMD == 256

#include <immintrin.h>
#define SIMD_TARGET __attribute__((target("avx2,fma")))
#define SIMD_WIDTH 8
#define SIMD_REGISTERS 16
#define SIMD_INLINE static inline __attribute__((always_inline)) SIMD_TARGET
typedef __m256 vec;
typedef __m256i vmask;
typedef __m256 vchoice;

SIMD_INLINE vmask vmask_first(int64_t n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SIMD_INLINE vec vload(const float *p)
{
	return _mm256_loadu_ps(p);
}
SIMD_INLINE vec vload_part(const float *p, vmask m)
{
	return _mm256_maskload_ps(p, m);
}
SIMD_INLINE void vstore(float *p, vec v)
{
	_mm256_storeu_ps(p, v);
}
SIMD_INLINE void vstore_part(float *p, vmask m, vec v)
{
	_mm256_maskstore_ps(p, m, v);
}
SIMD_INLINE vec vset(float f)
{
	return _mm256_set1_ps(f);
}
SIMD_INLINE vec vfma(vec a, vec b, vec c)
{
	return _mm256_fmadd_ps(a, b, c);
}
SIMD_INLINE vec vadd(vec a, vec b)
{
	return _mm256_add_ps(a, b);
}
SIMD_INLINE quad vfold(vec v)
{
	return (quad)_mm256_extractf128_ps(v, 0) + (quad)_mm256_extractf128_ps(v, 1);
}
SIMD_INLINE vec vgreatest(vec a, vec b)
{
	return _mm256_max_ps(a, b);
}
SIMD_INLINE float vtop(vec v)
{
	__m128 q = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	q = _mm_max_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
SIMD_INLINE vec vclamp(vec v, vec lo, vec hi)
{
	return _mm256_min_ps(hi, _mm256_max_ps(lo, v));
}
SIMD_INLINE vchoice vgreater(vec v, vec than)
{
	return _mm256_or_ps(_mm256_cmp_ps(v, than, _CMP_GT_OQ), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}
SIMD_INLINE vec vchoose(vchoice c, vec v, vec other)
{
	return _mm256_blendv_ps(other, v, c);
}

#else

#define SIMD_TARGET
#define SIMD_WIDTH 4
#define SIMD_REGISTERS 16
#define SIMD_INLINE static inline __attribute__((always_inline))
typedef float vec __attribute__((vector_size(16)));
typedef int64_t vmask;
typedef int32_t vchoice __attribute__((vector_size(16)));

SIMD_INLINE vmask vmask_first(int64_t n)
{
	return n;
}
SIMD_INLINE vec vload(const float *p)
{
	vec v;

	memcpy(&v, p, sizeof v);
	return v;
}
SIMD_INLINE vec vload_part(const float *p, vmask m)
{
	vec v = {0};

	for (int i = 0; i < m; i++)
		v[i] = p[i];
	return v;
}
SIMD_INLINE void vstore(float *p, vec v)
{
	memcpy(p, &v, sizeof v);
}
SIMD_INLINE void vstore_part(float *p, vmask m, vec v)
{
	for (int i = 0; i < m; i++)
		p[i] = v[i];
}
SIMD_INLINE vec vset(float f)
{
	return (vec){f, f, f, f};
}
SIMD_INLINE vec vfma(vec a, vec b, vec c)
{
	return a * b + c;
}
SIMD_INLINE vec vadd(vec a, vec b)
{
	return a + b;
}
SIMD_INLINE quad vfold(vec v)
{
	return v;
}
SIMD_INLINE vec vgreatest(vec a, vec b)
{
	for (int i = 0; i < SIMD_WIDTH; i++)
		a[i] = a[i] > b[i] ? a[i] : b[i];
	return a;
}
SIMD_INLINE float vtop(vec v)
{
	float top = v[0];

	for (int i = 1; i < SIMD_WIDTH; i++)
		top = v[i] > top ? v[i] : top;
	return top;
}
SIMD_INLINE vec vclamp(vec v, vec lo, vec hi)
{
	for (int i = 0; i < SIMD_WIDTH; i++) {
		v[i] = v[i] < lo[i] ? lo[i] : v[i];
		v[i] = v[i] > hi[i] ? hi[i] : v[i];
	}
	return v;
}
SIMD_INLINE vchoice vgreater(vec v, vec than)
{
	return (v > than) | (v != v);
}
SIMD_INLINE vec vchoose(vchoice c, vec v, vec other)
{
	for (int i = 0; i < SIMD_WIDTH; i++)
		v[i] = c[i] ? v[i] : other[i];
	return v;
}

#endif

SIMD_INLINE float vsum(vec v)
{
	quad q = vfold(v);

	return (float)(((double)q[0] + (double)q[1]) + ((double)q[2] + (double)q[3]));
}

#endif
