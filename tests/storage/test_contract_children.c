/* The contract of store.h: a job whose runs are jobs. It waits and holds nobody, it is queued by whichever child ends last however that ends, it takes its
 * children along when it is canceled or deleted, and at no point is it both or neither. */
#include "tests/storage/contract.h"

static char parent[PARE_ID_MAX];
static int64_t parent_token;

static void begin_held(int backend)
{
	begin(backend);
	put_job(s, model, dataset, parent);
	parent_token = claim(parent);
}

static void fork_some(int first, int n, int all, int ahead)
{
	static char requests[8][32], trials[8][32];
	struct store_child children[8];

	for (int i = 0; i < n; i++) {
		(void)snprintf(requests[i], sizeof requests[i], "{\"r\":%d}", first + i);
		(void)snprintf(trials[i], sizeof trials[i], "{\"t\":%d}", first + i);
		children[i] = (struct store_child){.kind = "trial", .request = requests[i], .trial = trials[i]};
	}
	MUST(store_job_fork(s, parent, parent_token, children, n, all, ahead, &err));
}

static struct store_job load(const char *id)
{
	struct store_job j;

	MUST(store_job_get(MINE(s), id, &j, &err));
	return j;
}

static void expect_counts(int queued, int running, int succeeded, int failed, int canceled)
{
	int64_t n[STORE_N_STATUS];

	MUST(store_job_children(MINE(s), parent, n, &err));
	ck_assert_int_eq(n[STORE_QUEUED], queued);
	ck_assert_int_eq(n[STORE_RUNNING] + n[STORE_CANCELING], running);
	ck_assert_int_eq(n[STORE_SUCCEEDED], succeeded);
	ck_assert_int_eq(n[STORE_FAILED], failed);
	ck_assert_int_eq(n[STORE_CANCELED], canceled);
}

/* Events of jobs in the feed, whosever they are. */
static int n_told(void)
{
	struct store_event *list;
	int n, of_jobs = 0;

	MUST(store_feed_list(MINE(s), 0, 1000, &list, &n, &err));
	for (int i = 0; i < n; i++)
		of_jobs += strncmp(list[i].subject, "job_", 4) == 0;
	store_event_list_done(list, n);
	return of_jobs;
}

static int n_listed(const char *of)
{
	struct store_page page = {.limit = 50, .parent = of};
	struct store_job *list;
	bool more;
	int n;

	MUST(store_job_list(MINE(s), &page, &list, &n, &more, &err));
	store_job_list_done(list, n);
	return n;
}

