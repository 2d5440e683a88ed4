/* Formulas that exporters spell out run as the operator that they mean, with its values and gradients; what only resembles
 * them stays. */
#include <check.h>
#include <math.h>
#include <string.h>

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

int main(void)
{
	Suite *s = suite_create("idioms");
	TCase *t = tcase_create("idioms");
	SRunner *r;
	int failed;

	tcase_add_test(t, gelu_is_one_node);
	tcase_add_test(t, what_resembles_it_stays);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
