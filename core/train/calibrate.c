/* Two nets run over the same rows: the dense one says what a layer should give, the pruned one what it gets. Their nodes run by
 * themselves and row-major (plain), because operands are read out of them after the pass.
 *
 * A pass goes over all rows for one layer. Keeping the inputs of all layers instead would take rows x activations of memory,
 * keeping all moments the sum of n_in^2; a pass costs one inference, and a layer that was refitted changes what comes
 * after it anyway.
 *
 * Every thread has its own sums, for its shards of all batches, and they are added in the order of the threads. Rows of a layer
 * (positions of an image) go through in chunks, each two matrix products. */
#include "core/train/calibrate.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/graph/net_view.h"
#include "core/ops/kernels/gemm.h"

#define CHUNK 256 /* rows of a layer at a time */

struct place {
	int step; /* of the net's plan */
	size_t norms; /* where its inputs stand in the output of pare_calibrate_norms */
};

struct pare_calibrator {
	struct pare_net *dense, *pruned;
	const struct pare_dataset *data;
	struct pare_calibrate_options opt;
	int n_threads;
	uint32_t *rows, n_rows;
	int n_layers;
	struct pare_layer *layers;
	struct place *places;
	size_t n_norms;

	/* of the pass under way */
	const uint32_t *batch;
	uint32_t n_batch;
	int layer; /* -1: norms of all */
	float *w0; /* [n_out, n] of the layer, bias last */
	struct sums {
		float *gram, *cross, *x, *xd, *y; /* of one thread; x, xd: [CHUNK, n], y: [CHUNK, n_out] */
		double *norms;
	} *sums;
};

/* --- layers */

static bool is_layer(const struct pare_net *net, int i, struct pare_product *p)
{
	struct pare_net_step step;

	pare_net_step_at(net, i, &step);
	return pare_net_step_product(net, 0, i, p) && pare_net_param_of(net, step.node->in[p->weight_in]) >= 0 && p->n_rows > 0;
}

static void describe(const struct pare_net *net, int i, const struct pare_product *p, int64_t group, struct pare_layer *out)
{
	struct pare_net_step step;

	pare_net_step_at(net, i, &step);
	*out = (struct pare_layer){.where = step.where, .weight = pare_net_param_of(net, step.node->in[p->weight_in]),
	    .bias = p->bias_in >= 0 ? pare_net_param_of(net, step.node->in[p->bias_in]) : -1, .group = group, .product = *p};
}

static enum pare_code find_layers(struct pare_calibrator *c, struct pare_err *err)
{
	struct pare_product p;

	for (int i = 0; i < pare_net_n_steps(c->pruned); i++)
		c->n_layers += is_layer(c->pruned, i, &p) ? (int)p.groups : 0;
	c->layers = pare_calloc((size_t)c->n_layers + 1, sizeof *c->layers);
	c->places = pare_calloc((size_t)c->n_layers + 1, sizeof *c->places);
	if (c->layers == NULL || c->places == NULL)
		return pare_err_nomem(err, (size_t)c->n_layers * sizeof *c->layers);
	c->n_layers = 0;
	for (int i = 0; i < pare_net_n_steps(c->pruned); i++)
		for (int64_t g = 0; is_layer(c->pruned, i, &p) && g < p.groups; g++) {
			describe(c->pruned, i, &p, g, &c->layers[c->n_layers]);
			c->places[c->n_layers++] = (struct place){.step = i, .norms = c->n_norms};
			c->n_norms += (size_t)p.n_in;
		}
	return PARE_OK;
}

/* --- life */

static enum pare_code draw_rows(struct pare_calibrator *c, struct pare_err *err)
{
	uint32_t n;
	const uint32_t *rows = pare_data_rows(c->data, PARE_SPLIT_TRAIN, &n);
	struct pare_rng rng;

