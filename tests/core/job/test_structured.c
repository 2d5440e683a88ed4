/* Structured pruning as jobs, through the worker: the model that leaves is smaller, agrees with the masked one, and says so;
 * criteria, rounds, recovery and folds compose; what cannot be removed is refused before anything is trained. */
#include <math.h>

#include "core/graph/graph_priv.h"
#include "tests/core/job/job_support.h"
#include "tests/support/graph_builder.h"
#include "tests/support/graph_onnx.h"
#include "tests/support/net_check.h"

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":24,\"activation\":\"sigmoid\"},{\"units\":16,\"activation\":\"relu\"},{\"units\":3}],\"seed\":3}"
#define HEAD "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"data\":{\"normalize\":\"standard\"},\"recipe\":{\"steps\":["
#define TRAIN "{\"train\":{\"epochs\":40,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}}}"
#define PRUNE(what) "{\"prune\":{\"granularity\":\"channel\"," what "}}"
#define RECOVER ",\"recover\":{\"epochs\":15,\"batch_size\":8,\"optimizer\":{\"name\":\"adam\",\"lr\":0.01}}"

#include "tests/core/job/iris_rig.h"

static const struct {
	const char *job;
	int units; /* that are left, of 40; 0: not said */
	double accuracy;
} job_table[] = {
    {HEAD TRAIN "," PRUNE("\"criterion\":\"l2\",\"sparsity\":0.5" RECOVER) "]}}", 20, 0.85},
    {HEAD TRAIN "," PRUNE("\"criterion\":\"l1\",\"sparsity\":0.7,\"schedule\":{\"name\":\"linear\",\"rounds\":3}" RECOVER) "]}}", 12, 0.8},
    {HEAD TRAIN "," PRUNE("\"criterion\":\"magnitude\",\"scope\":\"layer\",\"sparsity\":0.5" RECOVER) "]}}", 20, 0.85},
    {HEAD TRAIN "," PRUNE("\"criterion\":{\"name\":\"taylor\",\"rows\":60,\"batch_size\":4},\"sparsity\":0.5" RECOVER) "]}}", 20, 0.85},
    {HEAD TRAIN "," PRUNE("\"criterion\":{\"name\":\"mean_activation\",\"rows\":60},\"sparsity\":0.5" RECOVER) "]}}", 20, 0.8},
    {HEAD TRAIN "," PRUNE("\"criterion\":\"apoz\",\"sparsity\":0.5,\"scope\":\"isomorphic\"" RECOVER) "]}}", 20, 0.8},
    {HEAD TRAIN "," PRUNE("\"criterion\":{\"name\":\"entropy\",\"rows\":80},\"sparsity\":0.5" RECOVER) "]}}", 20, 0.8},
    {HEAD TRAIN "," PRUNE("\"criterion\":{\"name\":\"ablation\",\"rows\":80},\"sparsity\":0.5,\"schedule\":{\"name\":\"cubic\",\"rounds\":2}" RECOVER) "]}}", 20, 0.85},
    {HEAD TRAIN "," PRUNE("\"criterion\":\"fpgm\",\"sparsity\":0.5,\"round_to\":8,\"scope\":\"layer\"" RECOVER) "]}}", 24, 0.85},
    {HEAD TRAIN "," PRUNE("\"criterion\":\"random\",\"sparsity\":0.5,\"ratios\":[{\"layer\":\"fc1.weight\",\"sparsity\":0.25}]" RECOVER) "]}}", 26, 0.8},
    {HEAD TRAIN "," PRUNE("\"sparsity\":0.3") "," PRUNE("\"sparsity\":0.5" RECOVER) ",{\"prune\":{\"sparsity\":0.8}},{\"evaluate\":{}}]}}", 20, 0.5},
};

