/* The team of threads: everybody runs, nobody runs twice, nothing is lost over many rounds with sleeps in between. */
#include <check.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/graph/pool.h"
#include "tests/support/fail_alloc.h"

struct round {
	int hits[8];
	int n_threads;
	int sums[8];
};

static void count_hit(void *ctx, int t)
{
	struct round *r = ctx;

	r->hits[t]++;
}

START_TEST(everybody_runs_once_per_round)
{
	for (int n = 1; n <= 5; n++) {
		struct pare_pool *p = NULL;
		struct round r = {.n_threads = n};

		ck_assert_int_eq(pare_pool_new(n, &p, NULL), PARE_OK);
		for (int i = 0; i < 500; i++)
			pare_pool_run(p, count_hit, &r);
		for (int t = 0; t < 8; t++)
			ck_assert_int_eq(r.hits[t], t < n ? 500 : 0);
		pare_pool_free(p);
	}
}
END_TEST

static void lag(void *ctx, int t)
{
	struct round *r = ctx;

	if (t == 1 && r->hits[1] % 3 == 0)
		usleep(2000);
	r->hits[t]++;
}

/* What one round wrote, the next one reads on another thread: the join orders memory. Late workers put the caller to
 * sleep, a late caller puts the workers to sleep. */
static void pass_on(void *ctx, int t)
{
	struct round *r = ctx;

	r->sums[t] = r->hits[(t + 1) % r->n_threads];
}

START_TEST(rounds_see_each_others_memory)
{
	struct pare_pool *p = NULL;
	struct round r = {.n_threads = 3};

	ck_assert_int_eq(pare_pool_new(3, &p, NULL), PARE_OK);
	for (int i = 1; i <= 60; i++) {
		pare_pool_run(p, lag, &r);
		if (i % 10 == 0)
			usleep(3000);
		pare_pool_run(p, pass_on, &r);
		for (int t = 0; t < 3; t++)
			ck_assert_int_eq(r.sums[t], i);
	}
	pare_pool_free(p);
}
END_TEST

struct meetings {
	struct pare_pool *pool;
	int said[3][50], wrong;
};

/* Everybody says something, meets, and hears what all said; one is late now and then. */
static void meet_often(void *ctx, int t)
{
	struct meetings *m = ctx;

	for (int i = 0; i < 50; i++) {
		if (i % 10 == t)
			usleep(1000);
		m->said[t][i] = i + 1;
		pare_pool_meet(m->pool);
		for (int k = 0; k < 3; k++)
			if (m->said[k][i] != i + 1)
				m->wrong = 1; /* a race only when the test fails anyway */
	}
}

START_TEST(meetings_within_a_round)
{
	struct meetings m = {.wrong = 0};

	ck_assert_int_eq(pare_pool_new(3, &m.pool, NULL), PARE_OK);
	for (int i = 0; i < 3; i++) {
		memset(m.said, 0, sizeof m.said);
		pare_pool_run(m.pool, meet_often, &m);
		ck_assert_int_eq(m.wrong, 0);
	}
	pare_pool_free(m.pool);
}
END_TEST

START_TEST(free_of_idle_and_null)
{
	struct pare_pool *p = NULL;

	pare_pool_free(NULL);
	ck_assert_int_eq(pare_pool_new(4, &p, NULL), PARE_OK);
	usleep(5000);
	pare_pool_free(p);
}
END_TEST

START_TEST(no_memory)
{
	struct pare_pool *p = NULL;

	fail_alloc_install(1);
	ck_assert_int_eq(pare_pool_new(2, &p, NULL), PARE_E_NOMEM);
	ck_assert_int_eq(fail_alloc_live(), 0);
	fail_alloc_remove();
	ck_assert_ptr_null(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pool");
	TCase *t = tcase_create("rounds");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, everybody_runs_once_per_round);
	tcase_add_test(t, rounds_see_each_others_memory);
	tcase_add_test(t, meetings_within_a_round);
	tcase_add_test(t, free_of_idle_and_null);
	tcase_add_test(t, no_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
