/* Several arrays a split, pieces, tasks by shape, layouts, and the element types that numpy writes. */
#include "tests/core/data/data_testing.h"
#include "tests/support/npy.h"

#define ALL(v) (v), sizeof(v)

START_TEST(inputs_and_targets_by_name)
{
	static const int64_t ids[] = {1, 2, 3, 4, 5, 6}, more[] = {7, 8, 9};
	static const uint8_t mask[] = {1, 1, 0, 1, 0, 0}, mask2[] = {1, 1, 1};
	static const float age[] = {0.5f, 1.5f}, age2[] = {2.5f};
	static const int32_t sex[] = {0, 1}, sex2[] = {1};
	struct pare_data_file f[] = {npy("input_ids_train.npy", "<i8", "(2, 3)", ALL(ids)), npy("train_attention_mask.npy", "|u1", "(2, 3)", ALL(mask)),
	    npy("y_age_train.npy", "<f4", "(2,)", ALL(age)), npy("y_sex_train.npy", "<i4", "(2,)", ALL(sex)), npy("attention_mask.test.npy", "|u1", "(1, 3)", ALL(mask2)),
	    npy("input_ids_test.npy", "<i8", "(1, 3)", ALL(more)), npy("y_sex_test.npy", "<i4", "(1,)", ALL(sex2)), npy("test/y_age.npy", "<f4", "(1,)", ALL(age2))};
	struct pare_dataset *d;
	const struct pare_data_info *info;
	uint32_t rows[] = {2, 0};
	float x[6];
	int32_t c[2];

	f[7].name = "y_age_test";
	d = must_open(f, 8, NULL);
	info = pare_data_info(d);
	ck_assert_int_eq(info->n_x, 2);
	ck_assert_int_eq(info->n_y, 2);
	ck_assert_int_eq(info->n_rows, 3);
	ck_assert_int_eq(info->n_given[PARE_SPLIT_TEST], 1);
	ck_assert_int_eq(pare_data_find_x(d, "input_ids"), 0);
	ck_assert_int_eq(pare_data_find_x(d, "attention_mask"), 1);
	ck_assert_int_eq(pare_data_find_y(d, "age"), 0);
	ck_assert_int_eq(pare_data_find_y(d, "y_sex"), 1);
	ck_assert_int_eq(pare_data_find_y(d, "input_ids"), -1);
	ck_assert_int_eq(info->y[0].task, PARE_TASK_REGRESS);
	ck_assert_int_eq(info->y[1].task, PARE_TASK_CLASSIFY);
	ck_assert_int_eq(info->y[1].n_classes, 2);
	pare_data_fill(d, 0, rows, 2, x);
	ck_assert(x[0] == 7 && x[2] == 9 && x[3] == 1 && x[5] == 3);
	ck_assert_int_eq(pare_data_normalize(d, 1, PARE_NORM_NONE, NULL), PARE_OK);
	pare_data_fill(d, 1, rows, 2, x);
	ck_assert(x[0] == 1 && x[2] == 1 && x[5] == 0);
	pare_data_targets(d, 0, rows, 2, x);
	ck_assert(x[0] == 2.5f && x[1] == 0.5f);
	pare_data_classes(d, 1, rows, 2, c);
	ck_assert(c[0] == 1 && c[1] == 0);
	pare_data_free(d);
	must_refuse(f, 7, NULL, PARE_E_DATASET, "no labels for them (a file named with test");
	must_refuse(f, 5, NULL, PARE_E_DATASET, "there is an array \"attention_mask\" here but no \"input_ids\"");
	npy_free(f, 8);
}
END_TEST

