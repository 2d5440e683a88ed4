/* Jobs without a data set, through the worker: every place of a file that holds weights is ranked and masked in its own type, the rest of the
 * file leaves byte for byte, external data leave beside the model, and hostile locations are refused. stored/make.py wrote the models. */
#include <math.h>

#include "core/onnx/onnx.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"
#include "tests/core/job/job_support.h"

#define DIR "tests/core/job/stored/"
#define STEP(what) "{\"model\":\"m\",\"seed\":5,\"recipe\":{\"steps\":[{\"prune\":{" what "}}]}}"
#define N_TENSORS 10 /* of all.onnx that are weights, 96 values each */
#define N_EACH 96

static struct rig r;

static void setup(void)
{
	rig_init(&r);
}

static void teardown(void)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/weights.bin", r.dir);
	(void)unlink(path);
	rig_done(&r);
}

static enum pare_code run(const char *job, const char *model, const char *data)
{
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = job;
	rig_file(&r, "model", model);
	if (data != NULL)
		rig_file(&r, "model", data);
	return rig_go(&r);
}

/* A file and the tensors in it. */
struct opened {
	char *bytes;
	size_t n;
	struct pare_model *m;
	struct pare_inventory v;
};

static void open_bytes(struct opened *o, char *bytes, size_t n)
{
	struct pare_err err = {0};

	o->bytes = bytes;
	o->n = n;
	ck_assert_msg(pare_onnx_read((struct pare_span){(const uint8_t *)bytes, n}, &o->m, &err) == PARE_OK, "%s", err.message);
	ck_assert_msg(pare_onnx_inventory(o->m, NULL, 0, &o->v, &err) == PARE_OK, "%s: %s", err.where, err.message);
}

static void opened_done(struct opened *o)
{
	pare_inventory_done(&o->v);
	pare_model_free(o->m);
	free(o->bytes);
}

