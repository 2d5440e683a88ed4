/* The float model stays what it is: new initializers and nodes go in front of the layers, whose inputs then name them, and the
 * weights that nobody reads any more are dropped. So everything between the layers leaves byte for byte, and a runtime
 * without integer kernels still computes the right thing, in floats.
 *
 * Activations are unsigned with a zero point (after a Relu all 256 steps are of use), weights signed and symmetric (a zero point would
 * cost a sum per output, and pruned zeros must stay zeros): the form that integer kernels want.
 *
 * With ranges found at run time the layer's own node becomes the last of those that stand for it (the sum with the bias, or the scaling), so name and
 * output stay here, too.
 *
 * Rejected: QLinearConv and QLinearMatMul nodes (every runtime makes them of QDQ itself, and QDQ is what can still be trained and read), and
 * quantizing what is not multiplied with weights (it saves no bytes and costs accuracy). */
#include "core/compress/quantize.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/num.h"
#include "core/compress/layers.h"

#define BIAS_MAX 2147483000.0

struct quantizer {
	const struct pare_model *m;
	const struct pare_quantize_options *opt;
	struct pare_rewrite *rw;
	const char **weight_names; /* by value: what stands for the weight */
	const char **x_names;      /* by value */
	struct pare_err *err;
};

/* --- finding layers */

static bool is_layer(const struct pare_node *n)
{
	static const char *const ops[] = {"Gemm", "MatMul", "Conv"};

	for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
		if (n->domain[0] == '\0' && strcmp(n->op_type, ops[i]) == 0 && !n->inlined)
			return n->n_in >= 2 && n->in[0] >= 0 && n->in[1] >= 0;
	return false;
}

static bool is_one(const struct pare_node *n, const char *name)
{
	const struct pare_attr *a = pare_node_attr(n, name);

	return a == NULL || !(a->f < 1 || a->f > 1);
}

/* A product with nothing around it but a bias: integers can stand in its place. */
static bool is_plain_product(const struct pare_node *n)
{
	return strcmp(n->op_type, "MatMul") == 0 || (strcmp(n->op_type, "Gemm") == 0 && pare_layer_int(n, "transA", 0) == 0 && is_one(n, "alpha") && is_one(n, "beta"));
}

/* The axis of output channels; -1: not a layer's weight. */
static int channel_axis(const struct pare_node *n, const struct pare_tensor *w)
{
	if (strcmp(n->op_type, "Conv") == 0)
		return w->n_dims >= 3 ? 0 : -1;
	if (w->n_dims != 2)
		return -1;
	return strcmp(n->op_type, "Gemm") == 0 && pare_layer_int(n, "transB", 0) != 0 ? 0 : 1;
}

/* A bias that only this layer reads and whose integers mean what they should. */
static int32_t bias_of(const struct pare_model *m, const struct pare_node *n, const struct pare_tensor *w, int axis)
{
	const struct pare_tensor *b = n->n_in > 2 ? pare_layer_floats(m, n->in[2]) : NULL;

	if (b == NULL || b->n_dims != 1 || b->dims[0] != w->dims[axis] || pare_layer_readers(&m->graph, n->in[2]) != 1 || !is_one(n, "alpha") || !is_one(n, "beta"))
		return -1;
	return n->in[2];
}

static bool excluded(const struct pare_quantize_options *opt, const char *weight, const char *node)
{
	struct pare_param_info info = {.name = weight, .node_name = node};

	return pare_prune_is_excluded(&opt->names, &info);
}

static enum pare_code check_opset(const struct pare_model *m, const struct pare_quantize_options *opt, struct pare_err *err)
{
	int64_t has = pare_model_opset(m, ""), needs = opt->form == PARE_FORM_BFLOAT16 ? 13 : opt->form == PARE_FORM_FLOAT16 ? 7 : opt->dynamic ? 11 : opt->per_channel ? 13 : 10;