	if (n == 0 || c->opt.n_rows == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL, "there are no training rows to look at");
	c->rows = pare_calloc(n, sizeof *c->rows);
	if (c->rows == NULL)
		return pare_err_nomem(err, n * sizeof *c->rows);
	memcpy(c->rows, rows, n * sizeof *rows);
	pare_rng_init(&rng, c->opt.seed, "calibrate", 0);
	pare_rng_shuffle(&rng, c->rows, n);
	c->n_rows = c->opt.n_rows < n ? c->opt.n_rows : n;
	return PARE_OK;
}

enum pare_code pare_calibrator_new(const struct pare_net *net, const float *dense, const struct pare_dataset *data, const struct pare_calibrate_options *opt,
    struct pare_calibrator **out, struct pare_err *err)
{
	struct pare_net_options no = {.n_threads = opt->n_threads, .max_batch = opt->batch_size, .training = true, .plain = true};
	struct pare_calibrator *c = pare_calloc(1, sizeof *c);
	size_t bytes = pare_net_slab_len(net) * sizeof(float);
	enum pare_code code;

	if (c == NULL)
		return pare_err_nomem(err, sizeof *c);
	c->data = data;
	c->opt = *opt;
	code = pare_net_new(pare_net_model(net), &no, &c->pruned, err);
	if (code == PARE_OK)
		code = pare_net_new(pare_net_model(net), &no, &c->dense, err);
	if (code == PARE_OK)
		code = find_layers(c, err);
	if (code == PARE_OK)
		code = draw_rows(c, err);
	if (code != PARE_OK) {
		pare_calibrator_free(c);
		return code;
	}
	c->n_threads = pare_net_n_shards(c->pruned);
	memcpy(pare_net_slab(c->dense), dense, bytes);
	memcpy(pare_net_slab(c->pruned), pare_net_slab((struct pare_net *)(uintptr_t)net), bytes);
	*out = c;
	return PARE_OK;
}

void pare_calibrator_free(struct pare_calibrator *c)
{
	if (c == NULL)
		return;
	pare_net_free(c->dense);
	pare_net_free(c->pruned);
	pare_free(c->rows);
	pare_free(c->layers);
	pare_free(c->places);
	pare_free(c);
}

void pare_calibrator_update(struct pare_calibrator *c, const float *slab)
{
	memcpy(pare_net_slab(c->pruned), slab, pare_net_slab_len(c->pruned) * sizeof *slab);
}

int pare_calibrator_n_layers(const struct pare_calibrator *c)
{
	return c->n_layers;
}

const struct pare_layer *pare_calibrator_layer(const struct pare_calibrator *c, int i)
{
	return &c->layers[i];
}

/* --- a pass */

static void run_net(const struct pare_calibrator *c, struct pare_net *net, int t)
{
	int64_t first, count;

	pare_net_shard_rows(net, c->n_batch, t, &first, &count);
	for (int i = 0; i < c->opt.fit->n_inputs; i++)
		pare_data_fill(c->data, c->opt.fit->inputs[i].x, c->batch + first, (size_t)count, pare_net_shard_input(net, t, i));
	pare_net_shard_forward(net, t, count, PARE_MODE_INFER, 0, first);
}

/* x[n_rows, n]: with the last input 1 where there is a bias. */
static void unfold(const struct pare_net *net, const struct place *p, const struct pare_layer *l, int t, int64_t first, int64_t n, float *x)
{
	int64_t n_in = l->product.n_in, width = n_in + (l->bias >= 0);

	if (width == n_in) {
		pare_net_step_unfold(net, t, p->step, l->group, first, n, x);
		return;
	}
	for (int64_t i = 0; i < n; i++) {
		pare_net_step_unfold(net, t, p->step, l->group, first + i, 1, x + i * width);
		x[i * width + n_in] = 1.0f;
	}
}

/* Rows of the layer in this shard's part of the batch. */
static int64_t rows_now(const struct pare_net *net, const struct place *p, int t)
{
	struct pare_product now;

	return pare_net_step_product(net, t, p->step, &now) ? now.n_rows : 0;
}

