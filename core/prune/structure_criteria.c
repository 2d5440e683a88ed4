/* What a structure is worth, beyond what its weights say one by one.
 *
 * l1, l2       mean magnitude, root mean square over all weights of the unit, those that lead in and those that lead out (Li et al.
 *              2017, arXiv:1608.08710, over coupled groups as Fang et al. 2023, arXiv:2301.12900)
 * random       the baseline
 * bn_scale     |gamma| of the norms that the unit passes through (Liu et al. 2017, arXiv:1708.06519)
 * fpgm         distance to the other units of the group: what lies near the geometric median can be made up for by the others
 *              (He et al. 2019, arXiv:1811.00250)
 * mean_activation, apoz   mean |a| on data, and how often it is not zero (Hu et al. 2016, arXiv:1607.03250). Centered: the spread about the mean,
 *              since a bias can stand for the mean (Polyak and Wolf 2015; An et al. 2024, arXiv:2312.11983)
 * entropy      of the outputs in bins: what always says the same says nothing (Luo and Wu 2017, arXiv:1706.05791); in two bins, of being on or
 *              off (Liao et al. 2023, arXiv:2308.06619)
 * hrank        mean rank of the feature maps that convolutions read: what is of low rank can be made up from little (Lin et al. 2020, arXiv:2002.10179)
 * ablation     how much the loss rises without the unit: the exact form of what taylor estimates (Mozer and Smolensky 1989)
 *
 * A unit behind a ReLU computes the same when what leads in is doubled and what leads out is halved. Weighted, its output counts as
 * the weights that read it make it count, whatever the division. Neurons that are on for every row have the largest means and the most even
 * bins, and are the ones that a linear layer could replace: with neither option both criteria did worse than chance on MNIST.
 *
 * Running statistics of batch norms are no weights and count nowhere. */
#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/graph/net_view.h"
#include "core/ops/op.h"
#include "core/prune/structures.h"

struct sum {
	const struct pare_net *net;
	const float *slab;
	double total;
	int64_t n;
	const bool *is_scale; /* by parameter */
	float *vector;        /* of fpgm: where weights go, */
	int64_t len;          /* at most so many */
};

static bool counts(const struct sum *s, const struct pare_unit_run *r)
{
	return pare_structure_weight(s->net, r->param);
}

static void add_magnitude(void *ctx, const struct pare_unit_run *r)
{
	struct sum *s = ctx;

	for (size_t i = 0; i < r->n && counts(s, r); i++)
		s->total += fabs((double)s->slab[r->at + i]);
	s->n += counts(s, r) ? (int64_t)r->n : 0;
}

static void add_square(void *ctx, const struct pare_unit_run *r)
{
	struct sum *s = ctx;

	for (size_t i = 0; i < r->n && counts(s, r); i++)
		s->total += (double)s->slab[r->at + i] * (double)s->slab[r->at + i];
	s->n += counts(s, r) ? (int64_t)r->n : 0;
}

static void add_scale(void *ctx, const struct pare_unit_run *r)
{
	struct sum *s = ctx;

	for (size_t i = 0; i < r->n && s->is_scale[r->param]; i++)
		s->total += fabs((double)s->slab[r->at + i]);
	s->n += s->is_scale[r->param] ? (int64_t)r->n : 0;
}

static double mean_over(const struct pare_structure_input *in, int unit, void (*add)(void *, const struct pare_unit_run *), const bool *is_scale)
{
	struct sum s = {.net = in->net, .slab = pare_net_slab((struct pare_net *)in->net), .is_scale = is_scale};

	pare_unit_walk(in->groups, in->net, in->group->first + unit, add, &s);
	return s.n > 0 ? s.total / (double)s.n : NAN;
}

static enum pare_code score_l1(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	(void)err;
	for (int u = 0; u < in->group->n; u++)
		out[u] = (float)mean_over(in, u, add_magnitude, NULL);
	return PARE_OK;
}

static enum pare_code score_l2(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	(void)err;
	for (int u = 0; u < in->group->n; u++)
		out[u] = (float)sqrt(mean_over(in, u, add_square, NULL));
	return PARE_OK;
}

static enum pare_code score_random(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	struct pare_rng rng;

	(void)err;
	pare_rng_init(&rng, in->seed, "prune", (uint64_t)in->index);
	for (int u = 0; u < in->group->n; u++)
		out[u] = pare_rng_uniform(&rng);
	return PARE_OK;
}

/* Parameters that some norm multiplies channels by. */
static void find_scales(const struct pare_net *net, bool *is_scale)
{
	for (int i = 0; i < pare_net_n_steps(net); i++) {
		struct pare_net_step s;

		pare_net_step_at(net, i, &s);
		for (int k = 0; k < s.node->n_in; k++) {
			int p = s.node->in[k] >= 0 && pare_op_has(s.op->scale_in, k) ? pare_net_param_of(net, s.node->in[k]) : -1;

			if (p >= 0)
				is_scale[p] = true;
		}
	}
}

static enum pare_code score_scale(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	bool *is_scale = pare_calloc((size_t)pare_net_n_params(in->net) + 1, sizeof *is_scale);

	if (is_scale == NULL)
		return pare_err_nomem(err, 0);
	find_scales(in->net, is_scale);
	for (int u = 0; u < in->group->n; u++)
		out[u] = (float)mean_over(in, u, add_scale, is_scale);
	pare_free(is_scale);
	return PARE_OK;
}

static double distance(size_t n, const float *a, const float *b)
{
	double d = 0;

	for (size_t i = 0; i < n; i++)
		d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
	return sqrt(d);
}

/* Without a vector: only counts. */
static void take_vector(void *ctx, const struct pare_unit_run *r)
{
	struct sum *s = ctx;

	for (size_t i = 0; i < r->n && counts(s, r); i++, s->n++)
		if (s->vector != NULL && s->n < s->len)
			s->vector[s->n] = s->slab[r->at + i];
}

