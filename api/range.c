/* Several ranges in one request are answered with the whole (RFC 9110, section 14.2 allows it): multipart/byteranges has no user here and has been the
 * source of denial-of-service bugs elsewhere. Syntax errors are ignored in the same way, as the RFC asks. */
#include "api/range.h"

#include <string.h>
#include <strings.h>

#include "api/text.h"
#include "core/base/num.h"

/* A number that does not fit lies behind the end of anything. */
static bool number(const char *s, size_t n, int64_t *out)
{
	if (n == 0 || strspn(s, "0123456789") < n)
		return false;
	if (!pare_parse_i64(s, n, 0, INT64_MAX, out))
		*out = INT64_MAX;
	return true;
}

static enum api_range_kind suffix(const char *s, size_t n, int64_t n_bytes, int64_t *out_first, int64_t *out_n)
{
	int64_t k;

	if (!number(s, n, &k))
		return API_RANGE_WHOLE;
	if (k == 0 || n_bytes == 0)
		return API_RANGE_BAD;
	if (k > n_bytes)
		k = n_bytes;
	*out_first = n_bytes - k;
	*out_n = k;
	return API_RANGE_PART;
}

enum api_range_kind api_range_parse(const char *value, int64_t n_bytes, int64_t *out_first, int64_t *out_n)
{
	const char *dash;
	size_t n;
	int64_t first, last = INT64_MAX;

	if (value == NULL || strncasecmp(value, "bytes=", 6) != 0)
		return API_RANGE_WHOLE;
	value += 6;
	n = strlen(value);
	value = api_trim(value, &n);
	dash = memchr(value, '-', n);
	if (dash == NULL || memchr(value, ',', n) != NULL)
		return API_RANGE_WHOLE;
	if (dash == value)
		return suffix(value + 1, n - 1, n_bytes, out_first, out_n);
	if (!number(value, (size_t)(dash - value), &first))
		return API_RANGE_WHOLE;
	if (dash + 1 < value + n && !number(dash + 1, n - (size_t)(dash - value) - 1, &last))
		return API_RANGE_WHOLE;
	if (last < first)
		return API_RANGE_WHOLE;
	if (first >= n_bytes)
		return API_RANGE_BAD;
	*out_first = first;
	*out_n = (last < n_bytes ? last : n_bytes - 1) - first + 1;
	return API_RANGE_PART;
}

bool api_etag_in(const char *list, const char *etag, bool weak)
{
	size_t n_etag = strlen(etag);

	for (;;) {
		const char *end;
		bool is_weak;

		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		is_weak = strncmp(list, "W/", 2) == 0;
		if (is_weak)
			list += 2;
		end = *list == '"' ? strchr(list + 1, '"') : NULL;
		if (end == NULL)
			return false;
		end++;
		if ((weak || !is_weak) && (size_t)(end - list) == n_etag && memcmp(list, etag, n_etag) == 0)
			return true;
		list = end;
	}
}

bool api_if_range(const char *value, const char *etag)
{
	size_t n;

	if (value == NULL)
		return true;
	n = strlen(value);
	value = api_trim(value, &n);
	return strlen(etag) == n && memcmp(value, etag, n) == 0;
}
