/* Sparsity with a shape: N of every M along the inputs of an output whatever the layout, blocks, and scores that need the whole
 * tensor. */
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/core/train/train_support.h"
#include "tests/support/fail_alloc.h"

static void make(struct fixture *f, struct pare_mask *m, int64_t inputs, int64_t units)
{
	const struct pare_arch_layer layers[] = {{.units = units, .activation = PARE_ACT_RELU}, {.units = 3}};
	struct pare_err err = {0};

	*f = (struct fixture){0};
	net_make(f, inputs, 2, layers, 1, 1);
	ck_ok(pare_mask_init(m, f->net, &err));
}

static void done(struct fixture *f, struct pare_mask *m)
{
	pare_mask_done(m);
	fixture_done(f);
}

/* Every run of M inputs of every output keeps its N largest magnitudes. */
static void check_pattern(const struct fixture *f, const char *name, int64_t n_out, int64_t n_in, const float *before, int keep, int of)
{
	for (int64_t o = 0; o < n_out; o++)
		for (int64_t i = 0; i < n_in; i += of) {
			int64_t len = n_in - i < of ? n_in - i : of, left = 0;
			float top_gone = 0, low_kept = INFINITY;

			for (int64_t k = 0; k < len; k++) {
				size_t at = (size_t)(o * n_in + i + k);
				float now = *weight_at(f, name, at);

				left += now != 0.0f;
				if (now != 0.0f)
					low_kept = fminf(low_kept, fabsf(now));
				else
					top_gone = fmaxf(top_gone, fabsf(before[at]));
			}
			ck_assert_int_eq(left, (keep * len + of - 1) / of);
			ck_assert(top_gone <= low_kept);
		}
}

START_TEST(n_of_every_m_stay)
{
	static const int patterns[][2] = {{2, 4}, {4, 8}, {1, 4}, {1, 1}, {7, 64}, {3, 5}};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .unit = PARE_UNIT_PATTERN};
	int64_t n_in = 4 * (_i + 1) + _i, n_out = 5 + _i;
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};
	float *before;

	for (size_t k = 0; k < sizeof patterns / sizeof patterns[0]; k++) {
		make(&f, &m, n_in, n_out);
		before = malloc((size_t)(n_in * n_out) * sizeof *before);
		memcpy(before, weight_at(&f, "fc1.weight", 0), (size_t)(n_in * n_out) * sizeof *before);
		opt.pattern_keep = patterns[k][0];
		opt.pattern_of = patterns[k][1];
		opt.scope = k % 2 == 0 ? PARE_SCOPE_GLOBAL : PARE_SCOPE_LAYER;
		ck_ok(pare_prune(f.net, &opt, &m, &err));
		check_pattern(&f, "fc1.weight", n_out, n_in, before, patterns[k][0], patterns[k][1]);
		free(before);
		done(&f, &m);
	}
}
END_TEST

START_TEST(patterns_tighten_and_never_loosen)
{
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .unit = PARE_UNIT_PATTERN, .pattern_keep = 3, .pattern_of = 4};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};
	size_t len;
	uint8_t *was;

	make(&f, &m, 16, 8);
	len = m.len;
	was = malloc(len);
	for (opt.pattern_keep = 4; opt.pattern_keep >= 1; opt.pattern_keep--) {
		memcpy(was, m.keep, len);
		ck_ok(pare_prune(f.net, &opt, &m, &err));
		for (size_t i = 0; i < len; i++)
			ck_assert(was[i] != 0 || m.keep[i] == 0);
	}
	memcpy(was, m.keep, len);
	opt.pattern_keep = 3;
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	ck_assert_mem_eq(was, m.keep, len);
	free(was);
	done(&f, &m);
}
END_TEST

START_TEST(blocks_go_whole)
{
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .unit = PARE_UNIT_BLOCK, .block = {2, 3}, .sparsity = 0.5};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};
	int gone = 0;

	make(&f, &m, 8, 5); /* 3 x 3 blocks, those at the edge smaller; the second layer 2 x 2 */
	opt.exclude = (const char *const[]){"fc2.weight"};
	opt.n_exclude = 1;
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	for (int64_t o = 0; o < 5; o += 2)
		for (int64_t i = 0; i < 8; i += 3) {
			bool zero = *weight_at(&f, "fc1.weight", (size_t)(o * 8 + i)) == 0.0f;

			gone += zero;
			for (int64_t a = o; a < o + 2 && a < 5; a++)
				for (int64_t b = i; b < i + 3 && b < 8; b++)
					ck_assert((*weight_at(&f, "fc1.weight", (size_t)(a * 8 + b)) == 0.0f) == zero);
		}
	ck_assert_int_eq(gone, 5); /* round(0.5 * 9), away from zero */
	opt.block[0] = opt.block[1] = 65536; /* one block a tensor */
	opt.sparsity = 0.4;
	done(&f, &m);
	make(&f, &m, 8, 5);
	opt.n_exclude = 0;
	opt.sparsity = 0.5;
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	ck_assert((*weight_at(&f, "fc1.weight", 0) == 0.0f) != (*weight_at(&f, "fc2.weight", 0) == 0.0f));
	done(&f, &m);
}
END_TEST

