/* Model-local functions: inlined where they are called, so that a model with them counts, runs and is written like any
 * other; and what hostile ones get. Control flow, which is carried and not run. */
#include <time.h>

#include "core/graph/net.h"
#include "tests/core/onnx/models.h"

static void names(struct pare_buf *b, uint32_t field, const char *list)
{
	char text[128];

	(void)snprintf(text, sizeof text, "%s", list);
	for (char *rest = text, *name; (name = strsep(&rest, " ")) != NULL;)
		pare_wire_put_str(b, field, strcmp(name, "-") == 0 ? "" : name);
}

/* An attribute "name=value" (float), or "name:other", which refers to an attribute of the function around. */
static void attribute(struct pare_buf *b, uint32_t field, const char *text)
{
	size_t mark = pare_wire_begin(b, field), n = strcspn(text, "=:");
	char name[32];

	(void)snprintf(name, sizeof name, "%.*s", (int)n, text);
	pare_wire_put_str(b, ATTR_NAME, name);
	if (text[n] == ':') {
		pare_wire_put_str(b, ATTR_REF_NAME, text + n + 1);
	} else {
		float f = strtof(text + n + 1, NULL);
		uint8_t bytes[5] = {ATTR_F << 3 | 5};

		memcpy(bytes + 1, &f, sizeof f);
		ck_assert(pare_buf_add(b, bytes, sizeof bytes));
	}
	pare_wire_put_int(b, ATTR_TYPE, 1);
	pare_wire_end(b, mark);
}

static void call(struct pare_buf *b, uint32_t field, const char *domain, const char *op, const char *in, const char *out, const char *attr)
{
	size_t mark = pare_wire_begin(b, field);

	names(b, NODE_INPUT, in);
	names(b, NODE_OUTPUT, out);
	pare_wire_put_str(b, NODE_NAME, op);
	pare_wire_put_str(b, NODE_OP_TYPE, op);
	pare_wire_put_str(b, NODE_DOMAIN, domain);
	if (attr != NULL)
		attribute(b, NODE_ATTRIBUTE, attr);
	pare_wire_end(b, mark);
}

static size_t function_begin(struct pare_buf *b, const char *name, const char *in, const char *out, int64_t opset)
{
	size_t mark = pare_wire_begin(b, MODEL_FUNCTIONS), import;

	pare_wire_put_str(b, FUNCTION_NAME, name);
	pare_wire_put_str(b, FUNCTION_DOMAIN, "my");
	names(b, FUNCTION_INPUT, in);
	names(b, FUNCTION_OUTPUT, out);
	import = pare_wire_begin(b, FUNCTION_OPSET_IMPORT);
	pare_wire_put_int(b, OPSET_VERSION, opset);
	pare_wire_end(b, import);
	return mark;
}

/* graph.input or graph.output: float [N, 2]. */
static void port(struct pare_buf *b, uint32_t field, const char *name)
{
	size_t v = pare_wire_begin(b, field), type, tensor, shape, dim;

	pare_wire_put_str(b, VALUE_NAME, name);
	type = pare_wire_begin(b, VALUE_TYPE);
	tensor = pare_wire_begin(b, TYPE_TENSOR);
	pare_wire_put_int(b, TENSOR_TYPE_ELEM, PARE_DT_FLOAT);
	shape = pare_wire_begin(b, TENSOR_TYPE_SHAPE);
	dim = pare_wire_begin(b, SHAPE_DIM);
	pare_wire_put_str(b, DIM_PARAM, "N");
	pare_wire_end(b, dim);
	dim = pare_wire_begin(b, SHAPE_DIM);
	pare_wire_put_int(b, DIM_VALUE, 2);
	pare_wire_end(b, dim);
	pare_wire_end(b, shape);
	pare_wire_end(b, tensor);
	pare_wire_end(b, type);
	pare_wire_end(b, v);
}

/* negleak(a; alpha = 0.5) = -LeakyRelu(a; alpha); both(a; beta) = negleak(a; beta), negleak(that). */
static void leaks(struct pare_buf *b)
{
	size_t f = function_begin(b, "negleak", "a", "b", 17);

	call(b, FUNCTION_NODE, "", "LeakyRelu", "a", "t", "alpha:alpha");
	call(b, FUNCTION_NODE, "", "Neg", "t", "b", NULL);
	attribute(b, FUNCTION_ATTRIBUTE_PROTO, "alpha=0.5");
	pare_wire_end(b, f);
	f = function_begin(b, "both", "a", "p q", 17);
	call(b, FUNCTION_NODE, "my", "negleak", "a", "p", "alpha:beta");
	call(b, FUNCTION_NODE, "my", "negleak", "p", "q", NULL);
	pare_wire_end(b, f);
}

