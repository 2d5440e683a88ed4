/* One round of pruning: find the score t of rank k - 1, drop what is below it.
 *
 * The weights of a group (all of the net for the global scope, one tensor for the layer scope) are walked in slab order,
 * a block of 4096 at a time, three times: two counting passes (select.c) and the drop; or twice, where they are many and a sample
 * spares a pass. Scores live for one block in the first-level cache and are made anew in each pass; keeping them would double the memory of a large model and be
 * no faster, since writing and reading them costs more than making them.
 *
 * Of what equals t as many go, from the front, as make the count exact. Comparing with t alone would miss the count
 * whenever scores tie, and they do: quantized weights, weights that l1 has set to zero, untrained layers.
 *
 * Of many weights each thread of the net has a part, in their order, to set aside and to drop; what of the ties is in its part is
 * known by then, so any number of threads drops the same ones.
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
#include "core/ops/kernels/elementwise.h"
#include "core/prune/allocate.h"
#include "core/prune/prune_priv.h"

#define SAMPLED ((size_t)1 << 20) /* weights: from here on a sample pays */

/* What a walk does with a block of tensor p. */
typedef void visit_fn(struct pare_round *r, int p, size_t first, size_t n);

/* The weights of a group, cut into a round for each thread, in their order. */
struct parts {
	struct pare_round one, *list; /* &one, if it is one */
	int n, first, end;            /* tensors [first, end) */
	visit_fn *visit;
};

static bool matches(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	if (n > 0 && pattern[n - 1] == '*')
		return strncmp(pattern, name, n - 1) == 0;
	return strcmp(pattern, name) == 0;
}

bool pare_prune_is_excluded(const struct pare_prune_options *opt, const struct pare_param_info *info)
{
	const char *node = info->node_name;

	for (size_t i = 0; i < opt->n_exclude; i++)
		if (matches(opt->exclude[i], info->name) || (*node != '\0' && matches(opt->exclude[i], node)))
			return true;
	return false;
}

bool pare_prune_is_target(const struct pare_prune_options *opt, const struct pare_param_info *info)
{
	return info->prunable && !pare_prune_is_excluded(opt, info);
}

/* How many of a tensor's weights are in the block that begins at one of them. */
static size_t block_at(const struct pare_param_info *info, size_t at)
{
	return info->n_elems - at < PARE_SCORE_BLOCK ? info->n_elems - at : PARE_SCORE_BLOCK;
}

/* Weights to score in params [first, end). */
static size_t group_size(const struct pare_round *r, int first, int end)
{
	size_t n = 0;

	for (int p = first; p < end; p++) {
		const struct pare_param_info *info = r->t->info(r->t, p);

		n += pare_prune_is_target(r->opt, info) ? info->n_elems : 0;
	}
	return n;
}

size_t pare_prune_largest(const struct pare_round *r, int first, int end)
{
	size_t most = 0;

	for (int p = first; p < end; p++) {
		const struct pare_param_info *info = r->t->info(r->t, p);

		if (pare_prune_is_target(r->opt, info) && info->n_elems > most)
			most = info->n_elems;
	}
	return most;
}

/* A statistic that is not finite ranks nothing. */
static enum pare_code check_stat(const struct pare_round *r, struct pare_err *err)
{
	assert((r->opt->criterion->stat != PARE_STAT_NONE) == (r->opt->stat != NULL));
	for (int p = 0; r->opt->stat != NULL && p < r->t->n; p++) {
		const struct pare_param_info *info = r->t->info(r->t, p);

		if (pare_prune_is_target(r->opt, info) && !pare_k_finite(info->n_elems, r->opt->stat + info->offset))
			return pare_err_set(err, PARE_E_NONFINITE, NULL, "what the data say of initializer \"%s\" (criterion %s) is not finite", info->name,
			    r->opt->criterion->name);
	}
	return PARE_OK;
}

