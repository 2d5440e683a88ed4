/* The engine of a sweep makes no runs. It is told what came of those that were made, and goes on, or ends by naming the ones that it needs next. These
 * become jobs, the sweep's job lets go of its worker, and the store queues it again when the last of them has ended. So a sweep is a few short runs of an
 * engine that plans, between which the whole pool works for it, and nothing of it lives in this process.
 *
 * What a run found is read from its job: the figures from its result; any other end is a run that failed with that job's message, as one that diverges does. A job
 * that does an ended one again (retry) also knows what that one's runs found, and only what they found: a crash or a cancel is no finding.
 *
 * The engine's word is checked like an upload: a run that the sweep does not have, that is known, or that is named twice makes no job. */
#include "server/pool_trials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define PAGE 200
#define MAX_RETRIES 16 /* that are followed back */

/* --- what is known */

static int by_place(const void *a, const void *b)
{
	return pare_trial_compare(a, b);
}

static enum pare_code add(struct srv_trials *t, const struct pare_trial *trial, struct pare_err *err)
{
	if (t->n_known == t->n_room) {
		int room = 2 * t->n_room + 16;
		struct pare_trial *more = pare_realloc(t->known, (size_t)room * sizeof *more);

		if (more == NULL)
			return pare_err_nomem(err, (size_t)room * sizeof *more);
		t->known = more;
		t->n_room = room;
	}
	t->known[t->n_known++] = *trial;
	return PARE_OK;
}

static bool is_finding(const struct store_job *j)
{
	static const enum pare_code findings[] = {PARE_E_DIVERGED, PARE_E_NONFINITE};

	for (size_t i = 0; i < sizeof findings / sizeof findings[0]; i++)
		if (strcmp(j->error_code, pare_code_string(findings[i])) == 0)
			return true;
	return j->status == STORE_SUCCEEDED;
}

/* What came of a child that has ended. False: it names no run of the sweep. */
static bool outcome_of(const struct srv_trials *t, const struct store_job *child, struct pare_trial *out)
{
	struct pare_trial place;
	const char *why = child->error_message;

	if (pare_trial_read(child->trial, strlen(child->trial), false, &place, NULL) != PARE_OK || !pare_sweep_has(&t->shape, &place))
		return false;
	if (child->status == STORE_SUCCEEDED) {
		if (pare_trial_result_read(child->result, strlen(child->result), out, NULL) == PARE_OK && pare_trial_compare(out, &place) == 0)
			return true;
		why = "the job of this run succeeded without telling what it found";
	} else if (child->status == STORE_CANCELED) {
		why = "the job of this run was canceled";
	}
	*out = place;
	out->failed = true;
	(void)snprintf(out->error, sizeof out->error, "%.*s", PARE_TRIAL_ERROR_MAX - 1, why);
	return true;
}

/* The children of one job that are not among the first n_own. findings: only of those that found something. */
static enum pare_code know_children(struct srv_trials *t, struct store_view v, const char *parent, bool findings, int n_own, struct pare_err *err)
{
	char after[PARE_ID_MAX] = "";
	enum pare_code code = PARE_OK;
	bool more = true;

	while (code == PARE_OK && more) {
		struct store_page page = {.limit = PAGE, .parent = parent, .ascending = true, .after = after[0] != '\0' ? after : NULL};
		struct store_job *list = NULL;
		int n = 0;

		code = store_job_list(v, &page, &list, &n, &more, err);
		for (int i = 0; i < n && code == PARE_OK; i++) {
			struct pare_trial trial;

			if (store_job_status_final(list[i].status) && (!findings || is_finding(&list[i])) && outcome_of(t, &list[i], &trial) &&
			    bsearch(&trial, t->known, (size_t)n_own, sizeof trial, by_place) == NULL)
				code = add(t, &trial, err);
		}
		if (n > 0)
			memcpy(after, list[n - 1].id, sizeof after);
		store_job_list_done(list, n);
	}
	return code;
}

/* One ended job back: what its runs found, if it is the same job, and *id becomes what that one does again; else "". */
static enum pare_code step_back(struct srv_trials *t, struct store_view v, const struct store_job *job, char id[PARE_ID_MAX], struct pare_err *err)
{
	struct store_job old;
	enum pare_code code = store_job_get(v, id, &old, err);

	id[0] = '\0';
	if (code == PARE_E_NOT_FOUND) /* deleted since */
		return PARE_OK;
	if (code == PARE_OK && strcmp(old.request, job->request) == 0) {
		memcpy(id, old.retry_of, PARE_ID_MAX);
		qsort(t->known, (size_t)t->n_known, sizeof *t->known, by_place);
		code = know_children(t, v, old.id, true, t->n_known, err);
	}
	store_job_done(&old);
	return code;
}

