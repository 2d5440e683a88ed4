/* The contract of hook.h: who hears of what, what becomes of a delivery, and the feed over everything. */
#include "storage/hook.h"
#include "tests/storage/contract.h"
#include "tests/support/fail_alloc.h"

#define THEIRS ((struct store_view){s, "other"})
#define ENDINGS " job.succeeded job.failed job.canceled "

static void hook_of(struct store_view v, const char *events, const char *job, struct store_hook *out)
{
	*out = (struct store_hook){.url = "https://a.example/h", .events = events, .description = "d", .enabled = true, .disabled_why = "", .secret = "whsec_x", .old_secret = ""};
	(void)snprintf(out->job, sizeof out->job, "%s", job);
	MUST(store_hook_put(v, out, &err));
}

/* What is due now, as "hook:event hook:event", and how soon the next comes. */
static int64_t expect_due(const struct store_busy *busy, const char *want)
{
	struct store_due *list;
	char got[1000] = "";
	size_t used = 0;
	int64_t next;
	int n;

	MUST(store_delivery_due(s, busy, 100, &list, &n, &next, &err));
	for (int i = 0; i < n; i++) {
		ck_assert_str_eq(list[i].h.id, list[i].d.hook);
		used += (size_t)snprintf(got + used, sizeof got - used, "%s%s", i > 0 ? " " : "", list[i].d.type);
	}
	store_due_list_done(list, n);
	ck_assert_str_eq(got, want);
	return next;
}

static void only_delivery(const char *hook, struct store_delivery *out)
{
	const struct store_page page = {.limit = 10};
	struct store_delivery *list;
	bool more;
	int n;

	MUST(store_delivery_list(MINE(s), hook, &page, &list, &n, &more, &err));
	ck_assert_int_eq(n, 1);
	ck_assert(!more);
	*out = list[0];
	list[0].memory = NULL;
	store_delivery_list_done(list, n);
}

START_TEST(an_event_and_its_delivery_come_together)
{
	struct store_hook all, endings, foreign, off, own;
	char job[PARE_ID_MAX], other[PARE_ID_MAX], want[64];
	struct store_delivery d;
	int64_t token;

	begin(_i);
	hook_of(MINE(s), " job.queued model.ready ", "", &all);
	hook_of(MINE(s), ENDINGS, "", &endings);
	hook_of(THEIRS, ENDINGS " job.queued ", "", &foreign);
	hook_of(MINE(s), " job.queued ", "", &off);
	off.enabled = false;
	MUST(store_hook_update(MINE(s), &off, &err));
	put_job(s, model, dataset, job);
	(void)expect_due(NULL, "job.queued"); /* not the foreign one, not the disabled one, not those of other names */
	put_job(s, model, dataset, other);
	hook_of(MINE(s), ENDINGS, other, &own);
	token = claim(job);
	finish(job, token, STORE_SUCCEEDED);
	(void)expect_due(NULL, "job.queued job.queued job.succeeded");
	only_delivery(endings.id, &d);
	(void)snprintf(want, sizeof want, "%s-3", job);
	ck_assert_str_eq(d.event, want);
	ck_assert_str_eq(d.subject, job);
	ck_assert_int_eq(d.seq, 3);
	ck_assert_int_gt(d.cursor, 0);
	store_delivery_done(&d);
	token = claim(other);
	finish(other, token, STORE_FAILED);
	(void)expect_due(NULL, "job.queued job.queued job.succeeded job.failed job.failed");
	only_delivery(own.id, &d);
	ck_assert_str_eq(d.subject, other);
	store_delivery_done(&d);
	MUST(store_job_delete(MINE(s), other, &err)); /* its own endpoint goes with it, what others are owed stays */
	(void)expect_due(NULL, "job.queued job.queued job.succeeded job.failed");
	ck_assert_int_eq(store_hook_get(MINE(s), own.id, &own, &err), PARE_E_NOT_FOUND);
	put_asset(s, STORE_MODEL, SHA_C, other);
	(void)expect_due(NULL, "job.queued job.queued job.succeeded job.failed model.ready");
	end();
}
END_TEST

