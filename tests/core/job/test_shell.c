/* pare-core as a person meets it: the program itself, its options and its files, and what it says when they are wrong. Each
 * message must name what is wrong and where; nothing may be ignored in silence. */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARCH "{\"input\":[4],\"layers\":[{\"units\":8,\"activation\":\"relu\"},{\"units\":3}],\"seed\":1}"
#define TRAIN "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]}}"

static char core[PATH_MAX], iris[PATH_MAX], dir[] = "/tmp/pare-shell-XXXXXX", said[65536];

/* $(B)/tests/core/job/test_shell -> $(B)/pare-core */
static void find_core(void)
{
	ssize_t n = readlink("/proc/self/exe", core, sizeof core - 1);

	ck_assert_int_gt(n, 0);
	core[n] = '\0';
	for (int i = 0; i < 4; i++)
		*strrchr(core, '/') = '\0';
	(void)strncat(core, "/pare-core", sizeof core - strlen(core) - 1);
	ck_assert_msg(access(core, X_OK) == 0, "%s is not built", core);
	ck_assert_ptr_nonnull(realpath("tests/data/iris.csv", iris));
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "wb");

	ck_assert_ptr_nonnull(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

/* Runs pare-core with words parted by blanks; returns the exit status, 128 + signal if it was killed. */
static int say(const char *args)
{
	char line[2 * PATH_MAX];
	size_t n;
	FILE *p;
	int status;

	(void)snprintf(line, sizeof line, "%s %s 2>&1", core, args);
	p = popen(line, "r");
	ck_assert_ptr_nonnull(p);
	n = fread(said, 1, sizeof said - 1, p);
	said[n] = '\0';
	status = pclose(p);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void setup(void)
{
	find_core();
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(symlink(iris, "iris.csv"), 0);
	ck_assert_int_eq(mkdir("none-in", 0777), 0);
	put("arch.json", ARCH);
	put("job.json", TRAIN);
	put("broken.json", "{\"recipe\":\n{");
	put("list.json", "[]");
	put("wrong.json", "{\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":1.5}},{\"trian\":{}}]}}");
	put("short.json", "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":100000,\"batch_size\":1}}]},\"limits\":{\"max_runtime_seconds\":1}}");
	put("small.json", "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]},\"limits\":{\"max_memory_bytes\":67108864}}");
	ck_assert_int_eq(say("build --architecture arch.json --out m.onnx"), 0);
	ck_assert_int_eq(mkdir("folder", 0777), 0);
	ck_assert_int_eq(link("m.onnx", "folder/m.onnx"), 0);
}

static void teardown(void)
{
	char line[128];

	(void)snprintf(line, sizeof line, "rm -r %s", dir);
	ck_assert_int_eq(system(line), 0);
}

#define RUN(job, rest) "run --model m.onnx --data iris.csv --job " job " " rest

static const struct {
	const char *args;
	int status;
	const char *words; /* one of what is said */
} table[] = {
    {"", 2, "a command is needed"},
    {"frob --job x", 2, "unknown command, none of run, analyze, inspect, build, pack and unpack: frob"},
    {"--help", 0, "pare-core run --job"},
    {"run --help", 0, "pare-core run --job"},
    {"--version", 0, "pare-core "},
    {"run", 2, "run needs --job, --model and --out"},
    {RUN("job.json", "--out o --thread 2"), 2, "unknown option: --thread\n"},
    {RUN("job.json", "--out"), 2, "a value is missing behind: --out\n"},
    {RUN("job.json", "--out o --threads 0"), 2, "from 1 to 64, not: 0"},
    {RUN("job.json", "--out o --threads 65"), 2, "from 1 to 64, not: 65"},
    {RUN("none.json", "--out o"), 1, "none.json: No such file"},
    {RUN("broken.json", "--out o"), 1, "at broken.json: line 2 column 1"},
    {RUN("list.json", "--out o"), 1, "the job must be a JSON object; at list.json"},
    {RUN("wrong.json", "--out o"), 1, "wrong.json: /recipe/steps/0/prune/sparsity: must be >= 0 and < 1; got 1.5"},
    {RUN("wrong.json", "--out o"), 1, "wrong.json: /recipe/steps/1/trian: no such step; did you mean \"train\"?"},
    {RUN("job.json", "--out m.onnx"), 1, "--out must be a directory; this is a file; at m.onnx"},
    {RUN("job.json", "--out /nowhere/o"), 1, "/nowhere/o: No such file"},
    {RUN("job.json", "--out o --data none"), 1, "none: No such file"},
    {"run --job job.json --model iris.csv --data iris.csv --out o", 1, "not a readable protobuf message"},
    {"run --job job.json --model m.onnx --data m.onnx --out o", 1, "no IDX, NPY, NPZ, CIFAR or CSV file"},
    {"run --job job.json --model m.onnx --data none-in --out o", 1, "the directory holds no files; at none-in"},
    {RUN("short.json", "--out o"), 1, "limits.max_runtime_seconds"},
    {"analyze --job job.json --model m.onnx", 2, "analyze needs --job, --model and --data"},
    {"analyze --job job.json --model m.onnx --data iris.csv --out o", 2, "analyze writes nothing: o"},
    {"analyze --job job.json --model m.onnx --data iris.csv", 0, "\"rows_per_second\":"},
    {"inspect", 2, "inspect needs a file"},
    {"inspect m.onnx iris.csv", 2, "this model is not alone: m.onnx"},
    {"inspect none", 1, "none: No such file"},
    {"inspect /dev/null", 1, "not a regular file; at /dev/null"},
    {"inspect m.onnx", 0, "\"n_params\":67"},
    {"inspect folder", 0, "\"n_params\":67"},
    {"inspect folder iris.csv", 2, "this model is not alone: folder"},
    {"inspect none-in", 1, "the directory holds no files; at none-in"},
    {"inspect iris.csv", 0, "\"n_rows\":150"},
    {"pack m.onnx", 2, "one file and --out are needed behind: pack"},
    {"pack iris.csv --out n.onnx", 1, "not a readable protobuf message"},
    {"unpack m.onnx --out n.onnx", 1, "not a packed model"},
    {"build --architecture arch.json", 2, "build needs --architecture and --out"},
    {"build iris.csv --architecture arch.json --out n.onnx", 2, "build reads no data: iris.csv"},
    {"build --architecture arch.json --out /nowhere/m.onnx", 1, "/nowhere/m.onnx"},
    {"build --architecture job.json --out n.onnx", 1, "validation_failed"},
};

START_TEST(what_it_says)
{
	int status = say(table[_i].args);

	ck_assert_msg(status == table[_i].status, "%s: ended with %d: %s", table[_i].args, status, said);
	ck_assert_msg(strstr(said, table[_i].words) != NULL, "%s: %s", table[_i].args, said);
	ck_assert_int_ne(access("n.onnx", F_OK), 0);
}
END_TEST

START_TEST(what_is_packed_comes_back)
{
	ck_assert_msg(say("pack m.onnx --out m.packed") == 0, "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "\"bytes_out\":"));
	ck_assert_msg(say("unpack m.packed --out back.onnx") == 0, "%s", said);
	ck_assert_int_eq(system("cmp m.onnx back.onnx"), 0);
}
END_TEST

