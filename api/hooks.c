/* Webhooks as a resource. A secret is told once, in the answer to what made it. After that only the receiver and the store have it: the store must keep it as it is,
 * because it signs with it.
 *
 * An endpoint tells no more than the key behind it could read: the one that made it, or that last said where it goes, what it hears, or that it is to go on. That key must be able to
 * read all of it then (403), and when a message is sent (api_hook_may_hear): once it is revoked, has expired, or has lost a scope, the endpoint is disabled, says why, and waits for another
 * key to take it on by enabling it. Endpoints made without a key, or before keys were noted, go on until a key changes them.
 *
 * All that is wrong with a request is told at once. Names of events are checked against the table of those that there are, because an endpoint that waits
 * for "job.suceeded" would wait for ever. */
#include "api/hook.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/jobs.h"
#include "api/once.h"
#include "api/priv.h"
#include "api/range.h"
#include "api/text.h"
#include "core/base/nearest.h"
#include "core/recipe/json_text.h"

#define DESCRIPTION_MAX 500
#define EVENTS_MAX 40
#define OVERLAP_SECONDS 86400
#define OVERLAP_SECONDS_MAX 604800

static enum pare_code find(struct api_exchange *x, struct store_hook *out, struct pare_err *err)
{
	enum pare_code rc = PARE_E_NOT_FOUND;

	if (pare_id_check(x->params[0], "whk"))
		rc = store_hook_get(x->view, x->params[0], out, err);
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, rc, NULL, "there is no webhook \"%.60s\"", x->params[0]);
	return rc;
}

static void wake(struct api_exchange *x)
{
	const struct api_engine *e = &x->api->opt.engine;

	if (e->deliveries_added != NULL)
		e->deliveries_added(e->ctx);
}

/* --- what an endpoint may hear */
static const struct api_event_type *unreadable(const struct api_caller *c, const char *events)
{
	char word[64];

	for (const struct api_event_type *t = api_event_type_table; t->type != NULL; t++) {
		(void)snprintf(word, sizeof word, " %s ", t->type);
		if (!api_caller_may(c, t->scope) && strstr(events, word) != NULL)
			return t;
	}
	return NULL;
}

/* The caller's key stands behind h from now on. */
static enum pare_code vouch(struct api_exchange *x, struct store_hook *h, const char *where, struct pare_err *err)
{
	const struct api_event_type *t = unreadable(&x->caller, h->events);

	(void)snprintf(h->key, sizeof h->key, "%s", x->caller.id);
	if (t != NULL)
		return pare_err_set(err, PARE_E_FORBIDDEN, where, "a webhook that hears of %s needs a key with the scope %s, too", t->type, api_scope_name(t->scope));
	return strspn(h->events, " ") < strlen(h->events) ? PARE_OK : pare_err_set(err, PARE_E_FORBIDDEN, where, "the API key \"%s\" may read nothing that a webhook could hear of", x->caller.id);
}

enum pare_code api_hook_may_hear(struct api *api, const char *key, const char *owner, const char *type, struct pare_err *err)
{
	char events[72];
	const struct api_event_type *t;
	struct api_caller c;
	enum pare_code rc = PARE_OK;

	api_caller_anyone(&c);
	(void)pthread_rwlock_rdlock(&api->keys_lock);
	if (key[0] != '\0' && api->keys != NULL)
		rc = api_keys_caller(api->keys, api->made, key, api->opt.env->wall_ms(api->opt.env->ctx), &c, err);
	(void)pthread_rwlock_unlock(&api->keys_lock);
	(void)snprintf(events, sizeof events, " %s ", type);
	if (rc == PARE_OK && c.id[0] != '\0' && strcmp(c.owner, owner) != 0)
		rc = pare_err_set(err, PARE_E_FORBIDDEN, NULL, "its API key \"%.40s\" is another owner's now", key);
	t = rc == PARE_OK ? unreadable(&c, events) : NULL;
	return t != NULL ? pare_err_set(err, PARE_E_FORBIDDEN, NULL, "its API key \"%.40s\" has no scope %s any more", key, api_scope_name(t->scope)) : rc;
}

