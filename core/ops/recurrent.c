/* RNN, LSTM and GRU. This file reads what ONNX says (directions, activations, layouts, inputs that may be left out) and cuts
 * a node into directions; kernels/recurrent.c computes one direction over the whole sequence.
 *
 * Computing is time-major whatever the layout: with layout 1 (batch first) the rows of X and Y are moved on the way in and
 * out, which costs next to nothing beside the products and keeps one kernel. The states of all steps are kept beside
 * Y, because backward needs them also where Y is not wanted, and without gaps between the steps.
 *
 * X that is rows of an embedding table is picked here, by the numbers that would pick it before (pare_op.picking): a row that comes again
 * is multiplied once.
 *
 * The batch is axis 1 (layout 0); every row goes its own way through all steps, so a batch may be cut anywhere. An initial
 * state of one row serves all rows.
 *
 * A hidden unit is a block of rows per gate in W, R, B and P, a column of R and of the initial states, and one index of the
 * last axis of every output. */
#include <string.h>
#include <strings.h>

#include "core/base/num.h"
#include "core/graph/graph_priv.h"
#include "core/ops/kernels/elementwise.h"
#include "core/ops/kernels/recurrent.h"
#include "core/ops/ops_priv.h"

enum { IN_X, IN_W, IN_R, IN_B, IN_LENS, IN_H, IN_C, IN_P, IN_TABLE };
enum { OUT_Y, OUT_H, OUT_C };

struct recurrent_args {
	struct pare_strings activations;
	struct pare_floats alpha, beta;
	float clip;
	struct pare_span direction;
	int64_t hidden_size, input_forget, layout, linear_before_reset;
	/* found by infer */
	enum pare_cell cell;
	int64_t n_dirs;
	bool reverse[2];
	struct pare_gate act[2][3];
	/* by planning: X is rows of a table, which operand X counts, batch first or not (pare_op.pick) */
	bool picked, index_by_row;
};

static const struct gate_row {
	const char *name;
	enum pare_gate_kind kind;
	bool takes_alpha, takes_beta;
	float alpha, beta; /* where none is given */
} gate_table[] = {
    {"Sigmoid", PARE_GATE_SIGMOID, false, false, 0, 0},
    {"Tanh", PARE_GATE_TANH, false, false, 0, 0},
    {"Relu", PARE_GATE_RELU, false, false, 0, 0},
    {"Affine", PARE_GATE_AFFINE, true, true, 1.0f, 0},
    {"LeakyRelu", PARE_GATE_LEAKY_RELU, true, false, 0.01f, 0},
    {"ThresholdedRelu", PARE_GATE_THRESHOLDED_RELU, true, false, 1.0f, 0},
    {"ScaledTanh", PARE_GATE_SCALED_TANH, true, true, 1.0f, 1.0f},
    {"HardSigmoid", PARE_GATE_HARD_SIGMOID, true, true, 0.2f, 0.5f},
    {"Elu", PARE_GATE_ELU, true, false, 1.0f, 0},
    {"Softsign", PARE_GATE_SOFTSIGN, false, false, 0, 0},
    {"Softplus", PARE_GATE_SOFTPLUS, false, false, 0, 0},
};
#define N_GATE_ROWS (sizeof gate_table / sizeof gate_table[0])

/* Names compare without case, as in ONNX Runtime. */
static const struct gate_row *find_gate(struct pare_span name)
{
	for (size_t i = 0; i < N_GATE_ROWS; i++)
		if (name.len == strlen(gate_table[i].name) && strncasecmp((const char *)name.data, gate_table[i].name, name.len) == 0)
			return &gate_table[i];
	return NULL;
}

/* f, g, h of each direction. alpha and beta are consumed in order by the functions that take one. A clip holds what the gates are of; the
 * standard's words (the input of activations) could mean the cell's state before h, too, but ONNX Runtime leaves it as it is. */
static enum pare_code read_activations(const struct pare_infer *c, struct recurrent_args *a, struct pare_err *err)
{
	static const struct {
		int n;
		const char *name[3];
	} default_table[] = {[PARE_CELL_RNN] = {1, {"Tanh"}}, [PARE_CELL_LSTM] = {3, {"Sigmoid", "Tanh", "Tanh"}}, [PARE_CELL_GRU] = {2, {"Sigmoid", "Tanh"}}};
	size_t per_dir = (size_t)default_table[a->cell].n, n = per_dir * (size_t)a->n_dirs, i_alpha = 0, i_beta = 0;

