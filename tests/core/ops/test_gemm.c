/* Matrix products in parts, with gaps between rows and with packed right sides, by every kernel that the machine has, against the
 * definition in double. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/ops/kernels/gemm.h"
#include "core/ops/kernels/packed.h"
#include "core/ops/kernels/strip.h"
#include "tests/support/net_check.h"

#define MOST_M 420
#define MOST_N 150
#define MOST_K 1100
#define GAP 3

static const struct pare_tile_kernels *const tile_table[] = {NULL, &pare_tile_avx2, &pare_tile_plain};
static float *a, *b, *c, *want, *packed;
static struct pare_rng rng;

static void setup(void)
{
	a = pare_calloc(MOST_M * (MOST_K + GAP) + MOST_K * GAP, sizeof *a);
	b = pare_calloc((MOST_N + GAP) * (MOST_K + GAP), sizeof *b);
	c = pare_calloc(MOST_M * (MOST_N + GAP), sizeof *c);
	want = pare_calloc(MOST_M * (MOST_N + GAP), sizeof *want);
	packed = pare_calloc((MOST_N + 64) * MOST_K, sizeof *packed);
	ck_assert(a != NULL && b != NULL && c != NULL && want != NULL && packed != NULL);
	pare_gemm_init();
}

static void teardown(void)
{
	pare_tile_force(NULL);
	pare_free(a);
	pare_free(b);
	pare_free(c);
	pare_free(want);
	pare_free(packed);
}

static int64_t draw(int64_t lo, int64_t hi)
{
	return lo + (int64_t)pare_rng_below(&rng, (uint32_t)(hi - lo + 1));
}

/* Is there such a machine? */
static bool force(int tile)
{
	pare_tile_force(NULL);
	if (tile_table[tile] == &pare_tile_avx2 && pare_tile() == &pare_tile_plain)
		return false;
	pare_tile_force(tile_table[tile]);
	return true;
}

/* Sizes at which something begins anew: one row, whole panels and parts, and one more than them. */
static int64_t draw_size(int64_t most)
{
	static const int64_t edge_table[] = {1, 2, 6, 7, 8, 9, 14, 15, 16, 17, 31, 32, 33, 64, 65, 96, 384, 385, 768, 1024, 1025};
	int64_t edge = edge_table[draw(0, (int64_t)(sizeof edge_table / sizeof *edge_table) - 1)];

	return draw(0, 1) == 0 && edge <= most ? edge : draw(1, most);
}

static void check_rows(const char *what, int64_t m, int64_t n, int64_t k, int64_t ldc, bool ta, bool tb)
{
	float most = 2e-6f * sqrtf((float)k) + 2e-6f;

	for (int64_t i = 0; i < m; i++)
		for (int64_t j = 0; j < ldc; j++)
			ck_assert_msg(fabsf(c[i * ldc + j] - want[i * ldc + j]) <= (j < n ? most : 0.0f), "%s %lld x %lld x %lld, transposed %d %d: [%lld][%lld] %g, want %g",
			    what, (long long)m, (long long)n, (long long)k, ta, tb, (long long)i, (long long)j, (double)c[i * ldc + j], (double)want[i * ldc + j]);
}

static double product(bool ta, bool tb, int64_t i, int64_t j, int64_t k, int64_t lda, int64_t ldb)
{
	double sum = 0;

	for (int64_t l = 0; l < k; l++)
		sum += (double)a[ta ? l * lda + i : i * lda + l] * (double)b[tb ? j * ldb + l : l * ldb + j];
	return sum;
}

/* What c should become; what it should not be asked for becomes NaN. */
static void fill_want(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, int64_t lda, int64_t ldb, float beta, int64_t ldc)
{
	memcpy(want, c, (size_t)(m * ldc) * sizeof *c);
	for (int64_t i = 0; i < m; i++)
		for (int64_t j = 0; j < n; j++) {
			double old = beta != 0.0f ? (double)beta * (double)c[i * ldc + j] : 0.0;

			want[i * ldc + j] = (float)((double)alpha * product(ta, tb, i, j, k, lda, ldb) + old);
			c[i * ldc + j] = beta != 0.0f ? c[i * ldc + j] : NAN;
		}
}

