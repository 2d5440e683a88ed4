/* Text to numbers: the whole text or nothing, and sizes that cannot wrap around. */
#include <check.h>
#include <string.h>

#include "core/base/num.h"

START_TEST(sizes)
{
	size_t n = 7;

	ck_assert(pare_mul_size(3, 5, &n) && n == 15);
	ck_assert(!pare_mul_size(SIZE_MAX / 2, 3, &n) && n == 15);
	ck_assert(pare_mul_size(SIZE_MAX, 0, &n) && n == 0);
	ck_assert(pare_add_size(SIZE_MAX - 1, 1, &n) && n == SIZE_MAX);
	ck_assert(!pare_add_size(SIZE_MAX, 1, &n) && n == SIZE_MAX);
}
END_TEST

static const struct {
	const char *text;
	int64_t min, max;
	bool ok;
	int64_t want;
} int_table[] = {
    {"0", 0, 10, true, 0},
    {"007", 0, 10, true, 7},
    {"-5", -10, 10, true, -5},
    {"-5", 0, 10, false, 0},
    {"11", 0, 10, false, 0},
    {"9223372036854775807", 0, INT64_MAX, true, INT64_MAX},
    {"9223372036854775808", 0, INT64_MAX, false, 0},
    {"-9223372036854775808", INT64_MIN, 0, true, INT64_MIN},
    {"-9223372036854775809", INT64_MIN, 0, false, 0},
    {"99999999999999999999999", INT64_MIN, INT64_MAX, false, 0},
    {"", 0, 10, false, 0},
    {"-", -10, 10, false, 0},
    {"+1", -10, 10, false, 0},
    {" 1", 0, 10, false, 0},
    {"1 ", 0, 10, false, 0},
    {"0x1", 0, 10, false, 0},
    {"1.0", 0, 10, false, 0},
};

START_TEST(integers)
{
	int64_t v = 77;
	bool ok = pare_parse_i64(int_table[_i].text, strlen(int_table[_i].text), int_table[_i].min, int_table[_i].max, &v);

	ck_assert_msg(ok == int_table[_i].ok, "\"%s\"", int_table[_i].text);
	ck_assert_int_eq(v, ok ? int_table[_i].want : 77);
}
END_TEST

static const struct {
	const char *text;
	bool ok;
	double want;
} double_table[] = {
    {"0.5", true, 0.5},
    {"-1e-3", true, -1e-3},
    {".25", true, 0.25},
    {"1E5", true, 1e5},
    {"1e400", false, 0},
    {"nan", false, 0},
    {"inf", false, 0},
    {"-Infinity", false, 0},
    {"0x1p3", false, 0},
    {"1,5", false, 0},
    {"1.5 ", false, 0},
    {" 1.5", false, 0},
    {"1e", false, 0},
    {"--1", false, 0},
    {"", false, 0},
    {"1111111111111111111111111111111111111111111111111111111111111111111", false, 0},
};

START_TEST(doubles)
{
	double v = 77;
	bool ok = pare_parse_double(double_table[_i].text, strlen(double_table[_i].text), &v);

	ck_assert_msg(ok == double_table[_i].ok, "\"%s\"", double_table[_i].text);
	ck_assert(v == (ok ? double_table[_i].want : 77));
}
END_TEST

START_TEST(only_the_first_n_characters_count)
{
	int64_t v = 0;
	double d = 0;

	ck_assert(pare_parse_i64("123456", 3, 0, 1000, &v) && v == 123);
	ck_assert(pare_parse_double("1.2599", 4, &d) && d == 1.25);
	ck_assert(!pare_parse_double("1\0002", 3, &d));
}
END_TEST

static const struct {
	const char *text;
	bool ok;
	int64_t want;
} bytes_table[] = {
    {"64", true, 64},
    {"10k", true, 10240},
    {"10K", true, 10240},
    {"512M", true, 512LL << 20},
    {"4G", true, 4LL << 30},
    {"1T", true, 1LL << 40},
    {"4GiB", true, 4LL << 30},
    {"4GB", true, 4LL << 30},
    {"5B", true, 5},
    {"0", true, 0},
    {"9000000T", false, 0},
    {"", false, 0},
    {"k", false, 0},
    {"-1", false, 0},
    {"1.5G", false, 0},
    {"1Gx", false, 0},
    {"1iB", false, 0},
    {"4 G", false, 0},
};

START_TEST(byte_sizes)
{
	int64_t v = 77;
	bool ok = pare_parse_bytes(bytes_table[_i].text, &v);

	ck_assert_msg(ok == bytes_table[_i].ok, "\"%s\"", bytes_table[_i].text);
	ck_assert_int_eq(v, ok ? bytes_table[_i].want : 77);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("numbers");
	TCase *tc = tcase_create("base");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, sizes);
	tcase_add_loop_test(tc, integers, 0, (int)(sizeof int_table / sizeof int_table[0]));
	tcase_add_loop_test(tc, doubles, 0, (int)(sizeof double_table / sizeof double_table[0]));
	tcase_add_test(tc, only_the_first_n_characters_count);
	tcase_add_loop_test(tc, byte_sizes, 0, (int)(sizeof bytes_table / sizeof bytes_table[0]));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
