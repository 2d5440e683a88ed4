/* Tensor values in and out: every dtype and storage, replacement in place, what is kept around it. */
#include <math.h>

#include "core/graph/graph_priv.h"
#include "tests/core/onnx/models.h"

static const int64_t three = 3;

static struct pare_model *read_ok(struct built *m)
{
	struct pare_model *model = NULL;
	struct pare_err err = {0};

	ck_assert_msg(pare_onnx_read(model_span(m), &model, &err) == PARE_OK, "%s (%s)", err.message, err.where);
	return model;
}

static void one_tensor(struct built *m, int dtype, uint32_t field, const void *bytes, size_t n)
{
	size_t t;

	model_begin(m);
	t = model_tensor_begin(m, "t", dtype, 1, &three);
	pare_wire_put_bytes(&m->b, field, bytes, n);
	pare_wire_end(&m->b, t);
	model_end(m);
}

#define BYTES(s) s, sizeof(s) - 1
static const struct {
	int dtype;
	uint32_t field;
	const char *bytes;
	size_t n;
	float want[3];
	bool is_int;
} storage_table[] = {
    {PARE_DT_FLOAT, TENSOR_RAW_DATA, BYTES("\0\0\x80\x3f\0\0\0\xc0\0\0\0\0"), {1, -2, 0}, false},
    {PARE_DT_FLOAT, TENSOR_FLOAT_DATA, BYTES("\0\0\x80\x3f\0\0\0\xc0\0\0\0\0"), {1, -2, 0}, false},
    {PARE_DT_FLOAT16, TENSOR_RAW_DATA, BYTES("\x00\x3c\x00\xc0\x01\x00"), {1, -2, 0x1p-24f}, false},
    {PARE_DT_FLOAT16, TENSOR_INT32_DATA, BYTES("\x80\x78\x80\x80\x03\x01"), {1, -2, 0x1p-24f}, false},
    {PARE_DT_BFLOAT16, TENSOR_RAW_DATA, BYTES("\x80\x3f\x00\xc0\x00\x80"), {1, -2, -0.0f}, false},
    {PARE_DT_DOUBLE, TENSOR_RAW_DATA, BYTES("\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\xc0\0\0\0\0\0\0\0\0"), {1, -2, 0}, false},
    {PARE_DT_DOUBLE, TENSOR_DOUBLE_DATA, BYTES("\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\xc0\0\0\0\0\0\0\0\0"), {1, -2, 0}, false},
    {PARE_DT_INT8, TENSOR_RAW_DATA, BYTES("\x01\xfe\x7f"), {1, -2, 127}, true},
    {PARE_DT_INT8, TENSOR_INT32_DATA, BYTES("\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x7f"), {1, -2, 127}, true},
    {PARE_DT_UINT8, TENSOR_RAW_DATA, BYTES("\x01\xfe\x7f"), {1, 254, 127}, true},
    {PARE_DT_BOOL, TENSOR_RAW_DATA, BYTES("\x01\x00\x01"), {1, 0, 1}, true},
    {PARE_DT_INT16, TENSOR_RAW_DATA, BYTES("\x01\x00\xfe\xff\x00\x80"), {1, -2, -32768}, true},
    {PARE_DT_UINT16, TENSOR_RAW_DATA, BYTES("\x01\x00\xfe\xff\x00\x80"), {1, 65534, 32768}, true},
    {PARE_DT_INT32, TENSOR_RAW_DATA, BYTES("\x01\0\0\0\xfe\xff\xff\xff\0\0\0\x80"), {1, -2, -0x1p31f}, true},
    {PARE_DT_UINT32, TENSOR_RAW_DATA, BYTES("\x01\0\0\0\0\0\0\x80\0\0\0\0"), {1, 0x1p31f, 0}, true},
    {PARE_DT_UINT32, TENSOR_UINT64_DATA, BYTES("\x01\x80\x80\x80\x80\x08\x00"), {1, 0x1p31f, 0}, true},
    {PARE_DT_INT64, TENSOR_INT64_DATA, BYTES("\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x05"), {1, -2, 5}, true},
    {PARE_DT_INT64, TENSOR_RAW_DATA, BYTES("\x01\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff\x05\0\0\0\0\0\0\0"), {1, -2, 5}, true},
};

