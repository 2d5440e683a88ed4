/* A chain of layers as an ONNX file. It lives here and not in core/graph because it writes protobuf; core/graph/arch.h
 * is what the rest sees.
 *
 * The file is written front to back into one buffer (pare_wire_begin and _end slide each length in), so a model of 100 MB
 * needs 100 MB. The size of the parameters is compared with the buffer's cap before a single random number is drawn.
 *
 * Initial weights: He normal, std = sqrt(2 / fan_in), before Relu (He et al. 2015); Glorot uniform in
 * +-sqrt(6 / (fan_in + fan_out)) before everything else (Glorot and Bengio 2010). Each layer draws from a stream of its own,
 * so changing one layer's size leaves the start of the others alone.
 *
 * The ratio of a Dropout is an input since opset 12. It comes from a Constant node's value_float, not from an initializer, so
 * that nothing takes it for a parameter. */
#include "core/graph/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

#define NAME_MAX_BYTES 32
#define MAX_UNITS ((int64_t)1 << 31)
#define MAX_LAYERS 1000
#define MAX_WINDOW 1024
#define ATTR_TYPE_FLOAT 1
#define ATTR_TYPE_INT 2
#define ATTR_TYPE_INTS 7

static const struct {
	const char *op;
	const char *prefix;
	bool has_axis;
} activation_table[] = {
    [PARE_ACT_NONE] = {NULL, NULL, false},
    [PARE_ACT_RELU] = {"Relu", "relu", false},
    [PARE_ACT_SIGMOID] = {"Sigmoid", "sigmoid", false},
    [PARE_ACT_TANH] = {"Tanh", "tanh", false},
    [PARE_ACT_SOFTMAX] = {"Softmax", "softmax", true},
    [PARE_ACT_LOG_SOFTMAX] = {"LogSoftmax", "logsoftmax", true},
};
#define N_ACTIVATIONS (sizeof activation_table / sizeof activation_table[0])

struct attr_spec {
	const char *name; /* NULL: none */
	bool is_float;
	float f;
	int64_t i;
	int n; /* > 0: a list that holds i so many times */
};
#define NO_ATTRS ((const struct attr_spec[]){{.name = NULL}})

/* The value between two layers, without the batch. */
struct value_shape {
	int n_dims;
	int64_t dims[4];
};

static int64_t features_of(const struct value_shape *s)
{
	int64_t n = 1;

	for (int i = 0; i < s->n_dims; i++)
		n *= s->dims[i];
	return n;
}

/* What a layer that has been checked makes of its input. */
static void advance(const struct pare_arch_layer *l, struct value_shape *s)
{
	if (l->kernel == 0) {
		*s = (struct value_shape){1, {l->units}};
		return;
	}
	s->dims[0] = l->units;
	for (int i = 1; i < 3; i++) {
		s->dims[i] += 2 * l->pad - l->kernel + 1;
		s->dims[i] /= l->pool > 1 ? l->pool : 1;
	}
}

static const char *layer_kind(const struct pare_arch_layer *l)
{
	return l->kernel > 0 ? "conv" : "fc";
}

static void put_attr(struct pare_buf *b, const struct attr_spec *a)
{
	size_t mark = pare_wire_begin(b, NODE_ATTRIBUTE);

	pare_wire_put_str(b, ATTR_NAME, a->name);
	for (int i = 0; i < a->n; i++)
		pare_wire_put_int(b, ATTR_INTS, a->i);
	if (a->is_float)
		pare_wire_put_float(b, ATTR_F, a->f);
	else if (a->n == 0)
		pare_wire_put_int(b, ATTR_I, a->i);
	pare_wire_put_int(b, ATTR_TYPE, a->is_float ? ATTR_TYPE_FLOAT : a->n > 0 ? ATTR_TYPE_INTS : ATTR_TYPE_INT);
	pare_wire_end(b, mark);
}

