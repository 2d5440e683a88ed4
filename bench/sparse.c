/* What sparse products are worth.
 *
 *   sparse crossover    a table: the three products of a training step, dense time / sparse time, by shape, rows and density
 *   sparse epoch        prints: seconds 0 NET-dense S NET-sparse S …: an epoch of pare_train on random rows, and the same
 *                       under a mask of 95 %, one thread
 *
 * The rule of pare_sparse_pays is read off the first table: it must never choose what is slower. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/graph/arch.h"
#include "core/onnx/onnx.h"
#include "core/ops/kernels/gemm.h"
#include "core/ops/kernels/sparse.h"
#include "core/train/train.h"

#define ROWS 4096

static void check(enum pare_code code, const struct pare_err *err)
{
	if (code == PARE_OK)
		return;
	fprintf(stderr, "sparse: %s: %s %s\n", pare_code_string(code), err->message, err->where);
	exit(2);
}

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- crossover */

struct operands {
	int64_t m, rows, cols;
	float *x, *y, *w, *dw, *scratch;
	struct pare_sparse s;
};

static void structure(struct operands *o, double density, struct pare_rng *rng)
{
	struct pare_sparse *s = &o->s;
	uint32_t n = 0;

	*s = (struct pare_sparse){.rows = o->rows, .cols = o->cols};
	s->row_start = pare_calloc((size_t)(o->rows + o->cols + 2 + 2 * o->rows * o->cols), sizeof *s->row_start);
	s->col_start = s->row_start + o->rows + 1;
	s->row_col = s->col_start + o->cols + 1;
	s->col_row = s->row_col + o->rows * o->cols;
	for (int64_t r = 0; r < o->rows; r++) {
		s->row_start[r] = n;
		for (int64_t c = 0; c < o->cols; c++) {
			bool keep = pare_rng_uniform(rng) < (float)density;

			o->w[r * o->cols + c] = keep ? pare_rng_uniform(rng) - 0.5f : 0.0f;
			if (keep)
				s->row_col[n++] = (uint32_t)c;
		}
	}
	s->row_start[o->rows] = n;
	s->n = n;
	n = 0;
	for (int64_t c = 0; c < o->cols; c++) {
		s->col_start[c] = n;
		for (int64_t r = 0; r < o->rows; r++)
			if (o->w[r * o->cols + c] != 0.0f)
				s->col_row[n++] = (uint32_t)r;
	}
	s->col_start[o->cols] = n;
}

static void run(const struct operands *o, int which, bool sparse)
{
	if (which == 0 && sparse)
		pare_sparse_product(&o->s, o->w, true, o->m, o->x, NULL, 0.0f, false, o->y, o->scratch);
	else if (which == 0)
		pare_gemm(false, true, o->m, o->rows, o->cols, 1.0f, o->x, o->w, 0.0f, o->y);
	else if (which == 1 && sparse)
		pare_sparse_product(&o->s, o->w, false, o->m, o->y, NULL, 0.0f, false, o->x, o->scratch);
	else if (which == 1)
		pare_gemm(false, false, o->m, o->cols, o->rows, 1.0f, o->y, o->w, 0.0f, o->x);
	else if (sparse)
		pare_sparse_grad(&o->s, o->m, o->y, o->x, false, o->dw, o->scratch);
	else
		pare_gemm(true, false, o->rows, o->cols, o->m, 1.0f, o->y, o->x, 0.0f, o->dw);
}

static double best_time(const struct operands *o, int which, bool sparse)
{
	double best = 1e9;
	int times = (int)(2e7 / (double)(o->m * o->rows * o->cols)) + 1;

	for (int i = 0; i < 7; i++) {
		double start = cpu_now(), s;

		for (int k = 0; k < times; k++)
			run(o, which, sparse);
		s = (cpu_now() - start) / times;
		best = s < best ? s : best;
	}
	return best;
}

