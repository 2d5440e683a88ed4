/* Plain loops; -O3 and PARE_MULTIARCH make AVX2 and AVX-512 of them.
 *
 * Sums run in 16 float lanes (what one AVX-512 register holds): a single chain of additions cannot be vectorised without
 * reordering, so the order is written down here and is the same on every machine. */
#include "core/ops/kernels/elementwise.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/curves.h"
#include "core/ops/kernels/float_math.h"

#define LANES 16

PARE_MULTIARCH void pare_k_add(size_t n, const float *a, const float *b, float *out)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		out[i] = a[i] + b[i];
}

PARE_MULTIARCH void pare_k_add_scalar(size_t n, const float *a, float b, float *out)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		out[i] = a[i] + b;
}

PARE_MULTIARCH void pare_k_mul(size_t n, const float *a, const float *b, float *out)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		out[i] = a[i] * b[i];
}

PARE_MULTIARCH void pare_k_scale(size_t n, const float *a, float b, float *out)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		out[i] = a[i] * b;
}

PARE_MULTIARCH void pare_k_fill(size_t n, float v, float *out)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		out[i] = v;
}

PARE_MULTIARCH void pare_k_acc(size_t n, const float *a, float *out)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		out[i] += a[i];
}

PARE_MULTIARCH void pare_k_acc_mul(size_t n, const float *a, const float *b, float *out)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		out[i] += a[i] * b[i];
}

PARE_MULTIARCH void pare_k_acc_scaled(size_t n, const float *a, float s, float *out)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		out[i] += s * a[i];
}

static inline double lanes_sum(const float lane[LANES])
{
	double sum = 0;

	for (int l = 0; l < LANES; l++)
		sum += (double)lane[l];
	return sum;
}

PARE_MULTIARCH float pare_k_sum(size_t n, const float *a)
{
	float lane[LANES] = {0};
	double sum;
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			lane[l] += a[i + l];
	for (sum = lanes_sum(lane); i < n; i++)
		sum += (double)a[i];
	return (float)sum;
}

PARE_MULTIARCH float pare_k_dot(size_t n, const float *a, const float *b)
{
	float lane[LANES] = {0};
	double sum;
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			lane[l] += a[i + l] * b[i + l];
	for (sum = lanes_sum(lane); i < n; i++)
		sum += (double)a[i] * (double)b[i];
	return (float)sum;
}

PARE_MULTIARCH bool pare_k_finite(size_t n, const float *a)
{
	uint32_t bad = 0;

	for (size_t i = 0; i < n; i++)
		bad |= (uint32_t)!(fabsf(a[i]) <= FLT_MAX);
	return bad == 0;
}

#define COUNTED ((size_t)1 << 20) /* at a time, in lanes as wide as a float */

PARE_MULTIARCH static uint32_t count_some(size_t n, const float *a)
{
	uint32_t zeros = 0;

	for (size_t i = 0; i < n; i++)
		zeros += a[i] == 0.0f;
	return zeros;
}

size_t pare_k_count_zeros(size_t n, const float *a)
{
	size_t zeros = 0;

	for (size_t i = 0; i < n; i += COUNTED)
		zeros += count_some(n - i < COUNTED ? n - i : COUNTED, a + i);
	return zeros;
}

#define SUM_COLS ((size_t)1024) /* whose sums stay in the first cache */

/* sum[cols] += column sums of rows that are `apart` floats apart, one row after the other: they come as they stand in memory. */
PARE_MULTIARCH static void add_rows(size_t rows, size_t cols, const float *restrict x, size_t apart, float *restrict sum)
{
	size_t i = 0;

	for (; i + 4 <= rows; i += 4, x += 4 * apart)
		for (size_t j = 0; j < cols; j++)
			sum[j] = sum[j] + x[j] + x[apart + j] + x[2 * apart + j] + x[3 * apart + j];
	for (; i < rows; i++, x += apart)
		for (size_t j = 0; j < cols; j++)
			sum[j] += x[j];
}

void pare_k_col_sum(size_t rows, size_t cols, const float *x, float scale, bool acc, float *out)
{
	for (size_t at = 0; at < cols; at += SUM_COLS) {
		size_t n = cols - at < SUM_COLS ? cols - at : SUM_COLS;
		float sum[SUM_COLS];

		memset(sum, 0, n * sizeof *sum);
		add_rows(rows, n, x + at, cols, sum);
		for (size_t j = 0; j < n; j++)
			out[at + j] = (acc ? out[at + j] : 0.0f) + scale * sum[j];
	}
}

PARE_MULTIARCH void pare_k_fill_rows(size_t rows, size_t cols, const float *row, float scale, float *out)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++)
			out[i * cols + j] = scale * row[j];
}

void pare_k_exp(size_t n, const float *x, float *y)
{
	pare_curves()->exp(n, x, 0.0f, y);
}

PARE_MULTIARCH void pare_k_clamp(size_t n, float lo, float hi, const float *x, float *y)
{
	for (size_t i = 0; i < n; i++) {
		float v = x[i] < lo ? lo : x[i];

		y[i] = v > hi ? hi : v;
	}
}

