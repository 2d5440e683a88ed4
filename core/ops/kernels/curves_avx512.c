/* The loops of curves.h with AVX-512. */
#include "core/ops/kernels/curves.h"

#if defined(__x86_64__)
#define PARE_SIMD 512
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/curves.inc"

const struct pare_curves pare_curves_avx512 = CURVES;
#endif
