/* Distillation: gradients against differences of a loss that is worked out here in double from what both nets say; teachers that are
 * found; inner tensors; and that any number of threads does the same. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "tests/core/train/train_support.h"
#include "tests/support/net_check.h"

#define ROWS 12
#define IN 3
#define HIDDEN 5
#define OUT 4

/* x[N, 3] - Gemm - Tanh "h" [N, 5] - Gemm "y" [N, 4], maybe Softmax. */
static struct gb *mlp(uint64_t seed, const char *last)
{
	struct gb *b = gb_new(17);
	float w[HIDDEN * IN + HIDDEN + OUT * HIDDEN + OUT];

	nc_fill(w, sizeof w / sizeof w[0], seed);
	gb_input(b, "x", "N 3");
	gb_init(b, "w1", "5 3", w);
	gb_init(b, "b1", "5", w + HIDDEN * IN);
	gb_init(b, "w2", "4 5", w + HIDDEN * IN + HIDDEN);
	gb_init(b, "b2", "4", w + HIDDEN * IN + HIDDEN + OUT * HIDDEN);
	gb_node(b, "Gemm", "fc1", "x w1 b1", "a");
	gb_attr_int(b, "transB", 1);
	gb_node(b, "Tanh", "tanh", "a", "h");
	gb_node(b, "Gemm", "fc2", "h w2 b2", last != NULL ? "z" : "y");
	gb_attr_int(b, "transB", 1);
	if (last != NULL)
		gb_node(b, last, "last", "z", "y");
	gb_output(b, "y");
	return b;
}

static void make_data(struct fixture *f)
{
	csv_begin(f, IN);
	for (int i = 0; i < ROWS; i++) {
		double x[IN] = {(i * 7 % 5) / 2.5 - 1, (i * 3 % 11) / 5.5 - 1, (i * 5 % 7) / 3.5 - 1};

		csv_row(f, IN, x, i % OUT);
	}
	csv_end(f, PARE_TASK_CLASSIFY, 0);
}

struct lesson {
	const char *student_last, *teacher_last;
	double temperature, alpha;
	bool mse, hidden, unlabelled;
	int threads;
};

static const struct lesson lesson_table[] = {
    {.temperature = 1, .alpha = 1, .threads = 1},
    {.temperature = 4, .alpha = 0.3, .threads = 1},
    {.temperature = 4, .alpha = 0.3, .threads = 3},
    {.temperature = 3, .alpha = 0.5, .threads = 2, .unlabelled = true},
    {.student_last = "Softmax", .temperature = 2, .alpha = 0.7, .threads = 2},
    {.student_last = "LogSoftmax", .teacher_last = "Softmax", .temperature = 2, .alpha = 0.7, .threads = 1},
    {.temperature = 1, .alpha = 0.5, .mse = true, .threads = 2},
    {.temperature = 2, .alpha = 0.6, .hidden = true, .threads = 1},
    {.temperature = 2, .alpha = 0.6, .hidden = true, .mse = true, .unlabelled = true, .threads = 3},
};
#define N_LESSONS ((int)(sizeof lesson_table / sizeof lesson_table[0]))

static void log_softmax(double *z, double t)
{
	double max = z[0], sum = 0;

	for (int j = 1; j < OUT; j++)
		max = fmax(max, z[j]);
	for (int j = 0; j < OUT; j++)
		sum += exp((z[j] - max) / t);
	for (int j = 0; j < OUT; j++)
		z[j] = (z[j] - max) / t - log(sum);
}

static void logits(const float *o, const char *last, double *z)
{
	for (int j = 0; j < OUT; j++)
		z[j] = last != NULL && strcmp(last, "Softmax") == 0 ? log((double)o[j]) : (double)o[j];
}

static double row_loss(const struct lesson *l, const float *o, const float *u, int label)
{
	double q[OUT], p[OUT], z[OUT], soft = 0;

	logits(o, l->student_last, q);
	logits(u, l->teacher_last, p);
	memcpy(z, q, sizeof z);
	log_softmax(z, 1);
	log_softmax(q, l->temperature);
	log_softmax(p, l->temperature);
	for (int j = 0; j < OUT; j++)
		if (l->mse)
			soft += ((double)o[j] - (double)u[j]) * ((double)o[j] - (double)u[j]) / OUT;
		else
			soft += l->temperature * l->temperature * exp(p[j]) * (p[j] - q[j]);
	return l->unlabelled ? soft : l->alpha * soft - (1 - l->alpha) * z[label];
}

