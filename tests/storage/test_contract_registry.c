/* The contract of storage/registry.h: versions, references, aliases, changes. */
#include "storage/registry.h"
#include "tests/storage/contract.h"

#define OTHERS ((struct store_view){s, "acme"})

static int64_t make(struct store_view v, enum store_asset_kind kind, const char *name, char out_id[PARE_ID_MAX])
{
	struct store_file f = {.path = "m.onnx", .sha256 = SHA_A, .n_bytes = 7};
	struct store_asset a = {.kind = kind, .name = name, .n_files = 1, .files = &f};

	MUST(store_asset_put(v, &a, &err));
	memcpy(out_id, a.id, PARE_ID_MAX);
	return a.version;
}

static void expect_means(struct store_view v, const char *reference, const char *id)
{
	char got[PARE_ID_MAX] = "";

	if (id == NULL) {
		ck_assert_msg(store_asset_resolve(v, STORE_MODEL, reference, got, &err) == PARE_E_NOT_FOUND, "%s means %s", reference, got);
		return;
	}
	MUST(store_asset_resolve(v, STORE_MODEL, reference, got, &err));
	ck_assert_msg(strcmp(got, id) == 0, "%s means %s, not %s", reference, got, id);
}

START_TEST(versions_are_numbered_and_never_again)
{
	char a[PARE_ID_MAX], b[PARE_ID_MAX], c[PARE_ID_MAX], other[PARE_ID_MAX];

	begin(_i);
	ck_assert_int_eq(make(MINE(s), STORE_MODEL, "lenet", a), 1);
	ck_assert_int_eq(make(MINE(s), STORE_MODEL, "lenet", b), 2);
	ck_assert_int_eq(make(MINE(s), STORE_DATASET, "lenet", other), 1);
	ck_assert_int_eq(make(OTHERS, STORE_MODEL, "lenet", other), 1);
	expect_means(MINE(s), "lenet", b);
	expect_means(MINE(s), "lenet:1", a);
	expect_means(MINE(s), "lenet:2", b);
	expect_means(MINE(s), a, a);
	expect_means(OTHERS, "lenet", other);
	expect_means(OTHERS, "lenet:2", NULL);
	MUST(store_asset_delete(MINE(s), STORE_MODEL, b, &err));
	expect_means(MINE(s), "lenet", a);
	expect_means(MINE(s), "lenet:2", NULL);
	ck_assert_int_eq(make(MINE(s), STORE_MODEL, "lenet", c), 3);
	expect_means(MINE(s), "lenet", c);
	end();
}
END_TEST

START_TEST(references_that_mean_nothing)
{
	static const char *const wrong[] = {"", ":", "@", "lenet:", "lenet:0", "lenet:-1", "lenet:1x", "lenet:01x", "lenet@", "lenet@..", "lenet@a/b", "lenet@none", "LENET", "lenet ", "..", "lenet:99999999999999999999",
	    "len\xD0\xB5t" /* Cyrillic e */};
	char id[PARE_ID_MAX], name[5000];

	begin(_i);
	(void)make(MINE(s), STORE_MODEL, "lenet", id);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		expect_means(MINE(s), wrong[i], NULL);
	memset(name, 'a', sizeof name);
	name[sizeof name - 1] = '\0';
	expect_means(MINE(s), name, NULL);
	end();
}
END_TEST

START_TEST(names_that_attack)
{
	static const char *const wrong[] = {".", "..", "a/b", "..\\a", "a:1", "a@b", " a", "a ", "a\nb", "a\x7F", "\xFF", "mdl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", "dst_01JD8Z3M2V9Q4T6R8W0Y2A4C6E"};
	struct store_file f = {.path = "m.onnx", .sha256 = SHA_A};
	struct store_asset a = {.kind = STORE_MODEL, .n_files = 1, .files = &f};
	char name[4097];

	begin(_i);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		a.name = wrong[i];
		ck_assert_msg(store_asset_put(MINE(s), &a, &err) == PARE_E_INVALID, "%s", wrong[i]);
		ck_assert_str_eq(err.where, "/name");
	}
	memset(name, 'a', sizeof name);
	name[sizeof name - 1] = '\0';
	a.name = name;
	ck_assert_int_eq(store_asset_put(MINE(s), &a, &err), PARE_E_INVALID);
	name[128] = '\0';
	MUST(store_asset_put(MINE(s), &a, &err));
	end();
}
END_TEST

