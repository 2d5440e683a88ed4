/* Sparsity schedules: end points, monotony, the published values; and that the tables and the catalog name the same
 * criteria and schedules. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/prune/prune.h"
#include "core/prune/structures.h"
#include "core/recipe/catalog.h"

START_TEST(schedules_start_end_and_rise)
{
	for (const struct pare_sparsity_schedule *s = pare_schedule_table; s->name != NULL; s++)
		for (int n = 1; n <= 40; n++) {
			double before = 0.1;

			ck_assert_msg(s->at(0.1, 0.93, 0, n) == 0.1, "%s", s->name);
			ck_assert_msg(s->at(0.1, 0.93, n, n) == 0.93, "%s", s->name);
			for (int i = 1; i <= n; i++) {
				double now = s->at(0.1, 0.93, i, n);

				ck_assert_msg(now >= before && now <= 0.93, "%s %d of %d: %g after %g", s->name, i, n, now, before);
				before = now;
			}
		}
}
END_TEST

START_TEST(schedules_take_their_published_values)
{
	const struct pare_sparsity_schedule *cubic = pare_schedule_find("cubic"), *linear = pare_schedule_find("linear");

	ck_assert_double_eq_tol(cubic->at(0.0, 0.8, 1, 2), 0.8 - 0.8 * 0.125, 1e-15);
	ck_assert_double_eq_tol(cubic->at(0.2, 0.9, 3, 4), 0.9 - 0.7 / 64.0, 1e-15);
	ck_assert_double_eq_tol(linear->at(0.2, 0.9, 3, 4), 0.725, 1e-15);
	ck_assert_double_eq(pare_schedule_find("one_shot")->at(0.2, 0.9, 1, 4), 0.9);
	ck_assert_ptr_null(pare_schedule_find("cubicle"));
}
END_TEST

START_TEST(catalog_and_tables_name_the_same)
{
	int n_catalog = 0, n_table = 0;

	for (const struct pare_method *m = pare_catalog; m->name != NULL; m++) {
		if (m->kind == PARE_KIND_CRITERION)
			ck_assert_msg((pare_criterion_find(m->name) != NULL || pare_structure_criterion_find(m->name) != NULL), "criterion %s has no code", m->name);
		if (m->kind == PARE_KIND_SCHEDULE)
			ck_assert_msg(pare_schedule_find(m->name) != NULL, "schedule %s has no code", m->name);
		n_catalog += m->kind == PARE_KIND_CRITERION || m->kind == PARE_KIND_SCHEDULE;
	}
	for (const struct pare_criterion *c = pare_criterion_table; c->name != NULL; c++, n_table++)
		ck_assert_msg(pare_catalog_find(PARE_KIND_CRITERION, c->name) != NULL, "criterion %s is not in the catalog", c->name);
	for (const struct pare_structure_criterion *c = pare_structure_criterion_table; c->name != NULL; c++)
		n_table += pare_criterion_find(c->name) == NULL;
	for (const struct pare_sparsity_schedule *c = pare_schedule_table; c->name != NULL; c++, n_table++)
		ck_assert_msg(pare_catalog_find(PARE_KIND_SCHEDULE, c->name) != NULL, "schedule %s is not in the catalog", c->name);
	ck_assert_int_eq(n_catalog, n_table);
	ck_assert_int_ge(n_table, 5);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("schedules");
	TCase *tc = tcase_create("schedules");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, schedules_start_end_and_rise);
	tcase_add_test(tc, schedules_take_their_published_values);
	tcase_add_test(tc, catalog_and_tables_name_the_same);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
