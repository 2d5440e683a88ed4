/* One direction of a recurrent layer over a whole sequence: RNN, LSTM and GRU as ONNX defines them.
 *
 * Time is the outermost dimension of everything here, in the order of the file: step t of a reverse layer still is
 * entry t. The states h (and c) have n_steps + 1 entries: forward, entry t is what step t starts from and entry t + 1 what it
 * leaves; reverse, entry t + 1 is what step t starts from and entry t what it leaves. So the states that steps start from
 * lie in the order of the steps either way, and the gradient of R is one product over all of time.
 *
 * Gates stand as in the weights: RNN i; LSTM i, o, f, c; GRU z, r, h. */
#ifndef PARE_KERNELS_RECURRENT_H
#define PARE_KERNELS_RECURRENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ops/kernels/gates.h"

enum pare_cell { PARE_CELL_RNN, PARE_CELL_LSTM, PARE_CELL_GRU };

struct pare_recurrent {
	enum pare_cell cell;
	bool reverse;
	bool input_forget;        /* LSTM: f = 1 - i */
	bool linear_before_reset; /* GRU */
	struct pare_gate act[3];  /* f, g, h of ONNX's equations */
	int64_t n_steps, n_rows, n_in, n_hidden;
	const float *w;    /* [gates * n_hidden, n_in] */
	const float *r;    /* [gates * n_hidden, n_hidden] */
	const float *b;    /* [2 * gates * n_hidden], of w, then of r; NULL: 0 */
	const float *p;    /* LSTM: [3 * n_hidden] for i, o, f; NULL: none */
	const float *lens; /* [n_rows] steps of each row that count; NULL: all do */
	const float *x;    /* [n_steps, n_rows, n_in]; with slot [n_distinct, n_in] */
	/* [n_steps, n_rows], which row of x each is, where they repeat: each is multiplied once. A number is not there before all lower ones
	 * have been. NULL: each has its own. */
	const uint32_t *slot;
	int64_t n_distinct;
	/* work; backward reads what forward left and destroys it */
	float *gates; /* [n_steps, n_rows, gates * n_hidden] */
	float *h;     /* [n_steps + 1, n_rows, n_hidden]; the entry that the first step starts from is set by the caller */
	float *c;     /* LSTM: the same */
	float *extra; /* LSTM, GRU: [n_steps, n_rows, n_hidden] */
	float *row;   /* [2 * gates * n_hidden] */
	float *packed; /* pare_recurrent_packed floats */
	const float *prepared; /* by pare_recurrent_prepare; NULL: forward packs W and R itself */
};

struct pare_recurrent_grads {
	const float *dy; /* [n_steps] blocks of [n_rows, n_hidden]; NULL: none */
	int64_t dy_step; /* floats from one block to the next */
	/* in: gradients of the last state (h, c); out: of the first; [n_rows, n_hidden] */
	float *dh, *dc;
	float *spare; /* 4 * [n_rows, n_hidden] */
	/* out; NULL: not wanted; else added to what is there if acc, or overwriting */
	float *dx, *dw, *dr, *db, *dp; /* dx is as x is */
	bool acc_x, acc_w, acc_r, acc_b, acc_p;
};

static inline int64_t pare_cell_gates(enum pare_cell cell)
{
	return cell == PARE_CELL_RNN ? 1 : cell == PARE_CELL_LSTM ? 4 : 3;
}
/* Entries of h and c: before the first step and after the last one. */
static inline int64_t pare_recurrent_first(const struct pare_recurrent *q)
{
	return q->reverse ? q->n_steps : 0;
}
static inline int64_t pare_recurrent_last(const struct pare_recurrent *q)
{
	return q->reverse ? 0 : q->n_steps;
}
/* Does step t count for that row? */
static inline bool pare_recurrent_counts(const struct pare_recurrent *q, int64_t t, int64_t row)
{
	return q->lens == NULL || (float)t < q->lens[row];
}

/* Floats that W or R take when they are packed, in either direction. */
size_t pare_recurrent_packed(enum pare_cell cell, int64_t n_in, int64_t n_hidden);
/* Floats of W and R as forward reads them, for nets whose weights stay; and that done: to[...] from q's w, r and sizes. */
size_t pare_recurrent_prepared(enum pare_cell cell, int64_t n_in, int64_t n_hidden);
void pare_recurrent_prepare(const struct pare_recurrent *q, float *to);
/* Fills h (and c). Rows for which a step does not count keep their state. */
void pare_recurrent_forward(const struct pare_recurrent *q);
void pare_recurrent_backward(const struct pare_recurrent *q, const struct pare_recurrent_grads *g);

#endif
