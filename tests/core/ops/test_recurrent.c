/* RNN, LSTM and GRU against the equations of ONNX's operator pages, written down once more below in double, one number at
 * a time; gradients of every input against differences; batches cut into shards; ties; messages.
 *
 * A case either has x as the graph's input (ROWS rows, batch first, moved to the layout by Transpose) with one initial state for all
 * rows, or everything as initializers, so that x and a state for each row get gradients, too. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/ops/ops_priv.h"
#include "tests/support/net_check.h"

#define ROWS 3
#define STEPS 4
#define WIDTH 3
#define HIDDEN 5
#define MAX_GATES 4
#define MAX_ELEMS 1024
#define CURVED 3e-3
#define STEP 0.015625

enum { BIAS = 1, LENS = 2, STATES = 4, PEEPHOLES = 8, FORGET = 16, LATE_RESET = 32, NO_Y = 64 };

struct recurrent_case {
	const char *op;
	const char *direction; /* NULL: forward, and the attribute left out */
	int layout;
	bool fixed; /* everything an initializer */
	unsigned parts;
	float clip;
	const char *acts[6]; /* NULL: the defaults */
	float alpha[3], beta[3];
	int n_alpha, n_beta;
	double gradient; /* bound; 0: not checked (the function has corners) */
};

#define ALL (BIAS | LENS | STATES)

static const struct recurrent_case case_table[] = {
    {.op = "RNN", .gradient = CURVED},
    {.op = "RNN", .direction = "reverse", .parts = BIAS | STATES, .gradient = CURVED},
    {.op = "RNN", .direction = "bidirectional", .parts = ALL, .gradient = CURVED},
    {.op = "RNN", .direction = "bidirectional", .parts = ALL, .fixed = true, .gradient = CURVED},
    {.op = "RNN", .direction = "bidirectional", .layout = 1, .parts = ALL, .fixed = true, .gradient = CURVED},
    {.op = "RNN", .direction = "forward", .layout = 1, .parts = NO_Y | BIAS, .gradient = CURVED},
    {.op = "RNN", .acts = {"Relu"}, .parts = BIAS},
    {.op = "RNN", .acts = {"softsign"}, .parts = BIAS},
    {.op = "RNN", .acts = {"Softplus"}, .parts = BIAS, .gradient = CURVED},
    {.op = "RNN", .acts = {"Affine"}, .alpha = {0.5f}, .beta = {0.25f}, .n_alpha = 1, .n_beta = 1, .parts = BIAS, .gradient = CURVED},
    {.op = "RNN", .acts = {"ScaledTanh"}, .alpha = {0.75f}, .beta = {1.25f}, .n_alpha = 1, .n_beta = 1, .parts = BIAS, .gradient = CURVED},
    {.op = "RNN", .acts = {"LeakyRelu"}, .alpha = {0.125f}, .n_alpha = 1, .parts = BIAS},
    {.op = "RNN", .acts = {"ThresholdedRelu"}, .alpha = {0.375f}, .n_alpha = 1, .parts = BIAS},
    {.op = "RNN", .acts = {"Elu"}, .parts = BIAS},
    {.op = "RNN", .acts = {"HardSigmoid"}, .alpha = {0.0625f}, .beta = {0.5f}, .n_alpha = 1, .n_beta = 1, .parts = BIAS, .gradient = CURVED},
    {.op = "RNN", .direction = "bidirectional", .acts = {"HardSigmoid", "Affine"}, .alpha = {0.03125f, 0.5f}, .n_alpha = 2, .parts = BIAS, .gradient = CURVED},
    {.op = "RNN", .clip = 0.5f, .parts = BIAS},
    {.op = "LSTM", .gradient = CURVED},
    {.op = "LSTM", .direction = "reverse", .parts = BIAS | STATES, .gradient = CURVED},
    {.op = "LSTM", .direction = "bidirectional", .parts = ALL | PEEPHOLES, .gradient = CURVED},
    {.op = "LSTM", .direction = "bidirectional", .parts = ALL | PEEPHOLES, .fixed = true, .gradient = CURVED},
    {.op = "LSTM", .direction = "bidirectional", .layout = 1, .parts = ALL | PEEPHOLES, .fixed = true, .gradient = CURVED},
    {.op = "LSTM", .layout = 1, .parts = ALL, .gradient = CURVED},
    {.op = "LSTM", .parts = BIAS | NO_Y, .fixed = true, .gradient = CURVED},
    {.op = "LSTM", .parts = BIAS | FORGET | STATES, .fixed = true, .gradient = CURVED},
    {.op = "LSTM", .direction = "reverse", .parts = BIAS | FORGET | PEEPHOLES, .gradient = CURVED},
    {.op = "LSTM", .clip = 0.375f, .parts = BIAS},
    {.op = "LSTM", .direction = "bidirectional", .acts = {"HardSigmoid", "Tanh", "Softsign", "Sigmoid", "Elu", "ScaledTanh"}, .alpha = {0.0625f}, .n_alpha = 1, .parts = BIAS},
    {.op = "GRU", .gradient = CURVED},
    {.op = "GRU", .direction = "reverse", .parts = BIAS | STATES, .gradient = CURVED},
    {.op = "GRU", .direction = "bidirectional", .parts = ALL, .gradient = CURVED},
    {.op = "GRU", .direction = "bidirectional", .parts = ALL, .fixed = true, .gradient = CURVED},
    {.op = "GRU", .direction = "bidirectional", .layout = 1, .parts = ALL, .fixed = true, .gradient = CURVED},
    {.op = "GRU", .parts = LATE_RESET, .gradient = CURVED},
    {.op = "GRU", .direction = "bidirectional", .parts = ALL | LATE_RESET, .fixed = true, .gradient = CURVED},
    {.op = "GRU", .direction = "bidirectional", .layout = 1, .parts = ALL | LATE_RESET, .gradient = CURVED},
    {.op = "GRU", .parts = BIAS | LATE_RESET | NO_Y, .gradient = CURVED},
    {.op = "GRU", .acts = {"Softplus", "Affine"}, .alpha = {0.5f}, .beta = {0.125f}, .n_alpha = 1, .n_beta = 1, .parts = BIAS, .gradient = CURVED},
    {.op = "GRU", .clip = 0.5f, .parts = BIAS | LATE_RESET},
};
#define N_CASES (sizeof case_table / sizeof case_table[0])

