/* Two windows: one is computed with while the other is filled. The thread sleeps on a condition; a batch takes a millisecond or more
 * wherever data stream, so the two wake-ups a batch do not show. */
#include "core/train/prefetch.h"

#include <pthread.h>
#include <signal.h>

#include "core/base/mem.h"

struct pare_prefetch {
	const struct pare_dataset *data;
	struct pare_data_window *windows[2];
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	uint64_t n_started, n_loaded, n_taken;
	const uint32_t *rows[2];
	size_t n[2];
	const struct pare_dataset *loaded[2];
};

static void *work(void *ctx)
{
	struct pare_prefetch *p = ctx;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		const struct pare_dataset *d;
		size_t i;

		while (!p->stop && p->n_loaded == p->n_started)
			pthread_cond_wait(&p->changed, &p->lock);
		if (p->stop)
			break;
		i = p->n_loaded % 2;
		pthread_mutex_unlock(&p->lock);
		d = pare_data_window_load(p->windows[i], p->data, p->rows[i], p->n[i]);
		pthread_mutex_lock(&p->lock);
		p->loaded[i] = d;
		p->n_loaded++;
		pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are for the thread that minds them. */
static bool start_thread(struct pare_prefetch *p)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&p->thread, NULL, work, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc == 0;
}

enum pare_code pare_prefetch_new(const struct pare_dataset *data, size_t n_rows, struct pare_prefetch **out, struct pare_err *err)
{
	struct pare_prefetch *p = pare_calloc(1, sizeof *p);
	enum pare_code rc = PARE_OK;

	if (p == NULL)
		return pare_err_nomem(err, sizeof *p);
	p->data = data;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	for (int i = 0; i < 2 && rc == PARE_OK; i++)
		rc = pare_data_window_new(data, n_rows, &p->windows[i], err);
	if (rc == PARE_OK) {
		p->running = start_thread(p);
		if (!p->running)
			rc = pare_err_set(err, PARE_E_NOMEM, NULL, "the thread that reads ahead cannot be started");
	}
	if (rc != PARE_OK) {
		pare_prefetch_free(p);
		return rc;
	}
	*out = p;
	return PARE_OK;
}

void pare_prefetch_free(struct pare_prefetch *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	if (p->running)
		pthread_join(p->thread, NULL);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	for (int i = 0; i < 2; i++)
		pare_data_window_free(p->windows[i]);
	pare_free(p);
}

void pare_prefetch_start(struct pare_prefetch *p, const uint32_t *rows, size_t n)
{
	pthread_mutex_lock(&p->lock);
	p->rows[p->n_started % 2] = rows;
	p->n[p->n_started % 2] = n;
	p->n_started++;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

const struct pare_dataset *pare_prefetch_take(struct pare_prefetch *p)
{
	const struct pare_dataset *d;

	pthread_mutex_lock(&p->lock);
	while (p->n_loaded <= p->n_taken)
		pthread_cond_wait(&p->changed, &p->lock);
	d = p->loaded[p->n_taken++ % 2];
	pthread_mutex_unlock(&p->lock);
	return d;
}
