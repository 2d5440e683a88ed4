/* A growable byte buffer with a mandatory cap. Always NUL-terminated past its length, so text can be read as a C
 * string. Errors stick: after one failed append every later one fails too, and the caller checks once at the end. */
#ifndef PARE_BASE_BUF_H
#define PARE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct pare_buf {
	char *data; /* NULL while empty */
	size_t len;
	size_t size;      /* allocated */
	size_t cap_bytes; /* never grows past this */
	bool failed;
	bool full; /* it failed because of the cap, not of memory */
};

void pare_buf_init(struct pare_buf *b, size_t cap_bytes);
void pare_buf_done(struct pare_buf *b);
void pare_buf_reset(struct pare_buf *b); /* length 0, memory kept, failure forgotten */
bool pare_buf_add(struct pare_buf *b, const void *p, size_t n);
bool pare_buf_str(struct pare_buf *b, const char *s);
bool pare_buf_printf(struct pare_buf *b, const char *fmt, ...) PARE_PRINTF(2, 3);
bool pare_buf_int(struct pare_buf *b, int64_t v); /* in decimal */
/* PARE_OK, or PARE_E_NOMEM / PARE_E_LIMIT for what stuck. */
PARE_MUST_USE enum pare_code pare_buf_status(const struct pare_buf *b, struct pare_err *err);
/* Hands the bytes (NUL-terminated, pare_free) to the caller and leaves the buffer empty. NULL if it failed. */
char *pare_buf_take(struct pare_buf *b, size_t *out_len);

#endif