struct built {
	struct gb *b;
	int n_gates, n_dirs, n_state_rows;
	float x[ROWS * STEPS * WIDTH], w[2 * MAX_GATES * HIDDEN * WIDTH], r[2 * MAX_GATES * HIDDEN * HIDDEN], bias[2 * 2 * MAX_GATES * HIDDEN], lens[ROWS],
	    h[2 * ROWS * HIDDEN], c[2 * ROWS * HIDDEN], p[2 * 3 * HIDDEN];
	const float *inputs[2];
};

static bool is(const struct recurrent_case *c, const char *op)
{
	return strcmp(c->op, op) == 0;
}

static void init(struct built *t, const char *name, float *data, uint64_t seed, const char *shape_fmt, int a, int b, int d)
{
	char shape[64];
	size_t n = (size_t)a * (size_t)b * (size_t)(d > 0 ? d : 1);

	nc_fill(data, n, seed);
	(void)snprintf(shape, sizeof shape, shape_fmt, a, b, d);
	gb_init(t->b, name, shape, data);
}

/* x, as the node reads it, under the name X. */
static void add_x(const struct recurrent_case *c, struct built *t)
{
	static const int64_t by_time[] = {1, 0, 2};

	nc_fill(t->x, ROWS * STEPS * WIDTH, 1);
	if (c->fixed) {
		char shape[32];

		(void)snprintf(shape, sizeof shape, "%d %d %d", c->layout != 0 ? ROWS : STEPS, c->layout != 0 ? STEPS : ROWS, WIDTH);
		gb_init(t->b, "X", shape, t->x);
		return;
	}
	gb_input(t->b, c->layout != 0 ? "X" : "x", "N 4 3");
	t->inputs[0] = t->x;
	if (c->layout == 0) {
		gb_node(t->b, "Transpose", "by time", "x", "X");
		gb_attr_ints(t->b, "perm", by_time, 3);
	}
}

