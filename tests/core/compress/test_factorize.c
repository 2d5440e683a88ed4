/* The decomposition against numpy's, factors that multiply out to what they stand for, and graphs that compute the same with them. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/compress/factorize.h"
#include "core/compress/svd.h"
#include "core/graph/net.h"
#include "core/onnx/onnx.h"
#include "tests/support/graph_builder.h"
#include "tests/support/graph_onnx.h"

static struct pare_err err;

/* numpy.linalg.svd(a, compute_uv=False) of a[i, j] = sin(1 + 3 i + 7 j + i j), 4 x 6, rounded to float32 */
static const double golden[4] = {1.9474369908656253, 1.8290569526800453, 1.5763504959235295, 1.4008336045173477};

static void fill(float *a, size_t rows, size_t cols, int turned)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++)
			a[turned ? j * rows + i : i * cols + j] = (float)sin((double)(1 + 3 * i + 7 * j + i * j));
}

START_TEST(singular_values_are_those_of_numpy)
{
	struct pare_svd d;
	float a[24];
	double sum = 0;

	fill(a, 4, 6, _i);
	ck_assert_int_eq(pare_svd_init(&d, a, _i ? 6 : 4, _i ? 4 : 6, NULL, &err), PARE_OK);
	ck_assert_uint_eq(d.n, 4);
	ck_assert_uint_eq(d.n_rank, 4);
	for (size_t k = 0; k < 4; k++) {
		ck_assert_double_eq_tol(d.s[k], golden[k], 1e-12);
		sum += golden[k] * golden[k];
	}
	ck_assert_double_eq_tol(d.energy, sum, 1e-12);
	ck_assert_double_eq_tol(pare_svd_share(&d, 2), (golden[0] * golden[0] + golden[1] * golden[1]) / sum, 1e-12);
	ck_assert_uint_eq(pare_svd_rank(&d, pare_svd_share(&d, 2) - 1e-9), 2);
	ck_assert_uint_eq(pare_svd_rank(&d, pare_svd_share(&d, 2) + 1e-9), 3);
	ck_assert_uint_eq(pare_svd_rank(&d, 1), 4);
	pare_svd_done(&d);
}
END_TEST

static double distance(const float *a, const float *left, const float *right, size_t rows, size_t cols, size_t rank)
{
	double off = 0;

	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++) {
			double sum = 0;

			for (size_t k = 0; k < rank; k++)
				sum += (double)left[i * rank + k] * (double)right[k * cols + j];
			off += (sum - (double)a[i * cols + j]) * (sum - (double)a[i * cols + j]);
		}
	return off;
}

/* Eckart and Young: what a rank misses is the squares of the singular values that it leaves out. */
static const struct {
	size_t rows, cols;
} shapes[] = {{1, 1}, {1, 9}, {30, 7}, {17, 41}, {64, 64}, {100, 20}};

START_TEST(no_rank_misses_more_than_it_must)
{
	size_t rows = shapes[_i].rows, cols = shapes[_i].cols, least = rows < cols ? rows : cols;
	float *a = calloc(rows * cols, sizeof *a), *left = calloc(rows * least, sizeof *left), *right = calloc(cols * least, sizeof *right);
	struct pare_rng rng;
	struct pare_svd d;

	pare_rng_init(&rng, 7, "svd", 0);
	for (size_t i = 0; i < rows * cols; i++)
		a[i] = pare_rng_uniform(&rng) - 0.5f;
	ck_assert_int_eq(pare_svd_init(&d, a, rows, cols, NULL, &err), PARE_OK);
	ck_assert_uint_eq(d.n_rank, least);
	for (size_t rank = 1; rank <= least; rank += 1 + least / 5) {
		pare_svd_factors(&d, a, rank, left, right);
		ck_assert_double_eq_tol(distance(a, left, right, rows, cols, rank), (1 - pare_svd_share(&d, rank)) * d.energy, 1e-6 * d.energy);
	}
	pare_svd_done(&d);
	free(a);
	free(left);
	free(right);
}
END_TEST

