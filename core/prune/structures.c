/* One round over structures: score, rank, choose, cut.
 *
 * A pool is what is ranked together: all groups, one group, or all groups of one kind; groups with a ratio of their own are pools of
 * their own. From each pool the lowest go until the share is reached, where a group that is down to its minimum is passed over and
 * the next in rank goes in its place. Rounding gives back, within each group, the best of what was chosen; only what rounding leaves out
 * counts for the share, so that a ranking over several groups is followed on until whole steps of width come to it.
 *
 * Scores that say how large weights are cannot be compared between layers of different fan-in and scale, so they are divided by
 * their group's mean over what is left; scores that estimate a loss are left alone.
 *
 * What a structure saves falls with what it is coupled to: a channel of a layer whose readers have become few saves little. Where scores are
 * set against that, the amount goes in passes, and savings are counted anew before each. Rejected: one pass, which takes the
 * dearest layers down to their minimum before any other (28x28 images, 3 convolutions, 40 % of the channels: 16 -> 2, 32 -> 2, 64 -> 37). */
#include "core/prune/structures.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/graph/net_view.h"
#include "core/prune/index.h"
#include "core/prune/prune_priv.h"
#include "core/prune/shrink.h"

#define N_PASSES 16 /* by which savings are counted anew */

struct choice { /* a unit, in its rank */
	float score;
	int unit, group;
	int next;    /* of the same pool; -1: none */
	int before;  /* of the same group; -1: none */
	bool gone;   /* before this round */
	bool chosen; /* or gone */
};

struct chooser {
	struct pare_net *net;
	const struct pare_structures *g;
	const struct pare_structure_options *opt;
	struct pare_cut *cut;
	struct pare_mask *mask;
	struct choice *list; /* of all units, by group */
	float *raw;          /* scores before normalisation */
	float *weight_score; /* by slab, of a weight criterion */
	int64_t *kept;       /* by group */
	int64_t *began;      /* likewise, before this round */
	int64_t *inside;     /* by unit, of whole ones: those within it that are left, with itself */
	bool *excluded;
	double *share;  /* by group */
	double portion; /* of what is still to go, that goes in this pass */
	int *pool;         /* likewise: 0, or the number of one of its groups + 1 */
	int *first, *last; /* in the sorted list: by pool, by group; -1: none */
};

/* --- what a group is called */

struct naming {
	const struct pare_net *net;
	const struct pare_prune_options *match;
	bool found;
};

static void look_at_name(void *ctx, const struct pare_unit_run *r)
{
	struct naming *n = ctx;

	if (r->starts && pare_net_param(n->net, r->param)->prunable && !pare_prune_is_target(n->match, pare_net_param(n->net, r->param)))
		n->found = true;
}

bool pare_group_is_named(const struct pare_net *net, const struct pare_structures *g, const struct pare_group *gr, const char *const *patterns, size_t n)
{
	struct pare_prune_options match = {.exclude = patterns, .n_exclude = n};
	struct naming naming = {.net = net, .match = &match};

	if (n > 0)
		pare_unit_walk(g, net, gr->first, look_at_name, &naming);
	return naming.found;
}

static bool is_excluded(const struct pare_net *net, const struct pare_structures *g, const struct pare_structure_options *opt, const struct pare_group *gr)
{
	return pare_group_is_named(net, g, gr, opt->exclude, opt->n_exclude);
}

void pare_structures_count(const struct pare_net *net, const struct pare_structures *g, const struct pare_structure_options *opt, const struct pare_cut *cut,
    struct pare_structure_count *out)
{
	*out = (struct pare_structure_count){0};
	for (int k = 0; k < g->n_groups; k++) {
		if (is_excluded(net, g, opt, &g->groups[k]))
			continue;
		out->n_units += g->groups[k].n;
		for (int u = g->groups[k].first; u < g->groups[k].first + g->groups[k].n; u++)
			out->n_gone += pare_cut_has(cut, g, u);
	}
}

/* --- scores */

struct weight_sum {
	const struct pare_net *net;
	const float *score; /* by slab */
	double total;
	int64_t n;
};

