/* What the files about jobs share. */
#ifndef API_JOBS_H
#define API_JOBS_H

#include "api/priv.h"

/* The job that the path names. */
PARE_MUST_USE enum pare_code api_find_job(struct api_exchange *x, struct store_job *out, struct pare_err *err);
/* A POST that says it all in its path has no body, or {}. */
PARE_MUST_USE enum pare_code api_check_empty(const struct api_exchange *x, struct pare_err *err);
void api_write_artifact(struct api_exchange *x, const struct store_artifact *a);
PARE_MUST_USE enum pare_code api_write_artifacts(struct api_exchange *x, const char *key, const char *job, struct pare_err *err);

#endif
