/* Two units of a group that a small graph has, taken out of it: the smaller graph says what the masked one does. */
#ifndef TESTS_SUPPORT_SHRUNK_H
#define TESTS_SUPPORT_SHRUNK_H

#include <check.h>
#include <string.h>

#include "core/onnx/onnx.h"
#include "core/prune/shrink.h"
#include "core/prune/structures.h"
#include "tests/support/graph_builder.h"
#include "tests/support/graph_onnx.h"

static struct pare_structures *groups_of(const struct pare_net *net, enum pare_granularity granularity)
{
	struct pare_structures *g = NULL;
	struct pare_err err = {0};
	enum pare_code code = pare_structures_new(net, granularity, NULL, &g, &err);

	ck_assert_msg(code == PARE_OK, "%s: %s", err.where, err.message);
	return g;
}

static const struct pare_group *group_named(const struct pare_structures *g, const char *name)
{
	for (int i = 0; i < g->n_groups; i++)
		if (strcmp(g->groups[i].name, name) == 0)
			return &g->groups[i];
	return NULL;
}

#define OUTPUTS_MAX 2
#define ELEMS_MAX 64

static void infer(struct pare_net *net, float out[OUTPUTS_MAX][ELEMS_MAX])
{
	static const float x[4] = {1, -2, 3, 0.5f};
	struct pare_err err = {0};

	ck_assert_int_le(pare_net_n_outputs(net), OUTPUTS_MAX);
	ck_assert_int_eq(pare_net_infer_all(net, (const float *const[1]){x}, 1, (float *[OUTPUTS_MAX]){out[0], out[1]}, &err), PARE_OK);
}

/* Of the group of that name, which has six, units 1 and 4 go from the graph of one input "N 4", which is freed: what is left reads, plans and computes
 * what the masked graph does. Returns how many nodes there are less. */
static int ck_shrinks_by(struct gb *b, const char *group, enum pare_granularity granularity)
{
	struct pare_buf file, smaller;
	struct pare_model *m = NULL, *after = NULL;
	struct pare_net *net, *small = NULL;
	struct pare_net_options opt = {.n_threads = 1, .max_batch = 1};
	struct pare_structures *g;
	const struct pare_group *gr;
	struct pare_rewrite rw;
	struct pare_mask mask;
	struct pare_cut cut;
	struct pare_err err = {0};
	float masked[OUTPUTS_MAX][ELEMS_MAX] = {{0}}, shrunk[OUTPUTS_MAX][ELEMS_MAX] = {{0}};
	int less;

	pare_buf_init(&file, 1 << 20);
	pare_buf_init(&smaller, 1 << 20);
	graph_onnx(gb_model(b), &file);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)file.data, file.len}, &m, &err), PARE_OK);
	ck_assert_int_eq(pare_net_new(m, &opt, &net, &err), PARE_OK);
	g = groups_of(net, granularity);
	gr = group_named(g, group);
	ck_assert_ptr_nonnull(gr);
	ck_assert_int_eq(gr->n, 6);
	ck_assert_int_eq(pare_cut_init(&cut, net, &err), PARE_OK);
	ck_assert_int_eq(pare_mask_init(&mask, net, &err), PARE_OK);
	ck_assert(pare_cut_unit(&cut, g, gr->first + 1) && pare_cut_unit(&cut, g, gr->first + 4));
	pare_cut_mask(&cut, net, &mask);
	infer(net, masked);
	ck_assert_int_eq(pare_net_store(net, m, &err), PARE_OK);
	ck_assert_int_eq(pare_shrink(net, m, &cut, NULL, &rw, &err), PARE_OK);
	ck_assert_int_eq(pare_onnx_rewrite(m, &rw, &smaller, &err), PARE_OK);
	ck_assert_int_eq(pare_onnx_read((struct pare_span){(const uint8_t *)smaller.data, smaller.len}, &after, &err), PARE_OK);
	ck_assert_msg(pare_net_new(after, &opt, &small, &err) == PARE_OK, "%s: %s", err.where, err.message);
	infer(small, shrunk);
	for (int i = 0; i < pare_net_n_outputs(net); i++) {
		ck_assert(masked[i][0] < 0 || masked[i][0] > 0);
		for (int k = 0; k < ELEMS_MAX; k++)
			ck_assert_float_eq_tol(masked[i][k], shrunk[i][k], 1e-6f);
	}
	less = m->graph.n_nodes - after->graph.n_nodes;
	pare_rewrite_done(&rw);
	pare_cut_done(&cut);
	pare_mask_done(&mask);
	pare_structures_free(g);
	pare_net_free(small);
	pare_net_free(net);
	pare_model_free(after);
	pare_model_free(m);
	pare_buf_done(&file);
	pare_buf_done(&smaller);
	gb_free(b);
	return less;
}

#endif