static double value(const struct opened *o, int p, size_t i)
{
	double d;
	float f;

	if (o->v.weights[p].dtype == PARE_DT_DOUBLE) {
		memcpy(&d, o->v.weights[p].values + 8 * i, sizeof d);
		return d;
	}
	pare_weight_read(&o->v.weights[p], i, 1, &f);
	return (double)f;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int left_of(const struct opened *o, int p)
{
	int n = 0;

	for (size_t i = 0; i < o->v.weights[p].info.n_elems; i++)
		n += fabs(value(o, p, i)) > 0;
	return n;
}

static const struct {
	const char *job;
	int left; /* of all prunable weights */
	int each; /* of every tensor; 0: not said */
} job_table[] = {
    {STEP("\"sparsity\":0.75"), 240, 0},
    {STEP("\"sparsity\":0.5,\"scope\":\"layer\""), 480, 48},
    {STEP("\"sparsity\":0.75,\"schedule\":{\"name\":\"cubic\",\"rounds\":4}"), 240, 0},
    {STEP("\"criterion\":\"random\",\"sparsity\":0.9,\"schedule\":{\"name\":\"linear\",\"rounds\":3}"), 96, 0},
    {STEP("\"criterion\":\"lamp\",\"sparsity\":0.8"), 192, 0},
    {STEP("\"pattern\":\"2:4\""), 480, 48},
    {STEP("\"granularity\":\"block\",\"block\":[2,4],\"sparsity\":0.5,\"scope\":\"layer\""), 480, 48},
    {STEP("\"sparsity\":0.5,\"scope\":\"layer\",\"exclude\":[\"half\",\"double_mm\",\"linear*\"]"), 624, 0},
};

START_TEST(every_place_that_holds_weights)
{
	struct opened before, after;
	int left = 0, prunable = 0;
	size_t n;

	ck_assert_msg(run(job_table[_i].job, DIR "all.onnx", NULL) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	before.bytes = rig_read(DIR "all.onnx", &n);
	open_bytes(&before, before.bytes, n);
	after.bytes = rig_output(&r, "model.onnx", &n);
	open_bytes(&after, after.bytes, n);
	ck_assert_uint_gt(after.n, before.n); /* where it comes from */
	ck_assert_int_eq(after.v.n, before.v.n);
	for (int p = 0; p < before.v.n; p++) {
		const struct pare_weight *w = &before.v.weights[p];

		ck_assert_str_eq(w->info.name, after.v.weights[p].info.name);
		ck_assert_int_eq(w->info.prunable, strcmp(w->info.name, "bias") != 0);
		for (size_t i = 0; i < w->info.n_elems; i++) {
			double was = value(&before, p, i), is = value(&after, p, i);

			ck_assert_msg(is == was || (is == 0 && !signbit(is) && w->info.prunable), "%s[%zu]: %g became %g", w->info.name, i, was, is);
		}
		left += w->info.prunable ? left_of(&after, p) : 0;
		prunable += w->info.prunable;
		if (job_table[_i].each > 0 && w->info.prunable)
			ck_assert_msg(left_of(&after, p) == job_table[_i].each, "%s: %d left", w->info.name, left_of(&after, p));
		if (strstr(job_table[_i].job, "exclude") != NULL && (strcmp(w->info.name, "half") == 0 || strcmp(w->info.name, "double") == 0 || strcmp(w->info.name, "linear.weight") == 0))
			ck_assert_int_eq(left_of(&after, p), N_EACH);
	}
	ck_assert_int_eq(prunable, N_TENSORS);
	ck_assert_int_eq(left, job_table[_i].left);
	opened_done(&before);
	opened_done(&after);
}
END_TEST

/* The global threshold is what sorting says, over all types and places. */
START_TEST(the_smallest_go)
{
	struct opened before, after;
	double all[N_TENSORS * N_EACH];
	size_t n, k = 0;

	ck_assert_int_eq(run(job_table[0].job, DIR "all.onnx", NULL), PARE_OK);
	before.bytes = rig_read(DIR "all.onnx", &n);
	open_bytes(&before, before.bytes, n);
	after.bytes = rig_output(&r, "model.onnx", &n);
	open_bytes(&after, after.bytes, n);
	for (int p = 0; p < before.v.n; p++)
		for (size_t i = 0; i < before.v.weights[p].info.n_elems && before.v.weights[p].info.prunable; i++)
			all[k++] = fabs(value(&before, p, i));
	ck_assert_uint_eq(k, N_TENSORS * N_EACH);
	qsort(all, k, sizeof *all, by_value);
	for (int p = 0; p < before.v.n; p++)
		for (size_t i = 0; i < before.v.weights[p].info.n_elems && before.v.weights[p].info.prunable; i++)
			ck_assert_int_eq(fabs(value(&before, p, i)) >= all[k * 3 / 4], fabs(value(&after, p, i)) > 0);
	opened_done(&before);
	opened_done(&after);
}
END_TEST

START_TEST(the_report_counts)
{
	json_t *v, *layers;
	size_t i;
	json_t *layer;
	char *text;

	ck_assert_int_eq(run(job_table[1].job, DIR "all.onnx", NULL), PARE_OK);
	text = rig_output(&r, "report.json", NULL);
	v = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(v, "final"), "n_nonzero_weights")), 480);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(v, "input"), "n_weights")), 960);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(v, "input"), "n_params")), 972);
	ck_assert(json_integer_value(json_object_get(json_object_get(v, "final"), "coded_bytes")) < json_integer_value(json_object_get(json_object_get(v, "final"), "file_bytes")));
	layers = json_object_get(v, "layers");
	ck_assert_uint_eq(json_array_size(layers), N_TENSORS + 1);
	json_array_foreach(layers, i, layer) {
		const char *name = json_string_value(json_object_get(layer, "name"));

		ck_assert_int_eq(json_integer_value(json_object_get(layer, "depth")), strcmp(name, "then_w") == 0 || strcmp(name, "else_w") == 0 || strcmp(name, "fw") == 0);
	}
	ck_assert_ptr_nonnull(strstr(r.result, "\"n_weights_nonzero\":480"));
	json_decref(v);
	free(text);
}
END_TEST

