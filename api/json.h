/* JSON out: appended to a buffer, commas placed by looking at what stands before. JSON in: core/recipe/json_text.h. */
#ifndef API_JSON_H
#define API_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

/* Writers. key NULL: an element of a list. Failure sticks to the buffer. */
void api_json_open(struct pare_buf *b, const char *key, char bracket); /* '{' or '[' */
void api_json_close(struct pare_buf *b, char bracket);
void api_json_str(struct pare_buf *b, const char *key, const char *value); /* NULL: null; what is not UTF-8 becomes U+FFFD */
void api_json_int(struct pare_buf *b, const char *key, int64_t value);
void api_json_bool(struct pare_buf *b, const char *key, bool value);
void api_json_time(struct pare_buf *b, const char *key, int64_t wall_ms); /* 0: null */
void api_json_raw(struct pare_buf *b, const char *key, const char *json); /* text that is JSON already; NULL or "": null */

/* A value as one line of text (pare_free). */
PARE_MUST_USE enum pare_code api_json_dump(const json_t *value, char **out, struct pare_err *err);

/* Of an object that is JSON text (NULL: none): the value of one member, or else that text; the object without one member. Neither builds a tree. */
void api_json_part(struct pare_buf *b, const char *key, const char *object, const char *name, const char *otherwise);
void api_json_without(struct pare_buf *b, const char *key, const char *object, const char *name);

#endif
