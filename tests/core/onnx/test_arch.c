/* Models born from a description: what the file holds, that a seed fixes its bytes, that the start is spread as promised. */
#include <math.h>

#include "core/graph/arch.h"
#include "core/graph/net.h"
#include "tests/core/onnx/models.h"

static const struct pare_arch_layer lenet_layers[] = {
    {.units = 300, .activation = PARE_ACT_RELU, .dropout = 0.25f}, {.units = 100, .activation = PARE_ACT_TANH}, {.units = 10, .activation = PARE_ACT_SOFTMAX}};
static const struct pare_arch lenet = {.n_input_dims = 3, .input_dims = {1, 28, 28}, .n_layers = 3, .layers = lenet_layers, .seed = 42};

static struct pare_model *build(const struct pare_arch *arch, struct pare_buf *out)
{
	struct pare_model *m = NULL;
	struct pare_err err = {0};

	pare_buf_init(out, MODEL_CAP);
	ck_assert_msg(pare_arch_build(arch, out, &err) == PARE_OK, "%s (%s)", err.message, err.where);
	ck_assert_msg(pare_onnx_read((struct pare_span){(uint8_t *)out->data, out->len}, &m, &err) == PARE_OK, "%s (%s)", err.message, err.where);
	return m;
}

START_TEST(lenet_300_100)
{
	static const char *const want[] = {"flatten Flatten", "fc1 Gemm", "relu1 Relu", "dropout1.ratio Constant", "dropout1 Dropout", "fc2 Gemm",
	    "tanh2 Tanh", "fc3 Gemm", "softmax3 Softmax"};
	struct pare_model_counts counts;
	const struct pare_value *w;
	struct pare_err err = {0};
	struct pare_model *m;
	struct pare_buf out;
	char label[80];

	m = build(&lenet, &out);
	ck_assert_int_eq(m->graph.n_nodes, 9);
	for (int i = 0; i < 9; i++) {
		(void)snprintf(label, sizeof label, "%s %s", m->graph.nodes[i].name, m->graph.nodes[i].op_type);
		ck_assert_str_eq(label, want[i]);
	}
	ck_assert_int_eq(pare_model_count(m, &counts, &err), PARE_OK);
	ck_assert_int_eq(counts.n_params, 266610);
	ck_assert_int_eq(counts.n_weights, 266200);
	ck_assert_int_eq(counts.n_weights_nonzero, 266200);
	ck_assert_int_eq(counts.n_nonzero, 266200); /* biases start at 0 */
	w = &m->graph.values[pare_graph_find_value(&m->graph, "fc1.weight")];
	ck_assert(w->n_dims == 2 && w->dims[0] == 300 && w->dims[1] == 784);
	w = &m->graph.values[pare_graph_find_value(&m->graph, "fc3.bias")];
	ck_assert(w->n_dims == 1 && w->dims[0] == 10);
	w = &m->graph.values[m->graph.inputs[0]];
	ck_assert(m->graph.n_inputs == 1 && w->n_dims == 4 && w->dims[0] == PARE_DIM_UNKNOWN && w->dims[3] == 28);
	w = &m->graph.values[m->graph.outputs[0]];
	ck_assert(m->graph.n_outputs == 1 && w->n_dims == 2 && w->dims[1] == 10);
	ck_assert_str_eq(w->name, "output");
	ck_assert_str_eq(m->graph.nodes[w->producer].name, "softmax3");
	ck_assert_int_eq(pare_node_attr(&m->graph.nodes[1], "transB")->i, 1);
	ck_assert(pare_node_attr(&m->graph.nodes[3], "value_float")->f == 0.25f);
	ck_assert_int_eq(m->ir_version, 8);
	ck_assert_int_eq(pare_model_opset(m, ""), 17);
	ck_assert_str_eq(m->producer_name, "pared");
	ck_assert_str_eq(m->producer_version, PARE_VERSION);
	pare_model_free(m);
	pare_buf_done(&out);
}
END_TEST

START_TEST(a_seed_fixes_the_bytes)
{
	struct pare_arch other = lenet;
	struct pare_buf a, b, c;

	other.seed = 43;
	pare_model_free(build(&lenet, &a));
	pare_model_free(build(&lenet, &b));
	pare_model_free(build(&other, &c));
	ck_assert_uint_eq(a.len, b.len);
	ck_assert_mem_eq(a.data, b.data, a.len);
	ck_assert_uint_eq(a.len, c.len);
	ck_assert(memcmp(a.data, c.data, a.len) != 0);
	pare_buf_done(&a);
	pare_buf_done(&b);
	pare_buf_done(&c);
}
END_TEST

