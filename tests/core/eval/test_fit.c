/* Which array goes where, and what a loss over positions is. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/eval/fit.h"
#include "tests/support/graph_builder.h"
#include "tests/support/npy.h"

static struct pare_net *net_of(struct gb *b)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 4, .training = true};
	struct pare_net *net = NULL;
	struct pare_err err = {.code = PARE_OK};
	enum pare_code rc = pare_net_new(gb_model(b), &opt, &net, &err);

	ck_assert_msg(rc == PARE_OK, "%s: %s", err.where, err.message);
	return net;
}

static struct pare_dataset *open_files(struct pare_data_file *f, int n, const struct pare_data_options *opt)
{
	struct pare_dataset *d = NULL;
	struct pare_err err = {.code = PARE_OK};
	enum pare_code rc = pare_data_open(f, n, opt, &d, &err);

	ck_assert_msg(rc == PARE_OK, "%s: %s", err.where, err.message);
	return d;
}

static const struct {
	const char *input, *row; /* of the model; of two rows of the set */
	int layout;              /* -1: does not fit */
} shape_table[] = {
    {"N 3 4 5", "(2, 3, 4, 5)", PARE_LAYOUT_KEEP},
    {"N 3 4 5", "(2, 4, 5, 3)", PARE_LAYOUT_TO_NCHW},
    {"N 4 5 3", "(2, 3, 4, 5)", PARE_LAYOUT_TO_NHWC},
    {"N 60", "(2, 3, 4, 5)", PARE_LAYOUT_KEEP},
    {"N 3 4 5", "(2, 60)", PARE_LAYOUT_KEEP},
    {"N 1 12 5", "(2, 12, 5)", PARE_LAYOUT_KEEP},
    {"N 12 5 1", "(2, 12, 5)", PARE_LAYOUT_KEEP},
    {"N 3 4 5", "(2, 5, 4, 3)", -1},
    {"N 3 4 5", "(2, 4, 3, 5)", -1},
    {"N 3 4 5", "(2, 12, 5)", -1},
};

START_TEST(rows_and_inputs)
{
	static const uint8_t v[120], y[] = {0, 1};
	struct pare_data_file f[] = {npy("x", "|u1", shape_table[_i].row, v, sizeof v), npy("y", "|u1", "(2,)", y, sizeof y)};
	struct pare_dataset *d = open_files(f, 2, NULL);
	struct pare_fit_options keep = {.keep_layout = true};
	struct gb *b = gb_new(17);
	struct pare_err err = {.code = PARE_OK};
	struct pare_fit fit;
	struct pare_net *net;

	gb_input(b, "in", shape_table[_i].input);
	gb_node(b, "Flatten", "flat", "in", "out");
	gb_output(b, "out");
	net = net_of(b);
	if (shape_table[_i].layout < 0) {
		ck_assert_int_eq(pare_fit_make(net, d, NULL, &fit, &err), PARE_E_SHAPE);
		ck_assert_ptr_nonnull(strstr(err.message, "does not fit the model's input \"in\" of shape [N, "));
	} else {
		ck_assert_msg(pare_fit_make(net, d, NULL, &fit, &err) == PARE_OK, "%s", err.message);
		ck_assert_int_eq((int)fit.inputs[0].layout, shape_table[_i].layout);
		ck_assert_int_eq(pare_fit_make(net, d, &keep, &fit, &err), shape_table[_i].layout == PARE_LAYOUT_KEEP ? PARE_OK : PARE_E_SHAPE);
	}
	pare_net_free(net);
	pare_data_free(d);
	gb_free(b);
	npy_free(f, 2);
}
END_TEST

static const struct {
	const char *input, *row; /* of the model, N: open; of two rows of the set */
	bool keep;
	int n; /* 0: does not tell */
	int64_t dims[3];
} open_table[] = {
    {"N N 5", "(2, 24, 5)", false, 2, {24, 5}},
    {"N N N", "(2, 24, 5)", false, 2, {24, 5}},
    {"N 3 N N", "(2, 3, 8, 5)", false, 3, {3, 8, 5}},
    {"N 3 N N", "(2, 8, 5, 3)", false, 3, {3, 8, 5}},
    {"N 3 N N", "(2, 8, 5, 3)", true, 0, {0}},
    {"N N N 3", "(2, 3, 8, 5)", false, 3, {8, 5, 3}},
    {"N N N 3", "(2, 5, 8, 3)", false, 3, {5, 8, 3}},
    {"N 1 N N", "(2, 24, 5)", false, 3, {1, 24, 5}},
    {"N N 1", "(2, 120)", false, 2, {120, 1}},
    {"N N", "(2, 120, 1)", false, 1, {120}},
    {"N N 5", "(2, 120)", false, 2, {24, 5}},
    {"N N 7", "(2, 120)", false, 0, {0}},
    {"N N N", "(2, 120)", false, 0, {0}},
    {"N N 5", "(2, 5, 24)", false, 0, {0}},
    {"N N 5", "(2, 2, 12, 5)", false, 0, {0}},
};

