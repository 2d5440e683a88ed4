/* Kernels against plain double arithmetic, at lengths around the vector width. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/gemm.h"
#include "core/ops/kernels/unary.h"
#include "tests/support/net_check.h"

#define MAX 4096

static float a[MAX], b[MAX], c[MAX], d[MAX];

/* Distance in units of the last place of the right answer. */
static double ulps(float got, double want)
{
	float w = (float)want;
	double unit = (double)nextafterf(fabsf(w), INFINITY) - fabs((double)w);

	return fabs((double)got - want) / unit;
}

START_TEST(exp_within_two_ulp)
{
	double worst = 0;

	for (int block = 0; block < 400; block++) {
		for (int i = 0; i < MAX; i++)
			a[i] = -87.0f + 175.5f * ((float)block + (float)i / MAX) / 400.0f;
		pare_k_exp(MAX, a, b);
		for (int i = 0; i < MAX; i++)
			worst = fmax(worst, ulps(b[i], exp((double)a[i])));
	}
	ck_assert_msg(worst < 2.0, "exp is off by %g ulp", worst);
}
END_TEST

START_TEST(exp_at_the_ends)
{
	const float x[] = {-INFINITY, -200.0f, -104.0f, -95.0f, -0.0f, 0.0f, 88.72f, 89.5f, INFINITY, NAN};
	float y[10];

	pare_k_exp(10, x, y);
	ck_assert(y[0] == 0.0f && y[1] == 0.0f && y[2] <= 1.5e-45f);
	ck_assert(fabs((double)y[3] - exp(-95.0)) < 2e-45);
	ck_assert(y[4] == 1.0f && y[5] == 1.0f);
	ck_assert(ulps(y[6], exp((double)x[6])) < 2);
	ck_assert(isinf(y[7]) && isinf(y[8]) && isnan(y[9]));
}
END_TEST

START_TEST(sigmoid_and_tanh)
{
	for (int i = 0; i < MAX; i++)
		a[i] = -20.0f + 40.0f * (float)i / MAX;
	a[0] = -1000.0f;
	a[1] = 1000.0f;
	a[2] = 1e-8f;
	pare_k_sigmoid(MAX, a, b);
	pare_k_tanh(MAX, a, c);
	for (int i = 0; i < MAX; i++) {
		ck_assert_msg(ulps(b[i], 1 / (1 + exp(-(double)a[i]))) < 4 || fabsf(b[i]) < 1e-37f, "sigmoid(%g) = %g", (double)a[i], (double)b[i]);
		ck_assert_msg(ulps(c[i], tanh((double)a[i])) < 4, "tanh(%g) = %g", (double)a[i], (double)c[i]);
	}
	pare_k_relu(1, &(const float){NAN}, d);
	ck_assert(isnan(d[0]));
}
END_TEST

/* Floats spread evenly over the bit patterns of [0, infinity), of both signs: b = f(a) stays within `most` units of the last
 * place of what double says. Results under 2^-126 may lose their last bits. */
static void whole_range(void (*f)(size_t n, const float *x, float *y), double (*want)(double), double most, const char *name)
{
	const uint32_t step = 24571; /* a prime: all last bits occur */

	for (uint64_t bits = 0; bits < 0x7f800000u;) {
		size_t n = 0;

		for (; n + 2 <= MAX && bits < 0x7f800000u; n += 2, bits += step) {
			uint32_t u = (uint32_t)bits;

			memcpy(&a[n], &u, sizeof u);
			a[n + 1] = -a[n];
		}
		f(n, a, b);
		for (size_t i = 0; i < n; i++) {
			double w = want((double)a[i]);

			if (fabs(w) < 1.2e-38)
				ck_assert_msg(fabs((double)b[i] - w) < 3e-45 + 1e-45 * most || ulps(b[i], w) < most, "%s(%g) = %g", name, (double)a[i], (double)b[i]);
			else if ((float)w < INFINITY)
				ck_assert_msg(ulps(b[i], w) < most, "%s(%g) = %g, %g ulp", name, (double)a[i], (double)b[i], ulps(b[i], w));
		}
	}
}

static void erf_loop(size_t n, const float *x, float *y)
{
	pare_unary_kernel("Erf")->f(n, 0, 0, x, y);
}

static double sigmoid(double x)
{
	return x < -88.0 ? (double)0.0f : 1.0 / (1.0 + exp(-x)); /* underflow begins there */
}

static void sigmoid_loop(size_t n, const float *x, float *y)
{
	pare_k_sigmoid(n, x, y);
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] < -88.0f ? 0.0f : y[i];
}

START_TEST(the_whole_range)
{
	whole_range(erf_loop, erf, 3.0, "erf");
	whole_range(pare_k_tanh, tanh, 4.0, "tanh");
	whole_range(pare_k_exp, exp, 2.0, "exp");
	whole_range(sigmoid_loop, sigmoid, 4.0, "sigmoid");
	a[0] = NAN;
	a[1] = INFINITY;
	a[2] = -INFINITY;
	erf_loop(3, a, b);
	ck_assert(isnan(b[0]) && b[1] == 1.0f && b[2] == -1.0f);
}
END_TEST

