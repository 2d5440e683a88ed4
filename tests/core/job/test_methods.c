/* What a pruning step may do around its rounds, as whole jobs on Iris: going back, fading, exchanging, gathering movement. */
#include <math.h>

#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "tests/core/job/job_support.h"

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":24,\"activation\":\"relu\"},{\"units\":12,\"activation\":\"tanh\"},{\"units\":3}],\"seed\":7}"
#define STEPS(text) "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":3,\"data\":{\"normalize\":\"standard\"},\"recipe\":{\"steps\":[" text "]}}"
#define SHORT "\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}"
#define TRAIN(epochs, more) "{\"train\":{\"epochs\":" epochs "," SHORT more "}}"
#define PRUNE(text) "{\"prune\":{" text "}}"
#define RECOVER(more) "\"recover\":{\"epochs\":20," SHORT more "}"
#define ROUNDS "\"schedule\":{\"name\":\"exponential\",\"rounds\":3}"

static struct rig r;

static void setup(void)
{
	rig_init(&r);
}

static void teardown(void)
{
	rig_done(&r);
}

static enum pare_code run(const char *job, char **out_model, size_t *out_n)
{
	size_t n;
	char *model = rig_build(ARCH, &n);
	enum pare_code code;

	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = job;
	rig_input(&r, "model", "in.onnx", model, n);
	free(model);
	rig_file(&r, "data", "tests/data/iris.csv");
	code = rig_go(&r);
	if (code == PARE_OK && out_model != NULL)
		*out_model = rig_output(&r, "model.onnx", out_n);
	return code;
}

static void run_well(const char *job, char **out_model, size_t *out_n)
{
	enum pare_code code = run(job, out_model, out_n);

	ck_assert_msg(code == PARE_OK, "%s at %s", r.err.message, r.err.where);
}

/* Weights of a model's bytes, which it frees. */
struct weights {
	struct pare_model *model;
	struct pare_net *net;
	char *bytes;
};

static struct weights weights_of(char *bytes, size_t n)
{
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 1, .training = true};
	struct weights w = {.bytes = bytes};
	struct pare_err err = {0};

	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)bytes, n}, &w.model, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(w.model, &opt, &w.net, &err), PARE_OK);
	return w;
}

static void weights_done(struct weights *w)
{
	pare_net_free(w->net);
	pare_model_free(w->model);
	free(w->bytes);
}

static const struct {
	const char *epoch, *train, *prune;
} rewind_table[] = {
    {"0", NULL, STEPS(TRAIN("4", "") "," PRUNE("\"sparsity\":0.5,\"rewind\":0"))},
    {"2", STEPS(TRAIN("2", "")), STEPS(TRAIN("6", "") "," PRUNE("\"sparsity\":0.5,\"rewind\":2"))},
    {"6", STEPS(TRAIN("6", "")), STEPS(TRAIN("6", "") "," TRAIN("2", "") "," PRUNE("\"sparsity\":0.5,\"rewind\":9"))},
};

/* What is left has the weights of that epoch, to the bit; what went is not what training up to it would have chosen. */
START_TEST(what_is_left_goes_back)
{
	struct weights a, b;
	char *bytes;
	size_t n, n_zero = 0, n_all = 0;

	if (rewind_table[_i].train != NULL)
		run_well(rewind_table[_i].train, &bytes, &n);
	else
		bytes = rig_build(ARCH, &n);
	a = weights_of(bytes, n);
	run_well(rewind_table[_i].prune, &bytes, &n);
	b = weights_of(bytes, n);
	for (int p = 0; p < pare_net_n_params(a.net); p++) {
		const struct pare_param_info *info = pare_net_param(a.net, p);
		const float *x = pare_net_slab(a.net) + info->offset, *y = pare_net_slab(b.net) + info->offset;

		for (size_t i = 0; i < info->n_elems; i++) {
			n_all += info->prunable;
			n_zero += info->prunable && y[i] == 0.0f;
			ck_assert_msg(memcmp(&x[i], &y[i], sizeof *x) == 0 || (info->prunable && y[i] == 0.0f), "%s[%zu]: %g, %g", info->name, i, (double)x[i], (double)y[i]);
		}
	}
	ck_assert_uint_eq(n_zero, (n_all + 1) / 2);
	weights_done(&a);
	weights_done(&b);
}
END_TEST