	if (has >= needs)
		return PARE_OK;
	return pare_err_set(err, PARE_E_UNSUPPORTED, NULL, "the model is of opset %lld and this form of weights needs %lld: export it anew%s", (long long)has, (long long)needs,
	    opt->form == PARE_FORM_INT8 && !opt->dynamic && has >= 10 ? ", or set per_channel to false" : "");
}

enum pare_code pare_quantize_find(const struct pare_model *m, const struct pare_quantize_options *opt, struct pare_quant_layer **out, int *out_n,
    struct pare_err *err)
{
	struct pare_quant_layer *list = pare_calloc((size_t)m->graph.n_nodes + 1, sizeof *list);
	enum pare_code code = check_opset(m, opt, err);
	int n = 0;

	if (code == PARE_OK && list == NULL)
		code = pare_err_nomem(err, 0);
	for (int32_t i = 0; i < m->graph.n_nodes && code == PARE_OK; i++) {
		const struct pare_node *node = &m->graph.nodes[i];
		const struct pare_tensor *w = is_layer(node) ? pare_layer_floats(m, node->in[1]) : NULL;
		int axis = w != NULL && w->n_elems > 0 ? channel_axis(node, w) : -1;

		if (axis < 0 || (opt->dynamic && !is_plain_product(node)) || excluded(opt, w->name, node->name))
			continue;
		list[n++] = (struct pare_quant_layer){.node = i, .x = node->in[0], .weight = node->in[1], .axis = axis,
		    .bias = opt->activations ? bias_of(m, node, w, axis) : -1};
	}
	if (code == PARE_OK && n == 0)
		code = pare_err_set(err, PARE_E_INVALID, NULL, "there is nothing to quantize: no %s has a float initializer as its weight, or all are excluded",
		    opt->dynamic ? "MatMul, or Gemm with alpha and beta of 1," : "Gemm, MatMul or Conv");
	if (code == PARE_OK) {
		*out = list;
		*out_n = n;
	} else {
		pare_free(list);
	}
	return code;
}

/* --- writing */

static const char *suffixed(struct quantizer *q, const char *base, const char *suffix)
{
	size_t size = strlen(base) + strlen(suffix) + 1;
	char *name = pare_arena_alloc(&q->rw->arena, size);

	if (name == NULL)
		return NULL;
	(void)snprintf(name, size, "%s%s", base, suffix);
	return pare_rewrite_name(q->rw, &q->m->graph, name);
}

/* An initializer base + suffix; its name in *name. bytes stay where they are. */
static enum pare_code add_init(struct quantizer *q, const char *base, const char *suffix, int dtype, int n_dims, const int64_t *dims, const void *bytes,
    size_t n_bytes, const char **name)
{
	struct pare_new_init init = {.name = suffixed(q, base, suffix), .dtype = dtype, .n_dims = n_dims, .bytes = bytes, .n_bytes = n_bytes};

	if (init.name == NULL || bytes == NULL)
		return pare_err_nomem(q->err, n_bytes);
	for (int i = 0; i < n_dims; i++)
		init.dims[i] = dims[i];
	*name = init.name;
	return pare_rewrite_add_init(q->rw, &init, q->err);
}

static enum pare_code add_node(struct quantizer *q, int32_t before, const char *op, const char *const in[3], const char *base, const char *suffix, const char *attr,
    int64_t value, const char **out)
{
	struct pare_new_node n = {.before = before, .op = op, .in = {in[0], in[1], in[2]}, .out = suffixed(q, base, suffix), .attr = {{.name = attr, .value = value}}};

	if (n.out == NULL)
		return pare_err_nomem(q->err, 0);
	*out = n.out;
	return pare_rewrite_add_node(q->rw, &n, q->err);
}

static enum pare_code set_input(struct quantizer *q, int32_t node, int k, const char *name)
{
	return pare_rewrite_add_edit(q->rw, &(struct pare_node_edit){.node = node, .input = k, .name = name}, q->err);
}

