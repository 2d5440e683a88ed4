/* Choosing structures: counts by scope, minimum widths, multiples, ratios, exclusion; every criterion of both tables; what
 * goes is the lowest; what is gone is zero and stays gone. */
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/prune/shrink.h"
#include "core/prune/structures.h"
#include "tests/core/train/train_support.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/net_check.h"

struct bench {
	struct fixture f;
	struct pare_structures *g;
	struct pare_cut cut;
	struct pare_mask mask;
};

static void open_bench(struct bench *b)
{
	static const struct pare_arch_layer layers[] = {{.units = 40, .activation = PARE_ACT_RELU}, {.units = 20, .activation = PARE_ACT_TANH},
	    {.units = 12, .activation = PARE_ACT_SIGMOID}, {.units = 4}};
	struct pare_err err = {0};
	struct pare_rng r;

	*b = (struct bench){.g = NULL};
	net_make(&b->f, 10, 4, layers, 1, 8);
	pare_rng_init(&r, 3, "test", 0);
	for (size_t i = 0; i < pare_net_slab_len(b->f.net); i++)
		pare_net_slab(b->f.net)[i] = (float)pare_rng_normal(&r);
	ck_ok(pare_structures_new(b->f.net, PARE_GRANULARITY_CHANNEL, NULL, &b->g, &err));
	ck_ok(pare_cut_init(&b->cut, b->f.net, &err));
	ck_ok(pare_mask_init(&b->mask, b->f.net, &err));
	ck_assert_int_eq(b->g->n_groups, 3);
}

static void close_bench(struct bench *b)
{
	pare_structures_free(b->g);
	pare_cut_done(&b->cut);
	pare_mask_done(&b->mask);
	fixture_done(&b->f);
}

static int left(const struct bench *b, int group)
{
	const struct pare_group *gr = &b->g->groups[group];
	int n = 0;

	for (int u = gr->first; u < gr->first + gr->n; u++)
		n += !pare_cut_has(&b->cut, b->g, u);
	return n;
}

static struct pare_structure_count prune(struct bench *b, struct pare_structure_options *o)
{
	struct pare_structure_count n;
	struct pare_err err = {0};

	if (o->criterion == NULL && o->weights == NULL)
		o->criterion = pare_structure_criterion_find("l2");
	o->min_width = o->min_width > 0 ? o->min_width : 1;
	o->round_to = o->round_to > 0 ? o->round_to : 1;
	ck_ok(pare_prune_structures(b->f.net, b->g, o, &b->cut, &b->mask, &n, &err));
	ck_assert_int_le(n.n_gone, 72 - left(b, 0) - left(b, 1) - left(b, 2));
	return n;
}

START_TEST(shares_are_exact)
{
	struct bench b;
	struct pare_structure_options o = {.sparsity = 0.5};

	open_bench(&b);
	ck_assert_int_eq(prune(&b, &o).n_gone, 36);
	o.sparsity = 0.25; /* what is gone stays gone */
	ck_assert_int_eq(prune(&b, &o).n_gone, 36);
	o.sparsity = 0.75;
	ck_assert_int_eq(prune(&b, &o).n_gone, 54);
	close_bench(&b);
	open_bench(&b);
	o = (struct pare_structure_options){.sparsity = 0.5, .scope = PARE_STRUCTURE_LAYER};
	(void)prune(&b, &o);
	ck_assert(left(&b, 0) == 20 && left(&b, 1) == 10 && left(&b, 2) == 6);
	close_bench(&b);
}
END_TEST

START_TEST(widths_are_kept)
{
	struct bench b;
	struct pare_structure_options o = {.sparsity = 0.9, .min_width = 8};

	open_bench(&b);
	(void)prune(&b, &o);
	ck_assert(left(&b, 0) >= 8 && left(&b, 1) >= 8 && left(&b, 2) >= 8);
	close_bench(&b);
	open_bench(&b);
	o = (struct pare_structure_options){.sparsity = 0.55, .scope = PARE_STRUCTURE_LAYER, .round_to = 8};
	(void)prune(&b, &o);
	ck_assert(left(&b, 0) == 24 && left(&b, 1) == 16 && left(&b, 2) == 8);
	close_bench(&b);
	open_bench(&b);
	o = (struct pare_structure_options){.sparsity = 0.999};
	(void)prune(&b, &o);
	ck_assert(left(&b, 0) >= 1 && left(&b, 1) >= 1 && left(&b, 2) >= 1);
	ck_assert_int_eq(left(&b, 0) + left(&b, 1) + left(&b, 2), 3);
	close_bench(&b);
}
END_TEST

