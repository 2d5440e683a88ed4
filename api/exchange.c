/* The life of one request: guard, target, route, key, limits, body, handler. Every step may end it with a problem; a step that cannot know where
 * the body ends, or does not want to read it, also closes the connection.
 *
 * Order matters: framing before anything (a doubtful head must not even be routed), the route before the key (so that open routes need none),
 * the key before anything that costs (no disk is touched for a stranger), the announced length before the first byte of the body is read.
 *
 * An exchange that could not be allocated is the static `starved` one: it holds a finished 503 and is never changed or freed, so all callers of all threads may share it. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/priv.h"
#include "api/text.h"
#include "core/recipe/json_text.h"

#define ARENA_CAP ((size_t)1 << 20)
#define MULTIPART_SLACK (1 << 20) /* part headers and delimiters, on top of the files */

static const char starved_text[] = "{\"type\":\"/problems/out_of_memory\",\"title\":\"Out of memory\",\"status\":503,\"detail\":\"out of memory; try again\",\"code\":\"out_of_memory\"}\n";
static const struct api_header starved_headers[] = {{"Content-Type", "application/problem+json"}, {"Retry-After", "5"}};
static struct api_exchange starved = {
    .immortal = true,
    .done = true,
    .request_id = "-",
    .link_base = "",
    .error = &api_no_memory,
    .reply = {.status = 503, .headers = starved_headers, .n_headers = 2, .close = true, .kind = API_BODY_MEMORY, .data = starved_text, .n_bytes = sizeof starved_text - 1, .fd = -1},
};

/* Fields that have one value. Of two, a proxy in front may have gone by the other. */
static const char *const single_table[] = {"Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "If-Range", "Last-Event-ID", "Range", NULL};
/* Fields that are lists: over several lines they are one list still (RFC 9110, section 5.3). */
static const char *const list_table[] = {"Accept", "If-Match", "If-None-Match", "Repr-Digest", NULL};

static bool is_among(const char *name, const char *const *names)
{
	while (*names != NULL && !api_same_nocase(*names, name))
		names++;
	return *names != NULL;
}

static enum pare_code add_header(struct api_exchange *x, struct api_header *h, const struct api_header *sent, struct pare_err *err)
{
	struct api_header *had = NULL;
	size_t size = strlen(sent->value) + 1;
	char *value;

	for (size_t i = 0; i < x->n_headers && had == NULL; i++)
		if (api_same_nocase(h[i].name, sent->name) && is_among(sent->name, list_table))
			had = &h[i];
		else if (api_same_nocase(h[i].name, sent->name) && is_among(sent->name, single_table))
			return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "%.40s was sent more than once", sent->name);
	size += had != NULL ? strlen(had->value) + 2 : 0;
	value = pare_arena_alloc(&x->arena, size);
	if (value == NULL)
		return pare_err_nomem(err, size);
	(void)snprintf(value, size, "%s%s%s", had != NULL ? had->value : "", had != NULL ? ", " : "", sent->value);
	if (had == NULL) {
		had = &h[x->n_headers];
		had->name = pare_arena_strndup(&x->arena, sent->name, strlen(sent->name));
		if (had->name == NULL)
			return pare_err_nomem(err, 0);
		x->n_headers++;
	}
	had->value = value;
	return PARE_OK;
}

static enum pare_code copy_headers(struct api_exchange *x, const struct api_head *head, struct pare_err *err)
{
	struct api_header *h = pare_arena_array(&x->arena, head->n_headers, sizeof *h);
	enum pare_code rc = h != NULL ? PARE_OK : pare_err_nomem(err, 0);

	x->headers = h;
	for (size_t i = 0; i < head->n_headers && rc == PARE_OK; i++)
		rc = add_header(x, h, &head->headers[i], err);
	return rc;
}

static void choose_request_id(struct api_exchange *x)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *sent = api_request_header(x, "X-Request-Id");
	size_t n = sent != NULL ? strlen(sent) : 0;

	if (n > 0 && n < API_REQUEST_ID_MAX && strspn(sent, allowed) == n)
		memcpy(x->request_id, sent, n + 1);
	else
		pare_id_make(x->api->opt.env, "req", x->request_id);
}

