/* Both directions of the line protocol: what one side writes the other reads, and nothing else is read. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/recipe/protocol.h"
#include "tests/support/fail_alloc.h"

static struct pare_buf b;
static struct pare_err err;

static void setup(void)
{
	pare_buf_init(&b, PARE_LINE_MAX);
}

static void teardown(void)
{
	pare_buf_done(&b);
}

static void line_of(struct pare_msg *m)
{
	ck_assert_uint_gt(b.len, 1);
	ck_assert_int_eq(b.data[b.len - 1], '\n');
	ck_assert_ptr_eq(strchr(b.data, '\n'), b.data + b.len - 1);
	ck_assert_msg(pare_msg_read(b.data, b.len - 1, m, &err) == PARE_OK, "%s: %s", b.data, err.message);
}

#define HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

START_TEST(start)
{
	struct pare_msg_start m = {.kind = "run", .job = "{\"b\":1,\n \"a\":{\"c\":[1,2.50,null,true,\"\\n\"]}}", .n_inputs = 2, .memory_bytes = 1 << 30, .cpu_seconds = 9, .threads = 3, .checkpoint_ms = 60000};
	struct pare_msg_start r;

	m.inputs[0] = (struct pare_msg_input){.role = "model", .name = "in \"x\".onnx", .fd = 4, .n_bytes = 100, .sha256 = HASH};
	m.inputs[1] = (struct pare_msg_input){.role = "data", .name = "train-images-idx3-ubyte", .fd = 5, .n_bytes = 47040016};
	ck_assert_int_eq(pare_msg_write_start(&b, &m, &err), PARE_OK);
	ck_assert_int_eq(pare_msg_read_start(b.data, b.len - 1, &r, &err), PARE_OK);
	ck_assert_str_eq(r.kind, "run");
	ck_assert_str_eq(r.job, "{\"b\":1,\"a\":{\"c\":[1,2.5,null,true,\"\\n\"]}}");
	ck_assert_ptr_null(r.architecture);
	ck_assert_int_eq(r.n_inputs, 2);
	ck_assert_str_eq(r.inputs[0].name, "in \"x\".onnx");
	ck_assert_str_eq(r.inputs[0].sha256, HASH);
	ck_assert_ptr_null(r.inputs[1].sha256);
	ck_assert_int_eq(r.inputs[1].fd, 5);
	ck_assert_int_eq(r.inputs[1].n_bytes, 47040016);
	ck_assert_int_eq(r.memory_bytes, 1 << 30);
	ck_assert_int_eq(r.threads, 3);
	ck_assert_int_eq(r.cpu_seconds, 9);
	ck_assert_int_eq(r.checkpoint_ms, 60000);
	ck_assert_ptr_null(r.trials);
	pare_msg_start_done(&r);
}
END_TEST

/* Figures keep every digit, and "none are known" is not "make them yourself". */
START_TEST(known_trials)
{
	static const struct pare_trial known[] = {
	    {.variant = 3, .rung = 1, .repeat = 2, .fold = 4, .loss = 0.1 + 0.2, .value = 1.0 / 3, .sparsity = 0.97, .weights = 1234567},
	    {.variant = 255, .failed = true, .error = "the loss is \"nan\""}, {.loss = NAN, .value = -1e-300}};
	struct pare_msg_start m = {.kind = "run", .job = "{}", .trials = known, .n_trials = 3}, r;

	ck_assert_int_eq(pare_msg_write_start(&b, &m, &err), PARE_OK);
	ck_assert_int_eq(pare_msg_read_start(b.data, b.len - 1, &r, &err), PARE_OK);
	ck_assert_int_eq(r.n_trials, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(pare_trial_compare(&r.trials[i], &known[i]), 0);
		ck_assert_int_eq(r.trials[i].failed, known[i].failed);
		ck_assert_str_eq(r.trials[i].error, known[i].error);
		ck_assert_mem_eq(&r.trials[i].value, &known[i].value, sizeof(double));
	}
	ck_assert_mem_eq(&r.trials[0].loss, &known[0].loss, sizeof(double));
	ck_assert(isnan(r.trials[2].loss));
	pare_msg_start_done(&r);
	pare_buf_reset(&b);
	m.n_trials = 0;
	ck_assert_int_eq(pare_msg_write_start(&b, &m, &err), PARE_OK);
	ck_assert_int_eq(pare_msg_read_start(b.data, b.len - 1, &r, &err), PARE_OK);
	ck_assert_ptr_nonnull(r.trials);
	ck_assert_int_eq(r.n_trials, 0);
	pare_msg_start_done(&r);
}
END_TEST