/* Rounding is no rank: an outer product of floats has one, zeros have none. */
START_TEST(rank_is_what_floats_can_tell)
{
	static float a[12 * 9], left[12], right[9];
	atomic_bool canceled = true;
	struct pare_svd d;

	ck_assert_int_eq(pare_svd_init(&d, a, 12, 9, NULL, &err), PARE_OK);
	ck_assert_uint_eq(d.n_rank, 0);
	ck_assert_uint_eq(pare_svd_rank(&d, 0.9), 0);
	pare_svd_done(&d);
	for (size_t i = 0; i < 12; i++)
		for (size_t j = 0; j < 9; j++)
			a[i * 9 + j] = (float)(i + 1) * (float)(j + 2);
	ck_assert_int_eq(pare_svd_init(&d, a, 12, 9, NULL, &err), PARE_OK);
	ck_assert_uint_eq(d.n_rank, 1);
	pare_svd_factors(&d, a, 1, left, right);
	ck_assert_double_lt(distance(a, left, right, 12, 9, 1), 1e-6);
	pare_svd_done(&d);
	ck_assert_int_eq(pare_svd_init(&d, a, 12, 9, &canceled, &err), PARE_E_CANCELED);
	pare_svd_done(&d);
}
END_TEST

/* --- graphs */

#define ROWS 3
#define CLASSES 6
static struct pare_rng numbers;

static float *random_floats(size_t n)
{
	float *x = calloc(n, sizeof *x);

	for (size_t i = 0; i < n; i++)
		x[i] = pare_rng_uniform(&numbers) - 0.5f;
	return x;
}

/* A weight of rows x inputs x size that has rank 2, as a matrix of rows and as one of inputs. */
static void flat_init(struct gb *b, const char *name, const char *shape, size_t rows, size_t inputs, size_t size)
{
	float *w = calloc(rows * inputs * size, sizeof *w), *u = random_floats(2 * rows), *v = random_floats(2 * inputs), *core = random_floats(4 * size);

	for (size_t i = 0; i < rows * inputs * size; i++)
		for (size_t k = 0; k < 4; k++)
			w[i] += u[k / 2 * rows + i / size / inputs] * v[k % 2 * inputs + i / size % inputs] * core[k * size + i % size];
	gb_init(b, name, shape, w);
	free(w);
	free(u);
	free(v);
	free(core);
}

/* Windows of every kind; c2 (groups) and the weight s (read twice) cannot be factorized. */
static void build(struct pare_buf *file)
{
	static const int64_t twos[] = {2, 2, 2, 2}, ones[] = {1, 1, 1, 1};
	struct gb *b = gb_new(13);

	pare_rng_init(&numbers, 5, "graph", 0);
	gb_input(b, "x", "N 4 8 8");
	flat_init(b, "w1", "8 4 3 3", 8, 4, 9);
	flat_init(b, "b1", "8", 1, 8, 1);
	flat_init(b, "w2", "8 4 1 1", 8, 4, 1);
	flat_init(b, "w3", "8 8 3 3", 8, 8, 9);
	flat_init(b, "w4", "8 8 3 3", 8, 8, 9);
	flat_init(b, "w5", "6 128", 6, 128, 1);
	flat_init(b, "b5", "6", 1, 6, 1);
	flat_init(b, "w6", "6 6", 6, 6, 1);
	flat_init(b, "s", "6 6", 6, 6, 1);
	gb_node(b, "Conv", "c1", "x w1 b1", "h1");
	gb_attr_ints(b, "strides", twos, 2);
	gb_attr_ints(b, "pads", ones, 4);
	gb_attr_ints(b, "kernel_shape", (const int64_t[]){3, 3}, 2);
	gb_node(b, "Conv", "c2", "h1 w2", "h2");
	gb_attr_int(b, "group", 2);
	gb_node(b, "Conv", "c3", "h2 w3", "h3");
	gb_attr_string(b, "auto_pad", "SAME_UPPER");
	gb_node(b, "Relu", "act", "h3", "h4");
	gb_node(b, "Conv", "c4", "h4 w4", "h5");
	gb_attr_ints(b, "dilations", twos, 2);
	gb_attr_ints(b, "pads", twos, 4);
	gb_node(b, "Flatten", "flat", "h5", "h6");
	gb_node(b, "Gemm", "fc", "h6 w5 b5", "h7");
	gb_attr_int(b, "transB", 1);
	gb_attr_float(b, "alpha", 0.5f);
	gb_attr_float(b, "beta", 2);
	gb_node(b, "MatMul", "m1", "h7 w6", "h8");
	gb_node(b, "MatMul", "m2", "h8 s", "h9");
	gb_node(b, "MatMul", "m3", "h9 s", "y");
	gb_output(b, "y");
	pare_buf_init(file, 1 << 20);
	graph_onnx(gb_model(b), file);
	ck_assert_int_eq(pare_buf_status(file, &err), PARE_OK);
	gb_free(b);
}