static enum pare_code authorise(struct api_exchange *x, struct pare_err *err)
{
	enum pare_code rc = PARE_OK;

	api_caller_anyone(&x->caller);
	x->view = (struct store_view){x->api->opt.store, x->caller.owner};
	if (x->route->scope == API_OPEN)
		return PARE_OK;
	(void)pthread_rwlock_rdlock(&x->api->keys_lock);
	if (x->api->keys != NULL)
		rc = api_keys_check(x->api->keys, x->api->made, api_request_header(x, "Authorization"), x->api->opt.env->wall_ms(x->api->opt.env->ctx), &x->caller, err);
	(void)pthread_rwlock_unlock(&x->api->keys_lock);
	if (rc == PARE_OK)
		rc = api_charge(x, err);
	if (rc == PARE_OK && !api_caller_may(&x->caller, x->route->scope))
		return pare_err_set(err, PARE_E_FORBIDDEN, NULL, "the API key \"%s\" has no scope %s", x->caller.id, api_scope_name(x->route->scope));
	return rc;
}

static enum pare_code find_route(struct api_exchange *x, struct pare_err *err)
{
	struct pare_buf allow;
	enum pare_code rc;

	pare_buf_init(&allow, 256);
	rc = api_route_find(x->method, &x->target, &x->route, x->params, &allow, err);
	if (allow.len > 0 && (rc == PARE_E_METHOD || strcmp(x->method, "OPTIONS") == 0))
		api_set_header_text(x, "Allow", allow.data);
	if (rc == PARE_E_METHOD && strcmp(x->method, "OPTIONS") == 0) {
		api_reply_empty(x, 204);
		rc = PARE_OK;
	}
	pare_buf_done(&allow);
	return rc;
}

static int64_t body_cap(const struct api_exchange *x)
{
	int64_t cap = x->api->opt.limits.max_json_bytes;

	if (x->upload != NULL)
		cap = x->api->opt.limits.max_upload_bytes + MULTIPART_SLACK;
	return cap;
}

static enum pare_code too_large(int64_t cap, struct pare_err *err)
{
	return pare_err_set(err, PARE_E_TOO_LARGE, NULL, "the body is larger than the limit of %lld bytes", (long long)cap);
}

/* Drained, it still tells what a request made that comes again; whether this one does, the store knows. Every POST that takes new work asks it. */
static bool may_be_known(const struct api_exchange *x, int draining)
{
	return (draining & API_DRAIN_STOPPING) == 0 && strcmp(x->method, "POST") == 0 && api_request_header(x, "Idempotency-Key") != NULL;
}

static enum pare_code check_room(struct api_exchange *x, struct pare_err *err)
{
	int64_t free_bytes = blob_free_bytes(x->api->opt.blobs);
	int draining = atomic_load(&x->api->draining);

	if (draining != 0 && !may_be_known(x, draining))
		return pare_err_set(err, PARE_E_DRAINING, NULL, "the server %s and takes no new work", (draining & API_DRAIN_STOPPING) != 0 ? "is shutting down" : "is drained");
	if (free_bytes >= 0 && free_bytes < x->api->opt.limits.min_free_bytes)
		return pare_err_set(err, PARE_E_STORE_FULL, NULL, "the store has %lld bytes left and keeps %lld free", (long long)free_bytes, (long long)x->api->opt.limits.min_free_bytes);
	return PARE_OK;
}

static enum pare_code json_body_type(struct api_exchange *x, struct pare_err *err)
{
	const char *type = api_request_header(x, "Content-Type");
	const char *encoding = api_request_header(x, "Content-Encoding");
	size_t n = type != NULL ? strcspn(type, "; \t") : 0;

