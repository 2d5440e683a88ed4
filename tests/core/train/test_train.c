/* The loop as a user sees it: it reaches the solutions that theory gives, obeys masks and options, repeats itself to the
 * bit, allocates before it runs, and stops when told or when it must. */
#include <float.h>
#include <math.h>

#include "core/base/rng.h"
#include "tests/core/train/train_support.h"
#include "tests/support/fail_alloc.h"

static const struct pare_arch_layer one_unit[] = {{.units = 1}};

/* Solves a[n][n] x = b by elimination with pivots; small and symmetric here. */
static void solve(int n, double a[4][4], double b[4])
{
	for (int i = 0; i < n; i++) {
		int top = i;

		for (int r = i + 1; r < n; r++)
			top = fabs(a[r][i]) > fabs(a[top][i]) ? r : top;
		for (int c = 0; c < n; c++) {
			double t = a[i][c];

			a[i][c] = a[top][c];
			a[top][c] = t;
		}
		double t = b[i];
		b[i] = b[top];
		b[top] = t;
		for (int r = 0; r < n; r++) {
			double f = a[r][i] / a[i][i];

			for (int c = i; c < n && r != i; c++)
				a[r][c] -= f * a[i][c];
			b[r] -= r != i ? f * b[i] : 0.0;
		}
	}
	for (int i = 0; i < n; i++)
		b[i] /= a[i][i];
}

/* Minimum of mean (x w + c - y)^2 + (l2 / 2) |w|^2: the normal equations with the free constant as fourth unknown. */
START_TEST(least_squares_reaches_the_ridge_solution)
{
	enum { ROWS = 40 };
	const double l2 = _i * 0.4;
	struct pare_train_options opt = train_options("sgd", 0.1, 400, ROWS);
	double a[4][4] = {{0}}, b[4] = {0};
	struct fixture f = {0};
	struct pare_err err = {0};
	struct pare_rng r;

	pare_rng_init(&r, 9, "test", 0);
	net_make(&f, 3, 1, one_unit, 2, ROWS);
	csv_begin(&f, 3);
	for (int i = 0; i < ROWS; i++) {
		double x[4] = {pare_rng_normal(&r), pare_rng_normal(&r), pare_rng_normal(&r), 1.0};
		double y = 2.0 * x[0] - x[1] + 0.5 + 0.3 * pare_rng_normal(&r);

		csv_row(&f, 3, x, y);
		for (int j = 0; j < 4; j++) {
			for (int k = 0; k < 4; k++)
				a[j][k] += 2.0 / ROWS * x[j] * x[k];
			b[j] += 2.0 / ROWS * x[j] * y;
		}
	}
	for (int j = 0; j < 3; j++)
		a[j][j] += l2;
	solve(4, a, b);
	csv_end(&f, PARE_TASK_REGRESS, 0.0);
	add_penalty(&opt, "l2", l2);
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	for (size_t j = 0; j < 3; j++)
		ck_assert_double_eq_tol((double)*weight_at(&f, "fc1.weight", j), b[j], 1e-5);
	ck_assert_double_eq_tol((double)*weight_at(&f, "fc1.bias", 0), b[3], 1e-5);
	fixture_done(&f);
}
END_TEST

/* Hadamard columns: X^T X / n = 1, so mean (x w + c - y)^2 + l1 |w| has w_j = soft(z_j, l1 / 2), z_j = mean x_j y. */
START_TEST(lasso_on_orthonormal_columns_is_the_soft_threshold)
{
	static const double z[4] = {1.5, -0.2, 0.3, -0.9};
	static const double want[4] = {1.25, 0.0, 0.05, -0.65};
	struct pare_train_options opt = train_options("sgd", 0.2, 200, 8);
	struct fixture f = {0};
	struct pare_err err = {0};

	net_make(&f, 4, 1, one_unit, 1, 8);
	csv_begin(&f, 4);
	for (int i = 0; i < 8; i++) {
		double x[4] = {i & 1 ? -1 : 1, i & 2 ? -1 : 1, i & 4 ? -1 : 1, (i ^ i >> 1) & 1 ? -1 : 1};
		double y = 0.7;

		for (int j = 0; j < 4; j++)
			y += z[j] * x[j];
		csv_row(&f, 4, x, y);
	}
	csv_end(&f, PARE_TASK_REGRESS, 0.0);
	add_penalty(&opt, "l1", 0.5);
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	for (size_t j = 0; j < 4; j++)
		ck_assert_double_eq_tol((double)*weight_at(&f, "fc1.weight", j), want[j], 1e-5);
	ck_assert(*weight_at(&f, "fc1.weight", 1) == 0.0f && !signbit(*weight_at(&f, "fc1.weight", 1)));
	ck_assert_double_eq_tol((double)*weight_at(&f, "fc1.bias", 0), 0.7, 1e-5); /* biases are not penalised */
	fixture_done(&f);
}
END_TEST

