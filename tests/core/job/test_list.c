/* A list of an answer is never longer than its share, whatever stands in it; what has no room is counted. */
#include <check.h>
#include <string.h>

#include "core/job/list.h"
#include "core/recipe/json_text.h"
#include "tests/support/fail_alloc.h"

static void put(struct job_list *l, const char *text)
{
	pare_json_str(job_list_entry(l), text);
	job_list_add(l);
}

START_TEST(what_fits_is_there)
{
	struct job_list l[2];
	struct pare_buf b;

	pare_buf_init(&b, 1000);
	pare_buf_str(&b, "{");
	job_list_begin(&l[0], &b, "short", 100);
	put(&l[0], "a");
	put(&l[0], "b");
	ck_assert(!job_list_again(&l[0]));
	job_list_end(&l[0]);
	job_list_begin(&l[1], &b, "empty", 100);
	job_list_end(&l[1]);
	job_write_left_out(&b, l, 2);
	pare_buf_str(&b, "}");
	ck_assert_str_eq(b.data, "{\"short\":[\"a\",\"b\"],\"empty\":[]}");
	pare_buf_done(&b);
}
END_TEST

START_TEST(what_does_not_is_counted)
{
	char longer[200] = "";
	struct job_list l[2];
	struct pare_buf b;

	memset(longer, 'x', sizeof longer - 1);
	pare_buf_init(&b, 1000);
	pare_buf_str(&b, "{");
	job_list_begin(&l[0], &b, "list", 12);
	put(&l[0], "abc");
	put(&l[0], longer); /* no entry at all */
	put(&l[0], "de");
	put(&l[0], "f");
	ck_assert_str_eq(b.data, "{\"list\":[\"abc\",\"de\"");
	ck_assert(job_list_again(&l[0]));
	put(&l[0], "f");
	put(&l[0], longer);
	job_list_end(&l[0]);
	job_list_begin(&l[1], &b, "whole", 100);
	put(&l[1], longer + 195);
	job_list_end(&l[1]);
	job_write_left_out(&b, l, 2);
	pare_buf_str(&b, "}");
	ck_assert_str_eq(b.data, "{\"list\":[\"f\"],\"whole\":[\"xxxx\"],\"left_out\":{\"list\":1}}");
	ck_assert(!b.failed);
	pare_buf_done(&b);
}
END_TEST

START_TEST(no_memory_is_not_no_room)
{
	struct job_list l;
	struct pare_buf b;

	pare_buf_init(&b, 1000);
	job_list_begin(&l, &b, "list", 100);
	fail_alloc_install(1);
	put(&l, "a");
	fail_alloc_remove();
	job_list_end(&l);
	ck_assert_int_eq(pare_buf_status(&b, NULL), PARE_E_NOMEM);
	pare_buf_done(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/job/list");
	TCase *t = tcase_create("list");
	SRunner *r;
	int failed;

	tcase_add_test(t, what_fits_is_there);
	tcase_add_test(t, what_does_not_is_counted);
	tcase_add_test(t, no_memory_is_not_no_room);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
