/* From the raw request target to a row of the route table. Nothing here is decoded twice, and nothing that could name something else
 * after decoding gets through. */
#ifndef API_ROUTER_H
#define API_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"
#include "api/auth.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"

struct api_exchange;

#define API_MAX_TARGET 8192
#define API_MAX_SEGMENTS 8
#define API_MAX_QUERY 32

struct api_query_item {
	const char *name, *value; /* decoded UTF-8; value "" without '=' */
};
struct api_target {
	const char *path; /* as sent, without the query */
	size_t n_segments;
	const char *segments[API_MAX_SEGMENTS]; /* decoded once, never empty */
	size_t n_query;
	struct api_query_item *query; /* in the arena: most requests have none, and thousands of streams are kept */
};

/* Splits and decodes; strings live in the arena. PARE_E_BAD_REQUEST says what is wrong with it; PARE_E_NOT_FOUND for more segments than any route has. */
PARE_MUST_USE enum pare_code api_target_parse(struct pare_arena *arena, const char *raw, struct api_target *out, struct pare_err *err);

enum api_want {
	API_WANT_NONE,   /* a body is refused */
	API_WANT_EMPTY,  /* a POST that says it all in its path: no body, or {} */
	API_WANT_JSON,
	API_WANT_UPLOAD, /* streamed to blobs, or JSON (models) */
	API_WANT_PART,   /* bytes of a resumable upload, or nothing */
};
struct api_route {
	const char *method;
	const char *path; /* template: "/v1/jobs/{id}/events" */
	enum api_want want;
	enum api_scope scope;
	enum api_wait waits;
	bool may_wait; /* for the end of a job: Prefer: wait */
	bool new_work; /* refused while draining or when the store is full */
	const char *const *query; /* the parameters that it knows, ends with NULL; NULL: none. "*status" may come more than once */
	enum pare_code (*handler)(struct api_exchange *x, struct pare_err *err);
};
extern const struct api_route api_route_table[]; /* ends with a row whose method is NULL */
size_t api_route_count(void);

const char *api_query_name(const char *row); /* of an entry of route->query */

#define API_MAX_PARAMS 2
/* The row for method and target (HEAD finds the GET row), with the values of its {parameters} in order. PARE_E_NOT_FOUND; PARE_E_METHOD when the path exists for other methods,
 * or for OPTIONS without a row of its own. Then, and for every
 * OPTIONS, allow holds the value of the Allow header. */
PARE_MUST_USE enum pare_code api_route_find(const char *method, const struct api_target *t, const struct api_route **out, const char *params[API_MAX_PARAMS], struct pare_buf *allow, struct pare_err *err);
/* Does the route know every query parameter of the target, each given once? */
PARE_MUST_USE enum pare_code api_query_check(const struct api_route *route, const struct api_target *t, struct pare_err *err);
/* The decoded value, or NULL. */
const char *api_query_get(const struct api_target *t, const char *name);

#endif