static void affine(const struct fixture *f, const char *weight, const char *bias, size_t n_in, const double *x, size_t n_out, double *y)
{
	const float *w = weight_at(f, weight, 0), *b = weight_at(f, bias, 0);

	for (size_t j = 0; j < n_out; j++) {
		y[j] = (double)b[j];
		for (size_t k = 0; k < n_in; k++)
			y[j] += (double)w[j * n_in + k] * x[k];
	}
}

/* Mean cross entropy of circle_net over the training rows, in double, from the slab; classes weighted. */
static double circle_loss_weighted(const struct fixture *f, const double weights[2])
{
	double total = 0.0, all = 0.0;
	uint32_t n;
	const uint32_t *rows = pare_data_rows(f->data, PARE_SPLIT_TRAIN, &n);

	for (uint32_t i = 0; i < n; i++) {
		float in[2];
		int32_t y;
		double x[2], h1[16], h2[8], o[2];

		pare_data_fill(f->data, 0, rows + i, 1, in);
		pare_data_classes(f->data, 0, rows + i, 1, &y);
		x[0] = (double)in[0];
		x[1] = (double)in[1];
		affine(f, "fc1.weight", "fc1.bias", 2, x, 16, h1);
		for (size_t j = 0; j < 16; j++)
			h1[j] = tanh(h1[j]);
		affine(f, "fc2.weight", "fc2.bias", 16, h1, 8, h2);
		for (size_t j = 0; j < 8; j++)
			h2[j] = fmax(h2[j], 0.0);
		affine(f, "fc3.weight", "fc3.bias", 8, h2, 2, o);
		total += weights[y] * (log(exp(o[0]) + exp(o[1])) - o[y]);
		all += weights[y];
	}
	return total / all;
}

static double circle_loss(const struct fixture *f)
{
	static const double even[] = {1, 1};

	return circle_loss_weighted(f, even);
}

static bool keep_train_loss(void *ctx, const struct pare_train_report *r)
{
	*(double *)ctx = r->train_loss;
	return true;
}

/* One step of SGD with lr 1 moves every weight by its gradient: compare with differences of an independent forward. */
START_TEST(one_step_is_the_gradient)
{
	enum { ROWS = 30 };
	struct pare_train_options opt = train_options("sgd", 1.0, 1, ROWS);
	struct fixture f = {0};
	struct pare_err err = {0};
	float before[1024], step[1024];
	size_t len;

	circle_net(&f, _i);
	circle_data(&f, ROWS, 0.0);
	len = pare_net_slab_len(f.net);
	ck_assert_uint_le(len, 1024);
	memcpy(before, pare_net_slab(f.net), len * sizeof *before);
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	for (size_t i = 0; i < len; i++)
		step[i] = before[i] - pare_net_slab(f.net)[i];
	memcpy(pare_net_slab(f.net), before, len * sizeof *before);
	for (int p = 0; p < pare_net_n_params(f.net); p++)
		for (size_t i = 0; i < pare_net_param(f.net, p)->n_elems; i++) {
			float *w = pare_net_slab(f.net) + pare_net_param(f.net, p)->offset + i, was = *w;
			double up, down, width;

			*w = was + 1e-3f;
			width = (double)*w;
			up = circle_loss(&f);
			*w = was - 1e-3f;
			width -= (double)*w;
			down = circle_loss(&f);
			*w = was;
			ck_assert_msg(fabs((up - down) / width - (double)step[w - pare_net_slab(f.net)]) < 2e-4, "%s[%zu]: %g, not %g",
			    pare_net_param(f.net, p)->name, i, (double)step[w - pare_net_slab(f.net)], (up - down) / width);
		}
	fixture_done(&f);
}
END_TEST

