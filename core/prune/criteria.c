/* What a weight is worth. One row per criterion; a score is larger for what should stay.
 *
 * magnitude: |w| (Han et al. 2015, "Learning both weights and connections"). Comparable across tensors only as far as
 * the layers are scaled alike; the scope "layer" is there for nets where they are not.
 * random: the baseline that every other criterion must beat. Its streams are named by seed, tensor and block, so the order
 * in which blocks are scored does not matter, and a second round with the same seed removes a superset of the first.
 *
 * lamp: the weight's share of what is left of its tensor once everything smaller has gone, w^2 / sum of u^2 over |u| >= |w|
 * (Lee et al. 2021, arXiv:2010.07611). It makes magnitudes of layers comparable without a parameter: every layer's largest weight
 * scores 1, so none is emptied.
 *
 * Gradient criteria rank by what the loss says on training rows: gradient |E g|, gradient_abs E|g|; snip |w E g| is the first-order change of the
 * loss when w goes (Lee et al. 2019, arXiv:1810.02340), taylor |w| E|g| the same without letting batches cancel (Molchanov et al.
 * 2017, arXiv:1611.06440), movement -w E g the drift towards or away from zero of the present weights, movement_sum the same summed over
 * training (Sanh et al. 2020, arXiv:2005.07683), fisher w^2 E[g^2] / 2 the second-order change with a diagonal Fisher matrix in
 * the place of the Hessian (LeCun et al. 1990; Theis et al. 2018, arXiv:1801.05787), hessian w^2 h / 2 with the Hessian's own diagonal h, estimated
 * by probes (Hutchinson 1989); of a structure it is the sum, as Yu et al. 2022, arXiv:2101.08940, rank by traces.
 *
 * Layer criteria rank by what the layer's inputs are on training rows: wanda |w| |x| (Sun et al. 2023, arXiv:2306.11695), obs
 * w^2 / (2 [H^-1]), what the layer's output loses when the weight goes and the others make up for it (Hassibi and Stork 1993; by layer: Dong
 * et al. 2017, arXiv:1705.07565). The reconstruct step is what then makes up for it.
 *
 * Scores are asked for a block at a time and more than once, so that nobody has to keep them: a criterion is a function
 * of what it is given. */
#include "core/prune/prune.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/multiarch.h"
#include "core/base/rng.h"

PARE_MULTIARCH
static void absolute(size_t n, const float *restrict w, float *restrict out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = fabsf(w[i]);
}

static void score_magnitude(const struct pare_score_input *in, float *out)
{
	absolute(in->n, in->w, out);
}

static void score_random(const struct pare_score_input *in, float *out)
{
	struct pare_rng rng;

	pare_rng_init(&rng, in->seed, "prune", (uint64_t)in->param_index << 40 | in->first / PARE_SCORE_BLOCK);
	for (size_t i = 0; i < in->n; i++)
		out[i] = pare_rng_uniform(&rng);
}

#define DIGIT_BITS 11
#define DIGITS ((size_t)1 << DIGIT_BITS)

/* Ascending order of non-negative finite floats, whose bits order like integers; tmp and the result are n long. */
static void sort_floats(size_t n, float *v, float *tmp)
{
	for (int shift = 0; shift < 32; shift += DIGIT_BITS) {
		size_t count[DIGITS + 1] = {0};
		float *swap;

		for (size_t i = 0; i < n; i++) {
			uint32_t bits;

			memcpy(&bits, &v[i], sizeof bits);
			count[(bits >> shift & (DIGITS - 1)) + 1]++;
		}
		for (size_t k = 0; k < DIGITS; k++)
			count[k + 1] += count[k];
		for (size_t i = 0; i < n; i++) {
			uint32_t bits;

			memcpy(&bits, &v[i], sizeof bits);
			tmp[count[bits >> shift & (DIGITS - 1)]++] = v[i];
		}
		swap = v;
		v = tmp;
		tmp = swap;
	}
	memcpy(tmp, v, n * sizeof *v); /* three passes: the order stands in the other array */
}

