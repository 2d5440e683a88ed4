/* Bounds of what is computed of data: an index that an ArgMax finds is within its axis, a remainder below its divisor, a truth 0 or 1. Only what holds for all data is
 * said, NaN among them: of numbers that are no integers nothing is known unless they are made of such. */
#include <string.h>

#include "core/graph/net_priv.h"

#define MOST ((int64_t)1 << 24) /* of what is followed: floats hold it, and products do not overflow */

struct range_node {
	const struct pare_net *net;
	const struct pare_net_node *n;
	const struct pare_range *in;
};

static const struct pare_range unknown = {.known = false};

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool both(const struct range_node *r)
{
	return r->in[0].known && r->in[1].known;
}

static bool is_integer(const struct range_node *r)
{
	int dtype = r->net->values[r->n->node->in[0]].dtype;

	return dtype == PARE_DT_INT64 || dtype == PARE_DT_INT32;
}

/* Types in which nothing that is followed wraps or is rounded. */
static bool holds_all(int dtype)
{
	return dtype == PARE_DT_INT64 || dtype == PARE_DT_INT32 || dtype == PARE_DT_FLOAT || dtype == PARE_DT_DOUBLE;
}

static struct pare_range truth(const struct range_node *r)
{
	(void)r;
	return (struct pare_range){true, 0, 1};
}

static struct pare_range first_of_all(const struct range_node *r)
{
	return r->in[0];
}

/* Along an axis that is not the batch's. */
static struct pare_range place(const struct range_node *r)
{
	const struct pare_shape *x = &r->net->values[r->n->node->in[0]].shape;
	int axis = pare_axis(pare_node_int(r->n->node, "axis", 0), x->n_dims, false);

	return axis < 0 || (x->batch & PARE_BIT(axis)) != 0 || x->dims[axis] < 1 ? unknown : (struct pare_range){true, 0, x->dims[axis] - 1};
}

static struct pare_range sum(const struct range_node *r)
{
	return both(r) ? (struct pare_range){true, r->in[0].low + r->in[1].low, r->in[0].high + r->in[1].high} : unknown;
}

static struct pare_range difference(const struct range_node *r)
{
	return both(r) ? (struct pare_range){true, r->in[0].low - r->in[1].high, r->in[0].high - r->in[1].low} : unknown;
}

static struct pare_range product(const struct range_node *r)
{
	int64_t p[4] = {r->in[0].low * r->in[1].low, r->in[0].low * r->in[1].high, r->in[0].high * r->in[1].low, r->in[0].high * r->in[1].high};

	return both(r) ? (struct pare_range){true, smaller(smaller(p[0], p[1]), smaller(p[2], p[3])), larger(larger(p[0], p[1]), larger(p[2], p[3]))} : unknown;
}

/* A remainder has the sign of its divisor; of integers only: what is no number has none. */
static struct pare_range remainder_of(const struct range_node *r)
{
	bool whole = is_integer(r) && pare_node_int(r->n->node, "fmod", 0) == 0;

	return whole && r->in[1].known && r->in[1].low > 0 ? (struct pare_range){true, 0, r->in[1].high - 1} : unknown;
}

/* To bounds that are inputs. */
static struct pare_range clip(const struct range_node *r)
{
	struct pare_range x = r->in[0];

	if (pare_node_attr(r->n->node, "min") != NULL || pare_node_attr(r->n->node, "max") != NULL)
		return unknown;
	if (is_integer(r) && !x.known && r->in[1].known && r->in[2].known)
		return (struct pare_range){true, smaller(r->in[1].low, r->in[2].low), r->in[2].high};
	if (x.known && r->in[1].known)
		x = (struct pare_range){true, larger(x.low, r->in[1].low), larger(x.high, r->in[1].high)};
	if (x.known && r->in[2].known)
		x = (struct pare_range){true, smaller(x.low, r->in[2].low), smaller(x.high, r->in[2].high)};
	return x.known && (r->n->node->n_in < 2 || r->n->node->in[1] < 0 || r->in[1].known) && (r->n->node->n_in < 3 || r->n->node->in[2] < 0 || r->in[2].known) ? x : unknown;
}

static struct pare_range smallest(const struct range_node *r)
{
	return r->n->node->n_in == 2 && both(r) ? (struct pare_range){true, smaller(r->in[0].low, r->in[1].low), smaller(r->in[0].high, r->in[1].high)} : unknown;
}

static struct pare_range largest(const struct range_node *r)
{
	return r->n->node->n_in == 2 && both(r) ? (struct pare_range){true, larger(r->in[0].low, r->in[1].low), larger(r->in[0].high, r->in[1].high)} : unknown;
}

static struct pare_range either(const struct range_node *r)
{
	if (!r->in[1].known || !r->in[2].known)
		return unknown;
	return (struct pare_range){true, smaller(r->in[1].low, r->in[2].low), larger(r->in[1].high, r->in[2].high)};
}

static const struct {
	const char *op;
	struct pare_range (*range)(const struct range_node *r);
} range_table[] = {
    {"And", truth}, {"Equal", truth}, {"Greater", truth}, {"GreaterOrEqual", truth}, {"IsInf", truth}, {"IsNaN", truth}, {"Less", truth}, {"LessOrEqual", truth},
    {"Not", truth}, {"Or", truth}, {"Xor", truth},
    {"ArgMax", place}, {"ArgMin", place}, {"Clip", clip}, {"Mod", remainder_of}, {"Max", largest}, {"Min", smallest},
    {"Add", sum}, {"Sub", difference}, {"Mul", product}, {"Where", either},
    {"Cast", first_of_all}, {"Expand", first_of_all}, {"Gather", first_of_all}, {"Identity", first_of_all}, {"Slice", first_of_all}, {"Tile", first_of_all},
    {"Transpose", first_of_all},
};

struct pare_range pare_net_range(const struct pare_net *net, const struct pare_net_node *n, const struct pare_range in[PARE_RANGE_INPUTS])
{
	const struct range_node r = {.net = net, .n = n, .in = in};
	struct pare_range out = n->op->view ? in[0] : unknown;
	int dtype;

	for (size_t i = 0; i < sizeof range_table / sizeof range_table[0]; i++)
		if (n->op->domain[0] == '\0' && strcmp(n->op->name, range_table[i].op) == 0)
			out = range_table[i].range(&r);
	dtype = net->values[n->node->out[0]].dtype;
	if (dtype == PARE_DT_BOOL && out.known)
		return truth(&r);
	return out.known && out.low >= -MOST && out.high <= MOST && holds_all(dtype) ? out : unknown;
}
