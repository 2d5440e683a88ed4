/* The first look at a request head: is its framing beyond doubt? Whatever two parsers could read in two ways is refused here, before routing. */
#ifndef API_GUARD_H
#define API_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"

#define API_MAX_HEADERS 100
#define API_MAX_HEADER_BYTES 32768

struct api_framing {
	bool has_length; /* Content-Length was sent */
	bool chunked;    /* Transfer-Encoding: chunked was sent */
	int64_t length;  /* 0 unless has_length */
};

/* PARE_E_BAD_REQUEST or PARE_E_HEADERS; after either the connection must be closed, since nobody knows where the next request starts. */
PARE_MUST_USE enum pare_code api_guard_check(const struct api_head *head, struct api_framing *out, struct pare_err *err);

#endif
