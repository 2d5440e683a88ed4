/* A copy of the database while it is in use, by SQLite's backup interface: from a reading connection and in one step, so that the copy is one moment's truth, writers go on
 * (their pages go to the log, which cannot be folded in while the copy lasts), and the rule stands that one connection alone writes to the original.
 *
 * Uploads that are under way are left out of the copy: their bytes are not blobs yet. The copy is a single file, without a log beside it, and is checked before it is called a backup. */
#include <errno.h>

#include "storage/sqlite/sqlite_priv.h"

static enum pare_code refuse(sqlite3 *copy, int rc, const char *path, const char *doing, struct pare_err *err)
{
	bool full = (rc & 0xFF) == SQLITE_FULL || ((rc & 0xFF) == SQLITE_IOERR && (errno == ENOSPC || errno == EDQUOT));

	if (full)
		return pare_err_set(err, PARE_E_STORE_FULL, path, "%s: no space is left for a copy of the database", doing);
	return pare_err_set(err, (rc & 0xFF) == SQLITE_NOMEM ? PARE_E_NOMEM : PARE_E_STORE, path, "%s: %s (SQLite %d)", doing, copy != NULL ? sqlite3_errmsg(copy) : sqlite3_errstr(rc), rc);
}

static int copy_pages(sqlite3 *copy, sqlite3 *from)
{
	sqlite3_backup *b = sqlite3_backup_init(copy, "main", from, "main");

	if (b == NULL)
		return sqlite3_errcode(copy);
	(void)sqlite3_backup_step(b, -1);
	return sqlite3_backup_finish(b);
}

/* PARE_OK when the check has found nothing. */
static enum pare_code check(sqlite3 *copy, const char *path, struct pare_err *err)
{
	sqlite3_stmt *st = NULL;
	enum pare_code code = PARE_OK;
	int rc = sqlite3_prepare_v2(copy, "PRAGMA quick_check(1)", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		code = refuse(copy, rc, path, "checking the copy", err);
	else if (sqlite3_stricmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
		code = pare_err_set(err, PARE_E_STORE, path, "the copy is damaged: %s", (const char *)sqlite3_column_text(st, 0));
	(void)sqlite3_finalize(st);
	return code;
}

static enum pare_code list(sqlite3 *copy, const char *path, bool (*blob)(void *ctx, const char *sha256), void *ctx, struct pare_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(copy, sqlite_query_table[Q_BLOB_LIST], -1, &st, NULL);
	bool more = true;

	if (rc == SQLITE_OK)
		while (more && (rc = sqlite3_step(st)) == SQLITE_ROW)
			more = blob(ctx, (const char *)sqlite3_column_text(st, 0));
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE || !more ? PARE_OK : refuse(copy, rc, path, "listing blobs", err);
}

enum pare_code sqlite_backup(struct store *s, const char *path, bool (*blob)(void *ctx, const char *sha256), void *ctx, struct pare_err *err)
{
	struct store_tx *tx;
	sqlite3 *copy = NULL;
	enum pare_code code = sqlite_begin(s, false, &tx, err), ended;
	int rc;

	if (code != PARE_OK)
		return code;
	rc = sqlite3_open_v2(path, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc == SQLITE_OK)
		rc = copy_pages(copy, tx->db);
	ended = sqlite_end(tx, PARE_OK, err);
	if (rc == SQLITE_OK && ended == PARE_OK)
		rc = sqlite3_exec(copy, "PRAGMA journal_mode = DELETE; DELETE FROM uploads WHERE sha256 = '';", NULL, NULL, NULL);
	code = rc != SQLITE_OK ? refuse(copy, rc, path, "copying the database", err) : ended;
	if (code == PARE_OK)
		code = check(copy, path, err);
	if (code == PARE_OK)
		code = list(copy, path, blob, ctx, err);
	(void)sqlite3_close(copy);
	return code;
}
