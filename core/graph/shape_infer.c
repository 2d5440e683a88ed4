/* From a graph to a list of nodes with shapes: the first half of planning.
 *
 * Only nodes that a graph output needs take part, so an operator that we cannot execute does no harm where nobody looks
 * at its result. The first dimension of every graph input is the batch, whatever number the file states there; it
 * travels through the rows' infer functions as a flag on a dimension (shape.h). What depends neither on inputs nor on
 * parameters is constant: small ones are known to infer (fold.c), large ones are computed once (exec.c). When all shapes
 * stand, nodes whose outputs were only needed to find them (Shape, Gather, Concat before a Reshape) are dropped.
 *
 * A float initializer is a parameter as soon as one live node computes with it. One that is only read at plan time (a
 * Dropout ratio) is not, and neither is a single number of rank 0: exporters write the constants of formulas so (the
 * scale of an attention, the root of two in Gelu), and to train those would bend the formula. Nor is a mask. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/graph/graph_priv.h"
#include "core/graph/net_priv.h"
#include "core/ops/args.h"

#define MASK_MAX ((size_t)1 << 24)
#define MASK_LOW (-100.0f)

size_t pare_net_value_elems(const struct pare_net *net, int32_t value, int64_t rows)
{
	struct pare_shape s;

	pare_shape_resolve(&net->values[value].shape, rows, &s);
	return pare_shape_elems(&s);
}

/* Elements at the largest batch must fit an int32: what BLAS can address, and far beyond what fits in memory. */
static enum pare_code check_size(const struct pare_net *net, const struct pare_shape *s, const char *where, struct pare_err *err)
{
	char text[PARE_SHAPE_TEXT];
	int64_t n = 1;

	for (int i = 0; i < s->n_dims; i++) {
		int64_t d = s->dims[i];

		if (d < 0 || ((s->batch & PARE_BIT(i)) && __builtin_mul_overflow(d, net->opt.max_batch, &d)) || __builtin_mul_overflow(n, d, &n) ||
		    n > INT32_MAX)
			return pare_err_set(err, PARE_E_LIMIT, where, "a tensor of shape %s at batch size %lld is too large (over 2^31 elements)",
			    pare_shape_text(s, text), (long long)net->opt.max_batch);
	}
	return PARE_OK;
}

/* Puts the sizes that rows have been said to have in the place of open dimensions. */
static enum pare_code close_dims(const struct pare_net *net, const char *name, int axis, struct pare_shape *shape, struct pare_err *err)
{
	char shown[PARE_NAME_SHOWN], has[PARE_SHAPE_TEXT], got[PARE_SHAPE_TEXT];

	for (int i = 0; i < net->model->n_rows; i++) {
		const struct pare_row_shape *given = &net->model->rows[i];
		struct pare_shape rows = {.n_dims = 0, .batch = PARE_BIT(axis)};
		bool fits = given->n_dims == shape->n_dims - 1;

		if (strcmp(given->name, name) != 0)
			continue;
		for (int k = 0; k <= given->n_dims && rows.n_dims < PARE_MAX_DIMS; k++)
			rows.dims[rows.n_dims++] = k == axis ? 1 : given->dims[k - (k > axis)];
		for (int k = 0; fits && k < shape->n_dims; k++)
			fits = k == axis || (rows.dims[k] >= 0 && (shape->dims[k] < 0 || shape->dims[k] == rows.dims[k]));
		if (!fits)
			return pare_err_set(err, PARE_E_SHAPE, NULL, "graph input \"%s\" has shape %s; rows of shape %s do not fit it", pare_name_shown(name, shown),
			    pare_shape_text(shape, has), pare_shape_text(&rows, got));
		*shape = rows;
	}
	return PARE_OK;
}

/* [T, N, ...]: the second size and no other is open. */
static bool opens_second(const struct pare_value *v)
{
	for (int k = 0; k < v->n_dims; k++)
		if ((v->dims[k] < 0) != (k == 1))
			return false;
	return v->n_dims > 1;
}

static bool opens_first_two(const struct pare_value *v)
{
	return v->n_dims > 1 && v->dims[0] < 0 && v->dims[1] < 0;
}

