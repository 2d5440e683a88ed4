/* A key is found by its public id, then its SHA-256 is compared in constant time: neither the search nor the comparison tells anything about the
 * secret. An unknown id is compared with a row of zeroes, so that it takes as long as a wrong secret. A fast hash is right here: secrets are long and
 * random, not passwords. */
#include "api/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "storage/digest.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define TOKEN_MAX 256
#define SECRET_MIN 16
#define KEYS_MAX 1024

struct key {
	char id[API_KEY_ID_MAX];
	uint8_t hash[STORE_SHA256_BYTES];
};
struct api_keys {
	size_t n;
	struct key list[];
};

static const char id_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

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
	memcpy(out->id, s, n_id);
	out->id[n_id] = '\0';
	for (size_t i = 0; i < STORE_SHA256_BYTES; i++)
		out->hash[i] = (uint8_t)(nibble(s[n_id + 1 + 2 * i]) * 16 + nibble(s[n_id + 2 + 2 * i]));
	return true;
}

static bool parse_line(const char *s, size_t n, struct key *out)
{
	memset(out, 0, sizeof *out);
	if (split(s, n, out->id))
		return store_sha256_once(s, n, out->hash); /* false, out of memory, refuses the file */
	return parse_stored(s, n, out);
}

static const struct key *find(const struct api_keys *k, const char *id)
{
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->list[i].id, id) == 0)
			return &k->list[i];
	return NULL;
}

static enum pare_code add_line(struct api_keys *k, const char *s, size_t n, int line, struct pare_err *err)
{
	struct key key;

	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\r'))
		n--;
	if (n == 0 || s[0] == '#')
		return PARE_OK;
	if (k->n == KEYS_MAX)
		return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: more than %d", KEYS_MAX);
	if (!parse_line(s, n, &key))
		return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: line %d is neither pare_<id>_<secret of at least %d characters> nor <id>:<sha256 in hex>", line, SECRET_MIN);
	if (find(k, key.id) != NULL)
		return pare_err_set(err, PARE_E_INVALID, NULL, "API keys: line %d repeats the id %s", line, key.id);
	k->list[k->n++] = key;
	return PARE_OK;
}

enum pare_code api_keys_parse(const char *text, size_t n, struct api_keys **out, struct pare_err *err)
{
	struct api_keys *k = pare_alloc(sizeof *k + KEYS_MAX * sizeof k->list[0]);
	enum pare_code rc = PARE_OK;
	int line = 1;

	if (k == NULL)
		return pare_err_nomem(err, sizeof *k);
	k->n = 0;
	for (size_t i = 0; i < n && rc == PARE_OK; line++) {
		const char *end = memchr(text + i, '\n', n - i);
		size_t len = end != NULL ? (size_t)(end - text) - i : n - i;

		rc = add_line(k, text + i, len, line, err);
		i += len + 1;
	}
	if (rc == PARE_OK && k->n == 0)
		rc = pare_err_set(err, PARE_E_INVALID, NULL, "API keys: the file holds no key");
	if (rc != PARE_OK) {
		pare_free(k);
		return rc;
	}
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
	pare_free(k);
}

enum pare_code api_keys_check(const struct api_keys *k, const char *authorization, char out_id[API_KEY_ID_MAX], struct pare_err *err)
{
	static const struct key nobody;
	uint8_t hash[STORE_SHA256_BYTES];
	char id[API_KEY_ID_MAX];
	const struct key *key;
	const char *token;
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
	key = find(k, id);
	same = store_equal_constant_time(hash, key != NULL ? key->hash : nobody.hash, sizeof hash);
	if (!same || key == NULL)
		return pare_err_set(err, PARE_E_UNAUTHORIZED, NULL, "the API key is not valid");
	memcpy(out_id, id, sizeof id);
	return PARE_OK;
}
