/* A job that was killed goes on from its last checkpoint and ends in the same model.onnx and the same report as one that was not. The workers are
 * killed by SIGKILL at random moments out of a seeded generator, whichever step, round, fold or epoch that is; checkpoints that do not fit, or are
 * damaged or forged, never cost more than a beginning anew. */
#include <dirent.h>
#include <signal.h>
#include <zlib.h>

#include "core/base/rng.h"
#include "core/job/checkpoint.h"
#include "tests/core/job/job_support.h"
#include "tests/support/graph_builder.h"
#include "tests/support/graph_onnx.h"

#define HEAD(data) "{\"model\":\"m\",\"dataset\":\"d\",\"seed\":4,\"data\":{\"normalize\":\"standard\"" data "},\"recipe\":{\"steps\":["
#define BATCH "\"batch_size\":8,"
#define ADAM "\"optimizer\":{\"name\":\"adam\",\"lr\":0.01},\"lr_schedule\":{\"name\":\"one_cycle\"}"
#define PLAIN HEAD("") "{\"train\":{\"epochs\":12," BATCH ADAM "}}]}}"

static struct rig r;
static struct pare_buf model, rows;
static char path[96];
static int kill_after; /* events until the worker is killed, counted from its first checkpoint; 0: never */
static int kill_in;    /* it is killed at its first checkpoint in this step or later; 0: never */
static bool has_state;  /* there has been one */

/* 4 inputs, 24 units with batch norm and dropout, 16 more, a residual branch, 3 classes. */
static void build_model(void)
{
	struct gb *b = gb_new(17);
	float w[24 * 24], ones[24], zeros[24] = {0};
	struct pare_rng rng;

	pare_rng_init(&rng, 8, "init", 0);
	for (size_t i = 0; i < 24 * 24; i++)
		w[i] = (float)(0.4 * pare_rng_normal(&rng));
	for (size_t i = 0; i < 24; i++)
		ones[i] = 1;
	gb_input(b, "x", "N 4");
	gb_init(b, "w1", "4 24", w);
	gb_init(b, "b1", "24", zeros);
	gb_init(b, "scale", "24", ones);
	gb_init(b, "shift", "24", zeros);
	gb_init(b, "mean", "24", zeros);
	gb_init(b, "var", "24", ones);
	gb_init(b, "w2", "24 16", w);
	gb_init(b, "b2", "16", zeros);
	gb_init(b, "w3", "16 3", w);
	gb_init(b, "w4", "16 16", w);
	gb_init(b, "ratio", "", &(const float){0.2f});
	gb_node(b, "Gemm", "fc1", "x w1 b1", "h1");
	gb_node(b, "BatchNormalization", "bn", "h1 scale shift mean var", "h2");
	gb_node(b, "Relu", "act1", "h2", "h3");
	gb_node(b, "Dropout", "drop", "h3 ratio", "h4");
	gb_node(b, "Gemm", "fc2", "h4 w2 b2", "h5");
	gb_node(b, "Relu", "act2", "h5", "h6");
	gb_node(b, "MatMul", "res", "h6 w4", "h7");
	gb_node(b, "Add", "sum", "h7 h6", "h8");
	gb_node(b, "MatMul", "fc3", "h8 w3", "logits");
	gb_output(b, "logits");
	pare_buf_init(&model, (size_t)1 << 20);
	graph_onnx(gb_model(b), &model);
	ck_assert_int_eq(pare_buf_status(&model, NULL), PARE_OK);
	gb_free(b);
}

/* Iris three times over, so that a job takes a while. */
static void build_rows(void)
{
	size_t n;
	char *iris = rig_read("tests/data/iris.csv", &n), *body = strchr(iris, '\n') + 1;

	pare_buf_init(&rows, (size_t)1 << 20);
	pare_buf_str(&rows, iris);
	for (int i = 0; i < 2; i++)
		pare_buf_str(&rows, body);
	ck_assert_int_eq(pare_buf_status(&rows, NULL), PARE_OK);
	free(iris);
}