static void add_scores(void *ctx, const struct pare_unit_run *r)
{
	struct weight_sum *s = ctx;

	if (!pare_structure_weight(s->net, r->param))
		return;
	for (size_t i = 0; i < r->n; i++)
		s->total += (double)s->score[r->at + i];
	s->n += (int64_t)r->n;
}

static enum pare_code score_weights(struct chooser *c, struct pare_err *err)
{
	const struct pare_criterion *w = c->opt->weights;
	float *slab = pare_net_slab(c->net);
	enum pare_code code = PARE_OK;

	c->weight_score = pare_calloc(pare_net_slab_len(c->net) + 1, sizeof *c->weight_score);
	if (c->weight_score == NULL)
		return pare_err_nomem(err, pare_net_slab_len(c->net) * sizeof *c->weight_score);
	for (int p = 0; p < pare_net_n_params(c->net) && code == PARE_OK; p++) {
		const struct pare_param_info *info = pare_net_param(c->net, p);
		struct pare_score_input in = {.param = info, .w = slab + info->offset, .stat = c->opt->stat != NULL ? c->opt->stat + info->offset : NULL,
		    .seed = c->opt->seed, .param_index = p, .n = info->n_elems};

		if (!pare_structure_weight(c->net, p))
			continue;
		if (w->score_tensor != NULL)
			code = w->score_tensor(&in, c->weight_score + info->offset, err);
		for (; w->score_tensor == NULL && in.first < info->n_elems; in.first += in.n) {
			in.n = info->n_elems - in.first < PARE_SCORE_BLOCK ? info->n_elems - in.first : PARE_SCORE_BLOCK;
			in.w = slab + info->offset + in.first;
			w->score(&in, c->weight_score + info->offset + in.first);
		}
	}
	return code;
}

static enum pare_code score_group(struct chooser *c, int k, struct pare_err *err)
{
	const struct pare_group *gr = &c->g->groups[k];
	const struct pare_structure_input in = {.net = c->net, .groups = c->g, .group = gr, .activations = c->opt->activations, .ablation = c->opt->ablation,
	    .centered = c->opt->centered, .weighted = c->opt->weighted, .seed = c->opt->seed, .index = k};
	bool sum = c->opt->criterion == NULL && c->opt->weights->stat != PARE_STAT_NONE;

	if (c->opt->criterion != NULL)
		return c->opt->criterion->score(&in, c->raw + gr->first, err);
	for (int u = gr->first; u < gr->first + gr->n; u++) {
		struct weight_sum s = {.net = c->net, .score = c->weight_score};

		pare_unit_walk(c->g, c->net, u, add_scores, &s);
		c->raw[u] = (float)(sum ? s.total : s.n > 0 ? s.total / (double)s.n : NAN);
	}
	return PARE_OK;
}

struct saving {
	const struct pare_net *net;
	const struct pare_mask *mask;
	enum pare_structure_per per;
	double total;
};

static void add_saving(void *ctx, const struct pare_unit_run *r)
{
	struct saving *s = ctx;
	const struct pare_param_info *p = pare_net_param(s->net, r->param);
	size_t left = 0;

	if (!p->prunable)
		return;
	for (size_t i = 0; i < r->n; i++)
		left += s->mask->keep[r->at + i] != 0;
	s->total += (double)left * (s->per == PARE_PER_MACS ? (double)pare_net_node_macs(s->net, p->node) / (double)p->n_elems : 1);
}

/* What saves nothing stays. */
static double set_against_saving(const struct chooser *c, int unit, double score)
{
	struct saving s = {.net = c->net, .mask = c->mask, .per = c->opt->per};

	if (s.per == PARE_PER_STRUCTURE)
		return score;
	pare_unit_walk(c->g, c->net, unit, add_saving, &s);
	return s.total <= 0 ? INFINITY : score < 0 ? score * s.total : score / s.total;
}

