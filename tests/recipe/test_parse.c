/* Jobs as users write them: what is accepted and what it means, what is refused and how the refusal reads. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/recipe/recipe.h"
#include "tests/support/fail_alloc.h"

#define HEAD "{\"model\":\"mdl_1\",\"dataset\":\"dst_1\","
#define STEPS(s) HEAD "\"recipe\":{\"steps\":[" s "]}}"
#define LONE(more, steps) "{\"model\":\"mdl_1\"," more "\"recipe\":{\"steps\":[" steps "]}}" /* without a data set */
#define PRUNE(s) STEPS("{\"prune\":{" s "}}")

static const char full[] = HEAD
    "\"seed\":42,\"threads\":2,\"name\":\"a \\\"name\\\" \\u00e9\",\"recipe\":{\"steps\":["
    "{\"train\":{\"epochs\":10,\"batch_size\":64,\"optimizer\":{\"name\":\"sgd\",\"lr\":0.1,\"momentum\":0.9},\"regularizer\":{\"name\":\"l2\",\"lambda\":1e-4}}},"
    "{\"prune\":{\"criterion\":\"magnitude\",\"granularity\":\"weight\",\"scope\":\"global\",\"sparsity\":0.95,"
    "\"schedule\":{\"name\":\"cubic\",\"rounds\":8},\"recover\":{\"epochs\":1},\"exclude\":[\"fc3\",\"head*\"]}},"
    "{\"train\":{\"epochs\":5,\"optimizer\":\"adam\",\"keep_best\":true}},{\"evaluate\":{\"folds\":5}}]},"
    "\"require\":{\"metric\":\"accuracy\",\"max_drop\":0.005,\"confidence\":0.95},\"outputs\":[\"onnx\"],"
    "\"limits\":{\"max_runtime_seconds\":60}}";

static struct pare_job *parse(const char *text)
{
	struct pare_job *job = NULL;
	struct pare_issues issues;
	struct pare_err err;
	enum pare_code code = pare_job_parse(text, strlen(text), &job, &issues, &err);

	ck_assert_msg(code == PARE_OK, "%s: %s at %s", text, err.message, err.where);
	ck_assert_int_eq(issues.n, 0);
	return job;
}

START_TEST(a_whole_job)
{
	struct pare_job *job = parse(full);
	const struct pare_args *a = pare_job_args(job), *train, *prune;

	ck_assert_str_eq(pare_args_str(a, "model"), "mdl_1");
	ck_assert_int_eq(pare_args_int(a, "seed"), 42);
	ck_assert_int_eq(pare_args_int(pare_args_obj(a, "limits"), "max_runtime_seconds"), 60);
	ck_assert(!pare_args_has(pare_args_obj(a, "limits"), "max_memory_bytes"));
	ck_assert_double_eq(pare_args_num(pare_args_obj(a, "data"), "validation"), 0.1);
	ck_assert_uint_eq(pare_args_get(a, "outputs")->n, 1);
	ck_assert_ptr_null(pare_job_recipe_name(job));
	ck_assert_uint_eq(pare_job_n_steps(job), 4);
	train = pare_job_step(job, 0);
	ck_assert_str_eq(train->method->name, "train");
	ck_assert_double_eq(pare_args_num(pare_args_obj(train, "optimizer"), "momentum"), 0.9);
	ck_assert_double_eq(pare_args_num(pare_args_get(train, "regularizer")->list[0], "lambda"), 1e-4);
	ck_assert_str_eq(pare_args_obj(train, "lr_schedule")->method->name, "constant");
	prune = pare_job_step(job, 1);
	ck_assert_double_eq(pare_args_num(prune, "sparsity"), 0.95);
	ck_assert(!pare_args_has(prune, "threshold"));
	ck_assert_int_eq(pare_args_int(pare_args_obj(prune, "schedule"), "rounds"), 8);
	ck_assert_int_eq(pare_args_int(pare_args_obj(prune, "recover"), "batch_size"), 64);
	ck_assert_str_eq(pare_args_get(prune, "exclude")->strings[1], "head*");
	ck_assert_str_eq(pare_args_obj(pare_job_step(job, 2), "optimizer")->method->name, "adam");
	ck_assert(pare_args_bool(pare_job_step(job, 2), "keep_best"));
	pare_job_free(job);
}
END_TEST

START_TEST(defaults_of_outputs)
{
	struct pare_job *job = parse(PRUNE("\"sparsity\":0.5"));
	const struct pare_arg *outputs = pare_args_get(pare_job_args(job), "outputs");

	ck_assert_uint_eq(outputs->n, 2);
	ck_assert_str_eq(outputs->strings[0], "onnx");
	ck_assert_str_eq(outputs->strings[1], "report");
	pare_job_free(job);
}
END_TEST

static char *canonical(const char *text, int64_t seed)
{
	struct pare_job *job = parse(text);
	struct pare_err err;
	char *out = NULL;

	ck_assert_int_eq(pare_job_canonical(job, seed, 2, &out, &err), PARE_OK);
	pare_job_free(job);
	return out;
}

