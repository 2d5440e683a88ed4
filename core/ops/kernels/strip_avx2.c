/* The strips of strip.h with AVX2 and FMA, and the choice among them. */
#include "core/ops/kernels/strip.h"

#include <stddef.h>

#include "core/base/cpu.h"

#if defined(__x86_64__)
#define PARE_SIMD 256
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/strip.inc"

const struct pare_strip_kernels pare_strip_avx2 = STRIP_KERNELS;
#endif

int64_t pare_strip_panel(const struct pare_strip_kernels *s, int64_t n)
{
	int64_t vectors = (n + s->vector - 1) / s->vector, most = s->width / s->vector;

	return s->vector * (vectors == most + 1 && most > 2 ? most - 1 : vectors < most ? vectors : most);
}

int64_t pare_strip_rows(int64_t width)
{
	int64_t floats = pare_cpu_first_cache() / 4 * 3 / (int64_t)sizeof(float);

	return (floats < PARE_STRIP_FLOATS ? floats : PARE_STRIP_FLOATS) / width;
}

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
