/* /v1/recipes: the recipes that are built in, and those that callers have saved.
 *
 * A saved recipe is a version of a name and never changes; to the store it is an asset without files (storage/registry.h numbers and finds it), whose
 * text stands where a model has what was found in it. It is checked like a job before it is kept. A job that names one is stored with its steps
 * written out, so that nothing that happens to the recipe later changes the job. Built-in names mean the built-in recipes and cannot be taken. */
#include <stdio.h>
#include <string.h>

#include "api/once.h"
#include "api/assets.h"
#include "api/recipes.h"
#include "api/text.h"
#include "core/base/nearest.h"
#include "core/recipe/json_text.h"

#define MAX_NAMES 128

static bool built_in(const char *name, size_t *out)
{
	for (size_t i = 0; i < pare_recipes_count(); i++)
		if (strcmp(pare_recipe_name_at(i), name) == 0) {
			*out = i;
			return true;
		}
	return false;
}

static void write_built_in(struct api_exchange *x, size_t i)
{
	struct pare_buf *b = &x->out;

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "recipe");
	api_json_raw(b, "id", NULL);
	api_json_str(b, "name", pare_recipe_name_at(i));
	api_json_raw(b, "version", NULL);
	api_json_raw(b, "created_at", NULL);
	api_json_raw(b, "recipe", pare_recipe_text_at(i));
	api_json_open(b, "urls", '{');
	api_json_link(x, "self", "/v1/recipes/%s", pare_recipe_name_at(i));
	api_json_close(b, '}');
	api_json_close(b, '}');
}

static void write_saved(struct api_exchange *x, const struct store_asset *a)
{
	struct pare_buf *b = &x->out;

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "recipe");
	api_json_str(b, "id", a->id);
	api_json_str(b, "name", a->name);
	api_json_int(b, "version", a->version);
	api_json_time(b, "created_at", a->created_ms);
	api_json_raw(b, "recipe", a->info);
	api_json_open(b, "urls", '{');
	api_json_link(x, "self", "/v1/recipes/%s", a->id);
	api_json_close(b, '}');
	api_json_close(b, '}');
}

/* The built-in ones stand before the first page of the saved ones. */
enum pare_code api_get_recipes(struct api_exchange *x, struct pare_err *err)
{
	struct store_page page;
	struct store_asset *list = NULL;
	int n = 0;
	bool more = false;
	enum pare_code rc = api_page_parse(x, "rcp", &page, err);

	page.name = api_query(x, "name");
	if (rc == PARE_OK)
		rc = store_asset_list(x->view, STORE_RECIPE, &page, &list, &n, &more, err);
	if (rc != PARE_OK)
		return rc;
	api_list_open(x);
	for (size_t i = 0; i < pare_recipes_count() && page.after == NULL && page.before == NULL; i++)
		if (page.name == NULL || strcmp(page.name, pare_recipe_name_at(i)) == 0)
			write_built_in(x, i);
	for (int i = 0; i < n; i++)
		write_saved(x, &list[i]);
	api_list_close(x, more, n > 0 ? list[n - 1].id : NULL);
	store_asset_list_done(list, n);
	return api_reply_json(x, 200, err);
}

static enum pare_code no_recipe(const char *name, struct pare_err *err)
{
	const char *names[MAX_NAMES + 1];
	const char *hint;
	size_t n = 0;

	for (; n < MAX_NAMES && n < pare_recipes_count(); n++)
		names[n] = pare_recipe_name_at(n);
	names[n] = NULL;
	hint = pare_nearest_of(name, names);
	return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no recipe \"%.60s\"%s%s%s", name, hint != NULL ? "; did you mean \"" : "", hint != NULL ? hint : "", hint != NULL ? "\"?" : "");
}

static enum pare_code find_saved(struct api_exchange *x, const char *reference, struct store_asset *out, struct pare_err *err)
{
	char id[PARE_ID_MAX];
	enum pare_code rc = store_asset_resolve(x->view, STORE_RECIPE, reference, id, err);

	return rc == PARE_OK ? store_asset_get(x->view, STORE_RECIPE, id, out, err) : rc;
}

enum pare_code api_get_recipe(struct api_exchange *x, struct pare_err *err)
{
	struct store_asset a;
	enum pare_code rc;
	size_t i;

	if (built_in(x->params[0], &i)) {
		write_built_in(x, i);
		return api_reply_json(x, 200, err);
	}
	rc = find_saved(x, x->params[0], &a, err);
	if (rc == PARE_E_NOT_FOUND)
		return no_recipe(x->params[0], err);
	if (rc != PARE_OK)
		return rc;
	write_saved(x, &a);
	store_asset_done(&a);
	return api_reply_json(x, 200, err);
}

