/* Loops that are recurrent layers (Keras' own exports, tests/golden/keras_loops.py) become GRU and RNN when they are opened: ONNX Runtime's numbers for the file as it
 * came, weights to train, units to prune. Other Loops stay what they are. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/net_check.h"

#define ROOT "tests/golden/keras/"
#define ROWS 4
#define STEPS 6
#define FEATURES 3
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
	const struct pare_input_shape shape = {.name = m->graph.values[m->graph.inputs[0]].name, .n_dims = 2, .dims = {STEPS, FEATURES}};
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = ROWS, .training = true, .shapes = &shape, .n_shapes = 1};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	const size_t at = ROWS * STEPS * FEATURES;
	float got[ROWS * STEPS * 2];

	ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s: %s: %s", name, err.where, err.message);
	nc_forward(net, &numbers, ROWS, PARE_MODE_INFER, 0);
	ck_assert_uint_eq(nc_output(net, 0, ROWS, got), n_numbers - at);
	for (size_t i = 0; i < n_numbers - at; i++)
		ck_assert_msg(fabsf(got[i] - numbers[at + i]) <= 1e-5f, "%s: output %zu is %g, not %g", name, i, (double)got[i], (double)numbers[at + i]);
	pare_net_free(net);
}

static int count_ops(const struct pare_model *m, const char *op)
{
	int n = 0;

	for (int32_t i = 0; i < m->graph.n_nodes; i++)
		n += strcmp(m->graph.nodes[i].op_type, op) == 0;
	return n;
}

/* Weights by ONNX's count: gates times (features + units), and 2 for every unit that the last layer reads. */
static const struct {
	const char *name, *op;
	int n;
	int64_t n_weights;
} layer_table[] = {
    {"gru", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
    {"gru_before", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
    {"gru_no_bias", "GRU", 1, 3 * 5 * (3 + 5) + 10},
    {"gru_relu", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
    {"gru_stacked", "GRU", 2, 3 * 5 * (3 + 5) + 30 + 3 * 4 * (5 + 4) + 24 + 8},
    {"gru_backwards", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
    {"gru_state", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 15 + 10},
    {"gru_both", "GRU", 2, 2 * (3 * 5 * (3 + 5) + 30) + 20},
    {"rnn", "RNN", 1, 5 * (3 + 5) + 10 + 10},
    {"rnn_relu", "RNN", 1, 5 * (3 + 5) + 10 + 10},
    {"gru_open", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
};

START_TEST(loops_become_layers)
{
	static uint8_t file[MAX_FILE];
	static float numbers[MAX_FILE / sizeof(float)];
	const char *name = layer_table[_i].name;
	size_t len = load(name, "onnx", file), n_numbers = load(name, "f32", numbers) / sizeof(float);
	struct pare_model *m = NULL, *again = NULL;
	struct pare_buf own, written;
	struct pare_model_counts c;
	struct pare_err err = {0};

	ck_assert_int_eq(pare_onnx_open((struct pare_span){file, len}, &own, &m, &err), PARE_OK);
	ck_assert_int_eq(count_ops(m, "Loop"), 0);
	ck_assert_int_eq(count_ops(m, layer_table[_i].op), layer_table[_i].n);
	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_weights, layer_table[_i].n_weights);
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

/* Opens a file in which every occurrence of a text was replaced by another of the same length. */
static int loops_after(const char *name, const char *from, const void *to, size_t n)
{
	static uint8_t file[MAX_FILE];
	size_t len = load(name, "onnx", file), n_changed = 0;
	struct pare_model *m = NULL;
	struct pare_buf own;
	struct pare_err err = {0};
	int n_loops;

	for (size_t i = 0; from != NULL && i + n <= len; i++)
		if (memcmp(file + i, from, n) == 0) {
			memcpy(file + i, to, n);
			n_changed++;
		}
	ck_assert(from == NULL || n_changed > 0);
	ck_assert_int_eq(pare_onnx_open((struct pare_span){file, len}, &own, &m, &err), PARE_OK);
	n_loops = count_ops(m, "Loop");
	pare_model_free(m);
	pare_buf_done(&own);
	return n_loops;
}

/* Every one of these bodies computes something else than the cell that it resembles. */
static const struct {
	const char *name, *from, *to;
} other_table[] = {
    {"masked", NULL, NULL},                /* rows stop at their own steps */
    {"linear", NULL, NULL},                /* no activation that a GRU has by name */
    {"gru", "\x04Tanh", "\x04Sinh"},       /* no cell */
    {"gru", "\"\x04Less", "\"\x04Loss"},   /* not all steps, perhaps */
    {"gru", "\"\x03Sub", "\"\x03""Add"},   /* 1 + z */
    {"rnn", "\"\x04Tanh", "\"\x04""Atan"},
};

START_TEST(other_loops_stay)
{
	const char *from = other_table[_i].from;

	ck_assert_int_eq(loops_after(other_table[_i].name, from, other_table[_i].to, from != NULL ? strlen(from) : 0), 1);
}
END_TEST

START_TEST(other_loops_are_refused_by_name)
{
	static uint8_t file[MAX_FILE];
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	struct pare_model *m = NULL;
	struct pare_net *net = NULL;
	struct pare_buf own;
	struct pare_err err = {0};
	size_t len = load("masked", "onnx", file);

	ck_assert_int_eq(pare_onnx_open((struct pare_span){file, len}, &own, &m, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_E_UNSUPPORTED_OP);
	ck_assert_ptr_nonnull(strstr(err.message, "Loop"));
	pare_model_free(m);
	pare_buf_done(&own);
}
END_TEST

/* Any byte changed: an error or a model, never a crash. */
START_TEST(damaged_loops_are_harmless)
{
	static uint8_t file[MAX_FILE], bad[MAX_FILE];
	size_t len = load("gru", "onnx", file);

	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit += 3) {
			struct pare_model *m = NULL;
			struct pare_buf own;
			struct pare_err err = {0};

			memcpy(bad, file, len);
			bad[i] = (uint8_t)(bad[i] ^ (1u << bit));
			if (pare_onnx_open((struct pare_span){bad, len}, &own, &m, &err) == PARE_OK)
				pare_model_free(m);
			pare_buf_done(&own);
		}
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
	static uint8_t file[MAX_FILE];
	size_t len = load("gru_state", "onnx", file);
	struct pare_err err = {0};
	long n;

	for (long nth = 0, end = 1; nth <= end; nth++) {
		struct pare_model *m = NULL;
		struct pare_buf own;
		enum pare_code code;

		fail_alloc_install(nth);
		code = pare_onnx_open((struct pare_span){file, len}, &own, &m, &err);
		n = fail_alloc_count();
		if (code == PARE_OK)
			pare_model_free(m);
		pare_buf_done(&own);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
		ck_assert_int_eq(code, nth == 0 ? PARE_OK : PARE_E_NOMEM);
		if (nth == 0)
			end = n;
	}
	ck_assert_int_gt(n, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recurrent loops");
	TCase *t = tcase_create("recurrent loops");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, loops_become_layers, 0, (int)(sizeof layer_table / sizeof *layer_table));
	tcase_add_loop_test(t, other_loops_stay, 0, (int)(sizeof other_table / sizeof *other_table));
	tcase_add_test(t, other_loops_are_refused_by_name);
	tcase_add_test(t, damaged_loops_are_harmless);
	tcase_add_test(t, memory_may_end_anywhere);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
