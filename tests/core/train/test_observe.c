/* What criteria are told of the data: gradients that are those of training, and ranks that are those of the papers' formulas. */
#include <math.h>

#include "core/base/mem.h"
#include "core/train/observe.h"
#include "tests/core/train/train_support.h"

enum { ROWS = 96 };

static void make(struct fixture *f, int n_threads)
{
	static const struct pare_arch_layer layers[] = {{.units = 9, .activation = PARE_ACT_TANH, .dropout = 0.5}, {.units = 2}};

	*f = (struct fixture){0};
	net_make(f, 2, 2, layers, n_threads, ROWS);
	circle_data(f, ROWS, 0);
}

static float *observed(struct fixture *f, enum pare_stat stat, uint32_t rows, int batch)
{
	struct pare_observe_options opt = {.stat = stat, .n_rows = rows, .batch_size = batch, .seed = 3};
	float *out = pare_calloc(pare_net_slab_len(f->net), sizeof *out);
	struct pare_err err = {0};

	ck_ok(pare_observe(f->net, f->data, &opt, out, &err));
	return out;
}

/* A step of plain descent over all rows moves the weights by the gradient. The net has Dropout, which observing leaves out, so the
 * descent runs on one without. */
START_TEST(gradients_are_those_of_training)
{
	static const struct pare_arch_layer layers[] = {{.units = 9, .activation = PARE_ACT_TANH}, {.units = 2}};
	struct pare_train_options opt = train_options("sgd", 1.0, 1, ROWS);
	struct fixture f, plain = {0};
	struct pare_err err = {0};
	float *g, *before;
	size_t n;

	make(&f, 1 + _i);
	net_make(&plain, 2, 2, layers, 1, ROWS);
	circle_data(&plain, ROWS, 0);
	n = pare_net_slab_len(f.net);
	ck_assert_uint_eq(n, pare_net_slab_len(plain.net));
	memcpy(pare_net_slab(plain.net), pare_net_slab(f.net), n * sizeof(float));
	before = pare_calloc(n, sizeof *before);
	memcpy(before, pare_net_slab(f.net), n * sizeof *before);
	g = observed(&f, PARE_STAT_GRAD, ROWS, ROWS);
	ck_assert_mem_eq(before, pare_net_slab(f.net), n * sizeof *before); /* nothing moved */
	ck_ok(pare_train(plain.net, plain.data, &opt, NULL, &err));
	for (size_t i = 0; i < n; i++)
		ck_assert_float_eq_tol(before[i] - pare_net_slab(plain.net)[i], g[i], 2e-6f);
	pare_free(g);
	pare_free(before);
	fixture_done(&f);
	fixture_done(&plain);
}
END_TEST

START_TEST(means_over_batches)
{
	struct fixture f;
	float *all, *sum, *abs, *square, *one, *some;

	make(&f, 1);
	all = observed(&f, PARE_STAT_GRAD, ROWS, ROWS);
	sum = observed(&f, PARE_STAT_GRAD, ROWS, 8); /* equal batches: the mean of means is the mean */
	abs = observed(&f, PARE_STAT_GRAD_ABS, ROWS, 8);
	square = observed(&f, PARE_STAT_GRAD_SQUARE, ROWS, 8);
	one = observed(&f, PARE_STAT_GRAD_ABS, ROWS, ROWS);
	some = observed(&f, PARE_STAT_GRAD, 16, 8);
	for (size_t i = 0; i < pare_net_slab_len(f.net); i++) {
		ck_assert_float_eq_tol(all[i], sum[i], 1e-6f);
		ck_assert_float_eq_tol(fabsf(all[i]), one[i], 1e-7f);
		ck_assert(abs[i] >= fabsf(sum[i]) - 1e-6f);
		ck_assert(square[i] >= abs[i] * abs[i] - 1e-6f); /* Jensen */
	}
	ck_assert_mem_ne(all, some, pare_net_slab_len(f.net) * sizeof *all);
	pare_free(all);
	pare_free(sum);
	pare_free(abs);
	pare_free(square);
	pare_free(one);
	pare_free(some);
	fixture_done(&f);
}
END_TEST

static double gradient(double w, double s)
{
	(void)w;
	return fabs(s);
}

static double product(double w, double s)
{
	return fabs(w * s);
}

static double movement(double w, double s)
{
	return -w * s;
}

static double fisher(double w, double s)
{
	return 0.5 * w * w * s;
}

static const struct {
	const char *name;
	double (*score)(double w, double s);
} formula_table[] = {{"gradient", gradient}, {"gradient_abs", gradient}, {"snip", product}, {"taylor", product}, {"movement", movement}, {"fisher", fisher}};

