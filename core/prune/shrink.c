/* Shrinking is bookkeeping. Which slices are gone is known for every tensor, so the new shape of every tensor is known before
 * anything is changed; what remains is to make each node say so. Most nodes say nothing about sizes. Those that do have a
 * resize function in their operator's row, which sees old and new shapes and sets attributes or constant inputs.
 *
 * What a graph computes from shapes (the root of a head's width, by which attention divides) meant the old sizes and must stay what it
 * was: such constants are written out, too, if they would come out otherwise (core/graph/refold.c). Sizes that the model leaves open are
 * those of one data set: what is computed from them is left to the graph, element by element, wherever it still comes out right.
 *
 * Constants that are no initializers (outputs of Constant nodes, of chains that were folded) are written out as initializers
 * when they have to get smaller, and the nodes that made them are then dead, like the chains that computed the target of a
 * Reshape. */
#include "core/prune/shrink.h"

#include <string.h>

#include "core/base/num.h"
#include "core/graph/graph_priv.h"
#include "core/graph/net_view.h"
#include "core/ops/op.h"
#include "core/prune/layers.h"

#define MAX_KEPT (2 * PARE_MAX_DIMS) /* elements of a list of sizes */

struct shrinker {
	const struct pare_net *net;
	const struct pare_model *m;
	const struct pare_cut *cut;
	const atomic_bool *cancel; /* may be NULL */
	struct pare_rewrite *rw;
	struct pare_shape *shapes; /* by value, as they will be */
	const char **written;      /* by value: the initializer that stands for a constant */
	struct pare_branches branches;
	int32_t *stands;           /* by value: what readers of it read from now on */
	bool *left_out;            /* by node: of a branch that is gone */
	struct pare_known *again;  /* by value: what is known once tensors are smaller */
	bool *open;                /* by value: would come out otherwise for rows of other sizes */
	bool *by_shape;            /* by value: computed from the shape of something that gets smaller, and would come out otherwise */
	struct pare_err *err;
	enum pare_code code;
};

void pare_cut_mask(const struct pare_cut *c, struct pare_net *net, struct pare_mask *mask)
{
	for (int p = 0; p < pare_net_n_params(net); p++) {
		const struct pare_param_info *info = pare_net_param(net, p);
		size_t inner = info->n_elems;

		for (int axis = 0; axis < info->n_dims && info->n_elems > 0 && !info->buffer; axis++) {
			const uint8_t *gone = pare_cut_axis(c, info->value, axis);
			size_t len = (size_t)info->dims[axis];

			inner /= len;
			for (size_t i = 0; gone != NULL && i < info->n_elems; i++)
				mask->keep[info->offset + i] = gone[i / inner % len] != 0 ? 0 : mask->keep[info->offset + i];
		}
	}
	mask->any |= c->any;
	pare_mask_apply(mask, pare_net_slab(net), 0, mask->len);
}

/* --- shapes and data */

static bool resized(const struct shrinker *s, int32_t value)
{
	const struct pare_shape *was = value >= 0 ? pare_net_shape_of(s->net, value) : NULL;

	return was != NULL && !pare_shape_same(was, &s->shapes[value]);
}

static void plan_shapes(struct shrinker *s)
{
	for (int32_t v = 0; v < s->m->graph.n_values; v++) {
		s->shapes[v] = *pare_net_shape_of(s->net, v);
		for (int k = 0; k < s->shapes[v].n_dims; k++) {
			const uint8_t *gone = pare_cut_axis(s->cut, v, k);
			int64_t n = s->shapes[v].dims[k];

			for (int64_t i = 0; gone != NULL && i < n; i++)
				s->shapes[v].dims[k] -= gone[i] != 0;
		}
	}
}

