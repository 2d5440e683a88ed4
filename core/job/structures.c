/* Structured pruning in a job: rounds that mask units of channels or heads, and, when all steps are through or the model is factorized, the graph without
 * them.
 *
 * Until then everything runs on the full graph under a mask, so that recovery, folds and further steps need to know nothing of
 * it. The shrunk graph is written, read back like any upload, planned, and run beside the masked one on real rows; only if both agree are
 * its figures taken and its file handed out. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/graph/net_view.h"
#include "core/job/job_priv.h"
#include "core/onnx/onnx.h"
#include "core/prune/shrink.h"
#include "core/train/ablate.h"
#include "core/train/activations.h"

#define PROOF_ROWS 4096
#define PROOF_BATCH 64
#define PROOF_TOLERANCE 1e-4 /* of the largest output, or of 1 if that is more */

bool job_is_structural(const struct pare_args *prune)
{
	const char *g = pare_args_str(prune, "granularity");

	return strcmp(g, "channel") == 0 || strcmp(g, "head") == 0 || strcmp(g, "layer") == 0;
}

const char *const job_granularity_names[] = {[PARE_GRANULARITY_CHANNEL] = "channel", [PARE_GRANULARITY_HEAD] = "head", [PARE_GRANULARITY_LAYER] = "layer"};

static enum pare_granularity granularity_of(const struct pare_args *prune)
{
	const char *name = pare_args_str(prune, "granularity");

	for (int i = 0; i < PARE_N_GRANULARITIES; i++)
		if (strcmp(job_granularity_names[i], name) == 0)
			return (enum pare_granularity)i;
	return PARE_GRANULARITY_CHANNEL;
}

static void options(const struct job_run *r, const struct pare_args *args, const struct pare_prune_options *o, struct pare_structure_options *out,
    struct pare_structure_ratio *ratios)
{
	const struct pare_arg *exclude = pare_args_get(args, "exclude"), *list = strcmp(args->method->name, "prune") == 0 ? pare_args_get(args, "ratios") : NULL;
	const struct pare_args *criterion = pare_args_obj(args, "criterion");
	const char *scope = pare_args_str(args, "scope"), *per = pare_args_str(args, "per");

	*out = (struct pare_structure_options){
	    .criterion = pare_structure_criterion_find(criterion->method->name),
	    .scope = strcmp(scope, "layer") == 0 ? PARE_STRUCTURE_LAYER : strcmp(scope, "isomorphic") == 0 ? PARE_STRUCTURE_ISOMORPHIC : PARE_STRUCTURE_GLOBAL,
	    .per = strcmp(per, "weights") == 0 ? PARE_PER_WEIGHTS : strcmp(per, "macs") == 0 ? PARE_PER_MACS : PARE_PER_STRUCTURE,
	    .exclude = exclude->strings,
	    .n_exclude = exclude->n,
	    .min_width = pare_args_has(args, "min_width") ? pare_args_int(args, "min_width") : 1,
	    .round_to = pare_args_has(args, "round_to") ? pare_args_int(args, "round_to") : 1,
	};
	(void)r;
	out->centered = job_num_or(criterion, "centered", 0) > 0;
	out->weighted = job_num_or(criterion, "weighted", 0) > 0;
	if (o == NULL)
		return;
	out->weights = o->criterion;
	out->stat = o->stat;
	out->by_threshold = o->by_threshold;
	out->sparsity = o->sparsity;
	out->threshold = o->threshold;
	out->seed = o->seed;
	for (size_t i = 0; list != NULL && i < list->n; i++) {
		double end = pare_args_has(args, "sparsity") ? pare_args_num(args, "sparsity") : 1, share = pare_args_num(list->list[i], "sparsity");

		/* rounds approach a layer's own ratio as they approach the common one */
		ratios[out->n_ratios++] = (struct pare_structure_ratio){pare_args_str(list->list[i], "layer"), end > 0 ? share * fmin(1, o->sparsity / end) : share};
	}
	out->ratios = ratios;
}

static enum pare_code structures(struct job_run *r, const struct pare_args *args, struct pare_structures **out, struct pare_err *err)
{
	struct pare_structures **at = &r->structures[granularity_of(args)];
	enum pare_code code = PARE_OK;