static const struct {
	const char *job;
	double sparsity, accuracy;
} good_table[] = {
    {STEPS(TRAIN("30", "") "," PRUNE("\"sparsity\":0.8,\"rewind\":5," ROUNDS "," RECOVER("")) ",{\"evaluate\":{\"folds\":2}}"), 0.8, 0.85},
    {STEPS(TRAIN("30", "") "," PRUNE("\"sparsity\":0.5,\"granularity\":\"channel\",\"criterion\":\"l2\",\"rewind\":0," ROUNDS "," RECOVER(""))), 0, 0.85},
    {STEPS(TRAIN("30", "") "," TRAIN("40", ",\"noise\":{\"name\":\"l0\",\"lambda\":1},\"distill\":{\"teacher\":\"dense\"}") "," PRUNE("\"threshold\":1e-30") "," TRAIN("10", "")), 0.41, 0.85},
    {STEPS(PRUNE("\"sparsity\":0.7,\"criterion\":\"random\",\"scope\":\"erk\"") "," TRAIN("60", ",\"rewire\":{\"every\":10}")), 0.7, 0.85},
    {STEPS(TRAIN("30", "") "," PRUNE("\"sparsity\":0.8,\"criterion\":\"lamp\"," ROUNDS "," RECOVER(",\"rewire\":{\"every\":7,\"until\":0.9},\"distill\":{\"teacher\":\"dense\"}"))), 0.8, 0.85},
    {STEPS(TRAIN("30", "") "," PRUNE("\"sparsity\":0.8,\"criterion\":\"movement_sum\",\"scope\":\"layer\"," ROUNDS "," RECOVER("")) ",{\"evaluate\":{\"folds\":2}}"), 0.8, 0.8},
    {STEPS(TRAIN("30", "") "," PRUNE("\"sparsity\":0.5,\"granularity\":\"channel\",\"criterion\":\"movement_sum\",\"fade\":{\"epochs\":5}," ROUNDS "," RECOVER(""))), 0, 0.8},
    {STEPS(TRAIN("30", "") "," PRUNE("\"pattern\":\"2:4\",\"fade\":{\"epochs\":10,\"lambda\":20},\"reconstruct\":{},\"reestimate\":{}," RECOVER(""))), 0.45, 0.85},
    {STEPS(TRAIN("30", "") "," PRUNE("\"sparsity\":0.8,\"criterion\":\"hessian\"," ROUNDS "," RECOVER(""))), 0.8, 0.85},
    {STEPS(TRAIN("30", "") "," PRUNE("\"sparsity\":0.5,\"granularity\":\"channel\",\"criterion\":{\"name\":\"hessian\",\"probes\":3}," ROUNDS "," RECOVER(""))), 0, 0.85},
    {STEPS(TRAIN("30", "") "," PRUNE("\"sparsity\":0.8,\"fade\":{},\"regrow\":true," ROUNDS "," RECOVER(""))), 0.8, 0.85},
};

START_TEST(jobs_do_well)
{
	json_t *v;

	run_well(good_table[_i].job, NULL, NULL);
	v = rig_report(&r);
	ck_assert_msg(rig_num(v, "final.accuracy") >= good_table[_i].accuracy, "job %d: accuracy %g", _i, rig_num(v, "final.accuracy"));
	ck_assert_msg(fabs(rig_num(v, "final.sparsity") - good_table[_i].sparsity) < 0.06, "job %d: sparsity %g", _i, rig_num(v, "final.sparsity"));
	ck_assert_double_eq(rig_num(v, "dense.sparsity"), 0); /* as it was before anything went, whatever took it */
	json_decref(v);
}
END_TEST

/* Channels that were trained away before they go cost next to nothing when they do. */
START_TEST(fading_leaves_little_to_lose)
{
	static const char *const jobs[] = {
	    STEPS(TRAIN("40", "") "," PRUNE("\"sparsity\":0.6,\"granularity\":\"channel\",\"criterion\":\"random\"," RECOVER(""))),
	    STEPS(TRAIN("40", "") "," PRUNE("\"sparsity\":0.6,\"granularity\":\"channel\",\"criterion\":\"random\",\"fade\":{\"epochs\":30,\"lambda\":50}," RECOVER(""))),
	};
	double loss[2];

	for (int i = 0; i < 2; i++) {
		json_t *v;

		run_well(jobs[i], NULL, NULL);
		v = rig_report(&r);
		loss[i] = rig_num(v, "steps.0.validation_loss");
		json_decref(v);
	}
	ck_assert_msg(loss[1] < loss[0] / 2, "at once %g, faded %g", loss[0], loss[1]);
}
END_TEST