	if (a->activations.v != NULL && a->activations.n != n)
		return pare_err_set(err, PARE_E_MODEL, c->where, "%zu activations; %zu are needed (%zu for each direction)", a->activations.n, n, per_dir);
	for (size_t i = 0; i < n; i++) {
		const char *text = default_table[a->cell].name[i % per_dir];
		struct pare_span name = a->activations.v != NULL ? a->activations.v[i] : (struct pare_span){(const uint8_t *)text, strlen(text)};
		const struct gate_row *row = find_gate(name);
		struct pare_gate *g = &a->act[i / per_dir][i % per_dir];

		if (row == NULL)
			return pare_err_set(err, PARE_E_UNSUPPORTED_OP, c->where, "operator %s is not supported for execution with activation \"%.*s\"",
			    c->node->op_type, (int)(name.len < 40 ? name.len : 40), (const char *)name.data);
		*g = (struct pare_gate){.kind = row->kind, .alpha = row->alpha, .beta = row->beta, .clip = i % per_dir < 2 ? a->clip : 0.0f};
		if (row->takes_alpha && i_alpha < a->alpha.n)
			g->alpha = a->alpha.v[i_alpha++];
		if (row->takes_beta && i_beta < a->beta.n)
			g->beta = a->beta.v[i_beta++];
		if (g->alpha < 0.0f && g->kind != PARE_GATE_AFFINE && g->kind != PARE_GATE_HARD_SIGMOID)
			return pare_err_set(err, PARE_E_UNSUPPORTED, c->where, "activation %s with alpha %g; it must not be negative", row->name, (double)g->alpha);
		pare_gate_prepare(g);
	}
	return PARE_OK;
}