static void walk(struct pare_round *r, int first, int end, visit_fn *visit)
{
	size_t seen = 0;

	for (int p = first; p < end; p++) {
		const struct pare_param_info *info = r->t->info(r->t, p);
		size_t n;

		if (!pare_prune_is_target(r->opt, info))
			continue;
		for (size_t at = 0; at < info->n_elems && seen < r->to; at += n, seen += n) {
			n = block_at(info, at);
			if (seen >= r->from)
				visit(r, p, at, n);
		}
	}
}

static void walk_part(void *ctx, int i)
{
	const struct parts *s = ctx;

	walk(&s->list[i], s->first, s->end, s->visit);
}

static void walk_parts(struct parts *s, visit_fn *visit)
{
	s->visit = visit;
	if (s->n == 1)
		walk_part(s, 0);
	else
		s->one.t->parallel(s->one.t, walk_part, s);
}

/* Of a group of n weights. Without memory it stays whole. */
static void cut(struct parts *s, const struct pare_round *r, int first, int end, size_t n)
{
	int most = r->t->parallel != NULL && n >= SAMPLED ? r->t->n_threads : 1;

	*s = (struct parts){.one = *r, .n = 1, .first = first, .end = end};
	s->list = most > 1 ? pare_alloc((size_t)most * sizeof *s->list) : NULL;
	if (s->list == NULL) {
		s->list = &s->one;
		return;
	}
	s->n = most;
	for (int i = 0; i < s->n; i++) {
		s->list[i] = *r;
		s->list[i].from = n / (size_t)s->n * (size_t)i;
		s->list[i].to = i + 1 < s->n ? n / (size_t)s->n * (size_t)(i + 1) : n;
	}
}

static void cut_done(struct parts *s)
{
	for (int i = 0; i < s->n; i++)
		pare_bracket_done(&s->list[i].bracket);
	if (s->list != &s->one)
		pare_free(s->list);
}

static void look_for_nonfinite(struct pare_round *r, int p, size_t first, size_t n)
{
	float room[PARE_SCORE_BLOCK];

	r->nonfinite |= !pare_k_finite(n, r->t->weights(r->t, p, first, n, room));
}

static void tell_first(struct pare_round *r, int p, size_t first, size_t n)
{
	float room[PARE_SCORE_BLOCK];
	const float *w = r->t->weights(r->t, p, first, n, room);
	size_t i = 0;

	while (i < n && isfinite(w[i]))
		i++;
	if (i == n)
		return;
	r->to = 0;
	(void)pare_err_set(r->err, PARE_E_NONFINITE, NULL, "initializer \"%s\" holds NaN or infinity at element %zu: weights must be finite to be ranked",
	    r->t->info(r->t, p)->name, first + i);
}

/* What the parts have met; nothing has changed yet. */
static enum pare_code tell_nonfinite(const struct parts *s, struct pare_err *err)
{
	struct pare_round whole = s->one;
	bool found = false;

	for (int i = 0; i < s->n; i++)
		found |= s->list[i].nonfinite;
	if (!found)
		return PARE_OK;
	whole.err = err;
	walk(&whole, s->first, s->end, tell_first);
	return PARE_E_NONFINITE;
}

static enum pare_code check_finite(const struct pare_round *r, struct pare_err *err)
{
	enum pare_code code;
	struct parts s;

	cut(&s, r, 0, r->t->n, group_size(r, 0, r->t->n));
	walk_parts(&s, look_for_nonfinite);
	code = tell_nonfinite(&s, err);
	cut_done(&s);
	return code;
}

/* Of one group every weight is read, to be ranked, before the first goes: a pass over memory that needs not be made twice. */
static bool is_one_group(const struct pare_round *r)
{
	const struct pare_prune_options *opt = r->opt;

	return opt->scope == PARE_SCOPE_GLOBAL && opt->by_layer == NULL && !opt->by_threshold && opt->unit == PARE_UNIT_WEIGHT && opt->criterion->score_tensor == NULL;
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
	if (group_size(r, 0, r->t->n) == 0)
		return pare_err_set(err, PARE_E_INVALID, NULL,
		    "no weights are left to prune: the model has none of rank 2 or more, or all are excluded");
	code = r->unchecked ? PARE_OK : check_finite(r, err);
	return code == PARE_OK ? check_stat(r, err) : code;
}