/* Operators whose result has the first two axes of that input. */
static bool keeps_first_two(const struct pare_node *n, int k)
{
	static const struct {
		const char *op;
		int input;
	} op_table[] = {{"Identity", 0}, {"Cast", 0}, {"Dropout", 0}, {"Relu", 0}, {"Tanh", 0}, {"LayerNormalization", 0}, {"MatMul", 0}, {"Add", 0}, {"Gather", 1}};

	for (size_t i = 0; i < sizeof op_table / sizeof op_table[0]; i++)
		if (k == op_table[i].input && n->domain[0] == '\0' && strcmp(n->op_type, op_table[i].op) == 0)
			return n->n_out > 0 && n->out[0] >= 0;
	return false;
}

/* Is the value, as it stands, the sequence of a recurrent layer with its steps first? Follows one way through the graph, in its order. */
static bool is_read_by_steps(const struct pare_graph *g, int32_t v)
{
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *n = &g->nodes[i];
		bool recurrent = n->domain[0] == '\0' && (strcmp(n->op_type, "RNN") == 0 || strcmp(n->op_type, "LSTM") == 0 || strcmp(n->op_type, "GRU") == 0);

		if (recurrent && n->n_in > 0 && n->in[0] == v)
			return pare_node_int(n, "layout", 0) == 0;
		for (int k = 0; k < n->n_in; k++)
			if (n->in[k] == v && keeps_first_two(n, k)) {
				v = n->out[0];
				break;
			}
	}
	return false;
}

/* Is time first, and the batch behind it? What has one row in front, as a state of one layer has, may be a batch of one whose lengths are open, unless another input tells;
 * where both sizes are open, the layer that reads them tells. */
static bool time_is_first(const struct pare_graph *g)
{
	for (int i = 0; i < g->n_inputs; i++) {
		const struct pare_value *v = &g->values[g->inputs[i]];

		if ((opens_second(v) && v->dims[0] > 1) || (opens_first_two(v) && is_read_by_steps(g, g->inputs[i])))
			return true;
	}
	return false;
}

static int batch_axis(const struct pare_graph *g, int i)
{
	const struct pare_value *v = &g->values[g->inputs[i]];

	return (opens_second(v) && time_is_first(g)) || (opens_first_two(v) && is_read_by_steps(g, g->inputs[i])) ? 1 : 0;
}

bool pare_graph_row(const struct pare_graph *g, int i, struct pare_row_shape *out)
{
	const struct pare_value *v = &g->values[g->inputs[i]];
	int axis = batch_axis(g, i);
	bool open = false;

	*out = (struct pare_row_shape){.name = v->name};
	for (int k = 0; k < v->n_dims; k++)
		if (k != axis) {
			open |= v->dims[k] < 0;
			out->dims[out->n_dims++] = v->dims[k];
		}
	return open;
}

bool pare_model_open_rows(struct pare_model *m, int64_t size, struct pare_err *err)
{
	struct pare_row_shape *rows = pare_arena_array(&m->arena, (size_t)m->graph.n_inputs + 1, sizeof *rows);
	int n = 0;

	for (int i = 0; i < m->graph.n_inputs && rows != NULL; i++) {
		if (!pare_graph_row(&m->graph, i, &rows[n]))
			continue;
		for (int k = 0; k < rows[n].n_dims; k++)
			rows[n].dims[k] = rows[n].dims[k] < 0 ? size : rows[n].dims[k];
		n++;
	}
	return n > 0 && pare_model_set_rows(m, rows, n, err) == PARE_OK;
}

