/* multipart/form-data (RFC 7578), read as it streams in. Memory is one fixed struct, whatever the size of a part. */
#ifndef API_MULTIPART_H
#define API_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

#define API_PART_HEAD_MAX 4096
#define API_MAX_PARTS 128

struct api_part_sink {
	/* filename NULL: a form field. Both strings are valid during the call. */
	enum pare_code (*begin)(void *ctx, const char *name, const char *filename, struct pare_err *err);
	enum pare_code (*data)(void *ctx, const void *p, size_t n, struct pare_err *err);
	enum pare_code (*end)(void *ctx, struct pare_err *err);
	void *ctx;
};

enum api_part_state { API_PART_PREAMBLE, API_PART_DELIMITED, API_PART_HEAD, API_PART_DATA, API_PART_EPILOGUE };

struct api_multipart {
	struct api_part_sink sink;
	enum api_part_state state;
	char delimiter[80]; /* CR LF -- boundary */
	size_t n_delimiter, n_matched;
	char head[API_PART_HEAD_MAX + 1]; /* of the present part; in DELIMITED what follows the delimiter */
	size_t n_head;
	int n_parts;
};

/* content_type: the header's value with its boundary. PARE_E_BAD_REQUEST. */
PARE_MUST_USE enum pare_code api_multipart_init(struct api_multipart *m, const char *content_type, const struct api_part_sink *sink, struct pare_err *err);
/* What a callback returns stops the reading and comes back. */
PARE_MUST_USE enum pare_code api_multipart_feed(struct api_multipart *m, const void *p, size_t n, struct pare_err *err);
/* PARE_E_BAD_REQUEST unless the closing delimiter was seen. */
PARE_MUST_USE enum pare_code api_multipart_finish(struct api_multipart *m, struct pare_err *err);

#endif
