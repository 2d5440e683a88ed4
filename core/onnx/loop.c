/* A Loop that is a recurrent layer becomes one: GRU or RNN, which trains, loses units and runs fast, where a body is only carried. tf2onnx writes Keras' GRU and
 * SimpleRNN so (its LSTM becomes an LSTM by itself):
 *
 *   Loop(steps, 0 < steps, counter 0, state, constants ...)   body: counter + 1 < steps, counter + 1, cell(X[counter], state), the same constants; the state of every step
 *
 * It is one when all of this holds, whatever the order: exactly one value that is carried changes and is no counter from 0; the next state is a cell's formula (cell.c); all
 * steps are done: the number of steps is a constant or the size of X along its first axis, and the condition is a conjunction of "the step's number, or the
 * one behind it, is less than that" (which may turn false in the last step, when nothing hangs on it any more); of the results only the state, last or of all steps, is read.
 * A constant number of steps that X is not known to have takes the first ones of X, as the Loop does. Everything else stays a Loop. Unrolling was rejected: the product would be a file that
 * grows with the sequence, and whose units cannot go. A layer that is called twice is two nodes of one set of weights, which train, go and stay as one.
 *
 * Uploads are hostile: how many Loops, nodes of a body and steps from value to value are looked at is limited, and new weights are as large as those they are made of. */
#include <string.h>

#include "core/base/num.h"
#include "core/onnx/loop_priv.h"

#define MIN_OPSET 13 /* Squeeze and Unsqueeze take their axes as an input */
#define MAX_LOOPS 64
#define MAX_HOPS 64
#define MAX_CONDITIONS 8 /* deep */

#define MAX_PARTS (3 * (2 + 2 * PARE_CELL_BIASES))
struct layer { /* that was put in a Loop's place */
	int n_gates, n_parts;
	int64_t n_hidden, n_in;
	struct pare_cell_part part[MAX_PARTS]; /* t NULL: of the body */
	float *w, *r, *b;
	const char *names[3];
};
struct layers {
	struct layer list[MAX_LOOPS];
	int n;
};

struct lifter {
	const struct pare_model *m;
	struct layers *layers; /* so far */
	struct pare_rewrite *rw;
	struct pare_loop *l;
	const struct pare_cell *cell;
	const char *axis[2]; /* initializers [0] and [1]; NULL until they are needed */
	struct pare_err *err;
};

/* --- values */

const struct pare_node *pare_loop_node(struct pare_loop_ref r, const char *op)
{
	const struct pare_node *n = r.v >= 0 && r.in->values[r.v].producer >= 0 ? &r.in->nodes[r.in->values[r.v].producer] : NULL;

	return n != NULL && n->domain[0] == '\0' && strcmp(n->op_type, op) == 0 ? n : NULL;
}

struct pare_loop_ref pare_loop_in(struct pare_loop_ref of, const struct pare_node *n, int k)
{
	return (struct pare_loop_ref){.in = of.in, .v = k < n->n_in ? n->in[k] : -1};
}

static struct pare_loop_ref without_identity(struct pare_loop_ref r)
{
	const struct pare_node *n = pare_loop_node(r, "Identity");

	for (int i = 0; i < MAX_HOPS && n != NULL; i++) {
		r = pare_loop_in(r, n, 0);
		n = pare_loop_node(r, "Identity");
	}
	return r;
}

/* What a step hands on as carried value k, and what it was given. */
static struct pare_loop_ref next_of(const struct pare_loop *l, int k)
{
	return without_identity((struct pare_loop_ref){l->body, l->body->outputs[1 + k]});
}

static bool is_invariant(const struct pare_loop *l, int k)
{
	return next_of(l, k).v == l->body->inputs[2 + k];
}

