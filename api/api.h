/* The HTTP interface without HTTP's machinery: a request head and body go in, a reply comes out. Knows neither
 * libmicrohttpd nor SQL, so a test calls it without a socket, and server/httpd.c is only plumbing.
 *
 * Life of an exchange: api_exchange_new with the head (header guard, routing, authorisation, body limits: it may already hold the
 * reply) -> api_exchange_body for every piece of the body, streamed to memory (JSON) or to a blob (uploads) ->
 * api_exchange_end, which runs the handler. Handlers may wait (for the disk, or for the engine that looks at an upload): api_exchange_waits says for what, and the
 * server calls api_exchange_end on a thread of its own then. Exchanges are independent; different ones may run on different threads. */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/env.h"
#include "core/base/err.h"
#include "storage/blob.h"
#include "storage/store.h"
#include "storage/upkeep.h"

struct api;
struct api_exchange;

/* The files of one model or data set. */
struct api_engine_input {
	const char *role; /* "model", "teacher", "data" */
	const struct store_file *files;
	int n_files;
};

enum api_hook_outcome { API_HOOK_SUCCEEDED, API_HOOK_RETRYING, API_HOOK_FAILED, API_N_HOOK_OUTCOMES };

/* A slot of the pool, as it is now. Times are wall-clock milliseconds, 0: does not apply. */
#define API_MAX_WORKERS 256
struct api_worker {
	int slot;
	char name[48]; /* as the store knows who holds a job */
	char job[PARE_ID_MAX], owner[STORE_OWNER_MAX]; /* "" when idle */
	int attempt;
	int pid; /* of the engine; 0: none */
	int64_t claimed_ms, renewed_ms, lease_until_ms;
};

/* What the api asks of the engine and the pool; server/ supplies it, tests a fake. */
struct api_engine {
	/* Looks at uploaded files in the sandbox. options: JSON or NULL. On success *out_info is a JSON object (pare_free). The engine's own error comes back as it is;
	 * PARE_E_WORKER_CRASHED, PARE_E_TIMEOUT, PARE_E_BUSY are possible. */
	enum pare_code (*inspect)(void *ctx, enum store_asset_kind kind, const struct store_file *files, int n_files, const char *options, char **out_info, struct pare_err *err);
	/* The first rows of a data set, as a JSON object (pare_free): what they hold, fewer if they are large. Errors as above. */
	enum pare_code (*sample)(void *ctx, const struct store_file *files, int n_files, const char *options, int n_rows, char **out_rows, struct pare_err *err);
	/* What a job (its canonical text) would do with these inputs, as a JSON object (pare_free). Errors as above. */
	enum pare_code (*analyze)(void *ctx, const char *job, const struct api_engine_input *inputs, int n_inputs, char **out_info, struct pare_err *err);
	/* Builds a model from an architecture description (JSON text) into a new blob. */
	enum pare_code (*build)(void *ctx, const char *architecture, struct blob_ref *out, char **out_info, struct pare_err *err);
	void (*job_added)(void *ctx);                    /* wake a worker */
	void (*job_asked)(void *ctx, const char *id, enum store_job_status asked); /* of a job that may run: CANCELING, PAUSING, or RUNNING, to go on after all */
	void (*events_added)(void *ctx, const char *subject); /* wake event streams; subject: a job, or a model or data set that is new */
	/* Workers alive and busy, for readyz and metrics; sandbox is a borrowed text ("landlock+seccomp"). */
	void (*workers)(void *ctx, int *out_alive, int *out_busy, const char **out_sandbox);
	void (*deliveries_added)(void *ctx); /* wake the sender of webhooks */
	/* Attempts at deliveries so far, by how they ended. NULL: nobody sends. */
	void (*deliveries)(void *ctx, int64_t out[API_N_HOOK_OUTCOMES]);
	void (*drain)(void *ctx, bool on); /* claim no job until it is off again */
	int (*each_worker)(void *ctx, struct api_worker *out, int cap); /* returns how many */
	/* What the engine can do, as a JSON object (pare_free). Asked until it has been answered once. Errors as for inspect. */
	enum pare_code (*capabilities)(void *ctx, char **out_info, struct pare_err *err);
	void *ctx;
};

/* Whose requests are counted. */
enum api_rate_of { API_RATE_OWNER, API_RATE_KEY, API_N_RATES };

struct api_limits {
	int64_t max_upload_bytes; /* one model or data set */
	int64_t max_json_bytes;   /* request bodies that are JSON */
	int64_t min_free_bytes;   /* below this free space uploads and jobs get 507 */
	int max_queued_jobs;      /* 503 beyond */
	int max_uploads;          /* at the same time, complete ones that wait to be used included; 429 beyond */
	int64_t upload_ms;        /* after that time without a request an upload is forgotten */
	int default_threads;      /* of a job that names none */
	int max_threads;
	int max_crashes;
	int64_t max_requests[API_N_RATES]; /* of one owner, and of one key, within window_seconds; 0: no limit. Bytes and jobs: store_set_quota */
	int64_t window_seconds;
	struct store_retention retention; /* applied by POST /v1/admin/gc; at other times by the server */
};

