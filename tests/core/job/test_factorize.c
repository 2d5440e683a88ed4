/* Models whose layers became two factors, as jobs through the worker: what leaves, what the report says of it, and what goes on with them. */
#include <math.h>

#include "core/onnx/onnx.h"
#include "tests/core/job/job_support.h"

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":24,\"activation\":\"relu\"},{\"units\":16,\"activation\":\"relu\"},{\"units\":3}],\"seed\":3}"
#define JOB(steps) \
	"{\"model\":\"m\",\"dataset\":\"d\",\"seed\":1,\"data\":{\"normalize\":\"standard\"},\"outputs\":[\"report\",\"onnx\"],\"recipe\":{\"steps\":[" steps "]}}"
#define TRAIN "{\"train\":{\"epochs\":40,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}}}"

#include "tests/core/job/iris_rig.h"

/* Layers 4x24, 24x16 and 16x3: rank 3 is cheaper for the first two (84 of 96, 120 of 384), not for the last (57 of 48). */
START_TEST(cheaper_layers_become_two)
{
	struct pare_model *m;
	char *bytes;
	size_t n;
	json_t *v;

	ck_assert_msg(run(JOB("{\"factorize\":{\"rank\":3}}")) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_uint_eq(json_array_size(json_object_get(v, "factors")), 3);
	ck_assert_double_eq(rig_num(v, "factors.0.rank"), 3);
	ck_assert_double_eq(rig_num(v, "factors.0.macs"), 96);
	ck_assert_double_eq(rig_num(v, "factors.0.macs_final"), 84);
	ck_assert_double_eq(rig_num(v, "factors.1.macs"), 384);
	ck_assert_double_eq(rig_num(v, "factors.1.macs_final"), 120);
	ck_assert_double_gt(rig_num(v, "factors.1.energy"), 0.1);
	ck_assert_double_lt(rig_num(v, "factors.1.energy"), 1);
	ck_assert_double_eq(rig_num(v, "factors.2.macs_final"), 48);
	ck_assert_double_eq(rig_num(v, "factors.2.energy"), 1);
	ck_assert(json_is_null(json_object_get(json_array_get(json_object_get(v, "factors"), 2), "rank")));
	ck_assert_uint_eq(json_array_size(json_object_get(v, "warnings")), 0);
	ck_assert_double_eq(rig_num(v, "input.macs"), 528);
	ck_assert_double_eq(rig_num(v, "dense.macs"), 528);
	ck_assert_double_eq(rig_num(v, "final.macs"), 252);
	ck_assert_double_eq(rig_num(v, "input.n_weights") - rig_num(v, "final.n_weights"), 528 - 252);
	ck_assert_double_eq(rig_num(v, "input.n_params") - rig_num(v, "final.n_params"), 528 - 252);
	json_decref(v);
	bytes = rig_output(&r, "report.md", &n);
	ck_assert_msg(strstr(bytes, "| 24 x 16 | 3 |") != NULL || strstr(bytes, "| 16 x 24 | 3 |") != NULL, "%s", bytes);
	ck_assert_ptr_nonnull(strstr(bytes, "is the model as it was uploaded"));
	free(bytes);
	bytes = rig_output(&r, "model.onnx", &n);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(uint8_t *)bytes, n}, &m, &r.err), PARE_OK);
	ck_assert_int_ge(pare_graph_find_value(&m->graph, "fc1.weight.factor"), 0);
	ck_assert_int_ge(pare_graph_find_value(&m->graph, "fc2.weight.factor"), 0);
	ck_assert_int_lt(pare_graph_find_value(&m->graph, "fc3.weight.factor"), 0);
	pare_model_free(m);
	free(bytes);
}
END_TEST

