/* Prefer: wait, running an ended job again, and the counts of the queue. A request that waits runs on a thread of its own, as in the server. */
#include <pthread.h>
#include <time.h>

#include "tests/api/harness.h"

static struct world w;
static char id[PARE_ID_MAX], path[128];

static void setup(void)
{
	world_init(&w);
	world_start(&w);
	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s", id);
}

static void teardown(void)
{
	world_done(&w);
}

static struct api_exchange *ask(const char *prefer)
{
	struct api_header list[] = {{"Host", "h"}, {"Prefer", prefer}};
	struct api_head head = {.method = "GET", .target = path, .version = "HTTP/1.1", .headers = list, .n_headers = 2, .peer = "local"};

	return api_exchange_new(w.api, &head);
}

static void *end_exchange(void *arg)
{
	api_exchange_end(arg);
	return NULL;
}

static struct api_exchange *x;
static pthread_t thread;
static double began;

static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void start_waiting(const char *prefer)
{
	x = ask(prefer);
	ck_assert_int_eq(api_exchange_waits(x), API_WAIT_JOB);
	began = seconds();
	ck_assert_int_eq(pthread_create(&thread, NULL, end_exchange, x), 0);
}

static void answers(const char *status, const char *applied)
{
	struct answer a;

	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	a = answer_of(x);
	assert_status(&a, 200);
	ck_assert_str_eq(text_at(a.json, "status"), status);
	ck_assert_str_eq(header(&a, "Preference-Applied"), applied);
	answer_done(&a);
}

START_TEST(the_end_of_the_job_is_the_answer)
{
	start_waiting("respond-async, wait=30");
	finish_job(&w);
	api_events_added(w.api);
	answers("succeeded", "wait=30");
	ck_assert(seconds() - began < 20);
	start_waiting("wait=5; x=y"); /* it has ended: no wait */
	answers("succeeded", "wait=5");
	ck_assert(seconds() - began < 4);
}
END_TEST

START_TEST(the_time_is_over)
{
	start_waiting("wait=1");
	answers("queued", "wait=1");
	ck_assert(seconds() - began > 0.9);
}
END_TEST

START_TEST(nobody_waits_for_a_server_that_stops)
{
	start_waiting("wait=100000");
	api_set_draining(w.api, true);
	answers("queued", "wait=60");
	ck_assert(seconds() - began < 20);
}
END_TEST

static const char *const no_wishes[] = {"wait", "wait=", "wait=0", "wait=-1", "wait=x", "return=minimal", "", ",,;", "waits=3"};

START_TEST(what_is_no_wish_is_ignored)
{
	struct answer a;

	x = ask(no_wishes[_i]);
	ck_assert_int_eq(api_exchange_waits(x), API_WAIT_NOTHING);
	api_exchange_end(x);
	a = answer_of(x);
	assert_status(&a, 200);
	ck_assert_str_eq(header(&a, "Preference-Applied"), "");
	answer_done(&a);
}
END_TEST

/* As many as there are threads for; the next one is answered at once, and a place that is given back is taken again. */
START_TEST(places_are_counted)
{
	struct api_exchange *held[200];
	int n = 0;

	do {
		held[n] = ask("wait=60");
		ck_assert_int_lt(n, 199);
	} while (api_exchange_waits(held[n++]) == API_WAIT_JOB);
	ck_assert_int_eq(n, 65);
	api_exchange_free(held[0]);
	held[0] = ask("wait=60");
	ck_assert_int_eq(api_exchange_waits(held[0]), API_WAIT_JOB);
	for (int i = 0; i < n; i++)
		api_exchange_free(held[i]);
}
END_TEST

START_TEST(an_ended_job_runs_again)
{
	char retry[160], again[PARE_ID_MAX], text[160];
	struct answer a, old;

	(void)snprintf(retry, sizeof retry, "%s/retry", path);
	refuses(&w, "POST", retry, NULL, 409, "conflict");
	finish_job(&w);
	a = request(&w, "POST", retry, H("Idempotency-Key", "again"), NULL, 0);
	assert_status(&a, 201);
	(void)snprintf(again, sizeof again, "%s", text_at(a.json, "id"));
	ck_assert_str_ne(again, id);
	ck_assert_str_eq(text_at(a.json, "status"), "queued");
	(void)snprintf(text, sizeof text, "/v1/jobs/%s", again);
	ck_assert_str_eq(header(&a, "Location"), text);
	old = get(&w, path);
	ck_assert_str_eq(text_at(old.json, "status"), "succeeded");
	ck_assert(json_equal(json_object_get(a.json, "request"), json_object_get(old.json, "request")));
	answer_done(&a);
	answer_done(&old);
	a = request(&w, "POST", retry, H("Idempotency-Key", "again"), NULL, 0);
	assert_status(&a, 201);
	ck_assert_str_eq(text_at(a.json, "id"), again);
	ck_assert_str_eq(header(&a, "Idempotency-Replayed"), "true");
	answer_done(&a);
	refuses(&w, "POST", "/v1/jobs/job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E/retry", NULL, 404, "not_found");
}
END_TEST

START_TEST(the_queue_is_counted)
{
	struct answer a = get(&w, "/v1/queue");

	assert_status(&a, 200);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "runnable")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "running")), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "workers_alive")), 2);
	ck_assert(json_is_string(json_object_get(a.json, "oldest_queued_at")));
	answer_done(&a);
	finish_job(&w);
	a = get(&w, "/v1/queue");
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "runnable")), 0);
	ck_assert(json_is_null(json_object_get(a.json, "oldest_queued_at")));
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wait");
	TCase *t = tcase_create("wait");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_end_of_the_job_is_the_answer);
	tcase_add_test(t, the_time_is_over);
	tcase_add_test(t, nobody_waits_for_a_server_that_stops);
	tcase_add_loop_test(t, what_is_no_wish_is_ignored, 0, (int)(sizeof no_wishes / sizeof no_wishes[0]));
	tcase_add_test(t, places_are_counted);
	tcase_add_test(t, an_ended_job_runs_again);
	tcase_add_test(t, the_queue_is_counted);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return run_suite(s);
}