START_TEST(canonical_is_a_fixed_point)
{
	static const char *const jobs[] = {full, PRUNE("\"threshold\":0.1"), HEAD "\"recipe\":\"ridge-magnitude\"}",
	    HEAD "\"recipe\":\"two-threshold\",\"params\":{\"tau\":0.3}}", HEAD "\"recipe\":\"l1-sparse\"}", HEAD "\"recipe\":\"random\"}",
	    HEAD "\"recipe\":\"weight-magnitude\"}", LONE("", "{\"prune\":{\"criterion\":\"lamp\",\"sparsity\":0.5}}")};
	char *once = canonical(jobs[_i], 7), *twice = canonical(once, 8);

	ck_assert_str_eq(once, twice);
	ck_assert_ptr_null(strchr(once, '\n'));
	ck_assert_ptr_nonnull(strstr(once, "\"seed\":"));
	ck_assert_ptr_nonnull(strstr(once, "\"threads\":2"));
	pare_free(once);
	pare_free(twice);
}
END_TEST

START_TEST(kept_recipes_mean_the_same)
{
	for (size_t i = 0; i < pare_recipes_count(); i++) {
		char text[300], *cold, *warm, *again;
		struct pare_err err;

		(void)snprintf(text, sizeof text, HEAD "\"recipe\":\"%s\",\"data\":{\"validation\":0.2}}", pare_recipe_name_at(i));
		cold = canonical(text, 7);
		ck_assert_int_eq(pare_recipes_keep(&err), PARE_OK);
		warm = canonical(text, 7);
		again = canonical(text, 7); /* nobody has written into what is kept */
		pare_recipes_drop();
		ck_assert_str_eq(cold, warm);
		ck_assert_str_eq(cold, again);
		pare_free(cold);
		pare_free(warm);
		pare_free(again);
	}
}
END_TEST

