/* New jobs: from a request, or from an ended job that is run again.
 *
 * The request is checked by core/recipe, which reports every finding at once with its pointer, and stored as canonical text with seed and threads
 * written out, so that a job can be repeated from what GET returns. What it is called and when its turn comes (name, labels, priority) stands beside that text.
 *
 * The queue's cap is kept without counting on every request: queue_bound starts from a true count and grows by one per job, so it never
 * understates the number of queued jobs (they only leave otherwise, but for the few that a worker gives back); only when the bound reaches the cap is the store asked again. */
#include <stdio.h>
#include <string.h>

#include "api/assets.h"
#include "api/jobs.h"
#include "api/once.h"
#include "api/recipes.h"
#include "api/text.h"
#include "storage/registry.h"

static enum pare_code check_queue(struct api *api, struct pare_err *err)
{
	int64_t cap = api->opt.limits.max_queued_jobs;
	long long bound = atomic_load(&api->queue_bound);
	int64_t counts[STORE_N_STATUS], oldest;
	enum pare_code rc;

	if (cap <= 0 || (bound >= 0 && bound < cap))
		return PARE_OK;
	rc = store_job_counts(api->opt.store, counts, &oldest, err);
	if (rc != PARE_OK)
		return rc;
	atomic_store(&api->queue_bound, (long long)counts[STORE_QUEUED]);
	if (counts[STORE_QUEUED] >= cap)
		return pare_err_set(err, PARE_E_BUSY, NULL, "%lld jobs are queued, which is the limit", (long long)counts[STORE_QUEUED]);
	return PARE_OK;
}

static const char *job_text(const struct pare_args *a, const char *name)
{
	const char *s = pare_args_str(a, name);

	return s != NULL ? s : "";
}

enum pare_code api_labels_text(struct api_exchange *x, const struct pare_args *a, const char **out, struct pare_err *err)
{
	const struct pare_arg *labels = pare_args_get(a, "labels");
	size_t n = 1;
	char *p;

	for (size_t i = 0; i < labels->n; i++)
		n += strlen(labels->strings[i]) + 1;
	p = pare_arena_alloc(&x->arena, n);
	if (p == NULL)
		return pare_err_nomem(err, n);
	*out = p;
	for (size_t i = 0; i < labels->n; i++)
		p += snprintf(p, n - (size_t)(p - *out), "%s\n", labels->strings[i]);
	*p = '\0';
	return PARE_OK;
}

static enum pare_code parse(struct api_exchange *x, struct pare_job **out, struct pare_err *err)
{
	struct pare_issues *issues = pare_arena_alloc(&x->arena, sizeof *issues);
	const char *text = x->body.data != NULL ? x->body.data : "";
	struct pare_recipe_source source;
	enum pare_code rc;

	if (issues == NULL)
		return pare_err_nomem(err, sizeof *issues);
	source = api_recipe_source(x);
	rc = pare_job_parse_with(text, x->body.len, &source, out, issues, err);
	if (rc == PARE_E_INVALID && issues->n > 0)
		x->issues = issues;
	return rc;
}

static enum pare_code check_threads(const struct api_exchange *x, const struct pare_args *a, struct pare_err *err)
{
	int max = x->api->opt.limits.max_threads;

	if (pare_args_has(a, "threads") && max > 0 && pare_args_int(a, "threads") > max)
		return pare_err_set(err, PARE_E_INVALID, "/threads", "this server allows at most %d threads per job", max);
	return PARE_OK;
}

/* An id that names nothing is a wrong field of this request, not a missing page. */
static enum pare_code no_such(struct api_exchange *x, const char *pointer, const char *what, const char *id, struct pare_err *err)
{
	struct pare_issues *issues = pare_arena_alloc(&x->arena, sizeof *issues);

	if (issues == NULL)
		return pare_err_nomem(err, sizeof *issues);
	issues->n = 1;
	(void)snprintf(issues->list[0].pointer, sizeof issues->list[0].pointer, "%s", pointer);
	issues->list[0].code = "not_found";
	(void)snprintf(issues->list[0].detail, sizeof issues->list[0].detail, "there is no %s \"%.60s\"", what, id);
	x->issues = issues;
	return pare_err_set(err, PARE_E_INVALID, NULL, "%s", issues->list[0].detail);
}

static enum pare_code missing_reference(struct api_exchange *x, const struct store_job *j, struct pare_err *err)
{
	if (strcmp(err->where, "/dataset") == 0)
		return no_such(x, "/dataset", "data set", j->dataset, err);
	return no_such(x, "/model", "model", j->model, err);
}

/* What is made of the job's result is a model, so it takes what an upload takes; and there must be something to make it of. */
static enum pare_code check_register(struct api_exchange *x, const struct pare_args *a, struct pare_err *err)
{
	const struct pare_arg *outputs = pare_args_get(a, "outputs");
	bool onnx = false;