START_TEST(the_model_shrinks)
{
	json_t *v, *groups;
	double left = 0, size = 0;
	size_t n;
	char *bytes;

	ck_assert_msg(run(job_table[_i].job) == PARE_OK, "job %d: %s: %s", _i, r.err.where, r.err.message);
	v = rig_report(&r);
	groups = json_object_get(json_object_get(v, "structures"), "groups");
	ck_assert_uint_eq(json_array_size(groups), 2);
	left = rig_num(v, "structures.groups.0.units_final") + rig_num(v, "structures.groups.1.units_final");
	ck_assert_msg(job_table[_i].units == 0 || fabs(left - job_table[_i].units) <= 1, "job %d: %g units", _i, left);
	size = rig_num(v, "structures.groups.0.width_final") * (4 + 1 + rig_num(v, "structures.groups.1.width_final")) +
	    rig_num(v, "structures.groups.1.width_final") * (1 + 3) + 3;
	ck_assert_double_eq(rig_num(v, "final.n_params"), size);
	ck_assert_double_lt(rig_num(v, "final.macs"), rig_num(v, "dense.macs"));
	ck_assert_double_eq(rig_num(v, "layers.0.shape_final.0"), rig_num(v, "structures.groups.0.width_final"));
	ck_assert_double_eq(rig_num(v, "structures.proof.rows"), 30);
	ck_assert_double_le(rig_num(v, "structures.proof.largest_difference"), rig_num(v, "structures.proof.tolerance"));
	ck_assert_msg(rig_num(v, "final.accuracy") >= job_table[_i].accuracy, "job %d: accuracy %g", _i, rig_num(v, "final.accuracy"));
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(json_array_get(json_object_get(json_object_get(v, "structures"), "pinned"), 0), "why")), "graph output"));
	json_decref(v);
	/* the file is a model of that size */
	bytes = rig_output(&r, "model.onnx", &n);
	ck_assert_uint_lt(n, model_n);
	rig_forget(&r);
	r.start.kind = "inspect-model";
	rig_input(&r, "model", "m", bytes, n);
	ck_assert_int_eq(rig_go(&r), PARE_OK);
	v = rig_json(r.result);
	ck_assert_double_eq(rig_num(v, "n_params"), size);
	json_decref(v);
	free(bytes);
}
END_TEST

START_TEST(same_job_same_bytes_folds_or_not)
{
	size_t n[3];
	char *b[3];
	static const char *const jobs[3] = {
	    HEAD TRAIN "," PRUNE("\"criterion\":\"l2\",\"sparsity\":0.5" RECOVER) "]}}",
	    HEAD TRAIN "," PRUNE("\"criterion\":\"l2\",\"sparsity\":0.5" RECOVER) "]}}",
	    HEAD TRAIN "," PRUNE("\"criterion\":\"l2\",\"sparsity\":0.5" RECOVER) ",{\"evaluate\":{\"folds\":3}}]}}",
	};

	for (int i = 0; i < 3; i++) {
		ck_assert_msg(run(jobs[i]) == PARE_OK, "%s: %s", r.err.where, r.err.message);
		b[i] = rig_output(&r, "model.onnx", &n[i]);
		n[i] = i < 2 ? n[i] : rig_without_origin(b[i], n[i]);
		if (i == 1)
			ck_assert_uint_eq(n[1], n[0]);
		n[0] = i < 2 ? n[0] : n[i];
		ck_assert_mem_eq(b[i], b[0], n[0]);
	}
	for (int i = 0; i < 3; i++)
		free(b[i]);
}
END_TEST

