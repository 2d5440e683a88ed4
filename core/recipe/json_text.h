/* JSON as text: written into a buffer (the canonical job, the schemas, the protocol, the report; UTF-8 on one line, numbers the
 * shortest decimal that reads back as the same double), and read into jansson's tree, for which this is the only door. */
#ifndef PARE_RECIPE_JSON_TEXT_H
#define PARE_RECIPE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/buf.h"

/* "s" in quotes, escaped; NULL writes null. Bytes that are not UTF-8 become U+FFFD, so the text is always valid JSON. */
void pare_json_str(struct pare_buf *b, const char *s);
/* NaN and infinities write null: JSON has no others. */
void pare_json_num(struct pare_buf *b, double v);
/* The shortest decimal that is this float again: 5.1 and not 5.099999904632568. */
void pare_json_float(struct pare_buf *b, float v);
void pare_json_int(struct pare_buf *b, int64_t v);

/* "key": with a comma before it unless the buffer ends in an opening bracket. */
void pare_json_key(struct pare_buf *b, const char *key);
/* The comma alone, before a list element. */
void pare_json_sep(struct pare_buf *b);

/* "key":value in one call. */
void pare_json_key_str(struct pare_buf *b, const char *key, const char *s);
void pare_json_key_num(struct pare_buf *b, const char *key, double v);
void pare_json_key_int(struct pare_buf *b, const char *key, int64_t v);
void pare_json_key_raw(struct pare_buf *b, const char *key, const char *json); /* as it stands: a value, or the bracket that opens one */
void pare_json_key_bool(struct pare_buf *b, const char *key, int v);

/* A text as a tree (json_decref): any value, at most max_len bytes, 32 levels, no NUL byte, no key twice in an object. PARE_E_SYNTAX
 * (where: "line L column C"; *e, which may be NULL, is jansson's finding or zero) or PARE_E_NOMEM: a parse that ran out of
 * memory anywhere gives no tree. Thread safe. */
PARE_MUST_USE enum pare_code pare_json_load(const char *text, size_t len, size_t max_len, json_t **out, json_error_t *e, struct pare_err *err);

/* Makes jansson allocate through pare_alloc and seeds its hash tables (which opens /dev/urandom: before the sandbox).
 * pare_json_load calls it; the first call does the work. */
void pare_json_init(void);
/* Did jansson fail to allocate on this thread since the last call? For those who change or copy trees. */
bool pare_json_nomem(void);

#endif
