/* Whole jobs on Iris, from the description of a model to the report: what comes out, what is refused and with which code,
 * and that the same job gives the same bytes. Every job runs in a sandboxed worker process. */
#include <math.h>

#include "tests/core/job/job_support.h"

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":16,\"activation\":\"sigmoid\"},{\"units\":3}],\"seed\":7}"
#define ARCH_RELU "{\"input\":[4],\"layers\":[{\"units\":16,\"activation\":\"relu\"},{\"units\":3}],\"seed\":7}"
#define HEAD "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":3,"
#define IRIS "tests/data/iris.csv"

static char *model_bytes;
static size_t model_n;
static struct rig r;

static void setup(void)
{
	model_bytes = rig_build(ARCH, &model_n);
	rig_init(&r);
}

static void teardown(void)
{
	rig_done(&r);
	free(model_bytes);
}

static enum pare_code run(const char *job)
{
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = job;
	rig_input(&r, "model", "in.onnx", model_bytes, model_n);
	rig_file(&r, "data", IRIS);
	return rig_go(&r);
}

static void run_ok(const char *job)
{
	ck_assert_msg(run(job) == PARE_OK, "%s: %s at %s", pare_code_string(r.err.code), r.err.message, r.err.where);
}

static enum pare_code run_on(const char *job, const char *data, size_t n)
{
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = job;
	rig_input(&r, "model", "in.onnx", model_bytes, model_n);
	rig_input(&r, "data", "data.csv", data, n);
	return rig_go(&r);
}

/* --- building and inspecting */

START_TEST(build_and_inspect)
{
	size_t n;
	char *again = rig_build(ARCH, &n);
	json_t *v;

	ck_assert_uint_eq(n, model_n);
	ck_assert_mem_eq(again, model_bytes, n);
	free(again);
	r.start.kind = "inspect-model";
	rig_input(&r, "model", "x", model_bytes, model_n);
	ck_assert_int_eq(rig_go(&r), PARE_OK);
	v = rig_json(r.result);
	ck_assert_str_eq(json_string_value(json_object_get(v, "kind")), "model");
	ck_assert(json_is_true(json_object_get(v, "executable")));
	ck_assert_double_eq(rig_num(v, "n_params"), 4 * 16 + 16 + 16 * 3 + 3);
	ck_assert_double_eq(rig_num(v, "macs"), 4 * 16 + 16 * 3);
	ck_assert_double_eq(rig_num(v, "inputs.0.shape.1"), 4);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(v, "inputs"), 0), "datatype")), "FP32");
	ck_assert_double_eq(rig_num(v, "layers.0.params"), 64);
	ck_assert_double_eq(rig_num(v, "layers.0.macs"), 64);
	json_decref(v);
}
END_TEST

START_TEST(inspect_a_data_set)
{
	json_t *v, *classes;

	r.start.kind = "inspect-dataset";
	rig_file(&r, "data", IRIS);
	ck_assert_int_eq(rig_go(&r), PARE_OK);
	v = rig_json(r.result);
	classes = json_object_get(v, "classes");
	ck_assert_str_eq(json_string_value(json_object_get(v, "format")), "csv");
	ck_assert_str_eq(json_string_value(json_object_get(v, "task")), "classify");
	ck_assert_double_eq(rig_num(v, "n_rows"), 150);
	ck_assert_uint_eq(json_array_size(classes), 3);
	ck_assert_double_eq(rig_num(v, "classes.0.rows"), 50);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(classes, 0), "name")), "setosa");
	json_decref(v);
	rig_forget(&r);
	r.start.kind = "inspect-dataset";
	r.start.options = "{\"label\":\"nowhere\"}";
	rig_file(&r, "data", IRIS);
	ck_assert_int_ne(rig_go(&r), PARE_OK);
}
END_TEST

START_TEST(wrong_architecture)
{
	r.start.kind = "build";
	r.start.architecture = "{\"input\":[4],\"layers\":[{\"units\":0}]}";
	ck_assert_int_eq(rig_go(&r), PARE_E_INVALID);
	ck_assert_str_eq(r.err.where, "/layers/0/units");
	ck_assert(!rig_has_output(&r, "model.onnx"));
}
END_TEST

/* --- jobs */