START_TEST(the_same_bytes_again)
{
	size_t n, m;
	char *first, *second;

	ck_assert_int_eq(run(job_table[3].job, DIR "all.onnx", NULL), PARE_OK);
	first = rig_output(&r, "model.onnx", &n);
	ck_assert_int_eq(run(job_table[3].job, DIR "all.onnx", NULL), PARE_OK);
	second = rig_output(&r, "model.onnx", &m);
	ck_assert_uint_eq(n, m);
	ck_assert_int_eq(memcmp(first, second, n), 0);
	free(first);
	free(second);
}
END_TEST

/* Where it comes from stands in the model and beside it, once, however often the model goes round. */
START_TEST(provenance_is_told)
{
	/* sha256sum of all.onnx */
	static const char hash[] = "f5f26b0781d36dd7fd7b6817ef13ece45ba355cdaebeb96d7a5ba556c82eed1d";
	char *model, *text, path[128];
	size_t n;
	int found = 0;
	json_t *v;

	ck_assert_int_eq(run(job_table[0].job, DIR "all.onnx", NULL), PARE_OK);
	text = rig_output(&r, "provenance.json", NULL);
	v = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(v);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(json_object_get(v, "inputs"), 0), "sha256")), hash);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(v, "job"), "seed")), 5);
	ck_assert_ptr_null(json_object_get(json_object_get(v, "job"), "model"));
	json_decref(v);
	free(text);
	(void)snprintf(path, sizeof path, "%s/model.onnx", r.dir);
	ck_assert_int_eq(run(job_table[0].job, path, NULL), PARE_OK);
	model = rig_output(&r, "model.onnx", &n);
	for (size_t i = 0; i + 11 < n; i++)
		found += memcmp(model + i, "pare.inputs", 11) == 0;
	ck_assert_int_eq(found, 1);
	free(model);
}
END_TEST

static void judge(const char *arguments)
{
	const char *venv = getenv("PARED_VENV"), *home = getenv("HOME");
	char command[1024];

	(void)snprintf(command, sizeof command, "%s%s/bin/python " DIR "judge.py %s", venv != NULL ? venv : home != NULL ? home : "", venv != NULL ? "" : "/.cache/pared/venv", arguments);
	ck_assert_msg(system(command) == 0, "%s", command);
}

START_TEST(onnx_runtime_runs_them)
{
	char arguments[512];

	ck_assert_int_eq(run(job_table[1].job, DIR "all.onnx", NULL), PARE_OK);
	(void)snprintf(arguments, sizeof arguments, DIR "all.onnx %s/model.onnx", r.dir);
	judge(arguments);
	ck_assert_msg(run(job_table[1].job, DIR "model.onnx", DIR "weights.bin") == PARE_OK, "%s: %s", r.err.where, r.err.message);
	(void)snprintf(arguments, sizeof arguments, "--matmul %s/model.onnx %s/weights.bin", r.dir, r.dir);
	judge(arguments);
}
END_TEST

START_TEST(external_data_are_inspected)
{
	rig_forget(&r);
	r.start.kind = "inspect-model";
	rig_file(&r, "model", DIR "weights.bin"); /* the order does not matter */
	rig_file(&r, "model", DIR "model.onnx");
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s", r.err.message);
	ck_assert_ptr_nonnull(strstr(r.result, "\"n_weights\":156"));
	ck_assert_ptr_nonnull(strstr(r.result, "\"executable\":true"));
	ck_assert_ptr_nonnull(strstr(r.result, "\"file_bytes\":856"));
}
END_TEST

/* --- hostile files */

static void put_entry(struct pare_buf *b, const char *key, const char *text)
{
	size_t mark = pare_wire_begin(b, TENSOR_EXTERNAL_DATA);

	pare_wire_put_str(b, ENTRY_KEY, key);
	pare_wire_put_str(b, ENTRY_VALUE, text);
	pare_wire_end(b, mark);
}