static bool is_text(struct pare_span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static enum pare_code read_direction(const struct pare_infer *c, struct recurrent_args *a, struct pare_err *err)
{
	a->n_dirs = 1;
	if (a->direction.data == NULL || is_text(a->direction, "forward"))
		return PARE_OK;
	if (is_text(a->direction, "bidirectional"))
		a->n_dirs = 2;
	else if (!is_text(a->direction, "reverse"))
		return pare_err_set(err, PARE_E_MODEL, c->where, "direction \"%.*s\"; it is forward, reverse or bidirectional",
		    (int)(a->direction.len < 40 ? a->direction.len : 40), (const char *)a->direction.data);
	a->reverse[a->n_dirs - 1] = true;
	return PARE_OK;
}

/* Input k must have exactly this shape. */
static enum pare_code expect(const struct pare_infer *c, int k, const char *what, const struct pare_shape *want, struct pare_err *err)
{
	char got[PARE_SHAPE_TEXT], text[PARE_SHAPE_TEXT];

	if (!pare_infer_has(c, k) || pare_shape_same(&c->in[k], want))
		return PARE_OK;
	return pare_err_set(err, PARE_E_SHAPE, c->where, "%s (input %d) has shape %s, it must be %s", what, k, pare_shape_text(&c->in[k], got),
	    pare_shape_text(want, text));
}

static int batch_axis(const struct recurrent_args *a)
{
	return a->layout != 0 ? 0 : 1;
}

/* Of X, or of the index that is in its place. */
static bool x_by_row(const struct recurrent_args *a)
{
	return a->picked ? a->index_by_row : a->layout != 0;
}

/* [directions, rows, hidden] of the states, in the layout's order. */
static struct pare_shape state_shape(const struct recurrent_args *a, const struct pare_shape *x, int64_t hidden)
{
	int at = batch_axis(a);
	struct pare_shape s = {.n_dims = 3, .dims = {a->n_dirs, a->n_dirs, hidden}};

	s.dims[at] = x->dims[at];
	s.batch = x->batch;
	return s;
}

static enum pare_code check_state(const struct pare_infer *c, const struct recurrent_args *a, int k, const char *what, const struct pare_shape *state,
    struct pare_err *err)
{
	struct pare_shape one = *state;

	one.dims[batch_axis(a)] = 1;
	one.batch = 0;
	if (pare_infer_has(c, k) && pare_shape_same(&c->in[k], &one))
		return PARE_OK;
	return expect(c, k, what, state, err);
}

static enum pare_code check_inputs(const struct pare_infer *c, const struct recurrent_args *a, int64_t hidden, struct pare_err *err)
{
	const struct pare_shape *x = &c->in[IN_X];
	int64_t width = pare_cell_gates(a->cell) * hidden;
	const struct pare_shape w = {.n_dims = 3, .dims = {a->n_dirs, width, x->dims[2]}}, r = {.n_dims = 3, .dims = {a->n_dirs, width, hidden}},
	    b = {.n_dims = 2, .dims = {a->n_dirs, 2 * width}}, p = {.n_dims = 2, .dims = {a->n_dirs, 3 * hidden}},
	    lens = {.n_dims = 1, .dims = {x->dims[batch_axis(a)]}, .batch = x->batch != 0 ? PARE_BIT(0) : 0}, state = state_shape(a, x, hidden);
	enum pare_code code = expect(c, IN_W, "W", &w, err);

	if (code == PARE_OK)
		code = expect(c, IN_R, "R", &r, err);
	if (code == PARE_OK)
		code = expect(c, IN_B, "B", &b, err);
	if (code == PARE_OK)
		code = expect(c, IN_LENS, "sequence_lens", &lens, err);
	if (code == PARE_OK)
		code = check_state(c, a, IN_H, "initial_h", &state, err);
	if (code == PARE_OK)
		code = check_state(c, a, IN_C, "initial_c", &state, err);
	return code == PARE_OK ? expect(c, IN_P, "P", &p, err) : code;
}

static enum pare_code infer(const struct pare_infer *c, enum pare_cell cell, struct pare_err *err)
{
	struct recurrent_args *a = c->args;
	const struct pare_shape *x = &c->in[IN_X], *r = &c->in[IN_R];
	int64_t hidden, width;
	enum pare_code code;
	char text[PARE_SHAPE_TEXT];

	a->cell = cell;
	code = read_direction(c, a, err);
	if (code == PARE_OK)
		code = read_activations(c, a, err);
	if (code != PARE_OK)
		return code;
	if (x->n_dims != 3 || r->n_dims != 3)
		return pare_infer_mismatch(c, IN_X, IN_R, "X and R must have three dimensions", err);
	if ((x->batch & ~PARE_BIT(batch_axis(a))) != 0)
		return pare_err_set(err, PARE_E_UNSUPPORTED, c->where, "the batch of X, of shape %s, is not its dimension %d; the first dimension of a graph input "
		    "is the batch, so export the model with the batch first", pare_shape_text(x, text), batch_axis(a));
	hidden = a->hidden_size > 0 ? a->hidden_size : r->dims[2];
	if (__builtin_mul_overflow(hidden, 2 * pare_cell_gates(cell), &width) || width > INT32_MAX)
		return pare_err_set(err, PARE_E_LIMIT, c->where, "a hidden size of %lld is too large", (long long)hidden);
	code = check_inputs(c, a, hidden, err);
	if (code != PARE_OK)
		return code;
	c->out[OUT_Y] = (struct pare_shape){.n_dims = 4, .dims = {x->dims[0], a->n_dirs, x->dims[1], hidden}, .batch = x->batch << 1};
	if (a->layout != 0)
		c->out[OUT_Y] = (struct pare_shape){.n_dims = 4, .dims = {x->dims[0], x->dims[1], a->n_dirs, hidden}, .batch = x->batch};
	c->out[OUT_H] = state_shape(a, x, hidden);
	if (cell == PARE_CELL_LSTM)
		c->out[OUT_C] = c->out[OUT_H];
	return PARE_OK;
}

static enum pare_code rnn_infer(const struct pare_infer *c, struct pare_err *err)
{
	return infer(c, PARE_CELL_RNN, err);
}

static enum pare_code lstm_infer(const struct pare_infer *c, struct pare_err *err)
{
	return infer(c, PARE_CELL_LSTM, err);
}

static enum pare_code gru_infer(const struct pare_infer *c, struct pare_err *err)
{
	return infer(c, PARE_CELL_GRU, err);
}

/* A node at run time. */
struct layer {
	const struct recurrent_args *a;
	size_t steps, rows, n_in, hidden, width; /* width: all gates */
	size_t packed;                           /* scratch begins with W or R, packed */
	size_t n_table;                          /* rows of what X is picked from */
};

static struct layer layer_of(const struct pare_run *r)
{
	const struct pare_shape *x = r->in_shape[IN_X];
	struct layer l = {.a = r->args, .n_in = (size_t)r->in_shape[IN_W]->dims[2], .hidden = (size_t)r->in_shape[IN_R]->dims[2]};

	l.steps = (size_t)x->dims[x_by_row(l.a) ? 1 : 0];
	l.rows = (size_t)x->dims[x_by_row(l.a) ? 0 : 1];
	l.n_table = l.a->picked ? (size_t)r->in_shape[IN_TABLE]->dims[0] : 0;
	l.width = (size_t)pare_cell_gates(l.a->cell) * l.hidden;
	l.packed = pare_recurrent_packed(l.a->cell, (int64_t)l.n_in, (int64_t)l.hidden);
	return l;
}

/* What one direction keeps from forward to backward. */
static size_t kept_floats(const struct layer *l)
{
	size_t block = l->rows * l->hidden, n = l->steps * l->rows * l->width + (l->steps + 1) * block;

	if (l->a->cell == PARE_CELL_LSTM)
		n += (l->steps + 1) * block;
	return l->a->cell == PARE_CELL_RNN ? n : n + l->steps * block;
}

static size_t recurrent_state(const struct pare_run *r)
{
	struct layer l = layer_of(r);

	return (size_t)l.a->n_dirs * kept_floats(&l);
}

/* Rows of X that are picked: each once, in the order in which they come first. */
struct picks {
	uint32_t *slot; /* [steps, rows]: which of them */
	uint32_t *row;  /* of the table, by slot */
	uint32_t n;
};

/* Floats of scratch, which begins with them, whole cache lines: slots, rows, and by row of the table its slot. */
static size_t picks_floats(const struct layer *l)
{
	return l->a->picked ? (2 * l->steps * l->rows + l->n_table + 15) / 16 * 16 : 0;
}

/* Forward: what is kept where nobody keeps it, and X by time. Backward: gradients of states, and X and its gradient and Y's
 * by time. */
static size_t recurrent_scratch(const struct pare_run *r)
{
	struct layer l = layer_of(r);
	size_t x = l.a->layout != 0 || l.a->picked ? l.steps * l.rows * l.n_in : 0, y = l.a->layout != 0 ? l.steps * l.rows * l.hidden : 0;
	size_t forward = recurrent_state(r) + x, backward = 6 * l.rows * l.hidden + 2 * x + y;

	return picks_floats(&l) + l.packed + 2 * l.width + (forward > backward ? forward : backward);
}

static const float *optional(const struct pare_run *r, int k)
{
	return k < r->n_in ? r->in[k] : NULL;
}

static float *optional_grad(const struct pare_run *r, int k)
{
	return k < r->n_in ? r->grad_in[k] : NULL;
}

static float *optional_out(const struct pare_run *r, int k)
{
	return k < r->n_out ? r->out[k] : NULL;
}

/* Rows between [outer, inner] and [inner, outer] order. */
static void swap_rows(size_t outer, size_t inner, size_t n, const float *from, bool acc, float *to)
{
	for (size_t i = 0; i < outer; i++)
		for (size_t j = 0; j < inner; j++, from += n) {
			float *row = to + (j * outer + i) * n;

			if (acc)
				pare_k_acc(n, from, row);
			else
				memcpy(row, from, n * sizeof *row);
		}
}

/* Numbers the rows that are picked, and copies each to x[n, n_in]. What stands in slot_of for rows that have not come yet is anything, and clearing it
 * would take longer than all else with a large table: it is believed where the slot says the same. */
static struct picks pick_rows(const struct pare_run *r, const struct layer *l, float *x)
{
	size_t all = l->steps * l->rows;
	uint32_t *slot_of = (uint32_t *)(void *)r->scratch; /* by row of the table */
	struct picks p = {.slot = slot_of + l->n_table, .row = slot_of + l->n_table + all};

	for (size_t t = 0, at = 0; t < l->steps; t++)
		for (size_t i = 0; i < l->rows; i++, at++) {
			size_t row = (size_t)pare_pick_index(r->in[IN_X][l->a->index_by_row ? i * l->steps + t : at], (int64_t)l->n_table);

			if (slot_of[row] >= p.n || p.row[slot_of[row]] != row) {
				memcpy(x + p.n * l->n_in, r->in[IN_TABLE] + row * l->n_in, l->n_in * sizeof *x);
				p.row[p.n] = (uint32_t)row;
				slot_of[row] = p.n++;
			}
			p.slot[at] = slot_of[row];
		}
	return p;
}

/* X by time, in its own memory or in spare; or what is picked of it. */
static const float *load_x(const struct pare_run *r, const struct layer *l, float *spare, struct picks *picks)
{
	if (l->a->picked)
		*picks = pick_rows(r, l, spare);
	else if (l->a->layout != 0)
		swap_rows(l->rows, l->steps, l->n_in, r->in[IN_X], false, spare);
	else
		return r->in[IN_X];
	return spare;
}

/* Direction d: its weights and its part of the memory that is kept. */
static struct pare_recurrent direction(const struct pare_run *r, const struct layer *l, int64_t d, const float *x, const struct picks *picks, float *kept, float *row)
{
	size_t at = (size_t)d, block = l->rows * l->hidden;
	struct pare_recurrent q = {.cell = l->a->cell, .reverse = l->a->reverse[d], .input_forget = l->a->input_forget != 0,
	    .linear_before_reset = l->a->linear_before_reset != 0, .n_steps = (int64_t)l->steps, .n_rows = (int64_t)l->rows,
	    .n_in = (int64_t)l->n_in, .n_hidden = (int64_t)l->hidden, .w = r->in[IN_W] + at * l->width * l->n_in,
	    .r = r->in[IN_R] + at * l->width * l->hidden, .lens = optional(r, IN_LENS), .x = x, .slot = picks->slot, .n_distinct = picks->n, .row = row,
	    .packed = r->scratch + picks_floats(l)};

	if (r->prepared != NULL)
		q.prepared = r->prepared + at * pare_recurrent_prepared(q.cell, q.n_in, q.n_hidden);

	memcpy(q.act, l->a->act[d], sizeof q.act);
	if (optional(r, IN_B) != NULL)
		q.b = r->in[IN_B] + at * 2 * l->width;
	if (optional(r, IN_P) != NULL)
		q.p = r->in[IN_P] + at * 3 * l->hidden;
	q.gates = kept + at * kept_floats(l);
	q.h = q.gates + l->steps * l->rows * l->width;
	kept = q.h + (l->steps + 1) * block;
	if (q.cell == PARE_CELL_LSTM) {
		q.c = kept;
		kept += (l->steps + 1) * block;
	}
	q.extra = q.cell == PARE_CELL_RNN ? NULL : kept;
	return q;
}

/* W and R are packed once where they stay. */
static size_t recurrent_prepared(const struct pare_run *r)
{
	struct layer l = layer_of(r);

	return (size_t)l.a->n_dirs * pare_recurrent_prepared(l.a->cell, (int64_t)l.n_in, (int64_t)l.hidden);
}

static void recurrent_prepare(const struct pare_run *r, float *to)
{
	struct layer l = layer_of(r);

	for (int64_t d = 0; d < l.a->n_dirs; d++) {
		size_t at = (size_t)d;
		struct pare_recurrent q = {.cell = l.a->cell, .n_in = (int64_t)l.n_in, .n_hidden = (int64_t)l.hidden, .w = r->in[IN_W] + at * l.width * l.n_in,
		    .r = r->in[IN_R] + at * l.width * l.hidden};

		pare_recurrent_prepare(&q, to + at * pare_recurrent_prepared(q.cell, q.n_in, q.n_hidden));
	}
}

/* Where row i of direction d stands in a state tensor of that many rows. */
static size_t state_at(const struct layer *l, size_t d, size_t i, size_t rows)
{
	return (l->a->layout != 0 ? i * (size_t)l->a->n_dirs + d : d * rows + i) * l->hidden;
}

static size_t state_rows(const struct pare_run *r, int k)
{
	const struct recurrent_args *a = r->args;

	return (size_t)r->in_shape[k]->dims[batch_axis(a)];
}

/* Initial state, input k, into to[rows, hidden]. */
static void load_state(const struct pare_run *r, const struct layer *l, size_t d, int k, float *to)
{
	const float *from = optional(r, k);
	size_t rows = from != NULL ? state_rows(r, k) : 0;

	for (size_t i = 0; i < l->rows; i++, to += l->hidden)
		if (from != NULL)
			memcpy(to, from + state_at(l, d, rows == 1 ? 0 : i, rows), l->hidden * sizeof *to);
		else
			memset(to, 0, l->hidden * sizeof *to);
}

static void store_state(const struct layer *l, size_t d, const float *from, float *out)
{
	for (size_t i = 0; out != NULL && i < l->rows; i++)
		memcpy(out + state_at(l, d, i, l->rows), from + i * l->hidden, l->hidden * sizeof *out);
}

/* Where the output of step t of row i of direction d stands in Y. */
static size_t output_at(const struct layer *l, size_t d, size_t t, size_t i)
{
	size_t n_dirs = (size_t)l->a->n_dirs;

	return (l->a->layout != 0 ? (i * l->steps + t) * n_dirs + d : (t * n_dirs + d) * l->rows + i) * l->hidden;
}

static void store_output(const struct layer *l, size_t d, const struct pare_recurrent *q, float *y)
{
	const float *h = q->h + (q->reverse ? 0 : l->rows * l->hidden);

	for (size_t t = 0; y != NULL && t < l->steps; t++)
		for (size_t i = 0; i < l->rows; i++, h += l->hidden)
			if (pare_recurrent_counts(q, (int64_t)t, (int64_t)i))
				memcpy(y + output_at(l, d, t, i), h, l->hidden * sizeof *y);
			else
				memset(y + output_at(l, d, t, i), 0, l->hidden * sizeof *y);
}

static void recurrent_forward(const struct pare_run *r)
{
	struct layer l = layer_of(r);
	size_t block = l.rows * l.hidden;
	float *row = r->scratch + picks_floats(&l) + l.packed, *by_time = row + 2 * l.width, *kept = r->state;
	struct picks picks = {.slot = NULL};
	const float *x;

	if (kept == NULL) {
		kept = by_time;
		by_time += recurrent_state(r);
	}
	x = load_x(r, &l, by_time, &picks);
	for (int64_t d = 0; d < l.a->n_dirs; d++) {
		struct pare_recurrent q = direction(r, &l, d, x, &picks, kept, row);
		size_t first = (size_t)pare_recurrent_first(&q) * block, last = (size_t)pare_recurrent_last(&q) * block;

		load_state(r, &l, (size_t)d, IN_H, q.h + first);
		if (q.c != NULL)
			load_state(r, &l, (size_t)d, IN_C, q.c + first);
		pare_recurrent_forward(&q);
		store_output(&l, (size_t)d, &q, optional_out(r, OUT_Y));
		store_state(&l, (size_t)d, q.h + last, optional_out(r, OUT_H));
		if (q.c != NULL)
			store_state(&l, (size_t)d, q.c + last, optional_out(r, OUT_C));
	}
}

/* Gradient of the last state, output k, or zeros. */
static void load_state_grad(const struct pare_run *r, const struct layer *l, size_t d, int k, float *to)
{
	const float *from = k < r->n_out ? r->grad_out[k] : NULL;

	for (size_t i = 0; i < l->rows; i++, to += l->hidden)
		if (from != NULL)
			memcpy(to, from + state_at(l, d, i, l->rows), l->hidden * sizeof *to);
		else
			memset(to, 0, l->hidden * sizeof *to);
}

/* Gradient of the initial state, input k: a state of one row gets the sum of all. */
static void store_state_grad(const struct pare_run *r, const struct layer *l, size_t d, int k, const float *from)
{
	float *to = optional_grad(r, k);
	size_t rows = to != NULL ? state_rows(r, k) : 0;

	for (size_t i = 0; to != NULL && i < l->rows; i++) {
		float *at = to + state_at(l, d, rows == 1 ? 0 : i, rows);

		if (r->accumulate[k] || (rows == 1 && i > 0))
			pare_k_acc(l->hidden, from + i * l->hidden, at);
		else
			memcpy(at, from + i * l->hidden, l->hidden * sizeof *at);
	}
}

static void gather_output_grad(const struct layer *l, size_t d, const float *dy, float *to)
{
	for (size_t t = 0; t < l->steps; t++)
		for (size_t i = 0; i < l->rows; i++, to += l->hidden)
			memcpy(to, dy + output_at(l, d, t, i), l->hidden * sizeof *to);
}

/* The gradients that direction d writes. */
static struct pare_recurrent_grads grads_of(const struct pare_run *r, const struct layer *l, int64_t d)
{
	size_t at = (size_t)d;
	struct pare_recurrent_grads g = {.dw = r->grad_in[IN_W], .dr = r->grad_in[IN_R], .db = optional_grad(r, IN_B), .dp = optional_grad(r, IN_P),
	    .acc_w = r->accumulate[IN_W], .acc_r = r->accumulate[IN_R]};

	if (g.dw != NULL)
		g.dw += at * l->width * l->n_in;
	if (g.dr != NULL)
		g.dr += at * l->width * l->hidden;
	if (g.db != NULL) {
		g.db += at * 2 * l->width;
		g.acc_b = r->accumulate[IN_B];
	}
	if (g.dp != NULL) {
		g.dp += at * 3 * l->hidden;
		g.acc_p = r->accumulate[IN_P];
	}
	return g;
}

/* Scratch of backward, cut up. */
struct backward_memory {
	float *row, *dh, *dc, *spare, *dy, *x, *dx;
};

static struct backward_memory backward_memory(const struct layer *l, float *scratch)
{
	size_t block = l->rows * l->hidden;
	struct backward_memory m = {.row = scratch, .dh = scratch + 2 * l->width};

	m.dc = m.dh + block;
	m.spare = m.dc + block;
	m.dy = m.spare + 4 * block;
	m.x = m.dy + (l->a->layout != 0 ? l->steps * block : 0);
	m.dx = m.x + l->steps * l->rows * l->n_in;
	return m;
}

/* dx, of the rows that were picked, to their rows of the table's gradient. */
static void add_to_table(const struct pare_run *r, const struct layer *l, const struct picks *picks, const float *dx)
{
	float *to = r->grad_in[IN_TABLE];

	if (!r->accumulate[IN_TABLE])
		memset(to, 0, l->n_table * l->n_in * sizeof *to);
	for (uint32_t i = 0; i < picks->n; i++)
		pare_k_acc(l->n_in, dx + i * l->n_in, to + picks->row[i] * l->n_in);
}

static void recurrent_backward(const struct pare_run *r)
{
	struct layer l = layer_of(r);
	struct backward_memory m = backward_memory(&l, r->scratch + picks_floats(&l) + l.packed);
	struct picks picks = {.slot = NULL};
	const float *x = load_x(r, &l, m.x, &picks), *dy = r->grad_out[OUT_Y];
	bool by_row = l.a->layout != 0, moved = by_row || l.a->picked;
	int to = l.a->picked ? IN_TABLE : IN_X;
	float *dx = r->grad_in[to];

	for (int64_t d = 0; d < l.a->n_dirs; d++) {
		struct pare_recurrent q = direction(r, &l, d, x, &picks, r->state, m.row);
		struct pare_recurrent_grads g = grads_of(r, &l, d);

		g.dh = m.dh;
		g.dc = m.dc;
		g.spare = m.spare;
		g.dx = dx != NULL && moved ? m.dx : dx;
		g.acc_x = d > 0 || (!moved && r->accumulate[to]);
		if (dy != NULL && by_row)
			gather_output_grad(&l, (size_t)d, dy, m.dy);
		if (dy != NULL) {
			g.dy = by_row ? m.dy : dy + (size_t)d * l.rows * l.hidden;
			g.dy_step = (int64_t)(l.rows * l.hidden) * (by_row ? 1 : l.a->n_dirs);
		}
		load_state_grad(r, &l, (size_t)d, OUT_H, m.dh);
		load_state_grad(r, &l, (size_t)d, OUT_C, m.dc);
		pare_recurrent_backward(&q, &g);
		store_state_grad(r, &l, (size_t)d, IN_H, m.dh);
		store_state_grad(r, &l, (size_t)d, IN_C, m.dc);
	}
	if (dx != NULL && l.a->picked)
		add_to_table(r, &l, &picks, m.dx);
	else if (dx != NULL && by_row)
		swap_rows(l.steps, l.rows, l.n_in, m.dx, r->accumulate[IN_X], dx);
}

static bool has(const struct pare_node_view *v, int operand)
{
	return operand >= PARE_OUT(0) ? operand - PARE_OUT(0) < v->n_out && v->out[operand - PARE_OUT(0)] != NULL : operand < v->n_in && v->in[operand] != NULL;
}

static void tie(const struct pare_node_view *v, struct pare_ties *t, struct pare_tie e)
{
	if (has(v, e.a) && has(v, e.b))
		pare_tie_add(t, e);
}

/* Everything hangs on R, which is always there: hidden unit i is its column i, and index i of axis `axis` of each of
 * `blocks` blocks of an input. */
static void tie_units(const struct pare_node_view *v, struct pare_ties *t, int in, int axis, int64_t blocks)
{
	tie(v, t, (struct pare_tie){.kind = PARE_TIE_SPREAD, .a = IN_R, .a_axis = 2, .b = in, .b_axis = axis, .outer = blocks, .inner = 1});
}

/* Rows of the batch, from every input that has them to one output. */
static void tie_rows(const struct pare_node_view *v, struct pare_ties *t, int out, int axis)
{
	const struct recurrent_args *a = v->args;
	int at = batch_axis(a);

	tie(v, t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = IN_X, .a_axis = x_by_row(a) ? 0 : 1, .b = out, .b_axis = axis});
	tie(v, t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = IN_LENS, .a_axis = 0, .b = out, .b_axis = axis});
	for (int k = IN_H; k <= IN_C; k++)
		if (has(v, k) && (v->in[k]->dims[at] != 1 || v->in[k]->batch != 0))
			tie(v, t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = k, .a_axis = at, .b = out, .b_axis = axis});
}

