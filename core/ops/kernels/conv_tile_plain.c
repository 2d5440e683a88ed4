/* The tiles of conv_tile.h with what every machine has, and the choice among them. */
#define PARE_SIMD 0
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/conv_tile.inc"

const struct pare_tile_kernels pare_tile_plain = TILE_KERNELS;

static const struct pare_tile_kernels *forced;

void pare_tile_force(const struct pare_tile_kernels *k)
{
	forced = k;
}

const struct pare_tile_kernels *pare_tile(void)
{
	if (forced != NULL)
		return forced;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		return &pare_tile_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &pare_tile_avx2;
#endif
	return &pare_tile_plain;
}