START_TEST(keeping_recipes_without_memory)
{
	struct pare_err err;
	long n;

	fail_alloc_install(0);
	ck_assert_int_eq(pare_recipes_keep(&err), PARE_OK);
	n = fail_alloc_count();
	pare_recipes_drop();
	ck_assert_int_eq(fail_alloc_live(), 0);
	fail_alloc_remove();
	ck_assert_int_gt(n, 100);
	for (long i = 1; i <= n; i += 7) {
		enum pare_code code;

		fail_alloc_install(i);
		code = pare_recipes_keep(&err);
		ck_assert_int_eq(code, PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
	}
}
END_TEST

START_TEST(equal_jobs_have_equal_texts)
{
	char *a = canonical(HEAD "\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.50,\"criterion\":\"magnitude\"}}]}}", 1);
	char *b = canonical("{ \"recipe\": {\"steps\": [{\"prune\": {\"criterion\": {\"name\":\"magnitude\"}, \"scope\":\"global\", \"sparsity\": 5e-1}}]},\n"
	                    "\"seed\": 1, \"dataset\":\"dst_1\", \"model\":\"mdl_1\"}", 9);

	ck_assert_str_eq(a, b);
	ck_assert_ptr_nonnull(strstr(a, "\"sparsity\":0.5}"));
	pare_free(a);
	pare_free(b);
}
END_TEST

/* Name, labels and priority are the service's record of a job: checked with it, and no part of the text that its result follows from. */
START_TEST(the_record_stands_beside_the_text)
{
	static const char work[] = "\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]}}";
	char with[400], without[400];
	struct pare_job *job;
	const struct pare_arg *labels;
	char *a, *b;

	(void)snprintf(with, sizeof with, HEAD "\"name\":\"n\",\"priority\":-7,\"labels\":{\"team\":\"a=b:c\",\"pipeline\":\"nightly-417\"},%s", work);
	(void)snprintf(without, sizeof without, HEAD "%s", work);
	job = parse(with);
	ck_assert_int_eq(pare_args_int(pare_job_args(job), "priority"), -7);
	labels = pare_args_get(pare_job_args(job), "labels");
	ck_assert_uint_eq(labels->n, 2);
	ck_assert_str_eq(labels->strings[0], "pipeline=nightly-417");
	ck_assert_str_eq(labels->strings[1], "team=a=b:c");
	pare_job_free(job);
	job = parse(without);
	ck_assert_int_eq(pare_args_int(pare_job_args(job), "priority"), 0);
	ck_assert(!pare_args_has(pare_job_args(job), "labels"));
	pare_job_free(job);
	a = canonical(with, 1);
	b = canonical(without, 1);
	ck_assert_str_eq(a, b);
	pare_free(a);
	pare_free(b);
}
END_TEST

static const struct {
	const char *text, *kind;
} kind_table[] = {
    {STEPS("{\"evaluate\":{}}"), "evaluate"},
    {STEPS("{\"train\":{}},{\"evaluate\":{}}"), "train"},
    {STEPS("{\"train\":{}},{\"prune\":{\"sparsity\":0.5}},{\"quantize\":{}}"), "prune"},
    {STEPS("{\"train\":{}},{\"quantize\":{}}"), "quantize"},
    {STEPS("{\"cluster\":{}}"), "cluster"},
    {HEAD "\"require\":{\"max_drop\":0.01}}", "search"},
    {HEAD "\"recipe\":\"random\",\"sweep\":{\"recipes\":[\"random\"]}}", "sweep"},
};

START_TEST(a_job_is_of_a_kind)
{
	struct pare_job *job = parse(kind_table[_i].text);

	ck_assert_str_eq(pare_job_kind(job), kind_table[_i].kind);
	pare_job_free(job);
}
END_TEST

START_TEST(named_recipe_with_params)
{
	struct pare_job *job = parse(HEAD "\"recipe\":\"ridge-magnitude\",\"params\":{\"threshold\":0.05,\"lambda\":0.01},\"data\":{\"validation\":0.2}}");
	const struct pare_args *prune = pare_job_step(job, 1);

	ck_assert_str_eq(pare_job_recipe_name(job), "ridge-magnitude");
	ck_assert(pare_args_has(prune, "threshold") && !pare_args_has(prune, "sparsity"));
	ck_assert_double_eq(pare_args_num(prune, "threshold"), 0.05);
	ck_assert_double_eq(pare_args_num(pare_args_get(pare_job_step(job, 0), "regularizer")->list[0], "lambda"), 0.01);
	ck_assert_double_eq(pare_args_num(pare_args_obj(pare_job_args(job), "data"), "validation"), 0.2);
	pare_job_free(job);
	job = parse(HEAD "\"recipe\":\"two-threshold\",\"data\":{\"validation\":0.3}}");
	ck_assert_str_eq(pare_args_str(pare_args_obj(pare_job_args(job), "data"), "normalize"), "standard");
	ck_assert_double_eq(pare_args_num(pare_args_obj(pare_job_args(job), "data"), "validation"), 0.3);
	pare_job_free(job);
}
END_TEST

static const struct {
	const char *text, *pointer, *code, *detail;
} wrong_table[] = {
    {"[]", "", "wrong_type", "a job must be an object; got a list"},
    {"3", "", "wrong_type", "a job must be an object"},
    {"{\"dataset\":\"d\",\"recipe\":\"random\"}", "/model", "missing", "is required"},
    {HEAD "\"seed\":1}", "/recipe", "missing", "is required"},
    {HEAD "\"recipe\":{\"steps\":[{\"search\":{}}]}}", "/recipe/steps/0/search", "missing", "set the job's field require"},
    {HEAD "\"require\":{\"max_drop\":0.01},\"recipe\":{\"steps\":[{\"search\":{}},{\"search\":{}}]}}", "/recipe/steps/1/search", "unsupported", "one search"},
    {HEAD "\"require\":{\"max_drop\":0.01},\"recipe\":{\"steps\":[{\"search\":{\"step\":0.1,\"min_step\":0.2}}]}}", "/recipe/steps/0/search/min_step", "out_of_range", "at most step"},
    {HEAD "\"require\":{\"max_drop\":0.01},\"recipe\":{\"steps\":[{\"search\":{}},{\"evaluate\":{\"folds\":3}}]}}", "/recipe/steps/1/evaluate/folds", "unsupported", "judge the folds"},
    {HEAD "\"require\":{\"max_drop\":0.01},\"recipe\":{\"steps\":[{\"search\":{\"criterion\":\"fpgm\"}}]}}", "/recipe/steps/0/search/criterion", "unsupported", "scores structures"},
    {HEAD "\"require\":{\"max_drop\":0.01},\"params\":{\"sparsity\":0.5}}", "/params/sparsity", "unknown_field", "no such parameter"},
    {HEAD "\"require\":7}", "/require", "wrong_type", "an object"},
#define SWEEP(what) HEAD "\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]},\"sweep\":{" what "}}"
    {SWEEP("\"seeds\":2"), "/sweep", "missing", "grid, recipes or both"},
    {SWEEP("\"grid\":[{\"parameter\":\"/recipe/steps/0/prune/sparsity\",\"values\":[0.5,2]}]"), "/sweep/grid/0/values/1", "out_of_range", "/recipe/steps/0/prune/sparsity: must be >= 0 and < 1"},
    {SWEEP("\"grid\":[{\"parameter\":\"/recipe/steps/3/prune/sparsity\",\"values\":[0.5]}]"), "/sweep/grid/0/values/0", "unknown_value", "nothing at /recipe/steps/3"},
    {SWEEP("\"grid\":[{\"parameter\":\"/recipe/steps/0/prune/sparsiti\",\"values\":[0.5]}]"), "/sweep/grid/0/values/0", "unknown_field", "did you mean \"sparsity\"?"},
    {SWEEP("\"grid\":[{\"parameter\":\"sparsity\",\"values\":[0.5]}]"), "/sweep/grid/0/parameter", "unknown_value", "neither a parameter of a named recipe nor a pointer"},
    {SWEEP("\"grid\":[{\"parameter\":\"/recipe/steps/0/prune/criterion\",\"names\":[\"lamp\",\"lmap\"]}]"), "/sweep/grid/0/names/1", "unknown_value", "no such criterion"},
    {SWEEP("\"grid\":[{\"parameter\":\"/seed\",\"values\":[1],\"names\":[\"a\"]}]"), "/sweep/grid/0", "exactly_one", "\"values\", \"names\""},
    {SWEEP("\"recipes\":[\"random\",\"randon\"]"), "/sweep/recipes/1/recipe", "unknown_value", "did you mean \"random\"?"},
    {SWEEP("\"pick\":\"smallest\",\"recipes\":[\"random\"]"), "/sweep/pick", "missing", "set the job's field require"},
#define GRID2 "\"grid\":[{\"parameter\":\"/recipe/steps/0/prune/sparsity\",\"values\":[0.5,0.6]}]"
#define TRIAL(sweep, trial) HEAD "\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]},\"sweep\":{" GRID2 sweep "},\"trial\":{" trial "}}"
    {SWEEP(GRID2 ",\"seeds\":0"), "/sweep/seeds", "out_of_range", ">= 1 and <= 20"},
    {HEAD "\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":0.5}}]},\"trial\":{\"variant\":0}}", "/trial", "unsupported", "set the field sweep"},
    {TRIAL("", ""), "/trial/variant", "missing", "is required"},
    {TRIAL("", "\"variant\":2"), "/trial/variant", "out_of_range", "has 2 variants, counted from 0; got 2"},
    {TRIAL("", "\"variant\":0,\"rung\":1"), "/trial/rung", "out_of_range", "has 1 rungs"},
    {TRIAL(",\"seeds\":3", "\"variant\":0,\"repeat\":3"), "/trial/repeat", "out_of_range", "has 3 seeds"},
    {TRIAL("", "\"variant\":0,\"fold\":1"), "/trial/fold", "out_of_range", "no folds"},
    {TRIAL(",\"folds\":2", "\"variant\":0"), "/trial/fold", "out_of_range", "2 folds, counted from 1; got 0"},
    {TRIAL("", "\"variant\":0,\"seed\":1"), "/trial/seed", "unknown_field", "no such field"},
    {HEAD "\"recipe\":7}", "/recipe", "wrong_type", "the name of a recipe or an object with steps; got a number"},
    {HEAD "\"recipe\":\"ridge-magnitud\"}", "/recipe", "unknown_value", "did you mean \"ridge-magnitude\"?"},
    {HEAD "\"recipe\":\"zzz\"}", "/recipe", "unknown_value", "no such recipe"},
    {HEAD "\"recipe\":{}}", "/recipe/steps", "missing", "is required"},
    {HEAD "\"recipe\":\"random\",\"params\":{\"sparsty\":0.5}}", "/params/sparsty", "unknown_field", "did you mean \"sparsity\"?"},
    {HEAD "\"recipe\":\"random\",\"params\":{\"sparsity\":1.5}}", "/params/sparsity", "out_of_range", "must be >= 0 and < 1; got 1.5"},
    {HEAD "\"recipe\":\"random\",\"params\":{\"epochs\":1.5}}", "/params/epochs", "wrong_type", "an integer"},
    {HEAD "\"recipe\":\"random\",\"params\":[]}", "/params", "wrong_type", "must be an object"},
    {HEAD "\"recipe\":\"ridge-magnitude\",\"params\":{\"sparsity\":0.5,\"threshold\":0.1}}", "/params/threshold", "exactly_one", "together with \"sparsity\""},
    {HEAD "\"recipe\":{\"steps\":[{\"evaluate\":{}}]},\"params\":{}}", "/params", "unsupported", "named recipe"},
    {STEPS(""), "/recipe/steps", "out_of_range", "1 to 64 steps"},
    {STEPS("3"), "/recipe/steps/0", "wrong_type", "got a number"},
    {STEPS("{}"), "/recipe/steps/0", "exactly_one", "exactly one key"},
    {STEPS("{\"train\":{},\"prune\":{\"sparsity\":0.5}}"), "/recipe/steps/0", "exactly_one", "has 2"},
    {STEPS("{\"prun\":{}}"), "/recipe/steps/0/prun", "unknown_field", "did you mean \"prune\"?"},
    {STEPS("{\"sharpen\":{}}"), "/recipe/steps/0/sharpen", "unknown_field", "there are \"train\""},
    {STEPS("{\"train\":4}"), "/recipe/steps/0/train", "wrong_type", "must be an object"},
    {PRUNE("\"sparsity\":1.5"), "/recipe/steps/0/prune/sparsity", "out_of_range", "must be >= 0 and < 1; got 1.5"},
    {PRUNE("\"sparsity\":1"), "/recipe/steps/0/prune/sparsity", "out_of_range", "got 1"},
    {PRUNE("\"sparsity\":-0.1"), "/recipe/steps/0/prune/sparsity", "out_of_range", "got -0.1"},
    {PRUNE("\"sparsity\":\"0.5\""), "/recipe/steps/0/prune/sparsity", "wrong_type", "must be a number; got a string"},
    {PRUNE("\"sparsity\":null"), "/recipe/steps/0/prune/sparsity", "wrong_type", "got null"},
    {STEPS("{\"train\":{\"epochs\":1,\"batch\":16}}"), "/recipe/steps/0/train/batch", "unknown_field", "did you mean \"batch_size\"?"},
    {PRUNE("\"sparcity\":0.5,\"threshold\":1"), "/recipe/steps/0/prune/sparcity", "unknown_field", "did you mean \"sparsity\"?"},
    {PRUNE("\"scope\":\"layer\""), "/recipe/steps/0/prune", "exactly_one", "exactly one of \"sparsity\", \"threshold\", \"pattern\" must be given; got 0"},
    {PRUNE("\"sparsity\":0.5,\"threshold\":1"), "/recipe/steps/0/prune", "exactly_one", "got 2"},
    {PRUNE("\"sparsity\":0.5,\"scope\":\"layr\""), "/recipe/steps/0/prune/scope", "unknown_value", "did you mean \"layer\"?"},
    {PRUNE("\"sparsity\":0.5,\"criterion\":\"curvature\""), "/recipe/steps/0/prune/criterion", "unknown_value", "there are \"magnitude\", \"random\""},
    {PRUNE("\"sparsity\":0.5,\"criterion\":{\"name\":\"magnitudo\"}"), "/recipe/steps/0/prune/criterion/name", "unknown_value", "\"magnitude\""},
    {PRUNE("\"sparsity\":0.5,\"criterion\":{}"), "/recipe/steps/0/prune/criterion/name", "missing", "criterion"},
    {PRUNE("\"sparsity\":0.5,\"criterion\":{\"name\":\"random\",\"x\":1}"), "/recipe/steps/0/prune/criterion/x", "unknown_field", "random has no such field"},
    {LONE("", "{\"prune\":{\"sparsity\":0.5}},{\"evaluate\":{}}"), "/dataset", "missing", "step 2, evaluate"},
    {LONE("", "{\"prune\":{\"sparsity\":0.5,\"criterion\":\"snip\"}}"), "/dataset", "missing", "looks at data"},
    {LONE("", "{\"prune\":{\"sparsity\":0.5,\"granularity\":\"channel\"}}"), "/dataset", "missing", "removes structures"},
    {LONE("", "{\"prune\":{\"sparsity\":0.5,\"recover\":{\"epochs\":1}}}"), "/dataset", "missing", "trains"},
    {LONE("", "{\"prune\":{\"sparsity\":0.5,\"reconstruct\":{}}}"), "/dataset", "missing", "refits"},
    {LONE("\"require\":{\"max_drop\":0.1},", "{\"prune\":{\"sparsity\":0.5}}"), "/require", "unsupported", "nothing is measured"},
    {PRUNE("\"threshold\":0.5,\"criterion\":\"random\""), "/recipe/steps/0/prune/threshold", "unsupported", "give sparsity"},
    {PRUNE("\"pattern\":\"4:2\""), "/recipe/steps/0/prune/pattern", "out_of_range", "must be N:M with 1 <= N <= M <= 64, such as 2:4; got \"4:2\""},
    {PRUNE("\"pattern\":\"2:4x\""), "/recipe/steps/0/prune/pattern", "out_of_range", "such as 2:4"},
    {PRUNE("\"pattern\":\"2:4\",\"granularity\":\"block\",\"block\":[2,2]"), "/recipe/steps/0/prune/pattern", "unsupported", "single weights"},
    {PRUNE("\"sparsity\":0.5,\"granularity\":\"block\""), "/recipe/steps/0/prune/block", "missing", "such as [4, 4]"},
    {PRUNE("\"sparsity\":0.5,\"granularity\":\"block\",\"block\":[4]"), "/recipe/steps/0/prune/block", "missing", "outputs and inputs"},
    {PRUNE("\"sparsity\":0.5,\"block\":[4,4]"), "/recipe/steps/0/prune/block", "unsupported", "granularity block"},
    {PRUNE("\"sparsity\":0.5,\"schedule\":{\"name\":\"linear\",\"start\":0.6}"), "/recipe/steps/0/prune/schedule/start", "out_of_range", "at most"},
    {PRUNE("\"sparsity\":0.5,\"schedule\":{\"name\":\"cubic\",\"rounds\":0}"), "/recipe/steps/0/prune/schedule/rounds", "out_of_range", "got 0"},
    {PRUNE("\"sparsity\":0.5,\"exclude\":[\"a\",4]"), "/recipe/steps/0/prune/exclude/1", "wrong_type", "a string"},
    {PRUNE("\"sparsity\":0.5,\"exclude\":\"a\""), "/recipe/steps/0/prune/exclude", "wrong_type", "a list of strings"},
    {PRUNE("\"sparsity\":0.5,\"a/b~c\":1"), "/recipe/steps/0/prune/a~1b~0c", "unknown_field", "no such field"},
    {STEPS("{\"train\":{\"keep_best\":1}}"), "/recipe/steps/0/train/keep_best", "wrong_type", "true or false"},
    {STEPS("{\"train\":{\"regularizer\":\"l2\"}}"), "/recipe/steps/0/train/regularizer/lambda", "missing", "is required"},
    {STEPS("{\"train\":{\"epochs\":1e300}}"), "/recipe/steps/0/train/epochs", "wrong_type", "2^53"},
    {STEPS("{\"train\":{\"optimizer\":{\"name\":\"sgd\",\"lr\":0}}}"), "/recipe/steps/0/train/optimizer/lr", "out_of_range", "must be > 0"},
    {HEAD "\"recipe\":\"random\",\"seed\":-1}", "/seed", "out_of_range", "got -1"},
    {HEAD "\"recipe\":\"random\",\"outputs\":[\"onnx\",\"pt\"]}", "/outputs/1", "unknown_value", "must be one of \"onnx\", \"report\""},
    {HEAD "\"recipe\":\"random\",\"outputs\":[]}", "/outputs", "out_of_range", "at least one"},
    {HEAD "\"recipe\":\"random\",\"name\":\"\"}", "/name", "out_of_range", "1 to 256 bytes"},
    {HEAD "\"recipe\":\"random\",\"priority\":1001}", "/priority", "out_of_range", "must be >= -1000 and <= 1000; got 1001"},
    {HEAD "\"recipe\":\"random\",\"priority\":\"high\"}", "/priority", "wrong_type", "an integer; got a string"},
    {HEAD "\"recipe\":\"random\",\"labels\":[\"a\"]}", "/labels", "wrong_type", "an object of strings; got a list"},
    {HEAD "\"recipe\":\"random\",\"labels\":{\"team\":7}}", "/labels/team", "wrong_type", "a string; got a number"},
    {HEAD "\"recipe\":\"random\",\"labels\":{\"a/b\":\"\"}}", "/labels/a~1b", "out_of_range", "1 to 256 bytes"},
    {HEAD "\"recipe\":\"random\",\"labels\":{\"a:b\":\"x\"}}", "/labels/a:b", "unsupported", "a label's name"},
    {HEAD "\"recipe\":\"random\",\"labels\":{\"-a\":\"x\"}}", "/labels/-a", "unsupported", "begins with a letter"},
    {HEAD "\"recipe\":\"random\",\"labels\":{\"a\":\"x\\r\\nSet-Cookie: y\"}}", "/labels/a", "unsupported", "control characters"},
    {HEAD "\"recipe\":\"random\",\"labels\":{\"1\":\"\",\"2\":\"x\",\"3\":\"x\",\"4\":\"x\",\"5\":\"x\",\"6\":\"x\",\"7\":\"x\",\"8\":\"x\",\"9\":\"x\",\"10\":\"x\",\"11\":\"x\",\"12\":\"x\","
          "\"13\":\"x\",\"14\":\"x\",\"15\":\"x\",\"16\":\"x\",\"17\":\"x\"}}", "/labels", "out_of_range", "at most 16 labels; got 17"},
    {HEAD "\"recipe\":\"random\",\"require\":{\"max_drop\":0.1,\"confidence\":0.9}}", "/require/confidence", "unsupported", "only 0.95"},
    {HEAD "\"recipe\":\"random\",\"require\":{\"max_drop\":0.1,\"metric\":\"loss\",\"confidence\":0.95}}", "/require/confidence", "unsupported", "accuracy only"},
    {HEAD "\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1,\"epochs\":2}}]}}", "/recipe/steps/0/train/epochs", "duplicate", "twice"},
};