static enum pare_code input_shape(struct pare_net *net, int i, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;
	const struct pare_value *v = &g->values[g->inputs[i]];
	struct pare_net_value *nv = &net->values[g->inputs[i]];
	char shown[PARE_NAME_SHOWN];
	const char *name = pare_name_shown(v->name, shown);
	enum pare_code code;
	int axis;

	if (!pare_dtype_is_number(v->dtype))
		return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "graph input \"%s\" is %s; only inputs of numbers can be executed", name,
		    pare_dtype_name(v->dtype));
	if (v->n_dims < 1)
		return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "graph input \"%s\" has %s; its first dimension must be the batch", name,
		    v->n_dims < 0 ? "no shape" : "no dimensions");
	nv->shape.n_dims = v->n_dims;
	memcpy(nv->shape.dims, v->dims, sizeof nv->shape.dims);
	axis = batch_axis(g, i);
	nv->shape.dims[axis] = 1;
	nv->shape.batch = PARE_BIT(axis);
	code = close_dims(net, v->name, axis, &nv->shape, err);
	if (code != PARE_OK)
		return code;
	for (int k = 0; k < v->n_dims; k++)
		if (nv->shape.dims[k] < 0)
			return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "dimension %d of graph input \"%s\" has no size; a job takes it from the rows of its data",
			    k, name);
	nv->dtype = pare_dtype_computed(v->dtype);
	nv->live = true;
	if (axis == 0 && net->fixed_batch == PARE_DIM_UNKNOWN && v->dims[0] > 0)
		net->fixed_batch = v->dims[0];
	return check_size(net, &nv->shape, NULL, err);
}

static void init_shapes(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;

	for (int32_t i = 0; i < g->n_values; i++) {
		struct pare_net_value *nv = &net->values[i];
		const struct pare_tensor *t = g->values[i].init;

		nv->param = -1;
		nv->root = nv->grad_root = i;
		nv->grad_offset = PARE_GRAD_NONE;
		nv->joint = nv->grad_joint = PARE_JOINT_NONE;
		if (t == NULL)
			continue;
		nv->dtype = pare_dtype_computed(t->dtype);
		nv->smooth = nv->dtype == PARE_DT_FLOAT;
		nv->constant = !nv->smooth || t->n_dims == 0;
		nv->shape.n_dims = t->n_dims;
		memcpy(nv->shape.dims, t->dims, sizeof nv->shape.dims);
	}
}

/* scikit-learn's exporter packs the probabilities of a classifier into a list of dictionaries (ZipMap), which is no tensor: the
 * output that we compute is what went in. */
static enum pare_code unpack_outputs(struct pare_net *net, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;

	net->outputs = pare_arena_array(&net->arena, (size_t)g->n_outputs + 1, sizeof *net->outputs);
	if (net->outputs == NULL)
		return pare_err_nomem(err, 0);
	for (int i = 0; i < g->n_outputs; i++) {
		net->outputs[i] = g->outputs[i];
		for (int32_t k = 0; k < g->n_nodes; k++) {
			const struct pare_node *node = &g->nodes[k];

			if (node->n_in == 1 && node->in[0] >= 0 && node->n_out == 1 && node->out[0] == g->outputs[i] && strcmp(node->op_type, "ZipMap") == 0)
				net->outputs[i] = node->in[0];
		}
	}
	return PARE_OK;
}

/* Exporters of classifiers add outputs that nobody trains, such as the winning label as a text. An output that
 * cannot be computed is left out, as long as another one can; if none can, all are tried, and the first error says why. */
static void choose_outputs(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;
	bool any = false;

	for (int32_t i = 0; i < g->n_values; i++)
		net->values[i].runs = g->values[i].init != NULL && g->values[i].init->dtype != PARE_DT_STRING;
	for (int i = 0; i < g->n_inputs; i++)
		net->values[g->inputs[i]].runs = true;
	for (int32_t i = 0; i < g->n_nodes; i++) {
		const struct pare_node *node = &g->nodes[i];
		bool runs = pare_op_find(node->domain, node->op_type, pare_model_opset(net->model, node->domain)) != NULL;

		for (int k = 0; k < node->n_in; k++)
			runs = runs && (node->in[k] < 0 || net->values[node->in[k]].runs);
		for (int k = 0; k < node->n_out; k++)
			if (node->out[k] >= 0)
				net->values[node->out[k]].runs = runs;
	}
	for (int i = 0; i < g->n_outputs; i++)
		any |= net->values[net->outputs[i]].runs;
	for (int i = 0; i < g->n_outputs; i++)
		net->values[net->outputs[i]].wanted = !any || net->values[net->outputs[i]].runs;
}

