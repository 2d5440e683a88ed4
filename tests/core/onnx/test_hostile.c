/* Files that nobody should have made: each must give an error that says what and where, at once and in little memory. */
#include <time.h>

#include "tests/core/onnx/models.h"
#include "tests/support/fail_alloc.h"

/* Of the processor, so that other load is none of ours. What takes quadratic time takes minutes. */
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

/* x, w -> Gemm -> Relu -> y with an attribute of each simple kind: a few hundred bytes that visit most of the reader. */
static void small_model(struct built *m)
{
	static const int64_t dims[2] = {2, 3};
	static const float data[6] = {1, -2, 3, 0, 5, 6};
	size_t node, attr, t;

	model_begin(m);
	node = pare_wire_begin(&m->b, GRAPH_NODE);
	pare_wire_put_str(&m->b, NODE_INPUT, "x");
	pare_wire_put_str(&m->b, NODE_INPUT, "w");
	pare_wire_put_str(&m->b, NODE_OUTPUT, "h");
	pare_wire_put_str(&m->b, NODE_NAME, "fc");
	pare_wire_put_str(&m->b, NODE_OP_TYPE, "Gemm");
	attr = pare_wire_begin(&m->b, NODE_ATTRIBUTE);
	pare_wire_put_str(&m->b, ATTR_NAME, "transB");
	pare_wire_put_int(&m->b, ATTR_I, 1);
	pare_wire_put_int(&m->b, ATTR_TYPE, 2);
	pare_wire_end(&m->b, attr);
	attr = pare_wire_begin(&m->b, NODE_ATTRIBUTE);
	pare_wire_put_str(&m->b, ATTR_NAME, "extra");
	pare_wire_put_bytes(&m->b, ATTR_INTS, "\x01\x96\x01", 3);
	pare_wire_put_int(&m->b, ATTR_TYPE, 7);
	pare_wire_end(&m->b, attr);
	pare_wire_end(&m->b, node);
	model_node(m, "Relu", "h", NULL, "y");
	pare_wire_put_str(&m->b, GRAPH_NAME, "g");
	t = model_tensor_begin(m, "w", PARE_DT_FLOAT, 2, dims);
	pare_wire_put_bytes(&m->b, TENSOR_RAW_DATA, data, sizeof data);
	pare_wire_end(&m->b, t);
	model_value(m, GRAPH_INPUT, "x");
	model_value(m, GRAPH_OUTPUT, "y");
	model_end(m);
}

/* Reads, counts, writes; true if it was a model. The bytes are in a block of their own so that a sanitizer sees overruns. */
static bool try_bytes(const char *bytes, size_t n)
{
	struct pare_model_counts counts;
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_buf out;
	uint8_t *copy = malloc(n + 1);
	bool ok;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, n);
	copy = realloc(copy, n != 0 ? n : 1);
	ok = pare_onnx_read((struct pare_span){copy, n}, &m, &err) == PARE_OK;
	if (!ok) {
		ck_assert_msg(err.message[0] != '\0', "an error without a message");
		ck_assert_ptr_null(m);
	} else {
		pare_buf_init(&out, MODEL_CAP);
		if (pare_model_count(m, &counts, &err) == PARE_OK)
			ck_assert_int_le(counts.n_nonzero, counts.n_params);
		ck_assert_int_eq(pare_onnx_write(m, &out, &err), PARE_OK);
		ck_assert_uint_eq(out.len, n);
		ck_assert_mem_eq(out.data, bytes, n);
		pare_buf_done(&out);
	}
	pare_model_free(m);
	free(copy);
	return ok;
}

START_TEST(truncation_at_every_byte)
{
	struct built m;
	size_t n_ok = 0;

	small_model(&m);
	ck_assert(try_bytes(m.b.data, m.b.len));
	for (size_t n = 0; n < m.b.len; n++)
		n_ok += try_bytes(m.b.data, n);
	ck_assert_uint_le(n_ok, 1); /* a cut between graph and opset_import leaves a whole message */
	pare_buf_done(&m.b);
}
END_TEST

