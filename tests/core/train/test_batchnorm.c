/* BatchNormalization in training against PyTorch (tests/golden/batchnorm.py): gradients, losses, running statistics and what the
 * trained net then says, with one shard and with several, some of which have no rows. And what must stay still: frozen
 * statistics, and buffers under every optimizer; and that estimated statistics are those of the data. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "tests/core/train/train_support.h"
#include "tests/golden/batchnorm.h"
#include "tests/support/net_check.h"

#define BATCH 7
#define CLASSES 3
#define STEPS 5
#define TOLERANCE 2e-5
#define N_TENSORS ((int)(sizeof golden_tensor_table / sizeof golden_tensor_table[0]))

static const int shard_table[] = {1, 2, 3, 5, 8};
#define N_SHARDS ((int)(sizeof shard_table / sizeof shard_table[0]))

/* form 1: as exporters write a net that trains, with training_mode and running averages as outputs that nobody reads */
static void batch_norm(struct gb *b, int form, const char *name, const char *in, const char *out)
{
	char outputs[64];

	(void)snprintf(outputs, sizeof outputs, form != 0 ? "%s %s_m %s_v" : "%s", out, out, out);
	gb_node(b, "BatchNormalization", name, in, outputs);
	if (form != 0)
		gb_attr_int(b, "training_mode", 1);
}

static struct gb *golden_net(int form)
{
	static const int64_t one[4] = {1, 1, 1, 1}, two[2] = {2, 2};
	struct gb *b = gb_new(15);

	gb_input(b, "x", "N 2 5 4");
	for (int i = 0; i < N_TENSORS; i++)
		gb_init(b, golden_tensor_table[i].name, golden_tensor_table[i].shape, golden_tensor_table[i].data);
	gb_node(b, "Conv", "conv0", "x 0.weight", "a0");
	gb_attr_ints(b, "pads", one, 4);
	batch_norm(b, form, "bn1", "a0 1.weight 1.bias 1.running_mean 1.running_var", "a1");
	gb_attr_float(b, "momentum", 0.8f);
	gb_node(b, "Relu", "relu2", "a1", "a2");
	gb_node(b, "Conv", "conv3", "a2 3.weight 3.bias", "a3");
	gb_attr_ints(b, "strides", two, 2);
	batch_norm(b, form, "bn4", "a3 4.weight 4.bias 4.running_mean 4.running_var", "a4");
	gb_attr_float(b, "epsilon", 1e-3f);
	gb_node(b, "Relu", "relu5", "a4", "a5");
	gb_node(b, "GlobalAveragePool", "pool6", "a5", "a6");
	gb_node(b, "Flatten", "flat7", "a6", "a7");
	gb_node(b, "Gemm", "fc8", "a7 8.weight 8.bias", "a8");
	gb_attr_int(b, "transB", 1);
	batch_norm(b, form, "bn9", "a8 9.weight 9.bias 9.running_mean 9.running_var", "a9");
	gb_node(b, "Gemm", "fc10", "a9 10.weight 10.bias", "y");
	gb_attr_int(b, "transB", 1);
	gb_output(b, "y");
	return b;
}

static void golden_fixture(struct fixture *f, struct gb *b, int n_threads)
{
	csv_begin(f, 40);
	for (int i = 0; i < BATCH; i++) {
		double x[40];

		for (int j = 0; j < 40; j++)
			x[j] = (double)golden_x[40 * i + j];
		csv_row(f, 40, x, golden_labels[i]);
	}
	csv_end(f, PARE_TASK_CLASSIFY, 0);
	f->net = nc_net(b, n_threads, BATCH, true);
}

static const struct pare_param_info *param_named(const struct pare_net *net, const char *name)
{
	for (int p = 0; p < pare_net_n_params(net); p++)
		if (strcmp(pare_net_param(net, p)->name, name) == 0)
			return pare_net_param(net, p);
	ck_abort_msg("no tensor %s", name);
	return NULL;
}

static bool is_running(const char *name)
{
	return strstr(name, "running") != NULL;
}

static void check_close(double got, double want, const char *what, size_t i)
{
	ck_assert_msg(fabs(got - want) < TOLERANCE * fmax(1, fabs(want)), "%s[%zu] is %.9g, want %.9g", what, i, got, want);
}

