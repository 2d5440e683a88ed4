/* A key is found by its public id, then its SHA-256 is compared in constant time: neither the search nor the comparison tells anything about the
 * secret. Lists are sorted, and a made one is replaced as a whole when a key is made or revoked, which is rare; what changes with every request, the time of
 * use, is one atomic store, and is written to disk by the service's housekeeping. An unknown id is compared with a row of zeroes, so that it takes as long as a wrong secret. A fast hash is right here: secrets are long and
 * random, not passwords. */
#include "api/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/id.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "storage/digest.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define TOKEN_MAX 256
#define SECRET_MIN 16
#define KEYS_MAX 1024

#define MADE_PREFIX "key_"
#define MADE_DIGITS 26

struct key {
	struct api_caller who;
	uint8_t hash[STORE_SHA256_BYTES];
	int64_t revoked_ms;                  /* 0: not */
	_Atomic int64_t used_ms, taken_ms;   /* last use, and the last one that was written down */
};
struct api_keys {
	size_t n, size;
	struct key *list; /* by id */
};

static const char id_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

static const char *const scope_names[API_N_SCOPES] = {
    [API_MODELS_READ] = "models:r",
    [API_MODELS_WRITE] = "models:rw",
    [API_DATASETS_READ] = "datasets:r",
    [API_DATASETS_WRITE] = "datasets:rw",
    [API_JOBS_READ] = "jobs:r",
    [API_JOBS_WRITE] = "jobs:rw",
    [API_WEBHOOKS_READ] = "webhooks:r",
    [API_WEBHOOKS_WRITE] = "webhooks:rw",
    [API_METRICS_READ] = "metrics:r",
    [API_ADMIN] = "admin",
};

const char *api_scope_name(enum api_scope s)
{
	if (s >= API_N_SCOPES)
		return s == API_ASSETS_READ ? "models:r or datasets:r" : "models:rw or datasets:rw";
	return scope_names[s];
}

void api_caller_anyone(struct api_caller *out)
{
	*out = (struct api_caller){.owner = STORE_DEFAULT_OWNER, .scopes = API_ALL_SCOPES};
}

bool api_caller_may(const struct api_caller *c, enum api_scope s)
{
	if (s == API_ASSETS_READ)
		return api_caller_may(c, API_MODELS_READ) || api_caller_may(c, API_DATASETS_READ);
	if (s == API_ASSETS_WRITE)
		return api_caller_may(c, API_MODELS_WRITE) || api_caller_may(c, API_DATASETS_WRITE);
	return s <= API_KEY || (c->scopes & (1u << s)) != 0;
}

/* --- what stands behind a key */

/* A write scope holds the read scope before it. */
static bool add_scope(const char *s, size_t n, unsigned int *scopes)
{
	for (unsigned int i = API_KEY + 1; i < API_N_SCOPES; i++) {
		const char *name = scope_names[i];

		if (strlen(name) != n || memcmp(name, s, n) != 0)
			continue;
		*scopes |= 1u << i;
		if (name[n - 1] == 'w')
			*scopes |= 1u << (i - 1);
		return true;
	}
	return false;
}

bool api_scopes_parse(const char *s, size_t n, unsigned int *out)
{
	*out = 0;
	for (size_t i = 0, len; i <= n; i += len + 1) {
		const char *comma = memchr(s + i, ',', n - i);

		len = comma != NULL ? (size_t)(comma - (s + i)) : n - i;
		if (!add_scope(s + i, len, out))
			return false;
	}
	return true;
}

bool api_owner_check(const char *s, size_t n)
{
	return n > 0 && n < STORE_OWNER_MAX && strspn(s, id_chars) >= n;
}

static enum pare_code parse_option(const char *s, size_t n, int line, struct api_caller *who, struct pare_err *err)
{
	if (n > 7 && memcmp(s, "scopes=", 7) == 0) {
		if (api_scopes_parse(s + 7, n - 7, &who->scopes))
			return PARE_OK;
		return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: line %d: scopes are " API_SCOPES_HELP ", with commas between them", line);
	}
	if (n > 8 && memcmp(s, "expires=", 8) == 0) {
		if (pare_time_parse(s + 8, n - 8, &who->expires_ms))
			return PARE_OK;
		return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: line %d: expires is a day like 2027-01-31 or a time like 2027-01-31T12:00:00Z", line);
	}
	if (n > 6 && memcmp(s, "owner=", 6) == 0) {
		if (api_owner_check(s + 6, n - 6)) {
			memcpy(who->owner, s + 6, n - 6);
			who->owner[n - 6] = '\0';
			return PARE_OK;
		}
		return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: line %d: an owner is a name of 1 to %d letters, digits and hyphens", line, STORE_OWNER_MAX - 1);
	}
	return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: line %d: behind a key may stand scopes=, expires= and owner=, and nothing else", line);
}

