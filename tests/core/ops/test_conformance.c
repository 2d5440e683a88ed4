/* ONNX's own test data (Debian libonnx-testdata), as an independent judge of forward: the node cases, the converted PyTorch
 * cases, the operator cases and the simple ones. (The package names large published models, too, without their files.)
 * Every input becomes an initializer, so that any shape runs, and outputs are compared with the files, in a net for
 * inference and in one for training. A file states the opset in which its operator last changed; where that is older than
 * what we execute, it is run as the oldest that we do: it means the same, unless planning refuses it for what opset 7
 * changed (broadcasting).
 *
 * A case is unsupported when the reader or the planner refuses it by naming an operator, a type or a feature; anything else
 * that is not equal is a failure. It is a failure, too, when a case whose operators are all ones that we say we execute
 * (listed_table) is refused, unless it is for its type of data, which the table then names. The last line that is printed
 * before Check's own is the count. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/onnx/onnx.h"
#include "core/onnx/wire.h"
#include "core/ops/op.h"
#include "tests/support/net_check.h"

#define MAX_FILE 4200000
#define MAX_INPUTS 32
#define MAX_ROWS 256

/* What issue and README promise to execute. */
static const char *const listed_table[] = {
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization",
    "InstanceNormalization", "LayerNormalization", "RMSNormalization", "GroupNormalization", "LRN", "Gemm", "MatMul", "Einsum", "Add", "Sub", "Mul", "Div",
    "Mod", "Pow", "Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Sin", "Cos", "Tan",
    "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh", "Sum", "Mean", "Max", "Min", "And", "Or", "Xor", "Not",
    "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "IsNaN", "IsInf", "Where", "Clip", "Cast", "CastLike",
    "Swish", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Mish", "Softplus", "Softsign",
    "ThresholdedRelu", "Shrink", "Softmax", "LogSoftmax", "Hardmax", "Dropout", "Identity", "Constant", "Flatten", "Reshape",
    "Transpose", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Gather", "GatherElements", "GatherND", "ScatterElements",
    "Scatter", "ScatterND", "CumSum", "Trilu", "OneHot", "EyeLike", "ReverseSequence", "MeanVarianceNormalization", "BitShift",
    "Resize", "Upsample", "Expand", "Tile", "Pad", "Shape", "Size", "Range", "ConstantOfShape", "DepthToSpace",
    "SpaceToDepth", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare", "ArgMax", "ArgMin", "TopK", "RNN", "LSTM", "GRU", "QuantizeLinear", "DequantizeLinear",
};

/* Another tree of the same layout may be named on the command line; its kinds need not all be there. */
static const char *root = "/usr/share/libonnx-testdata/data";
static bool elsewhere;

struct file {
	uint8_t data[MAX_FILE];
	size_t len;
};

/* test: "node/test_abs" */
static bool load(const char *test, const char *name, struct file *f)
{
	char path[640];
	FILE *fp;

	(void)snprintf(path, sizeof path, "%s/%s/%s", root, test, name);
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

	*t = (struct pare_tensor){.name = "", .n_elems = 1, .wire = {f->data, f->len}};
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
	/* without raw_data the values stand in a typed field, which the reader of tensors finds */
	return pare_dtype_bits(t->dtype) >= 8 && (t->raw.data == NULL || t->raw.len == t->n_elems * (size_t)pare_dtype_bits(t->dtype) / 8);
}

enum verdict { PASSED, FAILED, UNSUPPORTED };
struct result {
	enum verdict verdict;
	bool refused; /* by the planner */
	bool excused; /* unsupported for its data, not for an operator */
	char why[256];
};

static void say(struct result *r, enum verdict verdict, const char *why)
{
	r->verdict = verdict;
	(void)snprintf(r->why, sizeof r->why, "%.250s", why);
}

static void excuse(struct result *r, const char *why)
{
	say(r, UNSUPPORTED, why);
	r->excused = true;
}

