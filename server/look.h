/* What the api asks of the engine outside of jobs: look at an uploaded file, make a model from an architecture. At most
 * a few at a time, each with a time limit; a caller that finds no place within that time is told to come back (PARE_E_BUSY). */
#ifndef SERVER_LOOK_H
#define SERVER_LOOK_H

#include "api/api.h"
#include "core/base/err.h"
#include "storage/blob.h"
#include "storage/store.h"

struct srv_look;
struct srv_look_options {
	struct blob_store *blobs;
	const char *core;
	int concurrency;
	int64_t limit_ms, memory_bytes;
};
PARE_MUST_USE enum pare_code srv_look_new(const struct srv_look_options *opt, struct srv_look **out, struct pare_err *err);
int64_t srv_look_limit_ms(const struct srv_look *l); /* one look, at most; it may wait as long for its turn */
void srv_look_stop(struct srv_look *l); /* ends what runs and refuses what comes: PARE_E_DRAINING */
void srv_look_free(struct srv_look *l);

/* As struct api_engine has them (api/api.h). Any thread. */
PARE_MUST_USE enum pare_code srv_look_inspect(struct srv_look *l, enum store_asset_kind kind, const struct store_file *files, int n_files, const char *options, char **out_info, struct pare_err *err);
PARE_MUST_USE enum pare_code srv_look_sample(struct srv_look *l, const struct store_file *files, int n_files, const char *options, int n_rows, char **out_rows, struct pare_err *err);
PARE_MUST_USE enum pare_code srv_look_capabilities(struct srv_look *l, char **out_info, struct pare_err *err);
PARE_MUST_USE enum pare_code srv_look_analyze(struct srv_look *l, const char *job, const struct api_engine_input *inputs, int n_inputs, char **out_info, struct pare_err *err);
PARE_MUST_USE enum pare_code srv_look_build(struct srv_look *l, const char *architecture, struct blob_ref *out, char **out_info, struct pare_err *err);

#endif