/* in ends at the first NULL of at most three, attrs at the first without a name. */
static void put_node(struct pare_buf *b, const char *op, const char *name, const char *const in[3], const char *out, const struct attr_spec *attrs)
{
	size_t mark = pare_wire_begin(b, GRAPH_NODE);

	for (int i = 0; i < 3 && in[i] != NULL; i++)
		pare_wire_put_str(b, NODE_INPUT, in[i]);
	pare_wire_put_str(b, NODE_OUTPUT, out);
	pare_wire_put_str(b, NODE_NAME, name);
	pare_wire_put_str(b, NODE_OP_TYPE, op);
	for (; attrs->name != NULL; attrs++)
		put_attr(b, attrs);
	pare_wire_end(b, mark);
}

/* Runs through the steps of the net in order; value holds the name of what the last step made. */
struct chain {
	struct pare_buf *b;
	int steps_left;
	char value[NAME_MAX_BYTES];
};

static void put_step(struct chain *c, const char *op, const char *name, const char *in1, const char *in2, const struct attr_spec *attrs)
{
	char out[NAME_MAX_BYTES];
	const char *in[3] = {c->value, in1, in2};

	c->steps_left--;
	(void)snprintf(out, sizeof out, c->steps_left == 0 ? "output" : "%s_out", name);
	put_node(c->b, op, name, in, out, attrs);
	memcpy(c->value, out, sizeof out);
}

static void put_dropout(struct chain *c, int nth, float ratio)
{
	const char *const none[3] = {NULL};
	char name[NAME_MAX_BYTES], ratio_name[NAME_MAX_BYTES];

	(void)snprintf(name, sizeof name, "dropout%d", nth);
	(void)snprintf(ratio_name, sizeof ratio_name, "dropout%d.ratio", nth);
	put_node(c->b, "Constant", ratio_name, none, ratio_name,
	    (const struct attr_spec[]){{.name = "value_float", .is_float = true, .f = ratio}, {.name = NULL}});
	put_step(c, "Dropout", name, ratio_name, NULL, NO_ATTRS);
}

static void put_layer(struct chain *c, const struct pare_arch_layer *l, int nth)
{
	char name[NAME_MAX_BYTES], weight[NAME_MAX_BYTES], bias[NAME_MAX_BYTES];

	(void)snprintf(name, sizeof name, "%s%d", layer_kind(l), nth);
	(void)snprintf(weight, sizeof weight, "%s%d.weight", layer_kind(l), nth);
	(void)snprintf(bias, sizeof bias, "%s%d.bias", layer_kind(l), nth);
	if (l->kernel > 0)
		put_step(c, "Conv", name, weight, bias, (const struct attr_spec[]){{.name = "kernel_shape", .i = l->kernel, .n = 2}, {.name = "pads", .i = l->pad, .n = 4}, {.name = NULL}});
	else
		put_step(c, "Gemm", name, weight, bias, (const struct attr_spec[]){{.name = "transB", .i = 1}, {.name = NULL}});
	if (l->activation != PARE_ACT_NONE) {
		(void)snprintf(name, sizeof name, "%s%d", activation_table[l->activation].prefix, nth);
		put_step(c, activation_table[l->activation].op, name, NULL, NULL,
		    (const struct attr_spec[]){{.name = activation_table[l->activation].has_axis ? "axis" : NULL, .i = -1}, {.name = NULL}});
	}
	if (l->pool > 1) {
		(void)snprintf(name, sizeof name, "pool%d", nth);
		put_step(c, "MaxPool", name, NULL, NULL, (const struct attr_spec[]){{.name = "kernel_shape", .i = l->pool, .n = 2}, {.name = "strides", .i = l->pool, .n = 2}, {.name = NULL}});
	}
	if (l->dropout > 0)
		put_dropout(c, nth, l->dropout);
}

/* Is this the first fully connected layer, with something before it that is not flat? */
static bool flattens(const struct pare_arch_layer *l, const struct value_shape *s)
{
	return l->kernel == 0 && s->n_dims > 1;
}

