/* A machine of five states over whatever pieces arrive. The delimiter is CR LF "--" boundary, and CR cannot occur again within it, so after a
 * failed match no prefix of it can match but a new CR: no failure table, no look-back buffer, only the count of characters matched so far.
 * The opening delimiter lacks its CR LF when the body starts with it; starting with those two counted as matched covers both.
 *
 * Bounded: 4 KiB of headers per part, 128 parts, boundary of at most 70 characters. How long data may be is the sink's business. */
#include "api/multipart.h"

#include <string.h>
#include <strings.h>

#include "api/text.h"

static enum pare_code bad(struct pare_err *err, const char *what)
{
	return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "multipart body: %s", what);
}

/* Copies the value of parameter `name` of "type; a=b; c=\"d\"" to out. False if it is absent, broken or too long. */
static bool parameter(const char *s, const char *name, char *out, size_t size)
{
	for (;;) {
		size_t n = 0, n_name;
		bool wanted, quoted;

		while (*s != '\0' && *s != ';')
			s++;
		if (*s == '\0')
			return false;
		s += 1 + strspn(s + 1, " \t");
		n_name = strcspn(s, "=; \t");
		wanted = api_word_is(s, n_name, name);
		s += n_name;
		if (*s != '=')
			continue;
		s++;
		quoted = *s == '"';
		s += quoted;
		while (*s != '\0' && (quoted ? *s != '"' : *s != ';' && *s != ' ' && *s != '\t')) {
			if (quoted && s[0] == '\\' && (s[1] == '"' || s[1] == '\\'))
				s++;
			if (wanted && n + 1 < size)
				out[n] = *s;
			n += 1;
			s++;
		}
		if (quoted && *s++ != '"')
			return false;
		if (wanted) {
			out[n < size ? n : size - 1] = '\0';
			return n < size;
		}
	}
}

enum pare_code api_multipart_init(struct api_multipart *m, const char *content_type, const struct api_part_sink *sink, struct pare_err *err)
{
	char boundary[71];
	size_t n;

	memset(m, 0, sizeof *m);
	m->sink = *sink;
	if (!parameter(content_type, "boundary", boundary, sizeof boundary) || boundary[0] == '\0')
		return bad(err, "Content-Type must carry a boundary of 1 to 70 characters");
	n = strlen(boundary);
	if (strcspn(boundary, "\r\n") < n)
		return bad(err, "the boundary must not hold line breaks");
	memcpy(m->delimiter, "\r\n--", 4);
	memcpy(m->delimiter + 4, boundary, n);
	m->n_delimiter = n + 4;
	m->n_matched = 2;
	return PARE_OK;
}

static enum pare_code emit(struct api_multipart *m, const char *p, size_t n, struct pare_err *err)
{
	if (m->state != API_PART_DATA || n == 0)
		return PARE_OK;
	return m->sink.data(m->sink.ctx, p, n, err);
}

/* Data (or preamble) up to a possible delimiter. *used is how much of p was eaten. */
static enum pare_code scan(struct api_multipart *m, const char *p, size_t n, size_t *used, struct pare_err *err)
{
	enum pare_code rc;
	size_t i = 0;

	while (i < n && m->n_matched > 0 && m->n_matched < m->n_delimiter && p[i] == m->delimiter[m->n_matched]) {
		m->n_matched++;
		i++;
	}
	*used = i;
	if (m->n_matched == m->n_delimiter) {
		rc = m->state == API_PART_DATA ? m->sink.end(m->sink.ctx, err) : PARE_OK;
		m->state = API_PART_DELIMITED;
		m->n_matched = 0;
		m->n_head = 0;
		return rc;
	}
	if (i == n)
		return PARE_OK;
	if (m->n_matched > 0) {
		rc = emit(m, m->delimiter, m->n_matched, err);
		m->n_matched = 0;
		return rc;
	}
	if (p[i] == '\r') {
		m->n_matched = 1;
		*used = i + 1;
		return PARE_OK;
	}
	{
		const char *cr = memchr(p + i, '\r', n - i);
		size_t k = cr != NULL ? (size_t)(cr - p) - i : n - i;

		*used = i + k;
		return emit(m, p + i, k, err);
	}
}

