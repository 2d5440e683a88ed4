/* The daemon parses no JSON of its own (that is the api's and the recipe's business) and what is looked at here has
 * been checked and printed by pare_msg_read just before, so a walk that keeps count of brackets and steps over strings is
 * enough. Words with escapes in them are nobody's phase. */
#include "server/peek.h"

#include <string.h>

/* p stands on the opening quote; returns what follows the closing one. */
static const char *after_string(const char *p)
{
	for (p++; *p != '\0' && *p != '"'; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	return *p == '"' ? p + 1 : p;
}

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static bool copy_string(const char *p, char *out, size_t cap)
{
	size_t n;

	if (*p != '"')
		return false;
	n = strcspn(p + 1, "\"\\");
	if (p[1 + n] != '"' || n >= cap)
		return false;
	memcpy(out, p + 1, n);
	out[n] = '\0';
	return true;
}

bool srv_peek_string(const char *json, const char *key, char *out, size_t cap)
{
	size_t n = strlen(key);
	int depth = 0;

	for (const char *p = json; *p != '\0';) {
		const char *after;

		if (*p != '"') {
			depth += *p == '{' || *p == '[' ? 1 : *p == '}' || *p == ']' ? -1 : 0;
			p++;
			continue;
		}
		after = skip_space(after_string(p));
		if (depth == 1 && *after == ':' && strncmp(p + 1, key, n) == 0 && p[1 + n] == '"')
			return copy_string(skip_space(after + 1), out, cap);
		p = after;
	}
	return false;
}
