/* All steps' products with W are one matrix product before the first step, and the gradients of W, R and X are one each
 * after the last; what is left inside the loop over time is the product with R, which is packed once for all steps, and the
 * gates.
 *
 * The gates are written over the sums they were computed from, and backward writes the gradients of the sums over the
 * gates: one buffer is all three, and it is what the products over all of time read.
 *
 * Rows of X that repeat (of an embedding: a word that comes again) are multiplied once. Their sums stand where the sums of the first rows
 * will be and are spread from the last row on; on the way back gradients are collected there from the first row on.
 *
 * extra holds what backward needs besides: LSTM, h(c); GRU, the part of the new state that comes from the old one: r * h
 * before the product with R, or R's product itself if that is taken before the reset (then its gradient, too, is kept
 * there, because R sees another gradient than W). */
#include "core/ops/kernels/recurrent.h"

#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/gemm.h"
#include "core/ops/kernels/packed.h"

/* One step: where its parts stand. */
struct step {
	float *gates, *extra;
	const float *h_old, *c_old;
	float *h_new, *c_new;
};

static struct step step_at(const struct pare_recurrent *q, int64_t t)
{
	int64_t block = q->n_rows * q->n_hidden, from = q->reverse ? t + 1 : t, to = q->reverse ? t : t + 1;
	struct step s = {.gates = q->gates + t * block * pare_cell_gates(q->cell), .h_old = q->h + from * block, .h_new = q->h + to * block};

	if (q->extra != NULL)
		s.extra = q->extra + t * block;
	if (q->c != NULL) {
		s.c_old = q->c + from * block;
		s.c_new = q->c + to * block;
	}
	return s;
}

static const float *forward_r(const struct pare_recurrent *q)
{
	return q->prepared != NULL ? q->prepared + pare_packed_floats(q->n_in, pare_cell_gates(q->cell) * q->n_hidden) : q->packed;
}

/* h = a + s * (b - a) and the like stay in the loops below: each is one pass over a row that is in the first-level cache. */
PARE_MULTIARCH static void mix_state(size_t n, const float *restrict f, const float *restrict old, const float *restrict i, const float *restrict g,
    float *restrict c)
{
	for (size_t j = 0; j < n; j++)
		c[j] = f[j] * old[j] + i[j] * g[j];
}

PARE_MULTIARCH static void one_minus(size_t n, const float *x, float *y)
{
	for (size_t j = 0; j < n; j++)
		y[j] = 1.0f - x[j];
}

PARE_MULTIARCH static void mix_update(size_t n, const float *restrict z, const float *restrict old, const float *restrict u, float *restrict h)
{
	for (size_t j = 0; j < n; j++)
		h[j] = (1.0f - z[j]) * u[j] + z[j] * old[j];
}

static void lstm_row(const struct pare_recurrent *q, float *i, const float *c_old, float *c, float *th, float *h)
{
	size_t n = (size_t)q->n_hidden;
	float *o = i + n, *f = o + n, *g = f + n;

	if (q->p != NULL) {
		pare_k_acc_mul(n, q->p, c_old, i);
		pare_k_acc_mul(n, q->p + 2 * n, c_old, f);
	}
	if (q->p != NULL || q->input_forget) {
		pare_gate_apply(&q->act[0], n, i, i);
		if (q->input_forget)
			one_minus(n, i, f);
		else
			pare_gate_apply(&q->act[0], n, f, f);
	} else {
		pare_gate_apply(&q->act[0], 3 * n, i, i);
	}
	pare_gate_apply(&q->act[1], n, g, g);
	mix_state(n, f, c_old, i, g, c);
	if (q->p != NULL)
		pare_k_acc_mul(n, q->p + n, c, o);
	if (q->p != NULL || q->input_forget)
		pare_gate_apply(&q->act[0], n, o, o);
	pare_gate_apply(&q->act[2], n, c, th);
	pare_k_mul(n, o, th, h);
}

/* What a row keeps when a step does not count for it: its state, and no trace in any sum. */
static void skip_row(const struct pare_recurrent *q, const struct step *s, int64_t row)
{
	size_t n = (size_t)q->n_hidden, at = (size_t)row * n, gates = (size_t)pare_cell_gates(q->cell);

	memcpy(s->h_new + at, s->h_old + at, n * sizeof *s->h_new);
	if (s->c_new != NULL)
		memcpy(s->c_new + at, s->c_old + at, n * sizeof *s->c_new);
	if (s->extra != NULL)
		memset(s->extra + at, 0, n * sizeof *s->extra);
	memset(s->gates + at * gates, 0, n * gates * sizeof *s->gates);
}