/* The first of sorted[n] that is not less than x. */
static size_t lower_bound(const float *sorted, size_t n, float x)
{
	size_t low = 0;

	while (n > 0) {
		size_t half = n / 2;

		if (sorted[low + half] < x) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low;
}

static enum pare_code score_lamp(const struct pare_score_input *in, float *out, struct pare_err *err)
{
	size_t n = in->param->n_elems;
	float *sorted = pare_calloc(n + 1, sizeof *sorted), *tmp = pare_calloc(n + 1, sizeof *tmp);
	double *tail = pare_calloc(n + 1, sizeof *tail);

	if (sorted == NULL || tmp == NULL || tail == NULL) {
		pare_free(sorted);
		pare_free(tmp);
		pare_free(tail);
		return pare_err_nomem(err, n * sizeof *tail);
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = fabsf(in->w[i]);
	sort_floats(n, sorted, tmp);
	for (size_t i = n; i > 0; i--)
		tail[i - 1] = tail[i] + (double)sorted[i - 1] * (double)sorted[i - 1];
	for (size_t i = 0; i < n; i++) {
		double w = fabs((double)in->w[i]), sum = tail[lower_bound(sorted, n, (float)w)];

		out[i] = sum > 0 ? (float)(w * w / sum) : 0.0f;
	}
	pare_free(sorted);
	pare_free(tmp);
	pare_free(tail);
	return PARE_OK;
}

static void score_gradient(const struct pare_score_input *in, float *out)
{
	for (size_t i = 0; i < in->n; i++)
		out[i] = fabsf(in->stat[in->first + i]);
}

static void score_product(const struct pare_score_input *in, float *out)
{
	for (size_t i = 0; i < in->n; i++)
		out[i] = fabsf(in->w[i] * in->stat[in->first + i]);
}

static void score_movement(const struct pare_score_input *in, float *out)
{
	for (size_t i = 0; i < in->n; i++)
		out[i] = -in->w[i] * in->stat[in->first + i];
}

static void score_stat(const struct pare_score_input *in, float *out)
{
	memcpy(out, in->stat + in->first, in->n * sizeof *out);
}

static void score_fisher(const struct pare_score_input *in, float *out)
{
	const float *w = in->w;

	for (size_t i = 0; i < in->n; i++)
		out[i] = 0.5f * w[i] * w[i] * in->stat[in->first + i];
}

static void score_obs(const struct pare_score_input *in, float *out)
{
	const float *w = in->w, *inverse = in->stat + in->first;

	for (size_t i = 0; i < in->n; i++)
		out[i] = inverse[i] > 0.0f ? 0.5f * w[i] * w[i] / inverse[i] : 0.5f * w[i] * w[i];
}

const struct pare_criterion pare_criterion_table[] = {
    {.name = "magnitude", .thresholds = true, .size = true, .score = score_magnitude},
    {.name = "random", .thresholds = false, .score = score_random},
    {.name = "lamp", .thresholds = true, .score_tensor = score_lamp},
    {.name = "gradient", .stat = PARE_STAT_GRAD, .thresholds = true, .score = score_gradient},
    {.name = "gradient_abs", .stat = PARE_STAT_GRAD_ABS, .thresholds = true, .score = score_gradient},
    {.name = "snip", .stat = PARE_STAT_GRAD, .thresholds = true, .score = score_product},
    {.name = "taylor", .stat = PARE_STAT_GRAD_ABS, .thresholds = true, .score = score_product},
    {.name = "movement", .stat = PARE_STAT_GRAD, .thresholds = true, .score = score_movement},
    {.name = "movement_sum", .stat = PARE_STAT_MOVED, .thresholds = true, .score = score_stat},
    {.name = "fisher", .stat = PARE_STAT_GRAD_SQUARE, .thresholds = true, .score = score_fisher},
    {.name = "hessian", .stat = PARE_STAT_CURVATURE, .thresholds = true, .score = score_fisher},
    {.name = "wanda", .stat = PARE_STAT_INPUT_NORM, .thresholds = true, .score = score_product},
    {.name = "obs", .stat = PARE_STAT_INVERSE, .thresholds = true, .score = score_obs},
    {.name = NULL},
};

const struct pare_criterion *pare_criterion_find(const char *name)
{
	for (const struct pare_criterion *c = pare_criterion_table; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}
