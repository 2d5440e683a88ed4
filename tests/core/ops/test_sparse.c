/* Sparse products against the dense ones by the definition, on random structures: every instruction set that this machine
 * has, row counts around the blocks, empty rows and columns. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/ops/kernels/gemm.h"
#include "core/ops/kernels/sparse.h"

#define MAX 160 /* of rows, columns and rows of the batch */

static float x[MAX * MAX], y[MAX * MAX], w[MAX * MAX], bias[MAX], got[MAX * MAX], want[MAX * MAX], out[2][MAX * MAX], scratch[64 * 3 * MAX];
static uint32_t row_start[MAX + 1], col_start[MAX + 1], row_col[MAX * MAX], col_row[MAX * MAX];
static struct pare_rng rng;

static void draw(float *v, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		v[i] = pare_rng_uniform(&rng) - 0.5f;
}

static int64_t draw_size(int64_t most)
{
	return 1 + (int64_t)pare_rng_below(&rng, (uint64_t)most);
}

static void draw_structure(struct pare_sparse *s, int64_t rows, int64_t cols, float density)
{
	uint32_t n = 0;

	*s = (struct pare_sparse){.rows = rows, .cols = cols, .row_start = row_start, .row_col = row_col, .col_start = col_start, .col_row = col_row};
	for (int64_t r = 0; r < rows; r++) {
		row_start[r] = n;
		for (int64_t c = 0; c < cols; c++) {
			bool keep = pare_rng_uniform(&rng) < density && r % 7 != 3 && c % 5 != 2;

			w[r * cols + c] = keep ? pare_rng_uniform(&rng) - 0.5f : 0.0f;
			if (keep)
				row_col[n++] = (uint32_t)c;
		}
	}
	row_start[rows] = n;
	s->n = n;
	n = 0;
	for (int64_t c = 0; c < cols; c++) {
		col_start[c] = n;
		for (int64_t r = 0; r < rows; r++)
			if (w[r * cols + c] != 0.0f)
				col_row[n++] = (uint32_t)r;
	}
	col_start[cols] = n;
}

static void check_near(int64_t n, const float *a, const float *b, int64_t terms)
{
	for (int64_t i = 0; i < n; i++)
		ck_assert_msg(fabsf(a[i] - b[i]) <= 1e-6f * (float)(terms + 4), "element %d: %g, not %g", (int)i, (double)a[i], (double)b[i]);
}

static void product_case(const struct pare_sparse *s, int64_t m, bool by_row, bool acc)
{
	int64_t n_in = by_row ? s->cols : s->rows, n_out = by_row ? s->rows : s->cols;

	draw(x, m * n_in);
	draw(bias, n_out);
	draw(got, m * n_out);
	for (int64_t i = 0; i < m * n_out; i++)
		want[i] = (acc ? got[i] : 0.0f) + 0.5f * bias[i % n_out];
	pare_gemm_ref(false, by_row, m, n_out, n_in, 1.0f, x, w, 1.0f, want);
	pare_sparse_product(s, w, by_row, m, x, bias, 0.5f, acc, got, scratch);
	check_near(m * n_out, got, want, n_in);
}

static void grad_case(const struct pare_sparse *s, int64_t m, bool acc)
{
	draw(x, m * s->cols);
	draw(y, m * s->rows);
	draw(got, s->rows * s->cols);
	memcpy(want, got, sizeof want);
	memset(out[0], 0, sizeof out[0]);
	pare_gemm_ref(true, false, s->rows, s->cols, m, 1.0f, y, x, 0.0f, out[0]);
	for (int64_t i = 0; i < s->rows * s->cols; i++)
		if (w[i] != 0.0f)
			want[i] = (acc ? want[i] : 0.0f) + out[0][i];
	pare_sparse_grad(s, m, y, x, acc, got, scratch);
	check_near(s->rows * s->cols, got, want, m);
}

START_TEST(like_the_dense_products)
{
	pare_rng_init(&rng, 3, "sparse", 0);
	for (int i = 0; i < 20; i++) {
		struct pare_sparse s;
		int64_t rows = draw_size(MAX), cols = draw_size(MAX), m = draw_size(MAX);

		ck_assert_uint_le(pare_sparse_scratch(m, rows, cols), sizeof scratch / sizeof scratch[0]);
		draw_structure(&s, rows, cols, i % 10 == 0 ? 0.0f : 0.02f * (float)(i % 20));
		for (int acc = 0; acc < 2; acc++) {
			product_case(&s, m, true, acc != 0);
			product_case(&s, m, false, acc != 0);
			grad_case(&s, m, acc != 0);
		}
	}
}
END_TEST

static void check_set(const struct pare_sparse_kernels *k)
{
	const struct pare_sparse_kernels *plain = &pare_sparse_plain;

	pare_rng_init(&rng, 4, "sparse", 0);
	for (int64_t lanes = 16; lanes <= 64; lanes += 16) {
		struct pare_sparse s;

		draw_structure(&s, 23, 37, 0.3f);
		draw(x, 37 * lanes);
		draw(y, 23 * lanes);
		draw(bias, 23);
		plain->sum(23, row_start, row_col, w, 37, 1, lanes, x, bias, 2.0f, out[0]);
		k->sum(23, row_start, row_col, w, 37, 1, lanes, x, bias, 2.0f, out[1]);
		check_near(23 * lanes, out[1], out[0], 37);
		draw(out[0], 23 * 37);
		memcpy(out[1], out[0], sizeof out[0]);
		plain->dot(23, row_start, row_col, 37, lanes, y, x, true, out[0]);
		k->dot(23, row_start, row_col, 37, lanes, y, x, true, out[1]);
		check_near(23 * 37, out[1], out[0], lanes);
		k->turn(23, 37, x, lanes, got, 29);
		for (int i = 0; i < 23 * 37 && lanes >= 37; i++)
			ck_assert(got[i % 37 * 29 + i / 37] == x[i / 37 * lanes + i % 37]);
	}
}

START_TEST(every_instruction_set)
{
	check_set(&pare_sparse_plain);
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		check_set(&pare_sparse_avx2);
	if (__builtin_cpu_supports("avx512f"))
		check_set(&pare_sparse_avx512);
#endif
}
END_TEST

START_TEST(where_it_pays)
{
	ck_assert(pare_sparse_pays(64, 300, 784, 300 * 784 / 20));
	ck_assert(pare_sparse_pays(32, 128, 784, 128 * 784 / 10));
	ck_assert(!pare_sparse_pays(64, 300, 784, 300 * 784 / 2));
	ck_assert(!pare_sparse_pays(1, 300, 784, 300 * 784 / 20)); /* one row: the dense one reads the matrix once */
	ck_assert(!pare_sparse_pays(64, 10, 128, 0));              /* too small to earn the transpositions */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sparse products");
	TCase *t = tcase_create("sparse products");
	SRunner *r;
	int failed;

	tcase_add_test(t, like_the_dense_products);
	tcase_add_test(t, every_instruction_set);
	tcase_add_test(t, where_it_pays);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
