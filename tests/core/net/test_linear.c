/* Linear layers with their weights packed and what follows done on the way, against the same nets node by node on BLAS: random shapes, every form of Gemm and MatMul that is packed and some that are not. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/graph/net_priv.h"
#include "core/ops/kernels/conv_tile.h"
#include "tests/support/net_check.h"

#define MOST 320 /* rows, and the sides of a matrix */
#define TOLERANCE 2e-5

static float data[MOST * MOST], weights[MOST * MOST], got[MOST * MOST], want[MOST * MOST];
static struct pare_rng rng;

static int64_t draw(int64_t least, int64_t most)
{
	return least + (int64_t)pare_rng_below(&rng, (uint32_t)(most - least + 1));
}

static void init(struct gb *b, const char *name, const char *shape, size_t n)
{
	nc_fill(weights, n, (uint64_t)draw(1, 1000));
	gb_init(b, name, shape, weights);
}

struct made {
	struct gb *b;
	int64_t k, n;
	int fused; /* nodes that go where the machine has vectors or not: absorbing does not depend on it */
};

/* x [N, (t,) k] -> product (+ row) (+ shortcut) (-> Relu or Clip). */
static struct made linear(bool gemm)
{
	struct made m = {.b = gb_new(13), .k = draw(1, 90), .n = draw(1, 70)};
	int64_t t = gemm ? 0 : draw(0, 3);
	bool trans = gemm && draw(0, 1), shortcut = draw(0, 1);
	char shape[64], last[8] = "p", ends[32];

	if (t > 0)
		snprintf(shape, sizeof shape, "N %lld %lld", (long long)t, (long long)m.k);
	else
		snprintf(shape, sizeof shape, "N %lld", (long long)m.k);
	gb_input(m.b, "x", shape);
	snprintf(shape, sizeof shape, "%lld %lld", (long long)(trans ? m.n : m.k), (long long)(trans ? m.k : m.n));
	init(m.b, "w", shape, (size_t)(m.n * m.k));
	snprintf(shape, sizeof shape, "%lld", (long long)m.n);
	init(m.b, "c", shape, (size_t)m.n);
	gb_node(m.b, gemm ? "Gemm" : "MatMul", "product", gemm && draw(0, 2) ? "x w c" : "x w", "p");
	if (gemm) {
		gb_attr_int(m.b, "transB", trans);
		gb_attr_float(m.b, "alpha", draw(0, 3) ? 1.0f : 0.5f);
		gb_attr_float(m.b, "beta", draw(0, 3) ? 1.0f : 2.0f);
	}
	if (!gemm && draw(0, 3)) {
		gb_node(m.b, "Add", "row", draw(0, 1) ? "p c" : "c p", "q");
		strcpy(last, "q");
		m.fused++;
	}
	if (shortcut) {
		init(m.b, "other", "1", 1);
		gb_node(m.b, "MatMul", "side", "x w2", "s");
		snprintf(shape, sizeof shape, "%lld %lld", (long long)m.k, (long long)m.n);
		init(m.b, "w2", shape, (size_t)(m.n * m.k));
		gb_node(m.b, "Mul", "scaled", "s other", "t");
		snprintf(ends, sizeof ends, draw(0, 1) ? "%s t" : "t %s", last);
		gb_node(m.b, "Add", "shortcut", ends, "a");
		strcpy(last, "a");
		m.fused++;
	}
	if (draw(0, 1)) {
		gb_node(m.b, "Relu", "act", last, "y");
		strcpy(last, "y");
		m.fused++;
	}
	gb_output(m.b, last);
	return m;
}

static void check_same(struct pare_net *net, struct pare_net *plain, int64_t rows)
{
	const float *const in[1] = {data};
	double largest = 1e-3;
	size_t n;

	nc_forward(net, in, rows, PARE_MODE_INFER, 0);
	nc_forward(plain, in, rows, PARE_MODE_INFER, 0);
	n = nc_output(net, 0, rows, got);
	ck_assert_uint_eq(nc_output(plain, 0, rows, want), n);
	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, fabs((double)want[i]));
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabs((double)got[i] - (double)want[i]) <= TOLERANCE * largest, "element %zu of %zu: %.9g, by BLAS %.9g", i, n, (double)got[i],
		    (double)want[i]);
}

