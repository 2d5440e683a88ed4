/* The lines between daemon and engine. The engine has parsed hostile bytes by the time it speaks, so the daemon reads its
 * lines as it reads a request: every field present, of its type, in its bounds, no field too many, names that can only be
 * names of plain files. A line that is not one of the messages is a protocol error, and the daemon ends that job.
 *
 * Nested objects (data, job) travel inside the line as JSON, not as strings of JSON, and come out as compact text. The nesting cap of json_text.c holds for the whole line. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"
#include "core/recipe/json_text.h"
#include "core/recipe/protocol.h"
#include "core/recipe/recipe_priv.h"

#define NAME_MAX_LEN ((size_t)64)
#define SHA256_DIGITS ((size_t)64)
#define MEDIA_TYPE_MAX ((size_t)100)

static const char *const event_names[] = {"phase", "metrics", "log", "progress", "checkpoint", "resumed", NULL};
static const char *const kinds[] = {"run", "analyze", "inspect-model", "inspect-dataset", "sample-dataset", "build", "pack", "unpack", "capabilities", NULL};
static const char *const roles[] = {"model", "teacher", "data", "checkpoint", "packed", NULL};

static bool among(const char *const *list, const char *s)
{
	for (; s != NULL && *list != NULL; list++)
		if (strcmp(*list, s) == 0)
			return true;
	return false;
}

bool pare_msg_artifact_name(const char *s)
{
	size_t n = s != NULL ? strlen(s) : 0;

	return n >= 1 && n <= NAME_MAX_LEN && s[0] != '.' &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static bool media_type(const char *s)
{
	size_t n = s != NULL ? strlen(s) : 0;

	return n >= 1 && n <= MEDIA_TYPE_MAX && strchr(s, '/') != NULL && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+/;= ") == n;
}

/* --- writing */

static enum pare_code add_json(struct pare_buf *out, const char *key, const char *text, struct pare_err *err)
{
	json_t *v = NULL;
	enum pare_code code;

	pare_json_key(out, key);
	if (text == NULL) {
		pare_buf_str(out, "null");
		return PARE_OK;
	}
	code = pare_json_load(text, strlen(text), PARE_LINE_MAX, &v, NULL, err);
	if (code == PARE_OK && !json_is_object(v))
		code = pare_err_set(err, PARE_E_INTERNAL, key, "a message part must be a JSON object");
	json_decref(v);
	for (; code == PARE_OK && *text != '\0'; text++) /* white space between tokens may hold newlines; inside strings there are none */
		if (*text != '\n' && *text != '\r')
			pare_buf_add(out, text, 1);
	return code;
}

static enum pare_code end_line(struct pare_buf *out, size_t start, enum pare_code code, struct pare_err *err)
{
	pare_buf_str(out, "}\n");
	if (code == PARE_OK)
		code = pare_buf_status(out, err);
	if (code == PARE_OK && out->len - start > PARE_LINE_MAX)
		code = pare_err_set(err, PARE_E_LIMIT, NULL, "a message of %zu bytes exceeds %zu", out->len - start, PARE_LINE_MAX);
	if (code != PARE_OK && out->len > start)
		out->len = start;
	return code;
}

static void begin_line(struct pare_buf *out, const char *type)
{
	pare_buf_str(out, "{");
	pare_json_key_str(out, "type", type);
}

static void add_trials(struct pare_buf *out, const struct pare_trial *t, int n, bool outcome)
{
	pare_buf_str(out, "[");
	for (int i = 0; i < n; i++) {
		pare_json_sep(out);
		pare_trial_write(out, &t[i], outcome);
	}
	pare_buf_str(out, "]");
}

enum pare_code pare_msg_write_start(struct pare_buf *out, const struct pare_msg_start *m, struct pare_err *err)
{
	size_t start = out->len;
	enum pare_code code;