START_TEST(what_is_refused)
{
	struct pare_job *job = NULL;
	struct pare_issues issues;
	struct pare_err err;
	const char *text = wrong_table[_i].text;

	ck_assert_int_eq(pare_job_parse(text, strlen(text), &job, &issues, &err), PARE_E_INVALID);
	ck_assert_msg(issues.n == 1, "%s: %d issues", text, issues.n);
	ck_assert_str_eq(issues.list[0].code, wrong_table[_i].code);
	ck_assert_str_eq(issues.list[0].pointer, wrong_table[_i].pointer);
	ck_assert_msg(strstr(issues.list[0].detail, wrong_table[_i].detail) != NULL, "%s: %s", text, issues.list[0].detail);
	ck_assert_str_eq(err.where, wrong_table[_i].pointer);
	ck_assert_ptr_null(job);
}
END_TEST

static const struct {
	const char *text, *pointer, *code, *detail;
} arch_table[] = {
    {"{\"layers\":[{\"units\":3}]}", "/input", "missing", "is required"},
    {"{\"input\":[4],\"layers\":[{\"units\":3,\"activation\":\"rleu\"}]}", "/layers/0/activation", "unknown_value", "did you mean \"relu\"?"},
    {"{\"input\":[4],\"layers\":[{\"unit\":3,\"units\":4}]}", "/layers/0/unit", "unknown_field", "did you mean \"units\"?"},
    {"{\"input\":[0],\"layers\":[{\"units\":3}]}", "/input/0", "out_of_range", "must be >= 1"},
    {"{\"input\":[1,2,3,4,5],\"layers\":[{\"units\":3}]}", "/input", "out_of_range", "1 to 4 entries; got 5"},
    {"{\"input\":[4],\"layers\":[]}", "/layers", "out_of_range", "got 0"},
    {"{\"input\":[4],\"layers\":[3]}", "/layers/0", "wrong_type", "an object"},
    {"{\"input\":[4],\"layers\":{}}", "/layers", "wrong_type", "a list of objects"},
    {"{\"input\":4,\"layers\":[{\"units\":3}]}", "/input", "wrong_type", "a list of integers"},
    {"{\"input\":[4.5],\"layers\":[{\"units\":3}]}", "/input/0", "wrong_type", "an integer"},
    {"{\"input\":[4],\"layers\":[{\"units\":3,\"dropout\":1}]}", "/layers/0/dropout", "out_of_range", "< 1; got 1"},
};