static const struct pare_tile_kernels *const tile_table[] = {NULL, &pare_tile_avx2, &pare_tile_plain};

static void check_case(bool gemm)
{
	int64_t batch = draw(1, 40);
	struct made m = linear(gemm);
	struct pare_net *net = nc_net(m.b, (int)draw(1, 2), batch, false), *plain = nc_plain_net(m.b, 1, batch, false);

	ck_assert_int_eq(plain->n_nodes - net->n_nodes, m.fused);
	ck_assert_uint_eq(plain->n_prepared, 0);
	nc_fill(data, sizeof data / sizeof *data, 3);
	check_same(net, plain, batch);
	check_same(net, plain, 1);
	for (size_t i = 0; i < pare_net_slab_len(net); i++) /* what is packed follows the weights */
		pare_net_slab(net)[i] = pare_net_slab(plain)[i] *= 1.25f;
	check_same(net, plain, batch);
	pare_net_free(net);
	pare_net_free(plain);
	gb_free(m.b);
}

START_TEST(packed_is_the_same)
{
	if (tile_table[_i] == &pare_tile_avx2 && pare_tile() == &pare_tile_plain)
		return;
	pare_tile_force(tile_table[_i]);
	pare_rng_init(&rng, 7, "linear", (uint64_t)_i);
	for (int k = 0; k < 120; k++)
		check_case(k % 2 != 0);
	pare_tile_force(NULL);
}
END_TEST

/* The same gradients, where weights are packed for one product and a row that follows it is its bias, as in the net node by node. */
START_TEST(training_is_the_same)
{
	static float grads[2][MOST * MOST];
	const float *const in[1] = {data};
	bool gemm = _i != 0;
	int64_t rows = gemm ? 640 : 64;
	struct gb *b = gb_new(13);
	struct pare_net *net, *plain;
	double largest = 0;
	size_t n;

	gb_input(b, "x", gemm ? "N 96" : "N 10 96");
	init(b, "w", gemm ? "72 96" : "96 72", 96 * 72);
	init(b, "c", "72", 72);
	init(b, "v", gemm ? "65 72" : "72 65", 72 * 65);
	init(b, "d", "65", 65);
	gb_node(b, gemm ? "Gemm" : "MatMul", "first", gemm ? "x w c" : "x w", gemm ? "q" : "p");
	if (gemm)
		gb_attr_int(b, "transB", 1);
	else
		gb_node(b, "Add", "row", "p c", "q");
	gb_node(b, "Tanh", "act", "q", "a");
	gb_node(b, gemm ? "Gemm" : "MatMul", "second", gemm ? "a v d" : "a v", gemm ? "y" : "r");
	if (gemm)
		gb_attr_int(b, "transB", 1);
	else
		gb_node(b, "Add", "row2", "d r", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, rows, true);
	plain = nc_plain_net(b, 1, rows, true);
	ck_assert_int_eq(plain->n_nodes - net->n_nodes, gemm ? 0 : 2);
	nc_fill(data, sizeof data / sizeof *data, 3);
	check_same(net, plain, rows);
	check_same(net, plain, rows / 4);
	n = pare_net_slab_len(net);
	ck_assert_uint_le(n, MOST * MOST);
	ck_assert_uint_eq(pare_net_slab_len(plain), n);
	nc_forward(net, in, rows, PARE_MODE_TRAIN, 0);
	nc_backward(net, rows, grads[0]);
	pare_tile_force(&pare_tile_plain); /* by BLAS */
	nc_forward(plain, in, rows, PARE_MODE_TRAIN, 0);
	nc_backward(plain, rows, grads[1]);
	pare_tile_force(NULL);
	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, fabs((double)grads[1][i]));
	ck_assert(largest > 0);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabs((double)grads[0][i] - (double)grads[1][i]) <= TOLERANCE * largest, "gradient %zu of %zu: %.9g, by BLAS %.9g", i, n,
		    (double)grads[0][i], (double)grads[1][i]);
	pare_net_free(net);
	pare_net_free(plain);
	gb_free(b);
}
END_TEST

