/* A branch is found from its end backwards: a step belongs to it as soon as all readers of what it makes do. What ends the sweep at x is
 * that others read x, too: the sum itself, or whatever else a concatenation joins. A sweep looks at nothing but the branch and its ends, and is
 * not made where the end's readers say already that there is none: a net may have as many sums as nodes. */
#include "core/prune/layers.h"

#include <stdlib.h>
#include <string.h>

#include "core/graph/net_view.h"
#include "core/ops/op.h"

#define SEVERAL_AXES (PARE_MAX_DIMS + 1)

struct finder {
	const struct pare_net *net;
	const struct pare_graph *g;
	struct pare_arena *arena;
	const atomic_bool *cancel; /* may be NULL */
	int *uses;   /* by value: inputs of steps that it is, and outputs of the graph */
	int *inside; /* by value: of these, within the branch */
	int *maker;  /* by value: the step, -1 */
	int *joined; /* by value: of its uses, those by Concats */
	int *along;  /* by value: the axis of these, + 1; SEVERAL_AXES */
	bool *in;    /* by step: in the branch */
	bool *may;   /* by value: zero if parameters are, as far as can be said without a branch */
	bool *zero;  /* by value: zero if the branch's own parameters are */
	int32_t *met, *open; /* values that the branch reads; those of them of which it has all readers, and that were not looked at */
	int *steps;          /* of the branch; ascending once it is known to vanish */
	int n_met, n_open, n_steps;
};

/* When what an operator makes is zero. */
enum zero_rule {
	ZERO_FIRST,   /* its first input is */
	ZERO_ANY,     /* one of its inputs is */
	ZERO_ALL,     /* all of its inputs are */
	ZERO_PRODUCT, /* one of its first two inputs is, and the third, if there is one */
	ZERO_SCALED   /* its second input is, and the third, if there is one: a norm's scale and bias */
};

static const struct {
	const char *op;
	enum zero_rule rule;
} zero_table[] = {
    {"Abs", ZERO_FIRST},
    {"Add", ZERO_ALL},
    {"AveragePool", ZERO_FIRST},
    {"BatchNormalization", ZERO_SCALED},
    {"Cast", ZERO_FIRST},
    {"Celu", ZERO_FIRST},
    {"Concat", ZERO_ALL},
    {"Conv", ZERO_PRODUCT},
    {"ConvTranspose", ZERO_PRODUCT},
    {"DepthToSpace", ZERO_FIRST},
    {"Dropout", ZERO_FIRST},
    {"Elu", ZERO_FIRST},
    {"Erf", ZERO_FIRST},
    {"Expand", ZERO_FIRST},
    {"Flatten", ZERO_FIRST},
    {"Gelu", ZERO_FIRST},
    {"Gemm", ZERO_PRODUCT},
    {"GlobalAveragePool", ZERO_FIRST},
    {"GlobalMaxPool", ZERO_FIRST},
    {"GroupNormalization", ZERO_SCALED},
    {"HardSwish", ZERO_FIRST},
    {"Identity", ZERO_FIRST},
    {"InstanceNormalization", ZERO_SCALED},
    {"LayerNormalization", ZERO_SCALED},
    {"LeakyRelu", ZERO_FIRST},
    {"MatMul", ZERO_PRODUCT},
    {"Max", ZERO_ALL},
    {"MaxPool", ZERO_FIRST},
    {"Min", ZERO_ALL},
    {"Mish", ZERO_FIRST},
    {"Mul", ZERO_ANY},
    {"Neg", ZERO_FIRST},
    {"PRelu", ZERO_FIRST},
    {"ReduceMax", ZERO_FIRST},
    {"ReduceMean", ZERO_FIRST},
    {"ReduceSum", ZERO_FIRST},
    {"Relu", ZERO_FIRST},
    {"Reshape", ZERO_FIRST},
    {"Selu", ZERO_FIRST},
    {"Slice", ZERO_FIRST},
    {"Softsign", ZERO_FIRST},
    {"SpaceToDepth", ZERO_FIRST},
    {"Split", ZERO_FIRST},
    {"Squeeze", ZERO_FIRST},
    {"Sub", ZERO_ALL},
    {"Sum", ZERO_ALL},
    {"Swish", ZERO_FIRST},
    {"Tanh", ZERO_FIRST},
    {"ThresholdedRelu", ZERO_FIRST},
    {"Tile", ZERO_FIRST},
    {"Transpose", ZERO_FIRST},
    {"Unsqueeze", ZERO_FIRST},
};

