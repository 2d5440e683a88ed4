/* What structure criteria are told of data, against the definition: the loss without a unit, the entropy, spread and rank of its outputs. */
#include <math.h>

#include "core/base/mem.h"
#include "core/train/ablate.h"
#include "core/train/activations.h"
#include "tests/core/train/train_support.h"
#include "tests/support/fit.h"
#include "tests/support/graph_builder.h"

enum { ROWS = 80, HIDDEN = 6 };

static void make(struct fixture *f, struct pare_fit *fit, struct pare_structures **g)
{
	static const struct pare_arch_layer layers[] = {{.units = HIDDEN, .activation = PARE_ACT_TANH}, {.units = 2}};
	struct pare_err err = {0};

	*f = (struct fixture){0};
	net_make(f, 2, 2, layers, 1, ROWS);
	circle_data(f, ROWS, 0);
	ck_ok(pare_fit_make(f->net, f->data, NULL, fit, &err));
	ck_ok(pare_structures_new(f->net, PARE_GRANULARITY_CHANNEL, NULL, g, &err));
	ck_assert_int_eq((*g)->n_units, HIDDEN);
}

static double loss(struct fixture *f)
{
	struct pare_metrics m = {0};
	struct pare_err err = {0};
	double l;

	ck_ok(pare_eval(f->net, f->data, PARE_SPLIT_TRAIN, NULL, &m, &err));
	l = m.loss;
	pare_metrics_done(&m);
	return l;
}

START_TEST(ablation_is_the_loss_without)
{
	struct pare_observe_options opt = {.n_rows = ROWS, .batch_size = 16, .seed = 1};
	struct pare_structures *g;
	struct pare_err err = {0};
	struct pare_fit fit;
	struct fixture f;
	struct pare_cut cut;
	double rise[HIDDEN], whole;
	float *before;
	size_t n;

	make(&f, &fit, &g);
	opt.fit = &fit;
	n = pare_net_slab_len(f.net);
	before = pare_calloc(n, sizeof *before);
	memcpy(before, pare_net_slab(f.net), n * sizeof *before);
	ck_ok(pare_cut_init(&cut, f.net, &err));
	ck_assert(pare_cut_unit(&cut, g, 2));
	ck_ok(pare_ablate(f.net, g, &cut, f.data, &opt, rise, &err));
	ck_assert_mem_eq(before, pare_net_slab(f.net), n * sizeof *before);
	whole = loss(&f);
	for (size_t u = 0; u < HIDDEN; u++) {
		*weight_at(&f, "fc1.weight", 2 * u) = *weight_at(&f, "fc1.weight", 2 * u + 1) = *weight_at(&f, "fc1.bias", u) = 0.0f;
		*weight_at(&f, "fc2.weight", u) = *weight_at(&f, "fc2.weight", HIDDEN + u) = 0.0f;
		ck_assert_double_eq_tol(rise[u], u == 2 ? 0 : loss(&f) - whole, 1e-5);
		memcpy(pare_net_slab(f.net), before, n * sizeof *before);
	}
	pare_free(before);
	pare_cut_done(&cut);
	pare_structures_free(g);
	fixture_done(&f);
}
END_TEST

static double entropy_of(const double *a, int n, int n_bins)
{
	double low = INFINITY, high = -INFINITY, bins[32] = {0}, h = 0;

	for (int i = 0; i < n; i++) {
		low = fmin(low, a[i]);
		high = fmax(high, a[i]);
	}
	for (int i = 0; i < n; i++) {
		int bin = n_bins == 2 ? a[i] > (low > 0 ? (low + high) / 2 : 0) : (int)((a[i] - low) / ((high - low) / n_bins));

		bins[bin < n_bins ? bin : n_bins - 1] += 1.0 / n;
	}
	for (int i = 0; i < n_bins; i++)
		h -= bins[i] > 0 ? bins[i] * log(bins[i]) : 0;
	return h;
}

static double spread_of(const double *a, int n)
{
	double mean = 0, squares = 0;

	for (int i = 0; i < n; i++)
		mean += a[i] / n;
	for (int i = 0; i < n; i++)
		squares += (a[i] - mean) * (a[i] - mean) / n;
	return sqrt(squares);
}

/* What unit u says of every row, computed here. */
static void say(struct fixture *f, size_t u, double *a)
{
	for (uint32_t row = 0; row < ROWS; row++) {
		float x[2];

		pare_data_fill(f->data, 0, &row, 1, x);
		a[row] = tanh((double)*weight_at(f, "fc1.weight", 2 * u) * (double)x[0] + (double)*weight_at(f, "fc1.weight", 2 * u + 1) * (double)x[1] + (double)*weight_at(f, "fc1.bias", u));
	}
}

