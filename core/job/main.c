/* pare-core at the command line. Every verb but "worker" starts this same program as a sandboxed worker and acts as its
 * daemon (host.c); files are opened here, by the user's own rights, and handed over as descriptors. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/job/job.h"
#include "core/recipe/json_text.h"
#include "core/recipe/recipe.h"

#define FIGURE 48 /* characters of a number */
#define TEXT_MAX ((size_t)1 << 20)
#define CHECKPOINT_SECONDS 60

static volatile sig_atomic_t stop_requested;

struct shell {
	const char *job, *model, *teacher, *out, *architecture, *checkpoint, *resume;
	const char *data[PARE_MAX_INPUTS];
	int n_data, threads, checkpoint_seconds; /* 0: not given */
	bool quiet, tty;
	int width; /* of the progress line on the screen */
	char names[PARE_MAX_INPUTS][256];
	struct pare_msg_start start;
};

static const char usage[] =
    "pare-core makes neural networks smaller: one job in, artifacts out.\n"
    "\n"
    "  pare-core run --job job.json --model in.onnx [--teacher second.onnx] [--data PATH...] --out DIR [--threads N] [--quiet]\n"
    "               [--checkpoint PATH [--checkpoint-seconds N]] [--resume PATH]\n"
    "      runs a job; PATH is a file or a directory of files; a model with external data is a directory, too; writes\n"
    "      model.onnx (and its data), report.json, report.md, report.html\n"
    "      into DIR; the job's limits hold here too (max_runtime_seconds as processor time)\n"
    "      --checkpoint keeps the state of the job in PATH (every 60 seconds, at an epoch or a round); --resume goes on from there\n"
    "      to the same bytes, given the same job, files and threads\n"
    "  pare-core analyze --job job.json --model in.onnx [--teacher second.onnx] --data PATH... [--threads N]\n"
    "      prints what the job would do, as JSON: what can be pruned, what is pinned and why, how much each layer\n"
    "      alone minds, the sizes to expect and the time; nothing is trained or written\n"
    "  pare-core inspect PATH...\n"
    "      prints what a model (a file or, with external data, a directory) or the files of a data set hold, as JSON\n"
    "  pare-core build --architecture arch.json --out model.onnx\n"
    "      makes a model from a description: {\"input\": [784], \"layers\": [{\"units\": 10}], \"seed\": 1}\n"
    "  pare-core pack model.onnx --out model.packed\n"
    "      entropy-codes a model file: small where weights are zero, shared or of few bits\n"
    "  pare-core unpack model.packed --out model.onnx\n"
    "      gives back exactly the bytes that were packed\n"
    "  pare-core capabilities\n"
    "      prints which operators, opsets, element types and data formats there are, as JSON\n"
    "  pare-core worker\n"
    "      what the daemon starts: a job over descriptor 3\n"
    "  pare-core --help | --version\n";

static int fail(const struct pare_err *err)
{
	(void)fprintf(stderr, "pare-core: %s: %s%s%s\n", pare_code_string(err->code), err->message, err->where[0] != '\0' ? "; at " : "", err->where);
	return err->code == PARE_E_CANCELED ? 130 : 1;
}

static int misuse(const char *what, const char *arg)
{
	(void)fprintf(stderr, "pare-core: %s%s%s\ntry pare-core --help\n", what, arg != NULL ? ": " : "", arg != NULL ? arg : "");
	return 2;
}

/* --- files */

static enum pare_code add_file(struct shell *s, const char *path, const char *role, struct pare_err *err)
{
	struct pare_msg_input *in = &s->start.inputs[s->start.n_inputs];
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (s->start.n_inputs == PARE_MAX_INPUTS)
		return pare_err_set(err, PARE_E_LIMIT, path, "at most %d files are read", PARE_MAX_INPUTS);
	in->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (in->fd < 0)
		return pare_err_errno(err, errno, path);
	s->start.n_inputs++;
	if (fstat(in->fd, &st) != 0)
		return pare_err_errno(err, errno, path);
	if (!S_ISREG(st.st_mode))
		return pare_err_set(err, PARE_E_INVALID, path, "not a regular file");
	(void)snprintf(s->names[s->start.n_inputs - 1], sizeof s->names[0], "%s", slash != NULL ? slash + 1 : path);
	in->name = s->names[s->start.n_inputs - 1];
	in->role = role;
	in->n_bytes = st.st_size;
	return PARE_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the directory's visible entries, sorted, so that the order does not depend on the file system. */
static enum pare_code list_directory(const char *path, char *names[PARE_MAX_INPUTS], size_t *out_n, struct pare_err *err)
{
	DIR *d = opendir(path);
	enum pare_code code = PARE_OK;
	struct dirent *e;

