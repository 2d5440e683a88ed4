/* Every path attack by name, and what the table does with honest paths. */
#include "api/router.h"
#include "tests/api/harness.h"

static const struct {
	const char *name, *target;
	enum pare_code code;
} attacks[] = {
    {"no slash", "livez", PARE_E_BAD_REQUEST},
    {"empty", "", PARE_E_BAD_REQUEST},
    {"absolute form", "http://localhost/livez", PARE_E_BAD_REQUEST},
    {"authority form", "localhost:80", PARE_E_BAD_REQUEST},
    {"asterisk", "*", PARE_E_BAD_REQUEST},
    {"fragment", "/livez#x", PARE_E_BAD_REQUEST},
    {"two slashes", "//livez", PARE_E_BAD_REQUEST},
    {"two slashes inside", "/v1//jobs", PARE_E_BAD_REQUEST},
    {"slash at the end", "/v1/jobs/", PARE_E_BAD_REQUEST},
    {"dot", "/./livez", PARE_E_BAD_REQUEST},
    {"dot dot", "/v1/../livez", PARE_E_BAD_REQUEST},
    {"encoded dot dot", "/v1/%2e%2e/livez", PARE_E_BAD_REQUEST},
    {"half-encoded dot dot", "/v1/.%2E/livez", PARE_E_BAD_REQUEST},
    {"dot dot at the end", "/v1/jobs/..", PARE_E_BAD_REQUEST},
    {"encoded slash", "/v1%2fjobs", PARE_E_BAD_REQUEST},
    {"encoded slash in an id", "/v1/jobs/a%2Fb", PARE_E_BAD_REQUEST},
    {"backslash", "/v1\\jobs", PARE_E_BAD_REQUEST},
    {"encoded backslash", "/v1/jobs/a%5cb", PARE_E_BAD_REQUEST},
    {"nul", "/livez%00", PARE_E_BAD_REQUEST},
    {"nul inside", "/v1/jobs/a%00b", PARE_E_BAD_REQUEST},
    {"overlong slash", "/v1/%c0%af", PARE_E_BAD_REQUEST},
    {"overlong dot", "/v1/%c0%ae%c0%ae/", PARE_E_BAD_REQUEST},
    {"overlong in three bytes", "/v1/%e0%80%af", PARE_E_BAD_REQUEST},
    {"surrogate", "/v1/%ed%a0%80", PARE_E_BAD_REQUEST},
    {"past U+10FFFF", "/v1/%f4%90%80%80", PARE_E_BAD_REQUEST},
    {"lone continuation", "/v1/%80", PARE_E_BAD_REQUEST},
    {"cut sequence", "/v1/%e2%82", PARE_E_BAD_REQUEST},
    {"raw byte that is not UTF-8", "/v1/\xff", PARE_E_BAD_REQUEST},
    {"bad percent", "/v1/%zz", PARE_E_BAD_REQUEST},
    {"cut percent", "/v1/%4", PARE_E_BAD_REQUEST},
    {"percent at the end", "/v1/%", PARE_E_BAD_REQUEST},
    {"encoded line break", "/v1/jobs/a%0d%0aX-B:c", PARE_E_BAD_REQUEST},
    {"delete character", "/v1/jobs/%7f", PARE_E_BAD_REQUEST},
    {"too many segments", "/a/b/c/d/e/f/g/h/i", PARE_E_NOT_FOUND},
    {"nul in the query", "/v1/jobs?status=%00", PARE_E_BAD_REQUEST},
    {"line break in the query", "/v1/models?name=a%0d%0ab", PARE_E_BAD_REQUEST},
    {"bad utf-8 in the query", "/v1/models?name=%ff", PARE_E_BAD_REQUEST},
    {"bad percent in the query", "/v1/models?name=%g0", PARE_E_BAD_REQUEST},
    {"33 parameters", "/v1/jobs?a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a&a", PARE_E_BAD_REQUEST},
};

START_TEST(refuses_attack)
{
	struct pare_arena arena;
	struct api_target t;
	struct pare_err err;

	pare_arena_init(&arena, 1 << 20);
	ck_assert_msg(api_target_parse(&arena, attacks[_i].target, &t, &err) == attacks[_i].code, "passed: %s", attacks[_i].name);
	pare_arena_done(&arena);
}
END_TEST

