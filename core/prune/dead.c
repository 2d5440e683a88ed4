/* Which weights lead into a unit and which read it is told by the axis along which the unit lies in them: the axis of outputs, or
 * another one. Matrices without an axis of outputs (such that are transposed before they multiply) count as both.
 *
 * That a unit is constant follows from zero weights in front of it only where what lies between is done element by element; a
 * position embedding that is added, or a padded border, makes it vary. So the number is taken from a run over data, and a unit of which a
 * reader gets more than one number stays. Rejected: evaluating the elementwise nodes between, which would be a second executor for what the first
 * one says anyway. The caller compares outputs before and after. */
#include "core/prune/dead.h"

#include <math.h>
#include <string.h>

#include "core/graph/net_view.h"
#include "core/prune/shrink.h"

#define SAME 1e-9 /* of the mean square: what rounding makes of equal numbers */

struct undertaker {
	struct pare_net *net;
	const struct pare_structures *g;
	const struct pare_activation_stats *seen;
	int *uses; /* by parameter: nodes that read it */
	int *bias; /* by parameter: the one that is added to what it multiplies, -1: none that can take a constant */
};

/* Of one unit. */
struct ends {
	const struct undertaker *u;
	const float *slab;
	size_t n_in, in, n_out, out; /* weights that lead into it, of these not zero; weights that read it, of these not zero */
	bool foldable;               /* all that read it */
	double constant;
	float *to; /* the slab, while folding */
};

static bool all_ones(const struct pare_node *n)
{
	const struct pare_attr *alpha = pare_node_attr(n, "alpha"), *beta = pare_node_attr(n, "beta");

	return (alpha == NULL || fabsf(alpha->f - 1) <= 0) && (beta == NULL || fabsf(beta->f - 1) <= 0);
}

static bool says(const struct pare_attr *a, const char *word)
{
	return a->s.len == strlen(word) && memcmp(a->s.data, word, a->s.len) == 0;
}

static bool unpadded(const struct pare_node *n)
{
	const struct pare_attr *pads = pare_node_attr(n, "pads"), *how = pare_node_attr(n, "auto_pad");

	if (how != NULL && !says(how, "NOTSET") && !says(how, "VALID"))
		return false;
	for (size_t i = 0; pads != NULL && i < pads->n; i++)
		if (pads->ints[i] != 0)
			return false;
	return true;
}

static bool is_vector(const struct pare_net *net, int param, int64_t n)
{
	const struct pare_param_info *p = param >= 0 ? pare_net_param(net, param) : NULL;

	return p != NULL && p->n_elems == (size_t)n && p->dims[p->n_dims - 1] == n;
}

/* The parameter that the one reader of a value adds to it. */
static int added_to(const struct pare_net *net, int32_t value)
{
	const struct pare_model *m = pare_net_model(net);
	int found = -1, readers = 0;

	for (int i = 0; i < m->graph.n_outputs; i++)
		readers += m->graph.outputs[i] == value;
	for (int32_t i = 0; i < m->graph.n_nodes; i++)
		for (int k = 0; k < m->graph.nodes[i].n_in && pare_net_is_carried(net, i); k++)
			readers += m->graph.nodes[i].in[k] == value;
	for (int i = 0; i < pare_net_n_steps(net); i++) {
		struct pare_net_step s;

		pare_net_step_at(net, i, &s);
		for (int k = 0; k < s.node->n_in; k++) {
			if (s.node->in[k] != value)
				continue;
			readers++;
			if (strcmp(s.node->op_type, "Add") == 0 && s.node->in[1 - k] >= 0)
				found = pare_net_param_of(net, s.node->in[1 - k]);
		}
	}
	return readers == 1 ? found : -1;
}

static int bias_of(const struct pare_net *net, const struct pare_net_step *s, int weight_in)
{
	const struct pare_node *n = s->node;
	int own = n->n_in > 2 && n->in[2] >= 0 ? pare_net_param_of(net, n->in[2]) : -1;

	if (weight_in != 1)
		return -1;
	if (strcmp(n->op_type, "Gemm") == 0)
		return all_ones(n) ? own : -1;
	if (strcmp(n->op_type, "Conv") == 0)
		return unpadded(n) ? own : -1;
	return strcmp(n->op_type, "MatMul") == 0 ? added_to(net, n->out[0]) : -1;
}

/* A weight or bias that two nodes read can take nothing for one of them. */
static void find_biases(struct undertaker *u)
{
	for (int i = 0; i < pare_net_n_steps(u->net); i++) {
		struct pare_net_step s;

		pare_net_step_at(u->net, i, &s);
		for (int k = 0; k < s.node->n_in; k++) {
			int p = s.node->in[k] >= 0 ? pare_net_param_of(u->net, s.node->in[k]) : -1;

			if (p < 0)
				continue;
			u->uses[p]++;
			u->bias[p] = pare_net_step_weighs(u->net, i, k) ? bias_of(u->net, &s, k) : -1;
		}
	}
	for (int p = 0; p < pare_net_n_params(u->net); p++) {
		const struct pare_param_info *w = pare_net_param(u->net, p);
		int b = u->bias[p];

		if (b >= 0 && (u->uses[p] != 1 || u->uses[b] != 1 || w->out_axis < 0 || !is_vector(u->net, b, w->dims[w->out_axis])))
			u->bias[p] = -1;
	}
}