/* The worker is this process's only child; its group is its own. */
static void kill_worker(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int killed = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		char name[300], stat[512];
		int pid = 0, parent = 0;
		const char *p;
		FILE *f;

		(void)snprintf(name, sizeof name, "/proc/%s/stat", e->d_name);
		if (e->d_name[0] < '0' || e->d_name[0] > '9' || (f = fopen(name, "r")) == NULL)
			continue;
		p = fgets(stat, sizeof stat, f) != NULL ? strrchr(stat, ')') : NULL;
		if (p != NULL && sscanf(stat, "%d", &pid) == 1 && sscanf(p, ") %*c %d", &parent) == 1 && parent == getpid())
			killed += kill(pid, SIGKILL) == 0;
		(void)fclose(f);
	}
	(void)closedir(d);
	ck_assert_int_eq(killed, 1);
}

static int step_of(const char *place)
{
	int step = 0;

	return sscanf(place, "{\"step\":%d", &step) == 1 ? step : 0;
}

static void on_event(void *ctx, const char *event, const char *data)
{
	rig_event(ctx, event, data);
	has_state |= strcmp(event, "checkpoint") == 0;
	if (kill_in > 0 && strcmp(event, "checkpoint") == 0 && step_of(data) >= kill_in) {
		kill_in = 0;
		kill_worker();
	}
	if (has_state && kill_after > 0 && --kill_after == 0)
		kill_worker();
}

static void setup(void)
{
	build_model();
	build_rows();
	rig_init(&r);
	r.host.event = on_event;
	(void)snprintf(path, sizeof path, "%s/state", r.dir);
	kill_after = kill_in = 0;
}

static void teardown(void)
{
	(void)unlink(path);
	for (int i = 1; i <= 3; i++) {
		(void)snprintf(path, sizeof path, "%s/front-%02d.onnx", r.dir, i);
		(void)unlink(path);
	}
	rig_done(&r);
	pare_buf_done(&model);
	pare_buf_done(&rows);
}

/* Keeps checkpoints when keep; goes on from what is at path when there is something. */
static enum pare_code run(const char *job, bool keep, bool resume)
{
	rig_forget(&r);
	pare_buf_reset(&r.events);
	r.start.kind = "run";
	r.start.job = job;
	has_state = false;
	r.start.checkpoint_ms = keep ? 1 : 0;
	r.host.checkpoint = keep ? path : NULL;
	rig_input(&r, "model", "m", model.data, model.len);
	if (strstr(job, "\"teacher\":\"t\"") != NULL)
		rig_input(&r, "teacher", "t", model.data, model.len);
	rig_input(&r, "data", "iris.csv", rows.data, rows.len);
	if (resume && access(path, F_OK) == 0)
		rig_file_as(&r, "checkpoint", "state", path);
	return rig_go(&r);
}

static void run_well(const char *job, bool keep, bool resume)
{
	enum pare_code code = run(job, keep, resume);

	ck_assert_msg(code == PARE_OK, "%s at %s", r.err.message, r.err.where);
}

struct ending {
	char *bytes;
	size_t n;
	json_t *report;
};

static struct ending ending(void)
{
	struct ending e;

	e.bytes = rig_output(&r, "model.onnx", &e.n);
	e.report = rig_report(&r);
	rig_drop_timing(e.report);
	return e;
}

static void ending_done(struct ending *e)
{
	free(e->bytes);
	json_decref(e->report);
}

static void ends_like(const struct ending *want, const char *how)
{
	struct ending e = ending();
	char *a = json_dumps(want->report, JSON_INDENT(1)), *b = json_dumps(e.report, JSON_INDENT(1));
	size_t i = 0;

	ck_assert_msg(e.n == want->n && memcmp(e.bytes, want->bytes, e.n) == 0, "%s: another model", how);
	while (a[i] != '\0' && a[i] == b[i])
		i++;
	ck_assert_msg(a[i] == b[i], "%s: the reports part at\n%.200s\n---\n%.200s", how, a + (i > 100 ? i - 100 : 0), b + (i > 100 ? i - 100 : 0));
	free(a);
	free(b);
	ending_done(&e);
}

