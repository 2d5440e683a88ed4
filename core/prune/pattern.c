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
	size_t n_elems = r->t->info(r->t, p)->n_elems, n;

	for (size_t at = 0; at < n_elems; at += n) {
		n = n_elems - at < PARE_SCORE_BLOCK ? n_elems - at : PARE_SCORE_BLOCK;
		pare_prune_scores(r, p, at, n, score + at);
	}
}

/* Of n scores, step apart, the n_drop lowest are masked; of equal ones the first goes first. */
static void drop_lowest(const float *score, uint8_t *keep, int64_t step, int n, int n_drop)
{
	bool gone[PARE_PATTERN_MAX] = {false};

	for (; n_drop > 0; n_drop--) {
		int low = 0;

		while (low < n - 1 && gone[low])
			low++;
		for (int i = low + 1; i < n; i++)
			if (!gone[i] && score[i * step] < score[low * step])
				low = i;
		gone[low] = true;
		keep[low * step] = 0;
	}
}

/* Scores of a whole tensor, and what of it is kept. */
struct room {
	float *score;
	uint8_t *keep;
};

static void room_done(struct room *k)
{
	pare_free(k->score);
	pare_free(k->keep);
}

static enum pare_code room_init(const struct pare_round *r, int first, int end, struct room *k, struct pare_err *err)
{
	size_t most = pare_prune_largest(r, first, end);

	k->score = pare_calloc(most + 1, sizeof *k->score);
	k->keep = pare_alloc(most + 1);
	if (k->score != NULL && k->keep != NULL)
		return PARE_OK;
	room_done(k);
	return pare_err_nomem(err, most * (sizeof *k->score + 1));
}

static void get_keep(const struct pare_round *r, int p, uint8_t *keep)
{
	size_t n = r->t->info(r->t, p)->n_elems;
	const uint8_t *from = r->t->keep(r->t, p, 0, n, keep);

	if (from != keep)
		memcpy(keep, from, n);
}

static void pattern_tensor(struct pare_round *r, int p, const struct room *k)
{
	const struct pare_param_info *info = r->t->info(r->t, p);
	int m = r->opt->pattern_of;
	struct view v;

	view_of(info, &v);
	get_keep(r, p, k->keep);
	for (int64_t rest = 0; rest < v.n_rest; rest++)
		for (int64_t o = 0; o < v.n_out; o++)
			for (int64_t i = 0; i < v.n_in; i += m) {
				int n = v.n_in - i < m ? (int)(v.n_in - i) : m;
				int n_keep = (r->opt->pattern_keep * n + m - 1) / m;
				int64_t at = o * v.out_step + i * v.in_step + rest_offset(&v, rest);

				drop_lowest(k->score + at, k->keep + at, v.in_step, n, n - n_keep);
			}
	r->t->mask(r->t, p, 0, info->n_elems, k->keep);
}

enum pare_code pare_prune_pattern(struct pare_round *r, int first, int end, struct pare_err *err)
{
	struct room k;
	enum pare_code code = room_init(r, first, end, &k, err);

	if (code != PARE_OK)
		return code;
	for (int p = first; p < end; p++)
		if (pare_prune_is_target(r->opt, r->t->info(r->t, p))) {
			tensor_scores(r, p, k.score);
			pattern_tensor(r, p, &k);
		}
	room_done(&k);
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

typedef void block_fn(struct pare_round *r, const struct room *k, int64_t n_weights, const int64_t *at, float *mean);

/* Calls fn for every block of tensor p in order; at[] holds the places of its weights. */
static void each_block(struct pare_round *r, int p, const struct room *k, float *mean, int64_t *at, block_fn *fn)
{
	const struct pare_param_info *info = r->t->info(r->t, p);
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
				fn(r, k, n, at, mean++);
			}
}