	if (!pare_args_has(a, "register"))
		return PARE_OK;
	if (!api_caller_may(&x->caller, API_MODELS_WRITE))
		return pare_err_set(err, PARE_E_FORBIDDEN, "/register", "a job that registers a model needs the scope %s, too", api_scope_name(API_MODELS_WRITE));
	for (size_t i = 0; i < outputs->n; i++)
		onnx |= strcmp(outputs->strings[i], "onnx") == 0;
	if (!onnx)
		return pare_err_set(err, PARE_E_INVALID, "/register", "what is registered is model.onnx, and outputs does not ask for onnx");
	return store_register_check(pare_args_str(a, "register"), err);
}

/* What the job calls by a name is written down by its id: a name may mean something else when the job runs. */
static enum pare_code refer(struct api_exchange *x, struct pare_job *job, const char *field, enum store_asset_kind kind, struct pare_err *err)
{
	const char *reference = pare_args_str(pare_job_args(job), field);
	char id[PARE_ID_MAX], pointer[32];
	enum pare_code rc;

	if (reference == NULL)
		return PARE_OK;
	rc = store_asset_resolve(x->view, kind, reference, id, err);
	(void)snprintf(pointer, sizeof pointer, "/%s", field);
	if (rc == PARE_E_NOT_FOUND)
		return no_such(x, pointer, kind == STORE_MODEL ? "model" : "data set", reference, err);
	if (rc != PARE_OK || strcmp(id, reference) == 0)
		return rc;
	return pare_job_set_str(job, field, id, err);
}

static enum pare_code refer_all(struct api_exchange *x, struct pare_job *job, struct pare_err *err)
{
	enum pare_code rc = refer(x, job, "model", STORE_MODEL, err);

	if (rc == PARE_OK)
		rc = refer(x, job, "teacher", STORE_MODEL, err);
	return rc == PARE_OK ? refer(x, job, "dataset", STORE_DATASET, err) : rc;
}

/* Written into the job, so that its text says it all. That a data set is not there is found later. */
static enum pare_code read_data_as_uploaded(struct api_exchange *x, struct pare_job *job, struct pare_err *err)
{
	const char *id = pare_args_str(pare_job_args(job), "dataset"), *label, *task;
	struct store_asset a;
	enum pare_code rc;

	if (id == NULL)
		return PARE_OK;
	rc = store_asset_get(x->view, STORE_DATASET, id, &a, err);
	if (rc == PARE_E_NOT_FOUND)
		return PARE_OK;
	if (rc != PARE_OK)
		return rc;
	rc = api_asset_options(x, &a, &label, &task, err);
	store_asset_done(&a);
	return rc == PARE_OK ? pare_job_read_data_as(job, label, task, err) : rc;
}

/* The store keeps model and data set of a job and knows nothing of a second model: it must be there now, and when the job starts. */
static enum pare_code check_teacher(struct api_exchange *x, const struct pare_args *a, struct pare_err *err)
{
	struct store_asset asset = {0};
	enum pare_code rc;

	if (!pare_args_has(a, "teacher"))
		return PARE_OK;
	rc = store_asset_get(x->view, STORE_MODEL, pare_args_str(a, "teacher"), &asset, err);
	if (rc == PARE_OK)
		store_asset_done(&asset);
	return rc == PARE_E_NOT_FOUND ? no_such(x, "/teacher", "model", pare_args_str(a, "teacher"), err) : rc;
}

void api_job_queued(struct api *api)
{
	const struct api_engine *e = &api->opt.engine;

	if (atomic_load(&api->queue_bound) >= 0)
		atomic_fetch_add(&api->queue_bound, 1);
	if (e->job_added != NULL)
		e->job_added(e->ctx);
}

/* A full queue, too, tells what a request made that comes again. */
static enum pare_code store(struct api_exchange *x, struct store_job *j, struct store_idempotency *once, struct pare_err *err)
{
	enum pare_code room = check_queue(x->api, err), rc;
	struct pare_err full;

	if (room != PARE_OK && (room != PARE_E_BUSY || once->key == NULL))
		return room;
	full = *err;
	once->only_known |= room != PARE_OK;
	rc = store_job_put(x->view, j, once, err);
	if (rc != PARE_E_DRAINING || room == PARE_OK)
		return rc;
	*err = full;
	return room;
}

static enum pare_code put(struct api_exchange *x, struct store_job *j, struct pare_err *err)
{
	struct store_hook *hook = j->webhook;
	struct store_idempotency once;
	enum pare_code rc = api_once(x, NULL, &once, err);

	if (rc == PARE_OK)
		rc = store(x, j, &once, err);
	if (once.replayed)
		hook = NULL;
	if (rc == PARE_E_NOT_FOUND)
		return missing_reference(x, j, err);
	if (rc != PARE_OK)
		return rc;
	api_once_told(x, &once);
	if (!once.replayed)
		api_job_queued(x->api);
	api_set_location(x, "/v1/jobs/%s", j->id);
	rc = api_wait_for_end(x, j, err);
	j->webhook = hook;
	if (rc == PARE_OK)
		rc = api_reply_job(x, j, 201, err);
	store_job_done(j);
	return rc;
}

/* --- a job that is told of, not queued */

