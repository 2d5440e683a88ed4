/* Handlers that wait run here, so that they hold up no other request. There are three sorts, with threads of their own each, since none of
 * them may keep another from running: those that wait for the disk, for an engine process (four threads, twice what the inspection service
 * lets run at once; more would only hold memory) and for the end of a job (as many as the api lets wait). Those that wait for the disk share
 * commits (storage/sqlite/sqlite_open.c): the more of them wait at the same time, the fewer syncs each costs, so there are as many threads
 * as a group is worth. Threads are started when the first task needs them and stay. */
#include <string.h>

#include "server/httpd_priv.h"

#define ENGINE_THREADS 4

static struct srv_request *take(struct srv_tasks *t)
{
	struct srv_request *r;

	pthread_mutex_lock(&t->lock);
	t->n_idle++;
	while (t->first == NULL && !t->stops)
		pthread_cond_wait(&t->added, &t->lock);
	t->n_idle--;
	r = t->first;
	if (r != NULL) {
		t->n_queued--;
		t->first = r->next_task;
		if (t->first == NULL)
			t->last = NULL;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

static void *task_main(void *arg)
{
	struct srv_tasks *t = arg;
	struct srv_request *r;

	while ((r = take(t)) != NULL) {
		api_exchange_end(r->x);
		r->stage = SRV_ANSWERING;
		srv_http_resume(r->conn);
	}
	return NULL;
}

/* One thread more; under the lock, or before there is another one. */
static bool grow(struct srv_tasks *t)
{
	if (t->n_threads == t->max_threads || pthread_create(&t->threads[t->n_threads], NULL, task_main, t) != 0)
		return false;
	t->n_threads++;
	return true;
}

/* The first thread is made now: without one, nothing that is added later would ever run. */
static enum pare_code start(struct srv_tasks *t, int max_threads, struct pare_err *err)
{
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->added, NULL);
	t->max_threads = max_threads;
	return grow(t) ? PARE_OK : pare_err_set(err, PARE_E_NOMEM, NULL, "a thread for requests cannot be started");
}

enum pare_code srv_tasks_start(struct srv_httpd *h, struct pare_err *err)
{
	static const int max_threads[API_WAIT_JOB + 1] = {[API_WAIT_DISK] = SRV_TASK_THREADS, [API_WAIT_ENGINE] = ENGINE_THREADS, [API_WAIT_JOB] = SRV_TASK_THREADS};
	enum pare_code code = PARE_OK;

	for (int i = API_WAIT_NOTHING + 1; i <= API_WAIT_JOB && code == PARE_OK; i++)
		code = start(&h->tasks[i], max_threads[i], err);
	return code;
}

void srv_tasks_add(struct srv_tasks *t, struct srv_request *r)
{
	r->next_task = NULL;
	pthread_mutex_lock(&t->lock);
	if (t->last != NULL)
		t->last->next_task = r;
	else
		t->first = r;
	t->last = r;
	t->n_queued++;
	if (t->n_queued > t->n_idle)
		(void)grow(t);
	pthread_cond_signal(&t->added);
	pthread_mutex_unlock(&t->lock);
}

static void stop(struct srv_tasks *t)
{
	if (t->max_threads == 0)
		return; /* never started */
	pthread_mutex_lock(&t->lock);
	t->stops = true;
	pthread_cond_broadcast(&t->added);
	pthread_mutex_unlock(&t->lock);
	for (int i = 0; i < t->n_threads; i++)
		pthread_join(t->threads[i], NULL);
	t->n_threads = 0;
	pthread_cond_destroy(&t->added);
	pthread_mutex_destroy(&t->lock);
}

void srv_tasks_stop(struct srv_httpd *h)
{
	for (int i = 0; i <= API_WAIT_JOB; i++)
		stop(&h->tasks[i]);
}
