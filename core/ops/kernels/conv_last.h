/* Convolution of n images with the channels last: x[n, positions, in_channels], y[n, positions, out_channels]. Weights and
 * their gradient stay in ONNX's order, [out_channels, in_channels / groups, kernel]. For one- and two-dimensional windows,
 * without groups or depthwise (conv_last.c). Every sum has one fixed order.
 *
 * The functions that read weights want them packed, which costs about as much as one position of y; who runs a single image
 * keeps the packed form. acc: add to the result instead of overwriting it. finish: what follows the sum, may be NULL. */
#ifndef PARE_KERNELS_CONV_LAST_H
#define PARE_KERNELS_CONV_LAST_H

#include <stdbool.h>
#include <stddef.h>

#include "core/ops/kernels/conv.h"
#include "core/ops/kernels/conv_tile.h"

/* Whether the functions below serve this convolution. */
bool pare_conv_last_serves(const struct pare_conv *c);

/* Floats of scratch that any of the functions needs for up to n images. */
size_t pare_conv_last_scratch(const struct pare_conv *c, int64_t n);
/* Floats of packed weights, and packing them for forward or for grad_input. scale: a factor for each channel
 * of the result (y or dx), or NULL. */
size_t pare_conv_last_packed(const struct pare_conv *c);
void pare_conv_last_pack(const struct pare_conv *c, const float *w, const float *scale, float *packed);
void pare_conv_last_pack_transposed(const struct pare_conv *c, const float *w, const float *scale, float *packed);

/* y = x * w */
void pare_conv_last_forward(const struct pare_conv *c, int64_t n, const float *x, const float *packed, bool acc,
    const struct pare_conv_finish *finish, float *y, float *scratch);
/* dx from dy and w packed transposed */
void pare_conv_last_grad_input(const struct pare_conv *c, int64_t n, const float *packed, const float *dy, bool acc,
    const struct pare_conv_finish *finish, float *dx, float *scratch);
/* dw from x and dy */
void pare_conv_last_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch);
/* grad_input where dx is larger than dy (conv_scatter.c); conv_last.c comes here by itself. */
bool pare_conv_scatters(const struct pare_conv *c);
size_t pare_conv_scatter_scratch(const struct pare_conv *c, int64_t n);
void pare_conv_scatter_pack(const struct pare_conv *c, const float *w, const float *scale, float *packed);
void pare_conv_scatter_grad_input(const struct pare_conv *c, int64_t n, const float *packed, const float *dy, bool acc,
    const struct pare_conv_finish *finish, float *dx, float *scratch);

/* 3x3 windows in steps of 1, with fewer multiplications (conv_winograd.c); conv_last.c comes here by itself. */
bool pare_conv_winograd(const struct pare_conv *c);
size_t pare_conv_winograd_packed(const struct pare_conv *c);
size_t pare_conv_winograd_scratch(const struct pare_conv *c, int64_t n);
void pare_conv_winograd_pack(const struct pare_conv *c, const float *w, const float *scale, float *packed);
void pare_conv_winograd_pack_transposed(const struct pare_conv *c, const float *w, const float *scale, float *packed);
void pare_conv_winograd_forward(const struct pare_conv *c, int64_t n, const float *x, const float *packed, bool acc,
    const struct pare_conv_finish *finish, float *y, float *scratch);
void pare_conv_winograd_grad_input(const struct pare_conv *c, int64_t n, const float *packed, const float *dy, bool acc,
    const struct pare_conv_finish *finish, float *dx, float *scratch);
void pare_conv_winograd_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch);

/* Depthwise (conv_lanes.c), with weights packed alike for both; conv_last.c comes here by itself. */
void pare_conv_lanes_pack(const struct pare_conv *c, const float *w, const float *scale, float *packed);
void pare_conv_lanes_forward(const struct pare_conv *c, int64_t n, const float *x, const float *packed, bool acc, const struct pare_conv_finish *finish,
    float *y);
void pare_conv_lanes_grad_input(const struct pare_conv *c, int64_t n, const float *packed, const float *dy, bool acc,
    const struct pare_conv_finish *finish, float *dx);
/* scratch: as many floats as w has */
void pare_conv_lanes_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch);

/* db[channels] (+)= sums of dy[rows, channels] */
void pare_conv_last_grad_bias(int64_t rows, int64_t channels, const float *dy, bool acc, float *db);

#endif
