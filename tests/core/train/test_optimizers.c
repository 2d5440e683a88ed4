/* Optimizers against numbers worked out elsewhere (optimizer_golden.py), schedules of the learning rate against their
 * formulas, the penalties against theirs, and the tables against the catalog. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/recipe/catalog.h"
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
	    .lr = LR, .momentum = c->momentum, .nesterov = c->nesterov, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .alpha = 0.9, .weight_decay = c->l2};
	bool decoupled = strcmp(c->optimizer, "adamw") == 0;
	const struct pare_penalty_args l2 = {.lambda = c->l2};
	const struct pare_optimizer *o = pare_optimizer_find(c->optimizer);
	static float w[N], g[N], state[2][N];

	memset(state, 0, sizeof state);
	for (int i = 0; i < N; i++)
		w[i] = i % 2 == 0 ? 3.0f : 1.5f;
	ck_assert_int_le(o->n_state(&args), 2);
	for (int t = 0; t < STEPS; t++) {
		struct pare_update u = {.args = &args, .lr = LR, .step = t + 1, .w = w, .g = g, .begin = 3, .end = N - 2, .decays = true};

		for (int s = 0; s < o->n_state(&args); s++)
			u.state[s] = state[s];
		for (int i = 0; i < N; i++)
			g[i] = i % 2 == 0 ? 2.0f * (w[i] - 1.0f) : 20.0f * (w[i] + 2.0f);
		if (!decoupled)
			pare_regularizer_find("l2")->gradient(&l2, N, w, g);
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
	pare_regularizer_find("l1")->shrink(&(struct pare_penalty_args){.lambda = 2.5}, 0.1, N, w);
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

static const double one_cycle_golden[] = {
#include "tests/core/train/one_cycle.inc"
};
#define CYCLE ((int64_t)(sizeof one_cycle_golden / sizeof one_cycle_golden[0]))

static struct pare_train_options run_of(const char *schedule, int epochs, double warmup)
{
	return (struct pare_train_options){.epochs = epochs,
	    .optimizer_args = {.lr = LR},
	    .lr_schedule = pare_lr_find(schedule),
	    .lr_args = {.gamma = 0.1, .every = 3, .floor = 0.2, .peak = 0.3, .div = 10, .final_div = 100},
	    .warmup = warmup};
}

/* Ten epochs of four steps. */
START_TEST(learning_rates_follow_their_formulas)
{
	struct pare_train_options constant = run_of("constant", 10, 0), step = run_of("step", 10, 0), cosine = run_of("cosine", 10, 0),
				  exponential = run_of("exponential", 10, 0), cycle = run_of("one_cycle", 5, 0);

	ck_assert_double_eq(pare_lr_at(&constant, 37, 4), LR);
	ck_assert_double_eq(pare_lr_at(&step, 11, 4), LR);
	ck_assert_double_eq_tol(pare_lr_at(&step, 12, 4), 0.1 * LR, 1e-15);
	ck_assert_double_eq_tol(pare_lr_at(&step, 32, 4), 0.01 * LR, 1e-15);
	ck_assert_double_eq_tol(pare_lr_at(&cosine, 0, 4), LR, 1e-15);
	ck_assert_double_eq_tol(pare_lr_at(&cosine, 20, 4), 0.6 * LR, 1e-15);
	ck_assert_double_eq_tol(pare_lr_at(&cosine, 40, 4), 0.2 * LR, 1e-15);
	ck_assert_double_eq_tol(pare_lr_at(&exponential, 4, 4), 0.1 * LR, 1e-15);
	ck_assert_double_eq_tol(pare_lr_at(&exponential, 2, 4), sqrt(0.1) * LR, 1e-15);
	ck_assert_int_eq(CYCLE, 20);
	for (int64_t i = 0; i < CYCLE; i++)
		ck_assert_double_eq_tol(pare_lr_at(&cycle, i, 4), one_cycle_golden[i], 1e-11);
	ck_assert_ptr_null(pare_lr_find("sine"));
	ck_assert_ptr_null(pare_optimizer_find("adagrad"));
	ck_assert_ptr_null(pare_regularizer_find("l3"));
}
END_TEST

