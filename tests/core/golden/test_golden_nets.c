/* Fourteen kinds of nets, as PyTorch exports them, against PyTorch's own numbers (tests/golden/nets_golden.py, which says what
 * is in the files and where the tolerances come from): outputs, losses, the gradient of every parameter, running statistics, and
 * the losses of ten steps of SGD and of Adam, with one shard and with more. Batch 5, so that shards are uneven. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/onnx/onnx.h"
#include "core/train/train.h"

#define BATCH 5
#define MAX_INPUTS 4
#define MAX_THREADS 3
#define TOLERANCE_FLOOR 2e-6
#define TOLERANCE_FACTOR 8.0

enum target { CLASSES, BINARY, PROBABILITY, VALUES };
static const struct row {
	const char *name;
	enum target target;
	double sgd_rate;
} net_table[] = {
    {"mlp", CLASSES, 0.1},
    {"lenet300", CLASSES, 0.1},
    {"lenet5", CLASSES, 0.02},
    {"resnet20", CLASSES, 0.1},
    {"resnet18", CLASSES, 0.1},
    {"mobilenetv2", CLASSES, 0.1},
    {"densenet", CLASSES, 0.1},
    {"unet", BINARY, 0.1},
    {"lstm", CLASSES, 0.1},
    {"lstm_modern", CLASSES, 0.1},
    {"gru", CLASSES, 0.1},
    {"gru_modern", CLASSES, 0.1},
    {"vit", CLASSES, 0.1},
    {"vit_modern", CLASSES, 0.1},
    {"bert", CLASSES, 0.1},
    {"bert_modern", CLASSES, 0.1},
    {"dcgan_generator", VALUES, 0.02},
    {"dcgan_discriminator", PROBABILITY, 0.02},
};
#define N_NETS ((int)(sizeof net_table / sizeof net_table[0]))

struct golden {
	const struct row *row;
	struct pare_span file[2];
	struct pare_model *model, *numbers;
	struct pare_net *net;
	const float *in[MAX_INPUTS];
	const float *target;
	int64_t width; /* of a row of output 0 */
	float *grads;
	double loss;
	double shard_loss[MAX_THREADS];
	enum pare_mode mode;
};

static struct pare_model *load(const char *name, const char *suffix, struct pare_span *file)
{
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	char path[160];
	FILE *f;
	uint8_t *p = malloc(1 << 20);

	(void)snprintf(path, sizeof path, "tests/golden/nets/%s.%s", name, suffix);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL && p != NULL, "%s cannot be read", path);
	*file = (struct pare_span){p, fread(p, 1, 1 << 20, f)};
	(void)fclose(f);
	ck_assert_msg(pare_onnx_read(*file, &m, &err) == PARE_OK, "%s: %s (%s)", path, err.message, err.where);
	return m;
}

/* The numbers called prefix + name, to be freed; NULL if there are none. */
static float *numbers(const struct golden *g, const char *prefix, const char *name, size_t *n)
{
	char full[200];
	int32_t v;
	float *out;

	(void)snprintf(full, sizeof full, "%s%s", prefix, name);
	v = pare_graph_find_value(&g->numbers->graph, full);
	if (v < 0)
		return NULL;
	*n = g->numbers->graph.values[v].init->n_elems;
	out = malloc((*n + 1) * sizeof *out);
	ck_assert(out != NULL && pare_tensor_read_f32(g->numbers->graph.values[v].init, out, NULL) == PARE_OK);
	return out;
}

static double number(const struct golden *g, const char *name)
{
	size_t n = 0;
	float *v = numbers(g, name, "", &n);
	double value;

	ck_assert_msg(v != NULL && n == 1, "%s.golden has no number %s", g->row->name, name);
	value = (double)v[0];
	free(v);
	return value;
}

static double tolerance(const struct golden *g, const char *name)
{
	return fmax(TOLERANCE_FACTOR * number(g, name), TOLERANCE_FLOOR);
}

static void start_net(struct golden *g, int n_threads)
{
	const struct pare_net_options opt = {.n_threads = n_threads, .max_batch = BATCH, .training = true, .seed = 1};
	struct pare_err err = {0};

	pare_net_free(g->net);
	free(g->grads);
	ck_assert_msg(pare_net_new(g->model, &opt, &g->net, &err) == PARE_OK, "%s: %s (%s)", g->row->name, err.message, err.where);
	g->grads = calloc(pare_net_slab_len(g->net) + 1, sizeof *g->grads);
	ck_assert_ptr_nonnull(g->grads);
}

