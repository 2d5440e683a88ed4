/* Weights that the graph computes from initializers alone become initializers: PyTorch's weight_norm (g v / |v|) and spectral_norm (w / u W v),
 * weights that are standardized (a BatchNormalization over them), scaled weights, a base with what an adapter adds. As they stand, the weight that
 * a layer reads is no parameter, and the parts of it are poor ones: without a channel, its norm is 0, and the quotient is nothing. The name stays,
 * so that readers do.
 *
 * Left as they are:
 *   - weights that are only moved (Slice, Reshape): plans look through those, and the file keeps its form;
 *   - what is quantized, cast or drawn on the way, which is there for its own sake;
 *   - parts that somebody else reads, too: that tie would be cut. But a layer that is called twice computes its weight twice, from the same
 *     parts to the same bits: those are one initializer;
 *   - products larger than their parts: a layer of two factors is meant to be one. */
#include <string.h>

#include "core/base/nearest.h"
#include "core/graph/lift_priv.h"
#include "core/graph/net_priv.h"

#define MOST 4096      /* weights of one file */
#define MOST_GROWTH 16 /* elements on the way for each element of a parameter */

struct folder {
	const struct pare_model *m;
	const struct pare_graph *g;
	struct pare_rewrite *rw;
	struct pare_arena arena;
	bool *fixed;    /* by value: depends on nothing but initializers and Constants */
	bool *computed; /* by value: more than moved */
	bool *read;     /* by value: by any node, or given out */
	bool *outside;  /* by value: read by a node that is not fixed, or given out */
	bool *touched;  /* by value: goes into a weight */
	bool *folded;   /* by value */
	int32_t *claim; /* by value: the weight, + 1, that it goes into */
	int32_t *stack;
	int32_t *list;  /* by weight: the value */
	int32_t *like;  /* by weight: the one that shares parts with it and must be equal; -1: none */
	size_t *most;   /* by weight: elements of its parts */
	bool *refused;  /* by weight */
	int n;
};

static bool only_moves(const struct pare_op *op)
{
	static const char *const movers[] = {"Concat", "Expand", "Gather", "Identity", "Pad", "Slice", "Split", "Tile", "Transpose", NULL};

	return op->view || pare_is_among(op->name, movers);
}

static bool is_constant_node(const struct pare_node *n)
{
	return strcmp(n->op_type, "Constant") == 0 && n->domain[0] == '\0';
}

/* The only output that somebody wants, if it is the first; else -1. */
static int32_t result_of(const struct folder *f, const struct pare_node *n)
{
	for (int k = 1; k < n->n_out; k++)
		if (n->out[k] >= 0 && f->read[n->out[k]])
			return -1;
	return n->n_out > 0 ? n->out[0] : -1;
}

/* Everything that a node of this operator computes depends on its inputs, and has their type. */
static bool can_fold(const struct pare_op *op)
{
	static const char *const others[] = {"Cast", "CastLike", "DequantizeLinear", "Dropout", "DynamicQuantizeLinear", "QuantizeLinear", NULL};

	return op != NULL && op->domain[0] == '\0' && op->min_in > 0 && op->backward != NULL && !pare_is_among(op->name, others);
}

static const struct pare_op *op_of(const struct folder *f, const struct pare_node *n)
{
	return pare_op_find(n->domain, n->op_type, pare_model_opset(f->m, n->domain));
}

static bool mark_fixed_node(struct folder *f, const struct pare_node *n, const struct pare_op *op)
{
	bool given = op != NULL && op->buffer_in != 0 && (n->n_in < 4 || n->in[3] < 0 || f->g->values[n->in[3]].producer < 0); /* statistics of something else */
	bool fixed = !given && result_of(f, n) >= 0 && (is_constant_node(n) || (op != NULL && (op->view || can_fold(op)))), computed = false;

	for (int k = 0; k < n->n_in && fixed; k++) {
		fixed &= n->in[k] < 0 || f->fixed[n->in[k]];
		computed |= n->in[k] >= 0 && f->computed[n->in[k]];
	}
	if (!fixed)
		return false;
	f->fixed[n->out[0]] = true;
	f->computed[n->out[0]] = computed || (!is_constant_node(n) && !only_moves(op));
	return true;
}

