/* Splits and folds: disjoint, complete, stratified, by the seed alone. Normalisation and the speed path of the filler. */
#include <math.h>

#include "tests/core/data/data_testing.h"
#include "tests/support/npy.h"

static struct pare_dataset *open_iris(void)
{
	struct pare_data_file f = {"iris.csv", slurp("tests/data/iris.csv")};
	struct pare_dataset *d = must_open(&f, 1, NULL);

	drop(f.bytes); /* a table keeps nothing of its file */
	return d;
}

/* Rows of the three splits are ascending and make up all rows, each once. */
static void check_partition(const struct pare_dataset *d)
{
	size_t n_rows = (size_t)pare_data_info(d)->n_rows, total = 0;
	uint8_t *seen = calloc(n_rows, 1);

	for (int s = 0; s < PARE_N_SPLITS; s++) {
		uint32_t n;
		const uint32_t *rows = pare_data_rows(d, (enum pare_split)s, &n);

		for (uint32_t i = 0; i < n; i++) {
			ck_assert_uint_lt(rows[i], n_rows);
			ck_assert(i == 0 || rows[i] > rows[i - 1]);
			ck_assert_int_eq(seen[rows[i]]++, 0);
		}
		total += n;
	}
	ck_assert_uint_eq(total, n_rows);
	free(seen);
}

static void count(const struct pare_dataset *d, enum pare_split s, int by_class[3])
{
	uint32_t n;
	const uint32_t *rows = pare_data_rows(d, s, &n);

	by_class[0] = by_class[1] = by_class[2] = 0;
	for (uint32_t i = 0; i < n; i++)
		by_class[class_at(d, rows[i])]++;
}

START_TEST(split_is_stratified)
{
	struct pare_dataset *d = open_iris();
	int v[3], t[3];

	ck_assert_int_eq(pare_data_split(d, 0.1, 0.2, 7, NULL), PARE_OK);
	check_partition(d);
	count(d, PARE_SPLIT_VALIDATION, v);
	count(d, PARE_SPLIT_TEST, t);
	for (int c = 0; c < 3; c++) {
		ck_assert_int_eq(v[c], 5);
		ck_assert_int_eq(t[c], 10);
	}
	ck_assert_int_eq(pare_data_split(d, 0.11, 0, 7, NULL), PARE_OK); /* 16.5 rows: 17 = 6 + 6 + 5 */
	check_partition(d);
	count(d, PARE_SPLIT_VALIDATION, v);
	ck_assert_int_eq(v[0] + v[1] + v[2], 17);
	ck_assert(v[0] == 6 && v[1] == 6 && v[2] == 5);
	pare_data_free(d);
}
END_TEST

