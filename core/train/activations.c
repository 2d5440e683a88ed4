/* A plan reuses memory, so a value inside it is gone when the pass is over. Instead of hooks in the executor, which would tie every
 * fusion and layout to them, the values that are wanted become outputs of a second net over the same graph: the plan then keeps
 * them by its own rules. Parameters stand in the same order in both, so the slab is copied. */
#include "core/train/activations.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/eval/fit.h"
#include "core/graph/net_view.h"

#define BATCH 64

struct tapped {
	struct pare_model model; /* a shallow copy with more outputs; owns only the two arrays */
	struct pare_value *values;
	int32_t *outputs;
	struct pare_net *net;
	int first; /* outputs from here on are taps */
	uint32_t *rows;
	/* by slice, for the entropy; NULL without */
	float *least, *most;
	size_t n_bins;
	double *bins; /* n_bins each; the first pass finds the range, the second fills them */
	bool filling;
	double *map; /* room for one; NULL unless ranks are asked for */
};

static bool is_tap(const struct pare_net *net, const struct pare_structures *g, const struct tapped *t, int32_t value)
{
	const struct pare_shape *s = pare_net_shape_of(net, value);
	bool sliced = false;

	for (int i = 0; i < t->model.graph.n_outputs; i++)
		if (t->outputs[i] == value)
			return false;
	for (int k = 0; k < s->n_dims; k++)
		sliced |= g->slices.base[(size_t)value * PARE_MAX_DIMS + (size_t)k] != PARE_NO_SLICE;
	return sliced && s->batch != 0 && pare_net_param_of(net, value) < 0 && pare_net_dtype_of(net, value) == PARE_DT_FLOAT && !t->values[value].is_input;
}

static void tap(struct tapped *t, int32_t value)
{
	t->outputs[t->model.graph.n_outputs++] = value;
	t->values[value].is_output = true;
}

/* The inputs of nodes that multiply by a parameter. */
static void tap_all(struct tapped *t, const struct pare_net *net, const struct pare_structures *g)
{
	for (int i = 0; i < pare_net_n_steps(net); i++) {
		struct pare_net_step s;
		bool weighs = false;

		pare_net_step_at(net, i, &s);
		for (int k = 0; k < s.node->n_in; k++)
			weighs |= pare_net_step_weighs(net, i, k);
		for (int k = 0; k < s.node->n_in && weighs; k++)
			if (s.node->in[k] >= 0 && is_tap(net, g, t, s.node->in[k]))
				tap(t, s.node->in[k]);
	}
}

static enum pare_code open_tapped(struct tapped *t, const struct pare_net *net, const struct pare_structures *g, struct pare_err *err)
{
	const struct pare_model *m = pare_net_model(net);
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = BATCH, .training = false};
	size_t n_values = (size_t)m->graph.n_values;
	enum pare_code code;

	t->model = *m;
	t->values = pare_calloc(n_values + 1, sizeof *t->values);
	t->outputs = pare_calloc(n_values + (size_t)m->graph.n_outputs + 1, sizeof *t->outputs);
	if (t->values == NULL || t->outputs == NULL)
		return pare_err_nomem(err, n_values * sizeof *t->values);
	memcpy(t->values, m->graph.values, n_values * sizeof *t->values);
	memcpy(t->outputs, m->graph.outputs, (size_t)m->graph.n_outputs * sizeof *t->outputs);
	t->model.graph.values = t->values;
	t->model.graph.outputs = t->outputs;
	t->first = m->graph.n_outputs;
	tap_all(t, net, g);
	code = pare_net_new(&t->model, &opt, &t->net, err);
	if (code == PARE_OK && pare_net_slab_len(t->net) != pare_net_slab_len(net))
		return pare_err_set(err, PARE_E_INTERNAL, NULL, "the net with taps has other parameters");
	if (code == PARE_OK)
		memcpy(pare_net_slab(t->net), pare_net_slab((struct pare_net *)net), pare_net_slab_len(net) * sizeof(float));
	return code;
}

static void close_tapped(struct tapped *t)
{
	pare_net_free(t->net);
	pare_free(t->values);
	pare_free(t->outputs);
	pare_free(t->rows);
	pare_free(t->least);
	pare_free(t->most);
	pare_free(t->bins);
	pare_free(t->map);
}

static void widen(const struct tapped *t, uint32_t slice, const float *p, int64_t n)
{
	for (int64_t k = 0; k < n; k++) {
		t->least[slice] = fminf(t->least[slice], p[k]);
		t->most[slice] = fmaxf(t->most[slice], p[k]);
	}
}

static void fill_bins(const struct tapped *t, uint32_t slice, const float *p, int64_t n)
{
	double low = (double)t->least[slice], width = ((double)t->most[slice] - low) / (double)t->n_bins;
	double *bins = t->bins + (size_t)slice * t->n_bins;

	if (t->n_bins == 2) {
		double off = low > 0 ? low + width : 0;

		for (int64_t k = 0; k < n; k++)
			bins[(double)p[k] > off] += 1;
		return;
	}
	for (int64_t k = 0; k < n; k++) {
		double at = width > 0 ? ((double)p[k] - low) / width : 0;

		bins[at >= (double)t->n_bins ? t->n_bins - 1 : at > 0 ? (size_t)at : 0] += 1; /* NaN goes to the first */
	}
}