/* bfloat16 values stand in these files as uint16. */
static void retype(const struct pare_value *v, struct pare_tensor *t)
{
	if (v->dtype == PARE_DT_BFLOAT16 && t->dtype == PARE_DT_UINT16)
		t->dtype = PARE_DT_BFLOAT16;
}

/* The type of a value that we say we do not compute with; NULL if there is none. */
static const char *foreign_type(int dtype)
{
	switch (dtype) {
	case PARE_DT_UNDEFINED:
		return "sequences and optional values";
	case PARE_DT_STRING:
		return "strings";
	case PARE_DT_COMPLEX64:
	case PARE_DT_COMPLEX128:
		return "complex numbers";
	default:
		return dtype > PARE_DT_BFLOAT16 ? "float8 and int4" : NULL;
	}
}

static void check_types(const struct pare_graph *g, struct result *r)
{
	for (int i = 0; i < g->n_inputs + g->n_outputs && r->verdict == PASSED; i++) {
		const char *type = foreign_type(g->values[i < g->n_inputs ? g->inputs[i] : g->outputs[i - g->n_inputs]].dtype);

		if (type != NULL)
			excuse(r, type);
	}
}

/* Turns the graph's inputs into initializers. */
static bool give_inputs(const char *test, int set, struct pare_model *m, struct file *files, struct pare_tensor *tensors)
{
	struct pare_graph *g = &m->graph;

	for (int i = 0; i < g->n_inputs; i++) {
		struct pare_value *v = &g->values[g->inputs[i]];
		char name[64];

		(void)snprintf(name, sizeof name, "test_data_set_%d/input_%d.pb", set, i);
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

/* One unit in the last place of the type that the file holds (two where its numbers were rounded between several nodes, too), and what float functions differ by. The expanded windows have
 * pi as 3.1415 in their graph, their files the true one. */
static double tolerance(const char *test, int dtype, bool several, double want)
{
	double unit = dtype == PARE_DT_BFLOAT16 ? 8e-3 : dtype == PARE_DT_FLOAT16 ? 1e-3 : 0;
	double relative = strstr(test, "window") != NULL ? 1e-3 : unit > 0 ? (several ? 2 : 1) * unit : 1e-5;

	return 2e-6 + relative * fabs(want);
}

static void compare(const char *test, int set, const struct pare_model *m, const struct pare_net *net, int i, struct result *r)
{
	static struct file f;
	char name[64], why[200];
	const float *got = pare_net_shard_output(net, 0, i);
	int64_t dims[PARE_MAX_DIMS];
	struct pare_tensor t;
	float *want;
	int n_dims;

	(void)snprintf(name, sizeof name, "test_data_set_%d/output_%d.pb", set, i);
	if (!load(test, name, &f) || !parse_tensor(&f, &t)) {
		say(r, FAILED, "an output file that cannot be read");
		return;
	}
	if (got == NULL) {
		r->refused = true;
		say(r, UNSUPPORTED, "an output needs an operator that is not supported for execution");
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
		if (!same && !(fabs((double)got[k] - (double)want[k]) <= tolerance(test, t.dtype, m->graph.n_nodes > 1, (double)want[k])))
			say(r, FAILED, why);
	}
	free(want);
}

static void run_net(const char *test, int set, const struct pare_model *m, bool training, struct result *r)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = 1, .training = training, .seed = 7};
	struct pare_net *net = NULL;
	struct pare_err err = {0};
	enum pare_code code = pare_net_new(m, &opt, &net, &err);
	char why[512];

	if (code != PARE_OK) {
		(void)snprintf(why, sizeof why, "%s", err.message);
		r->refused = true;
		say(r, code == PARE_E_UNSUPPORTED_OP || code == PARE_E_UNSUPPORTED ? UNSUPPORTED : FAILED, why);
		return;
	}
	/* a net that trains decides by the mode, not by BatchNormalization's training_mode */
	pare_net_shard_forward(net, 0, 1, strstr(test, "training_mode") != NULL ? PARE_MODE_ESTIMATE : PARE_MODE_INFER, 0, 0);
	for (int i = 0; i < pare_net_n_outputs(net) && r->verdict == PASSED; i++)
		compare(test, set, m, net, i, r);
	pare_net_free(net);
}