START_TEST(every_bit_flipped)
{
	struct built m;
	size_t n_bad = 0;

	small_model(&m);
	for (size_t bit = 0; bit < 8 * m.b.len; bit++) {
		m.b.data[bit / 8] = (char)(m.b.data[bit / 8] ^ (1 << bit % 8));
		n_bad += !try_bytes(m.b.data, m.b.len);
		m.b.data[bit / 8] = (char)(m.b.data[bit / 8] ^ (1 << bit % 8));
	}
	ck_assert_uint_gt(n_bad, m.b.len); /* more than one bit in eight is noticed */
	pare_buf_done(&m.b);
}
END_TEST

/* depth subgraphs, each in an attribute of the only node of the one around it. */
static void nested(struct built *m, size_t depth)
{
	size_t *marks = malloc(3 * depth * sizeof *marks);

	ck_assert_ptr_nonnull(marks);
	model_begin(m);
	for (size_t i = 0; i < depth; i++) {
		marks[3 * i] = pare_wire_begin(&m->b, GRAPH_NODE);
		pare_wire_put_str(&m->b, NODE_OP_TYPE, "If");
		marks[3 * i + 1] = pare_wire_begin(&m->b, NODE_ATTRIBUTE);
		pare_wire_put_str(&m->b, ATTR_NAME, "b");
		pare_wire_put_int(&m->b, ATTR_TYPE, 5);
		marks[3 * i + 2] = pare_wire_begin(&m->b, ATTR_G);
	}
	for (size_t i = 3 * depth; i-- > 0;)
		pare_wire_end(&m->b, marks[i]);
	model_end(m);
	free(marks);
}

START_TEST(subgraphs_nest_to_the_limit)
{
	struct built m;

	nested(&m, 20);
	expect(&m, PARE_OK, NULL, NULL);
	nested(&m, 22);
	expect(&m, PARE_E_LIMIT, "byte ", "nest deeper than 64");
}
END_TEST

START_TEST(ten_thousand_nested_subgraphs)
{
	struct built m;
	double start;

	nested(&m, 10000);
	ck_assert_uint_gt(m.b.len, 100000);
	start = seconds();
	expect(&m, PARE_E_LIMIT, "byte ", "nest deeper than 64");
	ck_assert(seconds() - start < 1 * PATIENCE);
}
END_TEST

static void amplified(uint32_t field, size_t n)
{
	struct built m;
	double start;

	model_begin(&m);
	for (size_t i = 0; i < n; i++)
		pare_wire_put_bytes(&m.b, field, "", 0);
	model_end(&m);
	start = seconds();
	fail_alloc_install(0);
	expect(&m, PARE_E_LIMIT, NULL, "16 times the file");
	ck_assert_int_le(fail_alloc_count(), 8);
	fail_alloc_remove();
	ck_assert(seconds() - start < 2 * PATIENCE);
}

START_TEST(ten_megabytes_of_empty_messages)
{
	amplified(GRAPH_NODE, 5000000);
	amplified(GRAPH_INITIALIZER, 5000000);
}
END_TEST

START_TEST(empty_outputs_and_value_infos_stay_in_bounds)
{
	struct built m;

	model_begin(&m);
	for (size_t i = 0; i < 1000000; i++)
		pare_wire_put_bytes(&m.b, GRAPH_VALUE_INFO, "", 0);
	model_end(&m);
	expect(&m, PARE_OK, NULL, NULL);
	model_begin(&m);
	for (size_t i = 0; i < 1000000; i++)
		pare_wire_put_bytes(&m.b, GRAPH_OUTPUT, "", 0);
	model_end(&m);
	expect(&m, PARE_E_MODEL, "graph output", NULL);
}
END_TEST

/* What is really allocated for a model near the cap: counted by the arena, which is never above its cap. */
START_TEST(memory_stays_under_the_cap)
{
	struct pare_model *model = NULL;
	struct pare_err err = {0};
	struct built m;
	char a[24], b[24];

	model_begin(&m);
	model_value(&m, GRAPH_INPUT, "v0");
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(a, sizeof a, "v%d", i);
		(void)snprintf(b, sizeof b, "v%d", i + 1);
		model_node(&m, "Relu", a, NULL, b);
	}
	model_end(&m);
	ck_assert_int_eq(pare_onnx_read(model_span(&m), &model, &err), PARE_OK);
	ck_assert_uint_le(model->arena.used_bytes, 16 * m.b.len + (1 << 20));
	ck_assert_int_eq(model->graph.n_nodes, 20000);
	ck_assert_int_eq(model->graph.n_values, 20001);
	ck_assert_int_eq(model->graph.nodes[19999].in[0], model->graph.nodes[19998].out[0]);
	pare_model_free(model);
	pare_buf_done(&m.b);
}
END_TEST

