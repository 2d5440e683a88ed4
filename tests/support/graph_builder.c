/* Everything stands in fixed arrays inside one allocation, so that pointers into it stay valid while it grows. */
#include "tests/support/graph_builder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VALUES 320
#define MAX_NODES 192
#define MAX_PORTS 48
#define MAX_NAME 64

struct gb_node_store {
	struct pare_attr attrs[MAX_PORTS];
	int32_t in[MAX_PORTS], out[MAX_PORTS];
};

struct gb {
	struct pare_model model;
	struct pare_opset opsets[2];
	struct pare_value values[MAX_VALUES];
	struct pare_tensor tensors[MAX_VALUES];
	struct pare_node nodes[MAX_NODES];
	struct gb_node_store stores[MAX_NODES];
	int32_t inputs[MAX_VALUES], outputs[MAX_VALUES], inits[MAX_VALUES];
};

/* A copy of the n bytes at p in size zeroed bytes and one more. */
static char *keep(struct gb *b, const void *p, size_t n, size_t size)
{
	char *s = pare_arena_alloc(&b->model.arena, size + 1);

	assert(s != NULL);
	if (n > 0)
		memcpy(s, p, n);
	return s;
}

static char *keep_str(struct gb *b, const char *s)
{
	return keep(b, s, strlen(s), strlen(s));
}

struct gb *gb_new(int64_t opset)
{
	struct gb *b = pare_calloc(1, sizeof *b);

	assert(b != NULL);
	pare_arena_init(&b->model.arena, (size_t)1 << 28);
	b->opsets[0] = (struct pare_opset){.domain = "", .version = opset};
	b->model.opsets = b->opsets;
	b->model.n_opsets = 1;
	b->model.ir_version = 8;
	b->model.producer_name = b->model.producer_version = "";
	b->model.graph = (struct pare_graph){.name = "test", .nodes = b->nodes, .values = b->values, .inputs = b->inputs, .outputs = b->outputs, .inits = b->inits};
	return b;
}

void gb_free(struct gb *b)
{
	struct pare_model *copy;

	if (b == NULL)
		return;
	/* pare_model_free releases the struct as well, so it gets one of its own. */
	copy = pare_calloc(1, sizeof *copy);
	assert(copy != NULL);
	*copy = b->model;
	pare_model_free(copy);
	pare_free(b);
}

static int32_t value_of(struct gb *b, const char *name)
{
	struct pare_graph *g = &b->model.graph;
	struct pare_value *v;

	for (int32_t i = 0; i < g->n_values; i++)
		if (strcmp(b->values[i].name, name) == 0)
			return i;
	assert(g->n_values < MAX_VALUES);
	v = &b->values[g->n_values];
	v->name = keep_str(b, name);
	v->n_dims = -1;
	v->producer = -1;
	return g->n_values++;
}

static int parse_shape(const char *text, int64_t dims[PARE_MAX_DIMS])
{
	int n = 0;

	while (*text != '\0') {
		char *end;

		assert(n < PARE_MAX_DIMS);
		if (*text == 'N') {
			dims[n++] = PARE_DIM_UNKNOWN;
			text++;
		} else {
			dims[n++] = strtoll(text, &end, 10);
			assert(end != text);
			text = end;
		}
		while (*text == ' ')
			text++;
	}
	return n;
}

void gb_input_typed(struct gb *b, const char *name, const char *shape, int dtype)
{
	int32_t i = value_of(b, name);
	struct pare_value *v = &b->values[i];

	v->dtype = dtype;
	v->n_dims = parse_shape(shape, v->dims);
	v->is_input = true;
	b->inputs[b->model.graph.n_inputs++] = i;
}

void gb_input(struct gb *b, const char *name, const char *shape)
{
	gb_input_typed(b, name, shape, PARE_DT_FLOAT);
}

void gb_init_dims(struct gb *b, const char *name, int n_dims, const int64_t *dims, int dtype, const void *data, size_t n_bytes)
{
	int32_t i = value_of(b, name);
	struct pare_tensor *t = &b->tensors[i];

	t->name = b->values[i].name;
	t->dtype = dtype;
	t->n_dims = n_dims;
	t->n_elems = 1;
	for (int k = 0; k < n_dims; k++) {
		t->dims[k] = dims[k];
		t->n_elems *= (size_t)dims[k];
	}
	n_bytes = data != NULL ? n_bytes : t->n_elems * (size_t)pare_dtype_bits(dtype) / 8;
	t->raw = (struct pare_span){(const uint8_t *)keep(b, data, data != NULL ? n_bytes : 0, n_bytes), n_bytes};
	b->values[i].init = t;
	b->values[i].dtype = dtype;
	b->values[i].n_dims = n_dims;
	memcpy(b->values[i].dims, t->dims, sizeof t->dims);
	b->inits[b->model.graph.n_inits++] = i;
}

void gb_init_bytes(struct gb *b, const char *name, const char *shape, int dtype, const void *data, size_t n_bytes)
{
	int64_t dims[PARE_MAX_DIMS];
	int n = parse_shape(shape, dims);

	gb_init_dims(b, name, n, dims, dtype, data, n_bytes);
}

