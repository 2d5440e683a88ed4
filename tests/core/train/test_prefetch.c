/* Reading ahead changes nothing: a run over data that stream gives the same bits as one over data that do not (below a megabyte
 * the order of rows is the same, too). */
#include "tests/core/train/train_support.h"

static bool note(void *ctx, const struct pare_train_report *r)
{
	*(struct pare_train_report *)ctx = *r;
	return true;
}

static void run(struct fixture *f, enum pare_stream stream, int threads, int batch, struct pare_train_report *last)
{
	struct pare_train_options opt = train_options("sgd", 0.1, 3, batch);
	struct pare_data_options data = {.label = "label", .stream = stream};
	struct pare_data_file file = {.name = "t.csv"};
	struct pare_err err = {0};

	circle_net(f, threads);
	circle_data(f, 150, 0.2);
	pare_data_free(f->data);
	file.bytes = (struct pare_span){(const uint8_t *)f->csv.data, f->csv.len};
	ck_ok(pare_data_open(&file, 1, &data, &f->data, &err));
	ck_ok(pare_data_split(f->data, 0.2, 0, 3, &err));
	ck_ok(pare_data_normalize(f->data, 0, PARE_NORM_STANDARD, &err));
	ck_assert(pare_data_streams(f->data) == (stream == PARE_STREAM_ALWAYS));
	opt.report = note;
	opt.report_ctx = last;
	ck_ok(pare_train(f->net, f->data, &opt, NULL, &err));
}

static const struct {
	int threads, batch;
} cases[] = {{1, 7}, {2, 32}, {1, 30}, {2, 1}};

START_TEST(same_bits)
{
	struct pare_train_report ra = {0}, rb = {0};
	struct fixture a = {0}, b = {0};

	run(&a, PARE_STREAM_NEVER, cases[_i].threads, cases[_i].batch, &ra);
	run(&b, PARE_STREAM_ALWAYS, cases[_i].threads, cases[_i].batch, &rb);
	ck_assert(ra.train_loss == rb.train_loss && ra.validation_loss == rb.validation_loss);
	ck_assert_mem_eq(pare_net_slab(a.net), pare_net_slab(b.net), pare_net_slab_len(a.net) * sizeof(float));
	fixture_done(&a);
	fixture_done(&b);
}
END_TEST

/* Stopping in the middle of an epoch, with a batch being read, ends cleanly. */
START_TEST(stops_while_reading)
{
	struct pare_train_options opt = train_options("sgd", 1e30, 5, 4);
	struct pare_data_options data = {.label = "label", .stream = PARE_STREAM_ALWAYS};
	struct pare_data_file file = {.name = "t.csv"};
	struct fixture f = {0};
	struct pare_err err = {0};

	circle_net(&f, 1);
	circle_data(&f, 150, 0);
	pare_data_free(f.data);
	file.bytes = (struct pare_span){(const uint8_t *)f.csv.data, f.csv.len};
	ck_ok(pare_data_open(&file, 1, &data, &f.data, &err));
	ck_assert_int_eq(pare_train(f.net, f.data, &opt, NULL, &err), PARE_E_DIVERGED);
	fixture_done(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/train/prefetch");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, same_bits, 0, (int)(sizeof cases / sizeof cases[0]));
	tcase_add_test(t, stops_while_reading);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
