/* What a train step may say, as whole jobs: optimizers, schedules, losses, penalties, teachers. Each runs in a worker process. */
#include <math.h>

#include "tests/core/job/job_support.h"
#include "tests/support/npy.h"

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":16,\"activation\":\"sigmoid\"},{\"units\":3}],\"seed\":7}"
#define WIDE "{\"input\":[4],\"layers\":[{\"units\":32,\"activation\":\"relu\"},{\"units\":16,\"activation\":\"tanh\"},{\"units\":3}],\"seed\":5}"
#define HEAD "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":3,\"data\":{\"normalize\":\"standard\"},"
#define STEPS(text) HEAD "\"recipe\":{\"steps\":[" text "]}}"
#define TRAIN(text) "{\"train\":{\"epochs\":60,\"batch_size\":8," text "}}"
#define ADAM "\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}"
#define IRIS "tests/data/iris.csv"

static struct rig r;

static void setup(void)
{
	rig_init(&r);
}

static void teardown(void)
{
	rig_done(&r);
}

static enum pare_code run(const char *job, const char *teacher)
{
	size_t n;
	char *model = rig_build(ARCH, &n);
	enum pare_code code;

	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = job;
	rig_input(&r, "model", "in.onnx", model, n);
	free(model);
	if (teacher != NULL) {
		model = rig_build(teacher, &n);
		rig_input(&r, "teacher", "teacher.onnx", model, n);
		free(model);
	}
	rig_file(&r, "data", IRIS);
	code = rig_go(&r);
	return code;
}

static const struct {
	const char *job;
	double accuracy;
} good_table[] = {
    {STEPS(TRAIN("\"optimizer\":{\"name\":\"adamw\",\"lr\":0.02,\"weight_decay\":0.05},\"lr_schedule\":{\"name\":\"one_cycle\"},\"clip_norm\":1,\"loss\":{\"name\":\"cross_entropy\",\"smoothing\":0.1,\"class_weights\":[1,2]}")), 0.85},
    {STEPS(TRAIN("\"optimizer\":{\"name\":\"rmsprop\",\"lr\":0.005,\"momentum\":0.5},\"lr_schedule\":{\"name\":\"exponential\",\"gamma\":0.98},\"warmup\":2.5,\"clip_value\":0.5,\"loss\":\"bce\"")), 0.85},
    {STEPS(TRAIN(ADAM ",\"regularizer\":[{\"name\":\"elastic_net\",\"lambda\":1e-4},{\"name\":\"group_lasso\",\"lambda\":1e-4},{\"name\":\"decay\",\"lambda\":0.01}],\"loss\":\"huber\"")), 0.8},
    {STEPS(TRAIN(ADAM) ",{\"prune\":{\"sparsity\":0.6,\"recover\":{\"epochs\":30,\"batch_size\":8," ADAM ",\"distill\":{\"teacher\":\"dense\"}}}}"), 0.8},
    {STEPS(TRAIN(ADAM) ",{\"prune\":{\"sparsity\":0.2}},{\"reestimate\":{\"rows\":64}},{\"evaluate\":{}}"), 0.8},
    {STEPS(TRAIN(ADAM) "," TRAIN(ADAM ",\"distill\":{\"teacher\":\"input\",\"alpha\":0.1,\"temperature\":2,\"tensors\":[{\"student\":\"fc1_out\",\"teacher\":\"fc1_out\"}]}")), 0.8},
};

START_TEST(steps_train)
{
	json_t *v;

	ck_assert_msg(run(good_table[_i].job, NULL) == PARE_OK, "%s at %s", r.err.message, r.err.where);
	v = rig_report(&r);
	ck_assert_msg(rig_num(v, "final.accuracy") >= good_table[_i].accuracy, "job %d: accuracy %g", _i, rig_num(v, "final.accuracy"));
	json_decref(v);
}
END_TEST

static const struct {
	const char *job, *where, *says;
	enum pare_code code;
} bad_table[] = {
    {STEPS(TRAIN("\"distill\":{\"teacher\":\"dense\"}")), "/recipe/steps/0/train: /distill/teacher", "pruning", PARE_E_INVALID},
    {STEPS(TRAIN("\"distill\":{\"teacher\":\"model\"}")), "/recipe/steps/0/train/distill/teacher", "teacher", PARE_E_INVALID},
    {STEPS(TRAIN("\"distill\":{\"tensors\":[{\"student\":\"nowhere\",\"teacher\":\"fc1_out\"}]}")), "/recipe/steps/0/train: /distill/tensors/0", "nowhere", PARE_E_INVALID},
    {STEPS(TRAIN("\"loss\":{\"name\":\"huber\",\"delta\":0}")), "/recipe/steps/0/train/loss/delta", "", PARE_E_INVALID},
    {HEAD "\"teacher\":\"t\",\"recipe\":{\"steps\":[" TRAIN("\"distill\":{\"teacher\":\"model\"}") "]}}", "/teacher", "got 0", PARE_E_INVALID},
};

