/* Loops that are recurrent layers (Keras' own exports, tests/golden/keras_loops.py) become GRU and RNN when they are opened: ONNX Runtime's numbers for the file as it
 * came, weights to train, units to prune. Other Loops stay what they are. */
#include "tests/support/fail_alloc.h"
#include "tests/support/lifted.h"

#define ROOT "tests/golden/keras/"
#define STEPS 6
#define FEATURES 3

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

static void check_layers(const struct pare_model *m, int row)
{
	struct pare_model_counts c;
	struct pare_err err = {0};

	ck_assert_int_eq(lifted_count(m, layer_table[row].op), layer_table[row].n);
	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_weights, layer_table[row].n_weights);
}

START_TEST(loops_become_layers)
{
	static struct lifted l = {.n_in = LIFTED_ROWS * STEPS * FEATURES, .shape = {.n_dims = 2, .dims = {STEPS, FEATURES}}};

	lifted_check(&l, ROOT, layer_table[_i].name, "Loop", 0, check_layers, _i);
}
END_TEST

/* Opens a file in which every occurrence of a text was replaced by another of the same length. */
static int loops_after(const char *name, const char *from, const void *to, size_t n)
{
	static uint8_t file[LIFTED_MAX];
	size_t len = lifted_load(ROOT, name, "onnx", file), n_changed = 0;
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
	n_loops = lifted_count(m, "Loop");
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
	static uint8_t file[LIFTED_MAX];
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	struct pare_model *m = NULL;
	struct pare_net *net = NULL;
	struct pare_buf own;
	struct pare_err err = {0};
	size_t len = lifted_load(ROOT, "masked", "onnx", file);

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
	static uint8_t file[LIFTED_MAX], bad[LIFTED_MAX];
	size_t len = lifted_load(ROOT, "gru", "onnx", file);

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
	static uint8_t file[LIFTED_MAX];
	size_t len = lifted_load(ROOT, "gru_state", "onnx", file);
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
