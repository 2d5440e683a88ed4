/* What a job would do, before it is queued: what of the model can be pruned and what is pinned and why, how much each layer alone
 * minds, what size the prune steps come to, and how long the job takes on this machine.
 *
 * The job is prepared like one that runs, so whatever is refused there is refused here. Nothing is trained. Sizes are those of the steps' amounts
 * on the present weights; a threshold on weights that training is yet to move can only be told of as they are now, and so can ranks that follow from
 * energy. What a search would find only the search can say. Time is that of gradients of a few batches, times the work that progress is counted in; it is an estimate of
 * minutes, not of seconds. Sensitivities look at as many validation rows as fit a budget of time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/search_priv.h"
#include "core/recipe/json_text.h"
#include "core/train/observe.h"

#define SENSITIVITY_NS 4e9
#define LEAST_ROWS 32
#define MOST_ROWS 1024
#define TIME_NS INT64_C(300000000)
/* Of lists, together less than a message has. */
#define LAYERS_BYTES ((size_t)5 << 19)
#define OUTLINE_BYTES ((size_t)1 << 19)

/* The step that says how weights are scored: the first that removes some. */
static const struct pare_args *removing_step(const struct job_run *r)
{
	for (size_t i = 0; i < pare_job_n_steps(r->job); i++) {
		const struct pare_args *s = pare_job_step(r->job, i);
		bool removes = strcmp(s->method->name, "prune") == 0 || strcmp(s->method->name, "search") == 0;

		if (removes && !job_is_structural(s))
			return s;
	}
	return NULL;
}

static enum pare_code choose_rows(struct job_run *r, struct job_search *s, struct pare_err *err)
{
	double loss, evaluations = 8.0 * pare_net_n_params(r->net), rows;
	int64_t start;
	enum pare_code code;

	s->quick_rows = LEAST_ROWS;
	code = job_quick_loss(r, s, &loss, err); /* the first run touches memory for the first time */
	start = pare_job_env.tick_ns(NULL);
	if (code == PARE_OK)
		code = job_quick_loss(r, s, &loss, err);
	rows = LEAST_ROWS * SENSITIVITY_NS / ((double)(pare_job_env.tick_ns(NULL) - start + 1) * evaluations);
	s->quick_rows = (uint32_t)fmin(fmax(rows, LEAST_ROWS), MOST_ROWS);
	return code;
}

/* Curves into *out; it stays without layers when there is nothing to measure by. */
static enum pare_code find_sensitivities(struct job_run *r, struct job_search *s, struct pare_err *err)
{
	const struct pare_args *step = removing_step(r);
	struct pare_prune_options o = {.criterion = pare_criterion_find("magnitude")};
	struct job_state base;
	enum pare_code code = PARE_OK;

	if (r->fit.n_outputs == 0 || job_n_rows(r, PARE_SPLIT_VALIDATION) == 0)
		return PARE_OK;
	if (step != NULL) {
		code = job_prune_options(step, &o, err);
		s->criterion = pare_args_obj(step, "criterion");
	}
	if (code == PARE_OK && o.criterion != NULL && o.criterion->stat == PARE_STAT_MOVED)
		return PARE_OK; /* nothing has been trained yet */
	if (code == PARE_OK)
		code = choose_rows(r, s, err);
	if (code == PARE_OK)
		code = job_state_save(r, &base, err);
	if (code != PARE_OK)
		return code;
	code = job_sensitivity(r, s, &o, &base, err);
	job_state_done(&base);
	return code;
}

/* --- layers */

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* The curve of a tensor, if it was measured; NULL. */
static const struct pare_curve *measured(const struct job_search *s, int param)
{
	const int *layer = s->n_layers > 0 ? bsearch(&param, s->layers, (size_t)s->n_layers, sizeof *s->layers, by_number) : NULL;

	return layer != NULL && (layer - s->layers) % s->stride == 0 ? &s->curves[layer - s->layers] : NULL;
}

static void write_layer(const struct job_run *r, const struct job_search *s, struct pare_buf *b, int i)
{
	const struct pare_param_info *p = pare_net_param(r->net, i);
	const struct pare_curve *curve;

	pare_buf_str(b, "{");
	pare_json_key_str(b, "name", p->name);
	pare_json_key_raw(b, "shape", "[");
	for (int d = 0; d < p->n_dims; d++) {
		pare_json_sep(b);
		pare_json_int(b, p->dims[d]);
	}
	pare_buf_str(b, "]");
	pare_json_key_int(b, "weights", (int64_t)p->n_elems);
	pare_json_key_int(b, "nonzero", job_count_nonzero(r->input + p->offset, p->n_elems));
	pare_json_key_int(b, "macs", p->prunable ? pare_net_node_macs(r->net, p->node) : 0);
	pare_json_key_bool(b, "prunable", p->prunable);
	if (!p->prunable)
		pare_json_key_str(b, "why", p->buffer ? "running statistics" : "not multiplied with activations: a bias, a scale or the like");
	curve = measured(s, i);
	if (curve != NULL) {
		pare_json_key_raw(b, "sensitivity", "{");
		job_write_curve(b, curve);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "}");
}

