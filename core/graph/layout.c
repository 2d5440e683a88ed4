/* Which values stand with their channels last, [N, ..., C] instead of [N, C, ...]: between shapes and memory.
 *
 * Direct convolution runs at the multipliers' limit when the channels of a position are contiguous (kernels/conv_last.c),
 * which no user writes and no ONNX model says. So a row may say what it can do (pare_op.layout): convolutions ask for
 * channels last; element-wise operators, norms, pools and concatenations follow what their inputs have; everything else is
 * row-major. One pass in graph order decides per node, and puts a node of its own (core/ops/layout.c) where a value is wanted
 * in the other order: in practice behind the input and before Flatten, where a plane of one position needs no copy at
 * all. Shapes stay those of the graph in everything that plans and couples; what runs sees the dimensions as they stand
 * in memory.
 *
 * Rejected: choosing by cost (a cut through the graph). Chains of convolutions are all or nothing, and the rule that can be
 * said in a sentence gave the same plan on every net at hand. */
#include <string.h>

#include "core/graph/net_priv.h"

struct pass {
	struct pare_net *net;
	struct pare_net_node *nodes; /* the new list */
	int n_nodes;
	int32_t *other; /* by value: the value that holds it in the other order, -1 if there is none yet */
};

/* Could this value stand either way: images with channels. */
static bool has_planes(const struct pare_net_value *v)
{
	return v->shape.n_dims >= 3 && v->shape.batch == PARE_BIT(0) && v->shape.dims[0] == 1;
}

static enum pare_layout wish(const struct pare_net *net, const struct pare_net_node *n)
{
	const struct pare_shape *in[64] = {NULL}, *out[64] = {NULL};
	struct pare_node_view view = {.args = n->args, .n_in = n->node->n_in, .n_out = n->node->n_out, .in = in, .out = out};

	if (n->op->layout == NULL || n->constant || view.n_in > 64 || view.n_out > 64 || n->node->in[0] < 0 || n->node->out[0] < 0 ||
	    !has_planes(&net->values[n->node->in[0]]) || !has_planes(&net->values[n->node->out[0]]))
		return PARE_LAYOUT_PLAIN;
	for (int k = 0; k < view.n_in; k++)
		in[k] = n->node->in[k] >= 0 ? &net->values[n->node->in[k]].shape : NULL;
	for (int k = 0; k < view.n_out; k++)
		out[k] = n->node->out[k] >= 0 ? &net->values[n->node->out[k]].shape : NULL;
	return n->op->layout(&view);
}

bool pare_net_could_be_last(const struct pare_net *net, const struct pare_net_node *n)
{
	return wish(net, n) != PARE_LAYOUT_PLAIN;
}

static bool runs_last(const struct pare_net *net, const struct pare_net_node *n)
{
	enum pare_layout l = wish(net, n);

	for (int k = 0; l == PARE_LAYOUT_EITHER && k < n->node->n_in; k++)
		if (n->node->in[k] >= 0 && net->values[n->node->in[k]].last)
			return true;
	return l == PARE_LAYOUT_LAST;
}

static int32_t new_value(struct pass *p, int32_t like, bool last)
{
	int32_t v = p->net->n_values++;

	p->net->values[v] = p->net->values[like];
	p->net->values[v].root = p->net->values[v].grad_root = v;
	p->net->values[v].last = last;
	p->net->values[v].input = false;
	p->other[v] = -1;
	return v;
}

/* A node that brings `from` into `to`'s order. */
static enum pare_code convert(struct pass *p, int32_t from, int32_t to, struct pare_err *err)
{
	struct pare_net_node *n = &p->nodes[p->n_nodes++];
	struct pare_node *node = pare_arena_alloc(&p->net->arena, sizeof *node);
	int32_t *ends = pare_arena_array(&p->net->arena, 2, sizeof *ends);
	const struct pare_shape *s = &p->net->values[from].shape;

	*n = (struct pare_net_node){.index = -1, .node = node, .op = p->net->values[to].last ? &pare_op_to_last : &pare_op_to_first,
	    .where = "a change of layout", .accumulate = pare_arena_array(&p->net->arena, 1, sizeof(bool))};
	if (node == NULL || ends == NULL || n->accumulate == NULL)
		return pare_err_nomem(err, 0);
	ends[0] = from;
	ends[1] = to;
	*node = (struct pare_node){.name = "", .op_type = n->op->name, .domain = "", .n_in = 1, .n_out = 1, .in = ends, .out = ends + 1};
	n->view = s->dims[1] == 1 || pare_shape_product(s, 2, s->n_dims) == 1;
	return PARE_OK;
}