static void run(const struct pare_model *m, const float x[2], float *out)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1, .seed = 1};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	enum pare_code code = pare_net_new(m, &opt, &net, &err);

	ck_assert_msg(code == PARE_OK, "%s: %s", err.where, err.message);
	memcpy(pare_net_shard_input(net, 0, 0), x, 2 * sizeof *x);
	pare_net_shard_forward(net, 0, 1, false, 0, 0);
	for (int i = 0; i < pare_net_n_outputs(net); i++)
		memcpy(out + (size_t)i * 2, pare_net_shard_output(net, 0, i), 2 * sizeof *out);
	pare_net_free(net);
}

static struct pare_model *read_model(const struct built *b)
{
	struct pare_model *m = NULL;
	struct pare_err err = {0};

	ck_assert_msg(pare_onnx_read(model_span(b), &m, &err) == PARE_OK, "%s: %s", err.where, err.message);
	return m;
}

/* Nested, called twice, attributes handed down and defaulted, an output that is not wanted; written back as it came. */
START_TEST(nested)
{
	static const float x[2] = {-4, 8}, want[6] = {1, -8, -1, 4, -1, 4};
	struct pare_buf out;
	struct pare_model *m;
	struct pare_err err;
	struct built b;
	float y[6];

	model_begin(&b);
	call(&b.b, GRAPH_NODE, "my", "both", "x", "y0 y1", "beta=0.25");
	call(&b.b, GRAPH_NODE, "my", "both", "x", "- y2", "beta=0.25");
	port(&b.b, GRAPH_INPUT, "x");
	port(&b.b, GRAPH_OUTPUT, "y0");
	port(&b.b, GRAPH_OUTPUT, "y1");
	port(&b.b, GRAPH_OUTPUT, "y2");
	model_end(&b);
	leaks(&b.b);
	m = read_model(&b);
	ck_assert_int_eq(m->graph.n_nodes, 8);
	ck_assert(m->graph.nodes[0].inlined && !m->graph.nodes[0].repeated && m->graph.nodes[2].repeated && m->graph.nodes[7].repeated);
	run(m, x, y);
	ck_assert_mem_eq(y, want, sizeof want);
	pare_buf_init(&out, MODEL_CAP);
	ck_assert_int_eq(pare_onnx_write(m, &out, &err), PARE_OK);
	ck_assert_uint_eq(out.len, b.b.len);
	ck_assert_mem_eq(out.data, b.b.data, out.len);
	pare_buf_done(&out);
	pare_model_free(m);
	pare_buf_done(&b.b);
}
END_TEST

/* An initializer that only a function computes with is a parameter like any other: it is replaced where it stands. */
START_TEST(weights_stay_prunable)
{
	static const int64_t dims[2] = {2, 2};
	static const float w[4] = {1, 2, 3, 4}, pruned[4] = {0, 0, 3, 4}, x[2] = {1, 1};
	struct pare_model_counts counts;
	struct pare_model *m;
	struct pare_err err;
	struct built b;
	struct pare_buf out;
	float y[2];
	size_t t, f;

	model_begin(&b);
	call(&b.b, GRAPH_NODE, "my", "product", "x w", "y", NULL);
	port(&b.b, GRAPH_INPUT, "x");
	port(&b.b, GRAPH_OUTPUT, "y");
	t = model_tensor_begin(&b, "w", PARE_DT_FLOAT, 2, dims);
	pare_wire_put_bytes(&b.b, TENSOR_RAW_DATA, w, sizeof w);
	pare_wire_end(&b.b, t);
	model_end(&b);
	f = function_begin(&b.b, "product", "a b", "c", 17);
	call(&b.b, FUNCTION_NODE, "", "MatMul", "a b", "c", NULL);
	pare_wire_end(&b.b, f);
	m = read_model(&b);
	ck_assert_int_eq(pare_model_set_init_f32(m, pare_graph_find_value(&m->graph, "w"), pruned, &err), PARE_OK);
	ck_assert_int_eq(pare_model_count(m, &counts, &err), PARE_OK);
	ck_assert(counts.n_weights == 4 && counts.n_weights_nonzero == 2);
	pare_buf_init(&out, MODEL_CAP);
	ck_assert_int_eq(pare_onnx_write(m, &out, &err), PARE_OK);
	pare_model_free(m);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)out.data, out.len}, &m, &err), PARE_OK);
	run(m, x, y);
	ck_assert(y[0] == 3 && y[1] == 4);
	pare_model_free(m);
	pare_buf_done(&out);
	pare_buf_done(&b.b);
}
END_TEST