static const struct {
	const char *step, *where, *message;
} bad_table[] = {
    {"{\"prune\":{\"granularity\":\"head\",\"sparsity\":0.5}}", "/recipe/steps/1/prune", "no heads to remove"},
    {"{\"prune\":{\"granularity\":\"channel\",\"sparsity\":0.5,\"exclude\":[\"fc*\"]}}", "/recipe/steps/1/prune", "all are excluded"},
    {"{\"prune\":{\"granularity\":\"channel\",\"criterion\":\"bn_scale\",\"sparsity\":0.5}}", "/recipe/steps/1/prune", "no norms with a scale"},
    {"{\"prune\":{\"granularity\":\"layer\",\"sparsity\":0.5}}", "/recipe/steps/1/prune", "no branch of a sum"},
    {"{\"prune\":{\"granularity\":\"layer\",\"sparsity\":0.5,\"min_width\":2}}", "/recipe/steps/1/prune/min_width", "channel and head"},
    {"{\"prune\":{\"criterion\":\"fpgm\",\"sparsity\":0.5}}", "/recipe/steps/1/prune/criterion", "scores structures"},
    {"{\"prune\":{\"sparsity\":0.5,\"per\":\"macs\"}}", "/recipe/steps/1/prune/per", "channel, head and layer"},
    {"{\"prune\":{\"granularity\":\"channel\",\"criterion\":\"l2\",\"threshold\":0.5,\"per\":\"macs\"}}", "/recipe/steps/1/prune/per", "give sparsity"},
    {"{\"prune\":{\"sparsity\":0.5,\"round_to\":8}}", "/recipe/steps/1/prune/round_to", "channel and head"},
    {"{\"prune\":{\"sparsity\":0.5,\"scope\":\"isomorphic\"}}", "/recipe/steps/1/prune/scope", "channel and head"},
    {"{\"prune\":{\"granularity\":\"channel\",\"pattern\":\"2:4\"}}", "/recipe/steps/1/prune/pattern", "single weights"},
};

START_TEST(refused_with_the_reason)
{
	char job[1024];

	(void)snprintf(job, sizeof job, HEAD TRAIN ",%s]}}", bad_table[_i].step);
	ck_assert_int_ne(run(job), PARE_OK);
	ck_assert_msg(strstr(r.err.message, bad_table[_i].message) != NULL && strstr(r.err.where, bad_table[_i].where) != NULL, "%d: \"%s\" at \"%s\"", _i, r.err.message, r.err.where);
	ck_assert(!rig_has_output(&r, "model.onnx"));
}
END_TEST