struct pare_loop_ref pare_loop_look(const struct pare_loop *l, struct pare_loop_ref r)
{
	for (int hops = 0; hops < MAX_HOPS; hops++) {
		int k = 0;

		r = without_identity(r);
		if (r.v < 0 || r.in != l->body || l->body->values[r.v].producer >= 0 || l->body->values[r.v].init != NULL)
			return r;
		while (k < l->body->n_inputs && l->body->inputs[k] != r.v)
			k++;
		if (k >= l->node->n_in)
			r = (struct pare_loop_ref){l->g, pare_graph_find_value(l->g, l->body->values[r.v].name)};
		else if (k >= 2 && is_invariant(l, k - 2))
			r = (struct pare_loop_ref){l->g, l->node->in[k]};
		else
			return r;
	}
	return r;
}

const struct pare_tensor *pare_loop_constant(struct pare_loop_ref r)
{
	const struct pare_node *n = pare_loop_node(r, "Constant");
	const struct pare_attr *a = n != NULL ? pare_node_attr(n, "value") : NULL;

	if (r.v >= 0 && r.in->values[r.v].init != NULL)
		return r.in->values[r.v].init;
	return a != NULL && a->type == PARE_ATTR_TENSOR ? a->t : NULL;
}

bool pare_loop_scalar(struct pare_loop_ref r, double *out)
{
	const struct pare_tensor *t = pare_loop_constant(r);
	float f;

	if (t == NULL || t->n_elems != 1 || pare_tensor_read_f32(t, &f, NULL) != PARE_OK)
		return false;
	*out = (double)f;
	return true;
}

static bool is_number(const struct pare_loop *l, struct pare_loop_ref r, double number)
{
	double v;

	return pare_loop_scalar(pare_loop_look(l, r), &v) && !(v < number) && !(v > number);
}

/* r is base + 1. */
static bool is_next(const struct pare_loop *l, struct pare_loop_ref r, struct pare_loop_ref *base)
{
	const struct pare_node *n = pare_loop_node(r, "Add");

	for (int k = 0; n != NULL && n->n_in == 2 && k < 2; k++)
		if (is_number(l, pare_loop_in(r, n, k), 1)) {
			*base = pare_loop_look(l, pare_loop_in(r, n, 1 - k));
			return true;
		}
	return false;
}

static bool is_counter(const struct pare_loop *l, int k)
{
	struct pare_loop_ref base;

	return is_next(l, next_of(l, k), &base) && base.in == l->body && base.v == l->body->inputs[2 + k] && is_number(l, (struct pare_loop_ref){l->g, l->node->in[2 + k]}, 0);
}

bool pare_loop_is_step(const struct pare_loop *l, struct pare_loop_ref r)
{
	bool is = r.in == l->body && r.v == l->body->inputs[0];

	for (int k = 0; k < l->n_carried && !is && r.in == l->body; k++)
		is = l->body->inputs[2 + k] == r.v && is_counter(l, k);
	return is;
}

/* --- sizes: a number, or that of a value along an axis */

struct extent {
	int64_t n; /* -1: not known; then of v along axis (-1: v itself) */
	int32_t v;
	int64_t axis;
};

static bool same_extent(struct extent a, struct extent b)
{
	return a.n >= 0 || b.n >= 0 ? a.n == b.n : a.v == b.v && a.axis == b.axis;
}

/* Operators whose result is as long as their first input, along every axis. */
static bool keeps_shape(const struct pare_node *n)
{
	static const char *const op_table[] = {"Identity", "Cast", "ReverseSequence", "Relu", "Tanh", "Sigmoid"};

	for (size_t i = 0; i < sizeof op_table / sizeof op_table[0]; i++)
		if (n->domain[0] == '\0' && strcmp(n->op_type, op_table[i]) == 0)
			return true;
	return false;
}

static struct extent steps_of(const struct pare_loop *l, struct pare_loop_ref r, int hops);