static void add_moments(struct pare_calibrator *c, int t)
{
	const struct place *p = &c->places[c->layer];
	const struct pare_layer *l = &c->layers[c->layer];
	int64_t width = l->product.n_in + (l->bias >= 0), n_rows = rows_now(c->pruned, p, t), n;
	struct sums *s = &c->sums[t];

	for (int64_t at = 0; at < n_rows; at += n) {
		n = n_rows - at < CHUNK ? n_rows - at : CHUNK;
		unfold(c->pruned, p, l, t, at, n, s->x);
		if (s->gram != NULL)
			pare_gemm(true, false, width, width, n, 1.0f, s->x, s->x, 1.0f, s->gram);
		if (s->cross == NULL)
			continue;
		unfold(c->dense, p, l, t, at, n, s->xd);
		pare_gemm(false, true, n, l->product.n_out, width, 1.0f, s->xd, c->w0, 0.0f, s->y);
		pare_gemm(true, false, l->product.n_out, width, n, 1.0f, s->y, s->x, 1.0f, s->cross);
	}
}

static void add_norms(struct pare_calibrator *c, int t)
{
	struct sums *s = &c->sums[t];

	for (int k = 0; k < c->n_layers; k++) {
		const struct place *p = &c->places[k];
		int64_t n_in = c->layers[k].product.n_in, n_rows = rows_now(c->pruned, p, t);

		for (int64_t r = 0; r < n_rows; r++) {
			pare_net_step_unfold(c->pruned, t, p->step, c->layers[k].group, r, 1, s->x);
			for (int64_t i = 0; i < n_in; i++)
				s->norms[p->norms + (size_t)i] += (double)s->x[i] * (double)s->x[i];
		}
	}
}

static void run_shard(void *ctx, int t)
{
	struct pare_calibrator *c = ctx;
	int64_t first, count;

	pare_net_shard_rows(c->pruned, c->n_batch, t, &first, &count);
	if (count == 0)
		return;
	run_net(c, c->pruned, t);
	if (c->layer >= 0 && c->sums[t].cross != NULL)
		run_net(c, c->dense, t);
	if (c->layer >= 0)
		add_moments(c, t);
	else
		add_norms(c, t);
}

static enum pare_code run_rows(struct pare_calibrator *c, struct pare_err *err)
{
	uint32_t batch = (uint32_t)c->opt.batch_size;

	for (uint32_t at = 0; at < c->n_rows; at += batch) {
		if (c->opt.cancel != NULL && atomic_load_explicit(c->opt.cancel, memory_order_relaxed))
			return pare_err_set(err, PARE_E_CANCELED, NULL, "looking at the layers' inputs was stopped");
		c->batch = c->rows + at;
		c->n_batch = c->n_rows - at < batch ? c->n_rows - at : batch;
		pare_net_parallel(c->pruned, run_shard, c);
	}
	return PARE_OK;
}

/* Rows that a layer has seen: those of one data row times how many there were. */
static double n_seen(const struct pare_calibrator *c, int layer)
{
	int64_t first, count, shard = c->layers[layer].product.n_rows;

	pare_net_shard_rows(c->pruned, c->opt.batch_size, 0, &first, &count);
	return (double)shard / (double)count * (double)c->n_rows;
}

static void copy_weights(struct pare_calibrator *c, const struct pare_layer *l)
{
	const struct pare_param_info *w = pare_net_param(c->dense, l->weight), *b = l->bias >= 0 ? pare_net_param(c->dense, l->bias) : NULL;
	const float *slab = pare_net_slab(c->dense);
	const struct pare_product *p = &l->product;
	int64_t width = p->n_in + (b != NULL);

	for (int64_t o = 0; o < p->n_out; o++) {
		for (int64_t i = 0; i < p->n_in; i++)
			c->w0[o * width + i] = slab[(int64_t)w->offset + l->group * p->w_group + o * p->w_out + i * p->w_in];
		if (b != NULL)
			c->w0[o * width + p->n_in] = slab[(int64_t)b->offset + l->group * p->n_out + o];
	}
}

