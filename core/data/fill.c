/* Batches: gather rows, make floats, normalise. This runs in every training step, so the loops are plain ones
 * that the vectoriser takes, and 8-bit data, the usual case, becomes floats in one pass.
 *
 * x / 255 in 8 bits is computed as x c1 + x c2 with c1 + c2 = 1/255, c1 short enough that x c1 is exact: the same bits as
 * the division that users write (numpy's x.astype("float32") / 255), without dividing. A test holds all 256 values to it.
 *
 * STANDARD: mean and variance of the training rows in two passes with double sums, so large offsets do not cancel; a
 * feature that never changes gets std 1 and comes out as 0. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/multiarch.h"
#include "core/data/data_priv.h"

#define AHEAD 2
#define PREFETCH_MAX ((size_t)4096)
#define UNIT_HIGH 0x1.01p-8f    /* 257 / 65536 */
#define UNIT_LOW 0x1.010102p-24f /* 1/255 - UNIT_HIGH */

static const uint8_t *row_bytes(const struct pare_dataset *d, size_t row)
{
	const struct data_block *b = d->blocks;

	while (row - b->first_row >= b->n_rows)
		b++;
	return b->x + (row - b->first_row) * d->row_bytes;
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

/* Shuffled rows lie anywhere in the file: without this a batch waits for memory longer than it computes. */
static void prefetch(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && i < PREFETCH_MAX; i += 64)
		__builtin_prefetch(p + i);
}

void pare_data_fill(const struct pare_dataset *d, const uint32_t *rows, size_t n, float *out)
{
	size_t k = d->info.row_elems;

	for (size_t i = 0; i < n; i++, out += k) {
		const uint8_t *in = row_bytes(d, rows[i]);

		if (i + AHEAD < n)
			prefetch(row_bytes(d, rows[i + AHEAD]), d->row_bytes);
		if (d->norm == PARE_NORM_UNIT) {
			unit_row(in, k, out);
			continue;
		}
		d->type->read_float(in, k, out);
		if (d->norm == PARE_NORM_STANDARD)
			standard_row(out, k, d->mean, d->inv_std);
	}
}

void pare_data_classes(const struct pare_dataset *d, const uint32_t *rows, size_t n, int32_t *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = d->classes[rows[i]];
}

void pare_data_targets(const struct pare_dataset *d, const uint32_t *rows, size_t n, float *out)
{
	size_t k = (size_t)d->info.n_targets;

	for (size_t i = 0; i < n; i++)
		memcpy(out + i * k, d->targets + rows[i] * k, k * sizeof *out);
}

/* sum[j] += (x_j - mean_j)^power over the training rows; mean NULL is 0. */
static void add_moments(const struct pare_dataset *d, float *row, const double *mean, double *sum)
{
	size_t k = d->info.row_elems;
	uint32_t n;
	const uint32_t *rows = pare_data_rows(d, PARE_SPLIT_TRAIN, &n);

	for (uint32_t i = 0; i < n; i++) {
		d->type->read_float(row_bytes(d, rows[i]), k, row);
		for (size_t j = 0; j < k; j++) {
			double x = row[j];

			sum[j] += mean == NULL ? x : (x - mean[j]) * (x - mean[j]);
		}
	}
}

static enum pare_code estimate(struct pare_dataset *d, float *mean, float *std, float *inv, struct pare_err *err)
{
	size_t k = d->info.row_elems;
	float *row = pare_calloc(k, sizeof *row);
	double *sums = pare_calloc(2 * k, sizeof *sums);
	double *vars;
	uint32_t n;
	enum pare_code rc = PARE_OK;

	pare_data_rows(d, PARE_SPLIT_TRAIN, &n);
	if (row == NULL || sums == NULL) {
		rc = pare_err_nomem(err, 2 * k * sizeof *sums);
		goto out;
	}
	if (n == 0) {
		rc = pare_err_set(err, PARE_E_DATASET, NULL, "there are no training rows to estimate mean and standard deviation from");
		goto out;
	}
	vars = sums + k;
	add_moments(d, row, NULL, sums);
	for (size_t j = 0; j < k; j++)
		sums[j] /= n;
	add_moments(d, row, sums, vars);
	for (size_t j = 0; j < k; j++) {
		mean[j] = (float)sums[j];
		std[j] = (float)sqrt(vars[j] / n);
		if (std[j] < FLT_MIN)
			std[j] = 1;
		inv[j] = 1 / std[j];
	}
out:
	pare_free(row);
	pare_free(sums);
	return rc;
}

static enum pare_code make_standard(struct pare_dataset *d, struct pare_err *err)
{
	size_t k = d->info.row_elems;
	float *mean = pare_calloc(k, sizeof *mean), *std = pare_calloc(k, sizeof *std), *inv = pare_calloc(k, sizeof *inv);
	enum pare_code rc;

	if (mean == NULL || std == NULL || inv == NULL)
		rc = pare_err_nomem(err, k * sizeof *mean);
	else
		rc = estimate(d, mean, std, inv, err);
	if (rc != PARE_OK) {
		pare_free(mean);
		pare_free(std);
		pare_free(inv);
		return rc;
	}
	d->mean = mean;
	d->std = std;
	d->inv_std = inv;
	return PARE_OK;
}

static void forget_standard(struct pare_dataset *d)
{
	pare_free(d->mean);
	pare_free(d->std);
	pare_free(d->inv_std);
	d->mean = d->std = d->inv_std = NULL;
}

enum pare_code pare_data_normalize(struct pare_dataset *d, enum pare_normalize how, struct pare_err *err)
{
	if (how == PARE_NORM_AUTO)
		how = d->info.dtype == PARE_DT_UINT8 ? PARE_NORM_UNIT : PARE_NORM_NONE;
	if (how == PARE_NORM_UNIT && d->info.dtype != PARE_DT_UINT8)
		return pare_err_set(err, PARE_E_INVALID, NULL,
		    "normalization \"unit\" divides 8-bit data by 255, these data are %s: use \"standard\" or \"none\"", d->type->npy);
	if (how == PARE_NORM_STANDARD) {
		struct pare_dataset old = {.mean = d->mean, .std = d->std, .inv_std = d->inv_std};
		enum pare_code rc = make_standard(d, err);

		if (rc == PARE_OK)
			forget_standard(&old);
		if (rc != PARE_OK)
			return rc;
	} else {
		forget_standard(d);
	}
	d->norm = how;
	return PARE_OK;
}

enum pare_normalize pare_data_normalization(const struct pare_dataset *d)
{
	return d->norm;
}

const float *pare_data_mean(const struct pare_dataset *d)
{
	return d->mean;
}

const float *pare_data_std(const struct pare_dataset *d)
{
	return d->std;
}
