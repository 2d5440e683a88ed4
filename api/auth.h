/* Bearer keys: pare_<id>_<secret>. The file may hold them plain or as id:sha256hex of the whole key; memory holds hashes only. Behind a key may stand
 *   scopes=jobs:rw,models:r     what it may do; without it: everything
 *   expires=2027-01-01          from when on it is not valid; also 2027-01-01T12:00:00Z
 *   owner=acme                  whose models, data sets and jobs it makes and sees; without it: those of the owner "default" */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "storage/store.h"

#define API_KEY_ID_MAX 33

/* What a route asks of the caller, and a key may be given. */
enum api_scope {
	API_OPEN, /* no key */
	API_KEY,  /* any valid key */
	API_MODELS_READ,
	API_MODELS_WRITE,
	API_DATASETS_READ,
	API_DATASETS_WRITE,
	API_JOBS_READ,
	API_JOBS_WRITE,
	API_METRICS_READ,
	API_N_SCOPES
};
#define API_ALL_SCOPES (~0u)
/* The word for it: "jobs:rw" is jobs:r and more. NULL for API_OPEN and API_KEY. */
const char *api_scope_name(enum api_scope s);

/* Who asks. */
struct api_caller {
	char id[API_KEY_ID_MAX]; /* "" without authentication */
	char owner[STORE_OWNER_MAX];
	unsigned int scopes;     /* bits 1 << scope */
	int64_t expires_ms;      /* 0: never */
};
/* Whoever asks where no key is needed: the default owner, who may do everything. */
void api_caller_anyone(struct api_caller *out);
bool api_caller_may(const struct api_caller *c, enum api_scope s);

struct api_keys;
/* PARE_E_IO, or PARE_E_INVALID naming the line. An empty list is an error: it would lock everyone out. */
PARE_MUST_USE enum pare_code api_keys_load(const char *path, struct api_keys **out, struct pare_err *err);
PARE_MUST_USE enum pare_code api_keys_parse(const char *text, size_t n, struct api_keys **out, struct pare_err *err);
void api_keys_free(struct api_keys *k);
/* Checks the value of an Authorization header (NULL: none). PARE_E_UNAUTHORIZED says what is missing, never which part was wrong. */
PARE_MUST_USE enum pare_code api_keys_check(const struct api_keys *k, const char *authorization, int64_t now_ms, struct api_caller *out, struct pare_err *err);

#endif