/* A short job may end before somebody has said that they want to hear of its end. */
START_TEST(an_end_that_came_too_soon_is_told)
{
	struct store_hook h;
	char job[PARE_ID_MAX], want[64];
	struct store_delivery d;
	int64_t token;

	begin(_i);
	put_job(s, model, dataset, job);
	token = claim(job);
	hook_of(MINE(s), ENDINGS, job, &h);
	(void)expect_due(NULL, "");
	finish(job, token, STORE_SUCCEEDED);
	hook_of(MINE(s), ENDINGS, job, &h);
	(void)expect_due(NULL, "job.succeeded job.succeeded");
	only_delivery(h.id, &d);
	(void)snprintf(want, sizeof want, "%s-3", job);
	ck_assert_str_eq(d.event, want);
	store_delivery_done(&d);
	hook_of(MINE(s), " job.failed ", job, &h);
	(void)expect_due(NULL, "job.succeeded job.succeeded");
	end();
}
END_TEST

/* A type that is part of another one's name is not meant by it. */
START_TEST(names_are_whole)
{
	struct store_hook h;
	char job[PARE_ID_MAX];

	begin(_i);
	hook_of(MINE(s), " job.queued.x x.job.queued job.queuedx ", "", &h);
	put_job(s, model, dataset, job);
	(void)expect_due(NULL, "");
	end();
}
END_TEST

static void attempt(const char *id, int64_t due_ms, int status, enum store_delivery_status st, int64_t next_ms, const char *disable)
{
	struct store_attempt a = {.due_ms = due_ms, .at_ms = fake_wall, .duration_ms = 12, .http_status = status, .error = status == 0 ? "no \"answer\"" : NULL, .response = status == 0 ? NULL : "a\nb", .status = st,
	    .next_ms = next_ms, .disable = disable};

	MUST(store_delivery_tried(s, id, &a, &err));
}

START_TEST(a_delivery_lives_until_it_is_taken)
{
	struct store_delivery d, again;
	struct store_hook h, got;
	struct store_busy busy = {.n_hooks = 1}, none = {.n_owners = 1, .owners = {"other"}};
	char job[PARE_ID_MAX];
	uint64_t n_due;
	int n = 0;

	begin(_i);
	hook_of(MINE(s), " job.queued ", "", &h);
	n_due = store_n_due(s);
	put_job(s, model, dataset, job);
	ck_assert_uint_eq(store_n_due(s), ++n_due);
	MUST(store_job_event(s, job, claim(job), "job.progress", "info", "{}", NULL, NULL, &err)); /* two that nobody is called for */
	ck_assert_uint_eq(store_n_due(s), n_due);
	busy.hooks[0] = h.id;
	(void)expect_due(&busy, "");
	busy = (struct store_busy){.n_owners = 2, .owners = {"other", STORE_DEFAULT_OWNER}};
	(void)expect_due(&busy, "");
	(void)expect_due(&none, "job.queued");
	only_delivery(h.id, &d);
	attempt(d.id, d.next_ms, 0, STORE_PENDING, fake_wall + 5000, NULL);
	ck_assert_int_eq(expect_due(NULL, ""), fake_wall + 5000);
	fake_wall += 5000;
	ck_assert_int_eq(expect_due(NULL, "job.queued"), 0);
	d.next_ms = fake_wall;
	attempt(d.id, d.next_ms, 500, STORE_UNDELIVERED, 0, NULL);
	(void)expect_due(NULL, "");
	store_delivery_done(&d);
	only_delivery(h.id, &d);
	ck_assert_int_eq(d.status, STORE_UNDELIVERED);
	ck_assert_int_eq(d.n_attempts, 2);
	ck_assert_int_eq(d.finished_ms, fake_wall);
	ck_assert_ptr_nonnull(strstr(d.attempts, "\"attempt\":1,"));
	ck_assert_ptr_nonnull(strstr(d.attempts, "\"status\":null,\"error\":\"no \\\"answer\\\"\",\"response\":null}\n{\"attempt\":2,"));
	ck_assert_ptr_nonnull(strstr(d.attempts, "\"duration_seconds\":0.012,\"status\":500,\"error\":null,\"response\":\"a\\u000ab\"}\n"));
	MUST(store_delivery_again(MINE(s), h.id, d.id, &again, &err));
	ck_assert_int_eq(again.status, STORE_PENDING);
	ck_assert_int_eq(again.n_tries, 0);
	ck_assert_str_eq(again.event, d.event);
	ck_assert_uint_eq(store_n_due(s), n_due + 1);
	d.next_ms = again.next_ms;
	store_delivery_done(&again);
	(void)expect_due(NULL, "job.queued");
	attempt(d.id, d.next_ms, 204, STORE_DELIVERED, 0, NULL);
	(void)expect_due(NULL, "");
	MUST(store_delivery_purge(s, fake_wall, &n, &err));
	ck_assert_int_eq(n, 0);
	MUST(store_delivery_purge(s, fake_wall + 1, &n, &err));
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(store_delivery_again(MINE(s), h.id, d.id, &again, &err), PARE_E_NOT_FOUND);
	attempt(d.id, d.next_ms, 200, STORE_DELIVERED, 0, NULL); /* of a delivery that has gone: nothing */
	MUST(store_hook_get(MINE(s), h.id, &got, &err));
	ck_assert_int_eq(got.revision, 1);
	store_hook_done(&got);
	store_delivery_done(&d);
	end();
}
END_TEST

