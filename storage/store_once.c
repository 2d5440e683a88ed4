/* Requests that are sent again. The key that comes with a request is remembered in the transaction that makes something of it, with the id of what was made and a fingerprint of the
 * request: whoever sends the same again, because no answer came, finds what the first one made, however close behind each other, or with a restart between them,
 * they came. What was made stands for the answer: it is told as it is now, not as it was, so no answers are stored, and a secret that was told once is not
 * kept for a second time. A key is forgotten with what it made, or after a day. */
#include <string.h>

#include "storage/store_priv.h"

#define KEPT_MS ((int64_t)24 * 3600 * 1000)

static const char *scope_of(const struct store_idempotency *k)
{
	return k->scope != NULL ? k->scope : "";
}

enum pare_code store_once_find(struct store_view v, struct store_tx *tx, struct store_idempotency *k, char out_made[PARE_ID_MAX], struct pare_err *err)
{
	const struct store_ops *ops = v.store->ops;
	struct store_idem_row known = {.found = false};
	enum pare_code code;

	if (k == NULL)
		return PARE_OK;
	k->replayed = false;
	if (k->key == NULL)
		return PARE_OK;
	code = ops->idem_purge(tx, v.store->env.wall_ms(v.store->env.ctx) - KEPT_MS, err);
	if (code == PARE_OK)
		code = ops->idem_load(tx, v.owner, scope_of(k), k->key, &known, err);
	if (code == PARE_OK && !known.found && k->only_known)
		return pare_err_set(err, PARE_E_DRAINING, NULL, "the server is drained and takes no new work; the idempotency key \"%.80s\" is not known", k->key);
	if (code != PARE_OK || !known.found)
		return code;
	if (!store_equal_constant_time(known.fingerprint, k->fingerprint, sizeof known.fingerprint))
		return pare_err_set(err, PARE_E_KEY_REUSED, NULL,
		    "the idempotency key \"%.80s\" came with another request before (it made %s): send a new key with a new request", k->key, known.made);
	memcpy(out_made, known.made, sizeof known.made);
	k->replayed = true;
	return PARE_OK;
}

enum pare_code store_once_known(struct store_view v, struct store_idempotency *k, char out_made[PARE_ID_MAX], struct pare_err *err)
{
	struct store_tx *tx;
	enum pare_code code;

	k->replayed = false;
	if (k->key == NULL)
		return PARE_OK;
	code = v.store->ops->begin(v.store, true, &tx, err);
	return code == PARE_OK ? v.store->ops->end(tx, store_once_find(v, tx, k, out_made, err), err) : code;
}

enum pare_code store_once_keep(struct store_view v, struct store_tx *tx, const struct store_idempotency *k, const char *made, struct pare_err *err)
{
	if (k == NULL || k->key == NULL)
		return PARE_OK;
	return v.store->ops->idem_insert(tx, v.owner, k->key, scope_of(k), k->fingerprint, made, v.store->env.wall_ms(v.store->env.ctx), err);
}
