/* Ranges, tags, negotiation: the pure part of conditional requests. */
#include "api/range.h"
#include "api/text.h"
#include "tests/api/harness.h"

static const struct {
	const char *value;
	int64_t size;
	enum api_range_kind kind;
	int64_t first, n;
} ranges[] = {
    {NULL, 10, API_RANGE_WHOLE, 0, 0},
    {"bytes=0-0", 10, API_RANGE_PART, 0, 1},
    {"bytes=0-9", 10, API_RANGE_PART, 0, 10},
    {"bytes=0-", 10, API_RANGE_PART, 0, 10},
    {"bytes=3-5", 10, API_RANGE_PART, 3, 3},
    {"bytes=9-", 10, API_RANGE_PART, 9, 1},
    {"bytes=5-99999999999", 10, API_RANGE_PART, 5, 5},
    {"Bytes=5-", 10, API_RANGE_PART, 5, 5},
    {"bytes=-3", 10, API_RANGE_PART, 7, 3},
    {"bytes=-30", 10, API_RANGE_PART, 0, 10},
    {"bytes=-0", 10, API_RANGE_BAD, 0, 0},
    {"bytes=10-", 10, API_RANGE_BAD, 0, 0},
    {"bytes=11-12", 10, API_RANGE_BAD, 0, 0},
    {"bytes=0-", 0, API_RANGE_BAD, 0, 0},
    {"bytes=-1", 0, API_RANGE_BAD, 0, 0},
    {"bytes=5-3", 10, API_RANGE_WHOLE, 0, 0},
    {"bytes=", 10, API_RANGE_WHOLE, 0, 0},
    {"bytes=-", 10, API_RANGE_WHOLE, 0, 0},
    {"bytes=a-b", 10, API_RANGE_WHOLE, 0, 0},
    {"bytes=+1-2", 10, API_RANGE_WHOLE, 0, 0},
    {"bytes=0x1-2", 10, API_RANGE_WHOLE, 0, 0},
    {"bytes=--1", 10, API_RANGE_WHOLE, 0, 0},
    {"bytes=0-1,3-4", 10, API_RANGE_WHOLE, 0, 0},
    {"bytes=99999999999999999999-", 10, API_RANGE_BAD, 0, 0},
    {"bytes=5-99999999999999999999", 10, API_RANGE_PART, 5, 5},
    {"bytes=-99999999999999999999", 10, API_RANGE_PART, 0, 10},
    {"items=0-1", 10, API_RANGE_WHOLE, 0, 0},
};

START_TEST(parses_range)
{
	int64_t first = -1, n = -1;

	ck_assert_int_eq(api_range_parse(ranges[_i].value, ranges[_i].size, &first, &n), ranges[_i].kind);
	if (ranges[_i].kind == API_RANGE_PART) {
		ck_assert_int_eq(first, ranges[_i].first);
		ck_assert_int_eq(n, ranges[_i].n);
	}
}
END_TEST

START_TEST(compares_tags)
{
	ck_assert(api_etag_in("\"a\"", "\"a\"", true));
	ck_assert(api_etag_in("\"b\", \"a\"", "\"a\"", false));
	ck_assert(api_etag_in("W/\"a\"", "\"a\"", true));
	ck_assert(!api_etag_in("W/\"a\"", "\"a\"", false));
	ck_assert(api_etag_in("*", "\"a\"", true));
	ck_assert(!api_etag_in("", "\"a\"", true));
	ck_assert(!api_etag_in("a", "\"a\"", true));
	ck_assert(!api_etag_in("\"a", "\"a\"", true));
	ck_assert(!api_etag_in("\"ab\"", "\"a\"", true));
	ck_assert(api_if_range(NULL, "\"a\""));
	ck_assert(api_if_range(" \"a\" ", "\"a\""));
	ck_assert(!api_if_range("W/\"a\"", "\"a\""));
	ck_assert(!api_if_range("Sun, 22 Nov 2026 01:02:03 GMT", "\"a\""));
}
END_TEST

static const struct {
	const char *accept;
	int index;
} wishes[] = {
    {NULL, 0},
    {"*/*", 0},
    {"text/event-stream", 2},
    {"text/event-stream, application/json;q=0.5", 2},
    {"application/json;q=0.5, application/x-ndjson;q=0.8", 1},
    {"application/*", 0},
    {"application/*;q=0.1, text/*", 2},
    {"application/json;q=0, */*", 1},
    {"TEXT/EVENT-STREAM ; Q=1", 2},
    {"image/png", -1},
    {"application/json;q=2", -1},
    {"", -1},
    {"*/*;q=0", -1},
    {",,,", -1},
};

START_TEST(negotiates)
{
	static const char *const offers[] = {"application/json", "application/x-ndjson", "text/event-stream", NULL};

	ck_assert_int_eq(api_negotiate(wishes[_i].accept, offers), wishes[_i].index);
}
END_TEST

START_TEST(makes_names_safe)
{
	static const struct {
		const char *in, *out;
	} cases[] = {{"model.onnx", "model.onnx"}, {"../../etc/passwd", "passwd"}, {"C:\\a\\b.onnx", "b.onnx"}, {"..", "file"}, {"", "file"}, {".hidden", "hidden"}, {"a b\r\n\"c", "a_b___c"}, {"a/", "file"}};
	char out[API_FILENAME_MAX], big[300];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		api_safe_filename(cases[i].in, out);
		ck_assert_str_eq(out, cases[i].out);
	}
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	api_safe_filename(big, out);
	ck_assert_uint_eq(strlen(out), API_FILENAME_MAX - 1);
}
END_TEST

START_TEST(encodes_digests)
{
	char out[API_DIGEST_BASE64];

	/* SHA-256 of the empty string */
	api_digest_base64("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", out);
	ck_assert_str_eq(out, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("range");
	TCase *t = tcase_create("range");

	tcase_add_loop_test(t, parses_range, 0, (int)(sizeof ranges / sizeof ranges[0]));
	tcase_add_test(t, compares_tags);
	tcase_add_loop_test(t, negotiates, 0, (int)(sizeof wishes / sizeof wishes[0]));
	tcase_add_test(t, makes_names_safe);
	tcase_add_test(t, encodes_digests);
	suite_add_tcase(s, t);
	return run_suite(s);
}
