/* Parameters that an exporter wrote once because they were equal are several when the file is opened: one for every name or, where names are lost, for every reader but
 * the calls of one layer. The numbers stay. What has values of its own, is a number of a formula or is no parameter stays as it was. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/prune/groups.h"
#include "tests/core/onnx/models.h"
#include "tests/support/graph_onnx.h"
#include "tests/support/lifted.h"
#include "tests/support/open_no_memory.h"

#define ROOT "tests/golden/untrained/"

static float data[256];
static const float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* Weights a, b and c of 4 x 4; z: 4 zeros, s: 4 ones. */
static void start(struct gb *b)
{
	gb_input(b, "x", "N 4");
	gb_init(b, "a", "4 4", data);
	gb_init(b, "b", "4 4", data + 16);
	gb_init(b, "c", "4 4", data + 32);
	gb_init(b, "z", "4", NULL);
	gb_init(b, "s", "4", ones);
}

static void linear(struct gb *b, const char *name, const char *in, const char *out)
{
	gb_node(b, "Gemm", name, in, out);
}

/* The bias of a layer that an Identity names; one of them is an Identity of another. */
static void named(struct gb *b)
{
	start(b);
	gb_node(b, "Identity", "i1", "z", "two");
	gb_node(b, "Identity", "i2", "two", "three");
	linear(b, "fc1", "x a z", "h");
	linear(b, "fc2", "h b two", "g");
	linear(b, "fc3", "g c three", "y");
}

static void named_twice_called(struct gb *b)
{
	start(b);
	gb_node(b, "Identity", "i1", "z", "two");
	linear(b, "fc1", "x a two", "h");
	linear(b, "fc2", "h b z", "g");
	linear(b, "fc3", "g c two", "y");
}

static void all_named(struct gb *b)
{
	start(b);
	gb_node(b, "Identity", "i1", "z", "one");
	gb_node(b, "Identity", "i2", "one", "between");
	gb_node(b, "Identity", "i3", "between", "two");
	linear(b, "fc1", "x a one", "h");
	linear(b, "fc2", "h b two", "y");
}

static void unnamed(struct gb *b)
{
	start(b);
	linear(b, "fc1", "x a z", "h");
	linear(b, "fc2", "h b z", "y");
}

static void behind_products(struct gb *b)
{
	start(b);
	gb_node(b, "MatMul", "mm1", "x a", "p");
	gb_node(b, "Add", "add1", "p z", "h");
	gb_node(b, "Mul", "mul1", "h s", "k");
	gb_node(b, "MatMul", "mm2", "k b", "q");
	gb_node(b, "Add", "add2", "z q", "g");
	gb_node(b, "Mul", "mul2", "g s", "y");
}

static void called_twice(struct gb *b)
{
	start(b);
	gb_node(b, "MatMul", "mm1", "x a", "p");
	gb_node(b, "Add", "add1", "p z", "h");
	gb_node(b, "MatMul", "mm2", "h a", "q");
	gb_node(b, "Add", "add2", "q z", "g");
	gb_node(b, "MatMul", "mm3", "g b", "r");
	gb_node(b, "Add", "add3", "r z", "y");
}

/* A sum between the layer and its norm, and a Relu. */
static void norms_of_calls(struct gb *b)
{
	start(b);
	linear(b, "fc1", "x a", "p");
	gb_node(b, "Relu", "relu1", "p", "r");
	gb_node(b, "Add", "sum1", "x r", "k");
	gb_node(b, "LayerNormalization", "n1", "k s z", "h");
	linear(b, "fc2", "h a", "q");
	gb_node(b, "Relu", "relu2", "q", "t");
	gb_node(b, "Add", "sum2", "h t", "m");
	gb_node(b, "LayerNormalization", "n2", "m s z", "g");
	linear(b, "fc3", "g b", "u");
	gb_node(b, "LayerNormalization", "n3", "u s z", "y");
}

static void norms_of_one_result(struct gb *b)
{
	start(b);
	linear(b, "fc1", "x a", "p");
	gb_node(b, "LayerNormalization", "n1", "p s z", "h");
	gb_node(b, "LayerNormalization", "n2", "p s z", "g");
	gb_node(b, "Sub", "less", "h g", "k");
	linear(b, "fc2", "k a", "q");
	gb_node(b, "LayerNormalization", "n3", "q s z", "m");
	gb_node(b, "LayerNormalization", "n4", "q s z", "n");
	gb_node(b, "Sub", "less2", "m n", "y");
}

static void statistics(struct gb *b)
{
	start(b);
	linear(b, "fc1", "x a", "p");
	gb_node(b, "BatchNormalization", "n1", "p s z z s", "h");
	linear(b, "fc2", "h b", "q");
	gb_node(b, "BatchNormalization", "n2", "q s z z s", "y");
}

