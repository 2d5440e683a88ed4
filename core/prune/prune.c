/* One round of pruning: find the score t of rank k - 1, drop what is below it.
 *
 * The weights of a group (all of the net for the global scope, one tensor for the layer scope) are walked in slab order,
 * a block of 4096 at a time, three times: two counting passes (select.c) and the drop. Scores live for one block in
 * the first-level cache and are made anew in each pass; keeping them would double the memory of a large model and be
 * no faster, since writing and reading them costs more than making them.
 *
 * Of what equals t as many go, from the front, as make the count exact. Comparing with t alone would miss the count
 * whenever scores tie, and they do: quantized weights, weights that l1 has set to zero, untrained layers.
 *
 * A weight that is masked already scores -infinity, below any score of a criterion, so it is dropped again before any
 * other and masks only grow; k is therefore never less than what is masked. */
#include "core/prune/prune.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/multiarch.h"
#include "core/prune/prune_priv.h"

/* What a walk does with a block: its scores, and the block's place in mask and slab. */
typedef void visit_fn(struct pare_round *r, const float *score, uint8_t *keep, float *w, size_t n);

static bool matches(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	if (n > 0 && pattern[n - 1] == '*')
		return strncmp(pattern, name, n - 1) == 0;
	return strcmp(pattern, name) == 0;
}

bool pare_prune_is_excluded(const struct pare_prune_options *opt, const struct pare_param_info *info)
{
	const char *node = "";

	if (opt->model != NULL && info->node >= 0)
		node = opt->model->graph.nodes[info->node].name;
	for (size_t i = 0; i < opt->n_exclude; i++)
		if (matches(opt->exclude[i], info->name) || (*node != '\0' && matches(opt->exclude[i], node)))
			return true;
	return false;
}

bool pare_prune_is_target(const struct pare_prune_options *opt, const struct pare_param_info *info)
{
	return info->prunable && !pare_prune_is_excluded(opt, info);
}

/* Weights to score in params [first, end). */
static size_t group_size(const struct pare_round *r, int first, int end)
{
	size_t n = 0;

	for (int p = first; p < end; p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);

		n += pare_prune_is_target(r->opt, info) ? info->n_elems : 0;
	}
	return n;
}

PARE_MULTIARCH
static bool all_finite(const float *w, size_t n)
{
	uint32_t bad = 0;

	for (size_t i = 0; i < n; i++)
		bad |= !(fabsf(w[i]) <= FLT_MAX);
	return bad == 0;
}

/* A statistic that is not finite ranks nothing. */
static enum pare_code check_stat(const struct pare_round *r, struct pare_err *err)
{
	assert((r->opt->criterion->stat != PARE_STAT_NONE) == (r->opt->stat != NULL));
	for (int p = 0; r->opt->stat != NULL && p < pare_net_n_params(r->net); p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);

		if (pare_prune_is_target(r->opt, info) && !all_finite(r->opt->stat + info->offset, info->n_elems))
			return pare_err_set(err, PARE_E_NONFINITE, NULL, "what the data say of initializer \"%s\" (criterion %s) is not finite", info->name,
			    r->opt->criterion->name);
	}
	return PARE_OK;
}

static enum pare_code check_finite(const struct pare_round *r, struct pare_err *err)
{
	const float *slab = pare_net_slab(r->net);

	for (int p = 0; p < pare_net_n_params(r->net); p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);
		const float *w = slab + info->offset;
		size_t i = 0;

		if (!pare_prune_is_target(r->opt, info) || all_finite(w, info->n_elems))
			continue;
		while (isfinite(w[i]))
			i++;
		return pare_err_set(err, PARE_E_NONFINITE, NULL,
		    "initializer \"%s\" holds NaN or infinity at element %zu: weights must be finite to be ranked", info->name, i);
	}
	return PARE_OK;
}

static enum pare_code check_options(const struct pare_round *r, struct pare_err *err)
{
	const struct pare_prune_options *opt = r->opt;
	enum pare_code code;

