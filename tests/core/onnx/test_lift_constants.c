/* Initializers that are numbers of formulas are Constants when a file is opened, and are not trained: PyTorch's newer exporter writes them so. What may be a parameter stays one. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/onnx/onnx.h"
#include "tests/support/graph_onnx.h"
#include "tests/support/net_check.h"
#include "tests/support/open_no_memory.h"

static float data[64];

static void weight(struct gb *b)
{
	gb_input(b, "x", "N 4");
	gb_init(b, "w", "4 4", data);
	gb_node(b, "MatMul", "fc", "x w", "h");
}

static void computed_with(struct gb *b, const char *op, const char *shape, const float *c)
{
	weight(b);
	gb_init(b, "c", shape, c);
	gb_node(b, op, "formula", "h c", "y");
}

static void geometric(struct gb *b)
{
	static const float c[] = {1, 0.1f, 0.01f, 0.001f};

	computed_with(b, "Mul", "4", c);
}

static void arithmetic(struct gb *b)
{
	static const float c[] = {-2, -1.4f, -0.8f, -0.2f};

	computed_with(b, "Sub", "1 4", c);
}

static void learned(struct gb *b)
{
	static const float c[] = {-2, -1.4f, -0.8f, -0.3f};

	computed_with(b, "Sub", "1 4", c);
}

static void uniform(struct gb *b)
{
	static const float c[] = {1, 1, 1, 1};

	computed_with(b, "Mul", "4", c);
}

static void bias(struct gb *b)
{
	static const float c[] = {0, 1, 2, 3};

	weight(b);
	gb_init(b, "v", "4 4", data + 20);
	gb_init(b, "c", "4", c);
	gb_node(b, "Gemm", "layer", "h v c", "y");
}

static void added_bias(struct gb *b)
{
	static const float c[] = {0, 1, 2, 3};

	computed_with(b, "Add", "4", c);
}

static void short_vector(struct gb *b)
{
	static const float c[] = {0, 1, 2};

	gb_input(b, "x", "N 4");
	gb_init(b, "w", "4 3", data);
	gb_init(b, "c", "3", c);
	gb_node(b, "MatMul", "fc", "x w", "h");
	gb_node(b, "Mul", "formula", "h c", "y");
}

static const float eye[] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};

static void identity_of(struct gb *b, const char *op, const char *shape)
{
	gb_input(b, "x", "N 4 4");
	gb_init(b, "w", "4 4", data);
	gb_init(b, "c", shape, eye);
	gb_node(b, "MatMul", "fc", "x w", "h");
	gb_node(b, op, "formula", "h c", "y");
}

static void identity(struct gb *b)
{
	identity_of(b, "Add", "4 4");
}

static void identity_that_multiplies(struct gb *b)
{
	identity_of(b, "MatMul", "4 4");
}

/* q s, multiplied with k^T */
static void factor_of(struct gb *b, bool product)
{
	static const float c[] = {0.5f};

	gb_input(b, "x", "N 4 4");
	gb_init(b, "w", "4 4", data);
	gb_init(b, "c", "1", c);
	gb_node(b, "MatMul", "fc", "x w", "h");
	gb_node(b, "Mul", "scaled", "h c", "q");
	gb_node(b, product ? "MatMul" : "Add", "product", "q x", "y");
}

static void factor(struct gb *b)
{
	factor_of(b, true);
}

static void branch(struct gb *b)
{
	factor_of(b, false);
}

/* Two GroupNorms of two groups of two, as they are exported, with one scale and bias; group: or an InstanceNormalization of two channels. */
static void norms(struct gb *b, bool groups)
{
	static const float ones[] = {1, 1}, zeros[] = {0, 0};
	static const int64_t apart[] = {0, 2, -1}, whole[] = {0, 4};

	weight(b);
	gb_init(b, "c", "2", ones);
	gb_init(b, "z", "2", zeros);
	gb_init(b, "gamma", "4", data + 20);
	gb_init_i64(b, "apart", "3", apart);
	gb_init_i64(b, "whole", "2", whole);
	gb_node(b, "Reshape", "r1", "h apart", "g1");
	gb_node(b, "InstanceNormalization", "n1", "g1 c z", "i1");
	gb_node(b, groups ? "Reshape" : "Relu", "r2", groups ? "i1 whole" : "i1", "b1");
	if (groups)
		gb_node(b, "Mul", "scale", "b1 gamma", "s1");
	gb_node(b, "Reshape", "r3", groups ? "s1 apart" : "b1 apart", "g2");
	gb_node(b, "InstanceNormalization", "n2", "g2 c z", "i2");
	gb_node(b, groups ? "Reshape" : "Relu", "r4", groups ? "i2 whole" : "i2", "y");
}

