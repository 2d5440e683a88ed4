/* libmicrohttpd 0.9.75 lets through what makes request smuggling possible: both framing headers at once, two differing
 * Content-Lengths (the first wins), "Content-Length : 5" (seen as another header, so the body is read as the next request), transfer codings
 * that it does not know. A proxy in front may read the same bytes otherwise. So every such head is refused and its connection closed; to
 * repair one ("the values are equal, take either") is what has gone wrong elsewhere and is not tried.
 *
 * The rules follow RFC 9112, sections 3.2, 5 and 6.3, and are stricter where the RFC leaves a choice. */
#include "api/guard.h"

#include <string.h>

#include "api/text.h"
#include "core/base/num.h"

struct seen {
	int n_length, n_coding, n_host;
	size_t n_bytes;
};

static enum pare_code bad(struct pare_err *err, const char *what)
{
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "%s", what);
}

static enum pare_code check_value(const char *v, struct pare_err *err)
{
	for (; *v != '\0'; v++)
		if (((unsigned char)*v < 0x20 && *v != '\t') || *v == 0x7F)
			return bad(err, "a header value holds a control character; folded lines are not accepted either");
	return PARE_OK;
}

static enum pare_code check_length(const char *v, struct seen *seen, struct api_framing *out, struct pare_err *err)
{
	size_t n = strlen(v);

	if (seen->n_length++ > 0)
		return bad(err, "Content-Length was sent more than once");
	v = api_trim(v, &n);
	if (n == 0 || n > 19 || strspn(v, "0123456789") < n || !pare_parse_i64(v, n, 0, INT64_MAX, &out->length))
		return bad(err, "Content-Length must be one decimal number below 2^63");
	out->has_length = true;
	return PARE_OK;
}

static enum pare_code check_coding(const char *v, struct seen *seen, struct api_framing *out, struct pare_err *err)
{
	size_t n = strlen(v);

	v = api_trim(v, &n);
	if (seen->n_coding++ > 0 || !api_word_is(v, n, "chunked"))
		return bad(err, "Transfer-Encoding must be exactly \"chunked\"");
	out->chunked = true;
	return PARE_OK;
}

static enum pare_code check_host(const char *v, struct seen *seen, struct pare_err *err)
{
	if (seen->n_host++ > 0)
		return bad(err, "Host was sent more than once");
	if (strpbrk(v, " \t/?#@\\,") != NULL)
		return bad(err, "Host must be a host name with an optional port");
	return PARE_OK;
}

static enum pare_code check_field(const struct api_header *h, struct seen *seen, struct api_framing *out, struct pare_err *err)
{
	size_t n = strlen(h->name);
	enum pare_code rc;

	seen->n_bytes += n + strlen(h->value) + 4;
	if (seen->n_bytes > API_MAX_HEADER_BYTES)
		return pare_err_set(err, PARE_E_HEADERS, NULL, "the header fields take more than %d bytes", API_MAX_HEADER_BYTES);
	if (!api_is_token(h->name, n))
		return bad(err, "a header name holds a character that is not allowed (a space before the colon counts)");
	rc = check_value(h->value, err);
	if (rc != PARE_OK)
		return rc;
	if (api_same_nocase(h->name, "Content-Length"))
		return check_length(h->value, seen, out, err);
	if (api_same_nocase(h->name, "Transfer-Encoding"))
		return check_coding(h->value, seen, out, err);
	if (api_same_nocase(h->name, "Host"))
		return check_host(h->value, seen, err);
	return PARE_OK;
}

static enum pare_code check_line(const struct api_head *head, struct pare_err *err)
{
	if (!api_is_token(head->method, strlen(head->method)) || strlen(head->method) > 16)
		return bad(err, "the request method is not a token of at most 16 characters");
	if (strcmp(head->version, "HTTP/1.1") != 0 && strcmp(head->version, "HTTP/1.0") != 0)
		return bad(err, "the protocol version must be HTTP/1.1 or HTTP/1.0");
	return PARE_OK;
}

enum pare_code api_guard_check(const struct api_head *head, struct api_framing *out, struct pare_err *err)
{
	struct seen seen = {0};
	enum pare_code rc;
	bool http11;

	memset(out, 0, sizeof *out);
	rc = check_line(head, err);
	if (rc != PARE_OK)
		return rc;
	if (head->n_headers > API_MAX_HEADERS)
		return pare_err_set(err, PARE_E_HEADERS, NULL, "more than %d header fields", API_MAX_HEADERS);
	for (size_t i = 0; i < head->n_headers; i++) {
		rc = check_field(&head->headers[i], &seen, out, err);
		if (rc != PARE_OK)
			return rc;
	}
	http11 = strcmp(head->version, "HTTP/1.1") == 0;
	if (out->has_length && out->chunked)
		return bad(err, "Content-Length and Transfer-Encoding must not be sent together");
	if (out->chunked && !http11)
		return bad(err, "Transfer-Encoding needs HTTP/1.1");
	if (seen.n_host == 0 && http11)
		return bad(err, "Host is missing");
	return PARE_OK;
}
