/* Errors: the registry is consistent, and "where" grows from the inside out without touching the message. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "core/base/err.h"

START_TEST(the_registry_is_one_to_one)
{
	for (int i = 0; i < PARE_N_CODES; i++) {
		enum pare_code code = (enum pare_code)i;
		const char *s = pare_code_string(code);

		ck_assert(s[0] != '\0' && strlen(s) == strspn(s, "abcdefghijklmnopqrstuvwxyz_"));
		ck_assert_int_eq(pare_code_from_string(s), code);
		ck_assert(pare_code_title(code)[0] != '\0');
		ck_assert_int_lt(pare_code_class(code), PARE_N_CLASSES);
		ck_assert((pare_code_class(code) == PARE_CLASS_NONE) == (code == PARE_OK));
	}
	ck_assert_int_eq(pare_code_from_string("no such code"), PARE_E_INTERNAL);
	ck_assert_int_eq(pare_code_from_string(NULL), PARE_E_INTERNAL);
	ck_assert_str_eq(pare_code_string((enum pare_code)9999), "internal_error");
}
END_TEST

START_TEST(set_and_where)
{
	struct pare_err e = {0};

	ck_assert_int_eq(pare_err_set(&e, PARE_E_SHAPE, NULL, "%d is not %s", 3, "four"), PARE_E_SHAPE);
	ck_assert_str_eq(e.message, "3 is not four");
	ck_assert_str_eq(e.where, "");
	ck_assert_int_eq(pare_err_at(&e, "axis %d", 1), PARE_E_SHAPE);
	ck_assert_str_eq(e.where, "axis 1");
	ck_assert_int_eq(pare_err_at(&e, "node \"%s\"", "fc"), PARE_E_SHAPE);
	ck_assert_str_eq(e.where, "node \"fc\": axis 1");
	ck_assert_str_eq(e.message, "3 is not four");
	ck_assert_int_eq(pare_err_set(&e, PARE_E_MODEL, "here", "new"), PARE_E_MODEL);
	ck_assert_str_eq(e.where, "here");
}
END_TEST

START_TEST(nobody_has_to_listen)
{
	ck_assert_int_eq(pare_err_set(NULL, PARE_E_LIMIT, "x", "y"), PARE_E_LIMIT);
	ck_assert_int_eq(pare_err_nomem(NULL, 5), PARE_E_NOMEM);
	ck_assert_int_eq(pare_err_at(NULL, "x"), PARE_E_INTERNAL);
}
END_TEST

START_TEST(long_texts_are_cut)
{
	struct pare_err e = {0};
	char text[2000];

	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	(void)pare_err_set(&e, PARE_E_MODEL, text, "%s", text);
	(void)pare_err_at(&e, "%s", text);
	ck_assert_uint_eq(strlen(e.message), PARE_ERR_MESSAGE_MAX - 1);
	ck_assert_uint_lt(strlen(e.where), PARE_ERR_WHERE_MAX);
}
END_TEST

START_TEST(errno_and_memory)
{
	struct pare_err e = {0};

	ck_assert_int_eq(pare_err_errno(&e, ENOSPC, "write model.onnx"), PARE_E_STORE_FULL);
	ck_assert_ptr_nonnull(strstr(e.message, "write model.onnx: "));
	ck_assert_int_eq(pare_err_errno(&e, EDQUOT, "w"), PARE_E_STORE_FULL);
	ck_assert_int_eq(pare_err_errno(&e, ENOMEM, "w"), PARE_E_NOMEM);
	ck_assert_int_eq(pare_err_errno(&e, EIO, "w"), PARE_E_IO);
	ck_assert_int_eq(pare_err_nomem(&e, 123), PARE_E_NOMEM);
	ck_assert_ptr_nonnull(strstr(e.message, "123 bytes"));
	(void)pare_err_nomem(&e, 0);
	ck_assert_str_eq(e.message, "out of memory");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("errors");
	TCase *tc = tcase_create("base");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, the_registry_is_one_to_one);
	tcase_add_test(tc, set_and_where);
	tcase_add_test(tc, nobody_has_to_listen);
	tcase_add_test(tc, long_texts_are_cut);
	tcase_add_test(tc, errno_and_memory);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
