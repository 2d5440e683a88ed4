/* Ids sort by time and can be told from other text; times are RFC 3339. */
#include <check.h>
#include <string.h>

#include "core/base/id.h"

static int64_t now;
static unsigned char fill;

static int64_t wall_ms(void *ctx)
{
	(void)ctx;
	return now;
}

static void random_bytes(void *ctx, void *out, size_t n)
{
	(void)ctx;
	memset(out, fill, n);
}

static const struct pare_env env = {.wall_ms = wall_ms, .random = random_bytes};

START_TEST(ids)
{
	char a[PARE_ID_MAX], b[PARE_ID_MAX];

	now = 1469918176385; /* the example of the ULID specification: 01ARYZ6S41 */
	fill = 31;
	pare_id_make(&env, "job", a);
	ck_assert_str_eq(a, "job_01ARYZ6S41ZZZZZZZZZZZZZZZZ");
	ck_assert(pare_id_check(a, "job"));
	now++;
	fill = 0;
	pare_id_make(&env, "job", b);
	ck_assert_int_gt(strcmp(b, a), 0);
	pare_id_bound("job", 1469918176385, true, a);
	ck_assert_str_eq(a, "job_01ARYZ6S41ZZZZZZZZZZZZZZZZ");
	pare_id_bound("job", 1469918176385, false, a);
	ck_assert_str_eq(a, "job_01ARYZ6S410000000000000000");
	ck_assert(pare_id_check(a, "job"));
	now = ((int64_t)1 << 48) - 1;
	fill = 255;
	pare_id_make(&env, "dset", b);
	ck_assert_str_eq(b, "dset_7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
}
END_TEST

static const struct {
	const char *id;
	bool ok;
} id_table[] = {
    {"job_01ARYZ6S41ZZZZZZZZZZZZZZZZ", true},
    {"mdl_01ARYZ6S41ZZZZZZZZZZZZZZZZ", false},
    {"job_01ARYZ6S41ZZZZZZZZZZZZZZZ", false},
    {"job_01ARYZ6S41ZZZZZZZZZZZZZZZZZ", false},
    {"job_01aryz6s41zzzzzzzzzzzzzzzz", false},
    {"job_01ARYZ6S41ZZZZZZZZZZZZZZZI", false},
    {"job_01ARYZ6S41ZZZZZZZZZZZZ/../", false},
    {"job-01ARYZ6S41ZZZZZZZZZZZZZZZZ", false},
    {"job_", false},
    {"job", false},
    {"", false},
};

START_TEST(checking_ids)
{
	ck_assert_msg(pare_id_check(id_table[_i].id, "job") == id_table[_i].ok, "%s", id_table[_i].id);
}
END_TEST

static const struct {
	int64_t ms;
	const char *text;
} time_table[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {1, "1970-01-01T00:00:00.001Z"},
    {-1, "1969-12-31T23:59:59.999Z"},
    {951782400000, "2000-02-29T00:00:00.000Z"},
    {951868799999, "2000-02-29T23:59:59.999Z"},
    {951868800000, "2000-03-01T00:00:00.000Z"},
    {1795309323123, "2026-11-22T01:02:03.123Z"},
    {4107542400000, "2100-03-01T00:00:00.000Z"}, /* 2100 has no 29 February */
    {4107542399000, "2100-02-28T23:59:59.000Z"},
    {1703980800000, "2023-12-31T00:00:00.000Z"},
};

START_TEST(times)
{
	char out[PARE_TIME_MAX];

	pare_time_format(time_table[_i].ms, out);
	ck_assert_str_eq(out, time_table[_i].text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ids and times");
	TCase *tc = tcase_create("base");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, ids);
	tcase_add_loop_test(tc, checking_ids, 0, (int)(sizeof id_table / sizeof id_table[0]));
	tcase_add_loop_test(tc, times, 0, (int)(sizeof time_table / sizeof time_table[0]));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
