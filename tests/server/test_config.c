/* The table of settings, as a user meets it: precedence, bounds, and errors that say where and what. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/config.h"
#include "tests/support/fail_alloc.h"

static char path[] = "/tmp/pared-config-XXXXXX";

static void write_file(const char *text)
{
	int fd;

	memcpy(path + sizeof path - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static enum pare_code load(char *const *argv, char *const *env, struct srv_config *c, struct pare_err *err)
{
	int argc = 0;

	while (argv[argc] != NULL)
		argc++;
	memset(err, 0, sizeof *err);
	return srv_config_load(argc, argv, env, c, err);
}

#define ARGS(...) ((char *[]){"pared", __VA_ARGS__, NULL})
#define NONE ((char *[]){NULL})

START_TEST(defaults)
{
	struct srv_config c;
	struct pare_err err;

	ck_assert_int_eq(load((char *[]){"pared", NULL}, NONE, &c, &err), PARE_OK);
	ck_assert_str_eq(c.listen, "127.0.0.1");
	ck_assert_int_eq(c.port, 8080);
	ck_assert_int_eq(c.max_upload_bytes, (int64_t)4 << 30);
	ck_assert_int_eq(c.action, SRV_RUN);
	ck_assert_int_eq(srv_config_resolve(&c, 8, "/opt/pared/bin", &err), PARE_OK);
	ck_assert_str_eq(c.core, "/opt/pared/bin/pare-core");
	ck_assert_int_eq(c.workers, 2);
	ck_assert_int_eq(c.job_threads, 4);
	srv_config_done(&c);
}
END_TEST

START_TEST(flag_beats_environment_beats_file)
{
	char *env[] = {"HOME=/", "PARED_PORT=2000", "PARED_WORKERS=3", NULL};
	struct srv_config c;
	struct pare_err err;

	write_file("# a comment\n\n port = 1000\nworkers=2 \n  max-upload-bytes = 10M\n");
	ck_assert_int_eq(load(ARGS("--config", path, "--port", "3000"), env, &c, &err), PARE_OK);
	ck_assert_int_eq(c.port, 3000);
	ck_assert_int_eq(c.workers, 3);
	ck_assert_int_eq(c.max_upload_bytes, 10 << 20);
	srv_config_done(&c);
	unlink(path);
}
END_TEST

START_TEST(equals_form_and_config_variable)
{
	char variable[64];
	char *env[] = {variable, NULL};
	struct srv_config c;
	struct pare_err err;

	write_file("data-dir = /var/lib/pared\n");
	snprintf(variable, sizeof variable, "PARED_CONFIG=%s", path);
	ck_assert_int_eq(load(ARGS("--max-json-bytes=64k"), env, &c, &err), PARE_OK);
	ck_assert_int_eq(c.max_json_bytes, 65536);
	ck_assert_str_eq(c.data_dir, "/var/lib/pared");
	srv_config_done(&c);
	unlink(path);
}
END_TEST

static void expect_error(char *const *argv, char *const *env, const char *where, const char *message)
{
	struct srv_config c;
	struct pare_err err;

	ck_assert_int_eq(load(argv, env, &c, &err), PARE_E_INVALID);
	ck_assert_msg(strstr(err.where, where) != NULL, "where is \"%s\"", err.where);
	ck_assert_msg(strstr(err.message, message) != NULL, "message is \"%s\"", err.message);
	srv_config_done(&c);
}

START_TEST(errors_say_where_and_what)
{
	expect_error(ARGS("--prot", "1"), NONE, "--prot", "did you mean \"port\"");
	expect_error(ARGS("--port", "99999"), NONE, "99999", "from 0 to 65535");
	expect_error(ARGS("--port"), NONE, "--port", "needs a value");
	expect_error(ARGS("port"), NONE, "port", "--name value");
	expect_error(ARGS("--port", "0x50"), NONE, "0x50", "whole number");
	expect_error(ARGS("--log-level", "loud"), NONE, "loud", "debug");
	expect_error(ARGS("--log-level", "info"), ((char *[]){"PARED_MAX_UPLOAD_BYTES=lots", NULL}), "PARED_MAX_UPLOAD_BYTES", "k, M, G or T");
	expect_error(ARGS("--config", "/nonexistent/pared.conf"), NONE, "/nonexistent/pared.conf", "cannot be opened");
	expect_error(ARGS("--zzzzzzzz", "1"), NONE, "--zzzzzzzz", "--help");
}
END_TEST

START_TEST(file_errors_name_the_line)
{
	char where[64];

	write_file("port = 1\n# fine\nmax-uplod-bytes = 1G\n");
	snprintf(where, sizeof where, "%s line 3", path);
	expect_error(ARGS("--config", path), NONE, where, "did you mean \"max-upload-bytes\"");
	unlink(path);
	write_file("port 80\n");
	expect_error(ARGS("--config", path), NONE, "line 1", "name = value");
	unlink(path);
}
END_TEST

START_TEST(variables_of_kubernetes_are_not_ours)
{
	char *env[] = {"PARED_PORT=tcp://10.0.0.1:8080", "PARED_SERVICE_HOST=10.0.0.1", NULL};
	struct srv_config c;
	struct pare_err err;

	ck_assert_int_eq(load((char *[]){"pared", NULL}, env, &c, &err), PARE_OK);
	ck_assert_int_eq(c.port, 8080);
	srv_config_done(&c);
}
END_TEST

START_TEST(sample_parses_back)
{
	struct srv_config c, d;
	struct pare_err err;
	struct pare_buf sample, live;

	pare_buf_init(&sample, 1 << 20);
	pare_buf_init(&live, 1 << 20);
	ck_assert_int_eq(srv_config_sample(&sample, &err), PARE_OK);
	for (const char *p = sample.data; *p != '\0'; p++) /* "#name = value" is live once its # is gone; "# text" stays a comment */
		if (*p != '#' || (p[1] == ' ' && p[0] == '#'))
			pare_buf_add(&live, p, 1);
	write_file(live.data);
	ck_assert_msg(load(ARGS("--config", path), NONE, &c, &err) == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert_int_eq(load((char *[]){"pared", NULL}, NONE, &d, &err), PARE_OK);
	ck_assert_int_eq(c.port, d.port);
	ck_assert_int_eq(c.max_upload_bytes, d.max_upload_bytes);
	ck_assert_str_eq(c.log_level, d.log_level);
	ck_assert_ptr_nonnull(strstr(live.data, "\nshutdown-seconds = 20\n"));
	srv_config_done(&c);
	srv_config_done(&d);
	pare_buf_done(&sample);
	pare_buf_done(&live);
	unlink(path);
}
END_TEST

