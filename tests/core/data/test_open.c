/* Good input: every format, told by its bytes; roles told by names. */
#include <math.h>
#include <zlib.h>

#include "tests/core/data/data_testing.h"

static const uint8_t idx_x[] = {0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255, 51, 102, 1, 2, 3, 4};
static const uint8_t idx_y[] = {0, 0, 8, 1, 0, 0, 0, 4, 1, 0, 1, 3};

#define FILE_OF(n, a) {.name = (n), .bytes = {(a), sizeof(a)}}

START_TEST(idx_pair_without_roles)
{
	struct pare_data_file f[] = {FILE_OF("labels", idx_y), FILE_OF("pictures", idx_x)};
	struct pare_dataset *d = must_open(f, 2, NULL);
	const struct pare_data_info *info = pare_data_info(d);
	float x[8];
	uint32_t n;

	ck_assert_str_eq(info->format, "idx");
	ck_assert_int_eq(info->y[0].task, PARE_TASK_CLASSIFY);
	ck_assert_int_eq(info->n_rows, 4);
	ck_assert_int_eq(info->n_given[PARE_SPLIT_TRAIN] + info->n_given[PARE_SPLIT_TEST], 0);
	ck_assert_int_eq(info->x[0].n_dims, 2);
	ck_assert_int_eq(info->x[0].dims[0], 1);
	ck_assert_int_eq(info->x[0].dims[1], 2);
	ck_assert_uint_eq(info->x[0].row_elems, 2);
	ck_assert_int_eq(info->x[0].dtype, PARE_DT_UINT8);
	ck_assert_int_eq(info->y[0].n_classes, 4);
	ck_assert_str_eq(info->y[0].class_names[3], "3");
	ck_assert_int_eq(info->y[0].class_counts[1], 2);
	ck_assert_int_eq(info->y[0].class_counts[2], 0);
	ck_assert_int_eq(class_at(d, 3), 3);
	ck_assert_int_eq(pare_data_normalization(d, 0), PARE_NORM_UNIT);
	fill_all(d, x);
	ck_assert(x[0] == 0.0f && x[1] == 1.0f && x[2] == 51 / 255.0f && x[3] == 102 / 255.0f);
	pare_data_rows(d, PARE_SPLIT_TRAIN, &n);
	ck_assert_uint_eq(n, 4);
	pare_data_free(d);
}
END_TEST

static struct pare_span gzip(struct pare_span s)
{
	z_stream z = {.zalloc = NULL};
	uint8_t *out = malloc(s.len + s.len / 100 + 1000);

	ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)s.data;
	z.avail_in = (uInt)s.len;
	z.next_out = out;
	z.avail_out = (uInt)(s.len + s.len / 100 + 1000);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	s.len = z.total_out;
	deflateEnd(&z);
	return (struct pare_span){out, s.len};
}

START_TEST(gzip_is_told_by_bytes_and_may_have_members)
{
	struct pare_span half1 = gzip((struct pare_span){idx_x, 10}), half2 = gzip((struct pare_span){idx_x + 10, sizeof idx_x - 10});
	struct pare_span y = gzip((struct pare_span){idx_y, sizeof idx_y});
	uint8_t *both = malloc(half1.len + half2.len);
	struct pare_data_file f[] = {{"train-images-idx3-ubyte", {both, half1.len + half2.len}}, {"train-labels-idx1-ubyte.gz", y}};
	struct pare_dataset *d;
	float x[8];

	memcpy(both, half1.data, half1.len);
	memcpy(both + half1.len, half2.data, half2.len);
	d = must_open(f, 2, NULL);
	fill_all(d, x);
	ck_assert(x[1] == 1.0f && x[7] == 4 / 255.0f);
	ck_assert_int_eq(pare_data_info(d)->n_given[PARE_SPLIT_TRAIN], 4);
	pare_data_free(d);
	drop(half1);
	drop(half2);
	drop(y);
	free(both);
}
END_TEST