static void gradient_step(int n_threads, double clip_norm, double clip_value, float out[1024])
{
	struct pare_train_options opt = train_options("sgd", 1.0, 1, 30);
	struct fixture f = {0};
	struct pare_err err = {0};

	circle_net(&f, n_threads);
	circle_data(&f, 30, 0.0);
	ck_assert_uint_le(pare_net_slab_len(f.net), 1024);
	memset(out, 0, 1024 * sizeof *out);
	memcpy(out, pare_net_slab(f.net), pare_net_slab_len(f.net) * sizeof *out);
	opt.clip_norm = clip_norm;
	opt.clip_value = clip_value;
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	for (size_t i = 0; i < pare_net_slab_len(f.net); i++)
		out[i] -= pare_net_slab(f.net)[i];
	fixture_done(&f);
}

/* The mean over weighted classes divides by the weights of the whole batch, not of a shard: two classes of weight 3 and 0.5, one step. */
START_TEST(class_weights_divide_by_the_batch)
{
	static const double weights[] = {3, 0.5};
	static float step[3][1024];

	for (int threads = 1; threads <= 3; threads++) {
		struct pare_train_options opt = train_options("sgd", 1.0, 1, 30);
		struct pare_objective loss = pare_objective("cross_entropy");
		struct fixture f = {0};
		struct pare_err err = {0};
		struct pare_fit fit;
		double before = 0, after;

		loss.class_weights = weights;
		loss.n_class_weights = 2;
		circle_net(&f, threads);
		circle_data(&f, 30, 0.0);
		ck_ok(pare_fit_make(f.net, f.data, NULL, &fit, &err));
		ck_ok(pare_fit_set_loss(&fit, NULL, &loss, 1, &err));
		opt.fit = &fit;
		opt.report = keep_train_loss;
		opt.report_ctx = &before;
		after = circle_loss_weighted(&f, weights);
		ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
		ck_assert_double_eq_tol(before, after, 1e-5);
		memcpy(step[threads - 1], pare_net_slab(f.net), pare_net_slab_len(f.net) * sizeof(float));
		for (int i = 0; i < 1024; i++)
			ck_assert_double_eq_tol((double)step[threads - 1][i], (double)step[0][i], 1e-5);
		fixture_done(&f);
	}
}
END_TEST

/* Units of the first layer that the penalty takes out are out as a whole, with one thread and with two. */
START_TEST(group_lasso_empties_units)
{
	struct pare_train_options opt = train_options("sgd", 0.05, 40, 16);
	struct fixture f = {0};
	struct pare_err err = {0};
	int n_empty = 0, n_full = 0;

	circle_net(&f, 1 + _i);
	circle_data(&f, 120, 0.0);
	add_penalty(&opt, "group_lasso", 0.016);
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	for (size_t u = 0; u < 8; u++) {
		int n_zero = 0;

		for (size_t k = 0; k < 16; k++)
			n_zero += *weight_at(&f, "fc2.weight", u * 16 + k) == 0.0f;
		n_empty += n_zero == 16;
		n_full += n_zero == 0;
	}
	ck_assert_int_gt(n_empty, 0);
	ck_assert_int_gt(n_full, 0);
	ck_assert_int_eq(n_empty + n_full, 8);
	fixture_done(&f);
}
END_TEST

/* One step of SGD with lr 1, its gradient clipped, against the same one unclipped. */
START_TEST(gradients_are_clipped)
{
	static float plain[1024], by_norm[1024], by_value[1024];
	double squares = 0, norm;

	gradient_step(1, 0, 0, plain);
	for (int i = 0; i < 1024; i++)
		squares += (double)plain[i] * (double)plain[i];
	norm = sqrt(squares);
	ck_assert_double_gt(norm, 0.05);
	for (int threads = 1; threads <= 2; threads++) {
		gradient_step(threads, norm / 4, 0, by_norm);
		gradient_step(threads, 0, 0.02, by_value);
		for (int i = 0; i < 1024; i++) {
			ck_assert_double_eq_tol((double)by_norm[i], (double)plain[i] / 4, 1e-6);
			ck_assert_double_eq_tol((double)by_value[i], fmax(-0.02, fmin(0.02, (double)plain[i])), 1e-6);
		}
		gradient_step(threads, norm * 2, 0, by_norm); /* shorter already */
		for (int i = 0; i < 1024; i++)
			ck_assert_double_eq_tol((double)by_norm[i], (double)plain[i], 1e-6);
	}
}
END_TEST

