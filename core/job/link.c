/* Reads are recvmsg with room for one descriptor; the kernel never merges bytes that carry different descriptors, so the one
 * that arrives belongs to the line being read. Everything is blocking: a worker that cannot tell anybody of its progress
 * has no reason to go on, and the daemon reads all the time.
 *
 * A peer that is gone (EPIPE) sticks in `broken`; the work ends at its next cancellation point. */
#include "core/job/link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

void pare_link_init(struct pare_link *l, int fd)
{
	memset(l, 0, sizeof *l);
	l->fd = fd;
	l->received_fd = -1;
	pare_buf_init(&l->in, PARE_LINE_MAX + 65536);
	pare_buf_init(&l->out, PARE_LINE_MAX + 65536);
}

void pare_link_done(struct pare_link *l)
{
	if (l->received_fd >= 0)
		(void)close(l->received_fd);
	pare_buf_done(&l->in);
	pare_buf_done(&l->out);
}

static void take_fd(struct pare_link *l, struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return;
	if (l->received_fd >= 0)
		(void)close(l->received_fd);
	memcpy(&l->received_fd, CMSG_DATA(c), sizeof(int));
}

static enum pare_code read_some(struct pare_link *l, struct pare_err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char bytes[16384];
	struct iovec iov = {bytes, sizeof bytes};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	ssize_t n;

	do
		n = recvmsg(l->fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return pare_err_errno(err, errno, "reading from the daemon");
	take_fd(l, &m);
	if (n == 0)
		return pare_err_set(err, PARE_E_IO, NULL, "the daemon closed the connection");
	pare_buf_add(&l->in, bytes, (size_t)n);
	return pare_buf_status(&l->in, err);
}

enum pare_code pare_link_read(struct pare_link *l, const char **line, size_t *len, struct pare_err *err)
{
	size_t searched = 0;

	if (l->line_len > 0) {
		memmove(l->in.data, l->in.data + l->line_len, l->in.len - l->line_len);
		l->in.len -= l->line_len;
		l->line_len = 0;
	}
	for (;;) {
		char *end = l->in.len > searched ? memchr(l->in.data + searched, '\n', l->in.len - searched) : NULL;
		enum pare_code code;

		if (end != NULL) {
			*end = '\0';
			*line = l->in.data;
			*len = (size_t)(end - l->in.data);
			l->line_len = *len + 1;
			return PARE_OK;
		}
		searched = l->in.len;
		code = read_some(l, err);
		if (code != PARE_OK)
			return code;
	}
}

enum pare_code pare_link_send(struct pare_link *l, enum pare_code code, struct pare_err *err)
{
	size_t sent = 0;

	while (code == PARE_OK && sent < l->out.len && !l->broken) {
		ssize_t n = send(l->fd, l->out.data + sent, l->out.len - sent, MSG_NOSIGNAL);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno != EINTR)
			l->broken = true;
	}
	pare_buf_reset(&l->out);
	if (code == PARE_OK && l->broken)
		code = pare_err_set(err, PARE_E_IO, NULL, "the daemon closed the connection");
	return code;
}

enum pare_code pare_link_event(struct pare_link *l, const char *event, const char *data, struct pare_err *err)
{
	return pare_link_send(l, pare_msg_write_event(&l->out, event, data, err), err);
}

static enum pare_code await_fd(struct pare_link *l, const char *name, int *out_fd, struct pare_err *err)
{
	struct pare_msg m;
	const char *line;
	size_t len;
	enum pare_code code = pare_link_read(l, &line, &len, err);

	if (code != PARE_OK)
		return code;
	code = pare_msg_read(line, len, &m, err);
	if (code != PARE_OK)
		return code;
	if (m.type == PARE_MSG_ERROR) {
		code = pare_err_set(err, m.error.code, m.error.where, "%s", m.error.message);
	} else if (m.type != PARE_MSG_FD || strcmp(m.name, name) != 0 || l->received_fd < 0) {
		code = pare_err_set(err, PARE_E_INTERNAL, name, "the answer to an open is not a descriptor");
	} else {
		*out_fd = l->received_fd;
		l->received_fd = -1;
	}
	pare_msg_done(&m);
	return code;
}

enum pare_code pare_link_write(int fd, const void *bytes, size_t n, struct pare_err *err)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return pare_err_errno(err, errno, "writing an output");
		p += k;
		n -= (size_t)k;
	}
	return PARE_OK;
}

enum pare_code pare_link_open(struct pare_link *l, const char *name, const char *media_type, int *out_fd, struct pare_err *err)
{
	enum pare_code code = pare_link_send(l, pare_msg_write_open(&l->out, name, media_type, err), err);

	return code == PARE_OK ? await_fd(l, name, out_fd, err) : code;
}

enum pare_code pare_link_output(struct pare_link *l, const char *name, const char *media_type, const void *data, size_t n_bytes, struct pare_err *err)
{
	int fd = -1;
	enum pare_code code = pare_link_open(l, name, media_type, &fd, err);

	if (code == PARE_OK)
		code = pare_link_write(fd, data, n_bytes, err);
	if (fd >= 0 && close(fd) != 0 && code == PARE_OK)
		code = pare_err_errno(err, errno, "closing an output");
	return code;
}
