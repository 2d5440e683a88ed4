/* The same engine, the same sandbox and the same conversation as a job has, only shorter: no events are kept; of outputs, a model that is built
 * is asked for, or files to decode a data set into. Slots are counted under a mutex; a waiting caller sleeps on a condition with a deadline, so that an
 * attacker who uploads files that take long to look at keeps two processes busy and no more. */
#include "server/look.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/recipe/protocol.h"
#include "server/env.h"
#include "server/log.h"
#include "server/runner.h"

#define END_GRACE_MS 2000

struct srv_look {
	struct srv_look_options opt;
	char *core;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	int busy;
	bool stopping;
	int wake; /* readable once stopping, and for ever */
};

/* One conversation: what is asked, and what came of it. */
struct talk {
	struct pare_msg_start start;
	struct blob_writer *writer; /* build: the model */
	bool wants_output, may_spill;
	struct blob_writer *scratch[PARE_MAX_INPUTS]; /* what the engine decodes a data set into; dropped afterwards */
	int n_scratch;
	char *info;
};

enum pare_code srv_look_new(const struct srv_look_options *opt, struct srv_look **out, struct pare_err *err)
{
	struct srv_look *l = pare_calloc(1, sizeof *l);
	pthread_condattr_t attr;

	if (l == NULL)
		return pare_err_nomem(err, sizeof *l);
	l->opt = *opt;
	l->core = pare_strdup(opt->core);
	l->wake = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->freed, &attr);
	pthread_condattr_destroy(&attr);
	if (l->core == NULL || l->wake < 0) {
		srv_look_free(l);
		return pare_err_set(err, PARE_E_NOMEM, NULL, "no memory or no descriptor for the inspection service");
	}
	*out = l;
	return PARE_OK;
}

int64_t srv_look_limit_ms(const struct srv_look *l)
{
	return l->opt.limit_ms;
}

void srv_look_stop(struct srv_look *l)
{
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_cond_broadcast(&l->freed);
	pthread_mutex_unlock(&l->lock);
	eventfd_write(l->wake, 1);
}

void srv_look_free(struct srv_look *l)
{
	if (l == NULL)
		return;
	if (l->wake >= 0)
		close(l->wake);
	pthread_cond_destroy(&l->freed);
	pthread_mutex_destroy(&l->lock);
	pare_free(l->core);
	pare_free(l);
}

static enum pare_code enter(struct srv_look *l, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += l->opt.limit_ms / 1000;
	pthread_mutex_lock(&l->lock);
	while (l->busy >= l->opt.concurrency && !l->stopping && code == PARE_OK)
		if (pthread_cond_timedwait(&l->freed, &l->lock, &until) == ETIMEDOUT)
			code = pare_err_set(err, PARE_E_BUSY, NULL, "too many uploads are being looked at; try again in a moment");
	if (l->stopping)
		code = pare_err_set(err, PARE_E_DRAINING, NULL, "the server is shutting down");
	if (code == PARE_OK)
		l->busy++;
	pthread_mutex_unlock(&l->lock);
	return code;
}

static void leave(struct srv_look *l)
{
	pthread_mutex_lock(&l->lock);
	l->busy--;
	pthread_cond_signal(&l->freed);
	pthread_mutex_unlock(&l->lock);
}

static enum pare_code give_output(struct srv_look *l, struct srv_engine *e, struct talk *t, const struct pare_msg *m, struct pare_err *err)
{
	struct blob_writer **w = t->wants_output ? &t->writer : &t->scratch[t->n_scratch];

	if (t->wants_output ? t->writer != NULL : !t->may_spill || t->n_scratch == PARE_MAX_INPUTS)
		return pare_err_set(err, PARE_E_WORKER_CRASHED, NULL, "the engine asked for an output, \"%s\", that nobody wants", m->name);
	if (blob_begin(l->opt.blobs, INT64_MAX, w, err) != PARE_OK)
		return err->code;
	t->n_scratch += t->wants_output ? 0 : 1;
	return srv_engine_answer_fd(e, m->name, blob_writer_fd(*w), err);
}

/* One message; *done when it was the last. */
static enum pare_code obey(struct srv_look *l, struct srv_engine *e, struct talk *t, struct pare_msg *m, bool *done, struct pare_err *err)
{
	switch (m->type) {
	case PARE_MSG_OPEN:
		return give_output(l, e, t, m, err);
	case PARE_MSG_RESULT:
		*done = true;
		t->info = pare_strdup(m->data);
		return t->info != NULL ? PARE_OK : pare_err_nomem(err, strlen(m->data));
	case PARE_MSG_ERROR:
		*err = m->error;
		return err->code;
	default:
		return PARE_OK;
	}
}

static enum pare_code converse(struct srv_look *l, struct srv_engine *e, struct talk *t, struct pare_err *err)
{
	int64_t deadline = srv_env.mono_ms(NULL) + l->opt.limit_ms;
	enum pare_code code = PARE_OK;
	bool done = false;

