/* The life of one job: validate everything that can be known before the first step (a wrong shape must not cost ten
 * epochs), baseline, steps, judgement, artifacts. The exported file is the uploaded one with its weights replaced, so the
 * bytes of model.onnx are a function of inputs, job and thread count; nothing of the clock goes in. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/job/search_priv.h"
#include "core/onnx/onnx.h"

#define EVAL_BATCH 256
#define EVAL_BYTES ((size_t)1 << 30) /* of activations and their gradients, for more rows than the steps ask for */
#define GATHERED_MAX ((size_t)2040 << 20) /* a file ends at 2 GiB */
#define RESULT_UNITS 1.0 /* of the baseline and the judgement, in epochs */

/* --- validate */

static enum pare_code parse_job(struct job_run *r, struct pare_err *err)
{
	const char *text = r->w->start.job;
	const struct pare_args *a;
	enum pare_code code = pare_job_parse(text, strlen(text), &r->own_job, NULL, err);

	if (code != PARE_OK)
		return code;
	r->job = r->own_job;
	a = pare_job_args(r->job);
	r->seed = pare_args_has(a, "seed") ? (uint64_t)pare_args_int(a, "seed") : 0;
	r->threads = pare_args_has(a, "threads") ? (int)pare_args_int(a, "threads") : 1;
	return job_sweep_open(r, err);
}

/* The largest batch that the arguments of a step, or of what it is made with, ask for. */
static int64_t batch_in(const struct pare_args *a)
{
	int64_t most = 0;

	for (size_t k = 0; a != NULL && a->method->params != NULL && a->method->params[k].name != NULL; k++) {
		const struct pare_arg *arg = &a->args[k];
		int64_t batch = arg->set && strcmp(arg->param->name, "batch_size") == 0 ? (int64_t)arg->num : batch_in(arg->args);

		most = batch > most ? batch : most;
		for (size_t i = 0; arg->list != NULL && i < arg->n; i++)
			most = batch_in(arg->list[i]) > most ? batch_in(arg->list[i]) : most;
	}
	return most;
}

/* Of all steps, but never more rows than there are: activations are reserved for it. */
static int64_t batch_of(const struct job_run *r)
{
	int64_t most = 1, n_rows = pare_data_info(r->data)->n_rows;

	for (size_t i = 0; i < pare_job_n_steps(r->job); i++) {
		int64_t batch = batch_in(pare_job_step(r->job, i));

		batch = batch < n_rows ? batch : n_rows;
		most = batch > most ? batch : most;
	}
	return most;
}

static int64_t largest_batch(struct job_run *r)
{
	int64_t most = 0;

	for (int i = job_n_variants(r); i-- > 0;) {
		job_take_variant(r, i);
		most = batch_of(r) > most ? batch_of(r) : most;
	}
	return most;
}

/* Inner tensors that any variant distills. */
static enum pare_code watch(struct job_run *r, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = job_n_variants(r); i-- > 0 && code == PARE_OK;) {
		job_take_variant(r, i);
		code = job_watch(r, err);
	}
	return code;
}

/* Of files beside the model the job keeps those that it refers to still. */
static enum pare_code drop_side(struct job_run *r, struct pare_err *err)
{
	struct pare_inventory v = {.n = 0};
	bool refers[PARE_MAX_INPUTS] = {false};
	enum pare_code code = pare_onnx_inventory(r->model, r->side, r->n_side, &v, err);
	int n = 0;

	for (int i = 0; i < v.n && code == PARE_OK; i++)
		if (v.weights[i].file > 0)
			refers[v.weights[i].file - 1] = true;
	pare_inventory_done(&v);
	for (int i = 0; i < r->n_side && code == PARE_OK; i++)
		if (refers[i])
			r->side[n++] = r->side[i];
	if (code == PARE_OK)
		r->n_side = n;
	return code;
}

/* What stands beside the model moves into it, so that what leaves is one file, and nothing of what was removed beside it; but for models that no one file holds. */
static enum pare_code gather(struct job_run *r, struct pare_err *err)
{
	enum pare_code code;