START_TEST(wrong_architectures)
{
	struct pare_job *arch = NULL;
	struct pare_issues issues;
	struct pare_err err;
	const char *text = arch_table[_i].text;

	ck_assert_int_eq(pare_object_parse("architecture", text, strlen(text), &arch, &issues, &err), PARE_E_INVALID);
	ck_assert_int_eq(issues.n, 1);
	ck_assert_str_eq(issues.list[0].pointer, arch_table[_i].pointer);
	ck_assert_str_eq(issues.list[0].code, arch_table[_i].code);
	ck_assert_msg(strstr(issues.list[0].detail, arch_table[_i].detail) != NULL, "%s", issues.list[0].detail);
}
END_TEST

START_TEST(an_architecture)
{
	static const char text[] = "{\"input\":[1,28,28],\"layers\":[{\"units\":300,\"activation\":\"relu\",\"dropout\":0.2},{\"units\":10}],\"seed\":3}";
	struct pare_job *arch = NULL;
	struct pare_err err;
	const struct pare_args *a;

	ck_assert_int_eq(pare_object_parse("architecture", text, strlen(text), &arch, NULL, &err), PARE_OK);
	a = pare_job_args(arch);
	ck_assert_uint_eq(pare_args_get(a, "input")->n, 3);
	ck_assert_double_eq(pare_args_get(a, "input")->nums[2], 28);
	ck_assert_uint_eq(pare_args_get(a, "layers")->n, 2);
	ck_assert_str_eq(pare_args_str(pare_args_get(a, "layers")->list[1], "activation"), "none");
	ck_assert_int_eq(pare_args_int(a, "seed"), 3);
	pare_job_free(arch);
}
END_TEST