static void lstm_step(const struct pare_recurrent *q, int64_t t)
{
	int64_t n = q->n_hidden;
	struct step s = step_at(q, t);

	pare_packed_mul(q->n_rows, 4 * n, n, s.h_old, n, forward_r(q), NULL, s.gates, 4 * n, true);
	for (int64_t i = 0; i < q->n_rows; i++)
		if (pare_recurrent_counts(q, t, i))
			lstm_row(q, s.gates + i * 4 * n, s.c_old + i * n, s.c_new + i * n, s.extra + i * n, s.h_new + i * n);
		else
			skip_row(q, &s, i);
}

static void rnn_step(const struct pare_recurrent *q, int64_t t)
{
	int64_t n = q->n_hidden;
	struct step s = step_at(q, t);

	pare_packed_mul(q->n_rows, n, n, s.h_old, n, forward_r(q), NULL, s.gates, n, true);
	for (int64_t i = 0; i < q->n_rows; i++)
		if (pare_recurrent_counts(q, t, i)) {
			pare_gate_apply(&q->act[0], (size_t)n, s.gates + i * n, s.gates + i * n);
			memcpy(s.h_new + i * n, s.gates + i * n, (size_t)n * sizeof(float));
		} else {
			skip_row(q, &s, i);
		}
}

static void gru_step(const struct pare_recurrent *q, int64_t t)
{
	int64_t n = q->n_hidden, rows = q->n_rows;
	size_t len = (size_t)n;
	struct step s = step_at(q, t);
	const float *rh = forward_r(q) + pare_packed_floats(n, 2 * n);

	pare_packed_mul(rows, 2 * n, n, s.h_old, n, forward_r(q), NULL, s.gates, 3 * n, true);
	for (int64_t i = 0; i < rows; i++)
		pare_gate_apply(&q->act[0], 2 * len, s.gates + i * 3 * n, s.gates + i * 3 * n);
	if (q->linear_before_reset) {
		pare_packed_mul(rows, n, n, s.h_old, n, rh, &(struct pare_conv_finish){.bias = q->row + 5 * n}, s.extra, n, false);
		for (int64_t i = 0; i < rows; i++)
			pare_k_acc_mul(len, s.gates + (i * 3 + 1) * n, s.extra + i * n, s.gates + (i * 3 + 2) * n);
	} else {
		for (int64_t i = 0; i < rows; i++)
			pare_k_mul(len, s.gates + (i * 3 + 1) * n, s.h_old + i * n, s.extra + i * n);
		pare_packed_mul(rows, n, n, s.extra, n, rh, NULL, s.gates + 2 * n, 3 * n, true);
	}
	for (int64_t i = 0; i < rows; i++) {
		float *z = s.gates + i * 3 * n, *u = z + 2 * n;

		if (!pare_recurrent_counts(q, t, i)) {
			skip_row(q, &s, i);
			continue;
		}
		pare_gate_apply(&q->act[1], len, u, u);
		mix_update(len, z, s.h_old + i * n, u, s.h_new + i * n);
	}
}

/* The biases of W and R as one row, but for the new state of a GRU that resets after the product: there R's is kept apart,
 * behind the first three. */
static void join_biases(const struct pare_recurrent *q)
{
	size_t n = (size_t)(pare_cell_gates(q->cell) * q->n_hidden), h = (size_t)q->n_hidden;

	if (q->b == NULL) {
		memset(q->row, 0, 2 * n * sizeof *q->row);
		return;
	}
	pare_k_add(n, q->b, q->b + n, q->row);
	if (q->cell == PARE_CELL_GRU && q->linear_before_reset) {
		memcpy(q->row + n - h, q->b + n - h, h * sizeof *q->row);
		memcpy(q->row + 2 * n - h, q->b + 2 * n - h, h * sizeof *q->row);
	}
}

/* Rows of R that are multiplied in one go: all of them, but for a GRU those of z and r, then those of h. */
static int64_t first_rows(enum pare_cell cell, int64_t n_hidden)
{
	return (cell == PARE_CELL_GRU ? 2 : pare_cell_gates(cell)) * n_hidden;
}

