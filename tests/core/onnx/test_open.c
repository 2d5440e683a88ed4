/* Weights in Constant nodes become initializers when a model is opened to work on it; all else stays, and so does the result. */
#include "core/graph/net.h"
#include "tests/core/onnx/models.h"

static const float filter[8] = {1, 2, 3, 4, -1, -2, -3, -4}, scale[2] = {10, 100};

static void constant(struct built *m, const char *name, int n_dims, const int64_t *dims, const float *v, size_t n)
{
	size_t node = pare_wire_begin(&m->b, GRAPH_NODE), attr, tensor;

	pare_wire_put_str(&m->b, NODE_OUTPUT, name);
	pare_wire_put_str(&m->b, NODE_OP_TYPE, "Constant");
	attr = pare_wire_begin(&m->b, NODE_ATTRIBUTE);
	pare_wire_put_str(&m->b, ATTR_NAME, "value");
	pare_wire_put_int(&m->b, ATTR_TYPE, PARE_ATTR_TENSOR);
	tensor = pare_wire_begin(&m->b, ATTR_T);
	for (int i = 0; i < n_dims; i++)
		pare_wire_put_int(&m->b, TENSOR_DIMS, dims[i]);
	pare_wire_put_int(&m->b, TENSOR_DATA_TYPE, PARE_DT_FLOAT);
	pare_wire_put_bytes(&m->b, TENSOR_RAW_DATA, v, n * sizeof *v);
	pare_wire_end(&m->b, tensor);
	pare_wire_end(&m->b, attr);
	pare_wire_end(&m->b, node);
}

/* y = (x w) * s, x of shape [N, 4]; w and s are Constants. */
static void product(struct built *m, int ir_version)
{
	size_t value, type, tensor, shape, dim;

	pare_buf_init(&m->b, MODEL_CAP);
	pare_wire_put_int(&m->b, MODEL_IR_VERSION, ir_version);
	m->graph = pare_wire_begin(&m->b, MODEL_GRAPH);
	constant(m, "w", 2, (const int64_t[]){4, 2}, filter, 8);
	constant(m, "s", 1, (const int64_t[]){2}, scale, 2);
	model_node(m, "MatMul", "x", "w", "p");
	model_node(m, "Mul", "p", "s", "y");
	value = pare_wire_begin(&m->b, GRAPH_INPUT);
	pare_wire_put_str(&m->b, VALUE_NAME, "x");
	type = pare_wire_begin(&m->b, VALUE_TYPE);
	tensor = pare_wire_begin(&m->b, TYPE_TENSOR);
	pare_wire_put_int(&m->b, TENSOR_TYPE_ELEM, PARE_DT_FLOAT);
	shape = pare_wire_begin(&m->b, TENSOR_TYPE_SHAPE);
	for (int i = 0; i < 2; i++) {
		dim = pare_wire_begin(&m->b, SHAPE_DIM);
		pare_wire_put_int(&m->b, DIM_VALUE, i == 0 ? 1 : 4);
		pare_wire_end(&m->b, dim);
	}
	pare_wire_end(&m->b, shape);
	pare_wire_end(&m->b, tensor);
	pare_wire_end(&m->b, type);
	pare_wire_end(&m->b, value);
	model_value(m, GRAPH_OUTPUT, "y");
	model_end(m);
}

static void check_result(const struct pare_model *m, int n_params, float factor)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1, .training = true};
	static const float x[4] = {1, 0, 2, 0};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	float y[2];

	ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s (%s)", err.message, err.where);
	ck_assert_int_eq(pare_net_n_params(net), n_params);
	ck_assert_int_eq(pare_net_infer(net, x, 1, y, &err), PARE_OK);
	ck_assert(y[0] == -10 * factor && y[1] == -200 * factor);
	pare_net_free(net);
}

START_TEST(weights_become_initializers)
{
	struct built b;
	struct pare_buf own, written;
	struct pare_model *m = NULL, *again = NULL;
	struct pare_model_counts c;
	struct pare_err err = {0};
	float doubled[8];

	product(&b, 8);
	ck_assert_int_eq(pare_onnx_open(model_span(&b), NULL, 0, &own, &m, &err), PARE_OK);
	ck_assert_int_eq(m->graph.n_inits, 1);
	ck_assert_int_eq(m->graph.n_nodes, 3); /* s is a factor of plain arithmetic */
	ck_assert_str_eq(m->graph.values[m->graph.inits[0]].name, "w");
	ck_assert_int_eq(pare_model_count(m, &c, &err), PARE_OK);
	ck_assert_int_eq(c.n_weights, 8);
	ck_assert_int_eq(c.n_params, 10);
	check_result(m, 1, 1);

	for (int i = 0; i < 8; i++)
		doubled[i] = 2 * filter[i];
	ck_assert_int_eq(pare_model_set_init_f32(m, m->graph.inits[0], doubled, &err), PARE_OK);
	pare_buf_init(&written, MODEL_CAP);
	ck_assert_int_eq(pare_onnx_write(m, &written, &err), PARE_OK);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)written.data, written.len}, &again, &err), PARE_OK);
	check_result(again, 1, 2);
	pare_model_free(again);
	pare_model_free(m);
	pare_buf_done(&written);
	pare_buf_done(&own);
	pare_buf_done(&b.b);
}
END_TEST

/* Before IR 4 an initializer had to be a graph input, too. */
START_TEST(old_files_stay)
{
	struct built b;
	struct pare_buf own;
	struct pare_model *m = NULL;
	struct pare_err err = {0};

	product(&b, 3);
	ck_assert_int_eq(pare_onnx_open(model_span(&b), NULL, 0, &own, &m, &err), PARE_OK);
	ck_assert_uint_eq(own.len, 0);
	ck_assert_int_eq(m->graph.n_inits, 0);
	check_result(m, 0, 1);
	pare_model_free(m);
	pare_buf_done(&own);
	pare_buf_done(&b.b);
}
END_TEST

START_TEST(errors_are_those_of_reading)
{
	struct pare_buf own;
	struct pare_model *m = NULL;
	struct pare_err err = {0};

	ck_assert_int_eq(pare_onnx_open((struct pare_span){(const uint8_t *)"\xff", 1}, NULL, 0, &own, &m, &err), PARE_E_SYNTAX);
	ck_assert_ptr_null(m);
	pare_buf_done(&own);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("open");
	TCase *t = tcase_create("open");
	SRunner *r;
	int failed;

	tcase_add_test(t, weights_become_initializers);
	tcase_add_test(t, old_files_stay);
	tcase_add_test(t, errors_are_those_of_reading);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
