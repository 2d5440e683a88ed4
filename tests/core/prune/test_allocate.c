/* Sizes by layer: the budget is met exactly, nothing cheaper exists, and less never gives a layer more. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/prune/allocate.h"

/* The layer's harm at a share that is left, along the convex hull of a curve that is convex already. */
static double harm_at(const struct pare_curve *c, double left)
{
	for (int i = 1; i < c->n; i++)
		if (left >= c->left[i] - 1e-12)
			return c->harm[i - 1] + (c->harm[i] - c->harm[i - 1]) * (c->left[i - 1] - left) / (c->left[i - 1] - c->left[i]);
	return INFINITY;
}

static void random_curve(struct pare_rng *rng, struct pare_curve *c)
{
	double slope = 0, left = 1;

	*c = (struct pare_curve){.cost = 1 + 1000 * (double)pare_rng_uniform(rng), .n = 5, .left = {1}};
	for (int i = 1; i < c->n; i++) {
		slope += 1e-3 + (double)pare_rng_uniform(rng);
		c->left[i] = left / 2;
		c->harm[i] = c->harm[i - 1] + slope * (left - c->left[i]);
		left = c->left[i];
	}
}

static double size_of(const struct pare_curve *c, int n, const double *left)
{
	double is = 0, was = 0;

	for (int i = 0; i < n; i++) {
		is += c[i].cost * left[i];
		was += c[i].cost;
	}
	return is / was;
}

START_TEST(no_other_of_that_size_harms_less)
{
	struct pare_curve c[3];
	struct pare_rng rng;
	struct pare_err err;
	double left[3], best, total = 0;
	double share = 0.1 + 0.02 * _i;

	pare_rng_init(&rng, (uint64_t)_i, "allocate", 0);
	for (int i = 0; i < 3; i++) {
		random_curve(&rng, &c[i]);
		total += c[i].cost;
	}
	ck_assert_int_eq(pare_allocate(c, 3, share, left, &err), PARE_OK);
	ck_assert_double_eq_tol(size_of(c, 3, left), share, 1e-9);
	best = harm_at(&c[0], left[0]) + harm_at(&c[1], left[1]) + harm_at(&c[2], left[2]);
	for (double a = 0.0625; a <= 1; a += 1.0 / 128)
		for (double b = 0.0625; b <= 1; b += 1.0 / 128) {
			double d = (share * total - a * c[0].cost - b * c[1].cost) / c[2].cost;

			if (d >= 0.0625 && d <= 1)
				ck_assert_double_ge(harm_at(&c[0], a) + harm_at(&c[1], b) + harm_at(&c[2], d), best - 1e-9);
		}
}
END_TEST

START_TEST(less_gives_no_layer_more)
{
	struct pare_curve c[4];
	struct pare_rng rng;
	struct pare_err err;
	double left[4], last[4] = {1, 1, 1, 1};

	pare_rng_init(&rng, (uint64_t)_i, "allocate", 1);
	for (int i = 0; i < 4; i++)
		random_curve(&rng, &c[i]);
	c[1].harm[2] = -3; /* noise: pruning helps, and then it hurts less than before */
	c[2].harm[3] = 0;
	for (double share = 1; share > 1e-4; share *= 0.9) {
		ck_assert_int_eq(pare_allocate(c, 4, share, left, &err), PARE_OK);
		ck_assert_double_eq_tol(size_of(c, 4, left), share, 1e-9);
		for (int i = 0; i < 4; i++) {
			ck_assert_double_le(left[i], last[i] + 1e-12);
			ck_assert_double_gt(left[i], 0);
		}
		memcpy(last, left, sizeof last);
	}
}
END_TEST

START_TEST(a_layer_that_minds_stays)
{
	const struct pare_curve c[2] = {{.cost = 100, .n = 2, .left = {1, 0.25}, .harm = {0, 5}}, {.cost = 100, .n = 2, .left = {1, 0.25}, .harm = {0, 0.1}}};
	struct pare_err err;
	double left[2];

	ck_assert_int_eq(pare_allocate(c, 2, 0.75, left, &err), PARE_OK);
	ck_assert_double_eq(left[0], 1);
	ck_assert_double_eq_tol(left[1], 0.5, 1e-12);
}
END_TEST

/* Densities are sums / sizes times one number, but no more than 1, and all together come out right. */
START_TEST(erdos_renyi_kernel)
{
	static const double sizes[4] = {784 * 300, 300 * 100, 100 * 10, 16}, sums[4] = {1084, 400, 110, 8};
	double out[4], kept = 0, all = 0, scale = 0;

	pare_erk(sizes, sums, 4, 0.5 + 0.05 * _i, out);
	for (int i = 0; i < 4; i++) {
		kept += sizes[i] * (1 - out[i]);
		all += sizes[i];
		scale = fmax(scale, out[i] > 0 ? (1 - out[i]) * sizes[i] / sums[i] : 0);
	}
	ck_assert_double_eq_tol(kept, all * (0.5 - 0.05 * _i), 1e-6);
	for (int i = 0; i < 4; i++)
		ck_assert_double_eq_tol(1 - out[i], fmin(1, scale * sums[i] / sizes[i]), 1e-9);
	ck_assert_double_gt(out[0], out[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/prune/allocate");
	TCase *t = tcase_create("allocate");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, no_other_of_that_size_harms_less, 0, 40);
	tcase_add_loop_test(t, less_gives_no_layer_more, 0, 20);
	tcase_add_test(t, a_layer_that_minds_stays);
	tcase_add_loop_test(t, erdos_renyi_kernel, 0, 10);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
