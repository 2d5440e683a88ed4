/* Normalization and its gradient.
 *
 *   h = (x - mean) inv      y = scale h + bias       g = scale dy
 *   dx = inv (g - avg(g) - h avg(g h)) + dmean / n - dinv inv^2 h / n
 *   dscale = sum dy h       dbias = sum dy
 *
 * The variance takes a second pass over the row (in cache by then): E[x^2] - E[x]^2 cancels in float. Backward computes
 * h again rather than keeping it: a row is read from x anyway. */
#include "core/ops/kernels/norm.h"

#include <math.h>
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/elementwise.h"

#define LANES 16

PARE_MULTIARCH static float sum_of_squares(int64_t n, const float *x, float mean)
{
	float lane[LANES] = {0};
	double sum = 0;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int64_t j = 0; j < LANES; j++)
			lane[j] += (x[i + j] - mean) * (x[i + j] - mean);
	for (int64_t j = 0; i < n; i++, j++)
		lane[j] += (x[i] - mean) * (x[i] - mean);
	for (int j = 0; j < LANES; j++)
		sum += (double)lane[j];
	return (float)sum;
}

void pare_norm_stats(const struct pare_norm *d, const float *x, float *mean, float *inv)
{
	int64_t n = d->segments * d->len;

	for (int64_t r = 0; r < d->rows; r++, x += n) {
		mean[r] = d->by_zero ? 0.0f : pare_k_sum((size_t)n, x) / (float)n;
		inv[r] = 1.0f / sqrtf(sum_of_squares(n, x, mean[r]) / (float)n + d->epsilon);
	}
}

PARE_MULTIARCH static void run_forward(int64_t n, const float *x, float mean, float factor, float bias, float *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = (x[i] - mean) * factor + bias;
}

PARE_MULTIARCH static void elements_forward(int64_t n, const float *x, float mean, float inv, const float *scale, const float *bias, float *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = (x[i] - mean) * inv * scale[i];
	if (bias != NULL)
		for (int64_t i = 0; i < n; i++)
			y[i] += bias[i];
}

void pare_norm_forward(const struct pare_norm *d, const float *x, const float *mean, const float *inv, const float *scale, const float *bias, float *y)
{
	int64_t n = d->segments * d->len;

	for (int64_t r = 0; r < d->rows; r++, x += n, y += n) {
		int64_t first = r % d->cycle * d->segments;

		if (d->len == 1 && scale != NULL) {
			elements_forward(n, x, mean[r], inv[r], scale + first, bias != NULL ? bias + first : NULL, y);
			continue;
		}
		for (int64_t s = 0; s < d->segments; s++) {
			float factor = scale != NULL ? inv[r] * scale[first + s] : inv[r];

			run_forward(d->len, x + s * d->len, mean[r], factor, bias != NULL ? bias[first + s] : 0.0f, y + s * d->len);
		}
	}
}

/* g = scale dy for one row */
static void scaled_row(const struct pare_norm *d, const float *scale, const float *dy, float *g)
{
	if (dy == NULL)
		memset(g, 0, (size_t)(d->segments * d->len) * sizeof *g);
	else if (scale == NULL)
		memcpy(g, dy, (size_t)(d->segments * d->len) * sizeof *g);
	else if (d->len == 1)
		pare_k_mul((size_t)d->segments, dy, scale, g);
	else
		for (int64_t s = 0; s < d->segments; s++)
			pare_k_scale((size_t)d->len, dy + s * d->len, scale[s], g + s * d->len);
}

static void affine_row(const struct pare_norm *d, const float *h, const float *dy, float *dscale, float *dbias)
{
	if (d->len == 1 && dscale != NULL)
		pare_k_acc_mul((size_t)d->segments, dy, h, dscale);
	if (d->len == 1 && dbias != NULL)
		pare_k_acc((size_t)d->segments, dy, dbias);
	for (int64_t s = 0; d->len > 1 && s < d->segments; s++) {
		if (dscale != NULL)
			dscale[s] += pare_k_dot((size_t)d->len, dy + s * d->len, h + s * d->len);
		if (dbias != NULL)
			dbias[s] += pare_k_sum((size_t)d->len, dy + s * d->len);
	}
}

/* dx (+)= inv g - a - h b */
PARE_MULTIARCH static void input_row(int64_t n, const float *g, const float *h, float inv, float a, float b, bool acc, float *dx)
{
	if (acc)
		for (int64_t i = 0; i < n; i++)
			dx[i] += inv * g[i] - a - h[i] * b;
	else
		for (int64_t i = 0; i < n; i++)
			dx[i] = inv * g[i] - a - h[i] * b;
}

