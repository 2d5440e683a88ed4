/* Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): what a client may send with everything that makes something, so that it can send it again when no answer came. The fingerprint
 * is of the method, the path and what was sent: the body, or of an upload the names and digests of its files, or of one that goes on later what it said it would be. What a body names is not looked at:
 * it may mean something else, or nothing, when the request comes again. What is known of the key is the store's, in the
 * transaction that makes the thing (storage/store_once.c). */
#include "api/once.h"

#include <string.h>

#include "api/priv.h"
#include "api/text.h"
#include "api/upload.h"

#define KEY_MAX 255

/* The key, bare or as a quoted string (RFC 8941); printable ASCII without quote and backslash. */
static enum pare_code read_key(struct api_exchange *x, const char **out, struct pare_err *err)
{
	const char *s = api_request_header(x, "Idempotency-Key");
	size_t n = s != NULL ? strlen(s) : 0;

	*out = NULL;
	if (s == NULL)
		return PARE_OK;
	s = api_trim(s, &n);
	if (n >= 2 && s[0] == '"' && s[n - 1] == '"') {
		s++;
		n -= 2;
	}
	if (n == 0 || n > KEY_MAX || memchr(s, '"', n) != NULL || memchr(s, '\\', n) != NULL)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "Idempotency-Key must be 1 to %d characters, bare or in double quotes", KEY_MAX);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] > 0x7E)
			return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "Idempotency-Key must be printable ASCII");
	*out = pare_arena_strndup(&x->arena, s, n);
	return *out != NULL ? PARE_OK : pare_err_nomem(err, n);
}

static void add(struct store_sha256 *h, const char *s)
{
	store_sha256_add(h, s != NULL ? s : "", s != NULL ? strlen(s) + 1 : 1);
}

static void add_upload(struct store_sha256 *h, const struct api_upload *u)
{
	add(h, u->name);
	add(h, u->label);
	add(h, u->task);
	for (int i = 0; i < u->n_files; i++) {
		add(h, u->files[i].path);
		add(h, u->files[i].sha256);
	}
}

enum pare_code api_once(struct api_exchange *x, const char *more, struct store_idempotency *out, struct pare_err *err)
{
	struct store_sha256 *h;
	enum pare_code rc;

	memset(out, 0, sizeof *out);
	out->scope = x->caller.id;
	out->only_known = x->route->new_work && atomic_load(&x->api->draining) != 0;
	rc = read_key(x, &out->key, err);
	if (rc != PARE_OK || out->key == NULL)
		return rc;
	h = store_sha256_new();
	if (h == NULL)
		return pare_err_nomem(err, 0);
	add(h, x->method);
	add(h, x->target.path);
	store_sha256_add(h, x->body.data != NULL ? x->body.data : "", x->body.len);
	if (x->upload != NULL)
		add_upload(h, x->upload);
	if (more != NULL)
		add(h, more);
	store_sha256_get(h, out->fingerprint);
	store_sha256_free(h);
	return PARE_OK;
}

void api_once_told(struct api_exchange *x, const struct store_idempotency *once)
{
	if (once->replayed)
		api_set_header_text(x, "Idempotency-Replayed", "true");
}