START_TEST(decodes_once)
{
	struct pare_arena arena;
	struct api_target t;

	pare_arena_init(&arena, 1 << 20);
	ck_assert_int_eq(api_target_parse(&arena, "/v1/jobs/%252e%252e/caf%C3%A9?name=a+b%20c%2526&verbose&after=", &t, NULL), PARE_OK);
	ck_assert_uint_eq(t.n_segments, 4);
	ck_assert_str_eq(t.segments[2], "%2e%2e");
	ck_assert_str_eq(t.segments[3], "caf\xC3\xA9");
	ck_assert_str_eq(t.path, "/v1/jobs/%252e%252e/caf%C3%A9");
	ck_assert_str_eq(api_query_get(&t, "name"), "a b c%26");
	ck_assert_str_eq(api_query_get(&t, "verbose"), "");
	ck_assert_str_eq(api_query_get(&t, "after"), "");
	ck_assert_ptr_null(api_query_get(&t, "before"));
	pare_arena_done(&arena);
}
END_TEST

START_TEST(refuses_long_target)
{
	struct pare_arena arena;
	struct api_target t;
	char *long_target = calloc(1, API_MAX_TARGET + 2);

	pare_arena_init(&arena, 1 << 20);
	memset(long_target, 'a', API_MAX_TARGET + 1);
	long_target[0] = '/';
	ck_assert_int_eq(api_target_parse(&arena, long_target, &t, NULL), PARE_E_BAD_REQUEST);
	long_target[API_MAX_TARGET] = '\0';
	ck_assert_int_eq(api_target_parse(&arena, long_target, &t, NULL), PARE_OK);
	free(long_target);
	pare_arena_done(&arena);
}
END_TEST

static struct world world;

static void setup(void)
{
	world_init(&world);
	world_start(&world);
}

static void teardown(void)
{
	world_done(&world);
}

START_TEST(tells_404_from_405)
{
	struct answer a;

	refuses(&world, "GET", "/nothing", NULL, 404, "not_found");
	refuses(&world, "BREW", "/nothing", NULL, 404, "not_found");
	refuses(&world, "GET", "/", NULL, 404, "not_found");
	refuses(&world, "GET", "/v1/jobs/%252e%252e", NULL, 404, "not_found");
	a = request(&world, "PUT", "/v1/models", NULL, NULL, 0);
	assert_problem(&a, 405, "method_not_allowed");
	ck_assert_str_eq(header(&a, "Allow"), "POST, GET, HEAD, OPTIONS");
	answer_done(&a);
	a = request(&world, "BREW", "/v1/jobs/x/cancel", NULL, NULL, 0);
	assert_problem(&a, 405, "method_not_allowed");
	ck_assert_str_eq(header(&a, "Allow"), "POST, OPTIONS");
	answer_done(&a);
	a = request(&world, "get", "/livez", NULL, NULL, 0); /* methods are case-sensitive */
	assert_problem(&a, 405, "method_not_allowed");
	answer_done(&a);
}
END_TEST

START_TEST(answers_options_and_head)
{
	struct answer a = request(&world, "OPTIONS", "/v1/models", NULL, NULL, 0);

	assert_status(&a, 204);
	ck_assert_str_eq(header(&a, "Allow"), "POST, GET, HEAD, OPTIONS");
	ck_assert_uint_eq(a.n, 0);
	answer_done(&a);
	a = request(&world, "HEAD", "/version", NULL, NULL, 0);
	assert_status(&a, 200);
	ck_assert(a.reply->head_only);
	ck_assert_uint_gt(a.reply->n_bytes, 0);
	answer_done(&a);
}
END_TEST

START_TEST(knows_its_query_parameters)
{
	struct answer a = get(&world, "/v1/jobs?limt=5");

	assert_problem(&a, 400, "bad_request");
	ck_assert_ptr_nonnull(strstr(text_at(a.json, "detail"), "did you mean \"limit\"?"));
	answer_done(&a);
	refuses(&world, "GET", "/v1/jobs?limit=5&limit=6", NULL, 400, "bad_request");
	refuses(&world, "GET", "/livez?x", NULL, 400, "bad_request");
	refuses(&world, "GET", "/v1/jobs?limit=0", NULL, 400, "bad_request");
	refuses(&world, "GET", "/v1/jobs?limit=201", NULL, 400, "bad_request");
	refuses(&world, "GET", "/v1/jobs?limit=", NULL, 400, "bad_request");
	refuses(&world, "GET", "/v1/jobs?order=up", NULL, 400, "bad_request");
	refuses(&world, "GET", "/v1/jobs?after=mdl_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", NULL, 400, "bad_request");
	refuses(&world, "GET", "/v1/jobs?status=quued", NULL, 400, "bad_request");
}
END_TEST

