/* The run of one job. The conversation with the engine ends in a verdict; only then, in one place, is the store told, so
 * that there is no path on which a job ends twice or not at all:
 *
 *   result                                  -> commit the outputs, finish SUCCEEDED
 *   error; time is over; sandbox violation  -> finish FAILED
 *   result that should have become a model and cannot -> commit the outputs, finish FAILED
 *   cancelled, and the engine has stopped   -> finish CANCELED
 *   pausing, and a checkpoint is there      -> release, which pauses it
 *   a sweep needs runs                      -> fork: they become jobs, and this one waits for them (pool_trials.c)
 *   the process died, or spoke rubbish      -> release, counted as a crash (the store fails the job at max_crashes)
 *   there is no process to be had, or others stopped it -> release, not counted, and the slot rests: no job can help it, and the next one would fare no better
 *   the disk is full                        -> stall: the job is tried again from its last checkpoint, which stays, after pauses that grow, and fails when they have lasted too long; others may need less
 *   the daemon stops                        -> release, not counted
 *   the lease is gone                       -> nothing: the job is somebody else's now
 *
 * A checkpoint is copied out of the file that the engine wrote, whose descriptor it may still hold, into a blob of the store's own; the row that names it and
 * its event are one transaction, and the blob before it goes. The last attempt that a crashing job has begins anew, in case it is the checkpoint that kills.
 *
 * Outputs are staged while the engine writes and hashed after it has ended, when nobody holds their descriptors any more. Their bytes are durable before the
 * transaction that names them, and a daemon that dies in between leaves only bytes that nobody names, which the next start removes. A full disk or a locked database while
 * telling the store is tried again for a minute: the work of hours is not thrown away for a moment's trouble. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/recipe/protocol.h"
#include "core/recipe/recipe.h"
#include "server/env.h"
#include "server/log.h"
#include "server/peek.h"
#include "server/pool_priv.h"
#include "server/pool_trials.h"
#include "server/runner.h"

#define CANCEL_GRACE_MS 5000
#define END_GRACE_MS 5000
#define PAUSE_GRACE_MS 30000 /* for the engine to come to a place where its state can be kept; after that the job goes on from the last checkpoint */
#define PERSIST_MS 60000
#define COPY_BYTES ((size_t)256 << 10)
#define LAST_LEASE_MS ((int64_t)3600 * 1000) /* for bytes that are hashed and synced in one piece: nobody else could do it sooner, and a daemon that starts anew asks no lease */
#define LOOK_TRIES 10 /* at a result that becomes a model, while uploads take all places */
#define MAX_EVENTS 100000 /* of one run, and one a second beside them; what an engine says beyond that is not kept */
#define MAX_EVENT_BYTES ((int64_t)256 << 20)
#define MAX_PLACE_BYTES ((size_t)4096) /* of what a checkpoint says of itself: it is part of the job as clients see it */

enum verdict { GOES_ON, RESULT, FAILED, CANCELED, CRASHED, STOPPED, PAUSED, LOST, FORKS, REFUSED, HELD_UP, NO_ROOM };

struct budget {
	int64_t n, bytes;
};

struct output {
	char name[72], media_type[72];
	struct blob_writer *writer;
	bool named;
};

struct run {
	struct srv_slot *slot;
	struct store *store;
	const struct store_job *job;
	struct srv_engine engine;
	struct pare_msg_start start;
	struct srv_trials trials;
	struct output outputs[PARE_MAX_ARTIFACTS];
	int n_outputs;
	char *result;
	struct blob_writer *checkpoint; /* being written by the engine */
	char kept[STORE_SHA256_HEX];    /* the job's checkpoint, "": none */
	struct output *named[PARE_MAX_ARTIFACTS]; /* by the result */
	int n_named;
	struct store_artifact artifacts[PARE_MAX_ARTIFACTS]; /* committed */
	int n_artifacts;
	struct store_file model_files[PARE_MAX_ARTIFACTS];
	struct store_asset model; /* what is registered when the job succeeds; info NULL: nothing */
	char *model_info;
	int64_t renew_at_ms, deadline_ms, kill_at_ms; /* kill_at: of a job that is being cancelled or paused */
	int64_t runtime_seconds;
	int64_t began_ms;
	struct budget events, states; /* states: phases and checkpoints, which no flood of figures may push out: a job that runs for days goes on from its last one */
	bool canceling, pausing;
	struct pare_err err;
};

