/* Formulas that exporters spell out, as the one operator that they mean.
 *
 *   Gelu      x / sqrt 2 -> Erf -> + 1, times x, times a half, in the three orders that are found in files
 *
 * Written out it is five passes over memory forward and ten backward, with four tensors kept in between. The nodes are
 * replaced by one whose row is that of the operator (opset 20, whatever the file's opset), at the place of the last. What
 * somebody else looks at stays as it is. */
#include <math.h>
#include <string.h>

#include "core/graph/net_priv.h"

struct gelu {
	int32_t x;    /* value */
	int part[5];  /* nodes that go, by place in net->nodes; -1: none */
	int last;     /* the node that is replaced */
};

static bool is_op(const struct pare_net *net, int i, const char *name)
{
	return i >= 0 && strcmp(net->nodes[i].op->name, name) == 0 && net->nodes[i].node->n_out == 1;
}

/* The only node that reads what node i computes, -1: there is none. */
static int reader(const struct pare_net *net, int i)
{
	int operand;

	return pare_net_only_reader(net, net->nodes[i].node->out[0], &operand);
}

/* A constant of one element, up to its last digits: exporters round the root of two as they like. */
static bool is_number(const struct pare_net *net, int32_t value, double number)
{
	const struct pare_known *known = &net->values[value].known;

	return net->values[value].constant && known->f32 != NULL && known->n == 1 && net->values[value].shape.n_dims == 0 &&
	       fabs((double)known->f32[0] - number) < 1e-6;
}

/* The operand of a commutative node i beside `value`. */
static int32_t beside(const struct pare_net *net, int i, int32_t value)
{
	const struct pare_node *n = net->nodes[i].node;

	return n->in[0] == value ? n->in[1] : n->in[0];
}

/* Is node i the named operator with a number as one operand? The other one to *out. */
static bool with_number(const struct pare_net *net, int i, const char *name, double number, int32_t *out)
{
	if (!is_op(net, i, name))
		return false;
	for (int k = 1; k >= (strcmp(name, "Div") == 0 ? 1 : 0); k--)
		if (is_number(net, net->nodes[i].node->in[k], number)) {
			*out = net->nodes[i].node->in[1 - k];
			return true;
		}
	return false;
}

/* The products that follow 1 + erf (node i): with x and a half, in any order. */
static bool match_products(const struct pare_net *net, int i, struct gelu *g)
{
	int first = reader(net, i), second, half;
	int32_t other, from;

	if (!is_op(net, first, "Mul"))
		return false;
	other = beside(net, first, net->nodes[i].node->out[0]);
	half = pare_net_producer(net, other);
	if (half >= 0 && reader(net, half) == first && with_number(net, half, "Mul", 0.5, &from) && from == g->x) {
		g->part[3] = half;
		g->last = first;
		return true;
	}
	second = reader(net, first);
	if (!is_op(net, second, "Mul"))
		return false;
	g->part[3] = first;
	g->last = second;
	if (other == g->x)
		return with_number(net, second, "Mul", 0.5, &from);
	return is_number(net, other, 0.5) && beside(net, second, net->nodes[first].node->out[0]) == g->x;
}

static bool match_gelu(const struct pare_net *net, int i, struct gelu *g)
{
	int scaled, one;
	int32_t from;

	if (!is_op(net, i, "Erf"))
		return false;
	scaled = pare_net_producer(net, net->nodes[i].node->in[0]);
	one = reader(net, i);
	if (scaled < 0 || reader(net, scaled) != i || !with_number(net, one, "Add", 1.0, &from))
		return false;
	if (!with_number(net, scaled, "Div", sqrt(2.0), &g->x) && !with_number(net, scaled, "Mul", sqrt(0.5), &g->x))
		return false;
	g->part[0] = scaled;
	g->part[1] = i;
	g->part[2] = one;
	return match_products(net, one, g);
}

static enum pare_code replace(struct pare_net *net, const struct gelu *g, struct pare_err *err)
{
	struct pare_net_node n = net->nodes[g->last];
	struct pare_node *node = pare_arena_alloc(&net->arena, sizeof *node);
	int32_t *in = pare_arena_array(&net->arena, 1, sizeof *in);
	enum pare_code code;

	if (node == NULL || in == NULL)
		return pare_err_nomem(err, 0);
	*in = g->x;
	*node = (struct pare_node){.name = n.node->name, .op_type = "Gelu", .domain = "", .opset = PARE_OPSET_MAX, .n_in = 1, .n_out = 1, .in = in,
	    .out = n.node->out};
	n = (struct pare_net_node){.index = n.index, .node = node};
	code = pare_net_plan_node(net, &n, err);
	if (code != PARE_OK)
		return code;
	pare_net_put(net, g->last, &n);
	for (int k = 0; k < 5; k++)
		if (g->part[k] >= 0)
			pare_net_remove(net, g->part[k]);
	return PARE_OK;
}

enum pare_code pare_net_join_idioms(struct pare_net *net, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < net->n_nodes && code == PARE_OK; i++) {
		struct gelu g = {.part = {-1, -1, -1, -1, -1}};

		if (net->nodes[i].node != NULL && !net->nodes[i].constant && match_gelu(net, i, &g))
			code = replace(net, &g, err);
	}
	return code;
}