/* --- the object */
static void write_events(struct pare_buf *b, const char *events)
{
	char name[64];

	api_json_open(b, "events", '[');
	for (const char *s = events + strspn(events, " "); *s != '\0'; s += strcspn(s, " "), s += strspn(s, " ")) {
		(void)snprintf(name, sizeof name, "%.*s", (int)strcspn(s, " "), s);
		api_json_str(b, NULL, name);
	}
	api_json_close(b, ']');
}

static void write_hook(struct api_exchange *x, const struct store_hook *h, bool with_secret)
{
	struct pare_buf *b = &x->out;
	int64_t now = x->api->opt.env->wall_ms(x->api->opt.env->ctx);

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "webhook");
	api_json_str(b, "id", h->id);
	api_json_str(b, "url", h->url);
	write_events(b, h->events);
	api_json_str(b, "format", store_hook_format_name(h->format));
	api_json_str(b, "description", h->description);
	api_json_str(b, "job", h->job[0] != '\0' ? h->job : NULL);
	api_json_bool(b, "enabled", h->enabled);
	api_json_str(b, "disabled_reason", h->disabled_why[0] != '\0' ? h->disabled_why : NULL);
	if (with_secret)
		api_json_str(b, "secret", h->secret);
	api_json_time(b, "old_secret_valid_until", h->old_until_ms > now ? h->old_until_ms : 0);
	api_json_int(b, "revision", h->revision);
	api_json_time(b, "created_at", h->created_ms);
	api_json_time(b, "updated_at", h->updated_ms);
	api_json_open(b, "urls", '{');
	api_json_link(x, "self", "/v1/webhooks/%s", h->id);
	api_json_link(x, "deliveries", "/v1/webhooks/%s/deliveries", h->id);
	api_json_link(x, "test", "/v1/webhooks/%s/test", h->id);
	api_json_link(x, "rotate_secret", "/v1/webhooks/%s/rotate-secret", h->id);
	api_json_close(b, '}');
	api_json_close(b, '}');
}

#define ETAG_MAX 32
static void etag_of(const struct store_hook *h, char out[ETAG_MAX])
{
	(void)snprintf(out, ETAG_MAX, "\"%lld\"", (long long)h->revision);
}

static enum pare_code reply_hook(struct api_exchange *x, const struct store_hook *h, int status, bool with_secret, struct pare_err *err)
{
	char etag[ETAG_MAX];

	etag_of(h, etag);
	if (with_secret)
		api_set_header_text(x, "Cache-Control", "no-store");
	else if (status == 200 && strcmp(x->route->method, "GET") == 0 && api_not_modified(x, etag))
		return PARE_OK;
	api_set_header_text(x, "ETag", etag);
	write_hook(x, h, with_secret);
	return api_reply_json(x, status, err);
}

/* --- the fields of a request */
struct form {
	struct api_exchange *x;
	struct store_hook *h; /* what is set goes here; strings live in the arena */
	const char *prefix;   /* of pointers: where in the request it stands */
	struct pare_issues *issues;
	bool no_memory;
};

/* The last place of a full list holds the last finding. */
static void PARE_PRINTF(4, 5) wrong(struct form *f, const char *pointer, const char *code, const char *fmt, ...)
{
	struct pare_issue *i = &f->issues->list[f->issues->n < PARE_MAX_ISSUES ? f->issues->n++ : PARE_MAX_ISSUES - 1];
	va_list ap;

	(void)snprintf(i->pointer, sizeof i->pointer, "%s%s", f->prefix, pointer);
	i->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(i->detail, sizeof i->detail, fmt, ap);
	va_end(ap);
}

static const char *keep(struct form *f, const char *s, size_t n)
{
	const char *copy = pare_arena_strndup(&f->x->arena, s, n);

	f->no_memory |= copy == NULL;
	return copy != NULL ? copy : "";
}

