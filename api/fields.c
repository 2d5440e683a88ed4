/* Members of a request's JSON that nothing here reads are mistakes of whoever sent them ("prioritiy": 5), so they are refused, all at once, each with its place and with what may
 * have been meant. What core/recipe checks against the catalog it checks in the same way; this is for the few objects that are no part of a job. */
#include <stdio.h>
#include <string.h>

#include "api/priv.h"
#include "core/base/nearest.h"

void api_pointer_add(char *pointer, size_t size, const char *key)
{
	size_t n = strlen(pointer);

	if (n + 1 < size)
		pointer[n++] = '/';
	for (; *key != '\0' && n + 2 < size; key++) {
		bool special = *key == '~' || *key == '/';

		pointer[n++] = special ? '~' : *key;
		if (special)
			pointer[n++] = *key == '~' ? '0' : '1';
	}
	pointer[n] = '\0';
}

static void describe(struct pare_issue *i, const char *key, const char *const *known)
{
	const char *hint = pare_nearest_of(key, known);
	size_t n;

	i->code = "unknown_field";
	if (hint != NULL) {
		(void)snprintf(i->detail, sizeof i->detail, "unknown field; did you mean \"%s\"?", hint);
		return;
	}
	n = (size_t)snprintf(i->detail, sizeof i->detail, "unknown field; known: ");
	for (; *known != NULL && n < sizeof i->detail; known++)
		n += (size_t)snprintf(i->detail + n, sizeof i->detail - n, "%s%s", *known, known[1] != NULL ? ", " : "");
}

enum pare_code api_check_fields(struct api_exchange *x, const json_t *o, const char *const *known, const char *pointer, struct pare_err *err)
{
	struct pare_issues *issues = NULL;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)o, key, value) {
		struct pare_issue *i;

		if (pare_is_among(key, known) || (issues != NULL && issues->n == PARE_MAX_ISSUES))
			continue;
		if (issues == NULL) {
			issues = pare_arena_alloc(&x->arena, sizeof *issues);
			if (issues == NULL)
				return pare_err_nomem(err, sizeof *issues);
			issues->n = 0;
		}
		i = &issues->list[issues->n++];
		(void)snprintf(i->pointer, sizeof i->pointer, "%s", pointer);
		api_pointer_add(i->pointer, sizeof i->pointer, key);
		describe(i, key, known);
	}
	if (issues == NULL)
		return PARE_OK;
	x->issues = issues;
	return pare_err_set(err, PARE_E_INVALID, NULL, "%s", issues->list[0].detail);
}
