/* Losses by row, with k outputs o and a class c, or targets t (a class is the row with a single 1):
 *
 *   cross_entropy   -sum q_j log p_j, with q = w ((1 - s) t + s / k), for smoothing s and class weights w
 *     raw           log p = o - lse(o)         gradient (sum q) softmax(o) - q
 *     probability   log max(o, 1e-12)          gradient -q / max(o, 1e-12)
 *     log-prob.     o                          gradient -q
 *   kl              cross entropy + sum t log t: the same gradient, and 0 where both agree
 *   bce             the mean over j of w_j times
 *     raw           max(o, 0) - o t + log(1 + e^-|o|)     gradient sigmoid(o) - t
 *     probability   -t log o - (1 - t) log(1 - o), each logarithm at least -100     gradient (o - t) / max(o (1 - o), 1e-12)
 *   mse             the mean of (o - t)^2      gradient 2 (o - t) / k
 *   mae             the mean of |o - t|        gradient sign(o - t) / k
 *   huber           the mean of e^2 / 2 within delta, delta (|e| - delta / 2) beyond     gradient clamp(e, delta) / k
 *
 * Subtracting the maximum keeps exp from overflowing and the sum at 1 or more. The clamps keep log and division finite
 * when a softmax or a sigmoid has run into 0 or 1. Sums are kept in double: they are what reports print. NaN is never hidden:
 * comparisons are written so that it passes. The plain forms that most jobs train with have loops of their own. */
#include "core/eval/loss.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define PROB_MIN 1e-12f
#define LOG_MIN (-100.0)

static float target_at(const float *t, int32_t c, int64_t j)
{
	return t != NULL ? t[j] : j == c ? 1.0f : 0.0f;
}

static double weight_of(const struct pare_objective *a, int64_t j)
{
	return a->class_weights != NULL && (size_t)j < a->n_class_weights ? a->class_weights[j] : 1.0;
}

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

static double (*const class_table[])(const float *o, int64_t k, int32_t c, float scale, float *grad) = {
    [PARE_OUTPUT_RAW] = raw_row,
    [PARE_OUTPUT_PROBABILITY] = probability_row,
    [PARE_OUTPUT_LOG_PROBABILITY] = log_row,
    [PARE_OUTPUT_SIGMOID] = raw_row, /* numbers in (0, 1) that do not add up to 1: as good as any logits */
};

/* The label of output j after smoothing and weighting. */
static double distributed(const struct pare_objective *a, int64_t k, int32_t c, const float *t, int64_t j)
{
	return weight_of(a, j) * ((1 - a->smoothing) * (double)target_at(t, c, j) + a->smoothing / (double)k);
}

static double log_sum_exp(const float *o, int64_t k, double *max)
{
	double sum = 0;

	*max = (double)o[0];
	for (int64_t j = 1; j < k; j++)
		*max = (double)o[j] > *max ? (double)o[j] : *max;
	for (int64_t j = 0; j < k; j++)
		sum += exp((double)o[j] - *max);
	return *max + log(sum);
}

static double soft_row(const struct pare_objective *a, enum pare_output_kind kind, const float *o, int64_t k, int32_t c, const float *t, float scale, float *grad)
{
	bool raw = kind == PARE_OUTPUT_RAW || kind == PARE_OUTPUT_SIGMOID;
	double max = 0, lse = raw ? log_sum_exp(o, k, &max) : 0, all = 0, sum = 0;

	for (int64_t j = 0; j < k; j++)
		all += distributed(a, k, c, t, j);
	for (int64_t j = 0; j < k; j++) {
		double q = distributed(a, k, c, t, j);
		float p = o[j] < PROB_MIN ? PROB_MIN : o[j];

		sum -= q * (kind == PARE_OUTPUT_PROBABILITY ? log((double)p) : (double)o[j] - lse);
		if (grad == NULL)
			continue;
		if (kind == PARE_OUTPUT_PROBABILITY)
			grad[j] = (float)(-(double)scale * q / (double)p);
		else
			grad[j] = (float)((double)scale * ((raw ? all * exp((double)o[j] - lse) : 0) - q));
	}
	return sum;
}

static double cross_entropy(const struct pare_objective *a, enum pare_output_kind kind, const float *o, int64_t k, int32_t c, const float *t, float scale,
    float *grad)
{
	if (t == NULL && a->class_weights == NULL && !(a->smoothing > 0))
		return class_table[kind](o, k, c, scale, grad);
	return soft_row(a, kind, o, k, c, t, scale, grad);
}

static double kl(const struct pare_objective *a, enum pare_output_kind kind, const float *o, int64_t k, int32_t c, const float *t, float scale, float *grad)
{
	double sum = cross_entropy(a, kind, o, k, c, t, scale, grad);

	for (int64_t j = 0; t != NULL && j < k; j++)
		sum += t[j] > 0 ? (double)t[j] * log((double)t[j]) : 0;
	return sum;
}