void pare_prune_scores(const struct pare_round *r, int p, size_t first, size_t n, float *score)
{
	const struct pare_param_info *info = r->t->info(r->t, p);
	struct pare_score_input in = {.param = info, .seed = r->opt->seed, .stat = r->opt->stat != NULL ? r->opt->stat + info->offset : NULL,
	    .param_index = p, .first = first, .n = n};
	uint8_t room[PARE_SCORE_BLOCK];
	const uint8_t *keep;

	if (r->scores != NULL) {
		memcpy(score, r->scores + info->offset + first, n * sizeof *score);
	} else {
		float weights[PARE_SCORE_BLOCK];

		in.w = r->t->weights(r->t, p, first, n, weights);
		r->opt->criterion->score(&in, score);
	}
	if (!r->t->any)
		return;
	keep = r->t->keep(r->t, p, first, n, room);
	for (size_t i = 0; i < n; i++)
		score[i] = keep[i] != 0 ? score[i] : -INFINITY;
}

/* The same where they stand, if the weights are as good: *bits of them are the scores. Else in room. */
static const float *scores_at(const struct pare_round *r, int p, size_t first, size_t n, float *room, uint32_t *bits)
{
	*bits = r->opt->criterion->size && !r->t->any ? PARE_SCORE_SIZE : PARE_SCORE_ALL;
	if (*bits == PARE_SCORE_SIZE)
		return r->t->weights(r->t, p, first, n, room);
	pare_prune_scores(r, p, first, n, room);
	return room;
}

PARE_MULTIARCH
static size_t count_masked(const float *score, size_t n)
{
	uint32_t masked = 0;

	for (size_t i = 0; i < n; i++)
		masked += score[i] <= -FLT_MAX;
	return masked;
}

static void count_first(struct pare_round *r, int p, size_t first, size_t n)
{
	float score[PARE_SCORE_BLOCK];

	pare_prune_scores(r, p, first, n, score);
	r->n_masked += r->t->any ? count_masked(score, n) : 0;
	pare_radix_first(r->radix, score, n);
}

static void count_second(struct pare_round *r, int p, size_t first, size_t n)
{
	float score[PARE_SCORE_BLOCK];

	pare_prune_scores(r, p, first, n, score);
	pare_radix_second(r->radix, score, n);
}

static void set_aside(struct pare_round *r, int p, size_t first, size_t n)
{
	float room[PARE_SCORE_BLOCK];
	uint32_t bits;
	const float *score = scores_at(r, p, first, n, room, &bits);

	r->n_masked += r->t->any ? count_masked(score, n) : 0;
	pare_bracket_add(&r->bracket, score, bits, n);
	if (r->unchecked)
		look_for_nonfinite(r, p, first, n);
}

PARE_MULTIARCH
static size_t keep_above(size_t n, float t, const float *restrict x, uint32_t bits, uint8_t *restrict keep)
{
	uint32_t n_equal = 0;

	for (size_t at = 0, end; at < n; at = end) {
		end = n - at < PARE_PIECE ? n : at + PARE_PIECE;
		pare_ask_ahead(x + at);
		for (size_t i = at; i < end; i++) {
			float score = pare_score_of(x[i], bits);

			keep[i] = score >= t;
			n_equal += score == t;
		}
	}
	return n_equal;
}

static void drop(struct pare_round *r, int p, size_t first, size_t n)
{
	float room[PARE_SCORE_BLOCK];
	uint8_t keep[PARE_SCORE_BLOCK];
	uint32_t bits;
	const float *x = scores_at(r, p, first, n, room, &bits);
	size_t n_equal = keep_above(n, r->limit, x, bits, keep);

	for (size_t i = 0; i < n && n_equal > 0 && r->n_ties > 0; i++) {
		bool tie = pare_score_of(x[i], bits) == r->limit;

		keep[i] = keep[i] && !tie;
		n_equal -= tie;
		r->n_ties -= tie;
	}
	r->t->mask(r->t, p, first, n, keep);
}

float pare_prune_ceil(double x)
{
	float f = (float)x;

	return (double)f < x ? nextafterf(f, INFINITY) : f;
}