START_TEST(a_parent_waits_and_holds_nobody)
{
	struct store_page page = {.limit = 50, .parent = parent, .ascending = true};
	struct store_job j, *list;
	char other[PARE_ID_MAX];
	int64_t started, priority = 0;
	enum store_job_status asked;
	bool more;
	int n;

	begin_held(_i);
	MUST(store_job_event(s, parent, parent_token, "job.phase", "info", "{}", "sweep", NULL, &err));
	j = load(parent);
	started = j.started_ms;
	ck_assert(!store_job_waits(&j));
	ck_assert_int_eq(j.trials_all, 0);
	store_job_done(&j);
	fork_some(0, 3, 5, 2);
	j = load(parent);
	ck_assert(store_job_waits(&j));
	ck_assert_int_eq(j.status, STORE_RUNNING);
	ck_assert_str_eq(j.phase, "sweep");
	ck_assert_int_eq(j.trials_all, 5);
	ck_assert_int_eq(j.trials_ahead, 2);
	ck_assert_int_eq(j.started_ms, started);
	ck_assert_str_eq(j.progress, "{\"fraction\":0.0000,\"trials_done\":0,\"trials\":5,\"eta_seconds\":null}");
	store_job_done(&j);
	ck_assert_int_eq(store_job_renew(s, parent, parent_token, 1000, &asked, &err), PARE_E_LEASE_LOST);
	/* time does not give back what nobody holds, nor does a restart */
	fake_mono += HOUR_MS;
	MUST(store_expire(s, &n, &err));
	ck_assert_int_eq(n, 0);
	MUST(store_recover(s, &n, &err));
	ck_assert_int_eq(n, 0);
	/* lists show children of one parent, or nobody's */
	ck_assert_int_eq(n_listed(NULL), 1);
	ck_assert_int_eq(n_listed("job_00000000000000000000000000"), 0);
	MUST(store_job_list(MINE(s), &page, &list, &n, &more, &err));
	ck_assert_int_eq(n, 3);
	for (int i = 0; i < n; i++) {
		ck_assert_str_eq(list[i].parent, parent);
		ck_assert_str_eq(list[i].owner, STORE_DEFAULT_OWNER);
		ck_assert_str_eq(list[i].kind, "trial");
		ck_assert_str_eq(list[i].name, "n");
		ck_assert_str_eq(list[i].labels, "team=a\n");
		ck_assert_str_eq(list[i].model, model);
		ck_assert_str_eq(list[i].dataset, dataset);
		ck_assert_int_eq(list[i].priority, priority);
		ck_assert_int_eq(list[i].max_crashes, 3);
		ck_assert_int_eq(list[i].trial[5], '0' + i);
		ck_assert_int_eq(list[i].request[5], '0' + i);
		expect_events(list[i].id, "job.queued");
	}
	store_job_list_done(list, n);
	page.statuses = 1U << STORE_RUNNING;
	MUST(store_job_list(MINE(s), &page, &list, &n, &more, &err));
	ck_assert_int_eq(n, 0);
	store_job_list_done(list, n);
	expect_counts(3, 0, 0, 0, 0);
	ck_assert_int_eq(store_job_children((struct store_view){s, "other"}, parent, (int64_t[STORE_N_STATUS]){0}, &err), PARE_E_NOT_FOUND);
	expect_events(parent, "job.queued job.started job.phase job.waiting");
	put_job(s, model, dataset, other);
	ck_assert_int_eq(n_listed(NULL), 2);
	ck_assert_int_eq(position_of(other), 3); /* children are in the queue like any job */
	end();
}
END_TEST

/* Succeeded, failed, crashed for good, canceled: each is an end, and the last one queues the parent. */
START_TEST(whichever_ends_last_queues_the_parent)
{
	struct store_outcome done = {.status = STORE_SUCCEEDED, .result = "{\"trial\":7}"}, failed = {.status = STORE_FAILED, .code = PARE_E_DIVERGED, .message = "too far", .where = ""};
	char ids[4][PARE_ID_MAX], last[PARE_ID_MAX];
	struct store_event *events;
	int64_t tokens[4];
	struct store_job j;
	bool final;
	int n;

	begin_held(_i);
	fork_some(0, 4, 6, 2);
	for (int i = 0; i < 4; i++)
		tokens[i] = claim(ids[i]);
	fake_wall += 10000;
	MUST(store_job_finish(s, ids[0], tokens[0], &done, &err));
	j = load(parent);
	ck_assert(store_job_waits(&j));
	ck_assert_str_eq(j.progress, "{\"fraction\":0.1429,\"trials_done\":1,\"trials\":6,\"eta_seconds\":60}");
	store_job_done(&j);
	MUST(store_job_finish(s, ids[1], tokens[1], &failed, &err));
	MUST(store_job_cancel(MINE(s), ids[2], &j, &err));
	ck_assert_int_eq(j.status, STORE_CANCELING);
	store_job_done(&j);
	expect_counts(0, 2, 1, 1, 0);
	MUST(store_job_release(s, ids[2], tokens[2], false, "stop", &err));
	expect_counts(0, 1, 1, 1, 1);
	for (int crash = 1; crash <= 3; crash++) {
		ck_assert_int_eq(status_of(parent), STORE_RUNNING);
		MUST(store_job_release(s, ids[3], tokens[3], true, "it died", &err));
		if (crash < 3)
			tokens[3] = claim(last);
	}
	expect_counts(0, 0, 1, 2, 1);
	j = load(parent);
	ck_assert_int_eq(j.status, STORE_QUEUED);
	ck_assert_int_eq(j.attempt, 1);
	ck_assert_str_eq(j.phase, "");
	ck_assert(!store_job_waits(&j));
	store_job_done(&j);
	expect_events(parent, "job.queued job.started job.waiting job.trial job.trial job.trial job.trial");
	MUST(store_event_list(MINE(s), parent, 3, 9, &events, &n, &final, &err));
	ck_assert_int_eq(n, 4);
	ck_assert(!final);
	ck_assert_ptr_nonnull(strstr(events[0].data, ids[0]));
	ck_assert_ptr_nonnull(strstr(events[0].data, "\"status\":\"succeeded\",\"run\":{\"t\":0},\"done\":1,\"all\":6,\"result\":{\"trial\":7}}"));
	ck_assert_ptr_nonnull(strstr(events[1].data, "\"message\":\"too far\"}"));
	ck_assert_str_eq(events[1].level, "warning");
	ck_assert_ptr_nonnull(strstr(events[2].data, "\"status\":\"canceled\""));
	ck_assert_ptr_nonnull(strstr(events[3].data, "it died"));
	store_event_list_done(events, n);
	/* and it goes on, may fork again, and ends like any job */
	parent_token = claim(last);
	ck_assert_str_eq(last, parent);
	fork_some(4, 2, 6, 0);
	for (int i = 0; i < 2; i++) {
		tokens[i] = claim(ids[i]);
		MUST(store_job_finish(s, ids[i], tokens[i], &done, &err));
	}
	parent_token = claim(last);
	ck_assert_str_eq(last, parent);
	finish(parent, parent_token, STORE_SUCCEEDED);
	j = load(parent);
	ck_assert_int_eq(j.status, STORE_SUCCEEDED);
	ck_assert_int_eq(j.attempt, 3);
	store_job_done(&j);
	expect_counts(0, 0, 3, 2, 1);
	end();
}
END_TEST