static void values_of_its_own(struct gb *b)
{
	start(b);
	gb_init(b, "t", "4", data + 50);
	gb_node(b, "Identity", "i1", "t", "u");
	linear(b, "fc1", "x a t", "h");
	linear(b, "fc2", "h b t", "g");
	linear(b, "fc3", "g c u", "y");
}

/* The number of a formula, alone and in a vector of one; a matrix in arithmetic. */
static void numbers(struct gb *b)
{
	start(b);
	gb_init(b, "e", "", ones);
	gb_init(b, "f", "1", ones);
	gb_init(b, "m", "4 4", NULL);
	gb_init_i64(b, "one", "1", (const int64_t[]){1});
	gb_node(b, "Add", "add1", "x e", "h");
	gb_node(b, "Mul", "mul1", "h f", "g");
	gb_node(b, "MatMul", "mm1", "g a", "p");
	gb_node(b, "Add", "add2", "p e", "q");
	gb_node(b, "Mul", "mul2", "q f", "r");
	gb_node(b, "Unsqueeze", "rows", "r one", "t");
	gb_node(b, "Add", "add3", "t m", "u");
	gb_node(b, "Relu", "relu", "u", "v");
	gb_node(b, "Add", "add4", "v m", "w");
	gb_node(b, "ReduceMax", "max", "w", "y");
	gb_attr_ints(b, "axes", (const int64_t[]){1}, 1);
	gb_attr_int(b, "keepdims", 0);
}

/* One vector that a formula multiplies with and divides by. */
static void formulas(struct gb *b)
{
	start(b);
	gb_node(b, "Mul", "mul1", "x s", "h");
	gb_node(b, "Sin", "sin", "h", "k");
	gb_node(b, "Div", "div1", "k s", "p");
	gb_node(b, "Add", "sum", "x p", "g");
	gb_node(b, "Mul", "mul2", "g s", "y");
}

/* Where one parameter has a name, all have. */
static void named_elsewhere(struct gb *b)
{
	start(b);
	gb_node(b, "Identity", "i1", "z", "two");
	linear(b, "fc1", "x a z", "h");
	gb_node(b, "Mul", "mul1", "h s", "k");
	linear(b, "fc2", "k b two", "g");
	gb_node(b, "Mul", "mul2", "g s", "p");
	gb_node(b, "Sub", "sub", "p two", "y");
}

/* Given out, and read by what passes no gradient on. */
static void read_otherwise(struct gb *b)
{
	start(b);
	linear(b, "fc1", "x a z", "h");
	linear(b, "fc2", "h b z", "g");
	gb_node(b, "Less", "less", "z g", "l");
	gb_node(b, "Where", "where", "l g h", "y");
	gb_output(b, "z");
}

static const struct {
	const char *name;
	void (*build)(struct gb *b);
	const char *given; /* initializers that nodes read: names with a blank between, nodes with a bar */
	int n_inits; /* of the file that is opened; 5 are always there */
} case_table[] = {
    {"named", named, "a z|b two|c three", 7},
    {"a name that two read", named_twice_called, "a two|b z|c two", 6},
    {"all named", all_named, "a one|b two", 6},
    {"unnamed", unnamed, "a z|b fc2.bias", 6},
    {"behind products", behind_products, "a|z|s|b|add2.bias|mul2.scale", 7},
    {"a layer that is called twice", called_twice, "a|z|a|z|b|add3.bias", 6},
    {"norms behind such a layer", norms_of_calls, "a|||s z|a|||s z|b|n3.scale n3.bias", 7},
    {"norms of one result", norms_of_one_result, "a|s z|n2.scale n2.bias||a|s z|n2.scale n2.bias|", 7},
    {"statistics", statistics, "a|s z n1.mean n1.variance|b|n2.scale n2.bias n2.mean n2.variance", 11},
    {"values of its own", values_of_its_own, "t|a t|b t|c", 6},
    {"numbers", numbers, "e|f|a|e|f|one|m||m|", 9},
    {"a formula's", formulas, "s||s||s", 5},
    {"named elsewhere", named_elsewhere, "a z|s|b two|s|two", 6},
    {"read otherwise", read_otherwise, "a z|b fc2.bias|z|", 6},
};