/* A million names that all have to be sorted and found again. */
START_TEST(many_nodes_read_quickly)
{
	double start = seconds();
	struct built m;
	char name[64];

	model_begin(&m);
	model_value(&m, GRAPH_INPUT, "x");
	for (int i = 0; i < 100000; i++) {
		(void)snprintf(name, sizeof name, "a_rather_long_name_as_exporters_write_them_%d", i);
		model_node(&m, "Relu", "x", NULL, name);
	}
	model_end(&m);
	expect(&m, PARE_OK, NULL, NULL);
	ck_assert(seconds() - start < 3 * PATIENCE);
}
END_TEST

static const struct {
	const char *name;
	int n_dims;
	int64_t dims[10];
	size_t raw_bytes; /* 0: none */
	enum pare_code code;
	const char *message;
} dims_table[] = {
    {"huge", 1, {INT64_MAX}, 4, PARE_E_MODEL, "overflows"},
    {"product", 3, {(int64_t)1 << 40, (int64_t)1 << 40, 2}, 4, PARE_E_MODEL, "overflows"},
    {"zero_hides_product", 3, {(int64_t)1 << 40, (int64_t)1 << 40, 0}, 4, PARE_E_MODEL, "overflows"},
    {"large_without_data", 2, {100000, 100000}, 0, PARE_E_MODEL, "the file holds 0"},
    {"negative", 2, {3, -1}, 12, PARE_E_MODEL, "must not be negative"},
    {"short_raw", 2, {2, 3}, 20, PARE_E_MODEL, "need 24"},
    {"long_raw", 2, {2, 3}, 28, PARE_E_MODEL, "need 24"},
    {"nine_dims", 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, 4, PARE_E_LIMIT, "more than 8"},
    {"eight_dims", 8, {1, 1, 1, 1, 1, 1, 1, 1}, 4, PARE_OK, NULL},
    {"empty", 2, {0, 3}, 0, PARE_OK, NULL},
};

START_TEST(dimensions)
{
	static const char zeros[64];
	char where[80];
	struct built m;
	size_t t;

	model_begin(&m);
	t = model_tensor_begin(&m, dims_table[_i].name, PARE_DT_FLOAT, dims_table[_i].n_dims, dims_table[_i].dims);
	if (dims_table[_i].raw_bytes != 0)
		pare_wire_put_bytes(&m.b, TENSOR_RAW_DATA, zeros, dims_table[_i].raw_bytes);
	pare_wire_end(&m.b, t);
	model_end(&m);
	(void)snprintf(where, sizeof where, "tensor \"%s\"", dims_table[_i].name);
	expect(&m, dims_table[_i].code, dims_table[_i].code == PARE_OK ? NULL : where, dims_table[_i].message);
}
END_TEST

START_TEST(data_that_contradict_the_type)
{
	static const int64_t two = 2;
	static const char zeros[16];
	struct built m;
	size_t t;

	model_begin(&m);
	t = model_tensor_begin(&m, "both", PARE_DT_FLOAT, 1, &two);
	pare_wire_put_bytes(&m.b, TENSOR_RAW_DATA, zeros, 8);
	pare_wire_put_bytes(&m.b, TENSOR_FLOAT_DATA, zeros, 8);
	pare_wire_end(&m.b, t);
	model_end(&m);
	expect(&m, PARE_E_MODEL, "tensor \"both\"", "both raw_data and typed data");

	model_begin(&m);
	t = model_tensor_begin(&m, "wrong_field", PARE_DT_INT64, 1, &two);
	pare_wire_put_bytes(&m.b, TENSOR_FLOAT_DATA, zeros, 8);
	pare_wire_end(&m.b, t);
	model_end(&m);
	expect(&m, PARE_E_MODEL, "tensor \"wrong_field\"", "belong in field 7");

	model_begin(&m);
	t = model_tensor_begin(&m, "ragged", PARE_DT_FLOAT, 1, &two);
	pare_wire_put_bytes(&m.b, TENSOR_FLOAT_DATA, zeros, 7);
	pare_wire_end(&m.b, t);
	model_end(&m);
	expect(&m, PARE_E_SYNTAX, "byte ", "whole number of 32-bit values");

	model_begin(&m);
	t = model_tensor_begin(&m, "no_type", 0, 1, &two);
	pare_wire_end(&m.b, t);
	model_end(&m);
	expect(&m, PARE_E_MODEL, "tensor \"no_type\"", "no data_type");

	model_begin(&m);
	t = model_tensor_begin(&m, "nibbles", 22, 1, &(int64_t){3});
	pare_wire_put_bytes(&m.b, TENSOR_RAW_DATA, zeros, 2);
	pare_wire_end(&m.b, t);
	model_end(&m);
	expect(&m, PARE_OK, NULL, NULL);
}
END_TEST