	r->in_bytes = r->file.len + job_side_bytes(r);
	if (r->n_side == 0 || r->in_bytes > GATHERED_MAX)
		return PARE_OK;
	code = pare_onnx_gather(&r->model, &r->own, err);
	return code == PARE_OK ? drop_side(r, err) : code;
}

int job_batch(const struct job_run *r, int rows)
{
	return rows < r->max_batch ? rows : (int)r->max_batch;
}

/* Evaluations go through more rows at a time than the steps ask for, if there are more, but of large nets: what each row leaves for the way back is
 * reserved for all. The number is halved until it fits by the plan, before anything is reserved, and so does not depend on the machine's memory. */
static enum pare_code make_net(struct job_run *r, struct pare_err *err)
{
	int64_t asked = largest_batch(r), n_rows = pare_data_info(r->data)->n_rows, rows = n_rows < EVAL_BATCH ? n_rows : EVAL_BATCH;
	enum pare_code code;

	rows = rows > asked ? rows : asked;
	for (;;) {
		struct pare_net_options opt = {
		    .n_threads = r->threads, .max_batch = rows, .training = true, .seed = r->seed, .most_bytes = rows == asked ? 0 : EVAL_BYTES};

		code = pare_net_new(r->model, &opt, &r->net, err);
		r->max_batch = rows;
		if ((code != PARE_E_NOMEM && code != PARE_E_LIMIT) || rows == asked)
			return code;
		rows = rows / 2 > asked ? rows / 2 : asked;
	}
}

static enum pare_code open_model(struct job_run *r, struct pare_err *err)
{
	struct pare_model_counts counts;
	enum pare_code code = job_model_files(r->w, "model", &r->file, r->side, &r->n_side, err);

	if (code == PARE_OK)
		code = job_check_side(r, err);
	if (code == PARE_OK)
		code = pare_onnx_open(r->file, r->side, r->n_side, &r->own, &r->model, err);
	if (code == PARE_OK)
		code = gather(r, err);
	if (code == PARE_OK)
		code = job_open_sizes(r, r->model, err);
	if (code == PARE_OK)
		code = job_factorize_model(r, err);
	if (code == PARE_OK)
		code = pare_model_count(r->model, &counts, err);
	if (code == PARE_OK)
		code = watch(r, err);
	if (code == PARE_OK)
		code = make_net(r, err);
	if (code != PARE_OK)
		return code;
	r->n_params = counts.n_params;
	r->n_nonzero_params = counts.n_nonzero;
	return PARE_OK;
}

static enum pare_code open_data(struct job_run *r, struct pare_err *err)
{
	return job_open_data(r->w, pare_args_obj(pare_job_args(r->job), "data"), &r->data, err);
}

static enum pare_code check_training(struct job_run *r, const struct pare_args *t, struct pare_err *err)
{
	struct pare_augment augment;
	struct pare_fit fit;
	enum pare_code code;

	if (t == NULL)
		return PARE_OK;
	if ((pare_args_bool(t, "keep_best") || pare_args_int(t, "patience") > 0) && job_n_rows(r, PARE_SPLIT_VALIDATION) == 0)
		return pare_err_set(err, PARE_E_INVALID, NULL, "keep_best and patience choose by validation rows and there are none; set data.validation above 0");
	code = job_fit_losses(r, t, &fit, err);
	if (code == PARE_OK && fit.n_outputs == 0 && !pare_args_has(t, "distill"))
		return pare_err_set(err, PARE_E_DATASET, NULL, "the data set has no labels to train towards; name a teacher (distill)");
	if (code == PARE_OK && job_augment(t, &augment) && pare_augment_check(&augment, r->net, &fit, err) != PARE_OK)
		return pare_err_at(err, "/augment");
	return code == PARE_OK ? job_check_distill(r, t, &fit, err) : code;
}

