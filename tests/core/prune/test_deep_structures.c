/* Graphs of very many nodes: structures are found, chosen and taken out in about as many steps. What looked at all nodes, units or edits for each of them would take
 * minutes for these. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/net_view.h"
#include "core/job/job_priv.h"
#include "core/onnx/onnx.h"
#include "core/onnx/schema.h"
#include "core/onnx/wire.h"
#include "core/prune/shrink.h"
#include "core/prune/structures.h"

#define N_BLOCKS 20000
#define WIDTH 6
#define IN 4

static void put_node(struct pare_buf *b, const char *op, const char *a, const char *c, const char *out)
{
	size_t at = pare_wire_begin(b, GRAPH_NODE);

	pare_wire_put_str(b, NODE_INPUT, a);
	if (c != NULL)
		pare_wire_put_str(b, NODE_INPUT, c);
	pare_wire_put_str(b, NODE_OUTPUT, out);
	pare_wire_put_str(b, NODE_OP_TYPE, op);
	pare_wire_end(b, at);
}

static void put_init(struct pare_buf *b, const char *name, int64_t rows, int64_t cols, unsigned seed)
{
	size_t at = pare_wire_begin(b, GRAPH_INITIALIZER);
	float w[IN * WIDTH];

	for (unsigned i = 0; i < IN * WIDTH; i++)
		w[i] = ((float)((seed * 31 + i * 17) % 101) - 50.5f) / 500;
	if (rows > 0)
		pare_wire_put_int(b, TENSOR_DIMS, rows);
	pare_wire_put_int(b, TENSOR_DIMS, cols);
	pare_wire_put_int(b, TENSOR_DATA_TYPE, PARE_DT_FLOAT);
	pare_wire_put_str(b, TENSOR_NAME, name);
	pare_wire_put_bytes(b, TENSOR_RAW_DATA, w, (size_t)((rows > 0 ? rows : 1) * cols) * sizeof *w);
	pare_wire_end(b, at);
}

static void put_sizes(struct pare_buf *b, const char *name, int64_t rows, int64_t cols)
{
	const int64_t v[3] = {-1, rows, cols};
	size_t at = pare_wire_begin(b, GRAPH_INITIALIZER), n = cols > 0 ? 3 : 2;

	pare_wire_put_int(b, TENSOR_DIMS, (int64_t)n);
	pare_wire_put_int(b, TENSOR_DATA_TYPE, PARE_DT_INT64);
	pare_wire_put_str(b, TENSOR_NAME, name);
	pare_wire_put_bytes(b, TENSOR_RAW_DATA, v, n * sizeof *v);
	pare_wire_end(b, at);
}

static void put_value(struct pare_buf *b, uint32_t field, const char *name, uint8_t width)
{
	const uint8_t type[] = {0x08, 1, 0x12, 9, 0x0a, 3, 0x12, 1, 'N', 0x0a, 2, 0x08, width};
	size_t at = pare_wire_begin(b, field), in;

	pare_wire_put_str(b, VALUE_NAME, name);
	in = pare_wire_begin(b, VALUE_TYPE);
	pare_wire_put_bytes(b, TYPE_TENSOR, type, sizeof type);
	pare_wire_end(b, in);
	pare_wire_end(b, at);
}

/* x + f(x), again and again, f of two layers; folded: what is between them is seen as [2, 3] on the way. */
static void write_block(struct pare_buf *b, int i, bool folded, const char *x, const char *out)
{
	char v[7][16];

	for (int k = 0; k < 7; k++)
		(void)snprintf(v[k], sizeof v[k], "%c%d", "wbudhrs"[k], i);
	put_init(b, v[0], IN, WIDTH, (unsigned)i);
	put_init(b, v[1], 0, WIDTH, (unsigned)i + 1);
	put_init(b, v[2], WIDTH, IN, (unsigned)i + 2);
	put_node(b, "MatMul", x, v[0], v[3]);
	put_node(b, "Add", v[3], v[1], v[4]);
	if (folded) {
		char split[16];

		(void)snprintf(split, sizeof split, "p%d", i);
		put_node(b, "Reshape", v[4], "split", split);
		put_node(b, "Reshape", split, "joined", v[5]);
	} else {
		put_node(b, "Relu", v[4], NULL, v[5]);
	}
	put_node(b, "MatMul", v[5], v[2], v[6]);
	put_node(b, "Add", v[6], x, out);
	put_value(b, GRAPH_VALUE_INFO, v[4], WIDTH);
}

static void write_model(struct pare_buf *b, bool folded)
{
	char x[16] = "x", out[16];
	size_t graph, at;

	pare_wire_put_int(b, MODEL_IR_VERSION, 8);
	graph = pare_wire_begin(b, MODEL_GRAPH);
	put_sizes(b, "split", 2, 3);
	put_sizes(b, "joined", WIDTH, 0);
	for (int i = 0; i < N_BLOCKS; i++) {
		(void)snprintf(out, sizeof out, "x%d", i);
		write_block(b, i, folded, x, out);
		memcpy(x, out, sizeof x);
	}
	put_node(b, "Identity", x, NULL, "y");
	put_value(b, GRAPH_INPUT, "x", IN);
	put_value(b, GRAPH_OUTPUT, "y", IN);
	pare_wire_end(b, graph);
	at = pare_wire_begin(b, MODEL_OPSET_IMPORT);
	pare_wire_put_int(b, OPSET_VERSION, 17);
	pare_wire_end(b, at);
}

struct deep {
	struct pare_buf file, own;
	struct pare_model *m;
	struct pare_net *net;
};

