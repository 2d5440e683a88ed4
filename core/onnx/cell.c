/* Is this the formula of a recurrent cell? Exporters write one gate as a sum of products and biases, and all gates of a kind as one product
 * that is then cut: tf2onnx's GRU has x K + b split by three, h R sliced by three, sums of the parts, and so on. So a gate is read backwards
 * from its activation: through sums, and through Split and Slice along the last axis, which only move a window over the columns, down to the products of the
 * sequence's step and of the state with constants, and to biases. What is left is which columns of which constants make up each gate,
 * whatever order and grouping the exporter chose. Anything else, anywhere, and the answer is no.
 *
 * A window has a start, the width of the value that it looks at where that is known (-1 where only a Slice without end tells), and the least
 * width that the cuts on the way need; both are held against the constant's columns at the end. Sums of one term only repeat it, so trees are bounded by the number of terms
 * and by depth. */
#include <math.h>
#include <string.h>

#include "core/onnx/loop_priv.h"

#define MAX_DEPTH 24
#define TO_THE_END INT32_MAX /* as exporters write it; also the ends of int64 */

struct window {
	int64_t start, width, least;
};

struct sum {
	struct pare_cell_gate gate;
	struct pare_loop_ref reset; /* what multiplies the state, or the product of the state */
	bool has_reset, after;
};

static bool same(struct pare_loop_ref a, struct pare_loop_ref b)
{
	return a.in == b.in && a.v == b.v;
}

static bool is_state(const struct pare_loop *l, struct pare_loop_ref r)
{
	return r.in == l->body && r.v == l->state;
}

/* One of a node's two inputs is the state; *other is the second one. */
static bool by_state(const struct pare_loop *l, struct pare_loop_ref of, const struct pare_node *n, struct pare_loop_ref *other)
{
	for (int k = 0; k < 2 && n->n_in == 2; k++)
		if (is_state(l, pare_loop_look(l, pare_loop_in(of, n, k)))) {
			*other = pare_loop_look(l, pare_loop_in(of, n, 1 - k));
			return true;
		}
	return false;
}

/* The step of the sequence: Gather(X, number of the step) along the first axis. */
static bool is_step(struct pare_loop *l, struct pare_loop_ref r)
{
	const struct pare_node *n = pare_loop_node(r, "Gather");
	const struct pare_attr *axis = n != NULL ? pare_node_attr(n, "axis") : NULL;
	struct pare_loop_ref x, at;

	if (n == NULL || n->n_in != 2 || r.in != l->body || (axis != NULL && axis->i != 0))
		return false;
	x = pare_loop_look(l, pare_loop_in(r, n, 0));
	at = pare_loop_look(l, pare_loop_in(r, n, 1));
	if (x.in != l->g || x.v < 0 || !pare_loop_is_step(l, at) || (l->x >= 0 && l->x != x.v))
		return false;
	l->x = x.v;
	return true;
}

/* --- cuts along the last axis of two */

static bool ints(const struct pare_loop *l, struct pare_loop_ref of, const struct pare_node *n, int k, int64_t *v, int *n_v)
{
	const struct pare_tensor *t = k < n->n_in ? pare_loop_constant(pare_loop_look(l, pare_loop_in(of, n, k))) : NULL;

	if (t == NULL || t->n_elems > 8 || pare_tensor_read_i64(t, v, NULL) != PARE_OK)
		return false;
	*n_v = (int)t->n_elems;
	return true;
}

static bool move(struct window *w, int64_t start, int64_t width, int64_t least)
{
	w->start += start;
	w->least = w->least + start > least ? w->least + start : least;
	w->width = width;
	return w->start < TO_THE_END && w->least < TO_THE_END;
}

