/* Shapes that the graph computes, and integers and bools that it carries: what is known at plan time disappears from the
 * plan, whatever the batch size will be; the rest runs. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/graph/net_view.h"
#include "tests/support/net_check.h"

#define ROWS 4

static void run(struct gb *b, int n_threads, size_t per_row_in, size_t n_out, const float *x, float *out)
{
	struct pare_net *net = nc_net(b, n_threads, ROWS, false);
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;

	ck_assert_uint_eq(pare_net_input_shape(net, 0, &n_dims, dims), per_row_in);
	nc_forward(net, &x, ROWS, false, 0);
	ck_assert_uint_eq(nc_output(net, 0, ROWS, out), n_out);
	pare_net_free(net);
}

static void fill(float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = (float)i + 1;
}

/* PyTorch's x.view(x.size(0), x.size(1), -1): [N, 2, 3, 4] to [N, 2, 12]. */
static struct gb *view_idiom(void)
{
	struct gb *b = gb_new(13);

	gb_input(b, "x", "N 2 3 4");
	gb_init_i64(b, "i0", "", (const int64_t[]){0});
	gb_init_i64(b, "i1", "", (const int64_t[]){1});
	gb_init_i64(b, "axis", "1", (const int64_t[]){0});
	gb_init_i64(b, "rest", "1", (const int64_t[]){-1});
	gb_node(b, "Relu", "r", "x", "h");
	gb_node(b, "Shape", "s1", "h", "shape1");
	gb_node(b, "Gather", "g1", "shape1 i0", "n");
	gb_node(b, "Shape", "s2", "h", "shape2");
	gb_node(b, "Gather", "g2", "shape2 i1", "c");
	gb_node(b, "Unsqueeze", "u1", "n axis", "n1");
	gb_node(b, "Unsqueeze", "u2", "c axis", "c1");
	gb_node(b, "Concat", "cat", "n1 c1 rest", "target");
	gb_attr_int(b, "axis", 0);
	gb_node(b, "Reshape", "view", "h target", "y");
	gb_output(b, "y");
	return b;
}

START_TEST(view_becomes_static)
{
	struct gb *b = view_idiom();
	struct pare_net *net = nc_net(b, 2, ROWS, true);
	float x[ROWS * 24], y[ROWS * 24];
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;

	ck_assert_int_eq(net->n_nodes, 2); /* Relu and the view */
	ck_assert_int_eq(pare_net_n_shards(net), 2);
	ck_assert_uint_eq(pare_net_output_shape(net, 0, &n_dims, dims), 24);
	ck_assert_int_eq(n_dims, 3);
	ck_assert(dims[0] == PARE_DIM_UNKNOWN && dims[1] == 2 && dims[2] == 12);
	pare_net_free(net);
	fill(x, ROWS * 24);
	run(b, 2, 24, ROWS * 24, x, y);
	ck_assert_mem_eq(x, y, sizeof x);
	gb_free(b);
}
END_TEST

/* Arithmetic on sizes: [N, 6] to [N * 2, 6 / 2] (each row becomes two); and a size read as a float. */
START_TEST(arithmetic_on_sizes)
{
	struct gb *b = gb_new(13);
	float x[ROWS * 6], y[ROWS * 6];
	struct pare_net *net;
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;

	gb_input(b, "x", "N 6");
	gb_init_i64(b, "by", "2", (const int64_t[]){2, 1});
	gb_init_i64(b, "over", "2", (const int64_t[]){1, 2});
	gb_node(b, "Relu", "r", "x", "h");
	gb_node(b, "Shape", "s", "h", "shape");
	gb_node(b, "Cast", "f", "shape", "real");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_node(b, "Floor", "fl", "real", "whole");
	gb_node(b, "Cast", "i", "whole", "back");
	gb_attr_int(b, "to", PARE_DT_INT64);
	gb_node(b, "Mul", "m", "back by", "more");
	gb_node(b, "Div", "d", "more over", "target");
	gb_node(b, "Reshape", "view", "h target", "y");
	gb_output(b, "y");
	net = nc_net(b, 2, ROWS, true);
	ck_assert_int_eq(net->n_nodes, 2);
	ck_assert_int_eq(pare_net_n_shards(net), 2);
	(void)pare_net_output_shape(net, 0, &n_dims, dims);
	ck_assert(n_dims == 2 && dims[0] == PARE_DIM_UNKNOWN && dims[1] == 3);
	pare_net_free(net);
	fill(x, ROWS * 6);
	run(b, 2, 6, ROWS * 6, x, y);
	ck_assert_mem_eq(x, y, sizeof x);
	gb_free(b);
}
END_TEST