START_TEST(names_give_roles)
{
	static const char *const sets[][4] = {
	    {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"},
	    {"x_train", "y_train", "x_test", "y_test"},
	    {"train_x", "train_y", "test_x", "test_y"},
	    {"dir/X_Train.idx", "dir/Y_Train.idx", "test/X.TEST", "Y.TEST"},
	};

	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
		struct pare_data_file f[] = {FILE_OF(sets[i][2], idx_x), FILE_OF(sets[i][1], idx_y), FILE_OF(sets[i][0], idx_x),
		    FILE_OF(sets[i][3], idx_y)};
		struct pare_dataset *d = must_open(f, 4, NULL);
		const uint32_t *rows;
		uint32_t n;

		ck_assert_int_eq(pare_data_info(d)->n_rows, 8);
		ck_assert_int_eq(pare_data_info(d)->n_given[PARE_SPLIT_TRAIN], 4);
		ck_assert_int_eq(pare_data_info(d)->n_given[PARE_SPLIT_TEST], 4);
		rows = pare_data_rows(d, PARE_SPLIT_TEST, &n);
		ck_assert_uint_eq(n, 4);
		ck_assert_uint_eq(rows[0], 4);
		pare_data_free(d);
	}
}
END_TEST

START_TEST(val_is_validation)
{
	struct pare_data_file f[] = {FILE_OF("x_train", idx_x), FILE_OF("y_train", idx_y), FILE_OF("x_val", idx_x), FILE_OF("y_val",
	    idx_y)};
	struct pare_dataset *d = must_open(f, 4, NULL);
	uint32_t n;

	ck_assert_int_eq(pare_data_info(d)->n_given[PARE_SPLIT_VALIDATION], 4);
	ck_assert_int_eq(pare_data_split(d, 0.5, 0, 1, NULL), PARE_OK); /* the file's validation rows stand */
	pare_data_rows(d, PARE_SPLIT_VALIDATION, &n);
	ck_assert_uint_eq(n, 4);
	pare_data_free(d);
}
END_TEST

START_TEST(idx_types)
{
	static const uint8_t f4[] = {0, 0, 0x0d, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0};
	static const uint8_t i2[] = {0, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0xff, 0xfe};
	static const uint8_t i1[] = {0, 0, 0x09, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0xfe};
	static const uint8_t i4[] = {0, 0, 0x0c, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe};
	static const uint8_t f8[] = {0, 0, 0x0e, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t y[] = {0, 0, 0x0c, 1, 0, 0, 0, 1, 0, 0, 0, 2};
	const struct pare_data_file x[] = {FILE_OF("f4", f4), FILE_OF("i2", i2), FILE_OF("i1", i1), FILE_OF("i4", i4), FILE_OF("f8", f8)};

	for (size_t i = 0; i < sizeof x / sizeof x[0]; i++) {
		struct pare_data_file f[] = {x[i], FILE_OF("y", y)};
		struct pare_dataset *d = must_open(f, 2, NULL);
		float v[2];

		fill_all(d, v);
		ck_assert_msg(v[0] == 1.0f && v[1] == -2.0f, "%s: %g %g", x[i].name, (double)v[0], (double)v[1]);
		ck_assert_int_eq(class_at(d, 0), 2);
		ck_assert_int_eq(pare_data_normalization(d, 0), PARE_NORM_NONE);
		pare_data_free(d);
	}
}
END_TEST

START_TEST(iris)
{
	struct pare_data_file f = {"iris.csv", slurp("tests/data/iris.csv")};
	struct pare_dataset *d;
	const struct pare_data_info *info;
	static float x[600];
	double sum[4] = {0};

	ck_assert_ptr_nonnull(f.bytes.data);
	d = must_open(&f, 1, NULL);
	info = pare_data_info(d);
	ck_assert_str_eq(info->format, "csv");
	ck_assert_int_eq(info->n_rows, 150);
	ck_assert_uint_eq(info->x[0].row_elems, 4);
	ck_assert_int_eq(info->y[0].n_classes, 3);
	ck_assert_str_eq(info->y[0].class_names[0], "setosa");
	ck_assert_str_eq(info->y[0].class_names[1], "versicolor");
	ck_assert_str_eq(info->y[0].class_names[2], "virginica");
	for (int c = 0; c < 3; c++)
		ck_assert_int_eq(info->y[0].class_counts[c], 50);
	fill_all(d, x);
	for (int i = 0; i < 600; i++)
		sum[i % 4] += (double)x[i];
	ck_assert_double_eq_tol(sum[0], 876.5, 1e-3);
	ck_assert_double_eq_tol(sum[1], 458.6, 1e-3);
	ck_assert_double_eq_tol(sum[2], 563.7, 1e-3);
	ck_assert_double_eq_tol(sum[3], 179.9, 1e-3);
	ck_assert(x[0] == 5.1f && x[599] == 1.8f);
	pare_data_free(d);
	drop(f.bytes);
}
END_TEST

START_TEST(numpy_types_and_byte_orders)
{
	static const char *const names[] = {"little_f4", "little_f8", "little_u1", "little_i1", "little_u2", "little_i2",
	    "little_u4", "little_i4", "little_u8", "little_i8",
	    "big_f4", "big_f8", "big_u2", "big_i2", "big_u4", "big_i4", "big_u8", "big_i8", "little_b1"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char path[64];
		struct pare_data_file f = {.name = "data.npz"};
		struct pare_dataset *d;
		float x[24];

		snprintf(path, sizeof path, "tests/data/type_%s.npz", names[i]);
		f.bytes = slurp(path);
		ck_assert_msg(f.bytes.data != NULL, "%s is missing", path);
		d = must_open(&f, 1, NULL);
		ck_assert_str_eq(pare_data_info(d)->format, "npz");
		ck_assert_int_eq(pare_data_info(d)->y[0].n_classes, 3);
		ck_assert_int_eq(pare_data_normalize(d, 0, PARE_NORM_NONE, NULL), PARE_OK);
		fill_all(d, x);
		for (int j = 0; j < 24; j++)
			ck_assert_msg(x[j] == (float)(strstr(path, "b1") != NULL ? j % 2 : j), "%s: x[%d] is %g", path, j, (double)x[j]);
		pare_data_free(d);
		drop(f.bytes);
	}
}
END_TEST

START_TEST(npy_orders_agree)
{
	static const char *const names[] = {"tests/data/x_c_f4.npy", "tests/data/x_fortran_f4.npy", "tests/data/x_fortran_big_f8.npy"};
	static const uint8_t y[] = "\x93NUMPY\x01\x00\x38\x00{'descr': '|u1', 'fortran_order': False, 'shape': (6,)}\n\x00\x01\x02\x00\x01\x02";

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct pare_data_file f[] = {{"x.npy", slurp(names[i])}, {"y.npy", {y, sizeof y - 1}}};
		struct pare_dataset *d = must_open(f, 2, NULL);
		float x[24];

		ck_assert_str_eq(pare_data_info(d)->format, "npy");
		fill_all(d, x);
		for (int j = 0; j < 24; j++)
			ck_assert_msg(x[j] == (float)j / 4, "%s: x[%d] is %g", names[i], j, (double)x[j]);
		pare_data_free(d);
		drop(f[0].bytes);
	}
}
END_TEST

