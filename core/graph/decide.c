/* What a graph computes of shapes alone, asked of one value: the shapes of what leads to it are inferred, and folding (fold.c) says what comes out. The alternative,
 * formulas that are recognised one by one, would know fewer exporters.
 *
 * Sizes that the inputs leave open are tried, two at least that the graph bears (it may end in many convolutions). That all give the same number proves nothing: 1, 2
 * and 5 are all unequal to 37. So a number counts only if what it was computed from is the same, too, back to where sizes become
 * numbers; and an element that was only moved (Shape, Gather, Concat) shows by itself whether it depends on a size. The batch is fold.c's to try, and an element
 * that depends on it says so.
 *
 * What remains of trying is that a size within the net is one number throughout if it is the same for all that is tried, which holds for what operators make of
 * sizes: sums, products and rounded quotients of small numbers. */
#include <math.h>
#include <string.h>

#include "core/graph/lift.h"
#include "core/graph/net_priv.h"

static const int64_t size_table[] = {1, 2, 5, 12, 64, 224};

#define N_SIZES ((int)(sizeof size_table / sizeof size_table[0]))

/* Of a value: would its sizes, would its elements differ between two trials if they depended on what is tried? */
#define SHAPE_TELLS 1
#define VALUE_TELLS 2

/* The model as it is with one size: nothing is taken from its own arena. */
struct trial {
	struct pare_model part;
	struct pare_net net;
	bool open, bears;
};

/* The rows of inputs that leave a size open; none without memory. */
static int close_rows(const struct pare_graph *g, int64_t size, struct pare_row_shape *rows)
{
	int n = 0;

	for (int i = 0; i < g->n_inputs; i++) {
		if (!pare_graph_row(g, i, &rows[n]))
			continue;
		for (int k = 0; k < rows[n].n_dims; k++)
			rows[n].dims[k] = rows[n].dims[k] < 0 ? size : rows[n].dims[k];
		n++;
	}
	return n;
}

static void trial_done(struct trial *t)
{
	pare_arena_done(&t->net.arena);
	*t = (struct trial){.bears = false};
}

/* Infers with one size; t->bears says whether the graph can be computed with it. */
static enum pare_code try_size(struct trial *t, const struct pare_model *m, const int32_t *value, int64_t size, struct pare_err *err)
{
	struct pare_err unwanted = {.code = PARE_OK};
	struct pare_row_shape *rows;
	enum pare_code code;

	*t = (struct trial){.part = *m, .net = {.model = &t->part, .opt = {.n_threads = 1, .max_batch = 1}, .fixed_batch = PARE_DIM_UNKNOWN}};
	pare_arena_init(&t->net.arena, (size_t)1 << 30);
	rows = pare_arena_array(&t->net.arena, (size_t)m->graph.n_inputs + 1, sizeof *rows);
	if (rows == NULL)
		return pare_err_nomem(err, 0);
	t->part.graph.outputs = value;
	t->part.graph.n_outputs = 1;
	t->part.graph.n_watched = 0;
	t->part.rows = rows;
	t->part.n_rows = close_rows(&m->graph, size, rows);
	t->open = t->part.n_rows > 0;
	code = pare_net_infer_shapes(&t->net, &unwanted);
	t->bears = code == PARE_OK;
	return code == PARE_E_NOMEM ? pare_err_nomem(err, 0) : PARE_OK;
}

/* --- two trials against each other */

static bool same_elements(const struct pare_known *a, const struct pare_known *b)
{
	if (!pare_net_is_known(a) || !pare_net_is_known(b) || a->batch != NULL || b->batch != NULL || a->n != b->n || (a->i64 == NULL) != (b->i64 == NULL))
		return false;
	return a->i64 != NULL ? memcmp(a->i64, b->i64, a->n * sizeof *a->i64) == 0 : memcmp(a->f32, b->f32, a->n * sizeof *a->f32) == 0;
}

static bool is_initializer(const struct pare_value *v)
{
	return v->init != NULL && !v->is_input;
}

/* Has the value the same elements whatever comes? */
static bool is_settled(const struct trial *a, const struct trial *b, const uint8_t *tells, int32_t v)
{
	return is_initializer(&a->part.graph.values[v]) || ((tells[v] & VALUE_TELLS) != 0 && same_elements(&a->net.values[v].known, &b->net.values[v].known));
}

