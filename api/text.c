/* UTF-8 is checked by the table of well-formed sequences (Unicode 15, table 3-7) written as bounds on the second byte: that alone shuts out
 * overlong forms, surrogates and values past U+10FFFF, so no decoding is needed. */
#include "api/text.h"

#include <string.h>
#include <strings.h>

#include "core/base/num.h"

static bool continuation(unsigned char c)
{
	return (c & 0xC0) == 0x80;
}

size_t api_utf8_sequence(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xBF;
	size_t need;

	if (n == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xC2 || u[0] > 0xF4)
		return 0;
	need = u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
	if (n < need)
		return 0;
	if (u[0] == 0xE0)
		low = 0xA0;
	else if (u[0] == 0xED)
		high = 0x9F;
	else if (u[0] == 0xF0)
		low = 0x90;
	else if (u[0] == 0xF4)
		high = 0x8F;
	if (u[1] < low || u[1] > high)
		return 0;
	for (size_t i = 2; i < need; i++)
		if (!continuation(u[i]))
			return 0;
	return need;
}

bool api_utf8_valid(const char *s, size_t n)
{
	while (n > 0) {
		size_t k = api_utf8_sequence(s, n);

		if (k == 0)
			return false;
		s += k;
		n -= k;
	}
	return true;
}

bool api_plain_text(const char *s)
{
	for (const char *p = s; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7F)
			return false;
	return api_utf8_valid(s, strlen(s));
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool api_is_token(const char *s, size_t n)
{
	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(s[i]) && (s[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s[i]) == NULL))
			return false;
	return true;
}

bool api_same_nocase(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

bool api_word_is(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && strncasecmp(s, word, n) == 0;
}

const char *api_trim(const char *s, size_t *n)
{
	while (*n > 0 && (s[0] == ' ' || s[0] == '\t')) {
		s++;
		(*n)--;
	}
	while (*n > 0 && (s[*n - 1] == ' ' || s[*n - 1] == '\t'))
		(*n)--;
	return s;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void api_base64(const uint8_t *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < n)
			v |= p[i + 2];
		*out++ = digits[v >> 18];
		*out++ = digits[(v >> 12) & 63];
		*out++ = i + 1 < n ? digits[(v >> 6) & 63] : '=';
		*out++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*out = '\0';
}

size_t api_base64_decode(const char *s, uint8_t *out, size_t cap)
{
	size_t n = strlen(s), n_pad = 0, n_out;
	uint32_t v = 0;

	while (n_pad < 2 && n_pad < n && s[n - 1 - n_pad] == '=')
		n_pad++;
	n_out = n / 4 * 3 - n_pad;
	if (n == 0 || n % 4 != 0 || n_out > cap || strspn(s, digits) != n - n_pad)
		return 0;
	for (size_t i = 0, k = 0; i < n; i++) {
		v = v << 6 | (i < n - n_pad ? (uint32_t)(strchr(digits, s[i]) - digits) : 0);
		for (size_t b = 0; i % 4 == 3 && b < 3 && k < n_out; b++)
			out[k++] = (uint8_t)(v >> (16 - 8 * b));
	}
	return n_out;
}

static uint8_t hex_value(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

void api_digest_base64(const char *hex, char out[API_DIGEST_BASE64])
{
	uint8_t raw[32];

	for (size_t i = 0; i < sizeof raw; i++)
		raw[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
	api_base64(raw, sizeof raw, out);
}

void api_safe_filename(const char *s, char out[API_FILENAME_MAX])
{
	size_t n = 0;

	for (const char *p = s; *p != '\0'; p++)
		if (*p == '/' || *p == '\\')
			s = p + 1;
	while (*s == '.')
		s++;
	for (; *s != '\0' && n < API_FILENAME_MAX - 1; s++)
		out[n++] = is_alnum(*s) || *s == '.' || *s == '_' || *s == '-' ? *s : '_';
	if (n == 0) {
		memcpy(out, "file", 4);
		n = 4;
	}
	out[n] = '\0';
}

/* One element of an Accept list: a media range, and how much it is wanted. */
struct accept_range {
	const char *type;
	size_t n;
	double q;
};

static struct accept_range accept_element(const char *s, size_t n)
{
	struct accept_range r = {.q = 1};
	const char *semi = memchr(s, ';', n);

	r.n = semi != NULL ? (size_t)(semi - s) : n;
	r.type = api_trim(s, &r.n);
	while (semi != NULL) {
		const char *p = semi + 1, *value;
		size_t left = n - (size_t)(p - s), k;

		semi = memchr(p, ';', left);
		k = semi != NULL ? (size_t)(semi - p) : left;
		p = api_trim(p, &k);
		if (k < 2 || (p[0] != 'q' && p[0] != 'Q') || p[1] != '=')
			continue;
		value = p + 2;
		if (!pare_parse_double(value, k - 2, &r.q) || r.q < 0 || r.q > 1)
			r.q = 0;
	}
	return r;
}

/* 3: the very type, 2: its main type, 1: anything, 0: no match. */
static int specificity(const struct accept_range *r, const char *offer)
{
	size_t main_type = (size_t)(strchr(offer, '/') - offer) + 1;

	if (api_word_is(r->type, r->n, offer))
		return 3;
	if (r->n == main_type + 1 && r->type[main_type] == '*' && strncasecmp(r->type, offer, main_type) == 0)
		return 2;
	return api_word_is(r->type, r->n, "*/*") ? 1 : 0;
}

static double quality(const char *accept, const char *offer)
{
	int best = 0;
	double q = 0;

	for (;;) {
		size_t n = strcspn(accept, ",");
		struct accept_range r = accept_element(accept, n);
		int fit = specificity(&r, offer);

		if (fit > best) {
			best = fit;
			q = r.q;
		}
		if (accept[n] == '\0')
			return q;
		accept += n + 1;
	}
}

int api_negotiate(const char *accept, const char *const *offers)
{
	double best = 0;
	int found = -1;

	if (accept == NULL)
		return 0;
	for (int i = 0; offers[i] != NULL; i++) {
		double q = quality(accept, offers[i]);

		if (q > best) {
			best = q;
			found = i;
		}
	}
	return found;
}