static struct pare_model *read_model(const struct pare_buf *file)
{
	struct pare_model *m;

	ck_assert_msg(pare_onnx_read((struct pare_span){(const uint8_t *)file->data, file->len}, &m, &err) == PARE_OK, "%s", err.message);
	return m;
}

static int64_t infer(const struct pare_model *m, const float *x, float *y)
{
	struct pare_net_options opt = {.n_threads = 1, .max_batch = ROWS};
	struct pare_net *net;
	int64_t macs;

	ck_assert_msg(pare_net_new(m, &opt, &net, &err) == PARE_OK, "%s", err.message);
	ck_assert_msg(pare_net_infer(net, x, ROWS, y, &err) == PARE_OK, "%s", err.message);
	macs = pare_net_macs(net);
	pare_net_free(net);
	return macs;
}

START_TEST(graphs_compute_the_same)
{
	static const char *const names[] = {"w1", "w3", "w4", "w5", "w6"}, *const nodes[] = {"c1.factor", "c3.factor", "c4.factor", "fc.factor", "m1.factor"};
	struct pare_factorize_options o = {.by = _i ? PARE_FACTOR_ENERGY : PARE_FACTOR_RANK, .amount = _i ? 1 - 1e-12 : 2, .tucker = _i};
	float x[ROWS * 4 * 8 * 8], was[ROWS * CLASSES], is[ROWS * CLASSES], scale = 0;
	struct pare_factor *layers;
	struct pare_buf file, out;
	struct pare_model *m, *f;
	struct pare_rewrite rw;
	int64_t macs, macs_saved = 0;
	int n;

	build(&file);
	m = read_model(&file);
	ck_assert_int_eq(pare_factorize_find(m, &o, &layers, &n, &err), PARE_OK);
	ck_assert_int_eq(n, 5);
	ck_assert_int_eq(pare_factorize(m, &o, layers, n, &rw, &err), PARE_OK);
	pare_buf_init(&out, 1 << 20);
	ck_assert_int_eq(pare_onnx_rewrite(m, &rw, &out, &err), PARE_OK);
	f = read_model(&out);
	ck_assert_int_eq(graph_onnx_stale_infos(f), 0);
	for (int i = 0; i < n; i++) {
		int64_t at = i < 3 ? 16 : 1; /* positions */

		ck_assert_str_eq(m->graph.values[layers[i].weight].name, names[i]);
		ck_assert_int_eq(layers[i].rank, 2);
		ck_assert_int_eq(layers[i].inputs, _i && i < 3 ? 2 : 0);
		ck_assert_double_gt(layers[i].energy, 1 - 1e-9);
		ck_assert_int_ge(pare_graph_find_value(&f->graph, nodes[i]), 0);
		macs_saved += at * (layers[i].rows * layers[i].cols - 2 * layers[i].rows);
		if (layers[i].inputs > 0) /* the first factor stands at positions of the input */
			macs_saved -= (i == 0 ? 64 * 4 : 16 * 8) * 2 + at * 2 * 2 * 9;
		else
			macs_saved -= at * 2 * layers[i].cols;
	}
	for (size_t i = 0; i < sizeof x / sizeof x[0]; i++)
		x[i] = pare_rng_uniform(&numbers) - 0.5f;
	macs = infer(m, x, was);
	ck_assert_int_eq(macs - infer(f, x, is), macs_saved);
	for (size_t i = 0; i < ROWS * CLASSES; i++)
		scale = fmaxf(scale, fabsf(was[i]));
	ck_assert_float_gt(scale, 0);
	for (size_t i = 0; i < ROWS * CLASSES; i++)
		ck_assert_float_eq_tol(was[i], is[i], 1e-4f * scale);
	pare_rewrite_done(&rw);
	pare_model_free(f);
	pare_model_free(m);
	pare_free(layers);
	pare_buf_done(&out);
	pare_buf_done(&file);
}
END_TEST