#define TRAINED_THEN(prune) \
	HEAD "\"data\":{\"normalize\":\"standard\"},\"recipe\":{\"steps\":[{\"train\":{\"epochs\":60,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}}}," \
	     "{\"prune\":{" prune ",\"recover\":{\"epochs\":30,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}}}}]}}"

static const struct {
	const char *job;
	double sparsity_low, sparsity_high, accuracy;
} good_table[] = {
    {HEAD "\"data\":{\"normalize\":\"standard\"},\"recipe\":\"ridge-magnitude\",\"params\":{\"sparsity\":0.5,\"epochs\":60,\"finetune_epochs\":30,\"batch_size\":8}}", 0.5, 0.5, 0.85},
    {HEAD "\"data\":{\"normalize\":\"standard\"},\"recipe\":\"ridge-magnitude\",\"params\":{\"threshold\":0.3,\"epochs\":60,\"finetune_epochs\":30,\"batch_size\":8}}", 0.05, 0.8, 0.85},
    {HEAD "\"data\":{\"normalize\":\"standard\"},\"recipe\":\"weight-magnitude\",\"params\":{\"sparsity\":0.5,\"epochs\":100,\"finetune_epochs\":60,\"batch_size\":4}}", 0.5, 0.5, 0.85},
    {HEAD "\"data\":{\"normalize\":\"standard\"},\"recipe\":\"random\",\"params\":{\"sparsity\":0.5,\"epochs\":60,\"finetune_epochs\":60,\"batch_size\":4}}", 0.5, 0.5, 0.5},
    {HEAD "\"data\":{\"normalize\":\"standard\"},\"recipe\":\"l1-sparse\",\"params\":{\"lambda\":0.006,\"epochs\":100,\"finetune_epochs\":30,\"batch_size\":8}}", 0.1, 0.9, 0.85},
    {HEAD "\"recipe\":\"two-threshold\"}", 0.2, 0.8, 0.85},
    {HEAD "\"data\":{\"normalize\":\"standard\"},\"recipe\":{\"steps\":[{\"train\":{\"epochs\":80,\"batch_size\":8,\"optimizer\":{\"name\":\"sgd\",\"lr\":0.2,\"momentum\":0.9,\"nesterov\":true},\"lr_schedule\":{\"name\":\"step\",\"every\":40}}},"
          "{\"prune\":{\"sparsity\":0.6,\"scope\":\"layer\",\"schedule\":{\"name\":\"linear\",\"rounds\":3,\"start\":0.1},\"recover\":{\"epochs\":20,\"batch_size\":8,\"optimizer\":\"adam\",\"regularizer\":{\"name\":\"l1\",\"lambda\":1e-5}}}},"
          "{\"evaluate\":{}},{\"train\":{\"epochs\":40,\"batch_size\":8,\"patience\":10,\"keep_best\":true,\"loss\":\"mse\",\"clip_weights\":5}}]}}", 0.59, 0.61, 0.8},
    {TRAINED_THEN("\"pattern\":\"2:4\",\"schedule\":{\"name\":\"linear\",\"rounds\":2}"), 0.5, 0.5, 0.8},
    {TRAINED_THEN("\"granularity\":\"block\",\"block\":[2,2],\"sparsity\":0.3"), 0.25, 0.4, 0.8},
    {TRAINED_THEN("\"criterion\":\"lamp\",\"sparsity\":0.5,\"schedule\":{\"name\":\"exponential\",\"rounds\":4}"), 0.5, 0.5, 0.85},
    {HEAD "\"data\":{\"normalize\":\"standard\"},\"recipe\":\"ridge-reconstruct\",\"params\":{\"sparsity\":0.4,\"rows\":80,\"rounds\":3,\"epochs\":80,\"batch_size\":8}}", 0.4, 0.42, 0.85},
    {TRAINED_THEN("\"sparsity\":0.5,\"regrow\":true,\"schedule\":{\"name\":\"cubic\",\"rounds\":5}"), 0.5, 0.5, 0.85},
    {TRAINED_THEN("\"criterion\":\"wanda\",\"sparsity\":0.5"), 0.5, 0.5, 0.8},
    {TRAINED_THEN("\"criterion\":{\"name\":\"fisher\",\"rows\":60,\"batch_size\":4},\"sparsity\":0.5,\"schedule\":{\"name\":\"cubic\",\"rounds\":3}"), 0.5, 0.5, 0.85},
};

