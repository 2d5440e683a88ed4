/* Shrinking as a property: on a random graph, any units of any granularity that leave something of each group can be taken
 * out; the file that comes out reads, plans and computes what the masked net computes, and holds no index that was removed. Half of
 * the graphs leave the size of their images, or the length of their sequences, open; where such a one takes rows of twice the size, too, so does
 * the file, with the same result as the masked net.
 * With PARED_SHRINK_OUT set to a directory the pairs of files are left there, for other runtimes to agree. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/graph/net_view.h"
#include "core/onnx/onnx.h"
#include "core/prune/shrink.h"
#include "tests/support/graph_onnx.h"
#include "tests/support/graph_random.h"
#include "tests/support/net_check.h"

#define ROWS 3
#define N_GRAPHS 3000
#define FILE_MAX ((size_t)4 << 20)

#define ck_ok(call) \
	do { \
		enum pare_code ck_code_ = (call); \
		ck_assert_msg(ck_code_ == PARE_OK, "seed %llu: %s: %s: %s", (unsigned long long)seed, #call, err.where, err.message); \
	} while (0)

struct half { /* a file, and the net over it */
	struct pare_buf file;
	struct pare_model *model;
	struct pare_net *net;
};

/* Sizes that the file leaves open are times those of row. */
static enum pare_code make_net(struct half *h, const struct pare_row_shape *row, int times, struct pare_net **out, struct pare_err *err)
{
	const struct pare_net_options opt = {.n_threads = 1, .max_batch = ROWS, .training = false, .seed = 1};
	const struct pare_value *v = &h->model->graph.values[h->model->graph.inputs[0]];
	struct pare_row_shape rows = *row;
	enum pare_code code;

	for (int k = 0; k < rows.n_dims; k++)
		rows.dims[k] *= v->dims[k + 1] < 0 ? times : 1;
	code = pare_model_set_rows(h->model, &rows, 1, err);
	return code == PARE_OK ? pare_net_new(h->model, &opt, out, err) : code;
}

static void open_half(struct half *h, const struct pare_row_shape *row, uint64_t seed)
{
	struct pare_err err = {0};

	ck_ok(pare_onnx_read((struct pare_span){(const uint8_t *)h->file.data, h->file.len}, &h->model, &err));
	ck_ok(make_net(h, row, 1, &h->net, &err));
}

static void close_half(struct half *h)
{
	pare_net_free(h->net);
	pare_model_free(h->model);
	pare_buf_done(&h->file);
}

static void run_half(struct half *h, const float *x, float *y, uint64_t seed)
{
	struct pare_err err = {0};

	ck_ok(pare_net_infer(h->net, x, ROWS, y, &err));
}

/* Any share of each group, but not all of it. Returns units removed. */
static int cut_some(struct pare_cut *cut, const struct pare_structures *g, struct pare_rng *r)
{
	int n = 0;

	for (int k = 0; k < g->n_groups; k++) {
		const struct pare_group *gr = &g->groups[k];
		double share = (double)pare_rng_uniform(r);
		int left = 0;

		for (int u = gr->first; u < gr->first + gr->n; u++)
			left += !pare_cut_has(cut, g, u);
		for (int u = gr->first; u < gr->first + gr->n && left > 1; u++)
			if (!pare_cut_has(cut, g, u) && (double)pare_rng_uniform(r) < share && pare_cut_unit(cut, g, u)) {
				left--;
				n++;
			}
	}
	return n;
}

/* Each with even odds, but for what would leave a concatenation with nothing. */
static int cut_layers(struct pare_cut *cut, const struct pare_structures *g, struct pare_rng *r)
{
	int n = 0;

	for (int u = 0; u < g->n_units; u++)
		if ((double)pare_rng_uniform(r) < 0.5 && pare_cut_unit(cut, g, u)) {
			ck_assert(pare_cut_has(cut, g, u));
			n++;
		}
	return n;
}

/* Layers first, or last. */
static enum pare_granularity granularity_at(uint64_t seed, int step)
{
	if (step == ((seed & 1) == 0 ? 0 : 2))
		return PARE_GRANULARITY_LAYER;
	return (seed >> 1 & 1) == (uint64_t)(step == 1) ? PARE_GRANULARITY_CHANNEL : PARE_GRANULARITY_HEAD;
}