/* Which tasks have which metric, and what to ask for instead. */
static enum pare_code check_require(const struct job_run *r, struct pare_err *err)
{
	static const struct {
		const char *task, *metrics;
	} task_table[PARE_N_TASKS] = {
	    [PARE_TASK_CLASSIFY] = {"classification", "accuracy, macro_f1 or loss"},
	    [PARE_TASK_REGRESS] = {"regression", "r2 or loss"},
	    [PARE_TASK_MULTILABEL] = {"single labels", "accuracy, macro_f1, micro_f1 or loss"},
	    [PARE_TASK_SEQUENCE] = {"classes by position", "accuracy, macro_f1, mean_iou or loss"},
	};
	const struct pare_args *q = pare_args_obj(pare_job_args(r->job), "require");
	const char *metric = q != NULL ? pare_args_str(q, "metric") : "loss";
	enum pare_task task;

	if (r->fit.n_outputs == 0 && q == NULL)
		return PARE_OK;
	if (r->fit.n_outputs == 0)
		return pare_err_set(err, PARE_E_INVALID, "/require", "the data set has no labels to measure a requirement by");
	task = r->fit.outputs[0].task;
	if (strstr(task_table[task].metrics, metric) == NULL)
		return pare_err_set(err, PARE_E_INVALID, "/require/metric", "%s is no metric of %s; use %s", metric, task_table[task].task, task_table[task].metrics);
	if (q != NULL && pare_args_has(q, "confidence") && task != PARE_TASK_CLASSIFY)
		return pare_err_set(err, PARE_E_INVALID, "/require/confidence", "an interval is known for the accuracy of classification only, not for %s", task_table[task].task);
	return PARE_OK;
}

static enum pare_code check_steps(struct job_run *r, struct pare_err *err)
{
	for (size_t i = 0; i < pare_job_n_steps(r->job); i++) {
		const struct pare_args *s = pare_job_step(r->job, i);
		const char *name = s->method->name;
		bool search = strcmp(name, "search") == 0, prune = search || strcmp(name, "prune") == 0;

		if (check_training(r, job_training(s), err) != PARE_OK)
			return pare_err_at(err, "/recipe/steps/%zu/%s%s", i, name, prune ? "/recover" : "");
		if (i > 0 && strcmp(name, "factorize") == 0 && job_check_factorize(r, s, err) != PARE_OK)
			return pare_err_at(err, "/recipe/steps/%zu/%s", i, name);
		if (strcmp(name, "quantize") == 0 && job_check_quantize(r, s, err) != PARE_OK)
			return pare_err_at(err, "/recipe/steps/%zu/%s", i, name);
		if (prune && job_is_structural(s) && job_check_structures(r, s, err) != PARE_OK)
			return pare_err_at(err, "/recipe/steps/%zu/%s", i, name);
		if (strcmp(name, "remove_dead") == 0 && job_check_dead(r, err) != PARE_OK)
			return pare_err_at(err, "/recipe/steps/%zu/%s", i, name);
		if (search && job_n_rows(r, PARE_SPLIT_VALIDATION) == 0)
			return pare_err_set(err, PARE_E_INVALID, "/data/validation", "a search decides by validation rows and there are none; set data.validation above 0");
	}
	return check_require(r, err);
}

static enum pare_code check_variants(struct job_run *r, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = job_n_variants(r); i-- > 0 && code == PARE_OK;) {
		job_take_variant(r, i);
		code = check_steps(r, err);
		if (code != PARE_OK && r->sweep != NULL)
			(void)pare_err_at(err, "variant %d of the sweep", i + 1);
	}
	return code;
}

static enum pare_code reserve_records(struct job_run *r, struct pare_err *err)
{
	pare_free(r->records);
	r->max_records = job_n_records(r);
	r->records = pare_calloc((size_t)r->max_records, sizeof *r->records);
	return r->records != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code reserve_past(struct job_run *r, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = job_n_variants(r); i-- > 0 && code == PARE_OK;) {
		job_take_variant(r, i);
		code = job_past_new(r, err);
	}
	return code;
}

static enum pare_code copy_slab(const struct job_run *r, float **out, struct pare_err *err)
{
	size_t bytes = pare_net_slab_len(r->net) * sizeof(float);