static int count_steps(const struct pare_arch *arch)
{
	struct value_shape s = {.n_dims = arch->n_input_dims};
	int n = 0;

	memcpy(s.dims, arch->input_dims, sizeof s.dims);
	for (int i = 0; i < arch->n_layers; i++) {
		const struct pare_arch_layer *l = &arch->layers[i];

		n += flattens(l, &s) + 1 + (l->activation != PARE_ACT_NONE) + (l->pool > 1) + (l->dropout > 0);
		advance(l, &s);
	}
	return n;
}

static void put_nodes(struct pare_buf *b, const struct pare_arch *arch)
{
	struct chain c = {.b = b, .steps_left = count_steps(arch), .value = "input"};
	struct value_shape s = {.n_dims = arch->n_input_dims};

	memcpy(s.dims, arch->input_dims, sizeof s.dims);
	for (int i = 0; i < arch->n_layers; i++) {
		if (flattens(&arch->layers[i], &s))
			put_step(&c, "Flatten", "flatten", NULL, NULL, (const struct attr_spec[]){{.name = "axis", .i = 1}, {.name = NULL}});
		put_layer(&c, &arch->layers[i], i + 1);
		advance(&arch->layers[i], &s);
	}
}

static float draw(struct pare_rng *rng, enum pare_activation activation, double fan_in, double fan_out)
{
	if (activation == PARE_ACT_RELU)
		return (float)(pare_rng_normal(rng) * sqrt(2.0 / fan_in));
	return (float)((2.0 * (double)pare_rng_uniform(rng) - 1.0) * sqrt(6.0 / (fan_in + fan_out)));
}

/* A TensorProto whose raw_data the caller appends between the marks. */
static void begin_tensor(struct pare_buf *b, const char *kind, const char *suffix, int nth, int n_dims, const int64_t *dims, size_t marks[2])
{
	char name[NAME_MAX_BYTES];

	(void)snprintf(name, sizeof name, "%s%d.%s", kind, nth, suffix);
	marks[0] = pare_wire_begin(b, GRAPH_INITIALIZER);
	for (int i = 0; i < n_dims; i++)
		pare_wire_put_int(b, TENSOR_DIMS, dims[i]);
	pare_wire_put_int(b, TENSOR_DATA_TYPE, PARE_DT_FLOAT);
	pare_wire_put_str(b, TENSOR_NAME, name);
	marks[1] = pare_wire_begin(b, TENSOR_RAW_DATA);
}

static void end_tensor(struct pare_buf *b, const size_t marks[2])
{
	pare_wire_end(b, marks[1]);
	pare_wire_end(b, marks[0]);
}

/* in: the layer's input. */
static void put_params(struct pare_buf *b, const struct pare_arch_layer *l, int nth, const struct value_shape *in, uint64_t seed)
{
	int64_t taps = l->kernel > 0 ? l->kernel * l->kernel : 1, fan_in = (l->kernel > 0 ? in->dims[0] : features_of(in)) * taps;
	const int64_t dims[4] = {l->units, l->kernel > 0 ? in->dims[0] : fan_in, l->kernel, l->kernel};
	const float zero = 0;
	struct pare_rng rng;
	size_t marks[2];

	pare_rng_init(&rng, seed, "init", (uint64_t)(nth - 1));
	begin_tensor(b, layer_kind(l), "weight", nth, l->kernel > 0 ? 4 : 2, dims, marks);
	for (int64_t i = 0; i < l->units * fan_in && !b->failed; i++) {
		float w = draw(&rng, l->activation, (double)fan_in, (double)(l->units * taps));

		(void)pare_buf_add(b, &w, sizeof w);
	}
	end_tensor(b, marks);
	begin_tensor(b, layer_kind(l), "bias", nth, 1, dims, marks);
	for (int64_t i = 0; i < l->units && !b->failed; i++)
		(void)pare_buf_add(b, &zero, sizeof zero);
	end_tensor(b, marks);
}