static uint8_t node_tells(const struct trial *a, const struct trial *b, const uint8_t *tells, const struct pare_node *n, const struct pare_op *op)
{
	bool shape = true, value = true;

	for (int k = 0; k < n->n_in; k++) {
		int32_t v = n->in[k];

		if (v < 0)
			continue;
		shape &= (tells[v] & SHAPE_TELLS) != 0 && (!pare_op_has(op->const_in, k) || (tells[v] & VALUE_TELLS) != 0);
		if (pare_op_has(op->moves_in, k))
			value &= (tells[v] & VALUE_TELLS) != 0;
		else if (!pare_op_has(op->shape_in, k))
			value &= is_settled(a, b, tells, v);
	}
	return (uint8_t)((shape ? SHAPE_TELLS : 0) | (shape && value ? VALUE_TELLS : 0));
}

/* Nodes stand in their order. */
static bool agree(const struct trial *a, const struct trial *b, int32_t value, uint8_t *tells)
{
	const struct pare_graph *g = &a->part.graph;

	for (int32_t v = 0; v < g->n_values; v++)
		tells[v] = is_initializer(&g->values[v]) ? SHAPE_TELLS | VALUE_TELLS : SHAPE_TELLS;
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *n = &g->nodes[i];
		const struct pare_op *op = pare_op_find(n->domain, n->op_type, n->opset > 0 ? n->opset : pare_model_opset(&a->part, n->domain));
		uint8_t t = op != NULL ? node_tells(a, b, tells, n, op) : 0;

		for (int k = 0; k < n->n_out; k++)
			if (n->out[k] >= 0)
				tells[n->out[k]] = t;
	}
	return is_settled(a, b, tells, value);
}

/* --- all of them */

static double number_of(const struct pare_known *k)
{
	return k->n != 1 ? NAN : k->i64 != NULL ? (double)k->i64[0] : (double)k->f32[0];
}

/* *first bears its size; nobody is asked twice where no size is open. */
static enum pare_code try_rest(struct trial *first, const struct pare_model *m, const int32_t *value, int next, size_t *work, double *out, struct pare_err *err)
{
	uint8_t *tells = pare_arena_alloc(&first->net.arena, (size_t)m->graph.n_values + 1);
	int n = first->open ? 0 : 1;
	struct trial *other = pare_arena_alloc(&first->net.arena, sizeof *other);
	enum pare_code code = PARE_OK;
	bool same = true;

	if (tells == NULL || other == NULL)
		return pare_err_nomem(err, 0);
	if (!first->open)
		same = agree(first, first, *value, tells);
	for (int i = next; i < N_SIZES && first->open && same && code == PARE_OK; i++) {
		*work += (size_t)m->graph.n_nodes;
		code = try_size(other, m, value, size_table[i], err);
		if (code == PARE_OK && other->bears) {
			same = agree(first, other, *value, tells);
			n++;
		}
		trial_done(other);
	}
	if (code == PARE_OK && same && n > 0)
		*out = number_of(&first->net.values[*value].known);
	return code;
}

static enum pare_code decide(const struct pare_model *m, int32_t value, double *out, size_t *work, struct pare_err *err)
{
	struct trial first = {.open = true};
	enum pare_code code = PARE_OK;
	int i = 0;

	while (i < N_SIZES && !first.bears && first.open && code == PARE_OK) {
		trial_done(&first);
		*work += (size_t)m->graph.n_nodes;
		code = try_size(&first, m, &value, size_table[i++], err);
	}
	if (code == PARE_OK && first.bears)
		code = try_rest(&first, m, &value, i, work, out, err);
	trial_done(&first);
	return code;
}

enum pare_code pare_graph_decide(const struct pare_model *m, int32_t value, double *out, size_t *work, struct pare_err *err)
{
	const struct pare_tensor *t = m->graph.values[value].init;
	float v;

	*out = NAN;
	if (t == NULL)
		return decide(m, value, out, work, err);
	if (!m->graph.values[value].is_input && t->n_elems == 1 && !t->external && pare_tensor_read_f32(t, &v, NULL) == PARE_OK)
		*out = (double)v;
	return PARE_OK;
}
