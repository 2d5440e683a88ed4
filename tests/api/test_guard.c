/* Every way to make two parsers disagree about a request that we know of, by name. */
#include "api/guard.h"
#include "tests/api/harness.h"

static enum pare_code check_head(const char *method, const char *version, const char *const *headers, struct api_framing *out)
{
	struct api_header list[MAX_HEADERS];
	struct api_head head = {.method = method, .target = "/livez", .version = version, .headers = list, .peer = ""};
	struct pare_err err;

	for (; *headers != NULL; headers += 2)
		list[head.n_headers++] = (struct api_header){headers[0], headers[1]};
	return api_guard_check(&head, out, &err);
}

static const struct {
	const char *name;
	const char *headers[9]; /* besides Host: a */
} attacks[] = {
    {"content-length and transfer-encoding", {"Content-Length", "5", "Transfer-Encoding", "chunked"}},
    {"transfer-encoding and content-length", {"transfer-encoding", "chunked", "content-length", "5"}},
    {"two differing content-lengths", {"Content-Length", "5", "Content-Length", "6"}},
    {"two equal content-lengths", {"Content-Length", "5", "Content-Length", "5"}},
    {"content-length list", {"Content-Length", "5, 5"}},
    {"space before the colon", {"Content-Length ", "5"}},
    {"tab before the colon", {"Content-Length\t", "5"}},
    {"obs-fold: name that starts with a blank", {" folded", "x"}},
    {"obs-fold: line break in the value", {"X-A", "a\r\n b"}},
    {"bare line feed in a value", {"X-A", "a\nX-B: c"}},
    {"bare carriage return in a value", {"X-A", "a\rb"}},
    {"control character in a value", {"X-A", "a\x01"}},
    {"empty name", {"", "x"}},
    {"name with a colon", {"X:A", "x"}},
    {"name that is not ASCII", {"X\xC3\xA9", "x"}},
    {"te: gzip, chunked", {"Transfer-Encoding", "gzip, chunked"}},
    {"te: chunked, chunked", {"Transfer-Encoding", "chunked, chunked"}},
    {"te: identity", {"Transfer-Encoding", "identity"}},
    {"te: xchunked", {"Transfer-Encoding", "xchunked"}},
    {"te: chunked with a parameter", {"Transfer-Encoding", "chunked;q=1"}},
    {"te: quoted", {"Transfer-Encoding", "\"chunked\""}},
    {"te: empty", {"Transfer-Encoding", ""}},
    {"te twice", {"Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"}},
    {"te: vertical tab", {"Transfer-Encoding", "\x0b" "chunked"}},
    {"content-length +5", {"Content-Length", "+5"}},
    {"content-length -1", {"Content-Length", "-1"}},
    {"content-length 0x5", {"Content-Length", "0x5"}},
    {"content-length 5e1", {"Content-Length", "5e1"}},
    {"content-length empty", {"Content-Length", ""}},
    {"content-length 5 5", {"Content-Length", "5 5"}},
    {"content-length 2^63", {"Content-Length", "9223372036854775808"}},
    {"content-length 2^64", {"Content-Length", "18446744073709551616"}},
    {"content-length of forty digits", {"Content-Length", "0000000000000000000000000000000000000005"}},
    {"host twice", {"Host", "b"}},
};

START_TEST(refuses_attack)
{
	const char *headers[12] = {"Host", "a"};
	struct api_framing f;

	memcpy(headers + 2, attacks[_i].headers, sizeof attacks[_i].headers);
	ck_assert_msg(check_head("GET", "HTTP/1.1", headers, &f) == PARE_E_BAD_REQUEST, "passed: %s", attacks[_i].name);
}
END_TEST

START_TEST(accepts_what_is_right)
{
	struct api_framing f;

	ck_assert_int_eq(check_head("GET", "HTTP/1.1", H("Host", "a"), &f), PARE_OK);
	ck_assert(!f.has_length && !f.chunked);
	ck_assert_int_eq(check_head("POST", "HTTP/1.1", H("host", "[::1]:8080", "CONTENT-LENGTH", " 17 "), &f), PARE_OK);
	ck_assert(f.has_length && f.length == 17);
	ck_assert_int_eq(check_head("POST", "HTTP/1.1", H("Host", "a", "Transfer-Encoding", "Chunked"), &f), PARE_OK);
	ck_assert(f.chunked && !f.has_length);
	ck_assert_int_eq(check_head("GET", "HTTP/1.0", H("X-A", "caf\xC3\xA9\tb"), &f), PARE_OK);
	ck_assert_int_eq(check_head("POST", "HTTP/1.1", H("Host", "a", "Content-Length", "9223372036854775807"), &f), PARE_OK);
	ck_assert(f.length == INT64_MAX);
}
END_TEST