/* Where there are too many, what can be pruned comes first. */
static void write_layers(const struct job_run *r, const struct job_search *s, struct pare_buf *b, struct job_list *list)
{
	int n = pare_net_n_params(r->net);

	job_list_begin(list, b, "layers", LAYERS_BYTES);
	for (int i = 0; i < n; i++) {
		write_layer(r, s, job_list_entry(list), i);
		job_list_add(list);
	}
	if (job_list_again(list))
		for (int i = 0; i < 2 * n; i++) {
			if (pare_net_param(r->net, i % n)->prunable != (i < n))
				continue;
			write_layer(r, s, job_list_entry(list), i % n);
			job_list_add(list);
		}
	job_list_end(list);
}

/* --- structures */

static enum pare_code find_structures(struct job_run *r, struct pare_err *err)
{
	struct pare_err why;

	if (r->cut.gone == NULL && pare_cut_init(&r->cut, r->net, &why) != PARE_OK)
		return PARE_OK;
	for (int g = 0; g < PARE_GRANULARITY_LAYER; g++)
		if (r->structures[g] == NULL && pare_structures_new(r->net, (enum pare_granularity)g, job_cancel_flag(), &r->structures[g], &why) != PARE_OK)
			r->structures[g] = NULL;
	return job_check_canceled(r->w, err);
}

static enum pare_code write_groups(const struct job_run *r, struct pare_buf *b, struct job_list lists[2], struct pare_err *err)
{
	struct job_outline o;
	enum pare_code code = job_outline_new(r, &o, err);

	if (code == PARE_OK)
		job_write_outline(&o, b, OUTLINE_BYTES, lists);
	job_outline_done(&o);
	return code;
}

/* --- sizes */

static enum pare_code write_size(struct job_run *r, struct pare_buf *b, size_t step, struct pare_err *err)
{
	struct job_verdict v;
	enum pare_code code;

	memset(&v, 0, sizeof v);
	job_choose_judged(r);
	code = job_shrink(r, r->judged, err);
	if (code != PARE_OK)
		return code;
	job_count(r->shrunk.net != NULL ? r->shrunk.net : r->net, &v);
	pare_json_sep(b);
	pare_buf_str(b, "{");
	pare_json_key_int(b, "step", (int64_t)step + 1);
	pare_json_key_int(b, "n_weights", v.n_weights);
	pare_json_key_int(b, "n_nonzero_weights", v.n_nonzero_weights);
	pare_json_key_int(b, "macs", v.macs);
	pare_json_key_int(b, "macs_nonzero", (int64_t)llround(v.macs_nonzero));
	pare_json_key_int(b, "file_bytes", (int64_t)(r->shrunk.net != NULL ? r->shrunk.file.len : r->model->file.len));
	pare_json_key_int(b, "packed_bytes", r->shrunk.net != NULL ? (int64_t)r->shrunk.file.len : job_packed_bytes(r));
	pare_buf_str(b, "}");
	job_shrunk_done(&r->shrunk);
	memset(&r->shrunk, 0, sizeof r->shrunk);
	return PARE_OK;
}

/* What the step makes of the present weights, if that can be told. A first factorize step has been done with the model; a later one may find that nothing gets
 * cheaper where trained weights would, and then neither it nor what follows it has a size. */
static enum pare_code make_smaller(struct job_run *r, size_t step, bool *out_done, bool *out_unknown, struct pare_err *err)
{
	const struct pare_args *s = pare_job_step(r->job, step);
	bool prune = strcmp(s->method->name, "prune") == 0, factorize = step > 0 && strcmp(s->method->name, "factorize") == 0;
	enum pare_code code = PARE_OK;

	r->step = step;
	if (prune)
		code = job_prune_at_once(r, s, err);
	else if (factorize)
		code = job_factorize_again(r, err);
	*out_done = prune || factorize;
	*out_unknown = factorize && code == PARE_E_INVALID;
	return *out_unknown ? PARE_OK : code;
}

static enum pare_code write_sizes(struct job_run *r, struct pare_buf *b, struct pare_err *err)
{
	bool done, unknown = false;

	pare_json_key_raw(b, "expected", "[");
	for (size_t i = 0; i < pare_job_n_steps(r->job) && !unknown; i++) {
		enum pare_code code = make_smaller(r, i, &done, &unknown, err);

		if (code == PARE_OK && done && !unknown)
			code = write_size(r, b, i, err);
		if (code != PARE_OK)
			return pare_err_at(err, "/recipe/steps/%zu/%s", i, pare_job_step(r->job, i)->method->name);
	}
	pare_buf_str(b, "]");
	return PARE_OK;
}