	if (encoding != NULL && !api_same_nocase(encoding, "identity"))
		return pare_err_set(err, PARE_E_MEDIA_TYPE, NULL, "Content-Encoding is not supported; send the bytes as they are");
	if (n == 0 || api_word_is(type, n, "application/json") || (strcmp(x->route->method, "PATCH") == 0 && api_word_is(type, n, "application/merge-patch+json")) || api_word_is(type, n, "application/x-www-form-urlencoded"))
		return PARE_OK;
	return pare_err_set(err, PARE_E_MEDIA_TYPE, NULL, "Content-Type \"%.60s\" is not accepted here; accepted: application/json", type);
}

/* What the head says about the body, against what the route wants. */
static enum pare_code check_body(struct api_exchange *x, struct pare_err *err)
{
	bool announced = x->framing.chunked || x->framing.length > 0;
	enum pare_code rc = PARE_OK;

	if (x->route->want == API_WANT_NONE)
		return announced ? pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "%s %s takes no body", x->method, x->route->path) : PARE_OK;
	if (x->route->new_work)
		rc = check_room(x, err);
	if (rc == PARE_OK && x->route->want != API_WANT_EMPTY && x->route->want != API_WANT_PART && !x->framing.chunked && !x->framing.has_length)
		rc = pare_err_set(err, PARE_E_LENGTH_REQUIRED, NULL, "send a body with Content-Length or chunked");
	if (rc == PARE_OK && x->route->want == API_WANT_PART)
		return api_resumable_begin(x, err);
	if (rc == PARE_OK && x->route->want == API_WANT_UPLOAD)
		rc = api_upload_begin(x, err);
	else if (rc == PARE_OK && announced)
		rc = json_body_type(x, err);
	if (rc == PARE_OK && x->framing.length > body_cap(x))
		rc = too_large(body_cap(x), err);
	return rc;
}

static enum pare_code begin(struct api_exchange *x, const struct api_head *head, struct pare_err *err)
{
	enum pare_code rc = api_guard_check(head, &x->framing, err), parsed;

	if (rc != PARE_OK) {
		pare_id_make(x->api->opt.env, "req", x->request_id);
		x->close_after = true;
		return rc;
	}
	x->close_after = x->framing.chunked || x->framing.length > 0; /* until the body is read */
	rc = copy_headers(x, head, err);
	if (rc == PARE_OK)
		rc = api_forward_read(x, head->peer, err);
	choose_request_id(x);
	parsed = api_target_parse(&x->arena, head->target, &x->target, rc == PARE_OK ? err : NULL); /* in any case: a refusal says of what */
	rc = rc != PARE_OK ? rc : parsed;
	if (rc == PARE_OK)
		rc = find_route(x, err);
	if (rc != PARE_OK || x->done)
		return rc;
	rc = authorise(x, err);
	if (rc == PARE_OK)
		rc = api_query_check(x->route, &x->target, err);
	return rc == PARE_OK ? check_body(x, err) : rc;
}

struct api_exchange *api_exchange_new(struct api *api, const struct api_head *head)
{
	struct api_exchange *x = pare_calloc(1, sizeof *x);
	struct pare_err err = {.code = PARE_OK};

	if (x == NULL)
		return &starved;
	x->api = api;
	x->start_ns = api->opt.env->tick_ns(api->opt.env->ctx);
	x->reply.fd = -1;
	x->target.path = "/";
	x->link_base = api->opt.public_url;
	(void)snprintf(x->client, sizeof x->client, "%s", head->peer != NULL ? head->peer : "");
	pare_arena_init(&x->arena, ARENA_CAP);
	pare_buf_init(&x->out, API_REPLY_CAP);
	pare_buf_init(&x->body, (size_t)api->opt.limits.max_json_bytes);
	x->method = pare_arena_strndup(&x->arena, head->method, strlen(head->method));
	if (x->method == NULL)
		api_reply_nomem(x);
	else if (begin(x, head, &err) != PARE_OK)
		api_reply_problem(x, &err);
	return x;
}

bool api_exchange_done(const struct api_exchange *x)
{
	return x->done;
}