/* Trouble of the machine and not of the job. */
static bool may_pass(enum pare_code code)
{
	switch (code) {
	case PARE_E_STORE_FULL:
	case PARE_E_BUSY:
	case PARE_E_NOMEM:
	case PARE_E_IO:
	case PARE_E_STORE:
		return true;
	default:
		return false;
	}
}

/* --- inputs and limits */
static enum pare_code add_inputs(struct run *r, const char *role, enum store_asset_kind kind, const char *id)
{
	struct store_asset a = {0};
	enum pare_code code = store_asset_get((struct store_view){r->store, r->job->owner}, kind, id, &a, &r->err);

	if (code != PARE_OK)
		return code;
	for (int i = 0; i < a.n_files && code == PARE_OK; i++) {
		struct pare_msg_input *in = &r->start.inputs[r->start.n_inputs];

		if (r->start.n_inputs == PARE_MAX_INPUTS) {
			code = pare_err_set(&r->err, PARE_E_LIMIT, id, "models and data set have more than %d files together", PARE_MAX_INPUTS);
			break;
		}
		code = blob_get(r->slot->pool->opt.blobs, a.files[i].sha256, &in->fd, &in->n_bytes, &r->err);
		if (code != PARE_OK)
			break;
		in->role = role;
		in->name = pare_strdup(a.files[i].path);
		in->sha256 = pare_strdup(a.files[i].sha256);
		r->start.n_inputs++;
		if (in->name == NULL || in->sha256 == NULL)
			code = pare_err_nomem(&r->err, 0);
	}
	store_asset_done(&a);
	return code;
}

/* Without it the job begins anew: no reason to lose it. */
static void add_checkpoint(struct run *r)
{
	struct pare_msg_input *in = &r->start.inputs[r->start.n_inputs];
	bool last_chance = r->job->crashes > 0 && r->job->crashes + 1 >= r->job->max_crashes;
	struct pare_err err;

	memcpy(r->kept, r->job->checkpoint, sizeof r->kept);
	if (r->kept[0] == '\0' || last_chance || r->start.n_inputs == PARE_MAX_INPUTS)
		return;
	if (blob_get(r->slot->pool->opt.blobs, r->kept, &in->fd, &in->n_bytes, &err) != PARE_OK) {
		srv_log_event(SRV_LOG_WARNING, "checkpoint.unread", "job", r->job->id, &err);
		return;
	}
	in->role = "checkpoint";
	in->name = pare_strdup("checkpoint");
	if (in->name == NULL)
		close(in->fd);
	else
		r->start.n_inputs++;
}

static void close_inputs(struct run *r)
{
	for (int i = 0; i < r->start.n_inputs; i++) {
		close(r->start.inputs[i].fd);
		pare_free((char *)r->start.inputs[i].name);
		pare_free((char *)r->start.inputs[i].sha256);
	}
	r->start.n_inputs = 0;
}

static int64_t at_most(const struct pare_args *limits, const char *name, int64_t most)
{
	int64_t v = limits != NULL && pare_args_has(limits, name) ? pare_args_int(limits, name) : most;

	return v < most ? v : most;
}

/* Limits, the second model's id ("": none), and what is known of a sweep, as the job's text has them. */
static enum pare_code set_limits(struct run *r, char *teacher, size_t size)
{
	const struct srv_pool_options *opt = &r->slot->pool->opt;
	struct pare_issues issues = {0};
	struct pare_job *job = NULL;
	const struct pare_args *limits;
	enum pare_code code;
	int64_t threads;

	if (pare_job_parse(r->job->request, strlen(r->job->request), &job, &issues, &r->err) != PARE_OK)
		return r->err.code;
	limits = pare_args_obj(pare_job_args(job), "limits");
	(void)snprintf(teacher, size, "%s", pare_args_has(pare_job_args(job), "teacher") ? pare_args_str(pare_job_args(job), "teacher") : "");
	threads = pare_args_has(pare_job_args(job), "threads") ? pare_args_int(pare_job_args(job), "threads") : 1;
	r->runtime_seconds = at_most(limits, "max_runtime_seconds", opt->max_runtime_seconds);
	r->start.memory_bytes = at_most(limits, "max_memory_bytes", opt->memory_bytes);
	r->start.cpu_seconds = r->runtime_seconds * (threads > 0 ? threads : 1) + 1;
	r->start.threads = threads;
	r->start.checkpoint_ms = opt->checkpoint_ms;
	code = srv_trials_know(&r->trials, r->store, r->job, job, &r->err);
	r->start.trials = r->trials.known;
	r->start.n_trials = r->trials.n_known;
	pare_job_free(job);
	return code;
}

