/* The remove_dead step: what pruning of weights left without a purpose becomes a cut, like the units of a structural prune step, and leaves the
 * graph when the job ends. The outputs before and after are compared on rows, because a constant that is folded is the only thing here
 * that moves a weight without a loss to answer for. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/net_view.h"
#include "core/job/job_priv.h"
#include "core/prune/dead.h"
#include "core/prune/shrink.h"
#include "core/train/activations.h"

#define ROWS 256
#define TOLERANCE 1e-4 /* of the largest output, or of 1 if that is more */

double job_dead_units(const struct job_run *r, size_t step)
{
	(void)r;
	(void)step;
	return JOB_ROUND_UNITS;
}

enum pare_code job_check_dead(struct job_run *r, struct pare_err *err)
{
	struct pare_structures **g = &r->structures[PARE_GRANULARITY_CHANNEL];
	enum pare_code code = pare_shrink_check(r->model, err);

	if (code == PARE_OK && *g == NULL)
		code = pare_structures_new(r->net, PARE_GRANULARITY_CHANNEL, job_cancel_flag(), g, err);
	if (code == PARE_OK && r->cut.gone == NULL)
		code = pare_cut_init(&r->cut, r->net, err);
	return code;
}

/* All outputs of one batch of training rows, one after the other. */
static enum pare_code outputs(struct job_run *r, float **out, size_t *len, struct pare_err *err)
{
	int64_t first, batch;
	uint32_t n_rows;
	const uint32_t *rows = pare_data_rows(r->data, PARE_SPLIT_TRAIN, &n_rows);
	size_t at = 0;

	pare_net_shard_rows(r->net, job_batch(r, ROWS), 0, &first, &batch);
	n_rows = n_rows < (uint32_t)batch ? n_rows : (uint32_t)batch;
	*len = 0;
	for (int i = 0; i < pare_net_n_outputs(r->net); i++)
		*len += job_output_len(r->net, i, n_rows);
	*out = pare_alloc((*len + 1) * sizeof **out);
	if (*out == NULL)
		return pare_err_nomem(err, *len * sizeof **out);
	job_forward(r, r->net, rows, n_rows);
	for (int i = 0; i < pare_net_n_outputs(r->net); i++) {
		size_t n = job_output_len(r->net, i, n_rows);

		if (n > 0) /* else it is not computed */
			memcpy(*out + at, pare_net_shard_output(r->net, 0, i), n * sizeof **out);
		at += n;
	}
	return PARE_OK;
}

static enum pare_code compare(const float *before, const float *after, size_t n, struct pare_err *err)
{
	double scale = 1, most = 0;

	for (size_t i = 0; i < n; i++) {
		double d = fabs((double)before[i] - (double)after[i]);

		scale = fmax(scale, fabs((double)before[i]));
		most = isnan(d) ? INFINITY : fmax(most, d);
	}
	if (most <= TOLERANCE * scale)
		return PARE_OK;
	return pare_err_set(err, PARE_E_PROOF, NULL, "without the units that seemed dead outputs differ by %g, more than %g", most, TOLERANCE * scale);
}

static enum pare_code remove_all(struct job_run *r, const struct pare_dead_options *opt, struct pare_err *err)
{
	const struct pare_structures *g = r->structures[PARE_GRANULARITY_CHANNEL];
	struct pare_observe_options look = {.fit = &r->fit, .seed = r->seed, .stage = (int)(r->step << 12), .cancel = job_cancel_flag(), .batch_size = job_batch(r, JOB_CALIBRATION_BATCH), .n_rows = ROWS};
	struct pare_dead_count n = {.unread = 1};
	enum pare_code code = PARE_OK;

	while (n.unread + n.constant > 0 && code == PARE_OK) {
		struct pare_activation_stats seen = {.sum = NULL};

		code = pare_activations(r->net, g, r->data, &look, PARE_STRUCTURE_STAT_ACTIVATIONS, &seen, err);
		if (code == PARE_OK)
			code = pare_remove_dead(r->net, g, &seen, opt, &r->cut, &r->mask, &n, err);
		pare_activations_done(&seen);
	}
	return code;
}

enum pare_code job_remove_dead(struct job_run *r, const struct pare_args *args, struct pare_err *err)
{
	const struct pare_arg *exclude = pare_args_get(args, "exclude");
	const struct pare_dead_options opt = {exclude->strings, exclude->n};
	float *before = NULL, *after = NULL;
	size_t n;
	enum pare_code code = job_keep_dense(r, err);

	if (code == PARE_OK)
		code = outputs(r, &before, &n, err);
	if (code == PARE_OK)
		code = remove_all(r, &opt, err);
	if (code == PARE_OK)
		code = outputs(r, &after, &n, err);
	if (code == PARE_OK)
		code = compare(before, after, n, err);
	pare_free(before);
	pare_free(after);
	return code == PARE_OK ? job_evaluate_now(r, err) : code;
}
