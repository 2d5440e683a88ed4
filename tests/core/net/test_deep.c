/* Nets of very many nodes: planned in about as many steps, and in as little memory as others. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/net_priv.h"
#include "core/onnx/onnx.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"

/* x and then n times Relu, or n products with the unit matrix, as a file: more nodes than a test's graph holds. */
static void write_chain(struct pare_buf *b, int n, bool products)
{
	static const float unit[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
	size_t graph, at, shape;
	char in[16] = "x", out[16];

	pare_wire_put_int(b, MODEL_IR_VERSION, 8);
	graph = pare_wire_begin(b, MODEL_GRAPH);
	for (int i = 1; i <= n; i++) {
		(void)snprintf(out, sizeof out, "v%d", i);
		at = pare_wire_begin(b, GRAPH_NODE);
		pare_wire_put_str(b, NODE_INPUT, in);
		if (products)
			pare_wire_put_str(b, NODE_INPUT, "w");
		pare_wire_put_str(b, NODE_OUTPUT, out);
		pare_wire_put_str(b, NODE_OP_TYPE, products ? "MatMul" : "Relu");
		pare_wire_end(b, at);
		memcpy(in, out, sizeof in);
	}
	at = pare_wire_begin(b, GRAPH_INITIALIZER);
	pare_wire_put_int(b, TENSOR_DIMS, 3);
	pare_wire_put_int(b, TENSOR_DIMS, 3);
	pare_wire_put_int(b, TENSOR_DATA_TYPE, PARE_DT_FLOAT);
	pare_wire_put_str(b, TENSOR_NAME, "w");
	pare_wire_put_bytes(b, TENSOR_RAW_DATA, unit, sizeof unit);
	pare_wire_end(b, at);
	at = pare_wire_begin(b, GRAPH_INPUT);
	pare_wire_put_str(b, VALUE_NAME, "x");
	shape = pare_wire_begin(b, VALUE_TYPE);
	pare_wire_put_bytes(b, TYPE_TENSOR, "\x08\x01\x12\x07\x0a\x03\x12\x01N\x0a\x00", 11);
	pare_wire_end(b, shape);
	pare_wire_end(b, at);
	at = pare_wire_begin(b, GRAPH_OUTPUT);
	pare_wire_put_str(b, VALUE_NAME, out);
	pare_wire_end(b, at);
	pare_wire_end(b, graph);
	at = pare_wire_begin(b, MODEL_OPSET_IMPORT);
	pare_wire_put_int(b, OPSET_VERSION, 17);
	pare_wire_end(b, at);
}

/* Whatever is done for every node must not look at all the others: a file of a few megabytes would plan for minutes. */
static const struct {
	bool products;
	int n;
	size_t memory[2]; /* floats of a shard for inference, training; Relus each stand over what they read: their own result tells the gradient */
} chain_table[] = {{false, 50000, {1000, 1000}}, {true, 100000, {1000, 10000000}}};

START_TEST(long_chains_are_planned)
{
	struct pare_buf file;

	pare_buf_init(&file, (size_t)16 << 20);
	write_chain(&file, chain_table[_i].n, chain_table[_i].products);
	for (int training = 0; training < 2; training++) {
		struct pare_net_options opt = {.n_threads = 1, .max_batch = 4, .training = training != 0};
		const float x[3] = {-1, 2, 0};
		struct pare_model *m = NULL;
		struct pare_net *net = NULL;
		struct pare_err err = {0};
		float y[3];

		ck_assert_msg(pare_onnx_read((struct pare_span){(const uint8_t *)file.data, file.len}, &m, &err) == PARE_OK, "%s: %s", err.where, err.message);
		ck_assert_int_eq(pare_model_set_rows(m, &(struct pare_row_shape){"x", 1, {3}}, 1, &err), PARE_OK);
		ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s: %s", err.where, err.message);
		ck_assert_int_eq(pare_net_infer(net, x, 1, y, &err), PARE_OK);
		ck_assert(fabsf(y[0] - (chain_table[_i].products ? -1.0f : 0.0f)) <= 0 && y[1] >= 2 && y[1] <= 2 && y[2] >= 0 && y[2] <= 0);
		ck_assert_uint_lt(net->shard_len, chain_table[_i].memory[training]);
		pare_net_free(net);
		pare_model_free(m);
	}
	pare_buf_done(&file);
}
END_TEST

/* More of them than are placed by size: no two overlap, and those that live after each other still share. */
START_TEST(many_slots_share_memory)
{
	enum { N = 9000 };
	struct pare_slot *s = pare_calloc(N, sizeof *s), *placed = pare_calloc(N, sizeof *placed);
	int32_t *order = pare_calloc(2 * N, sizeof *order);
	size_t total;

	for (int32_t i = 0; i < N; i++) {
		s[i] = (struct pare_slot){.n_floats = (size_t)(i * 37 % 101), .first = i * 7 % N};
		s[i].last = s[i].first + i % 9;
	}
	total = pare_slots_place(s, N, order, placed);
	ck_assert_uint_lt(total, 4096); /* nine live at a time, of up to 112; the smaller ones stand apart */
	for (int32_t i = 0; i < N; i++) {
		bool apart = true;

		ck_assert_uint_eq(s[i].offset % 16, 0);
		ck_assert_uint_le(s[i].offset + s[i].n_floats, total);
		for (int32_t j = 0; j < i; j++)
			if (s[i].first <= s[j].last && s[j].first <= s[i].last)
				apart &= s[i].offset + s[i].n_floats <= s[j].offset || s[j].offset + s[j].n_floats <= s[i].offset;
		ck_assert(apart);
	}
	pare_free(s);
	pare_free(placed);
	pare_free(order);
}
END_TEST

/* Placed intervals that live together never overlap. */
START_TEST(slots_do_not_overlap)
{
	struct pare_slot s[60], placed[60];
	int32_t order[60];
	size_t total, sum = 0;

	for (int i = 0; i < 60; i++) {
		s[i] = (struct pare_slot){.n_floats = (size_t)(i * 37 % 101), .first = i * 7 % 29};
		s[i].last = s[i].first + i % 5;
		sum += pare_net_align(s[i].n_floats);
	}
	total = pare_slots_place(s, 60, order, placed);
	ck_assert_uint_lt(total, sum / 2);
	for (int i = 0; i < 60; i++) {
		ck_assert_uint_eq(s[i].offset % 16, 0);
		ck_assert_uint_le(s[i].offset + s[i].n_floats, total);
		for (int j = 0; j < i; j++)
			if (s[i].first <= s[j].last && s[j].first <= s[i].last)
				ck_assert(s[i].offset + s[i].n_floats <= s[j].offset || s[j].offset + s[j].n_floats <= s[i].offset);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("deep nets");
	TCase *t = tcase_create("deep");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, long_chains_are_planned, 0, (int)(sizeof chain_table / sizeof chain_table[0]));
	tcase_add_test(t, slots_do_not_overlap);
	tcase_add_test(t, many_slots_share_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