static enum pare_code prepare(struct run *r)
{
	char teacher[64];

	r->start.kind = "run";
	r->start.job = r->job->request;
	if (set_limits(r, teacher, sizeof teacher) != PARE_OK || add_inputs(r, "model", STORE_MODEL, r->job->model) != PARE_OK)
		return r->err.code;
	if (teacher[0] != '\0' && add_inputs(r, "teacher", STORE_MODEL, teacher) != PARE_OK)
		return r->err.code;
	if (r->job->dataset != NULL && r->job->dataset[0] != '\0' && add_inputs(r, "data", STORE_DATASET, r->job->dataset) != PARE_OK)
		return r->err.code;
	add_checkpoint(r);
	return PARE_OK;
}

/* --- events and outputs */
static void told(struct run *r)
{
	r->slot->pool->opt.events_added(r->slot->pool->opt.ctx, r->job->id);
}

static bool too_many(const struct run *r, struct budget *b, const struct pare_msg *m)
{
	int64_t seconds = (srv_env.mono_ms(NULL) - r->began_ms) / 1000, n = (int64_t)strlen(m->data);

	if (b->n >= MAX_EVENTS + seconds || b->bytes + n > MAX_EVENT_BYTES + seconds * (MAX_EVENT_BYTES / MAX_EVENTS))
		return true;
	b->n++;
	b->bytes += n;
	return false;
}

static enum verdict keep_event(struct run *r, const struct pare_msg *m)
{
	char type[48], phase[64], level[16];
	bool is_phase = strcmp(m->event, "phase") == 0 && srv_peek_string(m->data, "phase", phase, sizeof phase);
	bool is_progress = strcmp(m->event, "progress") == 0;
	enum pare_code code = PARE_E_BUSY;

	if (too_many(r, is_phase ? &r->states : &r->events, m))
		return GOES_ON;
	snprintf(type, sizeof type, "job.%s", m->event);
	if (strcmp(m->event, "log") != 0 || !srv_peek_string(m->data, "level", level, sizeof level))
		snprintf(level, sizeof level, "info");
	code = store_job_event(r->store, r->job->id, r->job->lease_token, type, level, m->data, is_phase ? phase : NULL, is_progress ? m->data : NULL, &r->err);
	if (code == PARE_E_LEASE_LOST)
		return LOST;
	if (code != PARE_OK) /* a lost progress line is no reason to lose the job */
		srv_log_event(SRV_LOG_WARNING, "event.lost", "job", r->job->id, &r->err);
	else
		told(r);
	return GOES_ON;
}

static enum verdict renew(struct run *r, int64_t lease_ms);

/* Copies what the engine wrote; *out is held. The lease is renewed on the way, and lengthened for the commit. */
static enum pare_code copy_checkpoint(struct run *r, struct blob_ref *out, struct pare_err *err)
{
	struct blob_writer *copy = NULL;
	char *chunk = pare_alloc(COPY_BYTES);
	enum pare_code code = chunk != NULL ? blob_begin(r->slot->pool->opt.blobs, r->slot->pool->opt.max_artifact_bytes, &copy, err) : pare_err_nomem(err, COPY_BYTES);
	int fd = blob_writer_fd(r->checkpoint);
	int64_t at = 0;
	ssize_t n = 1;

	while (code == PARE_OK && n > 0) {
		n = pread(fd, chunk, COPY_BYTES, at);
		if (n < 0 && errno != EINTR)
			code = pare_err_errno(err, errno, "reading a checkpoint");
		else if (n > 0)
			code = blob_write(copy, chunk, (size_t)n, err);
		n = n < 0 ? 1 : n;
		at += n;
		if (code == PARE_OK && srv_env.mono_ms(NULL) >= r->renew_at_ms && renew(r, SRV_LEASE_MS) == LOST)
			code = pare_err_set(err, PARE_E_LEASE_LOST, NULL, "the lease was lost while a checkpoint was copied");
	}
	pare_free(chunk);
	if (code == PARE_OK && renew(r, LAST_LEASE_MS) == LOST)
		code = pare_err_set(err, PARE_E_LEASE_LOST, NULL, "the lease was lost while a checkpoint was copied");
	r->renew_at_ms = 0; /* back to the ordinary lease */
	if (code == PARE_OK)
		return blob_commit(copy, out, err);
	blob_abort(copy);
	return code;
}