static enum pare_code in_order(struct pass *p, int32_t *value, bool last, struct pare_err *err)
{
	int32_t v = *value;

	if (!has_planes(&p->net->values[v]) || p->net->values[v].last == last)
		return PARE_OK;
	if (p->other[v] < 0) {
		p->other[v] = new_value(p, v, last);
		*value = p->other[v];
		return convert(p, v, *value, err);
	}
	*value = p->other[v];
	return PARE_OK;
}

/* The node with operands of its own, to be changed. */
static enum pare_code own_operands(struct pass *p, struct pare_net_node *n, int32_t **in, int32_t **out, struct pare_err *err)
{
	struct pare_node *node = pare_arena_alloc(&p->net->arena, sizeof *node);
	size_t n_in = (size_t)n->node->n_in, n_out = (size_t)n->node->n_out;

	*in = pare_arena_array(&p->net->arena, n_in + n_out + 1, sizeof **in);
	if (node == NULL || *in == NULL)
		return pare_err_nomem(err, 0);
	*out = *in + n_in;
	for (size_t k = 0; k < n_in; k++)
		(*in)[k] = n->node->in[k];
	for (size_t k = 0; k < n_out; k++)
		(*out)[k] = n->node->out[k];
	*node = *n->node;
	node->in = *in;
	node->out = *out;
	n->node = node;
	return PARE_OK;
}

/* The graph's outputs are row-major: such a node writes a value beside, which is then brought into order. */
static enum pare_code place_outputs(struct pass *p, const struct pare_net_node *n, int32_t *out, struct pare_err *err)
{
	for (int k = 0; k < n->node->n_out; k++) {
		int32_t v = out[k];
		enum pare_code code;

		if (v < 0 || !n->last || !has_planes(&p->net->values[v]))
			continue;
		if (!p->net->edges[v].given) {
			p->net->values[v].last = true;
			continue;
		}
		out[k] = new_value(p, v, true);
		p->other[out[k]] = v;
		p->other[v] = out[k];
		code = convert(p, out[k], v, err);
		if (code != PARE_OK)
			return code;
	}
	return PARE_OK;
}

static enum pare_code place_node(struct pass *p, struct pare_net_node n, struct pare_err *err)
{
	int32_t *in = NULL, *out = NULL;
	enum pare_code code;

	n.last = runs_last(p->net, &n);
	code = own_operands(p, &n, &in, &out, err);
	/* a convolution's weights stay as they are, even where they are an input of the graph */
	for (int k = 0; k < n.node->n_in && code == PARE_OK; k++)
		if (pare_net_is_read(&n, k) && (!n.last || !pare_op_has(n.op->weight_in, k)))
			code = in_order(p, &in[k], n.last, err);
	if (code != PARE_OK)
		return code;
	p->nodes[p->n_nodes++] = n;
	return place_outputs(p, &n, out, err);
}

enum pare_code pare_net_choose_layouts(struct pare_net *net, struct pare_err *err)
{
	struct pass p = {.net = net};
	struct pare_net_value *values = net->values;
	size_t n_operands = 0, n_values = (size_t)net->n_values;
	enum pare_code code = PARE_OK;

	for (int i = 0; i < net->n_nodes; i++)
		n_operands += (size_t)(net->nodes[i].node->n_in + net->nodes[i].node->n_out);
	net->values = pare_arena_array(&net->arena, n_values + n_operands + 1, sizeof *values);
	p.nodes = pare_arena_array(&net->arena, (size_t)net->n_nodes + n_operands + 1, sizeof *p.nodes);
	p.other = pare_arena_array(&net->arena, n_values + n_operands + 1, sizeof *p.other);
	if (net->values == NULL || p.nodes == NULL || p.other == NULL) {
		net->values = values;
		return pare_err_nomem(err, 0);
	}
	memcpy(net->values, values, n_values * sizeof *values);
	for (size_t i = 0; i < n_values; i++)
		p.other[i] = -1;
	for (int i = 0; i < net->n_nodes && code == PARE_OK; i++)
		code = place_node(&p, net->nodes[i], err);
	net->nodes = p.nodes;
	net->n_nodes = p.n_nodes;
	return code;
}

void pare_net_resolve(const struct pare_net *net, int32_t value, int64_t rows, struct pare_shape *out)
{
	const struct pare_net_value *v = &net->values[value];

	pare_shape_resolve(&v->shape, rows, out);
	if (!v->last)
		return;
	for (int i = 2; i < out->n_dims; i++)
		out->dims[i - 1] = out->dims[i];
	out->dims[out->n_dims - 1] = v->shape.dims[1];
}
