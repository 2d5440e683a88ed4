/* Keys over HTTP. Whoever has the scope admin makes, lists and revokes keys of all owners; everybody may ask what the own key may do. A key's secret leaves in the
 * answer to its making and is nowhere after that: who sends the request again with its Idempotency-Key learns which key was made, without its secret, to revoke it.
 *
 * Without a key file there is no authentication, and a key would be a promise of one: then none is made.
 *
 * A change goes to the store first, then a fresh list is read from there and takes the old one's place: rare work, in exchange for checks that ask no database. */
#include <string.h>

#include "api/once.h"
#include "api/priv.h"
#include "api/text.h"
#include "core/base/id.h"
#include "core/recipe/json_text.h"

#define NAME_MAX_BYTES 128
#define SCOPES_MAX_BYTES 128 /* all names, each once, with commas */
#define USES_AT_ONCE 256

/* --- the object */

static void write_scopes(struct pare_buf *b, unsigned int scopes)
{
	const struct api_caller c = {.scopes = scopes};

	api_json_open(b, "scopes", '[');
	for (int i = API_KEY + 1; i < API_N_SCOPES; i++)
		if (api_caller_may(&c, (enum api_scope)i))
			api_json_str(b, NULL, api_scope_name((enum api_scope)i));
	api_json_close(b, ']');
}

static void write_limit(struct pare_buf *b, const char *key, int64_t max)
{
	if (max > 0)
		api_json_int(b, key, max);
	else
		api_json_raw(b, key, NULL);
}

static void write_rate(struct pare_buf *b, const char *key, const struct api_limits *l, enum api_rate_of of)
{
	api_json_open(b, key, '{');
	write_limit(b, "max", l->max_requests[of]);
	write_limit(b, "window_seconds", l->max_requests[of] > 0 ? l->window_seconds : 0);
	api_json_close(b, '}');
}

/* What the owner has and may have. */
static void write_quotas(struct api_exchange *x, const struct store_usage *u)
{
	const struct api_limits *l = &x->api->opt.limits;
	struct pare_buf *b = &x->out;

	api_json_open(b, "quotas", '{');
	api_json_open(b, "bytes", '{');
	api_json_int(b, "used", u->bytes);
	write_limit(b, "max", u->quota.max_bytes);
	api_json_close(b, '}');
	api_json_open(b, "open_jobs", '{');
	api_json_int(b, "used", u->open_jobs);
	write_limit(b, "max", u->quota.max_open_jobs);
	api_json_close(b, '}');
	write_rate(b, "requests", l, API_RATE_OWNER);
	write_rate(b, "key_requests", l, API_RATE_KEY);
	api_json_close(b, '}');
}

enum pare_code api_get_own_key(struct api_exchange *x, struct pare_err *err)
{
	const struct api_caller *c = &x->caller;
	struct store_usage usage;
	enum pare_code rc = store_usage(x->view, &usage, err);

	if (rc != PARE_OK)
		return rc;
	api_set_header_text(x, "Cache-Control", "no-store");
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "key");
	api_json_str(&x->out, "id", c->id[0] != '\0' ? c->id : NULL);
	api_json_str(&x->out, "owner", c->owner);
	write_scopes(&x->out, c->scopes);
	api_json_time(&x->out, "expires_at", c->expires_ms);
	write_quotas(x, &usage);
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

/* secret: NULL but for a new one. */
static void write_key(struct api_exchange *x, const struct store_key *k, const char *secret)
{
	struct pare_buf *b = &x->out;
	unsigned int scopes = 0;
	int64_t used;

	(void)pthread_rwlock_rdlock(&x->api->keys_lock);
	used = api_keys_used(x->api->made, k->id);
	(void)pthread_rwlock_unlock(&x->api->keys_lock);
	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "key");
	api_json_str(b, "id", k->id);
	api_json_str(b, "name", k->name);
	api_json_str(b, "owner", k->owner);
	(void)api_scopes_parse(k->scopes, strlen(k->scopes), &scopes);
	write_scopes(b, scopes);
	api_json_time(b, "created_at", k->created_ms);
	api_json_time(b, "expires_at", k->expires_ms);
	api_json_time(b, "revoked_at", k->revoked_ms);
	api_json_time(b, "last_used_at", used > k->last_used_ms ? used : k->last_used_ms);
	if (secret != NULL)
		api_json_str(b, "secret", secret);
	api_json_close(b, '}');
}

/* --- the list in memory */

static enum pare_code renew(struct api *api, struct pare_err *err)
{
	struct api_keys *fresh, *old;
	enum pare_code rc = api_keys_of_store(api->opt.store, api->made, &fresh, err);

