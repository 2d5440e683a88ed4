/* Attention and RotaryEmbedding (ONNX 23) as the operators that they stand for, like the functions that ONNX defines them by:
 *
 *   Attention        softmax(cap(scale q k^T) + mask) v, with one to each group of heads where there are fewer keys than queries
 *   RotaryEmbedding  (x1, x2) -> (cos x1 - sin x2, sin x1 + cos x2), the rest of a head as it is
 *
 * So they train, lose heads and are fused (attend.c) like those that older exporters spell out, and nothing has to be said twice. Sizes are read
 * off the file: PyTorch's exporter writes those of all values down. What is left as it is, carried and refused by name: a cache of keys (past_key, nonpad_kv_seqlen),
 * windows, further outputs, and sizes that are not written down where they are needed.
 *
 * What is no weight must not become one: initializers of floats are trained, so masks are made of truth values, and tables of angles become Constants.
 *
 * Where a mask leaves a query no key, ONNX wants zeros. Of truth values: scores get a great negative number rather than an infinity, and weights are
 * masked once more. Of numbers, which may be minus infinity: such rows of the mask become zeros, and so does what comes out. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/lift_priv.h"

#define MIN_OPSET 23
#define MAX_MASK ((int64_t)1 << 24)
#define MAX_LIFTED 512 /* nodes of a file: every new name is looked for among all */
#define MAX_TABLES 16
#define NAME_SIZE 48
#define FAR (-1e30f)
#define TO_THE_END INT64_MAX

/* What is put in the place of a node. Errors stick: every step takes names and gives one, NULL after an error. */
struct builder {
	const struct pare_graph *g;
	struct pare_rewrite *rw;
	const struct pare_node *node;
	int32_t index;
	int n_names, n_tables;
	struct {
		int32_t value;
		const char *name;
	} table[MAX_TABLES]; /* initializers of angles, or masks, and the Constants that they have become */
	enum pare_code code;
	struct pare_err *err;
};

static const char *new_name(struct builder *b, const char *what)
{
	char base[NAME_SIZE];

	(void)snprintf(base, sizeof base, "%s_%d_%d", what, (int)b->index, b->n_names++);
	return pare_rewrite_name(b->rw, b->g, base);
}

static const char *failed(struct builder *b, enum pare_code code)
{
	if (b->code == PARE_OK)
		b->code = code;
	return NULL;
}

static const char *input(const struct builder *b, int k)
{
	return b->g->values[b->node->in[k]].name;
}

static bool is_given(const struct pare_node *n, int k)
{
	return k < n->n_in && n->in[k] >= 0;
}

/* Bytes are copied. */
static const char *constant(struct builder *b, int dtype, int n_dims, const int64_t *dims, const void *bytes, size_t n_bytes)
{
	struct pare_new_init init = {.name = new_name(b, "constant"), .dtype = dtype, .n_dims = n_dims, .n_bytes = n_bytes};
	void *own = pare_arena_alloc(&b->rw->arena, n_bytes);
	enum pare_code code;

	if (b->code != PARE_OK)
		return NULL;
	if (init.name == NULL || own == NULL)
		return failed(b, pare_err_nomem(b->err, n_bytes));
	memcpy(own, bytes, n_bytes);
	init.bytes = own;
	for (int i = 0; i < n_dims; i++)
		init.dims[i] = dims[i];
	code = pare_rewrite_add_init(b->rw, &init, b->err);
	return code == PARE_OK ? init.name : failed(b, code);
}

static const char *number(struct builder *b, float v)
{
	return constant(b, PARE_DT_FLOAT, 0, NULL, &v, sizeof v);
}

static const char *ints(struct builder *b, const int64_t *v, int64_t n)
{
	return constant(b, PARE_DT_INT64, 1, &n, v, (size_t)n * sizeof *v);
}

static const char *index_of(struct builder *b, int64_t v)
{
	return ints(b, &v, 1);
}

