/* The named recipes on MNIST, with few epochs: every one keeps its accuracy where it should, and random pruning is worse than
 * magnitude at the same sparsity. Skipped where MNIST was not fetched (make demo does that). */
#include "tests/core/job/job_support.h"

#define ARCH "{\"input\":[28,28],\"layers\":[{\"units\":64,\"activation\":\"relu\"},{\"units\":32,\"activation\":\"relu\"},{\"units\":10}],\"seed\":1}"
#define WIDE "{\"input\":[28,28],\"layers\":[{\"units\":128,\"activation\":\"relu\"},{\"units\":64,\"activation\":\"relu\"},{\"units\":10}],\"seed\":1}"
#define HEAD "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":1,\"recipe\":"

static const char *const files[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

static bool mnist_path(char *out, size_t n, const char *file)
{
	const char *dir = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (dir != NULL)
		(void)snprintf(out, n, "%s/pared/mnist/%s", dir, file);
	else
		(void)snprintf(out, n, "%s/.cache/pared/mnist/%s", home != NULL ? home : "", file);
	return access(out, R_OK) == 0;
}

static json_t *report_of(const char *arch, const char *job)
{
	struct rig r;
	size_t n;
	char *model = rig_build(arch, &n), path[512];
	json_t *v;

	rig_init(&r);
	r.start.kind = "run";
	r.start.job = job;
	rig_input(&r, "model", "m", model, n);
	for (size_t i = 0; i < 4; i++) {
		ck_assert(mnist_path(path, sizeof path, files[i]));
		rig_file_as(&r, "data", files[i], path);
	}
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s at %s", r.err.message, r.err.where);
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(v, "final.rows"), 10000);
	rig_done(&r);
	free(model);
	return v;
}

static double accuracy_of(const char *job, double *sparsity)
{
	json_t *v = report_of(ARCH, job);
	double accuracy = rig_num(v, "final.accuracy");

	*sparsity = rig_num(v, "final.sparsity");
	json_decref(v);
	return accuracy;
}

/* On validation rows, at the last evaluation of the recipe. */
static double validated(const char *recipe, const char *params)
{
	char job[512];
	json_t *v, *steps;
	double accuracy;

	(void)snprintf(job, sizeof job, HEAD "\"%s\",\"params\":%s}", recipe, params);
	v = report_of(WIDE, job);
	steps = json_object_get(v, "steps");
	accuracy = json_number_value(json_object_get(json_array_get(steps, json_array_size(steps) - 1), "validation_accuracy"));
	json_decref(v);
	return accuracy;
}

START_TEST(magnitude_beats_random)
{
	static const char params[] = ",\"params\":{\"sparsity\":0.95,\"epochs\":2,\"rounds\":2,\"finetune_epochs\":1}}";
	char job[512];
	double magnitude, random, sparsity;

	(void)snprintf(job, sizeof job, HEAD "\"weight-magnitude\"%s", params);
	magnitude = accuracy_of(job, &sparsity);
	ck_assert_double_eq_tol(sparsity, 0.95, 1e-4);
	(void)snprintf(job, sizeof job, HEAD "\"random\"%s", params);
	random = accuracy_of(job, &sparsity);
	ck_assert_double_eq_tol(sparsity, 0.95, 1e-4);
	ck_assert_msg(magnitude > 0.92, "weight-magnitude: %g", magnitude);
	ck_assert_msg(random < magnitude - 0.01, "random %g, magnitude %g", random, magnitude);
}
END_TEST

START_TEST(ridge_and_l1)
{
	double sparsity, accuracy;

	accuracy = accuracy_of(HEAD "\"ridge-magnitude\",\"params\":{\"sparsity\":0.85,\"epochs\":2,\"finetune_epochs\":1}}", &sparsity);
	ck_assert_msg(accuracy > 0.95, "ridge-magnitude: %g", accuracy);
	ck_assert_double_eq_tol(sparsity, 0.85, 1e-4);
	accuracy = accuracy_of(HEAD "\"l1-sparse\",\"params\":{\"epochs\":3,\"finetune_epochs\":1}}", &sparsity);
	ck_assert_msg(accuracy > 0.93, "l1-sparse: %g", accuracy);
	ck_assert_msg(sparsity > 0.3, "l1-sparse leaves %g zero", sparsity);
}
END_TEST

/* Half of the neurons: the model that leaves has no zeros, but a third of the weights at most. */
START_TEST(channels_go)
{
	double sparsity, accuracy = accuracy_of(HEAD "\"channel-prune\",\"params\":{\"sparsity\":0.5,\"epochs\":2,\"rounds\":2,\"finetune_epochs\":1}}", &sparsity);

	ck_assert_msg(accuracy > 0.95, "channel-prune: %g", accuracy);
	ck_assert_msg(sparsity < 0.001, "channel-prune leaves %g zero", sparsity);
}
END_TEST

