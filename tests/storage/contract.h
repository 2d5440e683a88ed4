/* The contract of store.h is tested over every backend: each test is a loop test over backend_table, between begin(_i) and end(). */
#ifndef TESTS_STORAGE_CONTRACT_H
#define TESTS_STORAGE_CONTRACT_H

#include "tests/storage/fixture.h"

static char dir[64];
static struct store *s;
static struct pare_err err;
static char model[PARE_ID_MAX], dataset[PARE_ID_MAX];

static inline enum pare_code open_memory(void)
{
	return store_memory_open(&fixture_env, &s, &err);
}

static inline enum pare_code open_sqlite(void)
{
	return store_sqlite_open(dir, &fixture_env, &s, &err);
}

static const struct {
	const char *name;
	enum pare_code (*open)(void);
} backend_table[] = {
    {.name = "memory", .open = open_memory},
    {.name = "sqlite", .open = open_sqlite},
};
#define N_BACKENDS ((int)(sizeof backend_table / sizeof *backend_table))

static inline void begin(int i)
{
	fixture_dir(dir);
	must(backend_table[i].open(), &err, backend_table[i].name, __LINE__);
	put_asset(s, STORE_MODEL, SHA_A, model);
	put_asset(s, STORE_DATASET, SHA_B, dataset);
}

static inline void end(void)
{
	store_close(s);
	s = NULL;
	fixture_dir_remove(dir);
}

static inline enum store_job_status status_of(const char *id)
{
	struct store_job j;
	enum store_job_status st;
	int64_t revision;

	MUST(store_job_get(MINE(s), id, &j, &err));
	MUST(store_job_stamp(MINE(s), id, &st, &revision, &err));
	ck_assert_int_eq(st, j.status);
	ck_assert_int_eq(revision, j.revision);
	store_job_done(&j);
	return st;
}

/* As reading the job tells it, and as looking it up does. */
static inline int64_t position_of(const char *id)
{
	struct store_job j;
	int64_t position;

	MUST(store_job_get(MINE(s), id, &j, &err));
	position = j.position;
	j.position = -1;
	MUST(store_job_position(MINE(s), &j, &err));
	ck_assert_int_eq(j.position, position);
	store_job_done(&j);
	return position;
}

static inline int64_t claim(char out_id[PARE_ID_MAX])
{
	struct store_job j;
	bool found = false;
	int64_t token;

	MUST(store_job_claim(s, "w1", 30000, &j, &found, &err));
	ck_assert(found);
	token = j.lease_token;
	memcpy(out_id, j.id, PARE_ID_MAX);
	store_job_done(&j);
	ck_assert_int_ne(token, 0);
	return token;
}

static inline void finish(const char *id, int64_t token, enum store_job_status st)
{
	struct store_outcome o = {.status = st, .result = "{}", .code = PARE_E_SHAPE, .message = "m", .where = "w"};

	MUST(store_job_finish(s, id, token, &o, &err));
}

/* The types of a job's events, joined by spaces; checks that seq is 1, 2, 3 … */
static inline void event_types(const char *id, char *out, size_t size)
{
	struct store_event *list;
	size_t used = 0;
	bool final;
	int n;

	out[0] = '\0';
	MUST(store_event_list(MINE(s), id, 0, 1000, &list, &n, &final, &err));
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(list[i].seq, i + 1);
		used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? " " : "", list[i].type);
		ck_assert_uint_lt(used, size);
	}
	store_event_list_done(list, n);
}

static inline void expect_events(const char *id, const char *types)
{
	char got[400];

	event_types(id, got, sizeof got);
	ck_assert_str_eq(got, types);
}

/* Runs each test over all backends; returns how many failed. */
static inline int run_over_backends(const char *name, const TTest *const *tests, size_t n)
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create("backends");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < n; i++)
		tcase_add_loop_test(tc, tests[i], 0, N_BACKENDS);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed;
}

#endif
