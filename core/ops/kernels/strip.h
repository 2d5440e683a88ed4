/* The inner loops of matrix products, for machines with AVX2 or AVX-512 (strip.inc, compiled by strip_*.c): strips of one to
 * three vectors of columns.
 *
 *   y[p][j] = sum over c < k   a[p row + c step] panel[c][j]
 *
 * With row and step exchanged the left side is transposed: nothing is moved for it. A whole panel may be a part of a matrix as it
 * stands; what is packed has its rows one behind the other. */
#ifndef PARE_KERNELS_STRIP_H
#define PARE_KERNELS_STRIP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ops/kernels/conv_tile.h"

struct pare_strip {
	int64_t row, step; /* floats of a */
	int64_t apart;     /* floats of the panel from one row to the next */
	int64_t ys;        /* floats of y from one row to the next */
	int vectors;       /* of the panel: from 1 to those of a whole one */
	int64_t tail;      /* floats of the last one, from 1 on */
	bool acc;          /* add to y */
	const struct pare_conv_finish *finish; /* NULL: nothing; bias from the strip's first column on */
};

#define PARE_STRIP_VECTORS 3 /* most of any machine */

struct pare_strip_kernels {
	int64_t vector, width; /* columns of a vector, and of a whole panel */
	int64_t rows[PARE_STRIP_VECTORS + 1]; /* that mul takes at a time, by vectors */
	/* m rows of one strip; add: finish->add moved to y's place */
	void (*mul)(const struct pare_strip *s, int64_t m, int64_t k, const float *a, const float *panel, float *y, const float *add);
	/* One row of four whole strips, from one panel to the next `apart` floats: one by one, they would wait for every sum. */
	void (*four)(const struct pare_strip *s, int64_t k, const float *a, const float *panels, int64_t apart, float *y, const float *add);
	/* panel[c][j] = factor * b[c step + j column] for j < filled, else 0, up to width (some vectors); one of step and column is 1. */
	void (*pack)(int64_t k, int64_t filled, int64_t width, const float *b, int64_t step, int64_t column, float factor, float *panel);
};
extern const struct pare_strip_kernels pare_strip_avx512, pare_strip_avx2;

/* Columns of the next panel when n are left: whole vectors, and two panels of two vectors before one of three and one of one, whose every load meets one product. */
int64_t pare_strip_panel(const struct pare_strip_kernels *s, int64_t n);

/* Rows of a panel that stay in the first cache, with a quarter of it left for the other side; no more than PARE_STRIP_FLOATS together. */
#define PARE_STRIP_FLOATS 16384
int64_t pare_strip_rows(int64_t width);

/* That of the tiles (pare_tile); NULL on other machines, and where pare_tile_force has forced other tiles. */
const struct pare_strip_kernels *pare_strip(void);

#endif