/* The place of the largest of what is left of a[h][w] below and right of (k, k). */
static double find_pivot(const double *a, int64_t h, int64_t w, int64_t k, int64_t *out_i, int64_t *out_j)
{
	double most = -1;

	for (int64_t i = k; i < h; i++)
		for (int64_t j = k; j < w; j++)
			if (fabs(a[i * w + j]) > most) {
				most = fabs(a[i * w + j]);
				*out_i = i;
				*out_j = j;
			}
	return most;
}

static void swap(double *a, double *b)
{
	double t = *a;

	*a = *b;
	*b = t;
}

/* By elimination with complete pivots; what rounding of the numbers can explain counts as nothing, as in numpy's matrix_rank. */
static int64_t rank_of(const float *x, int64_t h, int64_t w, double *a)
{
	int64_t least = h < w ? h : w, i = 0, j = 0;
	double limit = 0;

	for (int64_t k = 0; k < h * w; k++)
		a[k] = (double)x[k];
	for (int64_t k = 0; k < least; k++) {
		double most = find_pivot(a, h, w, k, &i, &j);

		if (k == 0)
			limit = most * (double)(h > w ? h : w) * (double)FLT_EPSILON;
		if (most <= limit)
			return k;
		for (int64_t c = 0; c < w; c++)
			swap(&a[k * w + c], &a[i * w + c]);
		for (int64_t r = 0; r < h; r++)
			swap(&a[r * w + k], &a[r * w + j]);
		for (int64_t r = k + 1; r < h; r++) {
			double f = a[r * w + k] / a[k * w + k];

			for (int64_t c = k; c < w; c++)
				a[r * w + c] -= f * a[k * w + c];
		}
	}
	return least;
}

/* Adds the elements of one axis of a value to its slices. */
static void add_axis(const struct tapped *t, const struct pare_shape *s, int axis, const float *x, uint32_t base, struct pare_activation_stats *out)
{
	int64_t outer = pare_shape_product(s, 0, axis), len = s->dims[axis], inner = pare_shape_product(s, axis + 1, s->n_dims);

	for (int64_t o = 0; o < outer; o++)
		for (int64_t i = 0; i < len; i++) {
			const float *p = x + (o * len + i) * inner;
			double sum = 0, total = 0, squares = 0, zeros = 0;

			if (t->filling) {
				fill_bins(t, base + (uint32_t)i, p, inner);
				continue;
			}
			if (t->bins != NULL)
				widen(t, base + (uint32_t)i, p, inner);
			for (int64_t k = 0; k < inner; k++) {
				double a = (double)p[k];

				sum += fabs(a);
				total += a;
				squares += a * a;
				zeros += !(p[k] < 0 || p[k] > 0);
			}
			if (t->map != NULL && s->n_dims == 4 && axis == 1) {
				out->rank[base + i] += (double)rank_of(p, s->dims[2], s->dims[3], t->map);
				out->maps[base + i] += 1;
			}
			out->sum[base + i] += sum;
			out->total[base + i] += total;
			out->squares[base + i] += squares;
			out->zeros[base + i] += zeros;
			out->count[base + i] += (double)inner;
		}
}

static void look(const struct tapped *t, const struct pare_structures *g, int64_t rows, struct pare_activation_stats *out)
{
	for (int i = t->first; i < t->model.graph.n_outputs; i++) {
		int32_t value = t->outputs[i];
		struct pare_shape s;

		pare_shape_resolve(pare_net_shape_of(t->net, value), rows, &s);
		for (int k = 0; k < s.n_dims; k++) {
			uint32_t base = g->slices.base[(size_t)value * PARE_MAX_DIMS + (size_t)k];

			if (base != PARE_NO_SLICE)
				add_axis(t, &s, k, pare_net_shard_output(t->net, 0, i), base, out);
		}
	}
}

static enum pare_code draw_rows(struct tapped *t, const struct pare_dataset *data, const struct pare_observe_options *opt, uint32_t *out_n, struct pare_err *err)
{
	uint32_t n;
	const uint32_t *rows = pare_data_rows(data, PARE_SPLIT_TRAIN, &n);
	struct pare_rng rng;

	if (n == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL, "there are no training rows to look at");
	t->rows = pare_calloc(n, sizeof *t->rows);
	if (t->rows == NULL)
		return pare_err_nomem(err, n * sizeof *t->rows);
	memcpy(t->rows, rows, n * sizeof *rows);
	pare_rng_init(&rng, opt->seed, "observe", (uint64_t)(uint32_t)opt->stage);
	pare_rng_shuffle(&rng, t->rows, n);
	*out_n = opt->n_rows < n ? opt->n_rows : n;
	return PARE_OK;
}