START_TEST(every_storage)
{
	struct pare_model *model;
	struct pare_err err = {0};
	struct built m;
	float f[3];
	int64_t i64[3];

	one_tensor(&m, storage_table[_i].dtype, storage_table[_i].field, storage_table[_i].bytes, storage_table[_i].n);
	model = read_ok(&m);
	ck_assert_int_eq(pare_tensor_read_f32(model->graph.values[0].init, f, &err), PARE_OK);
	for (int k = 0; k < 3; k++)
		ck_assert_msg(f[k] == storage_table[_i].want[k], "element %d is %g", k, (double)f[k]);
	if (storage_table[_i].is_int) {
		ck_assert_int_eq(pare_tensor_read_i64(model->graph.values[0].init, i64, &err), PARE_OK);
		for (int k = 0; k < 3; k++)
			ck_assert_int_eq(i64[k], (int64_t)storage_table[_i].want[k]);
	} else {
		ck_assert_int_eq(pare_tensor_read_i64(model->graph.values[0].init, i64, &err), PARE_E_UNSUPPORTED);
	}
	pare_model_free(model);
	pare_buf_done(&m.b);
}
END_TEST

START_TEST(unpacked_and_mixed_entries)
{
	struct pare_model *model;
	struct pare_err err = {0};
	struct built m;
	float f[3];
	size_t t;

	model_begin(&m);
	t = pare_wire_begin(&m.b, GRAPH_INITIALIZER);
	pare_wire_put_bytes(&m.b, TENSOR_DIMS, "\x03", 1); /* dims packed */
	pare_wire_put_float(&m.b, TENSOR_FLOAT_DATA, 1.5f);
	pare_wire_put_int(&m.b, TENSOR_DATA_TYPE, PARE_DT_FLOAT);
	pare_wire_put_bytes(&m.b, TENSOR_FLOAT_DATA, "\0\0\0\x40", 4);
	pare_wire_put_str(&m.b, TENSOR_NAME, "t");
	pare_wire_put_float(&m.b, TENSOR_FLOAT_DATA, -3.0f);
	pare_wire_end(&m.b, t);
	model_end(&m);
	model = read_ok(&m);
	ck_assert_int_eq(pare_tensor_read_f32(model->graph.values[0].init, f, &err), PARE_OK);
	ck_assert(f[0] == 1.5f && f[1] == 2.0f && f[2] == -3.0f);
	pare_model_free(model);
	pare_buf_done(&m.b);
}
END_TEST

START_TEST(values_that_cannot_be_read)
{
	struct pare_model *model;
	struct pare_err err = {0};
	struct built m;
	int64_t i64[3];
	float f[3];
	size_t t;

	one_tensor(&m, PARE_DT_UINT64, TENSOR_UINT64_DATA, "\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12);
	model = read_ok(&m);
	ck_assert_int_eq(pare_tensor_read_i64(model->graph.values[0].init, i64, &err), PARE_E_UNSUPPORTED);
	pare_model_free(model);
	pare_buf_done(&m.b);

	model_begin(&m);
	t = model_tensor_begin(&m, "far", PARE_DT_FLOAT, 1, &three);
	pare_wire_put_int(&m.b, TENSOR_DATA_LOCATION, 1);
	pare_wire_end(&m.b, t);
	model_end(&m);
	model = read_ok(&m);
	ck_assert(model->graph.values[0].init->external);
	ck_assert_int_eq(pare_tensor_read_f32(model->graph.values[0].init, f, &err), PARE_E_UNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.where, "far"));
	ck_assert_ptr_nonnull(strstr(err.message, "external"));
	pare_model_free(model);
	pare_buf_done(&m.b);

	model_begin(&m);
	t = model_tensor_begin(&m, "text", PARE_DT_STRING, 1, &three);
	for (int i = 0; i < 3; i++)
		pare_wire_put_str(&m.b, TENSOR_STRING_DATA, "s");
	pare_wire_end(&m.b, t);
	model_end(&m);
	model = read_ok(&m);
	ck_assert_int_eq(pare_tensor_read_f32(model->graph.values[0].init, f, &err), PARE_E_UNSUPPORTED);
	ck_assert_int_eq(pare_model_set_init_f32(model, 0, f, &err), PARE_E_UNSUPPORTED);
	pare_model_free(model);
	pare_buf_done(&m.b);
}
END_TEST

