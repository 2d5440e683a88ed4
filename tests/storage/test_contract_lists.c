/* The contract of store.h: how jobs are found and which is next. Filters in every combination, places of several statuses, labels and priorities as they change. */
#include "tests/storage/contract.h"

#define N_JOBS 12
static char ids[N_JOBS][PARE_ID_MAX];
static char model2[PARE_ID_MAX];

/* Job i: its model, data set, kind, labels and priority by i; ten milliseconds apart. */
static void put(int i)
{
	static const char *const kinds[] = {"prune", "train", "search"};
	static const char *const labels[] = {"", "team=a\n", "team=a\ntier=1\n", "team=b\ntier=1\n"};
	struct store_job j = {.max_crashes = 3, .model = i % 2 == 0 ? model : model2, .dataset = i < 6 ? dataset : NULL, .kind = kinds[i % 3], .labels = labels[i % 4], .priority = i % 3 - 1, .request = "{}"};

	fake_wall += 10;
	MUST(store_job_put(MINE(s), &j, NULL, &err));
	memcpy(ids[i], j.id, PARE_ID_MAX);
	store_job_done(&j);
}

static void begin_with_jobs(int backend)
{
	begin(backend);
	put_asset(s, STORE_MODEL, SHA_C, model2);
	for (int i = 0; i < N_JOBS; i++)
		put(i);
}

static void cancel(int i)
{
	struct store_job j;

	MUST(store_job_cancel(MINE(s), ids[i], &j, &err));
	store_job_done(&j);
}

/* wanted: the jobs' numbers as letters from 'a' on. */
static void expect(struct store_page page, const char *wanted, bool expect_more, int line)
{
	struct store_job *list;
	char got[N_JOBS + 1] = "";
	bool more;
	int n;

	must(store_job_list(MINE(s), &page, &list, &n, &more, &err), &err, "list", line);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < N_JOBS; k++)
			if (strcmp(list[i].id, ids[k]) == 0)
				got[i] = (char)('a' + k);
	store_job_list_done(list, n);
	ck_assert_msg(strcmp(got, wanted) == 0 && more == expect_more, "line %d: %s%s, not %s", line, got, more ? " and more" : "", wanted);
}
#define EXPECT(wanted, more, ...) expect((struct store_page){__VA_ARGS__}, wanted, more, __LINE__)
#define STATUS(x) (1U << STORE_##x)

START_TEST(filters_hold_together)
{
	static const char *const a[] = {"team=a"}, *const tier[] = {"tier=1"}, *const both[] = {"team=a", "tier=1"}, *const no[] = {"team=a", "team=b"}, *const part[] = {"team="};

	begin_with_jobs(_i);
	EXPECT("ljhfdb", false, .limit = 9, .model = model2);
	EXPECT("kheb", false, .limit = 9, .kind = "train");
	EXPECT("hb", false, .limit = 9, .kind = "train", .model = model2);
	EXPECT("b", false, .limit = 9, .kind = "train", .model = model2, .dataset = dataset);
	EXPECT("kjgfcb", false, .limit = 9, .labels = a, .n_labels = 1);
	EXPECT("lkhgdc", false, .limit = 9, .labels = tier, .n_labels = 1);
	EXPECT("kgc", false, .limit = 9, .labels = both, .n_labels = 2);
	EXPECT("cg", true, .limit = 2, .labels = both, .n_labels = 2, .ascending = true);
	EXPECT("", false, .limit = 9, .labels = no, .n_labels = 2);
	EXPECT("", false, .limit = 9, .labels = part, .n_labels = 1);
	EXPECT("kb", false, .limit = 9, .labels = a, .n_labels = 1, .kind = "train");
	EXPECT("b", false, .limit = 9, .labels = a, .n_labels = 1, .kind = "train", .after = ids[10]);
	end();
}
END_TEST

START_TEST(several_statuses_are_one_order)
{
	char id[PARE_ID_MAX];

	begin_with_jobs(_i);
	cancel(3);
	cancel(7);
	finish(id, claim(id), STORE_SUCCEEDED); /* the first of the highest priority: c */
	ck_assert_str_eq(id, ids[2]);
	ck_assert_int_ne(claim(id), 0);
	ck_assert_str_eq(id, ids[5]);
	EXPECT("hfdc", false, .limit = 9, .statuses = STATUS(CANCELED) | STATUS(SUCCEEDED) | STATUS(RUNNING));
	EXPECT("cd", true, .limit = 2, .statuses = STATUS(CANCELED) | STATUS(SUCCEEDED) | STATUS(RUNNING), .ascending = true);
	EXPECT("fh", false, .limit = 2, .statuses = STATUS(CANCELED) | STATUS(SUCCEEDED) | STATUS(RUNNING), .ascending = true, .after = ids[3]);
	EXPECT("hf", false, .limit = 2, .statuses = STATUS(CANCELED) | STATUS(SUCCEEDED) | STATUS(RUNNING), .before = ids[4], .after = NULL, .ascending = false);
	EXPECT("lkjihgfedcba", false, .limit = 200, .statuses = (1U << STORE_N_STATUS) - 1);
	EXPECT("hd", false, .limit = 9, .statuses = STATUS(CANCELED) | STATUS(FAILED), .model = model2);
	EXPECT("", false, .limit = 9, .statuses = STATUS(FAILED), .kind = "train");
	end();
}
END_TEST