static void given_to(const struct pare_model *m, char *out, size_t n)
{
	const struct pare_graph *g = &m->graph;
	size_t len = 0;

	out[0] = '\0';
	for (int32_t i = 0; i < g->n_nodes; i++) {
		bool first = true;

		for (int k = 0; k < g->nodes[i].n_in; k++) {
			const struct pare_value *v = &g->values[g->nodes[i].in[k]];

			if (v->init == NULL)
				continue;
			len += (size_t)snprintf(out + len, n - len, "%s%s", first ? "" : " ", v->name);
			first = false;
		}
		len += (size_t)snprintf(out + len, n - len, "%s", i + 1 < g->n_nodes ? "|" : "");
	}
}

static void check_numbers(const struct pare_model *m, struct pare_model *as_built)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 3};
	const struct pare_model *models[2] = {m, as_built};
	const float *x = data + 100;
	float y[2][12] = {{0}};
	struct pare_err err = {0};

	for (int i = 0; i < 2; i++) {
		struct pare_net *net = NULL;

		ck_assert_msg(pare_net_new(models[i], &opt, &net, &err) == PARE_OK, "%s: %s", err.where, err.message);
		nc_forward(net, &x, 3, PARE_MODE_INFER, 0);
		ck_assert_uint_le(nc_output(net, pare_net_find_output(net, "y"), 3, y[i]), 12);
		pare_net_free(net);
	}
	ck_assert_mem_eq(y[0], y[1], sizeof y[0]);
}

START_TEST(every_parameter_has_its_own)
{
	struct gb *b = gb_new(17);
	struct pare_buf file, own, again;
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	char given[256];

	nc_fill(data, 256, 5);
	case_table[_i].build(b);
	gb_output(b, "y");
	pare_buf_init(&file, 1 << 20);
	graph_onnx(gb_model(b), &file);
	ck_assert_msg(pare_onnx_open((struct pare_span){(const uint8_t *)file.data, file.len}, NULL, 0, &own, &m, &err) == PARE_OK, "%s: %s", err.where, err.message);
	given_to(m, given, sizeof given);
	ck_assert_msg(strcmp(given, case_table[_i].given) == 0, "%s: \"%s\", not \"%s\"", case_table[_i].name, given, case_table[_i].given);
	ck_assert_int_eq(m->graph.n_inits, case_table[_i].n_inits);
	ck_assert_int_eq(own.len == 0, m->graph.n_inits == gb_model(b)->graph.n_inits && m->graph.n_nodes == gb_model(b)->graph.n_nodes);
	ck_assert_int_eq(graph_onnx_stale_infos(m), 0);
	check_numbers(m, gb_model(b));
	pare_buf_init(&again, 1 << 20);
	ck_assert_int_eq(pare_onnx_write(m, &again, &err), PARE_OK);
	ck_assert_uint_eq(again.len, own.len > 0 ? own.len : file.len); /* every byte as it is in memory */
	pare_model_free(m);
	pare_buf_done(&again);
	pare_buf_done(&own);
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

/* --- what exporters write */

static const struct {
	const char *name;
	struct pare_row_shape shape;
	int n_groups, n_units; /* that can go by themselves */
	double gradient_error;
} export_table[] = {
    /* of each block the hidden units; the rest is read by norms over it */
    {"torchscript_convnext", {.n_dims = 3, .dims = {3, 16, 16}}, 6, 2 * (16 + 32 + 64), 0.05},
    {"dynamo_convnext", {.n_dims = 3, .dims = {3, 16, 16}}, 6, 2 * (16 + 32 + 64), 0},
    {"torchscript_norms", {.n_dims = 3, .dims = {3, 4, 4}}, 3, 3 * 6, 0},
};

static void check_groups(const struct pare_model *m, int row)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1, .training = true};
	struct pare_structures *g = NULL;
	struct pare_net *net = NULL;
	struct pare_err err = {0};

	ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert_int_eq(pare_structures_new(net, PARE_GRANULARITY_CHANNEL, NULL, &g, &err), PARE_OK);
	ck_assert_int_eq(g->n_groups, export_table[row].n_groups);
	ck_assert_int_eq(g->n_units, export_table[row].n_units);
	pare_structures_free(g);
	pare_net_free(net);
}

START_TEST(exports_of_untrained_nets_are_pruned_by_layer)
{
	static struct lifted l;

	l.shape = export_table[_i].shape;
	l.n_in = LIFTED_ROWS;
	for (int i = 0; i < l.shape.n_dims; i++)
		l.n_in *= (size_t)l.shape.dims[i];
	lifted_check(&l, ROOT, export_table[_i].name, "Identity", export_table[_i].gradient_error, check_groups, _i);
}
END_TEST

/* --- where the values are */

enum { IN_FILE, TYPED, BESIDE };

