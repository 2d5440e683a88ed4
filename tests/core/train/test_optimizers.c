/* Optimizers against numbers worked out elsewhere (optimizer_golden.py), schedules of the learning rate against their
 * formulas, the penalties against theirs, and the tables against the catalog. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/recipe/catalog.h"
#include "core/train/regularize.h"
#include "core/train/train.h"

#define STEPS 10
#define LR 0.03
#define N 133 /* not a multiple of a vector */

struct golden {
	const char *name, *optimizer;
	double momentum;
	bool nesterov;
	double l2;
	double w[STEPS][2];
};

static const struct golden golden_table[] = {
#include "tests/core/train/optimizer_golden.inc"
};

/* The slice [3, N - 2) holds copies of the two weights in turn; what stands outside must not be touched. */
START_TEST(ten_steps_are_those_of_the_equations)
{
	const struct golden *c = &golden_table[_i];
	struct pare_optimizer_args args = {
	    .lr = LR, .momentum = c->momentum, .nesterov = c->nesterov, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
	const struct pare_optimizer *o = pare_optimizer_find(c->optimizer);
	static float w[N], g[N], state[2][N];

	memset(state, 0, sizeof state);
	for (int i = 0; i < N; i++)
		w[i] = i % 2 == 0 ? 3.0f : 1.5f;
	ck_assert_int_le(o->n_state(&args), 2);
	for (int t = 0; t < STEPS; t++) {
		struct pare_update u = {.args = &args, .lr = LR, .step = t + 1, .w = w, .g = g, .begin = 3, .end = N - 2};

		for (int s = 0; s < o->n_state(&args); s++)
			u.state[s] = state[s];
		for (int i = 0; i < N; i++)
			g[i] = i % 2 == 0 ? 2.0f * (w[i] - 1.0f) : 20.0f * (w[i] + 2.0f);
		pare_add_decay(N, (float)c->l2, w, g);
		o->prepare(&u);
		o->update(&u);
		for (int i = 3; i < N - 2; i++)
			ck_assert_msg(fabs((double)w[i] - c->w[t][i % 2]) < 2e-6, "%s step %d: %.9f, not %.9f", c->name, t + 1,
			    (double)w[i], c->w[t][i % 2]);
	}
	ck_assert(w[2] == 3.0f && w[N - 2] == 1.5f && w[N - 1] == 3.0f);
}
END_TEST

START_TEST(soft_threshold_gives_plus_zero)
{
	float w[N];

	for (int i = 0; i < N; i++)
		w[i] = (float)(i - N / 2) * 0.01f;
	w[0] = -0.0f;
	w[1] = NAN;
	w[2] = -INFINITY;
	pare_soft_threshold(N, 0.25f, w);
	ck_assert(w[0] == 0.0f && !signbit(w[0]));
	ck_assert(isnan(w[1]));
	ck_assert(w[2] == -INFINITY);
	for (int i = 3; i < N; i++) {
		double x = (double)((float)(i - N / 2) * 0.01f), want = copysign(fmax(fabs(x) - 0.25, 0.0), x);

		ck_assert_msg(fabs((double)w[i] - want) < 1e-7, "%g gave %g", x, (double)w[i]);
		ck_assert(fabs(x) > 0.25 || !signbit(w[i]));
	}
}
END_TEST

START_TEST(clip_bounds_both_sides)
{
	float w[5] = {-3.0f, -0.5f, 0.5f, 3.0f, NAN};

	pare_clip(5, 1.0f, w);
	ck_assert(w[0] == -1.0f && w[1] == -0.5f && w[2] == 0.5f && w[3] == 1.0f && isnan(w[4]));
}
END_TEST

START_TEST(learning_rates_follow_their_formulas)
{
	struct pare_lr_args a = {.gamma = 0.1, .every = 3, .floor = 0.2};

	ck_assert_double_eq(pare_lr_find("constant")->factor(&a, 7.5, 0.9), 1.0);
	ck_assert_double_eq(pare_lr_find("step")->factor(&a, 2.99, 0.3), 1.0);
	ck_assert_double_eq_tol(pare_lr_find("step")->factor(&a, 3.0, 0.3), 0.1, 1e-15);
	ck_assert_double_eq_tol(pare_lr_find("step")->factor(&a, 8.0, 0.8), 0.01, 1e-15);
	ck_assert_double_eq_tol(pare_lr_find("cosine")->factor(&a, 0.0, 0.0), 1.0, 1e-15);
	ck_assert_double_eq_tol(pare_lr_find("cosine")->factor(&a, 5.0, 0.5), 0.6, 1e-15);
	ck_assert_double_eq_tol(pare_lr_find("cosine")->factor(&a, 10.0, 1.0), 0.2, 1e-15);
	ck_assert_ptr_null(pare_lr_find("sine"));
	ck_assert_ptr_null(pare_optimizer_find("adamw"));
}
END_TEST

START_TEST(catalog_and_tables_name_the_same)
{
	int n_catalog = 0, n_table = 0;

	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++) {
		if (m->kind == PARE_KIND_OPTIMIZER)
			ck_assert_msg(pare_optimizer_find(m->name) != NULL, "optimizer %s has no code", m->name);
		if (m->kind == PARE_KIND_LR)
			ck_assert_msg(pare_lr_find(m->name) != NULL, "lr schedule %s has no code", m->name);
		n_catalog += m->kind == PARE_KIND_OPTIMIZER || m->kind == PARE_KIND_LR;
	}
	for (const struct pare_optimizer *o = pare_optimizer_table; o->name != NULL; o++, n_table++)
		ck_assert_msg(pare_catalog_find(PARE_KIND_OPTIMIZER, o->name) != NULL, "optimizer %s is not in the catalog", o->name);
	for (const struct pare_lr_schedule *o = pare_lr_table; o->name != NULL; o++, n_table++)
		ck_assert_msg(pare_catalog_find(PARE_KIND_LR, o->name) != NULL, "lr schedule %s is not in the catalog", o->name);
	ck_assert_int_eq(n_catalog, n_table);
	ck_assert_int_ge(n_table, 5);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("optimizers");
	TCase *tc = tcase_create("optimizers");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, ten_steps_are_those_of_the_equations, 0, (int)(sizeof golden_table / sizeof *golden_table));
	tcase_add_test(tc, soft_threshold_gives_plus_zero);
	tcase_add_test(tc, clip_bounds_both_sides);
	tcase_add_test(tc, learning_rates_follow_their_formulas);
	tcase_add_test(tc, catalog_and_tables_name_the_same);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