/* The tensor's other fields, the unknown one among them, keep their bytes and order; what stood around it, too. */
START_TEST(replacing_keeps_everything_else)
{
	static const float fresh[3] = {7, 8, 9};
	static const char before[] = "\x08\x03\x10\x01\x42\x01t\x62\x03" "doc\xba\x3e\x02zz";
	struct pare_model *model, *again;
	struct pare_err err = {0};
	struct pare_buf out;
	struct built m, want;
	float f[3];
	size_t t;

	for (int k = 0; k < 2; k++) { /* k = 1: what should come out */
		struct built *b = k == 0 ? &m : &want;

		model_begin(b);
		pare_wire_put_str(&b->b, 99, "unknown to us");
		t = pare_wire_begin(&b->b, GRAPH_INITIALIZER);
		(void)pare_buf_add(&b->b, before, 4);
		if (k == 0)
			pare_wire_put_bytes(&b->b, TENSOR_FLOAT_DATA, "\0\0\0\0\0\0\x80\x3f", 8);
		else
			pare_wire_put_bytes(&b->b, TENSOR_RAW_DATA, fresh, sizeof fresh);
		(void)pare_buf_add(&b->b, before + 4, sizeof before - 1 - 4);
		if (k == 0)
			pare_wire_put_float(&b->b, TENSOR_FLOAT_DATA, 5);
		pare_wire_end(&b->b, t);
		model_value(b, GRAPH_OUTPUT, "t");
		model_end(b);
		pare_wire_put_str(&b->b, 14, "");
	}
	model = read_ok(&m);
	ck_assert_int_eq(pare_model_set_init_f32(model, 0, fresh, &err), PARE_OK);
	ck_assert_int_eq(pare_model_set_init_f32(model, 0, fresh, &err), PARE_OK);
	ck_assert_int_eq(pare_tensor_read_f32(model->graph.values[0].init, f, &err), PARE_OK);
	ck_assert_mem_eq(f, fresh, sizeof f);
	pare_buf_init(&out, MODEL_CAP);
	ck_assert_int_eq(pare_onnx_write(model, &out, &err), PARE_OK);
	ck_assert_uint_eq(out.len, want.b.len);
	ck_assert_mem_eq(out.data, want.b.data, out.len);
	again = NULL;
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(uint8_t *)out.data, out.len}, &again, &err), PARE_OK);
	pare_model_free(again);
	pare_model_free(model);
	pare_buf_done(&out);
	pare_buf_done(&m.b);
	pare_buf_done(&want.b);
}
END_TEST