	if (*at == NULL)
		code = pare_structures_new(r->net, granularity_of(args), job_cancel_flag(), at, err);
	*out = *at;
	return code;
}

double job_structures_share(const struct job_run *r, const struct pare_args *args, int64_t *out_units)
{
	struct pare_structure_options o;
	struct pare_structure_count n;

	options(r, args, NULL, &o, NULL);
	pare_structures_count(r->net, r->structures[granularity_of(args)], &o, &r->cut, &n);
	*out_units = n.n_units;
	return n.n_units > 0 ? (double)n.n_gone / (double)n.n_units : 0;
}

enum pare_code job_check_structures(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	struct pare_structures *g;
	struct pare_structure_options o;
	struct pare_structure_count n;
	enum pare_code code = pare_shrink_check(r->model, err);

	if (code == PARE_OK)
		code = structures(r, args, &g, err);
	if (code == PARE_OK && r->cut.gone == NULL)
		code = pare_cut_init(&r->cut, r->net, err);
	if (code != PARE_OK)
		return code;
	options(r, args, NULL, &o, NULL);
	pare_structures_count(r->net, g, &o, &r->cut, &n);
	if (n.n_units > 0)
		return PARE_OK;
	return pare_err_set(err, PARE_E_INVALID, NULL, "the model has no %ss to remove: %s", job_granularity_names[granularity_of(args)],
	    g->n_units > 0 ? "all are excluded" : g->whole ? "no branch of a sum or a concatenation could be left out" : g->n_pinned > 0 ? g->pinned[0].why : "no weights are coupled to others");
}

/* What the criterion wants to know of the data. */
static enum pare_code look_at_structures(struct job_run *r, const struct pare_args *criterion, const struct pare_structures *g, struct pare_structure_options *o,
    struct pare_activation_stats *seen, double **ablation, struct pare_err *err)
{
	struct pare_observe_options look = {.fit = &r->fit, .seed = r->seed, .stage = (int)(r->step << 12) + r->round, .cancel = job_cancel_flag(),
	    .batch_size = job_batch(r, JOB_CALIBRATION_BATCH), .bins = (int)job_num_or(criterion, "bins", 2), .n_rows = (uint32_t)fmin(pare_args_num(criterion, "rows"), UINT32_MAX)};

	if (o->criterion->stat != PARE_STRUCTURE_STAT_ABLATION) {
		o->activations = seen;
		return pare_activations(r->net, g, r->data, &look, o->criterion->stat, seen, err);
	}
	*ablation = pare_calloc((size_t)g->n_units + 1, sizeof **ablation);
	if (*ablation == NULL)
		return pare_err_nomem(err, (size_t)g->n_units * sizeof **ablation);
	o->ablation = *ablation;
	return pare_ablate(r->net, g, &r->cut, r->data, &look, *ablation, err);
}

enum pare_code job_structures_round(struct job_run *r, const struct pare_args *args, const struct pare_prune_options *round, struct pare_err *err)
{
	struct pare_structure_ratio ratios[JOB_MAX_RATIOS];
	struct pare_structure_options o;
	struct pare_structure_count n;
	struct pare_activation_stats seen = {.sum = NULL};
	double *ablation = NULL;
	struct pare_structures *g;
	enum pare_code code = structures(r, args, &g, err);

	options(r, args, round, &o, ratios);
	if (code == PARE_OK && o.criterion != NULL && o.criterion->stat != PARE_STRUCTURE_STAT_NONE)
		code = look_at_structures(r, pare_args_obj(args, "criterion"), g, &o, &seen, &ablation, err);
	if (code == PARE_OK)
		code = pare_prune_structures(r->net, g, &o, &r->cut, &r->mask, &n, err);
	pare_activations_done(&seen);
	pare_free(ablation);
	return code;
}

/* --- the graph without them */

static enum pare_code write_shrunk(struct job_run *r, struct pare_err *err)
{
	struct pare_rewrite rw;
	size_t cap;
	enum pare_code code = pare_net_store(r->net, r->model, err);

	if (!job_written_cap(r, &cap))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the model is too large");
	pare_buf_init(&r->shrunk.file, cap);
	if (code == PARE_OK)
		code = pare_shrink(r->net, r->model, &r->cut, job_cancel_flag(), &rw, err);
	if (code != PARE_OK)
		return code;
	code = pare_onnx_rewrite(r->model, &rw, &r->shrunk.file, err);
	pare_rewrite_done(&rw);
	return code == PARE_OK ? job_stamp(r, &r->shrunk.file, err) : code;
}