	if (d == NULL)
		return pare_err_errno(err, errno, path);
	while (code == PARE_OK && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (*out_n == PARE_MAX_INPUTS)
			code = pare_err_set(err, PARE_E_LIMIT, path, "at most %d files are read", PARE_MAX_INPUTS);
		else if ((names[*out_n] = pare_strdup(e->d_name)) == NULL)
			code = pare_err_nomem(err, 0);
		else
			++*out_n;
	}
	(void)closedir(d);
	qsort(names, *out_n, sizeof *names, by_name);
	return code;
}

static enum pare_code add_directory(struct shell *s, const char *path, const char *role, struct pare_err *err)
{
	char *names[PARE_MAX_INPUTS];
	int before = s->start.n_inputs;
	size_t n = 0;
	enum pare_code code = list_directory(path, names, &n, err);

	for (size_t i = 0; i < n; i++) {
		char file[PATH_MAX];
		struct stat st;

		(void)snprintf(file, sizeof file, "%s/%s", path, names[i]);
		if (code == PARE_OK && stat(file, &st) == 0 && S_ISREG(st.st_mode))
			code = add_file(s, file, role, err);
		pare_free(names[i]);
	}
	if (code == PARE_OK && s->start.n_inputs == before)
		code = pare_err_set(err, PARE_E_DATASET, path, "the directory holds no files");
	return code;
}

static enum pare_code add_path(struct shell *s, const char *path, const char *role, struct pare_err *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return pare_err_errno(err, errno, path);
	return S_ISDIR(st.st_mode) ? add_directory(s, path, role, err) : add_file(s, path, role, err);
}

static enum pare_code add_data(struct shell *s, struct pare_err *err)
{
	enum pare_code code = PARE_OK;

	for (int i = 0; i < s->n_data && code == PARE_OK; i++)
		code = add_path(s, s->data[i], "data", err);
	return code;
}

static enum pare_code read_text(const char *path, struct pare_buf *b, struct pare_err *err)
{
	char chunk[4096];
	size_t n;
	FILE *f = fopen(path, "rb");
	enum pare_code code;

	if (f == NULL)
		return pare_err_errno(err, errno, path);
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0 && pare_buf_add(b, chunk, n))
		continue;
	code = ferror(f) ? pare_err_errno(err, EIO, path) : pare_buf_status(b, err);
	(void)fclose(f);
	if (code == PARE_OK && b->len == 0)
		code = pare_err_set(err, PARE_E_SYNTAX, path, "the file is empty");
	return code;
}

/* --- what is printed while a job runs */

static double number_of(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* What there is no number for (a loss that is none, no rows to validate with) is not 0. */
static const char *figure(const json_t *o, const char *key, char out[FIGURE])
{
	const json_t *v = json_object_get(o, key);

	if (json_is_number(v))
		(void)snprintf(out, FIGURE, "%.4f", json_number_value(v));
	return json_is_number(v) ? out : "-";
}

static void line(struct shell *s, const char *text, bool stays)
{
	if (!s->tty) {
		if (stays)
			(void)fprintf(stderr, "%s\n", text);
		return;
	}
	(void)fprintf(stderr, "\r%-*s%s", s->width, text, stays ? "\n" : "");
	(void)fflush(stderr);
	s->width = stays ? 0 : (int)strlen(text);
}

static void show_metrics(struct shell *s, const json_t *o)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	char text[200], loss[FIGURE], trained[FIGURE], accuracy[FIGURE];

	if (kind != NULL && strcmp(kind, "epoch") == 0)
		(void)snprintf(text, sizeof text, "  epoch %.0f/%.0f  train loss %s  validation loss %s  accuracy %s  sparsity %.4f  %.2f s", number_of(o, "epoch"), number_of(o, "epochs"),
		    figure(o, "train_loss", trained), figure(o, "validation_loss", loss), figure(o, "validation_accuracy", accuracy), number_of(o, "sparsity"), number_of(o, "seconds"));
	else
		(void)snprintf(text, sizeof text, "  %s  validation loss %s  accuracy %s  sparsity %.4f", kind != NULL ? kind : "metrics", figure(o, "validation_loss", loss),
		    figure(o, "validation_accuracy", accuracy), number_of(o, "sparsity"));
	line(s, text, true);
}

