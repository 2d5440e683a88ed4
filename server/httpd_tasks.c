/* Handlers that wait for an engine process run here, so that an upload being looked at holds up no other request. Four threads
 * are twice what the inspection service lets run at once. */
#include <string.h>

#include "server/httpd_priv.h"

static struct srv_request *take(struct srv_httpd *h)
{
	struct srv_request *r;

	pthread_mutex_lock(&h->task_lock);
	while (h->first_task == NULL && !h->tasks_stop)
		pthread_cond_wait(&h->task_added, &h->task_lock);
	r = h->first_task;
	if (r != NULL) {
		h->first_task = r->next_task;
		if (h->first_task == NULL)
			h->last_task = NULL;
	}
	pthread_mutex_unlock(&h->task_lock);
	return r;
}

static void *task_main(void *arg)
{
	struct srv_httpd *h = arg;
	struct srv_request *r;

	while ((r = take(h)) != NULL) {
		api_exchange_end(r->x);
		r->stage = SRV_ANSWERING;
		srv_http_resume(r->conn);
	}
	return NULL;
}

enum pare_code srv_tasks_start(struct srv_httpd *h, struct pare_err *err)
{
	pthread_mutex_init(&h->task_lock, NULL);
	pthread_cond_init(&h->task_added, NULL);
	while (h->n_task_threads < SRV_TASK_THREADS) {
		if (pthread_create(&h->task_threads[h->n_task_threads], NULL, task_main, h) != 0)
			return pare_err_set(err, PARE_E_NOMEM, NULL, "a thread for requests cannot be started");
		h->n_task_threads++;
	}
	return PARE_OK;
}

void srv_tasks_add(struct srv_httpd *h, struct srv_request *r)
{
	r->next_task = NULL;
	pthread_mutex_lock(&h->task_lock);
	if (h->last_task != NULL)
		h->last_task->next_task = r;
	else
		h->first_task = r;
	h->last_task = r;
	pthread_cond_signal(&h->task_added);
	pthread_mutex_unlock(&h->task_lock);
}

void srv_tasks_stop(struct srv_httpd *h)
{
	pthread_mutex_lock(&h->task_lock);
	h->tasks_stop = true;
	pthread_cond_broadcast(&h->task_added);
	pthread_mutex_unlock(&h->task_lock);
	for (int i = 0; i < h->n_task_threads; i++)
		pthread_join(h->task_threads[i], NULL);
	h->n_task_threads = 0;
	pthread_cond_destroy(&h->task_added);
	pthread_mutex_destroy(&h->task_lock);
}
