/* Slices, and the equivalence that ties make of them: union-find over plain numbers (core/prune/slices.c).
 *
 * Every relation that removal has to respect is symmetric (if channel i of a sum goes, so does channel i of each term, and
 * the other way round), so the least set that contains a slice and can go is its class. Keeping the index of each axis
 * explicit, instead of relating axes with offset and stride formulas, makes concatenation, splitting, shuffling, grouped
 * convolution and flattening one case: a loop that joins numbers. It costs four bytes per index of each axis of each tensor,
 * which even for large nets is a fraction of one activation.
 *
 * Folds are the exception. Index 5 of a flat axis that folds [2, 3] may go with row 1 or with column 2, and joining it with
 * both joins everything. So a fold waits until the other ties have said which of its axes are pinned anyway, be it by a part of every block of the flat
 * one (a Flatten behind a convolution: height and width); if more than one is still free, the granularity decides, and the choice is
 * carried along: an axis that is joined with a chosen one is chosen wherever it is folded again, so that the three projections
 * of an attention block, or both sides of a channel shuffle, agree. There may be as many folds as nodes, so one is looked at again only when
 * something of its axes was pinned or chosen: classes know their members, in rings, and axes the folds that read them.
 *
 * Ways of a node (groups of a convolution, or a channel of each group) wait longer, until folds have said what their axes are: [heads, width] before
 * a convolution says more of them than their lengths do. Each way is tried on the classes of its own axes, and the one that leaves more units is taken. */
#include "core/prune/groups.h"

#include <math.h>
#include <string.h>

#include "core/base/num.h"
#include "core/graph/graph_priv.h"
#include "core/graph/net_view.h"
#include "core/prune/groups_priv.h"

/* --- the equivalence */

uint32_t pare_ties_find(struct pare_joiner *j, uint32_t a)
{
	while (j->parent[a] != a) {
		j->parent[a] = j->parent[j->parent[a]];
		a = j->parent[a];
	}
	return a;
}

/* 0: pinned; 1: could go; 2: is chosen. */
static int freedom_of(const struct pare_joiner *j, uint32_t root)
{
	return j->why[root] != PARE_PIN_NONE ? 0 : j->chosen[root] != 0 ? 2 : 1;
}

/* The class is about to be less or more free than it was: folds that read any of it have to be looked at again. */
static void tell_folds(struct pare_joiner *j, uint32_t root)
{
	uint32_t slice = root;

	if (j->next == NULL)
		return;
	do {
		int32_t value;
		int axis;

		(void)pare_slice_find(j->slices, slice, &value, &axis);
		for (size_t at = j->fold_of[(size_t)value * PARE_MAX_DIMS + (size_t)axis]; at > 0; at = j->folds[(at - 1) / 2].next[(at - 1) % 2]) {
			size_t first = j->folds[(at - 1) / 2].first;

			j->n_changed += !j->folds[first].changed;
			j->folds[first].changed = true;
			j->low = first < j->low ? first : j->low;
		}
		slice = j->next[slice];
	} while (slice != root);
}

static void join(struct pare_joiner *j, uint32_t a, uint32_t b)
{
	uint32_t low, high;
	int was_low, was_high, now;

	a = pare_ties_find(j, a);
	b = pare_ties_find(j, b);
	if (a == b)
		return;
	low = a < b ? a : b;
	high = a < b ? b : a;
	was_low = freedom_of(j, low);
	was_high = freedom_of(j, high);
	j->parent[high] = low;
	j->chosen[low] |= j->chosen[high];
	if (j->why[low] == PARE_PIN_NONE) {
		j->why[low] = j->why[high];
		j->by[low] = j->by[high];
	}
	now = freedom_of(j, low);
	if (now != was_low)
		tell_folds(j, low);
	if (now != was_high)
		tell_folds(j, high);
	if (j->next != NULL) {
		uint32_t swap = j->next[low];

		j->next[low] = j->next[high];
		j->next[high] = swap;
	}
}

static void pin(struct pare_joiner *j, uint32_t slice, enum pare_pin why, int32_t by)
{
	uint32_t root = pare_ties_find(j, slice);

	if (j->why[root] != PARE_PIN_NONE)
		return;
	j->why[root] = (uint8_t)why;
	j->by[root] = by;
	tell_folds(j, root);
}