/* One operator more. out NULL: a new name. */
static const char *put(struct builder *b, struct pare_new_node n, int n_in, const char *out)
{
	enum pare_code code;

	for (int k = 0; k < n_in; k++)
		if (n.in[k] == NULL)
			return NULL;
	n.before = b->index;
	n.instead = true;
	n.out = out != NULL ? out : new_name(b, n.op);
	code = n.out != NULL ? pare_rewrite_add_node(b->rw, &n, b->err) : pare_err_nomem(b->err, 0);
	return code == PARE_OK ? n.out : failed(b, code);
}

static const char *op1(struct builder *b, const char *op, const char *x)
{
	return put(b, (struct pare_new_node){.op = op, .in = {x}}, 1, NULL);
}

static const char *op2(struct builder *b, const char *op, const char *x, const char *y)
{
	return put(b, (struct pare_new_node){.op = op, .in = {x, y}}, 2, NULL);
}

static const char *where(struct builder *b, const char *mask, const char *x, const char *y)
{
	return put(b, (struct pare_new_node){.op = "Where", .in = {mask, x, y}}, 3, NULL);
}

static const char *along(struct builder *b, const char *op, const char *x, const char *y, int64_t axis)
{
	return put(b, (struct pare_new_node){.op = op, .in = {x, y}, .attr = {{.name = "axis", .value = axis}}}, y != NULL ? 2 : 1, NULL);
}

static const char *transpose(struct builder *b, const char *x, int64_t p1, int64_t p2, int64_t p3)
{
	return put(b, (struct pare_new_node){.op = "Transpose", .in = {x}, .attr = {{.name = "perm", .ints = {0, p1, p2, p3}, .n_ints = 4}}}, 1, NULL);
}

/* Elements from, from + step ... before to of an axis. */
static const char *slice(struct builder *b, const char *x, int64_t axis, int64_t from, int64_t to, int64_t step)
{
	return put(b, (struct pare_new_node){.op = "Slice", .in = {x, index_of(b, from), index_of(b, to), index_of(b, axis), index_of(b, step)}}, 5, NULL);
}

static int64_t int_attr(const struct pare_node *n, const char *name, int64_t absent)
{
	const struct pare_attr *a = pare_node_attr(n, name);

	return a != NULL && a->type == PARE_ATTR_INT ? a->i : absent;
}

static float float_attr(const struct pare_node *n, const char *name, float absent)
{
	const struct pare_attr *a = pare_node_attr(n, name);

	return a != NULL && a->type == PARE_ATTR_FLOAT ? a->f : absent;
}

/* --- Attention */

struct attention {
	bool joined; /* [N, T, heads x width], not [N, heads, T, width] */
	int64_t heads, kv_heads, width, depth, queries, keys;
	float scale, cap;
	bool causal;
	int mask; /* its type; 0: none */
};

static bool is_float(const struct pare_value *v, int n_dims)
{
	return v->dtype == PARE_DT_FLOAT && v->n_dims == n_dims;
}

/* False: it stays as it is. */
static bool read_attention(const struct builder *b, struct attention *a)
{
	const struct pare_node *n = b->node;
	const struct pare_value *q = &b->g->values[n->in[0]], *k = &b->g->values[n->in[1]], *v = &b->g->values[n->in[2]];
	int at;

	*a = (struct attention){.heads = int_attr(n, "q_num_heads", 0), .kv_heads = int_attr(n, "kv_num_heads", 0), .cap = float_attr(n, "softcap", 0), .causal = int_attr(n, "is_causal", 0) != 0};
	a->joined = q->n_dims == 3;
	if (!is_float(q, a->joined ? 3 : 4) || !is_float(k, q->n_dims) || !is_float(v, q->n_dims))
		return false;
	at = a->joined ? 1 : 2;
	a->heads = a->joined ? a->heads : q->dims[1];
	a->kv_heads = a->joined ? a->kv_heads : k->dims[1];
	a->queries = q->dims[at];
	a->keys = k->dims[at];
	if (a->heads <= 0 || a->kv_heads <= 0 || a->heads % a->kv_heads != 0 || (!a->joined && v->dims[1] != a->kv_heads))
		return false;
	a->width = a->joined ? q->dims[2] / a->heads : q->dims[3];
	a->depth = a->joined ? v->dims[2] / a->kv_heads : v->dims[3];
	a->scale = float_attr(n, "scale", a->width > 0 ? 1 / sqrtf((float)a->width) : 0);
	a->mask = is_given(n, 3) ? b->g->values[n->in[3]].dtype : 0;
	if (is_given(n, 3) && a->mask != PARE_DT_FLOAT && a->mask != PARE_DT_BOOL)
		return false;
	if (is_given(n, 3)) {
		const struct pare_value *m = &b->g->values[n->in[3]];

		if (m->n_dims < 2 || a->keys < 0 || (m->dims[m->n_dims - 1] != a->keys && m->dims[m->n_dims - 1] != 1))
			return false;
	}
	return a->width > 0 && a->depth > 0 && (!a->causal || (a->queries > 0 && a->keys > 0 && a->queries <= MAX_MASK / a->keys));
}

