/* libmicrohttpd decodes the path before anyone sees it, so "%2e%2e" and "%2f" arrive as ".." and "/" and "%00" cuts the path short. The router
 * therefore works on the raw target: split at '/', then decode each segment exactly once, then refuse what a decoded segment must not be. "%252e" is
 * the harmless text "%2e" afterwards and finds nothing.
 *
 * Matching is a walk over some thirty rows. A trie would be faster on paper and is not measurable here; the table reads like the
 * documentation. Of two templates that match, the first row has it (/v1/keys/self stands before /v1/keys/{id}). */
#include "api/router.h"

#include <stdio.h>
#include <string.h>

#include "api/text.h"
#include "core/base/nearest.h"

static enum pare_code bad(struct pare_err *err, const char *what)
{
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "%s", what);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decodes s[0..n) in one pass; *out_n may be smaller. plus: '+' is a space (queries). */
static enum pare_code decode(struct pare_arena *arena, const char *s, size_t n, bool plus, const char **out, struct pare_err *err)
{
	char *d = pare_arena_alloc(arena, n + 1);
	size_t k = 0;

	if (d == NULL)
		return pare_err_nomem(err, n);
	for (size_t i = 0; i < n; i++) {
		int high, low;

		if (s[i] != '%') {
			d[k++] = plus && s[i] == '+' ? ' ' : s[i];
			continue;
		}
		high = i + 2 < n ? hex_digit(s[i + 1]) : -1;
		low = high >= 0 ? hex_digit(s[i + 2]) : -1;
		if (low < 0)
			return bad(err, "a percent sign in the request target must be followed by two hexadecimal digits");
		if (high == 0 && low == 0)
			return bad(err, "the request target must not hold %00");
		d[k++] = (char)(high * 16 + low);
		i += 2;
	}
	d[k] = '\0';
	if (!api_utf8_valid(d, k))
		return bad(err, "the request target must be UTF-8 after decoding");
	for (size_t i = 0; i < k; i++)
		if ((unsigned char)d[i] < 0x20 || d[i] == 0x7F)
			return bad(err, "the request target must not hold control characters");
	*out = d;
	return PARE_OK;
}

static enum pare_code parse_path(struct pare_arena *arena, const char *s, size_t n, struct api_target *out, struct pare_err *err)
{
	const char *end = s + n;

	if (n == 1)
		return PARE_OK;
	while (s < end) {
		const char *start = ++s;
		const char *segment;
		enum pare_code rc;

		s = memchr(start, '/', (size_t)(end - start));
		if (s == NULL)
			s = end;
		if (s == start)
			return bad(err, "the path has an empty segment (two slashes, or one at the end)");
		rc = decode(arena, start, (size_t)(s - start), false, &segment, err);
		if (rc != PARE_OK)
			return rc;
		if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
			return bad(err, "the path must not hold the segments . or ..");
		if (strpbrk(segment, "/\\") != NULL)
			return bad(err, "a path segment must not hold a slash or a backslash, encoded or not");
		if (out->n_segments == API_MAX_SEGMENTS)
			return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is nothing at this path");
		out->segments[out->n_segments++] = segment;
	}
	return PARE_OK;
}

static enum pare_code parse_query(struct pare_arena *arena, const char *s, struct api_target *out, struct pare_err *err)
{
	size_t room = 1;

	for (const char *p = s; *p != '\0'; p++)
		room += *p == '&';
	room = room < API_MAX_QUERY ? room : API_MAX_QUERY;
	out->query = pare_arena_array(arena, room, sizeof *out->query);
	if (out->query == NULL)
		return pare_err_nomem(err, room * sizeof *out->query);
	while (*s != '\0') {
		size_t n = strcspn(s, "&");
		const char *eq = memchr(s, '=', n);
		size_t n_name = eq != NULL ? (size_t)(eq - s) : n;
		struct api_query_item item = {.value = ""};
		enum pare_code rc;

		if (out->n_query == API_MAX_QUERY)
			return bad(err, "too many query parameters");
		rc = decode(arena, s, n_name, true, &item.name, err);
		if (rc == PARE_OK && eq != NULL)
			rc = decode(arena, eq + 1, n - n_name - 1, true, &item.value, err);
		if (rc != PARE_OK)
			return rc;
		if (n > 0)
			out->query[out->n_query++] = item;
		s += n;
		if (*s == '&')
			s++;
	}
	return PARE_OK;
}

enum pare_code api_target_parse(struct pare_arena *arena, const char *raw, struct api_target *out, struct pare_err *err)
{
	size_t n = strlen(raw), n_path;
	enum pare_code rc;

	memset(out, 0, sizeof *out);
	out->path = "/";
	if (n > API_MAX_TARGET)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "the request target is longer than %d bytes", API_MAX_TARGET);
	if (raw[0] != '/')
		return bad(err, "the request target must start with a slash (no absolute form, no asterisk)");
	if (strchr(raw, '#') != NULL)
		return bad(err, "the request target must not hold a fragment");
	n_path = strcspn(raw, "?");
	out->path = pare_arena_strndup(arena, raw, n_path);
	if (out->path == NULL) {
		out->path = "/";
		return pare_err_nomem(err, n_path);
	}
	rc = parse_path(arena, raw, n_path, out, err);
	if (rc != PARE_OK || raw[n_path] == '\0')
		return rc;
	return parse_query(arena, raw + n_path + 1, out, err);
}

