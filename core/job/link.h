/* The worker's end of the socket: lines out, one start line in, descriptors in. */
#ifndef PARE_JOB_LINK_H
#define PARE_JOB_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/recipe/protocol.h"

struct pare_link {
	int fd;
	bool broken; /* the other end is gone: nothing more is sent */
	struct pare_buf in, out;
	size_t line_len; /* of the line last handed out, with its newline */
	int received_fd; /* -1, or a descriptor that came with the bytes read */
};

void pare_link_init(struct pare_link *l, int fd);
void pare_link_done(struct pare_link *l);
/* The next line without its newline, NUL-terminated, valid until the next call. PARE_E_IO at the end of the stream. */
PARE_MUST_USE enum pare_code pare_link_read(struct pare_link *l, const char **line, size_t *len, struct pare_err *err);
/* Sends l->out, which a pare_msg_write_* call has just filled (code is what it returned). */
PARE_MUST_USE enum pare_code pare_link_send(struct pare_link *l, enum pare_code code, struct pare_err *err);
PARE_MUST_USE enum pare_code pare_link_event(struct pare_link *l, const char *event, const char *data, struct pare_err *err);
/* Asks for an output: an empty file, read and write. One that the result does not name is dropped by the other end. */
PARE_MUST_USE enum pare_code pare_link_open(struct pare_link *l, const char *name, const char *media_type, int *out_fd, struct pare_err *err);
/* Writes all of it into an output. */
PARE_MUST_USE enum pare_code pare_link_write(int fd, const void *bytes, size_t n, struct pare_err *err);
/* Asks for an output, writes all of data into it and closes it. */
PARE_MUST_USE enum pare_code pare_link_output(struct pare_link *l, const char *name, const char *media_type, const void *data, size_t n_bytes, struct pare_err *err);

#endif
