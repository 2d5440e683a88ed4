/* Values that hold a space, a quote, '=' or a control character are quoted, with \" \\ \n and \xNN inside, so that no
 * client can forge a second key or a second line through a file name or a header. */
#include "server/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/id.h"
#include "server/env.h"

static _Atomic int threshold = SRV_LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warning", "error"};

void srv_log_set_level(enum srv_log_level level)
{
	atomic_store(&threshold, (int)level);
}

bool srv_log_enabled(enum srv_log_level level)
{
	return (int)level >= atomic_load(&threshold);
}

static void put(struct srv_log_line *l, const char *s, size_t n)
{
	if (n > sizeof l->text - 1 - l->len) /* the last byte is the newline's */
		n = sizeof l->text - 1 - l->len;
	memcpy(l->text + l->len, s, n);
	l->len += n;
}

static bool is_plain(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7f)
			return false;
	return true;
}

static void put_quoted(struct srv_log_line *l, const char *s)
{
	char hex[8];

	put(l, "\"", 1);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\') {
			put(l, "\\", 1);
			put(l, s, 1);
		} else if (c == '\n') {
			put(l, "\\n", 2);
		} else if (c < ' ' || c == 0x7f) {
			snprintf(hex, sizeof hex, "\\x%02x", c);
			put(l, hex, 4);
		} else {
			put(l, s, 1);
		}
	}
	put(l, "\"", 1);
}

void srv_log_str(struct srv_log_line *l, const char *key, const char *value)
{
	if (!l->on || value == NULL || value[0] == '\0')
		return;
	if (l->len > 0)
		put(l, " ", 1);
	put(l, key, strlen(key));
	put(l, "=", 1);
	if (is_plain(value))
		put(l, value, strlen(value));
	else
		put_quoted(l, value);
}

void srv_log_int(struct srv_log_line *l, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRId64, value);
	srv_log_str(l, key, text);
}

void srv_log_err(struct srv_log_line *l, const struct pare_err *err)
{
	if (err == NULL || err->code == PARE_OK)
		return;
	srv_log_str(l, "code", pare_code_string(err->code));
	srv_log_str(l, "error", err->message);
	srv_log_str(l, "where", err->where);
}

void srv_log_begin(struct srv_log_line *l, enum srv_log_level level, const char *event)
{
	char at[PARE_TIME_MAX];

	l->on = srv_log_enabled(level);
	l->len = 0;
	if (!l->on)
		return;
	pare_time_format(srv_env.wall_ms(srv_env.ctx), at);
	srv_log_str(l, "time", at);
	srv_log_str(l, "level", level_names[level]);
	srv_log_str(l, "event", event);
}

void srv_log_end(struct srv_log_line *l)
{
	ssize_t r;

	if (!l->on)
		return;
	l->text[l->len++] = '\n';
	r = write(STDERR_FILENO, l->text, l->len);
	(void)r; /* nobody is left to tell */
	l->on = false;
}

void srv_log_event(enum srv_log_level level, const char *event, const char *key, const char *value, const struct pare_err *err)
{
	struct srv_log_line l;

	srv_log_begin(&l, level, event);
	srv_log_str(&l, key, value);
	srv_log_err(&l, err);
	srv_log_end(&l);
}