START_TEST(writing_past_the_cap)
{
	struct pare_model *model;
	struct pare_err err = {0};
	struct pare_buf out;
	struct built m;

	one_tensor(&m, PARE_DT_FLOAT, TENSOR_RAW_DATA, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
	model = read_ok(&m);
	pare_buf_init(&out, 10);
	ck_assert_int_ne(pare_onnx_write(model, &out, &err), PARE_OK);
	pare_buf_done(&out);
	pare_model_free(model);
	pare_buf_done(&m.b);
}
END_TEST

/* Set and read in each floating type: rounding to nearest even, and refusal of what does not fit. */
static const struct {
	int dtype;
	float in, want; /* want NaN: must be refused */
} round_table[] = {
    {PARE_DT_DOUBLE, 0.1f, 0.1f},
    {PARE_DT_FLOAT, 0.1f, 0.1f},
    {PARE_DT_FLOAT16, 1.0f + 0x1p-11f, 1.0f},                      /* a tie: to even, down */
    {PARE_DT_FLOAT16, 1.0f + 3 * 0x1p-11f, 1.0f + 2 * 0x1p-10f},   /* a tie: to even, up */
    {PARE_DT_FLOAT16, 1.0f + 0x1.1p-11f, 1.0f + 0x1p-10f},
    {PARE_DT_FLOAT16, 65504, 65504},
    {PARE_DT_FLOAT16, 65519, 65504},
    {PARE_DT_FLOAT16, 65520, NAN},
    {PARE_DT_FLOAT16, -1e30f, NAN},
    {PARE_DT_FLOAT16, 0x1p-24f, 0x1p-24f},
    {PARE_DT_FLOAT16, 0x1p-25f, 0},
    {PARE_DT_FLOAT16, 0x1.8p-25f, 0x1p-24f},
    {PARE_DT_FLOAT16, 0x1.ff8p-15f, 0x1.ff8p-15f}, /* the last subnormal */
    {PARE_DT_FLOAT16, 0x1.ffcp-15f, 0x1p-14f},     /* between it and the first normal: to even */
    {PARE_DT_FLOAT16, 0x1.ffbp-15f, 0x1.ff8p-15f},
    {PARE_DT_FLOAT16, INFINITY, INFINITY},
    {PARE_DT_BFLOAT16, 1.0f + 0x1p-8f, 1.0f},
    {PARE_DT_BFLOAT16, 1.0f + 3 * 0x1p-8f, 1.0f + 2 * 0x1p-7f},
    {PARE_DT_BFLOAT16, 0x1.fep127f, 0x1.fep127f},
    {PARE_DT_BFLOAT16, 0x1.ffp127f, NAN},
    {PARE_DT_BFLOAT16, -INFINITY, -INFINITY},
};

START_TEST(rounding)
{
	int dtype = round_table[_i].dtype;
	static const uint8_t zeros[24];
	const float in[3] = {round_table[_i].in, -0.0f, 1};
	struct pare_model *model;
	struct pare_model_counts counts;
	struct pare_err err = {0};
	struct built m;
	float f[3];

	one_tensor(&m, dtype, TENSOR_RAW_DATA, zeros, 3 * (size_t)pare_dtype_bits(dtype) / 8);
	model = read_ok(&m);
	if (isnan(round_table[_i].want)) {
		ck_assert_int_eq(pare_model_set_init_f32(model, 0, in, &err), PARE_E_NONFINITE);
		ck_assert_ptr_nonnull(strstr(err.message, "element 0"));
		ck_assert_ptr_nonnull(strstr(err.where, "\"t\""));
	} else {
		ck_assert_int_eq(pare_model_set_init_f32(model, 0, in, &err), PARE_OK);
		ck_assert_int_eq(pare_tensor_read_f32(model->graph.values[0].init, f, &err), PARE_OK);
		ck_assert_msg(f[0] == round_table[_i].want, "%a became %a", (double)in[0], (double)f[0]);
		ck_assert(f[1] == 0 && signbit(f[1]) && f[2] == 1);
		ck_assert_int_eq(pare_model_count(model, &counts, &err), PARE_OK);
		ck_assert_int_eq(counts.n_params, 3);
		ck_assert_int_eq(counts.n_nonzero, round_table[_i].want == 0 ? 1 : 2);
		ck_assert_int_eq(counts.n_weights, 0);
	}
	pare_model_free(model);
	pare_buf_done(&m.b);
}
END_TEST

/* All 65,536 patterns: to float and back is the same half, and NaN stays NaN. */
START_TEST(every_half)
{
	bool lost = false;

	for (uint32_t h = 0; h < 65536; h++) {
		float f = pare_half_to_float((uint16_t)h), b = pare_bfloat_to_float((uint16_t)h);
		bool is_nan = (h & 0x7c00) == 0x7c00 && (h & 0x3ff) != 0, is_bnan = (h & 0x7f80) == 0x7f80 && (h & 0x7f) != 0;

		ck_assert(isnan(f) == is_nan && isnan(b) == is_bnan);
		if (!is_nan)
			ck_assert_uint_eq(pare_half_from_float(f, &lost), h);
		else
			ck_assert(isnan(pare_half_to_float(pare_half_from_float(f, &lost))));
		if (!is_bnan)
			ck_assert_uint_eq(pare_bfloat_from_float(b, &lost), h);
		else
			ck_assert(isnan(pare_bfloat_to_float(pare_bfloat_from_float(b, &lost))));
	}
	ck_assert(!lost);
}
END_TEST

START_TEST(shapes_inputs_and_defaults)
{
	struct pare_model *model;
	const struct pare_value *x;
	struct built m;
	size_t value, type, tensor, shape, dim, t;

	model_begin(&m);
	for (int k = 0; k < 2; k++) { /* x: [N, 4]; w: an input that an initializer gives a default */
		value = pare_wire_begin(&m.b, GRAPH_INPUT);
		pare_wire_put_str(&m.b, VALUE_NAME, k == 0 ? "w" : "x");
		type = pare_wire_begin(&m.b, VALUE_TYPE);
		tensor = pare_wire_begin(&m.b, TYPE_TENSOR);
		pare_wire_put_int(&m.b, TENSOR_TYPE_ELEM, PARE_DT_FLOAT);
		shape = pare_wire_begin(&m.b, TENSOR_TYPE_SHAPE);
		dim = pare_wire_begin(&m.b, SHAPE_DIM);
		pare_wire_put_str(&m.b, DIM_PARAM, "N");
		pare_wire_end(&m.b, dim);
		dim = pare_wire_begin(&m.b, SHAPE_DIM);
		pare_wire_put_int(&m.b, DIM_VALUE, 4);
		pare_wire_end(&m.b, dim);
		pare_wire_end(&m.b, shape);
		pare_wire_end(&m.b, tensor);
		pare_wire_end(&m.b, type);
		pare_wire_end(&m.b, value);
	}
	t = model_tensor_begin(&m, "w", PARE_DT_FLOAT, 1, &three);
	pare_wire_put_bytes(&m.b, TENSOR_RAW_DATA, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
	pare_wire_end(&m.b, t);
	model_node(&m, "Add", "x", "w", "y");
	model_value(&m, GRAPH_OUTPUT, "y");
	model_end(&m);
	model = read_ok(&m);
	ck_assert_int_eq(model->graph.n_inputs, 1);
	ck_assert_int_eq(model->graph.n_values, 3);
	x = &model->graph.values[model->graph.inputs[0]];
	ck_assert_str_eq(x->name, "x");
	ck_assert(x->is_input && x->init == NULL && x->producer == -1);
	ck_assert_int_eq(x->n_dims, 2);
	ck_assert_int_eq(x->dims[0], PARE_DIM_UNKNOWN);
	ck_assert_int_eq(x->dims[1], 4);
	x = &model->graph.values[model->graph.inits[0]];
	ck_assert(x->is_input && x->init != NULL && x->n_dims == 1 && x->dims[0] == 3);
	x = &model->graph.values[model->graph.outputs[0]];
	ck_assert(x->is_output && x->producer == 0 && x->n_dims == -1);
	ck_assert_int_eq(pare_model_opset(model, ""), 17);
	ck_assert_int_eq(pare_model_opset(model, "com.example"), 0);
	pare_model_free(model);
	pare_model_free(NULL);
	pare_buf_done(&m.b);
}
END_TEST

#define N(table) ((int)(sizeof table / sizeof table[0]))

int main(void)
{
	Suite *s = suite_create("onnx values");
	TCase *tc = tcase_create("tensors");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, every_storage, 0, N(storage_table));
	tcase_add_test(tc, unpacked_and_mixed_entries);
	tcase_add_test(tc, values_that_cannot_be_read);
	tcase_add_test(tc, replacing_keeps_everything_else);
	tcase_add_test(tc, writing_past_the_cap);
	tcase_add_loop_test(tc, rounding, 0, N(round_table));
	tcase_add_test(tc, every_half);
	tcase_add_test(tc, shapes_inputs_and_defaults);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
