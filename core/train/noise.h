/* Weights that are random while they are trained, so that training finds out which of them can be left out: each has a number of its own beside it, the
 * measure, that says how much noise it bears (variational) or how likely it is to be there (l0), and that is trained with it. In every step weights are drawn anew, one draw for the whole
 * batch; between epochs, and at the end, they are what is left of them without chance, zeros included. One row per method (noise.c); names match the catalog. Prunable tensors only. */
#ifndef PARE_TRAIN_NOISE_H
#define PARE_TRAIN_NOISE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/graph/net.h"
#include "core/prune/prune.h"

struct pare_noise_args {
	double lambda;    /* weight of the complexity, over the number of training rows, in the loss */
	double warmup;    /* epochs in which it rises from 0 */
	double start;     /* of every measure: variational: log sigma^2; l0: the share of weights that are there */
	double threshold; /* variational: weights go whose log alpha = log sigma^2 - log w^2 is above it */
};

/* Over n elements: w is the weight itself, without noise; m its measure. */
struct pare_noise_method {
	const char *name;
	double (*quantile)(double p);                         /* of what is drawn */
	float (*start)(const struct pare_noise_args *a);      /* measure of every weight */
	/* Draws by e; kept is what grad needs of it. out may be w. */
	void (*draw)(size_t n, const float *w, const float *m, const float *e, float *kept, float *out);
	/* g: the gradient by the drawn weight on entry, by w on return; gm: by m. scale: of the complexity. */
	void (*grad)(size_t n, float scale, const float *w, const float *m, const float *kept, float *g, float *gm);
	double (*cost)(const struct pare_noise_args *a, float w, float m); /* complexity of one weight; of use to tests */
	void (*settle)(const struct pare_noise_args *a, size_t n, const float *m, float *w); /* without chance */
};
extern const struct pare_noise_method pare_noise_table[]; /* ends with name NULL */
const struct pare_noise_method *pare_noise_find(const char *name);

/* Of a run's options. */
struct pare_noise {
	const struct pare_noise_method *method;
	struct pare_noise_args args;
};

#define PARE_NOISE_DRAWS 4096
/* Of a run. Slabs are as long as the net's. */
struct pare_noise_run {
	const struct pare_noise *what;
	float *measure, *state[2]; /* trained: by the run's optimizer, with slabs of its own */
	float *weights;            /* as they are without noise, while the net's are drawn; or while those are settled */
	float *kept, *gradient;
	float draws[PARE_NOISE_DRAWS]; /* equally likely values */
};
/* n_state: slabs of the optimizer. */
PARE_MUST_USE enum pare_code pare_noise_new(const struct pare_noise *what, const struct pare_net *net, int n_state, struct pare_noise_run **out, struct pare_err *err);
void pare_noise_free(struct pare_noise_run *r);
/* Thread t of n draws its share of the weights, by (seed, index) alone, and keeps them. mask: NULL, or what stays zero. */
void pare_noise_draw(struct pare_noise_run *r, struct pare_net *net, const struct pare_mask *mask, uint64_t seed, uint64_t index, int t, int n);
/* The slab's floats [begin, end): back to the weights without noise, and gradients g of drawn weights to those of weights and measures. */
void pare_noise_undraw(struct pare_noise_run *r, float *slab, float *g, float scale, size_t begin, size_t end);
/* The net's weights without chance; and back to what they were. */
void pare_noise_settle(struct pare_noise_run *r, struct pare_net *net);
void pare_noise_unsettle(struct pare_noise_run *r, struct pare_net *net);

#endif