#define AT "/recipe/steps/0/prune/"
#define AT1 "/recipe/steps/1/"
static const struct {
	const char *job, *where, *says;
} bad_table[] = {
    {STEPS(PRUNE("\"sparsity\":0.5,\"rewind\":1")), AT "rewind", "first training"},
    {STEPS(PRUNE("\"sparsity\":0.5," RECOVER("")) "," PRUNE("\"sparsity\":0.6,\"rewind\":4")), AT1 "prune/rewind", "first training"},
    {STEPS(PRUNE("\"sparsity\":0.5,\"rewind\":0," ROUNDS)), AT "rewind", "give recover"},
    {STEPS(PRUNE("\"sparsity\":0.5,\"rewind\":0,\"reconstruct\":{}")), AT "rewind", "reconstruct"},
    {STEPS(PRUNE("\"sparsity\":0.5,\"rewind\":0,\"regrow\":true," RECOVER(""))), AT "rewind", "regrow"},
    {STEPS(TRAIN("9", "") "," PRUNE("\"sparsity\":0.5,\"rewind\":3") "," PRUNE("\"sparsity\":0.6,\"rewind\":2")), "/recipe/steps/2/prune/rewind", "epoch 3"},
    {STEPS(PRUNE("\"sparsity\":0.5,\"fade\":{}")), AT "fade", "recover"},
    {STEPS(PRUNE("\"sparsity\":0.5,\"criterion\":\"movement_sum\"," RECOVER(""))), AT "criterion", "nothing trains before"},
    {STEPS(PRUNE("\"threshold\":0.5,\"scope\":\"erk\"")), AT "scope", "erk"},
    {STEPS(PRUNE("\"sparsity\":0.5,\"scope\":\"erk\",\"granularity\":\"channel\",\"criterion\":\"l2\"")), AT "scope", "erk"},
    {STEPS(TRAIN("3", ",\"rewire\":{}")), "/recipe/steps/0/train/rewire", "nothing prunes before"},
    {STEPS(PRUNE("\"sparsity\":0.5") "," TRAIN("3", ",\"rewire\":{},\"keep_best\":true")), AT1 "train/keep_best", "rewire"},
    {STEPS(PRUNE("\"pattern\":\"2:4\"") "," TRAIN("3", ",\"rewire\":{}")), AT1 "train/rewire", "undo the pattern of step 0"},
    {STEPS(PRUNE("\"sparsity\":0.5,\"granularity\":\"channel\"," RECOVER(",\"rewire\":{}"))), AT "recover/rewire", "undo the channel"},
    {STEPS(PRUNE("\"sparsity\":0.5,\"regrow\":true," RECOVER(",\"rewire\":{}"))), AT "recover/rewire", "regrow"},
    {STEPS(TRAIN("3", ",\"noise\":\"variational\",\"keep_best\":true")), "/recipe/steps/0/train/keep_best", "noise"},
    {STEPS(PRUNE("\"sparsity\":0.5") "," TRAIN("3", ",\"noise\":\"l0\",\"rewire\":{}")), AT1 "train/rewire", "noise"},
    {STEPS(PRUNE("\"sparsity\":0.5," RECOVER(",\"noise\":\"l0\""))), AT "recover/noise", "train step"},
    {STEPS(TRAIN("3", ",\"noise\":{\"name\":\"variational\",\"threshold\":9}")), "/recipe/steps/0/train/noise/threshold", "9"},
    {STEPS(PRUNE("\"sparsity\":0.5") "," TRAIN("3", ",\"rewire\":{\"share\":1}")), AT1 "train/rewire/share", "got 1"},
};

START_TEST(what_does_not_go_together_is_refused)
{
	ck_assert_int_eq(run(bad_table[_i].job, NULL, NULL), PARE_E_INVALID);
	ck_assert_msg(strcmp(r.err.where, bad_table[_i].where) == 0 && strstr(r.err.message, bad_table[_i].says) != NULL, "%s at %s", r.err.message, r.err.where);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s;
	TCase *t;

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	t = tcase_create("jobs");
	s = suite_create("core/job/methods");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, what_is_left_goes_back, 0, (int)(sizeof rewind_table / sizeof rewind_table[0]));
	tcase_add_loop_test(t, jobs_do_well, 0, (int)(sizeof good_table / sizeof good_table[0]));
	tcase_add_test(t, fading_leaves_little_to_lose);
	tcase_add_loop_test(t, what_does_not_go_together_is_refused, 0, (int)(sizeof bad_table / sizeof bad_table[0]));
	suite_add_tcase(s, t);
	return rig_main(s);
}
