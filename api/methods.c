/* What a job may ask for: the catalog and the named recipes, both kept by core/recipe. Their JSON is made there and handed through. */
#include <string.h>

#include "api/priv.h"
#include "api/text.h"
#include "core/base/nearest.h"

#define MAX_RECIPES 64

static enum pare_code reply_owned(struct api_exchange *x, char *text, struct pare_err *err)
{
	(void)pare_buf_str(&x->out, text);
	pare_free(text);
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_methods(struct api_exchange *x, struct pare_err *err)
{
	char *text;
	enum pare_code rc = pare_catalog_json(&text, err);

	return rc == PARE_OK ? reply_owned(x, text, err) : rc;
}

enum pare_code api_get_method(struct api_exchange *x, struct pare_err *err)
{
	char *text;
	enum pare_code rc = pare_catalog_method_json(x->params[0], &text, err);

	return rc == PARE_OK ? reply_owned(x, text, err) : rc;
}

static void write_recipe(struct api_exchange *x, size_t i)
{
	struct pare_buf *b = &x->out;

	api_json_open(b, NULL, '{');
	api_json_str(b, "object", "recipe");
	api_json_str(b, "name", pare_recipe_name_at(i));
	api_json_raw(b, "recipe", pare_recipe_text_at(i));
	api_json_open(b, "urls", '{');
	api_json_link(x, "self", "/v1/recipes/%s", pare_recipe_name_at(i));
	api_json_close(b, '}');
	api_json_close(b, '}');
}

enum pare_code api_get_recipes(struct api_exchange *x, struct pare_err *err)
{
	api_json_open(&x->out, NULL, '{');
	api_json_str(&x->out, "object", "list");
	api_json_open(&x->out, "data", '[');
	for (size_t i = 0; i < pare_recipes_count(); i++)
		write_recipe(x, i);
	api_json_close(&x->out, ']');
	api_json_bool(&x->out, "has_more", false);
	api_json_str(&x->out, "next_after", NULL);
	api_json_close(&x->out, '}');
	return api_reply_json(x, 200, err);
}

enum pare_code api_get_recipe(struct api_exchange *x, struct pare_err *err)
{
	const char *names[MAX_RECIPES + 1];
	const char *hint;
	size_t n = pare_recipes_count() < MAX_RECIPES ? pare_recipes_count() : MAX_RECIPES;

	for (size_t i = 0; i < n; i++) {
		names[i] = pare_recipe_name_at(i);
		if (strcmp(names[i], x->params[0]) == 0) {
			write_recipe(x, i);
			return api_reply_json(x, 200, err);
		}
	}
	names[n] = NULL;
	hint = pare_nearest_of(x->params[0], names);
	return pare_err_set(err, PARE_E_NOT_FOUND, NULL, "there is no recipe \"%.60s\"%s%s%s", x->params[0], hint != NULL ? "; did you mean \"" : "", hint != NULL ? hint : "", hint != NULL ? "\"?" : "");
}
