/* Event streams: three forms of one sequence, resumed where they were left, kept alive, ended. */
#include "tests/api/harness.h"

static struct world w;
static char id[PARE_ID_MAX], path[128];

static void setup(void)
{
	world_init(&w);
	world_start(&w);
	make_job(&w, id);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/events", id);
}

static void teardown(void)
{
	world_done(&w);
}

static struct answer stream(const char *const *headers)
{
	struct answer a = request(&w, "GET", path, headers, NULL, 0);

	assert_status(&a, 200);
	ck_assert_int_eq(a.reply->kind, API_BODY_STREAM);
	ck_assert_str_eq(api_stream_job(a.x), id);
	return a;
}

/* Reads all there is now, in small bites; true if the stream has ended. */
static bool drain(struct answer *a, char *out, size_t size)
{
	size_t n = 0;

	for (;;) {
		ptrdiff_t k = api_stream_read(a->x, out + n, size - n - 1 < 7 ? size - n - 1 : 7);

		ck_assert_uint_lt(n, size - 1);
		if (k > 0)
			n += (size_t)k;
		out[n] = '\0';
		if (k <= 0)
			return k < 0;
	}
}

START_TEST(lists_events_as_json)
{
	struct answer a;
	const json_t *data;

	finish_job(&w);
	a = get(&w, path);
	assert_status(&a, 200);
	data = json_object_get(a.json, "data");
	ck_assert_uint_ge(json_array_size(data), 4);
	ck_assert_str_eq(text_at(json_array_get(data, 0), "type"), "job.queued");
	ck_assert_str_eq(text_at(json_array_get(data, json_array_size(data) - 1), "type"), "job.succeeded");
	ck_assert(json_is_true(json_object_get(a.json, "final")));
	ck_assert(json_is_object(json_object_get(json_array_get(data, 0), "data")));
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/events?limit=1000", id);
	a = get(&w, path);
	assert_status(&a, 200);
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/events?after=1&limit=1", id);
	a = get(&w, path);
	assert_status(&a, 200);
	ck_assert_uint_eq(json_array_size(json_object_get(a.json, "data")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "next_after")), 2);
	ck_assert(json_is_true(json_object_get(a.json, "has_more")));
	ck_assert(json_is_false(json_object_get(a.json, "final")));
	answer_done(&a);
}
END_TEST

START_TEST(streams_to_the_end)
{
	static const char head[] = "retry: 3000\n\nid: 1\nevent: job.queued\ndata: {\"object\":\"event\",\"seq\":1,";
	char out[8192];
	struct answer a = stream(H("Accept", "text/event-stream"));

	ck_assert_str_eq(header(&a, "Content-Type"), "text/event-stream");
	ck_assert_str_eq(header(&a, "Cache-Control"), "no-store");
	ck_assert_str_eq(header(&a, "X-Accel-Buffering"), "no");
	ck_assert(!drain(&a, out, sizeof out));
	ck_assert_int_eq(strncmp(out, head, strlen(head)), 0);
	ck_assert_str_eq(out + strlen(out) - 3, "}\n\n");
	ck_assert_int_eq(api_stream_read(a.x, out, sizeof out), 0);
	finish_job(&w);
	ck_assert(drain(&a, out, sizeof out));
	ck_assert_ptr_nonnull(strstr(out, "id: 2\nevent: job.started\n"));
	ck_assert_ptr_nonnull(strstr(out, "event: job.metrics\n"));
	ck_assert_ptr_nonnull(strstr(out, "event: job.succeeded\n"));
	ck_assert_ptr_null(strstr(out, "job.queued"));
	ck_assert_int_eq(api_stream_read(a.x, out, sizeof out), -1);
	answer_done(&a);
}
END_TEST

START_TEST(resumes_after_the_last_seen)
{
	char out[8192];
	struct answer a;

	finish_job(&w);
	a = stream(H("Accept", "text/event-stream", "Last-Event-ID", "2"));
	ck_assert(drain(&a, out, sizeof out));
	ck_assert_ptr_null(strstr(out, "id: 2\n"));
	ck_assert_ptr_nonnull(strstr(out, "id: 3\n"));
	answer_done(&a);
	(void)snprintf(path, sizeof path, "/v1/jobs/%s/events?after=1", id);
	a = stream(H("Accept", "application/x-ndjson"));
	ck_assert(drain(&a, out, sizeof out));
	ck_assert_int_eq(strncmp(out, "{\"object\":\"event\",\"seq\":2,", 26), 0);
	ck_assert_ptr_null(strstr(out, "retry"));
	answer_done(&a);
}
END_TEST

