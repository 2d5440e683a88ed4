/* Random nets, data sets and recipes, by the hundred: whatever may be asked ends well or is refused, and what comes out can be
 * read, has the sparsity that was asked for, zeros that are +0, and the same bytes when the job runs again. Jobs run in the
 * worker process, so a crash is an error code here. */
#include <math.h>

#include "core/base/rng.h"
#include "core/onnx/onnx.h"
#include "tests/core/job/job_support.h"

#define N_CASES 60
#define MAX_LAYERS 4

struct sample {
	struct pare_rng rng;
	int n_in, n_out, n_rows, n_layers;
	bool regress, by_layer;
	double sparsity; /* of the last step that prunes */
	struct pare_buf arch, csv, job;
};

static int below(struct sample *c, int n)
{
	return (int)pare_rng_below(&c->rng, (uint64_t)n);
}

static const char *one_of(struct sample *c, const char *const *list, int n)
{
	return list[below(c, n)];
}

static void make_arch(struct sample *c)
{
	static const char *const activations[] = {"none", "relu", "sigmoid", "tanh"}, *const last[] = {"none", "softmax", "log_softmax", "sigmoid"};

	c->n_layers = 1 + below(c, MAX_LAYERS);
	pare_buf_printf(&c->arch, "{\"input\":[%d],\"seed\":%d,\"layers\":[", c->n_in, below(c, 1000));
	for (int i = 0; i < c->n_layers; i++) {
		bool end = i + 1 == c->n_layers;

		pare_buf_printf(&c->arch, "%s{\"units\":%d,\"activation\":\"%s\",\"dropout\":%s}", i > 0 ? "," : "", end ? c->n_out : 1 + below(c, 40),
		    end ? c->regress ? "none" : one_of(c, last, 4) : one_of(c, activations, 4), !end && below(c, 4) == 0 ? "0.25" : "0");
	}
	pare_buf_str(&c->arch, "]}");
}

static void make_data(struct sample *c)
{
	for (int j = 0; j < c->n_in; j++)
		pare_buf_printf(&c->csv, "x%d,", j);
	pare_buf_str(&c->csv, "label\n");
	for (int i = 0; i < c->n_rows; i++) {
		for (int j = 0; j < c->n_in; j++)
			pare_buf_printf(&c->csv, "%.5g,", pare_rng_normal(&c->rng));
		if (c->regress)
			pare_buf_printf(&c->csv, "%.5g\n", pare_rng_normal(&c->rng) + 0.123);
		else
			pare_buf_printf(&c->csv, "%d\n", below(c, c->n_out));
	}
}

static void add_training(struct sample *c)
{
	static const char *const optimizers[] = {"\"sgd\"", "{\"name\":\"sgd\",\"lr\":0.02,\"momentum\":0.9}", "{\"name\":\"sgd\",\"momentum\":0.5,\"nesterov\":true,\"lr\":0.01}", "\"adam\""};
	static const char *const schedules[] = {"\"constant\"", "{\"name\":\"step\",\"every\":1}", "\"cosine\""};
	static const char *const extras[] = {"", ",\"regularizer\":{\"name\":\"l2\",\"lambda\":0.01}", ",\"regularizer\":{\"name\":\"l1\",\"lambda\":0.05}", ",\"clip_weights\":0.4", ",\"keep_best\":true", ",\"patience\":1", ",\"loss\":\"mse\""};

	pare_buf_printf(&c->job, "{\"epochs\":%d,\"batch_size\":%d,\"optimizer\":%s,\"lr_schedule\":%s%s}", 1 + below(c, 3), 1 + below(c, 50), one_of(c, optimizers, 4), one_of(c, schedules, 3), one_of(c, extras, 7));
}

static void add_pruning(struct sample *c, double sparsity)
{
	static const char *const schedules[] = {"\"one_shot\"", "{\"name\":\"linear\",\"rounds\":2}", "{\"name\":\"cubic\",\"rounds\":3}"}, *const criteria[] = {"magnitude", "random"};

	pare_buf_printf(&c->job, "{\"criterion\":\"%s\",\"scope\":\"%s\",\"sparsity\":%.3f,\"schedule\":%s", one_of(c, criteria, 2), c->by_layer ? "layer" : "global", sparsity, one_of(c, schedules, 3));
	if (below(c, 2) == 0) {
		pare_buf_str(&c->job, ",\"recover\":");
		add_training(c);
	}
	pare_buf_str(&c->job, "}");
}

/* Steps in any order and number; of several prune steps each asks for more than the one before. */
static void make_job(struct sample *c)
{
	static const char *const normalize[] = {"auto", "none", "standard"};
	int n = 1 + below(c, 4);

	pare_buf_printf(&c->job, "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":%d,\"threads\":%d,\"data\":{\"normalize\":\"%s\",\"task\":\"%s\"},\"recipe\":{\"steps\":[", below(c, 1000), 1 + below(c, 3), one_of(c, normalize, 3),
	    c->regress ? "regress" : "classify");
	for (int i = 0; i < n; i++) {
		pare_buf_str(&c->job, i > 0 ? "," : "");
		switch (below(c, 3)) {
		case 0:
			pare_buf_str(&c->job, "{\"train\":");
			add_training(c);
			break;
		case 1:
			c->sparsity += (1 - c->sparsity) * below(c, 1000) / 1001.0;
			c->sparsity = floor(c->sparsity * 1000) / 1000;
			pare_buf_str(&c->job, "{\"prune\":");
			add_pruning(c, c->sparsity);
			break;
		default:
			pare_buf_str(&c->job, below(c, 3) == 0 ? "{\"evaluate\":{\"folds\":2}" : "{\"evaluate\":{}");
		}
		pare_buf_str(&c->job, "}");
	}
	pare_buf_str(&c->job, "]}}");
}