/* NULL, and a finding, for what is no string. */
static const char *text_of(struct form *f, const char *pointer, const json_t *v)
{
	if (json_is_string(v))
		return json_string_value(v);
	wrong(f, pointer, "wrong_type", "must be a string");
	return NULL;
}

static void read_url(struct form *f, const json_t *v)
{
	const char *s = text_of(f, "/url", v);
	struct pare_err err;

	if (s == NULL)
		return;
	if (api_hook_url_check(s, &f->x->api->outgoing, &err) == PARE_OK)
		f->h->url = keep(f, s, strlen(s));
	else
		wrong(f, "/url", "bad_url", "%.239s", err.message);
}

static bool is_event(const char *type)
{
	for (const struct api_event_type *t = api_event_type_table; t->type != NULL; t++)
		if (strcmp(t->type, type) == 0)
			return true;
	return false;
}

static void unknown_event(struct form *f, const char *pointer, const char *type)
{
	struct pare_nearest near;

	pare_nearest_init(&near, type);
	for (const struct api_event_type *t = api_event_type_table; t->type != NULL; t++)
		pare_nearest_try(&near, t->type);
	wrong(f, pointer, "unknown_value", "there is no event \"%.60s\"%s%s%s", type, near.best != NULL ? "; did you mean \"" : "",
	    near.best != NULL ? near.best : "", near.best != NULL ? "\"?" : "; GET /openapi.yaml lists them all");
}

static void read_events(struct form *f, const json_t *v)
{
	struct pare_buf list;
	size_t n = json_array_size(v);

	if (!json_is_array(v) || n == 0 || n > EVENTS_MAX) {
		wrong(f, "/events", "wrong_type", "must be a list of 1 to %d names of events", EVENTS_MAX);
		return;
	}
	pare_buf_init(&list, 4096);
	(void)pare_buf_str(&list, " ");
	for (size_t i = 0; i < n; i++) {
		char pointer[32];
		const char *s;

		(void)snprintf(pointer, sizeof pointer, "/events/%zu", i);
		s = text_of(f, pointer, json_array_get(v, i));
		if (s != NULL && !is_event(s))
			unknown_event(f, pointer, s);
		else if (s != NULL)
			(void)pare_buf_printf(&list, "%s ", s);
	}
	f->no_memory |= list.failed;
	if (!list.failed)
		f->h->events = keep(f, list.data, list.len);
	pare_buf_done(&list);
}

static void read_format(struct form *f, const json_t *v)
{
	const char *s = text_of(f, "/format", v);

	for (int i = 0; s != NULL && i < STORE_N_HOOK_FORMATS; i++)
		if (strcmp(store_hook_format_name((enum store_hook_format)i), s) == 0) {
			f->h->format = (enum store_hook_format)i;
			return;
		}
	if (s != NULL)
		wrong(f, "/format", "unknown_value", "must be \"standard\" or \"cloudevents\"");
}

static void read_description(struct form *f, const json_t *v)
{
	const char *s = text_of(f, "/description", v);

	if (s == NULL)
		return;
	if (strlen(s) > DESCRIPTION_MAX || !api_plain_text(s))
		wrong(f, "/description", "out_of_range", "must be at most %d bytes of text without control characters", DESCRIPTION_MAX);
	else
		f->h->description = keep(f, s, strlen(s));
}

static void read_enabled(struct form *f, const json_t *v)
{
	if (!json_is_boolean(v))
		wrong(f, "/enabled", "wrong_type", "must be true or false");
	else if (json_is_true(v) != f->h->enabled) {
		f->h->enabled = json_is_true(v);
		f->h->disabled_why = f->h->enabled ? "" : "disabled by its owner";
	}
}

static void read_secret(struct form *f, const json_t *v)
{
	const char *s = text_of(f, "/secret", v);

	if (s == NULL)
		return;
	if (api_hook_secret_check(s))
		f->h->secret = keep(f, s, strlen(s));
	else
		wrong(f, "/secret", "out_of_range", "must be \"whsec_\" and 24 to 64 bytes in base 64; leave it out to have one made");
}