static int64_t n_params(const struct pare_net *net)
{
	int64_t n = 0;

	for (int p = 0; p < pare_net_n_params(net); p++)
		n += (int64_t)pare_net_param(net, p)->n_elems;
	return n;
}

static void keep_file(const struct half *h, uint64_t seed, const char *what)
{
	const char *dir = getenv("PARED_SHRINK_OUT");
	char path[512];
	FILE *f;

	if (dir == NULL)
		return;
	(void)snprintf(path, sizeof path, "%s/%llu.%s.onnx", dir, (unsigned long long)seed, what);
	f = fopen(path, "wb");
	ck_assert(f != NULL);
	ck_assert_uint_eq(fwrite(h->file.data, 1, h->file.len, f), h->file.len);
	ck_assert_int_eq(fclose(f), 0);
}

/* The masked weights in the place of the file's. */
static void write_masked(const struct half *h, uint64_t seed)
{
	struct half masked = {.model = NULL};
	struct pare_err err = {0};

	pare_buf_init(&masked.file, FILE_MAX);
	ck_ok(pare_onnx_write(h->model, &masked.file, &err));
	keep_file(&masked, seed, "masked");
	pare_buf_done(&masked.file);
}

static void compare(const float *a, const float *b, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabsf(a[i] - b[i]) <= 1e-4f * (1.0f + fabsf(a[i])), "seed %llu: output %zu is %g masked and %g shrunk", (unsigned long long)seed, i,
		    (double)a[i], (double)b[i]);
}

struct tally {
	int units, layers, groups, graphs, unpruned, larger;
};

/* Types and shapes of all that is computed, so that the file has value_info to be kept right. */
static void note_shapes(struct gb *b)
{
	struct pare_model *m = gb_model(b);
	struct pare_net *net = nc_net(b, 1, ROWS, false);

	for (int32_t i = 0; i < m->graph.n_values; i++) {
		struct pare_value *v = &m->graph.values[i];
		const struct pare_shape *s = pare_net_shape_of(net, i);

		if (v->producer < 0)
			continue;
		v->dtype = pare_net_dtype_of(net, i);
		v->n_dims = s->n_dims;
		for (int k = 0; k < s->n_dims; k++)
			v->dims[k] = s->batch & PARE_BIT(k) ? PARE_DIM_UNKNOWN : s->dims[k];
	}
	pare_net_free(net);
}

static struct pare_row_shape row_of(struct gb *b)
{
	const struct pare_graph *g = &gb_model(b)->graph;
	const struct pare_value *v = &g->values[g->inputs[0]];
	struct pare_row_shape row = {.name = v->name, .n_dims = v->n_dims - 1};

	memcpy(row.dims, v->dims + 1, (size_t)row.n_dims * sizeof v->dims[0]);
	return row;
}

/* Height and width of [N, c, 8, 8], the length of [N, s, d]. Of what is computed only the output's shape is said. */
static void leave_open(struct gb *b)
{
	struct pare_graph *g = &gb_model(b)->graph;
	struct pare_value *v = &g->values[g->inputs[0]], *y = &g->values[g->outputs[0]];

	y->n_dims = 2;
	y->dims[0] = PARE_DIM_UNKNOWN;
	y->dims[1] = 5;
	if (v->n_dims == 4)
		v->dims[2] = v->dims[3] = PARE_DIM_UNKNOWN;
	else
		v->dims[1] = PARE_DIM_UNKNOWN;
}

/* Rows of twice the size, where the graph takes them: not where one of its numbers says that they are of this size, be it that an image becomes
 * several rows then. */
