/* k-means on a line, and training under sharing, on numbers that can be checked by hand or by brute force. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/compress/cluster.h"
#include "core/onnx/onnx.h"
#include "core/graph/arch.h"
#include "core/train/share.h"

static struct pare_buf file;
static struct pare_model *model;
static struct pare_net *net;

static void setup(void)
{
	struct pare_arch_layer layers[] = {{.units = 50, .activation = PARE_ACT_RELU}, {.units = 4}};
	struct pare_arch arch = {.input_dims = {40}, .n_input_dims = 1, .layers = layers, .n_layers = 2, .seed = 3};
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 2, .training = true};
	struct pare_err err;

	pare_buf_init(&file, 1 << 20);
	ck_assert_int_eq(pare_arch_build(&arch, &file, &err), PARE_OK);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(uint8_t *)file.data, file.len}, &model, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(model, &opt, &net, &err), PARE_OK);
}

static void teardown(void)
{
	pare_net_free(net);
	pare_model_free(model);
	pare_buf_done(&file);
}

/* The first weight: 40 x 50. */
static float *weights(size_t *n)
{
	for (int p = 0; p < pare_net_n_params(net); p++)
		if (pare_net_param(net, p)->prunable) {
			*n = pare_net_param(net, p)->n_elems;
			return pare_net_slab(net) + pare_net_param(net, p)->offset;
		}
	ck_abort_msg("no weights");
	return NULL;
}

static double squares(const float *a, const float *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
	return sum;
}

START_TEST(heaps_are_found)
{
	static const float heap[4] = {-1, -0.3f, 0.4f, 1.1f};
	struct pare_cluster_options opt = {.bits = 2, .conv_bits = 2, .init = (enum pare_cluster_init)_i, .iterations = 100};
	struct pare_rng rng;
	size_t n;
	float *w = weights(&n);
	float was[2000];

	ck_assert_uint_eq(n, 2000);
	pare_rng_init(&rng, 1, "heaps", 0);
	for (size_t i = 0; i < n; i++)
		w[i] = was[i] = i % 3 == 0 ? 0 : heap[i % 4] + 0.05f * pare_rng_uniform(&rng);
	ck_assert_int_eq(pare_cluster(net, &opt, NULL), PARE_OK);
	for (size_t i = 0; i < n; i++) {
		ck_assert_msg((was[i] < 0 || was[i] > 0) == (w[i] < 0 || w[i] > 0), "zero %zu", i);
		ck_assert_msg(fabsf(w[i] - was[i]) <= 0.05f, "weight %zu: %g became %g", i, (double)was[i], (double)w[i]);
		ck_assert(i < 12 || w[i] >= w[i - 12]);
		ck_assert(i < 12 || w[i] <= w[i - 12]);
	}
}
END_TEST

/* At the end every weight has the nearest value, and every value is the mean of its weights: what k-means ends with. Each check is a message to
 * the parent, so there is none for each pair. */
START_TEST(a_fixed_point_of_k_means)
{
	struct pare_cluster_options opt = {.bits = 1 + _i % 6, .conv_bits = 1, .init = (enum pare_cluster_init)(_i / 6), .iterations = 1000};
	size_t n, n_values;
	float *w = weights(&n), *was = malloc(n * sizeof *was), *values = malloc(n * sizeof *values);
	double bits;

	memcpy(was, w, n * sizeof *was);
	ck_assert_int_eq(pare_cluster(net, &opt, NULL), PARE_OK);
	memcpy(values, w, n * sizeof *values);
	pare_count_values(values, n, &n_values, &bits);
	ck_assert_uint_le(n_values, (size_t)1 << opt.bits);
	ck_assert_double_le(bits, opt.bits + 1e-9);
	for (size_t i = 0; i < n; i++) {
		double sum = 0;
		size_t count = 0, n_nearer = 0;

		for (size_t j = 0; j < n; j++) {
			n_nearer += !(fabsf(was[i] - w[i]) <= fabsf(was[i] - w[j]) + 1e-6f);
			sum += fabsf(w[j] - w[i]) <= 0 ? (double)was[j] : 0;
			count += fabsf(w[j] - w[i]) <= 0;
		}
		ck_assert_msg(n_nearer == 0, "weight %zu would be nearer to another value", i);
		ck_assert_double_eq_tol(sum / (double)count, (double)w[i], 1e-6);
	}
	ck_assert_double_gt(squares(w, was, n), 0);
	free(was);
	free(values);
}
END_TEST

START_TEST(gradients_are_summed)
{
	struct pare_sharing s;
	size_t n, len = pare_net_slab_len(net);
	float *w = weights(&n), *g = calloc(len, sizeof *g), *first = g + (w - pare_net_slab(net));
	bool shared[16] = {false};

	for (int p = 0; p < pare_net_n_params(net); p++)
		shared[p] = pare_net_slab(net) + pare_net_param(net, p)->offset == w;
	for (size_t i = 0; i < n; i++)
		w[i] = (float)(i % 3) - 1; /* -1, 0, 1 */
	for (size_t i = 0; i < len; i++)
		g[i] = (float)(i % 7) * 0.25f;
	ck_assert_int_eq(pare_sharing_init(&s, net, shared, NULL), PARE_OK);
	for (size_t i = 0; i < n; i++)
		first[i] = i % 3 == 0 ? 2 : i % 3 == 2 ? 0.5f : 9;
	pare_sharing_sum(&s, g);
	for (size_t i = 0; i < n; i++)
		ck_assert_float_eq(first[i], i % 3 == 0 ? 2 * 667.0f : i % 3 == 2 ? 0.5f * 666.0f : 0);
	for (size_t i = 0; i < len; i++)
		ck_assert((g + i >= first && g + i < first + n) || fabsf(g[i] - (float)(i % 7) * 0.25f) <= 0);
	w[0] = -4;
	pare_sharing_average(&s, w);
	ck_assert_float_eq_tol(w[3], -1 - 3.0f / 667, 1e-6f);
	ck_assert_float_eq(w[0], w[3]);
	ck_assert_float_eq(w[2], 1);
	pare_sharing_done(&s);
	free(g);
}
END_TEST

START_TEST(nan_is_named)
{
	struct pare_cluster_options opt = {.bits = 2, .conv_bits = 2, .iterations = 10};
	struct pare_err err;
	size_t n;

	weights(&n)[5] = NAN;
	ck_assert_int_eq(pare_cluster(net, &opt, &err), PARE_E_NONFINITE);
	ck_assert_str_eq(err.where, "fc1.weight");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cluster");
	TCase *t = tcase_create("cluster");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, heaps_are_found, 0, 2);
	tcase_add_loop_test(t, a_fixed_point_of_k_means, 0, 12);
	tcase_add_test(t, gradients_are_summed);
	tcase_add_test(t, nan_is_named);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
