/* From classes of slices to what can be offered: units, groups of units, and the pins with their reasons.
 *
 * A class is a unit when nothing pins it and it holds part of a weight: what holds none (the height of a feature map that nobody
 * reads as such) is no structure of the model. Units that touch the same axes of the same tensors are one group, whatever
 * else differs: the channels that a concatenation takes from two layers are two groups. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/graph_priv.h"
#include "core/prune/groups_priv.h"
#include "core/prune/index.h"
#include "core/prune/layers.h"

#define ARENA_CAP ((size_t)1 << 30)
#define WHY_MAX 300

struct builder {
	struct pare_structures *g;
	struct pare_joiner j;
	const struct pare_net *net;
	const struct pare_graph *graph;
	enum pare_granularity granularity;
	const atomic_bool *cancel;
	uint64_t *use;      /* by axis: what operators do with it */
	uint32_t *unit_of;  /* by root: unit + 1 */
	uint64_t *shape_of; /* by unit: which axes, hashed */
	uint64_t *kind_of;  /* by unit: how they are coupled */
	uint32_t *group_of; /* by unit */
};

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

static uint64_t text_hash(const char *s)
{
	uint64_t h = 1;

	for (; *s != '\0'; s++)
		h = mix(h, (unsigned char)*s);
	return h;
}

static void note_uses(struct builder *b)
{
	for (int i = 0; i < pare_net_n_steps(b->net); i++) {
		struct pare_net_step s;
		uint64_t op;

		pare_net_step_at(b->net, i, &s);
		op = text_hash(s.op->name);
		for (int k = 0; k < s.node->n_in + s.node->n_out; k++) {
			int32_t v = k < s.node->n_in ? s.node->in[k] : s.node->out[k - s.node->n_in];

			for (int axis = 0; v >= 0 && axis < PARE_MAX_DIMS; axis++)
				b->use[(size_t)v * PARE_MAX_DIMS + (size_t)axis] += mix(mix(op, k < s.node->n_in ? 0 : 1), (uint64_t)axis);
		}
	}
}

bool pare_structure_weight(const struct pare_net *net, int param)
{
	const struct pare_param_info *info = pare_net_param(net, param);
	int wide = 0;

	for (int k = 0; k < info->n_dims; k++)
		wide += info->dims[k] > 1;
	return info->prunable || (wide >= 2 && !info->buffer);
}

static bool is_weight(const struct builder *b, uint32_t slice)
{
	int32_t value;
	int axis, param;

	(void)pare_slice_find(&b->g->slices, slice, &value, &axis);
	param = pare_net_param_of(b->net, value);
	return param >= 0 && pare_structure_weight(b->net, param);
}

/* unit_of: 1 for roots of units. */
static void mark_roots(struct builder *b)
{
	for (uint32_t i = 0; i < b->g->slices.n; i++) {
		uint32_t root = pare_ties_find(&b->j, i);
		bool wanted = b->granularity == PARE_GRANULARITY_CHANNEL || b->j.chosen[root] != 0;

		if (wanted && b->j.why[root] == PARE_PIN_NONE && b->unit_of[root] == 0 && is_weight(b, i))
			b->unit_of[root] = 1;
	}
}

/* Slices of units are counted, then put in their places: ascending within a unit. */
static enum pare_code fill_units(struct builder *b, struct pare_err *err)
{
	struct pare_structures *g = b->g;
	uint32_t n_members = 0, at = 0;

	for (uint32_t i = 0; i < g->slices.n; i++)
		if (b->unit_of[pare_ties_find(&b->j, i)] != 0) {
			n_members++;
			g->n_units += b->j.parent[i] == i;
		}
	g->member = pare_arena_array(&g->arena, (size_t)n_members + 1, sizeof *g->member);
	g->units = pare_arena_array(&g->arena, (size_t)g->n_units + 1, sizeof *g->units);
	if (g->member == NULL || g->units == NULL)
		return pare_err_nomem(err, n_members * sizeof *g->member);
	g->n_units = 0;
	for (uint32_t i = 0; i < g->slices.n; i++) {
		uint32_t root = pare_ties_find(&b->j, i);

		if (b->unit_of[root] == 0)
			continue;
		if (root == i)
			b->unit_of[root] = (uint32_t)++g->n_units;
		g->units[b->unit_of[root] - 1].n++;
	}
	for (int u = 0; u < g->n_units; u++) {
		g->units[u].first = at;
		at += g->units[u].n;
		g->units[u].n = 0;
	}
	for (uint32_t i = 0; i < g->slices.n; i++) {
		uint32_t unit = b->unit_of[pare_ties_find(&b->j, i)];

		if (unit != 0)
			g->member[g->units[unit - 1].first + g->units[unit - 1].n++] = i;
	}
	return PARE_OK;
}

