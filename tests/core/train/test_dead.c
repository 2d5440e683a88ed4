/* Units without a purpose go, with equal outputs: those that nobody reads, those that always say 0, those that always say something else
 * where a bias can say it for them; and what cannot be folded stays. */
#include <math.h>

#include "core/base/mem.h"
#include "core/prune/dead.h"
#include "core/train/activations.h"
#include "tests/core/train/train_support.h"
#include "tests/support/fit.h"
#include "tests/support/graph_builder.h"
#include "tests/support/net_check.h"

enum { ROWS = 24, MOST = 4096 };

struct bench {
	struct gb *gb;
	struct fixture f; /* the data */
	struct pare_net *net;
	struct pare_structures *g;
	struct pare_cut cut;
	struct pare_mask mask;
	struct pare_dead_count n; /* of all passes */
	float before[MOST], after[MOST];
	size_t len;
};

static float *param(const struct bench *b, const char *name)
{
	for (int p = 0; p < pare_net_n_params(b->net); p++)
		if (strcmp(pare_net_param(b->net, p)->name, name) == 0)
			return pare_net_slab(b->net) + pare_net_param(b->net, p)->offset;
	ck_abort_msg("no parameter %s", name);
}

static void open_bench(struct bench *b, int n_inputs)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 64, .training = true};
	struct pare_err err = {0};

	ck_ok(pare_net_new(gb_model(b->gb), &opt, &b->net, &err));
	csv_begin(&b->f, n_inputs);
	for (int r = 0; r < ROWS; r++) {
		double x[20];

		for (int i = 0; i < n_inputs; i++)
			x[i] = sin(1.0 + r * 0.7 + i * 1.3);
		csv_row(&b->f, n_inputs, x, r % 2);
	}
	csv_end(&b->f, PARE_TASK_CLASSIFY, 0);
	ck_ok(pare_structures_new(b->net, PARE_GRANULARITY_CHANNEL, NULL, &b->g, &err));
	ck_ok(pare_cut_init(&b->cut, b->net, &err));
	ck_ok(pare_mask_init(&b->mask, b->net, &err));
}

static void run(struct bench *b, const struct pare_fit *fit, float *out)
{
	const uint32_t *rows;
	uint32_t n;

	rows = pare_data_rows(b->f.data, PARE_SPLIT_TRAIN, &n);
	pare_data_fill(b->f.data, fit->inputs[0].x, rows, n, pare_net_shard_input(b->net, 0, 0));
	pare_net_shard_forward(b->net, 0, n, PARE_MODE_INFER, 0, 0);
	b->len = nc_output(b->net, 0, n, out);
	ck_assert_uint_le(b->len, MOST);
}

static void remove_all(struct bench *b)
{
	struct pare_observe_options opt = {.n_rows = ROWS, .seed = 1};
	struct pare_dead_count n = {.unread = 1};
	struct pare_err err = {0};
	struct pare_fit fit;

	ck_ok(pare_fit_make(b->net, b->f.data, NULL, &fit, &err));
	opt.fit = &fit;
	run(b, &fit, b->before);
	b->n = (struct pare_dead_count){0};
	while (n.unread + n.constant > 0) {
		struct pare_activation_stats seen;

		ck_ok(pare_activations(b->net, b->g, b->f.data, &opt, PARE_STRUCTURE_STAT_ACTIVATIONS, &seen, &err));
		ck_ok(pare_remove_dead(b->net, b->g, &seen, &(struct pare_dead_options){NULL, 0}, &b->cut, &b->mask, &n, &err));
		pare_activations_done(&seen);
		b->n.unread += n.unread;
		b->n.constant += n.constant;
	}
	run(b, &fit, b->after);
	for (size_t i = 0; i < b->len; i++)
		ck_assert_float_eq_tol(b->before[i], b->after[i], 1e-5f);
}

static void close_bench(struct bench *b)
{
	pare_structures_free(b->g);
	pare_cut_done(&b->cut);
	pare_mask_done(&b->mask);
	pare_net_free(b->net);
	gb_free(b->gb);
	pare_data_free(b->f.data);
	pare_buf_done(&b->f.csv);
}

static void fill(struct gb *gb, const char *name, const char *shape, size_t n)
{
	float w[256];

	nc_fill(w, n, 7 + n);
	gb_init(gb, name, shape, w);
}

