/* scikit-learn's linear models (tests/golden/sklearn_linear.py) become products when they are opened: with weights to train and prune, and ONNX Runtime's numbers.
 * Its nets ("units") are products as they come. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "tests/support/net_check.h"

#define ROOT "tests/golden/sklearn/"
#define ROWS 5
#define FEATURES 4
#define MAX_FILE 65536

static size_t load(const char *name, const char *suffix, void *out)
{
	char path[100];
	FILE *fp;
	size_t n;

	(void)snprintf(path, sizeof path, ROOT "%s.%s", name, suffix);
	fp = fopen(path, "rb");
	ck_assert_msg(fp != NULL, "%s", path);
	n = fread(out, 1, MAX_FILE, fp);
	(void)fclose(fp);
	return n;
}

static void check_numbers(const char *name, const struct pare_model *m, const float *numbers, size_t n_numbers)
{
	const struct pare_net_options opt = {.n_threads = 2, .max_batch = ROWS, .training = true};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	size_t at = ROWS * FEATURES;
	int64_t dims[PARE_MAX_DIMS];
	bool any = false;
	int n_dims;

	ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s: %s: %s", name, err.where, err.message);
	ck_assert_int_eq(pare_net_n_shards(net), 2);
	nc_forward(net, &numbers, ROWS, PARE_MODE_INFER, 0);
	for (int i = 0; i < pare_net_n_outputs(net); i++) {
		size_t n = pare_net_output_shape(net, i, &n_dims, dims);
		float got[ROWS * 8];

		if (n == 0) /* labels that are texts */
			continue;
		ck_assert(n <= 8 && at + ROWS * n <= n_numbers);
		ck_assert_uint_eq(nc_output(net, i, ROWS, got), ROWS * n);
		for (size_t k = 0; k < ROWS * n; k++)
			ck_assert_msg(fabsf(got[k] - numbers[at + k]) <= 1e-5f * fmaxf(1, fabsf(numbers[at + k])), "%s: output %d[%zu] is %g, not %g", name, i, k, (double)got[k], (double)numbers[at + k]);
		at += ROWS * n;
	}
	ck_assert_uint_eq(at, n_numbers);
	for (int i = 0; i < pare_net_n_params(net); i++)
		any |= pare_net_param(net, i)->prunable;
	ck_assert(any);
	pare_net_free(net);
}

static const struct {
	const char *name;
	int64_t n_weights;
} model_table[] = {{"classes", 12}, {"names", 12}, {"two", 8}, {"margins", 12}, {"one_target", 4}, {"targets", 12}, {"texts", 12}, {"columns", 3}, {"units", 4 * 8 + 8 + 8 * 6 + 6 + 6 * 3 + 3}};

START_TEST(linear_models_become_products)
{
	static uint8_t file[MAX_FILE];
	static float numbers[MAX_FILE / sizeof(float)];
	const char *name = model_table[_i].name;
	size_t len = load(name, "onnx", file), n_numbers = load(name, "f32", numbers) / sizeof(float);
	struct pare_model *m = NULL, *again = NULL;
	struct pare_buf own, written;
	struct pare_model_counts c;
	struct pare_err err = {0};

	ck_assert_int_eq(pare_onnx_open((struct pare_span){file, len}, NULL, 0, &own, &m, &err), PARE_OK);
	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_weights, model_table[_i].n_weights);
	check_numbers(name, m, numbers, n_numbers);
	pare_buf_init(&written, MAX_FILE);
	ck_assert_int_eq(pare_onnx_write(m, &written, &err), PARE_OK);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)written.data, written.len}, &again, &err), PARE_OK);
	check_numbers(name, again, numbers, n_numbers);
	pare_model_free(again);
	pare_model_free(m);
	pare_buf_done(&written);
	pare_buf_done(&own);
}
END_TEST

/* A table's texts are numbered in sorted order, and so must the model's be. */
START_TEST(texts_out_of_order_stay)
{
	static uint8_t file[MAX_FILE];
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	struct pare_model *m = NULL;
	struct pare_net *net = NULL;
	struct pare_buf own;
	struct pare_err err = {0};
	size_t len = load("texts", "onnx", file);
	uint8_t *labels = memmem(file, len, "\x4a\x01" "a\x4a\x01" "b", 6);

	ck_assert_ptr_nonnull(labels);
	labels[2] = 'z';
	ck_assert_int_eq(pare_onnx_open((struct pare_span){file, len}, NULL, 0, &own, &m, &err), PARE_OK);
	ck_assert_uint_eq(own.len, 0);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_E_UNSUPPORTED_OP);
	ck_assert_ptr_nonnull(strstr(err.message, "LinearClassifier"));
	pare_model_free(m);
	pare_buf_done(&own);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("linear models");
	TCase *t = tcase_create("linear models");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, linear_models_become_products, 0, (int)(sizeof model_table / sizeof *model_table));
	tcase_add_test(t, texts_out_of_order_stay);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