static const char *split_heads(struct builder *b, const struct attention *a, int k, int64_t heads, int64_t width)
{
	const int64_t apart[] = {0, 0, heads, width}, grouped[] = {0, a->heads, -1, width}, times[] = {1, 1, a->heads / heads, 1, 1};
	const char *x = input(b, k);

	if (a->joined)
		x = transpose(b, op2(b, "Reshape", x, ints(b, apart, 4)), 2, 1, 3);
	if (heads < a->heads)
		x = op2(b, "Reshape", op2(b, "Expand", op2(b, "Unsqueeze", x, index_of(b, 2)), ints(b, times, 5)), ints(b, grouped, 4));
	return x;
}

/* Which keys come no later than their query. */
static const char *causal_mask(struct builder *b, const struct attention *a)
{
	const int64_t dims[] = {a->queries, a->keys};
	size_t n = (size_t)(a->queries * a->keys);
	uint8_t *v = pare_calloc(n, sizeof *v);
	const char *name;

	if (v == NULL)
		return failed(b, pare_err_nomem(b->err, n));
	for (int64_t i = 0; i < a->queries; i++)
		for (int64_t j = 0; j < a->keys && j <= i; j++)
			v[i * a->keys + j] = 1;
	name = constant(b, PARE_DT_BOOL, 2, dims, v, n);
	pare_free(v);
	return name;
}

/* An initializer that is no weight, as a Constant, which it is from then on. */
static const char *table_of(struct builder *b, int k)
{
	const struct pare_tensor *t = b->g->values[b->node->in[k]].init;
	const char *name;

	for (int i = 0; i < b->n_tables; i++)
		if (b->table[i].value == b->node->in[k])
			return b->table[i].name;
	if (t == NULL || t->external || b->n_tables == MAX_TABLES)
		return input(b, k);
	name = put(b, (struct pare_new_node){.op = "Constant", .constant = t}, 0, NULL);
	b->table[b->n_tables].value = b->node->in[k];
	b->table[b->n_tables++].name = name;
	return name;
}

static enum pare_code find_infinity(const struct pare_tensor *t, bool *found, struct pare_err *err)
{
	float *v = pare_calloc(t->n_elems + 1, sizeof *v);
	enum pare_code code = v != NULL ? pare_tensor_read_f32(t, v, err) : pare_err_nomem(err, t->n_elems * sizeof *v);

	*found = false;
	for (size_t i = 0; i < t->n_elems && code == PARE_OK; i++)
		*found |= v[i] < -FLT_MAX;
	pare_free(v);
	return code;
}

/* Scores with a mask of numbers. *some: which queries have a key; NULL: all, a mask that is given has no infinity. One that has is no weight. */
static const char *add_mask(struct builder *b, const struct attention *a, const char *s, const char **some)
{
	const struct pare_tensor *t = b->g->values[b->node->in[3]].init;
	bool infinite = t == NULL || t->external;
	const char *mask = input(b, 3);

	if (!infinite && find_infinity(t, &infinite, b->err) != PARE_OK)
		return failed(b, b->err->code);
	if (!infinite) {
		s = a->causal ? op2(b, "Add", s, where(b, causal_mask(b, a), number(b, 0), number(b, FAR))) : s;
		return op2(b, "Add", s, mask);
	}
	mask = t != NULL && !t->external ? table_of(b, 3) : mask;
	mask = a->causal ? where(b, causal_mask(b, a), mask, number(b, -INFINITY)) : mask;
	*some = op2(b, "Greater", op2(b, "ReduceMax", mask, index_of(b, -1)), number(b, -INFINITY));
	return op2(b, "Add", s, where(b, *some, mask, number(b, 0)));
}