/* The user's word stands above the name's. */
START_TEST(roles_given)
{
	static const float a[] = {1, 2}, b[] = {0.5f, 1.5f, 2.5f, 3.5f};
	struct pare_data_file f[] = {npy("left.npy", "<f4", "(2,)", ALL(a)), npy("right.npy", "<f4", "(2, 2)", ALL(b))};
	struct pare_data_role roles[] = {{"left", false}, {"right", true}};
	struct pare_data_options opt = {.roles = roles, .n_roles = 2};
	struct pare_dataset *d = must_open(f, 2, NULL);

	ck_assert_uint_eq(pare_data_info(d)->x[0].row_elems, 2);
	pare_data_free(d);
	d = must_open(f, 2, &opt);
	ck_assert_uint_eq(pare_data_info(d)->x[0].row_elems, 1);
	ck_assert_uint_eq(pare_data_info(d)->y[0].n_targets, 2);
	pare_data_free(d);
	npy_free(f, 2);
}
END_TEST

START_TEST(pieces_follow_their_numbers)
{
	static const uint8_t a[] = {1, 2}, b[] = {3}, c[] = {4, 5};
	struct pare_data_file f[] = {npy("x-part10.npy", "|u1", "(2, 1)", ALL(c)), npy("x-part2.npy", "|u1", "(1, 1)", ALL(b)), npy("x-part1.npy", "|u1", "(2, 1)", ALL(a)),
	    npy("y-part1.npy", "|u1", "(4,)", "\0\1\2\3", 4), npy("y-part2.npy", "|u1", "(1,)", "\4", 1)};
	struct pare_dataset *d = must_open(f, 5, NULL);
	float x[5];

	ck_assert_int_eq(pare_data_info(d)->n_rows, 5);
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_NONE, NULL), PARE_OK);
	fill_all(d, x);
	for (int i = 0; i < 5; i++) {
		ck_assert(x[i] == (float)(i + 1));
		ck_assert_int_eq(class_at(d, (uint32_t)i), i);
	}
	pare_data_free(d);
	f[1].name = "x-part1.npy";
	must_refuse(f, 5, NULL, PARE_E_DATASET, "both hold features");
	npy_free(f, 5);
}
END_TEST

/* Pieces may be of either byte order; none is copied to be turned. */
START_TEST(float16_and_byte_orders)
{
	static const uint8_t little[] = {0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00}, big[] = {0x3c, 0x00, 0xc0, 0x00, 0x7b, 0xff, 0x00, 0x01};
	static const float expected[] = {1, -2, 65504, 0x1p-24f};
	static const uint8_t bad[] = {0x00, 0x7c};
	struct pare_data_file f[] = {npy("x.npy", "<f2", "(4, 1)", ALL(little)), npy("y.npy", "|u1", "(4,)", "\0\1\0\1", 4)};
	struct pare_data_file g[] = {npy("x-part2.npy", ">f2", "(4, 1)", ALL(big)), f[0], npy("y.npy", "|u1", "(8,)", "\0\1\0\1\0\1\0\1", 8)};
	struct pare_data_file h[] = {npy("x.npy", "<f2", "(1, 1)", ALL(bad)), npy("y.npy", "|u1", "(1,)", "\0", 1)};
	struct pare_dataset *d = must_open(f, 2, NULL);
	float x[8];

	fill_all(d, x);
	ck_assert_mem_eq(x, expected, sizeof expected);
	pare_data_free(d);
	g[1].name = "x-part1.npy";
	d = must_open(g, 3, NULL);
	fill_all(d, x);
	ck_assert_mem_eq(x, expected, sizeof expected);
	ck_assert_mem_eq(x + 4, expected, sizeof expected);
	pare_data_free(d);
	must_refuse(h, 2, NULL, PARE_E_NONFINITE, "row 0, column 0");
	npy_free(f, 2);
	npy_free(g, 1);
	npy_free(g + 2, 1);
	npy_free(h, 2);
}
END_TEST

