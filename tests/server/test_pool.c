/* What becomes of a job whose bytes take long to become durable, and of one that has told more than is kept. The engines are scripts. The disk is this program's: its
 * fsync() turns the clock of the leases on, and looks through them as an idle worker would meanwhile. */
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "server/log.h"
#include "server/pool.h"
#include "storage/blob.h"
#include "tests/storage/fixture.h"

#define SLOW_BYTES 4321 /* a file of that size takes ten minutes */
#define FULL_BYTES 1234 /* for one of that size there is no room the first time */

static const char preamble[] =
    "#!/usr/bin/env python3\n"
    "import array, json, os, socket\n"
    "s = socket.socket(fileno=3)\n"
    "start = json.loads(s.makefile('r').readline())\n"
    "def say(**m): s.sendall(json.dumps(m).encode() + b'\\n')\n"
    "def output(name):\n"
    "    say(type='open', name=name, media_type='application/octet-stream')\n"
    "    while True:\n"
    "        data, control, _, _ = s.recvmsg(1, socket.CMSG_SPACE(4))\n"
    "        if control: return array.array('i', control[0][2])[0]\n";

static const char writes_much[] =
    "os.write(output('checkpoint'), b'c' * 4321)\n"
    "say(type='event', event='checkpoint', data={})\n"
    "os.write(output('model.onnx'), b'm' * 4321)\n"
    "say(type='result', data={}, artifacts=['model.onnx'])\n";

static const char finds_no_room[] = /* for an artifact, once as it writes and once as its bytes become durable; its state is kept before */
    "mine = [i for i in start['inputs'] if i['role'] == 'checkpoint']\n"
    "if not mine:\n"
    "    os.write(output('checkpoint'), b'c')\n"
    "    say(type='event', event='checkpoint', data={'place': 'there'})\n"
    "    say(type='error', code='store_full', message='writing an output: No space left on device', where='')\n"
    "else:\n"
    "    os.write(output('model.onnx'), b'm' * 1234)\n"
    "    say(type='result', data={}, artifacts=['model.onnx'])\n";

static const char tells_much[] =
    "many = b'{\"type\":\"event\",\"event\":\"metrics\",\"data\":{}}\\n' * 1000\n"
    "for i in range(101): s.sendall(many)\n"
    "say(type='event', event='phase', data={'phase': 'late'})\n"
    "os.write(output('checkpoint'), b'c')\n"
    "say(type='event', event='checkpoint', data={'place': 'late'})\n"
    "say(type='result', data={}, artifacts=[])\n";

static const char never_finds_room[] =
    "os.write(output('model.onnx'), b'm' * 1000)\n"
    "say(type='error', code='store_full', message='writing an output: No space left on device', where='')\n";

static struct pare_err err;
static char dir[64];
static struct store *s;
static atomic_int n_slow, n_expired, n_full;

int fsync(int fd)
{
	struct stat st;
	int n = 0;

	if (s != NULL && fstat(fd, &st) == 0 && st.st_size == SLOW_BYTES) {
		fake_mono += HOUR_MS / 6;
		if (store_expire(s, &n, NULL) == PARE_OK)
			(void)atomic_fetch_add(&n_expired, n);
		(void)atomic_fetch_add(&n_slow, 1);
	}
	if (s != NULL && fstat(fd, &st) == 0 && st.st_size == FULL_BYTES && atomic_fetch_add(&n_full, 1) == 0) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static void nobody_hears(void *ctx, const char *job)
{
	(void)ctx, (void)job;
}

static void put_blob_asset(struct blob_store *blobs, enum store_asset_kind kind, char id[PARE_ID_MAX])
{
	struct blob_writer *w;
	struct blob_ref ref;

	MUST(blob_begin(blobs, 10, &w, &err));
	MUST(blob_write(w, "x", 1, &err));
	MUST(blob_commit(w, &ref, &err));
	put_asset(s, kind, ref.sha256, id);
	blob_release(blobs, ref.sha256);
}

static void write_engine(const char *path, const char *body)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_gt(fprintf(f, "%s%s", preamble, body), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path, 0700), 0);
}

