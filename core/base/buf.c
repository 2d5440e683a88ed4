/* Doubling growth up to the cap. A failed append leaves the contents as they were. */
#include "core/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"

void pare_buf_init(struct pare_buf *b, size_t cap_bytes)
{
	memset(b, 0, sizeof *b);
	b->cap_bytes = cap_bytes;
}

void pare_buf_done(struct pare_buf *b)
{
	pare_free(b->data);
	pare_buf_init(b, b->cap_bytes);
}

void pare_buf_reset(struct pare_buf *b)
{
	b->len = 0;
	b->failed = false;
	b->full = false;
	if (b->data != NULL)
		b->data[0] = '\0';
}

static bool reserve(struct pare_buf *b, size_t extra)
{
	size_t need, size;
	char *p;

	if (b->failed)
		return false;
	if (!pare_add_size(b->len, extra, &need) || need > b->cap_bytes || !pare_add_size(need, 1, &need)) {
		b->full = true;
		goto fail;
	}
	if (need <= b->size)
		return true;
	size = b->size < 128 ? 256 : b->size * 2;
	if (size < need)
		size = need;
	p = pare_realloc(b->data, size);
	if (p == NULL)
		goto fail;
	b->data = p;
	b->size = size;
	return true;
fail:
	b->failed = true;
	return false;
}

bool pare_buf_add(struct pare_buf *b, const void *p, size_t n)
{
	if (!reserve(b, n))
		return false;
	if (n != 0)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = '\0';
	return true;
}

bool pare_buf_str(struct pare_buf *b, const char *s)
{
	return pare_buf_add(b, s, strlen(s));
}

bool pare_buf_printf(struct pare_buf *b, const char *fmt, ...)
{
	size_t room = b->failed || b->data == NULL ? 0 : b->size - b->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(room > 0 ? b->data + b->len : NULL, room, fmt, ap); /* nearly always there is room */
	va_end(ap);
	if (n < 0 || !reserve(b, (size_t)n)) {
		if (room > 0 && b->data != NULL)
			b->data[b->len] = '\0';
		return false;
	}
	if ((size_t)n < room) {
		b->len += (size_t)n;
		return true;
	}
	va_start(ap, fmt);
	(void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return true;
}

bool pare_buf_int(struct pare_buf *b, int64_t v)
{
	char digits[24];
	uint64_t left = v < 0 ? -(uint64_t)v : (uint64_t)v;
	size_t at = sizeof digits;

	do
		digits[--at] = (char)('0' + left % 10);
	while ((left /= 10) != 0);
	if (v < 0)
		digits[--at] = '-';
	return pare_buf_add(b, digits + at, sizeof digits - at);
}

enum pare_code pare_buf_status(const struct pare_buf *b, struct pare_err *err)
{
	if (!b->failed)
		return PARE_OK;
	if (b->full)
		return pare_err_set(err, PARE_E_LIMIT, NULL, "the text would exceed its limit of %zu bytes", b->cap_bytes);
	return pare_err_nomem(err, 0);
}

char *pare_buf_take(struct pare_buf *b, size_t *out_len)
{
	char *p = NULL;

	if (!b->failed && reserve(b, 0)) {
		p = b->data;
		p[b->len] = '\0';
		if (out_len != NULL)
			*out_len = b->len;
		b->data = NULL;
	}
	pare_buf_done(b);
	return p;
}