static enum pare_code parse_options(const char *s, size_t n, int line, struct api_caller *who, struct pare_err *err)
{
	enum pare_code rc = PARE_OK;

	for (size_t i = 0; i < n && rc == PARE_OK;) {
		size_t start = i;

		while (i < n && s[i] != ' ' && s[i] != '\t')
			i++;
		if (i > start)
			rc = parse_option(s + start, i - start, line, who, err);
		i++;
	}
	return rc;
}

/* --- keys */

/* The id within pare_<id>_<secret>; false if s[0..n) has another form. */
static bool split(const char *s, size_t n, char id[API_KEY_ID_MAX])
{
	size_t n_id;

	if (n > TOKEN_MAX || n < 6 || memcmp(s, "pare_", 5) != 0)
		return false;
	n_id = strspn(s + 5, id_chars);
	if (n_id == 0 || n_id >= API_KEY_ID_MAX || s[5 + n_id] != '_')
		return false;
	if (n < 5 + n_id + 1 + SECRET_MIN)
		return false;
	memcpy(id, s + 5, n_id);
	id[n_id] = '\0';
	return true;
}

static int nibble(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static bool parse_stored(const char *s, size_t n, struct key *out)
{
	size_t n_id = strspn(s, id_chars);

	if (n_id == 0 || n_id >= API_KEY_ID_MAX || n != n_id + 1 + 64 || s[n_id] != ':')
		return false;
	if (strspn(s + n_id + 1, "0123456789abcdef") < 64)
		return false;
	memcpy(out->who.id, s, n_id);
	out->who.id[n_id] = '\0';
	for (size_t i = 0; i < STORE_SHA256_BYTES; i++)
		out->hash[i] = (uint8_t)(nibble(s[n_id + 1 + 2 * i]) * 16 + nibble(s[n_id + 2 + 2 * i]));
	return true;
}

static bool parse_line(const char *s, size_t n, struct key *out)
{
	memset(out, 0, sizeof *out);
	api_caller_anyone(&out->who);
	out->who.scopes = API_USUAL_SCOPES;
	if (split(s, n, out->who.id))
		return store_sha256_once(s, n, out->hash); /* false, out of memory, refuses the file */
	return parse_stored(s, n, out);
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct key *)a)->who.id, ((const struct key *)b)->who.id);
}

static int id_to_key(const void *id, const void *key)
{
	return strcmp(id, ((const struct key *)key)->who.id);
}

static struct key *find(const struct api_keys *k, const char *id)
{
	return k != NULL && k->n > 0 ? bsearch(id, k->list, k->n, sizeof *k->list, id_to_key) : NULL;
}

/* The place of one more; NULL: no memory. */
static struct key *push(struct api_keys *k)
{
	size_t size = k->size > 0 ? k->size * 2 : 16;
	struct key *list = k->n == k->size ? pare_realloc(k->list, size * sizeof *list) : NULL;

	if (k->n == k->size && list == NULL)
		return NULL;
	if (list != NULL) {
		k->list = list;
		k->size = size;
	}
	memset(&k->list[k->n], 0, sizeof *k->list);
	return &k->list[k->n++];
}

static enum pare_code add_line(struct api_keys *k, const char *s, size_t n, int line, struct pare_err *err)
{
	struct key key, *to;
	size_t n_key = 0;
	enum pare_code rc;

	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\r'))
		n--;
	if (n == 0 || s[0] == '#')
		return PARE_OK;
	if (k->n == KEYS_MAX)
		return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: more than %d", KEYS_MAX);
	while (n_key < n && s[n_key] != ' ' && s[n_key] != '\t')
		n_key++;
	if (!parse_line(s, n_key, &key))
		return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: line %d is neither pare_<id>_<secret of at least %d characters> nor <id>:<sha256 in hex>", line, SECRET_MIN);
	rc = parse_options(s + n_key, n - n_key, line, &key.who, err);
	if (rc != PARE_OK)
		return rc;
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->list[i].who.id, key.who.id) == 0)
			return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: line %d repeats the id %s", line, key.who.id);
	to = push(k);
	if (to == NULL)
		return pare_err_nomem(err, 0);
	*to = key;
	return PARE_OK;
}