/* Where element i of a tensor stands along an axis. */
static size_t along(const struct pare_tensor *t, int axis, size_t i)
{
	size_t inner = 1;

	for (int k = axis + 1; k < t->n_dims; k++)
		inner *= (size_t)t->dims[k];
	return i / inner % (size_t)t->dims[axis];
}

/* The largest |w| of each channel as its step; a channel of zeros has 1. */
static enum pare_code find_steps(struct quantizer *q, const struct pare_tensor *t, const struct pare_quant_layer *l, const float *w, size_t n_steps, float *step)
{
	float most = q->opt->reduce_range ? 63 : 127;

	for (size_t i = 0; i < t->n_elems; i++) {
		float *s = &step[n_steps > 1 ? along(t, l->axis, i) : 0];

		if (!isfinite(w[i]))
			return pare_err_set(q->err, PARE_E_NONFINITE, t->name, "the weight holds NaN or infinity");
		*s = fmaxf(*s, fabsf(w[i]));
	}
	for (size_t i = 0; i < n_steps; i++)
		step[i] = step[i] / most > 0 ? step[i] / most : 1;
	return PARE_OK;
}

/* The integers of a weight, as inputs x outputs if outputs_last, and its steps: two initializers. */
static enum pare_code put_integers(struct quantizer *q, const struct pare_quant_layer *l, const struct pare_tensor *t, const float *w, bool outputs_last,
    const char **integers, const char **steps)
{
	size_t n_steps = q->opt->per_channel ? (size_t)t->dims[l->axis] : 1;
	float *step = pare_arena_array(&q->rw->arena, n_steps, sizeof *step), most = q->opt->reduce_range ? 63 : 127;
	int8_t *v = pare_arena_alloc(&q->rw->arena, t->n_elems);
	bool turn = outputs_last && l->axis == 0;
	int64_t dims[PARE_MAX_DIMS], n = (int64_t)n_steps;
	enum pare_code code;

	if (step == NULL || v == NULL)
		return pare_err_nomem(q->err, t->n_elems);
	for (int i = 0; i < t->n_dims; i++)
		dims[i] = t->dims[turn ? 1 - i : i];
	code = find_steps(q, t, l, w, n_steps, step);
	for (size_t i = 0; i < t->n_elems && code == PARE_OK; i++) {
		float s = step[n_steps > 1 ? along(t, l->axis, i) : 0];
		size_t at = turn ? i % (size_t)dims[0] * (size_t)dims[1] + i / (size_t)dims[0] : i;

		v[at] = (int8_t)fminf(fmaxf(rintf(w[i] / s), -most), most);
	}
	if (code == PARE_OK)
		code = add_init(q, t->name, "_quantized", PARE_DT_INT8, t->n_dims, dims, v, t->n_elems, integers);
	return code == PARE_OK ? add_init(q, t->name, "_scale", PARE_DT_FLOAT, q->opt->per_channel, &n, step, n_steps * sizeof *step, steps) : code;
}

static enum pare_code put_int8(struct quantizer *q, const struct pare_quant_layer *l, const struct pare_tensor *t, const float *w)
{
	int64_t dims[] = {q->opt->per_channel ? t->dims[l->axis] : 1};
	int8_t *zero = pare_arena_alloc(&q->rw->arena, (size_t)dims[0]);
	const char *in[3], **name = &q->weight_names[l->weight];
	enum pare_code code = put_integers(q, l, t, w, false, &in[0], &in[1]);

	if (code == PARE_OK)
		code = add_init(q, t->name, "_zero_point", PARE_DT_INT8, q->opt->per_channel, dims, zero, (size_t)dims[0], &in[2]);
	return code == PARE_OK ? add_node(q, l->node, "DequantizeLinear", in, t->name, "_dequantized", q->opt->per_channel ? "axis" : NULL, l->axis, name) : code;
}

