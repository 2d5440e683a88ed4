/* Reading JSON when memory runs short: either the whole text or an error, never a text with a byte lost, never a read past
 * the end (jansson 2.14 does both when its lexer's buffer cannot grow), nothing leaked. And what is refused at any time. */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/recipe/json_text.h"

enum shortage { ONE, FROM_THEN_ON, LARGE_FROM_THEN_ON, N_SHORTAGES };

static struct {
	enum shortage how;
	long at, n, live;
	bool failed;
} memory;

static bool fails(size_t n_bytes)
{
	bool now = memory.at > 0 && (memory.how == ONE ? ++memory.n == memory.at : ++memory.n >= memory.at);

	if (memory.how == LARGE_FROM_THEN_ON && n_bytes < 64)
		now = false;
	memory.failed |= now;
	return now;
}

static void *alloc(void *ctx, size_t n_bytes, size_t align)
{
	void *p;

	(void)ctx;
	(void)align;
	p = fails(n_bytes) ? NULL : malloc(n_bytes);
	memory.live += p != NULL;
	return p;
}

static void *resize(void *ctx, void *p, size_t n_bytes)
{
	(void)ctx;
	return fails(n_bytes) ? NULL : realloc(p, n_bytes);
}

static void release(void *ctx, void *p)
{
	(void)ctx;
	memory.live--;
	free(p);
}

static enum pare_code load(const char *text, json_t **out)
{
	/* exactly as long as it is, so that a sanitizer sees a step past the end */
	size_t n = strlen(text);
	char *copy = malloc(n > 0 ? n : 1);
	enum pare_code code;

	memcpy(copy, text, n);
	code = pare_json_load(copy, n, n, out, NULL, NULL);
	free(copy);
	return code;
}

/* Token lengths around the powers of two at which the lexer's buffer grows, in a number or in a string first (it never
 * shrinks); lists and objects that grow; nesting. */
static char *text_of(int nth)
{
	struct pare_buf b;

	pare_buf_init(&b, (size_t)1 << 20);
	pare_buf_str(&b, "{");
	if (nth % 2 == 0)
		pare_buf_printf(&b, "\"x\":[1%0*de-3,1%0*d.5],", nth / 2, 7, nth, 7);
	pare_buf_str(&b, "\"a\":[");
	for (int i = 0; i < 80; i++)
		pare_buf_printf(&b, "%s\"%0*d\"", i > 0 ? "," : "", nth + i % 3, i);
	pare_buf_str(&b, "],\"n\":[");
	for (int i = 0; i < 100; i++)
		pare_buf_printf(&b, "%snull", i > 0 ? "," : "");
	pare_buf_printf(&b, "],\"\\u00e9\\n%0*d\":1%0*d.5e-3,\"deep\":[[[{\"k\":[1,2,3,true]}]]]", 2 * nth, 1, nth, 7);
	for (int i = 0; i < 40; i++)
		pare_buf_printf(&b, ",\"k%05d\":%d", i, i);
	pare_buf_str(&b, "}");
	return pare_buf_take(&b, NULL);
}

static bool survives(const char *text, const json_t *whole, long at)
{
	json_t *v = NULL;
	enum pare_code code;

	memory.at = at;
	memory.n = 0;
	memory.live = 0;
	memory.failed = false;
	code = load(text, &v);
	memory.at = 0;
	if (code == PARE_OK)
		ck_assert_msg(json_equal(v, whole), "allocation %ld: another text was read", at);
	else
		ck_assert_int_eq(code, PARE_E_NOMEM);
	json_decref(v);
	ck_assert_int_eq(memory.live, 0);
	return memory.failed;
}

START_TEST(no_memory_loses_no_byte)
{
	static const struct pare_allocator short_one = {.alloc = alloc, .resize = resize, .release = release, .ctx = NULL};
	char *text = text_of(_i);
	json_t *whole = NULL;
	long tried = 0;

	ck_assert_int_eq(load(text, &whole), PARE_OK);
	pare_mem_set(&short_one);
	for (int how = 0; how < N_SHORTAGES; how++) {
		memory.how = (enum shortage)how;
		for (long at = 1; survives(text, whole, at); at++)
			tried++;
	}
	pare_mem_set(NULL);
	ck_assert_int_gt(tried, 500);
	json_decref(whole);
	pare_free(text);
}
END_TEST

static const struct {
	const char *text, *message, *where;
} bad_table[] = {
    {"", "end of file", "line 1 column 0"},
    {"{\"a\":1,\n\"a\":2}", "duplicate", "line 2 column 3"},
    {"[1,]", "unexpected token", "line 1 column 4"},
    {"[1] 2", "end of file expected", "line 1 column 5"},
    {"[\"\xff\"]", "unable to decode", "line 1 column 2"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "deeper than 32", ""},
};

START_TEST(broken_texts)
{
	struct pare_err err;
	json_t *v = NULL;

	ck_assert_int_eq(pare_json_load(bad_table[_i].text, strlen(bad_table[_i].text), 1000, &v, NULL, &err), PARE_E_SYNTAX);
	ck_assert_msg(strstr(err.message, bad_table[_i].message) != NULL, "%s", err.message);
	ck_assert_str_eq(err.where, bad_table[_i].where);
}
END_TEST

START_TEST(brackets_in_strings_are_no_depth)
{
	json_t *v = NULL;

	ck_assert_int_eq(load("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[\"]", &v), PARE_OK);
	json_decref(v);
	ck_assert_int_eq(pare_json_load("[1,2]", 5, 4, &v, NULL, NULL), PARE_E_SYNTAX);
	ck_assert_int_eq(pare_json_load("[1\0]", 4, 4, &v, NULL, NULL), PARE_E_SYNTAX);
}
END_TEST

static const struct {
	float v;
	const char *text;
} float_table[] = {{5.1f, "5.1"}, {0.1f, "0.1"}, {-2.0f, "-2"}, {0, "0"}, {16777216.0f, "16777216"}, {3.4028235e38f, "3.4028235e+38"}, {1e-45f, "1e-45"},
    {1.0f / 3, "0.33333334"}, {(float)INFINITY, "null"}};

/* No digit that the number does not need, and none less. */
START_TEST(floats_are_short)
{
	struct pare_buf b;
	uint32_t bits = 1;

	pare_buf_init(&b, 100);
	pare_json_float(&b, float_table[_i].v);
	ck_assert_str_eq(b.data, float_table[_i].text);
	pare_buf_done(&b);
	for (int i = 0; i < 20000; i++) {
		float v, back;

		bits = bits * 1664525 + 1013904223;
		memcpy(&v, &bits, sizeof v);
		if (!isfinite(v))
			continue;
		pare_buf_init(&b, 100);
		pare_json_float(&b, v);
		back = strtof(b.data, NULL);
		ck_assert_msg(v <= back && v >= back, "%s is not %.9g", b.data, (double)v);
		pare_buf_done(&b);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json_text");
	TCase *t = tcase_create("load");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(t, no_memory_loses_no_byte, 4, 40);
	tcase_add_loop_test(t, broken_texts, 0, (int)(sizeof bad_table / sizeof bad_table[0]));
	tcase_add_loop_test(t, floats_are_short, 0, (int)(sizeof float_table / sizeof float_table[0]));
	tcase_add_test(t, brackets_in_strings_are_no_depth);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