static void spread(const struct pare_model *m, const char *name, double *std, double *largest)
{
	const struct pare_tensor *t = m->graph.values[pare_graph_find_value(&m->graph, name)].init;
	float *w = malloc(t->n_elems * sizeof *w);
	struct pare_err err;
	double sum = 0;

	ck_assert_ptr_nonnull(w);
	ck_assert_int_eq(pare_tensor_read_f32(t, w, &err), PARE_OK);
	*largest = 0;
	for (size_t i = 0; i < t->n_elems; i++) {
		sum += (double)w[i] * (double)w[i];
		*largest = fmax(*largest, fabs((double)w[i]));
	}
	*std = sqrt(sum / (double)t->n_elems);
	free(w);
}

START_TEST(initial_weights_are_spread_as_promised)
{
	struct pare_buf out;
	struct pare_model *m = build(&lenet, &out);
	double std, largest, a = sqrt(6.0 / 400);

	spread(m, "fc1.weight", &std, &largest); /* Relu: He normal */
	ck_assert_double_eq_tol(std, sqrt(2.0 / 784), 0.01 * sqrt(2.0 / 784));
	ck_assert(largest > 3.5 * std);
	spread(m, "fc2.weight", &std, &largest); /* Tanh: Glorot uniform */
	ck_assert_double_eq_tol(std, a / sqrt(3), 0.01 * a);
	ck_assert(largest <= a && largest > 0.99 * a);
	pare_model_free(m);
	pare_buf_done(&out);
}
END_TEST

START_TEST(one_layer_is_the_output)
{
	const struct pare_arch_layer layer = {.units = 3};
	const struct pare_arch arch = {.n_input_dims = 1, .input_dims = {4}, .n_layers = 1, .layers = &layer};
	struct pare_buf out;
	struct pare_model *m = build(&arch, &out);

	ck_assert_int_eq(m->graph.n_nodes, 1);
	ck_assert_int_eq(m->graph.nodes[0].out[0], m->graph.outputs[0]);
	ck_assert_int_eq(m->graph.nodes[0].in[0], m->graph.inputs[0]);
	pare_model_free(m);
	pare_buf_done(&out);
}
END_TEST

static const struct {
	int n_input_dims;
	int64_t dim, units;
	int activation;
	float dropout;
	int n_layers;
	enum pare_code code;
	const char *where;
} wrong_table[] = {
    {0, 4, 3, PARE_ACT_NONE, 0, 1, PARE_E_INVALID, "input"},
    {5, 4, 3, PARE_ACT_NONE, 0, 1, PARE_E_INVALID, "input"},
    {1, 0, 3, PARE_ACT_NONE, 0, 1, PARE_E_INVALID, "input"},
    {4, (int64_t)1 << 20, 3, PARE_ACT_NONE, 0, 1, PARE_E_INVALID, "input"},
    {1, 4, 3, PARE_ACT_NONE, 0, 0, PARE_E_INVALID, "layers"},
    {1, 4, 0, PARE_ACT_NONE, 0, 1, PARE_E_INVALID, "layer 1"},
    {1, 4, -3, PARE_ACT_NONE, 0, 1, PARE_E_INVALID, "layer 1"},
    {1, 4, 3, 6, 0, 1, PARE_E_INVALID, "layer 1"},
    {1, 4, 3, PARE_ACT_RELU, 1, 1, PARE_E_INVALID, "layer 1"},
    {1, 4, 3, PARE_ACT_RELU, -0.5f, 1, PARE_E_INVALID, "layer 1"},
    {1, 4, 3, PARE_ACT_RELU, NAN, 1, PARE_E_INVALID, "layer 1"},
    {1, (int64_t)1 << 31, (int64_t)1 << 31, PARE_ACT_RELU, 0, 1, PARE_E_LIMIT, "layers"},
};