static uint16_t to_bfloat16(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof u);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* To nearest even; what is too large becomes the largest. */
static uint16_t to_float16(float x)
{
	float a = fminf(fabsf(x), 65504.0f), step;
	uint16_t sign = signbit(x) != 0 ? 0x8000 : 0;
	int e;

	if (a <= 0)
		return sign;
	(void)frexpf(a, &e); /* a in [2^(e-1), 2^e) */
	e = e - 1 < -14 ? -14 : e - 1;
	step = ldexpf(1, e - 10);
	/* the exponent's field and the bits below the leading one, which carries into it by itself */
	return (uint16_t)(sign + ((e + 14) << 10) + (int)rintf(a / step));
}

static enum pare_code put_half(struct quantizer *q, const struct pare_quant_layer *l, const struct pare_tensor *t, const float *w)
{
	int dtype = q->opt->form == PARE_FORM_FLOAT16 ? PARE_DT_FLOAT16 : PARE_DT_BFLOAT16;
	uint16_t *v = pare_arena_array(&q->rw->arena, t->n_elems, sizeof *v);
	const char *in[3] = {NULL, NULL, NULL};
	enum pare_code code;

	for (size_t i = 0; v != NULL && i < t->n_elems; i++) {
		if (!isfinite(w[i]))
			return pare_err_set(q->err, PARE_E_NONFINITE, t->name, "the weight holds NaN or infinity");
		v[i] = dtype == PARE_DT_FLOAT16 ? to_float16(w[i]) : to_bfloat16(w[i]);
	}
	code = add_init(q, t->name, dtype == PARE_DT_FLOAT16 ? "_float16" : "_bfloat16", dtype, t->n_dims, t->dims, v, t->n_elems * sizeof *v, &in[0]);
	return code == PARE_OK ? add_node(q, l->node, "Cast", in, t->name, "_float", "to", PARE_DT_FLOAT, &q->weight_names[l->weight]) : code;
}

static enum pare_code put_weight(struct quantizer *q, const struct pare_quant_layer *l)
{
	const struct pare_tensor *t = q->m->graph.values[l->weight].init;
	float *w;
	enum pare_code code;

	if (q->weight_names[l->weight] != NULL) /* two layers share it */
		return set_input(q, l->node, 1, q->weight_names[l->weight]);
	w = pare_alloc((t->n_elems + 1) * sizeof *w);
	if (w == NULL)
		return pare_err_nomem(q->err, t->n_elems * sizeof *w);
	code = pare_tensor_read_f32(t, w, q->err);
	if (code == PARE_OK)
		code = q->opt->form == PARE_FORM_INT8 ? put_int8(q, l, t, w) : put_half(q, l, t, w);
	pare_free(w);
	return code == PARE_OK ? set_input(q, l->node, 1, q->weight_names[l->weight]) : code;
}

static enum pare_code put_x(struct quantizer *q, const struct pare_quant_layer *l)
{
	const char *base = q->m->graph.values[l->x].name, *in[3] = {base};
	float *step = pare_arena_alloc(&q->rw->arena, sizeof *step);
	uint8_t *zero = pare_arena_alloc(&q->rw->arena, 1);
	enum pare_code code;

	if (q->x_names[l->x] != NULL)
		return set_input(q, l->node, 0, q->x_names[l->x]);
	if (step == NULL || zero == NULL)
		return pare_err_nomem(q->err, sizeof *step);
	*step = l->high > l->low ? (l->high - l->low) / 255 : 1;
	*zero = (uint8_t)fminf(fmaxf(rintf(-l->low / *step), 0), 255);
	code = add_init(q, base, "_scale", PARE_DT_FLOAT, 0, NULL, step, sizeof *step, &in[1]);
	if (code == PARE_OK)
		code = add_init(q, base, "_zero_point", PARE_DT_UINT8, 0, NULL, zero, 1, &in[2]);
	if (code == PARE_OK)
		code = add_node(q, l->node, "QuantizeLinear", in, base, "_quantized", NULL, 0, &in[0]);
	if (code == PARE_OK)
		code = add_node(q, l->node, "DequantizeLinear", in, base, "_dequantized", NULL, 0, &q->x_names[l->x]);
	return code == PARE_OK ? set_input(q, l->node, 0, q->x_names[l->x]) : code;
}

