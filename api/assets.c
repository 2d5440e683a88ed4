/* Models and data sets: two faces of one thing. An upload is looked at by the engine (in its sandbox) before a row exists; what it
 * found is kept as JSON and handed out as "info". A model's layer table can be long, so it is left out of the object and has a URL of its own. */
#include <stdio.h>
#include <string.h>

#include "api/assets.h"
#include "api/once.h"
#include "api/upload.h"
#include "core/recipe/json_text.h"

static const struct face {
	const char *object, *prefix, *path, *media_type;
} faces[] = {
    [STORE_MODEL] = {"model", "mdl", "/v1/models", "application/onnx"},
    [STORE_DATASET] = {"dataset", "dst", "/v1/datasets", "application/octet-stream"},
};

enum pare_code api_asset_find(struct api_exchange *x, enum store_asset_kind kind, const char *reference, struct store_asset *out, struct pare_err *err)
{
	char id[PARE_ID_MAX];
	enum pare_code rc = store_asset_resolve(x->view, kind, reference, id, err);

	if (rc == PARE_OK)
		rc = store_asset_get(x->view, kind, id, out, err);
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, rc, NULL, "there is no %s \"%.60s\"", faces[kind].object, reference);
	return rc;
}

static enum pare_code find(struct api_exchange *x, enum store_asset_kind kind, struct store_asset *out, struct pare_err *err)
{
	return api_asset_find(x, kind, x->params[0], out, err);
}

static int64_t write_files(struct pare_buf *b, const struct store_asset *a)
{
	int64_t total = 0;

	api_json_open(b, "files", '[');
	for (int i = 0; i < a->n_files; i++) {
		api_json_open(b, NULL, '{');
		api_json_str(b, "path", a->files[i].path);
		api_json_int(b, "bytes", a->files[i].n_bytes);
		api_json_str(b, "sha256", a->files[i].sha256);
		api_json_close(b, '}');
		total += a->files[i].n_bytes;
	}
	api_json_close(b, ']');
	return total;
}

/* Their aliases, which a comma ends. */
static void write_aliases(struct pare_buf *b, const char *aliases)
{
	char one[STORE_ALIAS_MAX];

	api_json_open(b, "aliases", '[');
	for (size_t n; *aliases != '\0'; aliases += n + (aliases[n] == ',')) {
		n = strcspn(aliases, ",");
		(void)snprintf(one, sizeof one, "%.*s", (int)n, aliases);
		api_json_str(b, NULL, one);
	}
	api_json_close(b, ']');
}

void api_asset_write(struct api_exchange *x, const char *key, const struct store_asset *a)
{
	const struct face *f = &faces[a->kind];
	struct pare_buf *b = &x->out;

	api_json_open(b, key, '{');
	api_json_str(b, "object", f->object);
	api_json_str(b, "id", a->id);
	api_json_str(b, "name", a->name);
	if (a->version > 0)
		api_json_int(b, "version", a->version);
	else
		api_json_raw(b, "version", NULL);
	if (a->kind == STORE_MODEL)
		write_aliases(b, a->aliases != NULL ? a->aliases : "");
	api_json_str(b, "description", a->description != NULL ? a->description : "");
	api_json_raw(b, "labels", a->labels != NULL ? a->labels : "{}");
	api_json_time(b, "created_at", a->created_ms);
	if (a->kind == STORE_MODEL)
		api_json_str(b, "produced_by", a->produced_by);
	api_json_int(b, "bytes", write_files(b, a));
	api_json_without(b, "info", a->info, "layers");
	api_json_open(b, "urls", '{');
	api_json_link(x, "self", "%s/%s", f->path, a->id);
	api_json_link(x, "content", "%s/%s/content", f->path, a->id);
	if (a->kind == STORE_MODEL)
		api_json_link(x, "graph", "%s/%s/graph", f->path, a->id);
	api_json_close(b, '}');
	api_json_close(b, '}');
}

/* --- how a data set is to be read. Said once, at the upload, it holds for whoever reads it later: it stands in info, which is otherwise what the engine found. */

static enum pare_code with_options(const struct api_upload *u, char **inout_info, struct pare_err *err)
{
	const char *rest = strchr(*inout_info, '{');
	struct pare_buf b;
	char *text = NULL;
	enum pare_code rc;

