/* Matrix products, activations, Dropout and constants by hand-made cases: shape, values, numeric gradient, ties. A case sets all its inputs
 * as initializers, so that each of them gets a gradient, except the first where its shape starts with N (then it is the
 * graph's input, three rows). The family tables are walked at the end: a row without a case for something fails. The other
 * families are walked by test_element_cases.c and test_spatial_cases.c.
 *
 * Bounds of the gradient check are relative to the largest gradient of each tensor, for central differences with
 * h = 1/64 in float: about 1e-4 where the function is linear in each operand (rounding only), 2e-3 where the third
 * derivative takes part. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/ops/ops_priv.h"
#include "tests/support/net_check.h"

#define LINEAR 1e-4
#define CURVED 2e-3
#define STEP 0.015625
#define ROWS 3
#define MAX_ELEMS 256

struct attr_int {
	const char *name;
	int64_t v;
};
struct attr_float {
	const char *name;
	float v;
};

struct op_case {
	const char *op;
	int opset;
	const char *in[3];      /* shapes; NULL: none */
	struct attr_int ints[2];
	struct attr_float floats[2];
	const float *data[3];   /* NULL: random */
	const char *out;        /* shape of output 0 ("N 4": per row) */
	const float *want;      /* NULL: not compared */
	double gradient;        /* bound; 0: not checked */
	bool training;
	const char *ties;       /* kind in.axis>out.axis ..., NULL: not compared */
};

#define F(...) ((const float[]){__VA_ARGS__})

