/* Two methods in one frame.
 *
 *   variational  (Molchanov, Ashukha, Vetrov 2017, arXiv:1701.05369)   w' = w + sigma e, e normal; measure m = log sigma^2
 *                alpha = sigma^2 / w^2; complexity  -k1 s(k2 + k3 log alpha) + 1/2 log(1 + 1 / alpha) + k1, the Kullback-Leibler divergence from a log-uniform prior by their fit
 *                at the end w where log alpha <= threshold, else 0
 *   l0           (Louizos, Welling, Kingma 2018, arXiv:1712.01312)     w' = w z, z = clamp(s (zeta - gamma) + gamma, 0, 1), s = sigmoid((e + m) / beta), e logistic; m = log a
 *                complexity: how likely z is not 0, sigmoid(m - beta log(-gamma / zeta)); at the end w clamp(sigmoid(m) (zeta - gamma) + gamma, 0, 1)
 *
 * Both papers also draw an output's noise for each row of a batch (local reparametrisation), which lessens the variance and needs an operator of its own for every kind of layer. One
 * draw of the weights for a batch is the same estimator with more variance (Blundell et al. 2015, arXiv:1505.05424), and works for whatever reads a weight: products,
 * convolutions, recurrent layers, shared initializers.
 *
 * Noise comes from a table of equally likely quantiles, 4,096 of them, scaled to the variance of what they stand for: a draw is twelve bits and a look into the first-level cache, where a normal
 * number by its formulas costs as much as the layer. Streams are named by the place in a tensor, so that draws do not depend on threads. The logarithm is ours for the reason
 * that exp is (core/ops/kernels/float_math.h): a call in a loop keeps it from being vectorised. */
#include "core/train/noise.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/multiarch.h"
#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/ops/kernels/float_math.h"

#define BLOCK ((size_t)2048)

/* --- variational */

#define K1 0.63576f
#define K2 1.87320f
#define K3 1.48695f
#define ALPHA_MAX 8.0f /* of |log alpha|: beyond it the complexity is flat */
#define TINY 1e-8f

/* ln x of a normal number above 0, within 2 ulp (Cephes logf). */
static inline float log_normal(float x)
{
	uint32_t u = float_bits(x) - 0x3F3504F3U; /* of sqrt(1/2) */
	float e = (float)((int32_t)u >> 23), f = bits_float((u & 0x007FFFFFU) + 0x3F3504F3U) - 1.0f, z = f * f, p = 7.0376836292e-2f;

	p = MUL_ADD(p, f, -1.1514610310e-1f);
	p = MUL_ADD(p, f, 1.1676998740e-1f);
	p = MUL_ADD(p, f, -1.2420140846e-1f);
	p = MUL_ADD(p, f, 1.4249322787e-1f);
	p = MUL_ADD(p, f, -1.6668057665e-1f);
	p = MUL_ADD(p, f, 2.0000714765e-1f);
	p = MUL_ADD(p, f, -2.4999993993e-1f);
	p = MUL_ADD(p, f, 3.3333331174e-1f);
	p = p * f * z;
	p = MUL_ADD(e, -2.12194440e-4f, p);
	return MUL_ADD(e, 0.693359375f, f + MUL_ADD(-0.5f, z, p));
}

static inline float sigmoid1(float x)
{
	return 1.0f / (1.0f + exp1(-x));
}

static inline float log_alpha(float w, float m)
{
	return m - log_normal(w * w + TINY);
}

/* Acklam's rational fit of the normal quantile and one step of Halley's method: exact in double. */
static double normal_quantile(double p)
{
	static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02, 1.383577518672690e+02, -3.066479806614716e+01, 2.506628277459239e+00};
	static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01, -1.328068155288572e+01};
	static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00, -2.549732539343734e+00, 4.374664141464968e+00, 2.938163982698783e+00};
	static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00};
	double q = p < 0.5 ? p : 1 - p, x, e, u;

	if (q < 0.02425) {
		double t = sqrt(-2 * log(q));

		x = (((((c[0] * t + c[1]) * t + c[2]) * t + c[3]) * t + c[4]) * t + c[5]) / ((((d[0] * t + d[1]) * t + d[2]) * t + d[3]) * t + 1);
	} else {
		double t = q - 0.5, r = t * t;

		x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * t / (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
	}
	e = 0.5 * erfc(-x / sqrt(2.0)) - q;
	u = e * 2.50662827463100050242 * exp(x * x / 2);
	x -= u / (1 + x * u / 2);
	return p < 0.5 ? x : -x;
}