static void one_node(struct built *m, const char *op, const char *in, const char *out)
{
	model_begin(m);
	model_value(m, GRAPH_INPUT, "x");
	model_node(m, op, in, NULL, out);
	model_end(m);
}

START_TEST(graphs_that_contradict_themselves)
{
	struct built m;

	one_node(&m, "Relu", "nowhere", "y");
	expect(&m, PARE_E_MODEL, "node \"Relu_0\" (Relu)", "\"nowhere\" is no graph input");
	one_node(&m, "", "x", "y");
	expect(&m, PARE_E_MODEL, "node", "no operator");
	one_node(&m, "Relu", "y", "y");
	expect(&m, PARE_E_MODEL, "Relu_0", "topological order");
	one_node(&m, "Relu", "x", "x");
	expect(&m, PARE_E_MODEL, "value \"x\"", "more than once");

	model_begin(&m);
	model_value(&m, GRAPH_INPUT, "x");
	model_node(&m, "Add", "x", "b", "a");
	model_node(&m, "Relu", "a", NULL, "b");
	model_end(&m);
	expect(&m, PARE_E_MODEL, "Add_0", "later node");

	model_begin(&m);
	model_value(&m, GRAPH_INPUT, "x");
	model_value(&m, GRAPH_INPUT, "x");
	model_end(&m);
	expect(&m, PARE_E_MODEL, "value \"x\"", "more than once");

	model_begin(&m);
	model_value(&m, GRAPH_INPUT, "x");
	model_node(&m, "Relu", "x", NULL, "y");
	model_node(&m, "Tanh", "x", NULL, "y");
	model_end(&m);
	expect(&m, PARE_E_MODEL, "value \"y\"", "more than once");

	model_begin(&m);
	model_value(&m, GRAPH_OUTPUT, "y");
	model_end(&m);
	expect(&m, PARE_E_MODEL, "graph output", "\"y\"");
}
END_TEST

static const struct {
	int64_t type;
	uint32_t field; /* 0: none; else an int or empty bytes */
	bool is_int;
	enum pare_code code;
} attr_table[] = {
    {1, ATTR_I, true, PARE_E_MODEL},
    {2, ATTR_I, true, PARE_OK},
    {2, 0, true, PARE_OK}, /* proto3 leaves a zero out */
    {0, ATTR_I, true, PARE_OK},
    {0, 0, true, PARE_E_MODEL},
    {4, 0, true, PARE_E_MODEL},
    {4, ATTR_I, true, PARE_E_MODEL},
    {5, ATTR_S, false, PARE_E_MODEL},
    {3, ATTR_S, false, PARE_OK},
    {7, ATTR_INTS, false, PARE_OK},
    {7, ATTR_S, false, PARE_E_MODEL},
    {2, ATTR_REF_NAME, false, PARE_E_MODEL},
    {15, ATTR_I, true, PARE_E_MODEL},
    {-1, ATTR_I, true, PARE_E_MODEL},
};