static const struct mask_case {
	const char *optimizer;
	double momentum, l1, l2, group, clip_norm, clip;
	bool nesterov;
} mask_table[] = {
    {.optimizer = "sgd"},
    {.optimizer = "sgd", .momentum = 0.9, .l2 = 1e-2},
    {.optimizer = "sgd", .momentum = 0.9, .nesterov = true, .l1 = 1e-3},
    {.optimizer = "adam", .l2 = 1e-2},
    {.optimizer = "adam", .l1 = 1e-3, .clip = 0.4},
    {.optimizer = "adamw", .group = 1e-3, .clip_norm = 0.5},
    {.optimizer = "rmsprop", .momentum = 0.5, .l2 = 1e-2, .group = 1e-3},
};

START_TEST(masks_hold)
{
	const struct mask_case *c = &mask_table[_i];
	struct pare_train_options opt = train_options(c->optimizer, 0.02, 5, 7);
	struct pare_prune_options prune = {.criterion = pare_criterion_find("magnitude"), .sparsity = 0.6};
	static const float zero;
	struct fixture f = {0};
	struct pare_mask m;
	struct pare_err err = {0};
	float before[1024];
	int n_changed = 0;

	circle_net(&f, 2);
	circle_data(&f, 60, 0.0);
	opt.optimizer_args.momentum = c->momentum;
	opt.optimizer_args.nesterov = c->nesterov;
	add_penalty(&opt, "l1", c->l1);
	add_penalty(&opt, "l2", c->l2);
	add_penalty(&opt, "group_lasso", c->group);
	opt.clip_norm = c->clip_norm;
	opt.clip_weights = c->clip;
	ck_ok(pare_mask_init(&m, f.net, &err));
	ck_ok(pare_prune(f.net, &prune, &m, &err));
	memcpy(before, pare_net_slab(f.net), m.len * sizeof *before);
	ck_ok(pare_train(f.net, f.data, &opt, &m, &err));
	for (size_t i = 0; i < m.len; i++) {
		if (m.keep[i] == 0)
			ck_assert_mem_eq(pare_net_slab(f.net) + i, &zero, sizeof zero);
		n_changed += pare_net_slab(f.net)[i] != before[i];
	}
	ck_assert_int_gt(n_changed, 50);
	for (int p = 0; p < pare_net_n_params(f.net) && c->clip > 0.0; p++)
		for (size_t i = 0; i < pare_net_param(f.net, p)->n_elems && pare_net_param(f.net, p)->prunable; i++)
			ck_assert(fabs((double)pare_net_slab(f.net)[pare_net_param(f.net, p)->offset + i]) <= (double)(float)c->clip);
	pare_mask_done(&m);
	fixture_done(&f);
}
END_TEST

/* Layers that shards divide by units (core/graph/plan_split.c): the same training as on one thread, up to rounding. */
START_TEST(divided_layers_train_alike)
{
	static const struct pare_arch_layer layers[] = {{.units = 96, .activation = PARE_ACT_TANH}, {.units = 96, .activation = PARE_ACT_TANH}, {.units = 2}};
	struct fixture f[4] = {{.net = NULL}};
	struct pare_err err = {0};

	for (int t = 0; t < 4; t++) {
		const struct mask_case *c = &mask_table[_i];
		struct pare_train_options opt = train_options(c->optimizer, 0.01, 3, 30);

		opt.optimizer_args.momentum = c->momentum;
		opt.optimizer_args.nesterov = c->nesterov;
		opt.clip_norm = c->clip_norm;
		opt.clip_weights = c->clip;
		add_penalty(&opt, "l1", c->l1);
		add_penalty(&opt, "l2", c->l2);
		net_make(&f[t], 2, 3, layers, t + 1, 30);
		circle_data(&f[t], 100, 0.0);
		ck_ok(pare_train(f[t].net, f[t].data, &opt, NULL, &err));
		for (size_t i = 0; i < pare_net_slab_len(f[0].net); i++)
			ck_assert_double_eq_tol((double)pare_net_slab(f[t].net)[i], (double)pare_net_slab(f[0].net)[i], 2e-5);
	}
	for (int t = 0; t < 4; t++)
		fixture_done(&f[t]);
}
END_TEST

