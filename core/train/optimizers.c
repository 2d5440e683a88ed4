/* Optimizers: element-wise updates of a slice of the parameter slab. The equations and the order of operations are
 * PyTorch's, so that a recipe means the same here and there:
 *
 *   sgd       v = momentum * v + g          (v starts at 0, so the first step has v = g)
 *             w -= lr * v                    or, nesterov: w -= lr * (g + momentum * v)
 *   adam      m = b1 m + (1 - b1) g          (Kingma and Ba 2015)
 *             v = b2 v + (1 - b2) g^2
 *             w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
 *   adamw     w -= lr * weight_decay * w, then adam   (Loshchilov and Hutter 2019)
 *   rmsprop   v = alpha v + (1 - alpha) g^2    (Tieleman and Hinton 2012)
 *             w -= lr * g / (sqrt(v) + epsilon)   or, with momentum, m = momentum m + that quotient; w -= lr * m
 *
 * What depends on the step alone (powers, roots) is worked out once a step in double, by prepare. The loops are plain
 * and take restrict pointers, for the compiler to vectorise: a step over the slab costs what reading and writing it
 * costs. That asks of gcc more than -O2 gives: loops of unknown length, and a square root that need not set errno. */
#include "core/train/train.h"

#include <math.h>
#include <string.h>

#include "core/base/multiarch.h"
#include "core/ops/kernels/elementwise.h"

#if defined(__GNUC__) && !defined(__clang__)
float sqrtf(float x) __attribute__((const)); /* never of a negative number here, so it never sets errno */
#endif

enum { C_LR, C_MOMENTUM };
enum { A_RATE, A_BETA1, A_REST1, A_BETA2, A_REST2, A_SCALE, A_EPSILON, A_KEEP };
enum { R_LR, R_ALPHA, R_REST, R_EPSILON, R_MOMENTUM };

PARE_MULTIARCH
static void sgd_plain(size_t n, float lr, const float *restrict g, float *restrict w)
{
	for (size_t i = 0; i < n; i++)
		w[i] -= lr * g[i];
}

PARE_MULTIARCH
static void sgd_momentum(size_t n, float lr, float momentum, const float *restrict g, float *restrict v, float *restrict w)
{
	for (size_t i = 0; i < n; i++) {
		v[i] = momentum * v[i] + g[i];
		w[i] -= lr * v[i];
	}
}

PARE_MULTIARCH
static void sgd_nesterov(size_t n, float lr, float momentum, const float *restrict g, float *restrict v, float *restrict w)
{
	for (size_t i = 0; i < n; i++) {
		v[i] = momentum * v[i] + g[i];
		w[i] -= lr * (g[i] + momentum * v[i]);
	}
}

static int sgd_n_state(const struct pare_optimizer_args *args)
{
	return args->momentum != 0.0 ? 1 : 0;
}

static void sgd_prepare(struct pare_update *u)
{
	u->coef[C_LR] = (float)u->lr;
	u->coef[C_MOMENTUM] = (float)u->args->momentum;
}

static void sgd_update(const struct pare_update *u)
{
	const float *g = u->g + u->begin;
	float *w = u->w + u->begin;
	size_t n = u->end - u->begin;
	float *v;

	if (u->args->momentum == 0.0) {
		sgd_plain(n, u->coef[C_LR], g, w);
		return;
	}
	v = u->state[0] + u->begin;
	if (u->args->nesterov)
		sgd_nesterov(n, u->coef[C_LR], u->coef[C_MOMENTUM], g, v, w);
	else
		sgd_momentum(n, u->coef[C_LR], u->coef[C_MOMENTUM], g, v, w);
}

/* rate = lr / (1 - b1^t), scale = 1 / sqrt(1 - b2^t), rest = 1 - beta. */
PARE_MULTIARCH
static void adam_loop(size_t n, const float *restrict c, const float *restrict g, float *restrict m,
    float *restrict v, float *restrict w)
{
	float rate = c[A_RATE], scale = c[A_SCALE], epsilon = c[A_EPSILON];
	float beta1 = c[A_BETA1], rest1 = c[A_REST1], beta2 = c[A_BETA2], rest2 = c[A_REST2];

	for (size_t i = 0; i < n; i++) {
		m[i] = beta1 * m[i] + rest1 * g[i];
		v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
		w[i] -= rate * m[i] / (sqrtf(v[i]) * scale + epsilon);
	}
}

