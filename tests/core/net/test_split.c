/* Layers whose units the shards divide give what they give cut by rows: outputs and gradients, for any number of shards and of rows,
 * among them shards without rows and rows that do not stand together. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/net_check.h"

#define BATCH 24
#define IN 90

static float data[BATCH * IN], w[160 * 110], outputs[2][BATCH * 160], grads[2][65536];

/* A Gemm with the weight [out, in], a MatMul with [in, out] and an Add, and a Gemm without transposition, whose result is the graph's. */
static struct gb *wide(void)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 90");
	nc_fill(w, 160 * 110, 1);
	gb_init(b, "w1", "100 90", w);
	gb_init(b, "b1", "100", w + 5);
	gb_init(b, "w2", "100 110", w + 9);
	gb_init(b, "b2", "110", w + 70);
	gb_init(b, "w3", "110 160", w);
	gb_node(b, "Gemm", "fc1", "x w1 b1", "h1");
	gb_attr_int(b, "transB", 1);
	gb_node(b, "Tanh", "t1", "h1", "r1");
	gb_node(b, "MatMul", "fc2", "r1 w2", "m2");
	gb_node(b, "Add", "add2", "m2 b2", "h2");
	gb_node(b, "Tanh", "t2", "h2", "r2");
	gb_node(b, "Gemm", "fc3", "r2 w3", "y");
	gb_output(b, "y");
	return b;
}

/* Twice, as steps of training run; floats of the slab. */
static size_t run(struct gb *b, int n_threads, int64_t rows, enum pare_mode mode, int n_splits, int which)
{
	const float *const in[] = {data};
	struct pare_net *net = nc_net(b, n_threads, BATCH, true);
	size_t len = pare_net_slab_len(net);

	ck_assert_int_eq(pare_net_n_shards(net), n_threads);
	ck_assert_int_eq(net->n_splits, n_splits);
	ck_assert_uint_le(len, sizeof grads[0] / sizeof grads[0][0]);
	for (int again = 0; again < 2; again++) {
		nc_forward(net, in, rows, mode, 1);
		(void)nc_output(net, 0, rows, outputs[which]);
		nc_backward(net, rows, grads[which]);
	}
	pare_net_free(net);
	return len;
}

static void same(const float *got, const float *want, size_t n, const char *what)
{
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmaxf(most, fabsf(want[i]));
	ck_assert(most > 0.0f);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabsf(got[i] - want[i]) <= 1e-5f * most, "%s %zu: %g, not %g", what, i, (double)got[i], (double)want[i]);
}

static const int64_t row_table[] = {BATCH, BATCH - 1, 13, 4, 1};

START_TEST(as_cut_by_rows)
{
	int64_t rows = row_table[_i];
	struct gb *b = wide();
	size_t len;

	nc_fill(data, BATCH * IN, 9);
	len = run(b, 1, rows, PARE_MODE_TRAIN, 0, 0);
	for (int threads = 2; threads <= 6; threads++)
		for (int frozen = 0; frozen < 2; frozen++) {
			ck_assert_uint_eq(run(b, threads, rows, frozen ? PARE_MODE_FROZEN : PARE_MODE_TRAIN, 3, 1), len);
			same(outputs[1], outputs[0], (size_t)rows * 160, "output");
			same(grads[1], grads[0], len, "gradient");
		}
	gb_free(b);
}
END_TEST