START_TEST(split_follows_the_seed)
{
	struct pare_dataset *a = open_iris(), *b = open_iris();
	const uint32_t *ra, *rb;
	uint32_t na, nb;

	ck_assert_int_eq(pare_data_split(a, 0.2, 0.2, 1, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_split(b, 0.2, 0.2, 2, NULL), PARE_OK);
	ra = pare_data_rows(a, PARE_SPLIT_TEST, &na);
	rb = pare_data_rows(b, PARE_SPLIT_TEST, &nb);
	ck_assert_uint_eq(na, nb);
	ck_assert(memcmp(ra, rb, na * sizeof *ra) != 0);
	ck_assert_int_eq(pare_data_split(b, 0.2, 0.2, 1, NULL), PARE_OK);
	rb = pare_data_rows(b, PARE_SPLIT_TEST, &nb);
	ck_assert(memcmp(ra, rb, na * sizeof *ra) == 0);
	pare_data_free(a);
	pare_data_free(b);
}
END_TEST

START_TEST(given_test_rows_stay)
{
	struct pare_data_file f[] = {{"train.csv", text("a,y\n1,0\n2,0\n3,1\n4,1\n")}, {"test.csv", text("a,y\n5,0\n6,1\n")}};
	struct pare_dataset *d = must_open(f, 2, NULL);
	const uint32_t *rows;
	uint32_t n;

	ck_assert_int_eq(pare_data_split(d, 0.5, 0.4, 3, NULL), PARE_OK);
	check_partition(d);
	rows = pare_data_rows(d, PARE_SPLIT_TEST, &n);
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(rows[0], 4);
	pare_data_rows(d, PARE_SPLIT_VALIDATION, &n);
	ck_assert_uint_eq(n, 2);
	pare_data_free(d);
}
END_TEST

START_TEST(bad_fractions)
{
	static const double bad[][2] = {{1, 0}, {-0.1, 0}, {0, 1.5}, {0.5, 0.5}, {(double)NAN, 0}, {0, (double)INFINITY}};
	struct pare_dataset *d = open_iris();
	struct pare_err err = {.code = PARE_OK};
	uint32_t n;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_int_eq(pare_data_split(d, bad[i][0], bad[i][1], 1, NULL), PARE_E_INVALID);
	ck_assert_int_eq(pare_data_split(d, 0.001, 0, 1, &err), PARE_E_DATASET);
	ck_assert_ptr_nonnull(strstr(err.message, "no row"));
	ck_assert_int_eq(pare_data_fold(d, 1, 0, 1, NULL), PARE_E_INVALID);
	ck_assert_int_eq(pare_data_fold(d, 5, 5, 1, NULL), PARE_E_INVALID);
	ck_assert_int_eq(pare_data_fold(d, 151, 0, 1, NULL), PARE_E_DATASET);
	pare_data_rows(d, PARE_SPLIT_TRAIN, &n); /* failures changed nothing */
	ck_assert_uint_eq(n, 150);
	pare_data_free(d);
	d = open_csv("a,y\n1,0\n");
	ck_assert_int_eq(pare_data_split(d, 0.9, 0, 1, &err), PARE_E_DATASET);
	ck_assert_ptr_nonnull(strstr(err.message, "no row is left to train on"));
	pare_data_free(d);
}
END_TEST

START_TEST(many_classes_of_one_row)
{
	size_t n = 0;
	char *csv = malloc(200000);
	struct pare_dataset *d;
	uint32_t k;

	n += (size_t)snprintf(csv, 200000, "a,y\n");
	for (int i = 0; i < 10000; i++)
		n += (size_t)snprintf(csv + n, 200000 - n, "%d,c%d\n", i, i);
	d = open_csv(csv);
	ck_assert_int_eq(pare_data_info(d)->y[0].n_classes, 10000);
	ck_assert_int_eq(pare_data_split(d, 0.3, 0.3, 1, NULL), PARE_OK);
	check_partition(d);
	pare_data_rows(d, PARE_SPLIT_TEST, &k);
	ck_assert_uint_eq(k, 3000);
	pare_data_rows(d, PARE_SPLIT_VALIDATION, &k);
	ck_assert_uint_eq(k, 3000);
	pare_data_free(d);
	free(csv);
}
END_TEST

START_TEST(folds_cover_once_and_keep_test_aside)
{
	struct pare_dataset *d = open_iris();
	int seen[150] = {0}, v[3];
	const uint32_t *rows;
	uint32_t n, n_test;

	ck_assert_int_eq(pare_data_split(d, 0, 0.2, 5, NULL), PARE_OK);
	for (int i = 0; i < 7; i++) {
		ck_assert_int_eq(pare_data_fold(d, 7, i, 5, NULL), PARE_OK);
		check_partition(d);
		pare_data_rows(d, PARE_SPLIT_TEST, &n_test);
		ck_assert_uint_eq(n_test, 30);
		rows = pare_data_rows(d, PARE_SPLIT_VALIDATION, &n);
		ck_assert(n == 17 || n == 18); /* 120 / 7 */
		for (uint32_t r = 0; r < n; r++)
			seen[rows[r]]++;
		count(d, PARE_SPLIT_VALIDATION, v);
		for (int c = 0; c < 3; c++)
			ck_assert(v[c] == 5 || v[c] == 6); /* 40 / 7 */
	}
	rows = pare_data_rows(d, PARE_SPLIT_TEST, &n);
	for (uint32_t r = 0; r < n; r++)
		ck_assert_int_eq(seen[rows[r]]++, 0);
	for (int i = 0; i < 150; i++)
		ck_assert_int_eq(seen[i], 1);
	pare_data_free(d);
}
END_TEST

START_TEST(regression_splits_too)
{
	struct pare_dataset *d = open_csv("a,y\n1,0.5\n2,1.5\n3,2.5\n4,3.5\n5,4.5\n");
	uint32_t n;

	ck_assert_int_eq(pare_data_split(d, 0.4, 0.2, 1, NULL), PARE_OK);
	check_partition(d);
	pare_data_rows(d, PARE_SPLIT_VALIDATION, &n);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(pare_data_fold(d, 4, 3, 1, NULL), PARE_OK);
	check_partition(d);
	pare_data_free(d);
}
END_TEST

START_TEST(standard_has_mean_0_and_std_1_on_train)
{
	struct pare_dataset *d = open_iris();
	static float x[600];
	const uint32_t *rows;
	uint32_t n;
	double sum[4] = {0}, squares[4] = {0};

	ck_assert_ptr_null(pare_data_mean(d, 0));
	ck_assert_int_eq(pare_data_split(d, 0.2, 0.2, 1, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_STANDARD, NULL), PARE_OK);
	rows = pare_data_rows(d, PARE_SPLIT_TRAIN, &n);
	pare_data_fill(d, 0, rows, n, x);
	for (uint32_t i = 0; i < n * 4; i++) {
		sum[i % 4] += (double)x[i];
		squares[i % 4] += (double)x[i] * (double)x[i];
	}
	for (int j = 0; j < 4; j++) {
		ck_assert_double_eq_tol(sum[j] / n, 0, 1e-6);
		ck_assert_double_eq_tol(squares[j] / n, 1, 1e-5);
	}
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_NONE, NULL), PARE_OK);
	ck_assert_ptr_null(pare_data_std(d, 0));
	pare_data_fill(d, 0, (uint32_t[]){0}, 1, x);
	ck_assert(x[0] == 5.1f);
	pare_data_free(d);
}
END_TEST

