/* Our engine for other programs to judge: reads the inputs of an ONNX model from stdin, runs them, writes the outputs to
 * stdout. Tensors travel as a line of dimensions ("5 3 32 32") and then their elements, floats in host order.
 *
 *	run_model [--threads N] [--batch N] [--step] [--prune S] [--write OUT] MODEL < inputs > outputs
 *
 * --batch cuts the rows into batches of at most N. --step then makes one step of gradient descent for the sum of squares of
 * all outputs, --prune takes that share of all weights by magnitude; without them weights stay. --write saves the model with
 * every float initializer put back, so that the file is what the writer makes of it. Without an input on stdin (--write
 * alone) nothing is run. Exit status: 0; 3 when the model holds what we do not execute, which stderr names; 1 for all else. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/onnx/onnx.h"
#include "core/prune/prune.h"

#define MAX_INPUTS 64

struct options {
	const char *model, *out;
	int64_t threads, batch;
	double prune;
	bool step;
};

struct tensor {
	int n_dims;
	int64_t dims[PARE_MAX_DIMS];
	size_t n;
	float *data;
};

static struct pare_err err;
static struct pare_buf own; /* what the model stands over, if not the file */

static void die(const char *what)
{
	(void)fprintf(stderr, "run_model: %s\n", what);
	exit(1);
}

static void must(enum pare_code code)
{
	if (code == PARE_OK)
		return;
	(void)fprintf(stderr, "%s: %s%s%s\n", pare_code_string(code), err.message, err.where[0] != '\0' ? "; at " : "", err.where);
	exit(code == PARE_E_UNSUPPORTED_OP || code == PARE_E_UNSUPPORTED ? 3 : 1);
}

static void *memory(size_t n, size_t size)
{
	void *p = pare_calloc(n + 1, size);

	if (p == NULL)
		die("out of memory");
	return p;
}

/* False at the end of stdin. */
static bool read_tensor(struct tensor *t)
{
	char line[256], *p = line, *end;

	*t = (struct tensor){.n = 1};
	if (fgets(line, sizeof line, stdin) == NULL)
		return false;
	for (int64_t d = strtoll(p, &end, 10); end != p; d = strtoll(p, &end, 10)) {
		if (t->n_dims == PARE_MAX_DIMS || d < 0 || !pare_mul_size(t->n, (size_t)d, &t->n))
			die("an input has too many dimensions or elements");
		t->dims[t->n_dims++] = d;
		p = end;
	}
	t->data = memory(t->n, sizeof *t->data);
	if (fread(t->data, sizeof *t->data, t->n, stdin) != t->n)
		die("an input is shorter than its dimensions say");
	return true;
}

static void write_tensor(int n_dims, const int64_t *dims, size_t n, const float *data)
{
	for (int i = 0; i < n_dims; i++)
		printf(i > 0 ? " %lld" : "%lld", (long long)dims[i]);
	printf("\n");
	if (fwrite(data, sizeof *data, n, stdout) != n)
		die("stdout does not take the outputs");
}

static struct pare_model *open_model(const char *path)
{
	struct pare_model *m = NULL;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *p;

	if (fd < 0 || fstat(fd, &st) != 0)
		die("the model cannot be opened");
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		die("the model cannot be mapped");
	must(pare_onnx_open((struct pare_span){p, (size_t)st.st_size}, NULL, 0, &own, &m, &err));
	return m;
}

/* Where output i of rows [first, first + count) stands among n rows, and how many elements; dims of all rows. */
static size_t extent(const struct pare_net *net, int i, int64_t n, int64_t first, int64_t count, size_t *at, int *n_dims, int64_t *dims)
{
	size_t per_row = pare_net_output_shape(net, i, n_dims, dims);
	bool batched = false;

	for (int k = 0; k < *n_dims; k++)
		if (dims[k] == PARE_DIM_UNKNOWN) {
			dims[k] = n;
			batched = true;
		}
	*at = batched ? (size_t)first * per_row : 0;
	return batched ? (size_t)count * per_row : per_row;
}

struct batch {
	struct pare_net *net;
	const struct tensor *in;
	struct tensor *out;
	int64_t rows, first, count; /* of all, of this batch */
	bool step;
};

static void run_shard(void *ctx, int s)
{
	struct batch *b = ctx;
	int64_t first, count, dims[PARE_MAX_DIMS];
	int n_dims;

	pare_net_shard_rows(b->net, b->count, s, &first, &count);
	for (int i = 0; i < pare_net_n_inputs(b->net); i++) {
		size_t n = pare_net_input_shape(b->net, i, &n_dims, dims);

		memcpy(pare_net_shard_input(b->net, s, i), b->in[i].data + (size_t)(b->first + first) * n, (size_t)count * n * sizeof(float));
	}
	pare_net_shard_forward(b->net, s, count, b->step ? PARE_MODE_TRAIN : PARE_MODE_INFER, 0, first);
	for (int i = 0; count > 0 && i < pare_net_n_outputs(b->net); i++) {
		size_t at, n = extent(b->net, i, b->rows, b->first + first, count, &at, &n_dims, dims);

		memcpy(b->out[i].data + at, pare_net_shard_output(b->net, s, i), n * sizeof(float));
		for (size_t k = 0; b->step && k < n; k++)
			pare_net_shard_output_grad(b->net, s, i)[k] = 2 * pare_net_shard_output(b->net, s, i)[k];
	}
	if (b->step)
		pare_net_shard_backward(b->net, s);
}

