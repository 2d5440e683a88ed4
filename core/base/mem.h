/* Memory: one replaceable allocator, and arenas by lifetime.
 *
 * All heap memory of every layer comes from here, so that a test can fail the nth allocation (pare_mem_set). Nothing
 * aborts: NULL comes back and the caller answers PARE_E_NOMEM. An arena has a cap; what is taken from it is freed all
 * at once. Sizes that come from a file go through core/base/num.h first. */
#ifndef PARE_BASE_MEM_H
#define PARE_BASE_MEM_H

#include <stddef.h>

#define PARE_ALIGN 64 /* of pare_alloc_aligned and of arena blocks: one cache line, one AVX-512 register */

struct pare_allocator {
	void *(*alloc)(void *ctx, size_t n_bytes, size_t align); /* align is a power of two; NULL when out of memory */
	void *(*resize)(void *ctx, void *p, size_t n_bytes);     /* p from alloc with align <= 16, or NULL */
	void (*release)(void *ctx, void *p);
	void *ctx;
};

/* Replaces the allocator of the whole process; NULL puts the C library's back. Not thread safe: for start-up and tests. */
void pare_mem_set(const struct pare_allocator *a);

void *pare_alloc(size_t n_bytes);                    /* not cleared; 0 bytes gives a valid pointer */
void *pare_calloc(size_t n, size_t size);            /* cleared; NULL on overflow too */
void *pare_realloc(void *p, size_t n_bytes);         /* only of pare_alloc, pare_calloc, pare_realloc, pare_strdup */
void *pare_alloc_aligned(size_t n_bytes);            /* PARE_ALIGN, cleared */
char *pare_strdup(const char *s);
char *pare_strndup(const char *s, size_t n);
void pare_free(void *p);                             /* NULL is fine */

/* A bump allocator. Zero-initialised struct + pare_arena_init; pare_arena_done frees everything. */
struct pare_arena_block;
struct pare_arena {
	struct pare_arena_block *head;
	size_t used_bytes; /* of all blocks, with alignment */
	size_t cap_bytes;  /* pare_arena_alloc fails beyond this */
};
void pare_arena_init(struct pare_arena *a, size_t cap_bytes);
void *pare_arena_alloc(struct pare_arena *a, size_t n_bytes);      /* cleared, 16-byte aligned; NULL past the cap or out of memory */
void *pare_arena_array(struct pare_arena *a, size_t n, size_t size); /* the same for n * size, NULL on overflow */
char *pare_arena_strndup(struct pare_arena *a, const char *s, size_t n);
void pare_arena_done(struct pare_arena *a);

#endif
