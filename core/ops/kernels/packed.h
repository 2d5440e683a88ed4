/* Products with a matrix that is multiplied many times, packed once: what recurrent layers do with R at every step. */
#ifndef PARE_KERNELS_PACKED_H
#define PARE_KERNELS_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Floats of a packed [k, n]. */
size_t pare_packed_floats(int64_t k, int64_t n);
/* op(b)[k, n] into out; b is stored [k, n], or [n, k] when tb, without gaps. */
void pare_pack(bool tb, int64_t k, int64_t n, const float *b, float *out);
/* c[m, n] = a[m, k] b (+ c if acc) (+ bias[n] in each row, unless NULL); lda and ldc floats from row to row of a and c. */
void pare_packed_mul(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *packed, const float *bias, float *c, int64_t ldc, bool acc);

#endif
