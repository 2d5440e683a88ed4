/* libmicrohttpd 0.9.75 gives sockets, framing and sendfile; what it gets wrong is kept away from the api here or refused by it:
 *
 * - It decodes the path. The raw target is taken in the URI callback, and decoding is switched off.
 * - It cannot answer in the middle of a body, and closes at once after an answer before the body, so that the reset can overtake
 *   the answer. A refusal while body bytes are still to come is therefore written to the socket by us (nothing else has
 *   been sent for this request), the sending side is shut, and the connection sleeps unread until the client has gone or two
 *   seconds are over: a 413 reaches the client and not a byte past the cap is read.
 *
 * - A response that it streams costs too much memory while there is nothing to say: see httpd_stream.c.
 *
 * Life of a request: uri callback (struct srv_request) -> first call of handle (the exchange is made; guard, routing and limits
 * happen there) -> calls with body bytes -> last call (the handler runs here, or on a task thread while the connection sleeps) -> completed.
 * Replies in memory live in the exchange, which is freed only when the request is complete, so nothing is copied. */
#include "server/httpd.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "server/env.h"
#include "server/httpd_priv.h"
#include "server/log.h"
#include "server/sched.h"

#define CONNECTION_MEMORY ((size_t)32 << 10) /* more makes uploads a little faster, and every request slower: half of it is cleared each time */
#define STACK_BYTES ((size_t)256 << 10)

void srv_http_resume(struct srv_conn *c)
{
	MHD_resume_connection(c->mhd);
}

/* --- connections */
static void peer_text(struct MHD_Connection *mhd, char *out, size_t cap)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *a = info != NULL ? info->client_addr : NULL;

	snprintf(out, cap, "local");
	if (a != NULL && a->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)a)->sin_addr, out, (socklen_t)cap);
	if (a != NULL && a->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, out, (socklen_t)cap);
}

static void connection_changed(void *cls, struct MHD_Connection *mhd, void **socket_context, enum MHD_ConnectionNotificationCode what)
{
	struct srv_httpd *h = cls;
	struct srv_conn *c = *socket_context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

		c = pare_calloc(1, sizeof *c);
		if (c == NULL || fd == NULL) { /* handle() finds no connection and says no */
			pare_free(c);
			return;
		}
		c->h = h;
		c->mhd = mhd;
		c->fd = fd->connect_fd;
		peer_text(mhd, c->peer, sizeof c->peer);
		srv_watch_phase(c, SRV_HEAD);
		*socket_context = c;
		srv_watch_add(h, c);
	} else if (c != NULL) {
		srv_watch_remove(h, c);
		*socket_context = NULL;
		pare_free(c);
	}
}

static struct srv_conn *conn_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

/* --- requests: begin and end */
static void *uri_seen(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	struct srv_httpd *h = cls;
	struct srv_request *r = pare_calloc(1, sizeof *r);
	struct srv_conn *c = conn_of(mhd);
	int idle = SRV_IDLE;

	if (r == NULL || c == NULL)
		goto fail;
	r->target = pare_strdup(uri);
	if (r->target == NULL)
		goto fail;
	r->h = h;
	r->conn = c;
	r->began_ns = srv_env.tick_ns(NULL);
	if (atomic_load(&c->phase) == idle)
		srv_watch_phase(c, SRV_HEAD);
	atomic_fetch_add(&h->n_requests, 1);
	return r;
fail:
	pare_free(r);
	return NULL;
}

void srv_http_log(const struct srv_request *r)
{
	const struct api_reply *reply = api_exchange_reply(r->x);
	bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
	enum srv_log_level level = reply->status >= 500 ? SRV_LOG_WARNING : reads ? SRV_LOG_DEBUG : SRV_LOG_INFO;
	struct srv_log_line l;

	if (!srv_log_enabled(level))
		return;
	srv_log_begin(&l, level, "request");
	srv_log_str(&l, "request", api_exchange_request_id(r->x));
	srv_log_str(&l, "method", r->method);
	srv_log_str(&l, "route", api_exchange_route(r->x));
	srv_log_int(&l, "status", reply->status);
	srv_log_int(&l, "us", (srv_env.tick_ns(NULL) - r->began_ns) / 1000);
	srv_log_str(&l, "peer", r->conn->peer);
	if (strcmp(api_exchange_client(r->x), r->conn->peer) != 0)
		srv_log_str(&l, "client", api_exchange_client(r->x));
	srv_log_err(&l, api_exchange_error(r->x));
	srv_log_end(&l);
}

