/* Recipes that are saved: what is right, and where what is wrong is wrong. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/recipe/recipe.h"

#define PRUNE "{\"prune\":{\"criterion\":\"magnitude\",\"sparsity\":0.5}}"
#define WITH "{\"prune\":{\"criterion\":\"magnitude\",\"sparsity\":{\"$param\":\"share\"}}}"
#define SHARE "\"params\":{\"share\":{\"type\":\"number\",\"min\":0,\"max\":1,\"default\":0.9}}"

static const struct {
	const char *text, *pointer; /* NULL: right */
} file_table[] = {
    {"{\"job\":{\"recipe\":{\"steps\":[" PRUNE "]}}}", NULL},
    {"{\"doc\":\"d\"," SHARE ",\"job\":{\"recipe\":{\"steps\":[" WITH "]},\"require\":{\"max_drop\":0.01}}}", NULL},
    {"[]", ""},
    {"{}", "/job"},
    {"{\"job\":{\"recipe\":\"weight-magnitude\"}}", "/job"},
    {"{\"job\":{\"recipe\":{\"steps\":[]}}}", "/job/recipe/steps"},
    {"{\"job\":{\"recipe\":{\"steps\":[{\"prune\":{\"sparsty\":0.5}}]}}}", "/job/recipe/steps/0/prune/sparsty"},
    {"{\"job\":{\"recipe\":{\"steps\":[" PRUNE "]},\"model\":\"mdl_1\"}}", "/job/model"},
    {"{\"job\":{\"recipe\":{\"steps\":[" PRUNE "]},\"webhook\":{\"url\":\"https://a.example/\"}}}", "/job/webhook"},
    {"{\"job\":{\"recipe\":{\"steps\":[" PRUNE "]}},\"colour\":1}", "/colour"},
    {"{\"job\":{\"recipe\":{\"steps\":[" WITH "]}}}", "/job/recipe/steps/0/prune/sparsity/$param"},
    {"{\"params\":{\"share\":{\"type\":\"text\",\"min\":0,\"max\":1}},\"job\":{\"recipe\":{\"steps\":[" PRUNE "]}}}", "/params/share/type"},
    {"{\"params\":{\"share\":{\"type\":\"number\",\"max\":1}},\"job\":{\"recipe\":{\"steps\":[" PRUNE "]}}}", "/params/share/min"},
    {"{\"params\":{\"share\":{\"type\":\"number\",\"min\":0,\"max\":9,\"default\":7}},\"job\":{\"recipe\":{\"steps\":[" WITH "]}}}", "/job/recipe/steps/0/prune/sparsity"},
};

START_TEST(files)
{
	struct pare_issues issues;
	struct pare_err err = {.code = PARE_OK};
	enum pare_code rc = pare_recipe_check(file_table[_i].text, strlen(file_table[_i].text), &issues, &err);

	if (file_table[_i].pointer == NULL) {
		ck_assert_msg(rc == PARE_OK, "%s: %s %s", file_table[_i].text, issues.list[0].pointer, issues.list[0].detail);
		return;
	}
	ck_assert_int_eq(rc, PARE_E_INVALID);
	ck_assert_str_eq(issues.list[0].pointer, file_table[_i].pointer);
}
END_TEST

START_TEST(what_is_built_in_could_be_saved)
{
	for (size_t i = 0; i < pare_recipes_count(); i++) {
		struct pare_issues issues;
		struct pare_err err;
		const char *text = pare_recipe_text_at(i);

		ck_assert_msg(pare_recipe_check(text, strlen(text), &issues, &err) == PARE_OK, "%s: %s: %s", pare_recipe_name_at(i), issues.list[0].pointer, issues.list[0].detail);
	}
}
END_TEST

static enum pare_code source(void *ctx, const char *name, char **out_text, char out_name[PARE_RECIPE_NAME_MAX], struct pare_err *err)
{
	if (strcmp(name, "broken") == 0)
		return pare_err_set(err, PARE_E_STORE, NULL, "the store failed");
	if (strcmp(name, "ours") != 0)
		return PARE_E_NOT_FOUND;
	memcpy(out_name, "ours@2", 7);
	*out_text = pare_strdup(ctx);
	return PARE_OK;
}

#define JOB(recipe) "{\"model\":\"mdl_1\",\"dataset\":\"dst_1\",\"recipe\":\"" recipe "\",\"params\":{\"share\":0.25}}"

START_TEST(jobs_name_them)
{
	static char file[] = "{" SHARE ",\"job\":{\"recipe\":{\"steps\":[" WITH "]}}}";
	const struct pare_recipe_source s = {.find = source, .ctx = file};
	struct pare_issues issues;
	struct pare_err err;
	struct pare_job *job;
	char *text, *again;

	ck_assert_int_eq(pare_job_parse_with(JOB("ours"), strlen(JOB("ours")), &s, &job, &issues, &err), PARE_OK);
	ck_assert_str_eq(pare_job_recipe_name(job), "ours@2");
	ck_assert_int_eq(pare_job_canonical(job, 1, 1, &text, &err), PARE_OK);
	pare_job_free(job);
	ck_assert_ptr_nonnull(strstr(text, "\"sparsity\":0.25"));
	/* the text needs no source any more */
	ck_assert_int_eq(pare_job_parse(text, strlen(text), &job, &issues, &err), PARE_OK);
	ck_assert_int_eq(pare_job_canonical(job, 1, 1, &again, &err), PARE_OK);
	ck_assert_str_eq(again, text);
	pare_job_free(job);
	pare_free(text);
	pare_free(again);
	ck_assert_int_eq(pare_job_parse_with(JOB("theirs"), strlen(JOB("theirs")), &s, &job, &issues, &err), PARE_E_INVALID);
	ck_assert_str_eq(issues.list[0].pointer, "/recipe");
	ck_assert_int_eq(pare_job_parse_with(JOB("broken"), strlen(JOB("broken")), &s, &job, &issues, &err), PARE_E_STORE);
	ck_assert_int_eq(pare_job_parse(JOB("ours"), strlen(JOB("ours")), &job, &issues, &err), PARE_E_INVALID);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("saved recipes");
	TCase *tc = tcase_create("saved");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, files, 0, (int)(sizeof file_table / sizeof file_table[0]));
	tcase_add_test(tc, what_is_built_in_could_be_saved);
	tcase_add_test(tc, jobs_name_them);
	suite_add_tcase(s, tc);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
