/* Nets whose convolutions run with the channels last against the same nets row-major, node by node: outputs, gradients,
 * running statistics; forks, outputs in the middle, operators of every kind of layout. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/ops/kernels/conv_tile.h"
#include "tests/support/net_check.h"

#define BATCH 5
#define TOLERANCE 2e-5 /* of the largest element: two orders of the same sums in float */

static float data[1 << 16];
static float weights[1 << 15];
static uint64_t seed;

static void param(struct gb *b, const char *name, const char *shape, size_t n, float scale, float shift)
{
	ck_assert_uint_le(n, sizeof weights / sizeof *weights);
	nc_fill(weights, n, ++seed);
	for (size_t i = 0; i < n; i++)
		weights[i] = weights[i] * scale + shift;
	gb_init(b, name, shape, weights);
}

/* name: also of the value that comes out. shape: of the weights. */
static void conv(struct gb *b, const char *op, const char *name, const char *in, const char *shape, size_t n, int64_t stride, int64_t pad, int64_t group)
{
	char w[32], ends[64];

	snprintf(w, sizeof w, "%s.w", name);
	snprintf(ends, sizeof ends, "%s %s", in, w);
	param(b, w, shape, n, 0.3f, 0);
	gb_node(b, op, name, ends, name);
	gb_attr_ints(b, "strides", (int64_t[]){stride, stride}, 2);
	gb_attr_ints(b, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
	gb_attr_int(b, "group", group);
}

static void norm(struct gb *b, const char *name, const char *in, size_t channels)
{
	static const char *const part[] = {"s", "b", "m", "v"};
	char shape[16], ends[128], one[32];

	snprintf(shape, sizeof shape, "%zu", channels);
	snprintf(ends, sizeof ends, "%s", in);
	for (int i = 0; i < 4; i++) {
		snprintf(one, sizeof one, "%s.%s", name, part[i]);
		param(b, one, shape, channels, i == 3 ? 0.3f : 0.5f, i == 0 || i == 3 ? 1.5f : 0);
		strcat(ends, " ");
		strcat(ends, one);
	}
	gb_node(b, "BatchNormalization", name, ends, name);
}

static void pool(struct gb *b, const char *op, const char *name, const char *in, int64_t kernel, int64_t stride, int64_t pad)
{
	gb_node(b, op, name, in, name);
	gb_attr_ints(b, "kernel_shape", (int64_t[]){kernel, kernel}, 2);
	gb_attr_ints(b, "strides", (int64_t[]){stride, stride}, 2);
	gb_attr_ints(b, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
}

/* A residual block, its output read by three. */
static struct gb *residual(void)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 3 9 8");
	conv(b, "Conv", "c1", "x", "18 3 3 3", 18 * 27, 1, 1, 1);
	norm(b, "n1", "c1", 18);
	gb_node(b, "Relu", "r1", "n1", "r1");
	conv(b, "Conv", "c2", "r1", "18 18 3 3", 18 * 18 * 9, 1, 1, 1);
	norm(b, "n2", "c2", 18);
	gb_node(b, "Add", "a", "n2 r1", "a");
	gb_node(b, "Relu", "r2", "a", "r2");
	conv(b, "Conv", "down", "r2", "20 18 1 1", 360, 2, 0, 1);
	norm(b, "n3", "down", 20);
	gb_node(b, "GlobalAveragePool", "g", "n3", "g");
	gb_node(b, "Flatten", "f", "g", "f");
	param(b, "fc.w", "4 20", 80, 0.3f, 0);
	gb_node(b, "Gemm", "fc", "f fc.w", "y");
	gb_attr_int(b, "transB", 1);
	gb_output(b, "y");
	return b;
}

/* Depthwise with Clip; sigmoid gates from a pooled branch; an output that is an image. */
static struct gb *gated(void)
{
	static const float six = 6, zero = 0;
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 2 8 9");
	gb_init(b, "lo", "", &zero);
	gb_init(b, "hi", "", &six);
	conv(b, "Conv", "c1", "x", "17 2 1 1", 34, 1, 0, 1);
	gb_node(b, "Clip", "k1", "c1 lo hi", "k1");
	conv(b, "Conv", "dw", "k1", "17 1 3 3", 17 * 9, 1, 1, 17);
	norm(b, "n1", "dw", 17);
	gb_node(b, "Clip", "k2", "n1 lo hi", "k2");
	gb_node(b, "GlobalAveragePool", "g", "k2", "g");
	conv(b, "Conv", "se", "g", "17 17 1 1", 17 * 17, 1, 0, 1);
	gb_node(b, "Sigmoid", "s", "se", "s");
	gb_node(b, "Mul", "gate", "k2 s", "gate");
	conv(b, "Conv", "dw2", "gate", "17 1 3 3", 17 * 9, 2, 1, 17);
	gb_output(b, "dw2");
	return b;
}

/* Down, up, beside each other; both pools; an image that is read row-major in the middle and is an output, too. */
static struct gb *unet(void)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 1 8 8");
	conv(b, "Conv", "c1", "x", "6 1 3 3", 54, 1, 1, 1);
	gb_node(b, "Tanh", "t1", "c1", "t1");
	pool(b, "MaxPool", "p1", "t1", 2, 2, 0);
	conv(b, "Conv", "c2", "p1", "10 6 3 3", 540, 1, 1, 1);
	pool(b, "MaxPool", "p2", "c2", 3, 1, 1);
	pool(b, "AveragePool", "p3", "p2", 3, 1, 1);
	conv(b, "ConvTranspose", "up", "p3", "10 7 2 2", 280, 2, 0, 1);
	norm(b, "n1", "up", 7);
	gb_node(b, "Relu", "r1", "n1", "r1");
	gb_node(b, "Concat", "cat", "t1 r1", "cat");
	gb_attr_int(b, "axis", 1);
	gb_node(b, "Split", "split", "cat", "left right");
	gb_attr_int(b, "axis", 1);
	gb_attr_ints(b, "split", (int64_t[]){5, 8}, 2);
	norm(b, "n2", "right", 8);
	gb_node(b, "Relu", "r2", "n2", "r2");
	conv(b, "Conv", "c3", "r2", "3 8 3 3", 216, 1, 1, 1);
	gb_node(b, "Softmax", "soft", "c3", "soft"); /* row-major: over the last axis */
	gb_node(b, "GlobalMaxPool", "top", "left", "top");
	gb_output(b, "soft");
	gb_output(b, "c3");
	gb_output(b, "top");
	return b;
}

