/* The catalog says what may be asked for, the engine's tables hold what can be done: both must name the same methods. */
#include <check.h>
#include <string.h>

#include "core/job/job_priv.h"
#include "core/job/search_priv.h"
#include "core/prune/structures.h"
#include "tests/support/graph_builder.h"

static bool has_optimizer(const char *n) { return pare_optimizer_find(n) != NULL; }
static bool has_regularizer(const char *n) { return pare_regularizer_find(n) != NULL; }
static bool has_noise(const char *n) { return pare_noise_find(n) != NULL; }
static bool has_lr(const char *n) { return pare_lr_find(n) != NULL; }
static bool has_criterion(const char *n) { return pare_criterion_find(n) != NULL || pare_structure_criterion_find(n) != NULL; }
static bool has_schedule(const char *n) { return pare_schedule_find(n) != NULL; }
static bool has_step(const char *n) { return job_step_find(n) != NULL; }

static const struct {
	enum pare_method_kind kind;
	bool (*has)(const char *name);
} kinds[] = {
    {PARE_KIND_OPTIMIZER, has_optimizer},
    {PARE_KIND_NOISE, has_noise},
    {PARE_KIND_LR, has_lr},
    {PARE_KIND_REGULARIZER, has_regularizer},
    {PARE_KIND_CRITERION, has_criterion},
    {PARE_KIND_SCHEDULE, has_schedule},
    {PARE_KIND_STEP, has_step},
};

START_TEST(what_the_catalog_names_exists)
{
	int n = 0;

	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++)
		if (m->kind == kinds[_i].kind) {
			ck_assert_msg(kinds[_i].has(m->name), "the engine has no %s %s", pare_kind_name(m->kind), m->name);
			n++;
		}
	ck_assert_int_gt(n, 1);
}
END_TEST

START_TEST(what_exists_is_in_the_catalog)
{
	for (const struct pare_optimizer *o = pare_optimizer_table; o->name != NULL; o++)
		ck_assert_ptr_nonnull(pare_catalog_find(PARE_KIND_OPTIMIZER, o->name));
	for (const struct pare_noise_method *m = pare_noise_table; m->name != NULL; m++)
		ck_assert_ptr_nonnull(pare_catalog_find(PARE_KIND_NOISE, m->name));
	for (const struct pare_lr_schedule *l = pare_lr_table; l->name != NULL; l++)
		ck_assert_ptr_nonnull(pare_catalog_find(PARE_KIND_LR, l->name));
	for (const struct pare_criterion *c = pare_criterion_table; c->name != NULL; c++) {
		ck_assert_ptr_nonnull(pare_catalog_find(PARE_KIND_CRITERION, c->name));
		ck_assert_int_eq(c->thresholds, strcmp(c->name, "random") != 0); /* what rules.c assumes */
	}
	for (const struct pare_structure_criterion *c = pare_structure_criterion_table; c->name != NULL; c++) {
		ck_assert_ptr_nonnull(pare_catalog_find(PARE_KIND_CRITERION, c->name));
		ck_assert(pare_catalog_of_structures(pare_catalog_find(PARE_KIND_CRITERION, c->name)) == (pare_criterion_find(c->name) == NULL));
	}
	for (const struct pare_sparsity_schedule *s = pare_schedule_table; s->name != NULL; s++)
		ck_assert_ptr_nonnull(pare_catalog_find(PARE_KIND_SCHEDULE, s->name));
	for (const struct job_step *s = job_step_table; s->name != NULL; s++)
		ck_assert_ptr_nonnull(pare_catalog_find(PARE_KIND_STEP, s->name));
}
END_TEST

/* Nets that were exported in training mode behave elsewhere unlike here: the report says so. */
START_TEST(training_form_is_warned_of)
{
	static const float one[] = {1, 1};
	struct gb *b = gb_new(15);
	struct job_run r = {.model = NULL};
	int n = 0;

	gb_input(b, "x", "N 2");
	for (int i = 0; i < 4; i++)
		gb_init(b, (const char *[]){"s", "t", "m", "v"}[i], "2", one);
	gb_node(b, "BatchNormalization", "bn", "x s t m v", "y");
	if (_i == 1)
		gb_attr_int(b, "training_mode", 1);
	gb_output(b, "y");
	r.model = gb_model(b);
	for (int i = 0; job_warning(&r, i) != NULL; i++)
		n += strstr(job_warning(&r, i), "training_mode") != NULL;
	ck_assert_int_eq(n, _i);
	gb_free(b);
}
END_TEST

/* Time goes by the square of the number of layers, so of very many only some are measured. */
START_TEST(sensitivities_are_bounded)
{
	static const int most = 1 << 24;

	for (int n = 1; n <= 4096; n += 63)
		ck_assert_int_eq(job_sensitivity_stride(n), 1);
	for (int n = 4097; n < 1 << 24; n *= 3) {
		int stride = job_sensitivity_stride(n);

		ck_assert_int_gt(stride, 1);
		ck_assert_int_le((int64_t)n * (n / stride), most);
		ck_assert(n > 1 << 22 || (int64_t)n * (n / (stride - 1)) >= most - n);
	}
	ck_assert_int_eq(job_sensitivity_stride(40000), 96);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core/job/tables");
	TCase *t = tcase_create("tables");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, what_the_catalog_names_exists, 0, (int)(sizeof kinds / sizeof kinds[0]));
	tcase_add_test(t, what_exists_is_in_the_catalog);
	tcase_add_loop_test(t, training_form_is_warned_of, 0, 2);
	tcase_add_test(t, sensitivities_are_bounded);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
