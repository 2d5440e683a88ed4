/* May a batch be cut into shards? Only if every row goes its own way through every node.
 *
 * Most of it is read off the ties that operators declare for structured pruning: batch axis in, SAME batch axis out. Which
 * axis that is may change on the way (recurrent layers and attention want it second), and an axis may hold more than the
 * batch: its index is (o * rows + row) * inner + i, for o in [0, outer). What must agree among the operands of a node is
 * outer: two axes of 4 N elements, one with the rows slowest and one with them fastest, look the same and are not.
 *
 * A view keeps the row-major order, so what is slower than the batch before is slower than it after: the product of outer
 * and of the dimensions before the axis stays what it was. That covers the reshapes of attention, [T, N, E] to [T, N H, d]
 * to [T N, E], which no tie describes. Outputs of the graph must have the batch first, row by row. A graph where rows meet
 * (softmax over the batch, a reshape that folds it away, x^T x) runs as one shard, whatever the options say.
 *
 * Numbers of rows (a Range over the batch) are other numbers in a shard, where they begin at 0 again. That does no harm where they do nothing
 * but find the row's own elements: among those of all rows, laid flat, as row * size + place, place in [0, size), picked by Gather; or as the first
 * of a tuple that GatherND picks by. This is how exporters write x[rows, columns]; such numbers are followed until there. The place may hang on the row's
 * data (the last token that is no padding: an ArgMax), as long as the graph says within which bounds it is: those are followed, too. */
#include <string.h>

#include "core/graph/net_priv.h"

static bool has_batch(const struct pare_net *net, int32_t value)
{
	return value >= 0 && net->values[value].shape.batch != 0;
}

static int batch_axis(const struct pare_net_value *v)
{
	return __builtin_ctz(v->shape.batch);
}

/* An output's batch axis holds the rows with that outer; false if that cannot be, or contradicts what is known. */
static bool set_outer(struct pare_net_value *v, int64_t outer)
{
	bool possible = outer > 0 && (v->shape.batch & (v->shape.batch - 1)) == 0 && v->shape.dims[batch_axis(v)] % outer == 0;

	if (!possible || (v->outer != 0 && v->outer != outer))
		return false;
	v->outer = outer;
	return true;
}

static bool view_apart(struct pare_net *net, const struct pare_net_node *n)
{
	const struct pare_net_value *x = &net->values[n->node->in[0]];
	struct pare_net_value *y = &net->values[n->node->out[0]];
	int64_t slower, before;

	if (!has_batch(net, n->node->in[0]))
		return true;
	if (y->shape.batch == 0)
		return false;
	slower = x->outer * pare_shape_product(&x->shape, 0, batch_axis(x));
	before = pare_shape_product(&y->shape, 0, batch_axis(y));
	return before > 0 && slower % before == 0 && set_outer(y, slower / before);
}

/* How rows of the batch, which is that axis of input k, reach the outputs by one tie. */
enum rows { ROWS_UNTOUCHED, ROWS_APART, ROWS_MEET };

static enum rows rows_by_tie(struct pare_net *net, const struct pare_net_node *n, const struct pare_tie *e, int k, int axis)
{
	bool is_a = e->a == k && e->a_axis == axis, is_b = e->b == k && e->b_axis == axis;
	int other = (is_a ? e->b : e->a) - PARE_OUT(0), other_axis = is_a ? e->b_axis : e->a_axis;
	int64_t outer = net->values[n->node->in[k]].outer;
	struct pare_net_value *y;

	if (!is_a && !is_b)
		return ROWS_UNTOUCHED;
	if (other < 0)
		return ROWS_MEET;
	y = other < n->node->n_out && n->node->out[other] >= 0 ? &net->values[n->node->out[other]] : NULL;
	if (y != NULL && y->shape.batch != PARE_BIT(other_axis))
		return e->kind == PARE_TIE_OPAQUE ? ROWS_UNTOUCHED : ROWS_MEET;
	if (e->kind == PARE_TIE_SPREAD)
		outer = is_a ? outer * e->outer : outer % e->outer == 0 ? outer / e->outer : 0;
	else if (e->kind != PARE_TIE_SAME)
		return ROWS_MEET;
	return y == NULL || set_outer(y, outer) ? ROWS_APART : ROWS_MEET; /* an output that nobody wants does no harm */
}