static void put_attention(struct builder *b, const struct attention *a)
{
	static const int64_t joined[] = {0, 0, -1};
	const char *q = split_heads(b, a, 0, a->heads, a->width), *k = split_heads(b, a, 1, a->kv_heads, a->width), *v = split_heads(b, a, 2, a->kv_heads, a->depth);
	const char *s = op2(b, "Mul", op2(b, "MatMul", q, transpose(b, k, 1, 3, 2)), number(b, a->scale)), *truth = NULL, *some = NULL, *p;
	const char *out = b->g->values[b->node->out[0]].name;

	if (a->cap > 0)
		s = op2(b, "Mul", op1(b, "Tanh", op2(b, "Div", s, number(b, a->cap))), number(b, a->cap));
	if (a->mask == PARE_DT_BOOL) {
		truth = a->causal ? op2(b, "And", input(b, 3), causal_mask(b, a)) : input(b, 3);
		s = where(b, truth, s, number(b, FAR));
	} else if (a->mask != 0) {
		s = add_mask(b, a, s, &some);
	} else if (a->causal) {
		s = op2(b, "Add", s, where(b, causal_mask(b, a), number(b, 0), number(b, FAR)));
	}
	p = along(b, "Softmax", s, NULL, -1);
	if (truth != NULL)
		p = where(b, truth, p, number(b, 0));
	if (!a->joined && some == NULL) {
		(void)put(b, (struct pare_new_node){.op = "MatMul", .in = {p, v}}, 2, out);
		return;
	}
	p = op2(b, "MatMul", p, v);
	if (!a->joined)
		(void)put(b, (struct pare_new_node){.op = "Where", .in = {some, p, number(b, 0)}}, 3, out);
	else
		(void)put(b, (struct pare_new_node){.op = "Reshape", .in = {transpose(b, some != NULL ? where(b, some, p, number(b, 0)) : p, 2, 1, 3), ints(b, joined, 3)}}, 2, out);
}

static bool lift_attention(struct builder *b)
{
	const struct pare_node *n = b->node;
	struct attention a;

	for (int k = 0; k < 3; k++)
		if (!is_given(n, k))
			return false;
	for (int k = 4; k < n->n_in; k++)
		if (is_given(n, k))
			return false;
	for (int k = 0; k < n->n_out; k++)
		if ((n->out[k] >= 0) != (k == 0))
			return false;
	if (int_attr(n, "left_window_size", -1) >= 0 || int_attr(n, "right_window_size", -1) >= 0 || !read_attention(b, &a))
		return false;
	put_attention(b, &a);
	return true;
}

/* --- RotaryEmbedding */

/* Initializers of angles and masks that nobody reads any more go; a subgraph might read what no list names. */
static void drop_tables(struct builder *b)
{
	for (int i = 0; i < b->n_tables; i++) {
		int32_t v = b->table[i].value;
		bool read = b->g->values[v].is_output || b->g->values[v].is_input;

		for (int32_t n = 0; n < b->g->n_nodes; n++) {
			const struct pare_node *node = &b->g->nodes[n];

			for (int k = 0; k < node->n_in; k++)
				read |= node->in[k] == v && !b->rw->drop_node[n];
			for (int k = 0; k < node->n_attrs; k++)
				read |= node->attrs[k].type == PARE_ATTR_GRAPH || node->attrs[k].type == PARE_ATTR_OTHER;
		}
		b->rw->drop_init[v] |= !read;
	}
}

/* cos or sin of every position, with one dimension of 1 for the heads. */
static const char *angles(struct builder *b, int k, bool joined)
{
	const char *t = table_of(b, k);

	if (is_given(b->node, 3))
		t = along(b, "Gather", t, input(b, 3), 0);
	return op2(b, "Unsqueeze", t, index_of(b, joined ? 2 : 1));
}

