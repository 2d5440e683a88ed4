/* Metrics against tables worked out by hand, paired statistics against published and exact values. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/eval/eval_priv.h"
#include "tests/support/fail_alloc.h"

/* Logits whose greatest value stands at the wanted class. */
static void vote(float *o, int k, int32_t c)
{
	for (int j = 0; j < k; j++)
		o[j] = j == c ? 2.0f : 1.0f;
}

static struct pare_metrics classify(const int32_t *actual, const int32_t *guess, int n, int k)
{
	struct eval_sums s;
	struct pare_metrics m;
	float o[16];

	ck_assert_int_eq(eval_sums_init(&s, &(struct pare_fit_output){.task = PARE_TASK_CLASSIFY, .loss = pare_objective("cross_entropy"), .kind = PARE_OUTPUT_RAW, .width = k, .positions = 1, .weight = 1}, n, NULL), PARE_OK);
	for (int i = 0; i < n; i++) {
		vote(o, k, guess[i]);
		eval_sums_add(&s, o, 1, actual + i, NULL);
	}
	eval_sums_finish(&s, &m);
	eval_sums_done(&s);
	return m;
}

START_TEST(f1_and_confusion)
{
	const int32_t actual[] = {0, 0, 0, 1, 1, 2, 2, 2, 2, 0}, guess[] = {0, 0, 1, 1, 2, 2, 2, 0, 2, 0};
	static const int64_t table[9] = {3, 1, 0, 0, 1, 1, 1, 0, 3};
	struct pare_metrics m = classify(actual, guess, 10, 3);

	ck_assert_int_eq(m.n, 10);
	ck_assert_int_eq(m.n_classes, 3);
	ck_assert_double_eq_tol(m.accuracy, 0.7, 1e-12);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(m.confusion[i], table[i]);
	/* F1: 6/8, 2/4, 6/8 */
	ck_assert_double_eq_tol(m.macro_f1, (0.75 + 0.5 + 0.75) / 3, 1e-12);
	ck_assert(memcmp(m.predicted, guess, sizeof guess) == 0);
	/* the loss of logits (2, 1, 1): log(e^2 + 2e) - 2 or - 1 */
	ck_assert_double_eq_tol(m.loss, log(exp(2) + 2 * exp(1)) - 0.7 * 2 - 0.3 * 1, 1e-6);
	pare_metrics_done(&m);
}
END_TEST

START_TEST(absent_classes_have_no_f1)
{
	const int32_t actual[] = {0, 0, 3, 3}, guess[] = {0, 0, 3, 0};
	struct pare_metrics m = classify(actual, guess, 4, 10);

	ck_assert_double_eq_tol(m.macro_f1, (4.0 / 5 + 2.0 / 3) / 2, 1e-12);
	ck_assert_int_eq(m.confusion[3 * 10 + 0], 1);
	pare_metrics_done(&m);
}
END_TEST

START_TEST(ties_go_to_the_lowest_class)
{
	const float o[] = {1, 3, 3, 3};
	const int32_t c = 1;
	struct eval_sums s;
	struct pare_metrics m;

	ck_assert_int_eq(eval_sums_init(&s, &(struct pare_fit_output){.task = PARE_TASK_CLASSIFY, .loss = pare_objective("cross_entropy"), .kind = PARE_OUTPUT_RAW, .width = 4, .positions = 1, .weight = 1}, 1, NULL), PARE_OK);
	eval_sums_add(&s, o, 1, &c, NULL);
	eval_sums_finish(&s, &m);
	ck_assert_int_eq(m.predicted[0], 1);
	ck_assert(m.accuracy == 1.0);
	pare_metrics_done(&m);
	eval_sums_done(&s);
}
END_TEST

START_TEST(very_many_classes_have_no_table)
{
	struct eval_sums s;
	struct pare_metrics m;

	ck_assert_int_eq(eval_sums_init(&s, &(struct pare_fit_output){.task = PARE_TASK_CLASSIFY, .loss = pare_objective("cross_entropy"), .kind = PARE_OUTPUT_RAW, .width = 65536, .positions = 1, .weight = 1}, 1, NULL), PARE_OK);
	eval_sums_finish(&s, &m);
	ck_assert_ptr_null(m.confusion);
	pare_metrics_done(&m);
	eval_sums_done(&s);
}
END_TEST

