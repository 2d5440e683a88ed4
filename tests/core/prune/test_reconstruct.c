/* Reconstruction: its minimum is the minimum (against a direct solution), it holds the support, it gets better with every weight that may
 * move, and what is broken is refused. */
#include "core/prune/reconstruct.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "tests/support/fail_alloc.h"

enum { ROWS = 200, MOST = 24 };

struct layer {
	int64_t n, m;
	float x[ROWS * MOST], w0[MOST * MOST], gram[MOST * MOST], rhs[MOST * MOST], w[MOST * MOST];
	uint8_t keep[MOST * MOST];
};

static void make(struct layer *l, struct pare_rng *r, int64_t n, int64_t m, double kept)
{
	*l = (struct layer){.n = n, .m = m};
	for (int64_t i = 0; i < ROWS; i++)
		for (int64_t k = 0; k < n; k++)
			l->x[i * n + k] = (float)pare_rng_normal(r) + (k > 0 ? 0.7f * l->x[i * n + k - 1] : 0.0f); /* correlated */
	for (int64_t i = 0; i < n * m; i++) {
		l->w0[i] = l->w[i] = (float)pare_rng_normal(r);
		l->keep[i] = (double)pare_rng_uniform(r) < kept;
	}
	for (int64_t a = 0; a < n; a++)
		for (int64_t b = 0; b < n; b++)
			for (int64_t i = 0; i < ROWS; i++)
				l->gram[a * n + b] += l->x[i * n + a] * l->x[i * n + b] / ROWS;
	for (int64_t o = 0; o < m; o++)
		for (int64_t a = 0; a < n; a++)
			for (int64_t b = 0; b < n; b++)
				l->rhs[o * n + a] += l->gram[a * n + b] * l->w0[o * n + b];
}

static struct pare_refit problem(struct layer *l, double lambda)
{
	return (struct pare_refit){.n_in = l->n, .n_out = l->m, .gram = l->gram, .rhs = l->rhs, .keep = l->keep, .w = l->w, .lambda = lambda,
	    .max_iterations = 500, .tolerance = 1e-7};
}

/* Gauss with pivots, in double: the support's system of output o. */
static void solve(const struct layer *l, int64_t o, double shift, double *x)
{
	double a[MOST][MOST + 1];
	int64_t at[MOST], k = 0;

	for (int64_t i = 0; i < l->n; i++)
		if (l->keep[o * l->n + i])
			at[k++] = i;
	for (int64_t i = 0; i < k; i++) {
		for (int64_t j = 0; j < k; j++)
			a[i][j] = (double)l->gram[at[i] * l->n + at[j]] + (i == j ? shift : 0);
		a[i][k] = (double)l->rhs[o * l->n + at[i]];
	}
	for (int64_t c = 0; c < k; c++) {
		int64_t p = c;

		for (int64_t i = c; i < k; i++)
			p = fabs(a[i][c]) > fabs(a[p][c]) ? i : p;
		for (int64_t j = 0; j <= k; j++) {
			double t = a[c][j];

			a[c][j] = a[p][j];
			a[p][j] = t;
		}
		for (int64_t i = 0; i < k; i++)
			for (int64_t j = k; i != c && j >= c; j--)
				a[i][j] -= a[i][c] / a[c][c] * a[c][j];
	}
	memset(x, 0, (size_t)l->n * sizeof *x);
	for (int64_t i = 0; i < k; i++)
		x[at[i]] = a[i][k] / a[i][i];
}

static double mean_diagonal(const struct layer *l)
{
	double sum = 0;

	for (int64_t i = 0; i < l->n; i++)
		sum += (double)l->gram[i * l->n + i];
	return sum / (double)l->n;
}

START_TEST(finds_the_minimum_on_the_support)
{
	static const double kept[] = {1, 0.7, 0.3, 0.1, 0};
	struct pare_rng r;
	static struct layer l;

	pare_rng_init(&r, 3, "test", (uint64_t)_i);
	for (size_t k = 0; k < 5; k++) {
		double lambda = k % 2 == 0 ? 0.01 : 0, x[MOST];
		struct pare_refit_result out;
		struct pare_refit p;

		make(&l, &r, 1 + (int64_t)pare_rng_below(&r, MOST), 1 + (int64_t)pare_rng_below(&r, MOST), kept[k]);
		p = problem(&l, lambda);
		ck_assert_int_eq(pare_reconstruct(&p, &out, NULL), PARE_OK);
		ck_assert_double_le(out.residual, 1e-4);
		for (int64_t o = 0; o < l.m; o++) {
			solve(&l, o, lambda * mean_diagonal(&l), x);
			for (int64_t i = 0; i < l.n; i++) {
				ck_assert_double_eq_tol(l.w[o * l.n + i], x[i], 2e-3 * (1 + fabs(x[i])));
				ck_assert(l.keep[o * l.n + i] || (l.w[o * l.n + i] == 0.0f && !signbit(l.w[o * l.n + i])));
			}
		}
	}
}
END_TEST