/* Of a value of the graph. */
static struct extent extent_of(const struct pare_loop *l, int32_t v, int64_t axis, int hops)
{
	for (; hops < MAX_HOPS && v >= 0; hops++) {
		const struct pare_value *value = &l->g->values[v];
		const struct pare_node *n = value->producer >= 0 ? &l->g->nodes[value->producer] : NULL;
		const struct pare_attr *perm = n != NULL ? pare_node_attr(n, "perm") : NULL;

		if (value->n_dims > axis && value->dims[axis] >= 0)
			return (struct extent){.n = value->dims[axis]};
		if (n != NULL && keeps_shape(n)) {
			v = n->in[0];
		} else if (n != NULL && strcmp(n->op_type, "Transpose") == 0 && perm != NULL && perm->n > (size_t)axis && perm->ints[axis] >= 0 && perm->ints[axis] < PARE_MAX_DIMS) {
			axis = perm->ints[axis];
			v = n->in[0];
		} else if (n != NULL && strcmp(n->op_type, "Loop") == 0 && axis == 0 && n->n_in > 1 && n->in[0] >= 0 && v != n->out[0]) {
			return steps_of(l, (struct pare_loop_ref){l->g, n->in[0]}, hops + 1);
		} else {
			break;
		}
	}
	return (struct extent){.n = -1, .v = v, .axis = axis};
}

/* The one element that Slice or Gather takes of a vector. */
static bool picked(const struct pare_loop *l, struct pare_loop_ref r, int64_t *at, struct pare_loop_ref *from)
{
	const struct pare_node *n = pare_loop_node(r, "Slice");
	double start, end;

	if (n == NULL)
		n = pare_loop_node(r, "Gather");
	if (n == NULL || n->n_in < 2 || !pare_loop_scalar(pare_loop_look(l, pare_loop_in(r, n, 1)), &start) || start < 0 || start >= PARE_MAX_DIMS)
		return false;
	if (n->n_in > 2 && (!pare_loop_scalar(pare_loop_look(l, pare_loop_in(r, n, 2)), &end) || end < start + 1 || end > start + 1))
		return false;
	*at = (int64_t)start;
	*from = pare_loop_look(l, pare_loop_in(r, n, 0));
	return true;
}

/* A number of steps: a constant, or an element of a Shape, whatever it was cast to. */
static struct extent steps_of(const struct pare_loop *l, struct pare_loop_ref r, int hops)
{
	struct pare_loop_ref from;
	int64_t axis;

	for (r = pare_loop_look(l, r); hops < MAX_HOPS; hops++) {
		const struct pare_node *n = pare_loop_node(r, "Cast");
		double v;

		if (n == NULL)
			n = pare_loop_node(r, "Squeeze");
		if (pare_loop_scalar(r, &v) && v >= 0 && v < INT32_MAX)
			return (struct extent){.n = (int64_t)v};
		if (n == NULL)
			break;
		r = pare_loop_look(l, pare_loop_in(r, n, 0));
	}
	if (picked(l, r, &axis, &from)) {
		const struct pare_node *n = pare_loop_node(from, "Cast");

		if (n != NULL)
			from = pare_loop_look(l, pare_loop_in(from, n, 0));
		n = pare_loop_node(from, "Shape");
		if (n != NULL && from.in == l->g && n->n_attrs == 0)
			return extent_of(l, n->in[0], axis, hops + 1);
	}
	return (struct extent){.n = -1, .v = r.v, .axis = r.in == l->g ? -1 : -2};
}

/* --- the condition */

