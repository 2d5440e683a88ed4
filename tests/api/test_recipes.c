/* Saved recipes over HTTP, and the jobs that name them. */
#include "tests/api/harness.h"

#define FILE_OF_OURS "{\"params\":{\"share\":{\"type\":\"number\",\"min\":0,\"max\":1,\"default\":0.5}},\"job\":{\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":{\"$param\":\"share\"}}}]}}}"
#define STEPS "{\"steps\":[{\"prune\":{\"sparsity\":0.25}}]}"

static struct world w;

static void setup(void)
{
	world_init(&w);
	world_start(&w);
}

static void teardown(void)
{
	world_done(&w);
}

static struct answer put(const char *target, const char *body)
{
	return request(&w, "PUT", target, H(JSON_TYPE), body, strlen(body));
}

static void save(const char *body, int version)
{
	struct answer a = post_json(&w, "/v1/recipes", body);

	assert_status(&a, 201);
	ck_assert_int_eq(json_integer_value(json_object_get(a.json, "version")), version);
	answer_done(&a);
}

START_TEST(versions_do_not_change)
{
	struct answer a;

	save("{\"name\":\"ours\",\"recipe\":" FILE_OF_OURS "}", 1);
	save("{\"name\":\"ours\",\"recipe\":" STEPS "}", 2);
	a = put("/v1/recipes/ours", "{\"recipe\":" STEPS "}");
	assert_status(&a, 200);
	answer_done(&a);
	a = put("/v1/recipes/ours@1", "{\"recipe\":" FILE_OF_OURS "}");
	assert_status(&a, 200);
	answer_done(&a);
	a = put("/v1/recipes/ours@1", "{\"recipe\":" STEPS "}");
	assert_problem(&a, 409, "conflict");
	answer_done(&a);
	a = put("/v1/recipes/ours@3", "{\"recipe\":" STEPS "}");
	assert_problem(&a, 404, "not_found");
	answer_done(&a);
	a = put("/v1/recipes/ours", "{\"recipe\":" FILE_OF_OURS "}");
	assert_status(&a, 201);
	answer_done(&a);
	a = get(&w, "/v1/recipes/ours@1");
	assert_status(&a, 200);
	ck_assert_ptr_nonnull(json_object_get(json_object_get(a.json, "recipe"), "params"));
	answer_done(&a);
	a = get(&w, "/v1/recipes?name=ours");
	ck_assert_int_eq((int)json_array_size(json_object_get(a.json, "data")), 3);
	answer_done(&a);
	a = request(&w, "DELETE", "/v1/recipes/ours@3", NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	save("{\"name\":\"ours\",\"recipe\":" STEPS "}", 4);
	refuses(&w, "GET", "/v1/recipes/ours@3", NULL, 404, "not_found");
}
END_TEST

START_TEST(conditions_hold_for_names)
{
	char etag[128];
	struct answer a = request(&w, "PUT", "/v1/recipes/ours", H(JSON_TYPE, "If-Match", "*"), "{\"recipe\":" STEPS "}", strlen("{\"recipe\":" STEPS "}"));

	assert_problem(&a, 412, "precondition_failed");
	answer_done(&a);
	for (int i = 0; i < 2; i++) { /* made once */
		a = request(&w, "PUT", "/v1/recipes/ours", H(JSON_TYPE, "If-None-Match", "*"), "{\"recipe\":" STEPS "}", strlen("{\"recipe\":" STEPS "}"));
		assert_status(&a, i == 0 ? 201 : 412);
		answer_done(&a);
	}
	a = get(&w, "/v1/recipes/ours");
	(void)snprintf(etag, sizeof etag, "%s", header(&a, "ETag"));
	answer_done(&a);
	for (int i = 0; i < 2; i++) { /* only from the version that was read */
		a = request(&w, "PUT", "/v1/recipes/ours", H(JSON_TYPE, "If-Match", etag), "{\"recipe\":" FILE_OF_OURS "}", strlen("{\"recipe\":" FILE_OF_OURS "}"));
		assert_status(&a, i == 0 ? 201 : 412);
		answer_done(&a);
	}
	refuses(&w, "DELETE", "/v1/recipes/ours", H("If-Match", etag), 412, "precondition_failed");
	a = request(&w, "DELETE", "/v1/recipes/ours@1", H("If-Match", etag), NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
}
END_TEST

START_TEST(built_in_ones_stay)
{
	struct answer a = post_json(&w, "/v1/recipes", "{\"name\":\"weight-magnitude\",\"recipe\":" STEPS "}");

	assert_problem(&a, 409, "conflict");
	answer_done(&a);
	a = put("/v1/recipes/weight-magnitude", "{\"recipe\":" STEPS "}");
	assert_problem(&a, 409, "conflict");
	answer_done(&a);
	refuses(&w, "DELETE", "/v1/recipes/weight-magnitude", NULL, 409, "conflict");
	a = get(&w, "/v1/recipes/weight-magnitude");
	assert_status(&a, 200);
	ck_assert(json_is_null(json_object_get(a.json, "id")));
	answer_done(&a);
}
END_TEST

static const struct {
	const char *body, *pointer;
} wrong_table[] = {
    {"{\"recipe\":" STEPS "}", "/name"},
    {"{\"name\":\"\",\"recipe\":" STEPS "}", "/name"},
    {"{\"name\":\"a/b\",\"recipe\":" STEPS "}", "/name"},
    {"{\"name\":\"..\",\"recipe\":" STEPS "}", "/name"},
    {"{\"name\":7,\"recipe\":" STEPS "}", "/name"},
    {"{\"name\":\"ours\"}", "/recipe"},
    {"{\"name\":\"ours\",\"recipe\":" STEPS ",\"colour\":1}", "/colour"},
    {"{\"name\":\"ours\",\"recipe\":{\"steps\":[{\"prune\":{\"sparsty\":1}}]}}", "/recipe/steps/0/prune/sparsty"},
    {"{\"name\":\"ours\",\"recipe\":{\"job\":{\"recipe\":{\"steps\":[{\"prune\":{\"sparsity\":7}}]}}}}", "/recipe/job/recipe/steps/0/prune/sparsity"},
};

START_TEST(wrong_ones_have_a_place)
{
	struct answer a = post_json(&w, "/v1/recipes", wrong_table[_i].body);

	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), wrong_table[_i].pointer);
	answer_done(&a);
}
END_TEST