/* A function means its operators as the version that it imports does; an input that its call leaves out is left out within. */
START_TEST(own_opset_and_left_out_inputs)
{
	static const float x[2] = {-4, 8};
	struct pare_model *m;
	struct built b;
	float y[2];
	size_t f;

	model_begin(&b);
	call(&b.b, GRAPH_NODE, "my", "clip", "x", "y", NULL);
	port(&b.b, GRAPH_INPUT, "x");
	port(&b.b, GRAPH_OUTPUT, "y");
	model_end(&b);
	f = function_begin(&b.b, "clip", "a low", "b", 8);
	call(&b.b, FUNCTION_NODE, "", "Clip", "a", "t", "min=-1.0");
	call(&b.b, FUNCTION_NODE, "my", "inner", "t low", "b", NULL);
	pare_wire_end(&b.b, f);
	f = function_begin(&b.b, "inner", "a low", "b", 13);
	call(&b.b, FUNCTION_NODE, "", "Clip", "a low", "b", NULL);
	pare_wire_end(&b.b, f);
	m = read_model(&b);
	run(m, x, y);
	ck_assert(y[0] == -1 && y[1] == 8);
	pare_model_free(m);
	pare_buf_done(&b.b);
}
END_TEST

static void begin_call(struct built *b, const char *op, const char *in)
{
	model_begin(b);
	call(&b->b, GRAPH_NODE, "my", op, in, "y", NULL);
	port(&b->b, GRAPH_INPUT, "x");
	port(&b->b, GRAPH_OUTPUT, "y");
	model_end(b);
}

START_TEST(recursion)
{
	struct built b;
	size_t f;

	begin_call(&b, "f", "x");
	f = function_begin(&b.b, "f", "a", "b", 17);
	call(&b.b, FUNCTION_NODE, "my", "g", "a", "b", NULL);
	pare_wire_end(&b.b, f);
	f = function_begin(&b.b, "g", "a", "b", 17);
	call(&b.b, FUNCTION_NODE, "my", "f", "a", "b", NULL);
	pare_wire_end(&b.b, f);
	expect(&b, PARE_E_MODEL, "node \"f\" (f)", "function \"f\" calls itself");
}
END_TEST

START_TEST(too_many_inputs)
{
	struct built b;
	size_t f;

	begin_call(&b, "f", "x x");
	f = function_begin(&b.b, "f", "a", "b", 17);
	call(&b.b, FUNCTION_NODE, "", "Neg", "a", "b", NULL);
	pare_wire_end(&b.b, f);
	expect(&b, PARE_E_MODEL, "node \"f\" (f)", "the call has 2 inputs, but the function has 1");
}
END_TEST

/* n functions, each calling the next `width` times in a row. */
static void chain(struct built *b, int n, int width)
{
	begin_call(b, "f0", "x");
	for (int i = 0; i < n; i++) {
		char name[16], next[16];
		size_t f;

		(void)snprintf(name, sizeof name, "f%d", i);
		(void)snprintf(next, sizeof next, "f%d", i + 1);
		f = function_begin(&b->b, name, "a", "b", 17);
		for (int k = 0; k < width; k++) {
			char in[16], out[16];

			(void)snprintf(in, sizeof in, k == 0 ? "a" : "t%d", k);
			(void)snprintf(out, sizeof out, k == width - 1 ? "b" : "t%d", k + 1);
			call(&b->b, FUNCTION_NODE, i == n - 1 ? "" : "my", i == n - 1 ? "Neg" : next, in, out, NULL);
		}
		pare_wire_end(&b->b, f);
	}
}

#ifdef PARE_SANITIZED
#define PATIENCE 20
#else
#define PATIENCE 1
#endif
static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

START_TEST(depth)
{
	struct built b;

	chain(&b, 30, 1);
	expect(&b, PARE_OK, NULL, NULL);
	chain(&b, 40, 1);
	expect(&b, PARE_E_LIMIT, "node \"f", "more than 32 deep");
}
END_TEST

