/* The contract of store.h about owners: through a view, what belongs to others cannot be told from what there is not. */
#include "tests/storage/contract.h"

#define THEIRS ((struct store_view){s, "other"})

/* Two errors that differ in nothing but the id they quote. */
static void expect_same(enum pare_code got, const struct pare_err *foreign, enum pare_code wanted, const struct pare_err *unknown, const char *id, const char *unknown_id, int line)
{
	char text[PARE_ERR_MESSAGE_MAX];
	const char *at = strstr(foreign->message, id);

	ck_assert_msg(got == PARE_E_NOT_FOUND && wanted == PARE_E_NOT_FOUND, "line %d: %s and %s", line, pare_code_string(got), pare_code_string(wanted));
	ck_assert_msg(at != NULL, "line %d: %s", line, foreign->message);
	(void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - foreign->message), foreign->message, unknown_id, at + strlen(id));
	ck_assert_str_eq(text, unknown->message);
	ck_assert_str_eq(foreign->where, unknown->where);
}

/* Calls a verb as the other owner with the id, then with one that nobody has. */
#define SAME(id, nobody, call_with)                                                                                                                            \
	do {                                                                                                                                                   \
		struct pare_err foreign = {.code = PARE_OK}, unknown = {.code = PARE_OK};                                                                      \
		const char *with = (id);                                                                                                                       \
		struct pare_err *e = &foreign;                                                                                                                 \
		enum pare_code got = (call_with), wanted;                                                                                                      \
		with = (nobody);                                                                                                                               \
		e = &unknown;                                                                                                                                  \
		wanted = (call_with);                                                                                                                          \
		expect_same(got, &foreign, wanted, &unknown, (id), (nobody), __LINE__);                                                                        \
	} while (0)

START_TEST(every_verb_by_id)
{
	static const char no_job[] = "job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", no_model[] = "mdl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E";
	struct store_artifact art = {.name = "a", .media_type = "x/y", .sha256 = SHA_C, .n_bytes = 9}, *arts, one;
	struct store_outcome o = {.status = STORE_SUCCEEDED, .result = "{}", .n_artifacts = 1, .artifacts = &art};
	char done[PARE_ID_MAX], waiting[PARE_ID_MAX];
	struct store_event *events;
	struct store_asset a;
	struct store_job j;
	const struct store_job_change change = {.name = "theirs"};
	enum store_job_status status;
	int64_t revision;
	bool final;
	int n;

	begin(_i);
	put_job(s, model, dataset, done);
	MUST(store_job_finish(s, done, claim(done), &o, &err));
	put_job(s, model, dataset, waiting);
	SAME(model, no_model, store_asset_get(THEIRS, STORE_MODEL, with, &a, e));
	SAME(model, no_model, store_asset_delete(THEIRS, STORE_MODEL, with, e)); /* in use: a conflict would tell */
	SAME(waiting, no_job, store_job_get(THEIRS, with, &j, e));
	SAME(waiting, no_job, store_job_cancel(THEIRS, with, &j, e));
	SAME(waiting, no_job, store_job_stamp(THEIRS, with, &status, &revision, e));
	SAME(waiting, no_job, store_job_pause(THEIRS, with, &j, e));
	SAME(waiting, no_job, store_job_resume(THEIRS, with, &j, e));
	SAME(waiting, no_job, store_job_change(THEIRS, with, &change, &j, e));
	SAME(waiting, no_job, store_job_delete(THEIRS, with, e));
	SAME(done, no_job, store_job_cancel(THEIRS, with, &j, e));
	SAME(done, no_job, store_job_delete(THEIRS, with, e));
	SAME(done, no_job, store_event_list(THEIRS, with, 0, 10, &events, &n, &final, e));
	SAME(done, no_job, store_artifact_list(THEIRS, with, &arts, &n, e));
	SAME(done, no_job, store_artifact_get(THEIRS, with, "a", &one, e));
	SAME(art.id, "art_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", store_artifact_find(THEIRS, with, &one, e));
	SAME(art.id, "art_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", store_artifact_delete(THEIRS, with, e));
	/* and nothing has happened to them */
	ck_assert_int_eq(status_of(done), STORE_SUCCEEDED);
	ck_assert_int_eq(status_of(waiting), STORE_QUEUED);
	MUST(store_artifact_get(MINE(s), done, "a", &one, &err));
	store_artifact_done(&one);
	MUST(store_asset_get(MINE(s), STORE_MODEL, model, &a, &err));
	ck_assert_str_eq(a.owner, STORE_DEFAULT_OWNER);
	store_asset_done(&a);
	end();
}
END_TEST

