/* Models that the onnx package wrote (tests/data/onnx/make.py): what a real exporter's bytes look like in memory. Programs of the
 * test suite run from the top of the source tree. */
#include "tests/core/onnx/models.h"

static struct pare_span bytes;

static struct pare_model *open_model(const char *name)
{
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	struct pare_buf out;
	char path[120];

	(void)snprintf(path, sizeof path, "tests/data/onnx/%s.onnx", name);
	bytes = file_bytes(path);
	ck_assert_msg(bytes.data != NULL, "%s cannot be read", path);
	ck_assert_msg(pare_onnx_read(bytes, &m, &err) == PARE_OK, "%s: %s (%s)", path, err.message, err.where);
	pare_buf_init(&out, MODEL_CAP);
	ck_assert_int_eq(pare_onnx_write(m, &out, &err), PARE_OK);
	ck_assert_uint_eq(out.len, bytes.len);
	ck_assert_mem_eq(out.data, bytes.data, out.len);
	pare_buf_done(&out);
	return m;
}

static void close_model(struct pare_model *m)
{
	pare_model_free(m);
	free((void *)(uintptr_t)bytes.data);
}

static const struct pare_value *value(const struct pare_model *m, const char *name)
{
	int32_t v = pare_graph_find_value(&m->graph, name);

	ck_assert_msg(v >= 0, "no value %s", name);
	return &m->graph.values[v];
}

START_TEST(mlp)
{
	struct pare_model *m = open_model("mlp");
	struct pare_model_counts c;
	struct pare_err err;
	char label[80];

	ck_assert_int_eq(m->graph.n_nodes, 4);
	ck_assert_str_eq(m->graph.name, "g");
	ck_assert_str_eq(m->producer_name, "make.py");
	pare_node_label(&m->graph, 0, label, sizeof label);
	ck_assert_str_eq(label, "fc1");
	pare_node_label(&m->graph, 3, label, sizeof label);
	ck_assert_str_eq(label, "Softmax_3");
	ck_assert_int_eq(pare_node_attr(&m->graph.nodes[3], "axis")->i, -1);
	ck_assert_ptr_null(pare_node_attr(&m->graph.nodes[3], "axes"));
	ck_assert(value(m, "h")->n_dims == 2 && value(m, "h")->dims[1] == 5); /* from value_info */
	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_params, 40);
	ck_assert_int_eq(c.n_weights, 35);
	ck_assert_int_eq(pare_graph_find_value(&m->graph, "no such"), -1);
	close_model(m);
}
END_TEST

START_TEST(typed_fields)
{
	struct pare_model *m = open_model("typed");
	struct pare_model_counts c;
	struct pare_err err;
	int64_t i[3];
	float f[6];

	ck_assert_int_eq(pare_tensor_read_f32(value(m, "f")->init, f, &err), PARE_OK);
	ck_assert(f[0] == 1 && f[2] == -2 && f[3] == 3.5f);
	ck_assert_int_eq(pare_tensor_read_f32(value(m, "h")->init, f, &err), PARE_OK);
	ck_assert(f[0] == 0.5f && f[1] == -1 && f[2] == 0);
	ck_assert_int_eq(pare_tensor_read_f32(value(m, "bf")->init, f, &err), PARE_OK);
	ck_assert(f[0] == 1.5f && f[1] == -2);
	ck_assert_int_eq(pare_tensor_read_i64(value(m, "i")->init, i, &err), PARE_OK);
	ck_assert(i[0] == -1 && i[1] == 2 && i[2] == (int64_t)1 << 40);
	ck_assert_int_eq(pare_tensor_read_f32(value(m, "i4")->init, f, &err), PARE_E_UNSUPPORTED);
	ck_assert_int_eq(pare_tensor_read_f32(value(m, "c")->init, f, &err), PARE_E_UNSUPPORTED);
	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_params, 6 + 3 + 2 + 2);
	ck_assert_int_eq(c.n_nonzero, 4 + 2 + 2 + 2);
	ck_assert_int_eq(c.n_weights_nonzero, 4);
	close_model(m);
}
END_TEST

