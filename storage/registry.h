/* Names of models and data sets: an owner's assets of one kind and name are its versions 1, 2, 3 …, numbered as they are made; a number is never given twice. An
 * alias ("champion") is a name for one of them that moves. Verbs as in store.h. */
#ifndef STORAGE_REGISTRY_H
#define STORAGE_REGISTRY_H

#include "storage/store.h"

#define STORE_NAME_MAX 129 /* with NUL */
#define STORE_ALIAS_MAX 65

/* May an asset be called that? 1 to 128 bytes of UTF-8 without control characters and none of / \ : @, no blank at an end, not "." or "..", not like an id. */
bool store_name_ok(const char *name);
/* [A-Za-z0-9_-][A-Za-z0-9._-]{0,63}, not of digits alone, which would be a version */
bool store_alias_ok(const char *alias);

/* May a job's result be registered as that: "name", or "name@alias"? PARE_E_INVALID, where "/register". */
PARE_MUST_USE enum pare_code store_register_check(const char *as, struct pare_err *err);

/* What a reference means: an id, "name" (the newest version that there is), "name:3" (or "name@3") or "name@alias". An id is handed through. PARE_E_NOT_FOUND. */
PARE_MUST_USE enum pare_code store_asset_resolve(struct store_view v, enum store_asset_kind kind, const char *reference, char out_id[PARE_ID_MAX], struct pare_err *err);

/* Lets name@alias mean the asset id, which must have that name (PARE_E_INVALID). expected: what it must mean now, "" nothing at all, NULL whatever
 * (PARE_E_PRECONDITION). *out_made: it is new. */
PARE_MUST_USE enum pare_code store_alias_put(struct store_view v, enum store_asset_kind kind, const char *name, const char *alias, const char *id, const char *expected, bool *out_made, struct pare_err *err);
PARE_MUST_USE enum pare_code store_alias_delete(struct store_view v, enum store_asset_kind kind, const char *name, const char *alias, const char *expected, struct pare_err *err);

/* What may change of an asset; NULL stays. Another name gives it that name's next version, unless an alias means it (PARE_E_CONFLICT). revision: as it was
 * read (PARE_E_PRECONDITION if it has changed since). */
struct store_asset_change {
	const char *name, *labels, *description;
};
PARE_MUST_USE enum pare_code store_asset_change(struct store_view v, enum store_asset_kind kind, const char *id, const struct store_asset_change *c, int64_t revision, struct pare_err *err);

#endif
