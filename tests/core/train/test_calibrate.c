/* Second moments of layers' inputs, against the definition: what a layer gets is computed here by hand from the weights. */
#include "core/train/calibrate.h"

#include <math.h>

#include "core/base/mem.h"
#include "core/train/observe.h"
#include "tests/core/train/train_support.h"

enum { ROWS = 90, HIDDEN = 5 };

static const struct pare_arch_layer layers[] = {{.units = HIDDEN, .activation = PARE_ACT_TANH}, {.units = 2}};

static void make(struct fixture *f, struct pare_fit *fit)
{
	struct pare_err err = {0};

	*f = (struct fixture){0};
	net_make(f, 2, 2, layers, 1, 32);
	circle_data(f, ROWS, 0);
	ck_ok(pare_fit_make(f->net, f->data, NULL, fit, &err));
}

/* Inputs of layer 0 and 1 for a row, a 1 behind each, with the weights of slab. */
static void inputs_of(const struct fixture *f, const float *slab, uint32_t row, double x[3], double h[HIDDEN + 1])
{
	size_t w = pare_net_param(f->net, 0)->offset, b = pare_net_param(f->net, 1)->offset;
	float in[2];

	pare_data_fill(f->data, 0, &row, 1, in);
	x[0] = (double)in[0];
	x[1] = (double)in[1];
	x[2] = h[HIDDEN] = 1;
	for (size_t o = 0; o < HIDDEN; o++)
		h[o] = tanh((double)slab[w + 2 * o] * x[0] + (double)slab[w + 2 * o + 1] * x[1] + (double)slab[b + o]);
}

START_TEST(moments_are_their_definition)
{
	struct pare_calibrate_options opt = {.n_rows = 1000, .batch_size = 1 + 13 * _i, .n_threads = 1 + _i % 2, .seed = 1};
	struct pare_calibrator *c;
	struct pare_err err = {0};
	struct pare_fit fit;
	struct fixture f;
	float *dense, gram[(HIDDEN + 1) * (HIDDEN + 1)], cross[2 * (HIDDEN + 1)];
	double want_gram[HIDDEN + 1][HIDDEN + 1] = {{0}}, want_cross[2][HIDDEN + 1] = {{0}};
	size_t n_slab, w2, b2;

	make(&f, &fit);
	opt.fit = &fit;
	n_slab = pare_net_slab_len(f.net);
	dense = pare_calloc(n_slab, sizeof *dense);
	memcpy(dense, pare_net_slab(f.net), n_slab * sizeof *dense);
	for (size_t i = 0; i < 4; i++) /* the pruned net is another one from the first layer on */
		*weight_at(&f, "fc1.weight", 2 * i) = 0.0f;
	ck_ok(pare_calibrator_new(f.net, dense, f.data, &opt, &c, &err));
	ck_assert_int_eq(pare_calibrator_n_layers(c), 2);
	ck_assert_int_eq(pare_calibrator_layer(c, 1)->weight, 2);
	ck_assert_int_eq(pare_calibrator_layer(c, 1)->bias, 3);
	w2 = pare_net_param(f.net, 2)->offset;
	b2 = pare_net_param(f.net, 3)->offset;
	for (uint32_t row = 0; row < ROWS; row++) {
		double x[3], h[HIDDEN + 1], hd[HIDDEN + 1];

		inputs_of(&f, dense, row, x, hd);
		inputs_of(&f, pare_net_slab(f.net), row, x, h);
		for (size_t o = 0; o < 2; o++) {
			double y = (double)dense[b2 + o];

			for (size_t i = 0; i < HIDDEN; i++)
				y += (double)dense[w2 + o * HIDDEN + i] * hd[i];
			for (size_t i = 0; i <= HIDDEN; i++)
				want_cross[o][i] += y * h[i] / ROWS;
		}
		for (size_t i = 0; i <= HIDDEN; i++)
			for (size_t k = 0; k <= HIDDEN; k++)
				want_gram[i][k] += h[i] * h[k] / ROWS;
	}
	ck_ok(pare_calibrate_layer(c, 1, gram, cross, &err));
	for (size_t i = 0; i <= HIDDEN; i++) {
		for (size_t k = 0; k <= HIDDEN; k++)
			ck_assert_double_eq_tol(gram[i * (HIDDEN + 1) + k], want_gram[i][k], 1e-5);
		for (size_t o = 0; o < 2; o++)
			ck_assert_double_eq_tol(cross[o * (HIDDEN + 1) + i], want_cross[o][i], 1e-5);
	}
	pare_calibrator_free(c);
	pare_free(dense);
	fixture_done(&f);
}
END_TEST

