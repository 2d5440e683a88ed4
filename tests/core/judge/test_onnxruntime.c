/* ONNX Runtime as a judge of the tiny nets of tests/golden: tests/judge/nets.py, quantized.py, factorized.py and open_sizes.py say what must hold. Needs the tests' own
 * Python ($PARED_VENV, or ~/.cache/pared/venv). */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* $(B)/tests/core/judge/test_onnxruntime -> $(B)/tests/judge/run_model */
static void find_engine(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);

	ck_assert_int_gt(n, 0);
	path[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	(void)strncat(path, "/judge/run_model", sizeof path - strlen(path) - 1);
	ck_assert_msg(access(path, X_OK) == 0, "%s is not built", path);
	ck_assert_int_eq(setenv("RUN_MODEL", path, 1), 0);
}

/* A script of tests/judge with the tests' own Python; status 0 is demanded. */
static void ask(const char *script)
{
	const char *venv = getenv("PARED_VENV"), *home = getenv("HOME");
	char command[4 * PATH_MAX];
	int status;

	(void)snprintf(command, sizeof command, "%s%s/bin/python tests/judge/%s", venv != NULL ? venv : home != NULL ? home : "", venv != NULL ? "" : "/.cache/pared/venv", script);
	(void)fflush(stdout);
	status = system(command);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: exit status %d", command, WEXITSTATUS(status));
}

START_TEST(golden_nets)
{
	find_engine();
	ask("nets.py tests/golden/nets/*.onnx");
}
END_TEST

/* What the steps write that change the graph. */
static const struct {
	const char *script, *nets;
} script_table[] = {
    {"quantized.py", "tests/golden/nets/lenet5.onnx tests/golden/nets/resnet20.onnx tests/golden/nets/vit_modern.onnx"},
    {"factorized.py", "tests/golden/nets/lenet5.onnx tests/golden/nets/resnet20.onnx tests/golden/nets/vit_modern.onnx"},
    {"open_sizes.py", "tests/golden/open_sizes/*.onnx"},
};

START_TEST(changed_nets)
{
	char script[2 * PATH_MAX], core[PATH_MAX];

	find_engine();
	(void)snprintf(core, sizeof core, "%s", getenv("RUN_MODEL"));
	for (int i = 0; i < 3; i++)
		*strrchr(core, '/') = '\0';
	(void)snprintf(script, sizeof script, "%s %s/pare-core %s", script_table[_i].script, core, script_table[_i].nets);
	ask(script);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("onnxruntime");
	TCase *t = tcase_create("nets");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 300);
	tcase_add_test(t, golden_nets);
	tcase_add_loop_test(t, changed_nets, 0, (int)(sizeof script_table / sizeof script_table[0]));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
