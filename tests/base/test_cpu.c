/* What a thread is told about numbers that are nearly nothing, and that threads which it starts know it, too. */
#include <check.h>
#include <float.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/base/cpu.h"

/* Half of the least normal number: with volatile operands, so that the processor has to say. */
static void *halve(void *out)
{
	volatile float least = FLT_MIN, half = 0.5f;

	*(float *)out = least * half;
	return NULL;
}

static float halved_by_a_thread(void)
{
	float result = -1;
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, halve, &result), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	return result;
}

START_TEST(denormals_are_flushed)
{
	volatile float denormal, two = 2.0f;
	float here;

	halve(&here);
	ck_assert(here > 0);
	denormal = here;
	pare_cpu_flush_denormals();
	halve(&here);
	ck_assert(here == 0);
	ck_assert(denormal * two == 0); /* as an operand, too */
	ck_assert(halved_by_a_thread() == 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cpu");
	TCase *t = tcase_create("cpu");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, denormals_are_flushed);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