START_TEST(norms_by_weight)
{
	struct pare_observe_options opt = {.stat = PARE_STAT_INPUT_NORM, .n_rows = ROWS, .batch_size = 16, .seed = 1};
	struct pare_err err = {0};
	struct pare_fit fit;
	struct fixture f;
	double sum[HIDDEN + 1] = {0};
	float *norms;

	make(&f, &fit);
	norms = pare_calloc(pare_net_slab_len(f.net), sizeof *norms);
	for (uint32_t row = 0; row < ROWS; row++) {
		double x[3], h[HIDDEN + 1];

		inputs_of(&f, pare_net_slab(f.net), row, x, h);
		for (size_t i = 0; i < HIDDEN; i++)
			sum[i] += h[i] * h[i] / ROWS;
	}
	ck_ok(pare_observe(f.net, f.data, &opt, norms, &err));
	for (size_t o = 0; o < 2; o++)
		for (size_t i = 0; i < HIDDEN; i++)
			ck_assert_double_eq_tol(norms[pare_net_param(f.net, 2)->offset + o * HIDDEN + i], sqrt(sum[i]), 1e-5);
	ck_assert_float_eq(norms[pare_net_param(f.net, 3)->offset], 1.0f); /* a bias */
	pare_free(norms);
	fixture_done(&f);
}
END_TEST

/* An input that says nothing new costs nothing to lose: its place in the inverse is large and its score small. */
START_TEST(obs_sees_what_the_others_can_make_up_for)
{
	struct pare_observe_options opt = {.stat = PARE_STAT_INVERSE, .n_rows = ROWS, .batch_size = 16, .damping = 1e-6, .seed = 1};
	const struct pare_criterion *obs = pare_criterion_find("obs");
	struct pare_err err = {0};
	struct pare_fit fit;
	struct fixture f;
	float *stat, score[2 * HIDDEN];

	make(&f, &fit);
	stat = pare_calloc(pare_net_slab_len(f.net), sizeof *stat);
	for (size_t i = 0; i < 2; i++) /* hidden unit 4 is a copy of unit 3 */
		*weight_at(&f, "fc1.weight", 8 + i) = *weight_at(&f, "fc1.weight", 6 + i);
	*weight_at(&f, "fc1.bias", 4) = *weight_at(&f, "fc1.bias", 3);
	for (size_t i = 0; i < 2 * HIDDEN; i++)
		*weight_at(&f, "fc2.weight", i) = 1.0f;
	ck_ok(pare_observe(f.net, f.data, &opt, stat, &err));
	obs->score(&(struct pare_score_input){.w = weight_at(&f, "fc2.weight", 0), .stat = stat + pare_net_param(f.net, 2)->offset, .n = 2 * HIDDEN}, score);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_float_lt(10 * score[3], score[i]);
		ck_assert_float_lt(10 * score[4], score[i]);
	}
	pare_free(stat);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("calibrate");
	TCase *tc = tcase_create("calibrate");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, moments_are_their_definition, 0, 4);
	tcase_add_test(tc, norms_by_weight);
	tcase_add_test(tc, obs_sees_what_the_others_can_make_up_for);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