static enum pare_code take_json(struct api_exchange *x, const void *p, size_t n, struct pare_err *err)
{
	if (x->n_body > body_cap(x))
		return too_large(body_cap(x), err);
	(void)pare_buf_add(&x->body, p, n);
	return pare_buf_status(&x->body, err);
}

void api_exchange_body(struct api_exchange *x, const void *p, size_t n)
{
	struct pare_err err;
	enum pare_code rc;

	if (x->done || n == 0)
		return;
	if (n > (size_t)(INT64_MAX - x->n_body))
		n = (size_t)(INT64_MAX - x->n_body);
	x->n_body += (int64_t)n;
	if (x->resumable != NULL)
		rc = api_resumable_body(x, p, n, &err);
	else if (x->upload != NULL)
		rc = x->n_body > body_cap(x) ? too_large(body_cap(x), &err) : api_upload_body(x, p, n, &err);
	else
		rc = take_json(x, p, n, &err);
	if (rc != PARE_OK)
		api_reply_problem(x, &err);
}

enum api_wait api_exchange_waits(struct api_exchange *x)
{
	if (x->done || x->route == NULL)
		return API_WAIT_NOTHING;
	if (api_query(x, "dry_run") != NULL)
		return API_WAIT_ENGINE;
	return api_wait_begin(x) ? API_WAIT_JOB : x->route->waits;
}

/* A request that says it all in its target has no body, or {}: what else stands in one was meant, and would be passed over. */
static enum pare_code check_empty(const struct api_exchange *x, struct pare_err *err)
{
	json_t *root;
	bool empty;
	enum pare_code rc;

	if (x->route->want != API_WANT_EMPTY || x->body.len == 0)
		return PARE_OK;
	rc = pare_json_load(x->body.data, x->body.len, x->body.len, &root, NULL, err);
	if (rc != PARE_OK)
		return rc;
	empty = json_is_object(root) && json_object_size(root) == 0;
	json_decref(root);
	return empty ? PARE_OK : pare_err_set(err, PARE_E_INVALID, NULL, "this request takes no fields; send no body, or {}");
}

void api_exchange_end(struct api_exchange *x)
{
	struct pare_err err = {.code = PARE_OK};
	enum pare_code rc;

	if (x->done)
		return;
	x->close_after = false;
	rc = check_empty(x, &err);
	if (rc == PARE_OK)
		rc = x->route->handler(x, &err);
	if (rc != PARE_OK)
		api_reply_problem(x, &err);
	api_upload_free(x); /* on this thread: taking back what was refused waits for the disk */
}

static size_t route_index(const struct api_exchange *x)
{
	return x->route != NULL ? (size_t)(x->route - api_route_table) : api_route_count();
}

void api_exchange_free(struct api_exchange *x)
{
	if (x == NULL || x->immortal)
		return;
	if (x->reply.status != 0)
		api_metrics_count(x->api->metrics, route_index(x), x->reply.status, x->api->opt.env->tick_ns(x->api->opt.env->ctx) - x->start_ns);
	api_upload_free(x);
	api_resumable_free(x);
	api_stream_free(x);
	api_wait_end(x);
	if (x->reply.fd >= 0)
		(void)close(x->reply.fd);
	pare_buf_done(&x->body);
	pare_buf_done(&x->out);
	pare_arena_done(&x->arena);
	pare_free(x);
}

const struct api_reply *api_exchange_reply(const struct api_exchange *x)
{
	return &x->reply;
}

int api_reply_take_fd(struct api_exchange *x)
{
	int fd = x->reply.fd;

	x->reply.fd = -1;
	return fd;
}

const char *api_exchange_request_id(const struct api_exchange *x)
{
	return x->request_id;
}

const char *api_exchange_client(const struct api_exchange *x)
{
	return x->client;
}

const char *api_exchange_route(const struct api_exchange *x)
{
	return x->route != NULL ? x->route->path : "-";
}

const struct pare_err *api_exchange_error(const struct api_exchange *x)
{
	return x->error;
}
