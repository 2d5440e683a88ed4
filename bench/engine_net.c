/* Any ONNX file through the engine, as a job runs it.
 *
 *   engine_net train MODEL THREADS BATCH SECONDS ARRAY...    pare_train with SGD on NPY files, named NET.<field>.npy
 *   engine_net infer MODEL THREADS BATCH SECONDS             inference on random rows; integers are 0 or 1
 *
 * Prints: seconds S cpu C rss MB   (S, C: wall and CPU time of one step or pass, medians over the epochs, of which the first
 * does not count, or over the passes; rss: the process's peak). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/data/data.h"
#include "core/eval/eval.h"
#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "core/train/train.h"

#define MAX_SAMPLES 4096

struct series {
	double v[MAX_SAMPLES];
	int n;
};
static struct series wall, cpu;
static int64_t began_ns, cpu_ns;
static double allowed_seconds;

static void check(enum pare_code code, const struct pare_err *err)
{
	if (code == PARE_OK)
		return;
	fprintf(stderr, "engine_net: %s: %s %s\n", pare_code_string(code), err->message, err->where);
	exit(2);
}

static int64_t read_clock(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t tick_ns(void *ctx)
{
	(void)ctx;
	return read_clock(CLOCK_MONOTONIC);
}

static struct pare_span map_file(const char *path)
{
	struct stat st;
	struct pare_span s = {NULL, 0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0) {
		s.len = (size_t)st.st_size;
		s.data = mmap(NULL, s.len, PROT_READ, MAP_PRIVATE, fd, 0);
		close(fd);
	}
	if (s.data == NULL || s.data == MAP_FAILED) {
		fprintf(stderr, "engine_net: cannot read %s\n", path);
		exit(2);
	}
	return s;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void add(struct series *s, double v)
{
	if (s->n < MAX_SAMPLES)
		s->v[s->n++] = v;
}

static double median(struct series *s)
{
	qsort(s->v, (size_t)s->n, sizeof *s->v, by_value);
	return s->n > 0 ? s->v[s->n / 2] : 0.0;
}

static double peak_mb(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_maxrss / 1024.0;
}

static bool report(void *ctx, const struct pare_train_report *r)
{
	int64_t now = read_clock(CLOCK_PROCESS_CPUTIME_ID);

	(void)ctx;
	if (r->epoch == 1)
		began_ns = tick_ns(NULL);
	if (r->epoch > 1) {
		add(&wall, r->seconds);
		add(&cpu, (double)(now - cpu_ns) * 1e-9);
	}
	cpu_ns = now;
	return wall.n < 2 || (double)(tick_ns(NULL) - began_ns) * 1e-9 < allowed_seconds;
}

/* The field's name is what follows the net's. */
static void open_arrays(char **paths, int n, struct pare_dataset **out)
{
	struct pare_data_file files[PARE_DATA_FIELDS] = {{0}};
	struct pare_err err = {0};

	for (int i = 0; i < n && i < PARE_DATA_FIELDS; i++) {
		const char *base = strrchr(paths[i], '/') != NULL ? strrchr(paths[i], '/') + 1 : paths[i];
		const char *dot = strchr(base, '.');

		files[i] = (struct pare_data_file){.name = dot != NULL ? dot + 1 : base, .bytes = map_file(paths[i])};
	}
	check(pare_data_open(files, n < PARE_DATA_FIELDS ? n : PARE_DATA_FIELDS, NULL, out, &err), &err);
}

static void train(struct pare_model *model, int threads, int batch, char **paths, int n)
{
	static const struct pare_env env = {.tick_ns = tick_ns};
	struct pare_net_options net_opt = {.n_threads = threads, .max_batch = batch, .training = true, .seed = 42};
	struct pare_train_options opt = {.batch_size = batch, .epochs = MAX_SAMPLES, .optimizer = pare_optimizer_find("sgd"),
	    .optimizer_args = {.lr = 0.001}, .lr_schedule = pare_lr_find("constant"), .seed = 42, .env = &env,
	    .report = report};
	struct pare_dataset *data = NULL;
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	enum pare_code code;
	uint32_t rows;

	open_arrays(paths, n, &data);
	check(pare_net_new(model, &net_opt, &net, &err), &err);
	code = pare_train(net, data, &opt, NULL, &err);
	if (code != PARE_E_CANCELED) /* by report, when the time is over */
		check(code, &err);
	(void)pare_data_rows(data, PARE_SPLIT_TRAIN, &rows);
	printf("seconds %.7f cpu %.7f rss %.1f\n", median(&wall) * batch / rows, median(&cpu) * batch / rows, peak_mb());
	pare_net_free(net);
	pare_data_free(data);
}

