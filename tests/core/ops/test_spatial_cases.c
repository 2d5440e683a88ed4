/* The rows of convolution, pooling and normalization, by hand-made cases as in test_op_cases.c: shape, values, numeric
 * gradient (alone, and added to what is there), ties, and the message for what is refused. The family tables are walked
 * at the end: a row without a case for something fails.
 *
 * Data are random unless given; DISTINCT data differ by at least 0.1 from each other, so that a maximum stays where it is
 * while a difference is taken; POSITIVE data lie in (0.5, 1.5). */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/ops/ops_priv.h"
#include "tests/support/net_check.h"

#define LINEAR 2e-4
#define CURVED 3e-3
#define STEP 0.015625
#define ROWS 3
#define MAX_IN 5
#define MAX_ELEMS 1024

enum fill { RANDOM, DISTINCT, POSITIVE };

struct op_case {
	const char *op;
	int opset;
	const char *in[MAX_IN]; /* shapes; "-": left out; NULL: none. The first is the graph's input if it starts with N */
	const char *attrs;      /* "group=2 strides=[1,2] auto_pad=SAME_UPPER epsilon=0.1" */
	enum fill fill[MAX_IN];
	const float *data[MAX_IN]; /* NULL: by fill */
	const char *out;        /* shape of output 0 */
	const float *want;      /* NULL: not compared */
	double gradient;        /* bound; 0: not checked */
	const char *ties;       /* NULL: not compared */
	int n_out;              /* 0: 1 */
};

#define F(...) ((const float[]){__VA_ARGS__})
#define NINE F(0, 1, 2, 3, 4, 5, 6, 7, 8)