static void add_lens(const struct recurrent_case *c, struct built *t)
{
	static const int32_t lens[ROWS] = {2, 4, 1};

	for (int i = 0; i < ROWS; i++)
		t->lens[i] = (c->parts & LENS) != 0 ? (float)lens[i] : STEPS;
	if ((c->parts & LENS) == 0)
		return;
	if (c->fixed) {
		gb_init_bytes(t->b, "lens", "3", PARE_DT_INT32, lens, sizeof lens);
		return;
	}
	gb_input_typed(t->b, "lens", "N", PARE_DT_INT32);
	t->inputs[1] = t->lens;
}

/* An output with the batch first, as a graph output has to have it to be cut. */
static void add_output(const struct recurrent_case *c, struct built *t, const char *from, const char *name, bool is_state)
{
	static const int64_t y_perm[] = {2, 0, 1, 3}, state_perm[] = {1, 0, 2};

	gb_node(t->b, "Transpose", name, from, name);
	if (c->layout == 0)
		gb_attr_ints(t->b, "perm", is_state ? state_perm : y_perm, is_state ? 3 : 4);
	else
		gb_attr_ints(t->b, "perm", (const int64_t[]){0, 1, 2, 3}, is_state ? 3 : 4);
	gb_output(t->b, name);
}

static void add_attrs(const struct recurrent_case *c, struct built *t)
{
	size_t n_acts = 0;

	gb_attr_int(t->b, "hidden_size", HIDDEN);
	if (c->direction != NULL)
		gb_attr_string(t->b, "direction", c->direction);
	if (c->layout != 0)
		gb_attr_int(t->b, "layout", 1);
	if (c->clip > 0.0f)
		gb_attr_float(t->b, "clip", c->clip);
	while (n_acts < 6 && c->acts[n_acts] != NULL)
		n_acts++;
	if (n_acts > 0)
		gb_attr_strings(t->b, "activations", c->acts, n_acts);
	if (c->n_alpha > 0)
		gb_attr_floats(t->b, "activation_alpha", c->alpha, (size_t)c->n_alpha);
	if (c->n_beta > 0)
		gb_attr_floats(t->b, "activation_beta", c->beta, (size_t)c->n_beta);
	if (c->parts & FORGET)
		gb_attr_int(t->b, "input_forget", 1);
	if (c->parts & LATE_RESET)
		gb_attr_int(t->b, "linear_before_reset", 1);
}

static void build(const struct recurrent_case *c, struct built *t)
{
	bool lstm = is(c, "LSTM"), states = (c->parts & STATES) != 0;
	const char *state_fmt = c->layout != 0 ? "%2$d %1$d %3$d" : "%d %d %d";
	char in[64];
	int width;

	memset(t, 0, sizeof *t);
	t->b = gb_new(14);
	t->n_gates = lstm ? 4 : is(c, "GRU") ? 3 : 1;
	t->n_dirs = c->direction != NULL && strcmp(c->direction, "bidirectional") == 0 ? 2 : 1;
	t->n_state_rows = c->fixed ? ROWS : 1;
	width = t->n_gates * HIDDEN;
	add_x(c, t);
	add_lens(c, t);
	init(t, "W", t->w, 2, "%d %d %d", t->n_dirs, width, WIDTH);
	init(t, "R", t->r, 3, "%d %d %d", t->n_dirs, width, HIDDEN);
	if (c->parts & BIAS)
		init(t, "B", t->bias, 4, "%d %d", t->n_dirs, 2 * width, 0);
	if (states)
		init(t, "H", t->h, 5, state_fmt, t->n_dirs, t->n_state_rows, HIDDEN);
	if (states && lstm)
		init(t, "C", t->c, 6, state_fmt, t->n_dirs, t->n_state_rows, HIDDEN);
	if (c->parts & PEEPHOLES)
		init(t, "P", t->p, 7, "%d %d", t->n_dirs, 3 * HIDDEN, 0);
	(void)snprintf(in, sizeof in, "X W R %s %s %s%s%s", c->parts & BIAS ? "B" : "-", c->parts & LENS ? "lens" : "-", states ? "H" : "-",
	    lstm ? (states ? " C" : " -") : "", c->parts & PEEPHOLES ? " P" : "");
	gb_node(t->b, c->op, "node", in, c->parts & NO_Y ? (lstm ? "- Y_h Y_c" : "- Y_h") : lstm ? "Y Y_h Y_c" : "Y Y_h");
	add_attrs(c, t);
	if ((c->parts & NO_Y) == 0)
		add_output(c, t, "Y", "y", false);
	add_output(c, t, "Y_h", "h", true);
	if (lstm)
		add_output(c, t, "Y_c", "c", true);
}