static void request_completed(void *cls, struct MHD_Connection *mhd, void **con_cls, enum MHD_RequestTerminationCode how)
{
	struct srv_request *r = *con_cls;
	struct srv_httpd *h = cls;

	(void)mhd;
	if (r == NULL)
		return;
	*con_cls = NULL;
	if (r->x != NULL && r->stage == SRV_ANSWERING)
		srv_http_log(r);
	if (r->x != NULL)
		api_exchange_free(r->x);
	if (how == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		srv_watch_phase(r->conn, SRV_IDLE);
	atomic_fetch_sub(&h->n_requests, 1);
	pare_free(r->out);
	pare_free(r->target);
	pare_free(r);
}

/* --- the head */
struct collected {
	struct api_header *list;
	size_t n, cap;
	bool announces_body;
};

static enum MHD_Result collect(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct collected *c = cls;

	(void)kind;
	if (value == NULL)
		value = "";
	if (c->n == c->cap)
		return MHD_NO;
	if (strcasecmp(key, "Transfer-Encoding") == 0 || (strcasecmp(key, "Content-Length") == 0 && strcmp(value, "0") != 0))
		c->announces_body = true;
	c->list[c->n].name = key;
	c->list[c->n].value = value;
	c->n++;
	return MHD_YES;
}

/* --- replies */
static bool is_ours(const char *name)
{
	static const char *const ours[] = {"Content-Length", "Connection", "Transfer-Encoding", "Date"};

	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		if (strcasecmp(name, ours[i]) == 0)
			return true;
	return false;
}

/* The head of an answer that is written by us. */
static void write_head(struct pare_buf *b, const struct api_reply *reply, const char *framing)
{
	pare_buf_printf(b, "HTTP/1.1 %d %s\r\n", reply->status, MHD_get_reason_phrase_for((unsigned int)reply->status));
	for (size_t i = 0; i < reply->n_headers; i++)
		if (!is_ours(reply->headers[i].name))
			pare_buf_printf(b, "%s: %s\r\n", reply->headers[i].name, reply->headers[i].value);
	pare_buf_printf(b, "%sConnection: close\r\n\r\n", framing);
}

/* An answer while the body is still coming; see above. */
static enum MHD_Result refuse(struct srv_request *r)
{
	const struct api_reply *reply = api_exchange_reply(r->x);
	struct pare_buf b;
	size_t n = reply->kind == API_BODY_MEMORY ? reply->n_bytes : 0;
	char framing[48];
	ssize_t sent = -1;

	r->stage = SRV_CLOSING;
	pare_buf_init(&b, (size_t)256 << 10);
	snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", n);
	write_head(&b, reply, framing);
	if (!reply->head_only)
		pare_buf_add(&b, reply->data, n);
	srv_http_log(r);
	api_exchange_free(r->x); /* what was staged is gone before the client reads the answer */
	r->x = NULL;
	if (!b.failed)
		sent = send(r->conn->fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	pare_buf_done(&b);
	if (sent <= 0)
		return MHD_NO;
	shutdown(r->conn->fd, SHUT_WR);
	pthread_mutex_lock(&r->h->lock);
	if (atomic_load(&r->h->stopping)) {
		pthread_mutex_unlock(&r->h->lock);
		return MHD_NO;
	}
	srv_watch_phase(r->conn, SRV_LINGER);
	r->conn->lingers = true;
	MHD_suspend_connection(r->conn->mhd);
	pthread_mutex_unlock(&r->h->lock);
	return MHD_YES;
}

static enum MHD_Result answer_stream(struct srv_request *r, const struct api_reply *reply)
{
	const char *job = api_stream_job(r->x);
	struct pare_buf b;

	pare_buf_init(&b, (size_t)64 << 10);
	write_head(&b, reply, r->chunked ? "Transfer-Encoding: chunked\r\n" : "");
	r->out = pare_buf_take(&b, &r->n_out);
	if (r->out == NULL)
		return MHD_NO;
	r->stage = SRV_CLOSING; /* what is left to do if the stream thread does not take it */
	snprintf(r->job, sizeof r->job, "%s", job != NULL ? job : "");
	api_stream_settle(r->x);
	MHD_suspend_connection(r->conn->mhd); /* first: the stream may end before the next line returns */
	if (!srv_stream_add(r->h, r))
		MHD_resume_connection(r->conn->mhd);
	return MHD_YES;
}

static struct MHD_Response *make_response(struct srv_request *r, const struct api_reply *reply)
{
	static char nothing[1];

	if (reply->kind == API_BODY_FD && reply->fd_bytes > 0)
		return MHD_create_response_from_fd_at_offset64((uint64_t)reply->fd_bytes, api_reply_take_fd(r->x), (uint64_t)reply->fd_offset);
	if (reply->kind == API_BODY_MEMORY && reply->n_bytes > 0)
		return MHD_create_response_from_buffer(reply->n_bytes, (void *)(uintptr_t)reply->data, MHD_RESPMEM_PERSISTENT);
	return MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result answer(struct srv_request *r)
{
	const struct api_reply *reply = api_exchange_reply(r->x);
	struct MHD_Response *response;
	enum MHD_Result queued;

	r->stage = SRV_ANSWERING;
	srv_watch_phase(r->conn, SRV_SEND);
	if (reply->kind == API_BODY_STREAM && !reply->head_only)
		return answer_stream(r, reply);
	response = make_response(r, reply);
	if (response == NULL)
		return MHD_NO;
	for (size_t i = 0; i < reply->n_headers; i++)
		if (!is_ours(reply->headers[i].name) && MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value) != MHD_YES)
			srv_log_event(SRV_LOG_WARNING, "header.dropped", "name", reply->headers[i].name, NULL);
	if ((reply->close || atomic_load(&r->h->stopping)) && MHD_add_response_header(response, "Connection", "close") != MHD_YES)
		srv_log_event(SRV_LOG_WARNING, "header.dropped", "name", "Connection", NULL);
	queued = MHD_queue_response(r->conn->mhd, (unsigned int)reply->status, response);
	MHD_destroy_response(response);
	return queued;
}

static enum MHD_Result begin(struct srv_request *r, const char *method, const char *version)
{
	int count = MHD_get_connection_values(r->conn->mhd, MHD_HEADER_KIND, NULL, NULL);
	struct collected c = {.cap = count > 0 ? (size_t)count : 0};
	struct api_head head = {.method = method, .target = r->target, .version = version, .peer = r->conn->peer};

	c.list = pare_calloc(c.cap + 1, sizeof *c.list);
	if (c.list == NULL)
		return MHD_NO;
	MHD_get_connection_values(r->conn->mhd, MHD_HEADER_KIND, collect, &c);
	head.headers = c.list;
	head.n_headers = c.n;
	r->method = method;
	r->chunked = strcmp(version, "HTTP/1.0") != 0;
	r->x = api_exchange_new(r->h->opt.api, &head);
	pare_free(c.list);
	if (r->x == NULL)
		return MHD_NO;
	r->stage = SRV_READING;
	srv_watch_phase(r->conn, c.announces_body ? SRV_BODY : SRV_WORK);
	if (api_exchange_done(r->x) && c.announces_body)
		return refuse(r);
	return MHD_YES;
}

static enum MHD_Result take_body(struct srv_request *r, const char *p, size_t *n)
{
	if (!api_exchange_done(r->x))
		api_exchange_body(r->x, p, *n);
	atomic_fetch_add_explicit(&r->conn->received, (int64_t)*n, memory_order_relaxed);
	*n = 0;
	return api_exchange_done(r->x) ? refuse(r) : MHD_YES;
}

static enum MHD_Result end(struct srv_request *r)
{
	enum api_wait waits;

	srv_watch_phase(r->conn, SRV_WORK);
	if (api_exchange_done(r->x))
		return answer(r);
	waits = api_exchange_waits(r->x);
	if (waits != API_WAIT_NOTHING) {
		r->stage = SRV_WORKING;
		MHD_suspend_connection(r->conn->mhd);
		srv_tasks_add(&r->h->tasks[waits], r);
		return MHD_YES;
	}
	api_exchange_end(r->x);
	return answer(r);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version, const char *body, size_t *n_body, void **con_cls)
{
	struct srv_request *r = *con_cls;

	(void)cls;
	(void)mhd;
	(void)url;
	if (r == NULL)
		return MHD_NO;
	switch (r->stage) {
	case SRV_NEW:
		return begin(r, method, version);
	case SRV_READING:
		return *n_body > 0 ? take_body(r, body, n_body) : end(r);
	case SRV_ANSWERING:
		return answer(r);
	default: /* refused, and it has lingered long enough; or a stream that has ended */
		return MHD_NO;
	}
}

/* --- the daemon */
static size_t leave_escaped(void *cls, struct MHD_Connection *mhd, char *s)
{
	(void)cls;
	(void)mhd;
	return strlen(s);
}

static void library_log(void *cls, const char *format, va_list ap)
{
	char text[300];

	(void)cls;
	if (!srv_log_enabled(SRV_LOG_DEBUG))
		return;
	vsnprintf(text, sizeof text, format, ap);
	text[strcspn(text, "\n")] = '\0';
	srv_log_event(SRV_LOG_DEBUG, "http.library", "text", text, NULL);
}

/* While stopping, new connections are closed as they come. (MHD_quiesce_daemon is made for this, but races with its own threads
 * for the listening socket's place in epoll and then ends the process.) */
static enum MHD_Result may_connect(void *cls, const struct sockaddr *address, socklen_t len)
{
	const struct srv_httpd *h = cls;

	(void)address;
	(void)len;
	return atomic_load(&h->stopping) ? MHD_NO : MHD_YES;
}

static struct MHD_Daemon *start_daemon(struct srv_httpd *h)
{
	const struct srv_httpd_options *o = &h->opt;
	struct MHD_OptionItem pool[2] = {{MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}};
	struct MHD_Daemon *d;

	if (o->threads > 1) {
		pool[0].option = MHD_OPTION_THREAD_POOL_SIZE;
		pool[0].value = o->threads;
	}
	srv_sched_short_turns(true);
	d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, may_connect, h, handle, h,
	    MHD_OPTION_EXTERNAL_LOGGER, library_log, NULL, /* first: what follows may complain */
	    MHD_OPTION_LISTEN_SOCKET, h->listen_fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)o->max_connections,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_THREAD_STACK_SIZE, STACK_BYTES,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)(o->idle_timeout_ms / 1000), MHD_OPTION_URI_LOG_CALLBACK, uri_seen, h,
	    MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_NOTIFY_COMPLETED, request_completed, h,
	    MHD_OPTION_NOTIFY_CONNECTION, connection_changed, h, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
	srv_sched_short_turns(false);
	return d;
}

