/* Matrix products: the only door to BLAS. Row-major, single-threaded (parallelism is ours, over batch shards). */
#ifndef PARE_KERNELS_GEMM_H
#define PARE_KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* Call once before the first product, from one thread: sets the library to one thread of its own. */
void pare_gemm_init(void);
/* Buffers for n products at a time, once in a process and before its memory is limited: BLAS maps one (128 MiB, of which a product touches what
 * it packs) when it finds none free, and where there is no memory it asks again without end. Returns the bytes of them all, of
 * which a call from inside a sandbox knows by one made before it, or -1 when there is no room for them. */
int64_t pare_gemm_reserve(int n);
/* The processor whose code BLAS runs ("SkylakeX", "Haswell" …): it says whether the library knows this one. Static. */
const char *pare_gemm_core(void);

/* c[m, n] = alpha * op(a)[m, k] * op(b)[k, n] + beta * c. a is stored [m, k], or [k, m] when ta; b [k, n], or [n, k]
 * when tb; nothing is padded. With beta 0, c is not read. k may be 0. Every size fits an int32. */
void pare_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, const float *b, float beta, float *c);

/* The same on parts of wider matrices: lda, ldb and ldc floats from the start of one stored row to the next. */
void pare_gemm_part(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
    float beta, float *c, int64_t ldc);

/* pare_gemm by the definition, accumulating in double: what tests compare with. */
void pare_gemm_ref(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, const float *b, float beta, float *c);

#endif