static bool always(const struct pare_loop *l, struct pare_loop_ref r, struct extent steps, int depth)
{
	const struct pare_node *n;
	struct pare_loop_ref step, base;
	struct extent limit;
	double v;

	r = pare_loop_look(l, r);
	if (depth > MAX_CONDITIONS || r.v < 0)
		return false;
	if (pare_loop_scalar(r, &v))
		return v > 0;
	if (r.in == l->body && r.v == l->body->inputs[1])
		return true; /* what it was before the first step */
	if ((n = pare_loop_node(r, "And")) != NULL)
		return n->n_in == 2 && always(l, pare_loop_in(r, n, 0), steps, depth + 1) && (n->in[0] == n->in[1] || always(l, pare_loop_in(r, n, 1), steps, depth + 1));
	n = pare_loop_node(r, "Less");
	if (n == NULL || n->n_in != 2)
		return false;
	limit = steps_of(l, pare_loop_in(r, n, 1), 0);
	step = pare_loop_look(l, pare_loop_in(r, n, 0));
	n = pare_loop_node(step, "Cast");
	if (n != NULL)
		step = pare_loop_look(l, pare_loop_in(step, n, 0));
	if (!same_extent(limit, steps) && !(steps.n >= 0 && limit.n > steps.n))
		return false;
	return pare_loop_is_step(l, step) || is_number(l, step, 0) || (is_next(l, step, &base) && pare_loop_is_step(l, base));
}

/* --- recognising */

static bool find_state(struct pare_loop *l)
{
	const struct pare_value *v;
	int n = 0;

	for (int k = 0; k < l->n_carried; k++)
		if (!is_invariant(l, k) && !is_counter(l, k)) {
			l->state = l->body->inputs[2 + k];
			n++;
		}
	if (n != 1)
		return false;
	v = &l->body->values[l->state];
	l->n_hidden = v->n_dims == 2 ? v->dims[1] : -1;
	return v->dtype == PARE_DT_FLOAT && l->n_hidden > 0;
}

/* May a subgraph of the node read the value? Names that it uses are not among the node's inputs, but they stand in its bytes. */
static bool may_capture(const struct pare_node *n, const char *name)
{
	bool nested = false;

	for (int i = 0; i < n->n_attrs; i++)
		nested |= n->attrs[i].type == PARE_ATTR_GRAPH || n->attrs[i].type == PARE_ATTR_OTHER;
	return nested && memmem(n->wire.data, n->wire.len, name, strlen(name)) != NULL;
}

/* How often a value is read by other nodes than the Loop itself (and those that are gone), and as an output. */
static int n_readers(const struct pare_loop *l, int32_t v, const bool *gone)
{
	int n = v >= 0 && l->g->values[v].is_output;

	for (int32_t i = 0; i < l->g->n_nodes && v >= 0; i++) {
		const struct pare_node *other = &l->g->nodes[i];

		if (i == l->index || (gone != NULL && gone[i]))
			continue;
		for (int k = 0; k < other->n_in; k++)
			n += other->in[k] == v;
		n += may_capture(other, l->g->values[v].name);
	}
	return n;
}

static bool gives_state(const struct pare_loop *l, int k)
{
	struct pare_loop_ref out = without_identity((struct pare_loop_ref){l->body, l->body->outputs[1 + k]});

	if (k < l->n_carried)
		return l->body->inputs[2 + k] == l->state;
	for (int s = 0; s < l->n_carried; s++)
		if (l->body->inputs[2 + s] == l->state)
			return out.v == next_of(l, s).v;
	return false;
}

static bool has_one_meaning(const struct pare_loop *l)
{
	for (int k = 0; k < l->node->n_out; k++)
		if (!gives_state(l, k) && n_readers(l, l->node->out[k], NULL) > 0)
			return false;
	return true;
}

static struct pare_loop_ref outside(const struct pare_loop *l, int k)
{
	return (struct pare_loop_ref){l->g, l->node->in[k]};
}

