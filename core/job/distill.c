/* The teacher of a training run: the model as it was uploaded or before it was pruned (the same graph with other weights), or the job's
 * second model. Its net is made for each run and freed after it: a job holds two nets only while it needs both. Inner tensors are
 * another matter: nets keep what is an output when they are made, so all steps are asked before the first net is. */
#include <string.h>

#include "core/job/job_priv.h"
#include "core/onnx/onnx.h"

#define MAX_TENSORS 32

static const struct pare_args *distill_of(const struct pare_args *step)
{
	const struct pare_args *t = job_training(step);

	return t != NULL ? pare_args_obj(t, "distill") : NULL;
}

static struct pare_model *teacher_model(const struct job_run *r, const struct pare_args *distill)
{
	const char *who = pare_args_str(distill, "teacher");

	if (r->factored.source != NULL && (strcmp(who, "input") == 0 || (r->factored.uploaded != NULL && strcmp(who, "dense") == 0)))
		return job_factored_model(&r->factored);
	return strcmp(who, "model") == 0 ? r->teacher_model : r->model;
}

static enum pare_code watch_tensors(struct job_run *r, const struct pare_args *distill, struct pare_err *err)
{
	const struct pare_arg *tensors = pare_args_get(distill, "tensors");
	enum pare_code code = PARE_OK;

	for (size_t i = 0; i < tensors->n && code == PARE_OK; i++) {
		code = pare_model_watch(r->model, pare_args_str(tensors->list[i], "student"), err);
		if (code == PARE_OK)
			code = pare_model_watch(teacher_model(r, distill), pare_args_str(tensors->list[i], "teacher"), err);
		if (code != PARE_OK)
			return pare_err_at(err, "/distill/tensors/%zu", i);
	}
	return code;
}

enum pare_code job_watch(struct job_run *r, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	struct pare_span file;

	if (r->teacher_model == NULL && pare_args_has(pare_job_args(r->job), "teacher")) {
		code = job_model_input(r->w, "teacher", &file, err);
		if (code != PARE_OK)
			return code;
		code = pare_onnx_open(file, NULL, 0, &r->teacher_own, &r->teacher_model, err);
		if (code == PARE_OK)
			code = job_open_sizes(r, r->teacher_model, err);
		if (code != PARE_OK)
			return pare_err_at(err, "/teacher");
	}
	for (size_t i = 0; i < pare_job_n_steps(r->job) && code == PARE_OK; i++) {
		const struct pare_args *step = pare_job_step(r->job, i), *distill = distill_of(step);

		if (distill != NULL && watch_tensors(r, distill, err) != PARE_OK)
			return pare_err_at(err, "/recipe/steps/%zu/%s", i, step->method->name);
	}
	return code;
}

/* The weights that the job keeps of an earlier state, into a net of the same graph. */
static enum pare_code take_weights(struct job_run *r, bool dense, struct pare_err *err)
{
	bool in_fold = r->folds > 0; /* whose dense model has seen that fold's training rows and no others */
	const float *from = !dense ? r->input : in_fold ? r->fold_dense : r->dense;

	if (dense && !(in_fold ? r->has_fold_dense : r->has_dense))
		return pare_err_set(err, PARE_E_INVALID, "/distill/teacher", "there is no dense model before the first pruning: use input");
	if (pare_net_n_params(r->teacher) != pare_net_n_params(r->net))
		return pare_err_set(err, PARE_E_INVALID, "/distill/teacher", "the model has another structure than it had: use a second model as teacher");
	for (int p = 0; p < pare_net_n_params(r->net); p++) {
		const struct pare_param_info *to = pare_net_param(r->teacher, p), *info = pare_net_param(r->net, p);

		if (to->n_elems != info->n_elems)
			return pare_err_set(err, PARE_E_INVALID, "/distill/teacher", "\"%s\" has another size than it had: use a second model as teacher", info->name);
		memcpy(pare_net_slab(r->teacher) + to->offset, from + info->offset, info->n_elems * sizeof *from);
	}
	return PARE_OK;
}

static enum pare_code make_teacher(struct job_run *r, const struct pare_args *distill, int64_t batch, bool weights, struct pare_err *err)
{
	const struct pare_net_options opt = {.n_threads = pare_net_n_shards(r->net), .max_batch = batch, .seed = r->seed};
	struct pare_model *model = teacher_model(r, distill);
	bool dense = strcmp(pare_args_str(distill, "teacher"), "dense") == 0;
	enum pare_code code;

	job_distill_done(r);
	code = pare_net_new(model, &opt, &r->teacher, err);
	if (code != PARE_OK)
		return pare_err_at(err, "/distill/teacher");
	if (model == r->factored.uploaded)
		memcpy(pare_net_slab(r->teacher), job_factored_slab(&r->factored, dense), r->factored.len * sizeof(float));
	return !weights || model != r->model ? PARE_OK : take_weights(r, dense, err);
}

static enum pare_code set_up(struct job_run *r, const struct pare_args *train, const struct pare_fit *fit, bool weights, struct pare_distill *out,
    struct pare_err *err)
{
	const struct pare_args *d = pare_args_obj(train, "distill");
	struct pare_distill_pair pairs[MAX_TENSORS];
	struct pare_distill_options opt = {.tensors = pairs};
	enum pare_code code;

	opt.temperature = pare_args_num(d, "temperature");
	opt.alpha = pare_args_num(d, "alpha");
	opt.mse = strcmp(pare_args_str(d, "loss"), "mse") == 0;
	for (size_t i = 0; i < pare_args_get(d, "tensors")->n && i < MAX_TENSORS; i++) {
		const struct pare_args *t = pare_args_get(d, "tensors")->list[i];

		pairs[opt.n_tensors++] = (struct pare_distill_pair){pare_args_str(t, "student"), pare_args_str(t, "teacher")};
	}
	code = make_teacher(r, d, pare_args_int(train, "batch_size"), weights, err);
	if (code != PARE_OK)
		return code;
	code = pare_distill_make(r->net, r->teacher, fit, &opt, out, err);
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "/distill");
}

enum pare_code job_distill(struct job_run *r, const struct pare_args *train, const struct pare_fit *fit, struct pare_distill *out, bool *out_given,
    struct pare_err *err)
{
	*out_given = pare_args_has(train, "distill");
	return *out_given ? set_up(r, train, fit, true, out, err) : PARE_OK;
}

enum pare_code job_check_distill(struct job_run *r, const struct pare_args *train, const struct pare_fit *fit, struct pare_err *err)
{
	struct pare_distill d;
	enum pare_code code = pare_args_has(train, "distill") ? set_up(r, train, fit, false, &d, err) : PARE_OK;

	job_distill_done(r);
	return code;
}

void job_distill_done(struct job_run *r)
{
	pare_net_free(r->teacher);
	r->teacher = NULL;
}
