/* One growing buffer; lines are cut out in place (the newline becomes NUL) and the rest moves to the front on the next
 * add. Every byte is looked at once: a line that arrives in a million pieces costs no more than one that arrives whole. */
#include "server/lines.h"

#include <string.h>

void srv_lines_init(struct srv_lines *l, size_t max_bytes)
{
	memset(l, 0, sizeof *l);
	l->max_bytes = max_bytes;
	pare_buf_init(&l->buf, 2 * max_bytes + 65536); /* an unfinished line and one read after it */
}

void srv_lines_done(struct srv_lines *l)
{
	pare_buf_done(&l->buf);
	l->start = 0;
	l->scanned = 0;
}

static void drop_given_out(struct srv_lines *l)
{
	if (l->start == 0)
		return;
	memmove(l->buf.data, l->buf.data + l->start, l->buf.len - l->start);
	l->buf.len -= l->start;
	l->scanned -= l->start;
	l->start = 0;
}

enum pare_code srv_lines_add(struct srv_lines *l, const char *p, size_t n, struct pare_err *err)
{
	drop_given_out(l);
	if (memchr(p, '\n', n) == NULL && l->buf.len + n > l->max_bytes)
		return pare_err_set(err, PARE_E_LIMIT, NULL, "a line is longer than %zu bytes", l->max_bytes);
	if (!pare_buf_add(&l->buf, p, n))
		return pare_buf_status(&l->buf, err);
	return PARE_OK;
}

char *srv_lines_next(struct srv_lines *l, size_t *out_len)
{
	char *line, *end;

	if (l->buf.len == l->scanned)
		return NULL;
	end = memchr(l->buf.data + l->scanned, '\n', l->buf.len - l->scanned);
	if (end == NULL) {
		l->scanned = l->buf.len;
		return NULL;
	}
	*end = '\0';
	line = l->buf.data + l->start;
	*out_len = (size_t)(end - line);
	l->start = (size_t)(end - l->buf.data) + 1;
	l->scanned = l->start;
	return line;
}

char *srv_lines_rest(struct srv_lines *l)
{
	if (l->buf.len == l->start)
		return NULL;
	l->buf.data[l->buf.len] = '\0';
	return l->buf.data + l->start;
}
