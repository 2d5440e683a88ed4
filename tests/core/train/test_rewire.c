/* Training that moves masks and weights besides following the gradient: exchanges, fading, sums of movement. Each is held against
 * what a slow reading of its formula gives. */
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/train/observe.h"
#include "tests/core/train/train_support.h"

enum { ROWS = 96 };

static const struct pare_arch_layer layers[] = {{.units = 17, .activation = PARE_ACT_TANH}, {.units = 9, .activation = PARE_ACT_TANH}, {.units = 2}};

static void make(struct fixture *f, int n_threads)
{
	*f = (struct fixture){0};
	net_make(f, 2, 3, layers, n_threads, ROWS);
	circle_data(f, ROWS, 0);
}

static float *copy(const struct fixture *f)
{
	size_t n = pare_net_slab_len(f->net);
	float *out = pare_calloc(n, sizeof *out);

	memcpy(out, pare_net_slab(f->net), n * sizeof *out);
	return out;
}

/* Six in ten of the second layer go, the others stay whole. */
static void sparse(struct fixture *f, struct pare_mask *m)
{
	static const char *const exclude[] = {"fc1.weight", "fc3.weight"};
	struct pare_prune_options opt = {.criterion = pare_criterion_find("random"), .sparsity = 0.6, .seed = 5, .exclude = exclude, .n_exclude = 2};
	struct pare_err err = {0};

	ck_ok(pare_mask_init(m, f->net, &err));
	ck_ok(pare_prune(f->net, &opt, m, &err));
}

static int n_kept(const struct fixture *f, const struct pare_mask *m)
{
	int n = 0;

	for (size_t i = 0; i < pare_net_slab_len(f->net); i++)
		n += m->keep[i];
	return n;
}

/* The best of n by value, where allowed; slow and plain. */
static size_t best(size_t n, const float *value, float sign, const uint8_t *allowed)
{
	size_t at = n;

	for (size_t i = 0; i < n; i++)
		if (allowed[i] && (at == n || sign * fabsf(value[i]) > sign * fabsf(value[at])))
			at = i;
	ck_assert_uint_lt(at, n);
	return at;
}

/* Second update of two, all rows at once: after the first come the gradients that pare_observe finds. */
START_TEST(an_exchange_is_that_of_the_paper)
{
	enum { N = 17 * 9 };
	struct pare_observe_options look = {.stat = PARE_STAT_GRAD, .n_rows = ROWS, .batch_size = ROWS};
	struct pare_train_options opt = train_options("sgd", 0.3, 1, ROWS);
	struct pare_rewire re = {.every = 1, .share = 0.4, .until = 1};
	uint8_t keep[N], free_[N], was[N];
	struct fixture a, b;
	struct pare_mask m, k;
	struct pare_err err = {0};
	size_t at, n = 0, moved;
	float *w, *g;

	make(&a, 1 + _i);
	make(&b, 1 + _i);
	sparse(&a, &m);
	sparse(&b, &k);
	at = (size_t)(weight_at(&a, "fc2.weight", 0) - pare_net_slab(a.net));
	ck_ok(pare_train(a.net, a.data, &opt, &m, &err));
	w = copy(&a);
	g = copy(&a);
	ck_ok(pare_observe(a.net, a.data, &look, g, &err));
	for (size_t i = 0; i < N; i++)
		n += was[i] = keep[i] = m.keep[at + i];
	/* step 1 of 2: a cosine's middle */
	moved = (size_t)(0.4 / 2 * (1 + cos(M_PI / 2)) * (double)n);
	ck_assert_uint_gt(moved, 5);
	for (size_t i = 0; i < moved; i++)
		keep[best(N, w + at, -1, keep)] = 0;
	for (size_t i = 0; i < N; i++)
		free_[i] = !keep[i];
	for (size_t i = 0; i < moved; i++) {
		size_t come = best(N, g + at, 1, free_);

		free_[come] = 0;
		keep[come] = 1;
	}
	ck_assert_mem_ne(keep, was, N);
	opt.epochs = 2;
	opt.rewire = &re;
	re.mask = &k;
	ck_ok(pare_train(b.net, b.data, &opt, &k, &err));
	ck_assert_mem_eq(keep, k.keep + at, N);
	for (size_t i = 0; i < N; i++)
		ck_assert_float_eq_tol(pare_net_slab(b.net)[at + i], was[i] && keep[i] ? w[at + i] : 0.0f, 1e-6f);
	for (size_t i = 0; i < pare_net_slab_len(b.net); i++)
		ck_assert(k.keep[i] == 1 || (i >= at && i < at + N)); /* whole layers stay whole */
	pare_free(w);
	pare_free(g);
	pare_mask_done(&m);
	pare_mask_done(&k);
	fixture_done(&a);
	fixture_done(&b);
}
END_TEST