/* --- time */

static int batch_of(const struct job_run *r)
{
	for (size_t i = 0; i < pare_job_n_steps(r->job); i++)
		if (job_training(pare_job_step(r->job, i)) != NULL)
			return (int)pare_args_int(job_training(pare_job_step(r->job, i)), "batch_size");
	return job_batch(r, JOB_CALIBRATION_BATCH);
}

/* Rows a second through forward and backward; NAN without labels. */
static enum pare_code measure_speed(struct job_run *r, double *out, struct pare_err *err)
{
	struct pare_observe_options look = {.stat = PARE_STAT_GRAD_ABS, .batch_size = batch_of(r), .fit = &r->fit, .seed = r->seed, .cancel = job_cancel_flag()};
	uint32_t most = job_n_rows(r, PARE_SPLIT_TRAIN);
	float *stat;
	enum pare_code code = PARE_OK;

	*out = NAN;
	if (r->fit.n_outputs == 0 || most == 0)
		return PARE_OK;
	stat = pare_alloc(pare_net_slab_len(r->net) * sizeof *stat);
	if (stat == NULL)
		return pare_err_nomem(err, 0);
	for (look.n_rows = (uint32_t)look.batch_size; code == PARE_OK; look.n_rows *= 2) {
		int64_t start = pare_job_env.tick_ns(NULL), ns;

		code = pare_observe(r->net, r->data, &look, stat, err);
		ns = pare_job_env.tick_ns(NULL) - start;
		*out = (look.n_rows < most ? look.n_rows : most) / ((double)(ns + 1) * 1e-9);
		if (ns > TIME_NS || look.n_rows >= most || look.n_rows > UINT32_MAX / 4)
			break;
	}
	pare_free(stat);
	return code;
}

static enum pare_code write_work(struct job_run *r, struct pare_buf *b, struct pare_err *err)
{
	double speed;
	enum pare_code code = measure_speed(r, &speed, err);

	pare_json_key_raw(b, "work", "{");
	pare_json_key_num(b, "epochs", r->units_total);
	pare_json_key_int(b, "rows_per_epoch", job_n_rows(r, PARE_SPLIT_TRAIN));
	pare_json_key_num(b, "rows_per_second", speed);
	pare_json_key_num(b, "seconds", r->units_total * job_n_rows(r, PARE_SPLIT_TRAIN) / speed);
	pare_json_key_raw(b, "splits", "{");
	for (int s = 0; s < PARE_N_SPLITS; s++)
		pare_json_key_int(b, job_split_name((enum pare_split)s), job_n_rows(r, (enum pare_split)s));
	pare_buf_str(b, "}}");
	return code;
}

static enum pare_code analyze(struct job_run *r, struct job_search *s, struct pare_buf *b, struct pare_err *err)
{
	struct job_list lists[3] = {{.key = NULL}};
	enum pare_code code = find_sensitivities(r, s, err);

	if (code != PARE_OK)
		return code;
	code = find_structures(r, err);
	if (code != PARE_OK)
		return code;
	pare_buf_str(b, "{");
	pare_json_key_str(b, "object", "analysis");
	pare_json_key_int(b, "n_params", r->n_params);
	pare_json_key_int(b, "macs", pare_net_macs(r->net));
	pare_json_key_int(b, "file_bytes", (int64_t)r->in_bytes);
	pare_json_key_int(b, "sensitivity_rows", s->n_layers > 0 ? (int64_t)s->quick_rows : 0);
	pare_json_key_int(b, "sensitivity_layers", s->n_layers > 0 ? (s->n_layers - 1) / s->stride + 1 : 0);
	write_layers(r, s, b, &lists[0]);
	if (r->cut.gone != NULL)
		code = write_groups(r, b, &lists[1], err);
	job_write_left_out(b, lists, 3);
	if (code == PARE_OK)
		code = write_work(r, b, err);
	if (code == PARE_OK)
		code = write_sizes(r, b, err);
	pare_buf_str(b, "}");
	return code;
}

enum pare_code job_analyze(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	struct job_search *s = pare_calloc(1, sizeof *s);
	struct job_run r;
	enum pare_code code;

	memset(&r, 0, sizeof r);
	r.w = w;
	r.units_total = 1;
	r.started_ns = pare_job_env.tick_ns(NULL);
	code = s != NULL ? job_begin(&r, err) : pare_err_nomem(err, sizeof *s);
	if (code == PARE_OK && !pare_args_has(pare_job_args(r.job), "dataset"))
		code = pare_err_set(err, PARE_E_UNSUPPORTED, "/dataset", "an analysis looks at data; what is in a model alone is told by inspection");
	if (code == PARE_OK)
		code = job_prepare(&r, err);
	if (code == PARE_OK)
		code = analyze(&r, s, &a->result, err);
	job_search_free(s);
	job_run_done(&r);
	return code;
}