START_TEST(npz_stored_and_deflated_agree)
{
	static const char *const names[] = {"tests/data/stored.npz", "tests/data/deflated.npz", "tests/data/streamed.npz"};

	for (size_t i = 0; i < 3; i++) {
		struct pare_data_file f = {"d.npz", slurp(names[i])};
		struct pare_dataset *d = must_open(&f, 1, NULL);
		float x[36];

		ck_assert_int_eq(pare_data_info(d)->n_given[PARE_SPLIT_TRAIN], 6);
		ck_assert_int_eq(pare_data_info(d)->n_given[PARE_SPLIT_TEST], 3);
		fill_all(d, x);
		ck_assert(x[23] == 5.75f && x[24] == 100.0f && x[35] == 102.75f);
		ck_assert_int_eq(class_at(d, 8), 2);
		pare_data_free(d);
		drop(f.bytes);
	}
}
END_TEST

START_TEST(npz_images_and_targets)
{
	struct pare_data_file f = {"i.npz", slurp("tests/data/images.npz")};
	struct pare_dataset *d = must_open(&f, 1, NULL);
	float t[2];
	uint32_t row = 5;

	ck_assert_int_eq(pare_data_info(d)->x[0].n_dims, 2);
	ck_assert_uint_eq(pare_data_info(d)->x[0].row_elems, 25);
	ck_assert_int_eq(pare_data_info(d)->y[0].n_classes, 4);
	pare_data_free(d);
	drop(f.bytes);
	f.bytes = slurp("tests/data/regress.npz");
	d = must_open(&f, 1, NULL);
	ck_assert_int_eq(pare_data_info(d)->y[0].task, PARE_TASK_REGRESS);
	ck_assert_uint_eq(pare_data_info(d)->y[0].n_targets, 2);
	ck_assert_int_eq(pare_data_info(d)->y[0].n_classes, 0);
	pare_data_targets(d, 0, &row, 1, t);
	ck_assert_float_eq_tol(t[0], 22.0f, 1e-6f);
	ck_assert_float_eq_tol(t[1], 0.5f, 1e-6f);
	pare_data_free(d);
	drop(f.bytes);
}
END_TEST