START_TEST(aliases_move_and_hold)
{
	char a[PARE_ID_MAX], b[PARE_ID_MAX], other[PARE_ID_MAX];
	struct store_asset got;
	bool made = false;

	begin(_i);
	(void)make(MINE(s), STORE_MODEL, "lenet", a);
	(void)make(MINE(s), STORE_MODEL, "lenet", b);
	(void)make(MINE(s), STORE_MODEL, "other", other);
	MUST(store_alias_put(MINE(s), STORE_MODEL, "lenet", "champion", a, "", &made, &err));
	ck_assert(made);
	MUST(store_alias_put(MINE(s), STORE_MODEL, "lenet", "best", a, NULL, &made, &err));
	expect_means(MINE(s), "lenet@champion", a);
	expect_means(OTHERS, "lenet@champion", NULL);
	MUST(store_asset_get(MINE(s), STORE_MODEL, a, &got, &err));
	ck_assert_str_eq(got.aliases, "best,champion");
	store_asset_done(&got);
	ck_assert_int_eq(store_asset_delete(MINE(s), STORE_MODEL, a, &err), PARE_E_CONFLICT);
	ck_assert_ptr_nonnull(strstr(err.message, "lenet@best"));
	ck_assert_int_eq(store_alias_put(MINE(s), STORE_MODEL, "lenet", "champion", b, "", &made, &err), PARE_E_PRECONDITION);
	ck_assert_int_eq(store_alias_put(MINE(s), STORE_MODEL, "lenet", "champion", b, b, &made, &err), PARE_E_PRECONDITION);
	MUST(store_alias_put(MINE(s), STORE_MODEL, "lenet", "champion", b, a, &made, &err));
	ck_assert(!made);
	expect_means(MINE(s), "lenet@champion", b);
	ck_assert_int_eq(store_alias_put(MINE(s), STORE_MODEL, "lenet", "champion", other, NULL, &made, &err), PARE_E_INVALID);
	ck_assert_int_eq(store_alias_put(MINE(s), STORE_MODEL, "lenet", "..", b, NULL, &made, &err), PARE_E_INVALID);
	ck_assert_int_eq(store_alias_put(OTHERS, STORE_MODEL, "lenet", "champion", b, NULL, &made, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_alias_delete(MINE(s), STORE_MODEL, "lenet", "champion", a, &err), PARE_E_PRECONDITION);
	MUST(store_alias_delete(MINE(s), STORE_MODEL, "lenet", "champion", b, &err));
	ck_assert_int_eq(store_alias_delete(MINE(s), STORE_MODEL, "lenet", "champion", NULL, &err), PARE_E_NOT_FOUND);
	MUST(store_alias_delete(MINE(s), STORE_MODEL, "lenet", "best", NULL, &err));
	MUST(store_asset_delete(MINE(s), STORE_MODEL, a, &err));
	end();
}
END_TEST

START_TEST(changes_are_bound_to_what_was_read)
{
	struct store_asset_change c = {.description = "small", .labels = "{\"team\":\"a\"}"};
	struct store_asset got;
	char a[PARE_ID_MAX], b[PARE_ID_MAX];
	bool made;

	begin(_i);
	(void)make(MINE(s), STORE_MODEL, "lenet", a);
	(void)make(MINE(s), STORE_MODEL, "other", b);
	MUST(store_asset_change(MINE(s), STORE_MODEL, a, &c, 1, &err));
	MUST(store_asset_get(MINE(s), STORE_MODEL, a, &got, &err));
	ck_assert_str_eq(got.description, "small");
	ck_assert_str_eq(got.labels, c.labels);
	ck_assert_str_eq(got.name, "lenet");
	ck_assert(got.revision == 2 && got.version == 1 && got.n_files == 1);
	store_asset_done(&got);
	ck_assert_int_eq(store_asset_change(MINE(s), STORE_MODEL, a, &c, 1, &err), PARE_E_PRECONDITION);
	ck_assert_int_eq(store_asset_change(OTHERS, STORE_MODEL, a, &c, 2, &err), PARE_E_NOT_FOUND);
	c = (struct store_asset_change){.name = "a/b"};
	ck_assert_int_eq(store_asset_change(MINE(s), STORE_MODEL, a, &c, 2, &err), PARE_E_INVALID);
	c.name = "other";
	MUST(store_asset_change(MINE(s), STORE_MODEL, a, &c, 2, &err));
	expect_means(MINE(s), "other:2", a);
	expect_means(MINE(s), "lenet", NULL);
	MUST(store_alias_put(MINE(s), STORE_MODEL, "other", "champion", a, NULL, &made, &err));
	c.name = "third";
	ck_assert_int_eq(store_asset_change(MINE(s), STORE_MODEL, a, &c, 3, &err), PARE_E_CONFLICT);
	end();
}
END_TEST

START_TEST(pages_of_a_name)
{
	struct store_page page = {.limit = 2, .name = "lenet"};
	char ids[3][PARE_ID_MAX], x[PARE_ID_MAX];
	struct store_asset *list;
	bool more;
	int n;

	begin(_i);
	for (int i = 0; i < 3; i++) {
		(void)make(MINE(s), STORE_MODEL, "lenet", ids[i]);
		(void)make(MINE(s), STORE_MODEL, "other", x);
	}
	MUST(store_asset_list(MINE(s), STORE_MODEL, &page, &list, &n, &more, &err));
	ck_assert(n == 2 && more);
	ck_assert_str_eq(list[0].id, ids[2]);
	ck_assert_int_eq(list[1].version, 2);
	store_asset_list_done(list, n);
	page.after = ids[1];
	MUST(store_asset_list(MINE(s), STORE_MODEL, &page, &list, &n, &more, &err));
	ck_assert(n == 1 && !more);
	ck_assert_str_eq(list[0].id, ids[0]);
	store_asset_list_done(list, n);
	end();
}
END_TEST

int main(void)
{
	const TTest *tests[] = {versions_are_numbered_and_never_again, references_that_mean_nothing, names_that_attack, aliases_move_and_hold, changes_are_bound_to_what_was_read, pages_of_a_name};

	return run_over_backends("store contract: registry", tests, sizeof tests / sizeof *tests) != 0;
}