/* One dimension, and groups, which run row-major, with what follows them. */
static struct gb *mixed(void)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 4 21");
	param(b, "c1.w", "6 4 5", 120, 0.3f, 0);
	param(b, "c1.b", "6", 6, 1, 0);
	gb_node(b, "Conv", "c1", "x c1.w c1.b", "c1");
	gb_node(b, "Relu", "r", "c1", "r");
	param(b, "c2.w", "4 3 3", 36, 0.3f, 0);
	gb_node(b, "Conv", "c2", "r c2.w", "c2");
	gb_attr_int(b, "group", 2);
	gb_node(b, "Identity", "i", "r", "i");
	param(b, "c3.w", "4 6 3", 72, 0.3f, 0);
	param(b, "c3.b", "4", 4, 1, 0);
	gb_node(b, "Conv", "c3", "i c3.w c3.b", "c3");
	norm(b, "n", "c2", 4);
	gb_node(b, "Add", "a", "c3 n", "a");
	gb_node(b, "Relu", "r2", "a", "y");
	gb_output(b, "y");
	return b;
}

/* More than a pass holds: 147,456 floats of an image. */
static struct gb *large(void)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 1 96 96");
	conv(b, "Conv", "c1", "x", "16 1 3 3", 144, 1, 1, 1);
	norm(b, "n1", "c1", 16);
	gb_node(b, "Relu", "r1", "n1", "r1");
	conv(b, "Conv", "c2", "r1", "1 16 3 3", 144, 4, 0, 1);
	gb_output(b, "c2");
	return b;
}

static struct gb *(*const net_table[])(void) = {residual, gated, unet, mixed, large};
#define N_NETS ((int)(sizeof net_table / sizeof net_table[0]))