/* Elements of `size` bytes of which every index along every axis stays; returns bytes written. */
static size_t gather_kept(const struct shrinker *s, int32_t value, const struct pare_shape *was, const uint8_t *data, size_t size, uint8_t *out)
{
	const uint8_t *gone[PARE_MAX_DIMS];
	int64_t at[PARE_MAX_DIMS] = {0};
	size_t n = pare_shape_elems(was), written = 0;

	for (int k = 0; k < was->n_dims; k++)
		gone[k] = pare_cut_axis(s->cut, value, k);
	for (size_t i = 0; i < n; i++) {
		bool kept = true;

		for (int k = 0; k < was->n_dims && kept; k++)
			kept = gone[k] == NULL || gone[k][at[k]] == 0;
		if (kept) {
			memcpy(out + written, data + i * size, size);
			written += size;
		}
		for (int k = was->n_dims - 1; k >= 0 && ++at[k] == was->dims[k]; k--)
			at[k] = 0;
	}
	return written;
}

static enum pare_code make_init(struct shrinker *s, int32_t value, const char *name, int dtype, const uint8_t *data, struct pare_new_init *out)
{
	const struct pare_shape *was = pare_net_shape_of(s->net, value), *now = &s->shapes[value];
	size_t size = (size_t)pare_dtype_bits(dtype) / 8;
	uint8_t *bytes = pare_arena_array(&s->rw->arena, pare_shape_elems(now) + 1, size);

	if (bytes == NULL)
		return pare_err_nomem(s->err, pare_shape_elems(now) * size);
	*out = (struct pare_new_init){.name = name, .dtype = dtype, .n_dims = now->n_dims, .bytes = bytes};
	memcpy(out->dims, now->dims, sizeof out->dims);
	out->n_bytes = gather_kept(s, value, was, data, size, bytes);
	return PARE_OK;
}

static enum pare_code shrink_init(struct shrinker *s, int32_t value)
{
	const struct pare_tensor *t = s->m->graph.values[value].init;
	struct pare_new_init *init = pare_arena_alloc(&s->rw->arena, sizeof *init);
	size_t n_bytes = t->n_elems * ((size_t)pare_dtype_bits(t->dtype) / 8);
	uint8_t *data = pare_alloc(n_bytes);
	enum pare_code code;

	if (init == NULL || data == NULL) {
		pare_free(data);
		return pare_err_nomem(s->err, n_bytes);
	}
	code = pare_tensor_read_bytes(t, data, s->err);
	if (code == PARE_OK)
		code = make_init(s, value, t->name, t->dtype, data, init);
	pare_free(data);
	s->rw->resized[value] = init;
	return code;
}

/* A constant that some node computes: what the plan knows of it, as float32 or int64 (bool: one byte), which are the types that
 * constants of a graph that we execute have, but for float16 and double: those are told by the node that made them. */
static enum pare_code constant_bytes(const struct shrinker *s, int32_t value, int *dtype, uint8_t **out)
{
	const struct pare_known *known = pare_net_known(s->net, value);
	const float *f = pare_net_constant_f32(s->net, value);
	size_t n = pare_shape_elems(pare_net_shape_of(s->net, value));
	char shown[PARE_NAME_SHOWN];

	*dtype = pare_net_dtype_of(s->net, value);
	*out = NULL;
	if (*dtype != PARE_DT_FLOAT && *dtype != PARE_DT_INT64)
		return pare_err_set(s->err, PARE_E_UNSUPPORTED, NULL, "constant \"%s\" of type %s is computed in the graph and would have to shrink; only float and int64 can",
		    pare_name_shown(s->m->graph.values[value].name, shown), pare_dtype_name(*dtype));
	*out = pare_calloc(n + 1, sizeof(int64_t));
	if (*out == NULL)
		return pare_err_nomem(s->err, n * sizeof(int64_t));
	for (size_t i = 0; i < n; i++) {
		int64_t whole = known->i64 != NULL ? known->i64[i] : f != NULL ? (int64_t)f[i] : 0;
		float real = f != NULL ? f[i] : 0;

		if (*dtype == PARE_DT_INT64)
			memcpy(*out + i * sizeof whole, &whole, sizeof whole);
		else
			memcpy(*out + i * sizeof real, &real, sizeof real);
	}
	return PARE_OK;
}

static enum pare_code write_constant(struct shrinker *s, int32_t value)
{
	struct pare_new_init init;
	uint8_t *data;
	int dtype;
	enum pare_code code = constant_bytes(s, value, &dtype, &data);