/* Function k of direction d, by name. */
static double act(const struct recurrent_case *c, int k, double v)
{
	static const char *const defaults[] = {"Sigmoid", "Tanh", "Tanh"};
	int per = is(c, "LSTM") ? 3 : is(c, "GRU") ? 2 : 1, i_alpha = 0, i_beta = 0;
	const char *name = c->acts[k] != NULL ? c->acts[k] : is(c, "RNN") ? "Tanh" : defaults[k % per];
	double alpha = strcmp(name, "LeakyRelu") == 0 ? 0.01 : strcmp(name, "HardSigmoid") == 0 ? 0.2 : 1, beta = strcmp(name, "HardSigmoid") == 0 ? 0.5 :
	    strcmp(name, "ScaledTanh") == 0 ? 1 : 0;

	for (int i = 0; c->acts[0] != NULL && i <= k; i++) {
		bool a = strstr("Affine LeakyRelu ThresholdedRelu ScaledTanh HardSigmoid Elu", c->acts[i]) != NULL, b = strstr("Affine ScaledTanh HardSigmoid", c->acts[i]) != NULL;

		if (i == k && a && i_alpha < c->n_alpha)
			alpha = (double)c->alpha[i_alpha];
		if (i == k && b && i_beta < c->n_beta)
			beta = (double)c->beta[i_beta];
		i_alpha += a;
		i_beta += b;
	}
	if (c->clip > 0.0f && k % per < 2) /* not an LSTM's h */
		v = fmax(fmin(v, (double)c->clip), -(double)c->clip);
	switch (name[0] == 'S' || name[0] == 's' ? name[1] == 'i' ? 's' : name[1] == 'c' ? 'c' : name[4] : name[0]) {
	case 's':
		return strcmp(name, "softsign") == 0 || strcmp(name, "Softsign") == 0 ? v / (1 + fabs(v)) : 1 / (1 + exp(-v));
	case 'c':
		return alpha * tanh(beta * v);
	case 'p':
		return log(1 + exp(v));
	case 'T':
		return name[1] == 'a' ? tanh(v) : v > alpha ? v : 0;
	case 'R':
		return fmax(v, 0);
	case 'A':
		return alpha * v + beta;
	case 'L':
		return v < 0 ? alpha * v : v;
	case 'H':
		return fmax(0, fmin(1, alpha * v + beta));
	default:
		return v < 0 ? alpha * (exp(v) - 1) : v;
	}
}

/* Gate g of direction d for hidden unit j: what comes from x, and what comes from the state. */
static double from_x(const struct built *t, int d, int g, int j, const float *x)
{
	size_t unit = (size_t)((d * t->n_gates + g) * HIDDEN + j);
	double sum = (double)t->bias[(d * 2 * t->n_gates + g) * HIDDEN + j];

	for (size_t i = 0; i < WIDTH; i++)
		sum += (double)x[i] * (double)t->w[unit * WIDTH + i];
	return sum;
}

static double from_h(const struct built *t, int d, int g, int j, const double *h)
{
	size_t unit = (size_t)((d * t->n_gates + g) * HIDDEN + j);
	double sum = (double)t->bias[((d * 2 + 1) * t->n_gates + g) * HIDDEN + j];

	for (size_t i = 0; i < HIDDEN; i++)
		sum += h[i] * (double)t->r[unit * HIDDEN + i];
	return sum;
}