START_TEST(csv_quotes_crlf_mark_blank_lines)
{
	struct pare_dataset *d = open_csv("\xef\xbb\xbf\"a\",\"b \"\"x\"\"\",class\r\n\r\n 1.5 ,-2e3,\"big, red\"\r\n\r\n\"3\",+4,\"say \"\"hi\"\"\"\r\n5,6,\"big, red\"");
	const struct pare_data_info *info = pare_data_info(d);
	float x[6];

	ck_assert_int_eq(info->n_rows, 3);
	ck_assert_int_eq(info->y[0].n_classes, 2);
	ck_assert_str_eq(info->y[0].class_names[0], "big, red");
	ck_assert_str_eq(info->y[0].class_names[1], "say \"hi\"");
	fill_all(d, x);
	ck_assert(x[0] == 1.5f && x[1] == -2000.0f && x[2] == 3.0f && x[3] == 4.0f && x[5] == 6.0f);
	ck_assert_int_eq(class_at(d, 1), 1);
	pare_data_free(d);
}
END_TEST

/* The first line says what stands between fields: a comma wherever there is one outside of quotes. */
START_TEST(csv_separators)
{
	static const char *const same[] = {"a,b,class\n1.5,2,\"x;y\"\n3,4,z\n", "\"a, b\";c;class\n1.5;2;\"x;y\"\n3 ; 4;z\n", "\r\n\na\tb\tclass\n1.5\t2\tx;y\n3\t 4\tz\n"};

	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
		struct pare_dataset *d = open_csv(same[i]);
		float x[4];

		ck_assert_int_eq(pare_data_info(d)->n_rows, 2);
		ck_assert_str_eq(pare_data_info(d)->y[0].class_names[0], "x;y");
		ck_assert_str_eq(pare_data_info(d)->y[0].class_names[1], "z");
		fill_all(d, x);
		ck_assert(x[0] == 1.5f && x[1] == 2.0f && x[2] == 3.0f && x[3] == 4.0f);
		pare_data_free(d);
	}
}
END_TEST

START_TEST(csv_without_header)
{
	struct pare_dataset *d = open_csv("1,2,0\n3,4,1\n");

	ck_assert_int_eq(pare_data_info(d)->n_rows, 2);
	ck_assert_int_eq(pare_data_info(d)->y[0].n_classes, 2);
	pare_data_free(d);
	d = open_csv("a,label\n1,nan\n2,yue\n"); /* languages: among texts it is a text */
	ck_assert_str_eq(pare_data_info(d)->y[0].class_names[0], "nan");
	ck_assert_int_eq(pare_data_info(d)->y[0].n_classes, 2);
	pare_data_free(d);
	d = open_csv("5.1,3.5,Iris-setosa\n4.9,3.0,Iris-virginica\n");
	ck_assert_int_eq(pare_data_info(d)->n_rows, 2);
	ck_assert_str_eq(pare_data_info(d)->y[0].class_names[0], "Iris-setosa");
	pare_data_free(d);
	d = open_csv("0,1,target\n4.9,3.0,1\n");
	ck_assert_int_eq(pare_data_info(d)->n_rows, 1);
	pare_data_free(d);
}
END_TEST

START_TEST(csv_label_columns)
{
	struct pare_data_file f[2] = {{"train.csv", text("red,a,blue,b\n1,10,0,20\n0,30,1,40\n1,50,1,60\n")}, {"test.csv", text("red,a,blue,b\n0,70,0,80\n")}};
	struct pare_data_options opt = {.label = "blue,red"};
	struct pare_dataset *d = must_open(f, 2, &opt);
	const struct pare_data_info *info = pare_data_info(d);
	uint32_t rows[] = {0, 1, 2, 3};
	float x[8], y[8];

	ck_assert(info->n_x == 1 && info->n_y == 1 && info->n_rows == 4);
	ck_assert_int_eq((int)info->y[0].task, PARE_TASK_MULTILABEL);
	ck_assert_uint_eq(info->y[0].n_targets, 2);
	fill_all(d, x);
	ck_assert(x[0] == 10.0f && x[1] == 20.0f && x[5] == 60.0f && x[6] == 70.0f);
	pare_data_targets(d, 0, rows, 4, y);
	ck_assert(y[0] == 0.0f && y[1] == 1.0f && y[2] == 1.0f && y[3] == 0.0f && y[4] == 1.0f && y[5] == 1.0f && y[6] == 0.0f && y[7] == 0.0f);
	pare_data_free(d);
	f[0] = (struct pare_data_file){"t.csv", text("1.5,2,3,4\n5,6,7.25,8\n")}; /* numbers to be foretold; columns without names */
	opt.label = "4,1";
	d = must_open(f, 1, &opt);
	ck_assert_int_eq((int)pare_data_info(d)->y[0].task, PARE_TASK_REGRESS);
	pare_data_targets(d, 0, rows, 2, y);
	ck_assert(y[0] == 4.0f && y[1] == 1.5f && y[2] == 8.0f && y[3] == 5.0f);
	pare_data_free(d);
}
END_TEST

