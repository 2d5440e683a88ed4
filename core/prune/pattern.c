/* Sparsity with a shape: N of every M, and blocks. Both leave the tensors as they are and put zeros where hardware or a
 * sparse format can use them: 2:4 is what sparse tensor cores take (Mishra et al. 2021, arXiv:2104.08378), blocks are what
 * block-sparse kernels take (Gray et al. 2017).
 *
 * A tensor is seen as outputs x inputs x rest whatever its layout (Gemm with transB, MatMul, Conv, ConvTranspose), so "M
 * consecutive" means consecutive inputs of one output at one tap, which is what a kernel that multiplies by rows reads.
 *
 * What is masked already scores -infinity, so it is among the first to go again and masks only grow. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/prune/prune_priv.h"

struct view {
	int64_t n_out, n_in, n_rest;
	int64_t out_step, in_step;
	int n_dims; /* of rest */
	int64_t dims[PARE_MAX_DIMS], steps[PARE_MAX_DIMS];
};

static void view_of(const struct pare_param_info *p, struct view *v)
{
	int out = p->out_axis >= 0 ? p->out_axis : 0, in = out == 0 ? 1 : 0;
	int64_t step = 1;

	*v = (struct view){.n_rest = 1};
	for (int i = p->n_dims - 1; i >= 0; i--) {
		if (i == out) {
			v->n_out = p->dims[i];
			v->out_step = step;
		} else if (i == in) {
			v->n_in = p->dims[i];
			v->in_step = step;
		} else {
			v->dims[v->n_dims] = p->dims[i];
			v->steps[v->n_dims++] = step;
			v->n_rest *= p->dims[i];
		}
		step *= p->dims[i];
	}
}

static int64_t rest_offset(const struct view *v, int64_t i)
{
	int64_t at = 0;

	for (int k = 0; k < v->n_dims; k++) {
		at += i % v->dims[k] * v->steps[k];
		i /= v->dims[k];
	}
	return at;
}

/* All scores of tensor p. */
static void tensor_scores(const struct pare_round *r, int p, float *score)
{
	size_t n_elems = pare_net_param(r->net, p)->n_elems, n;

	for (size_t at = 0; at < n_elems; at += n) {
		n = n_elems - at < PARE_SCORE_BLOCK ? n_elems - at : PARE_SCORE_BLOCK;
		pare_prune_scores(r, p, at, n, score + at);
	}
}

/* The largest target of params [first, end), in elements. */
static size_t largest(const struct pare_round *r, int first, int end)
{
	size_t most = 0;

	for (int p = first; p < end; p++)
		if (pare_prune_is_target(r->opt, pare_net_param(r->net, p)) && pare_net_param(r->net, p)->n_elems > most)
			most = pare_net_param(r->net, p)->n_elems;
	return most;
}

/* Of n scores, step apart, the n_drop lowest are masked; of equal ones the first goes first. */
static void drop_lowest(const float *score, uint8_t *keep, float *w, int64_t step, int n, int n_drop)
{
	bool gone[PARE_PATTERN_MAX] = {false};

	for (; n_drop > 0; n_drop--) {
		int low = -1;

		for (int i = 0; i < n; i++)
			if (!gone[i] && (low < 0 || score[i * step] < score[low * step]))
				low = i;
		gone[low] = true;
		keep[low * step] = 0;
		w[low * step] = 0.0f;
	}
}

static void pattern_tensor(struct pare_round *r, int p, const float *score)
{
	const struct pare_param_info *info = pare_net_param(r->net, p);
	uint8_t *keep = r->mask->keep + info->offset;
	float *w = pare_net_slab(r->net) + info->offset;
	int m = r->opt->pattern_of;
	struct view v;

	view_of(info, &v);
	for (int64_t rest = 0; rest < v.n_rest; rest++)
		for (int64_t o = 0; o < v.n_out; o++)
			for (int64_t i = 0; i < v.n_in; i += m) {
				int n = v.n_in - i < m ? (int)(v.n_in - i) : m;
				int n_keep = (r->opt->pattern_keep * n + m - 1) / m;
				int64_t at = o * v.out_step + i * v.in_step + rest_offset(&v, rest);

				drop_lowest(score + at, keep + at, w + at, v.in_step, n, n - n_keep);
			}
}

enum pare_code pare_prune_pattern(struct pare_round *r, int first, int end, struct pare_err *err)
{
	size_t most = largest(r, first, end);
	float *score = pare_calloc(most + 1, sizeof *score);

	if (score == NULL)
		return pare_err_nomem(err, most * sizeof *score);
	for (int p = first; p < end; p++)
		if (pare_prune_is_target(r->opt, pare_net_param(r->net, p))) {
			tensor_scores(r, p, score);
			pattern_tensor(r, p, score);
		}
	pare_free(score);
	return PARE_OK;
}

/* --- blocks */

static int64_t blocks_along(int64_t n, int64_t size)
{
	return (n + size - 1) / size;
}

static size_t n_blocks(const struct pare_round *r, const struct view *v)
{
	return (size_t)(blocks_along(v->n_out, r->opt->block[0]) * blocks_along(v->n_in, r->opt->block[1]) * v->n_rest);
}