	if (opt->unit == PARE_UNIT_PATTERN && (opt->pattern_keep < 1 || opt->pattern_of < opt->pattern_keep || opt->pattern_of > PARE_PATTERN_MAX))
		return pare_err_set(err, PARE_E_INVALID, NULL, "%d of %d is no pattern: 1 <= N <= M <= %d", opt->pattern_keep, opt->pattern_of, PARE_PATTERN_MAX);
	if (opt->unit == PARE_UNIT_BLOCK && (opt->block[0] < 1 || opt->block[1] < 1))
		return pare_err_set(err, PARE_E_INVALID, NULL, "a block has at least one output and one input");
	if (opt->by_threshold && !opt->criterion->thresholds)
		return pare_err_set(err, PARE_E_INVALID, NULL,
		    "criterion \"%s\" has no threshold: give a sparsity instead", opt->criterion->name);
	if (opt->by_threshold && !isfinite(opt->threshold))
		return pare_err_set(err, PARE_E_INVALID, NULL, "the threshold must be a finite number");
	if (!opt->by_threshold && !(opt->sparsity >= 0.0 && opt->sparsity < 1.0))
		return pare_err_set(err, PARE_E_INVALID, NULL, "sparsity %g is outside [0, 1)", opt->sparsity);
	if (group_size(r, 0, pare_net_n_params(r->net)) == 0)
		return pare_err_set(err, PARE_E_INVALID, NULL,
		    "no weights are left to prune: the model has none of rank 2 or more, or all are excluded");
	code = check_finite(r, err);
	return code == PARE_OK ? check_stat(r, err) : code;
}

void pare_prune_scores(const struct pare_round *r, int p, size_t first, size_t n, float *score)
{
	const struct pare_param_info *info = pare_net_param(r->net, p);
	const uint8_t *keep = r->mask->keep + info->offset + first;
	struct pare_score_input in = {.net = r->net, .param = info, .weights = pare_net_slab(r->net) + info->offset, .seed = r->opt->seed,
	    .stat = r->opt->stat != NULL ? r->opt->stat + info->offset : NULL, .param_index = p, .first = first, .n = n};

	if (r->scores != NULL)
		memcpy(score, r->scores + info->offset + first, n * sizeof *score);
	else
		r->opt->criterion->score(&in, score);
	for (size_t i = 0; r->mask->any && i < n; i++)
		score[i] = keep[i] != 0 ? score[i] : -INFINITY;
}

static void walk(struct pare_round *r, int first, int end, visit_fn *visit)
{
	float score[PARE_SCORE_BLOCK];

	for (int p = first; p < end; p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);
		size_t n;

		if (!pare_prune_is_target(r->opt, info))
			continue;
		for (size_t at = 0; at < info->n_elems; at += n) {
			n = info->n_elems - at < PARE_SCORE_BLOCK ? info->n_elems - at : PARE_SCORE_BLOCK;
			pare_prune_scores(r, p, at, n, score);
			visit(r, score, r->mask->keep + info->offset + at, pare_net_slab(r->net) + info->offset + at, n);
		}
	}
}

static void count_first(struct pare_round *r, const float *score, uint8_t *keep, float *w, size_t n)
{
	(void)w;
	for (size_t i = 0; r->mask->any && i < n; i++)
		r->n_masked += keep[i] == 0;
	pare_radix_first(r->radix, score, n);
}

static void count_second(struct pare_round *r, const float *score, uint8_t *keep, float *w, size_t n)
{
	(void)keep;
	(void)w;
	pare_radix_second(r->radix, score, n);
}

PARE_MULTIARCH
static size_t keep_above(size_t n, float t, const float *restrict score, uint8_t *restrict keep)
{
	uint32_t n_equal = 0;

	for (size_t i = 0; i < n; i++) {
		keep[i] = score[i] >= t;
		n_equal += score[i] == t;
	}
	return n_equal;
}

static void drop(struct pare_round *r, const float *score, uint8_t *keep, float *w, size_t n)
{
	size_t n_equal = keep_above(n, r->t, score, keep);

	for (size_t i = 0; i < n && n_equal > 0 && r->n_ties > 0; i++) {
		bool tie = score[i] == r->t;

		keep[i] = keep[i] && !tie;
		n_equal -= tie;
		r->n_ties -= tie;
	}
	for (size_t i = 0; i < n; i++)
		w[i] = keep[i] != 0 ? w[i] : 0.0f;
}

float pare_prune_ceil(double x)
{
	float f = (float)x;

	return (double)f < x ? nextafterf(f, INFINITY) : f;
}

