/* Batches: gather rows, make floats, normalise. This runs in every training step, so the loops are plain ones
 * that the vectoriser takes, and 8-bit data, the usual case, becomes floats in one pass.
 *
 * x / 255 in 8 bits is computed as x c1 + x c2 with c1 + c2 = 1/255, c1 short enough that x c1 is exact: the same bits as
 * the division that users write (numpy's x.astype("float32") / 255), without dividing. A test holds all 256 values to it.
 *
 * STANDARD: mean and variance of the training rows in two passes with double sums of what differs from the first row, so large offsets do not
 * cancel; a feature that never changes gets std 1 and comes out as 0. Values that need not be floats (doubles, wide integers) are standardised
 * before they are rounded: seconds since 1970 as floats are two minutes apart. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/multiarch.h"
#include "core/data/data_priv.h"

#define AHEAD 2
#define PREFETCH_MAX ((size_t)4096)
#define TURNED ((size_t)1024) /* floats */
#define LABELS ((size_t)128)
#define WIDE ((size_t)128)
#define UNIT_HIGH 0x1.01p-8f    /* 257 / 65536 */
#define UNIT_LOW 0x1.010102p-24f /* 1/255 - UNIT_HIGH */

static const uint8_t *row_bytes(const struct data_field *f, size_t row, bool *swap)
{
	const struct data_chunk *c = data_chunk_of(f, row);

	*swap = c->swap;
	return c->p + (row - c->first_row) * c->stride;
}

PARE_MULTIARCH
static void unit_row(const uint8_t *restrict in, size_t n, float *restrict out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (float)in[i] * UNIT_HIGH + (float)in[i] * UNIT_LOW;
}

PARE_MULTIARCH
static void standard_row(float *restrict x, size_t n, const float *restrict mean, const float *restrict inv)
{
	for (size_t i = 0; i < n; i++)
		x[i] = (x[i] - mean[i]) * inv[i];
}

static void standard_wide(const struct data_field *f, const uint8_t *in, bool swap, size_t first, size_t n, float *out)
{
	double v[WIDE];

	for (size_t at = 0; at < n; at += WIDE) {
		size_t m = n - at < WIDE ? n - at : WIDE;

		data_read_doubles(f->type, swap, in + at * f->type->size, m, v);
		for (size_t i = 0; i < m; i++)
			out[at + i] = (float)((v[i] - f->mean[first + at + i]) / f->std[first + at + i]);
	}
}

/* Shuffled rows lie anywhere in the file: without this a batch waits for memory longer than it computes. */
static void prefetch(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && i < PREFETCH_MAX; i += 64)
		__builtin_prefetch(p + i);
}

/* Values first to first + n of a row. */
static void read_part(const struct data_field *f, const uint8_t *in, bool swap, size_t first, size_t n, float *out)
{
	in += first * f->type->size;
	if (f->norm == PARE_NORM_UNIT)
		unit_row(in, n, out);
	else if (f->norm == PARE_NORM_STANDARD && f->type->wide)
		standard_wide(f, in, swap, first, n, out);
	else
		data_read_floats(f->type, swap, in, n, out);
	if (f->norm == PARE_NORM_STANDARD && !f->type->wide)
		standard_row(out, n, f->shift + first, f->inv_std + first);
}

/* A row of [n_pixels, n_channels] comes out as [n_channels, n_pixels], some pixels at a time. */
static void read_turned(const struct data_field *f, const uint8_t *in, bool swap, float *out)
{
	size_t c = f->n_channels, most = c < TURNED ? TURNED / c : 1;
	float piece[TURNED];

	for (size_t p = 0; p < f->n_pixels; p += most) {
		size_t n = f->n_pixels - p < most ? f->n_pixels - p : most;

		for (size_t j = 0; j < c; j += TURNED) { /* once, unless there are very many channels */
			size_t k = c - j < TURNED ? c - j : TURNED;

			read_part(f, in, swap, p * c + j, n * k, piece);
			for (size_t i = 0; i < n * k; i++)
				out[(j + i % k) * f->n_pixels + p + i / k] = piece[i];
		}
	}
}