/* Every batched input by its ties. */
static bool ties_apart(struct pare_net *net, const struct pare_net_node *n)
{
	struct pare_ties t;

	pare_net_ties(net, n, &t);
	if (t.full)
		return false;
	for (int k = 0; k < n->node->n_in; k++) {
		bool apart = false;

		if (!has_batch(net, n->node->in[k]))
			continue;
		for (int i = 0; i < t.n; i++) {
			enum rows rows = rows_by_tie(net, n, &t.tie[i], k, batch_axis(&net->values[n->node->in[k]]));

			if (rows == ROWS_MEET)
				return false;
			apart |= rows == ROWS_APART;
		}
		if (!apart)
			return false;
	}
	return true;
}

/* --- numbers of rows */

#define MOST_NUMBER ((int64_t)1 << 24) /* what a float holds */

/* A value whose elements are row * size + place, for places from low to high; or tuples of which the first is the row. size 0: another. */
struct numbers {
	int64_t size, low, high;
	bool tuple;
};

static const struct numbers *numbers_of(const struct numbers *by_value, int32_t value)
{
	return value >= 0 && by_value[value].size != 0 ? &by_value[value] : NULL;
}

/* What is known of all values so far. */
struct rows_plan {
	struct pare_net *net;
	struct numbers *numbers;  /* by value */
	struct pare_range *range; /* by value: where its elements are, whatever the data */
};

static struct pare_range range_of(const struct rows_plan *p, int32_t value)
{
	const struct pare_known *k = value >= 0 ? &p->net->values[value].known : NULL;
	struct pare_range r;

	if (k == NULL || k->i64 == NULL || k->batch != NULL || k->n == 0)
		return value >= 0 ? p->range[value] : (struct pare_range){.known = false};
	r = (struct pare_range){true, k->i64[0], k->i64[0]};
	for (size_t i = 1; i < k->n; i++) {
		r.low = k->i64[i] < r.low ? k->i64[i] : r.low;
		r.high = k->i64[i] > r.high ? k->i64[i] : r.high;
	}
	return r;
}

static void note_range(const struct rows_plan *p, const struct pare_net_node *n)
{
	struct pare_range in[PARE_RANGE_INPUTS];

	for (int k = 0; k < PARE_RANGE_INPUTS; k++)
		in[k] = range_of(p, k < n->node->n_in ? n->node->in[k] : -1);
	if (n->node->out[0] >= 0)
		p->range[n->node->out[0]] = pare_net_range(p->net, n, in);
}

static bool is_number(struct pare_range r, int64_t v)
{
	return r.known && r.low == v && r.high == v;
}

static bool count_rows(const struct rows_plan *p, const struct pare_net_node *n, struct numbers *out)
{
	*out = (struct numbers){.size = 1};
	return strcmp(n->op->name, "Range") == 0 && is_number(range_of(p, n->node->in[0]), 0) && is_number(range_of(p, n->node->in[2]), 1);
}

/* How an operator makes numbers of rows of others. at: the operand that has them; *out: those that it has, and then those of the result. False: nobody can tell. */
typedef bool (*follow_fn)(const struct rows_plan *p, const struct pare_net_node *n, int at, struct numbers *out);

static bool same_numbers(const struct rows_plan *p, const struct pare_net_node *n, int at, struct numbers *out)
{
	(void)p, (void)n, (void)out;
	return at == 0;
}

static bool scale_numbers(const struct rows_plan *p, const struct pare_net_node *n, int at, struct numbers *out)
{
	struct pare_range r = range_of(p, n->node->in[1 - at]);

	if (!r.known || r.low != r.high || r.low < 1 || r.high > MOST_NUMBER)
		return false;
	*out = (struct numbers){.size = out->size * r.low, .low = out->low * r.low, .high = out->high * r.low};
	return true;
}

static bool move_numbers(const struct rows_plan *p, const struct pare_net_node *n, int at, struct numbers *out)
{
	struct pare_range r = range_of(p, n->node->in[1 - at]);

	if (!r.known || r.low < -MOST_NUMBER || r.high > MOST_NUMBER)
		return false;
	out->low += r.low;
	out->high += r.high;
	return true;
}

/* As the first of tuples along the last axis. */
static bool begin_tuples(const struct rows_plan *p, const struct pare_net_node *n, int at, struct numbers *out)
{
	const struct pare_shape *x = &p->net->values[n->node->in[0]].shape;
	int last = x->n_dims - 1;
	int64_t axis = pare_node_int(n->node, "axis", 0);

	out->tuple = true;
	return at == 0 && (axis == -1 || axis == last) && x->dims[last] == 1 && (x->batch >> last & 1) == 0 && out->size == 1 && out->low == 0 && out->high == 0;
}

static const struct {
	const char *op;
	follow_fn follow;
} follow_table[] = {{"Cast", same_numbers}, {"Expand", same_numbers}, {"Mul", scale_numbers}, {"Add", move_numbers}, {"Concat", begin_tuples}};