static void sums_free(struct pare_calibrator *c)
{
	for (int t = 0; c->sums != NULL && t < c->n_threads; t++) {
		pare_free(c->sums[t].gram);
		pare_free(c->sums[t].cross);
		pare_free(c->sums[t].x);
		pare_free(c->sums[t].xd);
		pare_free(c->sums[t].y);
		pare_free(c->sums[t].norms);
	}
	pare_free(c->sums);
	pare_free(c->w0);
	c->sums = NULL;
	c->w0 = NULL;
}

static bool sums_alloc(struct pare_calibrator *c, size_t width, size_t n_out, bool gram, bool cross)
{
	c->sums = pare_calloc((size_t)c->n_threads, sizeof *c->sums);
	c->w0 = pare_calloc(width * n_out + 1, sizeof *c->w0);
	for (int t = 0; c->sums != NULL && t < c->n_threads; t++) {
		struct sums *s = &c->sums[t];

		s->x = pare_calloc(CHUNK, width * sizeof *s->x);
		s->xd = pare_calloc(CHUNK, width * sizeof *s->xd);
		s->y = pare_calloc(CHUNK, n_out * sizeof *s->y);
		s->gram = gram ? pare_calloc(width, width * sizeof *s->gram) : NULL;
		s->cross = cross ? pare_calloc(n_out, width * sizeof *s->cross) : NULL;
		if (s->x == NULL || s->xd == NULL || s->y == NULL || (gram && s->gram == NULL) || (cross && s->cross == NULL))
			return false;
	}
	return c->sums != NULL && c->w0 != NULL;
}

static void add_up(const struct pare_calibrator *c, bool gram, size_t n, double count, float *out)
{
	for (size_t i = 0; i < n; i++) {
		double sum = 0;

		for (int t = 0; t < c->n_threads; t++)
			sum += (double)(gram ? c->sums[t].gram : c->sums[t].cross)[i];
		out[i] = (float)(sum / count);
	}
}

enum pare_code pare_calibrate_layer(struct pare_calibrator *c, int i, float *gram, float *cross, struct pare_err *err)
{
	const struct pare_layer *l = &c->layers[i];
	size_t width = (size_t)(l->product.n_in + (l->bias >= 0)), n_out = (size_t)l->product.n_out;
	enum pare_code code = PARE_OK;

	c->layer = i;
	if (!sums_alloc(c, width, n_out, gram != NULL, cross != NULL))
		code = pare_err_nomem(err, width * width * sizeof(float));
	if (code == PARE_OK) {
		copy_weights(c, l);
		code = run_rows(c, err);
	}
	if (code == PARE_OK && gram != NULL)
		add_up(c, true, width * width, n_seen(c, i), gram);
	if (code == PARE_OK && cross != NULL)
		add_up(c, false, n_out * width, n_seen(c, i), cross);
	sums_free(c);
	return code;
}

enum pare_code pare_calibrate_norms(struct pare_calibrator *c, float *out, struct pare_err *err)
{
	size_t widest = 1;
	enum pare_code code = PARE_OK;

	c->layer = -1;
	for (int i = 0; i < c->n_layers; i++)
		widest = (size_t)c->layers[i].product.n_in > widest ? (size_t)c->layers[i].product.n_in : widest;
	if (!sums_alloc(c, widest, 1, false, false))
		code = pare_err_nomem(err, CHUNK * widest * sizeof(float));
	for (int t = 0; code == PARE_OK && t < c->n_threads; t++) {
		c->sums[t].norms = pare_calloc(c->n_norms + 1, sizeof *c->sums[t].norms);
		if (c->sums[t].norms == NULL)
			code = pare_err_nomem(err, c->n_norms * sizeof(double));
	}
	if (code == PARE_OK)
		code = run_rows(c, err);
	for (int k = 0; code == PARE_OK && k < c->n_layers; k++)
		for (size_t i = 0; i < (size_t)c->layers[k].product.n_in; i++) {
			double sum = 0;

			for (int t = 0; t < c->n_threads; t++)
				sum += c->sums[t].norms[c->places[k].norms + i];
			out[c->places[k].norms + i] = (float)sqrt(sum / n_seen(c, k));
		}
	sums_free(c);
	return code;
}
