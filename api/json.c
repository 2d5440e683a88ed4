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
