/* Bytes come in, go through a staged blob (hashed on the way) and become visible only when whole. Memory per upload is this one struct and the little that blob_begin_held may hold.
 *
 * A committed file is held in the blob store (blob_commit) until a row names it or the upload has failed; then the hold ends, and what no row names is removed.
 *
 * Formats that we never open (pickle runs code) are recognised by their first bytes, so the refusal comes after 16 bytes, not after 4 GiB. */
#include "api/upload.h"

#include <string.h>

/* --- what it is, by its first bytes */

struct magic {
	size_t at, n;
	const char *bytes;
	bool model, dataset; /* refused as */
	const char *what;
};
#define HINT_TORCH "a PyTorch checkpoint (pickle); it can run code and is never opened. Export it with torch.onnx.export(model, example, \"model.onnx\")"
static const struct magic magic_table[] = {
    {0, 2, "\x80\x02", true, true, HINT_TORCH},
    {0, 2, "\x80\x03", true, true, HINT_TORCH},
    {0, 2, "\x80\x04", true, true, HINT_TORCH},
    {0, 2, "\x80\x05", true, true, HINT_TORCH},
    {0, 4, "PK\x03\x04", true, false, "a zip archive: a PyTorch checkpoint or a SavedModel. Export it with torch.onnx.export(model, example, \"model.onnx\") or tf2onnx"},
    {0, 8, "\x89HDF\r\n\x1a\n", true, true, "HDF5. Convert a Keras model with tf2onnx, data with numpy.savez"},
    {4, 4, "TFL3", true, true, "a TFLite model. Export ONNX from the original model, with tf2onnx"},
    {0, 4, "GGUF", true, true, "GGUF. Export ONNX from the original model"},
    {8, 2, "{\"", true, true, "safetensors, weights without a graph. Export ONNX with torch.onnx.export or optimum"},
    {0, 4, "PAR1", true, true, "Parquet. Convert it with pandas: read_parquet(...).to_csv(..., index=False)"},
    {0, 6, "ARROW1", true, true, "Arrow IPC. Convert it with pandas: read_feather(...).to_csv(..., index=False)"},
};

static const char *accepted_formats(enum store_asset_kind kind)
{
	return kind == STORE_MODEL ? "one ONNX file (.onnx), with its external data in a form" : "IDX (.gz too), NPY, NPZ, CSV with a label column";
}

enum pare_code api_upload_sniffed(const struct api_upload *u, struct pare_err *err)
{
	for (size_t i = 0; i < sizeof magic_table / sizeof magic_table[0]; i++) {
		const struct magic *m = &magic_table[i];

		if (!(u->kind == STORE_MODEL ? m->model : m->dataset) || u->n_first < m->at + m->n || memcmp(u->first + m->at, m->bytes, m->n) != 0)
			continue;
		if (m->at == 8 && u->first[6] + u->first[7] != 0) /* safetensors: a header length far below 2^48 stands before the brace */
			continue;
		return pare_err_set(err, PARE_E_MEDIA_TYPE, NULL, "this is %s. Accepted: %s", m->what, accepted_formats(u->kind));
	}
	return PARE_OK;
}

static enum pare_code check_magic(const struct api_upload *u, struct pare_err *err)
{
	if (u->kind == STORE_MODEL && u->n_files > 0) /* external data are any bytes */
		return PARE_OK;
	return api_upload_sniffed(u, err);
}

/* --- one file */

static enum pare_code file_begin(struct api_exchange *x, const char *filename, struct pare_err *err)
{
	struct api_upload *u = x->upload;
	char *path = u->paths[u->n_files < API_MAX_FILES ? u->n_files : 0];

	if (u->n_files == API_MAX_FILES)
		return pare_err_set(err, PARE_E_INVALID, NULL, "an upload has at most %d files", API_MAX_FILES);
	api_safe_filename(filename, path);
	for (int i = 0; i < u->n_files; i++)
		if (strcmp(u->paths[i], path) == 0)
			return pare_err_set(err, PARE_E_INVALID, NULL, "two files are called %s", path);
	u->n_first = 0;
	return blob_begin_held(x->api->opt.blobs, u->n_left, &u->writer, err);
}

static enum pare_code file_data(struct api_exchange *x, const void *p, size_t n, struct pare_err *err)
{
	struct api_upload *u = x->upload;
	enum pare_code rc;