static int adam_n_state(const struct pare_optimizer_args *args)
{
	(void)args;
	return 2;
}

static void adam_prepare(struct pare_update *u)
{
	const struct pare_optimizer_args *a = u->args;

	u->coef[A_RATE] = (float)(u->lr / (1.0 - pow(a->beta1, (double)u->step)));
	u->coef[A_BETA1] = (float)a->beta1;
	u->coef[A_REST1] = (float)(1.0 - a->beta1);
	u->coef[A_BETA2] = (float)a->beta2;
	u->coef[A_REST2] = (float)(1.0 - a->beta2);
	u->coef[A_EPSILON] = (float)a->epsilon;
	u->coef[A_SCALE] = (float)(1.0 / sqrt(1.0 - pow(a->beta2, (double)u->step)));
}

static void adam_update(const struct pare_update *u)
{
	size_t b = u->begin;

	adam_loop(u->end - b, u->coef, u->g + b, u->state[0] + b, u->state[1] + b, u->w + b);
}

static void adamw_prepare(struct pare_update *u)
{
	adam_prepare(u);
	u->coef[A_KEEP] = (float)(1.0 - u->lr * u->args->weight_decay);
}

static void adamw_update(const struct pare_update *u)
{
	if (u->decays)
		pare_k_scale(u->end - u->begin, u->w + u->begin, u->coef[A_KEEP], u->w + u->begin);
	adam_update(u);
}

PARE_MULTIARCH
static void rmsprop_plain(size_t n, const float *restrict c, const float *restrict g, float *restrict v, float *restrict w)
{
	float lr = c[R_LR], alpha = c[R_ALPHA], rest = c[R_REST], epsilon = c[R_EPSILON];

	for (size_t i = 0; i < n; i++) {
		v[i] = alpha * v[i] + rest * g[i] * g[i];
		w[i] -= lr * g[i] / (sqrtf(v[i]) + epsilon);
	}
}

PARE_MULTIARCH
static void rmsprop_momentum(size_t n, const float *restrict c, const float *restrict g, float *restrict v, float *restrict m, float *restrict w)
{
	float lr = c[R_LR], alpha = c[R_ALPHA], rest = c[R_REST], epsilon = c[R_EPSILON], momentum = c[R_MOMENTUM];

	for (size_t i = 0; i < n; i++) {
		v[i] = alpha * v[i] + rest * g[i] * g[i];
		m[i] = momentum * m[i] + g[i] / (sqrtf(v[i]) + epsilon);
		w[i] -= lr * m[i];
	}
}

static int rmsprop_n_state(const struct pare_optimizer_args *args)
{
	return args->momentum != 0.0 ? 2 : 1;
}

static void rmsprop_prepare(struct pare_update *u)
{
	u->coef[R_LR] = (float)u->lr;
	u->coef[R_ALPHA] = (float)u->args->alpha;
	u->coef[R_REST] = (float)(1.0 - u->args->alpha);
	u->coef[R_EPSILON] = (float)u->args->epsilon;
	u->coef[R_MOMENTUM] = (float)u->args->momentum;
}

static void rmsprop_update(const struct pare_update *u)
{
	size_t b = u->begin, n = u->end - b;

	if (u->args->momentum == 0.0)
		rmsprop_plain(n, u->coef, u->g + b, u->state[0] + b, u->w + b);
	else
		rmsprop_momentum(n, u->coef, u->g + b, u->state[0] + b, u->state[1] + b, u->w + b);
}

const struct pare_optimizer pare_optimizer_table[] = {
    {.name = "sgd", .n_state = sgd_n_state, .prepare = sgd_prepare, .update = sgd_update},
    {.name = "adam", .n_state = adam_n_state, .prepare = adam_prepare, .update = adam_update},
    {.name = "adamw", .n_state = adam_n_state, .prepare = adamw_prepare, .update = adamw_update},
    {.name = "rmsprop", .n_state = rmsprop_n_state, .prepare = rmsprop_prepare, .update = rmsprop_update},
    {.name = NULL},
};

const struct pare_optimizer *pare_optimizer_find(const char *name)
{
	for (const struct pare_optimizer *o = pare_optimizer_table; o->name != NULL; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}