/* In two passes. */
static float rank_by_counting(struct pare_round *r, int first, int end, size_t *n_drop, size_t *n_below)
{
	r->n_masked = 0;
	memset(r->radix, 0, sizeof *r->radix);
	walk(r, first, end, count_first);
	if (*n_drop < r->n_masked)
		*n_drop = r->n_masked;
	*n_below = 0;
	if (*n_drop == 0)
		return -INFINITY;
	pare_radix_turn(r->radix, *n_drop - 1);
	walk(r, first, end, count_second);
	return pare_radix_value(r->radix, n_below);
}

/* The first scores of every block. Returns how many. */
static size_t take_sample(const struct pare_round *r, int first, int end, float *sample)
{
	size_t n = 0;

	for (int p = first; p < end; p++) {
		const struct pare_param_info *info = r->t->info(r->t, p);

		for (size_t at = 0; pare_prune_is_target(r->opt, info) && at < info->n_elems; at += PARE_SCORE_BLOCK) {
			size_t left = info->n_elems - at, m = left < PARE_SAMPLE_RUN ? left : PARE_SAMPLE_RUN;

			pare_prune_scores(r, p, at, m, sample + n);
			n += m;
		}
	}
	return n;
}

/* What the parts have set aside of n weights, and of it the score that is looked for. */
static bool join(const struct parts *s, struct pare_bracket *whole, size_t *n_drop, float *limit, size_t *n_below)
{
	size_t n_masked = 0;

	for (int i = 0; i < s->n; i++) {
		pare_bracket_join(whole, &s->list[i].bracket);
		n_masked += s->list[i].n_masked;
	}
	if (*n_drop < n_masked)
		*n_drop = n_masked;
	return pare_bracket_value(whole, *n_drop - 1, limit, n_below);
}

/* In one, of n weights; false: that does not work here. */
static bool rank_by_sample(const struct pare_round *r, struct parts *s, size_t n, size_t *n_drop, float *limit, size_t *n_below)
{
	size_t most = (n / PARE_SCORE_BLOCK + (size_t)(s->end - s->first)) * PARE_SAMPLE_RUN;
	float *sample = n >= SAMPLED && *n_drop > 0 ? pare_alloc(most * sizeof *sample) : NULL;
	struct pare_bracket whole = {.in = NULL};
	bool found = sample != NULL && pare_bracket_set(&whole, sample, take_sample(r, s->first, s->end, sample), *n_drop - 1, n);

	for (int i = 0; i < s->n && found; i++)
		found = pare_bracket_part(&whole, &s->list[i].bracket);
	if (found) {
		walk_parts(s, set_aside);
		found = join(s, &whole, n_drop, limit, n_below);
	}
	pare_bracket_done(&whole);
	pare_free(sample);
	return found;
}

/* Of what equals the limit the first n_ties go. */
static void share_ties(struct parts *s, float limit, size_t n_ties)
{
	for (int i = 0; i < s->n; i++) {
		const struct pare_bracket *b = &s->list[i].bracket;
		size_t n_equal = 0;

		for (size_t j = 0; j < b->n_in; j++)
			n_equal += b->in[j] == limit;
		s->list[i].limit = limit;
		s->list[i].n_ties = n_equal < n_ties ? n_equal : n_ties;
		n_ties -= s->list[i].n_ties;
	}
}

static void drop_by_counting(struct pare_round *r, int first, int end, size_t n_drop)
{
	size_t n_below;

	r->limit = rank_by_counting(r, first, end, &n_drop, &n_below);
	r->n_ties = n_drop - n_below;
	if (n_drop > 0)
		walk(r, first, end, drop);
}

static enum pare_code prune_group(struct pare_round *r, int first, int end, struct pare_err *err)
{
	size_t n = group_size(r, first, end);
	double sparsity = r->opt->by_layer != NULL ? r->opt->by_layer[first] : r->opt->sparsity;
	size_t n_drop = (size_t)llround(sparsity * (double)n), n_below;
	enum pare_code code = PARE_OK;
	struct parts s;

