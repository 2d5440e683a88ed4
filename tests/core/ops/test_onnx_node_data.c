/* ONNX's own node tests (Debian libonnx-testdata), as an independent judge of forward. All of them are run: every input
 * becomes an initializer, so that any shape runs, and outputs are compared with the files, in a net for inference and in
 * one for training. A file states the opset in which its operator last changed; where that is older than what we execute,
 * it means the same in the oldest that we do. A case is unsupported (U) when the reader or the planner refuses it by naming an operator, a type or
 * a feature; anything else that is not equal is a failure, and there must be none. The last line that is printed before
 * Check's own is the count. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/onnx/onnx.h"
#include "core/onnx/wire.h"
#include "core/ops/op.h"
#include "tests/support/net_check.h"

#define ROOT "/usr/share/libonnx-testdata/data/node/"
#define MAX_FILE 4000000
#define MAX_INPUTS 32
#define MAX_OPS 256

struct file {
	uint8_t data[MAX_FILE];
	size_t len;
};

static bool load(const char *test, const char *name, struct file *f)
{
	char path[512];
	FILE *fp;

	(void)snprintf(path, sizeof path, ROOT "%s/%s", test, name);
	fp = fopen(path, "rb");
	if (fp == NULL)
		return false;
	f->len = fread(f->data, 1, sizeof f->data, fp);
	ck_assert_uint_lt(f->len, sizeof f->data);
	(void)fclose(fp);
	return true;
}

/* A TensorProto with raw_data, which is how these files hold their numbers; false for anything else (sequences, strings). */
static bool parse_tensor(const struct file *f, struct pare_tensor *t)
{
	struct pare_wire w, packed;
	struct pare_field field;
	uint64_t dim;

	*t = (struct pare_tensor){.name = "", .n_elems = 1};
	pare_wire_init(&w, f->data, (struct pare_span){f->data, f->len});
	while (pare_wire_next(&w, &field)) {
		if (field.number == 1 && field.type == PARE_WIRE_VARINT && t->n_dims < PARE_MAX_DIMS) {
			t->dims[t->n_dims++] = (int64_t)field.bits;
		} else if (field.number == 1) {
			pare_wire_init(&packed, f->data, field.span);
			while (t->n_dims < PARE_MAX_DIMS && pare_wire_varint(&packed, &dim))
				t->dims[t->n_dims++] = (int64_t)dim;
		} else if (field.number == 2) {
			t->dtype = (int)field.bits;
		} else if (field.number == 9) {
			t->raw = field.span;
		}
	}
	for (int i = 0; i < t->n_dims; i++)
		t->n_elems *= (size_t)t->dims[i];
	return pare_dtype_bits(t->dtype) >= 8 && t->raw.len == t->n_elems * (size_t)pare_dtype_bits(t->dtype) / 8;
}

enum verdict { PASSED, FAILED, UNSUPPORTED };
struct result {
	enum verdict verdict;
	char why[256];
};

static void say(struct result *r, enum verdict verdict, const char *why)
{
	r->verdict = verdict;
	(void)snprintf(r->why, sizeof r->why, "%.250s", why);
}

/* bfloat16 values stand in these files as uint16. */
static void retype(const struct pare_value *v, struct pare_tensor *t)
{
	if (v->dtype == PARE_DT_BFLOAT16 && t->dtype == PARE_DT_UINT16)
		t->dtype = PARE_DT_BFLOAT16;
}

/* Turns the graph's inputs into initializers. */
static bool give_inputs(const char *test, struct pare_model *m, struct file *files, struct pare_tensor *tensors)
{
	struct pare_graph *g = &m->graph;

	for (int i = 0; i < g->n_inputs; i++) {
		struct pare_value *v = &g->values[g->inputs[i]];
		char name[64];

		(void)snprintf(name, sizeof name, "test_data_set_0/input_%d.pb", i);
		if (i >= MAX_INPUTS || !load(test, name, &files[i]) || !parse_tensor(&files[i], &tensors[i]))
			return false;
		retype(v, &tensors[i]);
		tensors[i].name = v->name;
		v->init = &tensors[i];
		v->is_input = false;
	}
	g->n_inits += g->n_inputs;
	g->n_inputs = 0;
	return true;
}

/* One unit in the last place of the type that the file holds, and what float functions differ by. The expanded windows have
 * pi as 3.1415 in their graph, their files the true one. */
static double tolerance(const char *test, int dtype, double want)
{
	double relative = strstr(test, "window") != NULL ? 1e-3 : dtype == PARE_DT_BFLOAT16 ? 8e-3 : dtype == PARE_DT_FLOAT16 ? 1e-3 : 1e-5;

	return 2e-6 + relative * fabs(want);
}

static void compare(const char *test, const struct pare_model *m, const struct pare_net *net, int i, struct result *r)
{
	static struct file f;
	char name[64], why[200];
	const float *got = pare_net_shard_output(net, 0, i);
	int64_t dims[PARE_MAX_DIMS];
	struct pare_tensor t;
	float *want;
	int n_dims;

	(void)snprintf(name, sizeof name, "test_data_set_0/output_%d.pb", i);
	if (!load(test, name, &f) || !parse_tensor(&f, &t)) {
		say(r, UNSUPPORTED, "an output that is not a tensor of numbers");
		return;
	}
	retype(&m->graph.values[m->graph.outputs[i]], &t);
	(void)pare_net_output_shape(net, i, &n_dims, dims);
	if (n_dims != t.n_dims || memcmp(dims, t.dims, (size_t)n_dims * sizeof *dims) != 0) {
		say(r, FAILED, "another shape");
		return;
	}
	want = malloc((t.n_elems + 1) * sizeof *want);
	ck_assert_ptr_nonnull(want);
	ck_assert_int_eq(pare_tensor_read_f32(&t, want, NULL), PARE_OK);
	for (size_t k = 0; k < t.n_elems && r->verdict == PASSED; k++) {
		bool same = got[k] == want[k] || (isnan(got[k]) && isnan(want[k]));

		(void)snprintf(why, sizeof why, "output %d[%zu] is %.9g, want %.9g", i, k, (double)got[k], (double)want[k]);
		if (!same && !(fabs((double)got[k] - (double)want[k]) <= tolerance(test, t.dtype, (double)want[k])))
			say(r, FAILED, why);
	}
	free(want);
}