/* Which values are weights of nodes that are not fixed, as mark_weights in lift.c has it. */
static void look_at_reader(struct folder *f, const struct pare_node *n, const struct pare_op *op)
{
	for (int k = 0; k < n->n_in; k++) {
		int32_t v = n->in[k];

		if (v < 0)
			continue;
		f->outside[v] = true;
		if (!f->fixed[v] || !f->computed[v] || f->g->values[v].is_output || f->claim[v] != 0 || f->n == MOST)
			continue;
		if (op != NULL && (op->weight_in | op->buffer_in) != 0 && (k > 0 || pare_op_has(op->weight_in, k))) {
			f->list[f->n++] = v;
			f->claim[v] = f->n;
		}
	}
}

/* False where the file holds bodies, which may name any value. */
static bool find_weights(struct folder *f)
{
	const struct pare_graph *g = f->g;

	for (int32_t i = 0; i < g->n_inits; i++) {
		const struct pare_value *v = &g->values[g->inits[i]];

		f->fixed[g->inits[i]] = v->init != NULL && !v->init->external && !v->is_input;
	}
	for (int i = 0; i < g->n_outputs; i++)
		f->outside[g->outputs[i]] = f->read[g->outputs[i]] = true;
	for (int32_t i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_in; k++)
			if (g->nodes[i].in[k] >= 0)
				f->read[g->nodes[i].in[k]] = true;
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *n = &g->nodes[i];
		const struct pare_op *op = op_of(f, n);

		for (int k = 0; k < n->n_attrs; k++)
			if (n->attrs[k].type == PARE_ATTR_GRAPH || n->attrs[k].type == PARE_ATTR_OTHER)
				return false;
		if (!mark_fixed_node(f, n, op))
			look_at_reader(f, n, op);
	}
	return f->n > 0;
}

/* --- parts */

/* The tensor that a value is given as; NULL for what is computed. */
static const struct pare_tensor *tensor_of(const struct folder *f, int32_t v)
{
	const struct pare_value *value = &f->g->values[v];
	const struct pare_attr *a = value->init == NULL && value->producer >= 0 ? pare_node_attr(&f->g->nodes[value->producer], "value") : NULL;

	if (value->init != NULL)
		return value->init;
	return a != NULL && a->type == PARE_ATTR_TENSOR ? a->t : NULL;
}

/* One part of weight c. */
static bool claim(struct folder *f, int c, int32_t v)
{
	const struct pare_tensor *t = tensor_of(f, v);

	f->touched[v] = true;
	if (t != NULL && pare_dtype_computed(t->dtype) == PARE_DT_FLOAT && t->dtype != PARE_DT_FLOAT)
		f->refused[c] = true;
	if (t != NULL && (t->dtype != PARE_DT_FLOAT || t->n_elems <= 1))
		return false;
	f->refused[c] |= f->outside[v];
	if (f->claim[v] == 0) {
		f->claim[v] = c + 1;
		f->most[c] += t != NULL ? t->n_elems : 0;
		return true;
	}
	if (f->claim[v] != c + 1) {
		f->refused[c] |= f->like[c] >= 0 && f->like[c] != f->claim[v] - 1;
		f->like[c] = f->claim[v] - 1;
	}
	return false;
}

/* Every value once: what another weight has claimed is not walked again. */
static void claim_parts(struct folder *f, int c)
{
	int n = 0;

	f->stack[n++] = f->list[c];
	while (n > 0) {
		int32_t v = f->stack[--n], producer = f->g->values[v].producer;
		const struct pare_node *node = producer >= 0 ? &f->g->nodes[producer] : NULL;

		for (int k = 0; node != NULL && k < node->n_in; k++)
			if (node->in[k] >= 0 && claim(f, c, node->in[k]))
				f->stack[n++] = node->in[k];
	}
}

/* --- values */

/* Is all that is computed on the way about as large as the parameters? Nothing of that size was allocated so far. */
static enum pare_code check_sizes(const struct folder *f, const struct pare_model *sub, bool *fit, struct pare_err *err)
{
	struct pare_net net = {.model = sub, .opt = {.n_threads = 1, .max_batch = 1}, .fixed_batch = PARE_DIM_UNKNOWN};
	size_t given = 4096, made = 0;
	enum pare_code code;

