/* strtod obeys the process locale, so the decimal text is checked character by character first and the locale is never
 * set by any of our programs; NaN, infinity and hexadecimal floats are refused by that same check. */
#include "core/base/num.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool pare_parse_i64(const char *s, size_t n, int64_t min, int64_t max, int64_t *out)
{
	bool negative = false;
	int64_t v = 0;
	size_t i = 0;

	if (n > 0 && min < 0 && s[0] == '-') {
		negative = true;
		i = 1;
	}
	if (i == n)
		return false;
	for (; i < n; i++) {
		int d = s[i] - '0';

		if (d < 0 || d > 9)
			return false;
		if (__builtin_mul_overflow(v, (int64_t)10, &v) || __builtin_sub_overflow(v, (int64_t)d, &v))
			return false; /* counted downwards: INT64_MIN has no positive twin */
	}
	if (!negative && __builtin_sub_overflow((int64_t)0, v, &v))
		return false;
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool pare_parse_double(const char *s, size_t n, double *out)
{
	char text[64];
	char *end;
	double v;

	if (n == 0 || n >= sizeof text)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strchr("0123456789+-.eE", s[i]) == NULL || s[i] == '\0')
			return false;
	memcpy(text, s, n);
	text[n] = '\0';
	errno = 0;
	v = strtod(text, &end);
	if (end != text + n || !isfinite(v))
		return false;
	*out = v;
	return true;
}

bool pare_parse_bytes(const char *s, int64_t *out)
{
	static const char units[] = "kMGT";
	size_t n = strspn(s, "0123456789");
	const char *rest = s + n;
	const char *unit;
	int64_t v;

	if (!pare_parse_i64(s, n, 0, INT64_MAX, &v))
		return false;
	unit = *rest != '\0' ? strchr(units, *rest == 'K' ? 'k' : *rest) : NULL;
	if (unit != NULL) {
		for (ptrdiff_t i = 0; i <= unit - units; i++)
			if (__builtin_mul_overflow(v, (int64_t)1024, &v))
				return false;
		rest++;
		if (strcmp(rest, "iB") == 0)
			rest += 2;
	}
	if (strcmp(rest, "B") == 0)
		rest++;
	if (*rest != '\0')
		return false;
	*out = v;
	return true;
}