START_TEST(refuses_lines)
{
	struct api_framing f;

	ck_assert_int_eq(check_head("GET", "HTTP/1.1", H("X-A", "b"), &f), PARE_E_BAD_REQUEST); /* no Host */
	ck_assert_int_eq(check_head("GET", "HTTP/1.1", H("Host", "a b"), &f), PARE_E_BAD_REQUEST);
	ck_assert_int_eq(check_head("GET", "HTTP/1.1", H("Host", "a/b"), &f), PARE_E_BAD_REQUEST);
	ck_assert_int_eq(check_head("GET", "HTTP/1.0", H("Transfer-Encoding", "chunked"), &f), PARE_E_BAD_REQUEST);
	ck_assert_int_eq(check_head("GET", "HTTP/0.9", H("Host", "a"), &f), PARE_E_BAD_REQUEST);
	ck_assert_int_eq(check_head("GET", "HTTP/2.0", H("Host", "a"), &f), PARE_E_BAD_REQUEST);
	ck_assert_int_eq(check_head("GE T", "HTTP/1.1", H("Host", "a"), &f), PARE_E_BAD_REQUEST);
	ck_assert_int_eq(check_head("", "HTTP/1.1", H("Host", "a"), &f), PARE_E_BAD_REQUEST);
	ck_assert_int_eq(check_head("AVERYLONGMETHODNAME", "HTTP/1.1", H("Host", "a"), &f), PARE_E_BAD_REQUEST);
}
END_TEST

START_TEST(limits_number_and_size)
{
	struct api_header list[API_MAX_HEADERS + 1];
	struct api_head head = {.method = "GET", .target = "/", .version = "HTTP/1.1", .headers = list, .peer = ""};
	struct api_framing f;
	struct pare_err err;
	char *big = calloc(1, 40001);

	list[0] = (struct api_header){"Host", "a"};
	for (size_t i = 1; i <= API_MAX_HEADERS; i++)
		list[i] = (struct api_header){"X-A", "b"};
	head.n_headers = API_MAX_HEADERS;
	ck_assert_int_eq(api_guard_check(&head, &f, &err), PARE_OK);
	head.n_headers = API_MAX_HEADERS + 1;
	ck_assert_int_eq(api_guard_check(&head, &f, &err), PARE_E_HEADERS);
	memset(big, 'a', 40000);
	list[1].value = big;
	head.n_headers = 2;
	ck_assert_int_eq(api_guard_check(&head, &f, &err), PARE_E_HEADERS);
	free(big);
}
END_TEST

START_TEST(a_doubtful_head_closes_the_connection)
{
	struct world w;
	struct answer a;

	world_init(&w);
	world_start(&w);
	a = request(&w, "GET", "/livez", H("Content-Length", "5", "Transfer-Encoding", "chunked"), NULL, 0);
	assert_problem(&a, 400, "bad_request");
	ck_assert(a.reply->close);
	answer_done(&a);
	a = request(&w, "GET", "/livez", H("X-Bad ", "1"), NULL, 0);
	assert_problem(&a, 400, "bad_request");
	ck_assert(a.reply->close);
	answer_done(&a);
	a = get(&w, "/livez");
	assert_status(&a, 200);
	ck_assert(!a.reply->close);
	answer_done(&a);
	world_done(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("guard");
	TCase *t = tcase_create("guard");

	tcase_add_loop_test(t, refuses_attack, 0, (int)(sizeof attacks / sizeof attacks[0]));
	tcase_add_test(t, accepts_what_is_right);
	tcase_add_test(t, refuses_lines);
	tcase_add_test(t, limits_number_and_size);
	tcase_add_test(t, a_doubtful_head_closes_the_connection);
	suite_add_tcase(s, t);
	return run_suite(s);
}