static bool through_slice(const struct pare_loop *l, struct pare_loop_ref r, const struct pare_node *n, struct window *w)
{
	int64_t from[8], to[8], axes[8], steps[8], start = 0, end = TO_THE_END;
	int n_from, n_to, n_axes, n_steps = 0;

	if (!ints(l, r, n, 1, from, &n_from) || !ints(l, r, n, 2, to, &n_to) || !ints(l, r, n, 3, axes, &n_axes) || n_from != n_to || n_from != n_axes || n_from > 2)
		return false;
	if (n->n_in > 4 && n->in[4] >= 0 && (!ints(l, r, n, 4, steps, &n_steps) || n_steps != n_from))
		return false;
	for (int i = 0; i < n_from; i++) {
		bool last = axes[i] == 1 || axes[i] == -1;

		if (from[i] < 0 || to[i] < 0 || (n_steps > 0 && steps[i] != 1) || (!last && (axes[i] != 0 || from[i] != 0 || to[i] < TO_THE_END)))
			return false;
		start = last ? from[i] : start;
		end = last ? to[i] : end;
	}
	if (end >= TO_THE_END)
		return move(w, start, w->width >= 0 ? w->width + start : -1, 0);
	return (w->width < 0 || end - start == w->width) && move(w, start, -1, end);
}

/* Which output of its producer a value is. */
static int output_of(const struct pare_node *n, int32_t v)
{
	int k = 0;

	while (k < n->n_out && n->out[k] != v)
		k++;
	return k;
}

static bool split_axis(const struct pare_node *n, int64_t axis)
{
	return pare_node_int(n, "axis", 0) == axis;
}

/* Parts of one size only. */
static bool through_split(const struct pare_loop *l, struct pare_loop_ref r, const struct pare_node *n, struct window *w)
{
	const struct pare_attr *parts = pare_node_attr(n, "split");
	int64_t sizes[8];
	int k = output_of(n, r.v), n_sizes = 0;

	if (w->width < 0 || n->n_out > 8 || (!split_axis(n, 1) && !split_axis(n, -1)))
		return false;
	if (n->n_in > 1 && n->in[1] >= 0 && !ints(l, r, n, 1, sizes, &n_sizes))
		return false;
	if (n_sizes == 0 && parts != NULL && parts->type == PARE_ATTR_INTS && parts->n <= 8) {
		memcpy(sizes, parts->ints, parts->n * sizeof *sizes);
		n_sizes = (int)parts->n;
	}
	for (int i = 0; i < n_sizes; i++)
		if (sizes[i] != w->width)
			return false;
	return move(w, k * w->width, n->n_out * w->width, 0);
}

/* --- leaves */

/* A constant with the window, which must lie in its columns. */
static bool part(const struct pare_loop *l, const struct pare_tensor *t, int64_t row, struct window w, struct pare_cell_part *out)
{
	int64_t cols = t != NULL && t->n_dims > 0 ? t->dims[t->n_dims - 1] : 0;

	if (cols <= 0 || t->dtype != PARE_DT_FLOAT || t->external || (w.width >= 0 && w.width != cols) || w.least > cols || w.start + l->n_hidden > cols)
		return false;
	*out = (struct pare_cell_part){.t = t, .row = row, .col = w.start};
	return true;
}

static bool matrix(const struct pare_loop *l, struct pare_loop_ref r, struct window w, struct pare_cell_part *out)
{
	const struct pare_node *n = pare_loop_node(r, "Slice");
	const struct pare_tensor *t;

	if (n != NULL) {
		if (!through_slice(l, r, n, &w))
			return false;
		r = pare_loop_look(l, pare_loop_in(r, n, 0));
	}
	t = pare_loop_constant(r);
	return t != NULL && t->n_dims == 2 && part(l, t, 0, w, out);
}