START_TEST(recipes_on_iris)
{
	json_t *v, *m;
	double n;

	run_ok(good_table[_i].job);
	v = rig_report(&r);
	ck_assert_double_ge(rig_num(v, "final.sparsity"), good_table[_i].sparsity_low);
	ck_assert_double_le(rig_num(v, "final.sparsity"), good_table[_i].sparsity_high);
	ck_assert_msg(rig_num(v, "final.accuracy") >= good_table[_i].accuracy, "job %d: accuracy %g", _i, rig_num(v, "final.accuracy"));
	ck_assert_double_eq(rig_num(v, "final.rows"), 30);
	ck_assert_double_eq_tol(rig_num(v, "dense.accuracy") - rig_num(v, "final.accuracy"), rig_num(v, "drop.accuracy"), 1e-9);
	ck_assert_double_eq(rig_num(v, "input.n_params"), 131);
	n = rig_num(v, "final.n_nonzero_params");
	json_decref(v);
	/* the file itself holds what the report says */
	m = NULL;
	{
		size_t size;
		char *bytes = rig_output(&r, "model.onnx", &size);

		ck_assert_uint_eq(rig_without_origin(bytes, size), model_n);
		rig_forget(&r);
		r.start.kind = "inspect-model";
		rig_input(&r, "model", "m", bytes, size);
		ck_assert_int_eq(rig_go(&r), PARE_OK);
		m = rig_json(r.result);
		ck_assert_double_eq(rig_num(m, "n_nonzero"), n);
		json_decref(m);
		free(bytes);
	}
}
END_TEST

START_TEST(report_for_people)
{
	char *text;

	run_ok(HEAD "\"recipe\":\"two-threshold\",\"require\":{\"max_drop\":0.5,\"confidence\":0.95}}");
	text = rig_output(&r, "report.md", NULL);
	ck_assert_ptr_nonnull(strstr(text, "times fewer weights"));
	ck_assert_ptr_nonnull(strstr(text, "Requirement met: accept"));
	ck_assert_ptr_nonnull(strstr(text, "5-fold cross-validation"));
	ck_assert_ptr_nonnull(strstr(text, "(x - mean) / std"));
	ck_assert_ptr_nonnull(strstr(text, "Zeros alone"));
	ck_assert_ptr_nonnull(strstr(text, "fc1.weight | 16 x 4 | 64 |"));
	free(text);
	text = rig_output(&r, "report.html", NULL);
	ck_assert_ptr_nonnull(strstr(text, "<td>fc1.weight</td><td>16 x 4</td><td class=\"r\">64</td>"));
	ck_assert_ptr_nonnull(strstr(text, "<figcaption>Loss</figcaption><svg"));
	ck_assert_ptr_null(strstr(text, "<script"));
	ck_assert_ptr_null(strstr(text, "http"));
	free(text);
}
END_TEST

START_TEST(requirement_missed)
{
	json_t *v;

	run_ok(HEAD "\"require\":{\"max_drop\":0.01},\"outputs\":[\"report\"],\"data\":{\"normalize\":\"standard\"},\"recipe\":{\"steps\":["
	            "{\"train\":{\"epochs\":80,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.02}}},{\"prune\":{\"sparsity\":0.97}}]}}");
	v = rig_report(&r);
	ck_assert(json_is_false(json_object_get(json_object_get(v, "requirement"), "met")));
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(v, "requirement"), "decision")), "reject");
	json_decref(v);
	ck_assert(!rig_has_output(&r, "model.onnx"));
	ck_assert_ptr_nonnull(strstr(r.result, "\"requirement_met\":false"));
}
END_TEST

START_TEST(excluded_layers_stay_whole)
{
	json_t *v;

	run_ok(HEAD "\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5,\"exclude\":[\"fc2*\"]}}]}}");
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(v, "layers.0.nonzero"), 32);
	ck_assert_double_eq(rig_num(v, "layers.2.nonzero"), 48);
	json_decref(v);
}
END_TEST

/* --- determinism */