/* One step of plain gradient descent with rate 1 moves every weight by its gradient. */
START_TEST(gradients_are_pytorchs)
{
	struct pare_train_options opt = train_options("sgd", 1.0, 1, BATCH);
	struct gb *b = golden_net(_i / N_SHARDS);
	struct fixture f = {0};
	struct pare_err err = {0};

	golden_fixture(&f, b, shard_table[_i % N_SHARDS]);
	ck_assert_int_eq(pare_net_n_shards(f.net), shard_table[_i % N_SHARDS]);
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	for (int i = 0; i < N_TENSORS; i++) {
		const struct golden_tensor *g = &golden_tensor_table[i];
		const struct pare_param_info *p = param_named(f.net, g->name);

		ck_assert_int_eq(p->buffer, is_running(g->name));
		for (size_t k = 0; !p->buffer && k < p->n_elems; k++)
			check_close((double)g->data[k] - (double)pare_net_slab(f.net)[p->offset + k], (double)g->gradient[k], g->name, k);
	}
	fixture_done(&f);
	gb_free(b);
}
END_TEST

static bool keep_loss(void *ctx, const struct pare_train_report *r)
{
	double *losses = ctx;

	losses[r->epoch - 1] = r->train_loss;
	return true;
}

static void check_logits(struct pare_net *net)
{
	float got[BATCH * CLASSES];
	struct pare_err err = {0};

	ck_ok(pare_net_infer(net, golden_x, BATCH, got, &err));
	for (size_t i = 0; i < BATCH * CLASSES; i++)
		check_close((double)got[i], (double)golden_logits[i], "logit", i);
}

/* Also through the model: what is stored, read again and run elsewhere. */
START_TEST(training_is_pytorchs)
{
	struct pare_train_options opt = train_options("sgd", 0.1, STEPS, BATCH);
	struct gb *b = golden_net(_i / N_SHARDS);
	struct fixture f = {0};
	struct pare_err err = {0};
	struct pare_net *again;
	double losses[STEPS];

	opt.optimizer_args.momentum = 0.9;
	opt.report = keep_loss;
	opt.report_ctx = losses;
	golden_fixture(&f, b, shard_table[_i % N_SHARDS]);
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	for (size_t i = 0; i < STEPS; i++)
		check_close(losses[i], (double)golden_losses[i], "loss", i);
	for (int i = 0; i < N_TENSORS; i++) {
		const struct golden_tensor *g = &golden_tensor_table[i];
		const struct pare_param_info *p = param_named(f.net, g->name);

		for (size_t k = 0; k < p->n_elems; k++)
			check_close((double)pare_net_slab(f.net)[p->offset + k], (double)g->after[k], g->name, k);
	}
	check_logits(f.net);
	ck_ok(pare_net_store(f.net, gb_model(b), &err));
	if (_i < N_SHARDS) { /* the training form has no inference but by the batch */
		again = nc_net(b, 2, 4, false);
		check_logits(again);
		pare_net_free(again);
	}
	fixture_done(&f);
	gb_free(b);
}
END_TEST

/* Frozen: nothing moves the statistics, and gradients take them as constants (numeric gradients in tests/core/ops). */
START_TEST(frozen_statistics_stay)
{
	struct pare_train_options opt = train_options("adam", 0.01, 3, 3);
	struct gb *b = golden_net(0);
	struct fixture f = {0};
	struct pare_err err = {0};

	opt.freeze_statistics = true;
	golden_fixture(&f, b, 2);
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	for (int i = 0; i < N_TENSORS; i++) {
		const struct golden_tensor *g = &golden_tensor_table[i];
		const struct pare_param_info *p = param_named(f.net, g->name);
		bool same = memcmp(pare_net_slab(f.net) + p->offset, g->data, p->n_elems * sizeof(float)) == 0;

		ck_assert_msg(same == is_running(g->name), "%s", g->name);
	}
	fixture_done(&f);
	gb_free(b);
}
END_TEST