static void put_value_info(struct pare_buf *b, uint32_t field, const char *name, int n_dims, const int64_t *dims)
{
	size_t value = pare_wire_begin(b, field), type, tensor, shape, dim;

	pare_wire_put_str(b, VALUE_NAME, name);
	type = pare_wire_begin(b, VALUE_TYPE);
	tensor = pare_wire_begin(b, TYPE_TENSOR);
	pare_wire_put_int(b, TENSOR_TYPE_ELEM, PARE_DT_FLOAT);
	shape = pare_wire_begin(b, TENSOR_TYPE_SHAPE);
	dim = pare_wire_begin(b, SHAPE_DIM);
	pare_wire_put_str(b, DIM_PARAM, "N");
	pare_wire_end(b, dim);
	for (int i = 0; i < n_dims; i++) {
		dim = pare_wire_begin(b, SHAPE_DIM);
		pare_wire_put_int(b, DIM_VALUE, dims[i]);
		pare_wire_end(b, dim);
	}
	pare_wire_end(b, shape);
	pare_wire_end(b, tensor);
	pare_wire_end(b, type);
	pare_wire_end(b, value);
}

static enum pare_code check_input(const struct pare_arch *arch, struct pare_err *err)
{
	int64_t n = 1;

	if (arch->n_input_dims < 1 || arch->n_input_dims > 4)
		return pare_err_set(err, PARE_E_INVALID, "input", "the input has %d dimensions; 1 to 4 are possible", arch->n_input_dims);
	for (int i = 0; i < arch->n_input_dims; i++)
		if (arch->input_dims[i] < 1 || __builtin_mul_overflow(n, arch->input_dims[i], &n) || n > MAX_UNITS)
			return pare_err_set(err, PARE_E_INVALID, "input", "dimension %d is %lld; dimensions are at least 1 and their product at most %lld",
			    i, (long long)arch->input_dims[i], (long long)MAX_UNITS);
	if (arch->n_layers < 1 || arch->n_layers > MAX_LAYERS)
		return pare_err_set(err, PARE_E_INVALID, "layers", "there are %d layers; 1 to %d are possible", arch->n_layers, MAX_LAYERS);
	return PARE_OK;
}

/* A convolution, its padding and its pool on what comes before. */
static enum pare_code check_window(const struct pare_arch_layer *l, const struct value_shape *in, struct pare_err *err)
{
	if (l->kernel == 0 && l->pool <= 1 && l->pad == 0)
		return PARE_OK;
	if (l->kernel == 0)
		return pare_err_set(err, PARE_E_INVALID, NULL, "pad and pool are for layers with a kernel");
	if (in->n_dims != 3)
		return pare_err_set(err, PARE_E_INVALID, NULL, "a convolution needs an input of channels, height and width, not one of %d dimension%s", in->n_dims, in->n_dims == 1 ? "" : "s");
	if (l->kernel < 0 || l->kernel > MAX_WINDOW || l->pad < 0 || l->pad > MAX_WINDOW || l->pool < 0 || l->pool > MAX_WINDOW)
		return pare_err_set(err, PARE_E_INVALID, NULL, "kernel, pad and pool are at most %d", MAX_WINDOW);
	for (int i = 1; i < 3; i++) {
		int64_t left = in->dims[i] + 2 * l->pad - l->kernel + 1;

		if (left < 1 || left / (l->pool > 1 ? l->pool : 1) < 1)
			return pare_err_set(err, PARE_E_INVALID, NULL, "nothing is left of %lld positions by a kernel of %lld, a pad of %lld and a pool of %lld", (long long)in->dims[i],
			    (long long)l->kernel, (long long)l->pad, (long long)l->pool);
	}
	return PARE_OK;
}

static enum pare_code check_values(const struct pare_arch_layer *l, const struct value_shape *in, struct pare_err *err)
{
	if (l->units < 1 || l->units > MAX_UNITS)
		return pare_err_set(err, PARE_E_INVALID, NULL, "units is %lld; 1 to %lld are possible", (long long)l->units, (long long)MAX_UNITS);
	if ((size_t)l->activation >= N_ACTIVATIONS)
		return pare_err_set(err, PARE_E_INVALID, NULL, "the activation is unknown");
	if (!(l->dropout >= 0 && l->dropout < 1))
		return pare_err_set(err, PARE_E_INVALID, NULL, "dropout is %g; it must be at least 0 and less than 1", (double)l->dropout);
	return check_window(l, in, err);
}

