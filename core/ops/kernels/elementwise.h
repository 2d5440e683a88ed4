/* Loops over float arrays that the compiler turns into vector code. Unless said otherwise out may be an input (the same
 * array, not a shifted one). `acc`: add to out instead of overwriting it. Every loop has one fixed order of additions, so
 * the same input gives the same bits. */
#ifndef PARE_KERNELS_ELEMENTWISE_H
#define PARE_KERNELS_ELEMENTWISE_H

#include <stdbool.h>
#include <stddef.h>

void pare_k_add(size_t n, const float *a, const float *b, float *out);
void pare_k_add_scalar(size_t n, const float *a, float b, float *out);
void pare_k_mul(size_t n, const float *a, const float *b, float *out);
void pare_k_scale(size_t n, const float *a, float b, float *out);
void pare_k_fill(size_t n, float v, float *out);
/* out += a; out += a * b; out += s * a */
void pare_k_acc(size_t n, const float *a, float *out);
void pare_k_acc_mul(size_t n, const float *a, const float *b, float *out);
void pare_k_acc_scaled(size_t n, const float *a, float s, float *out);
/* Sums, in 16 interleaved float lanes that are added up in double. */
float pare_k_sum(size_t n, const float *a);
float pare_k_dot(size_t n, const float *a, const float *b);
/* No NaN and no infinity; true for none. */
bool pare_k_finite(size_t n, const float *a);
size_t pare_k_count_zeros(size_t n, const float *a);
/* out[cols] (+)= scale * column sums of x[rows, cols]; out is not x */
void pare_k_col_sum(size_t rows, size_t cols, const float *x, float scale, bool acc, float *out);
/* out[rows, cols]: every row is scale * row[cols] */
void pare_k_fill_rows(size_t rows, size_t cols, const float *row, float scale, float *out);

/* y = x, at least lo, at most hi; and dy where y is neither, else 0 */
void pare_k_clamp(size_t n, float lo, float hi, const float *x, float *y);
void pare_k_clamp_grad(size_t n, float lo, float hi, const float *y, const float *dy, float *dx);
void pare_k_relu(size_t n, const float *x, float *y);
void pare_k_sigmoid(size_t n, const float *x, float *y);
void pare_k_tanh(size_t n, const float *x, float *y);
/* dx (+)= dy * f'(x), by f's output y; dx may be dy */
void pare_k_relu_grad(size_t n, const float *y, const float *dy, bool acc, float *dx);
void pare_k_sigmoid_grad(size_t n, const float *y, const float *dy, bool acc, float *dx);
void pare_k_tanh_grad(size_t n, const float *y, const float *dy, bool acc, float *dx);

/* e^x, within 2 ulp; e^-inf = 0, overflow is +inf, NaN stays NaN. */
void pare_k_exp(size_t n, const float *x, float *y);

/* Rows of n contiguous elements, each on its own. */
void pare_k_softmax(size_t rows, size_t n, const float *x, float *y);
void pare_k_log_softmax(size_t rows, size_t n, const float *x, float *y);
void pare_k_softmax_grad(size_t rows, size_t n, const float *y, const float *dy, bool acc, float *dx);
void pare_k_log_softmax_grad(size_t rows, size_t n, const float *y, const float *dy, bool acc, float *dx);

#endif