static const struct op_case case_table[] = {
    /* Gemm */
    {.op = "Gemm", .opset = 13, .in = {"2 3", "3 2", "2"}, .data = {F(1, 2, 3, 4, 5, 6), F(1, 0, 0, 1, 1, 1), F(10, 20)}, .out = "2 2",
     .want = F(14, 25, 20, 31), .gradient = LINEAR, .ties = "same 0.0>o.0 contract 0.1>1.0 same 1.1>o.1 same 2.0>o.1"},
    {.op = "Gemm", .opset = 7, .in = {"N 3", "4 3", "4"}, .ints = {{"transB", 1}}, .out = "N 4", .gradient = LINEAR,
     .ties = "same 0.0>o.0 contract 0.1>1.1 same 1.0>o.1 same 2.0>o.1"},
    {.op = "Gemm", .opset = 13, .in = {"3 2", "3 4", "2 1"}, .ints = {{"transA", 1}}, .floats = {{"alpha", 0.5f}, {"beta", 2.0f}}, .out = "2 4",
     .gradient = LINEAR, .ties = "same 0.1>o.0 contract 0.0>1.0 same 1.1>o.1 same 2.0>o.0"},
    {.op = "Gemm", .opset = 13, .in = {"3 2", "4 3", ""}, .ints = {{"transA", 1}, {"transB", 1}}, .floats = {{"beta", 3.0f}}, .out = "2 4", .gradient = LINEAR},
    {.op = "Gemm", .opset = 11, .in = {"2 3", "3 2"}, .data = {F(1, 2, 3, 4, 5, 6), F(1, 0, 0, 1, 1, 1)}, .out = "2 2", .want = F(4, 5, 10, 11), .gradient = LINEAR},
    {.op = "Gemm", .opset = 13, .in = {"2 3", "3 4", "2 4"}, .floats = {{"beta", 0.25f}}, .out = "2 4", .gradient = LINEAR},
    {.op = "Gemm", .opset = 13, .in = {"2 3", "3 4", "1 4"}, .floats = {{"alpha", 2.0f}}, .out = "2 4", .gradient = LINEAR},
    {.op = "Gemm", .opset = 13, .in = {"2 3", "3 4", "1 1"}, .out = "2 4", .gradient = LINEAR},
    {.op = "Gemm", .opset = 13, .in = {"1 3", "3 1", "1"}, .out = "1 1", .gradient = LINEAR},
    /* MatMul */
    {.op = "MatMul", .opset = 13, .in = {"2 2", "2 3"}, .data = {F(1, 2, 3, 4), F(1, 2, 3, 4, 5, 6)}, .out = "2 3", .want = F(9, 12, 15, 19, 26, 33),
     .gradient = LINEAR, .ties = "contract 0.1>1.0 same 0.0>o.0 same 1.1>o.1"},
    {.op = "MatMul", .opset = 9, .in = {"N 2 3", "3 4"}, .out = "N 2 4", .gradient = LINEAR, .ties = "contract 0.2>1.0 same 0.1>o.1 same 1.1>o.2 same 0.0>o.0"},
    {.op = "MatMul", .opset = 13, .in = {"2 3 2 3", "3 3 4"}, .out = "2 3 2 4", .gradient = LINEAR},
    {.op = "MatMul", .opset = 13, .in = {"2 1 2 3", "1 3 3 2"}, .out = "2 3 2 2", .gradient = LINEAR},
    {.op = "MatMul", .opset = 13, .in = {"3", "2 3 2"}, .out = "2 2", .gradient = LINEAR},
    {.op = "MatMul", .opset = 13, .in = {"2 2 3", "3"}, .out = "2 2", .gradient = LINEAR},
    {.op = "MatMul", .opset = 13, .in = {"3", "3"}, .data = {F(1, 2, 3), F(4, 5, 6)}, .out = "", .want = F(32), .gradient = LINEAR},
    {.op = "MatMul", .opset = 13, .in = {"2 3", "2 3 4"}, .out = "2 2 4", .gradient = LINEAR},
    /* activations */
    {.op = "Relu", .opset = 13, .in = {"5"}, .data = {F(-2, -0.5f, 0.5f, 2, -1)}, .out = "5", .want = F(0, 0, 0.5f, 2, 0), .gradient = LINEAR, .ties = "same 0.0>o.0"},
    {.op = "Relu", .opset = 7, .in = {"3 17"}, .out = "3 17", .gradient = LINEAR},
    {.op = "Sigmoid", .opset = 13, .in = {"3"}, .data = {F(-1, 0, 1)}, .out = "3", .want = F(0.26894142f, 0.5f, 0.73105858f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Sigmoid", .opset = 7, .in = {"2 19"}, .out = "2 19", .gradient = CURVED},
    {.op = "Tanh", .opset = 13, .in = {"3"}, .data = {F(-1, 0.1f, 1)}, .out = "3", .want = F(-0.76159416f, 0.09966799f, 0.76159416f), .gradient = CURVED, .ties = "same 0.0>o.0"},
    {.op = "Tanh", .opset = 7, .in = {"2 19"}, .out = "2 19", .gradient = CURVED},
    {.op = "Softmax", .opset = 13, .in = {"1 3"}, .data = {F(-1, 0, 1)}, .out = "1 3", .want = F(0.09003057f, 0.24472847f, 0.66524096f), .gradient = CURVED,
     .ties = "same 0.0>o.0 mix 0.1>o.1"},
    {.op = "Softmax", .opset = 13, .in = {"2 3 4"}, .ints = {{"axis", 1}}, .out = "2 3 4", .gradient = CURVED, .ties = "same 0.0>o.0 mix 0.1>o.1 same 0.2>o.2"},
    {.op = "Softmax", .opset = 13, .in = {"3 2"}, .ints = {{"axis", 0}}, .out = "3 2", .gradient = CURVED},
    {.op = "Softmax", .opset = 12, .in = {"2 1 2"}, .data = {F(0, 1, 2, 2)}, .out = "2 1 2", .want = F(0.26894142f, 0.73105858f, 0.5f, 0.5f), .gradient = CURVED,
     .ties = "same 0.0>o.0 mix 0.1>o.1 mix 0.2>o.2"},
    {.op = "Softmax", .opset = 11, .in = {"2 3 2"}, .ints = {{"axis", -1}}, .out = "2 3 2", .gradient = CURVED},
    {.op = "LogSoftmax", .opset = 13, .in = {"1 3"}, .data = {F(-1, 0, 1)}, .out = "1 3", .want = F(-2.4076059f, -1.4076059f, -0.4076059f), .gradient = CURVED,
     .ties = "same 0.0>o.0 mix 0.1>o.1"},
    {.op = "LogSoftmax", .opset = 13, .in = {"2 3 4"}, .ints = {{"axis", 1}}, .out = "2 3 4", .gradient = CURVED},
    {.op = "LogSoftmax", .opset = 12, .in = {"2 2"}, .data = {F(0, 1, 10000, 10000)}, .out = "2 2", .want = F(-1.3132617f, -0.3132617f, -0.6931472f, -0.6931472f),
     .ties = "same 0.0>o.0 mix 0.1>o.1"},
    {.op = "LogSoftmax", .opset = 12, .in = {"N 2 3"}, .out = "N 2 3"},
    {.op = "LogSoftmax", .opset = 12, .in = {"2 2 3"}, .out = "2 2 3", .gradient = CURVED},
    /* Dropout */
    {.op = "Dropout", .opset = 13, .in = {"2 3", ""}, .data = {F(1, 2, 3, 4, 5, 6), F(0.4f)}, .out = "2 3", .want = F(1, 2, 3, 4, 5, 6), .ties = "same 0.0>o.0 same 0.1>o.1"},
    {.op = "Dropout", .opset = 13, .in = {"4 8", ""}, .data = {NULL, F(0.4f)}, .out = "4 8", .gradient = LINEAR, .training = true},
    {.op = "Dropout", .opset = 13, .in = {"4 8"}, .out = "4 8", .gradient = LINEAR},
    {.op = "Dropout", .opset = 7, .in = {"2 2"}, .floats = {{"ratio", 0.9f}}, .data = {F(1, 2, 3, 4)}, .out = "2 2", .want = F(1, 2, 3, 4), .ties = "same 0.0>o.0 same 0.1>o.1"},
    {.op = "Dropout", .opset = 11, .in = {"3 5"}, .floats = {{"ratio", 0.3f}}, .out = "3 5", .gradient = LINEAR, .training = true},
    /* Constant */
    {.op = "Constant", .opset = 13, .floats = {{"value_float", 2.5f}}, .out = "", .want = F(2.5f), .ties = ""},
};
#define N_CASES (sizeof case_table / sizeof case_table[0])

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

static void set_attrs(struct gb *b, const struct op_case *c)
{
	for (int i = 0; i < 2 && c->ints[i].name != NULL; i++)
		gb_attr_int(b, c->ints[i].name, c->ints[i].v);
	for (int i = 0; i < 2 && c->floats[i].name != NULL; i++)
		gb_attr_float(b, c->floats[i].name, c->floats[i].v);
}

struct built {
	struct gb *b;
	float data[3][MAX_ELEMS];
	const float *inputs[3]; /* of those that are graph inputs */
	int n_inputs;
};

static void build(const struct op_case *c, struct built *t)
{
	static const char *const names[] = {"a", "b", "c"};
	char in[32] = "";
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;

	memset(t, 0, sizeof *t);
	t->b = gb_new(c->opset);
	for (int i = 0; i < 3 && c->in[i] != NULL; i++) {
		size_t n = parse_dims(c->in[i], dims, &n_dims);

		nc_fill(t->data[i], n, (uint64_t)i + 1);
		if (c->data[i] != NULL)
			memcpy(t->data[i], c->data[i], n * sizeof(float));
		if (c->in[i][0] == 'N') {
			gb_input(t->b, names[i], c->in[i]);
			t->inputs[t->n_inputs++] = t->data[i];
		} else {
			gb_init(t->b, names[i], c->in[i], t->data[i]);
		}
		(void)snprintf(in + strlen(in), sizeof in - strlen(in), "%s%s", i > 0 ? " " : "", names[i]);
	}
	gb_node(t->b, c->op, "node", in, "y");
	set_attrs(t->b, c);
	gb_output(t->b, "y");
}

static void check_shape(const struct pare_net *net, const struct op_case *c)
{
	int64_t want[PARE_MAX_DIMS], got[PARE_MAX_DIMS];
	int n_want, n_got;

	(void)parse_dims(c->out, want, &n_want);
	(void)pare_net_output_shape(net, 0, &n_got, got);
	ck_assert_int_eq(n_got, n_want);
	for (int i = 0; i < n_got; i++)
		ck_assert_msg(got[i] == (i == 0 && c->out[0] == 'N' ? PARE_DIM_UNKNOWN : want[i]), "%s opset %d: dimension %d is %lld", c->op, c->opset, i, (long long)got[i]);
}

START_TEST(forward)
{
	const struct op_case *c = &case_table[_i];
	struct built t;

	build(c, &t);
	for (int training = 0; training < 2; training++) {
		struct pare_net *net = nc_net(t.b, 1, ROWS, training != 0);
		float out[MAX_ELEMS], again[MAX_ELEMS];
		size_t n;

		check_shape(net, c);
		nc_forward(net, t.inputs, ROWS, false, 0);
		n = nc_output(net, 0, ROWS, out);
		for (size_t i = 0; c->want != NULL && i < n; i++)
			ck_assert_msg(fabsf(out[i] - c->want[i]) <= 1e-6f * fmaxf(1, fabsf(c->want[i])), "%s opset %d: element %zu is %.9g, want %.9g", c->op,
			    c->opset, i, (double)out[i], (double)c->want[i]);
		nc_forward(net, t.inputs, ROWS, false, 0);
		(void)nc_output(net, 0, ROWS, again);
		ck_assert_mem_eq(out, again, n * sizeof *out);
		pare_net_free(net);
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

		build(c, &t);
		if (shared != 0) {
			gb_node(t.b, "Tanh", "other", "a", "z");
			gb_output(t.b, "z");
			gb_node(t.b, "Sigmoid", "third", "a", "u");
			gb_output(t.b, "u");
		}
		net = nc_net(t.b, 1, ROWS, true);
		error = nc_gradient_error(net, t.inputs, ROWS, c->training, STEP);
		ck_assert_msg(error < (shared != 0 ? fmax(c->gradient, CURVED) : c->gradient), "%s opset %d (case %d, shared %d): gradient off by %g", c->op,
		    c->opset, _i, shared, error);
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

static void ties_text(const struct pare_ties *t, char *out, size_t size)
{
	static const char *const kinds[] = {"same", "contract", "mix", "spread", "opaque"};
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < t->n; i++) {
		const struct pare_tie *e = &t->tie[i];
		char a[16], b[16], blocks[48] = "";

		operand_text(e->a, e->a_axis, a);
		operand_text(e->b, e->b_axis, b);
		if (e->kind == PARE_TIE_SPREAD)
			(void)snprintf(blocks, sizeof blocks, "*%lld,%lld", (long long)e->outer, (long long)e->inner);
		used += (size_t)snprintf(out + used, size - used, "%s%s %s>%s%s", i > 0 ? " " : "", kinds[e->kind], a, b, blocks);
	}
}

/* Calls couple as the net does, on the shapes that it inferred. */
START_TEST(couple)
{
	const struct op_case *c = &case_table[_i];
	const struct pare_op *op = pare_op_find("", c->op, c->opset);
	struct pare_net *net;
	struct built t;
	char text[1024];
	struct pare_ties ties;

	if (c->ties == NULL)
		return;
	ck_assert_ptr_nonnull(op);
	build(c, &t);
	net = nc_net(t.b, 1, ROWS, true);
	if (net->n_nodes > 0)
		pare_net_ties(net, &net->nodes[0], &ties);
	else
		ties.n = 0; /* folded */
	ties_text(&ties, text, sizeof text);
	ck_assert_str_eq(text, c->ties);
	pare_net_free(net);
	gb_free(t.b);
}
END_TEST

static void row_is_covered(const struct pare_op *op)
{
	bool has_gradient = op->no_gradient != NULL, has_values = false, has_ties = false;

	for (size_t i = 0; i < N_CASES; i++) {
		const struct op_case *c = &case_table[i];

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

START_TEST(table_is_covered)
{
	static const struct pare_op *const family_table[] = {
	    pare_op_linear_table, pare_op_activation_table, pare_op_regular_table, pare_op_constant_table,
	};

	for (size_t f = 0; f < sizeof family_table / sizeof family_table[0]; f++)
		for (const struct pare_op *op = family_table[f]; op->name != NULL; op++)
			row_is_covered(op);
}
END_TEST

/* Each opset has at most one row of a name; since and until are in range; without a gradient there is a reason. */
START_TEST(rows_do_not_overlap)
{
	const struct pare_op *a, *b;

	for (size_t i = 0; (a = pare_op_at(i)) != NULL; i++) {
		ck_assert_int_ge(a->since, PARE_OPSET_MIN);
		ck_assert_int_le(a->until, PARE_OPSET_MAX);
		ck_assert_msg(a->backward != NULL || a->view || a->no_gradient != NULL, "%s: no backward, and no reason why", a->name);
		for (size_t j = 0; (b = pare_op_at(j)) != NULL; j++)
			if (i != j && strcmp(a->name, b->name) == 0 && strcmp(a->domain, b->domain) == 0)
				ck_assert(a->until < b->since || b->until < a->since);
	}
	ck_assert_ptr_null(pare_op_find("", "Gemm", 6));
	ck_assert_ptr_null(pare_op_find("", "Gemm", 22));
	ck_assert_ptr_null(pare_op_find("com.example", "Gemm", 13));
	ck_assert_ptr_null(pare_op_find("", "NoSuchOperator", 13));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("operators");
	TCase *t = tcase_create("cases");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, forward, 0, (int)N_CASES);
	tcase_add_loop_test(t, gradient, 0, (int)N_CASES);
	tcase_add_loop_test(t, couple, 0, (int)N_CASES);
	tcase_add_test(t, table_is_covered);
	tcase_add_test(t, rows_do_not_overlap);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
