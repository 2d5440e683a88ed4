/* Pruning a net: exact counts whatever the shapes, seeds and ties; scopes, thresholds, exclusion; what must not come back;
 * what is refused. */
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/core/train/train_support.h"
#include "tests/support/fail_alloc.h"

/* Layers of at most width * width weights: with 150 they span several blocks of PARE_SCORE_BLOCK. */
static void random_net(struct fixture *f, struct pare_rng *r, uint64_t width)
{
	struct pare_arch_layer layers[3] = {{.units = 1 + (int64_t)pare_rng_below(r, width), .activation = PARE_ACT_RELU},
	    {.units = 1 + (int64_t)pare_rng_below(r, width), .activation = PARE_ACT_TANH},
	    {.units = 1 + (int64_t)pare_rng_below(r, 10)}};

	*f = (struct fixture){0};
	net_make(f, 1 + (int64_t)pare_rng_below(r, width), 3, layers, 1, 1);
}

/* Weights with many ties and zeros every other time. */
static void random_weights(const struct fixture *f, struct pare_rng *r)
{
	bool coarse = pare_rng_u64(r) & 1;

	for (int p = 0; p < pare_net_n_params(f->net); p++) {
		const struct pare_param_info *info = pare_net_param(f->net, p);

		for (size_t i = 0; i < info->n_elems; i++) {
			double w = pare_rng_normal(r);

			pare_net_slab(f->net)[info->offset + i] = (float)(coarse ? floor(w * 3.0) / 3.0 : w);
		}
	}
}

static size_t masked(const struct pare_mask *m, const struct pare_param_info *info)
{
	size_t n = 0;

	for (size_t i = 0; i < info->n_elems; i++)
		n += m->keep[info->offset + i] == 0;
	return n;
}

/* Counts are exact, survivors outrank the removed, what is masked is +0, gaps and biases are whole. */
static void check_mask(const struct fixture *f, const struct pare_mask *m, const float *before, double sparsity, bool layer)
{
	size_t n_all = 0, n_masked = 0, wrong = 0;
	float top_gone = -1.0f, low_kept = INFINITY;

	for (int p = 0; p < pare_net_n_params(f->net); p++) {
		const struct pare_param_info *info = pare_net_param(f->net, p);
		size_t gone = masked(m, info);

		n_all += info->prunable ? info->n_elems : 0;
		n_masked += gone;
		if (!info->prunable)
			ck_assert_uint_eq(gone, 0);
		else if (layer)
			ck_assert_uint_eq(gone, (size_t)llround(sparsity * (double)info->n_elems));
		for (size_t i = info->offset; i < info->offset + info->n_elems; i++) {
			float now = pare_net_slab(f->net)[i];

			if (m->keep[i] == 0) {
				wrong += now != 0.0f || signbit(now);
				top_gone = fmaxf(top_gone, fabsf(before[i]));
			} else {
				wrong += now != before[i];
				low_kept = info->prunable ? fminf(low_kept, fabsf(now)) : low_kept;
			}
		}
	}
	ck_assert_uint_eq(wrong, 0);
	if (!layer) {
		ck_assert_uint_eq(n_masked, (size_t)llround(sparsity * (double)n_all));
		ck_assert(top_gone <= low_kept);
	}
	ck_assert(m->any == (n_masked > 0));
}

START_TEST(counts_are_exact)
{
	static const double sparsities[] = {0.0, 0.001, 0.5, 0.9, 0.999};
	struct pare_rng r;

	pare_rng_init(&r, 5, "test", (uint64_t)_i);
	for (int layer = 0; layer < 2; layer++)
		for (size_t k = 0; k < 6; k++) {
			struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"),
			    .scope = layer ? PARE_SCOPE_LAYER : PARE_SCOPE_GLOBAL,
			    .sparsity = k < 5 ? sparsities[k] : (double)pare_rng_uniform(&r)};
			struct fixture f;
			struct pare_mask m;
			struct pare_err err = {0};
			float *before;

			random_net(&f, &r, _i % 2 == 0 ? 30 : 150);
			random_weights(&f, &r);
			ck_ok(pare_mask_init(&m, f.net, &err));
			before = pare_alloc(m.len * sizeof *before);
			memcpy(before, pare_net_slab(f.net), m.len * sizeof *before);
			ck_ok(pare_prune(f.net, &opt, &m, &err));
			check_mask(&f, &m, before, opt.sparsity, layer);
			pare_free(before);
			pare_mask_done(&m);
			fixture_done(&f);
		}
}
END_TEST