	if (n_drop == 0 && !r->t->any && !r->opt->by_threshold) /* of many layers that stay as they are, each would have all counters cleared */
		return r->unchecked ? check_finite(r, err) : PARE_OK;
	cut(&s, r, first, end, n);
	if (r->opt->by_threshold) {
		share_ties(&s, pare_prune_ceil(r->opt->threshold), 0);
		walk_parts(&s, drop);
	} else if (rank_by_sample(r, &s, n, &n_drop, &r->limit, &n_below)) {
		code = tell_nonfinite(&s, err);
		share_ties(&s, r->limit, n_drop - n_below);
		if (code == PARE_OK)
			walk_parts(&s, drop);
	} else {
		code = r->unchecked ? check_finite(r, err) : PARE_OK;
		if (code == PARE_OK)
			drop_by_counting(r, first, end, n_drop);
	}
	cut_done(&s);
	return code;
}

static enum pare_code score_tensors(struct pare_round *r, struct pare_err *err)
{
	size_t bytes = r->t->len * sizeof *r->scores, most = pare_prune_largest(r, 0, r->t->n);
	float *room = pare_calloc(most + 1, sizeof *room);
	enum pare_code code = PARE_OK;

	r->scores = pare_alloc(bytes);
	if (r->scores == NULL || room == NULL)
		code = pare_err_nomem(err, bytes);
	for (int p = 0; p < r->t->n && code == PARE_OK; p++) {
		const struct pare_param_info *info = r->t->info(r->t, p);
		struct pare_score_input in = {.param = info, .seed = r->opt->seed, .stat = r->opt->stat != NULL ? r->opt->stat + info->offset : NULL,
		    .param_index = p, .n = info->n_elems};

		if (!pare_prune_is_target(r->opt, info))
			continue;
		in.w = r->t->weights(r->t, p, 0, info->n_elems, room);
		code = r->opt->criterion->score_tensor(&in, r->scores + info->offset, err);
	}
	pare_free(room);
	return code;
}

static enum pare_code prune_groups(struct pare_round *r, struct pare_err *err)
{
	static enum pare_code (*const by_unit[])(struct pare_round *, int, int, struct pare_err *) = {
	    [PARE_UNIT_WEIGHT] = prune_group, [PARE_UNIT_PATTERN] = pare_prune_pattern, [PARE_UNIT_BLOCK] = pare_prune_blocks};
	int n_params = r->t->n;
	enum pare_code code = PARE_OK;

	if (r->opt->scope == PARE_SCOPE_GLOBAL && r->opt->by_layer == NULL)
		return by_unit[r->opt->unit](r, 0, n_params, err);
	for (int p = 0; p < n_params && code == PARE_OK; p++)
		code = by_unit[r->opt->unit](r, p, p + 1, err);
	return code;
}

/* Shares by tensor of scope erk. */
static enum pare_code spread_by_size(const struct pare_tensors *t, const struct pare_prune_options *opt, double *by_layer, struct pare_err *err)
{
	double *sizes = pare_calloc((size_t)t->n * 3 + 1, sizeof *sizes), *sums, *share;
	int n = 0;

	if (sizes == NULL)
		return pare_err_nomem(err, (size_t)t->n * 3 * sizeof *sizes);
	sums = sizes + t->n;
	share = sums + t->n;
	for (int p = 0; p < t->n; p++) {
		const struct pare_param_info *info = t->info(t, p);

		if (!pare_prune_is_target(opt, info))
			continue;
		sizes[n] = (double)info->n_elems;
		for (int d = 0; d < info->n_dims; d++)
			sums[n] += (double)info->dims[d];
		n++;
	}
	pare_erk(sizes, sums, n, opt->sparsity, share);
	for (int p = t->n - 1; p >= 0; p--)
		by_layer[p] = pare_prune_is_target(opt, t->info(t, p)) ? share[--n] : 0;
	pare_free(sizes);
	return PARE_OK;
}

static enum pare_code prune_by_size(struct pare_tensors *t, const struct pare_prune_options *opt, struct pare_err *err)
{
	size_t bytes = ((size_t)t->n + 1) * sizeof(double);
	struct pare_prune_options with = *opt;
	double *by_layer = pare_alloc(bytes);
	enum pare_code code = by_layer != NULL ? spread_by_size(t, opt, by_layer, err) : pare_err_nomem(err, bytes);

