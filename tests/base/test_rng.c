/* Random numbers: the published generator, streams that do not depend on each other, and the right distributions. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/base/rng.h"

/* xoshiro256** from the state {1, 2, 3, 4}: the first outputs of the authors' C code. */
START_TEST(the_published_sequence)
{
	static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240};
	struct pare_rng r = {{1, 2, 3, 4}};

	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(pare_rng_u64(&r), want[i]);
}
END_TEST

static uint64_t first(uint64_t seed, const char *purpose, uint64_t index)
{
	struct pare_rng r;

	pare_rng_init(&r, seed, purpose, index);
	return pare_rng_u64(&r);
}

START_TEST(streams)
{
	ck_assert_uint_eq(first(1, "init", 0), first(1, "init", 0));
	ck_assert_uint_ne(first(1, "init", 0), first(2, "init", 0));
	ck_assert_uint_ne(first(1, "init", 0), first(1, "init", 1));
	ck_assert_uint_ne(first(1, "init", 0), first(1, "split", 0));
	ck_assert_uint_ne(first(1, "init", 2), first(2, "init", 1));
	ck_assert_uint_ne(first(0, "", 0), 0);
}
END_TEST

START_TEST(uniform)
{
	struct pare_rng r;
	double sum = 0, squares = 0;

	pare_rng_init(&r, 3, "test", 0);
	for (int i = 0; i < 100000; i++) {
		float u = pare_rng_uniform(&r);

		ck_assert(u >= 0 && u < 1);
		sum += (double)u;
		squares += (double)u * (double)u;
	}
	ck_assert_double_eq_tol(sum / 1e5, 0.5, 0.005);
	ck_assert_double_eq_tol(squares / 1e5, 1.0 / 3, 0.005);
}
END_TEST

START_TEST(normal)
{
	struct pare_rng r;
	double sum = 0, squares = 0;
	int beyond = 0;

	pare_rng_init(&r, 4, "test", 0);
	for (int i = 0; i < 100000; i++) {
		double z = pare_rng_normal(&r);

		ck_assert(isfinite(z));
		sum += z;
		squares += z * z;
		beyond += fabs(z) > 1.959964;
	}
	ck_assert_double_eq_tol(sum / 1e5, 0, 0.015);
	ck_assert_double_eq_tol(squares / 1e5, 1, 0.02);
	ck_assert_int_gt(beyond, 4700);
	ck_assert_int_lt(beyond, 5300);
}
END_TEST

START_TEST(below)
{
	struct pare_rng r;
	int counts[7] = {0};

	pare_rng_init(&r, 5, "test", 0);
	for (int i = 0; i < 70000; i++) {
		uint64_t k = pare_rng_below(&r, 7);

		ck_assert_uint_lt(k, 7);
		counts[k]++;
	}
	for (int k = 0; k < 7; k++)
		ck_assert(counts[k] > 9600 && counts[k] < 10400);
	ck_assert_uint_eq(pare_rng_below(&r, 1), 0);
	for (int i = 0; i < 100; i++) /* two thirds of 2^64: a third of the draws must be thrown away */
		ck_assert_uint_lt(pare_rng_below(&r, UINT64_MAX / 3 * 2), UINT64_MAX / 3 * 2);
}
END_TEST

START_TEST(shuffle)
{
	enum { N = 1000 };
	uint32_t idx[N], again[N];
	uint8_t seen[N] = {0};
	struct pare_rng r;
	int in_place = 0;

	for (int k = 0; k < 2; k++) {
		uint32_t *p = k == 0 ? idx : again;

		for (uint32_t i = 0; i < N; i++)
			p[i] = i;
		pare_rng_init(&r, 6, "shuffle", 0);
		pare_rng_shuffle(&r, p, N);
	}
	ck_assert_mem_eq(idx, again, sizeof idx);
	for (uint32_t i = 0; i < N; i++) {
		ck_assert_uint_lt(idx[i], N);
		ck_assert_uint_eq(seen[idx[i]], 0);
		seen[idx[i]] = 1;
		in_place += idx[i] == i;
	}
	ck_assert_int_lt(in_place, 10);
	pare_rng_shuffle(&r, idx, 0);
	pare_rng_shuffle(&r, idx, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("random numbers");
	TCase *tc = tcase_create("base");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, the_published_sequence);
	tcase_add_test(tc, streams);
	tcase_add_test(tc, uniform);
	tcase_add_test(tc, normal);
	tcase_add_test(tc, below);
	tcase_add_test(tc, shuffle);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