/* Axes are met in order, each in one piece. */
static void hash_units(struct builder *b)
{
	for (int u = 0; u < b->g->n_units; u++) {
		const struct pare_structure *unit = &b->g->units[u];
		int32_t value, last = -1;
		int axis, last_axis = -1;

		for (uint32_t i = 0; i < unit->n; i++) {
			(void)pare_slice_find(&b->g->slices, b->g->member[unit->first + i], &value, &axis);
			if (value == last && axis == last_axis)
				continue;
			b->shape_of[u] = mix(mix(b->shape_of[u], (uint64_t)value), (uint64_t)axis);
			b->kind_of[u] += b->use[(size_t)value * PARE_MAX_DIMS + (size_t)axis];
			last = value;
			last_axis = axis;
		}
	}
}

/* The first weight of a group, an axis of outputs before others: what it is called by. */
static void describe(struct builder *b, struct pare_group *gr)
{
	const struct pare_structure *u = &b->g->units[gr->first];
	bool found = false;

	for (uint32_t i = 0; i < u->n; i++) {
		const struct pare_param_info *info;
		int32_t value;
		int axis, param;
		bool out;

		(void)pare_slice_find(&b->g->slices, b->g->member[u->first + i], &value, &axis);
		param = pare_net_param_of(b->net, value);
		info = param >= 0 ? pare_net_param(b->net, param) : NULL;
		if (info == NULL || !pare_structure_weight(b->net, param))
			continue;
		out = info->out_axis == axis;
		if (found && (!out || (pare_net_param(b->net, gr->param)->out_axis == gr->axis && gr->param <= param)))
			continue;
		found = true;
		gr->param = param;
		gr->axis = axis;
		gr->name = info->name;
	}
	for (int k = gr->first; k < gr->first + gr->n; k++)
		for (uint32_t i = 0; i < b->g->units[k].n; i++) {
			int32_t value;
			int axis;

			(void)pare_slice_find(&b->g->slices, b->g->member[b->g->units[k].first + i], &value, &axis);
			gr->width += axis == gr->axis && pare_net_param_of(b->net, value) == gr->param;
		}
}

/* By first appearance. */
static enum pare_code number_groups(struct builder *b, struct pare_err *err)
{
	struct pare_structures *g = b->g;
	struct pare_index by_shape;

	if (!pare_index_init(&by_shape, (size_t)g->n_units)) {
		pare_index_done(&by_shape);
		return pare_err_nomem(err, (size_t)g->n_units * sizeof *by_shape.keys);
	}
	for (int u = 0; u < g->n_units; u++) {
		int *k = pare_index_at(&by_shape, b->shape_of[u]);

		if (*k < 0) {
			*k = g->n_groups++;
			g->groups[*k].kind = b->kind_of[u];
		}
		b->group_of[u] = (uint32_t)*k;
		g->groups[*k].n++;
	}
	pare_index_done(&by_shape);
	return PARE_OK;
}

/* Numbers groups, then moves their units together. */
static enum pare_code fill_groups(struct builder *b, struct pare_err *err)
{
	struct pare_structures *g = b->g;
	struct pare_structure *sorted = pare_arena_array(&g->arena, (size_t)g->n_units + 1, sizeof *sorted);
	enum pare_code code;
	int at = 0;

	g->groups = pare_arena_array(&g->arena, (size_t)g->n_units + 1, sizeof *g->groups);
	if (sorted == NULL || g->groups == NULL)
		return pare_err_nomem(err, 0);
	code = number_groups(b, err);
	if (code != PARE_OK)
		return code;
	for (int k = 0; k < g->n_groups; k++) {
		g->groups[k].first = at;
		at += g->groups[k].n;
		g->groups[k].n = 0;
	}
	for (int u = 0; u < g->n_units; u++) {
		struct pare_group *gr = &g->groups[b->group_of[u]];

		sorted[gr->first + gr->n++] = g->units[u];
	}
	g->units = sorted;
	for (int k = 0; k < g->n_groups && code == PARE_OK; k++) {
		code = pare_err_canceled(err, b->cancel);
		describe(b, &g->groups[k]);
	}
	return code;
}

