/* Idempotency-Key: what a handler that makes something gives to the store's put verb, and tells of it afterwards. */
#ifndef API_ONCE_H
#define API_ONCE_H

#include "api/api.h"
#include "storage/store.h"

/* The key of the request (NULL: none) and its fingerprint, over method, path, body, the files of an upload that has arrived, and more (NULL: nothing more). PARE_E_BAD_REQUEST: no key can be that. */
PARE_MUST_USE enum pare_code api_once(struct api_exchange *x, const char *more, struct store_idempotency *out, struct pare_err *err);
/* The header that tells of an answer that it is of what was made before. */
void api_once_told(struct api_exchange *x, const struct store_idempotency *once);

#endif