/* expand(-1, 3, -1) as exporters write it: Where(shape == -1, ones, shape). */
START_TEST(expand_idiom)
{
	struct gb *b = gb_new(13);
	float x[ROWS * 2] = {1, 2, 3, 4, 5, 6, 7, 8}, y[ROWS * 6];

	gb_input(b, "x", "N 1 2");
	gb_init_i64(b, "three", "3", (const int64_t[]){3, 3, 2});
	gb_init_i64(b, "want", "3", (const int64_t[]){-1, 3, -1});
	gb_init_i64(b, "minus", "3", (const int64_t[]){-1, -1, -1});
	gb_node(b, "Shape", "s", "x", "shape");
	gb_node(b, "ConstantOfShape", "c", "three", "zeros");
	gb_node(b, "Equal", "e", "want minus", "keep");
	gb_node(b, "Where", "w", "keep shape want", "target");
	gb_node(b, "Expand", "x3", "x target", "y");
	gb_output(b, "y");
	run(b, 2, 2, ROWS * 6, x, y);
	for (int i = 0; i < ROWS * 6; i++)
		ck_assert(y[i] == x[i / 6 * 2 + i % 2]);
	gb_free(b);
}
END_TEST

/* A size that depends on the batch size in another way than "so many times" is refused by name. */
START_TEST(rounded_batch_is_refused)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = ROWS};
	struct gb *b = gb_new(13);
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	gb_input(b, "x", "N 6");
	gb_init_i64(b, "two", "2", (const int64_t[]){2, 1});
	gb_node(b, "Shape", "s", "x", "shape");
	gb_node(b, "Div", "d", "shape two", "target");
	gb_node(b, "Reshape", "view", "x target", "y");
	gb_output(b, "y");
	ck_assert_int_eq(pare_net_new(gb_model(b), &opt, &net, &err), PARE_E_UNSUPPORTED_OP);
	ck_assert_str_eq(err.where, "node \"view\" (Reshape)");
	gb_free(b);
}
END_TEST