/* Two rounds over more than a million weights, of which a sample tells where to look; the layers are of different scale, one has few values, and the second
 * round finds what the first has masked. *out: the weights that are left. */
static void prune_many(int kind, int n_threads, float **out, size_t *n)
{
	static const struct pare_arch_layer layers[] = {{.units = 600, .activation = PARE_ACT_RELU}, {.units = 1000, .activation = PARE_ACT_RELU}, {.units = 10}};
	static const double round_table[][2] = {{0.5, 0.9}, {0.001, 0.3}, {0.9, 0.9}, {0.75, 0.999}};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .scope = PARE_SCOPE_GLOBAL};
	struct fixture f = {0};
	struct pare_mask m;
	struct pare_err err = {0};
	struct pare_rng r;
	float *before;

	net_make(&f, 1000, 3, layers, n_threads, n_threads);
	ck_assert_int_eq(pare_net_n_shards(f.net), n_threads);
	pare_rng_init(&r, 8, "test", 0);
	for (size_t i = 0; i < pare_net_slab_len(f.net); i++) {
		double w = pare_rng_normal(&r);

		pare_net_slab(f.net)[i] = (float)(kind % 2 == 0 ? w * (i < 400000 ? 0.1 : 1) : floor(w * 3.0) / 3.0);
	}
	ck_ok(pare_mask_init(&m, f.net, &err));
	before = pare_alloc(m.len * sizeof *before);
	memcpy(before, pare_net_slab(f.net), m.len * sizeof *before);
	for (int round = 0; round < 2; round++) {
		opt.sparsity = round_table[kind / 2][round];
		ck_ok(pare_prune(f.net, &opt, &m, &err));
		check_mask(&f, &m, before, opt.sparsity, false);
	}
	*n = m.len;
	*out = before;
	memcpy(before, pare_net_slab(f.net), m.len * sizeof *before);
	pare_mask_done(&m);
	fixture_done(&f);
}

/* And threads take the same weights, in whose part ties may lie. */
START_TEST(counts_are_exact_of_many)
{
	float *alone, *shared;
	size_t n, m;

	prune_many(_i, 1, &alone, &n);
	for (int n_threads = 2; n_threads <= 3; n_threads++) {
		prune_many(_i, n_threads, &shared, &m);
		ck_assert_uint_eq(m, n);
		ck_assert_mem_eq(shared, alone, n * sizeof *alone);
		pare_free(shared);
	}
	pare_free(alone);
}
END_TEST

/* A weight that is no number is found wherever a thread meets it, and the first is told; nothing has changed. */
START_TEST(many_must_be_finite)
{
	static const struct pare_arch_layer layers[] = {{.units = 1100}, {.units = 2}};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .scope = PARE_SCOPE_GLOBAL, .sparsity = 0.5};
	struct fixture f = {0};
	struct pare_mask m;
	struct pare_err err = {0};
	const struct pare_param_info *info;
	float *w;

	net_make(&f, 1000, 2, layers, 3, 3);
	info = pare_net_param(f.net, 0);
	w = pare_net_slab(f.net) + info->offset;
	w[info->n_elems - 1] = INFINITY;
	w[700001] = NAN;
	ck_ok(pare_mask_init(&m, f.net, &err));
	ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_NONFINITE);
	ck_assert_ptr_nonnull(strstr(err.message, info->name));
	ck_assert_ptr_nonnull(strstr(err.message, "element 700001:"));
	ck_assert_ptr_null(memchr(m.keep, 0, m.len));
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