static void train_copy(int n_threads, uint64_t seed, int stage, const char *optimizer, float out[1024])
{
	struct pare_train_options opt = train_options(optimizer, 0.01, 3, 16);
	struct fixture f = {0};
	struct pare_err err = {0};

	circle_net(&f, n_threads);
	circle_data(&f, 150, 0.2);
	opt.seed = seed;
	opt.stage = stage;
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	memcpy(out, pare_net_slab(f.net), pare_net_slab_len(f.net) * sizeof *out);
	fixture_done(&f);
}

START_TEST(same_options_same_bits)
{
	static const char *const optimizers[] = {"sgd", "adam"};
	static float a[1024], b[1024];

	for (int threads = 1; threads <= 2; threads++) {
		train_copy(threads, 1, 0, optimizers[_i], a);
		train_copy(threads, 1, 0, optimizers[_i], b);
		ck_assert_mem_eq(a, b, sizeof a);
	}
	train_copy(2, 2, 0, optimizers[_i], b);
	ck_assert_mem_ne(a, b, sizeof a);
	train_copy(2, 1, 1, optimizers[_i], b);
	ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

struct log {
	struct pare_train_report r[64];
	int n, stop_after;
};

static bool note(void *ctx, const struct pare_train_report *r)
{
	struct log *log = ctx;

	log->r[log->n++] = *r;
	return log->n != log->stop_after;
}

static int64_t ticks(void *ctx)
{
	int64_t *t = ctx;

	return *t += 1500000000;
}

START_TEST(reports_tell_what_happens)
{
	int64_t t = 0;
	const struct pare_env env = {.tick_ns = ticks, .ctx = &t};
	struct pare_train_options opt = train_options("adam", 0.02, 40, 10);
	struct log log = {.n = 0};
	struct fixture f = {0};
	struct pare_metrics m = {0};
	struct pare_err err = {0};

	circle_net(&f, 2);
	circle_data(&f, 250, 0.2);
	opt.report = note;
	opt.report_ctx = &log;
	opt.env = &env;
	opt.lr_schedule = pare_lr_find("step");
	opt.lr_args = (struct pare_lr_args){.gamma = 0.5, .every = 20};
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	ck_assert_int_eq(log.n, 40);
	ck_assert_int_eq(log.r[0].epoch, 1);
	ck_assert_int_eq(log.r[39].epoch, 40);
	ck_assert_int_eq(log.r[39].epochs, 40);
	ck_assert_double_eq_tol(log.r[19].lr, 0.02, 1e-12);
	ck_assert_double_eq_tol(log.r[20].lr, 0.01, 1e-12);
	ck_assert_double_eq_tol(log.r[5].seconds, 1.5, 1e-9);
	ck_assert_double_lt(log.r[39].train_loss, log.r[0].train_loss / 2.0);
	ck_assert_double_gt(log.r[39].validation_accuracy, 0.85);
	ck_ok(pare_eval(f.net, f.data, PARE_SPLIT_VALIDATION, NULL, &m, &err));
	ck_assert_double_eq(m.loss, log.r[39].validation_loss);
	ck_assert_double_eq(m.accuracy, log.r[39].validation_accuracy);
	pare_metrics_done(&m);
	fixture_done(&f);
}
END_TEST

/* An lr that is too large for peace: the best epoch is not the last. */
START_TEST(keep_best_ends_with_the_best_epoch)
{
	struct pare_train_options opt = train_options("sgd", 0.9, 20, 5);
	struct log log = {.n = 0};
	struct fixture f = {0};
	struct pare_metrics m = {0};
	struct pare_err err = {0};
	double best = 0.0;

	circle_net(&f, 1);
	circle_data(&f, 120, 0.3);
	opt.keep_best = true;
	opt.report = note;
	opt.report_ctx = &log;
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	for (int i = 0; i < log.n; i++)
		best = fmax(best, log.r[i].validation_accuracy);
	ck_ok(pare_eval(f.net, f.data, PARE_SPLIT_VALIDATION, NULL, &m, &err));
	ck_assert_double_eq(m.accuracy, best);
	ck_assert_double_gt(best, log.r[log.n - 1].validation_accuracy);
	pare_metrics_done(&m);
	fixture_done(&f);
}
END_TEST

START_TEST(patience_stops_early)
{
	struct pare_train_options opt = train_options("adam", 0.05, 60, 5);
	struct log log = {.n = 0};
	struct fixture f = {0};
	struct pare_err err = {0};

	circle_net(&f, 1);
	circle_data(&f, 60, 0.4);
	opt.patience = 3;
	opt.report = note;
	opt.report_ctx = &log;
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	ck_assert_int_lt(log.n, 60);
	ck_assert_int_gt(log.n, 3);
	for (int i = log.n - 3; i < log.n; i++)
		ck_assert_double_ge(log.r[i].validation_loss, log.r[log.n - 4].validation_loss);
	fixture_done(&f);
}
END_TEST

START_TEST(report_can_cancel)
{
	struct pare_train_options opt = train_options("sgd", 0.1, 10, 8);
	struct log log = {.stop_after = 2};
	struct fixture f = {0};
	struct pare_err err = {0};

	circle_net(&f, 2);
	circle_data(&f, 50, 0.0);
	opt.report = note;
	opt.report_ctx = &log;
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_CANCELED);
	ck_assert_int_eq(log.n, 2);
	ck_assert_ptr_nonnull(strstr(err.message, "epoch 2"));
	ck_assert(isnan(log.r[0].validation_loss) && isnan(log.r[0].validation_accuracy));
	fixture_done(&f);
}
END_TEST