static void bias(struct built *m, int where, const char *name, int64_t n)
{
	size_t mark = model_tensor_begin(m, name, PARE_DT_FLOAT, 1, &n), entry;
	static const float values[4] = {0.5f, 0.5f, 0.5f, 0.5f};

	for (int i = 0; i < n && where == TYPED; i++)
		pare_wire_put_bytes(&m->b, TENSOR_FLOAT_DATA, &values[i], sizeof values[i]);
	if (where == IN_FILE)
		pare_wire_put_bytes(&m->b, TENSOR_RAW_DATA, values, (size_t)n * sizeof *values);
	if (where == BESIDE) {
		entry = pare_wire_begin(&m->b, TENSOR_EXTERNAL_DATA);
		pare_wire_put_str(&m->b, ENTRY_KEY, "location");
		pare_wire_put_str(&m->b, ENTRY_VALUE, "side");
		pare_wire_end(&m->b, entry);
		pare_wire_put_int(&m->b, TENSOR_DATA_LOCATION, 1);
	}
	pare_wire_end(&m->b, mark);
}

START_TEST(values_are_found_wherever_they_are)
{
	static const float side[4] = {0.5f, 0.5f, 0.5f, 0.5f};
	const struct pare_side_file files[] = {{"side", {(const uint8_t *)side, sizeof side}}};
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_buf own;
	struct built b;

	model_begin(&b);
	bias(&b, _i, "z", 4);
	model_value(&b, GRAPH_INPUT, "x");
	model_node(&b, "Add", "x", "z", "h");
	model_node(&b, "Relu", "h", NULL, "r");
	model_node(&b, "Add", "r", "z", "y");
	model_value(&b, GRAPH_OUTPUT, "y");
	model_end(&b);
	ck_assert_msg(pare_onnx_open(model_span(&b), files, 1, &own, &m, &err) == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert_int_eq(m->graph.n_inits, 2);
	ck_assert_str_eq(m->graph.values[m->graph.inits[1]].name, "Add_2.bias");
	for (int i = 0; i < 2; i++) {
		float got[4] = {0};

		ck_assert_int_eq(pare_tensor_read_f32(m->graph.values[m->graph.inits[i]].init, got, &err), PARE_OK);
		ck_assert_mem_eq(got, side, sizeof got);
	}
	pare_model_free(m);
	pare_buf_done(&own);
	pare_buf_done(&b.b);
}
END_TEST

/* A file that would become many times as long stays tied beyond that. */
START_TEST(copies_are_no_longer_than_the_file)
{
	static const int64_t side = 1024; /* 4 MiB of zeros */
	struct gb *b = gb_new(17);
	struct pare_buf file, own;
	struct pare_model *m = NULL;
	struct pare_err err = {0};

	gb_input(b, "v0", "N 1024");
	gb_init_dims(b, "w", 2, (const int64_t[]){side, side}, PARE_DT_FLOAT, NULL, 0);
	for (int i = 0; i < 9; i++)
		gb_node(b, "MatMul", (const char[]){'m', (char)('0' + i), '\0'}, (const char[]){'v', (char)('0' + i), ' ', 'w', '\0'}, (const char[]){'v', (char)('1' + i), '\0'});
	gb_output(b, "v9");
	pare_buf_init(&file, 16 << 20);
	graph_onnx(gb_model(b), &file);
	ck_assert_uint_gt(file.len, (size_t)side * (size_t)side * 4);
	ck_assert_msg(pare_onnx_open((struct pare_span){(const uint8_t *)file.data, file.len}, NULL, 0, &own, &m, &err) == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert_int_eq(m->graph.n_inits, 2);
	ck_assert_uint_le(own.len, 2 * file.len + (1 << 20));
	pare_model_free(m);
	pare_buf_done(&own);
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

START_TEST(no_memory)
{
	static void (*const builds[])(struct gb *b) = {named, statistics};
	struct gb *b = gb_new(17);
	struct pare_buf file;

	nc_fill(data, 256, 5);
	builds[_i](b);
	gb_output(b, "y");
	pare_buf_init(&file, 1 << 20);
	graph_onnx(gb_model(b), &file);
	open_no_memory((struct pare_span){(const uint8_t *)file.data, file.len});
	pare_buf_done(&file);
	gb_free(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shared parameters");
	TCase *t = tcase_create("lift");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, every_parameter_has_its_own, 0, (int)(sizeof case_table / sizeof case_table[0]));
	tcase_add_loop_test(t, exports_of_untrained_nets_are_pruned_by_layer, 0, (int)(sizeof export_table / sizeof export_table[0]));
	tcase_add_loop_test(t, values_are_found_wherever_they_are, 0, BESIDE + 1);
	tcase_add_test(t, copies_are_no_longer_than_the_file);
	tcase_add_loop_test(t, no_memory, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
