/* Who really asked, and under which address, when proxies stand in front: RFC 7239 Forwarded and the older X-Forwarded-For, -Proto, -Host, -Prefix. Believed only
 * from peers in the configured networks; what anybody else sends in them is as good as not sent. */
#ifndef API_FORWARD_H
#define API_FORWARD_H

#include <stdbool.h>

#include "core/base/err.h"

struct api_exchange;
struct api_networks;

/* "127.0.0.0/8, ::1, 10.0.0.0/8, unix": networks and addresses; unix is every peer on a Unix socket. "" is no network. */
PARE_MUST_USE enum pare_code api_networks_parse(const char *text, struct api_networks **out, struct pare_err *err);
void api_networks_free(struct api_networks *n);
/* address: text of an IPv4 or IPv6 address, or "local". */
bool api_networks_has(const struct api_networks *n, const char *address);

/* Fills x->client (from peer and the headers) and x->link_base. */
PARE_MUST_USE enum pare_code api_forward_read(struct api_exchange *x, const char *peer, struct pare_err *err);

#endif