struct dry_run {
	struct store_asset assets[3];
	struct api_engine_input inputs[3];
	int n;
};

static enum pare_code dry_input(struct api_exchange *x, struct dry_run *d, const struct pare_args *a, const char *field, const char *role, enum store_asset_kind kind, struct pare_err *err)
{
	const char *id = pare_args_str(a, field);
	struct store_asset *asset = &d->assets[d->n];
	char pointer[32];
	enum pare_code rc;

	if (id == NULL)
		return PARE_OK;
	rc = store_asset_get(x->view, kind, id, asset, err);
	(void)snprintf(pointer, sizeof pointer, "/%s", field);
	if (rc == PARE_E_NOT_FOUND)
		return no_such(x, pointer, kind == STORE_MODEL ? "model" : "data set", id, err);
	if (rc == PARE_OK)
		d->inputs[d->n++] = (struct api_engine_input){role, asset->files, asset->n_files};
	return rc;
}

/* The engine prepares the job as if it ran, so its findings are the request's. */
static enum pare_code dry_run(struct api_exchange *x, const struct pare_args *a, const char *text, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	struct dry_run d = {.n = 0};
	char *info = NULL;
	enum pare_code rc = dry_input(x, &d, a, "model", "model", STORE_MODEL, err);

	if (rc == PARE_OK)
		rc = dry_input(x, &d, a, "teacher", "teacher", STORE_MODEL, err);
	if (rc == PARE_OK)
		rc = dry_input(x, &d, a, "dataset", "data", STORE_DATASET, err);
	if (rc == PARE_OK)
		rc = e->analyze(e->ctx, text, d.inputs, d.n, &info, err);
	for (int i = 0; i < d.n; i++)
		store_asset_done(&d.assets[i]);
	if (rc != PARE_OK)
		return rc;
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "dry_run");
	api_json_raw(&x->out, "request", text);
	api_json_raw(&x->out, "analysis", info);
	api_json_close(&x->out, '}');
	pare_free(info);
	return api_reply_json(x, 200, err);
}

enum pare_code api_post_job(struct api_exchange *x, struct pare_err *err)
{
	struct pare_job *job = NULL;
	struct store_hook *hook = NULL;
	const char *labels;
	char *text = NULL;
	bool dry = false;
	enum pare_code rc = api_query_flag(x, "dry_run", &dry, err);

	if (rc == PARE_OK)
		rc = parse(x, &job, err);
	if (rc == PARE_OK)
		rc = refer_all(x, job, err);
	if (rc == PARE_OK)
		rc = read_data_as_uploaded(x, job, err);
	if (rc == PARE_OK)
		rc = check_threads(x, pare_job_args(job), err);
	if (rc == PARE_OK)
		rc = pare_job_canonical(job, 0, x->api->opt.limits.default_threads, &text, err);
	if (rc == PARE_OK)
		rc = check_teacher(x, pare_job_args(job), err);
	if (rc == PARE_OK)
		rc = api_hook_of_job(x, pare_args_obj(pare_job_args(job), "webhook"), &hook, err);
	if (rc == PARE_OK)
		rc = check_register(x, pare_job_args(job), err);
	if (rc == PARE_OK && dry) {
		rc = dry_run(x, pare_job_args(job), text, err);
		goto out;
	}
	if (rc == PARE_OK)
		rc = api_labels_text(x, pare_job_args(job), &labels, err);
	if (rc == PARE_OK) {
		const struct pare_args *a = pare_job_args(job);
		struct store_job j = {.kind = pare_job_kind(job), .name = job_text(a, "name"), .labels = labels, .priority = (int)pare_args_int(a, "priority"), .model = job_text(a, "model"), .dataset = job_text(a, "dataset"), .request = text, .register_as = job_text(a, "register"), .webhook = hook, .max_crashes = x->api->opt.limits.max_crashes};

		rc = put(x, &j, err);
	}
out:
	pare_free(text);
	pare_job_free(job);
	return rc;
}

/* A new job with the text of an ended one: the old one goes on telling what came of it. The runs of its sweep that found something are not made again. */
enum pare_code api_retry_job(struct api_exchange *x, struct pare_err *err)
{
	struct store_job old, j = {0};
	enum pare_code rc = api_find_job(x, &old, err);

	if (rc != PARE_OK)
		return rc;
	rc = api_job_if_match(x, &old, err);
	if (rc == PARE_OK && !store_job_status_final(old.status))
		rc = pare_err_set(err, PARE_E_CONFLICT, NULL, "job %s is %s: only an ended job can be run again", old.id, store_job_status_name(old.status));
	if (rc == PARE_OK) {
		j = (struct store_job){.kind = old.kind, .name = old.name, .labels = old.labels, .priority = old.priority, .model = old.model, .dataset = old.dataset, .request = old.request, .register_as = old.register_as, .max_crashes = x->api->opt.limits.max_crashes};
		memcpy(j.retry_of, old.id, sizeof j.retry_of);
		rc = put(x, &j, err);
	}
	store_job_done(&old);
	return rc;
}