static const struct {
	const char *text, *label, *says;
} label_table[] = {
    {"a,b,c\n1,2,3\n", "b,d", "there is no column \"d\" for the label; the columns are a, b, c"},
    {"a,b,c\n1,2,3\n", "b,", "there is no column \"\""},
    {"a,b,c\n1,2,3\n", "b,c,b", "\"b\" is named twice"},
    {"a,b\n1,2\n", "b,a", "all 2 columns are labels"},
    {"a,b,c\n1,2,3\n1,,3\n", "b,c", "line 3, column 2: the label is empty"},
    {"a,b,c\n1,2,3\n1,red,3\n", "b,c", "line 3, column 2 (b): \"red\" is not a number"},
};

START_TEST(csv_wrong_label_columns)
{
	for (size_t i = 0; i < sizeof label_table / sizeof *label_table; i++) {
		struct pare_data_file f = {"t.csv", text(label_table[i].text)};
		struct pare_data_options opt = {.label = label_table[i].label};

		must_refuse(&f, 1, &opt, PARE_E_DATASET, label_table[i].says);
	}
}
END_TEST

START_TEST(csv_label_column)
{
	struct pare_data_file f = {"t.csv", text("kind,a,b\n2,10,20\n0,30,40\n")};
	struct pare_data_options opt = {.label = "kind"};
	struct pare_dataset *d = must_open(&f, 1, &opt);
	float x[4];

	fill_all(d, x);
	ck_assert(x[0] == 10.0f && x[1] == 20.0f && x[2] == 30.0f);
	ck_assert_int_eq(class_at(d, 0), 2);
	pare_data_free(d);
	f.bytes = text("Label,a\n1,10\n0,30\n"); /* found by its usual name, in any case */
	d = must_open(&f, 1, NULL);
	fill_all(d, x);
	ck_assert(x[0] == 10.0f && x[1] == 30.0f);
	pare_data_free(d);
	f.bytes = text("7,1,2\n8,0,3\n"); /* no header: columns are called 1, 2, 3 */
	opt.label = "2";
	d = must_open(&f, 1, &opt);
	ck_assert_int_eq(class_at(d, 0), 1);
	pare_data_free(d);
}
END_TEST

START_TEST(csv_task_follows_labels)
{
	static const struct {
		const char *csv;
		enum pare_task task;
	} cases[] = {
	    {"a,y\n1,0\n2,1\n", PARE_TASK_CLASSIFY},
	    {"a,y\n1,0.5\n2,1\n", PARE_TASK_REGRESS},
	    {"a,y\n1,1.0\n2,2.0\n", PARE_TASK_CLASSIFY},
	    {"a,y\n1,-1.0\n2,2.5\n", PARE_TASK_REGRESS},
	    {"a,y\n1,70000.0\n2,2.0\n", PARE_TASK_REGRESS},
	    {"a,y\n1,no\n2,1\n", PARE_TASK_CLASSIFY},
	};
	struct pare_data_options opt = {.task = PARE_TASK_REGRESS, .task_given = true};
	struct pare_data_file f = {"t.csv", text("a,y\n1,-3\n2,7\n")};
	struct pare_dataset *d;
	float t;
	uint32_t row = 0;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		d = open_csv(cases[i].csv);
		ck_assert_msg(pare_data_info(d)->y[0].task == cases[i].task, "%s", cases[i].csv);
		pare_data_free(d);
	}
	d = must_open(&f, 1, &opt);
	ck_assert_uint_eq(pare_data_info(d)->y[0].n_targets, 1);
	pare_data_targets(d, 0, &row, 1, &t);
	ck_assert(t == -3.0f);
	pare_data_free(d);
}
END_TEST