typedef void block_fn(struct pare_round *r, const float *score, uint8_t *keep, float *w, int64_t n_weights, int64_t *at, float *mean, void *ctx);

/* Calls fn for every block of tensor p in order; at[] holds the places of its weights. */
static void each_block(struct pare_round *r, int p, const float *score, float *mean, int64_t *at, block_fn *fn, void *ctx)
{
	const struct pare_param_info *info = pare_net_param(r->net, p);
	int64_t bo = r->opt->block[0], bi = r->opt->block[1];
	struct view v;

	view_of(info, &v);
	for (int64_t o = 0; o < v.n_out; o += bo)
		for (int64_t i = 0; i < v.n_in; i += bi)
			for (int64_t rest = 0; rest < v.n_rest; rest++) {
				int64_t n = 0, base = rest_offset(&v, rest);

				for (int64_t a = o; a < o + bo && a < v.n_out; a++)
					for (int64_t b = i; b < i + bi && b < v.n_in; b++)
						at[n++] = base + a * v.out_step + b * v.in_step;
				fn(r, score, r->mask->keep + info->offset, pare_net_slab(r->net) + info->offset, n, at, mean++, ctx);
			}
}

/* A block that is masked as a whole is gone already; in one that is masked in part what is masked counts 0. */
static void rank_block(struct pare_round *r, const float *score, uint8_t *keep, float *w, int64_t n, int64_t *at, float *mean, void *ctx)
{
	double sum = 0;
	bool any = false;

	(void)keep;
	(void)w;
	(void)ctx;
	for (int64_t k = 0; k < n; k++)
		if (score[at[k]] > -INFINITY) {
			sum += (double)score[at[k]];
			any = true;
		}
	*mean = any ? (float)(sum / (double)n) : -INFINITY;
	r->n_masked += !any;
}

static void drop_block(struct pare_round *r, const float *score, uint8_t *keep, float *w, int64_t n, int64_t *at, float *mean, void *ctx)
{
	bool tie = *mean == r->t && r->n_ties > 0;

	(void)score;
	(void)ctx;
	if (*mean >= r->t && !tie)
		return;
	r->n_ties -= tie;
	for (int64_t k = 0; k < n; k++) {
		keep[at[k]] = 0;
		w[at[k]] = 0.0f;
	}
}

/* Threshold and ties from the means of all blocks of the group. False: nothing goes. */
static bool choose_blocks(struct pare_round *r, const float *mean, size_t n)
{
	size_t n_drop = (size_t)llround(r->opt->sparsity * (double)n), below = 0;

	r->n_ties = 0;
	r->t = pare_prune_ceil(r->opt->threshold);
	if (r->opt->by_threshold)
		return true;
	n_drop = n_drop < r->n_masked ? r->n_masked : n_drop;
	if (n_drop == 0)
		return false;
	r->t = pare_select_kth(mean, n, n_drop - 1);
	for (size_t i = 0; i < n; i++)
		below += mean[i] < r->t;
	r->n_ties = n_drop - below;
	return true;
}

struct block_work {
	float *score, *mean;
	int64_t *at;
};

static void run_blocks(struct pare_round *r, int first, int end, const struct block_work *k, block_fn *fn)
{
	float *mean = k->mean;

	for (int p = first; p < end; p++) {
		struct view v;

		if (!pare_prune_is_target(r->opt, pare_net_param(r->net, p)))
			continue;
		if (fn == rank_block)
			tensor_scores(r, p, k->score);
		each_block(r, p, k->score, mean, k->at, fn, NULL);
		view_of(pare_net_param(r->net, p), &v);
		mean += n_blocks(r, &v);
	}
}

enum pare_code pare_prune_blocks(struct pare_round *r, int first, int end, struct pare_err *err)
{
	size_t most = largest(r, first, end), n = 0, size;
	struct block_work k = {.score = pare_calloc(most + 1, sizeof *k.score)};
	enum pare_code code = PARE_OK;

	for (int p = first; p < end; p++) {
		struct view v;

		view_of(pare_net_param(r->net, p), &v);
		n += pare_prune_is_target(r->opt, pare_net_param(r->net, p)) ? n_blocks(r, &v) : 0;
	}
	if (!pare_mul_size((size_t)r->opt->block[0], (size_t)r->opt->block[1], &size) || size > most)
		size = most; /* no block has more weights than its tensor */
	k.mean = pare_calloc(n + 1, sizeof *k.mean);
	k.at = pare_calloc(size + 1, sizeof *k.at);
	if (k.score == NULL || k.mean == NULL || k.at == NULL) {
		code = pare_err_nomem(err, n * sizeof *k.mean);
		goto out;
	}
	r->n_masked = 0;
	run_blocks(r, first, end, &k, rank_block);
	if (n > 0 && choose_blocks(r, k.mean, n))
		run_blocks(r, first, end, &k, drop_block);
out:
	pare_free(k.score);
	pare_free(k.mean);
	pare_free(k.at);
	return code;
}
