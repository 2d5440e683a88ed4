/* Tables of the memory backend, for the files that keep rows in them. */
#ifndef STORAGE_MEMORY_PRIV_H
#define STORAGE_MEMORY_PRIV_H

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "storage/store_priv.h"

enum table_name { T_ASSETS, T_JOBS, T_EVENTS, T_ARTIFACTS, T_IDEM, T_KEYS, T_UPLOADS, T_HOOKS, T_DELIVERIES, T_NAMES, T_ALIASES, T_UNDO, N_TABLES };

struct event_row {
	char owner[STORE_OWNER_MAX];
	struct store_event e;
};

struct idem_row {
	char owner[STORE_OWNER_MAX];
	char *scope, *key;
	int64_t created_ms;
	struct store_idem_row r;
};

/* What a changed row was before. */
struct undo_row {
	enum table_name t;
	int i;
	union {
		struct store_job_row job;
		struct store_hook hook;
		struct store_delivery delivery;
	} old;
};

struct name_row { /* of an owner's assets, and how far they are numbered */
	char owner[STORE_OWNER_MAX];
	enum store_asset_kind kind;
	char *name;
	int64_t last_version;
};

struct alias_row {
	char owner[STORE_OWNER_MAX];
	enum store_asset_kind kind;
	char *name, *alias;
	char asset[PARE_ID_MAX];
};

struct table {
	char *rows;
	int n, size;
	int n_at_begin;
};

struct store_tx {
	struct memory_store *m;
	bool write;
};

struct memory_store {
	struct store base;
	pthread_mutex_t lock;
	struct store_tx tx;
	struct table tables[N_TABLES];
	int64_t cursor; /* of the last event */
};

struct memory_kind {
	size_t row_bytes;
	void (*free_row)(void *row);
};
extern const struct memory_kind memory_kind_table[N_TABLES];

static inline void *row_at(const struct store_tx *tx, enum table_name t, int i)
{
	return tx->m->tables[t].rows + (size_t)i * memory_kind_table[t].row_bytes;
}

static inline int n_rows(const struct store_tx *tx, enum table_name t)
{
	return tx->m->tables[t].n;
}

static inline enum pare_code push(struct store_tx *tx, enum table_name t, const void *row, struct pare_err *err)
{
	struct table *table = &tx->m->tables[t];
	size_t row_bytes = memory_kind_table[t].row_bytes, n_bytes;

	if (table->n == table->size) {
		int size = table->size > 0 ? table->size * 2 : 16;
		char *rows = NULL;

		if (pare_mul_size((size_t)size, row_bytes, &n_bytes))
			rows = pare_realloc(table->rows, n_bytes);
		if (rows == NULL)
			return pare_err_nomem(err, 0);
		table->rows = rows;
		table->size = size;
	}
	memcpy(row_at(tx, t, table->n++), row, row_bytes);
	return PARE_OK;
}

static inline void drop_row(struct store_tx *tx, enum table_name t, int i)
{
	struct table *table = &tx->m->tables[t];
	size_t row_bytes = memory_kind_table[t].row_bytes;

	memory_kind_table[t].free_row(row_at(tx, t, i));
	table->n--;
	memmove(row_at(tx, t, i), row_at(tx, t, i + 1), (size_t)(table->n - i) * row_bytes);
}

/* Before a row is changed in place: the row as it is is kept until the transaction ends, and put back if it fails. Rows stay where they are meanwhile. */
static inline enum pare_code keep_old(struct store_tx *tx, enum table_name t, int i, struct pare_err *err)
{
	struct undo_row u = {.t = t, .i = i};

	memcpy(&u.old, row_at(tx, t, i), memory_kind_table[t].row_bytes);
	return push(tx, T_UNDO, &u, err);
}

static inline bool within(const struct store_range *r, const char *id)
{
	return (r->above == NULL || strcmp(id, r->above) > 0) && (r->below == NULL || strcmp(id, r->below) < 0);
}

/* The kth row of a table of n in the range's direction. */
static inline int walk(const struct store_range *r, int k, int n)
{
	return r->ascending ? k : n - 1 - k;
}

/* memory_children.c */
enum pare_code memory_child_in(struct store_tx *tx, const char *parent, const enum store_job_status *statuses, int n, struct store_job_row *out, struct pare_err *err);
enum pare_code memory_children(struct store_tx *tx, const char *parent, int64_t out[STORE_N_STATUS], struct pare_err *err);
enum pare_code memory_has_child(struct store_tx *tx, const char *parent, const char *trial, bool *out, struct pare_err *err);

/* memory_keys.c */
void memory_free_key(void *row);
enum pare_code memory_key_insert(struct store_tx *tx, const struct store_key *k, struct pare_err *err);
enum pare_code memory_key_load(struct store_tx *tx, const char *id, struct store_key *out, struct pare_err *err);
enum pare_code memory_key_update(struct store_tx *tx, const struct store_key *k, struct pare_err *err);
enum pare_code memory_key_page(struct store_tx *tx, const struct store_range *r, struct store_key *out, int *out_n, struct pare_err *err);
enum pare_code memory_key_count(struct store_tx *tx, int *out, struct pare_err *err);
enum pare_code memory_key_purge(struct store_tx *tx, int64_t before_ms, struct pare_err *err);

