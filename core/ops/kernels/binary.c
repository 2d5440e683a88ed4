/* binary.def, expanded. Each loop comes three times, because a stride that is a constant 0 or 1 is what lets the compiler
 * vectorise it. Max and Min are here for their forward; with more than two operands their gradient is another matter
 * (core/ops/variadic.c). */
#include "core/ops/kernels/binary.h"

#include <math.h>
#include <string.h>

#include "core/base/multiarch.h"

static inline float power(float a, float b, bool whole)
{
	return whole ? (float)trunc(pow((double)a, (double)b)) : b == 2.0f ? a * a : powf(a, b);
}

/* a - b floor(a / b) with the sign of b, without that quotient's rounding and where b is infinite. */
static inline float mod1(float a, float b)
{
	float r = fmodf(a, b);

	return r == 0.0f ? copysignf(r, b) : (r < 0.0f) != (b < 0.0f) ? r + b : r;
}

/* Past the width of any type nothing is left but the sign, as for a negative amount. */
static inline int shift1(float b)
{
	return b < 0.0f ? 64 : (int)fminf(b, 64.0f);
}

#define EACH(out, at_a, at_b, value) \
	PARE_LANES for (size_t i = 0; i < n; i++) { \
		const float a = as[at_a], b = bs[at_b]; \
\
		(void)a, (void)b; \
		out[i] = value; \
	}
#define OPERANDS size_t n, bool whole, const float *as, bool ma, const float *bs, bool mb
#define BODY(out, value) \
	{ \
		(void)whole; \
		if (ma && mb) \
			EACH(out, i, i, value) \
		else if (ma) \
			EACH(out, i, 0, value) \
		else if (mb) \
			EACH(out, 0, i, value) \
		else \
			EACH(out, 0, 0, value) \
	}

#define BINARY(name, since, args, types, value, slope_a, slope_b) \
	PARE_MULTIARCH static void name##_f(OPERANDS, float *y) BODY(y, value) \
	PARE_MULTIARCH static void name##_da(OPERANDS, const float *dy, float *out) BODY(out, dy[i] * (slope_a)) \
	PARE_MULTIARCH static void name##_db(OPERANDS, const float *dy, float *out) BODY(out, dy[i] * (slope_b))
#include "core/ops/kernels/binary.def"
#undef BINARY
PARE_MULTIARCH static void Max_f(OPERANDS, float *y) BODY(y, (a > b || a != a ? a : b))
PARE_MULTIARCH static void Min_f(OPERANDS, float *y) BODY(y, (a < b || a != a ? a : b))

static const struct pare_binary_kernel kernel_table[] = {
#define BINARY(name, since, args, types, value, slope_a, slope_b) {#name, name##_f, name##_da, name##_db},
#include "core/ops/kernels/binary.def"
#undef BINARY
    {"Max", Max_f, NULL, NULL},
    {"Min", Min_f, NULL, NULL},
};

const struct pare_binary_kernel *pare_binary_kernel(const char *name)
{
	for (size_t i = 0; i < sizeof kernel_table / sizeof kernel_table[0]; i++)
		if (strcmp(kernel_table[i].name, name) == 0)
			return &kernel_table[i];
	return NULL;
}