/* Nine in ten weights go; what that leaves without a purpose goes then, too, and the model says the same. */
START_TEST(dead_units_go)
{
	static const char sparse[] = TRAIN ",{\"prune\":{\"sparsity\":0.92" RECOVER "}}";
	char job[1024];
	double accuracy, loss, left, units;
	json_t *v;

	(void)snprintf(job, sizeof job, HEAD "%s]}}", sparse);
	ck_assert_msg(run(job) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	accuracy = rig_num(v, "final.accuracy");
	loss = rig_num(v, "final.loss");
	left = rig_num(v, "final.n_nonzero_weights");
	json_decref(v);
	(void)snprintf(job, sizeof job, HEAD "%s,{\"remove_dead\":{}}]}}", sparse);
	ck_assert_msg(run(job) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(v, "final.accuracy"), accuracy);
	ck_assert_double_eq_tol(rig_num(v, "final.loss"), loss, 1e-6);
	ck_assert_double_le(rig_num(v, "final.n_nonzero_weights"), left);
	ck_assert_double_lt(rig_num(v, "final.n_params"), rig_num(v, "dense.n_params"));
	ck_assert_double_lt(rig_num(v, "structures.groups.0.units_final") + rig_num(v, "structures.groups.1.units_final"), 40);
	ck_assert_double_lt(rig_num(v, "structures.groups.1.units_final"), 16);
	units = rig_num(v, "structures.groups.0.units_final");
	ck_assert_double_le(rig_num(v, "structures.proof.largest_difference"), rig_num(v, "structures.proof.tolerance"));
	json_decref(v);
	/* fc3 reads the second layer, whose width stays; the first loses what it loses by itself */
	(void)snprintf(job, sizeof job, HEAD "%s,{\"remove_dead\":{\"exclude\":[\"fc3.w*\"]}}]}}", sparse);
	ck_assert_msg(run(job) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(v, "structures.groups.1.units_final"), 16);
	ck_assert_double_lt(rig_num(v, "structures.groups.0.units_final"), 24);
	ck_assert_double_ge(rig_num(v, "structures.groups.0.units_final"), units);
	ck_assert_double_eq(rig_num(v, "final.accuracy"), accuracy);
	json_decref(v);
}
END_TEST

static void dense(struct gb *b, const char *name, int n, int m, const char *in, const char *out)
{
	char w[16], bias[16], shape[16], all[64];
	float v[256];

	(void)snprintf(w, sizeof w, "%s.weight", name);
	(void)snprintf(bias, sizeof bias, "%s.bias", name);
	(void)snprintf(shape, sizeof shape, "%d %d", n, m);
	(void)snprintf(all, sizeof all, "%s %s %s", in, w, bias);
	nc_fill(v, (size_t)(n * m), (uint64_t)(n * m) + (uint64_t)name[2]);
	gb_init(b, w, shape, v);
	(void)snprintf(shape, sizeof shape, "%d", m);
	gb_init(b, bias, shape, NULL);
	gb_node(b, "Gemm", name, all, out);
}

/* x - fc0 - Relu - (+ fc1 Relu fc2) - (+ fc3 Sigmoid fc4) - Relu - fc5 */
static void make_residual(struct pare_buf *file)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 4");
	dense(b, "fc0", 4, 16, "x", "h0");
	gb_node(b, "Relu", "relu0", "h0", "a");
	dense(b, "fc1", 16, 16, "a", "h1");
	gb_node(b, "Relu", "relu1", "h1", "r1");
	dense(b, "fc2", 16, 16, "r1", "h2");
	gb_node(b, "Add", "sum1", "a h2", "s1");
	dense(b, "fc3", 16, 16, "s1", "h3");
	gb_node(b, "Sigmoid", "sig", "h3", "r3");
	dense(b, "fc4", 16, 16, "r3", "h4");
	gb_node(b, "Add", "sum2", "h4 s1", "s2");
	gb_node(b, "Relu", "relu2", "s2", "r4");
	dense(b, "fc5", 16, 3, "r4", "y");
	gb_output(b, "y");
	graph_onnx(gb_model(b), file);
	gb_free(b);
}

static const struct {
	const char *how;
	int branches, width; /* that are left: branches, and channels of the stream; 0: as it was */
} layer_table[] = {
    {"\"criterion\":\"l1\",\"sparsity\":0.5", 1, 0},
    {"\"criterion\":\"taylor\",\"sparsity\":0.5", 1, 0},
    {"\"criterion\":{\"name\":\"ablation\",\"rows\":60},\"sparsity\":0.9,\"schedule\":{\"name\":\"linear\",\"rounds\":2}", 0, 0},
    {"\"criterion\":\"random\",\"sparsity\":0.5,\"exclude\":[\"fc3.*\"]", 1, 0},
    {"\"criterion\":\"magnitude\",\"sparsity\":0.5" RECOVER "}},{\"prune\":{\"granularity\":\"channel\",\"sparsity\":0.5", 1, 8},
};

static void begin_on_iris(const char *job)
{
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = job;
	rig_file(&r, "data", "tests/data/iris.csv");
}

static json_t *report_of_run(void)
{
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	return rig_report(&r);
}

static json_t *run_on(const char *job, const char *file, size_t n)
{
	begin_on_iris(job);
	rig_input(&r, "model", "m", file, n);
	return report_of_run();
}

static json_t *run_residual(const char *job, struct pare_buf *file)
{
	pare_buf_init(file, (size_t)1 << 20);
	make_residual(file);
	return run_on(job, file->data, file->len);
}

/* scikit-learn's exporter gives a label in front of the probabilities, here a text, which is not computed. */
static const char *const sklearn_table[] = {PRUNE("\"criterion\":\"l2\",\"sparsity\":0.5"), "{\"prune\":{\"sparsity\":0.9}},{\"remove_dead\":{}}",
    "{\"quantize\":{}}"};

