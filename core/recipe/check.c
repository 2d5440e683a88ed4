/* One checker for every row of the catalog. It never stops at the first mistake: a person who mistyped three fields
 * should hear of three fields. What it makes are pare_args, one entry per parameter in row order, so that the engine reads
 * checked numbers and never JSON.
 *
 * The rule for everything unknown is refusal with the nearest known name. A typo that is silently ignored costs a
 * training run, and the user would blame the method. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/recipe/json_text.h"
#include "core/base/nearest.h"
#include "core/recipe/recipe_priv.h"

size_t recipe_push(struct recipe_check *c, const char *key)
{
	size_t mark = c->path_len, n = c->path_len;

	if (n + 1 < sizeof c->path)
		c->path[n++] = '/';
	for (; *key != '\0' && n + 2 < sizeof c->path; key++) {
		if (*key == '~' || *key == '/') {
			c->path[n++] = '~';
			c->path[n++] = *key == '~' ? '0' : '1';
		} else {
			c->path[n++] = *key;
		}
	}
	c->path[n] = '\0';
	c->path_len = n;
	return mark;
}

size_t recipe_push_index(struct recipe_check *c, size_t i)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%zu", i);
	return recipe_push(c, text);
}

void recipe_pop(struct recipe_check *c, size_t mark)
{
	c->path_len = mark;
	c->path[mark] = '\0';
}

static void add_issue(struct recipe_check *c, const char *code, const char *fmt, va_list ap)
{
	struct pare_issue *i;

	if (c->issues->n == PARE_MAX_ISSUES)
		return;
	i = &c->issues->list[c->issues->n++];
	memcpy(i->pointer, c->path, c->path_len + 1);
	i->code = code;
	(void)vsnprintf(i->detail, sizeof i->detail, fmt, ap);
}

void recipe_issue(struct recipe_check *c, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_issue(c, code, fmt, ap);
	va_end(ap);
}

void recipe_issue_at(struct recipe_check *c, const char *key, const char *code, const char *fmt, ...)
{
	size_t mark = recipe_push(c, key);
	va_list ap;

	va_start(ap, fmt);
	add_issue(c, code, fmt, ap);
	va_end(ap);
	recipe_pop(c, mark);
}

const char *recipe_json_type(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "a list";
	case JSON_STRING: return "a string";
	case JSON_INTEGER:
	case JSON_REAL: return "a number";
	case JSON_TRUE:
	case JSON_FALSE: return "a boolean";
	case JSON_NULL: break;
	}
	return "null";
}

size_t recipe_n_params(const struct pare_method *m)
{
	size_t n = 0;

	while (m->params != NULL && m->params[n].name != NULL)
		n++;
	return n;
}

static void *take(struct recipe_check *c, size_t n, size_t size)
{
	void *p = pare_arena_array(c->arena, n != 0 ? n : 1, size);

	c->nomem |= p == NULL;
	return p;
}

static const char *copy(struct recipe_check *c, const char *s)
{
	const char *p = pare_arena_strndup(c->arena, s, strlen(s));

	c->nomem |= p == NULL;
	return p;
}

static void bad_type(struct recipe_check *c, const char *want, const json_t *got)
{
	recipe_issue(c, "wrong_type", "must be %s; got %s", want, recipe_json_type(got));
}

static void out_of_range(struct recipe_check *c, const struct pare_param *p, double v)
{
	recipe_issue(c, "out_of_range", "must be %s %.12g and %s %.17g; got %.12g", p->open_min ? ">" : ">=", p->min, p->open_max ? "<" : "<=", p->max, v);
}

void recipe_check_number(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	bool integer = p->type == PARE_PARAM_INTEGER;
	double x;

	if (!json_is_number(v)) {
		bad_type(c, integer ? "an integer" : "a number", v);
		return;
	}
	x = json_number_value(v);
	if (!isfinite(x)) {
		recipe_issue(c, "out_of_range", "must be finite");
		return;
	}
	if (integer && (floor(x) < x || fabs(x) > 9007199254740992.0)) {
		recipe_issue(c, "wrong_type", "must be an integer of at most 2^53; got %.17g", x);
		return;
	}
	if ((p->min < p->max) && (x < p->min || x > p->max || (p->open_min && x <= p->min) || (p->open_max && x >= p->max))) {
		out_of_range(c, p, x);
		return;
	}
	out->num = x;
	out->set = true;
}

static void check_bool(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	(void)p;
	if (!json_is_boolean(v)) {
		bad_type(c, "true or false", v);
		return;
	}
	out->num = json_is_true(v) ? 1 : 0;
	out->set = true;
}

static bool string_fits(struct recipe_check *c, const json_t *v)
{
	if (!json_is_string(v)) {
		bad_type(c, "a string", v);
		return false;
	}
	if (json_string_length(v) == 0 || json_string_length(v) > RECIPE_STRING_MAX) {
		recipe_issue(c, "out_of_range", "must have 1 to %zu bytes; got %zu", RECIPE_STRING_MAX, json_string_length(v));
		return false;
	}
	return true;
}

static bool choice_fits(struct recipe_check *c, const struct pare_param *p, const char *s)
{
	struct pare_nearest near;
	char list[160] = "";

	pare_nearest_init(&near, s);
	for (const char *const *k = p->choices; k != NULL && *k != NULL; k++) {
		size_t n = strlen(list);

		if (strcmp(*k, s) == 0)
			return true;
		pare_nearest_try(&near, *k);
		(void)snprintf(list + n, sizeof list - n, "%s\"%s\"", n != 0 ? ", " : "", *k);
	}
	if (p->choices == NULL)
		return true;
	if (near.best != NULL)
		recipe_issue(c, "unknown_value", "unknown value; did you mean \"%s\"?", near.best);
	else
		recipe_issue(c, "unknown_value", "must be one of %s", list);
	return false;
}

static void check_string(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	if (!string_fits(c, v) || !choice_fits(c, p, json_string_value(v)))
		return;
	out->str = copy(c, json_string_value(v));
	out->set = out->str != NULL;
}

static void check_strings(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	size_t n = json_array_size(v);
	const char **list;

	if (!json_is_array(v)) {
		bad_type(c, "a list of strings", v);
		return;
	}
	list = take(c, n, sizeof *list);
	for (size_t i = 0; list != NULL && i < n; i++) {
		const json_t *e = json_array_get(v, i);
		size_t mark = recipe_push_index(c, i);

		if (string_fits(c, e) && choice_fits(c, p, json_string_value(e)))
			list[i] = copy(c, json_string_value(e));
		recipe_pop(c, mark);
	}
	out->strings = list;
	out->n = n;
	out->set = true;
}

static void unknown_method(struct recipe_check *c, enum pare_method_kind kind, const char *name)
{
	const char *near = pare_catalog_nearest_method(kind, name);
	char list[160] = "";

	for (const struct pare_method *m = pare_catalog; near == NULL && m->name != NULL; m++) {
		size_t n = strlen(list);

		if (m->kind == kind)
			(void)snprintf(list + n, sizeof list - n, "%s\"%s\"", n != 0 ? ", " : "", m->name);
	}
	if (near != NULL)
		recipe_issue(c, "unknown_value", "no such %s; did you mean \"%s\"?", pare_kind_name(kind), near);
	else
		recipe_issue(c, "unknown_value", "no such %s; there are %s", pare_kind_name(kind), list);
}

static const struct pare_args *one_method(struct recipe_check *c, const struct pare_param *p, const json_t *v)
{
	const json_t *name = json_is_object(v) ? json_object_get(v, "name") : v;
	const struct pare_method *m;
	size_t mark = c->path_len;

	if (!json_is_object(v) && !json_is_string(v)) {
		bad_type(c, "a name or an object with a name", v);
		return NULL;
	}
	if (name == NULL) {
		recipe_issue_at(c, "name", "missing", "is required: the name of the %s", pare_kind_name(p->of));
		return NULL;
	}
	if (json_is_object(v))
		mark = recipe_push(c, "name");
	m = string_fits(c, name) ? pare_catalog_find(p->of, json_string_value(name)) : NULL;
	if (m == NULL && json_is_string(name) && json_string_length(name) - 1 < RECIPE_STRING_MAX)
		unknown_method(c, p->of, json_string_value(name));
	recipe_pop(c, mark);
	return m != NULL ? recipe_check_object(c, m, json_is_object(v) ? v : NULL, true) : NULL;
}

static void check_method(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	out->args = one_method(c, p, v);
	out->set = out->args != NULL;
}

static void check_nested(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	if (!json_is_object(v)) {
		bad_type(c, strcmp(p->object, "recipe") == 0 ? "the name of a recipe or an object with steps" : "an object", v);
		return;
	}
	out->args = recipe_check_object(c, pare_catalog_find(PARE_KIND_OBJECT, p->object), v, false);
	out->set = out->args != NULL;
}

static const struct pare_args *check_step(struct recipe_check *c, const json_t *v)
{
	const struct pare_method *m;
	const struct pare_args *args = NULL;
	const char *name;
	const json_t *body;
	size_t mark;

	if (!json_is_object(v)) {
		bad_type(c, "an object with the step's name as its one key", v);
		return NULL;
	}
	if (json_object_size(v) != 1) {
		recipe_issue(c, "exactly_one", "must have exactly one key, the step's name; has %zu", json_object_size(v));
		return NULL;
	}
	name = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)v));
	body = json_object_get(v, name);
	mark = recipe_push(c, name);
	m = pare_catalog_find(PARE_KIND_STEP, name);
	if (m == NULL) {
		const char *near = pare_catalog_nearest_method(PARE_KIND_STEP, name);

		recipe_issue(c, "unknown_field", "no such step; %s\"%s\"%s", near != NULL ? "did you mean " : "there are ", near != NULL ? near : "train\", \"prune\", \"search\", \"reestimate\", \"evaluate", near != NULL ? "?" : "");
	} else if (!json_is_object(body)) {
		bad_type(c, "an object", body);
	} else {
		args = recipe_check_object(c, m, body, false);
	}
	recipe_pop(c, mark);
	return args;
}

static void check_steps(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	size_t n = json_array_size(v);
	const struct pare_args **list;

	(void)p;
	if (!json_is_array(v)) {
		bad_type(c, "a list of steps", v);
		return;
	}
	if (n == 0 || n > RECIPE_STEPS_MAX) {
		recipe_issue(c, "out_of_range", "must have 1 to %zu steps; got %zu", RECIPE_STEPS_MAX, n);
		return;
	}
	list = take(c, n, sizeof *list);
	for (size_t i = 0; list != NULL && i < n; i++) {
		size_t mark = recipe_push_index(c, i);

		list[i] = check_step(c, json_array_get(v, i));
		recipe_pop(c, mark);
	}
	out->list = list;
	out->n = n;
	out->set = true;
}

static bool list_fits(struct recipe_check *c, const struct pare_param *p, const json_t *v, const char *what)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v)) {
		bad_type(c, what, v);
		return false;
	}
	if (n == 0 || n > p->max_items) {
		recipe_issue(c, "out_of_range", "must have 1 to %zu entries; got %zu", p->max_items, n);
		return false;
	}
	return true;
}

/* One of them may stand alone. */
static void check_methods(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	const struct pare_args **list;
	bool many = json_is_array(v);
	size_t n = many ? json_array_size(v) : 1;

	if (many && !list_fits(c, p, v, "a list"))
		return;
	list = take(c, n, sizeof *list);
	for (size_t i = 0; list != NULL && i < n; i++) {
		size_t mark = many ? recipe_push_index(c, i) : c->path_len;

		list[i] = one_method(c, p, many ? json_array_get(v, i) : v);
		recipe_pop(c, mark);
	}
	out->list = list;
	out->n = n;
	out->set = list != NULL;
}

