/* The rows that work element by element, move elements, reduce or generate, by hand-made cases as in test_op_cases.c: shape,
 * values, numeric gradient (alone, and added to what is there), ties, and the message for what is refused. The family
 * tables are walked at the end: a row without a case for something fails.
 *
 * Data are random unless given; DISTINCT data differ by at least 0.1 from each other, so that an order stays what it is
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
#define MAX_ELEMS 256

enum fill { RANDOM, DISTINCT, POSITIVE };

struct op_case {
	const char *op;
	int opset;
	/* shapes; "i:1 2 3" an int64 vector, "s:7" an int64 scalar, "b:1 0" a bool vector; "-": left out; NULL: none. The first
	 * is the graph's input if it starts with N */
	const char *in[MAX_IN];
	const char *attrs; /* "axis=2 axes=[1,2] mode=edge alpha=0.1" */
	enum fill fill[MAX_IN];
	const float *data[MAX_IN]; /* NULL: by fill */
	const char *out;           /* shape of output 0 */
	const float *want;         /* NULL: not compared */
	double gradient;           /* bound; 0: not checked */
	const char *ties;          /* NULL: not compared; "folded": nothing is left to run */
	int n_out;                 /* 0: 1 */
};

#define F(...) ((const float[]){__VA_ARGS__})
#define SIX F(1, 2, 3, 4, 5, 6)