	begin_line(out, "start");
	pare_json_key_str(out, "kind", m->kind);
	code = add_json(out, "job", m->job, err);
	if (code == PARE_OK)
		code = add_json(out, "architecture", m->architecture, err);
	if (code == PARE_OK)
		code = add_json(out, "options", m->options, err);
	pare_json_key(out, "inputs");
	pare_buf_str(out, "[");
	for (int i = 0; i < m->n_inputs; i++) {
		pare_json_sep(out);
		pare_buf_str(out, "{");
		pare_json_key_str(out, "role", m->inputs[i].role);
		pare_json_key_str(out, "name", m->inputs[i].name);
		pare_json_key_int(out, "fd", m->inputs[i].fd);
		pare_json_key_int(out, "bytes", m->inputs[i].n_bytes);
		if (m->inputs[i].sha256 != NULL)
			pare_json_key_str(out, "sha256", m->inputs[i].sha256);
		pare_buf_str(out, "}");
	}
	pare_buf_str(out, "]");
	pare_json_key(out, "limits");
	pare_buf_printf(out, "{\"memory_bytes\":%lld,\"cpu_seconds\":%lld,\"threads\":%lld}", (long long)m->memory_bytes, (long long)m->cpu_seconds, (long long)m->threads);
	pare_json_key_int(out, "checkpoint_ms", m->checkpoint_ms);
	pare_json_key(out, "trials");
	if (m->trials != NULL)
		add_trials(out, m->trials, m->n_trials, true);
	else
		pare_buf_str(out, "null");
	return end_line(out, start, code, err);
}

enum pare_code pare_msg_write_event(struct pare_buf *out, const char *event, const char *data, struct pare_err *err)
{
	size_t start = out->len;

	begin_line(out, "event");
	pare_json_key_str(out, "event", event);
	return end_line(out, start, add_json(out, "data", data, err), err);
}

enum pare_code pare_msg_write_open(struct pare_buf *out, const char *name, const char *type, struct pare_err *err)
{
	size_t start = out->len;

	begin_line(out, "open");
	pare_json_key_str(out, "name", name);
	pare_json_key_str(out, "media_type", type);
	return end_line(out, start, PARE_OK, err);
}

enum pare_code pare_msg_write_fd(struct pare_buf *out, const char *name, struct pare_err *err)
{
	size_t start = out->len;

	begin_line(out, "fd");
	pare_json_key_str(out, "name", name);
	return end_line(out, start, PARE_OK, err);
}

enum pare_code pare_msg_write_result(struct pare_buf *out, const char *data, const char *const *artifacts, int n, struct pare_err *err)
{
	size_t start = out->len;
	enum pare_code code;

	begin_line(out, "result");
	code = add_json(out, "data", data, err);
	pare_json_key(out, "artifacts");
	pare_buf_str(out, "[");
	for (int i = 0; i < n; i++) {
		pare_json_sep(out);
		pare_json_str(out, artifacts[i]);
	}
	pare_buf_str(out, "]");
	return end_line(out, start, code, err);
}

enum pare_code pare_msg_write_trials(struct pare_buf *out, const struct pare_trial *trials, int n, int n_known, int n_all, struct pare_err *err)
{
	size_t start = out->len;

	begin_line(out, "trials");
	pare_json_key(out, "trials");
	add_trials(out, trials, n, false);
	pare_json_key_int(out, "known", n_known);
	pare_json_key_int(out, "all", n_all);
	return end_line(out, start, PARE_OK, err);
}

enum pare_code pare_msg_write_error(struct pare_buf *out, const struct pare_err *e, struct pare_err *err)
{
	size_t start = out->len;

	begin_line(out, "error");
	pare_json_key_str(out, "code", pare_code_string(e->code));
	pare_json_key_str(out, "message", e->message);
	pare_json_key_str(out, "where", e->where);
	return end_line(out, start, PARE_OK, err);
}

/* --- reading: strings live in the arena of a struct owner */

static enum pare_code bad(struct pare_err *err, const char *what)
{
	return pare_err_set(err, PARE_E_SYNTAX, NULL, "not a protocol message: %s", what);
}

static enum pare_code load_line(const char *line, size_t len, json_t **out, struct pare_arena **owner, struct pare_err *err)
{
	enum pare_code code = pare_json_load(line, len, PARE_LINE_MAX, out, NULL, err);

	if (code != PARE_OK)
		return code;
	if (!json_is_object(*out))
		return bad(err, "it must be an object");
	*owner = pare_calloc(1, sizeof **owner);
	if (*owner == NULL)
		return pare_err_nomem(err, sizeof **owner);
	pare_arena_init(*owner, 4 * PARE_LINE_MAX);
	return PARE_OK;
}