/* What the amount says: the share of the squares, or of the multiplications, and what is excluded stays whole. */
START_TEST(amounts_decide_ranks)
{
	json_t *v;

	ck_assert_msg(run(JOB("{\"factorize\":{\"energy\":0.5,\"exclude\":[\"fc1*\"]}}")) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_uint_eq(json_array_size(json_object_get(v, "factors")), 2);
	ck_assert_double_ge(rig_num(v, "factors.0.energy"), 0.5);
	ck_assert_double_lt(rig_num(v, "factors.0.energy"), 0.75);
	json_decref(v);
	ck_assert_msg(run(JOB("{\"factorize\":{\"ratio\":0.5}}")) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(v, "factors.0.rank"), 1);
	ck_assert_double_eq(rig_num(v, "factors.1.rank"), 4);
	ck_assert_double_eq(rig_num(v, "factors.2.rank"), 1);
	ck_assert_double_eq(rig_num(v, "final.macs"), 28 + 160 + 19);
	json_decref(v);
}
END_TEST

/* One budget for all layers: kept, loses less of the squares than the same ratio for each, and the report says what each layer gave. */
START_TEST(layers_share_a_budget)
{
	static const char *const how[] = {JOB("{\"factorize\":{\"ratio\":0.5}}"), JOB("{\"factorize\":{\"ratio\":0.5,\"scope\":\"global\"}},{\"train\":{\"epochs\":2}}")};
	double lost[2] = {0, 0};
	json_t *v, *f;
	size_t i;

	for (int k = 0; k < 2; k++) {
		ck_assert_msg(run(how[k]) == PARE_OK, "%s: %s", r.err.where, r.err.message);
		v = rig_report(&r);
		json_array_foreach(json_object_get(v, "factors"), i, f)
			lost[k] -= log(rig_num(f, "energy"));
		ck_assert_uint_eq(i, 3);
		ck_assert_double_le(rig_num(v, "final.macs"), 264);
		json_decref(v);
	}
	ck_assert_double_lt(lost[1], lost[0]);
}
END_TEST

/* Training, distilling from what it was, structures, single weights, folds, shared values and integers all work on the factors; the same job, the same bytes. */
static const char *const followed_by[] = {
    TRAIN,
    "{\"train\":{\"epochs\":40,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01},\"distill\":{\"teacher\":\"input\",\"alpha\":0.1}}}",
    TRAIN ",{\"prune\":{\"sparsity\":0.3,\"granularity\":\"channel\",\"recover\":{\"epochs\":20,\"optimizer\":\"adam\"}}},{\"quantize\":{}}",
    TRAIN ",{\"prune\":{\"sparsity\":0.3,\"recover\":{\"epochs\":10,\"optimizer\":\"adam\"}}},{\"remove_dead\":{}},{\"cluster\":{\"bits\":5}},{\"evaluate\":{\"folds\":2}}",
};

START_TEST(the_rest_works_on_factors)
{
	char job[2048];
	json_t *v;

	(void)snprintf(job, sizeof job, JOB("{\"factorize\":{\"rank\":3}},%s"), followed_by[_i]);
	(void)rig_twice(&r, run, job);
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(v, "dense.macs"), 528);
	ck_assert_double_le(rig_num(v, "final.macs"), 252);
	ck_assert_double_ge(rig_num(v, "final.accuracy"), 0.8);
	ck_assert_double_gt(rig_num(v, "final.accuracy"), rig_num(v, "dense.accuracy"));
	json_decref(v);
}
END_TEST

/* After training: what it is compared with is the trained model, and who it learns from is, too, or the one that was uploaded. */
#define RECOVER(more) "{\"train\":{\"epochs\":20,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}" more "}}"
static const char *const after_training[] = {
    RECOVER(""),
    RECOVER(",\"distill\":{\"teacher\":\"dense\",\"alpha\":0.5}") ",{\"prune\":{\"sparsity\":0.3,\"recover\":{\"epochs\":10,\"optimizer\":\"adam\"}}},{\"remove_dead\":{}},{\"cluster\":{\"bits\":5}}",
    RECOVER("") ",{\"prune\":{\"sparsity\":0.3,\"granularity\":\"channel\",\"recover\":{\"epochs\":20,\"optimizer\":\"adam\"}}},{\"quantize\":{}}",
};