static void same(const char *what, const float *got, const float *want, size_t n)
{
	double largest = 1e-3;

	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, fabs((double)want[i]));
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabs((double)got[i] - (double)want[i]) <= TOLERANCE * largest, "%s[%zu]: %.9g, row-major %.9g (largest %g)", what, i, (double)got[i],
		    (double)want[i], largest);
}

static float got[1 << 14], want[1 << 14];

static void check_outputs(struct pare_net *net, struct pare_net *plain)
{
	for (int i = 0; i < pare_net_n_outputs(net); i++) {
		size_t n = nc_output(net, i, BATCH, got);

		ck_assert_uint_eq(nc_output(plain, i, BATCH, want), n);
		same("output", got, want, n);
	}
}

static int n_last(const struct pare_net *net)
{
	int n = 0;

	for (int i = 0; i < net->n_nodes; i++)
		n += net->nodes[i].last;
	return n;
}

START_TEST(channels_last_changes_nothing)
{
	const float *in[] = {data};
	struct gb *b = net_table[_i]();

	nc_fill(data, sizeof data / sizeof *data, 77);
	for (int k = 0; k < 9; k++) {
		static const enum pare_mode mode_table[] = {PARE_MODE_INFER, PARE_MODE_TRAIN, PARE_MODE_FROZEN};
		int threads = 1 + k / 3;
		enum pare_mode mode = mode_table[k % 3];
		bool training = mode != PARE_MODE_INFER;
		struct pare_net *net = nc_net(b, threads, BATCH, training), *plain = nc_plain_net(b, threads, BATCH, training);

		ck_assert(n_last(net) > 0 || pare_tile() == &pare_tile_plain);
		ck_assert_int_eq(n_last(plain), 0);
		nc_forward(net, in, BATCH, mode, 0);
		nc_forward(plain, in, BATCH, mode, 0);
		check_outputs(net, plain);
		if (training) {
			nc_backward(net, BATCH, got);
			nc_backward(plain, BATCH, want);
			for (int p = 0; p < pare_net_n_params(net); p++)
				same(pare_net_param(net, p)->name, got + pare_net_param(net, p)->offset, want + pare_net_param(net, p)->offset, pare_net_param(net, p)->n_elems);
			same("parameters", pare_net_slab(net), pare_net_slab(plain), pare_net_slab_len(net));
		}
		pare_net_free(net);
		pare_net_free(plain);
	}
	gb_free(b);
}
END_TEST

/* Fewer nodes: in inference a convolution ends a block, in training a norm does. */
START_TEST(chains_run_as_one_node)
{
	struct gb *b = residual();

	for (int training = 0; training < 2; training++) {
		struct pare_net *net = nc_net(b, 1, BATCH, training != 0), *plain = nc_plain_net(b, 1, BATCH, training != 0);
		int n = 0;

		for (int i = 0; i < net->n_nodes; i++)
			n += net->nodes[i].op != &pare_op_to_last && net->nodes[i].op != &pare_op_to_first;
		ck_assert_int_eq(plain->n_nodes - n, training ? 3 : 6);
		pare_net_free(net);
		pare_net_free(plain);
	}
	gb_free(b);
}
END_TEST

/* What is prepared of weights follows them. */
START_TEST(new_weights_are_prepared_again)
{
	const float *in[] = {data};
	struct gb *b = residual();
	struct pare_net *net = nc_net(b, 2, BATCH, false), *plain = nc_plain_net(b, 2, BATCH, false);

	nc_fill(data, sizeof data / sizeof *data, 77);
	for (int k = 0; k < 2; k++) {
		nc_forward(net, in, BATCH, PARE_MODE_INFER, 0);
		nc_forward(plain, in, BATCH, PARE_MODE_INFER, 0);
		check_outputs(net, plain);
		for (size_t i = 0; i < pare_net_slab_len(net); i++)
			pare_net_slab(net)[i] = pare_net_slab(plain)[i] *= 1.25f;
	}
	pare_net_free(net);
	pare_net_free(plain);
	gb_free(b);
}
END_TEST

