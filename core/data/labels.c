/* What a y field means. All files of a data set are looked at together, because a class must have one index in train and
 * test.
 *
 * Numbers keep their value: label 3 is class 3 is output 3 of the model, even when no row has class 2; so a set whose
 * test file lacks a class still agrees with its training file. Texts are sorted by their bytes and numbered from 0.
 * What is not said by the user is decided by shape and values (data.h); where both readings are usual, as for a few columns of
 * 0 and 1 as integers, that is an error that asks. Labels stay where they are, in their file: a set of segmentation maps has as many of
 * them as it has pixels. Only texts and one-hot rows are turned into class numbers once. Everything passes through
 * double, exact for every label that can be a class. */
#include "core/data/data_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"

#define LABEL_MAX 256 /* bytes of a class name */
#define BLOCK ((size_t)256)

const char *const pare_task_names[PARE_N_TASKS] = {
    [PARE_TASK_CLASSIFY] = "classify",
    [PARE_TASK_REGRESS] = "regress",
    [PARE_TASK_MULTILABEL] = "multilabel",
    [PARE_TASK_SEQUENCE] = "sequence",
};

/* The first value with a property. */
struct finding {
	bool any;
	size_t row;
	double v;
};

struct labels {
	struct pare_dataset *d;
	struct data_field *y;
	size_t n, width; /* rows, numbers a row */
	bool integer;    /* by type or as written */
	struct finding fraction, negative, large, not_truth, not_one_hot;
	double max; /* of what may be a class and is not ignored */
	int64_t n_ignored, n_ones; /* ones: of the row under way */
};

static enum pare_code bad_label(const struct labels *l, size_t row, double v, enum pare_code code, const char *what, struct pare_err *err)
{
	const struct data_chunk *c = data_chunk_of(l->y, row);
	char text[48];

	if (c->src->table) {
		const char *s = data_texts_get(&c->src->texts, row - c->first_row);

		return pare_err_set(err, code, c->src->label, "line %u: the label \"%s\" %s", c->src->texts.lines[row - c->first_row],
		    data_show(s, strlen(s), text, sizeof text), what);
	}
	return pare_err_set(err, code, c->src->label, "row %zu (counted from 0): the label %g %s", row - c->first_row, v, what);
}

static const char *text_of(const struct labels *l, size_t row)
{
	const struct data_chunk *c = data_chunk_of(l->y, row);

	return data_texts_get(&c->src->texts, row - c->first_row);
}

static bool written_as_integer(const char *s)
{
	int64_t v;

	return pare_parse_i64(s, strlen(s), INT64_MIN, INT64_MAX, &v);
}

/* --- numbers */

/* Calls visit with all values, a piece of a row at a time. */
static void each_value(struct labels *l, void (*visit)(struct labels *l, size_t row, size_t at, const double *v, size_t n))
{
	const struct data_field *y = l->y;
	double v[BLOCK];

	for (size_t k = 0; k < y->n_chunks; k++)
		for (size_t r = 0; r < y->chunks[k].n_rows; r++)
			for (size_t i = 0; i < l->width; i += BLOCK) {
				size_t n = l->width - i < BLOCK ? l->width - i : BLOCK;

				data_touch(l->d, n * y->type->size);
				data_read_doubles(y->type, y->chunks[k].swap, y->chunks[k].p + r * y->chunks[k].stride + i * y->type->size, n, v);
				visit(l, y->chunks[k].first_row + r, i, v, n);
			}
}

static bool whole(double v)
{
	return v == floor(v);
}

static bool ignored(const struct data_field *y, double v)
{
	return v < 0 || v == (double)y->ignore;
}

static void note(struct finding *f, bool is, size_t row, double v)
{
	if (is && !f->any)
		*f = (struct finding){true, row, v};
}

static void look(struct labels *l, size_t row, size_t at, const double *v, size_t n)
{
	if (at == 0)
		l->n_ones = 0;
	for (size_t i = 0; i < n; i++) {
		bool out = ignored(l->y, v[i]);

		note(&l->fraction, !whole(v[i]), row, v[i]);
		note(&l->negative, v[i] < 0, row, v[i]);
		note(&l->large, v[i] >= DATA_MAX_CLASSES && !out, row, v[i]);
		note(&l->not_truth, v[i] != 0 && v[i] != 1, row, v[i]);
		l->n_ignored += out;
		l->n_ones += v[i] == 1;
		if (!out && v[i] > l->max)
			l->max = v[i];
	}
	if (at + n == l->width)
		note(&l->not_one_hot, l->n_ones != 1, row, (double)l->n_ones);
}

static void count(struct labels *l, size_t row, size_t at, const double *v, size_t n)
{
	(void)row;
	(void)at;
	for (size_t i = 0; i < n; i++)
		if (!ignored(l->y, v[i]))
			l->y->class_counts[(size_t)v[i]]++;
}