/* After a delimiter: "--" ends it all, optional blanks and CR LF start a part. */
static enum pare_code delimited(struct api_multipart *m, char c, struct pare_err *err)
{
	if (m->n_head == 0 && (c == ' ' || c == '\t'))
		return PARE_OK;
	m->head[m->n_head++] = c;
	if (m->n_head < 2)
		return c == '-' || c == '\r' ? PARE_OK : bad(err, "a delimiter must be followed by a line break");
	if (memcmp(m->head, "--", 2) == 0) {
		m->state = API_PART_EPILOGUE;
		return PARE_OK;
	}
	if (memcmp(m->head, "\r\n", 2) != 0)
		return bad(err, "a delimiter must be followed by a line break");
	if (++m->n_parts > API_MAX_PARTS)
		return pare_err_set(err, PARE_E_TOO_LARGE, NULL, "multipart body: more than %d parts", API_MAX_PARTS);
	m->state = API_PART_HEAD;
	m->n_head = 0;
	return PARE_OK;
}

/* The Content-Disposition line of the head, cut out in place; NULL if there is none. */
static const char *disposition(char *head)
{
	static const char name[] = "Content-Disposition:";

	while (*head != '\0') {
		char *end = strstr(head, "\r\n");

		if (end != NULL)
			*end = '\0';
		if (strncasecmp(head, name, sizeof name - 1) == 0)
			return head + sizeof name - 1;
		if (end == NULL)
			return NULL;
		head = end + 2;
	}
	return NULL;
}

static enum pare_code begin_part(struct api_multipart *m, struct pare_err *err)
{
	char name[64], filename[256];
	const char *d;
	size_t n;
	bool is_file;

	if (memchr(m->head, '\0', m->n_head) != NULL)
		return bad(err, "a part's header holds a NUL byte");
	d = disposition(m->head);
	if (d == NULL)
		return bad(err, "a part lacks its Content-Disposition");
	d += strspn(d, " \t");
	n = strcspn(d, "; \t");
	if (!api_word_is(d, n, "form-data") || !parameter(d, "name", name, sizeof name))
		return bad(err, "Content-Disposition must be form-data with a name of at most 63 characters");
	is_file = parameter(d, "filename", filename, sizeof filename);
	if (!api_utf8_valid(name, strlen(name)))
		return bad(err, "the name of a part must be UTF-8");
	m->state = API_PART_DATA;
	m->n_matched = 0;
	m->n_head = 0;
	return m->sink.begin(m->sink.ctx, name, is_file ? filename : NULL, err);
}

static enum pare_code head_byte(struct api_multipart *m, char c, struct pare_err *err)
{
	if (m->n_head == API_PART_HEAD_MAX)
		return pare_err_set(err, PARE_E_HEADERS, NULL, "multipart body: the header of a part is longer than %d bytes", API_PART_HEAD_MAX);
	m->head[m->n_head++] = c;
	m->head[m->n_head] = '\0';
	if (m->n_head >= 4 && memcmp(m->head + m->n_head - 4, "\r\n\r\n", 4) == 0)
		return begin_part(m, err);
	if (m->n_head == 2 && memcmp(m->head, "\r\n", 2) == 0)
		return bad(err, "a part lacks its Content-Disposition");
	return PARE_OK;
}

enum pare_code api_multipart_feed(struct api_multipart *m, const void *bytes, size_t n, struct pare_err *err)
{
	const char *p = bytes;
	enum pare_code rc = PARE_OK;
	size_t used = 1;

	for (size_t i = 0; i < n && rc == PARE_OK; i += used) {
		used = 1;
		if (m->state == API_PART_EPILOGUE)
			return PARE_OK;
		if (m->state == API_PART_DELIMITED)
			rc = delimited(m, p[i], err);
		else if (m->state == API_PART_HEAD)
			rc = head_byte(m, p[i], err);
		else
			rc = scan(m, p + i, n - i, &used, err);
	}
	return rc;
}

enum pare_code api_multipart_finish(struct api_multipart *m, struct pare_err *err)
{
	if (m->state != API_PART_EPILOGUE)
		return bad(err, "it ends before its closing delimiter");
	return PARE_OK;
}
