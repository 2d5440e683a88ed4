/* Nets as the training loop uses them: shards, gradients of graphs with forks and shared parameters, memory that is
 * planned once. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/net_check.h"

#define BATCH 7

static float data[4096];

/* 6 -> 5 -> 3 with Relu, on [N, 2, 3]. */
static struct gb *mlp(void)
{
	struct gb *b = gb_new(17);
	float w[64];

	gb_input(b, "x", "N 2 3");
	nc_fill(w, 30, 1);
	gb_init(b, "fc1.weight", "5 6", w);
	nc_fill(w, 5, 2);
	gb_init(b, "fc1.bias", "5", w);
	nc_fill(w, 15, 3);
	gb_init(b, "fc2.weight", "3 5", w);
	nc_fill(w, 3, 4);
	gb_init(b, "fc2.bias", "3", w);
	gb_node(b, "Flatten", "flatten", "x", "f");
	gb_node(b, "Gemm", "fc1", "f fc1.weight fc1.bias", "h");
	gb_attr_int(b, "transB", 1);
	gb_node(b, "Relu", "relu1", "h", "r");
	gb_node(b, "Gemm", "fc2", "r fc2.weight fc2.bias", "y");
	gb_attr_int(b, "transB", 1);
	gb_output(b, "y");
	return b;
}

static const float *const *input(void)
{
	static const float *const in[2] = {data, data + 2048};

	nc_fill(data, 4096, 99);
	return in;
}

START_TEST(what_a_net_says_of_itself)
{
	struct gb *b = mlp();
	struct pare_net *net = nc_net(b, 2, BATCH, true);
	const struct pare_param_info *p = pare_net_param(net, 0);
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;

	ck_assert_uint_eq(pare_net_input_shape(net, 0, &n_dims, dims), 6);
	ck_assert_int_eq(n_dims, 3);
	ck_assert_int_eq(dims[0], PARE_DIM_UNKNOWN);
	ck_assert_uint_eq(pare_net_output_shape(net, 0, &n_dims, dims), 3);
	ck_assert_int_eq(pare_net_output_kind(net, 0), PARE_OUTPUT_RAW);
	ck_assert_int_eq(pare_net_n_params(net), 4);
	ck_assert_uint_eq(pare_net_slab_len(net), 32 + 16 + 16 + 16);
	ck_assert_str_eq(p->name, "fc1.weight");
	ck_assert_int_eq(p->node, 1);
	ck_assert_int_eq(p->out_axis, 0);
	ck_assert(p->prunable);
	ck_assert(!pare_net_param(net, 1)->prunable);
	ck_assert_int_eq(pare_net_param(net, 1)->out_axis, 0);
	ck_assert_uint_eq(pare_net_param(net, 2)->offset, 48);
	ck_assert_int_eq(pare_net_macs(net), 30 + 15);
	ck_assert_int_eq(pare_net_node_macs(net, 3), 15);
	ck_assert_int_eq(pare_net_node_macs(net, 2), 0);
	ck_assert_int_eq(pare_net_n_shards(net), 2);
	for (size_t i = 30; i < 32; i++)
		ck_assert(pare_net_slab(net)[i] == 0.0f);
	pare_net_free(net);
	pare_net_free(NULL);
	gb_free(b);
}
END_TEST

