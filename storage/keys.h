/* API keys that the service has made and keeps (those of the key file are not here). A key is known by its digest: nothing here can be presented as
 * a key. Whoever may manage keys manages those of all owners, so these verbs take the whole store; the one that makes a key takes who asks, too, to know a request that comes again. Same rules as store.h for threads and errors. */
#ifndef STORAGE_KEYS_H
#define STORAGE_KEYS_H

#include "storage/store.h"

#define STORE_MAX_KEYS 10000
#define STORE_KEY_KEPT_MS ((int64_t)30 * 24 * 3600 * 1000) /* a key that is not valid any more can be told of for so long */

struct store_key {
	char id[PARE_ID_MAX]; /* "key_"; made by the caller, since the digest covers it */
	char owner[STORE_OWNER_MAX];
	const char *name;   /* label for people, may be "" */
	const char *scopes; /* "jobs:rw,models:r" */
	uint8_t hash[STORE_SHA256_BYTES]; /* of the whole key as clients send it */
	int64_t created_ms, expires_ms, revoked_ms, last_used_ms; /* 0: never */
	struct store_idempotency *once; /* of store_key_put only; NULL: none */
	void *memory;
};
void store_key_done(struct store_key *k);
void store_key_list_done(struct store_key *list, int n);

/* Stores all but revoked_ms and last_used_ms, and sets created_ms in k; when it is replayed, id alone: that of the key that was made before. Keys that ended STORE_KEY_KEPT_MS ago are forgotten first. PARE_E_LIMIT: STORE_MAX_KEYS are there. */
PARE_MUST_USE enum pare_code store_key_put(struct store_view v, struct store_key *k, struct pare_err *err);
PARE_MUST_USE enum pare_code store_key_get(struct store *s, const char *id, struct store_key *out, struct pare_err *err);
/* Only limit, after, before and ascending of the page are looked at. */
PARE_MUST_USE enum pare_code store_key_list(struct store *s, const struct store_page *page, struct store_key **out, int *out_n, bool *out_more, struct pare_err *err);
/* It is not valid any more; once more changes nothing. PARE_E_NOT_FOUND. */
PARE_MUST_USE enum pare_code store_key_revoke(struct store *s, const char *id, struct pare_err *err);

/* Writes down, in one transaction, when keys were last used; ids that are gone are skipped. */
struct store_key_use {
	char id[PARE_ID_MAX];
	int64_t at_ms;
};
PARE_MUST_USE enum pare_code store_key_used(struct store *s, const struct store_key_use *uses, int n, struct pare_err *err);

#endif
