/* The loops of sparse.h with AVX-512. */
#include "core/ops/kernels/sparse.h"

#if defined(__x86_64__)
#define PARE_SIMD 512
#include "core/ops/kernels/simd.h"

#include "core/ops/kernels/sparse.inc"

const struct pare_sparse_kernels pare_sparse_avx512 = SPARSE_KERNELS;
#endif