START_TEST(blocks_by_threshold_and_ties)
{
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .unit = PARE_UNIT_BLOCK, .block = {1, 2}, .by_threshold = true, .threshold = 1.0,
	    .exclude = (const char *const[]){"fc2.weight"}, .n_exclude = 1};
	static const float w[8] = {0.5f, 1.4f, 1, 1, 3, 0, 1, 1};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};

	make(&f, &m, 4, 2);
	memcpy(weight_at(&f, "fc1.weight", 0), w, sizeof w);
	ck_ok(pare_prune(f.net, &opt, &m, &err)); /* means 0.95, 1, 1.5, 1 */
	ck_assert(m.keep[0] == 0 && m.keep[1] == 0 && m.keep[2] == 1 && m.keep[4] == 1);
	opt.by_threshold = false;
	opt.sparsity = 0.5; /* the one that is gone and the first of the two ties */
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	ck_assert(m.keep[2] == 0 && m.keep[3] == 0 && m.keep[6] == 1);
	done(&f, &m);
}
END_TEST

START_TEST(lamp_is_its_definition)
{
	const struct pare_criterion *lamp = pare_criterion_find("lamp");
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};
	const struct pare_param_info *info;
	float *score;
	const float *w;

	make(&f, &m, 31, 17);
	info = pare_net_param(f.net, 0);
	w = pare_net_slab(f.net) + info->offset;
	*weight_at(&f, info->name, 3) = *weight_at(&f, info->name, 9);
	*weight_at(&f, info->name, 4) = 0.0f;
	score = malloc(info->n_elems * sizeof *score);
	ck_ok(lamp->score_tensor(&(struct pare_score_input){.param = info, .w = w, .n = info->n_elems}, score, &err));
	for (size_t i = 0; i < info->n_elems; i++) {
		double sum = 0;

		for (size_t k = 0; k < info->n_elems; k++)
			sum += fabsf(w[k]) >= fabsf(w[i]) ? (double)w[k] * (double)w[k] : 0;
		ck_assert_double_eq_tol(score[i], (double)w[i] * (double)w[i] / sum, 1e-6);
	}
	free(score);
	done(&f, &m);
}
END_TEST

/* Magnitude empties a layer whose weights are small as a whole, lamp does not. */
START_TEST(lamp_empties_no_layer)
{
	struct pare_prune_options opt = {.criterion = pare_criterion_find("lamp"), .sparsity = 0.9};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};
	size_t left = 0, all = 0;

	make(&f, &m, 40, 30);
	for (size_t i = 0; i < 90; i++)
		*weight_at(&f, "fc2.weight", i) *= 1e-6f;
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	for (size_t i = 0; i < 90; i++)
		left += *weight_at(&f, "fc2.weight", i) != 0.0f;
	for (size_t i = 0; i < m.len; i++)
		all += m.keep[i] == 0;
	ck_assert_uint_ge(left, 1);
	ck_assert_uint_eq(all, (size_t)llround(0.9 * 1290));
	done(&f, &m);
}
END_TEST

START_TEST(no_memory_is_an_error)
{
	static const char *const names[] = {"magnitude", "magnitude", "lamp"};
	struct pare_prune_options opt = {.criterion = pare_criterion_find(names[_i]), .unit = _i == 0 ? PARE_UNIT_PATTERN : _i == 1 ? PARE_UNIT_BLOCK : PARE_UNIT_WEIGHT,
	    .pattern_keep = 2, .pattern_of = 4, .block = {2, 2}, .sparsity = 0.5};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};
	long n;

	make(&f, &m, 8, 8);
	fail_alloc_install(0);
	ck_ok(pare_prune(f.net, &opt, &m, &err));
	n = fail_alloc_count();
	fail_alloc_remove();
	ck_assert_int_gt(n, 1);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
	}
	done(&f, &m);
}
END_TEST

START_TEST(impossible_units_are_refused)
{
	struct pare_prune_options opt = {.criterion = pare_criterion_find("magnitude"), .unit = PARE_UNIT_PATTERN, .pattern_keep = 5, .pattern_of = 4};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};

	make(&f, &m, 8, 8);
	ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_INVALID);
	opt.unit = PARE_UNIT_BLOCK;
	ck_assert_int_eq(pare_prune(f.net, &opt, &m, &err), PARE_E_INVALID);
	ck_assert(!m.any);
	done(&f, &m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pattern");
	TCase *tc = tcase_create("pattern");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, n_of_every_m_stay, 0, 5);
	tcase_add_test(tc, patterns_tighten_and_never_loosen);
	tcase_add_test(tc, blocks_go_whole);
	tcase_add_test(tc, blocks_by_threshold_and_ties);
	tcase_add_test(tc, lamp_is_its_definition);
	tcase_add_test(tc, lamp_empties_no_layer);
	tcase_add_loop_test(tc, no_memory_is_an_error, 0, 3);
	tcase_add_test(tc, impossible_units_are_refused);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