enum pare_code api_keys_parse(const char *text, size_t n, struct api_keys **out, struct pare_err *err)
{
	struct api_keys *k = pare_calloc(1, sizeof *k);
	enum pare_code rc = PARE_OK;
	int line = 1;

	if (k == NULL)
		return pare_err_nomem(err, sizeof *k);
	for (size_t i = 0; i < n && rc == PARE_OK; line++) {
		const char *end = memchr(text + i, '\n', n - i);
		size_t len = end != NULL ? (size_t)(end - text) - i : n - i;

		rc = add_line(k, text + i, len, line, err);
		i += len + 1;
	}
	if (rc == PARE_OK && k->n == 0)
		rc = pare_err_set(err, PARE_E_INVALID, NULL, "API keys: the file holds no key");
	if (rc != PARE_OK) {
		api_keys_free(k);
		return rc;
	}
	qsort(k->list, k->n, sizeof *k->list, by_id);
	*out = k;
	return PARE_OK;
}

enum pare_code api_keys_load(const char *path, struct api_keys **out, struct pare_err *err)
{
	char chunk[4096];
	struct pare_buf text;
	enum pare_code rc;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		rc = pare_err_errno(err, errno, "API keys: cannot open the file");
		(void)pare_err_at(err, "%s", path);
		return rc;
	}
	pare_buf_init(&text, FILE_MAX_BYTES);
	while ((n = read(fd, chunk, sizeof chunk)) > 0)
		(void)pare_buf_add(&text, chunk, (size_t)n);
	rc = n < 0 ? pare_err_errno(err, errno, "API keys: cannot read the file") : pare_buf_status(&text, err);
	if (rc == PARE_OK)
		rc = api_keys_parse(text.data != NULL ? text.data : "", text.len, out, err);
	if (rc != PARE_OK)
		(void)pare_err_at(err, "%s", path);
	explicit_bzero(chunk, sizeof chunk);
	if (text.data != NULL)
		explicit_bzero(text.data, text.len);
	pare_buf_done(&text);
	(void)close(fd);
	return rc;
}

void api_keys_free(struct api_keys *k)
{
	if (k == NULL)
		return;
	pare_free(k->list);
	pare_free(k);
}

/* --- keys of the store */

static enum pare_code take_row(struct api_keys *k, const struct store_key *row, const struct api_keys *old, struct pare_err *err)
{
	struct key *key = push(k);
	const struct key *was = find(old, row->id);

	if (key == NULL)
		return pare_err_nomem(err, 0);
	memcpy(key->who.id, row->id, sizeof row->id);
	memcpy(key->who.owner, row->owner, sizeof row->owner);
	if (!api_scopes_parse(row->scopes, strlen(row->scopes), &key->who.scopes))
		key->who.scopes = 0; /* of a newer version: better too little than too much */
	key->who.expires_ms = row->expires_ms;
	memcpy(key->hash, row->hash, sizeof key->hash);
	key->revoked_ms = row->revoked_ms;
	atomic_init(&key->taken_ms, was != NULL ? atomic_load(&was->taken_ms) : row->last_used_ms);
	atomic_init(&key->used_ms, was != NULL ? atomic_load(&was->used_ms) : row->last_used_ms);
	return PARE_OK;
}

enum pare_code api_keys_of_store(struct store *s, const struct api_keys *old, struct api_keys **out, struct pare_err *err)
{
	struct api_keys *k = pare_calloc(1, sizeof *k);
	struct store_page page = {.limit = 200, .ascending = true};
	char last[PARE_ID_MAX];
	bool more = true;
	enum pare_code rc = PARE_OK;

	if (k == NULL)
		return pare_err_nomem(err, 0);
	while (rc == PARE_OK && more) {
		struct store_key *rows = NULL;
		int n = 0;

		rc = store_key_list(s, &page, &rows, &n, &more, err);
		for (int i = 0; i < n && rc == PARE_OK; i++)
			rc = take_row(k, &rows[i], old, err);
		if (n > 0)
			memcpy(last, rows[n - 1].id, sizeof last);
		page.after = n > 0 ? last : page.after;
		store_key_list_done(rows, n);
	}
	if (rc != PARE_OK) {
		api_keys_free(k);
		return rc;
	}
	*out = k;
	return PARE_OK;
}

int64_t api_keys_used(const struct api_keys *k, const char *id)
{
	const struct key *key = find(k, id);

	return key != NULL ? atomic_load(&key->used_ms) : 0;
}