/* One layer of 4 x 3 weights with the values given. */
static void twelve(struct fixture *f, struct pare_mask *m, const float w[12])
{
	static const struct pare_arch_layer layers[] = {{.units = 4, .activation = PARE_ACT_RELU}, {.units = 2}};
	struct pare_err err = {0};

	*f = (struct fixture){0};
	net_make(f, 3, 2, layers, 1, 1);
	ck_ok(pare_mask_init(m, f->net, &err));
	for (size_t i = 0; i < 12; i++)
		*weight_at(f, "fc1.weight", i) = w[i];
	for (size_t i = 0; i < 8; i++)
		*weight_at(f, "fc2.weight", i) = 9.0f;
}

static void expect_zeros(const struct fixture *f, const char *want)
{
	for (size_t i = 0; want[i] != '\0'; i++)
		ck_assert_msg((*weight_at(f, "fc1.weight", i) == 0.0f) == (want[i] == '0'), "weight %zu of %s is %g", i, want,
		    (double)*weight_at(f, "fc1.weight", i));
}

START_TEST(ties_go_by_position)
{
	static const float same[12] = {2, -2, 2, 2, -2, 2, 2, 2, 2, 2, 2, 2};
	static const float mixed[12] = {3, 1, 2, -2, 5, 2, -1, 2, 7, 8, -9, 4};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .sparsity = 0.25};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};

	twelve(&f, &m, same);
	ck_ok(pare_prune(f.net, &opt, &m, &err)); /* 5 of 20 */
	expect_zeros(&f, "00000.......");
	pare_mask_done(&m);
	fixture_done(&f);
	twelve(&f, &m, mixed);
	opt.sparsity = 0.2; /* 4 of 20: both ones, then the first two of the twos */
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	expect_zeros(&f, ".000..0.....");
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

START_TEST(masked_weights_do_not_come_back)
{
	static const float w[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .sparsity = 0.2};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};

	twelve(&f, &m, w);
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	expect_zeros(&f, "0000........");
	*weight_at(&f, "fc1.weight", 0) = 99.0f; /* as if the loop had let it grow */
	*weight_at(&f, "fc1.weight", 11) = 0.5f;
	opt.sparsity = 0.25;
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	expect_zeros(&f, "0000.......0");
	opt.sparsity = 0.1; /* less than before: nothing returns, nothing more goes */
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	expect_zeros(&f, "0000.......0");
	opt.by_threshold = true;
	opt.threshold = -1e300;
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	expect_zeros(&f, "0000.......0");
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

START_TEST(threshold_takes_what_is_below_it)
{
	static const float w[12] = {0.1f, -0.1f, 0.05f, 3, -0.0f, 0, 0.2f, -0.2f, 1, 1, 1, 1};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .by_threshold = true, .threshold = 0.1f};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};

	twelve(&f, &m, w);
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	expect_zeros(&f, "..0.00......");
	ck_assert(!signbit(*weight_at(&f, "fc1.weight", 4)));
	opt.threshold = 0.1000001; /* above the float 0.1 by less than a float can say below it */
	opt.scope = PARE_SCOPE_LAYER;
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	expect_zeros(&f, "000.00......");
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

START_TEST(excluded_layers_stay_whole)
{
	static const float w[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	static const char *const patterns[] = {"fc2.weight", "fc2*", "fc2", "*"};
	const char *const exclude[] = {"nothing", patterns[_i]};
	struct pare_prune_options opt = {
	    .criterion = pare_criterion_find("magnitude"), .sparsity = 0.5, .exclude = exclude, .n_exclude = 2};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};

	twelve(&f, &m, w);
	for (size_t i = 0; i < 8; i++)
		*weight_at(&f, "fc2.weight", i) = 0.001f;
	if (_i == 3) {
		ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_INVALID);
		ck_assert_ptr_nonnull(strstr(err.message, "excluded"));
	} else {
		ck_ok(pare_prune(f.net, &opt, &m, &err));
		expect_zeros(&f, "000000......"); /* half of the twelve that may go */
		for (size_t i = 0; i < 8; i++)
			ck_assert(*weight_at(&f, "fc2.weight", i) == 0.001f);
	}
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

