/* The search step as jobs, through the worker: the floor holds on the validation rows, what is chosen is the smallest that holds, the front
 * is one, every point of it is a file that is what the report says, and the same job gives the same bytes. */
#include <math.h>

#include "tests/core/job/job_support.h"

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":24,\"activation\":\"sigmoid\"},{\"units\":16,\"activation\":\"relu\"},{\"units\":3}],\"seed\":3}"
#define HEAD(require) "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"data\":{\"normalize\":\"standard\",\"validation\":0.3},\"require\":" require ",\"recipe\":{\"steps\":["
#define TRAIN "{\"train\":{\"epochs\":40,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01},\"keep_best\":true}}"
#define RECOVER "\"recover\":{\"epochs\":20,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}}"
#define SEARCH(what) "{\"search\":{" what "}}"

#include "tests/core/job/iris_rig.h"

static bool flag(const json_t *v, const char *key)
{
	return json_is_true(json_object_get(v, key));
}

/* The file is a model with so many weights that are not zero. */
static void check_file(const json_t *p)
{
	const char *name = json_string_value(json_object_get(p, "artifact"));
	struct rig look;
	double weights = 0;
	size_t n, i;
	char *bytes = rig_output(&r, name, &n);
	json_t *v, *layer;

	ck_assert_double_eq((double)n, rig_num(p, "file_bytes"));
	rig_init(&look);
	look.start.kind = "inspect-model";
	rig_input(&look, "model", "m", bytes, n);
	ck_assert_int_eq(rig_go(&look), PARE_OK);
	v = rig_json(look.result);
	json_array_foreach(json_object_get(v, "layers"), i, layer) {
		if (flag(layer, "prunable"))
			weights += rig_num(layer, "nonzero");
	}
	ck_assert_msg(weights == rig_num(p, "n_weights"), "%s has %g weights, the report says %g", name, weights, rig_num(p, "n_weights"));
	json_decref(v);
	free(bytes);
	rig_done(&look);
}

static double drop_of(const json_t *p)
{
	return rig_num(p, "validation.drop");
}

static void check_points(const json_t *search, int max_files)
{
	const json_t *points = json_object_get(search, "points"), *chosen = json_array_get(points, (size_t)rig_num(search, "chosen"));
	int n_files = 0, n_front = 0;
	size_t i, k;
	json_t *p, *q;

	ck_assert_uint_gt(json_array_size(points), 3);
	ck_assert(flag(chosen, "chosen"));
	ck_assert_str_eq(json_string_value(json_object_get(chosen, "artifact")), "model.onnx");
	ck_assert(flag(chosen, "held") == flag(search, "met"));
	json_array_foreach(points, i, p) {
		bool beaten = false;

		json_array_foreach(points, k, q) {
			beaten |= rig_num(q, "size") <= rig_num(p, "size") && drop_of(q) <= drop_of(p) && (rig_num(q, "size") < rig_num(p, "size") || drop_of(q) < drop_of(p));
		}
		ck_assert(flag(p, "front") == !beaten);
		n_front += !beaten;
		if (flag(p, "held"))
			ck_assert_double_le(rig_num(chosen, "size"), rig_num(p, "size"));
		ck_assert(flag(p, "held") == (drop_of(p) <= rig_num(search, "max_drop")));
		if (json_is_null(json_object_get(p, "artifact")))
			continue;
		ck_assert(flag(p, "front") || flag(p, "chosen"));
		n_files++;
		check_file(p);
	}
	ck_assert_int_ge(n_front, 1);
	ck_assert_int_le(n_files, max_files);
}

static const struct {
	const char *job;
	int max_files;
	double smaller; /* at most this share is left */
	double accuracy;
} search_table[] = {
    {HEAD("{\"max_drop\":0.05}") TRAIN "," SEARCH(RECOVER) "]}}", 8, 0.35, 0.85},
    {HEAD("{\"max_drop\":0.05}") TRAIN "," SEARCH("\"objective\":\"macs\",\"allocation\":\"sensitivity\",\"front\":3," RECOVER) "]}}", 3, 0.35, 0.85},
    {HEAD("{\"max_drop\":0.05}") TRAIN "," SEARCH("\"objective\":\"latency\",\"granularity\":\"channel\",\"criterion\":\"l2\"," RECOVER) "]}}", 8, 0.5, 0.85},
    {HEAD("{\"max_drop\":0.05}") TRAIN "," SEARCH("\"objective\":\"bytes\",\"criterion\":{\"name\":\"taylor\",\"rows\":60,\"batch_size\":4},\"beyond\":0") "]}}", 8, 1, 0.85},
    {HEAD("{\"metric\":\"loss\",\"max_drop\":0.1}") TRAIN "," SEARCH("\"exclude\":[\"fc3*\"]," RECOVER) "]}}", 8, 0.6, 0.85},
};

