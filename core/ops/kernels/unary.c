/* unary.def, expanded: two loops per row, which the compiler vectorises where the expression has no call of libm in it.
 * Rejected: a table of scalar functions {f, df} called per element, which is shorter by nothing and ten times slower for
 * the cheap half of the rows. */
#include "core/ops/kernels/unary.h"

#include <float.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/curves.h"
#include "core/ops/kernels/float_math.h"

static inline float sigmoid1(float x)
{
	return 1.0f / (1.0f + exp1(-x));
}

/* log(1 + e^x) without overflow */
static inline float softplus1(float x)
{
	return fmaxf(x, 0.0f) + log1pf(exp1(-fabsf(x)));
}

static inline float mish_slope(float x)
{
	float t = tanh1(softplus1(x));

	return t + x * (1.0f - t * t) * sigmoid1(x);
}

static inline float gelu_tanh(float x)
{
	return 0.5f * x * (1.0f + tanh1(0.7978845608f * (x + 0.044715f * x * x * x)));
}

static inline float gelu_tanh_slope(float x)
{
	float t = tanh1(0.7978845608f * (x + 0.044715f * x * x * x));

	return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * 0.7978845608f * (1.0f + 0.134145f * x * x);
}

#define SLOPES(result) \
	PARE_LANES for (size_t i = 0; i < n; i++) { \
		const float x = xs[i], y = ys[i]; \
\
		(void)x, (void)y; \
		dx[i] = result; \
	}
#define LOOPS(name, value, slope) \
	PARE_MULTIARCH static void name##_f(size_t n, float a, float b, const float *xs, float *ys) \
	{ \
		(void)a, (void)b; \
		PARE_LANES for (size_t i = 0; i < n; i++) { \
			const float x = xs[i]; \
\
			ys[i] = value; \
		} \
	} \
	PARE_MULTIARCH static void name##_df(size_t n, float a, float b, const float *xs, const float *ys, const float *dy, bool acc, float *dx) \
	{ \
		(void)a, (void)b; \
		if (acc) \
			SLOPES(dx[i] + dy[i] * (slope)) \
		else \
			SLOPES(dy[i] * (slope)) \
	}

#define UNARY(name, since, args, types, uses, value, slope) LOOPS(name, value, slope)
#include "core/ops/kernels/unary.def"
#undef UNARY
LOOPS(Clip, (x < a ? (a < b ? a : b) : x > b ? b : x), (x < a || x > b ? 0.0f : 1.0f))

const struct pare_unary_kernel pare_k_clip = {"Clip", Clip_f, Clip_df};

/* What curves.h has is faster there, and the same but for rounding. */
static void exp_f(size_t n, float a, float b, const float *x, float *y)
{
	(void)a, (void)b;
	pare_curves()->exp(n, x, 0.0f, y);
}

static void erf_f(size_t n, float a, float b, const float *x, float *y)
{
	(void)a, (void)b;
	pare_curves()->erf(n, x, y);
}

static void gelu_f(size_t n, float a, float b, const float *x, float *y)
{
	if (a != 0.0f)
		Gelu_f(n, a, b, x, y);
	else
		pare_curves()->gelu(n, x, y);
}

static void gelu_df(size_t n, float a, float b, const float *x, const float *y, const float *dy, bool acc, float *dx)
{
	if (a != 0.0f)
		Gelu_df(n, a, b, x, y, dy, acc, dx);
	else
		pare_curves()->gelu_grad(n, x, dy, acc, dx);
}

/* The first of a name counts. */
static const struct pare_unary_kernel kernel_table[] = {
    {"Exp", exp_f, Exp_df},
    {"Erf", erf_f, Erf_df},
    {"Gelu", gelu_f, gelu_df},
#define UNARY(name, since, args, types, uses, value, slope) {#name, name##_f, name##_df},
#include "core/ops/kernels/unary.def"
#undef UNARY
};

const struct pare_unary_kernel *pare_unary_kernel(const char *name)
{
	for (size_t i = 0; i < sizeof kernel_table / sizeof kernel_table[0]; i++)
		if (strcmp(kernel_table[i].name, name) == 0)
			return &kernel_table[i];
	return NULL;
}