size_t pare_recurrent_packed(enum pare_cell cell, int64_t n_in, int64_t n)
{
	int64_t first = first_rows(cell, n), rest = pare_cell_gates(cell) * n - first;
	size_t part_table[] = {pare_packed_floats(n, first) + pare_packed_floats(n, rest), pare_packed_floats(first, n) + pare_packed_floats(rest, n),
	    pare_packed_floats(n_in, first + rest), pare_packed_floats(first + rest, n_in)};
	size_t most = 0;

	for (size_t i = 0; i < sizeof part_table / sizeof *part_table; i++)
		most = part_table[i] > most ? part_table[i] : most;
	return most;
}

static void pack(const struct pare_recurrent *q, bool forward, float *to)
{
	int64_t n = q->n_hidden, first = first_rows(q->cell, n), rest = pare_cell_gates(q->cell) * n - first;

	pare_pack(forward, forward ? n : first, forward ? first : n, q->r, to);
	if (rest > 0)
		pare_pack(forward, n, n, q->r + first * n, to + pare_packed_floats(forward ? n : first, forward ? first : n));
}

size_t pare_recurrent_prepared(enum pare_cell cell, int64_t n_in, int64_t n)
{
	int64_t first = first_rows(cell, n), rest = pare_cell_gates(cell) * n - first;

	return pare_packed_floats(n_in, first + rest) + pare_packed_floats(n, first) + pare_packed_floats(n, rest);
}

void pare_recurrent_prepare(const struct pare_recurrent *q, float *to)
{
	int64_t width = pare_cell_gates(q->cell) * q->n_hidden;

	pare_pack(true, q->n_in, width, q->w, to);
	pack(q, true, to + pare_packed_floats(q->n_in, width));
}

static int64_t rows_of_x(const struct pare_recurrent *q)
{
	return q->slot != NULL ? q->n_distinct : q->n_steps * q->n_rows;
}

/* A slot's number is never above the row's, so nothing is overwritten that is still to be read. */
static void spread_slots(const struct pare_recurrent *q, int64_t width)
{
	for (int64_t i = q->n_steps * q->n_rows - 1; i > 0; i--)
		if (q->slot[i] != i)
			memcpy(q->gates + i * width, q->gates + q->slot[i] * width, (size_t)width * sizeof *q->gates);
}

/* Likewise: a slot's place is free once its first row has been read. */
static void collect_slots(const struct pare_recurrent *q, int64_t width)
{
	int64_t seen = 0;

	for (int64_t i = 0; i < q->n_steps * q->n_rows; i++) {
		const float *from = q->gates + i * width;
		float *to = q->gates + q->slot[i] * width;

		if (q->slot[i] < seen)
			pare_k_acc((size_t)width, from, to);
		else if (seen++ != i)
			memcpy(to, from, (size_t)width * sizeof *to);
	}
}

void pare_recurrent_forward(const struct pare_recurrent *q)
{
	static void (*const step_table[])(const struct pare_recurrent *, int64_t) = {
	    [PARE_CELL_RNN] = rnn_step, [PARE_CELL_LSTM] = lstm_step, [PARE_CELL_GRU] = gru_step};
	int64_t width = pare_cell_gates(q->cell) * q->n_hidden;

	join_biases(q);
	if (q->prepared == NULL)
		pare_pack(true, q->n_in, width, q->w, q->packed);
	pare_packed_mul(rows_of_x(q), width, q->n_in, q->x, q->n_in, q->prepared != NULL ? q->prepared : q->packed,
	    &(struct pare_conv_finish){.bias = q->row}, q->gates, width, false);
	if (q->slot != NULL)
		spread_slots(q, width);
	if (q->prepared == NULL)
		pack(q, true, q->packed);
	for (int64_t i = 0; i < q->n_steps; i++)
		step_table[q->cell](q, q->reverse ? q->n_steps - 1 - i : i);
}

/* lstm_row_grad of the usual cell, in one pass. */
PARE_MULTIARCH static void lstm_usual_grad(size_t n, float *restrict gates, const float *restrict c_old, const float *restrict th, const float *restrict dh,
    float *restrict dc)
{
	float *i = gates, *o = i + n, *f = o + n, *u = f + n;

	PARE_LANES for (size_t j = 0; j < n; j++) {
		float d = dc[j] + dh[j] * o[j] * (1.0f - th[j] * th[j]), in = i[j], forget = f[j], update = u[j];

		o[j] = dh[j] * th[j] * o[j] * (1.0f - o[j]);
		i[j] = d * update * in * (1.0f - in);
		f[j] = d * c_old[j] * forget * (1.0f - forget);
		u[j] = d * in * (1.0f - update * update);
		dc[j] = d * forget;
	}
}