/* Compares the target with a template, segment by segment; most templates differ in their first letters. */
static bool match(const char *pattern, const struct api_target *t, const char *params[API_MAX_PARAMS])
{
	size_t i = 0, n_params = 0;

	for (; *pattern == '/'; i++) {
		const char *s = i < t->n_segments ? t->segments[i] : NULL;

		if (s == NULL)
			return false;
		if (*++pattern == '{') {
			params[n_params++] = s;
			while (*pattern != '/' && *pattern != '\0')
				pattern++;
			continue;
		}
		while (*s != '\0' && *s == *pattern) {
			s++;
			pattern++;
		}
		if (*s != '\0' || (*pattern != '/' && *pattern != '\0'))
			return false;
	}
	return i == t->n_segments;
}

/* How much of a template is written out: /v1/keys/self is more of its own than /v1/keys/{id}, and hides it for every method. */
static size_t literals(const char *pattern)
{
	size_t n = 0;

	for (; *pattern != '\0'; pattern++)
		n += *pattern == '/' && pattern[1] != '{';
	return n;
}

/* The first of the routes for a target, NULL if there is none. Rows of one path stand together (tests/api/test_router.c), so a path is looked at once. */
static const struct api_route *best_row(const struct api_target *t)
{
	const char *params[API_MAX_PARAMS] = {0};
	const struct api_route *best = NULL;

	for (const struct api_route *r = api_route_table; r->method != NULL; r++)
		if ((r == api_route_table || r->path != r[-1].path) && match(r->path, t, params) && (best == NULL || literals(r->path) > literals(best->path)))
			best = r;
	return best;
}

static void add_allow(struct pare_buf *allow, const char *method)
{
	if (allow->len > 0)
		(void)pare_buf_str(allow, ", ");
	(void)pare_buf_str(allow, method);
	if (strcmp(method, "GET") == 0)
		(void)pare_buf_str(allow, ", HEAD");
}

size_t api_route_count(void)
{
	size_t n = 0;

	while (api_route_table[n].method != NULL)
		n++;
	return n;
}

enum pare_code api_route_find(const char *method, const struct api_target *t, const struct api_route **out, const char *params[API_MAX_PARAMS], struct pare_buf *allow, struct pare_err *err)
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
	const struct api_route *best = best_row(t);
	const char *tried[API_MAX_PARAMS] = {0};
	bool found = false;

	if (best != NULL)
		(void)match(best->path, t, tried);
	for (const struct api_route *r = best; r != NULL && r->method != NULL && strcmp(r->path, best->path) == 0; r++) {
		if (strcmp(r->method, wanted) == 0) {
			memcpy(params, tried, sizeof tried);
			*out = r;
			found = true;
			if (strcmp(method, "OPTIONS") != 0)
				return PARE_OK;
		} else if (strcmp(r->method, "OPTIONS") != 0) {
			add_allow(allow, r->method);
		}
	}
	if (allow->len == 0 && !allow->failed)
		return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is nothing at this path; GET /v1 lists what there is");
	add_allow(allow, "OPTIONS");
	if (allow->failed)
		return pare_err_nomem(err, 0);
	if (found)
		return PARE_OK;
	return pare_err_set(err, PARE_E_METHOD, NULL, "%.16s is not possible here; use %s", method, allow->data);
}

const char *api_query_name(const char *row)
{
	return row + (row[0] == '*');
}

/* Its entry, or NULL. */
static const char *known(const char *const *names, const char *name)
{
	for (; names != NULL && *names != NULL; names++)
		if (strcmp(api_query_name(*names), name) == 0)
			return *names;
	return NULL;
}

enum pare_code api_query_check(const struct api_route *route, const struct api_target *t, struct pare_err *err)
{
	for (size_t i = 0; i < t->n_query; i++) {
		const char *name = t->query[i].name;
		const char *row = known(route->query, name), *hint = NULL;

		if (row == NULL) {
			if (route->query != NULL)
				hint = pare_nearest_of(name, route->query);
			if (hint != NULL)
				hint = api_query_name(hint);
			return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "unknown query parameter \"%.40s\"%s%s%s", name, hint != NULL ? "; did you mean \"" : "",
			    hint != NULL ? hint : "", hint != NULL ? "\"?" : "");
		}
		if (row[0] != '*' && api_query_get(t, name) != t->query[i].value)
			return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"%.40s\" was given more than once", name);
	}
	return PARE_OK;
}

const char *api_query_get(const struct api_target *t, const char *name)
{
	for (size_t i = 0; i < t->n_query; i++)
		if (strcmp(t->query[i].name, name) == 0)
			return t->query[i].value;
	return NULL;
}