static enum pare_code run_rows(struct tapped *t, const struct pare_structures *g, const struct pare_dataset *data, const struct pare_observe_options *opt, uint32_t n,
    struct pare_activation_stats *out, struct pare_err *err)
{
	for (uint32_t at = 0; at < n; at += BATCH) {
		uint32_t count = n - at < BATCH ? n - at : BATCH;

		if (opt->cancel != NULL && atomic_load(opt->cancel))
			return pare_err_set(err, PARE_E_CANCELED, NULL, "looking at activations was stopped");
		for (int i = 0; i < opt->fit->n_inputs; i++)
			pare_data_fill(data, opt->fit->inputs[i].x, t->rows + at, count, pare_net_shard_input(t->net, 0, i));
		pare_net_shard_forward(t->net, 0, count, PARE_MODE_INFER, 0, 0);
		look(t, g, count, out);
	}
	return PARE_OK;
}

static enum pare_code prepare_bins(struct tapped *t, size_t n_slices, struct pare_activation_stats *out, struct pare_err *err)
{
	t->least = pare_calloc(n_slices, sizeof *t->least);
	t->most = pare_calloc(n_slices, sizeof *t->most);
	t->bins = pare_calloc(n_slices, t->n_bins * sizeof *t->bins);
	out->entropy = pare_calloc(n_slices, sizeof *out->entropy);
	if (t->least == NULL || t->most == NULL || t->bins == NULL || out->entropy == NULL)
		return pare_err_nomem(err, n_slices * t->n_bins * sizeof *t->bins);
	for (size_t i = 0; i < n_slices; i++) {
		t->least[i] = INFINITY;
		t->most[i] = -INFINITY;
	}
	return PARE_OK;
}

static void read_bins(const struct tapped *t, size_t n_slices, struct pare_activation_stats *out)
{
	for (size_t i = 0; i < n_slices; i++)
		for (size_t k = 0; k < t->n_bins; k++) {
			double p = out->count[i] > 0 ? t->bins[i * t->n_bins + k] / out->count[i] : 0;

			out->entropy[i] -= p > 0 ? p * log(p) : 0;
		}
}

static enum pare_code prepare_ranks(struct tapped *t, size_t n_slices, struct pare_activation_stats *out, struct pare_err *err)
{
	size_t most = 1;

	for (int i = t->first; i < t->model.graph.n_outputs; i++) {
		const struct pare_shape *s = pare_net_shape_of(t->net, t->outputs[i]);
		size_t n = s->n_dims == 4 ? (size_t)(s->dims[2] * s->dims[3]) : 0;

		most = n > most ? n : most;
	}
	t->map = pare_calloc(most, sizeof *t->map);
	out->rank = pare_calloc(n_slices, sizeof *out->rank);
	out->maps = pare_calloc(n_slices, sizeof *out->maps);
	return t->map != NULL && out->rank != NULL && out->maps != NULL ? PARE_OK : pare_err_nomem(err, most * sizeof *t->map);
}

enum pare_code pare_activations(const struct pare_net *net, const struct pare_structures *groups, const struct pare_dataset *data,
    const struct pare_observe_options *opt, enum pare_structure_stat what, struct pare_activation_stats *out, struct pare_err *err)
{
	bool entropy = what == PARE_STRUCTURE_STAT_ENTROPY;
	struct tapped t = {.n_bins = (size_t)opt->bins};
	size_t n = (size_t)groups->slices.n + 1;
	uint32_t n_rows = 0;
	enum pare_code code;

	*out = (struct pare_activation_stats){.sum = pare_calloc(n, sizeof(double)), .total = pare_calloc(n, sizeof(double)), .squares = pare_calloc(n, sizeof(double)),
	    .zeros = pare_calloc(n, sizeof(double)), .count = pare_calloc(n, sizeof(double))};
	if (out->sum == NULL || out->total == NULL || out->squares == NULL || out->zeros == NULL || out->count == NULL)
		code = pare_err_nomem(err, n * sizeof(double));
	else
		code = open_tapped(&t, net, groups, err);
	if (code == PARE_OK && entropy)
		code = prepare_bins(&t, n, out, err);
	if (code == PARE_OK && what == PARE_STRUCTURE_STAT_RANK)
		code = prepare_ranks(&t, n, out, err);
	if (code == PARE_OK)
		code = draw_rows(&t, data, opt, &n_rows, err);
	for (int pass = 0; pass < (entropy ? 2 : 1) && code == PARE_OK; pass++) {
		t.filling = pass == 1;
		code = run_rows(&t, groups, data, opt, n_rows, out, err);
	}
	if (code == PARE_OK && entropy)
		read_bins(&t, n, out);
	close_tapped(&t);
	if (code != PARE_OK)
		pare_activations_done(out);
	return code;
}

void pare_activations_done(struct pare_activation_stats *s)
{
	pare_free(s->sum);
	pare_free(s->total);
	pare_free(s->squares);
	pare_free(s->zeros);
	pare_free(s->count);
	pare_free(s->rank);
	pare_free(s->maps);
	pare_free(s->entropy);
	*s = (struct pare_activation_stats){.sum = NULL};
}
