/* A round a minute: often enough for times of use and slow enough to cost nothing. The first round is due at once, after the sweep: looking at a million blobs takes
 * longer than a start may. */
#include "server/janitor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "core/base/mem.h"
#include "server/log.h"
#include "storage/uploads.h"

#define ROUND_SECONDS 60
#define SWEEP_ROUNDS 1440 /* once a day, for what no deletion has thought of */

struct srv_janitor {
	struct srv_janitor_options opt;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t end;
	atomic_bool ends;
};

static bool goes_on(void *ctx)
{
	return !atomic_load(&((struct srv_janitor *)ctx)->ends);
}

static void log_freed(const char *event, const struct store_freed *f, enum pare_code code, const struct pare_err *err)
{
	struct srv_log_line l;

	srv_log_begin(&l, code == PARE_OK ? SRV_LOG_INFO : SRV_LOG_WARNING, event);
	srv_log_int(&l, "jobs_removed", f->n_jobs);
	srv_log_int(&l, "artifacts_removed", f->n_artifacts);
	srv_log_int(&l, "blobs_removed", f->n_blobs);
	srv_log_int(&l, "bytes_freed", f->n_bytes);
	srv_log_err(&l, err);
	srv_log_end(&l);
}

static void sweep(struct srv_janitor *j)
{
	struct store_freed freed = {.n_jobs = 0};
	struct pare_err err = {0};
	enum pare_code code = store_collect(j->opt.store, j->opt.blobs, goes_on, j, &freed, &err);

	log_freed("store.swept", &freed, code, &err);
}

static void retain(struct srv_janitor *j)
{
	struct store_freed freed = {.n_jobs = 0};
	struct pare_err err = {0};
	enum pare_code code = store_retain(j->opt.store, j->opt.blobs, &j->opt.retention, goes_on, j, &freed, &err);

	if (code != PARE_OK || freed.n_jobs + freed.n_artifacts > 0)
		log_freed("store.retained", &freed, code, &err);
}

static void round_of(struct srv_janitor *j)
{
	struct pare_err err = {0};

	if (api_housekeep(j->opt.api, &err) != PARE_OK)
		srv_log_event(SRV_LOG_WARNING, "housekeeping.failed", NULL, NULL, &err);
}

static void collect(struct srv_janitor *j)
{
	struct pare_err err = {0};
	struct srv_log_line l;
	int n = 0;
	enum pare_code code;

	if (store_uploads_count(j->opt.store, j->opt.blobs, &err) != PARE_OK)
		srv_log_event(SRV_LOG_WARNING, "uploads.uncounted", NULL, NULL, &err);
	code = store_uploads_collect(j->opt.store, j->opt.blobs, j->opt.upload_ms, &n, &err);

	if (n == 0 && code == PARE_OK)
		return;
	srv_log_begin(&l, code == PARE_OK ? SRV_LOG_INFO : SRV_LOG_WARNING, "uploads.expired");
	srv_log_int(&l, "uploads_removed", n);
	srv_log_err(&l, &err);
	srv_log_end(&l);
}

/* False: the end. */
static bool rest(struct srv_janitor *j)
{
	struct timespec until;
	int rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ROUND_SECONDS;
	(void)pthread_mutex_lock(&j->lock);
	while (!atomic_load(&j->ends) && rc == 0)
		rc = pthread_cond_timedwait(&j->end, &j->lock, &until);
	(void)pthread_mutex_unlock(&j->lock);
	return !atomic_load(&j->ends);
}

static void *janitor_main(void *arg)
{
	struct srv_janitor *j = arg;

	int n = 0;

	do {
		if (n++ % SWEEP_ROUNDS == 0)
			sweep(j);
		round_of(j);
		collect(j);
		retain(j);
	} while (rest(j));
	return NULL;
}

static void free_janitor(struct srv_janitor *j)
{
	(void)pthread_cond_destroy(&j->end);
	(void)pthread_mutex_destroy(&j->lock);
	pare_free(j);
}

enum pare_code srv_janitor_start(const struct srv_janitor_options *opt, struct srv_janitor **out, struct pare_err *err)
{
	struct srv_janitor *j = pare_calloc(1, sizeof *j);
	pthread_condattr_t monotonic;

	if (j == NULL)
		return pare_err_nomem(err, sizeof *j);
	j->opt = *opt;
	(void)pthread_mutex_init(&j->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&j->end, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	if (pthread_create(&j->thread, NULL, janitor_main, j) == 0) {
		*out = j;
		return PARE_OK;
	}
	free_janitor(j);
	return pare_err_set(err, PARE_E_NOMEM, NULL, "the thread for housekeeping cannot be started");
}

void srv_janitor_stop(struct srv_janitor *j)
{
	if (j == NULL)
		return;
	(void)pthread_mutex_lock(&j->lock);
	atomic_store(&j->ends, true);
	(void)pthread_cond_signal(&j->end);
	(void)pthread_mutex_unlock(&j->lock);
	(void)pthread_join(j->thread, NULL);
	round_of(j);
	free_janitor(j);
}