/* --- pins */

static const char *why(struct builder *b, uint32_t root)
{
	char text[WHY_MAX], shown[PARE_NAME_SHOWN];
	int32_t by = b->j.by[root];
	struct pare_net_step s = {.where = ""};

	if (by >= 0 && b->j.why[root] != PARE_PIN_INPUT && b->j.why[root] != PARE_PIN_OUTPUT && b->j.why[root] != PARE_PIN_CARRIED)
		pare_net_step_at(b->net, by, &s);
	switch ((enum pare_pin)b->j.why[root]) {
	case PARE_PIN_INPUT:
		(void)snprintf(text, sizeof text, "coupled to graph input \"%s\"", pare_name_shown(b->graph->values[by].name, shown));
		break;
	case PARE_PIN_OUTPUT:
		(void)snprintf(text, sizeof text, "coupled to graph output \"%s\"", pare_name_shown(b->graph->values[by].name, shown));
		break;
	case PARE_PIN_CARRIED:
		pare_node_label(b->graph, by, shown, sizeof shown);
		(void)snprintf(text, sizeof text, "read by node \"%s\" (%s), which is carried, not run", shown, b->graph->nodes[by].op_type);
		break;
	case PARE_PIN_MIX:
		(void)snprintf(text, sizeof text, "%s computes every element from all of the axis, so without one the others would change", s.where);
		break;
	case PARE_PIN_OPAQUE:
		(void)snprintf(text, sizeof text, "%s reduces, selects from or rearranges the axis, so no single index can go", s.where);
		break;
	case PARE_PIN_ADDS:
		(void)snprintf(text, sizeof text, "%s sums over the axis what is not zero where all weights are, so no single index can go", s.where);
		break;
	case PARE_PIN_CHOICE:
		(void)snprintf(text, sizeof text, "%s folds it with another axis, from which indices are removed instead", s.where);
		break;
	default:
		(void)snprintf(text, sizeof text, "it is coupled to all of an axis, which would be left empty");
	}
	return pare_arena_strndup(&b->g->arena, text, strlen(text));
}

static enum pare_code list_pins(struct builder *b, struct pare_err *err)
{
	struct pare_structures *g = b->g;

	g->pinned = pare_arena_array(&g->arena, (size_t)pare_net_n_params(b->net) * PARE_MAX_DIMS + 1, sizeof *g->pinned);
	if (g->pinned == NULL)
		return pare_err_nomem(err, 0);
	for (int p = 0; p < pare_net_n_params(b->net); p++) {
		const struct pare_param_info *info = pare_net_param(b->net, p);
		struct pare_pinned pin = {.param = p, .axis = info->out_axis};
		size_t at = (size_t)info->value * PARE_MAX_DIMS + (size_t)(info->out_axis < 0 ? 0 : info->out_axis);
		uint32_t first = PARE_NO_SLICE;

		if (!info->prunable || info->out_axis < 0 || g->slices.base[at] == PARE_NO_SLICE)
			continue;
		for (uint32_t i = 0; i < g->slices.len[at]; i++) {
			uint32_t root = pare_ties_find(&b->j, g->slices.base[at] + i);

			if (b->j.why[root] == PARE_PIN_NONE)
				continue;
			first = pin.n++ == 0 ? root : first;
		}
		if (pin.n == 0)
			continue;
		pin.why = why(b, first);
		if (pin.why == NULL)
			return pare_err_nomem(err, 0);
		g->pinned[g->n_pinned++] = pin;
	}
	return PARE_OK;
}

static enum pare_code build(struct builder *b, struct pare_err *err)
{
	struct pare_structures *g = b->g;
	size_t n_axes = (size_t)b->graph->n_values * PARE_MAX_DIMS;
	enum pare_code code = pare_slices_init(&g->slices, b->net, b->graph, err);