/* Within a branch its own parameters are zero, and what was found to be; without one everything is that may be. */
static bool is_zero(const struct finder *f, const struct pare_node *n, int k, bool within)
{
	int32_t v = k < n->n_in ? n->in[k] : -1;

	if (v < 0)
		return false;
	if (pare_net_param_of(f->net, v) >= 0)
		return !within || f->inside[v] == f->uses[v];
	return within ? f->zero[v] : f->may[v];
}

static bool makes_zero(const struct finder *f, const struct pare_node *n, bool within)
{
	bool no_third = n->n_in < 3 || n->in[2] < 0 || is_zero(f, n, 2, within);
	int n_zero = 0, rule = -1;

	for (size_t i = 0; i < sizeof zero_table / sizeof zero_table[0]; i++)
		rule = strcmp(n->op_type, zero_table[i].op) == 0 ? (int)zero_table[i].rule : rule;
	for (int k = 0; k < n->n_in; k++)
		n_zero += is_zero(f, n, k, within);
	switch (rule) {
	case ZERO_FIRST:
		return is_zero(f, n, 0, within);
	case ZERO_ANY:
		return n_zero > 0;
	case ZERO_ALL:
		return n_zero == n->n_in;
	case ZERO_PRODUCT:
		return (is_zero(f, n, 0, within) || is_zero(f, n, 1, within)) && no_third;
	case ZERO_SCALED:
		return is_zero(f, n, 1, within) && no_third;
	default:
		return false;
	}
}

