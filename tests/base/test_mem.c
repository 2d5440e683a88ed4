/* The allocator and arenas: alignment, exact caps, overflow, and that nothing leaks whichever allocation fails. */
#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/support/fail_alloc.h"

static bool is_zero(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

START_TEST(plain_allocation)
{
	unsigned char *p = pare_calloc(10, 10), *q = pare_alloc_aligned(1000);
	char *s = pare_strdup("text"), *t = pare_strndup("text and more", 4);

	ck_assert(is_zero(p, 100));
	ck_assert_uint_eq((uintptr_t)q % PARE_ALIGN, 0);
	ck_assert(is_zero(q, 1000));
	ck_assert_str_eq(s, "text");
	ck_assert_str_eq(t, "text");
	ck_assert_ptr_null(pare_calloc(SIZE_MAX / 2, 3));
	memset(p, 7, 100);
	p = pare_realloc(p, 200);
	ck_assert(p != NULL && p[99] == 7);
	pare_free(p);
	pare_free(q);
	pare_free(s);
	pare_free(t);
	pare_free(NULL);
	p = pare_alloc(0);
	ck_assert_ptr_nonnull(p);
	pare_free(p);
}
END_TEST

START_TEST(arena_blocks_are_cleared_aligned_and_apart)
{
	unsigned char *p[300];
	struct pare_arena a;

	pare_arena_init(&a, (size_t)1 << 24);
	for (size_t i = 0; i < 300; i++) {
		size_t n = i * 37 % 5000;

		p[i] = pare_arena_alloc(&a, n);
		ck_assert_ptr_nonnull(p[i]);
		ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
		ck_assert(is_zero(p[i], n));
		memset(p[i], (int)(i & 0xff), n);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t k = 0; k < i * 37 % 5000; k++)
			ck_assert_uint_eq(p[i][k], i & 0xff);
	pare_arena_done(&a);
	ck_assert_uint_eq(a.used_bytes, 0);
	ck_assert_ptr_null(a.head);
}
END_TEST

START_TEST(the_cap_is_exact)
{
	struct pare_arena a;

	pare_arena_init(&a, 160);
	ck_assert_ptr_nonnull(pare_arena_alloc(&a, 100)); /* 112 with alignment */
	ck_assert_ptr_null(pare_arena_alloc(&a, 49));
	ck_assert_uint_eq(a.used_bytes, 112); /* a refusal takes nothing */
	ck_assert_ptr_nonnull(pare_arena_alloc(&a, 48));
	ck_assert_ptr_null(pare_arena_alloc(&a, 1));
	pare_arena_done(&a);
	ck_assert_ptr_nonnull(pare_arena_alloc(&a, 160)); /* usable again, the cap stays */
	pare_arena_done(&a);
}
END_TEST

START_TEST(sizes_that_overflow)
{
	struct pare_arena a;

	pare_arena_init(&a, SIZE_MAX);
	ck_assert_ptr_null(pare_arena_alloc(&a, SIZE_MAX));
	ck_assert_ptr_null(pare_arena_alloc(&a, SIZE_MAX - 8));
	ck_assert_ptr_null(pare_arena_array(&a, SIZE_MAX / 4, 8));
	ck_assert_ptr_null(pare_arena_strndup(&a, "x", SIZE_MAX));
	ck_assert_str_eq(pare_arena_strndup(&a, "hello", 4), "hell");
	ck_assert_str_eq(pare_arena_strndup(&a, NULL, 0), "");
	pare_arena_done(&a);
}
END_TEST

static int use_arena(void)
{
	struct pare_arena a;
	int n_ok = 0;

	pare_arena_init(&a, (size_t)1 << 20);
	for (int i = 0; i < 20; i++)
		n_ok += pare_arena_alloc(&a, 3000) != NULL;
	pare_arena_done(&a);
	return n_ok;
}

START_TEST(every_allocation_fails_once)
{
	long n;

	fail_alloc_install(0);
	ck_assert_int_eq(use_arena(), 20);
	n = fail_alloc_count();
	ck_assert_int_gt(n, 2);
	ck_assert_int_eq(fail_alloc_live(), 0);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		ck_assert_int_eq(use_arena(), 19); /* one fails, the next one finds memory again */
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("memory");
	TCase *tc = tcase_create("base");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, plain_allocation);
	tcase_add_test(tc, arena_blocks_are_cleared_aligned_and_apart);
	tcase_add_test(tc, the_cap_is_exact);
	tcase_add_test(tc, sizes_that_overflow);
	tcase_add_test(tc, every_allocation_fails_once);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