static void read_job(struct form *f, const json_t *v)
{
	const char *s = text_of(f, "/job", v);

	if (s == NULL)
		return;
	if (pare_id_check(s, "job"))
		(void)snprintf(f->h->job, sizeof f->h->job, "%s", s);
	else
		wrong(f, "/job", "not_found", "there is no job \"%.60s\"", s);
}

static const struct {
	const char *name;
	const char *stays; /* why it is not changed later; NULL: it may be */
	void (*read)(struct form *f, const json_t *v);
} field_table[] = {
    {"url", NULL, read_url},
    {"events", NULL, read_events},
    {"format", NULL, read_format},
    {"description", NULL, read_description},
    {"enabled", NULL, read_enabled},
    {"secret", "is said when the webhook is made; rotate-secret makes a new one", read_secret},
    {"job", "is said when the webhook is made, and stays", read_job},
};
#define N_FIELDS (sizeof field_table / sizeof field_table[0])

static void read_field(struct form *f, const char *key, const json_t *v, bool birth)
{
	char pointer[sizeof f->issues->list[0].pointer] = "";
	struct pare_nearest near;

	pare_nearest_init(&near, key);
	api_pointer_add(pointer, sizeof pointer, key);
	for (size_t i = 0; i < N_FIELDS; i++) {
		bool open = birth || field_table[i].stays == NULL;

		if (strcmp(field_table[i].name, key) != 0) {
			if (open)
				pare_nearest_try(&near, field_table[i].name);
			continue;
		}
		if (open)
			field_table[i].read(f, v);
		else
			wrong(f, pointer, "unsupported", "%s", field_table[i].stays);
		return;
	}
	wrong(f, pointer, "unknown_field", "unknown field%s%s%s", near.best != NULL ? "; did you mean \"" : "",
	    near.best != NULL ? near.best : "", near.best != NULL ? "\"?" : "");
}

static enum pare_code end_form(struct form *f, struct pare_err *err)
{
	if (f->no_memory)
		return pare_err_nomem(err, 0);
	if (f->issues->n == 0)
		return PARE_OK;
	f->x->issues = f->issues;
	return pare_err_set(err, PARE_E_INVALID, NULL, "%d field%s of the webhook %s wrong", f->issues->n, f->issues->n > 1 ? "s" : "", f->issues->n > 1 ? "are" : "is");
}

/* Reads the request into h, whose fields are set already: those it had, or defaults. */
static enum pare_code read_form(struct api_exchange *x, struct store_hook *h, bool birth, struct pare_err *err)
{
	struct form f = {.x = x, .h = h, .prefix = "", .issues = pare_arena_alloc(&x->arena, sizeof *f.issues)};
	json_t *root = NULL, *v;
	const char *key;
	enum pare_code rc;

	if (f.issues == NULL)
		return pare_err_nomem(err, sizeof *f.issues);
	rc = pare_json_load(x->body.data != NULL ? x->body.data : "", x->body.len, x->body.len, &root, NULL, err);
	if (rc == PARE_OK && !json_is_object(root))
		rc = pare_err_set(err, PARE_E_INVALID, NULL, "the body must be a JSON object");
	if (rc == PARE_OK) {
		json_object_foreach(root, key, v) {
			read_field(&f, key, v, birth);
		}
		if (birth && json_object_get(root, "url") == NULL)
			wrong(&f, "/url", "missing", "a webhook needs a URL");
	}
	json_decref(root);
	return rc == PARE_OK ? end_form(&f, err) : rc;
}

/* --- handlers */
static enum pare_code default_events(struct api_exchange *x, struct store_hook *h, struct pare_err *err)
{
	struct pare_buf list;
	const char *text = NULL;

