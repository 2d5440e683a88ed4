/* The loops of sparse.h with AVX2. */
#include "core/ops/kernels/sparse.h"

#if defined(__x86_64__)
#define PARE_SIMD 256
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/sparse.inc"

const struct pare_sparse_kernels pare_sparse_avx2 = SPARSE_KERNELS;
#endif