static void forget_blob(struct run *r, const char *sha256)
{
	if (sha256[0] != '\0')
		(void)store_blob_drop(r->store, r->slot->pool->opt.blobs, sha256);
}

/* One that cannot be kept is a warning in the log; the last one stays. */
static enum verdict keep_checkpoint(struct run *r, const struct pare_msg *m)
{
	char last[STORE_SHA256_HEX];
	struct blob_ref ref = {.n_bytes = 0};
	struct pare_err err;
	enum pare_code code = PARE_E_INVALID;

	if (r->checkpoint == NULL || strlen(m->data) > MAX_PLACE_BYTES) {
		pare_err_set(&r->err, PARE_E_WORKER_CRASHED, NULL, "the engine tells of a checkpoint that it never opened, or too much of one");
		return CRASHED;
	}
	if (too_many(r, &r->states, m))
		return GOES_ON;
	code = copy_checkpoint(r, &ref, &err);
	blob_abort(r->checkpoint);
	r->checkpoint = NULL;
	if (code == PARE_OK) {
		code = store_job_checkpoint(r->store, r->job->id, r->job->lease_token, ref.sha256, ref.n_bytes, m->data, &err);
		blob_release(r->slot->pool->opt.blobs, ref.sha256);
		memcpy(last, r->kept, sizeof last);
		if (code == PARE_OK)
			memcpy(r->kept, ref.sha256, sizeof r->kept);
		forget_blob(r, code == PARE_OK ? last : ref.sha256);
	}
	if (code == PARE_E_LEASE_LOST)
		return LOST;
	if (code != PARE_OK)
		srv_log_event(SRV_LOG_WARNING, "checkpoint.lost", "job", r->job->id, &err);
	else
		told(r);
	return r->pausing && code == PARE_OK ? PAUSED : GOES_ON;
}

static struct output *find_output(struct run *r, const char *name)
{
	for (int i = 0; i < r->n_outputs; i++)
		if (strcmp(r->outputs[i].name, name) == 0)
			return &r->outputs[i];
	return NULL;
}

static void answer_fd(struct run *r, const char *name, struct blob_writer *w)
{
	if (srv_engine_answer_fd(&r->engine, name, blob_writer_fd(w), &r->err) != PARE_OK)
		srv_log_event(SRV_LOG_WARNING, "engine.unanswered", "job", r->job->id, &r->err); /* an engine that cannot be answered is about to be heard of as dead */
}

static void answer_error(struct run *r)
{
	struct pare_err answer = r->err;

	if (srv_engine_answer_error(&r->engine, &answer, &r->err) != PARE_OK)
		srv_log_event(SRV_LOG_WARNING, "engine.unanswered", "job", r->job->id, &r->err);
}

static enum verdict open_checkpoint(struct run *r)
{
	blob_abort(r->checkpoint);
	r->checkpoint = NULL;
	if (blob_begin(r->slot->pool->opt.blobs, r->slot->pool->opt.max_artifact_bytes, &r->checkpoint, &r->err) != PARE_OK)
		answer_error(r);
	else
		answer_fd(r, PARE_CHECKPOINT_OUTPUT, r->checkpoint);
	return GOES_ON;
}

static enum verdict open_output(struct run *r, const struct pare_msg *m)
{
	struct output *o = &r->outputs[r->n_outputs];

	if (strcmp(m->name, PARE_CHECKPOINT_OUTPUT) == 0)
		return open_checkpoint(r);
	if (r->n_outputs == PARE_MAX_ARTIFACTS || find_output(r, m->name) != NULL) {
		pare_err_set(&r->err, PARE_E_WORKER_CRASHED, m->name, "the engine opened an output twice, or too many of them");
		return CRASHED;
	}
	if (blob_begin(r->slot->pool->opt.blobs, r->slot->pool->opt.max_artifact_bytes, &o->writer, &r->err) != PARE_OK) {
		answer_error(r);
		return GOES_ON;
	}
	snprintf(o->name, sizeof o->name, "%s", m->name);
	snprintf(o->media_type, sizeof o->media_type, "%s", m->media_type);
	r->n_outputs++;
	answer_fd(r, m->name, o->writer);
	return GOES_ON;
}

static enum verdict renew(struct run *r, int64_t lease_ms)
{
	enum store_job_status status = STORE_RUNNING;
	enum pare_code code = store_job_renew(r->store, r->job->id, r->job->lease_token, lease_ms, &status, &r->err);