START_TEST(searched_for)
{
	double sparsity, accuracy = accuracy_of("{\"model\":\"m\",\"dataset\":\"d\",\"seed\":1,\"require\":{\"max_drop\":0.02},\"params\":{\"epochs\":2,\"patience\":1,\"tries\":5}}", &sparsity);

	ck_assert_msg(accuracy > 0.92, "auto: %g", accuracy);
	ck_assert_msg(sparsity > 0.7, "auto leaves %g zero", sparsity);
}
END_TEST

/* Nine in ten weights were never there. Those that change places do better than those that do not, and so do winning tickets, half as long trained. */
START_TEST(sparse_from_the_start)
{
	double sparsity, accuracy = accuracy_of(HEAD "\"rigl\",\"params\":{\"sparsity\":0.9,\"lr\":0.001,\"epochs\":4}}", &sparsity);
	double fixed = accuracy_of(HEAD "\"rigl\",\"params\":{\"sparsity\":0.9,\"lr\":0.001,\"epochs\":4,\"every\":1000000}}", &sparsity);

	ck_assert_msg(accuracy > fixed + 0.005, "rigl: %g, without exchanges: %g", accuracy, fixed);
	ck_assert_double_eq_tol(sparsity, 0.9, 1e-3);
	accuracy = accuracy_of(HEAD "\"lottery-ticket\",\"params\":{\"sparsity\":0.9,\"epochs\":2,\"rounds\":2}}", &sparsity);
	ck_assert_msg(accuracy > fixed + 0.01, "lottery-ticket: %g, random ones: %g", accuracy, fixed);
	ck_assert_double_eq_tol(sparsity, 0.9, 1e-3);
}
END_TEST

/* Six neurons in seven at once, little training afterwards: criteria that look at activations do better than chance. */
START_TEST(neurons_beat_random)
{
	static const char params[] = "{\"sparsity\":0.85,\"epochs\":4,\"rounds\":1,\"finetune_epochs\":1}";
	double chance = validated("random-neuron", params), spread = validated("activation-neuron", params);
	double entropy = validated("entropy", "{\"bins\":2,\"sparsity\":0.85,\"epochs\":4,\"rounds\":1,\"finetune_epochs\":1}"); /* the layers are wide */
	double faded = validated("growing-regularization", params);

	ck_assert_msg(spread > chance + 0.003, "activation-neuron: %g, random-neuron: %g", spread, chance);
	ck_assert_msg(entropy > chance + 0.003, "entropy: %g, random-neuron: %g", entropy, chance);
	ck_assert_msg(faded > chance + 0.015, "growing-regularization: %g, random-neuron: %g", faded, chance);
}
END_TEST

#define RETRAIN "{\"train\":{\"epochs\":1,\"batch_size\":128,\"optimizer\":\"adam\"}}"

/* Factors within one budget, which is kept, do better than the same ratio for every layer. */
START_TEST(factors_share_a_budget)
{
	json_t *v = report_of(WIDE, HEAD "\"low-rank\",\"params\":{\"ratio\":0.2,\"epochs\":2,\"finetune_epochs\":1}}");
	double shared = rig_num(v, "final.accuracy"), each;

	ck_assert_double_le(rig_num(v, "final.macs"), 0.2 * rig_num(v, "dense.macs"));
	ck_assert_msg(shared > rig_num(v, "dense.accuracy") - 0.03, "low-rank: %g of %g", shared, rig_num(v, "dense.accuracy"));
	json_decref(v);
	v = report_of(WIDE, HEAD "{\"steps\":[{\"train\":{\"epochs\":2,\"batch_size\":128,\"optimizer\":\"adam\"}},{\"factorize\":{\"ratio\":0.2}}," RETRAIN "]}}");
	each = rig_num(v, "final.accuracy");
	json_decref(v);
	ck_assert_msg(shared > each + 0.01, "shared: %g, each layer the same: %g", shared, each);
}
END_TEST

int main(int argc, char **argv)
{
	char path[512];
	Suite *s;
	TCase *t;

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	s = suite_create("core/job/mnist_recipes");
	t = tcase_create("mnist");
	tcase_set_timeout(t, 120);
	if (mnist_path(path, sizeof path, files[0])) {
		tcase_add_test(t, magnitude_beats_random);
		tcase_add_test(t, ridge_and_l1);
		tcase_add_test(t, searched_for);
		tcase_add_test(t, channels_go);
		tcase_add_test(t, neurons_beat_random);
		tcase_add_test(t, sparse_from_the_start);
		tcase_add_test(t, factors_share_a_budget);
	} else {
		(void)printf("skipped: MNIST is not at %s\n", path);
	}
	suite_add_tcase(s, t);
	return rig_main(s);
}