/* What a model leaves open becomes what the rows have in its place, and no net is made where they do not tell. */
START_TEST(open_sizes)
{
	static const uint8_t v[240], y[] = {0, 1};
	struct pare_data_file f[] = {npy("x", "|u1", open_table[_i].row, v, sizeof v), npy("y", "|u1", "(2,)", y, sizeof y)};
	struct pare_dataset *d = open_files(f, 2, NULL);
	struct pare_fit_options opt = {.keep_layout = open_table[_i].keep};
	struct gb *b = gb_new(17);
	struct pare_model *m;
	struct pare_err err = {.code = PARE_OK};

	gb_input(b, "in", open_table[_i].input);
	gb_node(b, "Flatten", "flat", "in", "out");
	gb_output(b, "out");
	m = gb_model(b);
	if (open_table[_i].n == 0) {
		ck_assert_int_eq(pare_fit_open_sizes(m, d, &opt, &err), PARE_E_SHAPE);
		ck_assert_ptr_nonnull(strstr(err.message, "does not tell the open sizes (-1) of the model's input \"in\" of shape [N, "));
	} else {
		ck_assert_msg(pare_fit_open_sizes(m, d, &opt, &err) == PARE_OK, "%s", err.message);
		ck_assert_int_eq(m->n_rows, 1);
		ck_assert_int_eq(m->rows[0].n_dims, open_table[_i].n);
		for (int k = 0; k < open_table[_i].n; k++)
			ck_assert_int_eq(m->rows[0].dims[k], open_table[_i].dims[k]);
		pare_net_free(net_of(b));
	}
	pare_data_free(d);
	gb_free(b);
	npy_free(f, 2);
}
END_TEST

static const struct {
	const char *output, *labels, *descr;
	enum pare_task given;
	int task; /* -1: does not fit */
	int64_t width, positions;
	bool turned;
} label_table[] = {
    {"N 4 3", "(2, 4)", "|u1", PARE_TASK_SEQUENCE, PARE_TASK_SEQUENCE, 3, 4, false},
    {"N 3 4", "(2, 4)", "|u1", PARE_TASK_SEQUENCE, PARE_TASK_SEQUENCE, 3, 4, true},
    {"N 4 4", "(2, 4)", "|u1", PARE_TASK_SEQUENCE, PARE_TASK_SEQUENCE, 4, 4, false},
    {"N 3 2 2", "(2, 2, 2)", "|u1", PARE_TASK_SEQUENCE, PARE_TASK_SEQUENCE, 3, 4, true},
    {"N 3 2 2", "(2, 1, 2, 2)", "|u1", PARE_TASK_SEQUENCE, PARE_TASK_SEQUENCE, 3, 4, true},
    {"N 2 2 2", "(2, 2, 2)", "|u1", PARE_TASK_SEQUENCE, PARE_TASK_SEQUENCE, 2, 4, true},
    {"N 1 2 2", "(2, 2, 2)", "|u1", PARE_TASK_SEQUENCE, PARE_TASK_MULTILABEL, 4, 1, false},
    {"N 4", "(2, 4)", "|u1", PARE_TASK_MULTILABEL, PARE_TASK_MULTILABEL, 4, 1, false},
    {"N 4", "(2, 4)", "|u1", PARE_TASK_REGRESS, PARE_TASK_REGRESS, 4, 1, false},
    {"N 1", "(2,)", "|u1", PARE_TASK_CLASSIFY, PARE_TASK_MULTILABEL, 1, 1, false},
    {"N 2", "(2,)", "|u1", PARE_TASK_CLASSIFY, PARE_TASK_CLASSIFY, 2, 1, false},
    {"N 5 3", "(2, 4)", "|u1", PARE_TASK_SEQUENCE, -1, 0, 0, false},
    {"N 5", "(2, 4)", "|u1", PARE_TASK_MULTILABEL, -1, 0, 0, false},
    {"N 3", "(2, 4)", "|u1", PARE_TASK_REGRESS, -1, 0, 0, false},
};