	if (u->kind != STORE_DATASET || (u->label[0] == '\0' && u->task[0] == '\0') || rest == NULL)
		return PARE_OK;
	pare_buf_init(&b, API_REPLY_CAP);
	api_json_open(&b, NULL, '{');
	api_json_open(&b, "options", '{');
	if (u->label[0] != '\0')
		api_json_str(&b, "label", u->label);
	if (u->task[0] != '\0')
		api_json_str(&b, "task", u->task);
	api_json_close(&b, '}');
	(void)pare_buf_printf(&b, "%s%s", rest[1] == '}' ? "" : ",", rest + 1);
	rc = pare_buf_status(&b, err);
	if (rc == PARE_OK && (text = pare_buf_take(&b, NULL)) == NULL)
		rc = pare_err_nomem(err, 0);
	pare_buf_done(&b);
	if (rc != PARE_OK)
		return rc;
	pare_free(*inout_info);
	*inout_info = text;
	return PARE_OK;
}

static enum pare_code keep_word(struct api_exchange *x, const json_t *options, const char *name, const char **out, struct pare_err *err)
{
	const char *s = json_string_value(json_object_get(options, name));

	*out = s != NULL ? pare_arena_strndup(&x->arena, s, strlen(s)) : NULL;
	return s == NULL || *out != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

enum pare_code api_asset_options(struct api_exchange *x, const struct store_asset *a, const char **out_label, const char **out_task, struct pare_err *err)
{
	struct pare_buf b;
	json_t *options = NULL;
	enum pare_code rc;

	*out_label = *out_task = NULL;
	pare_buf_init(&b, 16384);
	api_json_part(&b, NULL, a->info, "options", "{}");
	rc = pare_buf_status(&b, err);
	if (rc == PARE_OK)
		rc = pare_json_load(b.data, b.len, b.len, &options, NULL, err);
	pare_buf_done(&b);
	if (rc == PARE_OK)
		rc = keep_word(x, options, "label", out_label, err);
	if (rc == PARE_OK)
		rc = keep_word(x, options, "task", out_task, err);
	json_decref(options);
	return rc;
}

/* --- create */

static enum pare_code inspect(struct api_exchange *x, char **out_info, struct pare_err *err)
{
	const struct api_upload *u = x->upload;
	const struct api_engine *e = &x->api->opt.engine;
	struct pare_buf options;
	enum pare_code rc;

	pare_buf_init(&options, 4096);
	if (u->label[0] != '\0' || u->task[0] != '\0') {
		api_json_open(&options, NULL, '{');
		if (u->label[0] != '\0')
			api_json_str(&options, "label", u->label);
		if (u->task[0] != '\0')
			api_json_str(&options, "task", u->task);
		api_json_close(&options, '}');
	}
	rc = pare_buf_status(&options, err);
	if (rc == PARE_OK)
		rc = e->inspect(e->ctx, u->kind, u->files, u->n_files, options.data, out_info, err);
	pare_buf_done(&options);
	if (rc == PARE_E_SYNTAX) { /* the request was read well, what it carries was not */
		rc = u->kind == STORE_MODEL ? PARE_E_MODEL : PARE_E_DATASET;
		err->code = rc;
	}
	return rc;
}

/* What an earlier request with the same key has made; the bytes that came with this one are let go of. */
static enum pare_code tell_replayed(struct api_exchange *x, enum store_asset_kind kind, const char *id, struct pare_err *err)
{
	struct store_asset a;
	enum pare_code rc = store_asset_get(x->view, kind, id, &a, err);

	if (rc != PARE_OK)
		return rc;
	api_asset_write(x, NULL, &a);
	store_asset_done(&a);
	return PARE_OK;
}

static enum pare_code put(struct api_exchange *x, const char *info, struct store_idempotency *once, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	struct api_upload *u = x->upload;
	const struct api_engine *e = &x->api->opt.engine;
	struct store_asset a = {.kind = u->kind, .name = u->name[0] != '\0' ? u->name : u->files[0].path, .info = info, .produced_by = u->produced_by[0] != '\0' ? u->produced_by : NULL, .n_files = u->n_files, .files = u->files, .once = once};
	enum pare_code rc = store_asset_put(x->view, &a, err);

	if (rc != PARE_OK)
		return rc;
	memcpy(out_id, a.id, PARE_ID_MAX);
	if (once->replayed) /* by a request beside this one */
		return PARE_OK;
	api_upload_accepted(x);
	if (e->events_added != NULL)
		e->events_added(e->ctx, a.id);
	api_asset_write(x, NULL, &a);
	return PARE_OK;
}

static enum pare_code make(struct api_exchange *x, struct store_idempotency *once, char out_id[PARE_ID_MAX], struct pare_err *err)
{
	char *info = NULL;
	enum pare_code rc = x->upload->form == API_UPLOAD_JSON ? api_asset_describe(x, &info, err) : PARE_OK;