/* The only thing between input and statistics is a Flatten: the estimate is the mean of the batches' own figures. */
START_TEST(estimates_are_means_of_batches)
{
	static const float scale[] = {1, 1}, shift[] = {0, 0}, mean[] = {50, 50}, var[] = {9, 9};
	static const float x[4][2] = {{1, -2}, {3, 4}, {0, 1}, {5, 1}};
	struct gb *b = gb_new(15);
	const float *inputs[1];
	struct pare_net *net;

	gb_input(b, "x", "N 2");
	gb_init(b, "s", "2", scale);
	gb_init(b, "t", "2", shift);
	gb_init(b, "m", "2", mean);
	gb_init(b, "v", "2", var);
	gb_node(b, "BatchNormalization", "bn", "x s t m v", "y");
	gb_output(b, "y");
	net = nc_net(b, 1 + _i, 2, true);
	ck_assert(pare_net_has_statistics(net));
	for (uint64_t step = 0; step < 2; step++) {
		inputs[0] = x[2 * step];
		nc_forward(net, inputs, 2, PARE_MODE_ESTIMATE, step);
	}
	/* batches {1, 3} {0, 5} and {-2, 4} {1, 1}, variances divided by n - 1 */
	check_close((double)pare_net_slab(net)[param_named(net, "m")->offset], 2.25, "mean", 0);
	check_close((double)pare_net_slab(net)[param_named(net, "m")->offset + 1], 1, "mean", 1);
	check_close((double)pare_net_slab(net)[param_named(net, "v")->offset], (2 + 12.5) / 2, "variance", 0);
	check_close((double)pare_net_slab(net)[param_named(net, "v")->offset + 1], 9, "variance", 1);
	inputs[0] = x[0]; /* one row: nothing to take a variance of */
	nc_forward(net, inputs, 1, PARE_MODE_TRAIN, 0);
	check_close((double)pare_net_slab(net)[param_named(net, "v")->offset + 1], 9, "variance", 1);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* A pass over the data: mean and variance of 40 rows in one batch, for any number of threads; weights stay. */
START_TEST(statistics_are_estimated_from_rows)
{
	static const float scale[] = {2, 3}, shift[] = {1, 0}, mean[] = {50, 50}, var[] = {9, 9};
	struct gb *b = gb_new(15);
	struct fixture f = {0};
	struct pare_err err = {0};
	struct pare_fit fit;
	double sum[2] = {0}, squares[2] = {0};
	const float *slab;

	gb_input(b, "x", "N 2");
	gb_init(b, "s", "2", scale);
	gb_init(b, "t", "2", shift);
	gb_init(b, "m", "2", mean);
	gb_init(b, "v", "2", var);
	gb_node(b, "BatchNormalization", "bn", "x s t m v", "y");
	gb_output(b, "y");
	csv_begin(&f, 2);
	for (int i = 0; i < 40; i++) {
		double x[2] = {(double)(i * 7 % 11), (double)(i * i % 13) - 3};

		csv_row(&f, 2, x, i % 2);
		for (int c = 0; c < 2; c++) {
			sum[c] += x[c] / 40;
			squares[c] += x[c] * x[c] / 40;
		}
	}
	csv_end(&f, PARE_TASK_CLASSIFY, 0);
	f.net = nc_net(b, 1 + _i, 40, true);
	ck_ok(pare_fit_make(f.net, f.data, NULL, &fit, &err));
	ck_ok(pare_estimate(f.net, f.data, &fit, 40, 0, 7, NULL, &err));
	slab = pare_net_slab(f.net);
	for (size_t c = 0; c < 2; c++) {
		check_close((double)slab[param_named(f.net, "m")->offset + c], sum[c], "mean", c);
		check_close((double)slab[param_named(f.net, "v")->offset + c], (squares[c] - sum[c] * sum[c]) * 40 / 39, "variance", c);
		ck_assert(slab[param_named(f.net, "s")->offset + c] == scale[c] && slab[param_named(f.net, "t")->offset + c] == shift[c]);
	}
	ck_ok(pare_estimate(f.net, f.data, &fit, 7, 21, 7, NULL, &err)); /* batches of a part: near it */
	ck_assert_double_eq_tol((double)slab[param_named(f.net, "m")->offset], sum[0], 2);
	fixture_done(&f);
	gb_free(b);
}
END_TEST

/* A running mean that is also a weight has a gradient that nobody could compute. */
START_TEST(statistics_are_not_weights)
{
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 2, .training = true};
	static const float one[] = {1, 1};
	struct gb *b = gb_new(15);
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	gb_input(b, "x", "N 2");
	gb_init(b, "s", "2", one);
	gb_node(b, "BatchNormalization", "bn", "x s s s s", "y");
	gb_output(b, "y");
	ck_assert_int_eq(pare_net_new(gb_model(b), &opt, &net, &err), PARE_E_UNSUPPORTED_OP);
	ck_assert_msg(strstr(err.message, "running statistics") != NULL, "%s", err.message);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("batch normalization");
	TCase *t = tcase_create("training");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, gradients_are_pytorchs, 0, 2 * N_SHARDS);
	tcase_add_loop_test(t, training_is_pytorchs, 0, 2 * N_SHARDS);
	tcase_add_test(t, frozen_statistics_stay);
	tcase_add_loop_test(t, estimates_are_means_of_batches, 0, 2);
	tcase_add_loop_test(t, statistics_are_estimated_from_rows, 0, 3);
	tcase_add_test(t, statistics_are_not_weights);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
