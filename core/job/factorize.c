/* The factorize step: layers become products of two smaller ones.
 *
 * As the first step of a recipe it needs no data and nothing of the job but the file, so it is done when the model is opened: the factorized model is
 * written, read back like any upload, and is the job's model from there on. All steps after it, checkpoints, folds and the sweep know nothing of it.
 *
 * Later in the recipe, after training, the trained model is written, factorized and read back in the same way, and what belongs to the old net (its masks, copies
 * of weights, groups of channels) is made anew for the new one. Structures that were removed from the old one are only masked there; they leave its graph first,
 * as at the end of a job and with the same proof, so that factors are made of the smaller layers and nothing is left to carry over. A checkpoint holds weights and
 * cut of the old net besides the present ones; a resumed job makes the same factors of them again. A run of a sweep begins with the net as it was uploaded, which
 * is kept for that, for teachers and for the last judgement. Rejected: carrying zeros of single weights over into factors, which have none; the recipe language
 * refuses them.
 *
 * What the report calls input is the model that was uploaded, and dense the one that was factorized, or what it was before its first structure was removed. */
#include <string.h>

#include "core/base/mem.h"
#include "core/job/job_priv.h"
#include "core/recipe/json_text.h"

#define LABEL_MAX 64

double job_factorize_units(const struct job_run *r, size_t step)
{
	(void)r;
	(void)step;
	return JOB_ROUND_UNITS;
}

static const struct pare_args *factorize_step(const struct job_run *r)
{
	const struct pare_args *first = pare_job_step(r->job, 0);

	return strcmp(first->method->name, "factorize") == 0 ? first : NULL;
}

static void options(const struct pare_args *args, struct pare_factorize_options *o)
{
	static const char *const by[] = {[PARE_FACTOR_RANK] = "rank", [PARE_FACTOR_ENERGY] = "energy", [PARE_FACTOR_RATIO] = "ratio"};
	const struct pare_arg *exclude = pare_args_get(args, "exclude");

	*o = (struct pare_factorize_options){.names = {.exclude = exclude->strings, .n_exclude = exclude->n}, .cancel = job_cancel_flag()};
	o->global = strcmp(pare_args_str(args, "scope"), "global") == 0;
	o->by_macs = strcmp(pare_args_str(args, "objective"), "macs") == 0;
	o->tucker = strcmp(pare_args_str(args, "convolutions"), "tucker") == 0;
	for (size_t i = 0; i < sizeof by / sizeof by[0]; i++)
		if (pare_args_has(args, by[i])) {
			o->by = (enum pare_factor_by)i;
			o->amount = o->by == PARE_FACTOR_RANK ? (double)pare_args_int(args, by[i]) : pare_args_num(args, by[i]);
		}
}

static bool same(const struct pare_args *a, const struct pare_args *b)
{
	struct pare_factorize_options x, y;

	if (a == NULL || b == NULL)
		return a == b;
	options(a, &x);
	options(b, &y);
	if (x.by != y.by || x.tucker != y.tucker || x.global != y.global || x.by_macs != y.by_macs || x.amount < y.amount || x.amount > y.amount || x.names.n_exclude != y.names.n_exclude)
		return false;
	for (size_t i = 0; i < x.names.n_exclude; i++)
		if (strcmp(x.names.exclude[i], y.names.exclude[i]) != 0)
			return false;
	return true;
}

/* All variants of a sweep run on one net. */
static enum pare_code common_step(struct job_run *r, const struct pare_args **out, struct pare_err *err)
{
	*out = NULL;
	for (int i = job_n_variants(r); i-- > 0;) {
		const struct pare_args *before = *out;

		job_take_variant(r, i);
		*out = factorize_step(r);
		if (i + 1 < job_n_variants(r) && !same(before, *out))
			return pare_err_set(err, PARE_E_INVALID, "/sweep", "variants of a sweep share one model: they factorize it alike or not at all; make a job for each");
	}
	return PARE_OK;
}

