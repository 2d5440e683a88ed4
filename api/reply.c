/* How handlers answer. A reply is a status, headers in the exchange's arena and either text in x->out or a descriptor.
 *
 * Failure of memory is never checked header by header: api_set_header notes it, and the finishing call (api_reply_*) reports it once. The
 * ETag of a JSON reply is the SHA-256 of its bytes: always right, and cheaper than thinking of one per resource; a resource that knows better
 * (a job's revision) sets its own first. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/priv.h"
#include "api/range.h"
#include "api/text.h"
#include "core/base/num.h"

const char *api_request_header(const struct api_exchange *x, const char *name)
{
	for (size_t i = 0; i < x->n_headers; i++)
		if (api_same_nocase(x->headers[i].name, name))
			return x->headers[i].value;
	return NULL;
}

const char *api_query(const struct api_exchange *x, const char *name)
{
	return api_query_get(&x->target, name);
}

enum pare_code api_query_int(const struct api_exchange *x, const char *name, int64_t min, int64_t max, int64_t *inout, struct pare_err *err)
{
	const char *s = api_query(x, name);

	if (s == NULL || pare_parse_i64(s, strlen(s), min, max, inout))
		return PARE_OK;
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"%s\" must be a whole number from %lld to %lld", name, (long long)min, (long long)max);
}

enum pare_code api_query_flag(const struct api_exchange *x, const char *name, bool *out, struct pare_err *err)
{
	const char *s = api_query(x, name);

	*out = s != NULL && (*s == '\0' || strcmp(s, "true") == 0);
	if (s == NULL || *out || strcmp(s, "false") == 0)
		return PARE_OK;
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"%s\" must be true or false", name);
}

bool api_is_head(const struct api_exchange *x)
{
	return x->method != NULL && strcmp(x->method, "HEAD") == 0;
}

static struct api_header *header_slot(struct api_exchange *x, const char *name)
{
	if (x->reply_headers == NULL)
		x->reply_headers = pare_arena_array(&x->arena, API_MAX_REPLY_HEADERS, sizeof *x->reply_headers);
	if (x->reply_headers == NULL)
		return NULL;
	for (size_t i = 0; i < x->reply.n_headers; i++)
		if (api_same_nocase(x->reply_headers[i].name, name))
			return &x->reply_headers[i];
	return x->reply.n_headers < API_MAX_REPLY_HEADERS ? &x->reply_headers[x->reply.n_headers] : NULL;
}

/* A header's value goes into the response as it is, so nothing in it may end a line. */
static void put_header(struct api_exchange *x, const char *name, char *value)
{
	struct api_header *h = header_slot(x, name);

	if (h == NULL || value == NULL) {
		x->headers_failed = true;
		return;
	}
	for (char *p = value; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7F)
			*p = '_';
	h->name = name;
	h->value = value;
	if (h == &x->reply_headers[x->reply.n_headers])
		x->reply.n_headers++;
}