static atomic_bool canceled;
static int n_steps;

/* A learning rate is asked for once a step. */
static double cancel_in_step_7(const struct pare_lr_args *a, const struct pare_lr_point *p)
{
	(void)a;
	(void)p;
	if (++n_steps == 7)
		atomic_store(&canceled, true);
	return 1.0;
}

START_TEST(cancel_ends_within_an_epoch)
{
	static const struct pare_lr_schedule schedule = {.name = "cancel", .factor = cancel_in_step_7};
	struct pare_train_options opt = train_options("sgd", 0.1, 10, 2);
	struct log log = {.n = 0};
	struct fixture f = {0};
	struct pare_err err = {0};

	circle_net(&f, _i);
	circle_data(&f, 60, 0.0);
	opt.lr_schedule = &schedule;
	opt.cancel = &canceled;
	opt.report = note;
	opt.report_ctx = &log;
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_CANCELED);
	ck_assert_int_eq(n_steps, 7);
	ck_assert_int_eq(log.n, 0);
	ck_assert_ptr_nonnull(strstr(err.message, "epoch 1"));
	fixture_done(&f);
}
END_TEST

START_TEST(divergence_names_epoch_and_step)
{
	struct pare_train_options opt = train_options("sgd", 1e20, 10, 8);
	struct fixture f = {0};
	struct pare_err err = {0};
	int epoch = 0, step = 0;

	net_make(&f, 2, 1, (const struct pare_arch_layer[]){{.units = 1}}, _i, 8);
	csv_begin(&f, 2);
	for (int i = 0; i < 50; i++)
		csv_row(&f, 2, (double[]){i * 0.1, 1.0 - i * 0.2}, i * 0.7);
	csv_end(&f, PARE_TASK_REGRESS, 0.0);
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_DIVERGED);
	ck_assert_int_eq(sscanf(err.where, "epoch %d, step %d", &epoch, &step), 2);
	ck_assert_int_eq(epoch, 1);
	ck_assert(step >= 2 && step <= 7);
	ck_assert_ptr_nonnull(strstr(err.message, "lr"));
	fixture_done(&f);
}
END_TEST

START_TEST(wrong_options_are_refused)
{
	struct pare_train_options opt = train_options("sgd", 0.1, 0, 8);
	struct fixture f = {0};
	struct pare_err err = {0};

	circle_net(&f, 1);
	circle_data(&f, 20, 0.0);
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_INVALID);
	opt = train_options("sgd", 0.1, 1, 0);
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_INVALID);
	opt = train_options("sgd", NAN, 1, 8);
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_INVALID);
	pare_data_free(f.data);
	pare_buf_done(&f.csv);
	csv_begin(&f, 3); /* rows of three do not fit the net's two */
	csv_row(&f, 3, (double[]){1, 2, 3}, 0);
	csv_row(&f, 3, (double[]){3, 2, 1}, 1);
	csv_end(&f, PARE_TASK_CLASSIFY, 0.0);
	opt = train_options("sgd", 0.1, 1, 2);
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_SHAPE);
	fixture_done(&f);
}
END_TEST