static void rank_group(struct chooser *c, int k)
{
	const struct pare_group *gr = &c->g->groups[k];
	bool relative = c->opt->criterion != NULL ? c->opt->criterion->relative : c->opt->weights->stat == PARE_STAT_NONE;
	double total = 0, n = 0;

	for (int u = gr->first; u < gr->first + gr->n; u++) {
		struct choice *e = &c->list[u];

		*e = (struct choice){.score = c->raw[u], .unit = u, .group = k, .gone = pare_cut_has(c->cut, c->g, u)};
		e->chosen = e->gone;
		c->kept[k] += !e->gone;
		c->began[k] += !e->gone;
		for (int in = u; c->g->whole && !e->gone && in >= 0; in = c->g->within[in])
			c->inside[in]++;
		if (!e->gone && !isnan(e->score)) {
			total += (double)e->score;
			n++;
		}
	}
	for (int u = gr->first; u < gr->first + gr->n; u++) {
		struct choice *e = &c->list[u];

		if (relative && !c->g->whole && n > 0 && total > 0)
			e->score = (float)((double)e->score / (total / n));
		if (!e->gone && !isnan(c->raw[u]))
			e->score = (float)set_against_saving(c, u, (double)e->score);
		e->score = e->gone ? -INFINITY : isnan(c->raw[u]) ? INFINITY : e->score;
	}
}

static enum pare_code check_finite(const struct chooser *c, struct pare_err *err)
{
	for (int p = 0; p < pare_net_n_params(c->net); p++) {
		const struct pare_param_info *info = pare_net_param(c->net, p);
		const float *w = pare_net_slab(c->net) + info->offset;

		for (size_t i = 0; i < info->n_elems; i++)
			if (!(fabsf(w[i]) <= FLT_MAX))
				return pare_err_set(err, PARE_E_NONFINITE, NULL, "initializer \"%s\" holds NaN or infinity at element %zu: weights must be finite to be ranked",
				    info->name, i);
	}
	return PARE_OK;
}

/* --- choice */

static bool ranks_before(const struct choice *a, const struct choice *b)
{
	return a->score < b->score || (a->score <= b->score && a->unit < b->unit);
}

static void sift(struct choice *v, size_t at, size_t n)
{
	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		struct choice swap = v[at];

		child += child + 1 < n && ranks_before(&v[child], &v[child + 1]);
		if (!ranks_before(&v[at], &v[child]))
			return;
		v[at] = v[child];
		v[child] = swap;
	}
}

/* A heap sort: the C library's qsort asks the system how much memory there is, which the sandbox does not answer. */
static void sort_by_rank(struct choice *v, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(v, i, n);
	for (size_t i = n; i-- > 1;) {
		struct choice last = v[i];

		v[i] = v[0];
		v[0] = last;
		sift(v, 0, i);
	}
}

static int64_t ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

/* Units that group k has to keep so that it is `width` indices wide at least. */
static int64_t units_for(const struct chooser *c, int k, int64_t width)
{
	const struct pare_group *gr = &c->g->groups[k];
	int64_t n = ceil_div(width * gr->n, gr->width);

	if (c->g->whole)
		return 0;
	return n < 1 ? 1 : n > gr->n ? gr->n : n;
}

/* The ratio that names the group; NULL: none. */
static const struct pare_structure_ratio *ratio_of(const struct chooser *c, const struct pare_group *gr)
{
	for (size_t i = 0; i < c->opt->n_ratios; i++)
		if (pare_group_is_named(c->net, c->g, gr, &c->opt->ratios[i].layer, 1))
			return &c->opt->ratios[i];
	return NULL;
}

static enum pare_code plan_pools(struct chooser *c, struct pare_err *err)
{
	struct pare_index by_kind;
	bool ok = pare_index_init(&by_kind, (size_t)c->g->n_groups);

	for (int k = 0; k < c->g->n_groups && ok; k++) {
		const struct pare_group *gr = &c->g->groups[k];
		const struct pare_structure_ratio *own = ratio_of(c, gr);
		int *like;

		c->excluded[k] = is_excluded(c->net, c->g, c->opt, gr);
		c->share[k] = own != NULL ? own->sparsity : c->opt->sparsity;
		c->pool[k] = own == NULL && (c->opt->scope == PARE_STRUCTURE_GLOBAL || c->g->whole) ? 0 : k + 1;
		if (own != NULL || c->opt->scope != PARE_STRUCTURE_ISOMORPHIC || c->g->whole)
			continue;
		like = pare_index_at(&by_kind, gr->kind);
		*like = *like < 0 ? k + 1 : *like;
		c->pool[k] = *like;
	}
	pare_index_done(&by_kind);
	return ok ? PARE_OK : pare_err_nomem(err, (size_t)c->g->n_groups * sizeof *by_kind.keys);
}

