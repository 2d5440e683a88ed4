/* pare_select_kth against sorting, on values made to hurt: duplicates, both zeros, denormals, negatives, infinities. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/prune/prune_priv.h"

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static float draw_normal(struct pare_rng *r)
{
	return (float)pare_rng_normal(r);
}

static float draw_magnitude(struct pare_rng *r)
{
	return fabsf((float)pare_rng_normal(r));
}

static float draw_duplicates(struct pare_rng *r)
{
	return (float)pare_rng_below(r, 5) - 2.0f;
}

static float draw_denormal(struct pare_rng *r)
{
	return (pare_rng_u64(r) & 1 ? -1.0f : 1.0f) * FLT_TRUE_MIN * (float)pare_rng_below(r, 100000);
}

static float draw_extreme(struct pare_rng *r)
{
	static const float list[] = {0.0f, -0.0f, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_MIN, FLT_TRUE_MIN, -FLT_TRUE_MIN, 1.0f};

	return list[pare_rng_below(r, sizeof list / sizeof *list)];
}

/* All in one bucket of the first pass: they differ in the lower 16 bits only. */
static float draw_close(struct pare_rng *r)
{
	return 1.0f + (float)pare_rng_below(r, 60000) * FLT_EPSILON;
}

static float (*const draw_table[])(struct pare_rng *r) = {
    draw_normal, draw_magnitude, draw_duplicates, draw_denormal, draw_extreme, draw_close};

START_TEST(kth_is_what_sorting_gives)
{
	enum { N = 5000 };
	float *x = pare_alloc(N * sizeof *x), *sorted = pare_alloc(N * sizeof *sorted);
	struct pare_rng r;

	pare_rng_init(&r, 1, "test", (uint64_t)_i);
	for (size_t n = 1; n <= N; n = n * 5 / 2 + 1) {
		for (size_t i = 0; i < n; i++)
			sorted[i] = x[i] = draw_table[_i](&r);
		qsort(sorted, n, sizeof *sorted, by_value);
		for (size_t k = 0; k < n; k += n / 37 + 1)
			ck_assert_msg(pare_select_kth(x, n, k) == sorted[k], "n %zu k %zu: %a, not %a", n, k,
			    (double)pare_select_kth(x, n, k), (double)sorted[k]);
		ck_assert(pare_select_kth(x, n, n - 1) == sorted[n - 1]);
	}
	pare_free(x);
	pare_free(sorted);
}
END_TEST

/* By a sample: the same score and count as by sorting, or none where the sample misleads. */
static bool by_sample(const float *x, const float *sorted, size_t n, size_t k, const float *sample, size_t n_sample)
{
	struct pare_bracket b = {.in = NULL};
	bool found = pare_bracket_set(&b, sample, n_sample, k, n);
	size_t below, want = k;
	float value;

	for (size_t at = 0, m; at < n && found; at += m) {
		m = n - at < 3001 ? n - at : 3001;
		pare_bracket_add(&b, x + at, PARE_SCORE_ALL, m);
	}
	found = found && pare_bracket_value(&b, k, &value, &below);
	while (want > 0 && !(sorted[want - 1] < sorted[k]))
		want--;
	if (found) {
		ck_assert_msg(value == sorted[k], "k %zu: %a, not %a", k, (double)value, (double)sorted[k]);
		ck_assert_uint_eq(below, want);
	}
	pare_bracket_done(&b);
	return found;
}

START_TEST(a_sample_spares_a_pass)
{
	enum { N = 200003 };
	float *x = pare_alloc(N * sizeof *x), *sorted = pare_alloc(N * sizeof *sorted), *sample = pare_alloc(N * sizeof *sample);
	bool spread = draw_table[_i] == draw_normal || draw_table[_i] == draw_magnitude || draw_table[_i] == draw_close;
	struct pare_rng r;
	size_t n = 0;

	pare_rng_init(&r, 2, "test", (uint64_t)_i);
	for (size_t i = 0; i < N; i++)
		sorted[i] = x[i] = draw_table[_i](&r);
	qsort(sorted, N, sizeof *sorted, by_value);
	for (size_t i = 0; i < N; i += 9)
		sample[n++] = x[i];
	for (size_t k = 0; k < N; k += N / 17)
		ck_assert(by_sample(x, sorted, N, k, sample, n) || !spread);
	(void)by_sample(x, sorted, N, N - 1, sample, n);
	for (size_t i = 0; i < n; i++)
		sample[i] = sorted[i]; /* the lowest */
	ck_assert(!by_sample(x, sorted, N, N / 2, sample, n) || !spread);
	pare_free(x);
	pare_free(sorted);
	pare_free(sample);
}
END_TEST

START_TEST(zero_comes_back_positive)
{
	static const float x[] = {-0.0f, 1.0f, -0.0f};

	ck_assert(!signbit(pare_select_kth(x, 3, 0)));
	ck_assert(!signbit(pare_select_kth(x, 3, 1)));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("select");
	TCase *tc = tcase_create("select");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, kth_is_what_sorting_gives, 0, (int)(sizeof draw_table / sizeof *draw_table));
	tcase_add_loop_test(tc, a_sample_spares_a_pass, 0, (int)(sizeof draw_table / sizeof *draw_table));
	tcase_add_test(tc, zero_comes_back_positive);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
