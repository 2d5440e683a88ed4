/* The strips of strip.h with AVX-512. */
#include "core/ops/kernels/strip.h"

#if defined(__x86_64__)
#define PARE_SIMD 512
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/strip.inc"

const struct pare_strip_kernels pare_strip_avx512 = STRIP_KERNELS;
#endif