START_TEST(trials_that_are_needed)
{
	static const struct pare_trial wanted[] = {{.variant = 1}, {.variant = 2, .rung = 3, .repeat = 4, .fold = 5}};
	struct pare_msg m;

	ck_assert_int_eq(pare_msg_write_trials(&b, wanted, 2, 7, 9, &err), PARE_OK);
	line_of(&m);
	ck_assert_int_eq(m.type, PARE_MSG_TRIALS);
	ck_assert_int_eq(m.n_trials, 2);
	ck_assert_int_eq(m.n_known, 7);
	ck_assert_int_eq(m.n_all, 9);
	ck_assert_int_eq(pare_trial_compare(&m.trials[1], &wanted[1]), 0);
	pare_msg_done(&m);
}
END_TEST

START_TEST(event)
{
	struct pare_msg m;

	ck_assert_int_eq(pare_msg_write_event(&b, "metrics", "{\"loss\":0.5}", &err), PARE_OK);
	line_of(&m);
	ck_assert_int_eq(m.type, PARE_MSG_EVENT);
	ck_assert_str_eq(m.event, "metrics");
	ck_assert_str_eq(m.data, "{\"loss\":0.5}");
	pare_msg_done(&m);
}
END_TEST

START_TEST(open_and_fd)
{
	struct pare_msg m;

	ck_assert_int_eq(pare_msg_write_open(&b, "model.onnx", "application/onnx", &err), PARE_OK);
	line_of(&m);
	ck_assert_int_eq(m.type, PARE_MSG_OPEN);
	ck_assert_str_eq(m.name, "model.onnx");
	ck_assert_str_eq(m.media_type, "application/onnx");
	pare_msg_done(&m);
	pare_buf_reset(&b);
	ck_assert_int_eq(pare_msg_write_fd(&b, "model.onnx", &err), PARE_OK);
	line_of(&m);
	ck_assert_int_eq(m.type, PARE_MSG_FD);
	pare_msg_done(&m);
}
END_TEST

START_TEST(result_and_error)
{
	static const char *const names[] = {"model.onnx", "report.json"};
	struct pare_err e, back;
	struct pare_msg m;

	ck_assert_int_eq(pare_msg_write_result(&b, "{\"x\":true}", names, 2, &err), PARE_OK);
	line_of(&m);
	ck_assert_int_eq(m.type, PARE_MSG_RESULT);
	ck_assert_int_eq(m.n_artifacts, 2);
	ck_assert_str_eq(m.artifacts[1], "report.json");
	pare_msg_done(&m);
	pare_buf_reset(&b);
	(void)pare_err_set(&e, PARE_E_SHAPE, "node \"fc1\" (Gemm)", "bad\x01 \xff bytes");
	ck_assert_int_eq(pare_msg_write_error(&b, &e, &err), PARE_OK);
	line_of(&m);
	ck_assert_int_eq(m.type, PARE_MSG_ERROR);
	back = m.error;
	ck_assert_int_eq(back.code, PARE_E_SHAPE);
	ck_assert_str_eq(back.where, e.where);
	ck_assert_str_eq(back.message, "bad\x01 \xef\xbf\xbd bytes");
	pare_msg_done(&m);
}
END_TEST