	r->renew_at_ms = srv_env.mono_ms(NULL) + SRV_RENEW_MS;
	if (code == PARE_E_LEASE_LOST || code == PARE_E_NOT_FOUND)
		return LOST;
	if (code != PARE_OK)
		srv_log_event(SRV_LOG_WARNING, "lease.unrenewed", "job", r->job->id, &r->err);
	else
		srv_pool_note_lease(r->slot, lease_ms);
	if (code == PARE_OK && !r->canceling && (status == STORE_CANCELING || (status == STORE_PAUSING) != r->pausing))
		srv_pool_ask(r->slot->pool, r->job->id, status);
	return GOES_ON;
}

static enum verdict take_result(struct run *r, const struct pare_msg *m)
{
	for (int i = 0; i < m->n_artifacts; i++) {
		struct output *o = find_output(r, m->artifacts[i]);

		if (o == NULL || o->named) {
			pare_err_set(&r->err, PARE_E_WORKER_CRASHED, m->artifacts[i], "the engine names an output twice, or one that it never opened");
			return CRASHED;
		}
		o->named = true;
		r->named[r->n_named++] = o;
	}
	r->result = pare_strdup(m->data);
	if (r->result == NULL) {
		pare_err_nomem(&r->err, strlen(m->data));
		return FAILED;
	}
	return RESULT;
}

/* How large the results are and how much of them is on the disk. While the engine still writes, nobody knows how large they will be; a model takes about as much as what it was made of. */
static int64_t measure_outputs(const struct run *r, int64_t *out_there)
{
	int64_t n_all = 0, n_model = 0;

	for (int i = 0; i < r->n_outputs; i++) {
		struct stat st;

		if (r->outputs[i].writer == NULL || fstat(blob_writer_fd(r->outputs[i].writer), &st) != 0)
			continue;
		n_all += st.st_size;
		*out_there += st.st_blocks * 512 < st.st_size ? st.st_blocks * 512 : st.st_size;
	}
	for (int i = 0; i < r->n_artifacts; i++) {
		n_all += r->artifacts[i].n_bytes;
		*out_there += r->artifacts[i].n_bytes;
	}
	for (int i = 0; i < r->start.n_inputs && r->result == NULL; i++)
		n_model += strcmp(r->start.inputs[i].role, "model") == 0 ? r->start.inputs[i].n_bytes : 0;
	return n_all > n_model ? n_all : n_model;
}

static enum verdict no_room(struct run *r, int64_t n_all, int64_t n_there)
{
	struct pare_err why = r->err;
	int64_t n_free = blob_free_bytes(r->slot->pool->opt.blobs), n_missing = n_all - n_there - (n_free > 0 ? n_free : 0);

	pare_err_set(&r->err, PARE_E_STORE_FULL, NULL, "no space is left on the disk of the store (%.200s): %lld of %lld bytes of results have room, and %s%lld are missing", why.message,
	    (long long)n_there, (long long)n_all, r->result != NULL ? "" : "at least about ", (long long)(n_missing > 0 ? n_missing : 1));
	return NO_ROOM;
}

static enum verdict no_room_to_write(struct run *r)
{
	int64_t n_there = 0, n_all = measure_outputs(r, &n_there);

	return no_room(r, n_all, n_there);
}

static enum verdict commit_outputs(struct run *r)
{
	for (int i = 0; i < r->n_named; i++) {
		struct output *o = r->named[i];
		struct store_artifact *a = &r->artifacts[r->n_artifacts];
		struct blob_ref ref;
		int64_t n_all, n_there = 0;
		enum pare_code code;

		if (renew(r, LAST_LEASE_MS) == LOST)
			return LOST;
		n_all = measure_outputs(r, &n_there);
		code = blob_commit(o->writer, &ref, &r->err);
		o->writer = NULL;
		if (code != PARE_OK)
			return code == PARE_E_STORE_FULL ? no_room(r, n_all, n_there) : FAILED;
		a->name = o->name;
		a->media_type = o->media_type;
		memcpy(a->sha256, ref.sha256, sizeof a->sha256);
		a->n_bytes = ref.n_bytes;
		r->n_artifacts++;
	}
	return RESULT;
}

/* Is it a file of the model that was made? External data keep the names they came with. */
static bool is_model_file(const struct run *r, const char *name)
{
	if (strcmp(name, "model.onnx") == 0)
		return true;
	for (int i = 0; i < r->start.n_inputs; i++)
		if (strcmp(r->start.inputs[i].role, "model") == 0 && strcmp(r->start.inputs[i].name, name) == 0)
			return true;
	return false;
}

