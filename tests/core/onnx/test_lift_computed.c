/* Weights that a file computes from initializers (weight_norm, spectral_norm) are initializers when it is opened: fewer nodes, prunable
 * parameters, the same numbers. So is one that it transposes. What is tied to others, quantized, only moved, or a product of two factors stays. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/onnx/onnx.h"
#include "tests/support/graph_onnx.h"
#include "tests/support/net_check.h"
#include "tests/support/open_no_memory.h"

static float data[256];

/* g v / |v| as PyTorch exports it, of [n, 4] */
static void weight_norm(struct gb *b, const char *norm, const char *unit, const char *w)
{
	gb_node(b, "ReduceL2", "norm", "v", norm);
	gb_attr_ints(b, "axes", (const int64_t[]){1}, 1);
	gb_attr_int(b, "keepdims", 1);
	gb_node(b, "Div", "unit", (const char[]){'v', ' ', norm[0], '\0'}, unit);
	gb_node(b, "Mul", "scaled", (const char[]){unit[0], ' ', 'g', '\0'}, w);
}

static void parts(struct gb *b)
{
	gb_input(b, "x", "N 4");
	gb_init(b, "v", "4 4", data);
	gb_init(b, "g", "4 1", data + 20);
}

static void linear(struct gb *b, const char *in, const char *out)
{
	gb_node(b, "Gemm", "fc", in, out);
	gb_attr_int(b, "transB", 1);
}

static void plain(struct gb *b)
{
	parts(b);
	weight_norm(b, "n", "u", "w");
	linear(b, "x w", "y");
}

static void twice(struct gb *b)
{
	parts(b);
	weight_norm(b, "n", "u", "w");
	linear(b, "x w", "h");
	weight_norm(b, "m", "p", "z");
	linear(b, "h z", "y");
}

static void spectral(struct gb *b)
{
	gb_input(b, "x", "N 4");
	gb_init(b, "w", "3 4", data);
	gb_init(b, "u", "3", data + 20);
	gb_init(b, "v", "4", data + 30);
	gb_node(b, "Identity", "same", "w", "m");
	gb_node(b, "MatMul", "first", "m v", "wv");
	gb_node(b, "MatMul", "second", "u wv", "sigma");
	gb_node(b, "Div", "unit", "w sigma", "weight");
	linear(b, "x weight", "y");
}

/* As PyTorch exports a batch_norm of the weight, with the statistics of each row. */
static void standardized_with(struct gb *b, const char *outputs)
{
	static const float zeros[3];
	static const int64_t shape[] = {3, 4};

	gb_input(b, "x", "N 4");
	gb_init(b, "v", "1 3 4", data);
	gb_init(b, "g", "3", data + 20);
	gb_init(b, "z", "3", zeros);
	gb_init_i64(b, "t", "2", shape);
	gb_node(b, "ReduceMean", "mean", "v", "m");
	gb_attr_ints(b, "axes", (const int64_t[]){0, 2}, 2);
	gb_attr_int(b, "keepdims", 0);
	gb_node(b, "ReduceMean", "means", "v", "k");
	gb_attr_ints(b, "axes", (const int64_t[]){0, 2}, 2);
	gb_node(b, "Sub", "sub", "v k", "d");
	gb_node(b, "Mul", "square", "d d", "q");
	gb_node(b, "ReduceMean", "variance", "q", "s");
	gb_attr_ints(b, "axes", (const int64_t[]){0, 2}, 2);
	gb_attr_int(b, "keepdims", 0);
	gb_node(b, "BatchNormalization", "norm", "v g z m s", outputs);
	if (strchr(outputs, ' ') != NULL)
		gb_attr_int(b, "training_mode", 1);
	gb_node(b, "Reshape", "flat", "u t", "w");
	linear(b, "x w", "y");
}

static void standardized(struct gb *b)
{
	standardized_with(b, "u");
}

static void standardized_in_training(struct gb *b)
{
	standardized_with(b, "u a b");
}

static void tied(struct gb *b)
{
	parts(b);
	weight_norm(b, "n", "u", "w");
	linear(b, "x w", "h");
	linear(b, "h v", "y");
}

static void tied_otherwise(struct gb *b)
{
	parts(b);
	weight_norm(b, "n", "u", "w");
	linear(b, "x w", "h");
	gb_node(b, "Mul", "other", "v v", "z");
	linear(b, "h z", "y");
}

static void turned(struct gb *b)
{
	parts(b);
	gb_node(b, "Transpose", "turn", "v", "w");
	gb_node(b, "MatMul", "fc", "x w", "y");
}

static void turned_and_tied(struct gb *b)
{
	turned(b);
	gb_node(b, "MatMul", "fc2", "x v", "other");
	gb_output(b, "other");
}

static void factors(struct gb *b)
{
	gb_input(b, "x", "N 4");
	gb_init(b, "a", "4 1", data);
	gb_init(b, "b", "1 4", data + 20);
	gb_node(b, "MatMul", "product", "a b", "w");
	gb_node(b, "MatMul", "fc", "x w", "y");
}

