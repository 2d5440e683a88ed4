/* Walks every row: what a table promises is checked here once for all methods, also those that are added later. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/recipe/recipe.h"

static void check_param(const struct pare_method *m, const struct pare_param *p)
{
	ck_assert_msg(p->doc != NULL && strlen(p->doc) > 8, "%s.%s has no documentation", m->name, p->name);
	ck_assert_msg(strchr(p->doc, '\n') == NULL, "%s.%s: doc must be one line", m->name, p->name);
	if (p->has_default && p->min < p->max) {
		ck_assert_msg(p->def >= p->min && p->def <= p->max, "%s.%s: default out of bounds", m->name, p->name);
		ck_assert_msg(!(p->open_min && p->def <= p->min) && !(p->open_max && p->def >= p->max), "%s.%s: default on an open bound", m->name, p->name);
	}
	if (p->type == PARE_PARAM_ENUM)
		ck_assert_msg(p->choices != NULL && p->choices[0] != NULL, "%s.%s has no choices", m->name, p->name);
	if (p->type == PARE_PARAM_OBJECT)
		ck_assert_msg(pare_catalog_find(PARE_KIND_OBJECT, p->object) != NULL, "%s.%s: no object %s", m->name, p->name, p->object);
	if (p->type == PARE_PARAM_METHOD && p->def_text != NULL)
		ck_assert_msg(pare_catalog_find(p->of, p->def_text) != NULL, "%s.%s: no method %s", m->name, p->name, p->def_text);
	if (p->required)
		ck_assert_msg(!p->has_default && p->def_text == NULL, "%s.%s: required and a default", m->name, p->name);
}

START_TEST(rows_keep_their_promises)
{
	int n = 0;

	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++, n++) {
		ck_assert_msg(m->doc != NULL && strlen(m->doc) > 8, "%s has no documentation", m->name);
		ck_assert_str_ne(pare_kind_name(m->kind), "unknown");
		ck_assert_ptr_eq(pare_catalog_find(m->kind, m->name), m); /* else a second row has its name */
		for (const struct pare_param *p = m->params; p != NULL && p->name != NULL; p++) {
			check_param(m, p);
			for (const struct pare_param *q = m->params; q < p; q++)
				ck_assert_str_ne(p->name, q->name);
		}
	}
	ck_assert_int_ge(n, 20);
}
END_TEST

START_TEST(nearest_names)
{
	const struct pare_method *prune = pare_catalog_find(PARE_KIND_STEP, "prune");

	ck_assert_str_eq(pare_catalog_nearest_param(prune, "sparcity"), "sparsity");
	ck_assert_str_eq(pare_catalog_nearest_param(prune, "treshold"), "threshold");
	ck_assert_str_eq(pare_catalog_nearest_method(PARE_KIND_CRITERION, "magnitud"), "magnitude");
	ck_assert_str_eq(pare_catalog_nearest_method(PARE_KIND_OPTIMIZER, "Adam"), "adam");
	ck_assert_ptr_null(pare_catalog_nearest_method(PARE_KIND_CRITERION, "second_order"));
	ck_assert_ptr_null(pare_catalog_nearest_method(PARE_KIND_CRITERION, ""));
	ck_assert_ptr_null(pare_catalog_find(PARE_KIND_LOSS, "magnitude"));
}
END_TEST

static json_t *load(const char *text)
{
	json_error_t e;
	json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, &e);

	ck_assert_msg(v != NULL, "line %d: %s", e.line, e.text);
	return v;
}

START_TEST(catalog_as_json)
{
	char *text = NULL;
	struct pare_err err;
	size_t n = 0, i;
	json_t *v, *row;

	ck_assert_int_eq(pare_catalog_json(&text, &err), PARE_OK);
	v = load(text);
	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++)
		n++;
	ck_assert_uint_eq(json_array_size(json_object_get(v, "data")), n + pare_recipes_count());
	json_array_foreach(json_object_get(v, "data"), i, row) {
		json_t *schema = json_object_get(row, "schema");

		ck_assert_str_eq(json_string_value(json_object_get(row, "object")), "method");
		ck_assert_str_eq(json_string_value(json_object_get(schema, "type")), "object");
		ck_assert(json_is_object(json_object_get(schema, "properties")));
		ck_assert(json_is_false(json_object_get(schema, "additionalProperties")));
	}
	json_decref(v);
	pare_free(text);
}
END_TEST

