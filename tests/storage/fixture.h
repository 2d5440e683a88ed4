/* What the storage tests share: clocks that a test turns, randomness that no two calls repeat, a directory that goes away, and short
 * ways to put what a job needs. Wall and boot time start apart, so that mixing them up shows. */
#ifndef TESTS_STORAGE_FIXTURE_H
#define TESTS_STORAGE_FIXTURE_H

#include <check.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/store.h"

#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SHA_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define HOUR_MS ((int64_t)3600 * 1000)

static _Atomic int64_t fake_wall = 1795000000000, fake_mono = 5000;
static atomic_ulong fake_draws;

static inline int64_t fixture_wall(void *ctx)
{
	(void)ctx;
	return fake_wall;
}

static inline int64_t fixture_mono(void *ctx)
{
	(void)ctx;
	return fake_mono;
}

/* splitmix64 over a counter that differs between processes. */
static inline void fixture_random(void *ctx, void *out, size_t n)
{
	unsigned char *p = out;

	(void)ctx;
	for (size_t i = 0; i < n; i++) {
		uint64_t z = (atomic_fetch_add(&fake_draws, 1) + ((uint64_t)getpid() << 40)) * 0x9E3779B97F4A7C15U;

		z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
		z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
		p[i] = (unsigned char)(z >> 56);
	}
}

static const struct pare_env fixture_env = {.wall_ms = fixture_wall, .mono_ms = fixture_mono, .tick_ns = fixture_mono, .random = fixture_random, .ctx = NULL};

static inline void fixture_dir(char out[64])
{
	const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	(void)snprintf(out, 64, "%s/pared-test-XXXXXX", tmp);
	ck_assert_ptr_nonnull(mkdtemp(out));
}

static inline int fixture_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void fixture_dir_remove(const char *dir)
{
	(void)nftw(dir, fixture_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void must(enum pare_code code, const struct pare_err *err, const char *what, int line)
{
	if (code != PARE_OK)
		ck_abort_msg("line %d: %s: %s: %s (%s)", line, what, pare_code_string(code), err->message, err->where);
}
#define MUST(call) must((call), &err, #call, __LINE__)

/* The store as its default owner sees it. */
#define MINE(s) ((struct store_view){(s), STORE_DEFAULT_OWNER})

static inline void put_asset(struct store *s, enum store_asset_kind kind, const char *sha, char out_id[PARE_ID_MAX])
{
	struct store_file f = {.path = "file", .n_bytes = 7};
	struct store_asset a = {.kind = kind, .name = "thing", .info = "{\"x\":1}", .n_files = 1, .files = &f};
	struct pare_err err = {.code = PARE_OK};

	memcpy(f.sha256, sha, sizeof f.sha256);
	MUST(store_asset_put(MINE(s), &a, &err));
	memcpy(out_id, a.id, PARE_ID_MAX);
}

/* Puts a job and returns its id. */
static inline void put_job(struct store *s, const char *model, const char *dataset, char out_id[PARE_ID_MAX])
{
	struct store_job j = {.max_crashes = 3, .kind = "prune", .name = "n", .labels = "team=a\n", .model = model, .dataset = dataset, .request = "{\"recipe\":\"x\"}"};
	struct pare_err err = {.code = PARE_OK};

	MUST(store_job_put(MINE(s), &j, NULL, &err));
	memcpy(out_id, j.id, PARE_ID_MAX);
	store_job_done(&j);
}

#endif