static const float *new_floats(const struct quantizer *q, const char *dequantized)
{
	const char *scale = NULL;

	for (size_t i = 0; i < q->rw->n_new_nodes; i++)
		if (strcmp(q->rw->nodes[i].out, dequantized) == 0)
			scale = q->rw->nodes[i].in[1];
	for (size_t i = 0; i < q->rw->n_inits && scale != NULL; i++)
		if (strcmp(q->rw->inits[i].name, scale) == 0)
			return q->rw->inits[i].bytes;
	return NULL;
}

/* A bias whose integers would not fit stays as it is. */
static enum pare_code put_bias(struct quantizer *q, const struct pare_quant_layer *l)
{
	const struct pare_tensor *t = q->m->graph.values[l->bias].init;
	const float *sx = new_floats(q, q->x_names[l->x]), *sw = new_floats(q, q->weight_names[l->weight]);
	float *step = pare_arena_array(&q->rw->arena, t->n_elems, sizeof *step), *b = pare_arena_array(&q->rw->arena, t->n_elems, sizeof *b);
	int32_t *v = pare_arena_array(&q->rw->arena, t->n_elems, sizeof *v);
	const char *in[3] = {NULL, NULL, NULL}, *name;
	enum pare_code code;

	if (step == NULL || b == NULL || v == NULL)
		return pare_err_nomem(q->err, t->n_elems * sizeof *v);
	code = pare_tensor_read_f32(t, b, q->err);
	for (size_t i = 0; i < t->n_elems && code == PARE_OK; i++) {
		double k;

		step[i] = sx[0] * sw[q->opt->per_channel ? i : 0];
		k = rint((double)b[i] / (double)step[i]);
		if (!(fabs(k) < BIAS_MAX))
			return PARE_OK;
		v[i] = (int32_t)k;
	}
	if (code == PARE_OK)
		code = add_init(q, t->name, "_quantized", PARE_DT_INT32, 1, t->dims, v, t->n_elems * sizeof *v, &in[0]);
	if (code == PARE_OK)
		code = add_init(q, t->name, "_scale", PARE_DT_FLOAT, q->opt->per_channel, t->dims, step, (q->opt->per_channel ? t->n_elems : 1) * sizeof *step, &in[1]);
	if (code == PARE_OK)
		code = add_node(q, l->node, "DequantizeLinear", in, t->name, "_dequantized", q->opt->per_channel ? "axis" : NULL, 0, &name);
	return code == PARE_OK ? set_input(q, l->node, 2, name) : code;
}

/* --- ranges found as the model runs */

/* x in 8 bits by its own range; *out: the node, whose further outputs are scale and zero point. */
static enum pare_code put_running_x(struct quantizer *q, const struct pare_quant_layer *l, struct pare_new_node *out)
{
	const char *base = q->m->graph.values[l->x].name;
	struct pare_new_node n = {.before = l->node, .op = "DynamicQuantizeLinear", .in = {base}};

	for (size_t i = 0; i < q->rw->n_new_nodes && q->x_names[l->x] != NULL; i++)
		if (strcmp(q->rw->nodes[i].out, q->x_names[l->x]) == 0) {
			*out = q->rw->nodes[i];
			return PARE_OK;
		}
	n.out = suffixed(q, base, "_quantized");
	n.more[0] = suffixed(q, base, "_scale");
	n.more[1] = suffixed(q, base, "_zero_point");
	if (n.out == NULL || n.more[0] == NULL || n.more[1] == NULL)
		return pare_err_nomem(q->err, 0);
	q->x_names[l->x] = n.out;
	*out = n;
	return pare_rewrite_add_node(q->rw, &n, q->err);
}

/* The layer's node is the last of those that stand for it. */
static enum pare_code become(struct quantizer *q, int32_t node, const char *op, const char *a, const char *b)
{
	enum pare_code code = pare_rewrite_add_edit(q->rw, &(struct pare_node_edit){.node = node, .op = op, .input = 2}, q->err);