static enum pare_code name_numbers(struct labels *l, size_t n_classes, struct pare_err *err)
{
	enum { DIGITS = 8 };
	char *text;
	enum pare_code rc;

	if ((rc = data_own_alloc(l->d, n_classes, sizeof *l->y->class_names, NULL, &l->y->class_names, err)) != PARE_OK ||
	    (rc = data_own_alloc(l->d, n_classes, DIGITS, NULL, &text, err)) != PARE_OK)
		return rc;
	for (size_t i = 0; i < n_classes; i++) {
		snprintf(text + i * DIGITS, DIGITS, "%u", (unsigned)i & 0xffffu);
		l->y->class_names[i] = text + i * DIGITS;
	}
	return PARE_OK;
}

static enum pare_code count_classes(struct labels *l, size_t n_classes, struct pare_err *err)
{
	struct data_field *y = l->y;
	enum pare_code rc = data_own_alloc(l->d, n_classes, sizeof *y->class_counts, NULL, &y->class_counts, err);

	if (rc != PARE_OK)
		return rc;
	memset(y->class_counts, 0, n_classes * sizeof *y->class_counts);
	each_value(l, count);
	y->info->n_classes = (int)n_classes;
	y->info->class_counts = y->class_counts;
	y->info->class_names = y->class_names;
	return PARE_OK;
}

/* Values in memory, one a row, take the place of what the files have. */
static void adopt(struct labels *l, const struct data_type *type, const void *values)
{
	struct data_field *y = l->y;

	for (size_t k = 0; k < y->n_chunks; k++) {
		y->chunks[k].p = (const uint8_t *)values + y->chunks[k].first_row * type->size;
		y->chunks[k].stride = type->size;
		y->chunks[k].swap = false;
	}
	y->type = type;
	y->row_bytes = type->size;
	y->info->dtype = type->dtype;
	y->info->row_elems = 1;
	y->info->n_dims = 1;
	y->info->dims[0] = 1;
	l->width = 1;
}

static enum pare_code one_hot_to_classes(struct labels *l, struct pare_err *err)
{
	const struct data_field *y = l->y;
	double *v = pare_calloc(l->width, sizeof *v);
	int32_t *classes = NULL;
	enum pare_code rc = v != NULL ? data_own_alloc(l->d, l->n, sizeof *classes, NULL, &classes, err) : pare_err_nomem(err, 0);

	for (size_t row = 0; row < l->n && rc == PARE_OK; row++) {
		const struct data_chunk *c = data_chunk_of(y, row);
		int32_t k = 0;

		data_read_doubles(y->type, c->swap, c->p + (row - c->first_row) * c->stride, l->width, v);
		while (v[k] != 1)
			k++;
		classes[row] = k;
	}
	pare_free(v);
	if (rc == PARE_OK)
		adopt(l, data_type_int32(), classes);
	return rc;
}

static enum pare_code to_classes(struct labels *l, struct pare_err *err)
{
	size_t n_classes = l->width > 1 ? l->width : (size_t)l->max + 1;
	enum pare_code rc = l->width > 1 ? one_hot_to_classes(l, err) : PARE_OK;

	if (rc == PARE_OK)
		rc = name_numbers(l, n_classes, err);
	return rc == PARE_OK ? count_classes(l, n_classes, err) : rc;
}

static const char *label_of(const struct labels *l)
{
	return l->y->chunks[0].src->label;
}

/* --- what each task asks of the numbers */

static enum pare_code resolve_classify(struct labels *l, struct pare_err *err)
{
	if (l->width > 1 && l->not_one_hot.any)
		return pare_err_set(err, PARE_E_DATASET, label_of(l),
		    "classification needs one class number a row or a one-hot row, there are %zu numbers; for regression, multilabel or sequence set the task", l->width);
	if (l->width > 1 && l->not_truth.any)
		return bad_label(l, l->not_truth.row, l->not_truth.v, PARE_E_DATASET, "is neither 0 nor 1, as a one-hot row needs", err);
	if (l->fraction.any)
		return bad_label(l, l->fraction.row, l->fraction.v, PARE_E_DATASET, "is not a class number; for regression set the task", err);
	if (l->negative.any)
		return bad_label(l, l->negative.row, l->negative.v, PARE_E_DATASET, "is negative: classes are 0, 1, 2, ...; for regression set the task", err);
	if (l->large.any)
		return bad_label(l, l->large.row, l->large.v, PARE_E_DATASET, "is beyond 65535, the largest class number; for regression set the task", err);
	return to_classes(l, err);
}