/* Sigmoid, tanh and tanh without clips, peepholes or coupled gates. */
static bool is_usual_lstm(const struct pare_recurrent *q)
{
	bool clipped = q->act[0].clip > 0.0f || q->act[1].clip > 0.0f || q->act[2].clip > 0.0f;

	return q->p == NULL && !q->input_forget && !clipped && q->act[0].kind == PARE_GATE_SIGMOID && q->act[1].kind == PARE_GATE_TANH &&
	       q->act[2].kind == PARE_GATE_TANH;
}

/* d(sum) of one step, over its gates. dh and dc are those of the states it left; dc becomes that of the one it started from. */
static void lstm_row_grad(const struct pare_recurrent *q, const struct pare_recurrent_grads *g, float *i, const float *c_old, const float *c,
    const float *th, const float *dh, float *dc, float *tmp)
{
	size_t n = (size_t)q->n_hidden;
	float *o = i + n, *f = o + n, *u = f + n, *df = tmp + n;

	if (is_usual_lstm(q)) {
		lstm_usual_grad(n, i, c_old, th, dh, dc);
		return;
	}
	pare_k_mul(n, dh, o, tmp);
	pare_gate_grad(&q->act[2], n, th, tmp, tmp);
	pare_k_acc(n, tmp, dc);
	pare_k_mul(n, dh, th, tmp);
	pare_gate_grad(&q->act[0], n, o, tmp, o);
	if (q->p != NULL)
		pare_k_acc_mul(n, o, q->p + n, dc);
	pare_k_mul(n, dc, u, tmp);
	pare_k_mul(n, dc, c_old, df);
	if (q->input_forget)
		pare_k_acc_scaled(n, df, -1.0f, tmp);
	pare_k_mul(n, dc, i, df);
	pare_gate_grad(&q->act[1], n, u, df, u);
	pare_gate_grad(&q->act[0], n, i, tmp, i);
	pare_k_mul(n, dc, c_old, df);
	pare_k_mul(n, dc, f, dc);
	if (q->input_forget)
		memset(f, 0, n * sizeof *f);
	else
		pare_gate_grad(&q->act[0], n, f, df, f);
	if (q->p != NULL) {
		pare_k_acc_mul(n, i, q->p, dc);
		pare_k_acc_mul(n, f, q->p + 2 * n, dc);
	}
	if (g->dp != NULL) {
		pare_k_acc_mul(n, i, c_old, g->dp);
		pare_k_acc_mul(n, o, c, g->dp + n);
		pare_k_acc_mul(n, f, c_old, g->dp + 2 * n);
	}
}

/* Each step_grad: gates become gradients of sums, *dh of the state left becomes that of the state started from, by way of
 * *other, the buffer that is free. */
static void lstm_step_grad(const struct pare_recurrent *q, const struct pare_recurrent_grads *g, int64_t t, const float *dh, float *other)
{
	int64_t n = q->n_hidden;
	struct step s = step_at(q, t);
	float *tmp = g->spare + q->n_rows * n;

	for (int64_t i = 0; i < q->n_rows; i++)
		if (pare_recurrent_counts(q, t, i)) {
			lstm_row_grad(q, g, s.gates + i * 4 * n, s.c_old + i * n, s.c_new + i * n, s.extra + i * n, dh + i * n, g->dc + i * n, tmp);
			memset(other + i * n, 0, (size_t)n * sizeof *other);
		} else {
			memcpy(other + i * n, dh + i * n, (size_t)n * sizeof *other);
		}
	pare_packed_mul(q->n_rows, n, 4 * n, s.gates, 4 * n, q->packed, NULL, other, n, true);
}

static void rnn_step_grad(const struct pare_recurrent *q, const struct pare_recurrent_grads *g, int64_t t, const float *dh, float *other)
{
	int64_t n = q->n_hidden;
	struct step s = step_at(q, t);

	(void)g;
	for (int64_t i = 0; i < q->n_rows; i++)
		if (pare_recurrent_counts(q, t, i)) {
			pare_gate_grad(&q->act[0], (size_t)n, s.gates + i * n, dh + i * n, s.gates + i * n);
			memset(other + i * n, 0, (size_t)n * sizeof *other);
		} else {
			memcpy(other + i * n, dh + i * n, (size_t)n * sizeof *other);
		}
	pare_packed_mul(q->n_rows, n, n, s.gates, n, q->packed, NULL, other, n, true);
}

