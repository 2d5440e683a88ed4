/* Attention, as exporters spell it out, becomes one node (core/ops/attention.h):
 *
 *   MatMul(q, k) -> times or divided by a number -> + mask -> Softmax along the keys -> MatMul(., v) -> Transpose
 *
 * The number, the mask and the last transpose may be missing; what somebody else looks at on the way stays as it is. Where queries, keys
 * and values stand is found by going up through what only moves elements (Transpose, Split, Gather of one index, views) to
 * what computes them, and following strides down again. If nobody else reads what was moved, it is not moved any more. */
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/ops/attention.h"

/* A value's elements in the memory of another one, of which every row of the batch has as much as the next. */
struct place {
	int32_t base;
	bool whole; /* all of the base, in its order */
	int n_dims, batch; /* batch: which dimension */
	int64_t dims[PARE_MAX_DIMS], stride[PARE_MAX_DIMS], offset;
};

/* The nodes, by place in net->nodes, and what they do. */
struct found {
	int scores, mix; /* the two products */
	int last;        /* whose output is the result: mix, or the transpose behind it */
	float scale;
	int32_t mask; /* value, -1: none */
	struct place q, k, v, y;
};

static bool is_op(const struct pare_net *net, int i, const char *name)
{
	return i >= 0 && strcmp(net->nodes[i].op->name, name) == 0 && !net->nodes[i].constant;
}

static bool as_it_is(const struct pare_net *net, int32_t value, struct place *p)
{
	const struct pare_shape *s = &net->values[value].shape;
	int64_t n = 1;

	*p = (struct place){.base = value, .whole = true, .n_dims = s->n_dims};
	if (s->batch != PARE_BIT(0) || s->dims[0] != 1 || net->values[value].dtype != PARE_DT_FLOAT)
		return false;
	for (int i = s->n_dims - 1; i >= 0; i--) {
		p->dims[i] = s->dims[i];
		p->stride[i] = n;
		n *= s->dims[i];
	}
	return true;
}

/* p under another shape: of all of a base any, else one that only has more or fewer dimensions of one element. */
static bool viewed(const struct pare_net *net, int32_t value, struct place *p)
{
	const struct pare_shape *s = &net->values[value].shape;
	struct place from = *p;
	int k = 0;

	if (p->whole) {
		bool fits = as_it_is(net, value, p);

		p->base = from.base;
		return fits;
	}
	p->n_dims = s->n_dims;
	for (int i = 0; i < s->n_dims; i++) {
		bool batch = s->batch == PARE_BIT(i);

		p->dims[i] = s->dims[i];
		p->stride[i] = 0;
		if (s->dims[i] == 1 && !batch)
			continue;
		while (k < from.n_dims && from.dims[k] == 1 && k != from.batch)
			k++;
		if (k >= from.n_dims || from.dims[k] != s->dims[i] || batch != (k == from.batch))
			return false;
		p->batch = batch ? i : p->batch;
		p->stride[i] = from.stride[k++];
	}
	return true;
}

static bool transposed(const struct pare_node *n, struct place *p)
{
	const struct pare_attr *perm = pare_node_attr(n, "perm");
	struct place from = *p;

	if (perm == NULL || perm->n != (size_t)p->n_dims)
		return false;
	for (int i = 0; i < p->n_dims; i++) {
		p->dims[i] = from.dims[perm->ints[i]];
		p->stride[i] = from.stride[perm->ints[i]];
		p->batch = perm->ints[i] == from.batch ? i : p->batch;
	}
	p->whole = false;
	return true;
}

/* Output `value` of a Split. */
static bool part(const struct pare_net *net, const struct pare_node *n, int32_t value, struct place *p)
{
	int axis = pare_axis(pare_node_int(n, "axis", 0), p->n_dims, false);

	if (axis < 0 || axis == p->batch)
		return false;
	for (int k = 0; k < n->n_out && n->out[k] != value; k++) {
		if (n->out[k] < 0)
			return false;
		p->offset += net->values[n->out[k]].shape.dims[axis] * p->stride[axis];
	}
	p->dims[axis] = net->values[value].shape.dims[axis];
	p->whole = false;
	return true;
}

/* A Gather of one index. */
static bool taken(const struct pare_net *net, const struct pare_node *n, struct place *p)
{
	const struct pare_net_value *index = &net->values[n->in[1]];
	int axis = pare_axis(pare_node_int(n, "axis", 0), p->n_dims, false);

	if (axis < 0 || axis == p->batch || index->known.i64 == NULL || index->shape.n_dims != 0)
		return false;
	p->offset += (index->known.i64[0] + (index->known.i64[0] < 0 ? p->dims[axis] : 0)) * p->stride[axis];
	for (int i = axis; i + 1 < p->n_dims; i++) {
		p->dims[i] = p->dims[i + 1];
		p->stride[i] = p->stride[i + 1];
	}
	p->n_dims--;
	p->batch -= p->batch > axis;
	p->whole = false;
	return true;
}