static void owner_done(void *p)
{
	if (p == NULL)
		return;
	pare_arena_done(p);
	pare_free(p);
}

/* The string member key, at most max bytes; NULL if it is absent, no string or too long. */
static const char *text_of(struct pare_arena *a, const json_t *o, const char *key, size_t max)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_string(v) || json_string_length(v) > max)
		return NULL;
	return pare_arena_strndup(a, json_string_value(v), json_string_length(v));
}

/* A tree as compact text, keys in the order they came in; numbers as short as they can be. */
static void dump(struct pare_buf *b, const json_t *v)
{
	const char *key;
	json_t *e;
	size_t i;

	switch (json_typeof(v)) {
	case JSON_OBJECT:
		pare_buf_str(b, "{");
		json_object_foreach((json_t *)(uintptr_t)v, key, e) {
			pare_json_key(b, key);
			dump(b, e);
		}
		pare_buf_str(b, "}");
		return;
	case JSON_ARRAY:
		pare_buf_str(b, "[");
		json_array_foreach(v, i, e) {
			pare_json_sep(b);
			dump(b, e);
		}
		pare_buf_str(b, "]");
		return;
	case JSON_STRING:
		pare_json_str(b, json_string_value(v));
		return;
	case JSON_INTEGER:
		pare_json_int(b, json_integer_value(v));
		return;
	case JSON_REAL:
		pare_json_num(b, json_real_value(v));
		return;
	case JSON_TRUE:
	case JSON_FALSE:
		pare_buf_str(b, json_is_true(v) ? "true" : "false");
		return;
	case JSON_NULL:
		pare_buf_str(b, "null");
		return;
	}
}

/* The object member key as compact text; null reads as NULL. */
static enum pare_code object_of(struct pare_arena *a, const json_t *o, const char *key, bool required, const char **out, struct pare_err *err)
{
	const json_t *v = json_object_get(o, key);
	enum pare_code code;
	struct pare_buf b;

	*out = NULL;
	if ((v == NULL || json_is_null(v)) && !required)
		return PARE_OK;
	if (!json_is_object(v))
		return bad(err, key);
	pare_buf_init(&b, 2 * PARE_LINE_MAX);
	dump(&b, v);
	code = pare_buf_status(&b, err);
	if (code == PARE_OK && (*out = pare_arena_strndup(a, b.data, b.len)) == NULL)
		code = pare_err_nomem(err, 0);
	pare_buf_done(&b);
	return code;
}

static bool int_of(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *out)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return false;
	*out = json_integer_value(v);
	return true;
}

static enum pare_code read_input(struct pare_arena *a, const json_t *v, struct pare_msg_input *in, struct pare_err *err)
{
	int64_t fd;

	bool hashed = json_object_get(v, "sha256") != NULL;

	if (json_object_size(v) != (hashed ? 5 : 4))
		return bad(err, "an input must have role, name, fd and bytes, and may have sha256");
	in->role = text_of(a, v, "role", 16);
	in->name = text_of(a, v, "name", 255);
	if (!among(roles, in->role) || in->name == NULL || !int_of(v, "fd", PARE_ENGINE_FD + 1, 65535, &fd) || !int_of(v, "bytes", 0, INT64_MAX, &in->n_bytes))
		return bad(err, "an input has a wrong role, name, fd or bytes");
	in->sha256 = hashed ? text_of(a, v, "sha256", SHA256_DIGITS) : NULL;
	if (hashed && (in->sha256 == NULL || strlen(in->sha256) != SHA256_DIGITS || strspn(in->sha256, "0123456789abcdef") != SHA256_DIGITS))
		return bad(err, "sha256 of an input must be 64 hexadecimal digits");
	in->fd = (int)fd;
	return PARE_OK;
}

/* The list "trials"; *out is not NULL, even for none. */
static enum pare_code read_trials(struct pare_arena *a, const json_t *o, bool outcome, size_t max, const struct pare_trial **out, int *out_n, struct pare_err *err)
{
	const json_t *list = json_object_get(o, "trials");
	size_t n = json_array_size(list);
	struct pare_trial *t;