enum pare_code srv_trials_know(struct srv_trials *t, struct store *s, const struct store_job *job, const struct pare_job *parsed, struct pare_err *err)
{
	struct store_view v = {s, job->owner};
	char id[PARE_ID_MAX];
	struct pare_trial own;
	enum pare_code code;

	if (pare_sweep_count(parsed) == 0 || pare_job_trial(parsed, &own))
		return PARE_OK;
	pare_sweep_shape(parsed, &t->shape);
	t->known = pare_calloc(1, sizeof *t->known);
	if (t->known == NULL)
		return pare_err_nomem(err, sizeof *t->known);
	t->n_room = 1;
	code = know_children(t, v, job->id, false, 0, err);
	memcpy(id, job->retry_of, sizeof id);
	for (int i = 0; i < MAX_RETRIES && id[0] != '\0' && code == PARE_OK; i++)
		code = step_back(t, v, job, id, err);
	qsort(t->known, (size_t)t->n_known, sizeof *t->known, by_place);
	return code;
}

/* --- what is asked for */

static enum pare_code wrong(struct pare_err *err, const char *what, const struct pare_trial *t)
{
	return pare_err_set(err, PARE_E_WORKER_CRASHED, NULL, "the engine asks for %s: variant %d, rung %d, repeat %d, fold %d", what, t->variant, t->rung, t->repeat, t->fold);
}

enum pare_code srv_trials_take(struct srv_trials *t, const struct pare_msg *m, struct pare_err *err)
{
	if (t->known == NULL)
		return wrong(err, "a run, and its job has no sweep", &m->trials[0]);
	memcpy(t->wanted, m->trials, (size_t)m->n_trials * sizeof *t->wanted);
	t->n_wanted = m->n_trials;
	t->n_all = m->n_all;
	t->n_ahead = m->n_all - m->n_known - m->n_trials;
	qsort(t->wanted, (size_t)t->n_wanted, sizeof *t->wanted, by_place);
	for (int i = 0; i < t->n_wanted; i++) {
		if (!pare_sweep_has(&t->shape, &t->wanted[i]))
			return wrong(err, "a run that the sweep does not have", &t->wanted[i]);
		if (bsearch(&t->wanted[i], t->known, (size_t)t->n_known, sizeof *t->known, by_place) != NULL)
			return wrong(err, "a run that it was told of", &t->wanted[i]);
		if (i > 0 && pare_trial_compare(&t->wanted[i - 1], &t->wanted[i]) == 0)
			return wrong(err, "one run twice", &t->wanted[i]);
	}
	return PARE_OK;
}

/* --- the jobs of runs */

static enum pare_code texts_of(const struct pare_trial *trial, const struct pare_job *parsed, struct store_child *out, struct pare_err *err)
{
	struct pare_buf b;
	char *request = NULL;
	enum pare_code code = pare_job_trial_text(parsed, trial, &request, err);

	out->kind = "trial";
	out->request = request;
	pare_buf_init(&b, 1024);
	pare_trial_write(&b, trial, false);
	if (code == PARE_OK && (out->trial = pare_buf_take(&b, NULL)) == NULL)
		code = pare_err_nomem(err, 0);
	pare_buf_done(&b);
	return code;
}

enum pare_code srv_trials_fork(const struct srv_trials *t, struct store *s, const struct store_job *job, struct pare_err *err)
{
	struct store_child *children = pare_calloc((size_t)t->n_wanted, sizeof *children);
	struct pare_job *parsed = NULL;
	enum pare_code code = children != NULL ? pare_job_parse(job->request, strlen(job->request), &parsed, NULL, err) : pare_err_nomem(err, 0);

	for (int i = 0; i < t->n_wanted && code == PARE_OK; i++)
		code = texts_of(&t->wanted[i], parsed, &children[i], err);
	if (code == PARE_OK)
		code = store_job_fork(s, job->id, job->lease_token, children, t->n_wanted, t->n_all, t->n_ahead, err);
	for (int i = 0; children != NULL && i < t->n_wanted; i++) {
		pare_free((char *)(uintptr_t)children[i].request);
		pare_free((char *)(uintptr_t)children[i].trial);
	}
	pare_free(children);
	pare_job_free(parsed);
	return code;
}

void srv_trials_done(struct srv_trials *t)
{
	pare_free(t->known);
	t->known = NULL;
}
