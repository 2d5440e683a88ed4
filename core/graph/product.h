/* Layers with weights as products of matrices. */
#ifndef PARE_GRAPH_PRODUCT_H
#define PARE_GRAPH_PRODUCT_H

#include <stdint.h>

/* A node that multiplies rows of data by a weight, as layer-wise methods see it (core/train/calibrate.h): for each group g
 *   y[r, o] = sum_i x[r, i] w[g * w_group + o * w_out + i * w_in],  r < n_rows, o < n_out, i < n_in
 * of the rows that run now. Bias: input bias_in, one number for each group and output in order; -1 without. */
struct pare_product {
	int weight_in, bias_in;
	int64_t groups, n_rows, n_out, n_in;
	int64_t w_group, w_out, w_in;
};

#endif
