/* Sweeps as jobs, through the worker: every variant is tried, the best is run, and what is run is what a job written out for it gives. */
#include <math.h>

#include "core/recipe/trial.h"
#include "tests/core/job/job_support.h"

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":16,\"activation\":\"sigmoid\"},{\"units\":3}],\"seed\":3}"
#define HEAD "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"data\":{\"normalize\":\"standard\",\"validation\":0.3},"
#define TRAIN(lr) "{\"train\":{\"epochs\":40,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":" lr "}}}"
#define STEPS(lr, sparsity) "\"recipe\":{\"steps\":[" TRAIN(lr) ",{\"prune\":{\"sparsity\":" sparsity "}}," TRAIN(lr) "]}}"
#define GRID "{\"parameter\":\"/recipe/steps/1/prune/sparsity\",\"values\":[0.3,0.6,0.97]}"

#include "tests/core/job/iris_rig.h"

static json_t *sweep_of(const json_t *report)
{
	return json_object_get(report, "sweep");
}

static json_t *trial(const json_t *report, size_t i)
{
	return json_array_get(json_object_get(sweep_of(report), "trials"), i);
}

START_TEST(the_best_of_the_grid_is_run)
{
	char *b[2];
	size_t n[2];
	json_t *v;

	ck_assert_msg(run(HEAD "\"require\":{\"max_drop\":0.03},\"sweep\":{\"grid\":[" GRID "],\"pick\":\"smallest\"}," STEPS("0.01", "0.1")) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_uint_eq(json_array_size(json_object_get(sweep_of(v), "trials")), 3);
	for (size_t i = 0; i < 3; i++) {
		static const double sparsity[] = {0.3, 0.6, 0.97};

		ck_assert_double_eq(rig_num(trial(v, i), "values.0.value"), sparsity[i]);
		ck_assert_double_eq_tol(rig_num(trial(v, i), "sparsity"), sparsity[i], 0.01);
		ck_assert_double_eq(rig_num(trial(v, i), "runs"), 1);
	}
	/* 0.6 is as good as 0.3 on Iris, 0.97 leaves three weights */
	ck_assert_double_eq(rig_num(sweep_of(v), "chosen"), 1);
	ck_assert_double_eq_tol(rig_num(v, "final.sparsity"), 0.6, 0.01);
	ck_assert_double_lt(rig_num(trial(v, 2), "mean"), rig_num(trial(v, 1), "mean"));
	ck_assert_double_eq(rig_num(v, "final.validation.accuracy"), rig_num(trial(v, 1), "mean"));
	json_decref(v);
	b[0] = rig_output(&r, "model.onnx", &n[0]);
	ck_assert_int_eq(run(HEAD STEPS("0.01", "0.6")), PARE_OK);
	b[1] = rig_output(&r, "model.onnx", &n[1]);
	for (int i = 0; i < 2; i++) /* two jobs, one model */
		n[i] = rig_without_origin(b[i], n[i]);
	ck_assert_uint_eq(n[0], n[1]);
	ck_assert_mem_eq(b[0], b[1], n[0]);
	free(b[0]);
	free(b[1]);
}
END_TEST

START_TEST(folds_and_seeds_give_mean_and_range)
{
	json_t *v;
	char *text;

	ck_assert_msg(run(HEAD "\"sweep\":{\"grid\":[" GRID "],\"folds\":3,\"seeds\":2}," STEPS("0.01", "0.1")) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_double_eq(rig_num(trial(v, i), "runs"), 6);
		ck_assert_double_le(rig_num(trial(v, i), "low"), rig_num(trial(v, i), "mean"));
		ck_assert_double_ge(rig_num(trial(v, i), "high"), rig_num(trial(v, i), "mean"));
	}
	ck_assert_double_gt(rig_num(trial(v, 0), "mean"), 0.9);
	ck_assert_double_lt(rig_num(trial(v, 0), "low"), rig_num(trial(v, 0), "high"));
	ck_assert_str_eq(json_string_value(json_object_get(sweep_of(v), "judged_on")), "held-out folds");
	json_decref(v);
	text = rig_output(&r, "report.html", NULL);
	ck_assert_ptr_nonnull(strstr(text, "Variants: means and ranges"));
	free(text);
}
END_TEST

/* In a fold the dense teacher is that fold's: what evaluate finds, after the whole training set has made a dense model as well, is what runs find that are jobs of
 * their own and have never seen anything but their fold. */
#define FOLDED "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"data\":{\"normalize\":\"standard\"},\"recipe\":{\"steps\":[{\"train\":{\"epochs\":15,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}}}," \
	"{\"prune\":{\"sparsity\":0.9,\"recover\":{\"epochs\":10,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01},\"distill\":{\"teacher\":\"%s\",\"alpha\":1}}}}%s]}%s}"

static double folded_loss(const char *teacher)
{
	char job[1024];
	double loss = NAN;
	json_t *v, *steps;

	(void)snprintf(job, sizeof job, FOLDED, teacher, ",{\"evaluate\":{\"folds\":2}}", "");
	ck_assert_msg(run(job) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	steps = json_object_get(v, "steps");
	for (size_t i = 0; i < json_array_size(steps); i++)
		if (strcmp(json_string_value(json_object_get(json_array_get(steps, i), "kind")), "cross-validation") == 0)
			loss = rig_num(json_array_get(steps, i), "validation_loss");
	json_decref(v);
	return loss;
}

START_TEST(a_fold_has_its_own_dense_teacher)
{
	double loss = folded_loss("dense"), alone = 0;
	char job[1024], sweep[256];
	json_t *v;

	for (int fold = 1; fold <= 2; fold++) {
		(void)snprintf(sweep, sizeof sweep, ",\"sweep\":{\"folds\":2,\"grid\":[{\"parameter\":\"/recipe/steps/1/prune/sparsity\",\"values\":[0.9]}]},\"trial\":{\"variant\":0,\"fold\":%d}", fold);
		(void)snprintf(job, sizeof job, FOLDED, "dense", "", sweep);
		ck_assert_msg(run(job) == PARE_OK, "%s: %s", r.err.where, r.err.message);
		v = rig_json(r.result);
		alone += rig_num(v, "trial.loss") / 2;
		json_decref(v);
	}
	ck_assert_double_eq_tol(loss, alone, 1e-12);
	ck_assert_double_ne(loss, folded_loss("input"));
}
END_TEST

START_TEST(recipes_are_compared)
{
	json_t *v;

	ck_assert_msg(run(HEAD "\"sweep\":{\"seeds\":2,\"recipes\":[{\"name\":\"random\",\"params\":{\"sparsity\":0.9,\"epochs\":40,\"batch_size\":8,\"finetune_epochs\":5}},"
	                       "{\"name\":\"ours\",\"steps\":[" TRAIN("0.01") ",{\"prune\":{\"sparsity\":0.6}}," TRAIN("0.01") "]}]}}") == PARE_OK,
	    "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_str_eq(json_string_value(json_object_get(trial(v, 0), "recipe")), "random");
	ck_assert_str_eq(json_string_value(json_object_get(trial(v, 1), "recipe")), "ours");
	ck_assert_double_eq_tol(rig_num(trial(v, 0), "sparsity"), 0.9, 0.01);
	ck_assert_double_gt(rig_num(trial(v, 1), "mean"), rig_num(trial(v, 0), "mean"));
	ck_assert_double_eq(rig_num(sweep_of(v), "chosen"), 1);
	ck_assert_str_eq(json_string_value(json_object_get(v, "recipe")), "ours");
	json_decref(v);
}
END_TEST

START_TEST(hopeless_variants_stop_early)
{
	static const char job[] = HEAD "\"sweep\":{\"halving\":2,\"grid\":[{\"parameter\":\"/recipe/steps/0/train/optimizer/lr\",\"values\":[0.00001,0.01]},"
	                               "{\"parameter\":\"/recipe/steps/1/prune/criterion\",\"names\":[\"magnitude\",\"random\"]}]}," STEPS("0.01", "0.9");
	int early = 0;
	json_t *v;

	ck_assert_msg(run(job) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_uint_eq(json_array_size(json_object_get(sweep_of(v), "trials")), 4);
	for (size_t i = 0; i < 4; i++)
		early += rig_num(trial(v, i), "epochs_share") < 1;
	ck_assert_int_eq(early, 3);
	ck_assert_double_eq(rig_num(trial(v, (size_t)rig_num(sweep_of(v), "chosen")), "epochs_share"), 1);
	json_decref(v);
	ck_assert_ptr_nonnull(strstr(r.events.data, "\"trial\":4"));
}
END_TEST

START_TEST(a_variant_that_diverges_ranks_last)
{
	json_t *v;

	ck_assert_msg(run(HEAD "\"sweep\":{\"grid\":[{\"parameter\":\"/recipe/steps/0/train/optimizer\",\"names\":[\"sgd\",\"adam\"]},"
	                       "{\"parameter\":\"/recipe/steps/0/train/optimizer/lr\",\"values\":[1000,0.01]}]}," STEPS("0.01", "0.5")) == PARE_OK,
	    "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(trial(v, (size_t)rig_num(sweep_of(v), "chosen")), "failed"), 0);
	ck_assert_double_eq(rig_num(trial(v, (size_t)rig_num(sweep_of(v), "chosen")), "values.1.value"), 0.01);
	json_decref(v);
}
END_TEST

START_TEST(named_recipes_have_their_parameters_swept)
{
	json_t *v;

	ck_assert_msg(run("{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"recipe\":\"cross-validate\",\"params\":{\"epochs\":10,\"folds\":2}}") == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_uint_eq(json_array_size(json_object_get(sweep_of(v), "trials")), 12);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(trial(v, 0), "values"), 0), "parameter")), "threshold");
	ck_assert_double_gt(rig_num(trial(v, 11), "sparsity"), rig_num(trial(v, 0), "sparsity"));
	json_decref(v);
}
END_TEST

/* --- runs that are made elsewhere */

#define MAX_RUNS 64
static struct pare_trial known[MAX_RUNS], asked[MAX_RUNS];
static int n_known, n_asked, n_said_known, n_said_all;

static void on_trials(void *ctx, const struct pare_msg *m)
{
	(void)ctx;
	ck_assert_int_le(m->n_trials, MAX_RUNS);
	memcpy(asked, m->trials, (size_t)m->n_trials * sizeof *asked);
	n_asked = m->n_trials;
	n_said_known = m->n_known;
	n_said_all = m->n_all;
}

/* As the daemon runs it: what is known goes in, what is asked for comes out. */
static enum pare_code run_asking(const char *job)
{
	rig_forget(&r);
	n_asked = 0;
	r.host.trials = on_trials;
	r.start = (struct pare_msg_start){.kind = "run", .job = job, .trials = known, .n_trials = n_known};
	rig_input(&r, "model", "m", model, model_n);
	rig_file(&r, "data", "tests/data/iris.csv");
	return rig_go(&r);
}

/* A run of the sweep as a job of its own, whose result is known afterwards; or the message that it failed with. */
static void run_alone(const struct pare_job *job, struct pare_trial *t)
{
	struct pare_err err;
	char *text = NULL, path[128];

	(void)snprintf(path, sizeof path, "%s/model.onnx", r.dir);
	(void)unlink(path);
	ck_assert_int_eq(pare_job_trial_text(job, t, &text, &err), PARE_OK);
	if (run(text) == PARE_OK) {
		struct pare_trial back;

		ck_assert_msg(pare_trial_result_read(r.result, strlen(r.result), &back, &err) == PARE_OK, "%s", err.message);
		ck_assert_int_eq(pare_trial_compare(&back, t), 0);
		*t = back;
		ck_assert(!rig_has_output(&r, "model.onnx"));
	} else {
		ck_assert_int_eq(r.err.code, PARE_E_DIVERGED);
		t->failed = true;
		(void)snprintf(t->error, sizeof t->error, "%.*s", PARE_TRIAL_ERROR_MAX - 1, r.err.message);
	}
	pare_free(text);
}

#define HALVED                                                                                                              \
	HEAD "\"sweep\":{\"halving\":2,\"folds\":2,\"seeds\":2,\"grid\":[{\"parameter\":\"/recipe/steps/0/train/regularizer/lambda\",\"values\":[1e6,0.1,0.001]}," \
	     "{\"parameter\":\"/recipe/steps/1/prune/sparsity\",\"values\":[0.3,0.9]}]},"                                     \
	     "\"recipe\":{\"steps\":[{\"train\":{\"epochs\":12,\"batch_size\":8,\"optimizer\":{\"name\":\"sgd\",\"lr\":0.01},\"regularizer\":{\"name\":\"l2\",\"lambda\":0}}},{\"prune\":{\"sparsity\":0.1}},{\"train\":{\"epochs\":4}}]}}"

START_TEST(runs_made_elsewhere_give_the_same_bytes)
{
	char *want, *is, *want_model, *is_model;
	struct pare_sweep_shape shape;
	struct pare_job *job = NULL;
	size_t want_n, is_n;
	int rounds = 0;
	json_t *v;

	ck_assert_msg(run(HALVED) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	rig_drop_timing(v);
	want = json_dumps(v, JSON_INDENT(1));
	json_decref(v);
	want_model = rig_output(&r, "model.onnx", &want_n);
	ck_assert_int_eq(pare_job_parse(HALVED, strlen(HALVED), &job, NULL, &r.err), PARE_OK);
	pare_sweep_shape(job, &shape);
	ck_assert_int_eq(shape.n_rungs, 3);
	for (n_known = 0;; rounds++) {
		ck_assert_msg(run_asking(HALVED) == PARE_OK, "%s: %s", r.err.where, r.err.message);
		if (n_asked == 0)
			break;
		ck_assert_ptr_null(r.result);
		ck_assert_int_eq(n_said_known, n_known);
		ck_assert_int_eq(n_said_all, pare_sweep_runs(&shape));
		ck_assert_int_eq(n_asked, 4 * pare_sweep_alive(&shape, rounds));
		for (int i = n_asked; i-- > 0;) { /* in whatever order */
			ck_assert_int_eq(asked[i].rung, rounds);
			run_alone(job, &asked[i]);
			known[n_known++] = asked[i];
		}
	}
	ck_assert_int_eq(rounds, shape.n_rungs);
	ck_assert_int_eq(n_known, pare_sweep_runs(&shape));
	v = rig_report(&r);
	rig_drop_timing(v);
	is = json_dumps(v, JSON_INDENT(1));
	json_decref(v);
	ck_assert_str_eq(want, is);
	is_model = rig_output(&r, "model.onnx", &is_n);
	ck_assert_uint_eq(want_n, is_n);
	ck_assert_mem_eq(want_model, is_model, is_n);
	ck_assert_ptr_nonnull(strstr(is, "\"failed\": 4"));
	free(want);
	free(is);
	free(want_model);
	free(is_model);
	pare_job_free(job);
}
END_TEST

START_TEST(runs_that_the_sweep_does_not_have_are_refused)
{
	n_known = 1;
	known[0] = (struct pare_trial){.variant = 6, .fold = 1, .loss = 1, .value = 1};
	ck_assert_int_eq(run_asking(HALVED), PARE_E_INVALID);
	ck_assert_ptr_nonnull(strstr(r.err.message, "none such"));
	known[0] = (struct pare_trial){.variant = 0, .fold = 0};
	ck_assert_int_eq(run_asking(HALVED), PARE_E_INVALID);
	ck_assert_str_eq(r.err.where, "/sweep");
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("core/job/sweep");
	TCase *t = tcase_create("sweep");

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_best_of_the_grid_is_run);
	tcase_add_test(t, folds_and_seeds_give_mean_and_range);
	tcase_add_test(t, a_fold_has_its_own_dense_teacher);
	tcase_add_test(t, recipes_are_compared);
	tcase_add_test(t, hopeless_variants_stop_early);
	tcase_add_test(t, a_variant_that_diverges_ranks_last);
	tcase_add_test(t, named_recipes_have_their_parameters_swept);
	tcase_add_test(t, runs_made_elsewhere_give_the_same_bytes);
	tcase_add_test(t, runs_that_the_sweep_does_not_have_are_refused);
	suite_add_tcase(s, t);
	return rig_main(s);
}