/* memory_registry.c */
void memory_free_name(void *row);
void memory_free_alias(void *row);
void memory_aliases_of(const struct store_tx *tx, const char *id, struct pare_buf *out); /* with commas between, in order */
enum pare_code memory_asset_update(struct store_tx *tx, const struct store_asset *a, struct pare_err *err);
enum pare_code memory_asset_number(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t *out, struct pare_err *err);
enum pare_code memory_asset_named(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, int64_t version, char out_id[PARE_ID_MAX], struct pare_err *err);
enum pare_code memory_alias_load(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, char out_id[PARE_ID_MAX], struct pare_err *err);
enum pare_code memory_alias_put(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, const char *id, struct pare_err *err);
enum pare_code memory_alias_remove(struct store_tx *tx, const char *owner, enum store_asset_kind kind, const char *name, const char *alias, struct pare_err *err);

/* memory_uploads.c */
void memory_free_once(void *row);
void memory_once_drop(struct store_tx *tx, const char *made); /* the idempotency key that made it */
enum pare_code memory_idem_purge(struct store_tx *tx, int64_t before_ms, struct pare_err *err);
enum pare_code memory_idem_load(struct store_tx *tx, const char *owner, const char *scope, const char *key, struct store_idem_row *out, struct pare_err *err);
enum pare_code memory_idem_insert(struct store_tx *tx, const char *owner, const char *key, const char *scope, const uint8_t fingerprint[STORE_SHA256_BYTES], const char *made, int64_t now_ms, struct pare_err *err);
void memory_free_upload(void *row);
enum pare_code memory_upload_insert(struct store_tx *tx, const struct store_upload *u, struct pare_err *err);
enum pare_code memory_upload_load(struct store_tx *tx, const char *owner, const char *id, struct store_upload *out, struct pare_err *err);
enum pare_code memory_upload_update(struct store_tx *tx, const struct store_upload *u, struct pare_err *err);
enum pare_code memory_upload_remove(struct store_tx *tx, const char *id, struct pare_err *err);
enum pare_code memory_upload_page(struct store_tx *tx, const struct store_range *r, struct store_upload *out, int *out_n, struct pare_err *err);
enum pare_code memory_upload_bytes(struct store_tx *tx, const char *owner, const char *sha256, int64_t *out, struct pare_err *err);
int64_t memory_upload_usage(const struct store_tx *tx, const char *owner);
enum pare_code memory_upload_count(struct store_tx *tx, const char *owner, int *out, struct pare_err *err);
enum pare_code memory_upload_expired(struct store_tx *tx, int64_t now_ms, struct store_upload *out, struct pare_err *err);
enum pare_code memory_upload_of_part(struct store_tx *tx, const char *part, struct store_upload *out, struct pare_err *err);

/* memory_hooks.c */
enum pare_code memory_event_insert(struct store_tx *tx, const char *owner, struct store_event *e, struct pare_err *err);
enum pare_code memory_event_page(struct store_tx *tx, const char *subject, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err);
enum pare_code memory_feed_page(struct store_tx *tx, const char *owner, int64_t after, int limit, struct store_event *out, int *out_n, struct pare_err *err);
enum pare_code memory_feed_last(struct store_tx *tx, int64_t *out, struct pare_err *err);
enum pare_code memory_hook_insert(struct store_tx *tx, const struct store_hook *h, struct pare_err *err);
enum pare_code memory_hook_load(struct store_tx *tx, const char *owner, const char *id, struct store_hook *out, struct pare_err *err);
enum pare_code memory_hook_update(struct store_tx *tx, const struct store_hook *h, struct pare_err *err);
enum pare_code memory_hook_remove(struct store_tx *tx, const char *id, struct pare_err *err);
enum pare_code memory_hook_page(struct store_tx *tx, const struct store_range *r, struct store_hook *out, int *out_n, struct pare_err *err);
enum pare_code memory_hook_count(struct store_tx *tx, const char *owner, const char *job, int64_t *out, struct pare_err *err);
enum pare_code memory_hook_next(struct store_tx *tx, const char *owner, const char *job, const char *after, struct store_hook *out, bool *out_found, struct pare_err *err);
enum pare_code memory_delivery_insert(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err);
enum pare_code memory_delivery_load(struct store_tx *tx, const char *hook, const char *id, struct store_delivery *out, struct pare_err *err);
enum pare_code memory_delivery_update(struct store_tx *tx, const struct store_delivery *d, struct pare_err *err);
enum pare_code memory_delivery_page(struct store_tx *tx, const char *hook, const struct store_range *r, struct store_delivery *out, int *out_n, struct pare_err *err);
enum pare_code memory_delivery_due(struct store_tx *tx, const struct store_busy *busy, int64_t now_ms, int limit, struct store_delivery *out, int *out_n, struct pare_err *err);
enum pare_code memory_delivery_next(struct store_tx *tx, int64_t now_ms, int64_t *out_ms, struct pare_err *err);
enum pare_code memory_delivery_fail_all(struct store_tx *tx, const char *hook, int64_t now_ms, struct pare_err *err);
enum pare_code memory_delivery_purge(struct store_tx *tx, int64_t before_ms, int *out_n, struct pare_err *err);
/* A job goes, and with it what hears of it alone. */
void memory_hooks_drop_job(struct store_tx *tx, const char *job);
void memory_events_drop(struct store_tx *tx, const char *subject);

#endif