/* --- what a job may name (core/recipe/recipe.h) */

static enum pare_code lookup(void *ctx, const char *name, char **out_text, char out_name[PARE_RECIPE_NAME_MAX], struct pare_err *err)
{
	struct api_exchange *x = ctx;
	struct store_asset a;
	enum pare_code rc = find_saved(x, name, &a, err);

	if (rc != PARE_OK)
		return rc;
	(void)snprintf(out_name, PARE_RECIPE_NAME_MAX, "%s@%lld", a.name, (long long)a.version);
	*out_text = pare_strdup(a.info);
	store_asset_done(&a);
	return *out_text != NULL ? PARE_OK : pare_err_nomem(err, 0);
}

struct pare_recipe_source api_recipe_source(struct api_exchange *x)
{
	return (struct pare_recipe_source){.find = lookup, .ctx = x};
}

/* --- saving */

/* Pointers within the file become pointers within the body. */
static void place_within(struct pare_issues *issues, bool bare)
{
	for (int i = 0; i < issues->n; i++) {
		char *p = issues->list[i].pointer, copy[sizeof issues->list[i].pointer];
		const char *rest = bare && strncmp(p, "/job/recipe", 11) == 0 ? p + 11 : p;

		(void)snprintf(copy, sizeof copy, "/recipe%.*s", (int)(sizeof copy - 8), rest);
		memcpy(p, copy, sizeof copy);
	}
}

/* The text to keep, in the arena: a file as it is, or steps made into one. */
static enum pare_code take_text(struct api_exchange *x, json_t *recipe, const char **out, struct pare_err *err)
{
	struct pare_issues *issues = pare_arena_alloc(&x->arena, sizeof *issues);
	bool bare = json_object_get(recipe, "steps") != NULL;
	json_t *file = bare ? json_pack("{s:{s:O}}", "job", "recipe", recipe) : json_incref(recipe);
	char *text = NULL;
	enum pare_code rc = issues != NULL && file != NULL ? api_json_dump(file, &text, err) : pare_err_nomem(err, 0);

	json_decref(file);
	if (rc == PARE_OK)
		rc = pare_recipe_check(text, strlen(text), issues, err);
	if (rc == PARE_E_INVALID && issues->n > 0) {
		place_within(issues, bare);
		x->issues = issues;
	}
	if (rc == PARE_OK) {
		*out = pare_arena_strndup(&x->arena, text, strlen(text));
		rc = *out != NULL ? PARE_OK : pare_err_nomem(err, 0);
	}
	pare_free(text);
	return rc;
}

static enum pare_code read_body(struct api_exchange *x, const char **out_name, const char **out_text, struct pare_err *err)
{
	static const char *const known[] = {"name", "recipe", NULL};
	json_t *root, *v;
	enum pare_code rc = pare_json_load(x->body.data != NULL ? x->body.data : "", x->body.len, x->body.len, &root, NULL, err);

	if (rc != PARE_OK)
		return rc;
	rc = api_check_fields(x, root, known, "", err);
	v = json_object_get(root, "name");
	if (rc == PARE_OK && v != NULL && !json_is_string(v))
		rc = pare_err_set(err, PARE_E_INVALID, "/name", "name must be a string");
	if (rc == PARE_OK && v != NULL) {
		*out_name = pare_arena_strndup(&x->arena, json_string_value(v), json_string_length(v));
		rc = *out_name != NULL ? PARE_OK : pare_err_nomem(err, 0);
	}
	if (rc == PARE_OK && !json_is_object(json_object_get(root, "recipe")))
		rc = pare_err_set(err, PARE_E_INVALID, "/recipe", "recipe must be an object: steps, or a file like those of GET /v1/recipes");
	if (rc == PARE_OK)
		rc = take_text(x, json_object_get(root, "recipe"), out_text, err);
	json_decref(root);
	return rc;
}

/* If-Match, and If-None-Match: *, of a request that would save or delete; a NULL: there is none. */
static enum pare_code check_conditions(struct api_exchange *x, const struct store_asset *a, struct pare_err *err)
{
	const char *match = api_request_header(x, "If-Match"), *none = api_request_header(x, "If-None-Match");