static void outer(struct gb *b) /* of a million elements, from 2000 */
{
	static const float many[1000];

	gb_input(b, "x", "N 4");
	gb_init(b, "a", "1000 1", many);
	gb_init(b, "b", "1 1000", many);
	gb_node(b, "MatMul", "product", "a b", "large");
	gb_node(b, "ReduceSum", "sum", "large", "s");
	gb_init(b, "v", "4 4", data);
	gb_node(b, "Add", "add", "v s", "w");
	gb_node(b, "MatMul", "fc", "x w", "y");
}

static void given(struct gb *b)
{
	plain(b);
	gb_output(b, "w");
}

static const struct {
	const char *name;
	void (*build)(struct gb *b);
	int n_inits, n_nodes;
	const char *weight; /* a prunable parameter afterwards; NULL: all as it was */
	int out_axis;
} case_table[] = {
    {"weight_norm", plain, 1, 1, "w", 0},
    {"called twice", twice, 1, 2, "w", 0},
    {"spectral_norm", spectral, 1, 1, "weight", 0},
    {"standardized", standardized, 1, 1, "w", 0},
    {"standardized, statistics given", standardized_in_training, 1, 1, "w", 0},
    {"read elsewhere", tied, 2, 5, NULL, 0},
    {"computed with elsewhere", tied_otherwise, 2, 6, NULL, 0},
    {"transposed", turned, 2, 1, "v", 1},
    {"transposed, and read elsewhere", turned_and_tied, 2, 3, NULL, 0},
    {"two factors", factors, 2, 2, NULL, 0},
    {"large on the way", outer, 3, 4, NULL, 0},
    {"given out", given, 2, 4, NULL, 0},
};

static void check_numbers(const struct pare_model *m, struct pare_model *plain_one)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 3};
	const struct pare_model *models[2] = {m, plain_one};
	const float *x = data + 100;
	float y[2][12];
	struct pare_err err = {0};

	for (int i = 0; i < 2; i++) {
		struct pare_net *net = NULL;

		ck_assert_msg(pare_net_new(models[i], &opt, &net, &err) == PARE_OK, "%s: %s", err.where, err.message);
		nc_forward(net, &x, 3, PARE_MODE_INFER, 0);
		ck_assert_uint_le(nc_output(net, pare_net_find_output(net, "y"), 3, y[i]), 12);
		pare_net_free(net);
	}
	for (int i = 0; i < 9; i++)
		ck_assert(fabsf(y[0][i] - y[1][i]) <= 1e-6f * fmaxf(1, fabsf(y[1][i])));
}

static void check_weight(const struct pare_model *m, const char *name, int out_axis)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 3, .training = true};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	bool found = false;

	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_OK);
	for (int p = 0; p < pare_net_n_params(net); p++)
		found |= strcmp(pare_net_param(net, p)->name, name) == 0 && pare_net_param(net, p)->prunable && pare_net_param(net, p)->out_axis == out_axis;
	ck_assert_msg(found, "no prunable parameter \"%s\"", name);
	pare_net_free(net);
}

START_TEST(computed_weights_are_initializers)
{
	struct gb *b = gb_new(17);
	struct pare_buf file, own;
	struct pare_model *m = NULL;
	struct pare_err err = {0};

	nc_fill(data, 256, 5);
	case_table[_i].build(b);
	gb_output(b, "y");
	pare_buf_init(&file, 1 << 20);
	graph_onnx(gb_model(b), &file);
	ck_assert_msg(pare_onnx_open((struct pare_span){(const uint8_t *)file.data, file.len}, NULL, 0, &own, &m, &err) == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert_msg(m->graph.n_inits == case_table[_i].n_inits && m->graph.n_nodes == case_table[_i].n_nodes, "%s: %d initializers, %d nodes", case_table[_i].name,
	    m->graph.n_inits, m->graph.n_nodes);
	ck_assert_int_eq(graph_onnx_stale_infos(m), 0);
	ck_assert_int_eq(own.len == 0, case_table[_i].weight == NULL);
	check_numbers(m, gb_model(b));
	if (case_table[_i].weight != NULL)
		check_weight(m, case_table[_i].weight, case_table[_i].out_axis);
	pare_model_free(m);
	pare_buf_done(&own);
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

START_TEST(no_memory)
{
	struct gb *b = gb_new(17);
	struct pare_buf file;

	nc_fill(data, 256, 5);
	twice(b);
	gb_output(b, "y");
	pare_buf_init(&file, 1 << 20);
	graph_onnx(gb_model(b), &file);
	open_no_memory((struct pare_span){(const uint8_t *)file.data, file.len});
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("computed weights");
	TCase *t = tcase_create("lift");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, computed_weights_are_initializers, 0, (int)(sizeof case_table / sizeof case_table[0]));
	tcase_add_test(t, no_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
