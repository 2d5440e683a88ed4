/* Replies are written straight into a buffer instead of being built as trees: a job's stored JSON (request, result, progress) goes in as it is,
 * without being parsed again, and memory failure is checked once, at the end. Whether a comma is due can be read off the last character: not
 * after an opening bracket, a colon, or nothing at all (a string's last character is always its quote).
 *
 * Requests are parsed by jansson, whose own depth limit is 2048 and whose parser recurses; a linear scan refuses more than 32 levels first.
 *
 * jansson 2.14 ignores a failed growth of its lexer's buffer: the character is lost, and when it is the closing quote of a string, the copying loop
 * runs past the end. So that growth must not fail: its allocations (powers of two from 32 up) fall back on memory set aside before the parse, whose
 * size bounds every doubling for a text of that length, and a parse that needed it is reported as out of memory. */
#include "api/json.h"

#include <pthread.h>
#include <string.h>

#include "core/base/id.h"
#include "core/base/mem.h"
#include "core/base/num.h"
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
	(void)pare_buf_printf(b, "%lld", (long long)value);
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

/* Brackets outside strings; broken JSON may count wrongly and is refused by the parser afterwards. */
static bool too_deep(const char *s, size_t n)
{
	int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < n; i++) {
		if (quoted && s[i] == '\\')
			i++;
		else if (s[i] == '"')
			quoted = !quoted;
		else if (!quoted && (s[i] == '{' || s[i] == '['))
			depth++;
		else if (!quoted && (s[i] == '}' || s[i] == ']'))
			depth--;
		if (depth > API_JSON_DEPTH)
			return true;
	}
	return false;
}

static struct {
	json_malloc_t alloc;
	json_free_t release;
} inner;
static _Thread_local struct {
	char *base;
	size_t size, used;
	bool needed;
} reserve;

static void *steady_alloc(size_t n)
{
	void *p = inner.alloc(n);

	if (p != NULL)
		return p;
	reserve.needed = true;
	if (n < 32 || (n & (n - 1)) != 0 || n > reserve.size - reserve.used)
		return NULL;
	p = reserve.base + reserve.used;
	reserve.used += n;
	return p;
}

static void steady_free(void *p)
{
	uintptr_t at = (uintptr_t)p, base = (uintptr_t)reserve.base;

	if (reserve.base == NULL || at < base || at >= base + reserve.size)
		inner.release(p);
}

static void wrap_allocator(void)
{
	pare_json_init();
	json_get_alloc_funcs(&inner.alloc, &inner.release);
	json_set_alloc_funcs(steady_alloc, steady_free);
}

enum pare_code api_json_reserve_begin(size_t n, struct pare_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	size_t size;

	(void)pthread_once(&once, wrap_allocator);
	if (!pare_mul_size(n, 4, &size) || !pare_add_size(size, 4096, &size))
		return pare_err_set(err, PARE_E_TOO_LARGE, NULL, "the JSON text is too long");
	reserve.base = pare_alloc(size);
	if (reserve.base == NULL)
		return pare_err_nomem(err, size);
	reserve.size = size;
	reserve.used = 0;
	reserve.needed = false;
	return PARE_OK;
}

bool api_json_reserve_short(void)
{
	return reserve.needed;
}

void api_json_reserve_end(void)
{
	pare_free(reserve.base);
	memset(&reserve, 0, sizeof reserve);
}

enum pare_code api_json_parse(const char *text, size_t n, json_t **out, struct pare_err *err)
{
	json_error_t e;
	json_t *root;
	enum pare_code rc;

	if (too_deep(text, n))
		return pare_err_set(err, PARE_E_SYNTAX, NULL, "the JSON text is nested deeper than %d levels", API_JSON_DEPTH);
	rc = api_json_reserve_begin(n, err);
	if (rc != PARE_OK)
		return rc;
	root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
	if (api_json_reserve_short()) {
		json_decref(root);
		root = NULL;
		rc = pare_err_nomem(err, 0);
	} else if (root == NULL) {
		(void)pare_err_set(err, PARE_E_SYNTAX, NULL, "not valid JSON: %s", e.text);
		rc = pare_err_at(err, "line %d column %d", e.line, e.column);
	}
	api_json_reserve_end();
	if (rc == PARE_OK)
		*out = root;
	return rc;
}

enum pare_code api_json_dump(const json_t *value, char **out, struct pare_err *err)
{
	size_t n = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
	char *text = n > 0 ? pare_alloc(n + 1) : NULL;

	if (text == NULL || json_dumpb(value, text, n, JSON_COMPACT | JSON_ENCODE_ANY) != n) {
		pare_free(text);
		return pare_err_nomem(err, n);
	}
	text[n] = '\0';
	*out = text;
	return PARE_OK;
}