START_TEST(trained_models_are_factorized)
{
	char job[2048], *text;
	double accuracy;
	json_t *v;

	ck_assert_int_eq(run(JOB(TRAIN ",{\"evaluate\":{\"folds\":2}}")), PARE_OK);
	v = rig_report(&r);
	accuracy = rig_num(v, "final.accuracy");
	json_decref(v);
	(void)snprintf(job, sizeof job, JOB(TRAIN ",{\"evaluate\":{\"folds\":2}},{\"factorize\":{\"ratio\":0.5,\"scope\":\"global\"}},%s"), after_training[_i]);
	(void)rig_twice(&r, run, job);
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(v, "dense.accuracy"), accuracy);
	ck_assert_double_lt(rig_num(v, "input.accuracy"), 0.7);
	ck_assert_double_eq(rig_num(v, "input.macs"), 528);
	ck_assert_double_eq(rig_num(v, "dense.macs"), 528);
	ck_assert_double_le(rig_num(v, "final.macs"), 264);
	ck_assert_double_ge(rig_num(v, "final.accuracy"), accuracy - 0.1);
	ck_assert_double_eq(rig_num(v, "factors.1.macs"), 384);
	json_decref(v);
	text = rig_output(&r, "report.md", NULL);
	ck_assert_ptr_nonnull(strstr(text, "just before it was factorized"));
	free(text);
}
END_TEST

/* Structures that were removed leave the model first, in rounds or more than one step; factors are made of the smaller layers, and all that may follow factors
 * follows them. What the result is compared with and learns from is the whole model, and the proof is that of the smaller one. */
#define CHANNELS(more) "{\"prune\":{\"granularity\":\"channel\",\"criterion\":\"l2\",\"sparsity\":0.4" more ",\"recover\":{\"epochs\":15,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}}}}"
#define SMALLER "{\"factorize\":{\"ratio\":0.6,\"scope\":\"global\"}},"
static const struct {
	const char *before, *after;
	bool again; /* are structures removed from the factors, too? */
} shrunk_table[] = {
    {CHANNELS(""), SMALLER RECOVER(""), false},
    {CHANNELS(",\"schedule\":{\"name\":\"cubic\",\"rounds\":3}") "," TRAIN ",{\"evaluate\":{\"folds\":2}}", SMALLER RECOVER(",\"distill\":{\"teacher\":\"dense\",\"alpha\":0.5}"), false},
    {CHANNELS(",\"rewind\":3,\"reestimate\":{}") ",{\"remove_dead\":{}},{\"reconstruct\":{}},{\"reestimate\":{}}",
     SMALLER RECOVER(",\"distill\":{\"teacher\":\"input\",\"alpha\":0.1}") ",{\"prune\":{\"sparsity\":0.3,\"recover\":{\"epochs\":10,\"optimizer\":\"adam\",\"rewire\":{}}}},{\"cluster\":{\"bits\":6}}", false},
    {CHANNELS(""), SMALLER RECOVER("") ",{\"prune\":{\"sparsity\":0.3,\"granularity\":\"channel\",\"recover\":{\"epochs\":20,\"optimizer\":\"adam\"}}},{\"quantize\":{}}", true},
};

/* Multiplications of layers of 4 inputs and 3 outputs, by the widths between them. */
static double macs_of(const json_t *groups)
{
	double a = rig_num(groups, "0.width_final"), b = rig_num(groups, "1.width_final");

	return 4 * a + a * b + b * 3;
}

static double dense_accuracy(const char *job)
{
	double accuracy;
	json_t *v;

	ck_assert_int_eq(run(job), PARE_OK);
	v = rig_report(&r);
	accuracy = rig_num(v, "dense.accuracy");
	json_decref(v);
	return accuracy;
}

