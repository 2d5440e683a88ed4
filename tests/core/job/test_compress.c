/* What comes after pruning, as jobs through the worker: files that are smaller, and reports that say by how much and what it cost. */
#include <math.h>

#include "core/compress/pack.h"
#include "tests/core/job/job_support.h"

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":24,\"activation\":\"relu\"},{\"units\":16,\"activation\":\"relu\"},{\"units\":3}],\"seed\":3}"
#define JOB(steps, outputs) \
	"{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"data\":{\"normalize\":\"standard\"},\"outputs\":[\"report\"" outputs "],\"recipe\":{\"steps\":[" steps "]}}"
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

int main(int argc, char **argv)
{
	Suite *s = suite_create("core/job/compress");
	TCase *t = tcase_create("compress");

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_packed_file_is_the_model);
	suite_add_tcase(s, t);
	return rig_main(s);
}
