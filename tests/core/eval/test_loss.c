/* Losses against values worked out by hand, and gradients against differences. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/eval/eval.h"

static double ce(enum pare_output_kind kind, const float *o, int64_t k, int32_t c, float *grad)
{
	return pare_loss_rows(PARE_LOSS_CROSS_ENTROPY, kind, o, 1, k, &c, NULL, 1, grad);
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
	ck_assert_double_eq_tol(pare_loss_rows(PARE_LOSS_MSE, PARE_OUTPUT_RAW, o, 2, 2, NULL, t, 0.5f, g), 3, 1e-12);
	ck_assert(g[0] == 0.5f && g[1] == -1.0f && g[2] == 0.0f && g[3] == -0.5f);
	/* against (0, 1) and (1, 0): (1 + 1) / 2 and (0.25 + 0) / 2 */
	ck_assert_double_eq_tol(pare_loss_rows(PARE_LOSS_MSE, PARE_OUTPUT_RAW, o, 2, 2, c, NULL, 1, g), 1.125, 1e-12);
	ck_assert(g[0] == 1.0f && g[1] == 1.0f && g[2] == -0.5f && g[3] == 0.0f);
}
END_TEST

static const struct {
	enum pare_loss loss;
	enum pare_output_kind kind;
	bool classes;
} forms[] = {
    {PARE_LOSS_CROSS_ENTROPY, PARE_OUTPUT_RAW, true},
    {PARE_LOSS_CROSS_ENTROPY, PARE_OUTPUT_PROBABILITY, true},
    {PARE_LOSS_CROSS_ENTROPY, PARE_OUTPUT_LOG_PROBABILITY, true},
    {PARE_LOSS_MSE, PARE_OUTPUT_RAW, true},
    {PARE_LOSS_MSE, PARE_OUTPUT_PROBABILITY, true},
    {PARE_LOSS_MSE, PARE_OUTPUT_RAW, false},
};

START_TEST(gradients_match_differences)
{
	enum { ROWS = 3, K = 19 };
	float o[ROWS * K], t[ROWS * K], g[ROWS * K];
	const int32_t c[ROWS] = {0, 18, 7};
	const float scale = 0.25f;
	const float eps = 1.0f / 1024;
	int form = _i;
	const int32_t *classes = forms[form].classes ? c : NULL;
	const float *targets = forms[form].classes ? NULL : t;

	for (int i = 0; i < ROWS * K; i++) {
		o[i] = 0.2f + (float)(i * 37 % 101) / 128;
		t[i] = (float)(i * 53 % 97) / 64;
	}
	memset(g, 0x7f, sizeof g); /* the gradient is written, not added to */
	pare_loss_rows(forms[form].loss, forms[form].kind, o, ROWS, K, classes, targets, scale, g);
	for (int i = 0; i < ROWS * K; i++) {
		float keep = o[i];
		double up, down;

		o[i] = keep + eps;
		up = pare_loss_rows(forms[form].loss, forms[form].kind, o, ROWS, K, classes, targets, 0, NULL);
		o[i] = keep - eps;
		down = pare_loss_rows(forms[form].loss, forms[form].kind, o, ROWS, K, classes, targets, 0, NULL);
		o[i] = keep;
		ck_assert_double_eq_tol((double)g[i], (double)scale * (up - down) / (2 * (double)eps), 1e-4);
	}
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
	tcase_add_loop_test(c, gradients_match_differences, 0, (int)(sizeof forms / sizeof forms[0]));
	tcase_add_test(c, loss_with_and_without_gradient_agree);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
