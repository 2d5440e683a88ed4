/* Global magnitude pruning to 90 % of a model with N weights in two layers: the time of pare_prune, which is all that
 * pruning does between a loaded model and a pruned one.
 *
 *   prune_select N ROUNDS [THREADS]  prints: seconds S zeros Z   (S: median of the rounds) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/graph/arch.h"
#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "core/prune/prune.h"

#define MAX_ROUNDS 64
#define WIDTH 1000

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void check(enum pare_code code, const struct pare_err *err)
{
	if (code == PARE_OK)
		return;
	fprintf(stderr, "prune_select: %s: %s\n", pare_code_string(code), err->message);
	exit(2);
}

/* The sum of four uniforms: near normal, and quick to make 10^8 of. */
static void fill(float *w, size_t n)
{
	struct pare_rng rng;

	pare_rng_init(&rng, 42, "bench", 0);
	for (size_t i = 0; i < n; i++) {
		uint64_t u = pare_rng_u64(&rng);

		w[i] = ((float)(u & 0xffff) + (float)(u >> 16 & 0xffff) + (float)(u >> 32 & 0xffff) + (float)(u >> 48)) * 0x1p-16f - 2.0f;
	}
}

int main(int argc, char **argv)
{
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .scope = PARE_SCOPE_GLOBAL, .sparsity = 0.9};
	struct pare_net_options net_opt = {.n_threads = 1};
	struct pare_arch_layer layers[2] = {{.activation = PARE_ACT_RELU}, {.units = WIDTH}};
	struct pare_arch arch = {.n_input_dims = 1, .input_dims = {WIDTH}, .n_layers = 2, .layers = layers, .seed = 1};
	struct pare_sparsity_count count;
	struct pare_model *model = NULL;
	struct pare_net *net = NULL;
	struct pare_mask mask;
	struct pare_err err = {0};
	struct pare_buf file;
	double seconds[MAX_ROUNDS];
	long n, rounds, threads;
	float *source;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: prune_select N ROUNDS [THREADS]\n");
		return 2;
	}
	n = strtol(argv[1], NULL, 10);
	rounds = strtol(argv[2], NULL, 10);
	threads = argc == 4 ? strtol(argv[3], NULL, 10) : 1;
	if (n < 2 * WIDTH || rounds < 1 || rounds > MAX_ROUNDS || threads < 1 || threads > 64)
		return 2;
	net_opt.n_threads = (int)threads;
	net_opt.max_batch = threads;
	layers[0].units = n / (2 * WIDTH);
	pare_buf_init(&file, (size_t)2 << 30);
	check(pare_arch_build(&arch, &file, &err), &err);
	check(pare_onnx_read((struct pare_span){(const uint8_t *)file.data, file.len}, &model, &err), &err);
	check(pare_net_new(model, &net_opt, &net, &err), &err);
	source = pare_alloc_aligned(pare_net_slab_len(net) * sizeof *source);
	if (source == NULL)
		return 2;
	fill(source, pare_net_slab_len(net));
	for (long r = 0; r < rounds; r++) {
		double start;

		memcpy(pare_net_slab(net), source, pare_net_slab_len(net) * sizeof *source);
		check(pare_mask_init(&mask, net, &err), &err);
		start = now();
		check(pare_prune(net, &opt, &mask, &err), &err);
		seconds[r] = now() - start;
		pare_mask_done(&mask);
	}
	pare_prune_count(net, &count);
	qsort(seconds, (size_t)rounds, sizeof *seconds, by_value);
	printf("seconds %.4f zeros %lld\n", seconds[rounds / 2], (long long)count.n_zero);
	pare_free(source);
	pare_net_free(net);
	pare_model_free(model);
	pare_buf_done(&file);
	return 0;
}
