/* A table of fields, each read by one function into one struct; a field that comes twice is refused, since two offsets would be two truths. Numbers
 * are plain digits (tus) and structured fields' integers (IETF, RFC 9651) alike: at most fifteen digits; parameters of structured fields are
 * read over. Metadata of tus are kept as they are and handed back; of their pairs only the file's name means something here. */
#include "api/resumable_head.h"

#include <stdio.h>
#include <string.h>

#include "api/text.h"
#include "core/base/id.h"
#include "core/base/num.h"

#define MAX_NUMBER 999999999999999

static enum pare_code bad(struct pare_err *err, const char *name, const char *should_be)
{
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "header field %s must be %s", name, should_be);
}

/* The bare item of a structured field, without its parameters. */
static const char *bare_item(const char *value, size_t *n)
{
	*n = strcspn(value, ";");
	return api_trim(value, n);
}

static enum pare_code read_number(const char *name, const char *value, int64_t *out, struct pare_err *err)
{
	size_t n;
	const char *s = bare_item(value, &n);

	return n <= 15 && pare_parse_i64(s, n, 0, MAX_NUMBER, out) ? PARE_OK : bad(err, name, "a number of bytes, in at most 15 digits");
}

static enum pare_code read_length(const char *name, const char *value, struct api_resumable_head *h, struct pare_err *err)
{
	return read_number(name, value, &h->length, err);
}

static enum pare_code read_offset(const char *name, const char *value, struct api_resumable_head *h, struct pare_err *err)
{
	return read_number(name, value, &h->offset, err);
}

static enum pare_code read_later(const char *name, const char *value, struct api_resumable_head *h, struct pare_err *err)
{
	h->length_later = strcmp(value, "1") == 0;
	return h->length_later ? PARE_OK : bad(err, name, "1");
}

static enum pare_code read_version(const char *name, const char *value, struct api_resumable_head *h, struct pare_err *err)
{
	h->dialect = API_TUS;
	if (strcmp(value, API_TUS_VERSION) == 0)
		return PARE_OK;
	return pare_err_set(err, PARE_E_PRECONDITION, NULL, "%s: version \"%.20s\" of tus is not spoken here; %s is", name, value, API_TUS_VERSION);
}

static enum pare_code read_complete(const char *name, const char *value, struct api_resumable_head *h, struct pare_err *err)
{
	size_t n;
	const char *s = bare_item(value, &n);

	h->complete = n == 2 && memcmp(s, "?1", 2) == 0;
	if (h->dialect == API_PLAIN)
		h->dialect = API_IETF;
	return h->complete || (n == 2 && memcmp(s, "?0", 2) == 0) ? PARE_OK : bad(err, name, "?0 or ?1");
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* Strict base 64: whole groups, padding at the end only, no stray bits. Returns the number of bytes, -1 if it is none, or more than cap. */
static ptrdiff_t decode_base64(const char *s, size_t n, uint8_t *out, size_t cap)
{
	size_t n_out = 0;

	if (n % 4 != 0)
		return -1;
	for (size_t i = 0; i < n; i += 4) {
		bool last = i + 4 == n;
		int pad = last && s[i + 3] == '=' ? (s[i + 2] == '=' ? 2 : 1) : 0;
		uint32_t v = 0;

		for (int k = 0; k < 4; k++) {
			int d = k < 4 - pad ? base64_digit(s[i + (size_t)k]) : 0;

			if (d < 0)
				return -1;
			v = v << 6 | (uint32_t)d;
		}
		if ((v & ((1U << (8 * pad)) - 1)) != 0 || n_out + (size_t)(3 - pad) > cap)
			return -1;
		for (int k = 0; k < 3 - pad; k++)
			out[n_out++] = (uint8_t)(v >> (16 - 8 * k));
	}
	return (ptrdiff_t)n_out;
}

static enum pare_code read_checksum(const char *name, const char *value, struct api_resumable_head *h, struct pare_err *err)
{
	static const struct {
		const char *name;
		ptrdiff_t n_bytes;
	} algorithms[] = {{"sha1", 20}, {"sha256", 32}};
	size_t n = strcspn(value, " ");
	ptrdiff_t n_digest = value[n] == ' ' ? decode_base64(value + n + 1, strlen(value + n + 1), h->digest, sizeof h->digest) : -1;

