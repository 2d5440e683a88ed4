/* The document and the route table describe the same interface: every row has its operation, every operation its row, and their query parameters agree.
 * Reading is by line: paths stand two blanks deep, methods four, parameters refer to components by name. */
#include "api/router.h"
#include "tests/api/harness.h"

#define MAX_OPERATIONS 128

struct operation {
	char path[96], method[16], id[64];
	char refs[24][48]; /* names of #/components/parameters */
	int n_refs;
	bool open; /* security: [] */
};

static struct operation operations[MAX_OPERATIONS];
static int n_operations;
static char document[1 << 20];

static void load(void)
{
	FILE *f = fopen("openapi.yaml", "r");
	size_t n;

	ck_assert_msg(f != NULL, "run this from the root of the tree: openapi.yaml is read");
	n = fread(document, 1, sizeof document - 1, f);
	ck_assert_uint_lt(n, sizeof document - 1);
	document[n] = '\0';
	(void)fclose(f);
}

static bool is_method(const char *word)
{
	static const char *const methods[] = {"get", "post", "put", "patch", "delete", "head", "options", "trace"};

	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (strcmp(word, methods[i]) == 0)
			return true;
	return false;
}

static void take_line(const char *line, char path[96])
{
	struct operation *o = n_operations > 0 ? &operations[n_operations - 1] : NULL;
	char word[96];

	if (sscanf(line, "  %95[^:]:", word) == 1 && line[2] == '/') {
		(void)snprintf(path, 96, "%s", word);
	} else if (strncmp(line, "    ", 4) == 0 && line[4] != ' ' && sscanf(line, "    %15[a-z]:", word) == 1 && is_method(word)) {
		ck_assert_int_lt(n_operations, MAX_OPERATIONS);
		o = &operations[n_operations++];
		memset(o, 0, sizeof *o);
		(void)snprintf(o->path, sizeof o->path, "%s", path);
		for (size_t i = 0; word[i] != '\0' && i < sizeof o->method - 1; i++)
			o->method[i] = (char)(word[i] - 'a' + 'A');
	} else if (o != NULL && sscanf(line, "      operationId: %63s", word) == 1) {
		(void)snprintf(o->id, sizeof o->id, "%.63s", word);
	} else if (o != NULL && strcmp(line, "      security: []") == 0) {
		o->open = true;
	} else if (o != NULL && sscanf(line, "        - {$ref: '#/components/parameters/%47[A-Za-z]'}", word) == 1) {
		ck_assert_int_lt(o->n_refs, 24);
		(void)snprintf(o->refs[o->n_refs++], sizeof o->refs[0], "%.47s", word);
	}
}

static void setup(void)
{
	char *copy, *line, *rest, path[96] = "";

	load();
	copy = strdup(document);
	n_operations = 0;
	line = strstr(copy, "\npaths:\n");
	ck_assert_ptr_nonnull(line);
	for (line = strtok_r(line, "\n", &rest); line != NULL && strcmp(line, "webhooks:") != 0; line = strtok_r(NULL, "\n", &rest))
		take_line(line, path);
	free(copy);
	ck_assert_int_gt(n_operations, 20);
}

static const struct operation *find_operation(const struct api_route *r)
{
	for (int i = 0; i < n_operations; i++)
		if (strcmp(operations[i].path, r->path) == 0 && strcmp(operations[i].method, r->method) == 0)
			return &operations[i];
	return NULL;
}

START_TEST(every_route_has_its_operation)
{
	for (const struct api_route *r = api_route_table; r->method != NULL; r++) {
		const struct operation *o = find_operation(r);

		ck_assert_msg(o != NULL, "openapi.yaml lacks %s %s", r->method, r->path);
		ck_assert_msg(o->open == (r->scope == API_OPEN), "%s %s: security differs", r->method, r->path);
	}
}
END_TEST

START_TEST(every_operation_has_its_route)
{
	for (int i = 0; i < n_operations; i++) {
		bool found = false;

		for (const struct api_route *r = api_route_table; r->method != NULL; r++)
			found |= strcmp(r->path, operations[i].path) == 0 && strcmp(r->method, operations[i].method) == 0;
		ck_assert_msg(found, "no route for %s %s", operations[i].method, operations[i].path);
		ck_assert_str_ne(operations[i].id, "");
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(operations[i].id, operations[k].id);
	}
}
END_TEST

/* The name and place ("query") of a component parameter. */
static bool component(const char *ref, char name[48], char place[16])
{
	char start[80];
	const char *at;

	(void)snprintf(start, sizeof start, "\n    %s:\n      name: ", ref);
	at = strstr(strstr(document, "\n  parameters:\n"), start);
	return at != NULL && sscanf(at + strlen(start), "%47s in: %15s", name, place) == 2;
}

START_TEST(query_parameters_agree)
{
	for (const struct api_route *r = api_route_table; r->method != NULL; r++) {
		const struct operation *o = find_operation(r);
		int documented = 0, known = 0;

		ck_assert_ptr_nonnull(o);
		for (int i = 0; i < o->n_refs; i++) {
			char name[48], place[16];
			bool found = false;

			ck_assert_msg(component(o->refs[i], name, place), "no component %s", o->refs[i]);
			if (strcmp(place, "query") != 0)
				continue;
			documented++;
			for (const char *const *q = r->query; q != NULL && *q != NULL; q++)
				found |= strcmp(api_query_name(*q), name) == 0;
			ck_assert_msg(found, "%s %s does not know %s", r->method, r->path, name);
		}
		for (const char *const *q = r->query; q != NULL && *q != NULL; q++)
			known++;
		ck_assert_msg(known == documented, "%s %s: %d query parameters, %d documented", r->method, r->path, known, documented);
	}
}
END_TEST

START_TEST(path_parameters_agree)
{
	for (const struct api_route *r = api_route_table; r->method != NULL; r++) {
		const struct operation *o = find_operation(r);
		int documented = 0, known = 0;

		ck_assert_ptr_nonnull(o);
		for (const char *p = r->path; *p != '\0'; p++)
			known += *p == '{';
		for (int i = 0; i < o->n_refs; i++) {
			char name[48], place[16];

			ck_assert(component(o->refs[i], name, place));
			documented += strcmp(place, "path") == 0;
		}
		ck_assert_int_eq(known, documented);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("openapi");
	TCase *t = tcase_create("openapi");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, every_route_has_its_operation);
	tcase_add_test(t, every_operation_has_its_route);
	tcase_add_test(t, query_parameters_agree);
	tcase_add_test(t, path_parameters_agree);
	suite_add_tcase(s, t);
	return run_suite(s);
}