	if (rc != PARE_OK)
		return rc;
	(void)pthread_rwlock_wrlock(&api->keys_lock);
	old = api->made;
	api->made = fresh;
	(void)pthread_rwlock_unlock(&api->keys_lock);
	api_keys_free(old);
	return PARE_OK;
}

enum pare_code api_housekeep(struct api *api, struct pare_err *err)
{
	struct store_key_use uses[USES_AT_ONCE];
	int n = USES_AT_ONCE;
	enum pare_code rc = PARE_OK;

	while (rc == PARE_OK && n == USES_AT_ONCE) {
		(void)pthread_rwlock_rdlock(&api->keys_lock);
		n = api_keys_take_uses(api->made, uses, USES_AT_ONCE);
		(void)pthread_rwlock_unlock(&api->keys_lock);
		if (n > 0)
			rc = store_key_used(api->opt.store, uses, n, err);
	}
	return rc;
}

/* --- create */

struct wanted {
	const char *name, *owner;
	char scopes[SCOPES_MAX_BYTES];
	int64_t expires_ms;
};

static bool named_before(const json_t *list, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (json_equal(json_array_get(list, k), json_array_get(list, i)))
			return true;
	return false;
}

static enum pare_code read_scopes(const json_t *list, char out[SCOPES_MAX_BYTES], struct pare_err *err)
{
	size_t used = 0, i;
	unsigned int bits;
	json_t *one;

	if (!json_is_array(list) || json_array_size(list) == 0)
		return pare_err_set(err, PARE_E_INVALID, "/scopes", "scopes must be a list of at least one of " API_SCOPES_HELP);
	json_array_foreach(list, i, one) {
		const char *s = json_string_value(one);
		size_t n = json_string_length(one);

		if (s == NULL || strchr(s, ',') != NULL || !api_scopes_parse(s, n, &bits) || named_before(list, i)) {
			(void)pare_err_set(err, PARE_E_INVALID, NULL, "scopes are " API_SCOPES_HELP ", each once");
			return pare_err_at(err, "/scopes/%zu", i);
		}
		if (used > 0)
			out[used++] = ',';
		memcpy(out + used, s, n + 1);
		used += n;
	}
	return PARE_OK;
}

static enum pare_code read_wanted(struct api_exchange *x, json_t *root, struct wanted *out, struct pare_err *err)
{
	const json_t *name = json_object_get(root, "name"), *owner = json_object_get(root, "owner"), *expires = json_object_get(root, "expires_at");
	const struct pare_env *env = x->api->opt.env;
	static const char *const known[] = {"name", "owner", "scopes", "expires_at", NULL};
	enum pare_code rc;

	if (!json_is_object(root))
		return pare_err_set(err, PARE_E_INVALID, NULL, "the body must be a JSON object with \"scopes\"");
	rc = api_check_fields(x, root, known, "", err);
	if (rc == PARE_OK)
		rc = read_scopes(json_object_get(root, "scopes"), out->scopes, err);
	if (rc != PARE_OK)
		return rc;
	if (name != NULL && (!json_is_string(name) || json_string_length(name) > NAME_MAX_BYTES || !api_plain_text(json_string_value(name))))
		return pare_err_set(err, PARE_E_INVALID, "/name", "name must be a text of at most %d bytes without control characters", NAME_MAX_BYTES);
	if (owner != NULL && (!json_is_string(owner) || !api_owner_check(json_string_value(owner), json_string_length(owner))))
		return pare_err_set(err, PARE_E_INVALID, "/owner", "owner must be a name of 1 to %d letters, digits and hyphens", STORE_OWNER_MAX - 1);
	if (expires != NULL && !json_is_null(expires) && (!json_is_string(expires) || !pare_time_parse(json_string_value(expires), json_string_length(expires), &out->expires_ms)))
		return pare_err_set(err, PARE_E_INVALID, "/expires_at", "expires_at must be a day like 2027-01-31 or a time like 2027-01-31T12:00:00Z");
	if (out->expires_ms != 0 && out->expires_ms <= env->wall_ms(env->ctx))
		return pare_err_set(err, PARE_E_INVALID, "/expires_at", "expires_at must lie in the future");
	out->name = json_string_value(name);
	out->owner = owner != NULL ? json_string_value(owner) : x->caller.owner;
	return PARE_OK;
}

/* secret: NULL for one that was made before. */
static enum pare_code reply_made(struct api_exchange *x, const struct store_key *k, const char *secret, struct pare_err *err)
{
	write_key(x, k, secret);
	api_once_told(x, k->once);
	api_set_header_text(x, "Cache-Control", "no-store");
	api_set_location(x, "/v1/keys/%s", k->id);
	return api_reply_json(x, 201, err);
}

