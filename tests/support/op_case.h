/* Cases of operator rows, and what is asserted of each: shape and values, the same again, fewer rows and more shards, numeric
 * gradients, ties, and the message for what is refused. A case is one node. All its inputs are initializers, so that each
 * gets a gradient, except those whose shape starts with N, which are inputs of the graph (OC_ROWS rows).
 *
 * tests/core/ops/cases_*.inc hold the cases, tests/core/ops/test_cases.c runs them and walks the operator table. */
#ifndef TESTS_SUPPORT_OP_CASE_H
#define TESTS_SUPPORT_OP_CASE_H

#include "core/base/err.h"
#include "core/ops/op.h"

#define OC_ROWS 3
#define OC_MAX_IN 8
#define OC_MAX_OUT 4
#define OC_MAX_ELEMS 1024

/* Bounds of the gradient check, relative to the largest gradient of each tensor, for central differences with h = 1/64 in
 * float: rounding only where the function is linear in each operand; where it is not, the third derivative takes part. */
#define LINEAR 1e-4
#define CURVED 2e-3

/* RANDOM in (-1, 1), none nearer to 0 than 0.05. DISTINCT differ by at least 0.1 from each other, so that an order stays
 * what it is while a difference is taken. POSITIVE in (0.5, 1.5). */
enum oc_fill { RANDOM, DISTINCT, POSITIVE };

struct op_case {
	const char *op;
	int opset;
	const char *domain; /* NULL: ONNX's own; else opset is that domain's */
	/* Shapes of floats ("2 3", "N 4", "" a scalar), or integers and bools with their values: "i:1 2 3" an int64 vector,
	 * "i[2 2]:1 2 3 4" a matrix, "s:7" a scalar, "b:1 0" bool, "u:1 2" uint8. "-": left out; NULL: no more. */
	const char *in[OC_MAX_IN];
	const char *attrs; /* "axis=2 axes=[1,2] mode=edge alpha=0.1 scales=[1.0,2.0]"; a value with a point is a float */
	enum oc_fill fill[OC_MAX_IN];
	const float *data[OC_MAX_IN]; /* NULL: by fill */
	const char *out;              /* shape of the output that is looked at; N: the batch */
	const float *want;            /* its values; NULL: not compared */
	double gradient;              /* bound; 0: not checked */
	const char *ties;             /* "same 0.0>o.0 mix 0.1>o.1"; "folded": nothing is left to run; NULL: not compared */
	int n_out;                    /* 0: 1 */
	int which;                    /* the output that out and want speak of */
	bool training;                /* take the gradient as in training (Dropout draws) */
	bool statistics;              /* forward, too, by the statistics of the batch: what a net that trains does with batch norms of the training form */
	bool rows_meet;               /* rows of the batch depend on each other */
};

/* What planning refuses. */
struct op_bad_case {
	const char *op;
	int opset; /* 0: 13 */
	const char *domain;
	const char *in[OC_MAX_IN];
	const char *attrs;
	int n_out;
	enum pare_code code;
	const char *says; /* must be in the message */
};

#define F(...) ((const float[]){__VA_ARGS__})

/* Each fails the running test with the case's label. */
void oc_forward(const struct op_case *c);
void oc_gradient(const struct op_case *c);
void oc_ties(const struct op_case *c);
void oc_refused(const struct op_bad_case *c);

struct gb *oc_build(const struct op_case *c);

/* What a row lacks among n tables of cases: "" when it has values, ties, and a gradient or a reason for none. */
struct op_case_table {
	const struct op_case *cases;
	size_t n;
};
const char *oc_row_lacks(const struct pare_op *op, const struct op_case_table *tables, size_t n);

#endif