static void mark_outputs(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;

	for (int i = 0; i < g->n_outputs; i++)
		net->values[net->outputs[i]].live |= net->values[net->outputs[i]].wanted;
}

/* Marks backwards from the graph's outputs; nodes are in topological order. Returns the number of live nodes. */
static int mark_live(struct pare_net *net, bool *live_node)
{
	const struct pare_graph *g = &net->model->graph;
	int n = 0;

	mark_outputs(net);
	for (int32_t i = g->n_nodes - 1; i >= 0; i--) {
		const struct pare_node *node = &g->nodes[i];

		for (int k = 0; k < node->n_out; k++)
			live_node[i] |= node->out[k] >= 0 && net->values[node->out[k]].live;
		n += live_node[i];
		for (int k = 0; live_node[i] && k < node->n_in; k++)
			if (node->in[k] >= 0)
				net->values[node->in[k]].live = true;
	}
	return n;
}

/* Nodes with a graph of their own (If, Loop, Scan): carried, never run; a Loop that is a recurrent layer and an If whose condition follows from shapes are none any more
 * (core/onnx/loop.c, branch.c). */
static bool has_subgraph(const struct pare_node *node)
{
	for (int i = 0; i < node->n_attrs; i++)
		if (node->attrs[i].type == PARE_ATTR_GRAPH)
			return true;
	return false;
}

static enum pare_code find_op(const struct pare_net *net, struct pare_net_node *n, struct pare_err *err)
{
	const struct pare_node *node = n->node;
	int64_t opset = node->opset > 0 ? node->opset : pare_model_opset(net->model, node->domain);
	const struct pare_op *op = pare_op_find(node->domain, node->op_type, opset);
	char shown[PARE_NAME_SHOWN], domain[PARE_NAME_SHOWN];
	const char *name = pare_name_shown(node->op_type, shown);

	n->op = op;
	if (op == NULL && node->domain[0] != '\0')
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, n->where, "operator %s of domain %s is not supported for execution",
		    name, pare_name_shown(node->domain, domain));
	if (op == NULL && (opset < PARE_OPSET_MIN || opset > PARE_OPSET_MAX))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, n->where, "operator %s is not supported for execution in opset %lld; %d to %d are",
		    name, (long long)opset, PARE_OPSET_MIN, PARE_OPSET_MAX);
	if (op == NULL)
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, n->where, "operator %s is not supported for execution%s", name,
		    has_subgraph(node) ? ": control flow is carried, but not run" : "");
	if (node->n_in < op->min_in || node->n_in > op->max_in || node->n_out < op->min_out || node->n_out > op->max_out)
		return pare_err_set(err, PARE_E_MODEL, n->where, "%d inputs and %d outputs; operator %s has %d to %d inputs and %d to %d outputs",
		    node->n_in, node->n_out, op->name, op->min_in, op->max_in, op->min_out, op->max_out);
	for (int k = 0; k < op->min_in; k++)
		if (node->in[k] < 0)
			return pare_err_set(err, PARE_E_MODEL, n->where, "input %d is left out, but operator %s needs it", k, op->name);
	return PARE_OK;
}

/* The values of an initializer that is read at plan time. */
static enum pare_code load_known(struct pare_net *net, int32_t value, const char *where, struct pare_err *err)
{
	struct pare_net_value *nv = &net->values[value];
	const struct pare_tensor *t = net->model->graph.values[value].init;
	char shown[PARE_NAME_SHOWN];
	enum pare_code code;