	if (rc == PARE_OK && info == NULL)
		rc = inspect(x, &info, err);
	if (rc == PARE_OK)
		rc = with_options(x->upload, &info, err);
	if (rc == PARE_OK)
		rc = put(x, info, once, out_id, err);
	pare_free(info);
	return rc;
}

/* Whether it has been made is asked before anything is looked at: what it was made of may have gone since. */
static enum pare_code create(struct api_exchange *x, struct pare_err *err)
{
	enum store_asset_kind kind = x->upload->kind;
	struct store_idempotency once = {.key = NULL};
	char id[PARE_ID_MAX] = "";
	enum pare_code rc = api_upload_finish(x, err);

	if (rc == PARE_OK)
		rc = api_once(x, NULL, &once, err);
	if (rc == PARE_OK)
		rc = store_once_known(x->view, &once, id, err);
	if (rc == PARE_OK && !once.replayed)
		rc = make(x, &once, id, err);
	if (rc == PARE_OK && once.replayed)
		rc = tell_replayed(x, kind, id, err);
	if (rc != PARE_OK)
		return rc;
	api_once_told(x, &once);
	api_set_location(x, "%s/%s", faces[kind].path, id);
	return api_reply_json(x, 201, err);
}

enum pare_code api_post_model(struct api_exchange *x, struct pare_err *err)
{
	return create(x, err);
}

enum pare_code api_post_dataset(struct api_exchange *x, struct pare_err *err)
{
	return create(x, err);
}

/* --- read */

/* name NULL: of all names. */
static enum pare_code list(struct api_exchange *x, enum store_asset_kind kind, const char *name, struct pare_err *err)
{
	struct store_page page;
	struct store_asset *assets = NULL;
	int n = 0;
	bool more = false;
	enum pare_code rc = api_page_parse(x, faces[kind].prefix, &page, err);

	page.name = name;
	if (rc == PARE_OK)
		rc = store_asset_list(x->view, kind, &page, &assets, &n, &more, err);
	if (rc != PARE_OK)
		return rc;
	api_list_open(x);
	for (int i = 0; i < n; i++)
		api_asset_write(x, NULL, &assets[i]);
	api_list_close(x, more, n > 0 ? assets[n - 1].id : NULL);
	store_asset_list_done(assets, n);
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_models(struct api_exchange *x, struct pare_err *err)
{
	return list(x, STORE_MODEL, api_query(x, "name"), err);
}

enum pare_code api_get_datasets(struct api_exchange *x, struct pare_err *err)
{
	return list(x, STORE_DATASET, api_query(x, "name"), err);
}

/* Of a name that there is. */
static enum pare_code versions(struct api_exchange *x, enum store_asset_kind kind, struct pare_err *err)
{
	struct store_asset newest;
	enum pare_code rc = strpbrk(x->params[0], ":@") == NULL ? find(x, kind, &newest, err) : PARE_E_NOT_FOUND;
	const char *name = NULL;

	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, rc, NULL, "there is no %s called \"%.80s\"", faces[kind].object, x->params[0]);
	if (rc != PARE_OK)
		return rc;
	name = pare_arena_strndup(&x->arena, newest.name, strlen(newest.name)); /* an id stands for its name */
	store_asset_done(&newest);
	return name != NULL ? list(x, kind, name, err) : pare_err_nomem(err, 0);
}

enum pare_code api_get_model_versions(struct api_exchange *x, struct pare_err *err)
{
	return versions(x, STORE_MODEL, err);
}

enum pare_code api_get_dataset_versions(struct api_exchange *x, struct pare_err *err)
{
	return versions(x, STORE_DATASET, err);
}

static enum pare_code get(struct api_exchange *x, enum store_asset_kind kind, struct pare_err *err)
{
	struct store_asset a;
	enum pare_code rc = find(x, kind, &a, err);