	*out = pare_alloc(bytes);
	if (*out == NULL)
		return pare_err_nomem(err, bytes);
	memcpy(*out, pare_net_slab(r->net), bytes);
	return PARE_OK;
}

static enum pare_code reserve(struct job_run *r, struct pare_err *err)
{
	float **const copies[] = {&r->input, &r->dense, &r->final, &r->kept};
	enum pare_code code = pare_mask_init(&r->mask, r->net, err);

	for (size_t i = 0; i < sizeof copies / sizeof copies[0] && code == PARE_OK; i++)
		code = copy_slab(r, copies[i], err);
	if (code == PARE_OK)
		code = reserve_past(r, err);
	if (code == PARE_OK)
		code = reserve_records(r, err);
	r->units_total = job_sweep_units(r);
	if (job_sweep_ends(r)) /* that is all it does */
		return code;
	r->units_total += 2 * RESULT_UNITS;
	for (size_t i = 0; i < pare_job_n_steps(r->job); i++)
		r->units_total += job_step_find(pare_job_step(r->job, i)->method->name)->units(r, i);
	return code;
}

/* Groups of structures, as far as steps have asked for them before. */
static enum pare_code regroup(struct job_run *r, struct pare_err *err)
{
	bool had_cut = r->cut.gone != NULL;
	enum pare_code code = PARE_OK;

	pare_cut_done(&r->cut);
	memset(&r->cut, 0, sizeof r->cut);
	if (had_cut)
		code = pare_cut_init(&r->cut, r->net, err);
	for (int g = 0; g < PARE_N_GRANULARITIES && code == PARE_OK; g++) {
		if (r->structures[g] == NULL)
			continue;
		pare_structures_free(r->structures[g]);
		r->structures[g] = NULL;
		code = pare_structures_new(r->net, (enum pare_granularity)g, job_cancel_flag(), &r->structures[g], err);
	}
	return code;
}

enum pare_code job_take_model(struct job_run *r, struct pare_err *err)
{
	struct pare_net_options opt = {.n_threads = r->threads, .max_batch = r->max_batch, .training = true, .seed = r->seed};
	float **const copies[] = {&r->input, &r->dense, &r->final, &r->kept}, **const gone[] = {&r->fold_dense, &r->stat};
	enum pare_code code = job_watch(r, err);

	pare_net_free(r->net);
	r->net = NULL;
	if (code == PARE_OK)
		code = pare_net_new(r->model, &opt, &r->net, err);
	if (code == PARE_OK)
		code = job_fit(r, err);
	if (code != PARE_OK)
		return code;
	for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
		pare_free(*gone[i]);
		*gone[i] = NULL;
	}
	pare_free(r->outer.keep);
	r->outer.keep = NULL;
	job_past_done(r);
	memset(r->past, 0, sizeof r->past);
	r->has_dense = r->has_fold_dense = false;
	pare_mask_done(&r->mask);
	code = pare_mask_init(&r->mask, r->net, err);
	for (size_t i = 0; i < sizeof copies / sizeof copies[0] && code == PARE_OK; i++) {
		pare_free(*copies[i]);
		*copies[i] = NULL;
		code = copy_slab(r, copies[i], err);
	}
	if (code == PARE_OK)
		code = job_past_new(r, err);
	return code == PARE_OK ? regroup(r, err) : code;
}

enum pare_code job_begin(struct job_run *r, struct pare_err *err)
{
	enum pare_code code = job_phase(r, "validate", err);

	if (code == PARE_OK)
		code = parse_job(r, err);
	return code == PARE_OK ? job_know_origin(r, err) : code;
}

enum pare_code job_prepare(struct job_run *r, struct pare_err *err)
{
	enum pare_code code = open_data(r, err);

	if (code == PARE_OK)
		code = open_model(r, err);
	if (code == PARE_OK)
		code = job_fit(r, err);
	if (code == PARE_OK)
		code = job_split(r, err);
	if (code == PARE_OK)
		code = check_variants(r, err);
	return code == PARE_OK ? reserve(r, err) : code;
}

