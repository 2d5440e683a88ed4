/* A net with known weights over a known table: what pare_eval says, what it refuses, and that threads and batch sizes do
 * not change it. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/eval/eval.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/graph_builder.h"
#include "tests/support/fit.h"

enum { ROWS = 9001 };

/* Rows (a, b) with class b > a, one in ten labelled wrong; the net's logits are (a, b). */
static struct pare_dataset *open_table(const char *labels)
{
	struct pare_data_file f = {.name = "t.csv"};
	struct pare_dataset *d = NULL;
	char *csv = malloc((size_t)ROWS * 32 + 8);
	size_t n = (size_t)snprintf(csv, 8, "a,b,y\n");

	for (int i = 0; i < ROWS; i++) {
		int a = i * 7 % 13, b = i * 5 % 17;
		int c = (b > a) != (i % 10 == 0);

		if (strcmp(labels, "sum") == 0)
			n += (size_t)snprintf(csv + n, 32, "%d,%d,%d.5\n", a, b, a + b);
		else
			n += (size_t)snprintf(csv + n, 32, "%d,%d,%d\n", a, b, strcmp(labels, "three") == 0 && i == 77 ? 2 : c);
	}
	f.bytes = (struct pare_span){(const uint8_t *)csv, n};
	ck_assert_int_eq(pare_data_open(&f, 1, NULL, &d, NULL), PARE_OK);
	free(csv);
	return d;
}

static struct gb *linear(const char *input, const char *shape, const float *w, const char *bias)
{
	struct gb *b = gb_new(17);
	static const float zeros[4];

	gb_input(b, "x", input);
	gb_init(b, "w", shape, w);
	gb_init(b, "b", bias, zeros);
	gb_node(b, "Gemm", "fc", "x w b", "y");
	gb_output(b, "y");
	return b;
}

static struct pare_net *net_of(struct gb *b, int threads, int64_t batch)
{
	const struct pare_net_options opt = {.n_threads = threads, .max_batch = batch};
	struct pare_net *net = NULL;
	struct pare_err err = {.code = PARE_OK};
	enum pare_code rc = pare_net_new(gb_model(b), &opt, &net, &err);

	ck_assert_msg(rc == PARE_OK, "%s: %s", err.where, err.message);
	return net;
}

static const float identity[] = {1, 0, 0, 1};

START_TEST(known_net)
{
	struct pare_dataset *d = open_table("two");
	struct gb *b = linear("N 2", "2 2", identity, "2");
	struct pare_net *net = net_of(b, 1, 64);
	struct pare_metrics m;
	int64_t right = 0;
	double loss = 0;

	ck_assert_int_eq(pare_data_normalization(d, 0), PARE_NORM_NONE);
	ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TRAIN, "cross_entropy", &m, NULL), PARE_OK);
	for (int i = 0; i < ROWS; i++) {
		int a = i * 7 % 13, bb = i * 5 % 17, c = (bb > a) != (i % 10 == 0), guess = bb > a;

		right += guess == c;
		loss += log(exp(a) + exp(bb)) - (c ? bb : a);
		ck_assert_int_eq(m.predicted[i], guess);
	}
	ck_assert_int_eq(m.n, ROWS);
	ck_assert_int_eq(m.confusion[0] + m.confusion[3], right);
	ck_assert_double_eq_tol(m.accuracy, (double)right / ROWS, 1e-12);
	ck_assert_double_eq_tol(m.loss, loss / ROWS, 1e-5);
	pare_metrics_done(&m);
	pare_net_free(net);
	gb_free(b);
	pare_data_free(d);
}
END_TEST

START_TEST(threads_and_batches_do_not_matter)
{
	static const struct {
		int threads;
		int64_t batch;
	} cases[] = {{1, 1}, {1, 4096}, {2, 64}, {3, 100}, {8, 16}};
	struct pare_dataset *d = open_table("two");
	struct gb *b = linear("N 2", "2 2", identity, "2");
	double loss = 0;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pare_net *net = net_of(b, cases[i].threads, cases[i].batch);
		struct pare_metrics m;

		ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TRAIN, "cross_entropy", &m, NULL), PARE_OK);
		ck_assert(i == 0 || m.loss == loss);
		loss = m.loss;
		pare_metrics_done(&m);
		pare_net_free(net);
	}
	gb_free(b);
	pare_data_free(d);
}
END_TEST