/* One ranking, whole steps of width, and as much as they come to. */
START_TEST(rounding_keeps_the_amount)
{
	static const int whole[3] = {40, 20, 12};

	for (int share = 10; share < 100; share += 10) {
		struct pare_structure_options o = {.sparsity = share / 100.0, .round_to = 4};
		struct bench b;
		int64_t gone, want = (72 * share + 50) / 100, most = 72 - 3 * 4;

		open_bench(&b);
		gone = prune(&b, &o).n_gone;
		for (int k = 0; k < 3; k++)
			ck_assert_msg(left(&b, k) % 4 == 0 || left(&b, k) == whole[k], "%d %%: group %d is %d wide", share, k, left(&b, k));
		ck_assert_msg(gone <= want && gone > (want < most ? want : most) - 4, "%d %%: %d gone", share, (int)gone);
		close_bench(&b);
	}
}
END_TEST

static int64_t weights_left(const struct bench *b)
{
	int64_t n = 0;

	for (int p = 0; p < pare_net_n_params(b->f.net); p++) {
		const struct pare_param_info *info = pare_net_param(b->f.net, p);

		for (size_t i = 0; i < info->n_elems; i++)
			n += info->prunable && b->mask.keep[info->offset + i] != 0;
	}
	return n;
}

/* The same number of units, and more weights; multiply-accumulates of dense layers are their weights. Where all help when they go, those that save most go first. */
START_TEST(scores_are_set_against_savings)
{
	static const enum pare_structure_per per_table[] = {PARE_PER_STRUCTURE, PARE_PER_WEIGHTS, PARE_PER_MACS};
	int64_t n[2][3];
	double rise[256];
	struct bench b;

	for (int u = 0; u < 256; u++)
		rise[u] = -1 - u % 7;
	for (int helps = 0; helps < 2; helps++)
		for (int i = 0; i < 3; i++) {
			struct pare_structure_options o = {.sparsity = 0.3, .per = per_table[i], .criterion = pare_structure_criterion_find(helps == 1 ? "ablation" : "random"), .ablation = rise, .seed = 3};

			open_bench(&b);
			ck_assert_int_eq(prune(&b, &o).n_gone, 22);
			n[helps][i] = weights_left(&b);
			close_bench(&b);
		}
	for (int helps = 0; helps < 2; helps++) {
		ck_assert_msg(n[helps][1] < n[helps][0], "%d: %d weights left, %d by weights", helps, (int)n[helps][0], (int)n[helps][1]);
		ck_assert_int_eq(n[helps][1], n[helps][2]);
	}
}
END_TEST

START_TEST(layers_by_name)
{
	static const char *const exclude[] = {"fc2"};
	static const struct pare_structure_ratio ratios[] = {{"fc1.*", 0.75}, {"fc*", 0.1}};
	struct bench b;
	struct pare_structure_options o = {.sparsity = 0.5, .scope = PARE_STRUCTURE_LAYER, .exclude = exclude, .n_exclude = 1};

	/* fc2's node reads the weight that the first group leads into and the second group comes from */
	open_bench(&b);
	ck_assert_int_eq(prune(&b, &o).n_units, 12);
	ck_assert(left(&b, 0) == 40 && left(&b, 1) == 20 && left(&b, 2) == 6);
	close_bench(&b);
	open_bench(&b);
	o = (struct pare_structure_options){.sparsity = 0.5, .ratios = ratios, .n_ratios = 1};
	(void)prune(&b, &o);
	ck_assert(left(&b, 0) == 10 && left(&b, 1) + left(&b, 2) == 16);
	close_bench(&b);
}
END_TEST