START_TEST(all_mistakes_at_once)
{
	static const char text[] = "{\"modell\":\"m\",\"seed\":\"x\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":2}},{\"train\":{\"epoch\":1}}]}}";
	struct pare_job *job = NULL;
	struct pare_issues issues;
	struct pare_err err;

	ck_assert_int_eq(pare_job_parse(text, strlen(text), &job, &issues, &err), PARE_E_INVALID);
	ck_assert_int_eq(issues.n, 5); /* modell, model, seed, sparsity, epoch */
	ck_assert_ptr_nonnull(strstr(err.message, "5 fields are invalid"));
}
END_TEST

static const struct {
	const char *text;
	const char *message;
} broken_table[] = {
    {"", "not valid JSON"},
    {"{", "not valid JSON"},
    {"{\"a\":1,}", "not valid JSON"},
    {"{\"a\":NaN}", "not valid JSON"},
    {"{\"a\":1e999}", "not valid JSON"},
    {"{\"a\":99999999999999999999999999}", "not valid JSON"},
    {"{\"a\":\"\xff\"}", "not valid JSON"},
    {"{\"a\":\"\\ud800\"}", "not valid JSON"},
    {"{\"a\":\"\\u0000\"}", "not valid JSON"},
    {"{} {}", "not valid JSON"},
    {"{'a':1}", "not valid JSON"},
};