static void show(void *ctx, const char *event, const char *data)
{
	struct shell *s = ctx;
	json_t *o = NULL;
	char text[200];

	if (pare_json_load(data, strlen(data), PARE_LINE_MAX, &o, NULL, NULL) != PARE_OK)
		return;
	if (strcmp(event, "metrics") == 0) {
		show_metrics(s, o);
	} else if (strcmp(event, "phase") == 0) {
		const char *phase = json_string_value(json_object_get(o, "phase")), *sandbox = json_string_value(json_object_get(o, "sandbox"));

		(void)snprintf(text, sizeof text, "%s%s%s%s", phase != NULL ? phase : "", sandbox != NULL ? " (sandbox: " : "", sandbox != NULL ? sandbox : "", sandbox != NULL ? ")" : "");
		line(s, text, true);
	} else if (strcmp(event, "progress") == 0) {
		(void)snprintf(text, sizeof text, "%5.1f %%  step %.0f/%.0f  %.0f s left", 100 * number_of(o, "fraction"), number_of(o, "step"), number_of(o, "steps"), number_of(o, "eta_seconds"));
		line(s, text, false);
	} else if (strcmp(event, "resumed") == 0) {
		if (json_object_get(o, "trials") != NULL)
			(void)snprintf(text, sizeof text, "going on after %.0f runs of the sweep, at step %.0f/%.0f", number_of(o, "trials"), number_of(o, "step"), number_of(o, "steps"));
		else
			(void)snprintf(text, sizeof text, "going on at step %.0f/%.0f, round %.0f, after epoch %.0f", number_of(o, "step"), number_of(o, "steps"), number_of(o, "round"), number_of(o, "epoch"));
		line(s, text, true);
	} else if (strcmp(event, "log") == 0) {
		const char *message = json_string_value(json_object_get(o, "message"));

		line(s, message != NULL ? message : "", true);
	}
	json_decref(o);
}

/* --- verbs */

static int talk(struct shell *s, const char *out_dir, const char *only_file)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	struct pare_host h = {.exe = exe, .out_dir = out_dir, .only_file = only_file, .checkpoint = s->checkpoint, .stop = &stop_requested, .event = s->quiet ? NULL : show, .ctx = s};
	struct pare_err err;
	char *result = NULL;
	enum pare_code code;

	if (n <= 0) {
		(void)pare_err_errno(&err, errno, "/proc/self/exe");
		return fail(&err);
	}
	exe[n] = '\0';
	code = pare_host_run(&h, &s->start, &result, &err);
	if (s->tty && s->width > 0)
		(void)fputc('\n', stderr);
	if (code != PARE_OK)
		return fail(&err);
	(void)puts(result);
	pare_free(result);
	return 0;
}

/* Every mistake of the job at once, and its limits: what the daemon does for its jobs. */
static enum pare_code check_job(struct shell *s, const char *text, struct pare_err *err)
{
	struct pare_issues issues;
	struct pare_job *job = NULL;
	const struct pare_args *limits, *a;
	enum pare_code code = pare_job_parse(text, strlen(text), &job, &issues, err);

	for (int i = 0; code == PARE_E_INVALID && issues.n > 1 && i < issues.n; i++)
		(void)fprintf(stderr, "%s: %s: %s\n", s->job, issues.list[i].pointer, issues.list[i].detail);
	if (code != PARE_OK)
		return code;
	a = pare_job_args(job);
	limits = pare_args_obj(a, "limits");
	if (limits != NULL && pare_args_has(limits, "max_memory_bytes"))
		s->start.memory_bytes = pare_args_int(limits, "max_memory_bytes");
	s->start.threads = pare_args_has(a, "threads") ? pare_args_int(a, "threads") : 1;
	if (limits != NULL && pare_args_has(limits, "max_runtime_seconds"))
		s->start.cpu_seconds = pare_args_int(limits, "max_runtime_seconds") * s->start.threads;
	pare_job_free(job);
	return PARE_OK;
}

static enum pare_code read_job(struct shell *s, char **out, struct pare_err *err)
{
	struct pare_buf text;
	enum pare_code code;

	pare_buf_init(&text, TEXT_MAX);
	code = read_text(s->job, &text, err);
	if (code == PARE_OK) {
		code = pare_host_job_text(text.data, text.len, s->threads, s->n_data > 0, s->teacher != NULL, out, err);
		if (code == PARE_OK)
			code = check_job(s, *out, err);
		if (code != PARE_OK)
			(void)pare_err_at(err, "%s", s->job);
	}
	pare_buf_done(&text);
	return code;
}

/* Before the job runs: a result that cannot be written must not cost ten epochs. */
static enum pare_code make_directory(const char *path, struct pare_err *err)
{
	struct stat st;