/* A path that is written out is not one of the ids beside it, whatever the method. */
START_TEST(written_out_paths_hide_ids)
{
	struct answer a = request(&world, "DELETE", "/v1/keys/self", NULL, NULL, 0);

	assert_problem(&a, 405, "method_not_allowed");
	ck_assert_str_eq(header(&a, "Allow"), "GET, HEAD, OPTIONS");
	answer_done(&a);
	a = request(&world, "OPTIONS", "/v1/keys/key_01JD8Z3M2V9Q4T6R8W0Y2A4C6E", NULL, NULL, 0);
	ck_assert_ptr_nonnull(strstr(header(&a, "Allow"), "DELETE"));
	answer_done(&a);
}
END_TEST

START_TEST(flags_are_true_or_false)
{
	refuses(&world, "GET", "/readyz?verbose=maybe", NULL, 400, "bad_request");
	refuses(&world, "GET", "/healthz?verbose=00", NULL, 400, "bad_request");
}
END_TEST

START_TEST(keeps_request_ids)
{
	struct answer a = request(&world, "GET", "/livez", H("X-Request-Id", "ci-417.a_B"), NULL, 0);

	ck_assert_str_eq(header(&a, "X-Request-Id"), "ci-417.a_B");
	ck_assert_str_eq(api_exchange_request_id(a.x), "ci-417.a_B");
	answer_done(&a);
	a = request(&world, "GET", "/livez", H("X-Request-Id", "a b"), NULL, 0);
	ck_assert_int_eq(strncmp(header(&a, "X-Request-Id"), "req_", 4), 0);
	answer_done(&a);
	a = get(&world, "/nothing");
	ck_assert_str_eq(text_at(a.json, "request_id"), header(&a, "X-Request-Id"));
	ck_assert_str_eq(header(&a, "X-Content-Type-Options"), "nosniff");
	ck_assert_str_eq(text_at(a.json, "instance"), "/nothing");
	ck_assert_str_eq(text_at(a.json, "type"), "/problems/not_found");
	answer_done(&a);
}
END_TEST

START_TEST(refuses_bodies_where_none_is_wanted)
{
	struct answer a = request(&world, "GET", "/livez", NULL, "x", 1);

	assert_problem(&a, 400, "bad_request");
	ck_assert(a.reply->close);
	answer_done(&a);
	a = request(&world, "DELETE", "/v1/jobs/x", H("Transfer-Encoding", "chunked"), NULL, 0);
	assert_problem(&a, 400, "bad_request");
	answer_done(&a);
	refuses(&world, "POST", "/v1/jobs", H(JSON_TYPE), 411, "length_required");
	refuses(&world, "POST", "/v1/models", NULL, 411, "length_required");
}
END_TEST

/* What finding a route relies on. */
START_TEST(rows_of_one_path_stand_together)
{
	for (const struct api_route *r = api_route_table; r->method != NULL; r++)
		for (const struct api_route *later = r + 1; later->method != NULL; later++)
			if (strcmp(r->path, later->path) == 0)
				ck_assert_str_eq(later[-1].path, r->path);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("router");
	TCase *pure = tcase_create("target"), *t = tcase_create("routes");

	tcase_add_loop_test(pure, refuses_attack, 0, (int)(sizeof attacks / sizeof attacks[0]));
	tcase_add_test(pure, decodes_once);
	tcase_add_test(pure, refuses_long_target);
	tcase_add_test(pure, rows_of_one_path_stand_together);
	suite_add_tcase(s, pure);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, tells_404_from_405);
	tcase_add_test(t, answers_options_and_head);
	tcase_add_test(t, knows_its_query_parameters);
	tcase_add_test(t, written_out_paths_hide_ids);
	tcase_add_test(t, flags_are_true_or_false);
	tcase_add_test(t, keeps_request_ids);
	tcase_add_test(t, refuses_bodies_where_none_is_wanted);
	suite_add_tcase(s, t);
	return run_suite(s);
}
