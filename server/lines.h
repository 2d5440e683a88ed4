/* Bytes in, lines out: what the engine's socket and its standard error are read with. A line longer than the cap is an
 * error that sticks, so a broken engine cannot make the daemon grow. */
#ifndef SERVER_LINES_H
#define SERVER_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "core/base/err.h"

struct srv_lines {
	struct pare_buf buf;
	size_t start;   /* of the first line not yet given out */
	size_t scanned; /* no newline before this */
	size_t max_bytes;
};

void srv_lines_init(struct srv_lines *l, size_t max_bytes);
void srv_lines_done(struct srv_lines *l);
/* PARE_E_LIMIT when an unfinished line is longer than the cap, PARE_E_NOMEM. */
PARE_MUST_USE enum pare_code srv_lines_add(struct srv_lines *l, const char *p, size_t n, struct pare_err *err);
/* The next whole line without its newline, NUL-terminated; valid until the next add. NULL: none yet. */
char *srv_lines_next(struct srv_lines *l, size_t *out_len);
/* What is left without a newline at the end of the stream (NUL-terminated), NULL if nothing. */
char *srv_lines_rest(struct srv_lines *l);

#endif