START_TEST(csv_train_and_test_share_classes)
{
	struct pare_data_file f[] = {{"test.csv", text("a,y\n9,b\n")}, {"train.csv", text("a,y\n1,c\n2,a\n")}};
	struct pare_dataset *d = must_open(f, 2, NULL);

	ck_assert_int_eq(pare_data_info(d)->y[0].n_classes, 3);
	ck_assert_int_eq(pare_data_info(d)->n_given[PARE_SPLIT_TEST], 1);
	ck_assert_int_eq(class_at(d, 0), 2);
	ck_assert_int_eq(class_at(d, 2), 1);
	pare_data_free(d);
}
END_TEST

START_TEST(csv_numbers_are_read_exactly)
{
	static const char *const numbers[] = {"0.1", "-0.3", "123456789012345", "0.000000000000001", "3.14159265358979", "1e-3",
	    "16777217", "0.30000001192092896", "-.5", "5.", "00012.50"};
	char csv[128];
	float x;

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		struct pare_dataset *d;

		snprintf(csv, sizeof csv, "a,y\n%s,1\n", numbers[i]);
		d = open_csv(csv);
		fill_all(d, &x);
		ck_assert_msg(x == (float)strtod(numbers[i], NULL), "%s", numbers[i]);
		pare_data_free(d);
	}
}
END_TEST

static void mnist_path(const char *name, char *out, size_t n)
{
	const char *dir = getenv("PARED_MNIST_DIR"), *home = getenv("HOME");

	if (dir != NULL)
		snprintf(out, n, "%s/%s", dir, name);
	else
		snprintf(out, n, "%s/.cache/pared/mnist/%s", home != NULL ? home : "", name);
}

static void check_mnist(const struct pare_dataset *d)
{
	static const int64_t counts[] = {6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958};
	const struct pare_data_info *info = pare_data_info(d);
	static float x[784];
	uint32_t row = 0;
	double sum = 0;

	ck_assert_int_eq(info->n_rows, 70000);
	ck_assert_int_eq(info->n_given[PARE_SPLIT_TRAIN], 60000);
	ck_assert_int_eq(info->n_given[PARE_SPLIT_TEST], 10000);
	ck_assert_int_eq(info->x[0].dims[0], 28);
	ck_assert_int_eq(info->x[0].dims[1], 28);
	ck_assert_int_eq(info->y[0].n_classes, 10);
	for (int c = 0; c < 10; c++)
		ck_assert_int_eq(info->y[0].class_counts[c], counts[c]);
	ck_assert_int_eq(class_at(d, 0), 5);
	ck_assert_int_eq(class_at(d, 60000), 7);
	pare_data_fill(d, 0, &row, 1, x);
	for (int i = 0; i < 784; i++)
		sum += (double)x[i] * 255;
	ck_assert_double_eq_tol(sum, 27525, 0.01); /* the sum of the first picture's bytes */
}

START_TEST(mnist_plain_and_gzipped)
{
	static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
	    "t10k-labels-idx1-ubyte"};
	struct pare_data_file f[4], z[4];
	struct pare_dataset *plain, *zipped;
	static float a[784 * 64], b[784 * 64];
	uint32_t rows[64];
	char path[512];

	for (int i = 0; i < 4; i++) {
		mnist_path(names[i], path, sizeof path);
		f[i] = (struct pare_data_file){names[i], slurp(path)};
		if (f[i].bytes.data == NULL)
			return; /* not fetched on this machine */
		z[i] = (struct pare_data_file){names[i], gzip(f[i].bytes)};
	}
	plain = must_open(f, 4, NULL);
	zipped = must_open(z, 4, NULL);
	check_mnist(plain);
	check_mnist(zipped);
	for (uint32_t i = 0; i < 64; i++)
		rows[i] = i * 1093;
	pare_data_fill(plain, 0, rows, 64, a);
	pare_data_fill(zipped, 0, rows, 64, b);
	ck_assert(memcmp(a, b, sizeof a) == 0);
	pare_data_free(plain);
	pare_data_free(zipped);
	for (int i = 0; i < 4; i++) {
		drop(f[i].bytes);
		drop(z[i].bytes);
	}
}
END_TEST

PROGRAM("core/data/open", idx_pair_without_roles, gzip_is_told_by_bytes_and_may_have_members, names_give_roles, val_is_validation,
    idx_types, iris, numpy_types_and_byte_orders,
    npy_orders_agree, npz_stored_and_deflated_agree, npz_images_and_targets, csv_quotes_crlf_mark_blank_lines, csv_separators, csv_without_header,
    csv_label_column, csv_label_columns, csv_wrong_label_columns, csv_task_follows_labels,
    csv_train_and_test_share_classes, csv_numbers_are_read_exactly, mnist_plain_and_gzipped)
