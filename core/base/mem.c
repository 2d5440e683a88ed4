/* The only file that calls the C library's allocator. Arena blocks grow geometrically (4 KiB to 1 MiB), so a model of
 * ten nodes costs one block and a model of a million nodes a few hundred; an allocation larger than a block gets one
 * of its own. The cap counts what was asked for, not what blocks happen to hold, so a limit test is exact. */
#include "core/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/num.h"

#define BLOCK_MIN ((size_t)4096)
#define BLOCK_MAX ((size_t)1 << 20)
#define HUGE_PAGE ((size_t)2 << 20)
#define ARENA_ALIGN ((size_t)16)

struct pare_arena_block {
	struct pare_arena_block *next;
	size_t size; /* of data */
	size_t used;
	size_t pad; /* keeps data 16-byte aligned */
	unsigned char data[];
};

static void *libc_alloc(void *ctx, size_t n_bytes, size_t align)
{
	void *p = NULL;

	(void)ctx;
	if (align <= 16)
		return malloc(n_bytes);
	if (posix_memalign(&p, align, n_bytes) != 0)
		return NULL;
	return p;
}

static void *libc_resize(void *ctx, void *p, size_t n_bytes)
{
	(void)ctx;
	return realloc(p, n_bytes);
}

static void libc_release(void *ctx, void *p)
{
	(void)ctx;
	free(p);
}

static const struct pare_allocator libc_allocator = {
    .alloc = libc_alloc, .resize = libc_resize, .release = libc_release, .ctx = NULL};
static struct pare_allocator current = {
    .alloc = libc_alloc, .resize = libc_resize, .release = libc_release, .ctx = NULL};

void pare_mem_set(const struct pare_allocator *a)
{
	current = a != NULL ? *a : libc_allocator;
}

void *pare_alloc(size_t n_bytes)
{
	return current.alloc(current.ctx, n_bytes != 0 ? n_bytes : 1, 16);
}

void *pare_calloc(size_t n, size_t size)
{
	size_t n_bytes;
	void *p;

	if (!pare_mul_size(n, size, &n_bytes))
		return NULL;
	p = pare_alloc(n_bytes);
	if (p != NULL)
		memset(p, 0, n_bytes);
	return p;
}

void *pare_realloc(void *p, size_t n_bytes)
{
	return current.resize(current.ctx, p, n_bytes != 0 ? n_bytes : 1);
}

/* What an array of numbers has of whole huge pages, before it is touched: rows of a matrix lie a page and more apart, and a tile of a
 * product meets more small pages than the processor knows. Advice: without it only time is lost. */
static void advise(void *p, size_t n_bytes)
{
#ifdef MADV_HUGEPAGE
	uintptr_t begin = ((uintptr_t)p + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE, end = ((uintptr_t)p + n_bytes) / HUGE_PAGE * HUGE_PAGE;

	if (begin < end)
		(void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
	(void)p, (void)n_bytes;
#endif
}

void *pare_alloc_aligned(size_t n_bytes)
{
	void *p = current.alloc(current.ctx, n_bytes != 0 ? n_bytes : 1, PARE_ALIGN);

	if (p == NULL)
		return NULL;
	advise(p, n_bytes);
	memset(p, 0, n_bytes);
	return p;
}

char *pare_strndup(const char *s, size_t n)
{
	char *p = pare_alloc(n + 1);

	if (p != NULL) {
		memcpy(p, s, n);
		p[n] = '\0';
	}
	return p;
}

char *pare_strdup(const char *s)
{
	return pare_strndup(s, strlen(s));
}

void pare_free(void *p)
{
	if (p != NULL)
		current.release(current.ctx, p);
}

void pare_arena_init(struct pare_arena *a, size_t cap_bytes)
{
	a->head = NULL;
	a->used_bytes = 0;
	a->cap_bytes = cap_bytes;
}

static struct pare_arena_block *arena_grow(struct pare_arena *a, size_t need)
{
	size_t size = a->head != NULL ? a->head->size * 2 : BLOCK_MIN;
	size_t total;
	struct pare_arena_block *b;

	if (size > BLOCK_MAX)
		size = BLOCK_MAX;
	if (size < need)
		size = need;
	if (!pare_add_size(size, sizeof *b, &total))
		return NULL;
	b = pare_alloc(total);
	if (b == NULL)
		return NULL;
	b->size = size;
	b->used = 0;
	b->next = a->head;
	a->head = b;
	return b;
}

void *pare_arena_alloc(struct pare_arena *a, size_t n_bytes)
{
	struct pare_arena_block *b = a->head;
	size_t n, used;
	void *p;

	if (n_bytes > SIZE_MAX - ARENA_ALIGN)
		return NULL;
	n = (n_bytes + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
	if (!pare_add_size(a->used_bytes, n, &used) || used > a->cap_bytes)
		return NULL;
	if (b == NULL || b->size - b->used < n)
		b = arena_grow(a, n);
	if (b == NULL)
		return NULL;
	p = b->data + b->used;
	b->used += n;
	a->used_bytes = used;
	memset(p, 0, n);
	return p;
}

void *pare_arena_array(struct pare_arena *a, size_t n, size_t size)
{
	size_t n_bytes;

	return pare_mul_size(n, size, &n_bytes) ? pare_arena_alloc(a, n_bytes) : NULL;
}

char *pare_arena_strndup(struct pare_arena *a, const char *s, size_t n)
{
	size_t n_bytes;
	char *p;

	if (!pare_add_size(n, 1, &n_bytes))
		return NULL;
	p = pare_arena_alloc(a, n_bytes);
	if (p != NULL && n != 0)
		memcpy(p, s, n);
	return p;
}

void pare_arena_done(struct pare_arena *a)
{
	struct pare_arena_block *b = a->head;

	while (b != NULL) {
		struct pare_arena_block *next = b->next;

		pare_free(b);
		b = next;
	}
	pare_arena_init(a, a->cap_bytes);
}