static void crossover_row(int64_t m, int64_t rows, int64_t cols, double density)
{
	struct operands o = {.m = m, .rows = rows, .cols = cols};
	struct pare_rng rng;
	double gain[3], dense = 0, sparse = 0;

	pare_rng_init(&rng, 1, "sparse", 0);
	o.x = pare_alloc_aligned((size_t)(m * cols) * sizeof(float));
	o.y = pare_alloc_aligned((size_t)(m * rows) * sizeof(float));
	o.w = pare_alloc_aligned((size_t)(rows * cols) * sizeof(float));
	o.dw = pare_alloc_aligned((size_t)(rows * cols) * sizeof(float));
	o.scratch = pare_alloc_aligned((size_t)(PARE_SPARSE_ROWS * 3 * (rows > cols ? rows : cols)) * sizeof(float));
	for (int64_t i = 0; i < m * cols; i++)
		o.x[i] = pare_rng_uniform(&rng) - 0.5f;
	for (int64_t i = 0; i < m * rows; i++)
		o.y[i] = pare_rng_uniform(&rng) - 0.5f;
	structure(&o, density, &rng);
	for (int i = 0; i < 3; i++) {
		double d = best_time(&o, i, false), s = best_time(&o, i, true);

		gain[i] = d / s;
		dense += d;
		sparse += s;
		if (i == 1) /* it wrote over x */
			memset(o.x, 0, (size_t)(m * cols) * sizeof(float));
	}
	printf("| %lld x %lld | %lld | %.3f | %.2f | %.2f | %.2f | %.2f | %s |\n", (long long)rows, (long long)cols, (long long)m, density, gain[0], gain[1],
	    gain[2], dense / sparse, pare_sparse_pays(m, rows, cols, o.s.n) ? "sparse" : "dense");
	pare_free(o.x);
	pare_free(o.y);
	pare_free(o.w);
	pare_free(o.dw);
	pare_free(o.scratch);
	pare_free(o.s.row_start);
}