START_TEST(one_method_as_json)
{
	char *text = NULL;
	struct pare_err err;
	json_t *v, *lr;

	ck_assert_int_eq(pare_catalog_method_json("adam", &text, &err), PARE_OK);
	v = load(text);
	lr = json_object_get(json_object_get(json_object_get(v, "schema"), "properties"), "lr");
	ck_assert_double_eq(json_number_value(json_object_get(lr, "default")), 0.001);
	ck_assert_double_eq(json_number_value(json_object_get(lr, "exclusiveMinimum")), 0);
	json_decref(v);
	pare_free(text);
	ck_assert_int_eq(pare_catalog_method_json("ridge-magnitude", &text, &err), PARE_OK);
	v = load(text);
	ck_assert_str_eq(json_string_value(json_object_get(v, "kind")), "recipe");
	json_decref(v);
	pare_free(text);
	ck_assert_int_eq(pare_catalog_method_json("nothing", &text, &err), PARE_E_NOT_FOUND);
}
END_TEST

/* What a recipe's file says of its parameters: every one is used, has a default or a group, and both ends of its bounds
 * are accepted by the checker. */
static void try_param(const char *recipe, const char *param, const char *text)
{
	char job[512];
	struct pare_job *j = NULL;
	struct pare_issues issues;
	struct pare_err err;

	(void)snprintf(job, sizeof job, "{\"model\":\"m\",\"dataset\":\"d\",\"recipe\":\"%s\",\"params\":{\"%s\":%s}}", recipe, param, text);
	ck_assert_msg(pare_job_parse(job, strlen(job), &j, &issues, &err) == PARE_OK, "%s: %s: %s", job, err.where, err.message);
	ck_assert_str_eq(pare_job_recipe_name(j), recipe);
	pare_job_free(j);
}

START_TEST(recipes_resolve)
{
	const char *text = pare_recipe_text_at((size_t)_i), *key;
	json_t *v = load(text), *def, *params = json_object_get(v, "params");
	char number[40];

	ck_assert_str_eq(json_string_value(json_object_get(v, "name")), pare_recipe_name_at((size_t)_i));
	ck_assert(json_is_string(json_object_get(v, "doc")) && json_is_string(json_object_get(v, "source")));
	json_object_foreach(params, key, def) {
		char used[80];
		double min = json_number_value(json_object_get(def, "min")), max = json_number_value(json_object_get(def, "max"));
		json_t *d = json_object_get(def, "default");

		(void)snprintf(used, sizeof used, "{\"$param\": \"%s\"}", key);
		ck_assert_msg(strstr(text, used) != NULL, "parameter %s is not used", key);
		ck_assert_msg(json_is_string(json_object_get(def, "doc")), "parameter %s has no doc", key);
		ck_assert_msg(d != NULL || json_object_get(def, "group") != NULL, "parameter %s has no default", key);
		(void)snprintf(number, sizeof number, "%.17g", json_is_true(json_object_get(def, "open_min")) ? min + 0.001 : min);
		try_param(pare_recipe_name_at((size_t)_i), key, number);
		(void)snprintf(number, sizeof number, "%.17g", json_is_true(json_object_get(def, "open_max")) ? max - 0.001 : max);
		try_param(pare_recipe_name_at((size_t)_i), key, number);
		if (d != NULL)
			ck_assert(json_number_value(d) >= min && json_number_value(d) <= max);
	}
	json_decref(v);
}
END_TEST

START_TEST(required_recipes_exist)
{
	static const char *const names[] = {"ridge-magnitude", "weight-magnitude", "random", "l1-sparse", "two-threshold"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		bool found = false;

		for (size_t k = 0; k < pare_recipes_count(); k++)
			found |= strcmp(pare_recipe_name_at(k), names[i]) == 0;
		ck_assert_msg(found, "no recipe %s", names[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recipe/catalog");
	TCase *t = tcase_create("catalog");
	SRunner *r;
	int failed;

	tcase_add_test(t, rows_keep_their_promises);
	tcase_add_test(t, nearest_names);
	tcase_add_test(t, catalog_as_json);
	tcase_add_test(t, one_method_as_json);
	tcase_add_loop_test(t, recipes_resolve, 0, (int)pare_recipes_count());
	tcase_add_test(t, required_recipes_exist);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
