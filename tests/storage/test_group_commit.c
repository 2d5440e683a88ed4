/* Writers share commits: on a disk whose every sync takes its time, or fails. fdatasync and fsync of this program stand before the C
 * library's, so that SQLite's calls are counted, slowed and refused here. Checks inside a thread would exit from the wrong place, so
 * threads count and the test looks. */
#include "tests/storage/fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#define N_THREADS 16
#define N_ROUNDS 12

static char dir[64];
static struct store *s;
static struct pare_err err;
static char model[PARE_ID_MAX];
static atomic_int n_syncs, n_ok, n_refused, n_wrong;
static atomic_bool slow, broken;

static int sync_of_the_disk(void)
{
	const struct timespec nap = {.tv_nsec = 4000000};

	atomic_fetch_add(&n_syncs, 1);
	if (atomic_load(&slow))
		(void)nanosleep(&nap, NULL);
	if (atomic_load(&broken)) {
		errno = EIO;
		return -1;
	}
	return 0;
}

int fdatasync(int fd);
int fdatasync(int fd)
{
	(void)fd;
	return sync_of_the_disk();
}

int fsync(int fd);
int fsync(int fd)
{
	(void)fd;
	return sync_of_the_disk();
}

/* What these stand before is a sanitizer's own where there is one inside the program: a lock that is let go behind its back is held for ever. */
int __interceptor_pthread_mutex_unlock(pthread_mutex_t *m) __attribute__((weak));
int __interceptor_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *end) __attribute__((weak));

/* A writer that gives up waiting at the one moment when another has seen it wait and has not yet passed the turn on. */
static _Thread_local bool watched, impatient;
static pthread_mutex_t *turns; /* the lock that a turn is taken and given under */
static atomic_bool has_turn, waits, gave_up;

static void until(atomic_bool *flag, int ms)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	while (!atomic_load(flag) && ms-- > 0)
		(void)nanosleep(&nap, NULL);
}

int pthread_mutex_unlock(pthread_mutex_t *m)
{
	static int (*real)(pthread_mutex_t *) = __interceptor_pthread_mutex_unlock;
	int rc;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
	rc = real(m);
	if (!watched)
		return rc;
	if (turns == NULL) { /* the first: the turn is taken */
		turns = m;
		atomic_store(&has_turn, true);
		until(&waits, 5000);
	} else if (turns == m) { /* the second: it has looked whether somebody waits */
		watched = false;
		until(&gave_up, 1000);
	}
	return rc;
}

int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *end)
{
	static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) = __interceptor_pthread_cond_timedwait;
	struct timespec soon;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
	if (!impatient)
		return real(c, m, end);
	(void)clock_gettime(CLOCK_MONOTONIC, &soon);
	soon.tv_nsec += 100000000;
	soon.tv_sec += soon.tv_nsec / 1000000000;
	soon.tv_nsec %= 1000000000;
	atomic_store(&waits, true);
	return real(c, m, &soon);
}

static void setup(void)
{
	fixture_dir(dir);
	atomic_store(&slow, false);
	atomic_store(&broken, false);
	MUST(store_sqlite_open(dir, &fixture_env, &s, &err));
	put_asset(s, STORE_MODEL, SHA_A, model);
	atomic_store(&n_syncs, 0);
	atomic_store(&n_ok, 0);
	atomic_store(&n_refused, 0);
	atomic_store(&n_wrong, 0);
}

static void teardown(void)
{
	store_close(s);
	fixture_dir_remove(dir);
}

static void in_threads(void *(*fn)(void *))
{
	pthread_t threads[N_THREADS];

	for (uintptr_t i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, fn, (void *)i), 0);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(atomic_load(&n_wrong), 0);
}

static int64_t n_jobs(void)
{
	int64_t counts[STORE_N_STATUS], oldest;

	MUST(store_job_counts(s, counts, &oldest, &err));
	return counts[STORE_QUEUED];
}

/* Puts a job on the given model; what was acknowledged must be readable at once. */
static enum pare_code put(const char *on, struct pare_err *why)
{
	struct store_job j = {.max_crashes = 3, .model = on, .request = "{}"}, got;
	enum pare_code code = store_job_put(MINE(s), &j, NULL, why);

	if (code != PARE_OK)
		return code;
	if (store_job_get(MINE(s), j.id, &got, NULL) != PARE_OK)
		atomic_fetch_add(&n_wrong, 1);
	else
		store_job_done(&got);
	store_job_done(&j);
	return code;
}

static void *put_some(void *arg)
{
	(void)arg;
	for (int i = 0; i < N_ROUNDS; i++)
		if (put(model, NULL) == PARE_OK)
			atomic_fetch_add(&n_ok, 1);
		else
			atomic_fetch_add(&n_wrong, 1);
	return NULL;
}

START_TEST(many_writers_share_a_sync)
{
	atomic_store(&slow, true);
	in_threads(put_some);
	ck_assert_int_eq(n_jobs(), N_THREADS * N_ROUNDS);
	ck_assert_msg(atomic_load(&n_syncs) * 4 < N_THREADS * N_ROUNDS, "%d syncs for %d jobs", atomic_load(&n_syncs), N_THREADS * N_ROUNDS);
}
END_TEST