/* Whatever becomes of an attempt, it is not what was asked for while it was under way. */
START_TEST(asked_for_again_while_an_attempt_is_under_way)
{
	static const enum store_delivery_status outcomes[] = {STORE_DELIVERED, STORE_UNDELIVERED, STORE_PENDING};
	struct store_delivery d, again;
	struct store_hook h;
	char job[PARE_ID_MAX];

	begin(_i);
	hook_of(MINE(s), " job.queued ", "", &h);
	put_job(s, model, dataset, job);
	for (int i = 0; i < 3; i++) {
		only_delivery(h.id, &d);
		MUST(store_delivery_again(MINE(s), h.id, d.id, &again, &err)); /* in the same millisecond, too */
		store_delivery_done(&again);
		attempt(d.id, d.next_ms, 200, outcomes[i], outcomes[i] == STORE_PENDING ? fake_wall + HOUR_MS : 0, NULL);
		store_delivery_done(&d);
		fake_wall++;
		(void)expect_due(NULL, "job.queued");
	}
	only_delivery(h.id, &d);
	ck_assert_int_eq(d.n_attempts, 3);
	ck_assert_int_eq(d.n_tries, 0);
	ck_assert_ptr_nonnull(strstr(d.attempts, "{\"attempt\":3,"));
	attempt(d.id, d.next_ms, 200, STORE_DELIVERED, 0, NULL);
	store_delivery_done(&d);
	(void)expect_due(NULL, "");
	end();
}
END_TEST

START_TEST(the_log_keeps_the_last_attempts)
{
	struct store_delivery d;
	struct store_hook h;
	char job[PARE_ID_MAX];
	int n_lines = 0;

	begin(_i);
	hook_of(MINE(s), " job.queued ", "", &h);
	put_job(s, model, dataset, job);
	only_delivery(h.id, &d);
	for (int i = 0; i < STORE_MAX_ATTEMPTS + 3; i++)
		attempt(d.id, d.next_ms, 500, STORE_PENDING, fake_wall, NULL);
	store_delivery_done(&d);
	only_delivery(h.id, &d);
	for (const char *p = d.attempts; *p != '\0'; p++)
		n_lines += *p == '\n';
	ck_assert_int_eq(n_lines, STORE_MAX_ATTEMPTS);
	ck_assert_int_eq(strncmp(d.attempts, "{\"attempt\":4,", 13), 0);
	store_delivery_done(&d);
	end();
}
END_TEST