START_TEST(outputs_that_are_not_computed)
{
	char job[512];
	json_t *v;

	(void)snprintf(job, sizeof job, "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"recipe\":{\"steps\":[%s]}}", sklearn_table[_i]);
	begin_on_iris(job);
	rig_file_as(&r, "model", "m", "tests/golden/sklearn/units.onnx");
	v = report_of_run();
	if (_i == 0) {
		ck_assert_double_le(rig_num(v, "final.macs"), 0.6 * rig_num(v, "dense.macs"));
		ck_assert_double_eq(rig_num(v, "structures.proof.rows"), 30);
	}
	json_decref(v);
}
END_TEST

/* What a node reads that is carried, not run, stays as wide as it is. */
START_TEST(what_carried_nodes_read_stays)
{
	begin_on_iris(HEAD PRUNE("\"criterion\":\"l2\",\"sparsity\":0.5") "]}}");
	rig_file_as(&r, "model", "m", "tests/golden/sklearn/scores.onnx");
	ck_assert_int_ne(rig_go(&r), PARE_OK);
	ck_assert_msg(strstr(r.err.message, "(ZipMap), which is carried, not run") != NULL, "%s", r.err.message);
}
END_TEST

/* What two layers make of `in`, as out. */
static void two_layers(struct gb *b, const char *first, const char *second, int n, int m, int k, const char *in, const char *out)
{
	char h[16], relu[16];

	(void)snprintf(h, sizeof h, "%s.h", first);
	(void)snprintf(relu, sizeof relu, "%s.r", first);
	dense(b, first, n, m, in, h);
	gb_node(b, "Relu", relu, h, relu);
	dense(b, second, m, k, relu, out);
}

static void join(struct gb *b, const char *name, const char *parts)
{
	gb_node(b, "Concat", name, parts, name);
	gb_attr_int(b, "axis", -1);
}

static void dense_chained(struct gb *b)
{
	two_layers(b, "fc1", "fc2", 16, 8, 6, "a", "b1");
	join(b, "c1", "a b1");
	two_layers(b, "fc3", "fc4", 22, 8, 5, "c1", "b2");
	join(b, "c2", "c1 b2");
	dense(b, "fc5", 27, 3, "c2", "y");
}

static void dense_listed(struct gb *b)
{
	two_layers(b, "fc1", "fc2", 16, 8, 6, "a", "b1");
	join(b, "c1", "a b1");
	two_layers(b, "fc3", "fc4", 22, 8, 5, "c1", "b2");
	join(b, "c2", "a b1 b2");
	dense(b, "fc5", 27, 3, "c2", "y");
}

/* Of side by side one has to stay. */
static void side_by_side(struct gb *b)
{
	two_layers(b, "fc1", "fc2", 16, 8, 6, "a", "b1");
	two_layers(b, "fc3", "fc4", 16, 8, 5, "a", "b2");
	join(b, "c2", "b1 b2");
	dense(b, "fc5", 11, 3, "c2", "y");
}

/* What is joined is added to something, too; what else is joined is the output. */
static void read_beside(struct gb *b)
{
	two_layers(b, "fc1", "fc2", 16, 8, 16, "a", "b1");
	gb_node(b, "Add", "sum", "a b1", "s");
	join(b, "c1", "s b1");
	dense(b, "fc3", 32, 8, "c1", "t");
	two_layers(b, "fc4", "fc5", 8, 8, 1, "t", "b2");
	two_layers(b, "fc6", "fc7", 8, 8, 2, "t", "b3");
	join(b, "y", "b2 b3");
}

static const struct {
	void (*make)(struct gb *b);
	const char *share;
	int branches, left, n_params; /* of the whole: how many can go, which stay, and what is left */
} joined_table[] = {
    {dense_chained, "0.5", 2, 1, 0},
    {dense_chained, "0.99", 2, 0, 16 * 4 + 16 + 16 * 3 + 3},
    {dense_listed, "0.5", 2, 1, 0},
    {dense_listed, "0.99", 2, 0, 16 * 4 + 16 + 16 * 3 + 3},
    {side_by_side, "0.5", 2, 1, 0},
    {side_by_side, "0.99", 2, 1, 0},
};