#define TRAINED "\"data\":{\"normalize\":\"standard\"},\"recipe\":{\"steps\":[{\"train\":{\"epochs\":5,\"batch_size\":8,\"optimizer\":\"adam\"}},{\"prune\":{\"sparsity\":0.5,\"recover\":{\"epochs\":2}}}"

static char *trained(const char *job, size_t *n)
{
	run_ok(job);
	return rig_output(&r, "model.onnx", n);
}

static void same(const char *a, const char *b, bool equal)
{
	size_t n_a, n_b;
	char *x = trained(a, &n_a), *y = trained(b, &n_b);

	if (strcmp(a, b) != 0) { /* other jobs, perhaps the same weights */
		n_a = rig_without_origin(x, n_a);
		n_b = rig_without_origin(y, n_b);
	}
	ck_assert_uint_eq(n_a, n_b);
	ck_assert_msg((memcmp(x, y, n_a) == 0) == equal, "%s", equal ? "the same job gave other bytes" : "another seed gave the same bytes");
	free(x);
	free(y);
}

START_TEST(same_job_same_bytes)
{
	same(HEAD "\"threads\":1," TRAINED "]}}", HEAD "\"threads\":1," TRAINED "]}}", true);
	same(HEAD "\"threads\":2," TRAINED "]}}", HEAD "\"threads\":2," TRAINED "]}}", true);
	same(HEAD TRAINED "]}}", "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4," TRAINED "]}}", false);
}
END_TEST

START_TEST(cross_validation_leaves_no_trace)
{
	same(HEAD TRAINED ",{\"train\":{\"epochs\":2}}]}}", HEAD TRAINED ",{\"evaluate\":{\"folds\":3}},{\"train\":{\"epochs\":2}}]}}", true);
}
END_TEST

/* --- events */

START_TEST(events_tell_the_story)
{
	const char *e;

	run_ok(HEAD TRAINED ",{\"train\":{\"epochs\":1}},{\"evaluate\":{}}]}}");
	e = r.events.data;
	ck_assert_ptr_eq(strstr(e, "phase {\"phase\":\"validate\",\"sandbox\":\""), e);
	for (const char *const *p = (const char *const[]){"\"phase\":\"baseline\"", "\"phase\":\"train\"", "\"epoch\":5,\"epochs\":5", "\"phase\":\"prune\"", "\"kind\":\"round\"", "\"phase\":\"finetune\"",
	         "\"phase\":\"evaluate\"", "\"phase\":\"export\"", "progress {\"fraction\":1,", NULL}; *p != NULL; p++) {
		e = strstr(e, *p);
		ck_assert_msg(e != NULL, "no %s in its place", *p);
	}
}
END_TEST

/* --- what is refused */

#define PRUNE_JOB HEAD "\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}},{\"prune\":{\"sparsity\":0.5}}]}}"
#define CSV_HEAD "a,b,c,d,class\n"
#define ROWS "1,2,3,4,0\n2,3,4,5,1\n3,4,5,6,2\n1,2,3,4,0\n2,3,4,5,1\n3,4,5,6,2\n1,2,3,4,0\n2,3,4,5,1\n3,4,5,6,2\n1,2,3,4,0\n2,3,4,5,1\n3,4,5,6,2\n"

static const struct {
	const char *data;
	enum pare_code code;
	const char *says;
} bad_data[] = {
    {CSV_HEAD ROWS "nan,2,3,4,0\n" ROWS, PARE_E_NONFINITE, "line 14, column 1"},
    {CSV_HEAD ROWS "1e999,2,3,4,0\n" ROWS, PARE_E_DATASET, "line 14, column 1"},
    {"a,b,c,class\n1,2,3,0\n2,3,4,1\n3,4,5,2\n1,2,3,0\n2,3,4,1\n3,4,5,2\n1,2,3,0\n2,3,4,1\n3,4,5,2\n1,2,3,0\n2,3,4,1\n3,4,5,2\n", PARE_E_SHAPE, "3"},
    {CSV_HEAD ROWS ROWS "1,2,3,4,3\n1,2,3,4,3\n1,2,3,4,3\n1,2,3,4,3\n", PARE_E_LABEL, "3"},
    {CSV_HEAD, PARE_E_DATASET, ""},
    {"", PARE_E_DATASET, ""},
};