static void prune_group(struct pare_round *r, int first, int end)
{
	size_t n = group_size(r, first, end);
	double sparsity = r->opt->by_layer != NULL ? r->opt->by_layer[first] : r->opt->sparsity;
	size_t n_drop = (size_t)llround(sparsity * (double)n), n_below;

	if (r->opt->by_threshold) {
		r->t = pare_prune_ceil(r->opt->threshold);
		r->n_ties = 0;
		walk(r, first, end, drop);
		return;
	}
	r->n_masked = 0;
	memset(r->radix, 0, sizeof *r->radix);
	walk(r, first, end, count_first);
	if (n_drop < r->n_masked)
		n_drop = r->n_masked;
	if (n_drop == 0)
		return;
	pare_radix_turn(r->radix, n_drop - 1);
	walk(r, first, end, count_second);
	r->t = pare_radix_value(r->radix, &n_below);
	r->n_ties = n_drop - n_below;
	walk(r, first, end, drop);
}

static enum pare_code score_tensors(struct pare_round *r, struct pare_err *err)
{
	size_t bytes = pare_net_slab_len(r->net) * sizeof *r->scores;

	r->scores = pare_alloc(bytes);
	if (r->scores == NULL)
		return pare_err_nomem(err, bytes);
	for (int p = 0; p < pare_net_n_params(r->net); p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);
		struct pare_score_input in = {.net = r->net, .param = info, .weights = pare_net_slab(r->net) + info->offset, .seed = r->opt->seed,
		    .stat = r->opt->stat != NULL ? r->opt->stat + info->offset : NULL, .param_index = p};
		enum pare_code code = PARE_OK;

		if (pare_prune_is_target(r->opt, info))
			code = r->opt->criterion->score_tensor(&in, r->scores + info->offset, err);
		if (code != PARE_OK)
			return code;
	}
	return PARE_OK;
}

static enum pare_code prune_weights(struct pare_round *r, int first, int end, struct pare_err *err)
{
	(void)err;
	prune_group(r, first, end);
	return PARE_OK;
}

static enum pare_code prune_groups(struct pare_round *r, struct pare_err *err)
{
	static enum pare_code (*const by_unit[])(struct pare_round *, int, int, struct pare_err *) = {
	    [PARE_UNIT_WEIGHT] = prune_weights, [PARE_UNIT_PATTERN] = pare_prune_pattern, [PARE_UNIT_BLOCK] = pare_prune_blocks};
	int n_params = pare_net_n_params(r->net);
	enum pare_code code = PARE_OK;

	if (r->opt->scope == PARE_SCOPE_GLOBAL && r->opt->by_layer == NULL)
		return by_unit[r->opt->unit](r, 0, n_params, err);
	for (int p = 0; p < n_params && code == PARE_OK; p++)
		code = by_unit[r->opt->unit](r, p, p + 1, err);
	return code;
}

/* Targets have been seen to by drop. */
static void apply_to_excluded(const struct pare_round *r)
{
	for (int p = 0; p < pare_net_n_params(r->net); p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);

		if (info->prunable && !pare_prune_is_target(r->opt, info))
			pare_mask_apply(r->mask, pare_net_slab(r->net), info->offset, info->offset + info->n_elems);
	}
}

enum pare_code pare_prune(struct pare_net *net, const struct pare_prune_options *opt, struct pare_mask *mask, struct pare_err *err)
{
	struct pare_round r = {.net = net, .opt = opt, .mask = mask};
	enum pare_code code;

	assert(mask->len == pare_net_slab_len(net));
	code = check_options(&r, err);
	if (code != PARE_OK)
		return code;
	r.radix = pare_alloc(sizeof *r.radix);
	if (r.radix == NULL)
		code = pare_err_nomem(err, sizeof *r.radix);
	if (code == PARE_OK && opt->criterion->score_tensor != NULL)
		code = score_tensors(&r, err);
	if (code == PARE_OK)
		code = prune_groups(&r, err);
	pare_free(r.radix);
	pare_free(r.scores);
	if (code != PARE_OK)
		return code;
	mask->any = memchr(mask->keep, 0, mask->len) != NULL;
	apply_to_excluded(&r);
	return PARE_OK;
}