static void crossover(void)
{
	static const int64_t shape_table[][2] = {{10, 128}, {100, 300}, {128, 784}, {300, 784}, {1024, 1024}};
	static const int64_t rows_table[] = {1, 8, 32, 64, 512};
	static const double density_table[] = {0.01, 0.05, 0.1, 0.2, 0.3};

	printf("| weight | rows | density | forward | dX | dW | all | chosen |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
	for (size_t s = 0; s < sizeof shape_table / sizeof shape_table[0]; s++)
		for (size_t m = 0; m < sizeof rows_table / sizeof rows_table[0]; m++)
			for (size_t d = 0; d < sizeof density_table / sizeof density_table[0]; d++)
				crossover_row(rows_table[m], shape_table[s][0], shape_table[s][1], density_table[d]);
}

/* --- epoch */

static double epoch_seconds;

static int64_t tick_ns(void *ctx)
{
	(void)ctx;
	return (int64_t)(cpu_now() * 1e9);
}

static bool report(void *ctx, const struct pare_train_report *r)
{
	(void)ctx;
	epoch_seconds = r->epoch == 1 || r->seconds < epoch_seconds ? r->seconds : epoch_seconds;
	return true;
}

/* Two NPY files in memory: 784 numbers and a class each. */
static struct pare_dataset *draw_data(struct pare_buf file[2])
{
	struct pare_data_file files[] = {{.name = "x.npy"}, {.name = "y.npy"}};
	struct pare_dataset *d = NULL;
	struct pare_rng rng;
	struct pare_err err = {0};

	pare_rng_init(&rng, 1, "data", 0);
	for (int i = 0; i < 2; i++) {
		pare_buf_init(&file[i], (size_t)64 << 20);
		pare_buf_printf(&file[i], "\x93NUMPY\x01%c%c%c", 0, 118, 0);
		pare_buf_printf(&file[i], "%-117s\n", i == 0 ? "{'descr': '<f4', 'fortran_order': False, 'shape': (4096, 784), }"
		                                             : "{'descr': '|u1', 'fortran_order': False, 'shape': (4096,), }");
		for (int k = 0; k < ROWS * (i == 0 ? 784 : 1); k++) {
			float f = pare_rng_uniform(&rng);
			uint8_t c = (uint8_t)(k % 10);

			(void)pare_buf_add(&file[i], i == 0 ? (const void *)&f : (const void *)&c, i == 0 ? sizeof f : sizeof c);
		}
		files[i].bytes = (struct pare_span){(const uint8_t *)file[i].data, file[i].len};
	}
	check(pare_data_open(files, 2, NULL, &d, &err), &err);
	return d;
}

static double epoch(const struct pare_arch *arch, const struct pare_dataset *data, double sparsity)
{
	static const struct pare_env env = {.tick_ns = tick_ns};
	struct pare_net_options net_opt = {.n_threads = 1, .max_batch = 64, .training = true, .seed = 1};
	struct pare_train_options opt = {.batch_size = 64, .epochs = 3, .optimizer = pare_optimizer_find("sgd"), .optimizer_args = {.lr = 0.01},
	    .lr_schedule = pare_lr_find("constant"), .seed = 1, .env = &env, .report = report};
	struct pare_prune_options prune = {.criterion = pare_criterion_find("magnitude"), .scope = PARE_SCOPE_LAYER, .sparsity = sparsity};
	struct pare_model *model = NULL;
	struct pare_net *net = NULL;
	struct pare_mask mask = {0};
	struct pare_err err = {0};
	struct pare_buf file;

	pare_buf_init(&file, (size_t)64 << 20);
	check(pare_arch_build(arch, &file, &err), &err);
	check(pare_onnx_read((struct pare_span){(const uint8_t *)file.data, file.len}, &model, &err), &err);
	check(pare_net_new(model, &net_opt, &net, &err), &err);
	check(pare_mask_init(&mask, net, &err), &err);
	if (sparsity > 0.0)
		check(pare_prune(net, &prune, &mask, &err), &err);
	check(pare_train(net, data, &opt, &mask, &err), &err);
	pare_mask_done(&mask);
	pare_net_free(net);
	pare_model_free(model);
	pare_buf_done(&file);
	return epoch_seconds;
}

static void epochs(void)
{
	static const struct pare_arch_layer small[] = {{.units = 300, .activation = PARE_ACT_RELU}, {.units = 100, .activation = PARE_ACT_RELU}, {.units = 10}};
	static const struct pare_arch_layer large[] = {{.units = 1024, .activation = PARE_ACT_RELU}, {.units = 1024, .activation = PARE_ACT_RELU}, {.units = 10}};
	static const struct {
		const char *name;
		const struct pare_arch_layer *layers;
	} net_table[] = {{"mlp300", small}, {"mlp1024", large}};
	struct pare_buf file[2];
	struct pare_dataset *data = draw_data(file);

	printf("seconds 0");
	for (size_t i = 0; i < sizeof net_table / sizeof net_table[0]; i++) {
		struct pare_arch arch = {.n_input_dims = 1, .input_dims = {784}, .n_layers = 3, .layers = net_table[i].layers, .seed = 1};
		double dense = epoch(&arch, data, 0.0);

		printf(" %s-dense %.5f %s-sparse %.5f", net_table[i].name, dense, net_table[i].name, epoch(&arch, data, 0.95));
	}
	printf("\n");
	pare_data_free(data);
	pare_buf_done(&file[0]);
	pare_buf_done(&file[1]);
}

int main(int argc, char **argv)
{
	pare_gemm_init();
	if (argc == 2 && strcmp(argv[1], "crossover") == 0)
		crossover();
	else if (argc == 2 && strcmp(argv[1], "epoch") == 0)
		epochs();
	else
		fprintf(stderr, "usage: sparse crossover | epoch\n");
	return 0;
}