START_TEST(bad_data_is_named)
{
	ck_assert_msg(run_on(PRUNE_JOB, bad_data[_i].data, strlen(bad_data[_i].data)) == bad_data[_i].code, "%s: %s", pare_code_string(r.err.code), r.err.message);
	ck_assert_msg(strstr(r.err.message, bad_data[_i].says) != NULL || strstr(r.err.where, bad_data[_i].says) != NULL, "%s at %s", r.err.message, r.err.where);
	ck_assert(!rig_has_output(&r, "model.onnx"));
}
END_TEST

static const struct {
	const char *job;
	enum pare_code code;
	const char *where;
} bad_jobs[] = {
    {HEAD "\"data\":{\"validation\":0},\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5,\"recover\":{\"epochs\":1,\"keep_best\":true}}}]}}", PARE_E_INVALID, "/recipe/steps/0/prune/recover"},
    {HEAD "\"data\":{\"validation\":0},\"recipe\":{\"steps\":[{\"train\":{\"patience\":3}}]}}", PARE_E_INVALID, "/recipe/steps/0/train"},
    {HEAD "\"require\":{\"metric\":\"r2\",\"max_drop\":1},\"recipe\":\"random\"}", PARE_E_INVALID, "/require/metric"},
    {HEAD "\"recipe\":{\"steps\":[{\"train\":{\"optimizer\":{\"name\":\"sgd\",\"lr\":1000,\"momentum\":0.9},\"loss\":\"mse\"}}]}}", PARE_E_DIVERGED, "/recipe/steps/0/train"},
    {HEAD "\"data\":{\"normalize\":\"unit\"},\"recipe\":\"random\"}", PARE_E_INVALID, "/data/normalize"},
    {HEAD "\"data\":{\"validation\":0.001},\"recipe\":\"random\"}", PARE_E_DATASET, "/data"},
    {HEAD "\"recipe\":{\"steps\":[{\"train\":{\"optimizer\":{\"name\":\"adam\",\"epsilon\":1e-60}}}]}}", PARE_E_INVALID, "/recipe/steps/0/train/optimizer/epsilon"},
    {HEAD "\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":1.5}}]}}", PARE_E_INVALID, "/recipe/steps/0/prune/sparsity"},
};

START_TEST(bad_jobs_are_named)
{
	ck_assert_msg(run(bad_jobs[_i].job) == bad_jobs[_i].code, "%s: %s", pare_code_string(r.err.code), r.err.message);
	ck_assert_msg(strstr(r.err.where, bad_jobs[_i].where) == r.err.where, "%s", r.err.where);
}
END_TEST

static void patch(char *p, size_t n, const char *from, const char *to)
{
	for (size_t i = 0; i + strlen(from) <= n; i++)
		if (memcmp(p + i, from, strlen(from)) == 0)
			memcpy(p + i, to, strlen(to));
}

START_TEST(unknown_operator)
{
	json_t *v;

	patch(model_bytes, model_n, "Sigmoid", "Sigmold");
	ck_assert_int_eq(run(PRUNE_JOB), PARE_E_UNSUPPORTED_OP);
	ck_assert_ptr_nonnull(strstr(r.err.message, "Sigmold"));
	rig_forget(&r);
	r.start.kind = "inspect-model";
	rig_input(&r, "model", "m", model_bytes, model_n);
	ck_assert_int_eq(rig_go(&r), PARE_OK);
	v = rig_json(r.result);
	ck_assert(json_is_false(json_object_get(v, "executable")));
	ck_assert(json_is_null(json_object_get(v, "macs")));
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(v, "reason"), "code")), "unsupported_operator");
	ck_assert_double_eq(rig_num(v, "n_params"), 131);
	json_decref(v);
}
END_TEST