START_TEST(writers_refuse_what_is_not_json)
{
	ck_assert_int_ne(pare_msg_write_event(&b, "log", "{\"a\":", &err), PARE_OK);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_ne(pare_msg_write_event(&b, "log", "[]", &err), PARE_OK);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

static const char *const hostile[] = {
    "", "null", "[]", "{}", "{\"type\":3}", "{\"type\":\"what\"}", "{\"type\":\"event\"}",
    "{\"type\":\"event\",\"event\":\"phase\"}",
    "{\"type\":\"event\",\"event\":\"phase\",\"data\":[]}",
    "{\"type\":\"event\",\"event\":\"phase\",\"data\":{},\"x\":1}",
    "{\"type\":\"event\",\"event\":\"nothing\",\"data\":{}}",
    "{\"type\":\"event\",\"event\":\"phase\",\"data\":{\"a\":1,\"a\":2}}",
    "{\"type\":\"open\",\"name\":\"../x\",\"media_type\":\"a/b\"}",
    "{\"type\":\"open\",\"name\":\".x\",\"media_type\":\"a/b\"}",
    "{\"type\":\"open\",\"name\":\"\",\"media_type\":\"a/b\"}",
    "{\"type\":\"open\",\"name\":\"a/b\",\"media_type\":\"a/b\"}",
    "{\"type\":\"open\",\"name\":\"a\\u0000b\",\"media_type\":\"a/b\"}",
    "{\"type\":\"open\",\"name\":\"0123456789012345678901234567890123456789012345678901234567890123x\",\"media_type\":\"a/b\"}",
    "{\"type\":\"open\",\"name\":\"a\",\"media_type\":\"a/b\\r\\nX-Header: 1\"}",
    "{\"type\":\"open\",\"name\":\"a\",\"media_type\":7}",
    "{\"type\":\"open\",\"name\":\"a\"}",
    "{\"type\":\"fd\",\"name\":4}",
    "{\"type\":\"result\",\"data\":{},\"artifacts\":[\"..\"]}",
    "{\"type\":\"result\",\"data\":{},\"artifacts\":[4]}",
    "{\"type\":\"result\",\"data\":{},\"artifacts\":{}}",
    "{\"type\":\"result\",\"data\":null,\"artifacts\":[]}",
    "{\"type\":\"error\",\"code\":\"ok\",\"message\":\"\",\"where\":\"\"}",
    "{\"type\":\"error\",\"code\":\"x\",\"message\":3,\"where\":\"\"}",
    "{\"type\":\"error\",\"code\":\"x\"}",
    "{\"type\":\"start\",\"kind\":\"run\"}",
    "{\"type\":\"trials\",\"trials\":[],\"known\":0,\"all\":1}",
    "{\"type\":\"trials\",\"trials\":{},\"known\":0,\"all\":1}",
    "{\"type\":\"trials\",\"trials\":[{\"variant\":0,\"rung\":0,\"repeat\":0}],\"known\":0,\"all\":1}",
    "{\"type\":\"trials\",\"trials\":[{\"variant\":256,\"rung\":0,\"repeat\":0,\"fold\":0}],\"known\":0,\"all\":1}",
    "{\"type\":\"trials\",\"trials\":[{\"variant\":0,\"rung\":0,\"repeat\":0,\"fold\":0,\"loss\":1}],\"known\":0,\"all\":1}",
    "{\"type\":\"trials\",\"trials\":[{\"variant\":0,\"rung\":0,\"repeat\":0,\"fold\":0}],\"known\":1,\"all\":1}",
    "{\"type\":\"trials\",\"trials\":[{\"variant\":0,\"rung\":0,\"repeat\":0,\"fold\":0}],\"known\":0,\"all\":20000}",
};

START_TEST(hostile_lines)
{
	struct pare_msg m;

	ck_assert_int_eq(pare_msg_read(hostile[_i], strlen(hostile[_i]), &m, &err), PARE_E_SYNTAX);
	ck_assert_uint_gt(strlen(err.message), 5);
}
END_TEST

START_TEST(unknown_error_codes_are_internal)
{
	static const char line[] = "{\"type\":\"error\",\"code\":\"whatever\",\"message\":\"m\",\"where\":\"\"}";
	struct pare_msg m;

	ck_assert_int_eq(pare_msg_read(line, strlen(line), &m, &err), PARE_OK);
	ck_assert_int_eq(m.error.code, PARE_E_INTERNAL);
	pare_msg_done(&m);
}
END_TEST

#define START_KNOWING(kind, job, inputs, limits, trials) \
	"{\"type\":\"start\",\"kind\":\"" kind "\",\"job\":" job ",\"architecture\":null,\"options\":null,\"inputs\":" inputs ",\"limits\":" limits ",\"checkpoint_ms\":0,\"trials\":" trials "}"
#define START(kind, job, inputs, limits) START_KNOWING(kind, job, inputs, limits, "null")
#define LIMITS "{\"memory_bytes\":1,\"cpu_seconds\":1,\"threads\":1}"

static const char *const hostile_starts[] = {
    "{}", START("what", "null", "[]", LIMITS), START("run", "null", "[]", LIMITS), START("build", "null", "[]", LIMITS),
    START("run", "\"text\"", "[]", LIMITS), START("run", "{}", "{}", LIMITS), START("run", "{}", "[]", "{}"),
    START("run", "{}", "[]", "{\"memory_bytes\":-1,\"cpu_seconds\":1,\"threads\":1}"),
    START("run", "{}", "[]", "{\"memory_bytes\":1,\"cpu_seconds\":1,\"threads\":65}"),
    START("run", "{}", "[{\"role\":\"x\",\"name\":\"n\",\"fd\":5,\"bytes\":1}]", LIMITS),
    START("run", "{}", "[{\"role\":\"data\",\"name\":\"n\",\"fd\":3,\"bytes\":1}]", LIMITS),
    START("run", "{}", "[{\"role\":\"data\",\"name\":\"n\",\"fd\":5.0,\"bytes\":1}]", LIMITS),
    START("run", "{}", "[{\"role\":\"data\",\"name\":\"n\",\"fd\":5,\"bytes\":-1}]", LIMITS),
    START("run", "{}", "[4]", LIMITS),
    START_KNOWING("run", "{}", "[]", LIMITS, "{}"), START_KNOWING("run", "{}", "[]", LIMITS, "[3]"), START_KNOWING("run", "{}", "[]", LIMITS, "[{\"variant\":0,\"rung\":0,\"repeat\":0,\"fold\":0}]"),
    START("run", "{}", "[]", LIMITS ",\"x\":1"), START("run", "{}", "[]", LIMITS ",\"checkpoint_ms\":-1"),
};

START_TEST(hostile_start_lines)
{
	struct pare_msg_start m;

	ck_assert_int_eq(pare_msg_read_start(hostile_starts[_i], strlen(hostile_starts[_i]), &m, &err), PARE_E_SYNTAX);
}
END_TEST

START_TEST(too_many_inputs)
{
	struct pare_buf line;
	struct pare_msg_start m;

	pare_buf_init(&line, PARE_LINE_MAX);
	pare_buf_str(&line, "{\"type\":\"start\",\"kind\":\"inspect-model\",\"job\":null,\"architecture\":null,\"options\":null,\"limits\":" LIMITS ",\"checkpoint_ms\":0,\"trials\":null,\"inputs\":[");
	for (int i = 0; i < PARE_MAX_INPUTS + 1; i++)
		pare_buf_printf(&line, "%s{\"role\":\"data\",\"name\":\"n\",\"fd\":%d,\"bytes\":1}", i != 0 ? "," : "", i + 4);
	pare_buf_str(&line, "]}");
	ck_assert_int_eq(pare_msg_read_start(line.data, line.len, &m, &err), PARE_E_SYNTAX);
	pare_buf_done(&line);
}
END_TEST

START_TEST(allocations_may_fail)
{
	static const char line[] = "{\"type\":\"result\",\"data\":{\"a\":[1,2,3]},\"artifacts\":[\"model.onnx\"]}";
	struct pare_msg m;
	long n;

	ck_assert_int_eq(pare_msg_read(line, strlen(line), &m, &err), PARE_OK);
	pare_msg_done(&m);
	fail_alloc_install(0);
	ck_assert_int_eq(pare_msg_read(line, strlen(line), &m, &err), PARE_OK);
	pare_msg_done(&m);
	n = fail_alloc_count();
	fail_alloc_remove();
	ck_assert_int_gt(n, 5);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		ck_assert_int_eq(pare_msg_read(line, strlen(line), &m, &err), PARE_E_NOMEM);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recipe/protocol");
	TCase *t = tcase_create("protocol");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, start);
	tcase_add_test(t, known_trials);
	tcase_add_test(t, trials_that_are_needed);
	tcase_add_test(t, event);
	tcase_add_test(t, open_and_fd);
	tcase_add_test(t, result_and_error);
	tcase_add_test(t, writers_refuse_what_is_not_json);
	tcase_add_loop_test(t, hostile_lines, 0, (int)(sizeof hostile / sizeof hostile[0]));
	tcase_add_test(t, unknown_error_codes_are_internal);
	tcase_add_loop_test(t, hostile_start_lines, 0, (int)(sizeof hostile_starts / sizeof hostile_starts[0]));
	tcase_add_test(t, too_many_inputs);
	tcase_add_test(t, allocations_may_fail);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