/* --- one budget for all */

#define DEPTH 3
static const int widths[DEPTH + 1] = {12, 16, 10, 14};

/* Layers whose singular values fall off by 0.4, 0.7 and 0.95. */
static void build_decaying(struct pare_buf *file)
{
	static const float decay[DEPTH] = {0.4f, 0.7f, 0.95f};
	struct gb *b = gb_new(13);
	char name[16], shape[16], in[32], out[16];

	pare_rng_init(&numbers, 9, "decay", 0);
	gb_input(b, "x", "N 12");
	for (int l = 0; l < DEPTH; l++) {
		size_t rows = (size_t)widths[l], cols = (size_t)widths[l + 1], least = rows < cols ? rows : cols;
		float *w = calloc(rows * cols, sizeof *w), scale = l == 1 ? 100 : 1;

		for (size_t k = 0; k < least; k++, scale *= decay[l]) {
			float *u = random_floats(rows), *v = random_floats(cols);

			for (size_t i = 0; i < rows * cols; i++)
				w[i] += scale * u[i / cols] * v[i % cols];
			free(u);
			free(v);
		}
		(void)snprintf(name, sizeof name, "w%d", l);
		(void)snprintf(shape, sizeof shape, "%zu %zu", rows, cols);
		(void)snprintf(in, sizeof in, l == 0 ? "x w0" : "h%d w%d", l, l);
		(void)snprintf(out, sizeof out, l + 1 == DEPTH ? "y" : "h%d", l + 1);
		gb_init(b, name, shape, w);
		gb_node(b, "MatMul", name, in, out);
		free(w);
	}
	gb_output(b, "y");
	pare_buf_init(file, 1 << 20);
	graph_onnx(gb_model(b), file);
	gb_free(b);
}

static int layer_cost(int l, int rank)
{
	int whole = widths[l] * widths[l + 1];

	return rank == 0 || rank * (widths[l] + widths[l + 1]) >= whole ? whole : rank * (widths[l] + widths[l + 1]);
}

static double layer_lost(const struct pare_svd *d, int l, int rank)
{
	return layer_cost(l, rank) == layer_cost(l, 0) ? 0 : -log(pare_svd_share(d, (size_t)(rank > 0 ? rank : 1)));
}

/* The least, by -ln of what is kept, that any ranks lose within a budget, by trying all. */
static double least_lost(const struct pare_svd *d, double budget)
{
	double best = INFINITY;

	for (int i = 0; i < 12 * 10 * 10; i++) {
		const int ranks[DEPTH] = {i % 12, i / 12 % 10, i / 120};
		double lost = 0, cost = 0;

		for (int l = 0; l < DEPTH; l++) {
			lost += layer_lost(&d[l], l, ranks[l]);
			cost += layer_cost(l, ranks[l]);
		}
		if (cost <= budget)
			best = fmin(best, lost);
	}
	return best;
}

static const struct {
	enum pare_factor_by by;
	double amount;
} shared_table[] = {{PARE_FACTOR_RATIO, 0.8}, {PARE_FACTOR_RATIO, 0.5}, {PARE_FACTOR_RATIO, 0.3}, {PARE_FACTOR_ENERGY, 0.95}, {PARE_FACTOR_ENERGY, 0.7}};

