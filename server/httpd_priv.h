/* Shared by httpd.c (libmicrohttpd's callbacks), httpd_watch.c (deadlines), httpd_stream.c (event streams) and httpd_tasks.c (threads
 * for handlers that block). Only httpd.c includes microhttpd.h; the others resume a connection through srv_http_resume. */
#ifndef SERVER_HTTPD_PRIV_H
#define SERVER_HTTPD_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "server/httpd.h"

struct MHD_Connection;
struct MHD_Daemon;

/* What a connection is doing, for the watcher. */
enum srv_phase { SRV_IDLE, SRV_HEAD, SRV_BODY, SRV_WORK, SRV_SEND, SRV_LINGER };

struct srv_conn {
	struct srv_conn *prev, *next; /* under h->lock */
	struct srv_httpd *h;
	struct MHD_Connection *mhd;
	int fd;
	char peer[64];
	_Atomic int phase;
	_Atomic int64_t deadline_ms;   /* IDLE, HEAD, LINGER */
	_Atomic int64_t received;      /* BODY: bytes given to the api so far */
	/* the watcher's own: */
	int64_t mark_ms, mark_bytes;   /* BODY, SEND: where the present ten seconds began */
	int64_t eof_bytes;             /* BODY: received at the last look */
	int watched_phase;             /* at the last look */
	int n_eof;                     /* BODY: looks in a row that found the end of the stream */
	uint64_t idle_bytes;           /* IDLE: what the kernel had received when it began */
	bool idle_marked, lingers;     /* lingers: suspended, under h->lock */
};

enum srv_stage { SRV_NEW, SRV_READING, SRV_WORKING, SRV_ANSWERING, SRV_CLOSING };

struct srv_request {
	struct srv_httpd *h;
	struct srv_conn *conn;
	char *target;
	const char *method; /* the library's, until the request is complete */
	struct api_exchange *x;
	enum srv_stage stage;
	int64_t began_ns;
	struct srv_request *next_task;
	/* event streams, under h->lock: */
	struct srv_request *prev, *next, *next_dirty;
	char job[PARE_ID_MAX];
	bool dirty;
	/* event streams, the stream thread's own once it has them: */
	bool chunked;
	char *out; /* waits to be sent: the head, or what the socket did not take; owned */
	size_t n_out, n_sent;
	int64_t ping_at_ms;
};

#define SRV_STREAM_BUCKETS 256
#define SRV_TASK_THREADS 64

/* Handlers that wait, and the threads that run them. */
struct srv_tasks {
	pthread_mutex_t lock;
	pthread_cond_t added;
	struct srv_request *first, *last;
	pthread_t threads[SRV_TASK_THREADS];
	int n_threads, max_threads, n_idle, n_queued;
	bool stops;
};

struct srv_httpd {
	struct srv_httpd_options opt;
	struct MHD_Daemon *daemon;
	int listen_fd;
	atomic_bool stopping;
	_Atomic int n_requests;
	pthread_mutex_t lock;
	pthread_cond_t tick;
	struct srv_conn *conns;
	struct srv_request *streams[SRV_STREAM_BUCKETS], *first_dirty;
	pthread_t stream_thread;
	bool streaming;
	int stream_epoll, stream_wake;
	pthread_t watcher;
	bool watching;
	struct srv_tasks tasks[API_WAIT_JOB + 1]; /* by what they wait for; none for API_WAIT_NOTHING */
};

void srv_http_resume(struct srv_conn *c); /* of a suspended connection, once */
void srv_http_log(const struct srv_request *r);

/* httpd_watch.c */
PARE_MUST_USE enum pare_code srv_watch_start(struct srv_httpd *h, struct pare_err *err);
void srv_watch_add(struct srv_httpd *h, struct srv_conn *c);
void srv_watch_remove(struct srv_httpd *h, struct srv_conn *c); /* before its descriptor is closed */
void srv_watch_phase(struct srv_conn *c, enum srv_phase phase);
void srv_watch_release_all(struct srv_httpd *h); /* resumes what lingers */
void srv_watch_stop(struct srv_httpd *h);

/* httpd_stream.c */
PARE_MUST_USE enum pare_code srv_streams_start(struct srv_httpd *h, struct pare_err *err);
/* Takes over a request whose connection is suspended and whose head stands in r->out; resumes the connection, with stage SRV_CLOSING, when the
 * stream has ended. False: no resources, nothing taken. */
bool srv_stream_add(struct srv_httpd *h, struct srv_request *r);
void srv_streams_stop(struct srv_httpd *h); /* ends them all; h->stopping is set */

/* httpd_tasks.c */
PARE_MUST_USE enum pare_code srv_tasks_start(struct srv_httpd *h, struct pare_err *err);
void srv_tasks_add(struct srv_tasks *t, struct srv_request *r); /* its connection is suspended; it is resumed when the exchange has ended */
void srv_tasks_stop(struct srv_httpd *h); /* after the last one is done */

#endif