/* Batches larger than the split, of one row, and with a short last one all see every row once. */
START_TEST(odd_batches_work)
{
	static const int sizes[] = {1, 7, 31, 32, 32};
	struct pare_train_options opt = train_options("sgd", 1e-20, 1, sizes[_i]);
	struct log log = {.n = 0};
	struct fixture f = {0};
	struct pare_err err = {0};

	circle_net(&f, 2);
	circle_data(&f, _i == 4 ? 9 : 32, 0.0);
	opt.report = note;
	opt.report_ctx = &log;
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	ck_assert_double_eq_tol(log.r[0].train_loss, circle_loss(&f), 1e-5);
	fixture_done(&f);
}
END_TEST

static enum pare_code train_epochs(struct fixture *f, int epochs, struct pare_err *err)
{
	struct pare_train_options opt = train_options("adam", 0.001, epochs, 8);

	opt.keep_best = true;
	return pare_train(f->net, f->data, &opt, NULL, err);
}

START_TEST(batches_allocate_nothing)
{
	struct fixture f = {0};
	struct pare_err err = {0};
	long one, many;

	circle_net(&f, 2);
	circle_data(&f, 100, 0.0);
	fail_alloc_install(0);
	ck_ok(train_epochs(&f, 1, &err));
	one = fail_alloc_count();
	fail_alloc_install(0);
	ck_ok(train_epochs(&f, 6, &err));
	many = fail_alloc_count();
	fail_alloc_remove();
	ck_assert_int_gt(one, 0);
	ck_assert_int_eq(one, many);
	fixture_done(&f);
}
END_TEST

START_TEST(no_memory_is_an_error)
{
	struct fixture f = {0};
	struct pare_err err = {0};
	long n;

	circle_net(&f, 2);
	circle_data(&f, 100, 0.3);
	fail_alloc_install(0);
	ck_ok(train_epochs(&f, 2, &err));
	n = fail_alloc_count();
	ck_assert_int_eq(fail_alloc_live(), 0);
	ck_assert_int_gt(n, 4);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		ck_assert_int_eq(train_epochs(&f, 2, &err), PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
	}
	fail_alloc_remove();
	fixture_done(&f);
}
END_TEST

static TCase *cases(void)
{
	TCase *tc = tcase_create("train");

	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, least_squares_reaches_the_ridge_solution, 0, 2);
	tcase_add_test(tc, lasso_on_orthonormal_columns_is_the_soft_threshold);
	tcase_add_loop_test(tc, one_step_is_the_gradient, 1, 3);
	tcase_add_test(tc, gradients_are_clipped);
	tcase_add_test(tc, class_weights_divide_by_the_batch);
	tcase_add_loop_test(tc, group_lasso_empties_units, 0, 2);
	tcase_add_loop_test(tc, masks_hold, 0, (int)(sizeof mask_table / sizeof *mask_table));
	tcase_add_loop_test(tc, divided_layers_train_alike, 0, (int)(sizeof mask_table / sizeof *mask_table));
	tcase_add_loop_test(tc, same_options_same_bits, 0, 2);
	tcase_add_test(tc, reports_tell_what_happens);
	tcase_add_test(tc, keep_best_ends_with_the_best_epoch);
	tcase_add_test(tc, patience_stops_early);
	tcase_add_test(tc, report_can_cancel);
	tcase_add_loop_test(tc, cancel_ends_within_an_epoch, 1, 3);
	tcase_add_loop_test(tc, divergence_names_epoch_and_step, 1, 3);
	tcase_add_test(tc, wrong_options_are_refused);
	tcase_add_loop_test(tc, odd_batches_work, 0, 5);
	tcase_add_test(tc, batches_allocate_nothing);
	tcase_add_test(tc, no_memory_is_an_error);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("train");
	SRunner *sr;
	int failed;

	suite_add_tcase(s, cases());
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