START_TEST(structures_leave_before_factors)
{
	char job[4096], *text;
	double trained, macs, left = 0;
	json_t *v, *s;

	(void)snprintf(job, sizeof job, JOB(TRAIN ",%s"), shrunk_table[_i].before);
	trained = dense_accuracy(job);
	(void)snprintf(job, sizeof job, JOB(TRAIN ",%s,%s"), shrunk_table[_i].before, shrunk_table[_i].after);
	(void)rig_twice(&r, run, job);
	v = rig_report(&r);
	s = json_object_get(v, "structures");
	ck_assert_int_eq(json_object_get(s, "before_factors") != NULL, shrunk_table[_i].again);
	s = shrunk_table[_i].again ? json_object_get(s, "before_factors") : s;
	ck_assert_double_eq(rig_num(s, "proof.rows"), rig_num(v, "data.splits.train"));
	ck_assert_double_le(rig_num(s, "proof.largest_difference"), rig_num(s, "proof.tolerance"));
	ck_assert_uint_eq(json_array_size(json_object_get(s, "groups")), 2);
	for (int k = 0; k < 2; k++)
		left += rig_num(json_array_get(json_object_get(s, "groups"), (size_t)k), "units_final");
	ck_assert_double_le(left, 24);
	/* factors are of the layers that were left */
	macs = macs_of(json_object_get(s, "groups"));
	ck_assert_double_eq(rig_num(v, "factors.0.macs") + rig_num(v, "factors.1.macs") + rig_num(v, "factors.2.macs"), macs);
	ck_assert_double_le(rig_num(v, "final.macs"), 0.6 * macs);
	/* and all is compared with the whole model */
	ck_assert_double_eq(rig_num(v, "input.macs"), 528);
	ck_assert_double_eq(rig_num(v, "dense.macs"), 528);
	ck_assert_double_eq(rig_num(v, "input.n_params"), rig_num(v, "dense.n_params"));
	ck_assert_double_eq(rig_num(v, "dense.n_nonzero_weights"), 528);
	ck_assert_double_eq(rig_num(v, "dense.accuracy"), trained);
	ck_assert_double_lt(rig_num(v, "input.accuracy"), 0.7);
	ck_assert_double_ge(rig_num(v, "final.accuracy"), 0.8);
	ck_assert_double_lt(rig_num(v, "final.n_params"), macs);
	json_decref(v);
	text = rig_output(&r, "report.md", NULL);
	ck_assert_ptr_nonnull(strstr(text, "just before its first weight was removed"));
	ck_assert_ptr_nonnull(strstr(text, "The model of which factors were made has no masks"));
	ck_assert_int_eq(strstr(text, "The model that leaves has no masks") != NULL, shrunk_table[_i].again);
	free(text);
}
END_TEST

/* A teacher that knows nothing is the uploaded model, one that knows all the trained. */
static const char *const taught_after[] = {TRAIN, TRAIN ",{\"prune\":{\"granularity\":\"channel\",\"sparsity\":0.3}}"};

START_TEST(both_teachers_are_there)
{
	static const char job[] = JOB("%s,{\"factorize\":{\"rank\":1}},{\"train\":{\"epochs\":40,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01},\"distill\":{\"teacher\":\"%s\",\"alpha\":1}}}");
	static const char *const who[] = {"dense", "input"};
	double lost[2];
	char text[2048];
	json_t *v;

	for (int k = 0; k < 2; k++) {
		(void)snprintf(text, sizeof text, job, taught_after[_i], who[k]);
		ck_assert_msg(run(text) == PARE_OK, "%s: %s", r.err.where, r.err.message);
		v = rig_report(&r);
		lost[k] = rig_num(v, "dense.accuracy") - rig_num(v, "final.accuracy");
		json_decref(v);
	}
	ck_assert_double_lt(lost[0], 0.15);
	ck_assert_double_gt(lost[1], 0.2);
}
END_TEST