/* A vector; or row k of a matrix, as Split and Squeeze take it out. */
static bool bias(const struct pare_loop *l, struct pare_loop_ref r, struct window w, struct pare_cell_part *out)
{
	const struct pare_tensor *t = pare_loop_constant(r);
	const struct pare_node *squeeze = pare_loop_node(r, "Squeeze"), *split;
	struct pare_loop_ref row, rows;
	int64_t axes[8];
	int n_axes;

	if (t != NULL)
		return (t->n_dims == 1 || (t->n_dims == 2 && t->dims[0] == 1)) && part(l, t, 0, w, out);
	if (squeeze == NULL || !ints(l, r, squeeze, 1, axes, &n_axes) || n_axes != 1 || axes[0] != 0)
		return false;
	row = pare_loop_look(l, pare_loop_in(r, squeeze, 0));
	split = pare_loop_node(row, "Split");
	if (split == NULL || !split_axis(split, 0) || split->n_in != 1)
		return false;
	rows = pare_loop_look(l, pare_loop_in(row, split, 0));
	t = pare_loop_constant(rows);
	return t != NULL && t->n_dims == 2 && t->dims[0] == split->n_out && part(l, t, output_of(split, row.v), w, out);
}

static bool set_reset(struct sum *s, struct pare_loop_ref r, bool after)
{
	if (s->has_reset)
		return false;
	s->reset = r;
	s->has_reset = true;
	s->after = after;
	return true;
}

static bool product(struct pare_loop *l, struct pare_loop_ref r, const struct pare_node *n, struct window w, struct sum *s)
{
	struct pare_loop_ref a = pare_loop_look(l, pare_loop_in(r, n, 0)), b = pare_loop_look(l, pare_loop_in(r, n, 1)), gate;
	const struct pare_node *mul = pare_loop_node(a, "Mul");
	bool hidden = is_state(l, a);

	if (mul != NULL && by_state(l, a, mul, &gate))
		hidden = set_reset(s, gate, false);
	if (hidden)
		return s->gate.r.t == NULL && matrix(l, b, w, &s->gate.r) && s->gate.r.t->dims[0] == l->n_hidden;
	return is_step(l, a) && s->gate.w.t == NULL && matrix(l, b, w, &s->gate.w);
}

static bool read_sum(struct pare_loop *l, struct pare_loop_ref r, struct window w, struct sum *s, int depth);

/* Mul(r, sum of the state's product and its biases), in the candidate of a GRU. */
static bool reset_product(struct pare_loop *l, struct pare_loop_ref r, const struct pare_node *n, struct window w, struct sum *s, int depth)
{
	struct pare_loop_ref a = pare_loop_look(l, pare_loop_in(r, n, 0)), b = pare_loop_look(l, pare_loop_in(r, n, 1));
	bool first = pare_loop_node(a, "Sigmoid") != NULL;
	struct sum inner = {.has_reset = false};

	if (w.start != 0 || w.width != l->n_hidden || n->n_in != 2 || !set_reset(s, first ? a : b, true) || s->gate.r.t != NULL)
		return false;
	if (!read_sum(l, first ? b : a, w, &inner, depth + 1) || inner.has_reset || inner.gate.w.t != NULL || inner.gate.r.t == NULL)
		return false;
	s->gate.r = inner.gate.r;
	memcpy(s->gate.hidden_bias, inner.gate.bias, sizeof inner.gate.bias);
	s->gate.n_hidden_bias = inner.gate.n_bias;
	return true;
}

static bool read_sum(struct pare_loop *l, struct pare_loop_ref r, struct window w, struct sum *s, int depth)
{
	const struct pare_node *n;

	if (depth > MAX_DEPTH)
		return false;
	r = pare_loop_look(l, r);
	if ((n = pare_loop_node(r, "Add")) != NULL && r.in == l->body)
		return n->n_in == 2 && read_sum(l, pare_loop_in(r, n, 0), w, s, depth + 1) && read_sum(l, pare_loop_in(r, n, 1), w, s, depth + 1);
	if ((n = pare_loop_node(r, "Split")) != NULL && r.in == l->body)
		return through_split(l, r, n, &w) && read_sum(l, pare_loop_in(r, n, 0), w, s, depth + 1);
	if ((n = pare_loop_node(r, "Slice")) != NULL && r.in == l->body)
		return through_slice(l, r, n, &w) && read_sum(l, pare_loop_in(r, n, 0), w, s, depth + 1);
	if ((n = pare_loop_node(r, "MatMul")) != NULL && r.in == l->body)
		return n->n_in == 2 && product(l, r, n, w, s);
	if ((n = pare_loop_node(r, "Mul")) != NULL && r.in == l->body)
		return reset_product(l, r, n, w, s, depth);
	return s->gate.n_bias < PARE_CELL_BIASES && bias(l, r, w, &s->gate.bias[s->gate.n_bias++]);
}

