/* The strips of strip.h with AVX2 and FMA, and the choice among them. */
#include "core/ops/kernels/strip.h"

#include <stddef.h>

#if defined(__x86_64__)
#define PARE_SIMD 256
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/strip.inc"

const struct pare_strip_kernels pare_strip_avx2 = STRIP_KERNELS;
#endif

const struct pare_strip_kernels *pare_strip(void)
{
#if defined(__x86_64__)
	if (pare_tile() == &pare_tile_avx512)
		return &pare_strip_avx512;
	if (pare_tile() == &pare_tile_avx2)
		return &pare_strip_avx2;
#endif
	return NULL;
}