static const struct {
	const char *descr, *shape;
	const void *values;
	size_t n_bytes;
	int task; /* -1: ambiguous */
} task_table[] = {
    {"<i4", "(2,)", (const int32_t[]){1, 3}, 8, PARE_TASK_CLASSIFY},
    {"<i4", "(2, 1)", (const int32_t[]){1, 3}, 8, PARE_TASK_CLASSIFY},
    {"<f4", "(2, 1)", (const float[]){1, 3}, 8, PARE_TASK_CLASSIFY},
    {"<f4", "(2,)", (const float[]){0.5f, 3}, 8, PARE_TASK_REGRESS},
    {"<f4", "(2, 2)", (const float[]){0, 1, 1, 0}, 16, PARE_TASK_CLASSIFY},
    {"<f4", "(2, 2)", (const float[]){0, 1, 1, 1}, 16, PARE_TASK_MULTILABEL},
    {"|b1", "(2, 2)", "\0\1\1\1", 4, PARE_TASK_MULTILABEL},
    {"|u1", "(2, 2)", "\0\1\1\1", 4, -1},
    {"|u1", "(2, 2)", "\0\1\2\1", 4, PARE_TASK_SEQUENCE},
    {"|u1", "(2, 2, 1)", "\0\1\1\1", 4, PARE_TASK_SEQUENCE},
    {"|i1", "(2, 2)", "\0\1\xff\2", 4, PARE_TASK_SEQUENCE},
    {"<f4", "(2, 2)", (const float[]){0, 1, 2, 3}, 16, PARE_TASK_REGRESS},
    {"<f4", "(2, 2)", (const float[]){0, 1, 2.5f, 3}, 16, PARE_TASK_REGRESS},
    {"<f4", "(2, 1, 2)", (const float[]){0, 1, 2.5f, 3}, 16, PARE_TASK_REGRESS},
};

START_TEST(task_follows_shape_and_values)
{
	struct pare_data_file f[] = {npy("x.npy", "|u1", "(2, 1)", "\1\2", 2), npy("y.npy", task_table[_i].descr, task_table[_i].shape, task_table[_i].values, task_table[_i].n_bytes)};
	struct pare_data_options opt = {.task = PARE_TASK_MULTILABEL, .task_given = true};
	struct pare_dataset *d;

	if (task_table[_i].task < 0) {
		must_refuse(f, 2, NULL, PARE_E_DATASET, "set the task to multilabel or sequence");
		d = must_open(f, 2, &opt);
		ck_assert_uint_eq(pare_data_info(d)->y[0].n_targets, 2);
	} else {
		d = must_open(f, 2, NULL);
		ck_assert_int_eq((int)pare_data_info(d)->y[0].task, task_table[_i].task);
	}
	pare_data_free(d);
	npy_free(f, 2);
}
END_TEST

START_TEST(one_hot_rows_are_classes)
{
	static const float y[] = {0, 0, 1, 1, 0, 0};
	struct pare_data_file f[] = {npy("x.npy", "|u1", "(2, 1)", "\1\2", 2), npy("y.npy", "<f4", "(2, 3)", ALL(y))};
	struct pare_dataset *d = must_open(f, 2, NULL);

	ck_assert_int_eq(pare_data_info(d)->y[0].n_classes, 3);
	ck_assert_int_eq(pare_data_info(d)->y[0].class_counts[1], 0);
	ck_assert_int_eq(class_at(d, 0), 2);
	ck_assert_int_eq(class_at(d, 1), 0);
	pare_data_free(d);
	npy_free(f, 2);
}
END_TEST