	with.scope = PARE_SCOPE_LAYER;
	with.by_layer = by_layer;
	if (code == PARE_OK)
		code = pare_prune_tensors(t, &with, err);
	pare_free(by_layer);
	return code;
}

enum pare_code pare_prune_tensors(struct pare_tensors *t, const struct pare_prune_options *opt, struct pare_err *err)
{
	struct pare_round r = {.t = t, .opt = opt, .to = SIZE_MAX};
	enum pare_code code;

	r.unchecked = is_one_group(&r);
	code = check_options(&r, err);
	if (code != PARE_OK)
		return code;
	if (opt->scope == PARE_SCOPE_ERK && opt->by_layer == NULL)
		return prune_by_size(t, opt, err);
	r.radix = pare_alloc(sizeof *r.radix);
	if (r.radix == NULL)
		code = pare_err_nomem(err, sizeof *r.radix);
	if (code == PARE_OK && opt->criterion->score_tensor != NULL)
		code = score_tensors(&r, err);
	if (code == PARE_OK)
		code = prune_groups(&r, err);
	if (code == PARE_OK)
		t->any = true;
	pare_free(r.radix);
	pare_free(r.scores);
	return code;
}

/* --- the tensors of a net */

struct net_tensors {
	struct pare_tensors t; /* first: what the functions get is a pointer to it */
	struct pare_net *net;
	struct pare_mask *mask;
	float *slab;
};

static const struct pare_param_info *net_info(const struct pare_tensors *t, int p)
{
	return pare_net_param(((const struct net_tensors *)t)->net, p);
}

static const float *net_weights(const struct pare_tensors *t, int p, size_t first, size_t n, float *room)
{
	(void)n;
	(void)room;
	return ((const struct net_tensors *)t)->slab + net_info(t, p)->offset + first;
}

static const uint8_t *net_keep(const struct pare_tensors *t, int p, size_t first, size_t n, uint8_t *room)
{
	(void)n;
	(void)room;
	return ((const struct net_tensors *)t)->mask->keep + net_info(t, p)->offset + first;
}

static void net_mask(struct pare_tensors *t, int p, size_t first, size_t n, const uint8_t *keep)
{
	struct net_tensors *s = (struct net_tensors *)t;
	size_t at = net_info(t, p)->offset + first;

	memcpy(s->mask->keep + at, keep, n);
	pare_mask_select(keep, s->slab + at, n);
}

static void net_parallel(struct pare_tensors *t, void (*fn)(void *ctx, int i), void *ctx)
{
	pare_net_parallel(((struct net_tensors *)t)->net, fn, ctx);
}

/* What is excluded from this round stays as earlier rounds have left it. */
static void apply_to_excluded(const struct net_tensors *s, const struct pare_prune_options *opt)
{
	for (int p = 0; p < s->t.n; p++) {
		const struct pare_param_info *info = net_info(&s->t, p);

		if (info->prunable && !pare_prune_is_target(opt, info))
			pare_mask_apply(s->mask, s->slab, info->offset, info->offset + info->n_elems);
	}
}

enum pare_code pare_prune(struct pare_net *net, const struct pare_prune_options *opt, struct pare_mask *mask, struct pare_err *err)
{
	struct net_tensors s = {.t = {.n = pare_net_n_params(net), .len = pare_net_slab_len(net), .any = mask->any, .info = net_info, .weights = net_weights,
	                            .keep = net_keep, .mask = net_mask, .parallel = net_parallel, .n_threads = pare_net_n_shards(net)},
	    .net = net, .mask = mask, .slab = pare_net_slab(net)};
	enum pare_code code;

	assert(mask->len == s.t.len);
	code = pare_prune_tensors(&s.t, opt, err);
	if (code != PARE_OK)
		return code;
	mask->any = memchr(mask->keep, 0, mask->len) != NULL;
	apply_to_excluded(&s, opt);
	return PARE_OK;
}
