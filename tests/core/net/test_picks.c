/* Recurrent layers over rows of an embedding pick them themselves, with the values and gradients of the nodes that did before. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/onnx/onnx.h"
#include "tests/support/net_check.h"

#define ROWS 9
#define STEPS 6
#define WORDS 11
#define WIDTH 5
#define HIDDEN 4

static float ids[ROWS * STEPS], lens[ROWS], weights[4096], out[2][4096], grads[2][8192];

static const struct layer_case {
	const char *op, *direction;
	int gates, n_dirs;
	int64_t layout, late_reset;
	bool turned; /* X comes through a transposition */
	bool lens;
	const char *also; /* who else reads the table or the rows */
} case_table[] = {
    {.op = "LSTM", .direction = "forward", .gates = 4, .n_dirs = 1, .turned = true},
    {.op = "LSTM", .direction = "bidirectional", .gates = 4, .n_dirs = 2, .turned = true, .lens = true},
    {.op = "LSTM", .direction = "reverse", .gates = 4, .n_dirs = 1, .layout = 1},
    {.op = "LSTM", .direction = "forward", .gates = 4, .n_dirs = 1, .layout = 1, .lens = true, .also = "rows"},
    {.op = "GRU", .direction = "bidirectional", .gates = 3, .n_dirs = 2, .turned = true, .late_reset = 1},
    {.op = "GRU", .direction = "forward", .gates = 3, .n_dirs = 1, .turned = true, .also = "table"},
    {.op = "RNN", .direction = "reverse", .gates = 1, .n_dirs = 1, .turned = true, .also = "rows"},
};

static void init(struct gb *b, const char *name, int a, int n, int k, uint64_t seed)
{
	char shape[64];

	if (k > 0)
		(void)snprintf(shape, sizeof shape, "%d %d %d", a, n, k);
	else
		(void)snprintf(shape, sizeof shape, "%d %d", a, n);
	nc_fill(weights, (size_t)(a * n * (k > 0 ? k : 1)), seed);
	gb_init(b, name, shape, weights);
}

/* ids -> rows of E -> (transposed) the layer -> y; and, of what else reads E, z. */
static struct gb *model(const struct layer_case *c)
{
	static const int64_t turn[] = {1, 0, 2};
	struct gb *b = gb_new(17);

	gb_input_typed(b, "ids", "N 6", PARE_DT_INT64);
	if (c->lens)
		gb_input_typed(b, "lens", "N", PARE_DT_INT32);
	init(b, "E", WORDS, WIDTH, 0, 1);
	init(b, "W", c->n_dirs, c->gates * HIDDEN, WIDTH, 2);
	init(b, "R", c->n_dirs, c->gates * HIDDEN, HIDDEN, 3);
	init(b, "B", c->n_dirs, 2 * c->gates * HIDDEN, 0, 4);
	gb_node(b, "Gather", "embed", "E ids", "rows");
	if (c->turned) {
		gb_node(b, "Transpose", "turn", "rows", "x");
		gb_attr_ints(b, "perm", turn, 3);
	}
	gb_node(b, c->op, "layer", c->lens ? (c->turned ? "x W R B lens" : "rows W R B lens") : c->turned ? "x W R B" : "rows W R B", "Y h");
	gb_attr_string(b, "direction", c->direction);
	gb_attr_int(b, "hidden_size", HIDDEN);
	if (c->layout != 0)
		gb_attr_int(b, "layout", c->layout);
	if (c->late_reset != 0)
		gb_attr_int(b, "linear_before_reset", c->late_reset);
	if (c->layout != 0) {
		gb_node(b, "Tanh", "end", "Y", "y");
	} else {
		static const int64_t first[] = {2, 0, 1, 3};

		gb_node(b, "Transpose", "end", "Y", "y");
		gb_attr_ints(b, "perm", first, 4);
	}
	gb_output(b, "y");
	if (c->also != NULL && strcmp(c->also, "rows") == 0) {
		gb_node(b, "Tanh", "also", "rows", "z");
		gb_output(b, "z");
	} else if (c->also != NULL) {
		gb_node(b, "Gather", "also", "E ids", "z");
		gb_output(b, "z");
	}
	return b;
}

static const float *const *inputs(void)
{
	static const float *const in[] = {ids, lens};

	for (int i = 0; i < ROWS * STEPS; i++)
		ids[i] = (float)((i * 7 + i * i / 5) % (WORDS - 2)); /* the last words never come */
	ids[3] = -1.0f - (float)(WORDS - 9);                         /* from the end */
	for (int i = 0; i < ROWS; i++)
		lens[i] = (float)(i % (STEPS + 1));
	return in;
}

static size_t run(struct pare_net *net, int which, size_t *n_out)
{
	size_t len = pare_net_slab_len(net);

	*n_out = 0;
	ck_assert_uint_le(len, sizeof grads[0] / sizeof grads[0][0]);
	nc_forward(net, inputs(), ROWS, PARE_MODE_TRAIN, 1);
	for (int i = 0; i < pare_net_n_outputs(net); i++)
		*n_out += nc_output(net, i, ROWS, out[which] + *n_out);
	nc_backward(net, ROWS, grads[which]);
	return len;
}

