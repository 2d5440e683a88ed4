/* The contract of storage/uploads.h. */
#include "storage/uploads.h"
#include "tests/storage/contract.h"
#include "tests/support/fail_alloc.h"

#define PART_A "00000000000000000000000000000001"
#define PART_B "00000000000000000000000000000002"
#define OTHERS ((struct store_view){s, "acme"})

static struct store_upload a_new(const char *part)
{
	struct store_upload u = {.name = "net.onnx", .metadata = "filename bmV0Lm9ubng=", .n_total = 100, .expires_ms = fake_wall + HOUR_MS};

	memcpy(u.part, part, sizeof u.part);
	return u;
}

START_TEST(round_trip)
{
	struct store_upload u, got;

	begin(_i);
	u = a_new(PART_A);
	MUST(store_upload_put(MINE(s), &u, 5, &err));
	ck_assert(pare_id_check(u.id, "upl"));
	MUST(store_upload_get(MINE(s), u.id, &got, &err));
	ck_assert_str_eq(got.id, u.id);
	ck_assert_str_eq(got.name, "net.onnx");
	ck_assert_str_eq(got.metadata, u.metadata);
	ck_assert_str_eq(got.part, PART_A);
	ck_assert_int_eq(got.n_total, 100);
	ck_assert_int_eq(got.n_synced, 0);
	ck_assert_str_eq(got.sha256, "");
	ck_assert_int_eq(got.created_ms, fake_wall);
	ck_assert_int_eq(got.expires_ms, fake_wall + HOUR_MS);
	store_upload_done(&got);
	ck_assert_int_eq(store_upload_get(MINE(s), "upl_0", &got, &err), PARE_E_NOT_FOUND);
	end();
}
END_TEST

START_TEST(changes_until_it_is_complete)
{
	struct store_upload u, got;
	bool used;

	begin(_i);
	u = a_new(PART_A);
	MUST(store_upload_put(MINE(s), &u, 5, &err));
	u.n_synced = 40;
	u.expires_ms += 5;
	MUST(store_upload_update(MINE(s), &u, &err));
	MUST(store_upload_get(MINE(s), u.id, &got, &err));
	ck_assert(got.n_synced == 40 && got.expires_ms == u.expires_ms && got.n_total == 100);
	store_upload_done(&got);
	MUST(store_blob_used(s, SHA_C, &used, &err));
	ck_assert(!used);
	memcpy(u.sha256, SHA_C, sizeof u.sha256);
	u.n_synced = 100;
	MUST(store_upload_update(MINE(s), &u, &err));
	MUST(store_blob_used(s, SHA_C, &used, &err));
	ck_assert(used);
	ck_assert_int_eq(store_upload_update(MINE(s), &u, &err), PARE_E_CONFLICT);
	MUST(store_upload_delete(MINE(s), u.id, &err));
	MUST(store_blob_used(s, SHA_C, &used, &err));
	ck_assert(!used);
	ck_assert_int_eq(store_upload_delete(MINE(s), u.id, &err), PARE_E_NOT_FOUND);
	end();
}
END_TEST

START_TEST(lists_by_pages)
{
	struct store_upload a, b, foreign, *list;
	struct store_page page = {.limit = 1};
	bool more;
	int n;

	begin(_i);
	a = a_new(PART_A);
	b = a_new(PART_B);
	foreign = a_new("00000000000000000000000000000003");
	MUST(store_upload_put(MINE(s), &a, 5, &err));
	MUST(store_upload_put(OTHERS, &foreign, 5, &err));
	fake_wall++;
	MUST(store_upload_put(MINE(s), &b, 5, &err));
	MUST(store_upload_list(MINE(s), &page, &list, &n, &more, &err));
	ck_assert(n == 1 && more);
	ck_assert_str_eq(list[0].id, b.id);
	ck_assert_str_eq(list[0].name, "net.onnx");
	store_upload_list_done(list, n);
	page = (struct store_page){.limit = 5, .after = b.id};
	MUST(store_upload_list(MINE(s), &page, &list, &n, &more, &err));
	ck_assert(n == 1 && !more);
	ck_assert_str_eq(list[0].id, a.id);
	store_upload_list_done(list, n);
	page = (struct store_page){.limit = 5, .ascending = true};
	MUST(store_upload_list(MINE(s), &page, &list, &n, &more, &err));
	ck_assert(n == 2 && !more);
	ck_assert_str_eq(list[0].id, a.id);
	store_upload_list_done(list, n);
	end();
}
END_TEST

