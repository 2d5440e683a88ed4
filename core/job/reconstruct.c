/* The reconstruct step: layer after layer, from the inputs on, what is left of each is refitted to what the dense layer gave. The
 * inputs of a layer are those that it really gets, from the layers already refitted, so errors do not pile up.
 *
 * Layers before the first one that lost a weight stay as they are: their inputs and supports are whole, and the minimum is
 * where they stand. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/job_priv.h"
#include "core/prune/reconstruct.h"
#include "core/train/calibrate.h"

#define TOLERANCE 1e-5
#define MAX_INPUTS 16384 /* of a layer: a gibibyte of second moments */

struct work {
	float *gram, *cross, *w; /* [n, n], [n_out, n], [n_out, n]; n counts the bias */
	uint8_t *keep;
};

double job_reconstruct_units(const struct job_run *r, size_t step)
{
	(void)r;
	(void)step;
	return 2 * JOB_ROUND_UNITS;
}

static bool is_whole(const struct job_run *r, const struct pare_layer *l)
{
	const struct pare_param_info *p = pare_net_param(r->net, l->weight);

	return memchr(r->mask.keep + p->offset, 0, p->n_elems) == NULL;
}

static enum pare_code work_alloc(struct work *k, const struct pare_layer *l, size_t n, struct pare_err *err)
{
	size_t m = (size_t)l->product.n_out;

	if (n > MAX_INPUTS)
		return pare_err_set(err, PARE_E_LIMIT, l->where, "the layer has %zu inputs; up to %d can be refitted: name it in exclude", n, MAX_INPUTS);
	k->gram = pare_calloc(n, n * sizeof *k->gram);
	k->cross = pare_calloc(2 * m, n * sizeof *k->cross);
	k->keep = pare_calloc(m, n);
	if (k->gram == NULL || k->cross == NULL || k->keep == NULL)
		return pare_err_nomem(err, n * n * sizeof *k->gram);
	k->w = k->cross + m * n;
	return PARE_OK;
}

static void work_done(struct work *k)
{
	pare_free(k->gram);
	pare_free(k->cross);
	pare_free(k->keep);
}

/* Weights and bias between the slab and rows of n numbers; the bias is the last of a row and always kept. */
static void move(struct job_run *r, const struct pare_layer *l, size_t n, struct work *k, bool back)
{
	const struct pare_param_info *w = pare_net_param(r->net, l->weight), *b = l->bias >= 0 ? pare_net_param(r->net, l->bias) : NULL;
	const struct pare_product *p = &l->product;
	float *slab = pare_net_slab(r->net);

	for (size_t o = 0; o < (size_t)p->n_out; o++)
		for (size_t i = 0; i < n; i++) {
			bool bias = i == (size_t)p->n_in;
			size_t at = bias ? b->offset + (size_t)(l->group * p->n_out) + o
			                 : w->offset + (size_t)(l->group * p->w_group) + o * (size_t)p->w_out + i * (size_t)p->w_in;

			if (back)
				slab[at] = k->w[o * n + i];
			k->w[o * n + i] = slab[at];
			k->keep[o * n + i] = bias ? 1 : r->mask.keep[at];
		}
}

static enum pare_code refit(struct job_run *r, const struct pare_args *args, struct pare_calibrator *c, int i, struct pare_err *err)
{
	const struct pare_layer *l = pare_calibrator_layer(c, i);
	size_t n = (size_t)(l->product.n_in + (l->bias >= 0));
	struct work k = {.gram = NULL};
	struct pare_refit_result result;
	enum pare_code code = work_alloc(&k, l, n, err);

	if (code == PARE_OK)
		code = pare_calibrate_layer(c, i, k.gram, k.cross, err);
	if (code == PARE_OK) {
		struct pare_refit p = {.n_in = (int64_t)n, .n_out = l->product.n_out, .gram = k.gram, .rhs = k.cross, .keep = k.keep, .w = k.w,
		    .lambda = pare_args_num(args, "lambda"), .max_iterations = (int)pare_args_int(args, "iterations"), .tolerance = TOLERANCE};

		move(r, l, n, &k, false);
		code = pare_reconstruct(&p, &result, err);
	}
	if (code == PARE_OK) {
		move(r, l, n, &k, true);
		pare_calibrator_update(c, pare_net_slab(r->net));
	} else {
		(void)pare_err_at(err, "%s", l->where);
	}
	work_done(&k);
	return code;
}

static enum pare_code refit_layers(struct job_run *r, const struct pare_args *args, struct pare_calibrator *c, struct pare_err *err)
{
	const struct pare_arg *exclude = pare_args_get(args, "exclude");
	struct pare_prune_options names = {.exclude = exclude->strings, .n_exclude = exclude->n};
	bool touched = false;
	enum pare_code code = PARE_OK;

	for (int i = 0; i < pare_calibrator_n_layers(c) && code == PARE_OK; i++) {
		const struct pare_layer *l = pare_calibrator_layer(c, i);

		touched |= !is_whole(r, l);
		if (!touched || pare_prune_is_excluded(&names, pare_net_param(r->net, l->weight)))
			continue;
		code = job_check_canceled(r->w, err);
		if (code == PARE_OK)
			code = refit(r, args, c, i, err);
		if (code == PARE_OK)
			code = job_progress(r, r->units_step + 2 * JOB_ROUND_UNITS * (i + 1) / pare_calibrator_n_layers(c), 0, 0, false, err);
	}
	return code;
}

enum pare_code job_refit(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	struct pare_calibrate_options o = {.n_rows = (uint32_t)fmin(pare_args_num(args, "rows"), UINT32_MAX), .batch_size = job_batch(r, JOB_CALIBRATION_BATCH),
	    .n_threads = r->threads, .fit = &r->fit, .seed = r->seed, .cancel = job_cancel_flag()};
	struct pare_calibrator *c;
	enum pare_code code;

	if (!r->mask.any)
		return PARE_OK;
	code = pare_calibrator_new(r->net, r->folds > 0 ? r->fold_dense : r->dense, r->data, &o, &c, err);
	if (code != PARE_OK)
		return code;
	code = refit_layers(r, args, c, err);
	pare_calibrator_free(c);
	return code;
}

enum pare_code job_reconstruct(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	enum pare_code code = job_refit(r, args, err);

	return code == PARE_OK ? job_evaluate_now(r, err) : code;
}
