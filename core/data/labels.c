/* Labels of all files of a data set together, because a class must have one index in train and test.
 *
 * Numbers keep their value: label 3 is class 3 is output 3 of the model, even when no row has class 2; so a set whose
 * test file lacks a class still agrees with its training file. Texts are sorted by their bytes and numbered from 0.
 * What is not said by the user is decided by the values: integers (by type, or as written in a CSV) and whole floats in
 * [0, 65535] classify; fractions regress. Everything passes through double, exact for every label that can be a class. */
#include "core/data/data_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"

#define LABEL_MAX 256 /* bytes of a class name */

struct labels {
	struct pare_dataset *d;
	size_t n, width; /* rows, numbers a row */
	bool integer;    /* by type or as written */
	double *v;       /* n * width, NULL when texts */
};

/* The block and the row in it of a row of the set. */
static const struct data_block *block_of(const struct pare_dataset *d, size_t row, size_t *in_block)
{
	const struct data_block *b = d->blocks;

	while (row - b->first_row >= b->n_rows)
		b++;
	*in_block = row - b->first_row;
	return b;
}

static enum pare_code bad_label(const struct labels *l, size_t row, enum pare_code code, const char *what, struct pare_err *err)
{
	size_t in_block;
	const struct data_block *b = block_of(l->d, row, &in_block);
	char text[48];

	if (b->sx->table) {
		const char *s = data_texts_get(&b->sx->texts, in_block);

		return pare_err_set(err, code, b->sx->label, "line %u: the label \"%s\" %s", b->sx->texts.lines[in_block],
		    data_show(s, strlen(s), text, sizeof text), what);
	}
	return pare_err_set(err, code, b->sy->label, "row %zu (counted from 0): the label %g %s", in_block, l->v[row * l->width], what);
}

static bool written_as_integer(const char *s)
{
	int64_t v;

	return pare_parse_i64(s, strlen(s), INT64_MIN, INT64_MAX, &v);
}

/* Are the labels of the tables texts? If all are numbers, they are in l->v afterwards. A NaN among numbers is a missing
 * label; taking it for a text would turn all the others into texts, with other class indices. */
static enum pare_code texts_to_numbers(struct labels *l, bool *texts, struct pare_err *err)
{
	size_t missing = SIZE_MAX;

	*texts = false;
	l->integer = true;
	for (size_t row = 0; row < l->n && !*texts; row++) {
		size_t i;
		const struct data_block *b = block_of(l->d, row, &i);
		const char *s = data_texts_get(&b->sx->texts, i);

		if (pare_parse_double(s, strlen(s), &l->v[row]))
			l->integer = l->integer && written_as_integer(s);
		else if (data_means_nonfinite(s, strlen(s)))
			missing = missing < row ? missing : row;
		else
			*texts = true;
	}
	if (*texts || missing == SIZE_MAX)
		return PARE_OK;
	return bad_label(l, missing, PARE_E_NONFINITE, "is not a finite number, as the other labels are", err);
}

static enum pare_code array_to_numbers(struct labels *l, const struct data_block *b, struct pare_err *err)
{
	const struct data_array *a = &b->sy->a;
	struct data_source s = *b->sy;
	const uint8_t *p;
	enum pare_code rc;

	rc = data_array_prepare(l->d, &s, &p, err);
	if (rc != PARE_OK)
		return rc;
	a->type->read_double(p, b->n_rows * l->width, l->v + b->first_row * l->width);
	l->integer = l->integer && a->type->integer;
	return PARE_OK;
}

/* One number a row, or a table of targets; the same in every block. */
static enum pare_code label_width(struct labels *l, struct pare_err *err)
{
	char dims[160];

	l->width = 0;
	for (int g = 0; g < DATA_N_GROUPS; g++) {
		const struct data_block *b = &l->d->blocks[g];
		size_t w;

		if (b->n_rows == 0)
			continue;
		w = b->sx->table ? 1 : b->sy->a.n_elems / b->n_rows;
		if (!b->sx->table && (b->sy->a.n_dims > 2 || w == 0))
			return pare_err_set(err, PARE_E_DATASET, b->sy->label,
			    "labels must have shape [rows] or [rows, targets], these have %s",
			    data_show_dims(b->sy->a.dims, b->sy->a.n_dims, dims, sizeof dims));
		if (l->width != 0 && w != l->width)
			return pare_err_set(err, PARE_E_DATASET, b->sy->label,
			    "there are %zu labels a row here and %zu in another file of the set", w, l->width);
		l->width = w;
	}
	return PARE_OK;
}

static bool whole(double v)
{
	return v == floor(v);
}

static bool all_can_be_classes(const struct labels *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (!whole(l->v[i]) || l->v[i] < 0 || l->v[i] >= DATA_MAX_CLASSES)
			return false;
	return true;
}

static enum pare_code check_classes(const struct labels *l, struct pare_err *err)
{
	size_t i;

