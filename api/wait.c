/* Prefer: wait=N (RFC 7240): the answer about a job comes when the job has ended, or after N seconds with what it is then, so that a
 * pipeline needs no loop. A waiting request holds a thread of the server, hence the cap on how many may; one that comes when all places are
 * taken is answered at once, which is what a preference allows, and Preference-Applied tells the difference.
 *
 * Nothing is told to a particular waiter: each change of any job wakes them all, and each reads its own job. The count is taken before the job is
 * read, so a change between the two is not slept over. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "api/jobs.h"
#include "api/text.h"
#include "core/base/num.h"

#define MAX_SECONDS 60

enum pare_code api_wait_init(struct api_waiters *w, struct pare_err *err)
{
	pthread_condattr_t monotonic;
	int rc = pthread_condattr_init(&monotonic);

	if (rc == 0)
		rc = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	if (rc == 0)
		rc = pthread_cond_init(&w->changed, &monotonic);
	if (rc == 0)
		rc = pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_destroy(&monotonic);
	return rc == 0 ? PARE_OK : pare_err_errno(err, rc, "waiting for jobs");
}

void api_wait_done(struct api_waiters *w)
{
	(void)pthread_cond_destroy(&w->changed);
	(void)pthread_mutex_destroy(&w->lock);
}

void api_events_added(struct api *api)
{
	struct api_waiters *w = &api->waiters;

	if (atomic_load(&w->n) == 0)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->n_changes++;
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
}

/* Seconds that the request asks to wait, 0: none. A preference that is not understood is ignored. */
static int64_t asked(const struct api_exchange *x)
{
	for (size_t i = 0; i < x->n_headers; i++) {
		const char *s = x->headers[i].value;

		for (; api_same_nocase(x->headers[i].name, "Prefer") && *s != '\0'; s += *s == ',') {
			size_t n = strcspn(s, ","), n_word = strcspn(s, ",;"); /* parameters of the preference mean nothing here */
			const char *word = api_trim(s, &n_word);
			int64_t seconds;

			if (n_word > 5 && api_word_is(word, 5, "wait=") && pare_parse_i64(word + 5, n_word - 5, 1, INT64_MAX, &seconds))
				return seconds < MAX_SECONDS ? seconds : MAX_SECONDS;
			s += n;
		}
	}
	return 0;
}

bool api_wait_begin(struct api_exchange *x)
{
	struct api_waiters *w = &x->api->waiters;

	if (!x->route->may_wait || asked(x) == 0)
		return false;
	if (atomic_fetch_add(&w->n, 1) < API_MAX_WAITERS)
		x->waits_seconds = asked(x);
	else
		atomic_fetch_sub(&w->n, 1);
	return x->waits_seconds > 0;
}

void api_wait_end(struct api_exchange *x)
{
	if (x->waits_seconds > 0)
		atomic_fetch_sub(&x->api->waiters.n, 1);
	x->waits_seconds = 0;
}

/* Until something has changed since the count was n; false: the time is over. */
static bool sleep_until_changed(struct api_waiters *w, int64_t n, const struct timespec *until)
{
	int rc = 0;

	(void)pthread_mutex_lock(&w->lock);
	while (w->n_changes == n && rc == 0)
		rc = pthread_cond_timedwait(&w->changed, &w->lock, until);
	(void)pthread_mutex_unlock(&w->lock);
	return rc == 0;
}

static int64_t changes(struct api_waiters *w)
{
	int64_t n;

	(void)pthread_mutex_lock(&w->lock);
	n = w->n_changes;
	(void)pthread_mutex_unlock(&w->lock);
	return n;
}

enum pare_code api_wait_for_end(struct api_exchange *x, struct store_job *j, struct pare_err *err)
{
	struct api_waiters *w = &x->api->waiters;
	struct timespec until;
	bool more = true;

	if (x->waits_seconds == 0)
		return PARE_OK;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)x->waits_seconds;
	api_set_header(x, "Preference-Applied", "wait=%lld", (long long)x->waits_seconds);
	while (more && !store_job_status_final(j->status) && (atomic_load(&x->api->draining) & API_DRAIN_STOPPING) == 0) {
		int64_t n = changes(w);
		struct store_job now;
		enum pare_code rc = store_job_get(x->view, j->id, &now, err);

		if (rc != PARE_OK) /* deleted meanwhile */
			return rc;
		store_job_done(j);
		*j = now;
		if (!store_job_status_final(j->status))
			more = sleep_until_changed(w, n, &until);
	}
	return PARE_OK;
}
