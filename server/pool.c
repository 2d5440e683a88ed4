/* A thread per slot and not one event loop: a slot spends its life waiting for one process, the store's verbs block, and a
 * stuck file system then holds up one job and not all. An idle slot sleeps on a condition that the api signals, and looks
 * once a second in any case, for jobs that come back by other ways (an expired lease, a retry). */
#include "server/pool.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/env.h"
#include "server/log.h"
#include "server/pool_priv.h"

#define POLL_SECONDS 1
#define MAX_REST_SECONDS 64

void srv_pool_asked(struct srv_slot *slot, bool *out_stop, enum store_job_status *out_asked)
{
	eventfd_t count;

	(void)eventfd_read(slot->wake, &count);
	pthread_mutex_lock(&slot->pool->lock);
	*out_stop = slot->pool->stopping;
	*out_asked = slot->asked;
	pthread_mutex_unlock(&slot->pool->lock);
}

void srv_pool_expire(struct srv_pool *p)
{
	int64_t now = srv_env.mono_ms(NULL);
	struct pare_err err = {0};
	bool due;
	int n = 0;

	pthread_mutex_lock(&p->lock);
	due = now - p->expired_at_ms >= SRV_RENEW_MS;
	if (due)
		p->expired_at_ms = now;
	pthread_mutex_unlock(&p->lock);
	if (!due)
		return;
	if (store_expire(p->opt.store, &n, &err) != PARE_OK) {
		srv_log_event(SRV_LOG_WARNING, "leases.unread", NULL, NULL, &err);
	} else if (n > 0) {
		struct srv_log_line l;

		srv_log_begin(&l, SRV_LOG_WARNING, "leases.expired");
		srv_log_int(&l, "jobs", n);
		srv_log_end(&l);
		srv_pool_wake(p);
	}
}

/* Under the lock. */
static void note_lease(struct srv_slot *s, int64_t lease_ms)
{
	s->now.renewed_ms = srv_env.wall_ms(NULL);
	s->now.lease_until_ms = s->now.renewed_ms + lease_ms;
}

/* NULL: idle. */
static void set_job(struct srv_slot *s, const struct store_job *job)
{
	struct api_worker w = {.slot = s->index};

	pthread_mutex_lock(&s->pool->lock);
	memcpy(w.name, s->now.name, sizeof w.name);
	s->now = w;
	s->asked = STORE_RUNNING;
	s->parent[0] = '\0';
	if (job != NULL) {
		memcpy(s->now.job, job->id, sizeof s->now.job);
		memcpy(s->parent, job->parent, sizeof s->parent);
		memcpy(s->now.owner, job->owner, sizeof s->now.owner);
		s->now.attempt = job->attempt;
		s->now.claimed_ms = job->started_ms;
		note_lease(s, SRV_LEASE_MS);
	}
	pthread_mutex_unlock(&s->pool->lock);
}

void srv_pool_note_engine(struct srv_slot *slot, int pid)
{
	pthread_mutex_lock(&slot->pool->lock);
	slot->now.pid = pid;
	pthread_mutex_unlock(&slot->pool->lock);
}

void srv_pool_note_lease(struct srv_slot *slot, int64_t lease_ms)
{
	pthread_mutex_lock(&slot->pool->lock);
	note_lease(slot, lease_ms);
	pthread_mutex_unlock(&slot->pool->lock);
}

static bool stopping(struct srv_pool *p, uint64_t *out_added, bool *out_paused)
{
	bool r;

	pthread_mutex_lock(&p->lock);
	r = p->stopping;
	*out_added = p->n_added;
	*out_paused = p->paused;
	pthread_mutex_unlock(&p->lock);
	return r;
}

/* Until a job was added after `seen`, a second is over, or the pool stops; after trouble so many seconds, whatever is added. */
static void rest(struct srv_pool *p, uint64_t seen, int trouble)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += trouble > 0 ? trouble : POLL_SECONDS;
	pthread_mutex_lock(&p->lock);
	while (!p->stopping && (trouble > 0 || p->n_added == seen))
		if (pthread_cond_timedwait(&p->added, &p->lock, &until) != 0)
			break;
	pthread_mutex_unlock(&p->lock);
}

/* False: rest. trouble: for how long, when it is not for want of jobs. It grows while none can be begun: there is no engine, no memory or no descriptor for it, and what
 * waits must not be used up meanwhile, try by try. */
