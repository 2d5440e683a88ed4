/* The same training as bench/bare_mlp.c, through the engine: description to ONNX bytes to model to net to pare_train,
 * as a job does it.
 *
 *   engine_mlp DIR THREADS EPOCHS    prints: seconds S loss L accuracy A   (S: median of the epochs) */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/data/data.h"
#include "core/eval/eval.h"
#include "core/graph/arch.h"
#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "core/train/train.h"

#define MAX_EPOCHS 64

static double seconds[MAX_EPOCHS];
static int n_seconds;
static double last_loss;

static void check(enum pare_code code, const struct pare_err *err)
{
	if (code == PARE_OK)
		return;
	fprintf(stderr, "engine_mlp: %s: %s %s\n", pare_code_string(code), err->message, err->where);
	exit(2);
}

static int64_t tick_ns(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool report(void *ctx, const struct pare_train_report *r)
{
	(void)ctx;
	seconds[n_seconds++] = r->seconds;
	last_loss = r->train_loss;
	return true;
}

static struct pare_span map_file(const char *dir, const char *name)
{
	char path[512];
	struct stat st;
	struct pare_span s = {NULL, 0};
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		s.len = (size_t)st.st_size;
		s.data = mmap(NULL, s.len, PROT_READ, MAP_PRIVATE, fd, 0);
		close(fd);
	}
	if (s.data == NULL || s.data == MAP_FAILED) {
		fprintf(stderr, "engine_mlp: cannot read %s\n", path);
		exit(2);
	}
	return s;
}

static struct pare_dataset *load(const char *dir)
{
	static const char *const names[] = {
	    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
	struct pare_data_file files[4];
	struct pare_data_options opt = {0};
	struct pare_dataset *d = NULL;
	struct pare_err err = {0};

	for (int i = 0; i < 4; i++)
		files[i] = (struct pare_data_file){.name = names[i], .bytes = map_file(dir, names[i])};
	check(pare_data_open(files, 4, &opt, &d, &err), &err);
	check(pare_data_split(d, 0.0, 0.0, 42, &err), &err);
	check(pare_data_normalize(d, 0, PARE_NORM_UNIT, &err), &err);
	return d;
}

static struct pare_net *build(int n_threads, struct pare_buf *file, struct pare_model **model)
{
	static const struct pare_arch_layer layers[] = {{.units = 128, .activation = PARE_ACT_RELU}, {.units = 10}};
	struct pare_arch arch = {.n_input_dims = 2, .input_dims = {28, 28}, .n_layers = 2, .layers = layers, .seed = 42};
	struct pare_net_options opt = {.n_threads = n_threads, .max_batch = 64, .training = true, .seed = 42};
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	pare_buf_init(file, (size_t)64 << 20);
	check(pare_arch_build(&arch, file, &err), &err);
	check(pare_onnx_read((struct pare_span){(const uint8_t *)file->data, file->len}, model, &err), &err);
	check(pare_net_new(*model, &opt, &net, &err), &err);
	return net;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const struct pare_env env = {.tick_ns = tick_ns};
	struct pare_train_options opt = {.batch_size = 64,
	    .optimizer = pare_optimizer_find("sgd"),
	    .optimizer_args = {.lr = 0.1},
	    .lr_schedule = pare_lr_find("constant"),
	    .seed = 42,
	    .env = &env,
	    .report = report};
	struct pare_metrics m = {0};
	struct pare_err err = {0};
	struct pare_model *model = NULL;
	struct pare_buf file;
	struct pare_dataset *data;
	struct pare_net *net;

	if (argc != 4) {
		fprintf(stderr, "usage: engine_mlp MNIST_DIR THREADS EPOCHS\n");
		return 2;
	}
	opt.epochs = (int)strtol(argv[3], NULL, 10);
	if (opt.epochs < 1 || opt.epochs > MAX_EPOCHS)
		opt.epochs = 3;
	data = load(argv[1]);
	net = build(strtol(argv[2], NULL, 10) == 2 ? 2 : 1, &file, &model);
	check(pare_train(net, data, &opt, NULL, &err), &err);
	check(pare_eval(net, data, PARE_SPLIT_TEST, NULL, &m, &err), &err);
	qsort(seconds, (size_t)n_seconds, sizeof *seconds, by_value);
	printf("seconds %.4f loss %.4f accuracy %.4f\n", seconds[n_seconds / 2], last_loss, m.accuracy);
	pare_metrics_done(&m);
	pare_net_free(net);
	pare_model_free(model);
	pare_buf_done(&file);
	pare_data_free(data);
	return 0;
}
