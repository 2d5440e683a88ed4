/* Bearer keys: pare_<id>_<secret>. The file may hold them plain or as id:sha256hex of the whole key; memory holds hashes only. */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stddef.h>

#include "core/base/err.h"

#define API_KEY_ID_MAX 33

struct api_keys;
/* PARE_E_IO, or PARE_E_INVALID naming the line. An empty list is an error: it would lock everyone out. */
PARE_MUST_USE enum pare_code api_keys_load(const char *path, struct api_keys **out, struct pare_err *err);
PARE_MUST_USE enum pare_code api_keys_parse(const char *text, size_t n, struct api_keys **out, struct pare_err *err);
void api_keys_free(struct api_keys *k);
/* Checks the value of an Authorization header (NULL: none). out_id: the key's id. PARE_E_UNAUTHORIZED says what is missing, never which part was wrong. */
PARE_MUST_USE enum pare_code api_keys_check(const struct api_keys *k, const char *authorization, char out_id[API_KEY_ID_MAX], struct pare_err *err);

#endif
