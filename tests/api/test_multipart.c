/* The parser must read the same whatever the pieces: each body is fed whole, and byte by byte, and cut at every place. */
#include "api/multipart.h"
#include "tests/api/harness.h"

struct log {
	char text[4096];
	size_t n;
	bool refuse_data;
};

static void log_add(struct log *l, const char *s, size_t n)
{
	ck_assert_uint_lt(l->n + n, sizeof l->text);
	memcpy(l->text + l->n, s, n);
	l->n += n;
	l->text[l->n] = '\0';
}

static enum pare_code on_begin(void *ctx, const char *name, const char *filename, struct pare_err *err)
{
	(void)err;
	log_add(ctx, "<", 1);
	log_add(ctx, name, strlen(name));
	if (filename != NULL) {
		log_add(ctx, "|", 1);
		log_add(ctx, filename, strlen(filename));
	}
	log_add(ctx, ">", 1);
	return PARE_OK;
}

static enum pare_code on_data(void *ctx, const void *p, size_t n, struct pare_err *err)
{
	struct log *l = ctx;

	if (l->refuse_data)
		return pare_err_set(err, PARE_E_TOO_LARGE, NULL, "no more");
	log_add(l, p, n);
	return PARE_OK;
}

static enum pare_code on_end(void *ctx, struct pare_err *err)
{
	(void)err;
	log_add(ctx, ";", 1);
	return PARE_OK;
}

static enum pare_code run(struct log *l, const char *type, const char *body, size_t n, size_t cut)
{
	struct api_part_sink sink = {on_begin, on_data, on_end, l};
	struct api_multipart *m = calloc(1, sizeof *m);
	enum pare_code rc = api_multipart_init(m, type, &sink, NULL);

	for (size_t i = 0; i < n && rc == PARE_OK; i += cut)
		rc = api_multipart_feed(m, body + i, n - i < cut ? n - i : cut, NULL);
	if (rc == PARE_OK)
		rc = api_multipart_finish(m, NULL);
	free(m);
	return rc;
}

#define TYPE "multipart/form-data; boundary=XX"
#define FIELD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define FILE_PART(name, file) "Content-Disposition: form-data; name=\"" name "\"; filename=\"" file "\"\r\nContent-Type: a/b\r\n\r\n"

static const struct {
	const char *body, *want;
} bodies[] = {
    {"--XX\r\n" FIELD("name") "lenet\r\n--XX--\r\n", "<name>lenet;"},
    {"--XX\r\n" FIELD("name") "\r\n--XX--", "<name>;"},
    {"preamble\r\n--XX  \r\n" FILE_PART("f", "a.onnx") "bytes\r\n--XX--\r\nepilogue", "<f|a.onnx>bytes;"},
    {"--XX\r\n" FIELD("a") "1\r\n--XX\r\n" FILE_PART("f", "x") "2\r\n\r\n--X\r\n-\r--XX\r\n--XX--", "<a>1;<f|x>2\r\n\r\n--X\r\n-\r--XX;"},
    {"--XX\r\n" FILE_PART("f", "a\\\"b\\\\c") "\r\r\n\r\r\n--XX--", "<f|a\"b\\c>\r\r\n\r;"},
    {"--XX\r\ncontent-disposition:form-data;name=a;filename=\"\"\r\n\r\nz\r\n--XX--", "<a|>z;"},
    {"--XX--", ""},
};

START_TEST(reads_body_however_cut)
{
	size_t n = strlen(bodies[_i].body);

	for (size_t cut = 1; cut <= n; cut++) {
		struct log l = {.n = 0};

		ck_assert_int_eq(run(&l, TYPE, bodies[_i].body, n, cut), PARE_OK);
		ck_assert_str_eq(l.text, bodies[_i].want);
	}
}
END_TEST

static const struct {
	const char *name, *type, *body;
} broken[] = {
    {"no boundary", "multipart/form-data", ""},
    {"empty boundary", "multipart/form-data; boundary=", ""},
    {"unclosed quote", "multipart/form-data; boundary=\"XX", ""},
    {"boundary of 71", "multipart/form-data; boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ""},
    {"empty body", TYPE, ""},
    {"no closing delimiter", TYPE, "--XX\r\n" FIELD("a") "1\r\n"},
    {"cut in the head", TYPE, "--XX\r\nContent-Disposition: form"},
    {"no disposition", TYPE, "--XX\r\nContent-Type: a/b\r\n\r\n1\r\n--XX--"},
    {"empty head", TYPE, "--XX\r\n\r\n1\r\n--XX--"},
    {"not form-data", TYPE, "--XX\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--XX--"},
    {"no name", TYPE, "--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--"},
    {"name without end", TYPE, "--XX\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--XX--"},
    {"delimiter with a tail", TYPE, "--XXY\r\n" FIELD("a") "1\r\n--XX--"},
    {"bare line feed after the delimiter", TYPE, "--XX\n" FIELD("a") "1\r\n--XX--"},
    {"name that is not UTF-8", TYPE, "--XX\r\n" FIELD("\xff") "1\r\n--XX--"},
};

START_TEST(refuses_broken_body)
{
	struct log l = {.n = 0};

	ck_assert_msg(run(&l, broken[_i].type, broken[_i].body, strlen(broken[_i].body), 7) == PARE_E_BAD_REQUEST, "passed: %s", broken[_i].name);
}
END_TEST

START_TEST(bounds_heads_and_parts)
{
	struct log l = {.n = 0};
	char *big = calloc(1, 20000);
	size_t n = 0;

	n += (size_t)snprintf(big, 20000, "--XX\r\nX-A: ");
	memset(big + n, 'a', 5000);
	ck_assert_int_eq(run(&l, TYPE, big, n + 5000, 100), PARE_E_HEADERS);
	n = (size_t)snprintf(big, 20000, "--XX");
	for (int i = 0; i <= API_MAX_PARTS; i++)
		n += (size_t)snprintf(big + n, 20000 - n, "\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--XX");
	ck_assert_int_eq(run(&l, TYPE, big, n, 100), PARE_E_TOO_LARGE);
	free(big);
}
END_TEST

START_TEST(stops_when_the_sink_does)
{
	struct log l = {.refuse_data = true};
	const char *body = "--XX\r\n" FIELD("a") "1\r\n--XX--";

	ck_assert_int_eq(run(&l, TYPE, body, strlen(body), 3), PARE_E_TOO_LARGE);
}
END_TEST

START_TEST(takes_nul_bytes_as_data)
{
	struct log l = {.n = 0};
	static const char body[] = "--XX\r\n" FILE_PART("f", "x") "a\0b\r\n--XX--";

	ck_assert_int_eq(run(&l, TYPE, body, sizeof body - 1, 5), PARE_OK);
	ck_assert_int_eq(memcmp(l.text, "<f|x>a\0b;", 9), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("multipart");
	TCase *t = tcase_create("multipart");

	tcase_add_loop_test(t, reads_body_however_cut, 0, (int)(sizeof bodies / sizeof bodies[0]));
	tcase_add_loop_test(t, refuses_broken_body, 0, (int)(sizeof broken / sizeof broken[0]));
	tcase_add_test(t, bounds_heads_and_parts);
	tcase_add_test(t, stops_when_the_sink_does);
	tcase_add_test(t, takes_nul_bytes_as_data);
	suite_add_tcase(s, t);
	return run_suite(s);
}
