/* Thread safe counters over the C library's allocator; see the header. */
#include "tests/support/fail_alloc.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/mem.h"

static atomic_long n_calls, n_live;
static long fail_at;
static atomic_bool *told;

static int fails(void)
{
	if (atomic_fetch_add(&n_calls, 1) + 1 != fail_at)
		return 0;
	if (told == NULL)
		return 1;
	atomic_store(told, true);
	return 0;
}

static void *fa_alloc(void *ctx, size_t n_bytes, size_t align)
{
	void *p = NULL;

	(void)ctx;
	if (fails() || posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, n_bytes) != 0)
		return NULL;
	atomic_fetch_add(&n_live, 1);
	return p;
}

static void *fa_resize(void *ctx, void *p, size_t n_bytes)
{
	void *q;

	(void)ctx;
	if (fails())
		return NULL;
	q = realloc(p, n_bytes);
	if (q != NULL && p == NULL)
		atomic_fetch_add(&n_live, 1);
	return q;
}

static void fa_release(void *ctx, void *p)
{
	(void)ctx;
	atomic_fetch_sub(&n_live, 1);
	free(p);
}

void fail_alloc_install(long nth)
{
	static const struct pare_allocator a = {.alloc = fa_alloc, .resize = fa_resize, .release = fa_release, .ctx = NULL};

	atomic_store(&n_calls, 0);
	atomic_store(&n_live, 0);
	fail_at = nth;
	told = NULL;
	pare_mem_set(&a);
}

void fail_alloc_tell(long nth, atomic_bool *flag)
{
	fail_alloc_install(nth);
	told = flag;
}

long fail_alloc_count(void)
{
	return atomic_load(&n_calls);
}

long fail_alloc_live(void)
{
	return atomic_load(&n_live);
}

void fail_alloc_remove(void)
{
	pare_mem_set(NULL);
}
