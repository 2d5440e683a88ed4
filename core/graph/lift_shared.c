/* Exporters write parameters of equal values once. Of a net that was never trained these are its zero biases and unit scales: dozens of layers read
 * one initializer then, and would be trained and pruned together as if somebody had tied them. What nobody can have meant to tie, a tensor that
 * holds one and the same number throughout, is given back to each of them; a tensor with values of its own that several read is tied (an embedding
 * and the layer that undoes it).
 *
 * Who "each" is:
 *   - PyTorch's TorchScript exporter leaves every parameter its name, by Identity: a name is a parameter, however many read it, and gets its initializer
 *     in the place of the Identity;
 *   - its dynamo exporter, and optimizers that undo Identities, leave readers only. Where a file has no names, every reader is a parameter, but for calls of one layer: they
 *     are told by what a layer has of its own (the same matrix before the bias), or, of a norm, by the layer whose result it reads. Of several
 *     that read the same result the first of one call is the first of the other.
 *
 * There, only places of parameters count: biases, scales, statistics and weights of layers, and vectors that are added, multiplied or joined to data. Scalars there are
 * formulas' numbers (an epsilon), matrices masks and tables. A vector with which somebody computes otherwise (divides by it what it has multiplied, quantizes and
 * dequantizes) is one parameter of a formula. Who only compares with the tensor, or asks for its shape, reads it on. Together the copies are no longer than `room`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/nearest.h"
#include "core/graph/graph_priv.h"
#include "core/graph/lift_priv.h"
#include "core/ops/op.h"

#define OVERHEAD 64 /* of an initializer in a file, besides its name and values */

/* Input k of a node is a place of a parameter. */
struct use {
	int32_t value, node, k;
};
struct key {
	int32_t value;
	uint64_t layer;
	int64_t place; /* the result that it reads; then how many of the layer have read that before */
	int32_t use;
};

struct untier {
	const struct pare_model *m;
	const struct pare_graph *g;
	struct pare_rewrite *rw;
	struct pare_err *err;
	struct pare_arena arena;
	size_t room, *n;
	bool bodies;        /* which may name any value */
	int32_t *root;      /* by value: the initializer that it is, itself or by Identity; -1: none */
	int32_t *n_readers; /* by value: nodes that read it */
	int32_t *n_uses;    /* by value: of these, through which a gradient comes */
	int32_t *n_names;   /* by initializer: Identities of it that have uses */
	bool *has_names;    /* by initializer: there are Identities of it */
	bool names;         /* there are any */
	bool *formula;      /* by initializer: somebody computes with it otherwise than a layer does */
	bool *shared;       /* by initializer: uniform, and more than one parameter */
	/* The rest only where layers have to be told. */
	uint64_t *layer; /* by value */
	bool *fixed;     /* by value: depends on initializers alone */
	bool *own;       /* by value: and holds values by which a layer is known */
	uint64_t *node_layer;
	int32_t *node_data; /* the result that a node reads; -1: it is known by what is its own */
	struct use *uses;
	struct key *keys;
	int32_t *head; /* by use: the first of its parameter */
	const char **name;
	int32_t n_list;
};

static const struct pare_op *op_of(const struct untier *u, const struct pare_node *n)
{
	return pare_op_find(n->domain, n->op_type, pare_model_opset(u->m, n->domain));
}

static bool is_identity(const struct pare_node *n)
{
	return strcmp(n->op_type, "Identity") == 0 && n->domain[0] == '\0' && n->n_in == 1 && n->in[0] >= 0 && n->n_out == 1 && n->out[0] >= 0;
}

/* --- places of parameters */

static bool is_norm(const struct pare_op *op)
{
	return strstr(op->name, "Normalization") != NULL;
}

static bool is_layer(const struct pare_op *op)
{
	return op != NULL && (op->weight_in != 0 || is_norm(op));
}

static bool is_vector(const struct pare_tensor *t)
{
	size_t longest = 0;

	for (int i = 0; i < t->n_dims; i++)
		longest = (size_t)t->dims[i] > longest ? (size_t)t->dims[i] : longest;
	return t->n_elems > 1 && longest == t->n_elems;
}