/* 4 x cols floats */
static void put_tensor(struct pare_buf *b, const char *name, int64_t rows, int64_t cols, const char *location, const char *offset, const char *length)
{
	size_t mark = pare_wire_begin(b, GRAPH_INITIALIZER);

	pare_wire_put_int(b, TENSOR_DIMS, rows);
	pare_wire_put_int(b, TENSOR_DIMS, cols);
	pare_wire_put_int(b, TENSOR_DATA_TYPE, PARE_DT_FLOAT);
	pare_wire_put_str(b, TENSOR_NAME, name);
	pare_wire_put_int(b, TENSOR_DATA_LOCATION, 1);
	if (location != NULL)
		put_entry(b, "location", location);
	if (offset != NULL)
		put_entry(b, "offset", offset);
	if (length != NULL)
		put_entry(b, "length", length);
	pare_wire_end(b, mark);
}

static const struct {
	const char *location, *offset, *length; /* of w */
	const char *offset2;                    /* of w2, in the same file */
	const char *message;                    /* NULL: all is well */
} hostile_table[] = {
    {"w.bin", "0", "64", "64", NULL},
    {"w.bin", NULL, NULL, "64", NULL},
    {"w.bin", "64", "64", "64", NULL}, /* the same bytes: one tensor */
    {"../w.bin", "0", "64", "64", "must be the bare name"},
    {"/etc/passwd", "0", "64", "64", "must be the bare name"},
    {"sub/w.bin", "0", "64", "64", "must be the bare name"},
    {"sub\\w.bin", "0", "64", "64", "must be the bare name"},
    {"..", "0", "64", "64", "must be the bare name"},
    {".", "0", "64", "64", "must be the bare name"},
    {"", "0", "64", "64", "no location"},
    {NULL, "0", "64", "64", "no location"},
    {"other.bin", "0", "64", "64", "did not come with the model"},
    {"m.onnx", "0", "64", "64", "did not come with the model"},
    {"w.bin", "65", "64", "64", "past the end"},
    {"w.bin", "128", NULL, "64", "past the end"},
    {"w.bin", "18446744073709551615", "64", "64", "past the end"},
    {"w.bin", "18446744073709551616", "64", "64", "decimal numbers"},
    {"w.bin", "-1", "64", "64", "decimal numbers"},
    {"w.bin", "0x0", "64", "64", "decimal numbers"},
    {"w.bin", "", "64", "64", "decimal numbers"},
    {"w.bin", "0", "63", "64", "16 elements of float need 64"},
    {"w.bin", "0", "64", "32", "share some, not all"},
    {"w.bin", "1", "64", "64", "share some, not all"},
};

START_TEST(hostile_locations)
{
	const char *want = hostile_table[_i].message;
	char bytes[128];
	struct pare_buf b;
	size_t graph, node, opset;
	enum pare_code code;

	pare_buf_init(&b, 1 << 20);
	pare_wire_put_int(&b, MODEL_IR_VERSION, 8);
	graph = pare_wire_begin(&b, MODEL_GRAPH);
	put_tensor(&b, "w", 4, 4, hostile_table[_i].location, hostile_table[_i].offset, hostile_table[_i].length);
	put_tensor(&b, "w2", 4, 4, "w.bin", hostile_table[_i].offset2, "64");
	node = pare_wire_begin(&b, GRAPH_NODE);
	pare_wire_put_str(&b, NODE_INPUT, "w");
	pare_wire_put_str(&b, NODE_INPUT, "w2");
	pare_wire_put_str(&b, NODE_OUTPUT, "y");
	pare_wire_put_str(&b, NODE_OP_TYPE, "Strange");
	pare_wire_put_str(&b, NODE_DOMAIN, "somebody.else");
	pare_wire_end(&b, node);
	pare_wire_end(&b, graph);
	opset = pare_wire_begin(&b, MODEL_OPSET_IMPORT);
	pare_wire_put_int(&b, OPSET_VERSION, 17);
	pare_wire_end(&b, opset);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i % 4 == 3 ? 0x3f : (int)i);
	r.start.kind = "run";
	r.start.job = STEP("\"sparsity\":0.5");
	rig_input(&r, "model", "m.onnx", b.data, b.len);
	rig_input(&r, "model", "w.bin", bytes, sizeof bytes);
	pare_buf_done(&b);
	code = rig_go(&r);
	if (want == NULL) {
		char *report, path[128];

		ck_assert_msg(code == PARE_OK, "%s: %s", r.err.where, r.err.message);
		report = rig_output(&r, "report.json", NULL);
		ck_assert_ptr_nonnull(strstr(report, "\"guessed\":true"));
		ck_assert_ptr_nonnull(strstr(report, "does not know"));
		free(report);
		(void)snprintf(path, sizeof path, "%s/w.bin", r.dir);
		ck_assert_int_eq(unlink(path), 0);
		return;
	}
	ck_assert_int_eq(code, PARE_E_MODEL);
	ck_assert_msg(strstr(r.err.message, want) != NULL, "%s: %s", r.err.where, r.err.message);
	ck_assert(!rig_has_output(&r, "model.onnx"));
}
END_TEST

