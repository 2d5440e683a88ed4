/* POST /v1/models and /v1/datasets as JSON: an architecture to build a model from, or the files it is made of, each by a reference to bytes that are here.
 *
 * A path is a name in a manifest and nothing else: it never becomes a name on a disk, the engine compares it with the locations that a model's
 * external data give, byte by byte, and a download names it in a query. It has to be a bare name all the same, because no location with a
 * directory is accepted either. What looks like another name (a dot of full width, a letter of another alphabet) is another name.
 *
 * Bytes that are referred to are held before anything is asked about them, so that nobody removes them until a row names them (or the request has
 * failed); then they are like bytes that came with the request. Whether a digest is known is answered for the caller's own rows only. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/resumable.h"
#include "api/upload.h"
#include "core/recipe/json_text.h"

#define PATH_MAX_BYTES 255

static const char *const model_fields[] = {"architecture", "files", "name", NULL};
static const char *const dataset_fields[] = {"files", "label", "name", "task", NULL};
static const char *const file_fields[] = {"path", "upload", "blob", "artifact", NULL};
static const char *const artifact_fields[] = {"job", "name", NULL};

static enum pare_code take_text(const json_t *root, const char *field, char *out, size_t size, struct pare_err *err)
{
	const json_t *v = json_object_get(root, field);
	const char *s = json_string_value(v);

	if (v == NULL)
		return PARE_OK;
	if (s == NULL || json_string_length(v) >= size) {
		(void)pare_err_set(err, PARE_E_INVALID, NULL, "%s must be a string of at most %zu bytes", field, size - 1);
		return pare_err_at(err, "/%s", field);
	}
	if (!api_plain_text(s)) {
		(void)pare_err_set(err, PARE_E_INVALID, NULL, "%s must be text without control characters", field);
		return pare_err_at(err, "/%s", field);
	}
	memcpy(out, s, strlen(s) + 1);
	return PARE_OK;
}

/* --- an architecture */

/* The checker and the engine speak of places within the architecture; a client wants places within what it sent. */
static void place_within(char *pointer, size_t size)
{
	static const char base[] = "/architecture";
	size_t n = strlen(pointer);

	if (n + sizeof base > size || strncmp(pointer, base, sizeof base - 1) == 0)
		return;
	memmove(pointer + sizeof base - 1, pointer, n + 1);
	memcpy(pointer, base, sizeof base - 1);
}

/* All that the catalog finds wrong, before the engine is asked. */
static enum pare_code check_architecture(struct api_exchange *x, const char *text, struct pare_err *err)
{
	struct pare_issues *issues = pare_arena_alloc(&x->arena, sizeof *issues);
	struct pare_job *checked = NULL;
	enum pare_code rc;

	if (issues == NULL)
		return pare_err_nomem(err, sizeof *issues);
	rc = pare_object_parse("architecture", text, strlen(text), &checked, issues, err);
	pare_job_free(checked);
	if (rc != PARE_E_INVALID || issues->n == 0)
		return rc;
	for (int i = 0; i < issues->n; i++)
		place_within(issues->list[i].pointer, sizeof issues->list[i].pointer);
	x->issues = issues;
	return rc;
}

static enum pare_code build(struct api_exchange *x, const json_t *root, char **out_info, struct pare_err *err)
{
	char *architecture = NULL;
	enum pare_code rc;

	if (!json_is_object(json_object_get(root, "architecture")))
		return pare_err_set(err, PARE_E_INVALID, "/architecture", "architecture must be an object; GET /v1 links the documentation");
	rc = api_json_dump(json_object_get(root, "architecture"), &architecture, err);
	if (rc == PARE_OK)
		rc = check_architecture(x, architecture, err);
	if (rc == PARE_OK) {
		rc = api_upload_build(x, architecture, out_info, err);
		if (rc != PARE_OK && err->where[0] == '/')
			place_within(err->where, sizeof err->where);
	}
	pare_free(architecture);
	return rc;
}

/* --- files: references are resolved to a digest that is held */

static enum pare_code of_upload(struct api_exchange *x, const json_t *value, const char *pointer, struct blob_ref *out, struct pare_err *err)
{
	(void)pointer;
	if (!json_is_string(value))
		return pare_err_set(err, PARE_E_INVALID, NULL, "upload must be the id of an upload");
	return api_resumable_use(x, json_string_value(value), out, err);
}

static enum pare_code hold(struct api_exchange *x, const char *sha256, struct blob_ref *out, struct pare_err *err)
{
	memcpy(out->sha256, sha256, sizeof out->sha256);
	return blob_hold(x->api->opt.blobs, sha256, &out->n_bytes, err);
}

