/* Weights that are left of a sparse layer are updated by themselves, the pruned ones not at all: to the bit what an update of everything under
 * the mask gives. Who asks for the movement of the weights gets the latter. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "tests/core/train/train_support.h"

enum { ROWS = 96, EPOCHS = 4, BATCH = 40 };

static const struct pare_arch_layer layers[] = {{.units = 96, .activation = PARE_ACT_TANH}, {.units = 112, .activation = PARE_ACT_TANH}, {.units = 2}};

/* The slab after training; moved: NULL, or where movements go. */
static float *train(int n_threads, const struct pare_train_options *how, float *moved, size_t *len)
{
	struct pare_prune_options prune = {.criterion = pare_criterion_find("random"), .sparsity = 0.96, .seed = 5};
	struct pare_train_options opt = *how;
	struct fixture f = {0};
	struct pare_mask m;
	struct pare_err err = {0};
	float *out;

	net_make(&f, 2, 3, layers, n_threads, BATCH);
	circle_data(&f, ROWS, 0);
	ck_ok(pare_mask_init(&m, f.net, &err));
	ck_ok(pare_prune(f.net, &prune, &m, &err));
	ck_ok(pare_net_promise_zeros(f.net, m.keep, &err));
	ck_assert_int_eq(pare_net_n_sparse(f.net), 1);
	opt.moved = moved;
	ck_ok(pare_train(f.net, f.data, &opt, &m, &err));
	*len = pare_net_slab_len(f.net);
	out = pare_calloc(*len, sizeof *out);
	memcpy(out, pare_net_slab(f.net), *len * sizeof *out);
	for (size_t i = 0; i < *len; i++)
		ck_assert(m.keep[i] || out[i] == 0.0f);
	pare_mask_done(&m);
	fixture_done(&f);
	return out;
}

static void same(int n_threads, const struct pare_train_options *opt)
{
	static float moved[65536];
	size_t n, n_all;
	float *live = train(n_threads, opt, NULL, &n), *all = train(n_threads, opt, moved, &n_all);

	ck_assert_uint_eq(n, n_all);
	ck_assert_uint_le(n, sizeof moved / sizeof *moved);
	ck_assert_mem_eq(live, all, n * sizeof *live);
	pare_free(live);
	pare_free(all);
}

static const char *const optimizer_table[] = {"sgd", "adam", "adamw", "rmsprop"};

START_TEST(as_all_of_it)
{
	for (int threads = 1; threads <= 3; threads++)
		for (int kind = 0; kind < 4; kind++) {
			struct pare_train_options opt = train_options(optimizer_table[_i], 0.01, EPOCHS, BATCH);

			opt.optimizer_args.momentum = kind > 0 ? 0.9 : 0;
			opt.optimizer_args.nesterov = _i == 0 && kind == 2;
			opt.clip_norm = kind == 2 ? 0.01 : 0;
			opt.clip_value = kind == 3 ? 0.001 : 0;
			if (kind == 1)
				add_penalty(&opt, "l1", 0.002);
			same(threads, &opt);
		}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("weights that are left");
	TCase *tc = tcase_create("live");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, as_all_of_it, 0, (int)(sizeof optimizer_table / sizeof *optimizer_table));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