void api_set_header(struct api_exchange *x, const char *name, const char *fmt, ...)
{
	char *value;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	value = n >= 0 ? pare_arena_alloc(&x->arena, (size_t)n + 1) : NULL;
	if (value != NULL) {
		va_start(ap, fmt);
		(void)vsnprintf(value, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	put_header(x, name, value);
}

void api_set_header_text(struct api_exchange *x, const char *name, const char *value)
{
	put_header(x, name, pare_arena_strndup(&x->arena, value, strlen(value)));
}

static bool has_header(const struct api_exchange *x, const char *name)
{
	for (size_t i = 0; i < x->reply.n_headers; i++)
		if (api_same_nocase(x->reply_headers[i].name, name))
			return true;
	return false;
}

static enum pare_code finish(struct api_exchange *x, int status, struct pare_err *err)
{
	api_charge_tell(x, status);
	api_set_header_text(x, "X-Request-Id", x->request_id);
	api_set_header_text(x, "X-Content-Type-Options", "nosniff");
	if (!has_header(x, "Cache-Control"))
		api_set_header_text(x, "Cache-Control", "private, no-cache");
	x->reply.status = status;
	x->reply.headers = x->reply_headers;
	x->reply.head_only = api_is_head(x);
	x->reply.close = x->close_after;
	if (x->headers_failed)
		return pare_err_nomem(err, 0);
	x->done = true;
	return PARE_OK;
}

enum pare_code api_reply_text(struct api_exchange *x, int status, const char *media_type, struct pare_err *err)
{
	enum pare_code rc = pare_buf_status(&x->out, err);

	if (rc != PARE_OK)
		return rc;
	api_set_header_text(x, "Content-Type", media_type);
	x->reply.kind = API_BODY_MEMORY;
	x->reply.data = x->out.data != NULL ? x->out.data : "";
	x->reply.n_bytes = x->out.len;
	return finish(x, status, err);
}

void api_reply_empty(struct api_exchange *x, int status)
{
	x->reply.kind = API_BODY_NONE;
	if (finish(x, status, NULL) != PARE_OK)
		api_reply_nomem(x);
}

bool api_not_modified(struct api_exchange *x, const char *etag)
{
	const char *list = api_request_header(x, "If-None-Match");

	api_set_header_text(x, "ETag", etag);
	if (list == NULL || !api_etag_in(list, etag, true))
		return false;
	api_reply_empty(x, 304);
	return true;
}

#define ETAG_MAX (STORE_SHA256_HEX + 2)

/* The ETag of the JSON that stands in x->out. False: no memory. */
static bool content_etag(const struct api_exchange *x, char out[ETAG_MAX])
{
	uint8_t hash[STORE_SHA256_BYTES];

	if (!store_sha256_once(x->out.data, x->out.len, hash))
		return false;
	out[0] = '"';
	store_hex(hash, 16, out + 1);
	memcpy(out + 33, "\"", 2);
	return true;
}

static bool content_unchanged(struct api_exchange *x)
{
	char etag[ETAG_MAX];

	return content_etag(x, etag) && api_not_modified(x, etag);
}

enum pare_code api_check_if_match(struct api_exchange *x, struct pare_err *err)
{
	const char *sent = api_request_header(x, "If-Match");
	char etag[ETAG_MAX];
	enum pare_code rc;

	(void)pare_buf_add(&x->out, "\n", 1);
	rc = pare_buf_status(&x->out, err);
	if (rc == PARE_OK && !content_etag(x, etag))
		rc = pare_err_nomem(err, 0);
	if (rc == PARE_OK && !api_etag_in(sent, etag, false))
		rc = pare_err_set(err, PARE_E_PRECONDITION, NULL, "it has changed: its ETag is %s", etag);
	pare_buf_reset(&x->out);
	return rc;
}

enum pare_code api_reply_json(struct api_exchange *x, int status, struct pare_err *err)
{
	enum pare_code rc;

	(void)pare_buf_add(&x->out, "\n", 1);
	rc = pare_buf_status(&x->out, err);
	if (rc == PARE_E_LIMIT)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "the answer would take more than %zu bytes: of a list, ask for less at a time with limit", API_REPLY_CAP);
	if (rc != PARE_OK)
		return rc;
	if (status == 200 && strcmp(x->route->method, "GET") == 0 && !has_header(x, "ETag") && !has_header(x, "Cache-Control") && content_unchanged(x))
		return PARE_OK;
	return api_reply_text(x, status, "application/json", err);
}

enum pare_code api_reply_tagged(struct api_exchange *x, const char *media_type, struct pare_err *err)
{
	enum pare_code rc = pare_buf_status(&x->out, err);

	if (rc == PARE_OK && content_unchanged(x))
		return PARE_OK;
	return rc == PARE_OK ? api_reply_text(x, 200, media_type, err) : rc;
}

/* A range is GET's alone (RFC 9110, section 14.2). */
static enum pare_code choose_part(struct api_exchange *x, int64_t n_bytes, const char *etag, bool whole, int *out_status, struct pare_err *err)
{
	int64_t first = 0, n = n_bytes;
	enum api_range_kind kind = API_RANGE_WHOLE;

	if (!whole && !api_is_head(x) && api_if_range(api_request_header(x, "If-Range"), etag))
		kind = api_range_parse(api_request_header(x, "Range"), n_bytes, &first, &n);
	if (!whole)
		api_set_header_text(x, "Accept-Ranges", "bytes");
	if (kind == API_RANGE_BAD) {
		api_set_header(x, "Content-Range", "bytes */%lld", (long long)n_bytes);
		return pare_err_set(err, PARE_E_RANGE, NULL, "the range holds none of the %lld bytes", (long long)n_bytes);
	}
	if (kind == API_RANGE_PART)
		api_set_header(x, "Content-Range", "bytes %lld-%lld/%lld", (long long)first, (long long)(first + n - 1), (long long)n_bytes);
	x->reply.kind = API_BODY_FD;
	x->reply.fd_offset = first;
	x->reply.fd_bytes = n;
	*out_status = kind == API_RANGE_PART ? 206 : 200;
	return PARE_OK;
}

enum pare_code api_reply_blob(struct api_exchange *x, const char *sha256, const char *media_type, const char *filename, struct pare_err *err)
{
	char etag[STORE_SHA256_HEX + 16], digest[API_DIGEST_BASE64];
	const char *if_match = api_request_header(x, "If-Match");
	int64_t n_bytes;
	int status = 200;
	enum pare_code rc;

	(void)snprintf(etag, sizeof etag, "\"sha256:%s\"", sha256);
	if (if_match != NULL && !api_etag_in(if_match, etag, false))
		return pare_err_set(err, PARE_E_PRECONDITION, NULL, "If-Match does not hold %s", etag);
	if (!has_header(x, "Cache-Control"))
		api_set_header_text(x, "Cache-Control", "private, immutable, max-age=31536000");
	if (api_not_modified(x, etag))
		return PARE_OK;
	rc = blob_get(x->api->opt.blobs, sha256, &x->reply.fd, &n_bytes, err);
	if (rc != PARE_OK)
		return rc == PARE_E_NOT_FOUND ? pare_err_set(err, PARE_E_STORE, NULL, "the bytes of this content are missing in the store") : rc;
	rc = choose_part(x, n_bytes, etag, x->whole, &status, err);
	if (rc != PARE_OK) /* the headers below describe the content and not the problem */
		goto out;
	api_set_header_text(x, "Content-Type", media_type);
	api_digest_base64(sha256, digest);
	api_set_header(x, "Repr-Digest", "sha-256=:%s:", digest);
	if (filename != NULL)
		api_set_header(x, "Content-Disposition", "attachment; filename=\"%s\"", filename);
	rc = finish(x, status, err);
out:
	if (rc != PARE_OK) {
		(void)close(x->reply.fd);
		x->reply.fd = -1;
	}
	return rc;
}

static const char *link_text(struct api_exchange *x, const char *fmt, va_list ap, struct pare_buf *b)
{
	char path[512];

	(void)vsnprintf(path, sizeof path, fmt, ap);
	pare_buf_init(b, 4096);
	(void)pare_buf_str(b, x->link_base);
	(void)pare_buf_str(b, path);
	return b->failed ? NULL : b->data;
}

void api_json_link(struct api_exchange *x, const char *key, const char *fmt, ...)
{
	char text[4608];
	size_t n = strlen(x->link_base);
	va_list ap;
	int n_path = -1;

	va_start(ap, fmt);
	if (n < sizeof text)
		n_path = vsnprintf(text + n, sizeof text - n, fmt, ap);
	va_end(ap);
	if (n_path < 0 || (size_t)n_path >= sizeof text - n) {
		x->out.failed = true;
		return;
	}
	memcpy(text, x->link_base, n);
	api_json_str(&x->out, key, text);
}

void api_set_location(struct api_exchange *x, const char *fmt, ...)
{
	struct pare_buf b;
	const char *text;
	va_list ap;

	va_start(ap, fmt);
	text = link_text(x, fmt, ap, &b);
	va_end(ap);
	if (text != NULL)
		api_set_header_text(x, "Location", text);
	else
		x->headers_failed = true;
	pare_buf_done(&b);
}

static enum pare_code page_id(struct api_exchange *x, const char *name, const char *prefix, const char **out, struct pare_err *err)
{
	*out = api_query(x, name);
	if (*out == NULL || pare_id_check(*out, prefix))
		return PARE_OK;
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"%s\" must be an id like %s_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", name, prefix);
}