struct axis {
	uint32_t base, len; /* base PARE_NO_SLICE: the batch, or an operand that is left out */
};

static struct axis axis_of(const struct pare_joiner *j, int32_t value, int axis)
{
	size_t at = (size_t)value * PARE_MAX_DIMS + (size_t)axis;

	return value < 0 ? (struct axis){PARE_NO_SLICE, 0} : (struct axis){j->slices->base[at], j->slices->len[at]};
}

static struct axis operand(const struct pare_joiner *j, const struct pare_node *n, int k, int axis)
{
	return axis_of(j, k < PARE_OUT(0) ? n->in[k] : n->out[k - PARE_OUT(0)], axis);
}

static void pin_axis(struct pare_joiner *j, struct axis a, enum pare_pin why, int32_t by)
{
	for (uint32_t i = 0; a.base != PARE_NO_SLICE && i < a.len; i++)
		pin(j, a.base + i, why, by);
}

typedef void join_fn(struct pare_joiner *j, uint32_t a, uint32_t b);

static void join_blocks(struct pare_joiner *j, struct axis a, struct axis b, const struct pare_tie *t, join_fn *how)
{
	for (uint32_t i = 0; i < a.len; i++)
		how(j, a.base + (uint32_t)((uint64_t)(i / t->a_inner % t->n) * (uint64_t)t->a_inner), a.base + i);
	for (uint32_t i = 0; i < b.len; i++)
		how(j, a.base + (uint32_t)((uint64_t)(i / t->b_inner % t->n) * (uint64_t)t->a_inner), b.base + i);
}

static void join_axes(struct pare_joiner *j, struct axis a, struct axis b, const struct pare_tie *t, join_fn *how)
{
	switch (t->kind) {
	case PARE_TIE_SPREAD:
		for (uint32_t i = 0; i < b.len; i++)
			how(j, a.base + (uint32_t)(i / (uint64_t)t->inner % a.len), b.base + i);
		break;
	case PARE_TIE_BLOCKS:
		join_blocks(j, a, b, t, how);
		break;
	default:
		for (uint32_t i = 0; i < a.len; i++)
			how(j, a.base + i, b.base + i + (uint32_t)t->offset);
	}
}

static bool is_rows(const struct pare_joiner *j, const struct pare_node *n, int operand, int axis)
{
	const struct pare_shape *s = pare_net_shape_of(j->net, operand < PARE_OUT(0) ? n->in[operand] : n->out[operand - PARE_OUT(0)]);

	return s != NULL && (s->batch & PARE_BIT(axis)) != 0;
}

/* Indices of an axis that holds the batch and more are those of one row, which come again in the next. A piece of it, or what it is summed to, is something else. */
static bool tie_knows_rows(const struct pare_joiner *j, const struct pare_node *n, const struct pare_tie *t)
{
	return t->kind == PARE_TIE_SAME || t->kind == PARE_TIE_SPREAD || (!is_rows(j, n, t->a, t->a_axis) && !is_rows(j, n, t->b, t->b_axis));
}

/* Do the lengths agree with what the tie says of them? */
static bool tie_fits(const struct pare_tie *t, struct axis a, struct axis b)
{
	if (a.base == PARE_NO_SLICE || b.base == PARE_NO_SLICE)
		return false;
	switch (t->kind) {
	case PARE_TIE_SAME:
	case PARE_TIE_CONTRACT:
		return a.len == b.len;
	case PARE_TIE_SPREAD:
		return t->inner > 0 && t->outer > 0 && a.len > 0 && (int64_t)b.len == t->outer * a.len * t->inner;
	case PARE_TIE_PART:
		return t->offset >= 0 && t->offset + a.len <= b.len;
	case PARE_TIE_BLOCKS:
		return t->n > 0 && t->a_inner > 0 && t->b_inner > 0 && a.len % (uint64_t)(t->n * t->a_inner) == 0 && b.len % (uint64_t)(t->n * t->b_inner) == 0;
	case PARE_TIE_MIX:
	case PARE_TIE_OPAQUE:
		break;
	}
	return false;
}

