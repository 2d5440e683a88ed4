/* Weights under noise: gradients are those of the formulas, draws do not depend on threads, and what is of no use goes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/core/train/train_support.h"

enum { N_METHODS = 2, ROWS = 1024 };

static const struct pare_noise_args args_table[N_METHODS] = {{.lambda = 1, .warmup = 1, .start = -8, .threshold = 3}, {.lambda = 1, .warmup = 1, .start = 0.9}};

START_TEST(draws_are_those_of_their_distribution)
{
	const struct pare_noise_method *m = &pare_noise_table[_i];
	const double variance[N_METHODS] = {1, 3.28986813}; /* normal; logistic, pi^2 / 3 */
	const double high[N_METHODS] = {1.95996398, 3.66356165}; /* 97.5 % */
	struct pare_noise what = {m, args_table[_i]};
	struct pare_noise_run *r = NULL;
	struct fixture f = {0};
	struct pare_err err = {0};
	double sum = 0, squares = 0;
	int above = 0;

	circle_net(&f, 1);
	ck_ok(pare_noise_new(&what, f.net, 0, &r, &err));
	for (int i = 0; i < PARE_NOISE_DRAWS; i++) {
		sum += (double)r->draws[i];
		squares += (double)r->draws[i] * (double)r->draws[i];
		above += (double)r->draws[i] > high[_i];
	}
	ck_assert_double_eq_tol(sum / PARE_NOISE_DRAWS, 0, 1e-6);
	ck_assert_double_eq_tol(squares / PARE_NOISE_DRAWS, variance[_i], 0.01 * variance[_i]);
	ck_assert_int_le(abs(above - PARE_NOISE_DRAWS / 40), 2);
	pare_noise_free(r);
	fixture_done(&f);
}
END_TEST

/* A loss c w' of the drawn weight and the complexity, by w and by the measure, against differences of the formulas themselves. */
START_TEST(gradients_are_those_of_the_formulas)
{
	const struct pare_noise_method *m = &pare_noise_table[_i];
	struct pare_rng rng;

	pare_rng_init(&rng, 1, "test", 0);
	for (int i = 0; i < 2000; i++) {
		float w = pare_rng_uniform(&rng) * 2 - 1, c = pare_rng_uniform(&rng) * 2 - 1, e = (float)pare_rng_normal(&rng), scale = pare_rng_uniform(&rng);
		float measure = _i == 0 ? pare_rng_uniform(&rng) * 10 - 9 : pare_rng_uniform(&rng) * 6 - 3, g = c, gm = 0, kept, out, h = 1e-2f;
		double by[2];
		bool smooth = true;

		m->draw(1, &w, &measure, &e, &kept, &out);
		m->grad(1, scale, &w, &measure, &kept, &g, &gm);
		for (int k = 0; k < 2; k++) { /* by w, by the measure */
			double value[2];

			for (int side = 0; side < 2; side++) {
				float wk = k == 0 ? w + (side == 0 ? -1e-3f : 1e-3f) * w : w, mk = k == 1 ? measure + (side == 0 ? -h : h) : measure, ok, kk;
				double a = (double)mk - log((double)wk * (double)wk);

				m->draw(1, &wk, &mk, &e, &kk, &ok);
				value[side] = (double)c * (double)ok + (double)scale * m->cost(&args_table[_i], wk, mk);
				smooth = smooth && fabs(a) < 7.5 && (_i == 0 || (kk > 0.01f && kk < 0.99f)); /* no corner between the two */
			}
			by[k] = (value[1] - value[0]) / (k == 0 ? 2e-3 * (double)w : 2.0 * (double)h);
		}
		if (!smooth || fabsf(w) < 0.05f)
			continue;
		ck_assert_msg(fabs(by[0] - (double)g) < 2e-3 * (1 + fabs(by[0])), "by w %g: %g, not %g", (double)w, (double)g, by[0]);
		ck_assert_msg(fabs(by[1] - (double)gm) < 2e-3 * (1 + fabs(by[1])), "by the measure %g: %g, not %g", (double)measure, (double)gm, by[1]);
	}
}
END_TEST