static bool claim_and_run(struct srv_slot *s, int *trouble)
{
	struct store_job job = {0};
	struct pare_err err = {0};
	bool found = false, well;
	enum pare_code code = store_job_claim(s->pool->opt.store, s->now.name, SRV_LEASE_MS, &job, &found, &err);

	if (code != PARE_OK) {
		if (*trouble == 0)
			srv_log_event(SRV_LOG_ERROR, "claim.failed", "worker", s->now.name, &err);
		*trouble = POLL_SECONDS;
		return false;
	}
	if (!found) {
		*trouble = 0;
		return false;
	}
	set_job(s, &job);
	s->pool->opt.events_added(s->pool->opt.ctx, job.id);
	well = srv_pool_run_job(s, &job);
	set_job(s, NULL);
	store_job_done(&job);
	*trouble = well ? 0 : *trouble == 0 ? POLL_SECONDS : *trouble < MAX_REST_SECONDS ? 2 * *trouble : *trouble;
	return well;
}

static void *slot_main(void *arg)
{
	struct srv_slot *s = arg;
	int trouble = 0;
	uint64_t seen;
	bool paused;

	while (!stopping(s->pool, &seen, &paused)) {
		srv_pool_expire(s->pool);
		if (paused || !claim_and_run(s, &trouble))
			rest(s->pool, seen, trouble);
	}
	return NULL;
}

enum pare_code srv_pool_new(const struct srv_pool_options *opt, struct srv_pool **out, struct pare_err *err)
{
	struct srv_pool *p = pare_calloc(1, sizeof *p);
	pthread_condattr_t attr;

	if (p == NULL)
		return pare_err_nomem(err, sizeof *p);
	p->opt = *opt;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->added, &attr);
	pthread_condattr_destroy(&attr);
	p->core = pare_strdup(opt->core);
	p->slots = pare_calloc((size_t)opt->workers, sizeof *p->slots);
	if (p->core == NULL || p->slots == NULL) {
		srv_pool_free(p);
		return pare_err_nomem(err, 0);
	}
	for (int i = 0; i < opt->workers; i++) {
		struct srv_slot *s = &p->slots[i];

		s->pool = p;
		s->index = s->now.slot = i;
		snprintf(s->now.name, sizeof s->now.name, "pared-%d-%d", (int)getpid(), i);
		s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		p->n_slots++;
		s->started = s->wake >= 0 && pthread_create(&s->thread, NULL, slot_main, s) == 0;
		if (!s->started) {
			srv_pool_free(p);
			return pare_err_set(err, PARE_E_NOMEM, NULL, "worker thread %d cannot be started", i);
		}
	}
	*out = p;
	return PARE_OK;
}

void srv_pool_wake(struct srv_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->n_added++;
	pthread_cond_broadcast(&p->added);
	pthread_mutex_unlock(&p->lock);
}

void srv_pool_pause(struct srv_pool *p, bool on)
{
	pthread_mutex_lock(&p->lock);
	p->paused = on;
	pthread_mutex_unlock(&p->lock);
	srv_pool_wake(p);
}

void srv_pool_ask(struct srv_pool *p, const char *id, enum store_job_status asked)
{
	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < p->n_slots; i++)
		if (strcmp(p->slots[i].now.job, id) == 0 || (strcmp(p->slots[i].parent, id) == 0 && asked == STORE_CANCELING)) {
			p->slots[i].asked = asked;
			eventfd_write(p->slots[i].wake, 1);
		}
	pthread_mutex_unlock(&p->lock);
}

int srv_pool_list(struct srv_pool *p, struct api_worker *out, int cap)
{
	int n = 0;

	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < p->n_slots && n < cap && !p->stopping; i++)
		if (p->slots[i].started)
			out[n++] = p->slots[i].now;
	pthread_mutex_unlock(&p->lock);
	return n;
}

void srv_pool_count(struct srv_pool *p, int *out_alive, int *out_busy)
{
	*out_alive = 0;
	*out_busy = 0;
	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < p->n_slots && !p->stopping; i++) {
		*out_alive += p->slots[i].started ? 1 : 0;
		*out_busy += p->slots[i].now.job[0] != '\0' ? 1 : 0;
	}
	pthread_mutex_unlock(&p->lock);
}

void srv_pool_stop(struct srv_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->added);
	for (int i = 0; i < p->n_slots; i++)
		if (p->slots[i].wake >= 0)
			eventfd_write(p->slots[i].wake, 1);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->n_slots; i++)
		if (p->slots[i].started)
			pthread_join(p->slots[i].thread, NULL);
	for (int i = 0; i < p->n_slots; i++)
		p->slots[i].started = false;
}

void srv_pool_free(struct srv_pool *p)
{
	if (p == NULL)
		return;
	srv_pool_stop(p);
	for (int i = 0; i < p->n_slots; i++)
		if (p->slots[i].wake >= 0)
			close(p->slots[i].wake);
	pthread_cond_destroy(&p->added);
	pthread_mutex_destroy(&p->lock);
	pare_free(p->slots);
	pare_free(p->core);
	pare_free(p);
}