/* Does a gradient come to the tensor through input k? */
static bool is_read(const struct pare_op *op, int k, const struct pare_tensor *t)
{
	return op != NULL && t->n_dims > 0 && (op->backward != NULL || op->view) && !pare_op_has(op->const_in | op->shape_in, k);
}

/* As a parameter of a layer, whoever else reads it? */
static bool is_use(const struct pare_op *op, int k, const struct pare_tensor *t)
{
	static const char *const places[] = {"Add", "Concat", "Expand", "Mul", NULL};

	if (!is_read(op, k, t))
		return false;
	if (is_layer(op))
		return k > 0 || pare_op_has(op->weight_in, k);
	return (k == 1 && strcmp(op->name, "PRelu") == 0) || (is_vector(t) && (op->view || pare_is_among(op->name, places)));
}

/* Does it read a tensor at all? Rows are looked up one by one. */
static bool has_root(const struct untier *u, const struct pare_node *n)
{
	bool has = false;

	for (int k = 0; k < n->n_in && !is_identity(n); k++)
		has |= n->in[k] >= 0 && u->root[n->in[k]] >= 0;
	return has;
}

static void look_at_readers(struct untier *u)
{
	for (int32_t i = 0; i < u->g->n_inits; i++) {
		const struct pare_value *v = &u->g->values[u->g->inits[i]];

		if (v->init != NULL && !v->is_input && pare_dtype_computed(v->init->dtype) == PARE_DT_FLOAT)
			u->root[u->g->inits[i]] = u->g->inits[i];
	}
	for (int32_t i = 0; i < u->g->n_nodes; i++) {
		const struct pare_node *n = &u->g->nodes[i];
		const struct pare_op *op = has_root(u, n) ? op_of(u, n) : NULL;

		for (int k = 0; k < n->n_attrs; k++)
			u->bodies |= n->attrs[k].type == PARE_ATTR_GRAPH || n->attrs[k].type == PARE_ATTR_OTHER;
		for (int k = 0; k < n->n_in; k++) {
			int32_t v = n->in[k], root = v >= 0 ? u->root[v] : -1;

			if (v >= 0)
				u->n_readers[v]++;
			if (root < 0 || is_identity(n) || !is_read(op, k, u->g->values[root].init))
				continue;
			u->n_names[root] += v != root && u->n_uses[v] == 0;
			u->n_uses[v]++;
			u->formula[root] |= !is_use(op, k, u->g->values[root].init);
		}
		if (is_identity(n) && u->root[n->in[0]] >= 0 && !u->g->values[n->out[0]].is_output) {
			u->root[n->out[0]] = u->root[n->in[0]];
			u->has_names[u->root[n->in[0]]] = u->names = true;
		}
	}
}

/* One number throughout, by its bits. */
static enum pare_code is_uniform(const struct pare_tensor *t, bool *out, struct pare_err *err)
{
	size_t size = (size_t)pare_dtype_bits(t->dtype) / 8, n_bytes;
	const uint8_t *bytes = t->raw.data;
	uint8_t *copy = NULL;
	enum pare_code code = PARE_OK;

	*out = false;
	if (t->external || t->n_elems == 0 || (bytes == NULL && t->n_elems > t->wire.len))
		return PARE_OK;
	n_bytes = t->n_elems * size;
	if (bytes == NULL) {
		bytes = copy = pare_calloc(t->n_elems, size);
		code = copy != NULL ? pare_tensor_read_bytes(t, copy, NULL) : pare_err_nomem(err, n_bytes);
	}
	if (code == PARE_OK && (copy != NULL || t->raw.len == n_bytes))
		*out = memcmp(bytes, bytes + size, n_bytes - size) == 0;
	pare_free(copy);
	return code == PARE_E_NOMEM ? code : PARE_OK; /* bad values are told where they are read to be used */
}

/* Whose names say what is a parameter, and whose uses. */
static enum pare_code find_shared(struct untier *u, bool *by_name, bool *by_use)
{
	enum pare_code code = PARE_OK;

	for (int32_t i = 0; i < u->g->n_inits && code == PARE_OK; i++) {
		int32_t v = u->g->inits[i];
		bool names = u->has_names[v];

		if (names ? u->n_names[v] + (u->n_uses[v] > 0) < 2 : u->n_uses[v] < 2 || u->names || u->formula[v])
			continue;
		code = is_uniform(u->g->values[v].init, &u->shared[v], u->err);
		*by_name |= u->shared[v] && names;
		*by_use |= u->shared[v] && !names;
		u->n_list += u->shared[v] && !names ? u->n_uses[v] : 0;
	}
	return code;
}