static void recurrent_couple(const struct pare_node_view *v, struct pare_ties *t)
{
	const struct recurrent_args *a = v->args;
	int64_t gates = pare_cell_gates(a->cell);
	int at = batch_axis(a), y_batch = a->layout != 0 ? 0 : 2, y_step = a->layout != 0 ? 1 : 0, x_step = x_by_row(a) ? 1 : 0;
	const struct {
		int operand, dir_axis, unit_axis; /* unit_axis -1: units are tied elsewhere */
	} part_table[] = {
	    {PARE_OUT(OUT_Y), a->layout != 0 ? 2 : 1, 3}, {PARE_OUT(OUT_H), 1 - at, 2}, {PARE_OUT(OUT_C), 1 - at, 2}, {IN_H, 1 - at, 2}, {IN_C, 1 - at, 2},
	    {IN_W, 0, -1}, {IN_B, 0, -1}, {IN_P, 0, -1},
	};

	tie_rows(v, t, PARE_OUT(OUT_Y), y_batch);
	tie_rows(v, t, PARE_OUT(OUT_H), at);
	tie_rows(v, t, PARE_OUT(OUT_C), at);
	tie(v, t, (struct pare_tie){.kind = PARE_TIE_MIX, .a = IN_X, .a_axis = x_step, .b = has(v, PARE_OUT(OUT_Y)) ? PARE_OUT(OUT_Y) : IN_X,
	    .b_axis = has(v, PARE_OUT(OUT_Y)) ? y_step : x_step});
	tie(v, t, (struct pare_tie){.kind = PARE_TIE_CONTRACT, .a = a->picked ? IN_TABLE : IN_X, .a_axis = a->picked ? 1 : 2, .b = IN_W, .b_axis = 2});
	tie_units(v, t, IN_R, 1, gates);
	tie_units(v, t, IN_W, 1, gates);
	tie_units(v, t, IN_B, 1, 2 * gates);
	tie_units(v, t, IN_P, 1, 3);
	for (size_t i = 0; i < sizeof part_table / sizeof part_table[0]; i++) {
		int k = part_table[i].operand;

		tie(v, t, (struct pare_tie){.kind = PARE_TIE_MIX, .a = k, .a_axis = part_table[i].dir_axis, .b = IN_R, .b_axis = 0});
		if (part_table[i].unit_axis >= 0)
			tie(v, t, (struct pare_tie){.kind = PARE_TIE_SAME, .a = k, .a_axis = part_table[i].unit_axis, .b = IN_R, .b_axis = 2});
	}
}