/* A length that is open runs with any data that has one; how much there is to multiply hangs on it. */
START_TEST(open_length)
{
	json_t *v;

	rig_forget(&r);
	r.start.kind = "inspect-model";
	rig_file(&r, "model", "tests/golden/open_sizes/causal_script.onnx");
	ck_assert_int_eq(rig_go(&r), PARE_OK);
	v = rig_json(r.result);
	ck_assert(json_is_true(json_object_get(v, "executable")));
	ck_assert(json_is_null(json_object_get(v, "macs")));
	ck_assert(json_is_null(json_object_get(json_array_get(json_object_get(v, "layers"), 0), "macs")));
	ck_assert_double_eq(rig_num(v, "inputs.0.shape.1"), -1);
	json_decref(v);
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = PRUNE_JOB;
	rig_file(&r, "model", "tests/golden/open_sizes/lstm_script.onnx");
	rig_file(&r, "data", "tests/data/iris.csv");
	ck_assert_int_eq(rig_go(&r), PARE_E_SHAPE);
	ck_assert_str_eq(r.err.message, "a row of the data set has shape [4], which does not tell the open sizes (-1) of the model's input \"x\" of shape [N, -1, 6]");
}
END_TEST

START_TEST(truncated_model)
{
	model_n /= 2;
	ck_assert_int_ne(run(PRUNE_JOB), PARE_OK);
	ck_assert_int_eq(pare_code_class(r.err.code) == PARE_CLASS_SYNTAX || pare_code_class(r.err.code) == PARE_CLASS_BAD_INPUT, 1);
	rig_forget(&r);
	r.start.kind = "inspect-model";
	rig_input(&r, "model", "m", "", 0);
	ck_assert_int_ne(rig_go(&r), PARE_OK);
}
END_TEST

START_TEST(announced_size_must_be_true)
{
	rig_forget(&r);
	r.start.kind = "inspect-model";
	rig_input(&r, "model", "m", model_bytes, model_n);
	r.start.inputs[0].n_bytes += 4096;
	ck_assert_int_eq(rig_go(&r), PARE_E_IO);
}
END_TEST

#define ENDLESS HEAD "\"recipe\":{\"steps\":[{\"train\":{\"epochs\":100000,\"batch_size\":1}}]}}"

START_TEST(cancel)
{
	r.stop_at = "\"phase\":\"train\"";
	ck_assert_int_eq(run(ENDLESS), PARE_E_CANCELED);
	ck_assert(!rig_has_output(&r, "model.onnx"));
}
END_TEST

/* The signal is seen within the only epoch, not after it: then its figures would be told first. */
START_TEST(cancel_within_an_epoch)
{
	struct pare_buf csv;

	free(model_bytes);
	model_bytes = rig_build("{\"input\":[4],\"layers\":[{\"units\":1000},{\"units\":1000},{\"units\":3}]}", &model_n);
	pare_buf_init(&csv, (size_t)4 << 20);
	pare_buf_str(&csv, "a,b,c,d,label\n");
	for (int i = 0; i < 50000; i++)
		pare_buf_printf(&csv, "%d,%d,%d,1,%d\n", i % 7, i % 11, i % 13, i % 3);
	r.stop_at = "\"steps_per_second\""; /* first told in the middle of it */
	ck_assert_int_eq(run_on(HEAD "\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1,\"batch_size\":1,\"optimizer\":\"adam\"}}]}}", csv.data, csv.len), PARE_E_CANCELED);
	ck_assert_ptr_null(strstr(r.events.data, "\"kind\":\"epoch\""));
	pare_buf_done(&csv);
}
END_TEST