static struct pare_metrics regress(const float *o, const float *t, int n, int k)
{
	struct eval_sums s;
	struct pare_metrics m;

	ck_assert_int_eq(eval_sums_init(&s, &(struct pare_fit_output){.task = PARE_TASK_REGRESS, .loss = pare_objective("mse"), .kind = PARE_OUTPUT_RAW, .width = k, .positions = 1, .weight = 1}, n, NULL), PARE_OK);
	eval_sums_add(&s, o, 1, NULL, t); /* in pieces: they must add up */
	eval_sums_add(&s, o + k, n - 1, NULL, t + k);
	eval_sums_finish(&s, &m);
	eval_sums_done(&s);
	return m;
}

START_TEST(regression_metrics)
{
	const float o[] = {2.5f, 0, 2, 8}, t[] = {3, -0.5f, 2, 7};
	struct pare_metrics m = regress(o, t, 4, 1);

	ck_assert_double_eq_tol(m.mse, 0.375, 1e-9);
	ck_assert_double_eq_tol(m.mae, 0.5, 1e-9);
	ck_assert_double_eq_tol(m.r2, 0.948608137, 1e-8);
	ck_assert_double_eq_tol(m.loss, 0.375, 1e-9);
	ck_assert_ptr_null(m.predicted);
}
END_TEST

START_TEST(regression_of_two_targets)
{
	const float o[] = {0, 2, -1, 2, 8, -5}, t[] = {0.5f, 1, -1, 1, 7, -6};
	struct pare_metrics m = regress(o, t, 3, 2);

	ck_assert_double_eq_tol(m.mse, 0.708333333, 1e-8);
	ck_assert_double_eq_tol(m.mae, 0.75, 1e-8);
	ck_assert_double_eq_tol(m.r2, (1 - 1.25 / (217.0 / 6) + 1 - 3 / (98.0 / 3)) / 2, 1e-8);
}
END_TEST

START_TEST(constant_target)
{
	const float same[] = {5, 5, 5}, off[] = {5, 5, 6};

	ck_assert(regress(same, same, 3, 1).r2 == 1.0);
	ck_assert(regress(off, same, 3, 1).r2 == 0.0);
}
END_TEST

START_TEST(mcnemar_exact)
{
	static const struct {
		int64_t b, c;
		double p;
	} cases[] = {
	    {10, 2, 0.03857421875}, {2, 10, 0.03857421875}, {0, 5, 0.0625}, {5, 0, 0.0625}, {1, 1, 1}, {0, 0, 1}, {59, 40,
	    0.06990057369494637},
	    {3, 17, 0.0025768280029296875}, {400, 500, 0.0009564441369189461}, {10200, 9800, 0.004780889455902644}, {0, 1000,
	    1.8665272370064378e-301},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		double p = eval_mcnemar(cases[i].b, cases[i].c);

		ck_assert_msg(fabs(p - cases[i].p) <= 1e-9 * cases[i].p, "%lld against %lld: %.17g", (long long)cases[i].b,
		    (long long)cases[i].c, p);
	}
	/* a million rows: the normal approximation is exact to a few digits there */
	ck_assert_double_eq_tol(eval_mcnemar(501000, 499000), erfc((2000 - 1) / 1000.0 / sqrt(2)), 1e-4);
	ck_assert(eval_mcnemar(500000, 500000) == 1.0);
	ck_assert(eval_mcnemar(1000000, 0) >= 0.0);
}
END_TEST

/* both, only before, only after, neither; the first two rows are printed in Newcombe 1998 and Altman 2000 (0.056 to 0.329,
 * 0.057 to 0.340), the others come from an independent program. */