enum pare_code srv_httpd_start(const struct srv_httpd_options *opt, struct srv_httpd **out, struct pare_err *err)
{
	struct srv_httpd *h = pare_calloc(1, sizeof *h);
	enum pare_code code;

	if (h == NULL) {
		close(opt->listen_fd);
		return pare_err_nomem(err, sizeof *h);
	}
	h->opt = *opt;
	h->listen_fd = opt->listen_fd;
	code = srv_watch_start(h, err);
	if (code == PARE_OK)
		code = srv_streams_start(h, err);
	if (code == PARE_OK)
		code = srv_tasks_start(h, err);
	if (code == PARE_OK) {
		h->daemon = start_daemon(h);
		if (h->daemon == NULL)
			code = pare_err_set(err, PARE_E_IO, NULL, "the HTTP server cannot be started; is the limit on open files high enough?");
	}
	if (code != PARE_OK) {
		srv_httpd_stop(h, 0);
		return code;
	}
	*out = h;
	return PARE_OK;
}

static void wait_for_requests(struct srv_httpd *h, int64_t wait_ms)
{
	int64_t until = srv_env.mono_ms(NULL) + wait_ms;
	struct timespec nap = {.tv_nsec = 5000000};

	while (atomic_load(&h->n_requests) > 0 && srv_env.mono_ms(NULL) < until)
		nanosleep(&nap, NULL);
}

void srv_httpd_stop(struct srv_httpd *h, int64_t wait_ms)
{
	if (h == NULL)
		return;
	pthread_mutex_lock(&h->lock);
	atomic_store(&h->stopping, true);
	pthread_mutex_unlock(&h->lock);
	srv_watch_release_all(h);
	srv_streams_stop(h);
	wait_for_requests(h, wait_ms);
	srv_tasks_stop(h); /* the last waiting handler has returned: no connection sleeps any more */
	if (h->daemon != NULL)
		MHD_stop_daemon(h->daemon); /* closes the listening socket */
	else
		close(h->listen_fd);
	srv_watch_stop(h);
	pthread_cond_destroy(&h->tick);
	pthread_mutex_destroy(&h->lock);
	pare_free(h);
}