/* A result that becomes a model is looked at as an upload is. That may take longer than a lease, so this one is lengthened first: nobody else claims the job meanwhile, and a daemon that
 * starts anew asks no lease. */
static enum verdict look_at_model(struct run *r)
{
	enum store_job_status status;
	struct srv_look *look = r->slot->pool->opt.look;
	int n = 0;
	enum pare_code code = PARE_E_BUSY;

	if (r->job->register_as[0] == '\0')
		return RESULT;
	for (int i = 0; i < r->n_artifacts; i++)
		if (is_model_file(r, r->artifacts[i].name)) {
			r->model_files[n].path = r->artifacts[i].name;
			r->model_files[n].n_bytes = r->artifacts[i].n_bytes;
			memcpy(r->model_files[n++].sha256, r->artifacts[i].sha256, sizeof r->artifacts[i].sha256);
		}
	for (int i = 0; i < LOOK_TRIES && code == PARE_E_BUSY; i++) {
		code = store_job_renew(r->store, r->job->id, r->job->lease_token, SRV_LEASE_MS + 2 * srv_look_limit_ms(look), &status, &r->err);
		if (code == PARE_E_LEASE_LOST || code == PARE_E_NOT_FOUND)
			return LOST;
		code = srv_look_inspect(look, STORE_MODEL, r->model_files, n, NULL, &r->model_info, &r->err);
	}
	if (code == PARE_E_DRAINING)
		return STOPPED;
	if (code != PARE_OK) {
		(void)pare_err_at(&r->err, "/register");
		return REFUSED;
	}
	r->model = (struct store_asset){.kind = STORE_MODEL, .info = r->model_info, .n_files = n, .files = r->model_files};
	return RESULT;
}

/* A SIGTERM that we did not send: of a service manager that ends all of a unit at once, most likely, or of an operator. */
static enum verdict stopped_by_others(struct run *r)
{
	pare_err_set(&r->err, PARE_E_WORKER_CRASHED, NULL, "the engine was told to stop by somebody else than this service");
	return HELD_UP;
}

static enum verdict obey(struct run *r, const struct pare_msg *m)
{
	switch (m->type) {
	case PARE_MSG_EVENT:
		return strcmp(m->event, "checkpoint") == 0 ? keep_checkpoint(r, m) : keep_event(r, m);
	case PARE_MSG_OPEN:
		return open_output(r, m);
	case PARE_MSG_RESULT:
		return take_result(r, m);
	case PARE_MSG_ERROR:
		r->err = m->error;
		return r->canceling ? CANCELED : r->err.code == PARE_E_CANCELED ? stopped_by_others(r) : r->err.code == PARE_E_STORE_FULL ? no_room_to_write(r) : FAILED;
	case PARE_MSG_TRIALS:
		return srv_trials_take(&r->trials, m, &r->err) == PARE_OK ? FORKS : CRASHED;
	default:
		pare_err_set(&r->err, PARE_E_WORKER_CRASHED, NULL, "the engine sent a message that is not its to send");
		return CRASHED;
	}
}

/* --- the conversation */

/* What was asked since the last look. An engine that is asked to keep its state goes on; the checkpoint that it then tells of is the end of this run. */
static void take_notice(struct run *r, enum store_job_status asked, int64_t now)
{
	if (r->canceling)
		return;
	if (asked == STORE_CANCELING) {
		r->canceling = true;
		r->kill_at_ms = now + CANCEL_GRACE_MS;
		srv_engine_signal(&r->engine, SIGTERM);
	} else if (asked == STORE_PAUSING && !r->pausing) {
		r->kill_at_ms = now + PAUSE_GRACE_MS;
		srv_engine_signal(&r->engine, SIGUSR1);
	}
	r->pausing = asked == STORE_PAUSING;
}

static enum verdict look_around(struct run *r)
{
	int64_t now = srv_env.mono_ms(NULL);
	enum store_job_status asked;
	bool stop;

	srv_pool_asked(r->slot, &stop, &asked);
	if (stop)
		return STOPPED;
	take_notice(r, asked, now);
	if (r->canceling && now >= r->kill_at_ms)
		return CANCELED;
	if (r->pausing && now >= r->kill_at_ms)
		return PAUSED;
	if (now >= r->deadline_ms) {
		pare_err_set(&r->err, PARE_E_TIMEOUT, NULL, "the job ran longer than %lld seconds; limits.max_runtime_seconds and the server's max-runtime-seconds set that",
		    (long long)r->runtime_seconds);
		return FAILED;
	}
	if (now < r->renew_at_ms)
		return GOES_ON;
	srv_pool_expire(r->slot->pool);
	return renew(r, SRV_LEASE_MS);
}

