/* Shared by the files of factorize: ranks, and what they cost. */
#ifndef PARE_COMPRESS_FACTORIZE_PRIV_H
#define PARE_COMPRESS_FACTORIZE_PRIV_H

#include "core/compress/factorize.h"
#include "core/compress/svd.h"

/* A convolution's window: what each of its three factors costs at one position of the output. */
struct pare_window {
	double outputs, inputs, size, steps; /* steps: positions of the input for one of the output */
};
struct pare_window pare_window_of(const struct pare_node *n, const struct pare_tensor *t);

/* The rank of two factors by opt's amount. */
size_t pare_factor_rank(const struct pare_svd *d, const struct pare_factorize_options *opt);
/* Of three factors: of outputs, or if d is of the inputs (outputs > 0) of those. */
double pare_window_rank(const struct pare_svd *d, const struct pare_factorize_options *opt, const struct pare_window *win, double outputs);
bool pare_factor_is_cheaper(const struct pare_window *win, const struct pare_factor *l);
bool pare_factor_is_tucker(const struct pare_factorize_options *opt, const struct pare_factor *l, const struct pare_window *win); /* in three factors */
/* a x b x size as b x a x size. */
void pare_swap_channels(float *to, const float *from, size_t a, size_t b, size_t size);
/* The layer's weight, which must be finite; *out is pare_free'd by the caller, also after an error. */
PARE_MUST_USE enum pare_code pare_factor_weight(const struct pare_model *m, const struct pare_factor *l, float **out, struct pare_err *err);
/* Scope global: sets share of all layers. */
PARE_MUST_USE enum pare_code pare_factor_allocate(const struct pare_model *m, const struct pare_factorize_options *opt, struct pare_factor *layers, int n, struct pare_err *err);
/* Do the ranks that were decided keep to the budget? */
PARE_MUST_USE enum pare_code pare_factor_check_budget(const struct pare_model *m, const struct pare_factorize_options *opt, const struct pare_factor *layers, int n, struct pare_err *err);

#endif
