/* Who really asked, and under which address, when proxies stand in front: RFC 7239 Forwarded and the older X-Forwarded-For, -Proto, -Host, -Prefix. Believed only
 * from peers in the configured networks; what anybody else sends in them is as good as not sent. */
#ifndef API_FORWARD_H
#define API_FORWARD_H

#include "core/base/err.h"

struct api_exchange;

/* Fills x->client (from peer and the headers) and x->link_base. */
PARE_MUST_USE enum pare_code api_forward_read(struct api_exchange *x, const char *peer, struct pare_err *err);

#endif