	s->written[value] = pare_rewrite_name(s->rw, &s->m->graph, s->m->graph.values[value].name);
	if (code == PARE_OK && s->written[value] == NULL)
		code = pare_err_nomem(s->err, 0);
	if (code == PARE_OK)
		code = make_init(s, value, s->written[value], dtype, data, &init);
	if (code == PARE_OK)
		code = pare_rewrite_add_init(s->rw, &init, s->err);
	pare_free(data);
	return code;
}

/* --- nodes */

struct resize_ctx {
	struct shrinker *s;
	struct pare_net_step step;
	uint64_t said; /* inputs that the row has looked after */
};

static void edit(struct shrinker *s, const struct pare_node_edit *e)
{
	if (s->code == PARE_OK)
		s->code = pare_rewrite_add_edit(s->rw, e, s->err);
}

static const uint8_t *resize_gone(const struct pare_resize *r, int k, int axis)
{
	const struct resize_ctx *c = r->ctx;
	const struct pare_node *n = c->step.node;

	return pare_cut_axis(c->s->cut, k < PARE_OUT(0) ? n->in[k] : n->out[k - PARE_OUT(0)], axis);
}

static const struct pare_known *resize_computed(const struct pare_resize *r, int k)
{
	const struct resize_ctx *c = r->ctx;
	int32_t value = k < c->step.node->n_in ? c->step.node->in[k] : -1;

	return value >= 0 ? &c->s->again[value] : NULL;
}

static bool is_list(const struct pare_op *op, const char *name)
{
	for (const struct pare_arg_spec *a = op->args; a != NULL && a->name != NULL; a++)
		if (strcmp(a->name, name) == 0)
			return a->kind == PARE_ARG_INTS;
	return false;
}

static void resize_attr(const struct pare_resize *r, const char *name, const int64_t *v, size_t n)
{
	const struct resize_ctx *c = r->ctx;
	const struct pare_attr *was = pare_node_attr(c->step.node, name);
	struct pare_node_edit e = {.node = c->step.index, .attr = name, .is_list = is_list(c->step.op, name), .v = v, .n = n};
	bool same = was == NULL ? n == 0 : e.is_list ? was->n == n && n > 0 && memcmp(was->ints, v, n * sizeof *v) == 0 : n == 1 && was->i == v[0];

	if (!same)
		edit(c->s, &e);
}

static const char *add_ints(struct shrinker *s, const char *base, const int64_t *v, size_t n)
{
	struct pare_new_init init = {.name = pare_rewrite_name(s->rw, &s->m->graph, base), .dtype = PARE_DT_INT64, .n_dims = 1, .dims = {(int64_t)n}, .n_bytes = n * sizeof *v};
	int64_t *copy = pare_arena_array(&s->rw->arena, n + 1, sizeof *copy);

	if (init.name == NULL || copy == NULL) {
		s->code = pare_err_nomem(s->err, init.n_bytes);
		return "";
	}
	if (n > 0)
		memcpy(copy, v, init.n_bytes);
	init.bytes = copy;
	if (s->code == PARE_OK)
		s->code = pare_rewrite_add_init(s->rw, &init, s->err);
	return init.name;
}

static const char *add_node(struct shrinker *s, int32_t before, const char *op, const char *a, const char *b)
{
	struct pare_new_node n = {.before = before, .op = op, .in = {a, b}, .out = pare_rewrite_name(s->rw, &s->m->graph, b)};

	if (n.out == NULL)
		s->code = pare_err_nomem(s->err, 0);
	if (s->code == PARE_OK)
		s->code = pare_rewrite_add_node(s->rw, &n, s->err);
	return n.out;
}

/* Elements in keep come from what stands there now: old * mask + new. */
static const char *keep_some(struct shrinker *s, int32_t node, const char *was, const char *base, const int64_t *v, size_t n, unsigned keep)
{
	int64_t mask[MAX_KEPT] = {0}, sum[MAX_KEPT] = {0};
	const char *masked;

	for (size_t i = 0; i < n && i < MAX_KEPT; i++) {
		mask[i] = (keep & PARE_BIT(i)) != 0;
		sum[i] = mask[i] ? 0 : v[i];
	}
	masked = add_node(s, node, "Mul", was, add_ints(s, base, mask, n));
	return s->code == PARE_OK ? add_node(s, node, "Add", masked, add_ints(s, base, sum, n)) : "";
}

