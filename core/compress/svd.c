/* Only one side's vectors are kept while turning: the other side's follow as a v_k = s_k u_k, which is also the best factor for the v_k that were
 * found, whatever rounding did to them. Rejected: the eigenvectors of a a' (squares the condition), and LAPACK (its bits change with the
 * number of threads, and it would be the only thing here that needs it). */
#include "core/compress/svd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"

#define MAX_SWEEPS 40
#define COSINE 1e-11 /* of an angle that is called right */
#define FLOOR 1e-7   /* of the largest singular value: what float32 rounds away */
#define LANES 8      /* sums side by side, so that products need not wait for each other */

static double dot(const double *x, const double *y, size_t n)
{
	double lane[LANES] = {0}, sum = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (size_t k = 0; k < LANES; k++)
			lane[k] += x[i + k] * y[i + k];
	for (; i < n; i++)
		sum += x[i] * y[i];
	for (size_t k = 0; k < LANES; k++)
		sum += lane[k];
	return sum;
}

static void turn_some(double *restrict x, double *restrict y, size_t n, double c, double s)
{
	for (size_t i = 0; i < n; i++) {
		double a = x[i], b = y[i];

		x[i] = c * a - s * b;
		y[i] = s * a + c * b;
	}
}

static void turn(double *x, double *y, size_t n, double c, double s)
{
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		turn_some(x + i, y + i, LANES, c, s);
	turn_some(x + i, y + i, n - i, c, s);
}

/* Makes rows i and j orthogonal; false: they were. square: of their lengths. */
static bool turn_pair(double *v, size_t len, size_t i, size_t j, double *square, double least)
{
	double *x = v + i * len, *y = v + j * len, g, zeta, t, c;

	if (square[i] <= least || square[j] <= least)
		return false;
	g = dot(x, y, len);
	if (fabs(g) <= COSINE * sqrt(square[i] * square[j]))
		return false;
	zeta = (square[j] - square[i]) / (2 * g);
	t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
	c = 1 / sqrt(1 + t * t);
	turn(x, y, len, c, c * t);
	square[i] -= t * g;
	square[j] += t * g;
	return true;
}

static enum pare_code orthogonalize(double *v, size_t n, size_t len, double *square, double least, const atomic_bool *cancel, struct pare_err *err)
{
	bool turned = true;

	for (int sweep = 0; sweep < MAX_SWEEPS && turned; sweep++) {
		turned = false;
		for (size_t i = 0; i < n; i++)
			square[i] = dot(v + i * len, v + i * len, len);
		for (size_t i = 0; i + 1 < n; i++) {
			if (cancel != NULL && atomic_load(cancel))
				return pare_err_set(err, PARE_E_CANCELED, NULL, "canceled while a matrix was decomposed");
			for (size_t j = i + 1; j < n; j++)
				turned |= turn_pair(v, len, i, j, square, least);
		}
	}
	for (size_t i = 0; i < n; i++)
		square[i] = dot(v + i * len, v + i * len, len);
	return PARE_OK;
}

static int by_size(const void *a, const void *b)
{
	const double *const *x = a, *const *y = b;

	return **x > **y ? -1 : **x < **y ? 1 : *x < *y ? -1 : *x > *y;
}

/* Rows by length, as unit vectors. */
static enum pare_code sort(struct pare_svd *d, size_t len, const double *rows, const double *square, struct pare_err *err)
{
	const double **order = pare_calloc(d->n + 1, sizeof *order);

	if (order == NULL)
		return pare_err_nomem(err, d->n * sizeof *order);
	for (size_t i = 0; i < d->n; i++)
		order[i] = &square[i];
	qsort(order, d->n, sizeof *order, by_size);
	for (size_t k = 0; k < d->n; k++) {
		const double *row = rows + (size_t)(order[k] - square) * len;

		d->s[k] = sqrt(*order[k]);
		if (!(d->s[k] > FLOOR * d->s[0]))
			continue;
		d->n_rank = k + 1;
		for (size_t i = 0; i < len; i++)
			d->v[k * len + i] = row[i] / d->s[k];
	}
	pare_free(order);
	return PARE_OK;
}

enum pare_code pare_svd_init(struct pare_svd *out, const float *a, size_t rows, size_t cols, const atomic_bool *cancel, struct pare_err *err)
{
	size_t n = rows < cols ? rows : cols, len = rows < cols ? cols : rows, total, bytes;
	double *work, *square;
	enum pare_code code;

	*out = (struct pare_svd){.rows = rows, .cols = cols, .n = n};
	if (!pare_mul_size(n, len, &total) || !pare_mul_size(total, sizeof *work, &bytes))
		return pare_err_set(err, PARE_E_LIMIT, NULL, "a matrix of %zu x %zu is too large to decompose", rows, cols);
	work = pare_alloc(bytes + 1);
	square = pare_calloc(n + 1, sizeof *square);
	out->s = pare_calloc(n + 1, sizeof *out->s);
	out->v = pare_calloc(total + 1, sizeof *out->v);
	code = work != NULL && square != NULL && out->s != NULL && out->v != NULL ? PARE_OK : pare_err_nomem(err, bytes);
	for (size_t i = 0; i < total && code == PARE_OK; i++) {
		work[i] = (double)(rows <= cols ? a[i] : a[i % len * cols + i / len]);
		out->energy += work[i] * work[i];
	}
	if (code == PARE_OK)
		code = orthogonalize(work, n, len, square, FLOOR * FLOOR * FLOOR * out->energy, cancel, err);
	if (code == PARE_OK)
		code = sort(out, len, work, square, err);
	pare_free(work);
	pare_free(square);
	return code;
}

void pare_svd_done(struct pare_svd *d)
{
	pare_free(d->s);
	pare_free(d->v);
	memset(d, 0, sizeof *d);
}

double pare_svd_share(const struct pare_svd *d, size_t rank)
{
	double sum = 0;

	for (size_t k = 0; k < rank && k < d->n; k++)
		sum += d->s[k] * d->s[k];
	return d->energy > 0 ? fmin(1, sum / d->energy) : 1;
}

size_t pare_svd_rank(const struct pare_svd *d, double share)
{
	double sum = 0;
	size_t k = 0;

	while (k < d->n_rank && sum < share * d->energy) {
		sum += d->s[k] * d->s[k];
		k++;
	}
	return k;
}

void pare_svd_factors(const struct pare_svd *d, const float *a, size_t rank, float *left, float *right)
{
	bool wide = d->rows <= d->cols;
	size_t len = wide ? d->cols : d->rows;

	for (size_t k = 0; k < rank; k++) {
		const double *v = d->v + k * len;
		double root = sqrt(d->s[k]);

		for (size_t i = 0; i < len; i++)
			*(wide ? &right[k * d->cols + i] : &left[i * rank + k]) = (float)(root * v[i]);
		for (size_t i = 0; i < d->n; i++) {
			double sum = 0;

			for (size_t j = 0; j < len; j++)
				sum += (double)(wide ? a[i * d->cols + j] : a[j * d->cols + i]) * v[j];
			*(wide ? &left[i * rank + k] : &right[k * d->cols + i]) = (float)(sum / root);
		}
	}
}