#define MOST_MOVES 8

static bool locate(const struct pare_net *net, int32_t value, int depth, struct place *p);

/* As what node i makes of its input. */
static bool moved(const struct pare_net *net, int i, int32_t value, int depth, struct place *p)
{
	const struct pare_net_node *n = &net->nodes[i];

	if (n->constant || n->node->n_in < 1 || depth >= MOST_MOVES || !(n->view || is_op(net, i, "Transpose") || is_op(net, i, "Split") || is_op(net, i, "Gather")))
		return false;
	if (!locate(net, n->node->in[0], depth + 1, p))
		return false;
	if (n->view)
		return viewed(net, value, p);
	if (is_op(net, i, "Transpose"))
		return transposed(n->node, p);
	return is_op(net, i, "Split") ? part(net, n->node, value, p) : taken(net, n->node, p);
}

static bool locate(const struct pare_net *net, int32_t value, int depth, struct place *p)
{
	int i = pare_net_producer(net, value);

	if (i >= 0 && moved(net, i, value, depth, p))
		return true;
	return !(i >= 0 && net->nodes[i].view) && as_it_is(net, value, p); /* a view's memory is that of another value */
}

/* [row, head, position, .] or, turned, [row, head, ., position], of floats that stand together. */
static bool locate_heads(const struct pare_net *net, int32_t value, bool turned, struct place *p)
{
	int floats = turned ? 2 : 3, positions = turned ? 3 : 2;

	return locate(net, value, 0, p) && p->n_dims == 4 && p->batch == 0 && p->stride[floats] == 1 && p->stride[positions] >= p->dims[floats];
}

/* The only reader of what node i computes, if it is that operator; -1: it is not. */
static int followed_by(const struct pare_net *net, int i, const char *name)
{
	int operand, j = pare_net_only_reader(net, net->nodes[i].node->out[0], &operand);

	return is_op(net, j, name) ? j : -1;
}

/* Passes the product with a number, if there is one. */
static int pass_scale(const struct pare_net *net, int i, float *scale)
{
	bool divides = followed_by(net, i, "Div") >= 0;
	int j = divides ? followed_by(net, i, "Div") : followed_by(net, i, "Mul");
	const struct pare_net_value *number;
	int side;

	*scale = 1.0f;
	if (j < 0)
		return i;
	side = net->nodes[j].node->in[0] == net->nodes[i].node->out[0];
	number = &net->values[net->nodes[j].node->in[side]];
	if (!number->constant || number->known.f32 == NULL || number->known.n != 1 || number->shape.n_dims > 1 || (divides && side == 0))
		return i;
	*scale = divides ? 1.0f / number->known.f32[0] : number->known.f32[0];
	return j;
}

/* Passes the sum with a mask, if there is one that is no larger than the scores. */
static int pass_mask(const struct pare_net *net, int i, int32_t *mask)
{
	int j = followed_by(net, i, "Add");
	const struct pare_shape *s, *m;
	int32_t value;

	*mask = -1;
	if (j < 0)
		return i;
	value = net->nodes[j].node->in[net->nodes[j].node->in[0] == net->nodes[i].node->out[0]];
	s = &net->values[net->nodes[i].node->out[0]].shape;
	m = &net->values[value].shape;
	if (!pare_shape_same(s, &net->values[net->nodes[j].node->out[0]].shape) || m->n_dims > 4 || (m->batch != 0 && (m->n_dims < 4 || m->batch != PARE_BIT(0))))
		return i;
	*mask = value;
	return j;
}

/* Softmax along the last of four dimensions. */
static bool along_keys(const struct pare_node *n)
{
	int64_t axis = pare_node_int(n, "axis", n->opset < 13 ? 1 : -1);

	return axis == -1 || axis == 3;
}

/* The result, behind the transpose that joins heads if there is one: where dimension i of the product stands. */
static bool place_result(const struct pare_net *net, struct found *f)
{
	int32_t value = net->nodes[f->mix].node->out[0];
	int j = followed_by(net, f->mix, "Transpose");
	const struct pare_attr *perm = j >= 0 ? pare_node_attr(net->nodes[j].node, "perm") : NULL;
	struct place to;

	f->last = f->mix;
	if (!as_it_is(net, value, &f->y))
		return false;
	if (perm == NULL || !as_it_is(net, net->nodes[j].node->out[0], &to) || perm->ints[3] != 3)
		return true;
	for (int i = 0; i < 4; i++)
		f->y.stride[perm->ints[i]] = to.stride[i];
	f->last = j;
	return true;
}