	if (code == PARE_OK)
		code = set_input(q, node, 0, a);
	return code == PARE_OK ? set_input(q, node, 1, b) : code;
}

/* y = float(xq wq) (s_x s_w) + b. A weight that layers share is stored for each. */
static enum pare_code put_integer_product(struct quantizer *q, const struct pare_quant_layer *l, const float *w)
{
	const struct pare_graph *g = &q->m->graph;
	const struct pare_node *node = &g->nodes[l->node];
	const char *base = g->values[node->out[0]].name, *integers = NULL, *steps = NULL, *product[3] = {NULL}, *scale[3] = {NULL}, *sum[3] = {NULL};
	bool biased = node->n_in > 2 && node->in[2] >= 0;
	struct pare_new_node x = {.op = NULL};
	enum pare_code code = put_integers(q, l, g->values[l->weight].init, w, true, &integers, &steps);

	if (code == PARE_OK)
		code = put_running_x(q, l, &x);
	if (code == PARE_OK)
		code = add_node(q, l->node, "MatMulInteger", (const char *const[]){x.out, integers, x.more[1]}, base, "_integers", NULL, 0, &product[0]);
	if (code == PARE_OK)
		code = add_node(q, l->node, "Cast", product, base, "_sums", "to", PARE_DT_FLOAT, &sum[0]);
	if (code == PARE_OK)
		code = add_node(q, l->node, "Mul", (const char *const[]){x.more[0], steps, NULL}, base, "_scale", NULL, 0, &scale[0]);
	if (code != PARE_OK || !biased)
		return code == PARE_OK ? become(q, l->node, "Mul", sum[0], scale[0]) : code;
	sum[1] = scale[0];
	code = add_node(q, l->node, "Mul", sum, base, "_product", NULL, 0, &product[0]);
	return code == PARE_OK ? become(q, l->node, "Add", product[0], g->values[node->in[2]].name) : code;
}

static enum pare_code put_running_layer(struct quantizer *q, const struct pare_quant_layer *l)
{
	const struct pare_tensor *t = q->m->graph.values[l->weight].init;
	float *w = pare_alloc((t->n_elems + 1) * sizeof *w);
	enum pare_code code = w != NULL ? pare_tensor_read_f32(t, w, q->err) : pare_err_nomem(q->err, t->n_elems * sizeof *w);

	if (code == PARE_OK)
		code = put_integer_product(q, l, w);
	pare_free(w);
	return code;
}

static enum pare_code put_layer(struct quantizer *q, const struct pare_quant_layer *l)
{
	enum pare_code code = PARE_OK;

	if (q->opt->dynamic)
		return put_running_layer(q, l);
	if (q->opt->activations)
		code = put_x(q, l);
	if (code == PARE_OK)
		code = put_weight(q, l);
	return code == PARE_OK && l->bias >= 0 ? put_bias(q, l) : code;
}

enum pare_code pare_quantize(const struct pare_model *m, const struct pare_quantize_options *opt, const struct pare_quant_layer *layers, int n,
    struct pare_rewrite *out, struct pare_err *err)
{
	struct quantizer q = {.m = m, .opt = opt, .rw = out, .err = err};
	enum pare_code code = pare_rewrite_init(out, m, err);

	if (code != PARE_OK)
		return code;
	q.weight_names = pare_arena_array(&out->arena, (size_t)m->graph.n_values + 1, sizeof *q.weight_names);
	q.x_names = pare_arena_array(&out->arena, (size_t)m->graph.n_values + 1, sizeof *q.x_names);
	if (q.weight_names == NULL || q.x_names == NULL)
		return pare_err_nomem(err, 0);
	for (int i = 0; i < n && code == PARE_OK; i++)
		code = put_layer(&q, &layers[i]);
	return code == PARE_OK ? pare_rewrite_drop_dead(out, &m->graph, err) : code;
}
