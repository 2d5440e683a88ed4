/* Parts: bytes that come in pieces, turns, sealing, and what a start makes of what the last run left. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "storage/blob.h"
#include "tests/storage/fixture.h"

/* SHA-256 of "hello world" */
#define SHA_HELLO "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"

static char dir[64], name[BLOB_PART_NAME];
static struct blob_store *b;
static struct pare_err err;

/* The disk: while it is broken no sync goes well, and what was to be synced is lost, as a kernel shows it once it has let go of the pages. */
static bool broken;
static bool broken_for_directories; /* for them only */
static int n_directories_synced;

static int sync_of_the_disk(int fd)
{
	struct stat st;
	bool is_file;

	ck_assert_int_eq(fstat(fd, &st), 0);
	is_file = S_ISREG(st.st_mode);
	if (!broken && (is_file || !broken_for_directories)) {
		n_directories_synced += !is_file;
		return 0;
	}
	if (is_file)
		for (off_t at = 6; at < st.st_size; at++)
			(void)!pwrite(fd, "", 1, at);
	errno = EIO;
	return -1;
}

int fdatasync(int fd)
{
	return sync_of_the_disk(fd);
}

int fsync(int fd)
{
	return sync_of_the_disk(fd);
}

static void open_store(void)
{
	MUST(blob_fs_open(dir, &fixture_env, &b, &err));
}

static void setup(void)
{
	fixture_dir(dir);
	open_store();
	blob_part_name(b, name);
}

static void teardown(void)
{
	blob_close(b);
	fixture_dir_remove(dir);
}

/* Appends a text in a request of its own. */
static void append(const char *text)
{
	struct blob_part *p;

	MUST(blob_part_open(b, name, &p, &err));
	MUST(blob_part_append(p, text, strlen(text), &err));
	MUST(blob_part_sync(p, &err));
	blob_part_close(p);
}

static void expect_hello(void)
{
	struct blob_part *p;
	struct blob_ref ref;
	char bytes[12] = "";
	int64_t n;
	int fd;

	MUST(blob_part_open(b, name, &p, &err));
	ck_assert_int_eq(blob_part_bytes(p), 11);
	MUST(blob_part_seal(p, &ref, &err));
	blob_part_close(p);
	ck_assert_str_eq(ref.sha256, SHA_HELLO);
	ck_assert_int_eq(ref.n_bytes, 11);
	MUST(blob_part_place(b, name, ref.sha256, &err));
	blob_release(b, ref.sha256);
	MUST(blob_get(b, SHA_HELLO, &fd, &n, &err));
	ck_assert_int_eq(read(fd, bytes, sizeof bytes), 11);
	ck_assert_str_eq(bytes, "hello world");
	(void)close(fd);
	ck_assert_int_eq(blob_part_size(b, name), 0);
	ck_assert_int_eq(blob_part_place(b, name, SHA_HELLO, &err), PARE_E_NOT_FOUND);
}

START_TEST(grows_over_requests_and_runs)
{
	append("hello ");
	ck_assert_int_eq(blob_part_size(b, name), 6);
	append("wor");
	blob_close(b);
	open_store(); /* the digest has to be taken from the file now */
	append("ld");
	expect_hello();
}
END_TEST

START_TEST(digest_runs_along)
{
	append("hello ");
	append("world");
	expect_hello();
}
END_TEST

START_TEST(the_newer_one_has_it)
{
	struct blob_part *old, *new;

	MUST(blob_part_open(b, name, &old, &err));
	MUST(blob_part_append(old, "hello ", 6, &err));
	MUST(blob_part_open(b, name, &new, &err));
	ck_assert_int_eq(blob_part_bytes(new), 6);
	ck_assert_int_eq(blob_part_append(old, "xxx", 3, &err), PARE_E_CONFLICT);
	ck_assert_int_eq(blob_part_cut(old, 0, &err), PARE_E_CONFLICT);
	MUST(blob_part_append(new, "world", 5, &err));
	blob_part_close(old);
	blob_part_close(new);
	expect_hello();
}
END_TEST

/* Appends until somebody takes the part over. */
static void *appender(void *arg)
{
	struct blob_part *p = arg;
	enum pare_code code = PARE_OK;

	while (code == PARE_OK)
		code = blob_part_append(p, "old", 3, NULL);
	ck_assert_int_eq(code, PARE_E_CONFLICT);
	return NULL;
}

