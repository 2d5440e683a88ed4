/* Losses against values worked out by hand and by PyTorch (loss_golden.py), and gradients against differences: of every row of the
 * table, for every kind of output. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/eval/loss.h"
#include "core/recipe/catalog.h"

#define N_LOSSES 6 /* checked against the table below */
#define G_ROWS 4
#define G_K 5

static const struct {
	const char *name, *loss;
	enum pare_output_kind kind;
	double smoothing, delta, weights[G_K];
	size_t n_weights;
	float out[G_ROWS * G_K];
	int32_t classes[G_ROWS];
	bool by_class;
	float targets[G_ROWS * G_K];
	double value, gradient[G_ROWS * G_K];
} golden_table[] = {
#include "tests/core/eval/loss_golden.inc"
};

START_TEST(losses_are_pytorchs)
{
	struct pare_objective a = pare_objective(golden_table[_i].loss);
	const int32_t *classes = golden_table[_i].by_class ? golden_table[_i].classes : NULL;
	float g[G_ROWS * G_K];
	double by = G_ROWS, value;

	a.smoothing = golden_table[_i].smoothing;
	a.delta = golden_table[_i].delta;
	a.class_weights = golden_table[_i].n_weights > 0 ? golden_table[_i].weights : NULL;
	a.n_class_weights = golden_table[_i].n_weights;
	if (classes != NULL)
		by = pare_loss_weight(&a, classes, G_ROWS);
	value = pare_loss_rows(&a, golden_table[_i].kind, golden_table[_i].out, G_ROWS, G_K, classes, golden_table[_i].targets, (float)(1 / by), g);
	ck_assert_msg(fabs(value / by - golden_table[_i].value) < 2e-6 * fmax(1, fabs(golden_table[_i].value)), "%s: %.12g, want %.12g", golden_table[_i].name,
	    value / by, golden_table[_i].value);
	for (int i = 0; i < G_ROWS * G_K; i++)
		ck_assert_msg(fabs((double)g[i] - golden_table[_i].gradient[i]) < 2e-6 * fmax(1, fabs(golden_table[_i].gradient[i])), "%s: gradient[%d] is %g, want %g",
		    golden_table[_i].name, i, (double)g[i], golden_table[_i].gradient[i]);
	ck_assert_double_eq_tol(pare_loss_rows(&a, golden_table[_i].kind, golden_table[_i].out, G_ROWS, G_K, classes, golden_table[_i].targets, 1, NULL), value, 1e-12);
}
END_TEST

/* What the catalog names has code, and the other way round. */
START_TEST(catalog_and_table_name_the_same)
{
	int n = 0;

	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++)
		if (m->kind == PARE_KIND_LOSS && ++n > 0)
			ck_assert_msg(pare_loss_find(m->name) != NULL, "loss %s has no code", m->name);
	for (const struct pare_loss *l = pare_loss_table; l->name != NULL; l++, n--)
		ck_assert_msg(pare_catalog_find(PARE_KIND_LOSS, l->name) != NULL, "loss %s is not in the catalog", l->name);
	ck_assert_int_eq(n, 0);
	ck_assert_ptr_null(pare_loss_table[N_LOSSES].name);
}
END_TEST

static double rows_of(const char *loss, enum pare_output_kind kind, const float *out, int64_t count, int64_t k, const int32_t *classes, const float *targets,
    float scale, float *grad)
{
	const struct pare_objective a = pare_objective(loss);

	return pare_loss_rows(&a, kind, out, count, k, classes, targets, scale, grad);
}

static double ce(enum pare_output_kind kind, const float *o, int64_t k, int32_t c, float *grad)
{
	return rows_of("cross_entropy", kind, o, 1, k, &c, NULL, 1, grad);
}

START_TEST(cross_entropy_known_values)
{
	const float o[] = {1, 2, 3};
	const float p[] = {0.2f, 0.5f, 0.3f};
	const float lp[] = {-1.5f, -0.5f, -2};

	ck_assert_double_eq_tol(ce(PARE_OUTPUT_RAW, o, 3, 2, NULL), 0.40760596444438, 1e-6);
	ck_assert_double_eq_tol(ce(PARE_OUTPUT_RAW, o, 3, 0, NULL), 2.40760596444438, 1e-6);
	ck_assert_double_eq_tol(ce(PARE_OUTPUT_PROBABILITY, p, 3, 1, NULL), 0.69314718, 1e-6);
	ck_assert_double_eq_tol(ce(PARE_OUTPUT_LOG_PROBABILITY, lp, 3, 2, NULL), 2, 1e-12);
}
END_TEST