START_TEST(positions_without_a_label)
{
	static const int16_t y[] = {0, -100, 2, 255, 255, 1};
	struct pare_data_file f[] = {npy("x.npy", "|u1", "(2, 1)", "\1\2", 2), npy("y.npy", "<i2", "(2, 3)", ALL(y))};
	struct pare_data_options opt = {.ignore = 255, .ignore_given = true};
	struct pare_dataset *d = must_open(f, 2, NULL);
	const struct pare_data_field *field = &pare_data_info(d)->y[0];
	uint32_t rows[] = {0, 1};
	int32_t c[6];

	ck_assert_int_eq(field->n_classes, 256);
	ck_assert_int_eq(field->n_ignored, 1);
	ck_assert_int_eq(pare_data_n_labels(d, 0, rows, 2), 5);
	pare_data_free(d);
	d = must_open(f, 2, &opt);
	field = &pare_data_info(d)->y[0];
	ck_assert_int_eq(field->n_classes, 3);
	ck_assert_int_eq(field->n_ignored, 3);
	ck_assert_int_eq(pare_data_n_labels(d, 0, rows, 2), 3);
	ck_assert_int_eq(pare_data_n_labels(d, 0, rows + 1, 1), 1);
	pare_data_classes(d, 0, rows, 2, c);
	ck_assert_mem_eq(c, ((const int32_t[]){0, -1, 2, -1, -1, 1}), sizeof c);
	pare_data_free(d);
	npy_free(f + 1, 1);
	f[1] = npy("y.npy", "<i2", "(2, 3)", ((const int16_t[]){-1, -1, -1, -1, -1, -1}), 12);
	must_refuse(f, 2, NULL, PARE_E_DATASET, "no position has a label");
	npy_free(f, 2);
}
END_TEST

START_TEST(no_labels_at_all)
{
	struct pare_data_file f[] = {npy("x.npy", "|u1", "(2, 1)", "\1\2", 2)};
	struct pare_dataset *d = must_open(f, 1, NULL);

	ck_assert_int_eq(pare_data_info(d)->n_y, 0);
	ck_assert_int_eq(pare_data_split(d, 0.5, 0, 1, NULL), PARE_OK);
	pare_data_free(d);
	npy_free(f, 1);
}
END_TEST

/* [2 x 3 pixels, 2 channels]: element (h, w, c) is 6 h + 2 w + c. */
START_TEST(channels_move)
{
	uint8_t v[24];
	static const float first[] = {0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11};
	struct pare_data_file f[] = {{0}, npy("y.npy", "|u1", "(2,)", "\0\1", 2)};
	struct pare_dataset *d;
	uint32_t row = 0;
	float x[12];

	for (int i = 0; i < 24; i++)
		v[i] = (uint8_t)i;
	f[0] = npy("x.npy", "|u1", "(2, 2, 3, 2)", v, sizeof v);
	d = must_open(f, 2, NULL);
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_NONE, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_layout(d, 0, PARE_LAYOUT_TO_NCHW, NULL), PARE_OK);
	pare_data_fill(d, 0, &row, 1, x);
	ck_assert_mem_eq(x, first, sizeof first);
	ck_assert_int_eq(pare_data_layout(d, 0, PARE_LAYOUT_KEEP, NULL), PARE_OK);
	pare_data_fill(d, 0, &row, 1, x);
	for (int i = 0; i < 12; i++)
		ck_assert(x[i] == (float)i);
	pare_data_free(d);
	npy_free(f, 1);
	f[0] = npy("x.npy", "|u1", "(2, 2, 2, 3)", v, sizeof v);
	d = must_open(f, 2, NULL);
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_NONE, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_layout(d, 0, PARE_LAYOUT_TO_NHWC, NULL), PARE_OK);
	pare_data_fill(d, 0, &row, 1, x);
	for (int p = 0; p < 6; p++)
		for (int c = 0; c < 2; c++)
			ck_assert(x[p * 2 + c] == (float)(c * 6 + p));
	pare_data_free(d);
	npy_free(f, 2);
}
END_TEST