static void check_numbers(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	struct pare_param one = *p;
	double *nums;

	if (!list_fits(c, p, v, p->type == PARE_PARAM_INTEGERS ? "a list of integers" : "a list of numbers"))
		return;
	one.type = p->type == PARE_PARAM_INTEGERS ? PARE_PARAM_INTEGER : PARE_PARAM_NUMBER;
	nums = take(c, json_array_size(v), sizeof *nums);
	for (size_t i = 0; nums != NULL && i < json_array_size(v); i++) {
		struct pare_arg arg = {.param = &one};
		size_t mark = recipe_push_index(c, i);

		recipe_check_number(c, &one, json_array_get(v, i), &arg);
		nums[i] = arg.num;
		recipe_pop(c, mark);
	}
	out->nums = nums;
	out->n = json_array_size(v);
	out->set = nums != NULL;
}

static void check_objects(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	const struct pare_args **list;

	if (!list_fits(c, p, v, "a list of objects"))
		return;
	list = take(c, json_array_size(v), sizeof *list);
	for (size_t i = 0; list != NULL && i < json_array_size(v); i++) {
		size_t mark = recipe_push_index(c, i);

		if (json_is_object(json_array_get(v, i)))
			list[i] = recipe_check_object(c, pare_catalog_find(PARE_KIND_OBJECT, p->object), json_array_get(v, i), false);
		else
			bad_type(c, "an object", json_array_get(v, i));
		recipe_pop(c, mark);
	}
	out->list = list;
	out->n = json_array_size(v);
	out->set = list != NULL;
}