static float variational_start(const struct pare_noise_args *a)
{
	return (float)a->start;
}

PARE_MULTIARCH
static void variational_draw(size_t n, const float *w, const float *m, const float *e, float *kept, float *out)
{
	PARE_LANES
	for (size_t i = 0; i < n; i++) {
		kept[i] = exp1(0.5f * m[i]) * e[i];
		out[i] = w[i] + kept[i];
	}
}

PARE_MULTIARCH
static void variational_grad(size_t n, float scale, const float *w, const float *m, const float *kept, float *g, float *gm)
{
	PARE_LANES
	for (size_t i = 0; i < n; i++) {
		float squared = w[i] * w[i] + TINY, a = m[i] - log_normal(squared), s = sigmoid1(K2 + K3 * a);
		float slope = -0.5f * sigmoid1(-a) - K1 * K3 * s * (1.0f - s);

		slope = fabsf(a) < ALPHA_MAX ? scale * slope : 0.0f;
		gm[i] = 0.5f * g[i] * kept[i] + slope;
		g[i] -= slope * 2.0f * w[i] / squared;
	}
}

static double variational_cost(const struct pare_noise_args *args, float w, float m)
{
	double a = (double)m - log((double)w * w + (double)TINY);

	(void)args;
	a = fmax(-(double)ALPHA_MAX, fmin((double)ALPHA_MAX, a));
	return 0.5 * log1p(exp(-a)) + (double)K1 - (double)K1 / (1 + exp(-((double)K2 + (double)K3 * a)));
}

static void variational_settle(const struct pare_noise_args *a, size_t n, const float *m, float *w)
{
	for (size_t i = 0; i < n; i++)
		w[i] = log_alpha(w[i], m[i]) <= (float)a->threshold ? w[i] : 0.0f;
}

/* --- l0 */

#define BETA (2.0f / 3.0f)
#define GAMMA (-0.1f)
#define ZETA 1.1f
#define SHIFT (-1.5985968f) /* BETA log(-GAMMA / ZETA) */

static double logistic_quantile(double p)
{
	return log(p / (1 - p));
}

static float l0_start(const struct pare_noise_args *a)
{
	return (float)(log(a->start) - log(1 - a->start));
}

static inline float stretch(float s)
{
	float z = s * (ZETA - GAMMA) + GAMMA;

	z = z < 0.0f ? 0.0f : z;
	return z > 1.0f ? 1.0f : z;
}

PARE_MULTIARCH
static void l0_draw(size_t n, const float *w, const float *m, const float *e, float *kept, float *out)
{
	PARE_LANES
	for (size_t i = 0; i < n; i++) {
		kept[i] = stretch(sigmoid1((e[i] + m[i]) / BETA));
		out[i] = w[i] * kept[i];
	}
}

PARE_MULTIARCH
static void l0_grad(size_t n, float scale, const float *w, const float *m, const float *kept, float *g, float *gm)
{
	PARE_LANES
	for (size_t i = 0; i < n; i++) {
		float s = (kept[i] - GAMMA) / (ZETA - GAMMA), p = sigmoid1(m[i] - SHIFT);
		float slope = kept[i] > 0.0f && kept[i] < 1.0f ? (ZETA - GAMMA) / BETA * s * (1.0f - s) : 0.0f;

		gm[i] = g[i] * w[i] * slope + scale * p * (1.0f - p);
		g[i] *= kept[i];
	}
}

static double l0_cost(const struct pare_noise_args *a, float w, float m)
{
	(void)a;
	(void)w;
	return 1 / (1 + exp(-((double)m - (double)BETA * log(-(double)GAMMA / (double)ZETA))));
}

static void l0_settle(const struct pare_noise_args *a, size_t n, const float *m, float *w)
{
	(void)a;
	for (size_t i = 0; i < n; i++)
		w[i] *= stretch(sigmoid1(m[i]));
}

const struct pare_noise_method pare_noise_table[] = {
    {"variational", normal_quantile, variational_start, variational_draw, variational_grad, variational_cost, variational_settle},
    {"l0", logistic_quantile, l0_start, l0_draw, l0_grad, l0_cost, l0_settle},
    {.name = NULL},
};

