/* A matrix turned over. */
#ifndef PARE_KERNELS_TRANSPOSE_H
#define PARE_KERNELS_TRANSPOSE_H

#include <stdbool.h>
#include <stdint.h>

/* to[cols, rows] (+)= from[rows, cols] turned over */
void pare_k_transpose(int64_t rows, int64_t cols, const float *from, bool acc, float *to);

#endif
