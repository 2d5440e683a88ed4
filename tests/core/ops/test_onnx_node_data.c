/* ONNX's own node tests (Debian libonnx-testdata), as an independent judge of forward. Every input of a node becomes an
 * initializer, so that any shape runs; outputs are compared with the files. Not in the list: integer
 * arithmetic (test_add_uint8, ...), sequences and optionals, and "_expanded" cases of operators that do not exist here. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/onnx/onnx.h"
#include "core/onnx/wire.h"
#include "tests/support/net_check.h"

#define ROOT "/usr/share/libonnx-testdata/data/node/"
#define MAX_FILE 200000

static const char *const case_table[] = {
    "test_add", "test_add_bcast", "test_mul", "test_mul_bcast", "test_mul_example", "test_relu", "test_sigmoid", "test_sigmoid_example", "test_tanh",
    "test_tanh_example", "test_matmul_2d", "test_matmul_3d", "test_matmul_4d", "test_gemm_all_attributes", "test_gemm_alpha", "test_gemm_beta",
    "test_gemm_default_matrix_bias", "test_gemm_default_no_bias", "test_gemm_default_scalar_bias", "test_gemm_default_single_elem_vector_bias",
    "test_gemm_default_vector_bias", "test_gemm_default_zero_bias", "test_gemm_transposeA", "test_gemm_transposeB", "test_flatten_axis0",
    "test_flatten_axis1", "test_flatten_axis2", "test_flatten_axis3", "test_flatten_default_axis", "test_flatten_negative_axis1",
    "test_flatten_negative_axis2", "test_flatten_negative_axis3", "test_flatten_negative_axis4", "test_identity", "test_softmax_axis_0",
    "test_softmax_axis_1", "test_softmax_axis_2", "test_softmax_default_axis", "test_softmax_example", "test_softmax_large_number",
    "test_softmax_negative_axis", "test_logsoftmax_axis_0", "test_logsoftmax_axis_1", "test_logsoftmax_axis_2", "test_logsoftmax_default_axis",
    "test_logsoftmax_example_1", "test_logsoftmax_large_number", "test_logsoftmax_negative_axis", "test_reshape_allowzero_reordered",
    "test_reshape_extended_dims", "test_reshape_negative_dim", "test_reshape_negative_extended_dims", "test_reshape_one_dim",
    "test_reshape_reduced_dims", "test_reshape_reordered_all_dims", "test_reshape_reordered_last_dims", "test_reshape_zero_and_negative_dim",
    "test_reshape_zero_dim", "test_dropout_default", "test_dropout_default_mask", "test_dropout_default_mask_ratio", "test_dropout_default_old",
    "test_dropout_default_ratio", "test_dropout_random_old", "test_constant",
};
#define N_CASES (sizeof case_table / sizeof case_table[0])

struct file {
	uint8_t data[MAX_FILE];
	size_t len;
};

static bool load(const char *test, const char *name, struct file *f)
{
	char path[256];
	FILE *fp;

	(void)snprintf(path, sizeof path, ROOT "%s/%s", test, name);
	fp = fopen(path, "rb");
	if (fp == NULL)
		return false;
	f->len = fread(f->data, 1, sizeof f->data, fp);
	ck_assert_uint_lt(f->len, sizeof f->data);
	(void)fclose(fp);
	return true;
}

struct tensor {
	int dtype, n_dims;
	int64_t dims[PARE_MAX_DIMS];
	const uint8_t *raw;
	size_t n_bytes, n_elems;
};

/* A TensorProto with raw_data, which is how all of these files hold their values. */
static void parse_tensor(const struct file *f, struct tensor *t)
{
	struct pare_wire w, packed;
	struct pare_field field;
	uint64_t dim;

	memset(t, 0, sizeof *t);
	t->n_elems = 1;
	pare_wire_init(&w, f->data, (struct pare_span){f->data, f->len});
	while (pare_wire_next(&w, &field)) {
		if (field.number == 1 && field.type == PARE_WIRE_VARINT) {
			t->dims[t->n_dims++] = (int64_t)field.bits;
		} else if (field.number == 1) {
			pare_wire_init(&packed, f->data, field.span);
			while (pare_wire_varint(&packed, &dim))
				t->dims[t->n_dims++] = (int64_t)dim;
		} else if (field.number == 2) {
			t->dtype = (int)field.bits;
		} else if (field.number == 9) {
			t->raw = field.span.data;
			t->n_bytes = field.span.len;
		}
	}
	for (int i = 0; i < t->n_dims; i++)
		t->n_elems *= (size_t)t->dims[i];
	ck_assert(t->raw != NULL || t->n_elems == 0);
}

