/* What the files of api/ share: the two structs behind the opaque names, and the words in which handlers speak: read the request, write the reply. */
#ifndef API_PRIV_H
#define API_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/address.h"
#include "api/api.h"
#include "api/auth.h"
#include "api/forward.h"
#include "api/guard.h"
#include "api/json.h"
#include "api/metrics.h"
#include "api/rate.h"
#include "api/router.h"
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/recipe/recipe.h"
#include "storage/uploads.h"

#define API_MAX_REPLY_HEADERS 24
#define API_REQUEST_ID_MAX 65
#define API_CLIENT_MAX 64
#define API_REPLY_CAP ((size_t)64 << 20)

struct api_upload;
struct api_resumable;
struct api_stream;

/* Requests that wait for the end of a job (wait.c). */
#define API_MAX_WAITERS 64
struct api_waiters {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int64_t n_changes; /* under lock */
	atomic_int n;
};

enum api_drain { API_DRAIN_STOPPING = 1, API_DRAIN_ASKED = 2 };

struct api {
	struct api_options opt; /* strings owned */
	atomic_int draining; /* bits of enum api_drain: any of them means that no new work is taken */
	int64_t started_wall_ms;
	pthread_rwlock_t keys_lock;
	struct api_keys *keys; /* of the file; NULL: no authentication */
	struct api_keys *made; /* of the store */
	atomic_flag upkeep; /* one collection or backup at a time */
	pthread_mutex_t making; /* a key is made or revoked, and the list of them renewed */
	struct api_networks *trusted; /* proxies that are believed */
	struct api_outgoing outgoing;
	struct api_metrics *metrics;
	struct api_rates *rates[API_N_RATES]; /* NULL: no limit */
	struct api_waiters waiters;
	_Atomic(char *) capabilities; /* of the engine, once it has told them */
	struct api_job_cache *jobs; /* texts of ended ones */
	atomic_llong queue_bound; /* at least as many jobs are not queued; see jobs.c */
};

struct api_exchange {
	struct api *api;
	struct pare_arena arena;
	const char *method;
	struct api_header *headers; /* a copy */
	size_t n_headers;
	struct api_target target;
	struct api_framing framing;
	const struct api_route *route; /* NULL: none found */
	const char *params[API_MAX_PARAMS];
	char request_id[API_REQUEST_ID_MAX];
	struct api_caller caller;
	struct store_view view; /* the store as the caller may see it */
	struct api_rate rate; /* of the bucket with less in it: see charge.c */
	int rate_of;
	bool charged;
	char client[API_CLIENT_MAX]; /* address of who asked, behind trusted proxies; "local" on a Unix socket */
	const char *link_base;       /* what links begin with; "" when they are relative to the server */
	int64_t start_ns;
	struct pare_buf body; /* of JSON requests */
	int64_t n_body;       /* bytes seen */
	int64_t waits_seconds; /* for the end of the job; 0: does not wait */
	bool done, close_after, immortal;

	struct pare_buf out; /* text of the reply */
	struct api_reply reply;
	struct api_header *reply_headers; /* room for API_MAX_REPLY_HEADERS, in the arena; NULL: none yet */
	bool headers_failed;
	const struct pare_err *error; /* what a problem says, in the arena; NULL: none */
	struct pare_issues *issues; /* of a job that is wrong; in the arena */
	const char *problem_extra;  /* JSON members for the problem object, or NULL */
	const char *problem_type;   /* of a problem that others have named, instead of ours; or NULL */
	bool whole;                 /* the reply is sent without ranges: it is shown, not saved */
	struct api_upload *upload;
	struct api_resumable *resumable;
	struct api_stream *stream;
};

/* --- what requests cost (charge.c). api_charge: PARE_E_QUOTA, and nothing is taken. api_charge_tell: the headers that tell of it, in an answer of that status. */
PARE_MUST_USE enum pare_code api_charge_init(struct api *api, struct pare_err *err);
void api_charge_done(struct api *api);
PARE_MUST_USE enum pare_code api_charge(struct api_exchange *x, struct pare_err *err);
void api_charge_tell(struct api_exchange *x, int status);