int api_keys_take_uses(struct api_keys *k, struct store_key_use *out, int max)
{
	int n = 0;

	for (size_t i = 0; i < k->n && n < max; i++) {
		struct key *key = &k->list[i];
		int64_t used = atomic_load(&key->used_ms);

		if (used == atomic_load(&key->taken_ms))
			continue;
		atomic_store(&key->taken_ms, used);
		out[n].at_ms = used;
		memcpy(out[n++].id, key->who.id, PARE_ID_MAX);
	}
	return n;
}

/* --- use */

static struct key *find_any(const struct api_keys *file, const struct api_keys *made, const char *id)
{
	char full[API_KEY_ID_MAX];
	struct key *key = find(file, id);

	if (key != NULL || strlen(id) != MADE_DIGITS)
		return key;
	(void)snprintf(full, sizeof full, MADE_PREFIX "%.*s", MADE_DIGITS, id);
	return find(made, full);
}

static enum pare_code check_validity(const struct key *key, int64_t now_ms, struct pare_err *err)
{
	if (key->revoked_ms != 0)
		return pare_err_set(err, PARE_E_KEY_REVOKED, NULL, "the API key \"%s\" was revoked: ask for a new one", key->who.id);
	if (key->who.expires_ms != 0 && now_ms >= key->who.expires_ms)
		return pare_err_set(err, PARE_E_KEY_EXPIRED, NULL, "the API key \"%s\" has expired: ask for a new one", key->who.id);
	return PARE_OK;
}

enum pare_code api_keys_caller(const struct api_keys *file, const struct api_keys *made, const char *id, int64_t now_ms, struct api_caller *out, struct pare_err *err)
{
	const struct key *key = find(file, id);
	enum pare_code rc;

	if (key == NULL && made != NULL)
		key = find(made, id);
	if (key == NULL)
		return pare_err_set(err, PARE_E_UNAUTHORIZED, NULL, "the API key \"%.40s\" is there no more", id);
	rc = check_validity(key, now_ms, err);
	if (rc == PARE_OK)
		*out = key->who;
	return rc;
}

enum pare_code api_keys_check(struct api_keys *file, struct api_keys *made, const char *authorization, int64_t now_ms, struct api_caller *out, struct pare_err *err)
{
	static const uint8_t nobody[STORE_SHA256_BYTES];
	uint8_t hash[STORE_SHA256_BYTES];
	char id[API_KEY_ID_MAX];
	struct key *key;
	const char *token;
	enum pare_code rc;
	bool same;

	if (authorization == NULL)
		return pare_err_set(err, PARE_E_UNAUTHORIZED, NULL, "send an API key: Authorization: Bearer pare_...");
	if (strncasecmp(authorization, "Bearer ", 7) != 0)
		return pare_err_set(err, PARE_E_UNAUTHORIZED, NULL, "the Authorization scheme must be Bearer");
	token = authorization + 7 + strspn(authorization + 7, " ");
	if (!split(token, strlen(token), id))
		return pare_err_set(err, PARE_E_UNAUTHORIZED, NULL, "the API key is not valid");
	if (!store_sha256_once(token, strlen(token), hash))
		return pare_err_nomem(err, 0);
	key = find_any(file, made, id);
	same = store_equal_constant_time(hash, key != NULL ? key->hash : nobody, sizeof hash);
	if (!same || key == NULL)
		return pare_err_set(err, PARE_E_UNAUTHORIZED, NULL, "the API key is not valid");
	rc = check_validity(key, now_ms, err);
	if (rc != PARE_OK)
		return rc;
	atomic_store_explicit(&key->used_ms, now_ms, memory_order_relaxed);
	*out = key->who;
	return PARE_OK;
}

enum pare_code api_key_make(const struct pare_env *env, const char *id, char out[API_KEY_TEXT_MAX], uint8_t hash[STORE_SHA256_BYTES], struct pare_err *err)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* Crockford's: 32, so that a byte's low bits choose evenly */
	uint8_t random[32];
	int n = snprintf(out, API_KEY_TEXT_MAX, "pare_%s_", id + sizeof MADE_PREFIX - 1);

	env->random(env->ctx, random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		out[n++] = digits[random[i] & 31];
	out[n] = '\0';
	explicit_bzero(random, sizeof random);
	return store_sha256_once(out, (size_t)n, hash) ? PARE_OK : pare_err_nomem(err, 0);
}
