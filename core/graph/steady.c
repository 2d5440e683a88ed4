/* Which values are the same whatever sizes the rows have where the model leaves them open, told from two inferences with different sizes.
 *
 * That both give the same number proves nothing: neither 8 nor 16 is 37, and both are multiples of 8. So a number counts only if what it was
 * computed from is the same, too, back to where sizes become numbers; and an element that was only moved (Shape, Gather, Concat) shows by itself whether
 * it depends on a size. What is left of trying is that a size within the net is one number throughout if it is the same in both, which
 * holds for what operators make of sizes: sums, products and rounded quotients of small numbers. */
#include <string.h>

#include "core/graph/net_priv.h"

/* Of a value: would its sizes, would its elements differ between the two if they depended on an open size? Is all steady that it is made of? */
#define SHAPE_TELLS 1
#define VALUE_TELLS 2
#define ALL_STEADY 4

static bool is_initializer(const struct pare_value *v)
{
	return v->init != NULL && !v->is_input;
}

static bool same_bytes(const void *a, const void *b, size_t n)
{
	return (a == NULL) == (b == NULL) && (a == NULL || memcmp(a, b, n) == 0);
}

static bool same_elements(const struct pare_known *a, const struct pare_known *b)
{
	return a->n == b->n && same_bytes(a->i64, b->i64, a->n * sizeof *a->i64) && same_bytes(a->f32, b->f32, a->n * sizeof *a->f32) &&
	       same_bytes(a->batch, b->batch, a->n * sizeof *a->batch);
}

/* Elements that are looked at are compared; constants that are too large for that follow what they are made of. */
static bool is_steady(const struct pare_net *a, const struct pare_net *b, const uint8_t *tells, int32_t v)
{
	const struct pare_net_value *x = &a->values[v], *y = &b->values[v];

	if (is_initializer(&a->model->graph.values[v]))
		return true;
	if (pare_net_is_known(&x->known) && pare_net_is_known(&y->known))
		return (tells[v] & VALUE_TELLS) != 0 && same_elements(&x->known, &y->known);
	return x->constant && y->constant && (tells[v] & ALL_STEADY) != 0 && (tells[v] & SHAPE_TELLS) != 0 && pare_shape_same(&x->shape, &y->shape);
}

static uint8_t node_tells(const struct pare_net *a, const struct pare_net *b, const uint8_t *tells, const bool *steady, const struct pare_node *n,
    const struct pare_op *op)
{
	bool shape = true, value = true, all = true;

	for (int k = 0; k < n->n_in; k++) {
		int32_t v = n->in[k];

		if (v < 0)
			continue;
		shape &= (tells[v] & SHAPE_TELLS) != 0 && (!pare_op_has(op->const_in, k) || (tells[v] & VALUE_TELLS) != 0);
		all &= pare_op_has(op->shape_in, k) ? pare_shape_same(&a->values[v].shape, &b->values[v].shape) : steady[v];
		if (pare_op_has(op->moves_in, k))
			value &= (tells[v] & VALUE_TELLS) != 0;
		else if (!pare_op_has(op->shape_in, k))
			value &= steady[v];
	}
	return (uint8_t)((shape ? SHAPE_TELLS : 0) | (shape && value ? VALUE_TELLS : 0) | (shape && all ? ALL_STEADY : 0));
}

/* Nodes stand in their order. */
void pare_net_find_steady(const struct pare_net *a, const struct pare_net *b, uint8_t *tells, bool *steady)
{
	const struct pare_graph *g = &a->model->graph;

	for (int32_t v = 0; v < g->n_values; v++) {
		tells[v] = is_initializer(&g->values[v]) ? SHAPE_TELLS | VALUE_TELLS | ALL_STEADY : SHAPE_TELLS;
		steady[v] = is_steady(a, b, tells, v);
	}
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *n = &g->nodes[i];
		const struct pare_op *op = pare_op_find(n->domain, n->op_type, n->opset > 0 ? n->opset : pare_model_opset(a->model, n->domain));
		uint8_t t = op != NULL ? node_tells(a, b, tells, steady, n, op) : 0;

		for (int k = 0; k < n->n_out; k++)
			if (n->out[k] >= 0) {
				tells[n->out[k]] = t;
				steady[n->out[k]] = is_steady(a, b, tells, n->out[k]);
			}
	}
}
