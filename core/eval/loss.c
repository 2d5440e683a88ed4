/* Losses by row, with k outputs o and true class c or targets t:
 *
 *   cross entropy, raw         log(sum exp(o_j - max)) + max - o_c    gradient softmax(o)_j - [j = c]
 *   cross entropy, probability -log(max(o_c, 1e-12))                  gradient -1 / max(o_c, 1e-12) at c
 *   cross entropy, log-prob.   -o_c                                   gradient -1 at c
 *   mean squared error         (1/k) sum (o_j - t_j)^2                gradient (2/k) (o_j - t_j)
 *
 * Subtracting the maximum keeps exp from overflowing and the sum at 1 or more. The clamp of the second form keeps log and
 * division finite when a softmax has underflowed to 0. The mean over outputs in the last makes the mean over rows the
 * figure that other tools call MSE. The sum over rows is kept in double: it is what reports print. */
#include "core/eval/eval.h"

#include <math.h>
#include <string.h>

#define PROB_MIN 1e-12f

/* Turns exponentials into the gradient (softmax - one-hot) * scale, when wanted. */
static double raw_row(const float *restrict o, int64_t k, int32_t c, float scale, float *restrict grad)
{
	float max = o[0];
	double sum = 0;
	float factor;

	for (int64_t j = 1; j < k; j++)
		max = o[j] > max ? o[j] : max;
	if (grad == NULL) {
		for (int64_t j = 0; j < k; j++)
			sum += expf(o[j] - max);
		/* cppcheck-suppress invalidFunctionArg ; k is at least 1, and the term of the maximum is 1 */
		return log(sum) + (double)max - (double)o[c];
	}
	for (int64_t j = 0; j < k; j++) {
		grad[j] = expf(o[j] - max);
		sum += grad[j];
	}
	factor = (float)((double)scale / sum);
	for (int64_t j = 0; j < k; j++)
		grad[j] *= factor;
	grad[c] -= scale;
	return log(sum) + (double)max - (double)o[c];
}

static double probability_row(const float *o, int64_t k, int32_t c, float scale, float *grad)
{
	float p = o[c] < PROB_MIN ? PROB_MIN : o[c]; /* NaN stays */

	if (grad != NULL) {
		memset(grad, 0, (size_t)k * sizeof *grad);
		grad[c] = -scale / p;
	}
	return -log((double)p);
}

static double log_row(const float *o, int64_t k, int32_t c, float scale, float *grad)
{
	if (grad != NULL) {
		memset(grad, 0, (size_t)k * sizeof *grad);
		grad[c] = -scale;
	}
	return -(double)o[c];
}

static double (*const cross_entropy_table[])(const float *o, int64_t k, int32_t c, float scale, float *grad) = {
    [PARE_OUTPUT_RAW] = raw_row,
    [PARE_OUTPUT_PROBABILITY] = probability_row,
    [PARE_OUTPUT_LOG_PROBABILITY] = log_row,
};

static double squares_row(const float *restrict o, int64_t k, const float *restrict t, float scale, float *restrict grad)
{
	float factor = 2 * scale / (float)k;
	double sum = 0;

	for (int64_t j = 0; j < k; j++) {
		double e = (double)o[j] - (double)t[j];

		sum += e * e;
	}
	for (int64_t j = 0; grad != NULL && j < k; j++)
		grad[j] = factor * (o[j] - t[j]);
	return sum / (double)k;
}

/* Against a one-hot target. */
static double one_hot_row(const float *restrict o, int64_t k, int32_t c, float scale, float *restrict grad)
{
	float factor = 2 * scale / (float)k;
	double sum = 1 - 2 * (double)o[c]; /* (o_c - 1)^2 - o_c^2 */

	for (int64_t j = 0; j < k; j++)
		sum += (double)o[j] * (double)o[j];
	for (int64_t j = 0; grad != NULL && j < k; j++)
		grad[j] = factor * o[j];
	if (grad != NULL)
		grad[c] -= factor;
	return (sum > 0 ? sum : sum < 0 ? 0 : sum) / (double)k; /* rounding may leave -1e-17; NaN stays */
}

double pare_loss_rows(enum pare_loss loss, enum pare_output_kind kind, const float *out, int64_t count, int64_t k,
    const int32_t *classes, const float *targets, float scale, float *grad)
{
	double sum = 0;

	for (int64_t i = 0; i < count; i++) {
		const float *o = out + i * k;
		float *g = grad != NULL ? grad + i * k : NULL;

		if (loss == PARE_LOSS_CROSS_ENTROPY)
			sum += cross_entropy_table[kind](o, k, classes[i], scale, g);
		else if (classes != NULL)
			sum += one_hot_row(o, k, classes[i], scale, g);
		else
			sum += squares_row(o, k, targets + i * k, scale, g);
	}
	return sum;
}