/* Of operands that are summed over an axis, is there one that is zero where all weights are? */
static bool sums_nothing(const struct pare_joiner *j, const struct pare_node *n, const struct pare_tie *t)
{
	float a = j->masked[(size_t)n->in[t->a] * PARE_MAX_DIMS + (size_t)t->a_axis], b = j->masked[(size_t)n->in[t->b] * PARE_MAX_DIMS + (size_t)t->b_axis];

	return fabsf(a) <= 0 || fabsf(b) <= 0;
}

static void apply_tie(struct pare_joiner *j, const struct pare_node *n, int32_t step, const struct pare_tie *t)
{
	struct axis a = operand(j, n, t->a, t->a_axis), b = operand(j, n, t->b, t->b_axis);

	if (!tie_fits(t, a, b) || !tie_knows_rows(j, n, t)) {
		pin_axis(j, a, t->kind == PARE_TIE_MIX ? PARE_PIN_MIX : PARE_PIN_OPAQUE, step);
		pin_axis(j, b, t->kind == PARE_TIE_MIX ? PARE_PIN_MIX : PARE_PIN_OPAQUE, step);
		return;
	}
	if (t->kind == PARE_TIE_CONTRACT && !sums_nothing(j, n, t)) {
		pin_axis(j, a, PARE_PIN_ADDS, step);
		pin_axis(j, b, PARE_PIN_ADDS, step);
		return;
	}
	join_axes(j, a, b, t, join);
}

static void pin_step(struct pare_joiner *j, const struct pare_node *n, int32_t step)
{
	for (int k = 0; k < n->n_in + n->n_out; k++)
		for (int i = 0; i < PARE_MAX_DIMS; i++)
			pin_axis(j, axis_of(j, k < n->n_in ? n->in[k] : n->out[k - n->n_in], i), PARE_PIN_OPAQUE, step);
}

static bool mentions(const struct pare_ties *t, int operand, int axis)
{
	for (int i = 0; i < t->n; i++)
		if ((t->tie[i].a == operand && t->tie[i].a_axis == axis) || (t->tie[i].b == operand && t->tie[i].b_axis == axis))
			return true;
	return false;
}

/* What no tie of a node mentions is the node's own: the best of TopK, the copies of Tile. If the row cannot say another size, it keeps this one. */
static void pin_own(struct pare_joiner *j, const struct pare_net_step *step, int32_t i, const struct pare_ties *t)
{
	for (int k = 0; k < step->node->n_out && step->op->resize == NULL; k++)
		for (int axis = 0; axis < PARE_MAX_DIMS; axis++)
			if (!mentions(t, PARE_OUT(k), axis))
				pin_axis(j, axis_of(j, step->node->out[k], axis), PARE_PIN_OPAQUE, i);
}

/* Nor is more said of the batch, where it is not of one row: rows of several. */
static void pin_rows(struct pare_joiner *j, const struct pare_net_step *step, int32_t i, const struct pare_ties *t)
{
	const struct pare_node *n = step->node;

	for (int k = 0; k < n->n_in + n->n_out; k++)
		for (int axis = 0; axis < PARE_MAX_DIMS; axis++) {
			int at = k < n->n_in ? k : PARE_OUT(k - n->n_in);
			struct axis a = operand(j, n, at, axis);

			if (a.base != PARE_NO_SLICE && is_rows(j, n, at, axis) && !mentions(t, at, axis))
				pin_axis(j, a, PARE_PIN_OPAQUE, i);
		}
}

static bool is_open_axis(const struct pare_joiner *j, const struct pare_node *n, int operand, int axis)
{
	int32_t v = operand < PARE_OUT(0) ? n->in[operand] : n->out[operand - PARE_OUT(0)];

	return v >= 0 && (j->open_axes[v] & PARE_BIT(axis)) != 0;
}

/* Does the tie say something else for rows of other sizes? So do a piece that then begins or ends elsewhere, as what it leaves aside is another, and
 * ends of unlike lengths. */
