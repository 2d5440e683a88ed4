/* Writing is by hand instead of through jansson's dumper because of two of its habits: 0.1 becomes 0.10000000000000001, and a
 * document has to be built as a tree first, which for a report of a thousand layers is a thousand allocations that can
 * fail. Here a failed append sticks in the buffer and is checked once at the end.
 *
 * Reading is jansson's, with two guards. It recurses for every level of nesting (up to 2048 of its own frames), so brackets
 * outside of strings are counted before it sees the text. And 2.14 ignores a failed growth of its lexer's buffer: the byte
 * is lost, and when it was the last of a number or of a string, an assertion ends the process or a loop runs past the end
 * of the buffer. So that growth must not fail. Once an allocation has failed, those that can be such a growth (powers of two from 32) are served from
 * memory that was set aside before the parse, all others fail, and whatever the parse makes is thrown away. Besides growths
 * (together at most 4 bytes per byte of text) only tables of lists and objects and values of strings have such sizes, at
 * most 7 bytes per byte; so 12 are enough for any text. */
#include "core/recipe/json_text.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"

#define DEPTH_MAX 32
#define RESERVE_FACTOR ((size_t)12)
#define RESERVE_MIN ((size_t)4096)

static _Thread_local bool short_of_memory;
static _Thread_local struct {
	char *base; /* NULL unless a text is being parsed */
	size_t size, used;
} reserve;

static void *json_alloc(size_t n_bytes)
{
	void *p = short_of_memory && reserve.base != NULL ? NULL : pare_alloc(n_bytes);

	if (p != NULL)
		return p;
	short_of_memory = true;
	if (n_bytes < 32 || (n_bytes & (n_bytes - 1)) != 0 || n_bytes > reserve.size - reserve.used)
		return NULL;
	p = reserve.base + reserve.used;
	reserve.used += n_bytes;
	return p;
}

static void json_release(void *p)
{
	uintptr_t at = (uintptr_t)p, base = (uintptr_t)reserve.base;

	if (base == 0 || at < base || at >= base + reserve.size)
		pare_free(p);
}

bool pare_json_nomem(void)
{
	bool was = short_of_memory;

	short_of_memory = false;
	return was;
}

static void json_init_once(void)
{
	json_set_alloc_funcs(json_alloc, json_release);
	json_object_seed(0);
}

void pare_json_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, json_init_once);
}

/* Broken JSON may count wrongly and is refused by the parser afterwards. */
static bool too_deep(const char *s, size_t len)
{
	bool quoted = false;
	int depth = 0;

	for (size_t i = 0; i < len && depth <= DEPTH_MAX; i++) {
		if (quoted && s[i] == '\\')
			i++;
		else if (s[i] == '"')
			quoted = !quoted;
		else if (!quoted && (s[i] == '{' || s[i] == '['))
			depth++;
		else if (!quoted && (s[i] == '}' || s[i] == ']'))
			depth--;
	}
	return depth > DEPTH_MAX;
}

static enum pare_code parse(const char *text, size_t len, json_t **out, json_error_t *e, struct pare_err *err)
{
	enum pare_code code = PARE_OK;
	json_t *root;

	if (!pare_mul_size(len, RESERVE_FACTOR, &reserve.size) || !pare_add_size(reserve.size, RESERVE_MIN, &reserve.size))
		return pare_err_nomem(err, len);
	reserve.base = pare_alloc(reserve.size);
	if (reserve.base == NULL)
		return pare_err_nomem(err, reserve.size);
	reserve.used = 0;
	(void)pare_json_nomem();
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, e);
	if (pare_json_nomem()) {
		json_decref(root);
		code = pare_err_nomem(err, 0);
	} else if (root == NULL) {
		(void)pare_err_set(err, PARE_E_SYNTAX, NULL, "not valid JSON: %s", e->text);
		code = pare_err_at(err, "line %d column %d", e->line, e->column);
	} else {
		*out = root;
	}
	pare_free(reserve.base);
	memset(&reserve, 0, sizeof reserve);
	return code;
}

enum pare_code pare_json_load(const char *text, size_t len, size_t max_len, json_t **out, json_error_t *e, struct pare_err *err)
{
	json_error_t own = {.line = 0};

