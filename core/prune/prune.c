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

struct round {
	struct pare_net *net;
	const struct pare_prune_options *opt;
	struct pare_mask *mask;
	struct pare_radix *radix;
	size_t n_masked; /* of the group, before this round */
	float t;         /* below it goes, */
	size_t n_ties;   /* and so many that equal it */
};

/* What a walk does with a block: its scores, and the block's place in mask and slab. */
typedef void visit_fn(struct round *r, const float *score, uint8_t *keep, float *w, size_t n);

static bool matches(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	if (n > 0 && pattern[n - 1] == '*')
		return strncmp(pattern, name, n - 1) == 0;
	return strcmp(pattern, name) == 0;
}

static bool is_target(const struct pare_prune_options *opt, const struct pare_param_info *info)
{
	const char *node = "";

	if (!info->prunable)
		return false;
	if (opt->model != NULL && info->node >= 0)
		node = opt->model->graph.nodes[info->node].name;
	for (size_t i = 0; i < opt->n_exclude; i++)
		if (matches(opt->exclude[i], info->name) || (*node != '\0' && matches(opt->exclude[i], node)))
			return false;
	return true;
}

/* Weights to score in params [first, end). */
static size_t group_size(const struct round *r, int first, int end)
{
	size_t n = 0;

	for (int p = first; p < end; p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);

		n += is_target(r->opt, info) ? info->n_elems : 0;
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

static enum pare_code check_finite(const struct round *r, struct pare_err *err)
{
	const float *slab = pare_net_slab(r->net);

	for (int p = 0; p < pare_net_n_params(r->net); p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);
		const float *w = slab + info->offset;
		size_t i = 0;

		if (!is_target(r->opt, info) || all_finite(w, info->n_elems))
			continue;
		while (isfinite(w[i]))
			i++;
		return pare_err_set(err, PARE_E_NONFINITE, NULL,
		    "initializer \"%s\" holds NaN or infinity at element %zu: weights must be finite to be ranked", info->name, i);
	}
	return PARE_OK;
}

static enum pare_code check_options(const struct round *r, struct pare_err *err)
{
	const struct pare_prune_options *opt = r->opt;

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
	return check_finite(r, err);
}

static void walk(struct round *r, int first, int end, visit_fn *visit)
{
	float score[PARE_SCORE_BLOCK];

	for (int p = first; p < end; p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);
		float *w = pare_net_slab(r->net) + info->offset;
		uint8_t *keep = r->mask->keep + info->offset;
		struct pare_score_input in = {
		    .net = r->net, .param = info, .weights = w, .seed = r->opt->seed, .param_index = p};

		for (; is_target(r->opt, info) && in.first < info->n_elems; in.first += in.n) {
			in.n = info->n_elems - in.first < PARE_SCORE_BLOCK ? info->n_elems - in.first : PARE_SCORE_BLOCK;
			r->opt->criterion->score(&in, score);
			for (size_t i = 0; r->mask->any && i < in.n; i++)
				score[i] = keep[in.first + i] != 0 ? score[i] : -INFINITY;
			visit(r, score, keep + in.first, w + in.first, in.n);
		}
	}
}

static void count_first(struct round *r, const float *score, uint8_t *keep, float *w, size_t n)
{
	(void)w;
	for (size_t i = 0; r->mask->any && i < n; i++)
		r->n_masked += keep[i] == 0;
	pare_radix_first(r->radix, score, n);
}

static void count_second(struct round *r, const float *score, uint8_t *keep, float *w, size_t n)
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

static void drop(struct round *r, const float *score, uint8_t *keep, float *w, size_t n)
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

/* The least float that is not less than x: score < x for a double x, and score < ceil_float(x), mean the same. */
static float ceil_float(double x)
{
	float f = (float)x;

	return (double)f < x ? nextafterf(f, INFINITY) : f;
}

static void prune_group(struct round *r, int first, int end)
{
	size_t n = group_size(r, first, end);
	size_t n_drop = (size_t)llround(r->opt->sparsity * (double)n), n_below;

	if (r->opt->by_threshold) {
		r->t = ceil_float(r->opt->threshold);
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

/* Targets have been seen to by drop. */
static void apply_to_excluded(const struct round *r)
{
	for (int p = 0; p < pare_net_n_params(r->net); p++) {
		const struct pare_param_info *info = pare_net_param(r->net, p);

		if (info->prunable && !is_target(r->opt, info))
			pare_mask_apply(r->mask, pare_net_slab(r->net), info->offset, info->offset + info->n_elems);
	}
}

enum pare_code pare_prune(struct pare_net *net, const struct pare_prune_options *opt, struct pare_mask *mask, struct pare_err *err)
{
	struct round r = {.net = net, .opt = opt, .mask = mask};
	int n_params = pare_net_n_params(net);
	enum pare_code code;

	assert(mask->len == pare_net_slab_len(net));
	code = check_options(&r, err);
	if (code != PARE_OK)
		return code;
	r.radix = pare_alloc(sizeof *r.radix);
	if (r.radix == NULL)
		return pare_err_nomem(err, sizeof *r.radix);
	if (opt->scope == PARE_SCOPE_GLOBAL)
		prune_group(&r, 0, n_params);
	for (int p = 0; p < n_params && opt->scope == PARE_SCOPE_LAYER; p++)
		prune_group(&r, p, p + 1);
	pare_free(r.radix);
	mask->any = memchr(mask->keep, 0, mask->len) != NULL;
	apply_to_excluded(&r);
	return PARE_OK;
}