	b->j.cancel = b->cancel;
	if (code == PARE_OK)
		code = pare_join(&b->j, b->net, b->graph, &g->slices, b->granularity, err);
	if (code != PARE_OK)
		return code;
	b->use = pare_calloc(n_axes + 1, sizeof *b->use);
	b->unit_of = pare_calloc((size_t)g->slices.n + 1, sizeof *b->unit_of);
	if (b->use == NULL || b->unit_of == NULL)
		return pare_err_nomem(err, 0);
	note_uses(b);
	mark_roots(b);
	code = pare_err_canceled(err, b->cancel);
	if (code == PARE_OK)
		code = fill_units(b, err);
	if (code != PARE_OK)
		return code;
	b->shape_of = pare_calloc((size_t)g->n_units + 1, sizeof *b->shape_of);
	b->kind_of = pare_calloc((size_t)g->n_units + 1, sizeof *b->kind_of);
	b->group_of = pare_calloc((size_t)g->n_units + 1, sizeof *b->group_of);
	if (b->shape_of == NULL || b->kind_of == NULL || b->group_of == NULL)
		return pare_err_nomem(err, 0);
	hash_units(b);
	code = fill_groups(b, err);
	return code == PARE_OK ? list_pins(b, err) : code;
}

/* --- layers: a unit is all that a branch has of its own, and what is coupled to that which it gives to concatenations; a group by itself */

struct coupling {
	struct pare_branches found;
	int32_t *made; /* by value: the node that makes it, -1 */
	int *of;       /* by root: the branch at whose end it is, + 1 */
	uint32_t *n;   /* by branch: indices within an axis, then slices of the unit */
	bool *stays;   /* by branch: what it gives to a concatenation cannot go */
};