/* What the newer one sees when it has opened is what there is: nothing is added behind its back. */
START_TEST(takeovers_beside_appends)
{
	struct blob_part *old = NULL, *new = NULL;
	int64_t n = 0;

	MUST(blob_part_open(b, name, &old, &err));
	for (int i = 0; i < 50; i++) {
		pthread_t thread;

		ck_assert_int_eq(pthread_create(&thread, NULL, appender, old), 0);
		while (blob_part_size(b, name) <= n + 30)
			continue;
		MUST(blob_part_open(b, name, &new, &err));
		n = blob_part_bytes(new);
		MUST(blob_part_append(new, "new", 3, &err));
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		n += 3;
		ck_assert_int_eq(blob_part_size(b, name), n);
		blob_part_close(old);
		old = new;
	}
	blob_part_close(old);
}
END_TEST

START_TEST(cut_bytes_are_forgotten)
{
	struct blob_part *p;

	append("hello ");
	MUST(blob_part_open(b, name, &p, &err));
	MUST(blob_part_append(p, "WORLD!!!", 8, &err));
	MUST(blob_part_cut(p, 6, &err));
	ck_assert_int_eq(blob_part_bytes(p), 6);
	MUST(blob_part_append(p, "world", 5, &err));
	blob_part_close(p);
	expect_hello();
}
END_TEST

START_TEST(removed_ones_take_nothing)
{
	struct blob_part *p;

	MUST(blob_part_open(b, name, &p, &err));
	MUST(blob_part_append(p, "hello ", 6, &err));
	blob_part_remove(b, name);
	ck_assert_int_eq(blob_part_append(p, "world", 5, &err), PARE_E_CONFLICT);
	blob_part_close(p);
	ck_assert_int_eq(blob_part_size(b, name), 0);
	blob_part_remove(b, name); /* once more harms nobody */
	append("hello world"); /* a name can be used again */
	expect_hello();
}
END_TEST

START_TEST(names_are_not_paths)
{
	static const char *const wrong[] = {"", ".", "..", "boot", "../blobs", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0"};
	struct blob_part *p;

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		ck_assert_int_eq(blob_part_open(b, wrong[i], &p, &err), PARE_E_INTERNAL);
		ck_assert_int_eq(blob_part_size(b, wrong[i]), 0);
		blob_part_remove(b, wrong[i]);
		ck_assert_int_eq(blob_part_place(b, wrong[i], SHA_HELLO, &err), PARE_E_NOT_FOUND);
	}
}
END_TEST

/* What the test's store knows of the part. */
static int64_t known;
static const char *known_sha;

static enum pare_code recall(void *ctx, const char *which, int64_t *out_keep, char out_sha256[STORE_SHA256_HEX], struct pare_err *out_err)
{
	(void)out_err;
	ck_assert_ptr_eq(ctx, &known);
	ck_assert_str_eq(which, name);
	(void)snprintf(out_sha256, STORE_SHA256_HEX, "%s", known_sha);
	*out_keep = known;
	return PARE_OK;
}

static void restart(int64_t knows, const char *sha)
{
	known = knows;
	known_sha = sha;
	blob_close(b);
	open_store();
	MUST(blob_parts_recover(b, recall, &known, &err));
}

static void other_boot(void)
{
	char path[96];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/parts/boot", dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	(void)fputs("another run of the system", f);
	(void)fclose(f);
}

/* A killed daemon's bytes are there; those that a power failure may have taken are not trusted. */
START_TEST(start_after_a_kill_and_after_a_power_failure)
{
	MUST(blob_parts_recover(b, recall, &known, &err)); /* an empty directory: the boot is noted */
	append("hello world");
	restart(6, "");
	ck_assert_int_eq(blob_part_size(b, name), 11);
	other_boot();
	restart(6, "");
	ck_assert_int_eq(blob_part_size(b, name), 6);
	append("world");
	restart(6, ""); /* the boot is noted again */
	ck_assert_int_eq(blob_part_size(b, name), 11);
	expect_hello();
}
END_TEST

START_TEST(start_puts_parts_in_their_place)
{
	int64_t n;
	int fd;

	append("hello world");
	restart(11, SHA_HELLO);
	MUST(blob_get(b, SHA_HELLO, &fd, &n, &err));
	ck_assert_int_eq(n, 11);
	(void)close(fd);
	append("nobody knows me");
	restart(-1, "");
	ck_assert_int_eq(blob_part_size(b, name), 0);
}
END_TEST

