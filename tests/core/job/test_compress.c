/* What comes after pruning, as jobs through the worker: files that are smaller, and reports that say by how much and what it cost. */
#include <math.h>

#include "core/compress/pack.h"
#include "tests/core/job/job_support.h"

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":24,\"activation\":\"relu\"},{\"units\":16,\"activation\":\"relu\"},{\"units\":3}],\"seed\":3}"
/* The seed decides which rows are for testing. With this one, none of them lies far outside of the training rows, where ranges end. */
#define JOB(steps, outputs) \
	"{\"model\":\"m\",\"dataset\":\"d\",\"seed\":1,\"data\":{\"normalize\":\"standard\"},\"outputs\":[\"report\"" outputs "],\"recipe\":{\"steps\":[" steps "]}}"
#define TRAIN "{\"train\":{\"epochs\":40,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}}}"

#include "tests/core/job/iris_rig.h"

START_TEST(the_packed_file_is_the_model)
{
	struct pare_buf out;
	char *packed, *onnx;
	json_t *v;
	size_t n_packed, n_onnx;

	ck_assert_msg(run(JOB(TRAIN ",{\"prune\":{\"sparsity\":0.8}}", ",\"onnx\",\"compressed\"")) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	packed = rig_output(&r, "model.packed", &n_packed);
	onnx = rig_output(&r, "model.onnx", &n_onnx);
	pare_buf_init(&out, n_onnx);
	ck_assert_int_eq(pare_model_unpack((struct pare_span){(uint8_t *)packed, n_packed}, &out, &r.err), PARE_OK);
	ck_assert_uint_eq(out.len, n_onnx);
	ck_assert_mem_eq(out.data, onnx, n_onnx);
	ck_assert_uint_lt(n_packed, n_onnx / 2);
	v = rig_json(r.result);
	ck_assert_double_eq(rig_num(v, "summary.packed_bytes"), (double)n_packed);
	json_decref(v);
	pare_buf_done(&out);
	free(packed);
	free(onnx);
}
END_TEST

/* form and settings; bytes of a weight; the most that accuracy may be below the float model's */
static const struct {
	const char *step;
	double width, relative_error;
	bool saturates; /* where a processor lacks instructions for it, which the report says */
} quantize_table[] = {
    {"", 1, 0.01, true},
    {"\"range\":\"minmax\",\"per_channel\":false", 1, 0.02, true},
    {"\"range\":\"percentile\",\"reduce_range\":true,\"rows\":40", 1, 0.02, false},
    {"\"activations\":\"none\"", 1, 0.01, false},
    {"\"activations\":\"dynamic\"", 1, 0.01, true},
    {"\"activations\":\"dynamic\",\"per_channel\":false", 1, 0.02, true},
    {"\"form\":\"float16\"", 2, 0.0005, false},
    {"\"form\":\"bfloat16\"", 2, 0.004, false},
};

START_TEST(quantized_models_are_judged_as_they_leave)
{
	char job[1024];
	json_t *v;

	(void)snprintf(job, sizeof job, JOB(TRAIN ",{\"prune\":{\"sparsity\":0.4}},{\"quantize\":{%s}}", ",\"onnx\""), quantize_table[_i].step);
	ck_assert_msg(run(job) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_double_ge(rig_num(v, "final.accuracy"), rig_num(v, "dense.accuracy") - 0.1);
	ck_assert_double_ge(rig_num(v, "dense.accuracy"), 0.85);
	ck_assert_double_eq(rig_num(v, "final.file_bytes"), rig_num(v, "quantization.bytes"));
	ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(v, "quantization"), "layers")), 3);
	ck_assert_double_gt(rig_num(v, "quantization.layers.0.relative_error"), 0);
	ck_assert_double_lt(rig_num(v, "quantization.layers.0.relative_error"), quantize_table[_i].relative_error);
	ck_assert_double_gt(rig_num(v, "quantization.largest_difference"), 0);
	ck_assert_double_lt(rig_num(v, "quantization.largest_difference"), 0.03 * rig_num(v, "quantization.largest_output"));
	ck_assert_double_eq_tol(rig_num(v, "final.sparsity"), 0.4, 0.001);
	ck_assert_uint_eq(json_array_size(json_object_get(v, "warnings")), quantize_table[_i].saturates ? 2 : 1);
	json_decref(v);
}
END_TEST