	pare_buf_init(&list, 4096);
	(void)pare_buf_str(&list, " ");
	for (const struct api_event_type *t = api_event_type_table; t->type != NULL; t++)
		if (t->by_default && api_caller_may(&x->caller, t->scope))
			(void)pare_buf_printf(&list, "%s ", t->type);
	if (!list.failed)
		text = pare_arena_strndup(&x->arena, list.data, list.len);
	pare_buf_done(&list);
	h->events = text;
	return text != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code begin_hook(struct api_exchange *x, struct store_hook *h, char secret[API_HOOK_SECRET_MAX], struct pare_err *err)
{
	*h = (struct store_hook){.description = "", .enabled = true, .disabled_why = "", .secret = secret, .old_secret = ""};
	api_hook_secret_make(x->api->opt.env, secret);
	return default_events(x, h, err);
}

static json_t *json_of(const struct pare_arg *g)
{
	json_t *list;

	if (g->param->type != PARE_PARAM_STRINGS)
		return json_string(g->str);
	list = json_array();
	for (size_t i = 0; i < g->n && list != NULL; i++)
		if (json_array_append_new(list, json_string(g->strings[i])) != 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

/* What the catalog has checked in shape is read by the same functions as a webhook's own request. */
enum pare_code api_hook_of_job(struct api_exchange *x, const struct pare_args *a, struct store_hook **out, struct pare_err *err)
{
	struct form f = {.x = x, .prefix = "/webhook"};
	char *secret;
	enum pare_code rc;

	*out = NULL;
	if (a == NULL)
		return PARE_OK;
	if (!api_caller_may(&x->caller, API_WEBHOOKS_WRITE))
		return pare_err_set(err, PARE_E_FORBIDDEN, "/webhook", "a job with a webhook needs the scope %s, too", api_scope_name(API_WEBHOOKS_WRITE));
	f.h = pare_arena_alloc(&x->arena, sizeof *f.h);
	f.issues = pare_arena_alloc(&x->arena, sizeof *f.issues);
	secret = pare_arena_alloc(&x->arena, API_HOOK_SECRET_MAX);
	if (f.h == NULL || f.issues == NULL || secret == NULL)
		return pare_err_nomem(err, 0);
	rc = begin_hook(x, f.h, secret, err);
	for (size_t i = 0; a->method->params[i].name != NULL && rc == PARE_OK; i++) {
		const struct pare_arg *g = &a->args[i];
		json_t *v = g->set ? json_of(g) : NULL;

		f.no_memory |= g->set && v == NULL;
		if (v != NULL)
			read_field(&f, g->param->name, v, true);
		json_decref(v);
	}
	*out = f.h;
	if (rc == PARE_OK)
		rc = end_form(&f, err);
	if (rc == PARE_OK)
		rc = vouch(x, f.h, "/webhook/events", err);
	return rc;
}

/* In the answer to the request that made the job; the secret is told here and never again. */
void api_write_born_hook(struct api_exchange *x, const struct store_hook *h)
{
	api_json_open(&x->out, "webhook", '{');
	api_json_str(&x->out, "id", h->id);
	api_json_str(&x->out, "secret", h->secret);
	api_json_close(&x->out, '}');
	api_set_header_text(x, "Cache-Control", "no-store");
}

/* Without the secret, which was told when it was made. */
static enum pare_code reply_again(struct api_exchange *x, const struct store_hook *made, struct pare_err *err)
{
	struct store_hook h;
	enum pare_code rc = store_hook_get(x->view, made->id, &h, err);

	if (rc != PARE_OK)
		return rc;
	api_once_told(x, made->once);
	api_set_location(x, "/v1/webhooks/%s", h.id);
	rc = reply_hook(x, &h, 201, false, err);
	store_hook_done(&h);
	return rc;
}

enum pare_code api_post_hook(struct api_exchange *x, struct pare_err *err)
{
	char secret[API_HOOK_SECRET_MAX];
	struct store_idempotency once = {.key = NULL};
	struct store_hook h;
	enum pare_code rc = begin_hook(x, &h, secret, err);

	if (rc == PARE_OK)
		rc = read_form(x, &h, true, err);
	if (rc == PARE_OK)
		rc = vouch(x, &h, "/events", err);
	if (rc == PARE_OK)
		rc = api_once(x, NULL, &once, err);
	h.once = &once;
	if (rc == PARE_OK)
		rc = store_hook_put(x->view, &h, err);
	if (rc == PARE_OK && once.replayed)
		return reply_again(x, &h, err);
	if (rc == PARE_E_NOT_FOUND) /* a wrong field of this request, not a missing page */
		return pare_err_set(err, PARE_E_INVALID, "/job", "there is no job \"%.60s\"", h.job);
	if (rc != PARE_OK)
		return rc;
	if (h.job[0] != '\0')
		wake(x);
	api_set_location(x, "/v1/webhooks/%s", h.id);
	return reply_hook(x, &h, 201, true, err);
}

enum pare_code api_get_hooks(struct api_exchange *x, struct pare_err *err)
{
	struct store_hook *list = NULL;
	struct store_page page;
	bool more = false;
	int n = 0;
	enum pare_code rc = api_page_parse(x, "whk", &page, err);

	if (rc == PARE_OK)
		rc = store_hook_list(x->view, &page, &list, &n, &more, err);
	if (rc != PARE_OK)
		return rc;
	api_list_open(x);
	for (int i = 0; i < n; i++)
		write_hook(x, &list[i], false);
	api_list_close(x, more, n > 0 ? list[n - 1].id : NULL);
	store_hook_list_done(list, n);
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_hook(struct api_exchange *x, struct pare_err *err)
{
	struct store_hook h;
	enum pare_code rc = find(x, &h, err);

	if (rc != PARE_OK)
		return rc;
	rc = reply_hook(x, &h, 200, false, err);
	store_hook_done(&h);
	return rc;
}

static enum pare_code check_if_match(struct api_exchange *x, const struct store_hook *h, struct pare_err *err)
{
	const char *sent = api_request_header(x, "If-Match");
	char etag[ETAG_MAX];

	etag_of(h, etag);
	if (sent == NULL || api_etag_in(sent, etag, false))
		return PARE_OK;
	return pare_err_set(err, PARE_E_PRECONDITION, NULL, "the webhook has changed: its ETag is %s", etag);
}

/* A change of what it hears is taken as one to more. */
static bool tells_more(const struct store_hook *h, const struct store_hook *now)
{
	return strcmp(h->url, now->url) != 0 || strcmp(h->events, now->events) != 0 || (now->enabled && !h->enabled);
}

enum pare_code api_patch_hook(struct api_exchange *x, struct pare_err *err)
{
	struct store_hook h, now;
	enum pare_code rc = find(x, &h, err);

	if (rc != PARE_OK)
		return rc;
	now = h; /* h keeps what it owns */
	rc = check_if_match(x, &h, err);
	if (rc == PARE_OK)
		rc = read_form(x, &now, false, err);
	if (rc == PARE_OK && tells_more(&h, &now))
		rc = vouch(x, &now, "/events", err);
	if (rc == PARE_OK)
		rc = store_hook_update(x->view, &now, err);
	if (rc == PARE_OK)
		rc = reply_hook(x, &now, 200, false, err);
	store_hook_done(&h);
	return rc;
}

enum pare_code api_delete_hook(struct api_exchange *x, struct pare_err *err)
{
	struct store_hook h;
	enum pare_code rc = find(x, &h, err);

	if (rc != PARE_OK)
		return rc;
	rc = check_if_match(x, &h, err);
	if (rc == PARE_OK)
		rc = store_hook_delete(x->view, h.id, err);
	store_hook_done(&h);
	if (rc == PARE_OK)
		api_reply_empty(x, 204);
	return rc;
}

enum pare_code api_rotate_hook(struct api_exchange *x, struct pare_err *err)
{
	int64_t overlap = OVERLAP_SECONDS;
	char secret[API_HOOK_SECRET_MAX];
	struct store_hook h, now;
	enum pare_code rc = api_query_int(x, "overlap_seconds", 0, OVERLAP_SECONDS_MAX, &overlap, err);

	if (rc == PARE_OK)
		rc = find(x, &h, err);
	if (rc != PARE_OK)
		return rc;
	api_hook_secret_make(x->api->opt.env, secret);
	now = h;
	now.secret = secret;
	now.old_secret = overlap > 0 ? h.secret : "";
	now.old_until_ms = overlap > 0 ? x->api->opt.env->wall_ms(x->api->opt.env->ctx) + overlap * 1000 : 0;
	rc = check_if_match(x, &h, err);
	if (rc == PARE_OK)
		rc = store_hook_update(x->view, &now, err);
	if (rc == PARE_OK)
		rc = reply_hook(x, &now, 200, true, err);
	store_hook_done(&h);
	return rc;
}

/* --- deliveries */
static void write_attempts(struct pare_buf *b, const char *lines)
{
	api_json_open(b, "attempts", '[');
	for (const char *s = lines; *s != '\0'; s += strcspn(s, "\n") + 1) {
		if (s > lines)
			(void)pare_buf_str(b, ",");
		(void)pare_buf_add(b, s, strcspn(s, "\n"));
	}
	api_json_close(b, ']');
}

static void write_delivery(struct pare_buf *b, const struct store_delivery *d)
{
	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "delivery");
	api_json_str(b, "id", d->id);
	api_json_str(b, "webhook", d->hook);
	api_json_str(b, "event", d->event);
	api_json_str(b, "type", d->type);
	api_json_str(b, "subject", d->subject);
	api_json_str(b, "status", store_delivery_status_name(d->status));
	api_json_int(b, "attempts_made", d->n_attempts);
	api_json_time(b, "created_at", d->created_ms);
	api_json_time(b, "next_attempt_at", d->next_ms);
	api_json_time(b, "finished_at", d->finished_ms);
	write_attempts(b, d->attempts);
	api_json_close(b, '}');
}

enum pare_code api_get_deliveries(struct api_exchange *x, struct pare_err *err)
{
	struct store_delivery *list = NULL;
	struct store_page page;
	struct store_hook h;
	bool more = false;
	int n = 0;
	enum pare_code rc = api_page_parse(x, "dlv", &page, err);

	if (rc == PARE_OK)
		rc = find(x, &h, err);
	if (rc != PARE_OK)
		return rc;
	rc = store_delivery_list(x->view, h.id, &page, &list, &n, &more, err);
	store_hook_done(&h);
	if (rc != PARE_OK)
		return rc;
	api_list_open(x);
	for (int i = 0; i < n; i++)
		write_delivery(&x->out, &list[i]);
	api_list_close(x, more, n > 0 ? list[n - 1].id : NULL);
	store_delivery_list_done(list, n);
	return api_reply_json(x, 200, err);
}

static enum pare_code reply_delivery(struct api_exchange *x, struct store_delivery *d, struct pare_err *err)
{
	wake(x);
	write_delivery(&x->out, d);
	store_delivery_done(d);
	return api_reply_json(x, 202, err);
}

enum pare_code api_test_hook(struct api_exchange *x, struct pare_err *err)
{
	struct store_idempotency once;
	struct store_delivery d;
	struct store_hook h;
	enum pare_code rc = find(x, &h, err);

	if (rc != PARE_OK)
		return rc;
	rc = api_once(x, NULL, &once, err);
	if (rc == PARE_OK)
		rc = store_hook_test(x->view, h.id, &once, &d, err);
	store_hook_done(&h);
	if (rc != PARE_OK)
		return rc;
	api_once_told(x, &once);
	return reply_delivery(x, &d, err);
}

enum pare_code api_redeliver(struct api_exchange *x, struct pare_err *err)
{
	struct store_delivery d;
	struct store_hook h;
	enum pare_code rc = find(x, &h, err);

	if (rc != PARE_OK)
		return rc;
	rc = PARE_E_NOT_FOUND;
	if (pare_id_check(x->params[1], "dlv"))
		rc = store_delivery_again(x->view, h.id, x->params[1], &d, err);
	store_hook_done(&h);
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, rc, NULL, "there is no delivery \"%.60s\" of this webhook", x->params[1]);
	return rc == PARE_OK ? reply_delivery(x, &d, err) : rc;
}