#define DISTILL(who) ",\"distill\":{\"teacher\":\"" who "\",\"alpha\":0.5,\"temperature\":2}"
#define PRUNE(what, rounds) "{\"prune\":{\"sparsity\":0.7,\"schedule\":{\"name\":\"cubic\",\"rounds\":" rounds "}" what "}}"
#define RECOVER(more) ",\"recover\":{\"epochs\":12," BATCH ADAM more "}"
#define UNITS(what, share, rounds, more) "{\"prune\":{\"granularity\":\"" what "\",\"criterion\":\"l1\",\"sparsity\":" share ",\"schedule\":{\"name\":\"linear\",\"rounds\":" rounds "}" more "}}"
#define MOMENTUM "\"optimizer\":{\"name\":\"sgd\",\"lr\":0.05,\"momentum\":0.9,\"nesterov\":true},\"regularizer\":[{\"name\":\"l1\",\"lambda\":1e-4},{\"name\":\"l2\",\"lambda\":1e-4}],\"clip_norm\":1"

static const char *const job_table[] = {
    HEAD(",\"validation\":0.3") "{\"train\":{\"epochs\":60," BATCH ADAM ",\"keep_best\":true,\"patience\":40}}," PRUNE(RECOVER(",\"keep_best\":true" DISTILL("dense")), "4")
	",{\"train\":{\"epochs\":40," BATCH ADAM ",\"keep_best\":true,\"patience\":3" DISTILL("input") "}}]}}",
    HEAD("") "{\"train\":{\"epochs\":20," BATCH MOMENTUM "}}," PRUNE(RECOVER("") ",\"regrow\":true,\"reconstruct\":{\"rows\":64}", "3") ",{\"reestimate\":{}},{\"evaluate\":{\"folds\":3}}," PRUNE("", "5") "]},\"threads\":2}",
    HEAD("") "{\"train\":{\"epochs\":20," BATCH "\"optimizer\":{\"name\":\"rmsprop\",\"lr\":0.005,\"momentum\":0.5},\"warmup\":2" DISTILL("model")
	"}},{\"prune\":{\"granularity\":\"channel\",\"criterion\":\"taylor\",\"sparsity\":0.5,\"schedule\":{\"name\":\"linear\",\"rounds\":3}" RECOVER("") "}},{\"evaluate\":{\"folds\":2}},{\"evaluate\":{}}]},\"teacher\":\"t\"}",
    HEAD(",\"validation\":0.3") "{\"train\":{\"epochs\":20," BATCH ADAM "}},{\"prune\":{\"sparsity\":0.1}},{\"search\":{\"tries\":14,\"front\":3,\"recover\":{\"epochs\":10," BATCH ADAM "}}}]},\"require\":{\"max_drop\":0.05}}",
    HEAD("") "{\"train\":{\"epochs\":20," BATCH MOMENTUM "}}," PRUNE(RECOVER("") ",\"rewind\":3,\"criterion\":\"movement_sum\",\"reestimate\":{}", "3") ",{\"evaluate\":{\"folds\":2}},"
	PRUNE(RECOVER(",\"rewire\":{\"every\":5}") ",\"fade\":{\"epochs\":4},\"criterion\":\"movement_sum\"", "3") "]}}",
    HEAD("") "{\"train\":{\"epochs\":12," BATCH MOMENTUM "}}," PRUNE(RECOVER(""), "3") "]},\"sweep\":{\"halving\":2,\"folds\":2,\"seeds\":2,\"grid\":[{\"parameter\":\"/recipe/steps/0/train/regularizer/1/lambda\","
	"\"values\":[1e-4,0.1,1e6]},{\"parameter\":\"/recipe/steps/1/prune/sparsity\",\"values\":[0.5,0.9]}]}}",
    HEAD("") "{\"train\":{\"epochs\":12," BATCH ADAM "}},{\"prune\":{\"granularity\":\"layer\",\"sparsity\":0.9,\"criterion\":\"l1\"" RECOVER("") "}},{\"prune\":{\"sparsity\":0.93" RECOVER("") "}},"
	"{\"remove_dead\":{}},{\"train\":{\"epochs\":20," BATCH ADAM "}},{\"evaluate\":{\"folds\":2}}]}}",
    HEAD("") "{\"train\":{\"epochs\":12," BATCH ADAM "}},{\"train\":{\"epochs\":12," BATCH ADAM ",\"noise\":\"variational\"}}," PRUNE(RECOVER(""), "2")
	",{\"train\":{\"epochs\":12," BATCH MOMENTUM ",\"noise\":\"l0\"}},{\"evaluate\":{\"folds\":2}}]},\"threads\":2}",
    HEAD("") "{\"train\":{\"epochs\":10," BATCH ADAM "}},{\"factorize\":{\"ratio\":0.6,\"scope\":\"global\"}},{\"train\":{\"epochs\":20," BATCH ADAM DISTILL("dense") "}}," PRUNE(RECOVER(""), "3") "]}}",
    HEAD("") "{\"factorize\":{\"rank\":3}},{\"train\":{\"epochs\":30," BATCH ADAM DISTILL("input") "}}," PRUNE(RECOVER(""), "3") ",{\"evaluate\":{\"folds\":2}}]}}",
    HEAD(",\"validation\":0.3") "{\"train\":{\"epochs\":10," BATCH ADAM "}}," UNITS("channel", "0.4", "3", RECOVER("")) ",{\"factorize\":{\"ratio\":0.7,\"scope\":\"global\"}},"
	"{\"train\":{\"epochs\":20," BATCH ADAM DISTILL("dense") "}}," UNITS("channel", "0.4", "2", RECOVER(DISTILL("input"))) "," PRUNE("", "2") "]},\"threads\":2}",
    HEAD("") "{\"train\":{\"epochs\":10," BATCH ADAM "}}," UNITS("layer", "0.9", "1", RECOVER("")) "," UNITS("channel", "0.4", "2", RECOVER("")) ",{\"remove_dead\":{}},{\"evaluate\":{\"folds\":2}},"
	"{\"factorize\":{\"ratio\":0.7,\"scope\":\"global\"}},{\"train\":{\"epochs\":20," BATCH MOMENTUM DISTILL("dense") "}},{\"quantize\":{}}]}}",
};
#define FIRST_FACTORS 8 /* of those that factorize */
#define N_JOBS ((int)(sizeof job_table / sizeof job_table[0]))

