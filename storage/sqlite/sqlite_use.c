/* One statement, used once: parameters and columns are taken in order, so that a row operation reads like the column list it serves,
 * and the first error sticks, so that it is looked at in one place. Statements stay prepared with their connection. */
#include "storage/sqlite/sqlite_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct use sqlite_use(struct store_tx *tx, enum query q)
{
	struct use u = {.tx = tx, .rc = SQLITE_OK};

	if (tx->statements[q] == NULL)
		u.rc = sqlite3_prepare_v3(tx->db, sqlite_query_table[q], -1, SQLITE_PREPARE_PERSISTENT, &tx->statements[q], NULL);
	u.st = tx->statements[q];
	return u;
}

void sqlite_bind_str(struct use *u, const char *s)
{
	if (u->rc == SQLITE_OK)
		u->rc = sqlite3_bind_text(u->st, ++u->n_bound, s, -1, SQLITE_STATIC);
}

void sqlite_bind_bounds(struct use *u, const struct store_range *r)
{
	sqlite_bind_str(u, r->above != NULL ? r->above : "");
	sqlite_bind_str(u, r->below != NULL ? r->below : "~");
}

void sqlite_bind_text(struct use *u, const char *s, size_t n)
{
	if (u->rc == SQLITE_OK)
		u->rc = sqlite3_bind_text64(u->st, ++u->n_bound, s, n, SQLITE_STATIC, SQLITE_UTF8);
}

void sqlite_bind_int(struct use *u, int64_t v)
{
	if (u->rc == SQLITE_OK)
		u->rc = sqlite3_bind_int64(u->st, ++u->n_bound, v);
}

void sqlite_bind_bytes(struct use *u, const void *p, size_t n)
{
	if (u->rc == SQLITE_OK)
		u->rc = sqlite3_bind_blob64(u->st, ++u->n_bound, p, n, SQLITE_STATIC);
}

bool sqlite_row(struct use *u)
{
	if (u->rc == SQLITE_OK || u->rc == SQLITE_ROW) {
		errno = 0;
		u->rc = sqlite3_step(u->st);
		u->tx->sys_errno = errno;
	}
	u->n_read = 0;
	return u->rc == SQLITE_ROW;
}

const char *sqlite_str(struct use *u)
{
	const char *s = (const char *)sqlite3_column_text(u->st, u->n_read);

	/* NULL stands for SQL NULL, and for no memory when the value has to be converted. */
	if (s == NULL && sqlite3_column_type(u->st, u->n_read) != SQLITE_NULL)
		u->rc = SQLITE_NOMEM;
	u->n_read++;
	return s;
}

int64_t sqlite_int(struct use *u)
{
	return sqlite3_column_int64(u->st, u->n_read++);
}

void sqlite_copy(struct use *u, char *out, size_t size)
{
	const char *s = sqlite_str(u);

	(void)snprintf(out, size, "%s", s != NULL ? s : "");
}

void sqlite_copy_bytes(struct use *u, void *out, size_t size)
{
	const void *p = sqlite3_column_blob(u->st, u->n_read);

	if (p != NULL && (size_t)sqlite3_column_bytes(u->st, u->n_read) == size)
		memcpy(out, p, size);
	else
		u->rc = SQLITE_CORRUPT;
	u->n_read++;
}

enum pare_code sqlite_use_end(struct use *u, const char *doing, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	if (u->rc != SQLITE_OK && u->rc != SQLITE_ROW && u->rc != SQLITE_DONE)
		code = sqlite_fail(u->tx, u->rc, doing, err);
	if (u->st != NULL) {
		(void)sqlite3_reset(u->st);
		(void)sqlite3_clear_bindings(u->st);
	}
	return code;
}
