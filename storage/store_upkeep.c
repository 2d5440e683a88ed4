/* Retention and collection. Rows go first, then bytes: whatever happens in between, no row names bytes that are gone, and bytes that no row names any more are
 * found by the next collection.
 *
 * A job that belongs to another is as old as that one: it goes with it, never before, and keeps its artifacts as long as that one runs. What the children had is
 * looked for by a collection. */
#include "storage/upkeep.h"

#include <unistd.h>

#include "core/base/mem.h"
#include "storage/store_priv.h"

static bool goes_on(bool (*go_on)(void *ctx), void *ctx)
{
	return go_on == NULL || go_on(ctx);
}

/* Most blobs are used: that is asked first, so that only those that go are opened for their size. */
static void drop(struct store *s, struct blob_store *b, const char *sha256, struct store_freed *freed)
{
	int64_t n_bytes = 0;
	bool used = true;
	int fd;

	if (store_blob_used(s, sha256, &used, NULL) != PARE_OK || used || blob_get(b, sha256, &fd, &n_bytes, NULL) != PARE_OK)
		return;
	(void)close(fd);
	if (!store_blob_drop(s, b, sha256))
		return;
	freed->n_blobs++;
	freed->n_bytes += n_bytes;
}

/* --- retention */
struct old_job {
	bool found;
	bool family; /* it had children, which have gone with it */
	struct store_artifact *artifacts;
	int n;
};

static enum pare_code artifacts_of(struct store *s, struct store_tx *tx, const char *job, struct old_job *out, struct pare_err *err)
{
	int count = 0;
	enum pare_code code = s->ops->artifact_count(tx, job, &count, err);

	if (code != PARE_OK)
		return code;
	out->artifacts = pare_calloc((size_t)count, sizeof *out->artifacts);
	if (out->artifacts == NULL)
		return pare_err_nomem(err, (size_t)count * sizeof *out->artifacts);
	return s->ops->artifact_page(tx, job, count, out->artifacts, &out->n, err);
}

/* The oldest job that ended by then, as a whole. */
static enum pare_code take_job(struct store *s, struct store_tx *tx, int64_t before_ms, struct old_job *out, struct pare_err *err)
{
	int64_t children[STORE_N_STATUS] = {0};
	char id[PARE_ID_MAX] = "";
	enum pare_code code = s->ops->job_ended(tx, before_ms, id, err);

	out->found = id[0] != '\0';
	if (code != PARE_OK || !out->found)
		return code;
	code = s->ops->job_children(tx, id, children, err);
	for (int i = 0; i < STORE_N_STATUS; i++)
		out->family = out->family || children[i] > 0;
	if (code == PARE_OK)
		code = artifacts_of(s, tx, id, out, err);
	return code == PARE_OK ? s->ops->job_remove(tx, id, err) : code;
}

/* The artifacts of some job that ended by then. */
static enum pare_code take_artifacts(struct store *s, struct store_tx *tx, int64_t before_ms, struct old_job *out, struct pare_err *err)
{
	struct store_job_row r = {.j = {.memory = NULL}};
	char id[PARE_ID_MAX] = "";
	enum pare_code code = s->ops->artifact_old(tx, before_ms, id, err);

	out->found = id[0] != '\0';
	if (code != PARE_OK || !out->found)
		return code;
	code = artifacts_of(s, tx, id, out, err);
	if (code == PARE_OK)
		code = s->ops->job_load(tx, NULL, id, &r, err);
	if (code == PARE_OK) {
		r.j.revision++;
		code = s->ops->job_update(tx, &r, err);
	}
	store_job_done(&r.j);
	return code == PARE_OK ? s->ops->artifacts_remove(tx, id, err) : code;
}

typedef enum pare_code (*take_fn)(struct store *s, struct store_tx *tx, int64_t before_ms, struct old_job *out, struct pare_err *err);

static enum pare_code take_one(struct store *s, take_fn take, int64_t before_ms, struct old_job *out, struct pare_err *err)
{
	struct store_tx *tx;
	enum pare_code code = s->ops->begin(s, true, &tx, err);

	if (code != PARE_OK)
		return code;
	return s->ops->end(tx, take(s, tx, before_ms, out, err), err);
}

enum pare_code store_retain(struct store *s, struct blob_store *b, const struct store_retention *r, bool (*go_on)(void *ctx), void *ctx, struct store_freed *freed, struct pare_err *err)
{
	const struct {
		int64_t keep_ms;
		take_fn take;
		bool whole;
	} rules[] = {{r->jobs_ms, take_job, true}, {r->artifacts_ms, take_artifacts, false}};
	int64_t now = s->env.wall_ms(s->env.ctx);
	bool families = false;
	enum pare_code code = PARE_OK;

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		bool more = rules[i].keep_ms > 0;

		while (more && code == PARE_OK && goes_on(go_on, ctx)) {
			struct old_job old = {.found = false};

			code = take_one(s, rules[i].take, now - rules[i].keep_ms, &old, err);
			more = code == PARE_OK && old.found;
			families = families || (more && old.family);
			freed->n_jobs += more && rules[i].whole;
			freed->n_artifacts += more && !rules[i].whole ? old.n : 0;
			for (int k = 0; k < old.n && more; k++)
				drop(s, b, old.artifacts[k].sha256, freed);
			store_artifact_list_done(old.artifacts, old.n);
		}
	}
	return code == PARE_OK && families ? store_collect(s, b, go_on, ctx, freed, err) : code;
}

/* --- collection */
struct collection {
	struct store *s;
	struct blob_store *b;
	bool (*go_on)(void *ctx);
	void *ctx;
	struct store_freed *freed;
};

static bool collect_one(void *ctx, const char *sha256)
{
	struct collection *c = ctx;

	drop(c->s, c->b, sha256, c->freed);
	return goes_on(c->go_on, c->ctx);
}

enum pare_code store_collect(struct store *s, struct blob_store *b, bool (*go_on)(void *ctx), void *ctx, struct store_freed *freed, struct pare_err *err)
{
	struct collection c = {.s = s, .b = b, .go_on = go_on, .ctx = ctx, .freed = freed};

	return blob_each(b, collect_one, &c, err);
}