PARE_MULTIARCH void pare_k_clamp_grad(size_t n, float lo, float hi, const float *y, const float *dy, float *dx)
{
	for (size_t i = 0; i < n; i++)
		dx[i] = ((y[i] > lo) & (y[i] < hi)) ? dy[i] : 0.0f;
}

PARE_MULTIARCH void pare_k_relu(size_t n, const float *x, float *y)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		y[i] = x[i] < 0.0f ? 0.0f : x[i];
}

void pare_k_sigmoid(size_t n, const float *x, float *y)
{
	pare_curves()->sigmoid(n, x, y);
}

void pare_k_tanh(size_t n, const float *x, float *y)
{
	pare_curves()->tanh(n, x, y);
}

PARE_MULTIARCH void pare_k_relu_grad(size_t n, const float *y, const float *dy, bool acc, float *dx)
{
	if (acc)
		PARE_LANES for (size_t i = 0; i < n; i++)
			dx[i] += y[i] > 0.0f ? dy[i] : 0.0f;
	else
		PARE_LANES for (size_t i = 0; i < n; i++)
			dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
}

PARE_MULTIARCH void pare_k_sigmoid_grad(size_t n, const float *y, const float *dy, bool acc, float *dx)
{
	if (acc)
		PARE_LANES for (size_t i = 0; i < n; i++)
			dx[i] += dy[i] * y[i] * (1.0f - y[i]);
	else
		PARE_LANES for (size_t i = 0; i < n; i++)
			dx[i] = dy[i] * y[i] * (1.0f - y[i]);
}

PARE_MULTIARCH void pare_k_tanh_grad(size_t n, const float *y, const float *dy, bool acc, float *dx)
{
	if (acc)
		PARE_LANES for (size_t i = 0; i < n; i++)
			dx[i] += dy[i] * (1.0f - y[i] * y[i]);
	else
		PARE_LANES for (size_t i = 0; i < n; i++)
			dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

/* In lanes, too: one chain of comparisons waits for each. A NaN may be lost here; the sum of the row brings it back. */
PARE_MULTIARCH static float row_max(size_t n, const float *x)
{
	float lane[LANES], max = x[0];
	size_t i = 0;

	for (size_t l = 0; l < LANES; l++)
		lane[l] = x[0];
	for (; i + LANES <= n; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
	for (; i < n; i++)
		max = x[i] > max ? x[i] : max;
	for (size_t w = LANES / 2; w > 0; w /= 2)
		for (size_t l = 0; l < w; l++)
			lane[l] = lane[l + w] > lane[l] ? lane[l + w] : lane[l];
	return lane[0] > max ? lane[0] : max;
}

PARE_MULTIARCH static double exp_sum(size_t n, const float *x, float shift)
{
	float lane[LANES] = {0};
	double sum;
	size_t i;

	for (i = 0; i + LANES <= n; i += LANES)
		for (size_t l = 0; l < LANES; l++)
			lane[l] += exp1(x[i + l] - shift);
	for (sum = lanes_sum(lane); i < n; i++)
		sum += (double)exp1(x[i] - shift);
	return sum;
}

void pare_k_softmax(size_t rows, size_t n, const float *x, float *y)
{
	pare_curves()->softmax(rows, n, x, y);
}

/* Two subtractions: max and lse in one number would lose lse to rounding where max is large. */
PARE_MULTIARCH static void log_softmax_row(size_t n, const float *x, float max, float lse, float *y)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		y[i] = (x[i] - max) - lse;
}

void pare_k_log_softmax(size_t rows, size_t n, const float *x, float *y)
{
	for (size_t r = 0; r < rows && n > 0; r++, x += n, y += n) {
		float max = row_max(n, x);

		log_softmax_row(n, x, max, (float)log(exp_sum(n, x, max)), y);
	}
}

PARE_MULTIARCH static void softmax_grad_row(size_t n, const float *y, const float *dy, float dot, bool acc, float *dx)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		dx[i] = (acc ? dx[i] : 0.0f) + y[i] * (dy[i] - dot);
}

void pare_k_softmax_grad(size_t rows, size_t n, const float *y, const float *dy, bool acc, float *dx)
{
	for (size_t r = 0; r < rows; r++, y += n, dy += n, dx += n)
		softmax_grad_row(n, y, dy, pare_k_dot(n, y, dy), acc, dx);
}

PARE_MULTIARCH static void log_softmax_grad_row(size_t n, const float *y, const float *dy, float sum, bool acc, float *dx)
{
	PARE_LANES for (size_t i = 0; i < n; i++)
		dx[i] = (acc ? dx[i] : 0.0f) + (dy[i] - exp1(y[i]) * sum);
}

void pare_k_log_softmax_grad(size_t rows, size_t n, const float *y, const float *dy, bool acc, float *dx)
{
	for (size_t r = 0; r < rows; r++, y += n, dy += n, dx += n)
		log_softmax_grad_row(n, y, dy, pare_k_sum(n, dy), acc, dx);
}
