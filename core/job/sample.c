/* Some rows of a data set as JSON: the values as they stand in the files, before any normalisation, and what the labels mean. A reply is one line of the
 * protocol, so what is large is cut: fewer rows, and of one row that is too large alone its first values. */
#include <string.h>

#include "core/base/mem.h"
#include "core/job/job_priv.h"
#include "core/recipe/json_text.h"

#define MAX_VALUES ((size_t)65536) /* of all rows together */

static enum pare_code asked_rows(const struct job_worker *w, size_t *out, struct pare_err *err)
{
	const char *text = w->start.job != NULL ? w->start.job : "{}";
	json_t *root;
	enum pare_code code = pare_json_load(text, strlen(text), strlen(text), &root, NULL, err);
	int64_t n;

	if (code != PARE_OK)
		return code;
	n = json_integer_value(json_object_get(root, "rows"));
	json_decref(root);
	if (n < 1 || n > 1000)
		return pare_err_set(err, PARE_E_INVALID, "/rows", "rows must be a number from 1 to 1000");
	*out = (size_t)n;
	return PARE_OK;
}

/* Floats have few digits: as doubles they would show others that are not in the file. */
static void write_numbers(struct pare_buf *b, const struct pare_data_field *f, const double *v, size_t n)
{
	bool narrow = f->dtype == PARE_DT_FLOAT || f->dtype == PARE_DT_FLOAT16;

	pare_buf_str(b, "[");
	for (size_t i = 0; i < n; i++) {
		pare_json_sep(b);
		if (narrow)
			pare_json_float(b, (float)v[i]);
		else
			pare_json_num(b, v[i]);
	}
	pare_buf_str(b, "]");
}

static enum pare_code write_input(struct pare_buf *b, const struct pare_dataset *d, int x, uint32_t row, size_t cap, struct pare_err *err)
{
	const struct pare_data_field *f = &pare_data_info(d)->x[x];
	double *v = pare_calloc(f->row_elems, sizeof *v);

	if (v == NULL)
		return pare_err_nomem(err, f->row_elems * sizeof *v);
	pare_data_values(d, x, row, v);
	pare_json_sep(b);
	pare_buf_str(b, "{");
	pare_json_key_str(b, "name", f->name);
	pare_json_key(b, "values");
	write_numbers(b, f, v, f->row_elems < cap ? f->row_elems : cap);
	pare_json_key_bool(b, "cut", f->row_elems > cap);
	pare_buf_str(b, "}");
	pare_free(v);
	return PARE_OK;
}

static void write_class(struct pare_buf *b, const struct pare_data_field *f, int32_t c)
{
	pare_json_sep(b);
	if (c >= 0 && c < f->n_classes && f->class_names != NULL)
		pare_json_str(b, f->class_names[c]);
	else if (c >= 0)
		pare_json_int(b, c);
	else
		pare_buf_str(b, "null");
}

static enum pare_code write_target(struct pare_buf *b, const struct pare_dataset *d, int y, uint32_t row, size_t cap, struct pare_err *err)
{
	const struct pare_data_field *f = &pare_data_info(d)->y[y];
	size_t n = f->n_targets > 0 ? f->n_targets : f->row_elems > 0 ? f->row_elems : 1;
	void *v = pare_calloc(n, sizeof(double));

	if (v == NULL)
		return pare_err_nomem(err, n * sizeof(double));
	pare_json_sep(b);
	pare_buf_str(b, "{");
	pare_json_key_str(b, "name", f->name);
	pare_json_key(b, "values");
	if (f->n_targets > 0) {
		pare_data_target_values(d, y, row, v);
		write_numbers(b, f, v, n < cap ? n : cap);
	} else {
		pare_data_classes(d, y, &row, 1, v);
		pare_buf_str(b, "[");
		for (size_t i = 0; i < n && i < cap; i++)
			write_class(b, f, ((const int32_t *)v)[i]);
		pare_buf_str(b, "]");
	}
	pare_json_key_bool(b, "cut", n > cap);
	pare_buf_str(b, "}");
	pare_free(v);
	return PARE_OK;
}

static enum pare_code write_row(struct pare_buf *b, const struct pare_dataset *d, uint32_t row, size_t cap, struct pare_err *err)
{
	const struct pare_data_info *info = pare_data_info(d);
	enum pare_code code = PARE_OK;

	pare_json_sep(b);
	pare_buf_str(b, "{");
	pare_json_key_int(b, "row", row);
	pare_json_key(b, "inputs");
	pare_buf_str(b, "[");
	for (int i = 0; i < info->n_x && code == PARE_OK; i++)
		code = write_input(b, d, i, row, cap, err);
	pare_buf_str(b, "]");
	pare_json_key(b, "targets");
	pare_buf_str(b, "[");
	for (int i = 0; i < info->n_y && code == PARE_OK; i++)
		code = write_target(b, d, i, row, cap, err);
	pare_buf_str(b, "]}");
	return code;
}

/* Numbers in one row. */
static size_t row_values(const struct pare_data_info *info)
{
	size_t n = 0;

	for (int i = 0; i < info->n_x; i++)
		n += info->x[i].row_elems;
	for (int i = 0; i < info->n_y; i++)
		n += info->y[i].row_elems;
	return n > 0 ? n : 1;
}

static enum pare_code write_rows(struct pare_buf *b, struct pare_dataset *d, size_t n, struct pare_err *err)
{
	const struct pare_data_info *info = pare_data_info(d);
	size_t fit = MAX_VALUES / row_values(info), fields = (size_t)(info->n_x + info->n_y);
	enum pare_code code = PARE_OK;

	n = n < (size_t)info->n_rows ? n : (size_t)info->n_rows;
	n = n < fit ? n : fit > 0 ? fit : 1;
	pare_buf_str(b, "{");
	pare_json_key_int(b, "n_rows", info->n_rows);
	pare_json_key(b, "rows");
	pare_buf_str(b, "[");
	for (size_t i = 0; i < n && code == PARE_OK; i++)
		code = write_row(b, d, (uint32_t)i, MAX_VALUES / fields, err);
	pare_buf_str(b, "]}");
	return code;
}

enum pare_code job_sample_dataset(struct job_worker *w, struct job_answer *a, struct pare_err *err)
{
	struct pare_dataset *d = NULL;
	struct pare_job *options = NULL;
	const char *text = w->start.options != NULL ? w->start.options : "{}";
	size_t n = 0;
	enum pare_code code = asked_rows(w, &n, err);

	if (code == PARE_OK)
		code = pare_object_parse("data", text, strlen(text), &options, NULL, err);
	if (code == PARE_OK)
		code = job_open_data(w, pare_job_args(options), &d, err);
	if (code == PARE_OK)
		code = write_rows(&a->result, d, n, err);
	pare_data_free(d);
	pare_job_free(options);
	return code;
}