/* The lowest of each layer go, by a norm computed here from the matrices. */
START_TEST(the_lowest_go)
{
	struct bench b;
	struct pare_structure_options o = {.sparsity = 0.3, .scope = PARE_STRUCTURE_LAYER, .criterion = pare_structure_criterion_find("l2")};
	const struct pare_param_info *in = NULL, *out = NULL;
	double norm[40], worst_gone = 0, best_kept = INFINITY;

	open_bench(&b);
	for (int p = 0; p < pare_net_n_params(b.f.net); p++) {
		if (strcmp(pare_net_param(b.f.net, p)->name, "fc1.weight") == 0)
			in = pare_net_param(b.f.net, p);
		if (strcmp(pare_net_param(b.f.net, p)->name, "fc2.weight") == 0)
			out = pare_net_param(b.f.net, p);
	}
	for (int u = 0; u < 40; u++) {
		const float *w = pare_net_slab(b.f.net);

		norm[u] = 0;
		for (int i = 0; i < 10; i++)
			norm[u] += (double)w[in->offset + (size_t)(u * 10 + i)] * (double)w[in->offset + (size_t)(u * 10 + i)];
		for (int i = 0; i < 20; i++)
			norm[u] += (double)w[out->offset + (size_t)(i * 40 + u)] * (double)w[out->offset + (size_t)(i * 40 + u)];
	}
	(void)prune(&b, &o);
	for (int u = 0; u < 40; u++) {
		const float *w = pare_net_slab(b.f.net);
		bool gone = pare_cut_has(&b.cut, b.g, u);

		worst_gone = gone ? fmax(worst_gone, norm[u]) : worst_gone;
		best_kept = gone ? best_kept : fmin(best_kept, norm[u]);
		for (int i = 0; i < 10; i++)
			ck_assert((w[in->offset + (size_t)(u * 10 + i)] == 0.0f) == gone);
		for (int i = 0; i < 20; i++)
			ck_assert((w[out->offset + (size_t)(i * 40 + u)] == 0.0f) == (gone || pare_cut_has(&b.cut, b.g, 40 + i)));
	}
	ck_assert_int_eq(left(&b, 0), 28);
	ck_assert(worst_gone < best_kept);
	close_bench(&b);
}
END_TEST

static void fill_stats(const struct bench *b, struct pare_activation_stats *a)
{
	size_t n = b->g->slices.n;

	*a = (struct pare_activation_stats){.sum = pare_calloc(n, sizeof(double)), .total = pare_calloc(n, sizeof(double)), .squares = pare_calloc(n, sizeof(double)), .zeros = pare_calloc(n, sizeof(double)), .count = pare_calloc(n, sizeof(double)),
	    .entropy = pare_calloc(n, sizeof(double)), .rank = pare_calloc(n, sizeof(double)), .maps = pare_calloc(n, sizeof(double))};
	for (size_t i = 0; i < n; i++) {
		a->sum[i] = a->total[i] = a->squares[i] = (double)(i * 7919 % 1000);
		a->zeros[i] = (double)(i * 104729 % 1000);
		a->count[i] = 1000;
		a->entropy[i] = (double)(i * 15485863 % 1000);
		a->rank[i] = (double)(i * 611953 % 1000);
		a->maps[i] = 100;
	}
}

START_TEST(every_criterion_ranks)
{
	struct pare_activation_stats seen;
	double rise[256];
	struct bench b;

	for (const struct pare_structure_criterion *c = pare_structure_criterion_table; c->name != NULL; c++) {
		struct pare_structure_options o = {.sparsity = 0.5, .criterion = c, .activations = &seen, .ablation = rise, .seed = 5};

		if (strcmp(c->name, "bn_scale") == 0)
			continue;
		open_bench(&b);
		fill_stats(&b, &seen);
		for (int u = 0; u < b.g->n_units; u++)
			rise[u] = (double)(u * 31 % 97) - 40;
		ck_assert_int_eq(prune(&b, &o).n_gone, 36);
		pare_free(seen.sum);
		pare_free(seen.total);
		pare_free(seen.squares);
		pare_free(seen.zeros);
		pare_free(seen.count);
		pare_free(seen.entropy);
		pare_free(seen.rank);
		pare_free(seen.maps);
		close_bench(&b);
	}
	for (const struct pare_criterion *c = pare_criterion_table; c->name != NULL; c++) {
		struct pare_structure_options o = {.sparsity = 0.5, .weights = c, .seed = 5};

		open_bench(&b);
		o.stat = pare_net_slab(b.f.net);
		ck_assert_msg(prune(&b, &o).n_gone == 36, "%s", c->name);
		close_bench(&b);
	}
}
END_TEST