/* x - fc1 - Sigmoid - fc2 - Tanh - fc3: unit 0 of the first layer is unread, unit 1 says sigmoid(0.7) always. Unit 0 of the second is unread,
 * and so is then unit 4 of the first, which only it read. */
static void check_linear(bool matmul)
{
	struct bench b = {.gb = gb_new(17)};
	float b2[3];

	gb_input(b.gb, "x", "N 4");
	fill(b.gb, "w1", "4 5", 20);
	fill(b.gb, "b1", "5", 5);
	fill(b.gb, "w2", "5 3", 15);
	fill(b.gb, "b2", "3", 3);
	fill(b.gb, "w3", "3 2", 6);
	gb_node(b.gb, "Gemm", "fc1", "x w1 b1", "h");
	gb_node(b.gb, "Sigmoid", "act", "h", "s");
	if (matmul) {
		gb_node(b.gb, "MatMul", "fc2", "s w2", "m");
		gb_node(b.gb, "Add", "add", "b2 m", "t");
	} else {
		gb_node(b.gb, "Gemm", "fc2", "s w2 b2", "t");
	}
	gb_node(b.gb, "Tanh", "act2", "t", "u");
	gb_node(b.gb, "MatMul", "fc3", "u w3", "y");
	gb_output(b.gb, "y");
	open_bench(&b, 4);
	for (int i = 0; i < 4; i++)
		param(&b, "w1")[i * 5 + 1] = 0;
	param(&b, "b1")[1] = 0.7f;
	for (int o = 0; o < 3; o++) {
		b2[o] = param(&b, "b2")[o] + param(&b, "w2")[1 * 3 + o] / (1 + expf(-0.7f));
		param(&b, "w2")[0 * 3 + o] = 0;
		param(&b, "w2")[4 * 3 + o] = o == 0 ? 0.5f : 0;
	}
	param(&b, "w3")[0] = param(&b, "w3")[1] = 0;
	remove_all(&b);
	ck_assert_int_eq(b.n.unread, 3);
	ck_assert_int_eq(b.n.constant, 1);
	for (int o = 1; o < 3; o++)
		ck_assert_float_eq_tol(param(&b, "b2")[o], b2[o], 1e-6f);
	ck_assert_int_eq(b.g->n_units, 8);
	for (int u = 0; u < 8; u++)
		ck_assert(pare_cut_has(&b.cut, b.g, u) == (u == 0 || u == 1 || u == 4 || u == 5));
	close_bench(&b);
}

START_TEST(linear)
{
	check_linear(false);
	check_linear(true);
}
END_TEST

/* Filter 0 is 0.5 everywhere, which a padded convolution does not see at the border; filter 1 is 0 behind the ReLU. */
static void check_conv(bool padded)
{
	static const int64_t pads[4] = {1, 1, 1, 1};
	struct bench b = {.gb = gb_new(17)};

	gb_input(b.gb, "x", "N 1 4 5");
	fill(b.gb, "w1", "4 1 1 1", 4);
	fill(b.gb, "b1", "4", 4);
	fill(b.gb, "w2", "2 4 3 3", 72);
	fill(b.gb, "b2", "2", 2);
	gb_node(b.gb, "Conv", "conv1", "x w1 b1", "h");
	gb_node(b.gb, "Relu", "relu", "h", "s");
	gb_node(b.gb, "Conv", "conv2", "s w2 b2", "m");
	if (padded)
		gb_attr_ints(b.gb, "pads", pads, 4);
	gb_node(b.gb, "Flatten", "flat", "m", "y");
	gb_output(b.gb, "y");
	open_bench(&b, 20);
	param(&b, "w1")[0] = param(&b, "w1")[1] = 0;
	param(&b, "b1")[0] = 0.5f;
	param(&b, "b1")[1] = -0.5f;
	remove_all(&b);
	ck_assert_int_eq(b.n.unread, 0);
	ck_assert_int_eq(b.n.constant, padded ? 1 : 2);
	ck_assert(pare_cut_has(&b.cut, b.g, 1) && pare_cut_has(&b.cut, b.g, 0) == !padded);
	close_bench(&b);
}

START_TEST(convolutions)
{
	check_conv(false);
	check_conv(true);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dead");
	TCase *tc = tcase_create("dead");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, linear);
	tcase_add_test(tc, convolutions);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