	if (n > 0 && (u->n_left < 0 || n > (uint64_t)u->n_left))
		return pare_err_set(err, PARE_E_TOO_LARGE, NULL, "the upload is larger than the limit of %lld bytes", (long long)x->api->opt.limits.max_upload_bytes);
	if (u->n_first < API_SNIFF_BYTES) {
		size_t k = API_SNIFF_BYTES - u->n_first;

		k = k < n ? k : n;
		memcpy(u->first + u->n_first, p, k);
		u->n_first += k;
		rc = u->n_first == API_SNIFF_BYTES ? check_magic(u, err) : PARE_OK;
		if (rc != PARE_OK)
			return rc;
	}
	u->n_left -= (int64_t)n;
	return blob_write(u->writer, p, n, err);
}

static void take_file(struct api_upload *u, const struct blob_ref *ref)
{
	struct store_file *f = &u->files[u->n_files];

	f->path = u->paths[u->n_files];
	memcpy(f->sha256, ref->sha256, sizeof f->sha256);
	f->n_bytes = ref->n_bytes;
	u->n_files++;
}

static enum pare_code file_end(struct api_exchange *x, struct pare_err *err)
{
	struct api_upload *u = x->upload;
	struct blob_ref ref;
	enum pare_code rc;

	if (u->n_first == 0)
		return pare_err_set(err, u->kind == STORE_MODEL ? PARE_E_MODEL : PARE_E_DATASET, NULL, "the file %s is empty", u->paths[u->n_files]);
	if (u->n_first < API_SNIFF_BYTES) {
		rc = check_magic(u, err);
		if (rc != PARE_OK)
			return rc;
	}
	rc = blob_commit(u->writer, &ref, err);
	u->writer = NULL;
	if (rc != PARE_OK)
		return rc;
	take_file(u, &ref);
	return PARE_OK;
}

enum pare_code api_upload_build(struct api_exchange *x, const char *architecture, char **out_info, struct pare_err *err)
{
	const struct api_engine *e = &x->api->opt.engine;
	struct blob_ref ref;
	enum pare_code rc = e->build(e->ctx, architecture, &ref, out_info, err);

	if (rc != PARE_OK)
		return rc;
	api_safe_filename("model.onnx", x->upload->paths[0]);
	take_file(x->upload, &ref);
	return PARE_OK;
}

/* --- parts of a form */

static enum pare_code part_begin(void *ctx, const char *name, const char *filename, struct pare_err *err)
{
	struct api_exchange *x = ctx;
	struct api_upload *u = x->upload;
	struct {
		const char *name;
		char *value;
		size_t size;
	} fields[] = {{"name", u->name, sizeof u->name}, {"label", u->label, sizeof u->label}, {"task", u->task, sizeof u->task}};
	size_t n = u->kind == STORE_MODEL ? 1 : 3;

	u->field = NULL;
	if (filename != NULL)
		return file_begin(x, filename, err);
	for (size_t i = 0; i < n; i++)
		if (strcmp(fields[i].name, name) == 0) {
			u->field = fields[i].value;
			u->field_name = fields[i].name;
			u->field_size = fields[i].size;
			u->n_field = 0;
			return PARE_OK;
		}
	return pare_err_set(err, PARE_E_INVALID, NULL, "unknown form field \"%.40s\"; known: %s, and files (with a filename)", name, n == 1 ? "name" : "name, label, task");
}

static enum pare_code part_data(void *ctx, const void *p, size_t n, struct pare_err *err)
{
	struct api_exchange *x = ctx;
	struct api_upload *u = x->upload;

	if (u->writer != NULL)
		return file_data(x, p, n, err);
	if (n >= u->field_size - u->n_field)
		return pare_err_set(err, PARE_E_INVALID, NULL, "form field \"%s\" is longer than %zu bytes", u->field_name, u->field_size - 1);
	memcpy(u->field + u->n_field, p, n);
	u->n_field += n;
	return PARE_OK;
}

static enum pare_code part_end(void *ctx, struct pare_err *err)
{
	struct api_exchange *x = ctx;
	struct api_upload *u = x->upload;

	if (u->writer != NULL)
		return file_end(x, err);
	u->field[u->n_field] = '\0';
	if (strlen(u->field) != u->n_field)
		return pare_err_set(err, PARE_E_INVALID, NULL, "form field \"%s\" holds a NUL byte", u->field_name);
	u->field = NULL;
	return PARE_OK;
}

/* --- the whole */