enum pare_code job_check_factorize(const struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	const struct pare_graph *g = &r->model->graph;
	struct pare_factorize_options o;
	char label[LABEL_MAX];

	if (r->n_side > 0)
		return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "the model keeps weights in files beside it; store it as one file");
	for (int32_t i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_attrs; k++)
			if (g->nodes[i].attrs[k].type == PARE_ATTR_GRAPH) {
				pare_node_label(g, i, label, sizeof label);
				return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "node \"%s\" holds a graph of its own, which may read the weights", label);
			}
	options(args, &o);
	return pare_factorize_check(r->model, &o, err);
}

/* How often each layer multiplies, from a net that is made for this alone. */
static enum pare_code count_positions(const struct pare_model *m, struct pare_factor *layers, int n, struct pare_err *err)
{
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	struct pare_net *net = NULL;
	enum pare_code code = pare_net_new(m, &opt, &net, err);

	for (int i = 0; i < n && code == PARE_OK; i++)
		layers[i].positions = (double)pare_net_node_macs(net, layers[i].node) / ((double)layers[i].rows * (double)layers[i].cols);
	pare_net_free(net);
	return code;
}

/* Of factored.source, into factored.file; r->model, which is none, is what was read back. */
static enum pare_code rewrite(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	struct job_factored *f = &r->factored;
	struct pare_factorize_options o;
	struct pare_rewrite rw;
	enum pare_code code;

	options(args, &o);
	memset(&rw, 0, sizeof rw);
	pare_buf_init(&f->file, 2 * f->source->file.len + ((size_t)16 << 20));
	code = pare_factorize_find(f->source, &o, &f->layers, &f->n, err);
	if (code == PARE_OK && o.global && o.by_macs)
		code = count_positions(f->source, f->layers, f->n, err);
	if (code == PARE_OK)
		code = pare_factorize(f->source, &o, f->layers, f->n, &rw, err);
	if (code == PARE_OK)
		code = pare_onnx_rewrite(f->source, &rw, &f->file, err);
	pare_rewrite_done(&rw);
	return code == PARE_OK ? job_read_model(r, &f->file, &r->model, err) : code;
}

enum pare_code job_factorize_model(struct job_run *r, struct pare_err *err)
{
	const struct pare_args *args;
	enum pare_code code = common_step(r, &args, err);

	if (code != PARE_OK || args == NULL)
		return code;
	code = job_check_factorize(r, args, err);
	if (code == PARE_OK) {
		r->factored.source = r->model;
		r->model = NULL;
		code = rewrite(r, args, err);
	}
	return code == PARE_OK || code == PARE_E_CANCELED ? code : pare_err_at(err, "/recipe/steps/0/factorize");
}

/* --- between two steps */

static const struct pare_args *later_step(const struct job_run *r, size_t *out_at)
{
	for (size_t i = 1; i < pare_job_n_steps(r->job); i++)
		if (strcmp(pare_job_step(r->job, i)->method->name, "factorize") == 0) {
			*out_at = i;
			return pare_job_step(r->job, i);
		}
	return NULL;
}

/* The model as it was trained, without what was cut, in a file and a reading of its own: r->shrunk. */
static enum pare_code write_trained(struct job_run *r, struct pare_err *err)
{
	struct job_shrunk *s = &r->shrunk;
	enum pare_code code = pare_net_settle(r->net, r->model, err);

	if (code != PARE_OK || r->cut.any)
		return code == PARE_OK ? job_shrink(r, PARE_SPLIT_TRAIN, err) : code;
	pare_buf_init(&s->file, 2 * r->model->file.len + ((size_t)16 << 20));
	code = pare_onnx_write(r->model, &s->file, err);
	return code == PARE_OK ? job_read_model(r, &s->file, &s->model, err) : code;
}

/* All that has to outlive the net: it goes on as f's. */
static enum pare_code keep_net(struct job_run *r, struct pare_err *err)
{
	float **dense = r->folds > 0 ? &r->fold_dense : &r->dense;
	size_t len = pare_net_slab_len(r->net), n_slices = r->cut.gone != NULL && r->cut.any ? r->cut.slices.n : 0;
	float *trained = pare_alloc(len * sizeof *trained);
	uint8_t *gone = n_slices > 0 ? pare_alloc(n_slices) : NULL;