/* Where it pays, and only in nets that do not train. */
START_TEST(packing_is_for_inference)
{
	struct gb *b = gb_new(13);
	struct pare_net *net;

	gb_input(b, "x", "N 300");
	init(b, "w", "300 64", 300 * 64);
	init(b, "v", "64 3", 64 * 3);
	init(b, "c", "64", 64);
	gb_node(b, "MatMul", "wide", "x w", "p");
	gb_node(b, "Add", "row", "p c", "q");
	gb_node(b, "MatMul", "narrow", "q v", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 64, false);
	ck_assert_int_eq(net->n_nodes, 2);
	ck_assert(net->nodes[0].n_prepared == 300 * 64 || pare_tile() == &pare_tile_plain);
	ck_assert_uint_eq(net->nodes[1].n_prepared, 0);
	pare_net_free(net);
	net = nc_net(b, 1, 64, true);
	ck_assert_int_eq(net->n_nodes, 2);
	ck_assert_uint_eq(net->n_prepared, 0);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Many long rows go by blocks, and a matrix that is mostly zeros by the kernels for that, with the same steps after. */
START_TEST(blocks_and_zeros_are_the_same)
{
	struct gb *b = gb_new(13);
	struct pare_net *net, *plain;
	uint8_t *keep;

	gb_input(b, "x", "N 300");
	init(b, "w", "300 300", 300 * 300);
	init(b, "c", "300", 300);
	gb_node(b, "MatMul", "m", "x w", "p");
	gb_node(b, "Add", "row", "p c", "q");
	gb_node(b, "Add", "shortcut", "q x", "a");
	gb_node(b, "Relu", "act", "a", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, MOST, false);
	plain = nc_plain_net(b, 1, MOST, false);
	ck_assert_int_eq(net->n_nodes, 1);
	nc_fill(data, sizeof data / sizeof *data, 3);
	check_same(net, plain, MOST);
	keep = calloc(pare_net_slab_len(net), 1);
	for (size_t i = 0; i < pare_net_slab_len(net); i++) {
		keep[i] = i >= 300 * 300 || i % 41 == 0;
		if (!keep[i])
			pare_net_slab(net)[i] = pare_net_slab(plain)[i] = 0.0f;
	}
	ck_assert_int_eq(pare_net_promise_zeros(net, keep, NULL), PARE_OK);
	ck_assert_int_eq(pare_net_n_sparse(net), 1);
	check_same(net, plain, MOST);
	pare_net_promise_nothing(net);
	check_same(net, plain, MOST);
	free(keep);
	pare_net_free(net);
	pare_net_free(plain);
	gb_free(b);
}
END_TEST

/* A product reads channels that stood last in the convolution's order. */
START_TEST(product_of_a_convolution)
{
	struct gb *b = gb_new(13);
	struct pare_net *net, *plain;

	gb_input(b, "x", "N 4 20");
	init(b, "k", "18 4 3", 18 * 12);
	init(b, "w", "18 24", 18 * 24);
	gb_node(b, "Conv", "conv", "x k", "h");
	gb_node(b, "MatMul", "m", "h w", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 8, false);
	plain = nc_plain_net(b, 1, 8, false);
	nc_fill(data, sizeof data / sizeof *data, 3);
	check_same(net, plain, 8);
	pare_net_free(net);
	pare_net_free(plain);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("linear");
	TCase *t = tcase_create("linear");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	pare_rng_init(&rng, 7, "linear", 100);
	tcase_add_loop_test(t, packed_is_the_same, 0, sizeof tile_table / sizeof tile_table[0]);
	tcase_add_loop_test(t, training_is_the_same, 0, 2);
	tcase_add_test(t, packing_is_for_inference);
	tcase_add_test(t, blocks_and_zeros_are_the_same);
	tcase_add_test(t, product_of_a_convolution);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