static void put_rotary(struct builder *b, int64_t heads, int64_t half, bool rest, bool interleaved)
{
	static const int64_t flat[] = {0, 0, 0, -1}, joined[] = {0, 0, -1};
	const int64_t apart[] = {0, 0, heads, -1};
	const char *x = heads > 0 ? op2(b, "Reshape", input(b, 0), ints(b, apart, 4)) : input(b, 0);
	const char *cos = angles(b, 1, heads > 0), *sin = angles(b, 2, heads > 0), *y, *out = b->g->values[b->node->out[0]].name;
	const char *x1 = interleaved ? slice(b, x, 3, 0, 2 * half, 2) : slice(b, x, 3, 0, half, 1), *x2 = interleaved ? slice(b, x, 3, 1, 2 * half, 2) : slice(b, x, 3, half, 2 * half, 1);
	const char *real = op2(b, "Sub", op2(b, "Mul", cos, x1), op2(b, "Mul", sin, x2)), *imag = op2(b, "Add", op2(b, "Mul", sin, x1), op2(b, "Mul", cos, x2));
	bool more = rest || heads > 0;

	if (interleaved) {
		y = along(b, "Concat", op2(b, "Unsqueeze", real, index_of(b, 4)), op2(b, "Unsqueeze", imag, index_of(b, 4)), 4);
		y = put(b, (struct pare_new_node){.op = "Reshape", .in = {y, ints(b, flat, 4)}}, 2, more ? NULL : out);
	} else {
		y = put(b, (struct pare_new_node){.op = "Concat", .in = {real, imag}, .attr = {{.name = "axis", .value = 3}}}, 2, more ? NULL : out);
	}
	if (rest)
		y = put(b, (struct pare_new_node){.op = "Concat", .in = {y, slice(b, x, 3, 2 * half, TO_THE_END, 1)}, .attr = {{.name = "axis", .value = 3}}}, 2, heads > 0 ? NULL : out);
	if (heads > 0)
		(void)put(b, (struct pare_new_node){.op = "Reshape", .in = {y, ints(b, joined, 3)}}, 2, out);
}

static bool lift_rotary(struct builder *b)
{
	const struct pare_node *n = b->node;
	const struct pare_value *x, *c;
	int64_t turned = int_attr(n, "rotary_embedding_dim", 0), heads = int_attr(n, "num_heads", 0), half;

	if (!is_given(n, 0) || !is_given(n, 1) || !is_given(n, 2) || n->n_out != 1 || n->out[0] < 0)
		return false;
	x = &b->g->values[n->in[0]];
	c = &b->g->values[n->in[1]];
	if ((!is_float(x, 3) || heads <= 0) && !is_float(x, 4))
		return false;
	if (x->n_dims == 4)
		heads = 0;
	half = c->n_dims >= 2 ? c->dims[c->n_dims - 1] : -1;
	if (half <= 0 || c->n_dims != (is_given(n, 3) ? 2 : 3) || turned < 0 || half > TO_THE_END / 2 || (turned > 0 && turned != 2 * half))
		return false;
	put_rotary(b, heads, half, turned > 0, int_attr(n, "interleaved", 0) != 0);
	return true;
}

static const struct {
	const char *op;
	bool (*lift)(struct builder *b);
} function_table[] = {{"Attention", lift_attention}, {"RotaryEmbedding", lift_rotary}};

enum pare_code pare_lift_attention(const struct pare_model *m, struct pare_rewrite *rw, size_t *n, struct pare_err *err)
{
	struct builder b = {.g = &m->graph, .rw = rw, .err = err};
	int n_lifted = 0;

	for (int32_t i = 0; i < m->graph.n_nodes && b.code == PARE_OK && n_lifted < MAX_LIFTED && pare_model_opset(m, "") >= MIN_OPSET; i++) {
		b.n_names = 0;
		b.node = &m->graph.nodes[i];
		b.index = i;
		for (size_t k = 0; k < sizeof function_table / sizeof function_table[0]; k++)
			if (b.node->domain[0] == '\0' && strcmp(b.node->op_type, function_table[k].op) == 0 && function_table[k].lift(&b)) {
				rw->drop_node[i] = true;
				*n += b.code == PARE_OK;
				n_lifted++;
			}
	}
	drop_tables(&b);
	return b.code;
}
