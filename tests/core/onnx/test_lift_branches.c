/* Nodes If whose condition follows from shapes (tests/golden/branches.py) become the branch that is taken when a model is opened: ONNX Runtime's numbers for the file as
 * it came, weights of the branch to train. Other choices stay what they are, and are refused by name. */
#include "tests/support/lifted.h"
#include "tests/support/open_damaged.h"
#include "tests/support/open_no_memory.h"

#define ROOT "tests/golden/branches/"

static const struct {
	const char *name;
	struct pare_row_shape shape;
	int64_t n_weights;
} model_table[] = {
    {"normed", {.n_dims = 3, .dims = {2, 5, 5}}, 6 * 18 + 4 * 24 + 8},
    {"open", {.n_dims = 3, .dims = {2, 5, 6}}, 6 * 18 + 12},
    {"clash", {.n_dims = 2, .dims = {3, 5}}, 20 + 20},
    {"constant", {.n_dims = 2, .dims = {3, 5}}, 20},
};

static void check_weights(const struct pare_model *m, int row)
{
	struct pare_model_counts c;
	struct pare_err err = {0};

	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_weights, model_table[row].n_weights);
}

START_TEST(choices_that_are_none)
{
	static struct lifted l;

	l.shape = model_table[_i].shape;
	l.n_in = LIFTED_ROWS;
	for (int k = 0; k < l.shape.n_dims; k++)
		l.n_in *= (size_t)l.shape.dims[k];
	lifted_check(&l, ROOT, model_table[_i].name, "If", 2e-2, check_weights, _i);
}
END_TEST

static const char *const stay_table[] = {"rows", "rows_of_37", "length", "length_37", "length_behind", "length_cut", "data", "nested"};

START_TEST(other_choices_are_refused_by_name)
{
	static uint8_t file[LIFTED_MAX];
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	struct pare_row_shape shape = {.name = "x", .n_dims = 2, .dims = {3, 5}};
	struct pare_model *m = NULL;
	struct pare_net *net = NULL;
	struct pare_buf own;
	struct pare_err err = {0};
	size_t len = lifted_load(ROOT, stay_table[_i], "onnx", file);

	ck_assert_int_eq(pare_onnx_open((struct pare_span){file, len}, NULL, 0, &own, &m, &err), PARE_OK);
	ck_assert_int_eq(lifted_count(m, "If"), 1);
	ck_assert_int_eq(pare_model_set_rows(m, &shape, 1, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_E_UNSUPPORTED_OP);
	ck_assert_ptr_nonnull(strstr(err.message, "operator If"));
	pare_model_free(m);
	pare_buf_done(&own);
}
END_TEST

START_TEST(damaged_choices_are_harmless)
{
	static uint8_t file[LIFTED_MAX];

	open_damaged((struct pare_span){file, lifted_load(ROOT, "clash", "onnx", file)});
}
END_TEST

START_TEST(memory_that_ends_is_told)
{
	static uint8_t file[LIFTED_MAX];

	open_no_memory((struct pare_span){file, lifted_load(ROOT, "clash", "onnx", file)});
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/onnx/lift_branches");
	TCase *t = tcase_create("lift_branches");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, choices_that_are_none, 0, (int)(sizeof model_table / sizeof *model_table));
	tcase_add_loop_test(t, other_choices_are_refused_by_name, 0, (int)(sizeof stay_table / sizeof *stay_table));
	tcase_add_test(t, damaged_choices_are_harmless);
	tcase_add_test(t, memory_that_ends_is_told);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