START_TEST(standard_sees_only_train)
{
	struct pare_data_file f[] = {{"train.csv", text("a,y\n1,0\n3,1\n")}, {"test.csv", text("a,y\n1000,0\n")}};
	struct pare_dataset *d = must_open(f, 2, NULL);

	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_STANDARD, NULL), PARE_OK);
	ck_assert(pare_data_mean(d, 0)[0] == 2.0 && pare_data_std(d, 0)[0] == 1.0);
	pare_data_free(d);
}
END_TEST

/* Seconds since 1970, a constant of the same size and a small number: as floats the first two are all the same. */
START_TEST(standard_keeps_the_digits_of_offsets)
{
	static const double doubles[] = {1700000000.25, 1700000000.1, 5.1, 1700000001.25, 1700000000.1, 4.9, 1700000002.25, 1700000000.1, 4.7, 1700000003.25, 1700000000.1, 5.5};
	static const int64_t integers[] = {1700000000, 1700000000, 4, 1700000001, 1700000000, 2, 1700000002, 1700000000, 0, 1700000003, 1700000000, 8};
	static const int32_t y[] = {0, 1, 0, 1};

	for (int wide = 0; wide < 2; wide++) {
		struct pare_data_file f[] = {npy("x.npy", wide == 0 ? "<f8" : "<i8", "(4, 3)", wide == 0 ? (const void *)doubles : (const void *)integers, sizeof doubles),
		    npy("y.npy", "<i4", "(4,)", y, sizeof y)};
		struct pare_dataset *d = must_open(f, 2, NULL);
		float x[12];

		ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_STANDARD, NULL), PARE_OK);
		ck_assert_double_eq_tol(pare_data_mean(d, 0)[0], wide == 0 ? 1700000001.75 : 1700000001.5, 1e-6);
		ck_assert_double_eq_tol(pare_data_std(d, 0)[0], 1.118033988749895, 1e-9);
		ck_assert(pare_data_std(d, 0)[1] == 1.0);
		fill_all(d, x);
		for (int i = 0; i < 4; i++) {
			ck_assert_float_eq_tol(x[3 * i], ((float)i - 1.5f) / 1.1180340f, 1e-6f);
			ck_assert(x[3 * i + 1] == 0.0f);
		}
		ck_assert_float_eq_tol(x[2], 0.1690309f, 1e-5f);
		pare_data_free(d);
		npy_free(f, 2);
	}
}
END_TEST