/* A block that is masked as a whole is gone already; in one that is masked in part what is masked counts 0. */
static void rank_block(struct pare_round *r, const struct room *k, int64_t n, const int64_t *at, float *mean)
{
	double sum = 0;
	bool any = false;

	for (int64_t i = 0; i < n; i++)
		if (k->score[at[i]] > -INFINITY) {
			sum += (double)k->score[at[i]];
			any = true;
		}
	*mean = any ? (float)(sum / (double)n) : -INFINITY;
	r->n_masked += !any;
}

static void drop_block(struct pare_round *r, const struct room *k, int64_t n, const int64_t *at, float *mean)
{
	bool tie = *mean == r->limit && r->n_ties > 0;

	if (*mean >= r->limit && !tie)
		return;
	r->n_ties -= tie;
	for (int64_t i = 0; i < n; i++)
		k->keep[at[i]] = 0;
}

/* Threshold and ties from the means of all blocks of the group. False: nothing goes. */
static bool choose_blocks(struct pare_round *r, const float *mean, size_t n)
{
	size_t n_drop = (size_t)llround(r->opt->sparsity * (double)n), below = 0;

	r->n_ties = 0;
	r->limit = pare_prune_ceil(r->opt->threshold);
	if (r->opt->by_threshold)
		return true;
	n_drop = n_drop < r->n_masked ? r->n_masked : n_drop;
	if (n_drop == 0)
		return false;
	r->limit = pare_select_kth(mean, n, n_drop - 1);
	for (size_t i = 0; i < n; i++)
		below += mean[i] < r->limit;
	r->n_ties = n_drop - below;
	return true;
}

struct block_work {
	struct room room;
	float *mean;
	int64_t *at;
};

static void rank_blocks(struct pare_round *r, int first, int end, const struct block_work *k)
{
	float *mean = k->mean;

	for (int p = first; p < end; p++) {
		struct view v;

		if (!pare_prune_is_target(r->opt, r->t->info(r->t, p)))
			continue;
		tensor_scores(r, p, k->room.score);
		each_block(r, p, &k->room, mean, k->at, rank_block);
		view_of(r->t->info(r->t, p), &v);
		mean += n_blocks(r, &v);
	}
}

static void drop_blocks(struct pare_round *r, int first, int end, const struct block_work *k)
{
	float *mean = k->mean;

	for (int p = first; p < end; p++) {
		struct view v;

		if (!pare_prune_is_target(r->opt, r->t->info(r->t, p)))
			continue;
		get_keep(r, p, k->room.keep);
		each_block(r, p, &k->room, mean, k->at, drop_block);
		r->t->mask(r->t, p, 0, r->t->info(r->t, p)->n_elems, k->room.keep);
		view_of(r->t->info(r->t, p), &v);
		mean += n_blocks(r, &v);
	}
}

enum pare_code pare_prune_blocks(struct pare_round *r, int first, int end, struct pare_err *err)
{
	size_t most = pare_prune_largest(r, first, end), n = 0, size;
	struct block_work k = {.mean = NULL};
	enum pare_code code = room_init(r, first, end, &k.room, err);

	if (code != PARE_OK)
		return code;
	for (int p = first; p < end; p++) {
		struct view v;

		view_of(r->t->info(r->t, p), &v);
		n += pare_prune_is_target(r->opt, r->t->info(r->t, p)) ? n_blocks(r, &v) : 0;
	}
	if (!pare_mul_size((size_t)r->opt->block[0], (size_t)r->opt->block[1], &size) || size > most)
		size = most; /* no block has more weights than its tensor */
	k.mean = pare_calloc(n + 1, sizeof *k.mean);
	k.at = pare_calloc(size + 1, sizeof *k.at);
	if (k.mean == NULL || k.at == NULL) {
		code = pare_err_nomem(err, n * sizeof *k.mean);
		goto out;
	}
	r->n_masked = 0;
	rank_blocks(r, first, end, &k);
	if (n > 0 && choose_blocks(r, k.mean, n))
		drop_blocks(r, first, end, &k);
out:
	room_done(&k.room);
	pare_free(k.mean);
	pare_free(k.at);
	return code;
}