static int compare_larger(struct half *was, struct half *now, const struct pare_row_shape *row, uint64_t seed)
{
	static float x[ROWS * 3 * 16 * 16], y[2][ROWS * 5];
	struct half *const half[] = {was, now};
	struct pare_err err = {0};

	for (int i = 0; i < 2; i++) {
		struct pare_net *net = NULL;
		int n_dims;
		int64_t dims[PARE_MAX_DIMS];
		enum pare_code code = make_net(half[i], row, 2, &net, &err);

		if (i == 0 && (code != PARE_OK || pare_net_output_shape(net, 0, &n_dims, dims) != 5)) {
			pare_net_free(net);
			return 0;
		}
		ck_ok(code);
		ck_assert_uint_eq(pare_net_output_shape(net, 0, &n_dims, dims), 5);
		nc_fill(x, sizeof x / sizeof x[0], seed);
		ck_ok(pare_net_infer(net, x, ROWS, y[i], &err));
		pare_net_free(net);
	}
	compare(y[0], y[1], ROWS * 5, seed);
	return 1;
}

static void one_graph(uint64_t seed, struct tally *t)
{
	bool open = seed / 2 % 2 == 0;
	struct gb *b = graph_random(seed, open);
	const struct pare_row_shape row = row_of(b);
	struct half was = {.model = NULL}, now = {.model = NULL};
	struct pare_rewrite rw;
	struct pare_mask mask;
	struct pare_cut cut;
	struct pare_rng r;
	struct pare_err err = {0};
	float x[ROWS * 3 * 8 * 8], masked[ROWS * 5], shrunk[ROWS * 5];
	int n = 0;

	pare_rng_init(&r, seed, "test", 78);
	pare_buf_init(&was.file, FILE_MAX);
	pare_buf_init(&now.file, FILE_MAX);
	if (open)
		leave_open(b);
	else
		note_shapes(b);
	graph_onnx(gb_model(b), &was.file);
	open_half(&was, &row, seed);
	ck_ok(pare_mask_init(&mask, was.net, &err));
	ck_ok(pare_cut_init(&cut, was.net, &err));
	for (int step = 0; step < 3; step++) {
		enum pare_granularity what = granularity_at(seed, step);
		struct pare_structures *g = NULL;

		ck_ok(pare_structures_new(was.net, what, NULL, &g, &err));
		if (what == PARE_GRANULARITY_LAYER)
			t->layers += cut_layers(&cut, g, &r);
		else
			n += cut_some(&cut, g, &r);
		t->groups += g->n_groups;
		pare_structures_free(g);
	}
	pare_cut_mask(&cut, was.net, &mask);
	nc_fill(x, sizeof x / sizeof x[0], seed);
	run_half(&was, x, masked, seed);
	ck_ok(pare_net_store(was.net, was.model, &err));
	write_masked(&was, seed);
	ck_ok(pare_shrink(was.net, was.model, &cut, NULL, &rw, &err));
	ck_ok(pare_onnx_rewrite(was.model, &rw, &now.file, &err));
	keep_file(&now, seed, "shrunk");
	open_half(&now, &row, seed);
	ck_assert_int_eq(graph_onnx_stale_infos(now.model), 0);
	run_half(&now, x, shrunk, seed);
	compare(masked, shrunk, ROWS * 5, seed);
	if (open)
		t->larger += compare_larger(&was, &now, &row, seed);
	ck_assert_msg(n == 0 || n_params(now.net) < n_params(was.net), "seed %llu: %d units gone, parameters as before", (unsigned long long)seed, n);
	t->units += n;
	t->graphs++;
	t->unpruned += n == 0;
	pare_rewrite_done(&rw);
	pare_cut_done(&cut);
	pare_mask_done(&mask);
	close_half(&now);
	close_half(&was);
	gb_free(b);
}

START_TEST(shrunk_is_masked)
{
	const char *only = getenv("PARED_SHRINK_SEED");
	struct tally t = {0};
	uint64_t first = only != NULL ? strtoull(only, NULL, 10) : 1, last = only != NULL ? first : N_GRAPHS;

	for (uint64_t seed = first; seed <= last; seed++)
		one_graph(seed, &t);
	printf("shrunk %d graphs: %d groups, %d units and %d layers removed, %d graphs without units, %d run with larger rows\n", t.graphs, t.groups, t.units, t.layers, t.unpruned, t.larger);
	ck_assert(only != NULL || (t.larger > t.graphs / 10 && t.layers > t.graphs / 20 && t.units > 5 * t.graphs && t.unpruned < t.graphs / 10));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shrink_random");
	TCase *c = tcase_create("property");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 300);
	tcase_add_test(c, shrunk_is_masked);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