void pare_data_fill(const struct pare_dataset *d, int x, const uint32_t *rows, size_t n, float *out)
{
	const struct data_field *f = &d->x[x];
	size_t k = f->info->row_elems;
	bool swap, unused;

	data_touch_rows(d, f, rows, n);

	for (size_t i = 0; i < n; i++, out += k) {
		const uint8_t *in = row_bytes(f, rows[i], &swap);

		if (i + AHEAD < n)
			prefetch(row_bytes(f, rows[i + AHEAD], &unused), f->row_bytes);
		if (f->n_channels == 0)
			read_part(f, in, swap, 0, k, out);
		else
			read_turned(f, in, swap, out);
	}
}

static void read_values(const struct pare_dataset *d, const struct data_field *f, uint32_t row, double *out)
{
	const uint8_t *in;
	bool swap;

	data_touch_rows(d, f, &row, 1);
	in = row_bytes(f, row, &swap);
	data_read_doubles(f->type, swap, in, f->info->row_elems, out);
}

void pare_data_values(const struct pare_dataset *d, int x, uint32_t row, double *out)
{
	read_values(d, &d->x[x], row, out);
}

void pare_data_target_values(const struct pare_dataset *d, int y, uint32_t row, double *out)
{
	read_values(d, &d->y[y], row, out);
}

/* Labels row by row, a block at a time, as floats: exact for what can be a class. */
static void read_classes(const struct data_field *f, const uint8_t *in, bool swap, int32_t *out)
{
	size_t k = f->info->row_elems;
	float v[LABELS];

	for (size_t at = 0; at < k; at += LABELS) {
		size_t n = k - at < LABELS ? k - at : LABELS;

		data_read_floats(f->type, swap, in + at * f->type->size, n, v);
		for (size_t i = 0; i < n; i++)
			out[at + i] = v[i] < 0 || v[i] == (float)f->ignore ? -1 : (int32_t)v[i];
	}
}

void pare_data_classes(const struct pare_dataset *d, int y, const uint32_t *rows, size_t n, int32_t *out)
{
	const struct data_field *f = &d->y[y];
	bool swap;

	data_touch_rows(d, f, rows, n);
	for (size_t i = 0; i < n; i++, out += f->info->row_elems) {
		const uint8_t *in = row_bytes(f, rows[i], &swap);

		read_classes(f, in, swap, out);
	}
}

void pare_data_targets(const struct pare_dataset *d, int y, const uint32_t *rows, size_t n, float *out)
{
	const struct data_field *f = &d->y[y];
	bool swap;

	data_touch_rows(d, f, rows, n);
	for (size_t i = 0; i < n; i++, out += f->info->row_elems) {
		const uint8_t *in = row_bytes(f, rows[i], &swap);

		data_read_floats(f->type, swap, in, f->info->row_elems, out);
	}
}

int64_t pare_data_n_labels(const struct pare_dataset *d, int y, const uint32_t *rows, size_t n)
{
	const struct data_field *f = &d->y[y];
	size_t k = f->info->row_elems;
	int64_t sum = 0;
	float v[LABELS];
	bool swap;

	if (f->info->task != PARE_TASK_SEQUENCE)
		return (int64_t)n;
	if (f->info->n_ignored == 0)
		return (int64_t)(n * k);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *in = row_bytes(f, rows[i], &swap);

		for (size_t at = 0; at < k; at += LABELS) {
			size_t m = k - at < LABELS ? k - at : LABELS;

			data_read_floats(f->type, swap, in + at * f->type->size, m, v);
			for (size_t j = 0; j < m; j++)
				sum += !(v[j] < 0 || v[j] == (float)f->ignore);
		}
	}
	return sum;
}

/* sum[j] += x_j - from_j over the training rows, or its square. */
static void add_moments(const struct pare_dataset *d, const struct data_field *f, double *row, const double *from, bool squares, double *sum)
{
	size_t k = f->info->row_elems;
	uint32_t n;
	const uint32_t *rows = pare_data_rows(d, PARE_SPLIT_TRAIN, &n);
	bool swap;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *in = row_bytes(f, rows[i], &swap);

		data_touch(d, f->row_bytes);
		data_read_doubles(f->type, swap, in, k, row);
		for (size_t j = 0; j < k; j++)
			sum[j] += squares ? (row[j] - from[j]) * (row[j] - from[j]) : row[j] - from[j];
	}
}

static enum pare_code estimate(const struct pare_dataset *d, struct data_field *f, struct pare_err *err)
{
	size_t k = f->info->row_elems;
	double *work = pare_calloc(3 * k, sizeof *work), *sums = work != NULL ? work + k : NULL, *vars = work != NULL ? sums + k : NULL;
	uint32_t n;
	const uint32_t *rows = pare_data_rows(d, PARE_SPLIT_TRAIN, &n);
	const uint8_t *in;
	bool swap;