	if (a != NULL && none != NULL && strcmp(none, "*") == 0)
		return pare_err_set(err, PARE_E_PRECONDITION, NULL, "%.80s@%lld is there already", a->name, (long long)a->version);
	if (match == NULL)
		return PARE_OK;
	if (a == NULL)
		return pare_err_set(err, PARE_E_PRECONDITION, NULL, "If-Match: there is no such recipe yet");
	write_saved(x, a);
	return api_check_if_match(x, err);
}

static enum pare_code save(struct api_exchange *x, const char *name, const char *text, struct pare_err *err)
{
	struct store_idempotency once;
	struct store_asset a = {.kind = STORE_RECIPE, .name = name, .info = text, .once = &once};
	size_t i;
	enum pare_code rc = api_once(x, NULL, &once, err);

	if (rc == PARE_OK && built_in(name, &i))
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "\"%.60s\" is built in: choose another name", name);
	if (rc == PARE_OK)
		rc = store_asset_put(x->view, &a, err);
	if (rc == PARE_OK && once.replayed)
		rc = store_asset_get(x->view, STORE_RECIPE, a.id, &a, err);
	if (rc != PARE_OK)
		return rc;
	api_once_told(x, &once);
	api_set_location(x, "/v1/recipes/%s", a.id);
	write_saved(x, &a);
	if (once.replayed)
		store_asset_done(&a);
	return api_reply_json(x, 201, err);
}

enum pare_code api_post_recipe(struct api_exchange *x, struct pare_err *err)
{
	const char *name = NULL, *text = NULL;
	enum pare_code rc = read_body(x, &name, &text, err);

	if (rc == PARE_OK && (name == NULL || name[0] == '\0'))
		rc = pare_err_set(err, PARE_E_INVALID, "/name", "a recipe needs a name");
	return rc == PARE_OK ? save(x, name, text, err) : rc;
}

/* What the path names is there: bare, it may become a new version; one version may not. */
static enum pare_code put_again(struct api_exchange *x, const struct store_asset *a, bool bare, const char *text, struct pare_err *err)
{
	if (strcmp(a->info, text) == 0) {
		write_saved(x, a);
		return api_reply_json(x, 200, err);
	}
	if (bare)
		return save(x, x->params[0], text, err);
	return pare_err_set(err, PARE_E_CONFLICT, NULL, "%.80s@%lld is another recipe, and a version does not change: save a new one", a->name, (long long)a->version);
}

/* PUT says what name, or name@version, is: what it is already is 200, a new version 201; a version that is something else stays so. */
enum pare_code api_put_recipe(struct api_exchange *x, struct pare_err *err)
{
	bool bare = strpbrk(x->params[0], ":@") == NULL && !pare_id_check(x->params[0], "rcp");
	const char *name = NULL, *text = NULL;
	struct store_asset a;
	enum pare_code rc = read_body(x, &name, &text, err);

	if (rc == PARE_OK && name != NULL && strcmp(name, x->params[0]) != 0)
		rc = pare_err_set(err, PARE_E_INVALID, "/name", "the path says another name");
	if (rc != PARE_OK)
		return rc;
	rc = find_saved(x, x->params[0], &a, err);
	if (rc == PARE_E_NOT_FOUND && bare) {
		rc = check_conditions(x, NULL, err);
		return rc == PARE_OK ? save(x, x->params[0], text, err) : rc;
	}
	if (rc == PARE_E_NOT_FOUND)
		return pare_err_set(err, rc, NULL, "there is no recipe \"%.60s\"; versions are numbered as they are saved: PUT or POST the name alone", x->params[0]);
	if (rc != PARE_OK)
		return rc;
	rc = check_conditions(x, &a, err);
	if (rc == PARE_OK)
		rc = put_again(x, &a, bare, text, err);
	store_asset_done(&a);
	return rc;
}

enum pare_code api_delete_recipe(struct api_exchange *x, struct pare_err *err)
{
	struct store_asset a;
	size_t i;
	enum pare_code rc;

	if (built_in(x->params[0], &i))
		return pare_err_set(err, PARE_E_CONFLICT, NULL, "\"%.60s\" is built in and cannot be deleted", x->params[0]);
	rc = find_saved(x, x->params[0], &a, err);
	if (rc == PARE_E_NOT_FOUND)
		return no_recipe(x->params[0], err);
	if (rc != PARE_OK)
		return rc;
	rc = check_conditions(x, &a, err);
	if (rc == PARE_OK)
		rc = store_asset_delete(x->view, STORE_RECIPE, a.id, err);
	store_asset_done(&a);
	if (rc == PARE_OK)
		api_reply_empty(x, 204);
	return rc;
}
