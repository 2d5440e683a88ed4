/* Which layers the shards of a net that trains divide by output units instead of by rows.
 *
 * Cut by rows, every shard makes the whole gradient of every weight, all are summed, and each step half of the weights and of
 * the gradients (of two shards) have been written by the other core last. For a layer whose weight is larger than all that goes in
 * and out of it, that costs more than the products themselves: 784-128-10 ran on two threads in 0.79 of the time of one. Divided by units,
 * a shard reads, differentiates and updates its own part of the weight only, and what goes from core to core is a few rows of
 * activations; in return shards meet before and after the layer (core/ops/linear.c).
 *
 * Rejected: dividing a layer that reads the data by inputs, each shard filling and reading its own columns of them, so that sums alone go from core to
 * core. Parts of rows lie beside the other core's, and what the processor fetches ahead of a part is the other's: 784-128-10 took a fifth longer.
 *
 * Only where shards run together anyway (struct pare_net_shard, met): in other modes, and while a weight has a sparse structure, such
 * a layer is cut by rows like all others, and its gradient is summed like all others. */
#include <stdlib.h>
#include <string.h>

#include "core/graph/net_priv.h"

#define UNITS_LEAST 16 /* for each shard */

/* The only read of the parameter is this one. */
static bool read_once(const struct pare_net *net, int32_t root)
{
	int n = 0;

	for (int i = 0; i < net->n_nodes; i++)
		for (int k = 0; k < net->nodes[i].node->n_in; k++) {
			int32_t v = net->nodes[i].node->in[k];

			n += v >= 0 && net->values[v].root == root;
		}
	return n == 1;
}

/* Has a shard without rows of the batch none of the node? */
static bool by_rows(const struct pare_net *net, const struct pare_node *n)
{
	return net->values[n->in[0]].shape.batch != 0;
}

static bool pays(const struct pare_net *net, const struct pare_product *p)
{
	int64_t rows = p->n_rows * net->n_shards;

	return p->groups == 1 && p->n_out >= (int64_t)UNITS_LEAST * net->n_shards && 2 * p->n_out * p->n_in >= 3 * rows * (p->n_out + p->n_in);
}

/* Room for the rows of all shards; none where a shard's would not begin with a cache line. */
static size_t place_joint(struct pare_net *net, int32_t root)
{
	size_t n = pare_net_value_elems(net, root, net->shard_rows), at = net->joint_len;

	if (n % 16 != 0)
		return PARE_JOINT_NONE;
	net->joint_len += n * (size_t)net->n_shards;
	return at;
}

static void join_data(struct pare_net *net, int32_t value)
{
	struct pare_net_value *root = &net->values[net->values[value].root];

	if (root->place == PARE_PLACE_SHARD && root->joint == PARE_JOINT_NONE)
		root->joint = place_joint(net, net->values[value].root);
}

static void join_grad(struct pare_net *net, int32_t value)
{
	const struct pare_net_value *v = &net->values[value];
	int32_t root = v->grad_root;
	size_t at;

	if (v->grad_offset == PARE_GRAD_NONE || net->values[root].param >= 0 || net->values[root].grad_joint != PARE_JOINT_NONE)
		return;
	at = place_joint(net, root);
	for (int32_t i = 0; i < net->n_values; i++)
		if (i == root || (v->grad_slot >= 0 && net->values[i].grad_slot == v->grad_slot))
			net->values[i].grad_joint = at;
}

/* One product for the rows of all shards is faster than one for those of each. */
static void join_rows(struct pare_net *net, const struct pare_node *n)
{
	join_data(net, n->in[0]);
	join_data(net, n->out[0]);
	join_grad(net, n->in[0]);
	join_grad(net, n->out[0]);
}

static enum pare_code plan_node(struct pare_net *net, int i, struct pare_err *err)
{
	struct pare_net_node *n = &net->nodes[i];
	struct pare_product p;
	struct pare_run r;
	int32_t v;
	enum pare_code code;

	if (n->op->splits == NULL || !n->backward || !by_rows(net, n->node))
		return PARE_OK;
	code = pare_net_run_shapes(net, n, &r, err);
	if (code != PARE_OK || !n->op->product(&r, &p) || !n->op->splits(&r) || !pays(net, &p))
		return code;
	v = n->node->in[p.weight_in];
	if (v < 0 || net->values[v].param < 0 || net->values[v].grad_offset == PARE_GRAD_NONE || !read_once(net, v))
		return PARE_OK;
	n->split = true;
	join_rows(net, n->node);
	net->splits[net->n_splits++] = (struct pare_net_split){.node = i, .param = net->values[v].param, .n_units = p.n_out,
	    .unit = p.w_out == p.n_in ? p.n_in : 0};
	return PARE_OK;
}

static int by_param(const void *a, const void *b)
{
	const struct pare_net_split *x = a, *y = b;

	return (x->param > y->param) - (x->param < y->param);
}

/* Is the parameter updated where its gradient is made? */
static const struct pare_net_split *updated_by_units(const struct pare_net *net, int param)
{
	for (int i = 0; i < net->n_splits; i++)
		if (net->splits[i].param == param && net->splits[i].unit > 0)
			return &net->splits[i];
	return NULL;
}

static size_t param_end(const struct pare_net *net, int p)
{
	return p + 1 < net->n_params ? net->params[p + 1].offset : net->slab_len;
}

enum pare_code pare_net_plan_splits(struct pare_net *net, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	net->splits = pare_arena_array(&net->arena, (size_t)net->n_params + 1, sizeof *net->splits);
	net->even_before = pare_arena_array(&net->arena, (size_t)net->n_params + 1, sizeof *net->even_before);
	if (net->splits == NULL || net->even_before == NULL)
		return pare_err_nomem(err, (size_t)net->n_params * sizeof *net->splits);
	for (int i = 0; i < net->n_nodes && code == PARE_OK && net->opt.training && !net->opt.plain && net->n_shards > 1; i++)
		code = plan_node(net, i, err);
	qsort(net->splits, (size_t)net->n_splits, sizeof *net->splits, by_param);
	for (int p = 0; p < net->n_params; p++)
		net->even_before[p + 1] = net->even_before[p] + (updated_by_units(net, p) != NULL ? 0 : param_end(net, p) - net->params[p].offset);
	return code;
}

void pare_net_param_part(const struct pare_net *net, int p, int s, size_t *begin, size_t *end)
{
	const struct pare_net_split *split = updated_by_units(net, p);
	size_t at = net->params[p].offset, before = net->even_before[p], lines = net->even_before[net->n_params] / 16, n = (size_t)net->n_shards;
	size_t first = 16 * (lines * (size_t)s / n), last = 16 * (lines * ((size_t)s + 1) / n);

	if (split != NULL) {
		int64_t from, count;

		pare_part(split->n_units, s, net->n_shards, &from, &count);
		*begin = at + (size_t)(from * split->unit);
		*end = s + 1 == net->n_shards ? param_end(net, p) : *begin + (size_t)(count * split->unit);
		return;
	}
	first = first > before ? first - before : 0;
	last = last > before ? last - before : 0;
	*begin = at + first < param_end(net, p) ? at + first : param_end(net, p);
	*end = at + last < param_end(net, p) ? at + last : param_end(net, p);
}

void pare_net_note_splits(struct pare_net *net)
{
	for (int i = 0; i < net->n_splits; i++)
		net->splits[i].summed = net->shards[0].runs[net->splits[i].node].peers != NULL;
}
