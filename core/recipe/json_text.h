/* JSON as text into a buffer: what the canonical job, the schemas, the protocol and the report are written with. Output is
 * ASCII-safe UTF-8 on one line; numbers are the shortest decimal that reads back as the same double. */
#ifndef PARE_RECIPE_JSON_TEXT_H
#define PARE_RECIPE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

/* "s" in quotes, escaped; NULL writes null. Bytes that are not UTF-8 become U+FFFD, so the text is always valid JSON. */
void pare_json_str(struct pare_buf *b, const char *s);
/* NaN and infinities write null: JSON has no others. */
void pare_json_num(struct pare_buf *b, double v);
void pare_json_int(struct pare_buf *b, int64_t v);

/* "key": with a comma before it unless the buffer ends in an opening bracket. */
void pare_json_key(struct pare_buf *b, const char *key);
/* The comma alone, before a list element. */
void pare_json_sep(struct pare_buf *b);

/* "key":value in one call. */
void pare_json_key_str(struct pare_buf *b, const char *key, const char *s);
void pare_json_key_num(struct pare_buf *b, const char *key, double v);
void pare_json_key_int(struct pare_buf *b, const char *key, int64_t v);
void pare_json_key_bool(struct pare_buf *b, const char *key, int v);

/* Makes jansson allocate through pare_alloc and seeds its hash tables (which opens /dev/urandom: before the sandbox).
 * Every reader of JSON calls it first; the first call does the work. */
void pare_json_init(void);
/* Did jansson fail to allocate on this thread since the last call? Its own errors do not tell: a failed allocation inside a string reads as "invalid token". */
bool pare_json_nomem(void);

#endif
