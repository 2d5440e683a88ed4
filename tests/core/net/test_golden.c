/* A perceptron of three layers against numbers that numpy computed in float64 (tests/golden/mlp3.py): logits, every
 * gradient, and the losses of ten steps of gradient descent, with one shard and with three. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "tests/golden/mlp3.h"
#include "tests/support/net_check.h"

#define BATCH 10
#define CLASSES 4
#define STEPS 10
#define RATE 0.5f
#define TOLERANCE 2e-6

static struct gb *mlp3(void)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 8");
	gb_init(b, "w1", "7 8", golden_w1);
	gb_init(b, "b1", "7", golden_b1);
	gb_init(b, "w2", "6 7", golden_w2);
	gb_init(b, "b2", "6", golden_b2);
	gb_init(b, "w3", "4 6", golden_w3);
	gb_init(b, "b3", "4", golden_b3);
	gb_node(b, "Gemm", "fc1", "x w1 b1", "h1");
	gb_attr_int(b, "transB", 1);
	gb_node(b, "Tanh", "tanh1", "h1", "a1");
	gb_node(b, "Gemm", "fc2", "a1 w2 b2", "h2");
	gb_attr_int(b, "transB", 1);
	gb_node(b, "Sigmoid", "sigmoid2", "h2", "a2");
	gb_node(b, "Gemm", "fc3", "a2 w3 b3", "y");
	gb_attr_int(b, "transB", 1);
	gb_output(b, "y");
	return b;
}

/* Softmax cross entropy of one row; its gradient, divided by the batch, into grad. */
static double row_loss(const float *z, int32_t label, float *grad)
{
	double max = (double)z[0], sum = 0;

	for (int k = 1; k < CLASSES; k++)
		max = fmax(max, (double)z[k]);
	for (int k = 0; k < CLASSES; k++)
		sum += exp((double)z[k] - max);
	for (int k = 0; k < CLASSES; k++)
		grad[k] = (float)((exp((double)z[k] - max) / sum - (k == label ? 1 : 0)) / BATCH);
	return max + log(sum) - (double)z[label];
}

static double step(struct pare_net *net, float *grads)
{
	static const float *const in[] = {golden_x};
	double loss = 0;

	nc_forward(net, in, BATCH, true, 0);
	for (int s = 0; s < pare_net_n_shards(net); s++) {
		int64_t first, count;

		pare_net_shard_rows(net, BATCH, s, &first, &count);
		for (int64_t i = 0; i < count; i++)
			loss += row_loss(pare_net_shard_output(net, s, 0) + i * CLASSES, golden_labels[first + i], pare_net_shard_output_grad(net, s, 0) + i * CLASSES);
		pare_net_shard_backward(net, s);
	}
	pare_net_reduce_grads(net, 0, pare_net_slab_len(net), grads);
	return loss / BATCH;
}

static void check_gradients(const struct pare_net *net, const float *grads)
{
	static const float *const want[] = {golden_dw1, golden_db1, golden_dw2, golden_db2, golden_dw3, golden_db3};

	ck_assert_int_eq(pare_net_n_params(net), 6);
	for (int p = 0; p < 6; p++) {
		const struct pare_param_info *info = pare_net_param(net, p);

		for (size_t k = 0; k < info->n_elems; k++)
			ck_assert_msg(fabs((double)grads[info->offset + k] - (double)want[p][k]) < TOLERANCE, "%s[%zu] is %.9g, want %.9g", info->name, k,
			    (double)grads[info->offset + k], (double)want[p][k]);
	}
}

START_TEST(gradients_and_losses)
{
	struct gb *b = mlp3();
	struct pare_net *net = nc_net(b, _i, BATCH, true);
	float grads[512], logits[BATCH * CLASSES];

	ck_assert_uint_le(pare_net_slab_len(net), 512);
	for (int n = 0; n < STEPS; n++) {
		double loss = step(net, grads);

		ck_assert_msg(fabs(loss - golden_losses[n]) < TOLERANCE, "loss of step %d is %.9g, want %.9g", n, loss, golden_losses[n]);
		if (n == 0) {
			(void)nc_output(net, 0, BATCH, logits);
			for (int i = 0; i < BATCH * CLASSES; i++)
				ck_assert(fabsf(logits[i] - golden_logits[i]) < 2e-6f);
			check_gradients(net, grads);
		}
		for (size_t i = 0; i < pare_net_slab_len(net); i++)
			pare_net_slab(net)[i] -= RATE * grads[i];
	}
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("golden");
	TCase *t = tcase_create("mlp3");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, gradients_and_losses, 1, 4);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