START_TEST(holds_of_blobs_that_are_there)
{
	int64_t n = 0;

	ck_assert_int_eq(blob_hold(b, SHA_HELLO, &n, &err), PARE_E_NOT_FOUND);
	ck_assert_int_eq(blob_hold(b, "../../../etc/passwd", &n, &err), PARE_E_NOT_FOUND);
	append("hello world");
	expect_hello();
	MUST(blob_hold(b, SHA_HELLO, &n, &err));
	ck_assert_int_eq(n, 11);
	blob_release(b, SHA_HELLO);
}
END_TEST

/* What a broken disk did not take is asked for again, and never becomes a blob; whoever had the part has it no longer. */
START_TEST(a_failed_sync_is_final)
{
	struct blob_part *p, *other;
	struct blob_ref ref;
	bool seals = _i == 1;

	append("hello ");
	MUST(blob_part_open(b, name, &other, &err));
	MUST(blob_part_open(b, name, &p, &err));
	MUST(blob_part_append(p, seals ? "world" : "wor", seals ? 5 : 3, &err));
	broken = true;
	ck_assert_int_eq(seals ? blob_part_seal(p, &ref, &err) : blob_part_sync(p, &err), PARE_E_IO);
	broken = false;
	ck_assert_int_eq(blob_part_append(p, "ld", 2, &err), PARE_E_CONFLICT);
	ck_assert_int_eq(blob_part_append(other, "ld", 2, &err), PARE_E_CONFLICT);
	blob_part_close(other);
	blob_part_close(p);
	ck_assert_int_eq(blob_part_size(b, name), 6);
	append(&"hello world"[blob_part_size(b, name)]);
	expect_hello();
}
END_TEST

/* A move whose directory could not be synced is not believed because the file is where it should be. */
START_TEST(a_move_that_was_not_synced_is_not_believed)
{
	struct blob_part *p;
	struct blob_ref ref;
	char path[96];
	int64_t n;
	int synced;

	append("hello world");
	MUST(blob_part_open(b, name, &p, &err));
	MUST(blob_part_seal(p, &ref, &err));
	blob_part_close(p);
	broken_for_directories = true;
	for (int i = 0; i < 2; i++) { /* as little as a new directory that is not known in its parent */
		ck_assert_int_eq(blob_part_place(b, name, ref.sha256, &err), PARE_E_IO);
		ck_assert_int_eq(blob_part_size(b, name), 11);
	}
	(void)snprintf(path, sizeof path, "%s/blobs/%.2s", dir, ref.sha256);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(blob_part_place(b, name, ref.sha256, &err), PARE_E_IO);
	ck_assert_int_eq(blob_part_place(b, name, ref.sha256, &err), PARE_E_NOT_FOUND); /* it is moved */
	ck_assert_int_eq(blob_hold(b, ref.sha256, &n, &err), PARE_E_IO);
	broken_for_directories = false;
	synced = n_directories_synced;
	MUST(blob_hold(b, ref.sha256, &n, &err));
	ck_assert_int_eq(n, 11);
	ck_assert_int_eq(n_directories_synced, synced + 1);
	MUST(blob_hold(b, ref.sha256, &n, &err));
	ck_assert_int_eq(n_directories_synced, synced + 1); /* once is enough */
	for (int i = 0; i < 3; i++)
		blob_release(b, ref.sha256);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("blob parts");
	TCase *tc = tcase_create("parts");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, grows_over_requests_and_runs);
	tcase_add_test(tc, digest_runs_along);
	tcase_add_test(tc, the_newer_one_has_it);
	tcase_add_test(tc, takeovers_beside_appends);
	tcase_add_test(tc, cut_bytes_are_forgotten);
	tcase_add_test(tc, removed_ones_take_nothing);
	tcase_add_test(tc, names_are_not_paths);
	tcase_add_test(tc, start_after_a_kill_and_after_a_power_failure);
	tcase_add_test(tc, start_puts_parts_in_their_place);
	tcase_add_test(tc, holds_of_blobs_that_are_there);
	tcase_add_loop_test(tc, a_failed_sync_is_final, 0, 2);
	tcase_add_test(tc, a_move_that_was_not_synced_is_not_believed);
	suite_add_tcase(s, tc);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