	if (mkdir(path, 0777) != 0 && errno != EEXIST)
		return pare_err_errno(err, errno, path);
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return pare_err_set(err, PARE_E_INVALID, path, "--out must be a directory; this is a file");
	return access(path, W_OK | X_OK) == 0 ? PARE_OK : pare_err_errno(err, errno, path);
}

/* Runs or analyses the job; out_dir is where it writes. */
static int with_job(struct shell *s, const char *kind, const char *out_dir)
{
	struct pare_err err;
	char *job = NULL;
	enum pare_code code;
	int status;

	s->start.kind = kind;
	if (s->checkpoint != NULL)
		s->start.checkpoint_ms = (s->checkpoint_seconds > 0 ? s->checkpoint_seconds : CHECKPOINT_SECONDS) * INT64_C(1000);
	code = read_job(s, &job, &err);
	if (code == PARE_OK)
		code = add_path(s, s->model, "model", &err);
	if (code == PARE_OK && s->teacher != NULL)
		code = add_file(s, s->teacher, "teacher", &err);
	if (code == PARE_OK)
		code = add_data(s, &err);
	if (code == PARE_OK && s->resume != NULL)
		code = add_file(s, s->resume, "checkpoint", &err);
	if (code == PARE_OK && s->out != NULL)
		code = make_directory(s->out, &err);
	s->start.job = job;
	status = code == PARE_OK ? talk(s, out_dir, NULL) : fail(&err);
	pare_free(job);
	return status;
}

static int run(struct shell *s)
{
	if (s->job == NULL || s->model == NULL || s->out == NULL)
		return misuse("run needs --job, --model and --out", NULL);
	return with_job(s, "run", s->out);
}

static int analyze(struct shell *s)
{
	if (s->job == NULL || s->model == NULL || s->n_data == 0)
		return misuse("analyze needs --job, --model and --data", NULL);
	if (s->out != NULL)
		return misuse("analyze writes nothing", s->out);
	s->quiet = true;
	return with_job(s, "analyze", ".");
}

static bool is_named_model(const char *path)
{
	size_t n = strlen(path);

	return n > 5 && strcmp(path + n - 5, ".onnx") == 0;
}

/* ONNX has no magic number; the readers of data do, and a CSV is text. What is called *.onnx is a model, and so is a directory that holds one. */
static bool is_model(const char *path)
{
	char *names[PARE_MAX_INPUTS];
	struct pare_err unwanted;
	bool found = is_named_model(path);
	struct stat st;
	size_t n = 0;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && list_directory(path, names, &n, &unwanted) == PARE_OK)
		found = false;
	for (size_t i = 0; i < n; i++) {
		found |= is_named_model(names[i]);
		pare_free(names[i]);
	}
	return found;
}

static int inspect(struct shell *s)
{
	struct pare_err err;
	enum pare_code code;

	if (s->n_data == 0)
		return misuse("inspect needs a file", NULL);
	s->quiet = true;
	for (int i = 0; i < s->n_data && s->n_data > 1; i++)
		if (is_model(s->data[i]))
			return misuse("inspect takes one model, or the files of one data set; this model is not alone", s->data[i]);
	if (is_model(s->data[0])) {
		s->start.kind = "inspect-model";
		code = add_path(s, s->data[0], "model", &err);
	} else {
		s->start.kind = "inspect-dataset";
		code = add_data(s, &err);
	}
	return code == PARE_OK ? talk(s, ".", NULL) : fail(&err);
}

static int build(struct shell *s)
{
	struct pare_buf text;
	struct pare_err err;
	int status;

	if (s->architecture == NULL || s->out == NULL)
		return misuse("build needs --architecture and --out", NULL);
	if (s->n_data > 0)
		return misuse("build reads no data", s->data[0]);
	s->quiet = true;
	s->start.kind = "build";
	pare_buf_init(&text, TEXT_MAX);
	if (read_text(s->architecture, &text, &err) == PARE_OK) {
		s->start.architecture = text.data;
		status = talk(s, ".", s->out);
	} else {
		status = fail(&err);
	}
	pare_buf_done(&text);
	return status;
}

/* One file in, one file out. */
static int convert(struct shell *s, const char *kind, const char *role)
{
	struct pare_err err;

	if (s->n_data != 1 || s->out == NULL)
		return misuse("one file and --out are needed behind", kind);
	s->quiet = true;
	s->start.kind = kind;
	return add_file(s, s->data[0], role, &err) == PARE_OK ? talk(s, ".", s->out) : fail(&err);
}

