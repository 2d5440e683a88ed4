/* Where a model comes from, inside the model and beside it. What stands in the file is what its bytes follow from: the version, the job without
 * the words that change nothing (ids, names, limits, what is delivered), and the SHA-256 of the inputs. Whoever runs that job on those files with
 * that version has the same bytes, these entries included; so nothing of the clock, of names of files or of the server may be in them.
 *
 * The engine never hashes: whoever gave it the files knows, the daemon because it stores by hash, the shell because it reads them (host.c). */
#include <jansson.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/job/job_priv.h"
#include "core/onnx/onnx.h"
#include "core/recipe/json_text.h"

#define TEXT_MAX ((size_t)4 << 20)

/* The job's text with defaults written out, without what its result does not depend on. */
static enum pare_code bare_job(const struct job_run *r, char **out, struct pare_err *err)
{
	static const char *const other[] = {"model", "dataset", "teacher", "name", "outputs", "limits"};
	char *text = NULL;
	json_t *job = NULL;
	enum pare_code code = pare_job_canonical(r->own_job, (int64_t)r->seed, r->threads, &text, err);

	if (code == PARE_OK)
		code = pare_json_load(text, strlen(text), TEXT_MAX, &job, NULL, err);
	for (size_t i = 0; code == PARE_OK && i < sizeof other / sizeof other[0]; i++)
		(void)json_object_del(job, other[i]);
	if (code == PARE_OK) {
		*out = json_dumps(job, JSON_COMPACT | JSON_SORT_KEYS);
		if (*out == NULL)
			code = pare_err_nomem(err, 0);
	}
	json_decref(job);
	pare_free(text);
	return code;
}

static void write_inputs(const struct job_run *r, struct pare_buf *b, bool in_full)
{
	pare_buf_str(b, "[");
	for (int i = 0; i < r->w->start.n_inputs; i++) {
		const struct pare_msg_input *in = &r->w->start.inputs[i];

		if (strcmp(in->role, "checkpoint") == 0) /* a job that was interrupted gives the same bytes */
			continue;
		pare_json_sep(b);
		pare_buf_str(b, "{");
		pare_json_key_str(b, "role", in->role);
		if (in_full) {
			pare_json_key_str(b, "name", in->name);
			pare_json_key_int(b, "bytes", in->n_bytes);
		}
		pare_json_key_str(b, "sha256", in->sha256);
		pare_buf_str(b, "}");
	}
	pare_buf_str(b, "]");
}

enum pare_code job_know_origin(struct job_run *r, struct pare_err *err)
{
	struct pare_buf b;
	enum pare_code code = bare_job(r, &r->origin.job, err);

	pare_buf_init(&b, TEXT_MAX);
	write_inputs(r, &b, false);
	if (code == PARE_OK)
		code = pare_buf_status(&b, err);
	if (code == PARE_OK && (r->origin.inputs = pare_buf_take(&b, NULL)) == NULL)
		code = pare_err_nomem(err, 0);
	pare_buf_done(&b);
	r->origin.entries[0] = (struct pare_onnx_entry){"pare.version", PARE_VERSION};
	r->origin.entries[1] = (struct pare_onnx_entry){"pare.job", r->origin.job};
	r->origin.entries[2] = (struct pare_onnx_entry){"pare.inputs", r->origin.inputs};
	return code;
}

void job_origin_done(struct job_run *r)
{
	pare_free(r->origin.job);
	pare_free(r->origin.inputs);
}

static enum pare_code add_bytes(void *ctx, const void *bytes, size_t n, struct pare_err *err)
{
	return pare_buf_add(ctx, bytes, n) ? PARE_OK : pare_buf_status(ctx, err);
}

enum pare_code job_stamp(const struct job_run *r, struct pare_buf *file, struct pare_err *err)
{
	struct pare_buf b;
	struct pare_onnx_copy c = {.bytes = {(const uint8_t *)file->data, file->len}, .entries = r->origin.entries, .put = add_bytes, .ctx = &b};
	size_t cap = 0;
	enum pare_code code = pare_buf_status(file, err);

	if (code == PARE_OK && !pare_add_size(file->len, TEXT_MAX, &cap))
		code = pare_err_set(err, PARE_E_LIMIT, NULL, "the model is too large");
	pare_buf_init(&b, cap);
	if (code == PARE_OK)
		code = pare_onnx_copy(&c, err);
	if (code != PARE_OK) {
		pare_buf_done(&b);
		return code;
	}
	pare_buf_done(file);
	*file = b;
	return PARE_OK;
}

enum pare_code job_put_provenance(struct job_run *r, struct job_answer *a, struct pare_err *err)
{
	struct pare_buf b;
	enum pare_code code;

	pare_buf_init(&b, 2 * TEXT_MAX);
	pare_buf_str(&b, "{");
	pare_json_key_str(&b, "object", "provenance");
	pare_json_key_str(&b, "version", PARE_VERSION);
	pare_json_key_str(&b, "recipe", pare_job_recipe_name(r->job));
	pare_json_key(&b, "inputs");
	write_inputs(r, &b, true);
	pare_json_key(&b, "job");
	pare_buf_str(&b, r->origin.job);
	pare_buf_str(&b, "}\n");
	code = job_put(r, a, "provenance.json", "application/json", &b, err);
	pare_buf_done(&b);
	return code;
}
