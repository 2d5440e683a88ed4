/* Replies are written straight into a buffer instead of being built as trees: a job's stored JSON (request, result, progress) goes in as it is,
 * without being parsed again, and memory failure is checked once, at the end. Whether a comma is due can be read off the last character: not
 * after an opening bracket, a colon, or nothing at all (a string's last character is always its quote). */
#include "api/json.h"

#include <string.h>

#include "core/base/id.h"
#include "core/base/mem.h"
#include "core/recipe/json_text.h"

static void start(struct pare_buf *b, const char *key)
{
	char last = b->len > 0 ? b->data[b->len - 1] : '\n';

	if (last != '{' && last != '[' && last != ':' && last != '\n' && last != ' ')
		(void)pare_buf_add(b, ",", 1);
	if (key != NULL) {
		pare_json_str(b, key);
		(void)pare_buf_add(b, ":", 1);
	}
}

void api_json_open(struct pare_buf *b, const char *key, char bracket)
{
	start(b, key);
	(void)pare_buf_add(b, &bracket, 1);
}

void api_json_close(struct pare_buf *b, char bracket)
{
	(void)pare_buf_add(b, &bracket, 1);
}

void api_json_str(struct pare_buf *b, const char *key, const char *value)
{
	start(b, key);
	pare_json_str(b, value);
}

void api_json_int(struct pare_buf *b, const char *key, int64_t value)
{
	start(b, key);
	(void)pare_buf_int(b, value);
}

void api_json_bool(struct pare_buf *b, const char *key, bool value)
{
	start(b, key);
	(void)pare_buf_str(b, value ? "true" : "false");
}

void api_json_time(struct pare_buf *b, const char *key, int64_t wall_ms)
{
	char text[PARE_TIME_MAX];

	if (wall_ms != 0)
		pare_time_format(wall_ms, text);
	api_json_str(b, key, wall_ms != 0 ? text : NULL);
}

void api_json_raw(struct pare_buf *b, const char *key, const char *json)
{
	size_t n = json != NULL ? strlen(json) : 0;

	start(b, key);
	while (n > 0 && (json[n - 1] == '\n' || json[n - 1] == ' '))
		n--;
	if (n > 0)
		(void)pare_buf_add(b, json, n);
	else
		(void)pare_buf_str(b, "null");
}

/* --- members of an object that is stored as text. What inspection has found can be megabytes (a table of ten thousand layers), and a page shows two hundred: looking for a bracket's
 * end costs a fiftieth of building the tree. The text is valid JSON, which the engine wrote and a parser has seen; of any other text nothing is found. */

static const char *after_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Behind the string that begins at p; NULL: it has no end. */
static const char *after_string(const char *p)
{
	for (p++; *p != '\0' && *p != '"'; p++)
		if (*p == '\\' && *++p == '\0')
			return NULL;
	return *p == '"' ? p + 1 : NULL;
}

/* Character by character: strcspn() would make a table for each piece. */
static const char *after_value(const char *p)
{
	for (size_t depth = 0; *p != '\0'; p++) {
		bool ends = *p == ']' || *p == '}';

		if (depth == 0 && (ends || *p == ',' || *p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
			return p;
		if (*p == '[' || *p == '{')
			depth++;
		if (*p == '"') {
			p = after_string(p);
			if (p == NULL)
				return NULL;
			p--;
		}
		depth -= ends;
		if (depth == 0 && (ends || *p == '"'))
			return p + 1;
	}
	return NULL;
}

/* A member, from its name to the end of its value. */
struct member {
	const char *start, *value, *end;
};

static bool find_member(const char *object, const char *key, struct member *out)
{
	const char *p = object != NULL ? after_space(object) : "";
	size_t n = strlen(key);

	while (*p == '{' || *p == ',') {
		struct member m = {.start = after_space(p + 1)};

		p = *m.start == '"' ? after_string(m.start) : NULL;
		if (p == NULL)
			return false;
		m.value = after_space(p);
		if (*m.value != ':')
			return false;
		m.value = after_space(m.value + 1);
		m.end = after_value(m.value);
		if (m.end == NULL || m.end == m.value)
			return false;
		*out = m;
		if ((size_t)(p - m.start) == n + 2 && memcmp(m.start + 1, key, n) == 0)
			return true;
		p = after_space(m.end);
	}
	return false;
}

void api_json_part(struct pare_buf *b, const char *key, const char *object, const char *name, const char *otherwise)
{
	struct member m;

	if (!find_member(object, name, &m)) {
		api_json_raw(b, key, otherwise);
		return;
	}
	start(b, key);
	(void)pare_buf_add(b, m.value, (size_t)(m.end - m.value));
}

void api_json_without(struct pare_buf *b, const char *key, const char *object, const char *name)
{
	struct member m;
	const char *rest;

	if (!find_member(object, name, &m)) {
		api_json_raw(b, key, object);
		return;
	}
	start(b, key);
	rest = after_space(m.end);
	if (*rest == ',') { /* goes with its comma: the one behind it, or of the last member the one in front */
		rest++;
	} else {
		while (m.start > object && m.start[-1] != ',' && m.start[-1] != '{')
			m.start--;
		m.start -= m.start > object && m.start[-1] == ',';
	}
	(void)pare_buf_add(b, object, (size_t)(m.start - object));
	(void)pare_buf_str(b, rest);
}

static enum pare_code dump(const json_t *value, size_t digits, char **out, struct pare_err *err)
{
	size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits);
	size_t n = json_dumpb(value, NULL, 0, flags);
	char *text = n > 0 ? pare_alloc(n + 1) : NULL;

	if (text == NULL || json_dumpb(value, text, n, flags) != n) {
		pare_free(text);
		return pare_err_nomem(err, n);
	}
	text[n] = '\0';
	*out = text;
	return PARE_OK;
}

/* 15 digits are what people write (0.8), 17 what every number survives: those only where a number needs them. */
enum pare_code api_json_dump(const json_t *value, char **out, struct pare_err *err)
{
	char *text;
	json_t *again;
	enum pare_code rc = dump(value, 15, &text, err);
	bool same;

	if (rc != PARE_OK)
		return rc;
	again = json_loads(text, JSON_DECODE_ANY, NULL);
	same = again != NULL && json_equal(again, value);
	json_decref(again);
	if (same) {
		*out = text;
		return PARE_OK;
	}
	pare_free(text);
	return dump(value, 17, out, err);
}