START_TEST(rows_of_shards_cover_the_batch)
{
	struct gb *b = mlp();
	struct pare_net *net = nc_net(b, 4, 64, false);

	for (int64_t n = 0; n <= 64; n++) {
		int64_t next = 0;

		for (int s = 0; s < 4; s++) {
			int64_t first, count;

			pare_net_shard_rows(net, n, s, &first, &count);
			ck_assert(count >= 0 && count <= 16);
			ck_assert_int_eq(first, next);
			next += count;
		}
		ck_assert_int_eq(next, n);
	}
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Every way to cut the batch gives the same outputs and gradients; short batches and empty shards included. */
START_TEST(shards_agree)
{
	const float *const *in = input();
	float out[4][64], grads[4][128];
	int64_t rows = _i;

	for (int n = 1; n <= 4; n++) {
		struct gb *b = mlp();
		struct pare_net *net = nc_net(b, n, BATCH, true);

		nc_forward(net, in, BATCH, true, 0);
		nc_backward(net, BATCH, grads[n - 1]);
		nc_forward(net, in, rows, true, 1);
		(void)nc_output(net, 0, rows, out[n - 1]);
		nc_backward(net, rows, grads[n - 1]);
		for (int64_t i = 0; i < rows * 3; i++)
			ck_assert(fabsf(out[n - 1][i] - out[0][i]) <= 1e-6f);
		for (size_t i = 0; i < pare_net_slab_len(net); i++)
			ck_assert_msg(fabsf(grads[n - 1][i] - grads[0][i]) <= 1e-6f * (1 + fabsf(grads[0][i])), "%d shards, gradient %zu", n, i);
		for (size_t i = 30; i < 32; i++)
			ck_assert(grads[n - 1][i] == 0.0f);
		pare_net_free(net);
		gb_free(b);
	}
}
END_TEST

START_TEST(same_bits_twice)
{
	const float *const *in = input();
	float grads[2][128];

	for (int i = 0; i < 2; i++) {
		struct gb *b = mlp();
		struct pare_net *net = nc_net(b, 2, BATCH, true);

		nc_forward(net, in, BATCH, true, 5);
		nc_backward(net, BATCH, grads[i]);
		pare_net_free(net);
		gb_free(b);
	}
	ck_assert_mem_eq(grads[0], grads[1], sizeof(float) * 80);
}
END_TEST

START_TEST(mlp_gradient)
{
	struct gb *b = mlp();
	struct pare_net *net = nc_net(b, 2, BATCH, true);
	double error = nc_gradient_error(net, input(), BATCH, false, 1.0 / 1024);

	ck_assert_msg(error < 2e-3, "gradient off by %g", error);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* One weight in two places, a residual connection, an inner value that is also an output, an output twice. */
static struct gb *forks(void)
{
	struct gb *b = gb_new(13);
	float w[32];

	gb_input(b, "x", "N 4");
	nc_fill(w, 16, 1);
	gb_init(b, "w", "4 4", w);
	nc_fill(w, 4, 2);
	gb_init(b, "s", "4", w);
	gb_init(b, "unused", "2 2", NULL);
	gb_node(b, "MatMul", "m1", "x w", "a");
	gb_node(b, "Tanh", "t1", "a", "b");
	gb_node(b, "MatMul", "m2", "b w", "c");
	gb_node(b, "Add", "res", "c b", "d");
	gb_node(b, "Mul", "scale", "d s", "e");
	gb_node(b, "Identity", "id", "e", "f");
	gb_node(b, "Mul", "square", "f f", "g");
	gb_node(b, "Identity", "wcopy", "w", "w2");
	gb_node(b, "Gemm", "g1", "g w2 s", "h");
	gb_output(b, "h");
	gb_output(b, "d");
	gb_output(b, "f");
	gb_output(b, "e");
	gb_output(b, "s");
	return b;
}

START_TEST(forks_and_shared_parameters)
{
	struct gb *b = forks();
	struct pare_net *net = nc_net(b, 1, BATCH, true);
	double error = nc_gradient_error(net, input(), BATCH, false, 1.0 / 512);

	ck_assert_int_eq(pare_net_n_params(net), 2);
	ck_assert_msg(error < 2e-3, "gradient off by %g", error);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Outputs that nobody fills count as zero, also after a pass in which they were filled by nobody twice. */
START_TEST(unfilled_output_gradients_are_zero)
{
	struct gb *b = forks();
	struct pare_net *net = nc_net(b, 1, BATCH, true);
	float first[64];

	nc_forward(net, input(), BATCH, false, 0);
	for (int i = 0; i < BATCH * 4; i++)
		pare_net_shard_output_grad(net, 0, 0)[i] = 1.0f;
	pare_net_shard_backward(net, 0);
	memcpy(first, pare_net_shard_grads(net, 0), pare_net_slab_len(net) * sizeof(float));
	nc_forward(net, input(), BATCH, false, 0);
	pare_net_shard_backward(net, 0);
	ck_assert_mem_eq(first, pare_net_shard_grads(net, 0), pare_net_slab_len(net) * sizeof(float));
	ck_assert(first[0] != 0.0f);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Inference reuses memory, training keeps everything: the memory is not the same, the numbers are, but for the rounding of sums,
 * since inference may pack weights and multiply by another kernel. */
START_TEST(inference_reuses_memory)
{
	const float *const *in = input();
	float out[2][64];
	size_t len[2];

	for (int training = 0; training < 2; training++) {
		struct gb *b = gb_new(13);
		struct pare_net *net;
		float w[64];

		nc_fill(w, 64, 3);
		gb_input(b, "v0", "N 8");
		gb_init(b, "w", "8 8", w);
		for (int i = 0; i < 20; i++) {
			char to[16], ports[32];

			(void)snprintf(to, sizeof to, "v%d", i + 1);
			(void)snprintf(ports, sizeof ports, "v%d w", i);
			gb_node(b, "MatMul", to, ports, to);
		}
		gb_output(b, "v20");
		net = nc_net(b, 1, BATCH, training != 0);
		nc_forward(net, in, BATCH, false, 0);
		ck_assert_uint_eq(nc_output(net, 0, BATCH, out[training]), BATCH * 8);
		len[training] = net->shard_len;
		pare_net_free(net);
		gb_free(b);
	}
	for (int i = 0; i < BATCH * 8; i++)
		ck_assert_float_le(fabsf(out[0][i] - out[1][i]), 1e-5f * fabsf(out[0][i]));
	ck_assert_uint_le(len[0], 3 * 64);
	ck_assert_uint_ge(len[1], 21 * 64);
}
END_TEST

START_TEST(infer_any_number_of_rows)
{
	struct gb *b = mlp();
	struct pare_net *net = nc_net(b, 2, BATCH, false);
	const float *x = input()[0];
	float all[300], one[3];

	ck_assert_int_eq(pare_net_infer(net, x, 100, all, NULL), PARE_OK);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(pare_net_infer(net, x + i * 6, 1, one, NULL), PARE_OK);
		for (int k = 0; k < 3; k++)
			ck_assert(fabsf(one[k] - all[i * 3 + k]) < 1e-6f);
	}
	ck_assert_int_eq(pare_net_infer(net, x, 0, all, NULL), PARE_OK);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

struct step {
	struct pare_net *net;
	uint64_t n;
};

static void one_step(void *ctx, int t)
{
	struct step *s = ctx;
	int64_t first, count;

	pare_net_shard_rows(s->net, BATCH, t, &first, &count);
	memcpy(pare_net_shard_input(s->net, t, 0), data + first * 6, (size_t)count * 6 * sizeof(float));
	pare_net_shard_forward(s->net, t, count, PARE_MODE_TRAIN, s->n, first);
	memcpy(pare_net_shard_output_grad(s->net, t, 0), pare_net_shard_output(s->net, t, 0), (size_t)count * 3 * sizeof(float));
	pare_net_shard_backward(s->net, t);
}

/* Steps on real threads: no allocation, and what the threads computed is what one after the other computes. */
START_TEST(steps_do_not_allocate)
{
	struct gb *b = mlp();
	struct pare_net *net = nc_net(b, 2, BATCH, true);
	struct step s = {.net = net};
	float grads[2][128];

	(void)input();
	fail_alloc_install(0);
	for (s.n = 0; s.n < 50; s.n++)
		pare_net_parallel(net, one_step, &s);
	ck_assert_int_eq(pare_net_infer(net, data, 20, data + 1000, NULL), PARE_OK);
	ck_assert_int_eq(fail_alloc_count(), 0);
	fail_alloc_remove();
	pare_net_parallel(net, one_step, &s);
	pare_net_reduce_grads(net, 0, 128 < pare_net_slab_len(net) ? 128 : pare_net_slab_len(net), grads[0]);
	for (int t = 0; t < 2; t++)
		one_step(&s, t);
	pare_net_reduce_grads(net, 0, 40, grads[1]);
	pare_net_reduce_grads(net, 40, pare_net_slab_len(net), grads[1]);
	ck_assert_mem_eq(grads[0], grads[1], pare_net_slab_len(net) * sizeof(float));
	pare_net_free(net);
	gb_free(b);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	struct gb *b = forks();
	const struct pare_net_options opt = {.n_threads = 2, .max_batch = 4, .training = true};
	struct pare_net *net = NULL;
	long n;

	fail_alloc_install(0);
	ck_assert_int_eq(pare_net_new(gb_model(b), &opt, &net, NULL), PARE_OK);
	n = fail_alloc_count();
	pare_net_free(net);
	ck_assert_int_eq(fail_alloc_live(), 0);
	ck_assert_int_gt(n, 3);
	for (long i = 1; i <= n; i++) {
		struct pare_err err = {0};

		net = NULL;
		fail_alloc_install(i);
		ck_assert_int_eq(pare_net_new(gb_model(b), &opt, &net, &err), PARE_E_NOMEM);
		ck_assert_ptr_null(net);
		ck_assert_msg(fail_alloc_live() == 0, "allocation %ld of %ld leaks", i, n);
	}
	fail_alloc_remove();
	gb_free(b);
}
END_TEST

/* store writes back what changed, and only that. */
START_TEST(store_puts_changes_into_the_model)
{
	struct gb *b = mlp();
	struct pare_model *m = gb_model(b);
	struct pare_net *net = nc_net(b, 1, 4, false), *again;
	size_t at = pare_net_param(net, 2)->offset + 3;

	ck_assert_int_eq(pare_net_store(net, m, NULL), PARE_OK);
	ck_assert_ptr_null(m->patches);
	pare_net_slab(net)[at] = 42.0f;
	ck_assert_int_eq(pare_net_store(net, m, NULL), PARE_OK);
	ck_assert_ptr_nonnull(m->patches[pare_net_param(net, 2)->value]);
	ck_assert_ptr_null(m->patches[pare_net_param(net, 0)->value]);
	again = nc_net(b, 1, 4, false);
	ck_assert(pare_net_slab(again)[at] == 42.0f);
	ck_assert_mem_eq(pare_net_slab(net), pare_net_slab(again), pare_net_slab_len(net) * sizeof(float));
	pare_net_free(again);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

static struct gb *with_tail(int opset, const char *op, const char *attr, int64_t v)
{
	struct gb *b = gb_new(opset);

	gb_input(b, "x", "N 4");
	gb_init(b, "w", "4 4", NULL);
	gb_node(b, "MatMul", "m", "x w", "h");
	gb_node(b, op, "tail", "h", "y");
	if (attr != NULL)
		gb_attr_int(b, attr, v);
	gb_output(b, "y");
	return b;
}

START_TEST(output_kinds)
{
	static const struct {
		int opset;
		const char *op, *attr;
		int64_t v;
		enum pare_output_kind want;
		int shards;
	} kind_case_table[] = {
	    {13, "Softmax", NULL, 0, PARE_OUTPUT_PROBABILITY, 2},      {13, "LogSoftmax", "axis", 1, PARE_OUTPUT_LOG_PROBABILITY, 2},
	    {11, "Softmax", NULL, 0, PARE_OUTPUT_PROBABILITY, 2},      {13, "Softmax", "axis", 0, PARE_OUTPUT_RAW, 1},
	    {11, "Softmax", "axis", 0, PARE_OUTPUT_RAW, 1},            {13, "Sigmoid", NULL, 0, PARE_OUTPUT_SIGMOID, 2},
	};

	for (size_t i = 0; i < sizeof kind_case_table / sizeof kind_case_table[0]; i++) {
		struct gb *b = with_tail(kind_case_table[i].opset, kind_case_table[i].op, kind_case_table[i].attr, kind_case_table[i].v);
		struct pare_net *net = nc_net(b, 2, 6, true);

		ck_assert_int_eq(pare_net_output_kind(net, 0), kind_case_table[i].want);
		ck_assert_int_eq(pare_net_n_shards(net), kind_case_table[i].shards);
		pare_net_free(net);
		gb_free(b);
	}
}
END_TEST

/* Rows that meet: one shard, and still right. */
START_TEST(folding_the_batch_away_runs_as_one_shard)
{
	static const int64_t target[] = {2, -1};
	struct gb *b = gb_new(13);
	struct pare_net *net;
	double error;
	float w[16];

	nc_fill(w, 16, 1);
	gb_input(b, "x", "N 4");
	gb_init(b, "w", "4 4", w);
	gb_init_i64(b, "t", "2", target);
	gb_node(b, "MatMul", "m", "x w", "h");
	gb_node(b, "Reshape", "fold", "h t", "y");
	gb_output(b, "y");
	net = nc_net(b, 4, 6, true);
	ck_assert_int_eq(pare_net_n_shards(net), 1);
	error = nc_gradient_error(net, input(), 6, false, 1.0 / 64);
	ck_assert_msg(error < 1e-4, "gradient off by %g", error);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* A file that states batch 1 everywhere, also in a Reshape target, runs with any number of rows. */
START_TEST(fixed_batch_of_the_file_is_not_binding)
{
	static const int64_t target[] = {1, 6}, open_target[] = {1, -1};
	const float *const *in = input();

	for (int i = 0; i < 2; i++) {
		struct gb *b = gb_new(13);
		struct pare_net *net;
		float out[64];

		gb_input(b, "x", "1 2 3");
		gb_init_i64(b, "t", "2", i == 0 ? target : open_target);
		gb_node(b, "Reshape", "r", "x t", "f");
		gb_node(b, "Relu", "relu", "f", "y");
		gb_output(b, "y");
		net = nc_net(b, 2, 5, false);
		ck_assert_int_eq(pare_net_n_shards(net), 2);
		nc_forward(net, in, 5, false, 0);
		ck_assert_uint_eq(nc_output(net, 0, 5, out), 30);
		for (int k = 0; k < 30; k++)
			ck_assert(out[k] == fmaxf(in[0][k], 0));
		pare_net_free(net);
		gb_free(b);
	}
}
END_TEST

/* Sizes that the file leaves open come with the options; they may not contradict what it states. */
START_TEST(open_dimensions)
{
	struct gb *b = gb_new(17);
	struct pare_row_shape shape = {.name = "x", .n_dims = 2, .dims = {2, 3}};
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 5};
	struct pare_model *m;
	struct pare_net *net = NULL;
	struct pare_err err;
	float out[64];

	gb_input(b, "x", "N N 3");
	gb_node(b, "Relu", "relu", "x", "y");
	gb_output(b, "y");
	m = gb_model(b);
	ck_assert_int_eq(pare_model_set_rows(m, &shape, 1, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_OK);
	nc_forward(net, input(), 5, PARE_MODE_INFER, 0);
	ck_assert_uint_eq(nc_output(net, 0, 5, out), 30);
	for (int k = 0; k < 30; k++)
		ck_assert(out[k] == fmaxf(input()[0][k], 0));
	pare_net_free(net);
	net = NULL;
	shape.dims[1] = 4;
	ck_assert_int_eq(pare_model_set_rows(m, &shape, 1, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_E_SHAPE);
	ck_assert_str_eq(err.message, "graph input \"x\" has shape [N, -1, 3]; rows of shape [N, 2, 4] do not fit it");
	shape.n_dims = 1;
	ck_assert_int_eq(pare_model_set_rows(m, &shape, 1, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_E_SHAPE);
	shape.name = "z";
	ck_assert_int_eq(pare_model_set_rows(m, &shape, 1, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_E_UNSUPPORTED);
	ck_assert_str_eq(err.message, "dimension 1 of graph input \"x\" has no size; a job takes it from the rows of its data");
	gb_free(b);
}
END_TEST

/* Constants are computed when the net is made; what only feeds shapes and ratios is not a parameter. */
START_TEST(constants_are_not_parameters)
{
	static const int64_t target[] = {0, 4};
	static const float two[] = {2, 2, 2, 2}, ratio[] = {0.5f};
	const float *const *in = input();
	struct gb *b = gb_new(13);
	struct pare_net *net;
	float out[64];

	gb_input(b, "x", "N 2 2");
	gb_init_i64(b, "t0", "2", target);
	gb_init(b, "ratio", "", ratio);
	gb_init(b, "two", "4", two);
	gb_node(b, "Constant", "c1", "", "t1");
	gb_attr_tensor(b, "value", "t0");
	gb_node(b, "Identity", "c2", "t1", "t2");
	gb_node(b, "Constant", "c3", "", "k");
	gb_attr_tensor(b, "value", "two");
	gb_node(b, "Mul", "c4", "k k", "four");
	gb_node(b, "Reshape", "r", "x t2", "f");
	gb_node(b, "Dropout", "d", "f ratio", "g");
	gb_node(b, "Mul", "m", "g four", "y");
	gb_output(b, "y");
	net = nc_net(b, 2, 5, true);
	ck_assert_int_eq(pare_net_n_params(net), 0);
	nc_forward(net, in, 5, false, 0);
	ck_assert_uint_eq(nc_output(net, 0, 5, out), 20);
	for (int k = 0; k < 20; k++)
		ck_assert(out[k] == 4 * in[0][k]);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* What is added to scores to shut positions out, of any size and by way of its first rows, is not trained. What else is added is, be it as far below. */
START_TEST(masks_are_not_parameters)
{
	enum { T = 80 };
	static const struct {
		float shut, other; /* other: what one element of the shut ones is */
		const char *then;
		int n_params;
	} table[] = {
	    {-INFINITY, -INFINITY, "Softmax", 1},
	    {-100, -100, "Softmax", 1},
	    {-3.4e38f, -3.4e38f, "Softmax", 1},
	    {-100, -101, "Softmax", 2},
	    {-100, 1, "Softmax", 2},
	    {-1, -1, "Softmax", 2},
	    {-100, -100, "Sigmoid", 2},
	};
	static float mask[T * T];
	float x[2], y[2];
	struct gb *b = gb_new(17);
	struct pare_net *net;

	for (size_t i = 0; i < T * T; i++)
		mask[i] = i % T > i / T ? table[_i].shut : 0;
	mask[T - 1] = table[_i].other;
	gb_input(b, "x", "N 2");
	gb_init(b, "mask", "80 80", mask);
	gb_init_i64(b, "from", "2", (const int64_t[2]){1, 1});
	gb_init_i64(b, "to", "2", (const int64_t[2]){2, 3});
	gb_node(b, "Slice", "slice", "mask from to", "m");
	gb_init(b, "w", "2 2", (const float[4]){1, 2, 3, 4});
	gb_node(b, "MatMul", "matmul", "x w", "s");
	gb_node(b, "Add", "add", "s m", "a");
	gb_node(b, table[_i].then, "then", "a", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 1, true);
	ck_assert_int_eq(pare_net_n_params(net), table[_i].n_params);
	nc_fill(x, 2, 1);
	nc_forward(net, (const float *const[1]){x}, 1, PARE_MODE_TRAIN, 0);
	ck_assert_uint_eq(nc_output(net, 0, 1, y), 2);
	if (table[_i].n_params == 1)
		ck_assert(y[0] == 1 && y[1] == 0);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* A logistic function that is spelt out, where its exponential is beyond a float: flat, not undefined. */
START_TEST(logistic_overflows)
{
	static const float one[] = {1}, w[] = {107, 2};
	const float x[] = {-1};
	float y[2], grads[64];
	struct gb *b = gb_new(13);
	struct pare_net *net;

	gb_input(b, "x", "N 1");
	gb_init(b, "w", "1 2", w);
	gb_init(b, "one", "", one);
	gb_node(b, "MatMul", "matmul", "x w", "s");
	gb_node(b, "Neg", "neg", "s", "n");
	gb_node(b, "Exp", "exp", "n", "e");
	gb_node(b, "Add", "add", "e one", "a");
	gb_node(b, "Reciprocal", "reciprocal", "a", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 1, true);
	ck_assert_uint_le(pare_net_slab_len(net), 64);
	nc_forward(net, (const float *const[1]){x}, 1, PARE_MODE_TRAIN, 0);
	ck_assert_uint_eq(nc_output(net, 0, 1, y), 2);
	ck_assert(fabsf(y[0]) <= 0 && fabsf(y[1] - 0.11920292f) < 1e-6f);
	nc_backward(net, 1, grads);
	ck_assert(fabsf(grads[0]) <= 0 && fabsf(grads[1]) > 0);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* The mask of a row is the same however the batch is cut, changes with step, seed and node, and keeps the mean. */
START_TEST(dropout_masks)
{
	static const float ratio[] = {0.25f};
	float out[4][1024];
	double kept = 0;

	(void)input();
	for (int i = 0; i < 1024; i++)
		data[i] = 1.0f;
	for (int i = 0; i < 4; i++) {
		static const float *const in[] = {data};
		struct gb *b = gb_new(13);
		struct pare_net *net;

		gb_input(b, "x", "N 64");
		gb_init(b, "ratio", "", ratio);
		gb_node(b, "Dropout", "d", "x ratio", "y m");
		gb_output(b, "y");
		gb_output(b, "m");
		net = nc_net(b, i == 1 ? 3 : 1, 16, true);
		nc_forward(net, in, 16, i != 3, i == 2 ? 9 : 8);
		ck_assert_uint_eq(nc_output(net, 0, 16, out[i]), 1024);
		if (i == 0) {
			float mask[1024];

			(void)nc_output(net, 1, 16, mask);
			for (int k = 0; k < 1024; k++)
				ck_assert(out[0][k] == (mask[k] != 0.0f ? 1.0f / 0.75f : 0.0f));
		}
		pare_net_free(net);
		gb_free(b);
	}
	ck_assert_mem_eq(out[0], out[1], sizeof out[0]);
	ck_assert_mem_ne(out[0], out[2], sizeof out[0]);
	ck_assert_mem_eq(out[3], data, sizeof out[3]);
	for (int k = 0; k < 1024; k++)
		kept += out[0][k] != 0.0f;
	ck_assert(kept > 0.70 * 1024 && kept < 0.80 * 1024);
}
END_TEST

/* Exporters write a linear layer over sequences as a product with the transposed weight: it is a weight like any other. */
START_TEST(transposed_weights_are_weights)
{
	struct gb *b = gb_new(17);
	const struct pare_param_info *p;
	struct pare_net *net;

	gb_input(b, "x", "N 3 4");
	gb_init(b, "fc.weight", "5 4", NULL);
	gb_node(b, "Transpose", "turn", "fc.weight", "t");
	gb_attr_ints(b, "perm", (const int64_t[2]){1, 0}, 2);
	gb_node(b, "MatMul", "fc", "x t", "h");
	gb_init(b, "shift", "5 3", NULL);
	gb_node(b, "Transpose", "turn2", "shift", "s");
	gb_attr_ints(b, "perm", (const int64_t[2]){1, 0}, 2);
	gb_node(b, "Add", "add", "h s", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 2, true);
	ck_assert_int_eq(pare_net_n_params(net), 2);
	p = pare_net_param(net, 0);
	ck_assert_str_eq(p->name, "fc.weight");
	ck_assert(p->prunable && !p->buffer);
	ck_assert_int_eq(p->out_axis, 0);
	ck_assert_str_eq(p->node_name, "fc");
	ck_assert_int_eq(pare_net_node_macs(net, p->node), 3 * 4 * 5);
	ck_assert(!pare_net_param(net, 1)->prunable);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* An LSTM behind a layer, over x of that shape; out gets the last state of 3 rows of 5 steps of 2. */
static void run_lstm(const char *shape, int64_t layout, const float *x, float *out)
{
	static const struct pare_row_shape rows = {.name = "x", .n_dims = 2, .dims = {5, 2}};
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 3};
	float w0[4], w[4 * 4 * 2], r[4 * 4 * 4];
	struct gb *b = gb_new(17);
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	nc_fill(w0, 4, 1);
	nc_fill(w, 32, 2);
	nc_fill(r, 64, 3);
	gb_input(b, "x", shape);
	gb_init(b, "w0", "2 2", w0);
	gb_init(b, "w", "1 16 2", w);
	gb_init(b, "r", "1 16 4", r);
	gb_node(b, "MatMul", "first", "x w0", "h");
	gb_node(b, "LSTM", "lstm", "h w r", "y last");
	gb_attr_int(b, "hidden_size", 4);
	gb_attr_int(b, "layout", layout);
	gb_output(b, "last");
	ck_assert_int_eq(pare_model_set_rows(gb_model(b), &rows, 1, &err), PARE_OK);
	ck_assert_msg(pare_net_new(gb_model(b), &opt, &net, &err) == PARE_OK, "%s: %s: %s", shape, err.where, err.message);
	nc_forward(net, &x, 3, PARE_MODE_INFER, 0);
	ck_assert_uint_eq(nc_output(net, 0, 3, out), 3 * 4);
	pare_net_free(net);
	gb_free(b);
}

/* Steps and batch both open: the layer that reads the input says which is which. */
START_TEST(a_layer_tells_the_batch)
{
	float x[3 * 5 * 2], stated[12], open[12], first[12];

	nc_fill(x, 30, 4);
	run_lstm("5 N 2", 0, x, stated);
	run_lstm("N N 2", 0, x, open);
	run_lstm("N N 2", 1, x, first);
	for (int i = 0; i < 12; i++) {
		ck_assert_float_eq_tol(open[i], stated[i], 1e-7f);
		ck_assert_float_eq_tol(first[i], stated[i], 1e-6f);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net");
	TCase *t = tcase_create("net");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_a_net_says_of_itself);
	tcase_add_test(t, rows_of_shards_cover_the_batch);
	tcase_add_loop_test(t, shards_agree, 0, BATCH + 1);
	tcase_add_test(t, same_bits_twice);
	tcase_add_test(t, mlp_gradient);
	tcase_add_test(t, forks_and_shared_parameters);
	tcase_add_test(t, unfilled_output_gradients_are_zero);
	tcase_add_test(t, inference_reuses_memory);
	tcase_add_test(t, infer_any_number_of_rows);
	tcase_add_test(t, steps_do_not_allocate);
	tcase_add_test(t, every_allocation_may_fail);
	tcase_add_test(t, store_puts_changes_into_the_model);
	tcase_add_test(t, output_kinds);
	tcase_add_test(t, folding_the_batch_away_runs_as_one_shard);
	tcase_add_test(t, fixed_batch_of_the_file_is_not_binding);
	tcase_add_test(t, a_layer_tells_the_batch);
	tcase_add_test(t, open_dimensions);
	tcase_add_test(t, constants_are_not_parameters);
	tcase_add_loop_test(t, masks_are_not_parameters, 0, 7);
	tcase_add_test(t, logistic_overflows);
	tcase_add_test(t, dropout_masks);
	tcase_add_test(t, transposed_weights_are_weights);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