START_TEST(regression)
{
	static const float sum[] = {1, 1};
	struct pare_dataset *d = open_table("sum");
	struct gb *b = linear("N 2", "2 1", sum, "1");
	struct pare_net *net = net_of(b, 2, 64);
	struct pare_metrics m;
	struct pare_fit fit;
	struct pare_err err;

	ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TRAIN, "mse", &m, NULL), PARE_OK);
	ck_assert_double_eq_tol(m.mse, 0.25, 1e-9);
	ck_assert_double_eq_tol(m.mae, 0.5, 1e-9);
	ck_assert(m.r2 > 0.9 && m.r2 < 1);
	ck_assert_int_eq(fit_with(net, d, "cross_entropy", &fit, &err), PARE_E_INVALID);
	pare_net_free(net);
	gb_free(b);
	b = linear("N 2", "2 2", identity, "2");
	net = net_of(b, 1, 64);
	ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TRAIN, "mse", &m, &err), PARE_E_SHAPE);
	ck_assert_ptr_nonnull(strstr(err.message, "1 targets"));
	pare_net_free(net);
	gb_free(b);
	pare_data_free(d);
}
END_TEST

START_TEST(wrong_shape_names_both)
{
	static const float w[6];
	struct pare_dataset *d = open_table("two");
	struct gb *b = linear("N 3", "3 2", w, "2");
	struct pare_net *net = net_of(b, 1, 64);
	struct pare_metrics m;
	struct pare_err err;

	ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TRAIN, "cross_entropy", &m, &err), PARE_E_SHAPE);
	ck_assert_ptr_nonnull(strstr(err.message, "[2]"));
	ck_assert_ptr_nonnull(strstr(err.message, "[N, 3]"));
	pare_net_free(net);
	gb_free(b);
	pare_data_free(d);
}
END_TEST

START_TEST(too_many_classes_names_class_and_width)
{
	struct pare_dataset *d = open_table("three");
	struct gb *b = linear("N 2", "2 2", identity, "2");
	struct pare_net *net = net_of(b, 1, 64);
	struct pare_metrics m;
	struct pare_err err;

	ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TRAIN, "cross_entropy", &m, &err), PARE_E_LABEL);
	ck_assert_ptr_nonnull(strstr(err.message, "class 2"));
	ck_assert_ptr_nonnull(strstr(err.message, "2 outputs"));
	pare_net_free(net);
	gb_free(b);
	pare_data_free(d);
}
END_TEST

/* Rows of [1, 2] go into a model of [N, 2]: the numbers are the same. */
START_TEST(image_rows_fit_a_flat_input)
{
	static const uint8_t x[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255, 255, 0}, y[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};
	const struct pare_data_file f[] = {{"x", {x, sizeof x}}, {"y", {y, sizeof y}}};
	struct pare_dataset *d = NULL;
	struct gb *b = linear("N 2", "2 2", identity, "2");
	struct pare_net *net = net_of(b, 1, 64);
	struct pare_metrics m;

	ck_assert_int_eq(pare_data_open(f, 2, NULL, &d, NULL), PARE_OK);
	ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TRAIN, "cross_entropy", &m, NULL), PARE_OK);
	ck_assert(m.accuracy == 1.0);
	ck_assert_double_eq_tol(m.loss, log(1 + exp(-1)), 1e-6);
	pare_metrics_done(&m);
	/* an empty split has no rows and no metrics but zeros */
	ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TEST, "cross_entropy", &m, NULL), PARE_OK);
	ck_assert_int_eq(m.n, 0);
	ck_assert(m.loss == 0 && m.accuracy == 0);
	pare_metrics_done(&m);
	pare_net_free(net);
	gb_free(b);
	pare_data_free(d);
}
END_TEST

START_TEST(nth_allocation_fails)
{
	struct pare_dataset *d = open_table("two");
	struct gb *b = linear("N 2", "2 2", identity, "2");
	struct pare_net *net = net_of(b, 1, 64);
	struct pare_metrics m;
	long count;

	fail_alloc_install(0);
	ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TRAIN, "mse", &m, NULL), PARE_OK);
	pare_metrics_done(&m);
	count = fail_alloc_count();
	ck_assert_int_gt(count, 3);
	for (long nth = 1; nth <= count; nth++) {
		fail_alloc_install(nth);
		ck_assert_int_eq(fit_and_eval(net, d, PARE_SPLIT_TRAIN, "mse", &m, NULL), PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
	pare_net_free(net);
	gb_free(b);
	pare_data_free(d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/eval");
	TCase *c = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_test(c, known_net);
	tcase_add_test(c, threads_and_batches_do_not_matter);
	tcase_add_test(c, regression);
	tcase_add_test(c, wrong_shape_names_both);
	tcase_add_test(c, too_many_classes_names_class_and_width);
	tcase_add_test(c, image_rows_fit_a_flat_input);
	tcase_add_test(c, nth_allocation_fails);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