START_TEST(draws_do_not_depend_on_threads)
{
	struct pare_noise what = {&pare_noise_table[_i], args_table[_i]};
	struct pare_noise_run *r = NULL;
	struct fixture f = {0};
	struct pare_err err = {0};
	size_t len;
	float *before, *one;

	circle_net(&f, 1);
	len = pare_net_slab_len(f.net);
	before = pare_calloc(len, sizeof *before);
	one = pare_calloc(len, sizeof *one);
	memcpy(before, pare_net_slab(f.net), len * sizeof *before);
	ck_ok(pare_noise_new(&what, f.net, 0, &r, &err));
	pare_noise_draw(r, f.net, NULL, 7, 3, 0, 1);
	memcpy(one, pare_net_slab(f.net), len * sizeof *one);
	ck_assert(memcmp(before, one, len * sizeof *one) != 0);
	memcpy(pare_net_slab(f.net), before, len * sizeof *before);
	for (int t = 2; t >= 0; t--)
		pare_noise_draw(r, f.net, NULL, 7, 3, t, 3);
	ck_assert(memcmp(pare_net_slab(f.net), one, len * sizeof *one) == 0);
	memcpy(pare_net_slab(f.net), before, len * sizeof *before);
	pare_noise_draw(r, f.net, NULL, 7, 4, 0, 1);
	ck_assert(memcmp(pare_net_slab(f.net), one, len * sizeof *one) != 0);
	pare_noise_free(r);
	pare_free(before);
	pare_free(one);
	fixture_done(&f);
}
END_TEST

/* Two inputs say what the class is, ten say nothing. */
START_TEST(what_is_of_no_use_goes)
{
	enum { INPUTS = 12 };
	static const struct pare_arch_layer layers[] = {{.units = 16, .activation = PARE_ACT_TANH}, {.units = 2}};
	struct pare_noise what = {&pare_noise_table[_i], {.lambda = _i == 0 ? 1 : 3, .warmup = 20, .start = _i == 0 ? -8 : 0.9, .threshold = 3}};
	struct pare_train_options opt;
	struct fixture f = {0};
	struct pare_err err = {0};
	struct pare_rng rng;
	const struct pare_param_info *first;
	const float *w;
	int n[2] = {0, 0};

	net_make(&f, INPUTS, 2, layers, 2, 32);
	csv_begin(&f, INPUTS);
	pare_rng_init(&rng, 2, "test", 0);
	for (int i = 0; i < ROWS; i++) {
		double x[INPUTS];

		for (int k = 0; k < INPUTS; k++)
			x[k] = pare_rng_normal(&rng);
		csv_row(&f, INPUTS, x, x[3] + x[7] > 0 ? 1 : 0);
	}
	csv_end(&f, PARE_TASK_CLASSIFY, 0);
	opt = train_options("adam", 0.01, 120, 32);
	opt.noise = &what;
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	first = pare_net_param(f.net, 0);
	w = pare_net_slab(f.net) + first->offset;
	for (size_t i = 0; i < first->n_elems; i++) {
		size_t input = first->dims[0] == INPUTS ? i / 16 : i % INPUTS;

		n[input == 3 || input == 7] += w[i] != 0.0f;
	}
	ck_assert_msg(n[1] >= 4 && n[0] * 32 * 2 < n[1] * 160, "left: %d of 32 weights of inputs that matter, %d of 160 of those that do not", n[1], n[0]);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("noise on weights");
	TCase *t = tcase_create("noise on weights");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, draws_are_those_of_their_distribution, 0, N_METHODS);
	tcase_add_loop_test(t, gradients_are_those_of_the_formulas, 0, N_METHODS);
	tcase_add_loop_test(t, draws_do_not_depend_on_threads, 0, N_METHODS);
	tcase_add_loop_test(t, what_is_of_no_use_goes, 0, N_METHODS);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