static bool is_open_tie(const struct pare_joiner *j, const struct pare_net_step *step, const struct pare_tie *t)
{
	if (t->ends && (is_open_axis(j, step->node, t->a, t->a_axis) || is_open_axis(j, step->node, t->b, t->b_axis)))
		return true;
	for (int k = 0; k < step->node->n_in && t->kind == PARE_TIE_PART; k++)
		if (step->node->in[k] >= 0 && pare_op_has(step->op->const_in, k) && j->open[step->node->in[k]])
			return true;
	return false;
}

static enum pare_code keep_fold(struct pare_joiner *j, int32_t step, const struct pare_tie *t, struct pare_err *err)
{
	struct pare_fold *more;

	if (j->n_folds == j->max_folds) {
		more = pare_realloc(j->folds, (j->max_folds * 2 + 16) * sizeof *more);
		if (more == NULL)
			return pare_err_nomem(err, 0);
		j->folds = more;
		j->max_folds = j->max_folds * 2 + 16;
	}
	j->folds[j->n_folds++] = (struct pare_fold){.step = step, .tie = *t};
	return PARE_OK;
}

static enum pare_code apply_steps(struct pare_joiner *j, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int32_t i = 0; i < pare_net_n_steps(j->net) && code == PARE_OK; i++) {
		struct pare_net_step step;
		struct pare_ties ties;

		code = pare_err_canceled(err, j->cancel);
		pare_net_step_at(j->net, i, &step);
		pare_net_step_ties(j->net, i, &ties);
		if (ties.full)
			pin_step(j, step.node, i);
		for (int k = 0; k < ties.n && !ties.full && code == PARE_OK; k++)
			if (ties.tie[k].one_of != 0)
				code = keep_fold(j, i, &ties.tie[k], err);
			else if (ties.tie[k].way == 0) {
				if (is_open_tie(j, &step, &ties.tie[k]))
					ties.tie[k].kind = PARE_TIE_OPAQUE;
				apply_tie(j, step.node, i, &ties.tie[k]);
			}
		if (!ties.full) {
			pin_own(j, &step, i, &ties);
			pin_rows(j, &step, i, &ties);
		}
	}
	return code;
}

/* What the world sees, and what nodes read that nobody here runs. */
static void pin_interface(struct pare_joiner *j, const struct pare_graph *g)
{
	for (int i = 0; i < g->n_inputs + g->n_outputs; i++)
		for (int k = 0; k < PARE_MAX_DIMS; k++)
			pin_axis(j, axis_of(j, i < g->n_inputs ? g->inputs[i] : g->outputs[i - g->n_inputs], k), i < g->n_inputs ? PARE_PIN_INPUT : PARE_PIN_OUTPUT,
			    i < g->n_inputs ? g->inputs[i] : g->outputs[i - g->n_inputs]);
	for (int32_t i = 0; i < g->n_nodes; i++)
		for (int in = 0; pare_net_is_carried(j->net, i) && in < g->nodes[i].n_in; in++)
			for (int k = 0; k < PARE_MAX_DIMS; k++)
				pin_axis(j, axis_of(j, g->nodes[i].in[in], k), PARE_PIN_CARRIED, i);
	for (size_t at = 0; at < (size_t)j->slices->n_values * PARE_MAX_DIMS; at++)
		if (j->slices->len[at] == 1)
			pin(j, j->slices->base[at], PARE_PIN_WHOLE, -1);
}

/* --- folds */

static struct axis fold_axis(const struct pare_joiner *j, const struct pare_fold *f, bool flat)
{
	struct pare_net_step step;

	pare_net_step_at(j->net, f->step, &step);
	return operand(j, step.node, flat ? f->tie.b : f->tie.a, flat ? f->tie.b_axis : f->tie.a_axis);
}

/* Is something of what goes with index i of the axis that it folds pinned? */
static bool is_held(struct pare_joiner *j, const struct pare_tie *t, struct axis a, struct axis b, uint32_t i)
{
	for (int64_t o = 0; o < t->outer; o++)
		for (int64_t k = 0; k < t->inner; k++)
			if (freedom_of(j, pare_ties_find(j, b.base + (uint32_t)((o * a.len + i) * t->inner + k))) == 0)
				return true;
	return false;
}