/* --- request */
const char *api_request_header(const struct api_exchange *x, const char *name); /* the first, or NULL */
const char *api_query(const struct api_exchange *x, const char *name);          /* NULL: not given */
PARE_MUST_USE enum pare_code api_query_int(const struct api_exchange *x, const char *name, int64_t min, int64_t max, int64_t *inout, struct pare_err *err);
/* true, false, or the bare name for true; false when absent. */
PARE_MUST_USE enum pare_code api_query_flag(const struct api_exchange *x, const char *name, bool *out, struct pare_err *err);
bool api_is_head(const struct api_exchange *x);

/* --- members of a JSON body (fields.c). pointer: of the object, "" for the whole. PARE_E_INVALID with findings: those that are not among the known ones, a list that ends with NULL. */
PARE_MUST_USE enum pare_code api_check_fields(struct api_exchange *x, const json_t *o, const char *const *known, const char *pointer, struct pare_err *err);
/* One step further down (RFC 6901: ~ and / escaped); cut where it does not fit. */
void api_pointer_add(char *pointer, size_t size, const char *key);

/* --- reply. Header values are copied. A failed allocation turns the reply into the static 503. */
void api_set_header(struct api_exchange *x, const char *name, const char *fmt, ...) PARE_PRINTF(3, 4);
void api_set_header_text(struct api_exchange *x, const char *name, const char *value); /* as it is */
/* Sends x->out as JSON; GET replies of 200 get an ETag of their bytes unless one was set, and answer If-None-Match. */
PARE_MUST_USE enum pare_code api_reply_json(struct api_exchange *x, int status, struct pare_err *err);
PARE_MUST_USE enum pare_code api_reply_text(struct api_exchange *x, int status, const char *media_type, struct pare_err *err);
/* A 200 whose text stands in x->out and has a tag of its bytes; answers If-None-Match. */
PARE_MUST_USE enum pare_code api_reply_tagged(struct api_exchange *x, const char *media_type, struct pare_err *err);
void api_reply_empty(struct api_exchange *x, int status);
/* True (and the reply is 304) if If-None-Match holds the tag. */
bool api_not_modified(struct api_exchange *x, const char *etag);
/* Holds If-Match, which was sent, against the ETag that a GET would give the JSON in x->out; empties x->out. */
PARE_MUST_USE enum pare_code api_check_if_match(struct api_exchange *x, struct pare_err *err);
/* Replies the bytes of a blob, with conditions and, unless x->whole, ranges. filename NULL: inline. What stands at a target for good may be kept for good: who answers with something that may become
 * something else sets Cache-Control before. */
PARE_MUST_USE enum pare_code api_reply_blob(struct api_exchange *x, const char *sha256, const char *media_type, const char *filename, struct pare_err *err);
/* Turns an error into the reply (problem+json). */
void api_reply_problem(struct api_exchange *x, const struct pare_err *err);
void api_reply_nomem(struct api_exchange *x);
extern const struct pare_err api_no_memory; /* what a reply says that had no room to say anything else */
int api_status_of(enum pare_code code);

/* Links: x->link_base and a path. */
void api_json_link(struct api_exchange *x, const char *key, const char *fmt, ...) PARE_PRINTF(3, 4);
void api_set_location(struct api_exchange *x, const char *fmt, ...) PARE_PRINTF(2, 3);
/* Query limit, after, before, order -> page (ids with that prefix). */
PARE_MUST_USE enum pare_code api_page_parse(struct api_exchange *x, const char *prefix, struct store_page *out, struct pare_err *err);
/* A list in x->out: what is written between the two is its data; the end tells has_more, next_after and Link. last_id: of the page, NULL for an empty one. */
void api_list_open(struct api_exchange *x);
void api_list_close(struct api_exchange *x, bool more, const char *last_id);

/* Can work be taken? The error says what is amiss (health.c). */
PARE_MUST_USE enum pare_code api_check_ready(struct api_exchange *x, struct pare_err *err);

/* --- uploads (upload.c) */
PARE_MUST_USE enum pare_code api_upload_begin(struct api_exchange *x, struct pare_err *err);
PARE_MUST_USE enum pare_code api_upload_body(struct api_exchange *x, const void *p, size_t n, struct pare_err *err);
void api_upload_free(struct api_exchange *x);