START_TEST(attribute_type_lies)
{
	struct built m;
	size_t node, attr;

	model_begin(&m);
	node = pare_wire_begin(&m.b, GRAPH_NODE);
	pare_wire_put_str(&m.b, NODE_OP_TYPE, "X");
	attr = pare_wire_begin(&m.b, NODE_ATTRIBUTE);
	pare_wire_put_str(&m.b, ATTR_NAME, "lie");
	if (attr_table[_i].field != 0 && attr_table[_i].is_int)
		pare_wire_put_int(&m.b, attr_table[_i].field, 3);
	else if (attr_table[_i].field != 0)
		pare_wire_put_str(&m.b, attr_table[_i].field, "");
	if (attr_table[_i].type != 0)
		pare_wire_put_int(&m.b, ATTR_TYPE, attr_table[_i].type);
	pare_wire_end(&m.b, attr);
	pare_wire_end(&m.b, node);
	model_end(&m);
	expect(&m, attr_table[_i].code, attr_table[_i].code == PARE_OK ? NULL : "node \"X_0\" (X): attribute \"lie\"", NULL);
}
END_TEST

START_TEST(an_attribute_twice)
{
	struct built m;
	size_t node;

	model_begin(&m);
	node = pare_wire_begin(&m.b, GRAPH_NODE);
	pare_wire_put_str(&m.b, NODE_OP_TYPE, "X");
	for (int i = 0; i < 2; i++) {
		size_t attr = pare_wire_begin(&m.b, NODE_ATTRIBUTE);

		pare_wire_put_str(&m.b, ATTR_NAME, "a");
		pare_wire_put_int(&m.b, ATTR_I, 3);
		pare_wire_end(&m.b, attr);
	}
	pare_wire_end(&m.b, node);
	model_end(&m);
	expect(&m, PARE_E_MODEL, "attribute \"a\"", "twice");
}
END_TEST

#define BYTES(s) s, sizeof(s) - 1
static const struct {
	const char *bytes;
	size_t n;
	enum pare_code code;
	const char *where, *message;
} bytes_table[] = {
    {BYTES(""), PARE_E_SYNTAX, "byte 0", "empty"},
    {BYTES("<!DOCTYPE html><html>"), PARE_E_SYNTAX, "byte ", NULL},
    {BYTES("\x08\x08"), PARE_E_MODEL, "", "no graph"},
    {BYTES("\x3a\x00"), PARE_E_MODEL, "", "no IR version"},
    {BYTES("\x08\x08\x3a\x00"), PARE_OK, NULL, NULL},
    {BYTES("\x08\x08\x3a\x00\x3a\x00"), PARE_E_SYNTAX, "byte 4", "ModelProto.graph comes twice"},
    {BYTES("\x08\x08\x38\x00"), PARE_E_SYNTAX, "byte 2", "ModelProto.graph has the wrong wire type"},
    {BYTES("\x08\x08\x3a\x05"), PARE_E_SYNTAX, "byte 2", "runs past the end"},
    {BYTES("\x08\x08\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), PARE_E_SYNTAX, "byte 2", "runs past the end"},
    {BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), PARE_E_SYNTAX, "byte 1", "longer than 64 bits"},
    {BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), PARE_E_SYNTAX, "byte 1", "longer than 64 bits"},
    {BYTES("\x08"), PARE_E_SYNTAX, "byte 0", "ends before a field's value"},
    {BYTES("\x08\x80"), PARE_E_SYNTAX, "byte 1", "ends inside a number"},
    {BYTES("\x0b\x08\x01\x0c"), PARE_E_SYNTAX, "byte 0", "group"},
    {BYTES("\x0c"), PARE_E_SYNTAX, "byte 0", "group"},
    {BYTES("\x0e\x01"), PARE_E_SYNTAX, "byte 0", "unknown wire type"},
    {BYTES("\x02\x00"), PARE_E_SYNTAX, "byte 0", "field number"},
    {BYTES("\x08\x08\x3a\x04\x12\x02\xc3\x28"), PARE_E_SYNTAX, "byte 6", "GraphProto.name is not valid UTF-8"},
    {BYTES("\x08\x08\x3a\x05\x12\x03\xed\xa0\x80"), PARE_E_SYNTAX, "byte 6", "not valid UTF-8"},
    {BYTES("\x08\x08\x3a\x05\x12\x03" "a\0b"), PARE_E_SYNTAX, "byte 7", "NUL"},
    {BYTES("\x08\x08\x3a\x04\x12\x02\xc3\xa9"), PARE_OK, NULL, NULL},
    /* unknown fields of every wire type are stepped over */
    {BYTES("\x08\x08\x3a\x00\xb8\x3e\x01\xb9\x3e" "12345678" "\xba\x3e\x02zz\xbd\x3e" "1234"), PARE_OK, NULL, NULL},
};

