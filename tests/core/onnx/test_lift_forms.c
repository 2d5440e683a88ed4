/* Models that were exported as they train: what drops at random says so with a Dropout when the file is opened, whole rows by row, and is the identity in
 * evaluation; Dropout and BatchNormalization lose their training mode, so that a runtime gives what the report says. Random numbers of other uses stay. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/onnx/onnx.h"
#include "tests/support/graph_onnx.h"
#include "tests/support/net_check.h"
#include "tests/support/open_no_memory.h"

#define ROWS 96
#define WIDTH 4
#define KEPT 0.75f

static const int64_t fixed_shape[] = {2, 1}, one_shape[] = {1, 1}, zero[] = {0}, one[] = {1};

static void begin(struct gb *b, const char *rows)
{
	static const float kept = KEPT, gone = 1 - KEPT;

	gb_input(b, "x", rows);
	gb_init(b, "p", "", &kept);
	gb_init(b, "q", "", &gone);
	gb_init(b, "c", "", NULL);
	gb_init_i64(b, "zero", "1", zero);
	gb_init_i64(b, "one", "1", one);
	gb_init_i64(b, "fixed", "2", fixed_shape);
	gb_init_i64(b, "ones", "2", one_shape);
}

static void random_like(struct gb *b, const char *size)
{
	gb_node(b, "Expand", "empty", (const char *[]){"c rows", "c fixed", "c ones"}[strcmp(size, "rows") == 0 ? 0 : strcmp(size, "fixed") == 0 ? 1 : 2], "e");
	gb_node(b, "RandomUniformLike", "draw", "e", "u");
}

/* A number for each row. */
static void by_rows(struct gb *b)
{
	gb_node(b, "Shape", "shape", "x", "s");
	gb_node(b, "Gather", "batch", "s zero", "n");
	gb_node(b, "Concat", "sizes", "n one", "rows");
	gb_attr_int(b, "axis", 0);
	random_like(b, "rows");
}

/* mask / p x, of a comparison */
static void compared_by(struct gb *b, const char *op, const char *operands)
{
	gb_node(b, op, "compare", operands, "t");
	gb_node(b, "Cast", "number", "t", "m");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_node(b, "Div", "scale", "m p", "k");
	gb_node(b, "Mul", "drop", "x k", "y");
}

static void below(struct gb *b)
{
	begin(b, "N 4");
	by_rows(b);
	compared_by(b, "Less", "u p");
}

static void above(struct gb *b)
{
	begin(b, "N 4");
	by_rows(b);
	compared_by(b, "GreaterOrEqual", "u q");
}

static void above_on_the_left(struct gb *b)
{
	begin(b, "N 4");
	by_rows(b);
	compared_by(b, "Greater", "p u");
}

static void rounded(struct gb *b)
{
	begin(b, "N 4");
	by_rows(b);
	gb_node(b, "Add", "add", "p u", "t");
	gb_node(b, "Floor", "floor", "t", "m");
	gb_node(b, "Div", "scale", "x p", "k");
	gb_node(b, "Mul", "drop", "k m", "y");
}

static void fixed(struct gb *b)
{
	begin(b, "2 4");
	random_like(b, "fixed");
	compared_by(b, "Less", "u p");
}

static void fixed_attribute(struct gb *b)
{
	begin(b, "2 4");
	gb_node(b, "RandomUniform", "draw", "", "u");
	gb_attr_ints(b, "shape", fixed_shape, 2);
	compared_by(b, "Less", "u p");
}

static void whole_batch(struct gb *b)
{
	begin(b, "N 4");
	random_like(b, "ones");
	compared_by(b, "Less", "u p");
}

static void elements(struct gb *b)
{
	begin(b, "N 4");
	gb_node(b, "Shape", "shape", "x", "rows");
	gb_node(b, "Expand", "fill", "p rows", "e");
	gb_node(b, "Bernoulli", "draw", "e", "m");
	gb_node(b, "Div", "scale", "m p", "k");
	gb_node(b, "Mul", "drop", "x k", "y");
}

