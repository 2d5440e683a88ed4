/* The view of a layer as a product of matrices: what unfold and product say must multiply to what forward computed. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/rng.h"
#include "core/graph/net_priv.h"
#include "tests/support/graph_builder.h"

static const struct {
	const char *op, *x, *w, *bias;
	const char *attr;  /* of ints, or NULL */
	int64_t ints[4];
	size_t n_ints;
	const char *flag; /* of one int, or NULL */
	int64_t value;
} case_table[] = {
    {"Gemm", "N 5", "5 3", "3", NULL, {0}, 0, NULL, 0},
    {"Gemm", "N 5", "3 5", "3", NULL, {0}, 0, "transB", 1},
    {"Gemm", "N 5", "3 5", "1 3", NULL, {0}, 0, "transB", 1},
    {"MatMul", "N 5", "5 3", NULL, NULL, {0}, 0, NULL, 0},
    {"MatMul", "N 2 7 5", "5 3", NULL, NULL, {0}, 0, NULL, 0},
    {"Conv", "N 3 8 7", "4 3 3 2", "4", "strides", {2, 1}, 2, NULL, 0},
    {"Conv", "N 4 6 6", "6 2 3 3", "6", "pads", {1, 0, 2, 1}, 4, "group", 2},
    {"Conv", "N 3 6 6", "3 1 3 3", NULL, "dilations", {2, 1}, 2, "group", 3},
    {"Conv", "N 3 9", "2 3 4", "2", NULL, {0}, 0, NULL, 0},
};

static void make(struct gb *b, size_t k, struct pare_rng *r)
{
	float data[512];

	for (size_t i = 0; i < 512; i++)
		data[i] = (float)pare_rng_normal(r);
	gb_input(b, "x", case_table[k].x);
	gb_init(b, "w", case_table[k].w, data);
	if (case_table[k].bias != NULL)
		gb_init(b, "b", case_table[k].bias, data + 300);
	gb_node(b, case_table[k].op, "layer", case_table[k].bias != NULL ? "x w b" : "x w", "y");
	if (case_table[k].attr != NULL)
		gb_attr_ints(b, case_table[k].attr, case_table[k].ints, case_table[k].n_ints);
	if (case_table[k].flag != NULL)
		gb_attr_int(b, case_table[k].flag, case_table[k].value);
	gb_output(b, "y");
}

/* Where output o of group g stands in y for row r: channels are the last axis of a linear layer and the second one of Conv. */
static size_t place(const struct pare_run *run, const struct pare_product *p, bool conv, int64_t g, int64_t o, int64_t r)
{
	int64_t channels = p->groups * p->n_out, positions;

	if (!conv)
		return (size_t)(r * channels + o);
	positions = p->n_rows / run->out_shape[0]->dims[0];
	return (size_t)((r / positions * channels + g * p->n_out + o) * positions + r % positions);
}

static void check(const struct pare_run *run, const struct pare_op *op, bool conv)
{
	struct pare_product p;
	float *x;

	ck_assert(op->product(run, &p));
	x = malloc((size_t)(p.n_rows * p.n_in) * sizeof *x);
	for (int64_t g = 0; g < p.groups; g++) {
		op->unfold(run, g, 0, 1, x); /* in two pieces */
		op->unfold(run, g, 1, p.n_rows - 1, x + p.n_in);
		for (int64_t r = 0; r < p.n_rows; r++)
			for (int64_t o = 0; o < p.n_out; o++) {
				double y = p.bias_in >= 0 ? (double)run->in[p.bias_in][g * p.n_out + o] : 0;

				for (int64_t i = 0; i < p.n_in; i++)
					y += (double)x[r * p.n_in + i] * (double)run->in[p.weight_in][g * p.w_group + o * p.w_out + i * p.w_in];
				ck_assert_double_eq_tol(run->out[0][place(run, &p, conv, g, o, r)], y, 1e-4);
			}
	}
	free(x);
}

START_TEST(multiplies_to_the_output)
{
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 3, .training = true, .plain = true}; /* channels second */
	struct gb *b = gb_new(17);
	struct pare_net *net;
	struct pare_rng r;
	float *x;
	int64_t dims[PARE_MAX_DIMS];
	size_t n;
	int n_dims;

	pare_rng_init(&r, 2, "test", (uint64_t)_i);
	make(b, (size_t)_i, &r);
	ck_assert_int_eq(pare_net_new(gb_model(b), &opt, &net, NULL), PARE_OK);
	n = 3 * pare_net_input_shape(net, 0, &n_dims, dims);
	x = pare_net_shard_input(net, 0, 0);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)pare_rng_normal(&r);
	pare_net_shard_forward(net, 0, 3, false, 0, 0);
	for (int i = 0; i < net->n_nodes; i++)
		if (net->nodes[i].op->product != NULL)
			check(&net->shards[0].runs[i], net->nodes[i].op, case_table[_i].op[0] == 'C');
	pare_net_free(net);
	gb_free(b);
}
END_TEST

/* Every operator with weights either has the view or is one of those that have none. */
START_TEST(who_has_it)
{
	const struct pare_op *op;
	int n = 0;

	for (size_t i = 0; (op = pare_op_at(i)) != NULL; i++) {
		ck_assert_msg((op->product == NULL) == (op->unfold == NULL), "%s has one half", op->name);
		ck_assert_msg(op->product == NULL || op->weight_in != 0, "%s multiplies by no weight", op->name);
		n += op->product != NULL;
	}
	ck_assert_int_ge(n, 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("product");
	TCase *tc = tcase_create("product");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, multiplies_to_the_output, 0, (int)(sizeof case_table / sizeof case_table[0]));
	tcase_add_test(tc, who_has_it);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