static void copy_attrs(struct gb *b, const struct pare_node *node)
{
	for (int i = 0; i < node->n_attrs; i++) {
		const struct pare_attr *a = &node->attrs[i];
		float values[64];
		const struct pare_tensor *t = a->t;

		switch (a->type) {
		case PARE_ATTR_INT:
			gb_attr_int(b, a->name, a->i);
			break;
		case PARE_ATTR_FLOAT:
			gb_attr_float(b, a->name, a->f);
			break;
		case PARE_ATTR_TENSOR:
			ck_assert_uint_le(t->n_elems, 64);
			ck_assert_int_eq(pare_tensor_read_f32(t, values, NULL), PARE_OK);
			gb_init_dims(b, "attr", t->n_dims, t->dims, PARE_DT_FLOAT, values, t->n_elems * sizeof(float));
			gb_attr_tensor(b, a->name, "attr");
			break;
		default:
			ck_abort_msg("attribute %s of a type that this test does not copy", a->name);
		}
	}
}

static struct gb *rebuild(const char *test, const struct pare_model *m)
{
	static struct file f;
	struct gb *b = gb_new(pare_model_opset(m, ""));
	const struct pare_node *node = &m->graph.nodes[0];
	char in[64] = "", out[32] = "", file[64];

	for (int i = 0; i < node->n_in; i++) {
		char name[16];
		struct tensor t;

		(void)snprintf(name, sizeof name, "in%d", i);
		(void)snprintf(file, sizeof file, "test_data_set_0/input_%d.pb", i);
		ck_assert_msg(load(test, file, &f), "%s: no %s", test, file);
		parse_tensor(&f, &t);
		gb_init_dims(b, name, t.n_dims, t.dims, t.dtype, t.raw, t.n_bytes);
		(void)snprintf(in + strlen(in), sizeof in - strlen(in), "%s%s", i > 0 ? " " : "", name);
	}
	for (int i = 0; i < node->n_out; i++)
		(void)snprintf(out + strlen(out), sizeof out - strlen(out), "%sout%d", i > 0 ? " " : "", i);
	gb_node(b, node->op_type, test, in, out);
	copy_attrs(b, node);
	for (int i = 0; i < node->n_out; i++) {
		(void)snprintf(out, sizeof out, "out%d", i);
		gb_output(b, out);
	}
	return b;
}

static void compare(const char *test, const struct pare_net *net, int i)
{
	static struct file f;
	static float got[MAX_FILE / 4];
	char name[64];
	int64_t dims[PARE_MAX_DIMS];
	struct tensor t;
	int n_dims;

	(void)snprintf(name, sizeof name, "test_data_set_0/output_%d.pb", i);
	ck_assert_msg(load(test, name, &f), "%s: no %s", test, name);
	parse_tensor(&f, &t);
	(void)pare_net_output_shape(net, i, &n_dims, dims);
	ck_assert_msg(n_dims == t.n_dims && memcmp(dims, t.dims, (size_t)n_dims * sizeof *dims) == 0, "%s: output %d has another shape", test, i);
	ck_assert_uint_eq(nc_output(net, i, 1, got), t.n_elems);
	for (size_t k = 0; k < t.n_elems; k++) {
		float want = t.dtype == PARE_DT_BOOL ? (float)t.raw[k] : 0;

		if (t.dtype != PARE_DT_BOOL)
			memcpy(&want, t.raw + k * sizeof want, sizeof want);
		ck_assert_msg(fabsf(got[k] - want) <= 1e-6f + 2e-6f * fabsf(want), "%s: output %d[%zu] is %.9g, want %.9g", test, i, k, (double)got[k], (double)want);
	}
}

START_TEST(node_data)
{
	static struct file f;
	const char *test = case_table[_i];
	struct pare_model *m = NULL;
	struct pare_err err = {0};

	ck_assert_msg(load(test, "model.onnx", &f), "%s is not in " ROOT " (libonnx-testdata)", test);
	ck_assert_msg(pare_onnx_read((struct pare_span){f.data, f.len}, &m, &err) == PARE_OK, "%s: %s: %s", test, err.where, err.message);
	for (int training = 0; training < 2; training++) {
		struct gb *b = rebuild(test, m);
		struct pare_net *net = nc_net(b, 1, 1, training != 0);

		nc_forward(net, NULL, 1, false, 0);
		for (int i = 0; i < pare_net_n_outputs(net); i++)
			compare(test, net, i);
		pare_net_free(net);
		gb_free(b);
	}
	pare_model_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("onnx node data");
	TCase *t = tcase_create("forward");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, node_data, 0, (int)N_CASES);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