static size_t nonzero(const float *w, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += w[i] < 0 || w[i] > 0;
	return count;
}

static void look(void *ctx, const struct pare_unit_run *r)
{
	struct ends *e = ctx;
	const struct pare_param_info *p = pare_net_param(e->u->net, r->param);
	bool both = p->out_axis < 0;
	size_t left;

	if (!pare_structure_weight(e->u->net, r->param))
		return;
	left = nonzero(e->slab + r->at, r->n);
	if (both || p->out_axis == r->axis) {
		e->n_in += r->n;
		e->in += left;
	}
	if (both || p->out_axis != r->axis) {
		e->n_out += r->n;
		e->out += left;
		e->foldable &= left == 0 || e->u->bias[r->param] >= 0;
	}
}

static void fold(void *ctx, const struct pare_unit_run *r)
{
	struct ends *e = ctx;
	const struct pare_param_info *p = pare_net_param(e->u->net, r->param);
	int b = e->u->bias[r->param];
	size_t inner = 1;

	if (b < 0 || p->out_axis == r->axis)
		return;
	for (int k = p->out_axis + 1; k < p->n_dims; k++)
		inner *= (size_t)p->dims[k];
	for (size_t i = 0; i < r->n; i++) {
		size_t out = (r->at + i - p->offset) / inner % (size_t)p->dims[p->out_axis];

		e->to[pare_net_param(e->u->net, b)->offset + out] += (float)((double)e->slab[r->at + i] * e->constant);
	}
}

/* One number on every row and at every place, whichever of its values a reader gets? */
static bool is_constant(const struct undertaker *u, int unit, double *constant)
{
	const struct pare_structure *s = &u->g->units[unit];
	bool any = false;

	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t slice = u->g->member[s->first + i];
		double n = u->seen->count[slice], mean, square;

		if (!(n > 0))
			continue;
		mean = u->seen->total[slice] / n;
		square = u->seen->squares[slice] / n;
		if (!(square - mean * mean <= SAME * square) || (any && !(fabs(mean - *constant) <= SAME * fabs(mean))))
			return false;
		*constant = mean;
		any = true;
	}
	return any;
}

static void bury(struct undertaker *u, int unit, struct pare_cut *cut, struct pare_dead_count *out)
{
	struct ends e = {.u = u, .slab = pare_net_slab(u->net), .to = pare_net_slab(u->net), .foldable = true};

	pare_unit_walk(u->g, u->net, unit, look, &e);
	if (e.n_out == 0 || e.n_in == 0)
		return;
	if (e.out == 0) {
		out->unread += pare_cut_unit(cut, u->g, unit);
		return;
	}
	if (e.in > 0 || !is_constant(u, unit, &e.constant) || (fabs(e.constant) > 0 && !e.foldable) || !pare_cut_unit(cut, u->g, unit))
		return;
	pare_unit_walk(u->g, u->net, unit, fold, &e);
	out->constant++;
}

static void bury_group(struct undertaker *u, const struct pare_group *gr, struct pare_cut *cut, struct pare_dead_count *out)
{
	for (int unit = gr->first; unit < gr->first + gr->n; unit++)
		if (!pare_cut_has(cut, u->g, unit))
			bury(u, unit, cut, out);
}

enum pare_code pare_remove_dead(struct pare_net *net, const struct pare_structures *g, const struct pare_activation_stats *seen, const struct pare_dead_options *opt,
    struct pare_cut *cut, struct pare_mask *mask, struct pare_dead_count *out, struct pare_err *err)
{
	size_t n = (size_t)pare_net_n_params(net) + 1;
	struct undertaker u = {.net = net, .g = g, .seen = seen, .uses = pare_calloc(n, sizeof(int)), .bias = pare_calloc(n, sizeof(int))};
	enum pare_code code = PARE_OK;

	*out = (struct pare_dead_count){0};
	if (u.uses == NULL || u.bias == NULL) {
		code = pare_err_nomem(err, n * sizeof(int));
	} else {
		memset(u.bias, -1, n * sizeof(int));
		find_biases(&u);
		for (int k = 0; k < g->n_groups; k++)
			if (!pare_group_is_named(net, g, &g->groups[k], opt->exclude, opt->n_exclude))
				bury_group(&u, &g->groups[k], cut, out);
		pare_cut_mask(cut, net, mask);
	}
	pare_free(u.uses);
	pare_free(u.bias);
	return code;
}