static int ascending(const void *a, const void *b)
{
	const int32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Is the value within the branch? It leaves the graph as it is, and what is within needs no smaller shapes. */
static bool is_within(const struct builder *b, const struct coupling *c, const struct pare_branch *br, int32_t value)
{
	int32_t param = pare_net_param_of(b->net, value);

	if (param >= 0)
		return bsearch(&param, br->params, (size_t)br->n_params, sizeof param, ascending) != NULL;
	return c->made[value] >= 0 && bsearch(&c->made[value], br->nodes, (size_t)br->n_nodes, sizeof *br->nodes, ascending) != NULL;
}

/* The classes at the ends of branches; of two branches that are coupled only the first may go. */
static void claim_ends(struct builder *b, struct coupling *c)
{
	for (int i = 0; i < c->found.n; i++) {
		const struct pare_branch *br = &c->found.list[i];
		size_t at = (size_t)br->end * PARE_MAX_DIMS + (size_t)br->axis;

		if (br->sum >= 0)
			continue;
		c->stays[i] = b->g->slices.base[at] == PARE_NO_SLICE;
		for (uint32_t k = 0; !c->stays[i] && k < b->g->slices.len[at]; k++) {
			uint32_t root = pare_ties_find(&b->j, b->g->slices.base[at] + k);

			c->stays[i] = b->j.why[root] != PARE_PIN_NONE || (c->of[root] != 0 && c->of[root] != i + 1);
			c->of[root] = c->of[root] == 0 ? i + 1 : c->of[root];
		}
	}
}

/* The branch that takes the slice with it, but for what is within; -1. */
static int taken_by(struct builder *b, const struct coupling *c, uint32_t slice, int32_t value)
{
	int i = c->of[pare_ties_find(&b->j, slice)] - 1;

	return i >= 0 && !c->stays[i] && !is_within(b, c, &c->found.list[i], value) ? i : -1;
}

/* What would take all of an axis that is not its own would leave an empty tensor. */
static void keep_axes(struct builder *b, struct coupling *c)
{
	const struct pare_slices *s = &b->g->slices;

	for (uint32_t k = 0; k < s->n_axes; k++) {
		int32_t value = (int32_t)(s->order[k] / PARE_MAX_DIMS);
		uint32_t base = s->base[s->order[k]], end = base + s->len[s->order[k]];
		int i;

		for (uint32_t slice = base; slice < end && pare_net_param_of(b->net, value) < 0; slice++)
			if ((i = taken_by(b, c, slice, value)) >= 0)
				c->n[i]++;
		for (uint32_t slice = base; slice < end; slice++) {
			i = c->of[pare_ties_find(&b->j, slice)] - 1;
			if (i >= 0) {
				c->stays[i] |= c->n[i] == end - base;
				c->n[i] = 0;
			}
		}
	}
}

static void note_makers(const struct builder *b, int32_t *made)
{
	memset(made, -1, (size_t)b->graph->n_values * sizeof *made);
	for (int32_t i = 0; i < b->graph->n_nodes; i++)
		for (int k = 0; k < b->graph->nodes[i].n_out; k++)
			if (b->graph->nodes[i].out[k] >= 0)
				made[b->graph->nodes[i].out[k]] = i;
}

static enum pare_code couple(struct builder *b, struct coupling *c, struct pare_err *err)
{
	struct pare_arena *arena = &b->g->arena;
	enum pare_code code = pare_branches_find(b->net, arena, b->cancel, &c->found, err);
	bool any = false;

	if (code != PARE_OK)
		return code;
	c->made = pare_arena_array(arena, (size_t)b->graph->n_values + 1, sizeof *c->made);
	c->of = pare_arena_array(arena, (size_t)b->g->slices.n + 1, sizeof *c->of);
	c->n = pare_arena_array(arena, (size_t)c->found.n + 1, sizeof *c->n);
	c->stays = pare_arena_array(arena, (size_t)c->found.n + 1, sizeof *c->stays);
	if (c->made == NULL || c->of == NULL || c->n == NULL || c->stays == NULL)
		return pare_err_nomem(err, b->g->slices.n * sizeof *c->of);
	for (int i = 0; i < c->found.n; i++)
		any |= c->found.list[i].sum < 0;
	if (!any)
		return PARE_OK;
	note_makers(b, c->made);
	code = pare_join(&b->j, b->net, b->graph, &b->g->slices, PARE_GRANULARITY_CHANNEL, err);
	if (code != PARE_OK)
		return code;
	claim_ends(b, c);
	keep_axes(b, c);
	return pare_err_canceled(err, b->cancel);
}

/* Calls at with every slice that a branch takes with it: the rows of its own parameters, then the others. */
static void each_taken(struct builder *b, struct coupling *c, void (*at)(struct builder *b, struct coupling *c, int branch, uint32_t slice))
{
	const struct pare_slices *s = &b->g->slices;

	for (int i = 0; i < c->found.n; i++)
		for (int k = 0; k < c->found.list[i].n_params && !c->stays[i]; k++) {
			const struct pare_param_info *p = pare_net_param(b->net, c->found.list[i].params[k]);

			for (int64_t row = 0; row < p->dims[0]; row++)
				at(b, c, i, s->base[(size_t)p->value * PARE_MAX_DIMS] + (uint32_t)row);
		}
	for (uint32_t k = 0; k < s->n_axes && b->j.parent != NULL; k++) {
		int32_t value = (int32_t)(s->order[k] / PARE_MAX_DIMS);
		uint32_t base = s->base[s->order[k]], end = base + s->len[s->order[k]];

		for (uint32_t slice = base; slice < end; slice++) {
			int i = taken_by(b, c, slice, value);

			if (i >= 0)
				at(b, c, i, slice);
		}
	}
}

static void count_taken(struct builder *b, struct coupling *c, int branch, uint32_t slice)
{
	(void)b;
	(void)slice;
	c->n[branch]++;
}

static void put_taken(struct builder *b, struct coupling *c, int branch, uint32_t slice)
{
	struct pare_structure *u = &b->g->units[c->n[branch]];

	b->g->member[u->first + u->n++] = slice;
}

struct sized {
	int n_nodes, branch;
};

static int larger_first(const void *a, const void *b)
{
	const struct sized *x = a, *y = b;

	return x->n_nodes != y->n_nodes ? (x->n_nodes < y->n_nodes) - (x->n_nodes > y->n_nodes) : (x->branch > y->branch) - (x->branch < y->branch);
}

/* Branches are within each other or apart, so that the last that was written over a node, from large to small, is the smallest around it. */
static enum pare_code nest(struct builder *b, const struct coupling *c, const int *unit_of, struct pare_err *err)
{
	struct sized *order = pare_calloc((size_t)c->found.n + 1, sizeof *order);
	int *around = pare_calloc((size_t)b->graph->n_nodes + 1, sizeof *around); /* by node: unit + 1 */
	bool ok = order != NULL && around != NULL;

	for (int i = 0; i < c->found.n && ok; i++)
		order[i] = (struct sized){c->found.list[i].n_nodes, i};
	if (ok)
		qsort(order, (size_t)c->found.n, sizeof *order, larger_first);
	for (int i = 0; i < c->found.n && ok; i++) {
		const struct pare_branch *br = &c->found.list[order[i].branch];
		int unit = unit_of[order[i].branch];

		if (unit < 0)
			continue;
		b->g->within[unit] = around[br->nodes[0]] - 1;
		for (int k = 0; k < br->n_nodes; k++)
			around[br->nodes[k]] = unit + 1;
	}
	pare_free(order);
	pare_free(around);
	return ok ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code build_layers(struct builder *b, struct pare_err *err)
{
	struct pare_structures *g = b->g;
	struct coupling c = {.n = NULL};
	uint32_t n = 0;
	int *unit_of;
	enum pare_code code = pare_slices_init(&g->slices, b->net, b->graph, err);

	b->j.cancel = b->cancel;
	if (code == PARE_OK)
		code = couple(b, &c, err);
	if (code != PARE_OK)
		return code;
	g->whole = true;
	g->units = pare_arena_array(&g->arena, (size_t)c.found.n + 1, sizeof *g->units);
	g->groups = pare_arena_array(&g->arena, (size_t)c.found.n + 1, sizeof *g->groups);
	g->within = pare_arena_array(&g->arena, (size_t)c.found.n + 1, sizeof *g->within);
	unit_of = pare_arena_array(&g->arena, (size_t)c.found.n + 1, sizeof *unit_of);
	if (g->units == NULL || g->groups == NULL || g->within == NULL || unit_of == NULL)
		return pare_err_nomem(err, 0);
	each_taken(b, &c, count_taken);
	for (int i = 0; i < c.found.n; i++) {
		int param = c.found.list[i].params[0];

		unit_of[i] = c.stays[i] ? -1 : g->n_units;
		if (c.stays[i])
			continue;
		g->units[g->n_units].first = n;
		n += c.n[i];
		c.n[i] = (uint32_t)g->n_units;
		g->groups[g->n_groups++] = (struct pare_group){.name = pare_net_param(b->net, param)->name, .param = param, .first = g->n_units++, .n = 1, .width = 1};
	}
	g->member = pare_arena_array(&g->arena, (size_t)n + 1, sizeof *g->member);
	if (g->member == NULL)
		return pare_err_nomem(err, n * sizeof *g->member);
	each_taken(b, &c, put_taken);
	return nest(b, &c, unit_of, err);
}

enum pare_code pare_structures_new(const struct pare_net *net, enum pare_granularity granularity, const atomic_bool *cancel, struct pare_structures **out,
    struct pare_err *err)
{
	struct builder b = {.net = net, .graph = &pare_net_model(net)->graph, .granularity = granularity, .cancel = cancel};
	enum pare_code code;

	b.g = pare_calloc(1, sizeof *b.g);
	if (b.g == NULL)
		return pare_err_nomem(err, sizeof *b.g);
	pare_arena_init(&b.g->arena, ARENA_CAP);
	code = granularity == PARE_GRANULARITY_LAYER ? build_layers(&b, err) : build(&b, err);
	pare_joiner_done(&b.j);
	pare_free(b.use);
	pare_free(b.unit_of);
	pare_free(b.shape_of);
	pare_free(b.kind_of);
	pare_free(b.group_of);
	if (code == PARE_OK)
		*out = b.g;
	else
		pare_structures_free(b.g);
	return code;
}

void pare_structures_free(struct pare_structures *g)
{
	if (g == NULL)
		return;
	pare_slices_done(&g->slices);
	pare_arena_done(&g->arena);
	pare_free(g);
}

void pare_unit_walk(const struct pare_structures *g, const struct pare_net *net, int unit, void (*visit)(void *ctx, const struct pare_unit_run *r), void *ctx)
{
	const struct pare_structure *u = &g->units[unit];

	for (uint32_t i = 0; i < u->n; i++) {
		struct pare_unit_run r;
		const struct pare_param_info *info;
		int64_t outer = 1, inner = 1, index;
		int32_t value;

		index = pare_slice_find(&g->slices, g->member[u->first + i], &value, &r.axis);
		r.param = pare_net_param_of(net, value);
		if (r.param < 0)
			continue;
		info = pare_net_param(net, r.param);
		for (int k = 0; k < info->n_dims; k++) {
			outer *= k < r.axis ? info->dims[k] : 1;
			inner *= k > r.axis ? info->dims[k] : 1;
		}
		r.n = (size_t)inner;
		for (int64_t o = 0; o < outer; o++) {
			r.at = info->offset + (size_t)((o * info->dims[r.axis] + index) * inner);
			r.starts = o == 0;
			visit(ctx, &r);
		}
	}
}

/* --- what is gone */

enum pare_code pare_cut_init(struct pare_cut *c, const struct pare_net *net, struct pare_err *err)
{
	enum pare_code code;

	*c = (struct pare_cut){.any = false};
	code = pare_slices_init(&c->slices, net, &pare_net_model(net)->graph, err);
	if (code != PARE_OK)
		return code;
	c->gone = pare_calloc((size_t)c->slices.n + 1, 1);
	c->left = pare_calloc((size_t)c->slices.n_values * PARE_MAX_DIMS + 1, sizeof *c->left);
	c->whole = pare_calloc((size_t)c->slices.n_values * PARE_MAX_DIMS + 1, sizeof *c->whole);
	if (c->gone == NULL || c->left == NULL || c->whole == NULL)
		return pare_err_nomem(err, c->slices.n);
	for (int p = 0; p < pare_net_n_params(net); p++)
		memset(c->whole + (size_t)pare_net_param(net, p)->value * PARE_MAX_DIMS, 1, PARE_MAX_DIMS);
	pare_cut_clear(c);
	return PARE_OK;
}

void pare_cut_done(struct pare_cut *c)
{
	pare_slices_done(&c->slices);
	pare_free(c->gone);
	pare_free(c->left);
	pare_free(c->whole);
	c->whole = NULL;
	c->gone = NULL;
	c->left = NULL;
}

void pare_cut_copy(struct pare_cut *to, const struct pare_cut *from)
{
	memcpy(to->gone, from->gone, from->slices.n);
	memcpy(to->left, from->left, (size_t)from->slices.n_values * PARE_MAX_DIMS * sizeof *from->left);
	to->any = from->any;
}

void pare_cut_clear(struct pare_cut *c)
{
	memset(c->gone, 0, c->slices.n);
	memcpy(c->left, c->slices.len, (size_t)c->slices.n_values * PARE_MAX_DIMS * sizeof *c->left);
	c->any = false;
}

/* Where slice i's axis stands in base, len and left. */
static size_t axis_at(const struct pare_cut *c, uint32_t slice)
{
	int32_t value;
	int axis;

	(void)pare_slice_find(&c->slices, slice, &value, &axis);
	return (size_t)value * PARE_MAX_DIMS + (size_t)axis;
}

bool pare_cut_set(struct pare_cut *c, const uint8_t *gone)
{
	pare_cut_clear(c);
	for (uint32_t i = 0; i < c->slices.n; i++) {
		size_t at = axis_at(c, i);

		if (gone[i] == 0)
			continue;
		if (c->left[at] == 0 || (c->left[at] == 1 && !c->whole[at])) {
			pare_cut_clear(c);
			return false;
		}
		c->gone[i] = 1;
		c->left[at]--;
		c->any = true;
	}
	return true;
}

#define BEING_CUT 2 /* in gone, while a unit is tried */

bool pare_cut_unit(struct pare_cut *c, const struct pare_structures *g, int unit)
{
	const struct pare_structure *u = &g->units[unit];
	const uint32_t *member = g->member + u->first;
	bool empty = false;

	for (uint32_t i = 0; i < u->n; i++) {
		size_t at = axis_at(c, member[i]);

		if (c->gone[member[i]] != 0)
			continue;
		c->gone[member[i]] = BEING_CUT;
		empty |= --c->left[at] == 0 && !(g->whole && c->whole[at]);
	}
	for (uint32_t i = 0; i < u->n; i++) {
		if (c->gone[member[i]] != BEING_CUT)
			continue;
		c->gone[member[i]] = empty ? 0 : 1;
		c->left[axis_at(c, member[i])] += empty;
	}
	c->any |= !empty;
	return !empty;
}

bool pare_cut_has(const struct pare_cut *c, const struct pare_structures *g, int unit)
{
	for (uint32_t i = 0; i < g->units[unit].n; i++)
		if (c->gone[g->member[g->units[unit].first + i]] == 0)
			return false;
	return true;
}

const uint8_t *pare_cut_axis(const struct pare_cut *c, int32_t value, int axis)
{
	size_t at = (size_t)value * PARE_MAX_DIMS + (size_t)axis;

	if (c->slices.base[at] == PARE_NO_SLICE || memchr(c->gone + c->slices.base[at], 1, c->slices.len[at]) == NULL)
		return NULL;
	return c->gone + c->slices.base[at];
}
