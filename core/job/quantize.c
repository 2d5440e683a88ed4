/* The quantize step, the last of a recipe: what was trained and pruned leaves with weights of fewer bits.
 *
 * The step itself only marks where the float model stands complete; the work is done when that model has its final form, without the
 * structures that were removed. Like a shrunk model the quantized one is written, read back like any upload, compared with the weights
 * that it stands for and run on real rows; the figures of the report are those of that file, by what the integers say.
 *
 * Nothing here is state of the job: a resumed one does it all again. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/graph/net_view.h"
#include "core/job/job_priv.h"
#include "core/onnx/onnx.h"
#include "core/recipe/json_text.h"

#define BATCH 64
#define PROOF_ROWS 1024

double job_quantize_units(const struct job_run *r, size_t step)
{
	(void)r;
	(void)step;
	return JOB_ROUND_UNITS;
}

static void options(const struct pare_args *args, struct pare_quantize_options *o)
{
	const struct pare_arg *exclude = pare_args_get(args, "exclude");
	const char *form = pare_args_str(args, "form");

	*o = (struct pare_quantize_options){
	    .form = strcmp(form, "int8") == 0 ? PARE_FORM_INT8 : strcmp(form, "float16") == 0 ? PARE_FORM_FLOAT16 : PARE_FORM_BFLOAT16,
	    .per_channel = pare_args_bool(args, "per_channel"),
	    .reduce_range = pare_args_bool(args, "reduce_range"),
	    .names = {.exclude = exclude->strings, .n_exclude = exclude->n},
	};
	o->activations = o->form == PARE_FORM_INT8 && strcmp(pare_args_str(args, "activations"), "static") == 0;
	o->dynamic = o->form == PARE_FORM_INT8 && strcmp(pare_args_str(args, "activations"), "dynamic") == 0;
}

enum pare_code job_check_quantize(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	struct pare_quant_layer *layers = NULL;
	struct pare_quantize_options o;
	enum pare_code code;
	int n;

	options(args, &o);
	code = pare_quantize_find(r->model, &o, &layers, &n, err);
	pare_free(layers);
	return code;
}

enum pare_code job_quantize(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	(void)args;
	return job_keep_dense(r, err);
}

/* --- ranges of activations */

struct look {
	struct job_run *r;
	struct pare_model *m;
	struct pare_net *net;
	struct pare_quant_layer *layers;
	int n;
	struct pare_observed *seen; /* by layer */
};

static const float *values_of(const struct look *k, int layer, int64_t rows, size_t *n)
{
	const struct pare_value *x = &k->m->graph.values[k->layers[layer].x];
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;

	for (int i = 0; i < pare_net_n_inputs(k->net); i++)
		if (strcmp(pare_net_input_name(k->net, i), x->name) == 0) {
			*n = pare_net_input_shape(k->net, i, &n_dims, dims) * (size_t)rows;
			return pare_net_shard_input(k->net, 0, i);
		}
	*n = job_output_len(k->net, pare_net_find_output(k->net, x->name), rows);
	return pare_net_shard_output(k->net, 0, pare_net_find_output(k->net, x->name));
}

static enum pare_code look_at_rows(const struct look *k, uint32_t most, void (*see)(struct pare_observed *, const float *, size_t), struct pare_err *err)
{
	uint32_t n_rows, batch[BATCH], n_looked;
	const uint32_t *rows = pare_data_rows(k->r->data, PARE_SPLIT_TRAIN, &n_rows);

	n_looked = n_rows < most ? n_rows : most;
	for (uint32_t at = 0; at < n_looked; at += BATCH) {
		uint32_t n = n_looked - at < BATCH ? n_looked - at : BATCH;
		enum pare_code code = job_check_canceled(k->r->w, err);

		if (code != PARE_OK)
			return code;
		for (uint32_t i = 0; i < n; i++) /* evenly over all: files are often sorted by class */
			batch[i] = rows[(uint64_t)(at + i) * n_rows / n_looked];
		job_forward(k->r, k->net, batch, n);
		for (int i = 0; i < k->n; i++) {
			size_t len;
			const float *x = values_of(k, i, n, &len);

			see(&k->seen[i], x, len);
		}
	}
	return PARE_OK;
}

static enum pare_code find_ranges(struct look *k, const struct pare_args *args, struct pare_err *err)
{
	const char *range = pare_args_str(args, "range");
	double share = strcmp(range, "percentile") == 0 ? pare_args_num(args, "percentile") : 1;
	uint32_t most = (uint32_t)fmin(pare_args_num(args, "rows"), UINT32_MAX);
	bool mse = strcmp(range, "mse") == 0;
	enum pare_code code;