/* --- copies */

/* *done: there was room for it. */
static enum pare_code add_copy(struct untier *u, const struct pare_tensor *t, const char *name, bool *done)
{
	size_t size = (size_t)pare_dtype_bits(t->dtype) / 8, n_bytes = t->n_elems * size, cost = n_bytes + strlen(name) + OVERHEAD;
	struct pare_new_init init = {.name = name, .dtype = t->dtype, .n_dims = t->n_dims, .bytes = t->raw.data, .n_bytes = n_bytes};
	enum pare_code code = PARE_OK;
	uint8_t *bytes;

	*done = cost <= u->room;
	if (!*done)
		return PARE_OK;
	u->room -= cost;
	*u->n += 1;
	memcpy(init.dims, t->dims, sizeof init.dims);
	if (t->raw.data == NULL) {
		bytes = pare_arena_array(&u->rw->arena, t->n_elems, size);
		init.bytes = bytes;
		code = bytes != NULL ? pare_tensor_read_bytes(t, bytes, u->err) : pare_err_nomem(u->err, n_bytes);
	}
	return code == PARE_OK ? pare_rewrite_add_init(u->rw, &init, u->err) : code;
}

/* --- by name */

static enum pare_code name_all(struct untier *u)
{
	enum pare_code code = PARE_OK;

	for (int32_t i = 0; i < u->g->n_nodes && code == PARE_OK; i++) {
		const struct pare_node *n = &u->g->nodes[i];
		int32_t out = is_identity(n) ? n->out[0] : -1, root = out >= 0 ? u->root[out] : -1;

		if (root >= 0 && u->shared[root] && u->n_uses[out] > 0)
			code = add_copy(u, u->g->values[root].init, u->g->values[out].name, &u->rw->drop_node[i]);
	}
	return code;
}

/* What nobody reads any more: Identities of Identities, and the tensor itself where all of its parameters have names. */
static void drop_unread(struct untier *u)
{
	for (int32_t i = u->g->n_nodes - 1; i >= 0 && !u->bodies; i--) {
		const struct pare_node *n = &u->g->nodes[i];
		int32_t out = is_identity(n) ? n->out[0] : -1, root = out >= 0 ? u->root[out] : -1;

		if (root < 0 || !u->shared[root])
			continue;
		u->rw->drop_node[i] |= u->n_readers[out] == 0;
		if (!u->rw->drop_node[i])
			continue;
		u->n_readers[n->in[0]]--;
		u->rw->drop_init[root] = u->n_readers[root] == 0 && !u->g->values[root].is_output;
	}
}

/* --- by layer */

