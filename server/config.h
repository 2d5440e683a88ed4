/* The daemon's settings: one table of rows. A row is a flag (--max-upload-bytes 4G), a variable of the environment
 * (PARED_MAX_UPLOAD_BYTES) and a line of a file (max-upload-bytes = 4G) at once; a flag beats the environment, that beats
 * the file, that beats the default. --help and the commented sample file are printed from the same rows. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

enum srv_action { SRV_RUN, SRV_HELP, SRV_VERSION, SRV_PRINT_CONFIG, SRV_HEALTHCHECK };

/* One field per row of the table in config.c; texts are owned and never NULL ("" is unset), numbers are checked against their bounds. */
struct srv_config {
	enum srv_action action;
	char *listen, *data_dir, *core, *public_url, *trusted_proxies, *api_key_file, *log_level, *webhook_allow, *webhook_deny, *webhook_ca_file, *webhook_retry_seconds;
	int64_t port, workers, job_threads, http_threads, max_connections;
	int64_t max_upload_bytes, max_uploads, upload_seconds, max_json_bytes, min_free_bytes, max_memory_bytes;
	int64_t keep_jobs_seconds, keep_artifacts_seconds;
	int64_t owner_max_bytes, owner_max_open_jobs, owner_max_requests, owner_window_seconds, key_max_requests;
	int64_t checkpoint_seconds, max_queued_jobs, max_runtime_seconds, max_full_seconds, max_crashes, inspect_seconds;
	int64_t header_timeout_seconds, idle_timeout_seconds, min_body_rate, shutdown_seconds, webhook_keep_days;
};

/* Reads everything in order of precedence. environment is NULL-terminated ("NAME=value"). PARE_E_INVALID says which setting, where it stands
 * (flag, variable, file and line) and, for an unknown name, the nearest one. out is to be released with srv_config_done also after an error. */
PARE_MUST_USE enum pare_code srv_config_load(int argc, char *const *argv, char *const *environment, struct srv_config *out, struct pare_err *err);
/* Fills what is "automatic" from the machine (cores, where the program lies) and checks what only makes sense together: without an
 * API key file only loopback addresses and Unix sockets are listened on. */
PARE_MUST_USE enum pare_code srv_config_resolve(struct srv_config *c, int n_cores, const char *program_dir, struct pare_err *err);
void srv_config_done(struct srv_config *c);

PARE_MUST_USE enum pare_code srv_config_help(struct pare_buf *out, struct pare_err *err);
PARE_MUST_USE enum pare_code srv_config_sample(struct pare_buf *out, struct pare_err *err);
/* Is the address one that only this machine reaches ("127.0.0.1", "::1", "localhost", "unix:/path")? */
bool srv_address_is_local(const char *address);

#endif