/* 0: pinned; 1: some index could go; 2: it is chosen already. */
static int freedom(struct pare_joiner *j, const struct pare_fold *f)
{
	struct axis a = fold_axis(j, f, false), b = fold_axis(j, f, true);
	int free = 0;

	for (uint32_t i = 0; tie_fits(&f->tie, a, b) && i < a.len; i++) {
		int index = freedom_of(j, pare_ties_find(j, a.base + i));

		if (index > free && !is_held(j, &f->tie, a, b, i))
			free = index;
	}
	return free;
}

/* The folds [first, end) are the ways to read one flat axis; way < 0: none is left, as in each something holds every index. */
static void settle(struct pare_joiner *j, size_t first, size_t end, int way)
{
	for (size_t i = first; i < end; i++) {
		struct pare_fold *f = &j->folds[i];
		struct pare_net_step step;

		f->settled = true;
		pare_net_step_at(j->net, f->step, &step);
		if (way < 0 || (int)(i - first) == way)
			apply_tie(j, step.node, f->step, &f->tie);
		else
			pin_axis(j, fold_axis(j, f, false), PARE_PIN_CHOICE, f->step);
	}
	if (way < 0)
		pin_axis(j, fold_axis(j, &j->folds[first], true), PARE_PIN_OPAQUE, j->folds[first].step);
}

/* Which way is forced, if any: -1 none is left, -2 not yet clear. *first_free, *last_free: the outermost and innermost ways. */
static int forced(struct pare_joiner *j, size_t first, size_t end, int *first_free, int *last_free)
{
	int n_free = 0, chosen = -1;

	for (size_t i = first; i < end; i++) {
		int f = freedom(j, &j->folds[i]);

		if (f > 1 && chosen < 0)
			chosen = (int)(i - first);
		if (f > 0 && n_free++ == 0)
			*first_free = (int)(i - first);
		if (f > 0)
			*last_free = (int)(i - first);
	}
	return chosen >= 0 ? chosen : n_free == 0 ? -1 : n_free == 1 ? *first_free : -2;
}

static size_t fold_end(const struct pare_joiner *j, size_t first)
{
	size_t end = first;

	while (end < j->n_folds && j->folds[end].step == j->folds[first].step && j->folds[end].tie.one_of == j->folds[first].tie.one_of)
		end++;
	return end;
}

/* Settles what is forced of the folds that have changed, from the first on and round again while there are any. */
static enum pare_code settle_forced(struct pare_joiner *j, struct pare_err *err)
{
	int lo = 0, hi = 0;
	enum pare_code code = PARE_OK;

	while (j->n_changed > 0 && code == PARE_OK) {
		size_t end, i = j->low;

		for (j->low = j->n_folds; i < j->n_folds && j->n_changed > 0 && code == PARE_OK; i = end) {
			int way;

			end = fold_end(j, i);
			if (!j->folds[i].changed)
				continue;
			j->folds[i].changed = false;
			j->n_changed--;
			if (j->folds[i].settled)
				continue;
			code = pare_err_canceled(err, j->cancel);
			way = forced(j, i, end, &lo, &hi);
			if (way > -2)
				settle(j, i, end, way);
		}
	}
	return code;
}

static void mark_chosen(struct pare_joiner *j, struct axis a)
{
	for (uint32_t i = 0; a.base != PARE_NO_SLICE && i < a.len; i++) {
		uint32_t root = pare_ties_find(j, a.base + i);

		if (j->chosen[root] != 0)
			continue;
		j->chosen[root] = 1;
		if (j->why[root] == PARE_PIN_NONE)
			tell_folds(j, root);
	}
}

static bool is_tied(const struct pare_ties *t, enum pare_tie_kind kind, int a, int b, int b_axis)
{
	for (int i = 0; i < t->n; i++)
		if (t->tie[i].kind == kind && t->tie[i].a == a && t->tie[i].b == b && (b_axis < 0 || t->tie[i].b_axis == b_axis))
			return true;
	return false;
}

/* Where two computed values are multiplied and summed for each index of an axis apart, these are heads: whole ones are taken from there even where the
 * width of none could be (attention between channels, or with norms of queries, keys and values). */
static enum pare_code mark_heads(struct pare_joiner *j, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int32_t i = 0; i < pare_net_n_steps(j->net) && code == PARE_OK; i++) {
		struct pare_net_step step;
		struct pare_ties t;

