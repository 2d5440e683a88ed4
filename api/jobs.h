/* What the files about jobs share. */
#ifndef API_JOBS_H
#define API_JOBS_H

#include "api/priv.h"

/* The job that the path names. */
PARE_MUST_USE enum pare_code api_find_job(struct api_exchange *x, struct store_job *out, struct pare_err *err);
void api_write_artifact(struct api_exchange *x, const struct store_artifact *a);
PARE_MUST_USE enum pare_code api_write_artifacts(struct api_exchange *x, const char *key, const char *job, struct pare_err *err);

/* What a reply shows in place of its id. */
struct api_expand {
	bool model, dataset;
};
PARE_MUST_USE enum pare_code api_parse_expand(struct api_exchange *x, struct api_expand *out, struct pare_err *err);
PARE_MUST_USE enum pare_code api_write_job(struct api_exchange *x, const struct store_job *j, struct api_expand expand, struct pare_err *err);
/* A job that was just written, as the reply. */
PARE_MUST_USE enum pare_code api_reply_job(struct api_exchange *x, struct store_job *j, int status, struct pare_err *err);
/* If-Match, when it was sent, against the job's revision. */
PARE_MUST_USE enum pare_code api_job_if_match(struct api_exchange *x, const struct store_job *j, struct pare_err *err);
/* A job has come into the queue: wakes a worker. */
void api_job_queued(struct api *api);
struct store_hook;
/* The webhook that a job's request asks for (its member webhook; a NULL: *out = NULL), checked, not yet made: in the arena. PARE_E_INVALID with findings; PARE_E_FORBIDDEN: this
 * caller may not make webhooks. (hooks.c) */
PARE_MUST_USE enum pare_code api_hook_of_job(struct api_exchange *x, const struct pare_args *a, struct store_hook **out, struct pare_err *err);
void api_write_born_hook(struct api_exchange *x, const struct store_hook *h);
/* The labels of a job or record, as the store keeps them; in the arena. */
PARE_MUST_USE enum pare_code api_labels_text(struct api_exchange *x, const struct pare_args *a, const char **out, struct pare_err *err);

#endif