static enum pare_code resolve_sequence(struct labels *l, struct pare_err *err)
{
	size_t n_classes = (size_t)l->max + 1;
	enum pare_code rc;

	if (l->fraction.any)
		return bad_label(l, l->fraction.row, l->fraction.v, PARE_E_DATASET, "is not a class number, which every position of a sequence or map needs", err);
	if (l->large.any)
		return bad_label(l, l->large.row, l->large.v, PARE_E_DATASET, "is beyond 65535, the largest class number", err);
	if ((size_t)l->n_ignored == l->n * l->width)
		return pare_err_set(err, PARE_E_DATASET, label_of(l), "no position has a label: all are negative or the one to ignore");
	l->y->info->n_ignored = l->n_ignored;
	rc = name_numbers(l, n_classes, err);
	return rc == PARE_OK ? count_classes(l, n_classes, err) : rc;
}

static enum pare_code resolve_multilabel(struct labels *l, struct pare_err *err)
{
	if (l->not_truth.any)
		return bad_label(l, l->not_truth.row, l->not_truth.v, PARE_E_DATASET, "is neither 0 nor 1, which multilabel needs", err);
	l->y->info->n_targets = l->width;
	return PARE_OK;
}

static enum pare_code resolve_regress(struct labels *l, struct pare_err *err)
{
	for (size_t k = 0; k < l->y->n_chunks && l->y->chunks[k].src->table; k++)
		for (size_t r = 0; r < l->y->chunks[k].n_rows; r++) {
			double v = ((const double *)(const void *)l->y->chunks[k].p)[r];

			if (!isfinite((float)v))
				return bad_label(l, l->y->chunks[k].first_row + r, v, PARE_E_NONFINITE, "is too large for a 32-bit float", err);
		}
	l->y->info->n_targets = l->width;
	return PARE_OK;
}

static enum pare_code (*const resolve_table[PARE_N_TASKS])(struct labels *l, struct pare_err *err) = {
    [PARE_TASK_CLASSIFY] = resolve_classify,
    [PARE_TASK_REGRESS] = resolve_regress,
    [PARE_TASK_MULTILABEL] = resolve_multilabel,
    [PARE_TASK_SEQUENCE] = resolve_sequence,
};

/* What shape and values say when the user does not. */
static enum pare_code guess_task(const struct labels *l, enum pare_task *task, struct pare_err *err)
{
	bool classes = !l->fraction.any && !l->negative.any && !l->large.any;

	if (l->width == 1)
		*task = l->integer || classes ? PARE_TASK_CLASSIFY : PARE_TASK_REGRESS;
	else if (l->y->info->n_dims > 1)
		*task = l->integer ? PARE_TASK_SEQUENCE : PARE_TASK_REGRESS;
	else if (!l->not_truth.any && !l->not_one_hot.any)
		*task = PARE_TASK_CLASSIFY;
	else if (l->not_truth.any)
		*task = l->integer ? PARE_TASK_SEQUENCE : PARE_TASK_REGRESS;
	else if (!l->integer || l->y->type->dtype == PARE_DT_BOOL)
		*task = PARE_TASK_MULTILABEL;
	else
		return pare_err_set(err, PARE_E_DATASET, label_of(l),
		    "%zu integers of 0 and 1 a row can be %zu labels that hold or not, or classes of %zu positions: set the task to multilabel or sequence", l->width, l->width, l->width);
	return PARE_OK;
}

/* --- texts */

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
static enum pare_code number_texts(struct labels *l, const char *const *texts, const uint32_t *order, int32_t *classes, const char **names,
    size_t *out_n, struct pare_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (i == 0 || strcmp(texts[order[i]], texts[order[i - 1]]) != 0) {
			if (n == DATA_MAX_CLASSES)
				return bad_label(l, order[i], 0, PARE_E_DATASET,
				    "is one of more than 65536 different texts: is this the label column?", err);
			if (strlen(texts[order[i]]) > LABEL_MAX)
				return bad_label(l, order[i], 0, PARE_E_DATASET, "is longer than 256 bytes: is this the label column?", err);
			if (!is_utf8(texts[order[i]]))
				return bad_label(l, order[i], 0, PARE_E_DATASET, "is not UTF-8 text", err);
			names[n++] = texts[order[i]];
		}
		classes[order[i]] = (int32_t)(n - 1);
	}
	*out_n = n;
	return PARE_OK;
}

/* The texts die with their sources, so the distinct ones are copied. */
static enum pare_code keep_names(struct labels *l, const char **names, size_t n, struct pare_err *err)
{
	size_t bytes = 0;
	char *text;
	enum pare_code rc;