		code = pare_err_canceled(err, j->cancel);
		pare_net_step_at(j->net, i, &step);
		pare_net_step_ties(j->net, i, &t);
		if (t.full || step.node->n_in < 2 || pare_net_param_of(j->net, step.node->in[0]) >= 0 || pare_net_param_of(j->net, step.node->in[1]) >= 0 ||
		    !is_tied(&t, PARE_TIE_CONTRACT, 0, 1, -1))
			continue;
		for (int axis = 0; axis < PARE_MAX_DIMS; axis++)
			if (!is_rows(j, step.node, PARE_OUT(0), axis) && is_tied(&t, PARE_TIE_SAME, 0, PARE_OUT(0), axis) && is_tied(&t, PARE_TIE_SAME, 1, PARE_OUT(0), axis))
				mark_chosen(j, operand(j, step.node, PARE_OUT(0), axis));
	}
	return code;
}

static void choose(struct pare_joiner *j, size_t first, enum pare_granularity granularity)
{
	size_t end = fold_end(j, first);
	int lo = 0, hi = 0, way;

	(void)forced(j, first, end, &lo, &hi);
	way = granularity == PARE_GRANULARITY_HEAD ? lo : hi;
	mark_chosen(j, fold_axis(j, &j->folds[first + (size_t)way], false));
	settle(j, first, end, way);
}

/* The fold has to be looked at again when something of its flat axis, or of the one that it folds, changes. */
static void watch_axis(struct pare_joiner *j, size_t fold, bool flat)
{
	struct axis a = fold_axis(j, &j->folds[fold], flat);
	size_t *of;
	int32_t value;
	int axis;

	if (a.base == PARE_NO_SLICE)
		return;
	(void)pare_slice_find(j->slices, a.base, &value, &axis);
	of = &j->fold_of[(size_t)value * PARE_MAX_DIMS + (size_t)axis];
	j->folds[fold].next[flat] = *of;
	*of = 2 * fold + flat + 1;
}

/* Rings of classes, and who reads which axis; every fold is yet to be looked at. */
static enum pare_code watch_folds(struct pare_joiner *j, struct pare_err *err)
{
	j->next = pare_calloc((size_t)j->slices->n + 1, sizeof *j->next);
	j->fold_of = pare_calloc((size_t)j->slices->n_values * PARE_MAX_DIMS + 1, sizeof *j->fold_of);
	if (j->next == NULL || j->fold_of == NULL)
		return pare_err_nomem(err, j->slices->n * sizeof *j->next);
	for (uint32_t i = 0; i < j->slices->n; i++) {
		uint32_t root = pare_ties_find(j, i);

		j->next[i] = root == i ? i : j->next[root];
		j->next[root] = i;
	}
	for (size_t i = 0, end; i < j->n_folds; i = end) {
		end = fold_end(j, i);
		j->folds[i].changed = true;
		j->n_changed++;
		watch_axis(j, i, true);
		for (size_t f = i; f < end; f++) {
			j->folds[f].first = i;
			watch_axis(j, f, false);
		}
	}
	return PARE_OK;
}

/* What is forced, then the first that is not, and so on. */
static enum pare_code settle_folds(struct pare_joiner *j, enum pare_granularity granularity, struct pare_err *err)
{
	enum pare_code code = j->n_folds > 0 ? watch_folds(j, err) : PARE_OK;
	size_t open = 0;

	while (code == PARE_OK) {
		code = settle_forced(j, err);
		while (open < j->n_folds && j->folds[open].settled)
			open = fold_end(j, open);
		if (open == j->n_folds)
			break;
		if (code == PARE_OK)
			choose(j, open, granularity);
	}
	return code;
}

/* --- ways */

#define MAX_WAY_AXES 8

static uint32_t trial_find(struct pare_joiner *j, uint32_t slice)
{
	uint32_t a = pare_ties_find(j, slice);

	while (j->trial[a].parent != a)
		a = j->trial[a].parent = j->trial[j->trial[a].parent].parent;
	return a;
}

static void trial_join(struct pare_joiner *j, uint32_t a, uint32_t b)
{
	j->trial[trial_find(j, b)].parent = trial_find(j, a);
}

