/* What cannot be executed says so, by node and operator, in words that tell what would be right. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/net_check.h"

static void expect(struct gb *b, bool training, enum pare_code code, const char *where, const char *message)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 4, .training = training};
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	ck_assert_int_eq(pare_net_new(gb_model(b), &opt, &net, &err), code);
	ck_assert_ptr_null(net);
	if (where != NULL)
		ck_assert_str_eq(err.where, where);
	ck_assert_msg(strstr(err.message, message) != NULL, "\"%s\" does not say \"%s\"", err.message, message);
	gb_free(b);
}

static struct gb *one(int opset, const char *op, const char *name, const char *x, const char *w)
{
	struct gb *b = gb_new(opset);

	gb_input(b, "x", x);
	if (w != NULL)
		gb_init(b, "w", w, NULL);
	gb_node(b, op, name, w != NULL ? "x w" : "x", "y");
	gb_output(b, "y");
	return b;
}

START_TEST(unknown_operator)
{
	struct gb *b = one(17, "DeformConv", "conv1", "N 3 8 8", "4 3 3 3");

	expect(b, false, PARE_E_UNSUPPORTED_OP, "node \"conv1\" (DeformConv)", "operator DeformConv is not supported for execution");
	expect(one(17, "Foo", "", "N 3", NULL), false, PARE_E_UNSUPPORTED_OP, "node \"Foo_0\" (Foo)", "operator Foo is not supported for execution");
	b = one(17, "Relu", "r", "N 3", NULL);
	gb_domain(b, "com.example");
	expect(b, false, PARE_E_UNSUPPORTED_OP, "node \"r\" (Relu)", "of domain com.example");
	expect(one(6, "Relu", "r", "N 3", NULL), false, PARE_E_UNSUPPORTED_OP, "node \"r\" (Relu)", "opset 6; 7 to 28");
	expect(one(29, "Relu", "r", "N 3", NULL), false, PARE_E_UNSUPPORTED_OP, "node \"r\" (Relu)", "opset 29");
}
END_TEST

START_TEST(attributes)
{
	struct gb *b = one(17, "Gemm", "g", "N 3", "3 4");

	gb_attr_int(b, "broadcast", 1);
	expect(b, false, PARE_E_UNSUPPORTED_OP, "node \"g\" (Gemm)", "attribute \"broadcast\"");
	b = one(17, "Gemm", "g", "N 3", "3 4");
	gb_attr_float(b, "transB", 1);
	expect(b, false, PARE_E_MODEL, "node \"g\" (Gemm)", "\"transB\" has the wrong type");
	b = one(17, "Gemm", "g", "N 3", "3 4");
	gb_attr_int(b, "transA", 7);
	expect(b, false, PARE_E_INVALID, "node \"g\" (Gemm)", "from 0 to 1");
	b = one(13, "Softmax", "s", "N 3", NULL);
	gb_attr_int(b, "axis", 2);
	expect(b, false, PARE_E_SHAPE, "node \"s\" (Softmax)", "axis 2 is out of range for shape [N, 3]");
	b = one(7, "Dropout", "d", "N 3", NULL);
	gb_attr_float(b, "ratio", 1.0f);
	expect(b, false, PARE_E_INVALID, "node \"d\" (Dropout)", "not in [0, 1)");
}
END_TEST

START_TEST(shapes)
{
	static const int64_t target[] = {-1, 5};
	struct gb *b;

	expect(one(17, "Gemm", "fc1", "N 3", "4 5"), false, PARE_E_SHAPE, "node \"fc1\" (Gemm)", "[N, 3] and [4, 5]");
	expect(one(17, "Gemm", "fc1", "N 3 2", "4 5"), false, PARE_E_SHAPE, "node \"fc1\" (Gemm)", "[N, 3, 2] and [4, 5]");
	expect(one(17, "MatMul", "m", "N 3", "4 5"), false, PARE_E_SHAPE, "node \"m\" (MatMul)", "[N, 3] and [4, 5]");
	expect(one(17, "MatMul", "m", "N 2 3", "5 3 5"), false, PARE_E_SHAPE, "node \"m\" (MatMul)", "[N, 2, 3] and [5, 3, 5]");
	expect(one(17, "Add", "a", "N 3", "4"), false, PARE_E_SHAPE, "node \"a\" (Add)", "[N, 3] and [4]");
	expect(one(17, "Add", "a", "N 3", "4 3"), false, PARE_E_SHAPE, "node \"a\" (Add)", "[N, 3] and [4, 3]");
	b = one(17, "Gemm", "g", "N 3", "3 4");
	gb_init(b, "c", "5", NULL);
	gb_node(b, "Gemm", "g2", "x w c", "z");
	gb_output(b, "z");
	expect(b, false, PARE_E_SHAPE, "node \"g2\" (Gemm)", "C of shape [5] cannot be broadcast to the product's [N, 4]");
	b = gb_new(13);
	gb_input(b, "x", "N 3 4");
	gb_init_i64(b, "t", "2", target);
	gb_node(b, "Reshape", "r", "x t", "y");
	gb_output(b, "y");
	expect(b, false, PARE_E_SHAPE, "node \"r\" (Reshape)", "[N, 3, 4] cannot be reshaped to [-1, 5]");
	b = gb_new(13);
	gb_input(b, "x", "N 3");
	gb_input(b, "t", "N");
	gb_node(b, "Reshape", "r", "x t", "y");
	gb_output(b, "y");
	expect(b, false, PARE_E_UNSUPPORTED_OP, "node \"r\" (Reshape)", "input 1 computed");
}
END_TEST

START_TEST(inputs)
{
	struct gb *b = gb_new(13);

	gb_input_typed(b, "x", "N 3", PARE_DT_INT64);
	gb_node(b, "Relu", "r", "x", "y");
	gb_output(b, "y");
	expect(b, false, PARE_E_UNSUPPORTED_OP, "node \"r\" (Relu)", "with int64 tensors");
	b = gb_new(13);
	gb_input_typed(b, "x", "N 3", PARE_DT_STRING);
	gb_node(b, "Relu", "r", "x", "y");
	gb_output(b, "y");
	expect(b, false, PARE_E_UNSUPPORTED, NULL, "graph input \"x\" is string");
	expect(one(13, "Relu", "r", "", NULL), false, PARE_E_UNSUPPORTED, NULL, "first dimension must be the batch");
	expect(one(13, "Relu", "r", "N N", NULL), false, PARE_E_UNSUPPORTED, NULL, "dimension 1 of graph input \"x\"");
	expect(one(13, "Relu", "r", "N 4000000000", NULL), false, PARE_E_LIMIT, NULL, "too large");
	expect(one(13, "Relu", "r", "N 3037000500 3037000500 4", NULL), false, PARE_E_LIMIT, NULL, "too large");
	expect(one(13, "Add", "a", "N 3", NULL), false, PARE_E_MODEL, "node \"a\" (Add)", "1 inputs");
	b = gb_new(13);
	gb_input(b, "x", "N 3");
	gb_init_i64(b, "i", "3", (const int64_t[]){1, 2, 3});
	gb_node(b, "Add", "a", "x i", "y");
	gb_output(b, "y");
	expect(b, false, PARE_E_MODEL, "node \"a\" (Add)", "float and int64");
	b = gb_new(13);
	gb_input(b, "x", "N 3");
	gb_init_i64(b, "i", "3", (const int64_t[]){1, 2, 3});
	gb_node(b, "Gemm", "g", "x i", "y");
	gb_output(b, "y");
	expect(b, false, PARE_E_UNSUPPORTED_OP, "node \"g\" (Gemm)", "with int64 tensors");
	b = gb_new(13);
	gb_input(b, "x", "N 3");
	gb_node(b, "Add", "a", "x -", "y");
	gb_output(b, "y");
	expect(b, false, PARE_E_MODEL, "node \"a\" (Add)", "input 1 is left out");
}
END_TEST

START_TEST(options)
{
	struct gb *b = one(13, "Relu", "r", "N 3", NULL);
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	ck_assert_int_eq(pare_net_new(gb_model(b), &(struct pare_net_options){.n_threads = 0, .max_batch = 1}, &net, &err), PARE_E_INVALID);
	ck_assert_int_eq(pare_net_new(gb_model(b), &(struct pare_net_options){.n_threads = 65, .max_batch = 1}, &net, &err), PARE_E_INVALID);
	ck_assert_int_eq(pare_net_new(gb_model(b), &(struct pare_net_options){.n_threads = 1, .max_batch = 0}, &net, &err), PARE_E_INVALID);
	gb_free(b);
}
END_TEST

/* An operator that nobody's result depends on does no harm. */
START_TEST(dead_branches_are_ignored)
{
	struct gb *b = one(13, "Relu", "r", "N 3", NULL);
	struct pare_net *net;

	gb_node(b, "NonMaxSuppression", "dead", "x", "unused");
	net = nc_net(b, 1, 2, true);
	ck_assert_int_eq(pare_net_n_outputs(net), 1);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net errors");
	TCase *t = tcase_create("errors");
	SRunner *r;
	int failed;

	tcase_add_test(t, unknown_operator);
	tcase_add_test(t, attributes);
	tcase_add_test(t, shapes);
	tcase_add_test(t, inputs);
	tcase_add_test(t, options);
	tcase_add_test(t, dead_branches_are_ignored);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
