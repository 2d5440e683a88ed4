/* Runs a split through a net. Rows go in chunks of about a million numbers: every thread fills its part of the chunk's
 * inputs, the net infers (its shards in parallel), and the metrics take the outputs in row order. A chunk is the only
 * memory this needs, so a test set of any size is evaluated in a few megabytes. */
#include "core/eval/eval.h"

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/eval/eval_priv.h"

#define CHUNK_ELEMS ((size_t)1 << 20)
#define CHUNK_ROWS ((size_t)4096)

struct judged_output {
	struct eval_sums sums;
	size_t row_elems;
	float *out, *targets;
	int32_t *classes;
};

struct run {
	struct pare_net *net;
	const struct pare_dataset *d;
	const struct pare_fit *fit;
	const uint32_t *rows; /* of the chunk */
	uint32_t *picked;     /* some of the split's, or NULL */
	size_t n, chunk, n_threads;
	float *x[PARE_DATA_FIELDS];
	size_t x_elems[PARE_DATA_FIELDS]; /* of a row */
	float **outs; /* by output of the net; NULL where nothing is held against it */
	struct judged_output judged[PARE_DATA_FIELDS];
};

static void fill_part(void *ctx, int t)
{
	struct run *r = ctx;
	size_t first = r->n * (size_t)t / r->n_threads, end = r->n * ((size_t)t + 1) / r->n_threads;

	for (int i = 0; i < r->fit->n_inputs; i++)
		pare_data_fill(r->d, r->fit->inputs[i].x, r->rows + first, end - first, r->x[i] + first * r->x_elems[i]);
}

static enum pare_code run_chunk(struct run *r, struct pare_err *err)
{
	enum pare_code rc;

	pare_net_parallel(r->net, fill_part, r);
	rc = pare_net_infer_all(r->net, (const float *const *)r->x, (int64_t)r->n, r->outs, err);
	for (int i = 0; i < r->fit->n_outputs && rc == PARE_OK; i++) {
		struct judged_output *j = &r->judged[i];

		if (j->classes != NULL)
			pare_data_classes(r->d, r->fit->outputs[i].y, r->rows, r->n, j->classes);
		else
			pare_data_targets(r->d, r->fit->outputs[i].y, r->rows, r->n, j->targets);
		eval_sums_add(&j->sums, j->out, (int64_t)r->n, j->classes, j->targets);
	}
	return rc;
}

static enum pare_code alloc_output(struct run *r, int i, uint32_t n_rows, struct pare_err *err)
{
	const struct pare_fit_output *o = &r->fit->outputs[i];
	struct judged_output *j = &r->judged[i];
	enum pare_code rc = eval_sums_init(&j->sums, o, n_rows, err);

	if (rc != PARE_OK)
		return rc;
	j->out = pare_calloc(r->chunk, j->row_elems * sizeof *j->out);
	if (pare_fit_by_class(o))
		j->classes = pare_calloc(r->chunk, (size_t)o->positions * sizeof *j->classes);
	else
		j->targets = pare_calloc(r->chunk, j->row_elems * sizeof *j->targets);
	r->outs[o->output] = j->out;
	return j->out != NULL && (j->classes != NULL || j->targets != NULL) ? PARE_OK : pare_err_nomem(err, r->chunk * j->row_elems * sizeof *j->out);
}

/* Rows of a chunk, by the widest of inputs and outputs. */
static void measure(struct run *r, uint32_t n_rows)
{
	size_t widest = 1;

	for (int i = 0; i < r->fit->n_inputs; i++) {
		r->x_elems[i] = pare_data_info(r->d)->x[r->fit->inputs[i].x].row_elems;
		widest = r->x_elems[i] > widest ? r->x_elems[i] : widest;
	}
	for (int i = 0; i < r->fit->n_outputs; i++) {
		r->judged[i].row_elems = (size_t)(r->fit->outputs[i].width * r->fit->outputs[i].positions);
		widest = r->judged[i].row_elems > widest ? r->judged[i].row_elems : widest;
	}
	r->chunk = CHUNK_ELEMS / widest;
	r->chunk = r->chunk < r->n_threads ? r->n_threads : r->chunk > CHUNK_ROWS ? CHUNK_ROWS : r->chunk;
	r->chunk = r->chunk > n_rows ? n_rows : r->chunk;
}

static enum pare_code run_alloc(struct run *r, uint32_t n_rows, struct pare_err *err)
{
	enum pare_code rc = PARE_OK;