static void step(const struct recurrent_case *k, const struct built *t, int d, const float *x, double *h, double *c)
{
	double old[HIDDEN], scaled[HIDDEN], z[HIDDEN], r[HIDDEN];
	const float *p = t->p + d * 3 * HIDDEN;

	memcpy(old, h, sizeof old);
	for (int j = 0; j < HIDDEN && is(k, "RNN"); j++)
		h[j] = act(k, d, from_x(t, d, 0, j, x) + from_h(t, d, 0, j, old));
	for (int j = 0; j < HIDDEN && is(k, "LSTM"); j++) {
		double sum[4], i, f;

		for (int g = 0; g < 4; g++)
			sum[g] = from_x(t, d, g, j, x) + from_h(t, d, g, j, old);
		i = act(k, 3 * d, sum[0] + (double)p[j] * c[j]);
		f = (k->parts & FORGET) != 0 ? 1 - i : act(k, 3 * d, sum[2] + (double)p[2 * HIDDEN + j] * c[j]);
		c[j] = f * c[j] + i * act(k, 3 * d + 1, sum[3]);
		h[j] = act(k, 3 * d, sum[1] + (double)p[HIDDEN + j] * c[j]) * act(k, 3 * d + 2, c[j]);
	}
	for (int j = 0; j < HIDDEN && is(k, "GRU"); j++) {
		z[j] = act(k, 2 * d, from_x(t, d, 0, j, x) + from_h(t, d, 0, j, old));
		r[j] = act(k, 2 * d, from_x(t, d, 1, j, x) + from_h(t, d, 1, j, old));
		scaled[j] = r[j] * old[j];
	}
	for (int j = 0; j < HIDDEN && is(k, "GRU"); j++) {
		double s = (k->parts & LATE_RESET) != 0 ? r[j] * from_h(t, d, 2, j, old) : from_h(t, d, 2, j, scaled);

		h[j] = (1 - z[j]) * act(k, 2 * d + 1, from_x(t, d, 2, j, x) + s) + z[j] * old[j];
	}
}

/* y[ROWS][STEPS][dirs][HIDDEN], h and c [ROWS][dirs][HIDDEN], as the graph's outputs have them (layout 1's order). */
static void reference(const struct recurrent_case *k, const struct built *t, double *y, double *h, double *c)
{
	for (int row = 0; row < ROWS; row++)
		for (int d = 0; d < t->n_dirs; d++) {
			double *hd = h + (row * t->n_dirs + d) * HIDDEN, *cd = c + (row * t->n_dirs + d) * HIDDEN;
			bool reverse = k->direction != NULL && (d == 1 || strcmp(k->direction, "reverse") == 0);
			int from = t->n_state_rows == 1 ? 0 : row;
			int at = k->layout != 0 ? from * t->n_dirs + d : d * t->n_state_rows + from;
			int len = (int)t->lens[row];

			for (int j = 0; j < HIDDEN; j++) {
				hd[j] = (double)t->h[at * HIDDEN + j];
				cd[j] = (double)t->c[at * HIDDEN + j];
			}
			for (int i = 0; i < STEPS; i++) {
				int s = reverse ? len - 1 - i : i;
				double *out = y + ((row * STEPS + (i < len ? s : i)) * t->n_dirs + d) * HIDDEN;
				int x_at = k->fixed && k->layout == 0 ? s * ROWS + row : row * STEPS + s;

				memset(out, 0, HIDDEN * sizeof *out);
				if (i >= len)
					continue;
				step(k, t, d, t->x + x_at * WIDTH, hd, cd);
				memcpy(out, hd, HIDDEN * sizeof *out);
			}
		}
}

static void compare(const struct recurrent_case *c, const struct pare_net *net, int i, const double *want, const char *what)
{
	float got[MAX_ELEMS];
	size_t n = nc_output(net, i, ROWS, got);

	ck_assert_uint_gt(n, 0);
	for (size_t k = 0; k < n; k++)
		ck_assert_msg(fabs((double)got[k] - want[k]) < 2e-6 * fmax(1, fabs(want[k])), "%s case %d, %s: element %zu is %.9g, want %.9g", c->op,
		    (int)(c - case_table), what, k, (double)got[k], want[k]);
}

START_TEST(forward)
{
	const struct recurrent_case *c = &case_table[_i];
	double y[MAX_ELEMS], h[MAX_ELEMS], cell[MAX_ELEMS];
	struct built t;

	build(c, &t);
	reference(c, &t, y, h, cell);
	for (int mode = 0; mode < (c->fixed ? 2 : 3); mode++) {
		struct pare_net *net = nc_net(t.b, mode == 2 ? ROWS : 1, ROWS, mode > 0);
		int i = 0;

		ck_assert_int_eq(pare_net_n_shards(net), mode == 2 ? ROWS : 1);
		nc_forward(net, t.inputs, ROWS, mode > 0, 0);
		if ((c->parts & NO_Y) == 0)
			compare(c, net, i++, y, "Y");
		compare(c, net, i++, h, "Y_h");
		if (is(c, "LSTM"))
			compare(c, net, i, cell, "Y_c");
		pare_net_free(net);
	}
	gb_free(t.b);
}
END_TEST

