/* How much each layer alone minds being pruned, and sizes by layer that follow.
 *
 * For every layer and every level (a half, a quarter … of its weights left) the layer is pruned by the step's criterion while
 * all others stay as they are, and the loss is taken on some validation rows: layers times levels forward passes and no training. The
 * curves say where a common ranking would go wrong, as it does where scores of layers do not compare, or where multiply-accumulates and
 * not weights are to be saved. Whether they do better than the ranking is tried before they are used: both prune to the same size,
 * and the lesser loss wins.
 *
 * An evaluation takes time for every layer, so all of them together take time for the square of their number. Of very many layers (more than 4096) every so
 * manieth is measured, and the next ones take its curve: neighbours in a net that deep are copies of one block. How many depends on the number of layers alone,
 * never on the clock, since what a search chooses hangs on it.
 *
 * Structures have no curves yet: their units are ranked (structures.c), by layer, isomorphic group or all together. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/job/search_priv.h"

#define LEVELS 8
#define MOST_WORK ((int64_t)LEVELS << 24) /* layers that run, over all evaluations: some minutes of the least ones */

enum pare_code job_quick_loss(struct job_run *r, const struct job_search *s, double *out, struct pare_err *err)
{
	struct pare_metrics m;
	enum pare_code code;

	memset(&m, 0, sizeof m);
	r->fit.most_rows = s->quick_rows;
	code = job_eval(r, PARE_SPLIT_VALIDATION, &m, err);
	r->fit.most_rows = 0;
	if (code == PARE_OK)
		*out = isfinite(m.loss) ? m.loss : 1e30;
	pare_metrics_done(&m);
	return code;
}

static int64_t nonzero_of(struct job_run *r, int param)
{
	const struct pare_param_info *p = pare_net_param(r->net, param);

	return job_count_nonzero(pare_net_slab(r->net) + p->offset, p->n_elems);
}

/* What a layer costs as it is. */
static double cost_of(struct job_run *r, int param, bool by_macs)
{
	const struct pare_param_info *p = pare_net_param(r->net, param);

	if (!by_macs)
		return (double)nonzero_of(r, param);
	return (double)pare_net_node_macs(r->net, p->node) * (double)nonzero_of(r, param) / (double)p->n_elems;
}

int job_sensitivity_stride(int n_layers)
{
	int64_t stride = (LEVELS * (int64_t)n_layers * n_layers + MOST_WORK - 1) / MOST_WORK;

	return stride < 1 ? 1 : stride > n_layers ? n_layers : (int)stride;
}

static enum pare_code reserve(struct job_run *r, struct job_search *s, const struct pare_prune_options *o, struct pare_err *err)
{
	int n = pare_net_n_params(r->net);

	s->layers = pare_calloc((size_t)n + 1, sizeof *s->layers);
	s->curves = pare_calloc((size_t)n + 1, sizeof *s->curves);
	s->by_layer = pare_calloc((size_t)n + 1, sizeof *s->by_layer);
	s->wholes = pare_calloc((size_t)n + 1, sizeof *s->wholes);
	if (s->layers == NULL || s->curves == NULL || s->by_layer == NULL || s->wholes == NULL)
		return pare_err_nomem(err, (size_t)n * sizeof *s->curves);
	for (int i = 0; i < n; i++) {
		const struct pare_param_info *p = pare_net_param(r->net, i);

		if (!pare_prune_is_target(o, p) || p->n_elems == 0 || !(cost_of(r, i, s->by_macs) > 0))
			continue;
		s->wholes[s->n_layers] = (double)nonzero_of(r, i) / (double)p->n_elems;
		s->curves[s->n_layers] = (struct pare_curve){.cost = cost_of(r, i, s->by_macs)};
		s->layers[s->n_layers++] = i;
	}
	s->stride = job_sensitivity_stride(s->n_layers);
	return PARE_OK;
}

static enum pare_code measure_layer(struct job_run *r, struct job_search *s, struct pare_prune_options *o, int k, double whole, const struct job_state *base, struct pare_err *err)
{
	struct pare_curve *c = &s->curves[k];
	enum pare_code code = PARE_OK;

	c->left[0] = 1;
	c->n = 1;
	for (int level = 1; level <= LEVELS && code == PARE_OK; level++) {
		double left = ldexp(1, -level), loss;

		if (left * c->cost < 1)
			break;
		s->by_layer[s->layers[k]] = 1 - left * s->wholes[k];
		job_state_restore(r, base);
		code = job_check_canceled(r->w, err);
		if (code == PARE_OK)
			code = pare_prune(r->net, o, &r->mask, err);
		if (code == PARE_OK)
			code = job_quick_loss(r, s, &loss, err);
		if (code != PARE_OK)
			break;
		c->left[c->n] = left;
		c->harm[c->n++] = loss - whole;
	}
	s->by_layer[s->layers[k]] = 0;
	return code;
}