/* Fills cell and *steps; false: it is no such Loop. */
static bool recognise(struct pare_loop *l, struct pare_cell *cell, struct extent *steps)
{
	const struct pare_node *x;
	struct extent n;
	int s = 0;

	if (!find_state(l))
		return false;
	while (l->body->inputs[2 + s] != l->state)
		s++;
	if (!pare_cell_read(l, next_of(l, s), cell) || l->x < 0 || pare_loop_constant(outside(l, 2 + s)) != NULL)
		return false;
	*steps = steps_of(l, outside(l, 0), 0);
	n = extent_of(l, l->x, 0, 0);
	x = pare_loop_node((struct pare_loop_ref){l->g, l->x}, "Transpose");
	if ((l->g->values[l->x].n_dims >= 0 && l->g->values[l->x].n_dims != 3) || (x != NULL && pare_node_attr(x, "perm") != NULL && pare_node_attr(x, "perm")->n != 3))
		return false;
	if (steps->n == 0 || (steps->n < 0 && !same_extent(*steps, n)) || (steps->n >= 0 && n.n >= 0 && n.n < steps->n))
		return false;
	if (!always(l, (struct pare_loop_ref){l->body, l->body->outputs[0]}, *steps, 0) || (l->node->in[1] >= 0 && !always(l, outside(l, 1), *steps, 0)))
		return false;
	if (same_extent(n, *steps))
		steps->n = -1; /* nothing to cut off */
	return has_one_meaning(l);
}

/* --- writing */

static const char *add_init(struct lifter *f, const char *base, int dtype, int n_dims, const int64_t *dims, const void *bytes, size_t n_bytes)
{
	struct pare_new_init init = {.name = pare_rewrite_name(f->rw, f->l->g, base), .dtype = dtype, .n_dims = n_dims, .bytes = bytes, .n_bytes = n_bytes};

	for (int i = 0; i < n_dims; i++)
		init.dims[i] = dims[i];
	if (init.name == NULL)
		(void)pare_err_nomem(f->err, 0);
	return init.name != NULL && pare_rewrite_add_init(f->rw, &init, f->err) == PARE_OK ? init.name : NULL;
}

static const char *add_index(struct lifter *f, const char *base, int64_t v)
{
	int64_t one = 1, *held = pare_arena_array(&f->rw->arena, 1, sizeof *held);

	if (held == NULL) {
		(void)pare_err_nomem(f->err, sizeof *held);
		return NULL;
	}
	*held = v;
	return add_init(f, base, PARE_DT_INT64, 1, &one, held, sizeof *held);
}

static const char *axis(struct lifter *f, int i)
{
	if (f->axis[i] == NULL)
		f->axis[i] = add_index(f, "axis", i);
	return f->axis[i];
}

static enum pare_code add(struct lifter *f, int n_in, struct pare_new_node n)
{
	n.before = f->l->index;
	n.instead = true;
	return n.out != NULL && n.in[n_in - 1] != NULL ? pare_rewrite_add_node(f->rw, &n, f->err) : pare_err_nomem(f->err, 0);
}

/* A constant of a gate added to rows of n_in: to[unit][input] += t[input][col + unit]; a bias has one input, its row. */
static enum pare_code put_part(struct lifter *f, const struct pare_cell_part *p, int64_t n_in, float *to)
{
	int64_t cols = p->t->dims[p->t->n_dims - 1];
	float *v = pare_calloc(p->t->n_elems + 1, sizeof *v);
	enum pare_code code = v != NULL ? pare_tensor_read_f32(p->t, v, f->err) : pare_err_nomem(f->err, p->t->n_elems * sizeof *v);

	for (int64_t u = 0; u < f->l->n_hidden && code == PARE_OK; u++)
		for (int64_t i = 0; i < n_in; i++)
			to[u * n_in + i] += v[(p->row + i) * cols + p->col + u];
	pare_free(v);
	return code;
}

/* W or R, gates one below the other; NULL with the error set. */
static float *read_matrix(struct lifter *f, bool hidden, int64_t n_in)
{
	const struct pare_cell_gate *gate = f->cell->gate;
	size_t n = (size_t)(f->cell->n_gates * f->l->n_hidden) * (size_t)n_in;
	float *v = pare_arena_array(&f->rw->arena, n, sizeof *v);
	enum pare_code code = v != NULL ? PARE_OK : pare_err_nomem(f->err, n * sizeof *v);

	for (int i = 0; i < f->cell->n_gates && code == PARE_OK; i++)
		code = put_part(f, hidden ? &gate[i].r : &gate[i].w, n_in, v + i * f->l->n_hidden * n_in);
	return code == PARE_OK ? v : NULL;
}