/* Elements that the graph computes and that come out as they should. */
static unsigned right_ones(const struct shrinker *s, int32_t value, const int64_t *v, size_t n)
{
	const struct pare_known *now = value >= 0 ? &s->again[value] : NULL;
	unsigned right = 0;

	for (size_t i = 0; now != NULL && now->i64 != NULL && now->n == n && i < n && i < MAX_KEPT; i++)
		right |= now->i64[i] == v[i] && (now->batch == NULL || !now->batch[i]) ? PARE_BIT(i) : 0;
	return right;
}

/* Could it be otherwise for rows of other sizes? */
static bool is_open(const struct shrinker *s, int32_t value)
{
	return s->open[value] && pare_net_dtype_of(s->net, value) == PARE_DT_INT64;
}

static void resize_input(const struct pare_resize *r, int k, const int64_t *v, size_t n, unsigned batch)
{
	struct resize_ctx *c = r->ctx;
	struct shrinker *s = c->s;
	int32_t value = k < c->step.node->n_in ? c->step.node->in[k] : -1;
	struct pare_node_edit e = {.node = c->step.index, .input = k};
	unsigned all = n < MAX_KEPT ? PARE_BIT(n) - 1 : 0, right = right_ones(s, value, v, n);
	const char *base;
	char label[PARE_NAME_SHOWN];

	c->said |= k < 64 ? (uint64_t)1 << k : 0;
	if (s->code != PARE_OK || (value >= 0 && n > 0 && (batch | right) == all))
		return;
	batch |= value >= 0 && is_open(s, value) ? right : 0;
	pare_node_label(&s->m->graph, c->step.index, label, sizeof label);
	base = value >= 0 ? s->m->graph.values[value].name : pare_arena_strndup(&s->rw->arena, label, strlen(label));
	if (base == NULL)
		s->code = pare_err_nomem(s->err, 0);
	else
		e.name = batch == 0 ? add_ints(s, base, v, n) : keep_some(s, e.node, s->m->graph.values[value].name, base, v, n, batch);
	edit(s, &e);
}

static bool same_known(const struct pare_known *a, const struct pare_known *b)
{
	for (size_t i = 0; i < a->n && a->n == b->n; i++) {
		bool same = a->i64 != NULL && b->i64 != NULL ? a->i64[i] == b->i64[i] : a->f32 != NULL && b->f32 != NULL && memcmp(&a->f32[i], &b->f32[i], sizeof(float)) == 0;

		if (!same || (a->batch != NULL && a->batch[i]) != (b->batch != NULL && b->batch[i]))
			return false;
	}
	return a->n == b->n;
}

/* Follows what is computed from shapes, in the order of the graph: small constants come out again (s->again), large ones follow what they are made of. */
static enum pare_code follow_shapes(struct shrinker *s)
{
	const struct pare_graph *g = &s->m->graph;
	enum pare_code code = pare_net_refold(s->net, s->shapes, &s->rw->arena, s->again, s->err);

	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK; i++) {
		const struct pare_node *n = &g->nodes[i];
		const struct pare_op *op = pare_op_find(n->domain, n->op_type, pare_model_opset(s->m, n->domain));
		bool follows = false;

		for (int k = 0; k < n->n_in && op != NULL; k++)
			follows |= n->in[k] >= 0 && (s->by_shape[n->in[k]] || (pare_op_has(op->shape_in, k) && resized(s, n->in[k])));
		for (int k = 0; k < n->n_out && follows; k++) {
			const struct pare_known *known = n->out[k] >= 0 ? pare_net_known(s->net, n->out[k]) : NULL;

			if (known != NULL && (known->i64 != NULL || known->f32 != NULL))
				s->by_shape[n->out[k]] = !same_known(known, &s->again[n->out[k]]);
			else if (known != NULL)
				s->by_shape[n->out[k]] = pare_net_is_constant(s->net, n->out[k]);
		}
	}
	return code;
}