/* The outputs of both nets on all rows, watched ones too: one forward pass over the shards. */
static double loss_of(const struct lesson *l, const struct fixture *f, struct pare_net *student, struct pare_net *teacher)
{
	float x[ROWS * IN], o[ROWS * OUT], u[ROWS * OUT], ho[ROWS * HIDDEN], hu[ROWS * HIDDEN];
	uint32_t n;
	const uint32_t *rows = pare_data_rows(f->data, PARE_SPLIT_TRAIN, &n);
	const float *in[] = {x};
	int32_t classes[ROWS];
	double sum = 0, share = l->unlabelled ? 1 : l->alpha;

	ck_assert_uint_eq(n, ROWS);
	pare_data_fill(f->data, 0, rows, ROWS, x);
	pare_data_classes(f->data, 0, rows, ROWS, classes);
	nc_forward(student, in, ROWS, PARE_MODE_INFER, 0);
	(void)nc_output(student, 0, ROWS, o);
	if (l->hidden)
		(void)nc_output(student, 1, ROWS, ho);
	nc_forward(teacher, in, ROWS, PARE_MODE_INFER, 0);
	(void)nc_output(teacher, 0, ROWS, u);
	if (l->hidden)
		(void)nc_output(teacher, 1, ROWS, hu);
	for (int i = 0; i < ROWS; i++)
		sum += row_loss(l, o + i * OUT, u + i * OUT, classes[i]);
	for (int i = 0; i < ROWS * HIDDEN && l->hidden; i++)
		sum += share * ((double)ho[i] - (double)hu[i]) * ((double)ho[i] - (double)hu[i]) / HIDDEN;
	return sum / ROWS;
}

static bool keep_loss(void *ctx, const struct pare_train_report *r)
{
	*(double *)ctx = r->train_loss;
	return true;
}

/* One step of plain gradient descent with rate 1. */
START_TEST(gradients_match_differences)
{
	const struct lesson *l = &lesson_table[_i];
	struct pare_distill_pair pair = {"h", "h"};
	struct pare_distill_options how = {.temperature = l->temperature, .alpha = l->alpha, .mse = l->mse, .tensors = &pair, .n_tensors = l->hidden};
	struct pare_train_options opt = train_options("sgd", 1.0, 1, ROWS);
	struct gb *sb = mlp(3, l->student_last), *tb = mlp(8, l->teacher_last);
	struct fixture f = {0};
	struct pare_net *teacher;
	struct pare_distill d;
	struct pare_fit fit;
	struct pare_err err = {0};
	double reported = 0, wanted;
	float before[256], after[256];

	if (l->hidden) {
		ck_ok(pare_model_watch(gb_model(sb), "h", &err));
		ck_ok(pare_model_watch(gb_model(tb), "h", &err));
	}
	make_data(&f);
	f.net = nc_net(sb, l->threads, ROWS, true);
	teacher = nc_net(tb, l->threads, ROWS, false);
	ck_assert_int_eq(pare_net_n_outputs(f.net), 1);
	ck_ok(pare_fit_make(f.net, f.data, NULL, &fit, &err));
	if (l->unlabelled)
		fit.n_outputs = 0;
	ck_ok(pare_distill_make(f.net, teacher, &fit, &how, &d, &err));
	opt.fit = &fit;
	opt.distill = &d;
	opt.report = keep_loss;
	opt.report_ctx = &reported;
	wanted = loss_of(l, &f, f.net, teacher);
	ck_assert_uint_le(pare_net_slab_len(f.net), 256);
	memcpy(before, pare_net_slab(f.net), pare_net_slab_len(f.net) * sizeof *before);
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	ck_assert_double_eq_tol(reported, wanted, 1e-5 * fmax(1, wanted));
	memcpy(after, pare_net_slab(f.net), pare_net_slab_len(f.net) * sizeof *after);
	memcpy(pare_net_slab(f.net), before, pare_net_slab_len(f.net) * sizeof *before);
	for (int p = 0; p < pare_net_n_params(f.net); p++)
		for (size_t i = 0; i < pare_net_param(f.net, p)->n_elems; i++) {
			size_t at = pare_net_param(f.net, p)->offset + i;
			float *w = pare_net_slab(f.net) + at, was = *w, up = was + 1.0f / 128, down = was - 1.0f / 128;
			double high, low;

			*w = up;
			high = loss_of(l, &f, f.net, teacher);
			*w = down;
			low = loss_of(l, &f, f.net, teacher);
			*w = was;
			ck_assert_msg(fabs((high - low) / ((double)up - (double)down) - ((double)before[at] - (double)after[at])) < 1e-3, "%s[%zu]: %g, not %g",
			    pare_net_param(f.net, p)->name, i, (double)before[at] - (double)after[at], (high - low) / ((double)up - (double)down));
		}
	pare_net_free(teacher);
	fixture_done(&f);
	gb_free(sb);
	gb_free(tb);
}
END_TEST

