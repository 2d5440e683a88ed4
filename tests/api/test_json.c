/* Members found in JSON text without a tree: wherever they stand, whatever stands around them, and never behind the end of a text that is broken. */
#include "api/json.h"
#include "api/priv.h"
#include "tests/api/harness.h"

static const struct {
	const char *object, *part, *without; /* of "layers" */
} member_table[] = {
    {"{\"layers\":[1,2],\"a\":3}", "[1,2]", "{\"a\":3}"},
    {"{\"a\":3,\"layers\":[1,2]}", "[1,2]", "{\"a\":3}"},
    {"{\"a\":3,\"layers\":[1,2],\"b\":{}}", "[1,2]", "{\"a\":3,\"b\":{}}"},
    {"{\"layers\":[1,2]}", "[1,2]", "{}"},
    {" { \"a\" : 3 , \"layers\" : [ 1 , 2 ] , \"b\" : 4 } ", "[ 1 , 2 ]", " { \"a\" : 3 ,  \"b\" : 4 } "},
    {"{\"a\":{\"layers\":[9]},\"b\":[\"layers\",{\"layers\":8}],\"layers\":7}", "7", "{\"a\":{\"layers\":[9]},\"b\":[\"layers\",{\"layers\":8}]}"},
    {"{\"a\":\"\\\"layers\\\":[1],}]\",\"layers\":\"x\\\\\",\"c\":\"}\"}", "\"x\\\\\"", "{\"a\":\"\\\"layers\\\":[1],}]\",\"c\":\"}\"}"},
    {"{\"layers\":null,\"layer\":1}", "null", "{\"layer\":1}"},
    {"{\"layer\":1,\"layerss\":2}", "[]", "{\"layer\":1,\"layerss\":2}"},
    {"{\"layers\":[{\"a\":[[]]},{}],\"b\":-1.5e3}", "[{\"a\":[[]]},{}]", "{\"b\":-1.5e3}"},
    {"{}", "[]", "{}"},
    {"[{\"layers\":1}]", "[]", "[{\"layers\":1}]"},
    {NULL, "[]", "null"},
    {"{\"layers\":[1,2", "[]", "{\"layers\":[1,2"},
    {"{\"layers\":\"x", "[]", "{\"layers\":\"x"},
    {"{\"layers\":\"x\\", "[]", "{\"layers\":\"x\\"},
    {"{\"layers\"", "[]", "{\"layers\""},
    {"{\"layers\":}", "[]", "{\"layers\":}"},
    {"{\"a\\", "[]", "{\"a\\"},
};

START_TEST(members_in_text)
{
	const char *object = member_table[_i].object;
	char text[512];
	struct pare_buf b;

	pare_buf_init(&b, 4096);
	api_json_open(&b, NULL, '{');
	api_json_part(&b, "p", object, "layers", "[]");
	api_json_without(&b, "w", object, "layers");
	api_json_close(&b, '}');
	ck_assert(!b.failed);
	(void)snprintf(text, sizeof text, "{\"p\":%s,\"w\":%s}", member_table[_i].part, member_table[_i].without);
	ck_assert_str_eq(b.data, text);
	pare_buf_done(&b);
}
END_TEST

/* Every beginning of a text is a broken text. */
START_TEST(cut_text_is_not_read_past_its_end)
{
	const char *object = member_table[_i].object;

	for (size_t n = 0; object != NULL && n < strlen(object); n++) {
		char *cut = pare_alloc(n + 1);
		struct pare_buf b;

		ck_assert_ptr_nonnull(cut);
		memcpy(cut, object, n);
		cut[n] = '\0';
		pare_buf_init(&b, 4096);
		api_json_part(&b, NULL, cut, "layers", NULL);
		api_json_without(&b, NULL, cut, "layers");
		ck_assert(!b.failed);
		pare_buf_done(&b);
		pare_free(cut);
	}
}
END_TEST

/* What is too large to be sent is nothing that the server could not do: a list's reader asked for too much at once. */
START_TEST(an_answer_has_an_end)
{
	struct api_exchange x = {.reply = {.fd = -1}};
	struct pare_err err;

	pare_buf_init(&x.out, 100);
	api_list_open(&x);
	for (int i = 0; i < 10; i++)
		api_json_str(&x.out, NULL, "more than fits");
	ck_assert_int_eq(api_reply_json(&x, 200, &err), PARE_E_BAD_REQUEST);
	ck_assert_ptr_nonnull(strstr(err.message, "limit"));
	pare_buf_done(&x.out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json text");
	TCase *t = tcase_create("members");
	int n = (int)(sizeof member_table / sizeof member_table[0]);

	tcase_add_loop_test(t, members_in_text, 0, n);
	tcase_add_loop_test(t, cut_text_is_not_read_past_its_end, 0, n);
	tcase_add_test(t, an_answer_has_an_end);
	suite_add_tcase(s, t);
	return run_suite(s);
}
