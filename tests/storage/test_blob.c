/* The contract of blob.h over the directory backend: what a user would lose if it did not hold. */
#include "tests/storage/fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "storage/blob.h"
#include "tests/support/fail_alloc.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char dir[64];
static struct blob_store *b;
static struct pare_err err;

static void setup(void)
{
	fixture_dir(dir);
	MUST(blob_fs_open(dir, &fixture_env, &b, &err));
}

static void teardown(void)
{
	blob_close(b);
	fixture_dir_remove(dir);
}

static void path_of(char *out, size_t size, const char *rest)
{
	(void)snprintf(out, size, "%s/%s", dir, rest);
}

static int entries(const char *rest)
{
	char path[200];
	struct dirent *e;
	DIR *d;
	int n = 0;

	path_of(path, sizeof path, rest);
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

static struct blob_ref put(const void *p, size_t n)
{
	struct blob_writer *w;
	struct blob_ref ref;

	MUST(blob_begin(b, 1 << 20, &w, &err));
	MUST(blob_write(w, p, n, &err));
	MUST(blob_commit(w, &ref, &err));
	return ref;
}

static bool count_one(void *ctx, const char *sha256)
{
	ck_assert(store_hex_check(sha256, 64));
	(*(int *)ctx)++;
	return true;
}

static bool stop_at_once(void *ctx, const char *sha256)
{
	(void)sha256;
	(*(int *)ctx)++;
	return false;
}

static bool never(void *ctx, const char *sha256)
{
	(void)ctx;
	(void)sha256;
	return false;
}

static bool always(void *ctx, const char *sha256)
{
	ck_assert_str_eq(sha256, ctx);
	return true;
}

static int n_blobs(void)
{
	int n = 0;

	MUST(blob_each(b, count_one, &n, &err));
	return n;
}

START_TEST(round_trip)
{
	char path[200], got[16];
	struct blob_writer *w;
	struct blob_ref ref;
	struct stat st;
	int64_t n;
	int fd;

	MUST(blob_begin(b, 3, &w, &err));
	MUST(blob_write(w, "a", 1, &err));
	MUST(blob_write(w, "bc", 2, &err));
	ck_assert_int_eq(blob_get(b, ABC, &fd, &n, &err), PARE_E_NOT_FOUND); /* not before the commit */
	MUST(blob_commit(w, &ref, &err));
	ck_assert_str_eq(ref.sha256, ABC);
	ck_assert_int_eq(ref.n_bytes, 3);
	MUST(blob_get(b, ABC, &fd, &n, &err));
	ck_assert_int_eq(n, 3);
	ck_assert_int_eq(read(fd, got, sizeof got), 3);
	ck_assert_mem_eq(got, "abc", 3);
	ck_assert_int_eq(write(fd, "x", 1), -1);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	(void)close(fd);
	path_of(path, sizeof path, "blobs/ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0400);
	ck_assert_int_eq(entries("staging"), 0);
	ck_assert_int_gt(blob_free_bytes(b), 0);
}
END_TEST

START_TEST(same_bytes_same_blob)
{
	struct blob_ref one = put("abc", 3), two = put("abc", 3), none = put("", 0);

	ck_assert_str_eq(one.sha256, two.sha256);
	ck_assert_str_eq(none.sha256, EMPTY);
	ck_assert_int_eq(none.n_bytes, 0);
	ck_assert_int_eq(n_blobs(), 2);
}
END_TEST

START_TEST(cap_holds)
{
	struct blob_writer *w;

	MUST(blob_begin(b, 4, &w, &err));
	MUST(blob_write(w, "abc", 3, &err));
	ck_assert_int_eq(blob_write(w, "de", 2, &err), PARE_E_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(err.message, "4 bytes"));
	blob_abort(w);
	ck_assert_int_eq(entries("staging"), 0);
	ck_assert_int_eq(n_blobs(), 0);
	blob_abort(NULL);
}
END_TEST

/* A few bytes make no file before the commit, more do, and so does a writer beside too many others. */
START_TEST(held_in_memory)
{
	enum { MANY = 256 };
	const size_t held_bytes = 64 << 10;
	struct blob_writer *w, *others[MANY];
	struct blob_ref ref;
	char *big = calloc(1, held_bytes + 1);

	ck_assert_ptr_nonnull(big);
	memset(big, 'h', held_bytes + 1);
	for (size_t i = 0; i < 2; i++) { /* as many bytes as are held, and one more */
		struct blob_ref plain = put(big, held_bytes + i);

		MUST(blob_begin_held(b, 1 << 20, &w, &err));
		MUST(blob_write(w, big, 1000, &err));
		ck_assert_int_eq(entries("staging"), 0);
		MUST(blob_write(w, big, held_bytes - 1000 + i, &err));
		ck_assert_int_eq(entries("staging"), (int)i);
		MUST(blob_commit(w, &ref, &err));
		ck_assert_str_eq(ref.sha256, plain.sha256);
		ck_assert_int_eq(ref.n_bytes, plain.n_bytes);
		ck_assert_int_eq(entries("staging"), 0);
	}
	for (int i = 0; i < MANY; i++) {
		MUST(blob_begin_held(b, 1 << 20, &others[i], &err));
		MUST(blob_write(others[i], "abc", 3, &err));
	}
	ck_assert_int_eq(entries("staging"), 0);
	MUST(blob_begin_held(b, 4, &w, &err));
	MUST(blob_write(w, "abc", 3, &err));
	ck_assert_int_eq(entries("staging"), 1);
	for (int i = 0; i < MANY; i++)
		blob_abort(others[i]);
	ck_assert_int_eq(blob_write(w, "de", 2, &err), PARE_E_TOO_LARGE);
	blob_abort(w);
	MUST(blob_begin_held(b, 4, &w, &err));
	MUST(blob_write(w, "abc", 3, &err));
	ck_assert_int_eq(entries("staging"), 0);
	ck_assert_int_eq(blob_write(w, "de", 2, &err), PARE_E_TOO_LARGE);
	blob_abort(w);
	MUST(blob_begin_held(b, 4, &w, &err)); /* nothing at all */
	MUST(blob_commit(w, &ref, &err));
	ck_assert_int_eq(ref.n_bytes, 0);
	free(big);
}
END_TEST

START_TEST(another_process_writes)
{
	struct blob_writer *w;
	struct blob_ref ref;
	char *big = calloc(1, 700000);
	uint8_t digest[STORE_SHA256_BYTES];
	char hex[STORE_SHA256_HEX];
	int status;

	ck_assert_ptr_nonnull(big);
	memset(big, 'q', 700000);
	MUST(blob_begin(b, 1 << 20, &w, &err));
	if (fork() == 0)
		_exit(write(blob_writer_fd(w), big, 700000) == 700000 ? 0 : 1);
	ck_assert_int_gt(wait(&status), 0);
	ck_assert_int_eq(status, 0);
	(void)blob_writer_fd(w);
	MUST(blob_commit(w, &ref, &err));
	ck_assert(store_sha256_once(big, 700000, digest));
	store_hex(digest, sizeof digest, hex);
	ck_assert_str_eq(ref.sha256, hex);
	ck_assert_int_eq(ref.n_bytes, 700000);
	MUST(blob_begin(b, 100, &w, &err));
	ck_assert_int_eq(write(blob_writer_fd(w), big, 101), 101);
	ck_assert_int_eq(blob_commit(w, &ref, &err), PARE_E_TOO_LARGE);
	ck_assert_int_eq(entries("staging"), 0);
	ck_assert_int_eq(n_blobs(), 1);
	free(big);
}
END_TEST

START_TEST(a_crash_leaves_only_staging)
{
	char path[200];
	int status;
	FILE *f;

	(void)put("abc", 3);
	if (fork() == 0) {
		struct blob_writer *w;

		if (blob_begin(b, 100, &w, NULL) == PARE_OK && blob_write(w, "half", 4, NULL) == PARE_OK)
			(void)raise(SIGKILL);
		_exit(1);
	}
	ck_assert_int_gt(wait(&status), 0);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(entries("staging"), 1);
	path_of(path, sizeof path, "staging/notes.txt");
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	(void)fclose(f);
	blob_close(b);
	MUST(blob_fs_open(dir, &fixture_env, &b, &err));
	ck_assert_int_eq(entries("staging"), 1); /* the one that is not ours */
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(n_blobs(), 1);
}
END_TEST

START_TEST(removal)
{
	struct blob_ref ref = put("abc", 3);
	char got[4];
	int64_t n;
	int fd, calls = 0;

	(void)put("d", 1);
	MUST(blob_each(b, stop_at_once, &calls, &err));
	ck_assert_int_eq(calls, 1);
	MUST(blob_get(b, ref.sha256, &fd, &n, &err));
	ck_assert_int_eq(blob_remove(b, ref.sha256, never, NULL, &err), PARE_E_CONFLICT); /* held since its commit */
	blob_release(b, ref.sha256);
	ck_assert_int_eq(blob_remove(b, ref.sha256, always, ref.sha256, &err), PARE_E_CONFLICT);
	MUST(blob_remove(b, ref.sha256, never, NULL, &err));
	ck_assert_int_eq(read(fd, got, 4), 3); /* a download goes on */
	(void)close(fd);
	ck_assert_int_eq(blob_get(b, ref.sha256, &fd, &n, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(blob_remove(b, ref.sha256, never, NULL, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(n_blobs(), 1);
}
END_TEST

/* Two uploads of equal bytes: the end of one does not take them from the other. */
START_TEST(every_commit_holds)
{
	struct blob_ref ref = put("abc", 3);

	(void)put("abc", 3);
	blob_release(b, ref.sha256);
	ck_assert_int_eq(blob_remove(b, ref.sha256, never, NULL, &err), PARE_E_CONFLICT);
	blob_release(b, ref.sha256);
	blob_release(b, ref.sha256); /* one too many is nothing */
	MUST(blob_remove(b, ref.sha256, never, NULL, &err));
}
END_TEST

/* No name from outside becomes a path unless it is a digest; and what is in its place must be a plain file of ours. */
static const char *const bad_name_table[] = {"", ".", "..", "../../etc/passwd", "/etc/passwd", "ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", "..7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", ABC "0", ABC "/../x"};

START_TEST(bad_names)
{
	int64_t n;
	int fd;

	(void)put("abc", 3);
	ck_assert_int_eq(blob_get(b, bad_name_table[_i], &fd, &n, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(blob_remove(b, bad_name_table[_i], never, NULL, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(n_blobs(), 1);
}
END_TEST

START_TEST(links_are_not_followed)
{
	char path[200];
	int64_t n;
	int fd;

	(void)put("abc", 3);
	path_of(path, sizeof path, "blobs/ba/" "0000000000000000000000000000000000000000000000000000000000000" "0");
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	ck_assert_int_ne(blob_get(b, "ba00000000000000000000000000000000000000000000000000000000000000", &fd, &n, &err), PARE_OK);
	path_of(path, sizeof path, "blobs/cc");
	ck_assert_int_eq(symlink("/etc", path), 0);
	ck_assert_int_ne(blob_get(b, SHA_C, &fd, &n, &err), PARE_OK);
}
END_TEST

START_TEST(a_linked_data_directory_serves)
{
	char link[80];
	struct blob_store *b2;

	(void)snprintf(link, sizeof link, "%s-link", dir);
	ck_assert_int_eq(symlink(dir, link), 0);
	MUST(blob_fs_open(link, &fixture_env, &b2, &err));
	blob_close(b2);
	ck_assert_int_eq(unlink(link), 0);
	ck_assert_int_eq(blob_fs_open("/proc/self/nowhere/at/all", &fixture_env, &b2, &err), PARE_E_IO);
	ck_assert_ptr_nonnull(strstr(err.message, "/proc/self/nowhere"));
}
END_TEST

/* A device without room, as far as a file can tell. */
START_TEST(no_space)
{
	struct rlimit old, small;
	struct blob_writer *w;
	struct blob_ref ref;
	char *big = calloc(1, 1 << 16);

	ck_assert_ptr_nonnull(big);
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1 << 14;
	MUST(blob_begin(b, 1 << 20, &w, &err));
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_eq(blob_write(w, big, 1 << 16, &err), PARE_E_STORE_FULL);
	blob_abort(w);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_int_eq(entries("staging"), 0);
	ref = put(big, 1 << 16);
	ck_assert_int_eq(ref.n_bytes, 1 << 16);
	free(big);
	/* and a real one: /dev/full answers ENOSPC */
	MUST(blob_begin(b, 100, &w, &err));
	{
		int full = open("/dev/full", O_RDWR);

		ck_assert_int_ge(full, 0);
		ck_assert_int_ge(dup2(full, blob_writer_fd(w)), 0);
		(void)close(full);
	}
	ck_assert_int_eq(blob_write(w, "x", 1, &err), PARE_E_STORE_FULL);
	blob_abort(w);
	ck_assert_int_eq(entries("staging"), 0);
}
END_TEST

enum way { BY_WRITE, BY_FD, HELD };

static enum pare_code one_blob(enum way way)
{
	struct blob_writer *w;
	struct blob_ref ref;
	enum pare_code code = way == HELD ? blob_begin_held(b, 100, &w, &err) : blob_begin(b, 100, &w, &err);

	if (code != PARE_OK)
		return code;
	if (way == BY_FD)
		ck_assert_int_eq(write(blob_writer_fd(w), "abc", 3), 3);
	else
		code = blob_write(w, "abc", 3, &err);
	if (code != PARE_OK) {
		blob_abort(w);
		return code;
	}
	code = blob_commit(w, &ref, &err);
	if (code == PARE_OK)
		blob_release(b, ref.sha256);
	return code;
}

START_TEST(no_memory)
{
	enum pare_code code = PARE_E_NOMEM;
	long i;

	for (i = 1; code != PARE_OK; i++) {
		fail_alloc_install(i);
		code = one_blob((enum way)_i);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
		ck_assert(code == PARE_OK || code == PARE_E_NOMEM);
		ck_assert_int_eq(entries("staging"), 0);
		ck_assert_int_eq(n_blobs(), code == PARE_OK);
	}
	ck_assert_int_gt(i, 3);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {round_trip, same_bytes_same_blob, cap_holds, held_in_memory, another_process_writes, a_crash_leaves_only_staging, removal, every_commit_holds,
	    links_are_not_followed, a_linked_data_directory_serves, no_space};
	Suite *suite = suite_create("blobs");
	TCase *tc = tcase_create("directory");
	SRunner *runner;
	int n_failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_test(tc, tests[i]);
	tcase_add_loop_test(tc, bad_names, 0, sizeof bad_name_table / sizeof *bad_name_table);
	tcase_add_loop_test(tc, no_memory, BY_WRITE, HELD + 1);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