START_TEST(help_names_every_flag)
{
	struct pare_buf b;
	struct pare_err err;

	pare_buf_init(&b, 1 << 20);
	ck_assert_int_eq(srv_config_help(&b, &err), PARE_OK);
	ck_assert_ptr_nonnull(strstr(b.data, "--max-upload-bytes"));
	ck_assert_ptr_nonnull(strstr(b.data, "--healthcheck"));
	pare_buf_done(&b);
}
END_TEST

START_TEST(without_keys_only_this_machine)
{
	static const struct {
		const char *address;
		bool ok;
	} cases[] = {{"127.0.0.1", true}, {"127.1.2.3", true}, {"::1", true}, {"localhost", true}, {"unix:/run/pared.sock", true},
	    {"0.0.0.0", false}, {"::", false}, {"10.0.0.1", false}, {"127.0.0.1.evil.example", false}, {"", false}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *argv[] = {"pared", "--listen", (char *)(uintptr_t)cases[i].address, NULL, NULL, NULL};
		struct srv_config c;
		struct pare_err err;

		ck_assert_int_eq(load(argv, NONE, &c, &err), PARE_OK);
		ck_assert_msg((srv_config_resolve(&c, 2, "/", &err) == PARE_OK) == cases[i].ok, "%s", cases[i].address);
		if (!cases[i].ok)
			ck_assert_ptr_nonnull(strstr(err.message, "api-key-file"));
		srv_config_done(&c);
		argv[3] = "--api-key-file=/etc/pared/keys";
		ck_assert_int_eq(load(argv, NONE, &c, &err), PARE_OK);
		ck_assert_int_eq(srv_config_resolve(&c, 2, "/", &err), PARE_OK);
		srv_config_done(&c);
	}
}
END_TEST

START_TEST(every_allocation_may_fail)
{
	char *argv[] = {"pared", "--data-dir", "/x", NULL};
	struct srv_config c;
	struct pare_err err;
	long n;

	fail_alloc_install(0);
	ck_assert_int_eq(srv_config_load(3, argv, NONE, &c, &err), PARE_OK);
	srv_config_done(&c);
	n = fail_alloc_count();
	fail_alloc_remove();
	ck_assert_int_gt(n, 0);
	for (long i = 1; i <= n; i++) {
		fail_alloc_install(i);
		ck_assert_int_eq(srv_config_load(3, argv, NONE, &c, &err), PARE_E_NOMEM);
		srv_config_done(&c);
		ck_assert_int_eq(fail_alloc_live(), 0);
		fail_alloc_remove();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, defaults);
	tcase_add_test(t, flag_beats_environment_beats_file);
	tcase_add_test(t, equals_form_and_config_variable);
	tcase_add_test(t, errors_say_where_and_what);
	tcase_add_test(t, file_errors_name_the_line);
	tcase_add_test(t, variables_of_kubernetes_are_not_ours);
	tcase_add_test(t, sample_parses_back);
	tcase_add_test(t, help_names_every_flag);
	tcase_add_test(t, without_keys_only_this_machine);
	tcase_add_test(t, every_allocation_may_fail);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