struct pass {
	struct pare_net *net;
	float **x; /* by input */
	float *y;
	int64_t batch;
};

static void pass_shard(void *ctx, int t)
{
	const struct pass *p = ctx;
	int64_t first, count, dims[PARE_MAX_DIMS];
	int n_dims;

	pare_net_shard_rows(p->net, p->batch, t, &first, &count);
	for (int i = 0; i < pare_net_n_inputs(p->net); i++) {
		size_t n = pare_net_input_shape(p->net, i, &n_dims, dims);
		const float *x = p->x[i] + (size_t)first * n;

		if (!pare_net_shard_lend(p->net, t, i, x))
			memcpy(pare_net_shard_input(p->net, t, i), x, (size_t)count * n * sizeof(float));
	}
	pare_net_shard_forward(p->net, t, count, PARE_MODE_INFER, 0, first);
	if (count > 0) {
		size_t n = pare_net_output_shape(p->net, 0, &n_dims, dims);

		memcpy(p->y + (size_t)first * n, pare_net_shard_output(p->net, t, 0), (size_t)count * n * sizeof(float));
	}
}

static void draw_inputs(struct pass *p, const struct pare_model *m)
{
	struct pare_rng rng;
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;

	pare_rng_init(&rng, 42, "inputs", 0);
	p->x = pare_calloc((size_t)pare_net_n_inputs(p->net) + 1, sizeof *p->x);
	for (int i = 0; i < pare_net_n_inputs(p->net); i++) {
		size_t n = (size_t)p->batch * pare_net_input_shape(p->net, i, &n_dims, dims);
		bool whole = m->graph.values[m->graph.inputs[i]].dtype != PARE_DT_FLOAT;

		p->x[i] = pare_alloc_aligned(n * sizeof *p->x[i]);
		for (size_t k = 0; k < n; k++)
			p->x[i][k] = whole ? (float)pare_rng_below(&rng, 2) : pare_rng_uniform(&rng) * 2.0f - 1.0f;
	}
	p->y = pare_calloc((size_t)p->batch * pare_net_output_shape(p->net, 0, &n_dims, dims), sizeof *p->y);
}

static void infer(const struct pare_model *model, int threads, int batch)
{
	struct pare_net_options opt = {.n_threads = threads, .max_batch = batch};
	struct pass p = {.batch = batch};
	struct pare_err err = {0};

	check(pare_net_new(model, &opt, &p.net, &err), &err);
	draw_inputs(&p, model);
	for (int i = 0; i < 3; i++)
		pare_net_parallel(p.net, pass_shard, &p);
	began_ns = tick_ns(NULL);
	do {
		int64_t begin = tick_ns(NULL);

		cpu_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
		pare_net_parallel(p.net, pass_shard, &p);
		add(&cpu, (double)(read_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns) * 1e-9);
		add(&wall, (double)(tick_ns(NULL) - begin) * 1e-9);
	} while (wall.n < 5 || (double)(tick_ns(NULL) - began_ns) * 1e-9 < allowed_seconds);
	printf("seconds %.7f cpu %.7f rss %.1f\n", median(&wall), median(&cpu), peak_mb());
	pare_net_free(p.net);
}

int main(int argc, char **argv)
{
	struct pare_model *model = NULL;
	struct pare_err err = {0};
	bool training = argc >= 8 && strcmp(argv[1], "train") == 0;
	int threads, batch;

	if (!training && !(argc == 6 && strcmp(argv[1], "infer") == 0)) {
		fprintf(stderr, "usage: engine_net train MODEL THREADS BATCH SECONDS ARRAY...\n       engine_net infer MODEL THREADS BATCH SECONDS\n");
		return 2;
	}
	threads = (int)strtol(argv[3], NULL, 10);
	batch = (int)strtol(argv[4], NULL, 10);
	allowed_seconds = strtod(argv[5], NULL);
	check(pare_onnx_read(map_file(argv[2]), &model, &err), &err);
	if (training)
		train(model, threads, batch, argv + 6, argc - 6);
	else
		infer(model, threads, batch);
	pare_model_free(model);
	return 0;
}