START_TEST(labels_and_outputs)
{
	static const uint8_t y[8] = {0, 1, 1, 0, 1, 0, 0, 1};
	size_t n = strcmp(label_table[_i].labels, "(2,)") == 0 ? 2 : 8;
	char shape[32] = "(2, ";
	struct pare_data_file f[] = {{0}, npy("y", label_table[_i].descr, label_table[_i].labels, y, n)};
	struct pare_data_options opt = {.task = label_table[_i].given, .task_given = true};
	struct gb *b = gb_new(17);
	struct pare_err err = {.code = PARE_OK};
	struct pare_dataset *d;
	struct pare_fit fit;
	struct pare_net *net;
	static float x[64];
	size_t k = 2;

	for (const char *s = label_table[_i].output + 2; *s != '\0'; s++) { /* "3 2 2" to "(2, 3, 2, 2)" */
		k *= *s != ' ' ? (size_t)(*s - '0') : 1;
		(void)snprintf(shape + strlen(shape), 4, "%c%s", *s == ' ' ? ',' : *s, *s == ' ' ? " " : "");
	}
	(void)strncat(shape, ")", 2);
	f[0] = npy("x", "<f4", shape, x, k * sizeof *x);
	d = open_files(f, 2, &opt);
	gb_input(b, "x", label_table[_i].output);
	gb_node(b, "Relu", "r", "x", "out");
	gb_output(b, "out");
	net = net_of(b);
	if (label_table[_i].task < 0) {
		ck_assert_int_eq(pare_fit_make(net, d, NULL, &fit, &err), PARE_E_SHAPE);
		ck_assert_ptr_nonnull(strstr(err.message, "output \"out\""));
	} else {
		ck_assert_msg(pare_fit_make(net, d, NULL, &fit, &err) == PARE_OK, "%s", err.message);
		ck_assert_int_eq((int)fit.outputs[0].task, label_table[_i].task);
		ck_assert_int_eq(fit.outputs[0].width, label_table[_i].width);
		ck_assert_int_eq(fit.outputs[0].positions, label_table[_i].positions);
		ck_assert(fit.outputs[0].turned == label_table[_i].turned);
	}
	pare_net_free(net);
	pare_data_free(d);
	gb_free(b);
	npy_free(f, 2);
}
END_TEST

/* Two rows of 5 positions and 3 classes, some without a label; turned or not, the same loss, the same gradient at the same place. */
START_TEST(loss_over_positions)
{
	enum { P = 5, K = 3, ROWS = 2 };
	static const int32_t classes[ROWS * P] = {0, -1, 2, 1, -1, -1, -1, 0, 1, 1};
	struct pare_fit_output straight = {.task = PARE_TASK_SEQUENCE, .loss = pare_objective("cross_entropy"), .kind = PARE_OUTPUT_RAW, .width = K, .positions = P}, turned = straight;
	float a[ROWS * P * K], b[ROWS * P * K], ga[ROWS * P * K], gb[ROWS * P * K], scratch[1024];
	double loss = 0, la, lb;

	turned.turned = true;
	ck_assert_uint_le(pare_fit_scratch(&turned), 1024);
	ck_assert_uint_eq(pare_fit_scratch(&straight), 0);
	for (int r = 0; r < ROWS; r++)
		for (int p = 0; p < P; p++)
			for (int k = 0; k < K; k++) {
				float v = (float)((r * 31 + p * 7 + k * 5) % 11) / 4;

				a[(r * P + p) * K + k] = v;
				b[(r * K + k) * P + p] = v;
			}
	for (int i = 0; i < ROWS * P; i++)
		if (classes[i] >= 0) {
			const float *o = a + i * K;

			loss += log(exp((double)o[0]) + exp((double)o[1]) + exp((double)o[2])) - (double)o[classes[i]];
		}
	memset(ga, 0xff, sizeof ga);
	memset(gb, 0xff, sizeof gb);
	la = pare_fit_loss(&straight, a, ROWS, classes, NULL, 0.5f, ga, scratch);
	lb = pare_fit_loss(&turned, b, ROWS, classes, NULL, 0.5f, gb, scratch);
	ck_assert_double_eq_tol(la, loss, 1e-6);
	ck_assert_double_eq_tol(lb, loss, 1e-6);
	ck_assert_double_eq_tol(pare_fit_loss(&turned, b, ROWS, classes, NULL, 0, NULL, scratch), loss, 1e-6);
	for (int r = 0; r < ROWS; r++)
		for (int p = 0; p < P; p++)
			for (int k = 0; k < K; k++) {
				int i = (r * P + p) * K + k;
				float up, down, keep = a[i];

				ck_assert(ga[i] == gb[(r * K + k) * P + p]);
				ck_assert(classes[r * P + p] >= 0 || ga[i] == 0);
				a[i] = keep + 0.01f;
				up = (float)pare_fit_loss(&straight, a, ROWS, classes, NULL, 0, NULL, scratch);
				a[i] = keep - 0.01f;
				down = (float)pare_fit_loss(&straight, a, ROWS, classes, NULL, 0, NULL, scratch);
				a[i] = keep;
				ck_assert_float_eq_tol(ga[i], 0.5f * (up - down) / 0.02f, 1e-3f);
			}
}
END_TEST