/* Those of X, then those of the state; NULL with the error set. */
static float *read_biases(struct lifter *f)
{
	const struct pare_cell *c = f->cell;
	int64_t half = c->n_gates * f->l->n_hidden;
	float *v = pare_arena_array(&f->rw->arena, 2 * (size_t)half, sizeof *v);
	enum pare_code code = v != NULL ? PARE_OK : pare_err_nomem(f->err, 2 * (size_t)half * sizeof *v);

	for (int i = 0; i < c->n_gates && code == PARE_OK; i++) {
		const struct pare_cell_gate *g = &c->gate[i];

		for (int b = 0; b < g->n_bias && code == PARE_OK; b++)
			code = put_part(f, &g->bias[b], 1, v + i * f->l->n_hidden);
		for (int b = 0; b < g->n_hidden_bias && code == PARE_OK; b++)
			code = put_part(f, &g->hidden_bias[b], 1, v + half + i * f->l->n_hidden);
	}
	return code == PARE_OK ? v : NULL;
}

static bool has_bias(const struct pare_cell *c)
{
	for (int i = 0; i < c->n_gates; i++)
		if (c->gate[i].n_bias + c->gate[i].n_hidden_bias > 0)
			return true;
	return false;
}

/* --- layers that are called twice */

/* A tensor of the graph is itself; one of the body is whatever has its values. */
static const struct pare_tensor *identity_of(const struct pare_loop *l, const struct pare_tensor *t)
{
	for (int32_t v = 0; v < l->body->n_values; v++)
		if (l->body->values[v].init == t || pare_loop_constant((struct pare_loop_ref){l->body, v}) == t)
			return NULL;
	return t;
}

static void note_part(const struct pare_loop *l, const struct pare_cell_part *p, struct layer *out)
{
	out->part[out->n_parts++] = (struct pare_cell_part){.t = identity_of(l, p->t), .row = p->row, .col = p->col};
}

static void note_parts(const struct pare_loop *l, const struct pare_cell *c, struct layer *out)
{
	for (int i = 0; i < c->n_gates; i++) {
		const struct pare_cell_gate *g = &c->gate[i];

		note_part(l, &g->w, out);
		note_part(l, &g->r, out);
		for (int b = 0; b < g->n_bias; b++)
			note_part(l, &g->bias[b], out);
		for (int b = 0; b < g->n_hidden_bias; b++)
			note_part(l, &g->hidden_bias[b], out);
	}
}

static bool same_layer(const struct layer *a, const struct layer *b)
{
	size_t row = (size_t)(a->n_gates * a->n_hidden);
	bool same = a->n_gates == b->n_gates && a->n_hidden == b->n_hidden && a->n_in == b->n_in && a->n_parts == b->n_parts;

	for (int i = 0; i < a->n_parts && same; i++)
		same = a->part[i].t == b->part[i].t && a->part[i].row == b->part[i].row && a->part[i].col == b->part[i].col;
	return same && memcmp(a->w, b->w, row * (size_t)a->n_in * sizeof *a->w) == 0 && memcmp(a->r, b->r, row * (size_t)a->n_hidden * sizeof *a->r) == 0 &&
	       memcmp(a->b, b->b, 2 * row * sizeof *a->b) == 0;
}

static const char *name_of(const struct pare_cell_part *p, const char *otherwise)
{
	return p->t->name[0] != '\0' ? p->t->name : otherwise;
}