START_TEST(what_scores_lowest_goes)
{
	const struct pare_criterion *c = pare_criterion_find(formula_table[_i].name);
	struct pare_prune_options opt = {.criterion = c, .sparsity = 0.4};
	struct pare_err err = {0};
	struct pare_mask m;
	struct fixture f;
	double kept = INFINITY, gone = -INFINITY;
	float *stat, *before;

	make(&f, 1);
	stat = observed(&f, c->stat, ROWS, 16);
	before = pare_calloc(pare_net_slab_len(f.net), sizeof *before);
	memcpy(before, pare_net_slab(f.net), pare_net_slab_len(f.net) * sizeof *before);
	opt.stat = stat;
	ck_ok(pare_mask_init(&m, f.net, &err));
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	for (int p = 0; p < pare_net_n_params(f.net); p++) {
		const struct pare_param_info *info = pare_net_param(f.net, p);

		for (size_t i = info->offset; info->prunable && i < info->offset + info->n_elems; i++) {
			double score = formula_table[_i].score((double)before[i], (double)stat[i]);

			if (m.keep[i])
				kept = fmin(kept, score);
			else
				gone = fmax(gone, score);
		}
	}
	ck_assert_double_le(gone, kept + 1e-9);
	ck_assert_double_lt(gone, INFINITY);
	stat[pare_net_param(f.net, 0)->offset] = NAN;
	ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_NONFINITE);
	ck_assert_ptr_nonnull(strstr(err.message, c->name));
	pare_free(stat);
	pare_free(before);
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

/* mean (x w + c - y)^2 has the Hessian 2 X^T X / n. Columns that are orthogonal make it diagonal, and then every probe finds it as it is; mixed ones
 * need many. A weight that is 0 is not probed. */
START_TEST(curvature_is_that_of_least_squares)
{
	static const struct pare_arch_layer one[] = {{.units = 1}};
	struct pare_observe_options opt = {.stat = PARE_STAT_CURVATURE, .n_rows = 8, .batch_size = 8, .seed = 3, .probes = _i == 0 ? 1 : 400};
	struct fixture f = {0};
	struct pare_err err = {0};
	double squares[4] = {0};
	float *out, *before;
	size_t n;

	net_make(&f, 4, 1, one, 1, 8);
	csv_begin(&f, 4);
	for (int i = 0; i < 8; i++) {
		double x[4] = {i & 1 ? -1 : 1, i & 2 ? -2 : 2, i & 4 ? -0.5 : 0.5, (i ^ i >> 1) & 1 ? -3 : 3};

		if (_i == 1) /* no longer orthogonal */
			x[1] += 0.7 * x[0];
		for (int j = 0; j < 4; j++)
			squares[j] += 2 * x[j] * x[j] / 8;
		csv_row(&f, 4, x, 0.1 * i);
	}
	csv_end(&f, PARE_TASK_REGRESS, 0);
	n = pare_net_slab_len(f.net);
	*weight_at(&f, "fc1.weight", 3) = 0;
	before = pare_calloc(n, sizeof *before);
	memcpy(before, pare_net_slab(f.net), n * sizeof *before);
	out = pare_calloc(n, sizeof *out);
	ck_ok(pare_observe(f.net, f.data, &opt, out, &err));
	ck_assert_mem_eq(before, pare_net_slab(f.net), n * sizeof *before);
	for (size_t j = 0; j < 4; j++)
		ck_assert_double_eq_tol((double)out[weight_at(&f, "fc1.weight", j) - pare_net_slab(f.net)], j < 3 ? squares[j] : 0, _i == 0 ? 0.01 : 0.25);
	ck_assert_float_eq(out[weight_at(&f, "fc1.bias", 0) - pare_net_slab(f.net)], 0.0f);
	pare_free(before);
	pare_free(out);
	fixture_done(&f);
}
END_TEST

START_TEST(what_cannot_be_observed)
{
	struct pare_observe_options opt = {.stat = PARE_STAT_GRAD, .n_rows = 0, .batch_size = 8};
	atomic_bool cancel = true;
	struct pare_err err = {0};
	struct fixture f;
	float *out;

	make(&f, 2);
	out = pare_calloc(pare_net_slab_len(f.net), sizeof *out);
	ck_assert_int_eq(pare_observe(f.net, f.data, &opt, out, &err), PARE_E_DATASET);
	opt.n_rows = ROWS;
	opt.cancel = &cancel;
	ck_assert_int_eq(pare_observe(f.net, f.data, &opt, out, &err), PARE_E_CANCELED);
	opt.cancel = NULL;
	*weight_at(&f, "fc1.weight", 0) = NAN;
	ck_assert_int_eq(pare_observe(f.net, f.data, &opt, out, &err), PARE_E_NONFINITE);
	pare_free(out);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("observe");
	TCase *tc = tcase_create("observe");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, gradients_are_those_of_training, 0, 2);
	tcase_add_test(tc, means_over_batches);
	tcase_add_loop_test(tc, what_scores_lowest_goes, 0, (int)(sizeof formula_table / sizeof formula_table[0]));
	tcase_add_loop_test(tc, curvature_is_that_of_least_squares, 0, 2);
	tcase_add_test(tc, what_cannot_be_observed);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