static bool label_fits(struct recipe_check *c, const char *key, const json_t *v)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";
	const char *s = json_string_value(v);
	size_t n = strlen(key);

	if (n == 0 || n > RECIPE_LABEL_MAX || strspn(key, letters) != n || strchr("._/-", key[0]) != NULL) {
		recipe_issue(c, "unsupported", "a label's name has 1 to %zu letters, digits, \".\", \"_\", \"/\" or \"-\" and begins with a letter or digit", RECIPE_LABEL_MAX);
		return false;
	}
	if (!string_fits(c, v))
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7F) {
			recipe_issue(c, "unsupported", "must hold no control characters");
			return false;
		}
	return true;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_labels(struct recipe_check *c, const struct pare_param *p, const json_t *v, struct pare_arg *out)
{
	json_t *o = (json_t *)(uintptr_t)v, *value;
	const char *key, **list;
	size_t n = 0;

	if (!json_is_object(v)) {
		bad_type(c, "an object of strings", v);
		return;
	}
	if (json_object_size(v) > p->max_items) {
		recipe_issue(c, "out_of_range", "must have at most %zu labels; got %zu", p->max_items, json_object_size(v));
		return;
	}
	list = take(c, json_object_size(v), sizeof *list);
	if (list == NULL)
		return;
	json_object_foreach(o, key, value) {
		size_t mark = recipe_push(c, key), n_key = strlen(key), size = n_key + json_string_length(value) + 2;
		char *line = label_fits(c, key, value) ? take(c, size, 1) : NULL;

		if (line != NULL) {
			(void)snprintf(line, size, "%s=%s", key, json_string_value(value));
			list[n++] = line;
		}
		recipe_pop(c, mark);
	}
	qsort(list, n, sizeof *list, by_text);
	out->strings = list;
	out->n = n;
	out->set = true;
}

