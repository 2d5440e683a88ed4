/* Reports as documents: what hostile names cannot do, and that a picture shows what is there. */
#include "core/job/doc.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct pare_buf b;
static struct job_doc d;

static const char *text(void)
{
	job_doc_end(&d);
	ck_assert_int_eq(pare_buf_status(&b, NULL), PARE_OK);
	return b.data;
}

static void begin(enum job_doc_kind kind)
{
	pare_buf_init(&b, (size_t)1 << 20);
	job_doc_begin(&d, kind, &b, "T");
}

static int count(const char *hay, const char *needle)
{
	int n = 0;

	for (const char *p = hay; (p = strstr(p, needle)) != NULL; p += strlen(needle))
		n++;
	return n;
}

START_TEST(names_cannot_escape)
{
	static const char evil[] = "</td><script>alert(1)</script>|\nx`\"&\x1b";

	for (int kind = JOB_DOC_MARKDOWN; kind <= JOB_DOC_HTML; kind++) {
		begin((enum job_doc_kind)kind);
		job_doc_table(&d);
		job_doc_column(&d, false, "%s", evil);
		job_doc_cell(&d, "%s", evil);
		job_doc_table_end(&d);
		job_doc_text(&d, "%s", evil);
		job_doc_bars(&d, &(struct job_bars){.title = evil, .n = 1, .labels = (const char *const[]){evil}, .shares = (const double[]){0.5}});
		ck_assert_ptr_null(strstr(text(), kind == JOB_DOC_HTML ? "<script" : "|\nx"));
		ck_assert_ptr_null(strchr(b.data, 0x1b));
		if (kind == JOB_DOC_MARKDOWN)
			ck_assert_int_eq(count(b.data, "\n|"), 3); /* head, rule and the one row */
		pare_buf_done(&b);
	}
}
END_TEST

START_TEST(rows_end_by_themselves)
{
	begin(JOB_DOC_MARKDOWN);
	job_doc_table(&d);
	job_doc_column(&d, false, "a");
	job_doc_column(&d, true, "b");
	for (int i = 1; i <= 4; i++)
		job_doc_cell(&d, "%d", i);
	job_doc_table_end(&d);
	job_doc_table(&d);
	job_doc_column(&d, false, "empty");
	job_doc_table_end(&d);
	ck_assert_str_eq(text(), "# T\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n| 3 | 4 |\n\n| empty |\n| --- |\n\n");
	pare_buf_done(&b);
}
END_TEST

START_TEST(plots_draw_what_is_finite)
{
	double x[5] = {0, 1, 2, 3, 4}, y[5] = {1, NAN, 0.5, INFINITY, 0.25}, none[2] = {NAN, NAN};
	struct job_plot p = {.title = "loss", .x_label = "epochs", .y_label = "loss", .n_series = 1, .series = {{.label = "l", .x = x, .y = y, .n = 5, .dots = true}}};

	begin(JOB_DOC_HTML);
	job_doc_plot(&d, &p);
	ck_assert_int_eq(count(text(), "<circle"), 3);
	ck_assert_ptr_null(strstr(b.data, "nan"));
	ck_assert_ptr_null(strstr(b.data, "inf"));
	pare_buf_done(&b);
	begin(JOB_DOC_HTML);
	p.series[0] = (struct job_series){.label = "l", .x = x, .y = none, .n = 2};
	job_doc_plot(&d, &p);
	ck_assert_ptr_null(strstr(text(), "<svg"));
	pare_buf_done(&b);
}
END_TEST

START_TEST(long_runs_keep_their_outliers_and_stay_small)
{
	enum { N = 200000 };
	double *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
	struct job_plot p = {.title = "t", .x_label = "x", .y_label = "y", .n_series = 1};

	for (int i = 0; i < N; i++) {
		x[i] = i;
		y[i] = i == 123456 ? 100 : 1;
	}
	p.series[0] = (struct job_series){.label = "l", .x = x, .y = y, .n = N};
	begin(JOB_DOC_HTML);
	job_doc_plot(&d, &p);
	ck_assert_ptr_nonnull(strstr(text(), " 28.0L")); /* the top of the picture is reached */
	ck_assert_uint_lt(b.len, 100000);
	pare_buf_done(&b);
	free(x);
	free(y);
}
END_TEST

START_TEST(constant_and_single_points_have_a_picture)
{
	double x[1] = {3}, y[1] = {0};
	struct job_plot p = {.title = "t", .x_label = "x", .y_label = "y", .n_series = 1, .series = {{.label = "l", .x = x, .y = y, .n = 1, .dots = true}}};

	begin(JOB_DOC_HTML);
	job_doc_plot(&d, &p);
	ck_assert_int_eq(count(text(), "<circle"), 1);
	ck_assert_ptr_null(strstr(b.data, "nan"));
	pare_buf_done(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("doc");
	TCase *tc = tcase_create("doc");
	SRunner *r;
	int failed;

	tcase_add_test(tc, names_cannot_escape);
	tcase_add_test(tc, rows_end_by_themselves);
	tcase_add_test(tc, plots_draw_what_is_finite);
	tcase_add_test(tc, long_runs_keep_their_outliers_and_stay_small);
	tcase_add_test(tc, constant_and_single_points_have_a_picture);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