static uint64_t mix(uint64_t h, uint64_t x)
{
	h = (h ^ x) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

static uint64_t mix_bytes(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	return mix(h, n);
}

static uint64_t mix_attrs(uint64_t h, const struct pare_node *n)
{
	for (int i = 0; i < n->n_attrs; i++) {
		const struct pare_attr *a = &n->attrs[i];

		h = mix_bytes(h, a->name, strlen(a->name));
		h = mix_bytes(mix(h, (uint64_t)a->i), &a->f, sizeof a->f);
		h = a->type == PARE_ATTR_STRING ? mix_bytes(h, a->s.data, a->s.len) : h;
		h = a->type == PARE_ATTR_INTS ? mix_bytes(h, a->ints, a->n * sizeof *a->ints) : h;
		h = a->type == PARE_ATTR_FLOATS ? mix_bytes(h, a->floats, a->n * sizeof *a->floats) : h;
		h = a->type == PARE_ATTR_TENSOR ? mix_bytes(h, a->t->wire.data, a->t->wire.len) : h;
	}
	return h;
}

/* Of several results the one that was computed last: behind a sum that is the branch, not what it was added to. */
static void tell_layer(struct untier *u, int32_t i)
{
	const struct pare_node *n = &u->g->nodes[i];
	const struct pare_op *op = op_of(u, n);
	uint64_t h = mix_attrs(mix_bytes(0, n->op_type, strlen(n->op_type)), n);
	bool is_own = false, any_own = false;
	int32_t data = -1;

	for (int k = 0; k < n->n_in; k++) {
		int32_t v = n->in[k];

		if (v < 0)
			continue;
		if (!u->fixed[v]) {
			data = data < 0 || u->g->values[v].producer > u->g->values[data].producer ? v : data;
			continue;
		}
		h = mix(mix(h, (uint64_t)k), u->layer[v]);
		any_own |= u->own[v];
		is_own |= u->own[v] && is_layer(op) && (k > 0 || pare_op_has(op->weight_in, k));
	}
	if (data >= 0 && !is_own)
		h = mix(h, u->layer[data]);
	u->node_layer[i] = h;
	u->node_data[i] = is_own ? -1 : data;
	for (int k = 0; k < n->n_out; k++)
		if (n->out[k] >= 0) {
			u->layer[n->out[k]] = mix(h, (uint64_t)k);
			u->fixed[n->out[k]] = data < 0;
			u->own[n->out[k]] = data < 0 && any_own;
		}
}

static void tell_layers(struct untier *u)
{
	for (int32_t v = 0; v < u->g->n_values; v++) {
		const struct pare_tensor *t = u->g->values[v].init;

		u->layer[v] = mix(0, (uint64_t)v);
		u->fixed[v] = t != NULL && !u->g->values[v].is_input;
		u->own[v] = u->fixed[v] && t->n_elems > 1 && pare_dtype_computed(t->dtype) == PARE_DT_FLOAT && !u->shared[v];
	}
	for (int32_t i = 0; i < u->g->n_nodes; i++)
		tell_layer(u, i);
}

static void list_uses(struct untier *u)
{
	int32_t at = 0;

	for (int32_t i = 0; i < u->g->n_nodes; i++) {
		const struct pare_node *n = &u->g->nodes[i];
		const struct pare_op *op = has_root(u, n) ? op_of(u, n) : NULL;

		for (int k = 0; k < n->n_in; k++) {
			int32_t v = n->in[k];

			if (v < 0 || u->root[v] != v || !u->shared[v] || u->has_names[v] || !is_use(op, k, u->g->values[v].init))
				continue;
			u->uses[at] = (struct use){v, i, k};
			u->keys[at] = (struct key){.value = v, .layer = mix(u->node_layer[i], (uint64_t)k), .place = u->node_data[i] >= 0 ? u->node_data[i] : -1 - at, .use = at};
			at++;
		}
	}
}

static int order(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int by_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->value != y->value)
		return order(x->value, y->value);
	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return x->place != y->place ? order(x->place, y->place) : order(x->use, y->use);
}

static bool same_layer(const struct key *a, const struct key *b)
{
	return a->value == b->value && a->layer == b->layer;
}

static void find_heads(struct untier *u)
{
	struct key *keys = u->keys;
	int64_t place = 0, nth = 0;

	qsort(keys, (size_t)u->n_list, sizeof *keys, by_key);
	for (int32_t i = 0; i < u->n_list; i++) {
		nth = i > 0 && same_layer(&keys[i - 1], &keys[i]) && keys[i].place == place ? nth + 1 : 0;
		place = keys[i].place;
		keys[i].place = nth;
	}
	qsort(keys, (size_t)u->n_list, sizeof *keys, by_key);
	for (int32_t i = 0; i < u->n_list; i++) {
		bool again = i > 0 && same_layer(&keys[i - 1], &keys[i]) && keys[i - 1].place == keys[i].place;

		u->head[keys[i].use] = again ? u->head[keys[i - 1].use] : keys[i].use;
	}
}

/* "node_layer_norm_3.scale" */
static const char *copy_name(struct untier *u, const struct use *use)
{
	static const char *const factors[] = {"Mul", "PRelu", NULL};
	const struct pare_op *op = op_of(u, &u->g->nodes[use->node]);
	char label[128], base[160];
	const char *role = "bias";

	if (pare_op_has(op->weight_in, use->k))
		role = "weight";
	else if (pare_op_has(op->buffer_in, use->k))
		role = use->k == 3 ? "mean" : "variance";
	else if (is_norm(op) ? use->k == 1 : pare_is_among(op->name, factors))
		role = "scale";
	pare_node_label(u->g, use->node, label, sizeof label);
	(void)snprintf(base, sizeof base, "%s.%s", label, role);
	return pare_rewrite_name(u->rw, u->g, base);
}