	for (int c = 0; c < f->n; c++)
		given += f->most[c];
	pare_arena_init(&net.arena, f->arena.cap_bytes);
	code = pare_net_infer_shapes(&net, err);
	*fit = code == PARE_OK;
	for (int i = 0; i < net.n_nodes && *fit; i++) {
		const struct pare_shape *s = &net.values[net.nodes[i].node->out[0]].shape;

		*fit = s->batch == 0 && pare_shape_elems(s) <= MOST_GROWTH * given;
		made += *fit ? pare_shape_elems(s) : 0;
		*fit &= made <= MOST_GROWTH * given;
	}
	pare_arena_done(&net.arena);
	return code == PARE_E_NOMEM ? code : PARE_OK;
}

static bool equals(const struct pare_net *net, int a, int b)
{
	int n_a, n_b;
	int64_t dims_a[PARE_MAX_DIMS] = {0}, dims_b[PARE_MAX_DIMS] = {0};
	size_t n = pare_net_output_shape(net, a, &n_a, dims_a);

	return n == pare_net_output_shape(net, b, &n_b, dims_b) && n_a == n_b && memcmp(dims_a, dims_b, sizeof dims_a) == 0 &&
	       memcmp(pare_net_shard_output(net, 0, a), pare_net_shard_output(net, 0, b), n * sizeof(float)) == 0;
}

/* A weight that shares parts with another one goes with it, or neither does. */
static void refuse(struct folder *f, const struct pare_net *net)
{
	int n_dims;
	int64_t dims[PARE_MAX_DIMS];

	for (int c = 0; c < f->n; c++) {
		size_t n = pare_net_output_shape(net, c, &n_dims, dims);

		f->refused[c] |= n <= 1 || n_dims < 1 || pare_net_output_dtype(net, c) != PARE_DT_FLOAT;
		f->refused[c] |= f->like[c] >= 0 ? !equals(net, c, f->like[c]) : n > f->most[c];
	}
	for (bool more = true; more;) {
		more = false;
		for (int c = 0; c < f->n; c++)
			if (f->like[c] >= 0 && f->refused[c] != f->refused[f->like[c]])
				more = f->refused[c] = f->refused[f->like[c]] = true;
	}
}

static int first_like(const struct folder *f, int c)
{
	while (f->like[c] >= 0)
		c = f->like[c];
	return c;
}

static enum pare_code put_init(struct folder *f, const struct pare_net *net, int c, struct pare_err *err)
{
	struct pare_new_init init = {.name = f->g->values[f->list[c]].name, .dtype = PARE_DT_FLOAT};
	size_t n = pare_net_output_shape(net, c, &init.n_dims, init.dims);
	float *data = pare_arena_array(&f->rw->arena, n, sizeof *data);

	if (data == NULL)
		return pare_err_nomem(err, n * sizeof *data);
	memcpy(data, pare_net_shard_output(net, 0, c), n * sizeof *data);
	init.bytes = data;
	init.n_bytes = n * sizeof *data;
	return pare_rewrite_add_init(f->rw, &init, err);
}

static enum pare_code put_weights(struct folder *f, const struct pare_net *net, size_t *n, struct pare_err *err)
{
	const struct pare_graph *g = f->g;
	enum pare_code code = PARE_OK;

	for (int c = 0; c < f->n && code == PARE_OK; c++) {
		if (f->refused[c])
			continue;
		f->folded[f->list[c]] = true;
		*n += 1;
		if (f->like[c] < 0)
			code = put_init(f, net, c, err);
	}
	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK; i++)
		for (int k = 0; k < g->nodes[i].n_in && code == PARE_OK; k++) {
			int32_t v = g->nodes[i].in[k];
			int c = v >= 0 && f->folded[v] ? f->claim[v] - 1 : -1;

			if (c >= 0 && f->like[c] >= 0)
				code = pare_rewrite_add_edit(f->rw, &(struct pare_node_edit){.node = i, .input = k, .name = g->values[f->list[first_like(f, c)]].name}, err);
		}
	return code;
}

