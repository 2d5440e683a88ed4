/* Runs the engine as a user's shell would: through the host, in a worker process, with files in memory. The test program is its own
 * worker: started with "worker" it does what pare-core does. */
#ifndef TESTS_CORE_JOB_JOB_SUPPORT_H
#define TESTS_CORE_JOB_JOB_SUPPORT_H

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/job/job.h"

struct rig {
	char dir[64];
	struct pare_msg_start start;
	struct pare_host host;
	struct pare_err err;
	char *result;
	struct pare_buf events; /* "phase {...}\n" per event */
	volatile sig_atomic_t stop;
	const char *stop_at; /* set stop when an event's text holds this */
};

static inline void rig_event(void *ctx, const char *event, const char *data)
{
	struct rig *r = ctx;

	pare_buf_printf(&r->events, "%s %s\n", event, data);
	if (r->stop_at != NULL && strstr(data, r->stop_at) != NULL)
		r->stop = 1;
}

static inline void rig_init(struct rig *r)
{
	memset(r, 0, sizeof *r);
	(void)snprintf(r->dir, sizeof r->dir, "/tmp/pare-job-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	pare_buf_init(&r->events, (size_t)64 << 20);
	r->host = (struct pare_host){.exe = "/proc/self/exe", .out_dir = r->dir, .stop = &r->stop, .event = rig_event, .ctx = r};
}

static inline void rig_forget(struct rig *r) /* inputs and result; outputs and events stay */
{
	for (int i = 0; i < r->start.n_inputs; i++)
		(void)close(r->start.inputs[i].fd);
	memset(&r->start, 0, sizeof r->start);
	pare_free(r->result);
	r->result = NULL;
}

static inline void rig_done(struct rig *r)
{
	static const char *const names[] = {"model.onnx", "model.packed", "report.json", "report.md", "report.html", "provenance.json"};
	char path[128];

	rig_forget(r);
	pare_buf_done(&r->events);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", r->dir, names[i]);
		(void)unlink(path);
	}
	for (int i = 1; i <= 16; i++) {
		(void)snprintf(path, sizeof path, "%s/front-%02d.onnx", r->dir, i);
		(void)unlink(path);
	}
	ck_assert_msg(rmdir(r->dir) == 0, "%s holds more than the outputs", r->dir);
}

static inline void rig_input(struct rig *r, const char *role, const char *name, const void *bytes, size_t n)
{
	int fd = memfd_create("input", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	r->start.inputs[r->start.n_inputs++] = (struct pare_msg_input){.role = role, .name = name, .fd = fd, .n_bytes = (int64_t)n};
}

static inline char *rig_read(const char *path, size_t *out_n)
{
	FILE *f = fopen(path, "rb");
	char *p;
	long n;

	ck_assert_msg(f != NULL, "%s is missing", path);
	(void)fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	p = calloc((size_t)n + 1, 1);
	ck_assert_uint_eq(fread(p, 1, (size_t)n, f), (size_t)n);
	(void)fclose(f);
	if (out_n != NULL)
		*out_n = (size_t)n;
	return p;
}

static inline char *rig_output(const struct rig *r, const char *name, size_t *out_n)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/%s", r->dir, name);
	return rig_read(path, out_n);
}

/* Two runs of a job give the same model, of so many bytes; the second's files stay. */
static inline size_t rig_twice(const struct rig *r, enum pare_code (*run)(const char *job), const char *job)
{
	char *bytes[2];
	size_t n[2];

	for (int k = 0; k < 2; k++) {
		ck_assert_msg(run(job) == PARE_OK, "%s: %s", r->err.where, r->err.message);
		bytes[k] = rig_output(r, "model.onnx", &n[k]);
	}
	ck_assert_uint_eq(n[0], n[1]);
	ck_assert_mem_eq(bytes[0], bytes[1], n[0]);
	free(bytes[0]);
	free(bytes[1]);
	return n[0];
}

/* How much of a model that leaves is not about where it comes from: that stands at its end, and names the job. */
static inline size_t rig_without_origin(const char *model, size_t n)
{
	const char *entry = memmem(model, n, "pare.version", 12);

	ck_assert_ptr_nonnull(entry);
	return (size_t)(entry - model) - 4; /* tags and lengths of an entry and its key */
}

static inline bool rig_has_output(const struct rig *r, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/%s", r->dir, name);
	return access(path, F_OK) == 0;
}

static inline void rig_file_as(struct rig *r, const char *role, const char *name, const char *path)
{
	size_t n;
	char *p = rig_read(path, &n);

	rig_input(r, role, name, p, n);
	free(p);
}

static inline void rig_file(struct rig *r, const char *role, const char *path) /* path must stay */
{
	const char *slash = strrchr(path, '/');

	rig_file_as(r, role, slash != NULL ? slash + 1 : path, path);
}

static inline enum pare_code rig_go(struct rig *r)
{
	return pare_host_run(&r->host, &r->start, &r->result, &r->err);
}

/* The bytes of a model born from a description; free(). */
static inline char *rig_build(const char *architecture, size_t *out_n)
{
	struct rig r;
	char *model;

	rig_init(&r);
	r.start.kind = "build";
	r.start.architecture = architecture;
	ck_assert_msg(rig_go(&r) == PARE_OK, "%s: %s", r.err.where, r.err.message);
	model = rig_output(&r, "model.onnx", out_n);
	rig_done(&r);
	return model;
}

static inline json_t *rig_json(const char *text)
{
	json_error_t e;
	json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, &e);

	ck_assert_msg(v != NULL, "line %d column %d: %s", e.line, e.column, e.text);
	return v;
}

static inline json_t *rig_report(const struct rig *r)
{
	char *text = rig_output(r, "report.json", NULL);
	json_t *v = rig_json(text);

	free(text);
	return v;
}

/* What a clock has measured goes from a report. */
static inline void rig_drop_timing(json_t *v)
{
	const char *key;
	json_t *e;
	size_t i;

	if (json_is_object(v)) {
		json_object_del(v, "timing");
		json_object_del(v, "latency_ms");
	}
	json_object_foreach(v, key, e)
		rig_drop_timing(e);
	json_array_foreach(v, i, e)
		rig_drop_timing(e);
}

/* Number at a path of keys and indices: "final.confusion.0.0". */
static inline double rig_num(const json_t *v, const char *path)
{
	char part[64];

	while (*path != '\0') {
		size_t n = strcspn(path, ".");

		ck_assert_uint_lt(n, sizeof part);
		memcpy(part, path, n);
		part[n] = '\0';
		v = json_is_array(v) ? json_array_get(v, (size_t)strtoul(part, NULL, 10)) : json_object_get(v, part);
		path += n + (path[n] == '.' ? 1 : 0);
	}
	ck_assert_msg(json_is_number(v), "no number at %s", part);
	return json_number_value(v);
}

static inline int rig_main(Suite *s)
{
	SRunner *runner;
	int failed;

	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}

#endif
