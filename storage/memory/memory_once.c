/* Idempotency keys in memory. */
#include "storage/memory/memory_priv.h"

void memory_free_once(void *row)
{
	pare_free(((struct idem_row *)row)->scope);
	pare_free(((struct idem_row *)row)->key);
}

void memory_once_drop(struct store_tx *tx, const char *made)
{
	for (int i = n_rows(tx, T_IDEM) - 1; i >= 0; i--)
		if (strcmp(((const struct idem_row *)row_at(tx, T_IDEM, i))->r.made, made) == 0)
			drop_row(tx, T_IDEM, i);
}

enum pare_code memory_idem_purge(struct store_tx *tx, int64_t before_ms, struct pare_err *err)
{
	struct table *table = &tx->m->tables[T_IDEM];

	(void)err;
	for (int i = table->n - 1; i >= 0; i--)
		if (((const struct idem_row *)row_at(tx, T_IDEM, i))->created_ms <= before_ms)
			drop_row(tx, T_IDEM, i);
	table->n_at_begin = table->n; /* forgetting is not undone */
	return PARE_OK;
}

enum pare_code memory_idem_load(struct store_tx *tx, const char *owner, const char *scope, const char *key, struct store_idem_row *out, struct pare_err *err)
{
	(void)err;
	for (int i = 0; i < n_rows(tx, T_IDEM); i++) {
		const struct idem_row *row = row_at(tx, T_IDEM, i);

		if (strcmp(row->owner, owner) == 0 && strcmp(row->scope, scope) == 0 && strcmp(row->key, key) == 0)
			*out = row->r;
	}
	return PARE_OK;
}

enum pare_code memory_idem_insert(struct store_tx *tx, const char *owner, const char *key, const char *scope, const uint8_t fingerprint[STORE_SHA256_BYTES], const char *made, int64_t now_ms, struct pare_err *err)
{
	struct idem_row row = {.scope = pare_strdup(scope), .key = pare_strdup(key), .created_ms = now_ms, .r = {.found = true}};
	enum pare_code code = PARE_E_NOMEM;

	memcpy(row.owner, owner, strlen(owner) + 1);
	memcpy(row.r.fingerprint, fingerprint, sizeof row.r.fingerprint);
	memcpy(row.r.made, made, strlen(made) + 1);
	if (row.scope == NULL || row.key == NULL)
		code = pare_err_nomem(err, 0);
	else
		code = push(tx, T_IDEM, &row, err);
	if (code != PARE_OK)
		memory_free_once(&row);
	return code;
}