/* What is computed of parameters alone has rows also on shards that have none of the batch; what those keep of the batch before does not count. */
START_TEST(rows_without_batch)
{
	const float *const in[] = {data};
	struct gb *b = gb_new(17);
	struct pare_net *net;

	gb_input(b, "x", "N 90");
	nc_fill(w, 160 * 110, 1);
	gb_init(b, "u", "90 4", w);
	gb_init(b, "a", "4 100", w + 7);
	gb_init(b, "w", "100 160", w);
	gb_node(b, "MatMul", "fc1", "x u", "h");
	gb_node(b, "MatMul", "table", "a w", "t");
	gb_node(b, "MatMul", "fc2", "h t", "y");
	gb_output(b, "y");
	nc_fill(data, BATCH * IN, 9);
	for (int i = 0; i < 2; i++) {
		net = nc_net(b, i == 0 ? 1 : 4, BATCH, true);
		for (int64_t rows = BATCH; rows > 0; rows -= BATCH - 1) {
			nc_forward(net, in, rows, PARE_MODE_TRAIN, 1);
			(void)nc_output(net, 0, rows, outputs[i]);
			nc_backward(net, rows, grads[i]);
		}
		ck_assert_int_eq(net->n_splits, 0);
		pare_net_free(net);
	}
	same(outputs[1], outputs[0], 160, "output");
	same(grads[1], grads[0], 90 * 4 + 8 + 4 * 100 + 100 * 160, "gradient");
	gb_free(b);
}
END_TEST

/* Every float of the slab is updated by one shard, and begins a cache line where it is a part's first. */
START_TEST(parts_are_the_slab)
{
	struct gb *b = wide();

	for (int threads = 1; threads <= 7; threads++) {
		struct pare_net *net = nc_net(b, threads, BATCH, true);
		size_t n = pare_net_slab_len(net), sum = 0;
		uint8_t *seen = calloc(n, 1);

		ck_assert_ptr_nonnull(seen);
		for (int p = 0; p < pare_net_n_params(net); p++)
			for (int s = 0; s < threads; s++) {
				size_t begin, end;

				pare_net_param_part(net, p, s, &begin, &end);
				ck_assert_uint_le(begin, end);
				ck_assert_uint_le(end, n);
				ck_assert(begin % 16 == 0 && end % 16 == 0);
				for (size_t i = begin; i < end; i++)
					seen[i]++;
			}
		for (size_t i = 0; i < n; i++)
			sum += seen[i] == 1;
		ck_assert_uint_eq(sum, n);
		free(seen);
		pare_net_free(net);
	}
	gb_free(b);
}
END_TEST

/* A weight that is smaller than its data, one that two nodes read, one too narrow for the shards, and all of a plain net stay as they are. */
START_TEST(who_is_not_divided)
{
	struct gb *b = wide();
	struct pare_net *net = nc_net(b, 2, 4 * BATCH, true);

	ck_assert_int_eq(net->n_splits, 0);
	pare_net_free(net);
	net = nc_plain_net(b, 2, BATCH, true);
	ck_assert_int_eq(net->n_splits, 0);
	pare_net_free(net);
	net = nc_net(b, 2, BATCH, false);
	ck_assert_int_eq(net->n_splits, 0);
	pare_net_free(net);
	net = nc_net(b, 8, 16, true);
	ck_assert_int_eq(net->n_splits, 1);
	pare_net_free(net);
	gb_free(b);
	b = gb_new(17);
	gb_input(b, "x", "N 90");
	gb_init(b, "w", "90 90", w);
	gb_node(b, "MatMul", "fc1", "x w", "h");
	gb_node(b, "MatMul", "fc2", "h w", "y");
	gb_output(b, "y");
	net = nc_net(b, 2, BATCH, true);
	ck_assert_int_eq(net->n_splits, 0);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	struct gb *b = wide();
	struct pare_net_options opt = {.n_threads = 2, .max_batch = BATCH, .training = true};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	long n;

	fail_alloc_install(0);
	ck_assert_int_eq(pare_net_new(gb_model(b), &opt, &net, &err), PARE_OK);
	n = fail_alloc_count();
	pare_net_free(net);
	ck_assert_int_eq(fail_alloc_live(), 0);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		ck_assert_int_eq(pare_net_new(gb_model(b), &opt, &net, &err), PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("layers divided by units");
	TCase *tc = tcase_create("split");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, as_cut_by_rows, 0, (int)(sizeof row_table / sizeof *row_table));
	tcase_add_test(tc, rows_without_batch);
	tcase_add_test(tc, parts_are_the_slab);
	tcase_add_test(tc, who_is_not_divided);
	tcase_add_test(tc, every_allocation_may_fail);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
