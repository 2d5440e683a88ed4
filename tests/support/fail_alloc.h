/* An allocator that fails on demand: the nth allocation after installing returns NULL (all later ones work). Count first
 * with nth = 0 (never fails), assert that the count is positive, then fail each one in turn. */
#ifndef TESTS_SUPPORT_FAIL_ALLOC_H
#define TESTS_SUPPORT_FAIL_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>

void fail_alloc_install(long nth); /* 1-based; 0: only count */
void fail_alloc_tell(long nth, atomic_bool *flag); /* none fails; the nth sets the flag */
long fail_alloc_count(void);       /* allocations since installing */
long fail_alloc_live(void);        /* allocated and not yet freed since installing: 0 when nothing leaks */
void fail_alloc_remove(void);

#endif