/* The list is sorted: pools in rank, groups against it. */
static void chain(struct chooser *c)
{
	for (int k = 0; k <= c->g->n_groups; k++)
		c->first[k] = c->last[k] = -1;
	for (int i = 0; i < c->g->n_units; i++) {
		struct choice *e = &c->list[i];

		e->before = c->last[e->group];
		c->last[e->group] = i;
	}
	for (int i = c->g->n_units; i-- > 0;) {
		struct choice *e = &c->list[i];

		e->next = c->first[c->pool[e->group]];
		c->first[c->pool[e->group]] = i;
	}
}

static int64_t gcd(int64_t a, int64_t b)
{
	while (b != 0) {
		int64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Units that are left of group k once its width is a multiple, if `kept` are before; what was gone does not come back. */
static int64_t rounded(const struct chooser *c, int k, int64_t kept)
{
	const struct pare_group *gr = &c->g->groups[k];
	int64_t whole = c->opt->round_to * gr->n, step = c->g->whole ? 1 : whole / gcd(gr->width, whole), up = ceil_div(kept, step) * step;

	return up < c->began[k] ? up : c->began[k];
}

/* Units that would go with a whole one, itself among them: none when one around it is chosen. */
static int64_t taken_along(const struct chooser *c, int unit)
{
	for (int u = c->g->within[unit]; u >= 0; u = c->g->within[u])
		if (c->inside[u] == 0)
			return 0;
	return c->inside[unit];
}

/* Marks the lowest of a pool, of which no more than the share goes once widths are multiples; list is sorted. */
static void choose_pool(struct chooser *c, int pool, double share)
{
	int64_t total = 0, want, n = 0;

	for (int i = c->first[pool]; i >= 0; i = c->list[i].next) {
		total += !c->excluded[c->list[i].group];
		n += !c->excluded[c->list[i].group] && c->list[i].gone;
	}
	want = n + (int64_t)llround(fmax(0, share * (double)total - (double)n) * c->portion);
	for (int i = c->first[pool]; i >= 0; i = c->list[i].next) {
		struct choice *e = &c->list[i];
		int k = e->group;
		int64_t go;

		if (c->excluded[k] || e->gone || e->score >= INFINITY || c->kept[k] <= units_for(c, k, c->opt->min_width))
			continue;
		go = c->g->whole ? taken_along(c, e->unit) : rounded(c, k, c->kept[k]) - rounded(c, k, c->kept[k] - 1);
		if (c->opt->by_threshold ? (double)c->raw[e->unit] >= c->opt->threshold : n >= want || n + go > want)
			continue;
		e->chosen = true;
		c->kept[k]--;
		n += go;
		for (int u = e->unit; c->g->whole && u >= 0; u = c->g->within[u])
			c->inside[u] -= go;
	}
}

/* Gives the best of what was chosen back until group k's width is a multiple. */
static void round_width(struct chooser *c, int k)
{
	int64_t kept = rounded(c, k, c->kept[k]);

	for (int i = c->last[k]; i >= 0 && c->kept[k] < kept; i = c->list[i].before)
		if (c->list[i].chosen && !c->list[i].gone) {
			c->list[i].chosen = false;
			c->kept[k]++;
		}
}

static enum pare_code choose(struct chooser *c, struct pare_err *err)
{
	enum pare_code code = plan_pools(c, err);

	if (code != PARE_OK)
		return code;
	sort_by_rank(c->list, (size_t)c->g->n_units);
	chain(c);
	for (int k = 0; k < c->g->n_groups; k++) {
		choose_pool(c, c->pool[k], c->share[k]);
		c->first[c->pool[k]] = -1; /* once */
	}
	for (int k = 0; k < c->g->n_groups; k++)
		round_width(c, k);
	for (int i = 0; i < c->g->n_units; i++)
		if (c->list[i].chosen && !c->list[i].gone)
			(void)pare_cut_unit(c->cut, c->g, c->list[i].unit);
	return PARE_OK;
}

static enum pare_code check_scores(const struct chooser *c, struct pare_err *err)
{
	for (int u = 0; u < c->g->n_units; u++)
		if (!isnan(c->raw[u]))
			return PARE_OK;
	return pare_err_set(err, PARE_E_INVALID, NULL, "criterion \"%s\" says nothing of any structure of this model%s",
	    c->opt->criterion != NULL ? c->opt->criterion->name : c->opt->weights->name,
	    c->opt->criterion != NULL && strcmp(c->opt->criterion->name, "bn_scale") == 0 ? ": it has no norms with a scale per channel" : "");
}

/* Room for the choice, and the scores that it goes by. */
static enum pare_code score(struct chooser *c, struct pare_err *err)
{
	size_t n_units = (size_t)c->g->n_units + 1, n_groups = (size_t)c->g->n_groups + 1;
	enum pare_code code = check_finite(c, err);

	c->list = pare_calloc(n_units, sizeof *c->list);
	c->raw = pare_calloc(n_units, sizeof *c->raw);
	c->kept = pare_calloc(n_groups, sizeof *c->kept);
	c->began = pare_calloc(n_groups, sizeof *c->began);
	c->inside = pare_calloc(n_units, sizeof *c->inside);
	c->excluded = pare_calloc(n_groups, sizeof *c->excluded);
	c->share = pare_calloc(n_groups, sizeof *c->share);
	c->pool = pare_calloc(n_groups, sizeof *c->pool);
	c->first = pare_calloc(n_groups, sizeof *c->first);
	c->last = pare_calloc(n_groups, sizeof *c->last);
	if (c->list == NULL || c->raw == NULL || c->kept == NULL || c->began == NULL || c->inside == NULL || c->excluded == NULL || c->share == NULL || c->pool == NULL || c->first == NULL || c->last == NULL)
		return pare_err_nomem(err, n_units * sizeof *c->list);
	if (code == PARE_OK && c->opt->criterion == NULL)
		code = score_weights(c, err);
	for (int k = 0; k < c->g->n_groups && code == PARE_OK; k++)
		code = score_group(c, k, err);
	return code == PARE_OK ? check_scores(c, err) : code;
}

/* Of what is left, that share of what is still to go; scores stay, savings are counted anew. */
static enum pare_code pass(struct chooser *c, double portion, struct pare_err *err)
{
	enum pare_code code;

	c->portion = portion;
	memset(c->inside, 0, (size_t)c->g->n_units * sizeof *c->inside);
	for (int k = 0; k < c->g->n_groups; k++) {
		c->kept[k] = c->began[k] = 0;
		rank_group(c, k);
	}
	code = choose(c, err);
	if (code == PARE_OK)
		pare_cut_mask(c->cut, c->net, c->mask);
	return code;
}

enum pare_code pare_prune_structures(struct pare_net *net, const struct pare_structures *g, const struct pare_structure_options *opt, struct pare_cut *cut,
    struct pare_mask *mask, struct pare_structure_count *out, struct pare_err *err)
{
	struct chooser c = {.net = net, .g = g, .opt = opt, .cut = cut, .mask = mask};
	enum pare_code code;

	pare_structures_count(net, g, opt, cut, out);
	if (out->n_units == 0)
		return pare_err_set(err, PARE_E_INVALID, NULL, "there is no structure to remove: %s",
		    g->n_units > 0 ? "all are excluded" : g->n_pinned > 0 ? g->pinned[0].why : "the model has no weights that are coupled to others");
	code = score(&c, err);
	for (int i = opt->per == PARE_PER_STRUCTURE || opt->by_threshold ? 1 : N_PASSES; i > 0 && code == PARE_OK; i--)
		code = pass(&c, 1.0 / i, err);
	pare_free(c.list);
	pare_free(c.raw);
	pare_free(c.weight_score);
	pare_free(c.kept);
	pare_free(c.began);
	pare_free(c.inside);
	pare_free(c.excluded);
	pare_free(c.share);
	pare_free(c.pool);
	pare_free(c.first);
	pare_free(c.last);
	if (code == PARE_OK)
		pare_structures_count(net, g, opt, cut, out);
	return code;
}