static void same(const float *got, const float *want, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabsf(got[i] - want[i]) <= 2e-5f * (1.0f + fabsf(want[i])), "%s %zu: %g, not %g", what, i, (double)got[i], (double)want[i]);
}

static int count_ops(const struct pare_net *net, const char *name)
{
	int n = 0;

	for (int i = 0; i < net->n_nodes; i++)
		n += strcmp(net->nodes[i].op->name, name) == 0;
	return n;
}

START_TEST(as_gathered_before)
{
	const struct layer_case *c = &case_table[_i];
	struct gb *b = model(c);
	struct pare_net *plain = nc_plain_net(b, 1, ROWS, true);
	size_t n_plain, len = run(plain, 0, &n_plain);

	ck_assert_int_eq(count_ops(plain, c->op), 1);
	for (int threads = 1; threads <= 4; threads++) {
		struct pare_net *net = nc_net(b, threads, ROWS, true);
		size_t n;

		ck_assert_int_eq(pare_net_n_shards(net), threads);
		ck_assert_int_eq(count_ops(net, c->op), 0);
		ck_assert_int_eq(count_ops(net, "Gather"), c->also != NULL);
		ck_assert_int_eq(count_ops(net, "Transpose"), c->layout == 0);
		ck_assert(pare_net_macs(net) == pare_net_macs(plain));
		for (int again = 0; again < 2; again++) {
			ck_assert_uint_eq(run(net, 1, &n), len);
			ck_assert_uint_eq(n, n_plain);
			same(out[1], out[0], n, "output");
			same(grads[1], grads[0], len, "gradient");
		}
		pare_net_free(net);
	}
	pare_net_free(plain);
	gb_free(b);
}
END_TEST

/* In a net that does not train, with packed weights; few rows, one, none that repeat. */
START_TEST(inference)
{
	const struct layer_case *c = &case_table[_i];
	struct gb *b = model(c);
	struct pare_net *plain = nc_plain_net(b, 1, ROWS, false), *net = nc_net(b, 1, ROWS, false);

	for (int64_t rows = ROWS; rows > 0; rows -= 4) {
		size_t n;

		nc_forward(plain, inputs(), rows, PARE_MODE_INFER, 0);
		n = nc_output(plain, 0, rows, out[0]);
		nc_forward(net, inputs(), rows, PARE_MODE_INFER, 0);
		ck_assert_uint_eq(nc_output(net, 0, rows, out[1]), n);
		same(out[1], out[0], n, "output");
	}
	pare_net_free(plain);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* A table along another axis, an index of one axis, other transpositions and rows that are computed on the way stay as they are. */
START_TEST(what_is_not_taken_over)
{
	static const int64_t other[] = {2, 0, 1};
	struct gb *b = gb_new(17);
	struct pare_net *net;

	gb_input_typed(b, "ids", "N 5", PARE_DT_INT64);
	init(b, "E", WORDS, STEPS, 0, 1);
	init(b, "W", 1, 4 * HIDDEN, WIDTH, 2);
	init(b, "R", 1, 4 * HIDDEN, HIDDEN, 3);
	gb_node(b, "Gather", "embed", "E ids", "rows"); /* [N, 5, 6] */
	gb_node(b, "Transpose", "turn", "rows", "x");   /* [6, N, 5] */
	gb_attr_ints(b, "perm", other, 3);
	gb_node(b, "LSTM", "layer", "x W R", "Y h");
	gb_attr_int(b, "hidden_size", HIDDEN);
	gb_output(b, "h");
	net = nc_net(b, 1, ROWS, true);
	ck_assert_int_eq(count_ops(net, "LSTM"), 1);
	ck_assert_int_eq(count_ops(net, "Gather"), 1);
	pare_net_free(net);
	gb_free(b);

	b = gb_new(17);
	gb_input_typed(b, "ids", "N 6", PARE_DT_INT64);
	init(b, "E", WORDS, WIDTH, 0, 1);
	init(b, "W", 1, 4 * HIDDEN, WIDTH, 2);
	init(b, "R", 1, 4 * HIDDEN, HIDDEN, 3);
	gb_node(b, "Gather", "embed", "E ids", "rows");
	gb_node(b, "Tanh", "tanh", "rows", "x");
	gb_node(b, "LSTM", "layer", "x W R", "Y h");
	gb_attr_int(b, "hidden_size", HIDDEN);
	gb_attr_int(b, "layout", 1);
	gb_output(b, "Y");
	net = nc_net(b, 1, ROWS, true);
	ck_assert_int_eq(count_ops(net, "LSTM"), 1);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("picked rows");
	TCase *tc = tcase_create("picks");
	int n = (int)(sizeof case_table / sizeof *case_table);
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, as_gathered_before, 0, n);
	tcase_add_loop_test(tc, inference, 0, n);
	tcase_add_test(tc, what_is_not_taken_over);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