static void open_golden(struct golden *g, const struct row *row, int n_threads)
{
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;
	size_t n = 0;

	*g = (struct golden){.row = row};
	g->model = load(row->name, "onnx", &g->file[0]);
	g->numbers = load(row->name, "golden", &g->file[1]);
	start_net(g, n_threads);
	ck_assert_int_eq(pare_net_n_shards(g->net), n_threads);
	g->width = (int64_t)pare_net_output_shape(g->net, 0, &n_dims, dims);
	for (int i = 0; i < pare_net_n_inputs(g->net); i++) {
		g->in[i] = numbers(g, "in:", g->model->graph.values[g->model->graph.inputs[i]].name, &n);
		ck_assert(g->in[i] != NULL && n == BATCH * pare_net_input_shape(g->net, i, &n_dims, dims));
	}
	g->target = numbers(g, "target", "", &n);
	ck_assert(g->target != NULL && n == (size_t)(row->target == CLASSES ? BATCH : BATCH * g->width));
}

static void close_golden(struct golden *g)
{
	pare_net_free(g->net);
	pare_model_free(g->model);
	pare_model_free(g->numbers);
	for (int i = 0; i < MAX_INPUTS; i++)
		free((void *)(uintptr_t)g->in[i]);
	free((void *)(uintptr_t)g->target);
	free(g->grads);
	free((void *)(uintptr_t)g->file[0].data);
	free((void *)(uintptr_t)g->file[1].data);
}

/* The loss of row i, written down once more in double, and its gradient divided by the batch. */
static double row_loss(const struct golden *g, const float *o, int64_t i, float *grad)
{
	const float *t = g->target + (g->row->target == CLASSES ? i : i * g->width);
	double sum = 0, loss = 0, mean = g->row->target == CLASSES ? 1.0 : (double)g->width;

	for (int64_t k = 0; k < g->width; k++)
		sum += exp((double)o[k]);
	for (int64_t k = 0; k < g->width; k++) {
		double y = (double)o[k], want = g->row->target == CLASSES ? (double)((int64_t)t[0] == k) : (double)t[k], slope = 0;

		switch (g->row->target) {
		case CLASSES:
			loss += want * (log(sum) - y);
			slope = exp(y) / sum - want;
			break;
		case BINARY:
			loss += log1p(exp(-fabs(y))) + fmax(y, 0) - y * want;
			slope = 1 / (1 + exp(-y)) - want;
			break;
		case PROBABILITY:
			loss -= want * log(y) + (1 - want) * log1p(-y);
			slope = (y - want) / (y * (1 - y));
			break;
		case VALUES:
			loss += (y - want) * (y - want);
			slope = 2 * (y - want);
			break;
		}
		grad[k] = (float)(slope / mean / BATCH);
	}
	return loss / mean / BATCH;
}

static void run_shard(void *ctx, int s)
{
	struct golden *g = ctx;
	int64_t first, count, dims[PARE_MAX_DIMS];
	int n_dims;

	pare_net_shard_rows(g->net, BATCH, s, &first, &count);
	for (int i = 0; i < pare_net_n_inputs(g->net); i++) {
		size_t n = pare_net_input_shape(g->net, i, &n_dims, dims);

		memcpy(pare_net_shard_input(g->net, s, i), g->in[i] + (size_t)first * n, (size_t)count * n * sizeof(float));
	}
	pare_net_shard_forward(g->net, s, count, g->mode, 0, first);
	g->shard_loss[s] = 0;
	for (int64_t i = 0; i < count; i++)
		g->shard_loss[s] += row_loss(g, pare_net_shard_output(g->net, s, 0) + i * g->width, first + i,
		    pare_net_shard_output_grad(g->net, s, 0) + i * g->width);
	pare_net_shard_backward(g->net, s);
}

static void step(struct golden *g, enum pare_mode mode)
{
	g->mode = mode;
	g->loss = 0;
	pare_net_parallel(g->net, run_shard, g);
	for (int s = 0; s < pare_net_n_shards(g->net); s++)
		g->loss += g->shard_loss[s];
	pare_net_reduce_grads(g->net, 0, pare_net_slab_len(g->net), g->grads);
}

static double largest(const float *v, size_t n)
{
	double max = 0;

	for (size_t i = 0; i < n; i++)
		max = fmax(max, fabs((double)v[i]));
	return max;
}

/* Compares got with the numbers called prefix + name, relative to the largest of them or to floor. */
static void check_tensor(const struct golden *g, const char *prefix, const char *name, const float *got, size_t n, double floor, double tol)
{
	size_t n_want = 0;
	float *want = numbers(g, prefix, name, &n_want);
	double scale;

	ck_assert_msg(want != NULL && n_want == n, "%s.golden does not have %zu numbers %s%s", g->row->name, n, prefix, name);
	scale = fmax(largest(want, n), floor);
	for (size_t k = 0; k < n; k++)
		ck_assert_msg(fabs((double)got[k] - (double)want[k]) <= tol * scale, "%s: %s%s[%zu] is %.9g, want %.9g: off by %.2g of %.3g, tolerance %.2g", g->row->name,
		    prefix, name, k, (double)got[k], (double)want[k], fabs((double)got[k] - (double)want[k]) / scale, scale, tol);
	free(want);
}