/* A straight line up, then the schedule over the steps that are left; also where nothing is left. */
START_TEST(warm_up_goes_before_any_schedule)
{
	for (const struct pare_lr_schedule *s = pare_lr_table; s->name != NULL; s++) {
		struct pare_train_options with = run_of(s->name, 10, 1.25), rest = run_of(s->name, 7, 0), all = run_of(s->name, 1, 5);
		double start = pare_lr_at(&rest, 0, 5);

		with.epochs = 8; /* 40 steps, of which 5 at 4 an epoch */
		for (int64_t i = 0; i < 5; i++)
			ck_assert_double_eq_tol(pare_lr_at(&with, i, 4), start * (double)(i + 1) / 6, 1e-15);
		for (int64_t i = 5; i < 32; i++) {
			struct pare_lr_point p = {.epoch = (double)(i - 5) / 4, .step = i - 5, .n_steps = 27};

			ck_assert_double_eq_tol(pare_lr_at(&with, i, 4), LR * s->factor(&with.lr_args, &p), 1e-15);
		}
		ck_assert(isfinite(pare_lr_at(&all, 0, 4)) && isfinite(pare_lr_at(&all, 3, 4)) && pare_lr_at(&all, 0, 4) < LR);
	}
}
END_TEST

/* w = [2, 3, 2] as three groups along its middle axis: one shrinks by its norm, one goes, one is zero already. */
START_TEST(group_lasso_shrinks_whole_groups)
{
	float w[] = {3, 0, 0.01f, 0.02f, 0, 0, 0, 4, 0.01f, 0, 0, 0};
	struct pare_groups g = {.w = w, .outer = 2, .n = 3, .inner = 2};

	pare_regularizer_find("group_lasso")->groups(&(struct pare_penalty_args){.lambda = 0.5}, 0.5, &g, 0, 3); /* t = 0.5, norm 5 */
	ck_assert_float_eq_tol(w[0], 2.7f, 1e-6f);
	ck_assert_float_eq_tol(w[7], 3.6f, 1e-6f);
	for (int i = 2; i < 12; i++)
		ck_assert(i == 7 || (w[i] == 0.0f && !signbit(w[i])));
	w[0] = NAN;
	pare_regularizer_find("group_lasso")->groups(&(struct pare_penalty_args){.lambda = 0.5}, 0.5, &g, 0, 3);
	ck_assert(isnan(w[0]) && w[7] == 3.6f);
}
END_TEST

START_TEST(elastic_net_is_both)
{
	const struct pare_regularizer *r = pare_regularizer_find("elastic_net");
	const struct pare_penalty_args a = {.lambda = 2, .l1_ratio = 0.25};
	float w[2] = {1, -0.01f}, g[2] = {0, 1};

	r->gradient(&a, 2, w, g);
	ck_assert(g[0] == 1.5f && fabsf(g[1] - 0.985f) < 1e-6f);
	r->shrink(&a, 0.1, 2, w);
	ck_assert(fabsf(w[0] - 0.95f) < 1e-6f && w[1] == 0.0f && !signbit(w[1]));
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
		if (m->kind == PARE_KIND_REGULARIZER)
			ck_assert_msg(pare_regularizer_find(m->name) != NULL, "regularizer %s has no code", m->name);
		n_catalog += m->kind == PARE_KIND_OPTIMIZER || m->kind == PARE_KIND_LR || m->kind == PARE_KIND_REGULARIZER;
	}
	for (const struct pare_optimizer *o = pare_optimizer_table; o->name != NULL; o++, n_table++)
		ck_assert_msg(pare_catalog_find(PARE_KIND_OPTIMIZER, o->name) != NULL, "optimizer %s is not in the catalog", o->name);
	for (const struct pare_lr_schedule *o = pare_lr_table; o->name != NULL; o++, n_table++)
		ck_assert_msg(pare_catalog_find(PARE_KIND_LR, o->name) != NULL, "lr schedule %s is not in the catalog", o->name);
	for (const struct pare_regularizer *o = pare_regularizer_table; o->name != NULL; o++, n_table++)
		ck_assert_msg(pare_catalog_find(PARE_KIND_REGULARIZER, o->name) != NULL, "regularizer %s is not in the catalog", o->name);
	ck_assert_int_eq(n_catalog, n_table);
	ck_assert_int_ge(n_table, 14);
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
	tcase_add_test(tc, warm_up_goes_before_any_schedule);
	tcase_add_test(tc, group_lasso_shrinks_whole_groups);
	tcase_add_test(tc, elastic_net_is_both);
	tcase_add_test(tc, catalog_and_tables_name_the_same);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
