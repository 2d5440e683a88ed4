/* Loops that are recurrent layers (Keras' own exports, tests/golden/keras_loops.py) become GRU and RNN when they are opened: ONNX Runtime's numbers for the file as it
 * came, weights to train, units to prune. Other Loops stay what they are. */
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"
#include "tests/support/lifted.h"
#include "tests/support/open_damaged.h"
#include "tests/support/open_no_memory.h"

#define ROOT "tests/golden/keras/"
#define STEPS 6
#define FEATURES 3

/* Weights by ONNX's count: gates times (features + units), and 2 for every unit that the last layer reads. */
static const struct {
	const char *name, *op;
	int n;
	int64_t n_weights;
} layer_table[] = {
    {"gru", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
    {"gru_before", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
    {"gru_no_bias", "GRU", 1, 3 * 5 * (3 + 5) + 10},
    {"gru_relu", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
    {"gru_stacked", "GRU", 2, 3 * 5 * (3 + 5) + 30 + 3 * 4 * (5 + 4) + 24 + 8},
    {"gru_backwards", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
    {"gru_state", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 15 + 10},
    {"gru_both", "GRU", 2, 2 * (3 * 5 * (3 + 5) + 30) + 20},
    {"rnn", "RNN", 1, 5 * (3 + 5) + 10 + 10},
    {"rnn_relu", "RNN", 1, 5 * (3 + 5) + 10 + 10},
    {"gru_open", "GRU", 1, 3 * 5 * (3 + 5) + 30 + 10},
};

static void check_layers(const struct pare_model *m, int row)
{
	struct pare_model_counts c;
	struct pare_err err = {0};

	ck_assert_int_eq(lifted_count(m, layer_table[row].op), layer_table[row].n);
	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_weights, layer_table[row].n_weights);
}

START_TEST(loops_become_layers)
{
	static struct lifted l = {.n_in = LIFTED_ROWS * STEPS * FEATURES, .shape = {.n_dims = 2, .dims = {STEPS, FEATURES}}};

	lifted_check(&l, ROOT, layer_table[_i].name, "Loop", 0, check_layers, _i);
}
END_TEST

/* Opens a file in which every occurrence of a text was replaced by another of the same length. */
static int loops_after(const char *name, const char *from, const void *to, size_t n)
{
	static uint8_t file[LIFTED_MAX];
	size_t len = lifted_load(ROOT, name, "onnx", file), n_changed = 0;
	struct pare_model *m = NULL;
	struct pare_buf own;
	struct pare_err err = {0};
	int n_loops;

	for (size_t i = 0; from != NULL && i + n <= len; i++)
		if (memcmp(file + i, from, n) == 0) {
			memcpy(file + i, to, n);
			n_changed++;
		}
	ck_assert(from == NULL || n_changed > 0);
	ck_assert_int_eq(pare_onnx_open((struct pare_span){file, len}, NULL, 0, &own, &m, &err), PARE_OK);
	n_loops = lifted_count(m, "Loop");
	pare_model_free(m);
	pare_buf_done(&own);
	return n_loops;
}

/* Every one of these bodies computes something else than the cell that it resembles. */
static const struct {
	const char *name, *from, *to;
} other_table[] = {
    {"masked", NULL, NULL},                /* rows stop at their own steps */
    {"linear", NULL, NULL},                /* no activation that a GRU has by name */
    {"gru", "\x04Tanh", "\x04Sinh"},       /* no cell */
    {"gru", "\"\x04Less", "\"\x04Loss"},   /* not all steps, perhaps */
    {"gru", "\"\x03Sub", "\"\x03""Add"},   /* 1 + z */
    {"rnn", "\"\x04Tanh", "\"\x04""Atan"},
};

START_TEST(other_loops_stay)
{
	const char *from = other_table[_i].from;

	ck_assert_int_eq(loops_after(other_table[_i].name, from, other_table[_i].to, from != NULL ? strlen(from) : 0), 1);
}
END_TEST

START_TEST(other_loops_are_refused_by_name)
{
	static uint8_t file[LIFTED_MAX];
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	struct pare_model *m = NULL;
	struct pare_net *net = NULL;
	struct pare_buf own;
	struct pare_err err = {0};
	size_t len = lifted_load(ROOT, "masked", "onnx", file);

	ck_assert_int_eq(pare_onnx_open((struct pare_span){file, len}, NULL, 0, &own, &m, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_E_UNSUPPORTED_OP);
	ck_assert_ptr_nonnull(strstr(err.message, "Loop"));
	pare_model_free(m);
	pare_buf_done(&own);
}
END_TEST

START_TEST(damaged_loops_are_harmless)
{
	static uint8_t file[LIFTED_MAX];

	open_damaged((struct pare_span){file, lifted_load(ROOT, "gru", "onnx", file)});
}
END_TEST

#define OWN "own matrix"

static void put_result(struct pare_buf *out, uint32_t field, int k)
{
	char name[24]; /* any int */

	(void)snprintf(name, sizeof name, "again%d", k);
	pare_wire_put_str(out, field, name);
}

/* The Loop of a graph once more, over the same values but `own`, with results of its own that the graph gives out. */
static void put_loop(struct pare_buf *out, const struct pare_graph *g, const struct pare_node *n, int own)
{
	struct pare_field f;
	struct pare_wire c;
	size_t at = pare_wire_begin(out, GRAPH_NODE);

	for (int k = 0; k < n->n_in; k++)
		pare_wire_put_str(out, NODE_INPUT, k == own ? OWN : n->in[k] >= 0 ? g->values[n->in[k]].name : "");
	for (int k = 0; k < n->n_out; k++)
		put_result(out, NODE_OUTPUT, k);
	pare_wire_init(&c, n->wire.data, n->wire);
	while (pare_wire_next(&c, &f))
		if (f.number != NODE_INPUT && f.number != NODE_OUTPUT && f.number != NODE_NAME)
			(void)pare_buf_add(out, f.at, (size_t)(c.p - f.at));
	pare_wire_end(out, at);
	for (int k = 0; k < n->n_out; k++)
		for (int32_t i = 0; i < g->n_nodes; i++)
			for (int j = 0; j < g->nodes[i].n_in; j++)
				if (g->nodes[i].in[j] == n->out[k]) {
					at = pare_wire_begin(out, GRAPH_OUTPUT);
					put_result(out, VALUE_NAME, k);
					pare_wire_end(out, at);
				}
}

static void put_own(struct pare_buf *out, const struct pare_tensor *t)
{
	struct pare_field f;
	struct pare_wire c;
	size_t at = pare_wire_begin(out, GRAPH_INITIALIZER);

	pare_wire_put_str(out, TENSOR_NAME, OWN);
	pare_wire_init(&c, t->wire.data, t->wire);
	while (pare_wire_next(&c, &f))
		if (f.number != TENSOR_NAME)
			(void)pare_buf_add(out, f.at, (size_t)(c.p - f.at));
	pare_wire_end(out, at);
}

/* gru.onnx with its layer called twice; own: with one matrix that is the second call's own, though it has the same values. */
static void write_twice(struct pare_buf *out, const struct pare_model *m, bool own)
{
	const struct pare_graph *g = &m->graph;
	const struct pare_node *loop = g->nodes;
	int input = -1;
	struct pare_field f, in;
	struct pare_wire c, inner;

	while (strcmp(loop->op_type, "Loop") != 0)
		loop++;
	for (int k = 2; k < loop->n_in && own; k++)
		if (g->values[loop->in[k]].init != NULL && g->values[loop->in[k]].init->n_dims == 2)
			input = k;
	ck_assert(input >= 0 || !own);
	pare_wire_init(&c, m->file.data, m->file);
	while (pare_wire_next(&c, &f)) {
		size_t graph;

		if (f.number != MODEL_GRAPH) {
			(void)pare_buf_add(out, f.at, (size_t)(c.p - f.at));
			continue;
		}
		graph = pare_wire_begin(out, MODEL_GRAPH);
		pare_wire_init(&inner, m->file.data, f.span);
		while (pare_wire_next(&inner, &in)) {
			(void)pare_buf_add(out, in.at, (size_t)(inner.p - in.at));
			if (in.number == GRAPH_NODE && in.span.data == loop->wire.data)
				put_loop(out, g, loop, input);
		}
		if (own)
			put_own(out, g->values[loop->in[input]].init);
		pare_wire_end(out, graph);
	}
}

/* Both calls read the same initializers; with a matrix of its own the second has all of its own. */
START_TEST(layers_called_twice_are_one)
{
	static uint8_t file[LIFTED_MAX];
	size_t len = lifted_load(ROOT, "gru", "onnx", file);
	struct pare_model *m = NULL, *twice = NULL;
	const struct pare_node *layer[2];
	struct pare_buf out, own;
	struct pare_model_counts c;
	struct pare_err err = {0};
	int n = 0;

	pare_buf_init(&out, 2 * LIFTED_MAX);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){file, len}, &m, &err), PARE_OK);
	write_twice(&out, m, _i == 1);
	ck_assert_msg(pare_onnx_open((struct pare_span){(const uint8_t *)out.data, out.len}, NULL, 0, &own, &twice, &err) == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert_int_eq(lifted_count(twice, "GRU"), 2);
	ck_assert_int_eq(lifted_count(twice, "Loop"), 0);
	for (int32_t i = 0; i < twice->graph.n_nodes; i++)
		if (strcmp(twice->graph.nodes[i].op_type, "GRU") == 0)
			layer[n++] = &twice->graph.nodes[i];
	for (int k = 1; k <= 3; k++)
		ck_assert((layer[0]->in[k] == layer[1]->in[k]) == (_i == 0));
	ck_assert_int_eq(pare_model_count(twice, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_weights, layer_table[0].n_weights + _i * (layer_table[0].n_weights - 10));
	pare_model_free(twice);
	pare_model_free(m);
	pare_buf_done(&own);
	pare_buf_done(&out);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
	static uint8_t file[LIFTED_MAX];

	open_no_memory((struct pare_span){file, lifted_load(ROOT, "gru_state", "onnx", file)});
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recurrent loops");
	TCase *t = tcase_create("recurrent loops");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, loops_become_layers, 0, (int)(sizeof layer_table / sizeof *layer_table));
	tcase_add_loop_test(t, other_loops_stay, 0, (int)(sizeof other_table / sizeof *other_table));
	tcase_add_test(t, other_loops_are_refused_by_name);
	tcase_add_loop_test(t, layers_called_twice_are_one, 0, 2);
	tcase_add_test(t, damaged_loops_are_harmless);
	tcase_add_test(t, memory_may_end_anywhere);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