static void group_norms(struct gb *b)
{
	norms(b, true);
}

static void instance_norms(struct gb *b)
{
	norms(b, false);
}

static const struct {
	const char *name;
	void (*build)(struct gb *b);
	int n_constants; /* Constants afterwards in the place of "c", and of "z" */
} case_table[] = {
    {"geometric", geometric, 1},
    {"arithmetic", arithmetic, 1},
    {"learned", learned, 0},
    {"uniform", uniform, 0},
    {"a layer's bias", bias, 0},
    {"a bias that is added", added_bias, 0},
    {"too short to tell", short_vector, 0},
    {"identity", identity, 1},
    {"a matrix that multiplies", identity_that_multiplies, 0},
    {"factor of a product", factor, 1},
    {"factor of a branch", branch, 0},
    {"group norms", group_norms, 4},
    {"instance norms", instance_norms, 0},
};

static void file_of(struct gb *b, int row, struct pare_buf *file)
{
	nc_fill(data, 64, 5);
	case_table[row].build(b);
	gb_output(b, "y");
	pare_buf_init(file, 1 << 20);
	graph_onnx(gb_model(b), file);
}

/* Runs both for the same rows; is "c" a parameter of the second? */
static bool runs_alike(const struct pare_model *a, const struct pare_model *m)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 2, .training = true};
	const struct pare_model *models[2] = {a, m};
	const float *x = data + 8;
	float y[2][32];
	struct pare_err err = {0};
	bool is = false;
	size_t n = 0;

	for (int i = 0; i < 2; i++) {
		struct pare_net *net = NULL;

		ck_assert_msg(pare_net_new(models[i], &opt, &net, &err) == PARE_OK, "%s: %s", err.where, err.message);
		nc_forward(net, &x, 2, PARE_MODE_INFER, 0);
		n = nc_output(net, 0, 2, y[i]);
		ck_assert_uint_le(n, 32);
		is = false;
		for (int p = 0; p < pare_net_n_params(net); p++)
			is |= pare_net_param(net, p)->name[0] == 'c';
		pare_net_free(net);
	}
	for (size_t k = 0; k < n; k++)
		ck_assert_float_eq_tol(y[0][k], y[1][k], 1e-6f * fmaxf(1, fabsf(y[0][k])));
	return is;
}

START_TEST(numbers_of_formulas_are_constants)
{
	struct gb *b = gb_new(17);
	struct pare_buf file, own;
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	int n = 0;

	file_of(b, _i, &file);
	ck_assert_msg(pare_onnx_open((struct pare_span){(const uint8_t *)file.data, file.len}, NULL, 0, &own, &m, &err) == PARE_OK, "%s: %s", err.where, err.message);
	for (int32_t i = 0; i < m->graph.n_nodes; i++)
		n += strcmp(m->graph.nodes[i].op_type, "Constant") == 0;
	ck_assert_msg(n == case_table[_i].n_constants, "%s: %d Constants", case_table[_i].name, n);
	ck_assert_msg((pare_graph_find_value(&m->graph, "c") >= 0) == (n == 0), "%s: the initializer", case_table[_i].name);
	ck_assert_msg(runs_alike(gb_model(b), m) == (n == 0), "%s: is it trained?", case_table[_i].name);
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

	file_of(b, 11, &file);
	open_no_memory((struct pare_span){(const uint8_t *)file.data, file.len});
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("numbers of formulas");
	TCase *t = tcase_create("lift");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, numbers_of_formulas_are_constants, 0, (int)(sizeof case_table / sizeof case_table[0]));
	tcase_add_test(t, no_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