/* What scikit-learn exports: a label by operators that we do not have, and probabilities in a list of dictionaries. */
START_TEST(classifier_of_sklearn)
{
	static const float w[] = {1, 0, 0, 1};
	struct pare_data_file f[] = {npy("x", "<f4", "(2, 2)", ((const float[]){0.5f, 2, 3, 1}), 16), npy("y", "|u1", "(2,)", "\0\1", 2)};
	struct pare_dataset *d = open_files(f, 2, NULL);
	struct gb *b = gb_new(17);
	struct pare_metrics m;
	struct pare_fit fit;
	struct pare_err err;
	struct pare_net *net;

	gb_input(b, "X", "N 2");
	gb_init(b, "w", "2 2", w);
	gb_node(b, "MatMul", "mul", "X w", "z");
	gb_node(b, "Softmax", "soft", "z", "p");
	gb_node(b, "ArgMax", "arg", "p", "a");
	gb_attr_int(b, "axis", 1);
	gb_node(b, "ArrayFeatureExtractor", "pick", "w a", "label");
	gb_domain(b, "ai.onnx.ml");
	gb_output(b, "label");
	gb_node(b, "ZipMap", "zip", "p", "probabilities");
	gb_domain(b, "ai.onnx.ml");
	gb_output(b, "probabilities");
	net = net_of(b);
	ck_assert_msg(pare_fit_make(net, d, NULL, &fit, &err) == PARE_OK, "%s", err.message);
	ck_assert_int_eq(fit.outputs[0].output, 1);
	ck_assert_str_eq(fit.outputs[0].name, "probabilities");
	ck_assert_int_eq((int)fit.outputs[0].kind, PARE_OUTPUT_PROBABILITY);
	ck_assert_ptr_null(pare_net_shard_output(net, 0, 0));
	ck_assert_int_eq(pare_eval(net, d, PARE_SPLIT_TRAIN, &fit, &m, NULL), PARE_OK);
	ck_assert(m.accuracy == 0);
	ck_assert_double_eq_tol(m.loss, (log(1 + exp(1.5)) + log(1 + exp(2))) / 2, 1e-6);
	pare_metrics_done(&m);
	pare_net_free(net);
	pare_data_free(d);
	gb_free(b);
	npy_free(f, 2);
}
END_TEST

/* Each row with every other one: there are no labels for that. */
START_TEST(rows_by_rows)
{
	struct pare_data_file f[] = {npy("x", "<f4", "(2, 2)", ((const float[]){0.5f, 2, 3, 1}), 16), npy("y", "<f4", "(2, 1)", ((const float[]){0.5f, 2}), 8)};
	struct pare_dataset *d = open_files(f, 2, NULL);
	struct gb *b = gb_new(17);
	struct pare_fit fit;
	struct pare_err err;
	struct pare_net *net;

	gb_input(b, "x", "N 2");
	gb_node(b, "Transpose", "turn", "x", "t");
	gb_node(b, "MatMul", "mul", "x t", "z");
	gb_output(b, "z");
	net = net_of(b);
	ck_assert_int_eq(pare_fit_make(net, d, NULL, &fit, &err), PARE_E_SHAPE);
	ck_assert_msg(strstr(err.message, "none of the model's 1 outputs can be trained") != NULL, "%s", err.message);
	pare_net_free(net);
	pare_data_free(d);
	gb_free(b);
	npy_free(f, 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/eval/fit");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, rows_and_inputs, 0, (int)(sizeof shape_table / sizeof shape_table[0]));
	tcase_add_loop_test(t, open_sizes, 0, (int)(sizeof open_table / sizeof open_table[0]));
	tcase_add_loop_test(t, labels_and_outputs, 0, (int)(sizeof label_table / sizeof label_table[0]));
	tcase_add_test(t, loss_over_positions);
	tcase_add_test(t, classifier_of_sklearn);
	tcase_add_test(t, rows_by_rows);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