static void check_entropy(struct fixture *f, const struct pare_fit *fit, const struct pare_structures *g, int bins, bool weighted)
{
	struct pare_observe_options opt = {.n_rows = ROWS, .seed = 1, .bins = bins, .fit = fit};
	struct pare_structure_input in = {.net = f->net, .groups = g, .group = &g->groups[0], .weighted = weighted};
	struct pare_activation_stats seen;
	struct pare_err err = {0};
	float entropy[HIDDEN], spread[HIDDEN];

	ck_ok(pare_activations(f->net, g, f->data, &opt, PARE_STRUCTURE_STAT_ENTROPY, &seen, &err));
	in.activations = &seen;
	ck_ok(pare_structure_criterion_find("entropy")->score(&in, entropy, &err));
	in.centered = true;
	ck_ok(pare_structure_criterion_find("mean_activation")->score(&in, spread, &err));
	ck_assert_float_eq_tol(entropy[0], 0.0f, 1e-6f);
	ck_assert_float_eq_tol(spread[0], 0.0f, 1e-6f);
	for (size_t u = 1; u < HIDDEN; u++) {
		double a[ROWS], reach = weighted ? hypot((double)*weight_at(f, "fc2.weight", u), (double)*weight_at(f, "fc2.weight", HIDDEN + u)) : 1;

		say(f, u, a);
		ck_assert_double_eq_tol(entropy[u], entropy_of(a, ROWS, bins) * reach, 0.06); /* an output on the edge of a bin may fall to either side */
		ck_assert_double_eq_tol(spread[u], spread_of(a, ROWS) * reach, 1e-5);
	}
	pare_activations_done(&seen);
}

/* Bins, on and off, and the spread, each alone and times the weights that read the unit. */
START_TEST(outputs_are_described_as_they_are)
{
	struct pare_structures *g;
	struct pare_fit fit;
	struct fixture f;

	make(&f, &fit, &g);
	*weight_at(&f, "fc1.weight", 0) = *weight_at(&f, "fc1.weight", 1) = 0.0f; /* unit 0 always says the same */
	check_entropy(&f, &fit, g, 32, false);
	check_entropy(&f, &fit, g, 2, false);
	check_entropy(&f, &fit, g, 32, true);
	check_entropy(&f, &fit, g, 2, true);
	pare_structures_free(g);
	fixture_done(&f);
}
END_TEST

/* Images are products of a column and a row: rank 1, and 2 with a constant added. */
START_TEST(ranks_are_those_of_the_maps)
{
	static const float w1[3] = {2, 0, 1}, b1[3] = {0, 0, 1}, w2[3] = {1, 1, 1};
	static const float want[3] = {1, 0, 2};
	const struct pare_net_options no = {.n_threads = 1, .max_batch = 64, .training = true};
	struct pare_observe_options opt = {.n_rows = 20, .seed = 1};
	struct pare_structure_input in;
	struct pare_activation_stats seen;
	struct pare_structures *g;
	struct fixture f = {0};
	struct pare_err err = {0};
	struct pare_fit fit;
	struct pare_net *net;
	float score[3];
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 1 4 5");
	gb_init(b, "w1", "3 1 1 1", w1);
	gb_init(b, "b1", "3", b1);
	gb_init(b, "w2", "1 3 1 1", w2);
	gb_node(b, "Conv", "conv1", "x w1 b1", "h");
	gb_node(b, "Conv", "conv2", "h w2", "m");
	gb_node(b, "Flatten", "flat", "m", "y");
	gb_output(b, "y");
	ck_ok(pare_net_new(gb_model(b), &no, &net, &err));
	csv_begin(&f, 20);
	for (int r = 0; r < 20; r++) {
		double x[20];

		for (int i = 0; i < 20; i++)
			x[i] = (1 + (i / 5 * 7 + r) % 5) * 0.3 * (1 + (i % 5 * 3 + r) % 7);
		csv_row(&f, 20, x, r % 3);
	}
	csv_end(&f, PARE_TASK_CLASSIFY, 0);
	ck_ok(pare_fit_make(net, f.data, NULL, &fit, &err));
	ck_ok(pare_structures_new(net, PARE_GRANULARITY_CHANNEL, NULL, &g, &err));
	ck_assert_int_eq(g->n_units, 3);
	opt.fit = &fit;
	ck_ok(pare_activations(net, g, f.data, &opt, PARE_STRUCTURE_STAT_RANK, &seen, &err));
	in = (struct pare_structure_input){.net = net, .groups = g, .group = &g->groups[0], .activations = &seen};
	ck_ok(pare_structure_criterion_find("hrank")->score(&in, score, &err));
	for (size_t u = 0; u < 3; u++)
		ck_assert_float_eq_tol(score[u], want[u], 1e-6f);
	pare_activations_done(&seen);
	pare_structures_free(g);
	pare_net_free(net);
	gb_free(b);
	pare_data_free(f.data);
	pare_buf_done(&f.csv);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("structure_stats");
	TCase *tc = tcase_create("structure_stats");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, ablation_is_the_loss_without);
	tcase_add_test(tc, outputs_are_described_as_they_are);
	tcase_add_test(tc, ranks_are_those_of_the_maps);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
