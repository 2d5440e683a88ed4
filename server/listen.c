/* The socket is made here and not by libmicrohttpd, for an error that names the address, for the real port of port 0, and
 * because systemd may have made it already. systemd's two protocols (a datagram to NOTIFY_SOCKET, descriptors from 3 up
 * counted in LISTEN_FDS) are a few lines each; libsystemd is not worth its size for them. */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/num.h"

#define BACKLOG 1024
#define FIRST_PASSED_FD 3

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un local;
	} u;
	socklen_t len;
};

static enum pare_code parse_address(const char *text, int64_t port, struct address *out, struct pare_err *err)
{
	uint16_t net_port = htons((uint16_t)port);

	memset(out, 0, sizeof *out);
	if (strncmp(text, "unix:", 5) == 0) {
		out->u.local.sun_family = AF_UNIX;
		if (strlen(text + 5) >= sizeof out->u.local.sun_path || text[5] == '\0')
			return pare_err_set(err, PARE_E_INVALID, "listen", "the path of the socket must have 1 to %zu bytes", sizeof out->u.local.sun_path - 1);
		memcpy(out->u.local.sun_path, text + 5, strlen(text + 5));
		out->len = (socklen_t)sizeof out->u.local;
		return PARE_OK;
	}
	if (strcmp(text, "localhost") == 0)
		text = "127.0.0.1";
	if (inet_pton(AF_INET, text, &out->u.v4.sin_addr) == 1) {
		out->u.v4.sin_family = AF_INET;
		out->u.v4.sin_port = net_port;
		out->len = (socklen_t)sizeof out->u.v4;
		return PARE_OK;
	}
	if (inet_pton(AF_INET6, text, &out->u.v6.sin6_addr) == 1) {
		out->u.v6.sin6_family = AF_INET6;
		out->u.v6.sin6_port = net_port;
		out->len = (socklen_t)sizeof out->u.v6;
		return PARE_OK;
	}
	return pare_err_set(err, PARE_E_INVALID, "listen", "\"%.100s\" is no IPv4 or IPv6 address: names are not looked up, and the port is a setting of its own, \"port\"", text);
}

static void describe(int fd, char *out, size_t cap)
{
	struct address a;
	char host[INET6_ADDRSTRLEN] = "";

	memset(&a, 0, sizeof a);
	a.len = (socklen_t)sizeof a.u;
	if (getsockname(fd, &a.u.any, &a.len) != 0 || a.u.any.sa_family == AF_UNIX) {
		snprintf(out, cap, "unix:%s", a.u.local.sun_path);
	} else if (a.u.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a.u.v6.sin6_addr, host, sizeof host);
		snprintf(out, cap, "http://[%s]:%u", host, (unsigned)ntohs(a.u.v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &a.u.v4.sin_addr, host, sizeof host);
		snprintf(out, cap, "http://%s:%u", host, (unsigned)ntohs(a.u.v4.sin_port));
	}
}

static int passed_fd(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	int64_t n_pid, n_fds;

	if (pid == NULL || fds == NULL || !pare_parse_i64(pid, strlen(pid), 0, INT64_MAX, &n_pid) || !pare_parse_i64(fds, strlen(fds), 0, 100, &n_fds))
		return -1;
	if (n_pid != (int64_t)getpid() || n_fds < 1)
		return -1;
	if (fcntl(FIRST_PASSED_FD, F_SETFD, FD_CLOEXEC) != 0 || fcntl(FIRST_PASSED_FD, F_SETFL, O_NONBLOCK) != 0)
		return -1;
	return FIRST_PASSED_FD;
}

/* Left by a daemon that was killed; one that still listens there, or a file that is no socket, is not ours to remove: bind complains then. */
static void remove_old_socket(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat st;
	int fd;

	if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)(const void *)&a, (socklen_t)sizeof a) != 0 && errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

enum pare_code srv_listen_check(const char *address, struct pare_err *err)
{
	struct address a;

	return passed_fd() >= 0 ? PARE_OK : parse_address(address, 0, &a, err);
}

enum pare_code srv_listen(const char *address, int64_t port, int *out_fd, char *out_url, size_t url_cap, struct pare_err *err)
{
	struct address a;
	int fd = passed_fd(), on = 1;
	enum pare_code code;

	if (fd >= 0) {
		describe(fd, out_url, url_cap);
		*out_fd = fd;
		return PARE_OK;
	}
	code = parse_address(address, port, &a, err);
	if (code != PARE_OK)
		return code;
	fd = socket(a.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return pare_err_errno(err, errno, "a socket to listen on");
	if (a.u.any.sa_family == AF_UNIX)
		remove_old_socket(a.u.local.sun_path);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, &a.u.any, a.len) != 0 || listen(fd, BACKLOG) != 0) {
		code = pare_err_errno(err, errno, "listening");
		(void)pare_err_at(err, "%.100s port %lld", address, (long long)port);
		close(fd);
		return code;
	}
	describe(fd, out_url, url_cap);
	*out_fd = fd;
	return PARE_OK;
}

static const char *reachable(const char *address)
{
	if (strcmp(address, "0.0.0.0") == 0)
		return "127.0.0.1";
	return strcmp(address, "::") == 0 ? "::1" : address;
}

enum pare_code srv_ask_health(const char *address, int64_t port, const char *path, struct pare_err *err)
{
	static const char want[] = "HTTP/1.1 200";
	struct timeval limit = {.tv_sec = 5};
	char text[256];
	struct address a;
	size_t have = 0;
	int fd, n;
	enum pare_code code = parse_address(reachable(address), port, &a, err);

	if (code != PARE_OK)
		return code;
	fd = socket(a.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return pare_err_errno(err, errno, "a socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
	if (connect(fd, &a.u.any, a.len) != 0 || send(fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
		code = pare_err_errno(err, errno, "asking the daemon");
		goto out;
	}
	while (have < sizeof want - 1) {
		ssize_t r = recv(fd, text + have, sizeof text - have, 0);

		if (r <= 0)
			break;
		have += (size_t)r;
	}
	if (have < sizeof want - 1 || memcmp(text, want, sizeof want - 1) != 0)
		code = pare_err_set(err, PARE_E_BUSY, path, "the daemon is not ready: \"%.*s\"", (int)(have < 12 ? have : 12), text);
out:
	close(fd);
	return code;
}

void srv_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = path != NULL ? strlen(path) : 0;
	int fd;

	if (n == 0 || n >= sizeof a.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(a.sun_path, path, n);
	if (path[0] == '@') /* an abstract name begins with a NUL byte */
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)(const void *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}