/* Runs a job on that engine until it has ended or a lease has run out; its id. */
static void run_job(const char *body, char id[PARE_ID_MAX])
{
	struct store_job j = {.max_crashes = 3, .kind = "prune", .name = "n"};
	struct srv_pool_options opt = {.workers = 1, .memory_bytes = 1 << 30, .max_runtime_seconds = 60, .full_ms = 20000, .max_artifact_bytes = 1 << 20, .events_added = nobody_hears};
	char core[96], request[256], model[PARE_ID_MAX];
	const struct timespec nap = {.tv_nsec = 2000000};
	enum store_job_status st = STORE_QUEUED;
	struct srv_pool *pool;

	fixture_dir(dir);
	(void)snprintf(core, sizeof core, "%s/engine", dir);
	write_engine(core, body);
	MUST(store_memory_open(&fixture_env, &s, &err));
	MUST(blob_fs_open(dir, &fixture_env, &opt.blobs, &err));
	put_blob_asset(opt.blobs, STORE_MODEL, model);
	(void)snprintf(request, sizeof request, "{\"model\":\"%s\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}", model);
	j.model = model;
	j.request = request;
	MUST(store_job_put(MINE(s), &j, NULL, &err));
	memcpy(id, j.id, PARE_ID_MAX);
	store_job_done(&j);
	opt.store = s;
	opt.core = core;
	MUST(srv_pool_new(&opt, &pool, &err));
	while (!store_job_status_final(st) && atomic_load(&n_expired) == 0) {
		(void)nanosleep(&nap, NULL);
		MUST(store_job_get(MINE(s), id, &j, &err));
		st = j.status;
		if (st != STORE_RUNNING && fake_wall < j.not_before_ms)
			fake_wall = j.not_before_ms; /* pauses take no time, and nothing but they does */
		store_job_done(&j);
	}
	srv_pool_free(pool);
	blob_close(opt.blobs);
	fixture_dir_remove(dir);
}

START_TEST(a_slow_disk_loses_no_lease)
{
	struct store_job j;
	char id[PARE_ID_MAX];

	run_job(writes_much, id);
	ck_assert_int_eq(atomic_load(&n_expired), 0);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_msg(j.status == STORE_SUCCEEDED, "%s", j.error_message);
	ck_assert_int_ge(atomic_load(&n_slow), 2); /* a checkpoint and an artifact */
	ck_assert_int_eq(j.attempt, 1);
	store_job_done(&j);
	store_close(s);
}
END_TEST

/* A full disk is no fault of the job: it says so, keeps its state, and goes on from there. */
START_TEST(a_full_disk_holds_a_job_up)
{
	struct store_event *list;
	struct store_job j;
	char id[PARE_ID_MAX];
	int n, n_told = 0;
	bool done;

	run_job(finds_no_room, id);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_msg(j.status == STORE_SUCCEEDED, "%s", j.error_message);
	ck_assert_int_eq(j.attempt, 3);
	ck_assert_int_eq(j.crashes, 0);
	store_job_done(&j);
	MUST(store_event_list(MINE(s), id, 0, 100, &list, &n, &done, &err));
	for (int i = 0; i < n; i++)
		n_told += strcmp(list[i].type, "job.retrying") == 0 && strstr(list[i].data, "no space is left on the disk") != NULL;
	ck_assert_int_eq(n_told, 2);
	store_event_list_done(list, n);
	store_close(s);
}
END_TEST

/* One for which there will never be room comes to an end, which says what is missing. */
START_TEST(a_disk_that_stays_full)
{
	struct store_job j;
	char id[PARE_ID_MAX];

	run_job(never_finds_room, id);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_int_eq(j.status, STORE_FAILED);
	ck_assert_str_eq(j.error_code, "store_full");
	ck_assert_msg(strstr(j.error_message, " of 1000 bytes of results have room, and at least about ") != NULL, "%s", j.error_message);
	ck_assert_int_gt(j.attempt, 2);
	store_job_done(&j);
	store_close(s);
}
END_TEST

/* A job of days tells more than is kept of it. Where it is, and the state to go on from, are kept all the same. */
START_TEST(figures_push_no_checkpoint_out)
{
	struct store_event *list;
	char id[PARE_ID_MAX];
	bool final;
	int n;

	run_job(tells_much, id);
	MUST(store_event_list(MINE(s), id, 100000, STORE_EVENT_PAGE_MAX, &list, &n, &final, &err));
	ck_assert(final && n >= 3 && n < 100);
	ck_assert_str_eq(list[n - 3].type, "job.phase");
	ck_assert_str_eq(list[n - 2].type, "job.checkpoint");
	ck_assert_str_eq(list[n - 1].type, "job.succeeded");
	store_event_list_done(list, n);
	store_close(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pool");
	TCase *tc = tcase_create("jobs");
	SRunner *runner;
	int n_failed;

	srv_log_set_level(SRV_LOG_ERROR);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_slow_disk_loses_no_lease);
	tcase_add_test(tc, a_full_disk_holds_a_job_up);
	tcase_add_test(tc, a_disk_that_stays_full);
	tcase_add_test(tc, figures_push_no_checkpoint_out);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
