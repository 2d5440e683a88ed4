/* Bytes to lines, the look into an event's text, and the log's quoting. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/lines.h"
#include "server/log.h"
#include "server/peek.h"

START_TEST(lines_in_pieces)
{
	static const char text[] = "one\n\nthree is longer\nunfinished";
	static const char *const want[] = {"one", "", "three is longer"};

	for (size_t step = 1; step < sizeof text; step++) {
		struct srv_lines l;
		struct pare_err err;
		size_t n, found = 0;
		char *line;

		srv_lines_init(&l, 100);
		for (size_t at = 0; at < sizeof text - 1; at += step) {
			size_t left = sizeof text - 1 - at;

			ck_assert_int_eq(srv_lines_add(&l, text + at, left < step ? left : step, &err), PARE_OK);
			while ((line = srv_lines_next(&l, &n)) != NULL) {
				ck_assert_uint_lt(found, 3);
				ck_assert_str_eq(line, want[found]);
				ck_assert_uint_eq(n, strlen(want[found]));
				found++;
			}
		}
		ck_assert_uint_eq(found, 3);
		ck_assert_str_eq(srv_lines_rest(&l), "unfinished");
		srv_lines_done(&l);
	}
}
END_TEST

START_TEST(a_line_has_a_limit)
{
	struct srv_lines l;
	struct pare_err err;
	char piece[60];
	size_t n;

	memset(piece, 'x', sizeof piece);
	srv_lines_init(&l, 100);
	ck_assert_int_eq(srv_lines_add(&l, piece, sizeof piece, &err), PARE_OK);
	ck_assert_ptr_null(srv_lines_next(&l, &n));
	ck_assert_int_eq(srv_lines_add(&l, piece, sizeof piece, &err), PARE_E_LIMIT);
	srv_lines_done(&l);
}
END_TEST

START_TEST(peek_finds_top_level_strings_only)
{
	char out[16];

	ck_assert(srv_peek_string("{\"a\":{\"phase\":\"no\"},\"phase\":\"train\",\"n\":1}", "phase", out, sizeof out));
	ck_assert_str_eq(out, "train");
	ck_assert(srv_peek_string("{\"text\":\"\\\"phase\\\":\\\"x\",\"phase\": \"prune\"}", "phase", out, sizeof out));
	ck_assert_str_eq(out, "prune");
	ck_assert(!srv_peek_string("{\"phase\":3}", "phase", out, sizeof out));
	ck_assert(!srv_peek_string("{\"list\":[{\"phase\":\"x\"}]}", "phase", out, sizeof out));
	ck_assert(!srv_peek_string("{\"phase\":\"much too long for the room\"}", "phase", out, sizeof out));
	ck_assert(!srv_peek_string("{\"x\":\"phase\"}", "phase", out, sizeof out));
	ck_assert(!srv_peek_string("", "phase", out, sizeof out));
}
END_TEST

/* What the log writes for one value, caught from standard error. */
static void logged(const char *value, char *out, size_t cap)
{
	int ends[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	srv_log_event(SRV_LOG_ERROR, "test", "value", value, NULL);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[1]);
	n = read(ends[0], out, cap - 1);
	close(ends[0]);
	ck_assert_int_gt(n, 0);
	out[n] = '\0';
}

START_TEST(log_values_cannot_forge)
{
	char out[4096], big[4000];

	logged("plain", out, sizeof out);
	ck_assert_ptr_nonnull(strstr(out, " level=error event=test value=plain\n"));
	logged("two words", out, sizeof out);
	ck_assert_ptr_nonnull(strstr(out, "value=\"two words\"\n"));
	logged("x\nlevel=info event=\"forged\"\t\x1b[31m", out, sizeof out);
	ck_assert_ptr_nonnull(strstr(out, "value=\"x\\nlevel=info event=\\\"forged\\\"\\x09\\x1b[31m\"\n"));
	ck_assert_ptr_eq(strchr(out, '\n'), out + strlen(out) - 1);
	memset(big, 'y', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	logged(big, out, sizeof out);
	ck_assert_uint_eq(strlen(out), SRV_LOG_LINE_MAX);
	ck_assert_int_eq(out[SRV_LOG_LINE_MAX - 1], '\n');
}
END_TEST

START_TEST(log_level_holds)
{
	struct srv_log_line l;

	srv_log_set_level(SRV_LOG_WARNING);
	ck_assert(!srv_log_enabled(SRV_LOG_INFO));
	ck_assert(srv_log_enabled(SRV_LOG_ERROR));
	srv_log_begin(&l, SRV_LOG_INFO, "unseen");
	srv_log_int(&l, "n", 1);
	ck_assert(!l.on);
	srv_log_end(&l);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lines, peek, log");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, lines_in_pieces);
	tcase_add_test(t, a_line_has_a_limit);
	tcase_add_test(t, peek_finds_top_level_strings_only);
	tcase_add_test(t, log_values_cannot_forge);
	tcase_add_test(t, log_level_holds);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