/* A budget is kept, loses no more than the best ranks for a sixth less of it, and less than the same ratio for every layer. */
START_TEST(a_budget_goes_where_it_is_needed)
{
	struct pare_factorize_options o = {.by = shared_table[_i].by, .amount = shared_table[_i].amount, .global = true};
	struct pare_factor *layers;
	struct pare_svd d[DEPTH];
	struct pare_buf file;
	struct pare_model *m;
	struct pare_rewrite rw;
	double lost = 0, cost = 0, whole = 0, uniform = 0;
	int n;

	build_decaying(&file);
	m = read_model(&file);
	ck_assert_int_eq(pare_factorize_find(m, &o, &layers, &n, &err), PARE_OK);
	ck_assert_int_eq(n, DEPTH);
	ck_assert_msg(pare_factorize(m, &o, layers, n, &rw, &err) == PARE_OK, "%s", err.message);
	for (int l = 0; l < DEPTH; l++) {
		float *w = calloc((size_t)layer_cost(l, 0), sizeof *w);

		ck_assert_int_eq(pare_tensor_read_f32(m->graph.values[layers[l].weight].init, w, &err), PARE_OK);
		ck_assert_int_eq(pare_svd_init(&d[l], w, (size_t)widths[l], (size_t)widths[l + 1], NULL, &err), PARE_OK);
		free(w);
		lost -= log(layers[l].energy);
		ck_assert_double_eq_tol(-log(layers[l].energy), layer_lost(&d[l], l, (int)layers[l].rank), 1e-9);
		cost += layer_cost(l, (int)layers[l].rank);
		whole += layer_cost(l, 0);
		uniform += layer_lost(&d[l], l, (int)(o.amount * layer_cost(l, 0) / (widths[l] + widths[l + 1])));
	}
	if (o.by == PARE_FACTOR_RATIO) {
		ck_assert_double_le(cost, o.amount * whole);
		ck_assert_double_le(lost, least_lost(d, o.amount * whole * 5 / 6));
		ck_assert_double_lt(lost, uniform);
	} else {
		ck_assert_double_ge(exp(-lost / DEPTH), o.amount);
		ck_assert_double_lt(exp(-least_lost(d, cost * 5 / 6) / DEPTH), o.amount);
	}
	for (int l = 0; l < DEPTH; l++)
		pare_svd_done(&d[l]);
	pare_rewrite_done(&rw);
	pare_free(layers);
	o.by = PARE_FACTOR_RATIO;
	o.amount = 0.01;
	ck_assert_int_eq(pare_factorize_find(m, &o, &layers, &n, &err), PARE_OK);
	ck_assert_int_eq(pare_factorize(m, &o, layers, n, &rw, &err), PARE_E_INVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "no ranks come down to"));
	pare_rewrite_done(&rw);
	pare_free(layers);
	pare_model_free(m);
	pare_buf_done(&file);
}
END_TEST

/* Convolutions count at all their positions, in three factors, too. */
START_TEST(a_budget_is_of_multiplications)
{
	struct pare_factorize_options o = {.by = PARE_FACTOR_RATIO, .amount = 0.4, .global = true, .by_macs = true, .tucker = _i};
	float x[ROWS * 4 * 8 * 8] = {0}, y[ROWS * CLASSES];
	struct pare_factor *layers;
	struct pare_buf file, out;
	struct pare_model *m, *f;
	struct pare_rewrite rw;
	int64_t whole = 0, rest;
	int n;

	build(&file);
	m = read_model(&file);
	ck_assert_int_eq(pare_factorize_find(m, &o, &layers, &n, &err), PARE_OK);
	for (int i = 0; i < n; i++) {
		layers[i].positions = i < 3 ? 16 : 1;
		whole += (int64_t)layers[i].positions * layers[i].rows * layers[i].cols;
	}
	rest = infer(m, x, y) - whole;
	ck_assert_msg(pare_factorize(m, &o, layers, n, &rw, &err) == PARE_OK, "%s", err.message);
	pare_buf_init(&out, 1 << 20);
	ck_assert_int_eq(pare_onnx_rewrite(m, &rw, &out, &err), PARE_OK);
	f = read_model(&out);
	ck_assert_int_le(infer(f, x, y) - rest, (int64_t)(0.4 * (double)whole));
	for (int i = 0; i < n; i++) /* all weights have rank 2, which is within the budget */
		ck_assert_double_gt(layers[i].energy, 1 - 1e-9);
	pare_rewrite_done(&rw);
	pare_model_free(f);
	pare_model_free(m);
	pare_free(layers);
	pare_buf_done(&out);
	pare_buf_done(&file);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/compress/factorize");
	TCase *t = tcase_create("factorize");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, singular_values_are_those_of_numpy, 0, 2);
	tcase_add_loop_test(t, no_rank_misses_more_than_it_must, 0, (int)(sizeof shapes / sizeof shapes[0]));
	tcase_add_test(t, rank_is_what_floats_can_tell);
	tcase_add_loop_test(t, a_budget_goes_where_it_is_needed, 0, (int)(sizeof shared_table / sizeof shared_table[0]));
	tcase_add_loop_test(t, a_budget_is_of_multiplications, 0, 2);
	tcase_add_loop_test(t, graphs_compute_the_same, 0, 2);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