/* z, r, u and the state's gradient by u and z; r's own gradient waits for that of what it scales. */
PARE_MULTIARCH static void gru_mix_grad(size_t n, const float *restrict z, const float *restrict u, const float *restrict old, const float *restrict dh,
    float *restrict dz, float *restrict du, float *restrict dold)
{
	for (size_t j = 0; j < n; j++) {
		dz[j] = dh[j] * (old[j] - u[j]);
		du[j] = dh[j] * (1.0f - z[j]);
		dold[j] = dh[j] * z[j];
	}
}

static void gru_row_grad(const struct pare_recurrent *q, float *z, const float *old, const float *dh, float *dold, float *tmp)
{
	size_t n = (size_t)q->n_hidden;
	float *u = z + 2 * n, *du = tmp + n;

	gru_mix_grad(n, z, u, old, dh, tmp, du, dold);
	pare_gate_grad(&q->act[0], n, z, tmp, z);
	pare_gate_grad(&q->act[1], n, u, du, u);
}

/* The reset gate, where it scales R's product: extra holds that product and gets its gradient. */
static void gru_late_reset_grad(const struct pare_recurrent *q, const struct step *s, int64_t row, float *tmp)
{
	size_t n = (size_t)q->n_hidden;
	float *r = s->gates + ((size_t)row * 3 + 1) * n, *du = r + n, *product = s->extra + (size_t)row * n;

	pare_k_mul(n, du, product, tmp);
	pare_k_mul(n, du, r, product);
	pare_gate_grad(&q->act[0], n, r, tmp, r);
}

/* Where it scales the state: dscaled is the gradient of r * h. */
static void gru_early_reset_grad(const struct pare_recurrent *q, const struct step *s, int64_t row, float *dscaled, float *dold)
{
	size_t n = (size_t)q->n_hidden, at = (size_t)row * n;
	float *r = s->gates + ((size_t)row * 3 + 1) * n;

	pare_k_acc_mul(n, dscaled, r, dold + at);
	pare_k_mul(n, dscaled, s->h_old + at, dscaled);
	pare_gate_grad(&q->act[0], n, r, dscaled, r);
}

static void gru_step_grad(const struct pare_recurrent *q, const struct pare_recurrent_grads *g, int64_t t, const float *dh, float *other)
{
	int64_t n = q->n_hidden, rows = q->n_rows;
	const float *rh = q->packed + pare_packed_floats(2 * n, n);
	float *tmp = g->spare + rows * n, *scaled = g->spare + 3 * rows * n;
	struct step s = step_at(q, t);

	for (int64_t i = 0; i < rows; i++)
		if (pare_recurrent_counts(q, t, i))
			gru_row_grad(q, s.gates + i * 3 * n, s.h_old + i * n, dh + i * n, other + i * n, tmp);
		else
			memcpy(other + i * n, dh + i * n, (size_t)n * sizeof *other);
	if (!q->linear_before_reset)
		pare_packed_mul(rows, n, n, s.gates + 2 * n, 3 * n, rh, NULL, scaled, n, false);
	for (int64_t i = 0; i < rows; i++)
		if (!pare_recurrent_counts(q, t, i))
			continue;
		else if (q->linear_before_reset)
			gru_late_reset_grad(q, &s, i, tmp);
		else
			gru_early_reset_grad(q, &s, i, scaled + i * n, other);
	pare_packed_mul(rows, n, 2 * n, s.gates, 3 * n, q->packed, NULL, other, n, true);
	if (q->linear_before_reset)
		pare_packed_mul(rows, n, n, s.extra, n, rh, NULL, other, n, true);
}

/* The gradient of what the step put out, where it counts. */
static void add_output_grad(const struct pare_recurrent *q, const struct pare_recurrent_grads *g, int64_t t, float *dh)
{
	size_t n = (size_t)q->n_hidden;
	const float *dy = g->dy + t * g->dy_step;

	if (q->lens == NULL) {
		pare_k_acc((size_t)q->n_rows * n, dy, dh);
		return;
	}
	for (int64_t i = 0; i < q->n_rows; i++)
		if (pare_recurrent_counts(q, t, i))
			pare_k_acc(n, dy + (size_t)i * n, dh + (size_t)i * n);
}

