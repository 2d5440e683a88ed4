/* What a job says about its data, through a worker process: several inputs and outputs, labels by position, data that are
 * decoded into a file of the host's, memory. */
#include <zlib.h>

#include "tests/core/job/job_support.h"
#include "tests/support/npy.h"

#define HEAD "{\"model\":\"m\",\"dataset\":\"d\","
#define MODEL "tests/data/onnx/multi.onnx"

static struct rig r;

static void setup(void)
{
	rig_init(&r);
}

static void teardown(void)
{
	rig_done(&r);
}

static void add(const char *name, const char *descr, const char *shape, const void *v, size_t n)
{
	struct pare_data_file f = npy(name, descr, shape, v, n);

	rig_input(&r, "data", name, f.bytes.data, f.bytes.len);
	npy_free(&f, 1);
}

enum { ROWS = 240, T = 4 };

/* A rule that the net can learn: tag = id > 2, kind = how many of them are (at most 2), age = their share. */
static void add_sequences(void)
{
	static int64_t ids[ROWS][T];
	static float mask[ROWS][T], age[ROWS];
	static int32_t kind[ROWS];
	static int16_t tags[ROWS][T];
	uint32_t state = 1;

	for (int i = 0; i < ROWS; i++) {
		int n = 0;

		for (int t = 0; t < T; t++) {
			state = state * 1664525 + 1013904223;
			ids[i][t] = (state >> 16) % 6;
			mask[i][t] = t < 2 + i % 3 ? 1 : 0;
			tags[i][t] = mask[i][t] > 0 ? ids[i][t] > 2 : -100;
			n += mask[i][t] > 0 && ids[i][t] > 2;
		}
		kind[i] = n < 2 ? n : 2;
		age[i] = (float)n / T + 0.001f;
	}
	add("ids.npy", "<i8", "(240, 4)", ids, sizeof ids);
	add("mask.npy", "<f4", "(240, 4)", mask, sizeof mask);
	add("y_age.npy", "<f4", "(240,)", age, sizeof age);
	add("y_kind.npy", "<i4", "(240,)", kind, sizeof kind);
	add("y_tags.npy", "<i2", "(240, 4)", tags, sizeof tags);
}

static enum pare_code go(const char *job)
{
	r.start.kind = "run";
	r.start.job = job;
	rig_file(&r, "model", MODEL);
	return rig_go(&r);
}

START_TEST(inputs_and_outputs)
{
	json_t *v, *outputs, *final;

	add_sequences();
	ck_assert_msg(go(HEAD "\"seed\":3,\"recipe\":{\"steps\":[{\"train\":{\"epochs\":60,\"batch_size\":16,\"optimizer\":{\"name\":\"adam\",\"lr\":0.02},"
	                      "\"losses\":[{\"output\":\"tags\",\"weight\":2}]}}]}}") == PARE_OK,
	    "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	final = json_object_get(v, "final");
	outputs = json_object_get(final, "outputs");
	ck_assert_uint_eq(json_array_size(outputs), 3);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(outputs, 0), "output")), "age");
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(outputs, 2), "task")), "sequence");
	ck_assert_double_gt(rig_num(final, "r2"), 0.9);
	ck_assert_double_gt(rig_num(outputs, "1.accuracy"), 0.85);
	ck_assert_double_eq(rig_num(outputs, "2.accuracy"), 1);
	ck_assert_double_eq(rig_num(outputs, "2.mean_iou"), 1);
	ck_assert_double_lt(rig_num(outputs, "2.positions"), rig_num(outputs, "2.rows") * T);
	ck_assert_double_eq_tol(rig_num(final, "loss"), rig_num(outputs, "0.own_loss") + rig_num(outputs, "1.own_loss") + rig_num(outputs, "2.own_loss"), 1e-9);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(json_object_get(v, "data"), "inputs"), 1), "array")), "mask");
	json_decref(v);
}
END_TEST

static const struct {
	const char *data, *says;
} wrong[] = {
    {"\"targets\":[{\"output\":\"kind\",\"array\":\"tags\"}]", "class"},
    {"\"targets\":[{\"output\":\"kindred\",\"array\":\"kind\"}]", "the model has no output \"kindred\""},
    {"\"targets\":[{\"output\":\"kind\",\"array\":\"sort\"}]", "there is no array \"sort\" of labels; there are \"y_age\", \"y_kind\""},
    {"\"targets\":[{\"output\":\"guess\",\"array\":\"kind\"}]", "output \"guess\" cannot be trained"},
    {"\"inputs\":[{\"input\":\"ids\",\"array\":\"tokens\"}]", "there is no array \"tokens\" of features; there are \"ids\", \"mask\""},
};