static void make_joined(void (*make)(struct gb *b), struct pare_buf *file)
{
	struct gb *b = gb_new(17);

	pare_buf_init(file, (size_t)1 << 20);
	gb_input(b, "x", "N 4");
	dense(b, "fc0", 4, 16, "x", "h0");
	gb_node(b, "Relu", "relu0", "h0", "a");
	make(b);
	gb_output(b, "y");
	graph_onnx(gb_model(b), file);
	gb_free(b);
}

static int branches_of(const json_t *report, int *left)
{
	json_t *groups = json_object_get(json_object_get(report, "structures"), "groups"), *g;
	size_t i;
	int n = 0;

	*left = 0;
	json_array_foreach(groups, i, g)
	{
		if (strcmp(json_string_value(json_object_get(g, "granularity")), "layer") != 0)
			continue;
		n++;
		*left += (int)json_integer_value(json_object_get(g, "units_final"));
	}
	return n;
}

/* Branches that are concatenated leave with what is theirs alone and with all weights that read them. */
START_TEST(joined_layers_go)
{
	struct pare_buf file;
	char job[1024];
	json_t *v;
	int left;

	(void)snprintf(job, sizeof job, HEAD TRAIN ",{\"prune\":{\"granularity\":\"layer\",\"criterion\":\"l1\",\"sparsity\":%s" RECOVER "}}]}}", joined_table[_i].share);
	make_joined(joined_table[_i].make, &file);
	v = run_on(job, file.data, file.len);
	ck_assert_int_eq(branches_of(v, &left), joined_table[_i].branches);
	ck_assert_int_eq(left, joined_table[_i].left);
	if (joined_table[_i].n_params > 0)
		ck_assert_double_eq(rig_num(v, "final.n_params"), joined_table[_i].n_params);
	else
		ck_assert_double_le(rig_num(v, "final.n_params"), rig_num(v, "dense.n_params") - 16 * 8 - 8 - 8 * 5 - 5 - 5 * 3);
	ck_assert_double_le(rig_num(v, "structures.proof.largest_difference"), rig_num(v, "structures.proof.tolerance"));
	ck_assert_msg(rig_num(v, "final.accuracy") >= 0.8, "job %d: accuracy %g", _i, rig_num(v, "final.accuracy"));
	json_decref(v);
	pare_buf_done(&file);
}
END_TEST

START_TEST(what_is_joined_and_read_beside_stays)
{
	struct pare_buf file;

	make_joined(read_beside, &file);
	begin_on_iris(HEAD "{\"prune\":{\"granularity\":\"layer\",\"criterion\":\"l1\",\"sparsity\":0.5}}]}}");
	rig_input(&r, "model", "m", file.data, file.len);
	ck_assert_int_ne(rig_go(&r), PARE_OK);
	ck_assert_msg(strstr(r.err.message, "no branch of a sum or a concatenation") != NULL, "%s", r.err.message);
	pare_buf_done(&file);
}
END_TEST

/* Branches leave the graph, with what is theirs alone; widths may shrink after them. */
START_TEST(layers_go)
{
	struct pare_buf file;
	char job[1024];
	json_t *v;
	int left;

	(void)snprintf(job, sizeof job, HEAD TRAIN ",{\"prune\":{\"granularity\":\"layer\",%s" RECOVER "}}]}}", layer_table[_i].how);
	v = run_residual(job, &file);
	ck_assert_int_eq(branches_of(v, &left), 2);
	ck_assert_int_eq(left, layer_table[_i].branches);
	if (layer_table[_i].width == 0)
		ck_assert_double_eq(rig_num(v, "final.n_params"), rig_num(v, "dense.n_params") - 544 * (2 - left));
	else
		ck_assert_double_lt(rig_num(v, "final.macs"), rig_num(v, "dense.macs") - 512);
	ck_assert_double_le(rig_num(v, "structures.proof.largest_difference"), rig_num(v, "structures.proof.tolerance"));
	ck_assert_msg(rig_num(v, "final.accuracy") >= 0.8, "job %d: accuracy %g", _i, rig_num(v, "final.accuracy"));
	json_decref(v);
	pare_buf_done(&file);
}
END_TEST