	k->seen = pare_calloc((size_t)k->n, sizeof *k->seen);
	if (k->seen == NULL)
		return pare_err_nomem(err, (size_t)k->n * sizeof *k->seen);
	code = look_at_rows(k, most, pare_observed_extremes, err);
	if (code == PARE_OK && (mse || share < 1))
		code = look_at_rows(k, most, pare_observed_bins, err);
	for (int i = 0; i < k->n && code == PARE_OK; i++) {
		if (!isfinite(k->seen[i].low) || !isfinite(k->seen[i].high))
			code = pare_err_set(err, PARE_E_NONFINITE, k->m->graph.values[k->layers[i].x].name, "the activation is not finite on training rows");
		pare_observed_range(&k->seen[i], share, mse, &k->layers[i].low, &k->layers[i].high);
	}
	pare_free(k->seen);
	return code;
}

static enum pare_code calibrate(struct job_run *r, const struct pare_args *args, struct pare_model *m, struct pare_quant_layer *layers, int n, struct pare_err *err)
{
	struct pare_net_options opt = {.n_threads = 1, .max_batch = BATCH, .seed = r->seed};
	struct look k = {.r = r, .m = m, .layers = layers, .n = n};
	enum pare_code code = PARE_OK;

	for (int i = 0; i < n && code == PARE_OK; i++)
		if (!m->graph.values[layers[i].x].is_input)
			code = pare_model_watch(m, m->graph.values[layers[i].x].name, err);
	if (code == PARE_OK)
		code = pare_net_new(m, &opt, &k.net, err);
	if (code == PARE_OK)
		code = find_ranges(&k, args, err);
	pare_net_free(k.net);
	return code;
}

/* --- proof */

/* What stands for a weight in the file. */
struct stored_weight {
	const struct pare_tensor *t, *s; /* NULL: not there; no steps */
	int axis;        /* of t: that the steps are along */
	bool multiplied; /* as it stands, inputs x outputs, whatever the layer's form was */
};

static const struct pare_node *made_by(const struct pare_graph *g, int32_t value)
{
	return value >= 0 && g->values[value].producer >= 0 ? &g->nodes[g->values[value].producer] : NULL;
}

static const struct pare_node *before(const struct pare_graph *g, const struct pare_node *n, int k)
{
	return n != NULL && k < n->n_in ? made_by(g, n->in[k]) : NULL;
}

static const struct pare_tensor *constant(const struct pare_graph *g, const struct pare_node *n, int k)
{
	return n != NULL && k < n->n_in && n->in[k] >= 0 ? g->values[n->in[k]].init : NULL;
}

/* Of the layer of that output: the layer itself over a DequantizeLinear or Cast of its weight, or Mul(Cast(MatMulInteger), Mul), with an Add behind it if there
 * is a bias. */
static void find_weight(const struct pare_graph *g, const char *output, struct stored_weight *out)
{
	const struct pare_node *n = made_by(g, pare_graph_find_value(g, output)), *d;

	if (n != NULL && strcmp(n->op_type, "Add") == 0)
		n = before(g, n, 0);
	if (n != NULL && strcmp(n->op_type, "Mul") == 0) {
		d = before(g, before(g, n, 0), 0);
		*out = (struct stored_weight){.t = constant(g, d, 1), .s = constant(g, before(g, n, 1), 1), .axis = 1, .multiplied = true};
		return;
	}
	d = before(g, n, 1);
	*out = (struct stored_weight){.t = constant(g, d, 0), .s = constant(g, d, 1), .axis = d != NULL ? (int)pare_node_int(d, "axis", 0) : 0};
}

/* What the layer multiplies with, and the most that rounding may have moved each element. */
static enum pare_code read_back(const struct stored_weight *k, const char *output, size_t n, float *w, float *bound, struct pare_err *err)
{
	const struct pare_tensor *t = k->t, *s = k->s;
	float *step = s != NULL ? pare_alloc(s->n_elems * sizeof *step) : NULL;
	size_t inner = 1, axis = 1;
	enum pare_code code = t != NULL && t->n_elems == n ? pare_tensor_read_f32(t, w, err) : pare_err_set(err, PARE_E_PROOF, output, "the quantized weight is not there");

	if (code == PARE_OK && s != NULL)
		code = step != NULL ? pare_tensor_read_f32(s, step, err) : pare_err_nomem(err, 0);
	if (code == PARE_OK && s != NULL && s->n_elems > 1) {
		axis = (size_t)t->dims[k->axis];
		for (int d = k->axis + 1; d < t->n_dims; d++)
			inner *= (size_t)t->dims[d];
	}
	for (size_t i = 0; i < n && code == PARE_OK; i++) {
		float one = s != NULL ? step[i / inner % axis] : 0;

		w[i] *= s != NULL ? one : 1;
		bound[i] = s != NULL ? one * 0.5f : fabsf(w[i]) * (t->dtype == PARE_DT_FLOAT16 ? 0x1p-11f : 0x1p-8f) + 0x1p-25f;
	}
	pare_free(step);
	return code;
}