/* The sum under an activation, with both products. */
static bool read_gate(struct pare_loop *l, struct pare_loop_ref r, const struct pare_node *act, struct sum *s)
{
	const struct window whole = {.start = 0, .width = l->n_hidden, .least = l->n_hidden};

	*s = (struct sum){.has_reset = false};
	return act != NULL && r.in == l->body && act->n_in == 1 && read_sum(l, pare_loop_in(r, act, 0), whole, s, 0) && s->gate.w.t != NULL && s->gate.r.t != NULL;
}

static const char *const act_table[] = {"Tanh", "Relu", "Sigmoid", "Softsign", "Softplus"};

static const struct pare_node *activation(struct pare_loop_ref r, const char **name)
{
	const struct pare_node *n = NULL;

	for (size_t i = 0; i < sizeof act_table / sizeof act_table[0] && n == NULL; i++) {
		*name = act_table[i];
		n = pare_loop_node(r, act_table[i]);
	}
	return n;
}

/* (1 - z) c in any order. */
static bool mixed(const struct pare_loop *l, struct pare_loop_ref r, const struct pare_node *n, struct pare_loop_ref z, struct pare_loop_ref *c)
{
	for (int k = 0; k < 2 && n->n_in == 2; k++) {
		struct pare_loop_ref rest = pare_loop_look(l, pare_loop_in(r, n, k));
		const struct pare_node *sub = pare_loop_node(rest, "Sub");
		double one;

		if (sub == NULL || sub->n_in != 2 || !pare_loop_scalar(pare_loop_look(l, pare_loop_in(rest, sub, 0)), &one) || one < 1 || one > 1)
			continue;
		*c = pare_loop_look(l, pare_loop_in(r, n, 1 - k));
		return same(pare_loop_look(l, pare_loop_in(rest, sub, 1)), z);
	}
	return false;
}

static bool read_gru(struct pare_loop *l, struct pare_loop_ref next, const struct pare_node *add, struct pare_cell *out)
{
	struct pare_loop_ref term[2], z, c;
	const struct pare_node *mul[2];
	struct sum s[3];

	for (int k = 0; k < 2; k++) {
		term[k] = pare_loop_look(l, pare_loop_in(next, add, k));
		mul[k] = pare_loop_node(term[k], "Mul");
		if (mul[k] == NULL)
			return false;
	}
	for (int k = 0; k < 2; k++) {
		if (!by_state(l, term[k], mul[k], &z) || !mixed(l, term[1 - k], mul[1 - k], z, &c))
			continue;
		if (!read_gate(l, z, pare_loop_node(z, "Sigmoid"), &s[0]) || !read_gate(l, c, activation(c, &out->act), &s[2]) || !s[2].has_reset ||
		    !read_gate(l, s[2].reset, pare_loop_node(s[2].reset, "Sigmoid"), &s[1]) || s[0].has_reset || s[1].has_reset)
			return false;
		out->n_gates = 3;
		out->after = s[2].after;
		for (int i = 0; i < 3; i++)
			out->gate[i] = s[i].gate;
		return s[0].gate.w.t->dims[0] == s[1].gate.w.t->dims[0] && s[0].gate.w.t->dims[0] == s[2].gate.w.t->dims[0];
	}
	return false;
}

bool pare_cell_read(struct pare_loop *l, struct pare_loop_ref next, struct pare_cell *out)
{
	const struct pare_node *n = pare_loop_node(next, "Add");
	struct sum s;

	memset(out, 0, sizeof *out);
	if (n != NULL && n->n_in == 2 && next.in == l->body)
		return read_gru(l, next, n, out);
	if (!read_gate(l, next, activation(next, &out->act), &s) || s.has_reset)
		return false;
	out->n_gates = 1;
	out->gate[0] = s.gate;
	return true;
}
