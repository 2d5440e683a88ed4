/* The header fields of resumable uploads, in both dialects: tus 1.0.0 (tus.io/protocols/resumable-upload) and draft-ietf-httpbis-resumable-upload, interop
 * version 8. Pure functions of a request's head. */
#ifndef API_RESUMABLE_HEAD_H
#define API_RESUMABLE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "core/base/err.h"

#define API_TUS_VERSION "1.0.0"
#define API_TUS_EXTENSIONS "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum"
#define API_TUS_CHECKSUMS "sha1,sha256"
#define API_UPLOAD_METADATA_MAX 4096
#define API_UPLOAD_FILENAME_MAX 256

enum api_dialect {
	API_PLAIN, /* neither: a body that is the whole upload */
	API_TUS,   /* Tus-Resumable is there */
	API_IETF,  /* Upload-Complete is there */
};
struct api_resumable_head {
	enum api_dialect dialect;
	int64_t length;      /* Upload-Length; -1: not sent */
	int64_t offset;      /* Upload-Offset; -1: not sent */
	bool length_later;   /* Upload-Defer-Length: 1 */
	bool complete;       /* Upload-Complete: ?1 */
	const char *metadata; /* borrowed; NULL: not sent */
	char filename[API_UPLOAD_FILENAME_MAX]; /* of the metadata, "" without */
	const char *checksum; /* "sha1" or "sha256"; NULL: not sent */
	uint8_t digest[32];
	size_t n_digest;
};
/* PARE_E_BAD_REQUEST names the field; PARE_E_PRECONDITION: another version of tus. */
PARE_MUST_USE enum pare_code api_resumable_head_read(const struct api_header *headers, size_t n_headers, struct api_resumable_head *out, struct pare_err *err);

/* Seconds since 1970 as RFC 9110 writes dates: "Sun, 06 Nov 1994 08:49:37 GMT" (29 characters and NUL). */
#define API_HTTP_DATE 30
void api_http_date(int64_t wall_ms, char out[API_HTTP_DATE]);

#endif