size_t job_output_len(const struct pare_net *net, int i, int64_t rows)
{
	int64_t dims[PARE_MAX_DIMS];
	int n_dims;
	size_t n = pare_net_output_shape(net, i, &n_dims, dims);

	for (int k = 0; k < n_dims; k++)
		if (dims[k] == PARE_DIM_UNKNOWN)
			return n * (size_t)rows;
	return n;
}

void job_forward(struct job_run *r, struct pare_net *net, const uint32_t *rows, uint32_t n)
{
	for (int i = 0; i < r->fit.n_inputs; i++)
		pare_data_fill(r->data, r->fit.inputs[i].x, rows, n, pare_net_shard_input(net, 0, i));
	pare_net_shard_forward(net, 0, n, PARE_MODE_INFER, 0, 0);
}

static void compare(struct job_run *r, const float *masked, const float *shrunk, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double d = fabs((double)masked[i] - (double)shrunk[i]);

		r->shrunk.scale = fmax(r->shrunk.scale, fabs((double)masked[i]));
		r->shrunk.difference = isnan(d) ? INFINITY : fmax(r->shrunk.difference, d);
	}
}

static enum pare_code prove(struct job_run *r, enum pare_split split, struct pare_err *err)
{
	struct job_shrunk *s = &r->shrunk;
	int64_t first, batch;
	uint32_t n_rows;
	const uint32_t *rows = pare_data_rows(r->data, split, &n_rows);

	pare_net_shard_rows(r->net, job_batch(r, PROOF_BATCH), 0, &first, &batch);
	n_rows = n_rows < PROOF_ROWS ? n_rows : PROOF_ROWS;
	s->tolerance = PROOF_TOLERANCE;
	for (uint32_t at = 0; at < n_rows; at += (uint32_t)batch) {
		uint32_t n = n_rows - at < (uint32_t)batch ? n_rows - at : (uint32_t)batch;

		job_forward(r, r->net, rows + at, n);
		job_forward(r, s->net, rows + at, n);
		for (int i = 0; i < pare_net_n_outputs(r->net); i++) {
			if (job_output_len(r->net, i, n) != job_output_len(s->net, i, n))
				return pare_err_set(err, PARE_E_PROOF, NULL, "output %d of the shrunk model has another shape than that of the masked one", i);
			compare(r, pare_net_shard_output(r->net, 0, i), pare_net_shard_output(s->net, 0, i), job_output_len(r->net, i, n));
		}
		s->rows += n;
	}
	s->tolerance *= fmax(1, s->scale);
	if (s->difference <= s->tolerance)
		return PARE_OK;
	return pare_err_set(err, PARE_E_PROOF, NULL, "on %lld rows of data the shrunk model differs from the masked one by %g, more than %g", (long long)s->rows,
	    s->difference, s->tolerance);
}

enum pare_code job_shrink(struct job_run *r, enum pare_split rows, struct pare_err *err)
{
	struct pare_net_options opt = {.n_threads = r->threads, .max_batch = r->max_batch, .training = true, .seed = r->seed};
	struct job_shrunk *s = &r->shrunk;
	enum pare_code code;

	if (!r->cut.any)
		return PARE_OK;
	code = write_shrunk(r, err);
	if (code == PARE_OK)
		code = job_read_model(r, &s->file, &s->model, err);
	if (code == PARE_OK)
		code = pare_net_new(s->model, &opt, &s->net, err);
	if (code == PARE_OK)
		code = prove(r, rows, err);
	if (code == PARE_OK)
		code = job_outline_new(r, &s->outline, err);
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "shrinking");
}

void job_shrunk_done(struct job_shrunk *s)
{
	pare_net_free(s->net);
	pare_model_free(s->model);
	pare_buf_done(&s->file);
	job_outline_done(&s->outline);
}

void job_structures_done(struct job_run *r)
{
	for (size_t i = 0; i < sizeof r->structures / sizeof r->structures[0]; i++)
		pare_structures_free(r->structures[i]);
	pare_cut_done(&r->cut);
	job_shrunk_done(&r->shrunk);
}
