/* What a step does to weights besides the gradient of the loss: penalties, clipping. One row per regularizer (regularize.c); names
 * match the catalog. A penalty acts on prunable tensors only, and several can act together: all gradients and decays come
 * before the optimizer, all proximal steps after it, each in the order in which they were given. */
#ifndef PARE_TRAIN_REGULARIZE_H
#define PARE_TRAIN_REGULARIZE_H

#include <stddef.h>
#include <stdint.h>

struct pare_penalty_args {
	double lambda, l1_ratio;
};

/* The groups of one tensor [outer, n, inner]: group i is all that has the middle index i. */
struct pare_groups {
	float *w;
	int64_t outer, n, inner;
};

struct pare_regularizer {
	const char *name;
	/* Each may be NULL. Elements w[0..n) and their gradients; lr is that of the step. */
	void (*gradient)(const struct pare_penalty_args *a, size_t n, const float *w, float *g); /* adds that of a smooth penalty to g */
	void (*decay)(const struct pare_penalty_args *a, double lr, size_t n, float *w);         /* shrinks w before the optimizer */
	void (*shrink)(const struct pare_penalty_args *a, double lr, size_t n, float *w);        /* proximal step after it */
	void (*groups)(const struct pare_penalty_args *a, double lr, const struct pare_groups *g, int64_t first, int64_t end); /* the same on groups [first, end) */
};
extern const struct pare_regularizer pare_regularizer_table[]; /* ends with name NULL */
const struct pare_regularizer *pare_regularizer_find(const char *name);

struct pare_penalty {
	const struct pare_regularizer *regularizer;
	struct pare_penalty_args args;
};

/* w = min(max(w, -bound), bound), bound > 0; NaN stays NaN. Weights and gradients. */
void pare_clip(size_t n, float bound, float *w);

#endif