	r->outs = pare_calloc((size_t)pare_net_n_outputs(r->net) + 1, sizeof *r->outs);
	if (r->outs == NULL)
		return pare_err_nomem(err, 0);
	for (int i = 0; i < r->fit->n_inputs; i++) {
		r->x[i] = pare_alloc_aligned(r->chunk * r->x_elems[i] * sizeof *r->x[i]); /* as what is lent to a net must be */
		if (r->x[i] == NULL)
			return pare_err_nomem(err, r->chunk * r->x_elems[i] * sizeof *r->x[i]);
	}
	for (int i = 0; i < r->fit->n_outputs && rc == PARE_OK; i++)
		rc = alloc_output(r, i, n_rows, err);
	return rc;
}

/* The rows to look at. */
static enum pare_code pick_rows(struct run *r, enum pare_split split, const uint32_t **out_rows, uint32_t *out_n, struct pare_err *err)
{
	uint32_t n, most = r->fit->most_rows;
	const uint32_t *rows = pare_data_rows(r->d, split, &n);

	*out_rows = rows;
	*out_n = n;
	if (most == 0 || n <= most)
		return PARE_OK;
	r->picked = pare_calloc(most, sizeof *r->picked);
	if (r->picked == NULL)
		return pare_err_nomem(err, most * sizeof *r->picked);
	for (uint32_t i = 0; i < most; i++)
		r->picked[i] = rows[(uint64_t)i * n / most];
	*out_rows = r->picked;
	*out_n = most;
	return PARE_OK;
}

static void run_done(struct run *r)
{
	for (int i = 0; i < r->fit->n_inputs; i++)
		pare_free(r->x[i]);
	for (int i = 0; i < r->fit->n_outputs; i++) {
		eval_sums_done(&r->judged[i].sums);
		pare_free(r->judged[i].out);
		pare_free(r->judged[i].targets);
		pare_free(r->judged[i].classes);
	}
	pare_free(r->outs);
	pare_free(r->picked);
	pare_free(r);
}

static enum pare_code finish(struct run *r, struct pare_metrics *out, struct pare_err *err)
{
	int n_others = r->fit->n_outputs - 1;
	struct pare_metrics *others = NULL;
	double loss = 0;

	if (n_others > 0) {
		others = pare_calloc((size_t)n_others, sizeof *others);
		if (others == NULL)
			return pare_err_nomem(err, 0);
	}
	for (int i = 0; i <= n_others; i++) {
		struct pare_metrics *m = i == 0 ? out : &others[i - 1];

		eval_sums_finish(&r->judged[i].sums, m);
		loss += r->fit->outputs[i].weight * m->own_loss;
	}
	out->loss = loss;
	out->n_others = n_others;
	out->others = others;
	return PARE_OK;
}

enum pare_code pare_eval(struct pare_net *net, const struct pare_dataset *d, enum pare_split split, const struct pare_fit *fit,
    struct pare_metrics *out, struct pare_err *err)
{
	struct pare_fit plain;
	struct run *r;
	const uint32_t *rows = NULL;
	enum pare_code rc = PARE_OK;
	uint32_t n = 0;

	if (fit == NULL) {
		rc = pare_fit_make(net, d, NULL, &plain, err);
		fit = &plain;
	}
	if (rc != PARE_OK)
		return rc;
	if (fit->n_outputs == 0)
		return pare_err_set(err, PARE_E_DATASET, NULL, "the data set has no labels to judge the model by");
	r = pare_calloc(1, sizeof *r);
	if (r == NULL)
		return pare_err_nomem(err, sizeof *r);
	*r = (struct run){.net = net, .d = d, .fit = fit, .n_threads = (size_t)pare_net_n_shards(net)};
	rc = pick_rows(r, split, &rows, &n, err);
	measure(r, n);
	if (rc == PARE_OK)
		rc = run_alloc(r, n, err);
	for (uint32_t at = 0; at < n && rc == PARE_OK; at += (uint32_t)r->n) {
		r->rows = rows + at;
		r->n = n - at < r->chunk ? n - at : r->chunk;
		if (fit->cancel != NULL && atomic_load_explicit(fit->cancel, memory_order_relaxed))
			rc = pare_err_set(err, PARE_E_CANCELED, NULL, "the evaluation was stopped");
		else
			rc = run_chunk(r, err);
	}
	if (rc == PARE_OK)
		rc = finish(r, out, err);
	run_done(r);
	return rc;
}