START_TEST(what_is_not_json)
{
	struct pare_job *job = NULL;
	struct pare_issues issues;
	struct pare_err err;
	const char *text = broken_table[_i].text;

	ck_assert_int_eq(pare_job_parse(text, strlen(text), &job, &issues, &err), PARE_E_SYNTAX);
	ck_assert_ptr_nonnull(strstr(err.message, broken_table[_i].message));
	ck_assert_ptr_nonnull(strstr(err.where, "line 1 column"));
}
END_TEST

START_TEST(depth_length_and_nul)
{
	size_t n = 100000;
	char *deep = malloc(2 * n), *lists = malloc(2 * n);
	static char big[(1 << 20) + 2];
	struct pare_job *job = NULL;
	struct pare_issues issues;
	struct pare_err err;

	memset(deep, '[', n);
	ck_assert_int_eq(pare_job_parse(deep, n, &job, &issues, &err), PARE_E_SYNTAX);
	ck_assert_ptr_nonnull(strstr(err.message, "deeper than 32"));
	for (size_t i = 0; i < n / 5; i++)
		memcpy(lists + 5 * i, "{\"a\":", 5);
	ck_assert_int_eq(pare_job_parse(lists, n, &job, &issues, &err), PARE_E_SYNTAX);
	ck_assert_ptr_nonnull(strstr(err.message, "deeper than 32"));
	memset(big, ' ', sizeof big);
	ck_assert_int_eq(pare_job_parse(big, sizeof big, &job, &issues, &err), PARE_E_SYNTAX);
	ck_assert_ptr_nonnull(strstr(err.message, "at most 1048576"));
	ck_assert_int_eq(pare_job_parse("{}\0", 3, &job, &issues, &err), PARE_E_SYNTAX);
	ck_assert_ptr_nonnull(strstr(err.message, "NUL"));
	ck_assert_int_eq(pare_job_parse("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"", 48, &job, &issues, &err), PARE_E_INVALID);
	free(deep);
	free(lists);
}
END_TEST

START_TEST(many_issues_are_capped)
{
	char text[4096] = HEAD "\"recipe\":\"random\"";
	struct pare_job *job = NULL;
	struct pare_issues issues;
	struct pare_err err;

	for (int i = 0; i < 40; i++)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), ",\"qqqqqqqqqqqqq%d\":1", i);
	(void)snprintf(text + strlen(text), sizeof text - strlen(text), "}");
	ck_assert_int_eq(pare_job_parse(text, strlen(text), &job, &issues, &err), PARE_E_INVALID);
	ck_assert_int_eq(issues.n, PARE_MAX_ISSUES);
}
END_TEST