	if (nv->known.i64 != NULL || nv->known.f32 != NULL || t == NULL)
		return PARE_OK;
	if (t->n_elems > PARE_MAX_KNOWN)
		return pare_err_set(err, PARE_E_LIMIT, where, "constant \"%s\" has %zu elements; a shape or ratio has at most %d", pare_name_shown(t->name, shown),
		    t->n_elems, PARE_MAX_KNOWN);
	if (nv->dtype == PARE_DT_FLOAT) {
		float *v = pare_arena_array(&net->arena, t->n_elems + 1, sizeof *v);

		code = v != NULL ? pare_tensor_read_f32(t, v, err) : pare_err_nomem(err, 0);
		nv->known.f32 = v;
	} else {
		int64_t *v = pare_arena_array(&net->arena, t->n_elems + 1, sizeof *v);

		code = v != NULL ? pare_tensor_read_i64(t, v, err) : pare_err_nomem(err, 0);
		nv->known.i64 = v;
	}
	nv->known.n = t->n_elems;
	return code == PARE_OK ? PARE_OK : pare_err_at(err, "%s", where);
}

/* An input that infer reads. */
static enum pare_code read_input(struct pare_net *net, struct pare_net_node *n, int k, struct pare_known *known, struct pare_err *err)
{
	int32_t value = n->node->in[k];
	const struct pare_net_value *nv = &net->values[value];
	enum pare_code code = load_known(net, value, n->where, err);

	if (code != PARE_OK)
		return code;
	if (!pare_net_is_known(&nv->known))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, n->where,
		    "operator %s is not supported for execution with input %d computed; it must be a constant", n->op->name, k);
	if (nv->known.batch != NULL && !pare_op_has(n->op->symbolic_in, k))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, n->where,
		    "operator %s is not supported for execution with an input %d that depends on the batch size", n->op->name, k);
	*known = nv->known;
	return PARE_OK;
}

/* Do scores have it added, possibly in another shape or in parts, before a softmax? Nodes stand in the order in which they run. */
static bool leads_to_softmax(const struct pare_net *net, const struct pare_net_node *n, int32_t value)
{
	const struct pare_graph *g = &net->model->graph;

	for (int32_t i = n->index < 0 ? 0 : n->index; i < g->n_nodes; i++) { /* below 0: planning has added it */
		const struct pare_node *node = &g->nodes[i];
		const struct pare_op *op;
		bool reads = false;

		for (int k = 0; k < node->n_in; k++)
			reads |= node->in[k] == value;
		if (!reads)
			continue;
		op = pare_op_find(node->domain, node->op_type, node->opset > 0 ? node->opset : pare_model_opset(net->model, node->domain));
		if (op == NULL || op->output_hint == PARE_HINT_PROBABILITY || op->output_hint == PARE_HINT_LOG_PROBABILITY)
			return op != NULL;
		if (!op->view && op->moves_in == 0 && strcmp(op->name, "Add") != 0)
			return false;
		value = node->out[0];
	}
	return false;
}

/* What an initializer holds, as far as it could make it a mask. */
struct look {
	bool infinite, two_valued; /* two_valued: zeros and one number far below; so far, it may be one of them only */
	bool zero;
	float low;
};

static void look_at(struct look *l, const float *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		l->infinite |= isinf(v[i]);
	for (size_t i = 0; i < n && l->two_valued; i++) {
		l->two_valued = v[i] <= 0 && v[i] >= -FLT_MAX && (v[i] >= 0 || (v[i] <= MASK_LOW && (l->low >= 0 || (v[i] <= l->low && v[i] >= l->low))));
		l->zero |= v[i] >= 0;
		l->low = v[i] < 0 ? v[i] : l->low;
	}
}

/* In pieces where they stand as floats: copies of large tables would cost more than all else that is done with shapes. */
static enum pare_code look_through(const struct pare_tensor *t, struct look *l, struct pare_err *err)
{
	float piece[1024], *v;
	enum pare_code code;

	if (t->dtype == PARE_DT_FLOAT && t->raw.data != NULL && t->raw.len == t->n_elems * sizeof *piece) {
		for (size_t at = 0, n; at < t->n_elems && !l->infinite; at += n) {
			n = t->n_elems - at < 1024 ? t->n_elems - at : 1024;
			memcpy(piece, t->raw.data + at * sizeof *piece, n * sizeof *piece);
			look_at(l, piece, n);
		}
		return PARE_OK;
	}
	v = pare_alloc(t->n_elems * sizeof *v);
	if (v == NULL)
		return pare_err_nomem(err, t->n_elems * sizeof *v);
	code = pare_tensor_read_f32(t, v, err);
	if (code == PARE_OK)
		look_at(l, v, t->n_elems);
	pare_free(v);
	return code;
}