static void run_net(const char *test, const struct pare_model *m, bool training, struct result *r)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1, .training = training, .seed = 7};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	enum pare_code code = pare_net_new(m, &opt, &net, &err);
	char why[512];

	if (code != PARE_OK) {
		(void)snprintf(why, sizeof why, "%s", err.message);
		say(r, code == PARE_E_UNSUPPORTED_OP || code == PARE_E_UNSUPPORTED ? UNSUPPORTED : FAILED, why);
		return;
	}
	pare_net_shard_forward(net, 0, 1, false, 0, 0);
	for (int i = 0; i < pare_net_n_outputs(net) && r->verdict == PASSED; i++)
		compare(test, m, net, i, r);
	pare_net_free(net);
}

/* Cases that no other implementation can pass: their numbers come from one random generator. */
static bool is_drawn(const char *test)
{
	static const char *const drawn_table[] = {
	    "test_training_dropout", "test_training_dropout_default", "test_training_dropout_default_mask", "test_training_dropout_mask",
	};

	for (size_t i = 0; i < sizeof drawn_table / sizeof drawn_table[0]; i++)
		if (strcmp(test, drawn_table[i]) == 0)
			return true;
	return false;
}

/* The operator to blame: the one that the message names, else the first of the graph. */
static void blame(const struct pare_model *m, const char *message, char op[64])
{
	if (sscanf(message, "operator %63s", op) != 1)
		(void)snprintf(op, 64, "%s", m->graph.n_nodes > 0 ? m->graph.nodes[0].op_type : "?");
}

static void run_case(const char *test, struct result *r, char op[64])
{
	static struct file model, files[MAX_INPUTS];
	static struct pare_tensor tensors[MAX_INPUTS];
	struct pare_model *m = NULL;
	struct pare_err err = {0};

	say(r, PASSED, "");
	(void)snprintf(op, 64, "?");
	ck_assert_msg(load(test, "model.onnx", &model), "%s is not in " ROOT " (libonnx-testdata)", test);
	if (pare_onnx_read((struct pare_span){model.data, model.len}, &m, &err) != PARE_OK) {
		say(r, err.code == PARE_E_UNSUPPORTED || err.code == PARE_E_UNSUPPORTED_OP ? UNSUPPORTED : FAILED, err.message);
		return;
	}
	for (int i = 0; i < m->n_opsets; i++)
		if (m->opsets[i].version < PARE_OPSET_MIN)
			m->opsets[i].version = PARE_OPSET_MIN;
	if (!give_inputs(test, m, files, tensors))
		say(r, UNSUPPORTED, "an input that is not a tensor of numbers");
	if (is_drawn(test))
		say(r, UNSUPPORTED, "random numbers of another generator");
	for (int training = 0; training < 2 && r->verdict == PASSED; training++)
		run_net(test, m, training != 0, r);
	blame(m, r->why, op);
	pare_model_free(m);
}

/* How many unsupported cases an operator has; for the table. */
struct tally {
	char op[64];
	int n;
};

static void count_op(struct tally *tally, int *n, const char *op)
{
	int i = 0;

	while (i < *n && strcmp(tally[i].op, op) != 0)
		i++;
	ck_assert_int_lt(i, MAX_OPS);
	if (i == *n)
		(void)snprintf(tally[(*n)++].op, sizeof tally[i].op, "%s", op);
	tally[i].n++;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_case(const struct dirent *d)
{
	return strncmp(d->d_name, "test_", 5) == 0;
}

START_TEST(conformance)
{
	static struct tally tally[MAX_OPS];
	struct dirent **list;
	int n = scandir(ROOT, &list, is_case, by_name), count[3] = {0}, n_ops = 0;

	ck_assert_msg(n > 900, ROOT " has %d cases (libonnx-testdata has more than 900)", n);
	for (int i = 0; i < n; i++) {
		struct result r;
		char op[64];

		run_case(list[i]->d_name, &r, op);
		count[r.verdict]++;
		if (r.verdict == FAILED)
			printf("F %s (%s): %s\n", list[i]->d_name, op, r.why);
		if (r.verdict == UNSUPPORTED) {
			count_op(tally, &n_ops, op);
			if (getenv("CONFORMANCE_VERBOSE") != NULL)
				printf("U %s (%s): %s\n", list[i]->d_name, op, r.why);
		}
		free(list[i]);
	}
	free(list);
	for (int i = 0; i < n_ops; i++)
		printf("unsupported: %s %d\n", tally[i].op, tally[i].n);
	printf("conformance: %d passed, %d failed, %d unsupported of %d\n", count[PASSED], count[FAILED], count[UNSUPPORTED], n);
	(void)fflush(stdout);
	ck_assert_int_eq(count[FAILED], 0);
	ck_assert_int_gt(count[PASSED], 60);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("onnx node data");
	TCase *t = tcase_create("forward");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_test(t, conformance);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