/* --- with a data set */

static void put_product(struct pare_buf *b, const char *in, const char *weight, const char *out)
{
	size_t node = pare_wire_begin(b, GRAPH_NODE);

	pare_wire_put_str(b, NODE_INPUT, in);
	pare_wire_put_str(b, NODE_INPUT, weight);
	pare_wire_put_str(b, NODE_OUTPUT, out);
	pare_wire_put_str(b, NODE_OP_TYPE, "MatMul");
	pare_wire_end(b, node);
}

/* x of [n, 4] through three matrices to 3 numbers, width of them in between. */
static void put_products(struct pare_buf *b, int64_t width)
{
	const int64_t rows[] = {4, width, width}, cols[] = {width, width, 3};
	static const char *const names[] = {"w0", "w1", "w2"};
	size_t graph, value, type, tensor, shape, dim, opset;
	char offset[24], length[24];
	int64_t at = 0;

	pare_wire_put_int(b, MODEL_IR_VERSION, 8);
	graph = pare_wire_begin(b, MODEL_GRAPH);
	for (int i = 0; i < 3; i++) {
		int64_t n_bytes = 4 * rows[i] * cols[i];

		(void)snprintf(offset, sizeof offset, "%lld", (long long)at);
		(void)snprintf(length, sizeof length, "%lld", (long long)n_bytes);
		put_tensor(b, names[i], rows[i], cols[i], "weights.bin", offset, length);
		at += n_bytes;
	}
	put_product(b, "x", "w0", "h");
	put_product(b, "h", "w1", "g");
	put_product(b, "g", "w2", "y");
	value = pare_wire_begin(b, GRAPH_INPUT);
	pare_wire_put_str(b, VALUE_NAME, "x");
	type = pare_wire_begin(b, VALUE_TYPE);
	tensor = pare_wire_begin(b, TYPE_TENSOR);
	pare_wire_put_int(b, TENSOR_TYPE_ELEM, PARE_DT_FLOAT);
	shape = pare_wire_begin(b, TENSOR_TYPE_SHAPE);
	for (int i = 0; i < 2; i++) {
		dim = pare_wire_begin(b, SHAPE_DIM);
		if (i == 1)
			pare_wire_put_int(b, DIM_VALUE, 4);
		pare_wire_end(b, dim);
	}
	pare_wire_end(b, shape);
	pare_wire_end(b, tensor);
	pare_wire_end(b, type);
	pare_wire_end(b, value);
	value = pare_wire_begin(b, GRAPH_OUTPUT);
	pare_wire_put_str(b, VALUE_NAME, "y");
	pare_wire_end(b, value);
	pare_wire_end(b, graph);
	opset = pare_wire_begin(b, MODEL_OPSET_IMPORT);
	pare_wire_put_int(b, OPSET_VERSION, 17);
	pare_wire_end(b, opset);
}

/* One file leaves, also where the job leaves a tensor as it was, and where what it changes is long. */
#define WIDE 2100 /* squared, 17 MB */
#define BESIDE(step) "{\"model\":\"m\",\"dataset\":\"d\",\"recipe\":{\"steps\":[" step "]}}"
static const struct {
	const char *job;
	int64_t width;
} beside_table[] = {
    {BESIDE("{\"prune\":{\"granularity\":\"channel\",\"sparsity\":0.5,\"exclude\":[\"w0\"]}}"), 4},
    {BESIDE("{\"quantize\":{\"exclude\":[\"w0\"]}}"), 4},
    {BESIDE("{\"prune\":{\"sparsity\":0.5,\"exclude\":[\"w0\"]}}"), 4},
    {BESIDE("{\"factorize\":{\"rank\":1,\"exclude\":[\"w0\"]}}"), 4},
    {BESIDE("{\"prune\":{\"sparsity\":0.5}}"), WIDE},
};