static enum pare_code of_blob(struct api_exchange *x, const json_t *value, const char *pointer, struct blob_ref *out, struct pare_err *err)
{
	const char *sha256 = api_blob_digest(json_is_string(value) ? json_string_value(value) : "");
	bool known = false;
	enum pare_code rc = sha256 != NULL ? api_blob_known(x, sha256, &known, err) : PARE_OK;

	(void)pointer;
	if (sha256 == NULL)
		return pare_err_set(err, PARE_E_INVALID, NULL, "blob must be sha256: and 64 lower-case hex digits");
	if (rc == PARE_OK)
		rc = known ? hold(x, sha256, out, err) : PARE_E_NOT_FOUND;
	return rc == PARE_E_NOT_FOUND ? pare_err_set(err, rc, NULL, "no model, data set or upload that your key opens has these bytes") : rc;
}

static enum pare_code of_artifact(struct api_exchange *x, const json_t *value, const char *pointer, struct blob_ref *out, struct pare_err *err)
{
	const char *job = json_string_value(json_object_get(value, "job")), *name = json_string_value(json_object_get(value, "name"));
	struct store_artifact a;
	enum pare_code rc;

	if (!api_caller_may(&x->caller, API_JOBS_READ))
		return pare_err_set(err, PARE_E_FORBIDDEN, NULL, "an artifact is a job's: to refer to one takes the scope %s, too", api_scope_name(API_JOBS_READ));
	if (job == NULL || name == NULL)
		return pare_err_set(err, PARE_E_INVALID, NULL, "artifact must have the id of a job and the name of what it made");
	rc = api_check_fields(x, value, artifact_fields, pointer, err);
	if (rc != PARE_OK)
		return rc;
	rc = pare_id_check(job, "job") ? store_artifact_get(x->view, job, name, &a, err) : PARE_E_NOT_FOUND;
	if (rc == PARE_OK) {
		rc = hold(x, a.sha256, out, err);
		memcpy(x->upload->produced_by, a.job, sizeof a.job);
		store_artifact_done(&a);
	}
	return rc == PARE_E_NOT_FOUND ? pare_err_set(err, rc, NULL, "job \"%.40s\" has no artifact \"%.64s\"", job, name) : rc;
}

static const struct {
	const char *field;
	enum pare_code (*resolve)(struct api_exchange *x, const json_t *value, const char *pointer, struct blob_ref *out, struct pare_err *err);
} reference_table[] = {{"upload", of_upload}, {"blob", of_blob}, {"artifact", of_artifact}};
#define N_REFERENCES (sizeof reference_table / sizeof reference_table[0])

/* A reference to nothing, or to something that is not whole yet, is a wrong field of this request. */
static enum pare_code resolve(struct api_exchange *x, const json_t *file, int i, struct blob_ref *out, struct pare_err *err)
{
	size_t which = N_REFERENCES;
	char pointer[64];
	enum pare_code rc;

	for (size_t k = 0; k < N_REFERENCES; k++) {
		if (json_object_get(file, reference_table[k].field) == NULL)
			continue;
		if (which != N_REFERENCES)
			which = N_REFERENCES + 1;
		which = which == N_REFERENCES ? k : which;
	}
	if (which >= N_REFERENCES) {
		(void)pare_err_set(err, PARE_E_INVALID, NULL, "a file has a path and exactly one of upload, blob, artifact");
		return pare_err_at(err, "/files/%d", i);
	}
	(void)snprintf(pointer, sizeof pointer, "/files/%d/%s", i, reference_table[which].field);
	rc = reference_table[which].resolve(x, json_object_get(file, reference_table[which].field), pointer, out, err);
	if (rc == PARE_E_NOT_FOUND || rc == PARE_E_CONFLICT)
		rc = err->code = PARE_E_INVALID;
	if (rc == PARE_E_INVALID || rc == PARE_E_FORBIDDEN)
		memcpy(err->where, pointer, sizeof pointer);
	return rc;
}

static bool path_ok(const json_t *path)
{
	const char *s = json_string_value(path);
	size_t n = json_string_length(path);

	return s != NULL && n > 0 && n <= PATH_MAX_BYTES && strlen(s) == n && s[0] != '.' && api_plain_text(s) && strpbrk(s, "/\\") == NULL;
}

static enum pare_code take_path(struct api_exchange *x, const json_t *file, int i, const char **out, struct pare_err *err)
{
	const json_t *path = json_object_get(file, "path");
	const struct api_upload *u = x->upload;
	enum pare_code rc = PARE_OK;

