/* Event streams. One thread writes them all to their sockets, while libmicrohttpd keeps each connection suspended.
 *
 * Rejected: the library's content reader with suspend and resume. It works, but on the way to the first byte the library clears half of
 * the connection's memory, so that a stream with nothing to say keeps 145 KB resident (16 KB with the smallest useful setting), ten
 * thousand of them over a gigabyte; and it does not notice a client that has gone until the next write. A request that never
 * gets the library's response costs what its head took.
 *
 * A stream is dirty when its job has new events, when a keep-alive comment is due, or when its socket takes bytes again. The flag is
 * cleared under the lock before the stream is read, so an event that is added meanwhile makes it dirty again and none is missed. What the
 * socket does not take is kept (at most one piece), nothing more is read until it has gone: a slow reader costs one piece, not
 * a queue. From srv_stream_add until it resumes the connection this thread alone owns the request. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/env.h"
#include "server/httpd_priv.h"

#define PIECE ((size_t)16384)
#define FRAME_HEAD ((size_t)8)  /* "4000\r\n" and room */
#define FRAME_TAIL ((size_t)2)
#define PIECES_AT_ONCE 16       /* then the others have their turn */
#define EVENTS_AT_ONCE 64
#define TICK_MS 1000

static struct srv_request **bucket(struct srv_httpd *h, const char *job)
{
	uint32_t hash = 2166136261u;

	for (; *job != '\0'; job++)
		hash = (hash ^ (unsigned char)*job) * 16777619u;
	return &h->streams[hash % SRV_STREAM_BUCKETS];
}

/* Under the lock. */
static void make_dirty(struct srv_httpd *h, struct srv_request *r)
{
	if (r->dirty)
		return;
	r->dirty = true;
	r->next_dirty = h->first_dirty;
	h->first_dirty = r;
}

void srv_httpd_events_added(struct srv_httpd *h, const char *job)
{
	if (h == NULL)
		return;
	pthread_mutex_lock(&h->lock);
	for (struct srv_request *r = *bucket(h, job); r != NULL; r = r->next)
		if (strcmp(r->job, job) == 0)
			make_dirty(h, r);
	for (struct srv_request *r = *bucket(h, ""); r != NULL; r = r->next)
		if (r->job[0] == '\0')
			make_dirty(h, r);
	if (h->first_dirty != NULL)
		eventfd_write(h->stream_wake, 1);
	pthread_mutex_unlock(&h->lock);
}

bool srv_stream_add(struct srv_httpd *h, struct srv_request *r)
{
	struct epoll_event e = {.events = EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = r};
	struct srv_request **head = bucket(h, r->job);

	pthread_mutex_lock(&h->lock);
	if (atomic_load(&h->stopping) || epoll_ctl(h->stream_epoll, EPOLL_CTL_ADD, r->conn->fd, &e) != 0) {
		pthread_mutex_unlock(&h->lock);
		return false;
	}
	r->prev = NULL;
	r->next = *head;
	if (r->next != NULL)
		r->next->prev = r;
	*head = r;
	make_dirty(h, r);
	eventfd_write(h->stream_wake, 1);
	pthread_mutex_unlock(&h->lock);
	return true;
}

/* --- the stream thread */
static void finish(struct srv_httpd *h, struct srv_request *r)
{
	pthread_mutex_lock(&h->lock);
	epoll_ctl(h->stream_epoll, EPOLL_CTL_DEL, r->conn->fd, NULL);
	if (r->prev != NULL)
		r->prev->next = r->next;
	else
		*bucket(h, r->job) = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	for (struct srv_request **p = &h->first_dirty; r->dirty && *p != NULL; p = &(*p)->next_dirty)
		if (*p == r) {
			*p = r->next_dirty;
			break;
		}
	pthread_mutex_unlock(&h->lock);
	shutdown(r->conn->fd, SHUT_WR);
	srv_http_log(r);
	r->stage = SRV_CLOSING;
	srv_http_resume(r->conn); /* r is the library's again */
}

enum sent { ALL, PART, GONE };
static enum sent send_some(int fd, const char *p, size_t n, size_t *done)
{
	while (*done < n) {
		ssize_t k = send(fd, p + *done, n - *done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return errno == EAGAIN ? PART : GONE;
		*done += (size_t)k;
	}
	return ALL;
}

static enum sent send_kept(struct srv_request *r)
{
	enum sent s;

	if (r->out == NULL)
		return ALL;
	s = send_some(r->conn->fd, r->out, r->n_out, &r->n_sent);
	if (s == ALL) {
		pare_free(r->out);
		r->out = NULL;
	}
	return s;
}

static enum sent send_piece(struct srv_request *r, const char *p, size_t n)
{
	size_t done = 0;
	enum sent s = send_some(r->conn->fd, p, n, &done);