/* Inference of a batch that the cache does not hold needs memory for a part of it. */
START_TEST(passes_take_less_memory)
{
	struct gb *b = large();
	struct pare_net *net = nc_net(b, 1, 64, false), *plain = nc_plain_net(b, 1, 64, false);

	ck_assert_int_eq(net->pass_rows, 2);
	ck_assert_uint_lt(net->shard_len, plain->shard_len / 4);
	pare_net_free(net);
	pare_net_free(plain);
	gb_free(b);
}
END_TEST

/* Rows that are lent give what copied ones give, in one pass and in many, and for that forward alone. */
START_TEST(lent_rows_are_read_where_they_are)
{
	struct gb *b = _i == 0 ? residual() : large();
	int64_t n = _i == 0 ? BATCH : 64, dims[PARE_MAX_DIMS];
	struct pare_net *net = nc_net(b, 1, n, false);
	int n_dims;
	size_t row = pare_net_input_shape(net, 0, &n_dims, dims), n_y = (size_t)n * pare_net_output_shape(net, 0, &n_dims, dims);
	size_t n_x = (size_t)n * row;
	float *x = pare_alloc_aligned((n_x + 16) * sizeof *x), *lent = pare_alloc_aligned(n_y * sizeof *lent), *copied = pare_alloc_aligned(n_y * sizeof *copied);
	const float *apart = x + 1;

	ck_assert_int_eq(net->stages != NULL, _i == 1);
	ck_assert(!pare_net_shard_lend(net, 0, 0, apart));
	nc_fill(x, n_x + 1, 5);
	ck_assert_int_eq(pare_net_infer_all(net, &apart, n, &copied, NULL), PARE_OK);
	memmove(x, x + 1, n_x * sizeof *x);
	ck_assert_int_eq(pare_net_infer_all(net, (const float *const *)&x, n, &lent, NULL), PARE_OK);
	ck_assert_int_eq(memcmp(lent, copied, n_y * sizeof *lent), 0);
	memcpy(pare_net_shard_input(net, 0, 0), x, n_x * sizeof *x);
	memset(x, 0, n_x * sizeof *x);
	pare_net_shard_forward(net, 0, n, PARE_MODE_INFER, 0, 0);
	ck_assert_int_eq(memcmp(pare_net_shard_output(net, 0, 0), copied, n_y * sizeof *copied), 0);
	pare_free(x);
	pare_free(lent);
	pare_free(copied);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* An input that is an output as well is read after the pass. */
START_TEST(what_is_given_back_is_not_lent)
{
	struct gb *b = gb_new(17);
	float *x = pare_alloc_aligned(8 * sizeof *x), y[8];
	float *out[2] = {NULL, y};
	struct pare_net *net;

	gb_input(b, "x", "N 2");
	gb_node(b, "Relu", "r", "x", "y");
	gb_node(b, "Identity", "i", "x", "z");
	gb_output(b, "y");
	gb_output(b, "z");
	net = nc_net(b, 1, 4, false);
	nc_fill(x, 8, 6);
	ck_assert(!pare_net_shard_lend(net, 0, 0, x));
	ck_assert_int_eq(pare_net_infer_all(net, (const float *const *)&x, 4, out, NULL), PARE_OK);
	ck_assert_int_eq(memcmp(x, y, sizeof y), 0);
	pare_free(x);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* A change of order costs memory and time: only where somebody needs the other one, and none for planes of one element. */
START_TEST(only_borders_are_converted)
{
	struct gb *b = residual();
	struct pare_net *net = nc_net(b, 1, BATCH, true);
	int n = 0;

	for (int i = 0; i < net->n_nodes; i++)
		n += !net->nodes[i].view && (net->nodes[i].op == &pare_op_to_last || net->nodes[i].op == &pare_op_to_first);
	ck_assert_int_eq(n, 1);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("layout");
	TCase *t = tcase_create("nets");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, channels_last_changes_nothing, 0, N_NETS);
	tcase_add_loop_test(t, lent_rows_are_read_where_they_are, 0, 2);
	tcase_add_test(t, what_is_given_back_is_not_lent);
	tcase_add_test(t, new_weights_are_prepared_again);
	if (pare_tile() != &pare_tile_plain) { /* a machine that runs everything row-major */
		tcase_add_test(t, chains_run_as_one_node);
		tcase_add_test(t, passes_take_less_memory);
		tcase_add_test(t, only_borders_are_converted);
	}
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