/* What is under way is bounded for each endpoint, so no more than that is of use; the others come whatever waits before them. */
START_TEST(no_more_of_one_endpoint_than_is_of_use)
{
	struct store_busy busy = {.per_hook = 2};
	struct store_hook a, b;
	char job[PARE_ID_MAX];

	begin(_i);
	hook_of(MINE(s), " job.queued ", "", &a);
	for (int i = 0; i < 5; i++)
		put_job(s, model, dataset, job);
	fake_wall++;
	hook_of(MINE(s), " job.started ", "", &b);
	(void)claim(job);
	(void)expect_due(&busy, "job.queued job.queued job.started");
	(void)expect_due(NULL, "job.queued job.queued job.queued job.queued job.queued job.started");
	busy = (struct store_busy){.per_hook = 1, .n_hooks = 1, .hooks = {a.id}};
	(void)expect_due(&busy, "job.started");
	end();
}
END_TEST

START_TEST(gone_disables)
{
	struct store_delivery d;
	struct store_due *list;
	struct store_hook h;
	char job[PARE_ID_MAX], id[PARE_ID_MAX], beside[PARE_ID_MAX];
	int64_t next, due;
	int n;

	begin(_i);
	hook_of(MINE(s), " job.queued ", "", &h);
	put_job(s, model, dataset, job);
	put_job(s, model, dataset, job);
	MUST(store_delivery_due(s, NULL, 10, &list, &n, &next, &err));
	ck_assert_int_eq(n, 2);
	memcpy(id, list[0].d.id, sizeof id);
	memcpy(beside, list[1].d.id, sizeof beside);
	due = list[0].d.next_ms;
	store_due_list_done(list, n);
	attempt(id, due, 410, STORE_UNDELIVERED, 0, "the receiver answered 410 Gone");
	(void)expect_due(NULL, "");
	attempt(beside, due, 500, STORE_PENDING, fake_wall, NULL); /* one that was under way asks for no other */
	(void)expect_due(NULL, "");
	MUST(store_hook_get(MINE(s), h.id, &h, &err));
	ck_assert(!h.enabled);
	ck_assert_str_eq(h.disabled_why, "the receiver answered 410 Gone");
	ck_assert_int_eq(h.revision, 2);
	put_job(s, model, dataset, job);
	(void)expect_due(NULL, "");
	ck_assert_int_eq(store_hook_test(MINE(s), h.id, NULL, &d, &err), PARE_E_CONFLICT);
	ck_assert_int_eq(store_delivery_again(MINE(s), h.id, id, &d, &err), PARE_E_CONFLICT);
	h.enabled = true;
	h.disabled_why = "";
	MUST(store_hook_update(MINE(s), &h, &err));
	(void)expect_due(NULL, ""); /* what was missed stays missed */
	MUST(store_hook_test(MINE(s), h.id, NULL, &d, &err));
	ck_assert_str_eq(d.type, "webhook.test");
	ck_assert_str_eq(d.subject, h.id);
	store_delivery_done(&d);
	(void)expect_due(NULL, "webhook.test");
	store_hook_done(&h);
	end();
}
END_TEST