START_TEST(the_number_stays)
{
	struct pare_train_options opt = train_options("adam", 0.01, 30, 16);
	struct pare_rewire re = {.every = 4, .share = 0.3, .until = 0.75};
	struct fixture f;
	struct pare_mask m;
	struct pare_err err = {0};
	uint8_t *was;
	int n;

	make(&f, 2);
	sparse(&f, &m);
	n = n_kept(&f, &m);
	was = pare_alloc(m.len);
	memcpy(was, m.keep, m.len);
	re.mask = &m;
	opt.rewire = &re;
	ck_ok(pare_train(f.net, f.data, &opt, &m, &err));
	ck_assert_int_eq(n_kept(&f, &m), n);
	ck_assert_mem_ne(was, m.keep, m.len);
	for (size_t i = 0; i < m.len; i++)
		ck_assert(m.keep[i] || pare_net_slab(f.net)[i] == 0.0f);
	opt.keep_best = true;
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, &m, &err), PARE_E_INVALID);
	pare_free(was);
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

START_TEST(exchanges_come_when_they_should)
{
	const struct pare_rewire r = {.every = 10, .share = 0.3, .until = 0.5};

	ck_assert_double_eq(pare_rewire_share(&r, 0, 200), 0);
	ck_assert_double_eq(pare_rewire_share(&r, 15, 200), 0);
	ck_assert_double_eq_tol(pare_rewire_share(&r, 50, 200), 0.15, 1e-12);
	ck_assert_double_eq_tol(pare_rewire_share(&r, 10, 200), 0.15 * (1 + cos(M_PI / 10)), 1e-12);
	ck_assert_double_gt(pare_rewire_share(&r, 90, 200), 0);
	ck_assert_double_eq(pare_rewire_share(&r, 100, 200), 0);
}
END_TEST

/* Plain descent over all rows: the gradient of an update is (before - after) / lr. */
START_TEST(movement_adds_up)
{
	enum { STEPS = 5 };
	const double lr = 0.2;
	struct pare_train_options opt = train_options("sgd", lr, 1, ROWS);
	struct fixture f, whole;
	struct pare_err err = {0};
	size_t n;
	double *want;
	float *got;

	make(&f, 1);
	make(&whole, 2);
	n = pare_net_slab_len(f.net);
	want = pare_calloc(n, sizeof *want);
	got = pare_calloc(n, sizeof *got);
	for (int s = 0; s < STEPS; s++) {
		float *before = copy(&f);

		ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
		for (size_t i = 0; i < n; i++)
			want[i] -= (double)before[i] * ((double)before[i] - (double)pare_net_slab(f.net)[i]) / lr;
		pare_free(before);
	}
	opt.epochs = STEPS;
	opt.moved = got;
	ck_ok(pare_train(whole.net, whole.data, &opt, NULL, &err));
	for (size_t i = 0; i < n; i++)
		ck_assert_double_eq_tol((double)got[i], want[i], 1e-5);
	pare_free(want);
	pare_free(got);
	fixture_done(&f);
	fixture_done(&whole);
}
END_TEST

/* Two updates: lambda is half of itself, then whole. */
START_TEST(what_fades_shrinks)
{
	const double lr = 0.2, lambda = 3;
	struct pare_train_options opt = train_options("sgd", lr, 1, ROWS);
	struct pare_fade fade = {.lambda = lambda};
	struct fixture f, g;
	struct pare_err err = {0};
	uint8_t *marks;
	size_t n;

	make(&f, 1);
	make(&g, 2);
	n = pare_net_slab_len(f.net);
	marks = pare_calloc(n, 1);
	for (size_t i = 0; i < n; i += 3)
		marks[i] = 1;
	for (int s = 1; s <= 2; s++) {
		ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
		for (size_t i = 0; i < n; i++)
			if (marks[i])
				pare_net_slab(f.net)[i] /= (float)(1 + lr * lambda * s / 2);
	}
	opt.epochs = 2;
	opt.fade = &fade;
	fade.marks = marks;
	ck_ok(pare_train(g.net, g.data, &opt, NULL, &err));
	for (size_t i = 0; i < n; i++)
		ck_assert_float_eq_tol(pare_net_slab(g.net)[i], pare_net_slab(f.net)[i], 1e-6f);
	opt.epochs = 200;
	fade.lambda = 1000;
	ck_ok(pare_train(g.net, g.data, &opt, NULL, &err));
	for (size_t i = 0; i < n; i++)
		ck_assert(!marks[i] || fabsf(pare_net_slab(g.net)[i]) < 1e-2f);
	pare_free(marks);
	fixture_done(&f);
	fixture_done(&g);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rewire");
	TCase *tc = tcase_create("rewire");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, an_exchange_is_that_of_the_paper, 0, 2);
	tcase_add_test(tc, the_number_stays);
	tcase_add_test(tc, exchanges_come_when_they_should);
	tcase_add_test(tc, movement_adds_up);
	tcase_add_test(tc, what_fades_shrinks);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