static const struct op_case case_table[] = {
    /* Conv */
    {.op = "Conv", .opset = 11, .in = {"1 1 3 3", "1 1 2 2", "1"}, .data = {NINE, F(1, 2, 3, 4), F(0.5f)}, .out = "1 1 2 2",
     .want = F(27.5f, 37.5f, 57.5f, 67.5f), .gradient = LINEAR,
     .ties = "same 0.0>o.0 contract 0.1>1.1 same 1.0>o.1 same 2.0>o.1 mix 0.2>o.2 opaque 1.2>o.2 mix 0.3>o.3 opaque 1.3>o.3"},
    {.op = "Conv", .opset = 7, .in = {"N 2 5 6", "3 2 3 3", "3"}, .attrs = "pads=[1,1,1,1]", .out = "N 3 5 6", .gradient = LINEAR},
    {.op = "Conv", .opset = 11, .in = {"2 2 5 6", "3 2 3 2", "3"}, .attrs = "strides=[2,1] dilations=[1,2] pads=[0,1,2,0] kernel_shape=[3,2]", .out = "2 3 3 5",
     .gradient = LINEAR},
    {.op = "Conv", .opset = 11, .in = {"1 4 4 4", "6 2 3 3", "6"}, .attrs = "group=2 auto_pad=SAME_LOWER strides=[2,2]", .out = "1 6 2 2", .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>o.1 opaque 0.1>1.1 same 1.0>o.1 same 2.0>o.1 mix 0.2>o.2 opaque 1.2>o.2 mix 0.3>o.3 opaque 1.3>o.3"},
    {.op = "Conv", .opset = 11, .in = {"2 3 4 5", "3 1 3 3"}, .attrs = "group=3 auto_pad=SAME_UPPER", .out = "2 3 4 5", .gradient = LINEAR,
     .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1 mix 0.2>o.2 opaque 1.2>o.2 mix 0.3>o.3 opaque 1.3>o.3"},
    {.op = "Conv", .opset = 11, .in = {"1 3 6 6", "6 1 3 3", "6"}, .attrs = "group=3 strides=[2,2] auto_pad=VALID", .out = "1 6 2 2", .gradient = LINEAR},
    {.op = "Conv", .opset = 11, .in = {"2 3 9", "4 3 3", "4"}, .attrs = "pads=[1,1] strides=[2] auto_pad=NOTSET", .out = "2 4 5", .gradient = LINEAR},
    {.op = "Conv", .opset = 11, .in = {"1 2 3 4 3", "2 2 2 2 2", "2"}, .attrs = "pads=[0,1,0,1,0,0]", .out = "1 2 3 4 2", .gradient = LINEAR},
    {.op = "Conv", .opset = 11, .in = {"2 4 3 3", "5 4 1 1"}, .out = "2 5 3 3", .gradient = LINEAR},
    /* ConvTranspose */
    {.op = "ConvTranspose", .opset = 11, .in = {"1 1 2 2", "1 1 2 2"}, .data = {F(1, 2, 3, 4), F(1, 10, 100, 1000)}, .out = "1 1 3 3",
     .want = F(1, 12, 20, 103, 1234, 2040, 300, 3400, 4000), .gradient = LINEAR,
     .ties = "same 0.0>o.0 contract 0.1>1.0 same 1.1>o.1 mix 0.2>o.2 opaque 1.2>o.2 mix 0.3>o.3 opaque 1.3>o.3"},
    {.op = "ConvTranspose", .opset = 11, .in = {"N 3 3 4", "3 2 3 3", "2"}, .attrs = "strides=[2,2] pads=[1,1,1,1] output_padding=[1,1]", .out = "N 2 6 8",
     .gradient = LINEAR},
    {.op = "ConvTranspose", .opset = 11, .in = {"1 4 3 2", "4 3 2 3", "6"}, .attrs = "group=2 dilations=[2,1]", .out = "1 6 5 4", .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>o.1 opaque 0.1>1.0 opaque 1.1>o.1 same 2.0>o.1 mix 0.2>o.2 opaque 1.2>o.2 mix 0.3>o.3 opaque 1.3>o.3"},
    {.op = "ConvTranspose", .opset = 11, .in = {"2 3 4", "3 1 3", "3"}, .attrs = "group=3 strides=[2] output_shape=[10]", .out = "2 3 10", .gradient = LINEAR,
     .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1 same 2.0>o.1 mix 0.2>o.2 opaque 1.2>o.2"},
    {.op = "ConvTranspose", .opset = 11, .in = {"1 2 3 3", "2 1 3 3"}, .attrs = "strides=[2,2] auto_pad=SAME_UPPER", .out = "1 1 6 6", .gradient = LINEAR},
    {.op = "ConvTranspose", .opset = 11, .in = {"1 2 2 2 2", "2 2 2 2 2"}, .attrs = "strides=[1,2,1]", .out = "1 2 3 4 3", .gradient = LINEAR},
    /* pools */
    {.op = "MaxPool", .opset = 12, .in = {"1 1 3 3"}, .attrs = "kernel_shape=[2,2]", .data = {NINE}, .out = "1 1 2 2", .want = F(4, 5, 7, 8), .gradient = LINEAR,
     .ties = "same 0.0>o.0 same 0.1>o.1 mix 0.2>o.2 mix 0.3>o.3"},
    {.op = "MaxPool", .opset = 8, .in = {"N 2 4 4"}, .fill = {DISTINCT}, .attrs = "kernel_shape=[2,2] strides=[2,2]", .out = "N 2 2 2"},
    {.op = "MaxPool", .opset = 12, .in = {"2 2 5 6"}, .fill = {DISTINCT}, .attrs = "kernel_shape=[3,2] strides=[2,2] pads=[1,0,1,1] ceil_mode=1", .out = "2 2 3 3",
     .gradient = LINEAR},
    {.op = "MaxPool", .opset = 12, .in = {"1 2 7"}, .fill = {DISTINCT}, .attrs = "kernel_shape=[3] dilations=[2] auto_pad=SAME_UPPER storage_order=1", .out = "1 2 7",
     .gradient = LINEAR},
    {.op = "MaxPool", .opset = 12, .in = {"1 1 3 4 3"}, .fill = {DISTINCT}, .attrs = "kernel_shape=[2,2,2]", .out = "1 1 2 3 2", .gradient = LINEAR},
    {.op = "MaxPool", .opset = 12, .in = {"1 2 5 13"}, .fill = {DISTINCT}, .attrs = "kernel_shape=[2,2] strides=[2,2]", .out = "1 2 2 6", .gradient = LINEAR},
    {.op = "MaxPool", .opset = 12, .in = {"1 1 2 8"}, .attrs = "kernel_shape=[2,2] strides=[2,2]",
     .data = {F(1, 2, NAN, 4, 5, 6, -INFINITY, -INFINITY, 3, 0, 7, 8, NAN, 1, -INFINITY, -INFINITY)}, .out = "1 1 1 4", .want = F(3, NAN, NAN, -INFINITY)},
    {.op = "MaxPool", .opset = 12, .in = {"1 1 1 5"}, .attrs = "kernel_shape=[1,2] strides=[1,2] ceil_mode=1 pads=[0,0,0,1]", .data = {F(1, NAN, 3, -INFINITY, -INFINITY)},
     .out = "1 1 1 3", .want = F(NAN, 3, -INFINITY)},
    {.op = "AveragePool", .opset = 11, .in = {"1 1 3 3"}, .attrs = "kernel_shape=[2,2] pads=[0,0,1,1]", .data = {NINE}, .out = "1 1 3 3",
     .want = F(2, 3, 3.5f, 5, 6, 6.5f, 6.5f, 7.5f, 8), .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.1>o.1 mix 0.2>o.2 mix 0.3>o.3"},
    {.op = "AveragePool", .opset = 11, .in = {"1 1 3 3"}, .attrs = "kernel_shape=[2,2] pads=[0,0,1,1] count_include_pad=1", .data = {NINE}, .out = "1 1 3 3",
     .want = F(2, 3, 1.75f, 5, 6, 3.25f, 3.25f, 3.75f, 2), .gradient = LINEAR},
    {.op = "AveragePool", .opset = 10, .in = {"1 1 1 4"}, .attrs = "kernel_shape=[1,3] strides=[1,2] ceil_mode=1 count_include_pad=1", .data = {F(3, 6, 9, 12)},
     .out = "1 1 1 2", .want = F(6, 10.5f), .gradient = LINEAR},
    {.op = "AveragePool", .opset = 19, .in = {"2 2 6 5"}, .attrs = "kernel_shape=[2,3] dilations=[2,1] strides=[1,2] auto_pad=SAME_LOWER", .out = "2 2 6 3", .gradient = LINEAR},
    {.op = "AveragePool", .opset = 7, .in = {"N 2 6"}, .attrs = "kernel_shape=[3] strides=[3]", .out = "N 2 2"},
    {.op = "GlobalAveragePool", .opset = 11, .in = {"1 2 2 2"}, .data = {F(1, 2, 3, 4, 10, 20, 30, 40)}, .out = "1 2 1 1", .want = F(2.5f, 25), .gradient = LINEAR,
     .ties = "same 0.0>o.0 same 0.1>o.1 mix 0.2>o.2 mix 0.3>o.3"},
    {.op = "GlobalAveragePool", .opset = 7, .in = {"N 3 2 3 4"}, .out = "N 3 1 1 1"},
    {.op = "GlobalMaxPool", .opset = 11, .in = {"1 2 2 2"}, .data = {F(1, 2, 4, 3, 40, 20, 30, 10)}, .out = "1 2 1 1", .want = F(4, 40), .gradient = LINEAR,
     .ties = "same 0.0>o.0 same 0.1>o.1 mix 0.2>o.2 mix 0.3>o.3"},
    {.op = "GlobalMaxPool", .opset = 7, .in = {"2 3 7"}, .fill = {DISTINCT}, .out = "2 3 1", .gradient = LINEAR},
    /* normalizations */
    {.op = "BatchNormalization", .opset = 9, .in = {"1 2 1 2", "2", "2", "2", "2"}, .attrs = "epsilon=1.0 momentum=0.5",
     .data = {F(1, 3, 10, 20), F(2, 1), F(0.5f, -1), F(1, 10), F(3, 8)}, .out = "1 2 1 2", .want = F(0.5f, 2.5f, -1, 2.3333333f), .gradient = LINEAR,
     .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1 same 2.0>o.1 same 3.0>o.1 same 4.0>o.1 mix 0.2>o.2 mix 0.3>o.3"},
    {.op = "BatchNormalization", .opset = 7, .in = {"N 3 2 5", "3", "3", "3", "3"}, .attrs = "spatial=1", .fill = {[4] = POSITIVE}, .out = "N 3 2 5", .gradient = LINEAR},
    {.op = "BatchNormalization", .opset = 15, .in = {"1 2 1 2", "2", "2", "2", "2"}, .attrs = "epsilon=1.0",
     .data = {F(1, 3, 10, 20), F(2, 1), F(0.5f, -1), F(1, 10), F(3, 8)}, .out = "1 2 1 2", .want = F(0.5f, 2.5f, -1, 2.3333333f), .gradient = LINEAR,
     .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1 same 2.0>o.1 same 3.0>o.1 same 4.0>o.1 mix 0.2>o.2 mix 0.3>o.3"},
    {.op = "BatchNormalization", .opset = 15, .in = {"5 3", "3", "3", "3", "3"}, .fill = {[4] = POSITIVE}, .out = "5 3", .gradient = LINEAR},
    {.op = "BatchNormalization", .opset = 15, .in = {"2 1 1", "1", "1", "1", "1"}, .attrs = "epsilon=0.0 training_mode=1",
     .data = {F(1, 3), F(3), F(1), F(0), F(1)}, .out = "2 1 1", .want = F(-2, 4),
     .ties = "mix 0.0>o.0 same 0.1>o.1 same 1.0>o.1 same 2.0>o.1 same 3.0>o.1 same 4.0>o.1 mix 0.2>o.2"},
    {.op = "BatchNormalization", .opset = 15, .in = {"N 3 2 5", "3", "3", "3", "3"}, .attrs = "epsilon=0.01 training_mode=1", .fill = {[4] = POSITIVE}, .out = "N 3 2 5",
     .gradient = CURVED},
    {.op = "BatchNormalization", .opset = 15, .in = {"4 2 6", "2", "2", "2", "2"}, .attrs = "epsilon=0.01 training_mode=1", .fill = {[4] = POSITIVE}, .out = "4 2 6",
     .gradient = CURVED},
    {.op = "InstanceNormalization", .opset = 7, .in = {"1 2 2", "2", "2"}, .attrs = "epsilon=0.0", .data = {F(1, 3, 0, 4), F(2, 3), F(1, 0)}, .out = "1 2 2",
     .want = F(-1, 3, -3, 3), .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1 same 2.0>o.1 mix 0.2>o.2"},
    {.op = "InstanceNormalization", .opset = 11, .in = {"2 3 4 5", "3", "3"}, .attrs = "epsilon=0.01", .out = "2 3 4 5", .gradient = CURVED},
    {.op = "InstanceNormalization", .opset = 11, .in = {"N 2 19", "2", "2"}, .out = "N 2 19", .gradient = CURVED},
    {.op = "LayerNormalization", .opset = 17, .in = {"2 2", "2", "2"}, .attrs = "epsilon=0.0", .data = {F(1, 3, 0, 4), F(2, 3), F(1, 0)}, .out = "2 2",
     .want = F(-1, 3, -1, 3), .ties = "same 0.0>o.0 mix 0.1>o.1 mix 1.0>o.1 mix 2.0>o.1"},
    {.op = "LayerNormalization", .opset = 17, .in = {"N 3 7", "7", "7"}, .attrs = "epsilon=0.01", .out = "N 3 7", .gradient = CURVED},
    {.op = "LayerNormalization", .opset = 17, .in = {"2 3 4", "3 4"}, .attrs = "axis=1 epsilon=0.01", .out = "2 3 4", .gradient = CURVED, .n_out = 3},
    {.op = "LayerNormalization", .opset = 17, .in = {"3 6", "1 6", "6"}, .attrs = "axis=-1 stash_type=1", .out = "3 6", .gradient = CURVED, .n_out = 2},
    {.op = "GroupNormalization", .opset = 18, .in = {"1 4 1", "2", "2"}, .attrs = "num_groups=2 epsilon=0.0", .data = {F(1, 3, 0, 4), F(2, 3), F(1, 0)},
     .out = "1 4 1", .want = F(-1, 3, -3, 3), .ties = "same 0.0>o.0 mix 0.1>o.1 mix 0.2>o.2 opaque 1.0>o.1 opaque 2.0>o.1"},
    {.op = "GroupNormalization", .opset = 20, .in = {"2 4 3 2", "2", "2"}, .attrs = "num_groups=2 epsilon=0.01", .out = "2 4 3 2", .gradient = CURVED},
    {.op = "GroupNormalization", .opset = 21, .in = {"1 4 1", "4", "4"}, .attrs = "num_groups=2 epsilon=0.0", .data = {F(1, 3, 0, 4), F(1, 2, 3, 4), F(0, 0, 0, 1)},
     .out = "1 4 1", .want = F(-1, 2, -3, 5), .ties = "same 0.0>o.0 mix 0.1>o.1 mix 0.2>o.2 mix 1.0>o.1 mix 2.0>o.1"},
    {.op = "GroupNormalization", .opset = 21, .in = {"N 6 3 3", "6", "6"}, .attrs = "num_groups=3 epsilon=0.01", .out = "N 6 3 3", .gradient = CURVED},
    {.op = "GroupNormalization", .opset = 21, .in = {"2 4 5", "4", "4"}, .attrs = "num_groups=1 epsilon=0.01", .out = "2 4 5", .gradient = CURVED},
    {.op = "LRN", .opset = 13, .in = {"1 3 1"}, .attrs = "size=3 alpha=3.0 beta=1.0 bias=1.0", .data = {F(1, 2, 3)}, .out = "1 3 1",
     .want = F(0.16666667f, 0.13333333f, 0.21428571f), .ties = "same 0.0>o.0 mix 0.1>o.1 same 0.2>o.2"},
    {.op = "LRN", .opset = 7, .in = {"2 5 2 3"}, .attrs = "size=4 alpha=0.9 beta=0.75", .out = "2 5 2 3", .gradient = CURVED},
    {.op = "LRN", .opset = 13, .in = {"N 4 3"}, .attrs = "size=3", .out = "N 4 3"},
};
#define N_CASES (sizeof case_table / sizeof case_table[0])

struct bad_case {
	const char *op;
	int opset; /* 0: 13 */
	const char *in[MAX_IN];
	const char *attrs;
	int n_out;
	enum pare_code code;
	const char *says;
};

static const struct bad_case bad_table[] = {
    {.op = "Conv", .in = {"1 2 4 4", "3 1 3 3"}, .code = PARE_E_SHAPE, .says = "number of groups"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 3"}, .code = PARE_E_SHAPE, .says = "rank"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 5 5"}, .code = PARE_E_SHAPE, .says = "smaller than the window"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 3 3", "2"}, .code = PARE_E_SHAPE, .says = "it must be [3]"},
    {.op = "Conv", .in = {"1 2", "3 2"}, .code = PARE_E_SHAPE, .says = "spatial axes"},
    {.op = "Conv", .in = {"1 1 2 2 2 2", "1 1 2 2 2 2"}, .code = PARE_E_UNSUPPORTED, .says = "spatial axes"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 3 3"}, .attrs = "strides=[1]", .code = PARE_E_MODEL, .says = "strides"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 3 3"}, .attrs = "strides=[0,1]", .code = PARE_E_INVALID, .says = "strides"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 3 3"}, .attrs = "dilations=[1,-1]", .code = PARE_E_INVALID, .says = "dilations"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 3 3"}, .attrs = "pads=[0,0,0,-1]", .code = PARE_E_INVALID, .says = "pads"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 3 3"}, .attrs = "auto_pad=SAME", .code = PARE_E_INVALID, .says = "SAME_UPPER"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 3 3"}, .attrs = "kernel_shape=[3,2]", .code = PARE_E_SHAPE, .says = "kernel_shape"},
    {.op = "Conv", .in = {"1 2 4 4", "3 2 3 3"}, .attrs = "group=0", .code = PARE_E_INVALID, .says = "group"},
    {.op = "Conv", .in = {"1 1 4 4", "1 1 1 1"}, .attrs = "pads=[16000000,16000000,16000000,16000000]", .code = PARE_E_LIMIT, .says = "too large"},
    {.op = "ConvTranspose", .in = {"1 2 3", "2 1 2"}, .attrs = "pads=[4,4]", .code = PARE_E_SHAPE, .says = "nothing is left"},
    {.op = "ConvTranspose", .in = {"1 2 3", "3 1 2"}, .code = PARE_E_SHAPE, .says = "number of groups"},
    {.op = "ConvTranspose", .in = {"1 1 4 4", "1 1 1 1"}, .attrs = "strides=[16000000,16000000]", .code = PARE_E_LIMIT, .says = "too large"},
    {.op = "MaxPool", .in = {"1 2 4 4"}, .code = PARE_E_MODEL, .says = "kernel_shape"},
    {.op = "MaxPool", .in = {"1 2 4 4"}, .attrs = "kernel_shape=[2]", .code = PARE_E_MODEL, .says = "kernel_shape"},
    {.op = "MaxPool", .in = {"1 2 4 4"}, .attrs = "kernel_shape=[2,2]", .n_out = 2, .code = PARE_E_UNSUPPORTED_OP, .says = "indices"},
    {.op = "AveragePool", .in = {"1 2 4 4"}, .attrs = "kernel_shape=[2,0]", .code = PARE_E_INVALID, .says = "kernel_shape"},
    {.op = "GlobalAveragePool", .in = {"2 3"}, .code = PARE_E_SHAPE, .says = "spatial axes"},
    {.op = "BatchNormalization", .in = {"2 3 4", "2", "3", "3", "3"}, .code = PARE_E_SHAPE, .says = "scale"},
    {.op = "BatchNormalization", .in = {"2 3 4", "3", "3", "3", "2"}, .code = PARE_E_UNSUPPORTED_OP, .says = "constants of 3 channels"},
    {.op = "BatchNormalization", .in = {"2 3 4", "3", "3", "3", "3"}, .code = PARE_E_INVALID, .says = "variance"},
    {.op = "BatchNormalization", .in = {"3", "3", "3", "3", "3"}, .code = PARE_E_SHAPE, .says = "dimensions"},
    {.op = "InstanceNormalization", .in = {"2 3 4", "3", "4"}, .code = PARE_E_SHAPE, .says = "bias"},
    {.op = "LayerNormalization", .opset = 17, .in = {"2 3 4", "3"}, .code = PARE_E_SHAPE, .says = "normalized axes"},
    {.op = "LayerNormalization", .opset = 17, .in = {"2 3 4", "4"}, .attrs = "axis=3", .code = PARE_E_SHAPE, .says = "axis 3"},
    {.op = "LayerNormalization", .opset = 17, .in = {"N 4", "3 4"}, .attrs = "axis=0", .code = PARE_E_UNSUPPORTED, .says = "over the batch"},
    {.op = "GroupNormalization", .opset = 21, .in = {"2 4 3", "4", "4"}, .attrs = "num_groups=3", .code = PARE_E_SHAPE, .says = "num_groups"},
    {.op = "GroupNormalization", .opset = 21, .in = {"2 4 3", "4", "4"}, .code = PARE_E_MODEL, .says = "num_groups"},
    {.op = "LRN", .in = {"2 4 3"}, .code = PARE_E_MODEL, .says = "size"},
};
#define N_BAD (sizeof bad_table / sizeof bad_table[0])

static size_t parse_dims(const char *text, int64_t *dims, int *n_dims)
{
	size_t n = 1;

	for (*n_dims = 0; *text != '\0'; (*n_dims)++) {
		char *end;

		dims[*n_dims] = *text == 'N' ? ROWS : strtoll(text, &end, 10);
		text = *text == 'N' ? text + 1 : end;
		n *= (size_t)dims[*n_dims];
		text += strspn(text, " ");
	}
	return n;
}

static void set_attr(struct gb *b, const char *name, char *value)
{
	int64_t ints[8];
	size_t n = 0;

	if (*value == '[') {
		for (char *at = value + 1; *at != ']' && *at != '\0'; at += *at == ',')
			ints[n++] = strtoll(at, &at, 10);
		gb_attr_ints(b, name, ints, n);
	} else if (strchr(value, '.') != NULL) {
		gb_attr_float(b, name, strtof(value, NULL));
	} else if (strspn(value, "-0123456789") > 0) {
		gb_attr_int(b, name, strtoll(value, NULL, 10));
	} else {
		gb_attr_string(b, name, value);
	}
}

static void set_attrs(struct gb *b, const char *attrs)
{
	char text[256], *save = NULL;

	(void)snprintf(text, sizeof text, "%s", attrs != NULL ? attrs : "");
	for (char *token = strtok_r(text, " ", &save); token != NULL; token = strtok_r(NULL, " ", &save)) {
		char *value = strchr(token, '=');

		ck_assert_ptr_nonnull(value);
		*value = '\0';
		set_attr(b, token, value + 1);
	}
}

struct built {
	struct gb *b;
	float data[MAX_IN][MAX_ELEMS];
	const float *inputs[1];
};

static void fill(enum fill how, size_t n, uint64_t seed, float *out)
{
	nc_fill(out, n, seed);
	for (size_t i = 0; how == DISTINCT && i < n; i++)
		out[i] = 0.1f * (float)(i * 389 % 1021) - 40.0f;
	for (size_t i = 0; how == POSITIVE && i < n; i++)
		out[i] = 1.0f + 0.5f * out[i];
}

static void build(const char *op, int opset, const char *const *in, const char *attrs, const enum fill *how, const float *const *data, int n_out, struct built *t)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};
	char ports[32] = "";
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;

	memset(t, 0, sizeof *t);
	t->b = gb_new(opset);
	for (int i = 0; i < MAX_IN && in[i] != NULL; i++) {
		bool absent = in[i][0] == '-';
		size_t n = absent ? 0 : parse_dims(in[i], dims, &n_dims);

		ck_assert_uint_le(n, MAX_ELEMS);
		fill(how != NULL ? how[i] : RANDOM, n, (uint64_t)i + 1, t->data[i]);
		if (data != NULL && data[i] != NULL)
			memcpy(t->data[i], data[i], n * sizeof(float));
		if (in[i][0] == 'N') {
			gb_input(t->b, names[i], in[i]);
			t->inputs[0] = t->data[i];
		} else if (!absent) {
			gb_init(t->b, names[i], in[i], t->data[i]);
		}
		(void)snprintf(ports + strlen(ports), sizeof ports - strlen(ports), "%s%s", i > 0 ? " " : "", absent ? "-" : names[i]);
	}
	gb_node(t->b, op, "node", ports, n_out > 2 ? "y y1 y2" : n_out > 1 ? "y y1" : "y");
	set_attrs(t->b, attrs);
	gb_output(t->b, "y");
	if (n_out > 1)
		gb_output(t->b, "y1");
	if (n_out > 2)
		gb_output(t->b, "y2");
}

static void build_case(const struct op_case *c, struct built *t)
{
	build(c->op, c->opset, c->in, c->attrs, c->fill, c->data, c->n_out, t);
}

static void check_shape(const struct pare_net *net, const struct op_case *c)
{
	int64_t want[PARE_MAX_DIMS], got[PARE_MAX_DIMS];
	int n_want, n_got;

	(void)parse_dims(c->out, want, &n_want);
	(void)pare_net_output_shape(net, 0, &n_got, got);
	ck_assert_int_eq(n_got, n_want);
	for (int i = 0; i < n_got; i++)
		ck_assert_msg(got[i] == (i == 0 && c->out[0] == 'N' ? PARE_DIM_UNKNOWN : want[i]), "%s case %d: dimension %d is %lld", c->op,
		    (int)(c - case_table), i, (long long)got[i]);
}

/* Also for fewer rows than planned, and with as many shards as rows, where there is a batch and its rows do not meet. */
static void check_rows(const struct op_case *c, struct built *t, const float *want, size_t n)
{
	struct pare_net *net = nc_net(t->b, ROWS, ROWS, true);
	float got[MAX_ELEMS];

	nc_forward(net, t->inputs, ROWS, false, 0);
	(void)nc_output(net, 0, ROWS, got);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabsf(got[i] - want[i]) <= 1e-5f * fmaxf(1, fabsf(want[i])), "%s case %d: shards: element %zu", c->op, (int)(c - case_table), i);
	pare_net_free(net);
	net = nc_net(t->b, 1, ROWS, true);
	nc_forward(net, t->inputs, 1, false, 0);
	(void)nc_output(net, 0, 1, got);
	for (size_t i = 0; i < n / ROWS; i++)
		ck_assert_msg(fabsf(got[i] - want[i]) <= 1e-5f * fmaxf(1, fabsf(want[i])), "%s case %d: one row: element %zu", c->op, (int)(c - case_table), i);
	pare_net_free(net);
}

static bool near(float got, float want)
{
	return isnan(want) ? isnan(got) : isinf(want) ? got == want : fabsf(got - want) <= 2e-6f * fmaxf(1, fabsf(want));
}

START_TEST(forward)
{
	const struct op_case *c = &case_table[_i];
	struct built t;

	build_case(c, &t);
	for (int training = 0; training < 2; training++) {
		struct pare_net *net = nc_net(t.b, 1, ROWS, training != 0);
		float out[MAX_ELEMS], again[MAX_ELEMS];
		size_t n;

		check_shape(net, c);
		nc_forward(net, t.inputs, ROWS, false, 0);
		n = nc_output(net, 0, ROWS, out);
		ck_assert_uint_le(n, MAX_ELEMS);
		for (size_t i = 0; c->want != NULL && i < n; i++)
			ck_assert_msg(near(out[i], c->want[i]), "%s case %d: element %zu is %.9g, want %.9g", c->op, _i, i, (double)out[i], (double)c->want[i]);
		nc_forward(net, t.inputs, ROWS, false, 0);
		(void)nc_output(net, 0, ROWS, again);
		ck_assert_mem_eq(out, again, n * sizeof *out);
		pare_net_free(net);
		if (c->out[0] == 'N' && (c->attrs == NULL || strstr(c->attrs, "training_mode=1") == NULL))
			check_rows(c, &t, out, n);
	}
	gb_free(t.b);
}
END_TEST

/* The operator alone, and with its input used twice more (its gradient must add to what is there). */
START_TEST(gradient)
{
	const struct op_case *c = &case_table[_i];
	struct built t;

	for (int shared = 0; c->gradient > 0 && shared < 2; shared++) {
		struct pare_net *net;
		double error;

		build_case(c, &t);
		if (shared != 0) {
			gb_node(t.b, "Tanh", "other", "a", "z");
			gb_output(t.b, "z");
			gb_node(t.b, "Sigmoid", "third", "a", "u");
			gb_output(t.b, "u");
		}
		net = nc_net(t.b, 1, ROWS, true);
		error = nc_gradient_error(net, t.inputs, ROWS, false, STEP);
		ck_assert_msg(error < (shared != 0 ? fmax(c->gradient, CURVED) : c->gradient), "%s case %d (shared %d): gradient off by %g", c->op, _i, shared, error);
		pare_net_free(net);
		gb_free(t.b);
	}
}
END_TEST

static void operand_text(int operand, int axis, char out[16])
{
	if (operand >= PARE_OUT(0))
		(void)snprintf(out, 16, "o.%d", axis);
	else
		(void)snprintf(out, 16, "%d.%d", operand, axis);
}

/* Calls couple as the net does, on the shapes that it inferred. */
START_TEST(couple)
{
	static const char *const kinds[] = {"same", "contract", "mix", "spread", "opaque"};
	const struct op_case *c = &case_table[_i];
	struct pare_ties ties;
	struct pare_net *net;
	struct built t;
	char text[1024] = "";

	if (c->ties == NULL)
		return;
	build_case(c, &t);
	net = nc_net(t.b, 1, ROWS, true);
	pare_net_ties(net, &net->nodes[0], &ties);
	for (int i = 0; i < ties.n; i++) {
		const struct pare_tie *e = &ties.tie[i];
		char a[16], b[16];

		operand_text(e->a, e->a_axis, a);
		operand_text(e->b, e->b_axis, b);
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %s>%s", i > 0 ? " " : "", kinds[e->kind], a, b);
	}
	ck_assert_str_eq(text, c->ties);
	pare_net_free(net);
	gb_free(t.b);
}
END_TEST

START_TEST(refused)
{
	const struct bad_case *c = &bad_table[_i];
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = ROWS, .training = true, .seed = 7};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	struct built t;

	build(c->op, c->opset > 0 ? c->opset : 13, c->in, c->attrs, NULL, NULL, c->n_out, &t);
	ck_assert_msg(pare_net_new(gb_model(t.b), &opt, &net, &err) == c->code, "%s case %d: %s", c->op, _i, err.message);
	ck_assert_msg(strstr(err.message, c->says) != NULL, "%s case %d: \"%s\" does not say \"%s\"", c->op, _i, err.message, c->says);
	ck_assert_msg(strstr(err.where, "node") != NULL && strstr(err.where, c->op) != NULL, "%s case %d: where is \"%s\"", c->op, _i, err.where);
	gb_free(t.b);
}
END_TEST

static void row_is_covered(const struct pare_op *op)
{
	bool has_gradient = op->no_gradient != NULL, has_values = false, has_ties = false;

	for (const struct op_case *c = case_table; c < case_table + N_CASES; c++) {
		if (pare_op_find("", c->op, c->opset) != op)
			continue;
		has_gradient |= c->gradient > 0;
		has_values |= c->want != NULL;
		has_ties |= c->ties != NULL;
	}
	ck_assert_msg(has_gradient, "%s from opset %d: no gradient case, and no reason why", op->name, op->since);
	ck_assert_msg(has_values, "%s from opset %d: no case with values", op->name, op->since);
	ck_assert_msg(has_ties, "%s from opset %d: no couple case", op->name, op->since);
	ck_assert_msg(op->backward != NULL || op->no_gradient != NULL, "%s: no backward, and no reason why", op->name);
}

START_TEST(tables_are_covered)
{
	const struct pare_op *const family_table[] = {pare_op_conv_table, pare_op_pool_table, pare_op_norm_table};
	size_t n = 0;

	for (size_t f = 0; f < sizeof family_table / sizeof family_table[0]; f++)
		for (const struct pare_op *op = family_table[f]; op->name != NULL; op++, n++)
			row_is_covered(op);
	ck_assert_uint_gt(n, 5);
}
END_TEST

/* What planning says of a convolution's parameters: weights can be pruned, by output channel; biases cannot. */
START_TEST(parameters_and_cost)
{
	struct pare_net *net;
	struct built t;

	build("Conv", 13, (const char *const[MAX_IN]){"N 4 5 5", "6 2 3 3", "6"}, "group=2", NULL, NULL, 1, &t);
	net = nc_net(t.b, 1, ROWS, true);
	ck_assert(pare_net_param(net, 0)->prunable && pare_net_param(net, 0)->out_axis == 0);
	ck_assert(!pare_net_param(net, 1)->prunable && pare_net_param(net, 1)->out_axis == 0);
	ck_assert_int_eq(pare_net_macs(net), 6 * 9 * 2 * 9);
	pare_net_free(net);
	gb_free(t.b);
	build("ConvTranspose", 13, (const char *const[MAX_IN]){"N 4 5 5", "4 3 3 3", "3"}, "", NULL, NULL, 1, &t);
	net = nc_net(t.b, 1, ROWS, true);
	ck_assert(pare_net_param(net, 0)->prunable && pare_net_param(net, 0)->out_axis == 1);
	ck_assert_int_eq(pare_net_macs(net), 4 * 25 * 3 * 9);
	pare_net_free(net);
	gb_free(t.b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("convolution, pooling, normalization");
	TCase *t = tcase_create("cases");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, forward, 0, (int)N_CASES);
	tcase_add_loop_test(t, gradient, 0, (int)N_CASES);
	tcase_add_loop_test(t, couple, 0, (int)N_CASES);
	tcase_add_loop_test(t, refused, 0, (int)N_BAD);
	tcase_add_test(t, tables_are_covered);
	tcase_add_test(t, parameters_and_cost);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