/* The operator alone; with X used once more (its gradient must add to what is there); on several shards. */
START_TEST(gradient)
{
	const struct recurrent_case *c = &case_table[_i];
	struct built t;

	for (int mode = 0; c->gradient > 0 && mode < (c->fixed ? 2 : 3); mode++) {
		struct pare_net *net;
		double error;

		build(c, &t);
		if (mode == 1 && c->fixed) {
			gb_node(t.b, "Tanh", "other", "X", "z");
			gb_output(t.b, "z");
		}
		net = nc_net(t.b, mode == 2 ? 2 : 1, ROWS, true);
		error = nc_gradient_error(net, t.inputs, ROWS, true, STEP);
		ck_assert_msg(error < c->gradient, "%s case %d (mode %d): gradient off by %g", c->op, _i, mode, error);
		pare_net_free(net);
		gb_free(t.b);
	}
}
END_TEST

/* Functions with corners, where a difference may straddle one: at a small step, most elements agree with it. */
START_TEST(gradient_with_corners)
{
	const struct recurrent_case *c = &case_table[_i];
	float *grads, *want;
	struct pare_net *net;
	struct built t;
	size_t n, far = 0;

	if (c->gradient > 0)
		return;
	build(c, &t);
	net = nc_net(t.b, 1, ROWS, true);
	n = pare_net_slab_len(net);
	grads = calloc(n, sizeof *grads);
	want = calloc(n, sizeof *want);
	nc_forward(net, t.inputs, ROWS, true, 0);
	nc_backward(net, ROWS, grads);
	for (size_t i = 0; i < n; i++) {
		float *w = pare_net_slab(net) + i, old = *w;
		double up, down;

		*w = old + 0.001953125f;
		nc_forward(net, t.inputs, ROWS, true, 0);
		up = nc_loss(net, ROWS);
		*w = old - 0.001953125f;
		nc_forward(net, t.inputs, ROWS, true, 0);
		down = nc_loss(net, ROWS);
		*w = old;
		want[i] = (float)((up - down) / (2 * 0.001953125));
		far += fabsf(want[i] - grads[i]) > 2e-3f * fmaxf(1, fabsf(want[i]));
	}
	ck_assert_msg(far <= n / 50, "%s case %d: %zu of %zu gradients are off", c->op, _i, far, n);
	free(grads);
	free(want);
	pare_net_free(net);
	gb_free(t.b);
}
END_TEST

static void operand_text(int operand, int axis, char out[16])
{
	if (operand >= PARE_OUT(0))
		(void)snprintf(out, 16, "o%d.%d", operand - PARE_OUT(0), axis);
	else
		(void)snprintf(out, 16, "%d.%d", operand, axis);
}

static void ties_of(const struct recurrent_case *c, char text[2048])
{
	static const char *const kinds[] = {"same", "contract", "mix", "spread", "opaque"};
	struct pare_ties ties;
	struct pare_net *net;
	struct built t;
	int k = 0;

	build(c, &t);
	net = nc_net(t.b, 1, ROWS, true);
	while (strcmp(net->nodes[k].node->op_type, c->op) != 0)
		k++;
	pare_net_ties(net, &net->nodes[k], &ties);
	text[0] = '\0';
	for (int i = 0; i < ties.n; i++) {
		const struct pare_tie *e = &ties.tie[i];
		char a[16], b[16], blocks[48] = "";

		operand_text(e->a, e->a_axis, a);
		operand_text(e->b, e->b_axis, b);
		if (e->kind == PARE_TIE_SPREAD)
			(void)snprintf(blocks, sizeof blocks, "*%d,%d", (int)e->outer, (int)e->inner);
		(void)snprintf(text + strlen(text), 2048 - strlen(text), "%s%s %s>%s%s", i > 0 ? " " : "", kinds[e->kind], a, b, blocks);
	}
	pare_net_free(net);
	gb_free(t.b);
}

