/* What the tests of core/data share: files and bytes to data sets. */
#ifndef TESTS_CORE_DATA_DATA_TESTING_H
#define TESTS_CORE_DATA_DATA_TESTING_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/data.h"

static inline struct pare_span slurp(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct pare_span s = {NULL, 0};
	long n;
	uint8_t *p;

	if (f == NULL)
		return s;
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	n = ftell(f);
	ck_assert_int_ge(n, 0);
	rewind(f);
	p = malloc((size_t)n + 1);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(fread(p, 1, (size_t)n, f), (size_t)n);
	fclose(f);
	s.data = p;
	s.len = (size_t)n;
	return s;
}

static inline void drop(struct pare_span s)
{
	free((void *)(uintptr_t)s.data);
}

static inline struct pare_span text(const char *s)
{
	return (struct pare_span){(const uint8_t *)s, strlen(s)};
}

static inline struct pare_dataset *must_open(const struct pare_data_file *files, int n, const struct pare_data_options *opt)
{
	struct pare_dataset *d = NULL;
	struct pare_err err = {.code = PARE_OK};
	enum pare_code rc = pare_data_open(files, n, opt, &d, &err);

	ck_assert_msg(rc == PARE_OK, "%s: %s", err.where, err.message);
	ck_assert_ptr_nonnull(d);
	return d;
}

/* Must fail with this code and say this. */
static inline void must_refuse(const struct pare_data_file *files, int n, const struct pare_data_options *opt, enum pare_code code,
    const char *says)
{
	struct pare_dataset *d = NULL;
	struct pare_err err = {.code = PARE_OK};
	enum pare_code rc = pare_data_open(files, n, opt, &d, &err);
	char all[PARE_ERR_MESSAGE_MAX + PARE_ERR_WHERE_MAX + 4];

	ck_assert_ptr_null(d);
	snprintf(all, sizeof all, "%s: %s", err.where, err.message);
	ck_assert_msg(rc == code, "expected %s, got %s (%s)", pare_code_string(code), pare_code_string(rc), all);
	ck_assert_int_eq(err.code, code);
	ck_assert_msg(strstr(all, says) != NULL, "\"%s\" does not say \"%s\"", all, says);
}

static inline void refuse_csv(const char *csv, enum pare_code code, const char *says)
{
	struct pare_data_file f = {.name = "t.csv", .bytes = text(csv)};

	must_refuse(&f, 1, NULL, code, says);
}

static inline struct pare_dataset *open_csv(const char *csv)
{
	struct pare_data_file f = {.name = "t.csv", .bytes = text(csv)};

	return must_open(&f, 1, NULL);
}

/* All rows of the set as the batch filler gives them. */
static inline void fill_all(const struct pare_dataset *d, float *out)
{
	const struct pare_data_info *info = pare_data_info(d);

	for (uint32_t i = 0; i < info->n_rows; i++)
		pare_data_fill(d, 0, &i, 1, out + i * info->x[0].row_elems);
}

static inline int32_t class_at(const struct pare_dataset *d, uint32_t row)
{
	int32_t c;

	pare_data_classes(d, 0, &row, 1, &c);
	return c;
}

#define PROGRAM(suite_name, ...) \
	int main(void) \
	{ \
		const TTest *const tests[] = {__VA_ARGS__}; \
		Suite *s = suite_create(suite_name); \
		TCase *c = tcase_create("all"); \
		SRunner *r; \
		int failed; \
\
		tcase_set_timeout(c, 60); \
		for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) \
			tcase_add_test(c, tests[i]); \
		suite_add_tcase(s, c); \
		r = srunner_create(s); \
		srunner_run_all(r, CK_NORMAL); \
		failed = srunner_ntests_failed(r); \
		srunner_free(r); \
		return failed != 0; \
	}

#endif