START_TEST(mistakes_are_named)
{
	ck_assert_msg(run(bad_table[_i].job, NULL) == bad_table[_i].code, "%s at %s", r.err.message, r.err.where);
	ck_assert_msg(strcmp(r.err.where, bad_table[_i].where) == 0 && strstr(r.err.message, bad_table[_i].says) != NULL, "%s at %s", r.err.message, r.err.where);
}
END_TEST

/* The student is not trained on labels at all: what it knows afterwards it has from the second model, which was trained before. */
START_TEST(a_second_model_teaches)
{
	const char *job = HEAD "\"teacher\":\"t\",\"recipe\":{\"steps\":[" TRAIN(ADAM ",\"distill\":{\"teacher\":\"model\",\"alpha\":1,\"temperature\":1}") "]}}";
	char *teacher, *student;
	size_t n, k;
	json_t *v;

	student = rig_build(ARCH, &k);
	teacher = rig_build(WIDE, &n);
	for (int pass = 0; pass < 2; pass++) {
		rig_forget(&r);
		r.start.kind = "run";
		r.start.job = pass == 0 ? STEPS(TRAIN(ADAM)) : job;
		rig_input(&r, "model", "in.onnx", pass == 0 ? teacher : student, pass == 0 ? n : k);
		if (pass == 1)
			rig_input(&r, "teacher", "teacher.onnx", teacher, n);
		rig_file(&r, "data", IRIS);
		ck_assert_msg(rig_go(&r) == PARE_OK, "%s at %s", r.err.message, r.err.where);
		v = rig_report(&r);
		ck_assert_double_ge(rig_num(v, "final.accuracy"), 0.85);
		json_decref(v);
		if (pass == 0) {
			free(teacher);
			teacher = rig_output(&r, "model.onnx", &n);
		}
	}
	free(student);
	free(teacher);
}
END_TEST

/* One epoch that takes long says how it is going, and can be stopped there. */
START_TEST(a_long_epoch_tells)
{
	size_t n;
	char *model = rig_build("{\"input\":[4],\"layers\":[{\"units\":1000},{\"units\":1000},{\"units\":3}]}", &n);
	struct pare_buf csv;

	pare_buf_init(&csv, (size_t)4 << 20);
	pare_buf_str(&csv, "a,b,c,d,label\n");
	for (int i = 0; i < 50000; i++)
		pare_buf_printf(&csv, "%d,%d,%d,1,%d\n", i % 7, i % 11, i % 13, i % 3);
	r.stop_at = "\"steps_per_second\":";
	r.start.kind = "run";
	r.start.job = STEPS("{\"train\":{\"epochs\":1,\"batch_size\":1,\"optimizer\":\"adam\"}}");
	rig_input(&r, "model", "in.onnx", model, n);
	rig_input(&r, "data", "data.csv", csv.data, csv.len);
	ck_assert_int_eq(rig_go(&r), PARE_E_CANCELED);
	ck_assert_ptr_nonnull(strstr(r.events.data, "\"epoch\":1,\"epochs\":1"));
	ck_assert_ptr_null(strstr(r.events.data, "\"kind\":\"epoch\""));
	pare_buf_done(&csv);
	free(model);
}
END_TEST

/* Rows without labels: the pruned model learns from what it was. */
START_TEST(no_labels_are_needed)
{
	static const char job[] = "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":3,\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5,\"recover\":{\"epochs\":20,\"batch_size\":16,"
	                          ADAM ",\"distill\":{\"teacher\":\"dense\",\"loss\":\"mse\"}}}}]}}";
	float x[60][4];
	struct pare_data_file f;
	size_t n;
	char *model = rig_build(ARCH, &n);
	json_t *v;

	for (int i = 0; i < 240; i++)
		x[i / 4][i % 4] = (float)(i * 37 % 101) / 50 - 1;
	f = npy("x.npy", "<f4", "(60, 4)", x, sizeof x);
	r.start.kind = "run";
	r.start.job = job;
	rig_input(&r, "model", "in.onnx", model, n);
	rig_input(&r, "data", "x.npy", f.bytes.data, f.bytes.len);
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s at %s", r.err.message, r.err.where);
	v = rig_report(&r);
	ck_assert_double_eq_tol(rig_num(v, "final.sparsity"), 0.5, 0.01);
	json_decref(v);
	r.start.job = "{\"model\":\"m\",\"dataset\":\"d\",\"recipe\":{\"steps\":[{\"train\":{}}]}}";
	ck_assert_int_eq(rig_go(&r), PARE_E_DATASET);
	ck_assert_ptr_nonnull(strstr(r.err.message, "no labels"));
	npy_free(&f, 1);
	free(model);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s;
	TCase *t;

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	t = tcase_create("jobs");
	s = suite_create("core/job/training");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, steps_train, 0, (int)(sizeof good_table / sizeof good_table[0]));
	tcase_add_loop_test(t, mistakes_are_named, 0, (int)(sizeof bad_table / sizeof bad_table[0]));
	tcase_add_test(t, a_second_model_teaches);
	tcase_add_test(t, a_long_epoch_tells);
	tcase_add_test(t, no_labels_are_needed);
	suite_add_tcase(s, t);
	return rig_main(s);
}