static enum verdict at_its_end(struct run *r)
{
	enum pare_code code;

	srv_engine_end(&r->engine, END_GRACE_MS);
	if (r->canceling)
		return CANCELED;
	if (r->pausing && WIFSIGNALED(r->engine.status) && WTERMSIG(r->engine.status) == SIGUSR1) /* asked before it could listen */
		return PAUSED;
	if (WIFSIGNALED(r->engine.status) && WTERMSIG(r->engine.status) == SIGTERM)
		return stopped_by_others(r);
	code = srv_engine_death(&r->engine, &r->err);
	return code == PARE_E_WORKER_CRASHED ? CRASHED : FAILED;
}

static int64_t patience(const struct run *r)
{
	int64_t until = r->renew_at_ms < r->deadline_ms ? r->renew_at_ms : r->deadline_ms;

	if ((r->canceling || r->pausing) && r->kill_at_ms < until)
		until = r->kill_at_ms;
	until -= srv_env.mono_ms(NULL);
	return until > 0 ? until : 0;
}

static enum verdict converse(struct run *r)
{
	enum verdict v = look_around(r);

	while (v == GOES_ON) {
		struct pare_msg m;

		switch (srv_engine_hear(&r->engine, r->slot->wake, patience(r), &m, &r->err)) {
		case SRV_HEARD_MESSAGE:
			v = obey(r, &m);
			pare_msg_done(&m);
			if (v == GOES_ON)
				v = look_around(r);
			break;
		case SRV_HEARD_NOTHING:
			v = look_around(r);
			break;
		case SRV_HEARD_END:
			v = at_its_end(r);
			break;
		case SRV_HEARD_RUBBISH:
			srv_log_event(SRV_LOG_WARNING, "engine.rubbish", "job", r->job->id, &r->err);
			pare_err_set(&r->err, PARE_E_WORKER_CRASHED, NULL, "the engine said something that is not a message of the protocol");
			v = CRASHED;
			break;
		}
	}
	return v;
}

static enum verdict run_engine(struct run *r)
{
	enum verdict v;

	r->began_ms = srv_env.mono_ms(NULL);
	r->deadline_ms = r->began_ms + r->runtime_seconds * 1000;
	r->renew_at_ms = r->began_ms + SRV_RENEW_MS;
	if (srv_engine_start(&r->engine, r->slot->pool->core, r->job->id, &r->start, &r->err) != PARE_OK)
		return may_pass(r->err.code) ? HELD_UP : FAILED;
	srv_pool_note_engine(r->slot, (int)r->engine.pid);
	v = converse(r);
	if (v != RESULT && v != FORKS)
		srv_engine_signal(&r->engine, SIGKILL);
	srv_engine_end(&r->engine, v == RESULT || v == FORKS ? END_GRACE_MS : 0);
	srv_pool_note_engine(r->slot, 0);
	v = v == RESULT ? commit_outputs(r) : v;
	return v == RESULT ? look_at_model(r) : v;
}

/* --- telling the store */
static enum pare_code tell_once(struct run *r, enum verdict v, struct pare_err *err)
{
	struct store_outcome o = {.status = v == RESULT ? STORE_SUCCEEDED : v == CANCELED ? STORE_CANCELED : STORE_FAILED};
	enum pare_code code;

	if (v == FORKS) {
		code = srv_trials_fork(&r->trials, r->store, r->job, err);
		if (code != PARE_E_CANCELED) /* asked for meanwhile */
			return code;
		o.status = STORE_CANCELED;
	}

	if (v == CRASHED || v == STOPPED || v == PAUSED || v == HELD_UP)
		return store_job_release(r->store, r->job->id, r->job->lease_token, v == CRASHED, v == PAUSED ? "it was asked to pause" : v == STOPPED ? "the server is shutting down" : r->err.message, err);
	if (v == NO_ROOM)
		return store_job_stall(r->store, r->job->id, r->job->lease_token, r->slot->pool->opt.full_ms, r->err.message, err);
	if (v == RESULT || v == REFUSED) {
		o.result = r->result;
		o.artifacts = r->artifacts;
		o.n_artifacts = r->n_artifacts;
	}
	if (v == RESULT && r->model.info != NULL) {
		o.model = &r->model;
	} else if (v == FAILED || v == REFUSED) {
		o.code = r->err.code;
		o.message = r->err.message;
		o.where = r->err.where;
	}
	return store_job_finish(r->store, r->job->id, r->job->lease_token, &o, err);
}