static int count_events(const char *text)
{
	int n = 0;

	for (const char *p = r.events.data; p != NULL && (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

START_TEST(killed_jobs_end_the_same)
{
	const char *job = job_table[_i];
	struct ending want;
	struct pare_rng rng;
	int n_events, resumed = 0;
	char how[64];

	run_well(job, false, false);
	want = ending();
	run_well(job, true, false);
	ends_like(&want, "keeping checkpoints");
	n_events = count_events("\n");
	ck_assert_int_ge(count_events("checkpoint {"), 2);
	pare_rng_init(&rng, 20, "kills", (uint64_t)_i);
	for (int life = 0; life < 2; life++) {
		(void)unlink(path);
		for (int kills = 0; kills < 3; kills++) {
			kill_after = 1 + (int)pare_rng_below(&rng, (uint64_t)n_events / 4 + 2);
			if (run(job, true, true) == PARE_OK)
				break;
			ck_assert_msg(r.err.code == PARE_E_WORKER_CRASHED, "%s", r.err.message);
			ck_assert_msg(count_events("begins anew") == 0, "job %d: %.200s", _i, strstr(r.events.data, "begins anew"));
			resumed += count_events("resumed {");
		}
		kill_after = 0;
		(void)snprintf(how, sizeof how, "job %d, life %d", _i, life);
		run_well(job, true, true);
		ck_assert_msg(count_events("begins anew") == 0, "job %d: %.200s", _i, strstr(r.events.data, "begins anew"));
		resumed += count_events("resumed {");
		ends_like(&want, how);
	}
	ck_assert_int_ge(resumed, 2);
	ending_done(&want);
}
END_TEST

/* The number of the step that factorizes. */
static int factors_at(const char *job)
{
	json_t *v = rig_json(job), *step;
	int found = 0;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(v, "recipe"), "steps"), i, step)
		found = json_object_get(step, "factorize") != NULL ? (int)i + 1 : found;
	json_decref(v);
	return found;
}

/* Whatever step a job is killed in that makes another net of its net. */
START_TEST(another_net_is_made_again)
{
	const char *job = job_table[FIRST_FACTORS + _i];
	struct ending want;
	int resumed = 0, last = 0;
	char how[64];

	run_well(job, false, false);
	want = ending();
	for (int step = 1; step < 9; step++) {
		(void)unlink(path);
		kill_in = step;
		if (run(job, true, false) == PARE_OK)
			break;
		kill_in = 0;
		run_well(job, true, true);
		ck_assert_int_eq(count_events("resumed {"), 1);
		last = step_of(strstr(r.events.data, "resumed {") + strlen("resumed "));
		(void)snprintf(how, sizeof how, "job %d, from step %d", FIRST_FACTORS + _i, last);
		ends_like(&want, how);
		resumed++;
	}
	kill_in = 0;
	ck_assert_int_ge(resumed, 3);
	ck_assert_int_gt(last, factors_at(job));
	ending_done(&want);
}
END_TEST

/* One run of a sweep, as a job of its own or among all, goes on within its training and rounds: in a fold, of another seed, by a share of its epochs. */
#define GRID "\"sweep\":{\"halving\":2,\"folds\":2,\"seeds\":2,\"grid\":[{\"parameter\":\"/recipe/steps/1/prune/sparsity\",\"values\":[0.5,0.6,0.7,0.9]}]}"
#define RUN "{\"train\":{\"epochs\":200," BATCH ADAM "}}," PRUNE(RECOVER(DISTILL("input")) ",\"criterion\":\"movement_sum\"", "3")
static const char *const trial_table[] = {
    HEAD("") RUN "]}," GRID ",\"trial\":{\"variant\":2,\"rung\":1,\"repeat\":1,\"fold\":2}}",
    HEAD("") "{\"train\":{\"epochs\":200," BATCH ADAM "}},{\"prune\":{\"sparsity\":0.1}},{\"search\":{\"tries\":8,\"recover\":{\"epochs\":20," BATCH ADAM "}}}]},\"require\":{\"max_drop\":0.05},"
	"\"sweep\":{\"grid\":[{\"parameter\":\"/recipe/steps/1/prune/sparsity\",\"values\":[0.5,0.9]}]},\"trial\":{\"variant\":1}}",
    HEAD("") "{\"train\":{\"epochs\":200," BATCH ADAM "}},{\"factorize\":{\"ratio\":0.5,\"scope\":\"global\"}},{\"train\":{\"epochs\":200," BATCH ADAM "}}]},"
	"\"sweep\":{\"grid\":[{\"parameter\":\"/recipe/steps/1/factorize/ratio\",\"values\":[0.5,0.7]}]},\"trial\":{\"variant\":1}}",
    HEAD("") "{\"train\":{\"epochs\":100," BATCH ADAM "}}," UNITS("channel", "0.4", "3", RECOVER("")) ",{\"factorize\":{\"ratio\":0.7,\"scope\":\"global\"}},{\"train\":{\"epochs\":200," BATCH ADAM DISTILL("dense") "}}]},"
	"\"sweep\":{\"folds\":2,\"grid\":[{\"parameter\":\"/recipe/steps/1/prune/sparsity\",\"values\":[0.3,0.5]}]},\"trial\":{\"variant\":1,\"fold\":2}}",
};

START_TEST(runs_of_a_sweep_go_on)
{
	char *want;
	int resumed = 0;

	run_well(trial_table[_i], false, false);
	want = strdup(r.result);
	for (int at = 1; at < 60; at = 2 * at + 1) {
		(void)unlink(path);
		kill_after = at;
		if (run(trial_table[_i], true, false) == PARE_OK)
			break;
		kill_after = 0;
		run_well(trial_table[_i], true, true);
		ck_assert_str_eq(r.result, want);
		resumed += count_events("resumed {");
	}
	kill_after = 0;
	ck_assert_int_ge(resumed, 2);
	free(want);
}
END_TEST

/* From the very last one, which stands behind all steps, too. */
START_TEST(the_last_checkpoint_leads_to_the_end)
{
	struct ending want;

	run_well(PLAIN, true, false);
	want = ending();
	run_well(PLAIN, false, true);
	ck_assert_int_eq(count_events("resumed {"), 1);
	ends_like(&want, "from the last");
	ending_done(&want);
}
END_TEST

static const struct {
	const char *job, *says;
} misfit_table[] = {
    {HEAD("") "{\"train\":{\"epochs\":13," BATCH ADAM "}}]}}", "another job"},
    {HEAD("") "{\"train\":{\"epochs\":12," BATCH ADAM "}}]},\"threads\":2}", "another number of threads"},
};

START_TEST(misfits_begin_anew)
{
	struct ending want;

	run_well(misfit_table[_i].job, false, false);
	want = ending();
	run_well(PLAIN, true, false);
	run_well(misfit_table[_i].job, false, true);
	ck_assert_msg(strstr(r.events.data, misfit_table[_i].says) != NULL && strstr(r.events.data, "begins anew") != NULL, "%s", r.events.data);
	ck_assert_int_eq(count_events("resumed {"), 0);
	ends_like(&want, "anew");
	ending_done(&want);
}
END_TEST

static void put_file(const char *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(p, 1, n, f), n);
	(void)fclose(f);
}