static enum pare_code whole(const char *text)
{
	struct pare_job *job = NULL;
	struct pare_issues issues;
	struct pare_err err = {0};
	char *out = NULL;
	enum pare_code code = pare_job_parse(text, strlen(text), &job, &issues, &err);

	if (code == PARE_OK)
		code = pare_job_canonical(job, 1, 1, &out, &err);
	pare_free(out);
	pare_job_free(job);
	return code;
}

START_TEST(every_allocation_may_fail)
{
	static const char *const jobs[] = {full, HEAD "\"recipe\":\"two-threshold\",\"params\":{\"tau\":0.3}}"};
	long n;

	ck_assert_int_eq(whole(jobs[_i]), PARE_OK); /* sets jansson up */
	fail_alloc_install(0);
	ck_assert_int_eq(whole(jobs[_i]), PARE_OK);
	n = fail_alloc_count();
	ck_assert_int_eq(fail_alloc_live(), 0);
	fail_alloc_remove();
	ck_assert_int_gt(n, 20);
	for (long i = 1; i <= n; i++) {
		enum pare_code code;

		fail_alloc_install(i);
		code = whole(jobs[_i]);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
		ck_assert_msg(code == PARE_E_NOMEM, "allocation %ld of %ld: %s", i, n, pare_code_string(code));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recipe/parse");
	TCase *t = tcase_create("parse");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60); /* under a sanitizer */
	tcase_add_test(t, a_whole_job);
	tcase_add_test(t, defaults_of_outputs);
	tcase_add_loop_test(t, canonical_is_a_fixed_point, 0, 7);
	tcase_add_test(t, equal_jobs_have_equal_texts);
	tcase_add_test(t, the_record_stands_beside_the_text);
	tcase_add_loop_test(t, a_job_is_of_a_kind, 0, (int)(sizeof kind_table / sizeof kind_table[0]));
	tcase_add_test(t, kept_recipes_mean_the_same);
	tcase_add_test(t, keeping_recipes_without_memory);
	tcase_add_test(t, named_recipe_with_params);
	tcase_add_loop_test(t, what_is_refused, 0, (int)(sizeof wrong_table / sizeof wrong_table[0]));
	tcase_add_loop_test(t, wrong_architectures, 0, (int)(sizeof arch_table / sizeof arch_table[0]));
	tcase_add_test(t, an_architecture);
	tcase_add_test(t, all_mistakes_at_once);
	tcase_add_loop_test(t, what_is_not_json, 0, (int)(sizeof broken_table / sizeof broken_table[0]));
	tcase_add_test(t, depth_length_and_nul);
	tcase_add_test(t, many_issues_are_capped);
	tcase_add_loop_test(t, every_allocation_may_fail, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