	if (!json_is_array(list) || n > max)
		return bad(err, "trials must be a list, and not longer than a sweep");
	t = pare_arena_array(a, n + 1, sizeof *t);
	if (t == NULL)
		return pare_err_nomem(err, n * sizeof *t);
	for (size_t i = 0; i < n; i++)
		if (!recipe_trial_read(json_array_get(list, i), outcome, &t[i]))
			return bad(err, "a trial has variant, rung, repeat and fold, and when it was run figures or an error");
	*out = t;
	*out_n = (int)n;
	return PARE_OK;
}

static enum pare_code read_start(struct pare_arena *a, const json_t *o, struct pare_msg_start *m, struct pare_err *err)
{
	const json_t *inputs = json_object_get(o, "inputs"), *limits = json_object_get(o, "limits");
	const char *type = text_of(a, o, "type", 16);
	enum pare_code code;

	m->kind = text_of(a, o, "kind", 16);
	if (type == NULL || strcmp(type, "start") != 0 || !among(kinds, m->kind) || json_object_size(o) != 9)
		return bad(err, "a start message has type, kind, job, architecture, options, inputs, limits, checkpoint_ms and trials");
	if ((code = object_of(a, o, "job", strcmp(m->kind, "run") == 0 || strcmp(m->kind, "analyze") == 0, &m->job, err)) != PARE_OK ||
	    (code = object_of(a, o, "architecture", strcmp(m->kind, "build") == 0, &m->architecture, err)) != PARE_OK ||
	    (code = object_of(a, o, "options", false, &m->options, err)) != PARE_OK)
		return code;
	if (!json_is_array(inputs) || json_array_size(inputs) > PARE_MAX_INPUTS)
		return bad(err, "inputs must be a list of at most 64");
	for (; (size_t)m->n_inputs < json_array_size(inputs) && code == PARE_OK; m->n_inputs++)
		code = read_input(a, json_array_get(inputs, (size_t)m->n_inputs), &m->inputs[m->n_inputs], err);
	if (code != PARE_OK)
		return code;
	if (json_object_size(limits) != 3 || !int_of(limits, "memory_bytes", 0, INT64_MAX, &m->memory_bytes) || !int_of(limits, "cpu_seconds", 0, INT64_MAX, &m->cpu_seconds) ||
	    !int_of(limits, "threads", 0, PARE_THREADS_MAX, &m->threads))
		return bad(err, "limits must have memory_bytes, cpu_seconds and threads");
	if (!int_of(o, "checkpoint_ms", 0, INT64_C(1) << 40, &m->checkpoint_ms))
		return bad(err, "checkpoint_ms must be a number of milliseconds");
	return json_is_null(json_object_get(o, "trials")) ? PARE_OK : read_trials(a, o, true, PARE_SWEEP_ALL_MAX, &m->trials, &m->n_trials, err);
}

enum pare_code pare_msg_read_start(const char *line, size_t len, struct pare_msg_start *out, struct pare_err *err)
{
	struct pare_msg_start m;
	struct pare_arena *a = NULL;
	json_t *o = NULL;
	enum pare_code code = load_line(line, len, &o, &a, err);

	memset(&m, 0, sizeof m);
	if (code == PARE_OK)
		code = read_start(a, o, &m, err);
	json_decref(o);
	if (code != PARE_OK) {
		owner_done(a);
		return code;
	}
	m.owner = a;
	*out = m;
	return PARE_OK;
}

static enum pare_code read_event(struct pare_arena *a, const json_t *o, struct pare_msg *m, struct pare_err *err)
{
	m->type = PARE_MSG_EVENT;
	m->event = text_of(a, o, "event", 16);
	if (!among(event_names, m->event) || json_object_size(o) != 3)
		return bad(err, "an event has a known event and data");
	return object_of(a, o, "data", true, &m->data, err);
}

static enum pare_code read_open(struct pare_arena *a, const json_t *o, struct pare_msg *m, struct pare_err *err)
{
	m->type = PARE_MSG_OPEN;
	m->name = text_of(a, o, "name", NAME_MAX_LEN);
	m->media_type = text_of(a, o, "media_type", MEDIA_TYPE_MAX);
	if (!pare_msg_artifact_name(m->name) || !media_type(m->media_type) || json_object_size(o) != 3)
		return bad(err, "an open has a plain file name and a media type");
	return PARE_OK;
}

