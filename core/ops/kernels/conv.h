/* Convolution of n images, row-major: x[n, in_channels, in], w[out_channels, in_channels / groups, kernel],
 * y[n, out_channels, out]. The transposed convolution is the same three functions with the roles of x and y exchanged.
 *
 * acc: add to the result instead of overwriting it. scratch: pare_conv_scratch floats. Every sum has one fixed order. */
#ifndef PARE_KERNELS_CONV_H
#define PARE_KERNELS_CONV_H

#include <stdbool.h>
#include <stddef.h>

#include "core/ops/kernels/conv_window.h"

struct pare_conv {
	struct pare_window w;
	int64_t groups, in_channels, out_channels;
	int64_t most; /* images at a time; 0: any number */
};

/* Floats that any of the functions needs for up to n images. */
size_t pare_conv_scratch(const struct pare_conv *c, int64_t n);

/* y = x * w */
void pare_conv_forward(const struct pare_conv *c, int64_t n, const float *x, const float *w, bool acc, float *y, float *scratch);
/* dx from dy and w */
void pare_conv_grad_input(const struct pare_conv *c, int64_t n, const float *w, const float *dy, bool acc, float *dx, float *scratch);
/* dw from x and dy */
void pare_conv_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch);

/* y[n, channels, len]: every row of channel c is bias[c] */
void pare_conv_fill_bias(int64_t n, int64_t channels, int64_t len, const float *bias, float *y);
/* db[channels] (+)= sums of dy[n, channels, len] */
void pare_conv_grad_bias(int64_t n, int64_t channels, int64_t len, const float *dy, bool acc, float *db);

/* The same three by the definition, accumulating in double: what tests compare with. They overwrite. */
void pare_conv_forward_ref(const struct pare_conv *c, int64_t n, const float *x, const float *w, float *y);
void pare_conv_grad_input_ref(const struct pare_conv *c, int64_t n, const float *w, const float *dy, float *dx);
void pare_conv_grad_weight_ref(const struct pare_conv *c, int64_t n, const float *x, const float *dy, float *dw);

/* The direct kernels for few output channels per group and one input channel each (conv_depthwise.c). */
bool pare_conv_is_depthwise(const struct pare_conv *c);
size_t pare_conv_depthwise_scratch(const struct pare_conv *c);
void pare_conv_depthwise_forward(const struct pare_conv *c, int64_t n, const float *x, const float *w, bool acc, float *y, float *scratch);
void pare_conv_depthwise_grad_input(const struct pare_conv *c, int64_t n, const float *w, const float *dy, bool acc, float *dx, float *scratch);
void pare_conv_depthwise_grad_weight(const struct pare_conv *c, int64_t n, const float *x, const float *dy, bool acc, float *dw, float *scratch);

#endif