START_TEST(each_write_of_one_writer_is_synced)
{
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(put(model, &err), PARE_OK);
		ck_assert_int_ge(atomic_load(&n_syncs), i + 1); /* before the answer */
	}
}
END_TEST

/* Every other thread asks for what cannot be. */
static void *put_good_or_bad(void *arg)
{
	bool good = (uintptr_t)arg % 2 == 0;

	for (int i = 0; i < N_ROUNDS; i++) {
		struct pare_err why = {.code = PARE_OK};
		enum pare_code code = put(good ? model : "mdl_gone", &why);

		if (code != (good ? PARE_OK : PARE_E_NOT_FOUND) || (!good && strstr(why.message, "mdl_gone") == NULL))
			atomic_fetch_add(&n_wrong, 1);
	}
	return NULL;
}

START_TEST(an_error_undoes_its_own_verb_only)
{
	atomic_store(&slow, true);
	in_threads(put_good_or_bad);
	ck_assert_int_eq(n_jobs(), N_THREADS / 2 * N_ROUNDS);
}
END_TEST

static void *put_or_be_refused(void *arg)
{
	(void)arg;
	for (int i = 0; i < N_ROUNDS; i++) {
		struct pare_err why = {.code = PARE_OK};
		enum pare_code code = put(model, &why);

		if (code == PARE_OK)
			atomic_fetch_add(&n_ok, 1);
		else if (code == PARE_E_STORE && strstr(why.message, "committing") != NULL)
			atomic_fetch_add(&n_refused, 1);
		else
			atomic_fetch_add(&n_wrong, 1);
		if (i == N_ROUNDS / 2 && (uintptr_t)arg == 0)
			atomic_store(&broken, false);
	}
	return NULL;
}

START_TEST(a_failed_commit_fails_all_of_its_group)
{
	atomic_store(&slow, true);
	atomic_store(&broken, true);
	in_threads(put_or_be_refused);
	ck_assert_int_eq(atomic_load(&n_ok) + atomic_load(&n_refused), N_THREADS * N_ROUNDS);
	ck_assert_int_gt(atomic_load(&n_refused), N_THREADS);
	ck_assert_int_gt(atomic_load(&n_ok), 0);
	ck_assert_int_eq(n_jobs(), atomic_load(&n_ok));
}
END_TEST

/* The disk may fill up in a verb or in the commit; no answer is a lie either way. */
static void *put_on_a_full_disk(void *arg)
{
	struct store_job j = {.max_crashes = 3, .model = model, .request = arg};

	for (int i = 0; i < N_ROUNDS; i++) {
		struct store_job mine = j;
		struct pare_err why = {.code = PARE_OK};
		enum pare_code code = store_job_put(MINE(s), &mine, NULL, &why);

		if (code == PARE_OK) {
			atomic_fetch_add(&n_ok, 1);
			store_job_done(&mine);
		} else if (code == PARE_E_STORE_FULL) {
			atomic_fetch_add(&n_refused, 1);
		} else {
			atomic_fetch_add(&n_wrong, 1);
		}
	}
	return NULL;
}

START_TEST(a_full_disk_answers_everybody)
{
	static char request[20000];
	pthread_t threads[N_THREADS];
	struct rlimit old, small;

	memset(request, 'r', sizeof request - 1);
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1 << 20;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	atomic_store(&slow, true);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, put_on_a_full_disk, request), 0);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(atomic_load(&n_wrong), 0);
	ck_assert_int_gt(atomic_load(&n_refused), 0);
	ck_assert_int_gt(atomic_load(&n_ok), 0);
	ck_assert_int_eq(n_jobs(), atomic_load(&n_ok));
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_int_eq(put(model, &err), PARE_OK);
}
END_TEST

static void *put_impatiently(void *arg)
{
	(void)arg;
	impatient = true;
	until(&has_turn, 5000);
	if (store_ping(s, NULL) == PARE_OK)
		atomic_fetch_add(&n_ok, 1);
	else
		atomic_fetch_add(&n_refused, 1);
	atomic_store(&gave_up, true);
	return NULL;
}

static void *put_watched(void *arg)
{
	(void)arg;
	watched = true;
	if (store_ping(s, NULL) == PARE_OK)
		atomic_fetch_add(&n_ok, 1);
	return NULL;
}

START_TEST(who_gives_up_leaves_nobody_behind)
{
	pthread_t first, other;
	struct timespec end;

	ck_assert_int_eq(pthread_create(&first, NULL, put_watched, NULL), 0);
	ck_assert_int_eq(pthread_create(&other, NULL, put_impatiently, NULL), 0);
	ck_assert_int_eq(pthread_join(other, NULL), 0);
	(void)clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 5;
	ck_assert_int_eq(pthread_timedjoin_np(first, NULL, &end), 0); /* it has its answer */
	ck_assert_int_eq(atomic_load(&n_ok) + atomic_load(&n_refused), 2);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {many_writers_share_a_sync, each_write_of_one_writer_is_synced, an_error_undoes_its_own_verb_only,
	    a_failed_commit_fails_all_of_its_group, a_full_disk_answers_everybody, who_gives_up_leaves_nobody_behind};
	Suite *suite = suite_create("group commit");
	TCase *tc = tcase_create("threads");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