START_TEST(scales_rank_channels)
{
	static const float scale[6] = {3, 0.1f, 2, 0.2f, 1, 0.3f}, ones[6] = {1, 1, 1, 1, 1, 1};
	struct gb *gb = gb_new(17);
	struct pare_structure_options o = {.sparsity = 0.5, .criterion = pare_structure_criterion_find("bn_scale"), .min_width = 1, .round_to = 1};
	struct pare_structures *g = NULL;
	struct pare_structure_count n;
	struct pare_net *net;
	struct pare_cut cut;
	struct pare_mask mask;
	struct pare_err err = {0};

	gb_input(gb, "x", "N 2 3 3");
	gb_init(gb, "conv.weight", "6 2 1 1", NULL);
	gb_node(gb, "Conv", "conv", "x conv.weight", "c");
	gb_init(gb, "scale", "6", scale);
	gb_init(gb, "bias", "6", NULL);
	gb_init(gb, "mean", "6", NULL);
	gb_init(gb, "var", "6", ones);
	gb_node(gb, "BatchNormalization", "bn", "c scale bias mean var", "b");
	gb_init(gb, "last.weight", "4 6 1 1", NULL);
	gb_node(gb, "Conv", "last", "b last.weight", "y");
	gb_output(gb, "y");
	net = nc_net(gb, 1, 1, true);
	ck_ok(pare_structures_new(net, PARE_GRANULARITY_CHANNEL, NULL, &g, &err));
	ck_ok(pare_cut_init(&cut, net, &err));
	ck_ok(pare_mask_init(&mask, net, &err));
	ck_ok(pare_prune_structures(net, g, &o, &cut, &mask, &n, &err));
	for (int u = 0; u < 6; u++)
		ck_assert(pare_cut_has(&cut, g, u) == (u % 2 == 1));
	pare_structures_free(g);
	pare_cut_done(&cut);
	pare_mask_done(&mask);
	pare_net_free(net);
	gb_free(gb);
}
END_TEST

START_TEST(refusals)
{
	static const char *const all[] = {"fc*"};
	struct bench b;
	struct pare_structure_count n;
	struct pare_err err = {0};
	struct pare_structure_options o = {.sparsity = 0.5, .criterion = pare_structure_criterion_find("bn_scale"), .min_width = 1, .round_to = 1};

	open_bench(&b);
	ck_assert_int_eq(pare_prune_structures(b.f.net, b.g, &o, &b.cut, &b.mask, &n, &err), PARE_E_INVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "no norms"));
	o.criterion = pare_structure_criterion_find("l1");
	o.exclude = all;
	o.n_exclude = 1;
	ck_assert_int_eq(pare_prune_structures(b.f.net, b.g, &o, &b.cut, &b.mask, &n, &err), PARE_E_INVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "all are excluded"));
	o.n_exclude = 0;
	pare_net_slab(b.f.net)[3] = NAN;
	ck_assert_int_eq(pare_prune_structures(b.f.net, b.g, &o, &b.cut, &b.mask, &n, &err), PARE_E_NONFINITE);
	ck_assert(!b.cut.any);
	close_bench(&b);
}
END_TEST

START_TEST(memory_runs_out)
{
	struct bench b;
	struct pare_structure_count n;
	struct pare_err err = {0};
	struct pare_structure_options o = {.sparsity = 0.5, .criterion = pare_structure_criterion_find("fpgm"), .min_width = 1, .round_to = 1};
	long count;

	open_bench(&b);
	fail_alloc_install(0);
	ck_ok(pare_prune_structures(b.f.net, b.g, &o, &b.cut, &b.mask, &n, &err));
	count = fail_alloc_count();
	ck_assert_int_gt(count, 0);
	for (long i = 1; i <= count; i++) {
		fail_alloc_install(i);
		ck_assert_int_eq(pare_prune_structures(b.f.net, b.g, &o, &b.cut, &b.mask, &n, &err), PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
	close_bench(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("structures");
	TCase *c = tcase_create("structures");
	SRunner *r;
	int failed;

	tcase_add_test(c, shares_are_exact);
	tcase_add_test(c, widths_are_kept);
	tcase_add_test(c, rounding_keeps_the_amount);
	tcase_add_test(c, scores_are_set_against_savings);
	tcase_add_test(c, layers_by_name);
	tcase_add_test(c, the_lowest_go);
	tcase_add_test(c, every_criterion_ranks);
	tcase_add_test(c, scales_rank_channels);
	tcase_add_test(c, refusals);
	tcase_add_test(c, memory_runs_out);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
