/* Is the difference between two models real? Both answered the same rows, so only the rows on which exactly one is right
 * say anything: b (only before) and c (only after).
 *
 * McNemar, exact: under "no difference" b is binomial (b + c, 1/2), p = 2 P(X <= min(b, c)), at most 1. The largest term
 * comes from log-gamma, the ones below it from their ratio i / (n - i + 1), until they no longer count. Exact instead of
 * chi-square, because a good pruned model has few such rows.
 *
 * Interval: Newcombe 1998 (Statistics in Medicine 17:2635), method 10: Wilson's intervals of both accuracies, joined with
 * the correlation phi of the pairs, continuity corrected. Unlike Wald's it keeps its coverage near accuracies of 1. */
#include <assert.h>
#include <math.h>

#include "core/eval/eval_priv.h"

#define Z95 1.959963984540054

double eval_mcnemar(int64_t b, int64_t c)
{
	double n = (double)(b + c);
	int64_t low = b < c ? b : c;
	double i = (double)low;
	double term, sum;
	int sign;

	if (b == c)
		return 1;
	term = exp(lgamma_r(n + 1, &sign) - lgamma_r(i + 1, &sign) - lgamma_r(n - i + 1, &sign) - n * log(2));
	sum = term;
	for (; i > 0 && term > sum * 1e-18; i--) {
		term *= i / (n - i + 1);
		sum += term;
	}
	return 2 * sum < 1 ? 2 * sum : 1;
}

static void wilson(double x, double n, double *low, double *high)
{
	double p = x / n, z2 = Z95 * Z95;
	double mid = (p + z2 / (2 * n)) / (1 + z2 / n);
	double half = Z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));

	*low = x > 0 ? mid - half : 0;
	*high = x < n ? mid + half : 1;
}

static double correlation(double a, double b, double c, double d)
{
	double margins = (a + b) * (c + d) * (a + c) * (b + d);
	double top = a * d - b * c;
	double n = a + b + c + d;

	if (margins <= 0)
		return 0;
	if (top > 0)
		top = top > n / 2 ? top - n / 2 : 0;
	return top / sqrt(margins);
}

/* sqrt of x^2 - 2 phi x y + y^2, which rounding may take below 0. */
static double joined(double x, double y, double phi)
{
	double v = x * x - 2 * phi * x * y + y * y;

	return v > 0 ? sqrt(v) : 0;
}

void eval_newcombe(int64_t both, int64_t only_before, int64_t only_after, int64_t neither, double *low, double *high)
{
	double a = (double)both, b = (double)only_before, c = (double)only_after, d = (double)neither;
	double n = a + b + c + d, p1, p2, l1, u1, l2, u2, phi;

	*low = *high = 0;
	if (n <= 0)
		return;
	p1 = (a + b) / n;
	p2 = (a + c) / n;
	wilson(a + b, n, &l1, &u1);
	wilson(a + c, n, &l2, &u2);
	phi = correlation(a, b, c, d);
	*low = p1 - p2 - joined(p1 - l1, u2 - p2, phi);
	*high = p1 - p2 + joined(u1 - p1, p2 - l2, phi);
}

void pare_eval_paired(const struct pare_dataset *d, int y, enum pare_split split, const struct pare_metrics *before,
    const struct pare_metrics *after, struct pare_paired *out)
{
	uint32_t n;
	const uint32_t *rows = pare_data_rows(d, split, &n);
	int64_t both = 0, neither = 0, differ = 0;

	*out = (struct pare_paired){.n = n, .mcnemar_p = 1};
	if (before->predicted == NULL || after->predicted == NULL)
		return;
	assert(before->n == n && after->n == n);
	for (uint32_t i = 0; i < n; i++) {
		int32_t c = -1;
		bool was, is;

		pare_data_classes(d, y, rows + i, 1, &c);
		was = before->predicted[i] == c;
		is = after->predicted[i] == c;
		both += was && is;
		neither += !was && !is;
		out->only_before += was && !is;
		out->only_after += is && !was;
		differ += before->predicted[i] != after->predicted[i];
	}
	if (n == 0)
		return;
	out->drop = (double)(out->only_before - out->only_after) / n;
	out->churn = (double)differ / n;
	out->mcnemar_p = eval_mcnemar(out->only_before, out->only_after);
	eval_newcombe(both, out->only_before, out->only_after, neither, &out->drop_low, &out->drop_high);
}