	if (s != PART)
		return s;
	r->out = pare_alloc(n - done);
	if (r->out == NULL)
		return GONE;
	memcpy(r->out, p + done, n - done);
	r->n_out = n - done;
	r->n_sent = 0;
	return PART;
}

/* Reads a piece and frames it in place. Returns its first byte and *n, NULL when there is nothing now; *end when it is the last. */
static const char *read_piece(struct srv_request *r, char *buf, size_t *n, bool *end)
{
	char *data = buf + FRAME_HEAD;
	ptrdiff_t k = atomic_load(&r->h->stopping) ? -1 : api_stream_read(r->x, data, PIECE);
	char head[FRAME_HEAD + 1];
	int n_head;

	*end = k < 0;
	*n = k > 0 ? (size_t)k : 0;
	if (k == 0 || (k < 0 && !r->chunked))
		return NULL;
	if (!r->chunked)
		return data;
	if (k < 0) {
		*n = 5;
		return memcpy(buf, "0\r\n\r\n", 5);
	}
	n_head = snprintf(head, sizeof head, "%zx\r\n", *n);
	memcpy(data - n_head, head, (size_t)n_head);
	memcpy(data + *n, "\r\n", 2);
	*n += (size_t)n_head + FRAME_TAIL;
	return data - n_head;
}

/* Writes what there is. False: the stream has ended. */
static bool pump(struct srv_httpd *h, struct srv_request *r, char *buf)
{
	enum sent s = send_kept(r);
	bool end = false;

	for (int i = 0; s == ALL && !end; i++) {
		size_t n;
		const char *p;

		if (i == PIECES_AT_ONCE) {
			pthread_mutex_lock(&h->lock);
			make_dirty(h, r);
			pthread_mutex_unlock(&h->lock);
			eventfd_write(h->stream_wake, 1);
			break;
		}
		p = read_piece(r, buf, &n, &end);
		if (p == NULL)
			break;
		s = send_piece(r, p, n);
	}
	r->ping_at_ms = api_stream_deadline_ms(r->x);
	return s != GONE && !end;
}

/* One turn for everything that is dirty now; what becomes dirty meanwhile has the next turn. */
static void pump_dirty(struct srv_httpd *h, char *buf, bool stopping)
{
	struct srv_request *list, *r;

	pthread_mutex_lock(&h->lock);
	list = h->first_dirty;
	h->first_dirty = NULL;
	pthread_mutex_unlock(&h->lock);
	while ((r = list) != NULL) {
		pthread_mutex_lock(&h->lock);
		list = r->next_dirty;
		r->dirty = false;
		pthread_mutex_unlock(&h->lock);
		if (!pump(h, r, buf) || stopping)
			finish(h, r);
	}
}

static void note_events(struct srv_httpd *h, const struct epoll_event *list, int n)
{
	for (int i = 0; i < n; i++) {
		struct srv_request *r = list[i].data.ptr;
		eventfd_t count;

		if (r == NULL) {
			(void)eventfd_read(h->stream_wake, &count);
		} else if ((list[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
			finish(h, r);
		} else {
			pthread_mutex_lock(&h->lock);
			make_dirty(h, r);
			pthread_mutex_unlock(&h->lock);
		}
	}
}

/* All of them when the server stops; else those whose comment is due. */
static void note_time(struct srv_httpd *h, bool all)
{
	int64_t now = srv_env.mono_ms(NULL);

	pthread_mutex_lock(&h->lock);
	for (int i = 0; i < SRV_STREAM_BUCKETS; i++)
		for (struct srv_request *r = h->streams[i]; r != NULL; r = r->next)
			if (all || now >= r->ping_at_ms)
				make_dirty(h, r);
	pthread_mutex_unlock(&h->lock);
}

static void *stream_main(void *arg)
{
	struct srv_httpd *h = arg;
	struct epoll_event list[EVENTS_AT_ONCE];
	char buf[FRAME_HEAD + PIECE + FRAME_TAIL];
	int64_t ticked_ms = srv_env.mono_ms(NULL);
	bool stopping;

	do {
		int n = epoll_wait(h->stream_epoll, list, EVENTS_AT_ONCE, TICK_MS);

		stopping = atomic_load(&h->stopping);
		note_events(h, list, n);
		if (stopping || srv_env.mono_ms(NULL) - ticked_ms >= TICK_MS) {
			ticked_ms = srv_env.mono_ms(NULL);
			note_time(h, stopping);
		}
		pump_dirty(h, buf, stopping);
	} while (!stopping);
	return NULL;
}

enum pare_code srv_streams_start(struct srv_httpd *h, struct pare_err *err)
{
	struct epoll_event wake = {.events = EPOLLIN, .data.ptr = NULL};

	h->stream_epoll = epoll_create1(EPOLL_CLOEXEC);
	h->stream_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->streaming = h->stream_epoll >= 0 && h->stream_wake >= 0 && epoll_ctl(h->stream_epoll, EPOLL_CTL_ADD, h->stream_wake, &wake) == 0 &&
	    pthread_create(&h->stream_thread, NULL, stream_main, h) == 0;
	if (!h->streaming)
		return pare_err_set(err, PARE_E_IO, NULL, "the thread of event streams cannot be started");
	return PARE_OK;
}

void srv_streams_stop(struct srv_httpd *h)
{
	if (h->streaming) {
		eventfd_write(h->stream_wake, 1);
		pthread_join(h->stream_thread, NULL);
	}
	h->streaming = false;
	if (h->stream_epoll > 0)
		close(h->stream_epoll);
	if (h->stream_wake > 0)
		close(h->stream_wake);
}