START_TEST(gemm_in_parts)
{
	static const float beta_table[] = {0.0f, 1.0f, -0.5f};

	if (!force(_i))
		return;
	pare_rng_init(&rng, 11, "gemm", 0);
	for (int round = 0; round < 60; round++) {
		bool ta = draw(0, 1) != 0, tb = draw(0, 1) != 0;
		int64_t k = draw_size(MOST_K), m = draw_size(k > 500 ? 90 : MOST_M), n = draw_size(k > 500 ? 40 : MOST_N);
		int64_t lda = (ta ? m : k) + draw(0, GAP), ldb = (tb ? k : n) + draw(0, GAP), ldc = n + draw(0, GAP);
		float beta = beta_table[draw(0, 2)], alpha = draw(0, 1) != 0 ? 1.0f : -0.25f;

		nc_fill(a, (size_t)((ta ? k : m) * lda), 1);
		nc_fill(b, (size_t)((tb ? n : k) * ldb), 2);
		nc_fill(c, (size_t)(m * ldc), 3);
		fill_want(ta, tb, m, n, k, alpha, lda, ldb, beta, ldc);
		pare_gemm_part(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
		check_rows("gemm", m, n, k, ldc, ta, tb);
	}
}
END_TEST

/* Products of many rows, which are read where they stand. */
START_TEST(gradients_of_weights)
{
	static const int64_t size_table[][3] = {{32, 32, 384}, {33, 65, 385}, {90, 40, 1100}, {64, 96, 777}, {47, 150, 1000}, {200, 130, 500}};
	static const float beta_table[] = {0.0f, 1.0f, -0.5f};

	if (!force(_i))
		return;
	pare_rng_init(&rng, 13, "gradients", 0);
	for (int round = 0; round < 18; round++) {
		int64_t m = size_table[round % 6][0], n = size_table[round % 6][1], k = size_table[round % 6][2], gap = round % 2 * GAP;

		nc_fill(a, (size_t)(k * (m + gap)), 1);
		nc_fill(b, (size_t)(k * (n + gap)), 2);
		nc_fill(c, (size_t)(m * (n + gap)), 3);
		fill_want(true, false, m, n, k, 1.0f, m + gap, n + gap, beta_table[round / 6], n + gap);
		pare_gemm_part(true, false, m, n, k, 1.0f, a, m + gap, b, n + gap, beta_table[round / 6], c, n + gap);
		check_rows("gradient", m, n, k, n + gap, true, false);
	}
}
END_TEST

/* Also that a row's result does not depend on how many there are. */
static void check_alone(int64_t m, int64_t n, int64_t k, int64_t lda, const struct pare_conv_finish *finish, bool acc)
{
	struct pare_conv_finish there = *finish;
	int64_t i = draw(0, m - 1);
	float alone[MOST_N];

	nc_fill(want, (size_t)(m * n), 3);
	memcpy(alone, want + i * n, (size_t)n * sizeof *alone);
	there.add = there.add != NULL ? there.add + i * n : NULL;
	pare_packed_mul(1, n, k, a + i * lda, lda, packed, &there, alone, n, acc);
	ck_assert_mem_eq(alone, c + i * n, (size_t)n * sizeof *alone);
}

START_TEST(packed_in_parts)
{
	static float bias[MOST_N], add[MOST_M * MOST_N];

	if (!force(_i))
		return;
	pare_rng_init(&rng, 12, "packed", 0);
	for (int round = 0; round < 60; round++) {
		bool tb = draw(0, 1) != 0, acc = draw(0, 1) != 0;
		int64_t k = draw_size(MOST_K), m = draw(0, 3) == 0 ? 1 : draw_size(k > 500 ? 90 : MOST_M), n = draw_size(k > 500 && m > 1 ? 40 : MOST_N), lda = k + draw(0, GAP);
		struct pare_conv_finish finish = {.clamp = draw(0, 1) != 0, .lo = -0.5f, .hi = 0.75f};

		nc_fill(a, (size_t)(m * lda), 1);
		nc_fill(b, (size_t)(k * n), 2);
		nc_fill(c, (size_t)(m * n), 3);
		nc_fill(bias, MOST_N, 4);
		nc_fill(add, (size_t)(m * n), 5);
		finish.bias = draw(0, 1) != 0 ? bias : NULL;
		finish.add = draw(0, 1) != 0 ? add : NULL;
		for (int64_t i = 0; i < m; i++)
			for (int64_t j = 0; j < n; j++) {
				float y = (float)(product(false, tb, i, j, k, lda, tb ? k : n) + (acc ? (double)c[i * n + j] : 0.0));

				y += (finish.bias != NULL ? bias[j] : 0.0f) + (finish.add != NULL ? add[i * n + j] : 0.0f);
				want[i * n + j] = finish.clamp ? fminf(fmaxf(y, finish.lo), finish.hi) : y;
			}
		pare_pack(tb, k, n, b, packed);
		pare_packed_mul(m, n, k, a, lda, packed, &finish, c, n, acc);
		check_rows("packed", m, n, k, n, false, tb);
		check_alone(m, n, k, lda, &finish, acc);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("products");
	TCase *t = tcase_create("kernels");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, gemm_in_parts, 0, 3);
	tcase_add_loop_test(t, gradients_of_weights, 0, 3);
	tcase_add_loop_test(t, packed_in_parts, 0, 3);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
