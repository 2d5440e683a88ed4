/* The lease of a job whose bytes take long to become durable. The disk is this program's: its fsync() turns the clock of the leases on, and looks through them as an
 * idle worker would meanwhile. The engine is a script. */
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "server/log.h"
#include "server/pool.h"
#include "storage/blob.h"
#include "tests/storage/fixture.h"

#define SLOW_BYTES 4321 /* a file of that size takes ten minutes */

static const char engine_text[] =
    "#!/usr/bin/env python3\n"
    "import array, json, os, socket\n"
    "s = socket.socket(fileno=3)\n"
    "s.makefile('r').readline()\n"
    "def say(**m): s.sendall(json.dumps(m).encode() + b'\\n')\n"
    "def output(name):\n"
    "    say(type='open', name=name, media_type='application/octet-stream')\n"
    "    while True:\n"
    "        data, control, _, _ = s.recvmsg(1, socket.CMSG_SPACE(4))\n"
    "        if control: return array.array('i', control[0][2])[0]\n"
    "os.write(output('checkpoint'), b'c' * 4321)\n"
    "say(type='event', event='checkpoint', data={})\n"
    "os.write(output('model.onnx'), b'm' * 4321)\n"
    "say(type='result', data={}, artifacts=['model.onnx'])\n";

static struct pare_err err;
static char dir[64];
static struct store *s;
static atomic_int n_slow, n_expired;

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

static void write_engine(const char *path)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(engine_text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path, 0700), 0);
}

START_TEST(a_slow_disk_loses_no_lease)
{
	struct store_job j = {.max_crashes = 3, .kind = "prune", .name = "n"};
	struct srv_pool_options opt = {.workers = 1, .memory_bytes = 1 << 30, .max_runtime_seconds = 60, .max_artifact_bytes = 1 << 20, .events_added = nobody_hears};
	char core[96], request[256], model[PARE_ID_MAX], id[PARE_ID_MAX];
	const struct timespec nap = {.tv_nsec = 2000000};
	enum store_job_status st = STORE_QUEUED;
	struct srv_pool *pool;
	int64_t revision;

	fixture_dir(dir);
	(void)snprintf(core, sizeof core, "%s/engine", dir);
	write_engine(core);
	MUST(store_memory_open(&fixture_env, &s, &err));
	MUST(blob_fs_open(dir, &fixture_env, &opt.blobs, &err));
	put_blob_asset(opt.blobs, STORE_MODEL, model);
	(void)snprintf(request, sizeof request, "{\"model\":\"%s\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}", model);
	j.model = model;
	j.request = request;
	MUST(store_job_put(MINE(s), &j, NULL, &err));
	memcpy(id, j.id, sizeof id);
	store_job_done(&j);
	opt.store = s;
	opt.core = core;
	MUST(srv_pool_new(&opt, &pool, &err));
	while (!store_job_status_final(st) && atomic_load(&n_expired) == 0) {
		(void)nanosleep(&nap, NULL);
		MUST(store_job_stamp(MINE(s), id, &st, &revision, &err));
	}
	srv_pool_free(pool);
	ck_assert_int_eq(atomic_load(&n_expired), 0);
	MUST(store_job_get(MINE(s), id, &j, &err));
	ck_assert_msg(j.status == STORE_SUCCEEDED, "%s", j.error_message);
	ck_assert_int_ge(atomic_load(&n_slow), 2); /* a checkpoint and an artifact */
	ck_assert_int_eq(j.attempt, 1);
	store_job_done(&j);
	blob_close(opt.blobs);
	store_close(s);
	s = NULL;
	fixture_dir_remove(dir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pool");
	TCase *tc = tcase_create("leases");
	SRunner *runner;
	int n_failed;

	srv_log_set_level(SRV_LOG_ERROR);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_slow_disk_loses_no_lease);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