enum pare_code api_page_parse(struct api_exchange *x, const char *prefix, struct store_page *out, struct pare_err *err)
{
	const char *order = api_query(x, "order");
	int64_t limit = 50;
	enum pare_code rc;

	memset(out, 0, sizeof *out);
	rc = api_query_int(x, "limit", 1, 200, &limit, err);
	if (rc == PARE_OK)
		rc = page_id(x, "after", prefix, &out->after, err);
	if (rc == PARE_OK)
		rc = page_id(x, "before", prefix, &out->before, err);
	if (rc != PARE_OK)
		return rc;
	if (order != NULL && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"order\" must be asc or desc");
	out->ascending = order != NULL && strcmp(order, "asc") == 0;
	out->limit = (int)limit;
	return PARE_OK;
}

/* A value as it may stand in a query. */
static void add_escaped(struct pare_buf *b, const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:,";

	for (; *s != '\0'; s++)
		if (strchr(plain, *s) != NULL)
			(void)pare_buf_add(b, s, 1);
		else
			(void)pare_buf_printf(b, "%%%02X", (unsigned char)*s);
}

void api_list_open(struct api_exchange *x)
{
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "list");
	api_json_open(&x->out, "data", '[');
}

/* The next page is the same question from another place. */
static void page_end(struct api_exchange *x, bool more, const char *last_id)
{
	struct pare_buf link;

	api_json_bool(&x->out, "has_more", more);
	api_json_str(&x->out, "next_after", more ? last_id : NULL);
	if (!more)
		return;
	pare_buf_init(&link, 16384);
	(void)pare_buf_printf(&link, "<%s%s?after=%s", x->link_base, x->target.path, last_id);
	for (size_t i = 0; i < x->target.n_query; i++) {
		const struct api_query_item *q = &x->target.query[i];

		if (strcmp(q->name, "after") == 0)
			continue;
		(void)pare_buf_str(&link, "&");
		add_escaped(&link, q->name);
		(void)pare_buf_str(&link, "=");
		add_escaped(&link, q->value);
	}
	(void)pare_buf_str(&link, ">; rel=\"next\"");
	if (link.failed)
		x->headers_failed = true;
	else
		api_set_header_text(x, "Link", link.data);
	pare_buf_done(&link);
}

void api_list_close(struct api_exchange *x, bool more, const char *last_id)
{
	api_json_close(&x->out, ']');
	page_end(x, more && last_id != NULL, last_id);
	api_json_close(&x->out, '}');
}