	pare_json_init();
	if (e == NULL)
		e = &own;
	*e = own;
	if (len > max_len)
		return pare_err_set(err, PARE_E_SYNTAX, NULL, "the JSON text has %zu bytes, at most %zu are read", len, max_len);
	if (memchr(text, 0, len) != NULL)
		return pare_err_set(err, PARE_E_SYNTAX, NULL, "the JSON text contains a NUL byte");
	if (too_deep(text, len))
		return pare_err_set(err, PARE_E_SYNTAX, NULL, "the JSON text nests deeper than %d levels", DEPTH_MAX);
	return parse(text, len, out, e, err);
}

/* Bytes of the well-formed UTF-8 sequence at s (RFC 3629: no surrogates, no overlong forms), 0 if there is none. */
static size_t utf8_len(const unsigned char *s)
{
	static const struct { unsigned char lo, hi, lo2, hi2; size_t n; } table[] = {
	    {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		if (s[0] < table[i].lo || s[0] > table[i].hi)
			continue;
		if (table[i].n > 1 && (s[1] < table[i].lo2 || s[1] > table[i].hi2))
			return 0;
		for (size_t k = 2; k < table[i].n; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return table[i].n;
	}
	return 0;
}

static void escape(struct pare_buf *b, unsigned char c)
{
	static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
	const char *p = strchr(from, c);

	if (p != NULL)
		pare_buf_printf(b, "\\%c", to[p - from]);
	else
		pare_buf_printf(b, "\\u%04x", (unsigned)c);
}

/* Bytes from s on that stand for themselves: nearly every string is one such run. */
static size_t plain_len(const unsigned char *s)
{
	size_t n = 0;

	while (s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

void pare_json_str(struct pare_buf *b, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	if (s == NULL) {
		pare_buf_str(b, "null");
		return;
	}
	pare_buf_str(b, "\"");
	for (;;) {
		size_t n = plain_len(p);

		pare_buf_add(b, p, n);
		p += n;
		if (*p == '\0')
			break;
		n = utf8_len(p);
		if (n == 0) {
			pare_buf_str(b, "\xef\xbf\xbd");
			p++;
			continue;
		}
		if (*p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f)
			escape(b, *p);
		else
			pare_buf_add(b, p, n);
		p += n;
	}
	pare_buf_str(b, "\"");
}

/* With as few digits as come back as the same number; all decimals of `few` digits do, `all` are enough for every number. */
static void put_number(struct pare_buf *b, double v, int few, int all, bool single)
{
	char text[40];
	double back;

	if (!isfinite(v)) {
		pare_buf_str(b, "null");
		return;
	}
	if (v == 0)
		v = 0; /* -0 and 0 are one number here */
	for (int digits = few; digits <= all; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, v);
		if (!pare_parse_double(text, strlen(text), &back))
			continue;
		back = single ? (double)(float)back : back;
		if (!(back < v) && !(back > v))
			break;
	}
	pare_buf_str(b, text);
}

void pare_json_num(struct pare_buf *b, double v)
{
	put_number(b, v, DBL_DIG, DBL_DECIMAL_DIG, false);
}

void pare_json_float(struct pare_buf *b, float v)
{
	put_number(b, (double)v, fabsf(v) < FLT_MIN ? 1 : FLT_DIG, FLT_DECIMAL_DIG, true);
}

void pare_json_int(struct pare_buf *b, int64_t v)
{
	pare_buf_int(b, v);
}

void pare_json_sep(struct pare_buf *b)
{
	char last = b->len != 0 ? b->data[b->len - 1] : '[';

	if (last != '{' && last != '[')
		pare_buf_str(b, ",");
}

void pare_json_key(struct pare_buf *b, const char *key)
{
	pare_json_sep(b);
	pare_json_str(b, key);
	pare_buf_str(b, ":");
}

void pare_json_key_str(struct pare_buf *b, const char *key, const char *s)
{
	pare_json_key(b, key);
	pare_json_str(b, s);
}

void pare_json_key_num(struct pare_buf *b, const char *key, double v)
{
	pare_json_key(b, key);
	pare_json_num(b, v);
}

void pare_json_key_int(struct pare_buf *b, const char *key, int64_t v)
{
	pare_json_key(b, key);
	pare_json_int(b, v);
}

void pare_json_key_raw(struct pare_buf *b, const char *key, const char *json)
{
	pare_json_key(b, key);
	pare_buf_str(b, json);
}

void pare_json_key_bool(struct pare_buf *b, const char *key, int v)
{
	pare_json_key(b, key);
	pare_buf_str(b, v ? "true" : "false");
}