START_TEST(a_run_writes_its_three_files)
{
	struct stat st;

	ck_assert_msg(say(RUN("job.json", "--out o --threads 2")) == 0, "%s", said);
	ck_assert_ptr_nonnull(strstr(said, "epoch 1/1"));
	ck_assert_ptr_nonnull(strstr(said, "{\"summary\":{"));
	ck_assert_int_eq(stat("o/model.onnx", &st), 0);
	ck_assert_int_eq(stat("o/report.json", &st), 0);
	ck_assert_int_eq(stat("o/report.md", &st), 0);
	ck_assert_int_eq(stat("o/report.html", &st), 0);
	ck_assert_msg(say(RUN("job.json", "--out o --quiet")) == 0, "%s", said);
	ck_assert_ptr_eq(strstr(said, "{\"summary\":{"), said);
}
END_TEST

START_TEST(what_there_is_no_number_for_is_not_zero)
{
	put("unvalidated.json", "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1}}]},\"data\":{\"validation\":0}}");
	ck_assert_msg(say(RUN("unvalidated.json", "--out o")) == 0, "%s", said);
	ck_assert_msg(strstr(said, "validation loss -  accuracy -  sparsity") != NULL, "%s", said);
}
END_TEST

/* Batches beyond the data cost no memory: activations for 65536 rows of this net would take a gigabyte. */
START_TEST(a_batch_is_never_larger_than_the_data)
{
	put("wide.json", "{\"input\":[4],\"layers\":[{\"units\":2000,\"activation\":\"relu\"},{\"units\":3}]}");
	put("batch.json", "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1,\"batch_size\":65536}}]},\"limits\":{\"max_memory_bytes\":268435456}}");
	ck_assert_int_eq(say("build --architecture wide.json --out wide.onnx"), 0);
	ck_assert_msg(say("run --model wide.onnx --data iris.csv --job batch.json --out o") == 0, "%s", said);
}
END_TEST

