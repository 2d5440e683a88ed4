/* The range of an activation, from what was seen of it. Extremes are safe and, when a few values stand far out, coarse: every step of
 * the 255 gets as wide as the outliers want. Percentile and mean square look at the whole distribution, as a histogram between the
 * extremes (finding the ends of bins while values come in would make the result depend on their order).
 *
 * Error of a range, by bins: inside, a value is off by step^2 / 12 on average; outside, by its distance to the end. */
#include <math.h>

#include "core/compress/quantize.h"

#define N_TRIED 100

void pare_observed_extremes(struct pare_observed *o, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		o->low = x[i] < o->low ? x[i] : o->low;
		o->high = x[i] > o->high ? x[i] : o->high;
	}
}

void pare_observed_bins(struct pare_observed *o, const float *x, size_t n)
{
	float width = (o->high - o->low) / PARE_OBSERVED_BINS;

	for (size_t i = 0; i < n && width > 0; i++) {
		float k = (x[i] - o->low) / width;
		uint32_t *bin = &o->bins[!(k > 0) ? 0 : k >= PARE_OBSERVED_BINS ? PARE_OBSERVED_BINS - 1 : (int)k];

		*bin += *bin < UINT32_MAX;
	}
}

static void by_share(const struct pare_observed *o, double share, float *low, float *high)
{
	float width = (o->high - o->low) / PARE_OBSERVED_BINS;
	double all = 0, cut, below = 0, above = 0;
	int first = 0, last = PARE_OBSERVED_BINS;

	for (int i = 0; i < PARE_OBSERVED_BINS; i++)
		all += o->bins[i];
	cut = all * (1 - share) / (o->low < 0 ? 2 : 1); /* all of it at the one end that there is */
	while (first < last && o->low < 0 && below + o->bins[first] <= cut)
		below += o->bins[first++];
	while (last > first && above + o->bins[last - 1] <= cut)
		above += o->bins[--last];
	*low = fminf(o->low + width * (float)first, 0);
	*high = fmaxf(o->low + width * (float)last, 0);
}

static double expected_error(const struct pare_observed *o, double low, double high)
{
	double width = ((double)o->high - o->low) / PARE_OBSERVED_BINS, step = (high - low) / 255, sum = 0;

	for (int i = 0; i < PARE_OBSERVED_BINS; i++) {
		double x = o->low + width * (i + 0.5), out = x < low ? low - x : x > high ? x - high : 0;

		sum += o->bins[i] * (out > 0 ? out * out : step * step / 12);
	}
	return sum;
}

void pare_observed_range(const struct pare_observed *o, double share, bool mse, float *low, float *high)
{
	double least = INFINITY;

	*low = o->low;
	*high = o->high;
	if (share < 1)
		by_share(o, share, low, high);
	for (int i = 1; i <= N_TRIED && mse; i++) {
		double f = (double)i / N_TRIED, e = expected_error(o, o->low * f, o->high * f);

		if (e <= least) {
			least = e;
			*low = (float)(o->low * f);
			*high = (float)(o->high * f);
		}
	}
}