	if (rc != PARE_OK)
		return rc;
	api_asset_write(x, NULL, &a);
	store_asset_done(&a);
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_model(struct api_exchange *x, struct pare_err *err)
{
	return get(x, STORE_MODEL, err);
}

enum pare_code api_get_dataset(struct api_exchange *x, struct pare_err *err)
{
	return get(x, STORE_DATASET, err);
}

/* The parts of info that describe the graph; a model whose inspection lacks one has null there. */
static void write_graph(struct api_exchange *x, const struct store_asset *a)
{
	static const char *const parts[] = {"inputs", "outputs", "operators", "layers", "left_out"};

	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "graph");
	api_json_str(&x->out, "model", a->id);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		api_json_part(&x->out, parts[i], a->info, parts[i], NULL);
	api_json_close(&x->out, '}');
}

enum pare_code api_get_model_graph(struct api_exchange *x, struct pare_err *err)
{
	struct store_asset a;
	enum pare_code rc = find(x, STORE_MODEL, &a, err);

	if (rc != PARE_OK)
		return rc;
	write_graph(x, &a);
	store_asset_done(&a);
	return api_reply_json(x, 200, err);
}

/* --- bytes */

static bool is_onnx(const char *path)
{
	size_t n = strlen(path);

	return n > 5 && strcmp(path + n - 5, ".onnx") == 0;
}

/* Without a path: the only file, or the model among what stands beside it. */
static const struct store_file *choose_file(const struct store_asset *a, const char *path)
{
	if (path == NULL && a->n_files == 1)
		return &a->files[0];
	for (int i = 0; path == NULL && a->kind == STORE_MODEL && i < a->n_files; i++)
		if (is_onnx(a->files[i].path))
			return &a->files[i];
	if (path == NULL)
		return NULL;
	for (int i = 0; i < a->n_files; i++)
		if (strcmp(a->files[i].path, path) == 0)
			return &a->files[i];
	return NULL;
}

static enum pare_code content(struct api_exchange *x, enum store_asset_kind kind, struct pare_err *err)
{
	const char *path = api_query(x, "path");
	const struct store_file *file;
	char name[API_FILENAME_MAX];
	struct store_asset a;
	enum pare_code rc = find(x, kind, &a, err);

	if (rc != PARE_OK)
		return rc;
	file = choose_file(&a, path);
	if (file == NULL && path == NULL) {
		rc = pare_err_set(err, PARE_E_BAD_REQUEST, NULL, "the %s has %d files: name one with ?path=, for instance ?path=%s", faces[kind].object, a.n_files, a.n_files > 0 ? a.files[0].path : "");
	} else if (file == NULL) {
		rc = pare_err_set(err, PARE_E_NOT_FOUND, NULL, "the %s has no file \"%.60s\"", faces[kind].object, path);
	} else {
		api_safe_filename(file->path, name);
		if (strcmp(x->params[0], a.id) != 0) /* a name, a version or an alias will mean another one */
			api_set_header_text(x, "Cache-Control", "private, no-cache");
		rc = api_reply_blob(x, file->sha256, faces[kind].media_type, name, err);
	}
	store_asset_done(&a);
	return rc;
}

enum pare_code api_get_model_content(struct api_exchange *x, struct pare_err *err)
{
	return content(x, STORE_MODEL, err);
}

enum pare_code api_get_dataset_content(struct api_exchange *x, struct pare_err *err)
{
	return content(x, STORE_DATASET, err);
}

/* --- delete */

static enum pare_code delete_asset(struct api_exchange *x, enum store_asset_kind kind, struct pare_err *err)
{
	struct store_asset a;
	enum pare_code rc = find(x, kind, &a, err);

	if (rc != PARE_OK)
		return rc;
	if (api_request_header(x, "If-Match") != NULL) {
		api_asset_write(x, NULL, &a);
		rc = api_check_if_match(x, err);
	}
	if (rc == PARE_OK)
		rc = store_asset_delete(x->view, kind, a.id, err);
	for (int i = 0; i < a.n_files && rc == PARE_OK; i++)
		(void)store_blob_drop(x->api->opt.store, x->api->opt.blobs, a.files[i].sha256);
	store_asset_done(&a);
	if (rc == PARE_OK)
		api_reply_empty(x, 204);
	return rc;
}

enum pare_code api_delete_model(struct api_exchange *x, struct pare_err *err)
{
	return delete_asset(x, STORE_MODEL, err);
}

enum pare_code api_delete_dataset(struct api_exchange *x, struct pare_err *err)
{
	return delete_asset(x, STORE_DATASET, err);
}