static double bce_raw(double o, double t, double *slope)
{
	double small = exp(-fabs(o));

	*slope = (o > 0 ? 1 / (1 + small) : small / (1 + small)) - t;
	return (o < 0 ? 0 : o) - o * t + log1p(small);
}

static double bce_probability(double o, double t, double *slope)
{
	double yes = log(o), no = log1p(-o), width = o * (1 - o);

	*slope = (o - t) / (width < 1e-12 ? 1e-12 : width);
	yes = yes < LOG_MIN ? LOG_MIN : yes;
	no = no < LOG_MIN ? LOG_MIN : no;
	return -t * yes - (1 - t) * no;
}

static double bce(const struct pare_objective *a, enum pare_output_kind kind, const float *o, int64_t k, int32_t c, const float *t, float scale, float *grad)
{
	bool probability = kind == PARE_OUTPUT_SIGMOID || kind == PARE_OUTPUT_PROBABILITY;
	double sum = 0, slope;

	for (int64_t j = 0; j < k; j++) {
		double want = (1 - a->smoothing) * (double)target_at(t, c, j) + a->smoothing / 2, w = weight_of(a, j) / (double)k;
		double out = kind == PARE_OUTPUT_LOG_PROBABILITY ? exp((double)o[j]) : (double)o[j];

		sum += w * (probability || kind == PARE_OUTPUT_LOG_PROBABILITY ? bce_probability(out, want, &slope) : bce_raw(out, want, &slope));
		if (kind == PARE_OUTPUT_LOG_PROBABILITY)
			slope *= out;
		if (grad != NULL)
			grad[j] = (float)((double)scale * w * slope);
	}
	return sum;
}

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

static double mse(const struct pare_objective *a, enum pare_output_kind kind, const float *o, int64_t k, int32_t c, const float *t, float scale, float *grad)
{
	(void)a;
	(void)kind;
	return t != NULL ? squares_row(o, k, t, scale, grad) : one_hot_row(o, k, c, scale, grad);
}

static double mae(const struct pare_objective *a, enum pare_output_kind kind, const float *o, int64_t k, int32_t c, const float *t, float scale, float *grad)
{
	float step = scale / (float)k;
	double sum = 0;

	(void)a;
	(void)kind;
	for (int64_t j = 0; j < k; j++) {
		float e = o[j] - target_at(t, c, j);

		sum += fabs((double)e);
		if (grad != NULL)
			grad[j] = e > 0 ? step : e < 0 ? -step : e * step;
	}
	return sum / (double)k;
}

static double huber(const struct pare_objective *a, enum pare_output_kind kind, const float *o, int64_t k, int32_t c, const float *t, float scale, float *grad)
{
	double step = (double)scale / (double)k, sum = 0, d = a->delta;

	(void)kind;
	for (int64_t j = 0; j < k; j++) {
		double e = (double)o[j] - (double)target_at(t, c, j);

		sum += fabs(e) > d ? d * (fabs(e) - d / 2) : e * e / 2;
		if (grad != NULL)
			grad[j] = (float)(step * (e > d ? d : e < -d ? -d : e));
	}
	return sum / (double)k;
}

const struct pare_loss pare_loss_table[] = {
    {.name = "cross_entropy", .labels = PARE_LABELS_DISTRIBUTION, .by_weight = true, .row = cross_entropy},
    {.name = "kl", .labels = PARE_LABELS_DISTRIBUTION, .row = kl},
    {.name = "bce", .row = bce},
    {.name = "mse", .row = mse},
    {.name = "mae", .row = mae},
    {.name = "huber", .row = huber},
    {.name = NULL},
};

const struct pare_loss *pare_loss_find(const char *name)
{
	for (const struct pare_loss *l = pare_loss_table; l->name != NULL; l++)
		if (strcmp(l->name, name) == 0)
			return l;
	return NULL;
}

struct pare_objective pare_objective(const char *name)
{
	struct pare_objective a = {.loss = pare_loss_find(name), .delta = 1};

	assert(a.loss != NULL);
	return a;
}

double pare_loss_rows(const struct pare_objective *a, enum pare_output_kind kind, const float *out, int64_t count, int64_t k, const int32_t *classes,
    const float *targets, float scale, float *grad)
{
	double sum = 0;

	for (int64_t i = 0; i < count; i++)
		sum += a->loss->row(a, kind, out + i * k, k, classes != NULL ? classes[i] : -1, classes != NULL ? NULL : targets + i * k, scale, grad != NULL ? grad + i * k : NULL);
	return sum;
}

double pare_loss_weight(const struct pare_objective *a, const int32_t *classes, int64_t n)
{
	bool weighted = a->loss->by_weight && a->class_weights != NULL;
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		if (classes[i] >= 0)
			sum += weighted ? weight_of(a, classes[i]) : 1;
	return sum;
}
