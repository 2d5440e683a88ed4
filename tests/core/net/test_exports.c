/* Small graphs as PyTorch's two exporters write them with an open batch, in several opsets, against ONNX Runtime's numbers
 * (tests/golden/exports.py). What they compute with shapes (Shape, Gather, Concat, Reshape, ConstantOfShape, Range, Where,
 * Slice) must be static here: nothing of it may be left to run, rows of the batch must go their own ways, and every batch
 * size gives the right numbers. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/onnx/onnx.h"
#include "tests/support/net_check.h"
#include "tests/support/open_no_memory.h"

#define ROOT "tests/golden/exports"
#define ROWS 3
#define MAX_FILE (1 << 20)

struct file {
	uint8_t *data;
	size_t len;
};

static struct file load(const char *name, const char *suffix)
{
	struct file f = {.data = malloc(MAX_FILE)};
	char path[400];
	FILE *fp;

	(void)snprintf(path, sizeof path, ROOT "/%s.%s", name, suffix);
	fp = fopen(path, "rb");
	ck_assert_msg(fp != NULL && f.data != NULL, "%s", path);
	f.len = fread(f.data, 1, MAX_FILE, fp);
	ck_assert_uint_lt(f.len, MAX_FILE);
	(void)fclose(fp);
	return f;
}

/* Nothing that only finds shapes may run. */
static void check_static(const char *name, const struct pare_net *net)
{
	static const char *const idle_table[] = {"Shape", "Size", "ConstantOfShape", "Range", "Constant"};

	for (int i = 0; i < net->n_nodes; i++)
		for (size_t k = 0; k < sizeof idle_table / sizeof idle_table[0]; k++)
			ck_assert_msg(net->nodes[i].constant || strcmp(net->nodes[i].op->name, idle_table[k]) != 0, "%s: %s runs", name, net->nodes[i].where);
}

/* An assignment to a part of each row, which this exporter writes as one by row numbers. When a file is opened, it becomes slices. */
static bool counts_rows(const char *name)
{
	return strncmp(name, "sliceset_script", 15) == 0 || strncmp(name, "assigned_script", 15) == 0 || strncmp(name, "placed_script", 13) == 0;
}

/* Recurrent layers begin with a state of zeros for every row, which is made as they run; so are numbers of rows by which a row finds its own. */
static bool has_states(const char *name)
{
	return strncmp(name, "time_gru", 8) == 0 || strncmp(name, "time_lstm", 9) == 0 || strncmp(name, "picked", 6) == 0 || strncmp(name, "pooled", 6) == 0;
}

static void check_net(const char *name, const struct pare_model *m, const float *numbers, size_t n_numbers, int64_t rows, bool training, bool opened)
{
	const struct pare_net_options opt = {.n_threads = ROWS, .max_batch = ROWS, .training = training, .seed = 7};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	int64_t dims[PARE_MAX_DIMS];
	size_t at;
	int n_dims;

	ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s: %s: %s", name, err.where, err.message);
	ck_assert_msg(pare_net_n_shards(net) == (counts_rows(name) && !opened ? 1 : ROWS), "%s: %d shards", name, pare_net_n_shards(net));
	if (!counts_rows(name) && !has_states(name))
		check_static(name, net);
	nc_forward(net, &numbers, rows, PARE_MODE_INFER, 0);
	at = ROWS * pare_net_input_shape(net, 0, &n_dims, dims);
	for (int i = 0; i < pare_net_n_outputs(net); i++) {
		size_t n = pare_net_output_shape(net, i, &n_dims, dims);
		float *got = malloc((size_t)ROWS * n * sizeof *got);

		ck_assert(got != NULL && at + ROWS * n <= n_numbers);
		ck_assert_msg(dims[0] == PARE_DIM_UNKNOWN, "%s: output %d without the batch", name, i);
		ck_assert_uint_eq(nc_output(net, i, rows, got), (size_t)rows * n);
		for (size_t k = 0; k < (size_t)rows * n; k++)
			ck_assert_msg(fabsf(got[k] - numbers[at + k]) <= 2e-5f * fmaxf(1, fabsf(numbers[at + k])), "%s: output %d[%zu] is %.9g, want %.9g", name, i, k,
			    (double)got[k], (double)numbers[at + k]);
		at += ROWS * n;
		free(got);
	}
	ck_assert_msg(at == n_numbers, "%s: %zu numbers, not %zu", name, at, n_numbers);
	/* Gradients find their way through turned inputs and outputs. Long steps cross the corners of Relu, short ones round. */
	if (training && strncmp(name, "time_", 5) == 0)
		ck_assert_msg(fmin(nc_gradient_error(net, &numbers, rows, PARE_MODE_TRAIN, 1e-2), nc_gradient_error(net, &numbers, rows, PARE_MODE_TRAIN, 1e-3)) < 6e-3, "%s: gradients", name);
	pare_net_free(net);
}

static void check_export(const char *name)
{
	struct file model = load(name, "onnx"), numbers = load(name, "f32");
	float *v = malloc(numbers.len + 1);
	struct pare_model *m = NULL, *o = NULL;
	struct pare_buf own;
	struct pare_err err = {0};

	ck_assert_ptr_nonnull(v);
	memcpy(v, numbers.data, numbers.len);
	ck_assert_msg(pare_onnx_read((struct pare_span){model.data, model.len}, &m, &err) == PARE_OK, "%s: %s", name, err.message);
	check_net(name, m, v, numbers.len / sizeof *v, ROWS, false, false);
	check_net(name, m, v, numbers.len / sizeof *v, ROWS - 1, true, false);
	ck_assert_msg(pare_onnx_open((struct pare_span){model.data, model.len}, NULL, 0, &own, &o, &err) == PARE_OK, "%s: %s", name, err.message);
	check_net(name, o, v, numbers.len / sizeof *v, ROWS, true, true);
	pare_model_free(o);
	pare_buf_done(&own);
	if (counts_rows(name))
		open_no_memory((struct pare_span){model.data, model.len});
	pare_model_free(m);
	free(v);
	free(model.data);
	free(numbers.data);
}

static int is_model(const struct dirent *d)
{
	return strstr(d->d_name, ".onnx") != NULL;
}

START_TEST(exports)
{
	struct dirent **list;
	int n = scandir(ROOT, &list, is_model, alphasort);

	ck_assert_msg(n > 20, ROOT " has %d models", n);
	for (int i = 0; i < n; i++) {
		*strstr(list[i]->d_name, ".onnx") = '\0';
		check_export(list[i]->d_name);
		free(list[i]);
	}
	free(list);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("exports");
	TCase *t = tcase_create("static shapes");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, exports);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
