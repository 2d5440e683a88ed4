/* Bearer keys: pare_<id>_<secret>. They come from two places, of which memory holds hashes only:
 *
 * - the key file, with which a service begins. It may hold them plain or as id:sha256hex of the whole key. Behind a key may stand
 *     scopes=jobs:rw,models:r     what it may do; without it: everything but admin
 *     expires=2027-01-01          from when on it is not valid; also 2027-01-01T12:00:00Z
 *     owner=acme                  whose models, data sets and jobs it makes and sees; without it: those of the owner "default"
 * - the store, for those that POST /v1/keys has made (storage/keys.h): pare_<26 digits>_<secret>, whose id is key_<26 digits>.
 *
 * The scope admin is for the service as a whole (keys of all owners, draining, collecting, backup), not for other owners' things: whoever needs to see
 * those makes a key for that owner. */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "storage/keys.h"

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
	API_WEBHOOKS_READ,
	API_WEBHOOKS_WRITE,
	API_METRICS_READ,
	API_ADMIN,
	API_N_SCOPES,
	API_ASSETS_READ = API_N_SCOPES, /* models:r or datasets:r */
	API_ASSETS_WRITE,
};
#define API_ALL_SCOPES (~0u)
#define API_USUAL_SCOPES (~(1u << API_ADMIN))
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

/* "jobs:rw,models:r": names of scopes with commas between them. A write scope holds the read scope. */
bool api_scopes_parse(const char *s, size_t n, unsigned int *out);
#define API_SCOPES_HELP "models:r, models:rw, datasets:r, datasets:rw, jobs:r, jobs:rw, webhooks:r, webhooks:rw, metrics:r and admin"
bool api_owner_check(const char *s, size_t n); /* 1 to 32 letters, digits and hyphens */

/* A list of keys, by id. Only the times of use change after it was made. */
struct api_keys;
/* PARE_E_IO, or PARE_E_INVALID naming the line. An empty list is an error: it would lock everyone out. */
PARE_MUST_USE enum pare_code api_keys_load(const char *path, struct api_keys **out, struct pare_err *err);
PARE_MUST_USE enum pare_code api_keys_parse(const char *text, size_t n, struct api_keys **out, struct pare_err *err);
/* All keys of the store; times of use that old (NULL: none) knows better are taken over. */
PARE_MUST_USE enum pare_code api_keys_of_store(struct store *s, const struct api_keys *old, struct api_keys **out, struct pare_err *err);
void api_keys_free(struct api_keys *k);
/* Checks the value of an Authorization header (NULL: none) against the keys of the file and those that were made (NULL: none). PARE_E_UNAUTHORIZED says what is missing, never
 * which part was wrong; PARE_E_KEY_EXPIRED and PARE_E_KEY_REVOKED are told to who has the whole key only. */
PARE_MUST_USE enum pare_code api_keys_check(struct api_keys *file, struct api_keys *made, const char *authorization, int64_t now_ms, struct api_caller *out, struct pare_err *err);
/* Who holds the key of that id, if it is valid now; its use is not noted. PARE_E_UNAUTHORIZED (there is none), PARE_E_KEY_EXPIRED, PARE_E_KEY_REVOKED. */
PARE_MUST_USE enum pare_code api_keys_caller(const struct api_keys *file, const struct api_keys *made, const char *id, int64_t now_ms, struct api_caller *out, struct pare_err *err);
/* When a key was last used as far as this list knows; 0: never, or no such key. */
int64_t api_keys_used(const struct api_keys *k, const char *id);
/* Uses that were not taken yet, at most max; they count as taken. */
int api_keys_take_uses(struct api_keys *k, struct store_key_use *out, int max);
/* A new key's text and digest from its id ("key_…"): 160 random bits. */
#define API_KEY_TEXT_MAX 80
PARE_MUST_USE enum pare_code api_key_make(const struct pare_env *env, const char *id, char out[API_KEY_TEXT_MAX], uint8_t hash[STORE_SHA256_BYTES], struct pare_err *err);

#endif