/* Constants that the step reads as they are, and that would come out otherwise; but for those of which the row has said what they have to be. */
static void keep_constants(struct shrinker *s, const struct pare_net_step *step, uint64_t said)
{
	for (int k = 0; k < step->node->n_in && s->code == PARE_OK; k++) {
		int32_t v = step->node->in[k];

		if (v < 0 || (k < 64 && (said >> k & 1) != 0) || !s->by_shape[v] || !pare_net_is_constant(s->net, v) || resized(s, v) || pare_op_has(step->op->shape_in, k))
			continue;
		if (s->written[v] == NULL)
			s->code = write_constant(s, v);
		edit(s, &(struct pare_node_edit){.node = step->index, .input = k, .name = s->written[v]});
	}
}

/* A constant that hangs on the size of rows (angles by position) stays the graph's: what is left of it is picked. */
static const char *pick_kept(struct shrinker *s, int32_t before, int32_t value)
{
	const struct pare_shape *was = pare_net_shape_of(s->net, value);
	const char *name = s->m->graph.values[value].name;

	for (int axis = 0; axis < was->n_dims && s->code == PARE_OK; axis++) {
		const uint8_t *gone = pare_cut_axis(s->cut, value, axis);
		int64_t *kept = gone != NULL ? pare_arena_array(&s->rw->arena, (size_t)was->dims[axis] + 1, sizeof *kept) : NULL;
		struct pare_new_node n = {.before = before, .op = "Gather", .attr = {{.name = "axis", .value = axis}}};
		size_t n_kept = 0;

		if (gone == NULL)
			continue;
		for (int64_t i = 0; i < was->dims[axis] && kept != NULL; i++)
			if (gone[i] == 0)
				kept[n_kept++] = i;
		n.in[0] = name;
		n.in[1] = kept != NULL ? add_ints(s, name, kept, n_kept) : "";
		n.out = pare_rewrite_name(s->rw, &s->m->graph, name);
		if (kept == NULL || n.out == NULL)
			s->code = pare_err_nomem(s->err, 0);
		if (s->code == PARE_OK)
			s->code = pare_rewrite_add_node(s->rw, &n, s->err);
		name = n.out != NULL ? n.out : name;
	}
	s->rw->shapes[value] = NULL;
	return name;
}

static void read_constants(struct shrinker *s, const struct pare_net_step *step)
{
	for (int k = 0; k < step->node->n_in && s->code == PARE_OK; k++) {
		int32_t v = step->node->in[k];

		if (v < 0 || !resized(s, v) || s->m->graph.values[v].init != NULL || !pare_net_is_constant(s->net, v))
			continue;
		if (s->written[v] == NULL && s->open[v] && !s->by_shape[v])
			s->written[v] = pick_kept(s, step->index, v);
		else if (s->written[v] == NULL)
			s->code = write_constant(s, v);
		edit(s, &(struct pare_node_edit){.node = step->index, .input = k, .name = s->written[v]});
	}
}

static void resize_step(struct shrinker *s, int i)
{
	const struct pare_shape *was[2][64] = {{NULL}}, *now[2][64] = {{NULL}};
	struct resize_ctx c = {.s = s};
	struct pare_node_view view = {.in = was[0], .out = was[1]};
	struct pare_resize r = {.was = &view, .in = now[0], .out = now[1], .computed = resize_computed, .gone = resize_gone, .set_attr = resize_attr, .set_input = resize_input, .ctx = &c};
	bool changed = false;

	pare_net_step_at(s->net, i, &c.step);
	if (s->left_out[c.step.index])
		return;
	view.args = c.step.args;
	view.n_in = c.step.node->n_in < 64 ? c.step.node->n_in : 64;
	view.n_out = c.step.node->n_out < 64 ? c.step.node->n_out : 64;
	for (int k = 0; k < view.n_in + view.n_out; k++) {
		int side = k < view.n_in ? 0 : 1, at = side == 0 ? k : k - view.n_in;
		int32_t v = side == 0 ? c.step.node->in[at] : c.step.node->out[at];

		was[side][at] = v >= 0 ? pare_net_shape_of(s->net, v) : NULL;
		now[side][at] = v >= 0 ? &s->shapes[v] : NULL;
		changed |= resized(s, v);
		if (side == 0 && k < 31 && v >= 0 && s->by_shape[v] && !pare_net_is_constant(s->net, v) && pare_op_has(c.step.op->symbolic_in, k))
			r.moved |= PARE_BIT(k);
	}
	if (changed || r.moved != 0) {
		read_constants(s, &c.step);
		if (c.step.op->resize != NULL && s->code == PARE_OK)
			c.step.op->resize(&r);
	}
	keep_constants(s, &c.step, c.said);
}