/* The first keeps the tensor. */
static enum pare_code hand_out(struct untier *u)
{
	bool *met = u->fixed; /* by initializer; layers are told */
	enum pare_code code = PARE_OK;

	memset(met, 0, (size_t)u->g->n_values * sizeof *met);
	for (int32_t i = 0; i < u->n_list && code == PARE_OK; i++) {
		const struct use *use = &u->uses[i];
		bool done = false;

		if (u->head[i] == i && met[use->value]) {
			u->name[i] = copy_name(u, use);
			code = u->name[i] != NULL ? add_copy(u, u->g->values[use->value].init, u->name[i], &done) : pare_err_nomem(u->err, 0);
			u->name[i] = done ? u->name[i] : NULL;
		}
		met[use->value] = true;
		if (code == PARE_OK && u->name[u->head[i]] != NULL)
			code = pare_rewrite_add_edit(u->rw, &(struct pare_node_edit){.node = use->node, .input = use->k, .name = u->name[u->head[i]]}, u->err);
	}
	return code;
}

static enum pare_code share_out(struct untier *u)
{
	size_t n_values = (size_t)u->g->n_values + 1, n_nodes = (size_t)u->g->n_nodes + 1, n_list = (size_t)u->n_list + 1;

	u->layer = pare_arena_array(&u->arena, n_values, sizeof *u->layer);
	u->fixed = pare_arena_array(&u->arena, n_values, sizeof *u->fixed);
	u->own = pare_arena_array(&u->arena, n_values, sizeof *u->own);
	u->node_layer = pare_arena_array(&u->arena, n_nodes, sizeof *u->node_layer);
	u->node_data = pare_arena_array(&u->arena, n_nodes, sizeof *u->node_data);
	u->uses = pare_arena_array(&u->arena, n_list, sizeof *u->uses);
	u->keys = pare_arena_array(&u->arena, n_list, sizeof *u->keys);
	u->head = pare_arena_array(&u->arena, n_list, sizeof *u->head);
	u->name = pare_arena_array(&u->arena, n_list, sizeof *u->name);
	if (u->layer == NULL || u->fixed == NULL || u->own == NULL || u->node_layer == NULL || u->node_data == NULL || u->uses == NULL || u->keys == NULL || u->head == NULL ||
	    u->name == NULL)
		return pare_err_nomem(u->err, n_list * sizeof *u->keys);
	tell_layers(u);
	list_uses(u);
	find_heads(u);
	return hand_out(u);
}

enum pare_code pare_lift_shared(const struct pare_model *m, size_t room, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	struct untier u = {.m = m, .g = &m->graph, .rw = rw, .err = err, .room = room, .n = n};
	size_t n_values = (size_t)m->graph.n_values + 1;
	bool by_name = false, by_use = false;
	enum pare_code code;

	pare_arena_init(&u.arena, (size_t)1 << 40);
	u.root = pare_arena_array(&u.arena, n_values, sizeof *u.root);
	u.n_readers = pare_arena_array(&u.arena, n_values, sizeof *u.n_readers);
	u.n_uses = pare_arena_array(&u.arena, n_values, sizeof *u.n_uses);
	u.n_names = pare_arena_array(&u.arena, n_values, sizeof *u.n_names);
	u.has_names = pare_arena_array(&u.arena, n_values, sizeof *u.has_names);
	u.formula = pare_arena_array(&u.arena, n_values, sizeof *u.formula);
	u.shared = pare_arena_array(&u.arena, n_values, sizeof *u.shared);
	if (u.root != NULL && u.n_readers != NULL && u.n_uses != NULL && u.n_names != NULL && u.has_names != NULL && u.formula != NULL && u.shared != NULL) {
		memset(u.root, -1, n_values * sizeof *u.root);
		look_at_readers(&u);
		code = find_shared(&u, &by_name, &by_use);
		if (code == PARE_OK && by_name)
			code = name_all(&u);
		if (code == PARE_OK && by_name)
			drop_unread(&u);
		if (code == PARE_OK && by_use)
			code = share_out(&u);
	} else {
		code = pare_err_nomem(err, n_values * sizeof *u.root);
	}
	pare_arena_done(&u.arena);
	return code;
}