static bool put_inits(struct lifter *f, struct layer *y)
{
	const struct pare_cell_gate *gate = f->cell->gate;
	int64_t rows = y->n_gates * y->n_hidden, w[3] = {1, rows, y->n_in}, r[3] = {1, rows, y->n_hidden}, b[2] = {1, 2 * rows};

	y->names[0] = add_init(f, name_of(&gate[0].w, "W"), PARE_DT_FLOAT, 3, w, y->w, (size_t)(rows * y->n_in) * sizeof *y->w);
	if (y->names[0] != NULL)
		y->names[1] = add_init(f, name_of(&gate[0].r, "R"), PARE_DT_FLOAT, 3, r, y->r, (size_t)(rows * y->n_hidden) * sizeof *y->r);
	if (y->names[1] != NULL)
		y->names[2] = has_bias(f->cell) ? add_init(f, "B", PARE_DT_FLOAT, 2, b, y->b, 2 * (size_t)rows * sizeof *y->b) : "";
	return y->names[2] != NULL;
}

/* The names of W, R and B ("" where no gate has a bias): new, or those of the same layer where it was called before. NULL with the error set. A layer is the same as a whole or not at
 * all: exporters write equal constants once, so two layers may have their zeros in common. */
static const char *const *put_weights(struct lifter *f)
{
	struct layers *all = f->layers;
	struct layer *y = &all->list[all->n];

	*y = (struct layer){.n_gates = f->cell->n_gates, .n_hidden = f->l->n_hidden, .n_in = f->cell->gate[0].w.t->dims[0]};
	y->w = read_matrix(f, false, y->n_in);
	y->r = y->w != NULL ? read_matrix(f, true, f->cell->gate[0].r.t->dims[0]) : NULL;
	y->b = y->r != NULL ? read_biases(f) : NULL;
	if (y->b == NULL)
		return NULL;
	note_parts(f->l, f->cell, y);
	for (int i = 0; i < all->n; i++)
		if (same_layer(&all->list[i], y))
			return all->list[i].names;
	if (!put_inits(f, y))
		return NULL;
	all->n++;
	return y->names;
}

/* --- the layer */

/* "" where the state begins with zeros, as it does by itself. */
static const char *put_state(struct lifter *f, int k)
{
	struct pare_loop_ref r = pare_loop_look(f->l, outside(f->l, k));
	const struct pare_node *expand = pare_loop_node(r, "Expand");
	const char *name;

	if (expand != NULL && is_number(f->l, pare_loop_in(r, expand, 0), 0))
		return "";
	name = pare_rewrite_name(f->rw, f->l->g, "initial_h");
	return add(f, 2, (struct pare_new_node){.op = "Unsqueeze", .in = {f->l->g->values[r.v].name, axis(f, 0)}, .out = name}) == PARE_OK ? name : NULL;
}

/* The first steps of X, or all. */
static const char *put_sequence(struct lifter *f, struct extent steps)
{
	const char *x = f->l->g->values[f->l->x].name, *name = x, *end;

	if (steps.n < 0)
		return x;
	end = axis(f, 0) != NULL ? add_index(f, "steps", steps.n) : NULL;
	name = pare_rewrite_name(f->rw, f->l->g, "sequence");
	if (end == NULL || add(f, 4, (struct pare_new_node){.op = "Slice", .in = {x, axis(f, 0), end, axis(f, 0)}, .out = name}) != PARE_OK)
		return NULL;
	return name;
}

static enum pare_code put_layer(struct lifter *f, struct extent steps)
{
	struct pare_loop *l = f->l;
	bool gru = f->cell->n_gates == 3, usual = strcmp(f->cell->act, "Tanh") == 0;
	const char *op = gru ? "GRU" : "RNN", *y = pare_rewrite_name(f->rw, l->g, op), *h = pare_rewrite_name(f->rw, l->g, "last"), *x, *h0 = NULL;
	const char *const *weights;
	struct pare_new_node n = {.op = op, .attr = {{.name = "hidden_size", .value = l->n_hidden}}};
	enum pare_code code = PARE_OK;
	int n_attrs = 1;