START_TEST(smallest_inside_the_floor)
{
	json_t *v, *s, *chosen;

	ck_assert_msg(run(search_table[_i].job) == PARE_OK, "job %d: %s: %s", _i, r.err.where, r.err.message);
	v = rig_report(&r);
	s = json_object_get(v, "search");
	check_points(s, search_table[_i].max_files);
	chosen = json_array_get(json_object_get(s, "points"), (size_t)rig_num(s, "chosen"));
	ck_assert(flag(s, "met"));
	ck_assert_msg(rig_num(chosen, "size") <= search_table[_i].smaller, "job %d: %g is left", _i, rig_num(chosen, "size"));
	ck_assert_double_eq(rig_num(v, "final.n_nonzero_weights"), rig_num(chosen, "n_weights"));
	ck_assert_double_eq(rig_num(v, "final.accuracy"), _i == 4 ? rig_num(v, "final.accuracy") : rig_num(chosen, "test.value"));
	ck_assert_msg(rig_num(v, "final.accuracy") >= search_table[_i].accuracy, "job %d: accuracy %g", _i, rig_num(v, "final.accuracy"));
	json_decref(v);
}
END_TEST

START_TEST(a_floor_out_of_reach_keeps_the_best_effort)
{
	json_t *v, *s;
	char *text;

	/* thirty-six rows: not even the same answers again give an interval that narrow */
	ck_assert_msg(run(HEAD("{\"max_drop\":0.01,\"confidence\":0.95}") TRAIN "," SEARCH("\"tries\":6,\"min_step\":0.3") "]}}") == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	s = json_object_get(v, "search");
	ck_assert(!flag(s, "met"));
	ck_assert_double_gt(rig_num(s, "missed_by"), 0);
	ck_assert_double_gt(rig_num(s, "chosen"), 0);
	ck_assert(!flag(json_object_get(v, "requirement"), "met"));
	json_decref(v);
	text = rig_output(&r, "report.md", NULL);
	ck_assert_ptr_nonnull(strstr(text, "No model holds the floor"));
	ck_assert_ptr_nonnull(strstr(text, "it misses by"));
	free(text);
	ck_assert(rig_has_output(&r, "model.onnx"));
}
END_TEST

START_TEST(too_few_rows_for_an_interval_are_said)
{
	json_t *v;

	ck_assert_int_eq(run(HEAD("{\"max_drop\":0.05}") TRAIN "," SEARCH("\"tries\":2") "]}}"), PARE_OK);
	v = rig_report(&r);
	ck_assert(flag(json_object_get(v, "search"), "too_few_rows"));
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(v, "search"), "judged_by")), "measured drop");
	json_decref(v);
}
END_TEST

START_TEST(same_job_same_front)
{
	static const char job[] = HEAD("{\"max_drop\":0.05}") TRAIN "," SEARCH(RECOVER) "]}}";
	size_t n[2][2];
	char *b[2][2], *page;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(run(job), PARE_OK);
		b[i][0] = rig_output(&r, "model.onnx", &n[i][0]);
		b[i][1] = rig_output(&r, "front-01.onnx", &n[i][1]);
	}
	for (int k = 0; k < 2; k++) {
		ck_assert_uint_eq(n[0][k], n[1][k]);
		ck_assert_mem_eq(b[0][k], b[1][k], n[0][k]);
		free(b[0][k]);
		free(b[1][k]);
	}
	page = rig_output(&r, "report.html", NULL);
	ck_assert_ptr_nonnull(strstr(page, "Size and quality"));
	free(page);
}
END_TEST