static void open_deep(struct deep *d, bool folded)
{
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 1, .training = true};
	struct pare_err err = {0};

	pare_buf_init(&d->file, (size_t)256 << 20);
	write_model(&d->file, folded);
	ck_assert_msg(pare_onnx_open((struct pare_span){(const uint8_t *)d->file.data, d->file.len}, NULL, 0, &d->own, &d->m, &err) == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert_msg(pare_net_new(d->m, &opt, &d->net, &err) == PARE_OK, "%s: %s", err.where, err.message);
}

static void close_deep(struct deep *d)
{
	pare_net_free(d->net);
	pare_model_free(d->m);
	pare_buf_done(&d->own);
	pare_buf_done(&d->file);
}

/* n_elems of the layers' first weights that are in the graph. */
static void ck_shrunk(struct deep *d, const struct pare_cut *cut, int64_t n_weights, int64_t n_elems)
{
	struct pare_rewrite rw;
	struct pare_buf file, own;
	struct pare_model *m = NULL;
	struct pare_err err = {0};

	pare_buf_init(&file, (size_t)256 << 20);
	ck_assert_msg(pare_shrink(d->net, d->m, cut, NULL, &rw, &err) == PARE_OK, "%s", err.message);
	ck_assert_int_eq(pare_onnx_rewrite(d->m, &rw, &file, &err), PARE_OK);
	pare_rewrite_done(&rw);
	ck_assert_msg(pare_onnx_open((struct pare_span){(const uint8_t *)file.data, file.len}, NULL, 0, &own, &m, &err) == PARE_OK, "%s: %s", err.where, err.message);
	for (int32_t i = 0; i < m->graph.n_inits; i++) {
		const struct pare_tensor *t = m->graph.values[m->graph.inits[i]].init;

		if (t->name[0] != 'w')
			continue;
		n_weights--;
		n_elems -= (int64_t)t->n_elems;
	}
	ck_assert_int_eq(n_weights, 0);
	ck_assert_int_eq(n_elems, 0);
	pare_model_free(m);
	pare_buf_done(&own);
	pare_buf_done(&file);
}

/* Half of the units go, every way that they can be ranked together; n_units of a layer. */
static void prune_deep(struct deep *d, enum pare_granularity granularity, int n_units)
{
	struct pare_structure_options o = {.criterion = pare_structure_criterion_find("l2"), .sparsity = 0.5, .min_width = 1, .round_to = 3};
	struct pare_structures *g = NULL;
	struct pare_err err = {0};

	ck_assert_int_eq(pare_structures_new(d->net, granularity, NULL, &g, &err), PARE_OK);
	ck_assert_int_eq(g->n_groups, N_BLOCKS);
	ck_assert_int_eq(g->n_units, N_BLOCKS * n_units);
	for (int scope = PARE_STRUCTURE_GLOBAL; scope <= PARE_STRUCTURE_ISOMORPHIC; scope++) {
		struct pare_structure_count n;
		struct pare_mask mask;
		struct pare_cut cut;

		o.scope = (enum pare_structure_scope)scope;
		ck_assert_int_eq(pare_cut_init(&cut, d->net, &err), PARE_OK);
		ck_assert_int_eq(pare_mask_init(&mask, d->net, &err), PARE_OK);
		ck_assert_msg(pare_prune_structures(d->net, g, &o, &cut, &mask, &n, &err) == PARE_OK, "%s", err.message);
		ck_assert_int_eq(n.n_units, N_BLOCKS * n_units);
		if (scope == PARE_STRUCTURE_LAYER && granularity != PARE_GRANULARITY_LAYER) {
			ck_assert_int_eq(n.n_gone, N_BLOCKS * n_units / 2);
			ck_shrunk(d, &cut, N_BLOCKS, N_BLOCKS * IN * WIDTH / 2);
		} else if (granularity == PARE_GRANULARITY_LAYER) {
			ck_assert_int_eq(n.n_gone, N_BLOCKS / 2);
			ck_shrunk(d, &cut, N_BLOCKS / 2, N_BLOCKS / 2 * IN * WIDTH);
		}
		pare_cut_done(&cut);
		pare_mask_done(&mask);
	}
	pare_structures_free(g);
}

START_TEST(residual_sums)
{
	struct deep d;

	open_deep(&d, false);
	prune_deep(&d, PARE_GRANULARITY_CHANNEL, WIDTH);
	prune_deep(&d, PARE_GRANULARITY_LAYER, 1);
	close_deep(&d);
}
END_TEST

/* Of every fold it is chosen what goes, and no choice says anything of the next. */
START_TEST(folds)
{
	struct deep d;

	open_deep(&d, true);
	prune_deep(&d, PARE_GRANULARITY_HEAD, 2);
	close_deep(&d);
}
END_TEST

START_TEST(inspection)
{
	struct pare_buf file, out;
	struct pare_err err = {0};

	pare_buf_init(&file, (size_t)256 << 20);
	pare_buf_init(&out, (size_t)256 << 20);
	write_model(&file, false);
	ck_assert_msg(job_describe_model(&out, (struct pare_span){(const uint8_t *)file.data, file.len}, NULL, 0, &err) == PARE_OK, "%s", err.message);
	ck_assert_ptr_nonnull(strstr(out.data, "\"name\":\"u9999\",\"node\":\"MatMul_49998\",\"op\":\"MatMul\""));
	ck_assert_ptr_nonnull(strstr(out.data, "\"left_out\":{")); /* the last of them: an answer has 4 MiB */
	ck_assert_ptr_nonnull(strstr(out.data, "\"macs\":24,"));
	pare_buf_done(&file);
	pare_buf_done(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("deep structures");
	TCase *t = tcase_create("deep");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 300);
	tcase_add_test(t, residual_sums);
	tcase_add_test(t, folds);
	tcase_add_test(t, inspection);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