/* Bodies of control flow may refer to any value of the graph by name, and a function's body may stand for several calls. */
enum pare_code pare_shrink_check(const struct pare_model *m, struct pare_err *err)
{
	const struct pare_graph *g = &m->graph;
	char label[PARE_NAME_SHOWN];

	for (int32_t i = 0; i < g->n_nodes; i++) {
		bool body = false;

		for (int k = 0; k < g->nodes[i].n_attrs; k++)
			body |= g->nodes[i].attrs[k].type == PARE_ATTR_GRAPH;
		if (!body && !g->nodes[i].inlined)
			continue;
		pare_node_label(g, i, label, sizeof label);
		return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "node \"%s\" %s; structures can only be taken out of models without %s", label,
		    body ? "holds a graph of its own" : "stands in a model-local function", body ? "control flow" : "functions");
	}
	return PARE_OK;
}

/* --- branches that are gone */

struct leaving {
	bool *ends;       /* by value: what a branch that is gone gave to concatenations */
	int32_t *instead; /* by node: a sum without its branch hands this on; -1 */
};

static void note_branches(struct shrinker *s, struct leaving *l)
{
	memset(l->instead, -1, (size_t)s->m->graph.n_nodes * sizeof *l->instead);
	for (int i = 0; i < s->branches.n; i++) {
		const struct pare_branch *b = &s->branches.list[i];

		if (!pare_branch_gone(b, s->net, s->cut))
			continue;
		for (int k = 0; k < b->n_nodes; k++)
			s->left_out[b->nodes[k]] = true;
		if (b->sum >= 0)
			l->instead[b->nodes[b->n_nodes - 1]] = b->kept;
		else
			l->ends[b->end] = true;
	}
}

static bool reads_any(const struct pare_node *n, const bool *values)
{
	for (int k = 0; k < n->n_in; k++)
		if (n->in[k] >= 0 && values[n->in[k]])
			return true;
	return false;
}

/* The one thing that a concatenation still joins; -1: there are several. */
static int32_t only_part(const struct pare_node *n, const struct leaving *l)
{
	int32_t only = -1;
	int left = 0;

	for (int k = 0; k < n->n_in; k++)
		if (n->in[k] >= 0 && !l->ends[n->in[k]]) {
			only = n->in[k];
			left++;
		}
	return left == 1 && n->n_in > 1 ? only : -1;
}

/* What stands for each value when the branches that are gone end in nothing. In the order of the graph: what a node hands on stands before it. */
static enum pare_code note_stand_ins(struct shrinker *s, struct leaving *l)
{
	const struct pare_graph *g = &s->m->graph;

	l->ends = pare_arena_array(&s->rw->arena, (size_t)g->n_values + 1, sizeof *l->ends);
	l->instead = pare_arena_array(&s->rw->arena, (size_t)g->n_nodes + 1, sizeof *l->instead);
	if (l->ends == NULL || l->instead == NULL)
		return pare_err_nomem(s->err, 0);
	note_branches(s, l);
	for (int32_t v = 0; v < g->n_values; v++)
		s->stands[v] = v;
	for (int i = 0; i < pare_net_n_steps(s->net); i++) {
		struct pare_net_step step;
		int32_t only;

		pare_net_step_at(s->net, i, &step);
		only = l->instead[step.index] >= 0 ? l->instead[step.index] : !s->left_out[step.index] && reads_any(step.node, l->ends) ? only_part(step.node, l) : -1;
		if (only < 0)
			continue;
		s->stands[step.node->out[0]] = s->stands[only];
		s->left_out[step.index] = true;
	}
	return PARE_OK;
}