	x = put_sequence(f, steps);
	weights = x != NULL ? put_weights(f) : NULL;
	for (int k = 0; k < l->n_carried && weights != NULL; k++)
		if (l->body->inputs[2 + k] == l->state)
			h0 = put_state(f, 2 + k);
	if (h0 == NULL || y == NULL || h == NULL)
		return f->err->code != PARE_OK ? f->err->code : pare_err_nomem(f->err, 0);
	if (f->cell->after)
		n.attr[n_attrs++] = (struct pare_new_attr){.name = "linear_before_reset", .value = 1};
	if (!usual)
		n.attr[n_attrs++] = (struct pare_new_attr){.name = "activations", .text = {gru ? "Sigmoid" : f->cell->act, gru ? f->cell->act : NULL}};
	n.in[0] = x;
	for (int k = 0; k < 3; k++)
		n.in[1 + k] = weights[k];
	n.in[4] = h0[0] != '\0' ? "" : NULL;
	n.in[5] = h0[0] != '\0' ? h0 : NULL;
	n.out = y;
	n.more[0] = h;
	code = add(f, 3, n);
	for (int k = 0; k < l->node->n_out && code == PARE_OK; k++) {
		bool all = k >= l->n_carried;

		if (n_readers(l, l->node->out[k], NULL) > 0)
			code = add(f, 2, (struct pare_new_node){.op = "Squeeze", .in = {all ? y : h, axis(f, all)}, .out = l->g->values[l->node->out[k]].name});
	}
	return code;
}

/* The constants that no one else reads go with it. */
static void drop_constants(const struct pare_loop *l, struct pare_rewrite *rw)
{
	for (int k = 0; k < l->node->n_in; k++) {
		int32_t v = l->node->in[k];

		if (v >= 0 && l->g->values[v].init != NULL && !l->g->values[v].is_input)
			rw->drop_init[v] |= n_readers(l, v, rw->drop_node) == 0;
	}
}

static enum pare_code lift_loop(const struct pare_model *m, int32_t index, struct layers *layers, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	const struct pare_node *node = &m->graph.nodes[index];
	const struct pare_attr *body = pare_node_attr(node, "body");
	struct pare_loop l = {.g = &m->graph, .node = node, .index = index, .n_carried = node->n_in - 2, .x = -1};
	struct pare_model *inner = NULL;
	struct pare_cell cell;
	struct lifter f = {.m = m, .layers = layers, .rw = rw, .l = &l, .cell = &cell, .err = err};
	struct extent steps;
	struct pare_buf own;
	enum pare_code code;
	int n_own;

	if (body == NULL || body->type != PARE_ATTR_GRAPH || node->n_in < 3 || node->in[0] < 0)
		return PARE_OK;
	code = pare_onnx_body(m, body->s, &own, &inner, &n_own, err);
	l.body = inner != NULL ? &inner->graph : NULL;
	if (code == PARE_OK && inner != NULL && n_own == node->n_in && l.body->n_inputs >= n_own && l.body->n_outputs == node->n_out + 1 && node->n_out >= l.n_carried &&
	    recognise(&l, &cell, &steps)) {
		code = put_layer(&f, steps);
		drop_constants(&l, rw);
		rw->drop_node[index] = true;
		*n += code == PARE_OK;
	}
	pare_model_free(inner);
	pare_buf_done(&own);
	return code;
}

enum pare_code pare_lift_loops(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	struct layers *layers = NULL;
	enum pare_code code = PARE_OK;
	int n_loops = 0;

	for (int32_t i = 0; i < m->graph.n_nodes && code == PARE_OK && pare_model_opset(m, "") >= MIN_OPSET && n_loops < MAX_LOOPS; i++)
		if (m->graph.nodes[i].domain[0] == '\0' && strcmp(m->graph.nodes[i].op_type, "Loop") == 0) {
			layers = layers != NULL ? layers : pare_arena_alloc(&rw->arena, sizeof *layers);
			code = layers != NULL ? lift_loop(m, i, layers, rw, n, err) : pare_err_nomem(err, sizeof *layers);
			n_loops++;
		}
	return code;
}