/* A state that another version has made, down to a right checksum. */
START_TEST(another_version_begins_anew)
{
	struct ending want;
	uint64_t crc;
	char *bytes;
	size_t n, at = 0;

	run_well(PLAIN, true, false);
	want = ending();
	bytes = rig_read(path, &n);
	while (at + strlen(PARE_VERSION) < n && memcmp(bytes + at, PARE_VERSION, strlen(PARE_VERSION)) != 0)
		at++;
	bytes[at]++;
	crc = crc32_z(0, (const uint8_t *)bytes, n - 8);
	memcpy(bytes + n - 8, &crc, sizeof crc);
	put_file(bytes, n);
	run_well(PLAIN, false, true);
	ck_assert_msg(strstr(r.events.data, "version") != NULL && strstr(r.events.data, "begins anew") != NULL, "%s", r.events.data);
	ends_like(&want, "another version");
	free(bytes);
	ending_done(&want);
}
END_TEST

START_TEST(damage_begins_anew)
{
	struct ending want;
	char *bytes;
	size_t n;

	run_well(PLAIN, true, false);
	want = ending();
	bytes = rig_read(path, &n);
	for (int i = 0; i < 4; i++) {
		size_t at = i == 0 ? 0 : i == 1 ? 9 : i == 2 ? n / 2 : n - 4;

		bytes[at] = (char)(bytes[at] ^ 4);
		put_file(bytes, n);
		bytes[at] = (char)(bytes[at] ^ 4);
		run_well(PLAIN, false, true);
		ck_assert_msg(strstr(r.events.data, "begins anew") != NULL && count_events("resumed {") == 0, "byte %zu: %s", at, r.events.data);
		ends_like(&want, "damaged");
	}
	put_file(bytes, n / 3);
	run_well(PLAIN, false, true);
	ck_assert_ptr_nonnull(strstr(r.events.data, "begins anew"));
	free(bytes);
	ending_done(&want);
}
END_TEST