static void (*const check_table[])(struct recipe_check *, const struct pare_param *, const json_t *, struct pare_arg *) = {
    [PARE_PARAM_NUMBER] = recipe_check_number,
    [PARE_PARAM_INTEGER] = recipe_check_number,
    [PARE_PARAM_BOOL] = check_bool,
    [PARE_PARAM_STRING] = check_string,
    [PARE_PARAM_ENUM] = check_string,
    [PARE_PARAM_STRINGS] = check_strings,
    [PARE_PARAM_METHOD] = check_method,
    [PARE_PARAM_OBJECT] = check_nested,
    [PARE_PARAM_STEPS] = check_steps,
    [PARE_PARAM_METHODS] = check_methods,
    [PARE_PARAM_INTEGERS] = check_numbers,
    [PARE_PARAM_NUMBERS] = check_numbers,
    [PARE_PARAM_OBJECTS] = check_objects,
    [PARE_PARAM_LABELS] = check_labels,
};

/* A method or object that was not given but has a default: its own defaults, by checking an empty object. */
static void default_nested(struct recipe_check *c, const struct pare_param *p, struct pare_arg *out)
{
	const struct pare_method *m;

	if (p->def_text == NULL)
		return;
	m = p->type == PARE_PARAM_OBJECT ? pare_catalog_find(PARE_KIND_OBJECT, p->object) : pare_catalog_find(p->of, p->def_text);
	out->args = recipe_check_object(c, m, NULL, true);
	out->set = out->args != NULL;
}