/* --- run */

static enum pare_code baseline(struct job_run *r, struct pare_err *err)
{
	struct pare_metrics m;
	struct job_epoch e = {.kind = "evaluation", .loss = NAN, .accuracy = NAN};
	enum pare_code code = job_phase(r, "baseline", err);

	memset(&m, 0, sizeof m);
	e.sparsity = job_sparsity(r);
	if (code == PARE_OK && job_n_rows(r, PARE_SPLIT_VALIDATION) > 0) {
		code = job_eval(r, PARE_SPLIT_VALIDATION, &m, err);
		e.loss = m.loss;
		e.accuracy = pare_metrics_headline(&m);
	}
	if (code == PARE_OK)
		code = job_metrics(r, &e, err);
	pare_metrics_done(&m);
	r->units_before += RESULT_UNITS;
	return code;
}

/* --- artifacts */

bool job_wants(const struct job_run *r, const char *what)
{
	const struct pare_arg *outputs = pare_args_get(pare_job_args(r->job), "outputs");

	for (size_t i = 0; i < outputs->n; i++)
		if (strcmp(outputs->strings[i], what) == 0)
			return true;
	return false;
}

enum pare_code job_put(struct job_run *r, struct job_answer *a, const char *name, const char *media_type, const struct pare_buf *b, struct pare_err *err)
{
	enum pare_code code = pare_buf_status(b, err);

	if (code == PARE_OK)
		code = pare_link_output(&r->w->link, name, media_type, b->data, b->len, err);
	if (code == PARE_OK)
		a->artifacts[a->n_artifacts++] = name;
	return code;
}

enum pare_code job_write_model(struct job_run *r, struct pare_buf *b, struct pare_err *err)
{
	size_t cap;
	enum pare_code code = pare_net_store(r->net, r->model, err);

	if (!job_written_cap(r, &cap))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the model is too large");
	pare_buf_init(b, cap);
	if (code == PARE_OK)
		code = pare_onnx_write(r->model, b, err);
	return code == PARE_OK ? job_stamp(r, b, err) : code;
}

static enum pare_code put_packed(struct job_run *r, struct job_answer *a, struct pare_span file, struct pare_err *err)
{
	struct pare_buf b;
	enum pare_code code;

	if (!job_wants(r, "compressed") && !job_shares(r)) /* sharing is nothing but the packed size */
		return PARE_OK;
	pare_buf_init(&b, 2 * file.len + ((size_t)1 << 20));
	code = job_pack_file(file, &b, err);
	r->packed_bytes = b.len;
	if (code == PARE_OK && job_wants(r, "compressed"))
		code = job_put(r, a, "model.packed", "application/octet-stream", &b, err);
	pare_buf_done(&b);
	return code;
}

static enum pare_code put_model(struct job_run *r, struct job_answer *a, struct pare_err *err)
{
	struct pare_buf own;
	const struct pare_buf *b = r->quantized.net != NULL ? &r->quantized.file : &r->shrunk.file;
	enum pare_code code = PARE_OK;

	pare_buf_init(&own, 0);
	if (r->quantized.net == NULL && r->shrunk.net == NULL) {
		code = job_write_model(r, &own, err);
		b = &own;
	}
	r->out_bytes = b->len;
	if (code == PARE_OK && job_wants(r, "onnx"))
		code = job_put(r, a, "model.onnx", "application/onnx", b, err);
	if (code == PARE_OK)
		code = put_packed(r, a, (struct pare_span){(const uint8_t *)b->data, b->len}, err);
	pare_buf_done(&own);
	return code;
}

/* Of a model that is too large for one file: what no step has touched still belongs to it. */
static enum pare_code put_side(struct job_run *r, struct job_answer *a, const struct pare_side_file *f, struct pare_err *err)
{
	enum pare_code code = pare_link_output(&r->w->link, f->name, "application/octet-stream", f->bytes.data, f->bytes.len, err);

	if (code == PARE_OK)
		a->artifacts[a->n_artifacts++] = f->name;
	return code;
}