/* Cases that no other implementation can pass: their numbers come from one random generator. */
static bool is_drawn(const char *test)
{
	static const char *const drawn_table[] = {
	    "node/test_training_dropout", "node/test_training_dropout_default", "node/test_training_dropout_default_mask",
	    "node/test_training_dropout_mask",
	};

	for (size_t i = 0; i < sizeof drawn_table / sizeof drawn_table[0]; i++)
		if (strcmp(test, drawn_table[i]) == 0)
			return true;
	return false;
}

static bool is_listed(const struct pare_model *m)
{
	for (int i = 0; i < m->graph.n_nodes; i++) {
		bool found = false;

		for (size_t k = 0; k < sizeof listed_table / sizeof listed_table[0]; k++)
			found |= strcmp(m->graph.nodes[i].op_type, listed_table[k]) == 0 && m->graph.nodes[i].domain[0] == '\0';
		if (!found)
			return false;
	}
	return true;
}

/* The operator that a case counts for: the one that the message names, else the only one of its graph. */
static void blame(const struct pare_model *m, const char *message, char op[64])
{
	const struct pare_graph *g = &m->graph;

	if (sscanf(message, "operator %63s", op) == 1)
		return;
	(void)snprintf(op, 64, "%s", g->n_nodes > 0 ? g->nodes[0].op_type : "(no nodes)");
	for (int i = 1; i < g->n_nodes; i++)
		if (strcmp(g->nodes[i].op_type, op) != 0)
			(void)snprintf(op, 64, "(graphs of several)");
}

/* One set of inputs and outputs; a graph with its inputs given cannot take another, so it is read again each time. */
static void run_set(const char *test, int set, const struct file *model, struct result *r, char op[64])
{
	static struct file files[MAX_INPUTS];
	static struct pare_tensor tensors[MAX_INPUTS];
	struct pare_model *m = NULL;
	struct pare_err err = {0};
	bool old = false;

	if (pare_onnx_read((struct pare_span){model->data, model->len}, &m, &err) != PARE_OK) {
		say(r, err.code == PARE_E_UNSUPPORTED || err.code == PARE_E_UNSUPPORTED_OP ? UNSUPPORTED : FAILED, err.message);
		return;
	}
	for (int i = 0; i < m->n_opsets; i++)
		if (m->opsets[i].version < PARE_OPSET_MIN) {
			m->opsets[i].version = PARE_OPSET_MIN;
			old |= m->opsets[i].domain[0] == '\0';
		}
	check_types(&m->graph, r);
	if (r->verdict == PASSED && is_drawn(test))
		excuse(r, "random numbers of another generator");
	if (r->verdict == PASSED && !give_inputs(test, set, m, files, tensors))
		say(r, FAILED, "an input file that cannot be read");
	for (int training = 0; training < 2 && r->verdict == PASSED; training++)
		run_net(test, set, m, training != 0, r);
	if (old && r->refused && is_listed(m))
		excuse(r, "what opset 7 changed");
	if (strstr(r->why, "2^24") != NULL)
		excuse(r, "integers past 2^24");
	blame(m, r->why, op);
	if (r->verdict == UNSUPPORTED && !r->excused && is_listed(m))
		r->verdict = FAILED;
	pare_model_free(m);
}

static void run_case(const char *test, struct result *r, char op[64])
{
	static struct file model;
	char dir[640];
	int set = 0;

	*r = (struct result){.verdict = PASSED};
	(void)snprintf(op, 64, "(unreadable)");
	ck_assert_msg(load(test, "model.onnx", &model), "%s has no model in %s", test, root);
	do {
		run_set(test, set, &model, r, op);
		(void)snprintf(dir, sizeof dir, "%s/%s/test_data_set_%d", root, test, ++set);
	} while (r->verdict == PASSED && access(dir, F_OK) == 0);
}