START_TEST(tells_a_reconnecting_client_to_stop)
{
	struct answer a;

	finish_job(&w);
	a = request(&w, "GET", path, H("Accept", "text/event-stream", "Last-Event-ID", "4"), NULL, 0);
	assert_status(&a, 204);
	ck_assert_uint_eq(a.n, 0);
	answer_done(&a);
	a = request(&w, "GET", path, H("Accept", "text/event-stream", "Last-Event-ID", "999"), NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
}
END_TEST

START_TEST(pings_when_nothing_happens)
{
	char out[8192];
	struct answer a = stream(H("Accept", "text/event-stream"));

	ck_assert(!drain(&a, out, sizeof out));
	ck_assert_int_eq(api_stream_deadline_ms(a.x), w.now_ms + 15000);
	w.now_ms += 14999;
	ck_assert_int_eq(api_stream_read(a.x, out, sizeof out), 0);
	w.now_ms += 1;
	ck_assert_int_eq(api_stream_read(a.x, out, sizeof out), 8);
	ck_assert_int_eq(memcmp(out, ": ping\n\n", 8), 0);
	ck_assert_int_eq(api_stream_read(a.x, out, sizeof out), 0);
	ck_assert_int_eq(api_stream_deadline_ms(a.x), w.now_ms + 15000);
	answer_done(&a);
}
END_TEST

START_TEST(ends_when_the_job_is_deleted)
{
	char out[8192];
	struct answer a = stream(H("Accept", "text/event-stream"));

	ck_assert(!drain(&a, out, sizeof out));
	finish_job(&w);
	ck_assert_int_eq(store_job_delete(MINE(w.store), id, NULL), PARE_OK);
	ck_assert(drain(&a, out, sizeof out));
	answer_done(&a);
}
END_TEST

START_TEST(streams_more_events_than_a_page)
{
	char *out = calloc(1, 1 << 20);
	struct answer a = stream(H("Accept", "application/x-ndjson"));
	struct store_job j;
	bool found;
	int lines = 0;

	ck_assert_int_eq(store_job_claim(w.store, "test", 30000, &j, &found, NULL), PARE_OK);
	for (int i = 0; i < 300; i++)
		ck_assert_int_eq(store_job_event(w.store, id, j.lease_token, "job.log", "info", "{\"message\":\"a line\\nof text\"}", NULL, NULL, NULL), PARE_OK);
	store_job_done(&j);
	ck_assert(!drain(&a, out, 1 << 20));
	for (char *line = out, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		json_t *e = json_loadb(line, (size_t)(end - line), 0, NULL);

		lines++;
		ck_assert_int_eq(json_integer_value(json_object_get(e, "seq")), lines);
		json_decref(e);
	}
	ck_assert_int_eq(lines, 302);
	answer_done(&a);
	free(out);
}
END_TEST

START_TEST(refuses_nonsense)
{
	char target[200];
	struct answer a;

	refuses(&w, "GET", path, H("Accept", "image/png"), 406, "not_acceptable");
	refuses(&w, "GET", path, H("Accept", "text/event-stream", "Last-Event-ID", "x"), 400, "bad_request");
	refuses(&w, "GET", path, H("Accept", "text/event-stream", "Last-Event-ID", "-1"), 400, "bad_request");
	(void)snprintf(target, sizeof target, "%s?after=-1", path);
	refuses(&w, "GET", target, NULL, 400, "bad_request");
	(void)snprintf(target, sizeof target, "%s?limit=5", path);
	refuses(&w, "GET", target, H("Accept", "text/event-stream"), 400, "bad_request");
	refuses(&w, "GET", "/v1/jobs/job_01JD8Z3M2V9Q4T6R8W0Y2A4C6E/events", H("Accept", "text/event-stream"), 404, "not_found");
	a = request(&w, "HEAD", path, H("Accept", "text/event-stream"), NULL, 0);
	assert_status(&a, 200);
	ck_assert_int_eq(a.reply->kind, API_BODY_NONE);
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("events");
	TCase *t = tcase_create("events");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, lists_events_as_json);
	tcase_add_test(t, streams_to_the_end);
	tcase_add_test(t, resumes_after_the_last_seen);
	tcase_add_test(t, tells_a_reconnecting_client_to_stop);
	tcase_add_test(t, pings_when_nothing_happens);
	tcase_add_test(t, ends_when_the_job_is_deleted);
	tcase_add_test(t, streams_more_events_than_a_page);
	tcase_add_test(t, refuses_nonsense);
	suite_add_tcase(s, t);
	return run_suite(s);
}