START_TEST(subgraphs_are_carried)
{
	struct pare_model *m = open_model("subgraphs");
	const struct pare_attr *a;
	struct pare_model_counts c;
	struct pare_err err;

	ck_assert_int_eq(m->graph.n_nodes, 5);
	a = pare_node_attr(&m->graph.nodes[0], "then_branch");
	ck_assert(a->type == PARE_ATTR_GRAPH && a->s.len > 0);
	ck_assert_int_eq(pare_graph_find_value(&m->graph, "t"), -1); /* a name inside a subgraph is not one of ours */
	a = pare_node_attr(&m->graph.nodes[1], "value");
	ck_assert(a->type == PARE_ATTR_TENSOR && a->t->n_elems == 2);
	a = pare_node_attr(&m->graph.nodes[2], "value_floats");
	ck_assert(a->type == PARE_ATTR_FLOATS && a->n == 2 && a->floats[1] == 2);
	ck_assert(m->graph.nodes[3].n_in == 2 && m->graph.nodes[3].in[1] == -1);
	ck_assert(m->graph.nodes[3].n_out == 2 && m->graph.nodes[3].out[1] == -1);
	ck_assert_str_eq(m->graph.nodes[4].domain, "com.example");
	a = pare_node_attr(&m->graph.nodes[4], "mode");
	ck_assert(a->type == PARE_ATTR_STRING && a->s.len == 1 && a->s.data[0] == 'x');
	a = pare_node_attr(&m->graph.nodes[4], "axes");
	ck_assert(a->type == PARE_ATTR_INTS && a->n == 2 && a->ints[0] == 0 && a->ints[1] == 1);
	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_params, 2); /* the Constant's tensor; value_floats is no tensor */
	close_model(m);
}
END_TEST

START_TEST(external_data_are_noticed_and_never_followed)
{
	struct pare_model *m = open_model("external");
	static const float zeros[20];
	struct pare_model_counts c;
	struct pare_model *again = NULL;
	struct pare_err err;
	struct pare_buf out;
	float f[20];

	ck_assert(value(m, "w1")->init->external);
	ck_assert_int_eq(pare_tensor_read_f32(value(m, "w1")->init, f, &err), PARE_E_UNSUPPORTED);
	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_E_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.where, "w1"));
	/* replaced, it is in the file, and the reference is gone */
	ck_assert_int_eq(pare_model_set_init_f32(m, pare_graph_find_value(&m->graph, "w1"), zeros, &err), PARE_OK);
	pare_buf_init(&out, MODEL_CAP);
	ck_assert_int_eq(pare_onnx_write(m, &out, &err), PARE_OK);
	ck_assert_ptr_null(memmem(out.data, out.len, "passwd", 6));
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(uint8_t *)out.data, out.len}, &again, &err), PARE_OK);
	ck_assert(!value(again, "w1")->init->external);
	ck_assert_int_eq(pare_model_count(again, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_nonzero, 20);
	pare_model_free(again);
	pare_buf_done(&out);
	close_model(m);
}
END_TEST

START_TEST(sparse_initializers_define_a_name)
{
	struct pare_model *m = open_model("sparse");

	ck_assert_ptr_null(value(m, "sp")->init);
	ck_assert(value(m, "sp")->producer == -1 && !value(m, "sp")->is_input && value(m, "sp")->dtype == PARE_DT_FLOAT);
	ck_assert_int_eq(m->graph.n_inputs, 1);
	close_model(m);
}
END_TEST

START_TEST(functions_are_inlined_and_training_is_carried)
{
	struct pare_model *m = open_model("functions");

	ck_assert_int_eq(m->graph.n_nodes, 1);
	ck_assert_str_eq(m->graph.nodes[0].op_type, "Add");
	ck_assert_int_eq(pare_model_opset(m, "local"), 1);
	close_model(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("onnx models");
	TCase *tc = tcase_create("of the onnx package");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, mlp);
	tcase_add_test(tc, typed_fields);
	tcase_add_test(tc, subgraphs_are_carried);
	tcase_add_test(tc, external_data_are_noticed_and_never_followed);
	tcase_add_test(tc, sparse_initializers_define_a_name);
	tcase_add_test(tc, functions_are_inlined_and_training_is_carried);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