	if (!path_ok(path))
		rc = pare_err_set(err, PARE_E_INVALID, NULL, "path must be the bare name of a file: 1 to %d bytes without a slash, backslash or control character, and no dot in front", PATH_MAX_BYTES);
	for (int k = 0; k < u->n_files && rc == PARE_OK; k++)
		if (strcmp(u->files[k].path, json_string_value(path)) == 0)
			rc = pare_err_set(err, PARE_E_INVALID, NULL, "two files have this path");
	if (rc != PARE_OK)
		return pare_err_at(err, "/files/%d/path", i);
	*out = pare_arena_strndup(&x->arena, json_string_value(path), json_string_length(path));
	return *out != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

static enum pare_code sniff(struct api_exchange *x, struct pare_err *err)
{
	struct api_upload *u = x->upload;
	int64_t n_bytes;
	int fd;
	enum pare_code rc = blob_get(x->api->opt.blobs, u->files[u->n_files - 1].sha256, &fd, &n_bytes, err);
	ssize_t n;

	if (rc != PARE_OK)
		return rc;
	if (u->kind == STORE_MODEL && u->n_files > 1) { /* external data are any bytes */
		(void)close(fd);
		return PARE_OK;
	}
	n = pread(fd, u->first, sizeof u->first, 0);
	(void)close(fd);
	u->n_first = n > 0 ? (size_t)n : 0;
	return api_upload_sniffed(u, err);
}

static enum pare_code take_file(struct api_exchange *x, const json_t *file, int i, struct pare_err *err)
{
	struct api_upload *u = x->upload;
	struct blob_ref ref = {.n_bytes = 0};
	const char *path;
	char pointer[32];
	enum pare_code rc;

	(void)snprintf(pointer, sizeof pointer, "/files/%d", i);
	if (!json_is_object(file))
		return pare_err_set(err, PARE_E_INVALID, pointer, "a file is an object with a path and exactly one of upload, blob, artifact");
	rc = api_check_fields(x, file, file_fields, pointer, err);
	if (rc == PARE_OK)
		rc = take_path(x, file, i, &path, err);
	if (rc == PARE_OK)
		rc = resolve(x, file, i, &ref, err);
	if (rc != PARE_OK)
		return rc;
	u->files[u->n_files] = (struct store_file){.path = path, .n_bytes = ref.n_bytes};
	memcpy(u->files[u->n_files].sha256, ref.sha256, sizeof ref.sha256);
	u->n_files++; /* from here on its hold is ended with the others' */
	return sniff(x, err);
}

static enum pare_code take_files(struct api_exchange *x, const json_t *files, struct pare_err *err)
{
	enum pare_code rc = PARE_OK;

	if (!json_is_array(files) || json_array_size(files) == 0 || json_array_size(files) > API_MAX_FILES)
		return pare_err_set(err, PARE_E_INVALID, "/files", "files must be a list of 1 to %d files", API_MAX_FILES);
	for (size_t i = 0; i < json_array_size(files) && rc == PARE_OK; i++)
		rc = take_file(x, json_array_get(files, i), (int)i, err);
	return rc;
}

static enum pare_code describe(struct api_exchange *x, const json_t *root, char **out_info, struct pare_err *err)
{
	struct api_upload *u = x->upload;
	bool model = u->kind == STORE_MODEL;
	enum pare_code rc;

	if (!json_is_object(root))
		return pare_err_set(err, PARE_E_INVALID, NULL, "the body must be a JSON object");
	rc = api_check_fields(x, root, model ? model_fields : dataset_fields, "", err);
	if (rc == PARE_OK && (json_object_get(root, "files") != NULL) == (json_object_get(root, "architecture") != NULL))
		rc = pare_err_set(err, PARE_E_INVALID, NULL, model ? "either \"architecture\" or \"files\" says what the model is" : "\"files\" says what the data set is made of");
	if (rc == PARE_OK)
		rc = take_text(root, "name", u->name, sizeof u->name, err);
	if (rc == PARE_OK)
		rc = take_text(root, "label", u->label, sizeof u->label, err);
	if (rc == PARE_OK)
		rc = take_text(root, "task", u->task, sizeof u->task, err);
	if (rc == PARE_OK)
		rc = api_upload_check_texts(u, err);
	if (rc != PARE_OK)
		return rc;
	return json_object_get(root, "files") != NULL ? take_files(x, json_object_get(root, "files"), err) : build(x, root, out_info, err);
}

enum pare_code api_asset_describe(struct api_exchange *x, char **out_info, struct pare_err *err)
{
	json_t *root = NULL;
	enum pare_code rc = pare_json_load(x->body.data != NULL ? x->body.data : "", x->body.len, x->body.len, &root, NULL, err);

	if (rc == PARE_OK)
		rc = describe(x, root, out_info, err);
	json_decref(root);
	return rc;
}