	for (size_t i = 0; i < n; i++)
		bytes += strlen(names[i]) + 1;
	if ((rc = data_own_alloc(l->d, n, sizeof *l->y->class_names, NULL, &l->y->class_names, err)) != PARE_OK ||
	    (rc = data_own_alloc(l->d, bytes, 1, NULL, &text, err)) != PARE_OK)
		return rc;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(names[i]) + 1;

		memcpy(text, names[i], len);
		l->y->class_names[i] = text;
		text += len;
	}
	return PARE_OK;
}

static enum pare_code texts_to_classes(struct labels *l, struct pare_err *err)
{
	const char **texts = pare_calloc(l->n, sizeof *texts), **names = pare_calloc(l->n, sizeof *names);
	uint32_t *order = pare_calloc(l->n, sizeof *order);
	int32_t *classes;
	enum pare_code rc;
	size_t n = 0;

	if (texts == NULL || names == NULL || order == NULL) {
		rc = pare_err_nomem(err, 0);
		goto out;
	}
	rc = data_own_alloc(l->d, l->n, sizeof *classes, NULL, &classes, err);
	if (rc != PARE_OK)
		goto out;
	for (size_t row = 0; row < l->n; row++) {
		texts[row] = text_of(l, row);
		order[row] = (uint32_t)row;
	}
	qsort_r(order, l->n, sizeof *order, by_text, texts);
	rc = number_texts(l, texts, order, classes, names, &n, err);
	if (rc == PARE_OK)
		rc = keep_names(l, names, n, err);
	if (rc != PARE_OK)
		goto out;
	adopt(l, data_type_int32(), classes);
	rc = count_classes(l, n, err);
out:
	pare_free(texts);
	pare_free(names);
	pare_free(order);
	return rc;
}

/* Are the labels of a table numbers? Then they are doubles from here on. A NaN among numbers is a missing label; taking it for
 * a text would turn all the others into texts, with other class indices. */
static enum pare_code texts_to_numbers(struct labels *l, size_t *first_text, struct pare_err *err)
{
	size_t missing = SIZE_MAX;
	double *v;
	enum pare_code rc = data_own_alloc(l->d, l->n, sizeof *v, NULL, &v, err);

	if (rc != PARE_OK)
		return rc;
	*first_text = SIZE_MAX;
	l->integer = true;
	for (size_t row = 0; row < l->n && *first_text == SIZE_MAX; row++) {
		const char *s = text_of(l, row);

		if (pare_parse_double(s, strlen(s), &v[row]))
			l->integer = l->integer && written_as_integer(s);
		else if (data_means_nonfinite(s, strlen(s)))
			missing = missing < row ? missing : row;
		else
			*first_text = row;
	}
	if (*first_text != SIZE_MAX)
		return PARE_OK;
	if (missing != SIZE_MAX)
		return bad_label(l, missing, 0, PARE_E_NONFINITE, "is not a finite number, as the other labels are", err);
	adopt(l, data_type_double(), v);
	return PARE_OK;
}

static enum pare_code resolve_texts(struct labels *l, size_t first_text, const struct pare_data_options *opt, struct pare_err *err)
{
	if (opt->task_given && opt->task == PARE_TASK_REGRESS)
		return bad_label(l, first_text, 0, PARE_E_DATASET, "is not a number, which regression needs", err);
	if (opt->task_given && opt->task != PARE_TASK_CLASSIFY)
		return bad_label(l, first_text, 0, PARE_E_DATASET, "is not a number; texts are labels for classification", err);
	l->y->info->task = PARE_TASK_CLASSIFY;
	return texts_to_classes(l, err);
}

enum pare_code data_labels_resolve(struct pare_dataset *d, struct data_field *y, const struct pare_data_options *opt, struct pare_err *err)
{
	struct labels l = {.d = d, .y = y, .n = (size_t)d->info.n_rows, .width = y->info->row_elems};
	enum pare_task task = opt->task;
	size_t first_text = SIZE_MAX;
	enum pare_code rc = PARE_OK;

	if (l.width > INT32_MAX)
		return pare_err_set(err, PARE_E_DATASET, label_of(&l), "%zu labels a row are too many", l.width);
	y->ignore = opt->ignore_given ? opt->ignore : -1;
	if (y->texts) {
		rc = texts_to_numbers(&l, &first_text, err);
		if (rc == PARE_OK && first_text != SIZE_MAX)
			return resolve_texts(&l, first_text, opt, err);
	} else {
		l.integer = y->type->integer;
		for (size_t k = 0; k < y->n_chunks && rc == PARE_OK; k++)
			rc = data_chunk_finite(d, &y->chunks[k], y->type, l.width, err);
	}
	if (rc != PARE_OK)
		return rc;
	each_value(&l, look);
	if (!opt->task_given)
		rc = guess_task(&l, &task, err);
	y->info->task = task;
	return rc == PARE_OK ? resolve_table[task](&l, err) : rc;
}