/* Numbers turned into others under a right checksum: whatever comes of it, the worker lives and speaks. */
START_TEST(forgeries_do_no_harm)
{
	const char *job = job_table[_i];
	struct pare_rng rng;
	char *bytes;
	size_t n;

	run_well(job, true, false);
	bytes = rig_read(path, &n);
	/* one from the middle, if the kill comes before the end */
	kill_after = 3;
	if (run(job, true, false) != PARE_OK) {
		free(bytes);
		bytes = rig_read(path, &n);
	}
	kill_after = 0;
	pare_rng_init(&rng, 21, "forge", (uint64_t)_i);
	for (int i = 0; i < 8; i++) {
		char *forged = malloc(n);
		size_t at = 8 * (3 + (size_t)pare_rng_below(&rng, 51));
		int64_t v = (int64_t)pare_rng_below(&rng, 6);
		uint64_t crc;
		enum pare_code code;

		memcpy(forged, bytes, n);
		memcpy(forged + at, &v, sizeof v);
		crc = crc32_z(0, (const uint8_t *)forged, n - 8);
		memcpy(forged + n - 8, &crc, sizeof crc);
		put_file(forged, n);
		free(forged);
		code = run(job, false, true);
		ck_assert_msg(code != PARE_E_WORKER_CRASHED && code != PARE_E_SANDBOX && code != PARE_E_INTERNAL, "word %zu = %lld: %s", at / 8, (long long)v, r.err.message);
	}
	free(bytes);
}
END_TEST