/* Adds the bytes of a layer's parameters to *bytes. */
static enum pare_code check_layer(const struct pare_arch_layer *l, int nth, const struct value_shape *in, size_t *bytes, struct pare_err *err)
{
	enum pare_code code = check_values(l, in, err);
	int64_t fan_in, outputs;
	size_t n = SIZE_MAX;

	if (code != PARE_OK) {
		(void)pare_err_at(err, "layer %d", nth);
		return code;
	}
	fan_in = l->kernel > 0 ? in->dims[0] * l->kernel * l->kernel : features_of(in);
	if (!pare_mul_size((size_t)l->units, (size_t)fan_in + 1, &n) || !pare_mul_size(n, sizeof(float), &n) || !pare_add_size(*bytes, n, bytes))
		*bytes = SIZE_MAX;
	if (l->kernel > 0 && (__builtin_mul_overflow(l->units, in->dims[1] + 2 * l->pad, &outputs) || __builtin_mul_overflow(outputs, in->dims[2] + 2 * l->pad, &outputs) || outputs > MAX_UNITS))
		return pare_err_set(err, PARE_E_LIMIT, "layers", "layer %d has more than %lld outputs", nth, (long long)MAX_UNITS);
	return PARE_OK;
}

static enum pare_code check_arch(const struct pare_arch *arch, const struct pare_buf *out, struct pare_err *err)
{
	struct value_shape s = {.n_dims = arch->n_input_dims};
	enum pare_code code = check_input(arch, err);
	size_t bytes = 0;

	memcpy(s.dims, arch->input_dims, sizeof s.dims);
	for (int i = 0; i < arch->n_layers && code == PARE_OK; i++) {
		code = check_layer(&arch->layers[i], i + 1, &s, &bytes, err);
		if (code == PARE_OK && bytes > out->cap_bytes - out->len)
			return pare_err_set(err, PARE_E_LIMIT, "layers", "the parameters up to layer %d need more than the %zu bytes that a model may have", i + 1,
			    out->cap_bytes);
		if (code == PARE_OK)
			advance(&arch->layers[i], &s);
	}
	return code;
}

static void put_graph(struct pare_buf *b, const struct pare_arch *arch)
{
	size_t graph = pare_wire_begin(b, MODEL_GRAPH);
	struct value_shape s = {.n_dims = arch->n_input_dims};

	memcpy(s.dims, arch->input_dims, sizeof s.dims);
	put_nodes(b, arch);
	pare_wire_put_str(b, GRAPH_NAME, "net");
	for (int i = 0; i < arch->n_layers; i++) {
		put_params(b, &arch->layers[i], i + 1, &s, arch->seed);
		advance(&arch->layers[i], &s);
	}
	put_value_info(b, GRAPH_INPUT, "input", arch->n_input_dims, arch->input_dims);
	put_value_info(b, GRAPH_OUTPUT, "output", s.n_dims, s.dims);
	pare_wire_end(b, graph);
}

enum pare_code pare_arch_build(const struct pare_arch *arch, struct pare_buf *out, struct pare_err *err)
{
	enum pare_code code = check_arch(arch, out, err);
	size_t opset;

	if (code != PARE_OK)
		return code;
	pare_wire_put_int(out, MODEL_IR_VERSION, 8);
	pare_wire_put_str(out, MODEL_PRODUCER_NAME, "pared");
	pare_wire_put_str(out, MODEL_PRODUCER_VERSION, PARE_VERSION);
	put_graph(out, arch);
	opset = pare_wire_begin(out, MODEL_OPSET_IMPORT);
	pare_wire_put_str(out, OPSET_DOMAIN, "");
	pare_wire_put_int(out, OPSET_VERSION, 17);
	pare_wire_end(out, opset);
	return pare_buf_status(out, err);
}
