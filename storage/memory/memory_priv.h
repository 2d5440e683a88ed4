/* Tables of the memory backend, for the files that keep rows in them. */
#ifndef STORAGE_MEMORY_PRIV_H
#define STORAGE_MEMORY_PRIV_H

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "storage/store_priv.h"

enum table_name { T_ASSETS, T_JOBS, T_EVENTS, T_ARTIFACTS, T_IDEM, T_KEYS, T_UPLOADS, T_UNDO, N_TABLES };

struct event_row {
	char job[PARE_ID_MAX];
	struct store_event e;
};

struct idem_row {
	char owner[STORE_OWNER_MAX];
	char *scope, *key;
	int64_t created_ms;
	struct store_idem_row r;
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

static inline bool within(const struct store_range *r, const char *id)
{
	return (r->above == NULL || strcmp(id, r->above) > 0) && (r->below == NULL || strcmp(id, r->below) < 0);
}

/* memory_keys.c */
void memory_free_key(void *row);
enum pare_code memory_key_insert(struct store_tx *tx, const struct store_key *k, struct pare_err *err);
enum pare_code memory_key_load(struct store_tx *tx, const char *id, struct store_key *out, struct pare_err *err);
enum pare_code memory_key_update(struct store_tx *tx, const struct store_key *k, struct pare_err *err);
enum pare_code memory_key_page(struct store_tx *tx, const struct store_range *r, struct store_key *out, int *out_n, struct pare_err *err);
enum pare_code memory_key_count(struct store_tx *tx, int *out, struct pare_err *err);
enum pare_code memory_key_purge(struct store_tx *tx, int64_t before_ms, struct pare_err *err);

/* memory_uploads.c */
void memory_free_upload(void *row);
enum pare_code memory_upload_insert(struct store_tx *tx, const struct store_upload *u, struct pare_err *err);
enum pare_code memory_upload_load(struct store_tx *tx, const char *owner, const char *id, struct store_upload *out, struct pare_err *err);
enum pare_code memory_upload_update(struct store_tx *tx, const struct store_upload *u, struct pare_err *err);
enum pare_code memory_upload_remove(struct store_tx *tx, const char *id, struct pare_err *err);
enum pare_code memory_upload_count(struct store_tx *tx, const char *owner, int *out, struct pare_err *err);
enum pare_code memory_upload_expired(struct store_tx *tx, int64_t now_ms, struct store_upload *out, struct pare_err *err);
enum pare_code memory_upload_of_part(struct store_tx *tx, const char *part, struct store_upload *out, struct pare_err *err);

#endif