static enum pare_code tell(struct run *r, enum verdict v, struct pare_err *err)
{
	int64_t give_up_at = srv_env.mono_ms(NULL) + PERSIST_MS;
	struct timespec nap = {.tv_nsec = 50000000};
	enum pare_code code;
	enum store_job_status asked;
	bool stop = false;

	while ((code = tell_once(r, v, err)) != PARE_OK && may_pass(code) && srv_env.mono_ms(NULL) < give_up_at && !stop) {
		srv_log_event(SRV_LOG_ERROR, "job.unsettled", "job", r->job->id, err);
		nanosleep(&nap, NULL);
		nap.tv_nsec = nap.tv_nsec < 800000000 ? nap.tv_nsec * 2 : nap.tv_nsec;
		srv_pool_asked(r->slot, &stop, &asked);
	}
	return code;
}

static void settle(struct run *r, enum verdict v)
{
	static const char *const names[] = {"", "succeeded", "failed", "canceled", "crashed", "given_back", "paused", "lost", "waits", "unregistered", "held_up", "no_room"};
	struct pare_err err = {0};
	struct srv_log_line l;
	enum pare_code code = v == LOST ? PARE_OK : tell(r, v, &err);

	if (r->model.id[0] != '\0')
		r->slot->pool->opt.events_added(r->slot->pool->opt.ctx, r->model.id);
	told(r);
	if (r->job->parent[0] != '\0')
		r->slot->pool->opt.events_added(r->slot->pool->opt.ctx, r->job->parent);
	if (v == FORKS || r->job->parent[0] != '\0') /* there are more jobs, or there may be one: the parent's */
		srv_pool_wake(r->slot->pool);
	srv_log_begin(&l, v == CRASHED || v == HELD_UP || v == NO_ROOM || code != PARE_OK ? SRV_LOG_WARNING : SRV_LOG_INFO, code == PARE_OK ? "job.ended" : "job.abandoned");
	srv_log_str(&l, "job", r->job->id);
	srv_log_str(&l, "outcome", names[v]);
	srv_log_int(&l, "attempt", r->job->attempt);
	if (code != PARE_OK)
		srv_log_err(&l, &err);
	else if (v == FAILED || v == CRASHED || v == REFUSED || v == HELD_UP || v == NO_ROOM)
		srv_log_err(&l, &r->err);
	srv_log_end(&l);
}

bool srv_pool_run_job(struct srv_slot *slot, const struct store_job *job)
{
	struct run *r = pare_calloc(1, sizeof *r);
	struct pare_err err;
	bool prepared;
	enum verdict v;

	if (r == NULL) {
		srv_log_event(SRV_LOG_ERROR, "job.no_memory", "job", job->id, NULL);
		if (store_job_release(slot->pool->opt.store, job->id, job->lease_token, false, "out of memory", &err) != PARE_OK)
			srv_log_event(SRV_LOG_ERROR, "job.abandoned", "job", job->id, &err);
		return false;
	}
	r->slot = slot;
	r->store = slot->pool->opt.store;
	r->job = job;
	srv_log_event(SRV_LOG_INFO, "job.started", "job", job->id, NULL);
	prepared = prepare(r) == PARE_OK;
	v = prepared ? run_engine(r) : may_pass(r->err.code) ? CRASHED : FAILED; /* counted: a file of this job alone may be what cannot be read */
	close_inputs(r);
	for (int i = 0; i < r->n_outputs; i++)
		blob_abort(r->outputs[i].writer);
	blob_abort(r->checkpoint);
	settle(r, v);
	forget_blob(r, r->kept); /* goes unless the job may still need it */
	for (int i = 0; i < r->n_artifacts; i++) { /* rows name them now, or they go */
		blob_release(slot->pool->opt.blobs, r->artifacts[i].sha256);
		(void)store_blob_drop(r->store, slot->pool->opt.blobs, r->artifacts[i].sha256);
	}
	srv_trials_done(&r->trials);
	pare_free(r->result);
	pare_free(r->model_info);
	pare_free(r);
	return v != HELD_UP && (prepared || v != CRASHED);
}