/* A mask that shuts positions out, which PyTorch's newer exporter writes as an initializer, is not there to be trained: what holds infinity and is no
 * layer's, and what has two values in two dimensions or more (Swin's 0 and -100; nothing that was learned looks so) and is added to scores. */
static enum pare_code note_mask(struct pare_net *net, struct pare_net_value *nv, const struct pare_tensor *t, const struct pare_net_node *n, struct pare_err *err)
{
	const struct pare_op *op = n->op;
	struct look l = {.two_valued = true};
	enum pare_code code;
	int wide = 0;

	if (t == NULL || t->external || t->n_elems > MASK_MAX || nv->constant || op->no_gradient != NULL || (op->weight_in | op->scale_in | op->buffer_in) != 0)
		return PARE_OK;
	code = look_through(t, &l, err);
	if (code != PARE_OK)
		return pare_err_at(err, "%s", n->where);
	for (int i = 0; i < t->n_dims; i++)
		wide += t->dims[i] > 1;
	nv->constant = l.infinite || (l.two_valued && l.zero && l.low < 0 && wide > 1 && leads_to_softmax(net, n, (int32_t)(nv - net->values)));
	return PARE_OK;
}

static enum pare_code gather_input(struct pare_net *net, struct pare_net_node *n, int k, struct pare_shape *shape, int *dtype,
    struct pare_known *known, struct pare_err *err)
{
	int32_t value = n->node->in[k];
	struct pare_net_value *nv = &net->values[value];
	const struct pare_tensor *t = value < net->model->graph.n_values ? net->model->graph.values[value].init : NULL; /* planning adds values */
	enum pare_code code = note_mask(net, nv, t, n, err);

	if (code != PARE_OK)
		return code;
	*shape = nv->shape;
	*dtype = nv->dtype;
	if (pare_op_has(n->op->const_in, k))
		return read_input(net, n, k, known, err);
	if (pare_op_has(n->op->shape_in, k)) {
		n->constant &= nv->shape.batch == 0;
		return PARE_OK;
	}
	if (nv->dtype != PARE_DT_FLOAT && !pare_op_has(n->op->any_dtype_in, k))
		return pare_err_set(err, PARE_E_UNSUPPORTED_OP, n->where, "operator %s is not supported for execution with %s tensors (input %d)",
		    n->op->name, pare_dtype_name(nv->dtype), k);
	if ((nv->constant || pare_op_has(n->op->buffer_in, k)) && t != NULL && t->n_elems <= PARE_MAX_KNOWN) {
		code = load_known(net, value, n->where, err);
		if (code != PARE_OK)
			return code;
	}
	*known = nv->known;
	n->constant &= nv->constant;
	return PARE_OK;
}

static enum pare_code check_outputs(const struct pare_net *net, struct pare_net_node *n, const struct pare_infer *c, struct pare_err *err)
{
	for (int k = 0; k < n->node->n_out; k++) {
		enum pare_code code = check_size(net, &c->out[k], n->where, err);

		if (code != PARE_OK)
			return code;
		n->constant &= c->out[k].batch == 0;
	}
	return PARE_OK;
}

/* A size that is read off a batched tensor (Shape, Gather) is as constant as any other. */
static bool all_known(const struct pare_infer *c)
{
	for (int k = 0; k < c->n_out; k++)
		if (!pare_net_is_known(&c->out_known[k]) || c->out_known[k].batch != NULL)
			return false;
	return true;
}

static void take_outputs(struct pare_net *net, struct pare_net_node *n, const struct pare_infer *c)
{
	n->constant |= all_known(c);
	for (int k = 0; k < n->node->n_out; k++) {
		struct pare_net_value *nv = n->node->out[k] >= 0 ? &net->values[n->node->out[k]] : NULL;

		if (nv == NULL)
			continue;
		nv->live = true;
		nv->shape = c->out[k];
		nv->dtype = c->out_dtype[k];
		nv->smooth = nv->dtype == PARE_DT_FLOAT || (k == 0 && (n->op->smooth_out || (n->view && net->values[n->node->in[0]].smooth)));
		nv->known = c->out_known[k];
		nv->constant = n->constant && nv->known.batch == NULL;
	}
}