START_TEST(bytes)
{
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_span s = {(const uint8_t *)bytes_table[_i].bytes, bytes_table[_i].n};
	enum pare_code code = pare_onnx_read(s, &m, &err);

	ck_assert_msg(code == bytes_table[_i].code, "got %s: %s (%s)", pare_code_string(code), err.message, err.where);
	if (bytes_table[_i].where != NULL)
		ck_assert_msg(strstr(err.where, bytes_table[_i].where) != NULL, "where: %s (%s)", err.where, err.message);
	if (bytes_table[_i].message != NULL)
		ck_assert_msg(strstr(err.message, bytes_table[_i].message) != NULL, "message: %s", err.message);
	ck_assert(try_bytes(bytes_table[_i].bytes, bytes_table[_i].n) == (code == PARE_OK));
	pare_model_free(m);
	m = NULL;
	ck_assert_int_eq(pare_onnx_read(s, &m, NULL), code); /* a caller may not care why */
	pare_model_free(m);
}
END_TEST

START_TEST(long_names_are_cut_between_characters)
{
	struct pare_model *model = NULL;
	struct pare_err err = {0};
	char name[301];
	struct built m;

	for (int i = 0; i < 300; i += 3)
		memcpy(name + i, "\xe2\x82\xac", 4); /* euro signs */
	model_begin(&m);
	model_node(&m, "Relu", name, NULL, "y");
	model_end(&m);
	ck_assert_int_eq(pare_onnx_read(model_span(&m), &model, &err), PARE_E_MODEL);
	ck_assert_ptr_nonnull(strstr(err.message, "\xe2\x82\xac...\" is no graph input"));
	pare_buf_done(&m.b);
}
END_TEST

/* Every allocation of reading, changing and writing fails in turn: a clean error each time, nothing leaked. */
static enum pare_code whole_life(struct pare_span file)
{
	static const float data[6] = {6, 5, 4, 3, 2, 1};
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_buf out;
	enum pare_code code;

	pare_buf_init(&out, MODEL_CAP);
	code = pare_onnx_read(file, &m, &err);
	if (code == PARE_OK)
		code = pare_model_set_init_f32(m, pare_graph_find_value(&m->graph, "w"), data, &err);
	if (code == PARE_OK)
		code = pare_onnx_write(m, &out, &err);
	ck_assert(code == PARE_OK || err.message[0] != '\0');
	pare_model_free(m);
	pare_buf_done(&out);
	return code;
}

START_TEST(every_allocation_fails_once)
{
	struct built m;
	long n;

	small_model(&m);
	fail_alloc_install(0);
	ck_assert_int_eq(whole_life(model_span(&m)), PARE_OK);
	n = fail_alloc_count();
	ck_assert_int_gt(n, 4);
	ck_assert_int_eq(fail_alloc_live(), 0);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		ck_assert_int_eq(whole_life(model_span(&m)), PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
	pare_buf_done(&m.b);
}
END_TEST

#define N(table) ((int)(sizeof table / sizeof table[0]))

int main(void)
{
	Suite *s = suite_create("hostile onnx");
	TCase *tc = tcase_create("files");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, truncation_at_every_byte);
	tcase_add_test(tc, every_bit_flipped);
	tcase_add_test(tc, subgraphs_nest_to_the_limit);
	tcase_add_test(tc, ten_thousand_nested_subgraphs);
	tcase_add_test(tc, ten_megabytes_of_empty_messages);
	tcase_add_test(tc, empty_outputs_and_value_infos_stay_in_bounds);
	tcase_add_test(tc, memory_stays_under_the_cap);
	tcase_add_test(tc, many_nodes_read_quickly);
	tcase_add_loop_test(tc, dimensions, 0, N(dims_table));
	tcase_add_test(tc, data_that_contradict_the_type);
	tcase_add_test(tc, graphs_that_contradict_themselves);
	tcase_add_loop_test(tc, attribute_type_lies, 0, N(attr_table));
	tcase_add_test(tc, an_attribute_twice);
	tcase_add_loop_test(tc, bytes, 0, N(bytes_table));
	tcase_add_test(tc, long_names_are_cut_between_characters);
	tcase_add_test(tc, every_allocation_fails_once);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