#ifndef PARE_SANITIZED
START_TEST(the_memory_limit_of_the_job_holds)
{
	put("wide.json", "{\"input\":[4],\"layers\":[{\"units\":4000,\"activation\":\"relu\"},{\"units\":4000}]}");
	ck_assert_int_eq(say("build --architecture wide.json --out wide.onnx"), 0);
	ck_assert_int_eq(say("run --model wide.onnx --data iris.csv --job small.json --out o"), 1);
	ck_assert_msg(strstr(said, "memory_limit") != NULL && strstr(said, "67108864 bytes") != NULL, "%s", said);
}
END_TEST

/* Evaluations take many rows at a time where that is cheap. Here 256 would take more than two gigabytes. */
START_TEST(evaluations_of_large_nets_take_few_rows)
{
	put("wide.json", "{\"input\":[4],\"layers\":[{\"units\":1000000,\"activation\":\"relu\"},{\"units\":3}]}");
	put("few.json", "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1,\"batch_size\":2}},{\"evaluate\":{}}]},\"limits\":{\"max_memory_bytes\":2000000000}}");
	ck_assert_int_eq(say("build --architecture wide.json --out wide.onnx"), 0);
	ck_assert_msg(say("run --model wide.onnx --data iris.csv --job few.json --out o --threads 2") == 0, "%s", said);
}
END_TEST

/* Room is taken for no more rows than there are, and what would be too much is not taken first and given back: that costs minutes, or the machine. */
START_TEST(memory_is_not_taken_to_see_how_much_it_is)
{
	struct rusage used;

	put("wide.json", "{\"input\":[4],\"layers\":[{\"units\":1000000,\"activation\":\"relu\"},{\"units\":3}]}");
	put("few.json", "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":1,\"batch_size\":2}},{\"evaluate\":{}}]}}");
	put("six.csv", "a,b,c,d,y\n1,2,3,4,0\n2,3,4,5,1\n3,4,5,6,2\n1,2,3,5,0\n2,3,4,6,1\n3,4,5,7,2\n");
	ck_assert_int_eq(say("build --architecture wide.json --out wide.onnx"), 0);
	ck_assert_msg(say("run --model wide.onnx --data six.csv --job few.json --out o --threads 2") == 0, "%s", said);
	ck_assert_int_eq(getrusage(RUSAGE_CHILDREN, &used), 0);
	ck_assert_msg(used.ru_maxrss < 500000, "%ld KiB", used.ru_maxrss);
	ck_assert_msg(say("run --model wide.onnx --data iris.csv --job few.json --out o --threads 2") == 0, "%s", said);
	ck_assert_int_eq(getrusage(RUSAGE_CHILDREN, &used), 0);
	ck_assert_msg(used.ru_maxrss < 1500000, "%ld KiB", used.ru_maxrss);
}
END_TEST
#endif

START_TEST(an_interrupt_ends_a_run)
{
	int status;
	pid_t pid;

	put("long.json", "{\"recipe\":{\"steps\":[{\"train\":{\"epochs\":100000,\"batch_size\":1}}]}}");
	pid = fork();
	if (pid == 0) {
		if (freopen("said", "w", stderr) != NULL)
			(void)execl(core, core, "run", "--model", "m.onnx", "--data", "iris.csv", "--job", "long.json", "--out", "o", (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 5000; i++) { /* until it trains: the line of the first epoch has come */
		FILE *f = fopen("said", "r");
		size_t n = f != NULL ? fread(said, 1, sizeof said - 1, f) : 0;

		if (f != NULL)
			(void)fclose(f);
		said[n] = '\0';
		if (strstr(said, "epoch 1/") != NULL)
			break;
		(void)usleep(1000);
	}
	ck_assert_int_eq(kill(pid, SIGINT), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 130);
	ck_assert_int_ne(access("o/model.onnx", F_OK), 0);
	ck_assert_int_ne(access("o/model.onnx.part", F_OK), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("job/shell");
	TCase *t = tcase_create("shell");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, what_it_says, 0, (int)(sizeof table / sizeof table[0]));
	tcase_add_test(t, what_is_packed_comes_back);
	tcase_add_test(t, a_run_writes_its_three_files);
	tcase_add_test(t, what_there_is_no_number_for_is_not_zero);
	tcase_add_test(t, a_batch_is_never_larger_than_the_data);
#ifndef PARE_SANITIZED
	tcase_add_test(t, the_memory_limit_of_the_job_holds);
	tcase_add_test(t, evaluations_of_large_nets_take_few_rows);
	tcase_add_test(t, memory_is_not_taken_to_see_how_much_it_is);
#endif
	tcase_add_test(t, an_interrupt_ends_a_run);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