START_TEST(owners_do_not_meet)
{
	struct store_upload u, got;

	begin(_i);
	u = a_new(PART_A);
	MUST(store_upload_put(MINE(s), &u, 1, &err));
	ck_assert_int_eq(store_upload_get(OTHERS, u.id, &got, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_upload_update(OTHERS, &u, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_upload_delete(OTHERS, u.id, &err), PARE_E_NOT_FOUND);
	u = a_new(PART_B);
	ck_assert_int_eq(store_upload_put(MINE(s), &u, 1, &err), PARE_E_QUOTA);
	ck_assert_str_eq(u.id, "");
	MUST(store_upload_put(OTHERS, &u, 1, &err)); /* each owner has a number of its own */
	end();
}
END_TEST

static void write_part(struct blob_store *b, const char *part)
{
	struct blob_part *p;

	MUST(blob_part_open(b, part, &p, &err));
	MUST(blob_part_append(p, "0123456789", 10, &err));
	blob_part_close(p);
}

START_TEST(expired_ones_go_with_their_bytes)
{
	struct store_upload u, v, got;
	struct blob_store *b;
	int n;

	begin(_i);
	MUST(blob_fs_open(dir, &fixture_env, &b, &err));
	u = a_new(PART_A);
	v = a_new(PART_B);
	v.expires_ms += HOUR_MS;
	MUST(store_upload_put(MINE(s), &u, 5, &err));
	MUST(store_upload_put(OTHERS, &v, 5, &err));
	write_part(b, PART_A);
	write_part(b, PART_B);
	MUST(store_uploads_collect(s, b, HOUR_MS, &n, &err));
	ck_assert_int_eq(n, 0);
	fake_wall += HOUR_MS;
	MUST(store_uploads_collect(s, b, HOUR_MS, &n, &err));
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(store_upload_get(MINE(s), u.id, &got, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(blob_part_size(b, PART_A), 0);
	ck_assert_int_eq(blob_part_size(b, PART_B), 10);
	blob_close(b);
	end();
}
END_TEST

/* Whoever appends keeps it, however long that lasts, and so do the bytes that came last. */
START_TEST(bytes_that_come_keep_an_upload)
{
	struct store_upload u, got;
	struct blob_store *b;
	struct blob_part *p;
	int n;

	begin(_i);
	MUST(blob_fs_open(dir, &fixture_env, &b, &err));
	u = a_new(PART_A);
	MUST(store_upload_put(MINE(s), &u, 5, &err));
	MUST(blob_part_open(b, PART_A, &p, &err));
	fake_wall += 2 * HOUR_MS;
	MUST(store_uploads_collect(s, b, HOUR_MS, &n, &err));
	ck_assert_int_eq(n, 0);
	MUST(blob_part_append(p, "hello", 5, &err));
	fake_wall += 2 * HOUR_MS;
	MUST(blob_part_append(p, " world", 6, &err));
	blob_part_close(p);
	fake_wall += HOUR_MS - 1;
	ck_assert_int_eq(store_upload_expiry(&u, b, HOUR_MS), fake_wall + 1);
	MUST(store_uploads_collect(s, b, HOUR_MS, &n, &err));
	ck_assert_int_eq(n, 0);
	MUST(store_upload_get(MINE(s), u.id, &got, &err));
	ck_assert_int_eq(got.expires_ms, fake_wall + 1);
	ck_assert_int_eq(got.n_synced, 0);
	store_upload_done(&got);
	ck_assert_int_eq(blob_part_size(b, PART_A), 11);
	fake_wall++;
	MUST(store_uploads_collect(s, b, HOUR_MS, &n, &err));
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(blob_part_size(b, PART_A), 0);
	blob_close(b);
	end();
}
END_TEST

START_TEST(start_removes_parts_without_a_row)
{
	struct store_upload u;
	struct blob_store *b;

	begin(_i);
	MUST(blob_fs_open(dir, &fixture_env, &b, &err));
	u = a_new(PART_A);
	MUST(store_upload_put(OTHERS, &u, 5, &err));
	write_part(b, PART_A);
	write_part(b, PART_B);
	MUST(store_uploads_recover(s, b, &err));
	ck_assert_int_eq(blob_part_size(b, PART_A), 0); /* nothing of it was synced, and no run of the system is noted yet */
	ck_assert_int_eq(blob_part_size(b, PART_B), 0);
	write_part(b, PART_A);
	blob_close(b);
	MUST(blob_fs_open(dir, &fixture_env, &b, &err));
	MUST(store_uploads_recover(s, b, &err));
	ck_assert_int_eq(blob_part_size(b, PART_A), 10);
	blob_close(b);
	end();
}
END_TEST

static int64_t used(void)
{
	struct store_usage u;

	MUST(store_usage(MINE(s), &u, &err));
	return u.bytes - 14; /* begin() has put two files of 7 */
}

/* Requests that are cut off, and daemons that are killed, leave bytes that no row knows of. */
START_TEST(what_nobody_noted_is_counted)
{
	struct store_upload u, got;
	struct blob_store *b;
	struct blob_part *p;

	begin(_i);
	store_set_quota(s, &(struct store_quota){.max_bytes = 120});
	MUST(blob_fs_open(dir, &fixture_env, &b, &err));
	u = a_new(PART_A);
	MUST(store_upload_put(MINE(s), &u, 5, &err));
	MUST(store_uploads_recover(s, b, &err)); /* the parts are of this run of the system */
	MUST(blob_part_open(b, PART_A, &p, &err));
	MUST(blob_part_append(p, "hello", 5, &err));
	MUST(store_uploads_count(s, b, &err));
	ck_assert_int_eq(used(), 0); /* his, who is writing */
	blob_part_close(p);
	store_set_quota(s, &(struct store_quota){.max_bytes = 15});
	MUST(store_uploads_count(s, b, &err));
	ck_assert_int_eq(used(), 5); /* what is there is there */
	MUST(store_upload_get(MINE(s), u.id, &got, &err));
	ck_assert_int_eq(got.n_synced, 5);
	store_upload_done(&got);
	MUST(blob_part_open(b, PART_A, &p, &err));
	MUST(blob_part_append(p, " world", 6, &err));
	blob_part_close(p);
	blob_close(b);
	MUST(blob_fs_open(dir, &fixture_env, &b, &err));
	MUST(store_uploads_recover(s, b, &err));
	ck_assert_int_eq(used(), 11);
	write_part(b, PART_B); /* of nobody */
	MUST(store_uploads_count(s, b, &err));
	ck_assert_int_eq(used(), 11);
	MUST(store_upload_delete(MINE(s), u.id, &err));
	ck_assert_int_eq(used(), 0);
	blob_close(b);
	end();
}
END_TEST

/* A store that fails while parts are recovered leaves none of them trusted: the next start cuts what this one should have cut. */
START_TEST(a_store_that_cannot_tell_ends_the_start)
{
	enum pare_code code = PARE_E_NOMEM;
	int n_failed = 0;

	for (long i = 1; code != PARE_OK; i++) {
		struct store_upload u;
		struct blob_store *b;

		begin(_i);
		MUST(blob_fs_open(dir, &fixture_env, &b, &err));
		u = a_new(PART_A);
		MUST(store_upload_put(MINE(s), &u, 5, &err));
		write_part(b, PART_A); /* of which nothing was synced, and no run of the system is noted yet */
		blob_close(b);
		MUST(blob_fs_open(dir, &fixture_env, &b, &err));
		fail_alloc_install(i);
		code = store_uploads_recover(s, b, &err);
		fail_alloc_remove();
		n_failed += code != PARE_OK;
		ck_assert_int_eq(code, code == PARE_OK ? PARE_OK : PARE_E_NOMEM);
		blob_close(b);
		MUST(blob_fs_open(dir, &fixture_env, &b, &err));
		MUST(store_uploads_recover(s, b, &err));
		ck_assert_int_eq(blob_part_size(b, PART_A), 0);
		blob_close(b);
		end();
	}
	ck_assert_int_gt(n_failed, 0);
}
END_TEST

START_TEST(known_blobs_are_ones_own)
{
	const unsigned int models = 1u << STORE_MODEL, datasets = 1u << STORE_DATASET, all = models | datasets | STORE_IN_UPLOADS;
	struct store_upload u;
	bool known;

	begin(_i);
	MUST(store_blob_known(MINE(s), SHA_A, all, &known, &err)); /* of the model that begin() put */
	ck_assert(known);
	MUST(store_blob_known(MINE(s), SHA_A, models, &known, &err));
	ck_assert(known);
	MUST(store_blob_known(MINE(s), SHA_A, datasets | STORE_IN_UPLOADS, &known, &err));
	ck_assert(!known);
	MUST(store_blob_known(OTHERS, SHA_A, all, &known, &err));
	ck_assert(!known);
	u = a_new(PART_A);
	memcpy(u.sha256, SHA_C, sizeof u.sha256);
	MUST(store_upload_put(OTHERS, &u, 5, &err));
	MUST(store_blob_known(OTHERS, SHA_C, STORE_IN_UPLOADS, &known, &err));
	ck_assert(known);
	MUST(store_blob_known(OTHERS, SHA_C, models | datasets, &known, &err));
	ck_assert(!known);
	MUST(store_blob_known(MINE(s), SHA_C, all, &known, &err));
	ck_assert(!known);
	end();
}
END_TEST

int main(void)
{
	const TTest *tests[] = {round_trip, changes_until_it_is_complete, lists_by_pages, owners_do_not_meet, expired_ones_go_with_their_bytes, bytes_that_come_keep_an_upload, start_removes_parts_without_a_row, what_nobody_noted_is_counted, a_store_that_cannot_tell_ends_the_start, known_blobs_are_ones_own};

	return run_over_backends("store contract: uploads", tests, sizeof tests / sizeof *tests) != 0;
}