/* The axes that a node's ways tie. */
struct way_axes {
	struct axis of[MAX_WAY_AXES];
	bool by_both[MAX_WAY_AXES];
	int n;
};

static bool is_tied_by(const struct pare_ties *t, int way, int operand, int axis)
{
	for (int i = 0; i < t->n; i++) {
		const struct pare_tie *e = &t->tie[i];

		if (e->way == way && e->kind != PARE_TIE_OPAQUE && ((e->a == operand && e->a_axis == axis) || (e->b == operand && e->b_axis == axis)))
			return true;
	}
	return false;
}

static struct way_axes axes_of_ways(const struct pare_joiner *j, const struct pare_node *n, const struct pare_ties *t)
{
	struct way_axes found = {.n = 0};

	for (int k = 0; k < n->n_in + n->n_out; k++)
		for (int axis = 0; axis < PARE_MAX_DIMS && found.n < MAX_WAY_AXES; axis++) {
			int at = k < n->n_in ? k : PARE_OUT(k - n->n_in);
			bool first = is_tied_by(t, 1, at, axis), second = is_tied_by(t, 2, at, axis);
			struct axis a = operand(j, n, at, axis);

			if ((!first && !second) || a.base == PARE_NO_SLICE)
				continue;
			found.by_both[found.n] = first && second;
			found.of[found.n++] = a;
		}
	return found;
}

/* Every class of the axis by itself. */
static void trial_begin(struct pare_joiner *j, struct axis a)
{
	for (uint32_t i = 0; i < a.len; i++) {
		uint32_t root = pare_ties_find(j, a.base + i);

		j->trial[root] = (struct pare_trial){.parent = root};
	}
}

/* A class with something pinned stays, and so does one that is all of an axis. */
static void trial_pin(struct pare_joiner *j, struct axis a)
{
	for (uint32_t i = 0; i < a.len; i++) {
		struct pare_trial *t = &j->trial[trial_find(j, a.base + i)];

		t->pinned |= j->why[pare_ties_find(j, a.base + i)] != PARE_PIN_NONE || ++t->n == a.len;
	}
	for (uint32_t i = 0; i < a.len; i++)
		j->trial[trial_find(j, a.base + i)].n = 0;
}

/* How many classes could go from the axis. */
static int64_t trial_count(struct pare_joiner *j, struct axis a)
{
	int64_t n = 0;

	for (uint32_t i = 0; i < a.len; i++) {
		struct pare_trial *t = &j->trial[trial_find(j, a.base + i)];

		n += !t->pinned && t->n++ == 0;
	}
	for (uint32_t i = 0; i < a.len; i++)
		j->trial[trial_find(j, a.base + i)].n = 0;
	return n;
}

/* How many units a way would leave, each counted once for every axis that both ways tie. */
static int64_t try_way(struct pare_joiner *j, const struct pare_node *n, const struct pare_ties *t, int way, const struct way_axes *axes)
{
	int64_t left = 0;

	for (int i = 0; i < axes->n; i++)
		trial_begin(j, axes->of[i]);
	for (int i = 0; i < t->n; i++) {
		const struct pare_tie *e = &t->tie[i];
		struct axis a = operand(j, n, e->a, e->a_axis), b = operand(j, n, e->b, e->b_axis);

		if (e->way == way && tie_fits(e, a, b))
			join_axes(j, a, b, e, trial_join);
	}
	for (int i = 0; i < axes->n; i++)
		trial_pin(j, axes->of[i]);
	for (int i = 0; i < axes->n; i++)
		left += axes->by_both[i] ? trial_count(j, axes->of[i]) : 0;
	return left;
}

static void take_way(struct pare_joiner *j, const struct pare_node *n, int32_t step, const struct pare_ties *t)
{
	struct way_axes axes = axes_of_ways(j, n, t);
	int way = try_way(j, n, t, 1, &axes) < try_way(j, n, t, 2, &axes) ? 2 : 1;

	for (int i = 0; i < t->n; i++)
		if (t->tie[i].way == way)
			apply_tie(j, n, step, &t->tie[i]);
}

