/* The inner loops of convolution and pooling with channels last, one table of functions per instruction set (conv_tile.inc,
 * compiled by conv_tile_*.c).
 *
 *   dot    y[p][m] = sum over segments s, c < len(s)   x[p xs + off(s) + c] w[k][m],  k counting through all segments
 *   outer  dw[c][m] += sum over positions i             x[off(i) + c] dy[i][m]
 *
 * m runs over a block of one or two vectors. Both keep their results in registers; per step of the sum they read the
 * block's vectors once and broadcast one float per result row. */
#ifndef PARE_KERNELS_CONV_TILE_H
#define PARE_KERNELS_CONV_TILE_H

#include <stdbool.h>
#include <stdint.h>

/* A contiguous run of an input position's surroundings: whole lines of taps with their channels, or a part of one. */
struct pare_segment_run {
	int64_t off, len;
};

/* What happens to a finished sum: + bias[m] + add[p][m], then clamped. */
struct pare_conv_finish {
	const float *bias; /* NULL: 0 */
	const float *add;  /* as y, NULL: 0 */
	bool clamp;
	float lo, hi;
};

struct pare_dot {
	const struct pare_segment_run *segments;
	int64_t n_segments;
	int64_t xs, ys; /* from one position to the next */
	int vectors;    /* of the block: 1 or 2 */
	int64_t tail;   /* floats of its last vector, 1 to width */
	bool acc;       /* add to y */
	const struct pare_conv_finish *finish; /* NULL: nothing; bias from the block's first channel on */
};

struct pare_outer {
	int64_t n; /* positions */
	const int64_t *off;
	int vectors; /* of the block: 1 or 2 */
};

/* Depthwise convolution of a line's positions p: y[p] = sum over taps x[p xs + off(t)] w[w_off(t)], channel by channel. */
struct pare_lanes {
	int64_t n_taps;
	const int64_t *off, *w_off;
	int64_t channels;
	int64_t xs, ys;
	int64_t x_row, y_row; /* from one line to the next: of lanes_grad */
	bool acc;
	const struct pare_conv_finish *finish;
};

/* A window's maximum: y = the greatest (NaN more than any) of x[off(i) + channel], at = tap(i) of the first such i; continues
 * from what stands there unless it is the first part of the window. */
struct pare_window_places {
	int64_t n;
	const int64_t *off;
	const float *tap;
	bool first;
};

struct pare_tile_kernels {
	int64_t width;    /* floats of a vector */
	/* n positions of one line; w[k][vectors * width]; add: finish->add moved to y's place */
	void (*dot)(const struct pare_dot *d, int64_t n, const float *x, const float *w, float *y, const float *add);
	/* n rows of dw, each vectors * width like dy's, which gather collected */
	void (*outer)(const struct pare_outer *o, int64_t n, const float *x, const float *dy, float *dw);
	/* to[i][vectors * width] = what stands at off(i), i < n; zeros behind the tail */
	void (*gather)(int64_t n, const int64_t *off, int vectors, int64_t tail, const float *from, float *to);
	void (*lanes)(const struct pare_lanes *l, int64_t n, const float *x, const float *w, float *y, const float *add);
	/* dw[w_off(t)] += sum over lines and their n positions x[p xs + off(t)] dy[p ys] */
	void (*lanes_grad)(const struct pare_lanes *l, int64_t rows, int64_t n, const float *x, const float *dy, float *dw);
	/* all channels of one window with at least one place; at NULL: not wanted */
	void (*max)(const struct pare_window_places *s, int64_t channels, const float *x, float *y, float *at);
};
extern const struct pare_tile_kernels pare_tile_avx512, pare_tile_avx2, pare_tile_plain;

/* The best of them that this machine has; always the same on one machine. */
const struct pare_tile_kernels *pare_tile(void);
/* For tests: k from now on, NULL: the best again. Not while anything runs. */
void pare_tile_force(const struct pare_tile_kernels *k);

#endif