START_TEST(cross_entropy_is_stable)
{
	const float big[] = {3e38f, -3e38f, 0}, far[] = {1000, 0, -1000}, zero[] = {0, 1};
	float g[3];

	ck_assert_double_eq_tol(ce(PARE_OUTPUT_RAW, far, 3, 0, g), 0, 1e-12);
	ck_assert_double_eq_tol(ce(PARE_OUTPUT_RAW, far, 3, 2, g), 2000, 1e-3);
	ck_assert(g[0] == 1.0f && g[1] == 0.0f && g[2] == -1.0f);
	ck_assert(isfinite(ce(PARE_OUTPUT_RAW, big, 3, 1, g)));
	ck_assert(isfinite(g[0]) && isfinite(g[1]) && isfinite(g[2]));
	ck_assert_double_eq_tol(ce(PARE_OUTPUT_PROBABILITY, zero, 2, 0, g), 27.631021, 1e-5); /* -log 1e-12 */
	ck_assert(g[0] == -1e12f && g[1] == 0.0f);
}
END_TEST

/* A loss that hides a NaN lets a broken training go on and a broken model be judged. */
START_TEST(nan_is_never_hidden)
{
	const float o[] = {NAN, 0.5f}, other[] = {0.5f, NAN};
	float g[2];

	for (int kind = PARE_OUTPUT_RAW; kind <= PARE_OUTPUT_LOG_PROBABILITY; kind++)
		ck_assert(isnan(ce((enum pare_output_kind)kind, o, 2, 0, g)) && isnan(ce((enum pare_output_kind)kind, o, 2, 0, NULL)));
	ck_assert(isnan(ce(PARE_OUTPUT_RAW, other, 2, 0, g)));
}
END_TEST

START_TEST(mse_known_values)
{
	const float o[] = {1, 2, 0.5f, 0}, t[] = {0, 4, 0.5f, 1};
	const int32_t c[] = {1, 0};
	float g[4];

	/* rows (1 + 4) / 2 and (0 + 1) / 2 */
	ck_assert_double_eq_tol(rows_of("mse", PARE_OUTPUT_RAW, o, 2, 2, NULL, t, 0.5f, g), 3, 1e-12);
	ck_assert(g[0] == 0.5f && g[1] == -1.0f && g[2] == 0.0f && g[3] == -0.5f);
	/* against (0, 1) and (1, 0): (1 + 1) / 2 and (0.25 + 0) / 2 */
	ck_assert_double_eq_tol(rows_of("mse", PARE_OUTPUT_RAW, o, 2, 2, c, NULL, 1, g), 1.125, 1e-12);
	ck_assert(g[0] == 1.0f && g[1] == 1.0f && g[2] == -0.5f && g[3] == 0.0f);
}
END_TEST