/* The same from tables, whichever of them says that floats will not do. */
START_TEST(tables_keep_the_digits_of_offsets)
{
	struct pare_data_file f[] = {{"train.csv", text("a,b,y\n5.1,3,0\n4.9,4,1\n")}, {"test.csv", text("a,b,y\n1700000000.25,3,0\n1700000001.25,3,1\n")}};

	for (int first = 0; first < 2; first++) {
		struct pare_data_file files[] = {f[first], f[1 - first]};
		struct pare_dataset *d = must_open(files, 2, NULL);
		const uint32_t *rows;
		uint32_t n;
		double v[2];

		ck_assert_int_eq(pare_data_info(d)->x[0].dtype, PARE_DT_DOUBLE);
		rows = pare_data_rows(d, PARE_SPLIT_TEST, &n);
		ck_assert_uint_eq(n, 2);
		pare_data_values(d, 0, rows[1], v);
		ck_assert(v[0] == 1700000001.25 && v[1] == 3.0);
		rows = pare_data_rows(d, PARE_SPLIT_TRAIN, &n);
		pare_data_values(d, 0, rows[0], v);
		ck_assert(v[0] == 5.1);
		pare_data_free(d);
	}
	f[1].bytes = text("a,b,y\n1700000000,3,0\n16777216,3,1\n"); /* floats hold 1,700,000,000 */
	struct pare_dataset *d = must_open(f, 2, NULL);

	ck_assert_int_eq(pare_data_info(d)->x[0].dtype, PARE_DT_FLOAT);
	pare_data_free(d);
}
END_TEST

START_TEST(standard_of_constant_and_offset_features)
{
	struct pare_dataset *d = open_csv("a,b,y\n0.1,10000000,0\n0.1,10000001,1\n0.1,10000002,0\n0.1,10000003,1\n");
	float x[8];

	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_STANDARD, NULL), PARE_OK);
	ck_assert(pare_data_std(d, 0)[0] == 1.0);
	ck_assert_double_eq_tol(pare_data_std(d, 0)[1], 1.1180340, 1e-6);
	fill_all(d, x);
	ck_assert(x[0] == 0.0f && x[2] == 0.0f);
	pare_data_free(d);
}
END_TEST

/* 256 grey values in one row, so blocks and tail are both seen. */
START_TEST(unit_is_division_by_255_to_the_bit)
{
	static uint8_t x[12 + 259] = {0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 1, 3};
	static const uint8_t y[] = {0, 0, 8, 1, 0, 0, 0, 1, 0};
	struct pare_data_file f[] = {{"x", {x, sizeof x}}, {"y", {y, sizeof y}}};
	struct pare_dataset *d;
	float v[259];

	for (int i = 0; i < 259; i++)
		x[12 + i] = (uint8_t)i;
	d = must_open(f, 2, NULL);
	fill_all(d, v);
	for (int i = 0; i < 259; i++)
		ck_assert_msg(v[i] == (float)(uint8_t)i / 255.0f, "%d", i);
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_NONE, NULL), PARE_OK);
	fill_all(d, v);
	ck_assert(v[255] == 255.0f);
	pare_data_free(d);
}
END_TEST

START_TEST(unit_needs_8_bits)
{
	struct pare_dataset *d = open_iris();
	struct pare_err err;

	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_UNIT, &err), PARE_E_INVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "standard"));
	ck_assert_int_eq(pare_data_normalization(d, 0), PARE_NORM_NONE);
	pare_data_free(d);
}
END_TEST

PROGRAM("core/data/split", split_is_stratified, split_follows_the_seed, given_test_rows_stay, bad_fractions,
    many_classes_of_one_row, folds_cover_once_and_keep_test_aside,
    regression_splits_too, standard_has_mean_0_and_std_1_on_train, standard_sees_only_train,
    standard_keeps_the_digits_of_offsets, tables_keep_the_digits_of_offsets, standard_of_constant_and_offset_features, unit_is_division_by_255_to_the_bit, unit_needs_8_bits)
