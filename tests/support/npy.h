/* NPY files made in memory. */
#ifndef TESTS_SUPPORT_NPY_H
#define TESTS_SUPPORT_NPY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/data.h"

/* npy("x.npy", "<f4", "(2, 3)", values, sizeof values); npy_free gives it back. */
static inline struct pare_data_file npy(const char *name, const char *descr, const char *shape, const void *values, size_t n_bytes)
{
	char head[256];
	int n = snprintf(head, sizeof head, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n", descr, shape);
	uint8_t *p = malloc(10 + (size_t)n + n_bytes);

	if (p == NULL)
		abort();
	memcpy(p, "\x93NUMPY\x01\x00", 8);
	p[8] = (uint8_t)(n & 0xff);
	p[9] = (uint8_t)(n >> 8);
	memcpy(p + 10, head, (size_t)n);
	memcpy(p + 10 + n, values, n_bytes);
	return (struct pare_data_file){name, {p, 10 + (size_t)n + n_bytes}};
}

static inline void npy_free(struct pare_data_file *f, int n)
{
	for (int i = 0; i < n; i++)
		free((void *)(uintptr_t)f[i].bytes.data);
}

#endif