/* Distances are between what all units of a group have: their weights in order, as many as the shortest has. */
static enum pare_code score_fpgm(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	struct sum s = {.net = in->net, .slab = pare_net_slab((struct pare_net *)in->net), .len = INT64_MAX};
	size_t n = (size_t)in->group->n, len;
	float *rows;

	for (size_t u = 0; u < n; u++) {
		s.n = 0;
		pare_unit_walk(in->groups, in->net, in->group->first + (int)u, take_vector, &s);
		s.len = s.n < s.len ? s.n : s.len;
	}
	len = (size_t)s.len;
	rows = pare_calloc(n * len + 1, sizeof *rows);
	if (rows == NULL)
		return pare_err_nomem(err, n * len * sizeof *rows);
	for (size_t u = 0; u < n; u++) {
		s.n = 0;
		s.vector = rows + u * len;
		pare_unit_walk(in->groups, in->net, in->group->first + (int)u, take_vector, &s);
	}
	for (size_t u = 0; u < n; u++) {
		double total = 0;

		for (size_t v = 0; v < n; v++)
			total += distance(len, rows + u * len, rows + v * len);
		out[u] = (float)total;
	}
	pare_free(rows);
	return PARE_OK;
}

static double over_slices(const struct pare_structure_input *in, int unit, const double *what)
{
	const struct pare_structure *u = &in->groups->units[in->group->first + unit];
	double total = 0, count = 0;

	for (uint32_t i = 0; i < u->n; i++) {
		uint32_t slice = in->groups->member[u->first + i];

		total += what[slice];
		count += in->activations->count[slice];
	}
	return count > 0 ? total / count : NAN;
}

static void add_reader(void *ctx, const struct pare_unit_run *r)
{
	struct sum *s = ctx;

	if (counts(s, r) && pare_net_param(s->net, r->param)->out_axis != r->axis)
		add_square(ctx, r);
}

/* The norm of the weights that read a unit, 1 without any. */
static double reach(const struct pare_structure_input *in, int unit)
{
	struct sum s = {.net = in->net, .slab = pare_net_slab((struct pare_net *)in->net)};

	if (!in->weighted)
		return 1;
	pare_unit_walk(in->groups, in->net, in->group->first + unit, add_reader, &s);
	return s.n > 0 ? sqrt(s.total) : 1;
}

static double spread(const struct pare_structure_input *in, int unit)
{
	double mean = over_slices(in, unit, in->activations->total);

	return sqrt(fmax(0, over_slices(in, unit, in->activations->squares) - mean * mean));
}

static enum pare_code score_mean(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	(void)err;
	for (int u = 0; u < in->group->n; u++) {
		double a = in->centered ? spread(in, u) : over_slices(in, u, in->activations->sum);

		out[u] = (float)(a * reach(in, u));
	}
	return PARE_OK;
}

static enum pare_code score_apoz(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	(void)err;
	for (int u = 0; u < in->group->n; u++)
		out[u] = (float)(1 - over_slices(in, u, in->activations->zeros));
	return PARE_OK;
}

static enum pare_code score_entropy(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	(void)err;
	for (int u = 0; u < in->group->n; u++) {
		const struct pare_structure *unit = &in->groups->units[in->group->first + u];
		double total = 0;
		int n = 0;

		for (uint32_t i = 0; i < unit->n; i++) {
			uint32_t slice = in->groups->member[unit->first + i];

			if (in->activations->count[slice] > 0) {
				total += in->activations->entropy[slice];
				n++;
			}
		}
		out[u] = n > 0 ? (float)(total / n * reach(in, u)) : NAN;
	}
	return PARE_OK;
}

static enum pare_code score_rank(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	(void)err;
	for (int u = 0; u < in->group->n; u++) {
		const struct pare_structure *unit = &in->groups->units[in->group->first + u];
		double total = 0, n = 0;

		for (uint32_t i = 0; i < unit->n; i++) {
			total += in->activations->rank[in->groups->member[unit->first + i]];
			n += in->activations->maps[in->groups->member[unit->first + i]];
		}
		out[u] = n > 0 ? (float)(total / n) : NAN;
	}
	return PARE_OK;
}

static enum pare_code score_ablation(const struct pare_structure_input *in, float *out, struct pare_err *err)
{
	(void)err;
	for (int u = 0; u < in->group->n; u++)
		out[u] = (float)in->ablation[in->group->first + u];
	return PARE_OK;
}

const struct pare_structure_criterion pare_structure_criterion_table[] = {
    {.name = "l1", .relative = true, .score = score_l1},
    {.name = "l2", .relative = true, .score = score_l2},
    {.name = "random", .score = score_random},
    {.name = "bn_scale", .score = score_scale},
    {.name = "fpgm", .relative = true, .score = score_fpgm},
    {.name = "mean_activation", .stat = PARE_STRUCTURE_STAT_ACTIVATIONS, .relative = true, .score = score_mean},
    {.name = "apoz", .stat = PARE_STRUCTURE_STAT_ACTIVATIONS, .score = score_apoz},
    {.name = "entropy", .stat = PARE_STRUCTURE_STAT_ENTROPY, .relative = true, .score = score_entropy},
    {.name = "hrank", .stat = PARE_STRUCTURE_STAT_RANK, .relative = true, .score = score_rank},
    {.name = "ablation", .stat = PARE_STRUCTURE_STAT_ABLATION, .score = score_ablation},
    {.name = NULL},
};

const struct pare_structure_criterion *pare_structure_criterion_find(const char *name)
{
	for (const struct pare_structure_criterion *c = pare_structure_criterion_table; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}