	if (work == NULL)
		return pare_err_nomem(err, 3 * k * sizeof *work);
	if (n == 0) {
		pare_free(work);
		return pare_err_set(err, PARE_E_DATASET, NULL, "there are no training rows to estimate mean and standard deviation from");
	}
	in = row_bytes(f, rows[0], &swap);
	data_read_doubles(f->type, swap, in, k, f->mean);
	add_moments(d, f, work, f->mean, false, sums);
	for (size_t j = 0; j < k; j++)
		f->mean[j] += sums[j] / n;
	add_moments(d, f, work, f->mean, true, vars);
	for (size_t j = 0; j < k; j++) {
		f->std[j] = sqrt(vars[j] / n);
		if (f->std[j] < FLT_MIN)
			f->std[j] = 1;
		f->shift[j] = (float)f->mean[j];
		f->inv_std[j] = 1 / (float)f->std[j];
	}
	pare_free(work);
	return PARE_OK;
}

static void forget_standard(struct data_field *f)
{
	pare_free(f->mean);
	pare_free(f->std);
	pare_free(f->shift);
	pare_free(f->inv_std);
	f->mean = f->std = NULL;
	f->shift = f->inv_std = NULL;
}

/* A failure changes nothing. */
static enum pare_code make_standard(const struct pare_dataset *d, struct data_field *f, struct pare_err *err)
{
	size_t k = f->info->row_elems;
	struct data_field new = *f;
	enum pare_code rc;

	new.mean = pare_calloc(k, sizeof *new.mean);
	new.std = pare_calloc(k, sizeof *new.std);
	new.shift = pare_calloc(k, sizeof *new.shift);
	new.inv_std = pare_calloc(k, sizeof *new.inv_std);
	if (new.mean == NULL || new.std == NULL || new.shift == NULL || new.inv_std == NULL)
		rc = pare_err_nomem(err, k * sizeof *new.mean);
	else
		rc = estimate(d, &new, err);
	if (rc != PARE_OK) {
		forget_standard(&new);
		return rc;
	}
	forget_standard(f);
	*f = new;
	return PARE_OK;
}

enum pare_code pare_data_normalize(struct pare_dataset *d, int x, enum pare_normalize how, struct pare_err *err)
{
	struct data_field *f = &d->x[x];

	if (how == PARE_NORM_AUTO)
		how = f->info->dtype == PARE_DT_UINT8 ? PARE_NORM_UNIT : PARE_NORM_NONE;
	if (how == PARE_NORM_UNIT && f->info->dtype != PARE_DT_UINT8)
		return pare_err_set(err, PARE_E_INVALID, NULL,
		    "normalization \"unit\" divides 8-bit data by 255, these data are %s: use \"standard\" or \"none\"", f->type->npy);
	if (how == PARE_NORM_STANDARD) {
		enum pare_code rc = make_standard(d, f, err);

		if (rc != PARE_OK)
			return rc;
	} else {
		forget_standard(f);
	}
	f->norm = how;
	return PARE_OK;
}

enum pare_normalize pare_data_normalization(const struct pare_dataset *d, int x)
{
	return d->x[x].norm;
}

const double *pare_data_mean(const struct pare_dataset *d, int x)
{
	return d->x[x].mean;
}

const double *pare_data_std(const struct pare_dataset *d, int x)
{
	return d->x[x].std;
}

enum pare_code pare_data_layout(struct pare_dataset *d, int x, enum pare_data_layout layout, struct pare_err *err)
{
	struct data_field *f = &d->x[x];
	const struct pare_data_field *info = f->info;
	char dims[160];

	f->n_channels = 0;
	if (layout == PARE_LAYOUT_KEEP)
		return PARE_OK;
	if (info->n_dims < 2)
		return pare_err_set(err, PARE_E_SHAPE, NULL, "rows of shape %s have no channels to move", data_show_dims(info->dims, info->n_dims, dims, sizeof dims));
	f->n_channels = layout == PARE_LAYOUT_TO_NCHW ? (size_t)info->dims[info->n_dims - 1] : info->row_elems / (size_t)info->dims[0];
	f->n_pixels = info->row_elems / f->n_channels;
	return PARE_OK;
}
