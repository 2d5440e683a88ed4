/* Sockets: the one to listen on, and the one of a health check. */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* A listening socket for an address ("127.0.0.1", "::1", "localhost", "unix:/path") and port; or the one that systemd passed
 * (LISTEN_FDS), whatever the address. out_url: "http://127.0.0.1:8080" with the real port, or "unix:/path". */
PARE_MUST_USE enum pare_code srv_listen(const char *address, int64_t port, int *out_fd, char *out_url, size_t url_cap, struct pare_err *err);
/* Can there be a socket for it? Nothing is made. */
PARE_MUST_USE enum pare_code srv_listen_check(const char *address, struct pare_err *err);
/* GET path; PARE_OK when the status is 200. An address that means "every interface" is asked on loopback. */
PARE_MUST_USE enum pare_code srv_ask_health(const char *address, int64_t port, const char *path, struct pare_err *err);
/* Tells systemd ("READY=1"); does nothing when nobody asked to be told. */
void srv_notify(const char *state);

#endif