const struct pare_noise_method *pare_noise_find(const char *name)
{
	for (const struct pare_noise_method *m = pare_noise_table; m->name != NULL; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

/* --- a run */

/* The middles of equal shares. Their variance is a little less than that of what they stand for (its tails are cut), which a factor mends; normal ones only: that of the logistic ones is
 * no part of the method, their quantiles are. */
static void fill_draws(const struct pare_noise_method *method, float *draws)
{
	double squares = 0, factor = 1;

	for (int i = 0; i < PARE_NOISE_DRAWS; i++) {
		double q = method->quantile((i + 0.5) / PARE_NOISE_DRAWS);

		squares += q * q;
		draws[i] = (float)q;
	}
	if (method->quantile == normal_quantile)
		factor = sqrt(PARE_NOISE_DRAWS / squares);
	for (int i = 0; i < PARE_NOISE_DRAWS; i++)
		draws[i] *= (float)factor;
}

static bool slab(size_t n, float **out)
{
	*out = pare_alloc_aligned(n * sizeof **out); /* zero */
	return *out != NULL;
}

enum pare_code pare_noise_new(const struct pare_noise *what, const struct pare_net *net, int n_state, struct pare_noise_run **out, struct pare_err *err)
{
	struct pare_noise_run *r = pare_calloc(1, sizeof *r);
	size_t len = pare_net_slab_len(net);
	float start;
	bool ok;

	if (r == NULL)
		return pare_err_nomem(err, sizeof *r);
	r->what = what;
	ok = slab(len, &r->measure) && slab(len, &r->weights) && slab(len, &r->kept) && slab(len, &r->gradient) && (n_state < 1 || slab(len, &r->state[0])) &&
	     (n_state < 2 || slab(len, &r->state[1]));
	if (!ok) {
		pare_noise_free(r);
		return pare_err_nomem(err, len * sizeof(float));
	}
	fill_draws(what->method, r->draws);
	start = what->method->start(&what->args);
	for (size_t i = 0; i < len; i++)
		r->measure[i] = start;
	*out = r;
	return PARE_OK;
}

void pare_noise_free(struct pare_noise_run *r)
{
	if (r == NULL)
		return;
	pare_free(r->measure);
	pare_free(r->weights);
	pare_free(r->kept);
	pare_free(r->gradient);
	pare_free(r->state[0]);
	pare_free(r->state[1]);
	pare_free(r);
}

static void draw_block(struct pare_noise_run *r, float *w, size_t at, size_t n, struct pare_rng *rng)
{
	float e[BLOCK];

	for (size_t i = 0; i < n;) {
		uint64_t bits = pare_rng_u64(rng);

		for (int k = 0; k < 5 && i < n; k++, bits >>= 12)
			e[i++] = r->draws[bits % PARE_NOISE_DRAWS];
	}
	memcpy(r->weights + at, w + at, n * sizeof *w);
	r->what->method->draw(n, r->weights + at, r->measure + at, e, r->kept + at, w + at);
}

void pare_noise_draw(struct pare_noise_run *r, struct pare_net *net, const struct pare_mask *mask, uint64_t seed, uint64_t index, int t, int n)
{
	float *w = pare_net_slab(net);
	uint64_t block = 0;

	for (int p = 0; p < pare_net_n_params(net); p++) {
		const struct pare_param_info *info = pare_net_param(net, p);

		for (size_t b = 0; info->prunable && b < info->n_elems; b += BLOCK, block++) {
			size_t at = info->offset + b, len = info->n_elems - b < BLOCK ? info->n_elems - b : BLOCK;
			struct pare_rng rng;

			if (block % (uint64_t)n != (uint64_t)t)
				continue;
			pare_rng_init(&rng, seed, "noise", index << 24 ^ block);
			draw_block(r, w, at, len, &rng);
			if (mask != NULL)
				pare_mask_apply(mask, w, at, at + len);
		}
	}
}

void pare_noise_undraw(struct pare_noise_run *r, float *slab_w, float *g, float scale, size_t begin, size_t end)
{
	size_t n = end - begin;

	memcpy(slab_w + begin, r->weights + begin, n * sizeof *slab_w);
	r->what->method->grad(n, scale, slab_w + begin, r->measure + begin, r->kept + begin, g + begin, r->gradient + begin);
}

void pare_noise_settle(struct pare_noise_run *r, struct pare_net *net)
{
	float *w = pare_net_slab(net);

	memcpy(r->weights, w, pare_net_slab_len(net) * sizeof *w);
	for (int p = 0; p < pare_net_n_params(net); p++) {
		const struct pare_param_info *info = pare_net_param(net, p);

		if (info->prunable)
			r->what->method->settle(&r->what->args, info->n_elems, r->measure + info->offset, w + info->offset);
	}
}

void pare_noise_unsettle(struct pare_noise_run *r, struct pare_net *net)
{
	memcpy(pare_net_slab(net), r->weights, pare_net_slab_len(net) * sizeof(float));
}
