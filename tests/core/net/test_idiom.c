/* Formulas that exporters spell out run as the operator that they mean, with its values and gradients; what only resembles
 * them stays. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/net_priv.h"
#include "tests/support/net_check.h"

#define ROWS 5
#define WIDTH 13

static float data[ROWS * WIDTH], got[ROWS * WIDTH];

enum order { X_THEN_HALF, HALF_THEN_X, HALF_OF_X };

/* x -> Relu-free parameter product, so that there is a gradient -> Gelu written out. */
static struct gb *gelu(enum order order, float root, bool divide, bool erf_seen)
{
	static const float one = 1.0f, half = 0.5f;
	struct gb *b = gb_new(17);
	float scale[WIDTH];

	gb_input(b, "in", "N 13");
	nc_fill(scale, WIDTH, 5);
	gb_init(b, "scale", "13", scale);
	gb_init(b, "root", "", &root);
	gb_init(b, "one", "", &one);
	gb_init(b, "half", "", &half);
	gb_node(b, "Mul", "input", "in scale", "x");
	gb_node(b, divide ? "Div" : "Mul", "scaled", "x root", "e");
	gb_node(b, "Erf", "erf", "e", "f");
	gb_node(b, "Add", "add", order == HALF_OF_X ? "one f" : "f one", "a");
	if (order == X_THEN_HALF) {
		gb_node(b, "Mul", "m1", "x a", "m");
		gb_node(b, "Mul", "m2", "m half", "y");
	} else if (order == HALF_THEN_X) {
		gb_node(b, "Mul", "m1", "half a", "m");
		gb_node(b, "Mul", "m2", "x m", "y");
	} else {
		gb_node(b, "Mul", "m1", "x half", "h");
		gb_node(b, "Mul", "m2", "h a", "y");
	}
	gb_output(b, "y");
	if (erf_seen)
		gb_output(b, "f");
	return b;
}

static void check_values(struct pare_net *net, double root)
{
	const float *const in[1] = {data};

	nc_fill(data, ROWS * WIDTH, 3);
	nc_forward(net, in, ROWS, PARE_MODE_INFER, 0);
	ck_assert_uint_eq(nc_output(net, 0, ROWS, got), ROWS * WIDTH);
	for (int i = 0; i < ROWS * WIDTH; i++) {
		double x = (double)(data[i] * pare_net_slab(net)[i % WIDTH]), want = 0.5 * x * (1.0 + erf(x / root));

		ck_assert_msg(fabs((double)got[i] - want) < 1e-6, "element %d: %g, not %g", i, (double)got[i], want);
	}
	ck_assert(nc_gradient_error(net, in, ROWS, PARE_MODE_TRAIN, 1e-2) < 2e-3);
}

START_TEST(gelu_is_one_node)
{
	for (enum order order = X_THEN_HALF; order <= HALF_OF_X; order++)
		for (int divide = 0; divide < 2; divide++) {
			struct gb *b = gelu(order, divide ? 1.41421354f : 0.70710677f, divide, false);
			struct pare_net *net = nc_net(b, 1, ROWS, true);

			ck_assert_int_eq(net->n_nodes, 2);
			ck_assert_str_eq(net->nodes[1].op->name, "Gelu");
			ck_assert_int_eq(pare_net_n_params(net), 1);
			check_values(net, sqrt(2.0));
			pare_net_free(net);
			gb_free(b);
		}
}
END_TEST