	for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
		if (strlen(algorithms[i].name) == n && memcmp(algorithms[i].name, value, n) == 0 && algorithms[i].n_bytes == n_digest) {
			h->checksum = algorithms[i].name;
			h->n_digest = (size_t)n_digest;
			return PARE_OK;
		}
	return bad(err, name, "sha1 or sha256, a blank, and that digest of this request's body in base 64");
}

/* One "key base64" of the metadata. */
static bool read_pair(const char *s, size_t n, struct api_resumable_head *h)
{
	const char *blank = memchr(s, ' ', n);
	size_t n_key = blank != NULL ? (size_t)(blank - s) : n;
	uint8_t value[API_UPLOAD_METADATA_MAX];
	ptrdiff_t k;

	if (n_key == 0)
		return false;
	if (blank == NULL)
		return true;
	k = decode_base64(blank + 1, n - n_key - 1, value, sizeof value - 1);
	if (k < 0)
		return false;
	if (n_key != strlen("filename") || memcmp(s, "filename", n_key) != 0)
		return true;
	value[k] = '\0';
	if (k >= API_UPLOAD_FILENAME_MAX || strlen((const char *)value) != (size_t)k || !api_plain_text((const char *)value))
		return false;
	memcpy(h->filename, value, (size_t)k + 1);
	return true;
}

static enum pare_code read_metadata(const char *name, const char *value, struct api_resumable_head *h, struct pare_err *err)
{
	if (strlen(value) > API_UPLOAD_METADATA_MAX)
		return bad(err, name, "at most 4096 bytes long");
	h->metadata = value;
	while (*value != '\0') {
		size_t n = strcspn(value, ","), n_pair = n;
		const char *pair = api_trim(value, &n_pair);

		if (!read_pair(pair, n_pair, h))
			return bad(err, name, "pairs of a key and a base 64 value, with commas between them; a filename: text of at most 255 bytes");
		value += n;
		if (*value == ',')
			value++;
	}
	return PARE_OK;
}

static const struct {
	const char *name;
	enum pare_code (*read)(const char *name, const char *value, struct api_resumable_head *h, struct pare_err *err);
} field_table[] = {
    {"Tus-Resumable", read_version}, /* first: it decides about the dialect */
    {"Upload-Complete", read_complete},
    {"Upload-Length", read_length},
    {"Upload-Offset", read_offset},
    {"Upload-Defer-Length", read_later},
    {"Upload-Metadata", read_metadata},
    {"Upload-Checksum", read_checksum},
};

enum pare_code api_resumable_head_read(const struct api_header *headers, size_t n_headers, struct api_resumable_head *out, struct pare_err *err)
{
	memset(out, 0, sizeof *out);
	out->length = out->offset = -1;
	for (size_t f = 0; f < sizeof field_table / sizeof field_table[0]; f++) {
		const char *value = NULL;
		enum pare_code rc;

		for (size_t i = 0; i < n_headers; i++) {
			if (!api_same_nocase(headers[i].name, field_table[f].name))
				continue;
			if (value != NULL)
				return bad(err, field_table[f].name, "there once");
			value = headers[i].value;
		}
		rc = value != NULL ? field_table[f].read(field_table[f].name, value, out, err) : PARE_OK;
		if (rc != PARE_OK)
			return rc;
	}
	if (out->length >= 0 && out->length_later)
		return bad(err, "Upload-Defer-Length", "left out where Upload-Length is sent");
	return PARE_OK;
}

void api_http_date(int64_t wall_ms, char out[API_HTTP_DATE])
{
	static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	char iso[PARE_TIME_MAX];
	int64_t day = wall_ms / 86400000;
	int month;

	pare_time_format(wall_ms, iso); /* 2026-11-22T01:02:03.123Z */
	month = (iso[5] - '0') * 10 + iso[6] - '0';
	(void)snprintf(out, API_HTTP_DATE, "%s, %.2s %s %.4s %.8s GMT", days[day % 7], iso + 8, months[(month + 11) % 12], iso, iso + 11);
}