START_TEST(wrong_descriptions)
{
	const struct pare_arch_layer layer = {.units = wrong_table[_i].units, .activation = (enum pare_activation)wrong_table[_i].activation, .dropout = wrong_table[_i].dropout};
	struct pare_arch arch = {.n_input_dims = wrong_table[_i].n_input_dims, .n_layers = wrong_table[_i].n_layers, .layers = &layer};
	struct pare_err err = {0};
	struct pare_buf out;

	for (int i = 0; i < 4; i++)
		arch.input_dims[i] = wrong_table[_i].dim;
	pare_buf_init(&out, MODEL_CAP);
	ck_assert_int_eq(pare_arch_build(&arch, &out, &err), wrong_table[_i].code);
	ck_assert_str_eq(err.where, wrong_table[_i].where);
	ck_assert_uint_eq(out.len, 0);
	pare_buf_done(&out);
}
END_TEST

/* LeNet-5 as Caffe has it: the tensors that the literature counts, and a net that plans. */
START_TEST(lenet_5)
{
	static const struct pare_arch_layer layers[] = {{.units = 20, .kernel = 5, .pool = 2}, {.units = 50, .kernel = 5, .pool = 2, .dropout = 0.5f},
	    {.units = 500, .activation = PARE_ACT_RELU}, {.units = 10}};
	static const struct {
		const char *name;
		size_t n;
	} tensors[] = {{"conv1.weight", 500}, {"conv2.weight", 25000}, {"fc3.weight", 400000}, {"fc4.weight", 5000}};
	const struct pare_arch arch = {.n_input_dims = 3, .input_dims = {1, 28, 28}, .n_layers = 4, .layers = layers, .seed = 1};
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 2};
	int64_t dims[PARE_MAX_DIMS];
	struct pare_model *m;
	struct pare_net *net;
	struct pare_err err = {0};
	struct pare_buf out;
	int n_dims;

	pare_buf_init(&out, MODEL_CAP);
	ck_assert_int_eq(pare_arch_build(&arch, &out, &err), PARE_OK);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)out.data, out.len}, &m, &err), PARE_OK);
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(m->graph.values[pare_graph_find_value(&m->graph, tensors[i].name)].init->n_elems, tensors[i].n);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_OK);
	ck_assert_uint_eq(pare_net_output_shape(net, 0, &n_dims, dims), 10);
	ck_assert_int_eq(pare_net_macs(net), 500 * 24 * 24 + 25000 * 8 * 8 + 400000 + 5000);
	pare_net_free(net);
	pare_model_free(m);
	pare_buf_done(&out);
}
END_TEST

static const struct {
	struct pare_arch_layer layers[2];
	int n_input_dims;
	const char *message;
} window_table[] = {
    {{{.units = 4, .kernel = 3}, {.units = 2}}, 2, "channels, height and width"},
    {{{.units = 4}, {.units = 2, .kernel = 1}}, 3, "channels, height and width"},
    {{{.units = 4, .kernel = 9}, {.units = 2}}, 3, "nothing is left of 8 positions"},
    {{{.units = 4, .kernel = 3, .pool = 7}, {.units = 2}}, 3, "nothing is left"},
    {{{.units = 4, .pool = 2}, {.units = 2}}, 3, "for layers with a kernel"},
    {{{.units = 4, .kernel = 3, .pad = -1}, {.units = 2}}, 3, "at most"},
};

START_TEST(wrong_windows)
{
	struct pare_arch arch = {.n_input_dims = window_table[_i].n_input_dims, .input_dims = {8, 8, 8}, .n_layers = 2, .layers = window_table[_i].layers};
	struct pare_err err = {0};
	struct pare_buf out;

	pare_buf_init(&out, MODEL_CAP);
	ck_assert_int_eq(pare_arch_build(&arch, &out, &err), PARE_E_INVALID);
	ck_assert_msg(strstr(err.message, window_table[_i].message) != NULL, "%s", err.message);
	ck_assert_uint_eq(out.len, 0);
	pare_buf_done(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("architecture");
	TCase *tc = tcase_create("mlp");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, lenet_300_100);
	tcase_add_test(tc, a_seed_fixes_the_bytes);
	tcase_add_test(tc, initial_weights_are_spread_as_promised);
	tcase_add_test(tc, one_layer_is_the_output);
	tcase_add_loop_test(tc, wrong_descriptions, 0, (int)(sizeof wrong_table / sizeof wrong_table[0]));
	tcase_add_test(tc, lenet_5);
	tcase_add_loop_test(tc, wrong_windows, 0, (int)(sizeof window_table / sizeof window_table[0]));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
