/* The log: one event per line on standard error, key=value, made to be read by people and cut by machines:
 *   time=2026-11-22T01:02:03.123Z level=info event=job.finished job=job_01J… status=succeeded seconds=12.4
 * A line is built in place and written with one write, so lines of different threads never mix. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum srv_log_level { SRV_LOG_DEBUG, SRV_LOG_INFO, SRV_LOG_WARNING, SRV_LOG_ERROR };

#define SRV_LOG_LINE_MAX 2048
struct srv_log_line {
	bool on;
	size_t len;
	char text[SRV_LOG_LINE_MAX];
};

void srv_log_set_level(enum srv_log_level level);
bool srv_log_enabled(enum srv_log_level level);

/* begin, any number of values, end. What does not fit is cut. NULL and "" values are left out. */
void srv_log_begin(struct srv_log_line *l, enum srv_log_level level, const char *event);
void srv_log_str(struct srv_log_line *l, const char *key, const char *value);
void srv_log_int(struct srv_log_line *l, const char *key, int64_t value);
void srv_log_err(struct srv_log_line *l, const struct pare_err *err); /* code, error, where */
void srv_log_end(struct srv_log_line *l);

/* The common case: an event, one value, perhaps an error. */
void srv_log_event(enum srv_log_level level, const char *event, const char *key, const char *value, const struct pare_err *err);

#endif