/* Every run of a sweep begins with the net as it was uploaded, and variants may factorize differently. */
START_TEST(budgets_can_be_searched)
{
	json_t *v;

	ck_assert_msg(run("{\"model\":\"m\",\"dataset\":\"d\",\"seed\":1,\"data\":{\"normalize\":\"standard\"},\"require\":{\"max_drop\":0.5},\"recipe\":{\"steps\":[" TRAIN
	              ",{\"factorize\":{\"ratio\":0.5,\"scope\":\"global\"}}," TRAIN "]},\"sweep\":{\"folds\":2,\"pick\":\"smallest\",\"grid\":[{\"parameter\":\"/recipe/steps/1/factorize/ratio\",\"values\":[0.7,0.35]}]}}") == PARE_OK,
	    "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_double_le(rig_num(v, "final.macs"), 0.35 * 528);
	ck_assert_double_gt(rig_num(v, "sweep.trials.0.n_weights"), rig_num(v, "sweep.trials.1.n_weights"));
	ck_assert_double_eq(rig_num(v, "dense.macs"), 528);
	json_decref(v);
}
END_TEST

static const struct {
	const char *job, *where, *message;
} bad_table[] = {
    {JOB(TRAIN ",{\"prune\":{\"sparsity\":0.5}},{\"factorize\":{\"rank\":3}}"), "/recipe/steps/2/factorize", "comes after pruning of single weights (step 2)"},
    {JOB(TRAIN ",{\"prune\":{\"sparsity\":0.5,\"granularity\":\"channel\"}},{\"prune\":{\"sparsity\":0.5,\"granularity\":\"block\",\"block\":[2,2]}},{\"factorize\":{\"rank\":3}}"), "/recipe/steps/3/factorize", "comes after pruning of single weights (step 3)"},
    {JOB(TRAIN ",{\"cluster\":{\"bits\":4}},{\"factorize\":{\"rank\":3}}"), "/recipe/steps/2/factorize", "comes after cluster (step 2)"},
    {"{\"model\":\"m\",\"dataset\":\"d\",\"require\":{\"max_drop\":0.1},\"recipe\":{\"steps\":[{\"search\":{\"granularity\":\"channel\"}},{\"factorize\":{\"rank\":3}}]}}", "/recipe/steps/1/factorize", "whose front is of models"},
    {JOB(TRAIN ",{\"prune\":{\"sparsity\":0.5,\"granularity\":\"channel\"}},{\"factorize\":{\"rank\":3}},{\"train\":{\"rewire\":{}}}"), "/recipe/steps/3/train/rewire", "nothing prunes before"},
    {JOB(TRAIN ",{\"factorize\":{\"rank\":3}},{\"factorize\":{\"rank\":2}}"), "/recipe/steps/2/factorize", "factorizes once"},
    {JOB("{\"train\":{\"epochs\":2,\"noise\":\"l0\"}},{\"factorize\":{\"rank\":3}}"), "/recipe/steps/1/factorize", "training under noise"},
    {JOB(TRAIN ",{\"factorize\":{\"rank\":3}},{\"evaluate\":{\"folds\":3}}"), "/recipe/steps/2/evaluate/folds", "evaluate before factorize"},
    {JOB(TRAIN ",{\"factorize\":{\"rank\":3}},{\"prune\":{\"sparsity\":0.5,\"rewind\":0}}"), "/recipe/steps/2/prune/rewind", "before it was factorized"},
    {JOB("{\"factorize\":{}}"), "/recipe/steps/0/factorize", "exactly one of"},
    {JOB("{\"factorize\":{\"rank\":3,\"energy\":0.5}}"), "/recipe/steps/0/factorize", "exactly one of"},
    {JOB("{\"factorize\":{\"rank\":3,\"scope\":\"global\"}}"), "/recipe/steps/0/factorize/scope", "a rank is of every layer"},
    {JOB("{\"factorize\":{\"rank\":100}}"), "/recipe/steps/0/factorize", "no layer gets cheaper"},
    {JOB("{\"factorize\":{\"rank\":1,\"exclude\":[\"*\"]}}"), "/recipe/steps/0/factorize", "nothing to factorize"},
    {"{\"model\":\"m\",\"dataset\":\"d\",\"require\":{\"max_drop\":0.1},\"recipe\":{\"steps\":[{\"factorize\":{\"rank\":3}},{\"search\":{}}]}}", "/recipe/steps/1/search", "factorize in a job before"},
    {"{\"model\":\"m\",\"recipe\":{\"steps\":[{\"factorize\":{\"rank\":3}}]}}", "/dataset", "step 1, factorize, is such a step"},
    {"{\"model\":\"m\",\"dataset\":\"d\",\"recipe\":{\"steps\":[{\"factorize\":{\"rank\":3}},{\"evaluate\":{}}]},\"sweep\":{\"grid\":[{\"parameter\":\"/recipe/steps/0/factorize/rank\",\"values\":[2,3]}]}}",
     "/sweep", "share one model"},
};

START_TEST(refused_with_the_reason)
{
	ck_assert_int_ne(run(bad_table[_i].job), PARE_OK);
	ck_assert_msg(strstr(r.err.message, bad_table[_i].message) != NULL && strstr(r.err.where, bad_table[_i].where) != NULL, "%d: \"%s\" at \"%s\"", _i, r.err.message, r.err.where);
}
END_TEST

/* What no training and no pruning can change is refused before both, and by a dry run; what only the weights decide is not. */
static const struct {
	const char *step, *says; /* NULL: a dry run cannot tell */
} vain_table[] = {
    {"{\"factorize\":{\"rank\":10}}", "no layer gets cheaper"},
    {"{\"factorize\":{\"ratio\":0.5,\"exclude\":[\"fc*\"]}}", "nothing to factorize"},
    {"{\"factorize\":{\"energy\":0.999999}}", NULL},
    {"{\"factorize\":{\"rank\":9}}", NULL},
};

START_TEST(known_before_training)
{
	static const char *const kinds[] = {"analyze", "run"};
	enum pare_code code;
	char job[1024];

	(void)snprintf(job, sizeof job, JOB(TRAIN "," CHANNELS("") ",%s"), vain_table[_i].step);
	for (int k = 0; k < (vain_table[_i].says != NULL ? 2 : 1); k++) {
		rig_forget(&r);
		pare_buf_reset(&r.events);
		r.start.kind = kinds[k];
		r.start.job = job;
		rig_input(&r, "model", "m", model, model_n);
		rig_file(&r, "data", "tests/data/iris.csv");
		code = rig_go(&r);
		ck_assert_msg((code == PARE_OK) == (vain_table[_i].says == NULL), "%s: %s", r.err.where, r.err.message);
		if (code == PARE_OK)
			continue;
		ck_assert_str_eq(r.err.where, "/recipe/steps/2/factorize");
		ck_assert_msg(strstr(r.err.message, vain_table[_i].says) != NULL, "%s", r.err.message);
		ck_assert_ptr_null(strstr(r.events.data, "\"baseline\""));
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("core/job/factorize");
	TCase *t = tcase_create("factorize");

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, cheaper_layers_become_two);
	tcase_add_test(t, amounts_decide_ranks);
	tcase_add_test(t, layers_share_a_budget);
	tcase_add_loop_test(t, the_rest_works_on_factors, 0, (int)(sizeof followed_by / sizeof followed_by[0]));
	tcase_add_loop_test(t, trained_models_are_factorized, 0, (int)(sizeof after_training / sizeof after_training[0]));
	tcase_add_loop_test(t, structures_leave_before_factors, 0, (int)(sizeof shrunk_table / sizeof shrunk_table[0]));
	tcase_add_loop_test(t, both_teachers_are_there, 0, (int)(sizeof taught_after / sizeof taught_after[0]));
	tcase_add_test(t, budgets_can_be_searched);
	tcase_add_loop_test(t, known_before_training, 0, (int)(sizeof vain_table / sizeof vain_table[0]));
	tcase_add_loop_test(t, refused_with_the_reason, 0, (int)(sizeof bad_table / sizeof bad_table[0]));
	suite_add_tcase(s, t);
	return rig_main(s);
}