enum pare_code job_sensitivity(struct job_run *r, struct job_search *s, const struct pare_prune_options *o, const struct job_state *base, struct pare_err *err)
{
	struct pare_prune_options one = *o;
	double whole = 0;
	enum pare_code code;

	code = reserve(r, s, o, err);
	if (code == PARE_OK)
		code = job_look_at_data(r, s->criterion, &one, err);
	if (code == PARE_OK)
		code = job_quick_loss(r, s, &whole, err);
	one.by_layer = s->by_layer;
	for (int k = 0; k < s->n_layers && code == PARE_OK; k += s->stride)
		code = measure_layer(r, s, &one, k, whole, base, err);
	for (int k = 0; k < s->n_layers; k++) {
		double cost = s->curves[k].cost;

		s->curves[k] = s->curves[k - k % s->stride];
		s->curves[k].cost = cost;
	}
	job_state_restore(r, base);
	return code;
}

/* --- sizes by layer */

enum pare_code job_set_left(struct job_search *s, struct pare_prune_options *o, double left, struct pare_err *err)
{
	double *shares;
	enum pare_code code;

	o->sparsity = 1 - left * s->base_left;
	if (!s->allocates)
		return PARE_OK;
	shares = pare_calloc((size_t)s->n_layers + 1, sizeof *shares);
	if (shares == NULL)
		return pare_err_nomem(err, (size_t)s->n_layers * sizeof *shares);
	code = pare_allocate(s->curves, s->n_layers, left, shares, err);
	for (int k = 0; k < s->n_layers && code == PARE_OK; k++)
		s->by_layer[s->layers[k]] = 1 - shares[k] * s->wholes[k];
	pare_free(shares);
	o->by_layer = s->by_layer;
	return code;
}

/* The share that is left of the cost of all layers. */
static double cost_left(struct job_run *r, const struct job_search *s)
{
	double is = 0, was = 0;

	for (int k = 0; k < s->n_layers; k++) {
		is += cost_of(r, s->layers[k], s->by_macs);
		was += s->curves[k].cost;
	}
	return is / was;
}

/* Losses after pruning to the same size: by one ranking to `left` of the weights, and by layer to what that leaves of the objective. */
static enum pare_code compare_at(struct job_run *r, struct job_search *s, struct pare_prune_options *o, double left, const struct job_state *base, struct pare_err *err)
{
	double ranked = 0, allocated = 0, same;
	enum pare_code code;

	s->allocates = false;
	o->by_layer = NULL;
	job_state_restore(r, base);
	code = job_set_left(s, o, left, err);
	if (code == PARE_OK)
		code = pare_prune(r->net, o, &r->mask, err);
	if (code == PARE_OK)
		code = job_quick_loss(r, s, &ranked, err);
	same = cost_left(r, s);
	s->allocates = true;
	job_state_restore(r, base);
	if (code == PARE_OK)
		code = job_set_left(s, o, same, err);
	if (code == PARE_OK)
		code = pare_prune(r->net, o, &r->mask, err);
	if (code == PARE_OK)
		code = job_quick_loss(r, s, &allocated, err);
	s->loss_ranked += log(ranked + 1e-12);
	s->loss_allocated += log(allocated + 1e-12);
	return code;
}

enum pare_code job_compare_allocation(struct job_run *r, struct job_search *s, const struct pare_prune_options *o, const struct job_state *base, struct pare_err *err)
{
	static const double shares[] = {0.25, 0.125, 0.0625};
	struct pare_prune_options one = *o;
	size_t n = sizeof shares / sizeof shares[0];
	enum pare_code code = PARE_OK;

	if (s->n_layers == 0)
		return PARE_OK;
	if (strcmp(pare_args_str(s->args, "allocation"), "sensitivity") == 0) {
		s->allocates = true;
		return PARE_OK;
	}
	code = job_look_at_data(r, s->criterion, &one, err);
	for (size_t i = 0; i < n && code == PARE_OK; i++)
		code = compare_at(r, s, &one, shares[i], base, err);
	job_state_restore(r, base);
	s->loss_ranked = exp(s->loss_ranked / (double)n);
	s->loss_allocated = exp(s->loss_allocated / (double)n);
	s->allocates = s->loss_allocated < s->loss_ranked;
	memset(s->by_layer, 0, (size_t)pare_net_n_params(r->net) * sizeof *s->by_layer);
	return code;
}