/* A step whose largest change of a weight is a hundredth. */
static void descend(struct pare_net *net)
{
	size_t n = pare_net_slab_len(net);
	float *g = memory(n, sizeof *g), *w = pare_net_slab(net), largest = 0;

	pare_net_reduce_grads(net, 0, n, g);
	for (size_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(g[i]));
	if (!(largest > 0) || !isfinite(largest))
		die("the gradient is zero or not finite");
	for (size_t i = 0; i < n; i++)
		w[i] -= 0.01f * (g[i] / largest);
	pare_free(g);
}

static void run(struct pare_net *net, const struct options *o, const struct tensor *in, int64_t rows)
{
	int n_out = pare_net_n_outputs(net);
	struct tensor *out = memory((size_t)n_out, sizeof *out);
	struct batch b = {.net = net, .in = in, .out = out, .rows = rows, .step = o->step};
	size_t at;

	for (int i = 0; i < n_out; i++) {
		out[i].n = extent(net, i, rows, 0, rows, &at, &out[i].n_dims, out[i].dims);
		out[i].data = memory(out[i].n, sizeof(float));
	}
	for (; b.first < rows; b.first += b.count) {
		b.count = rows - b.first < o->batch ? rows - b.first : o->batch;
		pare_net_parallel(net, run_shard, &b);
	}
	for (int i = 0; i < n_out; i++) {
		if (out[i].n > 0) /* what is not computed has none */
			write_tensor(out[i].n_dims, out[i].dims, out[i].n, out[i].data);
		pare_free(out[i].data);
	}
	pare_free(out);
}

static void prune(struct pare_net *net, double sparsity)
{
	const struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .scope = PARE_SCOPE_GLOBAL, .sparsity = sparsity};
	struct pare_mask mask;

	must(pare_mask_init(&mask, net, &err));
	must(pare_prune(net, &opt, &mask, &err));
	pare_mask_done(&mask);
}

/* Puts every float initializer back, so that all of them go through the writer. */
static void save(struct pare_model *m, const char *path)
{
	struct pare_buf b;
	FILE *f = fopen(path, "wb");

	for (int i = 0; i < m->graph.n_inits; i++) {
		const struct pare_tensor *t = m->graph.values[m->graph.inits[i]].init;
		float *v;

		if (t->dtype != PARE_DT_FLOAT && t->dtype != PARE_DT_FLOAT16 && t->dtype != PARE_DT_DOUBLE && t->dtype != PARE_DT_BFLOAT16)
			continue;
		v = memory(t->n_elems, sizeof *v);
		must(pare_tensor_read_f32(t, v, &err));
		must(pare_model_set_init_f32(m, m->graph.inits[i], v, &err));
		pare_free(v);
	}
	pare_buf_init(&b, m->file.len * 2 + 65536);
	must(pare_onnx_write(m, &b, &err));
	if (f == NULL || fwrite(b.data, 1, b.len, f) != b.len || fclose(f) != 0)
		die("the model cannot be written");
	pare_buf_done(&b);
}

static void parse(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		bool value = i + 1 < argc;

		if (value && strcmp(argv[i], "--threads") == 0)
			o->threads = strtoll(argv[++i], NULL, 10);
		else if (value && strcmp(argv[i], "--batch") == 0)
			o->batch = strtoll(argv[++i], NULL, 10);
		else if (value && strcmp(argv[i], "--prune") == 0)
			o->prune = strtod(argv[++i], NULL);
		else if (value && strcmp(argv[i], "--write") == 0)
			o->out = argv[++i];
		else if (strcmp(argv[i], "--step") == 0)
			o->step = true;
		else
			o->model = argv[i];
	}
	if (o->model == NULL)
		die("no model");
}

int main(int argc, char **argv)
{
	struct options o = {.threads = 1, .batch = 64};
	struct tensor in[MAX_INPUTS];
	struct pare_row_shape shapes[MAX_INPUTS];
	struct pare_model *m;
	struct pare_net *net = NULL;
	struct pare_net_options opt;
	int n = 0;

	parse(argc, argv, &o);
	m = open_model(o.model);
	while (n < MAX_INPUTS && read_tensor(&in[n]))
		n++;
	if (n > 0 && (n != m->graph.n_inputs || in[0].n_dims == 0))
		die("the inputs are not as many as the model's, or the first has no rows");
	for (int i = 0; i < n; i++) {
		shapes[i] = (struct pare_row_shape){.name = m->graph.values[m->graph.inputs[i]].name, .n_dims = in[i].n_dims - 1};
		memcpy(shapes[i].dims, in[i].dims + 1, sizeof in[i].dims - sizeof in[i].dims[0]);
	}
	opt = (struct pare_net_options){.n_threads = (int)o.threads, .max_batch = n > 0 && in[0].dims[0] < o.batch ? in[0].dims[0] : o.batch, .training = o.step, .seed = 1};
	must(pare_model_set_rows(m, shapes, n, &err));
	if (n > 0 || o.prune > 0)
		must(pare_net_new(m, &opt, &net, &err));
	for (int i = 0; i < n; i++) {
		int64_t dims[PARE_MAX_DIMS];
		int n_dims;

		if (in[i].n != (size_t)in[0].dims[0] * pare_net_input_shape(net, i, &n_dims, dims))
			die("an input does not have the model's shape");
	}
	if (n > 0)
		run(net, &o, in, in[0].dims[0]);
	if (o.step)
		descend(net);
	if (o.prune > 0)
		prune(net, o.prune);
	if (net != NULL)
		must(pare_net_store(net, m, &err));
	if (o.out != NULL)
		save(m, o.out);
	for (int i = 0; i < n; i++)
		pare_free(in[i].data);
	pare_net_free(net);
	pare_model_free(m);
	pare_buf_done(&own);
	return 0;
}
