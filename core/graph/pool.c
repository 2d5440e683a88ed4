/* Fork and join twice per training step, some thousand times a second, on cores that others may want, too.
 *
 * A round is announced by counting `round` up; a worker that has seen round r waits for it to become r + 1, runs, and
 * counts `busy` down. Both sides spin for a moment first (a phase lasts some hundred microseconds, waking a sleeper costs
 * tens), then sleep on a condition variable, so that a loaded machine loses a wake-up and never a time slice. Pools that
 * only spin collapse under load (measured at a tenth of their speed), pools that only sleep pay the wake-up every phase.
 *
 * No wake-up is lost: a sleeper counts itself into `sleepers` before it looks at `round` again under the lock, and the
 * caller changes `round` before it looks at `sleepers`, all sequentially consistent, so one of the two sees the other.
 * The way back (`busy`, `caller_sleeps`) is the same protocol, and so are meetings within a round (`meeting`, `arrived`): the
 * last to arrive opens the next one. */
#include "core/graph/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/base/mem.h"

#define SPINS 2000

struct worker {
	struct pare_pool *pool;
	pthread_t thread;
	int index;
};

struct pare_pool {
	int n_threads;
	int n_started; /* workers that really run */
	atomic_uint round;
	atomic_int busy, sleepers, caller_sleeps;
	atomic_uint meeting;
	atomic_int arrived;
	bool quit; /* these three are written before round and read after it */
	void (*fn)(void *ctx, int t);
	void *ctx;
	pthread_mutex_t lock;
	pthread_cond_t go, done;
	struct worker worker[];
};

static void spin_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Until the count is no longer `seen`. */
static void wait_count(struct pare_pool *p, atomic_uint *count, unsigned seen)
{
	for (int i = 0; i < SPINS; i++) {
		if (atomic_load(count) != seen)
			return;
		spin_pause();
	}
	pthread_mutex_lock(&p->lock);
	atomic_fetch_add(&p->sleepers, 1);
	while (atomic_load(count) == seen)
		pthread_cond_wait(&p->go, &p->lock);
	atomic_fetch_sub(&p->sleepers, 1);
	pthread_mutex_unlock(&p->lock);
}

static void count_up(struct pare_pool *p, atomic_uint *count)
{
	atomic_fetch_add(count, 1);
	if (atomic_load(&p->sleepers) > 0) {
		pthread_mutex_lock(&p->lock);
		pthread_cond_broadcast(&p->go);
		pthread_mutex_unlock(&p->lock);
	}
}

static void announce(struct pare_pool *p)
{
	atomic_store(&p->busy, p->n_started);
	count_up(p, &p->round);
}

static void finish(struct pare_pool *p)
{
	if (atomic_fetch_sub(&p->busy, 1) == 1 && atomic_load(&p->caller_sleeps) != 0) {
		pthread_mutex_lock(&p->lock);
		pthread_cond_signal(&p->done);
		pthread_mutex_unlock(&p->lock);
	}
}

static void wait_done(struct pare_pool *p)
{
	for (int i = 0; i < SPINS; i++) {
		if (atomic_load(&p->busy) == 0)
			return;
		spin_pause();
	}
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->caller_sleeps, 1);
	while (atomic_load(&p->busy) != 0)
		pthread_cond_wait(&p->done, &p->lock);
	atomic_store(&p->caller_sleeps, 0);
	pthread_mutex_unlock(&p->lock);
}

static void *work(void *arg)
{
	const struct worker *w = arg;
	struct pare_pool *p = w->pool;

	for (unsigned seen = 0;; seen++) {
		wait_count(p, &p->round, seen);
		if (p->quit)
			return NULL;
		p->fn(p->ctx, w->index);
		finish(p);
	}
}

/* Signals stay with the thread that the program has for them. */
static int start_worker(struct worker *w)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

enum pare_code pare_pool_new(int n_threads, struct pare_pool **out, struct pare_err *err)
{
	size_t n_bytes = sizeof(struct pare_pool) + (size_t)n_threads * sizeof(struct worker);
	struct pare_pool *p = pare_calloc(1, n_bytes);

	if (p == NULL)
		return pare_err_nomem(err, n_bytes);
	p->n_threads = n_threads;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->go, NULL);
	pthread_cond_init(&p->done, NULL);
	for (int t = 1; t < n_threads; t++) {
		struct worker *w = &p->worker[t - 1];

		w->pool = p;
		w->index = t;
		if (start_worker(w) != 0) {
			pare_pool_free(p);
			return pare_err_set(err, PARE_E_LIMIT, NULL, "thread %d of %d cannot be started; use fewer threads", t + 1, n_threads);
		}
		p->n_started++;
	}
	*out = p;
	return PARE_OK;
}

void pare_pool_free(struct pare_pool *p)
{
	if (p == NULL)
		return;
	p->quit = true;
	announce(p);
	for (int i = 0; i < p->n_started; i++)
		pthread_join(p->worker[i].thread, NULL);
	pthread_cond_destroy(&p->done);
	pthread_cond_destroy(&p->go);
	pthread_mutex_destroy(&p->lock);
	pare_free(p);
}

void pare_pool_run(struct pare_pool *p, void (*fn)(void *ctx, int t), void *ctx)
{
	if (p->n_threads > 1) {
		p->fn = fn;
		p->ctx = ctx;
		announce(p);
	}
	fn(ctx, 0);
	if (p->n_threads > 1)
		wait_done(p);
}

void pare_pool_meet(struct pare_pool *p)
{
	unsigned seen = atomic_load(&p->meeting);

	if (p->n_threads == 1)
		return;
	if (atomic_fetch_add(&p->arrived, 1) + 1 < p->n_threads) {
		wait_count(p, &p->meeting, seen);
		return;
	}
	atomic_store(&p->arrived, 0);
	count_up(p, &p->meeting);
}