static enum pare_code read_fd(struct pare_arena *a, const json_t *o, struct pare_msg *m, struct pare_err *err)
{
	m->type = PARE_MSG_FD;
	m->name = text_of(a, o, "name", NAME_MAX_LEN);
	return pare_msg_artifact_name(m->name) && json_object_size(o) == 2 ? PARE_OK : bad(err, "an fd has a plain file name");
}

static enum pare_code read_result(struct pare_arena *a, const json_t *o, struct pare_msg *m, struct pare_err *err)
{
	const json_t *list = json_object_get(o, "artifacts");

	m->type = PARE_MSG_RESULT;
	if (json_object_size(o) != 3 || !json_is_array(list) || json_array_size(list) > PARE_MAX_ARTIFACTS)
		return bad(err, "a result has data and at most 64 artifacts");
	for (; (size_t)m->n_artifacts < json_array_size(list); m->n_artifacts++) {
		const json_t *v = json_array_get(list, (size_t)m->n_artifacts);

		if (!json_is_string(v) || !pare_msg_artifact_name(json_string_value(v)))
			return bad(err, "an artifact must be a plain file name");
		m->artifacts[m->n_artifacts] = pare_arena_strndup(a, json_string_value(v), json_string_length(v));
		if (m->artifacts[m->n_artifacts] == NULL)
			return pare_err_nomem(err, 0);
	}
	return object_of(a, o, "data", true, &m->data, err);
}

static enum pare_code read_error(struct pare_arena *a, const json_t *o, struct pare_msg *m, struct pare_err *err)
{
	const char *code = text_of(a, o, "code", 64);
	const char *message = text_of(a, o, "message", PARE_ERR_MESSAGE_MAX - 1);
	const char *where = text_of(a, o, "where", PARE_ERR_WHERE_MAX - 1);

	m->type = PARE_MSG_ERROR;
	if (code == NULL || message == NULL || where == NULL || json_object_size(o) != 4 || strcmp(code, "ok") == 0)
		return bad(err, "an error has code, message and where");
	(void)pare_err_set(&m->error, pare_code_from_string(code), where, "%s", message);
	return PARE_OK;
}

static enum pare_code read_asked(struct pare_arena *a, const json_t *o, struct pare_msg *m, struct pare_err *err)
{
	int64_t known = 0, all = 0;
	enum pare_code code = read_trials(a, o, false, PARE_MAX_TRIALS, &m->trials, &m->n_trials, err);

	m->type = PARE_MSG_TRIALS;
	if (code != PARE_OK)
		return code;
	if (json_object_size(o) != 4 || m->n_trials == 0 || !int_of(o, "all", 1, PARE_SWEEP_ALL_MAX, &all) || !int_of(o, "known", 0, all - m->n_trials, &known))
		return bad(err, "trials are asked for by a list of 1 to 256, the number of those that are known, and that of all");
	m->n_known = (int)known;
	m->n_all = (int)all;
	return PARE_OK;
}

static const struct {
	const char *type;
	enum pare_code (*read)(struct pare_arena *, const json_t *, struct pare_msg *, struct pare_err *);
} message_table[] = {{"event", read_event}, {"open", read_open}, {"fd", read_fd}, {"result", read_result}, {"error", read_error}, {"trials", read_asked}};

enum pare_code pare_msg_read(const char *line, size_t len, struct pare_msg *out, struct pare_err *err)
{
	struct pare_msg m;
	struct pare_arena *a = NULL;
	const char *type;
	json_t *o = NULL;
	enum pare_code code = load_line(line, len, &o, &a, err);

	memset(&m, 0, sizeof m);
	if (code == PARE_OK) {
		size_t i = 0, n = sizeof message_table / sizeof message_table[0];

		type = json_string_value(json_object_get(o, "type"));
		while (type != NULL && i < n && strcmp(message_table[i].type, type) != 0)
			i++;
		code = type != NULL && i < n ? message_table[i].read(a, o, &m, err) : bad(err, "unknown type");
	}
	json_decref(o);
	if (code != PARE_OK) {
		owner_done(a);
		return code;
	}
	m.owner = a;
	*out = m;
	return PARE_OK;
}

void pare_msg_start_done(struct pare_msg_start *m)
{
	owner_done(m->owner);
	memset(m, 0, sizeof *m);
}

void pare_msg_done(struct pare_msg *m)
{
	owner_done(m->owner);
	memset(m, 0, sizeof *m);
}