static int ascending(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Is the value zero when the branch's own parameters are? */
static bool vanishes(struct finder *f, int32_t end)
{
	qsort(f->steps, (size_t)f->n_steps, sizeof *f->steps, ascending);
	for (int i = 0; i < f->n_steps; i++) {
		struct pare_net_step s;
		bool zero;

		pare_net_step_at(f->net, f->steps[i], &s);
		zero = makes_zero(f, s.node, true);
		for (int k = 0; k < s.node->n_out; k++)
			if (s.node->out[k] >= 0)
				f->zero[s.node->out[k]] = zero;
	}
	return f->zero[end];
}

static void read_inside(struct finder *f, int32_t value)
{
	if (value < 0)
		return;
	if (f->inside[value]++ == 0)
		f->met[f->n_met++] = value;
	if (f->inside[value] == f->uses[value])
		f->open[f->n_open++] = value;
}

static bool all_read(const struct finder *f, const struct pare_node *n)
{
	for (int k = 0; k < n->n_out; k++)
		if (n->out[k] >= 0 && f->inside[n->out[k]] != f->uses[n->out[k]])
			return false;
	return true;
}

/* With n of end's readers taken for the branch's own. */
static void sweep(struct finder *f, int32_t end, int n)
{
	f->n_met = f->n_open = f->n_steps = 0;
	while (n-- > 0)
		read_inside(f, end);
	while (f->n_open > 0) {
		int at = f->maker[f->open[--f->n_open]];
		struct pare_net_step s;

		if (at < 0 || f->in[at])
			continue;
		pare_net_step_at(f->net, at, &s);
		if (!all_read(f, s.node))
			continue;
		f->in[at] = true;
		f->steps[f->n_steps++] = at;
		for (int k = 0; k < s.node->n_in; k++)
			read_inside(f, s.node->in[k]);
	}
}

static void forget(struct finder *f)
{
	for (int i = 0; i < f->n_met; i++) {
		f->inside[f->met[i]] = 0;
		f->zero[f->met[i]] = false;
	}
	for (int i = 0; i < f->n_steps; i++)
		f->in[f->steps[i]] = false;
}

/* The parameter that a value of the branch is, if it is read nowhere else; -1. */
static int own_param_of(const struct finder *f, int32_t value)
{
	return f->inside[value] == f->uses[value] ? pare_net_param_of(f->net, value) : -1;
}

static bool weighs_anything(const struct finder *f)
{
	for (int i = 0; i < f->n_met; i++) {
		int p = own_param_of(f, f->met[i]);

		if (p >= 0 && pare_net_param(f->net, p)->prunable)
			return true;
	}
	return false;
}

/* Puts end, and what was swept, into *what; sum: of its end and of what is kept, NULL for concatenations. */
static enum pare_code add(struct finder *f, const struct pare_branch *what, const struct pare_net_step *sum, struct pare_branches *out, struct pare_err *err)
{
	struct pare_branch *b = &out->list[out->n];
	int32_t *nodes = pare_arena_array(f->arena, (size_t)f->n_steps + 1, sizeof *nodes);
	int *params, n_params = 0;

	for (int i = 0; i < f->n_met; i++)
		n_params += own_param_of(f, f->met[i]) >= 0;
	params = pare_arena_array(f->arena, (size_t)n_params + 1, sizeof *params);
	if (nodes == NULL || params == NULL)
		return pare_err_nomem(err, 0);
	*b = *what;
	b->nodes = nodes;
	b->params = params;
	for (int i = 0; i < f->n_steps; i++) {
		struct pare_net_step s;

		pare_net_step_at(f->net, f->steps[i], &s);
		nodes[b->n_nodes++] = s.index;
	}
	if (sum != NULL)
		nodes[b->n_nodes++] = sum->index;
	for (int i = 0; i < f->n_met; i++) {
		int p = own_param_of(f, f->met[i]);

		if (p >= 0 && pare_net_param(f->net, p)->n_dims > 0)
			params[b->n_params++] = p;
	}
	qsort(params, (size_t)b->n_params, sizeof *params, ascending);
	out->n++;
	return PARE_OK;
}

static bool plain_value(const struct finder *f, int32_t v, int32_t like)
{
	return v >= 0 && pare_net_param_of(f->net, v) < 0 && !pare_net_is_constant(f->net, v) && pare_shape_same(pare_net_shape_of(f->net, v), pare_net_shape_of(f->net, like));
}

/* One of the two sides is the other's beginning, or neither. */
static enum pare_code try_sum(struct finder *f, int at, struct pare_branches *out, struct pare_err *err)
{
	struct pare_net_step s;
	enum pare_code code = PARE_OK;
	bool found = false;

	pare_net_step_at(f->net, at, &s);
	if (strcmp(s.node->op_type, "Add") != 0 || f->g->values[s.node->out[0]].is_output)
		return PARE_OK;
	for (int side = 0; side < 2 && !found; side++) {
		int32_t end = s.node->in[side], kept = s.node->in[1 - side];

		if (!plain_value(f, end, s.node->out[0]) || !plain_value(f, kept, s.node->out[0]) || f->uses[end] != 1 || f->uses[kept] < 2 || !f->may[end])
			continue;
		sweep(f, end, 1);
		found = f->inside[kept] > 0 && vanishes(f, end) && weighs_anything(f);
		if (found)
			code = add(f, &(struct pare_branch){.end = end, .sum = s.node->out[0], .kept = kept}, &s, out, err);
		forget(f);
	}
	return code;
}

/* Does it read anything computed that others read, too? What does not is all that is made of an input of the graph. */
static bool begins_beside(const struct finder *f)
{
	for (int i = 0; i < f->n_met; i++) {
		int32_t v = f->met[i];

		if (f->inside[v] < f->uses[v] && pare_net_param_of(f->net, v) < 0 && !pare_net_is_constant(f->net, v))
			return true;
	}
	return false;
}

/* What the step makes is read by concatenations alone, along one axis. */
static enum pare_code try_joins(struct finder *f, int at, struct pare_branches *out, struct pare_err *err)
{
	struct pare_net_step s;
	enum pare_code code = PARE_OK;

	pare_net_step_at(f->net, at, &s);
	for (int k = 0; k < s.node->n_out && code == PARE_OK; k++) {
		int32_t end = s.node->out[k];

		if (end < 0 || f->joined[end] == 0 || f->joined[end] < f->uses[end] || f->along[end] == SEVERAL_AXES || !f->may[end] || pare_net_is_constant(f->net, end))
			continue;
		sweep(f, end, f->uses[end]);
		if (begins_beside(f) && vanishes(f, end) && weighs_anything(f))
			code = add(f, &(struct pare_branch){.end = end, .sum = -1, .kept = -1, .axis = f->along[end] - 1}, NULL, out, err);
		forget(f);
	}
	return code;
}

static void look_at_joins(struct finder *f, const struct pare_node *n)
{
	const struct pare_attr *axis = pare_node_attr(n, "axis");
	int at = axis == NULL ? 0 : axis->i < 0 ? (int)axis->i + pare_net_shape_of(f->net, n->out[0])->n_dims : (int)axis->i;

	for (int k = 0; k < n->n_in; k++) {
		f->joined[n->in[k]]++;
		f->along[n->in[k]] = f->along[n->in[k]] == 0 || f->along[n->in[k]] == at + 1 ? at + 1 : SEVERAL_AXES;
	}
}

static void look_at_step(struct finder *f, int i)
{
	struct pare_net_step s;

	pare_net_step_at(f->net, i, &s);
	if (strcmp(s.node->op_type, "Concat") == 0)
		look_at_joins(f, s.node);
	for (int k = 0; k < s.node->n_in; k++)
		f->uses[s.node->in[k] >= 0 ? s.node->in[k] : f->g->n_values]++;
	for (int k = 0; k < s.node->n_out; k++)
		if (s.node->out[k] >= 0) {
			f->maker[s.node->out[k]] = i;
			f->may[s.node->out[k]] = makes_zero(f, s.node, false);
		}
}

static enum pare_code find(struct finder *f, struct pare_branches *out, struct pare_err *err)
{
	size_t n = (size_t)f->g->n_values + 1, n_steps = (size_t)pare_net_n_steps(f->net) + 1;
	enum pare_code code = PARE_OK;

	f->uses = pare_calloc(n, sizeof *f->uses);
	f->inside = pare_calloc(n, sizeof *f->inside);
	f->maker = pare_calloc(n, sizeof *f->maker);
	f->joined = pare_calloc(n, sizeof *f->joined);
	f->along = pare_calloc(n, sizeof *f->along);
	f->may = pare_calloc(n, sizeof *f->may);
	f->zero = pare_calloc(n, sizeof *f->zero);
	f->met = pare_calloc(n, sizeof *f->met);
	f->open = pare_calloc(n, sizeof *f->open);
	f->in = pare_calloc(n_steps, sizeof *f->in);
	f->steps = pare_calloc(n_steps, sizeof *f->steps);
	out->list = pare_arena_array(f->arena, n_steps + n, sizeof *out->list);
	if (f->uses == NULL || f->inside == NULL || f->maker == NULL || f->joined == NULL || f->along == NULL || f->may == NULL || f->zero == NULL || f->met == NULL || f->open == NULL ||
	    f->in == NULL || f->steps == NULL || out->list == NULL)
		return pare_err_nomem(err, n * sizeof *f->uses);
	memset(f->maker, -1, n * sizeof *f->maker);
	for (int i = 0; i < f->g->n_outputs; i++)
		f->uses[f->g->outputs[i]]++;
	for (int32_t i = 0; i < f->g->n_nodes; i++)
		for (int k = 0; k < f->g->nodes[i].n_in && pare_net_is_carried(f->net, i); k++)
			f->uses[f->g->nodes[i].in[k] >= 0 ? f->g->nodes[i].in[k] : f->g->n_values]++;
	for (int i = 0; i < (int)n_steps - 1; i++)
		look_at_step(f, i);
	for (int i = 0; i < (int)n_steps - 1 && code == PARE_OK; i++) {
		code = pare_err_canceled(err, f->cancel);
		if (code == PARE_OK)
			code = try_sum(f, i, out, err);
		if (code == PARE_OK)
			code = try_joins(f, i, out, err);
	}
	return code;
}

enum pare_code pare_branches_find(const struct pare_net *net, struct pare_arena *arena, const atomic_bool *cancel, struct pare_branches *out, struct pare_err *err)
{
	struct finder f = {.net = net, .g = &pare_net_model(net)->graph, .arena = arena, .cancel = cancel};
	enum pare_code code;

	*out = (struct pare_branches){.n = 0};
	code = find(&f, out, err);
	pare_free(f.uses);
	pare_free(f.inside);
	pare_free(f.maker);
	pare_free(f.joined);
	pare_free(f.along);
	pare_free(f.may);
	pare_free(f.zero);
	pare_free(f.met);
	pare_free(f.open);
	pare_free(f.in);
	pare_free(f.steps);
	return code;
}

bool pare_branch_gone(const struct pare_branch *b, const struct pare_net *net, const struct pare_cut *cut)
{
	for (int i = 0; i < b->n_params; i++) {
		const struct pare_param_info *p = pare_net_param(net, b->params[i]);
		const uint8_t *gone = pare_cut_axis(cut, p->value, 0);

		if (gone == NULL || memchr(gone, 0, (size_t)p->dims[0]) != NULL)
			return false;
	}
	return b->n_params > 0;
}
