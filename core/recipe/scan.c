/* A job's text as a tree. jansson reports a duplicate key by byte offset only. To name it as a person would find it,
 * pointer_at() walks the text once more up to that offset and keeps the path; that the text is well-formed up to there, and
 * no deeper than RECIPE_DEPTH_MAX, is what pare_json_load has just found out. */
#include <stdio.h>
#include <string.h>

#include "core/recipe/json_text.h"
#include "core/recipe/recipe_priv.h"

struct level {
	bool object;
	size_t index;         /* of the element, in a list */
	size_t key, key_len;  /* of the present member, in an object */
};

struct walk {
	struct level level[RECIPE_DEPTH_MAX + 1];
	int depth;
};

/* The offset just past the string that opens at i. */
static size_t skip_string(const char *s, size_t len, size_t i)
{
	for (i++; i < len && s[i] != '"'; i++)
		if (s[i] == '\\')
			i++;
	return i < len ? i + 1 : len;
}

static bool is_key(const char *s, size_t len, size_t i)
{
	while (i < len && strchr(" \t\r\n", s[i]) != NULL && s[i] != '\0')
		i++;
	return i < len && s[i] == ':';
}

static size_t step(struct walk *w, const char *s, size_t len, size_t i)
{
	struct level *l = &w->level[w->depth];
	size_t end;

	switch (s[i]) {
	case '"':
		end = skip_string(s, len, i);
		if (l->object && is_key(s, len, end)) {
			l->key = i + 1;
			l->key_len = end - i - 2;
		}
		return end;
	case '{':
	case '[':
		if (w->depth == RECIPE_DEPTH_MAX)
			return len;
		w->depth++;
		memset(&w->level[w->depth], 0, sizeof w->level[0]);
		w->level[w->depth].object = s[i] == '{';
		return i + 1;
	case '}':
	case ']':
		if (w->depth > 0)
			w->depth--;
		return i + 1;
	case ',':
		l->index++;
		return i + 1;
	default:
		return i + 1;
	}
}

static void pointer_at(const char *s, size_t len, size_t offset, char *out, size_t n)
{
	struct walk w;
	size_t used = 0;

	memset(&w, 0, sizeof w);
	for (size_t i = 0; i < len && i < offset;)
		i = step(&w, s, len, i);
	out[0] = '\0';
	for (int d = 1; d <= w.depth; d++) {
		const struct level *l = &w.level[d];
		int k = l->object ? snprintf(out + used, n - used, "/%.*s", (int)(l->key_len < 64 ? l->key_len : 64), s + l->key)
		                  : snprintf(out + used, n - used, "/%zu", l->index);

		if (k < 0 || (size_t)k >= n - used)
			return;
		used += (size_t)k;
	}
}

static enum pare_code duplicate(const char *text, size_t len, const json_error_t *e, struct pare_issues *issues, struct pare_err *err)
{
	struct pare_issue *i = &issues->list[issues->n++];

	pointer_at(text, len, e->position > 0 ? (size_t)e->position : 0, i->pointer, sizeof i->pointer);
	i->code = "duplicate";
	(void)snprintf(i->detail, sizeof i->detail, "this key appears twice in its object (line %d column %d)", e->line, e->column);
	return pare_err_set(err, PARE_E_INVALID, i->pointer, "%s", i->detail);
}

enum pare_code recipe_load(const char *text, size_t len, struct pare_issues *issues, json_t **out, struct pare_err *err)
{
	json_error_t e;
	enum pare_code code = pare_json_load(text, len, RECIPE_TEXT_MAX, out, &e, err);

	return code == PARE_E_SYNTAX && json_error_code(&e) == json_error_duplicate_key ? duplicate(text, len, &e, issues, err) : code;
}