/* The batch size as a number at run time: x / N, which is the mean over rows once they are summed. */
START_TEST(batch_size_at_run_time)
{
	struct gb *b = gb_new(13);
	struct pare_net *net;
	float x[ROWS * 2] = {4, 8, 12, 16, 20, 24, 28, 32}, y[ROWS * 2];
	const float *in = x;

	gb_input(b, "x", "N 2");
	gb_init_i64(b, "i0", "", (const int64_t[]){0});
	gb_node(b, "Shape", "s", "x", "shape");
	gb_node(b, "Gather", "g", "shape i0", "n");
	gb_node(b, "Cast", "c", "n", "f");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_node(b, "Div", "d", "x f", "y");
	gb_output(b, "y");
	net = nc_net(b, 2, ROWS, false);
	ck_assert_int_eq(pare_net_n_shards(net), 1);
	nc_forward(net, &in, ROWS, false, 0);
	(void)nc_output(net, 0, ROWS, y);
	for (int i = 0; i < ROWS * 2; i++)
		ck_assert(y[i] == x[i] / ROWS);
	nc_forward(net, &in, 2, false, 0);
	(void)nc_output(net, 0, 2, y);
	ck_assert(y[3] == 8);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* x * f(N), where f is a formula of one node: what holds for the batches that folding tries need not hold for all. */
static const struct batch_case {
	const char *label, *op;
	int64_t per_row, with;
	double at_36, at_37, at_64;
	bool folds;
} batch_table[] = {
    {"is it 37", "Equal", 1, 37, 0, 1, 0, false},
    {"are they 2368", "Equal", 64, 2368, 0, 1, 0, false},
    {"below 37", "Less", 1, 37, 1, 0, 0, false},
    {"above 37", "Greater", 1, 37, 0, 0, 1, false},
    {"at most 37", "Min", 1, 37, 36, 37, 37, false},
    {"at least 37", "Max", 1, 37, 37, 37, 64, false},
    {"rest of 37", "Mod", 1, 37, 36, 0, 27, false},
    {"37ths", "Div", 1, 37, 0, 1, 1, false},
    {"16ths of 4 in a row", "Div", 4, 16, 9, 9, 16, false},
    {"4ths of 4 in a row", "Div", 4, 4, 36, 37, 64, true},
    {"rest of 8 in a row", "Mod", 8, 4, 0, 0, 0, true},
    {"not negative", "Max", 1, 0, 36, 37, 64, true},
    {"is it -1", "Equal", 1, -1, 0, 0, 0, true},
    {"37 in a row", "Mul", 3, 37, 36 * 111, 37 * 111, 64 * 111, true},
};

START_TEST(batch_in_formulas)
{
	const struct batch_case *c = &batch_table[_i];
	const int64_t rows[] = {36, 37, 64};
	const double want[] = {c->at_36, c->at_37, c->at_64};
	struct gb *b = gb_new(13);
	struct pare_net *net;
	float x[64], y[64];
	const float *in = x;

	for (int i = 0; i < 64; i++)
		x[i] = 1;
	gb_input(b, "x", "N 1");
	gb_init_i64(b, "i0", "", (const int64_t[]){0});
	gb_init_i64(b, "per_row", "", &c->per_row);
	gb_init_i64(b, "with", "", &c->with);
	gb_node(b, "Shape", "s", "x", "shape");
	gb_node(b, "Gather", "g", "shape i0", "n");
	gb_node(b, "Mul", "m", "n per_row", "count");
	gb_node(b, c->op, "f", "count with", "made");
	gb_node(b, "Cast", "c", "made", "real");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_node(b, "Mul", "scale", "x real", "y");
	gb_output(b, "y");
	net = nc_net(b, 2, 64, false);
	for (int i = 0; i < 3; i++) {
		nc_forward(net, &in, rows[i], false, 0);
		(void)nc_output(net, 0, rows[i], y);
		ck_assert_msg((double)y[0] == want[i] && y[rows[i] - 1] == y[0], "%s: %g of %lld rows", c->label, (double)y[0], (long long)rows[i]);
	}
	pare_net_free(net);
	net = nc_plain_net(b, 1, 64, false);
	for (int i = 0; i < net->n_nodes; i++)
		if (strcmp(net->nodes[i].node->op_type, c->op) == 0 && strcmp(c->op, "Mul") != 0)
			ck_assert_msg(pare_net_is_known(&net->values[net->nodes[i].node->out[0]].known) == c->folds, "%s: what is known of it", c->label);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* A size that a float made of the batch, rounded down: nothing up to 63 rows. */
START_TEST(batch_times_a_64th)
{
	struct gb *b = gb_new(13);
	struct pare_net *net;
	float x[128], y[128];
	const float *in = x;

	for (int i = 0; i < 128; i++)
		x[i] = 1;
	gb_input(b, "x", "N 1");
	gb_init_i64(b, "i0", "", (const int64_t[]){0});
	gb_init(b, "part_of", "", (const float[]){0.015625f});
	gb_node(b, "Shape", "s", "x", "shape");
	gb_node(b, "Gather", "g", "shape i0", "n");
	gb_node(b, "Cast", "c", "n", "real");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_node(b, "Mul", "m", "real part_of", "part");
	gb_node(b, "Floor", "f", "part", "whole");
	gb_node(b, "Add", "add", "x whole", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 128, false);
	nc_forward(net, &in, 63, false, 0);
	(void)nc_output(net, 0, 63, y);
	ck_assert(y[0] == 1);
	nc_forward(net, &in, 128, false, 0);
	(void)nc_output(net, 0, 128, y);
	ck_assert(y[127] == 3);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Thousands of sums of the batch and a number, many times: their meetings are too many to look at, and the graph computes them. */
START_TEST(many_meetings)
{
	enum { WIDE = 4096, STEPS = 90 };
	static int64_t numbers[WIDE];
	struct gb *b = gb_new(13);
	struct pare_net *net;
	float x[3] = {1, 1, 1}, y[3];
	const float *in = x;
	char ins[64], out[32];

	for (int i = 0; i < WIDE; i++)
		numbers[i] = 37;
	gb_input(b, "x", "N 1");
	gb_init_i64(b, "i0", "1", (const int64_t[]){0});
	gb_init_i64(b, "wide", "1", (const int64_t[]){WIDE});
	gb_init_i64(b, "numbers", "4096", numbers);
	gb_node(b, "Shape", "s", "x", "shape");
	gb_node(b, "Gather", "g", "shape i0", "n");
	gb_node(b, "Expand", "e", "n wide", "all");
	for (int i = 0; i < STEPS; i++) {
		(void)snprintf(out, sizeof out, "a%d", i);
		gb_node(b, "Add", out, "all numbers", out);
		(void)snprintf(ins, sizeof ins, i > 0 ? "a%d b%d" : "a%d numbers", i, i - 1);
		(void)snprintf(out, sizeof out, "b%d", i);
		gb_node(b, "Add", out, ins, out);
	}
	gb_node(b, "Cast", "c", out, "real");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_node(b, "ReduceMax", "r", "real", "most");
	gb_node(b, "Add", "add", "x most", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 3, false);
	nc_forward(net, &in, 3, false, 0);
	(void)nc_output(net, 0, 3, y);
	ck_assert_float_eq(y[2], 1 + 37 + STEPS * (3 + 37));
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* f(size of an axis) for rows of 16 by 6, of which the model leaves the first open: is it the same for rows of other sizes? That it is for some does not say so. */
static const struct open_case {
	const char *label, *op;
	int64_t axis, with;
	bool open;
} open_table[] = {
    {"itself", "Mul", 1, 1, true},
    {"is it 37", "Equal", 1, 37, true},
    {"at most 8", "Min", 1, 8, true},
    {"rest of 4", "Mod", 1, 4, true},
    {"closed itself", "Mul", 2, 1, false},
    {"half of a closed one", "Div", 2, 2, false},
    {"is a closed one 6", "Equal", 2, 6, false},
};

START_TEST(open_sizes_in_formulas)
{
	const struct open_case *c = &open_table[_i];
	struct pare_model *m;
	struct gb *b = gb_new(13);
	struct pare_net *net;
	struct pare_err err = {0};
	bool open[32] = {false};
	int n_found = 0;

	gb_input(b, "x", "N N 6"); /* the second is as open as the first */
	gb_init_i64(b, "axis", "", &c->axis);
	gb_init_i64(b, "with", "", &c->with);
	gb_node(b, "Shape", "s", "x", "shape");
	gb_node(b, "Gather", "g", "shape axis", "size");
	gb_node(b, c->op, "f", "size with", "made");
	gb_node(b, "Cast", "c", "made", "real");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_node(b, "Mul", "scale", "x real", "y");
	gb_output(b, "y");
	m = gb_model(b);
	ck_assert_int_le(m->graph.n_values, 32);
	ck_assert(pare_model_open_rows(m, 16, &err));
	net = nc_net(b, 1, 4, false);
	ck_assert_int_eq(pare_net_find_open(net, open, NULL, &err), PARE_OK);
	for (int32_t v = 0; v < m->graph.n_values; v++)
		if (strcmp(m->graph.values[v].name, "made") == 0 || strcmp(m->graph.values[v].name, "real") == 0) {
			ck_assert_msg(open[v] == c->open, "%s: %s", c->label, m->graph.values[v].name);
			n_found++;
		}
	ck_assert_int_eq(n_found, 2);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Integers and bools that are computed: an embedding by ArgMax, masked by a comparison. The table gets a gradient. */
START_TEST(computed_integers)
{
	struct gb *b = gb_new(13);
	const float table[6] = {1, 2, 3, 4, 5, 6}, x[ROWS * 3] = {0, 9, 1, 7, 0, 0, 0, 1, 2, 3, 3, 4};
	const int want[ROWS] = {1, 0, 2, 2};
	const float *in = x;
	float y[ROWS * 2], grads[64];
	struct pare_net *net;

	gb_input(b, "x", "N 3");
	gb_init(b, "table", "3 2", table);
	gb_init_bytes(b, "limit", "", PARE_DT_FLOAT, &(const float){1.5f}, sizeof(float));
	gb_node(b, "ArgMax", "a", "x", "index");
	gb_attr_int(b, "axis", 1);
	gb_attr_int(b, "keepdims", 0);
	gb_node(b, "Gather", "embed", "table index", "e");
	gb_node(b, "Greater", "big", "e limit", "mask");
	gb_node(b, "Neg", "n", "e", "minus");
	gb_node(b, "Where", "w", "mask e minus", "y");
	gb_output(b, "y");
	net = nc_net(b, 2, ROWS, true);
	ck_assert_int_eq(pare_net_n_shards(net), 2);
	nc_forward(net, &in, ROWS, false, 0);
	ck_assert_uint_eq(nc_output(net, 0, ROWS, y), ROWS * 2);
	for (int i = 0; i < ROWS * 2; i++) {
		float e = table[want[i / 2] * 2 + i % 2];

		ck_assert(y[i] == (e > 1.5f ? e : -e));
	}
	ck_assert_uint_le(pare_net_slab_len(net), 64);
	nc_backward(net, ROWS, grads);
	pare_net_free(net);
	net = nc_net(b, 1, ROWS, true);
	ck_assert(nc_gradient_error(net, &in, ROWS, false, 0.015625) < 1e-3);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Token numbers are an input like any other; more operands than a mask has bits. */
START_TEST(integer_inputs_and_many_operands)
{
	struct gb *b = gb_new(13);
	const float table[6] = {1, 2, 3, 4, 5, 6}, x[ROWS] = {2, 0, 1, -1};
	const float *in = x;
	char all[160] = "e";
	float y[ROWS * 80];
	struct pare_net *net;

	gb_input_typed(b, "x", "N", PARE_DT_INT64);
	gb_init(b, "table", "3 2", table);
	gb_node(b, "Gather", "embed", "table x", "e");
	for (int i = 1; i < 40; i++)
		(void)snprintf(all + strlen(all), sizeof all - strlen(all), " e");
	gb_node(b, "Concat", "many", all, "y");
	gb_attr_int(b, "axis", 1);
	gb_output(b, "y");
	net = nc_net(b, 2, ROWS, true);
	nc_forward(net, &in, ROWS, false, 0);
	ck_assert_uint_eq(nc_output(net, 0, ROWS, y), ROWS * 80);
	ck_assert(y[0] == 5 && y[79] == 6 && y[80] == 1 && y[3 * 80] == 5);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Constants too large to be looked at are computed once, views of them included; integers beyond 2^24 are refused. */
START_TEST(large_constants)
{
	static float big[5000];
	static int64_t index[5000];
	struct gb *b = gb_new(13);
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	float x[5000], y[5000];

	fill(big, 5000);
	for (int i = 0; i < 5000; i++)
		index[i] = 4999 - i;
	gb_input(b, "x", "N 5000");
	gb_init(b, "init", "5000", big);
	gb_node(b, "Constant", "c", "", "k");
	gb_attr_tensor(b, "value", "init");
	gb_init_i64(b, "index", "5000", index);
	gb_init_i64(b, "row", "2", (const int64_t[]){1, 5000});
	gb_node(b, "Gather", "g", "k index", "reversed");
	gb_node(b, "Reshape", "v", "reversed row", "flat");
	gb_node(b, "Add", "a", "x flat", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 1, true);
	ck_assert_int_eq(pare_net_n_params(net), 0);
	memset(x, 0, sizeof x);
	nc_forward(net, &(const float *){x}, 1, false, 0);
	ck_assert_uint_eq(nc_output(net, 0, 1, y), 5000);
	for (int i = 0; i < 5000; i++)
		ck_assert(y[i] == (float)(5000 - i));
	pare_net_free(net);
	gb_free(b);
	index[7] = ((int64_t)1 << 24) + 1;
	b = gb_new(13);
	gb_input(b, "x", "N 5000");
	gb_init_i64(b, "index", "5000", index);
	gb_node(b, "Gather", "g", "x index", "y");
	gb_attr_int(b, "axis", 1);
	gb_output(b, "y");
	ck_assert_int_eq(pare_net_new(gb_model(b), &opt, &net, &err), PARE_E_UNSUPPORTED);
	ck_assert_msg(strstr(err.message, "16777217") != NULL, "%s", err.message);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("folding");
	TCase *t = tcase_create("fold");
	SRunner *r;
	int failed;

	tcase_add_test(t, view_becomes_static);
	tcase_add_test(t, arithmetic_on_sizes);
	tcase_add_test(t, expand_idiom);
	tcase_add_test(t, rounded_batch_is_refused);
	tcase_add_test(t, batch_size_at_run_time);
	tcase_add_loop_test(t, batch_in_formulas, 0, (int)(sizeof batch_table / sizeof batch_table[0]));
	tcase_add_test(t, batch_times_a_64th);
	tcase_add_test(t, many_meetings);
	tcase_add_loop_test(t, open_sizes_in_formulas, 0, (int)(sizeof open_table / sizeof open_table[0]));
	tcase_add_test(t, computed_integers);
	tcase_add_test(t, integer_inputs_and_many_operands);
	tcase_add_test(t, large_constants);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