/* A line of the table. */
struct row {
	char op[64];
	int count[3];
	char why[64]; /* the excuse of those that are unsupported, "" for the operator itself */
};
struct table {
	struct row rows[MAX_ROWS];
	int n;
	int count[3];
};

static void add(struct table *t, const char *op, const struct result *r)
{
	const char *why = r->verdict == UNSUPPORTED && r->excused ? r->why : "";
	struct row *row = t->rows;

	while (row < t->rows + t->n && (strcmp(row->op, op) != 0 || strncmp(row->why, why, sizeof row->why - 1) != 0))
		row++;
	ck_assert(row < t->rows + MAX_ROWS);
	if (row == t->rows + t->n) {
		(void)snprintf(row->op, sizeof row->op, "%s", op);
		(void)snprintf(row->why, sizeof row->why, "%.60s", why);
		t->n++;
	}
	row->count[r->verdict]++;
	t->count[r->verdict]++;
}

static int by_op(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = strcmp(x->op, y->op);

	return order != 0 ? order : strcmp(x->why, y->why);
}

static void print_table(struct table *t)
{
	qsort(t->rows, (size_t)t->n, sizeof t->rows[0], by_op);
	printf("%-28s %6s %6s %11s\n", "operator", "passed", "failed", "unsupported");
	for (int i = 0; i < t->n; i++) {
		const struct row *r = &t->rows[i];

		printf("%-28s %6d %6d %11d  %s\n", r->op, r->count[PASSED], r->count[FAILED], r->count[UNSUPPORTED], r->why);
	}
	printf("conformance: %d passed, %d failed, %d unsupported of %d\n", t->count[PASSED], t->count[FAILED], t->count[UNSUPPORTED],
	    t->count[PASSED] + t->count[FAILED] + t->count[UNSUPPORTED]);
	(void)fflush(stdout);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_case(const struct dirent *d)
{
	return strncmp(d->d_name, "test_", 5) == 0;
}

static void run_kind(const char *kind, int at_least, struct table *table)
{
	struct dirent **list;
	char path[256];
	int n;

	(void)snprintf(path, sizeof path, "%s/%s", root, kind);
	n = scandir(path, &list, is_case, by_name);
	if (n < 0 && elsewhere)
		return;
	ck_assert_msg(elsewhere || n >= at_least, "%s has %d cases (libonnx-testdata has at least %d)", path, n, at_least);
	for (int i = 0; i < n; i++) {
		struct result r;
		char op[64], test[512];

		(void)snprintf(test, sizeof test, "%s/%s", kind, list[i]->d_name);
		run_case(test, &r, op);
		add(table, op, &r);
		if (r.verdict == FAILED || (r.verdict == UNSUPPORTED && getenv("CONFORMANCE_VERBOSE") != NULL))
			printf("%c %s (%s): %s\n", r.verdict == FAILED ? 'F' : 'U', test, op, r.why);
		free(list[i]);
	}
	free(list);
}

START_TEST(conformance)
{
	static const struct {
		const char *name;
		int at_least;
	} kind_table[] = {{"node", 900}, {"pytorch-converted", 80}, {"pytorch-operator", 35}, {"simple", 20}};
	static struct table table;

	for (size_t i = 0; i < sizeof kind_table / sizeof kind_table[0]; i++)
		run_kind(kind_table[i].name, kind_table[i].at_least, &table);
	print_table(&table);
	ck_assert_int_eq(table.count[FAILED], 0);
	ck_assert_int_gt(table.count[PASSED], elsewhere ? 0 : 800);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("onnx test data");
	TCase *t = tcase_create("forward");
	SRunner *r;
	int failed;

	elsewhere = argc > 1;
	root = elsewhere ? argv[1] : root;
	tcase_set_timeout(t, 120);
	tcase_add_test(t, conformance);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
