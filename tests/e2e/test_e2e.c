/* The programs from outside: every scenario of tests/e2e is one Check test with its own name and time limit. The
 * scenarios are Python (its standard library only) because they speak HTTP, JSON and raw sockets and look at processes; nothing
 * of ours is linked but the base layer. What a scenario prints is shown when it fails.
 *
 * The programs are found beside this one: <build>/pared for <build>/tests/e2e/test_e2e. The sources: PARED_SRC, else the
 * working directory. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *script, *scenario;
	int seconds;
} scenario_table[] = {
    {"story", "readme", 180},
    {"jobs", "finished", 60},
    {"jobs", "second_model", 60},
    {"jobs", "search", 60},
    {"jobs", "external_data", 60},
    {"jobs", "registers", 60},
    {"jobs", "several_labels", 60},
    {"jobs", "events_resume", 60},
    {"jobs", "many_streams", 60},
    {"jobs", "prefer_wait", 90},
    {"jobs", "idempotency", 60},
    {"jobs", "cancel", 60},
    {"jobs", "shutdown", 90},
    {"jobs", "engine_dies", 90},
    {"jobs", "runtime_limit", 60},
    {"jobs", "orphans", 60},
    {"jobs", "memory", 30},
    {"jobs", "queue_of_100k", 90},
    {"engines", "processor", 60},
    {"engines", "yields", 60},
    {"engines", "rubbish", 90},
    {"engines", "unregistered", 60},
    {"engines", "floods", 60},
    {"engines", "late_writes", 60},
    {"engines", "checkpoints", 60},
    {"engines", "store_fails", 60},
    {"engines", "held_up", 60},
    {"engines", "deleting_frees", 60},
    {"engines", "wrong_engine", 30},
    {"sandbox", "attacks", 60},
    {"crash", "kills", 600},
    {"crash", "goes_on", 240},
    {"crash", "nets_go_on", 240},
    {"crash", "pauses", 240},
    {"sweeps", "same_bytes", 180},
    {"sweeps", "one_worker", 120},
    {"sweeps", "killed", 240},
    {"sweeps", "inside_a_run", 180},
    {"sweeps", "cancel_together", 120},
    {"sweeps", "pause", 120},
    {"sweeps", "crashed_runs", 120},
    {"bad_input", "truncated_onnx", 60},
    {"bad_input", "bit_flips", 60},
    {"bad_input", "nested_subgraphs", 60},
    {"bad_input", "huge_dims", 60},
    {"bad_input", "unknown_operator", 60},
    {"bad_input", "many_tensors", 120},
    {"bad_input", "not_onnx", 60},
    {"bad_input", "wrong_shape", 60},
    {"bad_input", "labels_out_of_range", 60},
    {"bad_input", "nan_in_data", 60},
    {"bad_input", "empty_data", 60},
    {"bad_input", "hostile_data", 60},
    {"bad_input", "unknown_recipe_field", 60},
    {"bad_input", "sparsity_of_1_5", 60},
    {"bad_input", "deleted_model", 60},
    {"bad_input", "diverging_job", 60},
    {"bad_input", "memory_limit", 60},
    {"uploads", "too_large", 60},
    {"uploads", "constant_memory", 60},
    {"uploads", "aborted", 60},
    {"uploads", "disk_full", 60},
    {"uploads", "download", 60},
    {"uploads", "deleted_while_read", 60},
    {"uploads", "keep_alive", 60},
    {"resumable", "tus_js_client", 300},
    {"resumable", "ietf_curl", 60},
    {"resumable", "shares", 60},
    {"resumable", "the_newer_patch_wins", 60},
    {"resumable", "expiry_and_limits", 60},
    {"resumable", "by_reference", 60},
    {"http_attacks", "framing", 60},
    {"http_attacks", "targets", 60},
    {"http_attacks", "headers", 60},
    {"http_attacks", "pipelining", 60},
    {"http_attacks", "slow_clients", 120},
    {"http_attacks", "drips", 60},
    {"http_attacks", "slow_readers", 60},
    {"http_attacks", "many_small_chunks", 90},
    {"http_attacks", "idle_connections", 60},
    {"http_attacks", "json_bodies", 60},
    {"auth", "keys", 60},
    {"auth", "secrets", 60},
    {"auth", "owners", 60},
    {"auth", "made", 60},
    {"auth", "quotas", 90},
    {"auth", "addresses", 60},
    {"auth", "wrong_settings", 60},
    {"auth", "unix_socket", 60},
    {"admin", "drain", 90},
    {"admin", "retention", 120},
    {"admin", "backup", 120},
    {"systemd", "notify", 60},
    {"systemd", "listen_fds", 60},
    {"proxy", "nginx", 120},
    {"proxy", "caddy", 120},
    {"proxy", "http_cache", 90},
    {"openapi", "responses", 120},
    {"webhooks", "at_least_once", 300},
    {"webhooks", "answers", 60},
    {"webhooks", "asked_again", 60},
    {"webhooks", "with_a_job", 60},
    {"webhooks", "rotation", 60},
    {"webhooks", "key_gone", 60},
    {"webhooks", "hanging", 90},
    {"webhooks", "many_hanging", 60},
    {"webhooks", "ssrf_refused", 60},
    {"webhooks", "ssrf_at_the_socket", 90},
    {"webhooks", "tls", 60},
    {"webhooks", "event_sources", 180},
    {"webhooks", "feed_forms", 60},
};
#define N_SCENARIOS ((int)(sizeof scenario_table / sizeof scenario_table[0]))

static char sources[PATH_MAX], programs[PATH_MAX];

static void child(const char *script, const char *scenario, const char *log)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(126);
	setenv("PARED_SRC", sources, 1);
	setenv("PARED_BIN", programs, 1);
	execlp("python3", "python3", script, scenario, (char *)NULL);
	_exit(127);
}

/* The end of what it printed, into the failure's message. */
static void read_tail(const char *path, char *out, size_t cap)
{
	FILE *f = fopen(path, "r");
	size_t n = 0;

	if (f != NULL) {
		if (fseek(f, -(long)(cap - 1), SEEK_END) != 0)
			rewind(f);
		n = fread(out, 1, cap - 1, f);
		fclose(f);
	}
	out[n] = '\0';
}