static enum pare_code infer_node(struct pare_net *net, struct pare_net_node *n, struct pare_err *err)
{
	const struct pare_op *op = n->op;
	size_t n_in = (size_t)n->node->n_in, n_out = (size_t)op->max_out;
	struct pare_shape *shapes = pare_arena_array(&net->arena, n_in + n_out, sizeof *shapes);
	int *dtypes = pare_arena_array(&net->arena, n_in + n_out, sizeof *dtypes);
	struct pare_known *known = pare_arena_array(&net->arena, n_in + n_out, sizeof *known);
	struct pare_infer c = {.node = n->node, .where = n->where, .args = n->args, .arena = &net->arena, .fixed_batch = net->fixed_batch,
	    .training = net->opt.training, .max_batch = net->opt.max_batch, .n_in = n->node->n_in, .n_out = n->node->n_out};
	enum pare_code code;

	if (shapes == NULL || dtypes == NULL || known == NULL)
		return pare_err_nomem(err, 0);
	n->constant = !(op->draws && net->opt.training);
	for (int k = 0; k < n->node->n_in; k++) {
		shapes[k].n_dims = -1;
		if (n->node->in[k] < 0)
			continue;
		code = gather_input(net, n, k, &shapes[k], &dtypes[k], &known[k], err);
		if (code != PARE_OK)
			return code;
	}
	for (size_t k = 0; k < n_out; k++)
		dtypes[n_in + k] = PARE_DT_FLOAT;
	c.in = shapes;
	c.in_dtype = dtypes;
	c.in_known = known;
	c.out = shapes + n_in;
	c.out_dtype = dtypes + n_in;
	c.out_known = known + n_in;
	code = op->infer(&c, err);
	if (code == PARE_OK)
		code = check_outputs(net, n, &c, err);
	if (code == PARE_OK)
		code = pare_net_fold(n, &c, err);
	if (code == PARE_OK)
		take_outputs(net, n, &c);
	return code;
}

/* Asked before inference marks every output that exists as live. */
static bool wants_extra_outputs(const struct pare_net *net, const struct pare_node *node)
{
	for (int k = 1; k < node->n_out; k++)
		if (node->out[k] >= 0 && net->values[node->out[k]].live)
			return true;
	return false;
}

static enum pare_code name_node(struct pare_net *net, struct pare_net_node *n, struct pare_err *err)
{
	char label[PARE_NAME_SHOWN], shown[PARE_NAME_SHOWN];
	struct pare_err where = {0};

	if (n->where != NULL) /* it is none of the file's */
		return PARE_OK;
	pare_node_label(&net->model->graph, n->index, label, sizeof label);
	pare_err_set(&where, PARE_OK, NULL, "node \"%s\" (%s)", label, pare_name_shown(n->node->op_type, shown));
	n->where = pare_arena_strndup(&net->arena, where.message, strlen(where.message));
	return n->where != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

enum pare_code pare_net_plan_node(struct pare_net *net, struct pare_net_node *n, struct pare_err *err)
{
	enum pare_code code = name_node(net, n, err);