/* Square root of (what rounding changed / all), of one layer. */
static enum pare_code prove_layer(const struct pare_model *m, const struct pare_model *q, const struct pare_quant_layer *l, double *error, struct pare_err *err)
{
	const struct pare_tensor *t = m->graph.values[l->weight].init;
	const char *output = m->graph.values[m->graph.nodes[l->node].out[0]].name;
	float *room = pare_calloc(3 * t->n_elems, sizeof *room), *was = room, *is = room + t->n_elems, *bound = room + 2 * t->n_elems;
	double off = 0, all = 0;
	struct stored_weight k;
	enum pare_code code = room != NULL ? pare_tensor_read_f32(t, was, err) : pare_err_nomem(err, 3 * t->n_elems * sizeof *room);

	find_weight(&q->graph, output, &k);
	if (code == PARE_OK)
		code = read_back(&k, output, t->n_elems, is, bound, err);
	for (size_t i = 0; i < t->n_elems && code == PARE_OK; i++) {
		size_t n_in = (size_t)t->dims[1], at = k.multiplied && l->axis == 0 ? i % n_in * (size_t)t->dims[0] + i / n_in : i;
		double d = fabs((double)was[i] - (double)is[at]);

		if (!(d <= (double)bound[at] * 1.0001))
			code = pare_err_set(err, PARE_E_PROOF, t->name, "weight %zu is %g and became %g in the quantized form", i, (double)was[i], (double)is[at]);
		off += d * d;
		all += (double)was[i] * (double)was[i];
	}
	*error = all > 0 ? sqrt(off / all) : 0;
	pare_free(room);
	return code;
}

static enum pare_code compare_outputs(struct job_run *r, struct pare_net *base, struct pare_err *err)
{
	struct job_quantized *q = &r->quantized;
	uint32_t n_rows;
	const uint32_t *rows = pare_data_rows(r->data, r->judged, &n_rows);
	int64_t first, batch;

	pare_net_shard_rows(base, job_batch(r, BATCH), 0, &first, &batch);
	n_rows = n_rows < PROOF_ROWS ? n_rows : PROOF_ROWS;
	for (uint32_t at = 0; at < n_rows; at += (uint32_t)batch) {
		uint32_t n = n_rows - at < (uint32_t)batch ? n_rows - at : (uint32_t)batch;

		job_forward(r, base, rows + at, n);
		job_forward(r, q->net, rows + at, n);
		for (int i = 0; i < pare_net_n_outputs(base); i++) {
			size_t len = job_output_len(base, i, n);

			if (len != job_output_len(q->net, i, n))
				return pare_err_set(err, PARE_E_PROOF, NULL, "output %d of the quantized model has another shape", i);
			for (size_t j = 0; j < len; j++) {
				double a = (double)pare_net_shard_output(base, 0, i)[j], d = fabs(a - (double)pare_net_shard_output(q->net, 0, i)[j]);

				q->scale = fmax(q->scale, fabs(a));
				q->difference = isnan(d) ? INFINITY : fmax(q->difference, d);
			}
		}
		q->rows += n;
	}
	return isfinite(q->difference) ? PARE_OK : pare_err_set(err, PARE_E_PROOF, NULL, "the quantized model gives NaN or infinity where the float one does not");
}

static enum pare_code prove(struct job_run *r, const struct pare_model *m, struct pare_err *err)
{
	struct job_quantized *q = &r->quantized;
	enum pare_code code = PARE_OK;

	q->errors = pare_calloc((size_t)q->n, sizeof *q->errors);
	q->names = pare_calloc((size_t)q->n, sizeof *q->names);
	if (q->errors == NULL || q->names == NULL)
		return pare_err_nomem(err, 0);
	for (int i = 0; i < q->n && code == PARE_OK; i++) {
		q->names[i] = m->graph.values[q->layers[i].weight].name;
		code = prove_layer(m, q->model, &q->layers[i], &q->errors[i], err);
	}
	return code == PARE_OK ? compare_outputs(r, r->shrunk.net != NULL ? r->shrunk.net : r->net, err) : code;
}

/* --- the file */