START_TEST(wrong_names)
{
	char job[512];

	(void)snprintf(job, sizeof job, HEAD "\"data\":{%s},\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]}}", wrong[_i].data);
	add_sequences();
	ck_assert_int_ne(go(job), PARE_OK);
	ck_assert_msg(strstr(r.err.message, wrong[_i].says) != NULL, "%s", r.err.message);
}
END_TEST

/* The only labels go with the output that they fit, not with the first. */
START_TEST(labels_find_their_output)
{
	static int64_t ids[20][T];
	static float mask[20][T];
	static uint8_t kind[20];
	json_t *v;

	for (int i = 0; i < 20; i++) {
		kind[i] = (uint8_t)(i % 3);
		ids[i][0] = i % 3;
	}
	add("ids.npy", "<i8", "(20, 4)", ids, sizeof ids);
	add("mask.npy", "<f4", "(20, 4)", mask, sizeof mask);
	add("labels.npy", "|u1", "(20,)", kind, sizeof kind);
	ck_assert_msg(go(HEAD "\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]}}") == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(json_object_get(v, "data"), "targets"), 0), "output")), "kind");
	json_decref(v);
}
END_TEST

enum { BIG_ROWS = 180000, BIG = 1000 }; /* 180 MB when unpacked */

static void add_big(void)
{
	size_t n = (size_t)BIG_ROWS * BIG, cap;
	static uint8_t y[BIG_ROWS];
	uint8_t *x = calloc(1, n), *packed;
	struct pare_data_file f;
	z_stream z = {0};

	ck_assert_ptr_nonnull(x);
	for (int i = 0; i < BIG_ROWS; i++) {
		y[i] = (uint8_t)(i % 2);
		for (size_t j = 0; j < BIG; j++)
			x[(size_t)i * BIG + j] = (uint8_t)(y[i] * 200 + (j * 7 + (size_t)i * 13) % 50);
	}
	f = npy("x.npy.gz", "|u1", "(180000, 1000)", x, n);
	cap = n / 2;
	packed = malloc(cap);
	z = (z_stream){.next_in = (Bytef *)(uintptr_t)f.bytes.data, .avail_in = (uInt)f.bytes.len, .next_out = packed, .avail_out = (uInt)cap};
	ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	rig_input(&r, "data", "x.npy.gz", packed, z.total_out);
	npy_free(&f, 1);
	free(packed);
	free(x);
	add("y.npy", "|u1", "(180000,)", y, sizeof y);
}

/* More data than memory, packed, under a limit: they go through a file of the host's, of which nothing is left (rig_done looks). */
START_TEST(packed_data_larger_than_memory)
{
	size_t n;
	char *model = rig_build("{\"input\":[1000],\"layers\":[{\"units\":2}]}", &n);
	json_t *v;

	add_big();
	rig_input(&r, "model", "m", model, n);
	free(model);
	r.start.kind = "run";
	r.start.job = HEAD "\"data\":{\"stream\":\"always\"},\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1,\"optimizer\":{\"name\":\"sgd\",\"lr\":0.001}}}]}}";
	r.start.memory_bytes = (int64_t)96 << 20;
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(v, "final.accuracy"), 1);
	json_decref(v);
}
END_TEST

START_TEST(inspection_of_packed_data)
{
	json_t *v;

	add_big();
	r.start.kind = "inspect-dataset";
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_json(r.result);
	ck_assert_double_eq(rig_num(v, "n_rows"), BIG_ROWS);
	ck_assert_double_eq(rig_num(v, "inputs.0.shape.0"), BIG);
	json_decref(v);
}
END_TEST

