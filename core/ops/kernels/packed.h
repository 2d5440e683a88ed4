/* Products with a matrix that is multiplied many times, packed once: what recurrent layers do with R at every step, and linear
 * layers with their weights in a net that does not train. */
#ifndef PARE_KERNELS_PACKED_H
#define PARE_KERNELS_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ops/kernels/conv_tile.h"

/* Columns of the panel that begins at column `first` of n: panels lie one behind the other, each row after row, and the last is filled with zeros. */
int64_t pare_panel_width(int64_t n, int64_t first);
/* Floats of a packed [k, n]. */
size_t pare_packed_floats(int64_t k, int64_t n);
/* op(b)[k, n] into out; b is stored [k, n], or [n, k] when tb, without gaps. */
void pare_pack(bool tb, int64_t k, int64_t n, const float *b, float *out);
/* c[m, n] = a[m, k] b (+ c if acc), then what finish says unless it is NULL; lda and ldc floats from row to row of a and c. With k 0
 * nothing is written. A row's result does not depend on how many rows there are. */
void pare_packed_mul(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *packed, const struct pare_conv_finish *finish, float *c,
    int64_t ldc, bool acc);
/* Is that faster than pare_gemm, which packs by itself? Measured (bench/kernels.c). */
bool pare_packed_pays(int64_t m, int64_t n, int64_t k);
/* Is it even with packing for this one product? Never for more than a megabyte of weights. */
bool pare_packing_pays(int64_t m, int64_t n, int64_t k);

#endif