/* Batches of a criterion are as large as they are asked for, whatever the job trains with: more rows than an evaluation takes at a time. */
START_TEST(batches_of_criteria)
{
	static const char *const prune[] = {"\"criterion\":{\"name\":\"fisher\",\"batch_size\":3000}", "\"criterion\":{\"name\":\"snip\",\"batch_size\":2000}",
	    "\"granularity\":\"channel\",\"criterion\":{\"name\":\"taylor\",\"batch_size\":1000}"};
	struct pare_buf csv;
	char job[400];

	free(model_bytes);
	model_bytes = rig_build("{\"input\":[4],\"layers\":[{\"units\":1000,\"activation\":\"relu\"},{\"units\":3}]}", &model_n);
	pare_buf_init(&csv, (size_t)1 << 20);
	pare_buf_str(&csv, "a,b,c,d,label\n");
	for (int i = 0; i < 4000; i++)
		pare_buf_printf(&csv, "%d,%d,%d,1,%d\n", i % 7, i % 11, i % 13, i % 3);
	(void)snprintf(job, sizeof job, HEAD "\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5,%s}}]}}", prune[_i]);
	ck_assert_msg(run_on(job, csv.data, csv.len) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	pare_buf_done(&csv);
}
END_TEST

/* The confusion matrix grows with the square of the outputs; beyond 1000 it is left out, and nothing else is. */
START_TEST(many_outputs)
{
	static const char *const arch[] = {"{\"input\":[4],\"layers\":[{\"units\":1000}]}", "{\"input\":[4],\"layers\":[{\"units\":5000}]}"};
	json_t *v, *final;

	free(model_bytes);
	model_bytes = rig_build(arch[_i], &model_n);
	run_ok(HEAD "\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}");
	v = rig_report(&r);
	final = json_object_get(v, "final");
	if (_i == 0)
		ck_assert_uint_eq(json_array_size(json_object_get(final, "confusion")), 1000);
	else
		ck_assert(json_is_null(json_object_get(final, "confusion")));
	ck_assert_uint_eq(json_array_size(json_object_get(final, "classes")), _i == 0 ? 1000 : 5000);
	ck_assert_double_eq(rig_num(final, "classes.0.rows"), 10);
	ck_assert_double_eq(rig_num(final, "sparsity"), 0.5);
	json_decref(v);
}
END_TEST

/* A threshold above all weights: sparsity 1, not 1 - 1/n. */
START_TEST(nothing_left)
{
	json_t *v;

	run_ok(HEAD "\"recipe\":{\"steps\":[{\"prune\":{\"threshold\":1e9}}]}}");
	v = rig_json(r.result);
	ck_assert_double_eq(rig_num(v, "summary.sparsity"), 1);
	ck_assert_double_eq(rig_num(v, "summary.n_weights_nonzero"), 0);
	ck_assert_double_eq(rig_num(v, "summary.compression"), 112);
	json_decref(v);
}
END_TEST

/* 5 steps of 1000 rounds: every one of them stands in the report. */
START_TEST(no_round_is_left_out)
{
	struct pare_buf job;
	json_t *v, *steps;

	pare_buf_init(&job, (size_t)1 << 16);
	pare_buf_str(&job, HEAD "\"recipe\":{\"steps\":[");
	for (int i = 0; i < 5; i++)
		pare_buf_printf(&job, "%s{\"prune\":{\"sparsity\":0.%d,\"schedule\":{\"name\":\"linear\",\"rounds\":1000}}}", i > 0 ? "," : "", i + 1);
	pare_buf_str(&job, ",{\"evaluate\":{\"folds\":2}}]}}");
	run_ok(job.data);
	v = rig_report(&r);
	steps = json_object_get(v, "steps");
	ck_assert_uint_eq(json_array_size(steps), 5001);
	ck_assert_double_eq(rig_num(json_array_get(steps, 4999), "round"), 1000);
	json_decref(v);
	pare_buf_done(&job);
}
END_TEST

START_TEST(processor_time_is_limited)
{
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = ENDLESS;
	r.start.cpu_seconds = 1;
	rig_input(&r, "model", "m", model_bytes, model_n);
	rig_file(&r, "data", IRIS);
	ck_assert_int_eq(rig_go(&r), PARE_E_TIMEOUT);
}
END_TEST

#ifndef PARE_SANITIZED
START_TEST(memory_is_limited)
{
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = HEAD "\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]}}";
	r.start.memory_bytes = (int64_t)256 << 20;
	free(model_bytes);
	model_bytes = rig_build("{\"input\":[4],\"layers\":[{\"units\":4000,\"activation\":\"relu\"},{\"units\":3000}]}", &model_n);
	rig_input(&r, "model", "m", model_bytes, model_n);
	rig_file(&r, "data", IRIS);
	ck_assert_msg(rig_go(&r) == PARE_E_MEMORY_LIMIT, "%s: %s", pare_code_string(r.err.code), r.err.message);
}
END_TEST

/* Wherever memory ends (in a tensor, in the optimizer, in what BLAS packs) the job ends, and says why. */
START_TEST(any_limit_of_memory)
{
	size_t n;
	char *model = rig_build("{\"input\":[4],\"layers\":[{\"units\":4000,\"activation\":\"relu\"},{\"units\":1000}]}", &n);
	int64_t n_bytes = (int64_t)64 << 20;
	enum pare_code code = PARE_E_MEMORY_LIMIT;

	for (; code == PARE_E_MEMORY_LIMIT && n_bytes < (int64_t)1 << 30; n_bytes += (int64_t)32 << 20) {
		rig_forget(&r);
		r.start.kind = "run";
		r.start.job = HEAD "\"threads\":2,\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}},{\"prune\":{\"criterion\":\"l2\",\"granularity\":\"channel\",\"sparsity\":0.5}}]}}";
		r.start.threads = 2;
		r.start.memory_bytes = n_bytes;
		rig_input(&r, "model", "m", model, n);
		rig_file(&r, "data", IRIS);
		code = rig_go(&r);
	}
	free(model);
	ck_assert_msg(code == PARE_OK, "%lld bytes: %s: %s", (long long)n_bytes, pare_code_string(r.err.code), r.err.message);
	ck_assert_int_gt(n_bytes, (int64_t)128 << 20);
}
END_TEST
#endif

START_TEST(no_place_for_outputs)
{
	r.host.out_dir = "/nonexistent/place";
	ck_assert_int_eq(run(PRUNE_JOB), PARE_E_IO);
}
END_TEST

START_TEST(a_program_that_is_no_worker)
{
	r.host.exe = "/bin/true";
	ck_assert_int_eq(run(PRUNE_JOB), PARE_E_WORKER_CRASHED);
	r.host.exe = "/nonexistent";
	ck_assert_int_eq(run(PRUNE_JOB), PARE_E_WORKER_CRASHED);
}
END_TEST

START_TEST(job_text_of_the_shell)
{
	char *text = NULL;

	ck_assert_int_eq(pare_host_job_text("{\"recipe\":\"random\"}", 19, 2, true, false, &text, &r.err), PARE_OK);
	ck_assert_str_eq(text, "{\"recipe\":\"random\",\"model\":\"local\",\"dataset\":\"local\",\"threads\":2}");
	pare_free(text);
	ck_assert_int_eq(pare_host_job_text("{\"a\":", 5, 0, true, false, &text, &r.err), PARE_E_SYNTAX);
	ck_assert_int_eq(pare_host_job_text("[]", 2, 0, true, false, &text, &r.err), PARE_E_INVALID);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s;
	TCase *t;

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	s = suite_create("core/job/job");
	t = tcase_create("job");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, build_and_inspect);
	tcase_add_test(t, inspect_a_data_set);
	tcase_add_test(t, wrong_architecture);
	tcase_add_loop_test(t, recipes_on_iris, 0, (int)(sizeof good_table / sizeof good_table[0]));
	tcase_add_test(t, report_for_people);
	tcase_add_test(t, requirement_missed);
	tcase_add_test(t, excluded_layers_stay_whole);
	tcase_add_test(t, same_job_same_bytes);
	tcase_add_test(t, cross_validation_leaves_no_trace);
	tcase_add_test(t, events_tell_the_story);
	tcase_add_loop_test(t, bad_data_is_named, 0, (int)(sizeof bad_data / sizeof bad_data[0]));
	tcase_add_loop_test(t, bad_jobs_are_named, 0, (int)(sizeof bad_jobs / sizeof bad_jobs[0]));
	tcase_add_test(t, unknown_operator);
	tcase_add_test(t, open_length);
	tcase_add_test(t, truncated_model);
	tcase_add_test(t, announced_size_must_be_true);
	tcase_add_test(t, cancel);
	tcase_add_test(t, cancel_within_an_epoch);
	tcase_add_loop_test(t, many_outputs, 0, 2);
	tcase_add_loop_test(t, batches_of_criteria, 0, 3);
	tcase_add_test(t, nothing_left);
	tcase_add_test(t, no_round_is_left_out);
	tcase_add_test(t, processor_time_is_limited);
#ifndef PARE_SANITIZED
	tcase_add_test(t, memory_is_limited);
	tcase_add_test(t, any_limit_of_memory);
#endif
	tcase_add_test(t, no_place_for_outputs);
	tcase_add_test(t, a_program_that_is_no_worker);
	tcase_add_test(t, job_text_of_the_shell);
	suite_add_tcase(s, t);
	return rig_main(s);
}