START_TEST(a_child_is_forked_once)
{
	struct store_child twice[2] = {{"trial", "{}", "{\"t\":0}"}, {"trial", "{}", "{\"t\":0}"}};
	char id[PARE_ID_MAX];

	begin_held(_i);
	ck_assert_int_eq(store_job_fork(s, parent, parent_token, twice, 2, 2, 0, &err), PARE_E_CONFLICT);
	expect_counts(0, 0, 0, 0, 0);
	expect_events(parent, "job.queued job.started");
	ck_assert_int_eq(store_job_fork(s, parent, parent_token + 2, twice, 1, 2, 0, &err), PARE_E_LEASE_LOST);
	MUST(store_job_fork(s, parent, parent_token, twice, 1, 2, 1, &err));
	finish(id, claim(id), STORE_SUCCEEDED);
	parent_token = claim(id);
	ck_assert_str_eq(id, parent);
	ck_assert_int_eq(store_job_fork(s, parent, parent_token, twice, 1, 2, 0, &err), PARE_E_CONFLICT);
	ck_assert_int_eq(status_of(parent), STORE_RUNNING);
	end();
}
END_TEST

START_TEST(canceling_the_parent_cancels_them_all)
{
	char ids[2][PARE_ID_MAX];
	struct store_job j;
	int64_t token;
	enum store_job_status asked;

	begin_held(_i);
	fork_some(0, 4, 4, 0);
	finish(ids[0], claim(ids[0]), STORE_SUCCEEDED);
	token = claim(ids[1]);
	MUST(store_job_cancel(MINE(s), parent, &j, &err));
	ck_assert_int_eq(j.status, STORE_CANCELED);
	store_job_done(&j);
	expect_counts(0, 1, 1, 0, 2);
	expect_events(parent, "job.queued job.started job.waiting job.trial job.canceled");
	MUST(store_job_renew(s, ids[1], token, 1000, &asked, &err));
	ck_assert_int_eq(asked, STORE_CANCELING);
	MUST(store_job_cancel(MINE(s), parent, &j, &err)); /* again: nothing changes */
	store_job_done(&j);
	/* the end of the last one does not wake the dead */
	finish(ids[1], token, STORE_CANCELED);
	ck_assert_int_eq(status_of(parent), STORE_CANCELED);
	expect_counts(0, 0, 1, 0, 3);
	expect_events(parent, "job.queued job.started job.waiting job.trial job.canceled");
	ck_assert_int_gt(n_told(), 8);
	MUST(store_job_delete(MINE(s), parent, &err));
	ck_assert_int_eq(n_told(), 0); /* nothing is told of what is gone, of the children neither */
	ck_assert_int_eq(store_job_get(MINE(s), ids[0], &j, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_job_get(MINE(s), ids[1], &j, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(n_listed(NULL), 0);
	end();
}
END_TEST

/* A cancel that comes while the parent is held is heard by whoever holds it; it forks no more. */
START_TEST(a_parent_that_is_being_canceled_does_not_fork)
{
	struct store_child child = {"trial", "{}", "{}"};
	struct store_job j;

	begin_held(_i);
	MUST(store_job_cancel(MINE(s), parent, &j, &err));
	ck_assert_int_eq(j.status, STORE_CANCELING);
	store_job_done(&j);
	ck_assert_int_eq(store_job_fork(s, parent, parent_token, &child, 1, 1, 0, &err), PARE_E_CANCELED);
	expect_counts(0, 0, 0, 0, 0);
	MUST(store_job_release(s, parent, parent_token, false, "stop", &err));
	ck_assert_int_eq(status_of(parent), STORE_CANCELED);
	end();
}
END_TEST

/* A restart gives running children back and leaves the parent waiting for them. */
START_TEST(a_restart_loses_nothing)
{
	char id[PARE_ID_MAX];
	struct store_job j;
	int n;

	begin_held(_i);
	fork_some(0, 2, 2, 0);
	finish(id, claim(id), STORE_SUCCEEDED);
	(void)claim(id);
	MUST(store_recover(s, &n, &err));
	ck_assert_int_eq(n, 1);
	j = load(parent);
	ck_assert(store_job_waits(&j));
	store_job_done(&j);
	expect_counts(1, 0, 1, 0, 0);
	finish(id, claim(id), STORE_SUCCEEDED);
	ck_assert_int_eq(status_of(parent), STORE_QUEUED);
	/* a parent that crashes after its children starts over, with what they found */
	parent_token = claim(id);
	ck_assert_str_eq(id, parent);
	MUST(store_job_release(s, parent, parent_token, true, "it died", &err));
	expect_counts(0, 0, 2, 0, 0);
	ck_assert_int_eq(n_listed(parent), 2);
	end();
}
END_TEST

/* Pausing a parent that waits keeps its children in the queue from being claimed; what runs comes to its end and is told of, and wakes nobody. */
START_TEST(pausing_the_parent_pauses_what_is_queued)
{
	char ids[2][PARE_ID_MAX];
	struct store_job j;
	int64_t token;
	bool found;

	begin_held(_i);
	fork_some(0, 3, 3, 0);
	token = claim(ids[0]);
	MUST(store_job_pause(MINE(s), parent, &j, &err));
	ck_assert_int_eq(j.status, STORE_PAUSED);
	store_job_done(&j);
	MUST(store_job_claim(s, "w", 1000, &j, &found, &err));
	ck_assert(!found);
	finish(ids[0], token, STORE_SUCCEEDED);
	ck_assert_int_eq(status_of(parent), STORE_PAUSED);
	expect_counts(0, 0, 1, 0, 0);
	MUST(store_job_resume(MINE(s), parent, &j, &err));
	ck_assert(store_job_waits(&j));
	ck_assert_str_eq(j.phase, "sweep");
	store_job_done(&j);
	expect_counts(2, 0, 1, 0, 0);
	/* the last one runs while the parent is paused: it is queued when it is resumed */
	finish(ids[0], claim(ids[0]), STORE_SUCCEEDED);
	token = claim(ids[1]);
	MUST(store_job_pause(MINE(s), parent, &j, &err));
	store_job_done(&j);
	finish(ids[1], token, STORE_SUCCEEDED);
	ck_assert_int_eq(status_of(parent), STORE_PAUSED);
	MUST(store_job_resume(MINE(s), parent, &j, &err));
	ck_assert_int_eq(j.status, STORE_QUEUED);
	store_job_done(&j);
	expect_events(parent, "job.queued job.started job.waiting job.paused job.trial job.waiting job.trial job.paused job.trial job.queued");
	end();
}
END_TEST

/* A sweep that is to hurry hurries with all that is left of it. */
START_TEST(children_take_their_parents_new_priority)
{
	static char trials[70][24];
	struct store_child children[70];
	char other[PARE_ID_MAX], id[PARE_ID_MAX];
	struct store_job_change change = {.priority = &(int){7}};
	struct store_job j;

	begin_held(_i);
	for (int i = 0; i < 70; i++) {
		(void)snprintf(trials[i], sizeof trials[i], "{\"t\":%d}", i);
		children[i] = (struct store_child){"trial", "{}", trials[i]};
	}
	put_job(s, model, dataset, other);
	MUST(store_job_fork(s, parent, parent_token, children, 70, 70, 0, &err));
	ck_assert_int_eq(position_of(other), 0);
	finish(id, claim(id), STORE_SUCCEEDED);
	ck_assert_str_eq(id, other); /* it was there first */
	put_job(s, model, dataset, other);
	finish(id, claim(id), STORE_SUCCEEDED);
	MUST(store_job_change(MINE(s), parent, &change, &j, &err));
	ck_assert_int_eq(j.priority, 7);
	store_job_done(&j);
	for (int i = 0; i < 69; i++) {
		(void)claim(id);
		MUST(store_job_get(MINE(s), id, &j, &err));
		ck_assert_int_eq(j.priority, 7);
		ck_assert_str_eq(j.parent, parent);
		store_job_done(&j);
	}
	(void)claim(id);
	ck_assert_str_eq(id, other);
	end();
}
END_TEST

START_TEST(canceling_a_paused_parent_cancels_what_is_paused)
{
	struct store_job j;

	begin_held(_i);
	fork_some(0, 2, 2, 0);
	MUST(store_job_pause(MINE(s), parent, &j, &err));
	store_job_done(&j);
	MUST(store_job_cancel(MINE(s), parent, &j, &err));
	ck_assert_int_eq(j.status, STORE_CANCELED);
	store_job_done(&j);
	expect_counts(0, 0, 0, 0, 2);
	end();
}
END_TEST

/* Asked to pause while it is held: it is paused in the place of forking, and forks when it has been resumed. */
START_TEST(a_parent_that_is_being_paused_does_not_fork)
{
	char id[PARE_ID_MAX];
	struct store_job j;

	begin_held(_i);
	MUST(store_job_pause(MINE(s), parent, &j, &err));
	ck_assert_int_eq(j.status, STORE_PAUSING);
	store_job_done(&j);
	fork_some(0, 2, 2, 0);
	ck_assert_int_eq(status_of(parent), STORE_PAUSED);
	expect_counts(0, 0, 0, 0, 0);
	MUST(store_job_resume(MINE(s), parent, &j, &err));
	ck_assert_int_eq(j.status, STORE_QUEUED);
	store_job_done(&j);
	parent_token = claim(id);
	fork_some(0, 2, 2, 0);
	expect_counts(2, 0, 0, 0, 0);
	end();
}
END_TEST

/* Children are not among an owner's open jobs, and no endpoint hears of them. */
START_TEST(children_are_not_counted_against_their_owner)
{
	struct store_job j = {.max_crashes = 3, .kind = "prune", .model = model, .request = "{}"};

	begin_held(_i);
	fork_some(0, 3, 3, 0);
	store_set_quota(s, &(struct store_quota){.max_open_jobs = 2});
	MUST(store_job_put(MINE(s), &j, NULL, &err));
	store_job_done(&j);
	end();
}
END_TEST

START_TEST(a_retry_says_whose)
{
	struct store_job j = {.max_crashes = 3, .kind = "sweep", .model = model, .request = "{}"}, back;

	begin_held(_i);
	memcpy(j.retry_of, parent, sizeof j.retry_of);
	MUST(store_job_put(MINE(s), &j, NULL, &err));
	back = load(j.id);
	ck_assert_str_eq(back.retry_of, parent);
	ck_assert_str_eq(back.parent, "");
	store_job_done(&back);
	store_job_done(&j);
	end();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {a_parent_waits_and_holds_nobody, whichever_ends_last_queues_the_parent, a_child_is_forked_once, canceling_the_parent_cancels_them_all,
	    a_parent_that_is_being_canceled_does_not_fork, a_restart_loses_nothing, pausing_the_parent_pauses_what_is_queued, children_take_their_parents_new_priority, canceling_a_paused_parent_cancels_what_is_paused,
	    a_parent_that_is_being_paused_does_not_fork, children_are_not_counted_against_their_owner, a_retry_says_whose};

	return run_over_backends("storage/contract_children", tests, sizeof tests / sizeof *tests) != 0;
}