static const struct {
	const char *require, *how;
	int tries, gone; /* branches of the chosen model; -1: whichever */
} layer_search_table[] = {
    {"{\"max_drop\":0.9}", "\"step\":0.05,\"min_step\":0.01" RECOVER, 2, 2}, /* a step is a tenth of a branch */
    {"{\"max_drop\":0.9}", "\"criterion\":{\"name\":\"ablation\",\"rows\":60},\"objective\":\"macs\",\"exclude\":[\"fc1.weight\"],\"beyond\":4", 1, 1},
    {"{\"metric\":\"loss\",\"max_drop\":0.000001}", "\"criterion\":\"l1\",\"step\":0.1,\"min_step\":0.01,\"beyond\":2", 0, -1},
};

/* A search takes branch by branch however small its step, no model twice, and what it chooses has neither the branches nor their weights. */
START_TEST(layers_go_in_a_search)
{
	struct pare_buf file;
	char job[1024];
	json_t *v, *points, *p;
	double gone;
	size_t i;

	(void)snprintf(job, sizeof job, "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"data\":{\"normalize\":\"standard\",\"validation\":0.3},\"require\":%s,\"recipe\":{\"steps\":[" TRAIN
	    ",{\"search\":{\"granularity\":\"layer\",%s}}]}}", layer_search_table[_i].require, layer_search_table[_i].how);
	v = run_residual(job, &file);
	points = json_object_get(json_object_get(v, "search"), "points");
	if (layer_search_table[_i].tries > 0)
		ck_assert_uint_eq(json_array_size(points), (size_t)layer_search_table[_i].tries + 1);
	ck_assert_uint_ge(json_array_size(points), 2);
	for (i = 1; i < json_array_size(points); i++)
		ck_assert_double_lt(rig_num(json_array_get(points, i), "n_weights"), rig_num(json_array_get(points, i - 1), "n_weights"));
	json_array_foreach(points, i, p)
		if (layer_search_table[_i].tries > 0)
			ck_assert_double_eq(rig_num(p, "n_weights"), rig_num(json_array_get(points, 0), "n_weights") - 512 * (double)i);
	p = json_array_get(points, (size_t)rig_num(v, "search.chosen"));
	gone = (rig_num(json_array_get(points, 0), "n_weights") - rig_num(p, "n_weights")) / 512;
	if (layer_search_table[_i].gone >= 0)
		ck_assert_double_eq(gone, layer_search_table[_i].gone);
	ck_assert(json_is_true(json_object_get(p, "held")));
	ck_assert_double_eq(rig_num(v, "final.n_params"), rig_num(v, "dense.n_params") - 544 * gone);
	ck_assert_double_eq(rig_num(v, "final.n_nonzero_weights"), rig_num(p, "n_weights"));
	if (gone > 0)
		ck_assert_double_le(rig_num(v, "structures.proof.largest_difference"), rig_num(v, "structures.proof.tolerance"));
	free(rig_output(&r, "model.onnx", &i));
	ck_assert_double_eq(rig_num(p, "file_bytes"), (double)i);
	json_decref(v);
	pare_buf_done(&file);
}
END_TEST

static void half_init(struct gb *b, const char *name, const char *shape, size_t n)
{
	float v[256] = {0};
	uint16_t h[256];
	bool lost = false;

	if (strchr(shape, ' ') != NULL)
		nc_fill(v, n, n);
	for (size_t i = 0; i < n; i++)
		h[i] = pare_half_from_float(v[i], &lost);
	gb_init_bytes(b, name, shape, PARE_DT_FLOAT16, h, n * sizeof h[0]);
}