static const char *const model_types[] = {"application/octet-stream", "application/onnx", "application/x-onnx", "application/vnd.onnx", "application/x-protobuf", "application/x-www-form-urlencoded", NULL};
static const char *const dataset_types[] = {"application/octet-stream", "application/gzip", "application/x-gzip", "application/zip", "application/x-npy", "application/x-npz", "text/csv",
    "application/x-www-form-urlencoded", NULL};

static enum pare_code choose_form(struct api_exchange *x, enum api_upload_form *out, struct pare_err *err)
{
	struct api_upload *u = x->upload;
	const char *type = api_request_header(x, "Content-Type");
	const char *encoding = api_request_header(x, "Content-Encoding");
	size_t n = type != NULL ? strcspn(type, "; \t") : 0;

	if (encoding != NULL && !api_same_nocase(encoding, "identity"))
		return pare_err_set(err, PARE_E_MEDIA_TYPE, NULL, "Content-Encoding is not supported; send the bytes as they are");
	*out = API_UPLOAD_RAW;
	if (n == 0)
		return PARE_OK;
	if (api_word_is(type, n, "multipart/form-data")) {
		*out = API_UPLOAD_MULTIPART;
		return PARE_OK;
	}
	if (api_word_is(type, n, "application/json")) {
		*out = API_UPLOAD_JSON;
		return PARE_OK;
	}
	for (const char *const *t = u->kind == STORE_MODEL ? model_types : dataset_types; *t != NULL; t++)
		if (api_word_is(type, n, *t))
			return PARE_OK;
	return pare_err_set(err, PARE_E_MEDIA_TYPE, NULL, "Content-Type \"%.60s\" is not accepted here; accepted: %s as application/octet-stream%s, or multipart/form-data%s", type, accepted_formats(u->kind),
	    u->kind == STORE_MODEL ? " or application/onnx" : ", text/csv or application/gzip", u->kind == STORE_MODEL ? "; application/json with an architecture, or with files" : "; application/json with files");
}

static enum pare_code take_text(char *out, size_t size, const char *name, const char *value, struct pare_err *err)
{
	size_t n = value != NULL ? strlen(value) : 0;

	if (n >= size)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "query parameter \"%s\" is longer than %zu bytes", name, size - 1);
	if (n > 0)
		memcpy(out, value, n + 1);
	return PARE_OK;
}

/* Refused before the first byte of it, if the announced length says so already. One with an Idempotency-Key may be one that is there, and one in JSON is of bytes that are there or not made
 * yet: the store looks when they are known. */
static enum pare_code check_share(struct api_exchange *x, struct pare_err *err)
{
	if (x->upload->form == API_UPLOAD_JSON || api_request_header(x, "Idempotency-Key") != NULL)
		return PARE_OK;
	return store_quota_check(x->view, x->framing.length > 0 ? x->framing.length : 0, err);
}

enum pare_code api_upload_begin(struct api_exchange *x, struct pare_err *err)
{
	struct api_upload *u = pare_calloc(1, sizeof *u);
	const struct api_part_sink sink = {.begin = part_begin, .data = part_data, .end = part_end, .ctx = x};
	const char *filename = api_query(x, "filename");
	enum pare_code rc;

	if (u == NULL)
		return pare_err_nomem(err, sizeof *u);
	x->upload = u;
	u->kind = x->route->handler == api_post_model ? STORE_MODEL : STORE_DATASET;
	u->n_left = x->api->opt.limits.max_upload_bytes;
	rc = choose_form(x, &u->form, err);
	if (rc == PARE_OK)
		rc = check_share(x, err);
	if (rc == PARE_OK)
		rc = take_text(u->name, sizeof u->name, "name", api_query(x, "name"), err);
	if (rc == PARE_OK)
		rc = take_text(u->label, sizeof u->label, "label", api_query(x, "label"), err);
	if (rc == PARE_OK)
		rc = take_text(u->task, sizeof u->task, "task", api_query(x, "task"), err);
	if (rc != PARE_OK || u->form == API_UPLOAD_JSON)
		return rc;
	if (u->form == API_UPLOAD_MULTIPART)
		return api_multipart_init(&u->multipart, api_request_header(x, "Content-Type"), &sink, err);
	if (x->framing.length > u->n_left)
		return pare_err_set(err, PARE_E_TOO_LARGE, NULL, "the upload is larger than the limit of %lld bytes", (long long)u->n_left);
	if (filename == NULL)
		filename = u->kind == STORE_MODEL ? "model.onnx" : "data";
	return file_begin(x, filename, err);
}