static void recurrent_resize(const struct pare_resize *r)
{
	r->set_attr(r, "hidden_size", &r->in[IN_R]->dims[2], 1);
}

static int64_t recurrent_macs(const struct pare_node_view *v)
{
	const struct recurrent_args *a = v->args;
	const struct pare_shape *x = v->in[IN_X], *w = v->in[IN_W], *r = v->in[IN_R];

	return x->dims[0] * x->dims[1] * a->n_dirs * r->dims[1] * (w->dims[2] + r->dims[2]);
}

static void recurrent_pick(void *args, bool turned)
{
	struct recurrent_args *a = args;

	a->picked = true;
	a->index_by_row = (a->layout != 0) != turned;
}

#define ARG(name_, kind_, member) {.name = name_, .kind = kind_, .offset = offsetof(struct recurrent_args, member)}
#define FLAG(name_, member) {.name = name_, .kind = PARE_ARG_INT, .offset = offsetof(struct recurrent_args, member), .min = 0, .max = 1}
#define COMMON_ARGS \
	ARG("activations", PARE_ARG_STRINGS, activations), ARG("activation_alpha", PARE_ARG_FLOATS, alpha), ARG("activation_beta", PARE_ARG_FLOATS, beta), \
	ARG("clip", PARE_ARG_FLOAT, clip), ARG("direction", PARE_ARG_STRING, direction), ARG("hidden_size", PARE_ARG_INT, hidden_size), FLAG("layout", layout)