static enum pare_code take_ways(struct pare_joiner *j, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int32_t i = 0; i < pare_net_n_steps(j->net) && code == PARE_OK; i++) {
		struct pare_net_step step;
		struct pare_ties ties;
		bool any = false;

		code = pare_err_canceled(err, j->cancel);
		pare_net_step_at(j->net, i, &step);
		pare_net_step_ties(j->net, i, &ties);
		for (int k = 0; k < ties.n && !ties.full; k++)
			any |= ties.tie[k].way != 0;
		if (!any)
			continue;
		if (j->trial == NULL)
			j->trial = pare_calloc((size_t)j->slices->n + 1, sizeof *j->trial);
		if (j->trial == NULL)
			code = pare_err_nomem(err, j->slices->n * sizeof *j->trial);
		else
			take_way(j, step.node, i, &ties);
	}
	return code;
}

void pare_joiner_done(struct pare_joiner *j)
{
	pare_free(j->open);
	pare_free(j->open_axes);
	pare_free(j->masked);
	pare_free(j->parent);
	pare_free(j->why);
	pare_free(j->chosen);
	pare_free(j->by);
	pare_free(j->folds);
	pare_free(j->next);
	pare_free(j->fold_of);
	pare_free(j->trial);
}

/* A class that holds all of an axis would leave an empty tensor. */
static enum pare_code pin_whole(struct pare_joiner *j, struct pare_err *err)
{
	uint32_t *count = pare_calloc((size_t)j->slices->n + 1, sizeof *count);
	enum pare_code code = PARE_OK;

	if (count == NULL)
		return pare_err_nomem(err, j->slices->n * sizeof *count);
	for (size_t at = 0; at < (size_t)j->slices->n_values * PARE_MAX_DIMS && code == PARE_OK; at++) {
		struct axis a = {j->slices->base[at], j->slices->len[at]};

		code = pare_err_canceled(err, j->cancel);
		for (uint32_t i = 0; a.base != PARE_NO_SLICE && i < a.len; i++)
			if (++count[pare_ties_find(j, a.base + i)] == a.len)
				pin(j, a.base + i, PARE_PIN_WHOLE, -1);
		for (uint32_t i = 0; a.base != PARE_NO_SLICE && i < a.len; i++)
			count[pare_ties_find(j, a.base + i)] = 0;
	}
	pare_free(count);
	return code;
}

enum pare_code pare_join(struct pare_joiner *j, const struct pare_net *net, const struct pare_graph *g, const struct pare_slices *slices,
    enum pare_granularity granularity, struct pare_err *err)
{
	enum pare_code code;

	*j = (struct pare_joiner){.net = net, .slices = slices, .cancel = j->cancel};
	j->parent = pare_calloc((size_t)slices->n + 1, sizeof *j->parent);
	j->by = pare_calloc((size_t)slices->n + 1, sizeof *j->by);
	j->why = pare_calloc((size_t)slices->n + 1, 1);
	j->chosen = pare_calloc((size_t)slices->n + 1, 1);
	j->open = pare_calloc((size_t)g->n_values + 1, sizeof *j->open);
	j->open_axes = pare_calloc((size_t)g->n_values + 1, sizeof *j->open_axes);
	j->masked = pare_calloc((size_t)g->n_values * PARE_MAX_DIMS + 1, sizeof *j->masked);
	if (j->open == NULL || j->open_axes == NULL || j->masked == NULL || j->parent == NULL || j->by == NULL || j->why == NULL || j->chosen == NULL)
		return pare_err_nomem(err, slices->n * sizeof *j->parent);
	for (uint32_t i = 0; i < slices->n; i++)
		j->parent[i] = i;
	pin_interface(j, g);
	code = pare_net_find_open(net, j->open, j->open_axes, err);
	if (code == PARE_OK)
		code = pare_masked_values(net, g, j->cancel, j->masked, err);
	if (code == PARE_OK)
		code = apply_steps(j, err);
	if (code == PARE_OK && granularity == PARE_GRANULARITY_HEAD)
		code = mark_heads(j, err);
	if (code == PARE_OK)
		code = settle_folds(j, granularity, err);
	if (code == PARE_OK)
		code = take_ways(j, err);
	return code == PARE_OK ? pin_whole(j, err) : code;
}
