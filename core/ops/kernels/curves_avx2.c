/* The loops of curves.h with AVX2 and FMA. */
#include "core/ops/kernels/curves.h"

#if defined(__x86_64__)
#define PARE_SIMD 256
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/curves.inc"

const struct pare_curves pare_curves_avx2 = CURVES;
#endif