/* Readers of a sum without its branch read what the branch was added to, concatenations do without what is gone; branch and sum are then dead. */
static enum pare_code leave_out(struct shrinker *s)
{
	const struct pare_graph *g = &s->m->graph;
	struct leaving l;
	enum pare_code code = pare_branches_find(s->net, &s->rw->arena, s->cancel, &s->branches, s->err);

	s->left_out = pare_arena_array(&s->rw->arena, (size_t)g->n_nodes + 1, sizeof *s->left_out);
	s->stands = pare_arena_array(&s->rw->arena, (size_t)g->n_values + 1, sizeof *s->stands);
	if (code == PARE_OK && (s->left_out == NULL || s->stands == NULL))
		code = pare_err_nomem(s->err, 0);
	if (code == PARE_OK)
		code = note_stand_ins(s, &l);
	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK; i++)
		for (int k = 0; k < g->nodes[i].n_in && !s->left_out[i]; k++) {
			int32_t v = g->nodes[i].in[k], now = v >= 0 ? s->stands[v] : v;

			if (v >= 0 && (l.ends[v] || now != v))
				edit(s, &(struct pare_node_edit){.node = i, .input = k, .name = l.ends[v] ? NULL : g->values[now].name});
		}
	return code == PARE_OK ? s->code : code;
}

static bool is_empty(const struct pare_shape *shape)
{
	for (int k = 0; k < shape->n_dims; k++)
		if (shape->dims[k] == 0)
			return true;
	return false;
}

static enum pare_code shrink(struct shrinker *s)
{
	const struct pare_graph *g = &s->m->graph;

	s->shapes = pare_arena_array(&s->rw->arena, (size_t)g->n_values + 1, sizeof *s->shapes);
	s->written = pare_arena_array(&s->rw->arena, (size_t)g->n_values + 1, sizeof *s->written);
	if (s->shapes == NULL || s->written == NULL)
		return pare_err_nomem(s->err, 0);
	s->by_shape = pare_arena_array(&s->rw->arena, (size_t)g->n_values + 1, sizeof *s->by_shape);
	s->again = pare_arena_array(&s->rw->arena, (size_t)g->n_values + 1, sizeof *s->again);
	s->open = pare_arena_array(&s->rw->arena, (size_t)g->n_values + 1, sizeof *s->open);
	if (s->by_shape == NULL || s->again == NULL || s->open == NULL)
		return pare_err_nomem(s->err, 0);
	s->code = pare_shrink_check(s->m, s->err);
	if (s->code == PARE_OK)
		s->code = leave_out(s);
	if (s->code == PARE_OK)
		s->code = pare_net_find_open(s->net, s->open, NULL, s->err);
	plan_shapes(s);
	if (s->code == PARE_OK)
		s->code = follow_shapes(s);
	for (int32_t v = 0; v < g->n_values && s->code == PARE_OK; v++) {
		if (!resized(s, v) || is_empty(&s->shapes[v]))
			continue;
		s->code = pare_err_canceled(s->err, s->cancel);
		s->rw->shapes[v] = &s->shapes[v];
		if (g->values[v].init != NULL && s->code == PARE_OK)
			s->code = shrink_init(s, v);
	}
	for (int i = 0; i < pare_net_n_steps(s->net) && s->code == PARE_OK; i++) {
		resize_step(s, i);
		s->code = s->code == PARE_OK ? pare_err_canceled(s->err, s->cancel) : s->code;
	}
	return s->code == PARE_OK ? pare_rewrite_drop_dead(s->rw, g, s->err) : s->code;
}

enum pare_code pare_shrink(const struct pare_net *net, const struct pare_model *m, const struct pare_cut *c, const atomic_bool *cancel, struct pare_rewrite *out,
    struct pare_err *err)
{
	struct shrinker s = {.net = net, .m = m, .cut = c, .cancel = cancel, .rw = out, .err = err};
	enum pare_code code = pare_rewrite_init(out, m, err);

	if (code != PARE_OK)
		return code;
	code = shrink(&s);
	if (code != PARE_OK)
		pare_rewrite_done(out);
	return code;
}