START_TEST(couple)
{
	static const struct {
		struct recurrent_case c;
		const char *ties;
	} tie_table[] = {
	    {{.op = "RNN"}, "same 0.1>o0.2 same 0.1>o1.1 mix 0.0>o0.0 contract 0.2>1.2 spread 2.2>2.1*1,1 spread 2.2>1.1*1,1 mix o0.1>2.0 same o0.3>2.2 "
			    "mix o1.0>2.0 same o1.2>2.2 mix 1.0>2.0"},
	    {{.op = "GRU", .layout = 1, .parts = BIAS | NO_Y | LENS}, "same 0.0>o1.0 same 4.0>o1.0 mix 0.1>0.1 contract 0.2>1.2 spread 2.2>2.1*3,1 "
			    "spread 2.2>1.1*3,1 spread 2.2>3.1*6,1 mix o1.1>2.0 same o1.2>2.2 mix 1.0>2.0 mix 3.0>2.0"},
	    {{.op = "LSTM", .parts = BIAS | STATES | PEEPHOLES | NO_Y}, "same 0.1>o1.1 same 0.1>o2.1 mix 0.0>0.0 contract 0.2>1.2 spread 2.2>2.1*4,1 "
			    "spread 2.2>1.1*4,1 spread 2.2>3.1*8,1 spread 2.2>7.1*3,1 mix o1.0>2.0 same o1.2>2.2 mix o2.0>2.0 same o2.2>2.2 mix 5.0>2.0 "
			    "same 5.2>2.2 mix 6.0>2.0 same 6.2>2.2 mix 1.0>2.0 mix 3.0>2.0 mix 7.0>2.0"},
	};
	char text[2048];

	for (size_t i = 0; i < sizeof tie_table / sizeof tie_table[0]; i++) {
		ties_of(&tie_table[i].c, text);
		ck_assert_str_eq(text, tie_table[i].ties);
	}
}
END_TEST

struct bad_case {
	struct recurrent_case c;
	const char *shape[3]; /* of x, W, R; NULL: right */
	enum pare_code code;
	const char *says;
};

static const struct bad_case bad_table[] = {
    {{.op = "LSTM", .direction = "sideways"}, {NULL}, PARE_E_MODEL, "forward, reverse or bidirectional"},
    {{.op = "LSTM", .acts = {"Tanh"}}, {NULL}, PARE_E_MODEL, "1 activations; 3 are needed"},
    {{.op = "RNN", .acts = {"Swish"}}, {NULL}, PARE_E_UNSUPPORTED_OP, "activation \"Swish\""},
    {{.op = "RNN", .acts = {"Elu"}, .alpha = {-1}, .n_alpha = 1}, {NULL}, PARE_E_UNSUPPORTED, "must not be negative"},
    {{.op = "RNN"}, {"4 3"}, PARE_E_SHAPE, "three dimensions"},
    {{.op = "GRU"}, {NULL, "1 15 4"}, PARE_E_SHAPE, "W (input 1) has shape [1, 15, 4], it must be [1, 15, 3]"},
    {{.op = "GRU"}, {NULL, NULL, "1 20 5"}, PARE_E_SHAPE, "R (input 2) has shape [1, 20, 5], it must be [1, 15, 5]"},
    {{.op = "LSTM"}, {"N 4 3"}, PARE_E_UNSUPPORTED, "export the model with the batch first"},
};
#define N_BAD (sizeof bad_table / sizeof bad_table[0])