/* Every number as its file has it: floats in their own few digits, doubles and wide integers in all of theirs. */
START_TEST(samples_show_what_the_files_hold)
{
	static const char table[] = "a,b,y\n5.1,16777217,0.1\n4.9,3,0.2\n";
	static const double doubles[] = {1700000000.25, 0.1};
	static const int64_t integers[] = {1700000001, -3};
	static const float floats[] = {0.1f, 1e-7f}, targets[] = {0.3f, 2};

	rig_input(&r, "data", "t.csv", table, sizeof table - 1);
	r.start.kind = "sample-dataset";
	r.start.job = "{\"rows\":1}";
	r.start.options = "{\"label\":\"y\",\"task\":\"regress\"}";
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	ck_assert_msg(strstr(r.result, "\"values\":[5.1,16777217]") != NULL && strstr(r.result, "\"values\":[0.1]") != NULL, "%s", r.result);
	rig_forget(&r);
	add("x_wide.npy", "<f8", "(2,)", doubles, sizeof doubles);
	add("x_id.npy", "<i8", "(2,)", integers, sizeof integers);
	add("x_small.npy", "<f4", "(2,)", floats, sizeof floats);
	add("y.npy", "<f4", "(2,)", targets, sizeof targets);
	r.start.kind = "sample-dataset";
	r.start.job = "{\"rows\":2}";
	r.start.options = "{}";
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	for (size_t i = 0; i < 8; i++) {
		static const char *const shown[] = {"[1700000000.25]", "[1700000001]", "[0.1]", "[0.3]", "[0.1]", "[-3]", "[1e-07]", "[2]"};

		ck_assert_msg(strstr(r.result, shown[i]) != NULL, "%s is not in %s", shown[i], r.result);
	}
}
END_TEST

#define TEXTS_RECIPE "\"recipe\":{\"steps\":[{\"train\":{\"epochs\":20,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}%s}},{\"prune\":{\"sparsity\":0.25,\"recover\":{\"epochs\":5}}}]}}"

/* A table whose labels are the last classes of three. */
static enum pare_code go_texts(int first, const char *head, const char *distill)
{
	static char table[65536], job[512];
	size_t n = (size_t)snprintf(table, sizeof table, "a,b,c,d,label\n");

	for (int i = 0; i < 120; i++) {
		int c = first + i % (3 - first);

		n += (size_t)snprintf(table + n, sizeof table - n, "%d.%d,3.%d,%d.%d,%d.%d,%c\n", 5 + c, i % 10, i % 7, 1 + 2 * c, i % 5, c, i % 3, "abc"[c]);
	}
	rig_input(&r, "data", "flowers.csv", table, n);
	r.start.kind = "run";
	n = (size_t)snprintf(job, sizeof job, "%s" TEXTS_RECIPE, head, distill);
	ck_assert_uint_lt(n, sizeof job);
	r.start.job = job;
	rig_file(&r, "model", "tests/golden/sklearn/texts.onnx");
	return rig_go(&r);
}

/* scikit-learn's classifier whose labels are texts: the product still answers with them. */
START_TEST(labels_that_are_texts)
{
	json_t *v;
	char *model;
	size_t n;

	ck_assert_msg(go_texts(0, HEAD, "") == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_double_ge(rig_num(v, "final.accuracy"), 0.9);
	json_decref(v);
	model = rig_output(&r, "model.onnx", &n);
	ck_assert_ptr_nonnull(memmem(model, n, "\x32\x01" "a\x32\x01" "b\x32\x01" "c", 9)); /* string_data */
	free(model);
}
END_TEST

/* A teacher is opened like the model: what stands for a product in its file is one. */
START_TEST(teachers_are_opened_like_models)
{
	rig_file_as(&r, "teacher", "t", "tests/golden/sklearn/texts.onnx");
	ck_assert_msg(go_texts(0, HEAD "\"teacher\":\"t\",", ",\"distill\":{\"teacher\":\"model\"}") == PARE_OK, "%s: %s", r.err.where, r.err.message);
}
END_TEST

START_TEST(texts_that_would_be_numbered_otherwise)
{
	ck_assert_int_eq(go_texts(1, HEAD, ""), PARE_E_LABEL);
	ck_assert_msg(strstr(r.err.message, "\"b\" in the data set and \"a\" in the model") != NULL, "%s", r.err.message);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("core/job/data");
	TCase *t = tcase_create("data");

	if (argc == 2 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, inputs_and_outputs);
	tcase_add_loop_test(t, wrong_names, 0, (int)(sizeof wrong / sizeof wrong[0]));
	tcase_add_test(t, labels_find_their_output);
	tcase_add_test(t, packed_data_larger_than_memory);
	tcase_add_test(t, inspection_of_packed_data);
	tcase_add_test(t, samples_show_what_the_files_hold);
	tcase_add_test(t, labels_that_are_texts);
	tcase_add_test(t, teachers_are_opened_like_models);
	tcase_add_test(t, texts_that_would_be_numbered_otherwise);
	suite_add_tcase(s, t);
	return rig_main(s);
}
