/* The growable buffer: always terminated, never past its cap, errors stick. */
#include <check.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "tests/support/fail_alloc.h"

START_TEST(appending)
{
	struct pare_buf b;
	char *s;
	size_t n = 99;

	pare_buf_init(&b, 1000);
	ck_assert_ptr_null(b.data);
	ck_assert(pare_buf_add(&b, "a\0b", 3));
	ck_assert(pare_buf_str(&b, "cd"));
	ck_assert(pare_buf_printf(&b, "%d-%s", 42, "x"));
	ck_assert_uint_eq(b.len, 9);
	ck_assert_mem_eq(b.data, "a\0bcd42-x", 10);
	ck_assert_int_eq(pare_buf_status(&b, NULL), PARE_OK);
	s = pare_buf_take(&b, &n);
	ck_assert_uint_eq(n, 9);
	ck_assert_mem_eq(s, "a\0bcd42-x", 10);
	ck_assert(b.data == NULL && b.len == 0);
	pare_free(s);
}
END_TEST

START_TEST(numbers)
{
	struct pare_buf b;

	pare_buf_init(&b, 100);
	ck_assert(pare_buf_int(&b, 0));
	ck_assert(pare_buf_str(&b, " "));
	ck_assert(pare_buf_int(&b, INT64_MIN));
	ck_assert(pare_buf_str(&b, " "));
	ck_assert(pare_buf_int(&b, INT64_MAX));
	ck_assert_str_eq(b.data, "0 -9223372036854775808 9223372036854775807");
	ck_assert(pare_buf_printf(&b, "%050d", 1)); /* within what there is, and beyond */
	ck_assert_uint_eq(b.len, 92);
	ck_assert(!pare_buf_printf(&b, "%010d", 1));
	ck_assert_uint_eq(strlen(b.data), b.len);
	pare_buf_done(&b);
}
END_TEST

START_TEST(taking_an_empty_buffer_gives_an_empty_text)
{
	struct pare_buf b;
	char *s;

	pare_buf_init(&b, 10);
	s = pare_buf_take(&b, NULL);
	ck_assert_str_eq(s, "");
	pare_free(s);
}
END_TEST

START_TEST(the_cap_is_exact_and_failure_sticks)
{
	struct pare_err err = {0};
	struct pare_buf b;

	pare_buf_init(&b, 8);
	ck_assert(pare_buf_str(&b, "12345678"));
	ck_assert(!pare_buf_str(&b, "9"));
	ck_assert_str_eq(b.data, "12345678");
	ck_assert(!pare_buf_add(&b, "", 0)); /* even nothing, until it is reset */
	ck_assert_int_eq(pare_buf_status(&b, &err), PARE_E_LIMIT);
	ck_assert_ptr_nonnull(strstr(err.message, "8 bytes"));
	ck_assert_ptr_null(pare_buf_take(&b, NULL));
	ck_assert(pare_buf_str(&b, "again"));
	pare_buf_reset(&b);
	ck_assert(b.len == 0 && b.data[0] == '\0');
	ck_assert(!pare_buf_printf(&b, "%s", "much too long"));
	pare_buf_reset(&b);
	ck_assert(pare_buf_printf(&b, "%s", "fits"));
	ck_assert_str_eq(b.data, "fits");
	pare_buf_done(&b);
}
END_TEST

START_TEST(growth_keeps_the_contents)
{
	struct pare_buf b;

	pare_buf_init(&b, 100000);
	for (int i = 0; i < 10000; i++)
		ck_assert(pare_buf_printf(&b, "%04d", i));
	ck_assert_uint_eq(b.len, 40000);
	ck_assert_mem_eq(b.data + 4 * 1234, "1234", 4);
	ck_assert_mem_eq(b.data + 4 * 9999, "9999", 5);
	pare_buf_done(&b);
}
END_TEST

static bool fill(struct pare_buf *b)
{
	pare_buf_init(b, 100000);
	for (int i = 0; i < 100; i++)
		(void)pare_buf_str(b, "some twenty characters");
	return pare_buf_status(b, NULL) == PARE_OK;
}

START_TEST(every_allocation_fails_once)
{
	struct pare_buf b;
	long n;

	fail_alloc_install(0);
	ck_assert(fill(&b));
	n = fail_alloc_count();
	ck_assert_int_gt(n, 2);
	pare_buf_done(&b);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		ck_assert(!fill(&b));
		ck_assert_int_eq(pare_buf_status(&b, NULL), PARE_E_NOMEM);
		pare_buf_done(&b);
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buffer");
	TCase *tc = tcase_create("base");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, numbers);
	tcase_add_test(tc, appending);
	tcase_add_test(tc, taking_an_empty_buffer_gives_an_empty_text);
	tcase_add_test(tc, the_cap_is_exact_and_failure_sticks);
	tcase_add_test(tc, growth_keeps_the_contents);
	tcase_add_test(tc, every_allocation_fails_once);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