/* x - to float16 - fc1 Relu fc2 - to float32 */
static void make_half(struct pare_buf *file)
{
	struct gb *b = gb_new(17);

	gb_input(b, "x", "N 4");
	gb_node(b, "Cast", "in", "x", "h");
	gb_attr_int(b, "to", PARE_DT_FLOAT16);
	half_init(b, "fc1.weight", "4 16", 64);
	half_init(b, "fc1.bias", "16", 16);
	gb_node(b, "Gemm", "fc1", "h fc1.weight fc1.bias", "a");
	gb_node(b, "Relu", "relu", "a", "r");
	half_init(b, "fc2.weight", "16 3", 48);
	half_init(b, "fc2.bias", "3", 3);
	gb_node(b, "Gemm", "fc2", "r fc2.weight fc2.bias", "z");
	gb_node(b, "Cast", "out", "z", "y");
	gb_attr_int(b, "to", PARE_DT_FLOAT);
	gb_output(b, "y");
	graph_onnx(gb_model(b), file);
	gb_free(b);
}

static const char *const half_table[] = {PRUNE("\"sparsity\":0.5" RECOVER), "{\"prune\":{\"sparsity\":0.5" RECOVER "}}"};

/* A model of float16 is trained in float32 and leaves in float16: what is said of it is said of the file. */
START_TEST(figures_are_those_of_the_file)
{
	struct pare_buf file;
	char job[1024], *bytes;
	json_t *v, *again;
	size_t n;

	pare_buf_init(&file, (size_t)1 << 20);
	make_half(&file);
	(void)snprintf(job, sizeof job, HEAD TRAIN ",%s]}}", half_table[_i]);
	v = run_on(job, file.data, file.len);
	if (_i == 0)
		ck_assert_double_le(rig_num(v, "structures.proof.largest_difference"), 1e-6 * rig_num(v, "structures.proof.largest_output"));
	bytes = rig_output(&r, "model.onnx", &n);
	again = run_on(HEAD "{\"evaluate\":{}}]}}", bytes, n);
	ck_assert_double_eq_tol(rig_num(again, "final.loss"), rig_num(v, "final.loss"), 1e-7);
	ck_assert_double_eq(rig_num(again, "final.n_nonzero_params"), rig_num(v, "final.n_nonzero_params"));
	json_decref(again);
	json_decref(v);
	free(bytes);
	pare_buf_done(&file);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("core/job/structured");
	TCase *t = tcase_create("structured");

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	tcase_set_timeout(t, 60);
	tcase_add_test(t, dead_units_go);
	tcase_add_loop_test(t, outputs_that_are_not_computed, 0, (int)(sizeof sklearn_table / sizeof *sklearn_table));
	tcase_add_test(t, what_carried_nodes_read_stays);
	tcase_add_loop_test(t, layers_go, 0, (int)(sizeof layer_table / sizeof layer_table[0]));
	tcase_add_loop_test(t, joined_layers_go, 0, (int)(sizeof joined_table / sizeof joined_table[0]));
	tcase_add_test(t, what_is_joined_and_read_beside_stays);
	tcase_add_loop_test(t, layers_go_in_a_search, 0, (int)(sizeof layer_search_table / sizeof layer_search_table[0]));
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, the_model_shrinks, 0, (int)(sizeof job_table / sizeof job_table[0]));
	tcase_add_test(t, same_job_same_bytes_folds_or_not);
	tcase_add_loop_test(t, figures_are_those_of_the_file, 0, (int)(sizeof half_table / sizeof half_table[0]));
	tcase_add_loop_test(t, refused_with_the_reason, 0, (int)(sizeof bad_table / sizeof bad_table[0]));
	suite_add_tcase(s, t);
	return rig_main(s);
}