static enum pare_code finish(struct job_run *r, struct job_answer *a, struct pare_err *err)
{
	enum pare_code code = job_phase(r, "evaluate", err);

	job_choose_judged(r);
	if (code == PARE_OK)
		code = pare_net_settle(r->net, r->model, err); /* every figure is the file's */
	memcpy(r->final, pare_net_slab(r->net), pare_net_slab_len(r->net) * sizeof *r->final);
	if (code == PARE_OK)
		code = job_shrink(r, r->judged, err);
	if (code == PARE_OK)
		code = job_write_quantized(r, err);
	if (code == PARE_OK)
		code = job_judge(r, err);
	r->finished_ns = pare_job_env.tick_ns(NULL);
	if (code == PARE_OK)
		code = job_phase(r, "export", err);
	if (code == PARE_OK)
		code = put_model(r, a, err);
	for (int i = 0; i < r->n_side && code == PARE_OK && job_wants(r, "onnx"); i++)
		code = put_side(r, a, &r->side[i], err);
	if (code == PARE_OK && r->search != NULL)
		code = job_put_front(r, a, err);
	if (code == PARE_OK)
		code = job_write_reports(r, a, err);
	r->units_before = r->units_total;
	if (code == PARE_OK)
		code = job_progress(r, 0, 0, 0, true, err);
	if (code == PARE_OK)
		job_write_summary(r, &a->result);
	return code;
}

void job_run_done(struct job_run *r)
{
	job_verdict_done(&r->verdict_input);
	job_verdict_done(&r->verdict_dense);
	job_verdict_done(&r->verdict_final);
	pare_free(r->records);
	pare_free(r->kept);
	pare_free(r->outer.keep);
	job_past_done(r);
	pare_free(r->stat);
	pare_free(r->fold_dense);
	pare_free(r->final);
	pare_free(r->dense);
	pare_free(r->input);
	job_search_free(r->search);
	job_structures_done(r);
	job_quantized_done(&r->quantized);
	pare_mask_done(&r->mask);
	pare_data_free(r->data);
	job_distill_done(r);
	pare_net_free(r->net);
	pare_model_free(r->model);
	job_factored_done(&r->factored);
	pare_model_free(r->teacher_model);
	pare_buf_done(&r->own);
	pare_buf_done(&r->teacher_own);
	job_sweep_free(r->sweep);
	job_origin_done(r);
	pare_job_free(r->own_job);
}

static enum pare_code run_on_data(struct job_run *r, struct job_answer *a, struct pare_err *err)
{
	bool resumed = false;
	enum pare_code code;

	pare_cpu_flush_denormals(); /* before there are threads; weights that are pruned where they are stored keep every bit */
	code = job_prepare(r, err);
	if (code == PARE_OK)
		code = job_resume_open(r, err);
	if (code == PARE_OK && r->sweep != NULL) {
		code = job_sweep(r, a, err);
		if (code != PARE_OK || job_sweep_ends(r))
			return code;
		code = reserve_records(r, err);
	}
	if (code == PARE_OK)
		code = job_resume(r, &resumed, err);
	if (code == PARE_OK && !resumed)
		code = baseline(r, err);
	for (size_t i = r->first_step; code == PARE_OK && i < pare_job_n_steps(r->job); i++) {
		code = job_check_canceled(r->w, err);
		if (code == PARE_OK)
			code = job_run_step(r, i, err);
	}
	if (code == PARE_OK)
		code = job_check_canceled(r->w, err);
	return code == PARE_OK ? finish(r, a, err) : code;
}

enum pare_code job_run(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	struct job_run r;
	enum pare_code code;

	memset(&r, 0, sizeof r);
	r.w = w;
	r.units_total = 1;
	r.started_ns = pare_job_env.tick_ns(NULL);
	code = job_begin(&r, err);
	if (code == PARE_OK)
		code = pare_args_has(pare_job_args(r.job), "dataset") ? run_on_data(&r, a, err) : job_run_stored(&r, a, err);
	job_run_done(&r);
	return code;
}
