/* Written by hand instead of through jansson's dumper because of two of its habits: 0.1 becomes 0.10000000000000001, and a
 * document has to be built as a tree first, which for a report of a thousand layers is a thousand allocations that can
 * fail. Here a failed append sticks in the buffer and is checked once at the end. */
#include "core/recipe/json_text.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"

static _Thread_local bool short_of_memory;

static void *json_alloc(size_t n_bytes)
{
	void *p = pare_alloc(n_bytes);

	short_of_memory |= p == NULL;
	return p;
}

bool pare_json_nomem(void)
{
	bool was = short_of_memory;

	short_of_memory = false;
	return was;
}

static void json_init_once(void)
{
	json_set_alloc_funcs(json_alloc, pare_free);
	json_object_seed(0);
}

void pare_json_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, json_init_once);
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

void pare_json_str(struct pare_buf *b, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	if (s == NULL) {
		pare_buf_str(b, "null");
		return;
	}
	pare_buf_str(b, "\"");
	while (*p != '\0') {
		size_t n = utf8_len(p);

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

void pare_json_num(struct pare_buf *b, double v)
{
	char text[40];
	double back;

	if (!isfinite(v)) {
		pare_buf_str(b, "null");
		return;
	}
	if (v == 0)
		v = 0; /* -0 and 0 are one number here */
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, v);
		if (pare_parse_double(text, strlen(text), &back) && !(back < v) && !(back > v))
			break;
	}
	pare_buf_str(b, text);
}

void pare_json_int(struct pare_buf *b, int64_t v)
{
	pare_buf_printf(b, "%lld", (long long)v);
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

void pare_json_key_bool(struct pare_buf *b, const char *key, int v)
{
	pare_json_key(b, key);
	pare_buf_str(b, v ? "true" : "false");
}