START_TEST(times_are_bounds_of_ids)
{
	int64_t t[N_JOBS];

	begin_with_jobs(_i);
	for (int i = 0; i < N_JOBS; i++)
		t[i] = fake_wall - 10 * (N_JOBS - 1 - i);
	EXPECT("lkj", false, .limit = 9, .created_after_ms = t[8]);
	EXPECT("lkji", false, .limit = 9, .created_after_ms = t[8] - 1);
	EXPECT("ba", false, .limit = 9, .created_before_ms = t[2]);
	EXPECT("cba", false, .limit = 9, .created_before_ms = t[2] + 1);
	EXPECT("ed", false, .limit = 9, .created_after_ms = t[2], .created_before_ms = t[5]);
	EXPECT("e", true, .limit = 1, .created_after_ms = t[2], .created_before_ms = t[5]);
	EXPECT("d", false, .limit = 1, .created_after_ms = t[2], .created_before_ms = t[5], .after = ids[4]);
	EXPECT("", false, .limit = 1, .created_after_ms = t[2], .created_before_ms = t[5], .after = ids[3]);
	EXPECT("d", true, .limit = 1, .created_after_ms = t[2], .created_before_ms = t[5], .ascending = true);
	EXPECT("", false, .limit = 9, .created_after_ms = t[5], .created_before_ms = t[5]);
	end();
}
END_TEST

START_TEST(the_queue_goes_by_priority_then_age)
{
	static const int order[N_JOBS] = {2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9};
	struct store_page page = {.limit = 200};
	struct store_job *list;
	char id[PARE_ID_MAX];
	bool more;
	int n;

	begin_with_jobs(_i);
	for (int i = 0; i < N_JOBS; i++)
		ck_assert_int_eq(position_of(ids[order[i]]), i);
	MUST(store_job_list(MINE(s), &page, &list, &n, &more, &err));
	for (int i = 0; i < N_JOBS; i++)
		ck_assert_int_eq(list[N_JOBS - 1 - order[i]].position, i);
	store_job_list_done(list, n);
	page = (struct store_page){.limit = 2, .before = ids[3]}; /* as it is read, the other way round */
	MUST(store_job_list(MINE(s), &page, &list, &n, &more, &err));
	ck_assert(n == 2 && list[0].position == 1 && list[1].position == 5);
	store_job_list_done(list, n);
	for (int i = 0; i < N_JOBS; i++) {
		ck_assert_int_ne(claim(id), 0);
		ck_assert_str_eq(id, ids[order[i]]);
	}
	end();
}
END_TEST

START_TEST(a_job_is_changed)
{
	static const char *const c[] = {"team=c"}, *const a[] = {"team=a"};
	const int high = 9;
	struct store_job_change change = {.name = "renamed"};
	char id[PARE_ID_MAX];
	struct store_job j;
	int64_t revision, token;

	begin_with_jobs(_i);
	MUST(store_job_change(MINE(s), ids[1], &change, &j, &err));
	ck_assert_str_eq(j.name, "renamed");
	ck_assert_str_eq(j.labels, "team=a\n");
	ck_assert_int_eq(j.priority, 0);
	ck_assert_int_eq(j.revision, 2);
	ck_assert_str_eq(j.kind, "train");
	store_job_done(&j);
	change = (struct store_job_change){.labels = "a=1\nteam=c\n", .priority = &high, .if_revision = 1};
	ck_assert_int_eq(store_job_change(MINE(s), ids[1], &change, &j, &err), PARE_E_PRECONDITION);
	change.if_revision = 2;
	MUST(store_job_change(MINE(s), ids[1], &change, &j, &err));
	ck_assert_str_eq(j.name, "renamed");
	ck_assert_str_eq(j.labels, "a=1\nteam=c\n");
	revision = j.revision;
	store_job_done(&j);
	ck_assert_int_eq(revision, 3);
	EXPECT("b", false, .limit = 9, .labels = c, .n_labels = 1);
	EXPECT("kjgfc", false, .limit = 9, .labels = a, .n_labels = 1);
	token = claim(id);
	ck_assert_str_eq(id, ids[1]); /* it has come to the front */
	/* while it runs, and when it has ended; its worker does not notice */
	change = (struct store_job_change){.labels = ""};
	MUST(store_job_change(MINE(s), id, &change, &j, &err));
	ck_assert_int_eq(j.status, STORE_RUNNING);
	store_job_done(&j);
	finish(id, token, STORE_SUCCEEDED);
	change = (struct store_job_change){.labels = "team=c\n"};
	MUST(store_job_change(MINE(s), id, &change, &j, &err));
	ck_assert_int_eq(j.priority, 9);
	store_job_done(&j);
	EXPECT("b", false, .limit = 9, .labels = c, .n_labels = 1, .statuses = STATUS(SUCCEEDED));
	expect_events(id, "job.queued job.started job.succeeded");
	MUST(store_job_delete(MINE(s), id, &err));
	EXPECT("", false, .limit = 9, .labels = c, .n_labels = 1);
	ck_assert_int_eq(store_job_change(MINE(s), id, &change, &j, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_job_change((struct store_view){s, "other"}, ids[0], &change, &j, &err), PARE_E_NOT_FOUND);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {filters_hold_together, several_statuses_are_one_order, times_are_bounds_of_ids, the_queue_goes_by_priority_then_age, a_job_is_changed};

	return run_over_backends("store contract: lists", tests, sizeof tests / sizeof *tests) != 0;
}