START_TEST(what_resembles_it_stays)
{
	struct gb *b = gelu(X_THEN_HALF, 1.5f, true, false);
	struct pare_net *net = nc_net(b, 1, ROWS, true);

	ck_assert_int_eq(net->n_nodes, 6);
	check_values(net, 1.5);
	pare_net_free(net);
	gb_free(b);
	b = gelu(HALF_OF_X, 1.41421354f, true, true); /* somebody looks at the inside */
	net = nc_net(b, 1, ROWS, true);
	ck_assert_int_eq(net->n_nodes, 6);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* ---- attention: 2 heads of 6 floats over 5 positions, as it stands in files of different exporters */

#define HEADS 2
#define LENGTH 5
#define WIDE 12 /* HEADS x 6 */
#define HELD (LENGTH * WIDE)

enum from { ONE_PRODUCT, ONE_PRODUCT_BY_INDEX, THREE_PRODUCTS, SAME_KEYS_AND_VALUES };
enum mask { NO_MASK, MASK_OF_KEYS, MASK_LEARNED, MASK_PER_HEAD };

static float rows[ROWS * HELD], result[2][ROWS * HELD];

static void weights(struct gb *b, const char *name, const char *shape, size_t n, uint64_t seed)
{
	float w[WIDE * 3 * WIDE];

	nc_fill(w, n, seed);
	gb_init(b, name, shape, w);
}

/* The values q, k (its positions last) and v, [N, 2, 5, 6]. */
static void heads_of_one(struct gb *b, bool by_index)
{
	static const int64_t apart[5] = {0, LENGTH, 3, HEADS, WIDE / HEADS}, first[5] = {2, 0, 3, 1, 4}, turn[4] = {0, 1, 3, 2}, numbers[3] = {0, 1, 2};

	weights(b, "w", "12 36", WIDE * 3 * WIDE, 5);
	weights(b, "bias", "36", 3 * WIDE, 6);
	gb_init_i64(b, "apart", "5", apart);
	gb_node(b, "MatMul", "product", "in w", "made");
	gb_node(b, "Add", "biased", "bias made", "qkv");
	gb_node(b, "Reshape", "split", "qkv apart", "five");
	gb_node(b, "Transpose", "first", "five", "parts");
	gb_attr_ints(b, "perm", first, 5);
	if (by_index) {
		gb_init_i64(b, "0", "", numbers);
		gb_init_i64(b, "1", "", numbers + 1);
		gb_init_i64(b, "2", "", numbers + 2);
		gb_node(b, "Gather", "take0", "parts 0", "q");
		gb_node(b, "Gather", "take1", "parts 1", "k0");
		gb_node(b, "Gather", "take2", "parts 2", "v");
	} else {
		gb_init_i64(b, "axis", "1", numbers);
		gb_node(b, "Split", "parts", "parts", "q1 k1 v1");
		gb_attr_int(b, "axis", 0);
		gb_node(b, "Squeeze", "q", "q1 axis", "q");
		gb_node(b, "Squeeze", "k", "k1 axis", "k0");
		gb_node(b, "Squeeze", "v", "v1 axis", "v");
	}
	gb_node(b, "Transpose", "turn", "k0", "k");
	gb_attr_ints(b, "perm", turn, 4);
}

static void heads_of_three(struct gb *b, bool shared)
{
	static const int64_t apart[4] = {0, LENGTH, HEADS, WIDE / HEADS}, heads[4] = {0, 2, 1, 3}, turned[4] = {0, 2, 3, 1};

	weights(b, "wq", "12 12", WIDE * WIDE, 5);
	weights(b, "wk", "12 12", WIDE * WIDE, 6);
	weights(b, "wv", "12 12", WIDE * WIDE, 7);
	gb_init_i64(b, "apart", "4", apart);
	gb_node(b, "MatMul", "query", "in wq", "q1");
	gb_node(b, "MatMul", "key", "in wk", "k1");
	gb_node(b, "Reshape", "q2", "q1 apart", "q2");
	gb_node(b, "Reshape", "k2", "k1 apart", "k2");
	gb_node(b, "Transpose", "q3", "q2", "q");
	gb_attr_ints(b, "perm", heads, 4);
	gb_node(b, "Transpose", "k3", "k2", "k");
	gb_attr_ints(b, "perm", turned, 4);
	if (!shared) {
		gb_node(b, "MatMul", "value", "in wv", "v1");
		gb_node(b, "Reshape", "v2", "v1 apart", "v2");
	}
	gb_node(b, "Transpose", "v3", shared ? "k2" : "v2", "v");
	gb_attr_ints(b, "perm", heads, 4);
}

static const char *masked(struct gb *b, enum mask mask)
{
	static const char *const shape_table[] = {[MASK_LEARNED] = "1 2 5 5", [MASK_PER_HEAD] = "2 1 1"};

	if (mask == NO_MASK)
		return "s1";
	if (mask == MASK_OF_KEYS) {
		gb_input(b, "seen", "N 1 1 5");
		gb_node(b, "Add", "masked", "s1 seen", "s2");
		return "s2";
	}
	weights(b, "m", shape_table[mask], mask == MASK_LEARNED ? HEADS * LENGTH * LENGTH : HEADS, 8);
	gb_node(b, "Add", "masked", "m s1", "s2");
	return "s2";
}

static struct gb *attention(enum from from, enum mask mask, bool scores_seen)
{
	static const int64_t join[4] = {0, 2, 1, 3}, flat[3] = {0, LENGTH, WIDE};
	struct gb *b = gb_new(17);
	float root = mask == NO_MASK ? 2.4494897f : 0.40824829f;

	gb_input(b, "x", "N 5 12");
	weights(b, "scale", "12", WIDE, 9);
	gb_node(b, "Mul", "input", "x scale", "in");
	if (from == THREE_PRODUCTS || from == SAME_KEYS_AND_VALUES)
		heads_of_three(b, from == SAME_KEYS_AND_VALUES);
	else
		heads_of_one(b, from == ONE_PRODUCT_BY_INDEX);
	gb_init_bytes(b, "root", "", PARE_DT_FLOAT, &root, sizeof root);
	gb_node(b, "Constant", "constant", "", "number");
	gb_attr_tensor(b, "value", "root");
	gb_node(b, "MatMul", "scores", "q k", "s0");
	gb_node(b, mask == NO_MASK ? "Div" : "Mul", "scaled", "s0 number", "s1");
	gb_node(b, "Softmax", "softmax", masked(b, mask), "p");
	gb_attr_int(b, "axis", -1);
	gb_node(b, "MatMul", "mix", "p v", "y1");
	gb_node(b, "Transpose", "join", "y1", "y2");
	gb_attr_ints(b, "perm", join, 4);
	gb_init_i64(b, "flat", "3", flat);
	gb_node(b, "Reshape", "flat", "y2 flat", "y");
	gb_output(b, "y");
	if (scores_seen)
		gb_output(b, "p");
	return b;
}

static int count(const struct pare_net *net, const char *op)
{
	int n = 0;

	for (int i = 0; i < net->n_nodes; i++)
		n += strcmp(net->nodes[i].op->name, op) == 0;
	return n;
}

/* Result and gradients as without the help of planning, on one thread and on two. */
static void check_attention(struct gb *b, bool found, int n_moved)
{
	static float mask[ROWS * LENGTH];
	const float *const in[2] = {rows, mask};
	struct pare_net *plain = nc_plain_net(b, 1, ROWS, true);
	float *grads[2] = {pare_calloc(pare_net_slab_len(plain), sizeof(float)), pare_calloc(pare_net_slab_len(plain), sizeof(float))};

	nc_fill(rows, ROWS * HELD, 3);
	nc_fill(mask, ROWS * LENGTH, 4);
	nc_forward(plain, in, ROWS, PARE_MODE_TRAIN, 0);
	nc_output(plain, 0, ROWS, result[0]);
	nc_backward(plain, ROWS, grads[0]);
	for (int threads = 1; threads <= 2; threads++) {
		struct pare_net *net = nc_net(b, threads, ROWS, true), *infers = nc_net(b, threads, ROWS, false);

		ck_assert_int_eq(count(net, "Attention"), found);
		ck_assert_int_eq(count(net, "Softmax"), !found);
		ck_assert_int_eq(count(net, "Transpose") + count(net, "Split"), n_moved);
		ck_assert_int_eq(pare_net_n_shards(net), threads);
		ck_assert_int_eq(pare_net_macs(net), pare_net_macs(plain));
		nc_forward(net, in, ROWS, PARE_MODE_TRAIN, 0);
		nc_output(net, 0, ROWS, result[1]);
		for (int i = 0; i < ROWS * HELD; i++)
			ck_assert_msg(fabsf(result[0][i] - result[1][i]) < 1e-5f, "element %d: %g, not %g", i, (double)result[1][i], (double)result[0][i]);
		nc_backward(net, ROWS, grads[1]);
		for (size_t i = 0; i < pare_net_slab_len(net); i++)
			ck_assert_msg(fabsf(grads[0][i] - grads[1][i]) < 1e-4f + 1e-4f * fabsf(grads[0][i]), "gradient %zu: %g, not %g", i, (double)grads[1][i], (double)grads[0][i]);
		nc_forward(infers, in, ROWS, PARE_MODE_INFER, 0);
		nc_output(infers, 0, ROWS, result[1]);
		for (int i = 0; i < ROWS * HELD; i++)
			ck_assert_msg(fabsf(result[0][i] - result[1][i]) < 1e-5f, "inferred element %d: %g, not %g", i, (double)result[1][i], (double)result[0][i]);
		pare_net_free(net);
		pare_net_free(infers);
	}
	pare_net_free(plain);
	pare_free(grads[0]);
	pare_free(grads[1]);
}

START_TEST(attention_is_one_node)
{
	for (enum from from = ONE_PRODUCT; from <= SAME_KEYS_AND_VALUES; from++)
		for (enum mask mask = NO_MASK; mask <= MASK_PER_HEAD; mask++) {
			struct gb *b = attention(from, mask, false);

			check_attention(b, true, 0);
			gb_free(b);
		}
}
END_TEST

START_TEST(attention_that_is_looked_at_stays)
{
	struct gb *b = attention(THREE_PRODUCTS, MASK_OF_KEYS, true);

	check_attention(b, false, 4);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("idioms");
	TCase *t = tcase_create("idioms");
	SRunner *r;
	int failed;

	tcase_add_test(t, gelu_is_one_node);
	tcase_add_test(t, what_resembles_it_stays);
	tcase_add_test(t, attention_is_one_node);
	tcase_add_test(t, attention_that_is_looked_at_stays);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