static void bias_grads(const struct pare_recurrent *q, const struct pare_recurrent_grads *g)
{
	size_t n = (size_t)(pare_cell_gates(q->cell) * q->n_hidden), h = (size_t)q->n_hidden, all = (size_t)(q->n_steps * q->n_rows);

	pare_k_col_sum(all, n, q->gates, 1.0f, false, q->row);
	memcpy(q->row + n, q->row, n * sizeof *q->row);
	if (q->cell == PARE_CELL_GRU && q->linear_before_reset)
		pare_k_col_sum(all, h, q->extra, 1.0f, false, q->row + 2 * n - h);
	if (g->acc_b)
		pare_k_acc(2 * n, q->row, g->db);
	else
		memcpy(g->db, q->row, 2 * n * sizeof *q->row);
}

static void input_grads(const struct pare_recurrent *q, const struct pare_recurrent_grads *g)
{
	int64_t width = pare_cell_gates(q->cell) * q->n_hidden, rows = rows_of_x(q);

	if (q->slot != NULL)
		collect_slots(q, width);
	if (g->dw != NULL)
		pare_gemm(true, false, width, q->n_in, rows, 1.0f, q->gates, q->x, g->acc_w ? 1.0f : 0.0f, g->dw);
	if (g->dx != NULL && pare_packing_pays(rows, q->n_in, width)) {
		pare_pack(false, width, q->n_in, q->w, q->packed);
		pare_packed_mul(rows, q->n_in, width, q->gates, width, q->packed, NULL, g->dx, q->n_in, g->acc_x);
	} else if (g->dx != NULL) {
		pare_gemm(false, false, rows, q->n_in, width, 1.0f, q->gates, q->w, g->acc_x ? 1.0f : 0.0f, g->dx);
	}
}

/* The products over all of time; gates are what is left of them. */
static void weight_grads(const struct pare_recurrent *q, const struct pare_recurrent_grads *g)
{
	int64_t h = q->n_hidden, width = pare_cell_gates(q->cell) * h, all = q->n_steps * q->n_rows;
	const float *old = q->h + (q->reverse ? q->n_rows * h : 0);
	float beta = g->acc_r ? 1.0f : 0.0f;

	if (g->dr != NULL && q->cell != PARE_CELL_GRU) {
		pare_gemm(true, false, width, h, all, 1.0f, q->gates, old, beta, g->dr);
	} else if (g->dr != NULL) {
		const float *du = q->linear_before_reset ? q->extra : q->gates + 2 * h, *from = q->linear_before_reset ? old : q->extra;

		pare_gemm_part(true, false, 2 * h, h, all, 1.0f, q->gates, width, old, h, beta, g->dr, h);
		pare_gemm_part(true, false, h, h, all, 1.0f, du, q->linear_before_reset ? h : width, from, h, beta, g->dr + 2 * h * h, h);
	}
	if (g->db != NULL)
		bias_grads(q, g);
	input_grads(q, g);
}

void pare_recurrent_backward(const struct pare_recurrent *q, const struct pare_recurrent_grads *g)
{
	static void (*const step_table[])(const struct pare_recurrent *, const struct pare_recurrent_grads *, int64_t, const float *, float *) = {
	    [PARE_CELL_RNN] = rnn_step_grad, [PARE_CELL_LSTM] = lstm_step_grad, [PARE_CELL_GRU] = gru_step_grad};
	float *dh = g->dh, *other = g->spare;

	pack(q, false, q->packed);
	if (g->dp != NULL && !g->acc_p)
		memset(g->dp, 0, 3 * (size_t)q->n_hidden * sizeof *g->dp);
	for (int64_t i = 0; i < q->n_steps; i++) {
		int64_t t = q->reverse ? i : q->n_steps - 1 - i;
		float *swap = dh;

		if (g->dy != NULL)
			add_output_grad(q, g, t, dh);
		step_table[q->cell](q, g, t, dh, other);
		dh = other;
		other = swap;
	}
	if (dh != g->dh)
		memcpy(g->dh, dh, (size_t)(q->n_rows * q->n_hidden) * sizeof *dh);
	weight_grads(q, g);
}
