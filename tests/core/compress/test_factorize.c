/* The decomposition against numpy's, and factors that multiply out to what they stand for. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/compress/svd.h"

static struct pare_err err;

/* numpy.linalg.svd(a, compute_uv=False) of a[i, j] = sin(1 + 3 i + 7 j + i j), 4 x 6, rounded to float32 */
static const double golden[4] = {1.9474369908656253, 1.8290569526800453, 1.5763504959235295, 1.4008336045173477};

static void fill(float *a, size_t rows, size_t cols, int turned)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++)
			a[turned ? j * rows + i : i * cols + j] = (float)sin((double)(1 + 3 * i + 7 * j + i * j));
}

START_TEST(singular_values_are_those_of_numpy)
{
	struct pare_svd d;
	float a[24];
	double sum = 0;

	fill(a, 4, 6, _i);
	ck_assert_int_eq(pare_svd_init(&d, a, _i ? 6 : 4, _i ? 4 : 6, NULL, &err), PARE_OK);
	ck_assert_uint_eq(d.n, 4);
	ck_assert_uint_eq(d.n_rank, 4);
	for (size_t k = 0; k < 4; k++) {
		ck_assert_double_eq_tol(d.s[k], golden[k], 1e-12);
		sum += golden[k] * golden[k];
	}
	ck_assert_double_eq_tol(d.energy, sum, 1e-12);
	ck_assert_double_eq_tol(pare_svd_share(&d, 2), (golden[0] * golden[0] + golden[1] * golden[1]) / sum, 1e-12);
	ck_assert_uint_eq(pare_svd_rank(&d, pare_svd_share(&d, 2) - 1e-9), 2);
	ck_assert_uint_eq(pare_svd_rank(&d, pare_svd_share(&d, 2) + 1e-9), 3);
	ck_assert_uint_eq(pare_svd_rank(&d, 1), 4);
	pare_svd_done(&d);
}
END_TEST

static double distance(const float *a, const float *left, const float *right, size_t rows, size_t cols, size_t rank)
{
	double off = 0;

	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++) {
			double sum = 0;

			for (size_t k = 0; k < rank; k++)
				sum += (double)left[i * rank + k] * (double)right[k * cols + j];
			off += (sum - (double)a[i * cols + j]) * (sum - (double)a[i * cols + j]);
		}
	return off;
}

/* Eckart and Young: what a rank misses is the squares of the singular values that it leaves out. */
static const struct {
	size_t rows, cols;
} shapes[] = {{1, 1}, {1, 9}, {30, 7}, {17, 41}, {64, 64}, {100, 20}};

START_TEST(no_rank_misses_more_than_it_must)
{
	size_t rows = shapes[_i].rows, cols = shapes[_i].cols, least = rows < cols ? rows : cols;
	float *a = calloc(rows * cols, sizeof *a), *left = calloc(rows * least, sizeof *left), *right = calloc(cols * least, sizeof *right);
	struct pare_rng rng;
	struct pare_svd d;

	pare_rng_init(&rng, 7, "svd", 0);
	for (size_t i = 0; i < rows * cols; i++)
		a[i] = pare_rng_uniform(&rng) - 0.5f;
	ck_assert_int_eq(pare_svd_init(&d, a, rows, cols, NULL, &err), PARE_OK);
	ck_assert_uint_eq(d.n_rank, least);
	for (size_t rank = 1; rank <= least; rank += 1 + least / 5) {
		pare_svd_factors(&d, a, rank, left, right);
		ck_assert_double_eq_tol(distance(a, left, right, rows, cols, rank), (1 - pare_svd_share(&d, rank)) * d.energy, 1e-6 * d.energy);
	}
	pare_svd_done(&d);
	free(a);
	free(left);
	free(right);
}
END_TEST

/* Rounding is no rank: an outer product of floats has one, zeros have none. */
START_TEST(rank_is_what_floats_can_tell)
{
	static float a[12 * 9], left[12], right[9];
	atomic_bool canceled = true;
	struct pare_svd d;

	ck_assert_int_eq(pare_svd_init(&d, a, 12, 9, NULL, &err), PARE_OK);
	ck_assert_uint_eq(d.n_rank, 0);
	ck_assert_uint_eq(pare_svd_rank(&d, 0.9), 0);
	pare_svd_done(&d);
	for (size_t i = 0; i < 12; i++)
		for (size_t j = 0; j < 9; j++)
			a[i * 9 + j] = (float)(i + 1) * (float)(j + 2);
	ck_assert_int_eq(pare_svd_init(&d, a, 12, 9, NULL, &err), PARE_OK);
	ck_assert_uint_eq(d.n_rank, 1);
	pare_svd_factors(&d, a, 1, left, right);
	ck_assert_double_lt(distance(a, left, right, 12, 9, 1), 1e-6);
	pare_svd_done(&d);
	ck_assert_int_eq(pare_svd_init(&d, a, 12, 9, &canceled, &err), PARE_E_CANCELED);
	pare_svd_done(&d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/compress/factorize");
	TCase *t = tcase_create("factorize");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, singular_values_are_those_of_numpy, 0, 2);
	tcase_add_loop_test(t, no_rank_misses_more_than_it_must, 0, (int)(sizeof shapes / sizeof shapes[0]));
	tcase_add_test(t, rank_is_what_floats_can_tell);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