/* Without labels a student of the teacher's form becomes the teacher, up to what the data cannot tell. */
START_TEST(a_student_becomes_its_teacher)
{
	struct pare_distill_options how = {.temperature = 1, .alpha = 0.2, .mse = true};
	struct pare_train_options opt = train_options("adam", 0.02, 400, 4);
	struct gb *sb = mlp(3, NULL), *tb = mlp(8, NULL);
	struct lesson l = {.temperature = 1, .alpha = 1, .mse = true, .unlabelled = true};
	struct fixture f = {0};
	struct pare_net *teacher;
	struct pare_distill d;
	struct pare_fit fit;
	struct pare_err err = {0};
	double before;

	make_data(&f);
	f.net = nc_net(sb, 2, 4, true);
	teacher = nc_net(tb, 2, 4, false);
	ck_ok(pare_fit_make(f.net, f.data, NULL, &fit, &err));
	fit.n_outputs = 0;
	ck_ok(pare_distill_make(f.net, teacher, &fit, &how, &d, &err));
	ck_assert_double_eq(d.alpha, 1);
	opt.fit = &fit;
	opt.distill = &d;
	pare_net_free(teacher); /* made anew below: batches of 4 are too short for the measure */
	teacher = nc_net(tb, 2, ROWS, false);
	ck_ok(pare_distill_make(f.net, teacher, &fit, &how, &d, &err));
	pare_net_free(f.net);
	f.net = nc_net(sb, 2, ROWS, true);
	before = loss_of(&l, &f, f.net, teacher);
	ck_assert_double_gt(before, 0.05);
	ck_ok(pare_train(f.net, f.data, &opt, NULL, &err));
	ck_assert_double_lt(loss_of(&l, &f, f.net, teacher), before / 100);
	opt.distill = NULL;
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_DATASET);
	pare_net_free(teacher);
	fixture_done(&f);
	gb_free(sb);
	gb_free(tb);
}
END_TEST

static const struct {
	const char *teacher; /* "w": another width; "s": outputs behind a Sigmoid */
	bool mse;
	const char *tensor;
	int threads;
	enum pare_code code;
	const char *says;
} refused_table[] = {
    {.teacher = "w", .code = PARE_E_SHAPE, .says = "[N, 4]", .threads = 1},
    {.tensor = "nowhere", .code = PARE_E_INVALID, .says = "nowhere", .threads = 1},
    {.threads = 2, .code = PARE_E_INVALID, .says = "shards"},
};

START_TEST(what_does_not_fit_is_refused)
{
	struct pare_distill_pair pair = {refused_table[_i].tensor, "y"};
	struct pare_distill_options how = {.temperature = 1, .alpha = 0.5, .mse = refused_table[_i].mse, .tensors = &pair, .n_tensors = refused_table[_i].tensor != NULL};
	struct gb *sb = mlp(3, NULL), *tb = refused_table[_i].teacher == NULL ? mlp(8, NULL) : gb_new(17);
	static const float w[3 * 6];
	struct fixture f = {0};
	struct pare_net *teacher;
	struct pare_distill d;
	struct pare_fit fit;
	struct pare_err err = {0};

	if (refused_table[_i].teacher != NULL) {
		gb_input(tb, "x", "N 3");
		gb_init(tb, "w", "3 6", w);
		gb_node(tb, "MatMul", "fc", "x w", "y");
		gb_output(tb, "y");
	}
	make_data(&f);
	f.net = nc_net(sb, 1, ROWS, true);
	teacher = nc_net(tb, refused_table[_i].threads, ROWS, false);
	ck_ok(pare_fit_make(f.net, f.data, NULL, &fit, &err));
	ck_assert_int_eq(pare_distill_make(f.net, teacher, &fit, &how, &d, &err), refused_table[_i].code);
	ck_assert_msg(strstr(err.message, refused_table[_i].says) != NULL, "%s", err.message);
	ck_assert_int_eq(pare_model_watch(gb_model(sb), "nowhere", &err), PARE_E_INVALID);
	pare_net_free(teacher);
	fixture_done(&f);
	gb_free(sb);
	gb_free(tb);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("distillation");
	TCase *t = tcase_create("distillation");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, gradients_match_differences, 0, N_LESSONS);
	tcase_add_test(t, a_student_becomes_its_teacher);
	tcase_add_loop_test(t, what_does_not_fit_is_refused, 0, (int)(sizeof refused_table / sizeof refused_table[0]));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