/* What only went into weights that are folded now. */
static enum pare_code drop_parts(struct folder *f, struct pare_err *err)
{
	const struct pare_graph *g = f->g;
	bool *needed = pare_arena_array(&f->arena, (size_t)g->n_values + 1, sizeof *needed);

	if (needed == NULL)
		return pare_err_nomem(err, (size_t)g->n_values);
	for (int32_t i = g->n_nodes - 1; i >= 0; i--) {
		const struct pare_node *n = &g->nodes[i];
		int32_t out = result_of(f, n);

		f->rw->drop_node[i] = out >= 0 && (f->folded[out] || (f->touched[out] && f->fixed[out] && !needed[out] && !f->outside[out]));
		for (int k = 0; k < n->n_in && !f->rw->drop_node[i]; k++)
			if (n->in[k] >= 0)
				needed[n->in[k]] = true;
	}
	for (int32_t i = 0; i < g->n_inits; i++)
		f->rw->drop_init[g->inits[i]] = f->touched[g->inits[i]] && !needed[g->inits[i]] && !f->outside[g->inits[i]];
	return PARE_OK;
}

static enum pare_code fold(struct folder *f, size_t *n, struct pare_err *err)
{
	struct pare_model sub = *f->m;
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	struct pare_net *net = NULL;
	struct pare_err why;
	enum pare_code code;
	bool fit = false;

	sub.graph.outputs = f->list;
	sub.graph.n_outputs = f->n;
	sub.graph.n_inputs = sub.graph.n_watched = sub.n_rows = 0;
	code = check_sizes(f, &sub, &fit, &why);
	if (code == PARE_OK && fit)
		code = pare_net_new(&sub, &opt, &net, &why);
	if (code == PARE_OK && fit) {
		pare_net_shard_forward(net, 0, 1, PARE_MODE_INFER, 0, 0);
		refuse(f, net);
		code = put_weights(f, net, n, err);
		if (code == PARE_OK)
			code = drop_parts(f, err);
		pare_net_free(net);
		return code;
	}
	return code == PARE_E_NOMEM ? pare_err_nomem(err, 0) : PARE_OK; /* what it fails for is said when the model is planned as it is */
}

static bool allocate(struct folder *f)
{
	size_t n = (size_t)f->g->n_values + 1;

	f->fixed = pare_arena_array(&f->arena, n, sizeof *f->fixed);
	f->computed = pare_arena_array(&f->arena, n, sizeof *f->computed);
	f->read = pare_arena_array(&f->arena, n, sizeof *f->read);
	f->outside = pare_arena_array(&f->arena, n, sizeof *f->outside);
	f->touched = pare_arena_array(&f->arena, n, sizeof *f->touched);
	f->folded = pare_arena_array(&f->arena, n, sizeof *f->folded);
	f->claim = pare_arena_array(&f->arena, n, sizeof *f->claim);
	f->stack = pare_arena_array(&f->arena, n, sizeof *f->stack);
	f->list = pare_arena_array(&f->arena, MOST, sizeof *f->list);
	f->like = pare_arena_array(&f->arena, MOST, sizeof *f->like);
	f->most = pare_arena_array(&f->arena, MOST, sizeof *f->most);
	f->refused = pare_arena_array(&f->arena, MOST, sizeof *f->refused);
	return f->fixed != NULL && f->computed != NULL && f->read != NULL && f->outside != NULL && f->touched != NULL && f->folded != NULL && f->claim != NULL && f->stack != NULL &&
	       f->list != NULL && f->like != NULL && f->most != NULL && f->refused != NULL;
}

enum pare_code pare_lift_computed(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	struct folder f = {.m = m, .g = &m->graph, .rw = rw};
	enum pare_code code = PARE_OK;

	pare_arena_init(&f.arena, (size_t)1 << 30);
	if (!allocate(&f)) {
		code = pare_err_nomem(err, 0);
	} else if (find_weights(&f)) {
		memset(f.like, -1, MOST * sizeof *f.like);
		for (int c = 0; c < f.n; c++)
			claim_parts(&f, c);
		code = fold(&f, n, err);
	}
	pare_arena_done(&f.arena);
	return code;
}