START_TEST(jobs_keep_the_steps)
{
	char model[PARE_ID_MAX], dataset[PARE_ID_MAX], text[256], before[1024];
	struct answer a;

	make_model(&w, model);
	make_dataset(&w, dataset);
	save("{\"name\":\"ours\",\"recipe\":" FILE_OF_OURS "}", 1);
	a = post_json(&w, "/v1/jobs", "{\"model\":\"lenet\",\"dataset\":\"iris\",\"recipe\":\"ours@1\",\"params\":{\"share\":0.8}}");
	assert_status(&a, 201);
	(void)snprintf(text, sizeof text, "/v1/jobs/%s", text_at(a.json, "id"));
	ck_assert_str_eq(text_at(json_object_get(json_object_get(a.json, "request"), "recipe"), "name"), "ours@1");
	ck_assert_ptr_nonnull(strstr(a.body, "\"sparsity\":0.8"));
	(void)snprintf(before, sizeof before, "%s", strstr(a.body, "\"request\":"));
	answer_done(&a);
	a = request(&w, "DELETE", "/v1/recipes/ours@1", NULL, NULL, 0);
	assert_status(&a, 204);
	answer_done(&a);
	a = get(&w, text);
	ck_assert_int_eq(strncmp(strstr(a.body, "\"request\":"), before, 200), 0);
	answer_done(&a);
	a = post_json(&w, "/v1/jobs", "{\"model\":\"lenet\",\"dataset\":\"iris\",\"recipe\":\"ours@1\"}");
	assert_problem(&a, 422, "validation_failed");
	ck_assert_str_eq(text_at(json_array_get(json_object_get(a.json, "errors"), 0), "pointer"), "/recipe");
	answer_done(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("saved recipes");
	TCase *tc = tcase_create("recipes");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, versions_do_not_change);
	tcase_add_test(tc, conditions_hold_for_names);
	tcase_add_test(tc, built_in_ones_stay);
	tcase_add_loop_test(tc, wrong_ones_have_a_place, 0, (int)(sizeof wrong_table / sizeof wrong_table[0]));
	tcase_add_test(tc, jobs_keep_the_steps);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
