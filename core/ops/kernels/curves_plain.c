/* The loops of curves.h with what every machine has, and the choice among them. */
#define PARE_SIMD 0
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/curves.inc"

const struct pare_curves pare_curves_plain = CURVES;

const struct pare_curves *pare_curves(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		return &pare_curves_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &pare_curves_avx2;
#endif
	return &pare_curves_plain;
}