static void default_strings(struct recipe_check *c, const struct pare_param *p, struct pare_arg *out)
{
	const char *s = p->def_text;
	const char **list;
	size_t n = 1;

	for (const char *k = s; (k = strchr(k, ',')) != NULL; k++)
		n++;
	list = take(c, n, sizeof *list);
	for (size_t i = 0; list != NULL && i < n; i++) {
		size_t len = strcspn(s, ",");

		list[i] = pare_arena_strndup(c->arena, s, len);
		c->nomem |= list[i] == NULL;
		s += len + 1;
	}
	out->strings = list;
	out->n = n;
	out->set = list != NULL;
}

static void fill_default(struct recipe_check *c, const struct pare_param *p, struct pare_arg *out)
{
	switch (p->type) {
	case PARE_PARAM_NUMBER:
	case PARE_PARAM_INTEGER:
	case PARE_PARAM_BOOL:
		out->num = p->def;
		out->set = p->has_default;
		return;
	case PARE_PARAM_STRING:
	case PARE_PARAM_ENUM:
		out->str = p->def_text;
		out->set = p->def_text != NULL;
		return;
	case PARE_PARAM_STRINGS:
		if (p->def_text != NULL)
			default_strings(c, p, out);
		return;
	case PARE_PARAM_METHOD:
	case PARE_PARAM_OBJECT:
		default_nested(c, p, out);
		return;
	case PARE_PARAM_METHODS:
	case PARE_PARAM_STEPS:
	case PARE_PARAM_INTEGERS:
	case PARE_PARAM_NUMBERS:
	case PARE_PARAM_OBJECTS:
	case PARE_PARAM_LABELS:
	case PARE_PARAM_PARAMS:
		return;
	}
}

static void check_unknown(struct recipe_check *c, const struct pare_method *m, const json_t *obj, bool skip_name)
{
	json_t *o = (json_t *)(uintptr_t)obj;
	size_t n = recipe_n_params(m);
	const char *key;
	json_t *v;

	json_object_foreach(o, key, v) {
		bool known = skip_name && strcmp(key, "name") == 0;
		const char *near;

		for (size_t i = 0; i < n; i++)
			known |= strcmp(m->params[i].name, key) == 0;
		if (known)
			continue;
		near = pare_catalog_nearest_param(m, key);
		if (near != NULL)
			recipe_issue_at(c, key, "unknown_field", "%s has no such field; did you mean \"%s\"?", m->name, near);
		else
			recipe_issue_at(c, key, "unknown_field", "%s has no such field", m->name);
	}
}

/* Of the parameters of a group exactly one must be given; reported at the first of them. */
static void check_group(struct recipe_check *c, const struct pare_args *a, size_t first)
{
	const struct pare_arg *args = a->args;
	const char *group = args[first].param->group;
	char names[120] = "";
	int given = 0;

	for (size_t i = 0; i < recipe_n_params(a->method); i++) {
		const char *g = args[i].param->group;
		size_t n = strlen(names);

		if (g == NULL || strcmp(g, group) != 0)
			continue;
		if (i < first)
			return;
		given += args[i].given ? 1 : 0;
		(void)snprintf(names + n, sizeof names - n, "%s\"%s\"", n != 0 ? ", " : "", args[i].param->name);
	}
	if (given != 1)
		recipe_issue(c, "exactly_one", "exactly one of %s must be given; got %d", names, given);
}

struct pare_args *recipe_check_object(struct recipe_check *c, const struct pare_method *m, const json_t *obj, bool skip_name)
{
	size_t n = recipe_n_params(m);
	struct pare_args *a = take(c, 1, sizeof *a);
	struct pare_arg *args = take(c, n, sizeof *args);

	if (a == NULL || args == NULL)
		return NULL;
	a->method = m;
	a->args = args;
	if (obj != NULL)
		check_unknown(c, m, obj, skip_name);
	for (size_t i = 0; i < n; i++) {
		const struct pare_param *p = &m->params[i];
		const json_t *v = obj != NULL ? json_object_get(obj, p->name) : NULL;
		size_t mark = recipe_push(c, p->name);

		args[i].param = p;
		args[i].given = v != NULL;
		if (v != NULL && p->type != PARE_PARAM_PARAMS)
			check_table[p->type](c, p, v, &args[i]);
		else
			fill_default(c, p, &args[i]);
		if (v == NULL && p->required)
			recipe_issue(c, "missing", "is required");
		recipe_pop(c, mark);
	}
	for (size_t i = 0; i < n; i++)
		if (args[i].param->group != NULL)
			check_group(c, a, i);
	return a;
}