START_TEST(a_layer_may_end_empty)
{
	static const float w[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .sparsity = 0.6};
	struct pare_sparsity_count count;
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};

	twelve(&f, &m, w);
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	expect_zeros(&f, "000000000000");
	ck_assert(*weight_at(&f, "fc2.weight", 0) == 9.0f);
	pare_prune_count(f.net, &count);
	ck_assert_int_eq(count.n_weights, 20);
	ck_assert_int_eq(count.n_zero, 12);
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

START_TEST(random_is_its_seed)
{
	struct pare_prune_options opt = {.criterion = pare_criterion_find("random"), .sparsity = 0.5, .seed = 1};
	struct pare_mask a, b, c;
	struct fixture f = {0};
	struct pare_err err = {0};
	struct pare_sparsity_count count;
	size_t both = 0;

	circle_net(&f, 1);
	ck_ok(pare_mask_init(&a, f.net, &err));
	ck_ok(pare_mask_init(&b, f.net, &err));
	ck_ok(pare_mask_init(&c, f.net, &err));
	ck_ok(pare_prune(f.net, &opt, &a, &err));
	pare_prune_count(f.net, &count);
	ck_assert_int_eq(count.n_zero, llround(0.5 * (double)count.n_weights));
	ck_ok(pare_prune(f.net, &opt, &b, &err));
	ck_assert_mem_eq(a.keep, b.keep, a.len);
	opt.seed = 2;
	ck_ok(pare_prune(f.net, &opt, &c, &err));
	ck_assert_mem_ne(a.keep, c.keep, a.len);
	opt.seed = 1;
	opt.sparsity = 0.8; /* the same stream: a superset */
	ck_ok(pare_prune(f.net, &opt, &b, &err));
	for (size_t i = 0; i < a.len; i++)
		both += a.keep[i] == 0 && b.keep[i] != 0;
	ck_assert_uint_eq(both, 0);
	pare_mask_done(&a);
	pare_mask_done(&b);
	pare_mask_done(&c);
	fixture_done(&f);
}
END_TEST

START_TEST(wrong_options_are_refused)
{
	static const float w[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	static const double bad[] = {1.0, 1.5, -0.1, NAN};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude")};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};

	twelve(&f, &m, w);
	for (size_t i = 0; i < 4; i++) {
		opt.sparsity = bad[i];
		ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_INVALID);
		ck_assert_ptr_nonnull(strstr(err.message, "[0, 1)"));
	}
	opt.by_threshold = true;
	opt.threshold = INFINITY;
	ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_INVALID);
	opt.threshold = 0.5;
	opt.criterion = pare_criterion_find("random");
	ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_INVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "random"));
	opt.by_threshold = false;
	opt.sparsity = 0.5;
	*weight_at(&f, "fc1.weight", 5) = NAN;
	ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_NONFINITE);
	ck_assert_ptr_nonnull(strstr(err.message, "\"fc1.weight\""));
	ck_assert(!m.any && memchr(m.keep, 0, m.len) == NULL);
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