START_TEST(scenario)
{
	char script[PATH_MAX + 64], log[] = "/tmp/pared-e2e-log-XXXXXX", said[3500] /* Check's messages are limited */;
	int status = 0, fd = mkstemp(log);
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	close(fd);
	snprintf(script, sizeof script, "%s/tests/e2e/%s.py", sources, scenario_table[_i].script);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		child(script, scenario_table[_i].scenario, log);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	read_tail(log, said, sizeof said);
	unlink(log);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d\n%s", status, said);
}
END_TEST

static void find_directories(const char *argv0)
{
	const char *given = getenv("PARED_SRC");
	char path[PATH_MAX];

	if (realpath(given != NULL ? given : ".", sources) == NULL || realpath(argv0, path) == NULL) {
		fprintf(stderr, "test_e2e: %s\n", strerror(errno));
		exit(2);
	}
	snprintf(programs, sizeof programs, "%s", dirname(dirname(dirname(path))));
}

int main(int argc, char **argv)
{
	Suite *s = suite_create("end to end");
	SRunner *r = srunner_create(s);
	const char *only = argc > 1 ? argv[1] : NULL; /* a script's name, or a scenario's */
	int failed;

	find_directories(argv[0]);
	for (int i = 0; i < N_SCENARIOS; i++) {
		const char *name = scenario_table[i].scenario;
		TCase *t;

		if (only != NULL && strcmp(only, name) != 0 && strcmp(only, scenario_table[i].script) != 0)
			continue;
		t = tcase_create(name);
		tcase_set_timeout(t, scenario_table[i].seconds);
		tcase_add_loop_test(t, scenario, i, i + 1);
		suite_add_tcase(s, t);
	}
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