static void dropout(struct gb *b)
{
	static const uint8_t on = 1;

	begin(b, "N 4");
	gb_init_bytes(b, "on", "", PARE_DT_BOOL, &on, 1);
	gb_node(b, "Dropout", "drop", "x q on", "y mask");
}

/* How much goes at a time. */
enum unit { ROW, BATCH, ELEMENT };
static const struct {
	const char *name;
	void (*build)(struct gb *b);
	enum unit unit;
} drop_table[] = {
    {"below", below, ROW},
    {"above", above, ROW},
    {"above, on the left", above_on_the_left, ROW},
    {"rounded", rounded, ROW},
    {"fixed batch", fixed, ROW},
    {"fixed batch, as an attribute", fixed_attribute, ROW},
    {"whole batch", whole_batch, BATCH},
    {"elements", elements, ELEMENT},
    {"Dropout", dropout, ELEMENT},
};

static void file_of(struct gb *b, struct pare_buf *file)
{
	gb_output(b, "y");
	pare_buf_init(file, 1 << 20);
	graph_onnx(gb_model(b), file);
}

static int count(const struct pare_model *m, const char *op)
{
	int n = 0;

	for (int32_t i = 0; i < m->graph.n_nodes; i++)
		n += strcmp(m->graph.nodes[i].op_type, op) == 0;
	return n;
}

/* All of a batch of ones. */
static void run(const struct pare_model *m, int threads, enum pare_mode mode, uint64_t step, float y[ROWS][WIDTH])
{
	const struct pare_net_options opt = {.n_threads = threads, .max_batch = ROWS, .training = true, .seed = 3};
	static float x[ROWS * WIDTH];
	const float *in = x;
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	for (int i = 0; i < ROWS * WIDTH; i++)
		x[i] = 1;
	ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert_int_eq(pare_net_n_shards(net), threads);
	nc_forward(net, &in, ROWS, mode, step);
	ck_assert_uint_eq(nc_output(net, 0, ROWS, y[0]), ROWS * WIDTH);
	pare_net_free(net);
}

/* Every number is 0 or 1 / p; they are alike within what goes at a time, and about p of them are left. Returns how many rows begin with 0. */
static int check_draw(float y[ROWS][WIDTH], enum unit unit)
{
	int zeros = 0, first = 0;

	for (int i = 0; i < ROWS; i++) {
		first += y[i][0] <= 0;
		for (int k = 0; k < WIDTH; k++) {
			bool kept = y[i][k] > 0;

			ck_assert_float_eq_tol(y[i][k], kept ? 1 / KEPT : 0, 1e-6f);
			zeros += !kept;
			ck_assert(unit == ELEMENT || kept == (y[unit == ROW ? i : 0][0] > 0));
		}
	}
	if (unit != BATCH)
		ck_assert(zeros > ROWS * WIDTH / 10 && zeros < ROWS * WIDTH / 2);
	return first;
}