static size_t count(const char *shape)
{
	int64_t dims[PARE_MAX_DIMS];
	int n_dims = parse_shape(shape, dims);
	size_t n = 1;

	for (int i = 0; i < n_dims; i++)
		n *= (size_t)dims[i];
	return n;
}

void gb_init(struct gb *b, const char *name, const char *shape, const float *data)
{
	gb_init_bytes(b, name, shape, PARE_DT_FLOAT, data, count(shape) * sizeof *data);
}

void gb_init_i64(struct gb *b, const char *name, const char *shape, const int64_t *data)
{
	gb_init_bytes(b, name, shape, PARE_DT_INT64, data, count(shape) * sizeof *data);
}

static int ports(struct gb *b, const char *names, int32_t *out)
{
	int n = 0;

	while (*names != '\0') {
		char name[MAX_NAME] = {0};
		size_t len = strcspn(names, " ");

		assert(n < MAX_PORTS && len < MAX_NAME);
		memcpy(name, names, len);
		out[n++] = strcmp(name, "-") == 0 ? -1 : value_of(b, name);
		names += len;
		while (*names == ' ')
			names++;
	}
	return n;
}

void gb_node(struct gb *b, const char *op, const char *name, const char *in, const char *out)
{
	int32_t i = b->model.graph.n_nodes++;
	struct gb_node_store *s = &b->stores[i];

	assert(i < MAX_NODES);
	b->nodes[i] = (struct pare_node){.name = keep_str(b, name), .op_type = keep_str(b, op), .domain = "", .in = s->in, .out = s->out, .attrs = s->attrs};
	b->nodes[i].n_in = ports(b, in, s->in);
	b->nodes[i].n_out = ports(b, out, s->out);
	for (int k = 0; k < b->nodes[i].n_out; k++)
		if (s->out[k] >= 0)
			b->values[s->out[k]].producer = i;
}

static struct pare_attr *attr(struct gb *b, const char *name, enum pare_attr_type type)
{
	int32_t i = b->model.graph.n_nodes - 1;
	struct pare_attr *a = &b->stores[i].attrs[b->nodes[i].n_attrs++];

	assert(b->nodes[i].n_attrs <= MAX_PORTS);
	a->name = keep_str(b, name);
	a->type = type;
	return a;
}

void gb_attr_int(struct gb *b, const char *name, int64_t v)
{
	attr(b, name, PARE_ATTR_INT)->i = v;
}

void gb_attr_float(struct gb *b, const char *name, float v)
{
	attr(b, name, PARE_ATTR_FLOAT)->f = v;
}

void gb_attr_ints(struct gb *b, const char *name, const int64_t *v, size_t n)
{
	struct pare_attr *a = attr(b, name, PARE_ATTR_INTS);

	a->n = n;
	a->ints = (const int64_t *)(const void *)keep(b, v, n * sizeof *v, n * sizeof *v);
}

void gb_attr_floats(struct gb *b, const char *name, const float *v, size_t n)
{
	struct pare_attr *a = attr(b, name, PARE_ATTR_FLOATS);

	a->n = n;
	a->floats = (const float *)(const void *)keep(b, v, n * sizeof *v, n * sizeof *v);
}

void gb_attr_string(struct gb *b, const char *name, const char *text)
{
	struct pare_attr *a = attr(b, name, PARE_ATTR_STRING);

	a->s.data = (const uint8_t *)keep_str(b, text);
	a->s.len = strlen(text);
}

void gb_attr_strings(struct gb *b, const char *name, const char *const *texts, size_t n)
{
	struct pare_attr *a = attr(b, name, PARE_ATTR_STRINGS);
	struct pare_span spans[MAX_PORTS];

	assert(n <= MAX_PORTS);
	for (size_t i = 0; i < n; i++)
		spans[i] = (struct pare_span){(const uint8_t *)keep_str(b, texts[i]), strlen(texts[i])};
	a->n = n;
	a->strings = (const struct pare_span *)(const void *)keep(b, spans, n * sizeof *spans, n * sizeof *spans);
}

void gb_attr_tensor(struct gb *b, const char *name, const char *init)
{
	int32_t v = value_of(b, init);

	assert(b->values[v].init != NULL);
	attr(b, name, PARE_ATTR_TENSOR)->t = b->values[v].init;
}

void gb_domain(struct gb *b, const char *domain)
{
	b->nodes[b->model.graph.n_nodes - 1].domain = keep_str(b, domain);
}

void gb_import(struct gb *b, const char *domain, int64_t version)
{
	b->opsets[b->model.n_opsets++] = (struct pare_opset){.domain = keep_str(b, domain), .version = version};
}

void gb_output(struct gb *b, const char *name)
{
	int32_t i = value_of(b, name);

	b->values[i].is_output = true;
	b->outputs[b->model.graph.n_outputs++] = i;
}

struct pare_model *gb_model(struct gb *b)
{
	return &b->model;
}