START_TEST(newcombe_interval)
{
	static const struct {
		int64_t t[4];
		double low, high;
	} cases[] = {
	    {{20, 12, 2, 16}, 0.05615642484174824, 0.32920699540014053},
	    {{36, 12, 2, 0}, 0.05692958400323869, 0.3404276029749407},
	    {{14, 1, 4, 1}, -0.38028964024396, 0.09391948682267712},
	    {{9800, 40, 25, 135}, -0.00011184165129874378, 0.003156616213081223},
	    {{50, 0, 0, 0}, -0.07134759913335864, 0.07134759913335864},
	    {{1, 1, 97, 1}, -0.9850257703740077, -0.8736721762007447},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const int64_t *t = cases[i].t;
		double low, high;

		eval_newcombe(t[0], t[1], t[2], t[3], &low, &high);
		ck_assert_double_eq_tol(low, cases[i].low, 1e-12);
		ck_assert_double_eq_tol(high, cases[i].high, 1e-12);
	}
}
END_TEST

START_TEST(paired_results)
{
	static const char csv[] = "a,y\n1,0\n2,0\n3,1\n4,1\n5,2\n";
	struct pare_data_file f = {"t.csv", {(const uint8_t *)csv, sizeof csv - 1}};
	const int32_t actual[] = {0, 0, 1, 1, 2}, first[] = {0, 0, 1, 1, 0}, second[] = {0, 1, 0, 1, 1};
	struct pare_metrics a = classify(actual, first, 5, 3), b = classify(actual, second, 5, 3);
	struct pare_dataset *d;
	struct pare_paired p;

	ck_assert_int_eq(pare_data_open(&f, 1, NULL, &d, NULL), PARE_OK);
	pare_eval_paired(d, 0, PARE_SPLIT_TRAIN, &a, &b, &p);
	ck_assert_int_eq(p.n, 5);
	ck_assert_int_eq(p.only_before, 2);
	ck_assert_int_eq(p.only_after, 0);
	ck_assert_double_eq_tol(p.drop, 0.4, 1e-12);
	ck_assert_double_eq_tol(p.churn, 0.6, 1e-12);
	ck_assert_double_eq_tol(p.mcnemar_p, 0.5, 1e-12);
	ck_assert(p.drop_low < 0.4 && p.drop_high > 0.4 && p.drop_low > -1 && p.drop_high < 1);
	pare_eval_paired(d, 0, PARE_SPLIT_TRAIN, &a, &a, &p);
	ck_assert(p.drop == 0 && p.churn == 0 && p.mcnemar_p == 1 && p.drop_low < 0 && p.drop_high > 0);
	pare_data_free(d);
	pare_metrics_done(&a);
	pare_metrics_done(&b);
}
END_TEST

START_TEST(nth_allocation_fails)
{
	for (int task = 0; task < 2; task++) {
		struct eval_sums s;
		long count;

		fail_alloc_install(0);
		ck_assert_int_eq(eval_sums_init(&s, &(struct pare_fit_output){.task = (enum pare_task)task, .loss = pare_objective("mse"), .kind = PARE_OUTPUT_RAW, .width = 3, .positions = 1, .weight = 1}, 5, NULL), PARE_OK);
		eval_sums_done(&s);
		count = fail_alloc_count();
		ck_assert_int_gt(count, 0);
		for (long nth = 1; nth <= count; nth++) {
			fail_alloc_install(nth);
			ck_assert_int_eq(eval_sums_init(&s, &(struct pare_fit_output){.task = (enum pare_task)task, .loss = pare_objective("mse"), .kind = PARE_OUTPUT_RAW, .width = 3, .positions = 1, .weight = 1}, 5, NULL),
			    PARE_E_NOMEM);
			ck_assert_int_eq(fail_alloc_live(), 0);
		}
		fail_alloc_remove();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/eval/metrics");
	TCase *c = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_test(c, f1_and_confusion);
	tcase_add_test(c, absent_classes_have_no_f1);
	tcase_add_test(c, ties_go_to_the_lowest_class);
	tcase_add_test(c, very_many_classes_have_no_table);
	tcase_add_test(c, regression_metrics);
	tcase_add_test(c, regression_of_two_targets);
	tcase_add_test(c, constant_target);
	tcase_add_test(c, mcnemar_exact);
	tcase_add_test(c, newcombe_interval);
	tcase_add_test(c, paired_results);
	tcase_add_test(c, nth_allocation_fails);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