	if (l->width != 1)
		return pare_err_set(err, PARE_E_DATASET, block_of(l->d, 0, &i)->sy->label,
		    "classification needs one class number a row, there are %zu; for regression set the task", l->width);
	for (i = 0; i < l->n; i++) {
		if (!whole(l->v[i]))
			return bad_label(l, i, PARE_E_DATASET, "is not a class number; for regression set the task", err);
		if (l->v[i] < 0)
			return bad_label(l, i, PARE_E_DATASET, "is negative: classes are 0, 1, 2, ...; for regression set the task", err);
		if (l->v[i] >= DATA_MAX_CLASSES)
			return bad_label(l, i, PARE_E_DATASET,
			    "is beyond 65535, the largest class number; for regression set the task", err);
	}
	return PARE_OK;
}

static enum pare_code count_classes(struct pare_dataset *d, size_t n, size_t n_classes, struct pare_err *err)
{
	enum pare_code rc = data_own_alloc(d, n_classes, sizeof *d->class_counts, NULL, &d->class_counts, err);

	if (rc != PARE_OK)
		return rc;
	memset(d->class_counts, 0, n_classes * sizeof *d->class_counts);
	for (size_t i = 0; i < n; i++)
		d->class_counts[d->classes[i]]++;
	d->info.n_classes = (int)n_classes;
	d->info.class_counts = d->class_counts;
	d->info.class_names = d->class_names;
	return PARE_OK;
}

static enum pare_code name_numbers(struct pare_dataset *d, size_t n_classes, struct pare_err *err)
{
	enum { DIGITS = 8 };
	char *text;
	enum pare_code rc;

	if ((rc = data_own_alloc(d, n_classes, sizeof *d->class_names, NULL, &d->class_names, err)) != PARE_OK ||
	    (rc = data_own_alloc(d, n_classes, DIGITS, NULL, &text, err)) != PARE_OK)
		return rc;
	for (size_t i = 0; i < n_classes; i++) {
		snprintf(text + i * DIGITS, DIGITS, "%u", (unsigned)i & 0xffffu);
		d->class_names[i] = text + i * DIGITS;
	}
	return PARE_OK;
}

static enum pare_code numbers_to_classes(struct labels *l, struct pare_err *err)
{
	struct pare_dataset *d = l->d;
	size_t n_classes = 0;
	enum pare_code rc;

	if ((rc = check_classes(l, err)) != PARE_OK ||
	    (rc = data_own_alloc(d, l->n, sizeof *d->classes, NULL, &d->classes, err)) != PARE_OK)
		return rc;
	for (size_t i = 0; i < l->n; i++) {
		d->classes[i] = (int32_t)l->v[i];
		if ((size_t)d->classes[i] >= n_classes)
			n_classes = (size_t)d->classes[i] + 1;
	}
	rc = name_numbers(d, n_classes, err);
	return rc == PARE_OK ? count_classes(d, l->n, n_classes, err) : rc;
}

static enum pare_code numbers_to_targets(struct labels *l, struct pare_err *err)
{
	struct pare_dataset *d = l->d;
	enum pare_code rc = data_own_alloc(d, l->n * l->width, sizeof *d->targets, NULL, &d->targets, err);

	if (rc != PARE_OK)
		return rc;
	for (size_t i = 0; i < l->n * l->width; i++) {
		d->targets[i] = (float)l->v[i];
		if (!isfinite(d->targets[i]))
			return bad_label(l, i / l->width, PARE_E_NONFINITE, "is too large for a 32-bit float", err);
	}
	d->info.n_targets = (int)l->width;
	return PARE_OK;
}

static int by_text(const void *a, const void *b, void *ctx)
{
	const char *const *texts = ctx;

	return strcmp(texts[*(const uint32_t *)a], texts[*(const uint32_t *)b]);
}

/* Rejects what could not stand in a JSON report. */
static bool is_utf8(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;

	while (*p != 0) {
		int n = *p < 0x80 ? 0 : *p >= 0xc2 && *p < 0xe0 ? 1 : (*p & 0xf0) == 0xe0 ? 2 : *p >= 0xf0 && *p < 0xf5 ? 3 : -1;

		if (n < 0 || (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
		    (*p == 0xf4 && p[1] > 0x8f))
			return false;
		for (p++; n > 0; n--, p++)
			if ((*p & 0xc0) != 0x80)
				return false;
	}
	return true;
}

/* order: the rows sorted by text. Numbers the distinct ones; names gets one of each. */
static enum pare_code number_texts(struct labels *l, const char *const *texts, const uint32_t *order, const char **names,
    size_t *out_n, struct pare_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (i == 0 || strcmp(texts[order[i]], texts[order[i - 1]]) != 0) {
			if (n == DATA_MAX_CLASSES)
				return bad_label(l, order[i], PARE_E_DATASET,
				    "is one of more than 65536 different texts: is this the label column?", err);
			if (strlen(texts[order[i]]) > LABEL_MAX)
				return bad_label(l, order[i], PARE_E_DATASET, "is longer than 256 bytes: is this the label column?", err);
			if (!is_utf8(texts[order[i]]))
				return bad_label(l, order[i], PARE_E_DATASET, "is not UTF-8 text", err);
			names[n++] = texts[order[i]];
		}
		l->d->classes[order[i]] = (int32_t)(n - 1);
	}
	*out_n = n;
	return PARE_OK;
}