static void make(struct sample *c, int nth)
{
	memset(c, 0, sizeof *c);
	pare_rng_init(&c->rng, 20240, "property", (uint64_t)nth);
	pare_buf_init(&c->arch, (size_t)1 << 16);
	pare_buf_init(&c->csv, (size_t)1 << 20);
	pare_buf_init(&c->job, (size_t)1 << 16);
	c->regress = below(c, 4) == 0;
	c->by_layer = below(c, 2) == 0;
	c->n_in = 1 + below(c, 40);
	c->n_out = c->regress ? 1 : 1 + below(c, 12);
	c->n_rows = 20 + below(c, 100);
	make_arch(c);
	make_data(c);
	make_job(c);
}

/* How many of n weights are zero, and that no zero is -0. */
static size_t zeros_of(const struct pare_tensor *t)
{
	float *w = calloc(t->n_elems + 1, sizeof *w);
	size_t n = 0;

	ck_assert_int_eq(pare_tensor_read_f32(t, w, NULL), PARE_OK);
	for (size_t i = 0; i < t->n_elems; i++) {
		ck_assert(isfinite(w[i]));
		ck_assert_msg(w[i] != 0 || !signbit(w[i]), "%s[%zu] is -0", t->name, i);
		n += w[i] == 0;
	}
	free(w);
	return n;
}

static size_t asked(double sparsity, size_t n)
{
	return (size_t)llround(sparsity * (double)n);
}

/* At least what was asked for is zero; exactly that, unless l1 or a lucky update made more. */
static void check_model(const struct sample *c, const char *bytes, size_t n_bytes, bool exact)
{
	struct pare_model *m = NULL;
	struct pare_err err;
	size_t n = 0, n_zero = 0;

	ck_assert_msg(pare_onnx_read((struct pare_span){(const uint8_t *)bytes, n_bytes}, &m, &err) == PARE_OK, "%s", err.message);
	for (int32_t i = 0; i < m->graph.n_inits; i++) {
		const struct pare_tensor *t = m->graph.values[m->graph.inits[i]].init;
		size_t zero = zeros_of(t);

		if (t->n_dims < 2)
			continue;
		n += t->n_elems;
		n_zero += zero;
		if (c->by_layer)
			ck_assert_msg(exact ? zero == asked(c->sparsity, t->n_elems) : zero >= asked(c->sparsity, t->n_elems), "%s: %zu of %zu are zero, %g was asked for", t->name, zero, t->n_elems, c->sparsity);
	}
	if (!c->by_layer)
		ck_assert_msg(exact ? n_zero == asked(c->sparsity, n) : n_zero >= asked(c->sparsity, n), "%zu of %zu are zero, %g was asked for", n_zero, n, c->sparsity);
	pare_model_free(m);
}

static char *run(const struct sample *c, struct rig *r, const char *model, size_t model_n, size_t *out_n)
{
	enum pare_code code;

	rig_forget(r);
	r->start.kind = "run";
	r->start.job = c->job.data;
	rig_input(r, "model", "m.onnx", model, model_n);
	rig_input(r, "data", "d.csv", c->csv.data, c->csv.len);
	code = rig_go(r);
	/* a loss of the wrong kind, or a step too large for the data, is refused in words; all else must work */
	if (code == PARE_E_INVALID || code == PARE_E_DIVERGED) {
		ck_assert_msg(strncmp(r->err.where, "/recipe/steps/", 14) == 0, "%s at %s", r->err.message, r->err.where);
		return NULL;
	}
	ck_assert_msg(code == PARE_OK, "%s: %s at %s\n%s\n%s", pare_code_string(code), r->err.message, r->err.where, c->arch.data, c->job.data);
	return rig_output(r, "model.onnx", out_n);
}

START_TEST(any_job)
{
	struct sample c;
	struct rig r;
	char *model, *once, *again;
	size_t model_n, n, m;

	make(&c, _i);
	model = rig_build(c.arch.data, &model_n);
	rig_init(&r);
	once = run(&c, &r, model, model_n, &n);
	if (once != NULL) {
		check_model(&c, once, n, strstr(c.job.data, "l1") == NULL);
		again = run(&c, &r, model, model_n, &m);
		ck_assert_uint_eq(n, m);
		ck_assert_mem_eq(once, again, n);
		free(again);
	}
	free(once);
	free(model);
	rig_done(&r);
	pare_buf_done(&c.arch);
	pare_buf_done(&c.csv);
	pare_buf_done(&c.job);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s;
	TCase *t;

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	s = suite_create("core/job/property");
	t = tcase_create("property");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, any_job, 0, N_CASES);
	suite_add_tcase(s, t);
	return rig_main(s);
}