/* Every loss, kind of output and form of label; outputs are probabilities (0.2 to 0.83), or logarithms of such. */
START_TEST(gradients_match_differences)
{
	enum { ROWS = 3, K = 19 };
	static const double weights[K] = {1, 2, 0.5};
	const struct pare_loss *loss = &pare_loss_table[_i];
	float o[ROWS * K], t[ROWS * K], g[ROWS * K];
	const int32_t c[ROWS] = {0, 18, 7};
	const float scale = 0.25f, eps = 1.0f / 1024;

	for (int form = 0; form < 16; form++) {
		enum pare_output_kind kind = (enum pare_output_kind)(form / 4);
		const int32_t *classes = form % 2 != 0 ? c : NULL;
		struct pare_objective a = pare_objective(loss->name);

		if (form % 4 > 1) {
			a.smoothing = 0.1;
			a.class_weights = weights;
			a.n_class_weights = K;
			a.delta = 0.05;
		}
		for (int i = 0; i < ROWS * K; i++) {
			o[i] = 0.2f + (float)(i * 37 % 101) / 160 - (kind == PARE_OUTPUT_LOG_PROBABILITY ? 1.0f : 0.0f);
			t[i] = (float)(i * 53 % 97) / 101 + 0.003f;
		}
		memset(g, 0x7f, sizeof g); /* the gradient is written, not added to */
		pare_loss_rows(&a, kind, o, ROWS, K, classes, t, scale, g);
		for (int i = 0; i < ROWS * K; i++) {
			float keep = o[i];
			double up, down;

			if (fabsf(o[i] - (classes != NULL ? 1.0f : t[i])) < 2 * eps)
				continue;
			o[i] = keep + eps;
			up = pare_loss_rows(&a, kind, o, ROWS, K, classes, t, 0, NULL);
			o[i] = keep - eps;
			down = pare_loss_rows(&a, kind, o, ROWS, K, classes, t, 0, NULL);
			o[i] = keep;
			ck_assert_msg(fabs((double)g[i] - (double)scale * (up - down) / (2 * (double)eps)) < 2e-4 * fmax(1, fabs((double)g[i])), "%s form %d: gradient[%d] is %g, not %g",
			    loss->name, form, i, (double)g[i], (double)scale * (up - down) / (2 * (double)eps));
		}
	}
}
END_TEST

/* A loss that hides a NaN, of any row of the table. */
START_TEST(nan_is_nowhere_hidden)
{
	const float o[] = {NAN, 0.5f}, t[] = {0.25f, 0.75f};
	float g[2];

	for (int kind = PARE_OUTPUT_RAW; kind <= PARE_OUTPUT_SIGMOID; kind++) {
		ck_assert_msg(isnan(rows_of(pare_loss_table[_i].name, (enum pare_output_kind)kind, o, 1, 2, NULL, t, 1, g)), "%s", pare_loss_table[_i].name);
		/* a loss that is linear in log-probabilities has a gradient that does not look at them */
		ck_assert_msg(isnan(g[0]) || (kind == PARE_OUTPUT_LOG_PROBABILITY && pare_loss_table[_i].labels == PARE_LABELS_DISTRIBUTION), "%s, gradient", pare_loss_table[_i].name);
	}
}
END_TEST

START_TEST(binary_cross_entropy_is_stable)
{
	const float far[] = {1000, -1000}, t[] = {0, 1}, ends[] = {1, 0};
	float g[2];

	ck_assert_double_eq_tol(rows_of("bce", PARE_OUTPUT_RAW, far, 1, 2, NULL, t, 1, g), 1000, 1e-9);
	ck_assert(g[0] == 0.5f && g[1] == -0.5f);
	ck_assert_double_eq_tol(rows_of("bce", PARE_OUTPUT_SIGMOID, ends, 1, 2, NULL, t, 1, g), 100, 1e-9); /* as PyTorch */
	ck_assert(isfinite(g[0]) && isfinite(g[1]));
}
END_TEST

START_TEST(loss_with_and_without_gradient_agree)
{
	const float o[] = {0.3f, -1.25f, 2.5f, 0.75f};
	float g[4];

	for (int32_t c = 0; c < 4; c++)
		ck_assert_double_eq_tol(ce(PARE_OUTPUT_RAW, o, 4, c, g), ce(PARE_OUTPUT_RAW, o, 4, c, NULL), 1e-12);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/eval/loss");
	TCase *c = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_test(c, cross_entropy_known_values);
	tcase_add_test(c, cross_entropy_is_stable);
	tcase_add_test(c, nan_is_never_hidden);
	tcase_add_test(c, mse_known_values);
	tcase_add_loop_test(c, losses_are_pytorchs, 0, (int)(sizeof golden_table / sizeof golden_table[0]));
	tcase_add_test(c, catalog_and_table_name_the_same);
	tcase_add_loop_test(c, gradients_match_differences, 0, N_LOSSES);
	tcase_add_loop_test(c, nan_is_nowhere_hidden, 0, N_LOSSES);
	tcase_add_test(c, binary_cross_entropy_is_stable);
	tcase_add_test(c, loss_with_and_without_gradient_agree);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
