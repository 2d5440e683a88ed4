/* The contract of store.h: idempotency keys of what is not a job (those of jobs are in test_contract.c). */
#include <pthread.h>

#include "storage/hook.h"
#include "storage/uploads.h"
#include "tests/storage/contract.h"

static enum pare_code make_model(struct store_idempotency *k, char id[PARE_ID_MAX], struct pare_err *why)
{
	struct store_file f = {.path = "model.onnx", .sha256 = SHA_C, .n_bytes = 3};
	struct store_asset a = {.kind = STORE_MODEL, .name = "m", .n_files = 1, .files = &f, .once = k};
	enum pare_code code = store_asset_put(MINE(s), &a, why);

	memcpy(id, a.id, PARE_ID_MAX);
	return code;
}

static enum pare_code make_upload(struct store_idempotency *k, char id[PARE_ID_MAX], struct pare_err *why)
{
	static atomic_int n;
	struct store_upload u = {.n_total = 5, .expires_ms = fake_wall + HOUR_MS, .once = k};
	enum pare_code code;

	(void)snprintf(u.part, sizeof u.part, "part-%d", atomic_fetch_add(&n, 1));
	code = store_upload_put(MINE(s), &u, 100, why);
	memcpy(id, u.id, PARE_ID_MAX);
	return code;
}

static enum pare_code make_hook(struct store_idempotency *k, char id[PARE_ID_MAX], struct pare_err *why)
{
	struct store_hook h = {.url = "https://a.example/", .description = "", .events = " job.failed ", .enabled = true, .disabled_why = "", .secret = "whsec_", .old_secret = "", .once = k};
	enum pare_code code = store_hook_put(MINE(s), &h, why);

	memcpy(id, h.id, PARE_ID_MAX);
	return code;
}

static enum pare_code drop_model(const char *id)
{
	return store_asset_delete(MINE(s), STORE_MODEL, id, &err);
}

static enum pare_code drop_upload(const char *id)
{
	return store_upload_delete(MINE(s), id, &err);
}

static enum pare_code drop_hook(const char *id)
{
	return store_hook_delete(MINE(s), id, &err);
}

static const struct {
	enum pare_code (*make)(struct store_idempotency *k, char id[PARE_ID_MAX], struct pare_err *why);
	enum pare_code (*drop)(const char *id);
} thing_table[] = {{make_model, drop_model}, {make_upload, drop_upload}, {make_hook, drop_hook}};
#define N_THINGS ((int)(sizeof thing_table / sizeof thing_table[0]))

START_TEST(a_key_makes_one_thing)
{
	for (int t = 0; t < N_THINGS; t++) {
		struct store_idempotency k = {.key = "k", .fingerprint = {(uint8_t)t}};
		char first[PARE_ID_MAX], again[PARE_ID_MAX];

		begin(_i);
		MUST(thing_table[t].make(&k, first, &err));
		ck_assert(!k.replayed);
		MUST(thing_table[t].make(&k, again, &err));
		ck_assert(k.replayed);
		ck_assert_str_eq(first, again);
		k.fingerprint[1] = 1;
		ck_assert_int_eq(thing_table[t].make(&k, again, &err), PARE_E_KEY_REUSED);
		k.scope = "another";
		MUST(thing_table[t].make(&k, again, &err));
		ck_assert(!k.replayed && strcmp(first, again) != 0);
		k.scope = NULL;
		MUST(thing_table[t].drop(first)); /* and the key with it */
		MUST(thing_table[t].make(&k, again, &err));
		ck_assert(!k.replayed && strcmp(first, again) != 0);
		fake_wall += 24 * HOUR_MS;
		MUST(thing_table[t].make(&k, first, &err));
		ck_assert(!k.replayed && strcmp(first, again) != 0);
		end();
	}
}
END_TEST

/* Over kinds of things, too: a key that has made a model makes no upload. */
START_TEST(a_key_is_of_one_request)
{
	struct store_idempotency k = {.key = "k", .fingerprint = {1}};
	char id[PARE_ID_MAX];

	begin(_i);
	MUST(make_model(&k, id, &err));
	k.fingerprint[0] = 2;
	ck_assert_int_eq(make_upload(&k, id, &err), PARE_E_KEY_REUSED);
	end();
}
END_TEST

#define N_AT_ONCE 16
static char ids[N_AT_ONCE][PARE_ID_MAX];
static atomic_int n_made;

static void *race(void *arg)
{
	struct store_idempotency k = {.key = "k", .fingerprint = {7}};
	struct pare_err why;
	char *id = arg;

	if (make_model(&k, id, &why) == PARE_OK && !k.replayed)
		atomic_fetch_add(&n_made, 1);
	return NULL;
}

START_TEST(at_once_they_make_one)
{
	pthread_t threads[N_AT_ONCE];

	begin(_i);
	atomic_store(&n_made, 0);
	for (int i = 0; i < N_AT_ONCE; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, race, ids[i]), 0);
	for (int i = 0; i < N_AT_ONCE; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(atomic_load(&n_made), 1);
	for (int i = 1; i < N_AT_ONCE; i++)
		ck_assert_str_eq(ids[i], ids[0]);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {a_key_makes_one_thing, a_key_is_of_one_request, at_once_they_make_one};

	return run_over_backends("store contract: idempotency keys", tests, sizeof tests / sizeof *tests) != 0;
}