START_TEST(only_a_requirement_is_a_search)
{
	static const char job[] = "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"data\":{\"normalize\":\"standard\",\"validation\":0.3},\"require\":{\"max_drop\":0.05},"
	                          "\"params\":{\"epochs\":40,\"batch_size\":8,\"lr\":0.01,\"patience\":20}}";
	json_t *v;

	ck_assert_msg(run(job) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_str_eq(json_string_value(json_object_get(v, "recipe")), "auto");
	ck_assert(flag(json_object_get(v, "search"), "met"));
	ck_assert_double_lt(rig_num(v, "final.n_nonzero_weights"), 0.5 * rig_num(v, "dense.n_nonzero_weights"));
	json_decref(v);
}
END_TEST

START_TEST(no_validation_rows_no_search)
{
	ck_assert_int_ne(run("{\"model\":\"m\",\"dataset\":\"d\",\"data\":{\"validation\":0},\"require\":{\"max_drop\":0.05},\"recipe\":{\"steps\":[{\"search\":{}}]}}"), PARE_OK);
	ck_assert_str_eq(r.err.where, "/data/validation");
	ck_assert_ptr_nonnull(strstr(r.err.message, "validation rows"));
}
END_TEST

START_TEST(an_analysis_tells_before_anything_runs)
{
	static const char job[] = "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"data\":{\"validation\":0.3},\"recipe\":{\"steps\":[" TRAIN
	                          ",{\"prune\":{\"sparsity\":0.5}},{\"prune\":{\"granularity\":\"channel\",\"sparsity\":0.5}}]}}";
	json_t *v, *layer;
	double widths;

	rig_forget(&r);
	r.start.kind = "analyze";
	r.start.job = job;
	rig_input(&r, "model", "m", model, model_n);
	rig_file(&r, "data", "tests/data/iris.csv");
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_json(r.result);
	layer = json_array_get(json_object_get(v, "layers"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(layer, "name")), "fc1.weight");
	ck_assert(flag(layer, "prunable"));
	ck_assert_double_eq(rig_num(layer, "sensitivity.left.1"), 0.5);
	ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(layer, "sensitivity"), "loss_rise")), json_array_size(json_object_get(json_object_get(layer, "sensitivity"), "left")));
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(json_array_get(json_object_get(v, "layers"), 1), "why")), "bias"));
	ck_assert_double_eq(rig_num(v, "groups.0.units") + rig_num(v, "groups.1.units"), 40);
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(json_array_get(json_object_get(v, "pinned"), 0), "why")), "graph output"));
	ck_assert_double_eq(rig_num(v, "expected.0.n_nonzero_weights"), 264);
	ck_assert_double_eq(rig_num(v, "expected.0.file_bytes"), (double)model_n);
	ck_assert_double_lt(rig_num(v, "expected.1.n_weights"), 528);
	ck_assert_double_lt(rig_num(v, "expected.1.file_bytes"), (double)model_n);
	widths = rig_num(v, "work.splits.train") + rig_num(v, "work.splits.validation") + rig_num(v, "work.splits.test");
	ck_assert_double_eq(widths, 150);
	ck_assert_double_ge(rig_num(v, "work.epochs"), 40);
	ck_assert_double_gt(rig_num(v, "work.seconds"), 0);
	ck_assert(!rig_has_output(&r, "model.onnx"));
	json_decref(v);
}
END_TEST

/* Factors are made of what is left there, too; ranks that only trained weights have are not guessed. */
START_TEST(an_analysis_tells_of_factors)
{
	static const char *const jobs[] = {"\"ratio\":0.5,\"scope\":\"global\"", "\"energy\":0.99999"};
	char job[1024];
	json_t *v;

	for (int k = 0; k < 2; k++) {
		(void)snprintf(job, sizeof job, "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"recipe\":{\"steps\":[" TRAIN
		    ",{\"prune\":{\"granularity\":\"channel\",\"sparsity\":0.25}},{\"factorize\":{%s}},{\"prune\":{\"sparsity\":0.5}}]}}", jobs[k]);
		rig_forget(&r);
		r.start.kind = "analyze";
		r.start.job = job;
		rig_input(&r, "model", "m", model, model_n);
		rig_file(&r, "data", "tests/data/iris.csv");
		ck_assert_msg(rig_go(&r) == PARE_OK, "%s: %s", r.err.where, r.err.message);
		v = rig_json(r.result);
		ck_assert_uint_eq(json_array_size(json_object_get(v, "expected")), k == 0 ? 3 : 1);
		ck_assert_double_lt(rig_num(v, "expected.0.macs"), 528);
		if (k == 0) {
			ck_assert_double_eq(rig_num(v, "expected.1.step"), 3);
			ck_assert_double_le(rig_num(v, "expected.1.macs"), 0.5 * rig_num(v, "expected.0.macs"));
			ck_assert_double_eq(rig_num(v, "expected.1.n_weights"), rig_num(v, "expected.1.n_nonzero_weights"));
			ck_assert_double_lt(rig_num(v, "expected.1.file_bytes"), (double)model_n);
			ck_assert_double_eq(rig_num(v, "expected.2.n_weights"), rig_num(v, "expected.1.n_weights"));
			ck_assert_double_le(rig_num(v, "expected.2.n_nonzero_weights"), 0.5 * rig_num(v, "expected.2.n_weights") + 1);
			ck_assert_double_lt(rig_num(v, "expected.2.packed_bytes"), rig_num(v, "expected.2.file_bytes"));
		}
		json_decref(v);
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("core/job/search");
	TCase *t = tcase_create("search");

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, smallest_inside_the_floor, 0, (int)(sizeof search_table / sizeof search_table[0]));
	tcase_add_test(t, a_floor_out_of_reach_keeps_the_best_effort);
	tcase_add_test(t, too_few_rows_for_an_interval_are_said);
	tcase_add_test(t, same_job_same_front);
	tcase_add_test(t, only_a_requirement_is_a_search);
	tcase_add_test(t, no_validation_rows_no_search);
	tcase_add_test(t, an_analysis_tells_before_anything_runs);
	tcase_add_test(t, an_analysis_tells_of_factors);
	suite_add_tcase(s, t);
	return rig_main(s);
}