#define API_PUBLIC_URL_MAX 1024
struct api_options {
	const struct pare_env *env;
	struct store *store;
	struct blob_store *blobs;
	struct api_engine engine;
	struct api_limits limits;
	const char *public_url;  /* "" or "https://host/prefix": put before every link */
	const char *trusted_proxies; /* networks whose Forwarded and X-Forwarded-* headers are believed; NULL: none */
	const char *webhook_allow, *webhook_deny; /* networks that webhooks may lead to although they are not public, and must not; NULL: none */
	const char *backup_dir;      /* where POST /v1/admin/backup makes its directories; NULL: nowhere */
	const char *openapi;     /* the document's text (YAML) */
	const char *openapi_json, *docs, *docs_policy; /* the same as JSON, as a page, and the Content-Security-Policy under which that is shown; NULL: 404. Borrowed, for good */
	const char *version;
	const char *api_key_file; /* NULL: no authentication. One key per line: pare_<id>_<secret>, or its stored form id:sha256hex; # comments */
};
PARE_MUST_USE enum pare_code api_new(const struct api_options *opt, struct api **out, struct pare_err *err);
void api_free(struct api *api);
void api_set_draining(struct api *api, bool draining); /* because the server stops: readyz and new work answer 503 */
void api_events_added(struct api *api); /* some job has new events: wakes requests that wait for its end */
/* Re-reads the key file (SIGHUP); the old keys stay on error. */
PARE_MUST_USE enum pare_code api_reload_keys(struct api *api, struct pare_err *err);

/* May an endpoint of that owner's behind which that key stands ("": none) be told of an event of that type now? If not, err says why, for its owner to read. Any thread. */
PARE_MUST_USE enum pare_code api_hook_may_hear(struct api *api, const char *key, const char *owner, const char *type, struct pare_err *err);

/* Writes down what is kept in memory for a while (when keys were last used). To be called about once a minute, and before api_free. */
PARE_MUST_USE enum pare_code api_housekeep(struct api *api, struct pare_err *err);

struct api_header {
	const char *name, *value;
};
struct api_head {
	const char *method;  /* as sent */
	const char *target;  /* raw, undecoded request target: "/v1/models?name=a%20b" */
	const char *version; /* "HTTP/1.1" */
	const struct api_header *headers; /* in order, duplicates included */
	size_t n_headers;
	const char *peer;    /* address text, for the log */
};

/* Never fails: out of memory gives an exchange whose reply is 503 (a static one). */
struct api_exchange *api_exchange_new(struct api *api, const struct api_head *head);
/* Reply ready before the body (refused, or no body wanted)? Then the body need not be read; the connection must be closed if one was announced. */
bool api_exchange_done(const struct api_exchange *x);
void api_exchange_body(struct api_exchange *x, const void *p, size_t n); /* may make the exchange done (too large) */
/* What the handler of an exchange that is not done may wait for. */
enum api_wait {
	API_WAIT_NOTHING,
	API_WAIT_DISK,   /* a commit: milliseconds, and shared by all that wait together */
	API_WAIT_ENGINE, /* an engine process, or a walk over the whole store: seconds */
	API_WAIT_JOB,    /* the end of a job, as long as the client likes; at most API_MAX_WAITERS at a time */
};
enum api_wait api_exchange_waits(struct api_exchange *x); /* once, before api_exchange_end */
void api_exchange_end(struct api_exchange *x);
/* Records the metrics and releases everything (also after an aborted connection). */
void api_exchange_free(struct api_exchange *x);

enum api_body_kind { API_BODY_NONE, API_BODY_MEMORY, API_BODY_FD, API_BODY_STREAM };
struct api_reply {
	int status;
	const struct api_header *headers;
	size_t n_headers;
	bool close; /* the connection must not be used again */
	bool head_only; /* HEAD: send the headers (with the length), not the body */
	enum api_body_kind kind;
	const char *data;  /* MEMORY */
	size_t n_bytes;    /* MEMORY */
	int fd;            /* FD: the server takes ownership through api_reply_take_fd */
	int64_t fd_offset, fd_bytes;
};
/* Valid once the exchange is done or ended, until api_exchange_free. */
const struct api_reply *api_exchange_reply(const struct api_exchange *x);
int api_reply_take_fd(struct api_exchange *x);
/* Of a stream whose headers the server has written down: releases what only they needed, so that ten thousand idle streams stay small. The reply's status and
 * what the log asks for remain. */
void api_stream_settle(struct api_exchange *x);

/* STREAM bodies (events). Copies at most cap bytes of what is there now; 0: nothing now, wait for events_added on the job (or the
 * next ping) and call again; -1: the end. Not to be called from two threads at once. */
ptrdiff_t api_stream_read(struct api_exchange *x, char *out, size_t cap);
const char *api_stream_job(const struct api_exchange *x); /* "": it tells of everything */
/* When a keep-alive comment is due: milliseconds of env->mono_ms; api_stream_read then returns it. */
int64_t api_stream_deadline_ms(const struct api_exchange *x);

/* For the server's log line. */
const char *api_exchange_request_id(const struct api_exchange *x);
const char *api_exchange_client(const struct api_exchange *x); /* address of who asked, as far as proxies are trusted */
const char *api_exchange_route(const struct api_exchange *x); /* template: "/v1/jobs/{id}", or "-" */
const struct pare_err *api_exchange_error(const struct api_exchange *x); /* NULL, or what an error reply says */

#endif