	if (trained == NULL || (n_slices > 0 && gone == NULL)) {
		pare_free(trained);
		pare_free(gone);
		return pare_err_nomem(err, len * sizeof *trained);
	}
	memcpy(trained, pare_net_slab(r->net), len * sizeof *trained);
	if (gone != NULL)
		memcpy(gone, r->cut.gone, n_slices);
	r->factored = (struct job_factored){.source = r->shrunk.model, .shrunk = r->shrunk, .uploaded = r->model, .input = r->input, .trained = trained, .len = len, .gone = gone,
	    .n_slices = n_slices, .n_params = r->n_params, .n_nonzero_params = r->n_nonzero_params};
	r->factored.shrunk.model = NULL;
	memset(&r->shrunk, 0, sizeof r->shrunk);
	r->input = NULL;
	r->model = NULL;
	if (r->folds > 0 ? r->has_fold_dense : r->has_dense) {
		r->factored.dense = *dense;
		*dense = NULL;
	}
	return PARE_OK;
}

enum pare_code job_factorize_again(struct job_run *r, struct pare_err *err)
{
	size_t at;
	const struct pare_args *args = later_step(r, &at);
	struct pare_model_counts counts;
	enum pare_code code = write_trained(r, err);

	pare_net_free(r->shrunk.net);
	r->shrunk.net = NULL;
	if (code == PARE_OK)
		code = keep_net(r, err);
	if (code != PARE_OK) {
		job_shrunk_done(&r->shrunk);
		memset(&r->shrunk, 0, sizeof r->shrunk);
		return code;
	}
	code = rewrite(r, args, err);
	if (code == PARE_OK)
		code = pare_model_count(r->model, &counts, err);
	if (code != PARE_OK)
		return code;
	r->n_params = counts.n_params;
	r->n_nonzero_params = counts.n_nonzero;
	return job_take_model(r, err);
}

bool job_factorized_later(const struct job_run *r, size_t step)
{
	size_t at;

	return later_step(r, &at) != NULL && at < step;
}

enum pare_code job_factorize(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	enum pare_code code = args != pare_job_step(r->job, 0) ? job_factorize_again(r, err) : PARE_OK;

	return code == PARE_OK ? job_evaluate_now(r, err) : code;
}

enum pare_code job_unfactorize(struct job_run *r, struct pare_err *err)
{
	struct job_factored *f = &r->factored;
	float *input = f->input;
	enum pare_code code;

	if (f->uploaded == NULL)
		return PARE_OK;
	pare_net_free(r->net);
	r->net = NULL;
	pare_model_free(r->model);
	r->model = f->uploaded;
	r->n_params = f->n_params;
	r->n_nonzero_params = f->n_nonzero_params;
	f->uploaded = NULL;
	f->input = NULL;
	job_factored_done(f);
	memset(f, 0, sizeof *f);
	code = job_take_model(r, err);
	if (code == PARE_OK) {
		memcpy(pare_net_slab(r->net), input, pare_net_slab_len(r->net) * sizeof *input);
		memcpy(r->input, input, pare_net_slab_len(r->net) * sizeof *input);
	}
	pare_free(input);
	return code;
}

/* --- what was there before */

struct pare_model *job_factored_model(const struct job_factored *f)
{
	return f->uploaded != NULL ? f->uploaded : f->source;
}

const float *job_factored_slab(const struct job_factored *f, bool dense)
{
	return !dense ? f->input : f->dense != NULL ? f->dense : f->trained;
}

static enum pare_code judge_source(struct job_run *r, bool dense, struct job_verdict *v, struct pare_err *err)
{
	const float *slab = job_factored_slab(&r->factored, dense);

	if (slab != NULL)
		memcpy(pare_net_slab(r->factored.net), slab, r->factored.len * sizeof *slab);
	return job_judge_net(r, r->factored.net, v, err);
}

enum pare_code job_judge_source(struct job_run *r, struct pare_err *err)
{
	struct pare_net_options opt = {.n_threads = r->threads, .max_batch = r->max_batch, .training = true, .seed = r->seed};
	struct job_factored *f = &r->factored;
	enum pare_code code = pare_net_new(job_factored_model(f), &opt, &f->net, err);

