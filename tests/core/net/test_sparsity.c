/* A net that was promised zeros gives what the dense one gives, forward and backward, for layers as exporters write them;
 * and forgets the promise. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/net_check.h"

#define BATCH 70
#define IN 96

static float data[BATCH * IN], w[IN * 128 + 16], outputs[2][BATCH * 10], grads[2][40000];
static uint8_t keep[40000];

/* Gemm with the weight [out, in], MatMul with [in, out] and an Add, Gemm without transposition, and a small Gemm that stays dense. */
static struct gb *layers(void)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 96");
	nc_fill(w, IN * 128 + 16, 1);
	gb_init(b, "w1", "128 96", w);
	gb_init(b, "b1", "128", w + 5);
	gb_init(b, "w2", "128 96", w + 9);
	gb_init(b, "b2", "96", w + 70);
	gb_init(b, "w3", "96 100", w + 11);
	gb_init(b, "w4", "10 100", w + 13);
	gb_node(b, "Gemm", "fc1", "x w1 b1", "h1");
	gb_attr_int(b, "transB", 1);
	gb_node(b, "Tanh", "t1", "h1", "r1");
	gb_node(b, "MatMul", "fc2", "r1 w2", "m2");
	gb_node(b, "Add", "add2", "m2 b2", "h2");
	gb_node(b, "Gemm", "fc3", "h2 w3", "h3");
	gb_node(b, "Gemm", "fc4", "h3 w4", "y");
	gb_attr_int(b, "transB", 1);
	gb_output(b, "y");
	return b;
}

static void prune(struct pare_net *net)
{
	float *slab = pare_net_slab(net);

	ck_assert_uint_le(pare_net_slab_len(net), sizeof keep);
	memset(keep, 1, sizeof keep);
	for (int p = 0; p < pare_net_n_params(net); p++) {
		const struct pare_param_info *info = pare_net_param(net, p);

		for (size_t i = 0; info->prunable && i < info->n_elems; i++)
			if ((i * 2654435761u >> 7) % 20 != 0) {
				keep[info->offset + i] = 0;
				slab[info->offset + i] = 0.0f;
			}
	}
}

static void pass_shard(void *ctx, int s)
{
	struct pare_net *net = ctx;
	int64_t first, count;

	pare_net_shard_rows(net, BATCH, s, &first, &count);
	memcpy(pare_net_shard_input(net, s, 0), data + first * IN, (size_t)(count * IN) * sizeof(float));
	pare_net_shard_forward(net, s, count, PARE_MODE_TRAIN, 0, first);
	for (int64_t i = 0; i < count * 10; i++)
		pare_net_shard_output_grad(net, s, 0)[i] = (float)(i % 7) - 3.0f;
	pare_net_shard_backward(net, s);
}

static void run(struct pare_net *net, float *output, float *grad)
{
	pare_net_parallel(net, pass_shard, net);
	for (int s = 0; s < pare_net_n_shards(net); s++) {
		int64_t first, count;

		pare_net_shard_rows(net, BATCH, s, &first, &count);
		memcpy(output + first * 10, pare_net_shard_output(net, s, 0), (size_t)(count * 10) * sizeof(float));
	}
	pare_net_reduce_grads(net, 0, pare_net_slab_len(net), grad);
}

static void compare(const struct pare_net *net)
{
	for (int i = 0; i < BATCH * 10; i++)
		ck_assert_msg(fabsf(outputs[1][i] - outputs[0][i]) < 1e-5f, "output %d: %g, not %g", i, (double)outputs[1][i], (double)outputs[0][i]);
	for (size_t i = 0; i < pare_net_slab_len(net); i++)
		if (keep[i])
			ck_assert_msg(fabsf(grads[1][i] - grads[0][i]) < 1e-4f * (1.0f + fabsf(grads[0][i])), "gradient %zu: %g, not %g", i, (double)grads[1][i],
			    (double)grads[0][i]);
}

static void check_threads(int n_threads)
{
	struct gb *b = layers();
	struct pare_net *net = nc_net(b, n_threads, BATCH, true);
	struct pare_err err = {0};

	nc_fill(data, BATCH * IN, 9);
	prune(net);
	run(net, outputs[0], grads[0]);
	ck_assert_int_eq(pare_net_promise_zeros(net, keep, &err), PARE_OK);
	ck_assert_int_eq(pare_net_n_sparse(net), 3);
	run(net, outputs[1], grads[1]);
	compare(net);
	for (size_t i = 0; i < pare_net_param(net, 0)->n_elems; i++)
		ck_assert(keep[i] || grads[1][i] == 0.0f);
	pare_net_promise_nothing(net);
	ck_assert_int_eq(pare_net_n_sparse(net), 0);
	run(net, outputs[1], grads[1]);
	ck_assert_mem_eq(outputs[0], outputs[1], sizeof outputs[0]);
	ck_assert_mem_eq(grads[0], grads[1], pare_net_slab_len(net) * sizeof(float));
	pare_net_free(net);
	gb_free(b);
}

START_TEST(the_same_as_dense)
{
	check_threads(1);
	check_threads(2);
}
END_TEST

START_TEST(dense_where_it_would_not_pay)
{
	struct gb *b = layers();
	struct pare_net *net = nc_net(b, 1, BATCH, true);
	struct pare_err err = {0};

	memset(keep, 1, sizeof keep);
	ck_assert_int_eq(pare_net_promise_zeros(net, keep, &err), PARE_OK);
	ck_assert_int_eq(pare_net_n_sparse(net), 0);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* A weight that another node reads as well stays dense. */
START_TEST(dense_where_somebody_else_reads)
{
	struct gb *b = gb_new(17);
	struct pare_err err = {0};
	struct pare_net *net;

	gb_input(b, "x", "N 96");
	nc_fill(w, IN * IN, 1);
	gb_init(b, "w1", "96 96", w);
	gb_node(b, "MatMul", "fc1", "x w1", "h");
	gb_node(b, "Transpose", "turn", "w1", "t");
	gb_node(b, "MatMul", "fc2", "h t", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, BATCH, true);
	prune(net);
	ck_assert_int_eq(pare_net_promise_zeros(net, keep, &err), PARE_OK);
	ck_assert_int_eq(pare_net_n_sparse(net), 0);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

START_TEST(without_memory)
{
	struct gb *b = layers();
	struct pare_net *net = nc_net(b, 2, BATCH, true);
	struct pare_err err = {0};
	long n = 0;

	prune(net);
	nc_fill(data, BATCH * IN, 9);
	run(net, outputs[0], grads[0]);
	for (enum pare_code code = PARE_E_NOMEM; code != PARE_OK; n++) {
		fail_alloc_install(n + 1);
		code = pare_net_promise_zeros(net, keep, &err);
		fail_alloc_remove();
		ck_assert(code == PARE_OK || code == PARE_E_NOMEM);
		ck_assert_int_eq(pare_net_n_sparse(net), code == PARE_OK ? 3 : 0);
		run(net, outputs[1], grads[1]);
		compare(net);
	}
	ck_assert_int_ge(n, 4);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sparsity");
	TCase *t = tcase_create("sparsity");
	SRunner *r;
	int failed;

	tcase_add_test(t, the_same_as_dense);
	tcase_add_test(t, dense_where_it_would_not_pay);
	tcase_add_test(t, dense_where_somebody_else_reads);
	tcase_add_test(t, without_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
