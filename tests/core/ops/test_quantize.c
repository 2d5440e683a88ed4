/* Training through a pair of quantize and dequantize: the gradient passes straight through where the value was in range, is 0
 * where it was clamped, and the scale learns as in LSQ: round(x / s) - x / s inside the range, its ends outside. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "tests/support/net_check.h"

#define N 5

START_TEST(straight_through)
{
	static const float w[N] = {0.26f, -0.31f, 5.0f, 40.0f, -40.0f}, scale[1] = {0.25f};
	static const float up[N] = {1, 2, 3, 4, 5}, want_dw[N] = {1, 2, 3, 0, 0};
	struct gb *b = gb_new(21);
	struct pare_net *net;
	float grads[64];
	double want_ds = 0;

	gb_input(b, "x", "N 5");
	gb_init(b, "w", "5", w);
	gb_init(b, "s", "1", scale);
	gb_node(b, "QuantizeLinear", "q", "w s", "i");
	gb_attr_int(b, "output_dtype", PARE_DT_INT8);
	gb_node(b, "Identity", "between", "i", "j");
	gb_node(b, "DequantizeLinear", "d", "j s", "v");
	gb_node(b, "Mul", "m", "x v", "y");
	gb_output(b, "y");
	net = nc_net(b, 1, 1, true);
	ck_assert_int_eq(pare_net_n_params(net), 2);
	memcpy(pare_net_shard_input(net, 0, 0), up, sizeof up);
	pare_net_shard_forward(net, 0, 1, true, 0, 0);
	for (int i = 0; i < N; i++) {
		float v = fminf(fmaxf(rintf(w[i] / scale[0]), -128), 127);

		ck_assert(fabsf(pare_net_shard_output(net, 0, 0)[i] - up[i] * v * scale[0]) < 1e-5f);
		pare_net_shard_output_grad(net, 0, 0)[i] = 1;
		want_ds += (double)up[i] * ((double)v - (v > -128 && v < 127 ? (double)w[i] / (double)scale[0] : 0));
	}
	pare_net_shard_backward(net, 0);
	pare_net_reduce_grads(net, 0, pare_net_slab_len(net), grads);
	for (int i = 0; i < 2; i++) {
		const struct pare_param_info *p = pare_net_param(net, i);

		if (p->name[0] == 's')
			ck_assert_msg(fabs((double)grads[p->offset] - want_ds) < 1e-3, "%g, want %g", (double)grads[p->offset], want_ds);
		for (int k = 0; p->name[0] == 'w' && k < N; k++)
			ck_assert_msg(fabsf(grads[p->offset + (size_t)k] - want_dw[k]) < 1e-5f, "%d: %g", k, (double)grads[p->offset + (size_t)k]);
	}
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("quantize");
	TCase *t = tcase_create("training");
	SRunner *r;
	int failed;

	tcase_add_test(t, straight_through);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