/* --- resumable uploads (resumable.c) */
PARE_MUST_USE enum pare_code api_resumable_begin(struct api_exchange *x, struct pare_err *err);
PARE_MUST_USE enum pare_code api_resumable_body(struct api_exchange *x, const void *p, size_t n, struct pare_err *err);
void api_resumable_free(struct api_exchange *x);

/* The 64 digits of "sha256:…", in it; NULL if it is not that (blobs.c). */
const char *api_blob_digest(const char *s);
/* Does something that this caller may read have these bytes? */
PARE_MUST_USE enum pare_code api_blob_known(const struct api_exchange *x, const char *sha256, bool *out, struct pare_err *err);

/* --- waiting (wait.c) */
PARE_MUST_USE enum pare_code api_wait_init(struct api_waiters *w, struct pare_err *err);
void api_wait_done(struct api_waiters *w);
bool api_wait_begin(struct api_exchange *x); /* takes a place, if the request asks for one and there is one */
void api_wait_end(struct api_exchange *x);
/* Reads the job again and again until it has ended or the time is over. */
PARE_MUST_USE enum pare_code api_wait_for_end(struct api_exchange *x, struct store_job *j, struct pare_err *err);

/* --- event streams (events.c) */
void api_stream_free(struct api_exchange *x);
void api_json_event(struct pare_buf *b, const char *key, const struct store_event *e);

/* --- handlers, one row of routes.c each */
enum pare_code api_get_livez(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_readyz(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_version(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_root(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_openapi_json(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_docs(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_capabilities(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_oip(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_oip_live(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_oip_ready(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_oip_model(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_oip_version(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_openapi(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_problem(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_metrics(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_own_key(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_backup(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_gc(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_drain(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_drain(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_key(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_keys(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_key(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_key(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_methods(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_method(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_recipes(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_recipe(struct api_exchange *x, struct pare_err *err);
enum pare_code api_put_recipe(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_recipe(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_recipe(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_upload(struct api_exchange *x, struct pare_err *err);
enum pare_code api_patch_upload(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_uploads(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_upload(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_upload(struct api_exchange *x, struct pare_err *err);
enum pare_code api_options_upload(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_blob(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_model(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_dataset(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_models(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_datasets(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_model(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_dataset(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_model(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_dataset(struct api_exchange *x, struct pare_err *err);
enum pare_code api_validate_model(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_dataset_sample(struct api_exchange *x, struct pare_err *err);
enum pare_code api_patch_model(struct api_exchange *x, struct pare_err *err);
enum pare_code api_patch_dataset(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_model_versions(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_dataset_versions(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_model_alias(struct api_exchange *x, struct pare_err *err);
enum pare_code api_put_model_alias(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_model_alias(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_model_graph(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_model_content(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_dataset_content(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_job(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_jobs(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_job(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_job(struct api_exchange *x, struct pare_err *err);
enum pare_code api_patch_job(struct api_exchange *x, struct pare_err *err);
enum pare_code api_retry_job(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_queue(struct api_exchange *x, struct pare_err *err);
enum pare_code api_pause_job(struct api_exchange *x, struct pare_err *err);
enum pare_code api_resume_job(struct api_exchange *x, struct pare_err *err);
enum pare_code api_cancel_job(struct api_exchange *x, struct pare_err *err);
enum pare_code api_post_hook(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_hooks(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_hook(struct api_exchange *x, struct pare_err *err);
enum pare_code api_patch_hook(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_hook(struct api_exchange *x, struct pare_err *err);
enum pare_code api_test_hook(struct api_exchange *x, struct pare_err *err);
enum pare_code api_rotate_hook(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_deliveries(struct api_exchange *x, struct pare_err *err);
enum pare_code api_redeliver(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_events(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_job_events(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_job_metrics(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_job_logs(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_job_artifacts(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_job_artifact(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_job_checkpoints(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_artifact(struct api_exchange *x, struct pare_err *err);
enum pare_code api_delete_artifact(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_artifact_content(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_workers(struct api_exchange *x, struct pare_err *err);
enum pare_code api_get_job_report(struct api_exchange *x, struct pare_err *err);

#endif