static const struct op_case case_table[] = {
    /* two operands */
    {.op = "Add", .opset = 13, .in = {"2 3", "3"}, .data = {SIX, F(10, 20, 30)}, .out = "2 3", .want = F(11, 22, 33, 14, 25, 36),
     .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1"},
    {.op = "Add", .opset = 7, .in = {"N 3", "3"}, .out = "N 3", .gradient = LINEAR},
    {.op = "Add", .opset = 14, .in = {"2 1 4", "3 1"}, .out = "2 3 4", .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.2>o.2 same 1.0>o.1"},
    {.op = "Add", .opset = 14, .in = {"", "2 3"}, .out = "2 3", .gradient = LINEAR},
    {.op = "Add", .opset = 14, .in = {"2 3 2 2", "3 1 1"}, .out = "2 3 2 2", .gradient = LINEAR},
    {.op = "Mul", .opset = 13, .in = {"2 2", "2 1"}, .data = {F(1, 2, 3, 4), F(10, 100)}, .out = "2 2", .want = F(10, 20, 300, 400),
     .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.0"},
    {.op = "Mul", .opset = 7, .in = {"N 2 3", "2 1"}, .out = "N 2 3", .gradient = LINEAR},
    {.op = "Mul", .opset = 14, .in = {"2 1 3", "4 1"}, .out = "2 4 3", .gradient = LINEAR},
    {.op = "Mul", .opset = 14, .in = {"2 3", ""}, .out = "2 3", .gradient = LINEAR},
    {.op = "Mul", .opset = 14, .in = {"2 20", "2 20"}, .out = "2 20", .gradient = LINEAR},
    {.op = "Mul", .opset = 14, .in = {"3 20", "3 1"}, .out = "3 20", .gradient = LINEAR},
    {.op = "Sub", .opset = 13, .in = {"2 3", "3"}, .data = {SIX, F(10, 20, 30)}, .out = "2 3", .want = F(-9, -18, -27, -6, -15, -24), .gradient = LINEAR,
     .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1"},
    {.op = "Sub", .opset = 7, .in = {"N 2 3", "2 1"}, .out = "N 2 3", .gradient = LINEAR},
    {.op = "Sub", .opset = 13, .in = {"3", "2 1"}, .out = "2 3", .gradient = LINEAR},
    {.op = "Sub", .opset = 13, .in = {"3 70", "3 1"}, .out = "3 70", .gradient = LINEAR},
    {.op = "Sub", .opset = 13, .in = {"1 120", "120"}, .fill = {RANDOM}, .out = "1 120"},
    {.op = "Div", .opset = 13, .in = {"2 2", "2"}, .data = {F(1, 2, 3, 4), F(2, 8)}, .out = "2 2", .want = F(0.5f, 0.25f, 1.5f, 0.5f), .gradient = CURVED,
     .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1"},
    {.op = "Div", .opset = 7, .in = {"N 3", "3"}, .fill = {RANDOM, POSITIVE}, .out = "N 3", .gradient = CURVED},
    {.op = "Div", .opset = 14, .in = {"i:7 -7 8", "i:2 2 3"}, .out = "3", .want = F(3, -3, 2), .ties = "folded"},
    {.op = "Pow", .opset = 13, .in = {"2 2", "2"}, .data = {F(1, 2, 3, 4), F(2, 0.5f)}, .out = "2 2", .want = F(1, 1.41421356f, 9, 2), .gradient = CURVED,
     .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1"},
    {.op = "Pow", .opset = 7, .in = {"3 4", ""}, .data = {NULL, F(2)}, .fill = {POSITIVE}, .out = "3 4", .gradient = CURVED},
    {.op = "Mod", .opset = 13, .in = {"4", "4"}, .attrs = "fmod=1", .data = {F(5.3f, -5.3f, 5.3f, 1), F(2, 2, -2, 3)}, .out = "4", .want = F(1.3000002f, -1.3000002f, 1.3000002f, 1),
     .gradient = CURVED, .ties = "same 0.0>o.0 same 1.0>o.0"},
    {.op = "Mod", .opset = 13, .in = {"i:5 -5 5 -6", "i:3 3 -3 3"}, .out = "4", .want = F(2, 1, -1, 0)},
    {.op = "PRelu", .opset = 16, .in = {"2 3", "3"}, .data = {F(-1, 2, -3, 4, -5, 6), F(0.5f, 2, 3)}, .out = "2 3", .want = F(-0.5f, 2, -9, 4, -10, 6),
     .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1"},
    {.op = "And", .opset = 7, .in = {"b:1 1 0 0", "b:1 0 1 0"}, .out = "4", .want = F(1, 0, 0, 0), .ties = "folded"},
    {.op = "Or", .opset = 7, .in = {"b:1 1 0 0", "b:1 0 1 0"}, .out = "4", .want = F(1, 1, 1, 0), .ties = "folded"},
    {.op = "Xor", .opset = 7, .in = {"b:1 1 0 0", "b:1 0 1 0"}, .out = "4", .want = F(0, 1, 1, 0), .ties = "folded"},
    {.op = "Not", .opset = 7, .in = {"b:1 0"}, .out = "2", .want = F(0, 1), .ties = "folded"},
    {.op = "Equal", .opset = 13, .in = {"3", "3"}, .data = {F(1, 2, 3), F(1, 3, 2)}, .out = "3", .want = F(1, 0, 0), .ties = "same 0.0>o.0 same 1.0>o.0"},
    {.op = "Greater", .opset = 13, .in = {"N 3", "3"}, .out = "N 3"},
    {.op = "Greater", .opset = 13, .in = {"3", "3"}, .data = {F(1, 2, 3), F(1, 3, 2)}, .out = "3", .want = F(0, 0, 1), .ties = "same 0.0>o.0 same 1.0>o.0"},
    {.op = "Less", .opset = 13, .in = {"3", "3"}, .data = {F(1, 2, 3), F(1, 3, 2)}, .out = "3", .want = F(0, 1, 0), .ties = "same 0.0>o.0 same 1.0>o.0"},
    {.op = "GreaterOrEqual", .opset = 16, .in = {"3", "3"}, .data = {F(1, 2, 3), F(1, 3, 2)}, .out = "3", .want = F(1, 0, 1), .ties = "same 0.0>o.0 same 1.0>o.0"},
    {.op = "LessOrEqual", .opset = 12, .in = {"3", "3"}, .data = {F(1, 2, 3), F(1, 3, 2)}, .out = "3", .want = F(1, 1, 0), .ties = "same 0.0>o.0 same 1.0>o.0"},
    /* any number of operands */
    {.op = "Sum", .opset = 13, .in = {"2 3", "3", "2 1"}, .data = {SIX, F(10, 20, 30), F(100, 200)}, .out = "2 3",
     .want = F(111, 122, 133, 214, 225, 236), .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1 same 2.0>o.0"},
    {.op = "Sum", .opset = 8, .in = {"N 3", "3"}, .out = "N 3", .gradient = LINEAR},
    {.op = "Mean", .opset = 13, .in = {"2 3", "3", "2 1"}, .data = {SIX, F(10, 20, 30), F(100, 200)}, .out = "2 3",
     .want = F(37, 40.6666667f, 44.3333333f, 71.3333333f, 75, 78.6666667f), .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1 same 2.0>o.0"},
    {.op = "Mean", .opset = 8, .in = {"2 3", "3", "2 1"}, .out = "2 3", .gradient = LINEAR},
    {.op = "Max", .opset = 13, .in = {"2 2", "2", "1"}, .data = {F(1, 5, 3, 4), F(2, 3.5f), F(2.5f)}, .out = "2 2", .want = F(2.5f, 5, 3, 4),
     .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1"},
    {.op = "Max", .opset = 13, .in = {"2 3 4", "3 1"}, .fill = {DISTINCT, RANDOM}, .out = "2 3 4", .gradient = LINEAR},
    {.op = "Max", .opset = 8, .in = {"3"}, .out = "3", .gradient = LINEAR},
    {.op = "Min", .opset = 13, .in = {"2 2", "2", "1"}, .data = {F(1, 5, 3, 4), F(2, 3.5f), F(2.5f)}, .out = "2 2", .want = F(1, 2.5f, 2, 2.5f),
     .ties = "same 0.0>o.0 same 0.1>o.1 same 1.0>o.1"},
    {.op = "Min", .opset = 8, .in = {"3 4", "4"}, .fill = {DISTINCT, RANDOM}, .out = "3 4", .gradient = LINEAR},
    /* choosing and converting */
    {.op = "Where", .opset = 16, .in = {"b:1 0 1", "2 3", "1"}, .data = {NULL, SIX, F(-1)}, .out = "2 3", .want = F(1, -1, 3, 4, -1, 6), .gradient = LINEAR,
     .ties = "same 0.0>o.1 same 1.0>o.0 same 1.1>o.1"},
    {.op = "Where", .opset = 9, .in = {"b:1 0", "2", "2"}, .data = {NULL, F(1, INFINITY), F(NAN, 2)}, .out = "2", .want = F(1, 2)},
    {.op = "Cast", .opset = 13, .in = {"4"}, .attrs = "to=7", .data = {F(-1.7f, -0.2f, 1.5f, 3)}, .out = "4", .want = F(-1, 0, 1, 3)},
    {.op = "Cast", .opset = 13, .in = {"3"}, .attrs = "to=9", .data = {F(-1.7f, 0, 3)}, .out = "3", .want = F(1, 0, 1)},
    {.op = "Cast", .opset = 9, .in = {"3"}, .attrs = "to=10", .data = {F(1.0001f, 70000, 3)}, .out = "3", .want = F(1, INFINITY, 3)},
    {.op = "Cast", .opset = 13, .in = {"3"}, .attrs = "to=16", .data = {F(1.001f, 2, 3)}, .out = "3", .want = F(1, 2, 3)},
    {.op = "Cast", .opset = 13, .in = {"3"}, .attrs = "to=1", .out = "3", .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Cast", .opset = 13, .in = {"i:3 4"}, .attrs = "to=1", .out = "2", .want = F(3, 4)},
    {.op = "CastLike", .opset = 15, .in = {"3", "i:1"}, .data = {F(-1.7f, 0, 3.2f)}, .out = "3", .want = F(-1, 0, 3)},
    {.op = "CastLike", .opset = 15, .in = {"3", "2"}, .out = "3", .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Clip", .opset = 13, .in = {"4", "", ""}, .data = {F(-1.5f, -0.4f, 0.3f, 2), F(-1), F(1)}, .out = "4", .want = F(-1, -0.4f, 0.3f, 1),
     .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Clip", .opset = 13, .in = {"3", "-", ""}, .data = {F(-1, 0, 2), NULL, F(1)}, .out = "3", .want = F(-1, 0, 1)},
    {.op = "Neg", .opset = 13, .in = {"i:3 -4"}, .out = "2", .want = F(-3, 4), .ties = "folded"},
    /* views */
    {.op = "Flatten", .opset = 13, .in = {"2 3 4"}, .out = "2 12", .gradient = LINEAR, .ties = "same 0.0>o.0 spread 0.1>o.1*1,4 spread 0.2>o.1*3,1"},
    {.op = "Flatten", .opset = 7, .in = {"N 2 2"}, .out = "N 4", .ties = "same 0.0>o.0 spread 0.1>o.1*1,2 spread 0.2>o.1*2,1"},
    {.op = "Flatten", .opset = 13, .in = {"2 3"}, .attrs = "axis=0", .data = {SIX}, .out = "1 6", .want = SIX, .gradient = LINEAR},
    {.op = "Flatten", .opset = 13, .in = {"2 3 4"}, .attrs = "axis=-1", .out = "6 4", .gradient = LINEAR},
    {.op = "Flatten", .opset = 13, .in = {"2 3"}, .attrs = "axis=2", .out = "6 1", .gradient = LINEAR},
    {.op = "Identity", .opset = 13, .in = {"2 2"}, .data = {F(1, 2, 3, 4)}, .out = "2 2", .want = F(1, 2, 3, 4), .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.1>o.1"},
    {.op = "Reshape", .opset = 13, .in = {"2 3", "i:3 -1"}, .data = {SIX}, .out = "3 2", .want = SIX, .gradient = LINEAR,
     .ties = "opaque 0.0>o.0 opaque 0.0>o.1 opaque 0.1>o.0 opaque 0.1>o.1"},
    {.op = "Reshape", .opset = 13, .in = {"N 2 3", "i:-1 6"}, .out = "N 6", .ties = "same 0.0>o.0 spread 0.1>o.1*1,3 spread 0.2>o.1*2,1"},
    {.op = "Reshape", .opset = 13, .in = {"N 6", "i:0 2 -1"}, .out = "N 2 3", .ties = "same 0.0>o.0 spread o.1>0.1*1,3 spread o.2>0.1*2,1"},
    {.op = "Reshape", .opset = 14, .in = {"2 3", "i:6"}, .attrs = "allowzero=1", .out = "6", .gradient = LINEAR},
    {.op = "Reshape", .opset = 13, .in = {"2 1 3", "i:2 3"}, .out = "2 3", .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.2>o.1"},
    {.op = "Squeeze", .opset = 12, .in = {"2 1 3"}, .attrs = "axes=[1]", .data = {SIX}, .out = "2 3", .want = SIX, .gradient = LINEAR, .ties = "same 0.0>o.0 same 0.2>o.1"},
    {.op = "Squeeze", .opset = 13, .in = {"N 1 3 1", "i:-1"}, .out = "N 1 3", .ties = "same 0.0>o.0 same o.2>0.2"},
    {.op = "Squeeze", .opset = 13, .in = {"2 1 3 1"}, .data = {SIX}, .out = "2 3", .want = SIX, .gradient = LINEAR},
    {.op = "Unsqueeze", .opset = 11, .in = {"2 3"}, .attrs = "axes=[0,-1]", .data = {SIX}, .out = "1 2 3 1", .want = SIX, .gradient = LINEAR, .ties = "same o.1>0.0 same 0.1>o.2"},
    {.op = "Unsqueeze", .opset = 13, .in = {"N 3", "i:1"}, .out = "N 1 3", .ties = "same 0.0>o.0 same o.2>0.1"},
    {.op = "Unsqueeze", .opset = 13, .in = {"2 3", "i:2"}, .data = {SIX}, .out = "2 3 1", .want = SIX, .gradient = LINEAR},
    /* moving */
    {.op = "Transpose", .opset = 13, .in = {"2 3"}, .data = {SIX}, .out = "3 2", .want = F(1, 4, 2, 5, 3, 6), .gradient = LINEAR, .ties = "same 0.1>o.0 same 0.0>o.1"},
    {.op = "Transpose", .opset = 7, .in = {"N 2 3 4"}, .attrs = "perm=[0,2,1,3]", .out = "N 3 2 4"},
    {.op = "Transpose", .opset = 13, .in = {"2 3 2 2"}, .attrs = "perm=[3,0,2,1]", .out = "2 2 2 3", .gradient = LINEAR},
    {.op = "Concat", .opset = 13, .in = {"2 1", "2 2"}, .attrs = "axis=1", .data = {F(1, 2), F(3, 4, 5, 6)}, .out = "2 3", .want = F(1, 3, 4, 2, 5, 6), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>o.1 same 1.0>o.0 opaque 1.1>o.1"},
    {.op = "Concat", .opset = 7, .in = {"2 3", "1 3", "2 3"}, .attrs = "axis=-2", .out = "5 3", .gradient = LINEAR},
    {.op = "Split", .opset = 11, .in = {"2 3"}, .attrs = "axis=1 split=[1,2]", .data = {SIX}, .out = "2 1", .want = F(1, 4), .gradient = LINEAR, .n_out = 2,
     .ties = "same 0.0>o.0 opaque 0.1>o.1 same 0.0>o.0 opaque 0.1>o.1"},
    {.op = "Split", .opset = 13, .in = {"6", "i:2 3 1"}, .data = {SIX}, .out = "2", .want = F(1, 2), .gradient = LINEAR, .n_out = 3,
     .ties = "opaque 0.0>o.0 opaque 0.0>o.0 opaque 0.0>o.0"},
    {.op = "Split", .opset = 18, .in = {"N 5"}, .attrs = "axis=1 num_outputs=2", .out = "N 3", .n_out = 2},
    {.op = "Expand", .opset = 13, .in = {"2 1", "i:3 1 2"}, .data = {F(1, 2)}, .out = "3 2 2", .want = F(1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2), .gradient = LINEAR,
     .ties = "same 0.0>o.1"},
    {.op = "Expand", .opset = 8, .in = {"N 1 3", "i:1 2 1"}, .out = "N 2 3", .ties = "same 0.0>o.0 same 0.2>o.2"},
    {.op = "Tile", .opset = 13, .in = {"2 2", "i:1 2"}, .data = {F(1, 2, 3, 4)}, .out = "2 4", .want = F(1, 2, 1, 2, 3, 4, 3, 4), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>o.1"},
    {.op = "Tile", .opset = 7, .in = {"2 3 2", "i:2 2 3"}, .out = "4 6 6", .gradient = LINEAR},
    {.op = "DepthToSpace", .opset = 13, .in = {"1 4 1 2"}, .attrs = "blocksize=2", .data = {F(0, 1, 2, 3, 4, 5, 6, 7)}, .out = "1 1 2 4",
     .want = F(0, 2, 1, 3, 4, 6, 5, 7), .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>o.1 opaque 0.2>o.2 opaque 0.3>o.3"},
    {.op = "DepthToSpace", .opset = 11, .in = {"2 8 2 3"}, .attrs = "blocksize=2 mode=CRD", .out = "2 2 4 6", .gradient = LINEAR},
    {.op = "SpaceToDepth", .opset = 13, .in = {"1 1 2 4"}, .attrs = "blocksize=2", .data = {F(0, 2, 1, 3, 4, 6, 5, 7)}, .out = "1 4 1 2",
     .want = F(0, 1, 2, 3, 4, 5, 6, 7), .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>o.1 opaque 0.2>o.2 opaque 0.3>o.3"},
    {.op = "SpaceToDepth", .opset = 7, .in = {"N 2 4 6"}, .attrs = "blocksize=2", .out = "N 8 2 3"},
    {.op = "Slice", .opset = 9, .in = {"2 3"}, .attrs = "starts=[1] ends=[3] axes=[1]", .data = {SIX}, .out = "2 2", .want = F(2, 3, 5, 6), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>o.1"},
    {.op = "Slice", .opset = 13, .in = {"2 3", "i:-1", "i:-9223372036854775807", "i:1", "i:-2"}, .data = {SIX}, .out = "2 2", .want = F(3, 1, 6, 4),
     .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>o.1"},
    {.op = "Slice", .opset = 10, .in = {"N 5", "i:0 1", "i:9223372036854775807 4"}, .out = "N 3"},
    {.op = "Pad", .opset = 7, .in = {"2 2"}, .attrs = "pads=[0,1,1,0] value=9.0", .data = {F(1, 2, 3, 4)}, .out = "3 3", .want = F(9, 1, 2, 9, 3, 4, 9, 9, 9),
     .gradient = LINEAR, .ties = "opaque 0.0>o.0 opaque 0.1>o.1"},
    {.op = "Pad", .opset = 13, .in = {"2 3", "i:0 2 0 1"}, .attrs = "mode=reflect", .data = {SIX}, .out = "2 6", .want = F(3, 2, 1, 2, 3, 2, 6, 5, 4, 5, 6, 5),
     .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>o.1"},
    {.op = "Pad", .opset = 19, .in = {"2 3", "i:1 0 1 2"}, .attrs = "mode=edge", .out = "4 5", .gradient = LINEAR},
    {.op = "Pad", .opset = 19, .in = {"2 3", "i:0 1 0 2"}, .attrs = "mode=wrap", .data = {SIX}, .out = "2 6",
     .want = F(3, 1, 2, 3, 1, 2, 6, 4, 5, 6, 4, 5), .gradient = LINEAR},
    {.op = "Pad", .opset = 18, .in = {"N 3", "i:1 -1", "", "i:1"}, .data = {NULL, NULL, F(7)}, .out = "N 3"},
    /* picking */
    {.op = "Gather", .opset = 13, .in = {"3 2", "i:2 -3 2"}, .data = {SIX}, .out = "3 2", .want = F(5, 6, 1, 2, 5, 6), .gradient = LINEAR,
     .ties = "same 0.1>o.1 same 1.0>o.0 opaque 0.0>o.0"},
    {.op = "Gather", .opset = 7, .in = {"N 4", "s:1"}, .attrs = "axis=1", .out = "N"},
    {.op = "GatherElements", .opset = 13, .in = {"3", "i:2 0 -2 2"}, .data = {F(1, 2, 3)}, .out = "4", .want = F(3, 1, 2, 3), .gradient = LINEAR,
     .ties = "opaque 0.0>o.0 opaque 1.0>o.0"},
    {.op = "ArgMax", .opset = 13, .in = {"2 3"}, .attrs = "axis=1", .data = {F(1, 3, 2, 5, 4, 5)}, .out = "2 1", .want = F(1, 0), .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ArgMax", .opset = 13, .in = {"N 3"}, .attrs = "axis=-1 keepdims=0 select_last_index=1", .out = "N"},
    {.op = "ArgMin", .opset = 7, .in = {"2 3"}, .attrs = "axis=0 keepdims=0", .data = {F(1, 3, 2, 5, 2, 2)}, .out = "3", .want = F(0, 1, 0), .ties = "opaque 0.0>0.0 same 0.1>o.0"},
    {.op = "TopK", .opset = 9, .in = {"2 3"}, .attrs = "k=2", .data = {F(1, 3, 2, 5, 4, 6)}, .out = "2 2", .want = F(3, 2, 6, 5), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "TopK", .opset = 13, .in = {"3 2", "i:2"}, .attrs = "axis=0 largest=0", .data = {F(1, 5, 3, 2, 2, 4)}, .out = "2 2", .want = F(1, 2, 2, 4),
     .gradient = LINEAR, .ties = "opaque 0.0>0.0 same 0.1>o.1"},
    /* generating */
    {.op = "Shape", .opset = 15, .in = {"2 3 4"}, .attrs = "start=-2", .out = "2", .want = F(3, 4), .ties = "folded"},
    {.op = "Size", .opset = 13, .in = {"2 3"}, .out = "", .want = F(6), .ties = "folded"},
    {.op = "ConstantOfShape", .opset = 9, .in = {"i:2 2"}, .out = "2 2", .want = F(0, 0, 0, 0), .ties = "folded"},
    {.op = "Range", .opset = 11, .in = {"s:2", "s:9", "s:3"}, .out = "3", .want = F(2, 5, 8), .ties = "folded"},
    /* reducing */
    {.op = "ReduceSum", .opset = 12, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(6, 15), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceSum", .opset = 12, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .out = "1 3 1", .gradient = LINEAR},
    {.op = "ReduceSum", .opset = 13, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(6, 15), .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceSum", .opset = 13, .in = {"N 3 4", "i:1"}, .out = "N 1 4"},
    {.op = "ReduceSum", .opset = 13, .in = {"2 3 4"}, .attrs = "keepdims=0", .out = "", .gradient = LINEAR},
    {.op = "ReduceMean", .opset = 17, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(2, 5), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceMean", .opset = 17, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .out = "1 3 1", .gradient = LINEAR},
    {.op = "ReduceMean", .opset = 18, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(2, 5), .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceMean", .opset = 18, .in = {"N 3 4", "i:1"}, .out = "N 1 4"},
    {.op = "ReduceMean", .opset = 18, .in = {"2 3 4"}, .attrs = "keepdims=0", .out = "", .gradient = LINEAR},
    {.op = "ReduceL1", .opset = 17, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(6, 15), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceL1", .opset = 17, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .out = "1 3 1", .gradient = LINEAR},
    {.op = "ReduceL1", .opset = 18, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(6, 15), .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceL1", .opset = 18, .in = {"N 3 4", "i:1"}, .out = "N 1 4"},
    {.op = "ReduceL1", .opset = 18, .in = {"2 3 4"}, .attrs = "keepdims=0", .out = "", .gradient = LINEAR},
    {.op = "ReduceL2", .opset = 17, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(3.74165739f, 8.77496439f), .gradient = CURVED,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceL2", .opset = 17, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .out = "1 3 1", .gradient = CURVED},
    {.op = "ReduceL2", .opset = 18, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(3.74165739f, 8.77496439f), .gradient = CURVED, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceL2", .opset = 18, .in = {"N 3 4", "i:1"}, .out = "N 1 4"},
    {.op = "ReduceL2", .opset = 18, .in = {"2 3 4"}, .attrs = "keepdims=0", .out = "", .gradient = CURVED},
    {.op = "ReduceSumSquare", .opset = 17, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(14, 77), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceSumSquare", .opset = 17, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .out = "1 3 1", .gradient = LINEAR},
    {.op = "ReduceSumSquare", .opset = 18, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(14, 77), .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceSumSquare", .opset = 18, .in = {"N 3 4", "i:1"}, .out = "N 1 4"},
    {.op = "ReduceSumSquare", .opset = 18, .in = {"2 3 4"}, .attrs = "keepdims=0", .out = "", .gradient = LINEAR},
    {.op = "ReduceLogSum", .opset = 17, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(1.79175947f, 2.70805020f), .gradient = CURVED,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceLogSum", .opset = 17, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .fill = {POSITIVE}, .out = "1 3 1", .gradient = CURVED},
    {.op = "ReduceLogSum", .opset = 18, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(1.79175947f, 2.70805020f), .gradient = CURVED, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceLogSum", .opset = 18, .in = {"N 3 4", "i:1"}, .fill = {POSITIVE}, .out = "N 1 4"},
    {.op = "ReduceLogSum", .opset = 18, .in = {"2 3 4"}, .attrs = "keepdims=0", .fill = {POSITIVE}, .out = "", .gradient = CURVED},
    {.op = "ReduceLogSumExp", .opset = 17, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(3.40760596f, 6.40760596f), .gradient = CURVED,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceLogSumExp", .opset = 17, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .out = "1 3 1", .gradient = CURVED},
    {.op = "ReduceLogSumExp", .opset = 18, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(3.40760596f, 6.40760596f), .gradient = CURVED, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceLogSumExp", .opset = 18, .in = {"N 3 4", "i:1"}, .out = "N 1 4"},
    {.op = "ReduceLogSumExp", .opset = 18, .in = {"2 3 4"}, .attrs = "keepdims=0", .out = "", .gradient = CURVED},
    {.op = "ReduceProd", .opset = 17, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(6, 120), .gradient = CURVED,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceProd", .opset = 17, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .fill = {POSITIVE}, .out = "1 3 1", .gradient = CURVED},
    {.op = "ReduceProd", .opset = 18, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(6, 120), .gradient = CURVED, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceProd", .opset = 18, .in = {"N 3 4", "i:1"}, .fill = {POSITIVE}, .out = "N 1 4"},
    {.op = "ReduceProd", .opset = 18, .in = {"2 3 4"}, .attrs = "keepdims=0", .fill = {POSITIVE}, .out = "", .gradient = CURVED},
    {.op = "ReduceMax", .opset = 17, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(3, 6), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceMax", .opset = 17, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .fill = {DISTINCT}, .out = "1 3 1", .gradient = LINEAR},
    {.op = "ReduceMax", .opset = 18, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(3, 6), .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceMax", .opset = 18, .in = {"N 3 4", "i:1"}, .fill = {DISTINCT}, .out = "N 1 4"},
    {.op = "ReduceMax", .opset = 18, .in = {"2 3 4"}, .attrs = "keepdims=0", .fill = {DISTINCT}, .out = "", .gradient = LINEAR},
    {.op = "ReduceMin", .opset = 17, .in = {"2 3"}, .attrs = "axes=[-1] keepdims=0", .data = {SIX}, .out = "2", .want = F(1, 4), .gradient = LINEAR,
     .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceMin", .opset = 17, .in = {"2 3 4"}, .attrs = "axes=[0,2]", .fill = {DISTINCT}, .out = "1 3 1", .gradient = LINEAR},
    {.op = "ReduceMin", .opset = 18, .in = {"2 3", "i:1"}, .data = {SIX}, .out = "2 1", .want = F(1, 4), .gradient = LINEAR, .ties = "same 0.0>o.0 opaque 0.1>0.1"},
    {.op = "ReduceMin", .opset = 18, .in = {"N 3 4", "i:1"}, .fill = {DISTINCT}, .out = "N 1 4"},
    {.op = "ReduceMin", .opset = 18, .in = {"2 3 4"}, .attrs = "keepdims=0", .fill = {DISTINCT}, .out = "", .gradient = LINEAR},
    {.op = "ReduceSum", .opset = 13, .in = {"2 3"}, .attrs = "noop_with_empty_axes=1", .data = {SIX}, .out = "2 3", .want = SIX, .gradient = LINEAR},
    {.op = "ReduceProd", .opset = 13, .in = {"2 3"}, .attrs = "axes=[1]", .data = {F(1, 0, 3, 4, 5, 6)}, .out = "2 1", .want = F(0, 120), .gradient = LINEAR},
    {.op = "ReduceMax", .opset = 13, .in = {"i:3 7 5"}, .out = "1", .want = F(7), .ties = "folded"},
    /* one operand */
    {.op = "Neg", .opset = 13, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(1.5f, 0.4f, -0.3f, -2), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Abs", .opset = 13, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(1.5f, 0.4f, 0.3f, 2), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Sign", .opset = 13, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-1, -1, 1, 1), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Floor", .opset = 13, .in = {"3"}, .data = {F(-1.5f, -0.4f, 0.3f)}, .out = "3",
     .want = F(-2, -1, 0), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Ceil", .opset = 13, .in = {"3"}, .data = {F(-1.5f, -0.4f, 0.3f)}, .out = "3",
     .want = F(-1, 0, 1), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Round", .opset = 11, .in = {"4"}, .data = {F(-2.6f, 0.4f, 1.7f, 2.2f)}, .out = "4",
     .want = F(-3, 0, 2, 2), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Round", .opset = 11, .in = {"4"}, .data = {F(-1.5f, 0.5f, 1.5f, 2.5f)}, .out = "4",
     .want = F(-2, 0, 2, 2), .ties = "same 0.0>o.0"},
    {.op = "Exp", .opset = 13, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(0.22313016f, 0.670320046f, 1.34985881f, 7.3890561f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Log", .opset = 13, .in = {"4"}, .data = {F(0.5f, 0.8f, 1.5f, 3)}, .out = "4",
     .want = F(-0.693147181f, -0.223143551f, 0.405465108f, 1.09861229f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Sqrt", .opset = 13, .in = {"4"}, .data = {F(0.5f, 0.8f, 1.5f, 3)}, .out = "4",
     .want = F(0.707106781f, 0.894427191f, 1.22474487f, 1.73205081f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Reciprocal", .opset = 13, .in = {"4"}, .data = {F(0.5f, 0.8f, 1.5f, 3)}, .out = "4",
     .want = F(2, 1.25f, 0.666666667f, 0.333333333f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Erf", .opset = 13, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-0.966105146f, -0.428392355f, 0.328626759f, 0.995322265f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Sin", .opset = 7, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-0.997494987f, -0.389418342f, 0.295520207f, 0.909297427f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Cos", .opset = 7, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(0.0707372017f, 0.921060994f, 0.955336489f, -0.416146837f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Tan", .opset = 7, .in = {"4"}, .data = {F(-1, -0.4f, 0.3f, 0.9f)}, .out = "4",
     .want = F(-1.55740772f, -0.422793219f, 0.30933625f, 1.26015822f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Asin", .opset = 7, .in = {"4"}, .data = {F(-0.7f, -0.2f, 0.1f, 0.6f)}, .out = "4",
     .want = F(-0.775397497f, -0.201357921f, 0.100167421f, 0.643501109f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Acos", .opset = 7, .in = {"4"}, .data = {F(-0.7f, -0.2f, 0.1f, 0.6f)}, .out = "4",
     .want = F(2.34619382f, 1.77215425f, 1.47062891f, 0.927295218f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Atan", .opset = 7, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-0.982793723f, -0.380506377f, 0.291456794f, 1.10714872f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Sinh", .opset = 9, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-2.12927946f, -0.410752326f, 0.304520293f, 3.62686041f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Cosh", .opset = 9, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(2.35240962f, 1.08107237f, 1.04533851f, 3.76219569f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Asinh", .opset = 9, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-1.19476322f, -0.39003532f, 0.295673048f, 1.44363548f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Acosh", .opset = 9, .in = {"4"}, .data = {F(1.4f, 1.8f, 2.5f, 4)}, .out = "4",
     .want = F(0.867014726f, 1.19291073f, 1.56679924f, 2.06343707f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Atanh", .opset = 9, .in = {"4"}, .data = {F(-0.7f, -0.2f, 0.1f, 0.6f)}, .out = "4",
     .want = F(-0.867300528f, -0.202732554f, 0.100335348f, 0.693147181f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "LeakyRelu", .opset = 16, .in = {"4"}, .attrs = "alpha=0.1", .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-0.15f, -0.04f, 0.3f, 2), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Elu", .opset = 7, .in = {"4"}, .attrs = "alpha=2.0", .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-1.55373968f, -0.659359908f, 0.3f, 2), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Selu", .opset = 7, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-1.36581436f, -0.579610112f, 0.315210307f, 2.10140204f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Celu", .opset = 12, .in = {"4"}, .attrs = "alpha=2.0", .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-1.05526689f, -0.362538494f, 0.3f, 2), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "ThresholdedRelu", .opset = 10, .in = {"4"}, .attrs = "alpha=0.5", .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(0, 0, 0, 2), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "HardSigmoid", .opset = 7, .in = {"4"}, .attrs = "alpha=0.5 beta=0.6", .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(0, 0.4f, 0.75f, 1), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "HardSwish", .opset = 14, .in = {"4"}, .data = {F(-4, -1, 0.5f, 4)}, .out = "4",
     .want = F(0, -0.333333333f, 0.291666667f, 4), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Softplus", .opset = 7, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(0.201413278f, 0.513015252f, 0.854355244f, 2.12692801f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Softsign", .opset = 7, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-0.6f, -0.285714286f, 0.230769231f, 0.666666667f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Mish", .opset = 18, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-0.298099742f, -0.188916482f, 0.208001372f, 1.94395896f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Gelu", .opset = 20, .in = {"4"}, .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-0.100210802f, -0.137831303f, 0.185373427f, 1.95449974f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Gelu", .opset = 20, .in = {"4"}, .attrs = "approximate=tanh", .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-0.100428423f, -0.137838831f, 0.185370924f, 1.95459769f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Shrink", .opset = 9, .in = {"4"}, .attrs = "lambd=0.5 bias=0.1", .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-1.4f, 0, 0, 1.9f), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "IsNaN", .opset = 13, .in = {"3"}, .data = {F(1, NAN, INFINITY)}, .out = "3",
     .want = F(0, 1, 0), .ties = "same 0.0>o.0"},
    {.op = "IsInf", .opset = 10, .in = {"3"}, .attrs = "detect_negative=0", .data = {F(1, -INFINITY, INFINITY)}, .out = "3",
     .want = F(0, 0, 1), .ties = "same 0.0>o.0"},
    {.op = "Clip", .opset = 10, .in = {"4"}, .attrs = "min=-1.0 max=1.0", .data = {F(-1.5f, -0.4f, 0.3f, 2)}, .out = "4",
     .want = F(-1, -0.4f, 0.3f, 1), .gradient = LINEAR, .ties = "same 0.0>o.0"},
};
#define N_CASES (sizeof case_table / sizeof case_table[0])

/* What is refused, and the words that must be in the message. */
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
    {.op = "Sub", .in = {"2 3", "4"}, .code = PARE_E_SHAPE, .says = "[2, 3] and [4]"},
    {.op = "PRelu", .in = {"3", "2 3"}, .code = PARE_E_SHAPE, .says = "cannot be broadcast to the first"},
    {.op = "Max", .in = {"2 3", "3", "4"}, .code = PARE_E_SHAPE, .says = "[2, 3] and [4]"},
    {.op = "Where", .in = {"b:1 0", "3", "3"}, .code = PARE_E_SHAPE, .says = "[2] and [3]"},
    {.op = "Where", .in = {"3", "3", "3"}, .code = PARE_E_MODEL, .says = "must be bool"},
    {.op = "Where", .in = {"b:1 0", "2", "i:1 2"}, .code = PARE_E_MODEL, .says = "bool, float and int64"},
    {.op = "Add", .in = {"2", "i:1 2"}, .code = PARE_E_MODEL, .says = "float and int64"},
    {.op = "Cast", .in = {"3"}, .attrs = "to=8", .code = PARE_E_UNSUPPORTED_OP, .says = "Cast"},
    {.op = "Exp", .in = {"i:1 2"}, .code = PARE_E_UNSUPPORTED_OP, .says = "int64"},
    {.op = "Gelu", .opset = 20, .in = {"3"}, .attrs = "approximate=erf", .code = PARE_E_INVALID, .says = "approximate"},
    {.op = "Clip", .in = {"3", "2"}, .code = PARE_E_SHAPE, .says = "scalar"},
    {.op = "Transpose", .in = {"2 3"}, .attrs = "perm=[0,0]", .code = PARE_E_SHAPE, .says = "twice"},
    {.op = "Transpose", .in = {"2 3"}, .attrs = "perm=[0]", .code = PARE_E_SHAPE, .says = "perm"},
    {.op = "Concat", .in = {"2 3", "2 4"}, .attrs = "axis=0", .code = PARE_E_SHAPE, .says = "[2, 3] and [2, 4]"},
    {.op = "Concat", .in = {"2 3", "2 3"}, .attrs = "axis=2", .code = PARE_E_SHAPE, .says = "axis 2"},
    {.op = "Split", .in = {"6", "i:2 3"}, .n_out = 2, .code = PARE_E_SHAPE, .says = "5 elements together"},
    {.op = "Split", .in = {"N 4"}, .n_out = 2, .code = PARE_E_UNSUPPORTED_OP, .says = "along the batch"},
    {.op = "Expand", .in = {"2 3", "i:4 3"}, .code = PARE_E_SHAPE, .says = "[2, 3] cannot be expanded to [4, 3]"},
    {.op = "Tile", .in = {"2 3", "i:4"}, .code = PARE_E_SHAPE, .says = "1 repeats"},
    {.op = "Tile", .in = {"2 3", "i:4 1000000000000"}, .code = PARE_E_LIMIT, .says = "too large"},
    {.op = "DepthToSpace", .in = {"1 3 2 2"}, .attrs = "blocksize=2", .code = PARE_E_SHAPE, .says = "3 channels"},
    {.op = "SpaceToDepth", .in = {"1 3 3 2"}, .attrs = "blocksize=2", .code = PARE_E_SHAPE, .says = "3 x 2"},
    {.op = "Slice", .in = {"2 3", "i:0", "i:1", "i:5"}, .code = PARE_E_SHAPE, .says = "axis 5"},
    {.op = "Slice", .in = {"2 3", "i:0", "i:1", "i:1", "i:0"}, .code = PARE_E_INVALID, .says = "step of 0"},
    {.op = "Slice", .in = {"N 3", "i:0", "i:1"}, .code = PARE_E_UNSUPPORTED_OP, .says = "part of the batch"},
    {.op = "Slice", .in = {"2 3", "2", "i:1"}, .code = PARE_E_MODEL, .says = "integers"},
    {.op = "Pad", .in = {"2 3", "i:1 1"}, .code = PARE_E_SHAPE, .says = "2 pads for 2 axes"},
    {.op = "Pad", .in = {"2 3", "i:0 0 0 3"}, .attrs = "mode=reflect", .code = PARE_E_SHAPE, .says = "do not fit"},
    {.op = "Pad", .in = {"2 3", "i:0 -2 0 -2"}, .code = PARE_E_SHAPE, .says = "do not fit"},
    {.op = "Pad", .in = {"2 3", "i:0 0 0 1"}, .attrs = "mode=mirror", .code = PARE_E_INVALID, .says = "mode"},
    {.op = "Gather", .in = {"2 3", "i:2"}, .code = PARE_E_SHAPE, .says = "index 2 is out of range"},
    {.op = "Gather", .in = {"2 3", "2"}, .code = PARE_E_MODEL, .says = "must be integers"},
    {.op = "Gather", .in = {"0 3", "i:0"}, .code = PARE_E_SHAPE, .says = "nothing to pick from"},
    {.op = "Gather", .in = {"N 3", "i:0"}, .code = PARE_E_UNSUPPORTED_OP, .says = "along the batch"},
    {.op = "GatherElements", .in = {"2 3", "i:0"}, .code = PARE_E_SHAPE, .says = "equally many dimensions"},
    {.op = "ReduceSum", .in = {"2 3", "i:2"}, .code = PARE_E_SHAPE, .says = "axis 2"},
    {.op = "ReduceMax", .in = {"2 3"}, .attrs = "axes=[0,-2]", .code = PARE_E_SHAPE, .says = "twice"},
    {.op = "ArgMax", .in = {"N 3"}, .attrs = "axis=0", .code = PARE_E_UNSUPPORTED_OP, .says = "along the batch"},
    {.op = "TopK", .in = {"2 3", "i:4"}, .code = PARE_E_SHAPE, .says = "best 4 of 3"},
    {.op = "Squeeze", .in = {"2 3", "i:0"}, .code = PARE_E_SHAPE, .says = "is not 1"},
    {.op = "Unsqueeze", .in = {"2 3", "i:1 1"}, .code = PARE_E_SHAPE, .says = "twice"},
    {.op = "ConstantOfShape", .in = {"i:2 -2"}, .code = PARE_E_SHAPE, .says = "-2"},
    {.op = "Range", .in = {"s:0", "s:5", "s:0"}, .code = PARE_E_LIMIT, .says = "range"},
    {.op = "Range", .in = {"s:0", "i:1 2", "s:1"}, .code = PARE_E_SHAPE, .says = "scalar"},
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

/* "i:1 2", "s:1", "b:1 0": a constant of another type; false for a shape. */
static bool typed(struct gb *b, const char *name, const char *text)
{
	int64_t v[8];
	uint8_t bytes[8];
	int n = 0;
	char shape[16];

	if (text[0] == '\0' || text[1] != ':')
		return false;
	for (char *at = (char *)(uintptr_t)text + 2; *at != '\0'; at += strspn(at, " ")) {
		ck_assert_int_lt(n, 8);
		v[n] = strtoll(at, &at, 10);
		bytes[n] = (uint8_t)v[n];
		n++;
	}
	(void)snprintf(shape, sizeof shape, "%d", n);
	if (text[0] == 'b')
		gb_init_bytes(b, name, shape, PARE_DT_BOOL, bytes, (size_t)n);
	else
		gb_init_i64(b, name, text[0] == 's' ? "" : shape, v);
	return true;
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
		bool absent = in[i][0] == '-', is_typed = typed(t->b, names[i], in[i]);
		size_t n = absent || is_typed ? 0 : parse_dims(in[i], dims, &n_dims);

		ck_assert_uint_le(n, MAX_ELEMS);
		fill(how != NULL ? how[i] : RANDOM, n, (uint64_t)i + 1, t->data[i]);
		if (data != NULL && data[i] != NULL)
			memcpy(t->data[i], data[i], n * sizeof(float));
		if (in[i][0] == 'N') {
			gb_input(t->b, names[i], in[i]);
			t->inputs[0] = t->data[i];
		} else if (!absent && !is_typed) {
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

static void operand_text(int operand, int axis, char out[16])
{
	if (operand >= PARE_OUT(0))
		(void)snprintf(out, 16, "o.%d", axis);
	else
		(void)snprintf(out, 16, "%d.%d", operand, axis);
}

/* Calls couple as the net does, on the shapes that it inferred. */
static void check_ties(const struct op_case *c)
{
	static const char *const kinds[] = {"same", "contract", "mix", "spread", "opaque"};
	struct pare_ties ties;
	struct pare_net *net;
	struct built t;
	char text[1024] = "";

	if (c->ties == NULL)
		return;
	build_case(c, &t);
	net = nc_net(t.b, 1, ROWS, true);
	if (strcmp(c->ties, "folded") == 0) {
		ck_assert_int_eq(net->n_nodes, 0);
		pare_net_free(net);
		gb_free(t.b);
		return;
	}
	pare_net_ties(net, &net->nodes[0], &ties);
	for (int i = 0; i < ties.n; i++) {
		const struct pare_tie *e = &ties.tie[i];
		char a[16], b[16], blocks[48] = "";

		operand_text(e->a, e->a_axis, a);
		operand_text(e->b, e->b_axis, b);
		if (e->kind == PARE_TIE_SPREAD)
			(void)snprintf(blocks, sizeof blocks, "*%lld,%lld", (long long)e->outer, (long long)e->inner);
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s %s>%s%s", i > 0 ? " " : "", kinds[e->kind], a, b, blocks);
	}
	ck_assert_msg(strcmp(text, c->ties) == 0, "%s case %d: ties \"%s\", want \"%s\"", c->op, (int)(c - case_table), text, c->ties);
	pare_net_free(net);
	gb_free(t.b);
}

START_TEST(forward_and_ties)
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
		if (c->out[0] == 'N')
			check_rows(c, &t, out, n);
	}
	gb_free(t.b);
	check_ties(c);
}
END_TEST

/* The first input that has a gradient. */
static const char *first_float(const struct op_case *c)
{
	static const char *const names[] = {"a", "b", "c", "d", "e"};
	int i = 0;

	while (c->in[i][0] != '\0' && c->in[i][1] == ':')
		i++;
	return names[i];
}

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
			gb_node(t.b, "Tanh", "other", first_float(c), "z");
			gb_output(t.b, "z");
			gb_node(t.b, "Sigmoid", "third", first_float(c), "u");
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
}

START_TEST(tables_are_covered)
{
	const struct pare_op *const family_table[] = {
	    pare_op_elementwise_table, pare_op_unary_table, pare_op_variadic_table, pare_op_select_table, pare_op_shape_table, pare_op_movement_table,
	    pare_op_slice_table, pare_op_gather_table, pare_op_generate_table, pare_op_reduce_table, pare_op_pick_table,
	};
	size_t n = 0;

	for (size_t f = 0; f < sizeof family_table / sizeof family_table[0]; f++)
		for (const struct pare_op *op = family_table[f]; op->name != NULL; op++, n++)
			row_is_covered(op);
	ck_assert_uint_gt(n, 100);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("element-wise, moving, reducing");
	TCase *t = tcase_create("cases");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, forward_and_ties, 0, (int)N_CASES);
	tcase_add_loop_test(t, gradient, 0, (int)N_CASES);
	tcase_add_loop_test(t, refused, 0, (int)N_BAD);
	tcase_add_test(t, tables_are_covered);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