enum pare_code api_upload_body(struct api_exchange *x, const void *p, size_t n, struct pare_err *err)
{
	struct api_upload *u = x->upload;

	if (u->form == API_UPLOAD_MULTIPART)
		return api_multipart_feed(&u->multipart, p, n, err);
	if (u->form == API_UPLOAD_RAW)
		return file_data(x, p, n, err);
	if (!pare_buf_add(&x->body, p, n))
		return x->body.len + n > x->body.cap_bytes ? pare_err_set(err, PARE_E_TOO_LARGE, NULL, "the body is larger than the limit of %zu bytes", x->body.cap_bytes) : pare_err_nomem(err, n);
	return PARE_OK;
}

static enum pare_code check_digest(struct api_exchange *x, struct pare_err *err)
{
	const char *sent = api_request_header(x, "Repr-Digest");
	char have[API_DIGEST_BASE64];

	if (sent == NULL)
		return PARE_OK;
	sent = strstr(sent, "sha-256=:");
	if (sent == NULL || x->upload->form != API_UPLOAD_RAW)
		return pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "Repr-Digest is understood as sha-256=:<base 64>: and for an upload as raw bytes");
	sent += strlen("sha-256=:");
	api_digest_base64(x->upload->files[0].sha256, have);
	if (strncmp(sent, have, strlen(have)) == 0 && sent[strlen(have)] == ':')
		return PARE_OK;
	return pare_err_set(err, PARE_E_DIGEST, NULL, "Repr-Digest says sha-256=:%.44s: and %lld bytes came with sha-256=:%s:", sent, (long long)x->upload->files[0].n_bytes, have);
}

/* The words are those of a job's data.task. */
static enum pare_code check_task(const char *task, struct pare_err *err)
{
	struct pare_buf list;
	enum pare_code rc;

	pare_buf_init(&list, 256);
	for (const char *const *known = pare_data_tasks; *known != NULL; known++) {
		if (strcmp(*known, task) == 0) {
			pare_buf_done(&list);
			return PARE_OK;
		}
		(void)pare_buf_printf(&list, "%s%s", known == pare_data_tasks ? "" : ", ", *known);
	}
	rc = pare_buf_status(&list, err);
	if (rc == PARE_OK)
		rc = pare_err_set(err, PARE_E_INVALID, "/task", "task must be one of %s, not \"%.40s\"", list.data, task);
	pare_buf_done(&list);
	return rc;
}

enum pare_code api_upload_check_texts(struct api_upload *u, struct pare_err *err)
{
	const char *const texts[] = {u->name, u->label, u->task};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (!api_plain_text(texts[i]))
			return pare_err_set(err, PARE_E_INVALID, NULL, "name, label and task must be UTF-8 text without control characters");
	return u->task[0] != '\0' ? check_task(u->task, err) : PARE_OK;
}

enum pare_code api_upload_finish(struct api_exchange *x, struct pare_err *err)
{
	struct api_upload *u = x->upload;
	enum pare_code rc = PARE_OK;

	if (u->form == API_UPLOAD_RAW)
		rc = file_end(x, err);
	else if (u->form == API_UPLOAD_MULTIPART)
		rc = api_multipart_finish(&u->multipart, err);
	if (rc == PARE_OK && u->form == API_UPLOAD_MULTIPART && u->n_files == 0)
		rc = pare_err_set(err, PARE_E_INVALID, NULL, "the form holds no file (a part with a filename)");
	if (rc == PARE_OK)
		rc = check_digest(x, err);
	return rc == PARE_OK ? api_upload_check_texts(u, err) : rc;
}

static void end_holds(struct api_exchange *x)
{
	for (int i = 0; i < x->upload->n_files; i++)
		blob_release(x->api->opt.blobs, x->upload->files[i].sha256);
}

void api_upload_accepted(struct api_exchange *x)
{
	end_holds(x);
	x->upload->accepted = true;
}

void api_upload_free(struct api_exchange *x)
{
	struct api_upload *u = x->upload;

	if (u == NULL)
		return;
	blob_abort(u->writer);
	if (!u->accepted) {
		end_holds(x);
		for (int i = 0; i < u->n_files; i++)
			(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, u->files[i].sha256);
	}
	pare_free(u);
	x->upload = NULL;
}