/* Beside what it is a share of: x times the part of a normal distribution that is below. */
START_TEST(gelu_and_its_slope)
{
	const struct pare_unary_kernel *k = pare_unary_kernel("Gelu");

	for (int i = 0; i < MAX; i++) {
		a[i] = (float)(i - MAX / 2) * (20.0f / MAX);
		c[i] = 1.0f;
	}
	k->f(MAX, 0, 0, a, b);
	k->df(MAX, 0, 0, a, b, c, false, d);
	for (int i = 0; i < MAX; i++) {
		double x = (double)a[i], share = 0.5 * erfc(-x * sqrt(0.5)), slope = share + x * exp(-0.5 * x * x) / sqrt(2 * acos(-1.0));

		ck_assert_msg(fabs((double)b[i] - x * share) <= 1e-7 * fabs(x), "gelu(%g) = %g, not %g", x, (double)b[i], x * share);
		ck_assert_msg(fabs((double)d[i] - slope) <= 3e-7, "its slope at %g is %g, not %g", x, (double)d[i], slope);
	}
	a[0] = NAN;
	k->f(1, 0, 0, a, b);
	ck_assert(isnan(b[0]));
}
END_TEST

START_TEST(sums)
{
	for (size_t n = 0; n < 70; n++) {
		double sum = 0, dot = 0;

		nc_fill(a, n, n);
		nc_fill(b, n, n + 1);
		for (size_t i = 0; i < n; i++) {
			sum += (double)a[i];
			dot += (double)a[i] * (double)b[i];
		}
		ck_assert(fabs((double)pare_k_sum(n, a) - sum) < 1e-5);
		ck_assert(fabs((double)pare_k_dot(n, a, b) - dot) < 1e-5);
	}
}
END_TEST

START_TEST(finite_and_zeros)
{
	static const float bad_table[] = {NAN, INFINITY, -INFINITY};

	for (size_t n = 0; n < 70; n++) {
		nc_fill(a, n, n);
		for (size_t i = 0; i < n; i += 3)
			a[i] = i % 2 == 0 ? 0.0f : -0.0f;
		ck_assert(pare_k_finite(n, a));
		ck_assert_uint_eq(pare_k_count_zeros(n, a), (n + 2) / 3);
		for (size_t i = 0; i < n; i++) {
			float was = a[i];

			a[i] = bad_table[i % 3];
			ck_assert(!pare_k_finite(n, a));
			a[i] = was;
		}
	}
}
END_TEST

START_TEST(column_sums)
{
	for (size_t cols = 1; cols < 40; cols++)
		for (int acc = 0; acc < 2; acc++) {
			nc_fill(a, 9 * cols, cols);
			pare_k_fill(cols, 5.0f, b);
			pare_k_col_sum(9, cols, a, 0.5f, acc != 0, b);
			for (size_t j = 0; j < cols; j++) {
				double sum = acc != 0 ? 5 : 0;

				for (size_t i = 0; i < 9; i++)
					sum += 0.5 * (double)a[i * cols + j];
				ck_assert(fabs((double)b[j] - sum) < 1e-5);
			}
		}
}
END_TEST

/* All four transpositions, m = 1 and empty sizes, alpha and beta, against the definition. */
START_TEST(gemm_is_the_product)
{
	static const int64_t sizes[][3] = {{1, 1, 1}, {1, 17, 5}, {5, 1, 7}, {7, 9, 3}, {16, 10, 33}, {3, 4, 0}, {0, 3, 3}, {1, 3, 0}};

	pare_gemm_init();
	for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
		for (int mode = 0; mode < 12; mode++) {
			int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
			float beta = mode < 4 ? 0.0f : mode < 8 ? 1.0f : 0.5f, alpha = mode < 8 ? 1.0f : -2.0f;

			nc_fill(a, (size_t)(m * k), 1);
			nc_fill(b, (size_t)(k * n), 2);
			nc_fill(c, (size_t)(m * n), 3);
			if (beta == 0.0f)
				pare_k_fill((size_t)(m * n), NAN, c);
			memcpy(d, c, sizeof c);
			pare_gemm((mode & 1) != 0, (mode & 2) != 0, m, n, k, alpha, a, b, beta, c);
			pare_gemm_ref((mode & 1) != 0, (mode & 2) != 0, m, n, k, alpha, a, b, beta, d);
			for (int64_t i = 0; i < m * n; i++)
				ck_assert_msg(fabsf(c[i] - d[i]) < 1e-5f, "%lld x %lld x %lld mode %d: [%lld] %g, want %g", (long long)m, (long long)n, (long long)k,
				    mode, (long long)i, (double)c[i], (double)d[i]);
		}
}
END_TEST

START_TEST(softmax_of_extremes)
{
	const float x[] = {1e30f, 1e30f, -1e30f, -1000.0f, -1001.0f, -999.0f};
	float y[6];

	pare_k_softmax(2, 3, x, y);
	ck_assert(y[0] == 0.5f && y[1] == 0.5f && y[2] == 0.0f);
	ck_assert(fabsf(y[3] + y[4] + y[5] - 1.0f) < 1e-6f);
	pare_k_log_softmax(2, 3, x, y);
	ck_assert(fabsf(y[0] + 0.69314718f) < 1e-6f);
	ck_assert(fabsf(y[5] + 0.40760596f) < 1e-6f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernels");
	TCase *t = tcase_create("kernels");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, exp_within_two_ulp);
	tcase_add_test(t, exp_at_the_ends);
	tcase_add_test(t, sigmoid_and_tanh);
	tcase_add_test(t, the_whole_range);
	tcase_add_test(t, gelu_and_its_slope);
	tcase_add_test(t, sums);
	tcase_add_test(t, finite_and_zeros);
	tcase_add_test(t, column_sums);
	tcase_add_test(t, gemm_is_the_product);
	tcase_add_test(t, softmax_of_extremes);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