START_TEST(endpoints_are_the_owners)
{
	static const char nobody[] = "whk_01JD8Z3M2V9Q4T6R8W0Y2A4C6E";
	const struct store_page page = {.limit = 2};
	struct store_hook h[3], got, *list;
	struct store_delivery d, *log;
	bool more;
	int n;

	begin(_i);
	for (int i = 0; i < 3; i++)
		hook_of(MINE(s), ENDINGS, "", &h[i]);
	MUST(store_hook_test(MINE(s), h[0].id, NULL, &d, &err));
	ck_assert_int_eq(store_hook_get(THEIRS, h[0].id, &got, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_hook_update(THEIRS, &h[0], &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_hook_delete(THEIRS, h[0].id, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_hook_test(THEIRS, h[0].id, NULL, &d, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_delivery_list(THEIRS, h[0].id, &page, &log, &n, &more, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_delivery_again(THEIRS, h[0].id, d.id, &(struct store_delivery){0}, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_delivery_again(MINE(s), h[1].id, d.id, &(struct store_delivery){0}, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(store_hook_delete(MINE(s), nobody, &err), PARE_E_NOT_FOUND);
	MUST(store_hook_list(THEIRS, &page, &list, &n, &more, &err));
	ck_assert_int_eq(n, 0);
	store_hook_list_done(list, n);
	MUST(store_hook_list(MINE(s), &page, &list, &n, &more, &err));
	ck_assert_int_eq(n, 2);
	ck_assert(more);
	ck_assert_str_eq(list[0].id, h[2].id);
	ck_assert_str_eq(list[1].secret, "whsec_x");
	store_hook_list_done(list, n);
	h[0].url = "https://b.example/";
	MUST(store_hook_update(MINE(s), &h[0], &err));
	h[0].revision = 1;
	ck_assert_int_eq(store_hook_update(MINE(s), &h[0], &err), PARE_E_CONFLICT); /* read before that change */
	MUST(store_hook_delete(MINE(s), h[0].id, &err));
	(void)expect_due(NULL, "");
	store_delivery_done(&d);
	end();
}
END_TEST

START_TEST(endpoints_are_limited)
{
	struct store_hook h;
	char job[PARE_ID_MAX];

	begin(_i);
	put_job(s, model, dataset, job);
	for (int i = 0; i < STORE_MAX_HOOKS; i++)
		hook_of(MINE(s), ENDINGS, "", &h);
	h.job[0] = '\0';
	ck_assert_int_eq(store_hook_put(MINE(s), &h, &err), PARE_E_LIMIT);
	for (int i = 0; i < STORE_MAX_HOOKS; i++)
		hook_of(MINE(s), ENDINGS, job, &h); /* each job has its own */
	ck_assert_int_eq(store_hook_put(MINE(s), &h, &err), PARE_E_LIMIT);
	(void)snprintf(h.job, sizeof h.job, "job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E");
	ck_assert_int_eq(store_hook_put(MINE(s), &h, &err), PARE_E_NOT_FOUND);
	end();
}
END_TEST

/* --- the feed */
static int64_t expect_feed(struct store_view v, int64_t after, const char *want)
{
	struct store_event *list;
	char got[1000] = "";
	size_t used = 0;
	int64_t last = after;
	int n;

	MUST(store_feed_list(v, after, 1000, &list, &n, &err));
	for (int i = 0; i < n; i++) {
		ck_assert_int_gt(list[i].cursor, last);
		last = list[i].cursor;
		used += (size_t)snprintf(got + used, sizeof got - used, "%s%s", i > 0 ? " " : "", list[i].type);
	}
	store_event_list_done(list, n);
	ck_assert_str_eq(got, want);
	return last;
}

START_TEST(the_feed_has_everything_of_its_owner_in_order)
{
	char a[PARE_ID_MAX], b[PARE_ID_MAX];
	int64_t token, last, now;
	struct store_job j;

	begin(_i);
	put_job(s, model, dataset, a);
	put_job(s, model, dataset, b);
	token = claim(a);
	MUST(store_job_event(s, a, token, "job.metrics", "info", "{\"loss\":1}", NULL, NULL, &err));
	last = expect_feed(MINE(s), 0, "model.ready dataset.ready job.queued job.queued job.started job.metrics");
	MUST(store_job_cancel(MINE(s), b, &j, &err));
	store_job_done(&j);
	finish(a, token, STORE_SUCCEEDED);
	last = expect_feed(MINE(s), last, "job.canceled job.succeeded");
	(void)expect_feed(THEIRS, 0, "");
	MUST(store_feed_last(THEIRS, &now, &err));
	ck_assert_int_eq(now, last);
	MUST(store_job_delete(MINE(s), a, &err));
	(void)expect_feed(MINE(s), 0, "model.ready dataset.ready job.queued job.canceled");
	put_job(s, model, dataset, a); /* numbers of what was deleted do not come back */
	ck_assert_int_gt(expect_feed(MINE(s), last, "job.queued"), last);
	MUST(store_job_delete(MINE(s), b, &err));
	MUST(store_feed_last(MINE(s), &last, &err));
	if (_i == 1) { /* nor after a restart */
		store_close(s);
		MUST(open_sqlite());
		MUST(store_feed_last(MINE(s), &now, &err));
		ck_assert_int_eq(now, last);
	}
	put_job(s, model, dataset, b);
	ck_assert_int_gt(expect_feed(MINE(s), last, "job.queued"), last);
	end();
}
END_TEST

/* --- memory */
static enum pare_code whole_path(void)
{
	struct store_hook h = {.url = "u", .events = " job.queued ", .description = "", .enabled = true, .disabled_why = "", .secret = "x", .old_secret = ""}, got, *hooks;
	struct store_attempt a = {.at_ms = 1, .http_status = 410, .response = "gone", .status = STORE_UNDELIVERED, .disable = "gone"};
	struct store_job j = {.model = model, .dataset = dataset, .request = "{}", .max_crashes = 1};
	const struct store_page page = {.limit = 10};
	struct store_delivery d, *log;
	struct store_event *events;
	struct store_due *list;
	bool flag;
	int n;
	int64_t next;
	enum pare_code code = store_hook_put(MINE(s), &h, &err);

	if (code == PARE_OK)
		code = store_job_put(MINE(s), &j, NULL, &err);
	if (code != PARE_OK)
		return code;
	store_job_done(&j);
	code = store_hook_test(MINE(s), h.id, NULL, &d, &err);
	if (code != PARE_OK)
		return code;
	store_delivery_done(&d);
	code = store_delivery_due(s, NULL, 10, &list, &n, &next, &err);
	if (code != PARE_OK)
		return code;
	ck_assert_int_eq(n, 2);
	code = store_delivery_again(MINE(s), h.id, list[0].d.id, &d, &err);
	if (code == PARE_OK) {
		a.due_ms = d.next_ms;
		store_delivery_done(&d);
		code = store_delivery_tried(s, list[0].d.id, &a, &err);
	}
	store_due_list_done(list, n);
	if (code == PARE_OK)
		code = store_delivery_list(MINE(s), h.id, &page, &log, &n, &flag, &err);
	if (code != PARE_OK)
		return code;
	ck_assert_int_eq(n, 2);
	for (int i = 0; i < n; i++) /* both or none */
		ck_assert_int_eq(log[i].status, STORE_UNDELIVERED);
	store_delivery_list_done(log, n);
	code = store_hook_get(MINE(s), h.id, &got, &err);
	if (code == PARE_OK)
		store_hook_done(&got);
	if (code == PARE_OK)
		code = store_hook_list(MINE(s), &page, &hooks, &n, &flag, &err);
	if (code == PARE_OK) {
		store_hook_list_done(hooks, n);
		code = store_feed_list(MINE(s), 0, 10, &events, &n, &err);
	}
	if (code == PARE_OK) {
		store_event_list_done(events, n);
		code = store_hook_delete(MINE(s), h.id, &err);
	}
	return code;
}

START_TEST(no_memory_anywhere)
{
	enum pare_code code = PARE_E_NOMEM;
	long i;

	for (i = 1; code != PARE_OK; i++) {
		begin(_i);
		fail_alloc_install(i);
		code = whole_path();
		fail_alloc_remove();
		ck_assert_msg(code == PARE_OK || code == PARE_E_NOMEM, "allocation %ld: %s: %s", i, pare_code_string(code), err.message);
		end();
	}
	ck_assert_int_gt(i, 25);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {an_event_and_its_delivery_come_together, an_end_that_came_too_soon_is_told, names_are_whole, a_delivery_lives_until_it_is_taken, asked_for_again_while_an_attempt_is_under_way, the_log_keeps_the_last_attempts, no_more_of_one_endpoint_than_is_of_use, gone_disables,
	    endpoints_are_the_owners, endpoints_are_limited, the_feed_has_everything_of_its_owner_in_order, no_memory_anywhere};

	return run_over_backends("webhooks", tests, sizeof tests / sizeof *tests) != 0;
}