/* The float model of the quantized one is the shrunk one, and a packed file of it is small. */
START_TEST(after_shrinking)
{
	json_t *v;

	ck_assert_msg(run(JOB(TRAIN ",{\"prune\":{\"granularity\":\"channel\",\"sparsity\":0.25,\"recover\":{\"epochs\":10,\"optimizer\":\"adam\"}}},{\"quantize\":{}}",
	    ",\"compressed\"")) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_double_lt(rig_num(v, "final.n_weights"), rig_num(v, "dense.n_weights"));
	ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(v, "quantization"), "layers")), 3);
	ck_assert_double_ge(rig_num(v, "final.accuracy"), 0.8);
	json_decref(v);
}
END_TEST

/* Few values, zeros where they were, and trained on without becoming more; the same from the same job. */
#define SHARED \
	TRAIN ",{\"prune\":{\"sparsity\":0.5,\"recover\":{\"epochs\":10,\"optimizer\":\"adam\"}}},{\"cluster\":{\"bits\":%d,\"init\":\"%s\",\"exclude\":[\"fc3.weight\"]}}," \
	      "{\"train\":{\"epochs\":%d,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.002},\"clip_norm\":%s}}%s"

static const struct {
	int bits;
	const char *init;
	int epochs;
	const char *clip, *more;
} share_table[] = {
    {2, "linear", 10, "100", ""},
    {3, "density", 10, "0.5", ""},
    {2, "density", 5, "100", ",{\"prune\":{\"sparsity\":0.6,\"recover\":{\"epochs\":5,\"optimizer\":\"adam\"}}},{\"evaluate\":{\"folds\":2}}"},
    {1, "linear", 3, "100", ",{\"train\":{\"epochs\":2,\"optimizer\":\"adam\",\"regularizer\":{\"name\":\"group_lasso\",\"lambda\":0.001}}}"},
};

START_TEST(shared_weights_stay_shared)
{
	char job[2048], steps[1024];
	size_t n;
	json_t *v;

	(void)snprintf(steps, sizeof steps, SHARED, share_table[_i].bits, share_table[_i].init, share_table[_i].epochs, share_table[_i].clip, share_table[_i].more);
	(void)snprintf(job, sizeof job, JOB("%s", ",\"onnx\",\"compressed\""), steps);
	n = rig_twice(&r, run, job);
	v = rig_report(&r);
	ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(v, "sharing"), "layers")), 2);
	for (int k = 0; k < 2; k++) {
		double values = rig_num(v, k == 0 ? "sharing.layers.0.values" : "sharing.layers.1.values");

		ck_assert_double_ge(values, 2);
		ck_assert_double_le(values, 1 << share_table[_i].bits);
		ck_assert_double_le(rig_num(v, "sharing.layers.0.entropy_bits"), share_table[_i].bits + 1);
	}
	ck_assert_double_ge(rig_num(v, "final.sparsity"), 0.4999);
	ck_assert_double_ge(rig_num(v, "final.accuracy"), 0.8);
	ck_assert_double_lt(rig_num(v, "sharing.packed_bytes"), (double)n / 2);
	json_decref(v);
}
END_TEST

static const struct {
	const char *steps, *where, *message;
} bad_table[] = {
    {"{\"quantize\":{}}," TRAIN, "/recipe/steps/0/quantize", "last step"},
    {"{\"quantize\":{\"exclude\":[\"fc*\"]}}", "/recipe/steps/0/quantize", "nothing to quantize"},
    {"{\"cluster\":{}},{\"reconstruct\":{}}", "/recipe/steps/1/reconstruct", "before cluster"},
    {"{\"cluster\":{\"exclude\":[\"*\"]}}", "/recipe/steps/0/cluster", "no weights to share"},
    {"{\"quantize\":{\"form\":\"int4\"}}", "/recipe/steps/0/quantize/form", "int8"},
};

START_TEST(refused_with_the_reason)
{
	char job[1024];

	(void)snprintf(job, sizeof job, JOB("%s", ""), bad_table[_i].steps);
	ck_assert_int_ne(run(job), PARE_OK);
	ck_assert_msg(strstr(r.err.message, bad_table[_i].message) != NULL && strstr(r.err.where, bad_table[_i].where) != NULL, "%d: \"%s\" at \"%s\"", _i, r.err.message, r.err.where);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("core/job/compress");
	TCase *t = tcase_create("compress");

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_packed_file_is_the_model);
	tcase_add_loop_test(t, quantized_models_are_judged_as_they_leave, 0, (int)(sizeof quantize_table / sizeof quantize_table[0]));
	tcase_add_loop_test(t, shared_weights_stay_shared, 0, (int)(sizeof share_table / sizeof share_table[0]));
	tcase_add_test(t, after_shrinking);
	tcase_add_loop_test(t, refused_with_the_reason, 0, (int)(sizeof bad_table / sizeof bad_table[0]));
	suite_add_tcase(s, t);
	return rig_main(s);
}