void pare_norm_backward(const struct pare_norm *d, const float *x, const float *mean, const float *inv, const float *scale, const float *dy,
    const struct pare_norm_grads *to, float *scratch)
{
	int64_t n = d->segments * d->len, n_affine = d->cycle * d->segments;
	float *h = scratch, *g = scratch + n, per = 1.0f / (float)n;

	if (to->dscale != NULL && !to->acc_scale)
		memset(to->dscale, 0, (size_t)n_affine * sizeof *to->dscale);
	if (to->dbias != NULL && !to->acc_bias)
		memset(to->dbias, 0, (size_t)n_affine * sizeof *to->dbias);
	for (int64_t r = 0; r < d->rows; r++, x += n, dy = dy != NULL ? dy + n : NULL) {
		int64_t first = r % d->cycle * d->segments;
		float a, b;

		run_forward(n, x, mean[r], inv[r], 0.0f, h);
		if (dy != NULL)
			affine_row(d, h, dy, to->dscale != NULL ? to->dscale + first : NULL, to->dbias != NULL ? to->dbias + first : NULL);
		if (to->dx == NULL)
			continue;
		scaled_row(d, scale != NULL ? scale + first : NULL, dy, g);
		a = d->by_zero ? 0.0f : inv[r] * pare_k_sum((size_t)n, g) - (to->dmean != NULL ? to->dmean[r] : 0.0f);
		b = inv[r] * pare_k_dot((size_t)n, g, h) + (to->dinv != NULL ? to->dinv[r] * inv[r] * inv[r] : 0.0f);
		input_row(n, g, h, inv[r], a * per, b * per, to->acc_x, to->dx + r * n);
	}
}

void pare_norm_fixed_forward(int64_t images, int64_t channels, int64_t len, const float *x, const float *mean, const float *inv, const float *scale,
    const float *bias, float *y)
{
	for (int64_t i = 0; i < images * channels; i++) {
		int64_t c = i % channels;

		run_forward(len, x + i * len, mean[c], inv[c] * scale[c], bias[c], y + i * len);
	}
}

/* sum of dy (x - mean) over a run */
PARE_MULTIARCH static float centred_dot(int64_t n, const float *x, float mean, const float *dy)
{
	float lane[LANES] = {0};
	double sum = 0;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int64_t j = 0; j < LANES; j++)
			lane[j] += (x[i + j] - mean) * dy[i + j];
	for (int64_t j = 0; i < n; i++, j++)
		lane[j] += (x[i] - mean) * dy[i];
	for (int j = 0; j < LANES; j++)
		sum += (double)lane[j];
	return (float)sum;
}

void pare_norm_fixed_backward(int64_t images, int64_t channels, int64_t len, const float *x, const float *mean, const float *inv, const float *scale,
    const float *dy, const struct pare_norm_grads *to)
{
	for (int64_t c = 0; c < channels; c++) {
		double dscale = 0, dbias = 0;

		for (int64_t i = 0; i < images; i++) {
			int64_t at = (i * channels + c) * len;

			if (to->dscale != NULL)
				dscale += (double)centred_dot(len, x + at, mean[c], dy + at);
			if (to->dbias != NULL)
				dbias += (double)pare_k_sum((size_t)len, dy + at);
			if (to->dx != NULL && to->acc_x)
				pare_k_acc_scaled((size_t)len, dy + at, inv[c] * scale[c], to->dx + at);
			else if (to->dx != NULL)
				pare_k_scale((size_t)len, dy + at, inv[c] * scale[c], to->dx + at);
		}
		if (to->dscale != NULL)
			to->dscale[c] = (to->acc_scale ? to->dscale[c] : 0.0f) + (float)(dscale * (double)inv[c]);
		if (to->dbias != NULL)
			to->dbias[c] = (to->acc_bias ? to->dbias[c] : 0.0f) + (float)dbias;
	}
}

/* Each run in two passes while it is in the cache, then merged into its channel. */
void pare_norm_part(int64_t images, int64_t channels, int64_t len, const float *x, double *mean, double *m2)
{
	memset(mean, 0, (size_t)channels * sizeof *mean);
	memset(m2, 0, (size_t)channels * sizeof *m2);
	for (int64_t i = 0; i < images; i++) {
		double share = 1 / (double)(i + 1), weight = (double)i * share * (double)len;

		for (int64_t c = 0; c < channels; c++, x += len) {
			float run = pare_k_sum((size_t)len, x) / (float)len;
			double delta = (double)run - mean[c];

			mean[c] += delta * share;
			m2[c] += (double)sum_of_squares(len, x, run) + delta * delta * weight;
		}
	}
}

