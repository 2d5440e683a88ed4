/* The library's timeouts count inactivity, so a client that sends one byte now and then is served for ever. One thread looks
 * once a second at every connection and ends, by shutdown(2), those that are too slow:
 *   head   must be complete header-timeout after the connection was made or, on a connection that was idle, after its first byte
 *          (the library tells nothing before the head's first line is complete; the kernel's count of bytes received does);
 *   body   must keep up a mean of min-body-rate over every ten seconds, and end when the client has gone: the library, whose epoll is edge-triggered,
 *          takes a short read for the last one and misses an end that came together with bytes (looked at three times, because
 *          a client may close its sending side behind a whole body that is still being worked on);
 *   send   while there is something that the client has not taken (TCP's count of acknowledged bytes; a stream with nothing to say owes
 *          nothing), it must take the same mean;
 *   linger a refused upload is left alone for two seconds, so that the client can read why, and is cut then.
 * The descriptor cannot be anybody else's by then: a connection leaves the list, under the same lock, before it is closed. */
#include <linux/tcp.h> /* the C library's does not know tcpi_bytes_received */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "server/env.h"
#include "server/httpd_priv.h"

#define BODY_WINDOW_MS 10000
#define LINGER_MS 2000
#define LOOKS_UNTIL_GONE 3

void srv_watch_phase(struct srv_conn *c, enum srv_phase phase)
{
	int64_t now = srv_env.mono_ms(NULL);
	int64_t left = phase == SRV_HEAD ? c->h->opt.header_timeout_ms : phase == SRV_IDLE ? c->h->opt.idle_timeout_ms : LINGER_MS;

	atomic_store_explicit(&c->deadline_ms, now + left, memory_order_relaxed);
	atomic_store_explicit(&c->received, 0, memory_order_relaxed);
	atomic_store_explicit(&c->phase, (int)phase, memory_order_release);
}

void srv_watch_add(struct srv_httpd *h, struct srv_conn *c)
{
	pthread_mutex_lock(&h->lock);
	c->next = h->conns;
	if (h->conns != NULL)
		h->conns->prev = c;
	h->conns = c;
	pthread_mutex_unlock(&h->lock);
}

void srv_watch_remove(struct srv_httpd *h, struct srv_conn *c)
{
	pthread_mutex_lock(&h->lock);
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		h->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	pthread_mutex_unlock(&h->lock);
}

/* --- the watcher */
/* All zero for a socket that is not TCP. */
static struct tcp_info tcp_info_of(int fd)
{
	struct tcp_info info;
	socklen_t n = sizeof info;

	memset(&info, 0, sizeof info);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
		memset(&info, 0, sizeof info);
	return info;
}

/* An idle connection on which bytes have begun to arrive has a head to finish. */
static void look_for_first_byte(struct srv_conn *c)
{
	uint64_t bytes = tcp_info_of(c->fd).tcpi_bytes_received;

	if (!c->idle_marked) {
		c->idle_marked = true;
		c->idle_bytes = bytes;
	} else if (bytes != c->idle_bytes) {
		int idle = SRV_IDLE; /* unless a request has begun meanwhile */

		if (atomic_compare_exchange_strong(&c->phase, &idle, SRV_HEAD))
			atomic_store(&c->deadline_ms, srv_env.mono_ms(NULL) + c->h->opt.header_timeout_ms);
	}
}

/* bytes: all that has moved so far. */
static bool too_slow(struct srv_conn *c, int64_t bytes, int64_t now)
{
	bool slow;

	if (c->h->opt.min_body_rate == 0)
		return false;
	if (c->mark_ms == 0 || bytes < c->mark_bytes) {
		c->mark_ms = now;
		c->mark_bytes = bytes;
	}
	if (now - c->mark_ms < BODY_WINDOW_MS)
		return false;
	slow = (bytes - c->mark_bytes) / ((now - c->mark_ms) / 1000) < c->h->opt.min_body_rate;
	c->mark_ms = now;
	c->mark_bytes = bytes;
	return slow;
}

static bool body_too_slow(struct srv_conn *c, int64_t now)
{
	return too_slow(c, atomic_load_explicit(&c->received, memory_order_relaxed), now);
}

static bool reads_too_slowly(struct srv_conn *c, int64_t now)
{
	struct tcp_info info = tcp_info_of(c->fd);

	if (info.tcpi_notsent_bytes == 0 && info.tcpi_unacked == 0) { /* it has all that we had */
		c->mark_ms = 0;
		return false;
	}
	return too_slow(c, (int64_t)info.tcpi_bytes_acked, now);
}

static bool client_gone(struct srv_conn *c)
{
	int64_t bytes = atomic_load_explicit(&c->received, memory_order_relaxed);
	char byte;

	if (bytes != c->eof_bytes || recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		c->n_eof = 0;
	else
		c->n_eof++;
	c->eof_bytes = bytes;
	return c->n_eof >= LOOKS_UNTIL_GONE;
}

static bool overdue(struct srv_conn *c, int64_t now)
{
	int phase = atomic_load_explicit(&c->phase, memory_order_acquire);

	if (phase != SRV_IDLE)
		c->idle_marked = false;
	if (phase != c->watched_phase) {
		c->watched_phase = phase;
		c->mark_ms = 0;
		c->n_eof = 0;
	}
	switch (phase) {
	case SRV_IDLE:
		look_for_first_byte(c);
		return now >= atomic_load_explicit(&c->deadline_ms, memory_order_relaxed);
	case SRV_HEAD:
	case SRV_LINGER:
		return now >= atomic_load_explicit(&c->deadline_ms, memory_order_relaxed);
	case SRV_BODY:
		return client_gone(c) || body_too_slow(c, now);
	case SRV_SEND:
		return reads_too_slowly(c, now);
	default:
		return false;
	}
}

static void wake_lingering(struct srv_conn *c)
{
	if (c->lingers) {
		c->lingers = false;
		srv_http_resume(c);
	}
}

static void look_at_all(struct srv_httpd *h)
{
	int64_t now = srv_env.mono_ms(NULL);

	for (struct srv_conn *c = h->conns; c != NULL; c = c->next)
		if (overdue(c, now)) {
			shutdown(c->fd, SHUT_RDWR);
			wake_lingering(c);
		}
}

static void *watch_main(void *arg)
{
	struct srv_httpd *h = arg;
	struct timespec until;

	pthread_mutex_lock(&h->lock);
	while (h->watching) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += 1;
		pthread_cond_timedwait(&h->tick, &h->lock, &until);
		look_at_all(h);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

enum pare_code srv_watch_start(struct srv_httpd *h, struct pare_err *err)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->tick, &attr);
	pthread_condattr_destroy(&attr);
	h->watching = true;
	if (pthread_create(&h->watcher, NULL, watch_main, h) != 0) {
		h->watching = false;
		return pare_err_set(err, PARE_E_NOMEM, NULL, "the thread that watches connections cannot be started");
	}
	return PARE_OK;
}

void srv_watch_stop(struct srv_httpd *h)
{
	pthread_mutex_lock(&h->lock);
	if (!h->watching) {
		pthread_mutex_unlock(&h->lock);
		return;
	}
	h->watching = false;
	pthread_cond_signal(&h->tick);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->watcher, NULL);
}

void srv_watch_release_all(struct srv_httpd *h)
{
	pthread_mutex_lock(&h->lock);
	for (struct srv_conn *c = h->conns; c != NULL; c = c->next)
		wake_lingering(c);
	pthread_mutex_unlock(&h->lock);
}