static const struct pare_arg_spec rnn_arg_table[] = {COMMON_ARGS, {.name = NULL}};
static const struct pare_arg_spec lstm_arg_table[] = {COMMON_ARGS, FLAG("input_forget", input_forget), {.name = NULL}};
static const struct pare_arg_spec gru_arg_table[] = {COMMON_ARGS, FLAG("linear_before_reset", linear_before_reset), {.name = NULL}};

#define ROW .domain = "", .since = PARE_OPSET_MIN, .until = PARE_OPSET_MAX, .min_in = 3, .min_out = 0, .args_size = sizeof(struct recurrent_args), \
	.weight_in = PARE_BIT(IN_W) | PARE_BIT(IN_R), \
	.grad_uses_in = PARE_BIT(IN_X) | PARE_BIT(IN_W) | PARE_BIT(IN_R) | PARE_BIT(IN_LENS) | PARE_BIT(IN_P) | PARE_BIT(IN_TABLE), \
	.scratch = recurrent_scratch, .state = recurrent_state, .forward = recurrent_forward, .backward = recurrent_backward, .couple = recurrent_couple, \
	.prepare_in = PARE_BIT(IN_W) | PARE_BIT(IN_R), .prepared = recurrent_prepared, .prepare = recurrent_prepare, .resize = recurrent_resize, \
	.macs = recurrent_macs
#define OF_FILES .any_dtype_in = PARE_BIT(IN_LENS), .picking = &picked, .pick_table = IN_TABLE, .pick = recurrent_pick

/* X is rows of a table: operand X picks them (pare_op.pick). */
static const struct pare_op picked = {ROW, .name = "RNN, LSTM or GRU over picked rows", .max_in = IN_TABLE + 1, .max_out = 3,
    .any_dtype_in = PARE_BIT(IN_X) | PARE_BIT(IN_LENS)};

const struct pare_op pare_op_recurrent_table[] = {
    {ROW, OF_FILES, .name = "RNN", .max_in = 6, .max_out = 2, .args = rnn_arg_table, .infer = rnn_infer},
    {ROW, OF_FILES, .name = "LSTM", .max_in = 8, .max_out = 3, .args = lstm_arg_table, .infer = lstm_infer},
    {ROW, OF_FILES, .name = "GRU", .max_in = 6, .max_out = 2, .args = gru_arg_table, .infer = gru_infer},
    {.name = NULL},
};