/* Does node i make scores of attention? */
static bool match(const struct pare_net *net, int i, struct found *f)
{
	const struct pare_node *n = net->nodes[i].node;
	int at, operand;

	if (!is_op(net, i, "MatMul"))
		return false;
	f->scores = i;
	at = pass_scale(net, i, &f->scale);
	at = followed_by(net, pass_mask(net, at, &f->mask), "Softmax");
	if (at < 0 || !along_keys(net->nodes[at].node))
		return false;
	f->mix = pare_net_only_reader(net, net->nodes[at].node->out[0], &operand);
	if (!is_op(net, f->mix, "MatMul") || operand != 0)
		return false;
	if (!locate_heads(net, n->in[0], false, &f->q) || !locate_heads(net, n->in[1], true, &f->k) ||
	    !locate_heads(net, net->nodes[f->mix].node->in[1], false, &f->v))
		return false;
	return f->k.dims[1] == f->q.dims[1] && f->v.dims[1] == f->q.dims[1] && place_result(net, f);
}

static struct pare_attention_place place_of(const struct place *p, int operand, bool turned)
{
	return (struct pare_attention_place){.operand = operand, .offset = p->offset, .row = p->stride[0], .head = p->stride[1], .step = p->stride[turned ? 3 : 2]};
}

static int64_t mask_stride(const struct pare_shape *m, int dim)
{
	int i = dim - (4 - m->n_dims);

	return i < 0 || (m->dims[i] == 1 && !(m->batch & PARE_BIT(i))) ? 0 : pare_shape_product(m, i + 1, m->n_dims);
}

static void set_mask(const struct pare_net *net, int32_t mask, int operand, struct pare_attention *a)
{
	const struct pare_shape *m = mask >= 0 ? &net->values[mask].shape : NULL;

	a->mask = m != NULL ? operand : -1;
	if (m == NULL)
		return;
	a->mask_row = mask_stride(m, 0);
	a->mask_head = mask_stride(m, 1);
	a->mask_query = mask_stride(m, 2);
	a->mask_key = mask_stride(m, 3);
}

/* Operands, each once; an operand is covered if the parts that are read of it are different ones, and all. */
static int set_operands(const struct pare_net *net, const struct found *f, struct pare_attention *a, int32_t in[PARE_ATTENTION_MAX_IN])
{
	const struct place *place[3] = {&f->q, &f->k, &f->v};
	struct pare_attention_place *to[3] = {&a->q, &a->k, &a->v};
	int n = 0;

	for (int i = 0; i < 3; i++) {
		int64_t left = (int64_t)pare_shape_elems(&net->values[place[i]->base].shape);
		bool apart = true;
		int k = 0;

		while (k < n && in[k] != place[i]->base)
			k++;
		in[k] = place[i]->base;
		n = k == n ? n + 1 : n;
		*to[i] = place_of(place[i], k, i == 1);
		for (int j = 0; j < 3; j++) {
			if (place[j]->base != place[i]->base)
				continue;
			left -= pare_shape_product(&(struct pare_shape){.n_dims = 4, .dims = {1, place[j]->dims[1], place[j]->dims[2], place[j]->dims[3]}}, 0, 4);
			apart &= j == i || place[j]->offset != place[i]->offset;
		}
		a->covered[k] = apart && left == 0;
	}
	return n;
}

static enum pare_code replace(struct pare_net *net, const struct found *f, struct pare_err *err)
{
	struct pare_net_node was = net->nodes[f->last];
	struct pare_attention *a = pare_arena_alloc(&net->arena, sizeof *a);
	struct pare_node *node = pare_arena_alloc(&net->arena, sizeof *node);
	int32_t *in = pare_arena_array(&net->arena, PARE_ATTENTION_MAX_IN, sizeof *in);
	bool *accumulate = pare_arena_array(&net->arena, PARE_ATTENTION_MAX_IN, sizeof *accumulate);
	int n;

	if (a == NULL || node == NULL || in == NULL || accumulate == NULL)
		return pare_err_nomem(err, 0);
	*a = (struct pare_attention){.heads = f->q.dims[1], .queries = f->q.dims[2], .keys = f->k.dims[3], .width = f->q.dims[3], .depth = f->v.dims[3],
	    .scale = f->scale, .y = place_of(&f->y, -1, false)};
	n = set_operands(net, f, a, in);
	set_mask(net, f->mask, n, a);
	if (f->mask >= 0)
		in[n++] = f->mask;
	*node = (struct pare_node){.name = was.node->name, .op_type = pare_op_attention.name, .domain = "", .opset = PARE_OPSET_MAX, .n_in = n, .n_out = 1,
	    .in = in, .out = was.node->out};
	pare_net_put(net, f->last, &(struct pare_net_node){.index = was.index, .node = node, .op = &pare_op_attention, .args = a, .where = was.where,
	    .accumulate = accumulate});
	pare_net_drop_unread(net, was.node);
	return PARE_OK;
}

enum pare_code pare_net_join_attention(struct pare_net *net, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < net->n_nodes && code == PARE_OK; i++) {
		struct found f;

		if (net->nodes[i].node != NULL && match(net, i, &f))
			code = replace(net, &f, err);
	}
	return code;
}
