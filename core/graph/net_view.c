/* The plan as others may read it. A value counts as referred to when a step reads or writes it, const inputs included:
 * those are not live in the plan's own sense (nothing reads them at run time), but they have to shrink with the rest. */
#include "core/graph/net_view.h"

#include <assert.h>

#include "core/graph/net_priv.h"
#include "core/ops/op.h"

const struct pare_model *pare_net_model(const struct pare_net *net)
{
	return net->model;
}

int pare_net_n_steps(const struct pare_net *net)
{
	return net->n_steps;
}

void pare_net_step_at(const struct pare_net *net, int i, struct pare_net_step *out)
{
	const struct pare_net_node *n = &net->steps[i];

	*out = (struct pare_net_step){.index = n->index, .node = n->node, .op = n->op, .args = n->args, .where = n->where};
}

void pare_net_step_ties(const struct pare_net *net, int i, struct pare_ties *out)
{
	pare_net_ties(net, &net->steps[i], out);
}

bool pare_net_step_weighs(const struct pare_net *net, int i, int k)
{
	const struct pare_net_node *n = &net->steps[i];

	return n->node->in[k] >= 0 && net->values[n->node->in[k]].param >= 0 && pare_op_has(n->op->weight_in, k);
}

/* In a plain net the nodes that run are the steps. */
bool pare_net_step_product(const struct pare_net *net, int shard, int i, struct pare_product *out)
{
	const struct pare_op *op = net->nodes[i].op;

	assert(net->opt.plain && net->opt.training && net->n_nodes == net->n_steps);
	return op->product != NULL && op->product(&net->shards[shard].runs[i], out);
}

void pare_net_step_unfold(const struct pare_net *net, int shard, int i, int64_t g, int64_t first, int64_t n, float *x)
{
	net->nodes[i].op->unfold(&net->shards[shard].runs[i], g, first, n, x);
}

const struct pare_shape *pare_net_shape_of(const struct pare_net *net, int32_t value)
{
	return value >= 0 ? &net->values[value].shape : NULL;
}

int pare_net_dtype_of(const struct pare_net *net, int32_t value)
{
	return net->values[value].dtype;
}

int pare_net_param_of(const struct pare_net *net, int32_t value)
{
	return net->values[value].param;
}

bool pare_net_is_carried(const struct pare_net *net, int32_t node)
{
	const struct pare_node *n = &net->model->graph.nodes[node];

	for (int k = 0; k < n->n_out; k++)
		if (n->out[k] >= 0)
			return !net->values[n->out[k]].runs;
	return false;
}

bool pare_net_is_constant(const struct pare_net *net, int32_t value)
{
	return net->values[value].constant;
}

const float *pare_net_constant_f32(const struct pare_net *net, int32_t value)
{
	const struct pare_net_value *v = &net->values[value];

	return v->place == PARE_PLACE_CONST ? v->fixed : v->known.f32;
}

const struct pare_known *pare_net_known(const struct pare_net *net, int32_t value)
{
	return &net->values[value].known;
}
