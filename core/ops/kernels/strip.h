/* The inner loops of matrix products, for machines with AVX2 and no AVX-512 (strip_avx2.c): strips of one or two vectors of columns.
 *
 *   y[p][j] = sum over c < k   a[p row + c step] panel[c][j]
 *
 * With row and step exchanged the left side is transposed: nothing is moved for it. */
#ifndef PARE_KERNELS_STRIP_H
#define PARE_KERNELS_STRIP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ops/kernels/conv_tile.h"

#define PARE_STRIP_WIDTH 16 /* columns of a whole panel */

struct pare_strip {
	int64_t row, step; /* floats of a */
	int64_t ys;        /* floats of y from one row to the next */
	int vectors;       /* of the panel: 1 or 2 */
	int64_t tail;      /* floats of the last one, 1 to 8 */
	bool acc;          /* add to y */
	const struct pare_conv_finish *finish; /* NULL: nothing; bias from the strip's first column on */
};

struct pare_strip_kernels {
	/* m rows of one strip; add: finish->add moved to y's place */
	void (*mul)(const struct pare_strip *s, int64_t m, int64_t k, const float *a, const float *panel, float *y, const float *add);
	/* One row of four whole strips, from one panel to the next `apart` floats: one by one, they would wait for every sum. */
	void (*four)(const struct pare_strip *s, int64_t k, const float *a, const float *panels, int64_t apart, float *y, const float *add);
	/* panel[c][j] = factor * b[c step + j column] for j < filled, else 0, up to width (8 or 16); one of step and column is 1. */
	void (*pack)(int64_t k, int64_t filled, int64_t width, const float *b, int64_t step, int64_t column, float factor, float *panel);
};

/* NULL on other machines, and where pare_tile_force has forced other tiles. */
const struct pare_strip_kernels *pare_strip(void);

#endif
