/* The tiles of conv_tile.h with AVX2 and FMA. */
#include "core/ops/kernels/conv_tile.h"

#if defined(__x86_64__)
#define PARE_SIMD 256
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/conv_tile.inc"

const struct pare_tile_kernels pare_tile_avx2 = TILE_KERNELS;
#endif