static int count_jobs(struct store_view v, const struct store_page *page)
{
	struct store_job *list;
	bool more;
	int n;

	MUST(store_job_list(v, page, &list, &n, &more, &err));
	ck_assert(!more);
	for (int i = 0; i < n; i++)
		ck_assert_str_eq(list[i].owner, v.owner);
	store_job_list_done(list, n);
	return n;
}

START_TEST(lists_and_references)
{
	struct store_file f = {.path = "m.onnx", .sha256 = SHA_A, .n_bytes = 1};
	struct store_asset theirs = {.kind = STORE_MODEL, .name = "n", .n_files = 1, .files = &f}, *list;
	struct store_job j = {.max_crashes = 1, .kind = "prune", .labels = "team=a\n", .model = model, .request = "{}"};
	static const char *const labels[] = {"team=a"};
	struct store_page page = {.limit = 10};
	char mine[PARE_ID_MAX];
	bool more;
	int n;

	begin(_i);
	put_job(s, model, dataset, mine);
	MUST(store_asset_put(THEIRS, &theirs, &err));
	ck_assert_int_eq(store_job_put(THEIRS, &j, NULL, &err), PARE_E_NOT_FOUND);
	ck_assert_str_eq(err.where, "/model");
	j.model = theirs.id;
	j.dataset = dataset;
	ck_assert_int_eq(store_job_put(THEIRS, &j, NULL, &err), PARE_E_NOT_FOUND);
	ck_assert_str_eq(err.where, "/dataset");
	j.dataset = NULL;
	MUST(store_job_put(THEIRS, &j, NULL, &err));
	ck_assert_str_eq(j.owner, "other");
	MUST(store_asset_list(THEIRS, STORE_MODEL, &page, &list, &n, &more, &err));
	ck_assert(n == 1 && !more);
	ck_assert_str_eq(list[0].id, theirs.id);
	ck_assert_str_eq(list[0].owner, "other");
	store_asset_list_done(list, n);
	MUST(store_asset_list(THEIRS, STORE_DATASET, &page, &list, &n, &more, &err));
	ck_assert(n == 0 && !more);
	store_asset_list_done(list, n);
	/* every way to ask for a page */
	for (int ascending = 0; ascending < 2; ascending++)
		for (int filter = 0; filter < 7; filter++) {
			page = (struct store_page){.limit = 10, .ascending = ascending != 0, .statuses = filter == 1 ? 1U << STORE_QUEUED : filter == 2 ? 3U << STORE_QUEUED : 0, .kind = filter == 3 ? "prune" : NULL,
			    .labels = labels, .n_labels = filter == 4, .model = filter == 5 ? model : NULL, .dataset = filter == 6 ? dataset : NULL};
			ck_assert_int_eq(count_jobs(MINE(s), &page), 1);
			ck_assert_int_eq(count_jobs(THEIRS, &page), filter >= 5 ? 0 : 1);
		}
	store_job_done(&j);
	end();
}
END_TEST

START_TEST(idempotency_keys_are_the_owners)
{
	struct store_idempotency k = {.key = "k", .scope = "ci", .fingerprint = {1}};
	struct store_file f = {.path = "m.onnx", .sha256 = SHA_A, .n_bytes = 1};
	struct store_asset theirs = {.kind = STORE_MODEL, .name = "n", .n_files = 1, .files = &f};
	struct store_job a = {.model = model, .request = "{}"}, b = {.request = "{}"}, again = b;

	begin(_i);
	MUST(store_asset_put(THEIRS, &theirs, &err));
	MUST(store_job_put(MINE(s), &a, &k, &err));
	b.model = again.model = theirs.id;
	k.fingerprint[0] = 2; /* another request under the same key and scope, of another owner */
	MUST(store_job_put(THEIRS, &b, &k, &err));
	ck_assert(!k.replayed);
	ck_assert_str_ne(a.id, b.id);
	MUST(store_job_put(THEIRS, &again, &k, &err));
	ck_assert(k.replayed);
	ck_assert_str_eq(again.id, b.id);
	store_job_done(&a);
	store_job_done(&b);
	store_job_done(&again);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {every_verb_by_id, lists_and_references, idempotency_keys_are_the_owners};

	return run_over_backends("owners", tests, sizeof tests / sizeof *tests) != 0;
}