/* What the fuzzer of checkpoints begins with are checkpoints: of an older format it would never get past the version. */
START_TEST(seeds_are_of_this_format)
{
	DIR *d = opendir("tests/fuzz/corpus/checkpoint");
	struct pare_checkpoint c;
	struct dirent *e;
	int n_read = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		char name[320], *bytes;
		uint8_t *aligned;
		size_t n;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof name, "tests/fuzz/corpus/checkpoint/%s", e->d_name);
		bytes = rig_read(name, &n);
		aligned = pare_alloc_aligned(n);
		ck_assert_ptr_nonnull(aligned);
		memcpy(aligned, bytes, n);
		ck_assert_msg(pare_checkpoint_read((struct pare_span){aligned, n}, &c, &r.err) == PARE_OK, "%s: %s; make new ones with tests/fuzz/checkpoints.py", name, r.err.message);
		pare_free(aligned);
		free(bytes);
		n_read++;
	}
	(void)closedir(d);
	ck_assert_int_ge(n_read, 5);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("resume");
	TCase *tc = tcase_create("resume");

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return pare_worker_main();
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, killed_jobs_end_the_same, 0, N_JOBS);
	tcase_add_loop_test(tc, another_net_is_made_again, 0, N_JOBS - FIRST_FACTORS);
	tcase_add_loop_test(tc, runs_of_a_sweep_go_on, 0, (int)(sizeof trial_table / sizeof trial_table[0]));
	tcase_add_test(tc, the_last_checkpoint_leads_to_the_end);
	tcase_add_loop_test(tc, misfits_begin_anew, 0, (int)(sizeof misfit_table / sizeof misfit_table[0]));
	tcase_add_test(tc, damage_begins_anew);
	tcase_add_test(tc, another_version_begins_anew);
	tcase_add_loop_test(tc, forgeries_do_no_harm, 0, N_JOBS);
	tcase_add_test(tc, seeds_are_of_this_format);
	suite_add_tcase(s, tc);
	return rig_main(s);
}