START_TEST(drops)
{
	static float y[ROWS][WIDTH], again[ROWS][WIDTH];
	struct gb *b = gb_new(17);
	struct pare_buf file, own;
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	int first[16], different = 0;

	drop_table[_i].build(b);
	file_of(b, &file);
	ck_assert_msg(pare_onnx_open((struct pare_span){(const uint8_t *)file.data, file.len}, NULL, 0, &own, &m, &err) == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert(count(m, "RandomUniformLike") + count(m, "RandomUniform") + count(m, "Bernoulli") == 0 && count(m, "Dropout") == 1);
	for (int32_t i = 0; i < m->graph.n_nodes; i++)
		ck_assert(strcmp(m->graph.nodes[i].op_type, "Dropout") != 0 || (m->graph.nodes[i].n_in == 2 && m->graph.nodes[i].n_out == 1));
	run(m, 1, PARE_MODE_INFER, 0, y);
	for (int i = 0; i < ROWS * WIDTH; i++)
		ck_assert_float_eq_tol(y[i / WIDTH][i % WIDTH], 1, 1e-6f);
	for (int step = 0; step < 16; step++) {
		run(m, 1, PARE_MODE_TRAIN, (uint64_t)step, y);
		run(m, 3, PARE_MODE_TRAIN, (uint64_t)step, again);
		ck_assert_msg(memcmp(y, again, sizeof y) == 0, "%s: threads matter", drop_table[_i].name);
		first[step] = check_draw(y, drop_table[_i].unit);
		different += first[step] != first[0];
	}
	ck_assert_msg(different > 0, "%s: the same in every step", drop_table[_i].name);
	pare_model_free(m);
	pare_buf_done(&own);
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

/* --- what stays */

static void read_twice(struct gb *b)
{
	below(b);
	gb_node(b, "Add", "noise", "x u", "z");
	gb_output(b, "z");
}

static void other_ends(struct gb *b)
{
	begin(b, "N 4");
	by_rows(b);
	gb_attr_float(b, "low", -1);
	compared_by(b, "Less", "u p");
}

static void computed_probability(struct gb *b)
{
	begin(b, "N 4");
	by_rows(b);
	compared_by(b, "Less", "u x");
}

static void mask_is_read(struct gb *b)
{
	dropout(b);
	gb_node(b, "Cast", "number", "mask", "z");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_output(b, "z");
}

static const struct {
	void (*build)(struct gb *b);
	const char *op; /* stays */
} stay_table[] = {
    {read_twice, "RandomUniformLike"},
    {other_ends, "RandomUniformLike"},
    {computed_probability, "RandomUniformLike"},
    {mask_is_read, "Dropout"},
};

START_TEST(what_is_no_drop_stays)
{
	struct gb *b = gb_new(17);
	struct pare_buf file, own;
	struct pare_model *m = NULL;

	stay_table[_i].build(b);
	file_of(b, &file);
	ck_assert_int_eq(pare_onnx_open((struct pare_span){(const uint8_t *)file.data, file.len}, NULL, 0, &own, &m, NULL), PARE_OK);
	ck_assert_int_eq(count(m, stay_table[_i].op), 1);
	ck_assert_uint_eq(own.len, 0);
	pare_model_free(m);
	pare_buf_done(&own);
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

/* Of those whose statistics are read nothing is changed. */

START_TEST(batch_norms)
{
	static const float ones[] = {1, 1, 1, 1};
	struct gb *b = gb_new(17);
	struct pare_buf file, own;
	struct pare_model *m = NULL;
	int in_training = 0, n_out = 0;

	gb_input(b, "x", "N 4");
	for (int i = 0; i < 4; i++)
		gb_init(b, (const char *[]){"s", "t", "m", "v"}[i], "4", ones);
	gb_node(b, "BatchNormalization", "bn", "x s t m v", _i == 2 ? "h mean var" : "h mean -");
	gb_attr_float(b, "epsilon", 0.125f);
	gb_attr_int(b, "training_mode", 1);
	gb_node(b, "Relu", "relu", "h", "y");
	if (_i == 1)
		gb_output(b, "mean");
	file_of(b, &file);
	ck_assert_int_eq(pare_onnx_open((struct pare_span){(const uint8_t *)file.data, file.len}, NULL, 0, &own, &m, NULL), PARE_OK);
	for (int32_t i = 0; i < m->graph.n_nodes; i++) {
		const struct pare_node *n = &m->graph.nodes[i];

		if (strcmp(n->op_type, "BatchNormalization") != 0)
			continue;
		in_training += pare_node_int(n, "training_mode", 0) != 0;
		n_out = n->n_out;
		ck_assert_float_eq(pare_node_attr(n, "epsilon")->f, 0.125f);
	}
	ck_assert_int_eq(in_training, _i == 1);
	ck_assert(_i == 1 ? n_out > 1 : n_out == 1);
	pare_model_free(m);
	pare_buf_done(&own);
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

START_TEST(no_memory)
{
	struct gb *b = gb_new(17);
	struct pare_buf file;

	fixed(b);
	file_of(b, &file);
	open_no_memory((struct pare_span){(const uint8_t *)file.data, file.len});
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("forms of training");
	TCase *t = tcase_create("lift");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, drops, 0, (int)(sizeof drop_table / sizeof drop_table[0]));
	tcase_add_loop_test(t, what_is_no_drop_stays, 0, (int)(sizeof stay_table / sizeof stay_table[0]));
	tcase_add_loop_test(t, batch_norms, 0, 3);
	tcase_add_test(t, no_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