static enum pare_code write_quantized(struct job_run *r, const struct pare_args *args, struct pare_model *m, struct pare_err *err)
{
	struct job_quantized *q = &r->quantized;
	struct pare_net_options opt = {.n_threads = r->threads, .max_batch = r->max_batch, .training = true, .seed = r->seed};
	struct pare_quantize_options o;
	struct pare_rewrite rw;
	enum pare_code code;

	options(args, &o);
	q->full_range = (o.activations || o.dynamic) && !o.reduce_range;
	opt.training = !o.dynamic; /* products of integers have no gradient */
	code = pare_quantize_find(m, &o, &q->layers, &q->n, err);
	if (code == PARE_OK && o.activations)
		code = calibrate(r, args, m, q->layers, q->n, err);
	if (code != PARE_OK)
		return code;
	pare_buf_init(&q->file, 2 * m->file.len + job_side_bytes(r) + ((size_t)16 << 20));
	memset(&rw, 0, sizeof rw);
	code = pare_quantize(m, &o, q->layers, q->n, &rw, err);
	if (code == PARE_OK)
		code = pare_onnx_rewrite(m, &rw, &q->file, err);
	pare_rewrite_done(&rw);
	if (code == PARE_OK)
		code = job_read_model(r, &q->file, &q->model, err);
	if (code == PARE_OK)
		code = pare_net_new(q->model, &opt, &q->net, err);
	return code == PARE_OK ? prove(r, m, err) : code;
}

static const struct pare_args *quantize_step(const struct job_run *r)
{
	const struct pare_args *last = pare_job_step(r->job, pare_job_n_steps(r->job) - 1);

	return strcmp(last->method->name, "quantize") == 0 ? last : NULL;
}

enum pare_code job_write_quantized(struct job_run *r, struct pare_err *err)
{
	const struct pare_args *args = quantize_step(r);
	struct job_quantized *q = &r->quantized;
	struct pare_metrics m = {0};
	const struct pare_buf *base = r->shrunk.net != NULL ? &r->shrunk.file : &q->base;
	enum pare_code code = PARE_OK;

	if (args == NULL)
		return PARE_OK;
	pare_buf_init(&q->base, 0);
	if (r->shrunk.net == NULL)
		code = job_write_model(r, &q->base, err);
	q->float_bytes = base->len;
	if (code == PARE_OK)
		code = job_read_model(r, base, &q->float_model, err);
	if (code == PARE_OK)
		code = write_quantized(r, args, q->float_model, err);
	if (code == PARE_OK)
		code = job_eval_net(r, r->shrunk.net != NULL ? r->shrunk.net : r->net, job_n_rows(r, PARE_SPLIT_VALIDATION) > 0 ? PARE_SPLIT_VALIDATION : r->judged, &m, err);
	q->float_metric = pare_metrics_headline(&m);
	pare_metrics_done(&m);
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "/recipe/steps/%zu/quantize", pare_job_n_steps(r->job) - 1);
}

void job_quantized_done(struct job_quantized *q)
{
	pare_net_free(q->net);
	pare_model_free(q->model);
	pare_model_free(q->float_model);
	pare_free(q->layers);
	pare_free(q->errors);
	pare_free(q->names);
	pare_buf_done(&q->file);
	pare_buf_done(&q->base);
}

/* --- the report */

void job_write_quantization(const struct job_run *r, struct pare_buf *b)
{
	const struct pare_args *args = quantize_step(r);
	const struct job_quantized *q = &r->quantized;
	struct pare_quantize_options o;

	if (args == NULL)
		return;
	options(args, &o);
	pare_json_key(b, "quantization");
	pare_buf_str(b, "{");
	pare_json_key_str(b, "form", pare_args_str(args, "form"));
	pare_json_key_str(b, "activations", o.activations ? "static" : o.dynamic ? "dynamic" : "none");
	pare_json_key_int(b, "float_bytes", (int64_t)q->float_bytes);
	pare_json_key_int(b, "bytes", (int64_t)q->file.len);
	pare_json_key_num(b, "validation_float", q->float_metric);
	pare_json_key_num(b, "validation", pare_metrics_headline(r->verdict_final.has_validation ? &r->verdict_final.validation : &r->verdict_final.judged));
	pare_json_key_int(b, "rows", q->rows);
	pare_json_key_num(b, "largest_difference", q->difference);
	pare_json_key_num(b, "largest_output", q->scale);
	pare_json_key(b, "layers");
	pare_buf_str(b, "[");
	for (int i = 0; i < q->n; i++) {
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "name", q->names[i]);
		pare_json_key_num(b, "relative_error", q->errors[i]);
		if (o.activations) {
			pare_json_key_num(b, "low", (double)q->layers[i].low);
			pare_json_key_num(b, "high", (double)q->layers[i].high);
		}
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]}");
}
