/* Resumable uploads as the rest of the api sees them. */
#ifndef API_RESUMABLE_H
#define API_RESUMABLE_H

#include "api/priv.h"

/* The bytes of an upload, for a model or data set that wants to name them: they are whole (or become so now: PARE_E_CONFLICT if they cannot) and held
 * (blob_release). PARE_E_NOT_FOUND: no such upload of this caller's. name: pare_arena of the exchange. */
PARE_MUST_USE enum pare_code api_resumable_use(struct api_exchange *x, const char *id, struct blob_ref *out, struct pare_err *err);

#endif
