/* The tiles of conv_tile.h with AVX-512. */
#include "core/ops/kernels/conv_tile.h"

#if defined(__x86_64__)
#define PARE_SIMD 512
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/conv_tile.inc"

const struct pare_tile_kernels pare_tile_avx512 = TILE_KERNELS;
#endif