	while (!done && code == PARE_OK) {
		struct pare_msg m;
		int64_t left = deadline - srv_env.mono_ms(NULL);

		switch (srv_engine_hear(e, l->wake, left, &m, err)) {
		case SRV_HEARD_MESSAGE:
			code = obey(l, e, t, &m, &done, err);
			pare_msg_done(&m);
			break;
		case SRV_HEARD_NOTHING:
			srv_engine_signal(e, SIGKILL);
			srv_engine_end(e, 0);
			if (left > 0 && deadline > srv_env.mono_ms(NULL))
				return pare_err_set(err, PARE_E_DRAINING, NULL, "the server is shutting down");
			return pare_err_set(err, PARE_E_TIMEOUT, NULL, "the engine did not finish looking at it within %lld seconds", (long long)(l->opt.limit_ms / 1000));
		case SRV_HEARD_END:
			srv_engine_end(e, END_GRACE_MS);
			return srv_engine_death(e, err);
		case SRV_HEARD_RUBBISH:
			srv_engine_signal(e, SIGKILL);
			return pare_err_set(err, PARE_E_WORKER_CRASHED, NULL, "the engine said something that is not a message of the protocol");
		}
	}
	return code;
}

static enum pare_code run(struct srv_look *l, struct talk *t, struct pare_err *err)
{
	struct srv_engine e;
	enum pare_code code = enter(l, err);

	if (code != PARE_OK)
		return code;
	t->start.memory_bytes = l->opt.memory_bytes;
	t->start.cpu_seconds = l->opt.limit_ms / 1000;
	code = srv_engine_start(&e, l->core, t->start.kind, &t->start, err);
	if (code == PARE_OK) {
		code = converse(l, &e, t, err);
		srv_engine_end(&e, END_GRACE_MS);
	}
	leave(l);
	if (code != PARE_OK && pare_code_class(code) == PARE_CLASS_INTERNAL)
		srv_log_event(SRV_LOG_WARNING, "engine.failed", "kind", t->start.kind, err);
	return code;
}

static enum pare_code add_files(struct srv_look *l, struct talk *t, const char *role, const struct store_file *files, int n_files, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	if (n_files < 1 || n_files > PARE_MAX_INPUTS - t->start.n_inputs)
		return pare_err_set(err, PARE_E_LIMIT, NULL, "%d files were given, there must be between 1 and %d", n_files, PARE_MAX_INPUTS);
	for (int i = 0; i < n_files && code == PARE_OK; i++) {
		struct pare_msg_input *in = &t->start.inputs[t->start.n_inputs];

		in->role = role;
		in->name = files[i].path;
		code = blob_get(l->opt.blobs, files[i].sha256, &in->fd, &in->n_bytes, err);
		if (code == PARE_OK)
			t->start.n_inputs++;
	}
	return code;
}

/* Runs the talk if code is PARE_OK, and gives back what it holds. */
static enum pare_code finish(struct srv_look *l, struct talk *t, enum pare_code code, char **out_info, struct pare_err *err)
{
	if (code == PARE_OK)
		code = run(l, t, err);
	for (int i = 0; i < t->start.n_inputs; i++)
		close(t->start.inputs[i].fd);
	for (int i = 0; i < t->n_scratch; i++)
		blob_abort(t->scratch[i]);
	if (code != PARE_OK) {
		pare_free(t->info);
		return code;
	}
	*out_info = t->info;
	return PARE_OK;
}

enum pare_code srv_look_inspect(struct srv_look *l, enum store_asset_kind kind, const struct store_file *files, int n_files, const char *options, char **out_info, struct pare_err *err)
{
	bool model = kind == STORE_MODEL;
	struct talk t = {.start = {.kind = model ? "inspect-model" : "inspect-dataset", .options = options}, .may_spill = !model};

	return finish(l, &t, add_files(l, &t, model ? "model" : "data", files, n_files, err), out_info, err);
}

enum pare_code srv_look_sample(struct srv_look *l, const struct store_file *files, int n_files, const char *options, int n_rows, char **out_rows, struct pare_err *err)
{
	char job[32];
	struct talk t = {.start = {.kind = "sample-dataset", .job = job, .options = options}, .may_spill = true};

	snprintf(job, sizeof job, "{\"rows\":%d}", n_rows);
	return finish(l, &t, add_files(l, &t, "data", files, n_files, err), out_rows, err);
}

enum pare_code srv_look_analyze(struct srv_look *l, const char *job, const struct api_engine_input *inputs, int n_inputs, char **out_info, struct pare_err *err)
{
	struct talk t = {.start = {.kind = "analyze", .job = job}, .may_spill = true};
	enum pare_code code = PARE_OK;

	for (int i = 0; i < n_inputs && code == PARE_OK; i++)
		code = add_files(l, &t, inputs[i].role, inputs[i].files, inputs[i].n_files, err);
	return finish(l, &t, code, out_info, err);
}

enum pare_code srv_look_build(struct srv_look *l, const char *architecture, struct blob_ref *out, char **out_info, struct pare_err *err)
{
	struct talk t = {.start = {.kind = "build", .architecture = architecture}, .wants_output = true};
	enum pare_code code = run(l, &t, err);

	if (code == PARE_OK && t.writer == NULL)
		code = pare_err_set(err, PARE_E_WORKER_CRASHED, NULL, "the engine finished without writing the model");
	if (code == PARE_OK) {
		code = blob_commit(t.writer, out, err);
		t.writer = NULL;
	}
	blob_abort(t.writer);
	if (code != PARE_OK) {
		pare_free(t.info);
		return code;
	}
	*out_info = t.info;
	return PARE_OK;
}

enum pare_code srv_look_capabilities(struct srv_look *l, char **out_info, struct pare_err *err)
{
	struct talk t = {.start = {.kind = "capabilities"}};

	return finish(l, &t, PARE_OK, out_info, err);
}