START_TEST(doubling)
{
	double start = seconds();
	struct built b;

	chain(&b, 30, 2);
	expect(&b, PARE_E_LIMIT, NULL, NULL);
	ck_assert(seconds() - start < 5 * PATIENCE);
}
END_TEST

/* Ten thousand parameters, and as many nodes that use the last one. */
START_TEST(comparisons)
{
	double start = seconds();
	struct built b;
	size_t f;

	begin_call(&b, "f", "x");
	f = function_begin(&b.b, "f", "a", "b", 17);
	for (int i = 0; i < 10000; i++)
		pare_wire_put_str(&b.b, FUNCTION_INPUT, "unused");
	for (int i = 0; i < 10000; i++) {
		char out[16];

		(void)snprintf(out, sizeof out, "t%d", i);
		call(&b.b, FUNCTION_NODE, "", "Neg", i == 0 ? "a" : "t0", out, NULL);
	}
	pare_wire_end(&b.b, f);
	expect(&b, PARE_E_LIMIT, NULL, "too many nodes and parameters");
	ck_assert(seconds() - start < 5 * PATIENCE);
}
END_TEST

/* A model with a node that has graphs of its own is read, its weights can be changed, and running it is refused by name. */
START_TEST(control_flow)
{
	static const char *const op_table[][2] = {{"If", "then_branch"}, {"Loop", "body"}, {"Scan", "body"}};
	static const int64_t dims[2] = {2, 2};
	static const float w[4] = {1, 2, 3, 4}, pruned[4] = {0, 0, 0, 4};
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1, .seed = 1};

	for (size_t i = 0; i < 3; i++) {
		struct pare_net *net = NULL;
		struct pare_model *m;
		struct pare_err err = {0};
		struct built b;
		size_t node, attr, graph, t;
		char where[32], message[80];

		model_begin(&b);
		node = pare_wire_begin(&b.b, GRAPH_NODE);
		names(&b.b, NODE_INPUT, "x w");
		names(&b.b, NODE_OUTPUT, "y");
		pare_wire_put_str(&b.b, NODE_NAME, "branch");
		pare_wire_put_str(&b.b, NODE_OP_TYPE, op_table[i][0]);
		attr = pare_wire_begin(&b.b, NODE_ATTRIBUTE);
		pare_wire_put_str(&b.b, ATTR_NAME, op_table[i][1]);
		graph = pare_wire_begin(&b.b, ATTR_G);
		call(&b.b, GRAPH_NODE, "", "MatMul", "x w", "inner", NULL);
		port(&b.b, GRAPH_OUTPUT, "inner");
		pare_wire_end(&b.b, graph);
		pare_wire_put_int(&b.b, ATTR_TYPE, 5);
		pare_wire_end(&b.b, attr);
		pare_wire_end(&b.b, node);
		port(&b.b, GRAPH_INPUT, "x");
		port(&b.b, GRAPH_OUTPUT, "y");
		t = model_tensor_begin(&b, "w", PARE_DT_FLOAT, 2, dims);
		pare_wire_put_bytes(&b.b, TENSOR_RAW_DATA, w, sizeof w);
		pare_wire_end(&b.b, t);
		model_end(&b);
		m = read_model(&b);
		ck_assert_int_eq(pare_model_set_init_f32(m, pare_graph_find_value(&m->graph, "w"), pruned, &err), PARE_OK);
		ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_E_UNSUPPORTED_OP);
		(void)snprintf(where, sizeof where, "node \"branch\" (%s)", op_table[i][0]);
		(void)snprintf(message, sizeof message, "operator %s is not supported for execution: control flow is carried", op_table[i][0]);
		ck_assert_str_eq(err.where, where);
		ck_assert_msg(strstr(err.message, message) != NULL, "%s", err.message);
		pare_model_free(m);
		pare_buf_done(&b.b);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("functions");
	TCase *t = tcase_create("local");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, nested);
	tcase_add_test(t, weights_stay_prunable);
	tcase_add_test(t, own_opset_and_left_out_inputs);
	tcase_add_test(t, recursion);
	tcase_add_test(t, too_many_inputs);
	tcase_add_test(t, depth);
	tcase_add_test(t, doubling);
	tcase_add_test(t, comparisons);
	tcase_add_test(t, control_flow);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