START_TEST(what_stands_beside_a_model_moves_into_it)
{
	int64_t width = beside_table[_i].width;
	size_t n, n_external = 0, n_weights = (size_t)(4 * width + width * width + width * 3);
	float *weights = calloc(n_weights, sizeof *weights);
	struct pare_model *m = NULL;
	struct pare_buf b;
	char *product;
	json_t *v;

	ck_assert_ptr_nonnull(weights);
	for (size_t i = 0; i < n_weights; i++)
		weights[i] = (float)(i * 7 % 11) - 5.3f;
	pare_buf_init(&b, 1 << 20);
	put_products(&b, width);
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = beside_table[_i].job;
	rig_input(&r, "model", "m.onnx", b.data, b.len);
	rig_input(&r, "model", "weights.bin", weights, n_weights * sizeof *weights);
	rig_file(&r, "data", "tests/data/iris.csv");
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	ck_assert(!rig_has_output(&r, "weights.bin"));
	product = rig_output(&r, "model.onnx", &n);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)product, n}, &m, &r.err), PARE_OK);
	for (int32_t i = 0; i < m->graph.n_inits; i++)
		n_external += m->graph.values[m->graph.inits[i]].init->external;
	ck_assert_uint_eq(n_external, 0);
	v = rig_report(&r);
	ck_assert_double_eq(rig_num(v, "input.file_bytes"), (double)(b.len + n_weights * sizeof *weights));
	json_decref(v);
	pare_buf_done(&b);
	pare_model_free(m);
	free(product);
	free(weights);
}
END_TEST

/* A model cut short anywhere gives an error, never a model. */
START_TEST(truncated_files)
{
	size_t n, m;
	char *model = rig_read(DIR "model.onnx", &n), *data = rig_read(DIR "weights.bin", &m);

	for (size_t cut = 0; cut < 4; cut++) {
		rig_forget(&r);
		r.start.kind = "run";
		r.start.job = STEP("\"sparsity\":0.5");
		rig_input(&r, "model", "model.onnx", model, cut < 2 ? n * (cut + 1) / 3 : n);
		rig_input(&r, "model", "weights.bin", data, cut < 2 ? m : m - 1 - (cut - 2) * 500);
		ck_assert_int_ne(rig_go(&r), PARE_OK);
		ck_assert(!rig_has_output(&r, "model.onnx"));
		ck_assert(!rig_has_output(&r, "weights.bin"));
	}
	free(model);
	free(data);
}
END_TEST

START_TEST(one_model_at_a_time)
{
	rig_forget(&r);
	r.start.kind = "run";
	r.start.job = STEP("\"sparsity\":0.5");
	rig_file(&r, "model", DIR "model.onnx");
	rig_file(&r, "model", DIR "all.onnx");
	ck_assert_int_eq(rig_go(&r), PARE_E_INVALID);
	ck_assert_ptr_nonnull(strstr(r.err.message, "exactly one model"));
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("stored");
	TCase *t = tcase_create("jobs");
	SRunner *runner;
	int failed;

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, every_place_that_holds_weights, 0, (int)(sizeof job_table / sizeof job_table[0]));
	tcase_add_test(t, the_smallest_go);
	tcase_add_test(t, the_report_counts);
	tcase_add_test(t, the_same_bytes_again);
	tcase_add_test(t, provenance_is_told);
	tcase_add_test(t, onnx_runtime_runs_them);
	tcase_add_test(t, external_data_are_inspected);
	tcase_add_loop_test(t, what_stands_beside_a_model_moves_into_it, 0, sizeof beside_table / sizeof *beside_table);
	tcase_add_loop_test(t, hostile_locations, 0, (int)(sizeof hostile_table / sizeof hostile_table[0]));
	tcase_add_test(t, truncated_files);
	tcase_add_test(t, one_model_at_a_time);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