static enum pare_code reply_again(struct api_exchange *x, const char *id, struct store_idempotency *once, struct pare_err *err)
{
	struct store_key k;
	enum pare_code rc = store_key_get(x->api->opt.store, id, &k, err);

	if (rc != PARE_OK)
		return rc;
	k.once = once;
	rc = reply_made(x, &k, NULL, err);
	store_key_done(&k);
	return rc;
}

static enum pare_code make(struct api_exchange *x, const struct wanted *w, struct pare_err *err)
{
	struct api *api = x->api;
	struct store_idempotency once;
	struct store_key k = {.name = w->name, .scopes = w->scopes, .expires_ms = w->expires_ms, .once = &once};
	char secret[API_KEY_TEXT_MAX];
	enum pare_code rc = api_once(x, NULL, &once, err);

	if (rc != PARE_OK)
		return rc;
	memcpy(k.owner, w->owner, strlen(w->owner) + 1);
	pare_id_make(api->opt.env, "key", k.id);
	rc = api_key_make(api->opt.env, k.id, secret, k.hash, err);
	if (rc != PARE_OK)
		return rc;
	(void)pthread_mutex_lock(&api->making);
	rc = store_key_put(x->view, &k, err);
	if (rc == PARE_OK && !once.replayed)
		rc = renew(api, err);
	(void)pthread_mutex_unlock(&api->making);
	k.name = k.name != NULL ? k.name : "";
	if (rc == PARE_OK)
		rc = once.replayed ? reply_again(x, k.id, &once, err) : reply_made(x, &k, secret, err);
	explicit_bzero(secret, sizeof secret);
	return rc;
}

enum pare_code api_post_key(struct api_exchange *x, struct pare_err *err)
{
	struct wanted w = {.name = NULL};
	json_t *root = NULL;
	enum pare_code rc;

	if (x->api->opt.api_key_file == NULL)
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "this server runs without authentication, so a key would protect nothing: start it with api-key-file");
	rc = pare_json_load(x->body.data != NULL ? x->body.data : "", x->body.len, x->body.len, &root, NULL, err);
	if (rc == PARE_OK)
		rc = read_wanted(x, root, &w, err);
	if (rc == PARE_OK)
		rc = make(x, &w, err);
	json_decref(root);
	return rc;
}

/* --- list, get, revoke */

static enum pare_code get_key(struct api_exchange *x, struct store_key *out, struct pare_err *err)
{
	enum pare_code rc = PARE_E_NOT_FOUND;

	if (pare_id_check(x->params[0], "key"))
		rc = store_key_get(x->api->opt.store, x->params[0], out, err);
	return rc == PARE_E_NOT_FOUND ? pare_err_set(err, rc, NULL, "there is no key \"%.60s\" that was made here", x->params[0]) : rc;
}

enum pare_code api_get_keys(struct api_exchange *x, struct pare_err *err)
{
	struct store_page page;
	struct store_key *list = NULL;
	int n = 0;
	bool more = false;
	enum pare_code rc = api_page_parse(x, "key", &page, err);

	if (rc == PARE_OK)
		rc = store_key_list(x->api->opt.store, &page, &list, &n, &more, err);
	if (rc != PARE_OK)
		return rc;
	api_list_open(x);
	for (int i = 0; i < n; i++)
		write_key(x, &list[i], NULL);
	api_list_close(x, more, n > 0 ? list[n - 1].id : NULL);
	store_key_list_done(list, n);
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_key(struct api_exchange *x, struct pare_err *err)
{
	struct store_key k;
	enum pare_code rc = get_key(x, &k, err);

	if (rc != PARE_OK)
		return rc;
	write_key(x, &k, NULL);
	store_key_done(&k);
	return api_reply_json(x, 200, err);
}

enum pare_code api_delete_key(struct api_exchange *x, struct pare_err *err)
{
	struct api *api = x->api;
	struct store_key k;
	enum pare_code rc = get_key(x, &k, err);

	if (rc != PARE_OK)
		return rc;
	if (api_request_header(x, "If-Match") != NULL) {
		write_key(x, &k, NULL);
		rc = api_check_if_match(x, err);
	}
	if (rc == PARE_OK) {
		(void)pthread_mutex_lock(&api->making);
		rc = store_key_revoke(api->opt.store, k.id, err);
		if (rc == PARE_OK)
			rc = renew(api, err);
		(void)pthread_mutex_unlock(&api->making);
	}
	store_key_done(&k);
	if (rc == PARE_OK)
		api_reply_empty(x, 204);
	return rc;
}