	if (code == PARE_OK)
		code = judge_source(r, true, &r->verdict_dense, err);
	if (code == PARE_OK)
		code = judge_source(r, false, &r->verdict_input, err);
	pare_net_free(f->net);
	f->net = NULL;
	return code;
}

void job_factored_done(struct job_factored *f)
{
	pare_net_free(f->net);
	pare_model_free(f->source);
	pare_model_free(f->uploaded);
	pare_free(f->layers);
	pare_free(f->input);
	pare_free(f->dense);
	pare_free(f->trained);
	pare_free(f->gone);
	pare_buf_done(&f->file);
	job_shrunk_done(&f->shrunk);
}

/* --- the report */

/* Multiplications for one row, of the chain of factors; the last one, which kept the node, says at how many positions the layer stands. */
static void layer_macs(const struct job_run *r, const struct pare_factor *l, int64_t *before, int64_t *after)
{
	const struct pare_graph *was = &r->factored.source->graph, *g = &r->model->graph;
	int32_t v = pare_graph_find_value(g, was->values[was->nodes[l->node].out[0]].name);
	int64_t one = l->rank > 0 ? l->rank * (l->conv || l->transposed ? l->rows : l->cols) : l->rows * l->cols;
	int n = l->rank == 0 ? 1 : l->inputs == 0 ? 2 : 3;

	*before = *after = 0;
	for (int i = 0; i < n && v >= 0 && g->values[v].producer >= 0; i++) {
		int64_t macs = pare_net_node_macs(r->net, g->values[v].producer);

		if (i == 0)
			*before = macs / one * l->rows * l->cols;
		*after += macs;
		v = g->nodes[g->values[v].producer].in[0];
	}
}

static void write_rank(struct pare_buf *b, const char *key, int64_t rank)
{
	pare_json_key(b, key);
	if (rank > 0)
		pare_json_int(b, rank);
	else
		pare_buf_str(b, "null");
}

void job_write_factors(const struct job_run *r, struct pare_buf *b)
{
	const struct job_factored *f = &r->factored;

	if (f->source == NULL)
		return;
	pare_json_key(b, "factors");
	pare_buf_str(b, "[");
	for (int i = 0; i < f->n; i++) {
		const struct pare_factor *l = &f->layers[i];
		int64_t before, after;

		layer_macs(r, l, &before, &after);
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "name", f->source->graph.values[l->weight].name);
		pare_json_key_int(b, "rows", l->rows);
		pare_json_key_int(b, "columns", l->cols);
		write_rank(b, "rank", l->rank);
		write_rank(b, "rank_inputs", l->inputs);
		pare_json_key_num(b, "energy", l->energy);
		pare_json_key_int(b, "macs", before);
		pare_json_key_int(b, "macs_final", after);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
}

#define MAX_ROWS 64

void job_factors_document(const struct job_run *r, struct job_doc *d)
{
	static const char *const columns[] = {"weight", "matrix", "rank", "energy kept", "multiplications", "as factors"};
	const struct job_factored *f = &r->factored;

	if (f->source == NULL)
		return;
	job_doc_heading(d, "Factors");
	job_doc_table(d);
	for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
		job_doc_column(d, i > 0, "%s", columns[i]);
	for (int i = 0; i < f->n && i < MAX_ROWS; i++) {
		const struct pare_factor *l = &f->layers[i];
		int64_t before, after;

		layer_macs(r, l, &before, &after);
		job_doc_cell(d, "%.60s", f->source->graph.values[l->weight].name);
		job_doc_cell(d, "%lld x %lld", (long long)l->rows, (long long)l->cols);
		if (l->inputs > 0)
			job_doc_cell(d, "%lld of %lld", (long long)l->rank, (long long)l->inputs);
		else if (l->rank > 0)
			job_doc_cell(d, "%lld", (long long)l->rank);
		else
			job_doc_cell(d, "whole");
		job_doc_cell(d, "%.2f %%", 100 * l->energy);
		job_doc_cell(d, "%lld", (long long)before);
		job_doc_cell(d, "%lld", (long long)after);
	}
	job_doc_table_end(d);
	if (f->n > MAX_ROWS)
		job_doc_text(d, "%d more layers stand in report.json.", f->n - MAX_ROWS);
}