START_TEST(no_memory_is_an_error)
{
	static const float w[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .sparsity = 0.5};
	struct pare_mask m, other;
	struct fixture f;
	struct pare_err err = {0};
	enum pare_code code;
	long n;

	twelve(&f, &m, w);
	fail_alloc_install(0);
	code = pare_mask_init(&other, f.net, &err);
	ck_assert_int_eq(code, PARE_OK);
	ck_ok(pare_prune(f.net, &opt, &other, &err));
	pare_mask_done(&other);
	n = fail_alloc_count();
	ck_assert_int_eq(fail_alloc_live(), 0);
	fail_alloc_remove();
	ck_assert_int_gt(n, 1);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		code = pare_mask_init(&other, f.net, &err);
		if (code == PARE_OK) {
			code = pare_prune(f.net, &opt, &other, &err);
			pare_mask_done(&other);
		}
		ck_assert_int_eq(code, PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
	}
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

START_TEST(masks_select_and_do_not_multiply)
{
	uint8_t keep[40];
	float w[40];
	struct pare_mask m = {.len = 40, .keep = keep, .any = true};

	for (int i = 0; i < 40; i++) {
		keep[i] = i % 3 == 0;
		w[i] = i % 2 != 0 ? -INFINITY : -1.0f;
	}
	pare_mask_apply(&m, w, 1, 39);
	for (int i = 1; i < 39; i++)
		ck_assert(keep[i] != 0 ? w[i] < 0.0f : (w[i] == 0.0f && !signbit(w[i])));
	ck_assert(w[39] == -INFINITY); /* outside [1, 39) */
	m.any = false;
	keep[3] = 0;
	pare_mask_apply(&m, w, 0, 40);
	ck_assert(w[3] == -INFINITY);
}
END_TEST

static size_t n_scored; /* elements of all tensors but the first */

static void count_scores(const struct pare_score_input *in, float *out)
{
	n_scored += in->param_index > 0 ? in->n : 0;
	for (size_t i = 0; i < in->n; i++)
		out[i] = fabsf(in->w[i]);
}

/* A sensitivity asks for one layer at a time, and there may be thousands. */
START_TEST(layers_that_stay_are_not_ranked)
{
	const struct pare_criterion counting = {.name = "counting", .score = count_scores};
	double by_layer[16] = {0.5};
	struct pare_prune_options opt = {.criterion = &counting, .scope = PARE_SCOPE_LAYER, .by_layer = by_layer};
	struct pare_err err = {0};
	struct pare_mask mask;
	struct pare_rng r;
	struct fixture f;

	pare_rng_init(&r, 9, "test", 0);
	random_net(&f, &r, 30);
	random_weights(&f, &r);
	ck_assert_int_le(pare_net_n_params(f.net), 16);
	ck_assert(pare_net_param(f.net, 0)->prunable);
	ck_assert_int_eq(pare_mask_init(&mask, f.net, &err), PARE_OK);
	ck_assert_int_eq(pare_prune(f.net, &opt, &mask, &err), PARE_OK);
	ck_assert_uint_eq(n_scored, 0);
	ck_assert_uint_eq(masked(&mask, pare_net_param(f.net, 0)), (size_t)llround(0.5 * (double)pare_net_param(f.net, 0)->n_elems));
	for (int p = 1; p < pare_net_n_params(f.net); p++)
		ck_assert_uint_eq(masked(&mask, pare_net_param(f.net, p)), 0);
	/* what is gone already stays gone */
	by_layer[0] = 0;
	ck_assert_int_eq(pare_prune(f.net, &opt, &mask, &err), PARE_OK);
	ck_assert_uint_eq(masked(&mask, pare_net_param(f.net, 0)), (size_t)llround(0.5 * (double)pare_net_param(f.net, 0)->n_elems));
	pare_mask_done(&mask);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("prune");
	TCase *tc = tcase_create("prune");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, counts_are_exact, 0, 10);
	tcase_add_loop_test(tc, counts_are_exact_of_many, 0, 8);
	tcase_add_test(tc, many_must_be_finite);
	tcase_add_test(tc, ties_go_by_position);
	tcase_add_test(tc, layers_that_stay_are_not_ranked);
	tcase_add_test(tc, masked_weights_do_not_come_back);
	tcase_add_test(tc, threshold_takes_what_is_below_it);
	tcase_add_loop_test(tc, excluded_layers_stay_whole, 0, 4);
	tcase_add_test(tc, a_layer_may_end_empty);
	tcase_add_test(tc, random_is_its_seed);
	tcase_add_test(tc, wrong_options_are_refused);
	tcase_add_test(tc, no_memory_is_an_error);
	tcase_add_test(tc, masks_select_and_do_not_multiply);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
