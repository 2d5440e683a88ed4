/* A small net of every kind of convolution, pooling and normalization against numbers that numpy computed in float64
 * (tests/golden/convnet.py): logits, every gradient, and the losses of five steps of gradient descent, with one shard and
 * with three. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "tests/golden/convnet.h"
#include "tests/support/net_check.h"

#define BATCH 6
#define CLASSES 4
#define STEPS 5
#define RATE 0.2f
#define TOLERANCE 5e-6

struct param {
	const char *name, *shape;
	const float *data, *gradient;
};
#define PARAM(name, shape) {#name, shape, golden_##name, golden_d##name}
static const struct param param_table[] = {
    PARAM(w1, "4 2 3 3"), PARAM(b1, "4"), PARAM(s1, "4"), PARAM(t1, "4"), PARAM(w2, "4 1 3 3"), PARAM(b2, "4"), PARAM(s2, "4"), PARAM(t2, "4"),
    PARAM(w3, "4 3 2 2"), PARAM(b3, "3"), PARAM(w4, "6 1 3 3"), PARAM(b4, "6"), PARAM(s4, "6"), PARAM(t4, "6"), PARAM(s5, "6"), PARAM(t5, "6"),
    PARAM(w6, "4 6"), PARAM(b6, "4"),
};
#define N_PARAMS ((int)(sizeof param_table / sizeof param_table[0]))

static void norm(struct gb *b, const char *op, const char *name, const char *in, const char *out)
{
	gb_node(b, op, name, in, out);
	gb_attr_float(b, "epsilon", 1e-3f);
}

static void first_half(struct gb *b)
{
	static const int64_t one[4] = {1, 1, 1, 1}, two[2] = {2, 2}, three[2] = {3, 3};

	gb_node(b, "Conv", "conv1", "x w1 b1", "a1");
	gb_attr_ints(b, "pads", one, 4);
	norm(b, "BatchNormalization", "bn1", "a1 s1 t1 mean var", "n1");
	gb_node(b, "Relu", "relu1", "n1", "r1");
	gb_node(b, "MaxPool", "pool1", "r1", "p1");
	gb_attr_ints(b, "kernel_shape", two, 2);
	gb_attr_ints(b, "strides", two, 2);
	gb_node(b, "Conv", "conv2", "p1 w2 b2", "a2");
	gb_attr_string(b, "auto_pad", "SAME_UPPER");
	gb_attr_int(b, "group", 4);
	norm(b, "InstanceNormalization", "in2", "a2 s2 t2", "n2");
	gb_node(b, "AveragePool", "pool2", "n2", "p2");
	gb_attr_ints(b, "kernel_shape", three, 2);
	gb_attr_ints(b, "pads", one, 4);
}

static struct gb *convnet(void)
{
	static const int64_t two[2] = {2, 2};
	struct gb *b = gb_new(21);

	gb_input(b, "x", "N 2 9 8");
	gb_init(b, "mean", "4", golden_mean);
	gb_init(b, "var", "4", golden_var);
	for (int i = 0; i < N_PARAMS; i++)
		gb_init(b, param_table[i].name, param_table[i].shape, param_table[i].data);
	first_half(b);
	gb_node(b, "ConvTranspose", "up3", "p2 w3 b3", "a3");
	gb_attr_ints(b, "strides", two, 2);
	gb_node(b, "Conv", "conv4", "a3 w4 b4", "a4");
	gb_attr_ints(b, "strides", two, 2);
	gb_attr_int(b, "group", 3);
	norm(b, "GroupNormalization", "gn4", "a4 s4 t4", "n4");
	gb_attr_int(b, "num_groups", 3);
	gb_node(b, "Relu", "relu4", "n4", "r4");
	gb_node(b, "GlobalAveragePool", "gap4", "r4", "p4");
	gb_node(b, "Flatten", "flat", "p4", "f");
	norm(b, "LayerNormalization", "ln5", "f s5 t5", "n5");
	gb_node(b, "Gemm", "fc6", "n5 w6 b6", "y");
	gb_attr_int(b, "transB", 1);
	gb_output(b, "y");
	return b;
}

/* Softmax cross entropy of one row; its gradient, divided by the batch, into grad. */
static double row_loss(const float *z, int label, float *grad)
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

	nc_forward(net, in, BATCH, PARE_MODE_FROZEN, 0);
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

static const struct param *golden(const char *name)
{
	for (int i = 0; i < N_PARAMS; i++)
		if (strcmp(param_table[i].name, name) == 0)
			return &param_table[i];
	ck_abort_msg("no golden gradient of %s", name);
	return NULL;
}

static void check_first_step(const struct pare_net *net, const float *grads)
{
	float logits[BATCH * CLASSES];

	ck_assert_uint_eq(nc_output(net, 0, BATCH, logits), BATCH * CLASSES);
	for (int i = 0; i < BATCH * CLASSES; i++)
		ck_assert_msg(fabs((double)logits[i] - (double)golden_logits[i]) < TOLERANCE, "logit %d is %.9g, want %.9g", i, (double)logits[i], (double)golden_logits[i]);
	ck_assert_int_eq(pare_net_n_params(net), N_PARAMS + 2);
	for (int p = 0; p < N_PARAMS + 2; p++) {
		const struct pare_param_info *info = pare_net_param(net, p);
		const float *want, *got = grads + info->offset;

		ck_assert_int_eq(info->buffer, strcmp(info->name, "mean") == 0 || strcmp(info->name, "var") == 0);
		if (info->buffer)
			continue;
		want = golden(info->name)->gradient;
		for (size_t k = 0; k < info->n_elems; k++)
			ck_assert_msg(fabs((double)got[k] - (double)want[k]) < TOLERANCE, "gradient of %s[%zu] is %.9g, want %.9g", info->name, k, (double)got[k],
			    (double)want[k]);
	}
}

START_TEST(convnet_equals_numpy)
{
	struct gb *b = convnet();
	struct pare_net *net = nc_net(b, _i == 0 ? 1 : 3, BATCH, true);
	float *grads = pare_calloc(pare_net_slab_len(net), sizeof *grads);

	ck_assert_ptr_nonnull(grads);
	ck_assert_int_eq(pare_net_n_shards(net), _i == 0 ? 1 : 3);
	for (int i = 0; i < STEPS; i++) {
		double loss = step(net, grads);

		ck_assert_msg(fabs(loss - golden_losses[i]) < TOLERANCE, "loss of step %d is %.9g, want %.9g", i, loss, golden_losses[i]);
		if (i == 0)
			check_first_step(net, grads);
		for (size_t k = 0; k < pare_net_slab_len(net); k++)
			pare_net_slab(net)[k] -= RATE * grads[k];
	}
	pare_free(grads);
	pare_net_free(net);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("convolutional net");
	TCase *t = tcase_create("golden");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, convnet_equals_numpy, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