/* One operand, and no other, has numbers of rows. */
static bool follow_numbers(const struct rows_plan *p, const struct pare_net_node *n)
{
	struct numbers now = {.size = 0};
	follow_fn follow = n->op->view ? same_numbers : NULL;
	int at = -1;

	for (size_t i = 0; i < sizeof follow_table / sizeof follow_table[0]; i++)
		if (strcmp(n->op->name, follow_table[i].op) == 0)
			follow = follow_table[i].follow;
	for (int k = 0; k < n->node->n_in; k++) {
		if (numbers_of(p->numbers, n->node->in[k]) == NULL)
			continue;
		if (at >= 0)
			return false;
		at = k;
		now = p->numbers[n->node->in[k]];
	}
	if (follow == NULL || now.tuple || !follow(p, n, at, &now) || now.size > MOST_NUMBER || now.high > MOST_NUMBER || now.low < -MOST_NUMBER)
		return false;
	p->numbers[n->node->out[0]] = now;
	return true;
}

static bool picks_flat(const struct pare_node *n, const struct numbers *index, int64_t size)
{
	return pare_node_int(n, "axis", 0) == 0 && !index->tuple && index->size == size && index->low >= 0 && index->high < size;
}

static bool picks_by_tuples(const struct pare_node *n, const struct numbers *index, int64_t size)
{
	return pare_node_int(n, "batch_dims", 0) == 0 && index->tuple && size == 1;
}

/* Does the node read, by such numbers, nothing but what belongs to the row? size: elements of a row along the batch's axis. */
static const struct {
	const char *op;
	bool (*own)(const struct pare_node *n, const struct numbers *index, int64_t size);
} pick_table[] = {{"Gather", picks_flat}, {"GatherND", picks_by_tuples}};

static bool picks_own(const struct rows_plan *p, const struct pare_net_node *n)
{
	const struct numbers *index = n->node->n_in > 1 ? numbers_of(p->numbers, n->node->in[1]) : NULL;
	const struct pare_net_value *x = &p->net->values[n->node->in[0]];

	for (size_t i = 0; i < sizeof pick_table / sizeof pick_table[0] && index != NULL; i++)
		if (strcmp(n->op->name, pick_table[i].op) == 0)
			return x->shape.batch == PARE_BIT(0) && x->outer == 1 && pick_table[i].own(n->node, index, x->shape.dims[0]) && set_outer(&p->net->values[n->node->out[0]], 1);
	return false;
}

static bool node_apart(const struct rows_plan *p, const struct pare_net_node *n)
{
	struct pare_net *net = p->net;
	bool follows = false;

	if (n->op->counts_rows && has_batch(net, n->node->out[0]))
		return count_rows(p, n, &p->numbers[n->node->out[0]]) && set_outer(&net->values[n->node->out[0]], 1);
	for (int k = 0; k < n->node->n_in; k++)
		follows |= numbers_of(p->numbers, n->node->in[k]) != NULL;
	if (follows && picks_own(p, n))
		return true;
	if (follows && !follow_numbers(p, n))
		return false;
	if (!(n->op->view ? view_apart(net, n) : ties_apart(net, n)))
		return false;
	/* batch axes that no input has are filled with the same for every row */
	for (int k = 0; k < n->node->n_out; k++)
		if (has_batch(net, n->node->out[k]) && net->values[n->node->out[k]].outer == 0 && !set_outer(&net->values[n->node->out[k]], 1))
			return false;
	return true;
}

bool pare_net_shardable(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;
	struct rows_plan p = {.net = net, .numbers = pare_arena_array(&net->arena, (size_t)net->n_values + 1, sizeof *p.numbers),
	    .range = pare_arena_array(&net->arena, (size_t)net->n_values + 1, sizeof *p.range)};

	for (int i = 0; i < g->n_inputs; i++)
		net->values[net->inputs[i]].outer = 1;
	if (p.numbers == NULL || p.range == NULL)
		return false;
	for (int i = 0; i < net->n_nodes; i++) {
		if (!node_apart(&p, &net->nodes[i]))
			return false;
		note_range(&p, &net->nodes[i]);
	}
	for (int i = 0; i < g->n_outputs; i++) {
		const struct pare_net_value *v = &net->values[net->outputs[i]];

		if ((v->shape.batch != 0 && (v->shape.batch != PARE_BIT(0) || v->outer > 1)) || numbers_of(p.numbers, net->outputs[i]) != NULL)
			return false;
	}
	return true;
}
