/* The contract of keys.h. */
#include "storage/keys.h"
#include "tests/storage/contract.h"

#define DAY_MS (24 * HOUR_MS)

static void put_key(int i, int64_t expires_ms, char out_id[PARE_ID_MAX])
{
	struct store_key k = {.owner = "acme", .name = "n", .scopes = "jobs:rw", .hash = {(uint8_t)i}, .expires_ms = expires_ms};

	(void)snprintf(k.id, sizeof k.id, "key_%026d", i);
	MUST(store_key_put(MINE(s), &k, &err));
	ck_assert_int_eq(k.created_ms, fake_wall);
	memcpy(out_id, k.id, PARE_ID_MAX);
}

/* A request for a key that comes again finds the key, whoever it is for; who asks is who sent the first one. */
START_TEST(key_made_once)
{
	struct store_idempotency once = {.key = "k", .fingerprint = {1}};
	struct store_key made = {.id = "key_first", .owner = "acme", .name = "n", .scopes = "jobs:r", .hash = {1}, .once = &once}, again = made, got;
	struct store_page page = {.limit = 10};
	struct store_key *list;
	bool more;
	int n;

	begin(_i);
	MUST(store_key_put(MINE(s), &made, &err));
	ck_assert(!once.replayed);
	(void)snprintf(again.id, sizeof again.id, "key_second");
	again.hash[0] = 2;
	MUST(store_key_put(MINE(s), &again, &err));
	ck_assert(once.replayed);
	ck_assert_str_eq(again.id, "key_first");
	MUST(store_key_get(s, again.id, &got, &err));
	ck_assert_int_eq(got.hash[0], 1);
	store_key_done(&got);
	(void)snprintf(again.id, sizeof again.id, "key_second");
	once.fingerprint[0] = 2;
	ck_assert_int_eq(store_key_put(MINE(s), &again, &err), PARE_E_KEY_REUSED);
	MUST(store_key_list(s, &page, &list, &n, &more, &err));
	ck_assert_int_eq(n, 1);
	store_key_list_done(list, n);
	MUST(store_key_put((struct store_view){s, "other"}, &again, &err)); /* another owner's key is another key */
	ck_assert(!once.replayed);
	end();
}
END_TEST

START_TEST(key_round_trip)
{
	struct store_key_use use = {.at_ms = 77};
	struct store_key k;
	char id[PARE_ID_MAX];

	begin(_i);
	put_key(7, 99, id);
	MUST(store_key_get(s, id, &k, &err));
	ck_assert_str_eq(k.owner, "acme");
	ck_assert_str_eq(k.name, "n");
	ck_assert_str_eq(k.scopes, "jobs:rw");
	ck_assert_int_eq(k.hash[0], 7);
	ck_assert_int_eq(k.hash[31], 0);
	ck_assert(k.created_ms == fake_wall && k.expires_ms == 99 && k.revoked_ms == 0 && k.last_used_ms == 0);
	store_key_done(&k);
	memcpy(use.id, id, sizeof id);
	MUST(store_key_used(s, &use, 1, &err));
	use.at_ms = 50; /* an older one changes nothing */
	MUST(store_key_used(s, &use, 1, &err));
	memcpy(use.id, "key_gone", 9);
	MUST(store_key_used(s, &use, 1, &err));
	MUST(store_key_revoke(s, id, &err));
	fake_wall += 5;
	MUST(store_key_revoke(s, id, &err));
	MUST(store_key_get(s, id, &k, &err));
	ck_assert_int_eq(k.last_used_ms, 77);
	ck_assert_int_eq(k.revoked_ms, fake_wall - 5);
	store_key_done(&k);
	ck_assert_int_eq(store_key_get(s, "key_none", &k, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_key_revoke(s, "key_none", &err), PARE_E_NOT_FOUND);
	end();
}
END_TEST

START_TEST(key_pages)
{
	static const int order[] = {3, 1, 4, 5, 2}; /* as they are put: ids are the caller's */
	struct store_page page = {.limit = 2, .ascending = true};
	struct store_key *list;
	char ids[6][PARE_ID_MAX];
	bool more;
	int n;

	begin(_i);
	for (int i = 0; i < 5; i++)
		put_key(order[i], 0, ids[order[i]]);
	for (int i = 1; i <= 5; i += 2) {
		MUST(store_key_list(s, &page, &list, &n, &more, &err));
		ck_assert_int_eq(n, i < 5 ? 2 : 1);
		ck_assert(more == (i < 5));
		ck_assert_str_eq(list[0].id, ids[i]);
		store_key_list_done(list, n);
		page.after = i < 5 ? ids[i + 1] : NULL;
	}
	page = (struct store_page){.limit = 2, .before = ids[2]};
	MUST(store_key_list(s, &page, &list, &n, &more, &err));
	ck_assert(n == 2 && more);
	ck_assert_str_eq(list[0].id, ids[4]); /* just in front of it, newest first */
	ck_assert_str_eq(list[1].id, ids[3]);
	store_key_list_done(list, n);
	end();
}
END_TEST

START_TEST(old_keys_are_forgotten)
{
	char revoked[PARE_ID_MAX], expired[PARE_ID_MAX], stays[PARE_ID_MAX], id[PARE_ID_MAX];
	struct store_key k;

	begin(_i);
	put_key(1, 0, revoked);
	put_key(2, fake_wall + DAY_MS, expired);
	put_key(3, fake_wall + 90 * DAY_MS, stays);
	MUST(store_key_revoke(s, revoked, &err));
	fake_wall += STORE_KEY_KEPT_MS - 1;
	put_key(4, 0, id);
	MUST(store_key_get(s, revoked, &k, &err));
	store_key_done(&k);
	fake_wall += 1;
	put_key(5, 0, id);
	ck_assert_int_eq(store_key_get(s, revoked, &k, &err), PARE_E_NOT_FOUND);
	MUST(store_key_get(s, expired, &k, &err));
	store_key_done(&k);
	fake_wall += DAY_MS;
	put_key(6, 0, id);
	ck_assert_int_eq(store_key_get(s, expired, &k, &err), PARE_E_NOT_FOUND);
	MUST(store_key_get(s, stays, &k, &err));
	store_key_done(&k);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {key_made_once, key_round_trip, key_pages, old_keys_are_forgotten};

	return run_over_backends("store contract: keys", tests, sizeof tests / sizeof *tests) != 0;
}