/* The texts die with their sources, so the distinct ones are copied. */
static enum pare_code keep_names(struct pare_dataset *d, const char **names, size_t n, struct pare_err *err)
{
	size_t bytes = 0;
	char *text;
	enum pare_code rc;

	for (size_t i = 0; i < n; i++)
		bytes += strlen(names[i]) + 1;
	if ((rc = data_own_alloc(d, n, sizeof *d->class_names, NULL, &d->class_names, err)) != PARE_OK ||
	    (rc = data_own_alloc(d, bytes, 1, NULL, &text, err)) != PARE_OK)
		return rc;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(names[i]) + 1;

		memcpy(text, names[i], len);
		d->class_names[i] = text;
		text += len;
	}
	return PARE_OK;
}

static enum pare_code texts_to_classes(struct labels *l, struct pare_err *err)
{
	struct pare_dataset *d = l->d;
	const char **texts = pare_calloc(l->n, sizeof *texts), **names = pare_calloc(l->n, sizeof *names);
	uint32_t *order = pare_calloc(l->n, sizeof *order);
	enum pare_code rc;
	size_t n = 0;

	if (texts == NULL || names == NULL || order == NULL) {
		rc = pare_err_nomem(err, 0);
		goto out;
	}
	rc = data_own_alloc(d, l->n, sizeof *d->classes, NULL, &d->classes, err);
	if (rc != PARE_OK)
		goto out;
	for (size_t row = 0; row < l->n; row++) {
		size_t i;
		const struct data_block *b = block_of(d, row, &i);

		texts[row] = data_texts_get(&b->sx->texts, i);
		order[row] = (uint32_t)row;
	}
	qsort_r(order, l->n, sizeof *order, by_text, texts);
	rc = number_texts(l, texts, order, names, &n, err);
	if (rc == PARE_OK)
		rc = keep_names(d, names, n, err);
	if (rc == PARE_OK)
		rc = count_classes(d, l->n, n, err);
out:
	pare_free(texts);
	pare_free(names);
	pare_free(order);
	return rc;
}

static enum pare_code not_a_number(struct labels *l, struct pare_err *err)
{
	double v;

	for (size_t row = 0; row < l->n; row++) {
		size_t i;
		const struct data_block *b = block_of(l->d, row, &i);
		const char *s = data_texts_get(&b->sx->texts, i);

		if (!pare_parse_double(s, strlen(s), &v))
			return bad_label(l, row, PARE_E_DATASET, "is not a number, which regression needs", err);
	}
	return PARE_OK;
}

static enum pare_code read_numbers(struct labels *l, bool *texts, struct pare_err *err)
{
	enum pare_code rc = PARE_OK;
	bool table = false;

	l->integer = true;
	for (int g = 0; g < DATA_N_GROUPS && rc == PARE_OK; g++) {
		const struct data_block *b = &l->d->blocks[g];

		if (b->n_rows > 0 && b->sx->table)
			table = true;
		else if (b->n_rows > 0)
			rc = array_to_numbers(l, b, err);
	}
	*texts = false;
	return rc == PARE_OK && table ? texts_to_numbers(l, texts, err) : rc;
}

enum pare_code data_labels_resolve(struct pare_dataset *d, const struct pare_data_options *opt, struct pare_err *err)
{
	struct labels l = {.d = d, .n = (size_t)d->info.n_rows};
	enum pare_task task;
	bool texts = false;
	size_t n;
	enum pare_code rc;

	rc = label_width(&l, err);
	if (rc != PARE_OK)
		return rc;
	if (l.width > INT32_MAX || !pare_mul_size(l.n, l.width, &n))
		return pare_err_set(err, PARE_E_DATASET, NULL, "%zu targets a row are too many", l.width);
	l.v = pare_calloc(n, sizeof *l.v);
	if (l.v == NULL)
		return pare_err_nomem(err, n * sizeof *l.v);
	rc = read_numbers(&l, &texts, err);
	if (rc != PARE_OK)
		goto out;
	task = PARE_TASK_REGRESS;
	if (texts || l.integer || (l.width == 1 && all_can_be_classes(&l)))
		task = PARE_TASK_CLASSIFY;
	if (opt->task_given)
		task = opt->task;
	d->info.task = task;
	if (task == PARE_TASK_REGRESS)
		rc = texts ? not_a_number(&l, err) : numbers_to_targets(&l, err);
	else
		rc = texts ? texts_to_classes(&l, err) : numbers_to_classes(&l, err);
out:
	pare_free(l.v);
	return rc;
}