	if (code == PARE_OK)
		code = find_op(net, n, err);
	if (code != PARE_OK)
		return code;
	n->args = pare_arena_alloc(&net->arena, n->op->args_size);
	n->accumulate = pare_arena_array(&net->arena, (size_t)n->node->n_in, sizeof *n->accumulate);
	if (n->args == NULL || n->accumulate == NULL)
		return pare_err_nomem(err, 0);
	n->view = n->op->view || (n->op->view_in_inference && !net->opt.training && !wants_extra_outputs(net, n->node));
	code = pare_op_parse_args(n->op, n->node, n->where, n->args, err);
	return code == PARE_OK ? infer_node(net, n, err) : code;
}

void pare_net_ties(const struct pare_net *net, const struct pare_net_node *n, struct pare_ties *out)
{
	const struct pare_shape *in[64] = {NULL}, *o[64] = {NULL};
	struct pare_node_view view = {.args = n->args, .n_in = n->node->n_in < 64 ? n->node->n_in : 64, .n_out = n->node->n_out < 64 ? n->node->n_out : 64,
	    .in = in, .out = o};

	for (int k = 0; k < view.n_in; k++)
		in[k] = n->node->in[k] >= 0 ? &net->values[n->node->in[k]].shape : NULL;
	for (int k = 0; k < view.n_out; k++)
		o[k] = n->node->out[k] >= 0 ? &net->values[n->node->out[k]].shape : NULL;
	out->n = 0;
	out->full = false;
	if (o[0] != NULL || n->op->min_out == 0)
		n->op->couple(&view, out);
}

/* Does n have to run? Not when all that anybody wants of it is a constant that is known. */
static bool must_run(const struct pare_net *net, const struct pare_net_node *n)
{
	for (int k = 0; k < n->node->n_out; k++) {
		const struct pare_net_value *v = n->node->out[k] >= 0 ? &net->values[n->node->out[k]] : NULL;

		if (v != NULL && v->live && !(v->constant && pare_net_is_known(&v->known)))
			return true;
	}
	return false;
}

/* Liveness again, by what is read at run time; keeps the nodes that must run, in their order. */
static void drop_idle(struct pare_net *net)
{
	const struct pare_graph *g = &net->model->graph;
	int kept = net->n_nodes;

	for (int32_t i = 0; i < g->n_values; i++)
		net->values[i].live = false;
	for (int i = 0; i < g->n_inputs; i++)
		net->values[g->inputs[i]].live = true;
	mark_outputs(net);
	for (int i = net->n_nodes - 1; i >= 0; i--) {
		const struct pare_net_node n = net->nodes[i];

		if (!must_run(net, &n))
			continue;
		for (int k = 0; k < n.node->n_out; k++)
			if (n.node->out[k] >= 0)
				net->values[n.node->out[k]].live = true;
		for (int k = 0; k < n.node->n_in; k++)
			if (pare_net_is_read(&n, k))
				net->values[n.node->in[k]].live = true;
		net->nodes[--kept] = n;
	}
	net->nodes += kept;
	net->n_nodes -= kept;
}

enum pare_code pare_net_infer_shapes(struct pare_net *net, struct pare_err *err)
{
	const struct pare_graph *g = &net->model->graph;
	bool *live_node = pare_arena_array(&net->arena, (size_t)g->n_nodes + 1, sizeof *live_node);
	enum pare_code code = PARE_OK;
	int n;

	net->values = pare_arena_array(&net->arena, (size_t)g->n_values + 1, sizeof *net->values);
	if (live_node == NULL || net->values == NULL)
		return pare_err_nomem(err, 0);
	net->n_values = g->n_values;
	net->inputs = pare_arena_array(&net->arena, (size_t)g->n_inputs + 1, sizeof *net->inputs);
	if (net->inputs == NULL)
		return pare_err_nomem(err, 0);
	for (int i = 0; i < g->n_inputs; i++)
		net->inputs[i] = g->inputs[i];
	init_shapes(net);
	for (int i = 0; i < g->n_inputs && code == PARE_OK; i++)
		code = input_shape(net, i, err);
	code = code == PARE_OK ? unpack_outputs(net, err) : code;
	if (code != PARE_OK)
		return code;
	choose_outputs(net);
	n = mark_live(net, live_node);
	net->nodes = pare_arena_array(&net->arena, (size_t)n + 1, sizeof *net->nodes);
	if (net->nodes == NULL)
		return pare_err_nomem(err, 0);
	for (int32_t i = 0; i < g->n_nodes && code == PARE_OK; i++)
		if (live_node[i]) {
			struct pare_net_node *node = &net->nodes[net->n_nodes++];

			node->index = i;
			node->node = &g->nodes[i];
			code = pare_net_plan_node(net, node, err);
		}
	if (code == PARE_OK)
		drop_idle(net);
	return code;
}