static int pack(struct shell *s)
{
	return convert(s, "pack", "model");
}

static int unpack(struct shell *s)
{
	return convert(s, "unpack", "packed");
}

static int capabilities(struct shell *s)
{
	if (s->n_data > 0)
		return misuse("capabilities takes no file", s->data[0]);
	s->quiet = true;
	s->start.kind = "capabilities";
	return talk(s, ".", NULL);
}

static const struct {
	const char *name;
	int (*run)(struct shell *s);
} verb_table[] = {{"run", run}, {"analyze", analyze}, {"inspect", inspect}, {"build", build}, {"pack", pack}, {"unpack", unpack}, {"capabilities", capabilities}};

static const struct {
	const char *name;
	size_t value; /* offset of a const char * in struct shell */
} option_table[] = {
    {"--job", offsetof(struct shell, job)},
    {"--model", offsetof(struct shell, model)},
    {"--teacher", offsetof(struct shell, teacher)},
    {"--out", offsetof(struct shell, out)},
    {"--architecture", offsetof(struct shell, architecture)},
    {"--checkpoint", offsetof(struct shell, checkpoint)},
    {"--resume", offsetof(struct shell, resume)},
};

static int set_option(struct shell *s, const char *name, const char *value)
{
	int64_t n;

	if (strcmp(name, "--data") == 0) {
		if (s->n_data == PARE_MAX_INPUTS)
			return misuse("too many files; at most 64 are read", value);
		s->data[s->n_data++] = value;
		return 0;
	}
	if (strcmp(name, "--threads") == 0) {
		if (!pare_parse_i64(value, strlen(value), 1, PARE_THREADS_MAX, &n))
			return misuse("--threads must be a whole number from 1 to 64, not", value);
		s->threads = (int)n;
		return 0;
	}
	if (strcmp(name, "--checkpoint-seconds") == 0) {
		if (!pare_parse_i64(value, strlen(value), 1, 86400, &n))
			return misuse("--checkpoint-seconds must be a whole number from 1 to 86400, not", value);
		s->checkpoint_seconds = (int)n;
		return 0;
	}
	for (size_t i = 0; i < sizeof option_table / sizeof option_table[0]; i++)
		if (strcmp(option_table[i].name, name) == 0)
			memcpy((char *)s + option_table[i].value, &value, sizeof value);
	return 0;
}

static bool has_value(const char *name)
{
	bool found = strcmp(name, "--data") == 0 || strcmp(name, "--threads") == 0 || strcmp(name, "--checkpoint-seconds") == 0;

	for (size_t i = 0; i < sizeof option_table / sizeof option_table[0]; i++)
		found |= strcmp(option_table[i].name, name) == 0;
	return found;
}

/* The arguments behind the verb; 0, or the exit status of what is wrong. What is no option is a file of data. */
static int parse_options(struct shell *s, char **argv)
{
	int status = 0;

	while (*argv != NULL && status == 0) {
		const char *name = *argv++;

		if (name[0] != '-')
			status = set_option(s, "--data", name);
		else if (strcmp(name, "--quiet") == 0)
			s->quiet = true;
		else if (!has_value(name))
			status = misuse("unknown option", name);
		else if (*argv == NULL)
			status = misuse("a value is missing behind", name);
		else
			status = set_option(s, name, *argv++);
	}
	return status;
}

static void on_stop(int signum)
{
	(void)signum;
	stop_requested = 1;
}

static int shell_main(char **argv)
{
	struct sigaction action = {.sa_handler = on_stop};
	struct shell *s = pare_calloc(1, sizeof *s);
	int status = 1;

	if (s == NULL)
		return status;
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	s->tty = isatty(STDERR_FILENO) == 1;
	for (size_t v = 0; v < sizeof verb_table / sizeof verb_table[0]; v++) {
		if (strcmp(verb_table[v].name, argv[1]) != 0)
			continue;
		status = parse_options(s, argv + 2);
		if (status == 0)
			status = verb_table[v].run(s);
		goto out;
	}
	status = misuse("unknown command, none of run, analyze, inspect, build, pack and unpack", argv[1]);
out:
	for (int k = 0; k < s->start.n_inputs; k++)
		(void)close(s->start.inputs[k].fd);
	pare_free(s);
	return status;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return misuse("a command is needed", NULL);
	if (strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	if (strcmp(argv[1], "--version") == 0) {
		(void)puts("pare-core " PARE_VERSION);
		return 0;
	}
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			(void)fputs(usage, stdout);
			return 0;
		}
	pare_json_init();
	return shell_main(argv);
}