static void check_output(const struct golden *g, const char *name)
{
	size_t n = (size_t)(BATCH * g->width);
	float *y = malloc(n * sizeof *y);

	ck_assert_ptr_nonnull(y);
	for (int s = 0; s < pare_net_n_shards(g->net); s++) {
		int64_t first, count;

		pare_net_shard_rows(g->net, BATCH, s, &first, &count);
		memcpy(y + first * g->width, pare_net_shard_output(g->net, s, 0), (size_t)(count * g->width) * sizeof *y);
	}
	check_tensor(g, name, "", y, n, 0, tolerance(g, "tol:y"));
	free(y);
}

static void check_loss(const struct golden *g, const char *name)
{
	double want = number(g, name);

	ck_assert_msg(fabs(g->loss - want) <= tolerance(g, "tol:y") * fmax(1, want), "%s: %s is %.9g, want %.9g", g->row->name, name, g->loss, want);
}

/* Our parameters are PyTorch's, all of them and no others. */
static void check_gradients(const struct golden *g, const char *prefix)
{
	int compared = 0, there = 0;
	double top = 0;

	for (int i = 0; i < g->numbers->graph.n_inits; i++) {
		const struct pare_value *v = &g->numbers->graph.values[g->numbers->graph.inits[i]];
		size_t n;
		float *want;

		if (strncmp(v->name, prefix, strlen(prefix)) != 0)
			continue;
		want = numbers(g, v->name, "", &n);
		top = fmax(top, largest(want, n));
		free(want);
		there++;
	}
	for (int p = 0; p < pare_net_n_params(g->net); p++) {
		const struct pare_param_info *info = pare_net_param(g->net, p);

		if (info->buffer)
			continue;
		compared++;
		check_tensor(g, prefix, info->name, g->grads + info->offset, info->n_elems, 1e-3 * top, tolerance(g, "tol:grad"));
	}
	ck_assert_msg(there > 0 && compared == there, "%s: %d of %d gradients compared", g->row->name, compared, there);
}

static void check_statistics(const struct golden *g)
{
	for (int p = 0; p < pare_net_n_params(g->net); p++) {
		const struct pare_param_info *info = pare_net_param(g->net, p);

		if (info->buffer)
			check_tensor(g, "stat:", info->name, pare_net_slab(g->net) + info->offset, info->n_elems, 0, tolerance(g, "tol:y"));
	}
}

/* Ten steps with an optimizer of ours; losses are those before each step. */
static void check_training(struct golden *g, const char *name, const char *rule, const struct pare_optimizer_args *args)
{
	const struct pare_optimizer *optimizer = pare_optimizer_find(rule);
	size_t n = pare_net_slab_len(g->net), n_losses = 0;
	float *want = numbers(g, name, "", &n_losses), *state[2] = {calloc(n, sizeof(float)), calloc(n, sizeof(float))};
	char tol_name[32];
	double tol;

	(void)snprintf(tol_name, sizeof tol_name, "tol:%s", name);
	tol = tolerance(g, tol_name);
	ck_assert(optimizer != NULL && n_losses == 10 && state[0] != NULL && state[1] != NULL);
	for (size_t i = 0; i < n_losses; i++) {
		struct pare_update u = {.args = args, .lr = args->lr, .step = (int64_t)i + 1, .w = pare_net_slab(g->net), .g = g->grads,
		    .state = {state[0], state[1]}};

		step(g, PARE_MODE_TRAIN);
		ck_assert_msg(fabs(g->loss - (double)want[i]) <= tol * (double)want[0], "%s: loss %zu of %s is %.9g, want %.9g (tolerance %.2g)", g->row->name, i, name,
		    g->loss, (double)want[i], tol);
		optimizer->prepare(&u);
		for (int p = 0; p < pare_net_n_params(g->net); p++) {
			const struct pare_param_info *info = pare_net_param(g->net, p);

			if (info->buffer)
				continue;
			u.begin = info->offset;
			u.end = info->offset + info->n_elems;
			optimizer->update(&u);
		}
	}
	free(want);
	free(state[0]);
	free(state[1]);
}

START_TEST(equals_pytorch)
{
	const struct row *row = &net_table[_i / MAX_THREADS];
	int n_threads = _i % MAX_THREADS + 1;
	struct golden g;

	open_golden(&g, row, n_threads);
	step(&g, PARE_MODE_FROZEN);
	check_output(&g, "eval:y");
	check_loss(&g, "eval:loss");
	check_gradients(&g, "eval:grad:");
	step(&g, PARE_MODE_TRAIN);
	check_output(&g, "train:y");
	check_loss(&g, "train:loss");
	check_gradients(&g, "train:grad:");
	check_statistics(&g);
	start_net(&g, n_threads);
	check_training(&g, "sgd", "sgd", &(struct pare_optimizer_args){.lr = row->sgd_rate, .momentum = 0.9});
	start_net(&g, n_threads);
	check_training(&g, "adam", "adam", &(struct pare_optimizer_args){.lr = 0.005, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8});
	close_golden(&g);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("golden nets");
	TCase *t = tcase_create("pytorch");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, equals_pytorch, 0, N_NETS * MAX_THREADS);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