/* Standard normalisation is by the features of the file, wherever they come out; more channels than fit one piece. */
START_TEST(channels_move_after_normalisation)
{
	enum { C = 1500, P = 2 };
	static float v[2 * C * P], x[C * P];
	struct pare_data_file f[] = {{0}, npy("y.npy", "|u1", "(2,)", "\0\1", 2)};
	struct pare_dataset *d;
	uint32_t row = 1;

	for (int i = 0; i < C * P; i++) {
		v[i] = (float)i;
		v[C * P + i] = (float)i + 2 * (float)(i + 1);
	}
	f[0] = npy("x.npy", "<f4", "(2, 2, 1500)", v, sizeof v);
	d = must_open(f, 2, NULL);
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_STANDARD, NULL), PARE_OK);
	ck_assert_int_eq(pare_data_layout(d, 0, PARE_LAYOUT_TO_NCHW, NULL), PARE_OK);
	pare_data_fill(d, 0, &row, 1, x);
	for (int i = 0; i < C * P; i++)
		ck_assert_float_eq_tol(x[i], 1, 1e-5f);
	ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_NONE, NULL), PARE_OK);
	pare_data_fill(d, 0, &row, 1, x);
	for (int c = 0; c < C; c++)
		for (int p = 0; p < P; p++)
			ck_assert(x[c * P + p] == v[C * P + p * C + c]);
	pare_data_free(d);
	npy_free(f, 2);
}
END_TEST

static struct pare_data_file cifar(const char *name, size_t n, const uint8_t *labels, size_t n_labels)
{
	size_t record = n_labels + 3072;
	uint8_t *p = malloc(n * record);

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < n; i++) {
		memcpy(p + i * record, labels + i * n_labels, n_labels);
		for (size_t j = 0; j < 3072; j++)
			p[i * record + n_labels + j] = (uint8_t)(i * 50 + j / 1024);
	}
	return (struct pare_data_file){name, {p, n * record}};
}

START_TEST(cifar_binary)
{
	struct pare_data_file f[] = {cifar("data_batch_2.bin", 2, (const uint8_t[]){3, 9}, 1), cifar("data_batch_1.bin", 1, (const uint8_t[]){7}, 1),
	    cifar("test_batch.bin", 1, (const uint8_t[]){0}, 1)};
	struct pare_dataset *d = must_open(f, 3, NULL);
	const struct pare_data_info *info = pare_data_info(d);
	static const int32_t classes[] = {3, 9, 7, 0};
	static float x[3072];
	uint32_t row = 1;

	ck_assert_str_eq(info->format, "cifar");
	ck_assert_int_eq(info->n_rows, 4);
	ck_assert_int_eq(info->n_given[PARE_SPLIT_TEST], 1);
	ck_assert_int_eq(info->x[0].n_dims, 3);
	ck_assert_int_eq(info->y[0].n_classes, 10);
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_int_eq(class_at(d, i), classes[i]);
	pare_data_fill(d, 0, &row, 1, x);
	ck_assert_float_eq(x[0], 50.0f / 255);
	ck_assert_float_eq(x[3071], 52.0f / 255);
	pare_data_free(d);
	f[0].bytes.len--;
	must_refuse(f, 1, NULL, PARE_E_DATASET, "no IDX, NPY, NPZ, CIFAR or CSV");
	npy_free(f, 3);
}
END_TEST

START_TEST(cifar_100_has_two_labels)
{
	struct pare_data_file f[] = {cifar("train.bin", 2, (const uint8_t[]){19, 99, 4, 5}, 2)};
	struct pare_dataset *d = must_open(f, 1, NULL);
	uint32_t row = 1;
	int32_t c;

	ck_assert_int_eq(pare_data_info(d)->n_y, 2);
	pare_data_classes(d, pare_data_find_y(d, "fine"), &row, 1, &c);
	ck_assert_int_eq(c, 5);
	pare_data_classes(d, pare_data_find_y(d, "coarse"), &row, 1, &c);
	ck_assert_int_eq(c, 4);
	pare_data_free(d);
	npy_free(f, 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {inputs_and_targets_by_name, roles_given, pieces_follow_their_numbers, float16_and_byte_orders, one_hot_rows_are_classes,
	    positions_without_a_label, no_labels_at_all, channels_move, channels_move_after_normalisation, cifar_binary, cifar_100_has_two_labels};
	Suite *s = suite_create("core/data/fields");
	TCase *c = tcase_create("all");
	SRunner *r;
	int failed;

	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
		tcase_add_test(c, tests[i]);
	tcase_add_loop_test(c, task_follows_shape_and_values, 0, (int)(sizeof task_table / sizeof task_table[0]));
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