START_TEST(refused)
{
	const struct bad_case *k = &bad_table[_i];
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = ROWS, .training = true, .seed = 7};
	int gates = is(&k->c, "LSTM") ? 4 : is(&k->c, "GRU") ? 3 : 1;
	struct built t = {.b = gb_new(14)};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	char w[32], r[32];

	(void)snprintf(w, sizeof w, "1 %d %d", gates * HIDDEN, WIDTH);
	(void)snprintf(r, sizeof r, "1 %d %d", gates * HIDDEN, HIDDEN);
	if (k->shape[0] != NULL && k->shape[0][0] == 'N')
		gb_input(t.b, "X", k->shape[0]);
	else
		gb_init(t.b, "X", k->shape[0] != NULL ? k->shape[0] : "4 3 3", NULL);
	gb_init(t.b, "W", k->shape[1] != NULL ? k->shape[1] : w, NULL);
	gb_init(t.b, "R", k->shape[2] != NULL ? k->shape[2] : r, NULL);
	gb_node(t.b, k->c.op, "node", "X W R", "Y");
	add_attrs(&k->c, &t);
	gb_output(t.b, "Y");
	ck_assert_msg(pare_net_new(gb_model(t.b), &opt, &net, &err) == k->code, "case %d: %s", _i, err.message);
	ck_assert_msg(strstr(err.message, k->says) != NULL, "case %d: \"%s\" does not say \"%s\"", _i, err.message, k->says);
	ck_assert_msg(strstr(err.where, k->c.op) != NULL, "case %d: where is \"%s\"", _i, err.where);
	gb_free(t.b);
}
END_TEST

/* Between recurrent layers the batch is the second axis: what Dropout draws for a row must not depend on the shards there, either. */
START_TEST(dropout_by_row)
{
	static const int64_t swap[] = {1, 0, 2};
	float x[ROWS * STEPS * WIDTH], one[ROWS * STEPS * WIDTH], cut[ROWS * STEPS * WIDTH];
	const float *inputs[] = {x};
	struct gb *b = gb_new(14);
	size_t n_zero = 0;

	nc_fill(x, ROWS * STEPS * WIDTH, 1);
	gb_input(b, "x", "N 4 3");
	gb_node(b, "Transpose", "in", "x", "t");
	gb_attr_ints(b, "perm", swap, 3);
	gb_node(b, "Dropout", "drop", "t", "u");
	gb_node(b, "Transpose", "out", "u", "y");
	gb_attr_ints(b, "perm", swap, 3);
	gb_output(b, "y");
	for (int n = 1; n <= ROWS; n += ROWS - 1) {
		struct pare_net *net = nc_net(b, n, ROWS, true);

		ck_assert_int_eq(pare_net_n_shards(net), n);
		nc_forward(net, inputs, ROWS, true, 5);
		(void)nc_output(net, 0, ROWS, n == 1 ? one : cut);
		pare_net_free(net);
	}
	ck_assert_mem_eq(one, cut, sizeof one);
	for (size_t i = 0; i < ROWS * STEPS * WIDTH; i++)
		n_zero += one[i] == 0.0f;
	ck_assert(n_zero > 5 && n_zero < 31);
	gb_free(b);
}
END_TEST

START_TEST(table_is_covered)
{
	for (const struct pare_op *op = pare_op_recurrent_table; op->name != NULL; op++) {
		int n_gradient = 0;

		for (size_t i = 0; i < N_CASES; i++)
			n_gradient += is(&case_table[i], op->name) && case_table[i].gradient > 0;
		ck_assert_msg(n_gradient > 4, "%s has %d gradient cases", op->name, n_gradient);
	}
}
END_TEST

/* 2 directions, 4 steps, 4 gates of 5 units, each from 3 inputs and 5 states; W and R are weights, B and P are not. */
START_TEST(cost_and_parameters)
{
	static const struct recurrent_case c = {.op = "LSTM", .direction = "bidirectional", .parts = BIAS | PEEPHOLES};
	struct pare_net *net;
	struct built t;

	build(&c, &t);
	net = nc_net(t.b, 1, ROWS, true);
	ck_assert_int_eq(pare_net_macs(net), 2 * 4 * 20 * 8);
	for (int i = 0; i < pare_net_n_params(net); i++) {
		const struct pare_param_info *p = pare_net_param(net, i);

		ck_assert_msg(p->prunable == (p->name[0] == 'W' || p->name[0] == 'R'), "%s", p->name);
	}
	pare_net_free(net);
	gb_free(t.b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recurrent");
	TCase *t = tcase_create("cases");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, forward, 0, (int)N_CASES);
	tcase_add_loop_test(t, gradient, 0, (int)N_CASES);
	tcase_add_loop_test(t, gradient_with_corners, 0, (int)N_CASES);
	tcase_add_test(t, couple);
	tcase_add_test(t, dropout_by_row);
	tcase_add_loop_test(t, refused, 0, (int)N_BAD);
	tcase_add_test(t, table_is_covered);
	tcase_add_test(t, cost_and_parameters);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