static double error_of(const struct layer *l)
{
	double sum = 0;

	for (int64_t i = 0; i < ROWS; i++)
		for (int64_t o = 0; o < l->m; o++) {
			double e = 0;

			for (int64_t k = 0; k < l->n; k++)
				e += (double)l->x[i * l->n + k] * ((double)l->w0[o * l->n + k] - (double)l->w[o * l->n + k]);
			sum += e * e;
		}
	return sum;
}

START_TEST(beats_masking_alone)
{
	struct pare_refit_result out;
	struct pare_refit p;
	static struct layer l;
	struct pare_rng r;
	double masked;

	pare_rng_init(&r, 9, "test", 0);
	make(&l, &r, 20, 10, 0.5);
	for (int64_t i = 0; i < l.n * l.m; i++)
		l.w[i] *= l.keep[i];
	masked = error_of(&l);
	p = problem(&l, 0);
	ck_assert_int_eq(pare_reconstruct(&p, &out, NULL), PARE_OK);
	ck_assert_double_lt(error_of(&l), 0.6 * masked);
}
END_TEST

/* Inputs that are always zero or copies of each other make the matrix singular; the answer must stay finite and right. */
START_TEST(singular_inputs_do_no_harm)
{
	struct pare_refit_result out;
	struct pare_refit p;
	static struct layer l;
	struct pare_rng r;

	pare_rng_init(&r, 4, "test", 0);
	make(&l, &r, 6, 3, 1);
	for (int64_t i = 0; i < l.n; i++) {
		l.gram[i] = l.gram[i * l.n] = 0; /* input 0 */
		l.gram[5 * l.n + i] = l.gram[4 * l.n + i];
	}
	for (int64_t i = 0; i < l.n; i++)
		l.gram[i * l.n + 5] = l.gram[i * l.n + 4];
	memset(l.rhs, 0, sizeof l.rhs);
	for (int64_t o = 0; o < l.m; o++)
		for (int64_t a = 0; a < l.n; a++)
			for (int64_t b = 0; b < l.n; b++)
				l.rhs[o * l.n + a] += l.gram[a * l.n + b] * l.w0[o * l.n + b];
	memset(l.w, 0, sizeof l.w);
	p = problem(&l, 0);
	ck_assert_int_eq(pare_reconstruct(&p, &out, NULL), PARE_OK);
	ck_assert_double_le(out.residual, 1e-3);
	for (int64_t i = 0; i < l.n * l.m; i++)
		ck_assert(isfinite(l.w[i]));
	l.gram[7] = NAN;
	ck_assert_int_eq(pare_reconstruct(&p, &out, NULL), PARE_E_NONFINITE);
}
END_TEST

START_TEST(inverse_diagonal_is_the_inverse)
{
	static struct layer l;
	struct pare_rng r;
	float diagonal[MOST];

	pare_rng_init(&r, 8, "test", 0);
	make(&l, &r, 15, 1, 1);
	ck_assert_int_eq(pare_inverse_diagonal(l.n, l.gram, 0.01, diagonal, NULL), PARE_OK);
	for (int64_t j = 0; j < l.n; j++) {
		double x[MOST];

		memset(l.rhs, 0, sizeof l.rhs);
		l.rhs[j] = 1;
		solve(&l, 0, 0.01 * mean_diagonal(&l), x);
		ck_assert_double_eq_tol(diagonal[j], x[j], 1e-4 * fabs(x[j]));
	}
	memset(l.gram, 0, sizeof l.gram); /* no data: every weight costs the same */
	ck_assert_int_eq(pare_inverse_diagonal(l.n, l.gram, 0.01, diagonal, NULL), PARE_OK);
	ck_assert_float_eq(diagonal[0], 1.0f);
	l.gram[0] = -1;
	ck_assert_int_eq(pare_inverse_diagonal(l.n, l.gram, 0, diagonal, NULL), PARE_E_NONFINITE);
}
END_TEST

START_TEST(no_memory_is_an_error)
{
	struct pare_refit_result out;
	struct pare_refit p;
	static struct layer l;
	struct pare_rng r;
	float diagonal[MOST];
	long n;

	pare_rng_init(&r, 1, "test", 0);
	make(&l, &r, 8, 4, 0.5);
	p = problem(&l, 0.1);
	fail_alloc_install(0);
	ck_assert_int_eq(pare_reconstruct(&p, &out, NULL), PARE_OK);
	ck_assert_int_eq(pare_inverse_diagonal(l.n, l.gram, 0.01, diagonal, NULL), PARE_OK);
	n = fail_alloc_count();
	fail_alloc_remove();
	ck_assert_int_ge(n, 4);
	for (long i = 1; i <= n; i++) {
		enum pare_code code;

		fail_alloc_install(i);
		code = pare_reconstruct(&p, &out, NULL);
		if (code == PARE_OK)
			code = pare_inverse_diagonal(l.n, l.gram, 0.01, diagonal, NULL);
		ck_assert_int_eq(code, PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reconstruct");
	TCase *tc = tcase_create("reconstruct");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, finds_the_minimum_on_the_support, 0, 10);
	tcase_add_test(tc, beats_masking_alone);
	tcase_add_test(tc, singular_inputs_do_no_harm);
	tcase_add_test(tc, inverse_diagonal_is_the_inverse);
	tcase_add_test(tc, no_memory_is_an_error);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