void pare_norm_part_backward(int64_t images, int64_t channels, int64_t len, const float *x, const float *mean, const float *inv, const float *dy,
    double *sum_dy, double *sum_dyh)
{
	memset(sum_dy, 0, (size_t)channels * sizeof *sum_dy);
	memset(sum_dyh, 0, (size_t)channels * sizeof *sum_dyh);
	for (int64_t i = 0; i < images; i++)
		for (int64_t c = 0; c < channels; c++, x += len, dy += len) {
			sum_dy[c] += (double)pare_k_sum((size_t)len, dy);
			sum_dyh[c] += (double)centred_dot(len, x, mean[c], dy) * (double)inv[c];
		}
}

/* dx (+)= k dy - a - (x - mean) b */
PARE_MULTIARCH static void run_dx(int64_t n, const float *x, float mean, const float *dy, float k, float a, float b, bool acc, float *dx)
{
	if (acc)
		for (int64_t i = 0; i < n; i++)
			dx[i] += k * dy[i] - a - (x[i] - mean) * b;
	else
		for (int64_t i = 0; i < n; i++)
			dx[i] = k * dy[i] - a - (x[i] - mean) * b;
}

void pare_norm_batch_dx(int64_t images, int64_t channels, int64_t len, const float *x, const float *mean, const float *inv, const float *scale,
    const float *dy, const double *avg_dy, const double *avg_dyh, bool acc, float *dx)
{
	for (int64_t i = 0; i < images * channels; i++) {
		int64_t c = i % channels, at = i * len;
		float k = inv[c] * scale[c];

		run_dx(len, x + at, mean[c], dy + at, k, k * (float)avg_dy[c], k * inv[c] * (float)avg_dyh[c], acc, dx + at);
	}
}

/* The channels [*first, *last) whose squares enter the base of channel c; with `whom`, those whose base c enters. */
static void lrn_window(const struct pare_lrn *d, int64_t c, bool whom, int64_t *first, int64_t *last)
{
	int64_t before = (d->size - 1) / 2, after = d->size / 2;

	*first = c - (whom ? after : before);
	*last = c + (whom ? before : after) + 1;
	*first = *first > 0 ? *first : 0;
	*last = *last < d->channels ? *last : d->channels;
}

void pare_lrn_forward(const struct pare_lrn *d, const float *x, float *base, float *y)
{
	size_t len = (size_t)d->len;
	float factor = d->alpha / (float)d->size;

	for (int64_t i = 0; i < d->images; i++, x += d->channels * d->len)
		for (int64_t c = 0; c < d->channels; c++, base += len, y += len) {
			int64_t first, last;

			lrn_window(d, c, false, &first, &last);
			memset(base, 0, len * sizeof *base);
			for (int64_t k = first; k < last; k++)
				pare_k_acc_mul(len, x + k * d->len, x + k * d->len, base);
			for (size_t p = 0; p < len; p++) {
				base[p] = d->bias + factor * base[p];
				y[p] = x[c * d->len + (int64_t)p] * powf(base[p], -d->beta);
			}
		}
}

/* With t = dy x base^(-beta - 1):  dx[c] = dy base^-beta - 2 alpha beta / size x[c] sum of t over the bases that c enters */
static void lrn_image_backward(const struct pare_lrn *d, const float *x, const float *base, const float *dy, bool acc, float *dx, float *t)
{
	float factor = 2.0f * d->alpha * d->beta / (float)d->size;

	for (int64_t i = 0; i < d->channels * d->len; i++) {
		float power = powf(base[i], -d->beta);

		dx[i] = (acc ? dx[i] : 0.0f) + dy[i] * power;
		t[i] = dy[i] * x[i] * power / base[i];
	}
	for (int64_t c = 0; c < d->channels; c++) {
		int64_t first, last;

		lrn_window(d, c, true, &first, &last);
		for (int64_t k = first; k < last; k++)
			for (int64_t p = 0; p < d->len; p++)
				dx[c * d->len + p] -= factor * x[c * d->len + p] * t[k * d->len + p];
	}
}

void pare_lrn_backward(const struct pare_lrn *d, const float *x, const float *base, const float *dy, bool acc, float *dx, float *scratch)
{
	int64_t image = d->channels * d->len;

	for (int64_t i = 0; i < d->images; i++)
		lrn_image_backward(d, x + i * image, base + i * image, dy + i * image, acc, dx + i * image, scratch);
}
